"""Networks with branches: Graph, Add and Concat, against torch and central differences."""

import gc
import weakref

import numpy as np
import pytest

from fastconv import layers, training
from tests._cases import torch_or_skip

IMAGES = (2, 4, 6, 5)


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def conv(seed, inputs=4, outputs=4, kernel=3, padding=1):
    more = {"dtype": np.float64, "rng": seed}
    return layers.Conv2d(inputs, outputs, kernel, padding=padding, **more)


def residual():
    return layers.Graph(
        {
            "conv1": conv(0),
            "relu1": layers.ReLU(inplace=True),
            "conv2": conv(1),
            "down": (conv(2, kernel=1, padding=0), "input"),
            "add": (layers.Add(), "conv2", "down"),
            "relu2": layers.ReLU(inplace=True),
        }
    )


def inception():
    return layers.Graph(
        {
            "b1": (conv(0, 4, 2, 1, 0), "input"),
            "b2a": (conv(1, 4, 3, 1, 0), "input"),
            "b2b": (conv(2, 3, 4), "b2a"),
            "pool": (layers.MaxPool2d(3, 1, 1), "input"),
            "b3": conv(3, 4, 1, 1, 0),
            "join": (layers.Concat(), "b1", "b2b", "b3"),
        }
    )


def dense():
    """Return a network that uses values at several places, a layer at two, and a value twice."""
    one = conv(0)
    return layers.Graph(
        {
            "a": one,
            "b": layers.Tanh(),
            "c": (one, "b"),
            "d": (layers.Add(), "b", "c", "input"),
            "e": (layers.Add(), "d", "d"),
            "f": (layers.Concat(), "e", "b", "d"),
        }
    )


def twins(torch):
    """Yield each network and what torch makes of its parameters."""
    F = torch.nn.functional

    def run_residual(p, x):
        y = F.conv2d(x, p["conv1.weight"], p["conv1.bias"], padding=1).relu()
        y = F.conv2d(y, p["conv2.weight"], p["conv2.bias"], padding=1)
        return (y + F.conv2d(x, p["down.weight"], p["down.bias"])).relu()

    def run_inception(p, x):
        two = F.conv2d(x, p["b2a.weight"], p["b2a.bias"])
        two = F.conv2d(two, p["b2b.weight"], p["b2b.bias"], padding=1)
        three = F.conv2d(F.max_pool2d(x, 3, 1, 1), p["b3.weight"], p["b3.bias"])
        return torch.cat([F.conv2d(x, p["b1.weight"], p["b1.bias"]), two, three], 1)

    def run_dense(p, x):
        b = F.conv2d(x, p["a.weight"], p["a.bias"], padding=1).tanh()
        d = b + F.conv2d(b, p["a.weight"], p["a.bias"], padding=1) + x
        return torch.cat([d + d, b, d], 1)

    return {"residual": run_residual, "inception": run_inception, "dense": run_dense}


NETS = {"residual": residual, "inception": inception, "dense": dense}


