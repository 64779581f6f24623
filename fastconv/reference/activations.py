"""Smooth activations with their gradients.

z is the weighted input, a the output.
"""

from collections.abc import Callable
from math import erfc, pi, sqrt

import numpy as np

from fastconv.reference._arguments import Array
from fastconv.reference._elementwise import applied, chained, documented

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


@documented
def elu(input: Array, alpha: float = 1.0) -> Array:
    """Compute input where it is positive, else alpha * (exp(input) - 1).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import elu
    >>> elu(np.array([-1000.0, 2.0]))
    array([-1.,  2.])
    """
    return applied(lambda z: np.where(z > 0, z, alpha * np.expm1(z)), input)


@documented
def elu_backward(grad_output: Array, input: Array, alpha: float = 1.0) -> Array:
    """Multiply the residual by the slope of `elu`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import elu_backward
    >>> elu_backward(np.array([5.0, 5.0]), np.array([-1000.0, 2.0]))
    array([0., 5.])
    """
    return chained(lambda z: np.where(z > 0, 1, alpha * np.exp(z)), grad_output, "input", input)


@documented
def selu(input: Array, *, alpha: float = SELU_ALPHA, scale: float = SELU_SCALE) -> Array:
    """Compute scale * elu(input, alpha); by default, outputs keep mean 0 and variance 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import selu
    >>> selu(np.array([0.0, 1.0]))
    array([0.        , 1.05070099])
    """
    return applied(lambda z: scale * np.where(z > 0, z, alpha * np.expm1(z)), input)


@documented
def selu_backward(
    grad_output: Array, input: Array, *, alpha: float = SELU_ALPHA, scale: float = SELU_SCALE
) -> Array:
    """Multiply the residual by the slope of `selu`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import selu_backward
    >>> selu_backward(np.array([1.0, 1.0]), np.array([-1000.0, 2.0]))
    array([0.        , 1.05070099])
    """
    return chained(
        lambda z: scale * np.where(z > 0, 1, alpha * np.exp(z)),
        grad_output,
        "input",
        input,
    )


@documented
def celu(input: Array, alpha: float = 1.0) -> Array:
    """Compute input where it is positive, else alpha * (exp(input/alpha) - 1).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import celu
    >>> celu(np.array([-1000.0, 2.0]), 0.5)
    array([-0.5,  2. ])
    """
    return applied(lambda z: np.where(z > 0, z, alpha * np.expm1(z / alpha)), input)


@documented
def celu_backward(grad_output: Array, input: Array, alpha: float = 1.0) -> Array:
    """Multiply the residual by the slope of `celu`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import celu_backward
    >>> celu_backward(np.array([5.0, 5.0]), np.array([-1000.0, 2.0]), 0.5)
    array([0., 5.])
    """
    return chained(lambda z: np.where(z > 0, 1, np.exp(z / alpha)), grad_output, "input", input)


