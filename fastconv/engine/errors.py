"""How far a result may be off, and how large what is computed on the way: for each algorithm.

Errors are in multiples of eps and of a measure that the table of the plan names; magnitudes in
multiples of the largest numbers of the arrays.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, log2, prod, sqrt
from typing import TypeAlias

import numpy as np

from fastconv._geometry import ConvGeometry, Ints
from fastconv.engine.fft.blocks import conv_blocks
from fastconv.engine.winograd.counts import row_tiles, tiles, winograd_kernel
from fastconv.engine.winograd.counts import terms as winograd_terms

# Of x, what moves as the input does; of w, what moves as the weights do; of both.
Magnitude: TypeAlias = tuple[float, float, float]

# The most products of a sum over the batch that a kernel adds up; longer sums are cut into pieces,
# which are added in double precision.
PIECE_TERMS = 1 << 16


def terms(geometry: ConvGeometry, operation: str) -> int:
    """Return how many products are added up in one element of the result."""
    if operation == "conv2d":
        return prod(geometry.weight_shape[1:])
    if operation == "conv2d_input":
        return geometry.out_channels // geometry.groups * prod(geometry.kernel)
    return geometry.batch * prod(geometry.out_size)


def one_rounding_for_each_term(geometry: ConvGeometry, operation: str) -> float:
    """Return the factor of any order of summation, and of the rounding to the result's precision.

    N. Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1.
    """
    count = terms(geometry, operation)
    return (min(count, PIECE_TERMS) if operation == "conv2d_weight" else count) + 1


def partial_sums(geometry: ConvGeometry, operation: str, dtype: str) -> Magnitude:
    """Return how large the arrays, and any part of a sum of their products can be."""
    return 1.0, 1.0, terms(geometry, operation)


# On an axis of so many taps, the largest sum of absolute values with which a number of one of
# Winograd's tiles can reach a result, through all three matrices (winograd/points.h).
_FORWARD_GROWTH = {1: 1.0, 2: 8.121, 3: 14.286, 5: 42.06, 7: 154.9}
_AXIS_GROWTH = {
    "conv2d": _FORWARD_GROWTH,
    "conv2d_input": _FORWARD_GROWTH,
    "conv2d_weight": {1: 1.0, 2: 10.317, 3: 15.22, 5: 40.73, 7: 144.7},
}
_WINOGRAD_KERNELS = (
    *((taps, taps) for taps in (2, 3, 5)),
    *(kernel for taps in (2, 3, 5, 7) for kernel in ((1, taps), (taps, 1))),
)
# The same on both axes of the kernels that the tiles serve.
WINOGRAD_GROWTH: dict[Ints, dict[str, float]] = {
    kernel: {
        operation: prod(growth[taps] for taps in kernel)
        for operation, growth in _AXIS_GROWTH.items()
    }
    for kernel in _WINOGRAD_KERNELS
}
# On an axis of so many taps, how large intermediate results may be: the transformed x, in multiples
# of the largest |x|; the transformed w, of the largest |w|; and a sum of products, up to the end of
# the last transform, of both and the number of products. Tiles that are parts of rows are
# transformed on one axis.
_FORWARD_MAGNITUDE: dict[int, Magnitude] = {
    1: (1.0, 1.0, 1.0),
    2: (3.844, 1.143, 12.65),
    3: (5.977, 1.388, 23.75),
    5: (15.0, 5.0, 86.78),
    7: (43.55, 46.32, 364.9),
}
WINOGRAD_MAGNITUDE: dict[str, dict[int, Magnitude]] = {
    "conv2d": _FORWARD_MAGNITUDE,
    "conv2d_input": _FORWARD_MAGNITUDE,
    "conv2d_weight": {
        1: (1.0, 1.0, 1.0),
        2: (3.844, 5.766, 32.44),
        3: (5.977, 8.125, 56.5),
        5: (15.0, 15.0, 225.0),
        7: (43.55, 25.38, 889.0),
    },
}
WINOGRAD_ROWS_MAGNITUDE: dict[str, Magnitude] = {
    "conv2d": (28.33, 1.635, 197.7),
    "conv2d_input": (28.33, 1.635, 197.7),
    "conv2d_weight": (28.33, 64.44, 1498.0),
}


def _winograd_length(geometry: ConvGeometry, operation: str) -> int:
    """Return how many products a point's sum has: one for each channel and term, or each tile."""
    if operation == "conv2d_weight":
        return geometry.batch * tiles(geometry, operation)
    channels = terms(geometry, operation) // prod(geometry.kernel)
    return channels * winograd_terms(geometry, operation)


