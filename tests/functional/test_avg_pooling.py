"""Average pooling over one to three axes: reference, layouts, threads, gradients, torch."""

from itertools import product

import numpy as np
import pytest

import fastconv
from tests._cases import DTYPES, assert_gradient, integers, normal, torch_or_skip
from tests._pooling import (
    GEOMETRIES,
    IDS,
    assert_layouts,
    assert_out,
    pool,
    residual_of,
    same_bits_for_threads,
)

MEANS = list(product([True, False], [None, 3]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", GEOMETRIES, ids=IDS)
def test_equals_reference(case, dtype):
    size, kernel, stride, padding, dilation, ceil_mode = case
    axes = len(size)
    ours, theirs = pool("avg_pool{}d", axes)
    back, slow = pool("avg_pool{}d_backward", axes)
    x = integers((2, 3, *size), dtype, 1)
    eps = np.finfo(dtype).eps
    for count_include_pad, divisor in MEANS:
        options = (kernel, stride, padding, ceil_mode, count_include_pad, divisor)
        expected = theirs(x, *options, dilation=dilation)
        output = ours(x, *options, dilation=dilation)
        assert output.dtype == dtype
        # Sums of integers are exact; the quotient is rounded once, here and there.
        np.testing.assert_allclose(output, expected, rtol=2 * eps, atol=0)
        residual = residual_of(output)
        gradient = back(residual, x.shape, *options, dilation=dilation)
        expected = slow(residual, x.shape, *options, dilation=dilation)
        bound = slow(np.abs(residual), x.shape, *options, dilation=dilation)
        meeting = 2 + np.prod(np.broadcast_to(kernel, axes))
        assert gradient.dtype == dtype
        assert (np.abs(gradient - expected) <= meeting * eps * bound).all()


@pytest.mark.parametrize("axes", [1, 3])
def test_layouts_and_out(axes):
    ours, _ = pool("avg_pool{}d", axes)
    back, _ = pool("avg_pool{}d_backward", axes)
    x = normal((2, 3, *(5, 7, 9)[-axes:]), np.float32)
    options = (3, 2, 1)
    assert_layouts(lambda x: ours(x, *options), x)
    residual = residual_of(ours(x, *options))
    assert_layouts(lambda d: back(d, x.shape, *options), residual)
    assert_out(lambda out=None: ours(x, *options, out=out))
    assert_out(lambda out=None: back(residual, x.shape, *options, out=out))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axes", [1, 3])
def test_threads_do_not_change_bits(axes, dtype):
    ours, _ = pool("avg_pool{}d", axes)
    back, _ = pool("avg_pool{}d_backward", axes)
    x = normal((6, 7, *(9, 20, 33)[-axes:]), dtype)

    def call():
        output = ours(x, 3, 2, 1, count_include_pad=False)
        return output, back(output, x.shape, 3, 2, 1, count_include_pad=False)

    same_bits_for_threads(fastconv, call)


@pytest.mark.parametrize("axes", [1, 3])
def test_gradient_is_the_numerical_one(axes):
    ours, _ = pool("avg_pool{}d", axes)
    back, _ = pool("avg_pool{}d_backward", axes)
    x = normal((1, 2, *(3, 3, 5)[-axes:]))
    for count_include_pad, divisor in MEANS:
        options = (3, 2, ((2, 1),) * axes, True, count_include_pad, divisor)
        residual = normal(ours(x, *options).shape)
        gradient = back(residual, x.shape, *options)

        def call(x, options=options):
            return ours(x, *options)

        assert_gradient(call, gradient, x, residual, linear=True)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_agrees_with_torch(axes):
    torch = torch_or_skip("average pooling over 1 to 3 axes")
    ours, _ = pool("avg_pool{}d", axes)
    back, _ = pool("avg_pool{}d_backward", axes)
    theirs = getattr(torch.nn.functional, f"avg_pool{axes}d")
    eps = np.finfo(np.float64).eps
    for kernel, stride, padding, ceil, include in product(
        (2, 3), (1, 2, 3), (0, 1), (False, True), (False, True)
    ):
        x = integers((2, 2, *(6, 7, 9)[-axes:]), seed=kernel)
        tensor = torch.from_numpy(x).requires_grad_()
        expected = theirs(tensor, kernel, stride, padding, ceil, include)
        output = ours(x, kernel, stride, padding, ceil, include)
        np.testing.assert_allclose(output, expected.detach().numpy(), rtol=4 * eps, atol=0)
        residual = residual_of(output)
        expected.backward(torch.from_numpy(residual))
        gradient = back(residual, x.shape, kernel, stride, padding, ceil, include)
        bound = back(np.abs(residual), x.shape, kernel, stride, padding, ceil, include)
        error = np.abs(gradient - tensor.grad.numpy())
        assert (error <= 2 * (kernel**axes + 2) * eps * bound).all()


def test_a_long_sequence():
    x = normal((1, 1, 100_003), np.float32)
    ours, _ = pool("avg_pool{}d", 1)
    expected = x[0, 0, :100_002].astype(np.float64).reshape(-1, 3).mean(axis=1)
    np.testing.assert_allclose(ours(x, 3)[0, 0], expected, rtol=0, atol=1e-6)
