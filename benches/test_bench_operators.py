"""The rows of bench_operators.py as entries of pytest-benchmark, for those who use it.

    pip install 'fastconv[bench]'
    pytest benches/test_bench_operators.py --benchmark-columns=min,median
        --benchmark-group-by=group [-k "pooling"]

Each row of benches/operators is a group, with fastconv and, where it has the operator, torch, or
SciPy for filters. One after the other is not in turns: `benches/bench_operators.py` is what ratios
are quoted from.
"""

from importlib import import_module

import numpy as np
import pytest
from bench_operators import FAMILIES

import fastconv
from fastconv.benchmark.rivals import threads_of_both

pytest.importorskip("pytest_benchmark")
pytest.importorskip("torch")


def cases(family):
    """Yield the rows of a family, with their arrays: all of them at once would fill the memory."""
    return import_module(f"operators.{family}").cases(np.dtype(np.float32))


class Rows:
    """The rows of all families in order, one at a time."""

    def __init__(self):
        self.family = self.number = self.left = self.case = None

    def at(self, family, number):
        """Return a row; those before it are drawn, too, if it is not the next."""
        if self.family != family or number < self.number:
            self.family, self.number, self.left = family, -1, cases(family)
        while self.number < number:
            self.number, self.case = self.number + 1, next(self.left)
        return self.case


def rival_of(family):
    return getattr(import_module(f"operators.{family}"), "RIVAL", "torch")


ROWS = [
    pytest.param(family, number, side, id=f"{family} {case.name} {name}")
    for family in FAMILIES
    for number, case in enumerate(cases(family))
    for side, name in (("ours", "fastconv"), ("rival", rival_of(family)))
    if getattr(case, side) is not None
]


@pytest.fixture(scope="module")
def rows():
    return Rows()


@pytest.mark.parametrize(("family", "number", "side"), ROWS)
def test_operator(benchmark, rows, family, number, side):
    case = rows.at(family, number)
    benchmark.group = f"{family}: {case.name}"
    rival = "torch" if side == "rival" and rival_of(family) == "torch" else None
    with threads_of_both(fastconv.get_num_threads(), rival):
        benchmark(getattr(case, side))
