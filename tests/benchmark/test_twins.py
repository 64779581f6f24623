"""Networks of ours as torch's modules: the same names, scores and gradients."""

import numpy as np
import pytest

from fastconv import layers, models
from fastconv.benchmark import torch_twin
from tests._cases import torch_or_skip

NETWORKS = {
    "lenet5": (2, 1, 28, 28),
    "resnet18": (2, 3, 64, 64),
    "googlenet": (2, 3, 64, 64),
    "mobilenet_v2": (2, 3, 64, 64),
    "unet": (2, 3, 32, 32),
    "vgg11_bn": (2, 3, 32, 32),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_and_gradients_are_the_same(name):
    torch = torch_or_skip("networks beside their twins")
    net = getattr(models, name)(dtype=np.float64, rng=0)
    # Dropout draws other numbers than torch's.
    for layer in net.layers():
        if isinstance(layer, layers.Dropout):
            layer.p = 0.0
    twin = torch_twin(net)
    assert list(twin.state_dict()) == list(net.state_dict())
    x = np.random.default_rng(1).standard_normal(NETWORKS[name])
    theirs, ours = twin(torch.from_numpy(x)), net(x)
    np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-8, atol=1e-8)
    residual = np.random.default_rng(2).standard_normal(ours.shape)
    net.backward(residual, input_grad=False)
    theirs.backward(torch.from_numpy(residual))
    found = dict(twin.named_parameters())
    for key, parameter in net.named_parameters():
        expected = found[key].grad.numpy()
        # Before a batch norm a bias has no influence: what is left are roundings.
        bound = 1e-7 * np.abs(expected).max() + 1e-10
        np.testing.assert_allclose(parameter.grad, expected, rtol=0, atol=bound, err_msg=key)


def test_several_outputs_and_modes():
    torch = torch_or_skip("networks beside their twins")
    net = models.googlenet(aux_logits=True, dtype=np.float64, rng=0)
    twin = torch_twin(net.eval())
    assert not twin.training
    x = np.random.default_rng(1).standard_normal((2, 3, 224, 224))
    np.testing.assert_allclose(net(x), twin(torch.from_numpy(x)).detach(), rtol=1e-8, atol=1e-8)
    assert len(twin.train()(torch.from_numpy(x))) == len(net.train()(x)) == 3
    joined = layers.Concat(layers.Conv2d(2, 3, 1, rng=0), layers.Add(layers.Tanh(), layers.ReLU()))
    x = np.random.default_rng(1).standard_normal((2, 2, 3, 3)).astype(np.float32)
    theirs = torch_twin(joined)(torch.from_numpy(x)).detach()
    np.testing.assert_allclose(joined(x), theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: models.resnet20(), "torch.nn has no PaddedShortcut"),
        (lambda: layers.LocalResponseNorm(5, divide_by_size=False), "has no divide_by_size=False"),
        (lambda: layers.Conv2d(1, 1, 3, padding=((0, 1), (1, 1))), "pads both sides alike"),
    ],
)
def test_what_torch_has_not_is_refused(layer, message):
    torch_or_skip("networks beside their twins")
    with pytest.raises(ValueError, match=message):
        torch_twin(layer())
