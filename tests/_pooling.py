"""What the tests of the poolings share: geometries over one to three axes, maps, and checks."""

from itertools import product

import numpy as np

from fastconv import functional as F
from fastconv import reference
from tests._cases import LAYOUTS, assert_exact, integers, layouts

# size, kernel_size, stride, padding, dilation, ceil_mode
GEOMETRIES = [
    ((7,), 3, 2, 0, 1, False),
    ((1,), 1, None, 0, 1, False),
    ((33,), 2, None, 0, 1, True),
    ((40,), 5, 3, 2, 1, True),
    ((200,), 3, 1, ((0, 2),), 2, False),
    ((6,), 4, 3, "same", 1, False),
    ((7,), 2, 3, "valid", 1, True),
    ((7,), 2, 3, "valid", 1, "onnx"),
    ((8,), 3, 2, ((0, 1),), 1, "onnx"),
    # Padding beyond half a window.
    ((5,), 3, 1, 2, 1, False),
    ((4,), 5, 2, ((4, 3),), 1, True),
    ((6, 7), 3, 2, ((2, 1), (0, 2)), 1, False),
    ((6, 7), (2, 3), (3, 1), ((1, 1), (2, 2)), 1, True),
    ((4, 5, 6), 2, None, 0, 1, False),
    ((3, 4, 5), (2, 3, 2), 1, (1, 1, 0), 1, False),
    ((5, 6, 7), 3, 2, 1, 1, True),
    ((7, 6, 33), (2, 1, 3), (1, 2, 2), ((0, 1), (0, 0), (2, 1)), (3, 1, 2), False),
    ((5, 4, 6), 2, 3, "same_lower", 1, "onnx"),
    ((2, 3, 4), (2, 3, 4), 1, 0, 1, False),
    ((1, 1, 1), 2, 1, 1, 1, False),
]
IDS = [str(case).replace(" ", "") for case in GEOMETRIES]


def pool(name, axes):
    """Return a function of `functional` and its twin, over so many axes."""
    full = name.format(axes)
    return getattr(F, full), getattr(reference, full)


def maps(size, dtype=np.float64):
    """Return integers with ties, NaN here and there, and -inf alone."""
    rng = np.random.default_rng([*size])
    ties = rng.integers(-3, 3, (2, 2, *size)).astype(dtype)
    ties[0, 1][rng.random(size) < 0.2] = np.nan
    ties[1, 1] = -np.inf
    return ties


def assert_layouts(call, array):
    """Compare what a function makes of awkward arrays with what it makes of a plain one."""
    expected = call(array)
    for name in LAYOUTS:
        assert_exact(call(layouts(array)[name]), expected, name)


def assert_out(call):
    """Check `out=`: in a larger array with other lead strides, and reversed."""
    expected = call()
    base = np.full((*(2 * n + 1 for n in expected.shape[:2]), *expected.shape[2:]), np.nan)
    out = base.astype(expected.dtype)[1::2, 1::2]
    assert call(out=out) is out
    np.testing.assert_array_equal(out, expected)
    rest = np.ones(out.base.shape[:2], bool)
    rest[1::2, 1::2] = False
    assert np.isnan(out.base[rest]).all(), "written outside out"
    out = np.empty_like(expected)[::-1]
    assert call(out=out) is out
    np.testing.assert_array_equal(out, expected)


def same_bits_for_threads(fastconv, call):
    """Check that a call's arrays have the same bits for 1 to 8 threads."""
    results = []
    for threads in (1, 2, 3, 8):
        with fastconv.num_threads(threads):
            results.append([array.tobytes() for array in call()])
    assert all(found == results[0] for found in results)


def sizes_off_a_vector():
    """Return lengths one off the vectors of all instruction sets."""
    return [m * n + d for m, n, d in product((1, 2, 4), (4, 8, 16), (-1, 0, 1)) if m * n + d > 2]


def residual_of(output):
    return integers(output.shape, output.dtype, 1)
