"""Networks prepared for inference: results, what is joined, memory, threads, and when it ends."""

import copy
import pickle
import sys
import threading

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import layers, models
from fastconv.layers._buffers import Block, Storage
from tests._cases import DTYPES, normal


def settle(network, seed=0):
    """Give batch norms statistics, factors and shifts as after training; return the network."""
    rng = np.random.default_rng(seed)
    for layer in network.layers():
        if isinstance(layer, layers.BatchNorm1d | layers.BatchNorm2d | layers.BatchNorm3d):
            layer.running_mean[...] = rng.normal(0, 0.3, layer.num_features)
            layer.running_var[...] = rng.uniform(0.5, 2, layer.num_features)
            if layer.weight is not None:
                layer.weight.data[...] = rng.uniform(0.5, 1.5, layer.num_features)
            if layer.bias is not None:
                layer.bias.data[...] = rng.normal(0, 0.3, layer.num_features)
    return network.eval()


def kinds(network):
    """Return what a prepared network computes, one word an operation."""
    return [operation.kind for operation in network._inference.flow.operations]


class Twice(layers.Layer):
    """A user's own layer, with a container of ours and a parameter in it."""

    def __init__(self, dtype):
        self.body = layers.Sequential(
            layers.Conv2d(6, 6, 3, padding=1, bias=False, dtype=dtype, rng=3),
            layers.BatchNorm2d(6, dtype=dtype),
            layers.ReLU(),
        )

    def _forward(self, x):
        return self.body(self.body(x))[:, :, ::-1], None


def unlisted(dtype=np.float32):
    """Return a network of everything, which is none of ours."""
    more = {"dtype": dtype}
    block = layers.Graph(
        {
            "conv1": layers.Conv2d(6, 6, 3, padding=1, bias=False, rng=1, **more),
            "bn1": layers.BatchNorm2d(6, **more),
            "relu1": layers.ReLU6(inplace=True),
            "conv2": layers.Conv2d(6, 6, 1, groups=2, rng=2, **more),
            "bn2": layers.BatchNorm2d(6, affine=False, **more),
            "down": (layers.Conv2d(6, 6, 1, rng=4, **more), "input"),
            "add": (layers.Add(), "down", "bn2"),
            "act": layers.LeakyReLU(0.1),
        }
    )
    return layers.Sequential(
        layers.ZeroPad2d((1, 2, 0, 1)),
        layers.Conv2d(3, 6, 3, stride=2, padding=1, rng=0, **more),
        layers.BatchNorm2d(6, **more),
        layers.Hardtanh(-2, 2),
        layers.Dropout(0.5, rng=0),
        block,
        layers.Concat(
            layers.Sequential(layers.Conv2d(6, 5, 1, rng=5, **more), layers.ReLU(inplace=True)),
            layers.Sequential(layers.MaxPool2d(3, 1, 1), layers.Conv2d(6, 4, 1, rng=6, **more)),
            layers.AvgPool2d(3, 1, 1),
            layers.Identity(),
        ),
        layers.Add(layers.Conv2d(21, 21, 3, padding=1, rng=7, **more), layers.Identity()),
        layers.Conv2d(21, 6, 3, padding=1, padding_mode="reflect", rng=8, **more),
        layers.SiLU(),
        Twice(dtype),
        layers.ConvTranspose2d(6, 8, 3, 2, 1, groups=2, rng=9, **more),
        layers.BatchNorm2d(8, **more),
        layers.ReLU(),
        layers.BatchNorm2d(8, **more),
        layers.LocalResponseNorm(3),
        layers.AdaptiveAvgPool2d(2),
        layers.Flatten(),
        layers.Linear(32, 16, rng=10, **more),
        layers.BatchNorm1d(16, **more),
        layers.Tanh(),
        layers.Linear(16, 5, rng=11, **more),
        layers.LogSoftmax(1),
    )


BOUNDS = {np.float32: 1e-5, np.float64: 1e-13}


