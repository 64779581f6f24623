"""Groups of few channels: what `channels` and `channels_weight` compute for the engine."""

from math import prod

from fastconv._geometry import ConvGeometry
from fastconv.engine.base.axes import forward_axes, gradient_axes
from fastconv.engine.blocked.channels import Correlation
from fastconv.engine.blocked.channels_weight import WeightGradient
from fastconv.engine.blocked.loops import Bound, Loops

# With fewer channels in a group, they leave lanes empty; with more, the engine's tiles are full.
_LEAST_CHANNELS = 8
_MOST_CHANNELS = 32


def fill_lanes(geometry: ConvGeometry) -> bool:
    """Tell whether the loops with the channels of groups in the lanes may be the fastest."""
    channels = geometry.in_channels, geometry.out_channels
    return (
        geometry.groups > 1
        and prod(geometry.kernel) > 1
        and min(channels) >= _LEAST_CHANNELS * geometry.groups
        and max(channels) <= _MOST_CHANNELS * geometry.groups
    )


def bind(operation: str, geometry: ConvGeometry) -> Bound:
    """Return what computes an operation of one geometry."""
    axes, groups = 2 + len(geometry.kernel), geometry.groups
    if operation == "conv2d":
        return Correlation(axes, groups, *forward_axes(geometry)).forward
    if operation == "conv2d_input":
        return Correlation(axes, groups, *gradient_axes(geometry)).swapped_gradient
    return WeightGradient(axes, groups, *forward_axes(geometry)).weight_gradient


channels = Loops(fill_lanes, bind)
