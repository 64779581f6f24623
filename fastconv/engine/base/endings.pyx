# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A residual and an activation on sums that are stored: the second half of base/epilogue.h."""

from cython cimport floating

from fastconv.engine.base.arrays cimport (
    CLAMP, LEAKY, NO_ACTIVATION, RELU, Axes, View, look, split_maps)
from fastconv.engine.base.costs cimport COPIED
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport Phase, parallel_phases, weighed_phase

cdef extern from "base/end_rows.h" nogil:
    void end_rows_loop "fastconv_end_rows"(int isa, ...) noexcept

cdef int ISA = isa_row()

# The activations by name.
cdef dict NUMBERS = {"relu": RELU, "hardtanh": CLAMP, "leaky_relu": LEAKY}


cdef int read_ending(object residual, object activation, Operands* o, Ending* ending) except -1:
    """Fill in what the sums of `y` shall meet, and have the operands point to it.

    The residual lies in memory as `y` does, or is None. The activation is its name, behind it its
    numbers, or None.

    Raises
    ------
    ValueError
        If the residual lies in another way.
    """
    cdef View view
    cdef Axes axes
    cdef const Axes* y = &o.layout.y
    cdef int axis
    ending.residual, ending.activation, ending.low, ending.high = 0, NO_ACTIVATION, 0, 0
    if residual is not None:
        look(residual, residual.ndim, False, &view)
        split_maps(&view, residual.ndim, y.shape[1], &axes)
        for axis in range(6):
            if axes.shape[axis] != y.shape[axis] or (
                    axes.shape[axis] > 1 and axes.strides[axis] != y.strides[axis]):
                raise ValueError("the residual must lie in memory as the output")
        ending.residual = <char*>view.data - o.y
    if activation is not None:
        ending.activation = NUMBERS[activation[0]]
        ending.low = activation[1] if len(activation) > 1 else 0
        ending.high = activation[2] if len(activation) > 2 else 0
    o.ending = ending
    return 0


cdef void end_rows(floating* c, Py_ssize_t rows, Py_ssize_t row, Py_ssize_t count,
                   Py_ssize_t step, const Ending* ending) noexcept nogil:
    """End the sums c[i * row + j * step] for i < rows, j < count."""
    end_rows_loop(ISA, c, rows, row, count, step, ending)


cdef void end_channel(void* context, Py_ssize_t task, int thread) noexcept nogil:
    """End a channel of one sample, whose maps are contiguous."""
    cdef const Operands* o = <const Operands*>context
    cdef const Axes* y = &o.layout.y
    cdef Py_ssize_t cells = y.shape[3] * y.shape[4] * y.shape[5]
    cdef char* c = (o.y + task // y.shape[2] // y.shape[1] * y.strides[0]
                    + task // y.shape[2] % y.shape[1] * y.strides[1]
                    + task % y.shape[2] * y.strides[2])
    if o.layout.itemsize == sizeof(float):
        end_rows(<float*>c, 1, 0, cells, 1, o.ending)
    else:
        end_rows(<double*>c, 1, 0, cells, 1, o.ending)


cdef double end_cost(void* context, Py_ssize_t task) noexcept nogil:
    cdef const Py_ssize_t* shape = (<const Operands*>context).layout.y.shape
    return <double>COPIED * shape[3] * shape[4] * shape[5]


cdef void end_maps(const Operands* o, int team) noexcept nogil:
    """End all of an output."""
    cdef const Py_ssize_t* shape = o.layout.y.shape
    cdef Phase phase = weighed_phase(end_channel, end_cost, <void*>o,
                                     shape[0] * shape[1] * shape[2])
    parallel_phases(team, &phase, 1)
