"""VGG: stacks of 3x3 convolutions between poolings.

K. Simonyan and A. Zisserman, "Very deep convolutional networks for large-scale image recognition",
arXiv 1409.1556.
"""

import numpy as np
from numpy.typing import DTypeLike

from fastconv._check import Random
from fastconv._docs import described_like
from fastconv.layers import AdaptiveAvgPool2d, Layer, MaxPool2d, ReLU, Sequential
from fastconv.models._build import Builder, classifier

# The convolutions in each of five stages: table 1 of the paper, columns A, B, D and E.
_VGG11 = (1, 1, 2, 2, 2)
_VGG13 = (2, 2, 2, 2, 2)
_VGG16 = (2, 2, 3, 3, 3)
_VGG19 = (2, 2, 4, 4, 4)
_WIDTHS = (64, 128, 256, 512, 512)


def _vgg(
    stages: tuple[int, ...], norms: bool, num_classes: int, dropout: float, build: Builder
) -> Sequential:
    features: list[Layer] = []
    inputs = 3
    for count, width in zip(stages, _WIDTHS, strict=True):
        for _ in range(count):
            features.append(build.conv(inputs, width, 3, padding=1))
            if norms:
                features.append(build.norm(width))
            features.append(ReLU(inplace=True))
            inputs = width
        features.append(MaxPool2d(2, 2))
    head = Sequential(
        build.linear(512 * 7 * 7, 4096),
        ReLU(inplace=True),
        build.dropout(dropout),
        build.linear(4096, 4096),
        ReLU(inplace=True),
        build.dropout(dropout),
        build.linear(4096, num_classes, last=True),
    )
    return classifier(Sequential(*features), AdaptiveAvgPool2d(7), head)


def vgg11(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return VGG-11, column A of the paper's table: 132,863,336 parameters.

    Parameters
    ----------
    num_classes : int
        Number of outputs.
    dropout : float, keyword-only
        The probability of dropout between the full connections.
    dtype : dtype, keyword-only
        Float32 or float64.
    rng : int or numpy.random.Generator, optional, keyword-only
        Where dropout's masks and the initial values come from (He's scheme; torch's for the last
        layer); an int is a seed.

    Returns
    -------
    Sequential
        Takes (N, 3, H, W) of 32 x 32 or more, gives (N, num_classes): scores, not probabilities.
        Names and shapes of parameters and buffers are those of torchvision.

    Examples
    --------
    >>> from fastconv import models
    >>> len(models.vgg11(10, rng=0)[0])
    21
    """
    return _vgg(_VGG11, False, num_classes, dropout, Builder(dtype, rng))


@described_like(vgg11)
def vgg11_bn(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return VGG-11 with batch norm behind each convolution: 132,868,840 parameters.

    Examples
    --------
    >>> from fastconv import models
    >>> len(models.vgg11_bn(10, rng=0)[0])
    29
    """
    return _vgg(_VGG11, True, num_classes, dropout, Builder(dtype, rng))


@described_like(vgg11)
def vgg13(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return VGG-13, column B of the paper's table: 133,047,848 parameters.

    Examples
    --------
    >>> from fastconv import models
    >>> len(models.vgg13(10, rng=0)[0])
    25
    """
    return _vgg(_VGG13, False, num_classes, dropout, Builder(dtype, rng))


@described_like(vgg11)
def vgg13_bn(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return VGG-13 with batch norm behind each convolution: 133,053,736 parameters.

    Examples
    --------
    >>> from fastconv import models
    >>> len(models.vgg13_bn(10, rng=0)[0])
    35
    """
    return _vgg(_VGG13, True, num_classes, dropout, Builder(dtype, rng))


@described_like(vgg11)
def vgg16(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return VGG-16, column D of the paper's table: 138,357,544 parameters.

    Examples
    --------
    >>> from fastconv import models
    >>> len(models.vgg16(10, rng=0)[0])
    31
    """
    return _vgg(_VGG16, False, num_classes, dropout, Builder(dtype, rng))


@described_like(vgg11)
def vgg16_bn(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return VGG-16 with batch norm behind each convolution: 138,365,992 parameters.

    Examples
    --------
    >>> from fastconv import models
    >>> len(models.vgg16_bn(10, rng=0)[0])
    44
    """
    return _vgg(_VGG16, True, num_classes, dropout, Builder(dtype, rng))


@described_like(vgg11)
def vgg19(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return VGG-19, column E of the paper's table: 143,667,240 parameters.

    Examples
    --------
    >>> from fastconv import models
    >>> len(models.vgg19(10, rng=0)[0])
    37
    """
    return _vgg(_VGG19, False, num_classes, dropout, Builder(dtype, rng))


@described_like(vgg11)
def vgg19_bn(
    num_classes: int = 1000,
    *,
    dropout: float = 0.5,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Sequential:
    """Return VGG-19 with batch norm behind each convolution: 143,678,248 parameters.

    Examples
    --------
    >>> from fastconv import models
    >>> len(models.vgg19_bn(10, rng=0)[0])
    53
    """
    return _vgg(_VGG19, True, num_classes, dropout, Builder(dtype, rng))
