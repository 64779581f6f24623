# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared the shapes.
"""Cross-entropy of rows of scores, and its gradient: each row once, while it lies in the cache.

All arrays are contiguous; those of floats are of one type.
"""

from cython cimport floating

from libc.math cimport log

from fastconv.engine.base.arrays cimport Flat, all_below, look_flat
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport EVEN, parallel_for, threads_for
from fastconv.engine.base.workspace cimport give, take

cdef extern from "ops/elementwise.h" nogil:
    ctypedef struct Loops "fastconv_elementwise":
        void (*exp_below)(const void*, double, void*, Py_ssize_t) noexcept nogil
    const Loops** table_f "fastconv_elementwise_f"
    const Loops** table_d "fastconv_elementwise_d"

cdef const Loops* single = table_f[isa_row()]
cdef const Loops* double_ = table_d[isa_row()]

# Multiply-adds that one exponential is worth.
cdef double COST = 16
# Numbers that are added in one running sum: the rounding errors of many would add up, too.
cdef Py_ssize_t PIECE = 1024


cdef floating largest(const floating* x, Py_ssize_t count) noexcept nogil:
    """Return the maximum, or NaN if there is one."""
    cdef Py_ssize_t i
    cdef floating most = x[0]
    for i in range(1, count):
        if x[i] > most or x[i] != x[i]:
            most = x[i]
    return most


cdef double exponentials(const floating* x, floating shift, floating* y,
                         Py_ssize_t count) noexcept nogil:
    """Write exp(x - shift) into `y` and return the sum, added piece by piece."""
    cdef Py_ssize_t i, first
    cdef double total = 0, piece
    (single if floating is float else double_).exp_below(x, shift, y, count)
    for first from 0 <= first < count by PIECE:
        piece = 0
        for i in range(first, min(first + PIECE, count)):
            piece += y[i]
        total += piece
    return total


# Rows of scores; what follows `classes` is for the losses, or for their gradient.
cdef struct Rows:
    Flat scores, target
    Py_ssize_t classes
    Flat losses
    char* powers                # workspace: a row for each thread
    Flat gradient, scale
    Py_ssize_t step             # from the scale of one row to that of the next


cdef void add_row(const floating* x, floating* powers, const Rows* rows,
                  Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t target = (<const Py_ssize_t*>rows.target.data)[n]
    cdef floating shift = 0
    x += n * rows.classes
    shift = largest(x, rows.classes)
    (<floating*>rows.losses.data)[n] = <floating>(
        log(exponentials(x, shift, powers, rows.classes)) - (<double>x[target] - <double>shift))


cdef void add(void* context, Py_ssize_t n, int thread) noexcept nogil:
    cdef const Rows* rows = <const Rows*>context
    cdef char* powers = rows.powers + thread * rows.classes * rows.scores.itemsize
    if rows.scores.itemsize == sizeof(float):
        add_row(<const float*>rows.scores.data, <float*>powers, rows, n)
    else:
        add_row(<const double*>rows.scores.data, <double*>powers, rows, n)


cdef bint measure(Rows* rows) noexcept nogil:
    """Fill in the number of classes; tell whether those of the rows exist."""
    rows.classes = rows.scores.size // rows.target.size
    return all_below(<const Py_ssize_t*>rows.target.data, rows.target.size, rows.classes)


def cross_entropy(x, target, losses):
    """Write log(sum over c of exp x[n, c]) - x[n, target[n]] of each row into `losses`.

    Returns False, and writes nothing, if a class does not exist.
    """
    cdef Rows rows
    cdef int threads
    look_flat(x, False, &rows.scores)
    look_flat(target, False, &rows.target)
    look_flat(losses, True, &rows.losses)
    if not measure(&rows):
        return False
    threads = threads_for(COST * rows.scores.size)
    rows.powers = <char*>take(threads * rows.classes * rows.scores.itemsize)
    with nogil:
        parallel_for(threads, rows.target.size, add, &rows, EVEN)
        give(rows.powers)
    return True


cdef void scale_row(floating* y, floating factor, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        y[i] *= factor


cdef void differentiate_row(const floating* x, floating* dx, const Rows* rows,
                            Py_ssize_t n) noexcept nogil:
    cdef double total = 0
    x += n * rows.classes
    dx += n * rows.classes
    total = exponentials(x, largest(x, rows.classes), dx, rows.classes)
    scale_row(dx, <floating>(1 / total), rows.classes)
    dx[(<const Py_ssize_t*>rows.target.data)[n]] -= 1
    scale_row(dx, (<const floating*>rows.scale.data)[n * rows.step], rows.classes)


cdef void differentiate(void* context, Py_ssize_t n, int thread) noexcept nogil:
    cdef const Rows* rows = <const Rows*>context
    if rows.scores.itemsize == sizeof(float):
        differentiate_row(<const float*>rows.scores.data, <float*>rows.gradient.data, rows, n)
    else:
        differentiate_row(<const double*>rows.scores.data, <double*>rows.gradient.data, rows, n)


def cross_entropy_backward(x, target, scale, dx):
    """dx = scale * (softmax of the row, less 1 at its class); `scale` has one number, or n.

    Returns False, and writes nothing, if a class does not exist.
    """
    cdef Rows rows
    look_flat(x, False, &rows.scores)
    look_flat(target, False, &rows.target)
    look_flat(scale, False, &rows.scale)
    look_flat(dx, True, &rows.gradient)
    if not measure(&rows):
        return False
    rows.step = 1 if rows.scale.size > 1 else 0
    with nogil:
        parallel_for(threads_for(COST * rows.scores.size), rows.target.size, differentiate, &rows,
                     EVEN)
    return True
