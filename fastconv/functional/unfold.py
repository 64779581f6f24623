"""Sliding windows as columns (im2col) and back (col2im).

K. Chellapilla, S. Puri and P. Simard, "High performance convolutional neural networks for document
processing", 2006: a convolution is a product of the weights with a matrix that has one column for
each window position.
"""

from math import prod
from typing import TypeAlias

from fastconv import _check, _kernels
from fastconv._check import Array, PaddingLike, PerAxis
from fastconv._geometry import Ints, Padding, Pairs, fit_windows, moving_steps
from fastconv.functional._maps import contiguous_from

Windows: TypeAlias = tuple[Ints, Ints, Ints, Ints, Ints]


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
    columns = result if result.ndim == 3 else result[None]
    _kernels.unfold(maps, columns, _three_axes(kernel, steps, pairs, gaps, count))
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
    maps = result if input.ndim == 3 else result[None]
    _kernels.fold(contiguous_from(columns, 1), maps, _three_axes(kernel, steps, pairs, gaps, count))
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


def _three_axes(kernel: Ints, stride: Ints, padding: Pairs, dilation: Ints, count: Ints) -> Windows:
    """Return what the kernels ask of the windows; axes that are not there are of size 1."""
    spare = 3 - len(kernel)
    ones, before = (1,) * spare, tuple(pair[0] for pair in padding)
    return ones + kernel, ones + stride, (0,) * spare + before, ones + dilation, ones + count
