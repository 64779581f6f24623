"""The algorithm "depthwise": convolutions with one input channel in each group.

The compiled loops of `_depthwise` are called with views of the arrays, and with each axis said in
numbers. The input gradient is a correlation, too: of the residual with the turned kernels, summed
over the kernels of a group, all phases of a stride in one call.
"""

from collections.abc import Iterator

from fastconv import _depthwise
from fastconv._check import Array
from fastconv._geometry import ConvGeometry
from fastconv.functional._axes import PHASES, forward_axes, gradient_axes
from fastconv.functional._compiled import Axes, Call
from fastconv.functional._lanes import Lanes
from fastconv.functional._samples import samples_by_columns


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


depthwise = Depthwise(_depthwise.correlate, _depthwise.correlate_weight)
