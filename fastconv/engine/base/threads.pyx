# cython: boundscheck=False, wraparound=False, initializedcheck=False
# No bounds checks: the loops here have no arrays.
"""How many threads the kernels use, and how they share tasks: the only place that knows of threads.

A kernel asks how many threads its work is worth (`threads_for`), takes workspace for as many, and
gives its tasks to `parallel_for`, which returns when all are done. What a kernel computes may not
depend on which thread does a task, or when.

`parallel_phases` runs several such loops with one team: each begins when all tasks of the one
before are done; one without tasks costs nothing. What the threads' parts of the workspace must
hold before is a phase, too, with a task for each part.
"""

import os
from contextlib import contextmanager
from time import perf_counter

from cpython.pythread cimport PyThread_get_thread_ident
from cython.parallel cimport parallel, prange, threadid

cdef extern from "base/denormals.h" nogil:
    unsigned long flush_denormals "fastconv_flush_denormals"() noexcept
    void restore_denormals "fastconv_restore_denormals"(unsigned long saved) noexcept

cdef extern from *:
    """
    #ifdef _OPENMP
    #define FASTCONV_OPENMP 1
    #else
    #define FASTCONV_OPENMP 0
    #endif
    """
    bint FASTCONV_OPENMP

# Multiply-adds that pay for one more thread: waking and joining a thread costs about 3 us, and a
# core does this many in about as long.
cdef double GRAIN = 65536.0

cdef int _num_threads = 1
# The thread whose phases are listed in place of being run, or 0; see `listed_phases`.
cdef unsigned long _lister = 0
cdef bint _forked = False


cdef int threads_for(double work) noexcept nogil:
    """Return the number of threads for a loop of `work` multiply-adds."""
    # libgomp's threads do not survive a fork, and waiting for them hangs the child.
    if _forked or not FASTCONV_OPENMP or work < 2.0 * GRAIN:
        return 1
    cdef double worth = work / GRAIN
    return _num_threads if worth > _num_threads else <int>worth


cdef inline unsigned long begin_phase(const Phase* phase) noexcept nogil:
    return 0 if phase.how & DENORMALS else flush_denormals()


cdef inline void end_phase(const Phase* phase, unsigned long saved) noexcept nogil:
    if not phase.how & DENORMALS:
        restore_denormals(saved)


cdef void parallel_phases(int threads, const Phase* phases, Py_ssize_t count) noexcept nogil:
    """Run loops one after the other on at most so many threads."""
    cdef Py_ssize_t i, task
    cdef unsigned long saved = 0
    if _lister and list_phases(threads, phases, count):
        return
    if threads <= 1:
        for i in range(count):
            saved = begin_phase(phases + i)
            for task in range(phases[i].tasks):
                phases[i].run(phases[i].context, task, 0)
            end_phase(phases + i, saved)
        return
    with parallel(num_threads=threads):
        for i in range(count):
            if phases[i].tasks == 0:
                continue
            saved = begin_phase(phases + i)
            if phases[i].how & EVEN:
                for task in prange(phases[i].tasks, schedule="static"):
                    phases[i].run(phases[i].context, task, threadid())
            else:
                for task in prange(phases[i].tasks, schedule="dynamic"):
                    phases[i].run(phases[i].context, task, threadid())
            end_phase(phases + i, saved)


cdef void parallel_for(int threads, Py_ssize_t tasks, Task run, void* context,
                       int how) noexcept nogil:
    """Run the tasks 0, 1, ... of one loop on at most so many threads."""
    cdef Phase phase = make_phase(run, context, tasks, how)
    parallel_phases(threads, &phase, 1)


# ---- phases on paper ----------------------------------------------------------------------------

cdef list _phases = None
cdef bint _timed = False


