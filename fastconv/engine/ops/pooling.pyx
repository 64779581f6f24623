# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the windows come from it.
"""Maxima, means and sums of powers of windows, by loops over the lines of (N, C, D, H, W).

Planes that are written are contiguous; all other strides are free.

A window is reduced in two steps: first down its rows, column by column, then along its columns. Of
many lines at once the first step leaves

    lines[line][0 ... width)        width = pitch * stride, with the padding on both sides

in a buffer that stays in the first-level cache. There every column of the kernel is one constant
shift, and as the width is a multiple of the stride, the second step is one loop over all lines as
if they were one; the few positions at a line's end that are no window (pitch > out) are computed
and dropped. Windows of which none lies inside as a whole, and those that do not lie evenly, are
found in their table instead.

Beside each maximum goes its place: how many cells of the plane it lies behind the window's first.
Bytes are widened to float when they are loaded.

A block of lines is one task. Each result is found in an order that the geometry sets, in one task.
"""

from libc.math cimport INFINITY
from libc.string cimport memcpy

from fastconv.engine.base.arrays cimport View, look, planes_in_order
from fastconv.engine.base.threads cimport Phase, make_phase, parallel_phases, threads_for
from fastconv.engine.base.workspace cimport give
from fastconv.engine.ops.window_loops cimport Columns, Loops, Reduction, Rows
from fastconv.engine.ops.windows cimport (
    COLUMN, DEPTH, LINE_COST, ROW, Divisor, Line, Lines, Memory, Plan, Window, allocate, cells_of,
    count_columns, cut_lines, find_lines, lines_together, make_divisor, make_plan, next_line,
    row_at, tasks_of, windows_of)

# The lines of a task take about so many bytes: half of a first-level cache of 32 KB, beside what is
# read.
cdef Py_ssize_t POOL_BYTES = 16384
# The place of padding, behind every other with the same maximum, -inf. Planes that a float's places
# are for have fewer cells (functional/pooling.py).
cdef Py_ssize_t NOWHERE = 1 << 30


cdef struct Pool:
    Plan plan
    View x, y
    bint maxima                 # or sums
    Reduction reduce
    Rows rows
    Columns columns
    Py_ssize_t together         # up to which line of a plane rows are reduced at once, or 0
    bint indexed                # whether the places of maxima are wanted, too
    bint signed                 # of bytes
    View indices
    Divisor divisor             # of means
    double root, scale          # of sums of powers: (scale * mean)^(1 / root), or 0
    bint direct                 # whether a block of results is one piece of the output
    bint finished               # whether results that lie there need nothing more
    Memory memory
    # Where a thread's part has results, places of the lines, and places of the results.
    Py_ssize_t results_at, line_places_at, places_at


cdef void reduce_rows(const Pool* p, const Lines* lines, char* numbers,
                      char* places) noexcept nogil:
    """Write the maximum or sum of each column, down the rows of a window, and where it is."""
    cdef const Plan* plan = &p.plan
    cdef const Window* depth
    cdef const Window* rows
    cdef Line line = lines.first
    cdef Py_ssize_t left = lines.count, count = 1
    while left:
        depth = windows_of(plan, DEPTH, &p.y, &line) + line.d
        rows = windows_of(plan, ROW, &p.y, &line) + line.h
        if p.together:
            count = min(left, p.together - line.h)
        p.reduce.rows(&p.rows, row_at(&p.x, &line, depth.first, rows.first), count, depth.inside,
                      rows.inside, numbers, places)
        numbers += count * plan.width * plan.size
        places += count * plan.width * plan.size
        left -= count
        line.h += count - 1
        next_line(&line, &p.y)


