"""Local response normalisation: reference, torch, layouts, out=, bits."""

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

SHAPES = [(2, 3), (2, 7, 5), (1, 1, 3, 3), (2, 96, 9, 7), (1, 200, 40, 17), (2, 5, 2, 3, 4)]
# Size, alpha, beta, k: odd and even, one channel, more than there are; each way to take a power.
OPTIONS = [
    (5, 1e-4, 0.75, 2.0),
    (4, 0.5, 0.75, 1.0),
    (1, 0.3, 0.5, 1.0),
    (3, 0.3, 1.0, 0.5),
    (2, 0.7, 0.6, 1.0),
    (1000, 0.2, 0.75, 1.0),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_fast_is_near_the_reference(shape, options, dtype):
    x, grad = normal(shape, dtype, 1) * dtype(2), normal(shape, dtype, 2)
    for divides in (True, False):
        found = []
        for module in (F, reference):
            y = module.local_response_norm(x, *options, divide_by_size=divides)
            dx = module.local_response_norm_backward(grad, x, *options, divide_by_size=divides)
            found.append((y, dx))
        for actual, expected in zip(*found, strict=True):
            assert actual.dtype == dtype
            bound = 64 * np.finfo(dtype).eps * (1 + np.abs(expected).max())
            np.testing.assert_allclose(actual, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradients_are_the_numerical_ones(options):
    x, grad = normal((2, 6, 3), seed=1), normal((2, 6, 3), seed=2)
    gradient = F.local_response_norm_backward(grad, x, *options)
    assert_gradient(lambda x: F.local_response_norm(x, *options), gradient, x, grad)


def test_exact_on_small_integers():
    x = np.array([[1, 2, -2, 0, 3]], np.float32)
    y = F.local_response_norm(x, 3, alpha=1, beta=1, k=-1, divide_by_size=False)
    scales = np.array([[4, 8, 7, 12, 8]], np.float32)
    assert_exact(y, x * (1 / scales))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layouts(layout):
    x, grad = normal((2, 7, 6, 5), np.float32, 1), normal((2, 7, 6, 5), np.float32, 2)
    a, g = layouts(x)[layout], layouts(grad)[layout]
    assert_exact(F.local_response_norm(a, 5), F.local_response_norm(x, 5))
    expected = F.local_response_norm_backward(grad, x, 5)
    assert_exact(F.local_response_norm_backward(g, a, 5), expected)


def test_out():
    x, grad = normal((3, 7, 6, 5), seed=1), normal((3, 7, 6, 5), seed=2)
    y, dx = F.local_response_norm(x, 5), F.local_response_norm_backward(grad, x, 5)
    base = np.full((6, 9, 6, 5), np.nan)
    out = base[::2, 1:8]
    assert F.local_response_norm(x, 5, out=out) is out
    np.testing.assert_array_equal(out, y)
    out[...] = np.nan
    assert np.isnan(base).all(), "the result was written outside out"
    for which in range(2):
        given = [grad.copy(), x.copy()]
        F.local_response_norm_backward(*given, 5, out=given[which])
        np.testing.assert_array_equal(given[which], dx)
    same = x.copy()
    assert F.local_response_norm(same, 5, out=same) is same
    np.testing.assert_array_equal(same, y)


def test_nan_reaches_the_windows_that_hold_it_and_no_more():
    x = np.ones((2, 9, 4), np.float32)
    x[1, 4, 2] = np.nan
    expected = np.zeros(x.shape, bool)
    expected[1, 2:7, 2] = True
    np.testing.assert_array_equal(np.isnan(F.local_response_norm(x, 5)), expected)


def digests(threads):
    """Return the bits of results with so many threads."""
    found = []
    with fastconv.num_threads(threads):
        for shape in SHAPES:
            for dtype in DTYPES:
                x, grad = normal(shape, dtype, 1), normal(shape, dtype, 2)
                for options in OPTIONS:
                    y = F.local_response_norm(x, *options)
                    dx = F.local_response_norm_backward(grad, x, *options)
                    found += [y.tobytes(), dx.tobytes()]
    return found


def results_agree():
    """Compare with the reference, and 1 to 8 threads with each other."""
    for dtype in DTYPES:
        for shape in SHAPES:
            for options in OPTIONS:
                test_fast_is_near_the_reference(shape, options, dtype)
    one = digests(1)
    return all(digests(threads) == one for threads in range(2, 9))


@pytest.mark.parametrize("isa", ISAS)
def test_each_instruction_set_and_any_threads(isa):
    isa_or_skip(isa)
    module = "functional.test_normalization"
    assert run_tests_code(module, "results_agree()", FASTCONV_ISA=isa) == "True"


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)], ids=str)
def test_empty(shape):
    x = np.zeros(shape, np.float32)
    assert_exact(F.local_response_norm(x, 3), x)
    assert_exact(F.local_response_norm_backward(x, x, 3), x)


def test_wrong_arguments():
    x = np.zeros((2, 3, 4))
    for error, text, call in (
        (ValueError, "input must be", lambda: F.local_response_norm(x[0, 0], 3)),
        (ValueError, "size must be", lambda: F.local_response_norm(x, 0)),
        (TypeError, "size must be", lambda: F.local_response_norm(x, 2.5)),
        (TypeError, "beta must be", lambda: F.local_response_norm(x, 3, beta="1")),
        (ValueError, "out must have", lambda: F.local_response_norm(x, 3, out=x[:1])),
        (ValueError, "grad_output must have",
         lambda: F.local_response_norm_backward(x[:1], x, 3)),
        (TypeError, "grad_output must have the dtype",
         lambda: F.local_response_norm_backward(x.astype(np.float32), x, 3)),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            call()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_agrees_with_torch(options, dtype):
    torch = torch_or_skip("local response norm against torch")
    x, grad = normal((2, 11, 5, 6), dtype, 1), normal((2, 11, 5, 6), dtype, 2)
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    expected = torch.nn.functional.local_response_norm(leaf, *options)
    expected.backward(torch.from_numpy(grad))
    bound = 64 * np.finfo(dtype).eps * 4
    y = F.local_response_norm(x, *options)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=bound)
    gradient = F.local_response_norm_backward(grad, x, *options)
    np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=0, atol=bound)
