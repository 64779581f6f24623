"""The pooling layers that need more than one input array: fractional pooling and unpooling."""

import pickle

import numpy as np
import pytest

from fastconv import layers
from tests._cases import assert_exact, normal, torch_or_skip


def shape(axes):
    return (2, 3, *(6, 8, 10)[-axes:])


@pytest.mark.parametrize("axes", [2, 3])
def test_fractional_pooling_agrees_with_torch(axes):
    torch = torch_or_skip("fractional max pooling as a layer")
    name = f"FractionalMaxPool{axes}d"
    x = normal(shape(axes))
    samples = np.random.default_rng(2).random((2, 3, axes))
    layer = getattr(layers, name)(2, output_ratio=0.5, _random_samples=samples)
    twin = getattr(torch.nn, name)(2, output_ratio=0.5, _random_samples=torch.from_numpy(samples))
    tensor = torch.from_numpy(x).requires_grad_()
    expected = twin(tensor)
    output = layer(x)
    assert_exact(output, expected.detach().numpy())
    residual = normal(output.shape, seed=3)
    expected.backward(torch.from_numpy(residual))
    assert_exact(layer.backward(residual), tensor.grad.numpy())


def test_fractional_pooling_draws_from_its_generator():
    x = normal((2, 3, 9, 9))
    one, other = (layers.FractionalMaxPool2d(2, 4, rng=5) for _ in range(2))
    first = one(x)
    assert_exact(other(x), first)
    assert one.generators() == [one.rng]
    # Each pass draws anew, in evaluation, too.
    one.eval()
    assert any((one(x) != first).any() for _ in range(5))
    output, indices = layers.FractionalMaxPool2d(2, 4, return_indices=True, rng=5)(x)
    assert_exact(output, first)
    np.testing.assert_array_equal(np.take(x[1, 2], indices[1, 2]), output[1, 2])


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_unpooling_agrees_with_torch(axes):
    torch = torch_or_skip("unpooling as a layer")
    x = normal(shape(axes))
    pool = getattr(layers, f"MaxPool{axes}d")(2, return_indices=True)
    layer = getattr(layers, f"MaxUnpool{axes}d")(2)
    twin = getattr(torch.nn, f"MaxUnpool{axes}d")(2)
    maxima, indices = pool(x)
    for size in (None, x.shape, tuple(n + 1 for n in x.shape[2:])):
        tensor = torch.from_numpy(maxima).requires_grad_()
        expected = twin(tensor, torch.from_numpy(indices), size)
        output = layer(maxima, indices, size) if size else layer(maxima, indices)
        assert_exact(output, expected.detach().numpy())
        gradient, none = layer.backward(output)
        assert none is None
        assert_exact(gradient, maxima)


def test_evaluation_saves_nothing():
    for layer in (
        layers.AdaptiveMaxPool2d(2),
        layers.FractionalMaxPool2d(2, 2, rng=0),
        layers.LPPool2d(2, 2),
        layers.MaxPool3d((1, 2, 2)),
    ):
        layer.eval()
        layer(normal((2, 3, 6, 8) if "3d" not in type(layer).__name__ else (2, 3, 1, 6, 8)))
        with pytest.raises(RuntimeError, match="needs a forward pass"):
            layer.backward(np.ones((2, 3, 2, 2)))


def test_copies_by_pickle_compute_the_same():
    x = normal((2, 3, 6, 8))
    for layer in (layers.AdaptiveAvgPool2d((None, 3)), layers.LPPool2d(1.5, 2, ceil_mode="onnx")):
        assert_exact(pickle.loads(pickle.dumps(layer))(x), layer(x))


def test_descriptions():
    for layer, text in (
        (layers.MaxPool1d(2), "MaxPool1d((2,), stride=(2,), padding=((0, 0),))"),
        (layers.AdaptiveAvgPool2d((None, 3)), "AdaptiveAvgPool2d((None, 3))"),
        (layers.LPPool2d(2, 3, 1), "LPPool2d(2.0, (3, 3), stride=(1, 1))"),
        (layers.MaxUnpool2d(2), "MaxUnpool2d((2, 2), stride=(2, 2), padding=(0, 0))"),
        (
            layers.FractionalMaxPool2d(2, 3),
            "FractionalMaxPool2d((2, 2), output_size=(3, 3), output_ratio=None)",
        ),
    ):
        assert repr(layer) == text
