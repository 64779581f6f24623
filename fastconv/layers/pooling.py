"""The pooling layers of torch.nn, each over one, two or three axes."""

from fastconv._docs import described_like
from fastconv.layers._pooling import (
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    AvgPool,
    AvgPoolWithDivisor,
    FractionalMaxPool,
    LPPool,
    MaxPool,
    MaxUnpool,
)


class MaxPool2d(MaxPool):
    """The maximum of each window: `functional.max_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation, return_indices, ceil_mode
        As in `functional.max_pool2d`, in torch.nn's order. With `return_indices` forward returns
        (output, indices).

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; `forward`, as the function.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.MaxPool2d(3, stride=2)(np.zeros((1, 96, 55, 55))).shape
    (1, 96, 27, 27)
    """

    _axes = 2


@described_like(MaxPool2d, 1)
class MaxPool1d(MaxPool):
    """The maximum of each window of a sequence: `functional.max_pool1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.MaxPool1d(2)(np.zeros((1, 6, 28))).shape
    (1, 6, 14)
    """

    _axes = 1


@described_like(MaxPool2d, 3)
class MaxPool3d(MaxPool):
    """The maximum of each window of a volume: `functional.max_pool3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.MaxPool3d(2)(np.zeros((1, 6, 8, 28, 28))).shape
    (1, 6, 4, 14, 14)
    """

    _axes = 3


class AvgPool2d(AvgPoolWithDivisor):
    """The mean of each window: `functional.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As in `functional.avg_pool2d`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; `forward`, as the function.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.AvgPool2d(2)(np.zeros((8, 6, 28, 28))).shape
    (8, 6, 14, 14)
    """

    _axes = 2


@described_like(AvgPool2d, 3)
class AvgPool3d(AvgPoolWithDivisor):
    """The mean of each window of a volume: `functional.avg_pool3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.AvgPool3d(2)(np.zeros((1, 6, 8, 28, 28))).shape
    (1, 6, 4, 14, 14)
    """

    _axes = 3


class AvgPool1d(AvgPool):
    """The mean of each window of a sequence: `functional.avg_pool1d`.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As in `functional.avg_pool1d`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; `forward`, as the function.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.AvgPool1d(2)(np.zeros((8, 6, 28))).shape
    (8, 6, 14)
    """

    _axes = 1


class AdaptiveAvgPool2d(AdaptiveAvgPool):
    """The means of as many windows as are wanted: `functional.adaptive_avg_pool2d`.

    Parameters
    ----------
    output_size : int, or tuple of int or None
        As in `functional.adaptive_avg_pool2d`; 1 is global pooling.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; `forward`, as the function.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.AdaptiveAvgPool2d(1)(np.zeros((8, 512, 7, 7))).shape
    (8, 512, 1, 1)
    """

    _axes = 2


@described_like(AdaptiveAvgPool2d, 1)
class AdaptiveAvgPool1d(AdaptiveAvgPool):
    """The means of as many windows of a sequence as are wanted: `functional.adaptive_avg_pool1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.AdaptiveAvgPool1d(4)(np.zeros((8, 6, 30))).shape
    (8, 6, 4)
    """

    _axes = 1


@described_like(AdaptiveAvgPool2d, 3)
class AdaptiveAvgPool3d(AdaptiveAvgPool):
    """The means of as many windows of a volume as are wanted: `functional.adaptive_avg_pool3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.AdaptiveAvgPool3d((1, None, 2))(np.zeros((1, 6, 8, 9, 10))).shape
    (1, 6, 1, 9, 2)
    """

    _axes = 3


class AdaptiveMaxPool2d(AdaptiveMaxPool):
    """The maxima of as many windows as are wanted: `functional.adaptive_max_pool2d`.

    Parameters
    ----------
    output_size : int, or tuple of int or None
        As in `functional.adaptive_max_pool2d`; 1 is global pooling.
    return_indices : bool
        Let forward return (output, indices).

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; `forward`, as the function.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.AdaptiveMaxPool2d((5, 7))(np.zeros((1, 64, 8, 9))).shape
    (1, 64, 5, 7)
    """

    _axes = 2


