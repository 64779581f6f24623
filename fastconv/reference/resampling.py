"""Maps made larger or smaller, and channels exchanged for pixels.

Interpolation along one axis of n cells is a product with a matrix of m rows: row o holds the
weights of the cells from which cell o of the result comes. The gradient is the product with its
transpose.
"""

from collections.abc import Callable, Sequence
from math import ceil, floor
from typing import Any, TypeAlias

import numpy as np

from fastconv.reference._arguments import Array, expect_axes, expect_shape, float_dtype

# The mode, and align_corners or the coordinates and the rounding.
How: TypeAlias = tuple[str, bool | None, str | None, str | None]

_AXES = {
    "nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "area": (1, 2, 3), "linear": (1,),
    "bilinear": (2,), "trilinear": (3,), "bicubic": (2,),
}  # fmt: skip
_COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
)  # fmt: skip
_ROUNDINGS: dict[str, Callable[[float], int]] = {
    "round_prefer_floor": lambda place: ceil(place - 0.5),
    "round_prefer_ceil": lambda place: floor(place + 0.5),
    "floor": floor,
    "ceil": ceil,
}


def interpolate(
    input: Array,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    *,
    coordinates: str | None = None,
    rounding: str | None = None,
) -> Array:
    """Make maps larger or smaller, one axis after the other.

    Parameters
    ----------
    input : numpy.ndarray
        Maps (N, C, ...) of one to three spatial axes, float32 or float64.
    size, scale_factor : optional
        Either the spatial shape of the result, or by what the sizes are multiplied.
    mode, align_corners, recompute_scale_factor, coordinates, rounding
        As in `fastconv.functional.interpolate`.

    Returns
    -------
    numpy.ndarray
        Maps of the new size.

    Raises
    ------
    ValueError
        If arguments contradict each other.
    TypeError
        If the input is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import interpolate
    >>> interpolate(np.array([[[1.0, 3.0]]]), scale_factor=2, mode="linear")
    array([[[1. , 1.5, 2.5, 3. ]]])
    """
    dtype = float_dtype(input=input)
    sizes, factors = _sizes(input.shape, size, scale_factor, recompute_scale_factor)
    how = _how(len(sizes), mode, align_corners, coordinates, rounding)
    result = input.astype(np.float64)
    for axis, matrix in enumerate(_matrices(input.shape[2:], sizes, factors, how, dtype), 2):
        result = np.moveaxis(np.tensordot(matrix, result, (1, axis)), 0, axis)
    return result.astype(dtype)


def interpolate_backward(
    grad_output: Array,
    input_size: Sequence[int],
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    *,
    coordinates: str | None = None,
    rounding: str | None = None,
) -> Array:
    """Give each cell the residuals of those that it was used for, by the same weights.

    Parameters
    ----------
    grad_output : numpy.ndarray
        Gradient with respect to the output.
    input_size : sequence of int
        Shape of the input.
    size, scale_factor, mode, align_corners, recompute_scale_factor, coordinates, rounding
        As in `interpolate`.

    Returns
    -------
    numpy.ndarray of shape `input_size`
        Gradient with respect to the input.

    Raises
    ------
    ValueError
        If arguments contradict each other.
    TypeError
        If the residual is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import interpolate_backward
    >>> interpolate_backward(np.array([[[1.0, 2.0, 3.0, 4.0]]]), (1, 1, 2), 4)
    array([[[3., 7.]]])
    """
    dtype = float_dtype(grad_output=grad_output)
    sizes, factors = _sizes(input_size, size, scale_factor, recompute_scale_factor)
    how = _how(len(sizes), mode, align_corners, coordinates, rounding)
    matrices = _matrices(input_size[2:], sizes, factors, how, dtype)
    expect_shape("grad_output", grad_output, (*input_size[:2], *(len(m) for m in matrices)))
    result = grad_output.astype(np.float64)
    for axis, matrix in enumerate(matrices, 2):
        result = np.moveaxis(np.tensordot(matrix.T, result, (1, axis)), 0, axis)
    return result.astype(dtype)


