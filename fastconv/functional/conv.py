"""Convolution in two dimensions and its gradients.

The formulas are those of back-propagation in a convolutional layer (Y. LeCun et al., "Gradient-
based learning applied to document recognition", 1998), written out in `fastconv.reference.conv`.
"""

from types import ModuleType
from typing import TypeAlias

import numpy as np

from fastconv import _check
from fastconv._check import Array, PaddingLike, PerAxis
from fastconv._geometry import Ints
from fastconv._plan import Plan, plan_conv
from fastconv.functional import _im2col
from fastconv.functional._compiled import Compiled, direct, gemm
from fastconv.functional._depthwise import depthwise

Gradients: TypeAlias = tuple[Array | None, Array | None, Array | None]

MODULES: dict[str, Compiled | ModuleType] = {
    "depthwise": depthwise,
    "gemm": gemm,
    "direct": direct,
    "im2col": _im2col,
}


def conv2d(
    input: Array,
    weight: Array,
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
    weight : ndarray, shape (K, C/groups, R, S)
        Kernels, of the input's dtype.
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
    algorithm : {"auto", "depthwise", "gemm", "direct", "im2col"}
        How to compute it: loops of vector instructions for one input channel in each group, the
        engine of vector instructions, plain loops, or columns and `numpy.matmul`. "auto" takes
        the fastest that is exact on integers.
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
    weight = _weight("weight", weight)
    _check.rank("input", input, 2)
    _check.same_dtype("weight", weight, "input", input)
    batched = input.ndim == 4
    maps = input if batched else input[None]
    plan = plan_call(maps.shape, weight.shape, stride, padding, dilation, groups, algorithm)
    geometry = plan.geometry
    inputs = [input, weight]
    if bias is not None:
        bias = _check.array("bias", bias)
        _check.same_dtype("bias", bias, "input", input)
        _check.same_shape("bias", bias, (geometry.out_channels,), "(weight.shape[0],)")
        inputs.append(bias)
    shape = geometry.output_shape if batched else geometry.output_shape[1:]
    result = _check.output(out, shape, input.dtype, *inputs)
    if result.size:
        MODULES[plan.algorithm].forward(
            geometry, maps, weight, bias, result if batched else result[None]
        )
    return _check.deliver(result, out)


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
    weight = _weight("weight", weight)
    grad_output = _check.array("grad_output", grad_output)
    _check.same_dtype("grad_output", grad_output, "weight", weight)
    batched = len(size) == 4
    plan = plan_call(
        size if batched else (1, *size),
        weight.shape,
        stride,
        padding,
        dilation,
        groups,
        algorithm,
    )
    _residual_shape(grad_output, plan, batched)
    result = _check.output(out, size, weight.dtype, weight, grad_output)
    if result.size:
        MODULES[plan.algorithm].input_gradient(
            plan.geometry,
            grad_output if batched else grad_output[None],
            weight,
            result if batched else result[None],
        )
    return _check.deliver(result, out)


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
    it is the same for any number of threads.

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
    _check.rank("input", input, 2)
    _check.same_dtype("grad_output", grad_output, "input", input)
    if not isinstance(weight_size, tuple | list) or len(weight_size) != 4:
        raise ValueError(f"weight_size must be (K, C/groups, R, S), got {weight_size!r}")
    size = _check.integers("weight_size", weight_size, 4, 1)
    batched = input.ndim == 4
    maps = input if batched else input[None]
    plan = plan_call(maps.shape, size, stride, padding, dilation, groups, algorithm)
    _residual_shape(grad_output, plan, batched)
    result = _check.output(out, size, input.dtype, input, grad_output)
    if grad_output.size:
        residual = grad_output if batched else grad_output[None]
        MODULES[plan.algorithm].weight_gradient(plan.geometry, maps, residual, result)
    else:
        result[...] = 0
    return _check.deliver(result, out)


def conv2d_bias(grad_output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of a convolution with respect to its bias.

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

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.conv2d_bias(np.ones((2, 3, 4, 4)))
    array([32., 32., 32.])
    """
    grad_output = _check.array("grad_output", grad_output)
    _check.rank("grad_output", grad_output, 2)
    axes = (0, 2, 3) if grad_output.ndim == 4 else (1, 2)
    result = _check.output(out, (grad_output.shape[-3],), grad_output.dtype, grad_output)
    np.add.reduce(grad_output, axis=axes, out=result)
    return _check.deliver(result, out)


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
) -> Gradients:
    """Return the gradients with respect to input, weight and bias.

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
        Which of the three to compute.

    Returns
    -------
    grad_input, grad_weight, grad_bias : ndarray or None
        The same bits as `conv2d_input`, `conv2d_weight` and `conv2d_bias`; None where masked.

    Raises
    ------
    TypeError, ValueError
        As those functions.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> image, kernels = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    >>> [g.shape for g in F.conv2d_backward(image, kernels, np.ones((1, 1, 2, 2)))]
    [(1, 1, 3, 3), (1, 1, 2, 2), (1,)]
    """
    input = _check.array("input", input)
    weight = _weight("weight", weight)
    _check.same_dtype("weight", weight, "input", input)
    for_input, for_weight, for_bias = _check.output_mask(output_mask)
    arguments = (stride, padding, dilation, groups)
    return (
        conv2d_input(input.shape, weight, grad_output, *arguments) if for_input else None,
        conv2d_weight(input, weight.shape, grad_output, *arguments) if for_weight else None,
        conv2d_bias(grad_output) if for_bias else None,
    )


def _weight(name: str, weight: Array) -> Array:
    weight = _check.array(name, weight)
    if weight.ndim != 4:
        raise ValueError(
            f"{name} must be (K, C/groups, R, S), got {weight.ndim}-D with shape {weight.shape}"
        )
    return weight


def plan_call(
    input_shape: Ints,
    weight_shape: Ints,
    stride: PerAxis,
    padding: PaddingLike,
    dilation: PerAxis,
    groups: int,
    algorithm: str,
) -> Plan:
    """Normalise the arguments and look the plan up."""
    if not isinstance(algorithm, str):
        raise TypeError(f"algorithm must be a str, got {type(algorithm).__name__}")
    return plan_conv(
        input_shape,
        weight_shape,
        _check.integers("stride", stride, 2, 1),
        _check.padding("padding", padding, 2),
        _check.integers("dilation", dilation, 2, 1),
        _check.integer("groups", groups, 1),
        algorithm,
    )


def _residual_shape(grad_output: Array, plan: Plan, batched: bool) -> None:
    shape = plan.geometry.output_shape
    _check.same_shape(
        "grad_output",
        grad_output,
        shape if batched else shape[1:],
        "(N, K, OH, OW)" if batched else "(K, OH, OW)",
    )
