"""The small CNN with batch norm."""

import numpy as np
import pytest

from fastconv import layers, models
from tests._cases import torch_or_skip


def torch_small(torch, channels):
    nn = torch.nn

    def stage(inputs, outputs):
        conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(
        *stage(channels, 32), nn.MaxPool2d(2), *stage(32, 64), *stage(64, 64), nn.MaxPool2d(2),
        *stage(64, 128), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
    ).double()  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
def test_outputs_and_gradients_are_those_of_torch(channels):
    torch = torch_or_skip("the small CNN's twin")
    net = models.small_cnn(in_channels=channels, dtype=np.float64, rng=0)
    twin = torch_small(torch, channels)
    twin.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in net.state_dict().items()})
    rng = np.random.default_rng(1)
    x, target = rng.standard_normal((5, channels, 14, 10)), np.arange(5)
    loss = layers.CrossEntropyLoss()
    value = loss(net(x), target)
    net.backward(loss.backward(), input_grad=False)
    theirs = torch.nn.functional.cross_entropy(twin(torch.from_numpy(x)), torch.from_numpy(target))
    theirs.backward()
    assert value == pytest.approx(theirs.item(), rel=1e-12)
    for ours, param in zip(net.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(ours.grad, param.grad.numpy(), rtol=1e-8, atol=1e-11)


def test_other_sizes_and_classes():
    net = models.small_cnn(7, in_channels=3, rng=0)
    for size in (4, 28, 33):
        assert net(np.zeros((2, 3, size, size), np.float32)).shape == (2, 7)
