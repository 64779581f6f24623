"""The networks: names, shapes and numbers of parameters, outputs, and training as in torch."""

import copy
import hashlib
import inspect
from typing import NamedTuple

import numpy as np
import pytest

import fastconv
from fastconv import layers, models, training
from tests._cases import torch_or_skip
from tests.models import _twins

# Published numbers of parameters, and those that follow from the papers' tables.
PARAMETERS = {
    "alexnet": 61_100_840,
    "alexnet_lrn": 60_965_224,
    "googlenet": 6_624_904,
    "lenet5": 61_706,
    "lenet5_relu": 61_706,
    "lenet_digits": 38_282,
    "mobilenet_v2": 3_504_872,
    "resnet18": 11_689_512,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet56": 853_018,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "small_cnn": 131_178,
    "unet": 482_754,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
}

# Digests of the names and shapes in the state_dicts of torchvision 0.29.1: of a line for each,
# "conv1.weight (64, 3, 7, 7)", in their order.
STATES = {
    "alexnet": "214045a0c08ffc98",
    "googlenet": "e2cf6c5ea7661fad",
    "mobilenet_v2": "5c45000c8dea04db",
    "resnet18": "761022b221a39ceb",
    "resnet34": "1a060acae7a42530",
    "resnet50": "3fa57287149b51c4",
    "resnet101": "0e9191dd134cb07d",
    "resnet152": "47360b6062c7afaa",
    "vgg11": "a4a2a4a84e73de05",
    "vgg11_bn": "6aaf84aad4159200",
    "vgg13": "9dc9518e7646fe47",
    "vgg13_bn": "9a11dd9903f0e3cf",
    "vgg16": "6f36a6fd49b61819",
    "vgg16_bn": "5f99e428d932f79e",
    "vgg19": "e05a894c9ad13251",
    "vgg19_bn": "4c042cc97e1d6342",
}
# Those that torchvision builds with auxiliary classifiers.
OPTIONS = {"googlenet": {"aux_logits": True}}


@pytest.fixture
def weightless(monkeypatch):
    """Build networks without drawing their weights, which takes most of the time."""

    def zeros(init, shape, groups, bias, dtype, rng, biases=None):
        number = shape[0] if biases is None else biases
        return np.zeros(shape, dtype), np.zeros(number, dtype) if bias else None

    for module in ("_convolution", "linear"):
        monkeypatch.setattr(f"fastconv.layers.{module}.weights_and_bias", zeros)


def build(name, *args, **kwargs):
    return getattr(models, name)(*args, **kwargs)


def size(net):
    return sum(parameter.data.size for parameter in net.parameters())