cdef void reduce_columns(const Pool* p, const Lines* lines, const char* numbers,
                         const char* number_places, char* results, char* places) noexcept nogil:
    """Write the results of the lines, all but what is done line by line."""
    cdef const Plan* plan = &p.plan
    cdef Line line = lines.first
    cdef Py_ssize_t i, width = plan.width * plan.size, pitch = plan.pitch * plan.size
    if not plan.cut:
        p.reduce.columns(&p.columns, numbers, number_places, results, places,
                         lines.count * plan.pitch)
        return
    for i in range(lines.count):
        p.reduce.windows(&p.columns, <const long long*>windows_of(plan, COLUMN, &p.y, &line),
                         numbers + i * width, number_places + i * width, results + i * pitch,
                         places + i * pitch, plan.pitch)
        next_line(&line, &p.y)


cdef void name_places(const Pool* p, const Line* line, const char* places) noexcept nogil:
    """Write where the maxima of a line are, flat within a plane of the input."""
    cdef const Plan* plan = &p.plan
    cdef Py_ssize_t first = (
        windows_of(plan, DEPTH, &p.y, line)[line.d].first * p.x.shape[3]
        + windows_of(plan, ROW, &p.y, line)[line.h].first) * p.x.shape[4]
    plan.loops.name_places(
        <long long*>row_at(&p.indices, line, line.d, line.h), places,
        &windows_of(plan, COLUMN, &p.y, line).first if plan.cut else NULL,
        first if plan.cut else first - plan.before, plan.stride, p.y.shape[4])


cdef void finish_line(const Pool* p, const Line* line, char* results) noexcept nogil:
    """Do what is left with the results of a line, and bring them to their place."""
    cdef const Plan* plan = &p.plan
    cdef Py_ssize_t count = p.y.shape[4]
    cdef char* row = row_at(&p.y, line, line.d, line.h)
    if not p.maxima and not p.divisor.factor:
        plan.loops.divide(results, cells_of(plan, &p.divisor, line.d, line.h), p.divisor.columns,
                          count)
    if p.root:
        plan.loops.root(results, p.scale, p.root, count)
    if p.y.itemsize == 1:
        plan.loops.narrow(row, results, count)
    elif not p.direct:
        memcpy(row, results, count * plan.size)


cdef void pool_block(void* context, Py_ssize_t task, int thread) noexcept nogil:
    """Write the results of one block of lines."""
    cdef const Pool* p = <const Pool*>context
    cdef const Plan* plan = &p.plan
    cdef Lines lines = find_lines(plan, &p.y, task)
    cdef Line line = lines.first
    cdef Py_ssize_t i, pitch = plan.pitch * plan.size, before = plan.before * plan.size
    cdef char* numbers = p.memory.own + thread * p.memory.own_bytes
    cdef char* number_places = numbers + p.line_places_at
    cdef char* places = numbers + p.places_at
    cdef char* results = numbers + p.results_at
    if p.direct:
        results = row_at(&p.y, &line, line.d, line.h)
    reduce_rows(p, &lines, numbers + before, number_places + before)
    reduce_columns(p, &lines, numbers, number_places, results, places)
    if p.finished and not p.indexed:
        return
    for i in range(lines.count):
        if not p.finished:
            finish_line(p, &line, results + i * pitch)
        if p.indexed:
            name_places(p, &line, places + i * pitch)
        next_line(&line, &p.y)


cdef Reduction reduction(const Pool* p) noexcept nogil:
    cdef const Loops* loops = p.plan.loops
    if not p.maxima:
        return loops.add_powers if p.root else loops.add
    if p.y.itemsize == 1:
        if p.indexed:
            return loops.larger_of_bytes_at[p.signed]
        return loops.larger_of_bytes[p.signed]
    return loops.larger_at if p.indexed else loops.larger


