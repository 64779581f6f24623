# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""The engine's weight gradient: the correlation of the input with the residual.

The same product of matrices as in _gemm.pyx, summed over the pixels: C = A B, with a row of A for
each step (c, t, r, s), a column of B for each output channel, and

    A   the input, never packed: in a slab, or in place, the pixels of a step lie at the positions
        of the pixels plus the step's shift (_slab.pyx), which is what a row of a tile needs
    B   the residual, transposed block by block: the output channels of a pixel side by side
    C   the gradient, transposed: the output channels of a step side by side

A *unit* is a run of pixels, of all samples in one row, whose part of B fits in the second-level
cache. The units are cut into *chunks* whose number and borders depend on the shapes alone; a task
adds up one chunk for one panel of output channels, and the chunks' sums are added in order: the
result has the same bits for each number of threads.

Where the output channels of a group are too few to fill a vector, the vectors lie along the pixels
instead: both the input and the residual are in slabs of the same width, with zeros in the
residual's gaps, and every sum of C is a vector whose lanes are added at the end of the chunk.

For kernels of one tap the roles may change: with the input in the lanes and the residual in the
rows, C is the gradient as it stands in memory.
"""

from cython cimport floating
from cython.parallel cimport parallel, prange, threadid

from libc.string cimport memcmp, memset

from fastconv._slab cimport (
    Cursor, Run, Slab, Windows, add_run, ceil_div, copy_row, fill_shifts, fill_slab, first_line,
    line_up, make_slab, make_windows, next_line, slab_planes, transpose)
from fastconv._threads cimport flush_denormals, restore_denormals, threads_for
from fastconv._tile cimport (
    DOT_COLUMNS, DOT_ROWS, MAX_ROWS, MAX_VECTORS, dot_rows, lanes, max_rows, output_vectors,
    run_dots, run_tile)
from fastconv._views cimport Axes, View, look, split_maps, split_weights
from fastconv._workspace cimport give, take

# Bytes of one step's pixels in a unit: the rows of A in a tile stay in the first-level cache, and
# no running sum is longer.
cdef Py_ssize_t UNIT_BYTES = 2048
# The channels of a slab share the second-level cache with a panel of B.
cdef Py_ssize_t SLAB_BYTES = 3 << 17
# Tasks that keep many threads busy, where the sums of so many chunks take no more than so much.
cdef Py_ssize_t TASKS = 32
cdef Py_ssize_t PARTIAL_BYTES = 1 << 24
# Sums along the vectors: at most so many steps, or the sums leave the second-level cache.
cdef Py_ssize_t DOT_STEPS = 1024
# Steps and output channels that are transposed at once when the chunks are added.
cdef enum:
    BLOCK = 64


cdef struct Correlation:
    Windows windows
    Py_ssize_t groups, steps, outputs
    Py_ssize_t b_strides[6]             # of the residual (N, G, K, D, H, W), in elements
    Py_ssize_t c_strides[6]             # of the gradient (G, K, C, T, R, S)
    Py_ssize_t lanes, vectors, panels   # of all output channels of a group
    Py_ssize_t columns, column_blocks
    Py_ssize_t pixels, blocks, units    # of a unit; units of a column block; all units
    Py_ssize_t chunks, parts            # a task: a chunk, for a part of the panels
    Py_ssize_t channels                 # of a slab
    Slab slab
    bint dots                           # vectors lie along the pixels
    Py_ssize_t dot_steps                # of a row of their sums
    bint in_place                       # the gradient itself takes the sums
    bint neighbours                     # the steps of the gradient lie side by side
    bint turned                         # the residual in the rows, the input in the lanes
    Py_ssize_t width                    # of a row of the partial sums
    # The workspace: what all threads share, then one part for each.
    size_t shifts_at, b_at_at, partial_at, threads_at
    size_t slab_at, panel_at, rows_at, positions_at, runs_at, dots_at, thread_bytes


cdef struct Unit:
    Py_ssize_t columns                  # of its column block
    Py_ssize_t pixel, end               # in the column block


cdef Correlation make_correlation(const Py_ssize_t* x, const Py_ssize_t* x_strides,
                                  const Py_ssize_t* dy, const Py_ssize_t* dy_strides,
                                  const Py_ssize_t* dw, const Py_ssize_t* dw_strides,
                                  Py_ssize_t itemsize, tuple stride, tuple before,
                                  tuple dilation, int threads):
    """Return the plan for arrays of these shapes and strides."""
    cdef Correlation p
    cdef Py_ssize_t i, total, size, planes, last
    p.windows = make_windows(x, x_strides, dw + 3, dy + 3, itemsize, stride, before, dilation)
    p.groups, p.outputs, p.steps = dw[0], dw[1], dw[2] * p.windows.taps
    for i in range(6):
        p.b_strides[i] = dy_strides[i] // itemsize
        p.c_strides[i] = dw_strides[i] // itemsize
    p.lanes = lanes(itemsize)
    p.dots = 2 * p.outputs <= p.lanes and p.steps <= DOT_STEPS
    p.dot_steps = ceil_div(p.steps, DOT_COLUMNS) * DOT_COLUMNS
    p.windows.in_place = p.windows.in_place and not p.dots
    p.vectors = ceil_div(p.outputs, p.lanes)
    p.panels = ceil_div(p.vectors, output_vectors(itemsize))
    planes = slab_planes(&p.windows)
    p.columns = min(p.windows.column.out, max(UNIT_BYTES // itemsize, 1))
    p.columns = ceil_div(p.windows.column.out, ceil_div(p.windows.column.out, p.columns))
    p.column_blocks = ceil_div(p.windows.column.out, p.columns)
    total = p.windows.lines * p.columns
    p.blocks = ceil_div(total, max(UNIT_BYTES // itemsize, 1))
    p.pixels = ceil_div(total, p.blocks)
    p.blocks = ceil_div(total, p.pixels)
    p.units = p.column_blocks * p.blocks
    if <double>planes * itemsize * (2.0 + p.windows.row.reach) * (
            p.columns + <double>p.windows.column.reach) > 1e15:
        raise MemoryError("the padded input of a few outputs does not fit in memory")
    # The last column block may be narrower: there, the pixels of a unit lie in more lines.
    last = p.windows.column.out - (p.column_blocks - 1) * p.columns
    p.slab = make_slab(&p.windows, min(ceil_div(p.pixels, last) + 1, p.windows.lines), p.columns)
    if p.dots:
        p.slab.plane += p.lanes
    p.channels = p.windows.channels
    if not p.windows.in_place:
        size = planes * p.slab.plane * itemsize
        if not p.dots:
            p.channels = min(max(SLAB_BYTES // size, 1), p.channels)
        p.channels = ceil_div(p.windows.channels, ceil_div(p.windows.channels, p.channels))
    p.width = p.vectors * p.lanes
    size = p.groups * p.steps * p.width * itemsize
    p.chunks = min(min(ceil_div(TASKS, p.groups * p.panels), PARTIAL_BYTES // size), p.units)
    p.chunks = max(p.chunks, 1)
    # Enough tasks for all threads, as even as can be; each part has a slab of its own.
    p.parts = 1
    while p.parts < p.panels and (p.chunks * p.groups * p.parts < 8 * threads
                                  and p.chunks * p.groups * p.parts % threads):
        p.parts += 1
    p.neighbours = (
        p.c_strides[5] == 1 and p.c_strides[4] == p.windows.column.taps
        and p.c_strides[3] == p.windows.row.taps * p.windows.column.taps
        and p.c_strides[2] == p.windows.taps)
    p.in_place = not p.dots and p.chunks == 1 and p.windows.taps == 1 and p.c_strides[1] == 1
    return p


cdef inline Py_ssize_t dot_pixels(const Correlation* p) noexcept nogil:
    """Return the numbers of an output channel of the residual in a slab."""
    return ceil_div(p.slab.plane, p.lanes) * p.lanes


cdef void size_workspace(Correlation* p, Py_ssize_t itemsize) noexcept nogil:
    """Lay out the workspace: fill in its offsets."""
    cdef Py_ssize_t shifts = p.channels * p.windows.taps, slab = 0
    if not p.windows.in_place:
        slab = p.channels * slab_planes(&p.windows) * p.slab.plane
    p.shifts_at = 0
    p.b_at_at = p.shifts_at + line_up(shifts * sizeof(Py_ssize_t))
    p.partial_at = p.b_at_at + line_up(MAX_VECTORS * p.pixels * sizeof(Py_ssize_t))
    p.threads_at = p.partial_at
    if not p.in_place:
        p.threads_at += line_up(p.chunks * p.groups * p.steps * p.width * itemsize)
    p.slab_at = 0
    p.panel_at = p.slab_at + line_up(slab * itemsize)
    p.rows_at = p.panel_at
    if p.dots:
        p.rows_at += line_up(p.outputs * dot_pixels(p) * itemsize)
    else:
        p.rows_at += line_up(p.pixels * MAX_VECTORS * p.lanes * itemsize)
    p.positions_at = p.rows_at + line_up(BLOCK * BLOCK * itemsize)
    p.runs_at = p.positions_at + line_up(p.pixels * sizeof(Py_ssize_t))
    p.dots_at = p.runs_at + line_up(p.pixels * sizeof(Run))
    p.thread_bytes = p.dots_at
    if p.dots:
        p.thread_bytes += line_up(p.outputs * p.dot_steps * p.lanes * itemsize)


cdef inline Py_ssize_t first_vector(const Correlation* p, Py_ssize_t panel) noexcept nogil:
    """Return the first vector of a panel of output channels: panels are as even as can be."""
    return panel * p.vectors // p.panels


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


cdef Py_ssize_t list_pixels(const Correlation* p, const Slab* slab, const Unit* unit,
                            Py_ssize_t* positions, Run* runs) noexcept nogil:
    """Write the position of each pixel, and the runs of the residual; return their number."""
    cdef Py_ssize_t column = unit.pixel - slab.line * unit.columns
    cdef Py_ssize_t count = 0, n_runs = 0, number, i, end = unit.end - unit.pixel
    cdef Cursor cursor = first_line(&p.windows, slab, p.b_strides, slab.line)
    while count < end:
        number = min(unit.columns - column, end - count)
        n_runs = add_run(runs, n_runs, count, number, cursor.out + column * p.b_strides[5],
                         p.b_strides[5])
        for i in range(number):
            positions[count + i] = cursor.at + column + i
        count += number
        column = 0
        next_line(&p.windows, slab, p.b_strides, &cursor)
    return n_runs


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


cdef void write_block(const floating* sums, Py_ssize_t row, const Correlation* p, Py_ssize_t g,
                      Py_ssize_t step, Py_ssize_t steps, Py_ssize_t output, Py_ssize_t outputs,
                      floating* dw) noexcept nogil:
    """Write sums, a row for each step, into the gradient of some steps and output channels."""
    cdef Py_ssize_t i, j, c, tap
    cdef floating* to
    dw += g * p.c_strides[0] + output * p.c_strides[1]
    if p.neighbours:
        transpose(sums, row, steps, outputs, dw + step, p.c_strides[1])
        return
    for i in range(steps):
        c = (step + i) // p.windows.taps
        tap = (step + i) % p.windows.taps
        to = (dw + c * p.c_strides[2]
              + tap // p.windows.column.taps // p.windows.row.taps * p.c_strides[3]
              + tap // p.windows.column.taps % p.windows.row.taps * p.c_strides[4]
              + tap % p.windows.column.taps * p.c_strides[5])
        for j in range(outputs):
            to[j * p.c_strides[1]] = sums[i * row + j]


cdef void add_up_chunk(const floating* x, const floating* dy, floating* dw, const Correlation* p,
                       Py_ssize_t task, char* shared, char* own) noexcept nogil:
    """Add up one chunk of the units for some panels of output channels."""
    cdef Py_ssize_t part = task % p.parts
    cdef Py_ssize_t g = task // p.parts % p.groups
    cdef Py_ssize_t chunk = task // p.parts // p.groups
    cdef const Py_ssize_t* shifts = <const Py_ssize_t*>(shared + p.shifts_at)
    cdef const Py_ssize_t* b_at
    cdef floating* slab_data = <floating*>(own + p.slab_at)
    cdef floating* packed = <floating*>(own + p.panel_at)
    cdef floating* rows_data = <floating*>(own + p.rows_at)
    cdef Py_ssize_t* positions = <Py_ssize_t*>(own + p.positions_at)
    cdef Run* runs = <Run*>(own + p.runs_at)
    cdef Py_ssize_t number, n_runs, c, channels, steps, panel, panels
    cdef Py_ssize_t vectors, output, outputs, height, i, j, row, rows
    cdef Py_ssize_t first = chunk * p.units // p.chunks, c_row = p.width
    cdef const floating* a[MAX_ROWS]
    cdef const floating* source
    cdef floating* sums
    cdef Slab slab = p.slab
    cdef Unit unit
    cdef Run whole

    whole.first, whole.at, whole.step = 0, 0, 1
    x += g * p.windows.strides[1]
    dy += g * p.b_strides[1]
    if p.in_place:
        sums = dw + g * p.c_strides[0]
        c_row = p.c_strides[2]
    else:
        sums = <floating*>(shared + p.partial_at) + (chunk * p.groups + g) * p.steps * p.width
    if p.dots:
        dot_chunk(x, dy, p, g, chunk, shifts, own, sums)
        return
    for number in range(first, (chunk + 1) * p.units // p.chunks):
        unit = find_unit(p, number, &slab)
        n_runs = list_pixels(p, &slab, &unit, positions, runs)
        for c from 0 <= c < p.windows.channels by p.channels:
            channels = min(p.channels, p.windows.channels - c)
            steps = channels * p.windows.taps
            source = x + c * p.windows.strides[2]
            if not p.windows.in_place:
                fill_slab(x, &p.windows, &slab, c, channels, slab_data)
                source = slab_data
            for panel in range(part * p.panels // p.parts, (part + 1) * p.panels // p.parts):
                vectors = first_vector(p, panel + 1) - first_vector(p, panel)
                output = first_vector(p, panel) * p.lanes
                outputs = min(vectors * p.lanes, p.outputs - output)
                whole.count = outputs if p.in_place else vectors * p.lanes
                b_at = <const Py_ssize_t*>(shared + p.b_at_at) + (vectors - 1) * p.pixels
                pack_residual(dy + output * p.b_strides[2], p, runs, n_runs, outputs,
                              vectors * p.lanes, rows_data, packed)
                height = max_rows(sizeof(floating), vectors)
                panels = ceil_div(steps, height)
                for i in range(panels):
                    row = i * steps // panels
                    rows = (i + 1) * steps // panels - row
                    for j in range(rows):
                        a[j] = source + shifts[row + j]
                    run_tile(rows, vectors, a, positions, packed, b_at, unit.end - unit.pixel,
                             sums + (c * p.windows.taps + row) * c_row + output, c_row, &whole, 1,
                             <const floating*>NULL, number > first)
                if p.chunks == 1 and number == p.units - 1 and not p.in_place:
                    # All there is, and still in the cache.
                    write_block(<const floating*>sums + c * p.windows.taps * p.width + output,
                                p.width, p, g, c * p.windows.taps, steps, output, outputs, dw)


cdef void add_chunks(const floating* partial, const Correlation* p, floating* dw, Py_ssize_t task,
                     floating* sums) noexcept nogil:
    """Write the sum of the chunks, in order, into a block of the gradient's steps."""
    cdef Py_ssize_t blocks = ceil_div(p.steps, BLOCK), size = p.groups * p.steps * p.width
    cdef Py_ssize_t g = task // blocks, step = task % blocks * BLOCK
    cdef Py_ssize_t steps = min(p.steps - step, <Py_ssize_t>BLOCK)
    cdef Py_ssize_t k, outputs, i, j, _
    cdef const floating* source
    cdef floating* row
    for k from 0 <= k < p.outputs by BLOCK:
        outputs = min(p.outputs - k, <Py_ssize_t>BLOCK)
        for i in range(steps):
            source = partial + (g * p.steps + step + i) * p.width + k
            row = sums + i * BLOCK
            for j in range(outputs):
                row[j] = source[j]
            for _ in range(1, p.chunks):
                source += size
                for j in range(outputs):
                    row[j] += source[j]
        write_block(<const floating*>sums, BLOCK, p, g, step, steps, k, outputs, dw)


