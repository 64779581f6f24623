"""Convolutions and correlations of two arrays, as in `scipy.signal`."""

import warnings
from math import prod
from typing import Any

import numpy as np

from fastconv._check import Array
from fastconv._docs import filled
from fastconv._geometry import Ints
from fastconv.engine.base.isa import isa
from fastconv.functional._filter_plan import FilterExplanation, explained
from fastconv.functional._separable import taps_worth
from fastconv.signal import _direct, _transforms
from fastconv.signal._arguments import (
    SHARED,
    as_floats,
    check_mode,
    common_dtype,
    continuation,
    fill_number,
    swaps,
)

_METHODS = ("auto", "direct", "fft")
_EXPLAINED = ("convolve", "correlate", "convolve2d", "correlate2d")
# So many pairs of arrays are convolved one by one.
_MOST_PAIRS = 64


@filled(SHARED)
def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Array:
    """Convolve two arrays, as `scipy.signal.convolve`.

    Parameters
    ----------
    %(in1)s
    %(in2)s
    %(mode)s
    %(method)s

    Returns
    -------
    %(result)s

    Raises
    ------
    ValueError
        If the arrays have another number of axes, types that are not served, or sizes that do not
        fit the mode, or the mode or the method is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.convolve(np.array([1, 2, 3]), np.array([0, 1, 5]))
    array([ 0,  1,  7, 13, 15])
    >>> signal.convolve(np.array([1, 2, 3]), np.array([0, 1, 5]), mode="same")
    array([ 1,  7, 13])
    """
    one, two = np.asarray(in1), np.asarray(in2)
    if one.ndim != two.ndim:
        raise ValueError(
            f"volume and kernel should have the same dimensionality: {one.ndim} axes and {two.ndim}"
        )
    if one.ndim == 0:
        product: Array = one * two
        return product
    check_mode(mode)
    if method not in _METHODS:
        raise ValueError(f"Acceptable method flags are 'auto', 'direct', or 'fft', not {method!r}.")
    if one.ndim == 1 and (one.size == 0 or two.size == 0):
        raise ValueError("the arrays cannot be empty")
    if one.dtype == two.dtype == np.bool_ and one.ndim == 1:
        # Which sums of one axis are not empty.
        return _convolve(one.astype(np.int64), two.astype(np.int64), mode, "direct").astype(bool)
    result = _convolve(one, two, mode, method)
    if method == "fft" and result.size and not np.isfinite(result.flat[0]):
        warnings.warn(
            "Use of fft convolution on input with NAN or inf results in NAN or inf output. "
            "Consider using method='direct' instead.",
            category=RuntimeWarning,
            stacklevel=2,
        )
    return result


def _convolve(one: Array, two: Array, mode: str, method: str) -> Array:
    if swaps(mode, one.shape, two.shape):
        one, two = two, one
    dtype = common_dtype(one, two)
    size, first = _part(mode, one.shape, two.shape)
    one, two = one.astype(dtype, copy=False), two.astype(dtype, copy=False)
    if _transformed(one, two, size, method):
        return _transforms.convolve(one, two, range(one.ndim), size, first)
    return _direct.convolve(one, two, size, first)


def _transformed(one: Array, two: Array, size: Ints, method: str) -> bool:
    """Tell whether a convolution of this size, of arrays of one type, is one of transforms."""
    if method == "direct" or one.dtype.kind not in "fc" or one.size == 0 or two.size == 0:
        return False
    shapes = one.shape, two.shape, size
    kernel = _direct.by_size(one, two)[1]
    # Lines are not looked for where they would lose, too.
    return _transforms.wins(*shapes, kernel.size) and (
        _transforms.wins(*shapes, taps_worth(kernel.shape)) or _direct.lines_of(kernel)[0] is None
    )


