"""What functions of one element at a time share: their checks, their calls, their docstrings."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from fastconv import _check
from fastconv._check import Array
from fastconv._docs import completed
from fastconv.engine.ops import activations as compiled

Function = TypeVar("Function", bound=Callable[..., Any])


def documented(function: Function) -> Function:
    """Add to a docstring what the arrays of an activation, or of its gradient, are.

    The docstring holds the summary, the options under "Parameters", if there are any, and examples.
    """
    first, second, *_ = (*function.__code__.co_varnames, "")
    if first == "input":
        like, arrays = first, "input : ndarray\n    Float32 or float64, any shape."
        condition = "`input` or `out` is not such an array, or an option is none of those named"
    else:
        like, origin = second, "output" if second == "output" else "input"
        name = function.__name__.removesuffix("_backward")
        arrays = f"{first}, {second} : ndarray\n    The residual, and the {origin} of `{name}`."
        condition = "the arrays differ in dtype or shape"
    out = "out : ndarray, optional\n    Where to write the result; it may be one of the inputs."
    sections = {
        "Parameters": f"{arrays}\n...\n{out}",
        "Returns": f"ndarray, shape of `{like}`",
        "Raises": f"TypeError, ValueError\n    If {condition}.",
    }
    return completed(sections)(function)


def pair(grad_output: Array, name: str, saved: Array) -> tuple[Array, Array]:
    """Check a residual against the array that forward saved."""
    grad_output, saved = _check.array("grad_output", grad_output), _check.array(name, saved)
    _check.same_dtype("grad_output", grad_output, name, saved)
    _check.same_shape("grad_output", grad_output, saved.shape, f"{name}.shape")
    return grad_output, saved


def writeable_flat(result: Array, *inputs: Array) -> Array:
    """Return the result, or a stand-in where a kernel cannot write into it.

    The kernels read an element before they write it: an input may be the result, but not overlap
    it otherwise.
    """
    if result.flags.c_contiguous and all(
        not np.may_share_memory(result, value)
        or (value.flags.c_contiguous and value.ctypes.data == result.ctypes.data)
        for value in inputs
    ):
        return result
    return np.empty(result.shape, result.dtype)


def mapped(activation: str, input: Array, out: Array | None, *options: float) -> Array:
    """Run an activation over contiguous arrays; others are copied."""
    input = _check.array("input", input)
    result = _check.elementwise(out, input)
    flat = result if out is None else writeable_flat(result, input)
    compiled.forward(activation, np.ascontiguousarray(input), flat, *options)
    return delivered(flat, result)


def graded(
    activation: str,
    grad_output: Array,
    name: str,
    saved: Array,
    out: Array | None,
    *options: float,
) -> Array:
    """Run an activation's gradient over contiguous arrays; others are copied."""
    grad_output, saved = pair(grad_output, name, saved)
    result = _check.elementwise(out, saved)
    flat = result if out is None else writeable_flat(result, grad_output, saved)
    residual = np.ascontiguousarray(grad_output)
    compiled.backward(activation, residual, np.ascontiguousarray(saved), flat, *options)
    return delivered(flat, result)


def delivered(flat: Array, result: Array) -> Array:
    """Return the result, with what its stand-in holds."""
    if flat is not result:
        result[...] = flat
    return result