@pytest.mark.usefixtures("weightless")
class TestParameters:
    def test_every_model_is_counted(self):
        assert set(PARAMETERS) == set(models.__all__)

    @pytest.mark.parametrize("name", PARAMETERS)
    def test_numbers(self, name):
        net = build(name)
        assert size(net) == PARAMETERS[name]
        assert {p.data.dtype for p in net.parameters()} == {np.dtype(np.float32)}
        last = net.parameters()[-2].data
        outputs = inspect.signature(getattr(models, name)).parameters["num_classes"].default
        assert len(last) == outputs
        fewer = build(name, 3, dtype=np.float64)
        assert PARAMETERS[name] - size(fewer) == (outputs - 3) * (last[0].size + 1) or outputs < 3
        floats = [*(p.data for p in fewer.parameters()), *fewer.buffers()]
        kinds = {array.dtype for array in floats}
        assert kinds - {np.dtype(np.int64)} == {np.dtype(np.float64)}

    @pytest.mark.parametrize("name", STATES)
    def test_states_are_those_of_torchvision(self, name):
        state = build(name, **OPTIONS.get(name, {})).state_dict()
        text = "".join(f"{key} {value.shape}\n" for key, value in state.items())
        assert hashlib.sha256(text.encode()).hexdigest()[:16] == STATES[name]

    @pytest.mark.parametrize("name", STATES)
    def test_states_are_those_of_the_torchvision_that_is_here(self, name):
        torch = torch_or_skip("names in torchvision's state_dicts")
        torchvision = pytest.importorskip("torchvision")
        options = {"init_weights": False} if name == "googlenet" else {}
        with torch.device("meta"):
            twin = getattr(torchvision.models, name)(**options)
        expected = {key: tuple(value.shape) for key, value in twin.state_dict().items()}
        state = build(name, **OPTIONS.get(name, {})).state_dict()
        assert {key: value.shape for key, value in state.items()} == expected

    def test_googlenet_of_the_paper_and_its_auxiliary_classifiers(self):
        assert size(build("googlenet", paper=True)) == 6_998_552
        heads = [512 * 128 + 256, 528 * 128 + 256]
        full = 2048 * 1024 + 1024 + 1024 * 1000 + 1000
        net = build("googlenet", aux_logits=True)
        assert size(net) == PARAMETERS["googlenet"] + sum(heads) + 2 * full
        with pytest.raises(ValueError, match=r"unexpected: aux1\.conv\.conv\.weight"):
            build("googlenet").load_state_dict(net.state_dict())
        kept = {k: v for k, v in net.state_dict().items() if not k.startswith("aux")}
        build("googlenet").load_state_dict(kept)

    def test_strides_do_not_change_the_state(self):
        for name in ("resnet50", "resnet101", "resnet152"):
            here, there = (build(name, 10, stride_in_first=first) for first in (False, True))
            assert [v.shape for v in here.buffers()] == [v.shape for v in there.buffers()]
            assert list(here.state_dict()) == list(there.state_dict())

    def test_widths_of_mobilenet_are_multiples_of_8(self):
        # What torchvision's has.
        assert size(build("mobilenet_v2", width_mult=0.5)) == 1_968_680
        assert size(build("mobilenet_v2", width_mult=1.4)) == 6_108_776

    def test_widths_and_depths_of_unet(self):
        net = build("unet", 5, in_channels=1, width=4, depth=1, rng=0)
        assert net(np.zeros((2, 1, 6, 4), np.float32)).shape == (2, 5, 6, 4)
        with pytest.raises(ValueError, match="width"):
            build("unet", width=0)
        with pytest.raises(ValueError, match="depth"):
            build("unet", depth=0)


def test_values_of_residual_blocks():
    net = build("resnet20", rng=0)
    assert all((layer.weight.data == 1).all() for layer in norms(net))
    zero = [block["bn2"].weight.data for block in blocks(build("resnet18", 2, rng=0))]
    assert not any((values == 0).any() for values in zero)
    net = build("resnet18", 2, zero_init_residual=True, rng=0)
    zero = [block["bn2"].weight.data for block in blocks(net)]
    assert len(zero) == 8
    assert all((values == 0).all() for values in zero)
    assert sum((layer.weight.data == 0).any() for layer in norms(net)) == 8


def norms(net):
    return [layer for layer in net.layers() if isinstance(layer, layers.BatchNorm2d)]


def blocks(net):
    return [layer for layer in net.layers() if isinstance(layer, layers.Graph)]


def test_values_of_alexnet_are_those_of_its_paper():
    net = build("alexnet_lrn", 10, rng=0)
    deviations = [float(p.data.std()) for p in net.parameters() if p.data.ndim > 1]
    assert len(deviations) == 8
    assert np.allclose(deviations, 0.01, rtol=0.05)
    biases = [set(p.data.tolist()) for p in net.parameters() if p.data.ndim == 1]
    assert biases == [{0}, {1}, {0}, {1}, {1}, {1}, {1}, {0}]


@pytest.mark.parametrize("name", ["googlenet", "mobilenet_v2", "resnet18", "resnet20", "unet"])
def test_values_follow_from_the_seed(name):
    one, same, other = (build(name, rng=rng) for rng in (5, np.random.default_rng(5), 6))
    for ours, theirs in zip(one.parameters(), same.parameters(), strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)
    weights = [p.data for p in one.parameters() if p.data.ndim > 1]
    others = [p.data for p in other.parameters() if p.data.ndim > 1]
    assert not any((mine == their).all() for mine, their in zip(weights, others, strict=True))
    # One stream of numbers for all layers, not the same one again for each.
    starts = [round(float(array.ravel()[0] / array.std()), 3) for array in weights]
    assert len(set(starts)) >= 0.9 * len(starts)


class Case(NamedTuple):
    """A network beside its twin: arguments, the shape of a batch, how many steps of training."""

    options: dict
    shape: tuple
    steps: int = 10
    twin: object = None


