"""PyTorch's batch normalisation, pooling and products of matrices, computed by fastconv."""

import importlib
import subprocess
import sys
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastconv.adapters.torch")

import torch.nn.functional as TF  # noqa: E402
from torch import library as registry  # noqa: E402
from torch import nn  # noqa: E402
from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

from fastconv.adapters import torch as adapter  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    *(f"ignore::{kind}" for kind in ("DeprecationWarning", "FutureWarning", "UserWarning"))
)

OPS = ("batch_norm", "pool", "linear")
NAMES = [
    "nn.functional.batch_norm",
    "nn.functional.instance_norm",
    "nn.functional.linear",
    "mm",
    "addmm",
    *(f"nn.functional.{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)),
    *(f"nn.functional.adaptive_avg_pool{n}d" for n in (1, 2, 3)),
]
# PyTorch's max_pool2d can write outside of its own memory where windows hang over and are dilated.
DANGEROUS = {"ceil_mode", "dilation"}
# Of running statistics, PyTorch's gradient takes none of the batch.
EMPTY = "a tensor is empty"
BOUNDS = {torch.float32: 3e-5, torch.float64: 1e-12}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    adapter.disable()


@pytest.fixture
def _all_served(monkeypatch):
    """Serve calls of any size, also where PyTorch is faster."""
    adapter.enable(OPS)
    for override in (one for group in OPS for one in adapter._overrides[group]):
        plan = override.plan
        monkeypatch.setattr(plan, "way", replace(plan.way, pays=lambda *tensors: True))


@pytest.fixture(scope="module")
def operations():
    pytest.importorskip("expecttest")
    found = importlib.import_module("torch.testing._internal.common_methods_invocations")
    return {op.name: op for op in found.op_db if op.name in NAMES}


def with_and_without(compute):
    """Return what a function of no arguments gives, without the adapter and with it."""
    adapter.disable()
    theirs = compute()
    with adapter.enabled(OPS):
        return theirs, compute()


def assert_alike(theirs, ours):
    for one, other in zip(theirs, ours, strict=True):
        if one is None or not isinstance(one, torch.Tensor):
            assert one == other
            continue
        assert other.dtype == one.dtype
        assert other.shape == one.shape
        if one.numel():
            assert other.stride() == one.stride()
        bound = BOUNDS.get(one.dtype, 0)
        # Gradients of batch norm cancel, nearly or quite.
        most = max(1.0, float(one.abs().nan_to_num().max())) if one.numel() else 0.0
        torch.testing.assert_close(other, one, rtol=0, atol=bound * most, equal_nan=True)


@pytest.mark.usefixtures("_all_served")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_values_strides_and_gradients_of_pytorchs_samples(name, dtype, operations):
    op = operations[name]
    for sample in op.sample_inputs("cpu", dtype, requires_grad=True):
        if set(sample.kwargs) >= DANGEROUS:
            continue

        def compute(sample=sample):
            tensors = [
                value.detach().clone().requires_grad_(value.requires_grad)
                if isinstance(value, torch.Tensor)
                else value
                for value in (sample.input, *sample.args)
            ]
            y = op(*tensors, **sample.kwargs)
            outputs = y if isinstance(y, tuple) else (y,)
            outputs[0].square().sum().backward()
            return [*outputs, *(t.grad for t in tensors if isinstance(t, torch.Tensor))]

        assert_alike(*with_and_without(compute))


@pytest.mark.usefixtures("_all_served")
@pytest.mark.parametrize("name", NAMES)
def test_errors_are_pytorchs_own(name, operations):
    op = operations[name]
    if op.error_inputs_func is None:
        pytest.skip("PyTorch has no wrong inputs for it")
    for wrong in op.error_inputs("cpu"):
        sample = wrong.sample_input
        with pytest.raises(wrong.error_type, match=wrong.error_regex):
            op(sample.input, *sample.args, **sample.kwargs)


@pytest.mark.usefixtures("_all_served")
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d(3), (5, 3)),
        (nn.BatchNorm2d(3), (2, 3, 4, 3)),
        (nn.BatchNorm3d(2, affine=False), (2, 2, 2, 3, 2)),
        (nn.BatchNorm2d(3, momentum=None), (2, 3, 4, 3)),
        (nn.BatchNorm2d(3, track_running_stats=False).eval(), (2, 3, 4, 3)),
        (nn.BatchNorm2d(3).eval(), (2, 3, 4, 3)),
        (nn.MaxPool2d(3, 2, 1), (2, 3, 7, 6)),
        (nn.MaxPool3d(2), (1, 2, 4, 5, 4)),
        (nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (2, 3, 7, 6)),
        (nn.AvgPool3d(2, divisor_override=3), (2, 4, 5, 4)),
        (nn.AdaptiveAvgPool2d((3, None)), (2, 3, 7, 6)),
        (nn.AdaptiveAvgPool3d(2), (1, 2, 4, 5, 4)),
    ],
    ids=repr,
)
def test_gradients_and_state(layer, shape):
    """First and second gradients by differences in float64, and the running statistics."""
    layer = layer.double()
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64)

    def compute():
        layer.load_state_dict(state)
        y = layer(x)
        return [y, *(value.clone() for value in layer.state_dict().values())]

    assert_alike(*with_and_without(compute))
    adapter.enable(OPS)
    assert gradcheck(layer, x.requires_grad_(), check_batched_grad=True)
    assert gradgradcheck(layer, x)
    rows = adapter.stats().rows
    if not layer.training and getattr(layer, "track_running_stats", False):
        assert {row.reason for row in rows} <= {"PyTorch is as fast outside of training", EMPTY}
    else:
        assert {row.reason for row in rows} == {""}


