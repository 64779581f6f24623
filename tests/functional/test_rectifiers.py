"""prelu with the sums of its weight's gradient, and what activations refuse."""

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from tests._cases import DTYPES, assert_exact, assert_gradient, layouts, normal, torch_or_skip

CASES = [((3, 4), (4,)), ((3, 4), (1,)), ((3, 4), ()), ((2, 3, 5, 7), (3,)), ((5,), (1,))]
CASES += [((2, 3, 70, 70), (3,)), ((), (1,)), ((), ()), ((0, 3), (3,)), ((0, 3), ())]
CASES += [((3, 2, 0), (2,)), ((9, 1, 40), (1,)), ((9, 2, 40), ())]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "slopes"), CASES)
def test_prelu_is_near_the_reference(shape, slopes, dtype):
    x, residual, weight = normal(shape, dtype, 1), normal(shape, dtype, 2), normal(slopes, dtype)
    y = F.prelu(x, weight)
    assert_exact(y, reference.prelu(x, weight))
    grad_input, grad_weight = F.prelu_backward(residual, x, weight)
    expected = reference.prelu_backward(residual, x, weight)
    np.testing.assert_array_equal(grad_input, expected[0])
    assert grad_weight.shape == expected[1].shape == slopes
    scale = np.abs(residual * x).sum() + 1
    bound = 4 * np.finfo(dtype).eps * scale
    np.testing.assert_allclose(grad_weight, expected[1], rtol=0, atol=bound)
    for layout, strange in layouts(x).items() if x.ndim else ():
        assert_exact(F.prelu(strange, weight), y, layout)
        again = F.prelu_backward(residual, strange, weight)
        assert_exact(again[0], grad_input, layout)
        assert_exact(again[1], grad_weight, layout)
    assert F.prelu_backward(residual, x, weight, output_mask=(False, False)) == (None, None)
    outs = np.empty_like(x), weight.copy()
    F.prelu_backward(residual, x, outs[1], out=outs)
    np.testing.assert_array_equal(outs[0], grad_input)
    np.testing.assert_array_equal(outs[1], grad_weight)
    kept = x.copy()
    assert F.prelu(kept, weight, out=kept) is kept
    np.testing.assert_array_equal(kept, y)


@pytest.mark.parametrize("slopes", [1, 3])
def test_prelus_gradients_are_the_numerical_ones(slopes):
    x, residual, weight = normal((2, 3, 4), seed=1), normal((2, 3, 4), seed=2), normal((slopes,))
    x += np.sign(x) * 0.1
    grad_input, grad_weight = F.prelu_backward(residual, x, weight)
    assert_gradient(lambda x: F.prelu(x, weight), grad_input, x, residual)
    assert_gradient(lambda weight: F.prelu(x, weight), grad_weight, weight, residual)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_have_the_same_bits_for_any_threads(dtype):
    x, residual, weight = (normal(s, dtype, 3) for s in ((5, 2, 91, 93), (5, 2, 91, 93), (2,)))
    before = fastconv.get_num_threads()
    results = []
    try:
        for threads in range(1, 9):
            fastconv.set_num_threads(threads)
            results.append(F.prelu_backward(residual, x, weight))
    finally:
        fastconv.set_num_threads(before)
    for result in results[1:]:
        assert_exact(result[0], results[0][0])
        assert_exact(result[1], results[0][1])


def test_long_sums_are_accurate():
    x = np.full((1, 1, 3_000_000), -0.1, np.float32)
    (total,) = F.prelu_backward(x, x, np.ones(1, np.float32))[1]
    exact = 3_000_000 * float(np.float32(-0.1)) ** 2
    assert abs(total / exact - 1) < 1e-5


@pytest.mark.parametrize("dtype", DTYPES)
def test_prelu_agrees_with_torch(dtype):
    torch = torch_or_skip("prelu against torch")
    arrays = [normal(shape, dtype, 1) for shape in ((2, 3, 5), (3,), (2, 3, 5))]
    x, weight = (torch.from_numpy(a).requires_grad_() for a in arrays[:2])
    torch.nn.functional.prelu(x, weight).backward(torch.from_numpy(arrays[2]))
    ours = F.prelu_backward(arrays[2], arrays[0], arrays[1])
    for gradient, theirs in zip(ours, (x, weight), strict=True):
        np.testing.assert_allclose(gradient, theirs.grad, rtol=1e-5)


X = np.ones((2, 3))


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, r"weight must .* \(1,\) or \(C,\) = \(3,\)", lambda: F.prelu(X, X[:, 0])),
        (ValueError, "weight must have shape", lambda: F.prelu(X, X)),
        (TypeError, "weight must have the dtype", lambda: F.prelu(X, X[0].astype("f4"))),
        (ValueError, "output_mask must have", lambda: F.prelu_backward(X, X, X[0], output_mask=1)),
        (ValueError, "out must have", lambda: F.prelu_backward(X, X, X[0], out=X)),
        (ValueError, "min_val must not be above max_val", lambda: F.hardtanh(X, 2, 1)),
        (ValueError, "min_val", lambda: F.hardtanh_backward(X, X, np.nan, 1)),
        (TypeError, "max_val must be a number", lambda: F.hardtanh(X, 1, "2")),
        (ValueError, "alpha must be positive", lambda: F.celu(X, 0)),
        (ValueError, "beta must not be 0", lambda: F.softplus(X, 0)),
        (TypeError, "threshold must be a number", lambda: F.softplus(X, 1, None)),
        (ValueError, "approximate must be 'none' or 'tanh', got 'erf'", lambda: F.gelu(X, "erf")),
        (ValueError, "approximate must be", lambda: F.gelu_backward(X, X, None)),
        (TypeError, "input must be a numpy.ndarray", lambda: F.silu([1.0])),
        (ValueError, "grad_output must have shape", lambda: F.silu_backward(X[:1], X)),
        (ValueError, "out must have the result's shape", lambda: F.mish(X, out=X[:1])),
    ],
)  # fmt: skip
def test_wrong_calls_are_refused(error, message, call):
    with pytest.raises(error, match=message):
        call()
