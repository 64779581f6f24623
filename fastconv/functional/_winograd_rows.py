"""Winograd's tiles that are parts of rows: two fifths of the products of kernels of 5 x 5.

They are for few channels. The compiled loops of `_winograd_rows` and `_winograd_rows_weight` are
called as those of the engine are, but with maps whose planes are contiguous.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv import _winograd_rows, _winograd_rows_weight
from fastconv._check import Array
from fastconv._geometry import ConvGeometry
from fastconv.functional._compiled import Compiled, input_parts, moves


def _with_planes(maps: Array) -> Array:
    """Return the maps, or a copy of the whole array if their planes are not contiguous.

    The loops take whole rows at a time, of which they are told where each begins.
    """
    return maps if maps[0, 0].flags.c_contiguous else np.ascontiguousarray(maps)


class Rows(Compiled):
    """The three convolutions by the compiled loops."""

    def bind(self, operation: str, geometry: ConvGeometry) -> Callable[..., None]:
        """Return what computes an operation of one geometry: with its plan kept, if it can."""
        rest = super().bind(operation, geometry)
        axes, groups = 2 + len(geometry.kernel), geometry.groups
        if operation == "conv2d":
            correlate = _winograd_rows.Correlation(axes, groups, moves(geometry)[1])
        elif operation == "conv2d_input":
            before = input_parts(geometry)[0][0].before
            correlate = _winograd_rows.InputGradient(axes, groups, before)
        else:
            return rest

        def compute(*arrays: Array | None) -> None:
            if not correlate(*arrays):
                rest(*arrays)

        return compute

    def forward(
        self,
        geometry: ConvGeometry,
        input: Array,
        weight: Array,
        bias: Array | None,
        output: Array,
        prepared: Any = None,
    ) -> None:
        """Write the convolution into `output`."""
        super().forward(geometry, _with_planes(input), weight, bias, output)

    def input_gradient(
        self, geometry: ConvGeometry, grad_output: Array, weight: Array, grad_input: Array
    ) -> None:
        """Write the gradient with respect to the input into `grad_input`."""
        super().input_gradient(geometry, _with_planes(grad_output), weight, grad_input)

    def weight_gradient(
        self, geometry: ConvGeometry, input: Array, grad_output: Array, grad_weight: Array
    ) -> None:
        """Write the gradient with respect to the weights into `grad_weight`."""
        maps, residual = _with_planes(input), _with_planes(grad_output)
        super().weight_gradient(geometry, maps, residual, grad_weight)


rows = Rows(_winograd_rows.correlate, _winograd_rows_weight.correlate_weight)
