"""Measuring convolutions side by side with a rival, over the layers of well-known networks.

Behind ``fastconv bench``. Both sides get the same arrays and the same number of threads in one
process; results are verified against float64 before anything is timed, and the timing takes turns.
"""

from fastconv.benchmark.comparison import Change, Comparison, compare
from fastconv.benchmark.harness import DIRECTIONS, WrongResult, measure
from fastconv.benchmark.peak import measured_peak
from fastconv.benchmark.results import Machine, Peak, Results, Row, Side, load_results, save_results
from fastconv.benchmark.rivals import RIVALS, default_rival
from fastconv.benchmark.suite import run
from fastconv.benchmark.tables import TABLES, Layer, load_table, short_table
from fastconv.benchmark.twins import torch_twin

__all__ = [
    "DIRECTIONS",
    "RIVALS",
    "TABLES",
    "Change",
    "Comparison",
    "Layer",
    "Machine",
    "Peak",
    "Results",
    "Row",
    "Side",
    "WrongResult",
    "compare",
    "default_rival",
    "load_results",
    "load_table",
    "measure",
    "measured_peak",
    "run",
    "save_results",
    "short_table",
    "torch_twin",
]
