"""Kernels that are products of lines: noticed, applied line by line, and SciPy's results kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv
from fastconv import ndimage
from fastconv.functional import _separable
from fastconv.functional._separable import find_lines
from tests._filters import FLOATS, MODES, TYPES, assert_same_bits, images, numbers, origin_of

scipy = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning"),
]
tried = settings(max_examples=150, deadline=None, derandomize=True)
DOUBLES, SINGLES = np.dtype(np.float64), np.dtype(np.float32)
U = 2.0**-53


@pytest.fixture(autouse=True, scope="module")
def _lines_cost_nothing():
    """Have small kernels applied line by line, too."""
    usual, _separable._PASS = _separable._PASS, -1000
    yield
    _separable._PASS = usual


def product_of(lines):
    kernel = np.ones(())
    for line in lines:
        kernel = np.multiply.outer(kernel, line)
    return kernel


def lines_for(data, rng, image, whole=False):
    """Draw a line for each axis, some with weights of zero, of which one at least is not."""
    sizes = [data.draw(st.integers(1, (0, 12, 7, 5, 3)[image.ndim])) for _ in image.shape]
    lines = [rng.integers(-4, 5, n) if whole else rng.standard_normal(n) for n in sizes]
    for line in lines:
        if data.draw(st.booleans()):
            line[rng.random(len(line)) < 0.3] = 0
        line[rng.integers(len(line))] = 2
    return lines


@tried
@given(images(), st.sampled_from(FLOATS), st.sampled_from(MODES), st.data())
def test_sums_are_within_the_bound_of_rounding_and_see_the_same_nans(drawn, output, mode, data):
    image, rng = drawn
    kernel = product_of(lines_for(data, rng, image))
    cval = data.draw(st.sampled_from([0, -2.5, np.inf]))
    options = {"mode": mode, "origin": [origin_of(data.draw, n) for n in kernel.shape]}
    for name in ("correlate", "convolve"):
        actual = getattr(ndimage, name)(image, kernel, output, cval=cval, **options)
        filter = getattr(scipy, name)
        expected = filter(image, kernel, output, cval=cval, **options)
        assert actual.dtype == expected.dtype
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(actual[~finite], expected[~finite])
        sizes = filter(abs(image.astype("f8")), abs(kernel), "f8", cval=abs(cval), **options)
        bound = 3 * max(kernel.size, 16) * U * sizes[finite]
        if output == "f4":
            bound += np.spacing(abs(expected[finite]))
        assert (abs(actual[finite].astype("f8") - expected[finite]) <= bound).all()


@tried
@given(images(), st.one_of(st.none(), st.sampled_from(TYPES)), st.sampled_from(MODES), st.data())
def test_whole_numbers_have_the_bits_of_scipy(drawn, output, mode, data):
    image, rng = drawn
    if image.dtype.kind == "f":
        image = np.rint(np.nan_to_num(image, posinf=3, neginf=-3) * 8).astype(image.dtype)
    kernel = product_of(lines_for(data, rng, image, whole=True))
    assert find_lines(kernel.astype("f8"), DOUBLES) is not None
    origin = [origin_of(data.draw, n) for n in kernel.shape]
    arguments = (image, kernel, output, mode, 2.0, origin)
    assert_same_bits(ndimage.correlate(*arguments), scipy.correlate(*arguments))


@tried
@given(images(least=2), st.sampled_from(MODES), st.data())
def test_over_some_axes(drawn, mode, data):
    image, rng = drawn
    image = np.nan_to_num(image, posinf=3, neginf=-3)
    axes = data.draw(st.permutations(range(image.ndim)))[:2]
    kernel = np.outer(rng.integers(-3, 4, 4), rng.integers(1, 4, 3))
    arguments = (image.astype("f8").round(), kernel, None, mode, 1.0)
    np.testing.assert_array_equal(
        ndimage.convolve(*arguments, axes=axes), scipy.convolve(*arguments, axes=axes)
    )


@tried
@given(images(), st.sampled_from(MODES), st.data())
def test_a_bank_of_products_is_each_kernel_by_its_taps(drawn, mode, data):
    image, rng = drawn
    lines = [rng.standard_normal((3, data.draw(st.integers(1, 4)))) for _ in image.shape]
    kernels = np.array([product_of([line[k] for line in lines]) for k in range(3)])
    kernels[1] = rng.standard_normal(kernels.shape[1:])
    # A weight of zero sees a NaN.
    kernels[0].reshape(-1, kernels.shape[-1])[:, 0] = 0
    found = ndimage.filter_bank(image, kernels, np.float64, mode, -1.5)
    expected = ndimage.filter_bank(image, kernels, np.float64, mode, -1.5, separate=False)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isfinite(found), finite)
    scale = np.abs(image[np.isfinite(image)].astype("f8")).max(initial=1) * abs(kernels).sum()
    assert (abs(found - expected)[finite] <= 1e-14 * scale).all()


def test_nothing_is_seen_under_weights_of_zero():
    image = np.ones((9, 9))
    image[4, 4] = np.nan
    kernel = np.outer([1, 2, 1], [-1, 0, 1])
    found = ndimage.correlate(image, kernel)
    np.testing.assert_array_equal(found, scipy.correlate(image, kernel))
    assert np.isnan(found).sum() == 6
    assert np.isnan(ndimage.filter_bank(image, kernel[None])).sum() == 9


def test_large_and_small_numbers_neither_overflow_nor_vanish():
    rng = np.random.default_rng(0)
    image = 1e307 * rng.uniform(0.5, 1, (20, 20))
    kernel = np.outer([1e-200, 2e-200], [3e200, 1e200])
    np.testing.assert_allclose(
        ndimage.correlate(image, kernel), scipy.correlate(image, kernel), rtol=1e-15
    )
    box = np.ones((9, 9)) / 81
    np.testing.assert_allclose(
        ndimage.correlate(17 * image, box), scipy.correlate(17 * image, box), rtol=1e-14
    )


def test_threads_give_the_same_bits():
    rng = np.random.default_rng(0)
    image, kernel = numbers(rng, (203, 310), "f4"), np.outer(*rng.standard_normal((2, 9)))
    results = []
    for threads in range(1, 9):
        fastconv.set_num_threads(threads)
        results.append(ndimage.convolve(image, kernel, np.float64))
    assert all((result == results[0]).all() for result in results)


# ---- what is noticed -----------------------------------------------------------------------------


def reason(image, kernel, output=None, operation="correlate"):
    return ndimage.explain(operation, image, kernel, output).reason


def test_explain_says_what_is_computed(monkeypatch):
    calls = []
    usual = ndimage._kernels.correlate_lines

    def spy(*arguments, **options):
        calls.append(1)
        usual(*arguments, **options)

    monkeypatch.setattr(ndimage._kernels, "correlate_lines", spy)
    monkeypatch.setattr(_separable, "_PASS", 32)
    rng = np.random.default_rng(0)
    floats, cells = np.zeros((40, 40), "f4"), np.zeros((40, 40), "u1")
    lines = rng.standard_normal((2, 15))
    product, whole = np.outer(*lines), np.ones((15, 15))
    lines[1, 3] = 1e-17
    faint = np.outer(*lines)
    cases = (
        (floats, product, None, "separable"),
        (floats, whole, None, "separable"),
        (floats, product[:, :5], None, "direct"),
        (floats, product + np.eye(15), None, "direct"),
        (floats, product[:1], None, "direct"),
        (floats, faint, None, "direct"),
        (floats, product, np.int32, "direct"),
        (floats, whole, np.int32, "direct"),
        (cells, product, None, "direct"),
        (cells, whole, None, "separable"),
        (cells, product, np.float32, "separable"),
        (cells.astype("i8"), whole, None, "direct"),
    )
    for image, kernel, output, algorithm in cases:
        assert ndimage.explain("correlate", image, kernel, output).algorithm == algorithm
        calls.clear()
        ndimage.correlate(image, kernel, output)
        assert len(calls) == (algorithm == "separable")
    assert "no product" in reason(floats, product + np.eye(15))
    assert "few products" in reason(floats, product[:, :5])
    assert "2.2e-16" in reason(floats, faint)
    assert "integer" in reason(cells, product)
    with fastconv.exact():
        assert "exact" in reason(floats, product)
        assert ndimage.explain("correlate", floats, whole).algorithm == "separable"


def test_an_explanation_as_text():
    found = ndimage.explain("convolve", np.zeros((9, 9)), np.ones((5, 4)))
    assert (found.products, found.sums) == (9, DOUBLES)
    assert [len(line) for line in found.lines] == [5, 4]
    assert str(found) == (
        "operation  convolve\n"
        "algorithm  separable: the kernel is the product of 2 lines\n"
        "products   9 for each cell, in float64\n"
        f"isa        {fastconv.isa()}"
    )
    with pytest.raises(ValueError, match="operation must be one of 'correlate'"):
        ndimage.explain("sobel", np.zeros((9, 9)), np.ones((5, 4)))
    with pytest.raises(ValueError, match="must be real"):
        ndimage.explain("convolve", np.zeros((9, 9)), np.ones((5, 4)) * 1j)
    with pytest.raises(RuntimeError, match="must match"):
        ndimage.explain("convolve", np.zeros((9, 9)), np.ones(5))
    bank = ndimage.explain("filter_bank", np.zeros((3, 9, 9)), np.ones((5, 4)))
    assert [len(line) for line in bank.lines] == [1, 5, 4]


@pytest.mark.parametrize("sigma", [0.7, 1, 3])
def test_kernels_as_people_make_them_are_noticed(sigma):
    reach = int(3 * sigma + 0.5)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    bell = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    line = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    for kernel in (bell, bell / bell.sum(), np.outer(line / line.sum(), line), -x * bell):
        assert find_lines(kernel, DOUBLES) is not None
        # Rounded to floats it is a product within the rounding of floats alone.
        assert find_lines(kernel.astype(np.float32), DOUBLES) is None
        assert find_lines(kernel.astype(np.float32), SINGLES) is not None


def test_lines_of_whole_numbers_are_whole():
    rng = np.random.default_rng(0)
    for _ in range(50):
        lines = [rng.integers(-9, 10, rng.integers(1, 6)) for _ in range(3)]
        kernel = product_of(lines)
        found = find_lines(kernel, DOUBLES)
        assert all((line == np.rint(line)).all() for line in found)
        np.testing.assert_array_equal(product_of(found), kernel)
        if kernel.size > 1 and np.count_nonzero(kernel) > 1 and min(kernel.shape) > 1:
            kernel[np.unravel_index(np.abs(kernel).argmax(), kernel.shape)] += 1
            assert find_lines(kernel, DOUBLES) is None


def test_what_has_no_lines():
    for kernel in ([[np.nan, 1], [1, 1]], [[np.inf, 1], [1, 1]], np.zeros((0, 3)), np.eye(2)):
        assert find_lines(np.asarray(kernel), DOUBLES) is None
    # Beside whole numbers that doubles do not hold, and halves for integers.
    assert find_lines(np.full((2, 2), 2**60), np.dtype(np.uint64)) is None
    assert find_lines(np.full((2, 2), 0.5), np.dtype(np.uint64)) is None
    assert find_lines(np.full((2, 2), 1e30), DOUBLES) is not None
    # A small weight counts as much as a large one.
    kernel = np.outer([1.0, 1e-9], [1.0, 1e-9])
    kernel[1, 1] *= 1 + 1e-12
    assert find_lines(kernel, DOUBLES) is None
    # Floats cannot hold these lines.
    kernel = np.outer([1e-30, 1e30], [1.0, 1e-30])
    assert find_lines(kernel, DOUBLES) is not None
    assert find_lines(kernel, SINGLES) is None
