"""Every layer: against torch.nn, by numerical gradients, in both dtypes."""

import numpy as np
import pytest

from fastconv import functional as F
from fastconv import layers, reference
from tests._cases import torch_or_skip
from tests.layers._cases import CASES, TORCH_CASES, normal


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
