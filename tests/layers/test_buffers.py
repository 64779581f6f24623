"""Buffers: names, state, copies, and what leaves them alone."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastconv import layers, training
from tests._cases import torch_or_skip
from tests._layers import Tracked
from tests._state import state_of


def linear(inputs, outputs, seed=0, dtype=np.float64):
    return layers.Linear(inputs, outputs, dtype=dtype, rng=seed)


def net(dtype=np.float64):
    body = layers.Sequential(linear(3, 4, 1, dtype), Tracked(4, dtype))
    return layers.Sequential(Tracked(3, dtype), body, linear(4, 2, 2, dtype))


def rows(seed=0, shape=(5, 3)):
    return np.random.default_rng(seed).standard_normal(shape)


BUFFERS = ["running_mean", "running_var", "num_batches_tracked"]
KEYS = [
    *(f"0.{name}" for name in ("weight", "bias", *BUFFERS)),
    "1.0.weight",
    "1.0.bias",
    *(f"1.1.{name}" for name in ("weight", "bias", *BUFFERS)),
    "2.weight",
    "2.bias",
]


def test_buffers_stand_behind_their_layers_parameters():
    model = net()
    assert list(model.state_dict()) == KEYS
    names = [f"{place}.{name}" for place in ("0", "1.1") for name in BUFFERS]
    assert [name for name, _ in model.named_buffers()] == names
    assert [name for name, _ in model.named_buffers("net.")] == ["net." + name for name in names]
    assert all(
        one is other for one, (_, other) in zip(model.buffers(), model.named_buffers(), strict=True)
    )
    assert [name for name, _ in model.named_parameters()] == [k for k in KEYS if k not in names]
    assert len(model.parameters()) == len(KEYS) - len(names)


def test_names_order_and_types_are_those_of_the_torch_twin():
    torch = torch_or_skip("the state of batch norm")

    body = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    twin = torch.nn.Sequential(torch.nn.BatchNorm1d(3), body, torch.nn.Linear(4, 2)).double()
    theirs = {name: array.numpy() for name, array in twin.state_dict().items()}
    model = net()
    ours = model.state_dict()
    assert list(ours) == list(theirs)
    assert [(a.shape, a.dtype) for a in ours.values()] == [
        (a.shape, a.dtype) for a in theirs.values()
    ]
    assert [n for n, _ in model.named_buffers()] == [n for n, _ in twin.named_buffers()]
    twin(torch.tensor(rows()))
    model.load_state_dict({name: array.numpy() for name, array in twin.state_dict().items()})
    assert model.state_dict()["0.num_batches_tracked"] == 1
    for name, array in twin.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], array.numpy())


def test_the_state_shares_memory_and_follows_training():
    model = net()
    state = model.state_dict()
    model(rows())
    assert state["0.num_batches_tracked"] == 1
    np.testing.assert_allclose(state["0.running_mean"], 0.1 * rows().mean(axis=0))
    state["0.running_mean"][...] = 7
    np.testing.assert_array_equal(model.eval()[0](rows()), rows() - 7)


def test_a_buffer_may_be_replaced_and_may_be_none():
    model = Tracked(3)
    model.running_mean = np.full(3, 2.0)
    assert model.state_dict()["running_mean"] is model.running_mean
    model.running_var = None
    assert list(model.state_dict()) == ["weight", "bias", "running_mean", "num_batches_tracked"]
    assert len(Tracked(3, counted=False).buffers()) == 2
    # Adding to an array without axes gives a number, in which no state could be loaded.
    model.num_batches_tracked = model.num_batches_tracked + 1
    with pytest.raises(TypeError, match=r"buffer 'num_batches_tracked' must be a numpy\.ndarray"):
        model.state_dict()


def test_a_shared_buffer_has_all_its_names_but_counts_once():
    one = Tracked(3)
    model = layers.Sequential(one, linear(3, 3), one)
    assert len(model.buffers()) == 3
    assert [n for n, _ in model.named_buffers()] == [f"0.{name}" for name in BUFFERS]
    both = [f"{place}.{name}" for place in (0, 2) for name in BUFFERS]
    assert [n for n, _ in model.named_buffers(remove_duplicate=False)] == both
    state = {key: array.copy() for key, array in model.state_dict().items()}
    state["2.num_batches_tracked"] += 1
    message = r"0\.num_batches_tracked and 2\.num_batches_tracked are names of one buffer"
    with pytest.raises(ValueError, match=message):
        model.load_state_dict(state)
    state["0.num_batches_tracked"] += 1
    model.load_state_dict(state)
    assert one.num_batches_tracked == 1
    model(rows())
    assert one.num_batches_tracked == 3


# Loading.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_of_another_precision_are_converted(dtype):
    model, other = net(dtype), net(np.float64 if dtype is np.float32 else np.float32)
    x = rows()
    other(x.astype(other.parameters()[0].data.dtype))
    model.load_state_dict(other.state_dict())
    for key, array in model.state_dict().items():
        assert array.dtype == (np.int64 if key.endswith("tracked") else dtype)
        np.testing.assert_array_equal(array, other.state_dict()[key].astype(array.dtype))


COUNTS = [
    np.array(7),
    np.int64(7),
    7,
    np.array(7, np.int16),
    np.uint8(7),
    np.array(7, np.uint64),
    np.array(7, ">i4"),
]


@pytest.mark.parametrize("count", COUNTS, ids=lambda c: f"{type(c).__name__} {np.array(c).dtype}")
def test_a_count_may_be_any_integer_without_axes(count):
    model = Tracked(3)
    kept = model.num_batches_tracked
    model.load_state_dict({**model.state_dict(), "num_batches_tracked": count})
    assert model.num_batches_tracked is kept
    assert (kept.shape, kept.dtype, int(kept)) == ((), np.int64, 7)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"num_batches_tracked": 7.0}, TypeError, "tracked must be a numpy.ndarray, got float"),
        ({"num_batches_tracked": True}, TypeError, "tracked must be a numpy.ndarray, got bool"),
        ({"num_batches_tracked": None}, TypeError, "must be a numpy.ndarray, got NoneType"),
        ({"num_batches_tracked": np.array(7.0)}, TypeError, "an integer dtype, got float64"),
        ({"num_batches_tracked": np.array(True)}, TypeError, "an integer dtype, got bool"),
        ({"num_batches_tracked": np.array([7])}, ValueError, r"expected shape \(\), got \(1,\)"),
        ({"num_batches_tracked": np.array(2**63, np.uint64)}, ValueError, "larger than any int64"),
        ({"running_mean": np.zeros(3, int)}, TypeError, "a float dtype, got int64"),
        ({"running_mean": np.zeros(4)}, ValueError, r"expected shape \(3,\), got \(4,\)"),
        ({"running_mean": [0.0] * 3}, TypeError, "must be a numpy.ndarray, got list"),
        ({"running_mean": np.float64(0)}, TypeError, "must be a numpy.ndarray, got float64"),
        ({"running_men": np.zeros(3)}, ValueError, "unexpected: running_men"),
    ],
)
def test_a_state_with_one_wrong_buffer_changes_nothing(change, error, message):
    model = Tracked(3)
    before = state_of(model)
    state = {key: array + 1 for key, array in model.state_dict().items()}
    with pytest.raises(error, match=message):
        model.load_state_dict({**state, **change})
    assert state_of(model) == before
    del state["running_var"]
    with pytest.raises(ValueError, match="missing: running_var"):
        model.load_state_dict(state)
    assert state_of(model) == before


def test_a_state_may_lack_what_is_not_required():
    # As files do that are older than the count.
    model = Tracked(3)
    model.num_batches_tracked += 5
    state = {key: array + 1 for key, array in model.state_dict().items()}
    del state["num_batches_tracked"]
    model.load_state_dict(state)
    assert model.num_batches_tracked == 5
    np.testing.assert_array_equal(model.running_var, [2, 2, 2])


def test_a_read_only_buffer_is_found_before_others_are_loaded():
    model = Tracked(3)
    model.running_var.flags.writeable = False
    before = state_of(model)
    state = {key: array + 1 for key, array in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"running_var: the layer's own array is read-only"):
        model.load_state_dict(state)
    assert state_of(model) == before


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        (3, np.zeros(3), TypeError, "name must be a str, got int"),
        ("", np.zeros(3), ValueError, "must not be empty"),
        ("a.b", np.zeros(3), ValueError, "contain a dot"),
        ("weight", np.zeros(3), ValueError, "has an attribute 'weight' already"),
        ("training", np.zeros(3), ValueError, "has an attribute 'training' already"),
        ("mean", [0.0], TypeError, r"mean must be a numpy\.ndarray, got list"),
        ("mean", np.ma.zeros(3), TypeError, "masked"),
        ("mean", np.zeros(3, np.int32), TypeError, "float32, float64 or int64, got int32"),
        ("mean", np.zeros(3, ">f8"), TypeError, "float32, float64 or int64, got >f8"),
    ],
)
def test_what_cannot_be_a_buffer(name, value, error, message):
    model = Tracked(3)
    before = state_of(model)
    with pytest.raises(error, match=message):
        model.register_buffer(name, value)
    assert state_of(model) == before
    assert list(model.state_dict()) == ["weight", "bias", *BUFFERS]


# Copies, modes, checks.


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_copies_have_buffers_of_their_own(duplicate):
    model = net()
    model(rows())
    twin = duplicate(model)
    assert state_of(twin) == state_of(model)
    twin.register_buffer("more", np.zeros(2))
    assert "more" not in model.state_dict()
    before = state_of(model)
    twin(rows())
    assert state_of(model) == before
    assert state_of(twin) != before


def test_a_check_of_gradients_puts_buffers_back():
    model = net()
    model(rows())
    before = state_of(model)
    assert layers.check_gradients(model, rows(1)) < 1e-8
    assert state_of(model) == before


def test_evaluation_by_many_threads_changes_nothing():
    model = net()
    for seed in range(3):
        model(rows(seed))
    model.eval()
    before = state_of(model)
    inputs = [rows(seed) for seed in range(64)]
    expected = [model(x).tobytes() for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        assert [y.tobytes() for y in pool.map(model, inputs)] == expected
    assert state_of(model) == before


# Files.


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_files_hold_buffers_bit_by_bit(tmp_path, suffix):
    if suffix == "safetensors":
        pytest.importorskip("safetensors")
    model, other, path = net(), net(), tmp_path / f"weights.{suffix}"
    model(rows())
    model[0].num_batches_tracked[...] = 2**62 + 1
    training.save_state(path, model.state_dict())
    state = training.load_state(path)
    assert {key: (a.shape, a.dtype) for key, a in state.items()} == {
        key: (a.shape, a.dtype) for key, a in model.state_dict().items()
    }
    other.load_state_dict(state)
    assert state_of(other) == state_of(model)
