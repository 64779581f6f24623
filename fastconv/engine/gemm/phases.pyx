# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The input gradient as correlations of the residual with the rotated kernels, phase by phase.

Where the forward pass has a stride, the positions of the input fall into phases: those of one phase
are reached by the same taps, and their gradient is a dense correlation with these taps alone. Zeros
between the residuals are never multiplied (`input_gradient_phases` in fastconv._geometry).
"""

from cython cimport floating

from fastconv.engine.base.arrays cimport Axes, Layout, Operands
from fastconv.engine.base.costs cimport COPIED
from fastconv.engine.base.threads cimport Phase, weighed_phase
from fastconv.engine.gemm.correlation cimport Correlation, Estimate, read_layout
from fastconv.engine.base.kernel cimport Kernel, record


cdef Py_ssize_t select(Axes* array, int axis, tuple places):
    """See some places of an axis only; return how many bytes the first lies from the start."""
    cdef Py_ssize_t start = <Py_ssize_t>places[0] * array.strides[axis]
    array.strides[axis] *= <Py_ssize_t>places[1]
    array.shape[axis] = places[2]
    return start


cdef void fill_plane(floating* data, const Py_ssize_t* shape, const Py_ssize_t* strides,
                     floating number) noexcept nogil:
    """Write a number into all of a map (D, H, W)."""
    cdef floating* row
    cdef Py_ssize_t d, h, i, step = strides[2] // <Py_ssize_t>sizeof(floating)
    for d in range(shape[0]):
        for h in range(shape[1]):
            row = <floating*>(<char*>data + d * strides[0] + h * strides[1])
            if step == 1:
                for i in range(shape[2]):
                    row[i] = number
                continue
            for i in range(shape[2]):
                row[i * step] = number


cdef void fill_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    """Write the bias, or zeros, into one channel of one sample."""
    cdef const Operands* o = <const Operands*>context
    cdef const Py_ssize_t* shape = o.layout.y.shape
    cdef const Py_ssize_t* strides = o.layout.y.strides
    cdef Py_ssize_t channel = task % shape[2], g = task // shape[2] % shape[1]
    cdef Py_ssize_t at = g * o.bias_group + channel * o.bias_row
    cdef char* data = (o.y + task // shape[2] // shape[1] * strides[0] + g * strides[1]
                       + channel * strides[2])
    if o.layout.itemsize == sizeof(float):
        fill_plane(<float*>data, shape + 3, strides + 3,
                   (<const float*>o.bias)[at] if o.bias is not NULL else 0)
    else:
        fill_plane(<double*>data, shape + 3, strides + 3,
                   (<const double*>o.bias)[at] if o.bias is not NULL else 0)


cdef double fill_cost(void* context, Py_ssize_t task) noexcept nogil:
    cdef const Py_ssize_t* shape = (<const Operands*>context).layout.y.shape
    return <double>COPIED * shape[3] * shape[4] * shape[5]


cdef class Part:
    """A phase: its positions of the input and its taps, and the correlation of the residual.

    Positions and taps are, for each of three axes, the first, the step to the next, and the number.
    """

    cdef tuple positions, taps
    cdef Kernel kernel
    # What the plan fills in: where the phase's weights and gradient begin, and how all lies.
    cdef Py_ssize_t w, y
    cdef Layout layout
    cdef size_t bytes

    def __init__(self, tuple positions, tuple taps, Kernel kernel):
        self.positions, self.taps, self.kernel = positions, taps, kernel

    cdef void see(self, const Layout* layout):
        """See the weights and the gradient of the phase alone."""
        cdef int axis
        self.layout, self.w, self.y = layout[0], 0, 0
        self.layout.prepared = False
        for axis in range(3):
            self.y += select(&self.layout.y, 3 + axis, self.positions[axis])
            self.w += select(&self.layout.w, 3 + axis, self.taps[axis])


cdef class InputGradient(Kernel):
    """The input gradient of residuals and weights of any strides in memory.

    Each phase is a tuple: its positions and taps (see `Part`), padding before, and dilation; of the
    `kernels` is the correlation that computes it. Where the phases do not cover the input, the
    gradient is the bias, or zero.
    """

    cdef list parts
    cdef bint covered
    cdef str name

    def __init__(self, kernels, tuple phases, bint covered, str name):
        self.name = name
        self.covered = covered
        self.parts = [Part(positions, taps, kernel)
                      for kernel, (positions, taps, _, _) in zip(kernels, phases)]

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Part part
        cdef Kernel kernel
        cdef size_t bytes = 1
        self.team = 1 if self.covered else threads
        # What no phase reaches is ended, too: after all of them.
        self.ends = self.covered
        for part in self.parts:
            part.see(layout)
            kernel = part.kernel
            kernel.brief = self.brief
            part.bytes = kernel.plan(&part.layout,
                                     min(threads, kernel.worth_threads(&part.layout)))
            bytes = max(bytes, part.bytes)
            self.team = max(self.team, kernel.team)
            self.ends = self.ends and kernel.ends
            if kernel.largest[0] * kernel.largest[1] > self.largest[0] * self.largest[1]:
                self.largest = kernel.largest
        return bytes

    cdef int compute(self, const Operands* o, size_t bytes) except -1:
        cdef Part part
        cdef Operands seen = o[0]
        cdef Phase phase
        if not self.parts:
            record(self.name, 0, 0)
        if not self.covered:
            phase = weighed_phase(fill_task, fill_cost, <void*>o, o.layout.y.shape[0]
                                  * o.layout.y.shape[1] * o.layout.y.shape[2])
            self.run_phases(&phase, 1)
        for part in self.parts:
            seen.layout, seen.w, seen.y = part.layout, o.w + part.w, o.y + part.y
            seen.prepared, seen.ending = NULL, o.ending if self.ends else NULL
            part.kernel.compute(&seen, part.bytes)
        return 0

    def estimates(self, tuple shapes, tuple strides, Py_ssize_t itemsize, int threads):
        """Return what `Correlation.estimate` does, for each phase; its kernel is one."""
        cdef Part part
        cdef Layout layout
        cdef Estimate estimate
        cdef list found = []
        read_layout(shapes, strides, itemsize, False, &layout)
        for part in self.parts:
            part.see(&layout)
            (<Correlation>part.kernel).weigh(&part.layout, threads, &estimate)
            found.append((estimate.cycles, estimate.filled, estimate.memory))
        return found