def _part(mode: str, shape1: Ints, shape2: Ints) -> tuple[Ints, Ints]:
    """Return the size of a part of a convolution, and where it begins."""
    pairs = list(zip(shape1, shape2, strict=True))
    if mode == "full":
        return tuple(max(n + m - 1, 0) for n, m in pairs), (0,) * len(pairs)
    if mode == "same":
        return shape1, tuple((m - 1) // 2 for _, m in pairs)
    return tuple(n - m + 1 for n, m in pairs), tuple(m - 1 for _, m in pairs)


def _reversed(array: Array) -> Array:
    """Return an array turned around on all axes, and conjugated."""
    turned: Array = array[(slice(None, None, -1),) * array.ndim]
    return np.conj(turned) if turned.dtype.kind == "c" else turned


@filled(SHARED)
def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Array:
    """Correlate two arrays, as `scipy.signal.correlate`.

    It is the convolution with `in2` turned around on all axes, and conjugated.

    Parameters
    ----------
    %(in1)s
    %(in2)s
    %(mode)s
    %(method)s

    Returns
    -------
    %(result)s

    Raises
    ------
    ValueError
        As `convolve`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.correlate(np.array([1, 2, 3, 4]), np.array([1, 10]), mode="valid")
    array([21, 32, 43])
    """
    one, two = np.asarray(in1), np.asarray(in2)
    if one.ndim != two.ndim:
        raise ValueError(
            f"in1 and in2 should have the same dimensionality: {one.ndim} axes and {two.ndim}"
        )
    return convolve(one, _reversed(two), mode, method)


@filled(SHARED)
def convolve2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0
) -> Array:
    """Convolve two arrays of two axes, as `scipy.signal.convolve2d`.

    Parameters
    ----------
    in1, in2 : array_like
        Of integers, floating-point or complex numbers.
    %(mode)s
    %(boundary)s
    %(fillvalue)s

    Returns
    -------
    %(result)s

    Raises
    ------
    ValueError
        As `convolve`; also if the boundary is unknown, or `fillvalue` is no number.

    Notes
    -----
    Sums are computed in the type of the result: integers wrap around, float32 is added in float32.
    A large kernel that is, within their rounding, the product of a column and a row is applied by
    both, one after the other; integers stay exact. `explain` says where.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.convolve2d(np.arange(9).reshape(3, 3), [[1, 0], [0, -1]], "same", "symm")
    array([[0, 1, 1],
           [3, 4, 4],
           [3, 4, 4]])
    """
    one, two = _planes("convolve2d", in1, in2)
    if swaps(check_mode(mode), one.shape, two.shape):
        one, two = two, one
    size, first = _part(mode, one.shape, two.shape)
    begin = tuple(at - n + 1 for at, n in zip(first, two.shape, strict=True))
    return _filter2d(one, two[::-1, ::-1], size, begin, boundary, fillvalue)


@filled(SHARED)
def correlate2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0
) -> Array:
    """Correlate two arrays of two axes, as `scipy.signal.correlate2d`.

    Parameters
    ----------
    in1, in2 : array_like
        Of integers, floating-point or complex numbers; `in2` is conjugated.
    %(mode)s
    %(boundary)s
    %(fillvalue)s

    Returns
    -------
    %(result)s

    Raises
    ------
    ValueError
        As `convolve2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.correlate2d(np.arange(9).reshape(3, 3), [[1, 2], [0, 1]], mode="valid")
    array([[ 6, 10],
           [18, 22]])
    """
    one, two = _planes("correlate2d", in1, in2)
    swapped = swaps(check_mode(mode), one.shape, two.shape)
    if swapped:
        one, two = two, one
    size, first = _part(mode, one.shape, two.shape)
    # Of an even number of cells, the one before the middle is the centre.
    begin = (
        tuple(-at for at in first)
        if mode == "same"
        else tuple(at - n + 1 for at, n in zip(first, two.shape, strict=True))
    )
    result = _filter2d(one, np.conj(two), size, begin, boundary, fillvalue)
    return result[::-1, ::-1] if swapped else result


def _planes(name: str, in1: Any, in2: Any) -> tuple[Array, Array]:
    one, two = np.asarray(in1), np.asarray(in2)
    if not one.ndim == two.ndim == 2:
        raise ValueError(
            f"{name} inputs must both be 2-D arrays, got {one.ndim} axes and {two.ndim}"
        )
    return one, two


