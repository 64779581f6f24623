"""Pooling by p-norms: reference, layouts, threads, gradients, torch, extreme values."""

from itertools import product

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from tests._cases import (
    DTYPES,
    assert_exact,
    integers,
    normal,
    numerical_gradient,
    torch_or_skip,
)
from tests._pooling import (
    GEOMETRIES,
    IDS,
    assert_layouts,
    assert_out,
    pool,
    same_bits_for_threads,
)

POWERS = (1, 2, 3, 4.0, 9, 0.5, 2.5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", GEOMETRIES, ids=IDS)
def test_equals_reference(case, dtype):
    size, kernel, stride, padding, dilation, ceil_mode = case
    ours, theirs = pool("lp_pool{}d", len(size))
    back, slow = pool("lp_pool{}d_backward", len(size))
    x = normal((2, 2, *size), dtype)
    x[0, 0] = 0
    eps = np.finfo(dtype).eps
    geometry = {"padding": padding, "dilation": dilation}
    for p in POWERS:
        options = (p, kernel, stride, ceil_mode)
        expected = theirs(x, *options, **geometry)
        output = ours(x, *options, **geometry)
        assert output.dtype == dtype
        terms = np.prod(np.broadcast_to(kernel, len(size)))
        # The relative error of the sum of powers, over p, and that of the root.
        bound = (terms + 2 * p + 16) * eps * max(1, 1 / p)
        np.testing.assert_allclose(output, expected, rtol=bound, atol=0)
        residual = integers(output.shape, dtype, 1)
        gradient = back(residual, x, output, *options, **geometry)
        expected = slow(residual, x, output, *options, **geometry)
        scale = slow(np.abs(residual), np.abs(x), output, *options, **geometry)
        assert gradient.dtype == dtype
        assert (np.abs(gradient - expected) <= (terms + 4 * p + 16) * 4 * eps * scale).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_of_absolute_values_are_exact_on_integers(dtype):
    x = integers((2, 3, 9, 10), dtype)
    expected = 9 * F.avg_pool2d(np.abs(x), 3, 2, divisor_override=9).round(4)
    np.testing.assert_allclose(F.lp_pool2d(x, 1, 3, 2), expected, atol=1e-3)
    assert (F.lp_pool2d(x, 1, 3, 2) % 1 == 0).all()


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_layouts_out_and_threads(axes):
    ours, _ = pool("lp_pool{}d", axes)
    back, _ = pool("lp_pool{}d_backward", axes)
    x = normal((2, 3, *(5, 7, 9)[-axes:]), np.float32)
    y = ours(x, 3, 2)
    residual = normal(y.shape, np.float32)
    assert_layouts(lambda x: ours(x, 3, 2), x)
    assert_layouts(lambda x: back(residual, x, y, 3, 2), x)
    assert_layouts(lambda d: back(d, x, y, 3, 2), residual)
    assert_layouts(lambda y: back(residual, x, y, 3, 2), y)
    assert_out(lambda out=None: ours(x, 3, 2, out=out))
    assert_out(lambda out=None: back(residual, x, y, 3, 2, out=out))
    wide = normal((6, 7, *(4, 20, 33)[-axes:]))

    def call():
        y = ours(wide, 3, 2)
        return y, back(y, wide, y, 3, 2)

    same_bits_for_threads(fastconv, call)
    same = x.copy()
    assert_exact(back(y, same, y, 3, 2, out=same), back(y, x, y, 3, 2))


@pytest.mark.parametrize(("axes", "p"), list(product([1, 2, 3], [1, 2, 3, 2.5])))
def test_gradient_is_the_numerical_one(axes, p):
    ours, _ = pool("lp_pool{}d", axes)
    back, _ = pool("lp_pool{}d_backward", axes)
    x = normal((1, *(2, 3, 4)[-axes:])) + 3 * (-1) ** np.arange(4)
    y = ours(x, p, 2, 1, True)
    residual = normal(y.shape)
    gradient = back(residual, x, y, p, 2, 1, True)
    numbers = numerical_gradient(lambda x: (ours(x, p, 2, 1, True) * residual).sum(), x, 1e-5)
    np.testing.assert_allclose(gradient, numbers, atol=1e-8)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_agrees_with_torch(axes):
    torch = torch_or_skip("pooling by norms")
    ours, _ = pool("lp_pool{}d", axes)
    back, _ = pool("lp_pool{}d_backward", axes)
    theirs = getattr(torch.nn.functional, f"lp_pool{axes}d")
    for p, kernel, stride, ceil in product((1, 2, 3, 4), (2, 3), (None, 2), (False, True)):
        # Torch takes no absolute values.
        x = np.abs(normal((2, 2, *(5, 7, 8)[-axes:]))) + 0.1
        tensor = torch.from_numpy(x).requires_grad_()
        expected = theirs(tensor, p, kernel, stride, ceil)
        output = ours(x, p, kernel, stride, ceil)
        np.testing.assert_allclose(output, expected.detach().numpy(), rtol=1e-13)
        residual = normal(output.shape, seed=1)
        expected.backward(torch.from_numpy(residual))
        gradient = back(residual, x, output, p, kernel, stride, ceil)
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-11, atol=1e-12)


def test_onnx_does_not_scale_what_hangs_over():
    x = np.full((1, 1, 3), 3.0)
    assert F.lp_pool1d(x, 2, 2, ceil_mode=True).ravel().tolist() == pytest.approx([18**0.5] * 2)
    assert F.lp_pool1d(x, 2, 2, ceil_mode="onnx").ravel().tolist() == pytest.approx([18**0.5, 3])


def test_zeros_nan_and_infinity():
    x = np.array([[0.0, 0, np.nan, 1, np.inf, 1]])
    y = F.lp_pool1d(x, 2, 2)
    np.testing.assert_array_equal(y, [[0, np.nan, np.inf]])
    gradient = F.lp_pool1d_backward(np.ones_like(y), x, y, 2, 2)
    assert gradient[0, :2].tolist() == [0, 0]
    assert np.isnan(gradient[0, 2:4]).all()


def test_wrong_arguments():
    x = np.ones((1, 2, 4, 4))
    for p in (0, -1, np.inf, np.nan):
        with pytest.raises(ValueError, match="norm_type must be a finite number above 0"):
            F.lp_pool2d(x, p, 2)
    with pytest.raises(TypeError, match="norm_type must be a number, got str"):
        F.lp_pool2d(x, "2", 2)
    y = F.lp_pool2d(x, 2, 2)
    with pytest.raises(ValueError, match=r"output must have shape grad_output.shape"):
        F.lp_pool2d_backward(y, x, y[:, :1], 2, 2)
    with pytest.raises(ValueError, match="grad_output must have shape"):
        F.lp_pool2d_backward(y[:, :1], x, y[:, :1], 2, 2)
    with pytest.raises(TypeError, match="output must have the dtype of input"):
        F.lp_pool2d_backward(y, x, y.astype(np.float32), 2, 2)
    assert F.lp_pool2d(x[:0], 2, 2).shape == (0, 2, 2, 2)
    assert F.lp_pool2d_backward(y[:0], x[:0], y[:0], 2, 2).shape == (0, 2, 4, 4)
