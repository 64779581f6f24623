"""Transposed convolution over one, two and three axes."""

from fastconv._check import Array, PaddingLike, PerAxis
from fastconv._docs import described_like
from fastconv.functional._convolution import convolve
from fastconv.functional._prepared import PreparedWeight


def conv_transpose2d(
    input: Array,
    weight: Array | PreparedWeight,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    r"""Spread each input over its window, weighted by the kernels, and add the bias.

    It is the gradient of a convolution with respect to its input, used forward: what `conv2d` makes
    smaller it makes larger.

    Parameters
    ----------
    input : ndarray, shape (N, C, H, W) or (C, H, W)
        Maps of float32 or float64; any strides.
    weight : ndarray, shape (C, K/groups, R, S), or PreparedWeight
        Kernels, of the input's dtype; or what `prepare_weight` made of them.
    bias : ndarray, shape (K,), optional
        Added to each output map.
    stride : int or tuple of int
        Distance between the windows of neighbouring inputs, one for each axis or one for all.
    padding : int, tuple, or str
        What is cut off from the result: a number for all axes, one for each axis, or one (before,
        after) pair for each axis; or "valid" (nothing). So it undoes what such a padding adds in
        `conv2d`.
    output_padding : int or tuple of int
        Positions added after the result, which no window may reach; less than the stride or the
        dilation. A stride makes several sizes into one: this says which of them is meant.
    groups : int
        Input and output channels are split into so many groups that do not see each other.
    dilation : int or tuple of int
        Distance between the taps of a kernel.
    algorithm : {"auto", "fft", "depthwise", "winograd", "gemm", "direct", "im2col"}
        As in `conv2d`.
    out : ndarray, optional
        Where to write the result. It is contiguous along the spatial axes; the strides of samples
        and channels are free.

    Returns
    -------
    ndarray, shape (N, K, OH, OW) or (K, OH, OW)
        A size becomes (size - 1)*stride - before - after + dilation*(kernel - 1) + output_padding
        + 1.

    Raises
    ------
    TypeError
        If an array is not a NumPy array of float32 or float64, the dtypes differ, or a number is
        not an integer.
    ValueError
        If the shapes do not fit together.

    Notes
    -----
    .. math:: z_{nkuv} = b_k + \sum_{c,i,j,r,s} w_{ckrs}\, a_{ncij}
              \quad\text{over } i\,stride + r\,dilation - before = u,\ j\,stride + s\,dilation
              - before = v

    (V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", arXiv
    1603.07285, section 4). It is computed phase by phase of the stride, so that no inserted zero is
    multiplied: N*C*H*W*(K/groups)*R*S multiply-adds, less what is cut off. Errors, overflow and
    exactness are those of `conv2d`, with C/groups channels.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> image = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> F.conv_transpose2d(image, np.ones((1, 1, 2, 2)), stride=2)
    array([[[[1., 1., 2., 2.],
             [1., 1., 2., 2.],
             [3., 3., 4., 4.],
             [3., 3., 4., 4.]]]])
    >>> kernels = np.ones((1, 1, 3, 3))
    >>> F.conv_transpose2d(image, kernels, stride=2, padding=1, output_padding=1).shape
    (1, 1, 4, 4)
    """
    arguments = (stride, padding, dilation, groups, algorithm, output_padding)
    return convolve("conv_transpose2d", input, weight, bias, arguments, out)


@described_like(conv_transpose2d, 1)
def conv_transpose1d(
    input: Array,
    weight: Array | PreparedWeight,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Spread each input of a sequence over its window, and add the bias.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.conv_transpose1d(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 10.0, 100.0]]]), stride=2)
    array([[[  1.,  10., 102.,  20., 200.]]])
    """
    arguments = (stride, padding, dilation, groups, algorithm, output_padding)
    return convolve("conv_transpose1d", input, weight, bias, arguments, out)


@described_like(conv_transpose2d, 3)
def conv_transpose3d(
    input: Array,
    weight: Array | PreparedWeight,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Spread each input of a volume over its window, and add the bias.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.conv_transpose3d(np.ones((1, 2, 3, 4, 5)), np.ones((2, 3, 2, 2, 2)), stride=2).shape
    (1, 3, 6, 8, 10)
    """
    arguments = (stride, padding, dilation, groups, algorithm, output_padding)
    return convolve("conv_transpose3d", input, weight, bias, arguments, out)
