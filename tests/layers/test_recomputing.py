"""What backward computes again: the same bits as of what is kept, and less memory."""

import copy

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import layers, models, training
from fastconv.engine.base import memory
from fastconv.layers import _calls, _convolution
from tests.layers.test_fusion import IMAGES, NETS, block, bounded, chain, conv, norm, normal


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """Let small convolutions take part, too."""
    monkeypatch.setattr(_convolution, "LEAST_PRODUCTS", 0)


@pytest.fixture
def again(monkeypatch):
    """Count what is computed again."""
    counts = []
    output = F.batch_norm_relu_output

    def counted(x, *args, **more):
        counts.append(x.shape)
        return output(x, *args, **more)

    monkeypatch.setattr(F, "batch_norm_relu_output", counted)
    return counts


def gradients(net, x, grad_output):
    net.zero_grad()
    output = net(x)
    return [output, net.backward(grad_output), *(p.grad for p in net.parameters())]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("build", NETS)
def test_bits_are_those_of_what_is_kept(build, dtype, again):
    net = build(dtype)
    other = copy.deepcopy(net).recompute_(False)
    x, grad_output = normal(IMAGES, 1, dtype), normal(IMAGES, 2, dtype)
    expected = gradients(other, x, grad_output)
    assert again == []
    for one, two in zip(gradients(net, x, grad_output), expected, strict=True):
        np.testing.assert_array_equal(one, two)
    inside = sum(isinstance(layer, layers.Conv2d) for layer in net.layers())
    assert len(again) == {chain: 1, block: 1, bounded: 2}.get(build, len(again))
    assert len(again) < inside or not inside
    # Nothing is left for whoever comes next.
    assert _calls.thread.state.handed is None


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2", "vgg11_bn", "unet"])
def test_whole_networks_train_with_the_same_bits(name, again):
    x = normal((2, 3, 32, 32), 0, np.float32)

    def trained(recompute, threads):
        net = getattr(models, name)(rng=0).recompute_(recompute)
        sgd = training.SGD(net.parameters(), 0.01, 0.9)
        with fastconv.num_threads(threads):
            for _ in range(2):
                net.zero_grad()
                y = net(x)
                net.backward(y / np.float32(y.size), input_grad=False)
                sgd.step()
        return net.state_dict()

    kept = trained(False, 1)
    assert again == []
    for threads in (1, 3):
        found = trained(True, threads)
        assert again
        for key, value in kept.items():
            np.testing.assert_array_equal(found[key], value)


def test_less_is_kept():
    """Two of four arrays of each size remain: the inputs of the norms."""

    def kept(recompute):
        net = layers.Sequential(
            *(part for i in range(6) for part in (conv(i), norm(i), layers.ReLU(inplace=True)))
        )
        net.recompute_(recompute)
        x = normal((8, 4, 64, 64))
        net(x)
        before = memory.waiting()
        net.eval()
        return (memory.waiting() - before) / x.nbytes

    # The input is the caller's own, and the last output was given up by him.
    assert kept(False) == pytest.approx(11, abs=0.2)
    assert kept(True) == pytest.approx(6, abs=0.2)


class Spoils(layers.Layer):
    """A user's layer that writes over what layers within it gave, and goes on with it."""

    def __init__(self):
        self.first = layers.Sequential(norm(1), layers.ReLU())
        self.second = conv(2)

    def _forward(self, x):
        y = self.first(x)
        y *= 2
        return self.second(y), None

    def _backward(self, saved, grad_output, input_grad):
        return self.first.backward(2 * self.second.backward(grad_output))


class Doubling(layers.Conv2d):
    """A convolution that writes over its input."""

    def _forward(self, x):
        x *= 2
        return super()._forward(x)

    def _backward(self, saved, grad_output, input_grad):
        return 2 * super()._backward(saved, grad_output, input_grad)


