"""Fractional max pooling: reference, torch's windows for the same samples, layouts, arguments."""

from itertools import product

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from tests._cases import DTYPES, assert_exact, integers, normal, torch_or_skip
from tests._pooling import assert_layouts, assert_out, maps, pool, same_bits_for_threads

# size, kernel_size, output_size
CASES = [
    ((5, 7), 2, 3),
    ((5, 7), (1, 3), (5, 2)),
    ((9, 8), 3, (1, 6)),
    ((33, 20), 2, (20, 13)),
    ((4, 4), 4, 1),
    ((5, 6, 7), 2, 3),
    ((5, 6, 7), (2, 1, 3), (3, 4, 5)),
    ((3, 3, 3), 3, 1),
]
IDS = [str(case).replace(" ", "") for case in CASES]


def drawn(lead, axes, dtype):
    return np.random.default_rng(11).random((*lead, axes), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_equals_reference_exactly(case, dtype):
    size, kernel, out = case
    axes = len(size)
    ours, theirs = pool("fractional_max_pool{}d", axes)
    back, slow = pool("fractional_max_pool{}d_backward", axes)
    x = maps(size, dtype)
    samples = drawn((2, 2), axes, dtype)
    expected, places = theirs(x, kernel, out, None, True, samples)
    output, indices = ours(x, kernel, out, None, True, samples)
    assert_exact(output, expected)
    assert_exact(indices, places)
    assert_exact(ours(x, kernel, out, _random_samples=samples), expected)
    assert_exact(ours(x[1], kernel, out, _random_samples=samples[1]), expected[1])
    for one, other in zip(
        ours(x, kernel, out, return_indices=True, rng=3),
        theirs(x, kernel, out, return_indices=True, rng=np.random.default_rng(3)),
        strict=True,
    ):
        assert_exact(one, other)
    residual = integers(output.shape, dtype, 1)
    assert_exact(back(residual, indices, x.shape), slow(residual, indices, x.shape))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_agrees_with_torch(case, dtype):
    torch = torch_or_skip("fractional max pooling")
    size, kernel, out = case
    axes = len(size)
    ours, _ = pool("fractional_max_pool{}d", axes)
    back, _ = pool("fractional_max_pool{}d_backward", axes)
    theirs = getattr(torch.nn.functional, f"fractional_max_pool{axes}d_with_indices")
    if axes == 3 and (np.add(kernel, out) > np.array(size)).any():
        pytest.skip("torch wants a position more in three dimensions")
    x = integers((4, 5, *size), dtype)
    samples = drawn((4, 5), axes, dtype)
    tensor = torch.from_numpy(x).requires_grad_()
    expected, places = theirs(
        tensor, kernel, out, return_indices=True, _random_samples=torch.from_numpy(samples)
    )
    output, indices = ours(x, kernel, out, return_indices=True, _random_samples=samples)
    assert_exact(output, expected.detach().numpy())
    assert_exact(indices, places.numpy())
    residual = integers(output.shape, dtype, 1)
    expected.backward(torch.from_numpy(residual))
    assert_exact(back(residual, indices, x.shape), tensor.grad.numpy())


def test_windows_are_spread_by_the_sample():
    line = np.arange(20.0).reshape(1, 1, 20)
    begins = set()
    for sample in np.linspace(0, 0.999, 50):
        samples = np.array([[sample, 0.5]])
        found = F.fractional_max_pool2d(line, (1, 1), (1, 13), _random_samples=samples)
        steps = np.diff(found[0, 0])
        assert set(steps) <= {1, 2}
        begins.add(tuple(found[0, 0]))
    assert len(begins) > 5


@pytest.mark.parametrize("axes", [2, 3])
def test_layouts_out_and_threads(axes):
    ours, _ = pool("fractional_max_pool{}d", axes)
    x = normal((2, 3, *(5, 7, 9)[-axes:]), np.float32)
    samples = drawn((2, 3), axes, np.float32)
    assert_layouts(lambda x: ours(x, 2, 3, _random_samples=samples), x)
    assert_layouts(lambda s: ours(x, 2, 3, _random_samples=s), samples)
    assert_out(lambda out=None: ours(x, 2, 3, _random_samples=samples, out=out))
    wide = normal((6, 7, *(6, 20, 33)[-axes:]))
    same_bits_for_threads(fastconv, lambda: ours(wide, 2, 4, return_indices=True, rng=1))


def test_output_ratio():
    x = normal((1, 1, 10, 9))
    assert F.fractional_max_pool2d(x, 2, output_ratio=0.5, rng=0).shape == (1, 1, 5, 4)
    assert F.fractional_max_pool2d(x, 2, output_ratio=(0.3, 0.7), rng=0).shape == (1, 1, 3, 6)


def test_wrong_arguments():
    x = np.zeros((1, 2, 6, 6))
    with pytest.raises(ValueError, match="one of output_size and output_ratio"):
        F.fractional_max_pool2d(x, 2)
    with pytest.raises(ValueError, match="one of output_size and output_ratio"):
        F.fractional_max_pool2d(x, 2, 3, 0.5)
    for ratio in (0, 1, 1.5, np.nan):
        with pytest.raises(ValueError, match="output_ratio must be between 0 and 1"):
            F.fractional_max_pool2d(x, 2, output_ratio=ratio)
    with pytest.raises(ValueError, match="leaves nothing"):
        F.fractional_max_pool2d(x, 2, output_ratio=0.1)
    with pytest.raises(ValueError, match=r"axis H, got 6 \+ 2 - 1 = 7 > 6"):
        F.fractional_max_pool2d(x, 2, 6)
    for wrong, samples in product((ValueError,), (np.zeros((1, 2, 3)), np.full((1, 2, 2), 1.5))):
        with pytest.raises(wrong, match="_random_samples must"):
            F.fractional_max_pool2d(x, 2, 3, _random_samples=samples)
    with pytest.raises(ValueError, match="_random_samples must be from 0 to 1"):
        F.fractional_max_pool2d(x, 2, 3, _random_samples=np.full((1, 2, 2), np.nan))
    with pytest.raises(TypeError, match="_random_samples must have the input's dtype"):
        F.fractional_max_pool2d(x, 2, 3, _random_samples=np.zeros((1, 2, 2), np.float32))
    assert F.fractional_max_pool2d(x[:0], 2, 3, rng=0).shape == (0, 2, 3, 3)
    # The last sample there may be keeps the windows inside.
    assert F.fractional_max_pool2d(x, 2, 3, _random_samples=np.ones((1, 2, 2))).shape[2:] == (3, 3)
