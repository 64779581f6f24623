# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional give arrays of one shape and type.
"""The sum of two arrays, where branches of a network meet, by the loops of joining.h.

All arrays are contiguous, of any shape.
"""

from fastconv.engine.base.arrays cimport Flat, look_flat
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport parallel_for, threads_for

cdef extern from "ops/joining.h" nogil:
    ctypedef struct Loops "fastconv_joining":
        void (*add)(const void* a, const void* b, void* y, Py_ssize_t) noexcept nogil
    const Loops* loops_of "fastconv_joining_of"(int isa, Py_ssize_t itemsize)

# Elements of one task: three blocks of floats fill a first-level cache.
cdef Py_ssize_t BLOCK = 4096
# What an element costs in multiply-adds: it comes from memory, and the sum is free.
cdef Py_ssize_t COST = 2


cdef struct Sum:
    const Loops* loops
    Flat a, b, y


cdef void add_block(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Sum* s = <const Sum*>context
    cdef Py_ssize_t first = i * BLOCK * s.y.itemsize
    s.loops.add(<char*>s.a.data + first, <char*>s.b.data + first, <char*>s.y.data + first,
                min(BLOCK, s.y.size - i * BLOCK))


def add(a, b, y):
    """y = a + b; y may be either of them."""
    cdef Sum s
    look_flat(a, False, &s.a)
    look_flat(b, False, &s.b)
    look_flat(y, True, &s.y)
    s.loops = loops_of(isa_row(), s.y.itemsize)
    with nogil:
        parallel_for(threads_for(COST * s.y.size), (s.y.size + BLOCK - 1) // BLOCK, add_block, &s)
