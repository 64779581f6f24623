"""ResNet: networks of residual blocks, for images of ImageNet.

K. He, X. Zhang, S. Ren and J. Sun, "Deep residual learning for image recognition",
arXiv 1512.03385.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv._check import Random
from fastconv._docs import described_like
from fastconv.layers import (
    AdaptiveAvgPool2d,
    Add,
    Flatten,
    Graph,
    Layer,
    MaxPool2d,
    ReLU,
    Sequential,
)
from fastconv.models._build import Builder


def residual_block(
    build: Builder,
    convolutions: Sequence[Layer],
    widths: Sequence[int],
    downsample: Layer | None,
    zero_init: bool,
) -> Graph:
    """Return the ReLU of the sum of x and what convolutions, batch norms and ReLUs make of it.

    Parameters
    ----------
    build : Builder
    convolutions : sequence of Layer
    widths : sequence of int
        The channels that each gives.
    downsample : Layer or None
        What makes x as large as the other; None if it is so already.
    zero_init : bool
        Let the last batch norm give 0 at first.
    """
    nodes: dict[str, Any] = {}
    last = len(widths)
    for i, (conv, width) in enumerate(zip(convolutions, widths, strict=True), 1):
        norm = build.norm(width)
        nodes |= {f"conv{i}": conv, f"bn{i}": norm}
        if i < last:
            nodes[f"relu{i}"] = ReLU(inplace=True)
        elif zero_init:
            assert norm.weight is not None
            norm.weight.data[...] = 0
    if downsample is not None:
        nodes["downsample"] = (downsample, "input")
    nodes["add"] = (Add(), f"bn{last}", "input" if downsample is None else "downsample")
    nodes["relu"] = ReLU(inplace=True)
    return Graph(nodes)


def basic_block(
    build: Builder,
    inputs: int,
    width: int,
    stride: int,
    downsample: Layer | None,
    zero_init: bool = False,
) -> Graph:
    """Return a block of two convolutions, 3x3, of which the first takes the stride."""
    convolutions = [
        build.conv(inputs, width, 3, stride=stride, padding=1, bias=False),
        build.conv(width, width, 3, padding=1, bias=False),
    ]
    return residual_block(build, convolutions, (width, width), downsample, zero_init)


class _ResNet:
    """What is chosen once for a whole network, and how its blocks look."""

    def __init__(
        self, build: Builder, bottleneck: bool, zero_init: bool, stride_in_first: bool
    ) -> None:
        self.build = build
        self.bottleneck = bottleneck
        self.zero_init = zero_init
        self.stride_in_first = stride_in_first
        self.expansion = 4 if bottleneck else 1

    def block(self, inputs: int, width: int, stride: int) -> Graph:
        """Return a block; figure 5 of the paper shows both kinds."""
        build, outputs = self.build, width * self.expansion
        downsample = None
        if stride > 1 or inputs != outputs:
            downsample = Sequential(
                build.conv(inputs, outputs, 1, stride=stride, bias=False), build.norm(outputs)
            )
        if not self.bottleneck:
            return basic_block(build, inputs, width, stride, downsample, self.zero_init)
        first, second = (stride, 1) if self.stride_in_first else (1, stride)
        convolutions = [
            build.conv(inputs, width, 1, stride=first, bias=False),
            build.conv(width, width, 3, stride=second, padding=1, bias=False),
            build.conv(width, outputs, 1, bias=False),
        ]
        widths = (width, width, outputs)
        return residual_block(build, convolutions, widths, downsample, self.zero_init)

    def stage(self, inputs: int, width: int, blocks: int, stride: int) -> Sequential:
        """Return blocks of one width; the first takes the stride."""
        outputs = width * self.expansion
        others = [self.block(outputs, width, 1) for _ in range(blocks - 1)]
        return Sequential(self.block(inputs, width, stride), *others)

    def network(self, blocks: Sequence[int], num_classes: int) -> Sequential:
        """Return the network with so many blocks in its four stages: table 1 of the paper."""
        build, expansion = self.build, self.expansion
        nodes: dict[str, Layer] = {
            "conv1": build.conv(3, 64, 7, stride=2, padding=3, bias=False),
            "bn1": build.norm(64),
            "relu": ReLU(inplace=True),
            "maxpool": MaxPool2d(3, 2, 1),
        }
        inputs = 64
        for i, count in enumerate(blocks):
            width = 64 << i
            nodes[f"layer{i + 1}"] = self.stage(inputs, width, count, 1 if i == 0 else 2)
            inputs = width * expansion
        nodes |= {
            "avgpool": AdaptiveAvgPool2d(1),
            "flatten": Flatten(),
            "fc": build.linear(inputs, num_classes, last=True),
        }
        return Sequential(nodes)


def resnet18(
    num_classes: int = 1000,
    *,
    zero_init_residual: bool = False,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return ResNet-18: 11,689,512 parameters, 1.8 x 10^9 multiply-adds for 224 x 224.

    Parameters
    ----------
    num_classes : int
        Number of outputs.
    zero_init_residual : bool, keyword-only
        Let the last batch norm of each block give 0 at first, so that a block begins as its
        shortcut.
    dtype : dtype, keyword-only
        Float32 or float64.
    rng : int or numpy.random.Generator, optional, keyword-only
        Where the initial values come from (He's scheme; torch's for the last layer); an int is a
        seed.

    Returns
    -------
    Sequential
        Takes (N, 3, H, W) of any size, gives (N, num_classes): scores, not probabilities. Names
        and shapes of parameters and buffers are those of torchvision.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import models
    >>> net = models.resnet18(10, rng=0).eval()
    >>> net(np.zeros((1, 3, 64, 64), np.float32)).shape
    (1, 10)
    """
    found = _ResNet(Builder(dtype, rng), False, zero_init_residual, False)
    return found.network((2, 2, 2, 2), num_classes)


