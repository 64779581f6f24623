"""Lists and dicts of layers: names, state, what lists and dicts do; and the walk over layers."""

import numpy as np
import pytest

from fastconv import layers
from tests._cases import torch_or_skip


def linear(seed, dtype=np.float64):
    return layers.Linear(3, 3, dtype=dtype, rng=seed)


class Walk(layers.Layer):
    """A user's layer over a list and a dict."""

    def __init__(self):
        self.steps = layers.ModuleList([linear(0), layers.Tanh(), linear(1)])
        self.heads = layers.ModuleDict({"one": linear(2), "two": linear(3)})

    def _forward(self, x):
        for step in self.steps:
            x = step(x)
        return self.heads["one"](x) - self.heads["two"](x), None

    def _backward(self, saved, grad_output, input_grad):
        gradient = self.heads["two"].backward(-grad_output) + self.heads["one"].backward(
            grad_output
        )
        for step in reversed(list(self.steps)):
            gradient = step.backward(gradient)
        return gradient


def test_what_is_in_containers_is_part_of_the_network():
    torch = torch_or_skip("names of layers in lists and dicts")

    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            steps = [torch.nn.Linear(3, 3), torch.nn.Tanh(), torch.nn.Linear(3, 3)]
            self.steps = torch.nn.ModuleList(steps)
            self.heads = torch.nn.ModuleDict({n: torch.nn.Linear(3, 3) for n in ("one", "two")})

    net, twin = Walk(), Twin()
    assert list(net.state_dict()) == list(twin.state_dict())
    assert [n for n, _ in net.named_layers()] == [n for n, _ in twin.named_modules()]
    assert layers.check_gradients(net, np.random.default_rng(0).standard_normal((2, 3))) < 1e-8
    assert not any(layer.training for layer in net.eval().layers())


def test_a_list_does_what_lists_do():
    one, two, three = (linear(seed) for seed in range(3))
    found = layers.ModuleList([one])
    assert found.append(two) is found
    assert found.extend([three, one]) is found
    assert list(found) == [one, two, three, one]
    assert (len(found), found[-1], found[1]) == (4, one, two)
    assert isinstance(found[1:3], layers.ModuleList)
    assert list(found[1:3]) == [two, three]
    found.insert(1, three)
    assert list(found) == [one, three, two, three, one]
    found[0] = two
    del found[3:]
    assert list(found) == [two, three, two]
    assert found.pop() is two
    assert found.pop(0) is two
    assert [name for name, _ in found.children()] == ["0"]
    assert three in found
    assert one not in found
    assert len(layers.ModuleList()) == 0
    with pytest.raises(IndexError):
        found[4]


def test_a_dict_does_what_dicts_do():
    one, two = linear(0), linear(1)
    found = layers.ModuleDict([("a", one)])
    found["b"] = two
    found.update({"a": two, "c": one})
    assert list(found) == list(found.keys()) == ["a", "b", "c"]
    assert list(found.values()) == [two, two, one]
    assert list(found.items()) == [("a", two), ("b", two), ("c", one)]
    assert "c" in found
    assert found.pop("c") is one
    assert "c" not in found
    del found["b"]
    assert (len(found), found["a"]) == (1, two)
    found.clear()
    assert len(found) == len(layers.ModuleDict()) == 0
    with pytest.raises(KeyError):
        found["a"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: layers.ModuleList([np.tanh]), TypeError, "layer '0' must be a Layer, got ufunc"),
        (lambda: layers.ModuleList([linear(0)]).append(None), TypeError, "layer '1' must be a"),
        (lambda: layers.ModuleList([linear(0)]).insert(0, 3), TypeError, "layer '0' must be a"),
        (lambda: layers.ModuleDict({"a": 1}), TypeError, "layer 'a' must be a Layer, got int"),
        (lambda: layers.ModuleDict({1: linear(0)}), TypeError, "name must be a str, got int"),
        (lambda: layers.ModuleDict().update({"a.b": linear(0)}), ValueError, "contain a dot"),
        (
            lambda: layers.ModuleList([layers.Tanh()])(np.ones(2)),
            NotImplementedError,
            "is not called",
        ),
        (lambda: layers.ModuleDict()(np.ones(2)), NotImplementedError, "is not called"),
    ],
)
def test_wrong_contents(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_wrong_layer_leaves_a_container_as_it_was():
    one = linear(0)
    found, named = layers.ModuleList([one]), layers.ModuleDict({"a": one})
    with pytest.raises(TypeError):
        found.extend([one, None])
    with pytest.raises(TypeError):
        named.update({"b": one, "c": None})
    assert list(found) == [one]
    assert list(named) == ["a"]


def test_the_names_of_layers():
    one = linear(0)
    net = layers.Sequential(one, layers.Sequential({"a": one, "b": layers.Tanh()}))
    assert [name for name, _ in net.named_layers()] == ["", "0", "1", "1.b"]
    every = ["", "0", "1", "1.a", "1.b"]
    assert [name for name, _ in net.named_layers(remove_duplicate=False)] == every
    assert [name for name, _ in net.named_layers("net")] == ["net", "net.0", "net.1", "net.1.b"]
    assert [layer for _, layer in net.named_layers()] == list(net.layers())


def test_apply_calls_children_first_each_once():
    one, tanh = linear(0), layers.Tanh()
    inner = layers.Sequential(one, tanh)
    net = layers.Sequential(tanh, inner, one)
    seen = []
    assert net.apply(seen.append) is net
    assert seen == [tanh, one, inner, net]
