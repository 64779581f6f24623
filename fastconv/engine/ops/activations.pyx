# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional give arrays of one shape and type.
"""Activations and their gradients in one pass over memory, by the loops of elementwise.h.

All arrays are contiguous, of any shape.
"""

from fastconv.engine.base.arrays cimport Flat, look_flat
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport parallel_for, threads_for
from fastconv.engine.ops.elementwise cimport Loops, Map, loops_of

cdef const Loops* single = loops_of(isa_row(), sizeof(float))
cdef const Loops* double_ = loops_of(isa_row(), sizeof(double))

# Elements of one task: three blocks of floats fill a first-level cache.
cdef Py_ssize_t BLOCK = 4096


# A function of `x`, or with the residual `dy` its gradient, into `y`.
cdef struct Mapped:
    Map run
    Flat dy, x, y


cdef void map_block(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Mapped* m = <const Mapped*>context
    cdef Py_ssize_t first = i * BLOCK * m.y.itemsize
    m.run(<char*>m.dy.data + first, <char*>m.x.data + first, <char*>m.y.data + first,
          min(BLOCK, m.y.size - i * BLOCK))


cdef int map_blocks(dy, x, y, double cost, Map of_floats, Map of_doubles) except -1:
    """Give the blocks of the arrays to the threads; `cost` is the multiply-adds of an element."""
    cdef Mapped m
    look_flat(x if dy is None else dy, False, &m.dy)
    look_flat(x, False, &m.x)
    look_flat(y, True, &m.y)
    m.run = of_floats if m.y.itemsize == sizeof(float) else of_doubles
    with nogil:
        parallel_for(threads_for(cost * m.y.size), (m.y.size + BLOCK - 1) // BLOCK, map_block, &m)
    return 0


def relu(x, y):
    """y = 0 where x <= 0, else x; they may be one array, as in all of these functions."""
    map_blocks(None, x, y, 2, single.relu, double_.relu)


def tanh(x, y):
    """y = tanh(x), within 3 units in the last place."""
    map_blocks(None, x, y, 16, single.tanh, double_.tanh)


def sigmoid(x, y):
    """y = 1 / (1 + exp(-x)), within 3 units in the last place; 0 below EXP_LIMIT."""
    map_blocks(None, x, y, 16, single.sigmoid, double_.sigmoid)


def relu_backward(dy, y, dx):
    """dx = 0 where y <= 0, else dy."""
    map_blocks(dy, y, dx, 2, single.relu_backward, double_.relu_backward)


def tanh_backward(dy, y, dx):
    """dx = dy * (1 - y**2)."""
    map_blocks(dy, y, dx, 2, single.tanh_backward, double_.tanh_backward)


def sigmoid_backward(dy, y, dx):
    """dx = dy * y * (1 - y)."""
    map_blocks(dy, y, dx, 2, single.sigmoid_backward, double_.sigmoid_backward)
