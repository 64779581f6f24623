"""Networks of torch as networks of fastconv, and weights the other way."""

import copy
import operator
import pickle
from typing import NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastconv.adapters.torch")

import torch.nn.functional as TF  # noqa: E402
from torch import nn  # noqa: E402

from fastconv import layers, models  # noqa: E402
from fastconv.adapters.torch import state_dict, to_fastconv  # noqa: E402


def twin_of(module, *shapes, atol=1e-5):
    """Convert a module; outputs, gradients and states are as torch's. Return the network."""
    torch.manual_seed(0)
    module = module.double()
    net = to_fastconv(module)
    assert set(net.state_dict()) == set(module.state_dict())
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    outputs = module(*inputs)
    found = net(*(x.detach().numpy() for x in inputs))
    several = isinstance(outputs, tuple)
    outputs, found = (outputs, found) if several else ((outputs,), (found,))
    residuals = [torch.randn(y.shape, dtype=torch.float64) for y in outputs]
    for ours, theirs in zip(found, outputs, strict=True):
        np.testing.assert_allclose(ours, theirs.detach(), rtol=0, atol=atol)
    if module.training:
        torch.autograd.backward(outputs, residuals)
        given = [r.numpy() for r in residuals]
        gradients = net.backward(tuple(given) if several else given[0])
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        for x, gradient in zip(inputs, gradients, strict=True):
            np.testing.assert_allclose(gradient, x.grad, rtol=0, atol=atol)
        theirs = dict(module.named_parameters())
        for name, parameter in net.named_parameters():
            np.testing.assert_allclose(parameter.grad, theirs[name].grad, rtol=0, atol=atol)
    for name, value in state_dict(net).items():
        np.testing.assert_allclose(value, module.state_dict()[name], rtol=0, atol=atol)
    module.load_state_dict(state_dict(net))
    return net


LEAVES = [
    (nn.Conv1d(2, 4, 3, padding=1, padding_mode="reflect"), (2, 2, 8)),
    (nn.Conv2d(4, 6, (3, 2), 2, (1, 0), 1, 2, bias=False), (2, 4, 7, 6)),
    (nn.Conv3d(2, 3, 2), (1, 2, 4, 4, 4)),
    (nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2), (2, 4, 5, 4)),
    (nn.BatchNorm2d(3, eps=1e-3, momentum=0.3), (2, 3, 4, 4)),
    (nn.BatchNorm2d(3, affine=False, track_running_stats=False), (2, 3, 4, 4)),
    (nn.GroupNorm(2, 4), (2, 4, 3, 3)),
    (nn.LayerNorm((4, 4)), (2, 3, 4, 4)),
    (nn.InstanceNorm2d(3, affine=True), (2, 3, 4, 4)),
    (nn.LocalResponseNorm(3), (2, 6, 4, 4)),
    (nn.MaxPool2d(3, 2, 1, ceil_mode=True), (2, 3, 7, 7)),
    (nn.AvgPool2d(2, count_include_pad=False, padding=1), (2, 3, 6, 6)),
    (nn.AdaptiveAvgPool2d((2, 3)), (2, 3, 6, 6)),
    (nn.LPPool2d(2, 2), (2, 3, 6, 6)),
    (nn.PReLU(3), (2, 3, 4, 4)),
    (nn.GELU("tanh"), (2, 5)),
    (nn.Hardtanh(-2, 1), (2, 5)),
    (nn.Softplus(2, 10), (2, 5)),
    (nn.LogSoftmax(1), (2, 5)),
    (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), (2, 3, 4, 4)),
    (nn.PixelShuffle(2), (2, 8, 3, 3)),
    (nn.ReflectionPad2d((1, 2, 0, 1)), (2, 3, 4, 4)),
    (nn.Flatten(), (2, 3, 4)),
    (nn.Unflatten(1, (2, 3)), (2, 6)),
    (nn.Linear(5, 4), (3, 5)),
]


@pytest.mark.parametrize(("module", "shape"), LEAVES, ids=lambda v: repr(v)[:50])
def test_layers_keep_their_arguments(module, shape):
    net = twin_of(copy.deepcopy(module), shape)
    assert type(net).__name__ == type(module).__name__


