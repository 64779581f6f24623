# What the variants of the engine's correlation share.

from fastconv.engine.base.arrays cimport Layout, Operands
from fastconv.engine.base.jobs cimport Context, Job, run_job
from fastconv.engine.base.kernel cimport Kernel

cdef struct Estimate:
    double cycles                       # of all threads together
    double filled                       # share of the lanes that compute something
    double memory                       # what one line takes, beside what a block may


cdef class Correlation(Kernel):
    cdef tuple stride, before, dilation
    cdef str name                       # in the table of variants
    cdef int weigh(self, const Layout* layout, int threads, Estimate* estimate) except -1
    cdef int run(self, const Operands* o, size_t bytes, bint packs, bint multiplies) except -1
    cdef Py_ssize_t packed_numbers(self) noexcept


cdef int read_layout(tuple shapes, tuple strides, Py_ssize_t itemsize, bint prepared,
                     Layout* layout) except -1
cdef void copy_bias(const Operands* o, Py_ssize_t group, char* numbers) noexcept nogil
