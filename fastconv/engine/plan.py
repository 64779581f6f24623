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
from fastconv.engine import binding, errors, rules
from fastconv.engine.base.kernel import OPERATIONS, Kernel
from fastconv.engine.base.operation import Case, input_parts
from fastconv.engine.errors import Bounds

_FORWARD, _INPUT, _WEIGHT = OPERATIONS


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


# ---- the table -----------------------------------------------------------------------------------

# Before any: an input gradient that depends on no output.
ZEROS = Variant(
    "zeros",
    binding.zeros,
    serves=lambda case: case.operation == _INPUT and not input_parts(case.geometry)[0],
    why="no output depends on the input",
    operations=(_INPUT,),
)


def _tiles(name: str, serves: Callable[[Case], bool], why: str) -> Variant:
    """Return the row of Winograd's tiles for some kernels, a family of bits by itself."""
    return Variant(
        name,
        partial(binding.winograd, name=name, outputs_win=rules.outputs_better),
        why,
        serves,
        bounds=errors.WINOGRAD_TILES,
        family=name,
        prepare=binding.transformed_by_tiles,
    )


def _few_channels(by_columns: bool) -> tuple[Variant, Variant]:
    """Return the rows for few channels, which add taps in the order of an algorithm."""
    return (
        Variant(
            "samples in the lanes",
            partial(binding.sample_lanes, by_columns=by_columns),
            serves=rules.serves_lanes,
            wins=rules.samples_win,
            why="channels are few and samples many: all lanes count, and strides cost nothing",
            copies=rules.copy_gradient,
        ),
        Variant(
            "groups in the lanes",
            partial(binding.group_lanes, by_columns=by_columns),
            serves=rules.serves_lanes,
            wins=rules.groups_win,
            why="groups are many, of few channels, and planes too small to fill vectors",
            copies=rules.copy_gradient,
        ),
    )


ALGORITHMS = (
    Algorithm(
        "fft",
        rules.needs_stride_one,
        rules.fft_wins,
        why="a large kernel costs no more than a small one",
        variants=(
            Variant(
                "Fourier transforms",
                binding.fourier,
                why="blocks of the maps and the kernels, transformed",
                bounds=errors.FOURIER,
                prepare=binding.transformed_by_fourier,
            ),
        ),
    ),
    Algorithm(
        "depthwise",
        rules.needs_one_channel,
        rules.depthwise_wins,
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
        rules.needs_winograd_kernel,
        rules.winograd_wins,
        why="half of the products or less, and channels enough to pay for its transforms",
        variants=(
            Variant(
                "winograd rows",
                binding.winograd_rows,
                serves=lambda case: rules.serves_rows(case.geometry, case.operation),
                wins=lambda case: (
                    rules.rows_win(case.geometry, case.operation, case.dtype)
                    and not rules.tiles_win(case.geometry, case.operation, case.dtype)
                ),
                why="channels are too few for squares: the rows of a map are transformed alone",
                copies=rules.copy_planes,
                bounds=errors.WINOGRAD_ROWS,
                family="rows",
            ),
            _tiles("winograd lines", rules.is_line, "the kernel is one row or column"),
            _tiles("winograd squares", rules.is_square, "tiles of 4 x 4 outputs"),
            _tiles(
                "winograd planes",
                rules.moves_by_one,
                "the taps of a depth are added up before they are transformed back",
            ),
            _tiles(
                "winograd phases",
                lambda case: True,
                "kernels that move by 2 are sums of smaller ones, of every second pixel",
            ),
        ),
    ),
    Algorithm(
        "gemm",
        rules.serves_all,
        rules.always,
        why="the fastest of those that serve all and are exact on integers",
        variants=(
            Variant(
                "patches",
                binding.whole_patches,
                operations=(_INPUT,),
                serves=rules.are_patches,
                wins=rules.patches_win,
                why="kernels move by their size: all taps of a pixel are one product of matrices",
                copies=rules.copy_both,
            ),
            Variant(
                "channels in the lanes",
                binding.channel_lanes,
                serves=rules.serves_channels,
                wins=rules.channels_win,
                why="the channels of a group fill the lanes, and those of two by turns",
                copies=rules.copy_gradient,
            ),
            *_few_channels(by_columns=False),
            Variant(
                "products first",
                binding.products_first,
                operations=(_INPUT,),
                serves=lambda case: prod(case.geometry.kernel) > 1,
                wins=rules.products_win,
                why="the weights are many for few pixels: they are read once, where they lie",
                copies=rules.copy_both,
                family="products",
            ),
            Variant(
                "output channels in the lanes",
                binding.output_lanes,
                serves=rules.outputs_serve,
                wins=rules.outputs_win,
                why="rows are short or steps few: pixels are neither packed nor lost in gaps",
                operations=(_FORWARD, _INPUT),
            ),
            Variant(
                "pixels or output channels in the lanes, by phase",
                partial(binding.phase_lanes, outputs_win=rules.outputs_better),
                wins=rules.phases_differ,
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
                "patches in the lanes",
                partial(binding.weight_product, role="patches"),
                serves=rules.serves_patches,
                wins=rules.channels_fill,
                why="kernels move by their size: rows of the input are transposed as they lie",
                operations=(_WEIGHT,),
                copies=rules.copy_input,
            ),
            Variant(
                "taps in the lanes",
                partial(binding.weight_product, role="taps"),
                serves=lambda case: prod(case.geometry.kernel) > 1,
                wins=rules.taps_win,
                why="for few pixels, gathering their windows is less work than transposing",
                operations=(_WEIGHT,),
            ),
            Variant(
                "pixels in the lanes",
                partial(binding.weight_product, role="pixels"),
                wins=rules.pixels_win,
                why="the channels are too few to fill the lanes",
                operations=(_WEIGHT,),
            ),
            Variant(
                "input channels in the lanes",
                partial(binding.weight_product, role="input channels"),
                serves=rules.sees_a_view,
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
        rules.serves_all,
        rules.never,
        why="plain loops, to be read rather than to be fast",
        variants=(Variant("plain loops", binding.plain, why="sums as in the formulas"),),
    ),
    Algorithm(
        "im2col",
        rules.serves_all,
        rules.never,
        why="columns of windows and products of matrices, to be read rather than to be fast",
        variants=(
            Variant(
                "columns",
                binding.columns,
                why="blocks of columns, multiplied by the engine's tiles",
                copies=rules.copy_weights,
            ),
        ),
    ),
)
