"""Average pooling over one, two and three axes, and its gradients."""

from fastconv import _check
from fastconv._check import Array, PaddingLike, PerAxis
from fastconv._docs import described_like
from fastconv._geometry import Ints
from fastconv.functional._pooling import (
    float_maps,
    mean_windows,
    mean_windows_backward,
    pool_plan,
)


def avg_pool2d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    ceil_mode: bool | str = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: PerAxis = 1,
    out: Array | None = None,
) -> Array:
    """Return the mean of each window.

    Parameters
    ----------
    input : ndarray, shape (N, C, H, W) or (C, H, W)
        Maps of float32 or float64; any strides.
    kernel_size, stride, padding, dilation, ceil_mode
        As in `max_pool2d`.
    count_include_pad : bool
        Divide by the number of cells with the zeros of the padding (but not with what hangs over
        it by `ceil_mode`), or by the number of positions inside the input.
    divisor_override : int, optional
        Divide by this number instead.
    out : ndarray, optional
        Where to write the means, as in `max_pool2d`.

    Returns
    -------
    ndarray, shape (N, C, OH, OW) or (C, OH, OW)
        The means. The error is below 1e-6 of the mean absolute value, however large the windows
        are; in float64 it is at most the window's rows and columns times eps.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or the sizes do not fit together, as in `max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> z = np.array([[[1.0, 8, 4, 3], [7, 2, 1, 9], [6, 1, 2, 4], [8, 7, 6, 0]]])
    >>> F.avg_pool2d(z, 2)
    array([[[4.5 , 4.25],
            [5.5 , 3.  ]]])
    """
    input = float_maps(input, 2)
    plan = pool_plan(input.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode)
    return mean_windows(plan, input, _divisor(divisor_override), count_include_pad, out)


@described_like(avg_pool2d, 1)
def avg_pool1d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    ceil_mode: bool | str = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: PerAxis = 1,
    out: Array | None = None,
) -> Array:
    """Return the mean of each window of a sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.avg_pool1d(np.array([[1.0, 8, 4, 3]]), 2, padding=1, count_include_pad=False)
    array([[1., 6., 3.]])
    """
    input = float_maps(input, 1)
    plan = pool_plan(input.shape[-1:], kernel_size, stride, padding, dilation, ceil_mode)
    return mean_windows(plan, input, _divisor(divisor_override), count_include_pad, out)


@described_like(avg_pool2d, 3)
def avg_pool3d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    ceil_mode: bool | str = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: PerAxis = 1,
    out: Array | None = None,
) -> Array:
    """Return the mean of each window of a volume.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.avg_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), (2, 1, 2))
    array([[[[2.5],
             [4.5]]]])
    """
    input = float_maps(input, 3)
    plan = pool_plan(input.shape[-3:], kernel_size, stride, padding, dilation, ceil_mode)
    return mean_windows(plan, input, _divisor(divisor_override), count_include_pad, out)


def avg_pool2d_backward(
    grad_output: Array,
    input_size: Ints,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    ceil_mode: bool | str = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: PerAxis = 1,
    out: Array | None = None,
) -> Array:
    """Spread each residual evenly over its window.

    Parameters
    ----------
    grad_output : ndarray, shape (N, C, OH, OW) or (C, OH, OW)
        Gradient with respect to the output of `avg_pool2d`.
    input_size : tuple of int, (N, C, H, W) or (C, H, W)
        Shape of the input.
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation
        As in `avg_pool2d`.
    out : ndarray, optional
        Where to write the result, as in `max_pool2d`.

    Returns
    -------
    ndarray, shape `input_size`
        The sum, at each place, of the shares of the windows that hold it, with an error as in
        `avg_pool2d`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or the sizes do not fit together, as in `max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.avg_pool2d_backward(np.array([[[8.0, 4], [16, 4]]]), (1, 4, 4), 2)
    array([[[2., 2., 1., 1.],
            [2., 2., 1., 1.],
            [4., 4., 1., 1.],
            [4., 4., 1., 1.]]])
    """
    grad_output = _check.array("grad_output", grad_output)
    size = _check.size("input_size", input_size, 2)
    plan = pool_plan(size[-2:], kernel_size, stride, padding, dilation, ceil_mode)
    divisor = _divisor(divisor_override)
    return mean_windows_backward(plan, grad_output, size, divisor, count_include_pad, out)


@described_like(avg_pool2d_backward, 1)
def avg_pool1d_backward(
    grad_output: Array,
    input_size: Ints,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    ceil_mode: bool | str = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: PerAxis = 1,
    out: Array | None = None,
) -> Array:
    """Spread each residual of a sequence evenly over its window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.avg_pool1d_backward(np.array([[8.0, 4]]), (1, 4), 2)
    array([[4., 4., 2., 2.]])
    """
    grad_output = _check.array("grad_output", grad_output)
    size = _check.size("input_size", input_size, 1)
    plan = pool_plan(size[-1:], kernel_size, stride, padding, dilation, ceil_mode)
    divisor = _divisor(divisor_override)
    return mean_windows_backward(plan, grad_output, size, divisor, count_include_pad, out)


@described_like(avg_pool2d_backward, 3)
def avg_pool3d_backward(
    grad_output: Array,
    input_size: Ints,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    ceil_mode: bool | str = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: PerAxis = 1,
    out: Array | None = None,
) -> Array:
    """Spread each residual of a volume evenly over its window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.avg_pool3d_backward(np.full((1, 1, 1, 1), 8.0), (1, 2, 1, 2), (2, 1, 2))
    array([[[[2., 2.]],
            [[2., 2.]]]])
    """
    grad_output = _check.array("grad_output", grad_output)
    size = _check.size("input_size", input_size, 3)
    plan = pool_plan(size[-3:], kernel_size, stride, padding, dilation, ceil_mode)
    divisor = _divisor(divisor_override)
    return mean_windows_backward(plan, grad_output, size, divisor, count_include_pad, out)


def _divisor(divisor_override: int | None) -> int:
    """Return the divisor, or 0 where each window counts its own cells."""
    return (
        0 if divisor_override is None else _check.integer("divisor_override", divisor_override, 1)
    )