@pytest.mark.parametrize("name", NETS)
def test_graphs_agree_with_torch(name):
    torch = torch_or_skip("networks with branches")
    net, run = NETS[name](), twins(torch)[name]
    leaves = {
        key: torch.tensor(parameter.data, requires_grad=True)
        for key, parameter in net.named_parameters()
    }
    x = normal(IMAGES, 1)
    leaf = torch.tensor(x, requires_grad=True)
    expected = run(leaves, leaf)
    output = net(x)
    np.testing.assert_allclose(output, expected.detach(), rtol=1e-12, atol=1e-13)
    grad_output = normal(output.shape, 2)
    kept = grad_output.copy()
    expected.backward(torch.tensor(grad_output))
    np.testing.assert_allclose(net.backward(grad_output), leaf.grad, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(grad_output, kept)
    for key, parameter in net.named_parameters():
        np.testing.assert_allclose(parameter.grad, leaves[key].grad, rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(net.eval()(x), output)


@pytest.mark.parametrize("name", NETS)
def test_graphs_have_right_gradients(name):
    assert layers.check_gradients(NETS[name](), normal((1, 4, 3, 3), 1)) < 1e-8


@pytest.mark.parametrize("name", NETS)
def test_without_an_input_gradient_the_others_keep_their_bits(name):
    net, twin, x = NETS[name](), NETS[name](), normal(IMAGES, 1)
    grad_output = np.ones_like(net(x))
    twin(x)
    assert net.backward(grad_output, input_grad=False) is None
    twin.backward(grad_output)
    for one, other in zip(net.parameters(), twin.parameters(), strict=True):
        np.testing.assert_array_equal(one.grad, other.grad)
    with pytest.raises(RuntimeError, match=r"Graph\.backward needs a forward pass"):
        net.backward(grad_output)


def test_a_chain_gives_the_bits_of_a_sequence():
    parts = {"a": conv(0), "b": layers.Tanh(), "flat": layers.Flatten(), "c": layers.Softmax(1)}
    graph, sequence, x = layers.Graph(parts), layers.Sequential(parts), normal(IMAGES)
    np.testing.assert_array_equal(graph(x), sequence(x))
    assert list(graph.state_dict()) == list(sequence.state_dict())
    y = normal((2, 120), 3)
    graph(x)
    first = graph.backward(y)
    gradients = [p.grad for p in graph.parameters()]
    graph.zero_grad()
    sequence(x)
    np.testing.assert_array_equal(sequence.backward(y), first)
    for p, gradient in zip(sequence.parameters(), gradients, strict=True):
        np.testing.assert_array_equal(p.grad, gradient)


def test_blocks_of_branches_give_the_bits_of_graphs():
    one, two = conv(0), layers.Sequential(conv(1), layers.Tanh())
    x, y = normal(IMAGES), normal(IMAGES, 1)
    add = layers.Add(one, two, layers.Identity())
    graph = layers.Graph(
        {"0": one, "1": (two, "input"), "2": (layers.Add(), "0", "1", "input")}, output="2"
    )
    np.testing.assert_array_equal(add(x), graph(x))
    np.testing.assert_allclose(add.backward(y), graph.backward(y), rtol=1e-12, atol=1e-13)
    concat = layers.Concat({"left": one, "right": two})
    assert list(concat.state_dict()) == [
        "left.weight",
        "left.bias",
        "right.0.weight",
        "right.0.bias",
    ]
    assert concat(x).shape == (2, 8, 6, 5)
    np.testing.assert_array_equal(concat(x)[:, 4:], two(x))
    for block in (add, concat, layers.Concat(one, layers.Identity(), dim=-1), layers.Add(one)):
        assert layers.check_gradients(block, normal((1, 4, 3, 3), 1)) < 1e-8


def test_residuals_reach_the_branches_without_copies():
    seen = []

    class Spy(layers.Layer):
        def _forward(self, x):
            return x * 2, None

        def _backward(self, saved, grad_output, input_grad):
            seen.append(grad_output)
            return grad_output * 2

    x, y = normal(IMAGES), normal((2, 8, 6, 5))
    block = layers.Concat(Spy(), Spy())
    block(x)
    np.testing.assert_allclose(block.backward(y), 2 * (y[:, :4] + y[:, 4:]), rtol=1e-15)
    assert all(np.shares_memory(part, y) for part in seen)
    seen.clear()
    block = layers.Add(Spy(), Spy())
    block(x)
    np.testing.assert_array_equal(block.backward(x), 4 * x)
    assert all(part is x for part in seen)


def test_several_inputs_and_outputs():
    net = layers.Graph(
        {"a": (conv(0), "x"), "b": (layers.Add(), "a", "y"), "c": (conv(1), "b")},
        output=("a", "c"),
        inputs=("x", "y"),
    )
    x, y = normal(IMAGES), normal(IMAGES, 1)
    first, second = net(x, y)
    np.testing.assert_array_equal(second, net["c"](net["a"](x) + y))
    net(x, y)
    da, dc = normal(IMAGES, 2), normal(IMAGES, 3)
    dx, dy = net.backward((da, dc))
    net["c"](first + y)
    expected = net["c"].backward(dc)
    np.testing.assert_array_equal(dy, expected)
    net["a"](x)
    np.testing.assert_array_equal(dx, net["a"].backward(expected + da))
    # An output whose gradient is None has no part in it.
    net(x, y)
    dx, dy = net.backward((da, None))
    assert dy is None
    net["a"](x)
    np.testing.assert_array_equal(dx, net["a"].backward(da))
    with pytest.raises(TypeError, match="takes 2 inputs"):
        net(x)
    net(x, y)
    with pytest.raises(TypeError, match="grad_output must be a tuple"):
        net.backward(da)


def test_a_shared_layer_whose_last_call_needs_no_gradient():
    one = conv(0)
    net = layers.Graph({"a": one, "b": (one, "a")}, output=("a", "b"))
    x, y = normal(IMAGES), normal(IMAGES, 1)
    net(x)
    found = net.backward((y, None))
    one(x)
    one.zero_grad()
    np.testing.assert_array_equal(found, one.backward(y))


def test_layers_that_lead_nowhere_are_not_computed():
    nodes = {"a": conv(0), "b": conv(1), "c": (layers.Linear(99, 1, rng=0), "b")}
    net = layers.Graph(nodes, output="a")
    x = normal(IMAGES)
    np.testing.assert_array_equal(net(x), net["a"](x))
    assert list(net.state_dict())[-2:] == ["c.weight", "c.bias"]
    net(x)
    net.backward(x)
    assert net["b"].weight.grad is None


def test_what_is_frozen_costs_nothing():
    calls = []

    class Spied(layers.Conv2d):
        def _backward(self, saved, grad_output, input_grad):
            calls.append((self, input_grad))
            return super()._backward(saved, grad_output, input_grad)

    a, b, c, d = (Spied(4, 4, 3, padding=1, rng=seed) for seed in range(4))
    net = layers.Graph({"a": a, "b": b, "c": (c, "input"), "add": (layers.Add(), "b", "c"), "d": d})
    for frozen, expected in [
        ((), [(d, True), (c, False), (b, True), (a, False)]),
        ((a,), [(d, True), (c, False), (b, False)]),
        ((a, b), [(d, True), (c, False)]),
        ((c,), [(d, True), (b, True), (a, False)]),
        ((a, b, c), [(d, False)]),
        ((a, b, c, d), []),
    ]:
        net.requires_grad_(True).zero_grad()
        for layer in frozen:
            layer.requires_grad_(False)
        calls.clear()
        y = net(np.ones(IMAGES, np.float32))
        net.backward(y, input_grad=False)
        assert calls == expected


def test_values_are_freed_when_nobody_needs_them():
    alive = []

    class Watched(layers.Layer):
        """Makes a new array, and counts those of the others that are still there."""

        def __init__(self):
            self.made = None

        def _forward(self, *inputs):
            gc.collect()
            alive.append(sum(w.made is not None and w.made() is not None for w in watched))
            y = inputs[0] + 1
            self.made = weakref.ref(y)
            return y, None

    watched = [Watched() for _ in range(5)]
    a, b, c, d, e = watched
    net = layers.Graph({"a": a, "b": b, "c": c, "d": (d, "a", "c"), "e": e}).eval()
    net(np.zeros(3))
    # a has no inputs of others; b takes a; c takes b while a waits; d takes a and c; e takes d.
    assert alive == [0, 1, 2, 2, 1]


def test_a_graph_within_a_sequence_trains_and_goes_on():
    def build():
        block = layers.Graph(
            {
                "conv": layers.Conv2d(1, 1, 3, padding=1, rng=0),
                "add": (layers.Add(), "conv", "input"),
            }
        )
        drop = layers.Dropout(0.3, rng=2)
        return layers.Sequential(block, drop, layers.Flatten(), layers.Linear(64, 10, rng=1))

    runs = []
    for _ in range(2):
        net = build()
        sgd = training.SGD(net.parameters(), 0.05, 0.9)
        data = training.load_digits()
        history = training.fit(net, layers.CrossEntropyLoss(), sgd, data, epochs=1)
        assert history[-1].test_accuracy > 0.8
        runs.append(net.state_dict())
    for key, array in runs[0].items():
        np.testing.assert_array_equal(array, runs[1][key])
    assert len(net.generators()) == 1


RELU, TANH = (lambda: layers.ReLU(inplace=True)), layers.Tanh


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({"r": RELU(), "s": (layers.Add(), "r", "input")}, "over 'input', which layer 's' needs"),
        ({"t": TANH(), "r": RELU()}, "over 't', which the backward pass of layer 't' needs"),
        ({"t": TANH(), "f": layers.Flatten(), "r": RELU()}, "the backward pass of layer 't' needs"),
        ({"c": conv(0), "r": RELU(), "a": (layers.Add(), "r", "c")}, "over 'c', which layer 'a'"),
        (
            {"c": conv(0), "f": layers.Identity(), "r": RELU(), "a": (layers.Add(), "r", "c")},
            "over 'f', which layer 'a' needs",
        ),
        (
            # In evaluation mode dropout returns its input.
            {"c": conv(0), "d": layers.Dropout(), "r": RELU(), "a": (layers.Add(), "r", "c")},
            "over 'd', which layer 'a' needs",
        ),
        (
            {"c": conv(0), "r": layers.Sequential(RELU(), TANH()), "a": (layers.Add(), "r", "c")},
            "over 'c', which layer 'a' needs",
        ),
        ({"s": layers.Sequential(conv(0), TANH()), "r": RELU()}, "the backward pass of layer 's'"),
        (
            {"g": layers.Graph({"t": TANH()}), "r": RELU()},
            "over 'g', which the backward pass of layer 'g' needs",
        ),
        (
            {"c": conv(0), "g": layers.Graph({"r": RELU()}), "a": (layers.Add(), "g", "c")},
            "over 'c', which layer 'a' needs",
        ),
    ],
)
def test_an_inplace_layer_may_not_spoil_what_others_need(nodes, message):
    with pytest.raises(ValueError, match=message):
        layers.Graph(nodes)


