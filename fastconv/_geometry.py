"""The sizes of convolutions: with `_pool_geometry` the only home of shape formulas.

Everything here works on tuples with one entry for each spatial axis, of any length, and on Python
integers, which do not overflow. Arguments are normalised already (see `_check`), with one
exception: padding may still be a word, because a word means a number only beside the sizes.

The formulas are those of V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep
learning", arXiv 1603.07285.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from math import gcd, prod

Ints = tuple[int, ...]
Pair = tuple[int, int]
Pairs = tuple[Pair, ...]
Padding = str | Pairs

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


def added_output(
    size: Ints, kernel: Ints, stride: Ints, padding: Pairs, dilation: Ints, wanted: Ints
) -> Ints:
    """Return what a transposed convolution adds to its output to make it of the size wanted.

    Raises
    ------
    ValueError
        If no such output belongs to this size.

    Examples
    --------
    >>> added_output((4,), (3,), (2,), ((1, 1),), (1,), (8,))
    (1,)
    """
    least = transposed_size(size, kernel, stride, padding, (0,) * len(size), dilation)
    for axis, (n, m, s, d) in enumerate(zip(least, wanted, stride, dilation, strict=True)):
        if not 0 <= m - n < max(s, d):
            raise ValueError(
                f"output_size on axis {axis_name(axis, len(size))} must be from {n} to "
                f"{n + max(s, d) - 1}, got {m}"
            )
    return tuple(m - n for n, m in zip(least, wanted, strict=True))


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

    @property
    def connections(self) -> int:
        """Pairs of an input and an output with a weight between them."""
        count = self.batch * prod(self.weight_shape[:2])
        for size, out, taps, step, spread, (before, _) in zip(
            self.in_size,
            self.out_size,
            self.kernel,
            self.stride,
            self.dilation,
            self.padding,
            strict=True,
        ):
            inside = 0
            for tap in range(taps):
                start = tap * spread - before
                places = range(start, start + out * step, step)
                inside += _count_below(places, size) - _count_below(places, 0)
            count *= inside
        return count


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


def _count_below(places: range, end: int) -> int:
    """Return how many of the rising `places` lie before `end`."""
    return min(max(-((places.start - end) // places.step), 0), len(places))
