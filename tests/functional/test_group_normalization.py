"""Group norm: reference, torch, layouts, out=, extremes, bits."""

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from tests._cases import (
    DTYPES,
    ISAS,
    LAYOUTS,
    assert_exact,
    assert_gradient,
    isa_or_skip,
    layouts,
    normal,
    run_tests_code,
    torch_or_skip,
)

# Shape and groups: planes of any size, one group, one channel a group, several pieces; short planes
# of many channels, and more samples than one running sum adds.
CASES = [
    ((3, 6), 2),
    ((2, 6, 5), 3),
    ((4, 6, 7, 7), 6),
    ((2, 6, 3, 3), 1),
    ((2, 4, 50, 49), 2),
    ((1, 8, 2, 3, 5), 4),
    ((5, 2, 17), 2),
    ((2, 200, 3), 2),
    ((3, 150, 1), 3),
    ((70, 4, 2), 2),
    ((4200, 2, 1), 1),
]


def arguments(shape, dtype=np.float64):
    x, grad = normal(shape, dtype, 1) * dtype(2) + dtype(1), normal(shape, dtype, 2)
    return x, grad, normal(shape[1:2], dtype, 3), normal(shape[1:2], dtype, 4)


def results(module, shape, groups, dtype, with_weight=True):
    x, grad, weight, bias = arguments(shape, dtype)
    if not with_weight:
        weight = bias = None
    saved = np.empty((2, shape[0], groups))
    y = module.group_norm(x, groups, weight, bias, 1e-3, statistics=saved)
    return y, saved, *module.group_norm_backward(grad, x, groups, saved, weight)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("with_weight", [True, False])
@pytest.mark.parametrize(("shape", "groups"), CASES)
def test_fast_is_near_the_reference(shape, groups, with_weight, dtype):
    ours = results(F, shape, groups, dtype, with_weight)
    theirs = results(reference, shape, groups, dtype, with_weight)
    for actual, expected in zip(ours, theirs, strict=True):
        assert actual.dtype == expected.dtype
        bound = 64 * np.finfo(dtype).eps * (1 + np.abs(expected).max())
        np.testing.assert_allclose(actual, expected, rtol=0, atol=bound)


def test_gradients_are_the_numerical_ones():
    x, grad, weight, bias = arguments((2, 4, 3))
    saved = np.empty((2, 2, 2))

    def run(x=x, weight=weight, bias=bias):
        return F.group_norm(x, 2, weight, bias, 1e-3, statistics=saved)

    run()
    gradients = F.group_norm_backward(grad, x, 2, saved.copy(), weight)
    for name, value, gradient in zip(
        ("x", "weight", "bias"), (x, weight, bias), gradients, strict=True
    ):
        assert_gradient(lambda moved, name=name: run(**{name: moved}), gradient, value, grad)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layouts(layout):
    x, grad, weight, bias = arguments((3, 4, 5, 7), np.float32)
    saved, again = np.empty((2, 3, 2)), np.empty((2, 3, 2))
    y = F.group_norm(x, 2, weight, bias, statistics=saved)
    gradients = F.group_norm_backward(grad, x, 2, saved, weight)
    a, g, w, b, s = (layouts(v).get(layout, v) for v in (x, grad, weight, bias, saved))
    assert_exact(F.group_norm(a, 2, w, b, statistics=again), y)
    assert_exact(again, saved)
    for actual, expected in zip(F.group_norm_backward(g, a, 2, s, w), gradients, strict=True):
        assert_exact(actual, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 12, 3), (2, 60), (2, 8, 1), (1, 4, 9)], ids=str)
def test_short_channels_in_the_place_of_the_input(shape, dtype):
    x, grad, weight, bias = arguments(shape, dtype)
    saved = np.empty((2, shape[0], 2))
    y = F.group_norm(x, 2, weight, bias, statistics=saved)
    gradients = F.group_norm_backward(grad, x, 2, saved, weight)
    for which in range(2):
        given = [grad.copy(), x.copy()]
        found = F.group_norm_backward(*given, 2, saved, weight, out=(given[which], None, None))
        assert found[0] is given[which]
        for actual, expected in zip(found, gradients, strict=True):
            assert_exact(actual, expected)
    assert_exact(F.group_norm(x, 2, weight, bias, out=x), y)


