# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the windows come from it; `max_pool_backward` checks the indices, which come from outside.
"""Pooling by the maximum as compiled loops over the lines of (N, C, D, H, W).

Planes that are written are contiguous; all other strides are free.

A window is reduced in two steps: first down its rows, column by column, then along its columns. Of
many lines at once the first step leaves

    lines[line][0 ... width)        width = pitch * stride, with the padding on both sides

in a buffer that stays in the first-level cache. There every column of the kernel is one constant
shift, and as the width is a multiple of the stride, the second step is one loop over all lines as
if they were one; the few positions at a line's end that are no window (pitch > out) are computed
and dropped.

A block of lines is one task. Each result is found in an order that the geometry sets, in one task.
"""

from cython cimport floating

from libc.math cimport INFINITY
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from fastconv.engine.base.arrays cimport View, look, plane_at, planes_in_order
from fastconv.engine.base.threads cimport DENORMALS, EVEN, parallel_for, threads_for
from fastconv.engine.ops.windows cimport (
    COLUMN, DEPTH, LINE_COST, ROW, Line, Lines, Memory, Plan, Window, allocate, find_lines,
    make_plan, next_line, row_at, tasks_of)

# Macros that choose by the first argument's type; lines.h says what the others are.
cdef extern from "ops/pooling.h" nogil:
    void take_line(...) noexcept
    void take_columns(...) noexcept
    void larger_line(...) noexcept
    void larger_columns(...) noexcept
    void larger_line_at(...) noexcept
    void larger_columns_at(...) noexcept

cdef extern from *:
    void atomic_store "__atomic_store_n"(int* at, int value, int order) noexcept nogil
    int RELAXED "__ATOMIC_RELAXED"

ctypedef long long long_long

# The integers that stand beside the maxima: as wide as they are. Loops take them as untyped: the
# functions below are compiled for the other pairs of types, too, which nothing calls.
ctypedef fused place_t:
    int
    long_long


cdef struct Maxima:
    Plan plan
    View x, y
    View indices
    bint indexed                # whether indices are wanted
    bint direct                 # whether a block of results is one piece of the output
    Memory memory               # shared: how far each row of a window lies behind its first
    Py_ssize_t places_at        # where a thread's part has room for places


cdef void reduce_rows(const Maxima* m, const Lines* lines, floating* numbers,
                      place_t* places) noexcept nogil:
    """Write the maxima of each column, down the rows of a window.

    `places` holds for each the number of the row tap where it is.
    """
    cdef const Plan* plan = &m.plan
    cdef const Window* depth
    cdef const Window* rows
    cdef Line line = lines.first
    cdef Py_ssize_t _i, j, t, r, hop = m.x.strides[4]
    cdef const char* source
    for _i in range(lines.count):
        for j in range(plan.before):
            numbers[j] = -INFINITY
        for j in range(plan.before + plan.columns, plan.width):
            numbers[j] = -INFINITY
        numbers += plan.before
        if m.indexed:
            # Padding comes behind every other column with the same maximum, -inf.
            for j in range(plan.width):
                places[j] = plan.row_taps
            places += plan.before
            for j in range(plan.columns):
                places[j] = 0
        depth, rows = plan.windows[DEPTH] + line.d, plan.windows[ROW] + line.h
        for t in range(depth.inside):
            for r in range(rows.inside):
                source = row_at(&m.x, &line, depth.first + t * plan.dilation[DEPTH],
                                rows.first + r * plan.dilation[ROW])
                if t == 0 and r == 0:
                    take_line(numbers, source, hop, plan.columns, True)
                elif m.indexed:
                    larger_line_at(numbers, <void*>places, source, hop, t * plan.taps[ROW] + r,
                                   plan.columns)
                else:
                    larger_line(numbers, source, hop, plan.columns)
        numbers += plan.width - plan.before
        places += plan.width - plan.before if m.indexed else 0
        next_line(&line, &m.y)


