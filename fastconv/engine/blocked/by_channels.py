"""Groups of few channels: what `channels` and `channels_weight` compute for the engine."""

from math import prod

from fastconv._geometry import ConvGeometry

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
