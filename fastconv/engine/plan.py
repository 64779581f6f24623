"""Which loops compute a convolution: one ordered table, read from the top.

The first algorithm that serves a geometry and wins is taken, and of its variants the first that
serves the case and wins. Nothing else decides which loops run.

The choice of the algorithm depends on the geometry of one sample, the operation and the dtype,
never on the batch or the number of threads. An algorithm's variants of one family add the same
numbers in the same order: which of them runs may follow the batch, the threads and how the arrays
lie in memory, too. So the same call gives the same bits everywhere.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np

from fastconv._check import Array
from fastconv._geometry import ConvGeometry, Ints, Padding, conv_geometry
from fastconv.engine import binding, errors
from fastconv.engine.base.kernel import Dispatch, Kernel
from fastconv.engine.base.operation import Case, contiguous_case, input_parts
from fastconv.engine.blocked.by_channels import fill_lanes
from fastconv.engine.blocked.by_samples import lies_across, may_pay
from fastconv.engine.errors import WINOGRAD_GROWTH, Bounds
from fastconv.engine.fft import blocks as fft
from fastconv.engine.thresholds import (
    FFT,
    WINOGRAD_3,
    WINOGRAD_5,
    WINOGRAD_GROUPS,
    WINOGRAD_LINE,
    WINOGRAD_ROWS,
)
from fastconv.engine.winograd import counts as winograd
from fastconv.engine.winograd.counts import output_size, winograd_kernel

OPERATIONS = ("conv2d", "conv2d_input", "conv2d_weight")
_FORWARD, _INPUT, _WEIGHT = OPERATIONS


@dataclass(frozen=True, slots=True)
class Variant:
    """The loops that compute some operations for an algorithm: a row of the table.

    `serves` tells whether they can compute a case, and `wins` whether they are then the fastest of
    those from here on; `why` gives the reason. `kernel` makes the kernel, for which the arrays that
    are read are made contiguous if `copies` says so. `bounds` are those of its results. Those of
    one `family`, if it is not empty, have the same bits. `prepare` returns what the forward pass
    takes besides the weights, or None if nothing helps.
    """

    name: str
    kernel: Callable[[Case], Kernel]
    serves: Callable[[Case], bool] = lambda case: True
    wins: Callable[[Case], bool] = lambda case: True
    why: str = ""
    operations: tuple[str, ...] = OPERATIONS
    copies: Callable[[Case], tuple[bool, bool]] = lambda case: (False, False)
    bounds: Bounds = errors.SUMS
    family: str = "sums"
    prepare: Callable[[ConvGeometry, Array], Any] | None = None
    refusing: bool = False


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
    def exact(self) -> bool:
        """Whether integers give exactly the integer result, see `Bounds`."""
        return all(variant.bounds.exact for variant in self.variants)


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
    least = 2 * FFT[operation, dtype]
    return prod(geometry.kernel) > least and 2 * fft.gain(geometry, operation) > least


# By the smaller side of the kernel.
_WINOGRAD_THRESHOLDS = {1: WINOGRAD_LINE, 3: WINOGRAD_3, 5: WINOGRAD_5}


def _tiles_win(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    side = min(winograd_kernel(geometry))
    # Where groups have few channels, the engine has lanes for them, and is faster.
    grouped = side == 3 and geometry.groups > 1
    thresholds = WINOGRAD_GROUPS if grouped else _WINOGRAD_THRESHOLDS[side]
    return winograd.gain(geometry, operation) > thresholds[operation, dtype]


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
        and winograd.rows_gain(geometry, operation) > WINOGRAD_ROWS[operation, dtype]
    )


def _winograd_wins(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    return _tiles_win(geometry, operation, dtype) or rows_win(geometry, operation, dtype)


def _is_line(case: Case) -> bool:
    return min(winograd_kernel(case.geometry)) == 1


def _copy_planes(case: Case) -> tuple[bool, bool]:
    """Copy maps whose planes are not contiguous: the loops take whole rows at a time."""
    return not case.has_planes("x"), case.operation == _WEIGHT and not case.has_planes("y")


def _copy_maps(case: Case) -> tuple[bool, bool]:
    """Copy maps of other layouts: they would be served by loops with other bits."""
    if case.operation != _WEIGHT:
        return False, False
    return not case.in_order("x"), not case.in_order("y")


def _copy_weights(case: Case) -> tuple[bool, bool]:
    return False, case.operation != _WEIGHT and not case.in_order("w")


def _copy_both(case: Case) -> tuple[bool, bool]:
    return not case.in_order("x"), not case.in_order("w")


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


def _takes_samples(case: Case) -> bool:
    return may_pay(case.geometry) and not lies_across(case.geometry)


def _takes_groups(case: Case) -> bool:
    return may_pay(case.geometry) and lies_across(case.geometry)


def _takes_channels(case: Case) -> bool:
    return fill_lanes(case.geometry)


# ---- the table -----------------------------------------------------------------------------------

# Before any: an input gradient that depends on no output.
_ZEROS = Variant(
    "zeros",
    binding.zeros,
    serves=lambda case: case.operation == _INPUT and not input_parts(case.geometry)[0],
    why="no output depends on the input",
    operations=(_INPUT,),
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
                bounds=errors.FOURIER,
                prepare=binding.transformed_by_fourier,
            ),
        ),
    ),
    Algorithm(
        "depthwise",
        _needs_one_channel,
        _always,
        why="kernels of one channel have too few products for a tile of several outputs",
        variants=(
            Variant(
                "samples in the lanes",
                partial(binding.samples, by_columns=True),
                serves=_takes_samples,
                why="",
                refusing=True,
            ),
            Variant(
                "groups in the lanes",
                partial(binding.samples, by_columns=True, across=True),
                serves=_takes_groups,
                why="",
                copies=_copy_maps,
                refusing=True,
            ),
            Variant("depthwise rows", binding.depthwise, why=""),
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
                binding.parts_of_rows,
                serves=lambda case: _serves_rows(case.geometry, case.operation),
                wins=lambda case: (
                    rows_win(case.geometry, case.operation, case.dtype)
                    and not _tiles_win(case.geometry, case.operation, case.dtype)
                ),
                why="",
                copies=_copy_planes,
                bounds=errors.WINOGRAD_ROWS,
                family="rows",
            ),
            Variant(
                "winograd lines",
                binding.tiles,
                serves=_is_line,
                why="",
                bounds=errors.WINOGRAD_TILES,
                family="lines",
                prepare=binding.transformed_by_tiles,
            ),
            Variant(
                "winograd squares",
                binding.tiles,
                why="",
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
                binding.channels,
                serves=_takes_channels,
                why="",
                refusing=True,
            ),
            Variant(
                "samples in the lanes",
                binding.samples,
                serves=_takes_samples,
                why="",
                refusing=True,
            ),
            Variant(
                "groups in the lanes",
                partial(binding.samples, across=True),
                serves=_takes_groups,
                why="",
                copies=_copy_maps,
                refusing=True,
            ),
            Variant(
                "products first",
                binding.products,
                operations=(_INPUT,),
                serves=lambda case: prod(case.geometry.kernel) > 1,
                wins=_products_win,
                why="",
                copies=_copy_both,
                family="products",
            ),
            Variant("pixels in the lanes", binding.gemm, why=""),
        ),
    ),
    Algorithm(
        "direct",
        _serves_all,
        _never,
        why="plain loops, to be read rather than to be fast",
        variants=(Variant("plain loops", binding.plain),),
    ),
    Algorithm(
        "im2col",
        _serves_all,
        _never,
        why="columns of windows and products of matrices, to be read rather than to be fast",
        variants=(Variant("columns", binding.columns, copies=_copy_weights),),
    ),
)
_BY_NAME = {row.name: row for row in ALGORITHMS}


# ---- choosing ------------------------------------------------------------------------------------

_EXACT: ContextVar[int] = ContextVar("fastconv.exact", default=0)


@contextmanager
def exact() -> Iterator[None]:
    """Leave only the algorithms that are exact on integers.

    Inside, a convolution of integers gives the integer result while all partial sums stay below
    2**24 (float32) or 2**53 (float64); and nothing overflows while the sum of the products'
    absolute values does not. It holds for the thread or task that enters it.

    Returns
    -------
    context manager
        For a `with` statement. A convolution inside that asks for another algorithm raises
        ValueError.

    Examples
    --------
    >>> import fastconv
    >>> shapes = (8, 64, 56, 56), (64, 64, 3, 3)
    >>> fastconv.explain("conv2d", *shapes).algorithm
    'winograd'
    >>> with fastconv.exact():
    ...     fastconv.explain("conv2d", *shapes).algorithm
    'gemm'
    """
    token = _EXACT.set(1)
    try:
        yield
    finally:
        _EXACT.reset(token)


def variants(case: Case, algorithm: str, only: str | None = None) -> Iterator[Variant]:
    """Yield the variants of an algorithm that serve a case and win against those that follow.

    Or `only` the one of this name, if it serves the case, whether it wins or not.
    """
    for row in (_ZEROS, *_BY_NAME[algorithm].variants):
        taken = row.name == only or (only is None and row.wins(case))
        if taken and case.operation in row.operations and row.serves(case):
            yield row


def dispatch(
    operation: str, geometry: ConvGeometry, dtype: str, algorithm: str, only: str | None = None
) -> Dispatch:
    """Return what computes an operation of one geometry, called with its arrays.

    By `only` this variant, which must serve them all.
    """

    def choose(x: Ints, w: Ints, y: Ints, threads: int) -> Iterator[tuple[Variant, Any]]:
        case = Case(operation, geometry, dtype, x, w, y, threads)
        for row in variants(case, algorithm, only):
            copies = row.copies(case)
            yield row, copies if any(copies) else row.kernel(case)

    return Dispatch(2 + len(geometry.kernel), geometry.groups, choose)


def prepare(geometry: ConvGeometry, dtype: str, algorithm: str, weight: Array) -> Any:
    """Return what the forward pass takes besides the weights, or None if nothing helps."""
    row = next(variants(contiguous_case(_FORWARD, geometry, dtype), algorithm))
    return row.prepare(geometry, weight) if row.prepare else None


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked call: its geometry and the algorithm that computes it."""

    geometry: ConvGeometry
    algorithm: str


