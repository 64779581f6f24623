"""The algorithms: each computes the three convolutions of one geometry.

gemm
    The engine: a blocked product on one register tile, and before it the loops with samples, groups
    or channels in the lanes.
depthwise
    One input channel in each group. The input gradient is a correlation, too: of the residual with
    the turned kernels, summed over the kernels of a group, all phases of a stride in one call.
winograd
    Fewer products for kernels of 3 x 3, 5 x 5, and one row or column. Its tiles are squares, or
    lines for one row or column; or, for 5 x 5 kernels of few channels, parts of rows.
fft
    Large kernels.
direct, im2col
    Plain loops, and products of the weights with columns of windows (`fastconv._kernels`).
"""

from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from typing import Any

import numpy as np

from fastconv import _kernels
from fastconv._check import C_TYPES, Array
from fastconv._geometry import ConvGeometry
from fastconv.engine.base.axes import PHASES, forward_axes, gradient_axes
from fastconv.engine.base.kernel import (
    Axes,
    Call,
    Compiled,
    Kernels,
    input_parts,
    moves,
    view_shapes,
    views,
)
from fastconv.engine.blocked.by_channels import channels
from fastconv.engine.blocked.by_samples import samples, samples_by_columns
from fastconv.engine.blocked.loops import Lanes
from fastconv.engine.depthwise.correlation import correlate as depthwise_correlate
from fastconv.engine.depthwise.correlation import correlate_weight as depthwise_weight
from fastconv.engine.fft.transforms import fft
from fastconv.engine.gemm.forward import Correlation, InputGradient
from fastconv.engine.gemm.forward import correlate as gemm
from fastconv.engine.gemm.products import input_gradient as gemm_input
from fastconv.engine.gemm.weight import WeightGradient
from fastconv.engine.gemm.weight import correlate_weight as gemm_weight
from fastconv.engine.plan import winograd_takes_rows
from fastconv.engine.winograd import rows as rows_loops
from fastconv.engine.winograd import rows_weight
from fastconv.engine.winograd.forward import correlate as winograd_correlate
from fastconv.engine.winograd.forward import prepare as winograd_prepare
from fastconv.engine.winograd.weight import correlate_weight as winograd_weight

__all__ = ["BY_NAME", "depthwise", "direct", "engine", "fft", "im2col", "rows", "winograd"]

# Where the input gradient reads so many weights of a group for so few pixels of a sample, turning
# the weights takes too long, and it adds products. The bits are others: batch and threads may not
# take part.
_LARGE_WEIGHTS = 1 << 19
_FEW_PIXELS = 1 << 8
_FEW_CELLS = 1 << 10

_INPUT_GRADIENT = {dtype: gemm_input[name] for dtype, name in C_TYPES.items()}


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
            return Correlation(axes, groups, *moves(geometry))
        if operation == "conv2d_weight":
            return WeightGradient(axes, groups, *moves(geometry))
        parts, covers = input_parts(geometry)
        phases = prod(geometry.stride) > 1 or not covers or len(parts) != 1
        if phases or adds_products(geometry):
            return super().bind_rest(operation, geometry)
        part = parts[0]
        return InputGradient(axes, groups, (1, 1, 1), part.before, part.dilation)

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


engine = Engine(gemm, gemm_weight)


class Depthwise(Lanes):
    """The three convolutions with the axes said as above."""

    loops = (samples_by_columns,)

    def axes(self, geometry: ConvGeometry) -> Axes:
        """Return the numbers of each axis."""
        return forward_axes(geometry)

    def covers(self, geometry: ConvGeometry) -> bool:
        """Tell whether each axis has a phase: the call of the input gradient then writes all."""
        return all(axis[PHASES] for axis in gradient_axes(geometry))

    def gradient_calls(
        self, geometry: ConvGeometry, residual: Array, turned: Array, target: Array
    ) -> Iterator[Call]:
        """Yield what `correlate` is called with for the input gradient: all phases at once."""
        if self.covers(geometry):
            yield (residual, turned, None, target, *gradient_axes(geometry))


depthwise = Depthwise(depthwise_correlate, depthwise_weight)


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
            correlate = rows_loops.Correlation(axes, groups, moves(geometry)[1])
        elif operation == "conv2d_input":
            before = input_parts(geometry)[0][0].before
            correlate = rows_loops.InputGradient(axes, groups, before)
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


rows = Rows(rows_loops.correlate, rows_weight.correlate_weight)


class Winograd(Compiled):
    """The three convolutions by the compiled loops, and weights that are transformed before."""

    def serving(self, operation: str, geometry: ConvGeometry, dtype: str) -> Compiled:
        """Return what computes an operation of one geometry: these tiles, or parts of rows."""
        return rows if winograd_takes_rows(geometry, operation, dtype) else self

    def prepare(self, geometry: ConvGeometry, weight: Array) -> Any:
        """Return the transformed weights, or None where each use transforms them anew."""
        prepare = winograd_prepare[C_TYPES[weight.dtype]]
        kernels = weight.reshape(view_shapes(geometry).weight)
        size = prepare(kernels)
        if not size:
            return None
        data = np.empty(size, weight.dtype)
        prepare(kernels, data)
        return data


winograd = Winograd(winograd_correlate, winograd_weight)


class Plain(Kernels):
    """The loops that are there to be read, as sums or as products of matrices."""

    def __init__(self, by_columns: bool):
        self._by_columns = by_columns

    def _compute(self, operation: str, geometry: ConvGeometry) -> Callable[..., int]:
        """Return what takes input, weights, bias and output, whichever of them it writes."""
        arguments = operation, self._by_columns, geometry.groups, *moves(geometry)
        return partial(_kernels.compute, *arguments)

    def bind(self, operation: str, geometry: ConvGeometry) -> Callable[..., None]:
        """Return what computes an operation of one geometry, called with its arrays."""
        compute = self._compute(operation, geometry)
        matrix: Callable[[Array], Array] = np.ascontiguousarray if self._by_columns else np.asarray

        def forward(
            input: Array, weight: Array, bias: Array | None, output: Array, prepared: Any = None
        ) -> None:
            compute(input, matrix(weight), bias, output)

        def input_gradient(grad_output: Array, weight: Array, grad_input: Array) -> None:
            compute(grad_input, matrix(weight), None, grad_output)

        def weight_gradient(input: Array, grad_output: Array, grad_weight: Array) -> None:
            compute(input, grad_weight, None, grad_output)

        functions: dict[str, Callable[..., None]] = {
            "conv2d": forward,
            "conv2d_input": input_gradient,
            "conv2d_weight": weight_gradient,
        }
        return functions[operation]

    def workspace(
        self, operation: str, geometry: ConvGeometry, input: Array, weight: Array, output: Array
    ) -> int:
        """Return the bytes of workspace that an operation takes, for arrays of this layout."""
        return self._compute(operation, geometry)(input, weight, None, output, dry=True)


direct = Plain(by_columns=False)
im2col = Plain(by_columns=True)

# By the names of the plan's table.
BY_NAME: dict[str, Kernels] = {
    "fft": fft,
    "depthwise": depthwise,
    "winograd": winograd,
    "gemm": engine,
    "direct": direct,
    "im2col": im2col,
}
