# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the windows come from it.
"""The gradients of means and of sums of powers, by loops over the lines of (N, C, D, H, W).

Planes that are written are contiguous; all other strides are free. Residuals take the two steps of
pooling.pyx in reverse: the shares of the windows that hold a line's row are added up, then spread
over their columns, one phase of the stride after the other.
"""

from libc.string cimport memset

from fastconv.engine.base.arrays cimport Flat, View, look, look_flat, plane_at
from fastconv.engine.base.threads cimport Task, parallel_for, threads_for
from fastconv.engine.base.workspace cimport give
from fastconv.engine.ops.window_loops cimport Columns, Join, Loops, loops_of
from fastconv.engine.ops.windows cimport (
    COLUMN, DEPTH, LINE_COST, ROW, Divisor, Line, Lines, Memory, Plan, allocate, cells_of,
    count_columns, cut_lines, find_lines, lines_together, make_divisor, make_plan, next_line,
    pairs_columns, row_at, tasks_of)

# A task takes half of a first-level cache of 32 KB: lines of so many bytes, and their shares.
cdef Py_ssize_t SPREAD_BYTES = 8192


# A line of readers: how many windows hold an input position, how many positions from here on lie in
# the same ones, and their numbers.
cdef enum:
    READERS = 0
    ALIKE = 1
    WINDOWS = 2


cdef struct Shares:
    Plan plan
    Divisor divisor
    View dy, dx
    const long long* readers[2]     # of depth and row
    Py_ssize_t reader_step[2]       # from one line of them to the next
    Py_ssize_t together             # up to which line of a plane rows are written at once
    Memory memory
    Py_ssize_t phases_at, lines_at  # in a thread's part, behind the shares


cdef inline const long long* readers_of(const Shares* g, int axis, Py_ssize_t at) noexcept nogil:
    return g.readers[axis] + at * g.reader_step[axis]


cdef Py_ssize_t gather_shares(const Shares* g, const Lines* lines, char* shares) noexcept nogil:
    """Write for each column of windows what they give to a line; return how many of them.

    Neighbours in the same windows have the same gradient: it is computed once.
    """
    cdef const Plan* plan = &g.plan
    cdef Line line = lines.first
    cdef Py_ssize_t t, r, d, h, left = lines.count, count = 0, alike
    cdef const long long* depth
    cdef const long long* rows
    cdef bint first
    while left:
        depth, rows = readers_of(g, DEPTH, line.d), readers_of(g, ROW, line.h)
        first = True
        for t in range(depth[READERS]):
            d = depth[WINDOWS + t]
            for r in range(rows[READERS]):
                h = rows[WINDOWS + r]
                plan.loops.share(
                    shares, row_at(&g.dy, &line, d, h), g.dy.strides[4], g.divisor.factor,
                    cells_of(plan, &g.divisor, d, h), g.divisor.columns, g.dy.shape[4], first)
                first = False
        if first:
            memset(shares, 0, g.dy.shape[4] * plan.size)
        shares += plan.pitch * plan.size
        count += plan.pitch
        alike = min(left, rows[ALIKE])
        left -= alike
        line.h += alike - 1
        next_line(&line, &g.dx)
    return count


