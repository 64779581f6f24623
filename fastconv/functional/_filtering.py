"""Filters over any axes of an image of any type: how the image is continued, and cut into blocks.

What `fastconv.ndimage` and `fastconv.signal` stand on. An image is continued along each axis by a
list of *places*: for each position that a window meets, the cell of the image that it shows, or -1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from fastconv._check import Array
from fastconv._geometry import Ints
from fastconv.engine.filters import correlation, means
from fastconv.engine.filters.types import NEGATED, SUMS, TYPES
from fastconv.functional.padding import sources

# Of the tile that a block is computed from: so that it stays in a second-level cache.
_TILE_BYTES = 1 << 17
# A block to begin with: rows and columns that fill the registers.
_ROWS, _COLUMNS = 4, 64
# Stands for what is outside of the image, far from every cell.
_OUTSIDE = -(1 << 62)
# Of a view that is kept for the next call: cells along all axes.
_MOST_KEPT = 1 << 14
# Numbers of a cell, at most.
_MOST_GRAIN = 16


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


def make_frame(
    shape: Ints,
    size: Ints,
    window: Ints,
    first: Ints,
    modes: Sequence[str],
    itemsize: int,
    grain: int = 1,
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
    modes : sequence of str
        Of `fastconv.functional.pad`, one for each axis.
    itemsize : int
        Bytes of a number of the tile.
    grain : int
        Numbers of a cell: so many lie side by side on the last axis of the frame.
    """
    places = [
        sources(mode, n, np.arange(at, at + out + taps - 1, dtype=np.intp))
        for mode, n, out, taps, at in zip(modes, shape, size, window, first, strict=True)
    ]
    if grain > 1:
        cells = places[-1][:, None]
        places[-1] = np.where(cells < 0, -1, cells * grain + np.arange(grain)).ravel()
        size = (*size[:-1], size[-1] * grain)
        window = (*window[:-1], (window[-1] - 1) * grain + 1)
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
    negates: bool = False,
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
    negates : bool
        Whether a negative sum becomes the negative of its opposite in uint64.
    """
    if results.size == 0:
        return
    small = sum(results.shape) + sum(window) <= _MOST_KEPT
    view = (_kept_view if small else _new_view)(
        image.shape,
        image.strides,
        results.shape[1:],
        results.strides[1:],
        window,
        first,
        tuple(modes),
        weights.itemsize,
    )
    frame = view.frame
    # Taps in the order of the window: rows of the result share what they see.
    shared = full and view.grain == 1 and view.ordered and frame.window[-2] > 1
    into = NEGATED if negates and results.dtype == np.uint64 else TYPES[results.dtype]
    types = SUMS[weights.dtype], TYPES[image.dtype], into
    if not view.plain:
        image = image.transpose(view.order).reshape(view.image_shape)
        results = results.transpose((0, *(1 + axis for axis in view.order)))
        results = results.reshape((len(results), *frame.size))
    correlation.correlate(
        image,
        results,
        types,
        frame,
        (_kept_positions if small else _positions)(
            taps.tobytes(), taps.shape, view.seen, view.spare, view.grain
        ),
        weights,
        np.array([outside]).astype(weights.dtype),
        fold,
        start,
        frame.window[-2:] if shared else None,
    )


@dataclass(frozen=True, slots=True)
class _View:
    """How an image and its result are seen: their axes in the order of memory, as few as can be.

    Attributes
    ----------
    order : list of int
        All axes.
    seen : tuple of int
        The axis of the image that each axis of the frame is, behind `spare` of one cell.
    grain : int
        Numbers of a cell on the last axis: those of an axis without a window.
    ordered : bool
        Whether the axes are in the order of the image.
    plain : bool
        Whether the image and its result are seen as they are.
    """

    order: list[int]
    seen: tuple[int, ...]
    spare: int
    grain: int
    ordered: bool
    plain: bool
    image_shape: Ints
    frame: Frame


def _new_view(
    shape: Ints,
    strides: Ints,
    result_shape: Ints,
    result_strides: Ints,
    window: Ints,
    first: Ints,
    modes: tuple[str, ...],
    itemsize: int,
) -> _View:
    groups = _groups(shape, strides, result_shape, result_strides, window, first)
    order = [axis for group in groups for axis in group]
    order = [axis for axis in range(len(shape)) if axis not in order] + order
    grain = _grain(groups, shape, strides, result_strides, window)
    if grain > 1:
        groups.pop()
    seen = [group[-1] for group in groups]
    spare = max(2 - len(groups), 0)
    ones, zeros = (1,) * spare, (0,) * spare
    sizes, result_sizes = (
        ones + tuple(prod(whole[axis] for axis in group) for group in groups)
        for whole in (shape, result_shape)
    )
    frame = make_frame(
        sizes,
        result_sizes,
        ones + tuple(window[axis] for axis in seen),
        zeros + tuple(first[axis] for axis in seen),
        ("constant",) * spare + tuple(modes[axis] for axis in seen),
        itemsize,
        grain,
    )
    image_shape = (*sizes[:-1], sizes[-1] * grain)
    plain = (
        order == list(range(len(shape)))
        and image_shape == tuple(shape)
        and frame.size == tuple(result_shape)
    )
    return _View(order, tuple(seen), spare, grain, seen == sorted(seen), plain, image_shape, frame)


_kept_view = lru_cache(256)(_new_view)


def _positions(taps: bytes, shape: Ints, seen: Ints, spare: int, grain: int) -> NDArray[np.intp]:
    """Return the positions of taps, which are given by axes of the image, by axes of the frame."""
    found = np.zeros((shape[0], spare + len(seen)), np.intp)
    found[:, spare:] = np.frombuffer(taps, np.intp).reshape(shape)[:, seen]
    found[:, -1] *= grain
    return found


_kept_positions = lru_cache(256)(_positions)


def _groups(
    shape: Ints,
    strides: Ints,
    result_shape: Ints,
    result_strides: Ints,
    window: Ints,
    first: Ints,
) -> list[list[int]]:
    """Return the axes in the order of the image's memory, those together that can be seen as one.

    Axes without a window can; what has one cell is left out.
    """
    idle = [
        w == 1 and at == 0 and n == out
        for w, at, n, out in zip(window, first, shape, result_shape, strict=True)
    ]
    axes = [axis for axis in range(len(shape)) if not (idle[axis] and shape[axis] == 1)]
    groups: list[list[int]] = []
    for axis in sorted(axes, key=lambda axis: -abs(strides[axis])):
        if groups and idle[axis] and idle[outer := groups[-1][-1]]:
            length = shape[axis]
            if (strides[outer], result_strides[outer]) == (
                strides[axis] * length,
                result_strides[axis] * length,
            ):
                groups[-1].append(axis)
                continue
        groups.append([axis])
    return groups


def _grain(
    groups: list[list[int]], shape: Ints, strides: Ints, result_strides: Ints, window: Ints
) -> int:
    """Return how many numbers of the last axes can be seen as one cell of the axis before them.

    So the channels of a colour image are: a vector along them alone would be nearly empty.
    """
    if len(groups) < 2 or window[groups[-1][-1]] > 1 or window[groups[-2][-1]] == 1:
        return 1
    (*_, axis), last = groups[-2], groups[-1][-1]
    numbers = prod(shape[inner] for inner in groups[-1])
    fits = numbers <= _MOST_GRAIN and all(
        whole[axis] == whole[last] * numbers for whole in (strides, result_strides)
    )
    return numbers if fits else 1


def native(array: Array) -> Array:
    """Return an array whose numbers can be read as they are."""
    if array.flags.aligned and array.dtype.isnative:
        return array
    return array.astype(array.dtype.newbyteorder("="), order="K", subok=False)


@lru_cache(256)
def all_taps(window: Ints) -> NDArray[np.intp]:
    """Return the positions of all taps of a window, in its order."""
    return np.ascontiguousarray(np.indices(window, np.intp).reshape(len(window), prod(window)).T)


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
    small = sum(result.shape) + size <= _MOST_KEPT
    order, shape, frame = (_kept_slide if small else _new_slide)(
        image.shape, image.strides, result.strides, size, axis, first, mode
    )
    means.slide(
        image.transpose(order).reshape(shape),
        result.transpose(order).reshape(shape),
        (TYPES[image.dtype], TYPES[result.dtype]),
        frame,
        np.array([outside]),
    )


def _new_slide(
    shape: Ints,
    strides: Ints,
    result_strides: Ints,
    size: int,
    axis: int,
    first: int,
    mode: str,
) -> tuple[list[int], Ints, Frame]:
    """Return the order of the axes, the shape in which both arrays are seen, and the frame."""
    rank = len(shape)
    window, begins = [1] * rank, [0] * rank
    # A window of one cell slides, too: its running sum is rounded.
    window[axis], begins[axis] = max(size, 2), first
    merged = _groups(shape, strides, shape, result_strides, tuple(window), tuple(begins))
    groups = [group for group in merged if group != [axis]]
    order = [a for group in groups for a in group]
    order = [a for a in range(rank) if a not in order and a != axis] + order + [axis]
    lines = (prod(shape[a] for a in group) for group in groups)
    seen = (1,) * (not groups) + (*lines, shape[axis])
    ones, zeros = (1,) * (len(seen) - 1), (0,) * (len(seen) - 1)
    frame = make_frame(
        seen, seen, (*ones, size), (*zeros, first), ("constant",) * len(ones) + (mode,), 8
    )
    return order, seen, frame


_kept_slide = lru_cache(256)(_new_slide)
