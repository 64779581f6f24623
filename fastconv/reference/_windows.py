"""Padding, window positions and the one sum from which all the convolution formulas are made.

Nothing here is computed by a closed formula: a line is padded, and the windows on it are found
by sliding one along until it no longer fits.
"""

from collections.abc import Iterable, Sequence
from operator import index
from typing import Any, TypeAlias

import numpy as np

from fastconv.reference._arguments import Array, PerAxis, per_axis

Pairs: TypeAlias = list[tuple[int, int]]
Padding: TypeAlias = int | str | Sequence[int] | Sequence[Sequence[int]]

CONV_WORDS = ("valid", "same", "same_lower", "full")


def extent(kernel: int, dilation: int) -> int:
    """Return how many cells a window covers from its first to its last cell.

    Parameters
    ----------
    kernel : int
        Number of cells the window looks at.
    dilation : int
        Distance between two of them.

    Returns
    -------
    int
        The length covered.

    Examples
    --------
    >>> extent(3, 2)  # looks at cells 0, 2, 4
    5
    """
    return range(0, kernel * dilation, dilation)[-1] + 1


def positions(length: int, window: int, stride: int) -> list[int]:
    """List the starts of all windows on a line, by sliding the window while it fits.

    Parameters
    ----------
    length : int
        Length of the line, its padding included.
    window : int
        Cells from the window's first to its last.
    stride : int
        Cells between the starts of two windows.

    Returns
    -------
    list of int
        The starts; its length is the size of the feature map, the lectures'
        ``(w + 2p - k) / s + 1``.

    Examples
    --------
    >>> positions(7, 3, 2)
    [0, 2, 4]
    """
    starts = []
    start = 0
    while start + window <= length:
        starts.append(start)
        start += stride
    return starts


def padding_pairs(
    padding: Padding,
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    words: Sequence[str] = CONV_WORDS,
) -> Pairs:
    """Turn every form of padding into one pair (cells before, cells after) for each axis.

    Parameters
    ----------
    padding : int, str, sequence of int or sequence of pairs
        One int for all axes, one int or one pair for each axis, or a word: "valid" adds
        nothing; "full" lets the window overlap the input by one cell at either end; "same"
        adds as few cells as give one window for every `stride` cells of the input, the odd
        cell after it, "same_lower" the odd cell before it.
    size, kernel, stride, dilation : sequence of int
        Input size, kernel size, stride and dilation of each axis.
    words : sequence of str
        The words allowed here.

    Returns
    -------
    list of (int, int)
        Cells before and after, in the order of the axes.

    Raises
    ------
    ValueError
        If the padding is negative, of the wrong length, or an unknown word.

    Examples
    --------
    >>> padding_pairs("same", (5,), (2,), (1,), (1,))
    [(0, 1)]
    >>> padding_pairs("full", (5,), (3,), (1,), (1,))
    [(2, 2)]
    """
    axes = len(size)
    if isinstance(padding, str):
        if padding not in words:
            raise ValueError(f"padding is {padding!r}, expected numbers or one of {words}")
        windows = [extent(k, d) for k, d in zip(kernel, dilation, strict=True)]
        return [
            _pair_for_word(padding, length, window, step)
            for length, window, step in zip(size, windows, stride, strict=True)
        ]
    entries = list(padding) if isinstance(padding, Sequence) else [padding]
    if len(entries) == 1 and not isinstance(entries[0], Sequence):
        entries *= axes
    pairs = [
        (index(entry[0]), index(entry[1]))
        if isinstance(entry, Sequence) and len(entry) == 2
        else (index(entry), index(entry))  # type: ignore[arg-type]
        for entry in entries
    ]
    if len(pairs) != axes or any(min(pair) < 0 for pair in pairs):
        raise ValueError(f"padding is {padding}, expected {axes} ints or pairs, none negative")
    return pairs


