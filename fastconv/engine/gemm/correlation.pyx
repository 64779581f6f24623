# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What the variants of the engine's correlation share: what they are told, and the estimate.

y[n,g,k,p] = bias[g,k] + sum over c, tap of w[g,k,c,tap] * x[n,g,c,i], i = p*stride + tap*dilation
- before
"""

import numpy as np

from libc.string cimport memcpy

from fastconv.engine.base.arrays cimport Axes, Flat, look_flat


cdef int read_axes(tuple shape, tuple strides, Axes* axes) except -1:
    cdef int axis
    for axis in range(6):
        axes.shape[axis], axes.strides[axis] = shape[axis], strides[axis]
    return 0


cdef int read_layout(tuple shapes, tuple strides, Py_ssize_t itemsize, bint prepared,
                     Layout* layout) except -1:
    """Fill in the layout of arrays x, w and y; strides are in bytes."""
    read_axes(shapes[0], strides[0], &layout.x)
    read_axes(shapes[1], strides[1], &layout.w)
    read_axes(shapes[2], strides[2], &layout.y)
    layout.itemsize, layout.prepared = itemsize, prepared
    return 0


cdef void copy_bias(const Operands* o, Py_ssize_t group, char* numbers) noexcept nogil:
    """Write the bias, if there is one, of each output channel; `group` apart, in elements."""
    cdef Py_ssize_t g, k, itemsize = o.layout.itemsize
    if o.bias is NULL:
        return
    for g in range(o.layout.w.shape[0]):
        for k in range(o.layout.w.shape[1]):
            memcpy(numbers + (g * group + k) * itemsize,
                   o.bias + (g * o.bias_group + k * o.bias_row) * itemsize, itemsize)


cdef class Correlation(Kernel):
    """The correlation of `x` with `w`, of any strides in memory; the output may not be empty.

    Stride, padding before and dilation are of three axes; `name` is what the table calls it. All
    subclasses add the same products in the same order: the table may choose among them by batch,
    threads and layout.
    """

    def __init__(self, tuple stride, tuple before, tuple dilation, str name):
        self.stride, self.before, self.dilation = stride, before, dilation
        self.name = name

    cdef int weigh(self, const Layout* layout, int threads, Estimate* estimate) except -1:
        raise NotImplementedError

    cdef int run(self, const Operands* o, size_t bytes, bint packs, bint multiplies) except -1:
        """Pack the weights, as `prepared` if there is a place for that; and compute."""
        raise NotImplementedError

    cdef Py_ssize_t packed_numbers(self) noexcept:
        """Return how many numbers all packed weights are."""
        return 0

    cdef object pack(self, const Operands* o, size_t bytes):
        cdef Operands seen = o[0]
        cdef Flat flat
        data = np.zeros(self.packed_numbers(), f"f{o.layout.itemsize}")
        look_flat(data, True, &flat)
        seen.prepared = <char*>flat.data
        self.run(&seen, bytes, True, False)
        return data

    def estimate(self, tuple shapes, tuple strides, Py_ssize_t itemsize, int threads,
                 bint prepared=False):
        """Return what the table weighs, for arrays x, w and y of these shapes and strides.

        That is: the cycles of all threads together; the share of the lanes that compute something;
        and what one line of the output takes, as a share of what a block may take. `prepared`
        weights are packed.
        """
        cdef Layout layout
        cdef Estimate estimate
        read_layout(shapes, strides, itemsize, prepared, &layout)
        self.weigh(&layout, threads, &estimate)
        return estimate.cycles, estimate.filled, estimate.memory
