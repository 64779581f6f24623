"""Convolutions against SciPy's and the slow definitions: types, modes, boundaries, axes, errors."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv
from fastconv import signal
from fastconv.reference import signal as definitions
from fastconv.signal import _transforms
from tests._filters import COMPLEX, FLOATS, INTEGERS, LAYOUTS, laid_out, numbers

tried = settings(max_examples=120, deadline=None, derandomize=True)
KINDS = INTEGERS[1:] + FLOATS + COMPLEX
MODES = ("full", "same", "valid")
# SciPy transforms integers of 64 bits as doubles; fastconv adds them up.
EXACT = ("u8", "i8")


@pytest.fixture(scope="module")
def scipy():
    return pytest.importorskip("scipy.signal", reason="SciPy is not installed")


@st.composite
def pairs(draw, ranks=(1, 2, 3), kinds=KINDS):
    """Draw two arrays, and the generator that made them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rank = draw(st.sampled_from(ranks))
    longest = (0, 50, 12, 6)[rank]
    shapes = [[draw(st.integers(1, longest)) for _ in range(rank)] for _ in range(2)]
    arrays = [
        laid_out(numbers(rng, shape, draw(st.sampled_from(kinds))), draw(st.sampled_from(LAYOUTS)))
        for shape in shapes
    ]
    return *arrays, rng


