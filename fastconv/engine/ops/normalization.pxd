# What all normalisations share: their loops, and maps as they see them.

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
    ctypedef struct Planes "fastconv_planes":
        char* at[6]
        Py_ssize_t step[6]
        Py_ssize_t maps, count
        bint streams
    ctypedef struct Affine "fastconv_affine":
        double mean, inverse, weight, bias
    ctypedef struct Line "fastconv_line":
        double level, slope
    ctypedef void (*Apply "fastconv_apply")(const Planes*, const Affine*) noexcept nogil
    ctypedef struct Loops "fastconv_normalization":
        void (*moments)(const Planes*, double* mean, double* square) noexcept nogil
        Apply apply, apply_relu, apply_add_relu
        void (*sums[3])(const Planes*, const Affine*, double* sum, double* product) noexcept nogil
        void (*gradient[3])(const Planes*, const Affine*, const Line*) noexcept nogil
        void (*gather)(const char*, Py_ssize_t step, Py_ssize_t maps, Py_ssize_t count,
                       void* to) noexcept nogil
        void (*scatter)(const void*, char* to, Py_ssize_t step, Py_ssize_t maps,
                        Py_ssize_t count) noexcept nogil
        Py_ssize_t lanes
    const Loops* loops_of "fastconv_normalization_of"(int isa, Py_ssize_t itemsize)

cdef enum:
    # Numbers of a piece, about: they are read twice, and stay in the first-level cache. No running
    # sum of a lane has more than 128.
    PIECE = 2048
    # Planes of a piece, unless they are gathered.
    PIECE_MAPS = 32
    # Numbers of a chunk, about, and the most chunks of what is summed.
    CHUNK = 32768
    MOST_CHUNKS = 64


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


# A row of numbers, one for each channel; without it `data` is NULL.
cdef struct Numbers:
    char* data
    Py_ssize_t step, itemsize


cdef inline int look_at_numbers(object array, bint writes, Numbers* numbers) except -1:
    """Fill in an array of one axis, or None."""
    cdef Py_buffer buffer
    numbers.data = NULL
    if array is None:
        return 0
    PyObject_GetBuffer(array, &buffer, PyBUF_STRIDES | PyBUF_WRITABLE if writes else PyBUF_STRIDES)
    numbers.data, numbers.step, numbers.itemsize = (
        <char*>buffer.buf, buffer.strides[0], buffer.itemsize)
    PyBuffer_Release(&buffer)
    return 0


cdef inline double number_at(const Numbers* numbers, Py_ssize_t i, double default) noexcept nogil:
    """Return a number, or the default where there are none."""
    cdef const char* at = numbers.data + i * numbers.step
    if numbers.data is NULL:
        return default
    return (<const float*>at)[0] if numbers.itemsize == sizeof(float) else (<const double*>at)[0]


cdef inline void set_number(const Numbers* numbers, Py_ssize_t i, double value) noexcept nogil:
    """Write a number where there are any."""
    cdef char* at = numbers.data + i * numbers.step
    if numbers.data is NULL:
        return
    if numbers.itemsize == sizeof(float):
        (<float*>at)[0] = <float>value
    else:
        (<double*>at)[0] = value


# Sums over so many numbers: of the numbers off their mean, or of a residual.
cdef struct Sums:
    double count
    double first                    # the mean, or the sum
    double second                   # the squares off the mean, or the products with x off its mean


cdef inline void join_moments(Sums* total, const Sums* part) noexcept nogil:
    """Add the moments of a part (T. Chan, G. Golub and R. LeVeque, 1979, equation 2.1)."""
    cdef double count = total.count + part.count
    cdef double off = part.first - total.first
    if total.count == 0:
        total[0] = part[0]
        return
    total.first += off * (part.count / count)
    total.second += part.second + off * off * (total.count * (part.count / count))
    total.count = count


cdef inline void join_sums(Sums* total, const Sums* part) noexcept nogil:
    total.count += part.count
    total.first += part.first
    total.second += part.second
