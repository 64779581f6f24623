# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""The engine's weight gradient: the correlation of the input with the residual.

The same product of matrices as in forward.pyx, summed over the pixels: C = A B, with a row of A for
each step (c, t, r, s), a column of B for each output channel, and

    A   the input, never packed: in a slab, or in place, the pixels of a step lie at the positions
        of the pixels plus the step's shift (slab.pyx), which is what a row of a tile needs
    B   the residual, transposed block by block: the output channels of a pixel side by side
    C   the gradient, transposed: the output channels of a step side by side

A *unit* is a run of pixels, of all samples in one row, whose part of B fits in the second-level
cache. The units are cut into *chunks* whose number and borders depend on the shapes alone; a task
adds up one chunk for one panel of output channels, and the chunks' sums are added in order: the
result has the same bits for each number of threads.

Where the output channels of a group are too few to fill a vector, the vectors lie along the pixels
instead: both the input and the residual are in slabs of the same width, with zeros in the
residual's gaps, and every sum of C is a vector whose lanes are added at the end of the chunk.

For kernels of one tap, and for few pixels, the roles may change: with the input in the lanes and
the residual in the rows, C is the gradient as it stands in memory. The lanes are then all steps
(c, t, r, s): what the taps of some channels see is gathered from a slab, a row for each of its
positions.
"""

from cython cimport floating

from libc.string cimport memset

from fastconv.engine.base.arrays cimport Layout, Operands
from fastconv.engine.base.axis cimport ceil_div
from fastconv.engine.base.threads cimport EVEN, Phase, make_phase, parallel_phases
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.gemm.correlation cimport threads_of
from fastconv.engine.base.kernel cimport Kernel, record
from fastconv.engine.gemm.slab cimport (
    Cursor, Run, Slab, Windows, add_run, copy_row, fill_shifts, fill_slab, first_line,
    next_line, slab_planes, transpose, transpose_rows)
from fastconv.engine.gemm.tile cimport (
    DOT_COLUMNS, DOT_ROWS, MAX_ROWS, MAX_VECTORS, dot_rows, max_rows, run_dots, run_tile)
from fastconv.engine.gemm.weight_plan cimport (
    BLOCK, Correlation, dot_pixels, first_vector, lane_channels, make_correlation)


# What the tasks share; the maps in their roles: in the rows of A, and in the columns of B.
cdef struct Context:
    const Correlation* correlation
    Py_ssize_t itemsize
    const void* rows
    const void* columns
    void* dw
    char* shared


cdef struct Unit:
    Py_ssize_t columns                  # of its column block
    Py_ssize_t pixel, end               # in the column block


cdef void pack_residual(const floating* dy, const Correlation* p, const Run* runs,
                        Py_ssize_t n_runs, Py_ssize_t outputs, Py_ssize_t width, floating* rows,
                        floating* panel) noexcept nogil:
    """Put the output channels of each pixel side by side.

    Past the last channel nothing is written: what a tile adds up there is never read.
    """
    cdef Py_ssize_t i, j, r, count
    cdef const floating* source
    cdef floating* to
    for r in range(n_runs):
        to = panel + runs[r].first * width
        source = dy + runs[r].at
        if runs[r].step == 1:
            transpose(source, p.b_strides[2], outputs, runs[r].count, to, width)
            continue
        for j from 0 <= j < runs[r].count by BLOCK:
            count = min(<Py_ssize_t>BLOCK, runs[r].count - j)
            for i in range(outputs):
                copy_row(source + i * p.b_strides[2] + j * runs[r].step, runs[r].step, count,
                         rows + i * BLOCK)
            transpose(<const floating*>rows, BLOCK, outputs, count, to + j * width, width)


cdef Unit find_unit(const Correlation* p, Py_ssize_t number, Slab* slab) noexcept nogil:
    """Return the unit of this number, and move the slab to it."""
    cdef Unit unit
    slab.column = number // p.blocks * p.columns
    unit.columns = min(p.columns, p.windows.column.out - slab.column)
    # The last column block is narrower: it has fewer pixels.
    unit.pixel = min(number % p.blocks * p.pixels, p.windows.lines * unit.columns)
    unit.end = min(unit.pixel + p.pixels, p.windows.lines * unit.columns)
    slab.line = unit.pixel // unit.columns
    slab.lines = ceil_div(unit.end, unit.columns) - slab.line
    return unit


cdef Py_ssize_t list_pixels(const Windows* windows, const Slab* slab, const Unit* unit,
                            const Py_ssize_t* strides, Py_ssize_t* positions,
                            Run* runs) noexcept nogil:
    """Write the position of each pixel, and its runs in an array; return their number."""
    cdef Py_ssize_t column = unit.pixel - slab.line * unit.columns
    cdef Py_ssize_t count = 0, n_runs = 0, number, i, end = unit.end - unit.pixel
    cdef Cursor cursor = first_line(windows, slab, strides, slab.line)
    while count < end:
        number = min(unit.columns - column, end - count)
        n_runs = add_run(runs, n_runs, count, number, cursor.out + column * strides[5],
                         strides[5])
        for i in range(number):
            positions[count + i] = cursor.at + column + i
        count += number
        column = 0
        next_line(windows, slab, strides, &cursor)
    return n_runs


cdef void gather_panel(const floating* x, const Correlation* p, const Slab* slab,
                       Py_ssize_t lane, Py_ssize_t count, Py_ssize_t positions,
                       const Py_ssize_t* shifts, floating* slab_data,
                       floating* panel, Py_ssize_t width) noexcept nogil:
    """Put the numbers that some lanes (c, t, r, s) see from each position side by side."""
    cdef Py_ssize_t c = lane // p.kernel.taps
    fill_slab(x, &p.kernel, slab, c, ceil_div(lane + count, p.kernel.taps) - c, slab_data)
    transpose_rows(<const floating*>slab_data, shifts + (lane - c * p.kernel.taps), count,
                   positions, panel, width)


cdef void dot_chunk(const floating* x, const floating* dy, const Correlation* p, Py_ssize_t g,
                    Py_ssize_t chunk, const Py_ssize_t* shifts, char* own,
                    floating* partial) noexcept nogil:
    """Add up one chunk of the units with the vectors along the pixels."""
    cdef floating* slab_data = <floating*>(own + p.slab_at)
    cdef floating* residual = <floating*>(own + p.panel_at)
    cdef floating* dots = <floating*>(own + p.dots_at)
    cdef Py_ssize_t size = dot_pixels(p), height = dot_rows(sizeof(floating))
    cdef Py_ssize_t panels = ceil_div(p.outputs, height)
    cdef Py_ssize_t number, columns, column, pixel, end, count, at, i, j, k, row, rows, step
    cdef const floating* a[DOT_ROWS]
    cdef const floating* b[DOT_COLUMNS]
    cdef Slab slab = p.slab
    cdef Unit unit
    cdef Cursor cursor
    cdef floating total

    memset(dots, 0, p.outputs * p.dot_steps * p.lanes * sizeof(floating))
    # The last vector reads on behind the rows of its plane, where the residual is zero: what
    # stands there may be old, but must be a number.
    memset(slab_data, 0, p.windows.channels * slab_planes(&p.windows) * p.slab.plane
           * sizeof(floating))
    for number in range(chunk * p.units // p.chunks, (chunk + 1) * p.units // p.chunks):
        unit = find_unit(p, number, &slab)
        columns, pixel, end = unit.columns, unit.pixel, unit.end
        if pixel == end:
            continue
        fill_slab(x, &p.windows, &slab, 0, p.windows.channels, slab_data)
        memset(residual, 0, p.outputs * size * sizeof(floating))
        cursor = first_line(&p.windows, &slab, p.b_strides, slab.line)
        column = pixel - slab.line * columns
        at = 0
        while pixel < end:
            count = min(columns - column, end - pixel)
            at = cursor.at + column
            for k in range(p.outputs):
                copy_row(dy + k * p.b_strides[2] + cursor.out + column * p.b_strides[5],
                         p.b_strides[5], count, residual + k * size + at)
            at += count
            pixel += count
            column = 0
            next_line(&p.windows, &slab, p.b_strides, &cursor)
        for step from 0 <= step < p.steps by DOT_COLUMNS:
            for j in range(DOT_COLUMNS):
                # Past the last step the last one is computed again, and dropped.
                b[j] = slab_data + shifts[min(step + j, p.steps - 1)]
            for i in range(panels):
                row = i * p.outputs // panels
                rows = (i + 1) * p.outputs // panels - row
                for j in range(rows):
                    a[j] = residual + (row + j) * size
                run_dots(rows, a, b, ceil_div(at, p.lanes),
                         dots + (row * p.dot_steps + step) * p.lanes, p.dot_steps)
    for k in range(p.outputs):
        for step in range(p.steps):
            total = 0
            for i in range(p.lanes):
                total += dots[(k * p.dot_steps + step) * p.lanes + i]
            partial[step * p.width + k] = total


cdef inline Py_ssize_t tap_at(const Correlation* p, Py_ssize_t step) noexcept nogil:
    """Return where the step (c, t, r, s) lies in the gradient of an output channel."""
    cdef Py_ssize_t tap = step % p.kernel.taps
    return (step // p.kernel.taps * p.c_strides[2]
            + tap // p.kernel.column.taps // p.kernel.row.taps * p.c_strides[3]
            + tap // p.kernel.column.taps % p.kernel.row.taps * p.c_strides[4]
            + tap % p.kernel.column.taps * p.c_strides[5])


cdef void write_block(const floating* sums, Py_ssize_t width, const Correlation* p, Py_ssize_t g,
                      Py_ssize_t row, Py_ssize_t rows, Py_ssize_t column, Py_ssize_t columns,
                      floating* dw) noexcept nogil:
    """Write some rows and columns of C into the gradient."""
    cdef Py_ssize_t i, j, at
    dw += g * p.c_strides[0] + (row if p.turned else column) * p.c_strides[1]
    if p.neighbours and p.turned:
        for i in range(rows):
            copy_row(sums + i * width, 1, columns, dw + i * p.c_strides[1] + column)
    elif p.neighbours:
        transpose(sums, width, rows, columns, dw + row, p.c_strides[1])
    elif p.turned:
        for j in range(columns):
            at = tap_at(p, column + j)
            for i in range(rows):
                dw[at + i * p.c_strides[1]] = sums[i * width + j]
    else:
        for i in range(rows):
            at = tap_at(p, row + i)
            for j in range(columns):
                dw[at + j * p.c_strides[1]] = sums[i * width + j]


cdef void add_up_chunk(const floating* x, const Context* context, Py_ssize_t task,
                       int thread) noexcept nogil:
    """Add up one chunk of the units for some rows and panels; `x` and `dy` in their roles."""
    cdef const Correlation* p = context.correlation
    cdef const floating* dy = <const floating*>context.columns
    cdef floating* dw = <floating*>context.dw
    cdef char* shared = context.shared
    cdef char* own = shared + p.threads_at + thread * p.thread_bytes
    cdef Py_ssize_t panel_part = task % p.panel_parts
    cdef Py_ssize_t row_part = task // p.panel_parts % p.row_parts
    cdef Py_ssize_t g = task // p.panel_parts // p.row_parts % p.groups
    cdef Py_ssize_t chunk = task // p.panel_parts // p.row_parts // p.groups
    cdef const Py_ssize_t* shifts = <const Py_ssize_t*>(shared + p.shifts_at)
    cdef Py_ssize_t* b_at
    cdef floating* slab_data = <floating*>(own + p.slab_at)
    cdef floating* packed = <floating*>(own + p.panel_at)
    cdef Py_ssize_t* positions = <Py_ssize_t*>(own + p.positions_at)
    cdef Py_ssize_t* lane_positions = <Py_ssize_t*>(own + p.lane_positions_at)
    cdef Run* runs = <Run*>(own + p.runs_at)
    cdef Py_ssize_t number, n_runs, c, channels, steps, panel, panels, count
    cdef Py_ssize_t vectors, output, outputs, height, i, j, row, rows, c_row
    cdef Py_ssize_t first = chunk * p.units // p.chunks
    cdef Py_ssize_t first_panel = panel_part * p.panels // p.panel_parts
    cdef Py_ssize_t start = row_part * p.windows.channels // p.row_parts
    cdef Py_ssize_t end = (row_part + 1) * p.windows.channels // p.row_parts
    cdef const floating* a[MAX_ROWS]
    cdef const floating* source
    cdef floating* sums
    cdef floating* c_at
    cdef Slab slab = p.slab, lane_slab = p.lane_slab
    cdef Unit unit
    cdef Run whole

    whole.first, whole.at, whole.step = 0, 0, 1
    x += g * p.windows.strides[1]
    dy += g * p.b_strides[1]
    sums = <floating*>(shared + p.partial_at) + (chunk * p.groups + g) * p.steps * p.width
    if p.dots:
        dot_chunk(x, dy, p, g, chunk, shifts, own, sums)
        return
    for number in range(first, (chunk + 1) * p.units // p.chunks):
        unit = find_unit(p, number, &slab)
        n_runs = list_pixels(&p.windows, &slab, &unit, p.b_strides, positions, runs)
        count = unit.end - unit.pixel
        if p.gathered and count:
            lane_slab.line, lane_slab.column, lane_slab.lines = slab.line, slab.column, slab.lines
            list_pixels(&p.kernel, &lane_slab, &unit, p.b_strides, lane_positions, runs)
        c = start
        while c < end:
            channels = min(p.channels, end - c)
            steps = channels * p.windows.taps
            source = x + c * p.windows.strides[2]
            if not p.windows.in_place:
                fill_slab(x, &p.windows, &slab, c, channels, slab_data)
                source = slab_data
            for panel in range(first_panel, (panel_part + 1) * p.panels // p.panel_parts):
                vectors = first_vector(p, panel + 1) - first_vector(p, panel)
                output = first_vector(p, panel) * p.lanes
                outputs = min(vectors * p.lanes, p.outputs - output)
                if p.kept:
                    packed = (<floating*>(own + p.panel_at)
                              + (panel - first_panel) * p.packed * MAX_VECTORS * p.lanes)
                if p.gathered:
                    b_at = lane_positions + p.pixels
                    for i in range(count):
                        b_at[i] = lane_positions[i] * vectors * p.lanes
                    if count:
                        gather_panel(dy, p, &lane_slab, output, outputs,
                                     lane_positions[count - 1] + 1,
                                     <const Py_ssize_t*>(shared + p.lane_shifts_at),
                                     <floating*>(own + p.lane_slab_at), packed,
                                     vectors * p.lanes)
                else:
                    b_at = <Py_ssize_t*>(shared + p.b_at_at) + (vectors - 1) * p.pixels
                    if c == start or not p.kept:
                        pack_residual(dy + output * p.b_strides[2], p, runs, n_runs, outputs,
                                      vectors * p.lanes, <floating*>(own + p.rows_at), packed)
                if p.in_place:
                    whole.count, c_row = outputs, p.c_strides[1]
                    c_at = dw + g * p.c_strides[0] + c * c_row + output
                else:
                    # The sums of a panel lie together.
                    whole.count = c_row = vectors * p.lanes
                    c_at = sums + output * p.steps + c * p.windows.taps * c_row
                height = max_rows(sizeof(floating), vectors)
                panels = ceil_div(steps, height)
                for i in range(panels):
                    row = i * steps // panels
                    rows = (i + 1) * steps // panels - row
                    for j in range(rows):
                        a[j] = source + shifts[row + j]
                    run_tile(rows, vectors, a, positions, packed, b_at, count, c_at + row * c_row,
                             c_row, &whole, 1, <const floating*>NULL, number > first)
                if p.chunks == 1 and number == p.units - 1 and not p.in_place:
                    # All there is, and still in the cache.
                    write_block(<const floating*>c_at, c_row, p, g, c * p.windows.taps, steps,
                                output, outputs, dw)
            c += channels


cdef void chunk_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Context* c = <const Context*>context
    if c.itemsize == sizeof(float):
        add_up_chunk(<const float*>c.rows, c, task, thread)
    else:
        add_up_chunk(<const double*>c.rows, c, task, thread)


cdef void add_chunks(floating* dw, const Context* context, Py_ssize_t task,
                     int thread) noexcept nogil:
    """Write the sum of the chunks, in order, into a block of rows of a panel."""
    cdef const Correlation* p = context.correlation
    cdef const floating* partial = <const floating*>(context.shared + p.partial_at)
    cdef floating* sums = <floating*>(
        context.shared + p.threads_at + thread * p.thread_bytes + p.rows_at)
    cdef Py_ssize_t blocks = ceil_div(p.steps, BLOCK), size = p.groups * p.steps * p.width
    cdef Py_ssize_t step = task % blocks * BLOCK, panel = task // blocks % p.panels
    cdef Py_ssize_t g = task // blocks // p.panels
    cdef Py_ssize_t count = min(p.steps - step, <Py_ssize_t>BLOCK)
    cdef Py_ssize_t output = first_vector(p, panel) * p.lanes
    cdef Py_ssize_t width = first_vector(p, panel + 1) * p.lanes - output
    cdef Py_ssize_t i
    cdef const floating* source = partial + g * p.steps * p.width + output * p.steps + step * width
    copy_row(source, 1, count * width, sums)
    for _ in range(1, p.chunks):
        source += size
        for i in range(count * width):
            sums[i] += source[i]
    write_block(<const floating*>sums, width, p, g, step, count, output,
                min(width, p.outputs - output), dw)


cdef void sum_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Context* c = <const Context*>context
    if c.itemsize == sizeof(float):
        add_chunks(<float*>c.dw, c, task, thread)
    else:
        add_chunks(<double*>c.dw, c, task, thread)


cdef inline Py_ssize_t chunk_tasks(const Correlation* p) noexcept nogil:
    """Return the number of tasks that add up chunks."""
    return p.chunks * p.groups * p.row_parts * p.panel_parts


cdef class WeightGradient(Kernel):
    """The correlation of the input `x` with the residual `dy`, which may not be empty.

    dw[g,k,c,tap] = sum over n, p of dy[n,g,k,p] * x[n,g,c, p*stride + tap*dilation - before].
    Stride, padding before and dilation are of three axes.
    """

    cdef tuple stride, before, dilation
    cdef Correlation correlation

    def __init__(self, tuple stride, tuple before, tuple dilation):
        self.stride, self.before, self.dilation = stride, before, dilation

    cdef int worth_threads(self, const Layout* layout) noexcept:
        return threads_of(layout)

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Correlation* p = &self.correlation
        p[0] = make_correlation(
            layout.x.shape, layout.x.strides, layout.y.shape, layout.y.strides, layout.w.shape,
            layout.w.strides, layout.itemsize, self.stride, self.before, self.dilation, threads)
        self.team = min(<Py_ssize_t>threads, chunk_tasks(p))
        return p.threads_at + self.team * p.thread_bytes

    cdef int compute(self, const Operands* o, size_t bytes) except -1:
        cdef const Correlation* p = &self.correlation
        cdef char* shared = <char*>take(bytes)
        cdef Py_ssize_t i, v, sums = 0
        cdef Context context
        cdef Phase[2] phases
        record("weight product", self.largest[0], self.largest[1])
        fill_shifts(&p.windows, &p.slab, p.channels, <Py_ssize_t*>(shared + p.shifts_at))
        if p.gathered:
            fill_shifts(&p.kernel, &p.lane_slab, lane_channels(p),
                        <Py_ssize_t*>(shared + p.lane_shifts_at))
        for v in range(MAX_VECTORS):
            for i in range(p.pixels):
                (<Py_ssize_t*>(shared + p.b_at_at))[v * p.pixels + i] = i * (v + 1) * p.lanes
        context.correlation, context.itemsize, context.shared = p, o.layout.itemsize, shared
        context.rows, context.columns, context.dw = o.x, o.y, o.w
        if p.turned:
            context.rows, context.columns = o.y, o.x
        phases[0] = make_phase(chunk_task, &context, chunk_tasks(p), 0)
        if p.chunks > 1 or p.dots:
            sums = p.groups * p.panels * ceil_div(p.steps, BLOCK)
        phases[1] = make_phase(sum_task, &context, sums, EVEN)
        with nogil:
            parallel_phases(self.team, phases, 2)
        give(shared)
        return 0
