"""Dropout: elements, or whole channels, switched off at random.

What is dropped is chosen, not multiplied away: an infinity goes, too. The masks come from `rng`
alone: an element, or a channel, is kept where ``rng.random(mask.shape) >= p``.
"""

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from fastconv import _check
from fastconv._check import Array, Random
from fastconv._docs import described_like
from fastconv.engine.ops import activations as compiled
from fastconv.functional._elementwise import delivered, writeable_flat

Mask = NDArray[np.bool_]

# Minus the limit of `selu` for very negative inputs.
SELU_LIMIT = 1.7580993408473766
# Random numbers that are drawn at a time.
_DRAWN = 8192


def dropout(
    input: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    rng: Random = None,
    out: Array | None = None,
) -> tuple[Array, Mask]:
    """Set each element to zero with probability p, and scale the others by 1/(1 - p).

    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.

    Parameters
    ----------
    input : ndarray
        Float32 or float64, any shape.
    p : float
        Probability of a zero, from 0 to 1.
    training : bool
        False returns the input's values and a mask that keeps everything.
    rng : int or numpy.random.Generator, optional
        Where the random numbers come from; an int is a seed.
    out : ndarray, optional
        Where to write the output.

    Returns
    -------
    output : ndarray, shape of `input`
    mask : ndarray of bool, same shape
        True where the element was kept.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, p lies outside [0, 1], or the input has other axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> output, mask = F.dropout(np.ones(4), 0.5, rng=1)
    >>> bool((output == 2 * mask).all())
    True
    """
    return _dropped(input, None, p, training, rng, out)


def dropout_backward(
    grad_output: Array, mask: Mask, p: float = 0.5, *, out: Array | None = None
) -> Array:
    """Return the gradient of `dropout`: grad_output / (1 - p) where the element was kept, else 0.

    Parameters
    ----------
    grad_output : ndarray
        The residual.
    mask : ndarray of bool
        What the forward function returned.
    p : float
        As there.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `grad_output`

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape, or p lies outside [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.dropout_backward(np.array([1.0, 1.0]), np.array([True, False]), 0.5)
    array([2., 0.])
    """
    return _graded(grad_output, mask, 0, _scale(_check.probability("p", p)), out)


def dropout2d(
    input: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    rng: Random = None,
    out: Array | None = None,
) -> tuple[Array, Mask]:
    """Drop whole channels of maps as `dropout` drops elements.

    J. Tompson et al., "Efficient object localization using convolutional networks", 2015.

    Parameters
    ----------
    input : ndarray
        Float32 or float64, (N, C, H, W) or (C, H, W).
    p : float
        Probability of a zero, from 0 to 1.
    training : bool
        False returns the input's values and a mask that keeps everything.
    rng : int or numpy.random.Generator, optional
        Where the random numbers come from; an int is a seed.
    out : ndarray, optional
        Where to write the output.

    Returns
    -------
    output : ndarray, shape of `input`
    mask : ndarray of bool, (N, C, 1, ...) or (C, 1, ...)
        True where the channel was kept.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, p lies outside [0, 1], or the input has other axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> output, mask = F.dropout2d(np.ones((2, 3, 5, 5)), rng=1)
    >>> mask.shape, bool((output == 2 * mask).all())
    ((2, 3, 1, 1), True)
    """
    return _dropped(input, 2, p, training, rng, out)


@described_like(dropout_backward)
def dropout2d_backward(
    grad_output: Array, mask: Mask, p: float = 0.5, *, out: Array | None = None
) -> Array:
    """Return the gradient of `dropout2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.dropout2d_backward(np.ones((1, 1, 2)), np.ones((1, 1, 1), bool))
    array([[[2., 2.]]])
    """
    return _graded(grad_output, mask, 2, _scale(_check.probability("p", p)), out)


@described_like(dropout2d, 1)
def dropout1d(
    input: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    rng: Random = None,
    out: Array | None = None,
) -> tuple[Array, Mask]:
    """Drop whole channels of lines, as in `dropout2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> output, mask = F.dropout1d(np.ones((2, 3, 5)), rng=1)
    >>> mask.shape, bool((output == 2 * mask).all())
    ((2, 3, 1), True)
    """
    return _dropped(input, 1, p, training, rng, out)


@described_like(dropout_backward)
def dropout1d_backward(
    grad_output: Array, mask: Mask, p: float = 0.5, *, out: Array | None = None
) -> Array:
    """Return the gradient of `dropout1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.dropout1d_backward(np.ones((2, 2)), np.array([[True], [False]]))
    array([[2., 2.],
           [0., 0.]])
    """
    return _graded(grad_output, mask, 1, _scale(_check.probability("p", p)), out)


@described_like(dropout2d, 3)
def dropout3d(
    input: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    rng: Random = None,
    out: Array | None = None,
) -> tuple[Array, Mask]:
    """Drop whole channels of volumes, as in `dropout2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> output, mask = F.dropout3d(np.ones((2, 3, 2, 5, 5)), rng=1)
    >>> mask.shape, bool((output == 2 * mask).all())
    ((2, 3, 1, 1, 1), True)
    """
    return _dropped(input, 3, p, training, rng, out)


