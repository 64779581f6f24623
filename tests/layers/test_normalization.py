"""The normalisation layers: torch's results, state and running statistics; modes."""

import numpy as np
import pytest

from fastconv import layers
from tests._cases import DTYPES, assert_exact, normal, torch_or_skip

BATCH_NORMS = [("BatchNorm1d", (6, 5)), ("BatchNorm1d", (4, 5, 7)), ("BatchNorm2d", (4, 5, 6, 7)),
               ("BatchNorm3d", (3, 5, 2, 4, 3))]  # fmt: skip
OPTIONS = [
    {},
    {"momentum": None},
    {"affine": False},
    {"track_running_stats": False},
    {"eps": 0.1, "momentum": 0.5},
]


def near(actual, expected, dtype):
    bound = 128 * np.finfo(dtype).eps * (1 + np.abs(expected).max(initial=0))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("name", "shape"), BATCH_NORMS)
def test_batch_norm_agrees_with_torch(name, shape, options, dtype):
    torch = torch_or_skip("batch norm layers against torch")
    ours = getattr(layers, name)(5, **options, dtype=dtype)
    theirs = getattr(torch.nn, name)(5, **options, dtype=getattr(torch, np.dtype(dtype).name))
    for seed in range(3):
        x, grad = normal(shape, dtype, seed) * dtype(3), normal(shape, dtype, seed + 9)
        leaf = torch.from_numpy(x.copy()).requires_grad_()
        expected = theirs(leaf)
        expected.backward(torch.from_numpy(grad))
        near(ours(x), expected.detach().numpy(), dtype)
        near(ours.backward(grad), leaf.grad.numpy(), dtype)
    for parameter, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        near(parameter.grad, other.grad.numpy(), dtype)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        assert ours.state_dict()[key].dtype == value.numpy().dtype
        near(ours.state_dict()[key], value.numpy(), dtype)
    x = normal(shape, dtype, 7)
    near(ours.eval()(x), theirs.eval()(torch.from_numpy(x)).detach().numpy(), dtype)


def test_a_state_of_torch_loads():
    torch = torch_or_skip("a state of torch's batch norm")
    theirs = torch.nn.BatchNorm2d(3)
    theirs(torch.randn(4, 3, 5, 5))
    state = {key: value.numpy() for key, value in theirs.state_dict().items()}
    ours = layers.BatchNorm2d(3)
    ours.load_state_dict(state)
    assert_exact(ours.running_mean, state["running_mean"])
    assert int(ours.num_batches_tracked) == 1
    # Files of old versions do not count batches.
    del state["num_batches_tracked"]
    ours.load_state_dict(state)


def test_evaluation_changes_nothing():
    layer = layers.BatchNorm2d(3)
    x = normal((4, 3, 5, 5), np.float32)
    layer(x)
    before = {key: value.copy() for key, value in layer.state_dict().items()}
    layer.eval()
    first = layer(x)
    assert_exact(layer(x), first)
    for key, value in layer.state_dict().items():
        assert_exact(value, before[key])
    assert_exact(layer(x[:1]), first[:1])


def test_a_refused_input_changes_nothing():
    layer = layers.BatchNorm1d(3)
    for wrong in (np.zeros((1, 3), np.float32), np.zeros((2, 4), np.float32), np.zeros((2, 3))):
        with pytest.raises((ValueError, TypeError)):
            layer(wrong)
    assert int(layer.num_batches_tracked) == 0
    assert_exact(layer.running_var, np.ones(3, np.float32))
    for name, shape in (("BatchNorm2d", (2, 3)), ("BatchNorm3d", (2, 3, 4, 4))):
        with pytest.raises(ValueError, match=r"input must be \(N, C"):
            getattr(layers, name)(3)(np.zeros(shape, np.float32))


@pytest.mark.parametrize(("name", "shape"), BATCH_NORMS)
def test_gradients(name, shape):
    layer = getattr(layers, name)(5, dtype=np.float64)
    layer.weight.data[...] = normal((5,), np.float64, 3) + 2
    assert layers.check_gradients(layer, normal(shape, np.float64, 1)) < 1e-7


def test_wrong_arguments():
    for error, call in (
        (ValueError, lambda: layers.BatchNorm2d(0)),
        (TypeError, lambda: layers.BatchNorm2d(3.0)),
        (TypeError, lambda: layers.BatchNorm2d(3, momentum="x")),
        (TypeError, lambda: layers.BatchNorm2d(3, dtype=np.int32)),
        (ValueError, lambda: layers.LocalResponseNorm(0)),
        (TypeError, lambda: layers.LocalResponseNorm(5, alpha=None)),
    ):
        with pytest.raises(error):
            call()


