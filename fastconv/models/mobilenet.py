"""MobileNetV2: depthwise convolutions between thin layers.

M. Sandler, A. Howard, M. Zhu, A. Zhmoginov and L.-C. Chen, "MobileNetV2: inverted residuals and
linear bottlenecks", arXiv 1801.04381.
"""

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _check
from fastconv._check import Random
from fastconv.layers import AdaptiveAvgPool2d, Add, Graph, Layer, ReLU6, Sequential
from fastconv.models._build import Builder, classifier

# Expansion, channels, blocks and the first one's stride: table 2 of the paper.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _rounded(channels: float) -> int:
    """Return the multiple of 8 nearest to a number of channels, if that is not below 0.9 of it."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def _conv(
    build: Builder, inputs: int, outputs: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> Sequential:
    """Return a convolution that keeps the size, but for its stride, batch norm and ReLU6."""
    return Sequential(
        build.conv(
            inputs,
            outputs,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            groups=groups,
            bias=False,
        ),
        build.norm(outputs),
        ReLU6(inplace=True),
    )


def _block(build: Builder, inputs: int, outputs: int, stride: int, expansion: int) -> Layer:
    """Return an inverted residual block: figure 4d of the paper."""
    hidden = inputs * expansion
    parts: list[Layer] = [] if expansion == 1 else [_conv(build, inputs, hidden, 1)]
    parts += [
        _conv(build, hidden, hidden, 3, stride, hidden),
        build.conv(hidden, outputs, 1, bias=False),
        build.norm(outputs),
    ]
    conv = Sequential(*parts)
    if stride == 1 and inputs == outputs:
        return Graph({"conv": conv, "add": (Add(), "input", "conv")})
    return Sequential({"conv": conv})


def mobilenet_v2(
    num_classes: int = 1000,
    *,
    width_mult: float = 1.0,
    dropout: float = 0.2,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return MobileNetV2: 3,504,872 parameters, 0.30 x 10^9 multiply-adds for 224 x 224.

    Parameters
    ----------
    num_classes : int
        Number of outputs.
    width_mult : float, keyword-only
        What the numbers of channels are multiplied by, and rounded to multiples of 8.
    dropout : float, keyword-only
        The probability of dropout before the last layer.
    dtype : dtype, keyword-only
        Float32 or float64.
    rng : int or numpy.random.Generator, optional, keyword-only
        Where dropout's masks and the initial values come from (He's scheme; torch's for the last
        layer); an int is a seed.

    Returns
    -------
    Sequential
        Takes (N, 3, H, W) of any size, gives (N, num_classes): scores, not probabilities. Names
        and shapes of parameters and buffers are those of torchvision.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.

    Examples
    --------
    >>> from fastconv import models
    >>> sum(p.data.size for p in models.mobilenet_v2().parameters())
    3504872
    """
    width = _check.number("width_mult", width_mult)
    build = Builder(dtype, rng)
    inputs = _rounded(32 * width)
    features: list[Layer] = [_conv(build, 3, inputs, 3, 2)]
    for expansion, channels, count, stride in _STAGES:
        outputs = _rounded(channels * width)
        for i in range(count):
            features.append(_block(build, inputs, outputs, stride if i == 0 else 1, expansion))
            inputs = outputs
    last = _rounded(1280 * max(1.0, width))
    features.append(_conv(build, inputs, last, 1))
    head = Sequential(build.dropout(dropout), build.linear(last, num_classes, last=True))
    return classifier(Sequential(*features), AdaptiveAvgPool2d(1), head)
