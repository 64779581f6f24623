"""Max pooling over windows at random distances, over two and three axes, and its gradients."""

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from fastconv import _check
from fastconv._check import Array, PerAxis, Random
from fastconv._docs import described_like
from fastconv._geometry import Ints, axis_name
from fastconv._pool_geometry import fractional_windows
from fastconv.engine.ops.windows import window_numbers
from fastconv.functional._pooling import Indices, PoolPlan, float_maps, max_windows
from fastconv.functional.max_pooling import max_pool2d_backward, max_pool3d_backward


@overload
def fractional_max_pool2d(
    input: Array,
    kernel_size: PerAxis,
    output_size: PerAxis | None = None,
    output_ratio: float | tuple[float, ...] | None = None,
    return_indices: Literal[False] = False,
    _random_samples: Array | None = None,
    *,
    rng: Random = None,
    out: Array | None = None,
) -> Array: ...


@overload
def fractional_max_pool2d(
    input: Array,
    kernel_size: PerAxis,
    output_size: PerAxis | None = None,
    output_ratio: float | tuple[float, ...] | None = None,
    return_indices: bool = False,
    _random_samples: Array | None = None,
    *,
    rng: Random = None,
    out: Array | None = None,
) -> Any: ...


def fractional_max_pool2d(
    input: Array,
    kernel_size: PerAxis,
    output_size: PerAxis | None = None,
    output_ratio: float | tuple[float, ...] | None = None,
    return_indices: bool = False,
    _random_samples: Array | None = None,
    *,
    rng: Random = None,
    out: Array | None = None,
) -> Any:
    """Return the maxima of windows at random distances, for an output of any size.

    The distances are the two integers around (size - kernel_size)/(output_size - 1), in a
    pseudo-random order that one sample sets for each axis of each map (B. Graham, "Fractional
    max-pooling", arXiv 1412.6071). The same samples give torch's windows.

    Parameters
    ----------
    input : ndarray, shape (N, C, H, W) or (C, H, W)
        Maps of float32 or float64; any strides.
    kernel_size : int or tuple of int
        Size of the window.
    output_size : int or tuple of int, optional
        Size of the result.
    output_ratio : float or tuple of float, optional
        Size of the result over that of the input, from 0 to 1, in place of `output_size`.
    return_indices : bool
        Return the places of the maxima, too.
    _random_samples : ndarray, shape (N, C, axes) or (C, axes), optional
        The samples, from 0 to 1, of the input's dtype. Over two axes the first is that of the
        columns, over three that of the depth, as in torch.
    rng : int or numpy.random.Generator, optional
        Where samples come from that are not given; an int is a seed.
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
        If an argument has the wrong type or value, both or neither of the output's size and ratio
        are given, or the windows do not fit: output_size + kernel_size - 1 is at most the input's
        size.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> z = np.arange(25.0).reshape(1, 5, 5)
    >>> F.fractional_max_pool2d(z, 2, 3, _random_samples=np.array([[0.2, 0.7]]))
    array([[[ 6.,  7.,  9.],
            [11., 12., 14.],
            [21., 22., 24.]]])
    """
    input = float_maps(input, 2)
    arguments = (kernel_size, output_size, output_ratio, return_indices, _random_samples, rng, out)
    return _pool(2, input, *arguments)


@overload
def fractional_max_pool3d(
    input: Array,
    kernel_size: PerAxis,
    output_size: PerAxis | None = None,
    output_ratio: float | tuple[float, ...] | None = None,
    return_indices: Literal[False] = False,
    _random_samples: Array | None = None,
    *,
    rng: Random = None,
    out: Array | None = None,
) -> Array: ...


@overload
def fractional_max_pool3d(
    input: Array,
    kernel_size: PerAxis,
    output_size: PerAxis | None = None,
    output_ratio: float | tuple[float, ...] | None = None,
    return_indices: bool = False,
    _random_samples: Array | None = None,
    *,
    rng: Random = None,
    out: Array | None = None,
) -> Any: ...


@described_like(fractional_max_pool2d, 3)
def fractional_max_pool3d(
    input: Array,
    kernel_size: PerAxis,
    output_size: PerAxis | None = None,
    output_ratio: float | tuple[float, ...] | None = None,
    return_indices: bool = False,
    _random_samples: Array | None = None,
    *,
    rng: Random = None,
    out: Array | None = None,
) -> Any:
    """Return the maxima of windows of a volume at random distances.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> z = np.arange(27.0).reshape(1, 3, 3, 3)
    >>> F.fractional_max_pool3d(z, 2, output_ratio=0.4, rng=0)
    array([[[[26.]]]])
    """
    input = float_maps(input, 3)
    arguments = (kernel_size, output_size, output_ratio, return_indices, _random_samples, rng, out)
    return _pool(3, input, *arguments)


