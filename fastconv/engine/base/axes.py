"""Each axis of a correlation in numbers, as the rooms `depthwise` and `blocked` want it."""

from array import array
from functools import lru_cache

from fastconv._geometry import ConvGeometry, input_gradient_phases, three_axes
from fastconv.engine.base.operation import Axes, moves

# Where an axis says how many phases it has.
PHASES = 3


@lru_cache(maxsize=4096)
def forward_axes(geometry: ConvGeometry) -> Axes:
    """Return the numbers of each axis: one phase, of all the taps."""
    depth, row, column = (
        array("q", (stride, 1, dilation, 1, 0, before, 0, 1, taps))
        for stride, before, dilation, taps in zip(
            *moves(geometry), three_axes(geometry.kernel, 1), strict=True
        )
    )
    return depth, row, column


@lru_cache(maxsize=4096)
def gradient_axes(geometry: ConvGeometry) -> Axes:
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
