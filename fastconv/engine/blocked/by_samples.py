"""Few channels and many samples: what `samples` and `samples_weight` compute for an algorithm."""

from functools import lru_cache, partial
from math import prod

import numpy as np

from fastconv._check import Array
from fastconv._geometry import ConvGeometry
from fastconv.engine.base.axes import forward_axes, gradient_axes
from fastconv.engine.blocked.loops import Bound, Loops
from fastconv.engine.blocked.samples import Correlation
from fastconv.engine.blocked.samples_weight import WeightGradient

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


def bind(by_columns: bool, operation: str, geometry: ConvGeometry) -> Bound:
    """Return what computes an operation of one geometry for an algorithm.

    `by_columns` tells whether that adds the taps of a kernel column by column.
    """
    across = lies_across(geometry)
    axes, groups = 2 + len(geometry.kernel), geometry.groups
    if operation == "conv2d":
        numbers = forward_axes(geometry)
        return Correlation(axes, groups, *numbers, by_columns, across).forward
    if operation == "conv2d_input":
        numbers = gradient_axes(geometry)
        return Correlation(axes, groups, *numbers, by_columns, across).swapped_gradient
    correlate = WeightGradient(axes, groups, *forward_axes(geometry), across).weight_gradient
    if not across:
        return correlate

    def weight_gradient(
        input: Array, grad_output: Array, grad_weight: Array, dry: bool = False
    ) -> int:
        # Maps of other layouts would be refused, and give other bits.
        input, grad_output = map(np.ascontiguousarray, (input, grad_output))
        return correlate(input, grad_output, grad_weight, dry)

    return weight_gradient


samples = Loops(may_pay, partial(bind, False))
samples_by_columns = Loops(may_pay, partial(bind, True))
