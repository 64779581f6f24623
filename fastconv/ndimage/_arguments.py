"""The arguments of filters, read as SciPy reads them: with its words, and its errors."""

import operator
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastconv._check import Array
from fastconv.engine.base.memory import empty
from fastconv.engine.filters.types import TYPES

# What `fastconv.functional.pad` calls SciPy's modes.
_MODES = {
    "reflect": "symmetric",
    "grid-mirror": "symmetric",
    "mirror": "reflect",
    "nearest": "replicate",
    "wrap": "circular",
    "grid-wrap": "circular",
    "constant": "constant",
    "grid-constant": "constant",
}

# The parameters that the filters share.
SHARED = {
    "input": """input : array_like
        The image: of integers, booleans, floating-point or complex numbers, and any number of
        axes.""",
    "axis": """axis : int
        The axis along which the image is filtered.""",
    "axes": """axes : tuple of int, optional
        The axes along which the image is filtered; all of them by default. What is given for each
        axis then is given for each of these.""",
    "output": """output : ndarray or dtype, optional
        Where to write the result, or its type; by default that of the image. Sums are computed in
        double precision, and cut to what integers can hold.""",
    "mode": """mode : {"reflect", "mirror", "nearest", "wrap", "constant"}
        How the image goes on beyond its borders: mirrored with the cells at the border repeated, or
        not; as the cell at the border; from its other end; or as `cval`. "grid-mirror",
        "grid-wrap" and "grid-constant" are other names of the first, fourth and fifth.""",
    "modes": """mode : str or sequence of str
        As in `correlate`; several are for one axis each.""",
    "cval": """cval : scalar
        What is beyond the borders in mode "constant".""",
    "origin": """origin : int
        How far the filter is shifted to lower places; 0 centres it.""",
    "origins": """origin : int or sequence of int
        How far the filter is shifted to lower places on each axis; 0 centres it.""",
    "result": """ndarray
        Of the shape of the image.""",
}


def boundary(mode: object) -> str:
    """Return how an image is continued, in the words of `fastconv.functional.pad`."""
    if not isinstance(mode, str) or mode not in _MODES:
        raise RuntimeError(f"boundary mode not supported: {mode!r} is none of {', '.join(_MODES)}")
    return _MODES[mode]


def outside_value(cval: Any) -> float:
    """Return what the cells beyond the borders hold."""
    if isinstance(cval, str | bytes):
        raise TypeError(f"cval must be a real number, got {cval!r}")
    return float(cval)


def per_axis(value: Any, count: int) -> list[Any]:
    """Return one value for each of so many axes."""
    if isinstance(value, str) or not np.iterable(value):
        return [value] * count
    values = list(value)
    if len(values) != count:
        raise RuntimeError(
            f"sequence argument must have length equal to input rank: {len(values)} for {count}"
        )
    return values


def checked_origin(origin: Any, window: int, length: str) -> int:
    """Return an origin that lies in the window."""
    if origin < -(window // 2) or origin > (window - 1) // 2:
        raise ValueError(
            f"Invalid origin; origin must satisfy -({length} // 2) <= origin <= ({length}-1) // 2: "
            f"{origin} for a length of {window}"
        )
    return operator.index(origin)


def filtered_axes(axes: Any, rank: int) -> tuple[int, ...]:
    """Return the axes along which an image is filtered."""
    if axes is None:
        return tuple(range(rank))
    if np.isscalar(axes):
        axes = (axes,)
    elif not isinstance(axes, Iterable):
        raise ValueError("axes must be an integer, iterable of integers, or None")
    numbers = [operator.index(axis) for axis in axes]
    for axis in numbers:
        if not -rank <= axis < rank:
            raise ValueError(f"specified axis: {axis} is out of range")
    found = tuple(axis % rank for axis in numbers)
    if len(set(found)) != len(found):
        raise ValueError("axes must be unique")
    return found


def result_for(output: Any, input: Array, *, complex: bool = False) -> Array:
    """Return the array that a filter fills, from its argument `output`."""
    if output is None:
        dtype = np.promote_types(input.dtype, np.complex64) if complex else input.dtype
        return empty(input.shape, dtype.newbyteorder("="))
    if isinstance(output, type | np.dtype):
        dtype = np.dtype(output)
        if complex and dtype.kind != "c":
            warnings.warn("promoting specified output dtype to complex", stacklevel=4)
            dtype = np.promote_types(dtype, np.complex64)
        return empty(input.shape, dtype)
    if isinstance(output, str):
        dtype = np.dtype(output)
        if complex and dtype.kind != "c":
            raise RuntimeError("output must have complex dtype")
        if not issubclass(dtype.type, np.number):
            raise RuntimeError("output must have numeric dtype")
        return empty(input.shape, dtype)
    result: Array = np.asarray(output)
    if result.shape != input.shape:
        raise RuntimeError(f"output shape not correct: {result.shape}, not {input.shape}")
    if complex and result.dtype.kind != "c":
        raise RuntimeError("output must have complex dtype")
    return result


def check_types(*arrays: Array) -> None:
    """Refuse arrays of numbers that no filter computes with."""
    for array in arrays:
        if array.dtype.newbyteorder("=") not in TYPES:
            raise RuntimeError(f"array type {array.dtype!r} not supported")


def check_writeable(output: Array) -> None:
    """Refuse a result that cannot be written."""
    if not output.flags.writeable:
        raise ValueError("output array is read-only.")
