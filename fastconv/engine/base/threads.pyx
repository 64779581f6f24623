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
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar
from time import perf_counter

from cpython.pythread cimport PyThread_get_thread_ident

cdef extern from "base/pool.h" nogil:
    void run_pool "fastconv_run"(int threads, int limit, const Phase* phases,
                                 Py_ssize_t count) noexcept
    int prepare_pool "fastconv_prepare_pool"(long long spin) noexcept
    void use_team "fastconv_borrow_team"(void* parallel, void* number) noexcept
    enum:
        MOST_THREADS "FASTCONV_MOST_THREADS"

cdef extern from "base/denormals.h" nogil:
    unsigned long flush_denormals "fastconv_flush_denormals"() noexcept
    void restore_denormals "fastconv_restore_denormals"(unsigned long saved) noexcept

cdef extern from * nogil:
    """
    /* The thread whose phases are listed in place of being run, or 0: other threads look at it
     * while it is set. */
    static unsigned long fastconv_lister;
    #define FASTCONV_LISTER() __atomic_load_n(&fastconv_lister, __ATOMIC_RELAXED)
    #define FASTCONV_SET_LISTER(thread) \
        __atomic_store_n(&fastconv_lister, thread, __ATOMIC_RELAXED)
    """
    unsigned long lister "FASTCONV_LISTER"() noexcept
    void set_lister "FASTCONV_SET_LISTER"(unsigned long thread) noexcept

# Multiply-adds that pay for one more thread: having a worker that is awake join costs about 1 us,
# and a core does this many in two or three times as long.
cdef double GRAIN = 65536.0

# What set_num_threads has set, for all threads.
cdef int _num_threads = 1
# What `num_threads` has set for the running thread or task: pairs of a number and the pair before,
# or None. It is not looked at before the first time.
_own = ContextVar("fastconv.num_threads", default=None)
cdef bint _has_own = False


cdef int most_threads() noexcept nogil:
    """Return the number of threads that the running thread or task may use."""
    if not _has_own:
        return _num_threads
    with gil:
        own = _own.get()
        return _num_threads if own is None else own[0]


cdef int threads_for(double work) noexcept nogil:
    """Return the number of threads for a loop of `work` multiply-adds."""
    if brief(work):
        return 1
    cdef int most = most_threads()
    cdef double worth = work / GRAIN
    return most if worth > most else <int>worth


cdef bint brief(double work) noexcept nogil:
    """Tell whether `work` multiply-adds take less time than handing over Python's lock.

    A thread that waits for the lock is woken by the system, which takes some microseconds: eight
    threads with calls of 5 us had half the speed of one.
    """
    return work < 2.0 * GRAIN


cdef void parallel_phases(int threads, const Phase* phases, Py_ssize_t count) noexcept nogil:
    """Run loops one after the other on at most so many threads."""
    if lister() and list_phases(threads, phases, count):
        return
    run_pool(threads, max(threads, _num_threads), phases, count)


cdef void parallel_for(int threads, Py_ssize_t tasks, Task run, void* context) noexcept nogil:
    """Run the tasks 0, 1, ... of one loop on at most so many threads."""
    cdef Phase phase = make_phase(run, context, tasks)
    parallel_phases(threads, &phase, 1)


cdef void do_nothing(void* context, Py_ssize_t task, int thread) noexcept nogil:
    pass


def run_empty(int threads, Py_ssize_t tasks, Py_ssize_t calls):
    """Run so many loops of tasks that do nothing: the benchmarks time it."""
    cdef Py_ssize_t _
    with nogil:
        for _ in range(calls):
            parallel_for(threads, tasks, do_nothing, NULL)


# ---- phases on paper ----------------------------------------------------------------------------

cdef list _phases = None
cdef bint _timed = False


cdef bint list_phases(int threads, const Phase* phases, Py_ssize_t count) noexcept with gil:
    """List the phases if this thread asked for it, and run their tasks if they are timed."""
    cdef const Phase* phase
    cdef Py_ssize_t i, task
    cdef unsigned long saved
    cdef double begin
    if lister() != PyThread_get_thread_ident():
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
            saved = 0 if phase.denormals else flush_denormals()
            for task in range(phase.tasks):
                begin = perf_counter()
                phase.run(phase.context, task, 0)
                seconds.append(perf_counter() - begin)
            if not phase.denormals:
                restore_denormals(saved)
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
    global _phases, _timed
    if _phases is not None:
        raise RuntimeError("phases are listed already")
    _phases, _timed = [], timed
    set_lister(PyThread_get_thread_ident())
    try:
        yield _phases
    finally:
        set_lister(0)
        _phases = None


# ---- how many -----------------------------------------------------------------------------------

cdef int checked(n) except 0:
    """Return a number of threads as an integer, or raise."""
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"n must be an integer, got {type(n).__name__}")
    count = n.__index__()
    if not 1 <= count <= MOST_THREADS:
        raise ValueError(f"n must be between 1 and {MOST_THREADS}, got {count}")
    return count


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
    _num_threads = checked(n)


def get_num_threads():
    """Return the number of threads that the kernels may use when called from here.

    Inside `num_threads` it is that number; otherwise what `set_num_threads` has set. To begin with
    it is the environment variable FASTCONV_NUM_THREADS, else OMP_NUM_THREADS, else the cores this
    process may use (its affinity and its control group's quota).

    Returns
    -------
    int

    Examples
    --------
    >>> import fastconv
    >>> fastconv.get_num_threads() >= 1
    True
    """
    return most_threads()


class num_threads(ContextDecorator):
    """Another number of threads for the calls in a `with` statement, or in a decorated function.

    It holds for the running thread, or the running asyncio task, alone.

    Parameters
    ----------
    n : int
        From 1 to 1024.

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
    >>> with fastconv.num_threads(3):
    ...     fastconv.get_num_threads()
    3
    >>> fastconv.get_num_threads() == before
    True
    """

    def __init__(self, n):
        self.n = checked(n)

    def __repr__(self):
        return f"num_threads({self.n})"

    def __enter__(self):
        global _has_own
        _has_own = True
        _own.set((self.n, _own.get()))

    def __exit__(self, kind, error, traceback):
        _own.set(_own.get()[1])


def borrow_team(parallel, number):
    """Compute with the team of an OpenMP library; or, with two zeros, with our own threads.

    The arguments are the addresses of its functions GOMP_parallel and omp_get_thread_num. See
    `fastconv.adapters.openmp`.
    """
    use_team(<void*><size_t>parallel, <void*><size_t>number)


def _environment_threads():
    """Return the number of threads that the environment asks for, or None."""
    text = os.environ.get("FASTCONV_NUM_THREADS", "").strip()
    if text:
        if not (text.isdecimal() and 1 <= int(text) <= MOST_THREADS):
            raise ValueError(
                f"FASTCONV_NUM_THREADS must be from 1 to {MOST_THREADS}, got {text!r}")
        return int(text)
    # A list has one number for each level of nested loops. What is wrong in it is OpenMP's affair.
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and 1 <= int(first) <= MOST_THREADS else None


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
    return min(cores, _quota_cores() or cores, MOST_THREADS)


def _environment_spin():
    """Return how long a worker without work stays awake, in microseconds."""
    text = os.environ.get("FASTCONV_SPIN", "").strip() or "50"
    if not (text.isdecimal() and int(text) <= 1_000_000):
        raise ValueError(f"FASTCONV_SPIN must be from 0 to 1000000 microseconds, got {text!r}")
    return int(text)


set_num_threads(_default_threads())
if prepare_pool(1000 * _environment_spin()):
    raise MemoryError("no room for a handler of forks")
