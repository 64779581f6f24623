"""What the twins of the activations share: the prose of their docstrings, and their gradients."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from fastconv.reference._arguments import Array, expect_shape, float_dtype

Function = TypeVar("Function", bound=Callable[..., Any])

_RAISES = """
    Raises
    ------
    ValueError
        If shapes differ, or an option makes no sense.
    TypeError
        If the arrays are not all float32 or all float64.

"""
_FORWARD = """

    Parameters
    ----------
    input : numpy.ndarray
        Weighted input z, float32 or float64, of any shape.
    {options}

    Returns
    -------
    numpy.ndarray
        One value for each z.
"""
_BACKWARD = """

    Parameters
    ----------
    grad_output : numpy.ndarray
        Gradient with respect to the output.
    {saved} : numpy.ndarray
        What `{name}` {verb}.
    {options}

    Returns
    -------
    numpy.ndarray
        Gradient with respect to the input.
"""


def documented(function: Function) -> Function:
    """Add the sections that all activations have to a docstring of summary and example."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    head, mark, examples = (function.__doc__ or "").partition("    Examples\n")
    first = 1 if names[0] == "input" else 2
    options = ", ".join(names[first:])
    options = f"{options}\n        As in `fastconv.functional`." if options else ""
    if first == 1:
        text = _FORWARD.format(options=options)
    else:
        verb = "was given" if names[1] == "input" else "returned"
        name = function.__name__.removesuffix("_backward")
        text = _BACKWARD.format(saved=names[1], name=name, verb=verb, options=options)
    text = text.replace("    \n\n", "\n")
    function.__doc__ = head.rstrip() + text + _RAISES + mark + examples
    return function


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
