"""A kernel of the room, planned once, and what binds it to a call."""

from fastconv.engine.base.arrays cimport Axes
from fastconv.engine.base.threads cimport threads_for


cdef class Kernel:
    """One variant of an operation of one geometry; the plan serves one layout of the arrays."""

    cdef int worth_threads(self, const Layout* layout) noexcept:
        return 1

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        raise NotImplementedError

    cdef int compute(self, const Operands* o, size_t bytes) except -1:
        raise NotImplementedError


cdef object strides_of(const Axes* axes):
    cdef int axis
    return tuple([axes.strides[axis] for axis in range(6)])


cdef object shape_of(const Axes* axes):
    cdef int axis
    return tuple([axes.shape[axis] for axis in range(6)])


cdef class Bound(Caller):
    """Calls the kernel that `choose` returns for a layout: shapes, strides, size, threads."""

    def __init__(self, int axes, Py_ssize_t groups, choose):
        Caller.__init__(self, axes, groups)
        self.choose = choose

    cdef int worth_threads(self, const Layout* layout) noexcept:
        return threads_for(1e300)

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Kernel kernel = self.choose(
            (shape_of(&layout.x), shape_of(&layout.w), shape_of(&layout.y)),
            (strides_of(&layout.x), strides_of(&layout.w), strides_of(&layout.y)),
            layout.itemsize, threads)
        self.kernel = kernel
        return kernel.plan(layout, kernel.worth_threads(layout))

    cdef int compute(self, const Operands* o) except -1:
        cdef Kernel kernel = self.kernel
        return kernel.compute(o, self.bytes)
