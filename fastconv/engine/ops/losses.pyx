# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared the shapes.
"""Cross-entropy of rows of scores, and its gradient: each row once, while it lies in the cache.

All arrays are contiguous; those of floats are of one type.
"""

from cython cimport floating
from cython.parallel cimport parallel, prange, threadid

from libc.math cimport log

from fastconv.engine.base.arrays cimport Flat, look_flat
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport flush_denormals, restore_denormals, threads_for
from fastconv.engine.base.workspace cimport give, take

cdef extern from "ops/elementwise.h" nogil:
    ctypedef void (*exp_f "fastconv_exp_f")(const float*, float, float*,
                                            Py_ssize_t) noexcept nogil
    ctypedef void (*exp_d "fastconv_exp_d")(const double*, double, double*,
                                            Py_ssize_t) noexcept nogil
    ctypedef struct Row "fastconv_elementwise_row":
        exp_f exp_below_f
        exp_d exp_below_d
    const Row[] rows "fastconv_elementwise"

cdef const Row* row = &rows[isa_row()]

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
    if floating is float:
        row.exp_below_f(x, shift, y, count)
    else:
        row.exp_below_d(x, shift, y, count)
    for first from 0 <= first < count by PIECE:
        piece = 0
        for i in range(first, min(first + PIECE, count)):
            piece += y[i]
        total += piece
    return total


cdef bint exist(const Py_ssize_t* target, Py_ssize_t count, Py_ssize_t classes) noexcept nogil:
    """Tell whether all classes are from 0 to `classes` - 1."""
    cdef Py_ssize_t i
    cdef size_t most = 0
    # Seen as unsigned, a negative number is a huge one.
    for i in range(count):
        most = max(most, <size_t>target[i])
    return most < <size_t>classes


cdef int add_rows(const floating* x, const Py_ssize_t* target, Py_ssize_t count,
                  Py_ssize_t classes, floating* losses) except -1:
    cdef Py_ssize_t n
    cdef int threads = threads_for(COST * count * classes)
    cdef floating shift = 0
    cdef floating* powers = <floating*>take(threads * classes * sizeof(floating))
    cdef unsigned long saved = 0
    with nogil, parallel(num_threads=threads):
        saved = flush_denormals()
        for n in prange(count, schedule="static"):
            shift = largest(x + n * classes, classes)
            losses[n] = <floating>(
                log(exponentials(x + n * classes, shift, powers + threadid() * classes, classes))
                - (<double>x[n * classes + target[n]] - <double>shift))
        restore_denormals(saved)
    give(powers)
    return 0


def cross_entropy(x, target, losses):
    """Write log(sum over c of exp x[n, c]) - x[n, target[n]] of each row into `losses`.

    Returns False, and writes nothing, if a class does not exist.
    """
    cdef Flat scores, classes, results
    cdef Py_ssize_t width
    look_flat(x, False, &scores)
    look_flat(target, False, &classes)
    look_flat(losses, True, &results)
    width = scores.size // results.size
    if not exist(<const Py_ssize_t*>classes.data, results.size, width):
        return False
    if results.itemsize == sizeof(float):
        add_rows(<const float*>scores.data, <const Py_ssize_t*>classes.data, results.size, width,
                 <float*>results.data)
    else:
        add_rows(<const double*>scores.data, <const Py_ssize_t*>classes.data, results.size, width,
                 <double*>results.data)
    return True


cdef void scale_row(floating* y, floating factor, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        y[i] *= factor


cdef int differentiate_rows(const floating* x, const Py_ssize_t* target, const floating* scale,
                            Py_ssize_t step, Py_ssize_t count, Py_ssize_t classes,
                            floating* dx) except -1:
    cdef Py_ssize_t n
    cdef floating* row_dx = NULL
    cdef double total = 0
    cdef unsigned long saved = 0
    with nogil, parallel(num_threads=threads_for(COST * count * classes)):
        saved = flush_denormals()
        for n in prange(count, schedule="static"):
            row_dx = dx + n * classes
            total = exponentials(x + n * classes, largest(x + n * classes, classes), row_dx,
                                 classes)
            scale_row(row_dx, <floating>(1 / total), classes)
            row_dx[target[n]] -= 1
            scale_row(row_dx, scale[n * step], classes)
        restore_denormals(saved)
    return 0


def cross_entropy_backward(x, target, scale, dx):
    """dx = scale * (softmax of the row, less 1 at its class); `scale` has one number, or n.

    Returns False, and writes nothing, if a class does not exist.
    """
    cdef Flat scores, classes, factors, results
    cdef Py_ssize_t width, step
    look_flat(x, False, &scores)
    look_flat(target, False, &classes)
    look_flat(scale, False, &factors)
    look_flat(dx, True, &results)
    width, step = scores.size // classes.size, 1 if factors.size > 1 else 0
    if not exist(<const Py_ssize_t*>classes.data, classes.size, width):
        return False
    if results.itemsize == sizeof(float):
        differentiate_rows(<const float*>scores.data, <const Py_ssize_t*>classes.data,
                           <const float*>factors.data, step, classes.size, width,
                           <float*>results.data)
    else:
        differentiate_rows(<const double*>scores.data, <const Py_ssize_t*>classes.data,
                           <const double*>factors.data, step, classes.size, width,
                           <double*>results.data)
    return True
