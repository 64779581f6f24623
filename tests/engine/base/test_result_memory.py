"""Memory that is kept for the next result: it is never in use twice, and it is bounded."""

import numpy as np
import pytest

from fastconv import functional as F
from fastconv.engine.base import memory
from tests._cases import normal

SHAPE = (8, 64, 64)  # 128 KB of float32


@pytest.fixture(autouse=True)
def nothing_waits():
    memory.release()
    yield
    memory.release()
    assert memory.waiting() == 0


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_it_is_like_numpy_empty(dtype):
    for shape in [(), (0, 3), (7,), SHAPE, (3, 0, 2**40), (1, 999, 77)]:
        array = memory.empty(shape, np.dtype(dtype))
        assert (array.shape, array.dtype) == (shape, np.dtype(dtype))
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.flags.aligned
        array[...] = 1
        assert (array == 1).all()


def test_it_begins_at_a_cache_line_and_where_it_is_large_at_a_huge_page():
    for size in (2**16, 2**16 + 1, 2**22 - 1, 2**22, 2**22 + 7, 2**25):
        array = memory.empty((size,), np.dtype(np.uint8))
        assert address(array) % (2**21 if size > 2**22 - 2**14 else 64) == 0


def test_memory_comes_back_when_no_array_looks_at_it():
    first = memory.empty(SHAPE, np.dtype(np.float32))
    place = address(first)
    view = first[1:, ::2].T
    del first
    others = [memory.empty(SHAPE, np.dtype(np.float32)) for _ in range(3)]
    assert not any(np.may_share_memory(view, other) for other in others)
    assert len({address(other) for other in others}) == 3
    assert memory.waiting() == 0
    del view
    assert memory.waiting() >= 2**17
    again = memory.empty(SHAPE, np.dtype(np.float32))
    assert address(again) == place
    assert memory.waiting() == 0


def test_results_of_layers_stay_what_they_are():
    x = normal(SHAPE, np.float32)
    kept = [F.tanh(x * np.float32(k)) for k in range(5)]
    expected = [array.copy() for array in kept]
    for k in range(20):
        F.relu(x * np.float32(k))
    for array, copy in zip(kept, expected, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_what_waits_is_bounded():
    for size in range(2**16, 2**24, 2**19):
        for _ in range(3):
            memory.empty((size,), np.dtype(np.float64))
        assert memory.waiting() <= 2**27