def fractional_max_pool2d_backward(
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
        Gradient with respect to the output of `fractional_max_pool2d`.
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
    >>> F.fractional_max_pool2d_backward(np.array([[[5.0, 4]]]), np.array([[[1, 2]]]), (1, 2, 2))
    array([[[0., 5.],
            [4., 0.]]])
    """
    return max_pool2d_backward(grad_output, indices, input_size, out=out)


@described_like(fractional_max_pool2d_backward, 3)
def fractional_max_pool3d_backward(
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
    >>> F.fractional_max_pool3d_backward(np.full((1, 1, 1, 1), 5.0), place, (1, 1, 1, 2))
    array([[[[0., 5.]]]])
    """
    return max_pool3d_backward(grad_output, indices, input_size, out=out)


def _pool(
    axes: int,
    input: Array,
    kernel_size: PerAxis,
    output_size: PerAxis | None,
    output_ratio: float | tuple[float, ...] | None,
    return_indices: bool,
    samples: Array | None,
    rng: Random,
    out: Array | None,
) -> Any:
    lead, size = input.shape[:-axes], input.shape[-axes:]
    kernel = _check.integers("kernel_size", kernel_size, axes, 1)
    outs = _output_size(size, output_size, output_ratio)
    for axis, (n, k, o) in enumerate(zip(size, kernel, outs, strict=True)):
        if o + k - 1 > n:
            raise ValueError(
                f"output_size + kernel_size - 1 must be at most the input's size on axis "
                f"{axis_name(axis, axes)}, got {o} + {k} - 1 = {o + k - 1} > {n}"
            )
    drawn = _samples((*lead, axes), input.dtype, samples, rng)
    plan = PoolPlan(size, outs, outs, kernel)
    planes = len(drawn)
    if planes == 0:
        # No map has windows.
        return max_windows(plan, None, input, return_indices, out)
    # In two dimensions the first sample is that of the columns.
    order = drawn.T if axes == 3 else drawn.T[::-1]
    tables = tuple(map(fractional_windows, size, kernel, outs, order))
    windows = window_numbers(tables, (1,) * axes, size[-1], planes=planes)
    return max_windows(plan, windows, input, return_indices, out)


def _output_size(
    size: Ints, output_size: PerAxis | None, output_ratio: float | tuple[float, ...] | None
) -> Ints:
    if (output_size is None) == (output_ratio is None):
        raise ValueError("one of output_size and output_ratio must be given, and not both")
    if output_size is not None:
        return _check.integers("output_size", output_size, len(size), 1)
    ratios = output_ratio if isinstance(output_ratio, tuple | list) else (output_ratio,) * len(size)
    if len(ratios) != len(size):
        raise ValueError(f"output_ratio must have {len(size)} entries, got {output_ratio!r}")
    for ratio in ratios:
        if not 0 < _check.number("output_ratio", ratio) < 1:
            raise ValueError(f"output_ratio must be between 0 and 1, got {ratio}")
    outs = tuple(int(n * float(ratio)) for n, ratio in zip(size, ratios, strict=True))  # type: ignore[arg-type]
    if not all(outs):
        raise ValueError(f"output_ratio {output_ratio} leaves nothing of an input of size {size}")
    return outs


def _samples(shape: Ints, dtype: np.dtype[Any], samples: Array | None, rng: Random) -> NDArray[Any]:
    """Return the samples of each map, one for each axis."""
    if samples is None:
        drawn = np.random.default_rng(rng).random(shape, dtype)
    else:
        drawn = _check.array("_random_samples", samples)
        _check.same_shape("_random_samples", drawn, shape, "(N, C, axes) or (C, axes)")
        if drawn.dtype != dtype:
            raise TypeError(
                f"_random_samples must have the input's dtype {dtype}, got {drawn.dtype}"
            )
        # A NaN lies nowhere.
        if not ((drawn >= 0) & (drawn <= 1)).all():
            raise ValueError("_random_samples must be from 0 to 1")
    return drawn.reshape(-1, shape[-1])
