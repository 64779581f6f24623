"""The pages of docs/ build without a warning, and name everything that is public."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastconv import functional, layers, ndimage, reference, signal, training

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    for module in ("sphinx", "myst_parser"):
        pytest.importorskip(module, reason=f"{module} builds the documentation")
    folder = tmp_path_factory.mktemp("docs")
    command = [
        sys.executable, "-m", "sphinx", "-q", "-W", "-n", "--keep-going", "-d", folder / "cache",
        ROOT / "docs", folder / "html",
    ]  # fmt: skip
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "html"


@pytest.mark.parametrize("module", [functional, layers, ndimage, reference, signal, training])
def test_everything_public_is_there(pages, module):
    text = (pages / "api" / f"{module.__name__.split('.')[1]}.html").read_text()
    assert [name for name in module.__all__ if f'id="{module.__name__}.{name}"' not in text] == []


def test_formulas_are_rendered(pages):
    text = (pages / "api" / "functional.html").read_text()
    assert 'class="math notranslate nohighlight"' in text
    assert "mathjax" in text


def test_the_tutorial_has_formulas_and_pictures(pages):
    text = (pages / "tutorial" / "formulas.html").read_text()
    assert 'class="math notranslate nohighlight"' in text
    assert '<img src="pictures/formulas.gif"' in text
    assert (pages / "tutorial" / "pictures" / "formulas.gif").exists()


def test_the_gallery_has_its_pictures(pages):
    text = (pages / "gallery.html").read_text()
    for name in ("sobel", "gaussian", "sharpen"):
        assert f"_images/{name}.png" in text
        assert (pages / "_images" / f"{name}.png").stat().st_size > 1000
