"""What all kernels of the convolutions share, and what finds the one for the arrays of a call.

A `Kernel` is one variant of an operation for one geometry and one layout of its arrays. A
`Dispatch` is an operation of one geometry: it looks at the arrays, and has a table choose a kernel
for their layout, once; the next arrays that lie in memory as the last go straight to it.

    F.conv2d(x, w, b)  ->  Dispatch.forward  ->  Kernel.compute  ->  parallel_phases
"""

from contextlib import contextmanager

import numpy as np

from cpython.pythread cimport PyThread_get_thread_ident
from libc.string cimport memcmp

from fastconv.engine.base.arrays cimport Axes, Ending, Flat, look_at, look_flat, swap_channels
from fastconv.engine.base.endings cimport end_maps, read_ending
from fastconv.engine.base.jobs cimport run_jobs
from fastconv.engine.base.threads cimport Phase, brief, parallel_phases, threads_for
from fastconv.engine.base.workspace cimport give, take

# The operations by name; compiled modules have numbers for their places.
OPERATIONS = ("conv2d", "conv2d_input", "conv2d_weight")

# The layouts for which a Dispatch keeps kernels.
cdef Py_ssize_t LAYOUTS = 16

# Where kernels write that they ran: a list for each thread that wants to know.
cdef dict _records = {}


cdef int record(str variant, Py_ssize_t rows, Py_ssize_t columns) except -1:
    """Note that a variant computes, with tiles of at most so many rows and columns, or 0.

    The first thing that every kernel does: what ran is never read from a plan.
    """
    if _records:
        ran = _records.get(PyThread_get_thread_ident())
        if ran is not None:
            ran.append((variant, (rows, columns) if rows else None))
    return 0


@contextmanager
def recorded():
    """List what kernels this thread runs in a `with` statement: pairs of a variant and its tile.

    The tile may be None. What is listed within another such statement is listed there, too.
    """
    thread, ran = PyThread_get_thread_ident(), []
    before = _records.get(thread)
    _records[thread] = ran
    try:
        yield ran
    finally:
        if before is None:
            del _records[thread]
        else:
            before.extend(ran)
            _records[thread] = before


def note(str variant):
    """Note that a variant computes that is written in Python."""
    record(variant, 0, 0)


cdef class Kernel:
    """One variant of an operation of one geometry.

    A subclass says how many threads the work is worth; makes the plan for arrays of a layout, which
    it serves for sure, and returns the bytes of its workspace; and shares out the work by this
    plan, which is made once. The plan fills in `team` and `largest`.

    Maps are (N, G, C, D, H, W), weights (G, K, C, T, R, S). For an input gradient x is the
    residual, y the gradient, and the weights are seen (G, C, K, T, R, S), not rotated.
    """

    cdef double work(self, const Layout* layout) noexcept:
        """Return the multiply-adds of these arrays.

        Every position of the smaller map meets every weight; zeros that a stride inserts count not.
        """
        cdef const Py_ssize_t* x = layout.x.shape
        cdef const Py_ssize_t* w = layout.w.shape
        cdef const Py_ssize_t* y = layout.y.shape
        cdef double positions = min(<double>x[3] * x[4] * x[5], <double>y[3] * y[4] * y[5])
        return positions * y[0] * w[0] * w[1] * w[2] * w[3] * w[4] * w[5]

    cdef int worth_threads(self, const Layout* layout) noexcept:
        """Return how many threads the work is worth."""
        return threads_for(self.work(layout))

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        raise NotImplementedError

    cdef int compute(self, const Operands* o, size_t bytes) except -1:
        """Compute, with so many bytes of workspace."""
        cdef Context context
        cdef Jobs jobs
        record(self.variant, self.largest[0], self.largest[1])
        context.o, context.shared = o, <char*>take(bytes)
        context.plan, context.group, context.first = NULL, 0, 0
        jobs.threads, jobs.count = self.team, 0
        if self.brief:
            self.share(&context, &jobs)
            run_jobs(&jobs)
        else:
            with nogil:
                self.share(&context, &jobs)
                run_jobs(&jobs)
        give(context.shared)
        return 0

    cdef object pack(self, const Operands* o, size_t bytes):
        """Return what is made of the weights in each call, for layouts that have it `prepared`.

        Or None, if nothing is.
        """

    cdef void share(self, Context* context, Jobs* jobs) noexcept nogil:
        """Complete the context, write what all tasks read, and add the jobs."""

    cdef void run_phases(self, const Phase* phases, Py_ssize_t count) noexcept:
        """Run phases by themselves."""
        if self.brief:
            parallel_phases(self.team, phases, count)
        else:
            with nogil:
                parallel_phases(self.team, phases, count)

    @property
    def tile(self):
        """Rows and columns of the largest register tile, or None."""
        return (self.largest[0], self.largest[1]) if self.largest[0] else None


cdef class ArrayKernel(Kernel):
    """A kernel that is written in Python, and gets the arrays.

    A subclass has `workspace()`, the bytes, and `run`, which gets x, w, the bias, y and what was
    made of the weights before, and notes that it ran.
    """

    def __init__(self):
        self.takes_arrays = True

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        self.team = threads
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


