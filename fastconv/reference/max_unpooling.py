"""Max pooling undone, and its gradient, number by number."""

from collections.abc import Sequence

import numpy as np

from fastconv._docs import described_like
from fastconv.reference._arguments import Array, PerAxis, float_dtype, per_axis
from fastconv.reference._pooling import expect_places, planes, to_places


def max_unpool2d(
    input: Array,
    indices: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    output_size: Sequence[int] | None = None,
) -> Array:
    """Put the maxima back to where they were.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, OH, OW) or (C, OH, OW)
        The maxima, float32 or float64.
    indices : numpy.ndarray of int, same shape
        Their places, from `max_pool2d`. The last of several maxima with one place stays.
    kernel_size, stride, padding : int or sequence of int
        Those of the pooling.
    output_size : sequence of int, optional
        Size of the result, with or without (N, C); by default the smallest that the windows cover
        without what was left over.

    Returns
    -------
    numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        The maxima in their places, zeros elsewhere.

    Raises
    ------
    ValueError
        If shapes do not fit together or an index lies outside the map.
    TypeError
        If the input is not an array of float32 or float64, or the indices are not integers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import max_unpool2d
    >>> max_unpool2d(np.array([[[7.0, 3]]]), np.array([[[1, 6]]]), 2)
    array([[[0., 7., 0., 0.],
            [0., 0., 3., 0.]]])
    """
    size = _size(input.shape[-2:], kernel_size, stride, padding, output_size)
    return to_places(input, indices, (*input.shape[:-2], *size), 2, add=False)


@described_like(max_unpool2d, 1)
def max_unpool1d(
    input: Array,
    indices: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    output_size: Sequence[int] | None = None,
) -> Array:
    """Put the maxima of a sequence back to where they were.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import max_unpool1d
    >>> max_unpool1d(np.array([[7.0, 3]]), np.array([[1, 2]]), 2)
    array([[0., 7., 3., 0.]])
    """
    size = _size(input.shape[-1:], kernel_size, stride, padding, output_size)
    return to_places(input, indices, (*input.shape[:-1], *size), 1, add=False)


@described_like(max_unpool2d, 3)
def max_unpool3d(
    input: Array,
    indices: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    output_size: Sequence[int] | None = None,
) -> Array:
    """Put the maxima of a volume back to where they were.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import max_unpool3d
    >>> max_unpool3d(np.full((1, 1, 1, 1), 7.0), np.array([[[[2]]]]), (1, 2, 2))
    array([[[[0., 0.],
             [7., 0.]]]])
    """
    size = _size(input.shape[-3:], kernel_size, stride, padding, output_size)
    return to_places(input, indices, (*input.shape[:-3], *size), 3, add=False)


def max_unpool2d_backward(
    grad_output: Array,
    indices: Array,
) -> Array:
    """Fetch the residual of every maximum from where it was put.

    Parameters
    ----------
    grad_output : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Residual of the output of `max_unpool2d`.
    indices : numpy.ndarray of int, shape (N, C, OH, OW) or (C, OH, OW)
        The places of the maxima.

    Returns
    -------
    numpy.ndarray of the shape of `indices`
        Residual of the maxima.

    Raises
    ------
    ValueError
        If shapes do not fit together or an index lies outside the map.
    TypeError
        If the residual is not an array of float32 or float64, or the indices are not integers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import max_unpool2d_backward
    >>> max_unpool2d_backward(np.arange(8.0).reshape(1, 2, 4), np.array([[[1, 6]]]))
    array([[[1., 6.]]])
    """
    dtype = float_dtype(grad_output=grad_output)
    lines, _ = planes(grad_output, 2)
    expect_places(indices, (*lines.shape[:-1], *indices.shape[-2:]), lines.shape[-1])
    grad_input = np.empty(indices.shape, dtype)
    for place in np.ndindex(*indices.shape):
        grad_input[place] = lines[(*place[:-2], indices[place])]
    return grad_input


@described_like(max_unpool2d_backward, 1)
def max_unpool1d_backward(
    grad_output: Array,
    indices: Array,
) -> Array:
    """Fetch the residual of every maximum of a sequence from where it was put.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import max_unpool1d_backward
    >>> max_unpool1d_backward(np.arange(4.0).reshape(1, 4), np.array([[1, 2]]))
    array([[1., 2.]])
    """
    dtype = float_dtype(grad_output=grad_output)
    lines, _ = planes(grad_output, 1)
    expect_places(indices, (*lines.shape[:-1], *indices.shape[-1:]), lines.shape[-1])
    grad_input = np.empty(indices.shape, dtype)
    for place in np.ndindex(*indices.shape):
        grad_input[place] = lines[(*place[:-1], indices[place])]
    return grad_input


@described_like(max_unpool2d_backward, 3)
def max_unpool3d_backward(
    grad_output: Array,
    indices: Array,
) -> Array:
    """Fetch the residual of every maximum of a volume from where it was put.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import max_unpool3d_backward
    >>> max_unpool3d_backward(np.arange(8.0).reshape(1, 2, 2, 2), np.array([[[[6]]]]))
    array([[[[6.]]]])
    """
    dtype = float_dtype(grad_output=grad_output)
    lines, _ = planes(grad_output, 3)
    expect_places(indices, (*lines.shape[:-1], *indices.shape[-3:]), lines.shape[-1])
    grad_input = np.empty(indices.shape, dtype)
    for place in np.ndindex(*indices.shape):
        grad_input[place] = lines[(*place[:-3], indices[place])]
    return grad_input


def _size(
    size: Sequence[int],
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PerAxis,
    output_size: Sequence[int] | None,
) -> tuple[int, ...]:
    """Return the size of the map that was pooled: what the windows cover, or what is wanted."""
    axes = len(size)
    kernel = per_axis("kernel_size", kernel_size, axes)
    steps = kernel if stride is None else per_axis("stride", stride, axes)
    pads = per_axis("padding", padding, axes, 0)
    covered = tuple(
        (n - 1) * s + k - 2 * p for n, k, s, p in zip(size, kernel, steps, pads, strict=True)
    )
    found = covered if output_size is None else tuple(output_size[-axes:])
    if any(f < 0 or abs(f - c) >= s for f, c, s in zip(found, covered, steps, strict=True)):
        raise ValueError(f"output_size is {found}, expected {covered} or within a stride of it")
    return found
