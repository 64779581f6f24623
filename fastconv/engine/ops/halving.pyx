# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: fastconv.functional has compared every shape with the geometry.
"""Mean pooling by two rows and two columns that do not overlap: the commonest pooling, in one pass.

The additions are those of `ops.mean_pooling`, in the same order. All planes are contiguous; their
distances are free. A strip of rows is a task of the parallel loop; maps that lie behind each other
and have an even number of rows are one tall map.
"""

from libc.string cimport memset

from fastconv.engine.base.arrays cimport View, look, plane_at, planes_in_order
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport EVEN, Task, parallel_for, threads_for
from fastconv.engine.base.workspace cimport give, take

# Macros that choose by the type of the first array; halving_loops.h says what the others are.
cdef extern from "ops/halving.h" nogil:
    void halve_rows "fastconv_halve"(int isa, ...) noexcept
    void double_rows "fastconv_twice"(int isa, ...) noexcept

cdef int isa = isa_row()

# A strip of rows has about so many numbers: with its means it fits in a first-level cache.
cdef Py_ssize_t STRIP = 2048
# Two threads that write into one cache line would wait for each other.
cdef Py_ssize_t CACHE_LINE = 64


cdef struct Strips:
    View whole, means
    Py_ssize_t maps, channels
    Py_ssize_t rows, columns            # of the means of a map
    Py_ssize_t height, width            # of the numbers of a map
    Py_ssize_t strips, strip            # of a map, and the rows of each but the last
    Py_ssize_t buffer                   # numbers of a thread's buffer
    char* buffers


cdef struct Strip:
    char* whole                         # where it begins
    char* means
    char* buffer
    Py_ssize_t row, rows                # of the means


cdef void cut(Strips* p) noexcept nogil:
    """Complete the tasks, all but the buffers."""
    cdef Py_ssize_t line = CACHE_LINE // p.means.itemsize
    p.channels = p.means.shape[1]
    p.maps = p.means.shape[0] * p.channels
    p.rows, p.columns = p.means.shape[2], p.means.shape[3]
    p.height, p.width = p.whole.shape[2], p.whole.shape[3]
    if (p.height == 2 * p.rows and planes_in_order(&p.whole, 4)
            and planes_in_order(&p.means, 4)):
        p.rows *= p.maps
        p.height *= p.maps
        p.maps = p.channels = 1
    p.strip = min(max(STRIP // (2 * p.columns), 1), p.rows)
    p.strips = (p.rows + p.strip - 1) // p.strip
    # One number more is read, and dropped; and no cache line is shared.
    p.buffer = (2 * p.strip * p.columns + line) // line * line


cdef inline Strip find_strip(const Strips* p, Py_ssize_t task, int thread) noexcept nogil:
    cdef Strip strip
    cdef Py_ssize_t n = task // p.strips // p.channels, c = task // p.strips % p.channels
    strip.row = task % p.strips * p.strip
    strip.rows = min(p.strip, p.rows - strip.row)
    strip.whole = plane_at(&p.whole, n, c) + 2 * strip.row * p.width * p.whole.itemsize
    strip.means = plane_at(&p.means, n, c) + strip.row * p.columns * p.means.itemsize
    strip.buffer = p.buffers + thread * p.buffer * p.means.itemsize
    return strip


cdef void halve_strip(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Strips* p = <const Strips*>context
    cdef Strip strip = find_strip(p, task, thread)
    if p.means.itemsize == sizeof(float):
        halve_rows(isa, <const float*>strip.whole, p.width, strip.rows, p.columns,
                   <float*>strip.means, <float*>strip.buffer)
    else:
        halve_rows(isa, <const double*>strip.whole, p.width, strip.rows, p.columns,
                   <double*>strip.means, <double*>strip.buffer)


cdef void double_strip(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Strips* p = <const Strips*>context
    cdef Strip strip = find_strip(p, task, thread)
    cdef Py_ssize_t past = strip.row + strip.rows, row_bytes = p.width * p.whole.itemsize
    if p.means.itemsize == sizeof(float):
        double_rows(isa, <const float*>strip.means, p.width, strip.rows, p.columns,
                    <float*>strip.whole, <float*>strip.buffer)
    else:
        double_rows(isa, <const double*>strip.means, p.width, strip.rows, p.columns,
                    <double*>strip.whole, <double*>strip.buffer)
    if past == p.rows and 2 * past < p.height:
        memset(strip.whole + 2 * strip.rows * row_bytes, 0, row_bytes)


cdef int all_strips(Strips* p, Task run) except -1:
    """Give the strips to the threads."""
    cdef int threads
    cut(p)
    # A number costs as much as a few multiply-adds, for it comes from memory.
    threads = threads_for(4.0 * p.maps * p.height * p.width)
    p.buffers = <char*>take(threads * p.buffer * p.means.itemsize)
    with nogil:
        parallel_for(threads, p.maps * p.strips, run, p, EVEN)
        give(p.buffers)
    return 0


def halve(x, y):
    """Write into `y` (N, C, H // 2, W // 2) the means of two by two of `x` (N, C, H, W)."""
    cdef Strips p
    look(x, 4, False, &p.whole)
    look(y, 4, True, &p.means)
    all_strips(&p, halve_strip)


def halve_backward(dy, dx):
    """Write into `dx` (N, C, H, W) the gradient of `halve` from the residual `dy`."""
    cdef Strips p
    look(dx, 4, True, &p.whole)
    look(dy, 4, False, &p.means)
    all_strips(&p, double_strip)
