"""Public objects are copied and pickled, work after it, and say what they are."""

import copy
import inspect
import pickle

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import layers, training
from tests._cases import ISAS, isa_or_skip, normal, run_tests_code
from tests._pickled import (
    EXAMPLES,
    MODULES,
    ROWS,
    convolved,
    double,
    network,
    optimized,
    prepare_exactly,
    spread,
    stepped,
)


def assert_equal(found, expected, tolerance=0.0):
    """Compare what was made of two objects."""
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray | float):
        assert np.asarray(found).dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_equal(found[key], value, tolerance)
    elif isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other, tolerance)
    else:
        assert found == expected


def repickled(value):
    return pickle.loads(pickle.dumps(value))


def shallow(value):
    """Copy an object, or each of several that belong together."""
    return tuple(map(copy.copy, value)) if isinstance(value, tuple) else copy.copy(value)


def public():
    return [(module, name, getattr(module, name)) for module in MODULES for name in module.__all__]


def test_every_public_class_has_an_example():
    classes = {value for _, _, value in public() if inspect.isclass(value)}
    found = set()
    for build in EXAMPLES.values():
        value = build().value
        found |= {type(part) for part in (value if isinstance(value, tuple) else (value,))}
    assert classes <= found


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(value, id=f"{module.__name__}.{name}")
        for module, name, value in public()
        if not inspect.ismodule(value)
    ],
)
def test_public_names_are_pickled(value):
    # Among the rivals of the benchmark were functions without a name.
    found = repickled(value)
    assert found is value or repr(found) == repr(value)


@pytest.mark.parametrize("how", [repickled, copy.deepcopy, shallow])
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_copy_works_as_the_original(name, how):
    # The schedules were functions within functions, which cannot be pickled.
    example = EXAMPLES[name]()
    found = how(example.value)
    for part in found if isinstance(found, tuple) else (found,):
        assert type(part).__module__.startswith(("fastconv.", "tests."))
    shown = repr(found)
    assert shown == repr(example.value)
    # One after the other, each from an original of its own: a shallow copy shares what it has.
    assert_equal(example.use(found), example.use(EXAMPLES[name]().value))


@pytest.mark.parametrize("name", EXAMPLES)
def test_objects_say_what_they_are(name):
    example = EXAMPLES[name]()
    value = example.value[-1] if isinstance(example.value, tuple) else example.value
    assert example.shown in repr(value)
    holds = isinstance(value, layers.Layer) and list(value.children())
    if not holds and name != "Node":
        assert "\n" not in repr(value)
        assert len(repr(value)) < 1500


def use_all(there, back):
    """Load the examples' objects from a file, and save what is made of them, and their reprs."""
    with open(there, "rb") as file:
        values = pickle.load(file)
    made = {name: EXAMPLES[name]().use(value) for name, value in values.items()}
    with open(back, "wb") as file:
        pickle.dump((made, {name: repr(value) for name, value in values.items()}), file)


@pytest.mark.parametrize("isa", ISAS)
def test_another_process_takes_them_all(isa, tmp_path):
    # Prepared weights would be garbage to another instruction set, which lays them out otherwise.
    assert isa_or_skip(isa) == isa
    examples = {name: build() for name, build in EXAMPLES.items()}
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(pickle.dumps({name: e.value for name, e in examples.items()}))
    run_tests_code("test_pickle", f"use_all({str(there)!r}, {str(back)!r})", FASTCONV_ISA=isa)
    made, shown = pickle.loads(back.read_bytes())
    assert shown == {name: repr(e.value) for name, e in examples.items()}
    for name, example in examples.items():
        tolerance = 0.0 if isa == fastconv.isa() else 1e-4
        assert_equal(made[name], example.use(example.value), tolerance)


# What belongs together stays together.


@pytest.mark.parametrize("how", [repickled, copy.deepcopy])
def test_an_optimizer_keeps_the_parameters_of_its_network(how):
    net, sgd = optimized(training.SGD, 0.1, 0.9)
    other, its = how((net, sgd))
    assert [id(p) for p in its.params] == [id(p) for p in other.parameters()]
    for p, q in zip(its.params, sgd.params, strict=True):
        assert not np.shares_memory(p.data, q.data)
    kept = [p.data.copy() for p in net.parameters()]
    first = stepped((other, its))
    # The copy moves alone, and the original goes on as if there were none.
    for p, array in zip(net.parameters(), kept, strict=True):
        np.testing.assert_array_equal(p.data, array)
    assert_equal(stepped((net, sgd)), first)


