"""Convolution, written as in the lectures.

The functions of one, two and three axes are thin names for one that works on any number of them.
"""

from fastconv._docs import described_like
from fastconv.reference._arguments import Array, PerAxis, expect_axes
from fastconv.reference._convolution import Activation, conv_nd, ended
from fastconv.reference._windows import Padding


def conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    residual: Array | None = None,
    activation: Activation = None,
) -> Array:
    """Convolve maps with kernels: the forward pass.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Input maps a, float32 or float64.
    weight : numpy.ndarray of shape (K, C / groups, R, S)
        Kernels w.
    bias : numpy.ndarray of shape (K,), optional
        One bias b for each kernel.
    stride : int or sequence of int, default 1
        Cells between two positions of the kernel.
    padding : int, str, sequence of int or sequence of pairs, default 0
        Zeros round the input: one int, one int or (before, after) pair for each axis, "valid",
        "same", "same_lower" or "full".
    dilation : int or sequence of int, default 1
        Distance of two neighbours of the kernel when laid on the input.
    groups : int, default 1
        Kernels of one group see the input channels of that group only.
    padding_mode : {"zeros", "reflect", "replicate", "circular", "symmetric"}
        What the cells of the padding hold: zeros, or cells of the input as in `pad`.
    residual : numpy.ndarray of shape (N, K, OH, OW) or (K, OH, OW), optional
        Added to z: what comes past the convolution in a residual block.
    activation : str or tuple, optional
        A function of the sum: "relu", "relu6", ("hardtanh", min_val, max_val) or ("leaky_relu",
        negative_slope), or one of these names alone.

    Returns
    -------
    numpy.ndarray of shape (N, K, OH, OW) or (K, OH, OW)
        The weighted input z of the layer; with an activation, its output.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    TypeError
        If the arrays are not all float32 or all float64.

    Notes
    -----
    With a padded by zeros, stride s and dilation d::

        z[n, k, i, j] = b[k] + sum_c sum_r sum_q a[n, c, i s + r d, j s + q d] w[k, c, r, q]

    As in all of deep learning this is a cross-correlation: the kernel is not turned (LeCun et
    al., Proc. IEEE 86, 1998; Dumoulin and Visin, arXiv 1603.07285).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv2d
    >>> a = np.array([[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]])
    >>> w = np.array([[[[1.0, 0], [0, 10]]]])
    >>> conv2d(a, w)
    array([[[51., 62.],
            [84., 95.]]])
    """
    expect_axes("weight", weight.ndim, (4,))
    steps = (stride, padding, dilation, groups, padding_mode)
    return ended(conv_nd(input, weight, bias, *steps), residual, activation)


@described_like(conv2d, 1)
def conv1d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    residual: Array | None = None,
    activation: Activation = None,
) -> Array:
    """Convolve sequences with kernels: the forward pass over one axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv1d
    >>> conv1d(np.array([[1.0, 2, 3, 5]]), np.array([[[-1.0, 1]]]))
    array([[1., 1., 2.]])
    """
    expect_axes("weight", weight.ndim, (3,))
    steps = (stride, padding, dilation, groups, padding_mode)
    return ended(conv_nd(input, weight, bias, *steps), residual, activation)


@described_like(conv2d, 3)
def conv3d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    residual: Array | None = None,
    activation: Activation = None,
) -> Array:
    """Convolve volumes with kernels: the forward pass over three axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv3d
    >>> conv3d(np.ones((1, 2, 2, 2)), np.ones((1, 1, 2, 2, 2)))
    array([[[[8.]]]])
    """
    expect_axes("weight", weight.ndim, (5,))
    steps = (stride, padding, dilation, groups, padding_mode)
    return ended(conv_nd(input, weight, bias, *steps), residual, activation)
