# How a kernel sees an array: by its buffer, which takes a third of the time of a memoryview.

from cpython.buffer cimport (
    PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer)

cdef struct View:
    void* data
    Py_ssize_t itemsize
    Py_ssize_t shape[5]
    Py_ssize_t strides[5]               # in bytes

cdef struct Flat:
    void* data
    Py_ssize_t itemsize, size

cdef struct Axes:
    # Of maps (N, G, C, D, H, W) or weights (G, K, C, T, R, S).
    Py_ssize_t shape[6]
    Py_ssize_t strides[6]               # in bytes


cdef inline int look(object array, int axes, bint writes, View* view) except -1:
    """Fill in the view of an array; it holds while the caller has the array.

    Raises
    ------
    ValueError
        If the array has another number of axes, or is to be written and cannot.
    """
    cdef Py_buffer buffer
    cdef int axis
    PyObject_GetBuffer(array, &buffer, PyBUF_STRIDES | PyBUF_WRITABLE if writes else PyBUF_STRIDES)
    if buffer.ndim == axes:
        view.data, view.itemsize = buffer.buf, buffer.itemsize
        for axis in range(axes):
            view.shape[axis], view.strides[axis] = buffer.shape[axis], buffer.strides[axis]
        axes = 0
    PyBuffer_Release(&buffer)
    if axes:
        raise ValueError(f"expected an array of {axes} axes")
    return 0


cdef inline int look_flat(object array, bint writes, Flat* flat) except -1:
    """Fill in the numbers of an array as one row; they hold while the caller has the array.

    Raises
    ------
    ValueError
        If the array is not contiguous, or is to be written and cannot.
    """
    cdef Py_buffer buffer
    # Without strides: what is not contiguous is refused.
    PyObject_GetBuffer(array, &buffer, PyBUF_ND | PyBUF_WRITABLE if writes else PyBUF_ND)
    flat.data, flat.itemsize, flat.size = buffer.buf, buffer.itemsize, buffer.len // buffer.itemsize
    PyBuffer_Release(&buffer)
    return 0


cdef inline void split_maps(const View* view, int axes, Py_ssize_t groups,
                            Axes* six) noexcept nogil:
    """See maps (N, G C, *spatial) by group; fewer spatial axes are axes of size 1 in front."""
    six.shape[0], six.strides[0] = view.shape[0], view.strides[0]
    six.shape[1], six.shape[2] = groups, view.shape[1] // groups
    six.strides[1], six.strides[2] = six.shape[2] * view.strides[1], view.strides[1]
    split_space(view, axes, six)


cdef inline void split_weights(const View* view, int axes, Py_ssize_t groups,
                               Axes* six) noexcept nogil:
    """See weights (G K, C, *spatial) by group."""
    six.shape[0], six.shape[1] = groups, view.shape[0] // groups
    six.strides[0], six.strides[1] = six.shape[1] * view.strides[0], view.strides[0]
    six.shape[2], six.strides[2] = view.shape[1], view.strides[1]
    split_space(view, axes, six)


cdef inline void split_space(const View* view, int axes, Axes* six) noexcept nogil:
    cdef int axis, from_end
    for axis in range(5, 2, -1):
        from_end = axis - 6 + axes
        if from_end > 1:
            six.shape[axis], six.strides[axis] = view.shape[from_end], view.strides[from_end]
        else:
            six.shape[axis] = 1
            six.strides[axis] = six.shape[axis + 1] * six.strides[axis + 1]
