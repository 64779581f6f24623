"""Convolution in two dimensions and its gradients.

The formulas are those of back-propagation in a convolutional layer (Y. LeCun et al., "Gradient-
based learning applied to document recognition", 1998), written out in `fastconv.reference.conv`.
"""

from copy import deepcopy
from typing import Any, TypeAlias

from fastconv import _check
from fastconv._check import Array, PaddingLike, PerAxis
from fastconv._geometry import Ints
from fastconv.engine.choice import only_exact, prepare
from fastconv.engine.ops.sums import sum_maps
from fastconv.functional._calls import Call, calls, find_backward, find_call
from fastconv.functional._prepared import PreparedWeight

Gradients: TypeAlias = tuple[Array | None, Array | None, Array | None]

NOWHERE = (None, None, None)


def conv2d(
    input: Array,
    weight: Array | PreparedWeight,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
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
        Distance between windows, one for each axis or one for both.
    padding : int, tuple, or str
        Zeros around the input: a number for both axes, one for each axis, or one (before, after)
        pair for each axis; or "valid" (none), "same" (so many that the output has
        ceil(size/stride) positions, an odd one after), "same_lower" (an odd one before), "full"
        (dilation*(kernel - 1) on every side).
    dilation : int or tuple of int
        Distance between the taps of a kernel.
    groups : int
        Input and output channels are split into so many groups that do not see each other.
    algorithm : {"auto", "fft", "depthwise", "winograd", "gemm", "direct", "im2col"}
        How to compute it: Fourier transforms for large kernels, loops of vector instructions for
        one input channel in each group, Winograd's tiles with a quarter of the products for 3x3
        kernels, a sixth for 5x5 (two fifths for few channels), and a half to a third for one row or
        column of 3, 5 or 7 taps, the engine of vector instructions, plain loops, or columns and
        products of matrices. "auto" takes the one that was measured fastest for such shapes; inside
        `fastconv.exact()`, of those that are exact on integers. `fastconv.explain` says which.
    out : ndarray, optional
        Where to write the result. Its (H, W) planes are contiguous; the other strides are free.

    Returns
    -------
    ndarray, shape (N, K, OH, OW) or (K, OH, OW)
        OH = (H + before + after - dilation*(R - 1) - 1)//stride + 1, and OW likewise.

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
    columns. For at most 32 channels in a group, kernels of 5x5 may have tiles of 9 cells of a row
    for each row of the kernel, and err by less. A NaN or an infinity makes all the outputs of its
    windows NaN or infinite, and maybe others of the same sample, in tiles of 4x4, 1x4 or 4x1
    outputs, or 5 of a row for few channels, that have such a window. "fft" errs by at most
    (12 log2 n + C/groups + 4) eps times the sum over the channels of the two norms, n the cells of
    a transform; a NaN reaches all outputs of the blocks that see it.

    Sums of "gemm", "direct", "im2col" and "depthwise" overflow only where sum(\|w\| \|a\|) + \|b\|
    does. "winograd" and "fft" have larger intermediate results, whose overflow makes outputs
    infinite or NaN, even small ones. Without a bias, none overflows while the largest \|a\|, the
    largest \|w\| and their product are at most the dtype's largest number divided by about::

        3x3 kernels        36          1.93          565 C/groups
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
    """
    input = _check.array("input", input)
    ready = None
    if isinstance(weight, PreparedWeight):
        ready, weight = weight, weight.weight
    weight = _check.array("weight", weight)
    dtype = input.dtype
    if weight.dtype is not dtype:
        _check.same_dtype("weight", weight, "input", input)
    call = find_call(
        "conv2d", dtype, input.shape, weight.shape, stride, padding, dilation, groups, algorithm
    )
    if bias is not None:
        bias = _check.array("bias", bias)
        if bias.dtype is not dtype:
            _check.same_dtype("bias", bias, "input", input)
        if bias.shape != call.bias_shape:
            _check.same_shape("bias", bias, call.bias_shape, "(weight.shape[0],)")
    prepared: tuple[Any, ...] = ()
    if ready is not None:
        ready.check(call.plan)
        prepared = () if ready.data is None else (ready.data,)
    if out is None:
        result = _check.new(call.output_shape, dtype)
    else:
        inputs = (input, weight) if bias is None else (input, weight, bias)
        result = _check.output(out, call.output_shape, dtype, *inputs)
    if result.size:
        maps, target = (input, result) if input.ndim == 4 else (input[None], result[None])
        call.compute(maps, weight, bias, target, *prepared)
    return result if out is None else _check.deliver(result, out)


def prepare_weight(
    weight: Array,
    input_size: Ints,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
) -> PreparedWeight:
    """Copy weights and make them ready for many convolutions of one geometry.

    What an algorithm would do with the weights in each call of `conv2d` is done here, once:
    "winograd" and "fft" transform them.

    Parameters
    ----------
    weight : ndarray, shape (K, C/groups, R, S)
        Kernels of float32 or float64. A later change of them has no effect.
    input_size : tuple of int, (N, C, H, W) or (C, H, W)
        Shape of the inputs; the batch may be another in each call.
    stride, padding, dilation, groups, algorithm
        As in `conv2d`, which must be given the same.

    Returns
    -------
    PreparedWeight
        To be given to `conv2d` as `weight`; the results have the same bits.

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
    size = (1, *_check.size("input_size", input_size, 2)[-3:])
    return _prepare(weight, only_exact(), size, stride, padding, dilation, groups, algorithm)


def _prepare(weight: Array, exactly: int, size: Ints, *arguments: Any) -> PreparedWeight:
    """Prepare weights as inside of `exact`, or as outside of it."""
    call: Call = calls("conv2d", weight.dtype.char, exactly, size, weight.shape, *arguments)
    copy = weight.copy()
    copy.flags.writeable = False
    data = prepare(call.plan.geometry, copy.dtype.name, call.plan.algorithm, copy)
    # The caller may change a list among the arguments later.
    again = (copy, exactly, size, *deepcopy(arguments))
    return PreparedWeight(copy, call.plan, data, (_prepare, again))


def conv2d_input(
    input_size: Ints,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
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
    stride, padding, dilation, groups, algorithm
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
    size = _check.size("input_size", input_size, 2)
    weight = _check.array("weight", weight)
    grad_output = _check.array("grad_output", grad_output)
    _check.same_dtype("grad_output", grad_output, "weight", weight)
    arguments = (stride, padding, dilation, groups, algorithm)
    call = find_call("conv2d_input", weight.dtype, size, weight.shape, *arguments)
    call.check_residual(grad_output)
    return _input_gradient(call, size, weight, grad_output, out)


def conv2d_weight(
    input: Array,
    weight_size: Ints,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
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
    stride, padding, dilation, groups, algorithm
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
    input = _check.array("input", input)
    grad_output = _check.array("grad_output", grad_output)
    _check.same_dtype("grad_output", grad_output, "input", input)
    if not isinstance(weight_size, tuple | list) or len(weight_size) != 4:
        raise ValueError(f"weight_size must be (K, C/groups, R, S), got {weight_size!r}")
    size = _check.integers("weight_size", weight_size, 4, 1)
    arguments = (stride, padding, dilation, groups, algorithm)
    call = find_call("conv2d_weight", input.dtype, input.shape, size, *arguments)
    call.check_residual(grad_output)
    return _weight_gradient(call, input, size, grad_output, out)


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
    grad_output = _check.array("grad_output", grad_output)
    _check.rank("grad_output", grad_output.shape, 2)
    return _bias_gradient(grad_output, out)


def conv2d_backward(
    input: Array,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
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
    stride, padding, dilation, groups
        As in `conv2d`.
    output_mask : tuple of three bool
        Which of the three to compute. The first layer of a network needs no gradient with respect
        to its input: (False, True, True).
    out : tuple of three ndarray or None, optional
        Where to write each of them, as in the single functions; None for a new array, and where
        `output_mask` is False. They may overlap the three arguments, but not each other.

    Returns
    -------
    grad_input, grad_weight, grad_bias : ndarray or None
        The same bits as `conv2d_input`, `conv2d_weight` and `conv2d_bias`; None where masked.

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
    """
    input = _check.array("input", input)
    weight = _check.array("weight", weight)
    grad_output = _check.array("grad_output", grad_output)
    dtype = input.dtype
    if weight.dtype is not dtype:
        _check.same_dtype("weight", weight, "input", input)
    if grad_output.dtype is not dtype:
        _check.same_dtype("grad_output", grad_output, "input", input)
    for_input, for_weight, for_bias = mask = _check.output_mask(output_mask)
    outs = NOWHERE if out is None else _check.outputs(out, mask)
    for_x, for_w = find_backward(
        dtype, input.shape, weight.shape, stride, padding, dilation, groups
    )
    if grad_output.shape != for_w.output_shape:
        for_w.check_residual(grad_output)
    arrays = input, weight, grad_output
    maps, residual = _check.batch(input), _check.batch(grad_output)
    grad_input = grad_weight = grad_bias = None
    if for_input:
        grad_input = _check.output(outs[0], input.shape, dtype, *arrays)
        if grad_input.size:
            for_x.compute(residual, weight, _check.batch(grad_input))
    if for_weight:
        grad_weight = _check.output(outs[1], weight.shape, dtype, *arrays)
        _compute_weight_gradient(for_w, maps, residual, grad_weight)
    if for_bias:
        grad_bias = _check.output(outs[2], weight.shape[:1], dtype, *arrays)
        sum_maps(residual, grad_bias)
    if out is None:
        return grad_input, grad_weight, grad_bias
    # Not before all are computed: they may overlap what was read.
    return _check.deliver_all((grad_input, grad_weight, grad_bias), outs)


def _input_gradient(
    call: Call, size: Ints, weight: Array, grad_output: Array, out: Array | None
) -> Array:
    result = _check.output(out, size, weight.dtype, weight, grad_output)
    if result.size:
        call.compute(_check.batch(grad_output), weight, _check.batch(result))
    return _check.deliver(result, out)


def _weight_gradient(
    call: Call, input: Array, size: Ints, grad_output: Array, out: Array | None
) -> Array:
    result = _check.output(out, size, input.dtype, input, grad_output)
    _compute_weight_gradient(call, _check.batch(input), _check.batch(grad_output), result)
    return _check.deliver(result, out)


def _compute_weight_gradient(call: Call, maps: Array, residual: Array, result: Array) -> None:
    if residual.size:
        call.compute(maps, residual, result)
    else:
        result[...] = 0


def _bias_gradient(grad_output: Array, out: Array | None) -> Array:
    result = _check.output(out, grad_output.shape[-3:-2], grad_output.dtype, grad_output)
    if result.size:
        sum_maps(_check.batch(grad_output), result)
    return _check.deliver(result, out)