cdef size_t call_bytes(const Correlation* p, int* threads) noexcept nogil:
    """Return the bytes of workspace of a call, and lower the threads to the tasks."""
    threads[0] = min(<Py_ssize_t>threads[0], p.chunks * p.groups * p.parts)
    return p.threads_at + threads[0] * p.thread_bytes


cdef int compute(const floating* x, const floating* dy, floating* dw, const Correlation* p,
                 int threads) except -1:
    """Compute a planned correlation."""
    cdef const floating* rows = dy if p.turned else x
    cdef const floating* columns = x if p.turned else dy
    cdef char* shared = <char*>take(call_bytes(p, &threads))
    cdef Py_ssize_t i, v
    cdef unsigned long saved = 0
    fill_shifts(&p.windows, &p.slab, p.channels, <Py_ssize_t*>(shared + p.shifts_at))
    for v in range(MAX_VECTORS):
        for i in range(p.pixels):
            (<Py_ssize_t*>(shared + p.b_at_at))[v * p.pixels + i] = i * (v + 1) * p.lanes
    with nogil, parallel(num_threads=threads):
        saved = flush_denormals()
        for i in prange(p.chunks * p.groups * p.parts, schedule="dynamic"):
            add_up_chunk(rows, columns, dw, p, i, shared,
                         shared + p.threads_at + threadid() * p.thread_bytes)
        if p.chunks > 1 or p.dots:
            for i in prange(p.groups * ceil_div(p.steps, BLOCK), schedule="static"):
                add_chunks(<const floating*>(shared + p.partial_at), p, dw, i,
                           <floating*>(shared + p.threads_at + threadid() * p.thread_bytes
                                       + p.rows_at))
        restore_denormals(saved)
    give(shared)
    return 0


