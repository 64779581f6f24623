"""Losses of the difference between what is and what should be, and their gradients."""

from typing import Any

import numpy as np

from fastconv.reference._arguments import Array, float_dtype
from fastconv.reference._reduction import expect_pair, reduce, spread_residual


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
    return reduce(_difference(input, target) ** 2, reduction, dtype)


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
    difference = _difference(input, target)
    return np.asarray(
        2 * difference * spread_residual(difference.shape, reduction, grad_output)
    ).astype(dtype)


def l1_loss(input: Array, target: Array, *, reduction: str = "mean") -> Any:
    """Compute the absolute error of every element.

    Parameters
    ----------
    input, target, reduction
        As in `mse_loss`.

    Returns
    -------
    numpy scalar, or numpy.ndarray of the input's shape with "none"
        The loss ``|d - y|``.

    Raises
    ------
    ValueError, TypeError
        As `mse_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import l1_loss
    >>> float(l1_loss(np.array([1.0, 5]), np.array([2.0, 2])))
    2.0
    """
    dtype = float_dtype(input=input, target=target)
    return reduce(np.abs(_difference(input, target)), reduction, dtype)


def l1_loss_backward(
    input: Array, target: Array, *, reduction: str = "mean", grad_output: Any = 1.0
) -> Array:
    """Compute the gradient of `l1_loss` with respect to the predictions.

    Parameters
    ----------
    input, target, reduction, grad_output
        As in `mse_loss_backward`.

    Returns
    -------
    numpy.ndarray of the input's shape
        The sign of ``y - d``, 0 where they are equal.

    Raises
    ------
    ValueError, TypeError
        As `mse_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import l1_loss_backward
    >>> l1_loss_backward(np.array([1.0, 5]), np.array([2.0, 2]))
    array([-0.5,  0.5])
    """
    dtype = float_dtype(input=input, target=target)
    difference = _difference(input, target)
    factor = spread_residual(difference.shape, reduction, grad_output)
    return np.asarray(np.sign(difference) * factor, dtype)


def huber_loss(input: Array, target: Array, *, reduction: str = "mean", delta: float = 1.0) -> Any:
    """Compute the Huber loss: squares of small errors, absolute values of large ones.

    Parameters
    ----------
    input, target, reduction
        As in `mse_loss`.
    delta : float, default 1.0
        Where the parabola goes over into straight lines.

    Returns
    -------
    numpy scalar, or numpy.ndarray of the input's shape with "none"
        The loss ``e^2 / 2`` of ``e = |d - y|`` below delta, ``delta (e - delta / 2)`` beyond.

    Raises
    ------
    ValueError
        As `mse_loss`, or if delta is not above 0.
    TypeError
        As `mse_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import huber_loss
    >>> float(huber_loss(np.array([1.0, 5]), np.array([2.0, 2]), reduction="sum"))
    3.0
    """
    dtype = float_dtype(input=input, target=target)
    error = np.abs(_difference(input, target))
    if not 0 < delta < np.inf:
        raise ValueError(f"delta is {delta}, expected a finite number above 0")
    losses = np.where(error < delta, error**2 / 2, delta * (error - delta / 2))
    return reduce(losses, reduction, dtype)


def huber_loss_backward(
    input: Array,
    target: Array,
    *,
    reduction: str = "mean",
    delta: float = 1.0,
    grad_output: Any = 1.0,
) -> Array:
    """Compute the gradient of `huber_loss` with respect to the predictions.

    Parameters
    ----------
    input, target, reduction, delta
        As given to `huber_loss`.
    grad_output : float or numpy.ndarray, default 1.0
        Gradient with respect to the loss.

    Returns
    -------
    numpy.ndarray of the input's shape
        ``y - d``, from -delta to delta.

    Raises
    ------
    ValueError, TypeError
        As `huber_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import huber_loss_backward
    >>> huber_loss_backward(np.array([1.5, 5]), np.array([2.0, 2]), reduction="sum")
    array([-0.5,  1. ])
    """
    dtype = float_dtype(input=input, target=target)
    difference = _difference(input, target)
    if not 0 < delta < np.inf:
        raise ValueError(f"delta is {delta}, expected a finite number above 0")
    factor = spread_residual(difference.shape, reduction, grad_output)
    return np.asarray(np.clip(difference, -delta, delta) * factor, dtype)


def smooth_l1_loss(
    input: Array, target: Array, *, reduction: str = "mean", beta: float = 1.0
) -> Any:
    """Compute the absolute error of every element, rounded off below beta.

    Parameters
    ----------
    input, target, reduction
        As in `mse_loss`.
    beta : float, default 1.0
        Where the parabola goes over into straight lines; 0 for none.

    Returns
    -------
    numpy scalar, or numpy.ndarray of the input's shape with "none"
        `huber_loss` with delta = beta, divided by beta; with 0, `l1_loss`.

    Raises
    ------
    ValueError
        As `mse_loss`, or if beta is negative.
    TypeError
        As `mse_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import smooth_l1_loss
    >>> float(smooth_l1_loss(np.array([1.0, 5]), np.array([2.0, 2]), reduction="sum"))
    3.0
    """
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    dtype = float_dtype(input=input, target=target)
    if not 0 < beta < np.inf:
        raise ValueError(f"beta is {beta}, expected a finite number of at least 0")
    error = np.abs(_difference(input, target))
    losses = np.where(error < beta, error**2 / (2 * beta), error - beta / 2)
    return reduce(losses, reduction, dtype)


def smooth_l1_loss_backward(
    input: Array,
    target: Array,
    *,
    reduction: str = "mean",
    beta: float = 1.0,
    grad_output: Any = 1.0,
) -> Array:
    """Compute the gradient of `smooth_l1_loss` with respect to the predictions.

    Parameters
    ----------
    input, target, reduction, beta
        As given to `smooth_l1_loss`.
    grad_output : float or numpy.ndarray, default 1.0
        Gradient with respect to the loss.

    Returns
    -------
    numpy.ndarray of the input's shape
        ``(y - d) / beta``, from -1 to 1.

    Raises
    ------
    ValueError, TypeError
        As `smooth_l1_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import smooth_l1_loss_backward
    >>> smooth_l1_loss_backward(np.array([1.5, 5]), np.array([2.0, 2]), reduction="sum")
    array([-0.5,  1. ])
    """
    if beta == 0:
        return l1_loss_backward(input, target, reduction=reduction, grad_output=grad_output)
    dtype = float_dtype(input=input, target=target)
    if not 0 < beta < np.inf:
        raise ValueError(f"beta is {beta}, expected a finite number of at least 0")
    difference = _difference(input, target)
    factor = spread_residual(difference.shape, reduction, grad_output)
    return np.asarray(np.clip(difference / beta, -1, 1) * factor, dtype)


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
    difference = _difference(input, target)
    if not difference.ndim:
        raise ValueError("input has no axes, expected samples along the first one")
    losses = (difference**2).sum(axis=tuple(range(1, difference.ndim))) / 2
    return reduce(losses, reduction, dtype)


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
    difference = _difference(input, target)
    if not difference.ndim:
        raise ValueError("input has no axes, expected samples along the first one")
    factor = spread_residual(difference.shape[:1], reduction, grad_output)
    return (difference * factor.reshape(-1, *[1] * (difference.ndim - 1))).astype(dtype)


def _difference(input: Array, target: Array) -> Array:
    input, target = expect_pair(input, target)
    return np.asarray(input - target)