def assert_close(actual, expected):
    bound = BOUNDS[expected.dtype.type] * max(np.abs(expected).max(), 1)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_network_of_everything(dtype):
    network, x = settle(unlisted(dtype)), normal((3, 3, 17, 14), dtype)
    expected = network(x)
    assert network.prepare((3, 17, 14), batch_size=3) is network
    assert_close(network(x), expected)
    # Other batches and sizes, and what comes again.
    for other in (x[:1], normal((2, 3, 20, 20), dtype), x):
        network._inference, kept = None, network._inference
        expected = network(other)
        network._inference = kept
        assert_close(network(other), expected)


def test_what_is_joined():
    found = kinds(settle(unlisted()).prepare((3, 17, 14)))
    assert found == [
        *["convolution"] * 4,  # with padding, norms, activations and the sum
        "convolution", "call", "convolution", "call", "concatenation",  # the branches
        "convolution", "convolution", "call",  # the shortcut's sum; SiLU
        "call",  # the user's layer
        "convolution", "norm", "call",  # transposed, with its norm and ReLU
        "call", "reshaping", "linear", "call", "linear", "call",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "size", "others"),
    [
        ("lenet5", (1, 28, 28), 6),
        ("googlenet", (3, 64, 64), 14),
        ("resnet18", (3, 64, 64), 2),
        ("resnet50", (3, 64, 64), 2),
        ("resnet20", (3, 32, 32), 3),
        ("mobilenet_v2", (3, 64, 64), 1),
        ("unet", (3, 32, 32), 3),
    ],
)
def test_our_models(name, size, others):
    network, x = settle(getattr(models, name)(rng=0)), normal((2, *size), np.float32)
    double = settle(getattr(models, name)(rng=0, dtype=np.float64))
    double.load_state_dict(network.state_dict())
    exact = double(x.astype(np.float64))
    before = network(x)
    after = network.prepare(size, batch_size=2)(x)
    scale = np.abs(exact).max()
    error, own = np.abs(after - exact).max() / scale, np.abs(before - exact).max() / scale
    # Not farther from the truth than rounding takes the network anyway.
    assert error <= 4 * own + 1e-6
    # No batch norm is left, no sum, and no activation behind a convolution.
    found = kinds(network)
    assert found.count("call") == others
    assert not {"norm", "sum"} & set(found)


def stem():
    return settle(
        layers.Sequential(
            layers.Conv2d(3, 8, 3, padding=1, bias=False, rng=0),
            layers.BatchNorm2d(8),
            layers.ReLU(),
            layers.MaxPool2d(2),
            layers.Conv2d(8, 8, 3, padding=1, rng=1),
        )
    )


def test_results_are_fresh_and_the_input_stays():
    for network in (stem(), layers.Sequential(layers.Identity()).eval(), layers.Flatten().eval()):
        x = normal((2, 3, 8, 8), np.float32)
        network.prepare((3, 8, 8), batch_size=2)
        kept = x.copy()
        first = network(x)
        before, second = first.copy(), network(-x)
        assert not any(np.may_share_memory(first, other) for other in (x, second))
        np.testing.assert_array_equal(first, before)
        np.testing.assert_array_equal(x, kept)


def test_an_activation_in_place_does_not_reach_the_input():
    network = layers.Sequential(layers.ReLU(inplace=True), layers.Conv2d(3, 2, 1, rng=0)).eval()
    x = normal((1, 3, 4, 4), np.float32)
    expected = network(x.copy())
    kept = x.copy()
    np.testing.assert_array_equal(network.prepare((3, 4, 4))(x), expected)
    np.testing.assert_array_equal(x, kept)


def test_inputs_of_any_layout():
    network = settle(
        layers.Sequential(layers.Add(layers.Conv2d(3, 3, 3, padding=1, rng=0), layers.Identity()))
    )
    x = normal((2, 3, 9, 7), np.float32)
    network.prepare((3, 9, 7), batch_size=2)
    expected = network(x).tobytes()
    for other in (
        np.asfortranarray(x),
        x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2),
        x[:, ::-1].copy()[:, ::-1],
        np.repeat(x, 2, axis=3)[..., ::2],
        x.astype(x.dtype.newbyteorder()),
        np.frombuffer(b"0" + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
    ):
        other.flags.writeable = False
        assert network(other).tobytes() == expected


