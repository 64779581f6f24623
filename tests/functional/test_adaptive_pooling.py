"""Adaptive and global pooling: reference, layouts, threads, gradients, torch."""

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from tests._cases import DTYPES, assert_exact, assert_gradient, integers, normal, torch_or_skip
from tests._pooling import (
    assert_layouts,
    assert_out,
    maps,
    pool,
    residual_of,
    same_bits_for_threads,
)

# size, output_size
CASES = [
    ((7,), 3),
    ((8,), 4),
    ((5,), 5),
    ((3,), 7),
    ((40,), (6,)),
    ((9, 10), 1),
    ((9, 10), (3, 5)),
    ((9, 10), (4, 3)),
    ((6, 7), (None, 2)),
    ((6, 8), (4, None)),
    ((33, 65), (1, 7)),
    ((5, 6, 7), 1),
    ((4, 6, 8), (2, 3, 4)),
    ((5, 6, 7), (2, None, 4)),
    ((1, 1, 1), 2),
]
IDS = [str(case).replace(" ", "") for case in CASES]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_means_equal_reference(case, dtype):
    size, out = case
    ours, theirs = pool("adaptive_avg_pool{}d", len(size))
    back, slow = pool("adaptive_avg_pool{}d_backward", len(size))
    x = integers((2, 3, *size), dtype)
    eps = np.finfo(dtype).eps
    output = ours(x, out)
    np.testing.assert_allclose(output, theirs(x, out), rtol=2 * eps, atol=0)
    assert output.dtype == dtype
    assert_exact(ours(x[1], out), output[1])
    residual = residual_of(output)
    gradient, expected = back(residual, x.shape), slow(residual, x.shape)
    bound = slow(np.abs(residual), x.shape)
    # At most so many windows meet in a cell.
    meeting = 2 + np.prod([-(-o // n) + 1 for n, o in zip(size, output.shape[2:], strict=True)])
    assert (np.abs(gradient - expected) <= meeting * eps * bound).all()
    assert_exact(back(residual[1], x[1].shape), gradient[1])


@pytest.mark.parametrize("dtype", [*DTYPES, np.int8])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_maxima_equal_reference_exactly(case, dtype):
    size, out = case
    ours, theirs = pool("adaptive_max_pool{}d", len(size))
    back, slow = pool("adaptive_max_pool{}d_backward", len(size))
    x = integers((2, 3, *size), dtype) if dtype == np.int8 else maps(size, dtype)
    expected, places = theirs(x, out, True)
    output, indices = ours(x, out, return_indices=True)
    assert_exact(output, expected)
    assert_exact(indices, places)
    assert_exact(ours(x, out), expected)
    residual = integers(output.shape, np.float32, 1)
    assert_exact(back(residual, indices, x.shape), slow(residual, indices, x.shape))


@pytest.mark.parametrize("out", [1, 2, 3])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_layouts_and_out(axes, out):
    x = normal((2, 3, *(5, 7, 9)[-axes:]), np.float32)
    mean, _ = pool("adaptive_avg_pool{}d", axes)
    back, _ = pool("adaptive_avg_pool{}d_backward", axes)
    largest, _ = pool("adaptive_max_pool{}d", axes)
    output = mean(x, out)
    for ours in (mean, largest):
        assert_layouts(lambda x, ours=ours: ours(x, out), x)
        assert_out(lambda out_=None, ours=ours, **options: ours(x, out, **options))
    assert_layouts(lambda d: back(d, x.shape), output)
    assert_out(lambda **options: back(output, x.shape, **options))
    same = x.copy()
    assert_exact(mean(same, None, out=same), x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_do_not_change_bits(dtype):
    x = normal((6, 7, 45, 33), dtype)

    def call():
        found = []
        for out in (1, 7, (9, 11)):
            y = F.adaptive_avg_pool2d(x, out)
            found += [y, F.adaptive_avg_pool2d_backward(y, x.shape)]
            found += F.adaptive_max_pool2d(x, out, return_indices=True)
        return found

    same_bits_for_threads(fastconv, call)


def test_global_means_of_large_maps_are_close():
    x = (normal((2, 2, 500, 501), np.float32) + 1000).astype(np.float32)
    expected = x.astype(np.float64).mean(axis=(2, 3), keepdims=True)
    np.testing.assert_allclose(F.adaptive_avg_pool2d(x, 1), expected, rtol=1e-6)


def test_nan_and_infinity():
    x = np.zeros((1, 3, 4, 4))
    x[0, 0, 1, 1], x[0, 1, 2, 2], x[0, 2, 0, 0], x[0, 2, 3, 3] = np.nan, np.inf, np.inf, -np.inf
    output = F.adaptive_avg_pool2d(x, 1).ravel()
    assert np.isnan(output[[0, 2]]).all()
    assert output[1] == np.inf
    output, indices = F.adaptive_max_pool2d(x, 1, return_indices=True)
    assert np.isnan(output[0, 0]).all()
    assert indices.ravel().tolist() == [5, 10, 0]


def test_wrong_arguments():
    x = np.zeros((1, 2, 4, 5))
    for ours in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d):
        with pytest.raises(ValueError, match=r"output_size\[0\] must be at least 1, got 0"):
            ours(x, 0)
        with pytest.raises(ValueError, match=r"output_size must .* axes H, W, got \(1, 2, 3\)"):
            ours(x, (1, 2, 3))
        with pytest.raises(TypeError, match="output_size"):
            ours(x, 2.0)
        with pytest.raises(ValueError, match="no spatial axis of size 0"):
            ours(x[..., :0], 1)
        assert ours(x[:0], 3).shape == (0, 2, 3, 3)
        assert ours(x[:0], 1).shape == (0, 2, 1, 1)
    with pytest.raises(ValueError, match="grad_output must have shape"):
        F.adaptive_avg_pool2d_backward(np.zeros((1, 3, 1, 1)), x.shape)


@pytest.mark.parametrize("case", [case for case in CASES if np.prod(case[0]) < 100], ids=str)
def test_gradients_are_the_numerical_ones(case):
    size, out = case
    mean, _ = pool("adaptive_avg_pool{}d", len(size))
    back, _ = pool("adaptive_avg_pool{}d_backward", len(size))
    x = np.random.default_rng(5).permutation(np.prod(size)).reshape(1, *size) * 3.0
    residual = normal(mean(x, out).shape)
    gradient = back(residual, x.shape)
    assert_gradient(lambda x: mean(x, out), gradient, x, residual, linear=True)
    largest, _ = pool("adaptive_max_pool{}d", len(size))
    back, _ = pool("adaptive_max_pool{}d_backward", len(size))
    gradient = back(residual, largest(x, out, return_indices=True)[1], x.shape)
    assert_gradient(lambda x: largest(x, out), gradient, x, residual, linear=True)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_agrees_with_torch(case):
    torch = torch_or_skip("adaptive pooling")
    size, out = case
    axes = len(size)
    theirs = torch.nn.functional
    x = integers((2, 3, *size))
    tensor = torch.from_numpy(x).requires_grad_()
    mean, back = (
        pool("adaptive_avg_pool{}d", axes)[0],
        pool("adaptive_avg_pool{}d_backward", axes)[0],
    )
    expected = getattr(theirs, f"adaptive_avg_pool{axes}d")(tensor, out)
    output = mean(x, out)
    np.testing.assert_allclose(output, expected.detach().numpy(), rtol=1e-14, atol=1e-14)
    residual = residual_of(output)
    expected.backward(torch.from_numpy(residual))
    np.testing.assert_allclose(back(residual, x.shape), tensor.grad.numpy(), rtol=1e-14, atol=1e-13)
    largest = pool("adaptive_max_pool{}d", axes)[0]
    expected, places = getattr(theirs, f"adaptive_max_pool{axes}d_with_indices")(tensor, out)
    output, indices = largest(x, out, return_indices=True)
    assert_exact(output, expected.detach().numpy())
    assert_exact(indices, places.numpy())
