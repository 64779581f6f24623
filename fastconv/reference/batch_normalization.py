"""Batch normalisation, with a ReLU and a residual or without, and its gradients."""

import numpy as np

from fastconv.reference._arguments import Array, expect_shape, float_dtype


def _along(values: Array, like: Array) -> Array:
    """View one number for each channel so that it meets an array (N, C, ...)."""
    return values.reshape(1, -1, *[1] * (like.ndim - 2))


def _over_channels(x: Array) -> tuple[int, ...]:
    """Return the axes that a channel's sums run over."""
    return (0, *range(2, x.ndim))


def batch_norm(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    statistics: Array | None = None,
) -> Array:
    """Normalise each channel by its mean and variance.

    Parameters
    ----------
    input : numpy.ndarray, shape (N, C, ...)
        Maps of float32 or float64.
    running_mean, running_var : numpy.ndarray, shape (C,), or None
        Moved in place in training, where there are any; otherwise what is normalised by.
    weight, bias : numpy.ndarray, shape (C,), optional
        By what the result is multiplied, and what is added.
    training : bool
        Normalise by mean and variance of this batch.
    momentum : float
        The weight of this batch in the running statistics.
    eps : float
        Added to the variance.
    statistics : numpy.ndarray of float64, shape (2, C), optional
        Where to write mean and 1 / sqrt(variance + eps).

    Returns
    -------
    numpy.ndarray
        ``(input - mean) / sqrt(variance + eps) * weight + bias``.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If the shapes do not fit, or there is one value a channel in training.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import batch_norm
    >>> batch_norm(np.array([[1.0], [3.0]]), None, None, training=True, eps=0)
    array([[-1.],
           [ 1.]])
    """
    dtype = float_dtype(
        input=input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    channels = input.shape[1]
    x = input.astype(np.float64)
    for name, array in (("weight", weight), ("bias", bias), ("running_mean", running_mean)):
        if array is not None:
            expect_shape(name, array, (channels,))
    if training:
        count = input.size // max(channels, 1)
        if count == 1:
            raise ValueError("one value a channel has no variance")
        mean = x.mean(_over_channels(x))
        variance = ((x - _along(mean, x)) ** 2).mean(_over_channels(x))
        if running_mean is not None and running_var is not None:
            unbiased = variance * count / (count - 1)
            running_mean[...] = (1 - momentum) * running_mean + momentum * mean
            running_var[...] = (1 - momentum) * running_var + momentum * unbiased
    else:
        if running_mean is None or running_var is None:
            raise ValueError("running_mean and running_var must be arrays where training is False")
        mean, variance = running_mean.astype(np.float64), running_var.astype(np.float64)
    inverse = 1 / np.sqrt(variance + eps)
    if statistics is not None:
        statistics[0], statistics[1] = mean, inverse
    y = (x - _along(mean, x)) * _along(inverse, x)
    if weight is not None:
        y = y * _along(weight, x)
    if bias is not None:
        y = y + _along(bias, x)
    return y.astype(dtype)


def batch_norm_backward(
    grad_output: Array,
    input: Array,
    statistics: Array,
    weight: Array | None = None,
    training: bool = False,
    *,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Return the gradients of `batch_norm` with respect to input, weight and bias.

    Parameters
    ----------
    grad_output : numpy.ndarray, shape (N, C, ...)
        The residual.
    input : numpy.ndarray, same shape
        The input of `batch_norm`.
    statistics : numpy.ndarray of float64, shape (2, C)
        What `batch_norm` wrote.
    weight : numpy.ndarray, shape (C,), optional
        As in `batch_norm`.
    training : bool
        As in `batch_norm`: mean and variance depend on the input, too.
    output_mask : tuple of three bool
        Which of the three to return; the others are None.

    Returns
    -------
    grad_input, grad_weight, grad_bias : numpy.ndarray or None
        With h the normalised input and g the residual: weight / sqrt(variance + eps) times g,
        less its mean and h times the mean of g h in training; the sums of g h; the sums of g.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import batch_norm_backward
    >>> x, saved = np.array([[-1.0], [1.0]]), np.array([[0.0], [1.0]])
    >>> batch_norm_backward(x, x, saved, training=True)[:2]
    (array([[0.],
           [0.]]), array([2.]))
    """
    dtype = float_dtype(grad_output=grad_output, input=input, weight=weight)
    expect_shape("grad_output", grad_output, input.shape)
    expect_shape("statistics", statistics, (2, input.shape[1]))
    mean, inverse = statistics
    g, x = grad_output.astype(np.float64), input.astype(np.float64)
    axes = _over_channels(x)
    h = (x - _along(mean, x)) * _along(inverse, x)
    grad_weight, grad_bias = (g * h).sum(axes), g.sum(axes)
    if training:
        count = max(input.size // max(input.shape[1], 1), 1)
        g = g - _along(grad_bias / count, x) - h * _along(grad_weight / count, x)
    grad_input = g * _along(inverse if weight is None else inverse * weight, x)
    gradients = [gradient.astype(dtype) for gradient in (grad_input, grad_weight, grad_bias)]
    first, second, third = (
        gradient if wanted else None
        for gradient, wanted in zip(gradients, output_mask, strict=True)
    )
    return first, second, third


def batch_norm_relu(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    residual: Array | None = None,
    upper: float | None = None,
    statistics: Array | None = None,
) -> Array:
    """Normalise, add a residual, and cut off what is negative.

    Parameters
    ----------
    input, running_mean, running_var, weight, bias, training, momentum, eps, statistics
        As in `batch_norm`.
    residual : numpy.ndarray, shape of `input`, optional
        What is added to the normalised input.
    upper : float, optional
        Cut off what is above it, too.

    Returns
    -------
    numpy.ndarray
        ``max(batch_norm(input) + residual, 0)``.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        As `batch_norm`, or if the residual has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import batch_norm_relu
    >>> batch_norm_relu(np.array([[1.0], [3.0]]), None, None, training=True, eps=0)
    array([[0.],
           [1.]])
    """
    dtype = float_dtype(input=input, residual=residual, weight=weight, bias=bias)
    if residual is not None:
        expect_shape("residual", residual, input.shape)
    wide = [None if array is None else array.astype(np.float64) for array in (input, weight, bias)]
    x, w, b = wide
    assert x is not None
    means = [None if a is None else a.astype(np.float64) for a in (running_mean, running_var)]
    y = batch_norm(x, means[0], means[1], w, b, training, momentum, eps, statistics=statistics)
    for running, moved in zip((running_mean, running_var), means, strict=True):
        if running is not None:
            running[...] = moved
    if residual is not None:
        y = y + residual
    return _cut(y, upper).astype(dtype)


def _cut(y: Array, upper: float | None) -> Array:
    """Cut off what is below 0, and above a bound."""
    y = np.maximum(y, 0)
    return y if upper is None else np.minimum(y, upper)


def _normal(input: Array, statistics: Array, weight: Array | None, bias: Array | None) -> Array:
    """Normalise by statistics that are known."""
    mean, inverse = statistics
    y = (input - _along(mean, input)) * _along(inverse, input)
    if weight is not None:
        y = y * _along(weight, input)
    return y if bias is None else y + _along(bias, input)


def batch_norm_relu_output(
    input: Array,
    statistics: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    residual: Array | None = None,
    upper: float | None = None,
) -> Array:
    """Compute the output of `batch_norm_relu` again, from what it saved.

    Parameters
    ----------
    input, weight, bias, residual, upper
        As `batch_norm_relu` had them.
    statistics : numpy.ndarray of float64, shape (2, C)
        What it wrote.

    Returns
    -------
    numpy.ndarray
        What it returned.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import batch_norm_relu_output
    >>> batch_norm_relu_output(np.array([[1.0], [4.0]]), np.array([[2.0], [3.0]]), upper=5)
    array([[0.],
           [5.]])
    """
    dtype = float_dtype(input=input, residual=residual, weight=weight, bias=bias)
    if residual is not None:
        expect_shape("residual", residual, input.shape)
    y = _normal(input, statistics, weight, bias)
    return _cut(y if residual is None else y + residual, upper).astype(dtype)


def batch_norm_relu_backward(
    grad_output: Array,
    input: Array,
    statistics: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    *,
    output: Array | None = None,
    upper: float | None = None,
    output_mask: tuple[bool, bool, bool, bool] = (True, True, True, True),
) -> tuple[Array | None, Array | None, Array | None, Array | None]:
    """Return the gradients of `batch_norm_relu` with respect to input, weight, bias and residual.

    Parameters
    ----------
    grad_output : numpy.ndarray, shape (N, C, ...)
        Gradient with respect to the output of `batch_norm_relu`.
    input, statistics, weight, bias, training
        As in `batch_norm_relu`.
    output : numpy.ndarray, same shape, optional
        What `batch_norm_relu` returned; needed if there was a residual.
    upper
        As in `batch_norm_relu`.
    output_mask : tuple of four bool
        Which of the four to return; the others are None.

    Returns
    -------
    grad_input, grad_weight, grad_bias, grad_residual : numpy.ndarray or None
        Those of `batch_norm` for what passes the ReLU, and that itself; None without `output`.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import batch_norm_relu_backward
    >>> x, saved = np.array([[-1.0], [1.0]]), np.array([[0.0], [1.0]])
    >>> batch_norm_relu_backward(np.ones((2, 1)), x, saved, output=np.maximum(x, 0))[3]
    array([[0.],
           [1.]])
    """
    float_dtype(grad_output=grad_output, input=input, weight=weight, bias=bias, output=output)
    before = _normal(input, statistics, weight, bias) if output is None else output
    expect_shape("output", before, input.shape)
    blocked = before <= 0 if upper is None else (before <= 0) | (before >= upper)
    passed = np.where(blocked, grad_output.dtype.type(0), grad_output)
    gradients = batch_norm_backward(
        passed, input, statistics, weight, training, output_mask=output_mask[:3]
    )
    return *gradients, passed if output is not None and output_mask[3] else None
