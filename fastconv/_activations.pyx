# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional give three arrays of one length.
"""Gradients of activations in one pass over memory; NumPy's loops would make three."""

from cython cimport floating
from cython.parallel cimport parallel, prange

from fastconv._threads cimport flush_denormals, restore_denormals, threads_for

# Elements of one task: three blocks of floats fill a first-level cache.
cdef Py_ssize_t BLOCK = 4096


cdef void relu_block(const floating* dy, const floating* y, floating* dx,
                     Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    cdef floating residual
    for i in range(count):
        residual = dy[i]
        # Not y > 0: the residual passes where the output is a NaN.
        dx[i] = 0 if y[i] <= 0 else residual


cdef void tanh_block(const floating* dy, const floating* y, floating* dx,
                     Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        dx[i] = dy[i] * (1 - y[i] * y[i])


cdef void sigmoid_block(const floating* dy, const floating* y, floating* dx,
                        Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        dx[i] = dy[i] * ((1 - y[i]) * y[i])


ctypedef void (*block_f)(const float*, const float*, float*, Py_ssize_t) noexcept nogil
ctypedef void (*block_d)(const double*, const double*, double*, Py_ssize_t) noexcept nogil


cdef void run(const floating[::1] dy, const floating[::1] y, floating[::1] dx,
              block_f single, block_d double_) noexcept nogil:
    """Give the blocks of three arrays to the threads."""
    cdef Py_ssize_t i, at, size, count = dx.shape[0]
    cdef unsigned long saved = 0
    with parallel(num_threads=threads_for(<double>count)):
        saved = flush_denormals()
        for i in prange((count + BLOCK - 1) // BLOCK, schedule="static"):
            at = i * BLOCK
            size = min(BLOCK, count - at)
            if floating is float:
                single(&dy[at], &y[at], &dx[at], size)
            else:
                double_(&dy[at], &y[at], &dx[at], size)
        restore_denormals(saved)


def relu_backward(const floating[::1] dy, const floating[::1] y, floating[::1] dx):
    """dx = 0 where y <= 0, else dy."""
    with nogil:
        run(dy, y, dx, relu_block[float], relu_block[double])


def tanh_backward(const floating[::1] dy, const floating[::1] y, floating[::1] dx):
    """dx = dy * (1 - y**2)."""
    with nogil:
        run(dy, y, dx, tanh_block[float], tanh_block[double])


def sigmoid_backward(const floating[::1] dy, const floating[::1] y, floating[::1] dx):
    """dx = dy * y * (1 - y)."""
    with nogil:
        run(dy, y, dx, sigmoid_block[float], sigmoid_block[double])
