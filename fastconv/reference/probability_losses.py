"""Losses of probabilities of single events, and of whole distributions, and their gradients."""

from typing import Any

import numpy as np

from fastconv.reference._arguments import Array, expect_axes, float_dtype
from fastconv.reference._reduction import expect_pair, reduce, spread_residual
from fastconv.reference.activations import sigmoid


def binary_cross_entropy(
    input: Array, target: Array, *, weight: Array | None = None, reduction: str = "mean"
) -> Any:
    """Compute the cross-entropy between probabilities and what happened.

    Parameters
    ----------
    input : numpy.ndarray
        Probabilities p, float32 or float64, of any shape.
    target : numpy.ndarray of the same shape and dtype
        What happened, t: 0, 1, or between.
    weight : numpy.ndarray, optional
        Factors w on the losses, broadcast to the input's shape.
    reduction : {"mean", "sum", "none"}, default "mean"
        Mean or sum over all elements, or one loss for each.

    Returns
    -------
    numpy scalar, or numpy.ndarray of the input's shape with "none"
        The loss ``-w (t log p + (1 - t) log(1 - p))`` with logarithms of at least -100.

    Raises
    ------
    ValueError
        If the shapes differ, a probability is none, or the reduction is unknown.
    TypeError
        If the arrays are not all float32 or all float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import binary_cross_entropy
    >>> float(binary_cross_entropy(np.array([0.0]), np.array([1.0])))
    100.0
    """
    dtype = float_dtype(input=input, target=target, weight=weight)
    p, t = expect_pair(input, target)
    if ((p < 0) | (p > 1)).any():
        raise ValueError(f"input runs from {p.min()} to {p.max()}, expected probabilities")
    with np.errstate(divide="ignore"):
        yes, no = np.maximum(np.log(p), -100), np.maximum(np.log1p(-p), -100)
    return reduce(_weights(weight, p) * ((t - 1) * no - t * yes), reduction, dtype)


def binary_cross_entropy_backward(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    reduction: str = "mean",
    grad_output: Any = 1.0,
) -> Array:
    """Compute the gradient of `binary_cross_entropy` with respect to the probabilities.

    Parameters
    ----------
    input, target, weight, reduction
        As given to `binary_cross_entropy`.
    grad_output : float or numpy.ndarray, default 1.0
        Gradient with respect to the loss.

    Returns
    -------
    numpy.ndarray of the input's shape
        ``w (p - t) / (p (1 - p))`` with a denominator of at least 1e-12.

    Raises
    ------
    ValueError, TypeError
        As `binary_cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import binary_cross_entropy_backward
    >>> binary_cross_entropy_backward(np.array([0.5]), np.array([1.0]))
    array([-2.])
    """
    dtype = float_dtype(input=input, target=target, weight=weight)
    p, t = expect_pair(input, target)
    slopes = _weights(weight, p) * (p - t) / np.maximum(p * (1 - p), 1e-12)
    return np.asarray(slopes * spread_residual(p.shape, reduction, grad_output), dtype)


def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    reduction: str = "mean",
) -> Any:
    """Compute `binary_cross_entropy` of the sigmoid of scores.

    Parameters
    ----------
    input : numpy.ndarray
        Scores x, float32 or float64, of any shape.
    target, weight, reduction
        As in `binary_cross_entropy`.
    pos_weight : numpy.ndarray, optional
        Factors v on what happened, broadcast to the input's shape.

    Returns
    -------
    numpy scalar, or numpy.ndarray of the input's shape with "none"
        The loss ``-w (v t log p + (1 - t) log(1 - p))`` with ``p = sigmoid(x)``.

    Raises
    ------
    ValueError
        If the shapes differ or the reduction is unknown.
    TypeError
        If the arrays are not all float32 or all float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import binary_cross_entropy_with_logits
    >>> float(binary_cross_entropy_with_logits(np.array([-50.0]), np.array([1.0])))
    50.0
    """
    dtype = float_dtype(input=input, target=target, weight=weight, pos_weight=pos_weight)
    x, t = expect_pair(input, target)
    # -log p = log(1 + exp(-x)), and -log(1 - p) = x more.
    yes = np.maximum(-x, 0) + np.log1p(np.exp(-np.abs(x)))
    losses = (1 - t) * x + (1 + (_weights(pos_weight, x) - 1) * t) * yes
    return reduce(_weights(weight, x) * losses, reduction, dtype)