@pytest.mark.parametrize("size", [(2, 3, 9), (2, 3, 5, 6, 7)])
def test_one_and_three_axes(size):
    axes = len(size) - 2
    conv, up, norm = (
        getattr(layers, f"{name}{axes}d") for name in ("Conv", "ConvTranspose", "BatchNorm")
    )
    network = settle(
        layers.Sequential(
            conv(3, 6, 3, padding=1, rng=0), norm(6), layers.ReLU(),
            up(6, 4, 2, 2, rng=1), norm(4), layers.LeakyReLU(),
            layers.Add(conv(4, 4, 1, rng=2), layers.Identity()),
        )
    )  # fmt: skip
    x = normal(size, np.float32)
    expected = network(x)
    assert_close(network.prepare(size[1:])(x), expected)
    assert kinds(network) == ["convolution"] * 3


def test_one_sample_without_a_batch():
    network = layers.Sequential(
        layers.Conv2d(3, 4, 3, rng=0), layers.ReLU(), layers.MaxPool2d(2)
    ).eval()
    x = normal((3, 9, 9), np.float32)
    expected = network(x)
    network.prepare((3, 9, 9))
    # Another number of axes than was prepared for: layer by layer.
    np.testing.assert_array_equal(network(x), expected)
    network._inference._ranks = None
    network._inference._plans.clear()
    np.testing.assert_array_equal(network(x), expected)


def test_a_linear_layer_takes_a_norm_where_its_features_are_channels():
    flat = settle(layers.Sequential(layers.Linear(4, 4, rng=0), layers.BatchNorm1d(4)))
    lines = copy.deepcopy(flat)
    x, y = normal((3, 4), np.float32), normal((3, 4, 4), np.float32)
    first, second = flat(x), flat(y)
    assert_close(flat.prepare((4,))(x), first)
    assert_close(lines.prepare((4, 4))(y), second)
    assert kinds(flat) == ["linear"]
    assert kinds(lines) == ["linear", "norm"]


def test_norms_without_running_statistics_are_not_folded():
    network = layers.Sequential(
        layers.Conv2d(3, 4, 1, rng=0), layers.BatchNorm2d(4, track_running_stats=False)
    ).eval()
    x = normal((2, 3, 5, 5), np.float32)
    expected = network(x)
    np.testing.assert_array_equal(network.prepare((3, 5, 5))(x), expected)
    assert kinds(network) == ["convolution", "call"]


def test_padding_is_merged_only_where_it_is_zeros():
    for pad, count in (
        (layers.ZeroPad2d((1, 2, 3, 0)), 1),
        (layers.ConstantPad2d(1, 0.0), 1),
        (layers.ConstantPad2d(1, 1.0), 2),
        (layers.ZeroPad2d((-1, 0, 0, 0)), 2),
        (layers.ReflectionPad2d(1), 2),
    ):
        for own in (0, "valid", "same", ((0, 1), (2, 0))):
            network = layers.Sequential(pad, layers.Conv2d(3, 4, 3, padding=own, rng=0)).eval()
            x = normal((1, 3, 6, 7), np.float32)
            expected = network(x)
            np.testing.assert_array_equal(network.prepare((3, 6, 7))(x), expected)
            # "same" asks for the size of what comes.
            assert len(kinds(network)) == (2 if own == "same" else count)


def test_a_value_that_others_take_is_not_joined():
    nodes = {
        "conv": layers.Conv2d(3, 3, 1, rng=0),
        "bn": layers.BatchNorm2d(3),
        "relu": layers.ReLU(),
        "add": (layers.Add(), "conv", "relu"),
        "twice": (layers.Add(), "add", "add"),
    }
    network = settle(layers.Graph(nodes, ("twice", "bn")))
    x = normal((1, 3, 4, 4), np.float32)
    expected = network(x)
    actual = network.prepare((3, 4, 4))(x)
    assert isinstance(actual, tuple)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert kinds(network) == ["convolution", "norm", "call", "sum", "sum"]


