"""The steps of transforms: factors, roots, their order, and spectra, against plain definitions."""

from math import prod

import numpy as np
import pytest

import fastconv
from fastconv.engine.fft.blocks import fft_blocks
from fastconv.engine.fft.planes import lanes_of
from fastconv.engine.fft.tables import cut_line, factors_of, order_of, planes_for, roots
from tests._cases import DTYPES, normal

# All factors, alone and with others; rows and columns that fill no vector; a block larger than the
# first-level cache.
SIZES = [
    *((1, 2 * rows, 3) for rows in (1, 2, 3, 4, 5, 8, 12, 15, 25, 27, 45, 64, 1200)),
    *((1, 6, columns) for columns in (1, 2, 5, 8, 16, 17 - 1, 18, 30, 48, 125)),
    *((planes, 20, 12) for planes in (2, 3, 5, 9)),
]
LINES = (512, 1536, 2560)


def evaluated(x):
    """Return the polynomial of the rows at the roots t^n = i, and the transform of the others."""
    rows = x.shape[1] // 2
    turns = np.outer(1 - 4 * np.arange(rows), np.arange(2 * rows)) % (4 * rows)
    # More precise than what it is compared with, even as a plain sum.
    angle = 8 * np.arctan(np.longdouble(1)) * turns / (4 * rows)
    others = np.fft.fft(np.fft.fft(x, axis=0), axis=2).astype(np.clongdouble)
    return np.einsum("fr,drc->dfc", np.cos(angle) + 1j * np.sin(angle), others)


def spectrum_of(x, lengths):
    """Return what `Planes` makes of (D, H, W), as complex (planes, rows, columns) in order."""
    planes = planes_for(lengths, x.dtype)
    spectrum = np.full(planes.spectrum_size, np.nan, x.dtype)
    planes.transform(x[None, None, None], spectrum, (0, 0, 0), x.shape)
    lanes = lanes_of(x.itemsize)
    depth, rows, columns = lengths
    rows, columns = cut_line(columns) if depth == rows == 1 else (rows // 2, columns)
    found = spectrum.reshape(depth, -1, columns, 2, lanes)
    found = (found[:, :, :, 0] + 1j * found[:, :, :, 1]).transpose(0, 1, 3, 2)
    found = found.reshape(depth, -1, columns)[:, :rows]
    ordered = np.empty_like(found)
    places = (order_of(factors_of(n)) for n in (depth, rows, columns))
    ordered[np.ix_(*places)] = found
    return ordered


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lengths", SIZES, ids=str)
def test_spectra_are_those_of_the_definition(lengths, dtype):
    x = normal(lengths, dtype)
    actual, expected = spectrum_of(x, lengths), evaluated(x.astype(np.float64))
    bound = 4 * np.log2(2 * prod(lengths)) * np.finfo(dtype).eps * np.linalg.norm(x)
    assert np.abs(actual - expected).max() <= bound


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", LINES)
def test_the_spectrum_of_a_line(length, dtype):
    x = normal((1, 1, length), dtype)
    rows, columns = cut_line(length)
    # Frequency k + rows * l stands in row k and column l.
    actual = spectrum_of(x, (1, 1, length))[0].T.ravel()
    expected = evaluated(x.astype(np.float64).reshape(1, length, 1)).ravel()
    assert rows * columns == length // 2
    bound = 4 * np.log2(2 * length) * np.finfo(dtype).eps * np.linalg.norm(x)
    assert np.abs(actual - expected).max() <= bound


def test_what_a_block_does_not_cover_is_zero():
    x = normal((2, 8, 9), np.float64)
    padded = np.zeros((3, 10, 12))
    padded[1:, 2:, 3:] = x
    planes = planes_for((3, 10, 12), x.dtype)
    spectra = [np.full(planes.spectrum_size, np.nan) for _ in range(2)]
    planes.transform(x[None, None, None], spectra[0], (-1, -2, -3), (3, 10, 12))
    # Only the first cells of the block are asked for.
    larger = normal((5, 12, 15), np.float64)
    larger[1:4, 2:11, 3:15] = 100
    larger[1:4, 2:11, 3:15][:, :10, :12] = padded[:, :9]
    planes.transform(larger[None, None, None], spectra[1], (1, 2, 3), (3, 9, 12))
    planes.transform(padded[None, None, None], spectra[0], (0, 0, 0), (3, 9, 12))
    np.testing.assert_array_equal(*spectra)


def test_the_factors_of_a_length_are_its():
    for length in (1, 2, 8, 32, 60, 125, 512, 2400):
        assert prod(factors_of(length)) == length
        assert sorted(order_of(factors_of(length))) == list(range(length))
    with pytest.raises(ValueError, match="factors 2, 3 and 5"):
        factors_of(14)


def test_roots_are_exact_where_they_can_be():
    np.testing.assert_array_equal(
        roots(np.arange(-4, 4), 4), [[1, 0], [0, 1], [-1, 0], [0, -1]] * 2
    )
    k = np.arange(10_000, dtype=np.int64)
    angle = 8 * np.arctan(np.longdouble(1)) * (k % 9973) / 9973
    actual = roots(k, 9973)
    expected = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    assert np.abs(actual - expected).max() <= np.finfo(np.float64).eps


def test_blocks_put_the_axes_along_which_nothing_happens_first():
    assert fft_blocks((1, 400, 300), (0, 40, 30), 1, 2).axes == (0, 1, 2)
    assert fft_blocks((400, 1, 300), (40, 0, 30), 1, 2).axes == (1, 0, 2)
    line = fft_blocks((90_000, 1, 1), (400, 0, 0), 1, 2)
    assert line.axes == (1, 2, 0)
    assert line.count > 1
    assert line.lengths[0] % 512 == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shapes", [((90, 70), (40, 33)), ((3000,), (900,)), ((9, 30, 20), (4, 7, 6))]
)
def test_any_number_of_threads_gives_the_same_bits(shapes, dtype):
    x, w = (normal(shape, dtype, seed) for seed, shape in enumerate(shapes))
    rank = len(shapes[0])
    front = (None,) * (6 - rank)
    out = tuple(n - m + 1 for n, m in zip(*shapes, strict=True))
    found = set()
    lengths = {1: (1, 1, 2560), 2: (1, 60, 50), 3: (6, 20, 10)}[rank]
    planes = planes_for(lengths, x.dtype)
    spectrum = np.empty(planes.spectrum_size, dtype)
    for threads in range(1, 9):
        fastconv.set_num_threads(threads)
        planes.transform(w[front], spectrum, (0, 0, 0), w[front].shape[3:])
        y = np.empty(out, dtype)
        sizes = [a - b + 1 for a, b in zip(lengths, w[front].shape[3:], strict=True)]
        planes.correlate(x[front], spectrum, None, y[front], (0, 0, 0), sizes, (0, 0, 0), True)
        found.add(y.tobytes())
    assert len(found) == 1
