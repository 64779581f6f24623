"""Convolutions as products of Fourier transforms, where the kernel is large."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from fastconv._check import Array
from fastconv._geometry import Ints, three_axes
from fastconv.engine.base.memory import empty
from fastconv.engine.fft.blocks import fast_length, fft_blocks
from fastconv.engine.fft.transforms import correlate

# What the transforms cost, and some microseconds, in products of the direct loops: where both take
# the same time, measured on AVX-512 and AVX2 for one to three axes.
_COST, _CALL = 2.0, 3e5
# Before they begin, the direct loops list the cells that they see along each axis; the lists are
# kept for the next call where they are short (functional/_filtering.py).
_LISTED, _MOST_KEPT = 700.0, 1 << 14
# The transforms of more axes are NumPy's: so many times slower.
_MOST_AXES, _SLOWER = 3, 10.0


def wins(shape1: Ints, shape2: Ints, size: Ints, taps: int) -> bool:
    """Tell whether transforms are faster than sums of so many products in each cell of a result."""
    direct = float(prod(size)) * taps
    if sum(size) > _MOST_KEPT:
        direct += _LISTED * sum(size)
    if len(size) > _MOST_AXES:
        whole = tuple(fast_length(n + m - 1) for n, m in zip(shape1, shape2, strict=True))
        # Of one axis, as long as all of them.
        return _SLOWER * _COST * fft_blocks((1, 1, prod(whole)), (0, 0, 0), 1, 2).cost < direct
    _, kernel = _roles(shape1, shape2)
    reach = three_axes(tuple(m - 1 for m in kernel), 0)
    return _COST * fft_blocks(three_axes(size, 1), reach, 1, 2).cost + _CALL < direct


def _roles(shape1: Ints, shape2: Ints) -> tuple[Ints, Ints]:
    """Return the shape of the larger array, and that of the smaller one."""
    return (shape2, shape1) if prod(shape2) > prod(shape1) else (shape1, shape2)


def convolve(in1: Array, in2: Array, axes: Sequence[int], size: Ints, first: Ints) -> Array:
    """Return a part of the convolution over some axes; along the others the arrays are broadcast.

    Parameters
    ----------
    in1, in2 : ndarray
        Of one type of floating-point or complex numbers.
    axes : sequence of int
    size, first : tuple of int
        Of the result, and where it begins in the whole convolution.
    """
    axes = list(axes)
    if len(axes) > _MOST_AXES:
        return _by_numpy(in1, in2, axes, size, first)
    others = [axis for axis in range(in1.ndim) if axis not in axes]
    result = empty(size, in1.dtype)
    # The other axes first, and of them what is asked for.
    order = (*others, *axes)
    arrays = [array.transpose(order) for array in (in1, in2)]
    size, first = (tuple(numbers[axis] for axis in order) for numbers in (size, first))
    count = len(others)
    shared, part, begin = size[:count], size[count:], first[count:]
    for i, array in enumerate(arrays):
        arrays[i] = array[
            tuple(
                slice(at, at + n) if length > 1 else slice(None)
                for at, n, length in zip(first, shared, array.shape, strict=False)
            )
        ]
    image, kernel = arrays
    if prod(kernel.shape[count:]) > prod(image.shape[count:]):
        image, kernel = kernel, image
    # Samples (N, G, 1) and weights (G, K, 1): many images, or kernels, or a pair at each place.
    pairs = prod(shared)
    counts = (1, pairs, 1)
    if prod(kernel.shape[:count]) == 1:
        counts = (pairs, 1, 1)
    elif prod(image.shape[:count]) == 1:
        counts = (1, 1, pairs)
    samples, groups, kernels = counts
    images = _spread(image, shared if samples * groups > 1 else ()).reshape(
        samples, groups, 1, *three_axes(image.shape[count:], 1)
    )
    weights = _spread(kernel, shared if groups * kernels > 1 else ()).reshape(
        groups, kernels, 1, *three_axes(kernel.shape[count:], 1)
    )
    before = three_axes(
        tuple(m - 1 - at for m, at in zip(kernel.shape[count:], begin, strict=True)), 0
    )
    straight = result if order == tuple(range(in1.ndim)) else empty(size, in1.dtype)
    _correlate(images, weights, straight.reshape(*counts, *three_axes(part, 1)), before)
    if straight is not result:
        result.transpose(order)[...] = straight
    return result


def _spread(array: Array, shared: Ints) -> Array:
    """Broadcast the first axes."""
    return np.broadcast_to(array, (*shared, *array.shape[len(shared) :]))


def _correlate(images: Array, weights: Array, result: Array, before: Ints) -> None:
    """Write into (N, G, K, *out) the convolutions of (N, G, 1, *size) with (G, K, 1, *taps)."""
    if images.dtype.kind != "c":
        images, weights = (np.require(array, requirements="A") for array in (images, weights))
        correlate(images, weights, None, result, before, (1, 1, 1), turned=True, denormals=True)
        return
    # Real and imaginary parts are two channels.
    real, imaginary = weights.real, weights.imag
    kernels = weights.shape[1]
    of_real = np.concatenate((real, -imaginary), axis=2)
    of_imaginary = np.concatenate((imaginary, real), axis=2)
    parts = empty((*result.shape[:2], 2 * kernels, *result.shape[3:]), real.dtype)
    correlate(
        np.concatenate((images.real, images.imag), axis=2),
        np.concatenate((of_real, of_imaginary), axis=1),
        None,
        parts,
        before,
        (1, 1, 1),
        turned=True,
        denormals=True,
    )
    result.real, result.imag = parts[:, :, :kernels], parts[:, :, kernels:]


@np.errstate(invalid="ignore", over="ignore")
def _by_numpy(in1: Array, in2: Array, axes: Sequence[int], size: Ints, first: Ints) -> Array:
    lengths = [fast_length(in1.shape[axis] + in2.shape[axis] - 1) for axis in axes]
    real = in1.dtype.kind != "c"
    transform, back = (np.fft.rfftn, np.fft.irfftn) if real else (np.fft.fftn, np.fft.ifftn)
    spectrum: Any = transform(in1, lengths, axes)
    spectrum = spectrum * transform(in2, lengths, axes)
    whole: Any = back(spectrum, lengths, axes)
    part = tuple(slice(at, at + n) for at, n in zip(first, size, strict=True))
    result: Array = np.ascontiguousarray(whole[part], in1.dtype)
    return result
