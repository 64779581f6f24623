"""Losses of the difference between what is and what should be, and their gradients.

Those of torch, and the half squared error of the back-propagation lectures, J = 1/2 ||d - y||^2.
"""

from math import inf, prod
from typing import Any

import numpy as np

from fastconv import _check
from fastconv._check import Array
from fastconv.engine.ops.losses import HUBER, SQUARE
from fastconv.functional._reduction import (
    Loss,
    check_reduction,
    gradient_of_pairs,
    loss_of_pairs,
    pair,
    reduce,
    residual,
    sums_of_pairs,
)

# Border, curve and slope of the Huber loss without a parabola.
_STRAIGHT = (0.0, 0.0, 1.0)


def mse_loss(input: Array, target: Array, *, reduction: str = "mean") -> Loss:
    r"""Return the squared differences, (input - target)**2.

    Parameters
    ----------
    input, target : ndarray
        Two arrays of float32 or float64 and of one shape.
    reduction : {"mean", "sum", "none"}
        What to do with the elements; the mean is over all of them.

    Returns
    -------
    scalar, or ndarray of the input's shape with reduction="none"

    Raises
    ------
    TypeError, ValueError
        If the arrays differ in dtype or shape.

    Notes
    -----
    Sums are taken in one pass, at most 256 numbers at a time in the input's own precision and the
    rest in double precision: their relative error does not grow with the number of elements.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> float(F.mse_loss(np.array([1.0, 2.0]), np.array([0.0, 0.0])))
    2.5
    """
    input, target = pair(input, target)
    check_reduction(reduction)
    return loss_of_pairs(SQUARE, input, target, reduction)


