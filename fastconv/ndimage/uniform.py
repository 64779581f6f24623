"""Means of the cells around each cell, by running sums."""

import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastconv._check import Array
from fastconv._docs import filled
from fastconv.functional._filtering import slide_window
from fastconv.ndimage._arguments import (
    SHARED,
    boundary,
    filtered_axes,
    outside_value,
    per_axis,
    result_for,
)
from fastconv.ndimage._passes import Pass, run_passes

_UNIFORM = SHARED | {
    "size": """size : int
        How many cells each mean is of.""",
}


def _mean_pass(size: Any, axis: int, mode: Any, cval: Any, origin: Any) -> Pass:
    """Return what replaces each cell by the mean of those around it on one axis."""
    if size < 1:
        raise RuntimeError(f"incorrect filter size: {size}")
    if not 0 <= size // 2 + origin < size:
        raise ValueError(f"invalid origin: {origin} for a size of {size}")
    size, origin = operator.index(size), operator.index(origin)
    continued, outside = boundary(mode), outside_value(cval)

    def run(image: Array, filtered: Array) -> None:
        slide_window(image, filtered, size, axis, -(size // 2) - origin, continued, outside)

    return run


@filled(_UNIFORM)
def uniform_filter1d(
    input: Any,
    size: int,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: int = 0,
) -> Array:
    """Replace each cell by a mean along one axis, as `scipy.ndimage.uniform_filter1d`.

    Parameters
    ----------
    %(input)s
    %(size)s
    %(axis)s
    %(output)s
    %(mode)s
    %(cval)s
    %(origin)s

    Returns
    -------
    %(result)s

    Raises
    ------
    RuntimeError
        If the size is less than 1, the mode is unknown, or the output has another shape or a type
        that is not served.
    ValueError
        If the origin lies outside of the window, or the axis outside of the image.

    Notes
    -----
    The window slides along the axis: its sum changes by the difference of what comes in and what
    goes out. So a NaN stays to the end of its line, as in SciPy, whose bits these are.

    Examples
    --------
    >>> from fastconv import ndimage
    >>> ndimage.uniform_filter1d([2, 8, 0, 4, 1, 9, 9, 0], size=3)
    array([4, 3, 4, 1, 4, 6, 6, 3])
    """
    image = np.asarray(input)
    axis = normalize_axis_index(axis, image.ndim)
    return _means(image, output, [(axis, size, origin, mode)], cval)


@filled(_UNIFORM)
def uniform_filter(
    input: Any,
    size: Any = 3,
    output: Any = None,
    mode: Any = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Array:
    """Replace each cell by the mean of those around it, as `scipy.ndimage.uniform_filter`.

    Parameters
    ----------
    %(input)s
    %(size)s Or one number for each axis.
    %(output)s
    %(modes)s
    %(cval)s
    %(origins)s
    %(axes)s

    Returns
    -------
    %(result)s

    Raises
    ------
    RuntimeError, ValueError
        As `uniform_filter1d`.

    Notes
    -----
    One axis is filtered after the other. In between, the image has the type of the result.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.uniform_filter(np.diag([9.0, 9.0, 9.0])).round(12)
    array([[5., 3., 1.],
           [3., 3., 3.],
           [1., 3., 5.]])
    """
    image = np.asarray(input)
    filtered = filtered_axes(axes, image.ndim)
    settings = [per_axis(given, len(filtered)) for given in (size, origin, mode)]
    return _means(
        image,
        output,
        [
            (axis, int(cells), shift, continued)
            for axis, cells, shift, continued in zip(filtered, *settings, strict=True)
            if cells > 1
        ],
        cval,
    )


def _means(image: Array, output: Any, windows: list[tuple[int, Any, Any, Any]], cval: Any) -> Array:
    """Filter along axes, each with its size, origin and mode; complex numbers by their parts."""
    complex = image.dtype.kind == "c"
    result = result_for(output, image, complex=complex)
    parts = (np.real, np.imag) if complex else (np.asarray,)
    for part in parts:
        value = part(cval) if complex else cval
        passes = [
            _mean_pass(size, axis, mode, value, origin) for axis, size, origin, mode in windows
        ]
        run_passes(part(image), part(result), passes)
    return result
