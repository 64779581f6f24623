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

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np

from fastconv import _kernels
from fastconv._check import C_TYPES, Array
from fastconv._geometry import ConvGeometry, Ints, three_axes
from fastconv.engine.base.axes import PHASES, forward_axes, gradient_axes
from fastconv.engine.base.operation import Algorithm, input_parts, moves, view_shapes
from fastconv.engine.blocked.by_channels import channels
from fastconv.engine.blocked.by_samples import samples, samples_by_columns
from fastconv.engine.blocked.loops import Lanes
from fastconv.engine.depthwise import correlation as depthwise_loops
from fastconv.engine.fft.transforms import fft
from fastconv.engine.gemm.correlation import Correlation
from fastconv.engine.gemm.forward import PixelLanes
from fastconv.engine.gemm.kernel import Bound
from fastconv.engine.gemm.outputs import OutputLanes
from fastconv.engine.gemm.phases import InputGradient
from fastconv.engine.gemm.products import InputGradient as ProductsGradient
from fastconv.engine.gemm.tile import vector_lanes
from fastconv.engine.gemm.weight import WeightGradient
from fastconv.engine.gemm.weight_plan import gathered_positions
from fastconv.engine.plan import winograd_takes_rows
from fastconv.engine.winograd.forward import Correlation as WinogradCorrelation
from fastconv.engine.winograd.forward import prepare as winograd_prepare
from fastconv.engine.winograd.rows import Correlation as RowsCorrelation
from fastconv.engine.winograd.rows_weight import WeightGradient as RowsWeightGradient
from fastconv.engine.winograd.weight import WeightGradient as WinogradWeightGradient

__all__ = ["BY_NAME", "depthwise", "direct", "engine", "fft", "im2col", "rows", "winograd"]

# Where the input gradient reads so many weights of a group for so few pixels of a sample, turning
# the weights takes too long, and it adds products. The bits are others: batch and threads may not
# take part.
_LARGE_WEIGHTS = 1 << 19
_FEW_PIXELS = 1 << 8
_FEW_CELLS = 1 << 10
# Sums along the vectors: with more of them, they would leave the second-level cache.
_MOST_DOTS = 1 << 10
# Vectors of the widest tile: with fewer, gathered windows would not fill it.
_FULL_VECTORS = 4


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
    """The engine."""

    loops = (channels, samples)

    def bind_rest(self, operation: str, geometry: ConvGeometry) -> Callable[..., Any]:
        """Return what computes what the loops refuse."""
        axes, groups = 2 + len(geometry.kernel), geometry.groups
        steps = moves(geometry)
        if operation == "conv2d":
            return Bound(axes, groups, partial(_correlation, steps)).forward
        if operation == "conv2d_weight":
            return Bound(axes, groups, partial(_weight_gradient, geometry)).weight_gradient
        if adds_products(geometry):
            kernel = Bound(axes, groups, lambda *_: ProductsGradient(*steps))
            return _add_products(kernel.swapped_gradient)
        parts, covers = input_parts(geometry)
        phases = tuple(
            (
                _places(part.positions, geometry.in_size),
                _places(part.taps, geometry.kernel),
                part.before,
                part.dilation,
            )
            for part in parts
        )
        return Bound(axes, groups, partial(_input_gradient, phases, covers)).swapped_gradient


