"""The three gradients of convolution, written as in the lectures.

A residual is the gradient of the loss J with respect to the weighted input z of a layer. The
functions of one, two and three axes are thin names for one that works on any number of them.
"""

from collections.abc import Sequence

from fastconv._docs import described_like
from fastconv.reference._arguments import Array, PerAxis, expect_axes
from fastconv.reference._convolution import (
    Gradients,
    conv_nd_backward,
    conv_nd_bias,
    conv_nd_input,
    conv_nd_weight,
)
from fastconv.reference._windows import Padding


def conv2d_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
) -> Array:
    """Compute the gradient with respect to the input: the residual of the previous layer.

    Parameters
    ----------
    input_size : sequence of int
        Shape of the input, (N, C, H, W) or (C, H, W).
    weight : numpy.ndarray of shape (K, C / groups, R, S)
        Kernels w.
    grad_output : numpy.ndarray of shape (N, K, OH, OW) or (K, OH, OW)
        Residual delta of this layer.
    stride, padding, dilation, groups, padding_mode
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray of shape `input_size`
        dJ/da.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    TypeError
        If the arrays are not all float32 or all float64.

    Notes
    -----
    The residual, its cells pulled `stride` apart with zeros between, is padded with zeros in
    full mode and correlated with each kernel turned by 180 degrees, summed over the kernels::

        dJ/da[n, c] = sum_k  full(zero_fill(delta[n, k])) * rot180(w[k, c])

    Cells of the padded input that no window reaches get zero, and the padding is cropped away
    (Dumoulin and Visin, arXiv 1603.07285, section 4).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv2d_input
    >>> w = np.array([[[[1.0, 2], [3, 4]]]])
    >>> residual = np.array([[[1.0, 0], [0, 10]]])
    >>> conv2d_input((1, 3, 3), w, residual)
    array([[[ 1.,  2.,  0.],
            [ 3., 14., 20.],
            [ 0., 30., 40.]]])
    """
    expect_axes("weight", weight.ndim, (4,))
    steps = (stride, padding, dilation, groups, padding_mode)
    return conv_nd_input(input_size, weight, grad_output, *steps)


@described_like(conv2d_input, 1)
def conv1d_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
) -> Array:
    """Compute the gradient with respect to the input over one axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv1d_input
    >>> conv1d_input((1, 4), np.array([[[-1.0, 1]]]), np.array([[1.0, 0, 2]]))
    array([[-1.,  1., -2.,  2.]])
    """
    expect_axes("weight", weight.ndim, (3,))
    steps = (stride, padding, dilation, groups, padding_mode)
    return conv_nd_input(input_size, weight, grad_output, *steps)


@described_like(conv2d_input, 3)
def conv3d_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
) -> Array:
    """Compute the gradient with respect to the input over three axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv3d_input
    >>> conv3d_input((1, 2, 2, 2), np.ones((1, 1, 2, 2, 1)), np.array([[[[1.0, 2]]]]))
    array([[[[1., 2.],
             [1., 2.]],
    <BLANKLINE>
            [[1., 2.],
             [1., 2.]]]])
    """
    expect_axes("weight", weight.ndim, (5,))
    steps = (stride, padding, dilation, groups, padding_mode)
    return conv_nd_input(input_size, weight, grad_output, *steps)


def conv2d_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
) -> Array:
    """Compute the gradient with respect to the kernels.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Input maps a.
    weight_size : sequence of int
        Shape of the kernels, (K, C / groups, R, S).
    grad_output : numpy.ndarray of shape (N, K, OH, OW) or (K, OH, OW)
        Residual delta of this layer.
    stride, padding, dilation, groups, padding_mode
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray of shape `weight_size`
        dJ/dw.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    TypeError
        If the arrays are not all float32 or all float64.

    Notes
    -----
    The padded input is correlated with the residual, whose cells lie `stride` apart; the result
    is taken at every `dilation`-th place and summed over the samples::

        dJ/dw[k, c, r, q] = sum_n sum_i sum_j a[n, c, i s + r d, j s + q d] delta[n, k, i, j]

    So stride and dilation change places: it is the forward sum with the residual as the kernel.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv2d_weight
    >>> a = np.array([[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]])
    >>> residual = np.array([[[1.0, 0], [0, 10]]])
    >>> conv2d_weight(a, (1, 1, 2, 2), residual)
    array([[[[51., 62.],
             [84., 95.]]]])
    """
    expect_axes("weight_size", len(weight_size), (4,))
    steps = (stride, padding, dilation, groups, padding_mode)
    return conv_nd_weight(input, weight_size, grad_output, *steps)


@described_like(conv2d_weight, 1)
def conv1d_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
) -> Array:
    """Compute the gradient with respect to the kernels over one axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv1d_weight
    >>> conv1d_weight(np.array([[1.0, 2, 3, 5]]), (1, 1, 2), np.ones((1, 3)))
    array([[[ 6., 10.]]])
    """
    expect_axes("weight_size", len(weight_size), (3,))
    steps = (stride, padding, dilation, groups, padding_mode)
    return conv_nd_weight(input, weight_size, grad_output, *steps)


