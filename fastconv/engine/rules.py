"""What serves and what wins: the rules that the rows of `fastconv.engine.plan` name.

All of them look at the geometry, the operation, the dtype and how the arrays lie in memory, and at
nothing else. Numbers that depend on the instruction set stand in `fastconv.engine.thresholds`.
"""

from math import prod

from fastconv._geometry import ConvGeometry, three_axes
from fastconv.engine import binding
from fastconv.engine.base.isa import isa
from fastconv.engine.base.kernel import OPERATIONS
from fastconv.engine.base.operation import Case
from fastconv.engine.blocked import fits
from fastconv.engine.errors import WINOGRAD_GROWTH
from fastconv.engine.fft import blocks as fft
from fastconv.engine.thresholds import THRESHOLDS
from fastconv.engine.winograd import counts as winograd
from fastconv.engine.winograd.counts import output_size, winograd_kernel

_FORWARD, _INPUT, _WEIGHT = OPERATIONS
# Those of the instruction set that runs.
_THRESHOLDS = THRESHOLDS[isa()]

# ---- algorithms: which of them "auto" takes -----------------------------------------------------


def serves_all(geometry: ConvGeometry) -> None:
    """Refuse no geometry."""


def always(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    """Win wherever it serves."""
    return True


def never(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    """Wait to be asked for by name."""
    return False


def needs_one_channel(geometry: ConvGeometry) -> str | None:
    """Refuse several input channels in a group."""
    channels = geometry.in_channels // geometry.groups
    if channels == 1:
        return None
    return f"it needs one input channel in each group, here are {channels}"


# With so many outputs of a group and taps, a tile of the engine is full, although there is but one
# input channel.
_MANY_OUTPUTS = 32
_MANY_TAPS = 64


def depthwise_wins(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    """Tell whether a tile of the engine would stay half empty."""
    # Over two axes the bits are older than this rule.
    return (
        len(geometry.kernel) == 2
        or operation == _INPUT
        or geometry.out_channels // geometry.groups < _MANY_OUTPUTS
        or prod(geometry.kernel) < _MANY_TAPS
    )


def needs_stride_one(geometry: ConvGeometry) -> str | None:
    """Refuse kernels that move by more than 1."""
    if prod(geometry.stride) == 1:
        return None
    return f"it needs stride 1, here it is {geometry.stride}"


def needs_winograd_kernel(geometry: ConvGeometry) -> str | None:
    """Refuse all but certain kernels that move by 1, or by 2 without dilation."""
    strides = winograd.on_planes(geometry.stride)
    if max(strides) > 2:
        return f"it needs stride 1 or 2 on rows and columns, here it is {geometry.stride}"
    if max(strides) > 1 and max(winograd.on_planes(geometry.dilation)) > 1:
        return f"it needs dilation 1 beside a stride, here it is {geometry.dilation}"
    if winograd_kernel(geometry) not in WINOGRAD_GROWTH:
        return (
            "it needs a kernel of 2x2, 3x3 or 5x5, or one row or column of 2, 3, 5 or 7 (of every "
            "second tap, if it moves by 2), "
            f"here it is {geometry.kernel} with stride {geometry.stride}"
        )
    return None


def fft_wins(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    """Tell whether enough products fall away."""
    # Two numbers are touched for each kernel and output: this bounds the gain, whatever the blocks.
    least = 2 * _THRESHOLDS["fft"][operation, dtype]
    return prod(geometry.kernel) > least and 2 * fft.gain(geometry, operation) > least


# By the smaller side of the kernel.
_WINOGRAD_TABLES = {1: "winograd_line", 2: "winograd_2", 3: "winograd_3", 5: "winograd_5"}


def tiles_win(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    """Tell whether Winograd's tiles beat the algorithms after it."""
    side = min(winograd_kernel(geometry))
    # Where groups have few channels, the engine has lanes for them, and is faster.
    grouped = side in (2, 3) and geometry.groups > 1
    table = "winograd_groups" if grouped else _WINOGRAD_TABLES[side]
    return winograd.gain(geometry, operation) > _THRESHOLDS[table][operation, dtype]


# Where Winograd's tiles are parts of rows: the kernel.
_ROWS_KERNEL = (5, 5)
# With more channels in a group, or longer rows, they would leave the caches.
_ROWS_CHANNELS = 32
_LONGEST_ROW = 256
# On shorter rows, half of what they would compute is padding.
_SHORTEST_ROW = 9


def serves_rows(geometry: ConvGeometry, operation: str) -> bool:
    """Tell whether Winograd's tiles can be parts of rows."""
    if geometry.kernel != _ROWS_KERNEL or prod(geometry.stride + geometry.dilation) > 1:
        return False
    channels = max(geometry.in_channels, geometry.out_channels) // geometry.groups
    longest = max(geometry.in_size[1], geometry.out_size[1])
    return (
        channels <= _ROWS_CHANNELS
        and longest <= _LONGEST_ROW
        and output_size(geometry, operation)[1] >= _SHORTEST_ROW
    )


def rows_win(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    """Tell whether Winograd's tiles that are parts of rows win against the engine."""
    return (
        serves_rows(geometry, operation)
        and winograd.rows_gain(geometry, operation) > _THRESHOLDS["winograd_rows"][operation, dtype]
    )


def winograd_wins(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    """Tell whether any of its tiles win."""
    return tiles_win(geometry, operation, dtype) or rows_win(geometry, operation, dtype)


def moves_by_one(case: Case) -> bool:
    """Tell whether the kernel moves by 1 on all axes."""
    return prod(case.geometry.stride) == 1


def is_square(case: Case) -> bool:
    """Tell whether it moves by 1 and has no depth."""
    return moves_by_one(case) and three_axes(case.geometry.kernel, 1)[0] == 1


def is_line(case: Case) -> bool:
    """Tell whether it is one row or column, too."""
    return is_square(case) and min(winograd_kernel(case.geometry)) == 1


def copy_planes(case: Case) -> tuple[bool, bool]:
    """Copy maps whose planes are not contiguous: the loops take whole rows at a time."""
    return not case.has_planes("x"), case.operation == _WEIGHT and not case.has_planes("y")


def copy_input(case: Case) -> tuple[bool, bool]:
    """Copy the input if its planes are not contiguous."""
    return not case.has_planes("x"), False


def copy_weights(case: Case) -> tuple[bool, bool]:
    """Copy weights that are not in order."""
    return False, case.operation != _WEIGHT and not case.in_order("w")


def copy_both(case: Case) -> tuple[bool, bool]:
    """Copy maps and weights that are not in order."""
    return not case.in_order("x"), not case.in_order("w")


# ---- few channels: samples, groups or channels in the lanes ----------------------------------

# With fewer samples the vectors are bands of rows, whose neighbours are laid out twice.
_LEAST_SAMPLES = 8
# With so many groups, of at most so many channels each, groups lie in the lanes.
_LEAST_GROUPS = 16
_MOST_ACROSS = 3
# With more channels in a group, to lay them out takes as long as other layouts lose; with fewer,
# they leave lanes empty.
_MOST_CHANNELS = 32
_LEAST_CHANNELS = 8
# With fewer output channels, a tile has too few products for what it reads.
_LEAST_OUTPUTS = 4
# Wider planes than these, of what is read and written, fill vectors by themselves.
_MOST_COLUMNS = 16
# But of a single row with kernels so long, each vector would be loaded for one product: with groups
# in the lanes, neighbouring outputs share what they load.
_LONG_ROW = 15
# Lanes that count, of all: with fewer, the other loops are faster.
_LEAST_USED = 0.7
# A line that reads or writes more is left to the others, which cut it. With channels in the lanes
# it would leave a quarter of the second-level cache.
_LINE_BYTES = 1 << 20
_CHANNEL_LINE_BYTES = 1 << 18
# Products of input and output channels: with more, the sums of a weight gradient leave the
# second-level cache.
_MOST_SUMS = 1024


def lies_across(size: fits.Sizes) -> bool:
    """Tell whether there are groups for the lanes, instead of samples."""
    return size.groups >= _LEAST_GROUPS and max(size.inputs, size.outputs) <= _MOST_ACROSS


def serves_lanes(case: Case) -> bool:
    """Tell whether maps can be laid out lane by lane: every output has taps, all in one sum.

    The engine cuts longer sums; those of a weight gradient are cut anyway.
    """
    size = fits.sizes(case.operation, case.geometry)
    if case.operation == _WEIGHT:
        return size.whole and case.has_planes("w")
    return (
        size.whole
        and case.has_planes("x")
        and case.has_planes("y")
        and size.inputs * size.taps <= fits.most_steps(case.itemsize)
    )


def fill_lanes(case: Case, number: int, together: int) -> bool:
    """Tell whether so many samples or groups fill the lanes, `together` in a vector."""
    size = fits.sizes(case.operation, case.geometry)
    line = fits.sample_line_bytes(size.inputs, size.outputs, size.row, size.column, case.itemsize)
    return (
        size.taps > 1
        and fits.used_lanes(number, size.row.count, together, case.itemsize) >= _LEAST_USED
        and line <= _LINE_BYTES
        and (case.operation != _WEIGHT or size.inputs * size.outputs <= _MOST_SUMS)
    )


def samples_win(case: Case) -> bool:
    """Tell whether samples are many and channels few."""
    size = fits.sizes(case.operation, case.geometry)
    if size.batch < _LEAST_SAMPLES or lies_across(size):
        return False
    together, _ = fits.share_lanes(size.batch, size.row, case.itemsize)
    return (
        max(size.inputs, size.outputs) <= _MOST_CHANNELS
        and size.outputs >= _LEAST_OUTPUTS
        and fill_lanes(case, size.batch, together)
    )


def groups_win(case: Case) -> bool:
    """Tell whether groups are many, of few channels, on small planes."""
    size = fits.sizes(case.operation, case.geometry)
    long = size.row.size == size.row.out == 1 and size.taps >= _LONG_ROW
    return (
        lies_across(size)
        and (long or max(size.column.size, size.column.out) <= _MOST_COLUMNS)
        and fill_lanes(case, size.groups, fits.lanes(case.itemsize))
    )


def serves_channels(case: Case) -> bool:
    """Tell whether maps can be laid out so, and a line fits into a unit of work."""
    size = fits.sizes(case.operation, case.geometry)
    together, _ = fits.turns(size.outputs, size.groups, case.itemsize)
    line = fits.channel_line_bytes(
        size.inputs, size.outputs, together, size.row, size.column, case.itemsize
    )
    return serves_lanes(case) and line <= _CHANNEL_LINE_BYTES


def channels_win(case: Case) -> bool:
    """Tell whether the channels of a group or two fill the lanes."""
    size = fits.sizes(case.operation, case.geometry)
    fewest = min(size.inputs, size.outputs)
    if size.groups == 1 or size.taps == 1 or fewest < _LEAST_CHANNELS:
        return False
    _, share = fits.turns(size.outputs, size.groups, case.itemsize)
    return max(size.inputs, size.outputs) <= _MOST_CHANNELS and share >= _LEAST_USED


def copy_gradient(case: Case) -> tuple[bool, bool]:
    """Copy maps whose planes are not contiguous: other loops would give other bits."""
    if case.operation != _WEIGHT:
        return False, False
    return not case.has_planes("x"), not case.has_planes("y")


# ---- the engine's products -----------------------------------------------------------------------

# Where the input gradient reads so many weights of a group for so few pixels of a sample, turning
# the weights takes too long, and it adds products. The bits are others: batch and threads may not
# take part.
_LARGE_WEIGHTS = 1 << 19
_FEW_PIXELS = 1 << 8
_FEW_CELLS = 1 << 10


def products_win(case: Case) -> bool:
    """Tell whether the weights are many for few pixels."""
    geometry = case.geometry
    weights = geometry.in_channels * geometry.out_channels * prod(geometry.kernel)
    return (
        weights >= _LARGE_WEIGHTS * geometry.groups**2
        and prod(geometry.out_size) <= _FEW_PIXELS
        and prod(geometry.in_size) <= _FEW_CELLS
    )


def are_patches(case: Case) -> bool:
    """Tell whether each position of the input belongs to one output and one tap."""
    geometry = case.geometry
    axes = zip(geometry.in_size, geometry.out_size, geometry.kernel, geometry.dilation, strict=True)
    return (
        prod(geometry.kernel) > 1
        and geometry.kernel == geometry.stride
        and not any(map(sum, geometry.padding))
        and all(
            size == out * taps and (taps == 1 or dilation == 1)
            for size, out, taps, dilation in axes
        )
    )


def patches_win(case: Case) -> bool:
    """Tell whether "products first", which has other bits, does not take them."""
    return not products_win(case)


# Of the vectors of output channels, with fewer in the lanes they would be wasted.
_LEAST_FILLED = 0.5


def outputs_better(outputs: binding.Estimate, pixels: binding.Estimate) -> bool:
    """Tell whether output channels had better lie in the lanes, and a line fits in a block."""
    cycles, filled, memory = outputs
    return filled >= _LEAST_FILLED and memory <= 1 and cycles < pixels[0]


def outputs_serve(case: Case) -> bool:
    """Tell whether a block of lines, with its sums, stays in the second-level cache."""
    return all(memory <= 1 for (_, _, memory), _ in binding.estimates(case))


def outputs_win(case: Case) -> bool:
    """Tell whether output channels in the lanes are estimated to be faster in every part."""
    # Panels of packed weights are not worth their way from memory for a tile or two of pixels.
    if case.prepared and case.geometry.batch * prod(case.geometry.out_size) <= _FEW_PIXELS:
        return all(filled >= _LEAST_FILLED for (_, filled, _), _ in binding.estimates(case))
    return all(outputs_better(*weighed) for weighed in binding.estimates(case))


def phases_differ(case: Case) -> bool:
    """Tell whether they are in some phase of the input gradient."""
    return any(outputs_better(*weighed) for weighed in binding.estimates(case))


# Sums along the vectors: with more of them, they would leave the second-level cache.
_MOST_DOTS = 1 << 10
# Vectors of the widest tile: with fewer, gathered windows would not fill it.
_FULL_VECTORS = 4


def sees_a_view(case: Case) -> bool:
    """Tell whether there is one tap, inside the input: the pixels that it sees are a view."""
    geometry = case.geometry
    inside = all(
        before == 0 and (out - 1) * stride < size
        for (before, _), out, stride, size in zip(
            geometry.padding, geometry.out_size, geometry.stride, geometry.in_size, strict=True
        )
    )
    return prod(geometry.kernel) == 1 and inside


def taps_win(case: Case) -> bool:
    """Tell whether gathering windows is less work than transposing."""
    inputs, outputs = case.channels
    full = _FULL_VECTORS * fits.lanes(case.itemsize)
    return inputs * prod(case.geometry.kernel) >= full and (
        has_long_rows(case, full) or binding.gathered(case) <= outputs
    )


def has_long_rows(case: Case, least: int) -> bool:
    """Tell whether windows are rows of at least so many neighbours, which only need copying."""
    geometry = case.geometry
    return (
        geometry.kernel[-1] >= least
        and geometry.stride[-1] > 1
        and geometry.dilation[-1] == 1
        and not any(map(sum, geometry.padding))
    )


def serves_patches(case: Case) -> bool:
    """Tell whether the patches of a weight gradient have columns for the vectors of a tile."""
    return are_patches(case) and 1 < case.geometry.kernel[-1] <= _FULL_VECTORS


def channels_fill(case: Case) -> bool:
    """Tell whether input channels fill most of the vectors that they take."""
    inputs, _ = case.channels
    lanes = fits.lanes(case.itemsize)
    return inputs >= _LEAST_USED * -(-inputs // lanes) * lanes


def pixels_win(case: Case) -> bool:
    """Tell whether the channels are too few to fill the lanes."""
    inputs, outputs = case.channels
    lane, rows = outputs, inputs * prod(case.geometry.kernel)
    if sees_a_view(case) and inputs <= outputs:
        lane, rows = rows, lane
    return 2 * lane <= fits.lanes(case.itemsize) and rows <= _MOST_DOTS
