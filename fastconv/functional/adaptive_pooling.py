"""Adaptive and global pooling over one, two and three axes, and their gradients."""

from math import prod
from typing import Any, Literal, TypeAlias, overload

import numpy as np

from fastconv import _check
from fastconv._check import Array
from fastconv._docs import described_like
from fastconv._geometry import Ints
from fastconv.engine.ops.pooling_gradients import spread_planes
from fastconv.engine.ops.sums import sum_maps
from fastconv.functional._pooling import (
    AdaptivePlan,
    Indices,
    adaptive_plan,
    any_maps,
    as_cells,
    check_residual,
    float_maps,
    max_windows,
    mean_windows,
    mean_windows_backward,
)
from fastconv.functional.max_pooling import (
    max_pool1d_backward,
    max_pool2d_backward,
    max_pool3d_backward,
)

OutputSize: TypeAlias = int | tuple[int | None, ...] | None


def adaptive_avg_pool2d(
    input: Array,
    output_size: OutputSize,
    *,
    out: Array | None = None,
) -> Array:
    """Return the means of as many windows as are wanted, over the whole input.

    Window i of `out` on an axis of n positions reaches from floor(i*n/out) to ceil((i + 1)*n/out);
    neighbours overlap where n is no multiple of `out`. With an output size of 1 this is global
    pooling.

    Parameters
    ----------
    input : ndarray, shape (N, C, H, W) or (C, H, W)
        Maps of float32 or float64; any strides.
    output_size : int, or tuple of int or None
        How many windows each axis has; None: as many as the input has positions.
    out : ndarray, optional
        Where to write the means, as in `max_pool2d`.

    Returns
    -------
    ndarray, shape (N, C, OH, OW) or (C, OH, OW)
        The means, with an error as in `avg_pool2d`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value, or the input an axis of size 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> z = np.array([[[1.0, 8, 4, 3], [7, 2, 1, 9], [6, 1, 2, 4], [8, 7, 6, 0]]])
    >>> F.adaptive_avg_pool2d(z, (2, 1))
    array([[[4.375],
            [4.25 ]]])
    >>> F.adaptive_avg_pool2d(z, 1)
    array([[[4.3125]]])
    """
    input = float_maps(input, 2)
    plan = adaptive_plan(input.shape[-2:], output_size)
    if plan.is_global:
        return _global_mean(input, 2, out)
    return mean_windows(plan, input, 0, False, out)


@described_like(adaptive_avg_pool2d, 1)
def adaptive_avg_pool1d(
    input: Array,
    output_size: OutputSize,
    *,
    out: Array | None = None,
) -> Array:
    """Return the means of as many windows of a sequence as are wanted.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_avg_pool1d(np.array([[1.0, 8, 4, 3, 7]]), 2)
    array([[4.33333333, 4.66666667]])
    """
    input = float_maps(input, 1)
    plan = adaptive_plan(input.shape[-1:], output_size)
    if plan.is_global:
        return _global_mean(input, 1, out)
    return mean_windows(plan, input, 0, False, out)


@described_like(adaptive_avg_pool2d, 3)
def adaptive_avg_pool3d(
    input: Array,
    output_size: OutputSize,
    *,
    out: Array | None = None,
) -> Array:
    """Return the means of as many windows of a volume as are wanted.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_avg_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), (2, 1, 1))
    array([[[[1.5]],
            [[5.5]]]])
    """
    input = float_maps(input, 3)
    plan = adaptive_plan(input.shape[-3:], output_size)
    if plan.is_global:
        return _global_mean(input, 3, out)
    return mean_windows(plan, input, 0, False, out)


def adaptive_avg_pool2d_backward(
    grad_output: Array,
    input_size: Ints,
    *,
    out: Array | None = None,
) -> Array:
    """Spread each residual evenly over its window.

    Parameters
    ----------
    grad_output : ndarray, shape (N, C, OH, OW) or (C, OH, OW)
        Gradient with respect to the output of `adaptive_avg_pool2d`.
    input_size : tuple of int, (N, C, H, W) or (C, H, W)
        Shape of the input.
    out : ndarray, optional
        As in `max_pool2d`.

    Returns
    -------
    ndarray, shape `input_size`
        The sum, at each place, of the shares of the windows that hold it.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or the shapes do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_avg_pool2d_backward(np.array([[[6.0, 2]]]), (1, 1, 3))
    array([[[3., 4., 1.]]])
    """
    grad_output = _check.array("grad_output", grad_output)
    _check.rank("grad_output", grad_output.shape, 2)
    size = _check.size("input_size", input_size, 2)
    plan = adaptive_plan(size[-2:], grad_output.shape[-2:])
    if plan.is_global:
        return _global_mean_backward(plan, grad_output, size, 2, out)
    return mean_windows_backward(plan, grad_output, size, 0, False, out)


