"""AlexNet.

A. Krizhevsky, I. Sutskever and G. Hinton, "ImageNet classification with deep convolutional neural
networks", NIPS 2012; and, with other widths and for one device, A. Krizhevsky, "One weird trick for
parallelizing convolutional neural networks", arXiv 1404.5997, which torchvision follows.
"""

import numpy as np
from numpy.typing import DTypeLike

from fastconv._check import Random
from fastconv.layers import (
    AdaptiveAvgPool2d,
    Layer,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Sequential,
)
from fastconv.models._build import Builder, classifier


def _network(
    build: Builder, convolutions: list[list[Layer]], num_classes: int, dropout: float
) -> Sequential:
    """Return the network of five convolutions, with what stands behind each one's ReLU."""
    features: list[Layer] = []
    for conv, *behind in convolutions:
        features += [conv, ReLU(inplace=True), *behind]
    head = Sequential(
        build.dropout(dropout),
        build.linear(256 * 6 * 6, 4096),
        ReLU(inplace=True),
        build.dropout(dropout),
        build.linear(4096, 4096),
        ReLU(inplace=True),
        build.linear(4096, num_classes, last=True),
    )
    return classifier(Sequential(*features), AdaptiveAvgPool2d(6), head)


def alexnet(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return AlexNet as in torchvision: 61,100,840 parameters.

    Parameters
    ----------
    num_classes : int
        Number of outputs.
    dropout : float, keyword-only
        The probability of dropout before the first two full connections.
    dtype : dtype, keyword-only
        Float32 or float64.
    rng : int or numpy.random.Generator, optional, keyword-only
        Where dropout's masks and the initial values come from (torch's scheme); an int is a seed.

    Returns
    -------
    Sequential
        Takes (N, 3, H, W) of 63 x 63 or more, gives (N, num_classes): scores, not probabilities.
        Names and shapes of parameters are those of torchvision.

    Examples
    --------
    >>> from fastconv import models
    >>> sum(p.data.size for p in models.alexnet().parameters())
    61100840
    """
    build = Builder(dtype, rng, "torch")
    convolutions: list[list[Layer]] = [
        [build.conv(3, 64, 11, stride=4, padding=2), MaxPool2d(3, 2)],
        [build.conv(64, 192, 5, padding=2), MaxPool2d(3, 2)],
        [build.conv(192, 384, 3, padding=1)],
        [build.conv(384, 256, 3, padding=1)],
        [build.conv(256, 256, 3, padding=1), MaxPool2d(3, 2)],
    ]
    return _network(build, convolutions, num_classes, dropout)


def alexnet_lrn(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return AlexNet as in its paper of 2012: 60,965,224 parameters.

    Local response normalisation stands behind the first two convolutions, overlapping max pooling
    behind the first two and the fifth, and the second, fourth and fifth convolution have two
    groups, once one for each GPU.

    Parameters
    ----------
    num_classes : int
        Number of outputs.
    dropout : float, keyword-only
        The probability of dropout before the first two full connections.
    dtype : dtype, keyword-only
        Float32 or float64.
    rng : int or numpy.random.Generator, optional, keyword-only
        Where dropout's masks and the initial values come from (the paper's: normal ones of
        deviation 0.01; biases are 1 in the second, fourth and fifth convolution and the full
        connections before the last, and else 0); an int is a seed.

    Returns
    -------
    Sequential
        Takes (N, 3, 227, 227), the size that gives the paper's 55 x 55, or others; gives
        (N, num_classes): scores, not probabilities.

    Examples
    --------
    >>> from fastconv import models
    >>> sum(p.data.size for p in models.alexnet_lrn().parameters())
    60965224
    """
    build = Builder(dtype, rng)

    def response_norm() -> LocalResponseNorm:
        # Section 3.3 multiplies the sum itself by alpha, not the mean.
        return LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0, divide_by_size=False)

    convolutions: list[list[Layer]] = [
        [build.conv(3, 96, 11, stride=4), response_norm(), MaxPool2d(3, 2)],
        [build.conv(96, 256, 5, padding=2, groups=2), response_norm(), MaxPool2d(3, 2)],
        [build.conv(256, 384, 3, padding=1)],
        [build.conv(384, 384, 3, padding=1, groups=2)],
        [build.conv(384, 256, 3, padding=1, groups=2), MaxPool2d(3, 2)],
    ]
    network = _network(build, convolutions, num_classes, dropout)
    # Section 5.
    for parameter, ones in zip(network.parameters()[1::2], (0, 1, 0, 1, 1, 1, 1, 0), strict=True):
        parameter.data[...] = ones
    for parameter in network.parameters()[::2]:
        parameter.data[...] = build.random.standard_normal(parameter.data.shape) * 0.01
    return network
