# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the windows come from it; `max_pool_backward` checks the indices, which come from outside.
"""Pooling as compiled loops over the lines of (N, C, D, H, W).

Planes that are written are contiguous; all other strides are free.

A window is reduced in two steps: first down its rows, column by column, then along its columns. Of
many lines at once the first step leaves

    lines[line][0 ... width)        width = pitch * stride, with the padding on both sides

in a buffer that stays in the first-level cache. There every column of the kernel is one constant
shift, and as the width is a multiple of the stride, the second step is one loop over all lines as
if they were one; the few positions at a line's end that are no window (pitch > out) are computed
and dropped. The gradient of the mean takes the two steps from behind: the shares of the windows
that hold a line's row are added up, then spread over their columns, one phase of the stride after
the other.

A block of lines is one task of the parallel loop. Each result is one sum in an order that the
geometry sets, in one task.
"""

from cython cimport floating
from cython.parallel cimport parallel, prange, threadid

from libc.math cimport INFINITY, frexp
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastconv.engine.base.threads cimport flush_denormals, restore_denormals, threads_for

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
    void larger_line(...) noexcept
    void larger_columns(...) noexcept
    void larger_line_at(...) noexcept
    void larger_columns_at(...) noexcept

ctypedef long long long_long

# The integers that stand beside the maxima: as wide as they are.
ctypedef fused place_t:
    int
    long_long

# The columns of a table of windows: the first input position inside the window, how many input
# positions the window holds, and how many cells a mean with `count_include_pad` divides by.
cdef enum:
    FIRST = 0
    INSIDE = 1
    COUNTED = 2

ctypedef const long long[:, ::1] table_t
# A line for each input position: how many windows hold it, whether they are those of the position
# before, and their numbers.
ctypedef const long long[:, ::1] readers_t

cdef enum:
    READERS = 0
    SAME = 1
    WINDOWS = 2

# The lines of a task take about so many bytes: half of a first-level cache of 32 KB.
cdef Py_ssize_t BLOCK_BYTES = 16384
# Multiply-adds that finding a line and its tail are worth.
cdef double LINE_COST = 24
# Two threads that write into one cache line would wait for each other.
cdef Py_ssize_t CACHE_LINE = 64


cdef struct Plan:
    Py_ssize_t taps[3]          # of the kernel: depth, row, column
    Py_ssize_t dilation[3]
    Py_ssize_t row_taps         # of all rows of the kernel
    Py_ssize_t stride, before   # of the columns
    Py_ssize_t pitch, width     # of a line: its windows, and its columns
    Py_ssize_t columns          # of the input that a line takes
    Py_ssize_t lines, block     # of all planes, and of a task
    Py_ssize_t slack            # columns beyond the lines that are read, and dropped
    bint cut                    # whether no window lies inside as a whole


cdef struct Line:
    Py_ssize_t n, c, d, h


cdef Py_ssize_t largest(table_t windows) noexcept nogil:
    cdef Py_ssize_t i, most = 0
    for i in range(windows.shape[0]):
        most = max(most, windows[i, INSIDE])
    return most


