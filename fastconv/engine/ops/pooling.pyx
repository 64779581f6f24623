# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the windows come from it; `max_pool_backward` checks the indices, which come from outside.
"""Maxima and means of windows, and their gradients, by loops over the lines of (N, C, D, H, W).

Planes that are written are contiguous; all other strides are free.

A window is reduced in two steps: first down its rows, column by column, then along its columns. Of
many lines at once the first step leaves

    lines[line][0 ... width)        width = pitch * stride, with the padding on both sides

in a buffer that stays in the first-level cache. There every column of the kernel is one constant
shift, and as the width is a multiple of the stride, the second step is one loop over all lines as
if they were one; the few positions at a line's end that are no window (pitch > out) are computed
and dropped.

Backward, each residual of a maximum goes to its place. Those of means take the two steps in
reverse: the shares of the windows that hold a line's row are added up, then spread over their
columns, one phase of the stride after the other.

A block of lines is one task. Each result is found in an order that the geometry sets, in one task.
"""

from cython cimport floating

from libc.math cimport INFINITY
from libc.string cimport memcpy, memset

from fastconv.engine.base.arrays cimport Flat, View, look, look_flat, plane_at, planes_in_order
from fastconv.engine.base.threads cimport (
    Phase, Task, make_phase, parallel_for, parallel_phases, threads_for)
from fastconv.engine.base.workspace cimport give
from fastconv.engine.ops.windows cimport (
    COLUMN, DEPTH, LINE_COST, ROW, Divisor, Join, Line, Lines, Memory, Plan, Reduce, Rows, Window,
    allocate, cells_of, count_columns, cut_lines, find_lines, lines_together, make_divisor,
    make_plan, next_line, pairs_columns, row_at, tasks_of)

cdef extern from *:
    void atomic_store "__atomic_store_n"(int* at, int value, int order) noexcept nogil
    int RELAXED "__ATOMIC_RELAXED"


# The lines of a task take about so many bytes: half of a first-level cache of 32 KB, beside what is
# read. A gradient has its shares there, too.
cdef Py_ssize_t POOL_BYTES = 16384
cdef Py_ssize_t SPREAD_BYTES = 8192


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


cdef int pool_lines(Pool* p, x, y, numbers, double cells, bint pads) except -1:
    """Complete the plan, and give its tasks to the threads."""
    cdef Plan* plan = &p.plan
    cdef int threads, thread
    cdef Py_ssize_t t, r, room, shared, row_taps
    cdef char* own
    cdef Phase phase
    look(x, 5, False, &p.x)
    look(y, 5, True, &p.y)
    make_plan(plan, numbers, p.y.itemsize)
    cut_lines(plan, &p.y, POOL_BYTES)
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
        phase = make_phase(pool_block, p, tasks_of(plan))
        # Maxima are no sums: denormal numbers cost nothing, and stay what they are.
        phase.denormals = p.maxima
        parallel_phases(threads, &phase, 1)
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
    pool_lines(&p, x, y, numbers, 1, False)


def mean_pool(x, y, numbers, double cells, bint count_padding):
    """Write into `y` the sum of each window over its number of cells.

    The number is `cells` unless that is 0; else it includes the padding or not.
    """
    cdef Pool p
    p.maxima = p.indexed = False
    pool_lines(&p, x, y, numbers, cells, count_padding)


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
                     scatter, &s)
    return not s.outside


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
    cdef const Window* window
    cdef Py_ssize_t i, s, at, period = 1, phase = plan.block * plan.pitch
    if plan.cut:
        memset(lines, 0, count // plan.pitch * plan.width * plan.size)
        for i in range(count):
            window = plan.windows[COLUMN] + i % plan.pitch
            for s in range(window.inside):
                at = i // plan.pitch * plan.width + window.first + s * plan.dilation[COLUMN]
                plan.loops.add(lines + at * plan.size, shares + i * plan.size, plan.size, 1)
    elif pairs_columns(plan):
        plan.loops.twice(lines, shares, 1, count)
    else:
        # Taps come back to the phase of the first after so many; phases without taps stay zero.
        while period * plan.dilation[COLUMN] % plan.stride:
            period += 1
        for s in range(plan.taps[COLUMN]):
            at = s * plan.dilation[COLUMN]
            (plan.loops.take if s < period else plan.loops.add)(
                phases + at % plan.stride * phase * plan.size,
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
