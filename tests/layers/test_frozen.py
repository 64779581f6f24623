"""Frozen parameters: no gradient is computed for them, and optimizers leave them."""

import copy
import pickle

import numpy as np
import pytest

from fastconv import functional as F
from fastconv import layers, training
from tests._cases import torch_or_skip
from tests._state import state_of


def build(nn, **more):
    """Return the same network of torch.nn or of fastconv.layers."""
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, **more),
        nn.Tanh(),
        nn.Conv2d(3, 4, 3, **more),
        nn.Flatten(),
        nn.Linear(16, 3, **more),
    )


def net():
    return build(layers, dtype=np.float64, rng=np.random.default_rng(0))


X = np.random.default_rng(1).standard_normal((2, 2, 6, 6))
RESIDUAL = np.random.default_rng(2).standard_normal((2, 3))

CHOICES = {
    "none": [],
    "the first": ["0.weight", "0.bias"],
    "the first two": ["0.weight", "0.bias", "2.weight", "2.bias"],
    "the last": ["4.weight", "4.bias"],
    "one in between": ["2.weight", "2.bias"],
    "all but a bias": ["0.weight", "0.bias", "2.weight", "4.weight", "4.bias"],
    "all": ["0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias"],
}


def freeze(model, names):
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name not in names
    return model


@pytest.mark.parametrize("input_grad", [True, False])
@pytest.mark.parametrize("names", CHOICES.values(), ids=CHOICES)
def test_the_others_get_the_bits_that_they_would_get_anyway(names, input_grad):
    model, twin = freeze(net(), names), net()
    np.testing.assert_array_equal(model(X), twin(X))
    gradient, expected = model.backward(RESIDUAL, input_grad=input_grad), twin.backward(RESIDUAL)
    if input_grad:
        np.testing.assert_array_equal(gradient, expected)
    else:
        assert gradient is None
    gradients = {name: p.grad for name, p in model.named_parameters()}
    for name, parameter in twin.named_parameters():
        if name in names:
            assert gradients[name] is None
        else:
            np.testing.assert_array_equal(gradients[name], parameter.grad)
    with pytest.raises(RuntimeError, match="needs a forward pass"):
        model.backward(RESIDUAL)


@pytest.mark.parametrize("names", CHOICES.values(), ids=CHOICES)
def test_optimizers_step_as_in_torch(names):
    torch = torch_or_skip("steps of frozen parameters")
    model, twin = freeze(net(), names), freeze(build(torch.nn).double(), names)
    for name, parameter in twin.named_parameters():
        parameter.requires_grad_(name not in names)
    model.load_state_dict({name: array.numpy() for name, array in twin.state_dict().items()})
    kept = {name: p.data.copy() for name, p in model.named_parameters()}
    ours = training.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.01)
    theirs = torch.optim.SGD(twin.parameters(), 0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(3):
        model(X)
        model.backward(RESIDUAL, input_grad=False)
        ours.step()
        ours.zero_grad()
        output = twin(torch.tensor(X))
        if output.requires_grad:
            output.backward(torch.tensor(RESIDUAL))
        theirs.step()
        theirs.zero_grad()
    state = twin.state_dict()
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(parameter.data, state[name], rtol=1e-12, atol=1e-14)
        assert np.array_equal(parameter.data, kept[name]) == (name in names)


@pytest.mark.parametrize("kind", [training.SGD, training.Adam])
def test_an_optimizer_leaves_a_frozen_parameter_that_has_a_gradient(kind):
    one, other = (layers.Parameter(np.ones(3)) for _ in range(2))
    optimizer = kind([one, other], 0.1)
    for parameter in (one, other):
        parameter.add_grad(np.ones(3))
    one.requires_grad = False
    optimizer.step()
    np.testing.assert_array_equal(one.data, np.ones(3))
    assert (other.data < 1).all()
    assert optimizer.state_dict()["0.steps"] == 0


def test_a_frozen_parameter_takes_no_gradient():
    parameter = layers.Parameter(np.zeros(2), "bias", requires_grad=False)
    parameter.add_grad(np.ones(2))
    assert parameter.grad is None
    assert "requires_grad=False" in repr(parameter)
    assert "requires_grad" not in repr(layers.Parameter(np.zeros(2)))


def test_all_of_a_layer_is_frozen_and_thawed():
    model = net()
    assert model[2].requires_grad_(False) is model[2]
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert frozen == ["2.weight", "2.bias"]
    assert list(model.state_dict()) == list(net().state_dict())
    model.requires_grad_()
    assert all(p.requires_grad for p in model.parameters())


def test_work_that_nobody_needs_is_not_done(monkeypatch):
    wanted, backward = [], F.conv2d_backward

    def spy(*arguments, output_mask, **more):
        wanted.append(output_mask)
        return backward(*arguments, output_mask=output_mask, **more)

    monkeypatch.setattr(F, "conv2d_backward", spy)
    for names, input_grad, masks in [
        (CHOICES["none"], False, [(True, True, True), (False, True, True)]),
        (CHOICES["the first"], False, [(False, True, True)]),
        (CHOICES["the first"], True, [(True, True, True), (True, False, False)]),
        (CHOICES["the first two"], False, []),
        (CHOICES["one in between"], False, [(True, False, False), (False, True, True)]),
        (CHOICES["all but a bias"], False, [(False, False, True)]),
        (CHOICES["all"], False, []),
    ]:
        wanted.clear()
        model = freeze(net(), names)
        model(X)
        model.backward(RESIDUAL, input_grad=input_grad)
        assert wanted == masks


def test_copies_and_checks_know_what_is_frozen():
    model = freeze(net(), CHOICES["one in between"])
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert [p.requires_grad for p in twin.parameters()] == [
            True,
            True,
            False,
            False,
            True,
            True,
        ]
    before = state_of(model)
    assert layers.check_gradients(model, X) < 1e-8
    assert state_of(model) == before
