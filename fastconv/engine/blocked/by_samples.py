"""Few channels: what `forward` and `weight` compute with samples or groups in the lanes."""

from functools import partial

import numpy as np

from fastconv._check import Array
from fastconv._geometry import ConvGeometry
from fastconv.engine.base.axes import forward_axes, gradient_axes
from fastconv.engine.blocked import fits
from fastconv.engine.blocked.forward import Correlation
from fastconv.engine.blocked.loops import Bound, Loops, Sizes, sizes
from fastconv.engine.blocked.weight import WeightGradient

# With fewer samples the vectors are bands of rows, whose neighbours are laid out twice.
_LEAST_SAMPLES = 8
# With so many groups, of at most so many channels each, groups lie in the lanes.
_LEAST_GROUPS = 16
_MOST_ACROSS = 3
# With more channels, to lay them out takes as long as other layouts lose.
_MOST_CHANNELS = 32
# With fewer output channels, a tile has too few products for what it reads.
_LEAST_OUTPUTS = 4
# Wider planes than these, of what is read and written, fill vectors by themselves.
_MOST_COLUMNS = 16
# Lanes that count, of all: with fewer, the other loops are faster.
_LEAST_USED = 0.7
# A line that reads or writes more is left to the others, which cut it.
_LINE_BYTES = 1 << 20
# Products of input and output channels: with more, the sums of a weight gradient leave the
# second-level cache.
_MOST_SUMS = 1024


def lies_across(size: Sizes) -> bool:
    """Tell whether groups lie in the lanes, instead of samples."""
    return size.groups >= _LEAST_GROUPS and max(size.inputs, size.outputs) <= _MOST_ACROSS


def _fits(operation: str, size: Sizes, together: int, itemsize: int) -> bool:
    """Tell what samples and groups in the lanes have in common; so many are in a vector."""
    number = size.groups if lies_across(size) else size.batch
    return (
        size.taps > 1
        and size.whole
        and fits.used_lanes(number, size.row.count, together, itemsize) >= _LEAST_USED
        and fits.sample_line_bytes(size.inputs, size.outputs, size.row, size.column, itemsize)
        <= _LINE_BYTES
        and (
            size.inputs * size.outputs <= _MOST_SUMS
            if operation == "conv2d_weight"
            # The engine cuts longer sums.
            else size.inputs * size.taps <= fits.most_steps(itemsize)
        )
    )


def samples_serve(
    operation: str, geometry: ConvGeometry, itemsize: int, planes: bool, kernels: bool
) -> bool:
    """Tell whether samples lie in the lanes; `planes`: those of the maps are contiguous."""
    size = sizes(operation, geometry)
    together, _ = fits.share_lanes(size.batch, size.row, itemsize)
    return (
        not lies_across(size)
        and size.batch >= _LEAST_SAMPLES
        and max(size.inputs, size.outputs) <= _MOST_CHANNELS
        and size.outputs >= _LEAST_OUTPUTS
        and planes
        and _fits(operation, size, together, itemsize)
    )


def groups_serve(
    operation: str, geometry: ConvGeometry, itemsize: int, planes: bool, kernels: bool
) -> bool:
    """Tell whether groups lie in the lanes.

    `planes` and `kernels` tell whether the planes of the maps, and the kernels of the gradient,
    are contiguous. The weight gradient copies other planes: they must not change its bits.
    """
    size = sizes(operation, geometry)
    return (
        lies_across(size)
        and max(size.column.size, size.column.out) <= _MOST_COLUMNS
        and (kernels if operation == "conv2d_weight" else planes)
        and _fits(operation, size, fits.lanes(itemsize), itemsize)
    )


def serves(
    operation: str, geometry: ConvGeometry, itemsize: int, planes: bool, kernels: bool
) -> bool:
    """Tell whether samples, or groups, lie in the lanes."""
    arguments = operation, geometry, itemsize, planes, kernels
    return samples_serve(*arguments) or groups_serve(*arguments)


def bind(by_columns: bool, operation: str, geometry: ConvGeometry, itemsize: int) -> Bound:
    """Return what computes an operation of one geometry for an algorithm.

    `by_columns` tells whether that adds the taps of a kernel column by column.
    """
    size = sizes(operation, geometry)
    across = lies_across(size)
    held = ("groups", fits.lanes(itemsize))
    if not across:
        held = ("samples", fits.share_lanes(size.batch, size.row, itemsize)[0])
    axes, groups = 2 + len(geometry.kernel), geometry.groups
    if operation == "conv2d":
        numbers = forward_axes(geometry)
        return Correlation(axes, groups, *numbers, *held, by_columns).forward
    if operation == "conv2d_input":
        numbers = gradient_axes(geometry)
        return Correlation(axes, groups, *numbers, *held, by_columns).swapped_gradient
    numbers = forward_axes(geometry)
    correlate = WeightGradient(axes, groups, *numbers, *held).weight_gradient
    if not across:
        return correlate

    def weight_gradient(
        input: Array, grad_output: Array, grad_weight: Array, dry: bool = False
    ) -> int:
        input, grad_output = map(np.ascontiguousarray, (input, grad_output))
        return correlate(input, grad_output, grad_weight, dry)

    return weight_gradient


samples = Loops(serves, partial(bind, False))
samples_by_columns = Loops(serves, partial(bind, True))
