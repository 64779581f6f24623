# What sums meet after the bias, for kernels whose stores do not see to it: rows that are stored.

from cython cimport floating

from fastconv.engine.base.arrays cimport Ending, Operands

cdef int read_ending(object residual, object activation, Operands* o, Ending* ending) except -1
cdef void end_rows(floating* c, Py_ssize_t rows, Py_ssize_t row, Py_ssize_t count,
                   Py_ssize_t step, const Ending* ending) noexcept nogil
cdef void end_maps(const Operands* o, int team) noexcept nogil
