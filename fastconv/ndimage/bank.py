"""Many kernels at once, and kernels that are made of others."""

from typing import Any

import numpy as np

from fastconv._check import Array
from fastconv._docs import filled
from fastconv.engine.base.memory import empty
from fastconv.functional._filtering import all_taps, correlate_taps, native
from fastconv.functional._separable import correlate_lines, find_lines
from fastconv.ndimage._arguments import (
    SHARED,
    boundary,
    check_types,
    check_writeable,
    filtered_axes,
    outside_value,
)
from fastconv.ndimage._kernels import first_cells, full_kernel, lines_of

_DOUBLES = np.dtype(np.float64)


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
    separate: bool | None = None,
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
    separate : bool, optional
        Whether kernels that are products of one-dimensional ones (see `factors`) are applied axis
        by axis: as `correlate` does, by default, where it is faster and changes nothing but the
        rounding; always, or never.

    Returns
    -------
    ndarray, shape (kernels, \*image)

    Raises
    ------
    RuntimeError, ValueError
        As `correlate`.

    Notes
    -----
    Sums are computed in double precision, as those of `correlate`. A weight of zero sees a NaN or
    an infinity, which it does not there.

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
        axes = tuple(range(1 - weights.ndim, 0))
    filtered = filtered_axes(axes, image.ndim)
    full, origins = zip(
        *(full_kernel(kernel, origin, filtered, image.ndim) for kernel in weights), strict=True
    )
    first = first_cells(full[0].shape, origins[0], "kernel.shape[k]")
    result = _bank_result(output, (len(weights), *image.shape), image.dtype)
    check_types(image, result)
    check_writeable(result)
    target = result
    if not (result.flags.aligned and result.dtype.isnative) or np.may_share_memory(image, result):
        target = empty(result.shape, result.dtype.newbyteorder("="))
    image, modes = native(image), (boundary(mode),) * image.ndim
    outside = outside_value(cval)
    whole = []
    for k, kernel in enumerate(full):
        if separate:
            lines = find_lines(kernel, _DOUBLES)
        elif separate is None:
            lines = lines_of(kernel, np.ones(kernel.shape, bool), image.dtype, target.dtype)[0]
        else:
            lines = None
        if lines is None:
            whole.append(k)
        else:
            correlate_lines(image, target[k], lines, first, modes, _DOUBLES, outside=outside)
    if whole:
        part = target
        if len(whole) < len(full):
            part = empty((len(whole), *image.shape), target.dtype)
        correlate_taps(
            image,
            part,
            full[0].shape,
            first,
            modes,
            all_taps(full[0].shape),
            np.ascontiguousarray([full[k] for k in whole]).reshape(len(whole), -1),
            outside=outside,
            full=True,
            negates=True,
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
        One for each axis. Each weight of their product is within so many roundings as the kernel
        has weights, or 16, which is within the error of a sum of so many products. Of a kernel of
        whole numbers they are whole numbers, whose product is exact.

    Notes
    -----
    Such a kernel of n weights on each of d axes needs n d products for a cell in place of n^d:
    `correlate`, `convolve` and `filter_bank` look for them by themselves, and `explain` says
    whether they use them.

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
    lines = find_lines(np.asarray(kernel, np.float64), _DOUBLES)
    return None if lines is None else [line.copy() for line in lines]
