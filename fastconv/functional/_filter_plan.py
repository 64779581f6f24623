"""What a filter would do: by which loops, and why."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastconv._geometry import Ints
from fastconv.engine.base.isa import isa
from fastconv.functional._separable import Lines


@dataclass(frozen=True, slots=True)
class FilterExplanation:
    """How a filter is computed; str() gives it as a table.

    Attributes
    ----------
    operation : str
    algorithm : {"direct", "separable", "fft"}
        The products of all weights, those of one line for each axis, or Fourier transforms.
    reason : str
        Why.
    products : int or None
        Multiply-adds for each cell of the result; those of "fft" are not counted.
    sums : dtype
        In which they are added.
    lines : tuple of ndarray, or None
        The lines of "separable", one for each axis.
    isa : str
        The instruction set of the loops.
    """

    operation: str
    algorithm: str
    reason: str
    products: int | None
    sums: "np.dtype[Any]"
    lines: Lines | None
    isa: str

    def __str__(self) -> str:
        products = "-" if self.products is None else f"{self.products:,} for each cell"
        rows = {
            "operation": self.operation,
            "algorithm": f"{self.algorithm}: {self.reason}",
            "products": f"{products}, in {self.sums}",
            "isa": self.isa,
        }
        return "\n".join(f"{name:9}  {text}" for name, text in rows.items())


def explained(
    operation: str, shape: Ints, sums: "np.dtype[Any]", lines: Lines | None, reason: str
) -> FilterExplanation:
    """Return the explanation of sums of products, with or without lines.

    Parameters
    ----------
    operation : str
    shape : tuple of int
        Of the kernel.
    sums : dtype
    lines : tuple of ndarray, or None
    reason : str
        Why there are no lines.
    """
    if lines is None:
        return FilterExplanation(operation, "direct", reason, prod(shape), sums, None, isa())
    count = sum(len(line) for line in lines if len(line) > 1)
    reason = f"the kernel is the product of {len(lines)} lines"
    return FilterExplanation(operation, "separable", reason, count, sums, lines, isa())
