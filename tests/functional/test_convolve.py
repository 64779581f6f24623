"""conv2, correlate2 and rot180: against the sums, SciPy and MATLAB's vectors."""

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from tests._cases import assert_exact

DTYPES = [np.float32, np.float64]
SHAPES = ["full", "same", "valid"]
SIZES = [
    ((5, 6), (3, 3)),
    ((5, 6), (2, 4)),
    ((7, 4), (4, 1)),
    ((1, 1), (1, 1)),
    ((1, 7), (1, 4)),
    ((3, 3), (3, 3)),
    ((2, 3), (4, 5)),  # the second one is the larger
    ((2, 9), (4, 3)),  # higher, and less wide
    ((20, 33), (9, 16)),
    ((7,), (4,)),
    ((4,), (7,)),
    ((1,), (1,)),
]


def whole(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(-50, 50, shape).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", ["conv2", "correlate2"])
def test_the_sums_are_exact_on_integers(name, sizes, dtype, shape):
    a, b = whole(sizes[0], dtype), whole(sizes[1], dtype, 1)
    expected = getattr(reference, name)(a, b, shape)
    function = getattr(F, name)
    assert_exact(function(a, b, shape), expected)
    wide = np.zeros((*a.shape, 2), dtype)
    wide[..., 1] = a
    assert_exact(function(wide[..., 1], b.astype(b.dtype.newbyteorder()), shape), expected)
    assert_exact(function(F.rot180(a)[..., ::-1][..., ::-1], b, shape),
                 getattr(reference, name)(reference.rot180(a), b, shape))  # fmt: skip
    out = np.full_like(expected, 7)
    assert function(a, b, shape, out=out) is out
    assert_exact(out, expected)
    if expected.shape == a.shape:
        assert function(a, b, shape, out=a) is a
        assert_exact(a, expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [((40, 50), (5, 5)), ((31, 64), (4, 6)), ((90, 90), (31, 30))])
def test_the_sums_are_scipys(sizes, dtype, shape):
    signal = pytest.importorskip("scipy.signal")
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(size).astype(dtype) for size in sizes)
    full = signal.convolve2d(a.astype(np.float64), b.astype(np.float64))
    if shape == "same":
        begins = [k // 2 for k in b.shape]
        full = full[tuple(slice(i, i + n) for i, n in zip(begins, a.shape, strict=True))]
    elif shape == "valid":
        full = signal.convolve2d(a.astype(np.float64), b.astype(np.float64), "valid")
    for algorithm in ("auto", "fft"):
        found = F.conv2(a, b, shape, algorithm=algorithm)
        bound = (1e-5 if dtype is np.float32 else 1e-12) * np.abs(full).max()
        np.testing.assert_allclose(found, full, rtol=0, atol=bound)
    np.testing.assert_array_equal(F.correlate2(a, F.rot180(b), shape), F.conv2(a, b, shape))


@pytest.mark.parametrize("dtype", DTYPES)
def test_matlabs_vectors(dtype):
    a, b = np.array([-1, 2, 3, -2, 0, 1, 2], dtype), np.array([2, 4, -1, 1], dtype)
    full = [-2, 0, 15, 5, -9, 7, 6, 7, -1, 2]
    for name, expected in {"full": full, "same": full[2:-1], "valid": full[3:-3]}.items():
        for x, y, z in ((a, b, expected), (a[None], b[None], [expected])):
            assert_exact(F.conv2(x, y, name), np.array(z, dtype))
        column = F.conv2(a[:, None], b[:, None], name)
        assert_exact(column, np.array(expected, dtype)[:, None])


def test_a_square_by_hand():
    a, b = np.array([[8.0, 1, 6], [3, 5, 7], [4, 9, 2]]), np.array([[1.0, 2], [3, 4]])
    full = [[8, 17, 8, 12], [27, 46, 39, 38], [13, 44, 61, 32], [12, 43, 42, 8]]
    assert_exact(F.conv2(a, b), np.array(full, float))
    assert_exact(F.conv2(a, b, "same"), np.array(full, float)[1:, 1:])
    assert_exact(F.conv2(a, b, "valid"), np.array(full, float)[1:3, 1:3])


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (((2, 2), (3, 3)), {"full": (4, 4), "same": (2, 2), "valid": (0, 0)}),
        (((5, 2), (3, 3)), {"full": (7, 4), "same": (5, 2), "valid": (3, 0)}),
        (((2, 5), (3, 3)), {"full": (4, 7), "same": (2, 5), "valid": (0, 3)}),
        (((0, 3), (2, 2)), {"full": (1, 4), "same": (0, 3), "valid": (0, 2)}),
        (((3, 3), (0, 2)), {"full": (2, 4), "same": (3, 3), "valid": (3, 2)}),
        (((0, 0), (0, 0)), {"full": (0, 0), "same": (0, 0), "valid": (0, 0)}),
    ],
)
def test_the_smaller_first_and_nothing_at_all(sizes, expected):
    a, b = np.ones(sizes[0]), np.ones(sizes[1])
    for name, shape in expected.items():
        for room in (F, reference):
            found = room.conv2(a, b, name)
            assert found.shape == shape
            if 0 in a.shape or 0 in b.shape:
                assert not found.any()


