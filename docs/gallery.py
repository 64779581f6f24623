"""The pictures of the gallery: a scene, and what each filter of the command line makes of it."""

from pathlib import Path

import numpy as np
from PIL import Image

from fastconv.cli.filter import FILTERS, filtered


def scene(height=180, width=270):
    """Return a picture of discs, stripes, a slope and some noise, as bytes."""
    y, x = np.mgrid[:height, :width]
    picture = 40 + 120 * x / width
    for row, column, radius, light in ((55, 60, 38, 220), (120, 140, 48, 30), (60, 210, 30, 250)):
        picture[(y - row) ** 2 + (x - column) ** 2 < radius**2] = light
    stripes = (x + y) // 6 % 2 == 0
    picture[(y > 120) & (x > 190) & stripes] = 20
    picture[130:170, 15:75] = 240
    noise = np.random.default_rng(0).normal(0, 4, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def draw(folder):
    """Write the pictures, each beside the scene, into a folder."""
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    before = scene()
    for name in FILTERS:
        after = filtered(before, name, 2.0, 5, "reflect")
        Image.fromarray(np.concatenate([before, after], axis=1)).save(folder / f"{name}.png")
