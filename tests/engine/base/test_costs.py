"""What tasks cost: every phase of a convolution says it, without running, and says enough."""

import threading
from math import prod

import numpy as np
import pytest

import fastconv
from benches.balance import empty_case, list_phases
from fastconv import benchmark
from fastconv import functional as F
from fastconv.benchmark.rivals import fastconv_call, make_case
from fastconv.engine.base.threads import listed_phases

TABLES = {name: benchmark.load_table(name) for name in benchmark.TABLES}
EACH = pytest.mark.parametrize("direction", benchmark.DIRECTIONS)
OPERATIONS = {"forward": "conv2d", "input": "conv2d_input", "weight": "conv2d_weight"}

# Products of a tile of outputs and a pair of channels, and those of the formula.
TILES = {3: (36, 16 * 9), 5: (64, 16 * 25)}
ROWS = 9, 5 * 5

# A layer of each kind: what lies in the lanes, and how the work is cut, differs.
KINDS = [
    layer
    for name in ("lenet5", "resnet50", "mobilenet", "resnext50")
    for layer in TABLES[name]
    if layer.flops(1) < 240e6
]


def pairs_inside(size, out, taps, stride, before, dilation):
    """Return how often an output of an axis meets a cell of the input."""
    places = np.add.outer(np.arange(out) * stride - before, np.arange(taps) * dilation)
    return int(((places >= 0) & (places < size)).sum())


def least_products(layer, direction, batch):
    """Return the multiply-adds that no way of computing the layer goes without."""
    geometry = layer.geometry(batch)
    algorithm = fastconv.explain(
        OPERATIONS[direction],
        geometry.input_shape,
        geometry.weight_shape,
        stride=layer.stride,
        padding=layer.padding,
        groups=layer.groups,
    )
    if algorithm.variant == "winograd rows":
        return layer.flops(batch) / 2 * ROWS[0] / ROWS[1]
    if algorithm.variant == "winograd phases":
        # Of 3x3: 2 taps and one, whose tiles of 4 have 5 and 4 products on an axis instead of 12.
        assert layer.kernel == (3, 3)
        return layer.flops(batch) / 2 * 81 / 144
    if algorithm.algorithm == "winograd":
        points, products = TILES[layer.kernel[0]]
        return layer.flops(batch) / 2 * points / products
    inside = prod(
        pairs_inside(*axis)
        for axis in zip(
            layer.size,
            geometry.out_size,
            layer.kernel,
            layer.stride,
            layer.padding,
            layer.dilation,
            strict=True,
        )
    )
    return batch * layer.out_channels * layer.in_channels // layer.groups * inside


@EACH
@pytest.mark.parametrize("table", TABLES)
def test_every_phase_says_what_its_tasks_cost(table, direction):
    for layer in TABLES[table]:
        for batch, threads in ((1, 1), (1, 5), (8, 16)):
            phases = list_phases(empty_case(layer, direction, batch, np.dtype("f")), threads)
            assert phases
            for team, tasks, costs, seconds in phases:
                assert 1 <= team <= threads
                assert len(costs) == tasks
                assert seconds is None
                # The last pass of several may have fewer tasks than the others: these cost nothing.
                assert min(costs) >= 0
                assert sum(costs) > 0


@EACH
@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("table", TABLES)
def test_costs_are_no_less_than_the_products(table, dtype, direction):
    for layer in TABLES[table]:
        for batch, threads in ((1, 3), (8, 1)):
            phases = list_phases(empty_case(layer, direction, batch, np.dtype(dtype)), threads)
            if dtype == "d" and layer.kernel != (1, 1) and layer.stride == (1, 1):
                # The choice of Winograd follows the dtype.
                continue
            costs = sum(sum(costs) for _, _, costs, _ in phases)
            assert costs >= least_products(layer, direction, batch), (layer, batch)


@EACH
def test_costs_are_near_the_products_where_little_is_moved(direction):
    for layer in TABLES["resnet50"]:
        phases = list_phases(empty_case(layer, direction, 8, np.dtype("f")), 1)
        costs = sum(sum(costs) for _, _, costs, _ in phases)
        assert costs <= 2 * least_products(layer, direction, 8), layer


@EACH
@pytest.mark.parametrize("layer", KINDS, ids=str)
def test_the_tasks_that_are_listed_compute_all(layer, direction):
    fastconv.set_num_threads(3)
    call = fastconv_call(make_case(layer, direction, 2, np.dtype("f")))
    expected = call()
    with listed_phases(timed=True) as phases:
        result = call()
    with listed_phases() as untimed:
        call()
    assert np.array_equal(result, expected)
    assert [phase[:3] for phase in untimed] == [phase[:3] for phase in phases]
    for _, tasks, _, seconds in phases:
        assert len(seconds) == tasks
        assert min(seconds) >= 0


def test_nothing_runs_while_phases_are_listed():
    x, w = np.ones((2, 8, 20, 20), "f"), np.ones((8, 8, 3, 3), "f")
    out = np.full((2, 8, 18, 18), np.nan, "f")
    with listed_phases() as phases:
        F.conv2d(x, w, out=out)
    assert phases
    assert np.isnan(out).all()
    F.conv2d(x, w, out=out)
    assert (out == 72).all()


def test_a_loop_may_say_nothing_of_its_costs():
    with listed_phases() as phases:
        F.relu(np.ones((4, 100), "f"))
    assert [(tasks > 0, costs) for _, tasks, costs, _ in phases] == [(True, None)] * len(phases)
    assert phases


def test_other_threads_compute_while_one_lists():
    x, w = np.ones((2, 8, 20, 20), "f"), np.ones((8, 8, 3, 3), "f")
    results = []
    with listed_phases() as phases:
        thread = threading.Thread(target=lambda: results.append(F.conv2d(x, w)))
        thread.start()
        thread.join()
        assert phases == []
    assert (results[0] == 72).all()


def test_listing_ends_with_the_statement():
    x, w = np.ones((2, 8, 20, 20), "f"), np.ones((8, 8, 3, 3), "f")
    with pytest.raises(ZeroDivisionError), listed_phases():
        raise ZeroDivisionError
    assert (F.conv2d(x, w) == 72).all()


def test_one_list_at_a_time():
    with listed_phases(), pytest.raises(RuntimeError, match="listed already"), listed_phases():
        pass
