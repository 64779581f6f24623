"""Filters over any axes of an image of any type: how the image is continued, and cut into blocks.

What `fastconv.ndimage` and `fastconv.signal` stand on. An image is continued along each axis by a
list of *places*: for each position that a window meets, the cell of the image that it shows, or -1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv._check import Array
from fastconv._geometry import Ints
from fastconv.engine.filters import correlation, means
from fastconv.engine.filters.types import SUMS, TYPES
from fastconv.functional.padding import sources

# Of the tile that a block is computed from: so that it stays in a second-level cache.
_TILE_BYTES = 1 << 16
# A block to begin with: rows and columns that fill the registers.
_ROWS, _COLUMNS = 4, 64
# Stands for what is outside of the image, far from every cell.
_OUTSIDE = -(1 << 62)


@dataclass(frozen=True, slots=True)
class Frame:
    """How an image is continued, and cut into blocks.

    Attributes
    ----------
    size, window, block : tuple of int
        Of the result, of what a cell of it sees, and of what is computed at a time, axis by axis.
    places : ndarray of int
        Axis after axis, which cell each position shows: size + window - 1 of them.
    runs : ndarray of int
        The same for the last axis, as rows (end, begin, place, step) of neighbouring positions.
    """

    size: Ints
    window: Ints
    block: Ints
    places: NDArray[np.intp]
    runs: NDArray[np.intp]


@lru_cache(256)
def make_frame(
    shape: Ints, size: Ints, window: Ints, first: Ints, modes: tuple[str, ...], itemsize: int
) -> Frame:
    """Return the frame of an image.

    Parameters
    ----------
    shape, size : tuple of int
        Of the image, and of the result.
    window : tuple of int
        Cells that each cell of the result sees along each axis.
    first : tuple of int
        Where the window of the first cell of the result begins.
    modes : tuple of str
        Of `fastconv.functional.pad`, one for each axis.
    itemsize : int
        Bytes of a number of the tile.
    """
    places = [
        sources(mode, n, np.arange(at, at + out + taps - 1, dtype=np.intp))
        for mode, n, out, taps, at in zip(modes, shape, size, window, first, strict=True)
    ]
    block = _block(size, window, _TILE_BYTES // itemsize)
    return Frame(size, window, block, np.concatenate(places), _runs(places[-1]))


def _block(size: Ints, window: Ints, numbers: int) -> Ints:
    """Return a block whose tile has about so many numbers.

    It is doubled along the axis where the borders of the tile weigh most.
    """
    block = [1] * (len(size) - 2) + [min(size[-2], _ROWS), min(size[-1], _COLUMNS)]
    growing = [axis for axis in range(len(size)) if block[axis] < size[axis]]
    while growing:
        axis = max(growing, key=lambda axis: ((window[axis] - 1) / max(block[axis], 1), axis))
        larger = [*block]
        larger[axis] = min(2 * block[axis], size[axis])
        if prod(n + w - 1 for n, w in zip(larger, window, strict=True)) > numbers:
            growing.remove(axis)
            continue
        block = larger
        if block[axis] == size[axis]:
            growing.remove(axis)
    return tuple(block)


def _runs(places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return runs of positions that show neighbours, or one cell, or what is outside."""
    apart = np.where(places < 0, _OUTSIDE, places)
    steps = np.diff(apart)
    ends = np.append(np.flatnonzero(np.diff(steps)) + 1, len(steps))
    runs, begin = [], 0
    while begin < len(places):
        end, step = begin + 1, 0
        if begin < len(steps) and abs(steps[begin]) <= 1:
            step = int(steps[begin])
            end = int(ends[np.searchsorted(ends, begin, "right")]) + 1
        runs.append((end, begin, int(places[begin]), step))
        begin = end
    return np.array(runs, np.intp).reshape(-1, 4)


