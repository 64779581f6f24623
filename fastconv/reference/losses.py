"""Losses and their gradients."""

from typing import Any

import numpy as np

from fastconv.reference._arguments import Array, expect_axes, expect_shape, float_dtype
from fastconv.reference.softmax import log_softmax, softmax


def cross_entropy(input: Array, target: Array, *, reduction: str = "mean") -> Any:
    """Compute the cross-entropy between the softmax of scores and the true classes.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C), (N, C, *spatial) or (C,)
        Scores z of C classes, float32 or float64.
    target : numpy.ndarray of int, shape (N,), (N, *spatial) or ()
        The true classes t.
    reduction : {"mean", "sum", "none"}, default "mean"
        Mean or sum over the samples (and places), or one loss for each.

    Returns
    -------
    numpy scalar, or numpy.ndarray of the target's shape with "none"
        The loss.

    Raises
    ------
    ValueError
        If shapes do not fit together, a class is out of range, or the reduction is unknown.
    TypeError
        If the input is not an array of float32 or float64, or the target is not one of int.

    Notes
    -----
    ``J = -log p_t`` with the probabilities p of `softmax`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import cross_entropy
    >>> float(cross_entropy(np.zeros((1, 4)), np.array([2])))  # log 4
    1.3862943611198906
    """
    dtype = float_dtype(input=input)
    if input.ndim == 1:
        losses = cross_entropy(input[None], target[None], reduction=reduction)
        return losses.reshape(()) if reduction == "none" else losses
    _expect_classes(input, target)
    log_p = log_softmax(input.astype(np.float64), axis=1)
    losses = -np.take_along_axis(log_p, np.expand_dims(target, 1), axis=1)
    return _reduce(losses[:, 0], reduction, dtype)


def cross_entropy_backward(
    input: Array, target: Array, *, reduction: str = "mean", grad_output: Any = 1.0
) -> Array:
    """Compute the gradient of `cross_entropy` with respect to the scores.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C), (N, C, *spatial) or (C,)
        Scores of C classes.
    target : numpy.ndarray of int, shape (N,), (N, *spatial) or ()
        The true classes.
    reduction : {"mean", "sum", "none"}, default "mean"
        As given to `cross_entropy`.
    grad_output : float or numpy.ndarray, default 1.0
        Gradient with respect to the loss.

    Returns
    -------
    numpy.ndarray of the input's shape
        ``p - y``, where y is 1 for the true class and 0 for the others; divided by the number
        of samples for the mean.

    Raises
    ------
    ValueError
        If shapes do not fit together, a class is out of range, or the reduction is unknown.
    TypeError
        If the input is not an array of float32 or float64, or the target is not one of int.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import cross_entropy_backward
    >>> cross_entropy_backward(np.zeros((1, 4)), np.array([2]))
    array([[ 0.25,  0.25, -0.75,  0.25]])
    """
    dtype = float_dtype(input=input)
    if input.ndim == 1:
        factor = np.reshape(grad_output, 1) if reduction == "none" else grad_output
        one = cross_entropy_backward(
            input[None], target[None], reduction=reduction, grad_output=factor
        )
        return np.asarray(one[0])
    _expect_classes(input, target)
    classes = np.arange(input.shape[1]).reshape(-1, *[1] * (input.ndim - 2))
    y = np.expand_dims(target, 1) == classes
    p = softmax(input.astype(np.float64), axis=1)
    factor = _factor(target.shape, reduction, grad_output)
    return np.asarray((p - y) * np.expand_dims(factor, 1), dtype)


def mse_loss(input: Array, target: Array, *, reduction: str = "mean") -> Any:
    """Compute the squared error of every element.

    Parameters
    ----------
    input : numpy.ndarray
        Predictions y, float32 or float64, of any shape.
    target : numpy.ndarray of the same shape and dtype
        What they should be, d.
    reduction : {"mean", "sum", "none"}, default "mean"
        Mean or sum over all elements, or one loss for each.

    Returns
    -------
    numpy scalar, or numpy.ndarray of the input's shape with "none"
        The loss ``(d - y)^2``.

    Raises
    ------
    ValueError
        If the shapes differ or the reduction is unknown.
    TypeError
        If the arrays are not all float32 or all float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import mse_loss
    >>> float(mse_loss(np.array([1.0, 5]), np.array([2.0, 2])))
    5.0
    """
    dtype = float_dtype(input=input, target=target)
    return _reduce(_errors(input, target) ** 2, reduction, dtype)


