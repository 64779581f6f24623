"""A convolution as the matrix of the equivalent full connection."""

from collections.abc import Sequence

import numpy as np

from fastconv.reference._arguments import Array, PerAxis, expect_axes, float_dtype
from fastconv.reference._windows import Geometry, Padding


def conv1d_matrix(
    weight: Array,
    input_size: Sequence[int],
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Unroll a convolution over one axis; see `conv2d_matrix`.

    Parameters
    ----------
    weight : numpy.ndarray of shape (K, C / groups, S)
        Kernels w.
    input_size : sequence of int
        Shape of one sample, (C, W); a batch size before it is ignored.
    stride, padding, dilation, groups
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray of shape (K OW, C W)

    Raises
    ------
    TypeError, ValueError
        As `conv2d_matrix`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv1d_matrix
    >>> conv1d_matrix(np.array([[[1.0, 2]]]), (1, 3))
    array([[1., 2., 0.], [0., 1., 2.]])
    """
    expect_axes("weight", weight.ndim, (3,))
    return conv_nd_matrix(weight, input_size, stride, padding, dilation, groups)


def conv2d_matrix(
    weight: Array,
    input_size: Sequence[int],
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Unroll a convolution into the matrix of the equivalent full connection.

    Parameters
    ----------
    weight : numpy.ndarray of shape (K, C / groups, R, S)
        Kernels w.
    input_size : sequence of int
        Shape of one sample, (C, H, W); a batch size before it is ignored.
    stride, padding, dilation, groups
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray of shape (K OH OW, C H W)
        The matrix M. Most of it is zero and each weight appears in it many times: sparse
        connections and shared weights.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    TypeError
        If the kernels are not float32 or float64.

    Notes
    -----
    The matrix is filled weight by weight, without any convolution. With vec() the values of one
    sample in row order::

        vec(z)     = M vec(a) + b
        vec(dJ/da) = M^T vec(delta)
        dJ/dM      = vec(delta) vec(a)^T

    and dJ/dw sums dJ/dM over the places where a weight appears (Dumoulin and Visin, arXiv
    1603.07285, section 4.1).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv2d_matrix
    >>> conv2d_matrix(np.array([[[[1.0, 2], [3, 4]]]]), (1, 3, 3))
    array([[1., 2., 0., 3., 4., 0., 0., 0., 0.],
           [0., 1., 2., 0., 3., 4., 0., 0., 0.],
           [0., 0., 0., 1., 2., 0., 3., 4., 0.],
           [0., 0., 0., 0., 1., 2., 0., 3., 4.]])
    """
    expect_axes("weight", weight.ndim, (4,))
    return conv_nd_matrix(weight, input_size, stride, padding, dilation, groups)


def conv3d_matrix(
    weight: Array,
    input_size: Sequence[int],
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Unroll a convolution over three axes; see `conv2d_matrix`.

    Parameters
    ----------
    weight : numpy.ndarray of shape (K, C / groups, T, R, S)
        Kernels w.
    input_size : sequence of int
        Shape of one sample, (C, D, H, W); a batch size before it is ignored.
    stride, padding, dilation, groups
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray of shape (K OD OH OW, C D H W)

    Raises
    ------
    TypeError, ValueError
        As `conv2d_matrix`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv3d_matrix
    >>> conv3d_matrix(np.ones((1, 1, 2, 1, 1)), (1, 3, 1, 1))
    array([[1., 1., 0.], [0., 1., 1.]])
    """
    expect_axes("weight", weight.ndim, (5,))
    return conv_nd_matrix(weight, input_size, stride, padding, dilation, groups)


def conv_nd_matrix(
    weight: Array,
    input_size: Sequence[int],
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Unroll a convolution over any number of spatial axes; see `conv2d_matrix`.

    Parameters
    ----------
    weight : numpy.ndarray of shape (K, C / groups, *kernel)
        Kernels.
    input_size : sequence of int
        Shape of one sample, (C, *size); a batch size before it is ignored.
    stride, padding, dilation, groups
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray of shape (K * prod(output), C * prod(size))
        The matrix.
    """
    dtype = float_dtype(weight=weight)
    axes = weight.ndim - 2
    expect_axes("input_size", len(input_size), (axes + 1, axes + 2))
    sample = tuple(input_size[-axes - 1 :])
    place = Geometry((1, *sample), weight.shape, stride, padding, dilation, groups)
    matrix = np.zeros((weight.shape[0], *place.output, *sample), dtype)
    for maps, kernels in place.groups:
        for k in range(kernels.start, kernels.stop):
            for at in np.ndindex(*place.output):
                for c, *tap in np.ndindex(*weight.shape[1:]):
                    cell = [
                        place.starts[axis][at[axis]]
                        + tap[axis] * place.dilation[axis]
                        - place.pairs[axis][0]
                        for axis in range(axes)
                    ]
                    if all(0 <= x < length for x, length in zip(cell, sample[1:], strict=True)):
                        matrix[(k, *at, maps.start + c, *cell)] = weight[(k, c, *tap)]
    return matrix.reshape(weight.shape[0] * int(np.prod(place.output)), int(np.prod(sample)))
