"""``fastconv filter``: an image filtered, beside the original if wanted."""

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

from fastconv import functional as F
from fastconv import ndimage
from fastconv._check import Array

MODES = ("reflect", "mirror", "nearest", "wrap", "constant")


def _slopes(image: Array, kernels: Array, mode: str) -> Array:
    """Return how steep an image is, from two kernels (2, 1, R, S)."""
    maps = ndimage.filter_bank(image, kernels[:, 0, ..., None], mode=mode, axes=(0, 1, 2))
    steep: Array = np.hypot(*maps)
    return steep


def _linear(image: Array, kernel: Array, mode: str) -> Array:
    """Return an image filtered by a kernel (1, 1, R, S), channel by channel."""
    return ndimage.correlate(image, kernel[0, 0], mode=mode, axes=(0, 1))


# How each filter shows an image (H, W, C) of doubles; black is 0 and white 255.
FILTERS: dict[str, Callable[[Array, float, int, str], Array]] = {
    "sobel": lambda image, _, __, mode: _slopes(image, F.sobel(dtype=np.float64), mode),
    "prewitt": lambda image, _, __, mode: _slopes(image, F.prewitt(dtype=np.float64), mode),
    "scharr": lambda image, _, __, mode: _slopes(image, F.scharr(dtype=np.float64), mode),
    "laplace": lambda image, _, __, mode: np.abs(ndimage.laplace(image, None, mode, axes=(0, 1))),
    "gaussian": lambda image, sigma, _, mode: ndimage.gaussian_filter(
        image, sigma, mode=mode, axes=(0, 1)
    ),
    "uniform": lambda image, _, size, mode: ndimage.uniform_filter(
        image, size, mode=mode, axes=(0, 1)
    ),
    "gradient": lambda image, sigma, _, mode: ndimage.gaussian_gradient_magnitude(
        image, (sigma, sigma, 0), mode=mode, axes=(0, 1)
    ),
    "sharpen": lambda image, _, __, mode: _linear(image, F.sharpen(dtype=np.float64), mode),
    "emboss": lambda image, _, __, mode: 128 + _linear(image, F.emboss(dtype=np.float64), mode),
}


def filtered(image: Array, kernel: str, sigma: float, size: int, mode: str) -> Array:
    """Return a picture (H, W) or (H, W, C) of bytes, filtered."""
    planes = image[..., None] if image.ndim == 2 else image
    shown = FILTERS[kernel](planes.astype(np.float64), sigma, size, mode)
    result: Array = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
    return result.reshape(image.shape)


@click.command("filter", short_help="Filter an image.")
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--kernel", type=click.Choice(sorted(FILTERS)), required=True, help="The filter.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Where to write the picture; its suffix says how.",
)
@click.option("--compare", is_flag=True, help="Put the original to its left.")
@click.option(
    "--sigma",
    type=click.FloatRange(0, min_open=True),
    default=2.0,
    show_default=True,
    help="Standard deviation of gaussian and gradient.",
)
@click.option(
    "--size", type=click.IntRange(1), default=5, show_default=True, help="Cells of uniform."
)
@click.option("--mode", type=click.Choice(MODES), default="reflect", show_default=True)
def filter_image(
    image: Path, kernel: str, output: Path, compare: bool, sigma: float, size: int, mode: str
) -> None:
    """Filter IMAGE, grey or in colours, by a kernel made by hand.

    Edges are shown by their strength, in each colour.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ImportError("pictures need Pillow: pip install 'fastconv[cli]'") from error
    try:
        with Image.open(image) as opened:
            before = np.asarray(opened if opened.mode == "L" else opened.convert("RGB"))
    except UnidentifiedImageError as error:
        raise click.ClickException(f"{image} is no picture that Pillow can read") from error
    after = filtered(before, kernel, sigma, size, mode)
    shown = np.concatenate([before, after], axis=1) if compare else after
    Image.fromarray(shown).save(output)
    click.echo(f"{output}: {shown.shape[1]} x {shown.shape[0]}")