@described_like(adaptive_avg_pool2d_backward, 1)
def adaptive_avg_pool1d_backward(
    grad_output: Array,
    input_size: Ints,
    *,
    out: Array | None = None,
) -> Array:
    """Spread each residual of a sequence evenly over its window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_avg_pool1d_backward(np.array([[6.0, 2]]), (1, 3))
    array([[3., 4., 1.]])
    """
    grad_output = _check.array("grad_output", grad_output)
    _check.rank("grad_output", grad_output.shape, 1)
    size = _check.size("input_size", input_size, 1)
    plan = adaptive_plan(size[-1:], grad_output.shape[-1:])
    if plan.is_global:
        return _global_mean_backward(plan, grad_output, size, 1, out)
    return mean_windows_backward(plan, grad_output, size, 0, False, out)


@described_like(adaptive_avg_pool2d_backward, 3)
def adaptive_avg_pool3d_backward(
    grad_output: Array,
    input_size: Ints,
    *,
    out: Array | None = None,
) -> Array:
    """Spread each residual of a volume evenly over its window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_avg_pool3d_backward(np.full((1, 1, 1, 1), 8.0), (1, 2, 1, 2))
    array([[[[2., 2.]],
            [[2., 2.]]]])
    """
    grad_output = _check.array("grad_output", grad_output)
    _check.rank("grad_output", grad_output.shape, 3)
    size = _check.size("input_size", input_size, 3)
    plan = adaptive_plan(size[-3:], grad_output.shape[-3:])
    if plan.is_global:
        return _global_mean_backward(plan, grad_output, size, 3, out)
    return mean_windows_backward(plan, grad_output, size, 0, False, out)


@overload
def adaptive_max_pool2d(
    input: Array,
    output_size: OutputSize,
    return_indices: Literal[False] = False,
    *,
    out: Array | None = None,
) -> Array: ...


