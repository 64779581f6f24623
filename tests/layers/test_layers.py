"""The layers: against torch.nn, by numerical gradients, their state, their modes."""

import weakref
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest

from fastconv import functional as F
from fastconv import layers, reference
from tests._cases import torch_or_skip


def normal(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


class Case(NamedTuple):
    """A layer and the shape of an input for it."""

    name: str
    shape: tuple[int, ...]
    args: tuple = ()
    kwargs: dict | None = None

    def build(self, dtype=np.float64):
        more = {"dtype": dtype, "rng": 0} if "Conv" in self.name or self.name == "Linear" else {}
        if self.name == "PReLU" or ("Norm" in self.name and self.name != "LocalResponseNorm"):
            more = {"dtype": dtype}
        return getattr(layers, self.name)(*self.args, **(self.kwargs or {}), **more)

    @property
    def input(self):
        return normal(self.shape, 1)

    def __str__(self):
        return f"{self.name}{self.args}{self.kwargs or ''}{self.shape}"


SPATIAL = (2, 4, 7, 6)
LINE, VOLUME = (2, 4, 9), (2, 4, 3, 5, 4)

TORCH_CASES = [
    Case("BatchNorm1d", (5, 4), (4,)),
    Case("BatchNorm1d", LINE, (4, 1e-3)),
    Case("BatchNorm2d", SPATIAL, (4, 1e-3, None)),
    Case("BatchNorm2d", SPATIAL, (4, 1e-3, 0.2, False, False)),
    Case("BatchNorm3d", VOLUME, (4,)),
    Case("GroupNorm", SPATIAL, (2, 4)),
    *(Case("LayerNorm", SPATIAL, args) for args in ((6,), ((7, 6), 1e-3, False))),
    *(Case(f"InstanceNorm{n}d", x, (4,)) for n, x in enumerate((LINE, SPATIAL, VOLUME), 1)),
    Case("LocalResponseNorm", SPATIAL, (3, 0.1, 0.6, 2.0)),
    Case("Conv2d", SPATIAL, (4, 3, 3)),
    Case("Conv2d", SPATIAL[1:], (4, 3, 3)),
    Case("Conv2d", SPATIAL, (4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2, False)),
    Case("Conv2d", SPATIAL, (4, 8, 3), {"groups": 4, "padding": 2, "stride": 3}),
    Case("Conv2d", SPATIAL, (4, 3, (4, 3)), {"padding": "same", "dilation": (1, 2)}),
    Case("Conv2d", SPATIAL, (4, 3, 2), {"padding": "valid"}),
    *(
        Case("Conv2d", SPATIAL, (4, 3, 3, stride, padding, 2, 1, bias, mode))
        for mode in ("reflect", "replicate", "circular")
        for stride, padding, bias in (((2, 1), (3, 1), True), (1, "same", False), (1, 0, True))
    ),
    Case("Conv2d", SPATIAL[1:], (4, 2, (4, 3)), {"padding": "same", "padding_mode": "circular"}),
    Case("Conv1d", LINE, (4, 6, 3, 2, 1, 2, 2)),
    Case("Conv1d", LINE[1:], (4, 3, 4), {"padding": "same", "bias": False}),
    Case("Conv1d", LINE, (4, 3, 3, 1, 2, 1, 1, True, "reflect")),
    Case("Conv3d", VOLUME, (4, 6, (2, 3, 2), (1, 2, 1), (1, 0, 1), 1, 2)),
    Case("Conv3d", VOLUME[1:], (4, 3, 3), {"padding": 1}),
    Case("Conv3d", VOLUME, (4, 2, 2, 1, 1, 1, 1, False, "replicate")),
    Case("ConvTranspose1d", LINE, (4, 6, 4, 3, 1, 2, 2)),
    Case("ConvTranspose1d", LINE[1:], (4, 3, 2), {"bias": False, "dilation": 3}),
    Case("ConvTranspose2d", SPATIAL, (4, 3, 2, 2)),
    Case("ConvTranspose2d", SPATIAL, (4, 6, (3, 4), (2, 1), (1, 2), (1, 0), 2, True, (1, 2))),
    Case("ConvTranspose2d", SPATIAL[1:], (4, 8, 3), {"groups": 4, "padding": 1}),
    Case("ConvTranspose3d", VOLUME, (4, 6, (2, 3, 2), (1, 2, 3), (1, 0, 1), (0, 1, 2), 2)),
    Case("ConvTranspose3d", VOLUME[1:], (4, 3, 2, 2)),
    Case("Linear", (5, 4), (4, 3)),
    Case("Linear", (4,), (4, 3)),
    Case("Linear", (2, 3, 4), (4, 3, False)),
    Case("MaxPool2d", SPATIAL, (2,)),
    Case("MaxPool2d", SPATIAL, (3, 2, 1)),
    Case("MaxPool2d", SPATIAL, ((2, 3), (3, 1), (1, 0), (2, 1), False, True)),
    Case("MaxPool2d", SPATIAL, (2, 2, 0, 1, False, True)),
    Case("MaxPool2d", SPATIAL[1:], (3, 1)),
    Case("AvgPool2d", SPATIAL, (2,)),
    Case("AvgPool2d", SPATIAL, (3, 2, 1, True, False)),
    Case("AvgPool2d", SPATIAL, ((2, 3), (3, 1), (1, 1), True, True, 5)),
    Case("AvgPool2d", SPATIAL[1:], (3, 1)),
    *(
        Case(f"{name}{axes}d", (2, 3, *(5, 6, 7)[-axes:]), args)
        for axes in (1, 2, 3)
        for name, args in (
            ("AdaptiveAvgPool", (1,)),
            ("AdaptiveAvgPool", ((None, 3, 2)[-axes:],)),
            ("AdaptiveMaxPool", (1,)),
            ("AdaptiveMaxPool", ((None, 3, 2)[-axes:],)),
            ("LPPool", (2, 2)),
            ("LPPool", (4, 3, 2, True)),
            ("AvgPool", (3, 2, 1, True, False)),
            ("MaxPool", (3, 2, 1, 1, False, True)),
        )
    ),
    Case("Flatten", SPATIAL),
    Case("Flatten", SPATIAL, (-3, 2)),
    Case("Unflatten", SPATIAL, (1, (2, 2))),
    Case("Unflatten", SPATIAL, (-1, (3, -1))),
    Case("Identity", SPATIAL),
    Case("ReLU", SPATIAL),
    Case("ReLU", SPATIAL, (True,)),
    Case("LeakyReLU", SPATIAL, (0.2,)),
    Case("LeakyReLU", SPATIAL, (0.2, True)),
    Case("LeakyReLU", SPATIAL, (-0.5,)),
    Case("Sigmoid", SPATIAL),
    Case("Tanh", SPATIAL),
    Case("Softmax", SPATIAL, (1,)),
    Case("Softmax", SPATIAL, (-1,)),
    Case("LogSoftmax", SPATIAL, (1,)),
    Case("LogSoftmax", SPATIAL, (-1,)),
    Case("Dropout", SPATIAL, (0.0,)),
    Case("Dropout", SPATIAL, (1.0, True)),
    *(
        Case(name, SPATIAL, (inplace,))
        for name in ("ReLU6", "Hardsigmoid", "Hardswish", "SELU", "SiLU", "Mish")
        for inplace in (False, True)
    ),
    Case("Hardtanh", SPATIAL, (-0.5, 0.7)),
    Case("Hardtanh", SPATIAL, (-0.5, 0.7, True)),
    Case("ELU", SPATIAL, (0.7,)),
    Case("ELU", SPATIAL, (0.7, True)),
    Case("CELU", SPATIAL, (0.5,)),
    Case("CELU", SPATIAL, (0.5, True)),
    Case("GELU", SPATIAL),
    Case("GELU", SPATIAL, ("tanh",)),
    Case("Softplus", SPATIAL),
    Case("Softplus", SPATIAL, (2.0, 1.0)),
    Case("Softsign", SPATIAL),
    Case("LogSigmoid", SPATIAL),
    Case("PReLU", SPATIAL),
    Case("PReLU", SPATIAL, (4, 0.1)),
    *(
        Case(name, (2, 4, *[3] * axes), (0.0,))
        for axes, name in enumerate(("Dropout1d", "Dropout2d", "Dropout3d"), 1)
    ),
    Case("Dropout2d", SPATIAL, (1.0, True)),
    Case("AlphaDropout", SPATIAL, (0.0,)),
    *(
        Case(f"{kind}{axes}d", (2, 3, 4, 3, 4)[: 2 + axes], (padding, *more))
        for kind, *more in (
            ("ZeroPad",),
            ("ConstantPad", 1.5),
            ("ReflectionPad",),
            ("ReplicationPad",),
            ("CircularPad",),
        )
        for axes in (1, 2, 3)
        for padding in (2, (1, 2, 0, 1, 2, 0)[: 2 * axes])
    ),
    Case("ZeroPad2d", SPATIAL, ((-1, 2, 1, -2),)),
    Case("PixelShuffle", SPATIAL, (2,)),
    Case("PixelUnshuffle", (2, 3, 6, 4), (2,)),
    Case("Upsample", SPATIAL, (None, 2)),
    Case("Upsample", SPATIAL, ((5, 9), None, "bilinear", True)),
    Case("Upsample", SPATIAL, (None, (1.5, 0.7), "bicubic")),
    Case("Upsample", SPATIAL[:3], (11, None, "linear")),
    Case("AlphaDropout", SPATIAL, (1.0, True)),
]

OWN_CASES = [
    Case("Conv2d", SPATIAL, (4, 2, 3, 2, "same")),
    Case("Conv2d", SPATIAL, (4, 2, (4, 3), 3, "same_lower", 2, 2)),
    Case("Conv2d", (2, 2, 2, 3), (2, 2, (3, 2), 2, "full")),
    Case("Conv2d", SPATIAL, (4, 4, 3, (3, 2), ((0, 2), (1, 0)), (2, 1), 4)),
    Case("Conv2d", SPATIAL, (4, 2, 3, 2, ((0, 2), (3, 1)), 1, 2, True, "reflect")),
    Case("Conv2d", (2, 2, 3, 3), (2, 2, 2, 2, "full", 2, 1, True, "circular")),
    Case("Conv2d", SPATIAL, (4, 2, 4, 3, "same_lower", 1, 1, True, "replicate")),
    Case("Conv1d", LINE, (4, 2, 3, 2, "same_lower")),
    Case("Conv3d", VOLUME, (4, 2, 2, 1, ((0, 1), (2, 0), (1, 1)))),
    Case("ConvTranspose2d", SPATIAL, (4, 2, 3, 2, ((0, 1), (2, 1)), 1)),
    Case("ConvTranspose1d", LINE, (4, 2, 3, 2, "valid")),
    Case("MaxPool2d", SPATIAL, (3, 2, "same")),
    Case("MaxPool2d", SPATIAL, (3, 1, ((1, 0), (0, 1)))),
    Case("AvgPool2d", SPATIAL, (2, 1, "same_lower")),
    Case("AvgPool2d", SPATIAL, (3, 2, ((1, 0), (0, 1)), True, False)),
    Case("LeakyReLU", SPATIAL, (-0.5, True)),
    Case("Dropout", SPATIAL, (0.4,), {"rng": 3}),
    Case("Dropout", SPATIAL, (0.4, True), {"rng": 3}),
    Case("Dropout1d", SPATIAL[1:], (0.4,), {"rng": 3}),
    Case("Dropout2d", SPATIAL, (0.4, True), {"rng": 3}),
    Case("Dropout3d", SPATIAL, (0.4,), {"rng": 3}),
    Case("AlphaDropout", SPATIAL, (0.4, True), {"rng": 3}),
]

CASES = TORCH_CASES + OWN_CASES


def test_every_layer_has_a_case():
    classes = [getattr(layers, name) for name in layers.__all__]
    found = {c for c in classes if isinstance(c, type) and issubclass(c, layers.Layer)}
    others = {layers.Layer, layers.Sequential, layers.ModuleList, layers.ModuleDict}
    others |= {layers.Add, layers.Concat, layers.Graph}
    # Of samples, and of two inputs: tests/layers/test_pooling.py.
    others |= {layers.FractionalMaxPool2d, layers.FractionalMaxPool3d}
    others |= {layers.MaxUnpool1d, layers.MaxUnpool2d, layers.MaxUnpool3d}
    assert {c.__name__ for c in found - others} == {case.name for case in TORCH_CASES}


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize("case", TORCH_CASES, ids=str)
def test_layers_agree_with_torch(case):
    torch = torch_or_skip("every layer, forward and backward")
    twin = getattr(torch.nn, case.name)(*case.args, **(case.kwargs or {})).double()
    layer = case.build()
    # torch's hard sigmoid multiplies by a sixth of single precision.
    rtol = 1e-7 if case.name == "Hardsigmoid" else 1e-12
    layer.load_state_dict({name: array.numpy() for name, array in twin.state_dict().items()})
    x = torch.tensor(case.input, requires_grad=True)
    # An in-place layer must not overwrite a leaf of torch's graph.
    expected = twin(x * 1)
    output = layer(case.input)
    assert output.dtype == np.float64
    np.testing.assert_allclose(output, expected.detach(), rtol=rtol, atol=1e-14)
    residual = normal(output.shape, 2)
    expected.backward(torch.tensor(residual))
    grad_input = layer.backward(residual.copy())
    np.testing.assert_allclose(grad_input, x.grad, rtol=rtol, atol=1e-13)
    gradients = {name: p.grad for name, p in layer.named_parameters()}
    assert list(gradients) == [name for name, _ in twin.named_parameters()]
    for name, parameter in twin.named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_those_of_central_differences(case):
    assert layers.check_gradients(case.build(), case.input) < 1e-8


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name == "Conv2d" and len(case.shape) == 4], ids=str
)
def test_convolutions_equal_the_reference(case):
    # Weights in one power of two make all sums exact.
    layer = case.build()
    for parameter in layer.parameters():
        parameter.data[...] = np.rint(parameter.data * 64)
    x = np.rint(case.input * 8)
    padding, padded = layer.padding, x
    if layer.padding_mode != "zeros":
        arguments = (layer.kernel_size, layer.stride, layer.dilation)
        pairs = reference._windows.padding_pairs(padding, x.shape[2:], *arguments)
        padded = reference.pad(x, (*pairs[1], *pairs[0]), layer.padding_mode)
        padding = 0
    bias = None if layer.bias is None else layer.bias.data
    arguments = (layer.stride, padding, layer.dilation, layer.groups)
    expected = reference.conv2d(padded, layer.weight.data, bias, *arguments)
    np.testing.assert_array_equal(layer(x), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_dtype_is_kept(case, dtype):
    layer = case.build(dtype)
    output = layer(case.input.astype(dtype))
    gradient = layer.backward(output.copy())
    arrays = [output, gradient, *(p.data for p in layer.parameters())]
    arrays += [p.grad for p in layer.parameters()]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}
    assert gradient.shape == case.shape


