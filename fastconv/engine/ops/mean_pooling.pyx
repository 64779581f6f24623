# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the windows come from it.
"""Pooling by the mean as compiled loops over the lines of (N, C, D, H, W), and its gradient.

A window is reduced in the two steps of `max_pooling`. The gradient takes them from behind: the
shares of the windows that hold a line's row are added up, then spread over their columns, one phase
of the stride after the other.

A block of lines is one task. Each result is one sum in an order that the geometry sets, in one
task.
"""

from cython cimport floating

from libc.math cimport frexp
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from fastconv.engine.base.arrays cimport View, look, planes_in_order
from fastconv.engine.base.threads cimport EVEN, parallel_for, threads_for
from fastconv.engine.ops.windows cimport (
    COLUMN, DEPTH, LINE_COST, ROW, Line, Lines, Memory, Plan, Window, allocate, find_lines,
    make_plan, next_line, row_at, tasks_of)

# Macros that choose by the first argument's type; lines.h says what the others are.
cdef extern from "ops/pooling.h" nogil:
    void take_line(...) noexcept
    void take_two(...) noexcept
    void take_columns(...) noexcept
    void take_pairs(...) noexcept
    void take_shares(...) noexcept
    void scale_line(...) noexcept
    void divide_line(...) noexcept
    void interleave(...) noexcept
    void double_columns(...) noexcept


cdef struct Means:
    Plan plan
    View x, y                   # input and output, or their gradients
    double cells                # what all means divide by, or 0 where each counts its own
    bint pads                   # whether padding counts
    double factor               # the inverse of the cells where to multiply by it is exact, or 0
    bint direct                 # whether a block of results is one piece of the output
    const long long* readers[2]     # of depth and row: see `mean_pool_backward`
    Py_ssize_t reader_step[2]       # from one line of them to the next
    Memory memory               # shared: the cells of each column


cdef inline long long cells_in(const Window* window, bint pads) noexcept nogil:
    return window.counted if pads else window.inside


cdef inline double cells_of(const Means* m, Py_ssize_t d, Py_ssize_t h) noexcept nogil:
    """Return the share of a line in what its means divide by; the columns have the other."""
    if m.cells:
        return m.cells
    return (<double>cells_in(m.plan.windows[DEPTH] + d, m.pads)
            * cells_in(m.plan.windows[ROW] + h, m.pads))


cdef double common_factor(const Means* m) noexcept nogil:
    """Return the inverse of what every mean divides by where that is one power of two, else 0.

    To multiply by it then is exactly to divide, and faster.
    """
    cdef double cells = m.cells
    cdef const Window* windows
    cdef Py_ssize_t axis, i
    cdef int exponent
    if not cells:
        cells = 1
        for axis in range(3):
            windows = m.plan.windows[axis]
            for i in range(1, m.plan.outs[axis]):
                if cells_in(windows + i, m.pads) != cells_in(windows, m.pads):
                    return 0
            cells *= cells_in(windows, m.pads)
    return 1 / cells if frexp(cells, &exponent) == 0.5 else 0


cdef void count_cells(const Means* m, floating* counts) noexcept nogil:
    """Write for each window of a line what its mean divides by, for one row."""
    cdef Py_ssize_t i
    for i in range(m.plan.outs[COLUMN]):
        counts[i] = 1 if m.cells else cells_in(m.plan.windows[COLUMN] + i, m.pads)


cdef void sum_rows(const Means* m, const Lines* lines, floating* sums) noexcept nogil:
    """Write the sums of each column, down the rows of a window."""
    cdef const Plan* plan = &m.plan
    cdef const Window* depth
    cdef const Window* rows
    cdef Line line = lines.first
    cdef Py_ssize_t _i, t, r, hop = m.x.strides[4], down = plan.dilation[ROW] * m.x.strides[3]
    cdef const char* source
    sums += plan.before
    for _i in range(lines.count):
        depth, rows = plan.windows[DEPTH] + line.d, plan.windows[ROW] + line.h
        for t in range(depth.inside):
            source = row_at(&m.x, &line, depth.first + t * plan.dilation[DEPTH], rows.first)
            r = 0
            if t == 0 and rows.inside > 1 and hop == sizeof(floating):
                # One pass instead of two for windows of two rows.
                take_two(sums, source, source + down, plan.columns)
                r = 2
            while r < rows.inside:
                take_line(sums, source + r * down, hop, plan.columns, t == 0 and r == 0)
                r += 1
        sums += plan.width
        next_line(&line, &m.y)