cdef int worth_threads(const Py_ssize_t* dy, const Py_ssize_t* dw) noexcept nogil:
    """Return the number of threads for a residual and a gradient of these shapes."""
    return threads_for(<double>dy[0] * dy[3] * dy[4] * dy[5] * dw[0] * dw[1] * dw[2] * dw[3]
                       * dw[4] * dw[5])


cdef Correlation plan(const Py_ssize_t* x, const Py_ssize_t* x_strides, const Py_ssize_t* dy,
                      const Py_ssize_t* dy_strides, const Py_ssize_t* dw,
                      const Py_ssize_t* dw_strides, Py_ssize_t itemsize, tuple stride,
                      tuple before, tuple dilation, int threads):
    """Return the plan for arrays of these shapes and strides, with its workspace."""
    cdef Correlation p
    cdef Py_ssize_t shape[6]
    cdef Py_ssize_t strides[6]
    cdef Py_ssize_t w_shape[6]
    cdef Py_ssize_t w_strides[6]
    cdef Py_ssize_t i
    p = make_correlation(x, x_strides, dy, dy_strides, dw, dw_strides, itemsize, stride, before,
                         dilation, threads)
    p.turned = (p.windows.taps == 1 and before == (0, 0, 0) and x[2] <= dy[2]
                and all([(dy[i] - 1) * stride[i - 3] < x[i] for i in range(3, 6)]))
    if p.turned:
        # One tap inside the input: the pixels that it sees are a view, and the roles can change.
        for i in range(6):
            shape[i] = x[i] if i < 3 else dy[i]
            strides[i] = x_strides[i] * (<Py_ssize_t>stride[i - 3] if i > 2 else 1)
            w_shape[i], w_strides[i] = dw[i], dw_strides[i]
        w_shape[1], w_shape[2] = w_shape[2], w_shape[1]
        w_strides[1], w_strides[2] = w_strides[2], w_strides[1]
        p = make_correlation(dy, dy_strides, shape, strides, w_shape, w_strides, itemsize,
                             (1, 1, 1), before, (1, 1, 1), threads)
        p.turned = True
    size_workspace(&p, itemsize)
    return p