def _weight_gradient(
    geometry: ConvGeometry,
    shapes: tuple[Ints, ...],
    strides: tuple[Ints, ...],
    itemsize: int,
    threads: int,
) -> WeightGradient:
    """Return the kernel of the weight gradient: its role follows the shapes."""
    stride, before, dilation = moves(geometry)
    x, (_, outputs, inputs, *kernel), y = shapes
    taps, lanes = prod(kernel), vector_lanes(itemsize)
    # One tap inside the input: the pixels that it sees are a view.
    view = taps == 1 and inputs <= outputs and before == (0, 0, 0)
    view = view and all((y[i] - 1) * stride[i - 3] < x[i] for i in range(3, 6))
    lane, rows = (inputs, outputs) if view else (outputs, inputs * taps)
    role = "input channels" if view else "output channels"
    if 2 * lane <= lanes and rows <= _MOST_DOTS:
        role = "pixels"
    # For few pixels, gathering their windows is less work than transposing the gradient.
    if taps > 1 and inputs * taps >= _FULL_VECTORS * lanes:
        gathered = gathered_positions(shapes, itemsize, stride, before, dilation)
        if gathered <= outputs:
            role = "taps"
    return WeightGradient(role, stride, before, dilation)


def _cheaper(
    pixels: tuple[float, float, float], outputs: tuple[float, float, float]
) -> type[Correlation]:
    """Return what computes a correlation: pixels or output channels in the lanes."""
    cycles, filled, memory = outputs
    return OutputLanes if filled >= 0.5 and memory <= 1 and cycles < pixels[0] else PixelLanes


def _correlation(steps: tuple[Ints, Ints, Ints], *layout: Any) -> Correlation:
    pixels, outputs = PixelLanes(*steps), OutputLanes(*steps)
    lanes = _cheaper(pixels.estimate(*layout), outputs.estimate(*layout))
    return outputs if lanes is OutputLanes else pixels


def _input_gradient(phases: tuple[Any, ...], covers: bool, *layout: Any) -> InputGradient:
    pixels, outputs = (
        InputGradient([lanes] * len(phases), phases, covers).estimates(*layout)
        for lanes in (PixelLanes, OutputLanes)
    )
    return InputGradient(list(map(_cheaper, pixels, outputs)), phases, covers)


def _places(index: tuple[Any, ...], sizes: Ints) -> tuple[Ints, ...]:
    """Return the first, the step and the number of what an index selects on three axes."""
    slices = index[1:] or (slice(None),) * 3
    chosen = [range(size)[part] for size, part in zip(three_axes(sizes, 1), slices, strict=True)]
    return tuple((places.start, places.step, len(places)) for places in chosen)


def _add_products(gradient: Callable[..., int]) -> Callable[..., int]:
    """Return the same for residuals and weights that are not contiguous."""
    return lambda grad_output, weight, grad_input, dry=False: gradient(
        np.ascontiguousarray(grad_output), np.ascontiguousarray(weight), grad_input, dry
    )


engine = Engine()


def _write_zeros(residual: Array, weight: Array, grad_input: Array, dry: bool = False) -> int:
    """Write the input gradient where no output depends on the input."""
    if not dry:
        grad_input[...] = 0
    return 0


class Depthwise(Lanes):
    """The three convolutions with one input channel in each group."""

    loops = (samples_by_columns,)

    def bind_rest(self, operation: str, geometry: ConvGeometry) -> Callable[..., Any]:
        """Return what computes what the loops refuse; its plan is kept."""
        axes, groups = 2 + len(geometry.kernel), geometry.groups
        if operation == "conv2d":
            return depthwise_loops.Correlation(axes, groups, forward_axes(geometry))
        if operation == "conv2d_weight":
            return depthwise_loops.WeightGradient(axes, groups, forward_axes(geometry))
        numbers = gradient_axes(geometry)
        if all(axis[PHASES] for axis in numbers):
            return depthwise_loops.InputGradient(axes, groups, numbers)
        return _write_zeros


depthwise = Depthwise()


def _with_planes(maps: Array) -> Array:
    """Return the maps, or a copy of the whole array if their planes are not contiguous.

    The loops take whole rows at a time, of which they are told where each begins.
    """
    return maps if maps[0, 0].flags.c_contiguous else np.ascontiguousarray(maps)


