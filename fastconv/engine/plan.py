"""Which loops compute a convolution: one ordered table, read from the top.

The first algorithm that serves a geometry and wins is taken, and of its variants the first that
serves the case and wins. Nothing else decides which loops run.

The choice of the algorithm depends on the geometry of one sample, the operation and the dtype,
never on the batch or the number of threads. An algorithm's variants of one family add the same
numbers in the same order: which of them runs may follow the batch, the threads and how the arrays
lie in memory, too. So the same call gives the same bits everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

from fastconv._check import Array
from fastconv._geometry import ConvGeometry
from fastconv.engine import binding, errors
from fastconv.engine.base.isa import isa
from fastconv.engine.base.kernel import OPERATIONS, Kernel
from fastconv.engine.base.operation import Case, input_parts
from fastconv.engine.blocked import fits
from fastconv.engine.errors import WINOGRAD_GROWTH, Bounds
from fastconv.engine.fft import blocks as fft
from fastconv.engine.thresholds import THRESHOLDS
from fastconv.engine.winograd import counts as winograd
from fastconv.engine.winograd.counts import output_size, winograd_kernel

_FORWARD, _INPUT, _WEIGHT = OPERATIONS
# Those of the instruction set that runs.
_THRESHOLDS = THRESHOLDS[isa()]


@dataclass(frozen=True, slots=True)
class Variant:
    """The loops that compute some operations for an algorithm: a row of the table.

    `serves` tells whether they can compute a case, and `wins` whether they are then the fastest of
    those from here on; `why` gives the reason. `kernel` makes the kernel, for which the arrays that
    are read are made contiguous if `copies` says so. `bounds` are those of its results. Outputs and
    input gradients of one `family` of an algorithm have the same bits; weight gradients differ.
    `prepare` returns what forward or input gradient take besides the weights, or None if nothing
    helps.
    """

    name: str
    kernel: Callable[[Case], Kernel]
    why: str
    serves: Callable[[Case], bool] = lambda case: True
    wins: Callable[[Case], bool] = lambda case: True
    operations: tuple[str, ...] = OPERATIONS
    copies: Callable[[Case], tuple[bool, bool]] = lambda case: (False, False)
    bounds: Bounds = errors.SUMS
    family: str = "sums"
    prepare: Callable[[str, ConvGeometry, Array], Any] | None = None


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What can be asked for by name.

    `refuses` returns the reason why the algorithm cannot serve a geometry, or None; `wins` tells
    for a geometry it serves, an operation and a dtype whether "auto" takes it, and `why` gives the
    reason for that. The last of its variants that have an operation serves whatever it serves.
    """

    name: str
    refuses: Callable[[ConvGeometry], str | None]
    wins: Callable[[ConvGeometry, str, str], bool]
    why: str
    variants: tuple[Variant, ...]

    @property
    def bounds(self) -> Bounds:
        """The bounds that all variants keep: those of the last."""
        return self.variants[-1].bounds

    @property
    def exact(self) -> bool:
        """Whether integers give exactly the integer result, see `Bounds`."""
        return self.bounds.exact


# ---- what serves, and what wins ------------------------------------------------------------------


def _serves_all(geometry: ConvGeometry) -> None:
    """Refuse no geometry."""


