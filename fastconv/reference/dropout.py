"""Dropout of elements and of whole channels with its gradients."""

from math import sqrt

import numpy as np

from fastconv._docs import described_like
from fastconv.reference._arguments import Array, expect_axes, expect_shape, float_dtype

# Minus the limit of `selu` for very negative inputs.
SELU_LIMIT = 1.7580993408473766


def dropout(
    input: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    rng: np.random.Generator | int | None = None,
) -> tuple[Array, Array]:
    """Switch off cells at random and scale up the rest.

    Parameters
    ----------
    input : numpy.ndarray
        Activations, float32 or float64, of any shape.
    p : float, default 0.5
        The probability with which a cell is switched off.
    training : bool, default True
        If False nothing is switched off or scaled.
    rng : numpy.random.Generator or int, optional
        Where the randomness comes from: a generator or a seed for one.

    Returns
    -------
    output : numpy.ndarray
        ``input / (1 - p)`` where the mask is True, zero elsewhere.
    mask : numpy.ndarray of bool
        The cells that stay: those where ``rng.random(input.shape) >= p``.

    Raises
    ------
    ValueError
        If p is no probability.
    TypeError
        If the input is not an array of float32 or float64.

    Notes
    -----
    The scale keeps the mean of a cell as it was (Srivastava et al., JMLR 15, 2014).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import dropout
    >>> output, mask = dropout(np.ones(6), 0.5, rng=1)
    >>> output
    array([2., 2., 0., 2., 0., 0.])
    """
    return _drop(input, input.shape, p, training, rng)


def dropout_backward(grad_output: Array, mask: Array, p: float = 0.5) -> Array:
    """Let the residual pass where a cell was on, scaled as the cell was.

    Parameters
    ----------
    grad_output : numpy.ndarray
        Gradient with respect to the output.
    mask : numpy.ndarray of bool
        The mask that the forward function returned.
    p : float, default 0.5
        The probability given to it.

    Returns
    -------
    numpy.ndarray
        Gradient with respect to the input.

    Raises
    ------
    ValueError
        If the shapes differ or p is no probability.
    TypeError
        If the residual is not an array of float32 or float64, or the mask is not one of bool.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import dropout_backward
    >>> dropout_backward(np.array([1.0, 3]), np.array([True, False]))
    array([2., 0.])
    """
    return _pass(grad_output, mask, grad_output.shape, _dropout_scale(p))


def dropout2d(
    input: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    rng: np.random.Generator | int | None = None,
) -> tuple[Array, Array]:
    """Switch off whole channels, as `dropout` does cells.

    Parameters
    ----------
    input : numpy.ndarray
        Maps (N, C, H, W) or (C, H, W), float32 or float64.
    p, training, rng
        As in `dropout`.

    Returns
    -------
    output : numpy.ndarray
        As of `dropout`.
    mask : numpy.ndarray of bool
        The channels that stay, with axes of size 1 behind.

    Raises
    ------
    ValueError
        If p is no probability, or the input has other axes.
    TypeError
        If the input is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import dropout2d
    >>> dropout2d(np.ones((2, 3, 4, 4)), rng=1)[1].shape
    (2, 3, 1, 1)
    """
    expect_axes("input", input.ndim, (3, 4))
    return _drop(input, (*input.shape[:-2], 1, 1), p, training, rng)


@described_like(dropout_backward)
def dropout2d_backward(grad_output: Array, mask: Array, p: float = 0.5) -> Array:
    """Let the residual pass where a channel was on, scaled as the channel was.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import dropout2d_backward
    >>> float(dropout2d_backward(np.ones((1, 1, 1)), np.ones((1, 1, 1), bool)).sum())
    2.0
    """
    return _pass(grad_output, mask, (*grad_output.shape[:-2], 1, 1), _dropout_scale(p))


@described_like(dropout2d, 1)
def dropout1d(
    input: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    rng: np.random.Generator | int | None = None,
) -> tuple[Array, Array]:
    """Switch off whole channels, as `dropout` does cells.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import dropout1d
    >>> dropout1d(np.ones((2, 3, 4)), rng=1)[1].shape
    (2, 3, 1)
    """
    expect_axes("input", input.ndim, (2, 3))
    return _drop(input, (*input.shape[:-1], 1), p, training, rng)


