"""The README's examples run, and its commands exist."""

import contextlib
import io
import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[1])
def test_an_example_runs_and_prints_small_numbers_at_last(example):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(example, str(README), "exec"), {})
    # The loss after an epoch, and the distance of fast and slow.
    assert 0 <= float(output.getvalue().splitlines()[-1]) < 0.5


def test_the_two_examples_are_there():
    assert len(EXAMPLES) == 2


def test_make_has_the_two_commands():
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README.read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
