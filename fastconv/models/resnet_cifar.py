"""ResNet for images of 32 x 32, such as CIFAR-10: section 4.2 of the paper (see `resnet`)."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv import functional as F
from fastconv._check import Array, Random
from fastconv._docs import described_like
from fastconv._geometry import Ints
from fastconv.layers import (
    AdaptiveAvgPool2d,
    Flatten,
    Graph,
    Layer,
    Linear,
    ReLU,
    Sequential,
)
from fastconv.models._build import Builder
from fastconv.models.resnet import basic_block


class PaddedShortcut(Layer):
    """Every second row and column, and channels of zeros: option A of the paper, without weights.

    Parameters
    ----------
    channels : int
        How many channels of zeros come behind those of the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.models.resnet_cifar import PaddedShortcut
    >>> PaddedShortcut(16)(np.ones((1, 16, 32, 32))).shape
    (1, 32, 16, 16)
    """

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def _pad(self) -> Ints:
        return (0, 0, 0, 0, 0, self.channels)

    def _forward(self, x: Array) -> tuple[Array, Ints]:
        return F.pad(x[:, :, ::2, ::2], self._pad()), x.shape

    def _backward(self, saved: Ints, grad_output: Array, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        gradient = np.zeros(saved, grad_output.dtype)
        taken = gradient[:, :, ::2, ::2]
        taken[...] = F.pad_backward(grad_output, taken.shape, self._pad())
        return gradient

    def _describe(self) -> str:
        return f"{self.channels}"


def _block(build: Builder, inputs: int, width: int, stride: int) -> Graph:
    shortcut = None if inputs == width else PaddedShortcut(width - inputs)
    return basic_block(build, inputs, width, stride, shortcut)


def _resnet(blocks: int, num_classes: int, build: Builder) -> Sequential:
    """Return three stages of 16, 32 and 64 channels, with so many blocks in each."""
    nodes: dict[str, Any] = {
        "conv1": build.conv(3, 16, 3, padding=1, bias=False),
        "bn1": build.norm(16),
        "relu": ReLU(inplace=True),
    }
    inputs = 16
    for stage, width in enumerate((16, 32, 64), 1):
        first = _block(build, inputs, width, 1 if inputs == width else 2)
        others = [_block(build, width, width, 1) for _ in range(blocks - 1)]
        nodes[f"layer{stage}"] = Sequential(first, *others)
        inputs = width
    last: Linear = build.linear(inputs, num_classes, last=True)
    return Sequential({**nodes, "avgpool": AdaptiveAvgPool2d(1), "flatten": Flatten(), "fc": last})


def resnet20(
    num_classes: int = 10, *, dtype: DTypeLike = np.float32, rng: Random = None
) -> Sequential:
    """Return ResNet-20 for small images: 269,722 parameters.

    Parameters
    ----------
    num_classes : int
        Number of outputs.
    dtype : dtype, keyword-only
        Float32 or float64.
    rng : int or numpy.random.Generator, optional, keyword-only
        Where the initial values come from (He's scheme; torch's for the last layer); an int is a
        seed.

    Returns
    -------
    Sequential
        Takes (N, 3, 32, 32), or other sizes, gives (N, num_classes): scores, not probabilities.
        Where a block halves the size, its shortcut has no weights: the paper's option A.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import models
    >>> models.resnet20(rng=0)(np.zeros((2, 3, 32, 32), np.float32)).shape
    (2, 10)
    """
    return _resnet(3, num_classes, Builder(dtype, rng))


@described_like(resnet20)
def resnet32(
    num_classes: int = 10, *, dtype: DTypeLike = np.float32, rng: Random = None
) -> Sequential:
    """Return ResNet-32 for small images: 464,154 parameters.

    Examples
    --------
    >>> from fastconv import models
    >>> sum(p.data.size for p in models.resnet32().parameters())
    464154
    """
    return _resnet(5, num_classes, Builder(dtype, rng))


@described_like(resnet20)
def resnet56(
    num_classes: int = 10, *, dtype: DTypeLike = np.float32, rng: Random = None
) -> Sequential:
    """Return ResNet-56 for small images: 853,018 parameters.

    Examples
    --------
    >>> from fastconv import models
    >>> sum(p.data.size for p in models.resnet56().parameters())
    853018
    """
    return _resnet(9, num_classes, Builder(dtype, rng))
