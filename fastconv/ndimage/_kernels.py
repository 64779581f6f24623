"""Kernels of several axes: their place on the image, and whether they are applied axis by axis."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv._check import Array
from fastconv.functional._filtering import all_taps, correlate_taps
from fastconv.functional._separable import Lines, correlate_lines, find_lines, saves_time, why_not
from fastconv.ndimage._arguments import boundary, checked_origin, outside_value, per_axis
from fastconv.ndimage._passes import Pass

# SciPy takes a weight that is nearer to zero for none.
EPSILON = float(np.finfo(np.float64).eps)
_DOUBLES = np.dtype(np.float64)


def full_kernel(
    weights: Any, origin: Any, axes: tuple[int, ...], rank: int
) -> tuple[Array, list[Any]]:
    """Return a kernel, and its origins, with all axes of the image."""
    kernel: Array = np.asarray(weights, np.float64)
    given = per_axis(origin, len(axes))
    origins: list[Any] = [0] * rank
    for at, axis in zip(given, axes, strict=True):
        origins[axis] = at
    fits = kernel.ndim == len(axes) and 0 not in kernel.shape
    if fits and len(axes) < rank:
        kernel = np.expand_dims(kernel, tuple(axis for axis in range(rank) if axis not in axes))
    if not fits:
        raise RuntimeError(
            f"weights.ndim ({np.ndim(weights)}) must match len(axes) ({len(axes)}), and no axis of "
            f"the weights may be empty: their shape is {np.shape(weights)}"
        )
    return kernel, origins


def first_cells(shape: tuple[int, ...], origins: list[Any], length: str) -> tuple[int, ...]:
    """Return where the window of the first cell begins on each axis."""
    return tuple(
        -(n // 2) - checked_origin(at, n, length) for n, at in zip(shape, origins, strict=True)
    )


def counted(kernel: Array) -> NDArray[np.bool_]:
    """Return which weights see the image in SciPy."""
    counts: NDArray[np.bool_] = abs(kernel) > EPSILON
    return counts


def lines_of(
    kernel: Array, counts: NDArray[np.bool_], image: "np.dtype[Any]", result: "np.dtype[Any]"
) -> tuple[Lines | None, str]:
    """Return the lines that a kernel is applied by, or None and the reason why it is not.

    Parameters
    ----------
    kernel : ndarray of float64
    counts : ndarray of bool
        Which of its weights see the image.
    image, result : dtype
    """
    taps = int(counts.sum())
    lines = find_lines(kernel, _DOUBLES) if saves_time(kernel.shape, taps) else None
    reason = why_not(kernel, taps, lines)
    if reason or lines is None:
        return None, reason
    if not np.array_equal(counts, kernel != 0):
        return None, "SciPy leaves out some of its weights, those below 2.2e-16"
    if result.kind not in "fc" and not _exact(kernel, image):
        return None, "a rounding more could change an integer"
    return lines, ""


def _exact(kernel: Array, image: "np.dtype[Any]") -> bool:
    """Tell whether all sums are whole numbers that doubles hold."""
    if image.kind not in "bui" or not (kernel == np.rint(kernel)).all():
        return False
    largest = 1 if image.kind == "b" else float(max(np.iinfo(image).max, -np.iinfo(image).min))
    return largest * float(np.abs(kernel).sum()) < 2.0**53


def kernel_pass(
    kernel: Array, mode: object, cval: Any, first: tuple[int, ...], result: "np.dtype[Any]"
) -> Pass:
    """Return what correlates an image with a kernel: by its taps, or by its lines."""
    continued, outside = boundary(mode), outside_value(cval)
    counts = counted(kernel)
    full = bool(counts.all())
    if full:
        taps, weights = all_taps(kernel.shape), np.ascontiguousarray(kernel).reshape(1, -1)
    else:
        taps, weights = np.argwhere(counts), kernel[counts][None]

    def run(image: Array, filtered: Array) -> None:
        modes = (continued,) * image.ndim
        lines, _ = lines_of(kernel, counts, image.dtype, result)
        if lines is not None:
            correlate_lines(
                image, filtered, lines, first, modes, _DOUBLES, outside=outside, skip_zeros=True
            )
            return
        correlate_taps(
            image,
            filtered[None],
            kernel.shape,
            first,
            modes,
            taps,
            weights,
            outside=outside,
            full=full,
            negates=True,
        )

    return run
