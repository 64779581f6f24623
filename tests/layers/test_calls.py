"""What a forward pass leaves for backward: calls within calls, memory, failures, threads."""

import gc
import threading
import weakref
from dataclasses import dataclass

import numpy as np
import pytest

from fastconv import layers

ROWS = (3, 4)


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def linear(seed):
    return layers.Linear(4, 4, dtype=np.float64, rng=seed)


def gradients(layer):
    return [p.grad for p in layer.parameters()]


def assert_same(arrays, others):
    for one, other in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(one, other)


# Layers made by a user.


class Recurrent(layers.Layer):
    """h = tanh(x + step(h)), as often as `times` says: the same two layers each time."""

    def __init__(self, times):
        self.step, self.act, self.times = linear(5), layers.Tanh(), times

    def _forward(self, x):
        h = np.zeros_like(x)
        for _ in range(self.times):
            h = self.act(x + self.step(h))
        return h, None

    def _backward(self, saved, grad_output, input_grad):
        total = np.zeros_like(grad_output)
        for _ in range(self.times):
            grad_output = self.act.backward(grad_output)
            total += grad_output
            grad_output = self.step.backward(grad_output)
        return total


class Twins(layers.Layer):
    """The difference of what one network makes of a row and of the row turned round."""

    def __init__(self, body):
        self.body = body

    def _forward(self, x):
        return self.body(x) - self.body(x[:, ::-1].copy()), None

    def _backward(self, saved, grad_output, input_grad):
        turned = self.body.backward(-grad_output)
        return self.body.backward(grad_output) + turned[:, ::-1]


class Branches(layers.Layer):
    """A sum of two layers, which need not be undone in reverse, since they are not the same."""

    def __init__(self):
        self.one, self.two = linear(6), layers.Sequential(linear(7), layers.Tanh())

    def _forward(self, x):
        return self.one(x) + self.two(x), None

    def _backward(self, saved, grad_output, input_grad):
        return self.one.backward(grad_output) + self.two.backward(grad_output)


class Checkpointed(layers.Layer):
    """Saves the input of its body alone, which backward calls again."""

    def __init__(self, body):
        self.body = body

    def _forward(self, x):
        self.body.eval()
        output = self.body(x)
        self.body.train()
        return output, x

    def _backward(self, saved, grad_output, input_grad):
        self.body(saved)
        return self.body.backward(grad_output, input_grad=input_grad)


class Recursive(layers.Layer):
    """tanh(2 tanh(2 x)), by a call of itself."""

    def __init__(self):
        self.inner = True

    def _forward(self, x):
        inner, self.inner = self.inner, False
        output = np.tanh(2 * (self(x) if inner else x))
        self.inner = inner
        return output, (inner, output)

    def _backward(self, saved, grad_output, input_grad):
        inner, output = saved
        gradient = 2 * grad_output * (1 - output**2)
        return self.backward(gradient) if inner else gradient


def shared_sequence():
    body = layers.Sequential(linear(0), layers.Tanh())
    return layers.Sequential(body, layers.LeakyReLU(), body)


def part_of_a_shared_sequence():
    one, act = linear(0), layers.Tanh()
    body = layers.Sequential(one, act, linear(1))
    return layers.Sequential(one, body, act, layers.Sequential(act, body), one)


COMPOSITES = {
    "sequence": shared_sequence,
    "part of a sequence": part_of_a_shared_sequence,
    "recurrent": lambda: Recurrent(3),
    "recurrent, twice": lambda: layers.Sequential(*[Recurrent(2)] * 2),
    "twins": lambda: Twins(shared_sequence()),
    "twins of twins": lambda: Twins(Twins(Recurrent(2))),
    "branches": Branches,
    "branches, twice": lambda: layers.Sequential(*[Branches()] * 2),
    "checkpointed": lambda: Checkpointed(part_of_a_shared_sequence()),
    "checkpointed, twice": lambda: layers.Sequential(*[Checkpointed(Recurrent(2))] * 2),
    "recursive": Recursive,
    "recursive, twice": lambda: layers.Sequential(*[Recursive()] * 2),
}


@pytest.mark.parametrize("build", COMPOSITES.values(), ids=COMPOSITES)
def test_composites_have_right_gradients(build):
    assert layers.check_gradients(build(), normal(ROWS, 1)) < 1e-8


