"""LeNet-5 and its relatives: sizes, seeds, gradients, and training as that of torch twins."""

import numpy as np
import pytest

from fastconv import layers, models, training
from tests._cases import torch_or_skip

# The model, the size of its images, its number of parameters for ten classes.
MODELS = {
    "lenet5": (28, 61_706),
    "lenet5_relu": (28, 61_706),
    "lenet_digits": (8, 38_282),
}


def build(name, *args, **kwargs):
    return getattr(models, name)(*args, **kwargs)


def images(name, count, dtype=np.float64, seed=0):
    side = MODELS[name][0]
    return np.random.default_rng(seed).standard_normal((count, 1, side, side)).astype(dtype)


def torch_lenet(torch, activation, pooling):
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        activation(),
        pooling(2),
        nn.Conv2d(6, 16, 5),
        activation(),
        pooling(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        activation(),
        nn.Linear(120, 84),
        activation(),
        nn.Linear(84, 10),
    ).double()


@pytest.mark.parametrize("name", MODELS)
def test_numbers_of_parameters(name):
    _, count = MODELS[name]
    assert sum(p.data.size for p in build(name).parameters()) == count
    last = build(name).parameters()[-2].data.shape[1]
    assert sum(p.data.size for p in build(name, 3).parameters()) == count - 7 * (last + 1)


def test_shapes_of_lenet5_are_those_of_the_paper():
    # LeCun et al. 1998, figure 2, for images of 28 x 28 padded to 32 x 32.
    for name in ("lenet5", "lenet5_relu"):
        x = images(name, 2, np.float32)
        shapes = []
        for layer in build(name, rng=0):
            x = layer(x)
            shapes.append(x.shape[1:])
        assert shapes[::3][:2] == [(6, 28, 28), (16, 10, 10)]
        assert shapes[2::3][:2] == [(6, 14, 14), (16, 5, 5)]
        assert shapes[6:] == [(400,), (120,), (120,), (84,), (84,), (10,)]


