"""The gradients of convolution over one, two and three axes."""

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


def conv2d_input(
    input_size: Ints,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    r"""Return the gradient of a convolution with respect to its input.

    It is the full-mode convolution of back-propagation: the residual, with zeros put in between
    for stride > 1 and around, correlated with the kernels turned by 180 degrees and summed over
    them. The zeros are never multiplied.

    Parameters
    ----------
    input_size : tuple of int, (N, C, H, W) or (C, H, W)
        Shape of the input.
    weight : ndarray, shape (K, C/groups, R, S)
        Kernels of float32 or float64.
    grad_output : ndarray, shape (N, K, OH, OW) or (K, OH, OW)
        The residual: gradient with respect to the output of `conv2d`.
    stride, padding, dilation, groups, padding_mode, algorithm
        As in `conv2d`.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape `input_size`
        Zero where no window came.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; also if `grad_output` does not have the shape of the output.

    Notes
    -----
    .. math:: \delta^{l-1}_{ncuv} = \sum_{k,r,s} w_{kcrs}\, \delta^{l}_{nkij}
              \quad\text{over } i\,stride + r\,dilation - before = u,\ j\,stride + s\,dilation
              - before = v

    Errors and overflow are those of `conv2d`, with \|grad_output\| for \|a\| and K/groups channels.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> residual = np.array([[[[1.0, 0.0], [0.0, 0.0]]]])
    >>> F.conv2d_input((1, 1, 3, 3), np.array([[[[1.0, 2.0], [3.0, 4.0]]]]), residual)
    array([[[[1., 2., 0.],
             [3., 4., 0.],
             [0., 0., 0.]]]])
    """
    arguments = (stride, padding, dilation, groups, algorithm, 0, padding_mode)
    return input_gradient("conv2d_input", input_size, weight, grad_output, arguments, out)


@described_like(conv2d_input, 1)
def conv1d_input(
    input_size: Ints,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Return the gradient of a convolution over one axis with respect to its input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.conv1d_input((1, 1, 4), np.array([[[-1.0, 1.0]]]), np.array([[[1.0, 0.0, 2.0]]]))
    array([[[-1.,  1., -2.,  2.]]])
    """
    arguments = (stride, padding, dilation, groups, algorithm, 0, padding_mode)
    return input_gradient("conv1d_input", input_size, weight, grad_output, arguments, out)


@described_like(conv2d_input, 3)
def conv3d_input(
    input_size: Ints,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Return the gradient of a convolution over three axes with respect to its input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> residual = np.ones((1, 3, 2, 3, 4))
    >>> F.conv3d_input((1, 2, 4, 5, 6), np.ones((3, 2, 3, 3, 3)), residual).shape
    (1, 2, 4, 5, 6)
    """
    arguments = (stride, padding, dilation, groups, algorithm, 0, padding_mode)
    return input_gradient("conv3d_input", input_size, weight, grad_output, arguments, out)


def conv2d_weight(
    input: Array,
    weight_size: Ints,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    r"""Return the gradient of a convolution with respect to its weights.

    It is the correlation of the layer's input with the residual, summed over the batch.

    Parameters
    ----------
    input : ndarray, shape (N, C, H, W) or (C, H, W)
        The input of the convolution, float32 or float64.
    weight_size : tuple of int, (K, C/groups, R, S)
        Shape of the weights.
    grad_output : ndarray, shape (N, K, OH, OW) or (K, OH, OW)
        The residual: gradient with respect to the output of `conv2d`.
    stride, padding, dilation, groups, padding_mode, algorithm
        As in `conv2d`.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape `weight_size`
        Zero for an empty batch.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; also if `grad_output` does not have the shape of the output.

    Notes
    -----
    .. math:: \frac{\partial J}{\partial w_{kcrs}} = \sum_{n,i,j} \delta_{nkij}\,
              a_{n,c,\,i\,stride + r\,dilation - before,\,j\,stride + s\,dilation - before}

    The sum over N*OH*OW terms is cut into pieces whose borders depend on the shapes alone, so that
    it is the same for any number of threads. Pieces of at most 65,536 terms are added in double
    precision: the error, at most what `fastconv.explain` says, does not grow with longer sums.

    By "winograd", a NaN in a map of the input or the residual reaches all taps of the kernels of
    its channel, or all in the rows that meet it where tiles are parts of rows; so it may by the
    other algorithms.

    Overflow is as in `conv2d`, with \|grad_output\| for \|w\|. By "winograd" the divisors of its
    largest number are about 67 (3x3), 225 (5x5), or 8.2, 15, 26 (3, 5 or 7 in line); those of the
    product, 3200, 50700, or 57, 225, 890 for each tile of the batch. `fastconv.explain` has all.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> F.conv2d_weight(image, (1, 1, 2, 2), np.ones((1, 1, 2, 2)))
    array([[[[ 8., 12.],
             [20., 24.]]]])
    """
    arguments = (stride, padding, dilation, groups, algorithm, 0, padding_mode)
    return weight_gradient("conv2d_weight", input, weight_size, grad_output, arguments, out)


@described_like(conv2d_weight, 1)
def conv1d_weight(
    input: Array,
    weight_size: Ints,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Return the gradient of a convolution over one axis with respect to its weights.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> signal = np.array([[[1.0, 2.0, 3.0, 5.0]]])
    >>> F.conv1d_weight(signal, (1, 1, 2), np.ones((1, 1, 3)))
    array([[[ 6., 10.]]])
    """
    arguments = (stride, padding, dilation, groups, algorithm, 0, padding_mode)
    return weight_gradient("conv1d_weight", input, weight_size, grad_output, arguments, out)


@described_like(conv2d_weight, 3)
def conv3d_weight(
    input: Array,
    weight_size: Ints,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Return the gradient of a convolution over three axes with respect to its weights.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> volume, residual = np.ones((1, 2, 4, 5, 6)), np.ones((1, 3, 2, 3, 4))
    >>> F.conv3d_weight(volume, (3, 2, 3, 3, 3), residual).max()
    np.float64(24.0)
    """
    arguments = (stride, padding, dilation, groups, algorithm, 0, padding_mode)
    return weight_gradient("conv3d_weight", input, weight_size, grad_output, arguments, out)


def conv2d_bias(grad_output: Array, *, out: Array | None = None) -> Array:
    r"""Return the gradient of a convolution with respect to its bias.

    It is the residual's sum over each map and the batch.

    Parameters
    ----------
    grad_output : ndarray, shape (N, K, OH, OW) or (K, OH, OW)
        The residual: gradient with respect to the output of `conv2d`.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape (K,)

    Raises
    ------
    TypeError, ValueError
        If `grad_output` is not an array of float32 or float64 of such a shape.

    Notes
    -----
    At most 128 numbers are added in one running sum of their own precision, and the results in
    double precision: in float32 the error is at most 128 eps sum(\|grad_output\|), and below
    1e-6 sum(\|grad_output\|) in practice, whatever the size. It is exact on integers as `conv2d`
    is, and has the same bits for any number of threads.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.conv2d_bias(np.ones((2, 3, 4, 4)))
    array([32., 32., 32.])
    """
    return bias_gradient(2, grad_output, out)


@described_like(conv2d_bias, 1)
def conv1d_bias(grad_output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of a convolution over one axis with respect to its bias.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.conv1d_bias(np.ones((2, 3, 4)))
    array([8., 8., 8.])
    """
    return bias_gradient(1, grad_output, out)


@described_like(conv2d_bias, 3)
def conv3d_bias(grad_output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of a convolution over three axes with respect to its bias.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.conv3d_bias(np.ones((2, 3, 4, 4, 4)))
    array([128., 128., 128.])
    """
    return bias_gradient(3, grad_output, out)


def conv2d_backward(
    input: Array,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    skip: Array | None = None,
    out: Gradients | None = None,
) -> Gradients:
    """Return the gradients with respect to input, weight and bias.

    What the single functions do each is done once here: the arrays are checked, and copied where
    they are byte-swapped or misaligned, and the plans are looked up.

    Parameters
    ----------
    input : ndarray, shape (N, C, H, W) or (C, H, W)
        The input of the convolution.
    weight : ndarray, shape (K, C/groups, R, S)
        The kernels.
    grad_output : ndarray, shape (N, K, OH, OW) or (K, OH, OW)
        The residual: gradient with respect to the output of `conv2d`.
    stride, padding, dilation, groups, padding_mode
        As in `conv2d`.
    output_mask : tuple of three bool
        Which of the three to compute. The first layer of a network needs no gradient with respect
        to its input: (False, True, True).
    out : tuple of three ndarray or None, optional
        Where to write each of them, as in the single functions; None for a new array, and where
        `output_mask` is False. They may overlap the three arguments, but not each other.
    skip : ndarray, shape of `input`, optional
        A gradient that comes to the input another way, past the layers of a residual block. It is
        added to that of the input on the way into memory: the same bits as of `add`, and one pass
        over memory less.

    Returns
    -------
    grad_input, grad_weight, grad_bias : ndarray or None
        The same bits as `conv2d_input`, `conv2d_weight` and `conv2d_bias`; None where masked. The
        first has `skip` added.

    Raises
    ------
    TypeError, ValueError
        As those functions; also if `out` has an array for a gradient that is masked.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> image, kernels = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    >>> [g.shape for g in F.conv2d_backward(image, kernels, np.ones((1, 1, 2, 2)))]
    [(1, 1, 3, 3), (1, 1, 2, 2), (1,)]
    >>> total = np.empty(1)
    >>> mask, out = (False, False, True), (None, None, total)
    >>> F.conv2d_backward(image, kernels, np.ones((1, 1, 2, 2)), output_mask=mask, out=out)
    (None, None, array([4.]))
    >>> mask, skip = (True, False, False), np.full((1, 1, 3, 3), 10.0)
    >>> F.conv2d_backward(image, kernels, np.ones((1, 1, 2, 2)), output_mask=mask, skip=skip)[0]
    array([[[[11., 12., 11.],
             [12., 14., 12.],
             [11., 12., 11.]]]])
    """
    arguments = (stride, padding, dilation, groups, "auto", 0, padding_mode)
    return backward("conv2d", input, weight, grad_output, arguments, output_mask, out, skip)


@described_like(conv2d_backward, 1)
def conv1d_backward(
    input: Array,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    skip: Array | None = None,
    out: Gradients | None = None,
) -> Gradients:
    """Return the three gradients of a convolution over one axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> signal, kernels = np.ones((1, 1, 4)), np.ones((1, 1, 2))
    >>> [g.shape for g in F.conv1d_backward(signal, kernels, np.ones((1, 1, 3)))]
    [(1, 1, 4), (1, 1, 2), (1,)]
    """
    arguments = (stride, padding, dilation, groups, "auto", 0, padding_mode)
    return backward("conv1d", input, weight, grad_output, arguments, output_mask, out, skip)


@described_like(conv2d_backward, 3)
def conv3d_backward(
    input: Array,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    skip: Array | None = None,
    out: Gradients | None = None,
) -> Gradients:
    """Return the three gradients of a convolution over three axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> volume, kernels = np.ones((1, 1, 4, 4, 4)), np.ones((1, 1, 2, 2, 2))
    >>> [g.shape for g in F.conv3d_backward(volume, kernels, np.ones((1, 1, 3, 3, 3)))]
    [(1, 1, 4, 4, 4), (1, 1, 2, 2, 2), (1,)]
    """
    arguments = (stride, padding, dilation, groups, "auto", 0, padding_mode)
    return backward("conv3d", input, weight, grad_output, arguments, output_mask, out, skip)
