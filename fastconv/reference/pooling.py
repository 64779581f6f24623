"""Max and mean pooling and their gradients, window by window."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastconv.reference._arguments import (
    Array,
    PerAxis,
    expect_axes,
    expect_shape,
    float_dtype,
    per_axis,
)
from fastconv.reference._windows import Padding, extent, last, pad, padding_pairs, positions

POOL_WORDS = ("valid", "same", "same_lower")
OUTSIDE, OVERHANG = -1, -2


def max_pool2d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Keep the largest value of every window.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Input maps, float32 or float64.
    kernel_size : int or sequence of int
        Size of the window.
    stride : int or sequence of int, optional
        Cells between two windows; the size of the window if left out.
    padding : int, str, sequence of int or sequence of pairs, default 0
        Cells round the input, which never win: at most half a window on each side, or "valid",
        "same", "same_lower".
    dilation : int or sequence of int, default 1
        Distance of two neighbours of the window.
    ceil_mode : bool, default False
        Whether a last window may hang over the end, if it starts inside the input or the
        padding before it.
    return_indices : bool, default False
        Whether to return the places of the maxima, too.

    Returns
    -------
    output : numpy.ndarray of shape (N, C, OH, OW) or (C, OH, OW)
        The maxima.
    indices : numpy.ndarray of int64, same shape
        Their places, counted in row order within one unpadded plane; only with
        `return_indices`.

    Raises
    ------
    ValueError
        If shapes do not fit together, or a window sees nothing but padding.
    TypeError
        If the input is not an array of float32 or float64.

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
    kernel = per_axis("kernel_size", kernel_size, 2)
    output, indices = max_pool_nd(input, kernel, stride, padding, dilation, ceil_mode)
    return (output, indices) if return_indices else output


def max_pool2d_backward(grad_output: Array, indices: Array, input_size: Sequence[int]) -> Array:
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
        If shapes do not fit together or an index lies outside the plane.
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
    return max_pool_nd_backward(grad_output, indices, input_size, 2)


def avg_pool2d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
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
    kernel = per_axis("kernel_size", kernel_size, 2)
    return avg_pool_nd(
        input,
        kernel,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation=dilation,
    )


def avg_pool2d_backward(
    grad_output: Array,
    input_size: Sequence[int],
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
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
    kernel = per_axis("kernel_size", kernel_size, 2)
    return avg_pool_nd_backward(
        grad_output,
        input_size,
        kernel,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation=dilation,
    )


def max_pool_nd(
    input: Array,
    kernel_size: Sequence[int],
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> tuple[Array, Array]:
    """Keep the largest value of every window, over as many axes as the window has.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, *size) or (C, *size)
        Input maps.
    kernel_size : sequence of int
        Size of the window along each spatial axis.
    stride, padding, dilation, ceil_mode
        As in `max_pool2d`.

    Returns
    -------
    output : numpy.ndarray of shape (N, C, *output) or (C, *output)
        The maxima.
    indices : numpy.ndarray of int64, same shape
        Their places.
    """
    dtype = float_dtype(input=input)
    planes, size = _planes(input, len(kernel_size))
    counts, windows = numbered_windows(size, kernel_size, stride, padding, dilation, ceil_mode)
    lead = planes.shape[:-1]
    output = np.empty((*lead, *counts), dtype)
    indices = np.empty((*lead, *counts), np.int64)
    for window in windows:
        first, *others = window.cells
        best, place = planes[..., first], np.full(lead, first)
        for cell in others:
            value = planes[..., cell]
            wins = (value > best) | (np.isnan(value) & ~np.isnan(best))
            best, place = np.where(wins, value, best), np.where(wins, cell, place)
        output[last(window.place)] = best
        indices[last(window.place)] = place
    return output, indices


def max_pool_nd_backward(
    grad_output: Array, indices: Array, input_size: Sequence[int], axes: int
) -> Array:
    """Route the residual back over any number of axes; see `max_pool2d_backward`.

    Parameters
    ----------
    grad_output : numpy.ndarray of shape (N, C, *output) or (C, *output)
        Residual of the pooled maps.
    indices : numpy.ndarray of int, same shape
        The places of the maxima.
    input_size : sequence of int
        Shape of the input.
    axes : int
        The number of spatial axes.

    Returns
    -------
    numpy.ndarray of shape `input_size`
        Residual of the input.
    """
    dtype = float_dtype(grad_output=grad_output)
    if not np.issubdtype(indices.dtype, np.integer):
        raise TypeError(f"indices have dtype {indices.dtype}, expected integers")
    expect_axes("input_size", len(input_size), (axes + 1, axes + 2))
    expect_shape("indices", indices, grad_output.shape)
    lead, cells = tuple(input_size[:-axes]), int(np.prod(input_size[-axes:]))
    expect_shape("grad_output", grad_output, (*lead, *grad_output.shape[-axes:]))
    if indices.size and not 0 <= indices.min() <= indices.max() < cells:
        raise ValueError(
            f"indices run from {indices.min()} to {indices.max()}, expected 0 to {cells - 1}"
        )
    grad_input = np.zeros((*lead, cells))
    for place in np.ndindex(*grad_output.shape):
        grad_input[(*place[:-axes], indices[place])] += grad_output[place]
    return grad_input.reshape(input_size).astype(dtype)


def avg_pool_nd(
    input: Array,
    kernel_size: Sequence[int],
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: PerAxis = 1,
) -> Array:
    """Take the mean of every window, over as many axes as the window has.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, *size) or (C, *size)
        Input maps.
    kernel_size : sequence of int
        Size of the window along each spatial axis.
    stride, padding, ceil_mode, count_include_pad, divisor_override, dilation
        As in `avg_pool2d`.

    Returns
    -------
    numpy.ndarray of shape (N, C, *output) or (C, *output)
        The means.
    """
    dtype = float_dtype(input=input)
    planes, size = _planes(input, len(kernel_size))
    counts, windows = numbered_windows(size, kernel_size, stride, padding, dilation, ceil_mode)
    output = np.empty((*planes.shape[:-1], *counts), dtype)
    for window in windows:
        total = planes[..., window.cells].sum(axis=-1, dtype=np.float64)
        output[last(window.place)] = total / _divisor(window, count_include_pad, divisor_override)
    return output


def avg_pool_nd_backward(
    grad_output: Array,
    input_size: Sequence[int],
    kernel_size: Sequence[int],
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: PerAxis = 1,
) -> Array:
    """Spread the residual evenly, over as many axes as the window has.

    Parameters
    ----------
    grad_output : numpy.ndarray of shape (N, C, *output) or (C, *output)
        Residual of the pooled maps.
    input_size : sequence of int
        Shape of the input.
    kernel_size : sequence of int
        Size of the window along each spatial axis.
    stride, padding, ceil_mode, count_include_pad, divisor_override, dilation
        As in `avg_pool2d`.

    Returns
    -------
    numpy.ndarray of shape `input_size`
        Residual of the input.
    """
    dtype = float_dtype(grad_output=grad_output)
    planes, size = _planes(np.zeros(input_size), len(kernel_size))
    counts, windows = numbered_windows(size, kernel_size, stride, padding, dilation, ceil_mode)
    expect_shape("grad_output", grad_output, (*planes.shape[:-1], *counts))
    for window in windows:
        divisor = _divisor(window, count_include_pad, divisor_override)
        share = grad_output[last(window.place)].astype(np.float64) / divisor
        for cell in window.cells:
            planes[..., cell] += share
    return planes.reshape(input_size).astype(dtype)


class Window(NamedTuple):
    """One pooling window.

    Parameters
    ----------
    place : tuple of int
        Its place on the output.
    cells : list of int
        The numbers of the input cells it looks at, in row order.
    bordered : int
        How many cells it looks at up to the padded border.
    """

    place: tuple[int, ...]
    cells: list[int]
    bordered: int


def numbered_windows(
    size: Sequence[int],
    kernel_size: Sequence[int],
    stride: PerAxis | None,
    padding: Padding,
    dilation: PerAxis,
    ceil_mode: bool,
) -> tuple[tuple[int, ...], list[Window]]:
    """Cut the pooling windows out of a map that holds the numbers of its own cells.

    Parameters
    ----------
    size : sequence of int
        Size of the input along each spatial axis.
    kernel_size, stride, padding, dilation, ceil_mode
        As in `max_pool2d`.

    Returns
    -------
    counts : tuple of int
        Windows along each axis.
    windows : list of Window
        The windows in row order.

    Raises
    ------
    ValueError
        If there is no window, or one that sees nothing but padding.

    Examples
    --------
    >>> counts, windows = numbered_windows((3,), (2,), 2, 0, 1, True)
    >>> for window in windows:
    ...     print(window)
    Window(place=(0,), cells=[0, 1], bordered=2)
    Window(place=(1,), cells=[2], bordered=1)
    """
    axes = len(kernel_size)
    kernel = per_axis("kernel_size", tuple(kernel_size), axes)
    steps = kernel if stride is None else per_axis("stride", stride, axes)
    gaps = per_axis("dilation", dilation, axes)
    pairs = padding_pairs(padding, size, kernel, steps, gaps, POOL_WORDS)
    spans = [extent(k, d) for k, d in zip(kernel, gaps, strict=True)]
    if any(2 * max(pair) > span for pair, span in zip(pairs, spans, strict=True)):
        raise ValueError(f"padding is {pairs}, expected at most half of a window over {spans}")
    starts = [_starts(*line, ceil_mode) for line in zip(size, pairs, spans, steps, strict=True)]
    numbers = pad(np.arange(np.prod(size, dtype=int)).reshape(size), pairs, OUTSIDE)
    numbers = pad(numbers, [(0, span) for span in spans], OVERHANG)
    counts = tuple(map(len, starts))
    windows = []
    for place in np.ndindex(counts):
        cut = tuple(
            slice(starts[axis][i], starts[axis][i] + spans[axis], gaps[axis])
            for axis, i in enumerate(place)
        )
        seen = numbers[cut].ravel().tolist()
        cells = [number for number in seen if number >= 0]
        if not cells:
            raise ValueError(f"the pooling window at {place} sees nothing but padding")
        windows.append(Window(place, cells, len(seen) - seen.count(OVERHANG)))
    return counts, windows


def _starts(
    length: int, pair: tuple[int, int], span: int, stride: int, ceil_mode: bool
) -> list[int]:
    """List where windows start on a padded line; with `ceil_mode` one more may hang over its end.

    It joins if the window before it leaves cells of the padded line unseen, and if it starts
    inside the input or the padding before it (torch.nn.MaxPool2d).
    """
    before, after = pair
    padded = before + length + after
    starts = positions(padded, span, stride)
    following = starts[-1] + stride if starts else 0
    unseen = following - stride + span < padded
    if ceil_mode and unseen and following < before + length:
        starts.append(following)
    if not starts:
        raise ValueError(
            f"a pooling window over {span} cells does not fit on a padded line of {padded} cells"
        )
    return starts


def _planes(maps: Array, axes: int) -> tuple[Array, tuple[int, ...]]:
    """Lay each plane out as one line of cells; return it with the size of a plane."""
    expect_axes("input", maps.ndim, (axes + 1, axes + 2))
    lead, size = maps.shape[:-axes], maps.shape[-axes:]
    return maps.reshape(*lead, int(np.prod(size))), size


def _divisor(window: Window, count_include_pad: bool, divisor_override: int | None) -> int:
    if divisor_override == 0:
        raise ValueError("divisor_override is 0, expected another int or None")
    if divisor_override is not None:
        return divisor_override
    return window.bordered if count_include_pad else len(window.cells)
