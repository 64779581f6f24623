"""The loops of pooling for the instruction set that runs; pooling and its gradients share them."""

from fastconv.engine.base.isa cimport isa_row

cdef extern from "ops/pooling.h" nogil:
    const Loops* table_of "fastconv_pooling_of"(int isa, Py_ssize_t itemsize)


cdef const Loops* loops_of(Py_ssize_t itemsize) noexcept nogil:
    return table_of(isa_row(), itemsize)
