"""One layer at several places of a network: gradients, names, state, modes, training."""

import numpy as np
import pytest

from fastconv import layers, training
from tests._cases import torch_or_skip


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def conv(seed, inputs=2, outputs=2):
    return layers.Conv2d(inputs, outputs, 3, padding=1, dtype=np.float64, rng=seed)


def linear(seed, inputs=4, outputs=4):
    return layers.Linear(inputs, outputs, dtype=np.float64, rng=seed)


def gradients(layer):
    return [p.grad for p in layer.parameters()]


def assert_same(arrays, others):
    for one, other in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(one, other)


IMAGES, ROWS = (2, 2, 5, 6), (3, 4)

# Layers that keep the shape of their input, so that they can come one after the other.
KEEPING = {
    "conv": (lambda: conv(0), IMAGES),
    "circular conv": (
        lambda: layers.Conv2d(2, 2, 3, 1, 1, padding_mode="circular", dtype=np.float64, rng=0),
        IMAGES,
    ),
    "linear": (lambda: linear(0), ROWS),
    "max": (lambda: layers.MaxPool2d(3, 1, 1), IMAGES),
    "mean": (lambda: layers.AvgPool2d(3, 1, 1), IMAGES),
    "flatten": (layers.Flatten, ROWS),
    "relu": (layers.ReLU, ROWS),
    "relu in place": (lambda: layers.ReLU(inplace=True), ROWS),
    "leaky": (lambda: layers.LeakyReLU(-0.3), ROWS),
    "leaky in place": (lambda: layers.LeakyReLU(-0.3, inplace=True), ROWS),
    "sigmoid": (layers.Sigmoid, ROWS),
    "tanh": (layers.Tanh, ROWS),
    "softmax": (lambda: layers.Softmax(1), ROWS),
    "log softmax": (lambda: layers.LogSoftmax(1), ROWS),
    "dropout": (lambda: layers.Dropout(0.4, rng=3), ROWS),
    "dropout in place": (lambda: layers.Dropout(0.4, inplace=True, rng=3), ROWS),
    "sequence": (lambda: layers.Sequential(linear(0), layers.Tanh()), ROWS),
}


@pytest.mark.parametrize("name", KEEPING)
def test_any_layer_may_stand_at_three_places(name):
    # Backward once raised "needs a forward pass in training mode before it".
    build, shape = KEEPING[name]
    layer = build()
    between = [conv(1), conv(2)] if shape is IMAGES else [linear(1), linear(2)]
    net = layers.Sequential(layer, between[0], layer, between[1], layer)
    assert layers.check_gradients(net, normal(shape, 1)) < 1e-8


def test_a_shared_pooling_gives_the_bits_of_two():
    def build(pools):
        parts = [conv(0), pools[0], layers.ReLU(), conv(1), pools[1]]
        return layers.Sequential(*parts, layers.Flatten(), linear(2, 12, 3))

    pool, x, residual = layers.MaxPool2d(2), normal((2, 2, 8, 12)), normal((2, 3), 1)
    shared, apart = build([pool, pool]), build([layers.MaxPool2d(2), layers.MaxPool2d(2)])
    np.testing.assert_array_equal(shared(x), apart(x))
    np.testing.assert_array_equal(shared.backward(residual), apart.backward(residual))
    assert_same(gradients(shared), gradients(apart))


def test_the_gradients_of_shared_weights_add_up():
    one, x, residual = linear(0), normal(ROWS), normal(ROWS, 1)
    shared = layers.Sequential(one, layers.Tanh(), one)
    apart = layers.Sequential(linear(0), layers.Tanh(), linear(0))
    np.testing.assert_array_equal(shared(x), apart(x))
    np.testing.assert_array_equal(shared.backward(residual), apart.backward(residual))
    for name in ("weight", "bias"):
        first, second = (getattr(apart[place], name).grad for place in (2, 0))
        np.testing.assert_array_equal(getattr(one, name).grad, first + second)


