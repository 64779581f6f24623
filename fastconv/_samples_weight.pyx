# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""The weight gradient with samples in the lanes, for few channels and many samples.

The input and the residual are laid out as in _samples.pyx. Each number of the gradient is a vector
of sums, over the pixels of a lane; its lanes are added at the end of a chunk:

    sums[k][c, r, s][lane] = sum over pixels of dy[k][pixel][lane] * x[c][pixel at tap r, s][lane]

A *unit* is a block of lines of a block of samples. The units of a group are cut into *chunks* whose
number and borders depend on the shapes alone, and the chunks' sums are added in order: the result
has the same bits for each number of threads.
"""

from cython cimport floating
from cython.parallel cimport parallel, prange, threadid

from libc.string cimport memset

from fastconv._axis cimport divide_up
from fastconv._samples cimport (
    SUM_ROWS, SUM_STEPS, Lines, Plan, Rows, add_lanes, clear_columns, fill_positions, gather_rows,
    input_rows, make_plan, run_sums, size_blocks, sum_rows)
from fastconv._slab cimport line_up
from fastconv._threads cimport flush_denormals, restore_denormals, threads_for
from fastconv._workspace cimport give, take

# Rows of the residual that stay in the first-level cache.
cdef Py_ssize_t NEAR_BYTES = 1 << 14
# Tasks that keep threads busy: groups times chunks.
cdef Py_ssize_t TASKS = 8
# Products of input and output channels: with more, the sums leave the second-level cache.
cdef Py_ssize_t MOST_CHANNELS = 512


cdef struct Correlation:
    Plan plan                       # of the input's slab; the outputs are the residual's channels
    Py_ssize_t steps, width         # of an output channel: (c, r, s); and whole vectors
    Py_ssize_t panels, height       # of output channels; of the tallest
    Py_ssize_t near_lines, near_columns     # of the residual, in the first-level cache
    Py_ssize_t units, chunks        # of a group
    # The workspace: what all threads share, then one part for each.
    size_t x_at, dy_at, partial_at, threads_at
    size_t residual_at, sums_at, thread_bytes


cdef void size_correlation(Correlation* p, Py_ssize_t itemsize) noexcept nogil:
    """Choose blocks and chunks by the shapes alone, and lay out the workspace."""
    cdef Plan* plan = &p.plan
    cdef Py_ssize_t lanes = plan.lanes.lanes, out = plan.column.out, pixels
    size_blocks(plan, itemsize, 1)
    p.steps = plan.inputs * plan.row.taps * plan.column.taps
    p.width = divide_up(p.steps, lanes) * lanes
    p.height = sum_rows(itemsize)
    p.panels = divide_up(plan.outputs, p.height)
    p.height = divide_up(plan.outputs, p.panels)
    pixels = max(NEAR_BYTES // (p.height * lanes * itemsize), 1)
    p.near_columns = divide_up(out, divide_up(out, pixels))
    p.near_lines = max(pixels // out, 1)
    p.near_lines = divide_up(plan.lines, divide_up(plan.lines, p.near_lines))
    p.units = plan.lanes.blocks * plan.line_blocks
    p.chunks = min(p.units, divide_up(TASKS, plan.groups))
    p.x_at = 0
    p.dy_at = p.x_at + line_up(plan.slab_rows * plan.column.size * sizeof(Py_ssize_t))
    p.partial_at = p.dy_at + line_up(plan.lines * out * sizeof(Py_ssize_t))
    p.threads_at = p.partial_at + line_up(p.chunks * plan.groups * plan.outputs * p.width
                                          * itemsize)
    p.residual_at = line_up(plan.slab_size * itemsize)
    p.sums_at = p.residual_at + line_up(plan.out_size * itemsize)
    p.thread_bytes = p.sums_at + line_up(plan.outputs * p.width * lanes * itemsize)


cdef void add_products(const floating* slab, const floating* residual, const Correlation* p,
                       Py_ssize_t lines, floating* sums) noexcept nogil:
    """Add the products of some lines of the residual and every step to the sums."""
    cdef const Plan* plan = &p.plan
    cdef Py_ssize_t lanes = plan.lanes.lanes, line, column, panel, k, rows, i, j, c, r, s
    cdef Py_ssize_t x_line = plan.width * lanes, dy_line = plan.column.out * lanes
    cdef Py_ssize_t quads = divide_up(p.steps, SUM_STEPS), quad, first, past
    cdef const floating* dy[SUM_ROWS]
    cdef const floating* x[SUM_STEPS]
    cdef Lines loops
    loops.dy_line, loops.x_line = dy_line, plan.row.stride * x_line
    loops.x_pixel, loops.sums_row = plan.column.stride * lanes, p.width * lanes
    for line from 0 <= line < lines by p.near_lines:
        loops.lines = min(p.near_lines, lines - line)
        for column from 0 <= column < plan.column.out by p.near_columns:
            loops.pixels = min(p.near_columns, plan.column.out - column)
            for panel in range(p.panels):
                k = panel * plan.outputs // p.panels
                rows = (panel + 1) * plan.outputs // p.panels - k
                for i in range(rows):
                    dy[i] = (residual + (k + i) * plan.lines * dy_line + line * dy_line
                             + column * lanes)
                c = r = s = 0
                for quad in range(quads):
                    first, past = quad * p.steps // quads, (quad + 1) * p.steps // quads
                    for j in range(past - first):
                        x[j] = (slab + c * plan.slab_rows * x_line
                                + (line * plan.row.stride + r * plan.row.dilation) * x_line
                                + (plan.left - plan.column.before + column * plan.column.stride
                                   + s * plan.column.dilation) * lanes)
                        s += 1
                        if s == plan.column.taps:
                            s = 0
                            r += 1
                        if r == plan.row.taps:
                            r = 0
                            c += 1
                    run_sums(rows, past - first, dy, x, &loops,
                             sums + (k * p.width + first) * lanes)


cdef void add_up_chunk(const floating* x, const floating* dy, const Correlation* p,
                       Py_ssize_t task, char* shared, char* own) noexcept nogil:
    """Add up one chunk of the units of a group, lane by lane, then the lanes."""
    cdef const Plan* plan = &p.plan
    cdef floating* slab = <floating*>own
    cdef floating* residual = <floating*>(own + p.residual_at)
    cdef floating* sums = <floating*>(own + p.sums_at)
    cdef Py_ssize_t g = task // p.chunks, chunk = task % p.chunks, unit, line, block
    cdef Py_ssize_t numbers = plan.outputs * p.width
    cdef Rows rows, residuals
    rows = input_rows(plan)
    rows.zeros = residuals.zeros = True
    residuals.size, residuals.width = plan.row.out, plan.column.out
    residuals.sample, residuals.channel = plan.y_strides[0], plan.y_strides[2]
    residuals.hop = plan.lanes.rows
    residuals.to_line = plan.column.out * plan.lanes.lanes
    residuals.to_channel = plan.lines * residuals.to_line
    memset(sums, 0, numbers * plan.lanes.lanes * sizeof(floating))
    for unit in range(chunk * p.units // p.chunks, (chunk + 1) * p.units // p.chunks):
        line = unit % plan.line_blocks * plan.lines
        block = unit // plan.line_blocks
        rows.first = line * plan.row.stride - plan.row.before
        gather_rows(x + g * plan.x_strides[1], &plan.lanes, block, &rows, plan.inputs,
                    <const Py_ssize_t*>(shared + p.x_at), slab)
        residuals.first = line
        residuals.count = min(plan.lines, plan.lanes.rows - line)
        gather_rows(dy + g * plan.y_strides[1], &plan.lanes, block, &residuals, plan.outputs,
                    <const Py_ssize_t*>(shared + p.dy_at), residual)
        add_products(<const floating*>slab, <const floating*>residual, p, residuals.count, sums)
    add_lanes(<const floating*>sums, numbers,
              <floating*>(shared + p.partial_at) + (chunk * plan.groups + g) * numbers)


cdef void add_chunks(const floating* partial, const Correlation* p, Py_ssize_t g,
                     floating* dw) noexcept nogil:
    """Write the sum of the chunks, in order, into the gradient of a group."""
    cdef const Plan* plan = &p.plan
    cdef Py_ssize_t numbers = plan.outputs * p.width, k, c, r, s, chunk
    cdef const floating* source
    cdef floating total
    dw += g * plan.w_strides[0]
    for k in range(plan.outputs):
        source = partial + g * numbers + k * p.width
        for c in range(plan.inputs):
            for r in range(plan.row.taps):
                for s in range(plan.column.taps):
                    total = source[0]
                    for chunk in range(1, p.chunks):
                        total += source[chunk * plan.groups * numbers]
                    dw[k * plan.w_strides[1] + c * plan.w_strides[2] + r * plan.w_strides[4]
                       + s * plan.w_strides[5]] = total
                    source += 1


def correlate_weight(const floating[:, :, :, :, :, :] x, const floating[:, :, :, :, :, :] dy,
                     floating[:, :, :, :, :, :] dw, const Py_ssize_t[::1] depth,
                     const Py_ssize_t[::1] row, const Py_ssize_t[::1] column, bint dry=False):
    """Write into `dw` the correlation of the input `x` with the residual `dy`.

    The axes are those of the forward pass. Neither the residual nor the gradient may be empty. The
    sums of a chunk run lane by lane, then the lanes are added, then the chunks, whose borders the
    shapes set. Returns the bytes of workspace, or 0 where the other loops should compute this; a
    dry call does nothing else.
    """
    cdef Correlation p
    cdef Plan* plan = &p.plan
    cdef Py_ssize_t i, tasks
    cdef int threads
    cdef unsigned long saved = 0
    cdef size_t size
    cdef char* shared
    if not make_plan(plan, &x.shape[0], &x.strides[0], &dw.shape[0], &dw.strides[0], &dy.shape[0],
                     &dy.strides[0], sizeof(floating), &depth[0], &row[0], &column[0]):
        return 0
    if plan.inputs * plan.outputs > MOST_CHANNELS:
        return 0
    size_correlation(&p, sizeof(floating))
    tasks = plan.groups * p.chunks
    threads = threads_for(<double>dy.shape[0] * plan.groups * plan.outputs * p.steps
                          * dy.shape[4] * dy.shape[5])
    threads = min(<Py_ssize_t>threads, tasks)
    size = p.threads_at + threads * p.thread_bytes
    if dry:
        return size
    shared = <char*>take(size)
    fill_positions(plan.slab_rows, plan.column.size, plan.left, plan.width * plan.lanes.lanes,
                   plan.lanes.lanes, <Py_ssize_t*>(shared + p.x_at))
    fill_positions(plan.lines, plan.column.out, 0, plan.column.out * plan.lanes.lanes,
                   plan.lanes.lanes, <Py_ssize_t*>(shared + p.dy_at))
    with nogil, parallel(num_threads=threads):
        saved = flush_denormals()
        clear_columns(plan, <floating*>(shared + p.threads_at + threadid() * p.thread_bytes))
        for i in prange(tasks, schedule="dynamic"):
            add_up_chunk(&x[0, 0, 0, 0, 0, 0], &dy[0, 0, 0, 0, 0, 0], &p, i, shared,
                         shared + p.threads_at + threadid() * p.thread_bytes)
        for i in prange(plan.groups, schedule="static"):
            add_chunks(<const floating*>(shared + p.partial_at), &p, i, &dw[0, 0, 0, 0, 0, 0])
        restore_denormals(saved)
    give(shared)
    return size