def test_several_inputs():
    network = settle(
        layers.Graph(
            {
                "conv": (layers.Conv2d(3, 4, 1, rng=0), "image"),
                "add": (layers.Add(), "conv", "mask"),
                "join": (layers.Concat(), "add", "mask"),
            },
            inputs=("image", "mask"),
        )
    )
    image, mask = normal((2, 3, 5, 5), np.float32), normal((2, 4, 5, 5), np.float32)
    expected = network(image, mask)
    network.prepare((3, 5, 5), (4, 5, 5), batch_size=2)
    np.testing.assert_array_equal(network(image, np.asfortranarray(mask)), expected)
    with pytest.raises(TypeError, match="takes 2 inputs"):
        network(image)


@pytest.mark.parametrize("batch", [1, 2])
def test_branches_write_side_by_side(batch):
    network = settle(models.googlenet(rng=0))
    network.prepare((3, 64, 64), batch_size=batch)
    (plan,) = network._inference._plans.values()
    joined = [part for part in network._inference.flow.operations if part.kind == "concatenation"]
    within = [plan._places[value].channel is not None for part in joined for value in part.inputs]
    assert all(within)


def test_any_number_of_threads_gives_the_same_bits():
    network, x = settle(models.resnet18(rng=0)), normal((2, 3, 64, 64), np.float32)
    network.prepare((3, 64, 64))
    found = set()
    for threads in (1, 2, 3, 8):
        with fastconv.num_threads(threads):
            found.add(network(x).tobytes())
            found.add(network(np.concatenate([x, x]))[:2].tobytes())
    assert len(found) == 1


def test_many_threads_call_at_once():
    network = settle(unlisted()).prepare((3, 17, 14))
    images = [normal((1 + i % 2, 3, 17, 14), np.float32, i) for i in range(8)]
    expected = [network(image).tobytes() for image in images]
    wrong, switch = [], sys.getswitchinterval()

    def call(start):
        for i in range(24):
            at = (start + i) % len(images)
            if network(images[at]).tobytes() != expected[at]:
                wrong.append(at)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(6)]
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert not wrong


def test_a_call_allocates_its_result_alone(monkeypatch):
    network, x = settle(models.resnet18(rng=0)), normal((1, 3, 64, 64), np.float32)
    network.prepare((3, 64, 64))
    network(x)
    made = []
    new = fastconv._check.new
    monkeypatch.setattr("fastconv._check.new", lambda *a: made.append(a[0]) or new(*a))
    network(x)
    assert made == [(1, 1000)]


def test_training_and_a_state_end_it():
    network, x = stem(), normal((1, 3, 8, 8), np.float32)
    before = network.prepare((3, 8, 8))(x)
    network[0].weight.data[...] *= 2
    np.testing.assert_array_equal(network(x), before)
    # A plan that is made later has the same weights.
    wide = normal((1, 3, 8, 9), np.float32)
    np.testing.assert_array_equal(network(wide)[..., :2], network(wide)[..., :2])
    changed = copy.deepcopy(network).train().eval()(x)
    assert not np.allclose(changed, before)
    assert network.train()._inference is None
    assert_close(network.eval()(x), changed)
    network.prepare((3, 8, 8))
    network.load_state_dict(network.state_dict())
    assert network._inference is None
    assert_close(network.prepare((3, 8, 8))(x), changed)
    assert network.prepare()._inference is None
    with pytest.raises(RuntimeError, match="call eval"):
        network.train().prepare((3, 8, 8))


def test_a_layer_that_trains_or_has_hooks_is_computed_by_itself():
    network, x = stem(), normal((2, 3, 8, 8), np.float32)
    network.prepare((3, 8, 8))
    shapes = []
    with network[0].register_forward_hook(lambda layer, args, output: shapes.append(output.shape)):
        network(x)
    network(x)
    assert shapes == [(2, 8, 8, 8)]
    assert len(network.summary((3, 8, 8)).layers) == 5
    seen = network[1].running_mean.copy()
    network[1].train()
    network(x)
    assert not np.array_equal(network[1].running_mean, seen)


def test_copies_and_pickles_are_prepared():
    network, x = settle(unlisted()).prepare((3, 17, 14)), normal((1, 3, 17, 14), np.float32)
    expected = network(x).tobytes()
    for other in (copy.deepcopy(network), copy.copy(network)):
        assert other._inference is not None
        assert other(x).tobytes() == expected
    simple = stem().prepare((3, 8, 8))
    image = normal((1, 3, 8, 8), np.float32)
    again = pickle.loads(pickle.dumps(simple))
    again[0].weight.data[...] = 0
    assert again(image).tobytes() == simple(image).tobytes()