def test_what_is_passed_on_and_why():
    big = torch.randn(8, 16, 32, 32)
    last = big.contiguous(memory_format=torch.channels_last)
    norm, pool = nn.BatchNorm2d(16), nn.MaxPool2d(2)
    for given, layer, operation, reason in (
        (big, norm, "native_batch_norm", ""),
        (
            big,
            nn.BatchNorm2d(16).eval(),
            "native_batch_norm",
            "PyTorch is as fast outside of training",
        ),
        (big, pool, "max_pool2d_with_indices", ""),
        (big[:1, :, :8], pool, "max_pool2d_with_indices", "it is small"),
        (big.bfloat16(), pool, "max_pool2d_with_indices", "the dtype is bfloat16"),
        (last, pool, "max_pool2d_with_indices", "PyTorch is faster in channels_last"),
    ):
        with adapter.enabled(OPS):
            result = layer(given)
        assert [(row.operation, row.reason) for row in adapter.stats().rows] == [
            (operation, reason)
        ]
        assert result.is_contiguous() == (given is not last)


@pytest.mark.usefixtures("_all_served")
def test_maxima_of_nan_ties_and_strided_maps():
    torch.manual_seed(0)
    x = torch.randint(0, 3, (2, 3, 9, 11)).float()
    x[0, 0, 2, 3] = torch.nan
    for maps in (x, x.transpose(2, 3), x[:, ::2], x.flip(3), x[:, :, 1::2, ::3]):
        assert_alike(
            *with_and_without(lambda maps=maps: TF.max_pool2d(maps, 3, 2, 1, 1, True, True))
        )
        assert_alike(*with_and_without(lambda maps=maps: [TF.avg_pool2d(maps, 2)]))


@pytest.mark.usefixtures("_all_served")
def test_a_tensor_without_numbers_or_axes_enough_is_pytorchs():
    with pytest.raises(IndexError, match="Dimension out of range"):
        TF.avg_pool2d(torch.empty(0), 2)


@pytest.mark.usefixtures("_all_served")
def test_vmap_and_functional_gradients():
    x = torch.randn(3, 2, 4, 8, 8)

    def loss(maps):
        return TF.avg_pool2d(TF.max_pool2d(maps, 2), 2).square().sum()

    per_sample = torch.vmap(torch.func.grad(loss))(x)
    alone = torch.stack([torch.func.grad(loss)(maps) for maps in x])
    torch.testing.assert_close(per_sample, alone)


def test_profile_leaves_running_statistics_alone():
    x = torch.randn(8, 16, 32, 32)
    norms = nn.BatchNorm2d(16), nn.BatchNorm2d(16)
    for norm, profile in zip(norms, (False, True), strict=True):
        with adapter.enabled(OPS, profile=profile):
            norm(x)
    torch.testing.assert_close(norms[0].running_var, norms[1].running_var, rtol=0, atol=0)
    assert adapter.stats().rows[0].seconds > 0


def test_no_warning_that_kernels_are_overridden():
    """PyTorch warns once a process, so that a new one has to be asked."""
    code = "import fastconv.adapters.torch as a; a.enable()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "verrid" not in done.stderr


def called():
    """Return operators that are overridden, with arguments that are served."""
    aten = torch.ops.aten
    x, w = torch.randn(8, 16, 64, 64), torch.randn(8, 16, 3, 3)
    more = [1, 1], [1, 1], [1, 1], False, [0, 0], 1
    ones, zeros = torch.ones(16), torch.zeros(16)
    pooled = aten.avg_pool2d.default(x, [2, 2])
    yield aten.convolution, (x.clone().requires_grad_(), w, None, *more)
    yield aten.convolution_backward, (x[:, :8], x, w, None, *more, [True, True, False])
    yield aten.native_batch_norm, (x, ones, zeros, zeros.clone(), ones.clone(), True, 0.1, 1e-5)
    yield aten.max_pool2d_with_indices, (x.clone().requires_grad_(), [2, 2])
    yield aten.avg_pool2d, (x.clone().requires_grad_(), [2, 2])
    yield aten.avg_pool2d_backward, (pooled, x, [2, 2], [2, 2], [0, 0], False, True, None)
    yield aten._adaptive_avg_pool2d, (x.clone().requires_grad_(), [7, 7])
    rows, columns = torch.randn(8, 512), torch.randn(512, 512, requires_grad=True)
    yield aten.mm, (rows, columns)
    yield aten.addmm, (torch.randn(512), rows, columns)


def test_pytorchs_check_of_operators():
    """Of the schema, autograd's registration, fake tensors and what is compiled."""
    adapter.enable(("convolution", *OPS))
    for operator, arguments in called():
        before = adapter.stats().served
        found = registry.opcheck(operator.default, arguments)
        assert set(found.values()) == {"SUCCESS"}
        assert adapter.stats().served > before
