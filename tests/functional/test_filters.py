"""Kernels made by hand: what they find, and what they leave alone."""

import numpy as np
import pytest

from fastconv import functional as F

DTYPES = [np.float32, np.float64]
SLOPES = {"sobel": 8, "prewitt": 6, "scharr": 32}
ALL = {
    **dict.fromkeys(SLOPES, (2, 3, 3)),
    "roberts": (2, 2, 2),
    "laplacian": (1, 3, 3),
    "sharpen": (1, 3, 3),
    "emboss": (1, 3, 3),
    "box": (1, 3, 3),
    "gaussian": (1, 3, 3),
}
DOWN, RIGHT = (axis.astype(float) for axis in np.mgrid[:7, :9])


def filtered(kernel, image):
    """Return what a kernel makes of an image where it does not reach beyond it."""
    return F.conv2d(image[None], kernel)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALL)
def test_they_are_ready_for_conv2d(name, dtype):
    count, *size = ALL[name]
    kernel = getattr(F, name)(dtype=dtype)
    assert (kernel.shape, kernel.dtype) == ((count, 1, *size), dtype)
    assert kernel.flags.c_contiguous
    assert getattr(F, name)().dtype == np.float32
    assert getattr(F, name)() is not getattr(F, name)()
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got int64"):
        getattr(F, name)(dtype=np.int64)
    # On three channels at once.
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 9)).astype(dtype)
    found = F.conv2d(x, np.tile(kernel, (3, 1, 1, 1)), groups=3)
    for channel in range(3):
        expected = F.conv2d(x[:, channel : channel + 1], kernel)
        np.testing.assert_allclose(
            found[:, channel * count : (channel + 1) * count], expected, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("name", SLOPES)
def test_slopes_are_found_in_their_direction(name):
    kernel = getattr(F, name)(dtype=np.float64)
    assert (filtered(kernel, RIGHT)[0] == SLOPES[name]).all()
    assert (filtered(kernel, RIGHT)[1] == 0).all()
    assert (filtered(kernel, DOWN)[0] == 0).all()
    assert (filtered(kernel, DOWN)[1] == SLOPES[name]).all()
    np.testing.assert_array_equal(kernel[1, 0], kernel[0, 0].T)


def test_roberts_finds_the_diagonals():
    kernel = F.roberts(dtype=np.float64)
    assert (filtered(kernel, RIGHT + DOWN)[0] == -2).all()
    assert (filtered(kernel, RIGHT + DOWN)[1] == 0).all()
    assert (filtered(kernel, RIGHT - DOWN)[0] == 0).all()
    assert (filtered(kernel, RIGHT - DOWN)[1] == 2).all()


def test_the_laplacian_is_the_sum_of_second_derivatives():
    for image, expected in ((3 * RIGHT - DOWN + 5, 0), (RIGHT**2, 2), (RIGHT**2 + 2 * DOWN**2, 6)):
        assert (filtered(F.laplacian(dtype=np.float64), image) == expected).all()
    around = F.laplacian(diagonals=True, dtype=np.float64)
    assert around.sum() == 0
    assert (filtered(around, RIGHT**2) == 6).all()
    sharp = filtered(F.sharpen(dtype=np.float64), RIGHT**2)
    np.testing.assert_array_equal(sharp[0], (RIGHT**2)[1:-1, 1:-1] - 2)


def test_a_relief_leaves_flats_and_lights_slopes():
    kernel = F.emboss(dtype=np.float64)
    assert kernel.sum() == 1
    assert (filtered(kernel, np.full((5, 5), 3.0)) == 3).all()
    assert filtered(kernel, RIGHT)[0, 0, 0] > RIGHT[1, 1]


@pytest.mark.parametrize("size", [1, 2, 3, 8, (1, 5), (4, 3)])
def test_means_have_the_sum_1(size):
    rows, columns = (size, size) if isinstance(size, int) else size
    kernel = F.box(size, dtype=np.float64)
    np.testing.assert_array_equal(kernel, np.full((1, 1, rows, columns), 1 / (rows * columns)))
    for sigma in (1e-300, 0.01, 0.5, 3.0, 1e300, np.inf):
        bell = F.gaussian(size, sigma, dtype=np.float64)[0, 0]
        assert bell.shape == (rows, columns)
        np.testing.assert_allclose(bell.sum(), 1, rtol=1e-14)
        np.testing.assert_allclose(bell, bell[::-1, ::-1], rtol=1e-14)


def test_the_bell_is_that_of_the_formula():
    y, x = np.mgrid[-2:3, -3:4]
    expected = np.exp(-(x**2 + y**2) / (2 * 1.3**2))
    found = F.gaussian((5, 7), 1.3, dtype=np.float64)[0, 0]
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-14)
    # fspecial("gaussian") of MATLAB.
    matlab = [[0.0113, 0.0838, 0.0113], [0.0838, 0.6193, 0.0838], [0.0113, 0.0838, 0.0113]]
    np.testing.assert_allclose(F.gaussian()[0, 0], matlab, atol=5e-5)
    # So narrow that all but the middle cells vanish.
    np.testing.assert_array_equal(F.gaussian(3, 1e-3, dtype=np.float64)[0, 0], np.diag([0, 1, 0]))
    np.testing.assert_array_equal(
        F.gaussian(2, 1e-3, dtype=np.float64)[0, 0], np.full((2, 2), 0.25)
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.box(0), ValueError, "size must be at least 1, got 0"),
        (lambda: F.box((1, 2, 3)), ValueError, "size"),
        (lambda: F.gaussian(2.5), TypeError, "size must be an integer"),
        (lambda: F.gaussian(3, 0), ValueError, "sigma must be above 0, got 0"),
        (lambda: F.gaussian(3, -1.0), ValueError, "sigma must be above 0"),
        (lambda: F.gaussian(3, np.nan), ValueError, "sigma must be above 0, got nan"),
        (lambda: F.gaussian(3, "1"), TypeError, "sigma must be a number, got str"),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()