@overload
def adaptive_max_pool2d(
    input: Array,
    output_size: OutputSize,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any: ...


def adaptive_max_pool2d(
    input: Array,
    output_size: OutputSize,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any:
    """Return the maxima of as many windows as are wanted, over the whole input.

    The windows are those of `adaptive_avg_pool2d`.

    Parameters
    ----------
    input : ndarray, shape (N, C, H, W) or (C, H, W)
        Maps, as in `max_pool2d`.
    output_size : int, or tuple of int or None
        How many windows each axis has; None: as many as the input has positions.
    return_indices : bool
        Return the places of the maxima, too.
    out : ndarray, optional
        Where to write the maxima, as in `max_pool2d`.

    Returns
    -------
    output : ndarray, shape (N, C, OH, OW) or (C, OH, OW)
        The maxima.
    indices : ndarray of int64, same shape
        Only with `return_indices`, as in `max_pool2d`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value, or the input an axis of size 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> z = np.array([[[1.0, 8, 4, 3], [7, 2, 1, 9], [6, 1, 2, 4], [8, 7, 6, 0]]])
    >>> F.adaptive_max_pool2d(z, (1, 2), return_indices=True)
    (array([[[8., 9.]]]), array([[[1, 7]]]))
    """
    input = any_maps(input, 2)
    plan = adaptive_plan(input.shape[-2:], output_size)
    return max_windows(plan, None, input, return_indices, out)


@overload
def adaptive_max_pool1d(
    input: Array,
    output_size: OutputSize,
    return_indices: Literal[False] = False,
    *,
    out: Array | None = None,
) -> Array: ...


@overload
def adaptive_max_pool1d(
    input: Array,
    output_size: OutputSize,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any: ...


@described_like(adaptive_max_pool2d, 1)
def adaptive_max_pool1d(
    input: Array,
    output_size: OutputSize,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any:
    """Return the maxima of as many windows of a sequence as are wanted.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_max_pool1d(np.array([[1.0, 8, 4, 3, 7]]), 2)
    array([[8., 7.]])
    """
    input = any_maps(input, 1)
    plan = adaptive_plan(input.shape[-1:], output_size)
    return max_windows(plan, None, input, return_indices, out)


@overload
def adaptive_max_pool3d(
    input: Array,
    output_size: OutputSize,
    return_indices: Literal[False] = False,
    *,
    out: Array | None = None,
) -> Array: ...


@overload
def adaptive_max_pool3d(
    input: Array,
    output_size: OutputSize,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any: ...


@described_like(adaptive_max_pool2d, 3)
def adaptive_max_pool3d(
    input: Array,
    output_size: OutputSize,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any:
    """Return the maxima of as many windows of a volume as are wanted.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_max_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), (2, 1, 1))
    array([[[[3.]],
            [[7.]]]])
    """
    input = any_maps(input, 3)
    plan = adaptive_plan(input.shape[-3:], output_size)
    return max_windows(plan, None, input, return_indices, out)


def adaptive_max_pool2d_backward(
    grad_output: Array,
    indices: Indices,
    input_size: Ints,
    *,
    out: Array | None = None,
) -> Array:
    """Route each residual back to the place of its maximum: `max_pool2d_backward`.

    Parameters
    ----------
    grad_output : ndarray, shape (N, C, OH, OW) or (C, OH, OW)
        Gradient with respect to the output of `adaptive_max_pool2d`.
    indices, input_size, out
        As in `max_pool2d_backward`.

    Returns
    -------
    ndarray, shape `input_size`
        Zero where no maximum was.

    Raises
    ------
    TypeError, ValueError
        As in `max_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_max_pool2d_backward(np.array([[[5.0, 4]]]), np.array([[[1, 2]]]), (1, 2, 2))
    array([[[0., 5.],
            [4., 0.]]])
    """
    return max_pool2d_backward(grad_output, indices, input_size, out=out)


@described_like(adaptive_max_pool2d_backward, 1)
def adaptive_max_pool1d_backward(
    grad_output: Array,
    indices: Indices,
    input_size: Ints,
    *,
    out: Array | None = None,
) -> Array:
    """Route each residual of a sequence back to the place of its maximum.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_max_pool1d_backward(np.array([[5.0, 4]]), np.array([[1, 3]]), (1, 4))
    array([[0., 5., 0., 4.]])
    """
    return max_pool1d_backward(grad_output, indices, input_size, out=out)


@described_like(adaptive_max_pool2d_backward, 3)
def adaptive_max_pool3d_backward(
    grad_output: Array,
    indices: Indices,
    input_size: Ints,
    *,
    out: Array | None = None,
) -> Array:
    """Route each residual of a volume back to the place of its maximum.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> place = np.array([[[[1]]]])
    >>> F.adaptive_max_pool3d_backward(np.full((1, 1, 1, 1), 5.0), place, (1, 1, 1, 2))
    array([[[[0., 5.]]]])
    """
    return max_pool3d_backward(grad_output, indices, input_size, out=out)


def _global_mean(input: Array, axes: int, out: Array | None) -> Array:
    """Return the means of whole maps: sums in pieces, which are added in double precision."""
    lead, size = input.shape[:-axes], input.shape[-axes:]
    result = _check.output(out, lead + (1,) * axes, input.dtype, input, axes=axes)
    if not result.size:
        return _check.deliver(result, out)
    means = result if result.flags.c_contiguous else np.empty(result.shape, result.dtype)
    if input.flags.c_contiguous:
        sum_maps(input.reshape(1, -1, 1, prod(size)), means.reshape(-1), prod(size))
    else:
        for sample, mean in zip(
            input if len(lead) == 2 else input[None], means.reshape(-1, lead[-1]), strict=True
        ):
            sum_maps(sample.reshape(1, lead[-1], -1, size[-1]), mean, prod(size))
    if means is not result:
        result[...] = means
    return _check.deliver(result, out)


def _global_mean_backward(
    plan: AdaptivePlan, grad_output: Array, size: Ints, axes: int, out: Array | None
) -> Array:
    check_residual(grad_output, plan, size)
    result = _check.output(out, size, grad_output.dtype, grad_output, axes=axes)
    if result.size:
        spread_planes(as_cells(grad_output, axes), as_cells(result, axes))
    return _check.deliver(result, out)
