"""Convolution over one, two and three axes.

The formulas are those of back-propagation in a convolutional layer (Y. LeCun et al., "Gradient-
based learning applied to document recognition", 1998), written out in `fastconv.reference`.
"""

from fastconv import _check
from fastconv._check import Array, PaddingLike, PerAxis
from fastconv._docs import described_like
from fastconv._geometry import Ints
from fastconv.engine.choice import only_exact
from fastconv.functional._convolution import convolve, prepare_for
from fastconv.functional._ending import Activation
from fastconv.functional._prepared import PreparedWeight


def conv2d(
    input: Array,
    weight: Array | PreparedWeight,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    residual: Array | None = None,
    activation: Activation = None,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    r"""Cross-correlate the input with the kernels and add the bias.

    Parameters
    ----------
    input : ndarray, shape (N, C, H, W) or (C, H, W)
        Maps of float32 or float64; any strides.
    weight : ndarray, shape (K, C/groups, R, S), or PreparedWeight
        Kernels, of the input's dtype; or what `prepare_weight` made of them.
    bias : ndarray, shape (K,), optional
        Added to each output map.
    stride : int or tuple of int
        Distance between windows, one for each axis or one for all.
    padding : int, tuple, or str
        Zeros around the input: a number for all axes, one for each axis, or one (before, after)
        pair for each axis; or "valid" (none), "same" (so many that the output has
        ceil(size/stride) positions, an odd one after), "same_lower" (an odd one before), "full"
        (dilation*(kernel - 1) on every side).
    dilation : int or tuple of int
        Distance between the taps of a kernel.
    groups : int
        Input and output channels are split into so many groups that do not see each other.
    padding_mode : {"zeros", "reflect", "replicate", "circular", "symmetric"}
        What the padding holds: zeros, or cells of the input as in `pad`. Such borders are put
        around a few samples at a time; the workspace does not grow with the batch.
    residual : ndarray, shape (N, K, OH, OW) or (K, OH, OW), optional
        Added to the sums and the bias: what comes past the convolution in a residual block.
    activation : str or tuple, optional
        Computed last: "relu", "relu6", ("hardtanh", min_val, max_val) or ("leaky_relu",
        negative_slope), or one of these names alone. As the residual it is computed where sums
        leave the registers or the caches; the bits are those of `add` and of the activation's own
        function behind the convolution.
    algorithm : {"auto", "fft", "depthwise", "winograd", "gemm", "direct", "im2col"}
        How to compute it: Fourier transforms for large kernels, loops of vector instructions for
        one input channel in each group, Winograd's tiles with a quarter of the products for 3x3
        kernels, a sixth for 5x5 (two fifths for few channels), a half to a third for one row or
        column of 3, 5 or 7 taps, and two fifths to two thirds for kernels of 3x3 to 6x6 that move
        by 2, each with any depth, the engine of vector instructions, plain loops, or columns and
        products of matrices. "auto" takes the one that was measured fastest for such shapes; inside
        `fastconv.exact()`, of those that are exact on integers. `fastconv.explain` says which.
    out : ndarray, optional
        Where to write the result. It is contiguous along the spatial axes; the strides of samples
        and channels are free.

    Returns
    -------
    ndarray, shape (N, K, OH, OW) or (K, OH, OW)
        Of a size, (size + before + after - dilation*(kernel - 1) - 1)//stride + 1 is left.

    Raises
    ------
    TypeError
        If an array is not a NumPy array of float32 or float64, the dtypes differ, or a number is
        not an integer.
    ValueError
        If the shapes do not fit together.

    Notes
    -----
    .. math:: z_{nkij} = b_k + \sum_{c,r,s} w_{kcrs}\, a_{n,c,\,i\,stride + r\,dilation - before,\,
              j\,stride + s\,dilation - before}

    The cost is N*K*OH*OW*(C/groups)*R*S multiply-adds. The error of "gemm" and "direct" is at most
    (L + 1) eps sum(\|w\| \|a\|) with L = (C/groups)*R*S (N. Higham, "Accuracy and Stability of
    Numerical Algorithms", 2002, section 3.1); they are exact on integers whose partial sums stay
    below 2**24 (float32) or 2**53 (float64), and have the same bits for any number
    of threads, and for each sample whatever the batch.

    "winograd" is not exact on integers. Its error is at most 204.1 (3x3 kernels) or 1769 (5x5),
    or 14.3, 42.1 or 154.9 (one row or column of 3, 5 or 7 taps) times (C/groups + 34) 17/16 eps
    times the sum over the channels of sum \|w\| times the largest \|a\| of the tile of 6, 8 or 10
    cells on an axis that the output lies in; in practice it is 1e-6 to 4e-6 (3x3) or 3e-6 to 7e-6
    (5x5) of the largest output in float32, and 1e-15 to 1e-14 in float64, and less for rows and
    columns. Of kernels that move by 2 it is that of every second tap (66 times for 2x2), and with
    them or a depth, C/groups counts once for each part that a kernel is cut into. For at most 32
    channels in a group, kernels of 5x5 may have tiles of 9 cells of a row
    for each row of the kernel, and err by less. A NaN or an infinity makes all the outputs of its
    windows NaN or infinite, and maybe others of the same sample, in tiles of 4x4, 1x4 or 4x1
    outputs, or 5 of a row for few channels, that have such a window. "fft" errs by at most
    (12 log2 n + C/groups + 7) eps times the sum over the channels of the two norms, n the cells of
    a transform; a NaN reaches all outputs of the blocks that see it.

    Sums of "gemm", "direct", "im2col" and "depthwise" overflow only where sum(\|w\| \|a\|) + \|b\|
    does. "winograd" and "fft" have larger intermediate results, whose overflow makes outputs
    infinite or NaN, even small ones. Without a bias, none overflows while the largest \|a\|, the
    largest \|w\| and their product are at most the dtype's largest number divided by about::

        2x2 kernels        15          1.31          161 C/groups
        3x3                36          1.93          565 C/groups
        5x5                225         25            7531 C/groups
        3, 5 or 7 in line  6, 15, 44   1.39, 5, 47   24, 87, 365 C/groups
        "fft"              n           R*S           sqrt(n**3 R S) C/groups

    and `fastconv.explain` has the limits of each geometry. "auto" chooses by shapes, never by
    numbers; inside `fastconv.exact()` it takes no transforms.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> F.conv2d(image, np.ones((1, 1, 2, 2)))
    array([[[[ 8., 12.],
             [20., 24.]]]])
    >>> F.conv2d(image, np.ones((1, 1, 2, 2)), stride=2, padding="same").shape
    (1, 1, 2, 2)
    >>> F.conv2d(image, np.ones((1, 1, 2, 2)), np.array([-20.0]), activation="relu")
    array([[[[0., 0.],
             [0., 4.]]]])
    """
    arguments = (stride, padding, dilation, groups, algorithm, 0, padding_mode)
    return convolve("conv2d", input, weight, bias, arguments, out, residual, activation)


@described_like(conv2d, 1)
def conv1d(
    input: Array,
    weight: Array | PreparedWeight,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    residual: Array | None = None,
    activation: Activation = None,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Cross-correlate sequences with kernels of one axis and add the bias.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.conv1d(np.array([[[1.0, 2.0, 3.0, 5.0]]]), np.array([[[-1.0, 1.0]]]))
    array([[[1., 1., 2.]]])
    """
    arguments = (stride, padding, dilation, groups, algorithm, 0, padding_mode)
    return convolve("conv1d", input, weight, bias, arguments, out, residual, activation)


@described_like(conv2d, 3)
def conv3d(
    input: Array,
    weight: Array | PreparedWeight,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    residual: Array | None = None,
    activation: Activation = None,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Cross-correlate volumes with kernels of three axes and add the bias.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.conv3d(np.ones((1, 2, 4, 5, 6)), np.ones((3, 2, 3, 3, 3)), padding=1).shape
    (1, 3, 4, 5, 6)
    """
    arguments = (stride, padding, dilation, groups, algorithm, 0, padding_mode)
    return convolve("conv3d", input, weight, bias, arguments, out, residual, activation)


def prepare_weight(
    weight: Array,
    input_size: Ints,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    algorithm: str = "auto",
    transposed: bool = False,
    output_padding: PerAxis = 0,
) -> PreparedWeight:
    """Copy weights and make them ready for many convolutions of one geometry.

    What an algorithm would do with the weights in each call of `conv2d`, or another convolution, is
    done here, once: "winograd" and "fft" transform them.

    Parameters
    ----------
    weight : ndarray, shape (K, C/groups, R, S)
        Kernels of float32 or float64, over one to three axes. A later change of them has no effect.
    input_size : tuple of int, (N, C, H, W) or (C, H, W)
        Shape of the inputs; the batch may be another in each call.
    stride, padding, dilation, groups, algorithm
        As in `conv2d`, which must be given the same.
    transposed : bool
        Whether they are kernels of `conv_transpose2d`, (C, K/groups, R, S), or another transposed
        convolution.
    output_padding : int or tuple of int
        As in `conv_transpose2d`.

    Returns
    -------
    PreparedWeight
        To be given to the convolution as `weight`; the results have the same bits.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> images, kernels = np.ones((5, 8, 9, 9)), np.ones((8, 8, 3, 3))
    >>> ready = F.prepare_weight(kernels, images.shape, padding=1)
    >>> np.array_equal(F.conv2d(images, ready, padding=1), F.conv2d(images, kernels, padding=1))
    True
    """
    weight = _check.array("weight", weight)
    axes = weight.ndim - 2
    if axes not in (1, 2, 3):
        raise ValueError(
            f"weight must have one to three spatial axes, got {weight.ndim}-D with shape "
            f"{weight.shape}"
        )
    if not transposed and output_padding != 0:
        raise ValueError(f"output_padding is for transposed=True, got {output_padding!r}")
    if transposed and padding_mode != "zeros":
        raise ValueError(f"padding_mode must be 'zeros' with transposed=True, got {padding_mode!r}")
    arguments = (stride, padding, dilation, groups, algorithm, output_padding, padding_mode)
    name = f"conv_transpose{axes}d" if transposed else f"conv{axes}d"
    size = (1, *_check.size("input_size", input_size, axes)[-axes - 1 :])
    return prepare_for(name, only_exact(), weight, size, arguments)
