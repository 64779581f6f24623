# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Images of any type in memory of any strides: the loops for each type in which is added."""

from cpython.buffer cimport PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

from fastconv.engine.base.isa cimport isa_row

cdef extern from "filters/taps.h" nogil:
    const Loops*** _loops "fastconv_filters"

cdef int isa = isa_row()


cdef const Loops* loops_for(int sums) noexcept nogil:
    """Return the loops that add in a type, by its number (types.py)."""
    return _loops[sums][isa]


cdef int look_strides(object array, int axes, bint writes, Py_ssize_t* shape, Py_ssize_t* strides,
                      char** data) except -1:
    """Write the shape and the strides of an array; they hold while the caller has it.

    Raises
    ------
    ValueError
        If the array has another number of axes, or is to be written and cannot.
    """
    cdef Py_buffer buffer
    cdef int axis
    PyObject_GetBuffer(array, &buffer, PyBUF_STRIDES | PyBUF_WRITABLE if writes else PyBUF_STRIDES)
    data[0] = <char*>buffer.buf
    for axis in range(min(axes, buffer.ndim)):
        shape[axis], strides[axis] = buffer.shape[axis], buffer.strides[axis]
    axes -= buffer.ndim
    PyBuffer_Release(&buffer)
    if axes:
        raise ValueError(f"expected an array of {axes + buffer.ndim} axes, got {buffer.ndim}")
    return 0