def mse_loss_backward(
    input: Array, target: Array, *, reduction: str = "mean", grad_output: Any = 1.0
) -> Array:
    """Compute the gradient of `mse_loss` with respect to the predictions.

    Parameters
    ----------
    input : numpy.ndarray
        Predictions y.
    target : numpy.ndarray of the same shape and dtype
        What they should be, d.
    reduction : {"mean", "sum", "none"}, default "mean"
        As given to `mse_loss`.
    grad_output : float or numpy.ndarray, default 1.0
        Gradient with respect to the loss.

    Returns
    -------
    numpy.ndarray of the input's shape
        ``2 (y - d)``, divided by the number of elements for the mean.

    Raises
    ------
    ValueError
        If the shapes differ or the reduction is unknown.
    TypeError
        If the arrays are not all float32 or all float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import mse_loss_backward
    >>> mse_loss_backward(np.array([1.0, 5]), np.array([2.0, 2]))
    array([-1.,  3.])
    """
    dtype = float_dtype(input=input, target=target)
    errors = _errors(input, target)
    return np.asarray(2 * errors * _factor(errors.shape, reduction, grad_output)).astype(dtype)


def half_squared_error(input: Array, target: Array, *, reduction: str = "mean") -> Any:
    """Compute half the squared distance of each sample from its target.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, ...)
        Predictions y, float32 or float64.
    target : numpy.ndarray of the same shape and dtype
        What they should be, d.
    reduction : {"mean", "sum", "none"}, default "mean"
        Mean or sum over the samples, or one loss for each.

    Returns
    -------
    numpy scalar, or numpy.ndarray of shape (N,) with "none"
        The loss ``J = 1/2 ||d - y||^2``.

    Raises
    ------
    ValueError
        If the shapes differ or the reduction is unknown.
    TypeError
        If the arrays are not all float32 or all float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import half_squared_error
    >>> float(half_squared_error(np.array([[1.0, 5]]), np.array([[2.0, 2]])))
    5.0
    """
    dtype = float_dtype(input=input, target=target)
    errors = _errors(input, target)
    if not errors.ndim:
        raise ValueError("input has no axes, expected samples along the first one")
    losses = (errors**2).sum(axis=tuple(range(1, errors.ndim))) / 2
    return _reduce(losses, reduction, dtype)


def half_squared_error_backward(
    input: Array, target: Array, *, reduction: str = "mean", grad_output: Any = 1.0
) -> Array:
    """Compute the gradient of `half_squared_error` with respect to the predictions.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, ...)
        Predictions y.
    target : numpy.ndarray of the same shape and dtype
        What they should be, d.
    reduction : {"mean", "sum", "none"}, default "mean"
        As given to `half_squared_error`.
    grad_output : float or numpy.ndarray, default 1.0
        Gradient with respect to the loss.

    Returns
    -------
    numpy.ndarray of the input's shape
        ``y - d``, divided by the number of samples for the mean.

    Raises
    ------
    ValueError
        If the shapes differ or the reduction is unknown.
    TypeError
        If the arrays are not all float32 or all float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import half_squared_error_backward
    >>> half_squared_error_backward(np.array([[1.0, 5]]), np.array([[2.0, 2]]))
    array([[-1.,  3.]])
    """
    dtype = float_dtype(input=input, target=target)
    errors = _errors(input, target)
    if not errors.ndim:
        raise ValueError("input has no axes, expected samples along the first one")
    factor = _factor(errors.shape[:1], reduction, grad_output)
    return (errors * factor.reshape(-1, *[1] * (errors.ndim - 1))).astype(dtype)


def _errors(input: Array, target: Array) -> Array:
    expect_shape("target", target, input.shape)
    return input.astype(np.float64) - target.astype(np.float64)


def _expect_classes(input: Array, target: Array) -> None:
    if not isinstance(target, np.ndarray) or not np.issubdtype(target.dtype, np.integer):
        came = getattr(target, "dtype", type(target).__name__)
        raise TypeError(f"target is {came}, expected a NumPy array of integers")
    if input.ndim < 2:
        expect_axes("input", input.ndim, (2,))
    expect_shape("target", target, (len(input), *input.shape[2:]))
    classes = input.shape[1]
    if target.size and not 0 <= target.min() <= target.max() < classes:
        raise ValueError(
            f"target runs from {target.min()} to {target.max()}, expected 0 to {classes - 1}"
        )


def _reduce(losses: Array, reduction: str, dtype: np.dtype[Any]) -> Any:
    if reduction == "none":
        return np.asarray(losses).astype(dtype)
    if reduction == "sum":
        return dtype.type(losses.sum())
    if reduction == "mean":
        return dtype.type(losses.sum() / losses.size if losses.size else np.nan)
    raise ValueError(f"reduction is {reduction!r}, expected 'mean', 'sum' or 'none'")


def _factor(shape: tuple[int, ...], reduction: str, grad_output: Any) -> Array:
    """Spread the loss's gradient over its terms; a mean gives each its share."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is {reduction!r}, expected 'mean', 'sum' or 'none'")
    gradient = np.asarray(grad_output, np.float64)
    if gradient.ndim or reduction != "none":
        expect_shape("grad_output", gradient, shape if reduction == "none" else ())
    terms = int(np.prod(shape)) if reduction == "mean" else 1
    return np.broadcast_to(gradient, shape) / max(terms, 1)
