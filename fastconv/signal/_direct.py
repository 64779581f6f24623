"""Convolutions as sums of products, on the loops of filters."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from fastconv._check import Array
from fastconv._geometry import Ints
from fastconv.engine.base.memory import empty
from fastconv.functional._filtering import all_taps, correlate_taps, native
from fastconv.functional._separable import Lines, correlate_lines, find_lines, saves_time, why_not


def correlate(
    image: Array,
    kernel: Array,
    size: Ints,
    first: Ints,
    modes: Sequence[str] = (),
    outside: Any = 0,
) -> Array:
    """Return the sums of an image's cells with the weights of a kernel.

    Parameters
    ----------
    image, kernel : ndarray
        Of one type: floating-point or complex numbers, or integers, which wrap around.
    size, first : tuple of int
        Of the result, and where its first window begins.
    modes : sequence of str
        How the image is continued along each axis, in the words of `fastconv.functional.pad`.
    outside : scalar
        What the cells outside of it hold.
    """
    result = empty(size, image.dtype)
    if image.size == 0 or kernel.size == 0:
        result[...] = 0
        return result
    taps = all_taps(kernel.shape)
    shape, modes = kernel.shape, tuple(modes) or ("constant",) * image.ndim

    def weigh(part: Array, weights: Array, results: Array, value: Any) -> None:
        correlate_taps(
            native(part), results, shape, first, modes, taps, weights, outside=value, full=True
        )

    if image.dtype.kind != "c":
        sums = sum_dtype(image.dtype)
        lines, _ = lines_of(kernel)
        if lines is not None:
            correlate_lines(image, result, lines, first, modes, sums, outside=outside)
            return result
        with np.errstate(over="ignore"):
            weights = np.ascontiguousarray(kernel).reshape(1, -1).astype(sums)
        weigh(image, weights, result[None], outside)
        return result
    # The products of both parts with both parts of the kernel.
    parts = kernel.real.dtype
    weights = np.stack([kernel.real.ravel(), kernel.imag.ravel()])
    of_real, of_imaginary = (empty((2, *size), parts) for _ in range(2))
    weigh(image.real, weights, of_real, np.real(outside))
    weigh(image.imag, weights, of_imaginary, np.imag(outside))
    np.subtract(of_real[0], of_imaginary[1], result.real)
    np.add(of_real[1], of_imaginary[0], result.imag)
    return result


def lines_of(kernel: Array) -> tuple[Lines | None, str]:
    """Return the lines that a kernel is applied by, or None and the reason why it is not."""
    if kernel.dtype.kind == "c":
        return None, "the kernel is complex"
    worth = saves_time(kernel.shape, kernel.size)
    lines = find_lines(kernel, sum_dtype(kernel.dtype)) if worth else None
    reason = why_not(kernel, kernel.size, lines)
    return (None if reason else lines), reason


def sum_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which numbers of a type are added."""
    if dtype.kind in "fc":
        return dtype
    return np.dtype(np.uint64 if dtype.itemsize == 8 else np.uint32)


def convolve(in1: Array, in2: Array, size: Ints, first: Ints) -> Array:
    """Return a part of a convolution of two arrays of one type, surrounded by zeros.

    Parameters
    ----------
    in1, in2 : ndarray
    size, first : tuple of int
        Of the result, and where it begins in the whole convolution.
    """
    image, kernel = by_size(in1, in2)
    turned = kernel[(slice(None, None, -1),) * kernel.ndim]
    begin = tuple(at - n + 1 for at, n in zip(first, kernel.shape, strict=True))
    return correlate(image, turned, size, begin)


def by_size(in1: Array, in2: Array) -> tuple[Array, Array]:
    """Return two arrays, that with fewer numbers last: the kernel."""
    return (in2, in1) if prod(in2.shape) > prod(in1.shape) else (in1, in2)
