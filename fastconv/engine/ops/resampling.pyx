# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: fastconv.functional makes the tables and gives arrays of the shapes they say.
"""Weighted sums along up to three axes, and the exchange of channels for pixels.

An axis has a table: for each place of the result some places of the source, and their weights. The
same loop interpolates, and with the tables transposed computes the gradient.
"""

from cython cimport floating

from libc.stdint cimport int32_t
from libc.string cimport memset

from fastconv.engine.base.arrays cimport Flat, look_flat
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport parallel_for, threads_for
from fastconv.engine.base.workspace cimport give, take

cdef extern from "ops/resampling.h" nogil:
    ctypedef struct Loops "fastconv_resampling":
        void (*blend)(const void*, double, int, void*, Py_ssize_t) noexcept nogil
        void (*pick)(const void*, const int32_t*, const void*, Py_ssize_t, void*,
                     Py_ssize_t) noexcept nogil
        int (*find_bases)(const int32_t*, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                          int32_t*) noexcept nogil
        void (*pick_near)(const void*, const int32_t*, const int32_t*, const void*, Py_ssize_t,
                          void*, Py_ssize_t) noexcept nogil
    const Loops* loops_of "fastconv_resampling_of"(int isa, Py_ssize_t itemsize)

cdef int isa = isa_row()


# Places and weights (taps, size of the result); weights of the last axis have the arrays' type.
cdef struct Table:
    const int32_t* places
    const void* weights
    Py_ssize_t taps, size


cdef struct Resampling:
    Flat x, y
    Py_ssize_t depth, rows, columns     # of the source
    Table tables[3]
    const Loops* loops
    int32_t* bases                      # where vectors of the last axis find their places
    bint near                           # whether they have such
    char* buffers                       # a row of the source for each thread
    Py_ssize_t buffer_bytes


cdef int look_table(places, weights, Table* table) except -1:
    cdef Flat flat
    look_flat(places, False, &flat)
    table.places = <const int32_t*>flat.data
    look_flat(weights, False, &flat)
    table.weights = flat.data
    table.taps, table.size = places.shape
    return 0


cdef void resample_plane(void* context, Py_ssize_t task, int thread) noexcept nogil:
    """Write a plane of the result: each row from a row that is blended of the source's."""
    cdef const Resampling* p = <const Resampling*>context
    cdef const Table* d = &p.tables[0]
    cdef const Table* r = &p.tables[1]
    cdef const Table* c = &p.tables[2]
    cdef Py_ssize_t size = p.x.itemsize, n = task // d.size, plane = task % d.size, row, a, b
    cdef char* y = <char*>p.y.data + task * r.size * c.size * size
    cdef const char* source
    cdef char* buffer = p.buffers + thread * p.buffer_bytes
    cdef const char* v
    cdef double deep, weight
    cdef int taken
    for row in range(r.size):
        taken, v = 0, buffer
        for a in range(d.taps):
            deep = (<const double*>d.weights)[a * d.size + plane]
            if deep == 0:
                continue
            for b in range(r.taps):
                weight = deep * (<const double*>r.weights)[b * r.size + row]
                if weight == 0:
                    continue
                source = <const char*>p.x.data + (
                    (n * p.depth + d.places[a * d.size + plane]) * p.rows
                    + r.places[b * r.size + row]) * p.columns * size
                if d.taps * r.taps == 1 and weight == 1:
                    v = source
                else:
                    p.loops.blend(source, weight, taken, buffer, p.columns)
                taken = 1
        if taken and p.near:
            p.loops.pick_near(v, c.places, p.bases, c.weights, c.taps,
                              y + row * c.size * size, c.size)
        elif taken:
            p.loops.pick(v, c.places, c.weights, c.taps, y + row * c.size * size, c.size)
        else:
            memset(y + row * c.size * size, 0, c.size * size)


def resample(x, y, tables):
    """Write into y (planes, D', H', W') the sums that the tables say of x (planes, D, H, W).

    There is a pair (places, weights) for each of the three axes.
    """
    cdef Resampling p
    cdef int axis, threads
    cdef Py_ssize_t bases
    cdef double work
    look_flat(x, False, &p.x)
    look_flat(y, True, &p.y)
    p.depth, p.rows, p.columns = x.shape[1:]
    for axis in range(3):
        look_table(tables[axis][0], tables[axis][1], &p.tables[axis])
    p.loops = loops_of(isa, p.x.itemsize)
    work = 4.0 * (p.y.size * p.tables[2].taps + <double>p.y.size // max(p.tables[2].size, 1)
                  * p.columns * p.tables[0].taps * p.tables[1].taps)
    threads = threads_for(work)
    p.buffer_bytes = (p.columns * p.x.itemsize + 63) // 64 * 64
    # A base for each vector would do.
    bases = p.tables[2].taps * p.tables[2].size * <Py_ssize_t>sizeof(int32_t)
    p.buffers = <char*>take(threads * p.buffer_bytes + bases)
    p.bases = <int32_t*>(p.buffers + threads * p.buffer_bytes)
    with nogil:
        p.near = p.loops.find_bases(p.tables[2].places, p.tables[2].taps, p.tables[2].size,
                                    p.columns, p.bases)
        parallel_for(threads, p.y.size // max(p.tables[1].size * p.tables[2].size, 1),
                     resample_plane, &p)
        give(p.buffers)


# ---- channels and pixels -------------------------------------------------------------------------

# Maps of C r^2 channels, each of `rows` by `columns`, beside maps of C channels r times as large.
cdef struct Shuffle:
    Flat many, large
    Py_ssize_t rows, columns, factor
    bint back                           # from the large maps to the many


cdef void shuffle_row(const Shuffle* p, floating* many, floating* large) noexcept nogil:
    """Exchange a row of each of r maps, which lie a plane apart, with a row of a large one."""
    cdef Py_ssize_t j, w, r = p.factor, plane = p.rows * p.columns
    cdef floating* second = many + plane
    if r == 2 and not p.back:
        for w in range(p.columns):
            large[2 * w], large[2 * w + 1] = many[w], second[w]
    elif r == 2:
        for w in range(p.columns):
            many[w], second[w] = large[2 * w], large[2 * w + 1]
    elif p.back:
        for j in range(r):
            for w in range(p.columns):
                many[j * plane + w] = large[w * r + j]
    else:
        for j in range(r):
            for w in range(p.columns):
                large[w * r + j] = many[j * plane + w]


cdef void shuffle_map(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Shuffle* p = <const Shuffle*>context
    cdef Py_ssize_t r = p.factor, row, i, many, large
    for row in range(p.rows):
        for i in range(r):
            many = ((task * r + i) * r * p.rows + row) * p.columns
            large = ((task * p.rows + row) * r + i) * p.columns * r
            if p.many.itemsize == sizeof(float):
                shuffle_row(p, <float*>p.many.data + many, <float*>p.large.data + large)
            else:
                shuffle_row(p, <double*>p.many.data + many, <double*>p.large.data + large)


def shuffle(many, large, Py_ssize_t factor, bint back):
    """Write maps (N, C r^2, H, W) into maps (N, C, H r, W r), or `back`."""
    cdef Shuffle p
    look_flat(many, back, &p.many)
    look_flat(large, not back, &p.large)
    p.factor, p.back = factor, back
    p.rows, p.columns = many.shape[2:]
    with nogil:
        parallel_for(threads_for(4.0 * p.many.size),
                     p.many.size // max(p.rows * p.columns * factor * factor, 1), shuffle_map, &p)
