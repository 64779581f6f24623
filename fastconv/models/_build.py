"""What the networks are made of: layers of one dtype, whose values come from one generator."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv._check import Random
from fastconv.layers import (
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    Sequential,
)


class Builder:
    """Makes the layers of a network.

    Parameters
    ----------
    dtype : dtype
        Of all parameters and running statistics.
    rng : int or numpy.random.Generator, optional
        Where all initial values and dropout's masks come from, in the order of the layers.
    init : {"he", "torch"}
        The scheme of the initial values, but for a network's last layer, which has torch's.
    """

    def __init__(self, dtype: DTypeLike, rng: Random, init: str = "he") -> None:
        self.dtype = dtype
        self.random = np.random.default_rng(rng)
        self.init = init

    def conv(self, inputs: int, outputs: int, kernel_size: int, **more: Any) -> Conv2d:
        """Return a convolution; `more` are arguments of `Conv2d`."""
        drawn = {"dtype": self.dtype, "rng": self.random, "init": self.init}
        return Conv2d(inputs, outputs, kernel_size, **{**drawn, **more})

    def upsampling(self, inputs: int, outputs: int) -> ConvTranspose2d:
        """Return the transposed convolution that doubles height and width."""
        drawn: dict[str, Any] = {"dtype": self.dtype, "rng": self.random, "init": self.init}
        return ConvTranspose2d(inputs, outputs, 2, 2, **drawn)

    def norm(self, channels: int, **more: Any) -> BatchNorm2d:
        """Return batch norm; `more` are arguments of `BatchNorm2d`."""
        return BatchNorm2d(channels, dtype=self.dtype, **more)

    def linear(self, inputs: int, outputs: int, *, last: bool = False) -> Linear:
        """Return a full connection; the last one has no ReLU behind it."""
        init = "torch" if last else self.init
        return Linear(inputs, outputs, dtype=self.dtype, rng=self.random, init=init)

    def dropout(self, p: float) -> Dropout:
        """Return dropout."""
        return Dropout(p, rng=self.random)


def classifier(features: Layer, pool: Layer, head: Layer) -> Sequential:
    """Return a network of features, pooling and a head under torchvision's names for them."""
    return Sequential(
        {"features": features, "avgpool": pool, "flatten": Flatten(), "classifier": head}
    )
