"""The algorithm "depthwise": convolutions with one input channel in each group.

The compiled loops of `_depthwise` are called with views of the arrays, and with each axis said in
numbers. The input gradient is a correlation, too: of the residual with the turned kernels, summed
over the kernels of a group, all phases of a stride in one call.
"""

from array import array
from functools import lru_cache
from typing import TypeAlias

from fastconv import _depthwise
from fastconv._check import C_TYPES, Array
from fastconv._geometry import ConvGeometry, input_gradient_phases, three_axes
from fastconv.functional._compiled import moves, split, split_weight

Axes: TypeAlias = "tuple[array[int], ...]"

_CORRELATE = {dtype: _depthwise.correlate[name] for dtype, name in C_TYPES.items()}
_CORRELATE_WEIGHT = {dtype: _depthwise.correlate_weight[name] for dtype, name in C_TYPES.items()}

# Where an axis says how many phases it has.
_PHASES = 3


@lru_cache(maxsize=4096)
def _forward_axes(geometry: ConvGeometry) -> Axes:
    """Return the numbers of each axis: one phase, of all the taps."""
    return tuple(
        array("q", (stride, 1, dilation, 1, 0, before, 0, 1, taps))
        for stride, before, dilation, taps in zip(
            *moves(geometry), three_axes(geometry.kernel, 1), strict=True
        )
    )


@lru_cache(maxsize=4096)
def _gradient_axes(geometry: ConvGeometry) -> Axes:
    """Return the numbers of each axis: the phases of the input, each with falling taps."""
    sizes, kernel = three_axes(geometry.in_size, 1), three_axes(geometry.kernel, 1)
    return tuple(map(_gradient_axis, sizes, kernel, *moves(geometry)))


def _gradient_axis(size: int, kernel: int, stride: int, before: int, dilation: int) -> "array[int]":
    phases = input_gradient_phases(size, kernel, stride, before, dilation)
    numbers = [1, stride, phases[0].dilation if phases else 1, len(phases)]
    for phase in phases:
        taps = phase.taps
        fall = taps[1] - taps[0] if len(taps) > 1 else -1
        numbers += [phase.positions.start, phase.before, taps[0], fall, len(taps)]
    return array("q", numbers)


def forward(
    geometry: ConvGeometry, input: Array, weight: Array, bias: Array | None, output: Array
) -> None:
    """Write the convolution into `output`."""
    groups = geometry.groups
    _CORRELATE[input.dtype](
        split(input, groups),
        split_weight(weight, groups),
        None if bias is None else bias.reshape(groups, -1),
        split(output, groups),
        *_forward_axes(geometry),
    )


def input_gradient(
    geometry: ConvGeometry, grad_output: Array, weight: Array, grad_input: Array
) -> None:
    """Write the gradient with respect to the input into `grad_input`."""
    groups = geometry.groups
    axes = _gradient_axes(geometry)
    if not all(axis[_PHASES] for axis in axes):
        # On some axis, no window holds a position of the input.
        grad_input[...] = 0
        return
    _CORRELATE[grad_output.dtype](
        split(grad_output, groups),
        split_weight(weight, groups).swapaxes(1, 2),
        None,
        split(grad_input, groups),
        *axes,
    )


def weight_gradient(
    geometry: ConvGeometry, input: Array, grad_output: Array, grad_weight: Array
) -> None:
    """Write the gradient with respect to the weights into `grad_weight`."""
    groups = geometry.groups
    _CORRELATE_WEIGHT[input.dtype](
        split(input, groups),
        split(grad_output, groups),
        split_weight(grad_weight, groups),
        *_forward_axes(geometry),
    )


def workspace(
    operation: str, geometry: ConvGeometry, input: Array, weight: Array, output: Array
) -> int:
    """Return the bytes of workspace that an operation takes, for arrays of this layout."""
    maps, kernels, results = (
        split(input, geometry.groups),
        split_weight(weight, geometry.groups),
        split(output, geometry.groups),
    )
    if operation == "conv2d_weight":
        dry = _CORRELATE_WEIGHT[input.dtype]
        return dry(maps, results, kernels, *_forward_axes(geometry), dry=True)
    dry = _CORRELATE[input.dtype]
    if operation == "conv2d":
        return dry(maps, kernels, None, results, *_forward_axes(geometry), dry=True)
    axes = _gradient_axes(geometry)
    if not all(axis[_PHASES] for axis in axes):
        return 0
    return dry(results, kernels.swapaxes(1, 2), None, maps, *axes, dry=True)
