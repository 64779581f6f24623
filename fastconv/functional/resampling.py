"""Maps made larger or smaller, and channels exchanged for pixels.

Each axis is interpolated by itself, so an axis has a table: for each place of the result some
places of the input, and their weights. The gradient is computed by the transposed tables.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from math import floor, prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastconv import _check
from fastconv._check import Array
from fastconv._geometry import Ints, axis_name
from fastconv.engine.ops import resampling as compiled
from fastconv.functional.adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool1d_backward,
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_avg_pool3d,
    adaptive_avg_pool3d_backward,
)

# Places and weights: (taps, size of the result).
Table: TypeAlias = tuple[NDArray[np.int32], NDArray[np.float64]]
# On an axis, in cells.
Places: TypeAlias = NDArray[np.float64]
# A factor for each axis; None where the sizes' ratio holds.
Scales: TypeAlias = tuple[float | None, ...]

# The modes, with the number of axes that each is for; 0 is any.
MODES = {
    "nearest": 0, "nearest-exact": 0, "area": 0, "linear": 1, "bilinear": 2, "trilinear": 3,
    "bicubic": 2,
}  # fmt: skip
# "area" by the number of axes.
MEANS = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}
MEANS_BACKWARD = {
    1: adaptive_avg_pool1d_backward,
    2: adaptive_avg_pool2d_backward,
    3: adaptive_avg_pool3d_backward,
}
# Where ONNX's Resize places cells, and how it rounds a place between two of them.
COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
)  # fmt: skip
ROUNDINGS: dict[str, Callable[[Places], Places]] = {
    "round_prefer_floor": lambda place: np.ceil(place - 0.5),
    "round_prefer_ceil": lambda place: np.floor(place + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}
# R. Keys, "Cubic convolution interpolation for digital image processing", 1981, and torch.
CUBIC = -0.75


class Way(NamedTuple):
    """How cells are placed and weighed; `coordinates` is None for torch's."""

    mode: str
    align_corners: bool
    coordinates: str | None
    rounding: str


def interpolate(
    input: Array,
    size: int | Ints | None = None,
    scale_factor: float | tuple[float, ...] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    *,
    coordinates: str | None = None,
    rounding: str | None = None,
    out: Array | None = None,
) -> Array:
    r"""Make maps larger or smaller.

    Parameters
    ----------
    input : ndarray
        Float32 or float64, (N, C, W), (N, C, H, W) or (N, C, D, H, W).
    size : int or tuple of int, optional
        The spatial shape of the result.
    scale_factor : float or tuple of float, optional
        Or by what the sizes are multiplied, and then rounded down.
    mode : str
        "nearest", "nearest-exact", "area", "linear" (one axis), "bilinear", "bicubic" (two axes),
        or "trilinear" (three). "nearest" errs by half a cell; it is what torch does. "area" is
        `adaptive_avg_pool2d` and its like.
    align_corners : bool, optional
        Whether the centres of the outermost cells stay where they are, rather than their borders;
        for the modes that are linear or bicubic.
    recompute_scale_factor : bool, optional
        Whether the ratio of the sizes places the cells, rather than `scale_factor` itself.
    coordinates : str, optional
        Place the cells as ONNX's Resize does: "half_pixel", "half_pixel_symmetric",
        "pytorch_half_pixel", "align_corners" or "asymmetric". Not for "nearest-exact" and "area",
        nor together with `align_corners`.
    rounding : str, optional
        Which cell "nearest" takes at a place so found: "round_prefer_floor", which is the default,
        "round_prefer_ceil", "floor" or "ceil".
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, (N, C, ...)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, both or none of `size` and `scale_factor` are given, or
        the mode is for other maps.

    Notes
    -----
    Output o of an axis lies at the input's place

    .. math:: s = \begin{cases} o (n - 1)/(m - 1) & \text{align\_corners} \\
                                (o + 1/2) n/m - 1/2 & \text{otherwise} \end{cases}

    with n and m the sizes, or 1/scale_factor in place of n/m; linear modes weigh the two cells
    around it, "bicubic" the four around it by Keys' kernel with a = -0.75. The nearest modes take
    cell floor(o n/m) or floor((o + 1/2) n/m), computed in the input's precision as in torch.

    With `coordinates`, f = scale_factor or m/n, and the length l = n f, which need not be whole,

    .. math:: s = \begin{cases} (o + 1/2)/f - 1/2 & \text{half\_pixel} \\
              (o + 1/2)/f - 1/2 + (n - m/f)/2 & \text{half\_pixel\_symmetric} \\
              (o + 1/2)/f - 1/2 \text{, or 0 if } m = 1 & \text{pytorch\_half\_pixel} \\
              o (n - 1)/(l - 1) & \text{align\_corners} \\
              o/f & \text{asymmetric} \end{cases}

    A place beyond the outermost cell is that cell's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> line = np.array([[[1.0, 3.0]]])
    >>> F.interpolate(line, 4)
    array([[[1., 1., 3., 3.]]])
    >>> F.interpolate(line, scale_factor=2, mode="linear")
    array([[[1. , 1.5, 2.5, 3. ]]])
    >>> F.interpolate(line, 3, mode="linear", align_corners=True)
    array([[[1., 2., 3.]]])
    >>> F.interpolate(line, 3, coordinates="asymmetric", rounding="ceil")
    array([[[1., 3., 3.]]])
    """
    input = _check.array("input", input)
    way = _way(input.shape, mode, align_corners, coordinates, rounding)
    sizes, scales = _sizes(input.shape, size, scale_factor, recompute_scale_factor)
    if mode == "area":
        return MEANS[len(sizes)](input, sizes, out=out)
    tables = _tables(input.shape, input.dtype, sizes, scales, way)
    result = _check.output(out, (*input.shape[:2], *sizes), input.dtype, input)
    return _check.deliver(_resampled(input, result, tables), out)


