"""How many tiles Winograd's algorithm makes of a map, and what they gain."""

from math import prod
from typing import NamedTuple

from fastconv._geometry import ConvGeometry, Ints, input_gradient_phases, three_axes

# The outputs of a tile that is a part of a row, and its points (rows_sizes.h).
ROW_STEP, ROW_POINTS = 5, 9
# The choice may not follow the batch: what is done once for all samples is shared by so many.
_SAMPLES = 4


def output_size(geometry: ConvGeometry, operation: str) -> Ints:
    """Return the size of the maps that tiles make, or whose tiles the weight gradient reads."""
    return geometry.in_size if operation == "conv2d_input" else geometry.out_size


def on_planes(values: Ints) -> Ints:
    """Return what holds for rows and columns, of something of 1 on each axis that is missing."""
    return three_axes(values, 1)[1:]


def winograd_kernel(geometry: ConvGeometry) -> Ints:
    """Return the rows and columns of taps that a tile needs: all, or those of one residue."""
    moved = zip(on_planes(geometry.kernel), on_planes(geometry.stride), strict=True)
    return tuple(-(-taps // stride) for taps, stride in moved)


def terms(geometry: ConvGeometry, operation: str) -> int:
    """Return how many terms a kernel is cut into at most, whose products have one sum."""
    depth, *kernel = three_axes(geometry.kernel, 1)
    _, *strides = three_axes(geometry.stride, 1)
    if operation == "conv2d_input":
        # Of a stride each phase is by itself.
        return depth
    return depth * prod(map(min, kernel, strides))


def tile_outputs(taps: int) -> int:
    """Return the outputs of one Winograd tile on an axis of so many taps."""
    return 4 if taps > 1 else 1


class _Axis(NamedTuple):
    """Of one sample, for each pair of channels, rows or columns alone."""

    products: int
    seen: int  # numbers of V, for each channel that is read
    made: int  # numbers of M, for each that is written
    points: int  # numbers of U


def _axis(
    size: int, out: int, taps: int, stride: int, before: int, dilation: int, backwards: bool
) -> _Axis:
    """Return what an axis has, forward or, for a phase of each residue of the input, backwards."""
    if backwards and stride > 1:
        phases = [
            (phase.count, len(phase.taps))
            for phase in input_gradient_phases(size, taps, stride, before, dilation)
        ]
        own = [tile_outputs(part) + part - 1 for _, part in phases]
        numbers = sum(
            -(-count // tile_outputs(part)) * point
            for (count, part), point in zip(phases, own, strict=True)
        )
        return _Axis(numbers, numbers, numbers, sum(own))
    most = -(-taps // stride)
    residues = min(stride, taps)
    length = max(size if backwards else out, 1)
    tiles = min(dilation, length) * -(-length // (dilation * tile_outputs(most)))
    points = tile_outputs(most) + most - 1
    # Residues that lack the last tap have no product at infinity.
    missing = most * residues - taps
    seen = points * residues
    return _Axis(tiles * (seen - missing), tiles * seen, tiles * points, seen)


def tiles(geometry: ConvGeometry, operation: str) -> int:
    """Return the Winograd tiles of one sample: those of every phase of a dilated convolution."""
    deep, *out = three_axes(output_size(geometry, operation), 1)
    return deep * prod(
        min(dilation, size) * -(-size // (dilation * tile_outputs(taps)))
        for size, dilation, taps in zip(
            out, on_planes(geometry.dilation), winograd_kernel(geometry), strict=True
        )
    )


def row_tiles(geometry: ConvGeometry, operation: str) -> int:
    """Return the tiles of one sample where they are parts of rows."""
    rows, columns = output_size(geometry, operation)
    return max(rows, 1) * -(-columns // ROW_STEP)


def gain(geometry: ConvGeometry, operation: str) -> float:
    """Return how many products Winograd's tiles save for each number that they transform.

    A tile of 4x4 outputs takes 36 products a channel instead of 144 for kernels of 3x3, and 64
    instead of 400 for 5x5; one of 4 outputs 6, 8 or 10 instead of 12, 20 or 28 for a row or column
    of 3, 5 or 7 taps (or fewer, where it hangs over the edge); and one transform for each channel
    of the input and of the output, or of the input one for each term. Kernels are transformed once
    for a batch.
    """
    backwards = operation == "conv2d_input"
    inputs = geometry.in_channels // geometry.groups
    outputs = geometry.out_channels // geometry.groups
    read, written = (outputs, inputs) if backwards else (inputs, outputs)
    depth, *kernel = three_axes(geometry.kernel, 1)
    in_depth, *in_size = three_axes(geometry.in_size, 1)
    out_depth, *out_size = three_axes(geometry.out_size, 1)
    _, *befores = three_axes(tuple(before for before, _ in geometry.padding), 0)
    strides, dilations = on_planes(geometry.stride), on_planes(geometry.dilation)
    numbers = zip(in_size, out_size, kernel, strides, befores, dilations, strict=True)
    rows, columns = (
        _axis(size, out, taps, stride, before, dilation, backwards)
        for size, out, taps, stride, before, dilation in numbers
    )
    planes = in_depth if backwards else out_depth
    # Backwards the taps of a depth that moves fall into phases, too.
    deep = depth * min(in_depth, out_depth)
    products = deep * rows.products * columns.products
    saved = prod(geometry.kernel) * prod(geometry.out_size) - products
    transformed = (
        deep * rows.seen * columns.seen * read
        + planes * rows.made * columns.made * written
        + depth * rows.points * columns.points * inputs * outputs / _SAMPLES
    )
    return saved * inputs * outputs / transformed


def rows_gain(geometry: ConvGeometry, operation: str) -> float:
    """Return how many products tiles of rows save for each number that they transform.

    9 cells of a row make 5 outputs, and take 9 products instead of 25 for each row of a kernel and
    each channel.
    """
    rows, columns = output_size(geometry, operation)
    points = ROW_POINTS * row_tiles(geometry, operation)
    inputs = geometry.in_channels // geometry.groups
    outputs = geometry.out_channels // geometry.groups
    height, width = geometry.kernel
    saved = height * (width * rows * columns - points)
    return saved * inputs * outputs / (points * (inputs + outputs))
