"""The gradients of transposed convolution over one, two and three axes."""

from fastconv._check import Array, PaddingLike, PerAxis
from fastconv._docs import described_like
from fastconv._geometry import Ints
from fastconv.functional._convolution import (
    Gradients,
    backward,
    bias_gradient,
    input_gradient,
    weight_gradient,
)


def conv_transpose2d_input(
    input_size: Ints,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Return the gradient of a transposed convolution with respect to its input.

    It is the convolution of the residual with the same kernels.

    Parameters
    ----------
    input_size : tuple of int, (N, C, H, W) or (C, H, W)
        Shape of the input.
    weight : ndarray, shape (C, K/groups, R, S)
        Kernels of float32 or float64.
    grad_output : ndarray, shape (N, K, OH, OW) or (K, OH, OW)
        The residual: gradient with respect to the output of `conv_transpose2d`.
    stride, padding, output_padding, groups, dilation, algorithm
        As in `conv_transpose2d`.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape `input_size`

    Raises
    ------
    TypeError, ValueError
        As `conv_transpose2d`; also if `grad_output` does not have the shape of the output.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> residual = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> F.conv_transpose2d_input((1, 1, 2, 2), np.ones((1, 1, 2, 2)), residual, stride=2)
    array([[[[10., 18.],
             [42., 50.]]]])
    """
    arguments = (stride, padding, dilation, groups, algorithm, output_padding)
    return input_gradient("conv_transpose2d_input", input_size, weight, grad_output, arguments, out)


@described_like(conv_transpose2d_input, 1)
def conv_transpose1d_input(
    input_size: Ints,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Return the gradient of a transposed convolution over one axis with respect to its input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> kernels, residual = np.array([[[1.0, 10.0]]]), np.array([[[1.0, 2.0, 3.0, 4.0]]])
    >>> F.conv_transpose1d_input((1, 1, 2), kernels, residual, stride=2)
    array([[[21., 43.]]])
    """
    arguments = (stride, padding, dilation, groups, algorithm, output_padding)
    return input_gradient("conv_transpose1d_input", input_size, weight, grad_output, arguments, out)


@described_like(conv_transpose2d_input, 3)
def conv_transpose3d_input(
    input_size: Ints,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Return the gradient of a transposed convolution over three axes with respect to its input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> kernels, residual = np.ones((2, 3, 2, 2, 2)), np.ones((1, 3, 6, 8, 10))
    >>> F.conv_transpose3d_input((1, 2, 3, 4, 5), kernels, residual, stride=2).shape
    (1, 2, 3, 4, 5)
    """
    arguments = (stride, padding, dilation, groups, algorithm, output_padding)
    return input_gradient("conv_transpose3d_input", input_size, weight, grad_output, arguments, out)


def conv_transpose2d_weight(
    input: Array,
    weight_size: Ints,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    r"""Return the gradient of a transposed convolution with respect to its weights.

    It is that of a convolution, with the input and the residual in each other's place.

    Parameters
    ----------
    input : ndarray, shape (N, C, H, W) or (C, H, W)
        The input of the transposed convolution, float32 or float64.
    weight_size : tuple of int, (C, K/groups, R, S)
        Shape of the weights.
    grad_output : ndarray, shape (N, K, OH, OW) or (K, OH, OW)
        The residual: gradient with respect to the output of `conv_transpose2d`.
    stride, padding, output_padding, groups, dilation, algorithm
        As in `conv_transpose2d`.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape `weight_size`
        Zero for an empty batch.

    Raises
    ------
    TypeError, ValueError
        As `conv_transpose2d`; also if `grad_output` does not have the shape of the output.

    Notes
    -----
    .. math:: \frac{\partial J}{\partial w_{ckrs}} = \sum_{n,i,j} a_{ncij}\,
              \delta_{n,k,\,i\,stride + r\,dilation - before,\,j\,stride + s\,dilation - before}

    Errors and overflow are those of `conv2d_weight`, with sums of N*H*W terms.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> residual = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> F.conv_transpose2d_weight(np.ones((1, 1, 2, 2)), (1, 1, 2, 2), residual, stride=2)
    array([[[[20., 24.],
             [36., 40.]]]])
    """
    arguments = (stride, padding, dilation, groups, algorithm, output_padding)
    name = "conv_transpose2d_weight"
    return weight_gradient(name, input, weight_size, grad_output, arguments, out)


@described_like(conv_transpose2d_weight, 1)
def conv_transpose1d_weight(
    input: Array,
    weight_size: Ints,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Return the gradient of a transposed convolution over one axis with respect to its weights.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> signal, residual = np.array([[[1.0, 10.0]]]), np.array([[[1.0, 2.0, 3.0, 4.0]]])
    >>> F.conv_transpose1d_weight(signal, (1, 1, 2), residual, stride=2)
    array([[[31., 42.]]])
    """
    arguments = (stride, padding, dilation, groups, algorithm, output_padding)
    name = "conv_transpose1d_weight"
    return weight_gradient(name, input, weight_size, grad_output, arguments, out)


@described_like(conv_transpose2d_weight, 3)
def conv_transpose3d_weight(
    input: Array,
    weight_size: Ints,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Return the gradient of a transposed convolution over three axes with respect to its weights.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> volume, residual = np.ones((1, 2, 3, 4, 5)), np.ones((1, 3, 6, 8, 10))
    >>> F.conv_transpose3d_weight(volume, (2, 3, 2, 2, 2), residual, stride=2).shape
    (2, 3, 2, 2, 2)
    """
    arguments = (stride, padding, dilation, groups, algorithm, output_padding)
    name = "conv_transpose3d_weight"
    return weight_gradient(name, input, weight_size, grad_output, arguments, out)


def conv_transpose2d_bias(grad_output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of a transposed convolution with respect to its bias.

    As `conv2d_bias`: it is the residual's sum over each map and the batch.

    Parameters
    ----------
    grad_output : ndarray, shape (N, K, OH, OW) or (K, OH, OW)
        The residual: gradient with respect to the output of `conv_transpose2d`.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape (K,)

    Raises
    ------
    TypeError, ValueError
        If `grad_output` is not an array of float32 or float64 of such a shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.conv_transpose2d_bias(np.ones((2, 3, 4, 4)))
    array([32., 32., 32.])
    """
    return bias_gradient(2, grad_output, out)


@described_like(conv_transpose2d_bias, 1)
def conv_transpose1d_bias(grad_output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of a transposed convolution over one axis with respect to its bias.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.conv_transpose1d_bias(np.ones((2, 3, 4)))
    array([8., 8., 8.])
    """
    return bias_gradient(1, grad_output, out)


@described_like(conv_transpose2d_bias, 3)
def conv_transpose3d_bias(grad_output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of a transposed convolution over three axes with respect to its bias.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.conv_transpose3d_bias(np.ones((2, 3, 4, 4, 4)))
    array([128., 128., 128.])
    """
    return bias_gradient(3, grad_output, out)


def conv_transpose2d_backward(
    input: Array,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    skip: Array | None = None,
    out: Gradients | None = None,
) -> Gradients:
    """Return the gradients with respect to input, weight and bias.

    What the single functions do each is done once here, as in `conv2d_backward`.

    Parameters
    ----------
    input : ndarray, shape (N, C, H, W) or (C, H, W)
        The input of the transposed convolution.
    weight : ndarray, shape (C, K/groups, R, S)
        The kernels.
    grad_output : ndarray, shape (N, K, OH, OW) or (K, OH, OW)
        The residual: gradient with respect to the output of `conv_transpose2d`.
    stride, padding, output_padding, groups, dilation
        As in `conv_transpose2d`.
    output_mask, out
        As in `conv2d_backward`.

    Returns
    -------
    grad_input, grad_weight, grad_bias : ndarray or None
        The same bits as `conv_transpose2d_input`, `conv_transpose2d_weight` and
        `conv_transpose2d_bias`; None where masked.

    Raises
    ------
    TypeError, ValueError
        As those functions; also if `out` has an array for a gradient that is masked.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> image, kernels = np.ones((1, 1, 2, 2)), np.ones((1, 3, 2, 2))
    >>> residual = np.ones((1, 3, 4, 4))
    >>> [g.shape for g in F.conv_transpose2d_backward(image, kernels, residual, stride=2)]
    [(1, 1, 2, 2), (1, 3, 2, 2), (3,)]
    """
    arguments = (stride, padding, dilation, groups, "auto", output_padding)
    return backward(
        "conv_transpose2d", input, weight, grad_output, arguments, output_mask, out, skip
    )


@described_like(conv_transpose2d_backward, 1)
def conv_transpose1d_backward(
    input: Array,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    skip: Array | None = None,
    out: Gradients | None = None,
) -> Gradients:
    """Return the three gradients of a transposed convolution over one axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> signal, kernels, residual = np.ones((1, 1, 2)), np.ones((1, 3, 2)), np.ones((1, 3, 4))
    >>> [g.shape for g in F.conv_transpose1d_backward(signal, kernels, residual, stride=2)]
    [(1, 1, 2), (1, 3, 2), (3,)]
    """
    arguments = (stride, padding, dilation, groups, "auto", output_padding)
    return backward(
        "conv_transpose1d", input, weight, grad_output, arguments, output_mask, out, skip
    )


@described_like(conv_transpose2d_backward, 3)
def conv_transpose3d_backward(
    input: Array,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    skip: Array | None = None,
    out: Gradients | None = None,
) -> Gradients:
    """Return the three gradients of a transposed convolution over three axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> volume, kernels = np.ones((1, 1, 2, 2, 2)), np.ones((1, 3, 2, 2, 2))
    >>> residual = np.ones((1, 3, 4, 4, 4))
    >>> [g.shape for g in F.conv_transpose3d_backward(volume, kernels, residual, stride=2)]
    [(1, 1, 2, 2, 2), (1, 3, 2, 2, 2), (3,)]
    """
    arguments = (stride, padding, dilation, groups, "auto", output_padding)
    return backward(
        "conv_transpose3d", input, weight, grad_output, arguments, output_mask, out, skip
    )
