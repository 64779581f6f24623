"""Losses and their gradients with respect to the first argument.

Cross-entropy and mean squared error are those of torch; the half squared error is that of the
back-propagation lectures, J = 1/2 ||d - y||^2.
"""

from math import prod
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv import _check
from fastconv._check import Array
from fastconv.engine.ops import losses as compiled
from fastconv.functional._pieces import sum_along

Loss = Any
"""A NumPy scalar of the input's dtype, or with reduction="none" an array."""

_REDUCTIONS = ("mean", "sum", "none")
_CLASS_DTYPE = np.dtype(np.intp)


def cross_entropy(
    input: Array, target: NDArray[np.integer[Any]], *, reduction: str = "mean"
) -> Loss:
    r"""Return the cross-entropy of the softmax of `input` with the classes `target`.

    Parameters
    ----------
    input : ndarray, shape (N, C), (N, C, *spatial) or (C,)
        Scores of float32 or float64, not normalised; C classes.
    target : ndarray of integers, shape (N,), (N, *spatial) or ()
        The right classes, from 0 to C - 1.
    reduction : {"mean", "sum", "none"}
        What to do with the losses of the samples.

    Returns
    -------
    scalar, or ndarray of the target's shape with reduction="none"

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape, or a class does not exist.

    Notes
    -----
    .. math:: J_n = -\log \frac{\exp x_{n,t_n}}{\sum_c \exp x_{nc}}

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> float(F.cross_entropy(np.zeros((2, 4)), np.array([0, 3])))
    1.3862943611198906
    """
    input, classes, axis = _classes(input, target)
    check_reduction(reduction)
    losses = np.empty(target.shape, input.dtype)
    if losses.size:
        fits = compiled.cross_entropy(_rows(input, axis), classes, losses)
        _check_classes(fits, target, input.shape[axis])
    return _reduce(losses, reduction)


