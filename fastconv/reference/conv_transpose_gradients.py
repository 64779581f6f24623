"""The three gradients of transposed convolution, written as in the lectures."""

from collections.abc import Sequence

import numpy as np

from fastconv._docs import described_like
from fastconv.reference._arguments import Array, PerAxis, expect_axes, expect_shape, float_dtype
from fastconv.reference._convolution import Gradients, conv_nd_bias
from fastconv.reference._windows import Padding, last
from fastconv.reference.conv_transpose import TransposedGeometry


def conv_transpose2d_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
) -> Array:
    """Compute the gradient with respect to the input of `conv_transpose2d`.

    Parameters
    ----------
    input_size : sequence of int
        Shape of the input, (N, C, H, W) or (C, H, W).
    weight : numpy.ndarray of shape (C, K / groups, R, S)
        Kernels w.
    grad_output : numpy.ndarray of shape (N, K, OH, OW) or (K, OH, OW)
        Residual delta of this layer.
    stride, padding, output_padding, groups, dilation
        As in `conv_transpose2d`.

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
    With the residual put back between the cells that were cut off, which are zero::

        dJ/da[n, c, i, j] = sum_k sum_r sum_q delta[n, k, i s + r d, j s + q d] w[c, k, r, q]

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv_transpose2d_input
    >>> w = np.array([[[[1.0, 10], [3, 30]]]])
    >>> conv_transpose2d_input((1, 1, 2), w, np.ones((1, 2, 3)))
    array([[[44., 44.]]])
    """
    expect_axes("weight", weight.ndim, (4,))
    return conv_transpose_nd_input(
        input_size, weight, grad_output, stride, padding, output_padding, groups, dilation
    )


@described_like(conv_transpose2d_input, 1)
def conv_transpose1d_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
) -> Array:
    """Compute the gradient with respect to the input of `conv_transpose1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv_transpose1d_input
    >>> w, residual = np.array([[[1.0, 10]]]), np.array([[1.0, 2, 3, 4]])
    >>> conv_transpose1d_input((1, 2), w, residual, stride=2)
    array([[21., 43.]])
    """
    expect_axes("weight", weight.ndim, (3,))
    return conv_transpose_nd_input(
        input_size, weight, grad_output, stride, padding, output_padding, groups, dilation
    )


@described_like(conv_transpose2d_input, 3)
def conv_transpose3d_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
) -> Array:
    """Compute the gradient with respect to the input of `conv_transpose3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv_transpose3d_input
    >>> conv_transpose3d_input((1, 1, 1, 1), np.ones((1, 1, 2, 2, 2)), np.ones((1, 2, 2, 2)))
    array([[[[8.]]]])
    """
    expect_axes("weight", weight.ndim, (5,))
    return conv_transpose_nd_input(
        input_size, weight, grad_output, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
) -> Array:
    """Compute the gradient with respect to the kernels of `conv_transpose2d`.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Input maps a.
    weight_size : sequence of int
        Shape of the kernels, (C, K / groups, R, S).
    grad_output : numpy.ndarray of shape (N, K, OH, OW) or (K, OH, OW)
        Residual delta of this layer.
    stride, padding, output_padding, groups, dilation
        As in `conv_transpose2d`.

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
    With the residual put back between the cells that were cut off, which are zero::

        dJ/dw[c, k, r, q] = sum_n sum_i sum_j a[n, c, i, j] delta[n, k, i s + r d, j s + q d]

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv_transpose2d_weight
    >>> residual = np.array([[[1.0, 2, 3], [4, 5, 6]]])
    >>> conv_transpose2d_weight(np.array([[[1.0, 10]]]), (1, 1, 2, 2), residual)
    array([[[[21., 32.],
             [54., 65.]]]])
    """
    expect_axes("weight_size", len(weight_size), (4,))
    return conv_transpose_nd_weight(
        input, weight_size, grad_output, stride, padding, output_padding, groups, dilation
    )


@described_like(conv_transpose2d_weight, 1)
def conv_transpose1d_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
) -> Array:
    """Compute the gradient with respect to the kernels of `conv_transpose1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv_transpose1d_weight
    >>> a, residual = np.array([[1.0, 10]]), np.array([[1.0, 2, 3, 4]])
    >>> conv_transpose1d_weight(a, (1, 1, 2), residual, stride=2)
    array([[[31., 42.]]])
    """
    expect_axes("weight_size", len(weight_size), (3,))
    return conv_transpose_nd_weight(
        input, weight_size, grad_output, stride, padding, output_padding, groups, dilation
    )


