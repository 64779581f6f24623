"""Modules of torch whose inference fastconv computes."""

import copy
import pickle
from threading import Thread

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastconv.adapters.torch")

from torch import nn  # noqa: E402

from fastconv import get_num_threads  # noqa: E402
from fastconv.adapters.torch import optimize  # noqa: E402
from fastconv.layers import Layer  # noqa: E402


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.norm(self.conv(x)) + x)


@pytest.fixture
def module():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU6(), Block(8), nn.MaxPool2d(2), Block(8),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 5),
    ).eval()  # fmt: skip


@pytest.fixture
def served(monkeypatch):
    """The inputs' shapes of the calls that fastconv computes."""
    shapes = []
    forward = Layer.forward

    def noted(self, *inputs):
        shapes.append(inputs[0].shape)
        return forward(self, *inputs)

    monkeypatch.setattr(Layer, "forward", noted)
    return shapes


def test_results_are_those_of_the_module(module, served):
    x = torch.randn(2, 3, 16, 16)
    fast = optimize(module, x)
    for shape in ((2, 3, 16, 16), (5, 3, 16, 16), (1, 3, 21, 18)):
        x = torch.randn(shape)
        served.clear()
        with torch.no_grad():
            y = fast(x)
            torch.testing.assert_close(y, module(x), rtol=0, atol=1e-5)
        assert served[0] == shape
        assert not y.requires_grad
    strided = torch.randn(2, 16, 16, 3).permute(0, 3, 1, 2)
    with torch.inference_mode():
        torch.testing.assert_close(fast(strided), module(strided), rtol=0, atol=1e-5)


def test_other_calls_go_to_the_module(module, served):
    x = torch.randn(2, 3, 16, 16)
    fast = optimize(module, x)
    served.clear()
    # Gradients are recorded, or the dtype is another, or there is no batch, or nothing in it.
    fast(x.requires_grad_()).sum().backward()
    assert module[0].weight.grad is not None
    with torch.no_grad():
        assert fast(x[:0]).shape == (0, 5)
        with pytest.raises(RuntimeError):
            fast(x.double())
        torch.vmap(fast)(x[None])
        fast.train()
        fast(x)
        fast.eval()
    assert served == []
    assert fast.module is module


def test_it_is_a_module(module):
    x = torch.randn(1, 3, 16, 16)
    fast = optimize(module, x)
    with torch.no_grad():
        expected = fast(x)
        for other in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
            torch.testing.assert_close(other(x), expected, rtol=0, atol=0)
        compiled = torch.compile(fast, backend="eager")
        torch.testing.assert_close(compiled(x), module(x))
    assert {name.removeprefix("module.") for name in fast.state_dict()} == set(module.state_dict())


def test_threads_may_call_at_once(module):
    fast = optimize(module, torch.randn(1, 3, 16, 16))
    images = torch.randn(8, 1, 3, 16, 16)
    with torch.no_grad():
        expected = [fast(image) for image in images]
    found = [None] * 8

    def call(n):
        with torch.no_grad():
            for _ in range(20):
                found[n] = fast(images[n])

    threads = [Thread(target=call, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ours, alone in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, alone, rtol=0, atol=0)


def test_threads_follow_torch(module, monkeypatch):
    x = torch.randn(1, 3, 16, 16)
    fast = optimize(module, x)
    seen = []
    forward = type(fast.network).forward
    monkeypatch.setattr(
        type(fast.network),
        "forward",
        lambda self, *inputs: (seen.append(get_num_threads()), forward(self, *inputs))[1],
    )
    before = torch.get_num_threads()
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            with torch.no_grad():
                fast(x)
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 2]


def test_wrong_calls(module):
    x = torch.randn(1, 3, 16, 16)
    with pytest.raises(ValueError, match=r"call module\.eval\(\) first"):
        optimize(copy.deepcopy(module).train(), x)
    with pytest.raises(ValueError, match="example_inputs"):
        optimize(module)
    with pytest.raises(ValueError, match="example_inputs"):
        optimize(module, x.bfloat16())
    with pytest.raises(ValueError, match=r"no layer|LSTM"):
        optimize(nn.Sequential(nn.LSTM(3, 3)).eval(), x)