def cross_entropy_backward(
    input: Array,
    target: NDArray[np.integer[Any]],
    *,
    reduction: str = "mean",
    grad_output: Any = 1.0,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `cross_entropy`: softmax(input) less 1 at the right class.

    Parameters
    ----------
    input, target, reduction
        As in `cross_entropy`.
    grad_output : float, or ndarray of the target's shape with reduction="none"
        Gradient with respect to the loss.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.cross_entropy_backward(np.zeros((1, 4)), np.array([1]))
    array([[ 0.25, -0.75,  0.25,  0.25]])
    """
    input, classes, axis = _classes(input, target)
    scale = _scale(grad_output, reduction, target.size, target.shape, input)
    result = _check.elementwise(out, input)
    direct = result.ndim == axis + 1 and (
        out is None
        or (
            result.flags.c_contiguous
            and not np.may_share_memory(result, input)
            and not np.may_share_memory(result, scale)
        )
    )
    rows = result if direct else np.empty_like(_rows(input, axis))
    if target.size:
        fits = compiled.cross_entropy_backward(
            _rows(input, axis), classes, np.ascontiguousarray(scale), rows
        )
        _check_classes(fits, target, input.shape[axis])
    if not direct:
        last = np.moveaxis(result, axis, -1)
        last[...] = rows.reshape(last.shape)
    return result


def mse_loss(input: Array, target: Array, *, reduction: str = "mean") -> Loss:
    """Return the squared differences, (input - target)**2.

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

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> float(F.mse_loss(np.array([1.0, 2.0]), np.array([0.0, 0.0])))
    2.5
    """
    input, target = _same(input, target)
    check_reduction(reduction)
    difference = input - target
    difference *= difference
    return _reduce(difference, reduction)


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
    input, target = _same(input, target)
    scale = _scale(grad_output, reduction, input.size, input.shape, input)
    result = _check.elementwise(out, input)
    np.multiply(input - target, 2 * scale, out=result)
    return result


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
    difference = input - target
    difference *= difference
    losses = sum_along(difference.reshape(len(difference), prod(difference.shape[1:])), 1)[:, 0]
    losses *= 0.5
    return _reduce(losses, reduction)


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
    count = input.shape[0]
    scale = _scale(grad_output, reduction, count, (count,), input)
    result = _check.elementwise(out, input)
    factor = scale.reshape(-1, *(1,) * (input.ndim - 1)) if scale.ndim else scale
    np.multiply(input - target, factor, out=result)
    return result


def _same(input: Array, target: Array) -> tuple[Array, Array]:
    input, target = _check.array("input", input), _check.array("target", target)
    _check.same_dtype("target", target, "input", input)
    _check.same_shape("target", target, input.shape, "input.shape")
    return input, target


def _samples(input: Array, target: Array) -> tuple[Array, Array]:
    input, target = _same(input, target)
    if not input.ndim:
        raise ValueError("input must have an axis that counts the samples, got a 0-D array")
    return input, target


def _classes(input: Array, target: NDArray[np.integer[Any]]) -> tuple[Array, NDArray[np.intp], int]:
    """Check scores and classes; return them with the axis of the classes."""
    input = _check.array("input", input)
    if not isinstance(target, np.ndarray) or isinstance(target, np.ma.MaskedArray):
        raise TypeError(f"target must be a numpy.ndarray, got {type(target).__name__}")
    if target.dtype.kind not in "iu":
        raise TypeError(f"target must have an integer dtype, got {target.dtype}")
    if not input.ndim:
        raise ValueError("input must be (N, C), (N, C, *spatial) or (C,), got a 0-D array")
    axis = min(input.ndim - 1, 1)
    _check.same_shape(
        "target", target, input.shape[:axis] + input.shape[axis + 1 :], "input.shape without C"
    )
    flags = target.flags
    if target.dtype is _CLASS_DTYPE and flags.aligned and flags.c_contiguous:
        return input, target, axis  # type: ignore[return-value]
    return input, target.astype(np.intp, "C"), axis


def _check_classes(fit: bool, target: NDArray[np.integer[Any]], count: int) -> None:
    """Refuse classes of which the kernel found that one does not exist."""
    if not fit:
        raise ValueError(
            f"target must hold classes from 0 to C - 1 = {count - 1}, got values from "
            f"{target.min()} to {target.max()}"
        )


def _rows(values: Array, axis: int) -> Array:
    """Return the values as rows of classes, contiguous."""
    if values.ndim != axis + 1:
        values = np.moveaxis(values, axis, -1)
    rows = values if values.flags.c_contiguous else np.ascontiguousarray(values)
    return rows if rows.ndim == 2 else rows.reshape(-1, values.shape[-1])


def check_reduction(reduction: str) -> None:
    """Refuse a word that is no reduction.

    Raises
    ------
    ValueError
        If the word is unknown.
    """
    if reduction not in _REDUCTIONS:
        raise ValueError(
            f"reduction must be one of {', '.join(map(repr, _REDUCTIONS))}, got {reduction!r}"
        )


def _reduce(losses: Array, reduction: str) -> Loss:
    """Return the losses, their sum, or their mean; the mean of nothing is NaN, as in torch."""
    if reduction == "none":
        return np.asarray(losses)
    total = np.add.reduce(losses, axis=None)
    if reduction == "sum":
        return total
    if not losses.size:
        return losses.dtype.type(np.nan)
    return total / losses.dtype.type(losses.size)


def _scale(
    grad_output: Any, reduction: str, count: int, shape: tuple[int, ...], like: Array
) -> Array:
    """Return grad_output, over the number of losses for a mean, in the dtype of `like`."""
    check_reduction(reduction)
    expected = shape if reduction == "none" else ()
    if type(grad_output) is float:
        scale = np.asarray(grad_output, like.dtype)
    elif isinstance(grad_output, np.ndarray):
        scale = _check.array("grad_output", grad_output)
        _check.same_dtype("grad_output", scale, "input", like)
    elif isinstance(grad_output, bool) or not isinstance(grad_output, Real):
        raise TypeError(
            f"grad_output must be a number or a numpy.ndarray, got {type(grad_output).__name__}"
        )
    else:
        scale = np.asarray(grad_output, like.dtype)
    if scale.shape != expected and scale.shape != ():
        raise ValueError(
            f"grad_output must be a number or have shape {expected} with reduction={reduction!r}, "
            f"got {scale.shape}"
        )
    return np.asarray(scale / like.dtype.type(max(count, 1))) if reduction == "mean" else scale