@described_like(conv_transpose2d_weight, 3)
def conv_transpose3d_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
) -> Array:
    """Compute the gradient with respect to the kernels of `conv_transpose3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv_transpose3d_weight
    >>> a, residual = np.full((1, 1, 1, 1), 3.0), np.array([[[[1.0, 2]]]])
    >>> conv_transpose3d_weight(a, (1, 1, 1, 1, 2), residual)
    array([[[[[3., 6.]]]]])
    """
    expect_axes("weight_size", len(weight_size), (5,))
    return conv_transpose_nd_weight(
        input, weight_size, grad_output, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d_bias(grad_output: Array) -> Array:
    """Compute the gradient with respect to the biases of `conv_transpose2d`.

    Parameters
    ----------
    grad_output : numpy.ndarray of shape (N, K, OH, OW) or (K, OH, OW)
        Residual delta of the layer.

    Returns
    -------
    numpy.ndarray of shape (K,)
        dJ/db, as of `conv2d_bias`.

    Raises
    ------
    ValueError
        If the residual has another number of axes.
    TypeError
        If it is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv_transpose2d_bias
    >>> conv_transpose2d_bias(np.array([[[1.0, 2], [3, 4]]]))
    array([10.])
    """
    return conv_nd_bias(grad_output, 2)


@described_like(conv_transpose2d_bias, 1)
def conv_transpose1d_bias(grad_output: Array) -> Array:
    """Compute the gradient with respect to the biases of `conv_transpose1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv_transpose1d_bias
    >>> conv_transpose1d_bias(np.array([[1.0, 2, 3]]))
    array([6.])
    """
    return conv_nd_bias(grad_output, 1)


@described_like(conv_transpose2d_bias, 3)
def conv_transpose3d_bias(grad_output: Array) -> Array:
    """Compute the gradient with respect to the biases of `conv_transpose3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv_transpose3d_bias
    >>> conv_transpose3d_bias(np.ones((1, 2, 3, 4)))
    array([24.])
    """
    return conv_nd_bias(grad_output, 3)


def conv_transpose2d_backward(
    input: Array,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    skip: Array | None = None,
) -> Gradients:
    """Compute all three gradients of `conv_transpose2d`.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Input maps a.
    weight : numpy.ndarray of shape (C, K / groups, R, S)
        Kernels w.
    grad_output : numpy.ndarray of shape (N, K, OH, OW) or (K, OH, OW)
        Residual delta of this layer.
    stride, padding, output_padding, groups, dilation
        As in `conv_transpose2d`.
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

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv_transpose2d_backward
    >>> a, w, residual = np.full((1, 1, 1), 3.0), np.full((1, 1, 1, 2), 5.0), np.ones((1, 1, 2))
    >>> conv_transpose2d_backward(a, w, residual, output_mask=(True, False, True))
    (array([[[10.]]]), None, array([2.]))
    """
    expect_axes("weight", weight.ndim, (4,))
    return conv_transpose_nd_backward(
        input,
        weight,
        grad_output,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        output_mask,
        skip,
    )


@described_like(conv_transpose2d_backward, 1)
def conv_transpose1d_backward(
    input: Array,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    skip: Array | None = None,
) -> Gradients:
    """Compute all three gradients of `conv_transpose1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv_transpose1d_backward
    >>> conv_transpose1d_backward(np.full((1, 1), 3.0), np.full((1, 1, 2), 5.0), np.ones((1, 2)))
    (array([[10.]]), array([[[3., 3.]]]), array([2.]))
    """
    expect_axes("weight", weight.ndim, (3,))
    return conv_transpose_nd_backward(
        input,
        weight,
        grad_output,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        output_mask,
        skip,
    )


@described_like(conv_transpose2d_backward, 3)
def conv_transpose3d_backward(
    input: Array,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    skip: Array | None = None,
) -> Gradients:
    """Compute all three gradients of `conv_transpose3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv_transpose3d_backward
    >>> a, w, residual = np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1, 2)), np.ones((1, 1, 1, 2))
    >>> conv_transpose3d_backward(a, w, residual)
    (array([[[[2.]]]]), array([[[[[1., 1.]]]]]), array([2.]))
    """
    expect_axes("weight", weight.ndim, (5,))
    return conv_transpose_nd_backward(
        input,
        weight,
        grad_output,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        output_mask,
        skip,
    )


def conv_transpose_nd_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: PerAxis,
    padding: Padding,
    output_padding: PerAxis,
    groups: int,
    dilation: PerAxis,
) -> Array:
    """Compute the input gradient over any number of axes; see `conv_transpose2d_input`.

    Parameters
    ----------
    input_size, weight, grad_output
        Shape of the input, kernels and residual.
    stride, padding, output_padding, groups, dilation
        As in `conv_transpose2d`.

    Returns
    -------
    numpy.ndarray of shape `input_size`
        Residual of the previous layer.
    """
    dtype = float_dtype(weight=weight, grad_output=grad_output)
    axes = weight.ndim - 2
    arguments = (stride, padding, output_padding, groups, dilation)
    expect_axes("input_size", len(input_size), (axes + 1, axes + 2))
    if len(input_size) == axes + 1:
        one, residual = (1, *input_size), grad_output[np.newaxis]
        return conv_transpose_nd_input(one, weight, residual, *arguments).squeeze(0)
    place = TransposedGeometry(input_size, weight.shape, *arguments)
    whole, w = _put_back(place, input_size[0], grad_output), weight.astype(np.float64)
    gradient = np.zeros(input_size)
    for maps, kernels in place.groups:
        for tap, places in place.taps():
            seen = whole[:, kernels][places]
            gradient[:, maps] += np.einsum("nk...,ck->nc...", seen, w[maps][tap])
    return gradient.astype(dtype)