def winograd_error(geometry: ConvGeometry, operation: str) -> float:
    """Return the factor of at most 5 roundings in each transform, twice, and of the sum.

    The sum is over the channels of each term, in blocks of 16 or more, or over the tiles. Tiles
    that are parts of rows are transformed in one direction, and err by less, although their sums
    are longer.
    """
    length = _winograd_length(geometry, operation)
    blocks = length // 16
    if operation == "conv2d_weight":
        length = min(length, PIECE_TERMS)
        blocks = length // 16
    else:
        # The last block of a term may have fewer channels.
        blocks += winograd_terms(geometry, operation) - 1
    return (34 + length + blocks) * WINOGRAD_GROWTH[winograd_kernel(geometry)][operation]


def winograd_magnitude(geometry: ConvGeometry, operation: str, dtype: str) -> Magnitude:
    """Return how large both transforms and the sums of products can be."""
    axes = [WINOGRAD_MAGNITUDE[operation][taps] for taps in winograd_kernel(geometry)]
    x, w, sums = map(prod, zip(*axes, strict=True))
    return x, w, sums * _winograd_length(geometry, operation)


def winograd_rows_magnitude(geometry: ConvGeometry, operation: str, dtype: str) -> Magnitude:
    """Return the same where tiles are parts of rows."""
    x, w, sums = WINOGRAD_ROWS_MAGNITUDE[operation]
    if operation == "conv2d_weight":
        length = geometry.batch * row_tiles(geometry, operation)
    else:
        # The rows of a kernel are added up as the channels are.
        length = terms(geometry, operation) // geometry.kernel[1]
    return x, w, sums * length


def fft_error(geometry: ConvGeometry, operation: str) -> float:
    """Return the factor of three transforms, a product, and the sum over channels.

    The weight gradient adds blocks up in double precision.

    A step of a transform errs by at most 4 u + sqrt(2) (u + eps) < 4 eps of the vector's norm
    (Higham, section 24.1); an element of the result is at most the norms' product. A transform of n
    real numbers is one of n/2 complex ones, which are multiplied by two roots of unity beside its
    steps: 4 (log2(n) - 1) + 5.
    """
    blocks = conv_blocks(geometry, operation)
    steps = log2(max(prod(blocks.lengths), 2))
    if operation == "conv2d_weight":
        return 12 * steps + 8
    return 12 * steps + 7 + terms(geometry, operation) // prod(geometry.kernel)


def fft_magnitude(geometry: ConvGeometry, operation: str, dtype: str) -> Magnitude:
    """Return how large the transforms of a block and a kernel, and the products' can be.

    A transform is at most the sum of the absolute values. All absolute values of a product of two
    transforms add up to at most n times the product of the norms of what was transformed (Cauchy,
    Schwarz, Parseval), and the last transform divides by n late.
    """
    blocks = conv_blocks(geometry, operation)
    cells, taps = prod(blocks.lengths), prod(geometry.kernel)
    count = terms(geometry, operation) // taps
    if operation == "conv2d_weight":
        taps, count = prod(blocks.sizes), geometry.batch * blocks.count
    return cells, taps, count * cells * sqrt(cells * taps)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far the results of a variant may be off.

    `exact` says whether integers give exactly the integer result while no partial sum needs
    rounding. The error of an element of the result is at most `error`, for a geometry and
    operation, times eps and what `measure` says: the sum of the products' absolute values, or, with
    `norms`, the products of these norms (1, 2 or infinity) of what moves as the input does and of
    what moves as the weights do, summed over channels. An intermediate result is at most the
    largest |x|, the largest |w|, or the product of both, x and w being these two arrays, times what
    `magnitude` returns for a geometry, operation and dtype; a bias not counted.
    """

    exact: bool
    error: Callable[[ConvGeometry, str], float]
    measure: str
    norms: tuple[float, float] | None
    magnitude: Callable[[ConvGeometry, str, str], Magnitude]

    def magnitude_limits(self, geometry: ConvGeometry, operation: str, dtype: str) -> Magnitude:
        """Return up to which |x|, |w| and product of both no intermediate result overflows."""
        numbers = np.finfo(dtype)
        # Rounding may make an intermediate result larger.
        largest = float(numbers.max) / (1 + self.error(geometry, operation) * float(numbers.eps))
        x, w, sums = self.magnitude(geometry, operation, dtype)
        # There are no sums in an empty batch.
        return largest / x, largest / w, largest / max(sums, 1.0)


SUMS = Bounds(True, one_rounding_for_each_term, "sum |x||w|", None, partial_sums)
_TILES = "sum max |x| sum |w| of tiles and channels"
WINOGRAD_TILES = Bounds(False, winograd_error, _TILES, (inf, 1), winograd_magnitude)
WINOGRAD_ROWS = Bounds(False, winograd_error, _TILES, (inf, 1), winograd_rows_magnitude)
FOURIER = Bounds(False, fft_error, "sum |x|_2 |w|_2 of channels and blocks", (2, 2), fft_magnitude)