def binary_cross_entropy_with_logits_backward(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    reduction: str = "mean",
    grad_output: Any = 1.0,
) -> Array:
    """Compute the gradient of `binary_cross_entropy_with_logits` with respect to the scores.

    Parameters
    ----------
    input, target, weight, pos_weight, reduction
        As given to `binary_cross_entropy_with_logits`.
    grad_output : float or numpy.ndarray, default 1.0
        Gradient with respect to the loss.

    Returns
    -------
    numpy.ndarray of the input's shape
        ``w (p (1 - t) - v t (1 - p))``; without weights, ``p - t``.

    Raises
    ------
    ValueError, TypeError
        As `binary_cross_entropy_with_logits`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import binary_cross_entropy_with_logits_backward
    >>> binary_cross_entropy_with_logits_backward(np.array([0.0]), np.array([1.0]))
    array([-0.5])
    """
    dtype = float_dtype(input=input, target=target, weight=weight, pos_weight=pos_weight)
    x, t = expect_pair(input, target)
    p, q = sigmoid(x), sigmoid(np.asarray(-x))
    slopes = _weights(weight, x) * (p * (1 - t) - _weights(pos_weight, x) * t * q)
    return np.asarray(slopes * spread_residual(x.shape, reduction, grad_output), dtype)


def kl_div(
    input: Array, target: Array, *, reduction: str = "mean", log_target: bool = False
) -> Any:
    """Compute the terms of the Kullback-Leibler divergence from log-probabilities.

    Parameters
    ----------
    input : numpy.ndarray
        Logarithms x of probabilities, float32 or float64, of any shape.
    target : numpy.ndarray of the same shape and dtype
        Probabilities t that should be, or with `log_target` their logarithms.
    reduction : {"mean", "batchmean", "sum", "none"}, default "mean"
        Mean or sum over all elements, the sum over the size of the batch, or one loss for each.
    log_target : bool, default False
        Whether the target are logarithms.

    Returns
    -------
    numpy scalar, or numpy.ndarray of the input's shape with "none"
        The loss ``t (log t - x)``, where ``0 log 0 = 0``.

    Raises
    ------
    ValueError
        If the shapes differ or the reduction is unknown.
    TypeError
        If the arrays are not all float32 or all float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import kl_div
    >>> float(kl_div(np.array([-3.0, -2.0]), np.array([0.0, 1.0]), reduction="sum"))
    2.0
    """
    dtype = float_dtype(input=input, target=target)
    x, t = expect_pair(input, target)
    if log_target:
        losses = np.exp(t) * (t - x)
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            losses = np.where(t == 0, 0, t * np.log(t)) - t * x
    return reduce(losses, *_of_batch(reduction, dtype, x))


def kl_div_backward(
    input: Array,
    target: Array,
    *,
    reduction: str = "mean",
    log_target: bool = False,
    grad_output: Any = 1.0,
) -> Array:
    """Compute the gradient of `kl_div` with respect to the log-probabilities.

    Parameters
    ----------
    input, target, reduction, log_target
        As given to `kl_div`.
    grad_output : float or numpy.ndarray, default 1.0
        Gradient with respect to the loss.

    Returns
    -------
    numpy.ndarray of the input's shape
        ``-t``.

    Raises
    ------
    ValueError, TypeError
        As `kl_div`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import kl_div_backward
    >>> kl_div_backward(np.array([-3.0, -2.0]), np.array([0.25, 0.75]), reduction="sum")
    array([-0.25, -0.75])
    """
    dtype = float_dtype(input=input, target=target)
    x, t = expect_pair(input, target)
    reduction, dtype, count = _of_batch(reduction, dtype, x)
    slopes = -np.exp(t) if log_target else -t
    return np.asarray(slopes * spread_residual(x.shape, reduction, grad_output, count), dtype)


def _of_batch(
    reduction: str, dtype: np.dtype[Any], x: Array
) -> tuple[str, np.dtype[Any], int | None]:
    """Return "batchmean" as a mean over the size of the batch."""
    if reduction != "batchmean":
        return reduction, dtype, None
    if not x.ndim:
        expect_axes("input", 0, (1, 2))
    return "mean", dtype, len(x)


def _weights(weight: Array | None, like: Array) -> Array:
    return np.broadcast_to(1.0 if weight is None else weight.astype(np.float64), like.shape)