@described_like(conv2d_weight, 3)
def conv3d_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
) -> Array:
    """Compute the gradient with respect to the kernels over three axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv3d_weight
    >>> conv3d_weight(np.ones((1, 3, 3, 3)), (1, 1, 1, 1, 2), np.ones((1, 3, 3, 2)))
    array([[[[[18., 18.]]]]])
    """
    expect_axes("weight_size", len(weight_size), (5,))
    steps = (stride, padding, dilation, groups, padding_mode)
    return conv_nd_weight(input, weight_size, grad_output, *steps)


def conv2d_bias(grad_output: Array) -> Array:
    """Compute the gradient with respect to the biases.

    Parameters
    ----------
    grad_output : numpy.ndarray of shape (N, K, OH, OW) or (K, OH, OW)
        Residual delta of the layer.

    Returns
    -------
    numpy.ndarray of shape (K,)
        dJ/db.

    Raises
    ------
    ValueError
        If the residual has another number of axes.
    TypeError
        If it is not an array of float32 or float64.

    Notes
    -----
    The same bias is added at every place of a map, so its gradient is the residual's sum::

        dJ/db[k] = sum_n sum_i sum_j delta[n, k, i, j]

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv2d_bias
    >>> conv2d_bias(np.array([[[1.0, 2], [3, 4]]]))
    array([10.])
    """
    return conv_nd_bias(grad_output, 2)


@described_like(conv2d_bias, 1)
def conv1d_bias(grad_output: Array) -> Array:
    """Compute the gradient with respect to the biases over one axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv1d_bias
    >>> conv1d_bias(np.array([[1.0, 2, 3]]))
    array([6.])
    """
    return conv_nd_bias(grad_output, 1)


@described_like(conv2d_bias, 3)
def conv3d_bias(grad_output: Array) -> Array:
    """Compute the gradient with respect to the biases over three axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv3d_bias
    >>> conv3d_bias(np.ones((1, 2, 3, 4)))
    array([24.])
    """
    return conv_nd_bias(grad_output, 3)


def conv2d_backward(
    input: Array,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    skip: Array | None = None,
) -> Gradients:
    """Compute all three gradients of `conv2d`.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Input maps a.
    weight : numpy.ndarray of shape (K, C / groups, R, S)
        Kernels w.
    grad_output : numpy.ndarray of shape (N, K, OH, OW) or (K, OH, OW)
        Residual delta of this layer.
    stride, padding, dilation, groups, padding_mode
        As in `conv2d`.
    output_mask : tuple of three bool, default (True, True, True)
        Which of the gradients are wanted.
    skip : numpy.ndarray of the shape of `input`, optional
        A gradient that comes to the input another way; added to that of the input.

    Returns
    -------
    grad_input, grad_weight, grad_bias : numpy.ndarray or None
        The gradients; None where not wanted.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    TypeError
        If the arrays are not all float32 or all float64.

    See Also
    --------
    conv2d_input, conv2d_weight, conv2d_bias

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv2d_backward
    >>> a, w, residual = np.full((1, 2, 2), 3.0), np.full((1, 1, 2, 2), 5.0), np.ones((1, 1, 1))
    >>> conv2d_backward(a, w, residual, output_mask=(True, False, True))
    (array([[[5., 5.],
            [5., 5.]]]), None, array([1.]))
    """
    expect_axes("weight", weight.ndim, (4,))
    steps = (stride, padding, dilation, groups, padding_mode)
    return conv_nd_backward(input, weight, grad_output, *steps, output_mask, skip)


@described_like(conv2d_backward, 1)
def conv1d_backward(
    input: Array,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    skip: Array | None = None,
) -> Gradients:
    """Compute all three gradients of `conv1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv1d_backward
    >>> conv1d_backward(np.full((1, 3), 3.0), np.full((1, 1, 2), 5.0), np.ones((1, 2)))
    (array([[ 5., 10.,  5.]]), array([[[6., 6.]]]), array([2.]))
    """
    expect_axes("weight", weight.ndim, (3,))
    steps = (stride, padding, dilation, groups, padding_mode)
    return conv_nd_backward(input, weight, grad_output, *steps, output_mask, skip)


@described_like(conv2d_backward, 3)
def conv3d_backward(
    input: Array,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    skip: Array | None = None,
) -> Gradients:
    """Compute all three gradients of `conv3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv3d_backward
    >>> volume, kernels = np.ones((1, 2, 2, 2)), np.ones((1, 1, 2, 2, 2))
    >>> residual = np.ones((1, 1, 1, 1))
    >>> conv3d_backward(volume, kernels, residual, output_mask=(False, False, True))
    (None, None, array([1.]))
    """
    expect_axes("weight", weight.ndim, (5,))
    steps = (stride, padding, dilation, groups, padding_mode)
    return conv_nd_backward(input, weight, grad_output, *steps, output_mask, skip)
