# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional give arrays of one shape and type.
"""Activations and their gradients in one pass over memory, by the loops of elementwise.h.

All arrays are contiguous, of any shape.
"""

from cython.parallel cimport parallel, prange

from fastconv.engine.base.arrays cimport Flat, look_flat
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport flush_denormals, restore_denormals, threads_for

cdef extern from "ops/elementwise.h" nogil:
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


cdef int map_blocks(x, y, double cost, map_f single, map_d double_) except -1:
    """Give the blocks of two arrays to the threads; `cost` is the multiply-adds of an element."""
    cdef Flat source, target
    cdef Py_ssize_t i, at, size
    cdef unsigned long saved = 0
    look_flat(x, False, &source)
    look_flat(y, True, &target)
    with nogil, parallel(num_threads=threads_for(cost * target.size)):
        saved = flush_denormals()
        for i in prange((target.size + BLOCK - 1) // BLOCK, schedule="static"):
            at = i * BLOCK
            size = min(BLOCK, target.size - at)
            if target.itemsize == sizeof(float):
                single(<const float*>source.data + at, <float*>target.data + at, size)
            else:
                double_(<const double*>source.data + at, <double*>target.data + at, size)
        restore_denormals(saved)
    return 0


cdef int gradient_blocks(dy, y, dx, gradient_f single, gradient_d double_) except -1:
    """Give the blocks of three arrays to the threads."""
    cdef Flat residual, output, target
    cdef Py_ssize_t i, at, size
    cdef unsigned long saved = 0
    look_flat(dy, False, &residual)
    look_flat(y, False, &output)
    look_flat(dx, True, &target)
    with nogil, parallel(num_threads=threads_for(2.0 * target.size)):
        saved = flush_denormals()
        for i in prange((target.size + BLOCK - 1) // BLOCK, schedule="static"):
            at = i * BLOCK
            size = min(BLOCK, target.size - at)
            if target.itemsize == sizeof(float):
                single(<const float*>residual.data + at, <const float*>output.data + at,
                       <float*>target.data + at, size)
            else:
                double_(<const double*>residual.data + at, <const double*>output.data + at,
                        <double*>target.data + at, size)
        restore_denormals(saved)
    return 0


def relu(x, y):
    """y = 0 where x <= 0, else x; they may be one array, as in all of these functions."""
    map_blocks(x, y, 2, row.relu_f, row.relu_d)


def tanh(x, y):
    """y = tanh(x), within 3 units in the last place."""
    map_blocks(x, y, 16, row.tanh_f, row.tanh_d)


def sigmoid(x, y):
    """y = 1 / (1 + exp(-x)), within 3 units in the last place; 0 below EXP_LIMIT."""
    map_blocks(x, y, 16, row.sigmoid_f, row.sigmoid_d)


def relu_backward(dy, y, dx):
    """dx = 0 where y <= 0, else dy."""
    gradient_blocks(dy, y, dx, row.relu_backward_f, row.relu_backward_d)


def tanh_backward(dy, y, dx):
    """dx = dy * (1 - y**2)."""
    gradient_blocks(dy, y, dx, row.tanh_backward_f, row.tanh_backward_d)


def sigmoid_backward(dy, y, dx):
    """dx = dy * y * (1 - y)."""
    gradient_blocks(dy, y, dx, row.sigmoid_backward_f, row.sigmoid_backward_d)
