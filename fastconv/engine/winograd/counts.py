"""How many tiles Winograd's algorithm makes of a map."""

from math import prod

from fastconv._geometry import ConvGeometry, Ints

# The outputs of a tile that is a part of a row, and its points (rows_sizes.h).
ROW_STEP, ROW_POINTS = 5, 9


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
