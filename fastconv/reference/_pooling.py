"""What the poolings share: where their windows lie, and what is done with each.

The planes of a map are laid out as lines of cells, and a window is the list of the cells that it
sees. Whatever its shape, it is then read and written alike.
"""

from collections.abc import Iterator, Sequence
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
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: Padding,
    dilation: PerAxis,
    ceil_mode: bool | str,
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
    axes = len(size)
    kernel = per_axis("kernel_size", kernel_size, axes)
    steps = kernel if stride is None else per_axis("stride", stride, axes)
    gaps = per_axis("dilation", dilation, axes)
    pairs = padding_pairs(padding, size, kernel, steps, gaps, POOL_WORDS)
    spans = [extent(k, d) for k, d in zip(kernel, gaps, strict=True)]
    if isinstance(ceil_mode, str) and ceil_mode != "onnx":
        raise ValueError(f"ceil_mode is {ceil_mode!r}, expected a bool or 'onnx'")
    # By ONNX's rule a word alone says how many windows there are.
    ceil_mode = bool(ceil_mode) and not (ceil_mode == "onnx" and isinstance(padding, str))
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


def spread_windows(
    size: Sequence[int], ranges: Sequence[Sequence[range]]
) -> tuple[tuple[int, ...], list[Window]]:
    """List the windows that are a range of cells along each axis.

    Parameters
    ----------
    size : sequence of int
        Size of the input along each spatial axis.
    ranges : sequence of sequence of range
        For each axis the ranges of the windows along it.

    Returns
    -------
    counts : tuple of int
        Windows along each axis.
    windows : list of Window
        The windows in row order.

    Examples
    --------
    >>> counts, windows = spread_windows((2, 3), [[range(0, 2)], [range(0, 1), range(1, 3)]])
    >>> [window.cells for window in windows]
    [[0, 3], [1, 2, 4, 5]]
    """
    numbers = np.arange(np.prod(size, dtype=int)).reshape(size)
    counts = tuple(map(len, ranges))
    windows = []
    for place in np.ndindex(counts):
        seen = [ranges[axis][i] for axis, i in enumerate(place)]
        cells = numbers[np.ix_(*seen)].ravel().tolist()
        windows.append(Window(place, cells, len(cells)))
    return counts, windows


