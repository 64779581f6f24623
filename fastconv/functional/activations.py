"""Smooth activations and their gradients.

A gradient takes the output of `sigmoid` and `tanh`, the input of the others. Errors are in units in
the last place (ulp) of the result; results below 1e-34 (float32) or 1e-300 (float64) may come out
as 0. Slopes err by less than 4 eps.
"""

from fastconv import _check
from fastconv._check import Array
from fastconv.functional._elementwise import documented, graded, mapped

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


@documented
def elu(input: Array, alpha: float = 1.0, *, out: Array | None = None) -> Array:
    """Return input where it is positive, else alpha * (exp(input) - 1), within 2 ulp.

    D.-A. Clevert et al., "Fast and accurate deep network learning by exponential linear units",
    2016.

    Parameters
    ----------
    alpha : float
        Minus the limit for very negative inputs.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.elu(np.array([-1000.0, 2.0]))
    array([-1.,  2.])
    """
    alpha = _check.number("alpha", alpha)
    return mapped("elu", input, out, alpha, 1.0, 1.0)


@documented
def elu_backward(
    grad_output: Array, input: Array, alpha: float = 1.0, *, out: Array | None = None
) -> Array:
    """Return the gradient of `elu`.

    It is grad_output, times alpha * exp(input) where input is not positive.

    Parameters
    ----------
    alpha : float
        As in `elu`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.elu_backward(np.array([5.0, 5.0]), np.array([-1000.0, 2.0]))
    array([0., 5.])
    """
    alpha = _check.number("alpha", alpha)
    return graded("elu", grad_output, "input", input, out, alpha, 1.0, 1.0)


@documented
def selu(
    input: Array,
    *,
    alpha: float = SELU_ALPHA,
    scale: float = SELU_SCALE,
    out: Array | None = None,
) -> Array:
    """Return scale * elu(input, alpha), within 3 ulp.

    With 1.0507 and 1.6733, the defaults, outputs keep mean 0 and variance 1. G. Klambauer et al.,
    "Self-normalizing neural networks", 2017.

    Parameters
    ----------
    alpha, scale : float
        Minus the limit of elu for very negative inputs, and what multiplies it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.selu(np.array([0.0, 1.0]))
    array([0.        , 1.05070099])
    """
    return mapped("elu", input, out, *_selu_options(alpha, scale))


