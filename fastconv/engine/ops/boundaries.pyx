# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the places come from fastconv.functional, which has compared every shape.
"""Cells around maps: constant, or copies of the maps' own cells; and the adjoint of copying them.

Maps and their padded form are (N, C, D, H, W). On each axis `places` says which position of the
maps a padded position shows, or -1 where it shows a constant: one row of numbers, depth, rows, then
columns. The maps' own columns begin `before` cells from the start; a negative number is how many of
them are left out.

A task is a few rows of what is written: a sum never meets threads, and the places alone set its
order.
"""

from cython cimport floating

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fastconv.engine.base.arrays cimport Flat, View, look, look_flat, plane_at
from fastconv.engine.base.threads cimport parallel_for, threads_for

# Multiply-adds that take the time of copying one number.
cdef double COPY_COST = 2
# Numbers of a task's rows: they fill a first-level cache, and a task costs little beside them.
cdef Py_ssize_t TASK_NUMBERS = 8192


cdef struct Border:
    View maps, padded
    const Py_ssize_t* depths
    const Py_ssize_t* rows
    const Py_ssize_t* columns
    Py_ssize_t first, inside    # of a padded row, the columns that are the maps' own
    Py_ssize_t begin            # the first of them in the maps
    Py_ssize_t block, blocks    # rows of a task, and tasks of a depth
    double value
    # What shows a depth or a row of the maps: the first position that does, and for each the next.
    Py_ssize_t* first_depth
    Py_ssize_t* first_row
    Py_ssize_t* next_depth
    Py_ssize_t* next_row