def correlate_weight(const floating[:, :, :, :, :, :] x, const floating[:, :, :, :, :, :] dy,
                     floating[:, :, :, :, :, :] dw, tuple stride, tuple before, tuple dilation,
                     bint dry=False):
    """Write into `dw` the correlation of the input `x` with the residual `dy`.

    dw[g,k,c,tap] = sum over n, p of dy[n,g,k,p] * x[n,g,c, p*stride + tap*dilation - before].
    Axes: x (N, G, C, D, H, W), dy (N, G, K, OD, OH, OW), dw (G, K, C, T, R, S), with any strides.
    The residual and the gradient may not be empty. Returns the bytes of workspace; a dry call does
    nothing else.
    """
    cdef int threads = worth_threads(&dy.shape[0], &dw.shape[0])
    cdef Correlation p = plan(
        &x.shape[0], &x.strides[0], &dy.shape[0], &dy.strides[0], &dw.shape[0], &dw.strides[0],
        sizeof(floating), stride, before, dilation, threads)
    if not dry:
        compute(&x[0, 0, 0, 0, 0, 0], &dy[0, 0, 0, 0, 0, 0], &dw[0, 0, 0, 0, 0, 0], &p, threads)
    return call_bytes(&p, &threads)


cdef class WeightGradient:
    """`correlate_weight` for one geometry, called with arrays as they are: x, residual and dw.

    Maps are (N, G C, *spatial), weights (G K, C, *spatial); stride, padding before and dilation
    are of three axes. The plan is kept, for the next arrays that lie in memory as the last.
    """

    cdef int axes, threads
    cdef Py_ssize_t groups, itemsize
    cdef tuple stride, before, dilation
    cdef Axes x, dy, dw
    cdef Correlation correlation

    def __init__(self, int axes, Py_ssize_t groups, tuple stride, tuple before, tuple dilation):
        self.axes, self.groups = axes, groups
        self.stride, self.before, self.dilation = stride, before, dilation

    def __call__(self, x, dy, dw):
        cdef View maps, residual, gradient
        cdef Axes x_axes, dy_axes, dw_axes
        # A copy, since another thread may make another plan in the meantime.
        cdef Correlation p
        cdef int threads
        look(x, self.axes, False, &maps)
        look(dy, self.axes, False, &residual)
        look(dw, self.axes, True, &gradient)
        split_maps(&maps, self.axes, self.groups, &x_axes)
        split_maps(&residual, self.axes, self.groups, &dy_axes)
        split_weights(&gradient, self.axes, self.groups, &dw_axes)
        threads = worth_threads(dy_axes.shape, dw_axes.shape)
        if (threads != self.threads or maps.itemsize != self.itemsize
                or memcmp(&x_axes, &self.x, sizeof(Axes))
                or memcmp(&dy_axes, &self.dy, sizeof(Axes))
                or memcmp(&dw_axes, &self.dw, sizeof(Axes))):
            self.threads = 0
            self.correlation = plan(
                x_axes.shape, x_axes.strides, dy_axes.shape, dy_axes.strides, dw_axes.shape,
                dw_axes.strides, maps.itemsize, self.stride, self.before, self.dilation, threads)
            self.x, self.dy, self.dw = x_axes, dy_axes, dw_axes
            self.threads, self.itemsize = threads, maps.itemsize
        p = self.correlation
        if maps.itemsize == 4:
            compute(<const float*>maps.data, <const float*>residual.data, <float*>gradient.data,
                    &p, threads)
        else:
            compute(<const double*>maps.data, <const double*>residual.data,
                    <double*>gradient.data, &p, threads)
