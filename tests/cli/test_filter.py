"""``fastconv filter``: pictures, options, and files that are none."""

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("PIL")

from PIL import Image

from fastconv import ndimage
from fastconv.cli import main
from fastconv.cli.filter import FILTERS, filtered

COLOURS = np.random.default_rng(0).integers(0, 256, (17, 23, 3), np.uint8)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(COLOURS).save(path)
    return path


@pytest.mark.parametrize("kernel", FILTERS)
def test_every_kernel_filters_grey_and_colours(picture, tmp_path, capsys, kernel):
    for suffix, source in (("png", picture), ("grey.png", None)):
        if source is None:
            source = tmp_path / "grey.png"
            Image.fromarray(COLOURS[..., 0]).save(source)
        output = tmp_path / f"out.{suffix}"
        assert main(["filter", str(source), "--kernel", kernel, "--output", str(output)]) == 0
        assert capsys.readouterr().out == f"{output}: 23 x 17\n"
        original = np.asarray(Image.open(source))
        np.testing.assert_array_equal(
            np.asarray(Image.open(output)), filtered(original, kernel, 2.0, 5, "reflect")
        )


def test_colours_are_filtered_by_themselves():
    for kernel in FILTERS:
        whole = filtered(COLOURS, kernel, 1.0, 3, "wrap")
        for channel in range(3):
            alone = filtered(COLOURS[..., channel], kernel, 1.0, 3, "wrap")
            np.testing.assert_array_equal(whole[..., channel], alone)


def test_edges_are_what_the_library_finds():
    grey = COLOURS[..., 0].astype(np.float64)
    steep = np.hypot(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1))
    np.testing.assert_array_equal(
        filtered(COLOURS[..., 0], "sobel", 1.0, 3, "reflect"),
        np.clip(np.rint(steep), 0, 255).astype(np.uint8),
    )


def test_compare_puts_the_original_beside(picture, tmp_path, capsys):
    output = tmp_path / "both.png"
    arguments = ["--kernel", "gaussian", "--sigma", "1.5", "--mode", "nearest", "--compare"]
    assert main(["filter", str(picture), "--output", str(output), *arguments]) == 0
    assert capsys.readouterr().out == f"{output}: 46 x 17\n"
    both = np.asarray(Image.open(output))
    np.testing.assert_array_equal(both[:, :23], COLOURS)
    np.testing.assert_array_equal(both[:, 23:], filtered(COLOURS, "gaussian", 1.5, 5, "nearest"))


@pytest.mark.parametrize(
    "wrong",
    [
        ["--kernel", "nothing"],
        ["--kernel", "gaussian", "--sigma", "0"],
        ["--kernel", "uniform", "--size", "0"],
        ["--kernel", "sobel", "--mode", "open"],
        [],
    ],
)
def test_wrong_options_are_refused(picture, tmp_path, capsys, wrong):
    assert main(["filter", str(picture), "--output", str(tmp_path / "out.png"), *wrong]) == 2
    assert capsys.readouterr().err.startswith("fastconv: error: ")
    assert not (tmp_path / "out.png").exists()


def test_files_that_are_no_pictures_are_refused(tmp_path, capsys):
    path = tmp_path / "text.png"
    path.write_text("no picture")
    arguments = ["--kernel", "sobel", "--output", str(tmp_path / "out.png")]
    assert main(["filter", str(path), *arguments]) == 2
    assert "no picture that Pillow can read" in capsys.readouterr().err
    assert main(["filter", str(tmp_path / "missing.png"), *arguments]) == 2
    assert main(["filter", str(path), "--kernel", "sobel", "--output", "x.unknown"]) == 2
