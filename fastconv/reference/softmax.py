"""Probabilities along one axis with their gradients."""

import numpy as np

from fastconv.reference._arguments import Array, expect_shape, float_dtype


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
