# ruff: noqa: E501  (a table has one line for each call)
"""Convolutions whose padding shows the input's own cells, against the reference and torch."""

import copy
from itertools import product
from math import prod

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from fastconv.engine.base.cache import Cache
from fastconv.functional import _boundary, _calls
from tests._cases import (
    DTYPES,
    ISAS,
    LAYOUTS,
    assert_exact,
    assert_gradient,
    assert_guards_untouched,
    guarded,
    integers,
    isa_or_skip,
    layouts,
    normal,
    run_tests_code,
    torch_or_skip,
)
from tests._convolutions import Case, draw_arrays, forward, gradients

MODES = ("reflect", "replicate", "circular", "symmetric")

CASES = (
    Case(2, 3, (7,), 4, (3,), 1, 1),
    Case(1, 4, (9,), 6, (4,), 3, ((2, 5),), 2, 2),
    Case(0, 2, (5,), 3, (2,), 1, 1),
    Case(2, 3, (5, 6), 4, (3, 3), 1, 1),
    Case(1, 4, (6, 7), 6, (3, 2), (2, 1), ((0, 2), (3, 1)), (1, 2), 2),
    Case(2, 5, (8, 9), 5, (5, 5), 1, 2, 1, 5),
    Case(1, 2, (4, 4), 3, (3, 3), 2, "same"),
    Case(2, 34, (9, 13), 17, (3, 3), 1, "same_lower"),
    Case(1, 2, (5, 6), 2, (3, 3), 1, "valid"),
    Case(1, 2, (3, 4, 5), 3, (2, 3, 2), 1, ((1, 0), (1, 2), (2, 1))),
    Case(2, 4, (4, 5, 6), 4, (3, 3, 3), (1, 2, 1), 1, 1, 2),
)
TRIED = list(product(CASES, MODES))
# These alone may be more than the axis has.
TRIED += [(Case(3, 1, (2,), 1, (8,), 1, "full"), "replicate")]
# One with several of everything for each number of axes.
PLAIN = tuple(product((CASES[1], CASES[4], CASES[10]), MODES))


@pytest.fixture
def one_at_a_time(monkeypatch):
    """Continue the maps of one sample at a time."""
    monkeypatch.setattr(_boundary, "_MOST_BYTES", 1)
    # What is known of earlier calls does not know it.
    monkeypatch.setattr(_calls, "calls", Cache(_calls.plan_call, 8))
    monkeypatch.setattr(_calls, "backward_calls", Cache(_calls.plan_backward, 8))


def results(module, case, arrays, **options):
    """Return the output, the gradients by the single functions, and by the one for all."""
    x, weight, bias, residual = arrays
    single = gradients(module, case, x, weight, residual, **options)
    y = forward(module, case, x, weight, bias, **options)
    options.pop("algorithm", None)
    together = getattr(module, f"{case.name}_backward")
    return y, *single, *together(x, weight, residual, *case.options, **options)


def padded(case, x, mode):
    flat = tuple(cells for pair in reversed(case.geometry.padding) for cells in pair)
    return F.pad(x, flat, mode), flat


def without_padding(case):
    return case._replace(
        size=tuple(n + sum(pair) for n, pair in zip(case.size, case.geometry.padding, strict=True)),
        padding=0,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", ["auto", "gemm", "direct", "im2col"])
@pytest.mark.parametrize(("case", "mode"), TRIED)
def test_equals_the_reference(case, mode, algorithm, dtype):
    arrays = draw_arrays(case, lambda shape, seed: integers(shape, dtype, seed))
    expected = results(reference, case, arrays, padding_mode=mode)
    with fastconv.exact():
        actual = results(F, case, arrays, padding_mode=mode, algorithm=algorithm)
    for one, other in zip(actual, expected, strict=True):
        assert_exact(one, other)


@pytest.mark.parametrize(("case", "mode"), TRIED)
def test_it_is_the_convolution_of_the_padded_input(case, mode):
    """To the bit, whatever the algorithm; where residuals meet, they are added in another order."""
    x, weight, bias, residual = draw_arrays(case, lambda shape, seed: normal(shape, seed=seed))
    y, dx, *others = results(F, case, (x, weight, bias, residual), padding_mode=mode)[:4]
    maps, flat = padded(case, x, mode)
    plain, dmaps, *expected = results(F, without_padding(case), (maps, weight, bias, residual))[:4]
    for one, other in zip((y, *others), (plain, *expected), strict=True):
        np.testing.assert_array_equal(one, other)
    folded = F.pad_backward(dmaps, x.shape, flat, mode)
    np.testing.assert_allclose(
        dx, folded, rtol=0, atol=1e-14 * max(1, np.abs(dmaps).max(initial=0))
    )


@pytest.mark.parametrize(("case", "mode"), TRIED)
def test_one_sample_at_a_time_gives_the_same(case, mode, one_at_a_time):
    arrays = draw_arrays(case, lambda shape, seed: integers(shape, seed=seed))
    expected = results(reference, case, arrays, padding_mode=mode)
    for one, other in zip(results(F, case, arrays, padding_mode=mode), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_a_large_batch_needs_no_padded_copy(mode):
    one = fastconv.explain(
        "conv2d", (1, 8, 200, 200), (8, 8, 3, 3), padding=1, padding_mode=mode, algorithm="direct"
    )
    many = fastconv.explain(
        "conv2d", (64, 8, 200, 200), (8, 8, 3, 3), padding=1, padding_mode=mode, algorithm="direct"
    )
    assert one.workspace_bytes == 4 * 8 * 202 * 202
    assert one.workspace_bytes <= many.workspace_bytes <= 4 << 20
    assert many.flops == 64 * one.flops


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "symmetric"])
@pytest.mark.parametrize("case", [case for case in CASES if case.n])
def test_agrees_with_torch(case, mode):
    torch = torch_or_skip("padding modes of convolutions")
    if mode == "reflect" and any(
        max(pair) >= n for n, pair in zip(case.size, case.geometry.padding, strict=True)
    ):
        pytest.skip("skipped: torch refuses such a reflection, too")
    x, weight, bias, residual = draw_arrays(case, lambda shape, seed: normal(shape, seed=seed))
    tensors = [torch.tensor(array, requires_grad=True) for array in (x, weight, bias)]
    _, flat = padded(case, x, mode)
    maps = torch.nn.functional.pad(tensors[0], flat, mode)
    function = getattr(torch.nn.functional, f"conv{case.axes}d")
    y = function(maps, *tensors[1:], case.stride, 0, case.dilation, case.groups)
    y.backward(torch.tensor(residual))
    actual = results(F, case, (x, weight, bias, residual), padding_mode=mode)
    expected = [np.asarray(array) for array in (y.detach(), *(t.grad for t in tensors))]
    for one, other in zip(actual, (*expected, *expected[1:]), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * max(1, np.abs(other).max()))


