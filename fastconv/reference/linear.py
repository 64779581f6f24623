"""The full connection and its gradients."""

import numpy as np

from fastconv.reference._arguments import Array, expect_axes, expect_shape, float_dtype


def linear(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
) -> Array:
    """Connect every input with every output: the forward pass of a full connection.

    Parameters
    ----------
    input : numpy.ndarray of shape (..., I)
        Activations a of the previous layer, float32 or float64.
    weight : numpy.ndarray of shape (O, I)
        Weights W.
    bias : numpy.ndarray of shape (O,), optional
        Biases b.
    alpha, beta : float, default 1
        Factors of the two terms.

    Returns
    -------
    numpy.ndarray of shape (..., O)
        The weighted input z of the layer.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    TypeError
        If the arrays are not all float32 or all float64.

    Notes
    -----
    For every sample, ``z = alpha W a + beta b``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import linear
    >>> linear(np.array([1.0, 10]), np.array([[1.0, 2], [3, 4]]), np.array([100.0, 200]))
    array([121., 243.])
    """
    dtype = float_dtype(input=input, weight=weight, bias=bias)
    expect_axes("weight", weight.ndim, (2,))
    outputs, inputs = weight.shape
    expect_shape("input", input, (*input.shape[:-1], inputs))
    z = alpha * (input.astype(np.float64) @ weight.astype(np.float64).T)
    if bias is not None:
        expect_shape("bias", bias, (outputs,))
        z = z + beta * bias.astype(np.float64)
    return z.astype(dtype)


def linear_backward(
    grad_output: Array,
    input: Array,
    weight: Array,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Compute the gradients of `linear`.

    Parameters
    ----------
    grad_output : numpy.ndarray of shape (..., O)
        Residual delta of this layer.
    input : numpy.ndarray of shape (..., I)
        Activations a of the previous layer.
    weight : numpy.ndarray of shape (O, I)
        Weights W.
    alpha, beta : float, default 1
        As in `linear`.
    output_mask : tuple of three bool, default (True, True, True)
        Which of the gradients are wanted.

    Returns
    -------
    grad_input, grad_weight, grad_bias : numpy.ndarray or None
        The gradients; None where not wanted.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    TypeError
        If the arrays are not all float32 or all float64.

    Notes
    -----
    For every sample, the weight and bias gradients summed over the samples::

        dJ/da = alpha W^T delta        dJ/dW = alpha delta a^T        dJ/db = beta delta

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import linear_backward
    >>> residual, a, w = np.array([1.0, 10]), np.array([3.0, 5]), np.array([[1.0, 2], [3, 4]])
    >>> grad_input, grad_weight, grad_bias = linear_backward(residual, a, w)
    >>> grad_input
    array([31., 42.])
    >>> grad_weight
    array([[ 3.,  5.],
           [30., 50.]])
    """
    dtype = float_dtype(grad_output=grad_output, input=input, weight=weight)
    expect_axes("weight", weight.ndim, (2,))
    outputs, inputs = weight.shape
    expect_shape("input", input, (*input.shape[:-1], inputs))
    expect_shape("grad_output", grad_output, (*input.shape[:-1], outputs))
    samples = int(np.prod(input.shape[:-1]))
    delta = grad_output.reshape(samples, outputs).astype(np.float64)
    a = input.reshape(samples, inputs).astype(np.float64)
    wants_input, wants_weight, wants_bias = output_mask
    return (
        (alpha * (delta @ weight.astype(np.float64))).reshape(input.shape).astype(dtype)
        if wants_input
        else None,
        (alpha * (delta.T @ a)).astype(dtype) if wants_weight else None,
        (beta * delta.sum(axis=0)).astype(dtype) if wants_bias else None,
    )