cdef void reduce_columns(const Maxima* m, Py_ssize_t count, const floating* numbers,
                         const place_t* places, floating* best, place_t* row,
                         place_t* column) noexcept nogil:
    """Write the maxima of `count` windows, and the row and the column of each, by number."""
    cdef const Plan* plan = &m.plan
    cdef const Window* window
    cdef Py_ssize_t i, s, at
    if plan.cut:
        for i in range(count):
            window = plan.windows[COLUMN] + i % plan.pitch
            at = i // plan.pitch * plan.width + window.first
            best[i] = numbers[at]
            if m.indexed:
                row[i] = places[at]
                column[i] = 0
            for s in range(1, window.inside):
                at += plan.dilation[COLUMN]
                if m.indexed:
                    larger_columns_at(best + i, <void*>(row + i), <void*>(column + i),
                                      numbers + at, <const void*>(places + at), 1, s, 1)
                else:
                    larger_columns(best + i, numbers + at, 1, 1)
        return
    take_columns(best, numbers, plan.stride, count, True)
    if m.indexed:
        for i in range(count):
            row[i] = places[i * plan.stride]
            column[i] = 0
    for s in range(1, plan.taps[COLUMN]):
        at = s * plan.dilation[COLUMN]
        if m.indexed:
            larger_columns_at(best, <void*>row, <void*>column, numbers + at,
                              <const void*>(places + at), plan.stride, s, count)
        else:
            larger_columns(best, numbers + at, plan.stride, count)


cdef void write_indices(const Maxima* m, const Line* line, const place_t* row,
                        const place_t* column) noexcept nogil:
    """Write where the maxima of a line are, flat within a plane of the input."""
    cdef const Plan* plan = &m.plan
    cdef const Py_ssize_t* offsets = <const Py_ssize_t*>m.memory.shared
    cdef long long* index = <long long*>row_at(&m.indices, line, line.d, line.h)
    cdef Py_ssize_t j, first
    cdef Py_ssize_t origin = (
        plan.windows[DEPTH][line.d].first * m.x.shape[3]
        + plan.windows[ROW][line.h].first) * m.x.shape[4]
    for j in range(m.y.shape[4]):
        first = plan.windows[COLUMN][j].first if plan.cut else j * plan.stride - plan.before
        index[j] = origin + first + offsets[row[j]] + column[j] * plan.dilation[COLUMN]


cdef void max_lines(const Maxima* m, Py_ssize_t task, floating* numbers,
                    place_t* places) noexcept nogil:
    """Write the maxima of one block of lines; both buffers have room for it and for its results."""
    cdef const Plan* plan = &m.plan
    cdef Lines lines = find_lines(plan, &m.y, task)
    cdef Line line = lines.first
    cdef Py_ssize_t size = plan.block * plan.width + plan.slack, i
    cdef floating* best = numbers + size
    cdef place_t* row = places + size
    cdef place_t* column = row + plan.block * plan.pitch
    reduce_rows(m, &lines, numbers, places)
    if m.direct:
        best = <floating*>row_at(&m.y, &line, line.d, line.h)
    reduce_columns(m, lines.count * plan.pitch, numbers, places, best, row, column)
    if m.direct and not m.indexed:
        return
    for i in range(lines.count):
        if not m.direct:
            memcpy(row_at(&m.y, &line, line.d, line.h), best + i * plan.pitch,
                   m.y.shape[4] * sizeof(floating))
        if m.indexed:
            write_indices(m, &line, row + i * plan.pitch, column + i * plan.pitch)
        next_line(&line, &m.y)