cdef bint list_phases(int threads, const Phase* phases, Py_ssize_t count) noexcept with gil:
    """List the phases if this thread asked for it, and run their tasks if they are timed."""
    cdef const Phase* phase
    cdef Py_ssize_t i, task
    cdef unsigned long saved
    cdef double begin
    if PyThread_get_thread_ident() != _lister:
        return False
    for i in range(count):
        phase = phases + i
        if phase.tasks == 0:
            continue
        costs = seconds = None
        if phase.cost is not NULL:
            costs = [phase.cost(phase.context, task) for task in range(phase.tasks)]
        if _timed:
            seconds = []
            saved = begin_phase(phase)
            for task in range(phase.tasks):
                begin = perf_counter()
                phase.run(phase.context, task, 0)
                seconds.append(perf_counter() - begin)
            end_phase(phase, saved)
        _phases.append((threads, phase.tasks, costs, seconds))
    return True


@contextmanager
def listed_phases(timed=False):
    """List what this thread's kernels would share among threads, in place of running it.

    Inside a `with` statement nothing is computed, and results hold anything. For each phase the
    list has the number of threads, that of tasks, what each task costs (base/costs.pxd) or None,
    and None. If `timed`, the tasks run on this thread, one after the other, and in the last place
    are the seconds that each took. One thread at a time may list.
    """
    global _lister, _phases, _timed
    if _lister:
        raise RuntimeError("phases are listed already")
    _phases, _timed = [], timed
    _lister = PyThread_get_thread_ident()
    try:
        yield _phases
    finally:
        _lister, _phases = 0, None


# ---- how many -----------------------------------------------------------------------------------

def set_num_threads(n):
    """Set the number of threads that the kernels of this process use.

    Parameters
    ----------
    n : int
        At least 1. More than the machine has cores is allowed. Small work stays on the
        calling thread whatever the number.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1 or more than 1024.

    Examples
    --------
    >>> import fastconv
    >>> before = fastconv.get_num_threads()
    >>> fastconv.set_num_threads(2)
    >>> fastconv.get_num_threads()
    2
    >>> fastconv.set_num_threads(before)
    """
    global _num_threads
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"n must be an integer, got {type(n).__name__}")
    count = n.__index__()
    if not 1 <= count <= 1024:
        raise ValueError(f"n must be between 1 and 1024, got {count}")
    _num_threads = count


def get_num_threads():
    """Return the number of threads that the kernels use.

    The default is the environment variable FASTCONV_NUM_THREADS, else OMP_NUM_THREADS, else the
    cores this process may use (its affinity and its control group's quota). Without OpenMP, and
    in a child after a fork, one thread computes whatever this number says.

    Returns
    -------
    int

    Examples
    --------
    >>> import fastconv
    >>> fastconv.get_num_threads() >= 1
    True
    """
    return _num_threads


def openmp():
    """Tell whether the kernels were compiled with OpenMP; without it they use one thread.

    Returns
    -------
    bool
    """
    return bool(FASTCONV_OPENMP)


def _environment_threads():
    """Return the number of threads that the environment asks for, or None."""
    text = os.environ.get("FASTCONV_NUM_THREADS", "").strip()
    if text:
        if not (text.isdecimal() and 1 <= int(text) <= 1024):
            raise ValueError(f"FASTCONV_NUM_THREADS must be from 1 to 1024, got {text!r}")
        return int(text)
    # A list has one number for each level of nested loops. What is wrong in it is OpenMP's affair.
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and 1 <= int(first) <= 1024 else None


def _quota_cores():
    """Return the cores that the control group's quota allows, or None."""
    # Control groups version 2 (cpu.max: "quota period" or "max period"), then version 1.
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        try:
            with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") as file:
                quota = file.read().strip()
            with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us") as file:
                period = file.read().strip()
        except OSError:
            return None
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return max(1, -(-int(quota) // int(period)))


def _default_threads():
    """Return the number of threads to begin with."""
    count = _environment_threads()
    if count is not None:
        return count
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(cores, _quota_cores() or cores, 1024)


def _after_fork_in_child():
    """Keep a forked child away from the thread pool that it did not inherit."""
    global _forked
    _forked = True


set_num_threads(_default_threads())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
