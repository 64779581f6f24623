"""Max pooling undone: reference, layouts, threads, torch, wrong places."""

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from tests._cases import DTYPES, assert_exact, assert_gradient, integers, normal, torch_or_skip
from tests._pooling import assert_layouts, assert_out, pool, same_bits_for_threads

AXES = [1, 2, 3]


def pooled(axes, dtype=np.float64, kernel=2, stride=2):
    """Return distinct maxima, so that each has a place of its own, with these and the size."""
    size = (2, 3, *(4, 6, 8)[-axes:])
    x = np.random.default_rng(7).permutation(np.prod(size)).reshape(size).astype(dtype)
    maxima, indices = pool("max_pool{}d", axes)[0](x, kernel, stride, return_indices=True)
    return maxima, indices, size


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axes", AXES)
def test_equals_reference_exactly(axes, dtype):
    ours, theirs = pool("max_unpool{}d", axes)
    back, slow = pool("max_unpool{}d_backward", axes)
    maxima, indices, size = pooled(axes, dtype)
    expected = theirs(maxima, indices, 2)
    assert expected.shape == size
    assert_exact(ours(maxima, indices, 2), expected)
    assert_exact(ours(maxima[1], indices[1], 2), expected[1])
    larger = tuple(n + 1 for n in size[2:])
    expected = theirs(maxima, indices, 2, output_size=larger)
    assert_exact(ours(maxima, indices, 2, output_size=larger), expected)
    assert_exact(ours(maxima, indices, 2, output_size=(*size[:2], *larger)), expected)
    residual = integers(size, dtype, 1)
    assert_exact(back(residual, indices), slow(residual, indices))
    # Of equal places the last counts.
    same = np.zeros_like(indices)
    assert_exact(ours(maxima, same, 2), theirs(maxima, same, 2))


@pytest.mark.parametrize("axes", AXES)
def test_layouts_out_and_threads(axes):
    ours, _ = pool("max_unpool{}d", axes)
    back, _ = pool("max_unpool{}d_backward", axes)
    maxima, indices, size = pooled(axes, np.float32)
    residual = normal(size, np.float32)
    assert_layouts(lambda x: ours(x, indices, 2), maxima)
    assert_layouts(lambda i: ours(maxima, i, 2), indices)
    assert_layouts(lambda d: back(d, indices), residual)
    assert_layouts(lambda i: back(residual, i), indices)
    assert_out(lambda out=None: ours(maxima, indices, 2, out=out))
    assert_out(lambda out=None: back(residual, indices, out=out))
    same_bits_for_threads(fastconv, lambda: (ours(maxima, indices, 2), back(residual, indices)))


@pytest.mark.parametrize("axes", AXES)
def test_gradient_is_the_numerical_one(axes):
    ours, _ = pool("max_unpool{}d", axes)
    back, _ = pool("max_unpool{}d_backward", axes)
    maxima, indices, size = pooled(axes)
    maxima, indices = maxima[:1], indices[:1]
    residual = normal((1, *size[1:]))
    gradient = back(residual, indices)
    assert_gradient(lambda x: ours(x, indices, 2), gradient, maxima, residual, linear=True)


@pytest.mark.parametrize("axes", AXES)
def test_agrees_with_torch(axes):
    torch = torch_or_skip("unpooling")
    ours, _ = pool("max_unpool{}d", axes)
    maxima, indices, size = pooled(axes)
    theirs = getattr(torch.nn.functional, f"max_unpool{axes}d")
    for wanted in (None, size, tuple(n + 1 for n in size[2:])):
        tensor = torch.from_numpy(maxima).requires_grad_()
        expected = theirs(tensor, torch.from_numpy(indices), 2, output_size=wanted)
        assert_exact(ours(maxima, indices, 2, output_size=wanted), expected.detach().numpy())


def test_wrong_arguments():
    maxima, indices, _ = pooled(2)
    wrong = indices.copy()
    wrong[1, 2, 0, 1] = 48
    with pytest.raises(ValueError, match=r"indices must be from 0 to H\*W - 1 = 47, .* to 48"):
        F.max_unpool2d(maxima, wrong, 2)
    with pytest.raises(ValueError, match=r"indices must be from 0 to H\*W - 1 = 47, .* to 48"):
        F.max_unpool2d_backward(np.zeros((2, 3, 6, 8)), wrong)
    with pytest.raises(ValueError, match=r"output_size on axis H must be within a stride .* got 8"):
        F.max_unpool2d(maxima, indices, 2, output_size=(8, 8))
    with pytest.raises(ValueError, match="output_size must have 2 or 4 entries"):
        F.max_unpool2d(maxima, indices, 2, output_size=(3, 8, 8))
    with pytest.raises(TypeError, match="output_size must be a tuple"):
        F.max_unpool2d(maxima, indices, 2, output_size=8)
    with pytest.raises(ValueError, match="the output size on axis W would be -1"):
        F.max_unpool1d(np.zeros((1, 1)), np.zeros((1, 1), np.int64), 1, 1, 1)
    with pytest.raises(TypeError, match="indices must have dtype int64"):
        F.max_unpool2d(maxima, indices.astype(np.int32), 2)
    with pytest.raises(ValueError, match=r"indices must begin as grad_output\.shape"):
        F.max_unpool2d_backward(np.zeros((2, 2, 6, 8)), indices)
    with pytest.raises(ValueError, match=r"input must be \(N, C, H, W\)"):
        F.max_unpool2d(maxima[0, 0], indices[0, 0], 2)
    empty = F.max_unpool2d(maxima[:0], indices[:0], 2)
    assert empty.shape == (0, 3, 6, 8)
    assert F.max_unpool2d_backward(empty, indices[:0]).shape == (0, 3, 3, 4)