def assert_close(actual, expected, *inputs):
    """Compare types, shapes, and numbers within the rounding of the least precise input."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    if actual.dtype.kind in "iu":
        np.testing.assert_array_equal(actual, expected)
        return
    single = any(x.dtype.str[1:] in ("f4", "c8") for x in inputs)
    scale = max(np.abs(expected).max(initial=0), 1)
    assert np.abs(actual - expected).max(initial=0) <= (3e-5 if single else 1e-11) * scale


def outcome(function, *arguments, **options):
    try:
        return function(*arguments, **options)
    except Exception as error:
        return type(error)


def compare(actual, expected, *inputs):
    if isinstance(expected, type):
        assert actual is expected
    else:
        assert not isinstance(actual, type), actual
        assert_close(actual, expected, *inputs)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@tried
@given(
    drawn=pairs(), mode=st.sampled_from(MODES), method=st.sampled_from(["auto", "direct", "fft"])
)
def test_convolve_and_correlate(scipy, drawn, mode, method):
    one, two, _ = drawn
    if method == "fft" and (one.dtype.str[1:] in EXACT or two.dtype.str[1:] in EXACT):
        method = "direct"
    for name in ("convolve", "correlate"):
        compare(
            outcome(getattr(signal, name), one, two, mode, method),
            outcome(getattr(scipy, name), one, two, mode, method),
            one,
            two,
        )


@tried
@given(
    drawn=pairs((2,)),
    mode=st.sampled_from(MODES),
    boundary=st.sampled_from(["fill", "pad", "wrap", "circular", "symm", "symmetric"]),
    fill=st.sampled_from([0, 3, 2.0]),
)
def test_two_axes(scipy, drawn, mode, boundary, fill):
    one, two, _ = drawn
    for name in ("convolve2d", "correlate2d"):
        compare(
            outcome(getattr(signal, name), one, two, mode, boundary, fill),
            outcome(getattr(scipy, name), one, two, mode, boundary, fill),
            one,
            two,
        )


@tried
@given(drawn=pairs(), mode=st.sampled_from(MODES), data=st.data())
def test_over_axes(scipy, drawn, mode, data):
    one, two, rng = drawn
    axes = data.draw(st.permutations(range(one.ndim)))
    axes = axes[: data.draw(st.integers(1, one.ndim))]
    shape = [two.shape[i] if i in axes else one.shape[i] for i in range(one.ndim)]
    shape = [1 if data.draw(st.integers(0, 4)) == 0 else n for n in shape]
    other = numbers(rng, shape, two.dtype)
    for name in ("fftconvolve", "oaconvolve"):
        for arguments in ((one, two, mode), (one, other, mode, axes)):
            compare(
                outcome(getattr(signal, name), *arguments),
                outcome(getattr(scipy, name), *arguments),
                one,
                two,
            )


@tried
@given(drawn=pairs(), mode=st.sampled_from(MODES))
def test_definitions(drawn, mode):
    one, two, _ = drawn
    if mode == "valid":
        two = two[tuple(slice(n) for n in one.shape)]
    with np.errstate(over="ignore"):
        for name in ("convolve", "correlate"):
            actual = getattr(signal, name)(one, two, mode)
            assert_close(actual, getattr(definitions, name)(one, two, mode), one, two)
        for name in ("fftconvolve", "oaconvolve"):
            actual = getattr(signal, name)(one, two, mode)
            expected = getattr(definitions, name)(one, two, mode)
            # Without an axis to convolve over, integers are multiplied as such.
            assert_close(actual, expected.astype(actual.dtype), one, two)
        if one.ndim == 2:
            for name in ("convolve2d", "correlate2d"):
                for boundary in ("fill", "wrap", "symm"):
                    arguments = (one, two, mode, boundary, 2)
                    actual = getattr(signal, name)(*arguments)
                    assert_close(actual, getattr(definitions, name)(*arguments), one, two)


@pytest.mark.parametrize("dtype", FLOATS + COMPLEX)
@pytest.mark.parametrize("mode", MODES)
def test_transforms_give_what_sums_give(dtype, mode, monkeypatch):
    rng = np.random.default_rng(0)
    one, two = numbers(rng, (40, 33), dtype), numbers(rng, (9, 12), dtype)
    batch = numbers(rng, (3, 40, 33), dtype)
    added = signal.fftconvolve(one, two, mode), signal.fftconvolve(batch, two[None], mode, (1, 2))
    monkeypatch.setattr(_transforms, "wins", lambda *arguments: True)
    assert_close(signal.convolve(one, two, mode), added[0], one)
    assert_close(signal.fftconvolve(one, two, mode), added[0], one)
    assert_close(signal.fftconvolve(batch, two[None], mode, (1, 2)), added[1], one)


def test_large_kernels_are_transformed():
    assert _transforms.wins((1000, 1000), (900, 900), (1899, 1899), 900**2)
    assert not _transforms.wins((1000, 1000), (5, 5), (1004, 1004), 25)


def test_integers_wrap_around_exactly():
    one = np.array([2**62 + 1, 3, -(2**61)])
    two = np.array([5, 7])
    expected = [int(n) for n in np.convolve(one.astype(object), two.astype(object))]
    actual = signal.convolve(one, two)
    assert [int(n) % 2**64 for n in actual] == [n % 2**64 for n in expected]


def test_a_nan_is_seen_where_it_counts():
    image = np.ones((30, 40))
    image[5, 6] = np.nan
    seen = np.isnan(signal.fftconvolve(image, np.ones((3, 3)), "same"))
    assert seen.sum() == 9
    assert seen[4:7, 5:8].all()


def test_any_number_of_threads_gives_the_same_bits():
    rng = np.random.default_rng(0)
    one, two = numbers(rng, (301, 220), "f4"), numbers(rng, (11, 14), "f4")
    expected = None
    for threads in range(1, 9):
        fastconv.set_num_threads(threads)
        actual = signal.convolve2d(one, two, boundary="wrap")
        expected = actual if expected is None else expected
        np.testing.assert_array_equal(actual, expected)


ONE, TWO = np.ones((5, 6)), np.ones((3, 2))
WRONG = {
    "mode": ("convolve", (ONE, TWO, "part"), {}),
    "mode of two axes": ("convolve2d", (ONE, TWO, "part"), {}),
    "mode of transforms": ("fftconvolve", (ONE, TWO, "part"), {}),
    "method": ("convolve", (ONE, TWO, "full", "fast"), {}),
    "axes of both": ("convolve", (ONE, TWO[0]), {}),
    "axes of a correlation": ("correlate", (ONE, TWO[0]), {}),
    "axes of transforms": ("fftconvolve", (ONE, TWO[0]), {}),
    "three axes": ("convolve2d", (ONE[None], TWO[None]), {}),
    "one axis": ("correlate2d", (ONE[0], TWO[0]), {}),
    "valid": ("convolve", (ONE, np.ones((6, 2)), "valid"), {}),
    "valid of two axes": ("correlate2d", (ONE, np.ones((6, 2)), "valid"), {}),
    "valid of transforms": ("oaconvolve", (ONE, np.ones((6, 2)), "valid"), {}),
    "boundary": ("convolve2d", (ONE, TWO, "full", "open"), {}),
    "fillvalue of several numbers": ("convolve2d", (ONE, TWO), {"fillvalue": [1, 2]}),
    "fillvalue that is no number": ("convolve2d", (ONE, TWO), {"fillvalue": "nothing"}),
    "booleans": ("convolve2d", (ONE > 0, TWO > 0), {}),
    "axis": ("fftconvolve", (ONE, TWO), {"axes": 2}),
    "axes twice": ("fftconvolve", (ONE, TWO), {"axes": (0, -2)}),
    "no axes": ("oaconvolve", (ONE, TWO), {"axes": ()}),
    "shapes": ("fftconvolve", (ONE, TWO), {"axes": 0}),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_arguments_get_the_exceptions_of_scipy(scipy, what):
    name, arguments, options = WRONG[what]
    expected = outcome(getattr(scipy, name), *arguments, **options)
    assert isinstance(expected, type)
    assert outcome(getattr(signal, name), *arguments, **options) is expected


def test_numbers_without_axes_and_booleans(scipy):
    for name in ("convolve", "correlate", "fftconvolve", "oaconvolve"):
        assert getattr(signal, name)(3, 2.5) == getattr(scipy, name)(3, 2.5)
    bits = np.array([True, False, True])
    np.testing.assert_array_equal(signal.convolve(bits, bits), scipy.convolve(bits, bits))


def test_empty_arrays(scipy):
    with pytest.raises(ValueError, match="empty"):
        signal.convolve([], [1.0])
    for name in ("fftconvolve", "oaconvolve"):
        expected = getattr(scipy, name)(np.zeros((0, 3)), ONE)
        compare(getattr(signal, name)(np.zeros((0, 3)), ONE), expected)


@pytest.mark.parametrize("name", definitions.__all__)
def test_signatures_are_those_of_scipy_and_of_the_definitions(scipy, name):
    def parameters(function):
        found = inspect.signature(function).parameters.values()
        return [(p.name, p.kind, p.default) for p in found]

    ours = parameters(getattr(signal, name))
    assert ours == parameters(getattr(scipy, name))
    assert ours == parameters(getattr(definitions, name))