def test_the_lectures_formulas():
    rng = np.random.default_rng(3)
    image, w = rng.integers(0, 9, (6, 7)) * 1.0, rng.integers(-3, 4, (3, 2)) * 1.0
    x, weight = image[None, None], w[None, None]
    z = F.correlate2(image, w, "valid")
    assert_exact(z, F.conv2d(x, weight)[0, 0])
    delta = rng.integers(-3, 4, z.shape) * 1.0
    back = F.conv2d_input(x.shape, weight, delta[None, None])[0, 0]
    assert_exact(F.conv2(delta, w, "full"), back)
    assert_exact(F.correlate2(delta, F.rot180(w), "full"), back)
    grad = F.conv2d_weight(x, weight.shape, delta[None, None])[0, 0]
    assert_exact(F.correlate2(image, delta, "valid"), grad)


def test_auto_is_exact_where_fft_is_not():
    a, b = whole((64, 64), np.float32), whole((32, 32), np.float32, 1)
    expected = reference.conv2(a[:8, :8], b[:3, :3])
    assert_exact(F.conv2(a[:8, :8], b[:3, :3]), expected)
    exact = F.conv2(a.astype(np.float64), b.astype(np.float64)).astype(np.float32)
    assert_exact(F.conv2(a, b), exact)
    with fastconv.exact(), pytest.raises(ValueError, match="fft"):
        F.conv2(a, b, algorithm="fft")


def test_the_same_bits_for_any_threads():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((200, 300)), rng.standard_normal((7, 8))
    expected = F.conv2(a, b)
    for threads in range(1, 9):
        with fastconv.num_threads(threads):
            assert F.conv2(a, b).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.arange(4, dtype=np.uint8),
        np.arange(24.0).reshape(2, 3, 2, 2),
        np.zeros((0, 3)),
        np.array([[True, False]]),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    ],
)
def test_turned_by_180_degrees(array):
    found = F.rot180(array)
    assert found.dtype == array.dtype
    assert found.flags.c_contiguous
    assert not np.shares_memory(found, array)
    np.testing.assert_array_equal(found, reference.rot180(array))
    if array.ndim > 1:
        np.testing.assert_array_equal(found, np.rot90(array, 2, (-2, -1)))
    np.testing.assert_array_equal(F.rot180(found), array)
    kept = array.copy()
    assert F.rot180(array, out=array) is array
    np.testing.assert_array_equal(array, found)
    array[...] = kept


X = np.ones((3, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.conv2(X.tolist(), X), TypeError, r"a must be a numpy\.ndarray, got list"),
        (lambda: F.conv2(X, X.astype(int)), TypeError, "b must have dtype float32 or float64"),
        (lambda: F.conv2(X, X.astype("f4")), TypeError, "b must have the dtype of a"),
        (lambda: F.conv2(X, X[0]), ValueError, r"shapes \(3, 4\) and \(4,\)"),
        (lambda: F.conv2(X[None], X[None]), ValueError, r"both be \(H, W\) or both \(W,\)"),
        (lambda: F.conv2(np.array(1.0), np.array(1.0)), ValueError, "both be"),
        (lambda: F.correlate2(X, X, "centre"), ValueError, "shape must be one of 'full', 'same'"),
        (lambda: F.conv2(X, X, ["full"]), ValueError, "shape must be one of"),
        (lambda: F.conv2(X, X, algorithm="fast"), ValueError, "algorithm"),
        (lambda: F.conv2(X, X, out=X), ValueError, r"out must have the result's shape \(5, 7\)"),
        (lambda: F.rot180([[1]]), TypeError, r"a must be a numpy\.ndarray, got list"),
        (lambda: F.rot180(np.array(1.0)), ValueError, "one axis or more"),
        (lambda: F.rot180(X, out=X.T), ValueError, "out must have the result's shape"),
        (lambda: F.rot180(X, out=X.astype(int)), ValueError, "out must have the result's dtype"),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()
