"""Convolution and correlation of two maps, as in MATLAB's conv2 and in the lectures.

What is called a convolution in networks turns no kernel: it is a correlation. `conv2` turns it.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastconv import _check
from fastconv._check import Array
from fastconv.engine.choice import exact
from fastconv.functional.conv import conv2d

Anything: TypeAlias = NDArray[Any]

SHAPES = ("full", "same", "valid")


def conv2(
    a: Array, b: Array, shape: str = "full", *, algorithm: str = "auto", out: Array | None = None
) -> Array:
    """Convolve two maps: c[i, j] = sum over p, q of a[p, q] b[i - p, j - q].

    Parameters
    ----------
    a, b : ndarray of shape (H, W) and (R, S), or (W,) and (S,)
        Of one dtype, float32 or float64. One axis stands for one row.
    shape : {"full", "same", "valid"}
        Which part of the sum is returned: all of it, (H + R - 1, W + S - 1); its centre, of the
        shape of `a`, that begins at (R // 2, S // 2), as in MATLAB; or what no zeros beyond the
        edge of `a` are part of, (H - R + 1, W - S + 1), which is empty where `a` is smaller than
        `b`.
    algorithm : str, keyword-only
        As in `conv2d`, but "auto" takes only those that are exact on integers; ask for "fft" where
        both maps are large.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        If `a` or `b` is not such an array, they differ in dtype or number of axes, or `shape` is
        none of the above.

    Notes
    -----
    The backward pass of the lectures through z = `correlate2` (a, w, "valid") is
    conv2(delta, w, "full"): the residual, padded, convolved with the kernel (which turns it). Where
    a text writes conv2(w, a, "valid") for the forward pass, a plain product of each window with w
    is meant, and MATLAB's conv2 gives nothing, since its first argument is the smaller one.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> a = np.array([-1.0, 2, 3, -2, 0, 1, 2])
    >>> b = np.array([2.0, 4, -1, 1])
    >>> F.conv2(a, b, "same")
    array([15.,  5., -9.,  7.,  6.,  7., -1.])
    >>> F.conv2(b, a, "valid")
    array([], dtype=float64)

    Forward and backward pass through a kernel.

    >>> image, w = np.arange(9.0).reshape(3, 3), np.array([[1.0, 2], [3, 4]])
    >>> z = F.correlate2(image, w, "valid")
    >>> z
    array([[27., 37.], [57., 67.]])
    >>> F.conv2(w, image, "valid").shape
    (0, 0)
    >>> delta = np.array([[1.0, 0], [0, 1]])
    >>> F.conv2(delta, w, "full")
    array([[1., 2., 0.], [3., 5., 2.], [0., 3., 4.]])
    >>> F.correlate2(delta, F.rot180(w), "full")
    array([[1., 2., 0.], [3., 5., 2.], [0., 3., 4.]])
    """
    a, b = _maps(a, b, shape)
    return _correlate(a, _turned(b), shape, algorithm, out)


def correlate2(
    a: Array, b: Array, shape: str = "full", *, algorithm: str = "auto", out: Array | None = None
) -> Array:
    """Correlate two maps: `conv2` with the second one turned by 180 degrees.

    Parameters
    ----------
    a, b, shape, algorithm, out
        As in `conv2`; "same" has the centre of MATLAB's filter2(b, a), so that the result of a
        window stands at its cell ((R - 1) // 2, (S - 1) // 2).

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        As in `conv2`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> image = np.array([[1.0, 8, 4], [7, 2, 1], [6, 1, 2]])
    >>> F.correlate2(image, np.array([[1.0, 0], [0, -1]]), "valid")
    array([[-1.,  7.], [ 6.,  0.]])
    """
    a, b = _maps(a, b, shape)
    return _correlate(a, b, shape, algorithm, out)


def rot180(
    a: NDArray[np.generic], *, out: NDArray[np.generic] | None = None
) -> NDArray[np.generic]:
    """Return an array with its last two axes turned by 180 degrees, as kernels are.

    Parameters
    ----------
    a : ndarray
        A map, kernels (K, C, R, S), or one axis, which is reversed.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape and dtype of `a`

    Raises
    ------
    TypeError
        If `a` is not a NumPy array, or is masked.
    ValueError
        If it has no axis, or `out` does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.rot180(np.array([[1, 2], [3, 4]]))
    array([[4, 3], [2, 1]])
    """
    a = _check.plain_array("a", a)
    if a.ndim == 0:
        raise ValueError("a must have one axis or more, got an array of shape ()")
    if out is None:
        return _turned(a).copy()
    # In one step only where nothing is read after it was written.
    result = _check.writeable(out, a.shape, a.dtype)
    result[...] = _turned(a).copy() if np.may_share_memory(a, result) else _turned(a)
    return result


def _turned(a: Anything) -> Anything:
    return a[..., ::-1, ::-1] if a.ndim > 1 else a[::-1]


def _maps(a: Array, b: Array, shape: str) -> tuple[Array, Array]:
    """Refuse what is no pair of maps, or no part of a convolution."""
    a, b = _check.array("a", a), _check.array("b", b)
    _check.same_dtype("b", b, "a", a)
    if a.ndim not in (1, 2) or b.ndim != a.ndim:
        raise ValueError(
            f"a and b must both be (H, W) or both (W,), got shapes {a.shape} and {b.shape}"
        )
    if shape not in SHAPES:
        raise ValueError(f"shape must be one of {', '.join(map(repr, SHAPES))}, got {shape!r}")
    return a, b


def _correlate(a: Array, b: Array, shape: str, algorithm: str, out: Array | None) -> Array:
    size = tuple(_length(n, k, shape) for n, k in zip(a.shape, b.shape, strict=True))
    result = _check.output(out, size, a.dtype, a, b)
    if 0 in a.shape or 0 in b.shape or 0 in size:
        # Sums of nothing.
        result[...] = 0
    elif algorithm == "auto":
        with exact():
            _fill(a, b, shape, algorithm, result)
    else:
        _fill(a, b, shape, algorithm, result)
    return _check.deliver(result, out)


def _fill(a: Array, b: Array, shape: str, algorithm: str, result: Array) -> None:
    if shape == "full" and b.size > a.size:
        # Turned, the sum is the same with its two maps exchanged, and takes fewer products.
        a, b = _turned(b), _turned(a)
    conv2d(_batch(a), _batch(b), padding=shape, algorithm=algorithm, out=_batch(result))


def _batch(a: Array) -> Array:
    return a[None, None] if a.ndim == 2 else a[None, None, None]


def _length(n: int, k: int, shape: str) -> int:
    """Return the length of a result on one axis, for empty maps by MATLAB's formulas."""
    if shape == "same":
        return n
    return max(n + k - 1, 0) if shape == "full" else max(n - max(k - 1, 0), 0)
