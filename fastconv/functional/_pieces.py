"""Long sums in pieces, which are added in double precision.

A running sum can err by one rounding for each of its terms. A sum over the batch may have any
length; of at most `PIECE_TERMS` terms at a time, its error does not grow with it. The borders of
the pieces follow from the shapes alone, and so do the bits of the result.
"""

from collections.abc import Callable, Iterable
from functools import cache, partial
from math import prod

import numpy as np

from fastconv._check import Array
from fastconv._geometry import ConvGeometry, Piece, gradient_pieces
from fastconv.engine.errors import PIECE_TERMS

# Numbers of one running sum along an axis.
_RUN = 64


def sum_along(values: Array, axis: int) -> Array:
    """Return the sum along an axis, which stays with size 1, in the dtype of the values.

    However long the axis is, the error is below 64 eps times the sum of absolute values: NumPy adds
    pair by pair only along the axis that is contiguous.
    """
    total = values
    while total.shape[axis] > _RUN:
        starts = np.arange(0, total.shape[axis], _RUN)
        total = np.add.reduceat(total, starts, axis=axis, dtype=np.float64)
    total = np.add.reduce(total, axis=axis, keepdims=True)
    return total.astype(values.dtype, copy=False)


def add_pieces(pieces: Iterable[Callable[[Array], None]], result: Array) -> None:
    """Write into `result` the sum of what each of the functions writes into its argument."""
    total = np.zeros(result.shape)
    part = np.empty(result.shape, result.dtype)
    # Infinities and NaN come through without warnings, as from the kernels.
    with np.errstate(all="ignore"):
        for write in pieces:
            write(part)
            total += part
        result[...] = total


def in_pieces(geometry: ConvGeometry) -> bool:
    """Tell whether a weight gradient is computed in pieces."""
    return geometry.batch * prod(geometry.out_size) > PIECE_TERMS


def weight_gradient_in_pieces(
    geometry: ConvGeometry, bind: Callable[[ConvGeometry], Callable[..., None]]
) -> Callable[[Array, Array, Array], None]:
    """Return what computes the weight gradient, whole or in pieces.

    `bind` returns what computes it for the geometry of a piece, called with input, residual and
    gradient.
    """
    if not in_pieces(geometry):
        return bind(geometry)

    @cache
    def bound() -> list[tuple[Piece, Callable[..., None]]]:
        # Not before the first call: explain() may ask about any size.
        pieces = list(gradient_pieces(geometry, PIECE_TERMS))
        computes = {alike: bind(alike) for alike in {piece.geometry for piece in pieces}}
        return [(piece, computes[piece.geometry]) for piece in pieces]

    def compute(input: Array, grad_output: Array, grad_weight: Array) -> None:
        add_pieces(
            (
                partial(compute_piece, input[piece.input], grad_output[piece.output])
                for piece, compute_piece in bound()
            ),
            grad_weight,
        )

    return compute