def test_local_response_norm_agrees_with_torch():
    torch = torch_or_skip("local response norm against torch")
    x, grad = normal((2, 9, 5, 6), np.float64, 1) * 3, normal((2, 9, 5, 6), np.float64, 2)
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    expected = torch.nn.LocalResponseNorm(5, 0.1, 0.6, 2.0)(leaf)
    expected.backward(torch.from_numpy(grad))
    layer = layers.LocalResponseNorm(5, 0.1, 0.6, 2.0)
    near(layer(x), expected.detach().numpy(), np.float64)
    near(layer.backward(grad), leaf.grad.numpy(), np.float64)
    assert layers.check_gradients(layer, x[:, :, :2, :2]) < 1e-7


@pytest.mark.parametrize("affine", [True, False])
def test_group_norm_agrees_with_torch(affine):
    torch = torch_or_skip("group norm layers against torch")
    x, grad = normal((3, 6, 5, 4), np.float64, 1), normal((3, 6, 5, 4), np.float64, 2)
    ours = layers.GroupNorm(3, 6, 1e-3, affine, dtype=np.float64)
    theirs = torch.nn.GroupNorm(3, 6, 1e-3, affine, dtype=torch.float64)
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    expected = theirs(leaf)
    expected.backward(torch.from_numpy(grad))
    near(ours(x), expected.detach().numpy(), np.float64)
    near(ours.backward(grad), leaf.grad.numpy(), np.float64)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for parameter, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        near(parameter.grad, other.grad.numpy(), np.float64)
    assert layers.check_gradients(ours, x[:2, :, :2, :2]) < 1e-7
    with pytest.raises(ValueError, match="num_groups must divide"):
        layers.GroupNorm(4, 6)


@pytest.mark.parametrize("arguments", [(6,), ((5, 6), 1e-3, True, False), ((5, 6), 1e-3, False)])
def test_layer_norm_agrees_with_torch(arguments):
    torch = torch_or_skip("layer norm layers against torch")
    x, grad = normal((3, 5, 6), np.float64, 1), normal((3, 5, 6), np.float64, 2)
    ours = layers.LayerNorm(*arguments, dtype=np.float64)
    theirs = torch.nn.LayerNorm(*arguments, dtype=torch.float64)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert_same_step(ours, theirs, x, grad)
    assert layers.check_gradients(ours, x) < 1e-7
    with pytest.raises(ValueError, match="input must end with normalized_shape"):
        ours(x[..., :4])


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("tracks", [True, False])
@pytest.mark.parametrize("momentum", [0.2, None])
@pytest.mark.parametrize("shape", [(2, 3, 7), (3, 7), (2, 3, 4, 5), (2, 3, 2, 3, 4)], ids=str)
def test_instance_norm_agrees_with_torch(shape, momentum, tracks, affine):
    torch = torch_or_skip("instance norm layers against torch")
    x, grad = normal(shape, np.float64, 1), normal(shape, np.float64, 2)
    name = f"InstanceNorm{max(len(shape) - 2, 1)}d"
    arguments = 3, 1e-3, momentum, affine, tracks
    ours = getattr(layers, name)(*arguments, dtype=np.float64)
    theirs = getattr(torch.nn, name)(*arguments, dtype=torch.float64)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert_same_step(ours, theirs, x, grad)
    assert layers.check_gradients(ours, x) < 1e-7
    for key, value in ours.state_dict().items():
        near(value, theirs.state_dict()[key].detach().numpy(), np.float64)
    expected = theirs.eval()(torch.from_numpy(grad))
    near(ours.eval()(grad), expected.detach().numpy(), np.float64)
    with pytest.raises(ValueError, match="with C = 3, got shape"):
        ours(x[None, None])


def assert_same_step(ours, theirs, x, grad):
    """Compare outputs and gradients with those of torch's layer."""
    torch = torch_or_skip("layers against torch")
    ours.zero_grad()
    theirs.zero_grad()
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    expected = theirs(leaf)
    expected.backward(torch.from_numpy(grad))
    near(ours(x), expected.detach().numpy(), np.float64)
    near(ours.backward(grad), leaf.grad.numpy(), np.float64)
    for parameter, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        near(parameter.grad, other.grad.numpy(), np.float64)
