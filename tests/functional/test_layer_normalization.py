"""Layer norm: reference, torch, layouts, out=, extremes, bits."""

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

# Shape and axes: rows shorter than a vector, one off vectors, of several pieces, with a piece that
# ends with less than a vector; long ones; many rows, of several chunks; several axes; one row.
CASES = [
    ((3, 4, 5), 1),
    ((2, 3, 16), 1),
    ((6, 17), 1),
    ((300, 64), 1),
    ((1000, 10), 1),
    ((700, 70), 1),
    ((40, 2050), 1),
    ((150, 4200), 1),
    ((2, 3, 7, 9), 3),
    ((5, 4, 3, 3), 2),
    ((7, 9), 2),
    ((5, 1), 1),
]


def arguments(shape, axes, dtype=np.float64):
    x, grad = normal(shape, dtype, 1) * dtype(2) + dtype(1), normal(shape, dtype, 2)
    return x, grad, normal(shape[-axes:], dtype, 3), normal(shape[-axes:], dtype, 4)


def results(module, shape, axes, dtype, with_weight=True, with_bias=True):
    x, grad, weight, bias = arguments(shape, axes, dtype)
    weight, bias = weight if with_weight else None, bias if with_bias else None
    last, saved = shape[-axes:], np.empty((2, *shape[:-axes]))
    y = module.layer_norm(x, last, weight, bias, 1e-3, statistics=saved)
    return y, saved, *module.layer_norm_backward(grad, x, last, saved, weight)


