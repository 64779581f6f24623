# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the places come from fastconv.functional, which has compared every shape.
"""Cells around maps that are copies of the maps' own cells, and the adjoint of copying them.

Maps and their padded form are (N, C, D, H, W); the padded one is contiguous. On each axis `places`
says which position of the maps a padded position shows, or -1 where it shows zero: one row of
numbers, depth, rows, then columns. In the middle lie the maps themselves, `before` cells from the
start.

A plane of a sample and a channel, all of its depth, is one task, so that a sum never meets threads.
"""

from cython cimport floating

from libc.string cimport memcpy, memset

from fastconv.engine.base.arrays cimport Flat, View, look, look_flat, plane_at
from fastconv.engine.base.threads cimport parallel_for, threads_for

# Multiply-adds that take the time of copying one number.
cdef double COPY_COST = 2


cdef struct Border:
    View maps, padded
    const Py_ssize_t* depths
    const Py_ssize_t* rows
    const Py_ssize_t* columns
    Py_ssize_t before           # columns of the padded row in front of the map's own


cdef int look_border(Border* b, maps, padded, places, Py_ssize_t before,
                     bint folds) except -1:
    cdef Flat numbers
    look(maps, 5, folds, &b.maps)
    look(padded, 5, not folds, &b.padded)
    look_flat(places, False, &numbers)
    b.depths = <const Py_ssize_t*>numbers.data
    b.rows = b.depths + b.padded.shape[2]
    b.columns = b.rows + b.padded.shape[3]
    b.before = before
    return 0


cdef void fill_row(const Border* b, const char* row, floating* to) noexcept nogil:
    cdef Py_ssize_t width = b.padded.shape[4], inside = b.maps.shape[4], step = b.maps.strides[4]
    cdef Py_ssize_t i, after = b.before + inside
    for i in range(b.before):
        to[i] = (<const floating*>(row + b.columns[i] * step))[0] if b.columns[i] >= 0 else 0
    if step == sizeof(floating):
        memcpy(to + b.before, row, inside * sizeof(floating))
    else:
        for i in range(inside):
            to[b.before + i] = (<const floating*>(row + i * step))[0]
    for i in range(after, width):
        to[i] = (<const floating*>(row + b.columns[i] * step))[0] if b.columns[i] >= 0 else 0


cdef void fill_plane(const Border* b, const char* plane, floating* to) noexcept nogil:
    cdef Py_ssize_t d, h, width = b.padded.shape[4]
    for d in range(b.padded.shape[2]):
        for h in range(b.padded.shape[3]):
            if b.depths[d] < 0 or b.rows[h] < 0:
                memset(to, 0, width * sizeof(floating))
            else:
                fill_row(b, plane + b.depths[d] * b.maps.strides[2]
                         + b.rows[h] * b.maps.strides[3], to)
            to += width


cdef void fold_row(const Border* b, const floating* row, char* to) noexcept nogil:
    cdef Py_ssize_t width = b.padded.shape[4], inside = b.maps.shape[4], step = b.maps.strides[4]
    cdef Py_ssize_t i, after = b.before + inside
    cdef floating* cells = <floating*>to
    if step == sizeof(floating):
        for i in range(inside):
            cells[i] += row[b.before + i]
    else:
        for i in range(inside):
            (<floating*>(to + i * step))[0] += row[b.before + i]
    for i in range(b.before):
        if b.columns[i] >= 0:
            (<floating*>(to + b.columns[i] * step))[0] += row[i]
    for i in range(after, width):
        if b.columns[i] >= 0:
            (<floating*>(to + b.columns[i] * step))[0] += row[i]


cdef void fold_plane(const Border* b, const floating* row, char* plane) noexcept nogil:
    cdef Py_ssize_t d, h, i
    cdef char* to
    for d in range(b.maps.shape[2]):
        for h in range(b.maps.shape[3]):
            to = plane + d * b.maps.strides[2] + h * b.maps.strides[3]
            for i in range(b.maps.shape[4]):
                (<floating*>(to + i * b.maps.strides[4]))[0] = 0
    for d in range(b.padded.shape[2]):
        for h in range(b.padded.shape[3]):
            if b.depths[d] >= 0 and b.rows[h] >= 0:
                fold_row(b, row, plane + b.depths[d] * b.maps.strides[2]
                         + b.rows[h] * b.maps.strides[3])
            row += b.padded.shape[4]


cdef void fill_one(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Border* b = <const Border*>context
    cdef Py_ssize_t n = i // b.maps.shape[1], c = i % b.maps.shape[1]
    if b.maps.itemsize == sizeof(float):
        fill_plane(b, plane_at(&b.maps, n, c), <float*>plane_at(&b.padded, n, c))
    else:
        fill_plane(b, plane_at(&b.maps, n, c), <double*>plane_at(&b.padded, n, c))


cdef void fold_one(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Border* b = <const Border*>context
    cdef Py_ssize_t n = i // b.maps.shape[1], c = i % b.maps.shape[1]
    if b.maps.itemsize == sizeof(float):
        fold_plane(b, <const float*>plane_at(&b.padded, n, c), plane_at(&b.maps, n, c))
    else:
        fold_plane(b, <const double*>plane_at(&b.padded, n, c), plane_at(&b.maps, n, c))


cdef double cost_of(const Border* b) noexcept nogil:
    cdef double cost = COPY_COST
    cdef int axis
    for axis in range(5):
        cost *= b.padded.shape[axis]
    return cost


def fill(maps, padded, places, Py_ssize_t before):
    """Write the maps with the cells around them."""
    cdef Border b
    look_border(&b, maps, padded, places, before, False)
    with nogil:
        parallel_for(threads_for(cost_of(&b)), b.maps.shape[0] * b.maps.shape[1], fill_one, &b)


def fold(padded, maps, places, Py_ssize_t before):
    """Write into each cell of the maps the sum of what it and its copies hold."""
    cdef Border b
    look_border(&b, maps, padded, places, before, True)
    with nogil:
        parallel_for(threads_for(cost_of(&b)), b.maps.shape[0] * b.maps.shape[1], fold_one, &b)
