# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: fastconv.functional has compared every shape with the geometry.
"""Mean pooling by two rows and two columns that do not overlap: the commonest pooling, in one pass.

The additions are those of `ops.pooling`, in the same order. All planes are contiguous; their
distances are free. A strip of rows is a task of the parallel loop; maps that lie behind each other
and have an even number of rows are one tall map.
"""

from cython cimport floating
from cython.parallel cimport parallel, prange, threadid

from libc.string cimport memset

from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport flush_denormals, restore_denormals, threads_for
from fastconv.engine.base.workspace cimport give, take

cdef extern from "ops/halving.h" nogil:
    ctypedef struct Halving_f "fastconv_halving_f":
        void (*halve)(const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*,
                      float*) noexcept nogil
        void (*twice)(const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*,
                      float*) noexcept nogil
    ctypedef struct Halving_d "fastconv_halving_d":
        void (*halve)(const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*,
                      double*) noexcept nogil
        void (*twice)(const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*,
                      double*) noexcept nogil
    const Halving_f** table_f "fastconv_halving_table_f"
    const Halving_d** table_d "fastconv_halving_table_d"

cdef const Halving_f* single = table_f[isa_row()]
cdef const Halving_d* double_ = table_d[isa_row()]

# A strip of rows has about so many numbers: with its means it fits in a first-level cache.
cdef Py_ssize_t STRIP = 2048
# Two threads that write into one cache line would wait for each other.
cdef Py_ssize_t CACHE_LINE = 64


cdef struct Strips:
    Py_ssize_t maps, channels
    Py_ssize_t rows, columns            # of the means of a map
    Py_ssize_t height, width            # of the numbers of a map
    Py_ssize_t strips, strip            # of a map, and the rows of each but the last
    Py_ssize_t size                     # of a thread's buffer


cdef Strips cut(const floating[:, :, :, :] whole, const floating[:, :, :, :] means) noexcept nogil:
    """Return the tasks."""
    cdef Strips p
    cdef Py_ssize_t item = sizeof(floating), line = CACHE_LINE // item
    p.channels = means.shape[1]
    p.maps = means.shape[0] * p.channels
    p.rows, p.columns = means.shape[2], means.shape[3]
    p.height, p.width = whole.shape[2], whole.shape[3]
    if p.height == 2 * p.rows and in_one_piece(whole) and in_one_piece(means):
        p.rows *= p.maps
        p.height *= p.maps
        p.maps = p.channels = 1
    p.strip = min(max(STRIP // (2 * p.columns), 1), p.rows)
    p.strips = (p.rows + p.strip - 1) // p.strip
    # One number more is read, and dropped; and no cache line is shared.
    p.size = (2 * p.strip * p.columns + line) // line * line
    return p


cdef bint in_one_piece(const floating[:, :, :, :] maps) noexcept nogil:
    """Whether all planes, contiguous themselves, lie behind each other."""
    cdef Py_ssize_t plane = maps.shape[2] * maps.shape[3] * sizeof(floating)
    return ((maps.shape[1] == 1 or maps.strides[1] == plane)
            and (maps.shape[0] == 1 or maps.strides[0] == plane * maps.shape[1]))


cdef void halve_strip(const floating[:, :, :, :] x, floating[:, :, :, :] y, const Strips* p,
                      Py_ssize_t task, floating* buffer) noexcept nogil:
    cdef Py_ssize_t m = task // p.strips, row = task % p.strips * p.strip
    cdef Py_ssize_t rows = min(p.strip, p.rows - row)
    cdef const floating* source = &x[m // p.channels, m % p.channels, 0, 0] + 2 * row * p.width
    cdef floating* target = &y[m // p.channels, m % p.channels, 0, 0] + row * p.columns
    if floating is float:
        single.halve(source, p.width, rows, p.columns, target, buffer)
    else:
        double_.halve(source, p.width, rows, p.columns, target, buffer)


cdef void double_strip(const floating[:, :, :, :] dy, floating[:, :, :, :] dx, const Strips* p,
                       Py_ssize_t task, floating* buffer) noexcept nogil:
    cdef Py_ssize_t m = task // p.strips, row = task % p.strips * p.strip
    cdef Py_ssize_t rows = min(p.strip, p.rows - row)
    cdef const floating* source = &dy[m // p.channels, m % p.channels, 0, 0] + row * p.columns
    cdef floating* target = &dx[m // p.channels, m % p.channels, 0, 0] + 2 * row * p.width
    if floating is float:
        single.twice(source, p.width, rows, p.columns, target, buffer)
    else:
        double_.twice(source, p.width, rows, p.columns, target, buffer)
    row += rows
    if row == p.rows and 2 * row < p.height:
        memset(target + 2 * rows * p.width, 0, p.width * sizeof(floating))


cdef int all_strips(const floating[:, :, :, :] source, floating[:, :, :, :] target, const Strips* p,
                    bint halves) except -1:
    """Give the strips to the threads: halve the source, or double it."""
    cdef Py_ssize_t i
    # A number costs as much as a few multiply-adds, for it comes from memory.
    cdef int threads = threads_for(4.0 * p.maps * p.height * p.width)
    cdef floating* buffers = <floating*>take(threads * p.size * sizeof(floating))
    cdef floating* buffer = NULL
    cdef unsigned long saved = 0
    with nogil, parallel(num_threads=threads):
        saved = flush_denormals()
        for i in prange(p.maps * p.strips, schedule="static"):
            buffer = buffers + threadid() * p.size
            if halves:
                halve_strip(source, target, p, i, buffer)
            else:
                double_strip(source, target, p, i, buffer)
        restore_denormals(saved)
    give(buffers)
    return 0


def halve(const floating[:, :, :, :] x, floating[:, :, :, :] y):
    """Write into `y` (N, C, H // 2, W // 2) the means of two by two of `x` (N, C, H, W)."""
    cdef Strips p = cut(x, y)
    all_strips(x, y, &p, True)


def halve_backward(const floating[:, :, :, :] dy, floating[:, :, :, :] dx):
    """Write into `dx` (N, C, H, W) the gradient of `halve` from the residual `dy`."""
    cdef Strips p = cut(dx, dy)
    all_strips(dy, dx, &p, False)
