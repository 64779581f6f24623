# How the tasks of a kernel are shared among threads.

# Called for each task, on any thread and in any order. `thread` is below the number of threads, and
# no two tasks run at once with the same one: it selects a part of the workspace.
ctypedef void (*Task)(void* context, Py_ssize_t task, int thread) noexcept nogil

# Returns what a task costs (costs.pxd); called for the tasks in order, and never where they run.
ctypedef double (*Cost)(void* context, Py_ssize_t task) noexcept nogil

cdef extern from "base/phase.h" nogil:
    # A loop over tasks.
    ctypedef struct Phase "fastconv_phase":
        Task run
        void* context
        Py_ssize_t tasks
        bint denormals          # they count; otherwise they are flushed to zero
        Cost cost               # or NULL: nobody has said


cdef inline Phase make_phase(Task run, void* context, Py_ssize_t tasks) noexcept nogil:
    cdef Phase phase
    phase.run, phase.context, phase.tasks = run, context, tasks
    phase.denormals, phase.cost = False, NULL
    return phase


cdef inline Phase weighed_phase(Task run, Cost cost, void* context,
                                Py_ssize_t tasks) noexcept nogil:
    """Return a phase that says what its tasks cost."""
    cdef Phase phase = make_phase(run, context, tasks)
    phase.cost = cost
    return phase


cdef int threads_for(double work) noexcept nogil
cdef bint brief(double work) noexcept nogil
cdef void parallel_for(int threads, Py_ssize_t tasks, Task run, void* context) noexcept nogil
cdef void parallel_phases(int threads, const Phase* phases, Py_ssize_t count) noexcept nogil
