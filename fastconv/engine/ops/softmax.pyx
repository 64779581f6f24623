# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional give arrays of one shape and type.
"""Softmax, its logarithm and their gradients along one axis, by the loops of softmax.h.

All arrays are contiguous. `n` is the size of the axis, `step` by how many elements its neighbours
lie apart. The result may be an input; they may not overlap otherwise.
"""

from fastconv.engine.base.arrays cimport Flat, look_flat
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport brief, parallel_for, threads_for

cdef extern from "ops/softmax.h" nogil:
    ctypedef void (*Loop "fastconv_softmax")(
        const void* dy, const void* x, void* y, Py_ssize_t n, Py_ssize_t step,
        Py_ssize_t count) noexcept nogil
    ctypedef struct Loops "fastconv_softmaxes":
        Loop softmax, log_softmax, softmax_backward, log_softmax_backward
    const Loops* loops_of "fastconv_softmaxes_of"(int isa, Py_ssize_t itemsize)

cdef const Loops* single = loops_of(isa_row(), sizeof(float))
cdef const Loops* double_ = loops_of(isa_row(), sizeof(double))

# Multiply-adds that an element is worth.
cdef double COST = 24
# Elements of one task, about; and columns that are taken together, of any instruction set.
cdef Py_ssize_t BLOCK = 4096
cdef Py_ssize_t COLUMNS = 64


cdef struct Lines:
    Loop run
    Flat dy, x, y
    Py_ssize_t n, step
    Py_ssize_t lines, count     # of a slab, or of the array with step 1; of a task
    Py_ssize_t tasks            # of a slab


cdef void visit(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Lines* p = <const Lines*>context
    cdef Py_ssize_t slab = i // p.tasks, line = i % p.tasks * p.count, first
    first = (slab * p.n * p.lines + (line * p.n if p.step == 1 else line)) * p.y.itemsize
    p.run(<const char*>p.dy.data + first, <const char*>p.x.data + first, <char*>p.y.data + first,
          p.n, p.step, min(p.count, p.lines - line))


cdef int run(dy, x, y, Py_ssize_t n, Py_ssize_t step, Loop of_floats, Loop of_doubles) except -1:
    cdef Lines p
    cdef Py_ssize_t slabs
    look_flat(x, False, &p.x)
    look_flat(y, True, &p.y)
    if p.y.size == 0:
        return 0
    if dy is None:
        p.dy = p.x
    else:
        look_flat(dy, False, &p.dy)
    p.run = of_floats if p.y.itemsize == sizeof(float) else of_doubles
    p.n, p.step = n, step
    if step == 1:
        slabs, p.lines, p.count = 1, p.y.size // n, max(1, BLOCK // n)
    else:
        slabs, p.lines = p.y.size // (n * step), step
        p.count = max(1, BLOCK // (n * COLUMNS)) * COLUMNS
    p.tasks = (p.lines + p.count - 1) // p.count
    if brief(COST * p.y.size):
        parallel_for(1, slabs * p.tasks, visit, &p)
        return 0
    with nogil:
        parallel_for(threads_for(COST * p.y.size), slabs * p.tasks, visit, &p)
    return 0


def softmax(x, y, Py_ssize_t n, Py_ssize_t step):
    """y = exp(x) divided by its sum along the axis."""
    run(None, x, y, n, step, single.softmax, double_.softmax)


def log_softmax(x, y, Py_ssize_t n, Py_ssize_t step):
    """y = the logarithm of that."""
    run(None, x, y, n, step, single.log_softmax, double_.log_softmax)


def softmax_backward(dy, y, dx, Py_ssize_t n, Py_ssize_t step):
    """dx = y * (dy - sum(dy * y))."""
    run(dy, y, dx, n, step, single.softmax_backward, double_.softmax_backward)


def log_softmax_backward(dy, y, dx, Py_ssize_t n, Py_ssize_t step):
    """dx = dy - exp(y) * sum(dy)."""
    run(dy, y, dx, n, step, single.log_softmax_backward, double_.log_softmax_backward)