def test_a_shared_layer_trains_as_in_torch():
    torch = torch_or_skip("one layer at several places: names, gradients and a step")

    def build(kinds, **more):
        one, act = kinds.Linear(4, 4, **more), kinds.Tanh()
        inner = kinds.Sequential(one, act)
        return kinds.Sequential(one, act, inner, kinds.Linear(4, 4, **more), inner)

    twin, net = build(torch.nn).double(), build(layers, dtype=np.float64)
    theirs = twin.state_dict()
    assert list(net.state_dict()) == list(theirs)
    assert [n for n, _ in net.named_parameters()] == [n for n, _ in twin.named_parameters()]
    net.load_state_dict({name: array.numpy() for name, array in theirs.items()})
    x, residual = normal(ROWS), normal(ROWS, 1)
    leaf = torch.tensor(x, requires_grad=True)
    twin(leaf).backward(torch.tensor(residual))
    net(x)
    np.testing.assert_allclose(net.backward(residual), leaf.grad, rtol=1e-12, atol=1e-14)
    for mine, other in zip(net.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(mine.grad, other.grad, rtol=1e-12, atol=1e-14)
    training.SGD(net.parameters(), 0.1, 0.9).step()
    torch.optim.SGD(twin.parameters(), 0.1, 0.9).step()
    for mine, other in zip(net.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(mine.data, other.detach(), rtol=1e-12, atol=1e-14)


# Names, modes and state.


def shared_net():
    one, drop = linear(0), layers.Dropout(0.5, rng=7)
    inner = layers.Sequential(one, drop)
    return layers.Sequential(one, drop, inner, linear(1), inner)


NAMES = ["0.weight", "0.bias", "2.0.weight", "2.0.bias"]
NAMES += ["3.weight", "3.bias", "4.0.weight", "4.0.bias"]
ONCE = ["0.weight", "0.bias", "3.weight", "3.bias"]


def test_shared_parameters_have_all_their_names_but_count_once():
    net = shared_net()
    assert list(net.state_dict()) == NAMES
    assert [name for name, _ in net.named_parameters()] == ONCE
    assert [name for name, _ in net.named_parameters(remove_duplicate=False)] == NAMES
    assert [name for name, _ in net.named_parameters("a.")] == ["a." + name for name in ONCE]
    assert [p for _, p in net.named_parameters()] == net.parameters()
    state = net.state_dict()
    assert state["0.weight"] is state["2.0.weight"] is state["4.0.weight"]
    assert len(training.Adam(net.parameters()).params) == 4
    assert layers.check_gradients(net, normal(ROWS, 1)) < 1e-8


def test_shared_layers_are_visited_once():
    net = shared_net()
    assert list(net.layers()) == [net, net[0], net[1], net[2], net[3]]
    assert net.generators() == [net[1].rng]
    assert len(list(net.children())) == 5
    net.eval()
    assert not any(layer.training for layer in net.layers())
    assert all(layer._prepared == {} for layer in net.prepare().layers())


def test_a_prepared_layer_at_two_places_gives_the_same_bits():
    one = layers.Conv2d(64, 64, 3, padding=1, rng=0)
    net = layers.Sequential(one, layers.MaxPool2d(2), one).eval()
    x = normal((2, 64, 16, 16)).astype(np.float32)
    expected = net(x)
    net.prepare()
    for _ in range(2):
        assert net(x).tobytes() == expected.tobytes()


def test_a_state_with_all_names_goes_in():
    net, other = shared_net(), shared_net()
    for array in other.state_dict().values():
        array += normal(array.shape, 8)
    net.load_state_dict({key: array.copy() for key, array in other.state_dict().items()})
    assert_same(net.state_dict().values(), other.state_dict().values())
    for key in ("0.bias", "4.0.bias"):
        with pytest.raises(ValueError, match=rf"missing: {key}$"):
            net.load_state_dict({k: a for k, a in other.state_dict().items() if k != key})


def test_a_state_with_two_values_for_one_parameter_is_refused():
    # The last one would win in silence.
    net = shared_net()
    kept = [array.copy() for array in net.state_dict().values()]
    state = {key: array + 1 for key, array in net.state_dict().items()}
    state["4.0.weight"] = state["4.0.weight"] + 1
    with pytest.raises(ValueError, match=r"0\.weight and 4\.0\.weight are names of one parameter"):
        net.load_state_dict(state)
    assert_same(net.state_dict().values(), kept)
    # NaN is not equal to itself, but it is the same value.
    for key in ("0.weight", "2.0.weight", "4.0.weight"):
        state[key] = np.full((4, 4), np.nan)
    net.load_state_dict(state)
    assert np.isnan(net[0].weight.data).all()


# In place.


KEEPERS = [layers.Tanh, layers.Sigmoid, layers.Softmax, layers.LogSoftmax]


@pytest.mark.parametrize("keeper", KEEPERS)
def test_a_layer_in_place_is_refused_at_each_place(keeper):
    relu, keep = layers.ReLU(inplace=True), keeper()
    layers.Sequential(relu, linear(0), relu, keep)
    layers.Sequential(relu, keep, linear(0), relu)
    body = layers.Sequential(relu, keep)
    for parts in (
        [relu, linear(0), relu, keep, relu],
        [keep, linear(0), keep, relu],
        [body, body],
        [body, linear(0), body, layers.Flatten(), relu],
    ):
        with pytest.raises(ValueError, match=f"{keeper.__name__}.*inplace=False"):
            layers.Sequential(*parts)


@pytest.mark.parametrize("inplace", [True, False])
@pytest.mark.parametrize(
    "behind",
    [
        lambda: layers.ReLU(inplace=True),
        lambda: layers.LeakyReLU(0.2, inplace=True),
        lambda: layers.LeakyReLU(-0.2, inplace=True),
        lambda: layers.Dropout(0.5, inplace=True, rng=1),
    ],
    ids=["relu", "leaky", "turning", "dropout"],
)
def test_relu_may_be_written_over(inplace, behind):
    # Its backward asks where the output was positive, which all of these leave as it was, or where
    # they let no gradient through.
    relu, after = layers.ReLU(inplace=inplace), behind()
    net = layers.Sequential(linear(0), relu, after, linear(1), relu, after, relu, after)
    assert layers.check_gradients(net, normal((6, 4), 1)) < 1e-8


# Training.


def digits_net(share):
    pool, act, drop = (
        [kind()] * 2 if share else [kind(), kind()]
        for kind in (lambda: layers.MaxPool2d(2), layers.ReLU, lambda: layers.Dropout(0.0, rng=2))
    )
    rng = np.random.default_rng(0)
    first, second = (layers.Conv2d(n, 4, 3, padding=1, rng=rng) for n in (1, 4))
    return layers.Sequential(
        first, act[0], pool[0], drop[0], second, act[1], pool[1], drop[1],
        layers.Flatten(), layers.Linear(16, 10, rng=rng),
    )  # fmt: skip


def fit(net, epochs, **more):
    sgd = training.SGD(net.parameters(), 0.05, 0.9)
    loss = layers.CrossEntropyLoss()
    return training.fit(net, loss, sgd, training.load_digits(), epochs=epochs, **more)


def test_training_with_shared_layers_gives_the_bits_of_separate_ones():
    shared, apart = digits_net(True), digits_net(False)
    fit(shared, 1)
    fit(apart, 1)
    assert_same(shared.state_dict().values(), apart.state_dict().values())


def test_a_run_with_a_shared_dropout_goes_on_with_the_same_bits(tmp_path):
    def build():
        net, drop = digits_net(True), layers.Dropout(0.5, rng=3)
        return layers.Sequential(net[:3], drop, net[4:7], drop, net[8:])

    whole, first, second = build(), build(), build()
    assert len(whole.generators()) == 1
    path = tmp_path / "run.npz"
    fit(whole, 2)
    fit(first, 1, checkpoint=path)
    fit(second, 2, resume=path)
    assert_same(second.state_dict().values(), whole.state_dict().values())


def test_a_generator_that_two_layers_share_is_saved_for_each(tmp_path):
    # As in every checkpoint that was written before.
    def build():
        rng = np.random.default_rng(5)
        drops = [layers.Dropout(0.5, rng=rng), layers.Dropout(0.5, rng=rng)]
        return layers.Sequential(layers.Flatten(), drops[0], layers.Linear(64, 10, rng=0), drops[1])

    whole, first, second = build(), build(), build()
    path = tmp_path / "run.npz"
    fit(whole, 2)
    fit(first, 1, checkpoint=path)
    assert len(training.load_checkpoint(path).generators) == 2
    fit(second, 2, resume=path)
    assert_same(second.state_dict().values(), whole.state_dict().values())
