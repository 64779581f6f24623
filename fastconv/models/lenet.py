"""LeNet-5 and its relatives.

Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE, 1998. As is usual today, every map of the second convolution
sees all six maps of the first, mean pooling has no weights, and the last layer is linear.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from fastconv._check import Random
from fastconv.layers import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    Tanh,
)


def _lenet(
    num_classes: int,
    init: str,
    activation: Callable[[], Layer],
    pool: Callable[[int], Layer],
    dtype: DTypeLike,
    rng: Random,
) -> Sequential:
    """Return LeNet-5 with any activation and pooling."""
    random = np.random.default_rng(rng)

    def conv(inputs: int, outputs: int, padding: int) -> Conv2d:
        return Conv2d(inputs, outputs, 5, padding=padding, dtype=dtype, rng=random, init=init)

    def full(inputs: int, outputs: int) -> Linear:
        return Linear(inputs, outputs, dtype=dtype, rng=random, init=init)

    return Sequential(
        conv(1, 6, 2),
        activation(),
        pool(2),
        conv(6, 16, 0),
        activation(),
        pool(2),
        Flatten(),
        full(400, 120),
        activation(),
        full(120, 84),
        activation(),
        full(84, num_classes),
    )


def lenet5(
    num_classes: int = 10, *, dtype: DTypeLike = np.float32, rng: Random = None
) -> Sequential:
    """Return LeNet-5 with tanh and mean pooling, for images of 28 x 28.

    Parameters
    ----------
    num_classes : int
        Number of outputs.
    dtype : dtype
        Float32 or float64.
    rng : int or numpy.random.Generator, optional
        Where the initial values (Xavier's scheme) come from; an int is a seed.

    Returns
    -------
    Sequential
        Takes (N, 1, 28, 28), gives (N, num_classes): scores, not probabilities.

    Examples
    --------
    >>> from fastconv import models
    >>> sum(p.data.size for p in models.lenet5().parameters())
    61706
    """
    return _lenet(num_classes, "xavier", Tanh, AvgPool2d, dtype, rng)


def lenet5_relu(
    num_classes: int = 10, *, dtype: DTypeLike = np.float32, rng: Random = None
) -> Sequential:
    """Return LeNet-5 with ReLU and max pooling, for images of 28 x 28.

    Parameters
    ----------
    num_classes : int
        Number of outputs.
    dtype : dtype
        Float32 or float64.
    rng : int or numpy.random.Generator, optional
        Where the initial values (He's scheme) come from; an int is a seed.

    Returns
    -------
    Sequential
        Takes (N, 1, 28, 28), gives (N, num_classes): scores, not probabilities.

    Examples
    --------
    >>> from fastconv import models
    >>> sum(p.data.size for p in models.lenet5_relu().parameters())
    61706
    """
    return _lenet(num_classes, "he", ReLU, MaxPool2d, dtype, rng)


def lenet_digits(
    num_classes: int = 10, *, dtype: DTypeLike = np.float32, rng: Random = None
) -> Sequential:
    """Return a smaller sibling of LeNet-5, for images of 8 x 8.

    Parameters
    ----------
    num_classes : int
        Number of outputs.
    dtype : dtype
        Float32 or float64.
    rng : int or numpy.random.Generator, optional
        Where the initial values (He's scheme) come from; an int is a seed.

    Returns
    -------
    Sequential
        Takes (N, 1, 8, 8), gives (N, num_classes): scores, not probabilities.

    Examples
    --------
    >>> from fastconv import models
    >>> sum(p.data.size for p in models.lenet_digits().parameters())
    38282
    """
    random = np.random.default_rng(rng)

    def conv(inputs: int, outputs: int) -> Conv2d:
        return Conv2d(inputs, outputs, 3, padding=1, dtype=dtype, rng=random, init="he")

    def full(inputs: int, outputs: int) -> Linear:
        return Linear(inputs, outputs, dtype=dtype, rng=random, init="he")

    return Sequential(
        conv(1, 16),
        ReLU(),
        conv(16, 32),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        full(512, 64),
        ReLU(),
        full(64, num_classes),
    )