cdef int look_border(Border* b, maps, padded, places, Py_ssize_t before,
                     bint folds) except -1:
    cdef Flat numbers
    look(maps, 5, folds, &b.maps)
    look(padded, 5, not folds, &b.padded)
    look_flat(places, False, &numbers)
    b.depths = <const Py_ssize_t*>numbers.data
    b.rows = b.depths + b.padded.shape[2]
    b.columns = b.rows + b.padded.shape[3]
    # None of the maps' own columns may be left, even fewer columns than come before them.
    b.first = min(max(before, 0), b.padded.shape[4])
    b.begin = min(max(-before, 0), b.maps.shape[4])
    b.inside = min(b.maps.shape[4] - b.begin, b.padded.shape[4] - b.first)
    cdef const View* written = &b.maps if folds else &b.padded
    b.block = max(1, TASK_NUMBERS // max(written.shape[4], 1))
    b.blocks = (written.shape[3] + b.block - 1) // b.block
    return 0


cdef Py_ssize_t tasks_of(const Border* b, const View* written) noexcept nogil:
    return written.shape[0] * written.shape[1] * written.shape[2] * b.blocks


cdef double cost_of(const Border* b) noexcept nogil:
    cdef double cost = COPY_COST
    cdef int axis
    for axis in range(5):
        cost *= max(b.padded.shape[axis], b.maps.shape[axis])
    return cost


cdef void show_border(const Border* b, const char* row, floating* to, Py_ssize_t begin,
                      Py_ssize_t end, floating value) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(begin, end):
        to[i] = value
        if b.columns[i] >= 0:
            to[i] = (<const floating*>(row + b.columns[i] * b.maps.strides[4]))[0]


cdef void fill_row(const Border* b, const char* row, floating* to, floating value) noexcept nogil:
    cdef Py_ssize_t i, step = b.maps.strides[4]
    cdef const char* own = row + b.begin * step
    show_border(b, row, to, 0, b.first, value)
    if step == sizeof(floating):
        memcpy(to + b.first, own, b.inside * sizeof(floating))
    else:
        for i in range(b.inside):
            to[b.first + i] = (<const floating*>(own + i * step))[0]
    show_border(b, row, to, b.first + b.inside, b.padded.shape[4], value)


cdef void fill_rows(const Border* b, const char* plane, char* to, Py_ssize_t d, Py_ssize_t begin,
                    Py_ssize_t end, floating value) noexcept nogil:
    cdef Py_ssize_t h, i
    to += d * b.padded.strides[2]
    plane += b.depths[d] * b.maps.strides[2]
    for h in range(begin, end):
        if b.depths[d] < 0 or b.rows[h] < 0:
            for i in range(b.padded.shape[4]):
                (<floating*>(to + h * b.padded.strides[3]))[i] = value
        else:
            fill_row(b, plane + b.rows[h] * b.maps.strides[3],
                     <floating*>(to + h * b.padded.strides[3]), value)


cdef void fold_border(const Border* b, const floating* row, floating* to, Py_ssize_t begin,
                      Py_ssize_t end) noexcept nogil:
    cdef Py_ssize_t i, step = b.maps.strides[4], given = b.padded.strides[4]
    for i in range(begin, end):
        if b.columns[i] >= 0:
            (<floating*>(<char*>to + b.columns[i] * step))[0] += (
                <const floating*>(<const char*>row + i * given))[0]


cdef void fold_row(const Border* b, const floating* row, floating* to) noexcept nogil:
    cdef Py_ssize_t i, step = b.maps.strides[4], given = b.padded.strides[4]
    cdef char* own = <char*>to + b.begin * step
    cdef const char* middle = <const char*>row + b.first * given
    if step == sizeof(floating) and given == sizeof(floating):
        for i in range(b.inside):
            (<floating*>own)[i] += (<const floating*>middle)[i]
    else:
        for i in range(b.inside):
            (<floating*>(own + i * step))[0] += (<const floating*>(middle + i * given))[0]
    fold_border(b, row, to, 0, b.first)
    fold_border(b, row, to, b.first + b.inside, b.padded.shape[4])


cdef void fold_rows(const Border* b, const char* padded, char* plane, Py_ssize_t d,
                    Py_ssize_t begin, Py_ssize_t end, floating zero) noexcept nogil:
    cdef Py_ssize_t h, i, depth, row
    cdef char* to
    for h in range(begin, end):
        to = plane + d * b.maps.strides[2] + h * b.maps.strides[3]
        for i in range(b.maps.shape[4]):
            (<floating*>(to + i * b.maps.strides[4]))[0] = zero
        depth = b.first_depth[d]
        while depth >= 0:
            row = b.first_row[h]
            while row >= 0:
                fold_row(b, <const floating*>(padded + depth * b.padded.strides[2]
                                              + row * b.padded.strides[3]), <floating*>to)
                row = b.next_row[row]
            depth = b.next_depth[depth]


cdef void run_rows(const Border* b, const View* written, bint folds, Py_ssize_t i) noexcept nogil:
    """Compute task `i`: a block of rows of a depth, a channel and a sample of what is written."""
    cdef Py_ssize_t begin = i % b.blocks * b.block
    cdef Py_ssize_t end = min(begin + b.block, written.shape[3])
    i //= b.blocks
    cdef Py_ssize_t d = i % written.shape[2]
    i //= written.shape[2]
    cdef Py_ssize_t n = i // written.shape[1], c = i % written.shape[1]
    cdef char* maps = plane_at(&b.maps, n, c)
    cdef char* padded = plane_at(&b.padded, n, c)
    cdef bint single = written.itemsize == sizeof(float)
    if folds and single:
        fold_rows[float](b, padded, maps, d, begin, end, 0)
    elif folds:
        fold_rows[double](b, padded, maps, d, begin, end, 0)
    elif single:
        fill_rows[float](b, maps, padded, d, begin, end, <float>b.value)
    else:
        fill_rows[double](b, maps, padded, d, begin, end, b.value)


cdef void fill_some(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Border* b = <const Border*>context
    run_rows(b, &b.padded, False, i)


cdef void fold_some(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Border* b = <const Border*>context
    run_rows(b, &b.maps, True, i)


cdef void chain(const Py_ssize_t* places, Py_ssize_t count, Py_ssize_t size, Py_ssize_t* first,
                Py_ssize_t* after) noexcept nogil:
    """List for each of `size` positions, in order, the places that show it."""
    cdef Py_ssize_t i
    for i in range(size):
        first[i] = -1
    for i in range(count - 1, -1, -1):
        if places[i] >= 0:
            after[i], first[places[i]] = first[places[i]], i


def fill(maps, padded, places, Py_ssize_t before, double value=0):
    """Write the maps with the cells around them; the rows of `padded` are contiguous."""
    cdef Border b
    look_border(&b, maps, padded, places, before, False)
    b.value = value
    with nogil:
        parallel_for(threads_for(cost_of(&b)), tasks_of(&b, &b.padded), fill_some, &b)


def fold(padded, maps, places, Py_ssize_t before):
    """Write into each cell of the maps the sum of what it and its copies hold."""
    cdef Border b
    look_border(&b, maps, padded, places, before, True)
    cdef const Py_ssize_t* size = b.maps.shape
    cdef const Py_ssize_t* around = b.padded.shape
    cdef size_t count = size[2] + size[3] + around[2] + around[3] + 1
    b.first_depth = <Py_ssize_t*>malloc(count * sizeof(Py_ssize_t))
    if b.first_depth is NULL:
        raise MemoryError
    b.first_row = b.first_depth + size[2]
    b.next_depth = b.first_row + size[3]
    b.next_row = b.next_depth + around[2]
    with nogil:
        chain(b.depths, around[2], size[2], b.first_depth, b.next_depth)
        chain(b.rows, around[3], size[3], b.first_row, b.next_row)
        parallel_for(threads_for(cost_of(&b)), tasks_of(&b, &b.maps), fold_some, &b)
    free(b.first_depth)
