# What all normalisations share: rows of numbers, and sums in pieces.

from cpython.buffer cimport (
    PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer)

# moments.h says what these are.
cdef extern from "ops/moments.h" nogil:
    enum:
        PIECE "FASTCONV_PIECE"
    ctypedef struct Sums "fastconv_sums":
        double count, first, second
    void join_moments "fastconv_join_moments"(Sums* total, const Sums* part)

cdef enum:
    # Numbers of a chunk, about, and the most chunks of what is summed.
    CHUNK = 32768
    MOST_CHUNKS = 64


# A row of numbers, one for each channel; without it `data` is NULL.
cdef struct Numbers:
    char* data
    Py_ssize_t step, itemsize


cdef inline int look_at_numbers(object array, bint writes, Numbers* numbers) except -1:
    """Fill in an array of one axis, or None."""
    cdef Py_buffer buffer
    numbers.data, numbers.step, numbers.itemsize = NULL, 0, 0
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


cdef inline void join_sums(Sums* total, const Sums* part) noexcept nogil:
    total.count += part.count
    total.first += part.first
    total.second += part.second
