"""The algorithm "winograd": fewer products for kernels of 3 x 3, 5 x 5, and one row or column.

The compiled loops of `_winograd` and `_winograd_weight` are called as those of the engine are.
"""

from typing import Any

import numpy as np

from fastconv import _winograd, _winograd_weight
from fastconv._check import C_TYPES, Array
from fastconv._geometry import ConvGeometry
from fastconv.functional._compiled import Compiled, view_shapes


class Winograd(Compiled):
    """The three convolutions by the compiled loops, and weights that are transformed before."""

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
