"""How many tiles Winograd's algorithm makes of a map, and what they gain."""

from math import prod

from fastconv._geometry import ConvGeometry, Ints

# The outputs of a tile that is a part of a row, and its points (rows_sizes.h).
ROW_STEP, ROW_POINTS = 5, 9
# The choice may not follow the batch: what is done once for all samples is shared by so many.
_SAMPLES = 4


def output_size(geometry: ConvGeometry, operation: str) -> Ints:
    """Return the size of the maps that tiles make, or whose tiles the weight gradient reads."""
    return geometry.in_size if operation == "conv2d_input" else geometry.out_size


def winograd_kernel(geometry: ConvGeometry) -> Ints:
    """Return the kernel's size, on two axes where it has one."""
    return (1,) * (2 - len(geometry.kernel)) + geometry.kernel


def tile_outputs(taps: int) -> int:
    """Return the outputs of one Winograd tile on an axis of so many taps."""
    return 4 if taps > 1 else 1


def tiles(geometry: ConvGeometry, operation: str) -> int:
    """Return the Winograd tiles of one sample: those of every phase of a dilated convolution."""
    out = output_size(geometry, operation)
    return prod(
        min(dilation, size) * -(-size // (dilation * tile_outputs(taps)))
        for size, dilation, taps in zip(out, geometry.dilation, geometry.kernel, strict=True)
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
    of the input and of the output. Kernels are transformed once for a batch.
    """
    count = tiles(geometry, operation)
    inputs = geometry.in_channels // geometry.groups
    outputs = geometry.out_channels // geometry.groups
    tile = prod(tile_outputs(taps) + taps - 1 for taps in geometry.kernel)
    # A map without cells has one tile, too.
    points = max(count, 1) * tile
    saved = prod(geometry.kernel) * prod(geometry.out_size) - points
    transformed = points * (inputs + outputs) + tile * inputs * outputs / _SAMPLES
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
