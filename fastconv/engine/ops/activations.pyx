# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional give arrays of one shape and type.
"""Activations and their gradients in one pass over memory, by the loops of elementwise.h.

All arrays are contiguous, of any shape.
"""

from fastconv.engine.base.arrays cimport Flat, look_flat
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport EVEN, parallel_for, threads_for

cdef extern from "ops/elementwise.h" nogil:
    ctypedef void (*Map "fastconv_map")(const void*, void*, Py_ssize_t) noexcept nogil
    ctypedef void (*Gradient "fastconv_gradient")(
        const void*, const void*, void*, Py_ssize_t) noexcept nogil
    ctypedef struct Loops "fastconv_elementwise":
        Map relu, tanh, sigmoid
        Gradient relu_backward, tanh_backward, sigmoid_backward
    const Loops** table_f "fastconv_elementwise_f"
    const Loops** table_d "fastconv_elementwise_d"

cdef const Loops* single = table_f[isa_row()]
cdef const Loops* double_ = table_d[isa_row()]

# Elements of one task: three blocks of floats fill a first-level cache.
cdef Py_ssize_t BLOCK = 4096


cdef struct Mapped:
    Map run
    Flat x, y


cdef struct Differentiated:
    Gradient run
    Flat dy, y, dx


cdef inline char* block_of(const Flat* numbers, Py_ssize_t i) noexcept nogil:
    return <char*>numbers.data + i * BLOCK * numbers.itemsize


cdef void map_block(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Mapped* m = <const Mapped*>context
    m.run(block_of(&m.x, i), block_of(&m.y, i), min(BLOCK, m.y.size - i * BLOCK))


cdef void differentiate_block(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Differentiated* d = <const Differentiated*>context
    d.run(block_of(&d.dy, i), block_of(&d.y, i), block_of(&d.dx, i),
          min(BLOCK, d.dx.size - i * BLOCK))


cdef int map_blocks(x, y, double cost, Map of_floats, Map of_doubles) except -1:
    """Give the blocks of two arrays to the threads; `cost` is the multiply-adds of an element."""
    cdef Mapped m
    look_flat(x, False, &m.x)
    look_flat(y, True, &m.y)
    m.run = of_floats if m.y.itemsize == sizeof(float) else of_doubles
    with nogil:
        parallel_for(threads_for(cost * m.y.size), (m.y.size + BLOCK - 1) // BLOCK, map_block, &m,
                     EVEN)
    return 0


cdef int gradient_blocks(dy, y, dx, Gradient of_floats, Gradient of_doubles) except -1:
    """Give the blocks of three arrays to the threads."""
    cdef Differentiated d
    look_flat(dy, False, &d.dy)
    look_flat(y, False, &d.y)
    look_flat(dx, True, &d.dx)
    d.run = of_floats if d.dx.itemsize == sizeof(float) else of_doubles
    with nogil:
        parallel_for(threads_for(2.0 * d.dx.size), (d.dx.size + BLOCK - 1) // BLOCK,
                     differentiate_block, &d, EVEN)
    return 0


def relu(x, y):
    """y = 0 where x <= 0, else x; they may be one array, as in all of these functions."""
    map_blocks(x, y, 2, single.relu, double_.relu)


def tanh(x, y):
    """y = tanh(x), within 3 units in the last place."""
    map_blocks(x, y, 16, single.tanh, double_.tanh)


def sigmoid(x, y):
    """y = 1 / (1 + exp(-x)), within 3 units in the last place; 0 below EXP_LIMIT."""
    map_blocks(x, y, 16, single.sigmoid, double_.sigmoid)


def relu_backward(dy, y, dx):
    """dx = 0 where y <= 0, else dy."""
    gradient_blocks(dy, y, dx, single.relu_backward, double_.relu_backward)


def tanh_backward(dy, y, dx):
    """dx = dy * (1 - y**2)."""
    gradient_blocks(dy, y, dx, single.tanh_backward, double_.tanh_backward)


def sigmoid_backward(dy, y, dx):
    """dx = dy * y * (1 - y)."""
    gradient_blocks(dy, y, dx, single.sigmoid_backward, double_.sigmoid_backward)
