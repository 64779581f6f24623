"""Images of any kind, and what filters make of them."""

import numpy as np
from hypothesis import strategies as st

INTEGERS = ("?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8")
FLOATS = ("f4", "f8")
TYPES = INTEGERS + FLOATS
COMPLEX = ("c8", "c16")
MODES = ("reflect", "mirror", "nearest", "wrap", "constant")
MODES += ("grid-mirror", "grid-wrap", "grid-constant")
# The longest axis of an image of so many axes.
LONGEST = {1: 300, 2: 70, 3: 20, 4: 8}


def laid_out(array, layout):
    """Return an array with the same numbers, but other strides or bytes in memory."""
    if layout == "Fortran":
        return np.asfortranarray(array)
    if layout == "reversed":
        return array[(slice(None, None, -1),) * array.ndim].copy()[
            (slice(None, None, -1),) * array.ndim
        ]
    if layout == "strided":
        wide = np.zeros(tuple(2 * n + 1 for n in array.shape), array.dtype)
        inside = wide[(slice(1, None, 2),) * array.ndim]
        inside[...] = array
        return inside
    if layout == "swapped":
        return array.astype(array.dtype.newbyteorder(">"))
    if layout == "misaligned":
        memory = np.zeros(array.nbytes + 1, np.uint8)
        inside = memory[1:].view(array.dtype).reshape(array.shape)
        inside[...] = array
        return inside
    if layout == "read-only":
        array.flags.writeable = False
    return array


LAYOUTS = ("C", "Fortran", "reversed", "strided", "swapped", "misaligned", "read-only")


def numbers(rng, shape, dtype):
    """Return random numbers that any type of image can hold."""
    dtype = np.dtype(dtype)
    if dtype.kind in "fc":
        values = rng.standard_normal(shape)
        return (values + 1j * rng.standard_normal(shape) if dtype.kind == "c" else values).astype(
            dtype
        )
    least, most = (-100 if dtype.kind == "i" else 0), (2 if dtype.kind == "b" else 100)
    return rng.integers(least, most, shape).astype(dtype)


@st.composite
def images(draw, types=TYPES, least=1, most=4):
    """Draw an image, and the generator that its filter may be drawn from."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rank = draw(st.integers(least, most))
    shape = tuple(draw(st.integers(1, LONGEST[rank])) for _ in range(rank))
    image = numbers(rng, shape, draw(st.sampled_from(types)))
    if image.dtype.kind == "f" and draw(st.booleans()):
        image.flat[rng.integers(image.size)] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    return laid_out(image, draw(st.sampled_from(LAYOUTS))), rng


def outputs(types=TYPES):
    """Draw the type of a result, or none."""
    return st.one_of(st.none(), st.sampled_from(types).map(np.dtype))


def origin_of(draw, size):
    return draw(st.integers(-(size // 2), (size - 1) // 2))


def assert_same_bits(actual, expected):
    """Compare types, shapes, numbers and NaNs, and the signs of zeros."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(actual, expected)
    if actual.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(actual), np.signbit(expected))
