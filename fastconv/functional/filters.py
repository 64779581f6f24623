"""Kernels made by hand, as image processing has used them before any were learned.

They are arrays (K, 1, R, S), ready for `conv2d`, which does not turn them: each filters one
channel, and ``kernel[k, 0]`` is the map for `correlate2`. For c channels at once take
``np.tile(kernel, (c, 1, 1, 1))`` and ``groups=c``.
"""

from math import exp

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _check
from fastconv._check import Array, PerAxis


def sobel(*, dtype: DTypeLike = np.float32) -> Array:
    """Return Sobel's two kernels: the slope to the right and that downwards, smoothed across.

    Parameters
    ----------
    dtype : dtype, keyword-only
        Float32 or float64.

    Returns
    -------
    ndarray, shape (2, 1, 3, 3)

    Notes
    -----
    I. Sobel and G. Feldman, "A 3x3 isotropic gradient operator for image processing", 1968.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.sobel()[:, 0]
    array([[[-1.,  0.,  1.], [-2.,  0.,  2.], [-1.,  0.,  1.]],
           [[-1., -2., -1.], [ 0.,  0.,  0.], [ 1.,  2.,  1.]]], dtype=float32)
    >>> edge = np.zeros((1, 4, 6), np.float32)
    >>> edge[..., 3:] = 1
    >>> F.conv2d(edge, F.sobel())[0]
    array([[0., 4., 4., 0.], [0., 4., 4., 0.]], dtype=float32)
    """
    return _slopes([1, 2, 1], dtype)


def prewitt(*, dtype: DTypeLike = np.float32) -> Array:
    """Return Prewitt's two kernels: as `sobel`, with the mean of three rows or columns.

    Parameters
    ----------
    dtype : dtype, keyword-only
        Float32 or float64.

    Returns
    -------
    ndarray, shape (2, 1, 3, 3)

    Notes
    -----
    J. Prewitt, "Object enhancement and extraction", 1970.

    Examples
    --------
    >>> from fastconv import functional as F
    >>> F.prewitt()[0, 0]
    array([[-1.,  0.,  1.], [-1.,  0.,  1.], [-1.,  0.,  1.]], dtype=float32)
    """
    return _slopes([1, 1, 1], dtype)


def scharr(*, dtype: DTypeLike = np.float32) -> Array:
    """Return Scharr's two kernels: as `sobel`, with directions that are more exact.

    Parameters
    ----------
    dtype : dtype, keyword-only
        Float32 or float64.

    Returns
    -------
    ndarray, shape (2, 1, 3, 3)

    Notes
    -----
    H. Scharr, "Optimal operators in digital image processing", dissertation, Heidelberg 2000.

    Examples
    --------
    >>> from fastconv import functional as F
    >>> F.scharr()[0, 0]
    array([[ -3.,   0.,   3.], [-10.,   0.,  10.], [ -3.,   0.,   3.]], dtype=float32)
    """
    return _slopes([3, 10, 3], dtype)


def roberts(*, dtype: DTypeLike = np.float32) -> Array:
    """Return Roberts' cross: the slopes along the two diagonals.

    Parameters
    ----------
    dtype : dtype, keyword-only
        Float32 or float64.

    Returns
    -------
    ndarray, shape (2, 1, 2, 2)

    Notes
    -----
    L. Roberts, "Machine perception of three-dimensional solids", 1963.

    Examples
    --------
    >>> from fastconv import functional as F
    >>> F.roberts()[:, 0]
    array([[[ 1.,  0.], [ 0., -1.]], [[ 0.,  1.], [-1.,  0.]]], dtype=float32)
    """
    return _kernels([[[1, 0], [0, -1]], [[0, 1], [-1, 0]]], dtype)


def laplacian(diagonals: bool = False, *, dtype: DTypeLike = np.float32) -> Array:
    """Return the kernel of the sum of the second derivatives, which is 0 on flats and slopes.

    Parameters
    ----------
    diagonals : bool
        Take the differences to all eight neighbours, not to four.
    dtype : dtype, keyword-only
        Float32 or float64.

    Returns
    -------
    ndarray, shape (1, 1, 3, 3)

    Examples
    --------
    >>> from fastconv import functional as F
    >>> F.laplacian()[0, 0]
    array([[ 0.,  1.,  0.], [ 1., -4.,  1.], [ 0.,  1.,  0.]], dtype=float32)
    """
    corner = 1 if diagonals else 0
    middle = -8 if diagonals else -4
    return _kernels([[[corner, 1, corner], [1, middle, 1], [corner, 1, corner]]], dtype)


