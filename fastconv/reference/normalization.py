"""Normalisation across neighbouring channels, and its gradient."""

import numpy as np

from fastconv.reference._arguments import Array, expect_shape, float_dtype


def _window(channels: int, c: int, size: int) -> slice:
    """Return the channels that normalise channel c."""
    return slice(max(c - size // 2, 0), min(c + (size - 1) // 2 + 1, channels))


def _scales(x: Array, size: int, alpha: float, k: float) -> Array:
    """Return what is raised to the power -beta."""
    squares = x * x
    sums = [squares[:, _window(x.shape[1], c, size)].sum(1) for c in range(x.shape[1])]
    return k + alpha * np.stack(sums, 1)


def local_response_norm(
    input: Array,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    divide_by_size: bool = True,
) -> Array:
    """Divide by a power of what the neighbouring channels hold.

    Parameters
    ----------
    input : numpy.ndarray, shape (N, C, ...)
        Maps of float32 or float64.
    size : int
        The channels of a window.
    alpha, beta, k : float
        Factor of the sum of squares, exponent, and what is added.
    divide_by_size : bool
        Divide alpha by the size.

    Returns
    -------
    numpy.ndarray
        ``input / (k + alpha / size * sum of squares) ** beta``.

    Raises
    ------
    TypeError
        If the input is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import local_response_norm
    >>> local_response_norm(np.array([[1.0, 2.0, 3.0]]), 3, alpha=3, beta=1, k=0).round(3)
    array([[0.2  , 0.143, 0.231]])
    """
    dtype = float_dtype(input=input)
    x = input.astype(np.float64)
    scale = _scales(x, size, alpha / size if divide_by_size else alpha, k)
    return (x * scale**-beta).astype(dtype)


def local_response_norm_backward(
    grad_output: Array,
    input: Array,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    divide_by_size: bool = True,
) -> Array:
    """Return the gradient of `local_response_norm`.

    Parameters
    ----------
    grad_output, input : numpy.ndarray, shape (N, C, ...)
        The residual, and the input of `local_response_norm`.
    size, alpha, beta, k, divide_by_size
        As in `local_response_norm`.

    Returns
    -------
    numpy.ndarray
        What each channel gives to itself, and to those whose windows hold it.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import local_response_norm_backward
    >>> local_response_norm_backward(
    ...     np.ones((1, 2)), np.array([[1.0, 2.0]]), 1, alpha=1, beta=1, k=0)
    array([[-1.  , -0.25]])
    """
    dtype = float_dtype(grad_output=grad_output, input=input)
    expect_shape("grad_output", grad_output, input.shape)
    g, x = grad_output.astype(np.float64), input.astype(np.float64)
    factor = alpha / size if divide_by_size else alpha
    scale = _scales(x, size, factor, k)
    gradient = g * scale**-beta
    for c in range(x.shape[1]):
        window = _window(x.shape[1], c, size)
        share = g[:, c] * x[:, c] * -beta * scale[:, c] ** (-beta - 1)
        gradient[:, window] += 2 * factor * share[:, None] * x[:, window]
    return gradient.astype(dtype)