class Block(nn.Module):
    """A residual block as torchvision writes it."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.downsample = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else None

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.conv2(out)
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Branches(nn.Module):
    """What is written with functions and methods, with parts in a list."""

    def __init__(self):
        super().__init__()
        self.paths = nn.ModuleList([nn.Conv2d(4, 3, 1), nn.Conv2d(4, 5, 3, padding=1)])
        self.extra = nn.ModuleDict({"head": nn.Linear(12, 7)})

    def forward(self, x):
        found = [TF.relu(path(x)) for path in self.paths]
        found.append(TF.max_pool2d(x, 3, stride=1, padding=1))
        y = torch.cat(found, 1)
        y = TF.avg_pool2d(TF.leaky_relu(y, 0.1), 2).sigmoid()
        y = TF.adaptive_avg_pool2d(TF.dropout(y, 0.0, self.training), (1, 1))
        return self.extra["head"](torch.flatten(y, 1))


def test_a_network_of_blocks():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), Block(4, 4, 1), Block(4, 8, 2), nn.Dropout(0))
    net = twin_of(module, (2, 3, 9, 9))
    assert isinstance(net[1], layers.Graph)
    twin_of(module.eval(), (2, 3, 9, 9))


def test_functions_methods_and_parts_in_lists():
    net = twin_of(Branches(), (2, 4, 6, 6))
    assert "paths.1.weight" in net.state_dict()
    assert "extra.head.bias" in dict(net.named_parameters())
    # It may be copied and pickled, as any layer.
    x = np.ones((2, 4, 6, 6))
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(other(x), net(x))


@pytest.mark.parametrize(
    "flat",
    [
        lambda x: x.view(x.size(0), -1),
        lambda x: x.reshape((x.shape[0], -1)),
        lambda x: x.flatten(1),
        lambda x: x.mean((2, 3)),
        lambda x: torch.mean(x, dim=[-2, -1], keepdim=True).flatten(1),
        lambda x: TF.interpolate(x, scale_factor=2, mode="nearest").flatten(1),
    ],
)
def test_ways_to_flatten(flat):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 3, 3)

        def forward(self, x):
            return flat(self.conv(x))

    twin_of(Net(), (2, 2, 5, 5))


def test_a_layer_at_two_places_and_one_parameter_in_two_layers():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(self.first(self.first(x).tanh()))

    net = twin_of(Net(), (3, 4))
    parameters = dict(net.named_parameters(remove_duplicate=False))
    assert parameters["first.weight"] is parameters["second.weight"]


def test_several_inputs_and_outputs():
    class Pair(NamedTuple):
        total: object
        one: object

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 2), nn.Linear(4, 2)

        def forward(self, x, y):
            one = self.a(x)
            return Pair(operator.add(one, self.b(y)), one)

    twin_of(Net(), (5, 3), (5, 4))


def test_modes_frozen_parameters_and_precision():
    module = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).eval()
    module[0].weight.requires_grad_(False)
    net = to_fastconv(module)
    assert not net.training
    assert net[0].weight.data.dtype == np.float32
    assert [p.requires_grad for p in net.parameters()] == [False, True]
    assert net[1].p == 0.5
    # Copies: what becomes of one does not reach the other.
    net[0].weight.data[...] = 0
    assert module[0].weight.abs().max() > 0
    tensor = state_dict(net)["0.bias"]
    tensor.zero_()
    assert np.abs(net[0].bias.data).max() > 0


def test_weights_go_back_to_torch():
    net = models.resnet20(rng=0)
    again = models.resnet20(rng=1)
    again.load_state_dict({name: value.numpy() for name, value in state_dict(net).items()})
    for name, value in again.state_dict().items():
        np.testing.assert_array_equal(value, net.state_dict()[name])


def written(function, **parts):
    """Return a module whose forward is a function of it and x."""

    class Written(nn.Module):
        def __init__(self):
            super().__init__()
            for name, part in parts.items():
                setattr(self, name, part)

        def forward(self, x):
            return function(self, x)

    return Written()


HOOKED = nn.Linear(2, 2)
HOOKED.register_forward_hook(lambda *call: None)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.LSTM(2, 2)), "1: "),
        (nn.Sequential(nn.Sequential(nn.Conv2d(1, 1, 1).half())), r"0\.0: .*float16"),
        (HOOKED, "hooks"),
        (written(lambda m, x: x * x), "the network: fastconv has no layer for 'mul'"),
        (written(lambda m, x: x + m.w, w=nn.Parameter(torch.ones(2))), "parameters of its own"),
        (written(lambda m, x: x if x.sum() > 0 else -x), "cannot be traced"),
        (written(lambda m, x: x.view(3, 2)), "view"),
        (written(lambda m, x: x.view(x.size(1), -1)), "only that of the batch"),
        (written(lambda m, x: x.mean(1)), "mean"),
        (written(lambda m, x: x), "computes nothing"),
        (written(lambda m, x: m.a(x) + x, a=nn.ReLU(inplace=True)), "would write over"),
        (written(lambda m, x: torch.cat(m.a(x)), a=nn.ReLU()), "no list"),
        (written(lambda m, x: TF.dropout(x, 0.5)).eval(), "drops in another mode"),
        (written(lambda m, x: TF.dropout(x, 0.5, False)), "drops in another mode"),
        (
            written(lambda m, x: TF.interpolate(x, 4, mode="bilinear", antialias=True)),
            "antialias",
        ),
        (written(lambda m, x: TF.softmax(x, 1, dtype=torch.float64)), "dtype"),
        (written(lambda m, x: TF.max_pool2d(x, 2, return_indices=True)[0]), "with_indices"),
    ],
)
def test_what_cannot_be_converted_is_named(module, said):
    with pytest.raises((TypeError, ValueError), match=said):
        to_fastconv(module)


def test_a_value_that_is_written_over_and_used_after():
    def forward(module, x):
        y = module.a(x)
        y += x
        return module.b(y)

    net = written(forward, a=nn.Linear(2, 2), b=nn.Linear(2, 2))
    twin_of(net, (3, 2))

    def wrong(module, x):
        y = module.a(x)
        z = y.add_(x)
        return z + y

    with pytest.raises(ValueError, match="writes over a value that is used after it"):
        to_fastconv(written(wrong, a=nn.Linear(2, 2)))


def test_no_module():
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, got int"):
        to_fastconv(3)