def test_an_inplace_layer_may_not_spoil_an_output_or_a_branch():
    with pytest.raises(ValueError, match="over 'c', which the output needs"):
        layers.Graph({"c": conv(0), "r": RELU()}, output=("c", "r"))
    for kind in (layers.Add, layers.Concat):
        with pytest.raises(ValueError, match=r"branch '1', ReLU.*over the input of the others"):
            kind(layers.Identity(), RELU())
        kind(RELU())
    with pytest.raises(ValueError, match=r"would write over the output of layer '0', Tanh\(\)"):
        layers.Sequential(layers.Tanh(), layers.Graph({"r": RELU()}))
    with pytest.raises(ValueError, match="would write over the output of layer '0', Graph"):
        layers.Sequential(layers.Graph({"t": TANH()}), RELU())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (({},), ValueError, "nodes must hold one or more layers"),
        (([layers.Tanh()],), TypeError, "nodes must be a mapping of str to layers, got list"),
        (({"a": np.tanh},), TypeError, "layer 'a' must be a Layer, got ufunc"),
        (({"a": ()},), TypeError, "layer 'a' must be a Layer, got tuple"),
        (({1: layers.Tanh()},), TypeError, "name must be a str, got int"),
        (({"a.b": layers.Tanh()},), ValueError, "contain a dot"),
        (({"input": layers.Tanh()},), ValueError, "'input' names both an input and a layer"),
        (
            ({"a": (layers.Tanh(), "b")},),
            ValueError,
            "layer 'a': there is no 'b' before it.*'input'",
        ),
        (({"a": (layers.Add(), "input", "a")},), ValueError, "there is no 'a' before it"),
        (({"a": (layers.Tanh(), 0)},), TypeError, "layer 'a': its inputs must be names, got int"),
        (({"a": layers.Tanh()}, "b"), ValueError, "output: there is no layer 'b'"),
        (({"a": layers.Tanh()}, 3), TypeError, "output must be a str or a tuple of them, got 3"),
        (({"a": layers.Tanh()}, ()), ValueError, "output must name one or more"),
        (({"a": layers.Tanh()}, ("a", "a")), ValueError, "each once"),
        (({"a": layers.Tanh()}, None, ("x", "y")), ValueError, "does not depend on 'x'"),
    ],
)
def test_wrong_graphs(arguments, error, message):
    with pytest.raises(error, match=message):
        layers.Graph(*arguments)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: layers.Add()(), TypeError, "Add without branches needs one or more inputs"),
        (lambda x: layers.Add(TANH())(x, x), TypeError, "Add with branches takes one input, got 2"),
        (lambda x: layers.Add()(x, x[:1]), ValueError, "other must have shape"),
        (lambda x: layers.Concat()(x, x[:, :, 1:]), ValueError, r"inputs\[1\] must have shape"),
        (lambda x: layers.Concat(dim=4)(x, x), ValueError, "axis must be from -4 to 3, got 4"),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call(normal(IMAGES))


