"""The table of algorithms: what a choice may depend on, and fastconv.exact()."""

import ast
import datetime
import threading

import numpy as np
import pytest

import fastconv
from benches import tune_plan
from fastconv import benchmark
from fastconv import functional as F
from fastconv.benchmark.machine import cpu_model
from fastconv.engine import plan, rules, thresholds
from tests._cases import DTYPES, ISAS

LAYERS = [layer for table in benchmark.TABLES for layer in benchmark.load_table(table)]
THREES = ((2, 64, 12, 12), (64, 64, 3, 3))


@pytest.mark.parametrize("operation", plan.OPERATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_choice_depends_on_neither_batch_nor_threads(operation, dtype):
    for layer in LAYERS:
        options = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
        weight = layer.geometry(1).weight_shape
        found = set()
        for batch, threads in ((0, 1), (1, 1), (1, 3), (8, 2), (1000, 1)):
            fastconv.set_num_threads(threads)
            shape = (batch, layer.in_channels, *layer.size)
            found.add(fastconv.explain(operation, shape, weight, dtype=dtype, **options).algorithm)
        assert len(found) == 1, layer


@pytest.mark.parametrize(
    ("algorithm", "side"), [("auto", 5), ("winograd", 5), ("fft", 5), ("auto", 31)]
)
@pytest.mark.parametrize("size", [(2, 6, 0, 14), (2, 6, 14, 0)])
def test_maps_without_cells_have_a_plan(size, algorithm, side):
    # Where "auto" weighed "fft", and in explain, it was an integer division by zero.
    weight, options = np.ones((16, 6, side, side)), {"padding": side, "algorithm": algorithm}
    residual = F.conv2d(np.ones(size), weight, **options)
    assert F.conv2d_input(size, weight, residual, **options).shape == size
    assert fastconv.explain("conv2d_input", size, weight.shape, **options).flops > 0


@pytest.mark.parametrize("operation", plan.OPERATIONS)
def test_exact_leaves_the_exact_algorithms(operation):
    rounding = [row.name for row in plan.ALGORITHMS if not row.exact]
    assert rounding == ["fft", "winograd"]
    assert fastconv.explain(operation, *THREES, padding=1).algorithm == "winograd"
    with fastconv.exact():
        found = fastconv.explain(operation, *THREES, padding=1)
        assert found.algorithm == "gemm"
        for name in rounding:
            assert "fastconv.exact()" in found.refused[name]
            with pytest.raises(ValueError, match=f"'{name}' cannot compute this: it rounds"):
                fastconv.explain(operation, *THREES, padding=1, algorithm=name)
    assert fastconv.explain(operation, *THREES, padding=1).algorithm == "winograd"


def test_exact_gives_the_integers():
    rng = np.random.default_rng(0)
    x, weight = (rng.integers(-9, 10, shape).astype(np.float32) for shape in THREES)
    with fastconv.exact():
        actual = F.conv2d(x, weight)
    np.testing.assert_array_equal(actual, F.conv2d(x, weight, algorithm="direct"))
    assert actual.tobytes() != F.conv2d(x, weight, algorithm="winograd").tobytes()


def test_exact_ends_with_an_error_and_does_not_reach_other_threads():
    seen = []

    def ask():
        seen.append(fastconv.explain("conv2d", *THREES).algorithm)

    def fail():
        with fastconv.exact():
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
            with fastconv.exact():
                ask()
            ask()
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    ask()
    assert seen == ["winograd", "gemm", "gemm", "winograd"]


def test_thresholds_are_written_as_they_are_read():
    module = ast.parse(tune_plan.source(thresholds.MEASURED, thresholds.THRESHOLDS))
    values = {
        statement.targets[0].id: ast.literal_eval(statement.value)
        for statement in module.body
        if isinstance(statement, ast.Assign)
    }
    assert values == {"MEASURED": thresholds.MEASURED, "THRESHOLDS": thresholds.THRESHOLDS}
    assert list(thresholds.MEASURED) == list(thresholds.THRESHOLDS) == list(ISAS)
    keys = {(o, np.dtype(d).name) for o in plan.OPERATIONS for d in DTYPES}
    for isa, tables in thresholds.THRESHOLDS.items():
        assert list(tables) == list(thresholds.MEASURED[isa]) == list(tune_plan.TABLES)
        assert all(set(table) == keys for table in tables.values())


def test_the_plan_has_those_of_its_instruction_set():
    assert rules._THRESHOLDS is thresholds.THRESHOLDS[fastconv.isa()]


def test_a_measurement_says_where_and_when():
    found = tune_plan.stamp()
    assert found.startswith(cpu_model())
    assert found.endswith(f", {datetime.date.today()}")


def test_the_best_threshold_lies_between_losses_and_wins():
    assert 2 < tune_plan.best_threshold([(1, 0.5), (2, 0.8), (4, 1.5), (8, 2.0)]) < 4
    assert tune_plan.best_threshold([(1, 1.5), (2, 2.0)]) < 1
    assert tune_plan.best_threshold([(1, 0.5), (2, 0.9)]) > 2