@pytest.mark.parametrize("build", COMPOSITES.values(), ids=COMPOSITES)
def test_one_backward_for_each_forward(build):
    net, x = build(), normal(ROWS)
    net(x)
    net.backward(x)
    for layer in net.layers():
        with pytest.raises(RuntimeError, match="needs a forward pass"):
            layer.backward(x)


def test_layers_need_not_be_hashable():
    @dataclass
    class Scale(layers.Layer):
        factor: float

        def _forward(self, x):
            return x**2 * self.factor, x

        def _backward(self, saved, grad_output, input_grad):
            return 2 * saved * self.factor * grad_output

    # Equal, but not the same.
    one, two = Scale(0.5), Scale(0.5)
    net = layers.Sequential(one, two, one)
    assert layers.check_gradients(net, normal(ROWS, 1)) < 1e-8
    assert [part is layer for part, layer in zip(net.layers(), (net, one, two), strict=True)]


# What a forward pass leaves.


@pytest.mark.parametrize("build", COMPOSITES.values(), ids=COMPOSITES)
def test_backward_undoes_the_last_forward_alone(build):
    net, twin, x, residual = build(), build(), normal(ROWS, 1), normal(ROWS, 2)
    for seed in range(3, 6):
        net(normal(ROWS, seed))
    np.testing.assert_array_equal(net(x), twin(x))
    np.testing.assert_array_equal(net.backward(residual), twin.backward(residual))
    assert_same(gradients(net), gradients(twin))


class Watched(layers.Layer):
    """The identity; it saves an array of its own, and remembers which."""

    def __init__(self):
        self.saved = []

    def _forward(self, x):
        array = np.ones(3)
        self.saved.append(weakref.ref(array))
        return x, array

    def _backward(self, saved, grad_output, input_grad):
        return grad_output

    def alive(self):
        return sum(reference() is not None for reference in self.saved)