@described_like(dropout_backward)
def dropout1d_backward(grad_output: Array, mask: Array, p: float = 0.5) -> Array:
    """Let the residual pass where a channel was on, scaled as the channel was.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import dropout1d_backward
    >>> float(dropout1d_backward(np.ones((1, 1)), np.ones((1, 1), bool)).sum())
    2.0
    """
    return _pass(grad_output, mask, (*grad_output.shape[:-1], 1), _dropout_scale(p))


@described_like(dropout2d, 3)
def dropout3d(
    input: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    rng: np.random.Generator | int | None = None,
) -> tuple[Array, Array]:
    """Switch off whole channels, as `dropout` does cells.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import dropout3d
    >>> dropout3d(np.ones((2, 3, 4, 4, 4)), rng=1)[1].shape
    (2, 3, 1, 1, 1)
    """
    expect_axes("input", input.ndim, (4, 5))
    return _drop(input, (*input.shape[:-3], 1, 1, 1), p, training, rng)


@described_like(dropout_backward)
def dropout3d_backward(grad_output: Array, mask: Array, p: float = 0.5) -> Array:
    """Let the residual pass where a channel was on, scaled as the channel was.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import dropout3d_backward
    >>> float(dropout3d_backward(np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1), bool)).sum())
    2.0
    """
    return _pass(grad_output, mask, (*grad_output.shape[:-3], 1, 1, 1), _dropout_scale(p))


def alpha_dropout(
    input: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    rng: np.random.Generator | int | None = None,
) -> tuple[Array, Array]:
    """Set cells to the lower limit of `selu`, and bring mean 0 and variance 1 back.

    Parameters
    ----------
    input : numpy.ndarray
        Activations, float32 or float64, of any shape.
    p, training, rng
        As in `dropout`.

    Returns
    -------
    output : numpy.ndarray
        ``a (x + p l)`` where the mask is True, ``a (p l - l)`` elsewhere, with l = 1.7581 and
        ``a = 1 / sqrt((1 - p) (1 + p l**2))``.
    mask : numpy.ndarray of bool
        As of `dropout`.

    Raises
    ------
    ValueError
        If p is no probability.
    TypeError
        If the input is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import alpha_dropout
    >>> output, mask = alpha_dropout(np.zeros(100_000), 0.2, rng=1)
    >>> abs(output.mean()) < 0.01
    np.True_
    """
    output, mask = _drop(input, input.shape, p, training, rng)
    if training:
        a = _alpha_scale(p)
        kept = a * (input.astype(np.float64) + p * SELU_LIMIT)
        output = np.where(mask, kept, a * (p - 1) * SELU_LIMIT).astype(output.dtype)
    return output, mask


@described_like(dropout_backward)
def alpha_dropout_backward(grad_output: Array, mask: Array, p: float = 0.5) -> Array:
    """Let the residual pass where a cell was on, scaled as the cell was.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import alpha_dropout_backward
    >>> alpha_dropout_backward(np.array([1.0, 3]), np.array([True, False]), 0.0)
    array([1., 0.])
    """
    return _pass(grad_output, mask, grad_output.shape, _alpha_scale(p))


def _drop(
    input: Array,
    size: tuple[int, ...],
    p: float,
    training: bool,
    rng: np.random.Generator | int | None,
) -> tuple[Array, Array]:
    """Switch off cells by a mask of this size."""
    dtype = float_dtype(input=input)
    scale = _dropout_scale(p)
    if not training:
        return input.astype(dtype), np.ones(size, bool)
    mask = np.random.default_rng(rng).random(size) >= p
    return np.where(mask, input * dtype.type(scale), 0).astype(dtype), mask


def _pass(grad_output: Array, mask: Array, size: tuple[int, ...], scale: float) -> Array:
    """Let the residual pass where a mask of this size is set."""
    dtype = float_dtype(grad_output=grad_output)
    if mask.dtype != np.bool_:
        raise TypeError(f"mask has dtype {mask.dtype}, expected bool")
    expect_shape("mask", mask, size)
    return np.where(mask, grad_output * dtype.type(scale), 0).astype(dtype)


def _dropout_scale(p: float) -> float:
    if not 0 <= p <= 1:
        raise ValueError(f"p is {p}, expected a probability from 0 to 1")
    # With p = 1 no cell is left to be scaled.
    return 1 / (1 - p) if p < 1 else 0


def _alpha_scale(p: float) -> float:
    return 0 if _dropout_scale(p) == 0 else 1 / sqrt((1 - p) * (1 + p * SELU_LIMIT**2))
