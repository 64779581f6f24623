"""The types of images, and those in which is added, as the compiled loops number them (taps.h)."""

from typing import Any

import numpy as np

__all__ = ["NEGATED", "SUMS", "TYPES"]

_NAMES = ("b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8")
# dtype -> its number; native byte order alone.
TYPES: dict[np.dtype[Any], int] = {np.dtype(name): i for i, name in enumerate(_NAMES)}
# The number of uint64 as a result of which negative numbers are the negatives of positive ones.
NEGATED = len(TYPES)
SUMS: dict[np.dtype[Any], int] = {
    np.dtype(name): i for i, name in enumerate(("f4", "f8", "u4", "u8"))
}