def _filter2d(
    image: Array, kernel: Array, size: Ints, first: Ints, boundary: str, fillvalue: Any
) -> Array:
    continued = continuation(boundary)
    dtype = common_dtype(image, kernel)
    return _direct.correlate(
        image.astype(dtype, copy=False),
        kernel.astype(dtype, copy=False),
        size,
        first,
        (continued,) * 2,
        fill_number(fillvalue, dtype),
    )


@filled(SHARED)
def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Array:
    """Convolve two arrays over some axes, as `scipy.signal.fftconvolve`.

    Where the smaller array is small its products are added up, which is faster, and more precise,
    than transforms: a NaN is then seen only where it counts.

    Parameters
    ----------
    %(in1)s
    %(in2)s
    %(mode)s
    %(axes)s

    Returns
    -------
    ndarray
        Of floating-point or complex numbers.

    Raises
    ------
    ValueError
        As `convolve`; also if an axis is out of range, or sizes do not fit along one that is not
        convolved.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.fftconvolve(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 1.0]]), axes=1)
    array([[1., 3., 2.],
           [3., 7., 4.]])
    """
    one, two = np.asarray(in1), np.asarray(in2)
    if one.ndim != two.ndim:
        raise ValueError(
            f"in1 and in2 should have the same dimensionality: {one.ndim} axes and {two.ndim}"
        )
    if one.ndim == 0:
        product: Array = one * two
        return product
    if one.size == 0 or two.size == 0:
        return np.array([])
    check_mode(mode)
    convolved = _convolved_axes(axes, one, two)
    if swaps(mode, one.shape, two.shape, convolved):
        one, two = two, one
    if convolved:
        one, two = as_floats(one), as_floats(two)
    dtype = common_dtype(one, two)
    one, two = one.astype(dtype, copy=False), two.astype(dtype, copy=False)
    # Along the other axes the whole is as long as the longer.
    whole = tuple(max(pair) for pair in zip(one.shape, two.shape, strict=True))
    parts = {
        axis: tuple(
            n[0] for n in _part(mode, one.shape[axis : axis + 1], two.shape[axis : axis + 1])
        )
        for axis in convolved
    }
    size = tuple(parts[axis][0] if axis in parts else n for axis, n in enumerate(whole))
    first = tuple(parts[axis][1] if axis in parts else 0 for axis in range(one.ndim))
    if mode == "same" and any(n > m for n, m in zip(size, one.shape, strict=True)):
        # SciPy's centre, of the first array's shape, also where that is broadcast.
        first = tuple(
            at if axis in parts else (n - one.shape[axis]) // 2
            for axis, (at, n) in enumerate(zip(first, whole, strict=True))
        )
        size = one.shape
    return _broadcast(one, two, convolved, size, first)


def oaconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Array:
    """Convolve two arrays over some axes, as `scipy.signal.oaconvolve`: see `fftconvolve`.

    Parameters
    ----------
    in1, in2, mode, axes
        As in `fftconvolve`.

    Returns
    -------
    ndarray
        Of floating-point or complex numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.oaconvolve(np.arange(6.0), np.array([1.0, -1.0]), mode="valid")
    array([1., 1., 1., 1., 1.])
    """
    return fftconvolve(in1, in2, mode, axes)