# What a wrong layer looks like.


class WrongInput(layers.Tanh):
    def _backward(self, saved, grad_output, input_grad):
        return 1.001 * super()._backward(saved, grad_output, input_grad)


class ForgottenWeight(layers.Linear):
    def _backward(self, saved, grad_output, input_grad):
        return F.linear_backward(grad_output, saved, self.weight.data)[0]


def test_check_gradients_finds_wrong_gradients():
    x = normal((3, 4), 1)
    assert layers.check_gradients(WrongInput(), x) > 1e-4
    assert layers.check_gradients(ForgottenWeight(4, 2, dtype=np.float64, rng=0), x) > 1e-2


def test_check_gradients_leaves_layer_and_input_as_they_were():
    net = layers.Sequential(
        layers.Linear(4, 3, dtype=np.float64, rng=0), layers.Tanh(), layers.Dropout(0.5, rng=1)
    )
    net[1].training = False
    x, state = normal((2, 4)), net[2].rng.bit_generator.state
    x.flags.writeable = False
    kept = x.copy(), net[0].weight.data.copy()
    assert layers.check_gradients(net, x) < 1e-8
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(net[0].weight.data, kept[1])
    assert [part.training for part in net.layers()] == [True, True, False, True]
    assert net[2].rng.bit_generator.state == state
    assert net[0].weight.grad is None
    with pytest.raises(RuntimeError, match="needs a forward pass"):
        net.backward(normal((2, 3)))