TWINS = {
    "resnet18": Case({}, (2, 3, 64, 64), 1),
    "resnet50": Case({}, (3, 3, 40, 40)),
    "resnet50 of the paper": Case(
        {"stride_in_first": True}, (3, 3, 40, 40), 1, lambda t, x: _twins.resnet50(t, x, 2)
    ),
    "resnet20": Case({}, (4, 3, 12, 12)),
    "googlenet": Case({"aux_logits": True, "dropout": 0.0, "dropout_aux": 0.0}, (3, 3, 48, 48)),
    # Narrow, since torch takes long over depthwise convolutions in float64.
    "mobilenet_v2": Case({"dropout": 0.0, "width_mult": 0.25}, (3, 3, 48, 48)),
    "unet": Case({}, (2, 3, 16, 24)),
    "alexnet_lrn": Case({"dropout": 0.0}, (2, 3, 67, 67), 1),
}

# A layer's rounding errors are what a relative change of its weights by (L + 1) eps at most makes,
# L the products of a sum: at most 9,216 here, and eps 2**-53, so 2**-39.8.
NUDGE = 2.0**-39


@pytest.mark.parametrize("name", TWINS)
def test_training_is_that_of_the_torch_twin(name):
    """Ours and torch's differ by less than ours and ours with weights nudged by NUDGE."""
    torch = torch_or_skip("steps of whole networks against torch")
    case, model = TWINS[name], name.split()[0]
    net = build(model, 10, **case.options, dtype=np.float64, rng=1)
    nudged = copy.deepcopy(net)
    twin = _twins.Twin(torch, net)
    compute = case.twin or getattr(_twins, model)
    settings = {"lr": 1e-4, "momentum": 0.9, "weight_decay": 1e-4}
    ours = [training.SGD(each.parameters(), **settings) for each in (net, nudged)]
    theirs = torch.optim.SGD(twin.parameters, **settings)
    rng = np.random.default_rng(2)
    start = [parameter.data.copy() for parameter in net.parameters()]
    for parameter in nudged.parameters():
        signs = 2 * rng.integers(0, 2, parameter.data.shape, np.int8) - 1
        parameter.data *= 1 + NUDGE * signs
    for _ in range(case.steps):
        x = rng.standard_normal(case.shape)
        expected = compute(twin, torch.tensor(x, requires_grad=True))
        targets = [rng.standard_normal(tuple(y.shape)) for y in expected]
        found, other = (descend(each, x, targets) for each in (net, nudged))
        # Of GoogLeNet's losses the auxiliary ones count 0.3.
        loss = sum(
            weight * ((y - torch.tensor(target)) ** 2).mean()
            for y, target, weight in zip(expected, targets, WEIGHTS, strict=False)
        )
        theirs.zero_grad()
        loss.backward()
        for values in zip(found, other, [*expected, loss], strict=True):
            close(*values)
        parameters = net.parameters(), nudged.parameters(), twin.parameters
        for mine, moved, their in zip(*parameters, strict=True):
            close(mine.grad, moved.grad, their.grad)
        for optimizer in (*ours, theirs):
            optimizer.step()
    moved = nudged.state_dict()
    for key, value in net.state_dict().items():
        close(value, moved[key], twin.state[key])
    # Had nothing moved, agreement would prove nothing.
    pairs = zip(net.parameters(), start, strict=True)
    assert all((parameter.data != before).any() for parameter, before in pairs)


# Of the outputs in the loss.
WEIGHTS = (1.0, 0.3, 0.3)


def descend(net, x, targets):
    """Leave the gradients of a loss of squares; return the outputs and the loss."""
    found = net(x)
    found = found if isinstance(found, tuple) else (found,)
    loss, residuals = 0.0, []
    for y, target, weight in zip(found, targets, WEIGHTS, strict=False):
        loss += weight * ((y - target) ** 2).mean()
        residuals.append(2 * weight / y.size * (y - target))
    net.zero_grad()
    net.backward(tuple(residuals) if len(residuals) > 1 else residuals[0], input_grad=False)
    return [*found, np.asarray(loss)]


def close(found, nudged, expected):
    """Compare by the largest number: batch norm over few values makes some that are next to 0."""
    expected = expected.detach().numpy()
    scale = abs(expected).max()
    bound = abs(found - nudged).max() + NUDGE * (scale + 1)
    # Far from what a wrong formula would make.
    assert bound <= 1e-3 * scale + 2 * NUDGE
    assert abs(found - expected).max() <= bound


