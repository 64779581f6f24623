# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared the shapes.
"""Cross-entropy of rows of scores, and its gradient: each row once, while it lies in the cache."""

from cython cimport floating
from cython.parallel cimport parallel, prange, threadid

from libc.math cimport log

from fastconv._isa cimport isa_row
from fastconv._threads cimport flush_denormals, restore_denormals, threads_for
from fastconv._workspace cimport give, take

cdef extern from "csrc/elementwise.h" nogil:
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
    """Write exp(x - shift) into `y` and return the sum."""
    cdef Py_ssize_t i
    cdef double total = 0
    if floating is float:
        row.exp_below_f(x, shift, y, count)
    else:
        row.exp_below_d(x, shift, y, count)
    for i in range(count):
        total += y[i]
    return total


cdef bint exist(const Py_ssize_t[::1] target, Py_ssize_t classes) noexcept nogil:
    """Tell whether all classes are from 0 to `classes` - 1."""
    cdef Py_ssize_t i
    cdef size_t most = 0
    # Seen as unsigned, a negative number is a huge one.
    for i in range(target.shape[0]):
        most = max(most, <size_t>target[i])
    return most < <size_t>classes


def cross_entropy(const floating[:, ::1] x, const Py_ssize_t[::1] target, floating[::1] losses):
    """Write log(sum over c of exp x[n, c]) - x[n, target[n]] of each row into `losses`.

    Returns False, and writes nothing, if a class does not exist.
    """
    cdef Py_ssize_t n, classes = x.shape[1]
    cdef int threads = threads_for(COST * x.shape[0] * classes)
    cdef floating shift = 0
    cdef floating* powers
    cdef unsigned long saved = 0
    if not exist(target, classes):
        return False
    powers = <floating*>take(threads * classes * sizeof(floating))
    with nogil, parallel(num_threads=threads):
        saved = flush_denormals()
        for n in prange(x.shape[0], schedule="static"):
            shift = largest(&x[n, 0], classes)
            losses[n] = <floating>(
                log(exponentials(&x[n, 0], shift, powers + threadid() * classes, classes))
                - (<double>x[n, target[n]] - <double>shift))
        restore_denormals(saved)
    give(powers)
    return True


cdef void scale_row(floating* y, floating factor, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        y[i] *= factor


def cross_entropy_backward(const floating[:, ::1] x, const Py_ssize_t[::1] target,
                           const floating[::1] scale, floating[:, ::1] dx):
    """dx = scale * (softmax of the row, less 1 at its class); `scale` has one number, or n.

    Returns False, and writes nothing, if a class does not exist.
    """
    cdef Py_ssize_t n, classes = x.shape[1], step = 1 if scale.shape[0] > 1 else 0
    cdef floating factor = 0
    cdef double total = 0
    cdef unsigned long saved = 0
    if not exist(target, classes):
        return False
    with nogil, parallel(num_threads=threads_for(COST * x.shape[0] * classes)):
        saved = flush_denormals()
        for n in prange(x.shape[0], schedule="static"):
            factor = scale[n * step]
            total = exponentials(&x[n, 0], largest(&x[n, 0], classes), &dx[n, 0], classes)
            scale_row(&dx[n, 0], <floating>(1 / total), classes)
            dx[n, target[n]] -= 1
            scale_row(&dx[n, 0], factor, classes)
        restore_denormals(saved)
    return True