def test_check_gradients_wants_float64():
    with pytest.raises(TypeError, match="float64"):
        layers.check_gradients(layers.Tanh(), np.zeros((2, 2), np.float32))
    with pytest.raises(TypeError, match="float64"):
        layers.check_gradients(layers.Linear(2, 2), np.zeros((2, 2)))


# What goes in.


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_only_arrays_of_floats_go_in(case, training):
    layer = case.build().train(training)
    x = case.input
    for wrong in (x.tolist(), np.ma.array(x), x.astype(int), x.astype(np.float16)):
        with pytest.raises(TypeError):
            layer(wrong)
    if layer.parameters():
        with pytest.raises(TypeError, match="dtype"):
            layer(x.astype(np.float32))


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (layers.Conv2d(2, 1, 3), (1, 3, 5, 5), "channels"),
        (layers.Conv2d(2, 1, 3), (5, 5), r"\(N, C, H, W\)"),
        (layers.Conv2d(2, 1, 3), (1, 2, 2, 5), "larger than the padded input"),
        (layers.Conv2d(2, 1, 3, padding=2, padding_mode="reflect"), (1, 2, 2, 5), "reflect"),
        (layers.Conv2d(2, 1, 3, 1, 1, padding_mode="circular"), (5, 5), r"with shape \(5, 5\)"),
        (layers.Conv2d(2, 1, 3, 1, 1, padding_mode="circular"), (5,), r"\(N, C, H, W\)"),
        (layers.Linear(4, 2), (3, 5), "in_features"),
        (layers.MaxPool2d(2), (3, 3), r"\(N, C, H, W\)"),
        (layers.AvgPool2d(4), (1, 1, 3, 3), "larger"),
        (layers.Flatten(1, 4), (2, 3, 4), "cannot join"),
        (layers.Flatten(2, 1), (2, 3, 4), "cannot join"),
        (layers.Unflatten(1, (2, 2)), (2, 3, 4), r"cannot split axis 1, of length 3"),
        (layers.Unflatten(-2, (2, -1)), (2, 3, 4), r"cannot split axis 1, of length 3"),
        (layers.Unflatten(3, (2, 2)), (2, 3, 4), "cannot split an axis"),
        (layers.Softmax(4), (2, 3), "axis"),
    ],
)
def test_wrong_shapes_are_refused(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer(np.zeros(shape, np.float32))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_residual_of_another_shape_or_dtype_is_refused(case):
    layer = case.build()
    output = layer(case.input)
    with pytest.raises(ValueError, match="shape"):
        layer.backward(np.ones((*output.shape[:-1], output.shape[-1] + 1)))
    layer(case.input)
    with pytest.raises(ValueError, match="shape"):
        layer.backward(np.ones((1, output.size)))
    passing = ("Flatten", "Identity", "Unflatten", "MaxPool", "AvgPool", "Adaptive", "Dropout")
    if not case.name.startswith(passing):
        layer(case.input)
        with pytest.raises(TypeError, match="dtype"):
            layer.backward(np.ones(output.shape, np.float32))


def has_a_batch(case):
    """Tell whether an input has an axis for the batch, in front."""
    if "Conv" in case.name:
        return len(case.shape) == int(case.name[-2]) + 2
    return len(case.shape) in (2, 4)


@pytest.mark.parametrize("case", [case for case in CASES if has_a_batch(case)], ids=str)
def test_an_empty_batch_goes_through(case):
    layer = case.build()
    output = layer(np.zeros((0, *case.shape[1:])))
    assert output.size == 0
    gradient = layer.backward(output.copy())
    assert gradient.shape == (0, *case.shape[1:])
    for parameter in layer.parameters():
        np.testing.assert_array_equal(parameter.grad, np.zeros_like(parameter.data))


# Forward and backward.


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_written_then_added(case):
    layer = case.build()
    assert all(p.grad is None for p in layer.parameters())

    def gradients(seed):
        residual = normal(layer(case.input).shape, seed)
        layer.backward(residual)
        return [p.grad.copy() for p in layer.parameters()]

    first = gradients(1)
    layer.zero_grad()
    assert all(p.grad is None for p in layer.parameters())
    second = gradients(2)
    both = gradients(1)
    for one, two, sum_ in zip(first, second, both, strict=True):
        assert np.abs(one).max() > 0
        np.testing.assert_array_equal(sum_, two + one)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_backward_for_each_forward(case):
    layer = case.build()
    message = f"{case.name}.backward needs a forward pass"
    residual = np.ones_like(layer(case.input))
    layer.backward(residual)
    with pytest.raises(RuntimeError, match=message):
        layer.backward(residual)
    layer(case.input)
    layer.eval()
    with pytest.raises(RuntimeError, match=message):
        layer.backward(residual)
    layer(case.input)
    layer.train()
    with pytest.raises(RuntimeError, match=message):
        layer.backward(residual)
    layer(case.input)
    assert layer.backward(residual) is not None


@pytest.mark.parametrize("case", CASES, ids=str)
def test_without_input_grad_only_parameters_get_gradients(case):
    layer = case.build()
    residual = normal(layer(case.input).shape, 2)
    layer.backward(residual)
    expected = [p.grad for p in layer.parameters()]
    layer.zero_grad()
    layer(case.input)
    assert layer.backward(residual, input_grad=False) is None
    for parameter, gradient in zip(layer.parameters(), expected, strict=True):
        np.testing.assert_array_equal(parameter.grad, gradient)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("input_grad", [True, False])
def test_gradients_that_nobody_wants_are_not_computed(monkeypatch, input_grad, bias):
    masks = []

    def spied(original):
        def spy(*args, output_mask, **more):
            masks.append(output_mask)
            return original(*args, output_mask=output_mask, **more)

        return spy

    for name in ("conv2d_backward", "linear_backward"):
        monkeypatch.setattr(F, name, spied(getattr(F, name)))
    for layer, shape in (
        (layers.Conv2d(1, 2, 3, bias=bias), (1, 1, 4, 4)),
        (layers.Linear(4, 2, bias=bias), (3, 4)),
    ):
        residual = np.ones_like(layer(np.zeros(shape, np.float32)))
        layer.backward(residual, input_grad=input_grad)
    assert masks == [(input_grad, True, bias)] * 2


def test_max_pooling_computes_indices_only_where_they_are_needed(monkeypatch):
    wanted, original = [], F.max_pool2d

    def spy(*args, return_indices):
        wanted.append(return_indices)
        return original(*args, return_indices=return_indices)

    monkeypatch.setattr(F, "max_pool2d", spy)
    layer = layers.MaxPool2d(2)
    for mode in (True, False):
        layer.train(mode)(np.zeros((1, 2, 2)))
    assert wanted == [True, False]


BY_MODE = ("Dropout", "BatchNorm")


@pytest.mark.parametrize(
    "case", [c for c in CASES if not any(word in c.name for word in BY_MODE)], ids=str
)
def test_the_output_is_the_same_in_both_modes(case):
    layer = case.build()
    trained = layer(case.input)
    np.testing.assert_array_equal(layer.eval()(case.input), trained)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_arrays_are_never_reused(case):
    layer = case.build()

    def step(seed):
        output = layer(normal(case.shape, seed))
        kept = output.copy()
        layer.zero_grad()
        gradient = layer.backward(normal(output.shape, seed))
        arrays = [output, gradient, *(p.grad for p in layer.parameters())]
        return arrays, [kept, *(array.copy() for array in arrays[1:])]

    first, copies = step(1)
    second, _ = step(2)
    for array, copy in zip(first, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
        assert not any(np.shares_memory(array, other) for other in second)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_evaluation_saves_nothing_and_backward_frees(case):
    layer = case.build()

    def forward():
        x = case.input
        output = layer(x)
        return weakref.ref(x), weakref.ref(output), output.shape

    input, output, shape = forward()
    layer.backward(np.ones(shape), input_grad=False)
    assert input() is None
    assert output() is None
    layer.eval()
    input, output, shape = forward()
    assert input() is None
    assert output() is None


IN_PLACE = ["ReLU", "LeakyReLU", "Dropout", "AlphaDropout", "ReLU6", "Hardtanh", "Hardsigmoid"]
IN_PLACE += ["Hardswish", "ELU", "SELU", "CELU", "SiLU", "Mish"]


@pytest.mark.parametrize("name", IN_PLACE)
def test_inplace_layers_write_over_their_input(name):
    more = {"rng": 5} if "Dropout" in name else {}
    plain, inplace = (getattr(layers, name)(inplace=choice, **more) for choice in (False, True))
    x, residual = normal((3, 4)), normal((3, 4), 1)
    kept = x.copy()
    expected = plain(kept)
    np.testing.assert_array_equal(x, kept)
    assert inplace(x) is x
    np.testing.assert_array_equal(x, expected)
    assert not np.array_equal(x, kept)
    np.testing.assert_array_equal(inplace.backward(residual), plain.backward(residual))
    read_only = kept.copy()
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        inplace(read_only)


def test_dropout_keeps_the_mean_and_is_the_identity_in_evaluation():
    layer = layers.Dropout(0.25, rng=1)
    x = np.ones((100, 1000))
    output = layer(x)
    assert set(np.unique(output)) == {0.0, 1 / 0.75}
    # The standard deviation of the fraction is sqrt(0.25 * 0.75 / 1e5) = 0.0014.
    assert abs((output == 0).mean() - 0.25) < 0.007
    np.testing.assert_array_equal(layer.backward(np.ones_like(x)), output)
    assert not np.array_equal(layer(x), output)
    np.testing.assert_array_equal(layers.Dropout(0.25, rng=1)(x), output)
    np.testing.assert_array_equal(layer.eval()(x), x)


def test_max_pooling_may_return_indices():
    x = normal((2, 3, 4, 4))
    layer = layers.MaxPool2d(2, return_indices=True)
    expected = F.max_pool2d(x, 2, return_indices=True)
    for mode in (False, True):
        for one, other in zip(layer.train(mode)(x), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    gradient = F.max_pool2d_backward(np.ones((2, 3, 2, 2)), expected[1], x.shape)
    np.testing.assert_array_equal(layer.backward(np.ones((2, 3, 2, 2))), gradient)


def small_net(**more):
    conv = layers.Conv2d(2, 4, 3, padding=1, padding_mode="reflect", rng=0, **more)
    return layers.Sequential(
        OrderedDict(
            features=layers.Sequential(conv, layers.ReLU(inplace=True), layers.MaxPool2d(2)),
            flat=layers.Flatten(),
            drop=layers.Dropout(0.5, rng=7),
            head=layers.Linear(16, 3, rng=1, **more),
        )
    )


def test_many_threads_may_call_in_evaluation():
    net = small_net(dtype=np.float64).eval()
    inputs = [normal((2, 2, 4, 4), seed) for seed in range(64)]
    expected = [net(x) for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(net, inputs * 4))
    for one, other in zip(found, expected * 4, strict=True):
        np.testing.assert_array_equal(one, other)
