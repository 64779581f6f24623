"""Activations of straight pieces (and one of a parabola) with their gradients.

z is the weighted input, a the output.
"""

import numpy as np

from fastconv.reference._arguments import Array, expect_shape, float_dtype
from fastconv.reference._elementwise import applied, chained, documented


@documented
def relu(input: Array) -> Array:
    """Compute max(input, 0).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import relu
    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return applied(lambda z: np.maximum(z, 0), input)


@documented
def relu_backward(grad_output: Array, output: Array) -> Array:
    """Multiply the residual by the slope of `relu`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import relu_backward
    >>> relu_backward(np.array([5.0, 5.0]), np.array([0.0, 2.0]))
    array([0., 5.])
    """
    return chained(lambda a: ~(a <= 0), grad_output, "output", output)


@documented
def relu6(input: Array) -> Array:
    """Compute the input cut off below 0 and above 6.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import relu6
    >>> relu6(np.array([-1.0, 2.0, 9.0]))
    array([0., 2., 6.])
    """
    return applied(lambda z: np.clip(z, 0, 6), input)


@documented
def relu6_backward(grad_output: Array, output: Array) -> Array:
    """Multiply the residual by the slope of `relu6`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import relu6_backward
    >>> relu6_backward(np.array([5.0, 5.0]), np.array([6.0, 2.0]))
    array([0., 5.])
    """
    return chained(lambda a: ~((a <= 0) | (a >= 6)), grad_output, "output", output)


@documented
def hardtanh(input: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """Compute the input cut off below min_val and above max_val.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import hardtanh
    >>> hardtanh(np.array([-3.0, 0.5, 3.0]))
    array([-1. ,  0.5,  1. ])
    """
    return applied(lambda z: np.clip(z, min_val, max_val), input)


@documented
def hardtanh_backward(
    grad_output: Array, output: Array, min_val: float = -1.0, max_val: float = 1.0
) -> Array:
    """Multiply the residual by the slope of `hardtanh`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import hardtanh_backward
    >>> hardtanh_backward(np.array([5.0, 5.0]), np.array([-1.0, 0.5]))
    array([0., 5.])
    """
    return chained(lambda a: ~((a <= min_val) | (a >= max_val)), grad_output, "output", output)


@documented
def leaky_relu(input: Array, negative_slope: float = 0.01) -> Array:
    """Compute input where it is positive, else negative_slope * input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import leaky_relu
    >>> leaky_relu(np.array([-1.0, 2.0]), 0.1)
    array([-0.1,  2. ])
    """
    slope = input.dtype.type(negative_slope)
    return applied(lambda z: np.where(z > 0, z, slope * z), input)


@documented
def leaky_relu_backward(grad_output: Array, input: Array, negative_slope: float = 0.01) -> Array:
    """Multiply the residual by the slope of `leaky_relu`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import leaky_relu_backward
    >>> leaky_relu_backward(np.array([5.0, 5.0]), np.array([-1.0, 2.0]), 0.1)
    array([0.5, 5. ])
    """
    negative = input.dtype.type(negative_slope)
    return chained(lambda z: np.where(z > 0, 1, negative), grad_output, "input", input)


@documented
def hardsigmoid(input: Array, *, alpha: float = 1 / 6, beta: float = 0.5) -> Array:
    """Compute alpha * input + beta, cut off below 0 and above 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import hardsigmoid
    >>> hardsigmoid(np.array([-3.0, 0.0, 3.0]))
    array([0. , 0.5, 1. ])
    """
    return applied(lambda z: np.clip(z + beta / alpha, 0, 1 / alpha) * alpha, input)


@documented
def hardsigmoid_backward(
    grad_output: Array, input: Array, *, alpha: float = 1 / 6, beta: float = 0.5
) -> Array:
    """Multiply the residual by the slope of `hardsigmoid`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import hardsigmoid_backward
    >>> hardsigmoid_backward(np.array([6.0, 6.0]), np.array([0.0, 3.0]))
    array([1., 0.])
    """
    first, last = -beta / alpha, (1 - beta) / alpha
    return chained(
        lambda z: np.where((z <= first) | (z >= last), 0, alpha), grad_output, "input", input
    )


@documented
def hardswish(input: Array) -> Array:
    """Compute input * hardsigmoid(input); 0 for minus infinity.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import hardswish
    >>> hardswish(np.array([1.5, 3.0]))
    array([1.125, 3.   ])
    """
    return applied(lambda z: np.where(z <= -3, 0, z * np.clip(z + 3, 0, 6) / 6), input)


@documented
def hardswish_backward(grad_output: Array, input: Array) -> Array:
    """Multiply the residual by the slope of `hardswish`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import hardswish_backward
    >>> hardswish_backward(np.array([4.0]), np.array([0.0]))
    array([2.])
    """
    return chained(
        lambda z: np.where(z <= -3, 0, np.where(z >= 3, 1, z / 3 + 1 / 2)),
        grad_output,
        "input",
        input,
    )


@documented
def prelu(input: Array, weight: Array) -> Array:
    """Multiply what is not positive by its channel's weight.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import prelu
    >>> prelu(np.array([[-1.0, -1.0]]), np.array([0.1, 0.2]))
    array([[-0.1, -0.2]])
    """
    dtype = float_dtype(input=input, weight=weight)
    return np.where(input > 0, input, _spread(input, weight) * input).astype(dtype)


def prelu_backward(
    grad_output: Array,
    input: Array,
    weight: Array,
    *,
    output_mask: tuple[bool, bool] = (True, True),
) -> tuple[Array | None, Array | None]:
    """Compute the gradients of `prelu` with respect to input and weight.

    Parameters
    ----------
    grad_output : numpy.ndarray
        Gradient with respect to the output.
    input, weight : numpy.ndarray
        What `prelu` was given.
    output_mask : tuple of bool
        Which of the two are wanted.

    Returns
    -------
    tuple of numpy.ndarray or None
        Gradients with respect to the input and the weight.

    Raises
    ------
    ValueError
        If shapes differ.
    TypeError
        If the arrays are not all float32 or all float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import prelu_backward
    >>> x = np.array([[-1.0, -2.0, 3.0]])
    >>> prelu_backward(np.ones((1, 3)), x, np.array([0.5]))
    (array([[0.5, 0.5, 1. ]]), array([-3.]))
    """
    dtype = float_dtype(grad_output=grad_output, input=input, weight=weight)
    expect_shape("grad_output", grad_output, input.shape)
    slope = np.where(input > 0, 1, _spread(input, weight))
    share = np.where(input > 0, 0, grad_output.astype(np.float64) * input)
    if weight.size == 1:
        sums = share.sum().reshape(weight.shape)
    else:
        sums = share.sum(axis=tuple(axis for axis in range(input.ndim) if axis != 1))
    return (
        (grad_output * slope).astype(dtype) if output_mask[0] else None,
        sums.astype(dtype) if output_mask[1] else None,
    )


def _spread(input: Array, weight: Array) -> Array:
    """Give each channel's weight an axis for every axis behind the channels."""
    if weight.ndim:
        expect_shape("weight", weight, (1,) if weight.size == 1 else input.shape[1:2])
    axes = (1,) * (input.ndim - 2)
    return weight.reshape(()) if weight.size == 1 else weight.reshape(-1, *axes)
