# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the windows come from it.
"""Maxima and means of windows as compiled loops over the lines of (N, C, D, H, W).

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

from libc.math cimport INFINITY
from libc.string cimport memcpy

from fastconv.engine.base.arrays cimport View, look, planes_in_order
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport DENORMALS, EVEN, parallel_for, threads_for
from fastconv.engine.base.workspace cimport give
from fastconv.engine.ops.windows cimport (
    COLUMN, DEPTH, LINE_COST, ROW, Divisor, Join, Line, Lines, Loops, Memory, Plan, Reduce,
    Rows, Window, allocate, cells_of, count_columns, find_lines, lines_together, make_divisor, make_plan,
    next_line, pairs_columns, row_at, tasks_of)

cdef extern from "ops/pooling.h" nogil:
    const Loops** table_f "fastconv_pooling_f"
    const Loops** table_d "fastconv_pooling_d"


cdef const Loops* loops_of(Py_ssize_t itemsize) noexcept:
    """Return the loops for float or double."""
    return (table_f if itemsize == sizeof(float) else table_d)[isa_row()]


cdef struct Pool:
    Plan plan
    View x, y
    bint maxima                 # or means
    Reduce reduce               # adds the rows, or takes the largest
    Join join                   # adds, or takes the larger
    Rows rows
    Py_ssize_t together         # up to which line of a plane rows are reduced at once, or 0
    bint indexed                # whether the places of maxima are wanted, too
    View indices
    Divisor divisor             # of means
    bint direct                 # whether a block of results is one piece of the output
    Memory memory
    Py_ssize_t* offsets         # shared: how far each row of a window lies behind its first
    Py_ssize_t results_at       # where a thread's part has room for results, and for places: the
    Py_ssize_t places_at        # rows in the lines, then rows and columns of the results


# Where a task finds its lines and leaves its results; `row` and `column` of a maximum are the
# numbers of its taps.
cdef struct Buffers:
    char* lines
    char* places
    char* best
    char* row
    char* column


cdef void reduce_rows(const Pool* p, const Lines* lines, char* numbers,
                      char* places) noexcept nogil:
    """Write the maximum or sum of each column, down the rows of a window, and where it is."""
    cdef const Plan* plan = &p.plan
    cdef const Window* depth
    cdef const Window* rows
    cdef Line line = lines.first
    cdef Py_ssize_t left = lines.count, count = 1
    while left:
        depth, rows = plan.windows[DEPTH] + line.d, plan.windows[ROW] + line.h
        if p.together:
            count = min(left, p.together - line.h)
        p.reduce(&p.rows, row_at(&p.x, &line, depth.first, rows.first), count, depth.inside,
                 rows.inside, numbers, places)
        numbers += count * plan.width * plan.size
        places += count * plan.width * plan.size
        left -= count
        line.h += count - 1
        next_line(&line, &p.y)


cdef void reduce_some(const Pool* p, const Buffers* b, Py_ssize_t first, Py_ssize_t result,
                      Py_ssize_t taps, Py_ssize_t hop, Py_ssize_t count) noexcept nogil:
    """Reduce windows along their columns; where the first begins is said in bytes."""
    cdef const Plan* plan = &p.plan
    cdef Py_ssize_t s
    plan.loops.take(b.best + result, b.lines + first, hop, count)
    if p.indexed:
        plan.loops.take_places(b.row + result, b.column + result, b.places + first, hop, count)
    for s in range(1, taps):
        first += plan.dilation[COLUMN] * plan.size
        if p.indexed:
            plan.loops.larger_column(b.best + result, b.row + result, b.column + result,
                                     b.lines + first, b.places + first, hop, s, count)
        else:
            p.join(b.best + result, b.lines + first, hop, count)


cdef void reduce_columns(const Pool* p, const Buffers* b, Py_ssize_t count) noexcept nogil:
    """Write the results of `count` windows, all but a division."""
    cdef const Plan* plan = &p.plan
    cdef const Window* window
    cdef Py_ssize_t i
    if p.divisor.factor and pairs_columns(plan):
        plan.loops.halve(b.best, b.lines, p.divisor.factor, count)
        return
    if plan.cut:
        for i in range(count):
            window = plan.windows[COLUMN] + i % plan.pitch
            reduce_some(p, b, (i // plan.pitch * plan.width + window.first) * plan.size,
                        i * plan.size, window.inside, plan.size, 1)
    else:
        reduce_some(p, b, 0, 0, plan.taps[COLUMN], plan.stride * plan.size, count)
    if p.divisor.factor:
        plan.loops.scale(b.best, p.divisor.factor, count)


cdef void write_places(const Pool* p, const Line* line, const char* row,
                       const char* column) noexcept nogil:
    """Write where the maxima of a line are, flat within a plane of the input."""
    cdef const Plan* plan = &p.plan
    cdef Py_ssize_t first = (
        plan.windows[DEPTH][line.d].first * p.x.shape[3]
        + plan.windows[ROW][line.h].first) * p.x.shape[4]
    plan.loops.name_places(
        <long long*>row_at(&p.indices, line, line.d, line.h), row, column, p.offsets,
        plan.dilation[COLUMN], &plan.windows[COLUMN].first if plan.cut else NULL,
        first if plan.cut else first - plan.before, plan.stride, p.y.shape[4])


cdef void pool_block(void* context, Py_ssize_t task, int thread) noexcept nogil:
    """Write the results of one block of lines."""
    cdef const Pool* p = <const Pool*>context
    cdef const Plan* plan = &p.plan
    cdef Lines lines = find_lines(plan, &p.y, task)
    cdef Line line = lines.first
    cdef Py_ssize_t i, pitch = plan.pitch * plan.size, before = plan.before * plan.size
    cdef Buffers b
    b.lines = p.memory.own + thread * p.memory.own_bytes
    b.places = b.lines + p.places_at
    b.best = b.lines + p.results_at
    if p.direct:
        b.best = row_at(&p.y, &line, line.d, line.h)
    b.row = b.places + p.results_at
    b.column = b.row + plan.block * pitch
    reduce_rows(p, &lines, b.lines + before, b.places + before)
    reduce_columns(p, &b, lines.count * plan.pitch)
    if p.direct and not p.indexed and (p.maxima or p.divisor.factor):
        return
    for i in range(lines.count):
        if not p.maxima and not p.divisor.factor:
            plan.loops.divide(b.best, cells_of(plan, &p.divisor, line.d, line.h),
                              p.divisor.columns, p.y.shape[4])
        if not p.direct:
            memcpy(row_at(&p.y, &line, line.d, line.h), b.best, p.y.shape[4] * plan.size)
        if p.indexed:
            write_places(p, &line, b.row + i * pitch, b.column + i * pitch)
        b.best += pitch
        next_line(&line, &p.y)


cdef int pool_lines(Pool* p, x, y, numbers, double cells, bint pads, int how) except -1:
    """Complete the plan, and give its tasks to the threads."""
    cdef Plan* plan = &p.plan
    cdef int threads, thread
    cdef Py_ssize_t t, r, room, shared, row_taps
    cdef char* own
    look(x, 5, False, &p.x)
    look(y, 5, True, &p.y)
    make_plan(plan, loops_of(p.y.itemsize), numbers, &p.y)
    row_taps = plan.taps[DEPTH] * plan.taps[ROW]
    p.divisor = make_divisor(plan, cells, pads)
    p.join, p.reduce = plan.loops.add, plan.loops.add_rows
    if p.maxima:
        p.join, p.divisor.factor = plan.loops.larger, 0
        p.reduce = plan.loops.larger_rows_at if p.indexed else plan.loops.larger_rows
    p.rows.step = plan.row_stride * p.x.strides[3]
    p.together = lines_together(plan, &p.x, &p.y)
    p.rows.plane_step = plan.dilation[DEPTH] * p.x.strides[2]
    p.rows.row_step, p.rows.hop = plan.dilation[ROW] * p.x.strides[3], p.x.strides[4]
    p.rows.count, p.rows.pitch, p.rows.numbers = plan.columns, plan.width, plan.taps[ROW]
    p.direct = plan.pitch == p.y.shape[4] and planes_in_order(&p.y, 5)
    threads = threads_for(
        <double>plan.lines * (plan.columns + LINE_COST) * row_taps)
    room = plan.block * plan.width + plan.slack
    p.results_at = room * plan.size
    p.places_at = (room + plan.block * plan.pitch) * plan.size
    shared = row_taps * sizeof(Py_ssize_t) if p.maxima else plan.outs[COLUMN] * plan.size
    allocate(&p.memory, shared, threads,
             p.places_at + p.indexed * (p.results_at + 2 * plan.block * plan.pitch * plan.size))
    with nogil:
        if p.maxima:
            p.offsets = <Py_ssize_t*>p.memory.shared
            for t in range(plan.taps[DEPTH]):
                for r in range(plan.taps[ROW]):
                    p.offsets[t * plan.taps[ROW] + r] = p.x.shape[4] * (
                        t * plan.dilation[DEPTH] * p.x.shape[3] + r * plan.dilation[ROW])
        else:
            count_columns(plan, &p.divisor, p.memory.shared)
        if plan.columns < plan.width:
            # Padding, which no task writes.
            for thread in range(threads):
                own = p.memory.own + thread * p.memory.own_bytes
                plan.loops.fill(own, -INFINITY if p.maxima else 0, room)
                # It comes behind every other column with the same maximum, -inf.
                if p.indexed:
                    plan.loops.fill_places(own + p.places_at, row_taps, room)
        parallel_for(threads, tasks_of(plan), pool_block, p, how)
        give(p.memory.shared)
    return 0


def max_pool(x, y, indices, numbers):
    """Write the maxima of the windows into `y`; `numbers` are those of windows.py.

    Their places, flat within a plane of `x`, go into `indices` unless it is None.
    """
    cdef Pool p
    p.maxima, p.indexed = True, indices is not None
    if p.indexed:
        look(indices, 5, True, &p.indices)
    # Maxima are no sums: denormal numbers cost nothing, and stay what they are.
    pool_lines(&p, x, y, numbers, 1, False, EVEN | DENORMALS)


def mean_pool(x, y, numbers, double cells, bint count_padding):
    """Write into `y` the sum of each window over its number of cells.

    The number is `cells` unless that is 0; else it includes the padding or not.
    """
    cdef Pool p
    p.maxima = p.indexed = False
    pool_lines(&p, x, y, numbers, cells, count_padding, EVEN)
