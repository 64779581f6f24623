"""The algorithm "gemm": the engine, a blocked product on one register tile."""

from collections.abc import Callable
from math import prod

from fastconv import _gemm, _gemm_weight
from fastconv._geometry import ConvGeometry
from fastconv.functional._compiled import input_parts, moves
from fastconv.functional._samples import Samples, may_pay


class Engine(Samples):
    """The engine: its plans are kept, and it takes the arrays as they are."""

    def bind(self, operation: str, geometry: ConvGeometry) -> Callable[..., None] | None:
        """Return what computes an operation of one geometry, called with its arrays.

        None where it takes several phases, or none: the input gradient for stride > 1; and where
        samples may lie in the lanes.
        """
        if may_pay(geometry):
            return None
        axes, groups = 2 + len(geometry.kernel), geometry.groups
        if operation == "conv2d":
            return _gemm.Correlation(axes, groups, *moves(geometry))
        if operation == "conv2d_weight":
            return _gemm_weight.WeightGradient(axes, groups, *moves(geometry))
        parts, covers = input_parts(geometry)
        if prod(geometry.stride) > 1 or not covers or len(parts) != 1:
            return None
        part = parts[0]
        return _gemm.InputGradient(axes, groups, (1, 1, 1), part.before, part.dilation)


engine = Engine(_gemm.correlate, _gemm_weight.correlate_weight)
