"""Which algorithm computes a convolution: one ordered table, read from the top.

The choice depends on the geometry of one sample, the operation and the dtype, never on the batch
or the number of threads, so that the same call gives the same bits everywhere.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf, prod

import numpy as np

from fastconv._geometry import ConvGeometry, Ints, Padding, conv_geometry
from fastconv.engine.errors import (
    WINOGRAD_GROWTH,
    Magnitude,
    fft_error,
    fft_magnitude,
    one_rounding_for_each_term,
    partial_sums,
    winograd_error,
    winograd_magnitude,
    winograd_rows_magnitude,
)
from fastconv.engine.fft.blocks import conv_blocks
from fastconv.engine.thresholds import (
    FFT,
    WINOGRAD_3,
    WINOGRAD_5,
    WINOGRAD_GROUPS,
    WINOGRAD_LINE,
    WINOGRAD_ROWS,
)
from fastconv.engine.winograd.counts import (
    ROW_POINTS,
    output_size,
    row_tiles,
    tile_outputs,
    tiles,
    winograd_kernel,
)

OPERATIONS = ("conv2d", "conv2d_input", "conv2d_weight")


# The choice may not follow the batch: what is done once for all samples is shared by so many.
_SAMPLES = 4
# Where Winograd's tiles are parts of rows: the kernel.
_ROWS_KERNEL = (5, 5)
# With more channels in a group, or longer rows, they would leave the caches.
_ROWS_CHANNELS = 32
_LONGEST_ROW = 256
# On shorter rows, half of what they would compute is padding.
_SHORTEST_ROW = 9


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A row of the table.

    `refuses` returns the reason why the algorithm cannot serve a geometry, or None; `wins` tells
    for a geometry it serves, an operation and a dtype whether "auto" takes it, and `why` gives the
    reason for that. `exact` says whether integers give exactly the integer result while no partial
    sum needs rounding. The error of an element of the result is at most
    `error`, for a geometry and operation, times eps and what `measure` says: the sum of the
    products' absolute values, or, with `norms`, the products of these norms (1, 2 or infinity) of
    what moves as the input does and of what moves as the weights do, summed over channels.
    An intermediate result is at most the largest |x|, the largest |w|, or the product of both, x
    and w being these two arrays, times what `magnitude` returns for a geometry, operation and
    dtype; a bias not counted.
    """

    name: str
    refuses: Callable[[ConvGeometry], str | None]
    wins: Callable[[ConvGeometry, str, str], bool]
    why: str
    exact: bool = True
    error: Callable[[ConvGeometry, str], float] = one_rounding_for_each_term
    measure: str = "sum |x||w|"
    norms: tuple[float, float] | None = None
    magnitude: Callable[[ConvGeometry, str, str], Magnitude] = partial_sums

    def magnitude_limits(self, geometry: ConvGeometry, operation: str, dtype: str) -> Magnitude:
        """Return up to which |x|, |w| and product of both no intermediate result overflows."""
        numbers = np.finfo(dtype)
        # Rounding may make an intermediate result larger.
        largest = float(numbers.max) / (1 + self.error(geometry, operation) * float(numbers.eps))
        x, w, sums = self.magnitude(geometry, operation, dtype)
        # There are no sums in an empty batch.
        return largest / x, largest / w, largest / max(sums, 1.0)


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


def _needswinograd_kernel(geometry: ConvGeometry) -> str | None:
    """Refuse all but certain kernels that move by 1."""
    if winograd_kernel(geometry) not in WINOGRAD_GROWTH:
        return (
            "it needs a kernel of 3x3 or 5x5, or one row or column of 3, 5 or 7, "
            f"here it is {geometry.kernel}"
        )
    return _needs_stride_one(geometry)


def products(geometry: ConvGeometry) -> int:
    """Return the multiply-adds of the formula for one sample."""
    return geometry.out_channels * prod(geometry.out_size) * prod(geometry.weight_shape[1:])


