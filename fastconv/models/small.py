"""A small network of convolutions and batch norm, for small images."""

import numpy as np
from numpy.typing import DTypeLike

from fastconv._check import Random
from fastconv.layers import AdaptiveAvgPool2d, Flatten, Layer, MaxPool2d, ReLU, Sequential
from fastconv.models._build import Builder


def small_cnn(
    num_classes: int = 10,
    *,
    in_channels: int = 1,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return a small CNN with batch norm, for images of 28 x 28 and about: 131,178 parameters.

    Four convolutions of 3 x 3 with 32, 64, 64 and 128 channels, each with batch norm and ReLU, with
    max pooling behind the first and the third; then the mean of each map, and a full connection.

    Parameters
    ----------
    num_classes : int
        Number of outputs.
    in_channels : int, keyword-only
        Channels of the images.
    dtype : dtype, keyword-only
        Float32 or float64.
    rng : int or numpy.random.Generator, optional, keyword-only
        Where the initial values come from (He's scheme; torch's for the last layer); an int is a
        seed.

    Returns
    -------
    Sequential
        Takes (N, in_channels, H, W) of at least 4 x 4, gives (N, num_classes): scores, not
        probabilities.

    Examples
    --------
    >>> from fastconv import models
    >>> sum(p.data.size for p in models.small_cnn().parameters())
    131178
    """
    build = Builder(dtype, rng)

    def stage(inputs: int, outputs: int) -> list[Layer]:
        conv = build.conv(inputs, outputs, 3, padding=1, bias=False)
        return [conv, build.norm(outputs), ReLU(inplace=True)]

    return Sequential(
        *stage(in_channels, 32),
        MaxPool2d(2),
        *stage(32, 64),
        *stage(64, 64),
        MaxPool2d(2),
        *stage(64, 128),
        AdaptiveAvgPool2d(1),
        Flatten(),
        build.linear(128, num_classes, last=True),
    )
