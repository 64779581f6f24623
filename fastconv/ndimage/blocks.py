"""Images that are larger than memory, filtered block by block."""

import operator
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from typing import Any, TypeAlias

import numpy as np

from fastconv._check import Array
from fastconv.functional.padding import sources
from fastconv.ndimage._arguments import boundary, outside_value
from fastconv.ndimage.correlation import correlate

Place: TypeAlias = tuple[slice, ...]


def filter_blocks(
    read: Callable[[Place], Array],
    write: Callable[[Place, Array], None],
    shape: Sequence[int],
    kernel: Any,
    block: int | Sequence[int] = 2048,
    mode: str = "reflect",
    cval: Any = 0.0,
    *,
    output: Any = None,
    first: int = 0,
) -> Iterator[int]:
    """Correlate an image that is larger than memory with a kernel, block by block, in order.

    Parameters
    ----------
    read : callable
        Called with a tuple of slices, one for each axis; returns that part of the image.
    write : callable
        Called with a tuple of slices and that part of the result, once for each block.
    shape : sequence of int
        Of the image.
    kernel : array_like
        As in `correlate`, with all axes of the image.
    block : int or sequence of int
        Cells of a block along all axes, or each.
    mode, cval
        As in `correlate`.
    output : dtype, optional
        The type of the result; by default that of what is read.
    first : int
        The first block that is computed: what the generator gave last plus 1 goes on where an
        earlier one was stopped.

    Returns
    -------
    iterator of int
        The number of each block, when it is written: what is not asked for is not computed.

    Raises
    ------
    RuntimeError, ValueError
        As `correlate`; also if the kernel has another number of axes than the shape, or a block
        has no cell.

    Notes
    -----
    A block is read with the cells around it that the kernel sees, and only these: the memory that
    is needed is that of one such block and its result. What is beyond the borders of the image is
    read where `mode` finds it. The result is that of `correlate`, to the last bit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> image = np.arange(12.0).reshape(3, 4)
    >>> result = np.empty((3, 4))
    >>> numbers = ndimage.filter_blocks(
    ...     image.__getitem__, result.__setitem__, image.shape, np.ones((3, 3)), block=2
    ... )
    >>> list(numbers)
    [0, 1, 2, 3]
    >>> bool((result == ndimage.correlate(image, np.ones((3, 3)))).all())
    True
    """
    weights = np.asarray(kernel)
    sizes = tuple(operator.index(n) for n in shape)
    if weights.ndim != len(sizes) or 0 in weights.shape:
        raise RuntimeError(
            f"kernel must have an axis for each of the shape {sizes}, and weights, got a kernel of "
            f"shape {weights.shape}"
        )
    given: tuple[Any, ...] = tuple(block) if isinstance(block, Sequence) else (block,) * len(sizes)
    blocks = tuple(operator.index(n) for n in given)
    if len(blocks) != len(sizes) or min(blocks, default=1) < 1:
        raise ValueError(f"block must be at least 1 on each of {len(sizes)} axes, got {block!r}")
    continued, outside = boundary(mode), outside_value(cval)

    def run() -> Iterator[int]:
        starts = (range(0, n, size) for n, size in zip(sizes, blocks, strict=True))
        for number, begin in enumerate(product(*starts)):
            if number < first:
                continue
            place = tuple(
                slice(at, min(at + size, n))
                for at, size, n in zip(begin, blocks, sizes, strict=True)
            )
            seen, dtype = _read_around(read, place, weights.shape, sizes, continued, outside)
            whole = correlate(seen, weights, dtype if output is None else np.dtype(output))
            inside = tuple(
                slice(n // 2, n // 2 + at.stop - at.start)
                for n, at in zip(weights.shape, place, strict=True)
            )
            write(place, whole[inside])
            yield number

    return run()


def _read_around(
    read: Callable[[Place], Array],
    place: Place,
    window: tuple[int, ...],
    sizes: tuple[int, ...],
    continued: str,
    outside: float,
) -> tuple[Array, np.dtype[Any]]:
    """Return a part of an image with the cells around it that a kernel sees, and the image's type.

    Neighbouring positions that show neighbouring cells, or the same, are read together.
    """
    places = [
        sources(continued, n, np.arange(at.start - w // 2, at.stop + (w - 1) // 2, dtype=np.intp))
        for at, w, n in zip(place, window, sizes, strict=True)
    ]
    pieces = [_pieces(axis) for axis in places]
    result: Array | None = None
    for parts in product(*pieces):
        target = tuple(part[0] for part in parts)
        spans = [part[1] for part in parts]
        if any(span is None for span in spans):
            continue
        source = tuple(slice(low, high) for low, high in spans)  # type: ignore[misc]
        found = np.asarray(read(source))
        if result is None:
            result = np.full([len(axis) for axis in places], outside, _type_of(found, outside))
        cells = zip(places, target, source, strict=True)
        index = np.ix_(*(axis[at] - span.start for axis, at, span in cells))
        result[target] = found[index]
    assert result is not None
    return result, found.dtype


def _type_of(found: Array, outside: float) -> np.dtype[Any]:
    """Return a type that holds the image and what is outside of it."""
    if outside == 0 or found.dtype.kind in "fc":
        return found.dtype
    return np.result_type(found.dtype, np.float64)


def _pieces(places: Any) -> list[tuple[slice, tuple[int, int] | None]]:
    """Return spans of positions, and which cells each needs, or None for what is outside."""
    jumps = np.flatnonzero(np.abs(np.diff(np.where(places < 0, -(1 << 40), places))) > 1) + 1
    bounds = [0, *jumps.tolist(), len(places)]
    spans: list[tuple[slice, tuple[int, int] | None]] = []
    for begin, end in pairwise(bounds):
        cells = places[begin:end]
        needed = None if cells[0] < 0 else (int(cells.min()), int(cells.max()) + 1)
        spans.append((slice(begin, end), needed))
    return spans