@pytest.mark.parametrize(("case", "mode"), PLAIN)
def test_gradients_are_those_of_the_output(case, mode):
    x, weight, bias, residual = draw_arrays(case, lambda shape, seed: integers(shape, seed=seed))
    _, dx, dweight, dbias, *_ = results(F, case, (x, weight, bias, residual), padding_mode=mode)

    def output(x=x, weight=weight, bias=bias):
        return forward(F, case, x, weight, bias, padding_mode=mode)

    assert_gradient(lambda x: output(x=x), dx, x, residual, linear=True)
    assert_gradient(lambda weight: output(weight=weight), dweight, weight, residual, linear=True)
    assert_gradient(lambda bias: output(bias=bias), dbias, bias, residual, linear=True)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("case", "mode"), PLAIN)
def test_any_memory_layout(case, mode, layout):
    arrays = draw_arrays(case, lambda shape, seed: integers(shape, seed=seed))
    expected = results(F, case, arrays, padding_mode=mode)
    awkward = [layouts(array).get(layout, array) for array in arrays]
    for one, other in zip(results(F, case, awkward, padding_mode=mode), expected, strict=True):
        assert_exact(one, other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_written_round_the_result(mode, dtype):
    case = CASES[4]
    x, weight, bias, residual = draw_arrays(case, lambda shape, seed: integers(shape, dtype, seed))
    y, dx, *_ = results(F, case, (x, weight, bias, residual), padding_mode=mode)
    out, memory = guarded(y.shape, dtype)
    assert forward(F, case, x, weight, bias, padding_mode=mode, out=out) is out
    np.testing.assert_array_equal(out, y)
    assert_guards_untouched(out, memory, "output")
    out, memory = guarded(dx.shape, dtype)
    F.conv2d_input(x.shape, weight, residual, *case.options, padding_mode=mode, out=out)
    np.testing.assert_array_equal(out, dx)
    assert_guards_untouched(out, memory, "input gradient")


@pytest.mark.parametrize("mode", MODES)
def test_out_may_be_the_input(mode):
    x, weight = integers((2, 3, 6, 6)), integers((3, 3, 3, 3), seed=2)
    expected = F.conv2d(x, weight, padding=1, padding_mode=mode)
    assert F.conv2d(x, weight, padding=1, padding_mode=mode, out=x) is x
    assert_exact(x, expected)


@pytest.mark.parametrize("mode", MODES)
def test_one_sample_without_a_batch(mode):
    x, weight = integers((3, 6, 7)), integers((4, 3, 3, 3), seed=2)
    options = {"padding": 1, "padding_mode": mode}
    y = F.conv2d(x, weight, **options)
    assert_exact(y, F.conv2d(x[None], weight, **options)[0])
    residual = integers(y.shape, seed=3)
    alone = F.conv2d_backward(x, weight, residual, **options)
    batch = F.conv2d_backward(x[None], weight, residual[None], **options)
    assert_exact(alone[0], batch[0][0])
    assert_exact(alone[1], batch[1])


@pytest.mark.parametrize("mode", MODES)
def test_prepared_weights_give_the_same_bits(mode):
    x, weight = normal((5, 64, 12, 12)), normal((64, 64, 3, 3), seed=2)
    options = {"padding": 1, "padding_mode": mode}
    ready = F.prepare_weight(weight, x.shape, **options)
    assert ready.plan.algorithm == "winograd"
    expected = F.conv2d(x, weight, **options)
    for one in (ready, copy.deepcopy(ready)):
        np.testing.assert_array_equal(F.conv2d(x, one, **options), expected)
    with pytest.raises(ValueError, match="weight was prepared for"):
        F.conv2d(x, ready, padding=1)


def bits(axes, threads):
    """Return the bytes of all results of random numbers, over several samples."""
    case = {
        1: Case(5, 6, (300,), 7, (5,), 1, 2),
        2: Case(5, 33, (30, 31), 35, (3, 3), 1, 1),
        3: Case(3, 8, (6, 20, 21), 9, (3, 3, 3), 1, 1),
    }[axes]
    arrays = draw_arrays(case, lambda shape, seed: normal(shape, np.float32, seed))
    with fastconv.num_threads(threads):
        return [
            array.tobytes()
            for mode in MODES
            for array in results(F, case, arrays, padding_mode=mode)
        ]


def differing(axes):
    """Return the numbers of threads for which a result has other bits than for one."""
    alone = bits(axes, 1)
    return [threads for threads in range(2, 9) if bits(axes, threads) != alone]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_bits_do_not_follow_threads(axes, isa):
    isa_or_skip(isa)
    call = f"differing({axes})"
    environment = {"FASTCONV_ISA": isa, "FASTCONV_NUM_THREADS": "8"}
    assert run_tests_code("functional.test_boundaries", call, **environment) == "[]"


def test_samples_do_not_follow_the_batch():
    x, weight = normal((9, 16, 40, 40), np.float32), normal((16, 16, 3, 3), np.float32, seed=2)
    options = {"padding": 1, "padding_mode": "reflect"}
    whole = F.conv2d(x, weight, **options)
    for i in range(len(x)):
        np.testing.assert_array_equal(F.conv2d(x[i], weight, **options), whole[i])


def test_a_nan_reaches_what_sees_it():
    x = np.zeros((1, 1, 5))
    x[..., 4] = np.nan
    for mode, first in (("reflect", False), ("circular", True)):
        y = F.conv1d(x, np.ones((1, 1, 3)), padding=1, padding_mode=mode, algorithm="direct")
        assert np.isnan(y[0, 0]).tolist() == [first, False, False, True, True]


X, W = np.ones((2, 4, 5, 6)), np.ones((6, 4, 3, 3))


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (TypeError, "padding_mode must be a str, got int", {"padding_mode": 1}),
        (ValueError, "padding_mode must be one of 'zeros', .*, got 'mirror'", {"padding_mode": "mirror"}),
        (ValueError, "padding_mode must be one of .*, got 'constant'", {"padding_mode": "constant"}),
        (ValueError, r"padding: mode 'reflect' needs less on each side than the 5 cells of axis H, got \(5, 5\)", {"padding": 5, "padding_mode": "reflect"}),
        (ValueError, r"padding: mode 'circular' needs at most, .* the 6 cells of axis W, got \(0, 7\)", {"padding": ((0, 0), (0, 7)), "padding_mode": "circular"}),
    ],
)  # fmt: skip
def test_bad_calls_name_what_is_wrong(error, message, options):
    for call in (
        lambda: F.conv2d(X, W, **options),
        lambda: F.prepare_weight(W, X.shape, **options),
        lambda: fastconv.explain("conv2d_weight", X.shape, W.shape, **options),
    ):
        with pytest.raises(error, match=f"^{message}"):
            call()


