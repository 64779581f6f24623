"""Max pooling and its gradient, window by window."""

from collections.abc import Sequence
from typing import Any

from fastconv._docs import described_like
from fastconv.reference._arguments import Array, PerAxis
from fastconv.reference._pooling import map_dtype, maxima, numbered_windows, to_places
from fastconv.reference._windows import Padding


def max_pool2d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool | str = False,
    return_indices: bool = False,
) -> Any:
    """Keep the largest value of every window.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Input maps, float32, float64, uint8 or int8.
    kernel_size : int or sequence of int
        Size of the window.
    stride : int or sequence of int, optional
        Cells between two windows; the size of the window if left out.
    padding : int, str, sequence of int or sequence of pairs, default 0
        Cells round the input, which never win, or "valid", "same", "same_lower". Every window must
        see a cell of the input.
    dilation : int or sequence of int, default 1
        Distance of two neighbours of the window.
    ceil_mode : bool or "onnx", default False
        Whether a last window may hang over the end, if it starts inside the input or the padding
        before it; for "onnx" not where the padding is a word.
    return_indices : bool, default False
        Whether to return the places of the maxima, too.

    Returns
    -------
    output : numpy.ndarray of shape (N, C, OH, OW) or (C, OH, OW)
        The maxima.
    indices : numpy.ndarray of int64, same shape
        Their places, counted in row order within one unpadded map; only with `return_indices`.

    Raises
    ------
    ValueError
        If shapes do not fit together, or a window sees nothing but padding.
    TypeError
        If the input is not an array of one of these dtypes.

    Notes
    -----
    The first maximum in row order wins a tie. A NaN wins over any number, the first NaN over
    further ones.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import max_pool2d
    >>> a = np.array([[[1.0, 8, 4, 3], [7, 2, 1, 9], [6, 1, 2, 4], [8, 7, 6, 0]]])
    >>> output, indices = max_pool2d(a, 2, return_indices=True)
    >>> output
    array([[[8., 9.],
            [8., 6.]]])
    >>> indices
    array([[[ 1,  7],
            [12, 14]]])
    """
    map_dtype(input)
    counts, windows = numbered_windows(
        input.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode
    )
    output, indices = maxima(input, 2, counts, windows)
    return (output, indices) if return_indices else output


@described_like(max_pool2d, 1)
def max_pool1d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool | str = False,
    return_indices: bool = False,
) -> Any:
    """Keep the largest value of every window of a sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import max_pool1d
    >>> max_pool1d(np.array([[1.0, 8, 4, 3, 7, 2]]), 3, 2)
    array([[8., 7.]])
    """
    map_dtype(input)
    counts, windows = numbered_windows(
        input.shape[-1:], kernel_size, stride, padding, dilation, ceil_mode
    )
    output, indices = maxima(input, 1, counts, windows)
    return (output, indices) if return_indices else output


@described_like(max_pool2d, 3)
def max_pool3d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool | str = False,
    return_indices: bool = False,
) -> Any:
    """Keep the largest value of every window of a volume.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import max_pool3d
    >>> max_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 2)
    array([[[[7.]]]])
    """
    map_dtype(input)
    counts, windows = numbered_windows(
        input.shape[-3:], kernel_size, stride, padding, dilation, ceil_mode
    )
    output, indices = maxima(input, 3, counts, windows)
    return (output, indices) if return_indices else output


def max_pool2d_backward(
    grad_output: Array,
    indices: Array,
    input_size: Sequence[int],
) -> Array:
    """Route the residual back to where the maxima were.

    Parameters
    ----------
    grad_output : numpy.ndarray of shape (N, C, OH, OW) or (C, OH, OW)
        Residual of the pooled maps.
    indices : numpy.ndarray of int, same shape
        The places of the maxima, from `max_pool2d`.
    input_size : sequence of int
        Shape of the input, (N, C, H, W) or (C, H, W).

    Returns
    -------
    numpy.ndarray of shape `input_size`
        Residual of the input: zero but where a maximum was; a cell that won in several windows
        gets their sum.

    Raises
    ------
    ValueError
        If shapes do not fit together or an index lies outside the map.
    TypeError
        If the residual is not an array of float32 or float64, or the indices are not integers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import max_pool2d_backward
    >>> residual, indices = np.array([[[7.0, 3], [1, 4]]]), np.array([[[1, 7], [12, 14]]])
    >>> max_pool2d_backward(residual, indices, (1, 4, 4))
    array([[[0., 7., 0., 0.],
            [0., 0., 0., 3.],
            [0., 0., 0., 0.],
            [1., 0., 4., 0.]]])
    """
    return to_places(grad_output, indices, input_size, 2, add=True)


@described_like(max_pool2d_backward, 1)
def max_pool1d_backward(
    grad_output: Array,
    indices: Array,
    input_size: Sequence[int],
) -> Array:
    """Route the residual of a sequence back to where the maxima were.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import max_pool1d_backward
    >>> max_pool1d_backward(np.array([[7.0, 3]]), np.array([[1, 1]]), (1, 4))
    array([[ 0., 10.,  0.,  0.]])
    """
    return to_places(grad_output, indices, input_size, 1, add=True)


@described_like(max_pool2d_backward, 3)
def max_pool3d_backward(
    grad_output: Array,
    indices: Array,
    input_size: Sequence[int],
) -> Array:
    """Route the residual of a volume back to where the maxima were.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import max_pool3d_backward
    >>> max_pool3d_backward(np.full((1, 1, 1, 1), 5.0), np.array([[[[1]]]]), (1, 1, 1, 2))
    array([[[[0., 5.]]]])
    """
    return to_places(grad_output, indices, input_size, 3, add=True)
