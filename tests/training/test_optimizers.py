# ruff: noqa: E501  (a table has one line for each call)
"""The optimizers against the written rules, and against torch.optim where torch is installed."""

import math

import numpy as np
import pytest

import fastconv
from fastconv.layers import Parameter
from fastconv.training import SGD, Adam, AdamW, RMSprop
from tests._cases import torch_or_skip

SHAPES = ((3, 2, 2, 2), (5,), (4, 7))
SGD_SETTINGS = (
    {},
    {"momentum": 0.9},
    {"weight_decay": 0.1},
    {"momentum": 0.9, "weight_decay": 0.01},
    {"momentum": 0.8, "dampening": 0.3},
    {"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.05},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.02},
)
ADAM_SETTINGS = (
    {},
    {"lr": 0.05, "betas": (0.5, 0.9)},
    {"weight_decay": 0.1, "eps": 1e-3},
    {"amsgrad": True, "betas": (0.5, 0.6)},
)
ADAMW_SETTINGS = ({}, {"lr": 0.05, "weight_decay": 0.3}, {"amsgrad": True, "weight_decay": 0.0})
RMSPROP_SETTINGS = (
    {},
    {"alpha": 0.5, "weight_decay": 0.1},
    {"momentum": 0.9},
    {"centered": True},
    {"momentum": 0.8, "centered": True, "eps": 1e-3, "lr": 0.003},
)
EVERY = {
    "SGD": [{"lr": 0.1, **settings} for settings in SGD_SETTINGS],
    "Adam": ADAM_SETTINGS,
    "AdamW": ADAMW_SETTINGS,
    "RMSprop": RMSPROP_SETTINGS,
}
KINDS = {"SGD": SGD, "Adam": Adam, "AdamW": AdamW, "RMSprop": RMSprop}


def parameters(dtype=np.float64):
    rng = np.random.default_rng(5)
    return [Parameter(rng.standard_normal(shape).astype(dtype)) for shape in SHAPES]


def gradients(steps, dtype=np.float64):
    rng = np.random.default_rng(6)
    for _ in range(steps):
        yield [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]


def run(optimizer, steps, dtype=np.float64, skip=()):
    """Do the steps; parameter i has no gradient in the steps that skip maps to it."""
    for step, grads in enumerate(gradients(steps, dtype)):
        optimizer.zero_grad()
        for index, (param, grad) in enumerate(zip(optimizer.params, grads, strict=True)):
            if (step, index) not in skip:
                param.add_grad(grad)
        optimizer.step()


def sgd_by_the_formula(w, grads, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False):
    v = None
    for g in grads:
        g = g + weight_decay * w
        v = g if v is None else momentum * v + (1 - dampening) * g
        w = w - lr * (g + momentum * v if nesterov else v)
    return w


def adam_by_the_formula(
    w, grads, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False
):
    m, v, top = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        top = np.maximum(top, v) if amsgrad else v
        m_hat, v_hat = m / (1 - betas[0] ** t), top / (1 - betas[1] ** t)
        w = w - lr * m_hat / (np.sqrt(v_hat) + eps)
    return w


@pytest.mark.parametrize("settings", SGD_SETTINGS, ids=str)
def test_sgd_follows_the_formula(settings):
    params = parameters()
    wanted = [
        sgd_by_the_formula(param.data, [g[i] for g in gradients(30)], 0.1, **settings)
        for i, param in enumerate(params)
    ]
    run(SGD(params, 0.1, **settings), 30)
    for param, right in zip(params, wanted, strict=True):
        np.testing.assert_allclose(param.data, right, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("settings", ADAM_SETTINGS, ids=str)
def test_adam_follows_the_formula(settings):
    params = parameters()
    wanted = [
        adam_by_the_formula(param.data, [g[i] for g in gradients(30)], **settings)
        for i, param in enumerate(params)
    ]
    run(Adam(params, **settings), 30)
    for param, right in zip(params, wanted, strict=True):
        np.testing.assert_allclose(param.data, right, rtol=1e-12, atol=1e-13)


def twins_of(torch, params):
    return [torch.nn.Parameter(torch.from_numpy(param.data.copy())) for param in params]


def run_torch(torch, optimizer, twins, steps, dtype=np.float64, skip=()):
    for step, grads in enumerate(gradients(steps, dtype)):
        for index, (twin, grad) in enumerate(zip(twins, grads, strict=True)):
            twin.grad = None if (step, index) in skip else torch.from_numpy(grad)
        optimizer.step()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("kind", "settings"), [(kind, each) for kind in EVERY for each in EVERY[kind]], ids=str
)
def test_same_as_torch_for_200_steps(kind, settings, dtype):
    torch = torch_or_skip("200 steps of the optimizers")
    params = parameters(dtype)
    twins = twins_of(torch, params)
    skip = {(0, 1), (17, 0)}
    # In single precision, 20 steps: where v - m^2 cancels, rounding errors grow with them.
    steps = 200 if dtype == np.float64 else 20
    run(KINDS[kind](params, **settings), steps, dtype, skip)
    run_torch(torch, getattr(torch.optim, kind)(twins, **settings), twins, steps, dtype, skip)
    rtol, atol = (1e-11, 1e-12) if dtype == np.float64 else (2e-5, 2e-6)
    for param, twin in zip(params, twins, strict=True):
        np.testing.assert_allclose(param.data, twin.detach().numpy(), rtol=rtol, atol=atol)


GROUPS = {
    "SGD": ({"lr": 0.01, "momentum": 0.0}, {"weight_decay": 0.1, "nesterov": True}),
    "Adam": ({"lr": 0.01, "betas": (0.5, 0.8)}, {"weight_decay": 0.1, "amsgrad": True}),
    "AdamW": ({"lr": 0.01, "betas": (0.5, 0.8)}, {"weight_decay": 0.1, "amsgrad": True}),
    "RMSprop": ({"lr": 0.001, "alpha": 0.5}, {"momentum": 0.9, "centered": True}),
}


def grouped(params, own):
    """Two parameters in the first group, and the last alone."""
    return [{"params": params[:2], **own[0]}, {"params": params[2], **own[1]}]


@pytest.mark.parametrize("kind", GROUPS)
def test_groups_have_their_own_settings_as_in_torch(kind):
    torch = torch_or_skip("groups of parameters")
    params = parameters()
    twins = twins_of(torch, params)
    common = {"lr": 0.05, "momentum": 0.5} if kind == "SGD" else {"lr": 0.02}
    ours = KINDS[kind](grouped(params, GROUPS[kind]), **common)
    run(ours, 20)
    theirs = getattr(torch.optim, kind)(grouped(twins, GROUPS[kind]), **common)
    run_torch(torch, theirs, twins, 20)
    for param, twin in zip(params, twins, strict=True):
        np.testing.assert_allclose(param.data, twin.detach().numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", GROUPS)
def test_groups_are_part_of_the_state(kind):
    common = {"lr": 0.05, "momentum": 0.5} if kind == "SGD" else {"lr": 0.02}
    whole, halves = parameters(), parameters()
    run(KINDS[kind](grouped(whole, GROUPS[kind]), **common), 8)
    old = KINDS[kind](grouped(halves, GROUPS[kind]), **common)
    for step, grads in enumerate(gradients(8)):
        if step == 4:
            state = old.state_dict()
            assert state["groups.0.params"] == 2
            assert state["groups.0.lr"] == GROUPS[kind][0]["lr"]
            others = tuple(
                {name: (0.1, 0.2) if name == "betas" else type(value)(value)
                 for name, value in own.items()} for own in GROUPS[kind]
            )  # fmt: skip
            fresh = KINDS[kind](grouped(halves, others), **common)
            fresh.load_state_dict(state)
            assert fresh.state_dict().keys() == state.keys()
            old = fresh
        for param, grad in zip(halves, grads, strict=True):
            param.grad = grad
        old.step()
    for one, other in zip(whole, halves, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
    plain = KINDS[kind](parameters(), **common)
    with pytest.raises(ValueError, match="unexpected entries"):
        plain.load_state_dict(old.state_dict())
    first, *rest = parameters()
    own = GROUPS[kind]
    other = KINDS[kind]([{"params": first, **own[0]}, {"params": rest, **own[1]}], **common)
    with pytest.raises(ValueError, match=r"groups\.0 has 2 parameters, expected 1"):
        other.load_state_dict(old.state_dict())


def test_learning_rates_of_groups():
    first, second, third = parameters()
    groups = [{"params": first, "lr": 0.5}, {"params": second}, {"params": [third], "lr": 0.25}]
    sgd = SGD(groups, 0.1)
    assert sgd.learning_rates() == [0.1, 0.5, 0.25]
    sgd.set_learning_rates([1.0, 2.0, 3.0])
    assert sgd.lr == 1.0
    assert [group.get("lr") for group in sgd.param_groups] == [2.0, None, 3.0]
    before = [param.data.copy() for param in sgd.params]
    for param in sgd.params:
        param.grad = np.ones_like(param.data)
    sgd.step()
    for param, old, rate in zip(sgd.params, before, (2.0, 1.0, 3.0), strict=True):
        np.testing.assert_array_equal(param.data, old - rate)
    with pytest.raises(ValueError, match="zip"):
        sgd.set_learning_rates([1.0, 2.0])


def test_a_wrong_setting_of_a_group_stops_the_whole_step():
    params = parameters()
    sgd = SGD([{"params": params[:1]}, {"params": params[1:], "lr": 0.5}], 0.1)
    before = [param.data.copy() for param in params]
    for param in params:
        param.grad = np.ones_like(param.data)
    sgd.param_groups[1]["lr"] = -1.0
    with pytest.raises(ValueError, match="lr: got -1"):
        sgd.step()
    for param, old in zip(params, before, strict=True):
        np.testing.assert_array_equal(param.data, old)


def test_a_state_of_before_amsgrad_still_loads():
    params = parameters()
    adam = Adam(params)
    run(adam, 2)
    state = adam.state_dict()
    del state["amsgrad"]
    fresh = Adam(parameters(), amsgrad=True)
    fresh.load_state_dict(state)
    assert fresh.amsgrad is False


@pytest.mark.parametrize("make", KINDS.values())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_is_in_place_and_leaves_gradients_alone(make, dtype):
    params = parameters(dtype)
    arrays = [param.data for param in params]
    before = [array.copy() for array in arrays]
    grads = next(gradients(1, dtype))
    for param, grad in zip(params, grads, strict=True):
        param.add_grad(grad)
    make(params, lr=0.1, weight_decay=0.1).step()
    for param, array, old, grad in zip(params, arrays, before, grads, strict=True):
        assert param.data is array
        assert array.dtype == dtype
        assert (array != old).all()
        np.testing.assert_array_equal(param.grad, grad)


def test_parameters_of_both_dtypes_in_one_optimizer():
    mixed = [*parameters(np.float32), *parameters(np.float64)]
    for param in mixed:
        param.add_grad(np.ones(param.data.shape, param.data.dtype))
    singles = [param.data - np.asarray(0.5, param.data.dtype) for param in mixed]
    SGD(mixed, 0.5).step()
    for param, right in zip(mixed, singles, strict=True):
        np.testing.assert_array_equal(param.data, right)


@pytest.mark.parametrize("make", KINDS.values())
def test_a_parameter_without_gradient_stays(make):
    params = parameters()
    before = params[1].data.copy()
    optimizer = make(params, lr=0.1)
    run(optimizer, 3, skip={(0, 1), (1, 1), (2, 1)})
    np.testing.assert_array_equal(params[1].data, before)
    assert optimizer.state_dict()["1.steps"] == 0


def test_zero_grad_forgets_the_gradients():
    params = parameters()
    params[0].add_grad(np.ones(SHAPES[0]))
    SGD(params, 0.1).zero_grad()
    assert params[0].grad is None


def test_the_learning_rate_is_a_plain_attribute():
    param = Parameter(np.zeros(2))
    optimizer = SGD([param], 1.0)
    param.add_grad(np.ones(2))
    optimizer.lr = 0.25
    optimizer.step()
    np.testing.assert_array_equal(param.data, [-0.25, -0.25])


@pytest.mark.parametrize(
    "make",
    [
        lambda params: SGD(params, 0.1, momentum=0.9, weight_decay=0.01),
        lambda params: SGD(params, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        lambda params: Adam(params, weight_decay=0.01),
        lambda params: Adam(params, amsgrad=True),
        lambda params: AdamW(params, weight_decay=0.1),
        lambda params: RMSprop(params, momentum=0.9, centered=True),
        lambda params: RMSprop(params),
    ],
)
def test_a_loaded_state_continues_with_the_same_bits(make):
    whole, first = parameters(), parameters()
    run(make(whole), 20)
    old = make(first)
    grads = list(gradients(20))
    for step, row in enumerate(grads):
        if step == 7:
            state = {k: np.copy(v) if hasattr(v, "shape") else v for k, v in
                     old.state_dict().items()}  # fmt: skip
            # A fresh optimizer with other settings takes everything from the state.
            fresh = KINDS[state["kind"]](first, lr=123.0)
            fresh.load_state_dict(state)
            old = fresh
        old.zero_grad()
        for param, grad in zip(first, row, strict=True):
            param.add_grad(grad)
        old.step()
    for one, other in zip(whole, first, strict=True):
        np.testing.assert_array_equal(one.data, other.data)


def test_a_state_that_does_not_fit_changes_nothing():
    params = parameters()
    adam = Adam(params)
    run(adam, 2)
    state = adam.state_dict()
    with pytest.raises(ValueError, match="belongs to the optimizer 'Adam', expected 'SGD'"):
        SGD(params, 0.1).load_state_dict(state)
    fresh = Adam(parameters(), lr=0.5)
    for change, text in (
        ({"0.exp_avg": np.zeros(3)}, r"0\.exp_avg has shape \(3,\) .* expected \(3, 2, 2, 2\)"),
        ({"0.exp_avg": state["0.exp_avg"].astype(np.float32)}, "dtype float32"),
        ({"7.steps": 1}, r"unexpected entries \['7\.steps'\]"),
        ({"beta1": None}, None),
    ):
        bad = {**state, **change}
        if text is None:
            del bad["beta1"]
            text = r"missing entries \['beta1'\]"
        with pytest.raises(ValueError, match=text):
            fresh.load_state_dict(bad)
    half = {key: value for key, value in state.items() if key != "1.exp_avg"}
    with pytest.raises(ValueError, match="parameter 1 has"):
        fresh.load_state_dict(half)
    assert fresh.lr == 0.5
    assert fresh.state_dict()["0.steps"] == 0


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda p: SGD([], 0.1), ValueError, "at least one Parameter"),
        (lambda p: SGD([p[0], p[0]], 0.1), ValueError, "listed twice"),
        (lambda p: SGD([p[0].data], 0.1), TypeError, "item 0 is a ndarray"),
        (lambda p: SGD(p, -0.1), ValueError, "lr: got -0.1"),
        (lambda p: SGD(p, math.nan), ValueError, "lr: got nan"),
        (lambda p: SGD(p, math.inf), ValueError, "lr: got inf"),
        (lambda p: SGD(p, "0.1"), TypeError, "lr: got '0.1' of type str"),
        (lambda p: SGD(p, True), TypeError, "lr: got True"),
        (lambda p: SGD(p, 0.1, momentum=-1), ValueError, "momentum: got -1"),
        (lambda p: SGD(p, 0.1, nesterov=True), ValueError, "needs momentum > 0"),
        (lambda p: SGD(p, 0.1, 0.9, 0.1, nesterov=True), ValueError, "dampening = 0"),
        (lambda p: Adam(p, betas=(0.9, 1.0)), ValueError, r"betas\[1\].*< 1"),
        (lambda p: Adam(p, betas=0.9), TypeError, "pair of numbers"),
        (lambda p: Adam(p, eps=-1e-8), ValueError, "eps"),
        (lambda p: Adam(p, amsgrad=1), TypeError, "amsgrad: got 1, expected a bool"),
        (lambda p: RMSprop(p, alpha=1.0), ValueError, "alpha: .* < 1"),
        (lambda p: RMSprop(p, centered=None), TypeError, "centered"),
        (lambda p: SGD([{"params": p, "lr": -1}], 0.1), ValueError, "lr: got -1"),
        (lambda p: SGD([{"params": p, "alpha": 1}], 0.1), ValueError, "group 0: SGD has no setting 'alpha'"),
        (lambda p: SGD([{"params": p}, p[0]], 0.1), TypeError, "group 1 is a Parameter, expected a dict"),
        (lambda p: SGD([{"lr": 1.0}], 0.1), TypeError, "group 0 is a dict, expected a dict with 'params'"),
        (lambda p: SGD([{"params": p}, {"params": p[0]}], 0.1), ValueError, "listed twice"),
        (lambda p: Adam([{"params": p, "betas": 0.5}]), TypeError, "betas: got 0.5, expected a pair"),
        (lambda p: SGD([{"params": p, "momentum": 0.0}], 0.1, 0.9, nesterov=True), ValueError, "needs momentum > 0"),
    ],
)  # fmt: skip
def test_bad_arguments(make, error, text):
    with pytest.raises(error, match=text):
        make(parameters())


def test_the_rules_hold_for_a_gradient_of_any_layout():
    param = Parameter(np.ones((4, 3)))
    param.add_grad(np.arange(12.0).reshape(3, 4).T)
    SGD([param], 1.0, momentum=0.5).step()
    np.testing.assert_array_equal(param.data, 1 - np.arange(12.0).reshape(3, 4).T)


@pytest.mark.parametrize("kind", KINDS.values())
def test_parameters_and_gradients_of_any_layout(kind):
    rng = np.random.default_rng(3)
    values, gradient = rng.standard_normal((2, 3, 4, 5))
    plain, strange = Parameter(values.copy()), Parameter(values.T.copy().T)
    base = np.zeros((3, 8, 5))[:, ::2]
    base[...] = values
    spaced = Parameter(base)
    settings = {"momentum": 0.9} if kind is SGD else {}
    for param in (plain, strange, spaced):
        optimizer = kind([param], lr=0.1, **settings)
        for _ in range(3):
            param.zero_grad()
            param.add_grad(gradient if param is plain else gradient[::-1].copy()[::-1])
            optimizer.step()
    np.testing.assert_array_equal(strange.data, plain.data)
    assert spaced.data is base
    np.testing.assert_array_equal(base, plain.data)


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_gradient_of_another_size_is_refused(kind):
    param = Parameter(np.zeros((3, 4)))
    param.grad = np.zeros(11)
    text = r"params\[0\]: its grad has shape \(11,\) .* expected \(3, 4\)"
    with pytest.raises(ValueError, match=text):
        kind([param], lr=0.1).step()


@pytest.mark.parametrize("kind", KINDS.values())
def test_large_parameters_are_the_same_on_any_threads(kind):
    values, gradient = np.random.default_rng(4).standard_normal((2, 200_001)).astype(np.float32)
    before = fastconv.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 5):
            fastconv.set_num_threads(threads)
            param = Parameter(values.copy())
            param.grad = gradient
            optimizer = kind([param], lr=0.1, weight_decay=0.01)
            optimizer.step()
            optimizer.step()
            found.append(param.data)
    finally:
        fastconv.set_num_threads(before)
    for data in found:
        np.testing.assert_array_equal(data, found[0])