@described_like(AdaptiveMaxPool2d, 1)
class AdaptiveMaxPool1d(AdaptiveMaxPool):
    """The maxima of as many windows of a sequence as are wanted: `functional.adaptive_max_pool1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.AdaptiveMaxPool1d(4)(np.zeros((8, 6, 30))).shape
    (8, 6, 4)
    """

    _axes = 1


@described_like(AdaptiveMaxPool2d, 3)
class AdaptiveMaxPool3d(AdaptiveMaxPool):
    """The maxima of as many windows of a volume as are wanted: `functional.adaptive_max_pool3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.AdaptiveMaxPool3d(2)(np.zeros((1, 6, 8, 9, 10))).shape
    (1, 6, 2, 2, 2)
    """

    _axes = 3


class LPPool2d(LPPool):
    """The p-norm of each window: `functional.lp_pool2d`.

    Parameters
    ----------
    norm_type, kernel_size, stride, ceil_mode
        As in `functional.lp_pool2d`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; `forward`, as the function.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.LPPool2d(2, 3, stride=2)(np.zeros((1, 16, 50, 32))).shape
    (1, 16, 24, 15)
    """

    _axes = 2


@described_like(LPPool2d, 1)
class LPPool1d(LPPool):
    """The p-norm of each window of a sequence: `functional.lp_pool1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.LPPool1d(2, 3)(np.zeros((1, 16, 50))).shape
    (1, 16, 16)
    """

    _axes = 1


@described_like(LPPool2d, 3)
class LPPool3d(LPPool):
    """The p-norm of each window of a volume: `functional.lp_pool3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.LPPool3d(1.5, 2)(np.zeros((1, 16, 4, 6, 8))).shape
    (1, 16, 2, 3, 4)
    """

    _axes = 3


class MaxUnpool2d(MaxUnpool):
    """Max pooling undone: `functional.max_unpool2d`.

    Forward takes the maxima, their places, and if need be the size of the result; backward returns
    a gradient for the maxima, and None for the places.

    Parameters
    ----------
    kernel_size, stride, padding
        As in `functional.max_unpool2d`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; `forward`, as the function.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> maxima, indices = layers.MaxPool2d(2, return_indices=True)(x)
    >>> layers.MaxUnpool2d(2)(maxima, indices).sum()
    np.float64(40.0)
    """

    _axes = 2


@described_like(MaxUnpool2d, 1)
class MaxUnpool1d(MaxUnpool):
    """Max pooling of a sequence undone: `functional.max_unpool1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.MaxUnpool1d(2)(np.array([[[7.0]]]), np.array([[[1]]]))
    array([[[0., 7.]]])
    """

    _axes = 1


@described_like(MaxUnpool2d, 3)
class MaxUnpool3d(MaxUnpool):
    """Max pooling of a volume undone: `functional.max_unpool3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> one, place = np.full((1, 1, 1, 1), 7.0), np.array([[[[1]]]])
    >>> layers.MaxUnpool3d((1, 1, 2))(one, place)
    array([[[[0., 7.]]]])
    """

    _axes = 3


class FractionalMaxPool2d(FractionalMaxPool):
    """Maxima of windows at random distances: `functional.fractional_max_pool2d`.

    The samples are drawn in evaluation, too, as in torch.

    Parameters
    ----------
    kernel_size, output_size, output_ratio, return_indices, _random_samples
        As in `functional.fractional_max_pool2d`. With `return_indices` forward returns (output,
        indices).
    rng : int or numpy.random.Generator, optional, keyword-only
        Where the samples come from; an int is a seed.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; `forward`, as the function.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.FractionalMaxPool2d(2, output_ratio=0.7, rng=0)(np.zeros((1, 8, 20, 30))).shape
    (1, 8, 14, 21)
    """

    _axes = 2


@described_like(FractionalMaxPool2d, 3)
class FractionalMaxPool3d(FractionalMaxPool):
    """Maxima of windows of a volume at random distances: `functional.fractional_max_pool3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.FractionalMaxPool3d(2, 3, rng=0)(np.zeros((1, 8, 5, 6, 7))).shape
    (1, 8, 3, 3, 3)
    """

    _axes = 3