def test_out():
    x, grad, weight, bias = arguments((6, 4, 5, 7))
    saved = np.empty((2, 6, 2))
    y = F.group_norm(x, 2, weight, bias, statistics=saved)
    gradients = F.group_norm_backward(grad, x, 2, saved, weight)
    base = np.full((12, 9, 5, 7), np.nan)
    for out in (base[::2, 2:6], np.full((6, 4, 5, 14), np.nan)[..., ::2]):
        assert F.group_norm(x, 2, weight, bias, out=out) is out
        np.testing.assert_array_equal(out, y)
    base[::2, 2:6] = np.nan
    assert np.isnan(base).all(), "the result was written outside out"
    same = x.copy()
    assert F.group_norm(same, 2, weight, bias, out=same) is same
    np.testing.assert_array_equal(same, y)
    for which in range(2):
        given = [grad.copy(), x.copy()]
        outs = (given[which], np.empty(8)[::2], np.empty(4))
        found = F.group_norm_backward(*given, 2, saved, weight, out=outs)
        for actual, expected, out in zip(found, gradients, outs, strict=True):
            assert actual is out
            np.testing.assert_array_equal(actual, expected)
    part = F.group_norm_backward(grad, x, 2, saved, weight, output_mask=(False, True, False))
    assert part[0] is None
    assert_exact(part[1], gradients[1])
    assert part[2] is None


def test_extremes():
    noise = np.random.default_rng(1).standard_normal((2, 4, 30, 30))
    x = (1e4 + noise).astype(np.float32)
    y = F.group_norm(x, 2)
    np.testing.assert_allclose(y, reference.group_norm(x.astype(np.float64), 2), rtol=0, atol=2e-6)
    assert_exact(F.group_norm(np.full((2, 4, 9), 123.4, np.float32), 2), np.zeros((2, 4, 9), "f"))
    x[1, 2, 3, 4] = np.nan
    lost = np.zeros(x.shape, bool)
    lost[1, 2:] = True
    np.testing.assert_array_equal(np.isnan(F.group_norm(x, 2)), lost)


def all_agree():
    """Compare with the reference, and 1 to 8 threads with each other."""
    for dtype in DTYPES:
        for size in (*range(1, 40), 2048, 2049):
            test_fast_is_near_the_reference((2, 4, size), 2, True, dtype)
    bits = []
    for threads in range(1, 9):
        with fastconv.num_threads(threads):
            bits.append(
                [
                    a.tobytes()
                    for shape, groups in [*CASES, ((4, 16, 60, 60), 4)]
                    for dtype in DTYPES
                    for a in results(F, shape, groups, dtype)
                ]
            )
    return all(found == bits[0] for found in bits)


@pytest.mark.parametrize("isa", ISAS)
def test_each_instruction_set_and_any_threads(isa):
    isa_or_skip(isa)
    module = "functional.test_group_normalization"
    assert run_tests_code(module, "all_agree()", FASTCONV_ISA=isa) == "True"


@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 4, 0)], ids=str)
def test_empty(shape):
    x, saved = np.zeros(shape, np.float32), np.empty((2, shape[0], 2))
    assert F.group_norm(x, 2, statistics=saved).shape == shape
    found = F.group_norm_backward(x, x, 2, saved)
    assert found[0].shape == shape
    assert_exact(found[1], np.zeros(4, np.float32))


def test_wrong_arguments():
    x, saved = np.zeros((2, 4, 3)), np.empty((2, 2, 2))
    for error, text, call in (
        (ValueError, "num_groups must divide C = 4, got 3", lambda: F.group_norm(x, 3)),
        (TypeError, "num_groups must be", lambda: F.group_norm(x, 2.0)),
        (ValueError, "weight must have shape", lambda: F.group_norm(x, 2, np.ones(3))),
        (ValueError, "statistics must have", lambda: F.group_norm(x, 4, statistics=saved)),
        (ValueError, "statistics must have", lambda: F.group_norm_backward(x, x, 4, saved)),
        (ValueError, "grad_output must have",
         lambda: F.group_norm_backward(x[:1], x, 2, saved)),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            call()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "groups"), CASES)
def test_agrees_with_torch(shape, groups, dtype):
    torch = torch_or_skip("group norm against torch")
    x, grad, weight, bias = arguments(shape, dtype)
    leaves = [torch.from_numpy(a.copy()).requires_grad_() for a in (x, weight, bias)]
    expected = torch.nn.functional.group_norm(leaves[0], groups, *leaves[1:], 1e-3)
    expected.backward(torch.from_numpy(grad))
    y, _, *gradients = results(F, shape, groups, dtype)
    for actual, wanted in zip(
        (y, *gradients), (expected.detach(), *(leaf.grad for leaf in leaves)), strict=True
    ):
        bound = 128 * np.finfo(dtype).eps * (1 + float(wanted.abs().max()))
        np.testing.assert_allclose(actual, wanted.numpy(), rtol=0, atol=bound)