@documented
def sigmoid(input: Array) -> Array:
    """Compute 1 / (1 + exp(-input)), without overflow.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import sigmoid
    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    return applied(lambda z: _sigmoid(z), input)


@documented
def sigmoid_backward(grad_output: Array, output: Array) -> Array:
    """Multiply the residual by the slope of `sigmoid`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import sigmoid_backward
    >>> sigmoid_backward(np.array([1.0]), np.array([0.5]))
    array([0.25])
    """
    return chained(lambda a: a * (1 - a), grad_output, "output", output)


@documented
def tanh(input: Array) -> Array:
    """Compute the hyperbolic tangent.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import tanh
    >>> tanh(np.array([0.0, 1000.0]))
    array([0., 1.])
    """
    return applied(lambda z: np.tanh(z), input)


@documented
def tanh_backward(grad_output: Array, output: Array) -> Array:
    """Multiply the residual by the slope of `tanh`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import tanh_backward
    >>> tanh_backward(np.array([4.0]), np.array([0.5]))
    array([3.])
    """
    return chained(lambda a: 1 - a**2, grad_output, "output", output)


@documented
def logsigmoid(input: Array) -> Array:
    """Compute log(sigmoid(input)), accurate where sigmoid is nearly 0 or 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import logsigmoid
    >>> logsigmoid(np.array([-1000.0]))
    array([-1000.])
    """
    return applied(lambda z: -_softplus(-z), input)


@documented
def logsigmoid_backward(grad_output: Array, input: Array) -> Array:
    """Multiply the residual by the slope of `logsigmoid`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import logsigmoid_backward
    >>> logsigmoid_backward(np.array([4.0]), np.array([0.0]))
    array([2.])
    """
    return chained(lambda z: _sigmoid(-z), grad_output, "input", input)


@documented
def softplus(input: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """Compute log(1 + exp(beta * input)) / beta; input itself beyond the threshold.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import softplus
    >>> softplus(np.array([-1000.0, 1000.0]))
    array([   0., 1000.])
    """
    return applied(lambda z: np.where(beta * z > threshold, z, _softplus(beta * z) / beta), input)


@documented
def softplus_backward(
    grad_output: Array, input: Array, beta: float = 1.0, threshold: float = 20.0
) -> Array:
    """Multiply the residual by the slope of `softplus`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import softplus_backward
    >>> softplus_backward(np.array([4.0]), np.array([0.0]))
    array([2.])
    """
    return chained(
        lambda z: np.where(beta * z > threshold, 1, _sigmoid(beta * z)), grad_output, "input", input
    )


@documented
def softsign(input: Array) -> Array:
    """Compute input / (1 + abs(input)); 1 for an infinity.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import softsign
    >>> softsign(np.array([-1.0, 3.0]))
    array([-0.5 ,  0.75])
    """
    return applied(lambda z: np.where(np.isinf(z), np.sign(z), z / (1 + np.abs(z))), input)


@documented
def softsign_backward(grad_output: Array, input: Array) -> Array:
    """Multiply the residual by the slope of `softsign`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import softsign_backward
    >>> softsign_backward(np.array([4.0]), np.array([1.0]))
    array([1.])
    """
    return chained(lambda z: 1 / (1 + np.abs(z)) ** 2, grad_output, "input", input)


@documented
def silu(input: Array) -> Array:
    """Compute input * sigmoid(input); 0 for minus infinity.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import silu
    >>> silu(np.array([-1000.0, 1000.0]))
    array([  -0., 1000.])
    """
    return applied(lambda z: np.where(z == -np.inf, 0, z * _sigmoid(z)), input)


@documented
def silu_backward(grad_output: Array, input: Array) -> Array:
    """Multiply the residual by the slope of `silu`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import silu_backward
    >>> silu_backward(np.array([4.0]), np.array([0.0]))
    array([2.])
    """
    return chained(
        lambda z: _sigmoid(z) * (1 + _finite(z) * _sigmoid(-z)), grad_output, "input", input
    )


@documented
def mish(input: Array) -> Array:
    """Compute input * tanh(softplus(input)); 0 for minus infinity.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import mish
    >>> mish(np.array([0.0, 1000.0]))
    array([   0., 1000.])
    """
    return applied(lambda z: np.where(z == -np.inf, 0, z * np.tanh(_softplus(z))), input)


@documented
def mish_backward(grad_output: Array, input: Array) -> Array:
    """Multiply the residual by the slope of `mish`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import mish_backward
    >>> mish_backward(np.array([5.0]), np.array([0.0]))
    array([3.])
    """
    return chained(
        lambda z: (
            np.tanh(_softplus(z))
            + _finite(z) * _sigmoid(z) / np.cosh(np.minimum(_softplus(z), 700)) ** 2
        ),
        grad_output,
        "input",
        input,
    )


@documented
def gelu(input: Array, approximate: str = "none") -> Array:
    """Weigh the input by the probability that a standard normal variable is smaller.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import gelu
    >>> gelu(np.array([-1.0, 0.0, 1.0]))
    array([-0.15865525,  0.        ,  0.84134475])
    """
    share = _share(approximate)
    return applied(lambda z: np.where(z == -np.inf, 0, z * share(z)[0]), input)


@documented
def gelu_backward(grad_output: Array, input: Array, approximate: str = "none") -> Array:
    """Multiply the residual by the slope of `gelu`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import gelu_backward
    >>> gelu_backward(np.array([4.0]), np.array([0.0]))
    array([2.])
    """
    share = _share(approximate)

    def slope(z: Array) -> Array:
        value, derivative = share(_finite(z))
        return np.asarray(value + _finite(z) * derivative)

    return chained(slope, grad_output, "input", input)


def _share(approximate: str) -> Callable[[Array], tuple[Array, Array]]:
    """Return a function for the probability, or its approximation, and its derivative."""
    if approximate == "none":
        return _normal
    if approximate == "tanh":
        return _nearly_normal
    raise ValueError(f"approximate is {approximate!r}, expected 'none' or 'tanh'")


def _normal(z: Array) -> tuple[Array, Array]:
    # erfc keeps its accuracy where the probability is small.
    share = [erfc(-value / sqrt(2)) / 2 for value in z.ravel().tolist()]
    return np.array(share).reshape(z.shape), np.exp(-(z**2) / 2) / sqrt(2 * pi)


def _nearly_normal(z: Array) -> tuple[Array, Array]:
    # (1 + tanh(w)) / 2 = sigmoid(2 w)
    w = sqrt(2 / pi) * (z + 0.044715 * z**3)
    slope = 2 * sqrt(2 / pi) * (1 + 3 * 0.044715 * z**2)
    return _sigmoid(2 * w), slope * _sigmoid(2 * w) * _sigmoid(-2 * w)


def _sigmoid(z: Array) -> Array:
    # For negative z as exp(z) / (1 + exp(z)), which cannot overflow.
    decay = np.exp(-np.abs(z))
    return np.asarray(np.where(z < 0, decay, 1) / (1 + decay))


def _softplus(z: Array) -> Array:
    return np.asarray(np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))))


def _finite(z: Array) -> Array:
    """Return z, or a number so large that every exponential of it is 0 or a limit."""
    return np.asarray(np.clip(z, -1e4, 1e4))
