# A variant of a convolution, and what runs the one that the table of variants chooses.

from fastconv.engine.base.arrays cimport Layout, Operands
from fastconv.engine.base.jobs cimport Context, Jobs
from fastconv.engine.base.threads cimport Phase

# The operations: their places among OPERATIONS.
cdef enum:
    FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT


cdef class Kernel:
    cdef str variant                    # what the table calls it
    # What `plan` fills in: threads that can share the work; rows and columns of the largest tile.
    cdef int team
    cdef Py_ssize_t[2] largest
    cdef bint takes_arrays              # it is written in Python
    cdef bint brief                     # the GIL is kept: handing it over takes longer
    cdef bint ends                      # it sees to the residual and the activation itself
    cdef double work(self, const Layout* layout) noexcept
    cdef int worth_threads(self, const Layout* layout) noexcept
    cdef size_t plan(self, const Layout* layout, int threads) except? 0
    cdef int compute(self, const Operands* o, size_t bytes) except -1
    cdef object pack(self, const Operands* o, size_t bytes)
    cdef void share(self, Context* context, Jobs* jobs) noexcept nogil
    cdef void run_phases(self, const Phase* phases, Py_ssize_t count) noexcept


cdef class ArrayKernel(Kernel):
    pass


cdef class Choice:
    cdef readonly object row
    cdef readonly tuple copied
    cdef readonly size_t workspace
    cdef Kernel kernel


cdef class Dispatch:
    cdef int axes                       # of the arrays
    cdef Py_ssize_t groups
    cdef object choose
    # The last choice, and what it was made for; and a few more, by these.
    cdef Layout layout
    cdef int threads
    cdef Choice choice
    cdef dict choices
    cdef int see(self, int operation, object x, object w, object bias, object y,
                 Operands* o) except -1
    cdef object run(self, int operation, object x, object w, object bias, object y,
                    object prepared, object residual, object activation)
    cdef Choice find_prepared(self, str variant, Operands* o)
    cdef Choice find(self, const Layout* layout)
    cdef Choice settle(self, const Layout* layout, int threads)


cdef int record(str variant, Py_ssize_t rows, Py_ssize_t columns) except -1