cdef void max_block(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Maxima* m = <const Maxima*>context
    cdef char* own = m.memory.own + thread * m.memory.own_bytes
    cdef char* places = own + m.places_at
    if m.y.itemsize == sizeof(float):
        max_lines(m, task, <float*>own, <int*>places)
    else:
        max_lines(m, task, <double*>own, <long_long*>places)


def max_pool(x, y, indices, tuple tables, tuple steps):
    """Write the maxima of the windows into `y`.

    Their places, flat within a plane of `x`, go into `indices` unless it is None. `tables` holds
    the windows of depth, row and column; `steps` the taps, the stride, the padding before, and the
    dilation of these axes.
    """
    cdef Maxima m
    cdef Plan* plan = &m.plan
    cdef int threads
    cdef Py_ssize_t own, t, r
    cdef Py_ssize_t* offsets
    look(x, 5, False, &m.x)
    look(y, 5, True, &m.y)
    m.indexed = indices is not None
    if m.indexed:
        look(indices, 5, True, &m.indices)
    make_plan(plan, tables, steps, &m.y, m.x.shape[4])
    m.direct = plan.pitch == m.y.shape[4] and planes_in_order(&m.y, 5)
    threads = threads_for(plan.lines * (plan.columns + LINE_COST) * plan.row_taps)
    # Lines and results, and as much for their places.
    own = (plan.block * (plan.width + 2 * plan.pitch) + plan.slack) * m.y.itemsize
    m.places_at = own if m.indexed else 0
    allocate(&m.memory, plan.row_taps * sizeof(Py_ssize_t), threads, own + m.places_at)
    offsets = <Py_ssize_t*>m.memory.shared
    for t in range(plan.taps[DEPTH]):
        for r in range(plan.taps[ROW]):
            offsets[t * plan.taps[ROW] + r] = (
                (t * plan.dilation[DEPTH] * m.x.shape[3] + r * plan.dilation[ROW]) * m.x.shape[4])
    with nogil:
        # Maxima are no sums: denormal numbers cost nothing, and stay what they are.
        parallel_for(threads, tasks_of(plan), max_block, &m, EVEN | DENORMALS)
        free(m.memory.shared)


cdef struct Scatter:
    View dy, indices, dx        # (N, C, P) and, contiguous, (N, C, cells)
    int outside                 # whether a plane has an index that lies outside


cdef bint scatter_plane(const Scatter* s, Py_ssize_t plane, floating* dx) noexcept nogil:
    cdef Py_ssize_t n = plane // s.dy.shape[1], c = plane % s.dy.shape[1], p
    cdef Py_ssize_t cells = s.dx.shape[2], hop = s.dy.strides[2], index_hop = s.indices.strides[2]
    cdef const char* dy = plane_at(&s.dy, n, c)
    cdef const char* index = plane_at(&s.indices, n, c)
    cdef long long at
    dx = <floating*>plane_at(&s.dx, n, c)
    memset(dx, 0, cells * sizeof(floating))
    for p in range(s.dy.shape[2]):
        at = (<const long long*>(index + p * index_hop))[0]
        if at < 0 or at >= cells:
            return False
        dx[at] += (<const floating*>(dy + p * hop))[0]
    return True


cdef void scatter(void* context, Py_ssize_t plane, int thread) noexcept nogil:
    cdef Scatter* s = <Scatter*>context
    cdef bint inside
    if s.dx.itemsize == sizeof(float):
        inside = scatter_plane[float](s, plane, NULL)
    else:
        inside = scatter_plane[double](s, plane, NULL)
    if not inside:
        atomic_store(&s.outside, 1, RELAXED)


def max_pool_backward(dy, indices, dx):
    """Add each residual (N, C, P) to the place in `dx` (N, C, cells) that its index names.

    Returns False, with `dx` unfinished, where an index lies outside the plane.
    """
    cdef Scatter s
    cdef Py_ssize_t planes
    look(dy, 3, False, &s.dy)
    look(indices, 3, False, &s.indices)
    look(dx, 3, True, &s.dx)
    s.outside, planes = 0, s.dy.shape[0] * s.dy.shape[1]
    with nogil:
        parallel_for(threads_for(<double>planes * (s.dy.shape[2] + s.dx.shape[2])), planes,
                     scatter, &s, EVEN)
    return not s.outside
