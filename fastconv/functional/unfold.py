"""Sliding windows as columns (im2col) and back (col2im).

K. Chellapilla, S. Puri and P. Simard, "High performance convolutional neural networks for document
processing", 2006: a convolution is a product of the weights with a matrix that has one column for
each window position.
"""

from itertools import product
from math import prod
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np

from fastconv import _check
from fastconv._check import Array, PaddingLike, PerAxis
from fastconv._geometry import Ints, Padding, Pairs, fit_windows, moving_steps

Index: TypeAlias = tuple[EllipsisType | slice, ...]


def window_view(padded: Array, kernel: Ints, stride: Ints, dilation: Ints, count: Ints) -> Array:
    """View (N, C, *padded) as (N, C, *kernel, *count), one entry for each tap and position."""
    steps = padded.strides[2:]
    return np.lib.stride_tricks.as_strided(
        padded,
        padded.shape[:2] + kernel + count,
        padded.strides[:2]
        + tuple(step * d for step, d in zip(steps, dilation, strict=True))
        + tuple(step * s for step, s in zip(steps, stride, strict=True)),
        writeable=False,
    )


def add_windows(
    columns: Array, padded: Array, kernel: Ints, stride: Ints, dilation: Ints, count: Ints
) -> None:
    """Add columns (N, C, *kernel, *count) to the positions of `padded` they were taken from."""
    for taps in product(*map(range, kernel)):
        places = tuple(
            slice(tap * d, tap * d + (n - 1) * s + 1, s)
            for tap, d, s, n in zip(taps, dilation, stride, count, strict=True)
        )
        column: tuple[slice | int, ...] = (slice(None), slice(None), *taps)
        target: Index = (..., *places)
        padded[target] += columns[column]


def inner(size: Ints, padding: Pairs) -> Index:
    """Return the place of the input inside the padded input."""
    slices = (slice(before, before + n) for n, (before, _) in zip(size, padding, strict=True))
    return (..., *slices)


def padded_size(size: Ints, padding: Pairs) -> Ints:
    """Return the sizes with the padding on both sides."""
    return tuple(n + sum(pair) for n, pair in zip(size, padding, strict=True))


def zeros(shape: Ints, dtype: np.dtype[Any]) -> Array:
    """Return zeros for a padded input.

    Raises
    ------
    MemoryError
        If there is no room, also where the shape is larger than any array.
    """
    try:
        return np.zeros(shape, dtype)
    except ValueError:
        raise MemoryError(f"no room for a padded input of shape {shape}") from None


def unfold(
    input: Array,
    kernel_size: PerAxis,
    dilation: PerAxis = 1,
    padding: PaddingLike = 0,
    stride: PerAxis = 1,
    *,
    out: Array | None = None,
) -> Array:
    """Write every window of the input as a column (im2col).

    Parameters
    ----------
    input : ndarray, shape (N, C, *spatial) or (C, *spatial)
        Maps of float32 or float64.
    kernel_size : int or tuple of int
        Size of the windows. An int means two axes; a tuple of one to three sets their number.
    dilation, padding, stride
        As in `conv2d`, every form of padding.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape (N, C*prod(kernel_size), L) or (C*prod(kernel_size), L)
        L is the number of windows. Row ``(c, r, s)`` and column ``(i, j)`` hold
        ``input[c, i*stride + r*dilation - before, j*stride + s*dilation - before]``.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or the sizes do not fit together.

    See Also
    --------
    fold : the transposed operation.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.unfold(np.arange(9.0).reshape(1, 1, 3, 3), 2)
    array([[[0., 1., 3., 4.],
            [1., 2., 4., 5.],
            [3., 4., 6., 7.],
            [4., 5., 7., 8.]]])
    """
    input = _check.array("input", input)
    kernel = _kernel_size(kernel_size)
    axes = len(kernel)
    _check.rank("input", input.shape, axes)
    maps = input if input.ndim == axes + 2 else input[None]
    n, channels, *spatial = maps.shape
    steps, gaps, pairs, count = _windows(tuple(spatial), kernel, dilation, padding, stride)
    shape: Ints = (channels * prod(kernel), prod(count))
    if input.ndim == axes + 2:
        shape = (n, *shape)
    result = _check.output(out, shape, input.dtype, input)
    padded = zeros((n, channels, *padded_size(tuple(spatial), pairs)), input.dtype)
    padded[inner(tuple(spatial), pairs)] = maps
    target = result.reshape(n, channels, *kernel, *count)
    target[...] = window_view(padded, kernel, steps, gaps, count)
    return _check.deliver(result, out)


