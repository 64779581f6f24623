"""Filters against SciPy's: the same bits for all types, modes, origins, axes, sizes and strides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastconv import ndimage
from tests._filters import (
    COMPLEX,
    FLOATS,
    INTEGERS,
    MODES,
    TYPES,
    assert_same_bits,
    images,
    numbers,
    origin_of,
    outputs,
)

scipy = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
# SciPy's loops are compiled without fused multiply-adds on x86 alone.
pytestmark = [
    pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning"),
]
tried = settings(max_examples=100, deadline=None, derandomize=True)

modes = st.sampled_from(MODES)
cvals = st.sampled_from([0, 1.5, -2.0])


def both(name, *arguments, **options):
    """Assert that both libraries make the same of copies of the arguments."""
    assert_same_bits(
        getattr(ndimage, name)(*arguments, **options), getattr(scipy, name)(*arguments, **options)
    )


@tried
@given(images(), outputs(), modes, cvals, st.data())
def test_along_one_axis(drawn, output, mode, cval, data):
    image, rng = drawn
    size = data.draw(st.integers(1, 20))
    weights = rng.standard_normal(size)
    kind = data.draw(st.sampled_from(["any", "even", "odd"]))
    weights = {"any": weights, "even": weights + weights[::-1], "odd": weights - weights[::-1]}[
        kind
    ]
    axis = data.draw(st.integers(-image.ndim, image.ndim - 1))
    origin = origin_of(data.draw, size)
    for name in ("correlate1d", "convolve1d"):
        both(name, image, weights, axis, output, mode, cval, origin)


@tried
@given(images(), outputs(), modes, cvals, st.data())
def test_over_all_axes(drawn, output, mode, cval, data):
    image, rng = drawn
    longest = (0, 12, 8, 5, 4)[image.ndim]
    shape = tuple(data.draw(st.integers(1, longest)) for _ in range(image.ndim))
    weights = rng.standard_normal(shape)
    if data.draw(st.booleans()):
        # Weights of nothing see no NaN.
        weights[rng.random(shape) < 0.4] = data.draw(st.sampled_from([0, 1e-17]))
    origin = [origin_of(data.draw, n) for n in shape]
    for name in ("correlate", "convolve"):
        both(name, image, weights, output, mode, cval, origin)


@tried
@given(images(least=2), modes, st.data())
def test_over_some_axes(drawn, mode, data):
    image, rng = drawn
    axes = data.draw(st.permutations(range(image.ndim)))
    axes = tuple(axes[: data.draw(st.integers(1, image.ndim - 1))])
    weights = rng.standard_normal(tuple(rng.integers(1, 4, len(axes))))
    both("correlate", image, weights, None, mode, axes=axes)
    both("convolve", image, weights, None, mode, axes=axes)
    both("gaussian_filter", image, 0.8, 0, None, mode, axes=axes)
    both("uniform_filter", image, 3, None, mode, axes=axes)


@tried
@given(images(), outputs(), modes, cvals, st.data())
def test_means(drawn, output, mode, cval, data):
    image, rng = drawn
    size = data.draw(st.integers(1, 40))
    axis = data.draw(st.integers(-image.ndim, image.ndim - 1))
    both("uniform_filter1d", image, size, axis, output, mode, cval, origin_of(data.draw, size))
    sizes = [int(n) for n in rng.integers(1, 6, image.ndim)]
    each = [str(name) for name in rng.choice(MODES, image.ndim)]
    both("uniform_filter", image, sizes, output, each, cval)


@tried
@given(images(), outputs(), cvals, st.data())
def test_gaussians(drawn, output, cval, data):
    image, rng = drawn
    sigma = list(rng.uniform(0, 2, image.ndim) * rng.integers(0, 2, image.ndim))
    order = [int(n) for n in rng.integers(0, 4, image.ndim)]
    each = [str(name) for name in rng.choice(MODES, image.ndim)]
    truncate, radius = data.draw(st.sampled_from([4.0, 2.5])), data.draw(st.sampled_from([None, 3]))
    both("gaussian_filter", image, sigma, order, output, each, cval, truncate, radius=radius)
    axis = data.draw(st.integers(-image.ndim, image.ndim - 1))
    both("gaussian_filter1d", image, 1.3, axis, order[0], output, each[0], cval, truncate)


@tried
@given(images(), outputs(), cvals, st.data())
def test_edges(drawn, output, cval, data):
    image, rng = drawn
    axis = data.draw(st.integers(-image.ndim, image.ndim - 1))
    each = [str(name) for name in rng.choice(MODES, image.ndim)]
    both("sobel", image, axis, output, each, cval)
    both("prewitt", image, axis, output, each, cval)


@tried
@given(images(FLOATS), outputs(FLOATS), cvals, st.data())
def test_gradients_and_laplacians(drawn, output, cval, data):
    image, rng = drawn
    each = [str(name) for name in rng.choice(MODES, image.ndim)]
    sigma = list(rng.uniform(0.3, 2, image.ndim))
    both("laplace", image, output, each, cval)
    both("gaussian_laplace", image, sigma, output, each, cval)
    both("gaussian_gradient_magnitude", image, sigma, output, each, cval)
    axes = data.draw(st.integers(0, image.ndim - 1))
    both("laplace", image, output, each[0], cval, axes=axes)
    both("gaussian_laplace", image, 1, output, each[0], cval, axes=axes)
    both("gaussian_gradient_magnitude", image, 1, output, each[0], cval, axes=axes, truncate=3)


@pytest.mark.parametrize("dtype", TYPES)
def test_integers_and_floats_of_derivatives(dtype):
    rng = np.random.default_rng(1)
    image = numbers(rng, (12, 17), dtype)
    both("laplace", image, np.float64)
    both("gaussian_gradient_magnitude", image, 1.5, np.float32)
    if dtype != "?":
        both("laplace", image)
        both("gaussian_laplace", image, 1.5)


@tried
@given(images(COMPLEX), images(), modes, st.data())
def test_complex(drawn, real, mode, data):
    image, rng = drawn
    weights = numbers(rng, (2,) * image.ndim, "c16")
    for name in ("correlate", "convolve"):
        both(name, image, weights, None, mode, 1.5 - 2j)
        both(name, image, weights.real, None, mode, 1.5)
        both(name, real[0], numbers(rng, (2,) * real[0].ndim, "c16"), None, mode, 1.5)
    axis = data.draw(st.integers(-image.ndim, image.ndim - 1))
    for name in ("correlate1d", "convolve1d"):
        both(name, image, [1, 2j, 3], axis, None, mode, 1.5)
    both("gaussian_filter", image, 1.2, 0, None, mode, 1 + 1j)
    both("uniform_filter", image, 3, None, mode, 1 + 1j)
    both("sobel", image, axis, None, mode)
    both("laplace", image, None, mode)


@pytest.mark.parametrize("output", [np.dtype(name) for name in INTEGERS], ids=str)
def test_sums_that_no_integer_holds_are_cast_as_scipy_casts_them(output):
    edges = [2.0**n for n in (7, 8, 15, 16, 31, 32, 53, 63, 64)]
    values = np.array([0, 0.6, 1, 2.7, 300.2, 7e4, 3e9, 5e9, 1e10, 1.5e19, 1e19, 1e30, np.inf])
    values = np.concatenate([values, edges, np.nextafter(edges, 0), np.array(edges) + 1])
    image = np.concatenate([values, -values, [np.nan]])
    both("correlate1d", image, [1.0], 0, output)
    both("correlate1d", image, [0.0, 1.0, 0.0], 0, output)
    both("uniform_filter1d", image, 1, 0, output)
    both("correlate", image, [1.0], output)
    both("convolve", image[:, None], [[0.5, 1.0]], output, "constant")
    both("correlate", np.array([2**64 - 1, 2**63, 3], np.uint64), [-1.0], output)


@pytest.mark.parametrize("shape", [(0,), (0, 5), (5, 0), (3, 0, 4)])
def test_nothing(shape):
    image = np.zeros(shape)
    both("correlate", image, np.ones((2,) * len(shape)))
    both("correlate1d", image, [1, 2, 3], 0)
    both("gaussian_filter", image, 2)
    both("uniform_filter", image, 3)
    both("sobel", image)
    both("laplace", image)


@pytest.mark.parametrize(
    "weights",
    [
        [1.0, 2.0],
        [1.0, 2.0, 3.0],
        [1.0, 2.0, 1.0],
        [-1.0, 0.0, 1.0],
        [1.0, -0.0],
        [-0.0, -0.0, 1.0],
    ],
)
def test_zeros_have_the_signs_of_scipy(weights):
    zeros = np.zeros((9, 40))
    for image in (zeros, -zeros, np.where(np.arange(40) % 3, zeros, -zeros)):
        for axis in (0, 1):
            both("correlate1d", image, weights, axis)
        both("correlate1d", image[0], weights)
        both("correlate", image, [weights])


def test_numbers_without_axes():
    both("correlate", 3.5, 2.0)
    both("convolve", np.array(3), np.array(2))


def test_kernels_that_are_larger_than_the_image():
    rng = np.random.default_rng(0)
    image, kernel = numbers(rng, (4, 3), "f8"), numbers(rng, (15, 20), "f8")
    for mode in MODES:
        both("convolve", image, kernel, None, mode)
        both("correlate1d", image, kernel[0], 1, None, mode)
        both("uniform_filter", image, 31, None, mode)


def test_large_images():
    # Many blocks, with more than one on each axis, and rests of all kinds.
    rng = np.random.default_rng(0)
    image = numbers(rng, (301, 517), "f4")
    for size in ((3, 3), (2, 7), (5, 1), (1, 4), (9, 31)):
        both("convolve", image, numbers(rng, size, "f8"))
    volume = numbers(rng, (40, 50, 61), "f8")
    for size in ((3, 3, 3), (5, 1, 2), (1, 4, 4), (2, 2, 1)):
        both("correlate", volume, numbers(rng, size, "f8"))
    both("gaussian_filter", image, 9)
    both("uniform_filter", image, (7, 200))


def test_derivatives_of_the_user():
    image = numbers(np.random.default_rng(0), (9, 11), "f8")

    def second(of):
        def derive(input, axis, output, mode, cval, *more, scale=1):
            return of.correlate1d(input, [scale, -2, 1], axis, output, mode, cval)

        return derive

    for name in ("generic_laplace", "generic_gradient_magnitude"):
        for options in ({}, {"extra_arguments": (1,), "extra_keywords": {"scale": 3}}):
            assert_same_bits(
                getattr(ndimage, name)(image, second(ndimage), **options),
                getattr(scipy, name)(image, second(scipy), **options),
            )