@described_like(resnet18)
def resnet34(
    num_classes: int = 1000,
    *,
    zero_init_residual: bool = False,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return ResNet-34: 21,797,672 parameters, 3.6 x 10^9 multiply-adds for 224 x 224.

    Examples
    --------
    >>> from fastconv import models
    >>> sum(p.data.size for p in models.resnet34().parameters())
    21797672
    """
    found = _ResNet(Builder(dtype, rng), False, zero_init_residual, False)
    return found.network((3, 4, 6, 3), num_classes)


def resnet50(
    num_classes: int = 1000,
    *,
    zero_init_residual: bool = False,
    stride_in_first: bool = False,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return ResNet-50: 25,557,032 parameters, 4.09 x 10^9 multiply-adds for 224 x 224.

    Parameters
    ----------
    num_classes, zero_init_residual
        As in `resnet18`.
    stride_in_first : bool, keyword-only
        Where a block halves the size: in its first convolution, 1x1, as in the paper (3.86 x 10^9
        multiply-adds; 7.57 and 11.28 in ResNet-101 and 152), or in its second, 3x3, as in
        torchvision.
    dtype, rng
        As in `resnet18`.

    Returns
    -------
    Sequential
        As of `resnet18`.

    Examples
    --------
    >>> from fastconv import models
    >>> sum(p.data.size for p in models.resnet50().parameters())
    25557032
    """
    found = _ResNet(Builder(dtype, rng), True, zero_init_residual, stride_in_first)
    return found.network((3, 4, 6, 3), num_classes)


@described_like(resnet50)
def resnet101(
    num_classes: int = 1000,
    *,
    zero_init_residual: bool = False,
    stride_in_first: bool = False,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return ResNet-101: 44,549,160 parameters, 7.80 x 10^9 multiply-adds for 224 x 224.

    Examples
    --------
    >>> from fastconv import models
    >>> [len(models.resnet101(10)[place]) for place in range(4, 8)]
    [3, 4, 23, 3]
    """
    found = _ResNet(Builder(dtype, rng), True, zero_init_residual, stride_in_first)
    return found.network((3, 4, 23, 3), num_classes)


@described_like(resnet50)
def resnet152(
    num_classes: int = 1000,
    *,
    zero_init_residual: bool = False,
    stride_in_first: bool = False,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return ResNet-152: 60,192,808 parameters, 11.51 x 10^9 multiply-adds for 224 x 224.

    Examples
    --------
    >>> from fastconv import models
    >>> [len(models.resnet152(10)[place]) for place in range(4, 8)]
    [3, 8, 36, 3]
    """
    found = _ResNet(Builder(dtype, rng), True, zero_init_residual, stride_in_first)
    return found.network((3, 8, 36, 3), num_classes)
