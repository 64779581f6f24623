# The tasks of a kernel: phases of jobs, each written once for float and double.

from fastconv.engine.base.arrays cimport Operands
from fastconv.engine.base.threads cimport Cost, Phase, parallel_phases, weighed_phase

cdef enum:
    # Jobs for which a team of threads stays together.
    MOST_JOBS = 48


# What a task reads beside its operand.
cdef struct Context:
    const void* plan
    const Operands* o
    char* shared                        # the workspace
    # Of a kernel that makes several passes: the group, and the first of what it holds at once.
    Py_ssize_t group, first

ctypedef void (*FloatTask)(const float* operand, const Context* context, Py_ssize_t task,
                           int thread) noexcept nogil
ctypedef void (*DoubleTask)(const double* operand, const Context* context, Py_ssize_t task,
                            int thread) noexcept nogil

# The tasks of a phase, for arrays of either type.
cdef struct Job:
    FloatTask of_floats
    DoubleTask of_doubles
    const void* operand
    const Context* context

# The jobs of a kernel, in their order: each begins when the one before has ended.
cdef struct Jobs:
    int threads
    Py_ssize_t count
    Context[MOST_JOBS] contexts
    Job[MOST_JOBS] jobs
    Phase[MOST_JOBS] phases


cdef inline void run_job(void* job, Py_ssize_t task, int thread) noexcept nogil:
    """Run a task for the type of the arrays."""
    cdef const Job* j = <const Job*>job
    if j.context.o.layout.itemsize == sizeof(float):
        j.of_floats(<const float*>j.operand, j.context, task, thread)
    else:
        j.of_doubles(<const double*>j.operand, j.context, task, thread)


cdef inline void run_jobs(Jobs* jobs) noexcept nogil:
    """Run the jobs that wait."""
    parallel_phases(jobs.threads, jobs.phases, jobs.count)
    jobs.count = 0


cdef inline void add_job(Jobs* jobs, const Context* context, FloatTask of_floats,
                         DoubleTask of_doubles, Cost cost, const void* operand,
                         Py_ssize_t tasks) noexcept nogil:
    """Add so many tasks, in a context as it is now; `cost` gets the Job, or it is NULL."""
    cdef Py_ssize_t i
    if jobs.count == MOST_JOBS:
        run_jobs(jobs)
    i = jobs.count
    jobs.contexts[i] = context[0]
    jobs.jobs[i] = Job(of_floats, of_doubles, operand, &jobs.contexts[i])
    jobs.phases[i] = weighed_phase(run_job, cost, &jobs.jobs[i], tasks)
    jobs.count += 1
