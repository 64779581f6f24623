"""Max pooling over windows at random distances, and its gradient, window by window."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv._docs import described_like
from fastconv.reference._arguments import Array, PerAxis, expect_shape, float_dtype, per_axis
from fastconv.reference._pooling import maxima, spread_windows, to_places


def fractional_max_pool2d(
    input: Array,
    kernel_size: PerAxis,
    output_size: PerAxis | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Array | None = None,
    *,
    rng: int | np.random.Generator | None = None,
) -> Any:
    """Keep the largest values of windows at random distances.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Input maps, float32 or float64.
    kernel_size : int or sequence of int
        Size of the window.
    output_size : int or sequence of int, optional
        Windows along each axis.
    output_ratio : float or sequence of float, optional
        Windows for each cell of an axis, in place of their number.
    return_indices : bool, default False
        Whether to return the places of the maxima, too.
    _random_samples : numpy.ndarray of shape (N, C, axes) or (C, axes), optional
        A number u in [0, 1] for each axis of each map; over two axes that of the columns comes
        first.
    rng : int or numpy.random.Generator, optional
        Where the numbers come from if they are not given.

    Returns
    -------
    output : numpy.ndarray of shape (N, C, OH, OW) or (C, OH, OW)
        The maxima.
    indices : numpy.ndarray of int64, same shape
        Their places, as in `max_pool2d`; only with `return_indices`.

    Raises
    ------
    ValueError
        If shapes do not fit together, or not one of the output's size and ratio is given.
    TypeError
        If the input is not an array of float32 or float64.

    Notes
    -----
    With a = (n - k) / (o - 1) for an axis of n cells, windows of k and o of them, window i begins
    at floor((i + u) a) - floor(u a), and the last one at n - k (B. Graham, arXiv 1412.6071).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import fractional_max_pool2d
    >>> z = np.arange(25.0).reshape(1, 5, 5)
    >>> fractional_max_pool2d(z, 2, 3, _random_samples=np.array([[0.2, 0.7]]))
    array([[[ 6.,  7.,  9.],
            [11., 12., 14.],
            [21., 22., 24.]]])
    """
    output, indices = _pool(2, input, kernel_size, output_size, output_ratio, _random_samples, rng)
    return (output, indices) if return_indices else output


@described_like(fractional_max_pool2d, 3)
def fractional_max_pool3d(
    input: Array,
    kernel_size: PerAxis,
    output_size: PerAxis | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Array | None = None,
    *,
    rng: int | np.random.Generator | None = None,
) -> Any:
    """Keep the largest values of windows of a volume at random distances.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import fractional_max_pool3d
    >>> fractional_max_pool3d(np.arange(27.0).reshape(1, 3, 3, 3), 2, output_ratio=0.4, rng=0)
    array([[[[26.]]]])
    """
    output, indices = _pool(3, input, kernel_size, output_size, output_ratio, _random_samples, rng)
    return (output, indices) if return_indices else output


def fractional_max_pool2d_backward(
    grad_output: Array,
    indices: Array,
    input_size: Sequence[int],
) -> Array:
    """Route the residual back to where the maxima were.

    Parameters
    ----------
    grad_output : numpy.ndarray of shape (N, C, OH, OW) or (C, OH, OW)
        Residual of the output of `fractional_max_pool2d`.
    indices, input_size
        As in `max_pool2d_backward`.

    Returns
    -------
    numpy.ndarray of shape `input_size`
        Residual of the input.

    Raises
    ------
    ValueError, TypeError
        As in `max_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import fractional_max_pool2d_backward
    >>> fractional_max_pool2d_backward(np.array([[[5.0, 4]]]), np.array([[[1, 2]]]), (1, 2, 2))
    array([[[0., 5.],
            [4., 0.]]])
    """
    return to_places(grad_output, indices, input_size, 2, add=True)


@described_like(fractional_max_pool2d_backward, 3)
def fractional_max_pool3d_backward(
    grad_output: Array,
    indices: Array,
    input_size: Sequence[int],
) -> Array:
    """Route the residual of a volume back to where the maxima were.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import fractional_max_pool3d_backward
    >>> place = np.array([[[[1]]]])
    >>> fractional_max_pool3d_backward(np.full((1, 1, 1, 1), 5.0), place, (1, 1, 1, 2))
    array([[[[0., 5.]]]])
    """
    return to_places(grad_output, indices, input_size, 3, add=True)


def _pool(
    axes: int,
    input: Array,
    kernel_size: PerAxis,
    output_size: PerAxis | None,
    output_ratio: float | Sequence[float] | None,
    samples: Array | None,
    rng: int | np.random.Generator | None,
) -> tuple[Array, Array]:
    dtype = float_dtype(input=input)
    lead, size = input.shape[:-axes], input.shape[-axes:]
    kernel = per_axis("kernel_size", kernel_size, axes)
    counts = _counts(size, output_size, output_ratio)
    if any(o + k - 1 > n for n, k, o in zip(size, kernel, counts, strict=True)):
        raise ValueError(f"{counts} windows of {kernel} cells do not fit on a map of {size}")
    if samples is None:
        samples = np.random.default_rng(rng).random((*lead, axes), dtype)
    expect_shape("_random_samples", samples, (*lead, axes))
    output = np.empty((*lead, *counts), dtype)
    indices = np.empty(output.shape, np.int64)
    for plane in np.ndindex(*lead):
        drawn = samples[plane] if axes == 3 else samples[plane][::-1]
        ranges = [_ranges(*line) for line in zip(size, kernel, counts, drawn, strict=True)]
        one = input[plane][np.newaxis]
        found = maxima(one, axes, *spread_windows(size, ranges))
        output[plane], indices[plane] = (array[0] for array in found)
    return output, indices


def _counts(
    size: Sequence[int],
    output_size: PerAxis | None,
    output_ratio: float | Sequence[float] | None,
) -> tuple[int, ...]:
    if (output_size is None) == (output_ratio is None):
        raise ValueError("expected one of output_size and output_ratio")
    if output_size is not None:
        return per_axis("output_size", output_size, len(size))
    ratios = output_ratio if isinstance(output_ratio, Sequence) else (output_ratio,) * len(size)
    counts = tuple(int(n * r) for n, r in zip(size, ratios, strict=True) if r is not None)
    if len(counts) != len(size) or not all(0 < o < n for n, o in zip(size, counts, strict=True)):
        raise ValueError(f"output_ratio is {output_ratio}, expected numbers between 0 and 1")
    return counts


def _ranges(length: int, kernel: int, count: int, u: Any) -> list[range]:
    """List the windows along one line, computed in the precision of the number u."""
    real = type(u)
    starts = [length - kernel]
    if count > 1:
        a = real(length - kernel) / real(count - 1)
        starts = [int((real(i) + u) * a) - int(u * a) for i in range(count - 1)] + starts
    return [range(start, start + kernel) for start in starts]
