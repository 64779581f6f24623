"""Normalisation over the last axes, and its gradients."""

import numpy as np

from fastconv.reference._arguments import Array, expect_shape, float_dtype


def layer_norm(
    input: Array,
    normalized_shape: int | tuple[int, ...],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    statistics: Array | None = None,
) -> Array:
    """Normalise by mean and variance over the last axes.

    Parameters
    ----------
    input : numpy.ndarray, shape (*rows, *normalized_shape)
        Float32 or float64.
    normalized_shape : int or tuple of int
        The lengths of the axes that mean and variance run over.
    weight, bias : numpy.ndarray, shape `normalized_shape`, optional
        By what the result is multiplied, and what is added.
    eps : float
        Added to the variance.
    statistics : numpy.ndarray of float64, shape (2, *rows), optional
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
    >>> from fastconv.reference import layer_norm
    >>> layer_norm(np.array([[1.0, 3.0], [2.0, 6.0]]), 2, eps=0)
    array([[-1.,  1.],
           [-1.,  1.]])
    """
    dtype = float_dtype(input=input, weight=weight, bias=bias)
    axes = _last_axes(normalized_shape)
    x = input.astype(np.float64)
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    inverse = 1 / np.sqrt(variance + eps)
    if statistics is not None:
        statistics[0], statistics[1] = mean.squeeze(axes), inverse.squeeze(axes)
    y: Array = (x - mean) * inverse
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    return y.astype(dtype)


def layer_norm_backward(
    grad_output: Array,
    input: Array,
    normalized_shape: int | tuple[int, ...],
    statistics: Array,
    weight: Array | None = None,
    *,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Return the gradients of `layer_norm` with respect to input, weight and bias.

    Parameters
    ----------
    grad_output, input : numpy.ndarray, shape (*rows, *normalized_shape)
        The residual, and the input of `layer_norm`.
    normalized_shape : int or tuple of int
        As in `layer_norm`.
    statistics : numpy.ndarray of float64, shape (2, *rows)
        What `layer_norm` wrote.
    weight : numpy.ndarray, shape `normalized_shape`, optional
        As in `layer_norm`.
    output_mask : tuple of three bool
        Which of the three to return; the others are None.

    Returns
    -------
    grad_input, grad_weight, grad_bias : numpy.ndarray or None
        With h the normalised input and g the residual times the weight: g less its mean and h times
        the mean of g h, over sqrt(variance + eps); the sums of the residual times h; its sums.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import layer_norm_backward
    >>> x, saved = np.array([[-1.0, 1.0]]), np.array([[0.0], [1.0]])
    >>> layer_norm_backward(x, x, 2, saved)[1]
    array([1., 1.])
    """
    dtype = float_dtype(grad_output=grad_output, input=input, weight=weight)
    axes = _last_axes(normalized_shape)
    rows = tuple(range(input.ndim - len(axes)))
    expect_shape("grad_output", grad_output, input.shape)
    expect_shape("statistics", statistics, (2, *input.shape[: len(rows)]))
    mean, inverse = np.expand_dims(statistics, axes)
    residual = grad_output.astype(np.float64)
    h = (input.astype(np.float64) - mean) * inverse
    g = residual if weight is None else residual * weight
    grad_input = inverse * (g - g.mean(axes, keepdims=True) - h * (g * h).mean(axes, keepdims=True))
    gradients = (grad_input, (residual * h).sum(rows), residual.sum(rows))
    first, second, third = (
        gradient.astype(dtype) if wanted else None
        for gradient, wanted in zip(gradients, output_mask, strict=True)
    )
    return first, second, third


def _last_axes(normalized_shape: int | tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(-np.size(normalized_shape), 0))
