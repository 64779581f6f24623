"""Gradients kept within bounds before a step, as torch.nn.utils does."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastconv import _check
from fastconv.engine.ops import optimizers as compiled
from fastconv.layers import Parameter

Array = np.ndarray[Any, np.dtype[Any]]


def get_total_norm(
    tensors: Array | Iterable[Array], norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> float:
    r"""Return the norm of all numbers of some arrays, as if they were one vector.

    Parameters
    ----------
    tensors : ndarray or iterable of ndarray
        Of float32 or float64.
    norm_type : float, optional
        The exponent p, above 0; ``math.inf`` for the largest absolute value.
    error_if_nonfinite : bool, optional
        Refuse a norm that is NaN or infinite.

    Returns
    -------
    float
        0 for no arrays.

    Raises
    ------
    TypeError
        If something is no such array.
    ValueError
        If the exponent is out of range.
    RuntimeError
        If the norm is not finite and that is refused.

    Notes
    -----
    .. math:: \left(\sum_i |g_i|^p\right)^{1/p}

    Sums are taken in double precision, in an order that the shapes alone set; squares of float32
    numbers cannot overflow.

    Examples
    --------
    >>> import numpy as np
    >>> get_total_norm([np.array([3.0]), np.array([[0.0, 4.0]])])
    5.0
    >>> get_total_norm(np.array([3.0, -4.0]), 1)
    7.0
    """
    arrays = [tensors] if isinstance(tensors, np.ndarray) else list(tensors)
    arrays = [_check.array(f"tensors[{i}]", array) for i, array in enumerate(arrays)]
    p = _check.number("norm_type", norm_type)
    if not p > 0:
        raise ValueError(f"norm_type must be above 0, got {p}")
    norms = [_norm(array, p) for array in arrays if array.size]
    # NumPy's maximum keeps a NaN.
    norm = float(np.max(norms, initial=0.0)) if p == math.inf else sum(norms) ** (1 / p)
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(f"the norm of order {p:g} of the gradients is {norm}, not to be clipped")
    return norm


def clip_grad_norm_(
    parameters: Parameter | Iterable[Parameter],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients together, so that their norm is no more than a bound.

    Pascanu et al., "On the difficulty of training recurrent neural networks", 2013.

    Parameters
    ----------
    parameters : Parameter or iterable of Parameter
        Whose gradients are scaled in place; one without a gradient is left out.
    max_norm : float
        The bound, at least 0.
    norm_type, error_if_nonfinite
        As in `get_total_norm`.

    Returns
    -------
    float
        The norm before.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As `get_total_norm`, or if the bound is out of range; no gradient has changed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.layers import Parameter
    >>> w = Parameter(np.zeros(2))
    >>> w.add_grad(np.array([3.0, 4.0]))
    >>> clip_grad_norm_([w], 1.0)
    5.0
    >>> w.grad.round(5)
    array([0.6, 0.8])
    """
    gradients = _gradients(parameters)
    bound = _bound("max_norm", max_norm)
    norm = get_total_norm(gradients, norm_type, error_if_nonfinite)
    # As torch's, the quotient is a little below 1 where the norm is the bound.
    factor = bound / (norm + 1e-6)
    if not factor >= 1:
        for gradient in gradients:
            np.multiply(gradient, gradient.dtype.type(factor), out=gradient)
    return norm


def clip_grad_value_(parameters: Parameter | Iterable[Parameter], clip_value: float) -> None:
    """Bring every number of the gradients into a range.

    Parameters
    ----------
    parameters : Parameter or iterable of Parameter
        Whose gradients are changed in place; one without a gradient is left out.
    clip_value : float
        The numbers are from ``-clip_value`` to ``clip_value`` afterwards; a NaN stays.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or the bound is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.layers import Parameter
    >>> w = Parameter(np.zeros(3))
    >>> w.add_grad(np.array([-3.0, 0.5, 4.0]))
    >>> clip_grad_value_([w], 1.0)
    >>> w.grad
    array([-1. ,  0.5,  1. ])
    """
    gradients = _gradients(parameters)
    bound = _bound("clip_value", clip_value)
    for gradient in gradients:
        np.clip(gradient, -bound, bound, out=gradient)


def _norm(array: Array, p: float) -> float:
    """Return the sum of the powers of an array's numbers, or the largest of them."""
    if p == 2:
        return compiled.squared_norm(np.ascontiguousarray(array))
    size = np.abs(array)
    if p == math.inf:
        return float(size.max())
    return float(np.sum(size.astype(np.float64) ** p))


def _bound(name: str, value: float) -> float:
    bound = _check.number(name, value)
    if not bound >= 0:
        raise ValueError(f"{name} must be at least 0, got {bound}")
    return bound


def _gradients(parameters: Parameter | Iterable[Parameter]) -> list[Array]:
    """Return the gradients that there are, all of which can be changed."""
    every = [parameters] if isinstance(parameters, Parameter) else list(parameters)
    gradients: list[Array] = []
    for index, parameter in enumerate(every):
        if not isinstance(parameter, Parameter):
            raise TypeError(
                f"parameters: item {index} is a {type(parameter).__name__}, expected a Parameter"
            )
        if parameter.grad is None or any(parameter.grad is known for known in gradients):
            continue
        _check.array(f"parameters[{index}].grad", parameter.grad)
        if not parameter.grad.flags.writeable:
            raise ValueError(f"parameters[{index}].grad is read-only")
        gradients.append(parameter.grad)
    return gradients