@pytest.mark.parametrize("how", [repickled, copy.deepcopy])
def test_what_is_shared_stays_shared(how):
    net = how(network())
    one, drop, twice, again = net
    assert drop is again
    assert twice.body[0] is one
    assert len(net.parameters()) == 2
    rng = np.random.default_rng(0)
    drops = how(layers.Sequential(layers.Dropout(rng=rng), layers.Dropout(rng=rng)))
    assert drops[0].rng is drops[1].rng
    assert drops[0].rng is not rng


def test_a_shallow_copy_of_a_layer_shares_its_parameters():
    layer = double(layers.Linear, 4, 4)
    other = copy.copy(layer)
    assert other.weight is layer.weight
    other.eval()
    assert layer.training
    net = network()
    assert list(copy.copy(net)) == list(net)


@pytest.mark.parametrize("how", [repickled, copy.deepcopy, copy.copy])
def test_what_forward_saved_stays_behind(how):
    layer, loss, x = network(), layers.MSELoss(), normal(ROWS)
    size = len(pickle.dumps(layer))
    loss(layer(x), x)
    assert len(pickle.dumps(layer)) <= size + 100
    for value, twin in ((layer, how(layer)), (loss, how(loss))):
        with pytest.raises(RuntimeError, match="needs a"):
            twin.backward() if twin is loss else twin.backward(x)
        assert value.backward(*() if value is loss else (x,)) is not None


def test_a_copy_of_a_prepared_layer_keeps_its_own():
    # Both once wrote into one table, whatever became of their weights.
    one = layers.Conv2d(64, 64, 3, padding=1, rng=0).eval().prepare()
    two, x = copy.copy(one), normal((1, 64, 8, 8), np.float32)
    two.weight = layers.Parameter(one.weight.data * 2, "weight")
    first, second = one(x), two(x)
    expected = layers.Conv2d(64, 64, 3, padding=1, rng=0)
    np.testing.assert_array_equal(first, expected(x))
    expected.weight.data[...] *= 2
    np.testing.assert_array_equal(second, expected(x))


def test_prepared_weights_are_prepared_again():
    weight = normal((64, 64, 3, 3), np.float32)
    ready = F.prepare_weight(weight, (64, 12, 12), padding=1)
    assert len(pickle.dumps(ready)) < weight.nbytes + 2000 < ready.data[1].nbytes
    with fastconv.exact():
        other = repickled(ready)
        exactly = repickled(prepare_exactly())
    assert repr(other.plan) == repr(ready.plan)
    assert_equal(convolved(other), convolved(ready))
    assert repr(exactly.plan) == repr(prepare_exactly().plan)
    with pytest.raises(ValueError, match="read-only"):
        other.weight[0] = 0
    x = normal((1, 64, 12, 12))
    with fastconv.exact():
        F.conv2d(x, exactly, padding=1)
    with pytest.raises(ValueError, match="'gemm', got 'winograd'"):
        F.conv2d(x, exactly, padding=1)


def test_prepared_weights_keep_the_arguments_as_they_were_given():
    # A stride that moves nothing is 1 in the plan, but then there would be more windows.
    x, weight, stride = normal((1, 2, 5, 6)), normal((3, 2, 3, 1)), [1, 7]
    ready = F.prepare_weight(weight, x.shape, stride, "valid", (1, 9))
    stride[0] = 2
    expected = F.conv2d(x, weight, None, (1, 7), "valid", (1, 9))
    for found in (ready, repickled(ready), copy.copy(ready), repickled(copy.deepcopy(ready))):
        result = F.conv2d(x, found, None, (1, 7), "valid", (1, 9))
        np.testing.assert_array_equal(result, expected)


def test_equal_schedules_are_equal():
    texts = ("constant", "step:3:0.5", "step:3:0.25", "cosine", "cosine:0.1", "warmup:2,cosine")
    schedules = [training.parse_schedule(text) for text in texts]
    assert schedules == [repickled(schedule) for schedule in schedules]
    assert len({*schedules, *map(training.parse_schedule, texts)}) == len(texts)
    assert training.Schedule("constant", spread) != training.constant()
