"""Filters one after the other, from an image to its result."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from fastconv._check import Array
from fastconv.engine.base.memory import empty
from fastconv.functional._filtering import native
from fastconv.ndimage._arguments import check_types, check_writeable

# Filters an image into another array, which shares no memory with it.
Pass: TypeAlias = Callable[[Array, Array], None]


def run_passes(input: Array, output: Array, passes: Sequence[Pass]) -> Array:
    """Write into `output` what the passes make of an image, and return it.

    Between two passes the image has the type of the output.
    """
    check_types(input, output)
    check_writeable(output)
    image, result = native(input), output
    if not (output.flags.aligned and output.dtype.isnative):
        result = empty(output.shape, output.dtype.newbyteorder("="))
    elif np.may_share_memory(image, output):
        image = image.copy()
    between = empty(result.shape, result.dtype) if len(passes) > 1 else result
    for left, run in zip(range(len(passes) - 1, -1, -1), passes, strict=True):
        filtered = between if left % 2 else result
        run(image, filtered)
        image = filtered
    if not passes:
        result[...] = image
    if result is not output:
        output[...] = result
    return output