cdef void sum_columns(const Means* m, Py_ssize_t count, const floating* lines,
                      floating* sums) noexcept nogil:
    """Write the sums of `count` windows, or their means where one factor makes them."""
    cdef const Plan* plan = &m.plan
    cdef const Window* window
    cdef const floating* source
    cdef floating factor = <floating>m.factor
    cdef Py_ssize_t i, s
    if plan.cut:
        for i in range(count):
            window = plan.windows[COLUMN] + i % plan.pitch
            source = lines + i // plan.pitch * plan.width + window.first
            sums[i] = 0
            for s in range(window.inside):
                sums[i] += source[s * plan.dilation[COLUMN]]
            if factor:
                sums[i] *= factor
    elif factor and plan.stride == 2 and plan.slack == 1:
        take_pairs(sums, lines, factor, count)
    else:
        for i in range(plan.taps[COLUMN]):
            take_columns(sums, lines + i * plan.dilation[COLUMN], plan.stride, count, i == 0)
        if factor:
            scale_line(sums, factor, count)


cdef void mean_lines(const Means* m, Py_ssize_t task, floating* numbers) noexcept nogil:
    """Write the means of one block of lines."""
    cdef const Plan* plan = &m.plan
    cdef Lines lines = find_lines(plan, &m.y, task)
    cdef Line line = lines.first
    cdef floating* sums = numbers + plan.block * plan.width + plan.slack
    cdef Py_ssize_t _i
    sum_rows(m, &lines, numbers)
    if m.direct:
        sums = <floating*>row_at(&m.y, &line, line.d, line.h)
    sum_columns(m, lines.count * plan.pitch, numbers, sums)
    if m.direct and m.factor:
        return
    for _i in range(lines.count):
        if not m.factor:
            divide_line(sums, <floating>cells_of(m, line.d, line.h),
                        <const floating*>m.memory.shared, m.y.shape[4])
        if not m.direct:
            memcpy(row_at(&m.y, &line, line.d, line.h), sums, m.y.shape[4] * sizeof(floating))
        sums += plan.pitch
        next_line(&line, &m.y)