def adaptive_windows(size: Sequence[int], output_size: Any) -> tuple[tuple[int, ...], list[Window]]:
    """List as many windows as are wanted: as equal as whole cells allow, over the whole map.

    Parameters
    ----------
    size : sequence of int
        Size of the input along each spatial axis.
    output_size : int, None or sequence of int or None
        Windows along each axis; None for as many as there are cells.

    Returns
    -------
    counts : tuple of int
        Windows along each axis.
    windows : list of Window
        The windows in row order.

    Examples
    --------
    >>> [window.cells for window in adaptive_windows((5,), 2)[1]]
    [[0, 1, 2], [2, 3, 4]]
    """
    if 0 in size:
        raise ValueError(f"input has spatial axes {tuple(size)}, expected none of size 0")
    wanted = output_size if isinstance(output_size, Sequence) else (output_size,) * len(size)
    if len(wanted) == len(size):
        wanted = tuple(n if o is None else o for n, o in zip(size, wanted, strict=True))
    counts = per_axis("output_size", wanted, len(size))
    # Window i shares the line as far as the exact part [i n/o, (i + 1) n/o) touches a cell.
    return spread_windows(
        size,
        [
            [
                range(i * n // o, min(j for j in range(n + 1) if j * o >= (i + 1) * n))
                for i in range(o)
            ]
            for n, o in zip(size, counts, strict=True)
        ],
    )


def map_dtype(input: Array) -> None:
    """Raise a TypeError unless maps hold float32, float64 or bytes.

    Parameters
    ----------
    input : numpy.ndarray
        What came.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if not (isinstance(input, np.ndarray) and input.dtype in (np.uint8, np.int8)):
        float_dtype(input=input)


def planes(maps: Array, axes: int) -> tuple[Array, tuple[int, ...]]:
    """Lay each plane out as one line of cells.

    Parameters
    ----------
    maps : numpy.ndarray of shape (N, C, *size) or (C, *size)
        The maps.
    axes : int
        The number of spatial axes.

    Returns
    -------
    lines : numpy.ndarray of shape (N, C, cells) or (C, cells)
        The maps with one axis in place of the spatial ones.
    size : tuple of int
        The sizes of those.
    """
    expect_axes("input", maps.ndim, (axes + 1, axes + 2))
    lead, size = maps.shape[:-axes], maps.shape[-axes:]
    return maps.reshape(*lead, int(np.prod(size))), size


def first_maximum(values: Array) -> Array:
    """Return the number of the first maximum along the last axis; the first NaN, if there is one.

    Parameters
    ----------
    values : numpy.ndarray of shape (..., n)
        Numbers.

    Returns
    -------
    numpy.ndarray of int64, shape (...)
        The numbers of the maxima.

    Examples
    --------
    >>> import numpy as np
    >>> first_maximum(np.array([[1.0, 3, 3], [np.inf, np.nan, np.nan]]))
    array([1, 1])
    """
    best = np.zeros(values.shape[:-1], np.int64)
    for number in range(1, values.shape[-1]):
        value = values[..., number]
        so_far = np.take_along_axis(values, best[..., np.newaxis], axis=-1)[..., 0]
        wins = (value > so_far) | (np.isnan(value) & ~np.isnan(so_far))
        best = np.where(wins, number, best)
    return best


def maxima(
    input: Array, axes: int, counts: tuple[int, ...], windows: Sequence[Window]
) -> tuple[Array, Array]:
    """Keep the largest value of every window.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, *size) or (C, *size)
        Input maps.
    axes : int
        The number of spatial axes.
    counts : tuple of int
        Windows along each axis.
    windows : sequence of Window
        The windows.

    Returns
    -------
    output : numpy.ndarray of shape (N, C, *counts) or (C, *counts)
        The maxima.
    indices : numpy.ndarray of int64, same shape
        Their places.
    """
    lines, _ = planes(input, axes)
    output = np.empty((*lines.shape[:-1], *counts), input.dtype.newbyteorder("="))
    indices = np.empty(output.shape, np.int64)
    for window in windows:
        places = np.array(window.cells)[first_maximum(lines[..., window.cells])]
        indices[last(window.place)] = places
        output[last(window.place)] = np.take_along_axis(lines, places[..., np.newaxis], axis=-1)[
            ..., 0
        ]
    return output, indices


def to_places(
    values: Array, indices: Array, output_size: Sequence[int], axes: int, add: bool
) -> Array:
    """Bring each value to the place that its index names.

    Parameters
    ----------
    values : numpy.ndarray of shape (N, C, *size) or (C, *size)
        The values.
    indices : numpy.ndarray of int, same shape
        Where they go, counted in row order within one plane.
    output_size : sequence of int
        Shape of the result.
    axes : int
        The number of spatial axes.
    add : bool
        Whether values that meet are added; otherwise the last one stays.

    Returns
    -------
    numpy.ndarray of shape `output_size`
        Zero where no value went.
    """
    dtype = float_dtype(values=values)
    expect_axes("output_size", len(output_size), (axes + 1, axes + 2))
    lead, cells = tuple(output_size[:-axes]), int(np.prod(output_size[-axes:]))
    expect_shape("values", values, (*lead, *values.shape[-axes:]))
    expect_places(indices, values.shape, cells)
    result = np.zeros((*lead, cells))
    for place in np.ndindex(*values.shape):
        cell = (*place[:-axes], indices[place])
        result[cell] = values[place] + (result[cell] if add else 0)
    return result.reshape(output_size).astype(dtype)


def expect_places(indices: Array, shape: Sequence[int], cells: int) -> None:
    """Raise an error unless there is an index for each value, within the plane.

    Parameters
    ----------
    indices : numpy.ndarray
        What came.
    shape : sequence of int
        Shape of the values.
    cells : int
        Cells of a plane.

    Raises
    ------
    TypeError
        If they are not integers.
    ValueError
        If the shape differs, or an index lies outside.
    """
    if not np.issubdtype(indices.dtype, np.integer):
        raise TypeError(f"indices have dtype {indices.dtype}, expected integers")
    expect_shape("indices", indices, shape)
    if indices.size and not 0 <= indices.min() <= indices.max() < cells:
        raise ValueError(
            f"indices run from {indices.min()} to {indices.max()}, expected 0 to {cells - 1}"
        )


def sums(input: Array, axes: int, windows: Sequence[Window]) -> Iterator[tuple[Window, Array]]:
    """Yield every window with the sum of its cells.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, *size) or (C, *size)
        Input maps.
    axes : int
        The number of spatial axes.
    windows : sequence of Window
        The windows.

    Yields
    ------
    window : Window
        A window.
    total : numpy.ndarray of float64, shape (N, C) or (C,)
        The sums.
    """
    lines, _ = planes(input, axes)
    for window in windows:
        yield window, lines[..., window.cells].sum(axis=-1, dtype=np.float64)


def spread(shares: Array, input_size: Sequence[int], axes: int, windows: Sequence[Window]) -> Array:
    """Add the share of every window to each of its cells.

    Parameters
    ----------
    shares : numpy.ndarray of float64, shape (N, C, *counts) or (C, *counts)
        What each window gives.
    input_size : sequence of int
        Shape of the result.
    axes : int
        The number of spatial axes.
    windows : sequence of Window
        The windows.

    Returns
    -------
    numpy.ndarray of float64, shape `input_size`
        The sums.
    """
    lines, _ = planes(np.zeros(input_size), axes)
    for window in windows:
        for cell in window.cells:
            lines[..., cell] += shares[last(window.place)]
    return lines.reshape(input_size)