@pytest.fixture
def _no_collector():
    """Keep what is in a circle of references from being found."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collector")
def test_forward_passes_do_not_pile_up_memory():
    watched, x = Watched(), np.ones(2)
    inner = layers.Sequential(watched, watched)
    net = layers.Sequential(watched, inner, inner, watched)
    for _ in range(3):
        net(x)
        assert watched.alive() == 6
    for _ in range(3):
        inner(x)
    # The pass of the network, and one of a part of it alone.
    assert watched.alive() == 8
    net(x)
    watched(x)
    watched(x)
    assert watched.alive() == 7
    net.backward(x)
    assert watched.alive() == 1
    net(x)
    net.eval()
    assert watched.alive() == 0
    net.train()(x)
    assert watched.alive() == 6
    del net, inner
    watched(x)
    assert watched.alive() == 1


@pytest.mark.usefixtures("_no_collector")
def test_an_earlier_pass_is_freed_before_the_next_needs_memory():
    class Counting(Watched):
        def _forward(self, x):
            most.append(self.alive())
            return super()._forward(x)

    most, x, counting = [], np.ones(2), Counting()
    for net in (counting, layers.Sequential(layers.Sequential(counting), layers.Tanh())):
        for _ in range(3):
            net(x)
    assert max(most) == 0


def test_a_part_may_be_called_alone_before_backward():
    def run(alone):
        net = part_of_a_shared_sequence()
        x, residual = normal(ROWS), normal(ROWS, 1)
        net(x)
        if alone:
            for part in net.layers():
                if part is not net:
                    part(normal(ROWS, 5))
        return net, [net.backward(residual), *map(np.copy, gradients(net))]

    net, found = run(True)
    assert_same(found, run(False)[1])
    # And each part can be undone by itself, once.
    other, residual = linear(0), normal(ROWS, 2)
    other(normal(ROWS, 5))
    np.testing.assert_array_equal(net[0].backward(residual), other.backward(residual))
    with pytest.raises(RuntimeError, match=r"Linear\.backward needs a forward pass"):
        net[0].backward(residual)


def test_the_parts_of_a_network_may_be_undone_one_by_one():
    net, twin, x = shared_sequence(), shared_sequence(), normal(ROWS)
    gradient, expected = normal(ROWS, 1), normal(ROWS, 1)
    net(x)
    twin(x)
    for part in reversed(list(net)):
        gradient = part.backward(gradient)
    np.testing.assert_array_equal(gradient, twin.backward(expected))
    with pytest.raises(RuntimeError, match="needs a forward pass"):
        net.backward(x)


def test_two_passes_from_outside_are_told_where_to_go():
    body, x = shared_sequence(), normal(ROWS)
    body(x)
    body(-x)
    body.backward(x)
    with pytest.raises(RuntimeError, match="in the _forward of one Layer"):
        body.backward(x)


# What fails.


class Failing(layers.Layer):
    """Tanh that refuses negative numbers, and backward NaN."""

    def _forward(self, x):
        if (x < 0).any():
            raise ValueError("negative")
        return np.tanh(x), x

    def _backward(self, saved, grad_output, input_grad):
        if np.isnan(grad_output).any():
            raise ValueError("NaN")
        return grad_output / np.cosh(saved) ** 2


@pytest.mark.usefixtures("_no_collector")
def test_a_failed_forward_leaves_nothing_to_undo():
    # The layers before the one that failed once were a pass ahead of those behind it.
    watched, failing, x = Watched(), Failing(), np.ones((1, 2))
    inner = layers.Sequential(watched, failing)
    net = layers.Sequential(watched, inner, inner, layers.Tanh())
    net(x)
    with pytest.raises(ValueError, match="negative"):
        net(-x)
    assert watched.alive() == 0
    for layer in (net, inner, failing, watched):
        with pytest.raises(RuntimeError, match="needs a forward pass"):
            layer.backward(x)
    # The next pass is a pass from outside again.
    assert layers.check_gradients(net, x) < 1e-8
    watched(x)
    watched(x)
    assert watched.alive() == 1


def test_a_backward_that_fails_in_the_middle_ends_the_pass():
    x = np.ones((1, 2))
    net = layers.Sequential(Failing(), layers.Tanh())
    net(x)
    with pytest.raises(ValueError, match="NaN"):
        net.backward(np.nan * x)
    with pytest.raises(RuntimeError, match="needs a forward pass"):
        net.backward(x)
    assert layers.check_gradients(net, x) < 1e-8


def test_a_backward_that_is_refused_at_once_may_be_repeated():
    failing, x = Failing(), np.ones((1, 2))
    net = layers.Sequential(failing, layers.Tanh(), layers.Sequential(layers.Tanh(), failing))
    net(x)
    expected = net.backward(x)
    net(x)
    with pytest.raises(ValueError, match="NaN"):
        net.backward(np.nan * x)
    assert np.array_equal(net.backward(x), expected)


def test_a_layer_may_go_on_after_a_failure_within():
    class Careful(layers.Layer):
        def __init__(self):
            self.act = layers.Tanh()
            self.first = layers.Sequential(self.act, layers.LeakyReLU(0.5), Failing())

        def _forward(self, x):
            y = self.act(x)
            try:
                return self.first(y), self.first
            except ValueError:
                return self.act(2 * y), self.act

        def _backward(self, saved, grad_output, input_grad):
            gradient = saved.backward(grad_output)
            return self.act.backward(2 * gradient if saved is self.act else gradient)

    x = np.abs(normal(ROWS, 1)) + 0.1
    for values in (x, -x):
        assert layers.check_gradients(Careful(), values) < 1e-8


def test_threads_may_train_different_networks_at_once():
    both = threading.Barrier(2, timeout=60)

    class Meeting(layers.Layer):
        """The identity, which waits for the other network in either direction."""

        def _forward(self, x):
            both.wait()
            return x, None

        def _backward(self, saved, grad_output, input_grad):
            both.wait()
            return grad_output

    def build(seed, meeting):
        one, inner = linear(seed), linear(seed + 10)
        body = layers.Sequential(one, meeting, layers.Tanh(), inner)
        return layers.Sequential(body, one, layers.Tanh(), body)

    def train(net, seed, results):
        x = normal(ROWS, seed)
        for _ in range(5):
            x = net(x)
            x = net.backward(x)
        results[seed] = [x, *gradients(net)]

    found, expected = {}, {}
    nets = [build(seed, Meeting()) for seed in range(2)]
    threads = [threading.Thread(target=train, args=(nets[s], s, found)) for s in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(2):
        train(build(seed, layers.Flatten()), seed, expected)
        assert_same(found[seed], expected[seed])
