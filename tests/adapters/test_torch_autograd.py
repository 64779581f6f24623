"""Autograd, forward-mode, vmap and whole networks over the adapter; PyTorch's own sample inputs."""

import importlib
import itertools
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastconv.adapters.torch")

import torch.nn.functional as TF  # noqa: E402
from torch import nn  # noqa: E402
from torch.autograd import forward_ad, gradcheck, gradgradcheck  # noqa: E402

from fastconv.adapters import torch as adapter  # noqa: E402
from fastconv.adapters.torch import _routes  # noqa: E402

# PyTorch's own test modules use what it has deprecated, and what it warns of.
pytestmark = pytest.mark.filterwarnings(
    *(f"ignore::{kind}" for kind in ("DeprecationWarning", "FutureWarning", "UserWarning"))
)

OPS = ("convolution", "batch_norm", "pool", "linear")
NAMES = [f"nn.functional.conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)]


@pytest.fixture(autouse=True)
def _one_thread():
    """Teams of several test processes would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def _on(monkeypatch):
    """Serve all calls, also where PyTorch is faster."""
    monkeypatch.setattr(_routes, "slower", lambda *case: "")
    adapter.enable()
    yield
    adapter.disable()


@pytest.fixture(scope="module")
def operations():
    pytest.importorskip("expecttest")
    found = importlib.import_module("torch.testing._internal.common_methods_invocations")
    return {op.name: op for op in found.op_db if op.name in NAMES}


def samples(op, dtype, grad=True):
    return list(op.sample_inputs("cpu", dtype, requires_grad=grad))


def copy_of(sample):
    def copied(value):
        if not isinstance(value, torch.Tensor):
            return value
        return value.detach().clone().requires_grad_(value.requires_grad)

    return copied(sample.input), [copied(a) for a in sample.args], dict(sample.kwargs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_values_strides_and_gradients_of_pytorchs_samples(name, dtype, operations):
    op = operations[name]
    for sample in samples(op, dtype):
        results = []
        for ours in (False, True):
            x, args, kwargs = copy_of(sample)
            if ours:
                with adapter.enabled():
                    y = op(x, *args, **kwargs)
                    y.square().sum().backward()
            else:
                y = op(x, *args, **kwargs)
                y.square().sum().backward()
            tensors = [t for t in (x, *args) if isinstance(t, torch.Tensor)]
            results.append([y, *(t.grad for t in tensors)])
        for theirs, own in zip(*results, strict=True):
            if theirs is None:
                assert own is None
                continue
            assert own.stride() == theirs.stride()
            bound = 3e-5 if dtype is torch.float32 else 1e-12
            most = theirs.abs().max() if theirs.numel() else 0
            torch.testing.assert_close(own, theirs, rtol=0, atol=float(bound * most))


@pytest.mark.usefixtures("_on")
@pytest.mark.parametrize("name", NAMES)
def test_first_and_second_gradients(name, operations):
    """By differences, in float64, on the smallest of PyTorch's samples; forward-mode, too."""
    op = operations[name]
    small = sorted(samples(op, torch.float64), key=lambda sample: sample.input.numel())[:3]
    for sample in small:
        x, args, kwargs = copy_of(sample)
        tensors = (x, *(a for a in args if isinstance(a, torch.Tensor)))
        others = [a for a in args if not isinstance(a, torch.Tensor) and a is not None]
        if others:
            continue

        def call(*given, kwargs=kwargs):
            return op(*given, **kwargs)

        assert gradcheck(call, tensors, check_forward_ad=True, check_batched_grad=True)
        assert gradgradcheck(call, tensors)
    assert adapter.stats().served
    assert all(row.reason in ("", "a tensor is empty") for row in adapter.stats().rows)


@pytest.mark.usefixtures("_on")
@pytest.mark.parametrize("name", NAMES)
def test_errors_are_pytorchs_own(name, operations):
    op = operations[name]
    if op.error_inputs_func is None:
        pytest.skip("PyTorch has no wrong inputs for it")
    for wrong in op.error_inputs("cpu"):
        sample = wrong.sample_input
        with pytest.raises(wrong.error_type, match=wrong.error_regex):
            op(sample.input, *sample.args, **sample.kwargs)


@pytest.mark.usefixtures("_on")
def test_vmap_jvp_and_functional_gradients():
    x, w = torch.randn(3, 2, 4, 8, 8), torch.randn(3, 6, 4, 3, 3)
    each = torch.stack([TF.conv2d(a, b) for a, b in zip(x, w, strict=True)])
    torch.testing.assert_close(torch.vmap(TF.conv2d)(x, w), each)

    def loss(weight, image):
        return TF.conv2d(image, weight).square().sum()

    per_sample = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(w[0], x[0])
    alone = torch.stack([torch.func.grad(loss)(w[0], image) for image in x[0]])
    torch.testing.assert_close(per_sample, alone, rtol=1e-4, atol=1e-3)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x[0], x[1])
        y = TF.conv2d(dual, w[0])
        torch.testing.assert_close(forward_ad.unpack_dual(y).tangent, TF.conv2d(x[1], w[0]))
    assert adapter.stats().passed_on == 0


