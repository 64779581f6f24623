"""Gradients that meet at the input of a layer: the same bits, and no hook sees their sum."""

import numpy as np
import pytest

from fastconv import functional as F
from fastconv import layers


class Twice(layers.Conv2d):
    """A convolution whose gradients are twice what they should be."""

    def _backward(self, saved, grad_output, input_grad):
        return super()._backward(saved, 2 * grad_output, input_grad)


class Alone(layers.Layer):
    """A layer of the user's that returns the gradient of its only input as a tuple, or none."""

    def __init__(self, learns):
        self.learns = learns

    def _forward(self, x):
        return 3 * x, None

    def _backward(self, saved, grad_output, input_grad):
        return (3 * grad_output,) if self.learns else None


def two_ways(first, dtype):
    """Return a graph whose input goes into a layer, two convolutions and a sum."""

    def conv(seed):
        return layers.Conv2d(4, 4, 3, padding=1, rng=seed, dtype=dtype)

    return layers.Graph(
        {
            "first": (first, "input"),
            "second": (conv(2), "input"),
            "third": (layers.Sequential(conv(3), layers.Tanh()), "input"),
            "add": (layers.Add(), "first", "second", "third", "input"),
        }
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_are_added_on_their_way_into_memory(dtype, monkeypatch):
    x, dy = np.random.default_rng(0).standard_normal((2, 2, 4, 9, 8)).astype(dtype)
    sums, add = [], F.add

    def counted(*args, **more):
        sums.append(args)
        return add(*args, **more)

    def gradients():
        net = two_ways(layers.Conv2d(4, 4, 1, rng=1, dtype=dtype), dtype)
        net(x)
        sums.clear()
        return [net.backward(dy), *(p.grad for p in net.parameters())]

    monkeypatch.setattr(F, "add", counted)
    found = gradients()
    assert sums == []
    for kind in (layers.Conv2d, layers.Sequential):
        monkeypatch.setattr(kind, "_backward_onto", layers.Layer._backward_onto)
    singly = gradients()
    assert len(sums) == 3
    for one, other in zip(found, singly, strict=True):
        np.testing.assert_array_equal(one, other)


def test_hooks_see_the_gradient_of_their_own_layer():
    x, dy = np.random.default_rng(0).standard_normal((2, 2, 4, 9, 8))
    plain, net = (
        two_ways(layers.Conv2d(4, 4, 1, rng=1, dtype=np.float64), np.float64) for _ in "12"
    )
    seen = []
    for name, layer in net.named_layers():
        if name in ("first", "third"):
            layer.register_full_backward_hook(
                lambda layer, dx, dy: seen.append((layer, dx[0].copy()))
            )
    for each in (plain, net):
        each(x)
    np.testing.assert_array_equal(net.backward(dy), plain.backward(dy))
    for layer, gradient in seen[:]:
        layer(x)
        np.testing.assert_array_equal(layer.backward(dy), gradient)


def test_a_hook_may_change_the_gradient_of_its_layer():
    x, dy = np.random.default_rng(0).standard_normal((2, 2, 4, 9, 8))
    net = two_ways(layers.Conv2d(4, 4, 1, rng=1, dtype=np.float64), np.float64)
    net(x)
    expected = net.backward(dy)
    first = dict(net.named_layers())["first"]
    first(x)
    expected = expected - first.backward(dy)
    first.register_full_backward_hook(lambda layer, dx, dy: np.zeros_like(dx[0]))
    net(x)
    np.testing.assert_allclose(net.backward(dy), expected, rtol=0, atol=1e-13)


def test_a_layer_with_a_backward_of_its_own_is_asked():
    x, dy = np.random.default_rng(0).standard_normal((2, 2, 4, 9, 8))
    plain, twice = (
        two_ways(kind(4, 4, 1, rng=1, dtype=np.float64), np.float64)
        for kind in (layers.Conv2d, Twice)
    )
    single = layers.Conv2d(4, 4, 1, rng=1, dtype=np.float64)
    for each in (plain, twice, single):
        each(x)
    expected = plain.backward(dy) + single.backward(dy)
    np.testing.assert_allclose(twice.backward(dy), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("learns", [True, False])
def test_layers_of_users_may_return_a_tuple_or_nothing(learns):
    x, dy = np.random.default_rng(0).standard_normal((2, 2, 4, 9, 8))
    net = layers.Graph({"own": Alone(learns), "add": (layers.Add(), "own", "input")})
    net(x)
    np.testing.assert_array_equal(net.backward(dy), dy + 3 * dy if learns else dy)
