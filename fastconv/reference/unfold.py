"""Windows as columns of a matrix (im2col) and their sum back into maps (col2im)."""

from collections.abc import Sequence

import numpy as np

from fastconv.reference._arguments import (
    Array,
    PerAxis,
    expect_axes,
    expect_shape,
    float_dtype,
    per_axis,
)
from fastconv.reference._windows import (
    Padding,
    Pairs,
    extent,
    inside,
    last,
    pad,
    padding_pairs,
    window_starts,
)


def unfold(
    input: Array,
    kernel_size: PerAxis,
    dilation: PerAxis = 1,
    padding: Padding = 0,
    stride: PerAxis = 1,
) -> Array:
    """Write every window of the input as one column.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, *size) or (C, *size)
        Input maps, float32 or float64.
    kernel_size : int or sequence of int
        Size of the window. An int means two spatial axes, a sequence as many as it is long.
    dilation, padding, stride
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray of shape (N, C * prod(kernel_size), L) or (C * prod(kernel_size), L)
        Column l holds what window l sees, channel by channel in row order.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    TypeError
        If the input is not an array of float32 or float64.

    Notes
    -----
    The layout is that of torch.nn.functional.unfold. A convolution is then a product of
    matrices: ``weight.reshape(K, -1) @ unfold(input, ...)`` (Chellapilla et al., 2006).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import unfold
    >>> unfold(np.array([[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]]), 2)
    array([[1., 2., 4., 5.],
           [2., 3., 5., 6.],
           [4., 5., 7., 8.],
           [5., 6., 8., 9.]])
    """
    float_dtype(input=input)
    kernel = _kernel(kernel_size)
    axes = len(kernel)
    expect_axes("input", input.ndim, (axes + 1, axes + 2))
    if input.ndim == axes + 1:
        return unfold(input[np.newaxis], kernel, dilation, padding, stride).squeeze(0)
    pairs, windows = _windows(input.shape[2:], kernel, dilation, padding, stride)
    padded = pad(input, pairs)
    columns = np.empty((*input.shape[:2], *kernel, len(windows)), padded.dtype.newbyteorder("="))
    for column, cells in enumerate(windows):
        columns[..., column] = padded[last(cells)]
    rows = input.shape[1] * int(np.prod(kernel))
    return columns.reshape(len(input), rows, len(windows))


def fold(
    input: Array,
    output_size: Sequence[int],
    kernel_size: PerAxis,
    dilation: PerAxis = 1,
    padding: Padding = 0,
    stride: PerAxis = 1,
) -> Array:
    """Lay the columns back where `unfold` took them from, adding where windows overlap.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C * prod(kernel_size), L) or (C * prod(kernel_size), L)
        The columns.
    output_size : int or sequence of int
        Spatial size of the maps.
    kernel_size : int or sequence of int
        Size of the window. An int means two spatial axes, a sequence as many as it is long.
    dilation, padding, stride
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray of shape (N, C, *output_size) or (C, *output_size)
        The maps.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    TypeError
        If the input is not an array of float32 or float64.

    Notes
    -----
    It is the transpose of `unfold`, not its inverse: ``sum(unfold(x) * y) = sum(x * fold(y))``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import fold
    >>> fold(np.ones((4, 4)), (3, 3), 2)
    array([[[1., 2., 1.],
            [2., 4., 2.],
            [1., 2., 1.]]])
    """
    dtype = float_dtype(input=input)
    kernel = _kernel(kernel_size)
    expect_axes("input", input.ndim, (2, 3))
    if input.ndim == 2:
        return fold(input[np.newaxis], output_size, kernel, dilation, padding, stride).squeeze(0)
    size = per_axis("output_size", output_size, len(kernel))
    pairs, windows = _windows(size, kernel, dilation, padding, stride)
    channels = input.shape[1] // int(np.prod(kernel))
    rows = channels * int(np.prod(kernel))
    expect_shape("input", input, (len(input), rows, len(windows)))
    columns = input.reshape(len(input), channels, *kernel, len(windows))
    maps = pad(np.zeros((len(input), channels, *size)), pairs)
    for column, cells in enumerate(windows):
        maps[last(cells)] += columns[..., column]
    return np.array(maps[last(inside(pairs, size))], dtype)


def _kernel(kernel_size: PerAxis) -> tuple[int, ...]:
    axes = len(kernel_size) if isinstance(kernel_size, Sequence) else 2
    return per_axis("kernel_size", kernel_size, axes)


def _windows(
    size: Sequence[int],
    kernel: Sequence[int],
    dilation: PerAxis,
    padding: Padding,
    stride: PerAxis,
) -> tuple[Pairs, list[tuple[slice, ...]]]:
    """Resolve the padding and list the cells of every window on the padded map."""
    axes = len(kernel)
    dilation = per_axis("dilation", dilation, axes)
    stride = per_axis("stride", stride, axes)
    pairs = padding_pairs(padding, size, kernel, stride, dilation)
    padded = [before + length + after for (before, after), length in zip(pairs, size, strict=True)]
    spans = [extent(k, d) for k, d in zip(kernel, dilation, strict=True)]
    starts = window_starts(padded, spans, stride)
    windows = [
        tuple(
            slice(starts[axis][i], starts[axis][i] + spans[axis], dilation[axis])
            for axis, i in enumerate(place)
        )
        for place in np.ndindex(*map(len, starts))
    ]
    return pairs, windows
