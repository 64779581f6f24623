"""Many kernels at once, and kernels that are made of others."""

from typing import Any

import numpy as np

from fastconv._check import Array
from fastconv._docs import filled
from fastconv.engine.base.memory import empty
from fastconv.functional._filtering import all_taps, correlate_taps, native
from fastconv.ndimage._arguments import (
    SHARED,
    boundary,
    check_types,
    check_writeable,
    filtered_axes,
    outside_value,
)
from fastconv.ndimage._passes import run_passes
from fastconv.ndimage.correlation import checked_origin, full_kernel, line_pass, make_line

# A kernel of more taps than so many for each of its factors' is filtered by its factors.
_WORTH = 2


@filled(SHARED)
def filter_bank(
    input: Any,
    kernels: Any,
    output: Any = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
    separate: bool = False,
) -> Array:
    r"""Correlate an image, or a stack of images, with many kernels at once.

    Each part of the image is brought into the cache once, for all kernels.

    Parameters
    ----------
    %(input)s
    kernels : array_like
        As many kernels of one shape as the first axis is long.
    output : ndarray or dtype, optional
        As in `correlate`, with an axis of kernels in front.
    %(mode)s
    %(cval)s
    %(origins)s
    axes : tuple of int, optional
        The axes along which the image is filtered: as many as a kernel has, by default the last.
        The others are those of a stack.
    separate : bool
        Whether kernels that are products of one-dimensional ones (see `factors`) are applied axis
        by axis. That is faster for large ones, and rounds otherwise than `correlate`.

    Returns
    -------
    ndarray, shape (kernels, \*image)

    Raises
    ------
    RuntimeError, ValueError
        As `correlate`.

    Notes
    -----
    Sums are computed in double precision and in the order of `correlate`. A weight of zero sees a
    NaN or an infinity, which it does not in `correlate`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> steps = ndimage.filter_bank(np.tri(4), [[[-1, 0, 1]], [[1, 0, -1]]], mode="nearest")
    >>> steps.shape
    (2, 4, 4)
    >>> bool((steps[0] == -steps[1]).all())
    True
    """
    image, weights = np.asarray(input), np.asarray(kernels, np.float64)
    if weights.ndim < 2 or len(weights) == 0:
        raise RuntimeError(
            f"kernels must have an axis of kernels first, and one at least, got {weights.shape}"
        )
    if weights.ndim - 1 > image.ndim:
        raise RuntimeError(
            f"kernels of {weights.ndim - 1} axes must match the {image.ndim} of the image"
        )
    if axes is None:
        axes = range(image.ndim - weights.ndim + 1, image.ndim)
    filtered = filtered_axes(tuple(axes) if isinstance(axes, range) else axes, image.ndim)
    full, origins = zip(
        *(full_kernel(kernel, origin, filtered, image.ndim) for kernel in weights), strict=True
    )
    shape = full[0].shape
    at = [checked_origin(o, n, "kernel.shape[k]") for o, n in zip(origins[0], shape, strict=True)]
    result = _bank_result(output, (len(weights), *image.shape), image.dtype)
    check_types(image, result)
    check_writeable(result)
    target = result
    if not (result.flags.aligned and result.dtype.isnative) or np.may_share_memory(image, result):
        target = empty(result.shape, result.dtype.newbyteorder("="))
    continued, outside = boundary(mode), outside_value(cval)
    separable = [factors(kernel) if separate else None for kernel in weights]
    worth = weights[0].size > _WORTH * sum(weights[0].shape)
    whole = [k for k, found in enumerate(separable) if found is None or not worth]
    for k, found in enumerate(separable):
        if k not in whole and found is not None:
            passes = [
                line_pass(make_line(line), axis, mode, cval, at[axis])
                for axis, line in zip(sorted(filtered), found, strict=True)
            ]
            # What is between the axes stays a double.
            target[k] = run_passes(image, empty(image.shape, np.dtype(np.float64)), passes)
    if whole:
        part = (
            target
            if len(whole) == len(weights)
            else empty((len(whole), *image.shape), target.dtype)
        )
        correlate_taps(
            native(image),
            part,
            shape,
            tuple(-(n // 2) - o for n, o in zip(shape, at, strict=True)),
            (continued,) * image.ndim,
            all_taps(shape),
            np.ascontiguousarray([full[k] for k in whole]).reshape(len(whole), -1),
            outside=outside,
            full=True,
        )
        if part is not target:
            target[whole] = part
    if target is not result:
        result[...] = target
    return result


def _bank_result(output: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    if output is None:
        return empty(shape, dtype.newbyteorder("="))
    if isinstance(output, type | np.dtype | str):
        return empty(shape, np.dtype(output))
    result: Array = np.asarray(output)
    if result.shape != shape:
        raise RuntimeError(f"output shape not correct: {result.shape}, not {shape}")
    return result


def factors(kernel: Any) -> list[Array] | None:
    """Return one-dimensional kernels whose product a kernel is, or None where there are none.

    Parameters
    ----------
    kernel : array_like
        Of any number of axes.

    Returns
    -------
    list of ndarray, or None
        One for each axis. Their product differs from the kernel by less than 8 roundings of its
        largest weight.

    Notes
    -----
    Such a kernel of n weights on each of d axes needs n d products for a cell in place of n^d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> smooth, step = ndimage.factors([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    >>> bool(np.allclose(np.outer(smooth, step), [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]))
    True
    >>> ndimage.factors([[0, 1, 0], [1, -4, 1], [0, 1, 0]]) is None
    True
    """
    weights = np.asarray(kernel, np.float64)
    largest = np.abs(weights).max(initial=0.0)
    if weights.size == 0 or not np.isfinite(largest):
        return None
    if largest == 0:
        return [np.zeros(n) for n in weights.shape]
    # The lines through the largest weight say what the others must be.
    peak = np.unravel_index(np.abs(weights).argmax(), weights.shape)
    lines: list[Array] = []
    for axis in range(weights.ndim):
        place: list[Any] = list(peak)
        place[axis] = slice(None)
        line = weights[tuple(place)]
        lines.append(line / weights[peak] if axis else line.copy())
    product = lines[0]
    for line in lines[1:]:
        product = np.multiply.outer(product, line)
    near = np.abs(product - weights).max() <= 8 * np.finfo(np.float64).eps * largest
    return lines if near else None
