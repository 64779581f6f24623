"""No kernel writes outside its result, nor reads or writes outside the memory of an array."""

import ctypes
import mmap
import sys
from itertools import product
from math import prod

import numpy as np
import pytest

import fastconv
from fastconv.engine import plan
from tests._cases import (
    CONVS,
    DTYPES,
    ISAS,
    RESULTS,
    Problem,
    assert_guards_untouched,
    directions,
    guarded,
    integers,
    isa_or_skip,
    problem,
    run_tests_code,
    served,
)

ALGORITHMS = [row.name for row in plan.ALGORITHMS]
OURS = sorted({param.values[1] for param in served(CONVS)})
# Products of this many numbers are worth several threads, which meet inside a plane.
MANY = 300_000


def typed(case, dtype):
    return Problem(*(array.astype(dtype) for array in problem(case)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("case", "algorithm"), served(CONVS))
def test_nothing_is_written_round_a_plane_of_the_result(case, algorithm, dtype):
    arrays = typed(case, dtype)
    expected = dict(zip(RESULTS, arrays[4:], strict=True))
    work = arrays.y.size * arrays.weight[0].size
    for threads in (1, 4) if work >= MANY else (1,):
        fastconv.set_num_threads(threads)
        for what, function in directions(case, arrays, algorithm).items():
            out, memory = guarded(expected[what].shape, dtype)
            assert function(out) is out
            if exact(algorithm):
                np.testing.assert_array_equal(out, expected[what], err_msg=what)
            assert_guards_untouched(out, memory, f"{what}, {threads} threads")


def exact(algorithm):
    return next(row.exact for row in plan.ALGORITHMS if row.name == algorithm)


class Fenced:
    """Memory for one array at a time, with a page before and behind it that nobody may touch."""

    def __init__(self, size):
        pages = -(-size // mmap.PAGESIZE)
        self.map = mmap.mmap(-1, (pages + 2) * mmap.PAGESIZE)
        self.first, self.end = mmap.PAGESIZE, (pages + 1) * mmap.PAGESIZE
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        libc = ctypes.CDLL(None, use_errno=True)
        for page in (0, self.end):
            status = libc.mprotect(
                ctypes.c_void_p(base + page), ctypes.c_size_t(mmap.PAGESIZE), ctypes.c_int(0)
            )
            assert status == 0, ctypes.get_errno()

    def place(self, array, last):
        """Return a copy that ends where the fence begins, or that begins where it ends."""
        offset = self.end - array.nbytes if last else self.first
        copy = np.frombuffer(self.map, array.dtype, array.size, offset).reshape(array.shape)
        copy[...] = array
        return copy


def walk_the_fence(algorithm, what, dtype):
    """Compute the table with all arrays at the edges of their memory; return the calls' number.

    The last case that standard error names is the one at which the process has died.
    """
    fences = [Fenced(1 << 22) for _ in range(5)]
    calls = 0
    for param in served(CONVS):
        case, name = param.values
        shapes = case.input_shape, case.weight_shape, (case.k,), case.geometry.output_shape
        if name != algorithm or 0 in map(prod, shapes):
            continue
        plain = [integers(shape, dtype) for shape in shapes]
        expected = directions(case, Problem(*plain, *[None] * 4), algorithm)[what]()
        for last in (True, False):
            print(repr(case), algorithm, what, "end" if last else "start", file=sys.stderr)
            edge = [fence.place(a, last) for fence, a in zip(fences, plain, strict=False)]
            out = fences[4].place(np.full_like(expected, np.nan), last)
            directions(case, Problem(*edge, *[None] * 4), algorithm)[what](out)
            assert not exact(name) or np.array_equal(out, expected), "another result at the fence"
            calls += 1
        out, memory = guarded(expected.shape, dtype)
        directions(case, Problem(*plain, *[None] * 4), algorithm)[what](out)
        assert_guards_untouched(out, memory, what)
    return calls


def walk_every_fence(algorithm):
    """Compute the table in every direction and dtype; return the calls' number."""
    return sum(walk_the_fence(algorithm, *kind) for kind in product(RESULTS[:3], DTYPES))


needs_fences = pytest.mark.skipif(
    sys.platform == "win32", reason="no mprotect here, skipped: fenced memory"
)


@needs_fences
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("what", RESULTS[:3])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nothing_outside_the_arrays_is_touched(algorithm, what, dtype):
    # A kernel that loads a whole vector at the end of an array dies here, of SIGSEGV.
    call = f"walk_the_fence({algorithm!r}, {what!r}, np.{dtype})"
    printed = run_tests_code("functional.test_guards", call, FASTCONV_NUM_THREADS="2")
    assert int(printed) > 0


@needs_fences
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("algorithm", OURS)
def test_nothing_outside_is_touched_with_every_instruction_set(algorithm, isa):
    # Tails are masked on one instruction set and not on another.
    isa_or_skip(isa)
    assert int(
        run_tests_code(
            "functional.test_guards", f"walk_every_fence({algorithm!r})", FASTCONV_ISA=isa
        )
    )
