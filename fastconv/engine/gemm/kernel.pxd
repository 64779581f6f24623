# A kernel of the room, planned once, and what binds it to a call.

from fastconv.engine.base.arrays cimport Layout, Operands
from fastconv.engine.base.kernel cimport Kernel as Caller

cdef class Kernel:
    # What `plan` fills in: threads that can share the work; rows and columns of the largest tile.
    cdef int team
    cdef Py_ssize_t[2] largest
    cdef int worth_threads(self, const Layout* layout) noexcept
    cdef size_t plan(self, const Layout* layout, int threads) except? 0
    cdef int compute(self, const Operands* o, size_t bytes) except -1


cdef class Bound(Caller):
    cdef object choose
    cdef Kernel kernel
