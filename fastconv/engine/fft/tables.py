"""What transforms multiply by, made once for a size and kept: factors, twiddles, roots.

A real correlation of length 2n as a complex one of length n
-----------------------------------------------------------
Let t be a number with t^n = i. A real polynomial x(t) of 2n coefficients is then z(t), where
z[j] = x[j] + i x[j + n] has n complex ones; and products of such polynomials are real ones modulo
t^(2n) + 1. The n numbers t are w, w e^(-2 pi i / n), ... with w = e^(i pi / (2n)): so x is known by
the discrete Fourier transform of z[j] w^j. What wraps around has the other sign, which is all that
differs from a cycle (R. Crandall, B. Fagin, "Discrete weighted transforms and large-integer
arithmetic", 1994, call it the right-angle convolution).

A line of n = r c numbers z is cut into r rows of c. The transforms of the columns, times
e^(-2 pi i j (k - 1/4) / n) for column j and frequency k, and then of the rows, are that of the
line: the quarter is where its own powers of w are (D. Bailey, "FFTs in external or hierarchical
memory", 1990).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv._check import Array
from fastconv._geometry import Ints
from fastconv.engine.fft.planes import Planes, lanes_of


def factors_of(length: int) -> Ints:
    """Return the factors by which a line is split, in this order.

    Examples
    --------
    >>> factors_of(1), factors_of(96), factors_of(10)
    ((), (3, 4, 8), (5, 2))
    """
    factors = []
    for factor in (5, 3):
        while length % factor == 0:
            factors.append(factor)
            length //= factor
    twos = length.bit_length() - 1
    if length != 1 << twos:
        raise ValueError(f"a transform's length has the factors 2, 3 and 5 only, got {length} more")
    # The last step has no twiddles: there the eight goes.
    last = {0: [], 1: [2]}.get(twos, [8] if twos % 2 else [])
    twos -= sum(factor.bit_length() - 1 for factor in last)
    return (*factors, *[4] * (twos // 2), *last)


def roots(numerators: Any, denominator: int) -> Array:
    """Return e^(2 pi i k / n), each part within about half an ulp of a double."""
    k = np.asarray(numerators, np.int64) % denominator
    quarters = (8 * k + denominator) // (2 * denominator)
    # From the nearest quarter of the circle: at most an eighth.
    angle = (4 * k - quarters * denominator) * (np.pi / (2 * denominator))
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = quarters % 4
    real = np.choose(turn, (cosine, -sine, -cosine, sine))
    imaginary = np.choose(turn, (sine, cosine, -sine, -cosine))
    return np.stack([real, imaginary], axis=-1)


def order_of(factors: Ints) -> NDArray[np.int64]:
    """Return the frequency at each place of a transformed line."""
    order = np.zeros(1, np.int64)
    for factor in reversed(factors):
        order = (np.arange(factor)[:, None] + factor * order).ravel()
    return order


@dataclass(frozen=True, slots=True)
class Line:
    """The transform of a line.

    Attributes
    ----------
    length : int
    factors, first : tuple of int
        And where the twiddles of the step of each begin.
    twiddles : ndarray
        For each step, place and part but the first of it: a real and an imaginary part.
    """

    length: int
    factors: Ints
    first: Ints
    twiddles: Array


def _line(length: int, dtype: np.dtype[Any]) -> Line:
    factors, first = factors_of(length), []
    twiddles: list[Array] = [np.zeros(0)]
    whole, at = length, 0
    for factor in factors:
        part = whole // factor
        first.append(at)
        step = roots(-np.outer(np.arange(part), np.arange(1, factor)), whole).ravel()
        twiddles.append(step)
        whole, at = part, at + step.size
    return Line(length, factors, tuple(first), np.concatenate(twiddles).astype(dtype))


@dataclass(frozen=True, slots=True)
class Tables:
    """What the transforms of one size multiply by.

    Attributes
    ----------
    dtype : dtype
    depth, fold, across : Line
        Through the planes, along the columns of half the rows, along the rows.
    weights : ndarray
        The powers of w for each row.
    twist : ndarray or None
        Of a line cut into rows: what its cells are multiplied by between both transforms.
    """

    dtype: np.dtype[Any]
    depth: Line
    fold: Line
    across: Line
    weights: Array
    twist: Array | None


def _twist(fold: Line, columns: int, dtype: np.dtype[Any]) -> Array:
    """Return the factors of the cells, as they lie in the work area."""
    lanes = lanes_of(dtype.itemsize)
    strips, rows = -(-columns // lanes), -(-fold.length // lanes) * lanes
    places = np.zeros(rows, np.int64)
    places[: fold.length] = order_of(fold.factors)
    column = np.arange(strips * lanes).reshape(strips, 1, 1, lanes)
    found = roots(column * (1 - 4 * places[:, None, None]), 4 * fold.length * columns)
    return np.ascontiguousarray(np.moveaxis(found[:, :, 0], -1, 2), dtype)


@lru_cache(maxsize=32)
def planes_for(lengths: Ints, dtype: np.dtype[Any]) -> Planes:
    """Return the transforms of blocks of some planes, rows and columns, all real.

    One row is a line, of 2 r c numbers.
    """
    depth, rows, columns = lengths
    cut = depth == rows == 1
    fold, columns = cut_line(columns) if cut else (rows // 2, columns)
    folded = _line(fold, dtype)
    return Planes(
        Tables(
            dtype,
            _line(depth, dtype),
            folded,
            _line(columns, dtype),
            roots(np.arange(fold), 4 * fold).ravel().astype(dtype),
            _twist(folded, columns, dtype) if cut else None,
        )
    )


def cut_line(length: int) -> tuple[int, int]:
    """Return into how many rows and columns of complex numbers a line is cut: about as many."""
    cells, best = length // 2, 16
    for rows in range(16, cells // 16 + 1, 16):
        if cells % rows == 0 and cells // rows % 16 == 0 and rows * rows <= cells:
            best = rows
    return best, cells // best
