"""Max and mean pooling in two dimensions, and their gradients.

Windows that overlap (A. Krizhevsky et al., 2012, section 3.4), padding, dilation and ceil_mode work
as in torch. Positions outside the input take no part in a maximum.
"""

from collections.abc import Callable
from functools import cached_property
from math import prod
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from fastconv import _check
from fastconv._check import INT64, Array, PaddingLike, PerAxis
from fastconv._geometry import Ints, Padding, PoolGeometry, pool_geometry
from fastconv.engine.base.cache import Cache
from fastconv.engine.base.memory import empty
from fastconv.engine.ops import pooling
from fastconv.engine.ops.windows import reader_numbers, window_numbers

Indices = NDArray[np.int64]

_LONGEST_SUM = 64

# "full" would let windows lie outside the input.
POOL_PADDING_WORDS = ("valid", "same", "same_lower")


class _Plan:
    """A geometry with the numbers that the kernels want."""

    def __init__(self, geometry: PoolGeometry) -> None:
        self.geometry = geometry
        self.out_size = geometry.out_size
        # Whether so many numbers meet in a running sum, down a column and along a row, of a window
        # or of the windows that hold a position, that their rounding errors matter.
        meeting = [-(-k // s) for k, s in zip(geometry.kernel, geometry.stride, strict=True)]
        self.long_windows = sum(geometry.kernel) > _LONGEST_SUM
        self.many_readers = sum(meeting) > _LONGEST_SUM

    @cached_property
    def windows(self) -> Any:
        """The numbers of all kernels."""
        return window_numbers(self.geometry)

    @cached_property
    def readers(self) -> Any:
        """What the gradient of a mean wants, too."""
        return reader_numbers(self.geometry)


def _planes(maps: NDArray[Any]) -> NDArray[Any]:
    """View (N, C, *spatial) or (C, *spatial) of two axes as (N, C, D, H, W)."""
    return maps[:, :, None] if maps.ndim == 4 else maps[None, :, None]


def _plan(
    in_size: Ints,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PaddingLike,
    dilation: PerAxis,
    ceil_mode: int,
) -> _Plan:
    kernel = _check.integers("kernel_size", kernel_size, 2, 1)
    form: Padding = _check.padding("padding", padding, 2, POOL_PADDING_WORDS)
    geometry = pool_geometry(
        in_size,
        kernel,
        kernel if stride is None else _check.integers("stride", stride, 2, 1),
        form,
        _check.integers("dilation", dilation, 2, 1),
        bool(ceil_mode),
    )
    return _Plan(geometry)


# The arguments as users write them lead to the plan; `ceil_mode` is 0 or 1.
_planned = Cache(_plan, 256)


def _input(input: Array) -> Array:
    input = _check.array("input", input)
    _check.rank("input", input.shape, 2)
    return input


@overload
def max_pool2d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    out: Array | None = None,
) -> Array: ...


@overload
def max_pool2d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any: ...


def max_pool2d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Array | tuple[Array, Indices]:
    """Return the maximum of each window.

    Parameters
    ----------
    input : ndarray, shape (N, C, H, W) or (C, H, W)
        Maps of float32 or float64; any strides.
    kernel_size : int or tuple of int
        Size of the window.
    stride : int or tuple of int, optional
        Distance between windows; `kernel_size` by default. Less makes them overlap.
    padding : int, tuple, or str
        Positions around the input, as in `conv2d` ("full" apart): at most half the window on each
        side. They never are the maximum.
    dilation : int or tuple of int
        Distance between the positions of a window.
    ceil_mode : bool
        Let a last window hang over the end of the padded input, if it begins before that end and
        not in the padding after it.
    return_indices : bool
        Return the places of the maxima, too.
    out : ndarray, optional
        Where to write the maxima. Its (H, W) planes are contiguous; the other strides are free.

    Returns
    -------
    output : ndarray, shape (N, C, OH, OW) or (C, OH, OW)
        The maxima.
    indices : ndarray of int64, same shape
        Only with `return_indices`: row*W + column of each maximum in the input's plane. The first
        of equal maxima counts, row by row; a NaN counts as larger than any number.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or the sizes do not fit together; also if a window would
        hold no position of the input. A window can lie wholly in the padding where the dilation is
        larger than the input's size on an axis, which then fits between two positions of it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> z = np.array([[[1.0, 8, 4, 3], [7, 2, 1, 9], [6, 1, 2, 4], [8, 7, 6, 0]]])
    >>> maxima, indices = F.max_pool2d(z, 2, return_indices=True)
    >>> maxima
    array([[[8., 9.],
            [8., 6.]]])
    >>> indices
    array([[[ 1,  7],
            [12, 14]]])
    """
    input = _input(input)
    plan = _planned(input.shape[-2:], kernel_size, stride, padding, dilation, int(bool(ceil_mode)))
    shape = input.shape[:-2] + plan.out_size
    result = _check.output(out, shape, input.dtype, input)
    indices = empty(shape, INT64) if return_indices else None
    if result.size:
        pooling.max_pool(
            _planes(input),
            _planes(result),
            None if indices is None else _planes(indices),
            plan.windows,
        )
    output = _check.deliver(result, out)
    return output if indices is None else (output, indices)


def max_pool2d_backward(
    grad_output: Array, indices: Indices, input_size: Ints, *, out: Array | None = None
) -> Array:
    """Route each residual back to the place of its maximum.

    Where windows overlap, the residuals that meet in one place are added, one after the other: the
    error is at most their number times eps times the sum of their absolute values.

    Parameters
    ----------
    grad_output : ndarray, shape (N, C, OH, OW) or (C, OH, OW)
        Gradient with respect to the output of `max_pool2d`.
    indices : ndarray of int64, same shape
        The places of the maxima, as `max_pool2d` returns them.
    input_size : tuple of int, (N, C, H, W) or (C, H, W)
        Shape of the input.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape `input_size`
        Zero where no maximum was.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, the shapes do not fit together, or an index lies outside
        the plane.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> residual = np.array([[[7.0, 3], [1, 4]]])
    >>> F.max_pool2d_backward(residual, np.array([[[1, 7], [12, 14]]]), (1, 4, 4))
    array([[[0., 7., 0., 0.],
            [0., 0., 0., 3.],
            [0., 0., 0., 0.],
            [1., 0., 4., 0.]]])
    """
    grad_output = _check.array("grad_output", grad_output)
    _check.rank("grad_output", grad_output.shape, 2)
    indices = _check.indices("indices", indices)
    _check.same_shape("indices", indices, grad_output.shape, "grad_output.shape")
    size = _check.size("input_size", input_size, 2)
    if size[:-2] != grad_output.shape[:-2]:
        raise ValueError(
            f"input_size must begin as grad_output.shape = {grad_output.shape}, got {size}"
        )
    result = _check.output(out, size, grad_output.dtype, grad_output, indices)
    cells = prod(size[-2:])
    if out is not None and indices.size:
        # The kernel finds a wrong index only when it has written what comes before.
        _check_places(indices, cells)
    n = size[0] if len(size) == 4 else 1
    flat = (n, size[-3], -1)
    if result.size or grad_output.size:
        inside = pooling.max_pool_backward(
            np.ascontiguousarray(grad_output).reshape(flat),
            np.ascontiguousarray(indices).reshape(flat),
            result.reshape(n, size[-3], cells),
        )
        if not inside:
            _check_places(indices, cells)
    return _check.deliver(result, out)


def avg_pool2d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    ceil_mode: bool = False,
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
        Where to write the means. Its (H, W) planes are contiguous; the other strides are free.

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
    input = _input(input)
    plan = _planned(input.shape[-2:], kernel_size, stride, padding, dilation, int(bool(ceil_mode)))
    cells = _divisor(divisor_override)
    result = _check.output(out, input.shape[:-2] + plan.out_size, input.dtype, input)
    if result.size:
        options = (plan.windows, cells, bool(count_include_pad))
        _run_mean(pooling.mean_pool, plan.long_windows, _planes(input), _planes(result), options)
    return _check.deliver(result, out)


def avg_pool2d_backward(
    grad_output: Array,
    input_size: Ints,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    ceil_mode: bool = False,
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
        Where to write the result.

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
    plan = _planned(size[-2:], kernel_size, stride, padding, dilation, int(bool(ceil_mode)))
    cells = _divisor(divisor_override)
    _check.same_shape(
        "grad_output",
        grad_output,
        size[:-2] + plan.out_size,
        "(N, C, OH, OW)" if len(size) == 4 else "(C, OH, OW)",
    )
    result = _check.output(out, size, grad_output.dtype, grad_output)
    if result.size:
        options = (plan.windows, plan.readers, cells, bool(count_include_pad))
        _run_mean(
            pooling.mean_pool_backward,
            plan.many_readers,
            _planes(grad_output),
            _planes(result),
            options,
        )
    return _check.deliver(result, out)


def _run_mean(
    kernel: Callable[..., None],
    long_sums: bool,
    maps: Array,
    results: Array,
    options: tuple[Any, ...],
) -> None:
    """Run a kernel of the mean; long sums of float32 are added in float64, sample by sample."""
    if not (long_sums and maps.dtype == np.float32):
        kernel(maps, results, *options)
        return
    wide = np.dtype(np.float64)
    for n in range(len(maps)):
        means = np.empty(results[n : n + 1].shape, wide)
        kernel(maps[n : n + 1].astype(wide), means, *options)
        with np.errstate(all="ignore"):
            results[n] = means[0]


def _check_places(indices: Indices, cells: int) -> None:
    """Refuse indices of which one lies outside the plane."""
    smallest, largest = int(indices.min()), int(indices.max())
    if smallest < 0 or largest >= cells:
        raise ValueError(
            f"indices must be from 0 to H*W - 1 = {cells - 1}, got values from {smallest} to "
            f"{largest}"
        )


def _divisor(divisor_override: int | None) -> int:
    """Return the divisor, or 0 where each window counts its own cells."""
    return (
        0 if divisor_override is None else _check.integer("divisor_override", divisor_override, 1)
    )
