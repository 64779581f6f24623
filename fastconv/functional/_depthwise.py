"""The algorithm "depthwise": convolutions with one input channel in each group.

The compiled loops of `_depthwise` are called with views of the arrays, and with each axis said in
numbers. The input gradient is a correlation, too: of the residual with the turned kernels, summed
over the kernels of a group, all phases of a stride in one call.
"""

from array import array
from collections.abc import Iterator
from functools import lru_cache

from fastconv import _depthwise
from fastconv._check import Array
from fastconv._geometry import ConvGeometry, input_gradient_phases, three_axes
from fastconv.functional._compiled import Axes, Call, Compiled, moves

# Where an axis says how many phases it has.
_PHASES = 3


@lru_cache(maxsize=4096)
def _forward_axes(geometry: ConvGeometry) -> Axes:
    """Return the numbers of each axis: one phase, of all the taps."""
    depth, row, column = (
        array("q", (stride, 1, dilation, 1, 0, before, 0, 1, taps))
        for stride, before, dilation, taps in zip(
            *moves(geometry), three_axes(geometry.kernel, 1), strict=True
        )
    )
    return depth, row, column


@lru_cache(maxsize=4096)
def _gradient_axes(geometry: ConvGeometry) -> Axes:
    """Return the numbers of each axis: the phases of the input, each with falling taps."""
    sizes, kernel = three_axes(geometry.in_size, 1), three_axes(geometry.kernel, 1)
    depth, row, column = map(_gradient_axis, sizes, kernel, *moves(geometry))
    return depth, row, column


def _gradient_axis(size: int, kernel: int, stride: int, before: int, dilation: int) -> "array[int]":
    phases = input_gradient_phases(size, kernel, stride, before, dilation)
    numbers = [1, stride, phases[0].dilation if phases else 1, len(phases)]
    for phase in phases:
        taps = phase.taps
        fall = taps[1] - taps[0] if len(taps) > 1 else -1
        numbers += [phase.positions.start, phase.before, taps[0], fall, len(taps)]
    return array("q", numbers)


class Depthwise(Compiled):
    """The three convolutions with the axes said as above."""

    def axes(self, geometry: ConvGeometry) -> Axes:
        """Return the numbers of each axis."""
        return _forward_axes(geometry)

    def covers(self, geometry: ConvGeometry) -> bool:
        """Tell whether each axis has a phase: the call of the input gradient then writes all."""
        return all(axis[_PHASES] for axis in _gradient_axes(geometry))

    def gradient_calls(
        self, geometry: ConvGeometry, residual: Array, turned: Array, target: Array
    ) -> Iterator[Call]:
        """Yield what `correlate` is called with for the input gradient: all phases at once."""
        if self.covers(geometry):
            yield (residual, turned, None, target, *_gradient_axes(geometry))


depthwise = Depthwise(_depthwise.correlate, _depthwise.correlate_weight)
