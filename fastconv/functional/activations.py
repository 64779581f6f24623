"""Activations and their gradients, element by element or along one axis.

The most frequent are compiled; NumPy's own loops compute the others.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastconv import _check
from fastconv._check import Array, Random
from fastconv.engine.ops import activations as compiled
from fastconv.functional._pieces import sum_along

Mask = NDArray[np.bool_]


def relu(input: Array, *, out: Array | None = None) -> Array:
    """Return max(input, 0); a NaN stays a NaN.

    Parameters
    ----------
    input : ndarray
        Float32 or float64, any shape.
    out : ndarray, optional
        Where to write the result; it may be `input` itself.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        If `input` or `out` is not such an array.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return _mapped(compiled.relu, input, out)


def relu_backward(grad_output: Array, output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of `relu`: 0 where output <= 0, else grad_output.

    Parameters
    ----------
    grad_output, output : ndarray
        The residual, and what `relu` returned.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `output`

    Raises
    ------
    TypeError, ValueError
        If the arrays differ in dtype or shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.relu_backward(np.array([5.0, 5.0]), np.array([0.0, 2.0]))
    array([0., 5.])
    """
    return _graded(compiled.relu_backward, grad_output, output, out)


def leaky_relu(input: Array, negative_slope: float = 0.01, *, out: Array | None = None) -> Array:
    """Return input where it is positive, else negative_slope * input.

    Parameters
    ----------
    input : ndarray
        Float32 or float64, any shape.
    negative_slope : float
        Slope for negative inputs.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        If `input` or `out` is not such an array.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.leaky_relu(np.array([-1.0, 2.0]), 0.1)
    array([-0.1,  2. ])
    """
    input = _check.array("input", input)
    return _scaled_below_zero(input, input, negative_slope, out)


def leaky_relu_backward(
    grad_output: Array, input: Array, negative_slope: float = 0.01, *, out: Array | None = None
) -> Array:
    """Return the gradient of `leaky_relu`.

    Parameters
    ----------
    grad_output, input : ndarray
        The residual, and the input of `leaky_relu`.
    negative_slope : float
        As in `leaky_relu`.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        If the arrays differ in dtype or shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.leaky_relu_backward(np.array([5.0, 5.0]), np.array([-1.0, 2.0]), 0.1)
    array([0.5, 5. ])
    """
    grad_output, input = _pair(grad_output, "input", input)
    return _scaled_below_zero(grad_output, input, negative_slope, out)


def sigmoid(input: Array, *, out: Array | None = None) -> Array:
    """Return 1 / (1 + exp(-input)), without overflow, within 3 units in the last place.

    Parameters
    ----------
    input : ndarray
        Float32 or float64, any shape.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        If `input` or `out` is not such an array.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    return _mapped(compiled.sigmoid, input, out)


def sigmoid_backward(grad_output: Array, output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of `sigmoid`: grad_output * output * (1 - output).

    Parameters
    ----------
    grad_output, output : ndarray
        The residual, and what `sigmoid` returned.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `output`

    Raises
    ------
    TypeError, ValueError
        If the arrays differ in dtype or shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.sigmoid_backward(np.array([1.0]), np.array([0.5]))
    array([0.25])
    """
    return _graded(compiled.sigmoid_backward, grad_output, output, out)


def tanh(input: Array, *, out: Array | None = None) -> Array:
    """Return the hyperbolic tangent, within 3 units in the last place.

    Parameters
    ----------
    input : ndarray
        Float32 or float64, any shape.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        If `input` or `out` is not such an array.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.tanh(np.array([0.0, 1000.0]))
    array([0., 1.])
    """
    return _mapped(compiled.tanh, input, out)


def tanh_backward(grad_output: Array, output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of `tanh`: grad_output * (1 - output**2).

    Parameters
    ----------
    grad_output, output : ndarray
        The residual, and what `tanh` returned.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `output`

    Raises
    ------
    TypeError, ValueError
        If the arrays differ in dtype or shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.tanh_backward(np.array([4.0]), np.array([0.5]))
    array([3.])
    """
    return _graded(compiled.tanh_backward, grad_output, output, out)


def softmax(input: Array, axis: int = -1, *, out: Array | None = None) -> Array:
    """Return exp(input) divided by its sum along an axis, without overflow.

    Parameters
    ----------
    input : ndarray
        Float32 or float64, at least one axis.
    axis : int
        The axis along which the results add up to 1.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        If `input` or `out` is not such an array, or there is no such axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    input = _check.array("input", input)
    axis = _axis(axis, input)
    result = _check.elementwise(out, input)
    if input.size:
        np.exp(_below_maximum(input, axis), out=result)
        result /= sum_along(result, axis)
    return result


def softmax_backward(
    grad_output: Array, output: Array, axis: int = -1, *, out: Array | None = None
) -> Array:
    """Return the gradient of `softmax`: output * (grad_output - sum(grad_output * output)).

    Parameters
    ----------
    grad_output, output : ndarray
        The residual, and what `softmax` returned.
    axis : int
        As in `softmax`.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `output`

    Raises
    ------
    TypeError, ValueError
        If the arrays differ in dtype or shape, or there is no such axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.softmax_backward(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    array([ 0.25, -0.25])
    """
    grad_output, output = _pair(grad_output, "output", output)
    axis = _axis(axis, output)
    result = _check.elementwise(out, grad_output)
    mean = sum_along(grad_output * output, axis)
    np.multiply(output, grad_output - mean, out=result)
    return result


def log_softmax(input: Array, axis: int = -1, *, out: Array | None = None) -> Array:
    """Return the logarithm of `softmax`, accurate where softmax is nearly 0.

    Parameters
    ----------
    input : ndarray
        Float32 or float64, at least one axis.
    axis : int
        As in `softmax`.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        If `input` or `out` is not such an array, or there is no such axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.log_softmax(np.array([0.0, -1000.0]))
    array([    0., -1000.])
    """
    input = _check.array("input", input)
    axis = _axis(axis, input)
    result = _check.elementwise(out, input)
    if input.size:
        shifted = _below_maximum(input, axis)
        total = sum_along(np.exp(shifted), axis)
        np.subtract(shifted, np.log(total), out=result)
    return result


def log_softmax_backward(
    grad_output: Array, output: Array, axis: int = -1, *, out: Array | None = None
) -> Array:
    """Return the gradient of `log_softmax`: grad_output - exp(output) * sum(grad_output).

    Parameters
    ----------
    grad_output, output : ndarray
        The residual, and what `log_softmax` returned.
    axis : int
        As in `log_softmax`.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `output`

    Raises
    ------
    TypeError, ValueError
        If the arrays differ in dtype or shape, or there is no such axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.log_softmax_backward(np.array([1.0, 0.0]), np.log(np.array([0.5, 0.5])))
    array([ 0.5, -0.5])
    """
    grad_output, output = _pair(grad_output, "output", output)
    axis = _axis(axis, output)
    result = _check.elementwise(out, grad_output)
    share = np.exp(output)
    share *= sum_along(grad_output, axis)
    np.subtract(grad_output, share, out=result)
    return result


def dropout(
    input: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    rng: Random = None,
    out: Array | None = None,
) -> tuple[Array, Mask]:
    """Set each element to zero with probability p, and scale the others by 1/(1 - p).

    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.

    Parameters
    ----------
    input : ndarray
        Float32 or float64, any shape.
    p : float
        Probability of a zero, from 0 to 1.
    training : bool
        False returns the input's values and a mask that keeps everything.
    rng : int or numpy.random.Generator, optional
        Where the random numbers come from; an int is a seed.
    out : ndarray, optional
        Where to write the output.

    Returns
    -------
    output : ndarray, shape of `input`
    mask : ndarray of bool, same shape
        True where the element was kept.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or p lies outside [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> output, mask = F.dropout(np.ones(4), 0.5, rng=1)
    >>> bool((output == 2 * mask).all())
    True
    """
    input = _check.array("input", input)
    p = _check.probability("p", p)
    result = _check.elementwise(out, input)
    if training:
        mask = np.random.default_rng(rng).random(input.shape) >= p
        _keep(input, mask, p, result)
    else:
        mask = np.ones(input.shape, np.bool_)
        result[...] = input
    return result, mask


def dropout_backward(
    grad_output: Array, mask: Mask, p: float = 0.5, *, out: Array | None = None
) -> Array:
    """Return the gradient of `dropout`: grad_output / (1 - p) where the element was kept, else 0.

    Parameters
    ----------
    grad_output : ndarray
        The residual.
    mask : ndarray of bool, same shape
        What `dropout` returned.
    p : float
        As in `dropout`.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `grad_output`

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape, or p lies outside [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.dropout_backward(np.array([1.0, 1.0]), np.array([True, False]), 0.5)
    array([2., 0.])
    """
    grad_output = _check.array("grad_output", grad_output)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError("mask must be a numpy.ndarray of bool")
    _check.same_shape("mask", mask, grad_output.shape, "grad_output.shape")
    result = _check.elementwise(out, grad_output)
    _keep(grad_output, mask, _check.probability("p", p), result)
    return result


def _pair(grad_output: Array, name: str, saved: Array) -> tuple[Array, Array]:
    """Check a residual against the array that forward saved."""
    grad_output, saved = _check.array("grad_output", grad_output), _check.array(name, saved)
    _check.same_dtype("grad_output", grad_output, name, saved)
    _check.same_shape("grad_output", grad_output, saved.shape, f"{name}.shape")
    return grad_output, saved


def _mapped(kernel: Callable[..., None], input: Array, out: Array | None) -> Array:
    """Run a kernel over contiguous arrays; others are copied."""
    input = _check.array("input", input)
    result = _check.elementwise(out, input)
    flat = result if out is None else _writeable_flat(result, input)
    kernel(np.ascontiguousarray(input), flat)
    if flat is not result:
        result[...] = flat
    return result


def _graded(
    kernel: Callable[..., None], grad_output: Array, output: Array, out: Array | None
) -> Array:
    """Run a gradient's kernel over contiguous arrays; others are copied."""
    grad_output, output = _pair(grad_output, "output", output)
    result = _check.elementwise(out, output)
    flat = result if out is None else _writeable_flat(result, grad_output, output)
    kernel(np.ascontiguousarray(grad_output), np.ascontiguousarray(output), flat)
    if flat is not result:
        result[...] = flat
    return result


def _writeable_flat(result: Array, *inputs: Array) -> Array:
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


def _axis(axis: int, values: Array) -> int:
    """Refuse an axis that the array does not have."""
    if not isinstance(axis, int | np.integer) or isinstance(axis, bool):
        raise TypeError(f"axis must be an integer, got {type(axis).__name__}")
    if not -values.ndim <= axis < values.ndim:
        raise ValueError(f"axis must be from {-values.ndim} to {values.ndim - 1}, got {axis}")
    return int(axis)


def _keep(values: Array, mask: Mask, p: float, result: Array) -> None:
    """Write values/(1 - p) where the mask is set, else 0 (also for an infinite value)."""
    zero = values.dtype.type(0)
    result[...] = np.where(mask, values * values.dtype.type(1 / (1 - p)), zero) if p < 1 else zero


def _scaled_below_zero(
    values: Array, sign: Array, negative_slope: float, out: Array | None
) -> Array:
    """Return values where sign > 0, else negative_slope * values."""
    slope = _check.number("negative_slope", negative_slope)
    result = _check.elementwise(out, values)
    scaled = values * values.dtype.type(slope)
    result[...] = np.where(sign > 0, values, scaled)
    return result


def _below_maximum(input: Array, axis: int) -> Array:
    """Return the input less its maximum along the axis, so that exp cannot overflow."""
    return np.subtract(input, np.maximum.reduce(input, axis=axis, keepdims=True))