def _always(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    return True


def _never(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    return False


def _needs_one_channel(geometry: ConvGeometry) -> str | None:
    """Refuse several input channels in a group."""
    channels = geometry.in_channels // geometry.groups
    if channels == 1:
        return None
    return f"it needs one input channel in each group, here are {channels}"


# With so many outputs of a group and taps, a tile of the engine is full, although there is but one
# input channel.
_MANY_OUTPUTS = 32
_MANY_TAPS = 64


def _depthwise_wins(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    # Over two axes the bits are older than this rule.
    return (
        len(geometry.kernel) == 2
        or operation == _INPUT
        or geometry.out_channels // geometry.groups < _MANY_OUTPUTS
        or prod(geometry.kernel) < _MANY_TAPS
    )


def _needs_stride_one(geometry: ConvGeometry) -> str | None:
    if prod(geometry.stride) == 1:
        return None
    return f"it needs stride 1, here it is {geometry.stride}"


def _needs_winograd_kernel(geometry: ConvGeometry) -> str | None:
    """Refuse all but certain kernels that move by 1."""
    if winograd_kernel(geometry) not in WINOGRAD_GROWTH:
        return (
            "it needs a kernel of 3x3 or 5x5, or one row or column of 3, 5 or 7, "
            f"here it is {geometry.kernel}"
        )
    return _needs_stride_one(geometry)


def _fft_wins(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    # Two numbers are touched for each kernel and output: this bounds the gain, whatever the blocks.
    least = 2 * _THRESHOLDS["fft"][operation, dtype]
    return prod(geometry.kernel) > least and 2 * fft.gain(geometry, operation) > least


# By the smaller side of the kernel.
_WINOGRAD_TABLES = {1: "winograd_line", 3: "winograd_3", 5: "winograd_5"}


def _tiles_win(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    side = min(winograd_kernel(geometry))
    # Where groups have few channels, the engine has lanes for them, and is faster.
    grouped = side == 3 and geometry.groups > 1
    table = "winograd_groups" if grouped else _WINOGRAD_TABLES[side]
    return winograd.gain(geometry, operation) > _THRESHOLDS[table][operation, dtype]


# Where Winograd's tiles are parts of rows: the kernel.
_ROWS_KERNEL = (5, 5)
# With more channels in a group, or longer rows, they would leave the caches.
_ROWS_CHANNELS = 32
_LONGEST_ROW = 256
# On shorter rows, half of what they would compute is padding.
_SHORTEST_ROW = 9


def _serves_rows(geometry: ConvGeometry, operation: str) -> bool:
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
        _serves_rows(geometry, operation)
        and winograd.rows_gain(geometry, operation) > _THRESHOLDS["winograd_rows"][operation, dtype]
    )


def _winograd_wins(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    return _tiles_win(geometry, operation, dtype) or rows_win(geometry, operation, dtype)


def _is_line(case: Case) -> bool:
    return min(winograd_kernel(case.geometry)) == 1


def _copy_planes(case: Case) -> tuple[bool, bool]:
    """Copy maps whose planes are not contiguous: the loops take whole rows at a time."""
    return not case.has_planes("x"), case.operation == _WEIGHT and not case.has_planes("y")


def _copy_weights(case: Case) -> tuple[bool, bool]:
    return False, case.operation != _WEIGHT and not case.in_order("w")


def _copy_both(case: Case) -> tuple[bool, bool]:
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
# Lanes that count, of all: with fewer, the other loops are faster.
_LEAST_USED = 0.7
# A line that reads or writes more is left to the others, which cut it. With channels in the lanes
# it would leave a quarter of the second-level cache.
_LINE_BYTES = 1 << 20
_CHANNEL_LINE_BYTES = 1 << 18
# Products of input and output channels: with more, the sums of a weight gradient leave the
# second-level cache.
_MOST_SUMS = 1024


def _lies_across(size: fits.Sizes) -> bool:
    """Tell whether there are groups for the lanes, instead of samples."""
    return size.groups >= _LEAST_GROUPS and max(size.inputs, size.outputs) <= _MOST_ACROSS


def _serves_lanes(case: Case) -> bool:
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


def _fill_lanes(case: Case, number: int, together: int) -> bool:
    """Tell whether so many samples or groups fill the lanes, `together` in a vector."""
    size = fits.sizes(case.operation, case.geometry)
    line = fits.sample_line_bytes(size.inputs, size.outputs, size.row, size.column, case.itemsize)
    return (
        size.taps > 1
        and fits.used_lanes(number, size.row.count, together, case.itemsize) >= _LEAST_USED
        and line <= _LINE_BYTES
        and (case.operation != _WEIGHT or size.inputs * size.outputs <= _MOST_SUMS)
    )


def _samples_win(case: Case) -> bool:
    size = fits.sizes(case.operation, case.geometry)
    if size.batch < _LEAST_SAMPLES or _lies_across(size):
        return False
    together, _ = fits.share_lanes(size.batch, size.row, case.itemsize)
    return (
        max(size.inputs, size.outputs) <= _MOST_CHANNELS
        and size.outputs >= _LEAST_OUTPUTS
        and _fill_lanes(case, size.batch, together)
    )


def _groups_win(case: Case) -> bool:
    size = fits.sizes(case.operation, case.geometry)
    return (
        _lies_across(size)
        and max(size.column.size, size.column.out) <= _MOST_COLUMNS
        and _fill_lanes(case, size.groups, fits.lanes(case.itemsize))
    )


def _serves_channels(case: Case) -> bool:
    """Tell whether maps can be laid out so, and a line fits into a unit of work."""
    size = fits.sizes(case.operation, case.geometry)
    together, _ = fits.turns(size.outputs, size.groups, case.itemsize)
    line = fits.channel_line_bytes(
        size.inputs, size.outputs, together, size.row, size.column, case.itemsize
    )
    return _serves_lanes(case) and line <= _CHANNEL_LINE_BYTES


def _channels_win(case: Case) -> bool:
    size = fits.sizes(case.operation, case.geometry)
    fewest = min(size.inputs, size.outputs)
    if size.groups == 1 or size.taps == 1 or fewest < _LEAST_CHANNELS:
        return False
    _, share = fits.turns(size.outputs, size.groups, case.itemsize)
    return max(size.inputs, size.outputs) <= _MOST_CHANNELS and share >= _LEAST_USED


def _copy_gradient(case: Case) -> tuple[bool, bool]:
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


def _products_win(case: Case) -> bool:
    geometry = case.geometry
    weights = geometry.in_channels * geometry.out_channels * prod(geometry.kernel)
    return (
        weights >= _LARGE_WEIGHTS * geometry.groups**2
        and prod(geometry.out_size) <= _FEW_PIXELS
        and prod(geometry.in_size) <= _FEW_CELLS
    )


# Of the vectors of output channels, with fewer in the lanes they would be wasted.
_LEAST_FILLED = 0.5


def _outputs_better(outputs: binding.Estimate, pixels: binding.Estimate) -> bool:
    """Tell whether output channels had better lie in the lanes, and a line fits in a block."""
    cycles, filled, memory = outputs
    return filled >= _LEAST_FILLED and memory <= 1 and cycles < pixels[0]


def _outputs_serve(case: Case) -> bool:
    """Tell whether a block of lines, with its sums, stays in the second-level cache."""
    return all(memory <= 1 for (_, _, memory), _ in binding.estimates(case))


def _outputs_win(case: Case) -> bool:
    return all(_outputs_better(*weighed) for weighed in binding.estimates(case))


def _phases_differ(case: Case) -> bool:
    return any(_outputs_better(*weighed) for weighed in binding.estimates(case))


# Sums along the vectors: with more of them, they would leave the second-level cache.
_MOST_DOTS = 1 << 10
# Vectors of the widest tile: with fewer, gathered windows would not fill it.
_FULL_VECTORS = 4


def _sees_a_view(case: Case) -> bool:
    """Tell whether there is one tap, inside the input: the pixels that it sees are a view."""
    geometry = case.geometry
    inside = all(
        before == 0 and (out - 1) * stride < size
        for (before, _), out, stride, size in zip(
            geometry.padding, geometry.out_size, geometry.stride, geometry.in_size, strict=True
        )
    )
    return prod(geometry.kernel) == 1 and inside


def _taps_win(case: Case) -> bool:
    inputs, outputs = case.channels
    full = _FULL_VECTORS * fits.lanes(case.itemsize)
    return inputs * prod(case.geometry.kernel) >= full and binding.gathered(case) <= outputs


def _pixels_win(case: Case) -> bool:
    inputs, outputs = case.channels
    lane, rows = outputs, inputs * prod(case.geometry.kernel)
    if _sees_a_view(case) and inputs <= outputs:
        lane, rows = rows, lane
    return 2 * lane <= fits.lanes(case.itemsize) and rows <= _MOST_DOTS


# ---- the table -----------------------------------------------------------------------------------

# Before any: an input gradient that depends on no output.
ZEROS = Variant(
    "zeros",
    binding.zeros,
    serves=lambda case: case.operation == _INPUT and not input_parts(case.geometry)[0],
    why="no output depends on the input",
    operations=(_INPUT,),
)


def _few_channels(by_columns: bool) -> tuple[Variant, Variant]:
    """Return the rows for few channels, which add taps in the order of an algorithm."""
    return (
        Variant(
            "samples in the lanes",
            partial(binding.sample_lanes, by_columns=by_columns),
            serves=_serves_lanes,
            wins=_samples_win,
            why="channels are few and samples many: all lanes count, and strides cost nothing",
            copies=_copy_gradient,
        ),
        Variant(
            "groups in the lanes",
            partial(binding.group_lanes, by_columns=by_columns),
            serves=_serves_lanes,
            wins=_groups_win,
            why="groups are many, of few channels, and planes too small to fill vectors",
            copies=_copy_gradient,
        ),
    )


ALGORITHMS = (
    Algorithm(
        "fft",
        _needs_stride_one,
        _fft_wins,
        why="a large kernel costs no more than a small one",
        variants=(
            Variant(
                "Fourier transforms",
                binding.fourier,
                why="blocks of the maps and the kernels, transformed by numpy.fft",
                bounds=errors.FOURIER,
                prepare=binding.transformed_by_fourier,
            ),
        ),
    ),
    Algorithm(
        "depthwise",
        _needs_one_channel,
        _depthwise_wins,
        why="kernels of one channel have too few products for a tile of several outputs",
        variants=(
            *_few_channels(by_columns=True),
            Variant(
                "depthwise rows",
                binding.depthwise_rows,
                why="vectors along the rows, several outputs of each in registers",
                operations=(_FORWARD, _INPUT),
            ),
            Variant(
                "depthwise sums",
                binding.depthwise_sums,
                why="the sums of several taps in registers, along the rows",
                operations=(_WEIGHT,),
            ),
        ),
    ),
    Algorithm(
        "winograd",
        _needs_winograd_kernel,
        _winograd_wins,
        why="half of the products or less, and channels enough to pay for its transforms",
        variants=(
            Variant(
                "winograd rows",
                binding.winograd_rows,
                serves=lambda case: _serves_rows(case.geometry, case.operation),
                wins=lambda case: (
                    rows_win(case.geometry, case.operation, case.dtype)
                    and not _tiles_win(case.geometry, case.operation, case.dtype)
                ),
                why="channels are too few for squares: the rows of a map are transformed alone",
                copies=_copy_planes,
                bounds=errors.WINOGRAD_ROWS,
                family="rows",
            ),
            Variant(
                "winograd lines",
                binding.winograd,
                serves=_is_line,
                why="the kernel is one row or column",
                bounds=errors.WINOGRAD_TILES,
                family="lines",
                prepare=binding.transformed_by_tiles,
            ),
            Variant(
                "winograd squares",
                binding.winograd,
                why="tiles of 4 x 4 outputs",
                bounds=errors.WINOGRAD_TILES,
                family="squares",
                prepare=binding.transformed_by_tiles,
            ),
        ),
    ),
    Algorithm(
        "gemm",
        _serves_all,
        _always,
        why="the fastest of those that serve all and are exact on integers",
        variants=(
            Variant(
                "channels in the lanes",
                binding.channel_lanes,
                serves=_serves_channels,
                wins=_channels_win,
                why="the channels of a group fill the lanes, and those of two by turns",
                copies=_copy_gradient,
            ),
            *_few_channels(by_columns=False),
            Variant(
                "products first",
                binding.products_first,
                operations=(_INPUT,),
                serves=lambda case: prod(case.geometry.kernel) > 1,
                wins=_products_win,
                why="the weights are many for few pixels: they are read once, where they lie",
                copies=_copy_both,
                family="products",
            ),
            Variant(
                "output channels in the lanes",
                binding.output_lanes,
                serves=_outputs_serve,
                wins=_outputs_win,
                why="rows are short or steps few: pixels are neither packed nor lost in gaps",
                operations=(_FORWARD, _INPUT),
            ),
            Variant(
                "pixels or output channels in the lanes, by phase",
                partial(binding.phase_lanes, outputs_win=_outputs_better),
                wins=_phases_differ,
                why="some phases of the input gradient have few taps, and some have more",
                operations=(_INPUT,),
            ),
            Variant(
                "pixels in the lanes",
                binding.pixel_lanes,
                why="long rows fill the lanes, and few weights need packing",
                operations=(_FORWARD, _INPUT),
            ),
            Variant(
                "taps in the lanes",
                partial(binding.weight_product, role="taps"),
                serves=lambda case: prod(case.geometry.kernel) > 1,
                wins=_taps_win,
                why="for few pixels, gathering their windows is less work than transposing",
                operations=(_WEIGHT,),
            ),
            Variant(
                "pixels in the lanes",
                partial(binding.weight_product, role="pixels"),
                wins=_pixels_win,
                why="the channels are too few to fill the lanes",
                operations=(_WEIGHT,),
            ),
            Variant(
                "input channels in the lanes",
                partial(binding.weight_product, role="input channels"),
                serves=_sees_a_view,
                wins=lambda case: case.channels[0] <= case.channels[1],
                why="the gradient of one tap as it stands in memory",
                operations=(_WEIGHT,),
            ),
            Variant(
                "output channels in the lanes",
                partial(binding.weight_product, role="output channels"),
                why="sums of a step for all output channels stay in registers",
                operations=(_WEIGHT,),
            ),
        ),
    ),
    Algorithm(
        "direct",
        _serves_all,
        _never,
        why="plain loops, to be read rather than to be fast",
        variants=(Variant("plain loops", binding.plain, why="sums as in the formulas"),),
    ),
    Algorithm(
        "im2col",
        _serves_all,
        _never,
        why="columns of windows and products of matrices, to be read rather than to be fast",
        variants=(
            Variant(
                "columns",
                binding.columns,
                why="blocks of columns, multiplied by the engine's tiles",
                copies=_copy_weights,
            ),
        ),
    ),
)
