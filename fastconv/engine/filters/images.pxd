# Images of any type in memory of any strides, and their numbers in the type in which is added.

cdef extern from "filters/taps.h" nogil:
    ctypedef struct Taps "fastconv_taps":
        int fold
        Py_ssize_t count
        const Py_ssize_t* offsets
        const Py_ssize_t* partners
        double start
        Py_ssize_t tall, wide
    ctypedef struct Loops "fastconv_filter_loops":
        Py_ssize_t itemsize, lanes
        const int* plain
        void (*weigh)(const void*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const Taps*, const void*,
                      void*, Py_ssize_t) noexcept nogil
        void (*fill)(const void*, Py_ssize_t, void*) noexcept nogil
        void (**read)(const char*, Py_ssize_t, Py_ssize_t, void*) noexcept nogil
        void (**write)(const void*, Py_ssize_t, char*, Py_ssize_t) noexcept nogil

cdef enum:
    MOST_AXES = 32
    LINE = 64

# Positions along an axis that show neighbours, all the same cell, or what is outside.
cdef struct Run:
    Py_ssize_t end                      # the position after the last
    Py_ssize_t begin
    Py_ssize_t place, step              # what the first shows; -1 is outside


cdef inline Py_ssize_t whole_lines(Py_ssize_t size) noexcept nogil:
    return (size + LINE - 1) // LINE * LINE


cdef inline void bring_line(const Loops* loops, int type, const char* x, Py_ssize_t stride,
                            const Run* run, Py_ssize_t begin, Py_ssize_t end, const void* outside,
                            char* to) noexcept nogil:
    """Write what the positions from `begin` to `end` of a line show."""
    cdef Py_ssize_t place, count
    while begin < end:
        while run.end <= begin:
            run += 1
        count = min(run.end, end) - begin
        if run.place < 0:
            loops.fill(outside, count, to)
        else:
            place = run.place + (begin - run.begin) * run.step
            loops.read[type](x + place * stride, run.step * stride, count, to)
        begin += count
        to += count * loops.itemsize


cdef const Loops* loops_for(int sums) noexcept nogil
cdef int look_strides(object array, int axes, bint writes, Py_ssize_t* shape, Py_ssize_t* strides,
                      char** data) except -1