cdef void mean_block(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Means* m = <const Means*>context
    cdef char* own = m.memory.own + thread * m.memory.own_bytes
    if m.y.itemsize == sizeof(float):
        mean_lines(m, task, <float*>own)
    else:
        mean_lines(m, task, <double*>own)


cdef int prepare_means(Means* m, double cells, bint count_padding, int threads,
                       Py_ssize_t numbers) except -1:
    """Complete all but the readers; a thread has room for so many numbers."""
    m.cells, m.pads = cells, count_padding
    m.factor = common_factor(m)
    allocate(&m.memory, m.y.shape[4] * m.y.itemsize, threads, numbers * m.y.itemsize)
    if m.y.itemsize == sizeof(float):
        count_cells(m, <float*>m.memory.shared)
    else:
        count_cells(m, <double*>m.memory.shared)
    return 0


def mean_pool(x, y, tuple tables, tuple steps, double cells, bint count_padding):
    """Write into `y` the sum of each window over its number of cells.

    The number is `cells` unless that is 0; else it includes the padding or not.
    """
    cdef Means m
    cdef Plan* plan = &m.plan
    cdef int threads
    look(x, 5, False, &m.x)
    look(y, 5, True, &m.y)
    make_plan(plan, tables, steps, &m.y, m.x.shape[4])
    m.direct = plan.pitch == m.y.shape[4] and planes_in_order(&m.y, 5)
    threads = threads_for(plan.lines * (plan.columns + LINE_COST) * plan.row_taps)
    prepare_means(&m, cells, count_padding, threads,
                  plan.block * (plan.width + plan.pitch) + plan.slack)
    with nogil:
        parallel_for(threads, tasks_of(plan), mean_block, &m, EVEN)
        free(m.memory.shared)


# A line of readers: how many windows hold an input position, whether they are those of the position
# before, and their numbers.
cdef enum:
    READERS = 0
    SAME = 1
    WINDOWS = 2


cdef inline const long long* readers_of(const Means* m, int axis, Py_ssize_t at) noexcept nogil:
    return m.readers[axis] + at * m.reader_step[axis]


cdef Py_ssize_t gather_shares(const Means* m, const Lines* lines, floating* shares) noexcept nogil:
    """Write for each column of windows what they give to a line; return how many of them.

    Neighbours in the same windows have the same gradient: it is computed once.
    """
    cdef Line line = lines.first
    cdef Py_ssize_t i, t, r, d, h, count = 0
    cdef const long long* depth
    cdef const long long* rows
    cdef bint empty
    for i in range(lines.count):
        rows = readers_of(m, ROW, line.h)
        if i == 0 or not rows[SAME]:
            depth = readers_of(m, DEPTH, line.d)
            empty = True
            for t in range(depth[READERS]):
                d = depth[WINDOWS + t]
                for r in range(rows[READERS]):
                    h = rows[WINDOWS + r]
                    take_shares(shares, row_at(&m.y, &line, d, h), m.y.strides[4],
                                <floating>m.factor, <floating>cells_of(m, d, h),
                                <const floating*>m.memory.shared, m.y.shape[4], empty)
                    empty = False
            if empty:
                memset(shares, 0, m.y.shape[4] * sizeof(floating))
            shares += m.plan.pitch
            count += m.plan.pitch
        next_line(&line, &m.x)
    return count


cdef void spread_columns(const Means* m, Py_ssize_t count, const floating* shares,
                         floating* phases, floating* lines) noexcept nogil:
    """Spread the shares of `count` windows over their columns."""
    cdef const Plan* plan = &m.plan
    cdef const Window* window
    cdef floating* target
    cdef Py_ssize_t i, s, at, period = 1, size = plan.block * plan.pitch
    if plan.cut:
        memset(lines, 0, count // plan.pitch * plan.width * sizeof(floating))
        for i in range(count):
            window = plan.windows[COLUMN] + i % plan.pitch
            target = lines + i // plan.pitch * plan.width + window.first
            for s in range(window.inside):
                target[s * plan.dilation[COLUMN]] += shares[i]
    elif plan.stride == 2 and plan.slack == 1:
        double_columns(lines, shares, count)
    else:
        # Taps come back to the phase of the first after so many; phases without taps stay zero.
        while period * plan.dilation[COLUMN] % plan.stride:
            period += 1
        for s in range(plan.taps[COLUMN]):
            at = s * plan.dilation[COLUMN]
            take_line(phases + at % plan.stride * size,
                      <const char*>(shares - at // plan.stride), sizeof(floating), count,
                      s < period)
        interleave(lines, phases, size, plan.stride, count)


cdef void write_lines(const Means* m, const Lines* block, const floating* lines) noexcept nogil:
    """Copy lines of the gradient into it; those that are alike are there once."""
    cdef Line line = block.first
    cdef Py_ssize_t i, width = m.x.shape[4], columns = m.plan.columns
    cdef floating* target = NULL
    lines += m.plan.before - m.plan.width
    for i in range(block.count):
        if i == 0 or not readers_of(m, ROW, line.h)[SAME]:
            lines += m.plan.width
        # Planes are contiguous.
        if i == 0 or (line.h == 0 and line.d == 0):
            target = <floating*>row_at(&m.x, &line, line.d, line.h)
        take_line(target, <const char*>lines, sizeof(floating), columns, True)
        if columns < width:
            memset(target + columns, 0, (width - columns) * sizeof(floating))
        target += width
        next_line(&line, &m.x)


cdef void spread_lines(const Means* m, Py_ssize_t task, floating* numbers) noexcept nogil:
    """Write the gradients of one block of lines."""
    cdef const Plan* plan = &m.plan
    cdef Lines block = find_lines(plan, &m.x, task)
    # In front of the first line lie zeros, as behind the last window of every line.
    cdef floating* shares = numbers + plan.slack // plan.stride
    cdef floating* phases = shares + plan.block * plan.pitch
    cdef floating* lines = phases + plan.block * plan.pitch * plan.stride
    spread_columns(m, gather_shares(m, &block, shares), shares, phases, lines)
    write_lines(m, &block, lines)


cdef void spread_block(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Means* m = <const Means*>context
    cdef char* own = m.memory.own + thread * m.memory.own_bytes
    if m.x.itemsize == sizeof(float):
        spread_lines(m, task, <float*>own)
    else:
        spread_lines(m, task, <double*>own)


def mean_pool_backward(dy, dx, tuple tables, tuple readers, tuple steps, double cells,
                       bint count_padding):
    """Spread each residual evenly over the cells of its window; arguments as in `mean_pool`.

    `readers` holds for depth and row which windows hold each input position.
    """
    cdef Means m
    cdef Plan* plan = &m.plan
    cdef View table
    cdef int axis, threads
    look(dy, 5, False, &m.y)
    look(dx, 5, True, &m.x)
    for axis in range(2):
        look(readers[axis], 2, False, &table)
        m.readers[axis], m.reader_step[axis] = <const long long*>table.data, table.shape[1]
    make_plan(plan, tables, steps, &m.x, m.x.shape[4])
    threads = threads_for(2.0 * plan.lines * (plan.width + LINE_COST))
    prepare_means(&m, cells, count_padding, threads,
                  plan.block * (plan.width + plan.pitch * (1 + plan.stride))
                  + plan.slack // plan.stride)
    with nogil:
        parallel_for(threads, tasks_of(plan), spread_block, &m, EVEN)
        free(m.memory.shared)