def only_exact() -> int:
    """Return 1 inside `exact`, else 0: a plain integer, to be looked up by."""
    return _EXACT.get()


def plan_conv(
    operation: str,
    dtype: str,
    exactly: bool,
    input_shape: Ints,
    weight_shape: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    algorithm: str,
) -> Plan:
    """Return the plan of an operation on numbers of `dtype`, a name or code of NumPy.

    Raises
    ------
    ValueError
        If the sizes do not fit together, or the algorithm does not exist or cannot serve them.
    """
    geometry = conv_geometry(input_shape, weight_shape, stride, padding, dilation, groups)
    refused = refusals(geometry, exactly)
    able = [row for row in ALGORITHMS if refused[row.name] is None]
    if algorithm == "auto":
        name = np.dtype(dtype).name
        chosen = (row.name for row in able if row.wins(geometry, operation, name))
        return Plan(geometry, next(chosen))
    if algorithm not in refused:
        reason = "does not exist"
    elif refused[algorithm] is not None:
        reason = f"cannot compute this: {refused[algorithm]}"
    else:
        return Plan(geometry, algorithm)
    names = ", ".join(repr(row.name) for row in able)
    raise ValueError(f"algorithm {algorithm!r} {reason}; those that can: 'auto', {names}")


def refusals(geometry: ConvGeometry, exactly: bool) -> dict[str, str | None]:
    """Return for each algorithm the reason why it cannot serve a geometry, or None.

    `exactly` leaves only algorithms that are exact on integers.
    """
    rounds = "it rounds integers, too, and fastconv.exact() leaves only exact algorithms"
    return {
        row.name: row.refuses(geometry) or (rounds if exactly and not row.exact else None)
        for row in ALGORITHMS
    }
