"""Sequences, state, and layers made by a user."""

from collections import OrderedDict

import numpy as np
import pytest

from fastconv import layers
from tests._cases import torch_or_skip


def normal(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def nested(nn, **more):
    """Return the same nest of sequences from torch.nn or from fastconv.layers."""
    return nn.Sequential(
        OrderedDict(
            features=nn.Sequential(
                nn.Conv2d(2, 4, 3, padding=1, **more),
                nn.ReLU(),
                nn.Sequential(nn.Conv2d(4, 4, 3, bias=False, groups=2, **more), nn.Tanh()),
                nn.MaxPool2d(2),
            ),
            flat=nn.Flatten(),
            head=nn.Sequential(nn.Linear(16, 5, **more), nn.Sigmoid(), nn.Linear(5, 3, **more)),
        )
    )


KEYS = [
    "features.0.weight",
    "features.0.bias",
    "features.2.0.weight",
    "head.0.weight",
    "head.0.bias",
    "head.2.weight",
    "head.2.bias",
]


def net(seed=0, dtype=np.float64):
    return nested(layers, dtype=dtype, rng=np.random.default_rng(seed))


def values(layer):
    return [p.data.copy() for p in layer.parameters()]


def assert_same(arrays, others):
    for one, other in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(one, other)


# Parameters and state.


def test_parameters_have_names_in_order():
    model = net()
    assert [name for name, _ in model.named_parameters()] == KEYS
    assert [name for name, _ in model.named_parameters("net.")] == ["net." + key for key in KEYS]
    assert [p for _, p in model.named_parameters()] == model.parameters()
    assert [p.name for p in model.parameters()] == [key.rsplit(".")[-1] for key in KEYS]


def test_state_is_that_of_the_torch_twin():
    torch = torch_or_skip("names, order and shapes of the state")
    twin = nested(torch.nn).double()
    theirs = {name: array.numpy() for name, array in twin.state_dict().items()}
    model = net()
    ours = model.state_dict()
    assert list(ours) == list(theirs) == KEYS
    assert [a.shape for a in ours.values()] == [a.shape for a in theirs.values()]
    model.load_state_dict(theirs)
    x = normal((2, 2, 6, 6))
    np.testing.assert_allclose(model(x), twin(torch.tensor(x)).detach(), rtol=1e-12)
    # And back.
    twin.load_state_dict({name: torch.tensor(array) for name, array in net(9).state_dict().items()})
    np.testing.assert_allclose(net(9)(x), twin(torch.tensor(x)).detach(), rtol=1e-12)


def test_state_dict_shares_memory():
    model = net()
    state = model.state_dict()
    for array, parameter in zip(state.values(), model.parameters(), strict=True):
        assert array is parameter.data
    x = normal((1, 2, 6, 6))
    before = model(x)
    state["head.2.bias"] += 1
    np.testing.assert_allclose(model(x), before + 1)


def test_load_state_dict_copies_in():
    model, other = net(0), net(1)
    arrays = [p.data for p in model.parameters()]
    model.load_state_dict(other.state_dict())
    assert_same(arrays, values(other))
    for parameter, array in zip(model.parameters(), arrays, strict=True):
        assert parameter.data is array
    for array in other.state_dict().values():
        array += 1
    assert not any(
        np.array_equal(one, other)
        for one, other in zip(arrays, other.state_dict().values(), strict=True)
    )


def test_load_state_dict_takes_any_order_precision_and_layout():
    model, state = net(0), net(1).state_dict()
    expected = list(state.values())
    model.load_state_dict(dict(reversed(state.items())))
    assert_same(values(model), expected)
    model.load_state_dict({key: np.asfortranarray(a).astype(">f8") for key, a in state.items()})
    assert_same(values(model), expected)
    model.load_state_dict({key: a.astype(np.float32) for key, a in state.items()})
    assert_same(values(model), [a.astype(np.float32) for a in expected])
    assert all(p.data.dtype == np.float64 for p in model.parameters())


def test_load_state_dict_may_swap_the_layers_own_arrays():
    # Writing one array after the other once gave both the values of the first.
    model = layers.Sequential(layers.Linear(3, 3, rng=0), layers.Linear(3, 3, rng=1))
    state = model.state_dict()
    old = {key: array.copy() for key, array in state.items()}
    model.load_state_dict({key: state[f"{1 - int(key[0])}{key[1:]}"] for key in state})
    for key, array in model.state_dict().items():
        np.testing.assert_array_equal(array, old[f"{1 - int(key[0])}{key[1:]}"])


def changed(**entries):
    state = {key: array + 1 for key, array in net().state_dict().items()}
    for name, value in entries.items():
        key = name.replace("__", ".").replace("_", "")
        if value is None:
            del state[key]
        else:
            state[key] = value
    return state


@pytest.mark.parametrize(
    ("state", "error", "messages"),
    [
        ({}, ValueError, [f"missing: {key}" for key in KEYS]),
        (
            changed(head__0__bias=None, features__0__bias=None, tail=np.zeros(1)),
            ValueError,
            ["missing: head.0.bias", "missing: features.0.bias", "unexpected: tail"],
        ),
        (
            changed(head__2__bias=np.zeros(4), head__0__weight=np.zeros((16, 5))),
            ValueError,
            [
                "head.2.bias: expected shape (3,), got (4,)",
                "head.0.weight: expected shape (5, 16), got (16, 5)",
            ],
        ),
        (changed(head__2__bias=np.zeros(())), ValueError, ["expected shape (3,), got ()"]),
        (
            changed(head__2__bias=np.zeros(3, int)),
            TypeError,
            ["head.2.bias must have a float dtype, got int64"],
        ),
        (
            changed(head__2__bias=[0.0, 0.0, 0.0]),
            TypeError,
            ["head.2.bias must be a numpy.ndarray, got list"],
        ),
        (
            changed(head__2__bias=np.ma.zeros(3)),
            TypeError,
            ["head.2.bias must be a numpy.ndarray, got MaskedArray"],
        ),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(state, error, messages):
    model = net()
    kept = values(model)
    with pytest.raises(error) as caught:
        model.load_state_dict(state)
    for message in messages:
        assert message in str(caught.value)
    assert_same(values(model), kept)


def test_a_state_out_of_range_changes_nothing():
    model = net(dtype=np.float32)
    kept = values(model)
    state = {key: array.astype(np.float64) for key, array in net(1).state_dict().items()}
    state["head.2.bias"] = np.full(3, 1e300)
    # The warnings of this run are errors.
    with pytest.raises(RuntimeWarning, match="overflow"):
        model.load_state_dict(state)
    assert_same(values(model), kept)


def test_the_first_gradient_is_kept_and_later_ones_are_added_to_it():
    parameter = layers.Parameter(np.zeros(2), "weight")
    first = np.array([1.0, 2.0])
    parameter.add_grad(first)
    assert parameter.grad is first
    parameter.add_grad(np.array([10.0, 20.0]))
    np.testing.assert_array_equal(first, [11, 22])
    parameter.zero_grad()
    assert parameter.grad is None
    np.testing.assert_array_equal(first, [11, 22])
    np.testing.assert_array_equal(parameter.data, [0, 0])


# Sequences.


def test_sequences_have_length_items_and_order():
    parts = [layers.Tanh(), layers.Flatten(), layers.ReLU()]
    model = layers.Sequential(*parts)
    assert len(model) == 3
    assert list(model) == parts
    assert [model[i] for i in range(-3, 3)] == parts * 2
    assert [name for name, _ in model.children()] == ["0", "1", "2"]
    assert list(model.layers()) == [model, *parts]
    for wrong in (3, -4):
        with pytest.raises(IndexError):
            model[wrong]
    with pytest.raises(TypeError):
        model["0"]


def test_slices_of_a_sequence_share_its_layers_and_their_names():
    model = net()
    tail = model[1:]
    assert isinstance(tail, layers.Sequential)
    assert list(tail.state_dict()) == [key for key in KEYS if key.startswith("head")]
    assert list(tail) == list(model)[1:]
    x = normal((2, 2, 6, 6))
    np.testing.assert_array_equal(model[1:](model[:1](x)), model(x))
    assert len(model[:0]) == 0


def test_a_sequence_is_its_layers_one_after_the_other():
    model, parts = net(), list(net())
    x, residual = normal((2, 2, 6, 6)), normal((2, 3), 1)
    expected = x
    for part in parts:
        expected = part(expected)
    np.testing.assert_array_equal(model(x), expected)
    gradient = residual
    for part in reversed(parts):
        gradient = part.backward(gradient)
    np.testing.assert_array_equal(model.backward(residual), gradient)
    assert_same(
        [p.grad for p in model.parameters()],
        [p.grad for part in parts for p in part.parameters()],
    )


def test_nested_sequences_have_right_gradients():
    assert layers.check_gradients(net(), normal((2, 2, 6, 6), 1)) < 1e-8


def test_nested_sequences_pass_input_grad_to_the_first_layer_only():
    asked = []

    class Spy(layers.Linear):
        def _backward(self, saved, grad_output, input_grad):
            asked.append(input_grad)
            return super()._backward(saved, grad_output, input_grad)

    def spies(count):
        return [Spy(3, 3, dtype=np.float64, rng=i) for i in range(count)]

    model = layers.Sequential(layers.Sequential(*spies(2)), layers.Sequential(*spies(2)))
    residual = np.ones_like(model(normal((2, 3))))
    assert model.backward(residual, input_grad=False) is None
    assert asked == [True, True, True, False]
    expected = [p.grad for p in model.parameters()]
    model.zero_grad()
    model(normal((2, 3)))
    assert model.backward(residual).shape == (2, 3)
    assert asked[4:] == [True] * 4
    assert_same([p.grad for p in model.parameters()], expected)


def test_an_empty_sequence_is_the_identity():
    model = layers.Sequential()
    x = normal((2, 3))
    assert model(x) is x
    assert model.backward(x) is x
    model(x)
    assert model.backward(x, input_grad=False) is None
    assert model.parameters() == []
    model.load_state_dict({})
    assert len(layers.Sequential({})) == 0


def test_sequences_want_one_backward_for_each_forward():
    model = net()
    residual = np.ones_like(model(normal((1, 2, 6, 6))))
    model.backward(residual)
    with pytest.raises(RuntimeError, match=r"Sequential\.backward needs a forward pass"):
        model.backward(residual)
    model.eval()(normal((1, 2, 6, 6)))
    with pytest.raises(RuntimeError, match="needs a forward pass"):
        model.backward(residual)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((layers.Tanh(), np.tanh), TypeError, "layer '1' must be a Layer, got ufunc"),
        ((layers.Tanh,), TypeError, "layer '0' must be a Layer, got type"),
        (([layers.Tanh()],), TypeError, "layer '0' must be a Layer, got list"),
        (({"a": None},), TypeError, "layer 'a' must be a Layer, got NoneType"),
        (({0: layers.Tanh()},), TypeError, "name must be a str, got int"),
        (({"a.b": layers.Tanh()},), ValueError, "contain a dot, got 'a.b'"),
        (({"": layers.Tanh()},), ValueError, "must not be empty"),
        ((layers.CrossEntropyLoss(),), TypeError, "got CrossEntropyLoss"),
    ],
)
def test_sequences_hold_layers_only(arguments, error, message):
    with pytest.raises(error, match=message):
        layers.Sequential(*arguments)


KEEPERS = [layers.Tanh, layers.Sigmoid, layers.Softmax, layers.LogSoftmax]
WRITERS = [layers.ReLU, layers.LeakyReLU, layers.Dropout]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("keeper", KEEPERS)
def test_an_inplace_layer_may_not_spoil_what_another_saved(keeper, writer):
    # It once did, and the gradients were wrong without a word.
    for parts in (
        [keeper(), writer(inplace=True)],
        [keeper(), layers.Flatten(), writer(inplace=True)],
        [layers.Sequential(layers.ReLU(), keeper()), layers.Sequential(writer(inplace=True))],
    ):
        with pytest.raises(ValueError, match=f"{keeper.__name__}.*inplace=False"):
            layers.Sequential(*parts)
    layers.Sequential(keeper(), writer(inplace=False))


@pytest.mark.parametrize("after", WRITERS)
@pytest.mark.parametrize(
    "before", [layers.ReLU, layers.LeakyReLU, layers.Dropout, layers.Flatten, None]
)
def test_other_inplace_layers_leave_the_gradients_right(before, after):
    def build(inplace):
        more = {"rng": 1} if after is layers.Dropout else {}
        first = {} if before in (None, layers.Flatten) else {"inplace": inplace}
        first |= {"rng": 2} if before is layers.Dropout else {}
        return layers.Sequential(
            layers.Linear(4, 5, dtype=np.float64, rng=0),
            before(**first) if before else layers.Sequential(),
            after(inplace=inplace, **more),
            layers.Linear(5, 2, dtype=np.float64, rng=1),
        )

    assert layers.check_gradients(build(True), normal((3, 4), 1)) < 1e-8
    x, residual = normal((3, 4), 1), normal((3, 2), 2)
    plain, inplace = build(False), build(True)
    np.testing.assert_array_equal(inplace(x), plain(x))
    np.testing.assert_array_equal(inplace.backward(residual), plain.backward(residual))
    assert_same([p.grad for p in inplace.parameters()], [p.grad for p in plain.parameters()])


# Layers made by a user.


class Residual(layers.Layer):
    """scale * (x + last(drop(tanh(first(x))))), in an order of attributes of its own."""

    def __init__(self, features):
        rng = np.random.default_rng(0)
        self.first = layers.Linear(features, 4, dtype=np.float64, rng=rng)
        self.scale = layers.Parameter(np.full(features, 1.5), "scale")
        self.body = layers.Sequential(
            layers.Tanh(),
            layers.Dropout(0.5, rng=5),
            layers.Linear(4, features, dtype=np.float64, rng=rng),
        )
        self.drop = layers.Dropout(0.5, rng=6)
        self.note = "not a layer"

    def _forward(self, x):
        total = x + self.drop(self.body(self.first(x)))
        return self.scale.data * total, total

    def _backward(self, saved, grad_output, input_grad):
        self.scale.add_grad((grad_output * saved).sum(axis=0))
        gradient = grad_output * self.scale.data
        inner = self.body.backward(self.drop.backward(gradient))
        inner = self.first.backward(inner, input_grad=input_grad)
        return gradient + inner if input_grad else None


def test_layers_of_a_user_have_right_gradients():
    assert layers.check_gradients(Residual(3), normal((4, 3), 1)) < 1e-8
    pair = layers.Sequential(Residual(3), layers.LeakyReLU(), Residual(3))
    assert layers.check_gradients(pair, normal((4, 3), 1)) < 1e-8


def test_layers_of_a_user_have_parameters_of_their_own_and_their_childrens():
    names = ["scale", "first.weight", "first.bias", "body.2.weight", "body.2.bias"]
    layer = Residual(3)
    assert list(layer.state_dict()) == names
    assert layer.parameters()[0] is layer.scale
    assert [name for name, _ in layer.children()] == ["first", "body", "drop"]
    pair = layers.Sequential(Residual(3), Residual(3))
    assert list(pair.state_dict()) == [f"{i}.{name}" for i in (0, 1) for name in names]
    pair.load_state_dict({name: np.zeros_like(a) for name, a in pair.state_dict().items()})
    np.testing.assert_array_equal(pair[1].body[2].weight.data, np.zeros((3, 4)))


def test_modes_and_generators_reach_children():
    layer = Residual(3)
    assert layer.generators() == [layer.body[1].rng, layer.drop.rng]
    assert layers.Sequential(layers.Tanh(), layer).generators() == layer.generators()
    assert layer.eval() is layer
    assert not any(part.training for part in layer.layers())
    np.testing.assert_array_equal(layer(np.ones((2, 3))), layer(np.ones((2, 3))))
    assert layer.train() is layer
    assert all(part.training for part in layer.layers())
    assert not np.array_equal(layer(np.ones((9, 3))), layer(np.ones((9, 3))))


def test_zero_grad_and_backward_reach_children():
    layer = Residual(3)
    layer(np.ones((2, 3)))
    assert layer.backward(np.ones((2, 3)), input_grad=False) is None
    assert all(p.grad.shape == p.data.shape for p in layer.parameters())
    layer.zero_grad()
    assert all(p.grad is None for p in layer.parameters())
    with pytest.raises(RuntimeError, match=r"Residual\.backward needs"):
        layer.backward(np.ones((2, 3)))


def test_repr_of_a_layer_of_a_user_shows_its_children():
    lines = repr(layers.Sequential({"block": Residual(3)})).splitlines()
    assert lines[:3] == [
        "Sequential(",
        "  (block): Residual(",
        "    (first): Linear(3, 4, bias=True)",
    ]
    assert lines[-1] == ")"


def test_a_shared_parameter_counts_once():
    # An optimizer refuses, rightly, a parameter that it would update twice.
    one, two = (layers.Linear(3, 3, dtype=np.float64, rng=seed) for seed in (0, 1))
    two.weight = one.weight
    model = layers.Sequential(one, layers.Tanh(), two)
    assert model.parameters() == [one.weight, one.bias, two.bias]
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert layers.check_gradients(model, normal((2, 3), 1)) < 1e-8


def test_a_layer_without_its_two_methods_says_so():
    with pytest.raises(NotImplementedError):
        layers.Layer()(np.ones(1))


def test_forward_and_call_are_the_same():
    class Doubled(layers.Layer):
        def forward(self, x):
            return 2 * x

    np.testing.assert_array_equal(Doubled()(np.ones(2)), [2, 2])
    np.testing.assert_array_equal(layers.Sequential(Doubled())(np.ones(2)), [2, 2])
