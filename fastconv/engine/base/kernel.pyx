"""What all kernels of the convolutions share, and what finds the one for the arrays of a call.

A `Kernel` is one variant of an operation for one geometry and one layout of its arrays. A
`Dispatch` is an operation of one geometry: it looks at the arrays, and has a table choose a kernel
for their layout, once; the next arrays that lie in memory as the last go straight to it.

    F.conv2d(x, w, b)  ->  Dispatch.forward  ->  Kernel.compute  ->  parallel_phases
"""

from contextlib import contextmanager

import numpy as np

from libc.string cimport memcmp

from fastconv.engine.base.arrays cimport (
    Axes, Flat, look_at, look_at_swapped, look_flat)
from fastconv.engine.base.threads cimport threads_for

# The layouts for which a Dispatch keeps kernels.
cdef Py_ssize_t LAYOUTS = 16

# Where kernels write that they ran, or None.
cdef list _records = None


cdef int record(str variant, Py_ssize_t rows, Py_ssize_t columns) except -1:
    """Note that a variant computes, with tiles of at most so many rows and columns, or 0.

    The first thing that every kernel does: what ran is never read from a plan.
    """
    if _records is not None:
        _records.append((variant, (rows, columns) if rows else None))
    return 0


@contextmanager
def recorded():
    """List what kernels run in a `with` statement: pairs of a variant and its tile or None."""
    global _records
    before, _records = _records, []
    try:
        yield _records
    finally:
        _records = before


def note(str variant):
    """Note that a variant computes that is written in Python."""
    record(variant, 0, 0)


cdef class Kernel:
    """One variant of an operation of one geometry.

    A subclass says how many threads the work is worth; makes the plan for arrays of a layout, which
    it serves for sure, and returns the bytes of its workspace; and computes by this plan, which is
    made once. The plan fills in `team` and `largest`.

    Maps are (N, G, C, D, H, W), weights (G, K, C, T, R, S). For an input gradient x is the
    residual, y the gradient, and the weights are seen (G, C, K, T, R, S), not rotated.
    """

    cdef int worth_threads(self, const Layout* layout) noexcept:
        """Return how many threads the products of a correlation of these arrays are worth."""
        cdef const Py_ssize_t* w = layout.w.shape
        cdef const Py_ssize_t* y = layout.y.shape
        return threads_for(<double>y[0] * y[3] * y[4] * y[5] * w[0] * w[1] * w[2] * w[3] * w[4]
                           * w[5])

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        raise NotImplementedError

    cdef int compute(self, const Operands* o, size_t bytes) except -1:
        raise NotImplementedError

    @property
    def threads(self):
        """How many threads can share the work."""
        return self.team

    @property
    def tile(self):
        """Rows and columns of the largest register tile, or None."""
        return (self.largest[0], self.largest[1]) if self.largest[0] else None


cdef class ArrayKernel(Kernel):
    """A kernel that is written in Python, and gets the arrays.

    A subclass has `workspace()`, the bytes, and `forward`, `input_gradient` and `weight_gradient`
    like a Dispatch; it notes that it ran.
    """

    def __init__(self):
        self.takes_arrays = True

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        self.team = 1
        return self.workspace()


cdef class Choice:
    """A kernel with its plan made, and the row of the table that it is of.

    Or `copied`, a pair that tells which of the arrays that are read are to be made contiguous:
    then the choice is another one.
    """

    @property
    def threads(self):
        """How many threads can share the work."""
        return self.kernel.team

    @property
    def tile(self):
        """Rows and columns of the largest register tile, or None."""
        return self.kernel.tile


cdef object copies(copied, x, w):
    """Return the arrays that are read, those contiguous that have to be."""
    return [np.ascontiguousarray(array) if copy else array
            for array, copy in zip((x, w), copied)]


cdef object strides_of(const Axes* axes):
    cdef int axis
    return tuple([axes.strides[axis] for axis in range(6)])


cdef class Dispatch:
    """An operation of one geometry, called with its arrays as they are.

    `choose` is called with the strides of x, w and y, in bytes, on the axes that kernels see, and
    the most threads. It returns a row of the table and a kernel for it; or, in its place, a pair
    that tells which of the arrays that are read are to be made contiguous before.
    """

    def __init__(self, int axes, Py_ssize_t groups, choose):
        self.axes, self.groups, self.choose = axes, groups, choose
        self.choices = {}

    cdef Choice find(self, const Layout* layout):
        """Return the choice for arrays of this layout."""
        cdef int threads = threads_for(1e300)
        if threads != self.threads or memcmp(layout, &self.layout, sizeof(Layout)):
            self.choice = self.settle(layout, threads)
            self.layout, self.threads = layout[0], threads
        return self.choice

    cdef Choice settle(self, const Layout* layout, int threads):
        cdef Choice choice
        cdef Kernel kernel
        key = (<const char*>layout)[:sizeof(Layout)], threads
        choice = self.choices.get(key)
        if choice is not None:
            return choice
        choice = Choice()
        choice.row, found = self.choose(
            strides_of(&layout.x), strides_of(&layout.w), strides_of(&layout.y), threads)
        if isinstance(found, Kernel):
            kernel = choice.kernel = found
            choice.workspace = kernel.plan(layout, kernel.worth_threads(layout))
        else:
            choice.copied = found
        if len(self.choices) >= LAYOUTS:
            self.choices.clear()
        self.choices[key] = choice
        return choice

    def forward(self, x, w, bias, y, prepared=None):
        """Write into `y` the correlation of `x` with `w`, plus `bias` (G K) unless it is None.

        `prepared` is what was made of the weights before, or None.
        """
        cdef Operands o
        cdef Flat flat
        look_at(x, w, bias, y, self.axes, self.groups, False, &o)
        if prepared is not None:
            look_flat(prepared, False, &flat)
            o.prepared, o.layout.prepared = <char*>flat.data, True
        cdef Choice choice = self.find(&o.layout)
        if choice.copied is not None:
            return self.forward(*copies(choice.copied, x, w), bias, y, prepared)
        if choice.kernel.takes_arrays:
            return choice.kernel.forward(x, w, bias, y, prepared)
        choice.kernel.compute(&o, choice.workspace)

    def input_gradient(self, residual, w, grad_input):
        """Write into `grad_input` the gradient with respect to the input."""
        cdef Operands o
        look_at_swapped(residual, w, grad_input, self.axes, self.groups, &o)
        cdef Choice choice = self.find(&o.layout)
        if choice.copied is not None:
            return self.input_gradient(*copies(choice.copied, residual, w), grad_input)
        if choice.kernel.takes_arrays:
            return choice.kernel.input_gradient(residual, w, grad_input)
        choice.kernel.compute(&o, choice.workspace)

    def weight_gradient(self, x, residual, grad_weight):
        """Write into `grad_weight` the correlation of the input with the residual."""
        cdef Operands o
        look_at(x, grad_weight, None, residual, self.axes, self.groups, True, &o)
        cdef Choice choice = self.find(&o.layout)
        if choice.copied is not None:
            return self.weight_gradient(*copies(choice.copied, x, residual), grad_weight)
        if choice.kernel.takes_arrays:
            return choice.kernel.weight_gradient(x, residual, grad_weight)
        choice.kernel.compute(&o, choice.workspace)

    def explain(self, str operation, x, w, y):
        """Return what would compute an operation on such arrays, which are not read."""
        cdef Operands o
        if operation == "conv2d_input":
            look_at_swapped(y, w, x, self.axes, self.groups, &o)
        else:
            look_at(x, w, None, y, self.axes, self.groups, operation == "conv2d_weight", &o)
        return self.find(&o.layout)
