"""Pooling by p-norms over one, two and three axes, and its gradients."""

from math import isfinite

import numpy as np

from fastconv import _check
from fastconv._check import Array, PaddingLike, PerAxis
from fastconv._docs import described_like
from fastconv.engine.ops import pooling
from fastconv.engine.ops.pooling_gradients import times_slope
from fastconv.functional._pooling import (
    RegularPlan,
    as_cells,
    as_volumes,
    check_residual,
    float_maps,
    mean_windows_backward,
    pool_plan,
    run_wide,
)


def lp_pool2d(
    input: Array,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    ceil_mode: bool | str = False,
    *,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    out: Array | None = None,
) -> Array:
    """Return the p-norm of each window, the p-th root of the sum of ``abs(x)**p``.

    Parameters
    ----------
    input : ndarray, shape (N, C, H, W) or (C, H, W)
        Maps of float32 or float64; any strides.
    norm_type : float
        The power p, above 0. With p = 1 the norm is the sum of absolute values. For odd p torch
        leaves out the absolute value: the same only for an input that is nowhere negative.
    kernel_size, stride, padding, dilation
        As in `max_pool2d`; the padding holds zeros.
    ceil_mode : bool or "onnx"
        As in `max_pool2d`. By torch's rule the sum of a window that hangs over is scaled to that of
        a whole one, by ONNX's it is not.
    out : ndarray, optional
        Where to write the norms, as in `max_pool2d`.

    Returns
    -------
    ndarray, shape (N, C, OH, OW) or (C, OH, OW)
        The norms. Powers that are too large or too small for the dtype become infinity or 0.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value, or the sizes do not fit together, as in
        `max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.lp_pool2d(np.array([[[3.0, -4, 0, 1], [0, 0, 0, 0]]]), 2, 2)
    array([[[5., 1.]]])
    """
    input = float_maps(input, 2)
    plan = pool_plan(input.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode)
    return _pool(plan, input, norm_type, ceil_mode, out)


@described_like(lp_pool2d, 1)
def lp_pool1d(
    input: Array,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    ceil_mode: bool | str = False,
    *,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    out: Array | None = None,
) -> Array:
    """Return the p-norm of each window of a sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.lp_pool1d(np.array([[3.0, -4, 0, 1]]), 1, 2)
    array([[7., 1.]])
    """
    input = float_maps(input, 1)
    plan = pool_plan(input.shape[-1:], kernel_size, stride, padding, dilation, ceil_mode)
    return _pool(plan, input, norm_type, ceil_mode, out)


@described_like(lp_pool2d, 3)
def lp_pool3d(
    input: Array,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    ceil_mode: bool | str = False,
    *,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    out: Array | None = None,
) -> Array:
    """Return the p-norm of each window of a volume.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.lp_pool3d(np.full((1, 2, 2, 2), -3.0), 3, 2)
    array([[[[6.]]]])
    """
    input = float_maps(input, 3)
    plan = pool_plan(input.shape[-3:], kernel_size, stride, padding, dilation, ceil_mode)
    return _pool(plan, input, norm_type, ceil_mode, out)


