"""Wrong arguments get SciPy's exceptions, and outputs of any kind are filled."""

import inspect

import numpy as np
import pytest

from fastconv import ndimage
from fastconv.reference import ndimage as slow
from tests._filters import assert_same_bits, laid_out, numbers

IMAGE = numbers(np.random.default_rng(0), (6, 7), "f8")

WRONG = {
    "mode": ("correlate", (IMAGE, np.ones((2, 2))), {"mode": "nothing"}),
    "mode of an axis": ("gaussian_filter", (IMAGE, 1), {"mode": ["reflect", 3]}),
    "mode along an axis": ("correlate1d", (IMAGE, [1, 2]), {"mode": None}),
    "modes of a kernel": ("correlate", (IMAGE, np.ones((2, 2))), {"mode": ["reflect", "wrap"]}),
    "too few modes": ("sobel", (IMAGE,), {"mode": ["reflect"]}),
    "no weights": ("correlate1d", (IMAGE, []), {}),
    "weights of two axes": ("correlate1d", (IMAGE, np.ones((2, 2))), {}),
    "kernel of one axis": ("convolve", (IMAGE, [1, 2, 3]), {}),
    "empty kernel": ("convolve", (IMAGE, np.ones((0, 2))), {}),
    "kernel for other axes": ("convolve", (IMAGE, np.ones((2, 2, 2))), {"axes": (0,)}),
    "origin": ("correlate1d", (IMAGE, [1, 2, 3]), {"origin": 2}),
    "negative origin": ("correlate", (IMAGE, np.ones((3, 3))), {"origin": (0, -2)}),
    "origin that is no integer": ("correlate1d", (IMAGE, [1, 2, 3]), {"origin": 0.5}),
    "origin of means": ("uniform_filter1d", (IMAGE, 3), {"origin": -2}),
    "too many origins": ("correlate", (IMAGE, np.ones((3, 3))), {"origin": (0, 0, 0)}),
    "axis": ("correlate1d", (IMAGE, [1, 2]), {"axis": 2}),
    "axis of edges": ("sobel", (IMAGE,), {"axis": -3}),
    "axes": ("gaussian_filter", (IMAGE, 1), {"axes": (0, 2)}),
    "axes twice": ("gaussian_filter", (IMAGE, 1), {"axes": (0, -2)}),
    "axes that are no integers": ("uniform_filter", (IMAGE, 3), {"axes": (0.5,)}),
    "axes that are nothing": ("uniform_filter", (IMAGE, 3), {"axes": object()}),
    "size": ("uniform_filter1d", (IMAGE, 0), {}),
    "order": ("gaussian_filter1d", (IMAGE, 1), {"order": -1}),
    "radius": ("gaussian_filter1d", (IMAGE, 1), {"radius": -1}),
    "radius that is no integer": ("gaussian_filter1d", (IMAGE, 1), {"radius": 1.5}),
    "radii": ("gaussian_filter", (IMAGE, 1), {"radius": (1, 2, 3)}),
    "sigma": ("gaussian_filter", (IMAGE, "one"), {}),
    "cval": ("correlate1d", (IMAGE, [1, 2]), {"cval": "nothing", "mode": "constant"}),
    "complex cval": ("correlate1d", (IMAGE, [1, 2j]), {"cval": 1j, "mode": "constant"}),
    "complex cval of real numbers": ("correlate", (IMAGE, np.ones((2, 2))), {"cval": 1j}),
    "output's shape": ("correlate", (IMAGE, np.ones((2, 2))), {"output": np.empty((7, 6))}),
    "output's type": ("correlate", (IMAGE, np.ones((2, 2))), {"output": np.float16}),
    "output of complex numbers": ("sobel", (IMAGE,), {"output": np.complex128}),
    "output's word": ("correlate1d", (IMAGE, [1, 2]), {"output": "U5"}),
    "real output": ("correlate1d", (IMAGE * 1j, [1, 2]), {"output": np.empty((6, 7))}),
    "real output of a Gaussian": ("gaussian_filter", (IMAGE * 1j, 1), {"output": float}),
    "real output's word": ("correlate1d", (IMAGE * 1j, [1, 2]), {"output": "float64"}),
    "half precision": ("gaussian_filter", (IMAGE.astype(np.float16), 1), {}),
    "extended precision": ("correlate", (IMAGE.astype(np.longdouble), np.ones((2, 2))), {}),
    "objects": ("correlate1d", (IMAGE.astype(object), [1, 2]), {}),
    "no axis": ("correlate1d", (3.0, [1, 2]), {}),
}


