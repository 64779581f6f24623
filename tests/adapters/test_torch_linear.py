"""PyTorch's full connections, which are products of matrices to it, computed by fastconv."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastconv.adapters.torch")

import torch.nn.functional as TF  # noqa: E402
from torch import nn  # noqa: E402
from torch.autograd import forward_ad, gradcheck, gradgradcheck  # noqa: E402

from fastconv.adapters import torch as adapter  # noqa: E402
from fastconv.adapters.torch import _operations  # noqa: E402

# PyTorch's own forward-mode uses what it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

OPS = ("linear",)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    adapter.disable()


@pytest.fixture
def _all_served(monkeypatch):
    """Serve products of any size, also where PyTorch is faster; leave it on."""
    adapter.enable(OPS)
    for override in adapter._overrides["linear"]:
        plan = override.plan
        monkeypatch.setattr(plan, "way", replace(plan.way, pays=lambda *tensors: True))


def rows():
    return {(row.operation, row.reason): row.calls for row in adapter.stats().rows}


def layouts(shape, dtype):
    """Yield matrices of one shape that lie in memory in many ways."""
    height, width = shape
    plain = torch.randn(height, width, dtype=dtype)
    yield plain
    yield plain.t().contiguous().t()
    yield torch.randn(3 * height, 2 * width, dtype=dtype)[::3, ::2]
    yield torch.randn(height, width + 3, dtype=dtype)[:, 1:-2]
    yield plain[:1].expand(shape)
    yield plain[:, :1].expand(shape)
    yield torch.ones((), dtype=dtype).expand(shape)
    yield nn.Parameter(plain).detach()
    yield torch.randn(height + width, dtype=dtype).as_strided(shape, (1, 1))


@pytest.mark.usefixtures("_all_served")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", [(2, 3, 4), (4, 33, 17), (9, 2, 40), (40, 130, 65)])
def test_values_and_formats_of_all_layouts(sizes, dtype):
    torch.manual_seed(0)
    height, steps, width = sizes
    shift = torch.randn(2 * width, dtype=dtype)[::2]
    bound = 1e-5 if dtype is torch.float32 else 1e-13
    count = 0
    for left in layouts((height, steps), dtype):
        for right in layouts((steps, width), dtype):
            scale = left.double().abs() @ right.double().abs()
            truth = left.double() @ right.double()
            for found, expected in (
                (torch.mm(left, right), truth),
                (torch.addmm(shift, left, right), truth + shift),
            ):
                count += 1
                assert found.dtype == dtype
                assert found.is_contiguous()
                error = (found.double() - expected).abs() / (scale + shift.abs())
                assert error.max() <= bound
    assert rows() == {("mm", ""): count // 2 + count, ("addmm", ""): count // 2}


@pytest.mark.usefixtures("_all_served")
def test_integers_are_exact_and_nan_and_infinity_spread():
    left = torch.randint(-9, 9, (5, 300)).float()
    right = torch.randint(-9, 9, (300, 33)).float()
    shift = torch.randint(-9, 9, (33,)).float()
    exact = (left.double() @ right.double()).float()
    assert torch.equal(torch.mm(left, right), exact)
    assert torch.equal(torch.addmm(shift, left, right), exact + shift)
    left[2, 7], right[9, 4] = torch.nan, torch.inf
    found = torch.mm(left, right)
    assert found[2].isnan().all()
    assert not found[[0, 1, 3, 4]][:, :4].isnan().any()
    assert not found[[0, 1, 3, 4], 4].isfinite().any()


@pytest.mark.usefixtures("_all_served")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 5)])
def test_first_and_second_gradients(shape, bias):
    layer = nn.Linear(5, 4, bias, dtype=torch.float64)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    parameters = tuple(layer.parameters())

    def call(x, *parameters):
        return TF.linear(x, *parameters)

    assert gradcheck(call, (x, *parameters), check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(call, (x, *parameters))
    # The expanded residual of a sum, and matrices that are views of others.
    layer(x).sum().backward()
    expected = x.detach().reshape(-1, 5).sum(0).expand(4, 5)
    torch.testing.assert_close(layer.weight.grad, expected)
    assert layer.weight.grad.is_contiguous()
    found = rows()
    assert found[("mm", "")]
    # Single columns, which the checks of whole batches make, are not served.
    assert {reason for _, reason in found} <= {"", "PyTorch is as fast at vectors"}


@pytest.mark.usefixtures("_all_served")
def test_vmap_jvp_and_functional_gradients():
    x, w, b = torch.randn(3, 4, 6), torch.randn(5, 6), torch.randn(5)
    alone = torch.stack([TF.linear(one, w, b) for one in x])
    torch.testing.assert_close(torch.vmap(TF.linear, (0, None, None))(x, w, b), alone)
    torch.testing.assert_close(torch.vmap(torch.mm, (0, None))(x, w.t()), alone - b)

    def loss(weight, one):
        return TF.linear(one, weight, b).square().sum()

    per_sample = torch.vmap(torch.func.grad(loss), (None, 0))(w, x)
    each = torch.stack([torch.func.grad(loss)(w, one) for one in x])
    torch.testing.assert_close(per_sample, each, rtol=1e-4, atol=1e-4)
    with forward_ad.dual_level():
        y = TF.linear(forward_ad.make_dual(x[0], x[1]), w, b)
        torch.testing.assert_close(forward_ad.unpack_dual(y).tangent, x[1] @ w.t())
    assert adapter.stats().served


@pytest.mark.usefixtures("_all_served")
def test_what_is_passed_on_and_why():
    left, right, shift = torch.randn(4, 6), torch.randn(6, 5), torch.randn(5)
    matrix, own = torch.randn(4, 5), type("Own", (torch.Tensor,), {})
    spun = torch.randn(4, 6, dtype=torch.complex64)
    strange = "a tensor is no plain memory"
    for call, reason in (
        (lambda: torch.addmm(shift, left, right, beta=2), "beta are given"),
        (lambda: torch.addmm(shift, left, right, beta=0), "beta are given"),
        (lambda: torch.addmm(shift, left, right, alpha=0.5, beta=2), "alpha and beta are given"),
        (lambda: torch.addmm(matrix, left, right), "what is added"),
        (lambda: torch.addmm(shift[None], left, right), "what is added"),
        (lambda: torch.addmm(shift[0], left, right), strange),
        (lambda: torch.addmm(shift[:1], left, right), "what is added"),
        (lambda: torch.mm(left.half(), right.half()), "the dtype is float16"),
        (lambda: torch.mm(left.long(), right.long()), "the dtype is int64"),
        (lambda: torch.mm(spun.conj(), right + 0j), "the dtype is complex64"),
        (lambda: torch.mm(left.as_subclass(own), right), "a Own may be more than its numbers"),
        (lambda: torch.mm(left[:0], right), "a tensor is empty"),
        (lambda: torch.mm(left[:, :0], right[:0]), "a tensor is empty"),
        (lambda: torch.mm(left[:1], right), "PyTorch is as fast at vectors"),
        (lambda: torch.mm(left, right[:, :1]), "PyTorch is as fast at vectors"),
        (lambda: torch.mm(left[:, :1], right[:1]), "PyTorch is as fast at vectors"),
    ):
        adapter.disable()
        expected = call()
        adapter.enable(OPS)
        found = call()
        assert type(found) is type(expected)
        assert torch.equal(found, expected)
        ((_, why),) = rows()
        assert why.startswith(reason)


@pytest.mark.usefixtures("_all_served")
def test_negated_views_come_as_copies():
    negative = torch.randn(4, 6, dtype=torch.complex64).conj().imag
    right = torch.randn(6, 5)
    assert negative.is_neg()
    expected = (negative.double() @ right.double()).float()
    torch.testing.assert_close(torch.mm(negative, right), expected)


@pytest.mark.usefixtures("_all_served")
def test_what_never_comes_here():
    """Results in given memory, in place, and in bfloat16 under autocast."""
    left, right, shift = torch.randn(4, 6), torch.randn(6, 5), torch.randn(5)
    out = torch.empty(4, 5)
    torch.mm(left, right, out=out)
    torch.testing.assert_close(out, left.double().mm(right.double()).float())
    adapter.enable(OPS)
    before = adapter.stats().served
    torch.addmm(shift, left, right, out=out)
    out.addmm_(left, right)
    assert adapter.stats().served == before
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.mm(left, right).dtype == torch.bfloat16
    assert adapter.stats().served == before
    assert ("mm", "the dtype is bfloat16") in rows()


@pytest.mark.usefixtures("_all_served")
def test_errors_are_pytorchs_own():
    left, right, shift = torch.randn(4, 6), torch.randn(6, 5), torch.randn(5)
    for call, match in (
        (lambda: torch.mm(left, right.t()), "cannot be multiplied"),
        (lambda: torch.mm(left[0], right), "must be a matrix"),
        (lambda: torch.mm(left, right.double()), "same dtype"),
        (lambda: torch.addmm(shift[:3], left, right), "must match"),
        (lambda: torch.addmm(shift.double(), left, right), "dtype"),
        (lambda: TF.linear(left, right), "cannot be multiplied"),
    ):
        with pytest.raises(RuntimeError, match=match):
            call()
    assert adapter.stats().served == 0


def test_it_is_served_if_asked_for_only():
    """To PyTorch, a full connection is a product like those that no network computes."""
    layer, x = nn.Linear(512, 512), torch.randn(64, 512)
    with adapter.enabled():
        layer(x)
        assert rows() == {}
    with adapter.enabled(OPS):
        layer(x).sum().backward()
        assert rows() == {("addmm", ""): 1, ("mm", ""): 1}
        nn.Linear(8, 8)(x[:, :8])
        assert rows()[("addmm", "it is small")] == 1


@pytest.mark.parametrize("isa", ["avx512", "avx2", "portable"])
def test_products_that_pay(isa, monkeypatch):
    """Arithmetic is faster with AVX-512 alone, memory with all."""
    monkeypatch.setattr(_operations, "isa", lambda: isa)

    def pays(rows, inputs, outputs):
        few = torch.empty(1)
        return _operations._is_large_product(few.expand(rows, inputs), few.expand(inputs, outputs))

    assert pays(4, 25088, 4096)
    assert pays(256, 2048, 1000)
    assert pays(4096, 4, 25088)
    assert not pays(4, 256, 256)
    assert pays(64, 400, 120) is (isa == "avx512")


def test_profile_estimates_what_was_saved():
    layer, x = nn.Linear(512, 512), torch.randn(64, 512)
    adapter.enable(OPS, profile=True)
    for _ in range(4):
        layer(x)
    (row,) = adapter.stats().rows
    assert (row.operation, row.reason, row.calls) == ("addmm", "", 4)
    assert row.seconds > 0
    assert row.saved != 0


def test_as_many_threads_as_pytorch_give_the_same_bits():
    layer, x = nn.Linear(2048, 1000), torch.randn(32, 2048)
    found = []
    with adapter.enabled(OPS), torch.no_grad():
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(layer(x))
        assert adapter.stats().passed_on == 0
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
