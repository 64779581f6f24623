"""The tables of bench_operators.py: a module for each family of operators.

Each has a function `cases(dtype)` that yields a `Case` for each row, and may have `AIM`, the least
geometric mean of the ratios that is wanted, and `RIVAL`, which is torch elsewhere.
"""

from collections.abc import Callable
from typing import Any, NamedTuple


class Case(NamedTuple):
    """One row: two calls that compute the same.

    Attributes
    ----------
    name : str
        What is computed, and of what size: "batch_norm+relu 64@56 forward".
    ours, rival : callable
        Called without arguments; each returns an array (or tensor), or a tuple of them. The rival
        is None where nobody else has the operator.
    truth : callable
        Returns the same in float64.
    bound : float
        Of the largest error over the largest result.
    """

    name: str
    ours: Callable[[], Any]
    rival: Callable[[], Any] | None
    truth: Callable[[], Any]
    bound: float