def sharpen(*, dtype: DTypeLike = np.float32) -> Array:
    """Return the kernel that takes the `laplacian` from an image.

    Parameters
    ----------
    dtype : dtype, keyword-only
        Float32 or float64.

    Returns
    -------
    ndarray, shape (1, 1, 3, 3)

    Examples
    --------
    >>> from fastconv import functional as F
    >>> F.sharpen()[0, 0]
    array([[ 0., -1.,  0.], [-1.,  5., -1.], [ 0., -1.,  0.]], dtype=float32)
    """
    return _kernels([[[0, -1, 0], [-1, 5, -1], [0, -1, 0]]], dtype)


def emboss(*, dtype: DTypeLike = np.float32) -> Array:
    """Return the kernel that lights an image as a relief from above on the left.

    Parameters
    ----------
    dtype : dtype, keyword-only
        Float32 or float64.

    Returns
    -------
    ndarray, shape (1, 1, 3, 3)

    Examples
    --------
    >>> from fastconv import functional as F
    >>> F.emboss()[0, 0]
    array([[-2., -1.,  0.], [-1.,  1.,  1.], [ 0.,  1.,  2.]], dtype=float32)
    """
    return _kernels([[[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]], dtype)


def box(size: PerAxis = 3, *, dtype: DTypeLike = np.float32) -> Array:
    """Return the kernel of a mean.

    Parameters
    ----------
    size : int or pair of int
        Rows and columns.
    dtype : dtype, keyword-only
        Float32 or float64.

    Returns
    -------
    ndarray, shape (1, 1, *size)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.

    Examples
    --------
    >>> from fastconv import functional as F
    >>> F.box((1, 2))
    array([[[[0.5, 0.5]]]], dtype=float32)
    """
    rows, columns = _check.integers("size", size, 2, 1)
    return _kernels(np.full((1, rows, columns), 1 / (rows * columns)), dtype)


def gaussian(size: PerAxis = 3, sigma: float = 0.5, *, dtype: DTypeLike = np.float32) -> Array:
    """Return exp(-(x^2 + y^2) / (2 sigma^2)) around the middle of a kernel, scaled to the sum 1.

    Parameters
    ----------
    size : int or pair of int
        Rows and columns; where one is even, the middle lies between two cells.
    sigma : float
        The standard deviation in cells, above 0. The defaults are MATLAB's.
    dtype : dtype, keyword-only
        Float32 or float64.

    Returns
    -------
    ndarray, shape (1, 1, *size)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.

    Examples
    --------
    >>> from fastconv import functional as F
    >>> F.gaussian(3, 1.0)[0, 0].round(3)
    array([[0.075, 0.124, 0.075], [0.124, 0.204, 0.124], [0.075, 0.124, 0.075]], dtype=float32)
    """
    rows, columns = _check.integers("size", size, 2, 1)
    width = _check.number("sigma", sigma)
    if not width > 0:
        raise ValueError(f"sigma must be above 0, got {sigma}")
    down, across = (_bell(length, width) for length in (rows, columns))
    return _kernels(np.multiply.outer(down, across)[None], dtype)


def _bell(length: int, sigma: float) -> Array:
    middle = (length - 1) / 2
    # Less the exponent of the cells next to the middle, so that a narrow bell is not all zeros.
    nearest = ((length + 1) % 2 / 2) ** 2
    # At a thousandth of a cell all others are 0 already, and no quotient overflows yet.
    sigma = max(sigma, 1e-3)
    heights = [exp(-((i - middle) ** 2 - nearest) / 2 / sigma / sigma) for i in range(length)]
    return np.array(heights) / sum(heights)


def _slopes(across: list[int], dtype: DTypeLike) -> Array:
    """Return the differences to the right and downwards, weighted across."""
    right = np.multiply.outer(across, [-1, 0, 1])
    return _kernels(np.array([right, right.T]), dtype)


def _kernels(maps: object, dtype: DTypeLike) -> Array:
    """Return maps (K, R, S) as kernels of one channel."""
    return np.ascontiguousarray(np.array(maps)[:, None], _check.float_dtype(dtype))