def fold(
    input: Array,
    output_size: PerAxis,
    kernel_size: PerAxis,
    dilation: PerAxis = 1,
    padding: PaddingLike = 0,
    stride: PerAxis = 1,
    *,
    out: Array | None = None,
) -> Array:
    """Add columns up at the places that `unfold` takes them from (col2im).

    Parameters
    ----------
    input : ndarray, shape (N, C*prod(kernel_size), L) or (C*prod(kernel_size), L)
        Columns of float32 or float64.
    output_size : int or tuple of int
        Size of the spatial axes of the result.
    kernel_size, dilation, padding, stride
        As in `unfold`.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape (N, C, *output_size) or (C, *output_size)
        The sums; `fold` is the transpose of `unfold`, not its inverse.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or the sizes do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.fold(np.ones((1, 4, 4)), 3, 2)
    array([[[[1., 2., 1.],
             [2., 4., 2.],
             [1., 2., 1.]]]])
    """
    input = _check.array("input", input)
    kernel = _kernel_size(kernel_size)
    axes = len(kernel)
    size = _check.integers("output_size", output_size, axes, 0)
    if input.ndim not in (2, 3):
        raise ValueError(
            f"input must be (N, C*prod(kernel_size), L) or (C*prod(kernel_size), L), "
            f"got {input.ndim}-D with shape {input.shape}"
        )
    steps, gaps, pairs, count = _windows(size, kernel, dilation, padding, stride)
    columns = input if input.ndim == 3 else input[None]
    n, rows, positions = columns.shape
    if rows % prod(kernel):
        raise ValueError(
            f"input must have a multiple of prod(kernel_size) = {prod(kernel)} rows, got {rows}"
        )
    if positions != prod(count):
        raise ValueError(
            f"input must have one column for each of the {' x '.join(map(str, count))} = "
            f"{prod(count)} windows in output_size {size}, got {positions}"
        )
    channels = rows // prod(kernel)
    shape = (n, channels, *size) if input.ndim == 3 else (channels, *size)
    result = _check.output(out, shape, input.dtype, input)
    padded = zeros((n, channels, *padded_size(size, pairs)), input.dtype)
    add_windows(columns.reshape(n, channels, *kernel, *count), padded, kernel, steps, gaps, count)
    result[...] = padded[inner(size, pairs)].reshape(shape)
    return _check.deliver(result, out)


def _kernel_size(kernel_size: PerAxis) -> Ints:
    """Return the window's size; an int means two axes, as in torch."""
    axes = len(kernel_size) if isinstance(kernel_size, tuple | list) else 2
    if not 1 <= axes <= 3:
        raise ValueError(f"kernel_size must have one to three entries, got {kernel_size!r}")
    return _check.integers("kernel_size", kernel_size, axes, 1)


def _windows(
    size: Ints,
    kernel: Ints,
    dilation: PerAxis,
    padding: PaddingLike,
    stride: PerAxis,
) -> tuple[Ints, Ints, Pairs, Ints]:
    """Return stride, dilation, padding and the number of windows for each axis."""
    axes = len(kernel)
    gaps = _check.integers("dilation", dilation, axes, 1)
    steps = _check.integers("stride", stride, axes, 1)
    form: Padding = _check.padding("padding", padding, axes)
    pairs, count = fit_windows("kernel_size", size, kernel, steps, form, gaps)
    steps, gaps = moving_steps(steps, gaps, kernel, count)
    return steps, gaps, pairs, count
