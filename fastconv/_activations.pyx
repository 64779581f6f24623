# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional give arrays of one length.
"""Activations and their gradients in one pass over memory, by the loops of csrc/elementwise.h."""

from cython cimport floating
from cython.parallel cimport parallel, prange

from fastconv._isa cimport isa_row
from fastconv._threads cimport flush_denormals, restore_denormals, threads_for

cdef extern from "csrc/elementwise.h" nogil:
    ctypedef void (*map_f "fastconv_map_f")(const float*, float*, Py_ssize_t) noexcept nogil
    ctypedef void (*map_d "fastconv_map_d")(const double*, double*, Py_ssize_t) noexcept nogil
    ctypedef void (*gradient_f "fastconv_gradient_f")(
        const float*, const float*, float*, Py_ssize_t) noexcept nogil
    ctypedef void (*gradient_d "fastconv_gradient_d")(
        const double*, const double*, double*, Py_ssize_t) noexcept nogil
    ctypedef struct Row "fastconv_elementwise_row":
        map_f relu_f, tanh_f, sigmoid_f
        gradient_f relu_backward_f, tanh_backward_f, sigmoid_backward_f
        map_d relu_d, tanh_d, sigmoid_d
        gradient_d relu_backward_d, tanh_backward_d, sigmoid_backward_d
    const Row[] rows "fastconv_elementwise"

cdef const Row* row = &rows[isa_row()]

# Elements of one task: three blocks of floats fill a first-level cache.
cdef Py_ssize_t BLOCK = 4096


cdef void map_blocks(const floating[::1] x, floating[::1] y, double cost, map_f single,
                     map_d double_) noexcept nogil:
    """Give the blocks of two arrays to the threads; `cost` is the multiply-adds of an element."""
    cdef Py_ssize_t i, at, size, count = y.shape[0]
    cdef unsigned long saved = 0
    with parallel(num_threads=threads_for(cost * count)):
        saved = flush_denormals()
        for i in prange((count + BLOCK - 1) // BLOCK, schedule="static"):
            at = i * BLOCK
            size = min(BLOCK, count - at)
            if floating is float:
                single(&x[at], &y[at], size)
            else:
                double_(&x[at], &y[at], size)
        restore_denormals(saved)


cdef void gradient_blocks(const floating[::1] dy, const floating[::1] y, floating[::1] dx,
                          gradient_f single, gradient_d double_) noexcept nogil:
    """Give the blocks of three arrays to the threads."""
    cdef Py_ssize_t i, at, size, count = dx.shape[0]
    cdef unsigned long saved = 0
    with parallel(num_threads=threads_for(2.0 * count)):
        saved = flush_denormals()
        for i in prange((count + BLOCK - 1) // BLOCK, schedule="static"):
            at = i * BLOCK
            size = min(BLOCK, count - at)
            if floating is float:
                single(&dy[at], &y[at], &dx[at], size)
            else:
                double_(&dy[at], &y[at], &dx[at], size)
        restore_denormals(saved)


def relu(const floating[::1] x, floating[::1] y):
    """y = 0 where x <= 0, else x; they may be one array, as in all of these functions."""
    with nogil:
        map_blocks(x, y, 2, row.relu_f, row.relu_d)


def tanh(const floating[::1] x, floating[::1] y):
    """y = tanh(x), within 3 units in the last place."""
    with nogil:
        map_blocks(x, y, 16, row.tanh_f, row.tanh_d)


def sigmoid(const floating[::1] x, floating[::1] y):
    """y = 1 / (1 + exp(-x)), within 3 units in the last place; 0 below EXP_LIMIT."""
    with nogil:
        map_blocks(x, y, 16, row.sigmoid_f, row.sigmoid_d)


def relu_backward(const floating[::1] dy, const floating[::1] y, floating[::1] dx):
    """dx = 0 where y <= 0, else dy."""
    with nogil:
        gradient_blocks(dy, y, dx, row.relu_backward_f, row.relu_backward_d)


def tanh_backward(const floating[::1] dy, const floating[::1] y, floating[::1] dx):
    """dx = dy * (1 - y**2)."""
    with nogil:
        gradient_blocks(dy, y, dx, row.tanh_backward_f, row.tanh_backward_d)


def sigmoid_backward(const floating[::1] dy, const floating[::1] y, floating[::1] dx):
    """dx = dy * y * (1 - y)."""
    with nogil:
        gradient_blocks(dy, y, dx, row.sigmoid_backward_f, row.sigmoid_backward_d)