def correlate_taps(
    image: Array,
    results: Array,
    window: Ints,
    first: Ints,
    modes: Sequence[str],
    taps: NDArray[np.intp],
    weights: Array,
    *,
    outside: float = 0.0,
    fold: int = 0,
    start: float = 0.0,
    full: bool = False,
) -> None:
    """Write into results[k] the sum of the taps of an image, with the weights k.

    Parameters
    ----------
    image : ndarray
        Of a type of `TYPES`, aligned.
    results : ndarray
        Likewise, with an axis of kernels in front, and no memory of the image.
    window, first, modes
        As in `make_frame`.
    taps, weights, outside, fold, start
        As in `fastconv.engine.filters.correlation.correlate`, the weights of shape (kernels, taps)
        and of the type in which is added.
    full : bool
        Whether the taps are all of the window, in its order.
    """
    if results.size == 0:
        return
    groups = _groups(image, results[0], window, first)
    order = [axis for group in groups for axis in group]
    order = [axis for axis in range(image.ndim) if axis not in order] + order
    seen = [group[-1] for group in groups]
    spare = max(2 - len(groups), 0)
    image_shape, result_shape = ((1,) * spare + _sizes(a, groups) for a in (image, results[0]))
    ones, zeros = (1,) * spare, (0,) * spare
    frame = make_frame(
        image_shape,
        result_shape,
        ones + tuple(window[axis] for axis in seen),
        zeros + tuple(first[axis] for axis in seen),
        ("constant",) * spare + tuple(modes[axis] for axis in seen),
        weights.itemsize,
    )
    axes = [0, *(1 + axis for axis in order)]
    # Taps in the order of the window: rows of the result share what they see.
    shared = full and seen == sorted(seen) and frame.window[-2] > 1
    positions = np.zeros((len(taps), len(frame.size)), np.intp)
    positions[:, spare:] = taps[:, seen]
    correlation.correlate(
        image.transpose(order).reshape(image_shape),
        results.transpose(axes).reshape((len(results), *result_shape)),
        (SUMS[weights.dtype], TYPES[image.dtype], TYPES[results.dtype]),
        frame,
        positions,
        weights,
        np.array([outside]).astype(weights.dtype),
        fold,
        start,
        frame.window[-2:] if shared else None,
    )


def _sizes(array: Array, groups: Sequence[Sequence[int]]) -> Ints:
    return tuple(prod(array.shape[axis] for axis in group) for group in groups)


def _groups(image: Array, result: Array, window: Ints, first: Ints) -> list[list[int]]:
    """Return the axes in the order of the image's memory, those together that can be seen as one.

    Axes without a window can; what has one cell is left out.
    """

    def idle(axis: int) -> bool:
        return window[axis] == 1 and first[axis] == 0 and image.shape[axis] == result.shape[axis]

    axes = [axis for axis in range(image.ndim) if not (idle(axis) and image.shape[axis] == 1)]
    groups: list[list[int]] = []
    for axis in sorted(axes, key=lambda axis: -abs(image.strides[axis])):
        if (
            groups
            and idle(axis)
            and idle(outer := groups[-1][-1])
            and all(a.strides[outer] == a.strides[axis] * a.shape[axis] for a in (image, result))
        ):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    return groups


def native(array: Array) -> Array:
    """Return an array whose numbers can be read as they are."""
    if array.flags.aligned and array.dtype.isnative:
        return array
    return array.astype(array.dtype.newbyteorder("="), order="K", subok=False)


def as_sums(values: Any, dtype: DTypeLike) -> Array:
    """Return numbers as a contiguous array of the type in which is added."""
    return np.ascontiguousarray(values, dtype)


def slide_window(
    image: Array, result: Array, size: int, axis: int, first: int, mode: str, outside: float
) -> None:
    """Write into the result the means of windows along one axis of an image.

    Parameters
    ----------
    image, result : ndarray
        As in `correlate_taps`, but of one shape.
    size, axis : int
        Of the window, and the axis along which it slides.
    first : int
        Where the first window begins.
    mode : str
        As in `make_frame`.
    outside : float
        What cells outside of the image hold.
    """
    if result.size == 0:
        return
    window, begins = [1] * image.ndim, [0] * image.ndim
    # A window of one cell slides, too: its running sum is rounded.
    window[axis], begins[axis] = max(size, 2), first
    groups = [
        group for group in _groups(image, result, tuple(window), tuple(begins)) if group != [axis]
    ]
    order = [a for group in groups for a in group]
    order = [a for a in range(image.ndim) if a not in order and a != axis] + order + [axis]
    shape = (1,) * (not groups) + _sizes(image, groups) + (image.shape[axis],)
    ones, zeros = (1,) * (len(shape) - 1), (0,) * (len(shape) - 1)
    frame = make_frame(
        shape, shape, (*ones, size), (*zeros, first), ("constant",) * len(ones) + (mode,), 8
    )
    means.slide(
        image.transpose(order).reshape(shape),
        result.transpose(order).reshape(shape),
        (TYPES[image.dtype], TYPES[result.dtype]),
        frame,
        np.array([outside]),
    )
