"""U-Net: a network that gives an image for an image, through ever coarser maps and back.

O. Ronneberger, P. Fischer and T. Brox, "U-Net: convolutional networks for biomedical image
segmentation", arXiv 1505.04597. As is usual today, convolutions are padded, so that the output is
as large as the input, and have batch norm behind them.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _check
from fastconv._check import Random
from fastconv.layers import Concat, Graph, MaxPool2d, ReLU, Sequential
from fastconv.models._build import Builder


def _double(build: Builder, inputs: int, outputs: int) -> Sequential:
    """Return two convolutions, each with batch norm and ReLU."""
    return Sequential(
        build.conv(inputs, outputs, 3, padding=1, bias=False),
        build.norm(outputs),
        ReLU(inplace=True),
        build.conv(outputs, outputs, 3, padding=1, bias=False),
        build.norm(outputs),
        ReLU(inplace=True),
    )


def unet(
    num_classes: int = 2,
    *,
    in_channels: int = 3,
    width: int = 16,
    depth: int = 3,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Graph:
    """Return a small U-Net: 482,754 parameters.

    Parameters
    ----------
    num_classes : int
        Channels of the output.
    in_channels : int, keyword-only
        Channels of the input.
    width : int, keyword-only
        Channels of the finest maps (64 in the paper); each coarser step has twice as many.
    depth : int, keyword-only
        How often the size is halved (4 in the paper).
    dtype : dtype, keyword-only
        Float32 or float64.
    rng : int or numpy.random.Generator, optional, keyword-only
        Where the initial values come from (He's scheme; torch's for the last layer); an int is a
        seed.

    Returns
    -------
    Graph
        Takes (N, in_channels, H, W), with H and W multiples of 2**depth, gives
        (N, num_classes, H, W): scores for each pixel.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import models
    >>> models.unet(rng=0)(np.zeros((1, 3, 64, 64), np.float32)).shape
    (1, 2, 64, 64)
    """
    build = Builder(dtype, rng)
    channels = _check.integer("width", width, 1)
    steps = _check.integer("depth", depth, 1)
    nodes: dict[str, Any] = {"encode0": _double(build, in_channels, channels)}
    for i in range(1, steps + 1):
        nodes[f"pool{i}"] = MaxPool2d(2)
        nodes[f"encode{i}"] = _double(build, channels, 2 * channels)
        channels *= 2
    for i in reversed(range(steps)):
        nodes[f"up{i}"] = build.upsampling(channels, channels // 2)
        nodes[f"concat{i}"] = (Concat(), f"encode{i}", f"up{i}")
        nodes[f"decode{i}"] = _double(build, channels, channels // 2)
        channels //= 2
    nodes["classify"] = build.conv(channels, num_classes, 1, init="torch")
    return Graph(nodes)
