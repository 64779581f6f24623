"""The algorithm "gemm": the engine, a blocked product on one register tile."""

from collections.abc import Callable
from math import prod

import numpy as np

from fastconv import _gemm, _gemm_input, _gemm_weight
from fastconv._check import C_TYPES, Array
from fastconv._geometry import ConvGeometry
from fastconv.functional._channels import channels
from fastconv.functional._compiled import input_parts, moves, views
from fastconv.functional._lanes import Lanes
from fastconv.functional._samples import samples

# Where the input gradient reads so many weights of a group for so few pixels of a sample, turning
# the weights takes too long, and it adds products. The bits are others: batch and threads may not
# take part.
_LARGE_WEIGHTS = 1 << 19
_FEW_PIXELS = 1 << 8
_FEW_CELLS = 1 << 10

_INPUT_GRADIENT = {dtype: _gemm_input.input_gradient[name] for dtype, name in C_TYPES.items()}


def adds_products(geometry: ConvGeometry) -> bool:
    """Tell whether the input gradient is a sum of products, each computed once."""
    weights = geometry.in_channels * geometry.out_channels * prod(geometry.kernel)
    return (
        prod(geometry.kernel) > 1
        and weights >= _LARGE_WEIGHTS * geometry.groups**2
        and 0 < prod(geometry.out_size) <= _FEW_PIXELS
        and prod(geometry.in_size) <= _FEW_CELLS
    )


class Engine(Lanes):
    """The engine: its plans are kept, and it takes the arrays as they are."""

    loops = (channels, samples)

    def bind_rest(self, operation: str, geometry: ConvGeometry) -> Callable[..., None]:
        """Return what computes what the loops refuse.

        The input gradient has no plan to keep where it takes several phases, or none, for
        stride > 1, or adds products.
        """
        axes, groups = 2 + len(geometry.kernel), geometry.groups
        if operation == "conv2d":
            return _gemm.Correlation(axes, groups, *moves(geometry))
        if operation == "conv2d_weight":
            return _gemm_weight.WeightGradient(axes, groups, *moves(geometry))
        parts, covers = input_parts(geometry)
        phases = prod(geometry.stride) > 1 or not covers or len(parts) != 1
        if phases or adds_products(geometry):
            return super().bind_rest(operation, geometry)
        part = parts[0]
        return _gemm.InputGradient(axes, groups, (1, 1, 1), part.before, part.dilation)

    def input_gradient(
        self, geometry: ConvGeometry, grad_output: Array, weight: Array, grad_input: Array
    ) -> None:
        """Write the gradient with respect to the input into `grad_input`."""
        if adds_products(geometry):
            grad_output, weight = map(np.ascontiguousarray, (grad_output, weight))
            maps, kernels, results = views(geometry, grad_input, weight, grad_output)
            _INPUT_GRADIENT[weight.dtype](results, kernels, maps, *moves(geometry))
            return
        super().input_gradient(geometry, grad_output, weight, grad_input)

    def workspace(
        self, operation: str, geometry: ConvGeometry, input: Array, weight: Array, output: Array
    ) -> int:
        """Return the bytes of workspace that an operation takes, for arrays of this layout."""
        if operation == "conv2d_input" and adds_products(geometry):
            output, weight = map(np.ascontiguousarray, (output, weight))
            maps, kernels, results = views(geometry, input, weight, output)
            return _INPUT_GRADIENT[weight.dtype](results, kernels, maps, *moves(geometry), dry=True)
        return super().workspace(operation, geometry, input, weight, output)


engine = Engine(_gemm.correlate, _gemm_weight.correlate_weight)