def heads():
    return layers.Graph(
        {
            "a": layers.Linear(3, 4, rng=0, dtype=np.float64),
            "b": layers.Tanh(),
            "early": (layers.Linear(4, 2, rng=1, dtype=np.float64), "a"),
            "late": (layers.Linear(4, 5, rng=2, dtype=np.float64), "b"),
        },
        training_outputs="early",
    )


def test_outputs_that_are_for_training():
    net, x = heads(), normal((6, 3))
    assert (net.outputs, net.training_outputs) == (("late",), ("early",))
    late, early = net(x)
    assert (late.shape, early.shape) == ((6, 5), (6, 2))
    both = layers.Graph(dict(twin_nodes(net)), output=("late", "early"))
    expected = both(x)
    np.testing.assert_array_equal(late, expected[0])
    np.testing.assert_array_equal(early, expected[1])
    gradients = normal(late.shape, 1), normal(early.shape, 2)
    np.testing.assert_array_equal(net.backward(gradients), both.backward(gradients))
    # The layers belong to both.
    np.testing.assert_array_equal(net["early"].bias.grad, 2 * gradients[1].sum(axis=0))
    called = []
    net["early"].register_forward_hook(lambda *_: called.append("early"))
    np.testing.assert_array_equal(net.eval()(x), late)
    assert called == []
    assert len(net.train()(x)) == 2
    assert net.backward((gradients[0], None)).shape == x.shape


