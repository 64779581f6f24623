"""Weighted sums of the cells around each cell, over all axes at once or along one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import NDArray

from fastconv._check import Array
from fastconv._docs import filled
from fastconv.functional._filtering import correlate_taps
from fastconv.ndimage._arguments import (
    SHARED,
    boundary,
    checked_origin,
    filtered_axes,
    outside_value,
    result_for,
)
from fastconv.ndimage._kernels import EPSILON, first_cells, full_kernel, kernel_pass
from fastconv.ndimage._passes import Pass, run_passes

# ---- along one axis ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """The weights of a filter along one axis.

    Attributes
    ----------
    window : int
        How many cells it sees.
    taps : ndarray of int, shape (taps, 1)
        Which of them, in the order in which they are added.
    weights : ndarray of float, shape (1, taps)
    fold : {0, 1, -1}
        Whether the cells on both sides have the same weights, or opposite ones: then they are
        added or subtracted first, the outer pairs before the inner.
    """

    window: int
    taps: NDArray[np.intp]
    weights: NDArray[np.float64]
    fold: int


@lru_cache(256)
def _make_line(numbers: bytes) -> Line:
    weights = np.frombuffer(numbers)
    window = len(weights)
    half, last = window // 2, window - 1
    fold = 0
    if window % 2:
        left, right = weights[:half], weights[:half:-1]
        # SciPy takes weights that differ by less for equal.
        fold = 0 if (abs(right - left) > EPSILON).any() else 1
        if not fold:
            fold = 0 if (abs(right + left) > EPSILON).any() else -1
    places = np.arange(window, dtype=np.intp)
    if fold:
        order = np.concatenate([[half], places[:half]])
        places = np.concatenate([order, last - order])
    else:
        places = order = np.concatenate([[last], places[:last]])
    return Line(window, places[:, None], weights[None, order], fold)


def make_line(weights: Any) -> Line:
    """Return the filter along one axis with these weights."""
    return _make_line(np.ascontiguousarray(weights, np.float64).tobytes())


def line_pass(line: Line, axis: int, mode: object, cval: Any, origin: int = 0) -> Pass:
    """Return what filters an image along one axis."""
    continued, outside = boundary(mode), outside_value(cval)

    def run(image: Array, filtered: Array) -> None:
        window, first = [1] * image.ndim, [0] * image.ndim
        window[axis], first[axis] = line.window, -(line.window // 2) - origin
        taps = np.zeros((len(line.taps), image.ndim), np.intp)
        taps[:, axis] = line.taps[:, 0]
        correlate_taps(
            image,
            filtered[None],
            tuple(window),
            tuple(first),
            (continued,) * image.ndim,
            taps,
            line.weights,
            outside=outside,
            fold=line.fold,
            # The sign of a sum of zeros is that of the zeros.
            start=-0.0,
        )

    return run


@filled(SHARED)
def correlate1d(
    input: Any,
    weights: Any,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: int = 0,
) -> Array:
    r"""Correlate an image with weights along one axis, as `scipy.ndimage.correlate1d`.

    Parameters
    ----------
    %(input)s
    weights : array_like
        One axis of numbers. Complex ones are conjugated.
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
        If there are no weights, the mode is unknown, or the output has another shape or a type
        that is not served.
    ValueError
        If the origin lies outside of the filter, or the axis outside of the image.

    Notes
    -----
    With n weights w, and the image x continued beyond its borders,

    .. math:: y_i = \sum_{k=0}^{n-1} w_k\, x_{i + k - \lfloor n/2 \rfloor - \text{origin}}

    where symmetric or antisymmetric weights meet sums or differences of pairs. All is added in the
    order of SciPy's loops, without fused multiply-adds: the bits are the same.

    Examples
    --------
    >>> from fastconv import ndimage
    >>> ndimage.correlate1d([2, 8, 0, 4, 1, 9, 9, 0], weights=[1, 3])
    array([ 8, 26,  8, 12,  7, 28, 36,  9])
    """
    image, weights = np.asarray(input), np.asarray(weights)
    if image.dtype.kind == "c" or weights.dtype.kind == "c":
        if weights.dtype.kind == "c":
            weights = weights.conj().astype(np.complex128, copy=False)
        result = result_for(output, image, complex=True)
        return by_components(
            correlate1d, image, weights, result, cval, axis=axis, mode=mode, origin=origin
        )
    result = result_for(output, image)
    weights = np.asarray(weights, np.float64)
    if weights.ndim != 1 or len(weights) < 1:
        raise RuntimeError(f"no filter weights given: weights have shape {weights.shape}")
    axis = normalize_axis_index(axis, image.ndim)
    origin = checked_origin(origin, len(weights), "len(weights)")
    return run_passes(image, result, [line_pass(make_line(weights), axis, mode, cval, origin)])


@filled(SHARED)
def convolve1d(
    input: Any,
    weights: Any,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: int = 0,
) -> Array:
    """Convolve an image with weights along one axis, as `scipy.ndimage.convolve1d`.

    Parameters
    ----------
    %(input)s
    weights : array_like
        One axis of numbers, which are applied from the last to the first.
    %(axis)s
    %(output)s
    %(mode)s
    %(cval)s
    %(origin)s

    Returns
    -------
    %(result)s

    Examples
    --------
    >>> from fastconv import ndimage
    >>> ndimage.convolve1d([2, 8, 0, 4, 1, 9, 9, 0], weights=[1, 3])
    array([14, 24,  4, 13, 12, 36, 27,  0])
    """
    weights = np.asarray(weights)[::-1]
    if weights.dtype.kind == "c":
        # The correlation conjugates them once more.
        weights = weights.conj()
    return correlate1d(input, weights, axis, output, mode, cval, _turned(origin, len(weights)))


# ---- over several axes ---------------------------------------------------------------------------


@filled(SHARED)
def correlate(
    input: Any,
    weights: Any,
    output: Any = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Array:
    """Correlate an image with a kernel, as `scipy.ndimage.correlate`.

    Parameters
    ----------
    %(input)s
    weights : array_like
        The kernel, with as many axes as the image is filtered along. Complex ones are conjugated.
    %(output)s
    %(mode)s
    %(cval)s
    %(origins)s
    %(axes)s

    Returns
    -------
    %(result)s

    Raises
    ------
    RuntimeError
        If the kernel has another number of axes, the mode is unknown, or the output has another
        shape or a type that is not served.
    ValueError
        If an origin lies outside of the kernel, or an axis outside of the image.

    Notes
    -----
    Weights of less than 2.2e-16 are left out, as in SciPy, so that neither a NaN nor an infinity
    under them is seen. The products are added in the kernel's order, without fused multiply-adds:
    the bits are SciPy's.

    A large kernel whose weights are, within rounding, products of one line for each axis (see
    `factors`) is applied axis by axis, in double precision throughout. With u = 1.1e-16 and n
    weights the sums differ from SciPy's by at most 3 n u times the sum of the products' absolute
    values, which is three times the bound of either's own error; sums of whole numbers do not
    differ, and results that are integers are computed so only if all is whole. `explain` says which
    way is taken, and inside `fastconv.exact()` only whole numbers are.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> image = np.arange(16).reshape(4, 4)
    >>> ndimage.correlate(image, [[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    array([[ 5,  4,  4,  3],
           [ 1,  0,  0, -1],
           [ 1,  0,  0, -1],
           [-3, -4, -4, -5]])
    """
    return _filter(input, weights, output, mode, cval, origin, False, axes)


@filled(SHARED)
def convolve(
    input: Any,
    weights: Any,
    output: Any = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Array:
    """Convolve an image with a kernel, as `scipy.ndimage.convolve`.

    Parameters
    ----------
    %(input)s
    weights : array_like
        The kernel, which is turned by 180 degrees, with as many axes as the image is filtered
        along.
    %(output)s
    %(mode)s
    %(cval)s
    %(origins)s
    %(axes)s

    Returns
    -------
    %(result)s

    Raises
    ------
    RuntimeError, ValueError
        As `correlate`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> image = np.array([[1, 2, 0, 0], [5, 3, 0, 4], [0, 0, 0, 7], [9, 3, 0, 0]])
    >>> ndimage.convolve(image, [[1, 1, 1], [1, 1, 0], [1, 0, 0]], mode="constant")
    array([[11, 10,  7,  4],
           [10,  3, 11, 11],
           [15, 12, 14,  7],
           [12,  3,  7,  0]])
    """
    return _filter(input, weights, output, mode, cval, origin, True, axes)


def _filter(
    input: Any,
    weights: Any,
    output: Any,
    mode: Any,
    cval: Any,
    origin: Any,
    turned: bool,
    axes: Any,
) -> Array:
    """Correlate, or convolve, over several axes."""
    image, weights = np.asarray(input), np.asarray(weights)
    if image.dtype.kind == "c" or weights.dtype.kind == "c":
        if weights.dtype.kind == "c" and not turned:
            weights = weights.conj()
        result = result_for(output, image, complex=True)
        return by_components(
            _filter,
            image,
            weights,
            result,
            cval,
            mode=mode,
            origin=origin,
            turned=turned,
            axes=axes,
        )
    kernel, origins = full_kernel(weights, origin, filtered_axes(axes, image.ndim), image.ndim)
    if turned:
        kernel = kernel[(slice(None, None, -1),) * kernel.ndim]
        origins = [_turned(at, n) for at, n in zip(origins, kernel.shape, strict=True)]
    first = first_cells(kernel.shape, origins, "weights.shape[k]")
    result = result_for(output, image)
    if not isinstance(mode, str) and isinstance(mode, Iterable):
        raise RuntimeError("A sequence of modes is not supported")
    return run_passes(image, result, [kernel_pass(kernel, mode, cval, first, result.dtype)])


# ---- what they share -----------------------------------------------------------------------------


def _turned(origin: Any, window: int) -> Any:
    """Return the origin of a correlation that is a convolution with this one."""
    return -origin - (window % 2 == 0)


def by_components(
    function: Callable[..., Any],
    input: Array,
    weights: Array,
    output: Array,
    cval: Any,
    **options: Any,
) -> Array:
    """Filter complex images, or with complex weights, by filters of real numbers."""
    if input.dtype.kind != "c" and np.iscomplexobj(cval):
        raise ValueError("Cannot provide a complex-valued cval when the input is real.")
    parts = [(weights.real, output.real)]
    if weights.dtype.kind == "c":
        parts.append((weights.imag, output.imag))
    if input.dtype.kind != "c":
        for part, result in parts:
            function(input, part, output=result, cval=cval, **options)
        return output
    real, imaginary = np.real(cval), np.imag(cval)
    if weights.dtype.kind != "c":
        function(input.real, weights, output=output.real, cval=real, **options)
        function(input.imag, weights, output=output.imag, cval=imaginary, **options)
        return output
    if np.may_share_memory(input, output):
        input = input.copy()
    for part, result in parts:
        function(input.real, part, output=result, cval=real, **options)
    output.real -= function(input.imag, weights.imag, output=None, cval=imaginary, **options)
    output.imag += function(input.imag, weights.real, output=None, cval=imaginary, **options)
    return output
