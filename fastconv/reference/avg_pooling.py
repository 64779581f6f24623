"""Average pooling and its gradient, window by window."""

from collections.abc import Sequence

import numpy as np

from fastconv._docs import described_like
from fastconv.reference._arguments import Array, PerAxis, expect_shape, float_dtype
from fastconv.reference._pooling import Window, numbered_windows, spread, sums
from fastconv.reference._windows import Padding, last


def avg_pool2d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool | str = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: PerAxis = 1,
) -> Array:
    """Take the mean of every window.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Input maps, float32 or float64.
    kernel_size, stride, padding, ceil_mode
        As in `max_pool2d`; the padding holds zeros.
    count_include_pad : bool, default True
        Whether the padding counts as cells. The part of a window that hangs over the padded
        border (`ceil_mode`) never counts.
    divisor_override : int, optional
        Divide by this number instead of the number of cells.
    dilation : int or sequence of int, default 1
        Distance of two neighbours of the window.

    Returns
    -------
    numpy.ndarray of shape (N, C, OH, OW) or (C, OH, OW)
        The means.

    Raises
    ------
    ValueError
        If shapes do not fit together, a window sees nothing but padding, or the divisor is 0.
    TypeError
        If the input is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import avg_pool2d
    >>> avg_pool2d(np.array([[[1.0, 8, 4, 3], [7, 2, 1, 9], [6, 1, 2, 4], [8, 7, 6, 0]]]), 2)
    array([[[4.5 , 4.25],
            [5.5 , 3.  ]]])
    """
    dtype = float_dtype(input=input)
    counts, windows = numbered_windows(
        input.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode
    )
    output = np.empty((*input.shape[:-2], *counts), dtype)
    for window, total in sums(input, 2, windows):
        divisor = _divisor(window, count_include_pad, divisor_override)
        output[last(window.place)] = total / divisor
    return output


@described_like(avg_pool2d, 1)
def avg_pool1d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool | str = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: PerAxis = 1,
) -> Array:
    """Take the mean of every window of a sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import avg_pool1d
    >>> avg_pool1d(np.array([[1.0, 8, 4, 3]]), 2)
    array([[4.5, 3.5]])
    """
    dtype = float_dtype(input=input)
    counts, windows = numbered_windows(
        input.shape[-1:], kernel_size, stride, padding, dilation, ceil_mode
    )
    output = np.empty((*input.shape[:-1], *counts), dtype)
    for window, total in sums(input, 1, windows):
        divisor = _divisor(window, count_include_pad, divisor_override)
        output[last(window.place)] = total / divisor
    return output


@described_like(avg_pool2d, 3)
def avg_pool3d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool | str = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: PerAxis = 1,
) -> Array:
    """Take the mean of every window of a volume.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import avg_pool3d
    >>> avg_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 2)
    array([[[[3.5]]]])
    """
    dtype = float_dtype(input=input)
    counts, windows = numbered_windows(
        input.shape[-3:], kernel_size, stride, padding, dilation, ceil_mode
    )
    output = np.empty((*input.shape[:-3], *counts), dtype)
    for window, total in sums(input, 3, windows):
        divisor = _divisor(window, count_include_pad, divisor_override)
        output[last(window.place)] = total / divisor
    return output


def avg_pool2d_backward(
    grad_output: Array,
    input_size: Sequence[int],
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool | str = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: PerAxis = 1,
) -> Array:
    """Spread the residual evenly over the cells of its window.

    Parameters
    ----------
    grad_output : numpy.ndarray of shape (N, C, OH, OW) or (C, OH, OW)
        Residual of the pooled maps.
    input_size : sequence of int
        Shape of the input, (N, C, H, W) or (C, H, W).
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation
        As in `avg_pool2d`.

    Returns
    -------
    numpy.ndarray of shape `input_size`
        Residual of the input.

    Raises
    ------
    ValueError
        If shapes do not fit together, a window sees nothing but padding, or the divisor is 0.
    TypeError
        If the residual is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import avg_pool2d_backward
    >>> avg_pool2d_backward(np.array([[[8.0, 4], [16, 4]]]), (1, 4, 4), 2)
    array([[[2., 2., 1., 1.],
            [2., 2., 1., 1.],
            [4., 4., 1., 1.],
            [4., 4., 1., 1.]]])
    """
    dtype = float_dtype(grad_output=grad_output)
    counts, windows = numbered_windows(
        input_size[-2:], kernel_size, stride, padding, dilation, ceil_mode
    )
    expect_shape("grad_output", grad_output, (*input_size[:-2], *counts))
    shares = grad_output.astype(np.float64)
    for window in windows:
        shares[last(window.place)] /= _divisor(window, count_include_pad, divisor_override)
    return spread(shares, input_size, 2, windows).astype(dtype)


@described_like(avg_pool2d_backward, 1)
def avg_pool1d_backward(
    grad_output: Array,
    input_size: Sequence[int],
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool | str = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: PerAxis = 1,
) -> Array:
    """Spread the residual of a sequence evenly over the cells of its window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import avg_pool1d_backward
    >>> avg_pool1d_backward(np.array([[8.0, 4]]), (1, 4), 2)
    array([[4., 4., 2., 2.]])
    """
    dtype = float_dtype(grad_output=grad_output)
    counts, windows = numbered_windows(
        input_size[-1:], kernel_size, stride, padding, dilation, ceil_mode
    )
    expect_shape("grad_output", grad_output, (*input_size[:-1], *counts))
    shares = grad_output.astype(np.float64)
    for window in windows:
        shares[last(window.place)] /= _divisor(window, count_include_pad, divisor_override)
    return spread(shares, input_size, 1, windows).astype(dtype)


@described_like(avg_pool2d_backward, 3)
def avg_pool3d_backward(
    grad_output: Array,
    input_size: Sequence[int],
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool | str = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: PerAxis = 1,
) -> Array:
    """Spread the residual of a volume evenly over the cells of its window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import avg_pool3d_backward
    >>> avg_pool3d_backward(np.full((1, 1, 1, 1), 8.0), (1, 2, 1, 2), (2, 1, 2))
    array([[[[2., 2.]],
            [[2., 2.]]]])
    """
    dtype = float_dtype(grad_output=grad_output)
    counts, windows = numbered_windows(
        input_size[-3:], kernel_size, stride, padding, dilation, ceil_mode
    )
    expect_shape("grad_output", grad_output, (*input_size[:-3], *counts))
    shares = grad_output.astype(np.float64)
    for window in windows:
        shares[last(window.place)] /= _divisor(window, count_include_pad, divisor_override)
    return spread(shares, input_size, 3, windows).astype(dtype)


def _divisor(window: Window, count_include_pad: bool, divisor_override: int | None) -> int:
    if divisor_override == 0:
        raise ValueError("divisor_override is 0, expected another int or None")
    if divisor_override is not None:
        return divisor_override
    return window.bordered if count_include_pad else len(window.cells)
