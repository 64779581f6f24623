"""What the kernels of the convolutions share: a plan that is kept, and the arrays as they are."""

from libc.string cimport memcmp

from fastconv.engine.base.arrays cimport (
    Flat, look_at, look_at_swapped, look_at_turned, look_flat)


cdef class Kernel:
    """Operations of one geometry on arrays as they are: maps (N, G C, *spatial), weights
    (G K, C, *spatial).

    A call returns the bytes of workspace, or 0 where other loops should compute this; a dry call
    does nothing else. The plan is kept, for the next arrays that lie in memory as the last.

    A subclass says how many threads the work is worth, makes the plan and returns its bytes, and
    computes by it: from a copy, since another thread may make another plan in the meantime.
    """

    def __init__(self, int axes, Py_ssize_t groups):
        self.axes, self.groups = axes, groups

    cdef int worth_threads(self, const Layout* layout) noexcept:
        return 1

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        raise NotImplementedError

    cdef int compute(self, const Operands* o) except -1:
        raise NotImplementedError

    cdef size_t run(self, const Operands* o, bint dry) except? 0:
        cdef int threads = self.worth_threads(&o.layout)
        cdef size_t size
        if threads != self.threads or memcmp(&o.layout, &self.layout, sizeof(Layout)):
            self.threads = 0
            self.bytes = self.plan(&o.layout, threads)
            self.layout, self.threads = o.layout, threads
        size = self.bytes
        if size and not dry:
            self.compute(o)
        return size

    def forward(self, x, w, bias, y, prepared=None, bint dry=False):
        """Write into `y` the correlation of `x` with `w`, plus `bias` (G K) unless it is None.

        `prepared` is what was made of the weights before, or None.
        """
        cdef Operands o
        cdef Flat flat
        look_at(x, w, bias, y, self.axes, self.groups, False, &o)
        if prepared is not None:
            look_flat(prepared, False, &flat)
            o.prepared, o.layout.prepared = <char*>flat.data, True
        return self.run(&o, dry)

    def turned_gradient(self, residual, w, grad_input, bint dry=False):
        """Write the correlation of a residual with the turned kernels, the input's gradient."""
        cdef Operands o
        look_at_turned(residual, w, grad_input, self.axes, self.groups, &o)
        return self.run(&o, dry)

    def swapped_gradient(self, residual, w, grad_input, bint dry=False):
        """Write the same, where the axes of the plan say in which order the taps are read."""
        cdef Operands o
        look_at_swapped(residual, w, grad_input, self.axes, self.groups, &o)
        return self.run(&o, dry)

    def weight_gradient(self, x, dy, dw, bint dry=False):
        """Write into `dw` the correlation of the input with the residual `dy`."""
        cdef Operands o
        look_at(x, dw, None, dy, self.axes, self.groups, True, &o)
        return self.run(&o, dry)