def test_exactly_means_exactly():
    network, x = stem(), np.round(normal((1, 3, 8, 8), np.float32) * 4)
    network = layers.Sequential(layers.Conv2d(3, 64, 3, padding=1, rng=0)).eval()
    network[0].weight.data[...] = np.round(network[0].weight.data * 9)
    network.prepare((3, 8, 8))
    with fastconv.exact():
        expected = F.conv2d(x, network[0].weight.data, network[0].bias.data, padding=1)
        assert network(x).tobytes() == expected.tobytes()


def test_some_plans_are_kept():
    network = stem().prepare((3, 8, 8))
    for size in range(4, 20):
        network(np.zeros((1, 3, size, size), np.float32))
    assert 0 < len(network._inference._plans) <= 4


def test_other_inputs_are_refused_as_ever():
    network = stem().prepare((3, 8, 8))
    with pytest.raises(TypeError, match="must have the dtype of input"):
        network(np.zeros((1, 3, 8, 8)))
    with pytest.raises(ValueError, match="input must have"):
        network(np.zeros((1, 4, 8, 8), np.float32))
    with pytest.raises(TypeError, match=r"must be a numpy\.ndarray, got list"):
        network([[1.0]])
    assert network(np.zeros((0, 3, 8, 8), np.float32)).shape == (0, 8, 4, 4)
    with pytest.raises(ValueError, match="input must have"):
        stem().prepare((4, 8, 8))
    with pytest.raises(TypeError, match="input_shapes must be tuples"):
        stem().prepare(8)


def test_a_network_that_does_not_take_the_shape_stays_as_it_was():
    network = stem()
    with pytest.raises(ValueError, match="input must have"):
        network.prepare((4, 8, 8))
    assert all(layer._inference is None for layer in network.layers())


def test_a_sum_of_other_shapes_is_refused_as_ever():
    # For 8 columns both branches have 4; for 9 the second has 5.
    network = layers.Sequential(
        layers.Add(layers.MaxPool2d(2), layers.Conv2d(3, 3, 3, stride=2, padding=1, rng=0))
    ).eval()
    network.prepare((3, 8, 8))
    with pytest.raises(ValueError, match="must have shape"):
        network(np.zeros((1, 3, 8, 9), np.float32))


class Fickle(layers.Layer):
    """A user's layer whose output has another shape each time."""

    size = 3

    def _forward(self, x):
        self.size += 1
        return x[:, :, : self.size], None


def test_a_layer_must_keep_its_shapes():
    network = layers.Sequential(Fickle(), layers.Conv2d(3, 4, 1, rng=0)).eval()
    with pytest.raises(ValueError, match="Fickle gave float32 of shape"):
        network.prepare((3, 30, 8))


def test_memory_is_shared_by_lifetimes():
    rng = np.random.default_rng(0)
    for _ in range(50):
        storages = []
        for _ in range(20):
            first = int(rng.integers(0, 20))
            shape = (int(rng.integers(1, 5000)),)
            last = first + int(rng.integers(0, 6))
            storages.append(Storage(shape, np.dtype(np.float32), first, last))
        block = Block(storages)
        for i, one in enumerate(storages):
            assert one.at % 64 == 0
            assert one.at + one.size <= block.size
            for other in storages[:i]:
                apart = one.last < other.first or other.last < one.first
                beside = one.at + one.size <= other.at or other.at + other.size <= one.at
                assert apart or beside
        most = max(
            sum(one.size for one in storages if one.first <= time <= one.last) for time in range(26)
        )
        assert most <= block.size <= 2 * most


def test_a_chain_needs_two_maps():
    network = layers.Sequential(
        *(layers.Conv2d(4, 4, 3, padding=1, rng=i) for i in range(6))
    ).eval()
    network.prepare((4, 16, 16))
    (plan,) = network._inference._plans.values()
    assert plan._block.size == 2 * 4 * 16 * 16 * 4