def read_only():
    output = np.empty(IMAGE.shape)
    output.flags.writeable = False
    return output


@pytest.mark.parametrize("what", WRONG)
def test_wrong_arguments_get_the_exceptions_of_scipy(what):
    scipy = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
    name, arguments, options = WRONG[what]
    with pytest.raises(Exception) as expected:  # noqa: PT011
        getattr(scipy, name)(*arguments, **options)
    with pytest.raises(expected.type):
        getattr(ndimage, name)(*arguments, **options)


@pytest.mark.parametrize("name", ["sobel", "laplace"])
def test_outputs_that_are_read_only_are_refused(name):
    with pytest.raises(ValueError, match="read-only"):
        getattr(ndimage, name)(IMAGE, output=read_only())


def test_complex_results_in_a_real_type_are_promoted_with_a_warning():
    with pytest.warns(UserWarning, match="promoting specified output dtype"):
        result = ndimage.correlate1d(IMAGE * 1j, [1, 2], output=np.float32)
    assert result.dtype == np.complex64


FILTERS = {
    "correlate": lambda x, **o: ndimage.correlate(x, np.arange(6.0).reshape(2, 3), **o),
    "correlate1d": lambda x, **o: ndimage.correlate1d(x, [1, 2, 4], 0, **o),
    "gaussian_filter": lambda x, **o: ndimage.gaussian_filter(x, 1.5, **o),
    "uniform_filter": lambda x, **o: ndimage.uniform_filter(x, (3, 4), **o),
    "uniform_filter1d": lambda x, **o: ndimage.uniform_filter1d(x, 3, 0, **o),
    "sobel": ndimage.sobel,
    "laplace": ndimage.laplace,
    "gaussian_laplace": lambda x, **o: ndimage.gaussian_laplace(x, 1, **o),
    "gaussian_gradient_magnitude": lambda x, **o: ndimage.gaussian_gradient_magnitude(x, 1, **o),
}


@pytest.mark.parametrize("layout", ["C", "Fortran", "reversed", "strided", "swapped", "misaligned"])
@pytest.mark.parametrize("name", FILTERS)
def test_outputs_of_any_layout_are_filled_and_returned(name, layout):
    expected = FILTERS[name](IMAGE)
    output = laid_out(np.full_like(IMAGE, np.nan), layout)
    assert FILTERS[name](IMAGE, output=output) is output
    assert_same_bits(output.astype("f8"), expected)


@pytest.mark.parametrize("name", FILTERS)
def test_an_output_that_is_the_input(name):
    expected = FILTERS[name](IMAGE)
    image = IMAGE.copy()
    assert_same_bits(FILTERS[name](image, output=image), expected)
    wide = np.zeros((7, 7))
    wide[:6] = IMAGE
    # It overlaps with the image, a row further.
    assert_same_bits(FILTERS[name](wide[:6], output=wide[1:]), expected)


@pytest.mark.parametrize("name", FILTERS)
def test_an_image_is_left_as_it_is(name):
    image = IMAGE.copy()
    FILTERS[name](image)
    np.testing.assert_array_equal(image, IMAGE)


@pytest.mark.parametrize("name", slow.__all__)
def test_signatures_are_those_of_scipy_and_of_the_reference(name):
    scipy = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")

    def parameters(function):
        found = inspect.signature(function).parameters.values()
        return [(p.name, p.kind, p.default) for p in found]

    ours = parameters(getattr(ndimage, name))
    # SciPy has no banks.
    assert name == "filter_bank" or ours == parameters(getattr(scipy, name))
    assert ours == parameters(getattr(slow, name))
