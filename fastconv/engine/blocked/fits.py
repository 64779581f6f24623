"""How full the lanes would be, and how large what a unit of work reads: numbers for the table.

Plain functions of numbers, without a verdict: which variant serves an operation, and which one
wins, is for those that call them. What the functions choose, samples or groups of a vector, the
kernels take as arguments.
"""

from array import array
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from fastconv._geometry import ConvGeometry, three_axes
from fastconv.engine.base.axes import forward_axes, gradient_axes
from fastconv.engine.blocked.layout import axis_extent, most_steps, shared_lanes
from fastconv.engine.blocked.tiles import lanes, most_turns

__all__ = [
    "Extent",
    "Sizes",
    "channel_line_bytes",
    "extent",
    "lanes",
    "most_steps",
    "most_turns",
    "sample_line_bytes",
    "share_lanes",
    "sizes",
    "turns",
    "used_lanes",
]

# What a band of rows reads beyond its own, weighed against computing a row.
_REACH_COST = 0.3


@dataclass(frozen=True, slots=True)
class Extent:
    """An axis of maps that are laid out.

    Attributes
    ----------
    size, out : int
        Of what is read, and of what is written.
    stride, step : int
        Between neighbouring outputs of a phase: in what is read, and in what is written.
    phases : int
        Of the outputs, `step` where none is without taps.
    before : int
        Padding before the first phase.
    count : int
        Outputs of the longest phase.
    reach : int
        From the first position that an output reads to the last.
    width : int
        Of the map with the zeros beside it.
    """

    size: int
    out: int
    stride: int
    step: int
    phases: int
    before: int
    count: int
    reach: int
    width: int


def extent(size: int, out: int, numbers: "array[int]") -> Extent:
    """Return how far an axis reaches that `base.axes` says in numbers."""
    stride, step, _, phases = numbers[:4]
    before = numbers[5] if phases else 0
    return Extent(size, out, stride, step, phases, before, *axis_extent(size, out, numbers))


def share_lanes(batch: int, row: Extent, itemsize: int) -> tuple[int, int]:
    """Return how many samples, and bands of rows of each, share a vector at the least cost."""
    return shared_lanes(batch, row.count, _REACH_COST * row.reach / row.stride, itemsize)


def used_lanes(number: int, rows: int, together: int, itemsize: int) -> float:
    """Return the share of the lanes that count.

    `together` of the `number` samples, or groups, share a vector, with bands of their rows.
    """
    bands = lanes(itemsize) // together
    computed = -(-number // together) * -(-rows // bands) * lanes(itemsize)
    return number * rows / computed if computed else 0.0


def turns(outputs: int, groups: int, itemsize: int) -> tuple[int, float]:
    """Return how many groups' channels take turns in a vector, and the share of lanes that count.

    `outputs` are the output channels of a group.
    """
    width = lanes(itemsize)
    best, share = 1, 0.0
    for number in range(1, min(most_turns(itemsize), groups) + 1):
        used = outputs * number / (-(-outputs * number // width) * width)
        if used > share:
            best, share = number, used
    return best, share


def sample_line_bytes(inputs: int, outputs: int, row: Extent, column: Extent, itemsize: int) -> int:
    """Return the bytes that one line reads or writes, with samples or groups in the lanes.

    `inputs` and `outputs` are the channels of a group.
    """
    reads = inputs * (row.reach + 1) * column.width
    writes = outputs * row.step * column.out
    return max(reads, writes) * lanes(itemsize) * itemsize


def channel_line_bytes(
    inputs: int, outputs: int, together: int, row: Extent, column: Extent, itemsize: int
) -> int:
    """Return the bytes that one line of a sample reads and writes, with channels in the lanes.

    The channels of `together` groups take turns in a vector.
    """
    each = lanes(itemsize) // together
    # Columns are parted by phase of the stride.
    width = -(-column.width // column.stride) * column.stride
    reads = -(-inputs // each) * (row.reach + 1) * width
    writes = -(-outputs // each) * row.step * column.out
    return (reads + writes) * lanes(itemsize) * itemsize


@dataclass(frozen=True, slots=True)
class Sizes:
    """What an operation reads and writes, as a correlation.

    `inputs` and `outputs` are channels of a group. `flat` tells that maps have no depth.
    """

    batch: int
    groups: int
    inputs: int
    outputs: int
    taps: int
    row: Extent
    column: Extent
    flat: bool

    @property
    def whole(self) -> bool:
        """Whether every output has taps, and maps have no depth."""
        return (
            self.flat
            and self.row.phases == self.row.step
            and self.column.phases == self.column.step
        )


@lru_cache(maxsize=4096)
def sizes(operation: str, geometry: ConvGeometry) -> Sizes:
    """Return the sizes of an operation, seen as a correlation."""
    inputs, outputs = (
        channels // geometry.groups for channels in (geometry.in_channels, geometry.out_channels)
    )
    read, written = three_axes(geometry.in_size, 1), three_axes(geometry.out_size, 1)
    axes = forward_axes(geometry)
    if operation == "conv2d_input":
        inputs, outputs, read, written = outputs, inputs, written, read
        axes = gradient_axes(geometry)
    depth, row, column = map(extent, read, written, axes)
    flat = read[0] == written[0] == 1 == three_axes(geometry.kernel, 1)[0]
    return Sizes(
        geometry.batch,
        geometry.groups,
        inputs,
        outputs,
        prod(geometry.kernel),
        row,
        column,
        flat and depth.phases > 0 and depth.before == 0,
    )
