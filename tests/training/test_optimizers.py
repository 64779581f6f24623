"""SGD and Adam against the written rules, and against torch.optim where torch is installed."""

import math

import numpy as np
import pytest

import fastconv
from fastconv.layers import Parameter
from fastconv.training import SGD, Adam
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
)


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


def adam_by_the_formula(w, grads, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0):
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
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


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("SGD", {"lr": 0.1, **s}) for s in SGD_SETTINGS] + [("Adam", s) for s in ADAM_SETTINGS],
    ids=str,
)
def test_same_as_torch_for_200_steps(kind, settings):
    torch = torch_or_skip("200 steps of the optimizers")
    params = parameters()
    twins = [torch.nn.Parameter(torch.from_numpy(param.data.copy())) for param in params]
    theirs = getattr(torch.optim, kind)(twins, **settings)
    ours = {"SGD": SGD, "Adam": Adam}[kind](params, **settings)
    skip = {(0, 1), (17, 0)}
    run(ours, 200, skip=skip)
    for step, grads in enumerate(gradients(200)):
        for index, (twin, grad) in enumerate(zip(twins, grads, strict=True)):
            twin.grad = None if (step, index) in skip else torch.from_numpy(grad)
        theirs.step()
    for param, twin in zip(params, twins, strict=True):
        np.testing.assert_allclose(param.data, twin.detach().numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("make", [SGD, Adam])
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


@pytest.mark.parametrize("make", [SGD, Adam])
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
            fresh = {"SGD": SGD, "Adam": Adam}[state["kind"]](first, lr=123.0)
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


@pytest.mark.parametrize("kind", [SGD, Adam])
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


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_gradient_of_another_size_is_refused(kind):
    param = Parameter(np.zeros((3, 4)))
    param.grad = np.zeros(11)
    text = r"params\[0\]: its grad has shape \(11,\) .* expected \(3, 4\)"
    with pytest.raises(ValueError, match=text):
        kind([param], lr=0.1).step()


@pytest.mark.parametrize("kind", [SGD, Adam])
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
