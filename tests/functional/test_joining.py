"""Sums and concatenations."""

import hashlib

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from tests._cases import ISAS, assert_exact, isa_or_skip, run_tests_code

SHAPES = [(), (0,), (1,), (2, 0, 3), (3, 4), (2, 3, 5, 7), (1, 17), (4, 16 * 17)]
DTYPES = [np.float32, np.float64]


def whole(shape, dtype, seed=0):
    """Return integers, whose sums are exact."""
    return np.random.default_rng(seed).integers(-1000, 1000, shape).astype(dtype)


def layouts(array):
    """Yield the same values in other layouts."""
    yield "negative", array[::-1].copy()[::-1] if array.ndim else array
    yield "Fortran", np.asarray(array, order="F")
    wide = np.zeros((*array.shape, 2), array.dtype)
    wide[..., 1] = array
    yield "strided", wide[..., 1]
    yield "swapped", array.astype(array.dtype.newbyteorder())
    fixed = array.copy()
    fixed.flags.writeable = False
    yield "read-only", fixed
    bytes_ = np.zeros(array.nbytes + 1, np.uint8)
    odd = bytes_[1:].view(array.dtype).reshape(array.shape)
    odd[...] = array
    yield "misaligned", odd


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_are_exact(shape, dtype):
    a, b = whole(shape, dtype), whole(shape, dtype, 1)
    expected = reference.add(a, b)
    assert_exact(F.add(a, b), expected)
    for (_, one), (_, other) in zip(layouts(a), reversed(list(layouts(b))), strict=True):
        assert_exact(F.add(one, other), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sum_may_be_written_over_what_it_is_of(dtype):
    a, b = whole((3, 1000), dtype), whole((3, 1000), dtype, 1)
    expected = a + b
    for out in (a.copy(), b.copy(), np.empty_like(a)):
        x, y = (out if np.array_equal(out, v) else v for v in (a, b))
        assert F.add(x, y, out=out) is out
        assert_exact(out, expected)
    long = np.concatenate([a.ravel(), b.ravel()])
    first, shifted = long[:3000], long[1:3001]
    expected = first + shifted
    assert_exact(F.add(first, shifted, out=shifted), expected)
    wide = np.zeros((3, 2000), dtype)
    assert F.add(a, b, out=wide[:, ::2]) is not None
    assert_exact(wide[:, ::2].copy(), a + b)
    assert not wide[:, 1::2].any()


def test_special_values_of_a_sum():
    inf, nan, big = np.inf, np.nan, np.finfo(np.float32).max
    a = np.array([inf, inf, nan, big, -0.0, 1.0], np.float32)
    b = np.array([-inf, 1.0, 1.0, big, -0.0, -1.0], np.float32)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(F.add(a, b), a + b)
    assert np.signbit(F.add(a, b)[4])


def bits():
    """Return a digest of sums, to compare instruction sets."""
    x = np.random.default_rng(0).standard_normal((5, 20011))
    sums = [F.add(x.astype(dtype), x.astype(dtype)[::-1]) for dtype in DTYPES]
    return [hashlib.sha256(y.tobytes()).hexdigest() for y in sums]


def test_the_bits_are_those_of_one_addition_with_any_threads():
    x = np.random.default_rng(0).standard_normal((8, 100_003)).astype(np.float32)
    expected = x + x[::-1]
    for threads in range(1, 9):
        with fastconv.num_threads(threads):
            assert F.add(x, x[::-1]).tobytes() == expected.tobytes()


@pytest.mark.parametrize("isa", ISAS)
def test_each_instruction_set_gives_the_same_bits(isa):
    isa_or_skip(isa)
    found = run_tests_code("functional.test_joining", "bits()", FASTCONV_ISA=isa)
    assert found.strip() == str(bits())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_concatenations_are_exact(axis, dtype):
    parts = []
    for seed, length in enumerate((3, 0, 1, 5)):
        shape = [2, 3, 4]
        shape[axis] = length
        parts.append(whole(shape, dtype, seed))
    expected = np.concatenate(parts, axis)
    assert_exact(reference.concatenate(parts, axis), expected)
    assert_exact(F.concatenate(parts, axis), expected)
    for several in zip(*(list(layouts(part)) for part in parts), strict=True):
        assert_exact(F.concatenate(tuple(part for _, part in several), axis), expected)
    out = np.full_like(expected, 7)
    assert F.concatenate(parts, axis, out=out) is out
    assert_exact(out, expected)
    assert_exact(F.concatenate(parts[:1], axis), parts[0])


def test_a_concatenation_may_be_written_over_its_inputs():
    x = whole((2, 4, 3, 3), np.float64)
    expected = np.concatenate([x[:, 2:], x[:, :2]], 1)
    assert F.concatenate([x[:, 2:], x[:, :2]], out=x) is x
    assert_exact(x, expected)


X = np.ones((2, 3, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.add(X, 1.0), TypeError, r"other must be a numpy\.ndarray, got float"),
        (lambda: F.add(X.astype(int), X), TypeError, "input must have dtype float32 or float64"),
        (lambda: F.add(X, X.astype("f4")), TypeError, "other must have the dtype of input"),
        (lambda: F.add(X, X[:1]), ValueError, r"other must have shape input.shape = \(2, 3, 4\)"),
        (lambda: F.add(X, X, out=np.ones((2, 3))), ValueError, "out must have the result's shape"),
        (lambda: F.concatenate([]), TypeError, "inputs must be a list of one or more arrays"),
        (lambda: F.concatenate(X), TypeError, "inputs must be a list .* got ndarray"),
        (lambda: F.concatenate([X, None]), TypeError, r"inputs\[1\] must be a numpy\.ndarray"),
        (lambda: F.concatenate([X, X.astype("f4")]), TypeError, r"inputs\[1\] .* dtype"),
        (lambda: F.concatenate([X, X[:1]]), ValueError, r"inputs\[1\] must have shape .* axis 1"),
        (lambda: F.concatenate([X, X[0]]), ValueError, r"inputs\[1\] must have shape"),
        (lambda: F.concatenate([X], 3), ValueError, "axis must be from -3 to 2, got 3"),
        (lambda: F.concatenate([X[0, 0, 0:1].reshape(())]), ValueError, "axis must be from"),
        (lambda: F.concatenate([X], 1.0), TypeError, "axis must be an integer"),
        (lambda: F.concatenate([X, X], out=X), ValueError, "out must have the result's shape"),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()