def explain(
    operation: str, in1: Any, in2: Any, mode: str = "full", method: str = "auto"
) -> FilterExplanation:
    """Say how two arrays are convolved, and why; nothing is computed.

    Parameters
    ----------
    operation : {"convolve", "correlate", "convolve2d", "correlate2d"}
        The function.
    in1, in2, mode, method
        As in the function; `convolve2d` and `correlate2d` have no method but "direct".

    Returns
    -------
    FilterExplanation

    Raises
    ------
    ValueError
        As the function; also if there is no such operation.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> image = np.zeros((512, 512), np.float32)
    >>> signal.explain("convolve2d", image, np.ones((15, 15), np.float32)).algorithm
    'separable'
    >>> signal.explain("convolve", image, image).algorithm
    'fft'
    """
    if operation not in _EXPLAINED:
        known = ", ".join(map(repr, _EXPLAINED))
        raise ValueError(f"operation must be one of {known}, got {operation!r}")
    one, two = np.asarray(in1), np.asarray(in2)
    if one.ndim != two.ndim:
        raise ValueError(f"in1 and in2 must have as many axes, got {one.ndim} and {two.ndim}")
    if swaps(check_mode(mode), one.shape, two.shape):
        one, two = two, one
    dtype = common_dtype(one, two)
    size, _ = _part(mode, one.shape, two.shape)
    one, two = one.astype(dtype, copy=False), two.astype(dtype, copy=False)
    kernel = two
    if not operation.endswith("2d"):
        if _transformed(one, two, size, method):
            reason = "transforms take less time than sums of products"
            return FilterExplanation(operation, "fft", reason, None, dtype, None, isa())
        kernel = _direct.by_size(one, two)[1]
    lines, reason = _direct.lines_of(kernel)
    return explained(operation, kernel.shape, _direct.sum_dtype(dtype), lines, reason)


def _convolved_axes(axes: Any, one: Array, two: Array) -> list[int]:
    """Return the axes along which both arrays have more than one number."""
    rank = one.ndim
    given = range(rank) if axes is None else np.atleast_1d(np.asarray(axes)).ravel()
    if axes is not None and not len(given):
        raise ValueError("when provided, axes cannot be empty")
    if np.asarray(given).dtype.kind not in "iu":
        raise ValueError(f"axes must be a scalar or iterable of integers, got {axes!r}")
    if any(not -rank <= axis < rank for axis in given):
        raise ValueError(f"axes exceeds dimensionality of input: {axes!r} for {rank} axes")
    numbers = [int(axis) % rank for axis in given]
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"all axes must be unique, got {axes!r}")
    convolved = sorted(axis for axis in numbers if one.shape[axis] != 1 and two.shape[axis] != 1)
    for axis, (n, m) in enumerate(zip(one.shape, two.shape, strict=True)):
        if axis not in convolved and n != m and 1 not in (n, m):
            raise ValueError(f"incompatible shapes for in1 and in2: {one.shape} and {two.shape}")
    return convolved


def _broadcast(one: Array, two: Array, axes: list[int], size: Ints, first: Ints) -> Array:
    """Convolve over some axes; along the others the arrays are broadcast."""
    others = [axis for axis in range(one.ndim) if axis not in axes]
    shared = [axis for axis in others if one.shape[axis] > 1 and two.shape[axis] > 1]
    pairs = prod(one.shape[axis] for axis in shared)
    shapes = [tuple(array.shape[axis] for axis in axes) for array in (one, two)]
    part = tuple(size[axis] for axis in axes)
    if not axes:
        whole: Array = one * two
        return np.ascontiguousarray(
            whole[tuple(slice(at, at + n) for at, n in zip(first, size, strict=True))]
        )
    small = two if two.size <= one.size else one
    alone = all(small.shape[axis] == 1 for axis in others)
    taps = min(map(prod, shapes))
    if _transforms.wins(shapes[0], shapes[1], part, taps) or not (alone or pairs <= _MOST_PAIRS):
        return _transforms.convolve(one, two, axes, size, first)
    if alone:
        # One kernel for all: along the other axes it has one weight.
        return _direct.convolve(one, two, size, first)
    result = np.empty(size, one.dtype)
    for place in np.ndindex(*(size[axis] for axis in others)):
        picked = [slice(None)] * one.ndim
        ones, twos = list(picked), list(picked)
        for axis, at in zip(others, place, strict=True):
            picked[axis] = slice(at, at + 1)
            at += first[axis]
            ones[axis] = slice(at, at + 1) if one.shape[axis] > 1 else slice(None)
            twos[axis] = slice(at, at + 1) if two.shape[axis] > 1 else slice(None)
        begin = tuple(0 if axis in others else at for axis, at in enumerate(first))
        spot = result[tuple(picked)]
        spot[...] = _direct.convolve(one[tuple(ones)], two[tuple(twos)], spot.shape, begin)
    return result
