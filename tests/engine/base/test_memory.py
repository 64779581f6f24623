"""Memory does not grow with the number of calls, of shapes, or of threads that come and go."""

import ast
import ctypes
import gc
import mmap
import os
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv.engine import plan
from tests._cases import Conv, Problem, able, directions, run_tests_code

ALGORITHMS = [row.name for row in plan.ALGORITHMS]

# More geometries than any cache of plans holds (4096), so that those are full when it begins.
WARM = 6_000
# Growth is taken over several spans of work, and their median counts: a leak grows in each of
# them, while the table of a cache is made larger in one of them, whichever that is.
SPANS = 3
# New geometries in a span, three calls for each, and threads in a span.
CASES = 1_500
THREADS = 100
# Growth in a span of the memory in use, and of the addresses: a leak of 120 bytes a call or of
# 5 KB a thread is more; and so are stacks, of 8 MB as a rule, of which the C library keeps 40 MB
# for later threads.
ALLOWED = (512 << 10, 64 << 20)
# Python's objects are counted, too, and threads have no heaps of their own, whose number would
# depend on how many of them were alive at once.
ENVIRONMENT = {"PYTHONMALLOC": "malloc", "MALLOC_ARENA_MAX": "1"}


class Heap(ctypes.Structure):
    """What mallinfo2 returns: see the manual page."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def library():
    """Return the C library with its mallinfo2, or None where it has none."""
    libc = ctypes.CDLL(None) if os.name == "posix" else None
    if not hasattr(libc, "mallinfo2") or not Path("/proc/self/task").exists():
        return None
    libc.mallinfo2.restype = Heap
    return libc


pytestmark = pytest.mark.skipif(
    library() is None, reason="no mallinfo2 or no /proc here, skipped: growth of memory"
)


def sizes():
    """Return the bytes that are allocated, and those of the addresses of this process.

    What is allocated depends on what was called alone. How many pages are in memory depends on the
    machine's load, too: on how many threads are about to end while others begin.
    """
    gc.collect()
    heap = library().mallinfo2()
    with open("/proc/self/statm") as file:
        return heap.uordblks + heap.hblkhd, int(file.read().split()[0]) * mmap.PAGESIZE


def running():
    """Return how many threads of this process the system knows."""
    return len(os.listdir("/proc/self/task"))


def tiny_cases(algorithm):
    """Return tiny convolutions that an algorithm can compute, nearly all different."""
    rng = np.random.default_rng(0)
    highest = (3, 14, 14, 4, 4, 4, 3, 4, 4, 5, 3)
    cases = []
    for n, h, w, r, s, c, stride, above, right, k, kind in rng.integers(1, highest, (60_000, 11)):
        # Many are depthwise, or have the kernel that fast algorithms want.
        r, s = (3, 3) if kind == 1 else (r, s)
        groups, k = (4 * c, 4 * c) if n + k < 4 else (1, k)
        sizes = map(int, (n, 4 * c, h + 2, w + 2, k, r, s, stride))
        case = Conv(*sizes, ((int(above), 0), (0, int(right))), 1, int(groups))
        if algorithm in able(case.geometry):
            cases.append(case)
        if len(cases) == WARM + SPANS * CASES:
            break
    return cases


def call(case, algorithm):
    """Compute the three directions of one case."""
    shapes = case.input_shape, case.weight_shape, (case.k,), case.geometry.output_shape
    arrays = Problem(*(np.ones(shape, np.float32) for shape in shapes), *[None] * 4)
    for function in directions(case, arrays, algorithm).values():
        function()


def usual_growth(spans):
    """Return by how much both sizes usually grow over one of these spans of work."""
    found = [sizes()]
    for work in spans:
        work()
        found.append(sizes())
    return np.median(np.diff(found, axis=0), axis=0).tolist()


def growth_of_calls(algorithm):
    """Return by how much the process grows over calls of ever new shapes."""
    cases = tiny_cases(algorithm)
    assert len(cases) == WARM + SPANS * CASES

    def work(first, last):
        for case in cases[first:last]:
            call(case, algorithm)

    work(0, WARM)
    firsts = range(WARM, len(cases), CASES)
    return usual_growth(partial(work, first, first + CASES) for first in firsts)


def growth_of_threads(algorithm):
    """Return by how much the process grows over threads that compute once and end."""
    cases = [Conv(2, 16, 30, 31, 16, 3, 3, 1, 1), Conv(2, 16, 30, 31, 16, 3, 3, 2, 1, 1, 16)]
    cases = [case for case in cases if algorithm in able(case.geometry)]
    # The pool's worker stays.
    fastconv.set_num_threads(2)
    for case in cases:
        call(case, algorithm)
    threads = running()

    def work():
        for number in range(THREADS):
            fastconv.set_num_threads(1 + number % 2)
            thread = threading.Thread(target=call, args=(cases[number % len(cases)], algorithm))
            thread.start()
            thread.join()
        # Python's thread is done before the system's.
        while running() > threads:
            time.sleep(0.001)

    work()
    return usual_growth([work] * SPANS)


@pytest.mark.parametrize("growth", ["growth_of_calls", "growth_of_threads"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_memory_does_not_grow(algorithm, growth):
    call = f"{growth}({algorithm!r})"
    grown = ast.literal_eval(run_tests_code("engine.base.test_memory", call, **ENVIRONMENT))
    assert all(size <= most for size, most in zip(grown, ALLOWED, strict=True)), grown