def mse_loss_backward(
    input: Array,
    target: Array,
    *,
    reduction: str = "mean",
    grad_output: Any = 1.0,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `mse_loss`: 2 (input - target), over their number for the mean.

    Parameters
    ----------
    input, target, reduction
        As in `mse_loss`.
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
        As `mse_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.mse_loss_backward(np.array([1.0, 2.0]), np.array([0.0, 0.0]))
    array([1., 2.])
    """
    return _gradient(SQUARE, input, target, reduction, grad_output, out)


def l1_loss(input: Array, target: Array, *, reduction: str = "mean") -> Loss:
    """Return the absolute differences, abs(input - target).

    Parameters
    ----------
    input, target, reduction
        As in `mse_loss`.

    Returns
    -------
    scalar, or ndarray of the input's shape with reduction="none"

    Raises
    ------
    TypeError, ValueError
        As `mse_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> float(F.l1_loss(np.array([1.0, 2.0]), np.array([0.0, 0.0])))
    1.5
    """
    input, target = pair(input, target)
    check_reduction(reduction)
    return loss_of_pairs(HUBER, input, target, reduction, numbers=_STRAIGHT)


def l1_loss_backward(
    input: Array,
    target: Array,
    *,
    reduction: str = "mean",
    grad_output: Any = 1.0,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `l1_loss`: the sign of the difference, 0 where there is none.

    Parameters
    ----------
    input, target, reduction, grad_output, out
        As in `mse_loss_backward`.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        As `mse_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.l1_loss_backward(np.array([1.0, -2.0, 0.0]), np.zeros(3), reduction="sum")
    array([ 1., -1.,  0.])
    """
    return _gradient(HUBER, input, target, reduction, grad_output, out, _STRAIGHT)


def huber_loss(input: Array, target: Array, *, reduction: str = "mean", delta: float = 1.0) -> Loss:
    r"""Return the Huber loss: squares of small differences, absolute values of large ones.

    P. J. Huber, "Robust estimation of a location parameter", 1964.

    Parameters
    ----------
    input, target, reduction
        As in `mse_loss`.
    delta : float
        Where the parabola goes over into straight lines, above 0.

    Returns
    -------
    scalar, or ndarray of the input's shape with reduction="none"

    Raises
    ------
    TypeError, ValueError
        As `mse_loss`, or if `delta` is out of range.

    Notes
    -----
    With the difference d of input and target,

    .. math:: J = \begin{cases} d^2 / 2 & |d| < \delta \\
                                \delta (|d| - \delta / 2) & \text{otherwise} \end{cases}

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.huber_loss(np.array([1.0, 4.0]), np.zeros(2), reduction="none", delta=2.0)
    array([0.5, 6. ])
    """
    input, target = pair(input, target)
    check_reduction(reduction)
    return loss_of_pairs(HUBER, input, target, reduction, numbers=_huber(delta))


def huber_loss_backward(
    input: Array,
    target: Array,
    *,
    reduction: str = "mean",
    delta: float = 1.0,
    grad_output: Any = 1.0,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `huber_loss`: the difference, from -delta to delta.

    Parameters
    ----------
    input, target, reduction, delta
        As in `huber_loss`.
    grad_output, out
        As in `mse_loss_backward`.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        As `huber_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.huber_loss_backward(np.array([1.0, 4.0]), np.zeros(2), reduction="sum", delta=2.0)
    array([1., 2.])
    """
    return _gradient(HUBER, input, target, reduction, grad_output, out, _huber(delta))


def smooth_l1_loss(
    input: Array, target: Array, *, reduction: str = "mean", beta: float = 1.0
) -> Loss:
    """Return the absolute differences, rounded off below beta: `huber_loss` over its delta.

    R. Girshick, "Fast R-CNN", 2015, equation 3.

    Parameters
    ----------
    input, target, reduction
        As in `mse_loss`.
    beta : float
        Where the parabola goes over into straight lines, at least 0; with 0 this is `l1_loss`.

    Returns
    -------
    scalar, or ndarray of the input's shape with reduction="none"

    Raises
    ------
    TypeError, ValueError
        As `mse_loss`, or if `beta` is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.smooth_l1_loss(np.array([1.0, 4.0]), np.zeros(2), reduction="none", beta=2.0)
    array([0.25, 3.  ])
    """
    input, target = pair(input, target)
    check_reduction(reduction)
    return loss_of_pairs(HUBER, input, target, reduction, numbers=_smooth(beta))


def smooth_l1_loss_backward(
    input: Array,
    target: Array,
    *,
    reduction: str = "mean",
    beta: float = 1.0,
    grad_output: Any = 1.0,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `smooth_l1_loss`: the difference over beta, from -1 to 1.

    Parameters
    ----------
    input, target, reduction, beta
        As in `smooth_l1_loss`.
    grad_output, out
        As in `mse_loss_backward`.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        As `smooth_l1_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.smooth_l1_loss_backward(np.array([1.0, 4.0]), np.zeros(2), reduction="sum", beta=2.0)
    array([0.5, 1. ])
    """
    return _gradient(HUBER, input, target, reduction, grad_output, out, _smooth(beta))


def half_squared_error(input: Array, target: Array, *, reduction: str = "mean") -> Loss:
    """Return half the squared distance of each sample, 1/2 ||target - input||**2.

    Parameters
    ----------
    input, target : ndarray, shape (N, ...)
        Two arrays of float32 or float64 and of one shape; the first axis counts the samples.
    reduction : {"mean", "sum", "none"}
        What to do with the losses of the samples; the mean is over the samples.

    Returns
    -------
    scalar, or ndarray of shape (N,) with reduction="none"

    Raises
    ------
    TypeError, ValueError
        If the arrays differ in dtype or shape, or have no axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> float(F.half_squared_error(np.array([[1.0, 2.0]]), np.array([[0.0, 0.0]])))
    2.5
    """
    input, target = _samples(input, target)
    check_reduction(reduction)
    return reduce(sums_of_pairs(SQUARE, input, target, len(input), 2), reduction)


def half_squared_error_backward(
    input: Array,
    target: Array,
    *,
    reduction: str = "mean",
    grad_output: Any = 1.0,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `half_squared_error`: input - target, over N for the mean.

    Parameters
    ----------
    input, target, reduction
        As in `half_squared_error`.
    grad_output : float, or ndarray of shape (N,) with reduction="none"
        Gradient with respect to the loss.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        As `half_squared_error`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.half_squared_error_backward(np.array([[1.0, 2.0]]), np.array([[0.0, 0.0]]))
    array([[1., 2.]])
    """
    input, target = _samples(input, target)
    check_reduction(reduction)
    count = len(input)
    scale = residual(grad_output, reduction, count, (count,), input) * input.dtype.type(0.5)
    return gradient_of_pairs(
        SQUARE, input, target, np.asarray(scale), out, repeats=prod(input.shape[1:])
    )


def _gradient(
    kind: int,
    input: Array,
    target: Array,
    reduction: str,
    grad_output: Any,
    out: Array | None,
    numbers: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Array:
    input, target = pair(input, target)
    check_reduction(reduction)
    scale = residual(grad_output, reduction, input.size, input.shape, input)
    return gradient_of_pairs(kind, input, target, scale, out, numbers=numbers)


def _samples(input: Array, target: Array) -> tuple[Array, Array]:
    input, target = pair(input, target)
    if not input.ndim:
        raise ValueError("input must have an axis that counts the samples, got a 0-D array")
    return input, target


def _huber(delta: float) -> tuple[float, float, float]:
    delta = _check.number("delta", delta)
    if not 0 < delta < inf:
        raise ValueError(f"delta must be a finite number above 0, got {delta}")
    return delta, 0.5, delta


def _smooth(beta: float) -> tuple[float, float, float]:
    beta = _check.number("beta", beta)
    if not 0 <= beta < inf:
        raise ValueError(f"beta must be a finite number of at least 0, got {beta}")
    return (beta, 0.5 / beta, 1.0) if beta else _STRAIGHT