def test_transposed_convolutions_have_no_padding_mode():
    with pytest.raises(ValueError, match=r"^padding_mode must be 'zeros' with transposed=True"):
        F.prepare_weight(W, (4, 5, 6), padding_mode="reflect", transposed=True)
    with pytest.raises(ValueError, match=r"^transposed convolutions have no padding_mode"):
        fastconv.explain("conv_transpose2d", (4, 5, 6), (4, 2, 3, 3), padding_mode="reflect")


def test_no_padding_is_no_boundary():
    """Where nothing is padded, the mode changes nothing, and costs nothing."""
    for mode in MODES:
        found = fastconv.explain("conv2d", X.shape, W.shape, padding_mode=mode)
        assert found == fastconv.explain("conv2d", X.shape, W.shape)


def test_maps_without_cells():
    for mode in ("reflect", "replicate", "circular", "symmetric"):
        with pytest.raises(ValueError, match=r"^padding: mode"):
            F.conv1d(np.ones((1, 1, 0)), np.ones((1, 1, 1)), padding=1, padding_mode=mode)


def test_the_workspace_is_counted():
    sample = 4 * prod((64, 58, 58))
    options = {"padding": 1, "algorithm": "gemm"}
    plain = fastconv.explain("conv2d", (1, 64, 58, 58), (8, 64, 3, 3), algorithm="gemm")
    found = fastconv.explain(
        "conv2d", (1, 64, 56, 56), (8, 64, 3, 3), padding_mode="reflect", **options
    )
    assert found.workspace_bytes == plain.workspace_bytes + sample
