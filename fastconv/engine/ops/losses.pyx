# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared the shapes.
"""Cross-entropy of rows of scores, and its gradient: each row once, while it lies in the cache.

All arrays are contiguous; those of floats are of one type.
"""

from cython cimport floating

from libc.math cimport log

from fastconv.engine.base.arrays cimport Flat, all_below, look_flat
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport parallel_for, threads_for
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.ops.elementwise cimport loops_of

cdef int isa = isa_row()

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
    loops_of(isa, sizeof(floating)).exp_below(&shift, x, y, count)
    for first from 0 <= first < count by PIECE:
        piece = 0
        for i in range(first, min(first + PIECE, count)):
            piece += y[i]
        total += piece
    return total


# Rows of scores, and what is wanted of each: its loss, or the gradient.
cdef struct Rows:
    Flat scores, target
    Py_ssize_t classes
    Flat losses
    char* powers                # of the losses, workspace: a row for each thread
    Flat gradient, scale
    Py_ssize_t step             # from the scale of one row to that of the next


cdef bint look_at(x, target, Rows* rows) except -1:
    """Fill in the scores and classes; tell whether all these classes exist."""
    look_flat(x, False, &rows.scores)
    look_flat(target, False, &rows.target)
    rows.classes = rows.scores.size // rows.target.size
    return all_below(<const Py_ssize_t*>rows.target.data, rows.target.size, rows.classes)


cdef void scale_row(floating* y, floating factor, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        y[i] *= factor


cdef void visit_row(const floating* x, floating* powers, const Rows* rows,
                    Py_ssize_t n) noexcept nogil:
    """Write the loss of a row; without room for the losses, make its `powers` the gradient."""
    cdef Py_ssize_t target = (<const Py_ssize_t*>rows.target.data)[n]
    cdef floating shift = largest(x, rows.classes)
    cdef double total = exponentials(x, shift, powers, rows.classes)
    if rows.losses.data is not NULL:
        (<floating*>rows.losses.data)[n] = <floating>(
            log(total) - (<double>x[target] - <double>shift))
    else:
        scale_row(powers, <floating>(1 / total), rows.classes)
        powers[target] -= 1
        scale_row(powers, (<const floating*>rows.scale.data)[n * rows.step], rows.classes)


cdef void visit(void* context, Py_ssize_t n, int thread) noexcept nogil:
    cdef const Rows* rows = <const Rows*>context
    cdef Py_ssize_t row = rows.classes * rows.scores.itemsize
    cdef char* x = <char*>rows.scores.data + n * row
    cdef char* powers = <char*>rows.gradient.data + n * row
    if rows.losses.data is not NULL:
        powers = rows.powers + thread * row
    if rows.scores.itemsize == sizeof(float):
        visit_row(<const float*>x, <float*>powers, rows, n)
    else:
        visit_row(<const double*>x, <double*>powers, rows, n)


def cross_entropy(x, target, losses):
    """Write log(sum over c of exp x[n, c]) - x[n, target[n]] of each row into `losses`.

    Returns False, and writes nothing, if a class does not exist.
    """
    cdef Rows rows
    cdef int threads
    look_flat(losses, True, &rows.losses)
    if not look_at(x, target, &rows):
        return False
    threads = threads_for(COST * rows.scores.size)
    rows.gradient.data = NULL
    rows.powers = <char*>take(threads * rows.classes * rows.scores.itemsize)
    with nogil:
        parallel_for(threads, rows.target.size, visit, &rows)
        give(rows.powers)
    return True


def cross_entropy_backward(x, target, scale, dx):
    """dx = scale * (softmax of the row, less 1 at its class); `scale` has one number, or n.

    Returns False, and writes nothing, if a class does not exist.
    """
    cdef Rows rows
    look_flat(scale, False, &rows.scale)
    look_flat(dx, True, &rows.gradient)
    if not look_at(x, target, &rows):
        return False
    rows.step = 1 if rows.scale.size > 1 else 0
    rows.losses.data = NULL
    with nogil:
        parallel_for(threads_for(COST * rows.scores.size), rows.target.size, visit, &rows)
    return True
