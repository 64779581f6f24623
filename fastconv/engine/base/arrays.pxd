# How a kernel sees an array: by its buffer, which takes a third of the time of a memoryview.

from cpython.buffer cimport (
    PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer)

cdef extern from "base/ending.h" nogil:
    enum:
        NO_ACTIVATION "FASTCONV_NO_ACTIVATION"
        RELU "FASTCONV_RELU"
        CLAMP "FASTCONV_CLAMP"
        LEAKY "FASTCONV_LEAKY"
    ctypedef struct Ending "fastconv_ending":
        Py_ssize_t residual
        int activation
        double low, high

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

cdef struct Layout:
    # How the arrays of a convolution lie in memory: its plan serves all arrays that lie so.
    Axes x, w, y
    Py_ssize_t itemsize
    Py_ssize_t prepared                 # whether something was made of the weights before

cdef struct Operands:
    Layout layout
    char* x
    char* w
    char* y
    char* bias                          # or NULL
    char* prepared                      # what was made of the weights before, or NULL
    Py_ssize_t bias_group, bias_row     # in elements
    const Ending* ending                # what sums meet after the bias, or NULL


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


cdef inline bint all_below(const Py_ssize_t* numbers, Py_ssize_t count,
                           Py_ssize_t bound) noexcept nogil:
    """Whether all numbers are from 0 to `bound` - 1."""
    cdef Py_ssize_t i
    cdef size_t most = 0
    # Seen as unsigned, a negative number is a huge one.
    for i in range(count):
        most = max(most, <size_t>numbers[i])
    return count == 0 or most < <size_t>bound


cdef inline char* plane_at(const View* maps, Py_ssize_t n, Py_ssize_t c) noexcept nogil:
    return <char*>maps.data + n * maps.strides[0] + c * maps.strides[1]


cdef inline bint planes_in_order(const View* maps, int axes) noexcept nogil:
    """Whether all planes of maps (N, C, ...), contiguous themselves, lie behind each other."""
    cdef Py_ssize_t plane = maps.itemsize
    cdef int axis
    for axis in range(2, axes):
        plane *= maps.shape[axis]
    return ((maps.shape[1] == 1 or maps.strides[1] == plane)
            and (maps.shape[0] == 1 or maps.strides[0] == plane * maps.shape[1]))


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


cdef inline void in_elements(const Axes* axes, Py_ssize_t itemsize,
                             Py_ssize_t* strides) noexcept nogil:
    """Write the strides of an array."""
    cdef int i
    for i in range(6):
        strides[i] = axes.strides[i] // itemsize


cdef inline Py_ssize_t rot180(Axes* weights) noexcept nogil:
    """See the taps rotated by 180 degrees; return by how many bytes the first moves."""
    cdef Py_ssize_t first = 0
    cdef int axis
    for axis in range(3, 6):
        first += (weights.shape[axis] - 1) * weights.strides[axis]
        weights.strides[axis] = -weights.strides[axis]
    return first


cdef inline int look_at(object x, object w, object bias, object y, int axes, Py_ssize_t groups,
                        bint writes_weights, Operands* operands) except -1:
    """Fill in the arrays of a convolution: maps (N, G C, *spatial), weights (G K, C, *spatial).

    The bias (G K) may be None. Either the weights or the output `y` are to be written.
    """
    cdef View view
    cdef Layout* layout = &operands.layout
    look(x, axes, False, &view)
    operands.x, layout.itemsize = <char*>view.data, view.itemsize
    split_maps(&view, axes, groups, &layout.x)
    look(w, axes, writes_weights, &view)
    operands.w = <char*>view.data
    split_weights(&view, axes, groups, &layout.w)
    look(y, axes, not writes_weights, &view)
    operands.y = <char*>view.data
    split_maps(&view, axes, groups, &layout.y)
    operands.bias, operands.bias_row = NULL, 0
    operands.prepared, layout.prepared, operands.ending = NULL, False, NULL
    if bias is not None:
        look(bias, 1, False, &view)
        operands.bias, operands.bias_row = <char*>view.data, view.strides[0] // view.itemsize
    operands.bias_group = layout.w.shape[1] * operands.bias_row
    return 0


cdef inline void swap_channels(Operands* operands) noexcept nogil:
    """See the weights (G, C, K, *taps): those of a correlation of the residual."""
    cdef Axes* w = &operands.layout.w
    w.shape[1], w.shape[2] = w.shape[2], w.shape[1]
    w.strides[1], w.strides[2] = w.strides[2], w.strides[1]
