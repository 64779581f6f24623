"""Memory that is kept for the next result: it is never in use twice, and it is bounded."""

import gc
import mmap
import subprocess
import sys
from pathlib import Path

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
    # What is left of huge pages beside arrays in use, of other tests.
    assert memory.waiting() < 2**24


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


def test_it_begins_at_a_cache_line():
    for size in (2**16, 2**16 + 1, 2**22 - 1, 2**22, 2**22 + 7, 2**25, 2**26):
        array = memory.empty((size,), np.dtype(np.uint8))
        assert address(array) % 64 == 0


def test_memory_comes_back_when_no_array_looks_at_it():
    first = memory.empty(SHAPE, np.dtype(np.float32))
    place = address(first)
    view = first[1:, ::2].T
    del first
    others = [memory.empty(SHAPE, np.dtype(np.float32)) for _ in range(3)]
    assert not any(np.may_share_memory(view, other) for other in others)
    assert len({address(other) for other in others}) == 3
    before = memory.waiting()
    del view
    assert memory.waiting() == before + 2**17
    again = memory.empty(SHAPE, np.dtype(np.float32))
    assert address(again) == place
    assert memory.waiting() == before


def test_results_of_layers_stay_what_they_are():
    x = normal(SHAPE, np.float32)
    kept = [F.tanh(x * np.float32(k)) for k in range(5)]
    expected = [array.copy() for array in kept]
    for k in range(20):
        F.relu(x * np.float32(k))
    for array, copy in zip(kept, expected, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_what_waits_is_bounded():
    # A network of an earlier test keeps its reserve until it is collected.
    gc.collect()
    for size in range(2**16, 2**24, 2**19):
        for _ in range(3):
            memory.empty((size,), np.dtype(np.float64))
        assert memory.waiting() <= 2**27


def drawn(rng, count, most):
    """Take and give arrays of all sizes, of `most` bytes in all, and look whether they are kept."""
    live, used = [], 0
    for i in range(count):
        while live and (used > most or rng.random() < 0.4):
            array, value = live.pop(rng.integers(len(live)))
            assert (array[::509] == value).all()
            assert array[-1] == value
            used -= array.nbytes
        array = memory.empty((int(2 ** rng.uniform(14, 21)),), np.dtype(np.float32))
        assert not any(np.may_share_memory(array, other) for other, _ in live)
        array[...] = i
        live.append((array, i))
        used += array.nbytes


def test_arrays_of_all_sizes_keep_what_is_in_them():
    for seed in range(3):
        drawn(np.random.default_rng(seed), 400, 2**26)
        assert memory.waiting() <= 2**27


def test_neighbours_become_one():
    """What small results leave is there for a large one."""
    small = [memory.empty((2**20,), np.dtype(np.uint8)) for _ in range(32)]
    places = {address(array) for array in small}
    del small
    large = memory.empty((2**25,), np.dtype(np.uint8))
    assert address(large) in places


def test_a_reserve_lets_more_wait():

    def use(reserve):
        arrays = [memory.empty((2**25,), np.dtype(np.uint8)) for _ in range(8)]
        reserve.renew()
        return arrays

    reserve = memory.Reserve()
    use(reserve)
    assert 2**28 <= memory.waiting() <= 2**28 + 2**27
    # What was in use at once since then counts: less than before.
    reserve.renew()
    reserve.renew()
    assert memory.waiting() <= 2**27
    use(reserve)
    other = memory.Reserve()
    other.renew()
    del other
    assert memory.waiting() >= 2**28
    del reserve
    assert memory.waiting() <= 2**27


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
def test_memory_goes_back_to_the_system():
    before = resident()
    arrays = [memory.empty((2**23 + 2**16,), np.dtype(np.uint8)) for _ in range(20)]
    for array in arrays:
        array[...] = 1
    del arrays[::3], array
    assert resident() > before + 2**26
    arrays.clear()
    freed = memory.release()
    assert freed > 2**26
    assert resident() < before + 2**25
    assert memory.release() == 0


def test_a_limit_of_addresses_is_respected():
    """Where addresses are counted, results come as NumPy's arrays do."""
    resource = pytest.importorskip("resource")
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))\n"
        "import numpy as np\n"
        "from fastconv.engine.base import memory\n"
        "array = memory.empty((2**20,), np.dtype(np.float32))\n"
        "array[...] = 1; assert array.base is None; del array; assert memory.waiting() == 0"
    )
    assert resource.RLIMIT_AS >= 0
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_array_is_sole_that_nobody_else_sees():
    new, plain = memory.empty(SHAPE, np.dtype(np.float32)), np.empty(3)
    for array in (new, plain):
        values = (None, array, 1)
        assert not memory.is_sole(values, 1)
    del array, new
    assert memory.is_sole(values[:2], 1) is False
    del plain
    values = (0, memory.empty(SHAPE, np.dtype(np.float32)), np.empty(3))
    assert memory.is_sole(values, 1)
    assert memory.is_sole(values, 2)
    assert not memory.is_sole(values, 0)
    for hold in (
        lambda array: array,
        lambda array: array[1:],
        lambda array: array.T,
        memoryview,
        lambda array: [array],
    ):
        held = hold(values[1])
        assert not memory.is_sole(values, 1)
        del held
        assert memory.is_sole(values, 1)
    with pytest.raises(IndexError):
        memory.is_sole(values, 3)


def test_arrays_on_the_memory_of_others_are_not_sole():
    class Own(np.ndarray):
        pass

    locked = np.empty(3)
    locked.flags.writeable = False
    others = [
        np.frombuffer(bytearray(32)),
        np.empty((4, 5))[1:],
        np.empty((4, 5)).reshape(20),
        memory.empty(SHAPE, np.dtype(np.float32)).T,
        np.empty(3).view(Own),
        locked,
    ]
    del locked
    while others:
        values = (others.pop(),)
        assert not memory.is_sole(values, 0)
