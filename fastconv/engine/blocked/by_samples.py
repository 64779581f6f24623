"""Few channels and many samples: what `samples` and `samples_weight` compute for an algorithm."""

from functools import lru_cache
from math import prod

from fastconv._geometry import ConvGeometry

# With fewer samples the vectors are bands of rows, whose neighbours are laid out twice.
_LEAST_SAMPLES = 8
# With so many groups, of at most so many channels each, groups lie in the lanes.
_LEAST_GROUPS = 16
_MOST_ACROSS = 3
# With more channels, to lay them out takes as long as other layouts lose.
_MOST_CHANNELS = 32


@lru_cache(maxsize=4096)
def lies_across(geometry: ConvGeometry) -> bool:
    """Tell whether groups lie in the lanes, instead of samples."""
    channels = max(geometry.in_channels, geometry.out_channels)
    return geometry.groups >= _LEAST_GROUPS and channels <= _MOST_ACROSS * geometry.groups


@lru_cache(maxsize=4096)
def may_pay(geometry: ConvGeometry) -> bool:
    """Tell whether the loops with samples, or groups, in the lanes may be the fastest."""
    channels = max(geometry.in_channels, geometry.out_channels)
    return prod(geometry.kernel) > 1 and (
        (geometry.batch >= _LEAST_SAMPLES and channels <= _MOST_CHANNELS * geometry.groups)
        or lies_across(geometry)
    )
