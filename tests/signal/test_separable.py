"""Convolutions with products of lines: what SciPy's are, within rounding, and integers exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastconv import signal
from fastconv.functional import _separable
from fastconv.signal import _direct
from tests._filters import FLOATS, INTEGERS, LAYOUTS, laid_out, numbers

scipy = pytest.importorskip("scipy.signal", reason="SciPy is not installed")
tried = settings(max_examples=120, deadline=None, derandomize=True)
MODES = ("full", "same", "valid")


@pytest.fixture(autouse=True, scope="module")
def _lines_cost_nothing():
    usual, _separable._PASS = _separable._PASS, -1000
    yield
    _separable._PASS = usual


@tried
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(INTEGERS[1:] + FLOATS),
    st.sampled_from(MODES),
    st.sampled_from(["fill", "wrap", "symm"]),
    st.sampled_from([0, 3]),
    st.sampled_from(LAYOUTS),
)
def test_two_axes(seed, dtype, mode, boundary, fill, layout):
    rng = np.random.default_rng(seed)
    image = laid_out(numbers(rng, rng.integers(6, 30, 2), dtype), layout)
    lines = [numbers(rng, rng.integers(2, 7), dtype) for _ in range(2)]
    # No product of integers wraps around.
    kernel = np.outer(*(line if dtype[0] == "f" else line // 10 for line in lines))
    assert _direct.lines_of(kernel)[0] is not None or dtype[0] == "f"
    for name in ("convolve2d", "correlate2d"):
        arguments = (image, kernel, mode, boundary, fill)
        actual = getattr(signal, name)(*arguments)
        expected = getattr(scipy, name)(*arguments)
        assert actual.dtype == expected.dtype
        if dtype[0] != "f":
            np.testing.assert_array_equal(actual, expected)
            continue
        sizes = getattr(scipy, name)(abs(image), abs(kernel), mode, boundary, fill)
        bound = 3 * max(kernel.size, 16) * np.finfo(dtype).eps / 2 * sizes
        assert (abs(actual - expected) <= bound).all()


@pytest.mark.parametrize("mode", MODES)
def test_any_number_of_axes(mode):
    rng = np.random.default_rng(0)
    image = rng.integers(-(2**40), 2**40, (9, 10, 11))
    lines = [rng.integers(-(2**9), 2**9, n) for n in (3, 4, 2)]
    kernel = np.einsum("i,j,k", *lines)
    for name in ("convolve", "correlate"):
        # Sums wrap around, as they do without lines.
        actual = getattr(signal, name)(image, kernel, mode)
        np.testing.assert_array_equal(
            actual, getattr(scipy, name)(image, kernel, mode, method="direct")
        )


def test_explain_says_what_is_computed(monkeypatch):
    calls = []
    usual = _direct.correlate_lines

    def spy(*arguments, **options):
        calls.append(1)
        usual(*arguments, **options)

    monkeypatch.setattr(_direct, "correlate_lines", spy)
    monkeypatch.setattr(_separable, "_PASS", 32)
    image, rng = np.zeros((64, 64), np.float32), np.random.default_rng(0)
    product = np.outer(*rng.standard_normal((2, 15), np.float32))
    cases = (
        ("convolve2d", product, "separable", 30),
        ("correlate2d", product, "separable", 30),
        ("convolve", product, "separable", 30),
        ("convolve2d", product[:5, :5], "direct", 25),
        ("convolve2d", product + np.eye(15, dtype="f4"), "direct", 225),
        ("convolve2d", product.astype("c8"), "direct", 225),
        ("convolve2d", np.ones((15, 15), int), "separable", 30),
    )
    for name, kernel, algorithm, products in cases:
        found = signal.explain(name, image, kernel)
        assert (found.algorithm, found.products) == (algorithm, products)
        calls.clear()
        getattr(signal, name)(image, kernel)
        assert len(calls) == (algorithm == "separable")
    assert signal.explain("convolve", image, product).sums == np.float32
    assert signal.explain("convolve", product.astype("i2"), product.astype("i2")).sums == "u4"
    large = np.zeros((600, 600))
    assert signal.explain("correlate", large, large).algorithm == "fft"
    assert signal.explain("correlate", large, large, method="direct").algorithm == "separable"
    assert "fft: " in str(signal.explain("correlate", large, large))
    with pytest.raises(ValueError, match="operation must be one of 'convolve'"):
        signal.explain("oaconvolve", image, product)
    with pytest.raises(ValueError, match="as many axes"):
        signal.explain("convolve", image, product[0])
