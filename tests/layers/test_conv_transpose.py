"""The transposed convolutions' layers: the size of the output that a call may ask for."""

from itertools import product

import numpy as np
import pytest

from fastconv import layers
from tests._cases import assert_exact, integers, torch_or_skip

# Arguments behind the channels, and what they make of 5 positions at least.
CASES = [
    ({"kernel_size": 3, "stride": 2}, 11),
    ({"kernel_size": 3, "stride": 3, "padding": 1}, 13),
    ({"kernel_size": 2, "stride": 4, "output_padding": 1}, 18),
    ({"kernel_size": 3, "stride": 2, "dilation": 2, "bias": False}, 13),
    ({"kernel_size": 3, "stride": 3, "padding": "valid", "groups": 2}, 15),
]


def build(axes, arguments, dtype=np.float64):
    layer = getattr(layers, f"ConvTranspose{axes}d")(2, 4, **arguments, dtype=dtype, rng=0)
    for i, parameter in enumerate(layer.parameters()):
        parameter.data[...] = integers(parameter.data.shape, dtype, 5 + i)
    return layer


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(("arguments", "least"), CASES, ids=str)
def test_a_size_stands_for_an_output_padding(arguments, least, axes):
    layer, plain = build(axes, arguments), build(axes, arguments)
    x = integers((2, 2, *[5] * axes), np.float64)
    stride = layer.stride[0]
    for extra in product(range(stride), repeat=axes):
        size = tuple(least + n for n in extra)
        plain.output_padding = extra
        expected = plain(x)
        assert expected.shape[2:] == size
        for wanted in (size, list(size), (9, 9, *size)):
            assert_exact(layer(x, output_size=wanted), expected)
        assert_exact(layer(x, size), expected)
        residual = integers(expected.shape, np.float64, 3)
        assert_exact(layer.backward(residual), plain.backward(residual))
        for one, other in zip(layer.parameters(), plain.parameters(), strict=True):
            assert_exact(one.grad, other.grad)
        layer.zero_grad()
        plain.zero_grad()
    # The layer's own stays, and so does its output without a size.
    assert layer.output_padding == build(axes, arguments).output_padding


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_sizes_agree_with_torch(axes):
    torch = torch_or_skip("transposed convolutions of a given output size")
    layer = build(axes, {"kernel_size": 3, "stride": 2, "padding": 1})
    twin = getattr(torch.nn, f"ConvTranspose{axes}d")(2, 4, 3, 2, 1).double()
    layer.load_state_dict({name: value.numpy() for name, value in twin.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((2, 2, *[5] * axes))
    theirs = torch.from_numpy(x).requires_grad_()
    for size in (9, 10):
        expected = twin(theirs, output_size=[size] * axes)
        output = layer(x, output_size=(size,) * axes)
        np.testing.assert_allclose(output, expected.detach(), rtol=1e-12, atol=1e-14)
        expected.sum().backward()
        gradient = layer.backward(np.ones(output.shape))
        np.testing.assert_allclose(gradient, theirs.grad, rtol=1e-12, atol=1e-14)
        theirs.grad = None


def test_sizes_by_turns_and_prepared():
    layer, x = (
        build(2, {"kernel_size": 3, "stride": 2, "padding": 1}),
        integers((1, 2, 5, 5), np.float64),
    )

    # Backward is that of the size which the call had.
    layer(x, (9, 10))
    first = layer.backward(np.ones((1, 4, 9, 10)))
    layer(x, (10, 9))
    with pytest.raises(ValueError, match="grad_output"):
        layer.backward(np.ones((1, 4, 9, 10)))
    layer(x, (10, 9))
    second = layer.backward(np.ones((1, 4, 10, 9)))
    assert first.shape == second.shape == x.shape
    sizes = [None, (9, 10), (10, 9), (9, 9), (10, 10)] * 2
    expected = [layer(x, output_size=size) for size in sizes]
    layer.eval().prepare()
    for size, right in zip(sizes, expected, strict=True):
        assert_exact(layer(x, output_size=size), right)


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        ((8, 9), ValueError, "output_size on axis H must be from 9 to 10, got 8"),
        ((9, 11), ValueError, "output_size on axis W must be from 9 to 10, got 11"),
        ((9,), ValueError, "output_size must have 2 or 4 entries"),
        (9, TypeError, "output_size must be a tuple of integers, got 9"),
        ((9.0, 9), TypeError, "output_size"),
    ],
)
def test_other_sizes_are_refused(size, error, message):
    layer = layers.ConvTranspose2d(2, 4, 3, 2, 1, rng=0)
    x = np.zeros((1, 2, 5, 5), np.float32)
    with pytest.raises(error, match=message):
        layer(x, output_size=size)
    with pytest.raises(ValueError, match=r"input must be \(N, C, H, W\)"):
        layer(x[0, 0], (9, 9))
    with pytest.raises(TypeError, match="output_shape"):
        layer(x, output_shape=(9, 9))


def test_inputs_may_be_named():
    pool, unpool = layers.MaxPool2d(2, return_indices=True), layers.MaxUnpool2d(2)
    x = np.arange(25.0).reshape(1, 1, 5, 5)
    maxima, indices = pool(x)
    assert unpool(maxima, indices, output_size=x.shape).shape == x.shape
    assert unpool(x=maxima, indices=indices, output_size=(5, 5)).shape == x.shape
    seen = []
    unpool.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs))
    unpool(maxima, output_size=(5, 5), indices=indices)
    assert seen[0][0] is maxima
    assert seen[0][1] is indices
    assert seen[0][2] == (5, 5)
