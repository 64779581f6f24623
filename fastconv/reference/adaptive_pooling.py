"""Adaptive pooling and its gradients, window by window."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from fastconv._docs import described_like
from fastconv.reference._arguments import Array, expect_shape, float_dtype
from fastconv.reference._pooling import adaptive_windows, map_dtype, maxima, spread, sums, to_places
from fastconv.reference._windows import last

OutputSize: TypeAlias = int | Sequence[int | None] | None


def adaptive_avg_pool2d(
    input: Array,
    output_size: OutputSize,
) -> Array:
    """Take the means of as many windows as are wanted.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Input maps, float32 or float64.
    output_size : int, None, or sequence of int or None
        Windows along each axis; None for as many as there are cells.

    Returns
    -------
    numpy.ndarray of shape (N, C, OH, OW) or (C, OH, OW)
        The means.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    TypeError
        If the input is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import adaptive_avg_pool2d
    >>> adaptive_avg_pool2d(np.array([[[1.0, 8, 4], [7, 2, 1]]]), (1, 2))
    array([[[4.5 , 3.75]]])
    """
    dtype = float_dtype(input=input)
    counts, windows = adaptive_windows(input.shape[-2:], output_size)
    output = np.empty((*input.shape[:-2], *counts), dtype)
    for window, total in sums(input, 2, windows):
        output[last(window.place)] = total / len(window.cells)
    return output


@described_like(adaptive_avg_pool2d, 1)
def adaptive_avg_pool1d(
    input: Array,
    output_size: OutputSize,
) -> Array:
    """Take the means of as many windows of a sequence as are wanted.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import adaptive_avg_pool1d
    >>> adaptive_avg_pool1d(np.array([[1.0, 8, 4]]), 2)
    array([[4.5, 6. ]])
    """
    dtype = float_dtype(input=input)
    counts, windows = adaptive_windows(input.shape[-1:], output_size)
    output = np.empty((*input.shape[:-1], *counts), dtype)
    for window, total in sums(input, 1, windows):
        output[last(window.place)] = total / len(window.cells)
    return output


@described_like(adaptive_avg_pool2d, 3)
def adaptive_avg_pool3d(
    input: Array,
    output_size: OutputSize,
) -> Array:
    """Take the means of as many windows of a volume as are wanted.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import adaptive_avg_pool3d
    >>> adaptive_avg_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 1)
    array([[[[3.5]]]])
    """
    dtype = float_dtype(input=input)
    counts, windows = adaptive_windows(input.shape[-3:], output_size)
    output = np.empty((*input.shape[:-3], *counts), dtype)
    for window, total in sums(input, 3, windows):
        output[last(window.place)] = total / len(window.cells)
    return output


def adaptive_avg_pool2d_backward(
    grad_output: Array,
    input_size: Sequence[int],
) -> Array:
    """Spread the residual evenly over the cells of its window.

    Parameters
    ----------
    grad_output : numpy.ndarray of shape (N, C, OH, OW) or (C, OH, OW)
        Residual of the output of `adaptive_avg_pool2d`.
    input_size : sequence of int
        Shape of the input, (N, C, H, W) or (C, H, W).

    Returns
    -------
    numpy.ndarray of shape `input_size`
        Residual of the input.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    TypeError
        If the residual is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import adaptive_avg_pool2d_backward
    >>> adaptive_avg_pool2d_backward(np.array([[[6.0, 2]]]), (1, 1, 3))
    array([[[3., 4., 1.]]])
    """
    dtype = float_dtype(grad_output=grad_output)
    counts, windows = adaptive_windows(input_size[-2:], grad_output.shape[-2:])
    expect_shape("grad_output", grad_output, (*input_size[:-2], *counts))
    shares = grad_output.astype(np.float64)
    for window in windows:
        shares[last(window.place)] /= len(window.cells)
    return spread(shares, input_size, 2, windows).astype(dtype)


@described_like(adaptive_avg_pool2d_backward, 1)
def adaptive_avg_pool1d_backward(
    grad_output: Array,
    input_size: Sequence[int],
) -> Array:
    """Spread the residual of a sequence evenly over the cells of its window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import adaptive_avg_pool1d_backward
    >>> adaptive_avg_pool1d_backward(np.array([[6.0, 2]]), (1, 3))
    array([[3., 4., 1.]])
    """
    dtype = float_dtype(grad_output=grad_output)
    counts, windows = adaptive_windows(input_size[-1:], grad_output.shape[-1:])
    expect_shape("grad_output", grad_output, (*input_size[:-1], *counts))
    shares = grad_output.astype(np.float64)
    for window in windows:
        shares[last(window.place)] /= len(window.cells)
    return spread(shares, input_size, 1, windows).astype(dtype)


@described_like(adaptive_avg_pool2d_backward, 3)
def adaptive_avg_pool3d_backward(
    grad_output: Array,
    input_size: Sequence[int],
) -> Array:
    """Spread the residual of a volume evenly over the cells of its window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import adaptive_avg_pool3d_backward
    >>> adaptive_avg_pool3d_backward(np.full((1, 1, 1, 1), 8.0), (1, 2, 1, 2))
    array([[[[2., 2.]],
            [[2., 2.]]]])
    """
    dtype = float_dtype(grad_output=grad_output)
    counts, windows = adaptive_windows(input_size[-3:], grad_output.shape[-3:])
    expect_shape("grad_output", grad_output, (*input_size[:-3], *counts))
    shares = grad_output.astype(np.float64)
    for window in windows:
        shares[last(window.place)] /= len(window.cells)
    return spread(shares, input_size, 3, windows).astype(dtype)


def adaptive_max_pool2d(
    input: Array,
    output_size: OutputSize,
    return_indices: bool = False,
) -> Any:
    """Keep the largest values of as many windows as are wanted.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Input maps, as in `max_pool2d`.
    output_size : int, None, or sequence of int or None
        Windows along each axis; None for as many as there are cells.
    return_indices : bool, default False
        Whether to return the places of the maxima, too.

    Returns
    -------
    output : numpy.ndarray of shape (N, C, OH, OW) or (C, OH, OW)
        The maxima.
    indices : numpy.ndarray of int64, same shape
        Their places, as in `max_pool2d`; only with `return_indices`.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    TypeError
        If the input is not an array of one of these dtypes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import adaptive_max_pool2d
    >>> adaptive_max_pool2d(np.array([[[1.0, 8, 4], [7, 2, 1]]]), (1, 2), return_indices=True)
    (array([[[8., 8.]]]), array([[[1, 1]]]))
    """
    map_dtype(input)
    counts, windows = adaptive_windows(input.shape[-2:], output_size)
    output, indices = maxima(input, 2, counts, windows)
    return (output, indices) if return_indices else output


@described_like(adaptive_max_pool2d, 1)
def adaptive_max_pool1d(
    input: Array,
    output_size: OutputSize,
    return_indices: bool = False,
) -> Any:
    """Keep the largest values of as many windows of a sequence as are wanted.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import adaptive_max_pool1d
    >>> adaptive_max_pool1d(np.array([[1.0, 8, 4]]), 2)
    array([[8., 8.]])
    """
    map_dtype(input)
    counts, windows = adaptive_windows(input.shape[-1:], output_size)
    output, indices = maxima(input, 1, counts, windows)
    return (output, indices) if return_indices else output


@described_like(adaptive_max_pool2d, 3)
def adaptive_max_pool3d(
    input: Array,
    output_size: OutputSize,
    return_indices: bool = False,
) -> Any:
    """Keep the largest values of as many windows of a volume as are wanted.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import adaptive_max_pool3d
    >>> adaptive_max_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), (2, 1, 1))
    array([[[[3.]],
            [[7.]]]])
    """
    map_dtype(input)
    counts, windows = adaptive_windows(input.shape[-3:], output_size)
    output, indices = maxima(input, 3, counts, windows)
    return (output, indices) if return_indices else output


def adaptive_max_pool2d_backward(
    grad_output: Array,
    indices: Array,
    input_size: Sequence[int],
) -> Array:
    """Route the residual back to where the maxima were.

    Parameters
    ----------
    grad_output : numpy.ndarray of shape (N, C, OH, OW) or (C, OH, OW)
        Residual of the output of `adaptive_max_pool2d`.
    indices, input_size
        As in `max_pool2d_backward`.

    Returns
    -------
    numpy.ndarray of shape `input_size`
        Residual of the input.

    Raises
    ------
    ValueError, TypeError
        As in `max_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import adaptive_max_pool2d_backward
    >>> adaptive_max_pool2d_backward(np.array([[[5.0, 4]]]), np.array([[[1, 2]]]), (1, 2, 2))
    array([[[0., 5.],
            [4., 0.]]])
    """
    return to_places(grad_output, indices, input_size, 2, add=True)


@described_like(adaptive_max_pool2d_backward, 1)
def adaptive_max_pool1d_backward(
    grad_output: Array,
    indices: Array,
    input_size: Sequence[int],
) -> Array:
    """Route the residual of a sequence back to where the maxima were.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import adaptive_max_pool1d_backward
    >>> adaptive_max_pool1d_backward(np.array([[5.0, 4]]), np.array([[1, 3]]), (1, 4))
    array([[0., 5., 0., 4.]])
    """
    return to_places(grad_output, indices, input_size, 1, add=True)


@described_like(adaptive_max_pool2d_backward, 3)
def adaptive_max_pool3d_backward(
    grad_output: Array,
    indices: Array,
    input_size: Sequence[int],
) -> Array:
    """Route the residual of a volume back to where the maxima were.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import adaptive_max_pool3d_backward
    >>> place = np.array([[[[1]]]])
    >>> adaptive_max_pool3d_backward(np.full((1, 1, 1, 1), 5.0), place, (1, 1, 1, 2))
    array([[[[0., 5.]]]])
    """
    return to_places(grad_output, indices, input_size, 3, add=True)