cdef object strides_of(const Axes* axes):
    cdef int axis
    return tuple([axes.strides[axis] for axis in range(6)])


cdef class Dispatch:
    """An operation of one geometry, called with its arrays as they are.

    `choose` is called with the strides of x, w and y, in bytes, on the axes that kernels see, the
    most threads, and whether something was made of the weights before. It returns a row of the
    table and a kernel for it; or, in its place, a pair that tells which of the arrays that are read
    are to be made contiguous before.
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
            strides_of(&layout.x), strides_of(&layout.w), strides_of(&layout.y), threads,
            bool(layout.prepared))
        if isinstance(found, Kernel):
            kernel = choice.kernel = found
            kernel.brief = brief(kernel.work(layout))
            choice.workspace = kernel.plan(layout, kernel.worth_threads(layout))
        else:
            choice.copied = found
        if len(self.choices) >= LAYOUTS:
            self.choices.clear()
        self.choices[key] = choice
        return choice

    cdef int see(self, int operation, object x, object w, object bias, object y,
                 Operands* o) except -1:
        """Fill in the arrays of an operation, without looking into them."""
        look_at(x, w, bias, y, self.axes, self.groups, operation == WEIGHT_GRADIENT, o)
        if operation == INPUT_GRADIENT:
            swap_channels(o)
            # The bias is one of what is written.
            o.bias_group = o.layout.w.shape[1] * o.bias_row
        return 0

    cdef Choice find_prepared(self, str variant, Operands* o):
        """Return the choice for weights that a variant has prepared, if it is the one for them.

        Otherwise, since the batch or the threads are others, the choice for the weights alone.
        """
        cdef Choice choice = self.find(&o.layout)
        if choice.row.name != variant:
            o.prepared, o.layout.prepared = NULL, False
            choice = self.find(&o.layout)
        return choice

    cdef object run(self, int operation, object x, object w, object bias, object y,
                    object prepared, object residual, object activation):
        cdef Operands o
        cdef Flat flat
        cdef Ending ending
        cdef Choice choice
        self.see(operation, x, w, bias, y, &o)
        if residual is not None or activation is not None:
            read_ending(residual, activation, &o, &ending)
        if prepared is not None:
            look_flat(prepared[1], False, &flat)
            o.prepared, o.layout.prepared = <char*>flat.data, True
            choice = self.find_prepared(prepared[0], &o)
        else:
            choice = self.find(&o.layout)
        if choice.copied is not None:
            x = np.ascontiguousarray(x) if choice.copied[0] else x
            if operation == WEIGHT_GRADIENT:
                y = np.ascontiguousarray(y) if choice.copied[1] else y
            else:
                w = np.ascontiguousarray(w) if choice.copied[1] else w
            self.run(operation, x, w, bias, y, prepared, residual, activation)
            return
        if choice.kernel.takes_arrays:
            choice.kernel.run(x, w, bias, y, prepared[1] if o.layout.prepared else None)
        else:
            choice.kernel.compute(&o, choice.workspace)
        if o.ending is not NULL and not choice.kernel.ends:
            if choice.kernel.brief:
                end_maps(&o, choice.kernel.team)
            else:
                with nogil:
                    end_maps(&o, choice.kernel.team)

    def forward(self, x, w, bias, y, prepared=None, residual=None, activation=None):
        """Write into `y` the correlation of `x` with `w`, plus `bias` (G K) unless it is None.

        `prepared` is what `prepare` made of the weights before, or None. Then a residual is added,
        which lies in memory as `y` does and shares none with it, and an activation computed: its
        name and its numbers; both may be None.
        """
        self.run(FORWARD, x, w, bias, y, prepared, residual, activation)

    def input_gradient(self, grad_output, w, bias, grad_input, prepared=None, residual=None,
                       activation=None):
        """Write into `grad_input` the gradient with respect to the input, plus `bias` (G C).

        A transposed convolution is one. What follows the bias is as in `forward`.
        """
        self.run(INPUT_GRADIENT, grad_output, w, bias, grad_input, prepared, residual, activation)

    def prepare(self, str operation, x, w, y):
        """Return the variant for prepared weights of such arrays, and what it makes of them.

        Or None, if nothing helps. Only the weights are read.
        """
        cdef Operands o
        self.see(OPERATIONS.index(operation), x, w, None, y, &o)
        o.layout.prepared = True
        cdef Choice choice = self.find(&o.layout)
        data = None if choice.copied is not None else choice.kernel.pack(&o, choice.workspace)
        return None if data is None else (choice.row.name, data)

    def weight_gradient(self, x, residual, grad_weight):
        """Write into `grad_weight` the correlation of the input with the residual."""
        self.run(WEIGHT_GRADIENT, x, grad_weight, None, residual, None, None, None)

    def explain(self, str operation, x, w, y):
        """Return what would compute an operation on such arrays, which are not read."""
        cdef Operands o
        cdef int number = OPERATIONS.index(operation)
        if number == INPUT_GRADIENT:
            x, y = y, x
        self.see(number, x, w, None, y, &o)
        return self.find(&o.layout)