def _pair_for_word(word: str, length: int, window: int, stride: int) -> tuple[int, int]:
    if word == "valid":
        return 0, 0
    if word == "full":
        return window - 1, window - 1
    wanted = len(range(0, length, stride))
    total = 0
    while len(positions(length + total, window, stride)) < wanted:
        total += 1
    smaller, larger = total // 2, total - total // 2
    return (smaller, larger) if word == "same" else (larger, smaller)


def last(index: Iterable[int | slice]) -> Any:
    """Return an index into the last axes that leaves those before them whole.

    Parameters
    ----------
    index : iterable of int or slice
        What is wanted of each of the last axes.

    Returns
    -------
    tuple
        The index.

    Examples
    --------
    >>> import numpy as np
    >>> np.arange(8).reshape(2, 2, 2)[last([1, 0])]
    array([2, 6])
    """
    return (..., *index)


def pad(maps: Array, pairs: Pairs, value: float = 0) -> Array:
    """Put cells of one value round the last axes of an array.

    Parameters
    ----------
    maps : numpy.ndarray of shape (..., *size)
        What is padded.
    pairs : list of (int, int)
        Cells before and after each of the last axes.
    value : float, default 0
        What the new cells hold.

    Returns
    -------
    numpy.ndarray
        The padded array.
    """
    untouched = [(0, 0)] * (maps.ndim - len(pairs))
    return np.pad(maps, untouched + pairs, constant_values=value)


def inside(pairs: Pairs, size: Sequence[int]) -> list[slice]:
    """Say where the unpadded map lies within the padded one.

    Parameters
    ----------
    pairs : list of (int, int)
        Cells before and after each axis.
    size : sequence of int
        Unpadded size of each axis.

    Returns
    -------
    list of slice
        The cells along each axis.

    Examples
    --------
    >>> inside([(1, 2)], [5])
    [slice(1, 6, None)]
    """
    return [slice(before, before + n) for (before, _), n in zip(pairs, size, strict=True)]


def zero_fill(maps: Array, step: Sequence[int]) -> Array:
    """Pull the cells of the last axes `step` apart and fill the gaps with zeros.

    Parameters
    ----------
    maps : numpy.ndarray of shape (..., *size)
        What is pulled apart.
    step : sequence of int
        Distance of two former neighbours along each of the last axes.

    Returns
    -------
    numpy.ndarray
        The zero-filled array.

    Examples
    --------
    >>> import numpy as np
    >>> zero_fill(np.array([[1, 2], [3, 4]]), (2, 2))
    array([[1, 0, 2],
           [0, 0, 0],
           [3, 0, 4]])
    """
    axes = len(step)
    size = [extent(n, s) for n, s in zip(maps.shape[-axes:], step, strict=True)]
    filled = np.zeros((*maps.shape[:-axes], *size), maps.dtype)
    filled[last(slice(None, None, s) for s in step)] = maps
    return filled


def correlate(maps: Array, kernels: Array, stride: Sequence[int], dilation: Sequence[int]) -> Array:
    """Slide every kernel over every map and sum the products: the sum behind all formulas.

    Parameters
    ----------
    maps : numpy.ndarray of shape (N, C, *size)
        The maps, already padded.
    kernels : numpy.ndarray of shape (K, C, *kernel)
        The kernels.
    stride : sequence of int
        Cells between two positions of a kernel.
    dilation : sequence of int
        Cells between two neighbours of a kernel when laid on the map.

    Returns
    -------
    numpy.ndarray of float64, shape (N, K, *positions)
        The sums.

    Raises
    ------
    ValueError
        If a kernel does not fit.

    Notes
    -----
    For one axis::

        z[n, k, i] = sum_c sum_r maps[n, c, i stride + r dilation] kernels[k, c, r]

    Examples
    --------
    >>> import numpy as np
    >>> line, kernel = np.array([[[1, 2, 4, 8]]]), np.array([[[1, 10]]])
    >>> correlate(line, kernel, (1,), (1,))
    array([[[21., 42., 84.]]])
    """
    size, kernel = maps.shape[2:], kernels.shape[2:]
    windows = [extent(k, d) for k, d in zip(kernel, dilation, strict=True)]
    starts = window_starts(size, windows, stride)
    maps, kernels = maps.astype(np.float64), kernels.astype(np.float64)
    summed = range(1, kernels.ndim)
    z = np.zeros((len(maps), len(kernels), *map(len, starts)))
    for place in np.ndindex(z.shape[2:]):
        cells = [
            slice(starts[axis][i], starts[axis][i] + windows[axis], dilation[axis])
            for axis, i in enumerate(place)
        ]
        z[last(place)] = np.tensordot(maps[last(cells)], kernels, axes=(summed, summed))
    return z


