"""Choosing from the table of `fastconv.engine.plan`, and binding what was chosen."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv._check import Array
from fastconv._geometry import ConvGeometry, Ints
from fastconv.engine.base.kernel import Dispatch, Kernel
from fastconv.engine.base.operation import Case, contiguous_case, placeless
from fastconv.engine.plan import ALGORITHMS, ZEROS, Variant

_BY_NAME = {row.name: row for row in ALGORITHMS}
_EXACT: ContextVar[int] = ContextVar("fastconv.exact", default=0)


@contextmanager
def exact() -> Iterator[None]:
    """Leave only the algorithms that are exact on integers.

    Inside, a convolution of integers gives the integer result while all partial sums stay below
    2**24 (float32) or 2**53 (float64); and nothing overflows while the sum of the products'
    absolute values does not. It holds for the thread or task that enters it.

    Returns
    -------
    context manager
        For a `with` statement. A convolution inside that asks for another algorithm raises
        ValueError.

    Examples
    --------
    >>> import fastconv
    >>> shapes = (8, 64, 56, 56), (64, 64, 3, 3)
    >>> fastconv.explain("conv2d", *shapes).algorithm
    'winograd'
    >>> with fastconv.exact():
    ...     fastconv.explain("conv2d", *shapes).algorithm
    'gemm'
    """
    token = _EXACT.set(1)
    try:
        yield
    finally:
        _EXACT.reset(token)


def variants(case: Case, algorithm: str, only: str | None = None) -> Iterator[Variant]:
    """Yield the variants of an algorithm that serve a case and win against those that follow.

    Or `only` the one of this name, if it serves the case, whether it wins or not.
    """
    for row in (ZEROS, *_BY_NAME[algorithm].variants):
        taken = row.name == only or (only is None and row.wins(case))
        if taken and case.operation in row.operations and row.serves(case):
            yield row


def dispatch(
    operation: str, geometry: ConvGeometry, dtype: str, algorithm: str, only: str | None = None
) -> Dispatch:
    """Return what computes an operation of one geometry, called with its arrays.

    By `only` this variant, which must serve them all.
    """

    def choose(
        x: Ints, w: Ints, y: Ints, threads: int, prepared: bool
    ) -> tuple[Variant, Kernel | tuple[bool, bool]]:
        case = Case(operation, geometry, dtype, x, w, y, threads, prepared)
        row = next(variants(case, algorithm, only), None)
        if row is None:
            raise ValueError(f"{only!r} does not serve these arrays")
        copies = row.copies(case)
        return row, copies if any(copies) else row.kernel(case)

    return Dispatch(2 + len(geometry.kernel), geometry.groups, choose)


def prepare(
    operation: str, geometry: ConvGeometry, dtype: str, algorithm: str, weight: Array
) -> tuple[str, Any] | None:
    """Return what an operation takes besides the weights, or None if nothing helps.

    That is the name of the variant that it is for, and what this makes of the weights.
    """
    row = next(variants(contiguous_case(operation, geometry, dtype), algorithm))
    if row.prepare is not None:
        data = row.prepare(operation, geometry, weight)
        return None if data is None else (row.name, data)
    if operation != "conv2d":
        return None
    kind = np.dtype(dtype)
    maps = (placeless(shape, kind) for shape in (geometry.input_shape, geometry.output_shape))
    found = dispatch(operation, geometry, dtype, algorithm)
    return found.prepare(operation, next(maps), weight, next(maps))


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked call: its geometry and the algorithm that computes it."""

    geometry: ConvGeometry
    algorithm: str


def only_exact() -> int:
    """Return 1 inside `exact`, else 0: a plain integer, to be looked up by."""
    return _EXACT.get()


def plan_conv(
    operation: str, dtype: str, exactly: bool, geometry: ConvGeometry, algorithm: str
) -> Plan:
    """Return the plan of an operation on numbers of `dtype`, a name or code of NumPy.

    Raises
    ------
    ValueError
        If the algorithm does not exist, or cannot serve the geometry.
    """
    refused = refusals(geometry, exactly)
    able = [row for row in ALGORITHMS if refused[row.name] is None]
    if algorithm == "auto":
        name = np.dtype(dtype).name
        chosen = (row.name for row in able if row.wins(geometry, operation, name))
        return Plan(geometry, next(chosen))
    if algorithm not in refused:
        reason = "does not exist"
    elif refused[algorithm] is not None:
        reason = f"cannot compute this: {refused[algorithm]}"
    else:
        return Plan(geometry, algorithm)
    names = ", ".join(repr(row.name) for row in able)
    raise ValueError(f"algorithm {algorithm!r} {reason}; those that can: 'auto', {names}")


def refusals(geometry: ConvGeometry, exactly: bool) -> dict[str, str | None]:
    """Return for each algorithm the reason why it cannot serve a geometry, or None.

    `exactly` leaves only algorithms that are exact on integers.
    """
    rounds = "it rounds integers, too, and fastconv.exact() leaves only exact algorithms"
    return {
        row.name: row.refuses(geometry) or (rounds if exactly and not row.exact else None)
        for row in ALGORITHMS
    }
