"""Compute with the threads of an OpenMP library that another package has loaded.

fastconv has threads of its own. PyTorch and others bring an OpenMP library, whose threads stay
awake for some milliseconds after each of its loops: where its operations and fastconv's follow each
other closely, two sets of threads want the same cores. After ``borrow()`` there is one: the
library's team computes fastconv's tasks, too, as many threads as that library uses, and at most as
many as `fastconv.get_num_threads` says. Such calls wait for the team, as the library's own loops
do; on a machine that is busy with other work fastconv's own threads are better.
"""

import ctypes
import re
import sys
from pathlib import Path

from fastconv.engine.base.threads import borrow_team

__all__ = ["borrow", "give_back"]


def loaded() -> list[str]:
    """Return the paths of the OpenMP libraries in this process, as far as the system tells."""
    if not sys.platform.startswith("linux"):
        return []
    found: dict[str, None] = {}
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.partition("/")[2]
        if re.match(r"lib[gi]?omp[-.\d]", path.rpartition("/")[2]):
            found["/" + path] = None
    return list(found)


def borrow(library: str | None = None) -> str:
    """Compute with the threads of an OpenMP library, until `give_back`, or in a child after a fork.

    Parameters
    ----------
    library : str, optional
        The path of the library. By default the only one that is in the process.

    Returns
    -------
    str
        The path of the library.

    Raises
    ------
    ValueError
        If there is none, or several, and `library` is not given.
    OSError
        If `library` cannot be loaded, or is not an OpenMP library.

    Examples
    --------
    >>> import torch                                    # doctest: +SKIP
    >>> from fastconv.adapters import openmp
    >>> openmp.borrow()                                 # doctest: +SKIP
    '.../torch/lib/libgomp.so.1'
    >>> openmp.give_back()
    """
    if library is None:
        found = loaded()
        if len(found) != 1:
            names = ", ".join(found) or "none"
            raise ValueError(f"library must be given: of OpenMP libraries there are here: {names}")
        (library,) = found
    handle = ctypes.CDLL(library)
    try:
        parallel, number = handle.GOMP_parallel, handle.omp_get_thread_num
    except AttributeError as error:
        raise OSError(f"{library} is not an OpenMP library: {error}") from None
    addresses = [ctypes.cast(f, ctypes.c_void_p).value for f in (parallel, number)]
    borrow_team(*addresses)
    return library


def give_back() -> None:
    """Compute with fastconv's own threads again."""
    borrow_team(0, 0)
