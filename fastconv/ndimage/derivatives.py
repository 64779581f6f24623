"""Differences of neighbouring cells: edges, gradients and Laplacians."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastconv._check import Array
from fastconv._docs import filled
from fastconv.ndimage._arguments import SHARED, filtered_axes, per_axis, result_for
from fastconv.ndimage._passes import run_passes
from fastconv.ndimage.correlation import correlate1d, line_pass, make_line

_DERIVED = SHARED | {
    "derivative": """A function ``(input, axis, output, mode, cval, *extra_arguments,
        **extra_keywords)`` that filters along one axis, and returns the array. Where `output` is a
        dtype, it returns a new one.""",
    "extra": """extra_arguments : tuple
        More arguments for the function.
    extra_keywords : dict, optional
        More keyword arguments for it.""",
}


def _edges(input: Any, across: list[int], axis: int, output: Any, mode: Any, cval: Any) -> Array:
    """Return differences along one axis, weighed and added along all others."""
    image = np.asarray(input)
    axis = normalize_axis_index(axis, image.ndim)
    result = result_for(output, image)
    modes = per_axis(mode, image.ndim)
    if image.dtype.kind == "c":
        if result.dtype.kind != "c":
            raise RuntimeError("output must have complex dtype")
        for part in (np.real, np.imag):
            _edges(part(image), across, axis, part(result), mode, part(cval))
        return result
    passes = [line_pass(make_line([-1, 0, 1]), axis, modes[axis], cval)]
    passes += [
        line_pass(make_line(across), other, modes[other], cval)
        for other in range(image.ndim)
        if other != axis
    ]
    return run_passes(image, result, passes)


@filled(_DERIVED)
def sobel(
    input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: Any = 0.0
) -> Array:
    """Find edges by Sobel's filter, as `scipy.ndimage.sobel`.

    Differences (-1, 0, 1) along one axis, smoothed by (1, 2, 1) along all others.

    Parameters
    ----------
    %(input)s
    axis : int
        The axis along which the differences are taken.
    %(output)s
    %(modes)s
    %(cval)s

    Returns
    -------
    %(result)s

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.sobel(np.tri(4))
    array([[-3., -4., -1.,  0.],
           [-1., -3., -3., -1.],
           [ 0., -1., -3., -2.],
           [ 0.,  0., -1., -1.]])
    """
    return _edges(input, [1, 2, 1], axis, output, mode, cval)


@filled(_DERIVED)
def prewitt(
    input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: Any = 0.0
) -> Array:
    """Find edges by Prewitt's filter, as `scipy.ndimage.prewitt`.

    Differences (-1, 0, 1) along one axis, added up by (1, 1, 1) along all others.

    Parameters
    ----------
    %(input)s
    axis : int
        The axis along which the differences are taken.
    %(output)s
    %(modes)s
    %(cval)s

    Returns
    -------
    %(result)s

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.prewitt(np.tri(4))
    array([[-2., -3., -1.,  0.],
           [-1., -2., -2., -1.],
           [ 0., -1., -2., -1.],
           [ 0.,  0., -1., -1.]])
    """
    return _edges(input, [1, 1, 1], axis, output, mode, cval)


@filled(_DERIVED)
def generic_laplace(
    input: Any,
    derivative2: Callable[..., Array],
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    extra_arguments: tuple[Any, ...] = (),
    extra_keywords: dict[str, Any] | None = None,
    *,
    axes: Any = None,
) -> Array:
    """Add second derivatives along all axes, as `scipy.ndimage.generic_laplace`.

    Parameters
    ----------
    %(input)s
    derivative2 : callable
        %(derivative)s
    %(output)s
    %(modes)s
    %(cval)s
    %(extra)s
    %(axes)s

    Returns
    -------
    %(result)s

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> def second(input, axis, output, mode, cval):
    ...     return ndimage.correlate1d(input, [1, -2, 1], axis, output, mode, cval)
    >>> ndimage.generic_laplace(np.eye(3), second)
    array([[-2.,  2.,  0.],
           [ 2., -4.,  2.],
           [ 0.,  2., -2.]])
    """
    image = np.asarray(input)
    result = result_for(output, image)
    return _gather(
        image, result, derivative2, mode, cval, extra_arguments, extra_keywords, axes, False
    )


@filled(_DERIVED)
def laplace(
    input: Any, output: Any = None, mode: Any = "reflect", cval: Any = 0.0, *, axes: Any = None
) -> Array:
    """Add the second differences (1, -2, 1) along all axes, as `scipy.ndimage.laplace`.

    Parameters
    ----------
    %(input)s
    %(output)s
    %(modes)s
    %(cval)s
    %(axes)s

    Returns
    -------
    %(result)s

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.laplace(np.eye(3))
    array([[-2.,  2.,  0.],
           [ 2., -4.,  2.],
           [ 0.,  2., -2.]])
    """

    def second(input: Array, axis: int, output: Any, mode: Any, cval: Any) -> Array:
        return correlate1d(input, [1, -2, 1], axis, output, mode, cval)

    return generic_laplace(input, second, output, mode, cval, axes=axes)


@filled(_DERIVED)
def generic_gradient_magnitude(
    input: Any,
    derivative: Callable[..., Array],
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    extra_arguments: tuple[Any, ...] = (),
    extra_keywords: dict[str, Any] | None = None,
    *,
    axes: Any = None,
) -> Array:
    """Return how long the gradient is, as `scipy.ndimage.generic_gradient_magnitude`.

    Parameters
    ----------
    %(input)s
    derivative : callable
        %(derivative)s
    %(output)s
    %(modes)s
    %(cval)s
    %(extra)s
    %(axes)s

    Returns
    -------
    %(result)s

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.generic_gradient_magnitude(np.tri(3), ndimage.sobel).round(3)
    array([[3.162, 4.472, 1.414],
           [1.414, 4.243, 4.472],
           [0.   , 1.414, 3.162]])
    """
    image = np.asarray(input)
    result = result_for(output, image)
    return _gather(
        image, result, derivative, mode, cval, extra_arguments, extra_keywords, axes, True
    )


def _gather(
    image: Array,
    result: Array,
    derivative: Callable[..., Array],
    mode: Any,
    cval: Any,
    arguments: tuple[Any, ...],
    keywords: dict[str, Any] | None,
    axes: Any,
    magnitude: bool,
) -> Array:
    """Write the sum of derivatives along each axis, or the root of the sum of their squares."""
    filtered = filtered_axes(axes, image.ndim)
    modes = per_axis(mode, len(filtered))
    if np.may_share_memory(image, result):
        image = image.copy()
    for i, (axis, continued) in enumerate(zip(filtered, modes, strict=True)):
        found = derivative(
            image,
            axis,
            result.dtype if i else result,
            continued,
            cval,
            *arguments,
            **(keywords or {}),
        )
        found = found if i else result
        if magnitude:
            np.multiply(found, found, found)
        if i:
            result += found
    if not filtered:
        result[...] = image
    elif magnitude:
        np.sqrt(result, result, casting="unsafe")
    return result
