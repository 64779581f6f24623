"""Filters against the slow definitions; the same bits for any threads and instruction set."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv
from fastconv import ndimage
from fastconv.functional import _filtering
from fastconv.reference import ndimage as definitions
from tests._cases import ISAS, isa_or_skip, run_tests_code
from tests._filters import MODES, TYPES, images, numbers, origin_of

tried = settings(max_examples=60, deadline=None, derandomize=True)
modes = st.sampled_from(MODES)


def both(name, *arguments, **options):
    """Assert that the fast function and the slow one differ by roundings."""
    fast = getattr(ndimage, name)(*arguments, **options)
    slow = getattr(definitions, name)(*arguments, **options)
    assert fast.dtype == slow.dtype
    np.testing.assert_allclose(fast, slow, rtol=1e-11, atol=1e-10)


@tried
@given(images(), modes, st.data())
def test_correlations(drawn, mode, data):
    image, rng = drawn
    image = np.nan_to_num(image, posinf=3, neginf=-3)
    size = data.draw(st.integers(1, 9))
    axis, origin = data.draw(st.integers(0, image.ndim - 1)), origin_of(data.draw, size)
    # Of integers the sums are exact.
    weights = rng.integers(-4, 5, size)
    for name in ("correlate1d", "convolve1d"):
        both(name, image, weights, axis, np.float64, mode, 2.0, origin)
    kernel = rng.integers(-4, 5, (2,) * image.ndim)
    for name in ("correlate", "convolve"):
        both(name, image, kernel, np.float64, mode, 2.0)
        both(name, image, kernel.astype(complex) * 1j, None, mode, 2.0)


@tried
@given(images(), modes, st.data())
def test_separable_filters(drawn, mode, data):
    image = np.nan_to_num(drawn[0], posinf=3, neginf=-3)
    axis = data.draw(st.integers(0, image.ndim - 1))
    both("gaussian_filter", image, 1.1, 1, np.float64, mode)
    both("gaussian_filter1d", image, 2, axis, 2, np.float64, mode)
    both("uniform_filter", image, 4, np.float64, mode)
    both("uniform_filter1d", image, 5, axis, np.float64, mode, 1.0, 1)
    both("sobel", image, axis, np.float64, mode)
    both("prewitt", image, axis, np.float64, mode)
    both("laplace", image, np.float64, mode)
    both("gaussian_laplace", image, 1.2, np.float64, mode)
    both("gaussian_gradient_magnitude", image, 1.2, np.float64, mode)


def test_derivatives_of_the_user():
    image = numbers(np.random.default_rng(0), (5, 6), "f8")

    def second(input, axis, output, mode, cval):
        return ndimage.correlate1d(input, [1, -2, 1], axis, output, mode, cval)

    both("generic_laplace", image, second)
    both("generic_gradient_magnitude", image, second)


def filtered():
    """Return what filters make of images of many blocks."""
    rng = np.random.default_rng(0)
    image, volume = numbers(rng, (203, 310), "f8"), numbers(rng, (30, 41, 52), "f4")
    cells = numbers(rng, (150, 333), "u1")
    return [
        ndimage.convolve(image, numbers(rng, (7, 5), "f8")),
        ndimage.convolve(volume, numbers(rng, (3, 3, 3), "f8")),
        ndimage.convolve(cells, numbers(rng, (4, 4), "f8"), np.int32),
        ndimage.gaussian_filter(image, 2),
        ndimage.uniform_filter(image, 9),
        ndimage.uniform_filter(volume, 5),
        ndimage.sobel(volume, 1),
    ]


def test_any_number_of_threads_gives_the_same_bits():
    fastconv.set_num_threads(1)
    expected = filtered()
    for threads in range(2, 9):
        fastconv.set_num_threads(threads)
        for actual, single in zip(filtered(), expected, strict=True):
            np.testing.assert_array_equal(actual, single)


@pytest.mark.parametrize("tile", [1, 1 << 12, 1 << 20])
def test_any_blocks_give_the_same_bits(tile, monkeypatch):
    expected = filtered()
    monkeypatch.setattr(_filtering, "_TILE_BYTES", tile)
    _filtering._kept_view.cache_clear()
    try:
        for actual, usual in zip(filtered(), expected, strict=True):
            np.testing.assert_array_equal(actual, usual)
    finally:
        _filtering._kept_view.cache_clear()


def digests():
    return [hashlib.sha256(np.ascontiguousarray(result)).hexdigest() for result in filtered()]


@pytest.mark.parametrize("isa", ISAS)
def test_every_instruction_set_gives_the_same_bits(isa):
    isa_or_skip(isa)
    assert run_tests_code("ndimage.test_reference", "digests()", FASTCONV_ISA=isa) == str(digests())


@pytest.mark.parametrize("dtype", TYPES)
def test_nothing_beside_the_result_is_written(dtype):
    rng = np.random.default_rng(0)
    image = numbers(rng, (13, 21), dtype)
    for run in (
        lambda out: ndimage.convolve(image, np.ones((3, 4)), out),
        lambda out: ndimage.gaussian_filter(image, 1.0, output=out),
        lambda out: ndimage.uniform_filter(image, 3, out),
    ):
        memory = np.ones((13, 21 + 2 * 67), dtype)
        run(memory[:, 67:-67])
        assert (memory[:, :67] == 1).all()
        assert (memory[:, -67:] == 1).all()
