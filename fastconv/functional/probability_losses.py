"""Losses of probabilities of single events, and of whole distributions, and their gradients."""

from typing import Any

import numpy as np

from fastconv._check import Array
from fastconv.engine.ops.losses import DIVERGENCE, LOG_DIVERGENCE, LOGIT, PROBABILITY
from fastconv.functional._reduction import (
    REDUCTIONS,
    Loss,
    check_reduction,
    factor,
    gradient_of_pairs,
    loss_of_pairs,
    pair,
    residual,
)

DIVERGENCE_REDUCTIONS = ("mean", "batchmean", "sum", "none")


def binary_cross_entropy(
    input: Array, target: Array, *, weight: Array | None = None, reduction: str = "mean"
) -> Loss:
    r"""Return the cross-entropy of probabilities with what happened.

    Parameters
    ----------
    input : ndarray
        Probabilities from 0 to 1, float32 or float64, any shape.
    target : ndarray
        What happened, 0 or 1 or a probability, of the same dtype and shape.
    weight : ndarray, optional
        Factors on the losses, of a shape that broadcasts to that of the input.
    reduction : {"mean", "sum", "none"}
        What to do with the elements; the mean is over all of them, whatever they weigh.

    Returns
    -------
    scalar, or ndarray of the input's shape with reduction="none"

    Raises
    ------
    TypeError, ValueError
        If the arrays do not fit together, or a probability lies outside [0, 1].

    Notes
    -----
    Logarithms are no less than -100, as in torch, so that a wrong certainty costs 100:

    .. math:: J = -w \left(t \max(\log x, -100) + (1 - t) \max(\log(1 - x), -100)\right)

    From scores rather than probabilities, `binary_cross_entropy_with_logits` is the accurate way.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> certain, happened = np.array([1.0, 1.0]), np.array([1.0, 0.0])
    >>> F.binary_cross_entropy(certain, happened, reduction="none")
    array([  0., 100.])
    """
    input, target = pair(input, target)
    check_reduction(reduction)
    weights = factor("weight", weight, input)
    loss = loss_of_pairs(PROBABILITY, input, target, reduction, weight=weights)
    # A probability that is none has a NaN as its loss: the search for it costs nothing else.
    if input.size and np.isnan(np.add.reduce(loss, axis=None)):
        least, most = np.fmin.reduce(input, axis=None), np.fmax.reduce(input, axis=None)
        if least < 0 or most > 1:
            raise ValueError(f"input must hold probabilities, got values from {least} to {most}")
    return loss


