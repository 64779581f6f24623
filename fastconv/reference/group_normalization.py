"""Normalisation of groups of channels, and its gradients."""

import numpy as np

from fastconv.reference._arguments import Array, expect_shape, float_dtype


def _along(values: Array, like: Array) -> Array:
    """View one number for each channel so that it meets an array (N, C, ...)."""
    return values.reshape(1, -1, *[1] * (like.ndim - 2))


def group_norm(
    input: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    statistics: Array | None = None,
) -> Array:
    """Normalise each group of channels of a sample by its mean and variance.

    Parameters
    ----------
    input : numpy.ndarray, shape (N, C, ...)
        Maps of float32 or float64.
    num_groups : int
        The number of groups.
    weight, bias : numpy.ndarray, shape (C,), optional
        By what a channel is multiplied, and what is added.
    eps : float
        Added to the variance.
    statistics : numpy.ndarray of float64, shape (2, N, G), optional
        Where to write mean and 1 / sqrt(variance + eps).

    Returns
    -------
    numpy.ndarray
        ``(input - mean) / sqrt(variance + eps) * weight + bias``.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import group_norm
    >>> group_norm(np.array([[1.0, 3.0, 2.0, 6.0]]), 2, eps=0)
    array([[-1.,  1., -1.,  1.]])
    """
    dtype = float_dtype(input=input, weight=weight, bias=bias)
    rows = input.astype(np.float64).reshape(input.shape[0], num_groups, -1)
    mean, variance = rows.mean(2), rows.var(2)
    inverse = 1 / np.sqrt(variance + eps)
    if statistics is not None:
        statistics[0], statistics[1] = mean, inverse
    y: Array = ((rows - mean[:, :, None]) * inverse[:, :, None]).reshape(input.shape)
    if weight is not None:
        y = y * _along(weight, y)
    if bias is not None:
        y = y + _along(bias, y)
    return y.astype(dtype)


def group_norm_backward(
    grad_output: Array,
    input: Array,
    num_groups: int,
    statistics: Array,
    weight: Array | None = None,
    *,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Return the gradients of `group_norm` with respect to input, weight and bias.

    Parameters
    ----------
    grad_output, input : numpy.ndarray, shape (N, C, ...)
        The residual, and the input of `group_norm`.
    num_groups : int
        The number of groups.
    statistics : numpy.ndarray of float64, shape (2, N, G)
        What `group_norm` wrote.
    weight : numpy.ndarray, shape (C,), optional
        As in `group_norm`.
    output_mask : tuple of three bool
        Which of the three to return; the others are None.

    Returns
    -------
    grad_input, grad_weight, grad_bias : numpy.ndarray or None
        As in `batch_norm_backward`, with the weight inside the means.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import group_norm_backward
    >>> x, saved = np.array([[-1.0, 1.0]]), np.array([[[0.0]], [[1.0]]])
    >>> group_norm_backward(x, x, 1, saved)[1]
    array([1., 1.])
    """
    dtype = float_dtype(grad_output=grad_output, input=input, weight=weight)
    expect_shape("grad_output", grad_output, input.shape)
    expect_shape("statistics", statistics, (2, input.shape[0], num_groups))
    mean, inverse = statistics[..., None]
    shape = (input.shape[0], num_groups, -1)
    g = grad_output.astype(np.float64)
    h = (input.astype(np.float64).reshape(shape) - mean) * inverse
    axes = (0, *range(2, input.ndim))
    grad_weight, grad_bias = (g * h.reshape(g.shape)).sum(axes), g.sum(axes)
    rows = (g if weight is None else g * _along(weight, g)).reshape(shape)
    rows = rows - rows.mean(2, keepdims=True) - h * (rows * h).mean(2, keepdims=True)
    gradients = ((rows * inverse).reshape(input.shape), grad_weight, grad_bias)
    first, second, third = (
        gradient.astype(dtype) if wanted else None
        for gradient, wanted in zip(gradients, output_mask, strict=True)
    )
    return first, second, third
