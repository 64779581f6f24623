"""Groups of few channels: what `forward` and `weight` compute with channels in the lanes."""

from fastconv._geometry import ConvGeometry
from fastconv.engine.base.axes import forward_axes, gradient_axes
from fastconv.engine.blocked import fits
from fastconv.engine.blocked.forward import Correlation
from fastconv.engine.blocked.loops import Bound, Loops, sizes
from fastconv.engine.blocked.weight import WeightGradient

# With fewer channels in a group, they leave lanes empty; with more, the engine's tiles are full.
_LEAST_CHANNELS = 8
_MOST_CHANNELS = 32
# Lanes of the output that count, of all: with fewer, the other loops are faster.
_LEAST_USED = 0.7
# A line that reads and writes more leaves a quarter of the second-level cache.
_LINE_BYTES = 1 << 18


def serves(
    operation: str, geometry: ConvGeometry, itemsize: int, planes: bool, kernels: bool
) -> bool:
    """Tell whether the channels of groups lie in the lanes.

    `planes` and `kernels` tell whether the planes of the maps, and the kernels of the gradient,
    are contiguous.
    """
    size = sizes(operation, geometry)
    together, share = fits.turns(size.outputs, size.groups, itemsize)
    return (
        size.groups > 1
        and size.taps > 1
        and min(size.inputs, size.outputs) >= _LEAST_CHANNELS
        and max(size.inputs, size.outputs) <= _MOST_CHANNELS
        and planes
        and size.whole
        and share >= _LEAST_USED
        and fits.channel_line_bytes(
            size.inputs, size.outputs, together, size.row, size.column, itemsize
        )
        <= _LINE_BYTES
        # The engine cuts longer sums.
        and (
            kernels
            if operation == "conv2d_weight"
            else size.inputs * size.taps <= fits.most_steps(itemsize)
        )
    )


def bind(operation: str, geometry: ConvGeometry, itemsize: int) -> Bound:
    """Return what computes an operation of one geometry."""
    axes, groups = 2 + len(geometry.kernel), geometry.groups
    size = sizes(operation, geometry)
    together, _ = fits.turns(size.outputs, size.groups, itemsize)
    held = "channels", together
    if operation == "conv2d":
        return Correlation(axes, groups, *forward_axes(geometry), *held).forward
    if operation == "conv2d_input":
        return Correlation(axes, groups, *gradient_axes(geometry), *held).swapped_gradient
    return WeightGradient(axes, groups, *forward_axes(geometry), *held).weight_gradient


channels = Loops(serves, bind)