cdef void spread_columns(const Shares* g, Py_ssize_t count, const char* shares, char* phases,
                         char* lines) noexcept nogil:
    """Spread the shares of `count` windows over their columns."""
    cdef const Plan* plan = &g.plan
    cdef Columns columns
    cdef Join join
    cdef Py_ssize_t i, s, at, period = 1, phase = plan.block * plan.pitch
    if plan.cut:
        memset(lines, 0, count // plan.pitch * plan.width * plan.size)
        columns.dilation = plan.dilation[COLUMN]
        for i in range(count // plan.pitch):
            plan.loops.spread(&columns, <const long long*>plan.windows[COLUMN],
                              shares + i * plan.pitch * plan.size,
                              lines + i * plan.width * plan.size, plan.pitch)
    elif pairs_columns(plan):
        plan.loops.twice(lines, shares, 1, count)
    else:
        # Taps come back to the phase of the first after so many; phases without taps stay zero.
        while period * plan.dilation[COLUMN] % plan.stride:
            period += 1
        for s in range(plan.taps[COLUMN]):
            at = s * plan.dilation[COLUMN]
            join = plan.loops.take if s < period else plan.loops.add_to
            join(phases + at % plan.stride * phase * plan.size,
                 shares - at // plan.stride * plan.size, plan.size, count)
        plan.loops.interleave(lines, phases, phase, plan.stride, count)


cdef void write_lines(const Shares* g, const Lines* block, const char* lines) noexcept nogil:
    """Copy lines of the gradient into it; those that are alike are there once."""
    cdef const Plan* plan = &g.plan
    cdef Line line = block.first
    cdef Py_ssize_t left = block.count, alike
    while left:
        alike = min(left, readers_of(g, ROW, line.h)[ALIKE])
        plan.loops.repeat_rows(row_at(&g.dx, &line, line.d, line.h), g.dx.shape[4], lines,
                               plan.width, <Py_ssize_t>1, alike, plan.columns)
        lines += plan.width * plan.size
        left -= alike
        line.h += alike - 1
        next_line(&line, &g.dx)


cdef void spread_block(void* context, Py_ssize_t task, int thread) noexcept nogil:
    """Write the gradients of one block of lines."""
    cdef const Shares* g = <const Shares*>context
    cdef const Plan* plan = &g.plan
    cdef Lines block = find_lines(plan, &g.dx, task)
    cdef char* own = g.memory.own + thread * g.memory.own_bytes
    # In front of the first line lie zeros, as behind the last window of every line.
    cdef char* shares = own + plan.slack // plan.stride * plan.size
    cdef Py_ssize_t count = gather_shares(g, &block, shares)
    spread_columns(g, count, shares, own + g.phases_at, own + g.lines_at)
    write_lines(g, &block, own + g.lines_at + plan.before * plan.size)


cdef void spread_apart(void* context, Py_ssize_t task, int thread) noexcept nogil:
    """Write the gradients of a block of lines of windows: many rows in one loop."""
    cdef const Shares* g = <const Shares*>context
    cdef const Plan* plan = &g.plan
    cdef Lines block = find_lines(plan, &g.dy, task)
    cdef Line line = block.first
    cdef char* lines = g.memory.own + thread * g.memory.own_bytes
    cdef Py_ssize_t left = block.count, count, taps = plan.taps[ROW], width = g.dx.shape[4]
    while left:
        count = min(left, g.together - line.h)
        plan.loops.twice(lines, row_at(&g.dy, &line, 0, line.h), g.divisor.factor,
                         count * plan.pitch)
        plan.loops.repeat_rows(row_at(&g.dx, &line, 0, line.h * taps), width, lines, plan.width,
                               count, taps, plan.columns)
        left -= count
        line.h += count
        if line.h == g.dy.shape[3]:
            memset(row_at(&g.dx, &line, 0, line.h * taps), 0,
                   (g.dx.shape[3] - line.h * taps) * width * plan.size)
        line.h -= 1
        next_line(&line, &g.dy)


cdef bint are_apart(const Shares* g) noexcept nogil:
    """Whether windows of two columns lie beside each other, and their residuals in order."""
    cdef const Plan* plan = &g.plan
    return (g.divisor.factor != 0 and pairs_columns(plan) and plan.before == 0
            and g.dx.shape[2] == 1 == g.dy.shape[2] and plan.windows[ROW].first == 0
            and plan.dilation[ROW] == 1 and plan.row_stride == plan.taps[ROW]
            and g.dy.strides[4] == plan.size and g.dy.strides[3] == g.dy.shape[4] * plan.size)


def mean_pool_backward(dy, dx, numbers, readers, double cells, bint count_padding):
    """Spread each residual evenly over the cells of its window; arguments as in `mean_pool`.

    `readers` are the reader numbers of windows.py.
    """
    cdef Shares g
    cdef Plan* plan = &g.plan
    cdef Flat table
    cdef const long long* lengths
    cdef Task task = spread_block
    cdef int threads
    look(dy, 5, False, &g.dy)
    look(dx, 5, True, &g.dx)
    look_flat(readers, False, &table)
    lengths = <const long long*>table.data
    g.reader_step[DEPTH], g.reader_step[ROW] = lengths[DEPTH], lengths[ROW]
    g.readers[DEPTH] = lengths + 2
    g.readers[ROW] = g.readers[DEPTH] + g.reader_step[DEPTH] * g.dx.shape[2]
    make_plan(plan, numbers, g.dx.itemsize)
    cut_lines(plan, &g.dx, SPREAD_BYTES)
    threads = threads_for(2.0 * plan.lines * (plan.width + LINE_COST))
    g.divisor = make_divisor(plan, cells, count_padding)
    if are_apart(&g):
        task = spread_apart
        cut_lines(plan, &g.dy, SPREAD_BYTES)
        g.together = lines_together(plan, &g.dx, &g.dy)
    g.phases_at = (plan.slack // plan.stride + plan.block * plan.pitch) * plan.size
    g.lines_at = g.phases_at + plan.block * plan.pitch * plan.stride * plan.size
    allocate(&g.memory, g.dy.shape[4] * plan.size, threads,
             g.lines_at + plan.block * plan.width * plan.size)
    with nogil:
        count_columns(plan, &g.divisor, g.memory.shared)
        if not pairs_columns(plan):
            memset(g.memory.own, 0, threads * g.memory.own_bytes)
        parallel_for(threads, tasks_of(plan), task, &g)
        give(g.memory.shared)


cdef struct Planes:
    View source, target         # (N, C, cells), the target contiguous within a plane
    const Loops* loops
    double number


cdef void fill_plane(void* context, Py_ssize_t plane, int thread) noexcept nogil:
    cdef const Planes* p = <const Planes*>context
    cdef Py_ssize_t n = plane // p.target.shape[1], c = plane % p.target.shape[1]
    cdef const char* residual = plane_at(&p.source, n, c)
    cdef double value
    if p.target.itemsize == sizeof(float):
        value = (<const float*>residual)[0] / <float>p.number
    else:
        value = (<const double*>residual)[0] / p.number
    p.loops.fill(plane_at(&p.target, n, c), value, p.target.shape[2])


def spread_planes(dy, dx):
    """Write each residual (N, C, 1) over the number of cells into all of `dx` (N, C, cells)."""
    cdef Planes p
    look(dy, 3, False, &p.source)
    look(dx, 3, True, &p.target)
    p.loops, p.number = loops_of(p.target.itemsize), p.target.shape[2]
    cdef Py_ssize_t planes = p.target.shape[0] * p.target.shape[1]
    with nogil:
        parallel_for(threads_for(4.0 * planes * p.target.shape[2]), planes, fill_plane, &p)


cdef void slope_plane(void* context, Py_ssize_t plane, int thread) noexcept nogil:
    cdef const Planes* p = <const Planes*>context
    cdef Py_ssize_t n = plane // p.target.shape[1], c = plane % p.target.shape[1]
    p.loops.times_slope(plane_at(&p.target, n, c), plane_at(&p.source, n, c), p.source.strides[2],
                        p.number, p.target.shape[2])


def times_slope(x, gradient, double power):
    """Multiply the gradient (N, C, cells) by sign(x) |x|^(power - 1)."""
    cdef Planes p
    look(x, 3, False, &p.source)
    look(gradient, 3, True, &p.target)
    p.loops, p.number = loops_of(p.target.itemsize), power
    cdef Py_ssize_t planes = p.target.shape[0] * p.target.shape[1]
    with nogil:
        parallel_for(threads_for(4.0 * planes * p.target.shape[2]), planes, slope_plane, &p)