cdef int pool_lines(Pool* p, x, y, numbers, double cells, bint pads) except -1:
    """Complete the plan, and give its tasks to the threads."""
    cdef Plan* plan = &p.plan
    cdef int threads, thread
    cdef Py_ssize_t room, places
    cdef char* own
    cdef Phase phase
    look(x, 5, False, &p.x)
    look(y, 5, True, &p.y)
    make_plan(plan, numbers, max(p.y.itemsize, <Py_ssize_t>sizeof(float)))
    cut_lines(plan, &p.y, POOL_BYTES)
    p.divisor = make_divisor(plan, cells, pads)
    p.reduce = reduction(p)
    p.rows.step = plan.row_stride * p.x.strides[3]
    p.together = lines_together(plan, &p.x, &p.y)
    p.rows.plane_step = plan.dilation[DEPTH] * p.x.strides[2]
    p.rows.row_step, p.rows.hop = plan.dilation[ROW] * p.x.strides[3], p.x.strides[4]
    p.rows.plane_place = plan.dilation[DEPTH] * p.x.shape[3] * p.x.shape[4]
    p.rows.row_place = plan.dilation[ROW] * p.x.shape[4]
    p.rows.count, p.rows.pitch = plan.columns, plan.width
    p.columns.stride, p.columns.taps = plan.stride, plan.taps[COLUMN]
    p.columns.dilation, p.columns.factor = plan.dilation[COLUMN], p.divisor.factor or 1
    p.direct = (plan.pitch == p.y.shape[4] and planes_in_order(&p.y, 5)
                and p.y.itemsize == plan.size)
    p.finished = p.direct and not p.root and (p.maxima or p.divisor.factor != 0)
    threads = threads_for(
        <double>plan.lines * (plan.columns + LINE_COST) * plan.taps[DEPTH] * plan.taps[ROW])
    room = (plan.block * plan.width + plan.slack) * plan.size
    places = plan.block * plan.pitch * plan.size
    p.results_at, p.line_places_at, p.places_at = room, room + places, 2 * room + places
    allocate(&p.memory, plan.outs[COLUMN] * plan.size, threads,
             2 * (room + places) if p.indexed else room + places)
    with nogil:
        count_columns(plan, &p.divisor, p.memory.shared)
        if plan.columns < plan.width:
            # Padding, which no task writes.
            for thread in range(threads):
                own = p.memory.own + thread * p.memory.own_bytes
                plan.loops.fill(own, -INFINITY if p.maxima else 0, room // plan.size)
                if p.indexed:
                    plan.loops.fill_places(own + p.line_places_at, NOWHERE, room // plan.size)
        phase = make_phase(pool_block, p, tasks_of(plan))
        # Maxima are no sums: denormal numbers cost nothing, and stay what they are.
        phase.denormals = p.maxima
        parallel_phases(threads, &phase, 1)
        give(p.memory.shared)
    return 0


def max_pool(x, y, indices, numbers, bint signed=False):
    """Write the maxima of the windows into `y`; `numbers` are those of windows.py.

    Their places, flat within a plane of `x`, go into `indices` unless it is None. Single bytes are
    `signed` or not.
    """
    cdef Pool p
    p.maxima, p.indexed, p.signed, p.root = True, indices is not None, signed, 0
    if p.indexed:
        look(indices, 5, True, &p.indices)
    # What maxima are divided by: nothing.
    pool_lines(&p, x, y, numbers, 1, False)


def mean_pool(x, y, numbers, double cells, bint count_padding):
    """Write into `y` the sum of each window over its number of cells.

    The number is `cells` unless that is 0; else it includes the padding or not.
    """
    cdef Pool p
    p.maxima = p.indexed = False
    p.root = 0
    pool_lines(&p, x, y, numbers, cells, count_padding)


def power_pool(x, y, numbers, double cells, double power, double scale):
    """Write into `y` (scale * mean |x|^power)^(1/power), the mean as in `mean_pool`, padded."""
    cdef Pool p
    p.maxima = p.indexed = False
    p.root, p.scale, p.rows.power = power, scale, power
    p.rows.whole = <int>power if power == <int>min(power, 8.0) else 0
    pool_lines(&p, x, y, numbers, cells, True)
