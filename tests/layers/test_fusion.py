"""Batch norm, residual and ReLU or ReLU6 as one: the same results, and where not."""

import copy
import pickle

import numpy as np
import pytest

from fastconv import functional as F
from fastconv import layers

IMAGES = (3, 4, 7, 6)


def normal(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def norm(seed=0, dtype=np.float64, channels=4):
    layer = layers.BatchNorm2d(channels, dtype=dtype)
    layer.weight.data[...] = normal(channels, seed, dtype)
    layer.bias.data[...] = normal(channels, seed + 1, dtype)
    return layer


def conv(seed, dtype=np.float64):
    return layers.Conv2d(4, 4, 3, padding=1, rng=seed, dtype=dtype)


def chain(dtype):
    return layers.Sequential(
        conv(0, dtype), norm(1, dtype), layers.ReLU(inplace=True), conv(2, dtype), norm(3, dtype),
        layers.Tanh(), norm(4, dtype), layers.ReLU(),
    )  # fmt: skip


def block(dtype):
    """Return a residual block with a norm in its shortcut, too."""
    return layers.Graph(
        {
            "conv1": conv(0, dtype),
            "bn1": norm(1, dtype),
            "relu1": layers.ReLU(inplace=True),
            "conv2": conv(2, dtype),
            "bn2": norm(3, dtype),
            "down": (conv(4, dtype), "input"),
            "bn3": norm(5, dtype),
            "add": (layers.Add(), "bn2", "bn3"),
            "relu2": layers.ReLU(inplace=True),
        }
    )


def straight(dtype):
    """Return a block whose shortcut is the input of the norm itself; the norm comes second."""
    return layers.Graph(
        {
            "bn": norm(1, dtype),
            "add": (layers.Add(), "input", "bn"),
            "relu": layers.ReLU(),
        }
    )


def bounded(dtype):
    """Return sequences within each other, and ReLU6, in which some outputs are above 6."""

    def part(seed):
        wide = norm(seed, dtype)
        wide.weight.data[...] *= 8
        return layers.Sequential(conv(seed + 1, dtype), wide, layers.ReLU6(inplace=True))

    residual = layers.Graph(
        {"n": norm(7, dtype), "add": (layers.Add(), "n", "input"), "cut": layers.ReLU6()}
    )
    return layers.Sequential(part(0), layers.Sequential(part(2), conv(9, dtype)), residual)


def nested(dtype):
    first = layers.Sequential(block(dtype), chain(dtype))
    return layers.Graph({"a": first, "b": (straight(dtype), "a"), "c": (layers.Add(), "a", "b")})


# Each network, and how many kernels have a ReLU in them, how many a residual.
NETS = {chain: (2, 0), block: (2, 1), straight: (1, 1), bounded: (3, 1), nested: (5, 2)}


@pytest.fixture
def kernels(monkeypatch):
    """Count what is called."""
    counts = {"forward": 0, "residual": 0, "backward": 0}
    forward, backward = F.batch_norm_relu, F.batch_norm_relu_backward

    def counted(*args, residual=None, **more):
        counts["forward"] += 1
        counts["residual"] += residual is not None
        return forward(*args, residual=residual, **more)

    def counted_backward(*args, **more):
        counts["backward"] += 1
        return backward(*args, **more)

    monkeypatch.setattr(F, "batch_norm_relu", counted)
    monkeypatch.setattr(F, "batch_norm_relu_backward", counted_backward)
    return counts


def watched(net):
    """Return a copy of a network in which nothing is one, since hooks look at each layer."""
    twin = copy.deepcopy(net)
    for layer in twin.layers():
        layer.register_forward_hook(lambda *_: None)
    return twin


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("build", NETS)
def test_results_are_those_of_single_layers(build, dtype, kernels):
    net = build(dtype)
    twin = watched(net)
    x, grad_output = normal(IMAGES, 8, dtype), normal(IMAGES, 9, dtype)
    close = 100 * np.finfo(dtype).eps
    for _ in range(2):
        kernels.update(dict.fromkeys(kernels, 0))
        output = net(x)
        gradient = net.backward(grad_output)
        relus, residuals = NETS[build]
        assert kernels == {"forward": relus, "residual": residuals, "backward": relus}
        np.testing.assert_allclose(output, twin(x), rtol=close, atol=close)
        expected = twin.backward(grad_output)
        np.testing.assert_allclose(gradient, expected, rtol=close, atol=close * abs(expected).max())
        assert kernels["forward"] == relus
        for one, other in zip(net.parameters(), twin.parameters(), strict=True):
            scale = close * abs(other.grad).max() + close
            np.testing.assert_allclose(one.grad, other.grad, rtol=close, atol=scale)
        for one, other in zip(net.buffers(), twin.buffers(), strict=True):
            np.testing.assert_allclose(one, other, rtol=close)
    kernels["forward"] = 0
    np.testing.assert_allclose(net.eval()(x), twin.eval()(x), rtol=close, atol=close)
    assert kernels["forward"] == relus
    assert not net._calls


@pytest.mark.parametrize("build", [chain, block, straight, bounded])
def test_gradients_are_right(build):
    assert layers.check_gradients(build(np.float64), normal((2, 4, 3, 3), 3)) < 1e-6


@pytest.mark.parametrize("build", NETS)
def test_states_copies_and_pickles_are_as_before(build):
    net = build(np.float64)
    twin, x = watched(net), normal(IMAGES)
    assert list(net.state_dict()) == list(twin.state_dict())
    assert [p.name for p in net.parameters()] == [p.name for p in twin.parameters()]
    net(x)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        other.zero_grad()
        output = net(x)
        np.testing.assert_array_equal(other(x), output)
        net.zero_grad()
        np.testing.assert_array_equal(other.backward(output), net.backward(output))


class MyReLU(layers.ReLU):
    """A user's own."""


def test_what_is_no_pattern_stays_single(kernels):
    shared = norm(1)
    nets = [
        layers.Sequential(norm(), layers.Hardtanh(0, 6)),
        layers.Sequential(norm(), MyReLU()),
        layers.Sequential(norm(), layers.Identity(), layers.ReLU()),
        # Others need what the norm gives.
        layers.Graph({"n": norm(), "r": layers.ReLU(), "a": (layers.Add(), "n", "r")}),
        layers.Graph({"n": norm(), "r": layers.ReLU()}, output=("n", "r")),
        layers.Graph(
            {"n": norm(), "a": (layers.Add(), "n", "n"), "r": layers.ReLU()},
        ),
        layers.Graph(
            {"n": norm(), "a": (layers.Add(), "n", "input"), "r": layers.ReLU()}, output=("a", "r")
        ),
        layers.Graph({"n": norm(), "a": (layers.Add(), "n", "input", "input"), "r": layers.ReLU()}),
        # Its calls would change their order.
        layers.Graph({"n": shared, "r": layers.ReLU(), "m": (shared, "r")}),
    ]
    x = normal(IMAGES)
    for net in nets:
        net.backward(net(x))
    assert kernels["forward"] == 0


def test_hooks_look_at_each_layer(kernels):
    net, x = block(np.float64), normal(IMAGES)
    seen = []
    handles = [net["bn2"].register_forward_hook(lambda *_: seen.append("bn2"))]
    handles.append(net["relu2"].register_full_backward_hook(lambda *_: seen.append("relu2")))
    net.backward(net(x))
    assert seen == ["bn2", "relu2"]
    # The other norm is one with its ReLU all the same.
    assert kernels == {"forward": 1, "residual": 0, "backward": 1}
    # A hook that comes between forward and backward is too late for that pass.
    for handle in handles:
        handle.remove()
    output = net(x)
    assert kernels["forward"] == 3
    with net["bn2"].register_forward_hook(lambda *_: None):
        net.backward(output)
    assert kernels["backward"] == 3


def test_a_norm_in_another_mode_stays_single(kernels):
    for net in (chain(np.float64), block(np.float64)):
        kept = layers.BatchNorm2d
        for layer in net.layers():
            if isinstance(layer, kept):
                layer.eval()
        before = [buffer.copy() for buffer in net.buffers()]
        output = net(normal(IMAGES))
        assert kernels["forward"] == 0
        for one, other in zip(net.buffers(), before, strict=True):
            np.testing.assert_array_equal(one, other)
        # It saved nothing for backward, as ever.
        with pytest.raises(RuntimeError, match=r"BatchNorm2d\.backward needs a forward pass"):
            net.backward(output)


def test_one_relu_at_several_places(kernels):
    relu = layers.ReLU()
    parts = {"a": norm(1), "r": relu, "b": conv(2), "s": relu, "c": norm(3), "t": relu}
    x, y = normal(IMAGES), normal(IMAGES, 1)
    for net in (layers.Sequential(parts), layers.Graph(parts)):
        twin = watched(net)
        net.zero_grad()
        np.testing.assert_allclose(net(x), twin(x), rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(net.backward(y), twin.backward(y), rtol=1e-12, atol=1e-12)
    assert kernels["forward"] == kernels["backward"] == 4


def test_one_norm_at_several_places_of_a_sequence(kernels):
    shared = norm(1)
    net = layers.Sequential(
        shared, layers.ReLU(), conv(2), shared, layers.Tanh(), shared, layers.ReLU()
    )
    twin, x, y = watched(net), normal(IMAGES), normal(IMAGES, 1)
    np.testing.assert_allclose(net(x), twin(x), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(net.backward(y), twin.backward(y), rtol=1e-11, atol=1e-11)
    assert kernels["forward"] == 2
    for one, other in zip(net.buffers(), twin.buffers(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_frozen_layers_take_no_gradients(kernels):
    for build in (chain, block):
        net, x = build(np.float64), normal(IMAGES)
        twin = watched(net)
        for each in (net, twin):
            for name, parameter in each.named_parameters():
                parameter.requires_grad = not name.startswith(("0", "1", "conv1", "bn1", "bn2"))
            y = each(x)
            assert each.backward(y, input_grad=False) is None
        for one, other in zip(net.parameters(), twin.parameters(), strict=True):
            assert (one.grad is None) == (other.grad is None) == (not one.requires_grad)
            if one.requires_grad:
                np.testing.assert_allclose(one.grad, other.grad, rtol=1e-10, atol=1e-12)


def test_outputs_without_a_gradient_leave_nothing_behind():
    net = layers.Graph(
        {"n": norm(), "r": layers.ReLU(), "m": (norm(2), "input"), "s": layers.ReLU()},
        output=("r", "s"),
    )
    x = normal(IMAGES)
    for _ in range(2):
        _, second = net(x)
        net.backward((None, second))
    assert net["n"].weight.grad is None
    assert net["m"].weight.grad is not None
    with pytest.raises(RuntimeError, match=r"Graph\.backward needs"):
        net.backward((None, second))


@pytest.mark.parametrize("build", [chain, block, straight])
def test_a_residual_that_is_refused_may_be_corrected(build):
    net, twin = build(np.float64), build(np.float64)
    x = normal(IMAGES)
    output = net(x)
    twin(x)
    with pytest.raises(ValueError, match="grad_output"):
        net.backward(output[:, :2])
    np.testing.assert_array_equal(net.backward(output), twin.backward(output))
    with pytest.raises(ValueError, match="C = 4"):
        layers.Sequential(norm(), layers.ReLU())(x[:, :3])


def test_an_error_behind_them_leaves_nothing_to_undo():
    class Broken(layers.Layer):
        def _forward(self, x):
            return x, None

        def _backward(self, saved, grad_output, input_grad):
            raise ValueError("broken")

    x = normal(IMAGES)
    for net in (
        layers.Sequential(Broken(), norm(), layers.ReLU()),
        layers.Graph({"b": Broken(), "n": norm(), "r": layers.ReLU()}),
    ):
        y = net(x)
        with pytest.raises(ValueError, match="broken"):
            net.backward(y)
        # The norm has its gradients: a second time they would count twice.
        with pytest.raises(RuntimeError, match="needs a forward pass"):
            net.backward(y)


class Held:
    """Keeps what the norms of a network read, so that nothing takes its place, or counts them."""

    def __init__(self, net, monkeypatch, keeps):
        self.places, self.kept = [], []
        for name in ("batch_norm_backward", "batch_norm_relu_backward"):
            monkeypatch.setattr(F, name, self.watched(getattr(F, name)))
        if keeps:
            for layer in net.layers():
                if not isinstance(layer, layers.BatchNorm2d):
                    continue
                for name in ("_forward", "_forward_relu"):
                    monkeypatch.setattr(layer, name, self.keeping(getattr(layer, name)))

    def watched(self, function):
        def call(dy, x, *args, out, **more):
            output = more.get("output")
            taken = (x, None, None, output)[: len(out)]
            pairs = zip(out, taken, strict=True)
            self.places += [place is array for place, array in pairs if place is not None]
            return function(dy, x, *args, out=out, **more)

        return call

    def keeping(self, method):
        def call(x, *args):
            output, saved = method(x, *args)
            self.kept += [(array, array.copy()) for array in (x, output)]
            return output, saved

        return call


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("build", "count"), [(chain, 2), (block, 3), (bounded, 3)])
def test_gradients_take_the_place_of_what_nobody_needs(build, count, dtype, monkeypatch):
    # Tanh needs its output, and the output of the block is the caller's.
    x, dy = normal(IMAGES, 1, dtype), normal(IMAGES, 2, dtype)
    found = []
    for keeps in (False, True):
        net = build(dtype)
        with monkeypatch.context() as patch:
            held = Held(net, patch, keeps)
            output = net(x)
            before = output.copy()
            gradient = net.backward(dy)
        assert held.places == ([] if keeps else [True] * count)
        for array, copied in held.kept:
            np.testing.assert_array_equal(array, copied)
        # What the caller has stays as it was.
        np.testing.assert_array_equal(output, before)
        found.append([output, gradient, *(p.grad for p in net.parameters())])
    np.testing.assert_array_equal(x, normal(IMAGES, 1, dtype))
    np.testing.assert_array_equal(dy, normal(IMAGES, 2, dtype))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kept", [False, True])
def test_what_hooks_keep_is_not_written_over(kept):
    net, seen = block(np.float64), []
    conv2 = dict(net.named_layers())["conv2"]
    conv2.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    output = net(normal(IMAGES, 1))
    before = seen[0].copy(), output.copy()
    if not kept:
        output = before[1]
    net.backward(normal(IMAGES, 2))
    np.testing.assert_array_equal(seen[0], before[0])
    np.testing.assert_array_equal(output, before[1])
