"""Averages of weights: the formula, torch, states, and what goes wrong."""

import copy
import pickle

import numpy as np
import pytest

from fastconv import layers
from fastconv.layers import Parameter
from fastconv.training import ExponentialMovingAverage
from tests._cases import DTYPES, torch_or_skip

SHAPES = ((3, 2, 2), (5,), (4097,))


def parameters(dtype=np.float64):
    rng = np.random.default_rng(5)
    return [Parameter(rng.standard_normal(shape).astype(dtype)) for shape in SHAPES]


def walk(params, steps, seed=6):
    """Change the parameters once for each step."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        for param in params:
            param.data += rng.standard_normal(param.data.shape).astype(param.data.dtype)
        yield


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_as_torch_for_20_steps(dtype):
    torch = torch_or_skip("averages of weights")
    params = parameters(dtype)
    model = torch.nn.ParameterList([torch.from_numpy(param.data) for param in params])
    swa = torch.optim.swa_utils
    theirs = swa.AveragedModel(model, multi_avg_fn=swa.get_ema_multi_avg_fn(0.9))
    ours = ExponentialMovingAverage(params, 0.9)
    for _ in walk(params, 20):
        ours.update()
        theirs.update_parameters(model)
    assert ours.updates == 20
    eps = np.finfo(dtype).eps
    for average, twin in zip(ours.averages, theirs.module.parameters(), strict=True):
        assert average.dtype == dtype
        np.testing.assert_allclose(average, twin.detach(), rtol=8 * eps, atol=8 * eps)


def test_the_formula():
    params = parameters()
    ours = ExponentialMovingAverage(params, 0.75)
    expected = None
    for _ in walk(params, 5):
        ours.update()
        now = [param.data.copy() for param in params]
        expected = now if expected is None else [
            0.75 * a + 0.25 * w for a, w in zip(expected, now, strict=True)
        ]  # fmt: skip
    for average, right in zip(ours.averages, expected, strict=True):
        np.testing.assert_allclose(average, right, rtol=1e-13, atol=1e-14)


def test_averages_take_the_place_of_parameters_for_a_while():
    params = parameters()
    ours = ExponentialMovingAverage(params)
    for _ in walk(params, 3):
        ours.update()
    arrays = [param.data for param in params]
    now, averages = [a.copy() for a in arrays], [a.copy() for a in ours.averages]

    def look():
        for param, array, average in zip(params, arrays, averages, strict=True):
            assert param.data is array
            np.testing.assert_array_equal(param.data, average)
        raise KeyError

    with pytest.raises(KeyError), ours.applied():
        look()
    for param, old, average, kept in zip(params, now, averages, ours.averages, strict=True):
        np.testing.assert_array_equal(param.data, old)
        np.testing.assert_array_equal(kept, average)
    ours.swap()
    np.testing.assert_array_equal(params[0].data, averages[0])
    np.testing.assert_array_equal(ours.averages[0], now[0])


def test_a_net_is_evaluated_with_its_averages():
    net = layers.Linear(3, 2, dtype=np.float64, rng=1)
    ours = ExponentialMovingAverage(net.parameters(), 0.5)
    ours.update()
    for param in net.parameters():
        param.data += 2
    ours.update()
    x = np.ones((1, 3))
    net.eval()
    moved = net(x)
    with ours.applied():
        # One less in each of three weights and a bias.
        np.testing.assert_allclose(net(x), moved - 4, rtol=1e-13)
    np.testing.assert_array_equal(net(x), moved)


def test_a_loaded_state_goes_on_with_the_same_bits():
    whole, params = parameters(), parameters()
    expected = ExponentialMovingAverage(whole, 0.9)
    for _ in walk(whole, 8):
        expected.update()
    ours = ExponentialMovingAverage(params, 0.9)
    for step, _ in enumerate(walk(params, 8)):
        if step == 4:
            fresh = ExponentialMovingAverage(params, 0.1)
            fresh.load_state_dict(ours.state_dict())
            ours = pickle.loads(pickle.dumps(fresh)) if step % 2 else fresh
        ours.update()
    assert ours.state_dict().keys() == expected.state_dict().keys()
    for one, other in zip(ours.averages, expected.averages, strict=True):
        np.testing.assert_array_equal(one, other)


def test_copies_stand_alone():
    ours = ExponentialMovingAverage(parameters())
    for twin in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
        twin.params[0].data += 1
        twin.update()
        assert (twin.updates, ours.updates) == (1, 0)
        assert not np.shares_memory(twin.averages[0], ours.averages[0])


def test_a_state_that_does_not_fit_changes_nothing():
    ours = ExponentialMovingAverage(parameters(), 0.5)
    state = ours.state_dict()
    for change, error, text in (
        ({"0.average": np.zeros(3)}, ValueError, r"0\.average has shape \(3,\)"),
        ({"1.average": np.zeros(5, np.float32)}, ValueError, "dtype float32"),
        ({"decay": 2.0}, ValueError, "decay must be from 0 to 1, got 2"),
        ({"updates": -1}, ValueError, "updates must be at least 0"),
        ({"updates": 1.5}, TypeError, "updates must be an integer"),
        ({"7.average": 1}, ValueError, r"unexpected entries \['7\.average'\]"),
    ):
        with pytest.raises(error, match=text):
            ours.load_state_dict({**state, **change})
    with pytest.raises(ValueError, match="missing entries"):
        ours.load_state_dict({"decay": 0.5})
    with pytest.raises(TypeError, match="got a list"):
        ours.load_state_dict([])
    assert ours.decay == 0.5
    assert ours.updates == 0


def test_parameters_that_changed_are_refused():
    params = parameters()
    ours = ExponentialMovingAverage(params)
    params[1].data = np.zeros(6)
    for call in (ours.update, ours.swap):
        with pytest.raises(ValueError, match=r"params\[1\]\.data has shape \(6,\)"):
            call()
    assert ours.updates == 0
    params[1].data = np.zeros(5)
    params[1].data.flags.writeable = False
    with pytest.raises(ValueError, match=r"params\[1\]\.data is read-only"):
        ours.swap()


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda p: ExponentialMovingAverage([]), ValueError, "at least one Parameter"),
        (lambda p: ExponentialMovingAverage([p[0], p[0]]), ValueError, "listed twice"),
        (lambda p: ExponentialMovingAverage([p[0].data]), TypeError, "item 0 is a ndarray"),
        (lambda p: ExponentialMovingAverage(p, 1.5), ValueError, "decay must be from 0 to 1"),
        (lambda p: ExponentialMovingAverage(p, None), TypeError, "decay must be a number"),
    ],
)
def test_bad_arguments(make, error, text):
    with pytest.raises(error, match=text):
        make(parameters())
