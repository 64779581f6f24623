"""Hooks: what they are given, what they change, and how they are taken away."""

import copy
import pickle

import numpy as np
import pytest

from fastconv import layers
from tests._cases import torch_or_skip


def net(kinds=layers, **more):
    return kinds.Sequential(kinds.Linear(3, 4, **more), kinds.Tanh(), kinds.Linear(4, 2, **more))


def float_net():
    return net(dtype=np.float64, rng=0)


X = np.random.default_rng(0).standard_normal((5, 3))
RESIDUAL = np.random.default_rng(1).standard_normal((5, 2))


def listen(model, log):
    """Log all that hooks are given, by the layer's name."""
    for name, layer in model.named_layers():
        layer.register_forward_pre_hook(
            lambda layer, inputs, name=name: log.append(("before", name, *inputs))
        )
        layer.register_forward_hook(
            lambda layer, inputs, output, name=name: log.append(("after", name, *inputs, output))
        )
        layer.register_full_backward_hook(
            lambda layer, dx, dy, name=name: log.append(("back", name, *dx, *dy))
        )


def test_hooks_are_given_what_torchs_are():
    torch = torch_or_skip("the order and arguments of hooks")
    model, twin = float_net(), net(torch.nn).double()
    model.load_state_dict({name: array.numpy() for name, array in twin.state_dict().items()})
    ours, theirs = [], []
    listen(model, ours)
    twin.named_layers = twin.named_modules
    listen(twin, theirs)
    model(X)
    model.backward(RESIDUAL)
    twin(torch.tensor(X, requires_grad=True)).backward(torch.tensor(RESIDUAL))
    assert [entry[:2] for entry in ours] == [entry[:2] for entry in theirs]
    for one, other in zip(ours, theirs, strict=True):
        for mine, its in zip(one[2:], other[2:], strict=True):
            np.testing.assert_allclose(mine, its.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_hooks_change_inputs_outputs_and_gradients():
    model = float_net()
    plain = float_net()
    model[1].register_forward_pre_hook(lambda layer, inputs: inputs[0] * 2)
    model[1].register_forward_pre_hook(lambda layer, inputs: (inputs[0] + 1,))
    model[1].register_forward_hook(lambda layer, inputs, output: output * 3)
    model[1].register_full_backward_hook(lambda layer, dx, dy: dx[0] * 5)
    model[1].register_full_backward_hook(lambda layer, dx, dy: (dx[0] + 7,))
    hidden = np.tanh(plain[0](X) * 2 + 1)
    np.testing.assert_allclose(model(X), plain[2](hidden * 3), rtol=1e-12)
    plain[0](X)
    plain[2](hidden * 3)
    gradient = plain[2].backward(RESIDUAL) * (1 - hidden**2) * 5 + 7
    np.testing.assert_allclose(model.backward(RESIDUAL), plain[0].backward(gradient), rtol=1e-12)


def test_a_hook_is_taken_away():
    layer, log = layers.ReLU(), []
    first = layer.register_forward_hook(lambda *given: log.append(1))
    second = layer.register_forward_hook(lambda *given: log.append(2))
    layer(X)
    first.remove()
    first.remove()
    layer(X)
    assert (repr(first), repr(second)) == ("HookHandle(removed)", "HookHandle(active)")
    with second:
        layer(X)
    layer(X)
    assert log == [1, 2, 2, 2]


def test_a_hook_may_take_itself_away():
    layer, log = layers.ReLU(), []
    handle = layer.register_forward_hook(lambda *given: (log.append(1), handle.remove())[1])
    layer.register_forward_hook(lambda *given: log.append(2))
    layer(X)
    layer(X)
    assert log == [1, 2, 2]


def test_hooks_are_called_in_evaluation_mode():
    log = []
    layer = layers.ReLU().eval()
    layer.register_forward_hook(lambda *given: log.append(len(given)))
    layer(X)
    assert log == [3]


def test_without_an_input_gradient_a_hook_is_given_none():
    log = []
    layer = layers.Linear(3, 2, dtype=np.float64, rng=0)
    layer.register_full_backward_hook(lambda layer, dx, dy: log.append((dx, dy[0].shape)))
    layer(X)
    assert layer.backward(RESIDUAL, input_grad=False) is None
    assert log == [((None,), (5, 2))]


def test_layers_with_several_inputs_give_tuples():
    log = []
    layer = layers.Add()
    layer.register_forward_hook(lambda layer, inputs, output: log.append(len(inputs)))
    layer.register_full_backward_hook(lambda layer, dx, dy: tuple(g * 2 for g in dx))
    layer(X, X)
    one, two = layer.backward(np.ones_like(X))
    np.testing.assert_array_equal(one, np.full_like(X, 2))
    np.testing.assert_array_equal(two, one)
    assert log == [2]


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_have_no_hooks(how):
    log = []
    layer = layers.ReLU()
    layer.register_forward_hook(lambda *given: log.append(1))
    how(layer)(X)
    assert log == []
    layer(X)
    assert log == [1]


def test_a_hook_that_raises_leaves_no_call_behind():
    def fail(*given):
        raise ArithmeticError("failed")

    model = float_net()
    with model[2].register_forward_hook(fail), pytest.raises(ArithmeticError):
        model(X)
    with pytest.raises(RuntimeError, match="needs a forward pass"):
        model.backward(RESIDUAL)
    model(X)
    with model[0].register_full_backward_hook(fail), pytest.raises(ArithmeticError):
        model.backward(RESIDUAL)
    with pytest.raises(RuntimeError, match="needs a forward pass"):
        model.backward(RESIDUAL)


@pytest.mark.parametrize(
    "name", ["register_forward_pre_hook", "register_forward_hook", "register_full_backward_hook"]
)
def test_a_hook_is_a_function(name):
    with pytest.raises(TypeError, match="hook must be a function, got str"):
        getattr(layers.ReLU(), name)("print")
