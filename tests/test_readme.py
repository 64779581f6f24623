"""The README's examples run, and its commands exist."""

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def printed(example):
    """Run an example and return the numbers that it prints, one on a line."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(example, str(README), "exec"), {})
    return [float(line) for line in output.getvalue().splitlines()]


def test_the_examples_run():
    # What PyTorch users write has tests of its own, where PyTorch is installed.
    with_layers, with_functions, with_images = (e for e in EXAMPLES if "adapters.torch" not in e)
    losses = printed(with_layers)
    assert losses[-1] < losses[0] / 2
    (difference,) = printed(with_functions)
    assert difference < 1e-10
    (edges,) = printed(with_images)
    assert 0 < edges < 0.1


def test_make_has_the_two_commands():
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README.read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
