"""Activations, softmax and dropout with their gradients."""

import numpy as np

from fastconv.reference._arguments import Array, expect_shape, float_dtype


def relu(input: Array) -> Array:
    """Cut off what is negative.

    Parameters
    ----------
    input : numpy.ndarray
        Weighted input z, float32 or float64, of any shape.

    Returns
    -------
    numpy.ndarray
        ``max(z, 0)``.

    Raises
    ------
    TypeError
        If the input is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import relu
    >>> relu(np.array([-1.0, 2]))
    array([0., 2.])
    """
    return np.maximum(input, 0).astype(float_dtype(input=input))


def relu_backward(grad_output: Array, output: Array) -> Array:
    """Let the residual pass where the output is positive.

    Parameters
    ----------
    grad_output : numpy.ndarray
        Gradient with respect to the output.
    output : numpy.ndarray
        What `relu` returned.

    Returns
    -------
    numpy.ndarray
        Gradient with respect to the input: `grad_output`, zero where the output is zero.

    Raises
    ------
    ValueError
        If the shapes differ.
    TypeError
        If the arrays are not all float32 or all float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import relu_backward
    >>> relu_backward(np.array([5.0, 5]), np.array([0.0, 2]))
    array([0., 5.])
    """
    dtype = float_dtype(grad_output=grad_output, output=output)
    expect_shape("grad_output", grad_output, output.shape)
    return np.where(output <= 0, 0, grad_output).astype(dtype)


def leaky_relu(input: Array, negative_slope: float = 0.01) -> Array:
    """Flatten what is negative.

    Parameters
    ----------
    input : numpy.ndarray
        Weighted input z, float32 or float64, of any shape.
    negative_slope : float, default 0.01
        Slope below zero.

    Returns
    -------
    numpy.ndarray
        z where it is positive, ``negative_slope * z`` elsewhere.

    Raises
    ------
    TypeError
        If the input is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import leaky_relu
    >>> leaky_relu(np.array([-1.0, 2]), 0.5)
    array([-0.5,  2. ])
    """
    dtype = float_dtype(input=input)
    return np.where(input > 0, input, input * negative_slope).astype(dtype)


def leaky_relu_backward(grad_output: Array, input: Array, negative_slope: float = 0.01) -> Array:
    """Multiply the residual by the slope at the input.

    Parameters
    ----------
    grad_output : numpy.ndarray
        Gradient with respect to the output.
    input : numpy.ndarray
        What `leaky_relu` was given.
    negative_slope : float, default 0.01
        Slope below zero.

    Returns
    -------
    numpy.ndarray
        Gradient with respect to the input.

    Raises
    ------
    ValueError
        If the shapes differ.
    TypeError
        If the arrays are not all float32 or all float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import leaky_relu_backward
    >>> leaky_relu_backward(np.array([4.0, 4]), np.array([-1.0, 2]), 0.5)
    array([2., 4.])
    """
    dtype = float_dtype(grad_output=grad_output, input=input)
    expect_shape("grad_output", grad_output, input.shape)
    return np.where(input > 0, grad_output, grad_output * negative_slope).astype(dtype)


def sigmoid(input: Array) -> Array:
    """Squash to the range from 0 to 1.

    Parameters
    ----------
    input : numpy.ndarray
        Weighted input z, float32 or float64, of any shape.

    Returns
    -------
    numpy.ndarray
        ``1 / (1 + exp(-z))``.

    Raises
    ------
    TypeError
        If the input is not an array of float32 or float64.

    Notes
    -----
    For negative z it is computed as ``exp(z) / (1 + exp(z))``, which cannot overflow.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import sigmoid
    >>> sigmoid(np.array([-1000.0, 0, 1000]))
    array([0. , 0.5, 1. ])
    """
    dtype = float_dtype(input=input)
    decay = np.exp(-np.abs(input.astype(np.float64)))
    return np.where(input < 0, decay / (1 + decay), 1 / (1 + decay)).astype(dtype)