def doubling():
    layer = Doubling(4, 4, 3, padding=1, rng=3, dtype=np.float64)
    return layers.Sequential(norm(1), layers.ReLU(), layer)


def doubled_by_a_hook():
    net = layers.Sequential(norm(1), layers.ReLU(), conv(2))

    def double(layer, inputs):
        inputs[0][...] *= 2

    net[2].register_forward_pre_hook(double)
    net[2].register_full_backward_hook(lambda layer, dx, dy: 2 * dx[0])
    return net


@pytest.mark.parametrize("build", [Spoils, doubling, doubled_by_a_hook])
def test_what_is_written_over_in_between_is_kept(build, again):
    net = build()
    x, grad_output = normal(IMAGES), normal(IMAGES, 1)
    first, second = layers.Sequential(norm(1), layers.ReLU()), conv(3 if build is doubling else 2)
    np.testing.assert_array_equal(net(x), second(first(x) * 2))
    expected = first.backward(2 * second.backward(grad_output))
    np.testing.assert_array_equal(net.backward(grad_output), expected)
    weights = [p for p in net.parameters() if p.data.ndim == 4]
    np.testing.assert_array_equal(weights[0].grad, second.weight.grad)
    assert again == []


def test_in_place_layers_and_errors_leave_no_recipe(again):
    net = layers.Sequential(norm(1), layers.ReLU(), layers.LeakyReLU(0.1, inplace=True), conv(2))
    other = copy.deepcopy(net).recompute_(False)
    x, grad_output = normal(IMAGES), normal(IMAGES, 1)
    for one, two in zip(
        gradients(net, x, grad_output), gradients(other, x, grad_output), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    assert again == []
    wrong = layers.Sequential(norm(1), layers.ReLU(), layers.Conv2d(5, 4, 3, dtype=np.float64))
    with pytest.raises(ValueError, match="channels"):
        wrong(x)
    layer = conv(1)
    layer.backward(layer(x))
    assert again == []


def test_a_frozen_norm_is_computed_again(again):
    net = chain(np.float64)
    net[1].requires_grad_(False)
    other = copy.deepcopy(net).recompute_(False)
    x, grad_output = normal(IMAGES), normal(IMAGES, 1)
    for one, two in zip(
        gradients(net, x, grad_output), gradients(other, x, grad_output), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    assert len(again) == 1


def test_what_is_cheap_to_convolve_is_kept(again, monkeypatch):
    monkeypatch.setattr(_convolution, "LEAST_PRODUCTS", 128)
    wide = layers.Conv2d(4, 15, 3, padding=1, rng=0, dtype=np.float64)
    halved = layers.Conv2d(4, 56, 3, stride=2, padding=1, rng=0, dtype=np.float64)
    for last, count in ((conv(2), 0), (wide, 1), (halved, 0)):
        net = layers.Sequential(norm(1), layers.ReLU(), last)
        net.backward(net(normal(IMAGES)))
        assert len(again) == count
        again.clear()


def test_nothing_is_computed_again_in_evaluation(again):
    net = chain(np.float64).eval()
    net(normal(IMAGES))
    assert again == []
    assert _calls.thread.state.handed is None


def test_memory_stays_flat_over_many_steps():
    net = layers.Sequential(
        *chain(np.float32), layers.Flatten(), layers.Linear(4 * 24 * 24, 4, rng=0)
    )
    sgd, loss = training.SGD(net.parameters(), 0.01, 0.9), layers.CrossEntropyLoss()
    x, target = normal((8, 4, 24, 24), 0, np.float32), np.arange(8) % 4

    def steps(count):
        for _ in range(count):
            net.zero_grad()
            loss(net(x), target)
            net.backward(loss.backward(), input_grad=False)
            sgd.step()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    pytest.importorskip("resource", reason="no /proc here")
    steps(20)
    waiting, before = memory.waiting(), steps(1)
    assert steps(1000) - before < 2**22
    assert memory.waiting() == waiting
