"""What the filters by kernels would do, and why."""

from typing import Any

import numpy as np

from fastconv.functional._filter_plan import FilterExplanation, explained
from fastconv.ndimage._arguments import filtered_axes
from fastconv.ndimage._kernels import counted, full_kernel, lines_of

_OPERATIONS = ("correlate", "convolve", "filter_bank")


def explain(
    operation: str, input: Any, weights: Any, output: Any = None, *, axes: Any = None
) -> FilterExplanation:
    """Say how an image is filtered with a kernel, and why; nothing is computed.

    Parameters
    ----------
    operation : {"correlate", "convolve", "filter_bank"}
        The function.
    input : array_like
        The image; only its type and its number of axes count.
    weights : array_like
        The kernel, of real numbers; one of those of a bank.
    output, axes
        As in the function.

    Returns
    -------
    FilterExplanation

    Raises
    ------
    ValueError
        If there is no such operation, or the image or the kernel is complex: such are filtered by
        their real parts and their imaginary ones.
    RuntimeError
        As the function itself.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> image, line = np.zeros((512, 512), np.float32), np.hanning(17)[1:-1]
    >>> found = ndimage.explain("convolve", image, np.outer(line, line))
    >>> found.algorithm, found.products
    ('separable', 30)
    >>> ndimage.explain("convolve", image, [[0, 1, 0], [1, -4, 1], [0, 1, 0]]).reason
    'so few products are faster one by one'
    """
    if operation not in _OPERATIONS:
        known = ", ".join(map(repr, _OPERATIONS))
        raise ValueError(f"operation must be one of {known}, got {operation!r}")
    image, kernel = np.asarray(input), np.asarray(weights)
    if "c" in (image.dtype.kind, kernel.dtype.kind):
        raise ValueError("input and weights must be real: explain each part by itself")
    if axes is None and operation == "filter_bank":
        axes = tuple(range(-kernel.ndim, 0))
    full, _ = full_kernel(kernel, 0, filtered_axes(axes, image.ndim), image.ndim)
    counts = np.ones(full.shape, bool) if operation == "filter_bank" else counted(full)
    if output is None:
        output = image.dtype
    result = output.dtype if isinstance(output, np.ndarray) else np.dtype(output)
    lines, reason = lines_of(full, counts, image.dtype, result)
    return explained(operation, (int(counts.sum()),), full.dtype, lines, reason)