def test_the_input_gradient_of_a_padded_shortcut():
    torch = torch_or_skip("the gradient of ResNet-20 against torch")
    net = build("resnet20", dtype=np.float64, rng=1)
    twin = _twins.Twin(torch, net)
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 10))
    other = torch.tensor(x, requires_grad=True)
    output = _twins.resnet20(twin, other)[0]
    output.sum().backward()
    gradient = net.backward(np.ones_like(net(x)))
    np.testing.assert_allclose(gradient, other.grad, rtol=1e-7, atol=1e-10)


def test_auxiliary_classifiers_are_for_training():
    net = build("googlenet", 10, aux_logits=True, rng=0)
    x = np.zeros((2, 3, 64, 64), np.float32)
    assert [scores.shape for scores in net(x)] == [(2, 10)] * 3
    ran = []
    net["aux1"].register_forward_hook(lambda *_: ran.append("aux1"))
    assert net.eval()(x).shape == (2, 10)
    assert ran == []
    net.train()(x)
    assert ran == ["aux1"]
    with pytest.raises(TypeError, match="fc, aux2, aux1"):
        net.backward(np.zeros((2, 10), np.float32))


def test_images_that_are_too_small_are_refused():
    with pytest.raises(ValueError, match="kernel"):
        build("alexnet", 10, rng=0)(np.zeros((1, 3, 30, 30), np.float32))
    with pytest.raises(ValueError, match="shape"):
        build("unet", rng=0)(np.zeros((1, 3, 20, 20), np.float32))


def test_a_network_learns_random_images_by_heart():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, 3, 16, 16)).astype(np.float32)
    target = rng.integers(0, 10, 16)
    net, loss = build("resnet20", rng=0), layers.CrossEntropyLoss()
    optimizer = training.SGD(net.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(40):
        losses.append(float(loss(net(x), target)))
        if losses[-1] < 0.05:
            break
        net.zero_grad()
        net.backward(loss.backward(), input_grad=False)
        optimizer.step()
    assert losses[0] > 1.5
    assert losses[-1] < 0.05


def steps(net, count, x, target):
    """Train on one batch."""
    loss, optimizer = layers.CrossEntropyLoss(), training.SGD(net.parameters(), 0.01, 0.9)
    for _ in range(count):
        loss(net(x), target)
        net.zero_grad()
        net.backward(loss.backward(), input_grad=False)
        optimizer.step()
    return net.state_dict()


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "resnet20"])
def test_training_has_the_same_bits_for_any_threads(name):
    x = np.random.default_rng(0).standard_normal((4, 3, 40, 36)).astype(np.float32)
    with fastconv.num_threads(1):
        alone = steps(build(name, 10, rng=3), 2, x, np.arange(4))
    for threads in (2, 5):
        with fastconv.num_threads(threads):
            found = steps(build(name, 10, rng=3), 2, x, np.arange(4))
        for key, value in alone.items():
            np.testing.assert_array_equal(found[key], value)


def test_a_resumed_run_has_the_bits_of_one_that_was_not_stopped(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((24, 3, 8, 8)).astype(np.float32)
    classes = rng.integers(0, 3, 24)
    data = training.Dataset("noise", images, classes, images, classes, ("a", "b", "c"))

    def run(epochs, **more):
        # Dropout draws too, and batch norm counts.
        net = build("mobilenet_v2", 3, width_mult=0.25, rng=0)
        optimizer = training.SGD(net.parameters(), 0.01, 0.9)
        loss = layers.CrossEntropyLoss()
        training.fit(net, loss, optimizer, data, epochs=epochs, batch_size=8, seed=1, **more)
        return net.state_dict()

    path = tmp_path / "checkpoint.npz"
    run(1, checkpoint=path)
    resumed = run(2, resume=training.load_checkpoint(path))
    for key, value in run(2).items():
        np.testing.assert_array_equal(resumed[key], value)


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_weights_that_torch_saved_are_loaded(tmp_path, ending):
    """The lines that the text of `fastconv.models` shows."""
    torch = torch_or_skip("weights saved with torch")
    net = build("resnet18", 10, rng=1)
    norms(net)[3].running_var[...] = 7
    norms(net)[3].num_batches_tracked[...] = 9
    weights = {key: torch.tensor(value) for key, value in net.state_dict().items()}
    path = tmp_path / f"weights.{ending}"
    if ending == "npz":
        np.savez(path, **{name: array.numpy() for name, array in weights.items()})
    else:
        pytest.importorskip("safetensors.torch").save_file(weights, path)
    other = build("resnet18", 10, rng=2)
    other.load_state_dict(training.load_state(path))
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[key], value)
