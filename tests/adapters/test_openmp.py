"""The team of an OpenMP library in place of the pool's workers."""

import ctypes
import os
import sys
from ctypes.util import find_library

import pytest

from fastconv.adapters import openmp
from tests._cases import run_python


def library():
    """Return the name of an OpenMP library of this system, or None."""
    for name in ("libgomp.so.1", find_library("gomp"), find_library("omp")):
        try:
            if name and ctypes.CDLL(name):
                return name
        except OSError:
            pass
    return None


LIBRARY = library()
needs_openmp = pytest.mark.skipif(
    LIBRARY is None, reason="no OpenMP library here, skipped: computing with its team"
)

# The library is loaded before the others could bring one of their own.
CODE = """
    import ctypes, hashlib, os, sys, threading
    library = sys.argv[1]
    ctypes.CDLL(library).omp_set_num_threads(3)
    import numpy as np
    import fastconv
    from fastconv import functional as F
    from fastconv.adapters import openmp

    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((8, 16, 40, 40)), rng.standard_normal((16, 16, 3, 3))

    def digest():
        total = hashlib.sha256()
        for name in ("gemm", "winograd", "direct"):
            y = F.conv2d(x, weight, None, 1, 1, algorithm=name)
            total.update(y)
            total.update(F.conv2d_input(x.shape, weight, y, 1, 1, algorithm=name))
            total.update(F.conv2d_weight(x, weight.shape, y, 1, 1, algorithm=name))
        return total.hexdigest()

    def threads():
        names = []
        for task in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{task}/comm") as file:
                names.append(file.read().strip())
        return names

    fastconv.set_num_threads(1)
    expected = digest()
"""


@needs_openmp
@pytest.mark.parametrize("threads", [2, 3, 5])
def test_the_team_computes_the_same(threads):
    code = (
        CODE
        + """
    openmp.borrow(library)
    fastconv.set_num_threads(int(sys.argv[2]))
    print(all(digest() == expected for _ in range(20)), "fastconv" in threads())
    openmp.give_back()
    print(digest() == expected)
    """
    )
    printed = run_python(code, LIBRARY, threads)
    if sys.platform == "linux":
        assert printed == "True False\nTrue"


@needs_openmp
def test_callers_with_a_team_each_and_without():
    code = (
        CODE
        + """
    openmp.borrow(library)
    fastconv.set_num_threads(3)
    same = []

    def work():
        ctypes.CDLL(library).omp_set_num_threads(2)
        same.extend(digest() == expected for _ in range(10))

    callers = [threading.Thread(target=work) for _ in range(4)]
    for caller in callers:
        caller.start()
    for _ in range(20):
        openmp.give_back()
        same.append(digest() == expected)
        openmp.borrow(library)
    for caller in callers:
        caller.join()
    print(len(same), all(same))
    """
    )
    assert run_python(code, LIBRARY) == "60 True"


@needs_openmp
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here, skipped: its children")
def test_a_child_after_a_fork_has_threads_of_its_own():
    code = (
        CODE
        + """
    import warnings

    warnings.simplefilter("ignore", DeprecationWarning)
    openmp.borrow(library)
    fastconv.set_num_threads(3)
    digest()
    child = os.fork()
    if not child:
        os._exit(0 if digest() == expected else 1)
    print(os.waitpid(child, 0)[1], digest() == expected)
    """
    )
    assert run_python(code, LIBRARY) == "0 True"


def test_what_is_no_openmp_library_is_refused():
    with pytest.raises(OSError, match="is not an OpenMP library"):
        openmp.borrow(find_library("m") or find_library("c"))
    with pytest.raises(OSError, match="library"):
        openmp.borrow("/no/such/library.so")


def test_which_library_must_be_clear(monkeypatch):
    monkeypatch.setattr(openmp, "loaded", list)
    with pytest.raises(ValueError, match="of OpenMP libraries there are here: none"):
        openmp.borrow()
    monkeypatch.setattr(openmp, "loaded", lambda: ["/a/libgomp.so.1", "/b/libiomp5.so"])
    with pytest.raises(ValueError, match=r"/a/libgomp\.so\.1, /b/libiomp5\.so"):
        openmp.borrow()


@needs_openmp
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, skipped: finding the library")
def test_it_finds_the_library_that_is_there():
    code = CODE + "\n    print(openmp.loaded() == [openmp.borrow()])"
    assert run_python(code, LIBRARY) == "True"