def sigmoid_backward(grad_output: Array, output: Array) -> Array:
    """Multiply the residual by the slope of the sigmoid, ``a (1 - a)``.

    Parameters
    ----------
    grad_output : numpy.ndarray
        Gradient with respect to the output.
    output : numpy.ndarray
        What `sigmoid` returned, a.

    Returns
    -------
    numpy.ndarray
        Gradient with respect to the input.

    Raises
    ------
    ValueError
        If the shapes differ.
    TypeError
        If the arrays are not all float32 or all float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import sigmoid_backward
    >>> sigmoid_backward(np.array([8.0]), np.array([0.5]))
    array([2.])
    """
    dtype = float_dtype(grad_output=grad_output, output=output)
    expect_shape("grad_output", grad_output, output.shape)
    a = output.astype(np.float64)
    return (grad_output * (a * (1 - a))).astype(dtype)


def tanh(input: Array) -> Array:
    """Squash to the range from -1 to 1.

    Parameters
    ----------
    input : numpy.ndarray
        Weighted input z, float32 or float64, of any shape.

    Returns
    -------
    numpy.ndarray
        ``(exp(z) - exp(-z)) / (exp(z) + exp(-z))``.

    Raises
    ------
    TypeError
        If the input is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import tanh
    >>> tanh(np.array([-1000.0, 0, 1000]))
    array([-1.,  0.,  1.])
    """
    dtype = float_dtype(input=input)
    return np.tanh(input.astype(np.float64)).astype(dtype)


def tanh_backward(grad_output: Array, output: Array) -> Array:
    """Multiply the residual by the slope of the hyperbolic tangent, ``1 - a^2``.

    Parameters
    ----------
    grad_output : numpy.ndarray
        Gradient with respect to the output.
    output : numpy.ndarray
        What `tanh` returned, a.

    Returns
    -------
    numpy.ndarray
        Gradient with respect to the input.

    Raises
    ------
    ValueError
        If the shapes differ.
    TypeError
        If the arrays are not all float32 or all float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import tanh_backward
    >>> tanh_backward(np.array([8.0]), np.array([0.5]))
    array([6.])
    """
    dtype = float_dtype(grad_output=grad_output, output=output)
    expect_shape("grad_output", grad_output, output.shape)
    a = output.astype(np.float64)
    return (grad_output * (1 - a * a)).astype(dtype)


def softmax(input: Array, axis: int = -1) -> Array:
    """Turn scores into probabilities.

    Parameters
    ----------
    input : numpy.ndarray
        Scores z, float32 or float64.
    axis : int, default -1
        The axis along which the probabilities sum to 1.

    Returns
    -------
    numpy.ndarray
        ``p_i = exp(z_i) / sum_j exp(z_j)``.

    Raises
    ------
    TypeError
        If the input is not an array of float32 or float64.

    Notes
    -----
    The largest score is subtracted first, which changes nothing but keeps exp from overflowing.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import softmax
    >>> softmax(np.log([[1.0, 2, 5]]))
    array([[0.125, 0.25 , 0.625]])
    """
    dtype = float_dtype(input=input)
    z = input.astype(np.float64)
    powers = np.exp(z - z.max(axis=axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True)).astype(dtype)


def softmax_backward(grad_output: Array, output: Array, axis: int = -1) -> Array:
    """Compute the gradient of `softmax` with respect to the scores.

    Parameters
    ----------
    grad_output : numpy.ndarray
        Gradient g with respect to the probabilities.
    output : numpy.ndarray
        What `softmax` returned, p.
    axis : int, default -1
        The axis of the probabilities.

    Returns
    -------
    numpy.ndarray
        ``p_i (g_i - sum_j g_j p_j)``.

    Raises
    ------
    ValueError
        If the shapes differ.
    TypeError
        If the arrays are not all float32 or all float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import softmax_backward
    >>> softmax_backward(np.array([4.0, 0]), np.array([0.25, 0.75]))
    array([ 0.75, -0.75])
    """
    dtype = float_dtype(grad_output=grad_output, output=output)
    expect_shape("grad_output", grad_output, output.shape)
    g, p = grad_output.astype(np.float64), output.astype(np.float64)
    return np.asarray(p * (g - (g * p).sum(axis=axis, keepdims=True))).astype(dtype)


def log_softmax(input: Array, axis: int = -1) -> Array:
    """Compute the logarithm of `softmax`.

    Parameters
    ----------
    input : numpy.ndarray
        Scores z, float32 or float64.
    axis : int, default -1
        The axis along which the probabilities sum to 1.

    Returns
    -------
    numpy.ndarray
        ``z_i - log sum_j exp(z_j)``.

    Raises
    ------
    TypeError
        If the input is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import log_softmax
    >>> log_softmax(np.array([0.0, -1000]))
    array([    0., -1000.])
    """
    dtype = float_dtype(input=input)
    z = input.astype(np.float64)
    z = z - z.max(axis=axis, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=axis, keepdims=True))).astype(dtype)


