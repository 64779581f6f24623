"""The sizes of convolutions and poolings: the only home of shape formulas.

Everything here works on tuples with one entry for each spatial axis, of any length, and on Python
integers, which do not overflow; only the windows of a pooling, which fit into 64 bits, are arrays.
Arguments are normalised already (see `_check`), with one
exception: padding may still be a word, because a word means a number only beside the sizes.

The formulas are those of V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep
learning", arXiv 1603.07285.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from math import gcd, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = tuple[int, ...]
Pair = tuple[int, int]
Pairs = tuple[Pair, ...]
Padding = str | Pairs
# The windows of a pooling on one axis, a row each: the first input position inside, how many are
# inside, and the number of cells with the padding, but not with what hangs over it by ceil_mode.
Table = NDArray[np.int64]

PADDING_WORDS = ("valid", "same", "same_lower", "full")

# The kernels count positions in 64 bits; half of that leaves room for every sum of two.
MAX_EXTENT = 2**62


def axis_name(axis: int, axes: int) -> str:
    """Return the letter of a spatial axis: D, H, W counted from the last one."""
    return "DHW"[3 - axes + axis]


def three_axes(values: Ints, fill: int) -> Ints:
    """Put `fill` in front for the axes that are missing to depth, row and column.

    Examples
    --------
    >>> three_axes((5, 5), 1)
    (1, 5, 5)
    """
    return (fill,) * (3 - len(values)) + values


def output_size(size: int, kernel: int, stride: int, padding: Pair, dilation: int) -> int:
    """Return the number of window positions on one axis, or 0 where no window fits.

    (size + before + after - dilation*(kernel - 1) - 1) // stride + 1
    """
    room = size + sum(padding) - dilation * (kernel - 1) - 1
    return room // stride + 1 if room >= 0 else 0


def ceil_output_size(size: int, kernel: int, stride: int, padding: Pair, dilation: int) -> int:
    """Return the number of window positions where the last window may hang over the end.

    A last window that begins behind the input and the padding before it does not count (the rule
    of torch's poolings; ONNX and Caffe have others).
    """
    room = size + sum(padding) - dilation * (kernel - 1) - 1
    count = -(-room // stride) + 1
    if (count - 1) * stride >= size + padding[0]:
        count -= 1
    return max(count, 0)


def resolve_padding(
    padding: Padding, size: Ints, kernel: Ints, stride: Ints, dilation: Ints
) -> Pairs:
    """Turn a padding word into one (before, after) pair for each axis."""
    if not isinstance(padding, str):
        return padding
    pairs: list[Pair] = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        reach = d * (k - 1)
        if padding == "valid":
            pairs.append((0, 0))
        elif padding == "full":
            pairs.append((reach, reach))
        else:
            # The windows that give ceil(n / s) positions, and the odd cell after (or before).
            total = max((-(-n // s) - 1) * s + reach + 1 - n, 0)
            less, more = total // 2, total - total // 2
            pairs.append((less, more) if padding == "same" else (more, less))
    return tuple(pairs)


def fit_windows(
    name: str,
    size: Ints,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    sizer: Callable[[int, int, int, Pair, int], int] = output_size,
) -> tuple[Pairs, Ints]:
    """Return the padding in numbers and the output size of windows that slide over an input.

    Raises
    ------
    ValueError
        If no window fits on some axis (`name` says whose windows they are), or the padded input
        is too large to count in.
    """
    pairs = resolve_padding(padding, size, kernel, stride, dilation)
    out_size = tuple(map(sizer, size, kernel, stride, pairs, dilation))
    for axis, (n, k, (before, after), d, out) in enumerate(
        zip(size, kernel, pairs, dilation, out_size, strict=True)
    ):
        extent = n + before + after
        on_axis = f"on axis {axis_name(axis, len(size))}"
        if out == 0:
            raise ValueError(
                f"{name} is larger than the padded input {on_axis}: dilation*(kernel - 1) + 1 = "
                f"{d}*({k} - 1) + 1 = {d * (k - 1) + 1}, but size + before + after = "
                f"{n} + {before} + {after} = {extent}"
            )
        if extent > MAX_EXTENT:
            raise ValueError(
                f"the padded input {on_axis} is too large: size + before + after = {extent}, "
                f"at most {MAX_EXTENT}"
            )
    return pairs, out_size


def moving_steps(stride: Ints, dilation: Ints, kernel: Ints, out_size: Ints) -> tuple[Ints, Ints]:
    """Return stride and dilation with 1 for those that move nothing, however large they are.

    That is the stride on an axis with one window, and the dilation of a kernel of one tap.
    """
    return (
        tuple(1 if out == 1 else s for s, out in zip(stride, out_size, strict=True)),
        tuple(1 if k == 1 else d for d, k in zip(dilation, kernel, strict=True)),
    )


def transposed_size(
    size: Ints, kernel: Ints, stride: Ints, padding: Pairs, output_padding: Ints, dilation: Ints
) -> Ints:
    """Return the output size of a transposed convolution.

    (size - 1)*stride - before - after + dilation*(kernel - 1) + output_padding + 1

    Examples
    --------
    >>> transposed_size((4,), (3,), (2,), ((1, 1),), (1,), (1,))
    (8,)
    """
    sizes = []
    for axis, (n, k, s, (before, after), extra, d) in enumerate(
        zip(size, kernel, stride, padding, output_padding, dilation, strict=True)
    ):
        name = axis_name(axis, len(size))
        if extra >= max(s, d):
            raise ValueError(
                f"output_padding on axis {name} must be less than the stride or the dilation, "
                f"max({s}, {d}), got {extra}"
            )
        out = (n - 1) * s - before - after + d * (k - 1) + extra + 1
        if out < 1:
            raise ValueError(
                f"the output size on axis {name} would be {out}: (size - 1)*stride - before - "
                f"after + dilation*(kernel - 1) + output_padding + 1 = ({n} - 1)*{s} - {before} - "
                f"{after} + {d}*({k} - 1) + {extra} + 1"
            )
        sizes.append(out)
    return tuple(sizes)


# Compared and hashed as an object: a plan keeps one for all its calls, and what is known of it is
# found faster than ten fields could be compared.
@dataclass(frozen=True, slots=True, eq=False)
class ConvGeometry:
    """All the sizes of one convolution; `padding` holds (before, after) pairs.

    Of a transposed convolution they are those of the convolution that it is the input gradient of;
    what `output_padding` adds to `in_size`, windows do not see.
    """

    batch: int
    groups: int
    in_channels: int
    out_channels: int
    in_size: Ints
    kernel: Ints
    stride: Ints
    padding: Pairs
    dilation: Ints
    out_size: Ints

    @property
    def reach(self) -> Ints:
        """How far the last tap lies from the first: dilation*(kernel - 1)."""
        return tuple(d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True))

    @property
    def input_shape(self) -> Ints:
        """Shape of the input: (N, C, *spatial)."""
        return (self.batch, self.in_channels, *self.in_size)

    @property
    def weight_shape(self) -> Ints:
        """Shape of the weights: (K, C/groups, *kernel)."""
        return (self.out_channels, self.in_channels // self.groups, *self.kernel)

    @property
    def output_shape(self) -> Ints:
        """Shape of the output: (N, K, *spatial)."""
        return (self.batch, self.out_channels, *self.out_size)


def conv_geometry(
    input_shape: Ints,
    weight_shape: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> ConvGeometry:
    """Return the geometry of a convolution, or say what does not fit.

    Raises
    ------
    ValueError
        If the channels do not agree with the groups, a size is zero where it must not be, or the
        kernel is larger than the padded input.

    Examples
    --------
    >>> conv_geometry((8, 1, 28, 28), (6, 1, 5, 5), (1, 1), "valid", (1, 1), 1).out_size
    (24, 24)
    """
    batch, in_channels, *spatial = input_shape
    out_channels, group_channels, *taps = weight_shape
    in_size, kernel = tuple(spatial), tuple(taps)
    _check_weight(weight_shape, groups, "output")
    if in_channels != group_channels * groups:
        raise ValueError(
            f"input must have weight.shape[1]*groups = {group_channels}*{groups} = "
            f"{group_channels * groups} channels, got {in_channels} (input shape {input_shape}, "
            f"weight shape {weight_shape})"
        )
    pairs, out_size = fit_windows("weight", in_size, kernel, stride, padding, dilation)
    stride, dilation = moving_steps(stride, dilation, kernel, out_size)
    return ConvGeometry(
        batch,
        groups,
        in_channels,
        out_channels,
        in_size,
        kernel,
        stride,
        pairs,
        dilation,
        out_size,
    )


def _check_weight(shape: Ints, groups: int, role: str) -> None:
    """Refuse weights without a number, or whose channels on the first axis are no groups."""
    if not all(shape):
        raise ValueError(f"weight must have no axis of size 0, got shape {shape}")
    if shape[0] % groups:
        raise ValueError(
            f"weight: its {shape[0]} {role} channels cannot be split into {groups} groups"
        )


def transposed_geometry(
    input_shape: Ints,
    weight_shape: Ints,
    stride: Ints,
    padding: Padding,
    output_padding: Ints,
    dilation: Ints,
    groups: int,
) -> ConvGeometry:
    """Return the geometry of the convolution of which a transposed one is the input gradient.

    What a transposed convolution takes, (N, C, *spatial), is that convolution's output, and its
    weights are (C, K/groups, *kernel).

    Raises
    ------
    ValueError
        If the channels do not agree with the groups, a size is zero where it must not be, or the
        result would have no position.

    Examples
    --------
    >>> zeros = ((0, 0), (0, 0))
    >>> transposed_geometry((8, 3, 5, 5), (3, 2, 2, 2), (2, 2), zeros, (0, 0), (1, 1), 1).in_size
    (10, 10)
    """
    batch, channels, *spatial = input_shape
    in_channels, group_channels, *taps = weight_shape
    size, kernel = tuple(spatial), tuple(taps)
    _check_weight(weight_shape, groups, "input")
    if channels != in_channels:
        raise ValueError(
            f"input must have weight.shape[0] = {in_channels} channels, got {channels} (input "
            f"shape {input_shape}, weight shape {weight_shape})"
        )
    if not all(size):
        raise ValueError(f"input must have no spatial axis of size 0, got sizes {size}")
    pairs = resolve_padding(padding, size, kernel, stride, dilation)
    result = transposed_size(size, kernel, stride, pairs, output_padding, dilation)
    for axis, (out, pair) in enumerate(zip(result, pairs, strict=True)):
        if out + sum(pair) > MAX_EXTENT:
            raise ValueError(
                f"the output on axis {axis_name(axis, len(result))} is too large: size + before + "
                f"after = {out + sum(pair)}, at most {MAX_EXTENT}"
            )
    stride, dilation = moving_steps(stride, dilation, kernel, size)
    return ConvGeometry(
        batch,
        groups,
        group_channels * groups,
        in_channels,
        result,
        kernel,
        stride,
        pairs,
        dilation,
        size,
    )


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the sum over samples and positions that a weight gradient is.

    `output` selects its samples and positions from the residual, `input` what their windows see.
    """

    geometry: ConvGeometry
    input: tuple[slice, ...]
    output: tuple[slice, ...]


def gradient_pieces(geometry: ConvGeometry, longest: int) -> Iterator[Piece]:
    """Cut the weight gradient of a convolution into sums of at most `longest` terms.

    Whole samples stay together, then whole rows. Equal pieces have one geometry; those whose
    windows see nothing but padding are left out.

    Examples
    --------
    >>> whole = conv_geometry((1, 1, 6, 4), (1, 1, 3, 3), (1, 1), "same", (1, 1), 1)
    >>> [(piece.output[2], piece.geometry.padding) for piece in gradient_pieces(whole, 12)]
    [(slice(0, 3, None), ((1, 0), (1, 1))), (slice(3, 6, None), ((0, 1), (1, 1)))]
    """
    counts = (geometry.batch, *geometry.out_size)
    parts = [
        -(-count // max(longest // max(prod(counts[axis + 1 :]), 1), 1))
        for axis, count in enumerate(counts)
    ]
    alike: dict[tuple[Ints, Pairs], ConvGeometry] = {}
    for number in range(prod(parts)):
        places: list[range] = []
        for count, cuts in zip(reversed(counts), reversed(parts), strict=True):
            number, part = divmod(number, cuts)
            places.insert(0, range(part * count // cuts, (part + 1) * count // cuts))
        seen = [
            _seen(place, size, before, reach, stride)
            for place, size, (before, _), reach, stride in zip(
                places[1:], geometry.in_size, geometry.padding, geometry.reach, geometry.stride,
                strict=True,
            )
        ]  # fmt: skip
        sizes = (len(places[0]), *(len(positions) for positions, _ in seen))
        if not all(sizes):
            continue
        padding = tuple(pair for _, pair in seen)
        if (sizes, padding) not in alike:
            alike[sizes, padding] = replace(
                geometry,
                batch=sizes[0],
                in_size=sizes[1:],
                padding=padding,
                out_size=tuple(map(len, places[1:])),
            )
        every = slice(None)
        yield Piece(
            alike[sizes, padding],
            (_slice(places[0]), every, *(_slice(positions) for positions, _ in seen)),
            (_slice(places[0]), every, *map(_slice, places[1:])),
        )


def _seen(place: range, size: int, before: int, reach: int, stride: int) -> tuple[range, Pair]:
    """Return the positions of an axis that windows see, and the padding around them."""
    first = place.start * stride - before
    past = (place.stop - 1) * stride + reach + 1 - before
    low = min(max(first, 0), size)
    high = max(min(past, size), low)
    return range(low, high), (low - first, past - high)


def _slice(positions: range) -> slice:
    return slice(positions.start, positions.stop)


@dataclass(frozen=True, slots=True)
class Phase:
    """On one axis, the input positions first, first + step, ... and the taps that reach them.

    Their gradient is a correlation of stride 1: the residual, padded by `before` zeros (cropped
    where that is negative), with the taps `taps` in this (falling) order, `dilation` apart.
    """

    positions: slice
    count: int
    taps: tuple[int, ...]
    before: int
    dilation: int


# The axes of one operation are often alike, and several that look at it ask.
@lru_cache(maxsize=256)
def input_gradient_phases(
    size: int, kernel: int, stride: int, before: int, dilation: int
) -> tuple[Phase, ...]:
    """Split one axis of the input by its phase to the stride.

    Output o and tap r reach the input position i where o*stride + r*dilation = i + before. For the
    positions i = first + m*stride, the taps that can reach them are those with r*dilation =
    first + before (modulo the stride): every (stride/g)-th, g = gcd(dilation, stride); and from
    one of them to the next, o falls by dilation/g. So each phase is a dense convolution with a
    part of the turned kernel, and the zeros between the residuals are never multiplied. Positions
    that no tap reaches are in no phase; their gradient is 0.

    Examples
    --------
    >>> for phase in input_gradient_phases(5, 3, 2, 0, 1):
    ...     print(phase.positions, phase.taps, phase.before)
    slice(0, None, 2) (2, 0) 1
    slice(1, None, 2) (1,) 0
    """
    hop = stride // gcd(dilation, stride)
    reach = dilation // gcd(dilation, stride)
    phases = []
    for lowest in range(min(hop, kernel)):
        first = (lowest * dilation - before) % stride
        if first >= size:
            continue
        taps = range(lowest, kernel, hop)
        # The residual that the first of these taps brings to the position `first`.
        offset = (first + before - lowest * dilation) // stride
        phases.append(
            Phase(
                positions=slice(first, None, stride),
                count=-(-(size - first) // stride),
                taps=tuple(reversed(taps)),
                before=(len(taps) - 1) * reach - offset,
                dilation=reach,
            )
        )
    return tuple(phases)


@dataclass(frozen=True, slots=True)
class PoolGeometry:
    """All the sizes of one pooling; `padding` holds (before, after) pairs."""

    in_size: Ints
    kernel: Ints
    stride: Ints
    padding: Pairs
    dilation: Ints
    out_size: Ints


def pool_geometry(
    in_size: Ints,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    ceil_mode: bool,
) -> PoolGeometry:
    """Return the geometry of a pooling, or say what does not fit.

    Raises
    ------
    ValueError
        If the window is larger than the padded input, or the first or last window lies wholly in
        the padding.

    Examples
    --------
    >>> pool_geometry((24, 24), (2, 2), (2, 2), "valid", (1, 1), False).out_size
    (12, 12)
    """
    if not all(in_size):
        raise ValueError(f"input must have no spatial axis of size 0, got sizes {in_size}")
    sizer = ceil_output_size if ceil_mode else output_size
    pairs, out_size = fit_windows("kernel_size", in_size, kernel, stride, padding, dilation, sizer)
    for axis, (n, k, s, (before, _), d, out) in enumerate(
        zip(in_size, kernel, stride, pairs, dilation, out_size, strict=True)
    ):
        if before > d * (k - 1) or (out - 1) * s - before >= n:
            raise _empty_window(axis, in_size, kernel, stride, pairs, dilation)
    stride, dilation = moving_steps(stride, dilation, kernel, out_size)
    return PoolGeometry(in_size, kernel, stride, pairs, dilation, out_size)


def _empty_window(
    axis: int, in_size: Ints, kernel: Ints, stride: Ints, padding: Pairs, dilation: Ints
) -> ValueError:
    return ValueError(
        f"a window on axis {axis_name(axis, len(in_size))} holds no input position: size "
        f"{in_size[axis]}, kernel_size {kernel[axis]}, stride {stride[axis]}, padding "
        f"{padding[axis]}, dilation {dilation[axis]}"
    )


def pool_windows(geometry: PoolGeometry) -> tuple[Table, ...]:
    """Return the windows of each axis.

    Raises
    ------
    ValueError
        If a window would hold no input position.

    Examples
    --------
    >>> pool_windows(pool_geometry((3,), (2,), (2,), "valid", (1,), True))[0].tolist()
    [[0, 2, 2], [2, 1, 1]]
    """
    tables = []
    for axis, (n, k, s, (before, after), d, out) in enumerate(
        zip(
            geometry.in_size,
            geometry.kernel,
            geometry.stride,
            geometry.padding,
            geometry.dilation,
            geometry.out_size,
            strict=True,
        )
    ):
        start = np.arange(out, dtype=np.int64) * s - before

        def taps_before(end: int, start: Table = start, d: int = d, k: int = k) -> Table:
            return np.clip(-((start - end) // d), 0, k)

        outside = taps_before(0)
        inside = taps_before(n) - outside
        if not inside.all():
            raise _empty_window(
                axis, geometry.in_size, geometry.kernel, geometry.stride, geometry.padding,
                geometry.dilation,
            )  # fmt: skip
        tables.append(np.stack([start + outside * d, inside, taps_before(n + after)], axis=1))
    return tuple(tables)


def adaptive_windows(size: int, out: int) -> Table:
    """Return `out` windows that cover an axis: from floor(i*size/out) to ceil((i + 1)*size/out).

    Examples
    --------
    >>> adaptive_windows(5, 2).tolist()
    [[0, 3, 3], [2, 3, 3]]
    """
    numbers = np.arange(out, dtype=np.int64)
    first = numbers * size // out
    inside = -(-(numbers + 1) * size // out) - first
    return np.stack([first, inside, inside], axis=1)


def fractional_windows(size: int, kernel: int, out: int, samples: NDArray[Any]) -> Table:
    """Return the windows of an axis for each of the samples, (samples*out, 3).

    Window i begins at floor((i + u)*a) - floor(u*a) with a = (size - kernel)/(out - 1) and the
    sample u, the last one where it ends with the axis; all in the samples' precision, as in torch
    (B. Graham, "Fractional max-pooling", arXiv 1412.6071).

    Examples
    --------
    >>> fractional_windows(7, 2, 4, np.array([0.5])).tolist()
    [[0, 2, 2], [2, 2, 2], [4, 2, 2], [5, 2, 2]]
    """
    first = np.full((len(samples), out), size - kernel, np.int64)
    if out > 1:
        real = samples.dtype.type
        step = real(size - kernel) / real(out - 1)
        u = samples[:, None]
        moved = (np.arange(out - 1).astype(real) + u) * step
        begin = moved.astype(np.int64) - (u * step).astype(np.int64)
        first[:, :-1] = np.minimum(begin, size - kernel)
    inside = np.full(first.size, kernel, np.int64)
    return np.stack([first.ravel(), inside, inside], axis=1)


def unpooled_size(
    size: Ints, kernel: Ints, stride: Ints, padding: Ints, wanted: Ints | None
) -> Ints:
    """Return the size of maps whose pooling has this size: the default, or the one that is wanted.

    The default is (size - 1)*stride - 2*padding + kernel.

    Raises
    ------
    ValueError
        If the size is below 0, or differs from the default by a stride or more.

    Examples
    --------
    >>> unpooled_size((2, 2), (3, 3), (2, 2), (1, 1), None)
    (3, 3)
    """
    found = []
    for axis, (n, k, s, p) in enumerate(zip(size, kernel, stride, padding, strict=True)):
        usual = (n - 1) * s - 2 * p + k
        chosen = usual if wanted is None else wanted[axis]
        name = axis_name(axis, len(size))
        if abs(chosen - usual) >= s:
            raise ValueError(
                f"output_size on axis {name} must be within a stride of (size - 1)*stride - "
                f"2*padding + kernel_size = ({n} - 1)*{s} - 2*{p} + {k} = {usual}, got {chosen}"
            )
        if chosen < 0:
            raise ValueError(
                f"the output size on axis {name} would be {chosen}: (size - 1)*stride - 2*padding "
                f"+ kernel_size = ({n} - 1)*{s} - 2*{p} + {k}"
            )
        found.append(chosen)
    return tuple(found)