def window_starts(
    size: Sequence[int], windows: Sequence[int], stride: Sequence[int]
) -> list[list[int]]:
    """List the starts of the windows along every axis, at least one on each.

    Parameters
    ----------
    size, windows, stride : sequence of int
        Padded length, window and stride of each axis.

    Returns
    -------
    list of list of int
        The starts along each axis.

    Raises
    ------
    ValueError
        If the window does not fit on some axis.
    """
    starts = [positions(*line) for line in zip(size, windows, stride, strict=True)]
    if not all(starts):
        raise ValueError(
            f"a window over {tuple(windows)} cells does not fit on the padded map of "
            f"{tuple(size)} cells"
        )
    return starts


def group_slices(channels: int, kernels: int, groups: int) -> list[tuple[slice, slice]]:
    """Say which input channels and which kernels belong together.

    Parameters
    ----------
    channels, kernels, groups : int
        Numbers of input channels, kernels and groups.

    Returns
    -------
    list of (slice, slice)
        For each group its input channels and its kernels.

    Raises
    ------
    ValueError
        If the channels or kernels cannot be shared out evenly.

    Examples
    --------
    >>> group_slices(4, 2, 2)
    [(slice(0, 2, None), slice(0, 1, None)), (slice(2, 4, None), slice(1, 2, None))]
    """
    if groups < 1 or channels % groups or kernels % groups:
        raise ValueError(
            f"groups is {groups}, expected a divisor of {channels} channels and {kernels} kernels"
        )
    c, k = channels // groups, kernels // groups
    return [(slice(g * c, (g + 1) * c), slice(g * k, (g + 1) * k)) for g in range(groups)]


class Geometry:
    """Where the kernels of one convolution lie: its arguments spread over the axes.

    Parameters
    ----------
    input_size : sequence of int
        Shape of the input, (N, C, *size).
    weight_size : sequence of int
        Shape of the kernels, (K, C / groups, *kernel).
    stride, padding, dilation, groups
        As in `conv2d`.

    Raises
    ------
    ValueError
        If they do not fit together.
    """

    def __init__(
        self,
        input_size: Sequence[int],
        weight_size: Sequence[int],
        stride: PerAxis,
        padding: Padding,
        dilation: PerAxis,
        groups: int,
    ) -> None:
        size, axes = input_size[2:], len(input_size) - 2
        kernel = per_axis("kernel size", tuple(weight_size[2:]), axes)
        self.stride = per_axis("stride", stride, axes)
        self.dilation = per_axis("dilation", dilation, axes)
        self.groups = group_slices(input_size[1], weight_size[0], groups)
        if weight_size[1] * groups != input_size[1]:
            raise ValueError(
                f"weight has {weight_size[1]} channels in each of {groups} groups, expected "
                f"{input_size[1]} in all"
            )
        self.pairs: Pairs = padding_pairs(padding, size, kernel, self.stride, self.dilation)
        self.padded = [
            before + length + after
            for (before, after), length in zip(self.pairs, size, strict=True)
        ]
        self.windows = [extent(k, d) for k, d in zip(kernel, self.dilation, strict=True)]
        self.starts = window_starts(self.padded, self.windows, self.stride)
        self.output = tuple(map(len, self.starts))
        self.inside = inside(self.pairs, size)