def log_softmax_backward(grad_output: Array, output: Array, axis: int = -1) -> Array:
    """Compute the gradient of `log_softmax` with respect to the scores.

    Parameters
    ----------
    grad_output : numpy.ndarray
        Gradient g with respect to the logarithms.
    output : numpy.ndarray
        What `log_softmax` returned, log p.
    axis : int, default -1
        The axis of the probabilities.

    Returns
    -------
    numpy.ndarray
        ``g_i - p_i sum_j g_j``.

    Raises
    ------
    ValueError
        If the shapes differ.
    TypeError
        If the arrays are not all float32 or all float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import log_softmax_backward
    >>> log_softmax_backward(np.array([4.0, 0]), np.log([0.25, 0.75]))
    array([ 3., -3.])
    """
    dtype = float_dtype(grad_output=grad_output, output=output)
    expect_shape("grad_output", grad_output, output.shape)
    g, p = grad_output.astype(np.float64), np.exp(output.astype(np.float64))
    return np.asarray(g - p * g.sum(axis=axis, keepdims=True)).astype(dtype)


def dropout(
    input: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    rng: np.random.Generator | int | None = None,
) -> tuple[Array, Array]:
    """Switch off cells at random and scale up the rest.

    Parameters
    ----------
    input : numpy.ndarray
        Activations, float32 or float64, of any shape.
    p : float, default 0.5
        The probability with which a cell is switched off.
    training : bool, default True
        If False nothing is switched off or scaled.
    rng : numpy.random.Generator or int, optional
        Where the randomness comes from: a generator or a seed for one.

    Returns
    -------
    output : numpy.ndarray
        ``input / (1 - p)`` where the mask is True, zero elsewhere.
    mask : numpy.ndarray of bool
        The cells that stay: those where ``rng.random(input.shape) >= p``.

    Raises
    ------
    ValueError
        If p is no probability.
    TypeError
        If the input is not an array of float32 or float64.

    Notes
    -----
    The scale keeps the mean of a cell as it was (Srivastava et al., JMLR 15, 2014).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import dropout
    >>> output, mask = dropout(np.ones(6), 0.5, rng=1)
    >>> output
    array([2., 2., 0., 2., 0., 0.])
    """
    dtype = float_dtype(input=input)
    scale = _dropout_scale(p, dtype)
    if not training:
        return input.astype(dtype), np.ones(input.shape, bool)
    mask = np.random.default_rng(rng).random(input.shape) >= p
    return np.where(mask, input * scale, 0).astype(dtype), mask


def dropout_backward(grad_output: Array, mask: Array, p: float = 0.5) -> Array:
    """Let the residual pass where a cell was on, scaled as the cell was.

    Parameters
    ----------
    grad_output : numpy.ndarray
        Gradient with respect to the output.
    mask : numpy.ndarray of bool
        The mask that `dropout` returned.
    p : float, default 0.5
        The probability given to `dropout`.

    Returns
    -------
    numpy.ndarray
        Gradient with respect to the input.

    Raises
    ------
    ValueError
        If the shapes differ or p is no probability.
    TypeError
        If the residual is not an array of float32 or float64, or the mask is not one of bool.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import dropout_backward
    >>> dropout_backward(np.array([1.0, 3]), np.array([True, False]))
    array([2., 0.])
    """
    dtype = float_dtype(grad_output=grad_output)
    if mask.dtype != np.bool_:
        raise TypeError(f"mask has dtype {mask.dtype}, expected bool")
    expect_shape("mask", mask, grad_output.shape)
    scale = _dropout_scale(p, dtype)
    return np.where(mask, grad_output * scale, 0).astype(dtype)


def _dropout_scale(p: float, dtype: np.dtype[np.floating]) -> np.floating:
    if not 0 <= p <= 1:
        raise ValueError(f"p is {p}, expected a probability from 0 to 1")
    # With p = 1 no cell is left to be scaled.
    return dtype.type(1 / (1 - p) if p < 1 else 0)
