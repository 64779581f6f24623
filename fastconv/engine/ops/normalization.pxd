# What the normalisations of maps share: their loops, and maps as they see them.

from cpython.buffer cimport (
    PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer)

# normalization.h says what the loops do.
cdef extern from "ops/normalization.h" nogil:
    enum:
        X "FASTCONV_X"
        RESIDUAL "FASTCONV_RESIDUAL"
        Y "FASTCONV_Y"
        DY "FASTCONV_DY"
        DX "FASTCONV_DX"
        DRESIDUAL "FASTCONV_DRESIDUAL"
        ARRAYS "FASTCONV_ARRAYS"
    enum:
        ALL "FASTCONV_ALL"
        BY_X "FASTCONV_BY_X"
        BY_Y "FASTCONV_BY_Y"
        BELOW_BY_X "FASTCONV_BELOW_BY_X"
        BELOW_BY_Y "FASTCONV_BELOW_BY_Y"
    ctypedef struct Planes "fastconv_planes":
        char* at[6]
        Py_ssize_t step[6]
        Py_ssize_t maps, count
        bint streams
        const char* next[3]
        Py_ssize_t next_step[3]
    ctypedef struct Affine "fastconv_affine":
        double mean, inverse, weight, bias, upper
    ctypedef struct Line "fastconv_line":
        double level, slope
    ctypedef struct Group "fastconv_group":
        const void* x
        const void* dy
        void* result
        const void* weight
        const void* bias
        Py_ssize_t channels, size
        double mean, inverse
        bint streams
    ctypedef void (*Apply "fastconv_apply")(const Planes*, const Affine*) noexcept nogil
    ctypedef struct Loops "fastconv_normalization":
        void (*moments)(const Planes*, double* mean, double* square) noexcept nogil
        Apply apply, apply_relu, apply_add_relu, apply_below, apply_add_below
        void (*sums[5])(const Planes*, const Affine*, double* sum, double* product) noexcept nogil
        void (*gradient[5])(const Planes*, const Affine*, const Line*) noexcept nogil
        void (*gather)(const char*, Py_ssize_t step, Py_ssize_t maps, Py_ssize_t count,
                       void* to) noexcept nogil
        void (*scatter)(const void*, char* to, Py_ssize_t step, Py_ssize_t maps,
                        Py_ssize_t count) noexcept nogil
        Py_ssize_t lanes
    const Loops* loops_of "fastconv_normalization_of"(int isa, Py_ssize_t itemsize)
    ctypedef struct GroupLoops "fastconv_group_normalization":
        void (*moments)(const Planes*, double* mean, double* square) noexcept nogil
        void (*apply)(const Group*) noexcept nogil
        void (*sums)(const Group*, double* sums, double* products) noexcept nogil
        void (*gradients)(const Group*, const Line*) noexcept nogil
    const GroupLoops* group_loops_of "fastconv_group_normalization_of"(
        int isa, Py_ssize_t itemsize)

cdef enum:
    # Planes of a piece, unless they are gathered.
    PIECE_MAPS = 32


# Maps (N, C, *spatial) with contiguous planes.
cdef struct Maps:
    char* data
    Py_ssize_t samples, channels, size, itemsize
    Py_ssize_t sample_step, channel_step            # in bytes


cdef inline int look_at_maps(object array, bint writes, Maps* maps) except -1:
    """Fill in maps of two or more axes; they hold while the caller has the array."""
    cdef Py_buffer buffer
    cdef int axis
    PyObject_GetBuffer(array, &buffer, PyBUF_STRIDES | PyBUF_WRITABLE if writes else PyBUF_STRIDES)
    maps.data, maps.itemsize = <char*>buffer.buf, buffer.itemsize
    maps.samples, maps.channels, maps.size = buffer.shape[0], buffer.shape[1], 1
    maps.sample_step, maps.channel_step = buffer.strides[0], buffer.strides[1]
    for axis in range(2, buffer.ndim):
        maps.size *= buffer.shape[axis]
    PyBuffer_Release(&buffer)
    return 0
