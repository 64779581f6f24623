"""The sizes and windows of poolings: with `_geometry` the only home of shape formulas."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastconv._geometry import (
    Ints,
    Padding,
    Pair,
    Pairs,
    axis_name,
    fit_windows,
    moving_steps,
    output_size,
)

# The windows of a pooling on one axis, a row each: the first input position inside, how many are
# inside, and the number of cells with the padding, but not with what hangs over it by ceil_mode.
# The sizes of arrays, and the padding that goes with them, fit into 64 bits.
Table: TypeAlias = NDArray[np.int64]


def ceil_output_size(size: int, kernel: int, stride: int, padding: Pair, dilation: int) -> int:
    """Return the number of window positions where the last window may hang over the end.

    A last window that begins behind the input and the padding before it does not count (the rule
    of torch and of ONNX).
    """
    room = size + sum(padding) - dilation * (kernel - 1) - 1
    count = -(-room // stride) + 1
    if (count - 1) * stride >= size + padding[0]:
        count -= 1
    return max(count, 0)


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
