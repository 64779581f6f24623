"""Losses of scores or log-probabilities of classes, and their gradients."""

from typing import Any

import numpy as np

from fastconv.reference._arguments import Array, expect_axes, expect_shape, float_dtype
from fastconv.reference._reduction import reduce, spread_residual
from fastconv.reference.softmax import log_softmax, softmax


def cross_entropy(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """Compute the cross-entropy between the softmax of scores and what is true.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C), (N, C, *spatial) or (C,)
        Scores z of C classes, float32 or float64.
    target : numpy.ndarray
        Of int and of the input's shape without C: the true classes. Or of the input's dtype and
        shape: the probabilities of all classes.
    weight : numpy.ndarray of shape (C,), optional
        What each class weighs, w.
    ignore_index : int, default -100
        Places of this class do not count.
    label_smoothing : float, default 0.0
        The part s of the target that all classes share.
    reduction : {"mean", "sum", "none"}, default "mean"
        Mean or sum over the samples (and places), or one loss for each. The mean of classes is
        over what the places weigh.

    Returns
    -------
    numpy scalar, or numpy.ndarray of the shape of classes with "none"
        The loss.

    Raises
    ------
    ValueError
        If shapes do not fit together, a class is out of range, or the reduction is unknown.
    TypeError
        If the input is not an array of float32 or float64, or the target is not one of int or of
        the input's dtype.

    Notes
    -----
    ``J = -sum_c w_c t_c log p_c`` with the probabilities p of `softmax`, where a class c has
    ``t_c = 1``; smoothing makes ``(1 - s) t_c + s / C`` of each t_c.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import cross_entropy
    >>> float(cross_entropy(np.zeros((1, 4)), np.array([2])))  # log 4
    1.3862943611198906
    """
    dtype = float_dtype(input=input, weight=weight)
    shares, count = _shares(input, target, weight, ignore_index, label_smoothing)
    axis = min(input.ndim - 1, 1)
    with np.errstate(invalid="ignore"):
        terms = shares * log_softmax(input.astype(np.float64), axis=axis)
    if target.dtype.kind != "f":
        # A class of no share has no loss, however improbable it is.
        terms = np.where(shares == 0, 0, terms)
    return reduce(-terms.sum(axis), reduction, dtype, count)


def cross_entropy_backward(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    grad_output: Any = 1.0,
) -> Array:
    """Compute the gradient of `cross_entropy` with respect to the scores.

    Parameters
    ----------
    input, target, weight, ignore_index, label_smoothing, reduction
        As given to `cross_entropy`.
    grad_output : float or numpy.ndarray, default 1.0
        Gradient with respect to the loss.

    Returns
    -------
    numpy.ndarray of the input's shape
        ``p sum(q) - q`` with the shares ``q_c = w_c t_c``: without weights, ``p - t``. A mean
        divides it as in `cross_entropy`.

    Raises
    ------
    ValueError, TypeError
        As `cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import cross_entropy_backward
    >>> cross_entropy_backward(np.zeros((1, 4)), np.array([2]))
    array([[ 0.25,  0.25, -0.75,  0.25]])
    """
    dtype = float_dtype(input=input, weight=weight)
    shares, count = _shares(input, target, weight, ignore_index, label_smoothing)
    axis = min(input.ndim - 1, 1)
    p = softmax(input.astype(np.float64), axis=axis)
    losses = input.shape[:axis] + input.shape[axis + 1 :]
    factor = spread_residual(losses, reduction, grad_output, count)
    gradient = p * shares.sum(axis, keepdims=True) - shares
    if target.dtype.kind != "f":
        factor = np.where(target == ignore_index, 0, factor)
    return np.asarray(gradient * np.expand_dims(factor, axis), dtype)


def nll_loss(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """Compute the negative log-likelihood of the true classes.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C), (N, C, *spatial) or (C,)
        Logarithms of the probabilities of C classes, float32 or float64.
    target : numpy.ndarray of int, shape (N,), (N, *spatial) or ()
        The true classes t.
    weight, ignore_index, reduction
        As in `cross_entropy`.

    Returns
    -------
    numpy scalar, or numpy.ndarray of the target's shape with "none"
        The loss ``-w_t log p_t``.

    Raises
    ------
    ValueError, TypeError
        As `cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import nll_loss
    >>> float(nll_loss(np.array([[-2.0, -1.0]]), np.array([0])))
    2.0
    """
    dtype = float_dtype(input=input, weight=weight)
    _expect_classes(input, target, ignore_index)
    shares, count = _shares(input, target, weight, ignore_index, 0.0)
    axis = min(input.ndim - 1, 1)
    losses = -np.where(shares == 0, 0, shares * np.where(shares == 0, 0, input)).sum(axis)
    return reduce(losses, reduction, dtype, count)


def nll_loss_backward(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    grad_output: Any = 1.0,
) -> Array:
    """Compute the gradient of `nll_loss` with respect to the log-probabilities.

    Parameters
    ----------
    input, target, weight, ignore_index, reduction
        As given to `nll_loss`.
    grad_output : float or numpy.ndarray, default 1.0
        Gradient with respect to the loss.

    Returns
    -------
    numpy.ndarray of the input's shape
        ``-w_t`` at the true class, else 0.

    Raises
    ------
    ValueError, TypeError
        As `cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import nll_loss_backward
    >>> nll_loss_backward(np.array([[-2.0, -1.0]]), np.array([0]))
    array([[-1.,  0.]])
    """
    dtype = float_dtype(input=input, weight=weight)
    _expect_classes(input, target, ignore_index)
    shares, count = _shares(input, target, weight, ignore_index, 0.0)
    axis = min(input.ndim - 1, 1)
    factor = spread_residual(target.shape, reduction, grad_output, count)
    gradient = -shares * np.expand_dims(factor, axis)
    return np.where(shares == 0, 0, gradient).astype(dtype)


def _shares(
    input: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    label_smoothing: float,
) -> tuple[Array, float]:
    """Return w_c t_c for all classes and places, and what all places weigh together."""
    if not input.ndim:
        expect_axes("input", 0, (1, 2))
    axis = min(input.ndim - 1, 1)
    classes = input.shape[axis]
    if weight is not None:
        expect_shape("weight", weight, (classes,))
    weights = np.ones(classes) if weight is None else weight.astype(np.float64)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is {label_smoothing}, expected 0 to 1")
    along = (-1, *[1] * (input.ndim - axis - 1))
    smooth = label_smoothing / max(classes, 1)
    if isinstance(target, np.ndarray) and target.dtype.kind == "f":
        float_dtype(input=input, target=target)
        expect_shape("target", target, input.shape)
        if ignore_index >= 0:
            raise ValueError(f"ignore_index is {ignore_index}, but the target are probabilities")
        t = target.astype(np.float64) * (1 - label_smoothing) + smooth
        return weights.reshape(along) * t, float(np.prod(input.shape)) / max(classes, 1)
    _expect_classes(input, target, ignore_index)
    counts = target != ignore_index
    valid = np.where(counts, target, 0)
    if not classes:
        return np.zeros(input.shape), 0.0
    own = np.expand_dims(valid, axis) == np.arange(classes).reshape(along)
    t = own * (1 - label_smoothing) + smooth
    shares = weights.reshape(along) * t * np.expand_dims(counts, axis)
    return shares, float((weights[valid] * counts).sum())


def _expect_classes(input: Array, target: Array, ignore_index: int) -> None:
    if not isinstance(target, np.ndarray) or not np.issubdtype(target.dtype, np.integer):
        came = getattr(target, "dtype", type(target).__name__)
        raise TypeError(f"target is {came}, expected a NumPy array of integers")
    if not input.ndim:
        expect_axes("input", 0, (1, 2))
    axis = min(input.ndim - 1, 1)
    expect_shape("target", target, input.shape[:axis] + input.shape[axis + 1 :])
    classes = input.shape[axis]
    wrong = target[(target != ignore_index) & ((target < 0) | (target >= classes))]
    if wrong.size:
        raise ValueError(f"target has class {wrong[0]}, expected 0 to {classes - 1}")