def twin_nodes(net):
    return ((name, (node.layer, *node.inputs)) for name, node in net.nodes.items())


def test_outputs_for_training_beside_several_others():
    nodes = dict(twin_nodes(heads()))
    net = layers.Graph(nodes, output=("b", "late"), training_outputs=("early", "a"))
    x = normal((2, 3))
    assert [y.shape for y in net(x)] == [(2, 4), (2, 5), (2, 2), (2, 4)]
    with pytest.raises(TypeError, match="b, late, early, a"):
        net.backward(x)
    assert [y.shape for y in net.eval()(x)] == [(2, 4), (2, 5)]
    assert "training_outputs=('early', 'a')" in repr(net)


def test_wrong_outputs_for_training():
    nodes = dict(twin_nodes(heads()))
    with pytest.raises(ValueError, match="training_outputs: there is no layer 'c'"):
        layers.Graph(nodes, training_outputs="c")
    with pytest.raises(ValueError, match="training_outputs must not name what is an output"):
        layers.Graph(nodes, training_outputs=("early", "late"))
    with pytest.raises(TypeError, match="training_outputs must be a str"):
        layers.Graph(nodes, training_outputs=3)
    # What is needed in training may not be written over.
    nodes["late"] = (layers.ReLU(inplace=True), "early")
    with pytest.raises(ValueError, match="would write over 'early', which the output needs"):
        layers.Graph(nodes, training_outputs="early")


def test_an_input_that_only_a_training_output_needs():
    nodes = dict(twin_nodes(heads()))
    nodes["early"] = (nodes["early"][0], "extra")
    inputs = ("input", "extra")
    nodes["a"] = (nodes["a"][0], "input")
    net = layers.Graph(nodes, inputs=inputs, training_outputs="early")
    x, extra = normal((2, 3)), normal((2, 4), 1)
    assert [y.shape for y in net(x, extra)] == [(2, 5), (2, 2)]
    assert net.eval()(x, extra).shape == (2, 5)