def interpolate_backward(
    grad_output: Array,
    input_size: Ints,
    size: int | Ints | None = None,
    scale_factor: float | tuple[float, ...] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    *,
    coordinates: str | None = None,
    rounding: str | None = None,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `interpolate`: each cell's residuals, by the weights it had.

    Parameters
    ----------
    grad_output : ndarray
        The residual.
    input_size : tuple of int
        Shape of the input.
    size, scale_factor, mode, align_corners, recompute_scale_factor, coordinates, rounding
        As in `interpolate`.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape `input_size`

    Raises
    ------
    TypeError, ValueError
        As `interpolate`; also if `grad_output` does not have the shape of the output.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.interpolate_backward(np.array([[[1.0, 2.0, 3.0, 4.0]]]), (1, 1, 2), 4)
    array([[[3., 7.]]])
    """
    grad_output = _check.array("grad_output", grad_output)
    if not isinstance(input_size, tuple | list):
        raise TypeError(f"input_size must be a tuple of integers, got {type(input_size).__name__}")
    shape = tuple(_check.integer(f"input_size[{i}]", n, 0) for i, n in enumerate(input_size))
    way = _way(shape, mode, align_corners, coordinates, rounding)
    sizes, scales = _sizes(shape, size, scale_factor, recompute_scale_factor)
    expected = (*shape[:2], *sizes)
    _check.same_shape("grad_output", grad_output, expected, "the output's shape")
    if mode == "area":
        return MEANS_BACKWARD[len(sizes)](grad_output, shape, out=out)
    tables = _tables(shape, grad_output.dtype, sizes, scales, way)
    result = _check.output(out, shape, grad_output.dtype, grad_output)
    back = [_transposed(table, n) for table, n in zip(tables, shape[2:], strict=True)]
    return _check.deliver(_resampled(grad_output, result, back), out)


def pixel_shuffle(input: Array, upscale_factor: int, *, out: Array | None = None) -> Array:
    """Make pixels of channels: (N, C r^2, H, W) to (N, C, H r, W r).

    W. Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network", 2016. Its gradient is `pixel_unshuffle`, and the other way round.

    Parameters
    ----------
    input : ndarray
        Float32 or float64, (N, C r^2, H, W) or (C r^2, H, W).
    upscale_factor : int
        The factor r.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, (N, C, H r, W r) or (C, H r, W r)
        Channel c has at (h r + i, w r + j) what channel c r^2 + i r + j has at (h, w).

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or r^2 does not divide the channels.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.pixel_shuffle(np.arange(4.0).reshape(4, 1, 1), 2)
    array([[[0., 1.],
            [2., 3.]]])
    """
    input = _check.array("input", input)
    r = _check.integer("upscale_factor", upscale_factor, 1)
    _check.rank("input", input.shape, 2)
    *batch, channels, rows, columns = input.shape
    if channels % r**2:
        raise ValueError(
            f"input must have a multiple of upscale_factor**2 = {r**2} channels, got {channels}"
        )
    shape = (*batch, channels // r**2, rows * r, columns * r)
    result = _check.output(out, shape, input.dtype, input)
    return _check.deliver(_shuffled(input, result, input.shape, r, False), out)


def pixel_unshuffle(input: Array, downscale_factor: int, *, out: Array | None = None) -> Array:
    """Make channels of pixels: (N, C, H r, W r) to (N, C r^2, H, W), as `pixel_shuffle` backwards.

    Parameters
    ----------
    input : ndarray
        Float32 or float64, (N, C, H r, W r) or (C, H r, W r).
    downscale_factor : int
        The factor r.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, (N, C r^2, H, W) or (C r^2, H, W)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or r does not divide the rows and columns.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.pixel_unshuffle(np.arange(4.0).reshape(1, 2, 2), 2).ravel()
    array([0., 1., 2., 3.])
    """
    input = _check.array("input", input)
    r = _check.integer("downscale_factor", downscale_factor, 1)
    _check.rank("input", input.shape, 2)
    *batch, channels, rows, columns = input.shape
    if rows % r or columns % r:
        raise ValueError(
            f"input must have rows and columns that downscale_factor = {r} divides, got "
            f"{rows} and {columns}"
        )
    shape = (*batch, channels * r**2, rows // r, columns // r)
    result = _check.output(out, shape, input.dtype, input)
    return _check.deliver(_shuffled(input, result, shape, r, True), out)


def _shuffled(input: Array, result: Array, many: Ints, factor: int, back: bool) -> Array:
    """Exchange channels for pixels; `many` is the shape with more channels."""
    flat = result if result.flags.c_contiguous else np.empty(result.shape, result.dtype)
    arrays = [np.ascontiguousarray(input), flat]
    most, large = reversed(arrays) if back else arrays
    compiled.shuffle(most.reshape(prod(many[:-3]), *many[-3:]), large, factor, back)
    if flat is not result:
        result[...] = flat
    return result


def _resampled(source: Array, result: Array, tables: list[Table]) -> Array:
    """Write into the result the sums that the tables of its spatial axes say."""
    if not result.size:
        return result
    flat = result if result.flags.c_contiguous else np.empty(result.shape, result.dtype)
    still = _frozen(np.zeros((1, 1)), np.ones((1, 1)))
    three = [still] * (3 - len(tables)) + tables
    places, weights = three[2]
    three[2] = places, weights.astype(source.dtype)
    planes = prod(source.shape[:2])
    ones = (1,) * (3 - len(tables))
    compiled.resample(
        np.ascontiguousarray(source).reshape(planes, *ones, *source.shape[2:]),
        flat.reshape(planes, *ones, *result.shape[2:]),
        three,
    )
    if flat is not result:
        result[...] = flat
    return result


def _way(
    shape: Ints, mode: object, align: bool | None, coordinates: object, rounding: object
) -> Way:
    """Return how an input of this shape is interpolated, or say what does not fit."""
    axes = len(shape) - 2
    if not 1 <= axes <= 3:
        raise ValueError(
            f"input must be (N, C, W), (N, C, H, W) or (N, C, D, H, W), got shape {shape}"
        )
    _one_of("mode", mode, MODES)
    assert isinstance(mode, str)
    if MODES[mode] not in (0, axes):
        raise ValueError(f"mode {mode!r} is for {MODES[mode]} spatial axes, got {axes}")
    if align is not None and MODES[mode] == 0:
        raise ValueError(f"align_corners must be None with mode {mode!r}, got {align!r}")
    if coordinates is None:
        if rounding is not None:
            raise ValueError(f"rounding needs coordinates, got {rounding!r} without")
        return Way(mode, bool(align), None, "")
    _one_of("coordinates", coordinates, COORDINATES)
    if align is not None or mode in ("nearest-exact", "area"):
        other = f"mode {mode!r}" if align is None else "align_corners"
        raise ValueError(f"coordinates must be None with {other}, got {coordinates!r}")
    if rounding is None:
        rounding = "round_prefer_floor"
    elif mode != "nearest":
        raise ValueError(f"rounding must be None with mode {mode!r}, got {rounding!r}")
    _one_of("rounding", rounding, ROUNDINGS)
    return Way(mode, False, str(coordinates), str(rounding))


def _one_of(name: str, value: object, names: Iterable[str]) -> None:
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, names))}, got {value!r}")


def _sizes(
    shape: Ints, size: Any, scale_factor: Any, recompute: bool | None
) -> tuple[Ints, Scales]:
    """Return the result's sizes and what places its cells, or say what does not fit."""
    axes = len(shape) - 2
    if (size is None) == (scale_factor is None):
        raise ValueError("one of size and scale_factor must be given, and only one")
    scales: Scales
    if size is not None:
        if recompute:
            raise ValueError("recompute_scale_factor needs a scale_factor, got size")
        sizes, scales = _check.integers("size", size, axes, 1), (None,) * axes
    else:
        factors = scale_factor if isinstance(scale_factor, tuple | list) else (scale_factor,) * axes
        if len(factors) != axes:
            raise ValueError(f"scale_factor must have one number for each axis, got {factors!r}")
        numbers = [_check.number("scale_factor", factor) for factor in factors]
        if not all(0 < number < _check.MAX_INT for number in numbers):
            raise ValueError(f"scale_factor must be positive, got {scale_factor!r}")
        sizes = tuple(floor(n * s) for n, s in zip(shape[2:], numbers, strict=True))
        scales = (None,) * axes if recompute else tuple(numbers)
    for axis, (n, m) in enumerate(zip(shape[2:], sizes, strict=True)):
        if min(n, m) < 1 or m > _check.MAX_INT:
            raise ValueError(
                f"axis {axis_name(axis, axes)} must have at least one cell before and after, "
                f"got {n} and {m}"
            )
    return sizes, scales


def _tables(
    shape: Ints, dtype: np.dtype[Any], sizes: Ints, scales: Scales, way: Way
) -> list[Table]:
    """Return the table of each spatial axis of an input."""
    return [
        _table(n, m, scale, way, dtype.char)
        for n, m, scale in zip(shape[2:], sizes, scales, strict=True)
    ]


@lru_cache(maxsize=256)
def _table(n: int, m: int, scale: float | None, way: Way, dtype: str) -> Table:
    """Return from which of n cells each of m cells comes, and by what weights."""
    o = np.arange(m, dtype=np.float64)
    if way.mode.startswith("nearest"):
        if way.coordinates is None:
            places = _nearest(n, m, scale, way.mode, dtype)
        else:
            source = _source(n, m, scale, way.coordinates)
            places = ROUNDINGS[way.rounding](source).astype(np.int64)
        return _frozen(np.clip(places, 0, n - 1)[None], np.ones((1, m)))
    if way.coordinates is not None:
        source = _source(n, m, scale, way.coordinates)
    elif way.align_corners:
        source = o * ((n - 1) / (m - 1) if m > 1 else 0.0)
    elif m == n and way.mode != "bicubic":
        source = o
    else:
        source = (o + 0.5) * (1 / scale if scale else n / m) - 0.5
    if way.mode == "bicubic":
        first = np.floor(source).astype(np.int64)
        t = source - first
        far, near = np.stack([t + 1, 2 - t]), np.stack([t, 1 - t])
        outer = CUBIC * (((far - 5) * far + 8) * far - 4)
        inner = ((CUBIC + 2) * near - (CUBIC + 3)) * near**2 + 1
        places = np.clip(first + np.arange(-1, 3)[:, None], 0, n - 1)
        return _frozen(places, np.stack([outer[0], inner[0], inner[1], outer[1]]))
    source = np.clip(source, 0, None)
    first = np.minimum(np.floor(source).astype(np.int64), n - 1)
    share = np.clip(source - first, 0, 1)
    return _frozen(np.stack([first, np.minimum(first + 1, n - 1)]), np.stack([1 - share, share]))


def _nearest(n: int, m: int, scale: float | None, mode: str, dtype: str) -> NDArray[np.int64]:
    """Return torch's nearest cells, found in the precision in which torch finds them."""
    o = np.arange(m)
    if mode == "nearest" and m in (n, 2 * n):
        return o // (m // n)
    real = np.dtype(dtype).type
    step = real(1 / scale) if scale else real(n) / real(m)
    half = real(0.5 if mode == "nearest-exact" else 0)
    cells: NDArray[np.float32] = np.floor(((o.astype(real) + half) * step).astype(np.float32))
    return cells.astype(np.int64)


def _source(n: int, m: int, scale: float | None, coordinates: str) -> Places:
    """Return where m cells lie on an axis of n, by ONNX's rules.

    A quotient is rounded once, so that a place in the middle of two cells is exactly there.
    """
    o = np.arange(m, dtype=np.float64)
    cells, steps = (1, scale) if scale else (n, m)
    if coordinates == "asymmetric":
        return o * cells / steps
    if coordinates == "align_corners":
        length = n * scale if scale else m
        return o * (n - 1) / (length - 1) if length > 1 else 0 * o
    if coordinates == "pytorch_half_pixel" and m == 1:
        return 0 * o
    place = (o + 0.5) * cells / steps - 0.5
    if coordinates == "half_pixel_symmetric":
        # The middle of what is cut off where sizes are rounded down, too.
        place += (n - m * cells / steps) / 2
    return place


def _transposed(table: Table, n: int) -> Table:
    """Return to which results each of n cells goes, in their order, and by what weights."""
    places, weights = table
    taken = weights.T.ravel() != 0
    cells = places.T.ravel()[taken]
    results = np.repeat(np.arange(places.shape[1]), places.shape[0])[taken]
    order = np.argsort(cells, kind="stable")
    counts = np.bincount(cells, minlength=n)
    turn = np.arange(cells.size) - np.repeat(np.cumsum(counts) - counts, counts)
    back = np.zeros((max(int(counts.max(initial=0)), 1), n), np.int64)
    shares = np.zeros(back.shape)
    back[turn, cells[order]] = results[order]
    shares[turn, cells[order]] = weights.T.ravel()[taken][order]
    return _frozen(back, shares)


def _frozen(places: NDArray[Any], weights: NDArray[Any]) -> Table:
    """Return a table as the loops want it."""
    return np.ascontiguousarray(places, np.int32), np.ascontiguousarray(weights, np.float64)