@documented
def selu_backward(
    grad_output: Array,
    input: Array,
    *,
    alpha: float = SELU_ALPHA,
    scale: float = SELU_SCALE,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `selu`.

    It is scale * grad_output, times alpha * exp(input) where input is not positive.

    Parameters
    ----------
    alpha, scale : float
        As in `selu`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.selu_backward(np.array([1.0, 1.0]), np.array([-1000.0, 2.0]))
    array([0.        , 1.05070099])
    """
    return graded("elu", grad_output, "input", input, out, *_selu_options(alpha, scale))


def _selu_options(alpha: float, scale: float) -> tuple[float, float, float]:
    """Return the options of the compiled elu, which takes the product of the two."""
    alpha, scale = _check.number("alpha", alpha), _check.number("scale", scale)
    return scale * alpha, scale, 1.0


@documented
def celu(input: Array, alpha: float = 1.0, *, out: Array | None = None) -> Array:
    """Return input where it is positive, else alpha * (exp(input/alpha) - 1).

    The error grows with abs(input/alpha): it is below (3 + abs(input/alpha)) ulp. J. T. Barron,
    "Continuously differentiable exponential linear units", 2017.

    Parameters
    ----------
    alpha : float
        Minus the limit for very negative inputs; positive.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.celu(np.array([-1000.0, 2.0]), 0.5)
    array([-0.5,  2. ])
    """
    alpha = _positive("alpha", alpha)
    return mapped("elu", input, out, alpha, 1.0, 1.0 / alpha)


@documented
def celu_backward(
    grad_output: Array, input: Array, alpha: float = 1.0, *, out: Array | None = None
) -> Array:
    """Return the gradient of `celu`.

    It is grad_output, times exp(input/alpha) where input is not positive.

    Parameters
    ----------
    alpha : float
        As in `celu`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.celu_backward(np.array([5.0, 5.0]), np.array([-1000.0, 2.0]), 0.5)
    array([0., 5.])
    """
    alpha = _positive("alpha", alpha)
    return graded("elu", grad_output, "input", input, out, alpha, 1.0, 1.0 / alpha)


@documented
def sigmoid(input: Array, *, out: Array | None = None) -> Array:
    """Return 1 / (1 + exp(-input)), without overflow, within 3 ulp.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    return mapped("sigmoid", input, out)


@documented
def sigmoid_backward(grad_output: Array, output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of `sigmoid`: grad_output * output * (1 - output).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.sigmoid_backward(np.array([1.0]), np.array([0.5]))
    array([0.25])
    """
    return graded("sigmoid", grad_output, "output", output, out)


@documented
def tanh(input: Array, *, out: Array | None = None) -> Array:
    """Return the hyperbolic tangent, within 3 ulp.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.tanh(np.array([0.0, 1000.0]))
    array([0., 1.])
    """
    return mapped("tanh", input, out)


@documented
def tanh_backward(grad_output: Array, output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of `tanh`: grad_output * (1 - output**2).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.tanh_backward(np.array([4.0]), np.array([0.5]))
    array([3.])
    """
    return graded("tanh", grad_output, "output", output, out)


@documented
def logsigmoid(input: Array, *, out: Array | None = None) -> Array:
    """Return log(sigmoid(input)), accurate where sigmoid is nearly 0 or 1, within 3 ulp.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.logsigmoid(np.array([-1000.0]))
    array([-1000.])
    """
    return mapped("logsigmoid", input, out)


@documented
def logsigmoid_backward(grad_output: Array, input: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of `logsigmoid`: grad_output * sigmoid(-input).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.logsigmoid_backward(np.array([4.0]), np.array([0.0]))
    array([2.])
    """
    return graded("logsigmoid", grad_output, "input", input, out)


@documented
def softplus(
    input: Array, beta: float = 1.0, threshold: float = 20.0, *, out: Array | None = None
) -> Array:
    """Return log(1 + exp(beta * input)) / beta, within 4 ulp; input itself beyond the threshold.

    Parameters
    ----------
    beta : float
        How sharply the function bends; not 0.
    threshold : float
        The input counts as large where beta * input is above it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.softplus(np.array([-1000.0, 1000.0]))
    array([   0., 1000.])
    """
    beta, limit = _softplus(beta, threshold)
    return mapped("softplus", input, out, beta, limit, 1.0 / beta)


@documented
def softplus_backward(
    grad_output: Array,
    input: Array,
    beta: float = 1.0,
    threshold: float = 20.0,
    *,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `softplus`.

    It is grad_output * sigmoid(beta * input), grad_output beyond the threshold.

    Parameters
    ----------
    beta, threshold : float
        As in `softplus`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.softplus_backward(np.array([4.0]), np.array([0.0]))
    array([2.])
    """
    beta, limit = _softplus(beta, threshold)
    return graded("softplus", grad_output, "input", input, out, beta, limit, 1.0 / beta)


@documented
def softsign(input: Array, *, out: Array | None = None) -> Array:
    """Return input / (1 + abs(input)), within 2 ulp; 1 for an infinity.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.softsign(np.array([-1.0, 3.0]))
    array([-0.5 ,  0.75])
    """
    return mapped("softsign", input, out)


@documented
def softsign_backward(grad_output: Array, input: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of `softsign`: grad_output / (1 + abs(input))**2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.softsign_backward(np.array([4.0]), np.array([1.0]))
    array([1.])
    """
    return graded("softsign", grad_output, "input", input, out)


@documented
def silu(input: Array, *, out: Array | None = None) -> Array:
    """Return input * sigmoid(input), within 4 ulp; 0 for minus infinity.

    S. Elfwing et al., "Sigmoid-weighted linear units for neural network function approximation",
    2018.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.silu(np.array([-1000.0, 1000.0]))
    array([   0., 1000.])
    """
    return mapped("silu", input, out)


@documented
def silu_backward(grad_output: Array, input: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of `silu`.

    It is grad_output * s * (1 + input * (1 - s)) with s = sigmoid(input).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.silu_backward(np.array([4.0]), np.array([0.0]))
    array([2.])
    """
    return graded("silu", grad_output, "input", input, out)


@documented
def mish(input: Array, *, out: Array | None = None) -> Array:
    """Return input * tanh(softplus(input)), within 5 ulp; 0 for minus infinity.

    D. Misra, "Mish: a self regularized non-monotonic activation function", 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.mish(np.array([0.0, 1000.0]))
    array([   0., 1000.])
    """
    return mapped("mish", input, out)


@documented
def mish_backward(grad_output: Array, input: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of `mish`.

    It is with t = tanh(softplus(input)), grad_output * (t + input * sigmoid(input) * (1 - t**2)).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.mish_backward(np.array([5.0]), np.array([0.0]))
    array([3.])
    """
    return graded("mish", grad_output, "input", input, out)


@documented
def gelu(input: Array, approximate: str = "none", *, out: Array | None = None) -> Array:
    """Return input * P(X < input), where X is a standard normal variable.

    Within 8 ulp, also where the probability is small. D. Hendrycks and K. Gimpel, "Gaussian error
    linear units", 2016.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        "tanh" is (1 + tanh(sqrt(2/pi) * (input + 0.044715 * input**3))) / 2 in place of the
        probability, within 3 eps times the larger of 1 and the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.gelu(np.array([-1.0, 0.0, 1.0]))
    array([-0.15865525,  0.        ,  0.84134475])
    """
    return mapped(_form(approximate), input, out)


@documented
def gelu_backward(
    grad_output: Array, input: Array, approximate: str = "none", *, out: Array | None = None
) -> Array:
    """Return the gradient of `gelu`: grad_output * (P(X < input) + input * density(input)).

    Parameters
    ----------
    approximate : {"none", "tanh"}
        As in `gelu`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.gelu_backward(np.array([4.0]), np.array([0.0]))
    array([2.])
    """
    return graded(_form(approximate), grad_output, "input", input, out)


def _form(approximate: object) -> str:
    """Return the name of the loop."""
    forms = {"none": "gelu", "tanh": "gelu_tanh"}
    if not isinstance(approximate, str) or approximate not in forms:
        raise ValueError(f"approximate must be 'none' or 'tanh', got {approximate!r}")
    return forms[approximate]


def _positive(name: str, value: object) -> float:
    number = _check.number(name, value)
    if not number > 0:
        raise ValueError(f"{name} must be positive, got {number}")
    return number


def _softplus(beta: object, threshold: object) -> tuple[float, float]:
    """Return the options of `softplus`."""
    steepness = _check.number("beta", beta)
    if steepness == 0:
        raise ValueError("beta must not be 0")
    return steepness, _check.number("threshold", threshold)