def binary_cross_entropy_backward(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    reduction: str = "mean",
    grad_output: Any = 1.0,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `binary_cross_entropy`: weight (x - t) / max(x (1 - x), 1e-12).

    Parameters
    ----------
    input, target, weight, reduction
        As in `binary_cross_entropy`.
    grad_output : float, or ndarray of the input's shape with reduction="none"
        Gradient with respect to the loss.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        If the arrays do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.binary_cross_entropy_backward(np.array([0.5]), np.array([1.0]))
    array([-2.])
    """
    input, target = pair(input, target)
    check_reduction(reduction)
    return gradient_of_pairs(
        PROBABILITY,
        input,
        target,
        residual(grad_output, reduction, input.size, input.shape, input),
        out,
        weight=factor("weight", weight, input),
    )


def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    reduction: str = "mean",
) -> Loss:
    r"""Return `binary_cross_entropy` of the sigmoid of scores, accurate for scores of any size.

    Parameters
    ----------
    input : ndarray
        Scores of float32 or float64, any shape.
    target, weight, reduction
        As in `binary_cross_entropy`.
    pos_weight : ndarray, optional
        Factors p on what happened alone, of a shape that broadcasts to that of the input, such as
        (C,) for the last axis: above 1 they count the positive for more.

    Returns
    -------
    scalar, or ndarray of the input's shape with reduction="none"

    Raises
    ------
    TypeError, ValueError
        If the arrays do not fit together.

    Notes
    -----
    .. math:: J = w \left((1 - t) x
                  + (1 + (p - 1) t) (\log(1 + e^{-|x|}) + \max(-x, 0))\right)

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> scores, happened = np.array([0.0, -1e30]), np.array([1.0, 0.0])
    >>> F.binary_cross_entropy_with_logits(scores, happened, reduction="none")
    array([0.69314718, 0.        ])
    """
    input, target = pair(input, target)
    check_reduction(reduction)
    return loss_of_pairs(
        LOGIT,
        input,
        target,
        reduction,
        positive=factor("pos_weight", pos_weight, input),
        weight=factor("weight", weight, input),
    )


def binary_cross_entropy_with_logits_backward(
    input: Array,
    target: Array,
    *,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    reduction: str = "mean",
    grad_output: Any = 1.0,
    out: Array | None = None,
) -> Array:
    """Return the gradient: weight ((1 + (p - 1) t) sigmoid(x) - p t).

    Parameters
    ----------
    input, target, weight, pos_weight, reduction
        As in `binary_cross_entropy_with_logits`.
    grad_output, out
        As in `binary_cross_entropy_backward`.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        As `binary_cross_entropy_with_logits`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.binary_cross_entropy_with_logits_backward(np.array([0.0]), np.array([1.0]))
    array([-0.5])
    """
    input, target = pair(input, target)
    check_reduction(reduction)
    return gradient_of_pairs(
        LOGIT,
        input,
        target,
        residual(grad_output, reduction, input.size, input.shape, input),
        out,
        positive=factor("pos_weight", pos_weight, input),
        weight=factor("weight", weight, input),
    )


def kl_div(
    input: Array, target: Array, *, reduction: str = "mean", log_target: bool = False
) -> Loss:
    r"""Return the terms of the Kullback-Leibler divergence from log-probabilities.

    S. Kullback and R. Leibler, "On information and sufficiency", 1951.

    Parameters
    ----------
    input : ndarray
        Logarithms x of probabilities, float32 or float64, any shape.
    target : ndarray
        Probabilities t that should be, of the same dtype and shape.
    reduction : {"mean", "batchmean", "sum", "none"}
        What to do with the elements. The divergence of distributions, one along each row of the
        batch, is their sum over the size of the first axis, "batchmean"; "mean" divides by the
        number of elements.
    log_target : bool
        Whether the target holds logarithms of probabilities, too.

    Returns
    -------
    scalar, or ndarray of the input's shape with reduction="none"

    Raises
    ------
    TypeError, ValueError
        If the arrays differ in dtype or shape.

    Notes
    -----
    .. math:: J = t (\log t - x)

    where the first product is 0 for t = 0; with `log_target`, :math:`J = e^t (t - x)`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> target = np.array([[0.5, 0.5]])
    >>> float(F.kl_div(np.log(target), target, reduction="batchmean"))
    0.0
    """
    input, target, kind = _divergence(input, target, reduction, log_target)
    return loss_of_pairs(kind, input, target, reduction)


def kl_div_backward(
    input: Array,
    target: Array,
    *,
    reduction: str = "mean",
    log_target: bool = False,
    grad_output: Any = 1.0,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `kl_div` with respect to the log-probabilities: -t.

    Parameters
    ----------
    input, target, reduction, log_target
        As in `kl_div`.
    grad_output, out
        As in `binary_cross_entropy_backward`.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        As `kl_div`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> target = np.array([[0.25, 0.75]])
    >>> F.kl_div_backward(np.log(target), target, reduction="sum")
    array([[-0.25, -0.75]])
    """
    input, target, kind = _divergence(input, target, reduction, log_target)
    count = len(input) if reduction == "batchmean" else input.size
    scale = residual(grad_output, reduction, count, input.shape, input)
    return gradient_of_pairs(kind, input, target, scale, out)


def _divergence(
    input: Array, target: Array, reduction: str, log_target: bool
) -> tuple[Array, Array, int]:
    input, target = pair(input, target)
    check_reduction(reduction, DIVERGENCE_REDUCTIONS)
    if reduction not in REDUCTIONS and not input.ndim:
        raise ValueError(f"input must have an axis for reduction={reduction!r}, got a 0-D array")
    return input, target, LOG_DIVERGENCE if log_target else DIVERGENCE
