"""Profiles: what is counted, where it goes, and that nothing is changed."""

import copy
import pickle
import threading
from contextvars import copy_context

import numpy as np
import pytest

import fastconv
from fastconv import layers, models, training
from fastconv.layers import profiling


def images(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def network():
    shared = layers.Conv2d(4, 4, 3, padding=1, bias=False, rng=1)
    return layers.Sequential(
        {
            "stem": layers.Conv2d(3, 4, 3, stride=2, padding=1, rng=0),
            "norm": layers.BatchNorm2d(4),
            "act": layers.ReLU(inplace=True),
            "block": layers.Graph(
                {
                    "conv": shared,
                    "bn": layers.BatchNorm2d(4),
                    "add": (layers.Add(), "bn", "input"),
                    "relu": layers.ReLU(),
                }
            ),
            "again": layers.Sequential(shared, layers.Tanh()),
            "flat": layers.Flatten(),
            "full": layers.Linear(4 * 4 * 4, 5, rng=2),
        }
    )


def step(net, x, times=1):
    loss, optimizer = layers.CrossEntropyLoss(), training.SGD(net.parameters(), 0.1, 0.9)
    for _ in range(times):
        net.zero_grad()
        loss(net(x), np.arange(len(x)) % 5)
        net.backward(loss.backward(), input_grad=False)
        optimizer.step()


def rows(profile):
    return {(r.name, r.kind, r.direction): r for r in profile.records}


def test_each_layer_and_direction_has_a_row():
    net, x = network(), images(6, 3, 8, 8)
    with fastconv.profile(show=False) as p:
        step(net, x, 2)
    found = rows(p)
    assert [key for key in found if key[2] == "forward"] == [
        ("", "Sequential", "forward"),
        ("stem", "Conv2d", "forward"),
        ("norm", "BatchNorm2d + ReLU", "forward"),
        ("block", "Graph", "forward"),
        ("block.conv", "Conv2d", "forward"),
        ("block.bn", "BatchNorm2d + Add + ReLU", "forward"),
        ("again", "Sequential", "forward"),
        ("again.1", "Tanh", "forward"),
        ("flat", "Flatten", "forward"),
        ("full", "Linear", "forward"),
        ("", "CrossEntropyLoss", "forward"),
    ]
    # The shared convolution stands at two places, under its first name.
    assert found["block.conv", "Conv2d", "forward"].calls == 4
    assert found["norm", "BatchNorm2d + ReLU", "backward"].calls == 2
    assert found["", "SGD", "step"].calls == 2
    # No input gradient of the network's input; one row for the weights, none for "backward".
    assert ("stem", "Conv2d", "input gradient") not in found
    assert ("stem", "Conv2d", "backward") not in found
    assert found["stem", "Conv2d", "weight gradient"].calls == 2
    assert found["full", "Linear", "input gradient"].calls == 2
    state = set(net.state_dict())
    assert all(f"{r.name}.weight" in state for r in p.records if r.flops)


def test_operations_and_algorithms_are_those_of_explain():
    net, x = network(), images(6, 3, 8, 8)
    with fastconv.profile(show=False) as p:
        step(net, x)
    found = rows(p)
    for direction, name in (("forward", "conv2d"), ("weight gradient", "conv2d_weight")):
        row = found["stem", "Conv2d", direction]
        expected = fastconv.explain(name, x.shape, (4, 3, 3, 3), stride=2, padding=1)
        assert (row.flops, row.algorithm) == (expected.flops, expected.algorithm)
        assert row.variant == expected.variant
        assert row.flops == 2 * 6 * 4 * 4 * 4 * 27
        assert row.gflops == row.flops / row.seconds / 1e9
    assert found["full", "Linear", "input gradient"].flops == 2 * 6 * 64 * 5
    with fastconv.exact(), fastconv.profile(show=False) as p:
        layers.Conv2d(64, 64, 3, padding=1, rng=0)(images(1, 64, 56, 56))
    assert [row.algorithm for row in p.records] == ["gemm"]


def test_results_have_the_same_bits():
    x = images(6, 3, 8, 8)
    one, other = network(), network()
    with fastconv.profile(show=False):
        step(one, x, 2)
    step(other, x, 2)
    for key, value in other.state_dict().items():
        np.testing.assert_array_equal(one.state_dict()[key], value)


def test_times_add_up_to_the_whole():
    net, x = network(), images(6, 3, 8, 8)
    step(net, x)
    with fastconv.profile(show=False) as p:
        step(net, x, 5)
    seconds = p.seconds
    assert p.seconds == seconds
    own = sum(r.seconds for r in p.records)
    assert 0 < own <= seconds * (1 + 1e-9)
    assert sum(r.share for r in p.records) == pytest.approx(own / seconds)
    assert all(r.seconds >= 0 for r in p.records)


class Slow(layers.Layer):
    """One whose layers within take all of its time but little."""

    def __init__(self, clock):
        self.inner = layers.Sequential(Ticking(clock, 3), Ticking(clock, 4))
        self.clock = clock

    def _forward(self, x):
        self.clock.now += 5
        return self.inner(x), None

    def _backward(self, saved, grad_output, input_grad):
        self.clock.now += 7
        return self.inner.backward(grad_output)


class Ticking(layers.Layer):
    def __init__(self, clock, ticks):
        self.clock, self.ticks = clock, ticks

    def _forward(self, x):
        self.clock.now += self.ticks
        return x, None

    def _backward(self, saved, grad_output, input_grad):
        self.clock.now += 10 * self.ticks
        return grad_output


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_time_of_layers_within_is_their_own(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(profiling, "perf_counter", clock)
    net = Slow(clock)
    with fastconv.profile(show=False) as p:
        net.backward(net(np.zeros(3)))
        clock.now += 100
    times = {(r.name, r.direction): r.seconds for r in p.records}
    assert times == {
        ("", "forward"): 5, ("inner", "forward"): 0, ("inner.0", "forward"): 3,
        ("inner.1", "forward"): 4, ("", "backward"): 7, ("inner", "backward"): 0,
        ("inner.0", "backward"): 30, ("inner.1", "backward"): 40,
    }  # fmt: skip
    assert p.seconds == 189
    assert {r.name: r.share for r in p.records}["inner.1"] == 40 / 189
    assert [r.name for r in p.records][:2] == ["", "inner"]
    lines = p.table("seconds", 2).splitlines()
    assert lines[2].split() == ["inner.1", "Ticking", "backward", "1", "40,000.000", "21.2%"]
    assert lines[3].startswith("inner.0")
    assert lines[4].split() == ["outside", "of", "layers", "100,000.000", "52.9%"]
    assert lines[-1].endswith("6 rows are not shown")


def test_profiles_nest():
    net, x = network(), images(6, 3, 8, 8)
    with fastconv.profile(show=False) as outer:
        step(net, x)
        with fastconv.profile(show=False) as inner:
            step(net, x)
        step(net, x)
    assert rows(outer).keys() == rows(inner).keys()
    assert rows(outer)["stem", "Conv2d", "forward"].calls == 3
    one = rows(inner)["stem", "Conv2d", "forward"]
    assert one.calls == 1
    assert rows(outer)["stem", "Conv2d", "forward"].flops == 3 * one.flops
    assert outer.seconds > inner.seconds
    before = inner.records
    step(net, x)
    assert inner.records == before


def test_each_thread_has_its_own():
    net, x = network().eval(), images(2, 3, 8, 8)
    other = threading.Thread(target=lambda: net(x))
    with fastconv.profile(show=False) as p:
        other.start()
        other.join()
    assert p.records == []
    found = []

    def alone():
        with fastconv.profile(show=False) as own:
            for _ in range(20):
                net(x)
        found.append(rows(own))

    together = [threading.Thread(target=alone) for _ in range(4)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    for own in found:
        row = own["stem", "Conv2d", "forward"]
        assert row.calls == 20
        # What kernels of other threads run is none of it.
        assert "," not in row.variant


def test_threads_that_take_the_context_over_count():
    net, x = network().eval(), images(2, 3, 8, 8)
    with fastconv.profile(show=False) as p:
        contexts = [copy_context() for _ in range(4)]
        threads = [threading.Thread(target=context.run, args=(net, x)) for context in contexts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert rows(p)["full", "Linear", "forward"].calls == 4


def test_errors_leave_no_trace():
    net, x = network(), images(6, 3, 8, 8)
    with pytest.raises(ValueError, match="channels"), fastconv.profile(show=False) as p:
        net(x[:, :2])
    assert p.records == []
    assert profiling.current() is None
    assert profiling._stack.frame is None
    with fastconv.profile(show=False) as p:
        with pytest.raises(ValueError, match="grad_output"):
            net.backward(net(x)[:, :2])
        step(net, x)
    assert rows(p)["full", "Linear", "forward"].calls == 2
    assert rows(p)["full", "Linear", "weight gradient"].calls == 1


def test_frozen_layers_take_no_row_for_their_weights():
    net = layers.Sequential(layers.Linear(3, 3, rng=0), layers.Linear(3, 3, rng=1))
    net[1].requires_grad_(False)
    with fastconv.profile(show=False) as p:
        net.backward(net(images(2, 3)), input_grad=False)
    assert [(r.name, r.direction) for r in p.records if r.name and r.direction != "forward"] == [
        ("1", "input gradient"),
        ("0", "weight gradient"),
    ]


def test_what_is_shown(capsys):
    net = models.lenet5(rng=0)
    with fastconv.profile(sort="calls", limit=3) as p:
        net(images(2, 1, 28, 28))
    shown = capsys.readouterr().out
    assert shown == p.table("calls", 3) + "\n"
    assert "GFLOP/s" in str(p)
    assert "<td>Conv2d</td>" in p._repr_html_()
    kinds = p.by_kind()
    assert sum(r.calls for r in kinds) == sum(r.calls for r in p.records)
    assert [r.calls for r in kinds if r.kind == "Tanh"] == [4]
    assert "Tanh" in p.table(by_kind=True)
    with pytest.raises(ValueError, match="'seconds'"):
        p.table("time")
    with pytest.raises(ValueError, match="sort"), fastconv.profile(sort="name"):
        pass
    with pytest.raises(TypeError, match="limit"), fastconv.profile(limit=1.5):
        pass


def test_a_copy_keeps_the_times_until_then():
    net, x = network().eval(), images(2, 3, 8, 8)
    with fastconv.profile(show=False) as p:
        net(x)
        early = copy.deepcopy(p)
        net(x)
    for other in (copy.copy(p), pickle.loads(pickle.dumps(p))):
        assert other.records == p.records
        assert str(other) == str(p)
    assert {r.calls for r in early.records} == {1, 2}
    assert rows(early)["stem", "Conv2d", "forward"].calls == 1
