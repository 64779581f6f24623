# One operation of one geometry on compiled loops.

from fastconv.engine.base.arrays cimport Layout, Operands

cdef class Kernel:
    cdef int axes, threads              # axes of the arrays; threads that the kept plan is for
    cdef Py_ssize_t groups
    cdef Layout layout                  # that the kept plan is for
    cdef size_t bytes                   # of workspace
    cdef int worth_threads(self, const Layout* layout) noexcept
    cdef size_t plan(self, const Layout* layout, int threads) except? 0
    cdef int compute(self, const Operands* o) except -1
    cdef size_t run(self, const Operands* o, bint dry) except? 0
