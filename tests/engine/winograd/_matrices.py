"""The matrices of Winograd's convolutions as fractions, from their points."""

from fractions import Fraction
from math import prod

import numpy as np

from fastconv.engine.plan import OPERATIONS
from tests import _cases


def pairs(*numbers):
    """Return the numbers with both signs."""
    return [sign * Fraction(p) for p in numbers for sign in (1, -1)]


# By the taps on an axis; infinity is one more.
POINTS = {
    1: [],
    2: pairs("1/2", "5/4"),
    3: [Fraction(0), *pairs("5/8", "3/2")],
    5: [Fraction(0), *pairs("1/2", 1, 2)],
    7: [Fraction(0), *pairs("1/2", "3/4", "5/4", "5/2")],
}
# Those of tiles of rows.
ROW_POINTS = pairs("1/4", "3/4", 1, "5/2")


def products(numbers):
    """Return the factors of (x - p), multiplied over the numbers p: of 1, x, x^2, ..."""
    factors = [Fraction(1)]
    for p in numbers:
        shifted, scaled = [Fraction(0), *factors], [*(p * f for f in factors), Fraction(0)]
        factors = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return factors


def powers(p, count):
    return [p**i for i in range(count)]


def step(taps):
    """Return the outputs of a tile on an axis of so many taps."""
    return 4 if taps > 1 else 1


def matrices(taps, points=None):
    """Return A (n x m), G (n x taps) and B^T (n x n) as fractions, from the points."""
    points = POINTS[taps] if points is None else points
    m = len(points) + 2 - taps
    a, g, b = [], [], []
    for j, p in enumerate(points):
        others = points[:j] + points[j + 1 :]
        norm = prod((p - q for q in others), start=Fraction(1))
        a.append(powers(p, m))
        g.append([x / norm for x in powers(p, taps)])
        b.append([*products(others), Fraction(0)])
    a.append([Fraction(i == m - 1) for i in range(m)])
    g.append([Fraction(i == taps - 1) for i in range(taps)])
    b.append(products(points))
    return tuple(np.array(matrix, object) for matrix in (a, g, b))


def free_inputs(outputs):
    """Return the inputs of a tile of 3 taps that is cut off after 1 or 2 outputs, from the rest."""
    p, q = Fraction(5, 8), Fraction(3, 2)
    inputs = np.array([[Fraction(i == j) for j in range(6)] for i in range(6)], object)
    if outputs == 1:
        inputs[3] = p * p * inputs[1]
    inputs[4] = p * p * inputs[2] - q * (inputs[3] - p * p * inputs[1])
    return inputs


def sizes(taps, points=None):
    """Return the absolute values of the matrices as floating-point numbers."""
    return tuple(np.abs(matrix.astype(np.float64)) for matrix in matrices(taps, points))


def takes_rows(case, operations=OPERATIONS):
    """Tell whether any of the operations has tiles of rows, in any dtype."""
    return any(
        _cases.takes_rows(case.geometry, operation, dtype)
        for operation in operations
        for dtype in ("float32", "float64")
    )


def both(kernel, make=matrices):
    """Return A, G and B^T on the axis of the rows, and on that of the columns."""
    return zip(*map(make, kernel), strict=True)


def sandwich(matrices, tiles):
    """Return P T Q^T of tiles T in the last two axes, for two matrices P and Q."""
    return matrices[0] @ tiles @ matrices[1].T
