# What the tasks of a call share, and its passes over chunks or slices of tiles.

from fastconv.engine.base.threads cimport Phase, Task, make_phase, parallel_phases

# The most phases for which a team stays together.
cdef enum:
    PHASES = 48


# What the tasks share: the plan, the arrays, and the workspace.
cdef struct Context:
    const void* plan
    Py_ssize_t itemsize
    const void* x
    void* w                         # the kernels or their gradient
    void* y                         # the output or the residual
    void* u                         # transformed kernels, where they are there as a whole
    void* bias                      # by vectors of output channels, or NULL
    char* shared


# One phase of a pass: its step, and the chunks of a group, or the slice, that it is about.
cdef struct Pass:
    const Context* context
    int step
    Py_ssize_t group, first, count


cdef struct Passes:
    Task run                        # gets a Pass
    const Context* context
    int threads
    Py_ssize_t count
    Pass[PHASES] passes
    Phase[PHASES] phases


cdef inline void run_passes(Passes* p) noexcept nogil:
    """Run the phases that are listed."""
    if p.count:
        parallel_phases(p.threads, p.phases, p.count)
    p.count = 0


cdef inline void add_phase(Passes* p, int step, Py_ssize_t group, Py_ssize_t first,
                           Py_ssize_t count, Py_ssize_t tasks, int how) noexcept nogil:
    """List a phase; what does not fit beside others is run later."""
    if p.count == PHASES:
        run_passes(p)
    cdef Pass* current = p.passes + p.count
    current.context, current.step = p.context, step
    current.group, current.first, current.count = group, first, count
    p.phases[p.count] = make_phase(p.run, current, tasks, how)
    p.count += 1
