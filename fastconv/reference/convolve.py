"""Convolution and correlation of two maps by their sums, term by term."""

import numpy as np

from fastconv.reference._arguments import Array, float_dtype


def conv2(a: Array, b: Array, shape: str = "full") -> Array:
    """Convolve two maps: c[i, j] = sum over p, q of a[p, q] b[i - p, j - q].

    Parameters
    ----------
    a, b : numpy.ndarray of shape (H, W) and (R, S), or (W,) and (S,)
        Of one dtype, float32 or float64.
    shape : {"full", "same", "valid"}
        All of it; its centre, of the shape of `a`; or what no zeros beyond the edge of `a` are
        part of.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    TypeError
        If the maps are not of one dtype, float32 or float64.
    ValueError
        If they differ in their number of axes, or there is no such shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import reference
    >>> a, b = np.array([-1.0, 2, 3, -2, 0, 1, 2]), np.array([2.0, 4, -1, 1])
    >>> reference.conv2(a, b)
    array([-2., 0., 15., 5., -9., 7., 6., 7., -1., 2.])
    >>> reference.conv2(a, b, "same")
    array([15., 5., -9., 7., 6., 7., -1.])
    """
    dtype = float_dtype(a=a, b=b)
    if a.ndim != b.ndim or a.ndim not in (1, 2):
        raise ValueError(f"maps of shapes {a.shape} and {b.shape}, expected two of 1 or 2 axes")
    full = np.zeros([max(n + k - 1, 0) for n, k in zip(a.shape, b.shape, strict=True)])
    for p in np.ndindex(a.shape):
        for q in np.ndindex(b.shape):
            full[tuple(np.add(p, q))] += float(a[p]) * float(b[q])
    if shape == "full":
        part = full
    elif shape == "same":
        begins = [k // 2 for k in b.shape]
        part = full[tuple(slice(i, i + n) for i, n in zip(begins, a.shape, strict=True))]
        if 0 in b.shape:
            part = np.zeros(a.shape)
    elif shape == "valid":
        sizes = [max(n - max(k - 1, 0), 0) for n, k in zip(a.shape, b.shape, strict=True)]
        part = np.zeros(sizes)
        if part.size and b.size:
            part = full[tuple(slice(k - 1, n) for n, k in zip(a.shape, b.shape, strict=True))]
    else:
        raise ValueError(f"shape is {shape!r}, expected 'full', 'same' or 'valid'")
    return part.astype(dtype)


def correlate2(a: Array, b: Array, shape: str = "full") -> Array:
    """Correlate two maps: `conv2` with the second one turned by 180 degrees.

    Parameters
    ----------
    a, b, shape
        As in `conv2`.

    Returns
    -------
    numpy.ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import reference
    >>> image = np.array([[1.0, 8, 4], [7, 2, 1], [6, 1, 2]])
    >>> reference.correlate2(image, np.array([[1.0, 0], [0, -1]]), "valid")
    array([[-1.,  7.], [ 6.,  0.]])
    """
    return conv2(a, rot180(b), shape)


def rot180(a: Array) -> Array:
    """Return an array with its last two axes turned by 180 degrees.

    Parameters
    ----------
    a : numpy.ndarray
        A map, kernels, or one axis, which is reversed.

    Returns
    -------
    numpy.ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import reference
    >>> reference.rot180(np.array([[1, 2], [3, 4]]))
    array([[4, 3], [2, 1]])
    """
    turned = np.empty_like(a, order="C")
    for place in np.ndindex(a.shape):
        kept, moved = place[: max(a.ndim - 2, 0)], place[max(a.ndim - 2, 0) :]
        lengths = a.shape[max(a.ndim - 2, 0) :]
        opposite = tuple(n - 1 - i for i, n in zip(moved, lengths, strict=True))
        turned[(*kept, *opposite)] = a[place]
    return turned
