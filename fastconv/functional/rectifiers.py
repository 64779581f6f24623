"""Activations of straight pieces (and one of a parabola), and their gradients.

A gradient takes the output of `relu`, `relu6` and `hardtanh`, the input of the others.
"""

from math import inf
from typing import Any

import numpy as np

from fastconv import _check
from fastconv._check import Array
from fastconv.engine.ops import activations as compiled
from fastconv.functional._elementwise import (
    delivered,
    documented,
    graded,
    mapped,
    pair,
    writeable_flat,
)

# What `hardsigmoid` has by default, and its ramp: known, these need no checks in each call.
SIXTH, HALF = 1 / 6, 0.5
RAMP = (SIXTH, 3.0, 6.0)


@documented
def relu(input: Array, *, out: Array | None = None) -> Array:
    """Return max(input, 0); a NaN stays a NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return mapped("relu", input, out)


@documented
def relu_backward(grad_output: Array, output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of `relu`: 0 where output <= 0, else grad_output.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.relu_backward(np.array([5.0, 5.0]), np.array([0.0, 2.0]))
    array([0., 5.])
    """
    return graded("relu", grad_output, "output", output, out)


@documented
def relu6(input: Array, *, out: Array | None = None) -> Array:
    """Return the input cut off below 0 and above 6.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.relu6(np.array([-1.0, 2.0, 9.0]))
    array([0., 2., 6.])
    """
    return mapped("hardtanh", input, out, 0.0, 6.0)


