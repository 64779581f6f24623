"""Probabilities along one axis, their logarithms, and the gradients of both.

The sums are compensated: their error does not grow with the axis. An axis of any place is read
where it lies; arrays that are not contiguous are copied.
"""

from collections.abc import Callable
from math import prod

import numpy as np

from fastconv import _check
from fastconv._check import Array
from fastconv.engine.ops import softmax as compiled
from fastconv.functional._elementwise import delivered, documented, pair, writeable_flat


@documented
def softmax(input: Array, axis: int = -1, *, out: Array | None = None) -> Array:
    """Return exp(input) divided by its sum along an axis, without overflow, within 8 ulp.

    Values below 1e-37 (float32) or 1e-307 (float64) may come out as 0.

    Parameters
    ----------
    axis : int
        The axis along which the results add up to 1; there must be one.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    return _forward(compiled.softmax, input, axis, out)


@documented
def softmax_backward(
    grad_output: Array, output: Array, axis: int = -1, *, out: Array | None = None
) -> Array:
    """Return the gradient of `softmax`: output * (grad_output - sum(grad_output * output)).

    Parameters
    ----------
    axis : int
        As in `softmax`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.softmax_backward(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    array([ 0.25, -0.25])
    """
    return _backward(compiled.softmax_backward, grad_output, output, axis, out)


@documented
def log_softmax(input: Array, axis: int = -1, *, out: Array | None = None) -> Array:
    """Return the logarithm of `softmax`, accurate where softmax is nearly 0.

    The error is below 4 eps times the larger of 1, the result, and the logarithm of the axis' size.

    Parameters
    ----------
    axis : int
        As in `softmax`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.log_softmax(np.array([0.0, -1000.0]))
    array([    0., -1000.])
    """
    return _forward(compiled.log_softmax, input, axis, out)


@documented
def log_softmax_backward(
    grad_output: Array, output: Array, axis: int = -1, *, out: Array | None = None
) -> Array:
    """Return the gradient of `log_softmax`: grad_output - exp(output) * sum(grad_output).

    Parameters
    ----------
    axis : int
        As in `log_softmax`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.log_softmax_backward(np.array([1.0, 0.0]), np.log(np.array([0.5, 0.5])))
    array([ 0.5, -0.5])
    """
    return _backward(compiled.log_softmax_backward, grad_output, output, axis, out)


def _forward(kernel: Callable[..., None], input: Array, axis: int, out: Array | None) -> Array:
    input = _check.array("input", input)
    axis = _axis(axis, input)
    result = _check.elementwise(out, input)
    flat = result if out is None else writeable_flat(result, input)
    kernel(np.ascontiguousarray(input), flat, *_around(input, axis))
    return delivered(flat, result)


def _backward(
    kernel: Callable[..., None], grad_output: Array, output: Array, axis: int, out: Array | None
) -> Array:
    grad_output, output = pair(grad_output, "output", output)
    axis = _axis(axis, output)
    result = _check.elementwise(out, output)
    flat = result if out is None else writeable_flat(result, grad_output, output)
    residual = np.ascontiguousarray(grad_output)
    kernel(residual, np.ascontiguousarray(output), flat, *_around(output, axis))
    return delivered(flat, result)


def _axis(axis: int, values: Array) -> int:
    """Refuse an axis that the array does not have."""
    if not isinstance(axis, int | np.integer) or isinstance(axis, bool):
        raise TypeError(f"axis must be an integer, got {type(axis).__name__}")
    if not -values.ndim <= axis < values.ndim:
        raise ValueError(f"axis must be from {-values.ndim} to {values.ndim - 1}, got {axis}")
    return int(axis)


def _around(values: Array, axis: int) -> tuple[int, int]:
    """Return the axis' size, and by how many elements its neighbours lie apart."""
    return values.shape[axis], prod(values.shape[axis:][1:])