@pytest.mark.parametrize("name", MODELS)
def test_models_are_sequences_of_the_wanted_dtype(name):
    for dtype in (np.float32, np.float64):
        net = build(name, 7, dtype=dtype, rng=0)
        assert isinstance(net, layers.Sequential)
        assert {p.data.dtype for p in net.parameters()} == {np.dtype(dtype)}
        output = net(images(name, 3, dtype))
        assert output.shape == (3, 7)
        assert output.dtype == dtype
        assert net(images(name, 0, dtype)).shape == (0, 7)
    assert {p.data.dtype for p in build(name).parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", MODELS)
def test_images_of_another_size_or_dtype_are_refused(name):
    net = build(name, rng=0)
    with pytest.raises(ValueError, match="in_features"):
        net(np.zeros((1, 1, 32, 32), np.float32))
    with pytest.raises(ValueError, match="channels"):
        net(np.zeros((1, 3, 28, 28), np.float32))
    with pytest.raises(TypeError, match="dtype"):
        net(images(name, 1, np.float64))


@pytest.mark.parametrize("name", MODELS)
def test_values_follow_from_the_seed(name):
    def weights(rng, **more):
        return list(build(name, rng=rng, **more).state_dict().values())

    first = weights(5)
    for rng in (5, np.random.default_rng(5)):
        for one, other in zip(weights(rng), first, strict=True):
            np.testing.assert_array_equal(one, other)
    for one, other in zip(weights(6)[::2], first[::2], strict=True):
        assert not np.array_equal(one, other)
    for one, other in zip(weights(5, dtype=np.float64), first, strict=True):
        np.testing.assert_array_equal(one.astype(np.float32), other)
    # One stream of numbers for all layers, not the same one again for each.
    starts = [array.ravel()[0] / array.std() for array in first[::2]]
    assert len({round(float(start), 3) for start in starts}) == len(starts)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_along_random_directions(name):
    net, loss = build(name, dtype=np.float64, rng=0), layers.CrossEntropyLoss()
    x, target = images(name, 4, seed=1), np.array([1, 4, 4, 9])
    loss(net(x), target)
    grad_input = net.backward(loss.backward())
    pairs = [(x, grad_input), *((p.data, p.grad) for p in net.parameters())]
    rng = np.random.default_rng(2)
    for values, gradient in pairs:
        direction = rng.standard_normal(values.shape)
        direction *= 1e-6 / np.linalg.norm(direction)
        kept = values.copy()
        values += direction
        above = loss(net(x), target)
        values[...] = kept - direction
        below = loss(net(x), target)
        values[...] = kept
        slope = (above - below) / 2e-6
        expected = np.sum(gradient * direction) / 1e-6
        # Rounding in the difference of two losses near 2.3: 4e-16 * 2.3 / 2e-6 = 5e-10.
        assert slope == pytest.approx(expected, rel=1e-6, abs=5e-9)


@pytest.mark.parametrize("name", ["lenet5", "lenet5_relu"])
def test_training_is_that_of_the_torch_twin(name):
    torch = torch_or_skip("50 training steps of LeNet-5 against torch")
    nn = torch.nn
    torch.manual_seed(0)
    kind = (nn.Tanh, nn.AvgPool2d) if name == "lenet5" else (nn.ReLU, nn.MaxPool2d)
    twin = torch_lenet(torch, *kind)
    net = build(name, dtype=np.float64, rng=1)
    net.load_state_dict({key: array.numpy() for key, array in twin.state_dict().items()})

    settings = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4}
    ours = training.SGD(net.parameters(), **settings)
    theirs = torch.optim.SGD(twin.parameters(), **settings)
    our_loss, their_loss = layers.CrossEntropyLoss(), nn.CrossEntropyLoss()
    rng = np.random.default_rng(3)
    data, classes = images(name, 32), rng.integers(0, 10, 32)
    found, expected = [], []
    for _ in range(50):
        batch = rng.choice(32, 16, replace=False)
        x, target = data[batch], classes[batch]

        found.append(our_loss(net(x), target))
        net.zero_grad()
        net.backward(our_loss.backward(), input_grad=False)
        ours.step()

        theirs.zero_grad()
        loss = their_loss(twin(torch.tensor(x)), torch.tensor(target))
        expected.append(loss.item())
        loss.backward()
        theirs.step()

    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=0)
    # They did learn: had nothing moved, agreement would prove nothing.
    assert np.mean(found[-5:]) < 0.5 * np.mean(found[:5])
    state = twin.state_dict()
    for key, array in net.state_dict().items():
        np.testing.assert_allclose(array, state[key], rtol=1e-7, atol=1e-10)


def fit(net, x, target, optimizer, steps, bound):
    """Train on one batch until the loss is below the bound; return the losses."""
    loss = layers.CrossEntropyLoss()
    losses = []
    for _ in range(steps):
        losses.append(float(loss(net(x), target)))
        if losses[-1] < bound:
            break
        net.zero_grad()
        net.backward(loss.backward(), input_grad=False)
        optimizer.step()
    return losses


@pytest.mark.parametrize("name", MODELS)
def test_models_learn_random_images_by_heart(name):
    rng = np.random.default_rng(0)
    x, target = images(name, 32, np.float32), rng.integers(0, 10, 32)
    net = build(name, rng=0)
    losses = fit(net, x, target, training.Adam(net.parameters(), lr=2e-3), 150, 0.05)
    assert losses[0] > 1.5
    assert losses[-1] < 0.05
    np.testing.assert_array_equal(net.eval()(x).argmax(axis=1), target)


def test_training_twice_gives_the_same_bits():
    def losses():
        net = build("lenet_digits", rng=4)
        x, target = images("lenet_digits", 16, np.float32), np.arange(16) % 10
        optimizer = training.SGD(net.parameters(), lr=0.05, momentum=0.9)
        return fit(net, x, target, optimizer, 10, 0.0)

    assert losses() == losses()
