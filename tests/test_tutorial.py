"""The tutorial's code runs and prints what it says; its pictures are those that it shows."""

import doctest
import re
import runpy
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).resolve().parent.parent / "docs" / "tutorial"
PICTURES = runpy.run_path(str(TUTORIAL / "pictures.py"))


@pytest.mark.parametrize("page", PICTURES["PAGES"])
def test_a_page_prints_what_it_says(page):
    examples = PICTURES["code"](page)
    assert len(examples) > 10
    test = doctest.DocTest(examples, {}, page, f"{page}.md", 0, None)
    said = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    assert not said, "".join(said)


def test_all_code_is_tested():
    for page in TUTORIAL.glob("*.md"):
        text = page.read_text()
        assert text.count("```pycon") == len(re.findall(r"^```pycon\n>>> ", text, re.M))
        prompts = re.findall(r"^>>> ", text, re.M)
        if page.stem != "index":
            assert len(prompts) == len(PICTURES["code"](page.stem))


def test_the_pictures_are_those_that_pages_show(tmp_path):
    pytest.importorskip("matplotlib")
    PICTURES["draw"](tmp_path)
    shown = re.findall(
        r'<img src="pictures/([^"]+)" alt="[^"]+">',
        "".join(page.read_text() for page in TUTORIAL.glob("*.md")),
    )
    assert sorted(shown) == sorted(path.name for path in tmp_path.iterdir())
    starts = {".png": b"\x89PNG", ".gif": b"GIF89a"}
    for path in tmp_path.iterdir():
        assert path.read_bytes().startswith(starts[path.suffix])


def test_every_page_is_in_the_table_of_contents():
    text = (TUTORIAL / "index.md").read_text()
    listed = re.search(r"maxdepth: 1\n\n(.*?)```", text, re.S)[1].split()
    assert sorted(listed) == PICTURES["PAGES"]