@pytest.mark.usefixtures("_on")
def test_layers_of_pytorchs_module_database():
    pytest.importorskip("expecttest")
    found = importlib.import_module("torch.testing._internal.common_modules")
    kinds = {getattr(nn, f"{lazy}Conv{t}{n}d") for lazy in ("", "Lazy") for t in ("", "Transpose")
             for n in (1, 2, 3)}  # fmt: skip
    count = 0
    for info in found.module_db:
        if info.module_cls not in kinds:
            continue
        inputs = info.module_inputs_func(
            info, device="cpu", dtype=torch.float64, requires_grad=True, training=True
        )
        for given in inputs:
            build = given.constructor_input
            layer = info.module_cls(*build.args, **{**build.kwargs, "dtype": torch.float64})
            call = given.forward_input
            y = layer(*call.args, **call.kwargs)
            y.sum().backward()
            if given.reference_fn is not None:
                adapter.disable()
                torch.testing.assert_close(y, layer(*call.args, **call.kwargs))
                adapter.enable()
            count += 1
    assert count > 30


def unit(inputs, outputs, stride, kernel=3):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Residual(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.body = nn.Sequential(unit(inputs, outputs, stride), unit(outputs, outputs, 1))
        same = inputs == outputs and stride == 1
        self.skip = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x):
        return torch.relu(self.body(x) + self.skip(x))


def residual_network(widths, *stem):
    """Return a stem and a residual block for each width, of which new ones halve the maps."""
    blocks = [
        Residual(before, width, 1 if width == before else 2)
        for before, width in itertools.pairwise((widths[0], *widths))
    ]
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 4)
    return nn.Sequential(*stem, *blocks, *head)


def small_resnet():
    return residual_network((8, 16, 32), unit(3, 8, 1))


def resnet18():
    stem = unit(3, 64, 2, 7), nn.MaxPool2d(3, 2, 1)
    return residual_network((64, 64, 128, 128, 256, 256, 512, 512), *stem)


def train(build, side, steps=100):
    torch.manual_seed(0)
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
    images = torch.randn(16, 3, side, side)
    labels = torch.arange(16) % 4
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = TF.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, model


def agree(found, expected):
    assert found[:10] == pytest.approx(expected[:10], rel=1e-3, abs=5e-4)
    assert expected[-1] < 0.05
    assert found[-1] == pytest.approx(expected[-1], rel=0.2, abs=0.01)


@pytest.mark.usefixtures("_on")
def test_a_hundred_steps_end_where_they_do_without(monkeypatch):
    """A residual network, small as it is, with all of its operations served."""
    adapter.disable()
    expected, _ = train(small_resnet, 16)
    adapter.enable(OPS)
    plans = [one.plan for group in OPS[1:] for one in adapter._overrides[group]]
    for plan in plans:
        monkeypatch.setattr(plan, "way", replace(plan.way, pays=lambda *tensors: True))
    found, model = train(small_resnet, 16)
    rows = adapter.stats().rows
    assert not any(row.reason for row in rows)
    norms = {"native_batch_norm", "native_batch_norm_backward"}
    assert {row.operation for row in rows} >= {"convolution", "addmm", "mm"} | norms
    agree(found, expected)
    # Nothing of the adapter is in a model.
    small_resnet().load_state_dict(model.state_dict())


@pytest.mark.usefixtures("_on")
def test_a_hundred_steps_of_resnet18_end_where_they_do_without():
    adapter.disable()
    expected, _ = train(resnet18, 32)
    adapter.enable(OPS)
    found, _ = train(resnet18, 32)
    convolutions = [row for row in adapter.stats().rows if row.operation.startswith("conv")]
    assert sum(row.calls for row in convolutions) == 100 * 2 * 20
    assert not any(row.reason for row in convolutions)
    agree(found, expected)


@pytest.mark.usefixtures("_on")
def test_autocast_computes_in_bfloat16_as_without():
    x, layer = torch.randn(1, 4, 8, 8), nn.Conv2d(4, 4, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    assert {row.reason for row in adapter.stats().rows} == {"the dtype is bfloat16"}


@pytest.mark.usefixtures("_on")
def test_export_and_fake_tensors_see_pytorchs_operation():
    program = torch.export.export(nn.Conv2d(2, 3, 3), (torch.randn(1, 2, 8, 8),))
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert targets == ["aten.conv2d.default"]
    assert adapter.stats().served == 0