def winograd_gain(geometry: ConvGeometry, operation: str) -> float:
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


def winograd_rows_gain(geometry: ConvGeometry, operation: str) -> float:
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


def fft_gain(geometry: ConvGeometry, operation: str) -> float:
    """Return the products of the formula for each number that the transforms touch."""
    return products(geometry) / conv_blocks(geometry, operation).cost


# By the smaller side of the kernel.
_WINOGRAD_THRESHOLDS = {1: WINOGRAD_LINE, 3: WINOGRAD_3, 5: WINOGRAD_5}


def _squares_win(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    side = min(winograd_kernel(geometry))
    # Where groups have few channels, the engine has lanes for them, and is faster.
    grouped = side == 3 and geometry.groups > 1
    thresholds = WINOGRAD_GROUPS if grouped else _WINOGRAD_THRESHOLDS[side]
    return winograd_gain(geometry, operation) > thresholds[operation, dtype]


def rows_win(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    """Tell whether tiles that are parts of rows can serve, and win against the engine."""
    if geometry.kernel != _ROWS_KERNEL or prod(geometry.stride + geometry.dilation) > 1:
        return False
    channels = max(geometry.in_channels, geometry.out_channels) // geometry.groups
    longest = max(geometry.in_size[1], geometry.out_size[1])
    return (
        channels <= _ROWS_CHANNELS
        and longest <= _LONGEST_ROW
        and output_size(geometry, operation)[1] >= _SHORTEST_ROW
        and winograd_rows_gain(geometry, operation) > WINOGRAD_ROWS[operation, dtype]
    )


def winograd_takes_rows(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    """Tell whether the tiles of "winograd" are parts of rows, rather than squares or lines.

    They are for channels that are too few for squares.
    """
    return rows_win(geometry, operation, dtype) and not _squares_win(geometry, operation, dtype)


def _winograd_magnitude(geometry: ConvGeometry, operation: str, dtype: str) -> Magnitude:
    if winograd_takes_rows(geometry, operation, dtype):
        return winograd_rows_magnitude(geometry, operation, dtype)
    return winograd_magnitude(geometry, operation, dtype)


def _winograd_wins(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    return _squares_win(geometry, operation, dtype) or rows_win(geometry, operation, dtype)


def _fft_wins(geometry: ConvGeometry, operation: str, dtype: str) -> bool:
    # Two numbers are touched for each kernel and output: this bounds the gain, whatever the blocks.
    least = 2 * FFT[operation, dtype]
    return prod(geometry.kernel) > least and 2 * fft_gain(geometry, operation) > least


ALGORITHMS = (
    Algorithm(
        "fft",
        _needs_stride_one,
        _fft_wins,
        why="a large kernel costs no more than a small one",
        exact=False,
        error=fft_error,
        measure="sum |x|_2 |w|_2 of channels and blocks",
        norms=(2, 2),
        magnitude=fft_magnitude,
    ),
    Algorithm(
        "depthwise",
        _needs_one_channel,
        _always,
        why="kernels of one channel have too few products for a tile of several outputs",
    ),
    Algorithm(
        "winograd",
        _needswinograd_kernel,
        _winograd_wins,
        why="half of the products or less, and channels enough to pay for its transforms",
        exact=False,
        error=winograd_error,
        measure="sum max |x| sum |w| of tiles and channels",
        norms=(inf, 1),
        magnitude=_winograd_magnitude,
    ),
    Algorithm(
        "gemm",
        _serves_all,
        _always,
        why="the fastest of those that serve all and are exact on integers",
    ),
    Algorithm(
        "direct",
        _serves_all,
        _never,
        why="plain loops, to be read rather than to be fast",
    ),
    Algorithm(
        "im2col",
        _serves_all,
        _never,
        why="columns of windows and products of matrices, to be read rather than to be fast",
    ),
)

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
