"""Convolutions as products of Fourier transforms, where the kernel is large."""

from collections.abc import Sequence
from math import log2, prod
from typing import Any

import numpy as np

from fastconv._check import Array
from fastconv._geometry import Ints
from fastconv.engine.base.memory import empty
from fastconv.engine.fft.blocks import fast_length
from fastconv.engine.fft.transforms import correlate

# A number that goes through one step of a transform costs as much as so many products of the direct
# loops: an estimate from a few sizes on AVX-512.
_STEP = 20


def wins(shape1: Ints, shape2: Ints, size: Ints) -> bool:
    """Tell whether transforms are faster than sums of products, for a result of some size."""
    whole = [fast_length(n + m - 1) for n, m in zip(shape1, shape2, strict=True)]
    numbers = prod(whole)
    direct = float(prod(size)) * min(prod(shape1), prod(shape2))
    return _STEP * numbers * 3 * log2(max(numbers, 2)) < direct


@np.errstate(invalid="ignore", over="ignore")
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
    if in1.dtype.kind == "f" and len(axes) == in1.ndim <= 3:
        return _by_blocks(in1, in2, size, first)
    lengths = [fast_length(in1.shape[axis] + in2.shape[axis] - 1) for axis in axes]
    real = in1.dtype.kind != "c"
    transform, back = (np.fft.rfftn, np.fft.irfftn) if real else (np.fft.fftn, np.fft.ifftn)
    spectrum: Any = transform(in1, lengths, axes)
    spectrum = spectrum * transform(in2, lengths, axes)
    whole: Any = back(spectrum, lengths, axes)
    part = tuple(slice(at, at + n) for at, n in zip(first, size, strict=True))
    result: Array = np.ascontiguousarray(whole[part], in1.dtype)
    return result


def _by_blocks(in1: Array, in2: Array, size: Ints, first: Ints) -> Array:
    """Return a part of the convolution over all axes, block by block where that is cheaper."""
    image, kernel = (in2, in1) if prod(in2.shape) > prod(in1.shape) else (in1, in2)
    turned = kernel[(slice(None, None, -1),) * kernel.ndim]
    before = tuple(m - 1 - at for m, at in zip(kernel.shape, first, strict=True))
    result = empty(size, image.dtype)
    # One sample, group and channel, on three axes.
    spare = 3 - image.ndim
    front = (None,) * (3 + spare)
    correlate(
        image[front],
        turned[front],
        None,
        result[front],
        (0,) * spare + before,
        (1, 1, 1),
    )
    return result
