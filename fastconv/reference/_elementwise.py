"""What the twins of the activations share: the prose of their docstrings, and their gradients."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from fastconv._docs import completed
from fastconv.reference._arguments import Array, expect_shape, float_dtype

Function = TypeVar("Function", bound=Callable[..., Any])


def documented(function: Function) -> Function:
    """Add the sections that all activations have to a docstring of summary and example."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    if names[0] == "input":
        arrays = "input : numpy.ndarray\n    Weighted input z, float32 or float64, of any shape."
        options, result = names[1:], "One value for each z."
    else:
        verb = "was given" if names[1] == "input" else "returned"
        name = function.__name__.removesuffix("_backward")
        arrays = (
            "grad_output : numpy.ndarray\n    Gradient with respect to the output.\n"
            f"{names[1]} : numpy.ndarray\n    What `{name}` {verb}."
        )
        options, result = names[2:], "Gradient with respect to the input."
    if options:
        arrays += f"\n{', '.join(options)}\n    As in `fastconv.functional`."
    sections = {
        "Parameters": arrays,
        "Returns": f"numpy.ndarray\n    {result}",
        "Raises": (
            "ValueError\n    If shapes differ, or an option makes no sense.\n"
            "TypeError\n    If the arrays are not all float32 or all float64."
        ),
    }
    return completed(sections)(function)


def applied(function: Callable[[Array], Any], input: Array) -> Array:
    """Apply a function in float64, and return its values in the dtype of the input."""
    dtype = float_dtype(input=input)
    with np.errstate(all="ignore"):
        return np.asarray(function(input.astype(np.float64))).astype(dtype)


def chained(slope: Callable[[Array], Any], grad_output: Array, name: str, saved: Array) -> Array:
    """Multiply a residual by the slope at what forward saved."""
    dtype = float_dtype(grad_output=grad_output, **{name: saved})
    expect_shape("grad_output", grad_output, saved.shape)
    with np.errstate(all="ignore"):
        return np.asarray(grad_output.astype(np.float64) * slope(saved.astype(np.float64))).astype(
            dtype
        )