@described_like(dropout_backward)
def dropout3d_backward(
    grad_output: Array, mask: Mask, p: float = 0.5, *, out: Array | None = None
) -> Array:
    """Return the gradient of `dropout3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.dropout3d_backward(np.ones((1, 1, 1, 2)), np.ones((1, 1, 1, 1), bool))
    array([[[[2., 2.]]]])
    """
    return _graded(grad_output, mask, 3, _scale(_check.probability("p", p)), out)


@described_like(dropout)
def alpha_dropout(
    input: Array,
    p: float = 0.5,
    training: bool = True,
    *,
    rng: Random = None,
    out: Array | None = None,
) -> tuple[Array, Mask]:
    """Set elements to the lower limit of `selu`; what has mean 0 and variance 1 keeps both.

    With l = 1.7581 and a = 1/sqrt((1 - p) (1 + p l^2)) an element that is kept becomes
    a (input + p l), another a (p l - l); with p = 1 all are 0. G. Klambauer et al.,
    "Self-normalizing neural networks", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> output, mask = F.alpha_dropout(np.zeros(100_000), 0.2, rng=1)
    >>> abs(output.mean()) < 0.01
    np.True_
    """
    p = _check.probability("p", p)
    scale, limit = _alpha_scale(p), SELU_LIMIT
    return _dropped(
        input, None, p, training, rng, out, (scale, scale * limit * p, scale * limit * (p - 1))
    )


@described_like(dropout_backward)
def alpha_dropout_backward(
    grad_output: Array, mask: Mask, p: float = 0.5, *, out: Array | None = None
) -> Array:
    """Return the gradient of `alpha_dropout`: a * grad_output where the element was kept, else 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.alpha_dropout_backward(np.array([1.0, 1.0]), np.array([True, False]), 0.0)
    array([1., 0.])
    """
    return _graded(grad_output, mask, 0, _alpha_scale(_check.probability("p", p)), out)


def _scale(p: float) -> float:
    """Return what keeps the mean; with p = 1 nothing is left to be scaled."""
    return 1 / (1 - p) if p < 1 else 0.0


def _alpha_scale(p: float) -> float:
    return 1 / sqrt((1 - p) * (1 + p * SELU_LIMIT**2)) if p < 1 else 0.0


def _dropped(
    input: Array,
    axes: int | None,
    p: float,
    training: bool,
    rng: Random,
    out: Array | None,
    line: tuple[float, float, float] | None = None,
) -> tuple[Array, Mask]:
    """Drop elements, or with spatial axes channels.

    `line` holds scale and shift of what is kept, and what the others become.
    """
    input = _check.array("input", input)
    p = _check.probability("p", p)
    if axes is not None:
        _check.rank("input", input.shape, axes)
    result = _check.elementwise(out, input)
    kept = input.ndim if axes is None else input.ndim - axes
    shape = (*input.shape[:kept], *(1,) * (input.ndim - kept))
    if not training:
        result[...] = input
        return result, np.ones(shape, np.bool_)
    mask = _drawn(shape, p, rng)
    _choose(input, mask, line or (_scale(p), -0.0, 0.0), result)
    return result, mask


def _drawn(shape: tuple[int, ...], p: float, rng: Random) -> Mask:
    """Return rng.random(shape) >= p, without room for all of these numbers."""
    generator = np.random.default_rng(rng)
    mask = np.empty(shape, np.bool_)
    flat = mask.reshape(-1)
    drawn = np.empty(min(_DRAWN, flat.size))
    for first in range(0, flat.size, _DRAWN):
        part = flat[first : first + _DRAWN]
        np.greater_equal(generator.random(out=drawn[: part.size]), p, out=part)
    return mask


def _graded(grad_output: Array, mask: Mask, axes: int, scale: float, out: Array | None) -> Array:
    """Return scale * grad_output where the mask, with `axes` axes of size 1, is set, else 0."""
    grad_output = _check.array("grad_output", grad_output)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError("mask must be a numpy.ndarray of bool")
    kept = grad_output.ndim - axes
    shape = (*grad_output.shape[:kept], *(1,) * axes)
    name = "(N, C, 1, ...) or (C, 1, ...)" if axes else "grad_output.shape"
    _check.same_shape("mask", mask, shape, name)
    result = _check.elementwise(out, grad_output)
    _choose(grad_output, mask, (scale, -0.0, 0.0), result)
    return result


def _choose(values: Array, mask: Mask, line: tuple[float, float, float], result: Array) -> None:
    """Write scale * values + shift where the mask is set, else the last number, into the result.

    A shift of -0 leaves every number as it is, a zero with its sign.
    """
    flat = writeable_flat(result, values)
    size = values.size // mask.size if mask.size else 0
    compiled.choose(np.ascontiguousarray(values), np.ascontiguousarray(mask), size, *line, flat)
    delivered(flat, result)