def conv_transpose_nd_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: PerAxis,
    padding: Padding,
    output_padding: PerAxis,
    groups: int,
    dilation: PerAxis,
) -> Array:
    """Compute the weight gradient over any number of axes; see `conv_transpose2d_weight`.

    Parameters
    ----------
    input, weight_size, grad_output
        Input maps, shape of the kernels and residual.
    stride, padding, output_padding, groups, dilation
        As in `conv_transpose2d`.

    Returns
    -------
    numpy.ndarray of shape `weight_size`
        The gradient of the kernels.
    """
    dtype = float_dtype(input=input, grad_output=grad_output)
    axes = len(weight_size) - 2
    arguments = (stride, padding, output_padding, groups, dilation)
    expect_axes("input", input.ndim, (axes + 1, axes + 2))
    if input.ndim == axes + 1:
        one, residual = input[np.newaxis], grad_output[np.newaxis]
        return conv_transpose_nd_weight(one, weight_size, residual, *arguments)
    place = TransposedGeometry(input.shape, weight_size, *arguments)
    whole, a = _put_back(place, len(input), grad_output), input.astype(np.float64)
    gradient = np.zeros(weight_size)
    summed = (0, *range(2, input.ndim))
    for maps, kernels in place.groups:
        for tap, places in place.taps():
            seen = whole[:, kernels][places]
            gradient[maps][tap] = np.tensordot(a[:, maps], seen, axes=(summed, summed))
    return gradient.astype(dtype)


def conv_transpose_nd_backward(
    input: Array,
    weight: Array,
    grad_output: Array,
    stride: PerAxis,
    padding: Padding,
    output_padding: PerAxis,
    groups: int,
    dilation: PerAxis,
    output_mask: tuple[bool, bool, bool],
    skip: Array | None,
) -> Gradients:
    """Compute all three gradients over any number of axes; see `conv_transpose2d_backward`.

    Parameters
    ----------
    input, weight, grad_output
        Input maps, kernels and residual.
    stride, padding, output_padding, groups, dilation, output_mask, skip
        As in `conv_transpose2d_backward`.

    Returns
    -------
    grad_input, grad_weight, grad_bias : numpy.ndarray or None
        The gradients; None where not wanted.
    """
    float_dtype(input=input, weight=weight, grad_output=grad_output)
    arguments = (stride, padding, output_padding, groups, dilation)
    wants_input, wants_weight, wants_bias = output_mask
    grad_input = grad_weight = None
    if wants_input:
        grad_input = conv_transpose_nd_input(input.shape, weight, grad_output, *arguments)
        if skip is not None:
            grad_input = grad_input + skip
    if wants_weight:
        grad_weight = conv_transpose_nd_weight(input, weight.shape, grad_output, *arguments)
    return (
        grad_input,
        grad_weight,
        conv_nd_bias(grad_output, weight.ndim - 2) if wants_bias else None,
    )


def _put_back(place: TransposedGeometry, batch: int, grad_output: Array) -> Array:
    """Return the residual in float64 with zeros where the padding was cut off."""
    expect_shape("grad_output", grad_output, (batch, place.kernels, *place.output))
    whole = np.zeros((batch, place.kernels, *place.whole))
    whole[last(place.inside)] = grad_output
    return whole