@documented
def relu6_backward(grad_output: Array, output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of `relu6`: grad_output where the output lies between 0 and 6, else 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.relu6_backward(np.array([5.0, 5.0]), np.array([6.0, 2.0]))
    array([0., 5.])
    """
    return graded("hardtanh", grad_output, "output", output, out, 0.0, 6.0)


@documented
def hardtanh(
    input: Array, min_val: float = -1.0, max_val: float = 1.0, *, out: Array | None = None
) -> Array:
    """Return the input cut off below min_val and above max_val.

    Parameters
    ----------
    min_val : float
        The least output.
    max_val : float
        The largest output, not less.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.hardtanh(np.array([-3.0, 0.5, 3.0]))
    array([-1. ,  0.5,  1. ])
    """
    low, high = _range(min_val, max_val)
    return mapped("hardtanh", input, out, low, high)


@documented
def hardtanh_backward(
    grad_output: Array,
    output: Array,
    min_val: float = -1.0,
    max_val: float = 1.0,
    *,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `hardtanh`: grad_output where the output lies between both, else 0.

    Parameters
    ----------
    min_val, max_val : float
        As in `hardtanh`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.hardtanh_backward(np.array([5.0, 5.0]), np.array([-1.0, 0.5]))
    array([0., 5.])
    """
    low, high = _range(min_val, max_val)
    return graded("hardtanh", grad_output, "output", output, out, low, high)


@documented
def leaky_relu(input: Array, negative_slope: float = 0.01, *, out: Array | None = None) -> Array:
    """Return input where it is positive, else negative_slope * input.

    Parameters
    ----------
    negative_slope : float
        Slope below zero.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.leaky_relu(np.array([-1.0, 2.0]), 0.1)
    array([-0.1,  2. ])
    """
    slope = _check.number("negative_slope", negative_slope)
    return mapped("leaky_relu", input, out, slope)


@documented
def leaky_relu_backward(
    grad_output: Array, input: Array, negative_slope: float = 0.01, *, out: Array | None = None
) -> Array:
    """Return the gradient of `leaky_relu`.

    It is grad_output, times negative_slope where input is not positive.

    Parameters
    ----------
    negative_slope : float
        As in `leaky_relu`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.leaky_relu_backward(np.array([5.0, 5.0]), np.array([-1.0, 2.0]), 0.1)
    array([0.5, 5. ])
    """
    slope = _check.number("negative_slope", negative_slope)
    return graded("leaky_relu", grad_output, "input", input, out, slope)


@documented
def hardsigmoid(
    input: Array, *, alpha: float = SIXTH, beta: float = HALF, out: Array | None = None
) -> Array:
    """Return alpha * input + beta, cut off below 0 and above 1.

    By default this is (input + 3) / 6, within 2 ulp. With others the error is below
    2 eps * (1 + abs(beta)).

    Parameters
    ----------
    alpha : float
        The slope; positive.
    beta : float
        The value at 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.hardsigmoid(np.array([-3.0, 0.0, 3.0]))
    array([0. , 0.5, 1. ])
    """
    return mapped("hardsigmoid", input, out, *_ramp(alpha, beta))


@documented
def hardsigmoid_backward(
    grad_output: Array,
    input: Array,
    *,
    alpha: float = SIXTH,
    beta: float = HALF,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `hardsigmoid`.

    It is alpha * grad_output where alpha * input + beta lies between 0 and 1, else 0.

    Parameters
    ----------
    alpha, beta : float
        As in `hardsigmoid`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.hardsigmoid_backward(np.array([6.0, 6.0]), np.array([0.0, 3.0]))
    array([1., 0.])
    """
    return graded("hardsigmoid", grad_output, "input", input, out, *_ramp(alpha, beta))


@documented
def hardswish(input: Array, *, out: Array | None = None) -> Array:
    """Return input * hardsigmoid(input), within 3 ulp; 0 for minus infinity.

    A. Howard et al., "Searching for MobileNetV3", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.hardswish(np.array([1.5, 3.0]))
    array([1.125, 3.   ])
    """
    return mapped("hardswish", input, out)


@documented
def hardswish_backward(grad_output: Array, input: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of `hardswish`.

    It is grad_output * (input/3 + 1/2) between -3 and 3, 0 below, grad_output above.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.hardswish_backward(np.array([4.0]), np.array([0.0]))
    array([2.])
    """
    return graded("hardswish", grad_output, "input", input, out)


@documented
def prelu(input: Array, weight: Array, *, out: Array | None = None) -> Array:
    """Return input where it is positive, else weight * input, with a weight for each channel.

    K. He et al., "Delving deep into rectifiers", 2015.

    Parameters
    ----------
    weight : ndarray, (), (1,) or (C,)
        One slope for all, or one for each channel, the second axis of the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.prelu(np.array([[-1.0, -1.0]]), np.array([0.1, 0.2]))
    array([[-0.1, -0.2]])
    """
    input = _check.array("input", input)
    weight = _slopes(input, weight)
    result = _check.elementwise(out, input)
    flat = result if out is None else writeable_flat(result, input, weight)
    compiled.prelu(np.ascontiguousarray(input), weight, flat)
    return delivered(flat, result)


def prelu_backward(
    grad_output: Array,
    input: Array,
    weight: Array,
    *,
    output_mask: tuple[bool, bool] = (True, True),
    out: tuple[Array | None, Array | None] = (None, None),
) -> tuple[Array | None, Array | None]:
    """Return the gradients of `prelu` with respect to the input and the weight.

    Parameters
    ----------
    grad_output, input, weight : ndarray
        The residual, and what `prelu` was given.
    output_mask : tuple of bool
        Which of the two are wanted.
    out : tuple of ndarray or None
        Where to write them.

    Returns
    -------
    grad_input : ndarray or None, shape of `input`
        grad_output, times the channel's weight where the input is not positive.
    grad_weight : ndarray or None, shape of `weight`
        The sums of grad_output * input where the input is not positive. Their error is below
        600 eps times the sums of absolute values, and the bits are the same for any threads.

    Raises
    ------
    TypeError, ValueError
        If the arrays do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x = np.array([[-1.0, -2.0, 3.0]])
    >>> F.prelu_backward(np.ones((1, 3)), x, np.array([0.5]))
    (array([[0.5, 0.5, 1. ]]), array([-3.]))
    """
    grad_output, input = pair(grad_output, "input", input)
    slopes = _slopes(input, weight)
    for_input, for_weight = _two("output_mask", output_mask)
    outs = _two("out", out)
    residual, x = np.ascontiguousarray(grad_output), np.ascontiguousarray(input)
    grad_input = grad_weight = None
    # Both are checked before either is written.
    input_result = _check.elementwise(outs[0], input) if for_input else input
    weight_result = slopes.reshape(weight.shape)
    if for_weight:
        weight_result = _check.elementwise(outs[1], weight_result)
        grad_weight = np.empty_like(slopes)
        compiled.prelu_weight(residual, x, grad_weight)
    if for_input:
        flat = writeable_flat(input_result, grad_output, input, slopes)
        compiled.prelu_input(residual, x, slopes, flat)
        grad_input = delivered(flat, input_result)
    # Last, as it may be the weight itself.
    if grad_weight is None:
        return grad_input, None
    return grad_input, delivered(grad_weight.reshape(weight.shape), weight_result)


def _slopes(input: Array, weight: Array) -> Array:
    """Return the contiguous weights of `prelu`, one of which may stand for all."""
    weight = _check.array("weight", weight)
    _check.same_dtype("weight", weight, "input", input)
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.shape not in ((), (1,), (channels,)):
        raise ValueError(
            f"weight must have shape (), (1,) or (C,) = ({channels},) for an input of shape "
            f"{input.shape}, got {weight.shape}"
        )
    return np.ascontiguousarray(weight)


def _range(min_val: float, max_val: float) -> tuple[float, float]:
    """Return the limits of `hardtanh`."""
    low, high = _check.number("min_val", min_val), _check.number("max_val", max_val)
    if not low <= high:
        raise ValueError(f"min_val must not be above max_val, got {low} and {high}")
    return low, high


def _ramp(alpha: float, beta: float) -> tuple[float, float, float]:
    """Return the slope of `hardsigmoid`, minus where it begins, and how far it goes."""
    if alpha is SIXTH and beta is HALF:
        return RAMP
    alpha, beta = _check.number("alpha", alpha), _check.number("beta", beta)
    if not 0 < alpha < inf:
        raise ValueError(f"alpha must be positive and finite, got {alpha}")
    return alpha, beta / alpha, 1 / alpha


def _two(name: str, values: object) -> tuple[Any, Any]:
    """Return what there is for the input and for the weight."""
    if not isinstance(values, tuple | list) or len(values) != 2:
        raise ValueError(f"{name} must have an entry for input and one for weight, got {values!r}")
    return values[0], values[1]