def _rows_kernel(operation: str, geometry: ConvGeometry) -> Callable[..., int]:
    """Return what computes with tiles that are parts of rows, for maps with contiguous planes."""
    axes, groups = 2 + len(geometry.kernel), geometry.groups
    if operation == "conv2d_input":
        parts, _ = input_parts(geometry)
        if not parts:
            return _write_zeros
        return RowsCorrelation(axes, groups, parts[0].before).turned_gradient
    before = moves(geometry)[1]
    if operation == "conv2d":
        return RowsCorrelation(axes, groups, before).forward
    return RowsWeightGradient(axes, groups, before).weight_gradient


class Rows(Algorithm):
    """The three convolutions with tiles that are parts of rows."""

    def bind(self, operation: str, geometry: ConvGeometry) -> Callable[..., Any]:
        """Return what computes an operation of one geometry, called with its arrays."""
        kernel = _rows_kernel(operation, geometry)
        if operation == "conv2d_weight":
            return lambda input, grad_output, grad_weight, dry=False: kernel(
                _with_planes(input), _with_planes(grad_output), grad_weight, dry
            )
        return lambda maps, *arrays, dry=False: kernel(_with_planes(maps), *arrays, dry=dry)


rows = Rows()


class Winograd(Algorithm):
    """The three convolutions with square tiles, and weights that are transformed before."""

    def serving(self, operation: str, geometry: ConvGeometry, dtype: str) -> Algorithm:
        """Return what computes an operation of one geometry: these tiles, or parts of rows."""
        return rows if winograd_takes_rows(geometry, operation, dtype) else self

    def bind(self, operation: str, geometry: ConvGeometry) -> Callable[..., Any]:
        """Return what computes an operation of one geometry, called with its arrays."""
        axes, groups = 2 + len(geometry.kernel), geometry.groups
        _, before, dilation = moves(geometry)
        if operation == "conv2d":
            return WinogradCorrelation(axes, groups, before, dilation).forward
        if operation == "conv2d_weight":
            return WinogradWeightGradient(axes, groups, before, dilation).weight_gradient
        # Without a stride the input is one phase, or without cells none.
        parts, _ = input_parts(geometry)
        if not parts:
            return _write_zeros
        before, dilation = parts[0].before, parts[0].dilation
        return WinogradCorrelation(axes, groups, before, dilation).turned_gradient

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


winograd = Winograd()


class Plain(Algorithm):
    """The loops that are there to be read, as sums or as products of matrices."""

    def __init__(self, by_columns: bool):
        self._by_columns = by_columns

    def bind(self, operation: str, geometry: ConvGeometry) -> Callable[..., int]:
        """Return what computes an operation of one geometry, called with its arrays."""
        # It takes input, weights, bias and output, whichever of them it writes.
        compute = partial(
            _kernels.compute, operation, self._by_columns, geometry.groups, *moves(geometry)
        )
        matrix: Callable[[Array], Array] = np.ascontiguousarray if self._by_columns else np.asarray

        def forward(
            input: Array, weight: Array, bias: Array | None, output: Array, dry: bool = False
        ) -> int:
            return compute(input, matrix(weight), bias, output, dry=dry)

        def input_gradient(
            grad_output: Array, weight: Array, grad_input: Array, dry: bool = False
        ) -> int:
            return compute(grad_input, matrix(weight), None, grad_output, dry=dry)

        def weight_gradient(
            input: Array, grad_output: Array, grad_weight: Array, dry: bool = False
        ) -> int:
            return compute(input, grad_weight, None, grad_output, dry=dry)

        functions: dict[str, Callable[..., int]] = {
            "conv2d": forward,
            "conv2d_input": input_gradient,
            "conv2d_weight": weight_gradient,
        }
        return functions[operation]


direct = Plain(by_columns=False)
im2col = Plain(by_columns=True)

# By the names of the plan's table.
BY_NAME: dict[str, Algorithm] = {
    "fft": fft,
    "depthwise": depthwise,
    "winograd": winograd,
    "gemm": engine,
    "direct": direct,
    "im2col": im2col,
}