cdef Plan make_plan(tuple tables, tuple steps, Py_ssize_t in_columns, Py_ssize_t lines,
                    Py_ssize_t itemsize):
    cdef Plan plan
    cdef table_t table
    cdef Py_ssize_t axis
    taps, stride, before, dilation = steps
    for axis in range(3):
        table = tables[axis]
        plan.taps[axis] = largest(table)
        plan.dilation[axis] = dilation[axis]
    plan.row_taps = plan.taps[0] * plan.taps[1]
    plan.cut = plan.taps[2] < taps[2]
    plan.slack = 0 if plan.cut else (plan.taps[2] - 1) * plan.dilation[2]
    # Padding may be larger than any memory where it cuts all windows, so that all differ. The
    # stride has no meaning there, nor where there is one window: as long as that, it leaves no
    # positions between windows to be computed.
    plan.stride = stride[2]
    if plan.cut or table.shape[0] == 1:
        plan.stride = plan.slack + 1
    plan.before = 0 if plan.cut else before[2]
    plan.pitch = table.shape[0] + plan.slack // plan.stride
    plan.width = in_columns if plan.cut else plan.pitch * plan.stride
    plan.columns = min(in_columns, plan.width - plan.before)
    plan.lines = lines
    plan.block = min(max(BLOCK_BYTES // (plan.width * itemsize), 1), lines)
    return plan


cdef Line find_line(Py_ssize_t number, Py_ssize_t channels, Py_ssize_t depth,
                    Py_ssize_t rows) noexcept nogil:
    cdef Line line
    line.h = number % rows
    number //= rows
    line.d = number % depth
    number //= depth
    line.c = number % channels
    line.n = number // channels
    return line


cdef inline void next_line(Line* line, Py_ssize_t channels, Py_ssize_t depth,
                           Py_ssize_t rows) noexcept nogil:
    line.h += 1
    if line.h == rows:
        line.h = 0
        line.d += 1
        if line.d == depth:
            line.d = 0
            line.c += 1
            if line.c == channels:
                line.c = 0
                line.n += 1


cdef inline bint in_one_piece(const floating[:, :, :, :, :] maps) noexcept nogil:
    """Whether all planes, contiguous themselves, lie behind each other."""
    cdef Py_ssize_t plane = maps.shape[2] * maps.shape[3] * maps.shape[4] * sizeof(floating)
    return ((maps.shape[1] == 1 or maps.strides[1] == plane)
            and (maps.shape[0] == 1 or maps.strides[0] == plane * maps.shape[1]))


cdef floating* allocate(int threads, Py_ssize_t* size, floating* like) except NULL:
    """Return zeros, `size` for each thread; `size` is rounded up to cache lines of its own."""
    cdef Py_ssize_t line = CACHE_LINE // sizeof(floating)
    size[0] = (size[0] + 2 * line - 1) // line * line
    cdef floating* memory = <floating*>calloc(threads * size[0], sizeof(floating))
    if memory is NULL:
        raise MemoryError(f"no room for {threads} blocks of {size[0]} numbers")
    return memory


cdef void max_lines(const floating[:, :, :, :, :] x, floating[:, :, :, :, :] y,
                    long long[:, :, :, :, :] indices, table_t depth, table_t rows,
                    table_t columns, const Plan* plan, const Py_ssize_t* offsets,
                    Py_ssize_t task, bint direct, floating* lines,
                    place_t* places) noexcept nogil:
    """Write the maxima of one block of lines.

    `places` holds for each column of `lines` the number of the row tap where the maximum is;
    `offsets` how far that row lies behind the window's first.
    """
    cdef Py_ssize_t begin = task * plan.block
    cdef Py_ssize_t count = min(plan.block, plan.lines - begin)
    cdef Py_ssize_t size = plan.block * plan.width + plan.slack
    cdef Py_ssize_t i, j, s, t, r, d, h, at_line, origin, windows = count * plan.pitch
    cdef Line first = find_line(begin, y.shape[1], y.shape[2], y.shape[3])
    cdef Line line = first
    cdef floating* best = lines + size
    cdef place_t* row = places + size
    cdef place_t* column = row + plan.block * plan.pitch
    cdef floating* target
    cdef place_t* at = places
    cdef long long* index
    cdef const char* source

    for i in range(count):
        target = lines + i * plan.width
        for j in range(plan.before):
            target[j] = -INFINITY
        for j in range(plan.before + plan.columns, plan.width):
            target[j] = -INFINITY
        target += plan.before
        if indices is not None:
            at = places + i * plan.width
            # Padding comes behind every other column with the same maximum, -inf.
            for j in range(plan.width):
                at[j] = plan.row_taps
            at += plan.before
            for j in range(plan.columns):
                at[j] = 0
        for t in range(depth[line.d, INSIDE]):
            d = depth[line.d, FIRST] + t * plan.dilation[0]
            for r in range(rows[line.h, INSIDE]):
                h = rows[line.h, FIRST] + r * plan.dilation[1]
                source = <const char*>&x[line.n, line.c, d, h, 0]
                if t == 0 and r == 0:
                    take_line(target, source, x.strides[4], plan.columns, True)
                elif indices is not None:
                    larger_line_at(target, at, source, x.strides[4], t * plan.taps[1] + r,
                                   plan.columns)
                else:
                    larger_line(target, source, x.strides[4], plan.columns)
        next_line(&line, y.shape[1], y.shape[2], y.shape[3])

    if direct:
        best = &y[first.n, first.c, first.d, first.h, 0]
    if plan.cut:
        for i in range(windows):
            j = i % plan.pitch
            at_line = i // plan.pitch * plan.width + columns[j, FIRST]
            best[i] = lines[at_line]
            if indices is not None:
                row[i] = places[at_line]
                column[i] = 0
            for s in range(1, columns[j, INSIDE]):
                at_line += plan.dilation[2]
                if indices is not None:
                    larger_columns_at(best + i, row + i, column + i, lines + at_line,
                                      places + at_line, 1, s, 1)
                else:
                    larger_columns(best + i, lines + at_line, 1, 1)
    elif indices is not None:
        take_columns(best, lines, plan.stride, windows, True)
        for j in range(windows):
            row[j] = places[j * plan.stride]
            column[j] = 0
        for s in range(1, plan.taps[2]):
            larger_columns_at(best, row, column, lines + s * plan.dilation[2],
                              places + s * plan.dilation[2], plan.stride, s, windows)
    else:
        take_columns(best, lines, plan.stride, windows, True)
        for s in range(1, plan.taps[2]):
            larger_columns(best, lines + s * plan.dilation[2], plan.stride, windows)

    line = first
    for i in range(count):
        if not direct:
            memcpy(&y[line.n, line.c, line.d, line.h, 0], best + i * plan.pitch,
                   y.shape[4] * sizeof(floating))
        if indices is not None:
            origin = (depth[line.d, FIRST] * x.shape[3] + rows[line.h, FIRST]) * x.shape[4]
            index = &indices[line.n, line.c, line.d, line.h, 0]
            for j in range(y.shape[4]):
                at_line = columns[j, FIRST] if plan.cut else j * plan.stride - plan.before
                index[j] = (origin + at_line + offsets[row[i * plan.pitch + j]]
                            + column[i * plan.pitch + j] * plan.dilation[2])
        next_line(&line, y.shape[1], y.shape[2], y.shape[3])


def max_pool(const floating[:, :, :, :, :] x, floating[:, :, :, :, :] y,
             long long[:, :, :, :, :] indices, tuple tables, tuple steps):
    """Write the maxima of the windows into `y`.

    Their places, flat within a plane of `x`, go into `indices` unless it is None. `tables` holds
    the windows of depth, row and column; `steps` the taps, the stride, the padding before, and the
    dilation of these axes.
    """
    cdef table_t depth = tables[0], rows = tables[1], columns = tables[2]
    cdef Plan plan = make_plan(tables, steps, x.shape[4],
                               y.shape[0] * y.shape[1] * y.shape[2] * y.shape[3],
                               sizeof(floating))
    cdef bint direct = plan.pitch == y.shape[4] and in_one_piece(y)
    cdef int threads = threads_for(plan.lines * (plan.columns + LINE_COST) * plan.row_taps)
    cdef Py_ssize_t t, r, task, tasks = (plan.lines + plan.block - 1) // plan.block
    # Lines and results; their places; and how far each row of a window lies behind its first.
    cdef Py_ssize_t size = plan.block * (plan.width + 2 * plan.pitch) + plan.slack
    cdef floating* memory = allocate(threads, &size, <floating*>NULL)
    cdef floating* numbers = memory
    cdef floating* lines
    cdef Py_ssize_t* offsets = NULL
    if indices is not None:
        numbers = allocate(threads, &size, <floating*>NULL)
        offsets = <Py_ssize_t*>calloc(plan.row_taps + 1, sizeof(Py_ssize_t))
        for t in range(plan.taps[0]):
            for r in range(plan.taps[1]):
                offsets[t * plan.taps[1] + r] = (
                    (t * plan.dilation[0] * x.shape[3] + r * plan.dilation[1]) * x.shape[4])
    with nogil, parallel(num_threads=threads):
        for task in prange(tasks, schedule="static"):
            lines = memory + threadid() * size
            if floating is float:
                max_lines[float, int](x, y, indices, depth, rows, columns, &plan, offsets, task,
                                      direct, lines, <int*>(numbers + threadid() * size))
            else:
                max_lines[double, long_long](x, y, indices, depth, rows, columns, &plan, offsets,
                                             task, direct, lines,
                                             <long_long*>(numbers + threadid() * size))
    free(offsets)
    if numbers != memory:
        free(numbers)
    free(memory)


cdef bint scatter_plane(const floating[:, :, :] dy, const long long[:, :, :] indices,
                        floating[:, :, :] dx, Py_ssize_t n, Py_ssize_t c) noexcept nogil:
    cdef Py_ssize_t p, at
    memset(&dx[n, c, 0], 0, dx.shape[2] * sizeof(floating))
    for p in range(dy.shape[2]):
        at = indices[n, c, p]
        if at < 0 or at >= dx.shape[2]:
            return False
        dx[n, c, at] += dy[n, c, p]
    return True


def max_pool_backward(const floating[:, :, :] dy, const long long[:, :, :] indices,
                      floating[:, :, :] dx):
    """Add each residual (N, C, P) to the place in `dx` (N, C, cells) that its index names.

    Returns False, with `dx` unfinished, where an index lies outside the plane.
    """
    cdef Py_ssize_t i, channels = dy.shape[1], planes = dy.shape[0] * dy.shape[1]
    cdef int bad = 0
    cdef unsigned long saved = 0
    with nogil, parallel(num_threads=threads_for(<double>planes * (dy.shape[2] + dx.shape[2]))):
        saved = flush_denormals()
        for i in prange(planes, schedule="static"):
            bad += not scatter_plane(dy, indices, dx, i // channels, i % channels)
        restore_denormals(saved)
    return bad == 0


cdef void count_cells(table_t columns, Py_ssize_t kind, double cells,
                      floating* counts) noexcept nogil:
    """Write for each window of a line what its mean divides by, for one row."""
    cdef Py_ssize_t i
    for i in range(columns.shape[0]):
        counts[i] = 1 if cells else columns[i, kind]


cdef bint alike(table_t table, Py_ssize_t kind) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(table.shape[0]):
        if table[i, kind] != table[0, kind]:
            return False
    return True


cdef double common_factor(table_t depth, table_t rows, table_t columns, Py_ssize_t kind,
                          double cells) noexcept nogil:
    """Return the inverse of what every mean divides by where that is one power of two, else 0.

    To multiply by it then is exactly to divide, and faster.
    """
    cdef int exponent
    if not cells:
        if not (alike(depth, kind) and alike(rows, kind) and alike(columns, kind)):
            return 0
        cells = <double>depth[0, kind] * rows[0, kind] * columns[0, kind]
    return 1 / cells if frexp(cells, &exponent) == 0.5 else 0


cdef void mean_lines(const floating[:, :, :, :, :] x, floating[:, :, :, :, :] y, table_t depth,
                     table_t rows, table_t columns, const Plan* plan, const floating* counts,
                     double factor, double cells, Py_ssize_t kind, Py_ssize_t task, bint direct,
                     floating* lines) noexcept nogil:
    """Write the means of one block of lines."""
    cdef Py_ssize_t begin = task * plan.block
    cdef Py_ssize_t count = min(plan.block, plan.lines - begin)
    cdef Py_ssize_t i, _i, t, r, d, inside, windows = count * plan.pitch
    cdef Py_ssize_t hop = x.strides[4], down = plan.dilation[1] * x.strides[3]
    cdef const char* source
    cdef Line first = find_line(begin, y.shape[1], y.shape[2], y.shape[3])
    cdef Line line = first
    cdef floating* sums = lines + plan.block * plan.width + plan.slack
    cdef floating* target = lines + plan.before

    for _i in range(count):
        for t in range(depth[line.d, INSIDE]):
            d = depth[line.d, FIRST] + t * plan.dilation[0]
            source = <const char*>&x[line.n, line.c, d, rows[line.h, FIRST], 0]
            inside = rows[line.h, INSIDE]
            r = 0
            if t == 0 and inside > 1 and hop == sizeof(floating):
                # One pass instead of two for windows of two rows.
                take_two(target, source, source + down, plan.columns)
                r = 2
            while r < inside:
                take_line(target, source + r * down, hop, plan.columns, t == 0 and r == 0)
                r += 1
        target += plan.width
        next_line(&line, y.shape[1], y.shape[2], y.shape[3])

    if direct:
        sums = &y[first.n, first.c, first.d, first.h, 0]
    if plan.cut:
        for i in range(windows):
            source = <const char*>(lines + i // plan.pitch * plan.width
                                   + columns[i % plan.pitch, FIRST])
            sums[i] = 0
            for r in range(columns[i % plan.pitch, INSIDE]):
                sums[i] += (<const floating*>source)[r * plan.dilation[2]]
            if factor:
                sums[i] *= <floating>factor
    elif factor and plan.stride == 2 and plan.slack == 1:
        take_pairs(sums, lines, <floating>factor, windows)
    else:
        for i in range(plan.taps[2]):
            take_columns(sums, lines + i * plan.dilation[2], plan.stride, windows, i == 0)
        if factor:
            scale_line(sums, <floating>factor, windows)
    if direct and factor:
        return
    line = first
    for _i in range(count):
        if not factor:
            divide_line(sums, <floating>cells_of(depth, rows, cells, kind, line.d, line.h), counts,
                        y.shape[4])
        if not direct:
            memcpy(&y[line.n, line.c, line.d, line.h, 0], sums, y.shape[4] * sizeof(floating))
        sums += plan.pitch
        next_line(&line, y.shape[1], y.shape[2], y.shape[3])


cdef inline double cells_of(table_t depth, table_t rows, double cells, Py_ssize_t kind,
                            Py_ssize_t d, Py_ssize_t h) noexcept nogil:
    """Return the share of a line in what its means divide by; the columns have the other."""
    return cells if cells else <double>depth[d, kind] * rows[h, kind]


def mean_pool(const floating[:, :, :, :, :] x, floating[:, :, :, :, :] y, tuple tables,
              tuple steps, double cells, bint count_padding):
    """Write into `y` the sum of each window over its number of cells.

    The number is `cells` unless that is 0; else it includes the padding or not.
    """
    cdef table_t depth = tables[0], rows = tables[1], columns = tables[2]
    cdef Plan plan = make_plan(tables, steps, x.shape[4],
                               y.shape[0] * y.shape[1] * y.shape[2] * y.shape[3],
                               sizeof(floating))
    cdef Py_ssize_t kind = COUNTED if count_padding else INSIDE
    cdef double factor = common_factor(depth, rows, columns, kind, cells)
    cdef bint direct = plan.pitch == y.shape[4] and in_one_piece(y)
    cdef int threads = threads_for(plan.lines * (plan.columns + LINE_COST) * plan.row_taps)
    cdef Py_ssize_t task, tasks = (plan.lines + plan.block - 1) // plan.block
    cdef Py_ssize_t ones = y.shape[4]
    cdef Py_ssize_t size = plan.block * (plan.width + plan.pitch) + plan.slack
    cdef unsigned long saved = 0
    cdef floating* counts = allocate(1, &ones, <floating*>NULL)
    cdef floating* memory = allocate(threads, &size, <floating*>NULL)
    count_cells(columns, kind, cells, counts)
    with nogil, parallel(num_threads=threads):
        saved = flush_denormals()
        for task in prange(tasks, schedule="static"):
            mean_lines(x, y, depth, rows, columns, &plan, counts, factor, cells, kind, task,
                       direct, memory + threadid() * size)
        restore_denormals(saved)
    free(memory)
    free(counts)


cdef void spread_lines(const floating[:, :, :, :, :] dy, floating[:, :, :, :, :] dx,
                       table_t depth, table_t rows, table_t columns, readers_t depth_readers,
                       readers_t row_readers, const Plan* plan, const floating* counts,
                       double factor, double cells, Py_ssize_t kind, Py_ssize_t task,
                       floating* memory) noexcept nogil:
    """Write the gradients of one block of lines."""
    cdef Py_ssize_t begin = task * plan.block
    cdef Py_ssize_t count = min(plan.block, plan.lines - begin)
    cdef Py_ssize_t i, s, t, r, d, h, phase, period, windows
    cdef Py_ssize_t hop = dy.strides[4], size = plan.block * plan.pitch
    cdef Py_ssize_t reach = plan.slack // plan.stride
    cdef bint empty
    cdef Line first = find_line(begin, dx.shape[1], dx.shape[2], dx.shape[3])
    cdef Line line = first
    # In front of the first line lie zeros, as behind the last window of every line.
    cdef floating* shares = memory + reach
    cdef floating* phases = shares + size
    cdef floating* lines = phases + size * plan.stride
    cdef floating* target = shares

    for i in range(count):
        # Neighbours in the same windows have the same gradient: it is computed once.
        if i == 0 or not row_readers[line.h, SAME]:
            empty = True
            for t in range(depth_readers[line.d, READERS]):
                d = depth_readers[line.d, WINDOWS + t]
                for r in range(row_readers[line.h, READERS]):
                    h = row_readers[line.h, WINDOWS + r]
                    take_shares(target, <const char*>&dy[line.n, line.c, d, h, 0], hop,
                                <floating>factor,
                                <floating>cells_of(depth, rows, cells, kind, d, h), counts,
                                dy.shape[4], empty)
                    empty = False
            if empty:
                memset(target, 0, dy.shape[4] * sizeof(floating))
            target += plan.pitch
        next_line(&line, dx.shape[1], dx.shape[2], dx.shape[3])

    windows = target - shares
    if plan.cut:
        memset(lines, 0, windows // plan.pitch * plan.width * sizeof(floating))
        for i in range(windows):
            target = lines + i // plan.pitch * plan.width + columns[i % plan.pitch, FIRST]
            for s in range(columns[i % plan.pitch, INSIDE]):
                target[s * plan.dilation[2]] += shares[i]
    elif plan.stride == 2 and plan.slack == 1:
        double_columns(lines, shares, windows)
    else:
        # Taps come back to the phase of the first after so many; phases without taps stay zero.
        period = 1
        while period * plan.dilation[2] % plan.stride:
            period += 1
        for s in range(plan.taps[2]):
            phase = s * plan.dilation[2] % plan.stride
            take_line(phases + phase * size,
                      <const char*>(shares - s * plan.dilation[2] // plan.stride),
                      sizeof(floating), windows, s < period)
        interleave(lines, phases, size, plan.stride, windows)
    line = first
    lines += plan.before - plan.width
    for i in range(count):
        if i == 0 or not row_readers[line.h, SAME]:
            lines += plan.width
        # Planes are contiguous.
        target += dx.shape[4]
        if i == 0 or (line.h == 0 and line.d == 0):
            target = &dx[line.n, line.c, line.d, line.h, 0]
        take_line(target, <const char*>lines, sizeof(floating), plan.columns, True)
        if plan.columns < dx.shape[4]:
            memset(target + plan.columns, 0, (dx.shape[4] - plan.columns) * sizeof(floating))
        next_line(&line, dx.shape[1], dx.shape[2], dx.shape[3])


def mean_pool_backward(const floating[:, :, :, :, :] dy, floating[:, :, :, :, :] dx, tuple tables,
                       tuple readers, tuple steps, double cells, bint count_padding):
    """Spread each residual evenly over the cells of its window; arguments as in `mean_pool`.

    `readers` holds for depth and row which windows hold each input position.
    """
    cdef table_t depth = tables[0], rows = tables[1], columns = tables[2]
    cdef readers_t depth_readers = readers[0], row_readers = readers[1]
    cdef Plan plan = make_plan(tables, steps, dx.shape[4],
                               dx.shape[0] * dx.shape[1] * dx.shape[2] * dx.shape[3],
                               sizeof(floating))
    cdef Py_ssize_t kind = COUNTED if count_padding else INSIDE
    cdef double factor = common_factor(depth, rows, columns, kind, cells)
    cdef int threads = threads_for(2.0 * plan.lines * (plan.width + LINE_COST))
    cdef Py_ssize_t task, tasks = (plan.lines + plan.block - 1) // plan.block
    cdef Py_ssize_t ones = dy.shape[4]
    cdef Py_ssize_t size = (plan.block * (plan.width + plan.pitch * (1 + plan.stride))
                            + plan.slack // plan.stride)
    cdef unsigned long saved = 0
    cdef floating* counts = allocate(1, &ones, <floating*>NULL)
    cdef floating* memory = allocate(threads, &size, <floating*>NULL)
    count_cells(columns, kind, cells, counts)
    with nogil, parallel(num_threads=threads):
        saved = flush_denormals()
        for task in prange(tasks, schedule="static"):
            spread_lines(dy, dx, depth, rows, columns, depth_readers, row_readers, &plan,
                         counts, factor, cells, kind, task, memory + threadid() * size)
        restore_denormals(saved)
    free(memory)
    free(counts)
