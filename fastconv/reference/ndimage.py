"""Filters of images, as `fastconv.ndimage` and `scipy.ndimage` define them.

An image is padded, and each weight meets a shifted copy of it. The signatures are those of
`fastconv.ndimage`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "filter_bank",
    "gaussian_filter",
    "gaussian_filter1d",
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "generic_gradient_magnitude",
    "generic_laplace",
    "laplace",
    "prewitt",
    "sobel",
    "uniform_filter",
    "uniform_filter1d",
]

Image = NDArray[Any]

# What numpy.pad calls the modes.
_PADDING = {
    "reflect": "symmetric",
    "grid-mirror": "symmetric",
    "mirror": "reflect",
    "nearest": "edge",
    "wrap": "wrap",
    "grid-wrap": "wrap",
    "constant": "constant",
    "grid-constant": "constant",
}


def _written(result: Image, input: Image, output: Any) -> Image:
    """Return a result in the type that is asked for, in the array that is given."""
    if isinstance(output, np.ndarray):
        output[...] = result.astype(output.dtype)
        return output
    dtype = output
    if dtype is None:
        dtype = np.result_type(input, np.complex64) if np.iscomplexobj(result) else input.dtype
    return result.astype(dtype)


def _each(value: Any, count: int) -> list[Any]:
    """Return one value for each axis."""
    return [value] * count if isinstance(value, str) or not np.iterable(value) else list(value)


def _axes(axes: Any, rank: int) -> list[int]:
    """Return the axes that are filtered."""
    return [axis % rank for axis in (range(rank) if axes is None else np.atleast_1d(axes))]


def _padded(
    x: Image, sizes: dict[int, int], origins: dict[int, int], mode: str, cval: Any
) -> Image:
    """Return an image with the cells that filters of these sizes see beyond its borders."""
    around = [(0, 0)] * x.ndim
    for axis, n in sizes.items():
        before = n // 2 + origins[axis]
        around[axis] = (before, n - 1 - before)
    wide = x.astype(np.result_type(x, np.float64))
    if _PADDING[mode] != "constant":
        return np.pad(wide, around, mode=_PADDING[mode])  # type: ignore[call-overload, no-any-return]
    wide = wide.astype(np.result_type(wide, np.asarray(cval)))
    return np.pad(wide, around, constant_values=cval)


def correlate1d(
    input: Any,
    weights: Any,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: int = 0,
) -> Image:
    """Return y[i] = sum over k of weights[k] x[i + k - n // 2 - origin] along one axis."""
    x, w = np.asarray(input), np.conj(np.asarray(weights))
    n, size = len(w), x.shape[axis]
    padded = np.moveaxis(
        _padded(x, {axis % x.ndim: n}, {axis % x.ndim: origin}, mode, cval), axis, 0
    )
    total = sum(w[k] * padded[k : k + size] for k in range(n))
    return _written(np.moveaxis(np.asarray(total), 0, axis), x, output)


def convolve1d(
    input: Any,
    weights: Any,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: int = 0,
) -> Image:
    """Return y[i] = sum over k of weights[k] x[i - k + (n - 1) // 2 + origin] along one axis."""
    w = np.asarray(weights)
    shift = -origin if len(w) % 2 else -origin - 1
    return correlate1d(input, np.conj(w[::-1]), axis, output, mode, cval, shift)


def correlate(
    input: Any,
    weights: Any,
    output: Any = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Image:
    """Return the sum of all cells around each cell, with a weight for each."""
    x, w = np.asarray(input), np.conj(np.asarray(weights))
    filtered = sorted(_axes(axes, x.ndim))
    shifts = dict(zip(_axes(axes, x.ndim), _each(origin, len(filtered)), strict=True))
    padded = _padded(x, dict(zip(filtered, w.shape, strict=True)), shifts, mode, cval)
    total = np.zeros(x.shape, np.result_type(padded, w))
    for tap in np.ndindex(*w.shape):
        window = [slice(None)] * x.ndim
        for k, axis in zip(tap, filtered, strict=True):
            window[axis] = slice(k, k + x.shape[axis])
        # A weight of nothing sees nothing, not even a NaN.
        if abs(w[tap]) > np.finfo(np.float64).eps:
            total += w[tap] * padded[tuple(window)]
    return _written(total, x, output)


def convolve(
    input: Any,
    weights: Any,
    output: Any = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Image:
    """Return the correlation with the kernel turned by 180 degrees."""
    x, w = np.asarray(input), np.asarray(weights)
    filtered = _axes(axes, x.ndim)
    sizes = dict(zip(sorted(filtered), w.shape, strict=True))
    shifts = [
        -at if sizes[axis] % 2 else -at - 1
        for axis, at in zip(filtered, _each(origin, len(filtered)), strict=True)
    ]
    return correlate(x, np.conj(np.flip(w)), output, mode, cval, shifts, axes=axes)


def filter_bank(
    input: Any,
    kernels: Any,
    output: Any = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
    separate: bool | None = None,
) -> Image:
    """Return the correlations with many kernels; `separate` changes nothing."""
    w = np.asarray(kernels)
    along = tuple(range(1 - w.ndim, 0)) if axes is None else axes
    x = np.asarray(input)
    results = [correlate(x, k, np.float64, mode, cval, origin, axes=along) for k in w]
    return _written(np.array(results), x, output)


def _separately(
    input: Any, output: Any, axes: list[int], along: Callable[[Image, int, int], Image]
) -> Image:
    """Filter one axis after the other; in between the image has the type of the result."""
    x = np.asarray(input)
    result = _written(np.zeros_like(x), x, output if not isinstance(output, np.ndarray) else None)
    dtype = output.dtype if isinstance(output, np.ndarray) else result.dtype
    for i, axis in enumerate(axes):
        x = along(x, axis, i).astype(dtype)
    return _written(x, x, dtype if output is None else output)


def _gaussian(sigma: float, order: int, radius: int) -> Image:
    """Return a derivative of a Gaussian at whole numbers, by Hermite's polynomials.

    The n-th derivative of exp(-x^2 / 2 s^2) is (-1/s)^n He_n(x/s) exp(-x^2 / 2 s^2).
    """
    x = np.arange(-radius, radius + 1)
    bell = np.exp(-((x / sigma) ** 2) / 2)
    hermite = np.polynomial.hermite_e.hermeval(x / sigma, [0] * order + [1])
    weights: Image = (-1 / sigma) ** order * hermite * bell / bell.sum()
    return weights


def gaussian_filter1d(
    input: Any,
    sigma: float,
    axis: int = -1,
    order: int = 0,
    output: Any = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
) -> Image:
    """Return the convolution with a Gaussian's derivative along one axis."""
    reach = int(truncate * sigma + 0.5) if radius is None else radius
    return convolve1d(input, _gaussian(sigma, order, reach), axis, output, mode, cval)


def gaussian_filter(
    input: Any,
    sigma: Any,
    order: Any = 0,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    truncate: float = 4.0,
    *,
    radius: Any = None,
    axes: Any = None,
) -> Image:
    """Return the convolution with a Gaussian's derivatives, one axis after the other."""
    filtered = _axes(axes, np.ndim(input))
    sigmas, orders, modes, reaches = (
        _each(given, len(filtered)) for given in (sigma, order, mode, radius)
    )

    def along(x: Image, axis: int, i: int) -> Image:
        if sigmas[i] <= 1e-15:
            return x
        return gaussian_filter1d(
            x, sigmas[i], axis, orders[i], np.float64, modes[i], cval, truncate, radius=reaches[i]
        )

    return _separately(input, output, filtered, along)


def uniform_filter1d(
    input: Any,
    size: int,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: int = 0,
) -> Image:
    """Return the mean of `size` cells along one axis."""
    return correlate1d(input, np.ones(size) / size, axis, output, mode, cval, origin)


def uniform_filter(
    input: Any,
    size: Any = 3,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Image:
    """Return the means along each axis, one after the other."""
    filtered = _axes(axes, np.ndim(input))
    sizes, modes, shifts = (_each(given, len(filtered)) for given in (size, mode, origin))

    def along(x: Image, axis: int, i: int) -> Image:
        return uniform_filter1d(x, sizes[i], axis, np.float64, modes[i], cval, shifts[i])

    return _separately(input, output, filtered, along)


def _edges(input: Any, across: list[int], axis: int, output: Any, mode: Any, cval: Any) -> Image:
    rank = np.ndim(input)
    modes = _each(mode, rank)
    order = [axis % rank, *(other for other in range(rank) if other != axis % rank)]

    def along(x: Image, other: int, i: int) -> Image:
        weights = across if i else [-1, 0, 1]
        return correlate1d(x, weights, other, np.float64, modes[other], cval)

    return _separately(input, output, order, along)


def sobel(
    input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: Any = 0.0
) -> Image:
    """Return differences along one axis, smoothed by (1, 2, 1) along the others."""
    return _edges(input, [1, 2, 1], axis, output, mode, cval)


def prewitt(
    input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: Any = 0.0
) -> Image:
    """Return differences along one axis, added up by (1, 1, 1) along the others."""
    return _edges(input, [1, 1, 1], axis, output, mode, cval)


def generic_laplace(
    input: Any,
    derivative2: Callable[..., Image],
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    extra_arguments: tuple[Any, ...] = (),
    extra_keywords: dict[str, Any] | None = None,
    *,
    axes: Any = None,
) -> Image:
    """Return the sum of the second derivatives along all axes."""
    x = np.asarray(input)
    filtered = _axes(axes, x.ndim)
    modes = _each(mode, len(filtered))
    dtype = _written(np.zeros_like(x), x, output).dtype
    parts = [
        derivative2(x, axis, dtype, of_axis, cval, *extra_arguments, **(extra_keywords or {}))
        for axis, of_axis in zip(filtered, modes, strict=True)
    ]
    return _written(np.add.reduce(parts).astype(dtype) if parts else x, x, output)


def laplace(
    input: Any, output: Any = None, mode: Any = "reflect", cval: Any = 0.0, *, axes: Any = None
) -> Image:
    """Return the sum of the second differences along all axes."""

    def second(x: Image, axis: int, dtype: Any, mode: str, cval: Any) -> Image:
        return correlate1d(x, [1, -2, 1], axis, dtype, mode, cval)

    return generic_laplace(input, second, output, mode, cval, axes=axes)


def gaussian_laplace(
    input: Any,
    sigma: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    *,
    axes: Any = None,
    **kwargs: Any,
) -> Image:
    """Return the sum of the second derivatives of a Gaussian."""
    filtered = _axes(axes, np.ndim(input))
    sigmas = dict(zip(filtered, _each(sigma, len(filtered)), strict=True))

    def second(x: Image, axis: int, dtype: Any, mode: str, cval: Any) -> Image:
        each = [sigmas.get(i, 0) for i in range(x.ndim)]
        orders = [2 * (i == axis) for i in range(x.ndim)]
        return gaussian_filter(x, each, orders, dtype, mode, cval, **kwargs)

    return generic_laplace(input, second, output, mode, cval, axes=axes)


def generic_gradient_magnitude(
    input: Any,
    derivative: Callable[..., Image],
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    extra_arguments: tuple[Any, ...] = (),
    extra_keywords: dict[str, Any] | None = None,
    *,
    axes: Any = None,
) -> Image:
    """Return the root of the sum of the squared derivatives along all axes."""

    def squared(*arguments: Any, **keywords: Any) -> Image:
        return derivative(*arguments, **keywords) ** 2

    x = np.asarray(input)
    dtype = _written(np.zeros_like(x), x, output).dtype
    total = generic_laplace(
        x, squared, dtype, mode, cval, extra_arguments, extra_keywords, axes=axes
    )
    return _written(np.sqrt(total) if _axes(axes, x.ndim) else x, x, output)


def gaussian_gradient_magnitude(
    input: Any,
    sigma: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    *,
    axes: Any = None,
    **kwargs: Any,
) -> Image:
    """Return how long the gradient is, by the derivatives of a Gaussian."""

    def first(x: Image, axis: int, dtype: Any, mode: str, cval: Any) -> Image:
        orders = [int(i == axis) for i in range(x.ndim)]
        return gaussian_filter(x, sigma, orders, dtype, mode, cval, **kwargs)

    return generic_gradient_magnitude(input, first, output, mode, cval, axes=axes)