def pixel_shuffle(input: Array, upscale_factor: int) -> Array:
    """Spread each group of r^2 channels over squares of r times r pixels.

    Parameters
    ----------
    input : numpy.ndarray
        Maps (N, C r^2, H, W) or (C r^2, H, W), float32 or float64.
    upscale_factor : int
        The side r of a square.

    Returns
    -------
    numpy.ndarray
        Maps (N, C, H r, W r) or (C, H r, W r).

    Raises
    ------
    ValueError
        If r^2 does not divide the channels.
    TypeError
        If the input is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import pixel_shuffle
    >>> pixel_shuffle(np.arange(4.0).reshape(4, 1, 1), 2)
    array([[[0., 1.],
            [2., 3.]]])
    """
    dtype, r = float_dtype(input=input), upscale_factor
    expect_axes("input", input.ndim, (3, 4))
    *batch, channels, rows, columns = input.shape
    if r < 1 or channels % r**2:
        raise ValueError(f"input has {channels} channels, expected a multiple of {r}**2")
    result = np.empty((*batch, channels // r**2, rows * r, columns * r), dtype)
    for i in range(r):
        for j in range(r):
            result[..., i::r, j::r] = input[..., i * r + j :: r**2, :, :]
    return result


def pixel_unshuffle(input: Array, downscale_factor: int) -> Array:
    """Gather squares of r times r pixels into r^2 channels.

    Parameters
    ----------
    input : numpy.ndarray
        Maps (N, C, H r, W r) or (C, H r, W r), float32 or float64.
    downscale_factor : int
        The side r of a square.

    Returns
    -------
    numpy.ndarray
        Maps (N, C r^2, H, W) or (C r^2, H, W).

    Raises
    ------
    ValueError
        If r does not divide rows and columns.
    TypeError
        If the input is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import pixel_unshuffle
    >>> pixel_unshuffle(np.arange(4.0).reshape(1, 2, 2), 2).ravel()
    array([0., 1., 2., 3.])
    """
    dtype, r = float_dtype(input=input), downscale_factor
    expect_axes("input", input.ndim, (3, 4))
    *batch, channels, rows, columns = input.shape
    if r < 1 or rows % r or columns % r:
        raise ValueError(f"input has {rows} x {columns} pixels, expected multiples of {r}")
    result = np.empty((*batch, channels * r**2, rows // r, columns // r), dtype)
    for i in range(r):
        for j in range(r):
            result[..., i * r + j :: r**2, :, :] = input[..., i::r, j::r]
    return result


def _sizes(
    shape: Sequence[int],
    size: int | Sequence[int] | None,
    scale_factor: float | Sequence[float] | None,
    recompute_scale_factor: bool | None,
) -> tuple[list[int], list[float | None]]:
    """Return the size of each spatial axis of the result, and the factor that places its cells."""
    axes = len(shape) - 2
    if (size is None) == (scale_factor is None):
        raise ValueError("expected either size or scale_factor")
    factors: list[float | None] = [None] * axes
    if scale_factor is None:
        sizes = [size] * axes if isinstance(size, int) else list(size or ())
    else:
        if isinstance(scale_factor, int | float):
            scale_factor = [scale_factor] * axes
        sizes = [floor(n * factor) for n, factor in zip(shape[2:], scale_factor, strict=True)]
        if not recompute_scale_factor:
            factors = list(scale_factor)
    if min(sizes) < 1:
        raise ValueError(f"the result has the size {sizes}, expected at least one cell")
    return sizes, factors


def _how(
    axes: int,
    mode: str,
    align_corners: bool | None,
    coordinates: str | None,
    rounding: str | None,
) -> How:
    if mode not in _AXES or axes not in _AXES[mode]:
        raise ValueError(f"mode is {mode!r}, expected one for {axes} spatial axes")
    if align_corners is not None and (len(_AXES[mode]) == 3 or coordinates is not None):
        raise ValueError(
            f"align_corners is {align_corners}, expected None in mode {mode!r} with coordinates "
            f"{coordinates!r}"
        )
    if coordinates is not None and (
        coordinates not in _COORDINATES or mode in ("nearest-exact", "area")
    ):
        raise ValueError(
            f"coordinates are {coordinates!r}, expected one of {_COORDINATES} in another mode "
            f"than {mode!r}"
        )
    if rounding is not None and (
        rounding not in _ROUNDINGS or mode != "nearest" or coordinates is None
    ):
        raise ValueError(
            f"rounding is {rounding!r}, expected one of {tuple(_ROUNDINGS)} in mode 'nearest' "
            f"with coordinates"
        )
    return mode, align_corners, coordinates, rounding


def _matrices(
    shape: Sequence[int],
    sizes: list[int],
    factors: list[float | None],
    how: How,
    dtype: np.dtype[Any],
) -> list[Array]:
    """Return the matrix of each spatial axis."""
    matrices = [np.zeros((m, n)) for n, m in zip(shape, sizes, strict=True)]
    for matrix, factor in zip(matrices, factors, strict=True):
        m, n = matrix.shape
        for o in range(m):
            for cell, weight in _cells(n, m, factor, how, o, dtype):
                # Beyond the border lie copies of the outermost cell.
                matrix[o, min(max(cell, 0), n - 1)] += weight
    return matrices


def _cells(
    n: int, m: int, factor: float | None, how: How, o: int, dtype: np.dtype[Any]
) -> list[tuple[int, float]]:
    """List the cells from which cell o comes, and their weights."""
    mode, align_corners, coordinates, rounding = how
    ratio = 1 / factor if factor else n / m
    if coordinates is not None:
        place = _place(n, m, factor, coordinates, o)
        if mode == "nearest":
            return [(_ROUNDINGS[rounding or "round_prefer_floor"](place), 1)]
    elif mode.startswith("nearest"):
        # In the input's precision, as torch does; sizes that are equal or double are exact.
        if mode == "nearest" and m in (n, 2 * n):
            return [(o * n // m, 1)]
        real = dtype.type
        shift = real(0.5 if mode == "nearest-exact" else 0)
        return [(int(np.floor(np.float32((real(o) + shift) * real(ratio)))), 1)]
    elif mode == "area":
        first, behind = o * n // m, -(-(o + 1) * n // m)
        return [(cell, 1 / (behind - first)) for cell in range(first, behind)]
    elif align_corners:
        place = o * (n - 1) / (m - 1) if m > 1 else 0.0
    elif m == n and mode != "bicubic":
        place = float(o)
    else:
        place = (o + 0.5) * ratio - 0.5
    if mode == "bicubic":
        first = floor(place)
        return [(cell, _keys(abs(place - cell))) for cell in range(first - 1, first + 3)]
    place = max(place, 0.0)
    first = floor(place)
    return [(first, 1 - (place - first)), (first + 1, place - first)]


def _place(n: int, m: int, factor: float | None, coordinates: str, o: int) -> float:
    """Return where cell o of m lies on an axis of n by ONNX's rules, rounded once."""
    cells, steps = (1, factor) if factor else (n, m)
    if coordinates == "asymmetric":
        return o * cells / steps
    if coordinates == "align_corners":
        length = n * factor if factor else m
        return o * (n - 1) / (length - 1) if length > 1 else 0.0
    if coordinates == "pytorch_half_pixel" and m == 1:
        return 0.0
    middle = (n - m * cells / steps) / 2 if coordinates == "half_pixel_symmetric" else 0.0
    return (o + 0.5) * cells / steps - 0.5 + middle


def _keys(x: float, a: float = -0.75) -> float:
    """Weigh a cell at a distance below 2 (R. Keys, 1981)."""
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x**2 + 1
    return a * (((x - 5) * x + 8) * x - 4)
