"""Pooling by p-norms and its gradient, window by window."""

from collections.abc import Sequence
from math import inf, prod

import numpy as np

from fastconv._docs import described_like
from fastconv.reference._arguments import Array, PerAxis, expect_shape, float_dtype, per_axis
from fastconv.reference._pooling import Window, numbered_windows, spread, sums
from fastconv.reference._windows import Padding, last


def lp_pool2d(
    input: Array,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    ceil_mode: bool | str = False,
    *,
    padding: Padding = 0,
    dilation: PerAxis = 1,
) -> Array:
    """Take the p-norm of every window.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Input maps x, float32 or float64.
    norm_type : float
        The power p, above 0.
    kernel_size, stride, padding, dilation
        As in `max_pool2d`; the padding holds zeros.
    ceil_mode : bool or "onnx", default False
        As in `max_pool2d`. With True, torch's rule, the sum of a window that hangs over the padded
        border is scaled from the cells up to it to a whole window.

    Returns
    -------
    numpy.ndarray of shape (N, C, OH, OW) or (C, OH, OW)
        The norms y.

    Raises
    ------
    ValueError
        If shapes do not fit together, a window sees nothing but padding, or p is not above 0.
    TypeError
        If the input is not an array of float32 or float64.

    Notes
    -----
    Over the cells i of a window, with its scale s (1 unless it hangs over)::

        y = (s sum_i |x_i|^p)^(1/p)

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import lp_pool2d
    >>> lp_pool2d(np.array([[[3.0, -4, 0, 1], [0, 0, 0, 0]]]), 2, 2)
    array([[[5., 1.]]])
    """
    dtype = float_dtype(input=input)
    counts, windows = numbered_windows(
        input.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode
    )
    powers = np.abs(input.astype(np.float64)) ** _positive(norm_type)
    output = np.empty((*input.shape[:-2], *counts), dtype)
    for window, total in sums(powers, 2, windows):
        scale = _scale(window, per_axis("kernel_size", kernel_size, 2), ceil_mode)
        output[last(window.place)] = (scale * total) ** (1 / norm_type)
    return output


@described_like(lp_pool2d, 1)
def lp_pool1d(
    input: Array,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    ceil_mode: bool | str = False,
    *,
    padding: Padding = 0,
    dilation: PerAxis = 1,
) -> Array:
    """Take the p-norm of every window of a sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import lp_pool1d
    >>> lp_pool1d(np.array([[3.0, -4, 0, 1]]), 1, 2)
    array([[7., 1.]])
    """
    dtype = float_dtype(input=input)
    counts, windows = numbered_windows(
        input.shape[-1:], kernel_size, stride, padding, dilation, ceil_mode
    )
    powers = np.abs(input.astype(np.float64)) ** _positive(norm_type)
    output = np.empty((*input.shape[:-1], *counts), dtype)
    for window, total in sums(powers, 1, windows):
        scale = _scale(window, per_axis("kernel_size", kernel_size, 1), ceil_mode)
        output[last(window.place)] = (scale * total) ** (1 / norm_type)
    return output


@described_like(lp_pool2d, 3)
def lp_pool3d(
    input: Array,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    ceil_mode: bool | str = False,
    *,
    padding: Padding = 0,
    dilation: PerAxis = 1,
) -> Array:
    """Take the p-norm of every window of a volume.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import lp_pool3d
    >>> lp_pool3d(np.full((1, 1, 1, 2), -3.0), 2, (1, 1, 2)).round(3)
    array([[[[4.243]]]])
    """
    dtype = float_dtype(input=input)
    counts, windows = numbered_windows(
        input.shape[-3:], kernel_size, stride, padding, dilation, ceil_mode
    )
    powers = np.abs(input.astype(np.float64)) ** _positive(norm_type)
    output = np.empty((*input.shape[:-3], *counts), dtype)
    for window, total in sums(powers, 3, windows):
        scale = _scale(window, per_axis("kernel_size", kernel_size, 3), ceil_mode)
        output[last(window.place)] = (scale * total) ** (1 / norm_type)
    return output


