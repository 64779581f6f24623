"""The algorithm "winograd": fewer products for kernels of 3 x 3, 5 x 5, and one row or column.

Its tiles are squares, or lines for one row or column, by the compiled loops of `_winograd` and
`_winograd_weight`, which are called as those of the engine are; or, for few channels, parts of rows
(`fastconv.functional._winograd_rows`).
"""

from typing import Any

import numpy as np

from fastconv import _winograd, _winograd_weight
from fastconv._check import C_TYPES, Array
from fastconv._geometry import ConvGeometry
from fastconv._plan import winograd_takes_rows
from fastconv.functional._compiled import Compiled, view_shapes
from fastconv.functional._winograd_rows import rows


class Winograd(Compiled):
    """The three convolutions by the compiled loops, and weights that are transformed before."""

    def serving(self, operation: str, geometry: ConvGeometry, dtype: str) -> Compiled:
        """Return what computes an operation of one geometry: these tiles, or parts of rows."""
        return rows if winograd_takes_rows(geometry, operation, dtype) else self

    def prepare(self, geometry: ConvGeometry, weight: Array) -> Any:
        """Return the transformed weights, or None where each use transforms them anew."""
        prepare = _winograd.prepare[C_TYPES[weight.dtype]]
        kernels = weight.reshape(view_shapes(geometry).weight)
        size = prepare(kernels)
        if not size:
            return None
        data = np.empty(size, weight.dtype)
        prepare(kernels, data)
        return data


winograd = Winograd(_winograd.correlate, _winograd_weight.correlate_weight)
