"""The tables as entries of pytest-benchmark, for those who use it.

    pip install 'fastconv[bench]'
    pytest benches --benchmark-columns=min,median --benchmark-group-by=group [-k "resnet50"]

Each layer and direction is a group, with fastconv and, where it is installed, torch. One after the
other is not in turns: `benches/bench_conv.py` is what ratios are quoted from.
"""

import os

import numpy as np
import pytest

import fastconv
from fastconv import benchmark as conv_benchmark
from fastconv.benchmark.rivals import fastconv_call, make_case, threads_of_both, torch_call

pytest.importorskip("pytest_benchmark")

BATCH = int(os.environ.get("BENCH_BATCH", "8"))
CASES = [
    pytest.param(layer, direction, id=f"{layer.table} {layer} {direction}")
    for table in conv_benchmark.TABLES
    for layer in conv_benchmark.load_table(table)
    for direction in conv_benchmark.DIRECTIONS
]
SIDES = {"fastconv": fastconv_call, "torch": torch_call}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("layer", "direction"), CASES)
def test_conv(benchmark, layer, direction, side):
    if side == "torch":
        pytest.importorskip("torch")
    benchmark.group = f"{layer.table} {layer} {direction}, batch {BATCH}"
    case = make_case(layer, direction, BATCH, np.dtype(np.float32))
    with threads_of_both(fastconv.get_num_threads(), side):
        benchmark(SIDES[side](case))
    benchmark.extra_info["GFLOP"] = case.flops / 1e9