def lp_pool2d_backward(
    grad_output: Array,
    input: Array,
    output: Array,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    ceil_mode: bool | str = False,
    *,
    padding: Padding = 0,
    dilation: PerAxis = 1,
) -> Array:
    """Send the residual of every norm back to the cells of its window.

    Parameters
    ----------
    grad_output : numpy.ndarray of shape (N, C, OH, OW) or (C, OH, OW)
        Residual of the norms.
    input, output : numpy.ndarray
        Input and output of `lp_pool2d`.
    norm_type, kernel_size, stride, ceil_mode, padding, dilation
        As in `lp_pool2d`.

    Returns
    -------
    numpy.ndarray of the shape of `input`
        Residual of the input; 0 where the norm, or the input itself, is 0.

    Raises
    ------
    ValueError
        If shapes do not fit together, a window sees nothing but padding, or p is not above 0.
    TypeError
        If the arrays are not all float32 or all float64.

    Notes
    -----
    For a cell x of a window with the norm y::

        dy / dx = s sign(x) |x|^(p - 1) y^(1 - p)

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import lp_pool2d_backward
    >>> x, y = np.array([[[3.0, -4]]]), np.array([[[5.0]]])
    >>> lp_pool2d_backward(2 * y, x, y, 2, (1, 2))
    array([[[ 6., -8.]]])
    """
    dtype = float_dtype(grad_output=grad_output, input=input, output=output)
    counts, windows = numbered_windows(
        input.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode
    )
    for name, array in (("grad_output", grad_output), ("output", output)):
        expect_shape(name, array, (*input.shape[:-2], *counts))
    p, x, y = _positive(norm_type), input.astype(np.float64), output.astype(np.float64)
    residual = grad_output * np.where(y == 0, 0, np.where(y == 0, 1, y) ** (1 - p))
    for window in windows:
        scale = _scale(window, per_axis("kernel_size", kernel_size, 2), ceil_mode)
        residual[last(window.place)] *= scale
    slope = np.sign(x) * np.where(x == 0, 1, np.abs(x)) ** (p - 1)
    return (spread(residual, input.shape, 2, windows) * slope).astype(dtype)


@described_like(lp_pool2d_backward, 1)
def lp_pool1d_backward(
    grad_output: Array,
    input: Array,
    output: Array,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    ceil_mode: bool | str = False,
    *,
    padding: Padding = 0,
    dilation: PerAxis = 1,
) -> Array:
    """Send the residual of every norm of a sequence back to the cells of its window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import lp_pool1d_backward
    >>> lp_pool1d_backward(np.array([[10.0]]), np.array([[3.0, -4]]), np.array([[5.0]]), 2, 2)
    array([[ 6., -8.]])
    """
    dtype = float_dtype(grad_output=grad_output, input=input, output=output)
    counts, windows = numbered_windows(
        input.shape[-1:], kernel_size, stride, padding, dilation, ceil_mode
    )
    for name, array in (("grad_output", grad_output), ("output", output)):
        expect_shape(name, array, (*input.shape[:-1], *counts))
    p, x, y = _positive(norm_type), input.astype(np.float64), output.astype(np.float64)
    residual = grad_output * np.where(y == 0, 0, np.where(y == 0, 1, y) ** (1 - p))
    for window in windows:
        scale = _scale(window, per_axis("kernel_size", kernel_size, 1), ceil_mode)
        residual[last(window.place)] *= scale
    slope = np.sign(x) * np.where(x == 0, 1, np.abs(x)) ** (p - 1)
    return (spread(residual, input.shape, 1, windows) * slope).astype(dtype)


@described_like(lp_pool2d_backward, 3)
def lp_pool3d_backward(
    grad_output: Array,
    input: Array,
    output: Array,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    ceil_mode: bool | str = False,
    *,
    padding: Padding = 0,
    dilation: PerAxis = 1,
) -> Array:
    """Send the residual of every norm of a volume back to the cells of its window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import lp_pool3d_backward
    >>> x, y = np.array([[[[3.0, -4]]]]), np.array([[[[5.0]]]])
    >>> lp_pool3d_backward(2 * y, x, y, 2, (1, 1, 2))
    array([[[[ 6., -8.]]]])
    """
    dtype = float_dtype(grad_output=grad_output, input=input, output=output)
    counts, windows = numbered_windows(
        input.shape[-3:], kernel_size, stride, padding, dilation, ceil_mode
    )
    for name, array in (("grad_output", grad_output), ("output", output)):
        expect_shape(name, array, (*input.shape[:-3], *counts))
    p, x, y = _positive(norm_type), input.astype(np.float64), output.astype(np.float64)
    residual = grad_output * np.where(y == 0, 0, np.where(y == 0, 1, y) ** (1 - p))
    for window in windows:
        scale = _scale(window, per_axis("kernel_size", kernel_size, 3), ceil_mode)
        residual[last(window.place)] *= scale
    slope = np.sign(x) * np.where(x == 0, 1, np.abs(x)) ** (p - 1)
    return (spread(residual, input.shape, 3, windows) * slope).astype(dtype)


def _positive(norm_type: float) -> float:
    if not 0 < norm_type < inf:
        raise ValueError(f"norm_type is {norm_type}, expected a finite number above 0")
    return norm_type


def _scale(window: Window, kernel: Sequence[int], ceil_mode: bool | str) -> float:
    return 1 if ceil_mode == "onnx" else prod(kernel) / window.bordered
