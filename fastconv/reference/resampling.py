"""Maps made larger or smaller, and channels exchanged for pixels.

Interpolation along one axis of n cells is a product with a matrix of m rows: row o holds the
weights of the cells from which cell o of the result comes. The gradient is the product with its
transpose.
"""

from collections.abc import Sequence
from math import floor
from typing import Any, TypeAlias

import numpy as np

from fastconv.reference._arguments import Array, expect_axes, expect_shape, float_dtype

Real: TypeAlias = type[np.floating[Any]]

_AXES = {
    "nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "area": (1, 2, 3), "linear": (1,),
    "bilinear": (2,), "trilinear": (3,), "bicubic": (2,),
}  # fmt: skip


def interpolate(
    input: Array,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Array:
    """Make maps larger or smaller, one axis after the other.

    Parameters
    ----------
    input : numpy.ndarray
        Maps (N, C, ...) of one to three spatial axes, float32 or float64.
    size, scale_factor : optional
        Either the spatial shape of the result, or by what the sizes are multiplied.
    mode, align_corners, recompute_scale_factor
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
    arguments = (size, scale_factor, mode, align_corners, recompute_scale_factor)
    result = input.astype(np.float64)
    for axis, matrix in enumerate(_matrices(input.shape, dtype, *arguments), 2):
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
) -> Array:
    """Give each cell the residuals of those that it was used for, by the same weights.

    Parameters
    ----------
    grad_output : numpy.ndarray
        Gradient with respect to the output.
    input_size : sequence of int
        Shape of the input.
    size, scale_factor, mode, align_corners, recompute_scale_factor
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
    arguments = (size, scale_factor, mode, align_corners, recompute_scale_factor)
    matrices = _matrices(input_size, dtype, *arguments)
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


def _matrices(
    shape: Sequence[int],
    dtype: np.dtype[Any],
    size: int | Sequence[int] | None,
    scale_factor: float | Sequence[float] | None,
    mode: str,
    align_corners: bool | None,
    recompute_scale_factor: bool | None,
) -> list[Array]:
    """Return the matrix of each spatial axis."""
    axes = len(shape) - 2
    if mode not in _AXES or axes not in _AXES[mode]:
        raise ValueError(f"mode is {mode!r}, expected one for {axes} spatial axes")
    if align_corners is not None and len(_AXES[mode]) == 3:
        raise ValueError(f"align_corners is {align_corners}, expected None in mode {mode!r}")
    if (size is None) == (scale_factor is None):
        raise ValueError("expected either size or scale_factor")
    if size is not None:
        sizes = [size] * axes if isinstance(size, int) else list(size)
        ratios = [n / m for n, m in zip(shape[2:], sizes, strict=True)]
    else:
        assert scale_factor is not None
        if isinstance(scale_factor, int | float):
            scale_factor = [scale_factor] * axes
        factors = list(scale_factor)
        sizes = [floor(n * factor) for n, factor in zip(shape[2:], factors, strict=True)]
        ratios = [1 / factor for factor in factors]
        if recompute_scale_factor:
            ratios = [n / m for n, m in zip(shape[2:], sizes, strict=True)]
    if min(sizes) < 1:
        raise ValueError(f"the result has the size {sizes}, expected at least one cell")
    return [
        _matrix(n, m, ratio, mode, bool(align_corners), dtype.type)
        for n, m, ratio in zip(shape[2:], sizes, ratios, strict=True)
    ]


def _matrix(n: int, m: int, ratio: float, mode: str, align_corners: bool, real: Real) -> Array:
    matrix = np.zeros((m, n))
    for o in range(m):
        for cell, weight in _cells(n, m, ratio, mode, align_corners, o, real):
            # Beyond the border lie copies of the outermost cell.
            matrix[o, min(max(cell, 0), n - 1)] += weight
    return matrix


def _cells(
    n: int, m: int, ratio: float, mode: str, align_corners: bool, o: int, real: Real
) -> list[tuple[int, float]]:
    """List the cells from which cell o comes, and their weights."""
    if mode.startswith("nearest"):
        # In the input's precision, as torch does; sizes that are equal or double are exact.
        if mode == "nearest" and m in (n, 2 * n):
            return [(o * n // m, 1)]
        shift = real(0.5 if mode == "nearest-exact" else 0)
        return [(int(np.floor(np.float32((real(o) + shift) * real(ratio)))), 1)]
    if mode == "area":
        first, behind = o * n // m, -(-(o + 1) * n // m)
        return [(cell, 1 / (behind - first)) for cell in range(first, behind)]
    place = (o + 0.5) * ratio - 0.5
    if align_corners:
        place = o * (n - 1) / (m - 1) if m > 1 else 0.0
    if mode == "bicubic":
        first = floor(place)
        return [(cell, _keys(abs(place - cell))) for cell in range(first - 1, first + 3)]
    if m == n and not align_corners:
        return [(o, 1)]
    place = max(place, 0.0)
    first = floor(place)
    return [(first, 1 - (place - first)), (first + 1, place - first)]


def _keys(x: float, a: float = -0.75) -> float:
    """Weigh a cell at a distance below 2 (R. Keys, 1981)."""
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x**2 + 1
    return a * (((x - 5) * x + 8) * x - 4)
