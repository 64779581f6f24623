"""Convolutions of two arrays, as `fastconv.signal` and `scipy.signal` define them.

Each weight meets a shifted copy of the other array. The signatures are those of `fastconv.signal`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["convolve", "convolve2d", "correlate", "correlate2d", "fftconvolve", "oaconvolve"]

Signal = NDArray[Any]

# What numpy.pad calls the boundaries.
_PADDING = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}


def _whole(one: Signal, two: Signal) -> Signal:
    """Return c[i] = sum over k of two[k] one[i - k], for all i where a product is."""
    dtype = np.result_type(one, two)
    total = np.zeros([n + m - 1 for n, m in zip(one.shape, two.shape, strict=True)], dtype)
    for place in np.ndindex(*two.shape):
        shifted = tuple(slice(k, k + n) for k, n in zip(place, one.shape, strict=True))
        total[shifted] += one.astype(dtype) * two[place].astype(dtype)
    return total


def _part(whole: Signal, shape1: tuple[int, ...], shape2: tuple[int, ...], mode: str) -> Signal:
    """Return the part of a convolution that a mode asks for."""
    if mode == "full":
        return whole
    if mode == "same":
        starts = [(m - 1) // 2 for m in shape2]
        sizes = list(shape1)
    else:
        starts = [min(n, m) - 1 for n, m in zip(shape1, shape2, strict=True)]
        sizes = [abs(n - m) + 1 for n, m in zip(shape1, shape2, strict=True)]
    return whole[tuple(slice(at, at + n) for at, n in zip(starts, sizes, strict=True))]


def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Signal:
    """Return a part of the convolution; `method` changes nothing."""
    one, two = np.asarray(in1), np.asarray(in2)
    return _part(_whole(one, two), one.shape, two.shape, mode)


def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Signal:
    """Return a part of the convolution with the second array turned around and conjugated."""
    return convolve(in1, np.conj(np.flip(in2)), mode, method)


def _filter2d(
    image: Signal, kernel: Signal, starts: list[int], sizes: list[int], boundary: str, fill: Any
) -> Signal:
    """Return y[i] = sum over k of kernel[k] image[starts + i + k], the image continued."""
    dtype = np.result_type(image, kernel)
    around = [
        (max(-at, 0), max(at + out + m - 1 - n, 0))
        for at, out, n, m in zip(starts, sizes, image.shape, kernel.shape, strict=True)
    ]
    options: dict[str, Any] = {"mode": _PADDING[boundary]}
    if boundary == "fill":
        options["constant_values"] = fill
    wide = np.pad(image.astype(dtype), around, **options)
    total = np.zeros(sizes, dtype)
    for place in np.ndindex(*kernel.shape):
        seen = tuple(
            slice(max(at, 0) + k, max(at, 0) + k + out)
            for at, k, out in zip(starts, place, sizes, strict=True)
        )
        total += kernel[place].astype(dtype) * wide[seen]
    return total


def convolve2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0
) -> Signal:
    """Return the convolution of an array that is continued beyond its borders."""
    one, two = np.asarray(in1), np.asarray(in2)
    if mode == "valid" and any(m > n for n, m in zip(one.shape, two.shape, strict=True)):
        one, two = two, one
    starts = {
        "full": [1 - m for m in two.shape],
        "same": [-(m // 2) for m in two.shape],
        "valid": [0, 0],
    }[mode]
    sizes = list(_part(_whole(one, two), one.shape, two.shape, mode).shape)
    return _filter2d(one, np.flip(two), starts, sizes, boundary, fillvalue)


def correlate2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0
) -> Signal:
    """Return the correlation with an array that is continued beyond its borders."""
    one, two = np.asarray(in1), np.asarray(in2)
    swapped = mode == "valid" and any(m > n for n, m in zip(one.shape, two.shape, strict=True))
    if swapped:
        one, two = two, one
    starts = {
        "full": [1 - m for m in two.shape],
        "same": [-((m - 1) // 2) for m in two.shape],
        "valid": [0, 0],
    }[mode]
    sizes = list(_part(_whole(one, two), one.shape, two.shape, mode).shape)
    result = _filter2d(one, np.conj(two), starts, sizes, boundary, fillvalue)
    return np.flip(result) if swapped else result


def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Signal:
    """Return the convolution over some axes; along the others the arrays are broadcast."""
    one, two = np.asarray(in1), np.asarray(in2)
    one, two = (x.astype(np.float64) if x.dtype.kind in "biu" else x for x in (one, two))
    rank = one.ndim
    chosen = {axis % rank for axis in (range(rank) if axes is None else np.atleast_1d(axes))}
    others = [axis for axis in range(rank) if axis not in chosen]
    shape = [max(n, m) for n, m in zip(one.shape, two.shape, strict=True)]
    one, two = (
        np.broadcast_to(x, [shape[i] if i in others else x.shape[i] for i in range(rank)])
        for x in (one, two)
    )
    one, two = (np.moveaxis(x, others, range(len(others))) for x in (one, two))
    front = one.shape[: len(others)]
    parts = [convolve(one[place], two[place], mode) for place in np.ndindex(*front)]
    result = np.reshape(parts, (*front, *parts[0].shape))
    return np.moveaxis(result, range(len(others)), others)


def oaconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Signal:
    """Return the convolution over some axes."""
    return fftconvolve(in1, in2, mode, axes)