def lp_pool2d_backward(
    grad_output: Array,
    input: Array,
    output: Array,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    ceil_mode: bool | str = False,
    *,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `lp_pool2d`.

    Parameters
    ----------
    grad_output : ndarray, shape (N, C, OH, OW) or (C, OH, OW)
        Gradient with respect to the output.
    input, output : ndarray
        Input and output of `lp_pool2d`.
    norm_type, kernel_size, stride, ceil_mode, padding, dilation
        As in `lp_pool2d`.
    out : ndarray, optional
        As in `max_pool2d`.

    Returns
    -------
    ndarray, shape of `input`
        The sum, over the windows with norm y that hold x, of
        ``grad_output * sign(x) * (abs(x)/y)**(p - 1)``; 0 where y or x is 0.

    Raises
    ------
    TypeError, ValueError
        As in `lp_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x = np.array([[[3.0, -4]]])
    >>> F.lp_pool2d_backward(np.array([[[10.0]]]), x, F.lp_pool2d(x, 2, (1, 2)), 2, (1, 2))
    array([[[ 6., -8.]]])
    """
    input = float_maps(input, 2)
    plan = pool_plan(input.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode)
    return _backward(plan, grad_output, input, output, norm_type, ceil_mode, out)


@described_like(lp_pool2d_backward, 1)
def lp_pool1d_backward(
    grad_output: Array,
    input: Array,
    output: Array,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    ceil_mode: bool | str = False,
    *,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `lp_pool1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x = np.array([[3.0, -4]])
    >>> F.lp_pool1d_backward(np.array([[10.0]]), x, F.lp_pool1d(x, 2, 2), 2, 2)
    array([[ 6., -8.]])
    """
    input = float_maps(input, 1)
    plan = pool_plan(input.shape[-1:], kernel_size, stride, padding, dilation, ceil_mode)
    return _backward(plan, grad_output, input, output, norm_type, ceil_mode, out)


@described_like(lp_pool2d_backward, 3)
def lp_pool3d_backward(
    grad_output: Array,
    input: Array,
    output: Array,
    norm_type: float,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    ceil_mode: bool | str = False,
    *,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `lp_pool3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x = np.array([[[[3.0, -4]]]])
    >>> y = F.lp_pool3d(x, 2, (1, 1, 2))
    >>> F.lp_pool3d_backward(np.full((1, 1, 1, 1), 10.0), x, y, 2, (1, 1, 2))
    array([[[[ 6., -8.]]]])
    """
    input = float_maps(input, 3)
    plan = pool_plan(input.shape[-3:], kernel_size, stride, padding, dilation, ceil_mode)
    return _backward(plan, grad_output, input, output, norm_type, ceil_mode, out)


def check_norm(norm_type: float) -> float:
    """Return the power of a norm, or refuse it."""
    power = _check.number("norm_type", norm_type)
    if not (power > 0 and isfinite(power)):
        raise ValueError(f"norm_type must be a finite number above 0, got {power}")
    return power


def _scale(plan: RegularPlan, ceil_mode: bool | str) -> tuple[int, int]:
    """Return what sums are divided by, 0 for a window's own cells, and multiplied by."""
    return (0, plan.cells) if plan.hangs_over and ceil_mode != "onnx" else (1, 1)


def _pool(
    plan: RegularPlan, input: Array, norm_type: float, ceil_mode: bool | str, out: Array | None
) -> Array:
    power, axes = check_norm(norm_type), len(plan.in_size)
    cells, scale = _scale(plan, ceil_mode)
    result = _check.output(out, input.shape[:-axes] + plan.out_size, input.dtype, input, axes=axes)
    if result.size:
        maps, norms = as_volumes(input, axes), as_volumes(result, axes)
        options = (plan.windows, cells, power, scale)
        run_wide(pooling.power_pool, plan.long_windows, maps, norms, options)
    return _check.deliver(result, out)


def _backward(
    plan: RegularPlan,
    grad_output: Array,
    input: Array,
    output: Array,
    norm_type: float,
    ceil_mode: bool | str,
    out: Array | None,
) -> Array:
    power, axes = check_norm(norm_type), len(plan.in_size)
    cells, scale = _scale(plan, ceil_mode)
    grad_output, output = _check.array("grad_output", grad_output), _check.array("output", output)
    for name, value in (("grad_output", grad_output), ("output", output)):
        _check.same_dtype(name, value, "input", input)
    _check.same_shape("output", output, grad_output.shape, "grad_output.shape")
    check_residual(grad_output, plan, input.shape)
    result = _check.output(out, input.shape, input.dtype, input, grad_output, output, axes=axes)
    if result.size:
        # NumPy's powers of contiguous numbers may differ from those of others in their last bit.
        norms = np.ascontiguousarray(output)
        with np.errstate(all="ignore"):
            share = np.where(norms == 0, 0, grad_output * norms ** input.dtype.type(1 - power))
            share *= scale
        mean_windows_backward(plan, share, input.shape, cells, True, result)
        times_slope(as_cells(input, axes), as_cells(result, axes), power)
    return _check.deliver(result, out)
