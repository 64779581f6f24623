"""Many kernels at once, and kernels that are products."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv
from fastconv import ndimage
from tests._filters import MODES, assert_same_bits, images, numbers

tried = settings(max_examples=60, deadline=None, derandomize=True)


@tried
@given(images(), st.sampled_from(MODES), st.data())
def test_a_bank_is_each_kernel_alone(drawn, mode, data):
    image, rng = drawn
    image = np.nan_to_num(image, posinf=3, neginf=-3)
    rank = data.draw(st.integers(1, image.ndim))
    kernels = rng.standard_normal((3, *rng.integers(1, 5, rank)))
    axes = tuple(range(image.ndim - rank, image.ndim))
    found = ndimage.filter_bank(image, kernels, np.float64, mode, 1.5)
    assert found.shape == (3, *image.shape)
    for result, kernel in zip(found, kernels, strict=True):
        expected = ndimage.correlate(image, kernel, np.float64, mode, 1.5, axes=axes)
        assert_same_bits(result, expected)


def test_a_bank_over_other_axes_and_into_an_array():
    rng = np.random.default_rng(0)
    image, kernels = numbers(rng, (5, 40, 6), "f4"), numbers(rng, (4, 3, 2), "f8")
    expected = [ndimage.correlate(image, kernel, origin=(1, 0), axes=(0, 1)) for kernel in kernels]
    output = np.empty((4, 5, 40, 6), np.float32)
    found = ndimage.filter_bank(image, kernels, output, origin=(1, 0), axes=(0, 1))
    assert found is output
    assert_same_bits(found, np.array(expected))
    # A result that shares memory with the image.
    both = np.zeros((2, 9, 9))
    both[0] = rng.standard_normal((9, 9))
    expected = ndimage.filter_bank(both[0].copy(), np.ones((2, 3, 3)))
    assert_same_bits(ndimage.filter_bank(both[0], np.ones((2, 3, 3)), both), expected)


def test_kernels_that_are_products_are_applied_axis_by_axis():
    rng = np.random.default_rng(0)
    image = numbers(rng, (50, 60), "f8")
    lines = rng.standard_normal((2, 9))
    kernels = np.array([np.outer(*lines), rng.standard_normal((9, 9))])
    found = ndimage.filter_bank(image, kernels, mode="wrap", origin=(1, -2), separate=True)
    expected = ndimage.filter_bank(image, kernels, mode="wrap", origin=(1, -2))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * abs(expected).max())
    assert_same_bits(found[1], expected[1])
    assert (found[0] != expected[0]).any()
    # Kernels of one weight, or one axis, are products, too.
    for shape in ((2, 1, 1), (2, 1, 5), (2, 5, 1), (2, 4)):
        kernels = rng.integers(-3, 4, shape)
        assert_same_bits(
            ndimage.filter_bank(image.round(), kernels, separate=True),
            ndimage.filter_bank(image.round(), kernels, separate=False),
        )


@pytest.mark.parametrize("shape", [(1,), (5,), (3, 4), (2, 3, 4), (1, 1)])
def test_factors(shape):
    lines = [np.random.default_rng(n).standard_normal(n) for n in shape]
    kernel = np.ones(())
    for line in lines:
        kernel = np.multiply.outer(kernel, line)
    found = ndimage.factors(kernel)
    product = np.ones(())
    for line in found:
        product = np.multiply.outer(product, line)
    np.testing.assert_allclose(product, kernel, rtol=1e-14)
    if len(shape) > 1 and min(shape) > 1:
        kernel.flat[0] *= 1 + 1e-9
        assert ndimage.factors(kernel) is None


def test_kernels_without_factors():
    assert ndimage.factors([[np.nan, 1]]) is None
    assert ndimage.factors(np.zeros((0, 2))) is None
    assert [list(line) for line in ndimage.factors(np.zeros((1, 2)))] == [[0], [0, 0]]


def test_wrong_banks():
    image = np.ones((4, 5))
    with pytest.raises(RuntimeError, match="an axis of kernels first"):
        ndimage.filter_bank(image, np.ones(3))
    with pytest.raises(RuntimeError, match="one at least"):
        ndimage.filter_bank(image, np.ones((0, 3, 3)))
    with pytest.raises(RuntimeError, match="must match"):
        ndimage.filter_bank(image, np.ones((2, 3, 3)), axes=(0,))
    with pytest.raises(RuntimeError, match="output shape"):
        ndimage.filter_bank(image, np.ones((2, 3, 3)), np.empty((3, 4, 5)))
    with pytest.raises(ValueError, match="Invalid origin"):
        ndimage.filter_bank(image, np.ones((2, 3, 3)), origin=2)
    with pytest.raises(RuntimeError, match="must match the 2"):
        ndimage.filter_bank(image, np.ones((2, 3, 3, 3)))


def test_threads_give_a_bank_the_same_bits():
    rng = np.random.default_rng(0)
    image, kernels = numbers(rng, (200, 301), "f4"), numbers(rng, (5, 7, 7), "f8")
    fastconv.set_num_threads(1)
    expected = ndimage.filter_bank(image, kernels)
    fastconv.set_num_threads(5)
    assert_same_bits(ndimage.filter_bank(image, kernels), expected)
