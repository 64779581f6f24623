"""Gaussian filters, and those that are made of a Gaussian's derivatives."""

from collections.abc import Callable
from functools import lru_cache
from numbers import Integral
from typing import Any

import numpy as np

from fastconv._check import Array
from fastconv._docs import filled
from fastconv.ndimage._arguments import SHARED, filtered_axes, per_axis, result_for
from fastconv.ndimage._passes import run_passes
from fastconv.ndimage.correlation import correlate1d, line_pass, make_line
from fastconv.ndimage.derivatives import generic_gradient_magnitude, generic_laplace

# A smaller standard deviation filters nothing.
_LEAST_SIGMA = 1e-15

_GAUSSIAN = SHARED | {
    "order": """order : int
        0 for the Gaussian, n for its n-th derivative.""",
    "truncate": """truncate : float
        How many standard deviations the filter reaches to each side.""",
    "radius": """radius : int, optional
        How many cells it reaches, whatever `truncate` says.""",
    "options": """**kwargs
        `truncate` and `radius`, as in `gaussian_filter`.""",
    "sigma": """sigma : float or sequence of float
        The standard deviation of the Gaussian, for all axes or for each.""",
}


@lru_cache(64)
def _weights(sigma: float, order: int, radius: int) -> Array:
    """Return a Gaussian's derivative at whole numbers: a polynomial q times the Gaussian.

    (q g)' = (q' - q x / sigma^2) g.
    """
    x = np.arange(-radius, radius + 1)
    bell: Array = np.exp(-0.5 / (sigma * sigma) * x**2)
    bell = bell / bell.sum()
    if order == 0:
        return bell
    powers = np.arange(order + 1)
    step = np.diag(powers[1:], 1) + np.diag(np.ones(order) / -(sigma * sigma), -1)
    q = np.zeros(order + 1)
    q[0] = 1
    for _ in range(order):
        q = step.dot(q)
    found: Array = (x[:, None] ** powers).dot(q) * bell
    return found


def _gaussian(sigma: Any, order: Any, truncate: float, radius: Any) -> Array:
    """Return the weights of a correlation with a Gaussian, or its derivative."""
    sigma = float(sigma)
    reach = int(truncate * sigma + 0.5) if radius is None else radius
    if not isinstance(reach, Integral) or reach < 0:
        raise ValueError(f"Radius must be a nonnegative integer, got {reach!r}")
    if order < 0:
        raise ValueError(f"order must be non-negative, got {order}")
    return _weights(sigma, order, int(reach))[::-1]


@filled(_GAUSSIAN)
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
) -> Array:
    """Filter an image with a Gaussian along one axis, as `scipy.ndimage.gaussian_filter1d`.

    Parameters
    ----------
    %(input)s
    sigma : float
        The standard deviation of the Gaussian.
    %(axis)s
    %(order)s
    %(output)s
    %(mode)s
    %(cval)s
    %(truncate)s
    %(radius)s

    Returns
    -------
    %(result)s

    Raises
    ------
    RuntimeError, ValueError
        As `correlate1d`; also if the order or the radius is negative.

    Examples
    --------
    >>> from fastconv import ndimage
    >>> ndimage.gaussian_filter1d([1.0, 2.0, 3.0, 4.0, 5.0], 1).round(4)
    array([1.427 , 2.0678, 3.    , 3.9322, 4.573 ])
    """
    weights = _gaussian(sigma, order, truncate, radius)
    return correlate1d(input, weights, axis, output, mode, cval)


@filled(_GAUSSIAN)
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
) -> Array:
    """Filter an image with a Gaussian, as `scipy.ndimage.gaussian_filter`.

    Parameters
    ----------
    %(input)s
    %(sigma)s
    %(order)s Or one number for each axis.
    %(output)s
    %(modes)s
    %(cval)s
    %(truncate)s
    %(radius)s Or one number for each axis.
    %(axes)s

    Returns
    -------
    %(result)s

    Raises
    ------
    RuntimeError, ValueError
        As `gaussian_filter1d`.

    Notes
    -----
    One axis is filtered after the other. In between, the image has the type of the result: integers
    are cut twice, as SciPy cuts them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.gaussian_filter(np.arange(0, 50, 2).reshape(5, 5), sigma=1)
    array([[ 4,  6,  8,  9, 11],
           [10, 12, 14, 15, 17],
           [20, 22, 24, 25, 27],
           [29, 31, 33, 34, 36],
           [35, 37, 39, 40, 42]])
    """
    image = np.asarray(input)
    filtered = filtered_axes(axes, image.ndim)
    settings = [per_axis(given, len(filtered)) for given in (sigma, mode, order, radius)]
    result = result_for(output, image)
    if image.dtype.kind == "c":
        if result.dtype.kind != "c":
            raise RuntimeError("output must have complex dtype")
        options = {"truncate": truncate, "radius": radius, "axes": axes}
        for part in (np.real, np.imag):
            gaussian_filter(part(image), sigma, order, part(result), mode, part(cval), **options)
        return result
    return run_passes(
        image,
        result,
        [
            line_pass(make_line(_gaussian(of_axis, nth, truncate, reach)), axis, continued, cval)
            for axis, of_axis, continued, nth, reach in zip(filtered, *settings, strict=True)
            if of_axis > _LEAST_SIGMA
        ],
    )


@filled(_GAUSSIAN)
def gaussian_laplace(
    input: Any,
    sigma: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    *,
    axes: Any = None,
    **kwargs: Any,
) -> Array:
    """Add the second derivatives of a Gaussian, as `scipy.ndimage.gaussian_laplace`.

    Parameters
    ----------
    %(input)s
    %(sigma)s
    %(output)s
    %(modes)s
    %(cval)s
    %(axes)s
    %(options)s

    Returns
    -------
    %(result)s

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.gaussian_laplace(np.eye(1, 5, 2), 1, axes=1).round(3)
    array([[ 0.197,  0.002, -0.399,  0.002,  0.197]])
    """
    image = np.asarray(input)
    filtered = filtered_axes(axes, image.ndim)
    sigmas = [0.0] * image.ndim
    for axis, of_axis in zip(filtered, per_axis(sigma, len(filtered)), strict=True):
        sigmas[axis] = of_axis
    return generic_laplace(
        image, _derivative(2), output, mode, cval, (sigmas,), kwargs, axes=filtered
    )


@filled(_GAUSSIAN)
def gaussian_gradient_magnitude(
    input: Any,
    sigma: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    *,
    axes: Any = None,
    **kwargs: Any,
) -> Array:
    """Return how long the gradient is, by the derivatives of a Gaussian.

    As `scipy.ndimage.gaussian_gradient_magnitude`.

    Parameters
    ----------
    %(input)s
    %(sigma)s
    %(output)s
    %(modes)s
    %(cval)s
    %(axes)s
    %(options)s

    Returns
    -------
    %(result)s

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.gaussian_gradient_magnitude(np.eye(1, 7, 3), 1, axes=1).round(3)
    array([[0.013, 0.108, 0.242, 0.   , 0.242, 0.108, 0.013]])
    """
    return generic_gradient_magnitude(
        input, _derivative(1), output, mode, cval, (sigma,), kwargs, axes=axes
    )


def _derivative(order: int) -> Callable[..., Array]:
    """Return what filters with this derivative of a Gaussian along one axis."""

    def derive(
        input: Array, axis: int, output: Any, mode: Any, cval: Any, sigma: Any, **kwargs: Any
    ) -> Array:
        orders = [0] * input.ndim
        orders[axis] = order
        return gaussian_filter(input, sigma, orders, output, mode, cval, **kwargs)

    return derive
