"""Kernels that are products of lines: how they are noticed, and applied axis by axis.

A kernel of n weights on each of d axes takes n^d products for a cell of the result, its lines n d.
They are noticed where nothing but the rounding changes: the sums of the lines, too, are within the
error bound of sums of so many products.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import Any, TypeAlias

import numpy as np

from fastconv._check import Array
from fastconv._geometry import Ints
from fastconv.engine.base.memory import empty
from fastconv.engine.choice import only_exact
from fastconv.functional._filtering import all_taps, correlate_taps, native

Lines: TypeAlias = tuple[Array, ...]

# A line through an image takes the time of so many taps of a kernel, beside its own: its image is
# read and written once more (docs/performance.md).
_PASS = 32
# The weights of lines are found within so many roundings at least: of an outer product of rounded
# lines, divided by its largest weight.
_LEAST_ROUNDINGS = 16
# Whole numbers beyond are not all doubles.
_LARGEST_WHOLE = 2.0**53


def find_lines(kernel: Array, precision: "np.dtype[Any]") -> Lines | None:
    """Return the lines, one for each axis, whose product a kernel is, or None where it is none.

    Parameters
    ----------
    kernel : ndarray
        Of floating-point numbers or integers.
    precision : dtype
        In which the kernel's products are added. A kernel of n weights is a product if each weight
        is within n roundings of it (at least 16), which is the bound of such a sum's own error; for
        integers, if it is exactly one of whole numbers.

    Returns
    -------
    tuple of ndarray, or None
        Doubles. Those of whole numbers are whole numbers, and their product is exact.
    """
    return _found(kernel.astype(np.float64).tobytes(), kernel.shape, precision)


@lru_cache(256)
def _found(numbers: bytes, shape: Ints, precision: "np.dtype[Any]") -> Lines | None:
    weights = np.frombuffer(numbers).reshape(shape)
    if weights.size == 0 or not np.isfinite(weights).all():
        return None
    if not weights.any():
        return tuple(np.zeros(n) for n in shape)
    # The lines through the largest weight say what the others must be.
    peak = np.unravel_index(np.abs(weights).argmax(), shape)
    lines: list[Array] = [
        weights[tuple(slice(None) if k == axis else at for k, at in enumerate(peak))].copy()
        for axis in range(len(shape))
    ]
    whole = abs(weights[peak]) < _LARGEST_WHOLE and bool((weights == np.rint(weights)).all())
    if precision.kind != "f" and not whole:
        return None
    for line, at in zip(lines[1:], peak[1:], strict=True):
        line /= np.copysign(np.gcd.reduce(line.astype(np.int64)), line[at]) if whole else line[at]
    if whole:
        lines[0] /= prod(line[at] for line, at in zip(lines[1:], peak[1:], strict=True))
    product = np.ones(())
    for line in lines:
        product = np.multiply.outer(product, line)
    if whole:
        exact = (product == weights).all() and (lines[0] == np.rint(lines[0])).all()
        return tuple(lines) if exact else None
    roundings = max(_LEAST_ROUNDINGS, weights.size) * float(np.finfo(precision).eps) / 2
    if not (np.abs(product - weights) <= roundings * np.abs(weights)).all():
        return None
    with np.errstate(over="ignore", under="ignore"):
        lines = _balanced(lines)
        held = [line.astype(precision) for line in lines]
    # Lines of the largest or the smallest numbers can be beyond what the type holds.
    least = np.finfo(precision).tiny
    kept = all(
        np.isfinite(short).all() and (np.abs(short[line != 0]) >= least).all()
        for short, line in zip(held, lines, strict=True)
    )
    return tuple(lines) if kept else None


def _balanced(lines: list[Array]) -> list[Array]:
    """Scale all lines but the last by powers of two, so that no sum of theirs can overflow."""
    for line, following in pairwise(lines):
        power = -int(np.frexp(np.abs(line).sum())[1])
        np.ldexp(line, power, line)
        np.ldexp(following, -power, following)
    return lines


def taps_worth(shape: Ints) -> int:
    """Return how many taps take the time of the lines of a kernel of this shape."""
    long = [n for n in shape if n > 1]
    return sum(long) + _PASS * len(long)


def saves_time(shape: Ints, taps: int) -> bool:
    """Tell whether a kernel of this shape is applied faster by its lines than by its taps."""
    return sum(n > 1 for n in shape) > 1 and taps > taps_worth(shape)


def why_not(kernel: Array, taps: int, lines: Lines | None) -> str:
    """Return why a kernel is not applied axis by axis, or "" where it is.

    Parameters
    ----------
    kernel : ndarray
    taps : int
        How many of its weights count.
    lines : tuple of ndarray, or None
        What `find_lines` found.
    """
    if not saves_time(kernel.shape, taps):
        return "so few products are faster one by one"
    if lines is None:
        return "the kernel is no product of lines, within rounding"
    if only_exact() and not all((line == np.rint(line)).all() for line in lines):
        return "within fastconv.exact()"
    return ""


def correlate_lines(
    image: Array,
    result: Array,
    lines: Sequence[Array],
    first: Ints,
    modes: Sequence[str],
    sums: "np.dtype[Any]",
    *,
    outside: Any = 0,
    skip_zeros: bool = False,
) -> None:
    """Write into `result` an image's correlation with the product of lines.

    Parameters
    ----------
    image, result
        As in `fastconv.functional._filtering.correlate_taps`, the result without an axis of
        kernels.
    lines : sequence of ndarray
        One for each axis.
    first, modes, outside
        As in `correlate_taps`.
    sums : dtype
        In which is added; what is between the axes has this type, too.
    skip_zeros : bool
        Whether what meets a weight of zero is not seen, not even a NaN.
    """
    axes = [axis for axis, line in enumerate(lines) if len(line) > 1 or first[axis]]
    axes = axes or [image.ndim - 1]
    loose = prod(float(line[0]) for axis, line in enumerate(lines) if axis not in axes)
    with np.errstate(over="ignore", invalid="ignore"):
        weights = [lines[axis] * (loose if axis == axes[-1] else 1) for axis in axes]
        weights = [_in_type(line, sums) for line in weights]
        beyond: Any = np.asarray(outside).astype(sums)
    size = list(image.shape)
    for axis, line in zip(axes, weights, strict=True):
        size[axis] = result.shape[axis]
        into = result if axis == axes[-1] else empty(tuple(size), sums)
        window, begins = [1] * image.ndim, [0] * image.ndim
        window[axis], begins[axis] = len(line), first[axis]
        taps = all_taps(tuple(window))
        counts = line != 0 if skip_zeros else np.ones(len(line), bool)
        correlate_taps(
            native(image),
            into[None],
            tuple(window),
            tuple(begins),
            modes,
            taps if counts.all() else taps[counts],
            line[counts][None],
            outside=beyond,
            full=bool(counts.all()),
        )
        # Cells beyond the borders are filtered along the axis, too: in the order of the loops, so
        # that a block that holds such cells gives the same bits.
        with np.errstate(over="ignore", invalid="ignore"):
            products = np.append(np.zeros(1, sums), beyond * line[counts])
            beyond = products.cumsum(dtype=sums)[-1]
        image = into


def _in_type(line: Array, sums: "np.dtype[Any]") -> Array:
    """Return whole numbers as unsigned integers that wrap around, or other lines as floats."""
    if sums.kind == "u":
        line = line.astype(np.int64)
    found: Array = line.astype(sums)
    return found