def assert_near_the_reference(shape, axes, dtype, with_weight=True, with_bias=True):
    ours = results(F, shape, axes, dtype, with_weight, with_bias)
    theirs = results(reference, shape, axes, dtype, with_weight, with_bias)
    for actual, expected in zip(ours, theirs, strict=True):
        assert actual.dtype == expected.dtype
        assert actual.shape == expected.shape
        bound = 64 * np.finfo(dtype).eps * (1 + np.abs(expected).max())
        np.testing.assert_allclose(actual, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axes"), CASES)
def test_fast_is_near_the_reference(shape, axes, dtype):
    assert_near_the_reference(shape, axes, dtype)


@pytest.mark.parametrize("shape", [(4, 5), (4, 40)], ids=str)
@pytest.mark.parametrize("with_weight", [True, False])
@pytest.mark.parametrize("with_bias", [True, False])
def test_without_weight_or_bias(shape, with_weight, with_bias):
    assert_near_the_reference(shape, 1, np.float32, with_weight, with_bias)


def test_sums_are_exact_on_integers():
    """The columns' sums, whatever their chunks are, where all statistics are 0 and 1."""
    rng = np.random.default_rng(1)
    for shape in ((1000, 3), (2000, 70), (300, 4099)):
        x, grad = rng.integers(-4, 5, (2, *shape)).astype(np.float32)
        saved = np.zeros((2, shape[0]))
        saved[1] = 1
        _, for_weight, for_bias = F.layer_norm_backward(grad, x, shape[1], saved)
        assert_exact(for_weight, (grad * x).sum(0))
        assert_exact(for_bias, grad.sum(0))


@pytest.mark.parametrize("shape", [(2, 3), (2, 19)], ids=str)
def test_gradients_are_the_numerical_ones(shape):
    x, grad, weight, bias = arguments(shape, 1)
    saved = np.empty((2, 2))

    def run(x=x, weight=weight, bias=bias):
        return F.layer_norm(x, shape[1], weight, bias, 1e-3, statistics=saved)

    run()
    gradients = F.layer_norm_backward(grad, x, shape[1], saved.copy(), weight)
    for name, value, gradient in zip(
        ("x", "weight", "bias"), (x, weight, bias), gradients, strict=True
    ):
        assert_gradient(lambda moved, name=name: run(**{name: moved}), gradient, value, grad)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layouts(layout):
    x, grad, weight, bias = arguments((3, 4, 5, 7), 2, np.float32)
    saved, again = np.empty((2, 3, 4)), np.empty((2, 3, 4))
    y = F.layer_norm(x, (5, 7), weight, bias, statistics=saved)
    gradients = F.layer_norm_backward(grad, x, (5, 7), saved, weight)
    a, g, w, b, s = (layouts(v).get(layout, v) for v in (x, grad, weight, bias, saved))
    assert_exact(F.layer_norm(a, [5, 7], w, b, statistics=again), y)
    assert_exact(again, saved)
    for actual, expected in zip(F.layer_norm_backward(g, a, (5, 7), s, w), gradients, strict=True):
        assert_exact(actual, expected)


# Columns are summed in chunks of rows, or by themselves.
@pytest.mark.parametrize("shape", [(6, 70), (3, 5000)], ids=str)
def test_out(shape):
    rows, length = shape
    x, grad, weight, bias = arguments(shape, 1)
    saved = np.empty((2, rows))
    y = F.layer_norm(x, length, weight, bias, statistics=saved)
    gradients = F.layer_norm_backward(grad, x, length, saved, weight)
    base = np.full((2 * rows, length + 5), np.nan)
    for out in (base[::2, 2:-3], np.full((rows, 2 * length), np.nan)[:, ::2]):
        assert F.layer_norm(x, length, weight, bias, out=out) is out
        np.testing.assert_array_equal(out, y)
    base[::2, 2:-3] = np.nan
    assert np.isnan(base).all(), "the result was written outside out"
    same = x.copy()
    assert F.layer_norm(same, length, weight, bias, out=same) is same
    np.testing.assert_array_equal(same, y)
    # The last row of what is written is the weight, too.
    same = np.concatenate([x[1:], weight[None]])
    expected = F.layer_norm(same, length, weight, bias)
    F.layer_norm(same, length, same[-1], bias, out=same)
    np.testing.assert_array_equal(same, expected)
    for which in range(2):
        given = [grad.copy(), x.copy()]
        outs = (given[which], np.empty(2 * length)[::2], np.empty(length))
        found = F.layer_norm_backward(*given, length, saved, weight, out=outs)
        for actual, expected, out in zip(found, gradients, outs, strict=True):
            assert actual is out
            np.testing.assert_array_equal(actual, expected)
    for which in range(3):
        mask = tuple(i == which for i in range(3))
        part = F.layer_norm_backward(grad, x, length, saved, weight, output_mask=mask)
        assert [a is not None for a in part] == list(mask)
        assert_exact(part[which], gradients[which])


@pytest.mark.parametrize("length", [7, 64, 2500])
def test_extremes(length):
    noise = np.random.default_rng(1).standard_normal((8, length))
    x = (1e4 + noise).astype(np.float32)
    y = F.layer_norm(x, length)
    wide = reference.layer_norm(x.astype(np.float64), length)
    np.testing.assert_allclose(y, wide, rtol=0, atol=2e-6)
    for value in (123.4, 0.0, 1e30):
        same = np.full((3, length), value, np.float32)
        assert_exact(F.layer_norm(same, length), np.zeros_like(same))
    # Numbers whose squares overflow, or are almost denormal.
    for factor in (1e30, 1e-17):
        small = noise.astype(np.float32) * np.float32(factor)
        saved, exact = np.empty((2, 8)), np.empty((2, 8))
        y = F.layer_norm(small, length, eps=0, statistics=saved)
        wide = reference.layer_norm(small.astype(np.float64), length, eps=0, statistics=exact)
        np.testing.assert_allclose(y, wide, rtol=0, atol=4e-6)
        ours = F.layer_norm_backward(x, small, length, saved)[0] * factor
        theirs = reference.layer_norm_backward(
            x.astype(np.float64), small.astype(np.float64), length, exact
        )[0]
        np.testing.assert_allclose(ours, theirs * factor, rtol=0, atol=1e-5 * np.abs(x).max())
    x[1, 3] = np.nan
    x[2, 3] = np.inf
    lost = np.zeros(x.shape, bool)
    lost[1:3] = True
    np.testing.assert_array_equal(np.isnan(F.layer_norm(x, length)), lost)


def all_agree():
    """Compare with the reference, and 1 to 8 threads with each other."""
    for dtype in DTYPES:
        for length in (*range(1, 80), 2047, 2048, 2049, 4095, 4096, 4097):
            assert_near_the_reference((5, length), 1, dtype)
    bits = []
    for threads in range(1, 9):
        with fastconv.num_threads(threads):
            bits.append(
                [
                    a.tobytes()
                    for shape, axes in [*CASES, ((4096, 64), 1)]
                    for dtype in DTYPES
                    for a in results(F, shape, axes, dtype)
                ]
            )
    return all(found == bits[0] for found in bits)


@pytest.mark.parametrize("isa", ISAS)
def test_each_instruction_set_and_any_threads(isa):
    isa_or_skip(isa)
    module = "functional.test_layer_normalization"
    assert run_tests_code(module, "all_agree()", FASTCONV_ISA=isa) == "True"


@pytest.mark.parametrize("shape", [(0, 4), (2, 0)], ids=str)
def test_empty(shape):
    x, saved = np.zeros(shape, np.float32), np.zeros((2, shape[0]))
    assert F.layer_norm(x, shape[1], statistics=saved).shape == shape
    assert np.isnan(saved).all()
    found = F.layer_norm_backward(x, x, shape[1], saved)
    assert found[0].shape == shape
    for gradient in found[1:]:
        assert_exact(gradient, np.zeros(shape[1], np.float32))


def test_wrong_arguments():
    x, saved = np.zeros((2, 4, 3)), np.empty((2, 2))
    for error, text, call in (
        (ValueError, "input must end with normalized_shape = .4,.", lambda: F.layer_norm(x, 4)),
        (ValueError, "input must end with", lambda: F.layer_norm(x, (1, 2, 4, 3))),
        (ValueError, "normalized_shape must have", lambda: F.layer_norm(x, ())),
        (TypeError, "normalized_shape must be", lambda: F.layer_norm(x, 3.0)),
        (ValueError, "normalized_shape must be", lambda: F.layer_norm(x, -3)),
        (ValueError, "weight must have", lambda: F.layer_norm(x, (4, 3), np.ones(3))),
        (TypeError, "bias must have", lambda: F.layer_norm(x, 3, None, np.ones(3, np.float32))),
        (ValueError, "statistics must have", lambda: F.layer_norm(x, 3, statistics=saved)),
        (ValueError, "statistics must have", lambda: F.layer_norm_backward(x, x, 3, saved)),
        (ValueError, "grad_output must have",
         lambda: F.layer_norm_backward(x[:1], x, (4, 3), saved)),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            call()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axes"), CASES)
def test_agrees_with_torch(shape, axes, dtype):
    torch = torch_or_skip("layer norm against torch")
    x, grad, weight, bias = arguments(shape, axes, dtype)
    leaves = [torch.from_numpy(a.copy()).requires_grad_() for a in (x, weight, bias)]
    expected = torch.nn.functional.layer_norm(leaves[0], shape[-axes:], *leaves[1:], 1e-3)
    expected.backward(torch.from_numpy(grad))
    y, _, *gradients = results(F, shape, axes, dtype)
    for actual, wanted in zip(
        (y, *gradients), (expected.detach(), *(leaf.grad for leaf in leaves)), strict=True
    ):
        bound = 256 * np.finfo(dtype).eps * (1 + float(wanted.abs().max()))
        np.testing.assert_allclose(actual, wanted.numpy(), rtol=0, atol=bound)
