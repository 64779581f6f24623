"""Arrays as the kernels of normalisation take them, and where their results go."""

from typing import Any

import numpy as np

from fastconv import _check
from fastconv._check import FLOAT64, Array
from fastconv._geometry import Ints


def maps_of(input: object) -> Array:
    """Return the input as an array (N, C, ...).

    Raises
    ------
    TypeError, ValueError
        If it is none.
    """
    maps = _check.array("input", input)
    if maps.ndim < 2:
        raise ValueError(f"input must be (N, C, ...), got {maps.ndim}-D with shape {maps.shape}")
    return maps


def contiguous_from(array: Array, axis: int) -> Array:
    """Return the array, or a copy if its axes from this one on are not contiguous."""
    if array.flags.c_contiguous:
        return array
    expected = array.itemsize
    for length, stride in zip(
        reversed(array.shape[axis:]), reversed(array.strides[axis:]), strict=True
    ):
        if length > 1 and stride != expected:
            return np.ascontiguousarray(array)
        expected *= length
    return array


def flat(array: Array | None) -> Array | None:
    """Return all numbers in one row, in their order; None stays None."""
    return None if array is None else contiguous_from(array, 0).reshape(-1)


def operand(name: str, value: object, like: Array, other: str = "input") -> Array:
    """Return an array of the dtype and shape of another.

    Raises
    ------
    TypeError, ValueError
        If it is none.
    """
    array = _check.array(name, value)
    if array.dtype is not like.dtype:
        _check.same_dtype(name, array, other, like)
    if array.shape != like.shape:
        _check.same_shape(name, array, like.shape, f"{other}.shape")
    return array


def optional(name: str, value: object, like: Array, shape: Ints, formula: str) -> Array | None:
    """Return an array of the dtype of the input and of this shape, or None.

    Raises
    ------
    TypeError, ValueError
        If it is none.
    """
    if value is None:
        return None
    array = _check.array(name, value)
    if array.dtype is not like.dtype:
        _check.same_dtype(name, array, "input", like)
    if array.shape != shape:
        _check.same_shape(name, array, shape, formula)
    return array


def result(
    out: object, like: Array, axis: int, same: tuple[Array, ...], others: tuple[Array, ...] = ()
) -> Array:
    """Return an array to write a result into: a new one, `out`, or a stand-in for `out`.

    `out` may be one of the arrays `same`, of which the kernel reads an element before it writes
    there. Where it overlaps an input otherwise, or its axes from `axis` on are not contiguous, it
    has a stand-in, which `_check.deliver` copies over.

    Raises
    ------
    TypeError, ValueError
        If a result like `like` cannot be written into `out`.
    """
    array = _check.elementwise(out, like)
    if out is None:
        return array
    if contiguous_from(array, axis) is array and not any(
        np.may_share_memory(array, value) for value in others
    ):
        overlapping = [value for value in same if np.may_share_memory(array, value)]
        if all(_is_same(array, value) for value in overlapping):
            return array
    return np.empty(like.shape, like.dtype)


def _is_same(array: Array, other: Array) -> bool:
    return (
        array.strides == other.strides
        and array.__array_interface__["data"][0] == other.__array_interface__["data"][0]
    )


def saved_statistics(value: object, shape: Ints, formula: str) -> Array:
    """Return the statistics that forward wrote, contiguous.

    Raises
    ------
    TypeError, ValueError
        If they are no array of float64 of this shape.
    """
    array = _check.array("statistics", value)
    if array.dtype != FLOAT64:
        raise TypeError(f"statistics must have dtype float64, got {array.dtype}")
    _check.same_shape("statistics", array, shape, formula)
    return np.ascontiguousarray(array)


def new_statistics(value: Any, shape: Ints, *inputs: Array | None) -> Array:
    """Return an array for the statistics: `value`, a stand-in for it, or a new one.

    Raises
    ------
    TypeError, ValueError
        If `value` is neither None nor an array that they can be written into.
    """
    if value is None:
        return np.empty(shape, FLOAT64)
    if not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"statistics must be a numpy.ndarray, got {type(value).__name__}")
    if value.shape != shape or value.dtype != FLOAT64:
        raise ValueError(
            f"statistics must have shape {shape} and dtype float64, got {value.shape} and "
            f"{value.dtype}"
        )
    if not (value.flags.writeable and value.flags.aligned):
        raise ValueError("statistics must be writeable and aligned")
    if not value.flags.c_contiguous or any(
        array is not None and np.may_share_memory(value, array) for array in inputs
    ):
        return np.empty(shape, FLOAT64)
    return value


def moving(name: str, value: object, like: Array, shape: Ints, *, written: bool) -> Array:
    """Return running statistics, as they are where they are to be written.

    Raises
    ------
    TypeError, ValueError
        If they have not the dtype of the input and this shape, or cannot be written.
    """
    array = optional(name, value, like, shape, "(C,)")
    assert array is not None
    if not written:
        return array
    assert isinstance(value, np.ndarray)
    if not (value.flags.writeable and value.flags.aligned and value.dtype.isnative):
        raise ValueError(f"{name} must be writeable, aligned and of native byte order")
    return value
