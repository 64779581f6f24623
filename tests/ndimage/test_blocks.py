"""Images that are larger than memory, filtered block by block."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastconv import ndimage
from tests._cases import run_tests_code
from tests._filters import MODES, TYPES, images, numbers
from tests._memory import growth, needs_status

tried = settings(max_examples=60, deadline=None, derandomize=True)


@tried
@given(images(TYPES, most=3), st.sampled_from(MODES), st.sampled_from([0, 2.5]), st.data())
def test_blocks_give_the_whole(drawn, mode, cval, data):
    image, rng = drawn
    kernel = rng.standard_normal(tuple(data.draw(st.integers(1, 6)) for _ in image.shape))
    block = [data.draw(st.integers(max(1, n // 4), n)) for n in image.shape]
    result = np.empty(image.shape, image.dtype.newbyteorder("="))
    seen = []

    def read(place):
        assert all(0 <= at.start < at.stop <= n for at, n in zip(place, image.shape, strict=True))
        seen.append(place)
        return image[place]

    numbers_of = ndimage.filter_blocks(
        read, result.__setitem__, image.shape, kernel, block, mode, cval
    )
    assert list(numbers_of) == list(
        range(np.prod([-(-n // b) for n, b in zip(image.shape, block, strict=True)]))
    )
    np.testing.assert_array_equal(result, ndimage.correlate(image, kernel, None, mode, cval))


@pytest.mark.parametrize("mode", MODES)
def test_blocks_of_a_kernel_that_is_a_product(mode):
    rng = np.random.default_rng(0)
    image, kernel = numbers(rng, (60, 70), "f8"), np.outer(*rng.standard_normal((2, 13)))
    assert ndimage.explain("correlate", image, kernel).algorithm == "separable"
    result = np.empty(image.shape)
    for _ in ndimage.filter_blocks(
        image.__getitem__, result.__setitem__, image.shape, kernel, 17, mode, 2.3
    ):
        pass
    np.testing.assert_array_equal(result, ndimage.correlate(image, kernel, None, mode, 2.3))


def test_blocks_go_on_where_they_were_stopped():
    image = numbers(np.random.default_rng(0), (40, 50), "f4")
    result = np.zeros((40, 50))
    arguments = (image.__getitem__, result.__setitem__, image.shape, np.ones((3, 5)), 16)
    some = ndimage.filter_blocks(*arguments, output=np.float64)
    last = [next(some), next(some)][-1]
    some.close()
    assert (result[16:] == 0).all()
    rest = ndimage.filter_blocks(*arguments, output=np.float64, first=last + 1)
    assert list(rest) == list(range(2, 12))
    np.testing.assert_array_equal(result, ndimage.correlate(image, np.ones((3, 5)), np.float64))


def test_blocks_need_the_memory_of_a_block(tmp_path):
    # Nothing but the block and the cells around it is read.
    image = np.lib.format.open_memmap(tmp_path / "image.npy", "w+", np.uint8, (300, 400))
    image[...] = numbers(np.random.default_rng(0), image.shape, "u1")
    most = 0

    def read(place):
        nonlocal most
        most = max(most, image[place].size)
        return image[place]

    result = np.empty(image.shape, np.uint8)
    for _ in ndimage.filter_blocks(read, result.__setitem__, image.shape, np.ones((5, 5)) / 25, 64):
        pass
    assert most <= 68 * 68
    np.testing.assert_array_equal(result, ndimage.correlate(image, np.ones((5, 5)) / 25))


def test_wrong_blocks():
    image = np.ones((4, 5))
    arguments = (image.__getitem__, image.__setitem__, image.shape)
    with pytest.raises(RuntimeError, match="an axis for each"):
        ndimage.filter_blocks(*arguments, np.ones(3))
    with pytest.raises(ValueError, match="block must be at least 1"):
        ndimage.filter_blocks(*arguments, np.ones((3, 3)), 0)
    with pytest.raises(ValueError, match="block must be at least 1"):
        ndimage.filter_blocks(*arguments, np.ones((3, 3)), (2, 2, 2))
    with pytest.raises(RuntimeError, match="boundary mode"):
        ndimage.filter_blocks(*arguments, np.ones((3, 3)), mode="open")


# ---- memory --------------------------------------------------------------------------------------

SIDE, MEGABYTE = 6000, 1 << 20


class Generated:
    """An image of 144 MB that is nowhere: parts are made when they are read."""

    shape, dtype, ndim = (SIDE, SIDE), np.dtype(np.float32), 2

    def __getitem__(self, place):
        rows, columns = (np.arange(at.start, at.stop, dtype=np.int64) for at in place)
        return ((rows[:, None] * 7 + columns * 13) % 251).astype(np.float32)


class Sums:
    """A result that is nowhere: the sum of each row is kept."""

    def __init__(self):
        self.rows = np.zeros(SIDE)

    def __setitem__(self, place, part):
        self.rows[place[0]] += part.sum(axis=1, dtype=np.float64)


def by_blocks(image, result):
    for _ in ndimage.filter_blocks(
        image.__getitem__, result.__setitem__, image.shape, np.ones((9, 9)), 1000, "wrap"
    ):
        pass


def as_a_whole(image, result):
    whole = (slice(0, SIDE),) * 2
    result[whole] = ndimage.correlate(image[whole], np.ones((9, 9)), mode="wrap")


def measured(run):
    """Return the sums of the rows that a call writes, and how much memory it took, as text."""
    result = Sums()
    _, grown = growth(lambda: run(Generated(), result))
    rows = result.rows
    return f"{rows.sum():.0f} {float((rows * np.arange(SIDE)).sum()):.0f} {grown}"


def in_a_process(module, call):
    """Return the two sums and the growth that `measured` prints in a new interpreter."""
    return [int(number) for number in run_tests_code(module, call).split()]


@needs_status
def test_an_image_that_is_larger_than_the_memory_allowed():
    *blocks, small = in_a_process("ndimage.test_blocks", "measured(by_blocks)")
    *whole, large = in_a_process("ndimage.test_blocks", "measured(as_a_whole)")
    assert blocks == whole
    # Each block takes its halo, its result, and what is between; the image and its result are 288.
    assert small < 60 * MEGABYTE
    assert large > 280 * MEGABYTE
