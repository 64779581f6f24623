"""Few channels and many samples: what `_samples` and `_samples_weight` compute for an algorithm."""

from functools import lru_cache
from math import prod

import numpy as np

from fastconv import _samples, _samples_weight
from fastconv._check import Array
from fastconv._geometry import ConvGeometry
from fastconv.functional._lanes import Loops

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


class Samples(Loops):
    """The loops with samples, or groups, in the lanes, for an algorithm.

    `by_columns` tells whether it adds the taps of a kernel column by column.
    """

    def __init__(self, by_columns: bool):
        super().__init__(_samples.correlate, _samples_weight.correlate_weight, may_pay)
        self._by_columns = by_columns

    def options(self, operation: str, geometry: ConvGeometry) -> tuple[bool, ...]:
        """Return what a loop is told after the axes."""
        across = lies_across(geometry)
        return (across,) if operation == "conv2d_weight" else (self._by_columns, across)

    def run(
        self,
        operation: str,
        geometry: ConvGeometry,
        input: Array,
        weight: Array,
        output: Array,
        bias: Array | None,
        dry: bool,
    ) -> int:
        """Compute an operation, or return the bytes of workspace that it takes."""
        if operation == "conv2d_weight" and not dry and lies_across(geometry):
            # Maps of other layouts would be refused, and give other bits.
            input, output = map(np.ascontiguousarray, (input, output))
        return super().run(operation, geometry, input, weight, output, bias, dry)


samples = Samples(by_columns=False)
samples_by_columns = Samples(by_columns=True)
