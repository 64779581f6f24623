# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""The weight gradient with samples in the lanes, for few channels and many samples.

The input and the residual are laid out as in samples.pyx. Each number of the gradient is a vector
of sums, over the pixels of a lane; its lanes are added at the end of a chunk:

    sums[k][c, r, s][lane] = sum over pixels of dy[k][pixel][lane] * x[c][pixel at tap r, s][lane]

With groups in the lanes the sums are the gradient, and no lanes are added.

A *unit* is a block of lines of a block of samples. The units of a group, or those of a block of
groups, are cut into *chunks* whose number and borders depend on the shapes alone, and the chunks'
sums are added in order: the result has the same bits for each number of threads.
"""

from cython cimport floating

from fastconv.engine.base.arrays cimport Layout, Operands
from fastconv.engine.base.axis cimport LONGEST_SUM, ceil_div
from fastconv.engine.base.kernel cimport Kernel, record
from fastconv.engine.base.threads cimport EVEN, Phase, make_phase, parallel_phases, threads_for
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.blocked.sample_tiles cimport Lines, add_lanes, run_sums, sum_rows, sum_steps
from fastconv.engine.blocked.samples cimport (
    Plan, Rows, clear_columns, fill_positions, gather_rows, input_rows, make_plan, size_blocks,
    take_shapes)
from fastconv.engine.gemm.slab cimport line_up

# Rows of the residual that stay in the first-level cache.
cdef Py_ssize_t NEAR_BYTES = 1 << 14
# Tasks that keep threads busy: groups times chunks.
cdef Py_ssize_t TASKS = 8


cdef struct Correlation:
    Plan plan                       # of the input's slab; the outputs are the residual's channels
    Py_ssize_t kernels              # blocks of groups, or groups: each has sums of its own
    Py_ssize_t numbers              # of the sums of one of them
    Py_ssize_t steps, width         # of an output channel: (c, r, s); and whole vectors
    Py_ssize_t panels, height       # of output channels; of the tallest
    Py_ssize_t near_lines, near_columns     # of the residual, in the first-level cache
    Py_ssize_t units, chunks        # of a group
    int threads
    # The workspace: what all threads share, then one part for each.
    size_t x_at, dy_at, steps_at, partial_at, threads_at
    size_t residual_at, sums_at, thread_bytes


# What the tasks share.
cdef struct Context:
    const Correlation* correlation
    Py_ssize_t itemsize
    const void* x
    const void* dy
    void* dw
    char* shared


cdef void size_correlation(Correlation* p, Py_ssize_t itemsize) noexcept nogil:
    """Choose blocks and chunks by the shapes alone, and lay out the workspace."""
    cdef Plan* plan = &p.plan
    cdef Py_ssize_t lanes = plan.lanes.lanes, out = plan.column.out, pixels, vectors
    size_blocks(plan, itemsize, 1)
    p.steps = plan.inputs * plan.row.taps * plan.column.taps
    p.width = ceil_div(p.steps, lanes) * lanes
    p.height = sum_rows(itemsize)
    p.panels = ceil_div(plan.outputs, p.height)
    p.height = ceil_div(plan.outputs, p.panels)
    pixels = max(NEAR_BYTES // (p.height * lanes * itemsize), 1)
    p.near_columns = ceil_div(out, ceil_div(out, pixels))
    p.near_lines = max(pixels // out, 1)
    p.near_lines = ceil_div(plan.lines, ceil_div(plan.lines, p.near_lines))
    p.kernels, p.units = plan.groups, plan.lanes.blocks * plan.line_blocks
    if plan.across:
        p.kernels, p.units = plan.lanes.blocks, plan.groups * plan.line_blocks
    p.chunks = max(ceil_div(TASKS, p.kernels),
                   ceil_div(p.units * plan.lines * out, LONGEST_SUM))
    p.chunks = min(p.chunks, p.units)
    p.numbers = vectors = plan.outputs * p.width
    if plan.across:
        p.numbers *= lanes
    p.x_at = 0
    p.dy_at = p.x_at + line_up(plan.slab_rows * plan.column.size * sizeof(Py_ssize_t))
    p.steps_at = p.dy_at + line_up(plan.lines * out * sizeof(Py_ssize_t))
    p.partial_at = p.steps_at + line_up(p.steps * sizeof(Py_ssize_t))
    p.threads_at = p.partial_at + line_up(p.chunks * p.kernels * p.numbers * itemsize)
    p.residual_at = line_up(plan.slab_size * itemsize)
    p.sums_at = p.residual_at + line_up(plan.out_size * itemsize)
    p.thread_bytes = p.sums_at + line_up(vectors * lanes * itemsize)


cdef void fill_steps(const Correlation* p, Py_ssize_t* at) noexcept nogil:
    """Write where each step lies in the slab."""
    cdef const Plan* plan = &p.plan
    cdef Py_ssize_t c, r, s, row
    for c in range(plan.inputs):
        for r in range(plan.row.taps):
            row = (c * plan.slab_rows + r * plan.row.dilation) * plan.width
            for s in range(plan.column.taps):
                at[0] = (row + plan.left - plan.column.before
                         + s * plan.column.dilation) * plan.lanes.lanes
                at += 1


cdef void add_products(const floating* dy, const floating* x, const Py_ssize_t* at,
                       const Correlation* p, const Lines* loops, floating* sums) noexcept nogil:
    """Add the products of some pixels of the residual and every step to the sums."""
    cdef Py_ssize_t panel, k, rows, part, parts, first, past
    for panel in range(p.panels):
        k = panel * p.plan.outputs // p.panels
        rows = (panel + 1) * p.plan.outputs // p.panels - k
        parts = ceil_div(p.steps, sum_steps(rows, sizeof(floating)))
        for part in range(parts):
            first, past = part * p.steps // parts, (part + 1) * p.steps // parts
            run_sums(rows, past - first, dy + k * loops.dy_row, x, at + first, loops,
                     sums + (k * p.width + first) * p.plan.lanes.lanes)


cdef void add_lines(const floating* slab, const floating* residual, const Py_ssize_t* at,
                    const Correlation* p, Py_ssize_t lines, bint begins,
                    floating* sums) noexcept nogil:
    """Add the products of some lines of the residual, as many at a time as stay near."""
    cdef const Plan* plan = &p.plan
    cdef Py_ssize_t lanes = plan.lanes.lanes, line, column
    cdef Lines loops
    loops.dy_line, loops.dy_row = plan.column.out * lanes, plan.lines * plan.column.out * lanes
    loops.x_line, loops.x_pixel = plan.row.stride * plan.width * lanes, plan.column.stride * lanes
    loops.sums_row = p.width * lanes
    for line from 0 <= line < lines by p.near_lines:
        loops.lines = min(p.near_lines, lines - line)
        for column from 0 <= column < plan.column.out by p.near_columns:
            loops.pixels = min(p.near_columns, plan.column.out - column)
            loops.first = begins and line == column == 0
            add_products(residual + line * loops.dy_line + column * lanes,
                         slab + line * loops.x_line + column * loops.x_pixel, at, p, &loops, sums)


cdef void clear_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    """Clear the columns beside the maps in a thread's part."""
    cdef const Context* c = <const Context*>context
    cdef char* own = c.shared + c.correlation.threads_at + task * c.correlation.thread_bytes
    if c.itemsize == sizeof(float):
        clear_columns(&c.correlation.plan, <float*>own)
    else:
        clear_columns(&c.correlation.plan, <double*>own)


cdef void add_up_chunk(const floating* x, const Context* context, Py_ssize_t task,
                       int thread) noexcept nogil:
    """Add up one chunk of the units of a kernel, lane by lane, then the lanes."""
    cdef const Correlation* p = context.correlation
    cdef const floating* dy = <const floating*>context.dy
    cdef char* shared = context.shared
    cdef char* own = shared + p.threads_at + thread * p.thread_bytes
    cdef const Plan* plan = &p.plan
    cdef const Py_ssize_t* at = <const Py_ssize_t*>(shared + p.steps_at)
    cdef floating* slab = <floating*>own
    cdef floating* residual = <floating*>(own + p.residual_at)
    cdef floating* sums = <floating*>(own + p.sums_at)
    cdef Py_ssize_t kernel = task // p.chunks, chunk = task % p.chunks, line, block, g
    cdef Py_ssize_t begin = chunk * p.units // p.chunks, unit
    cdef floating* partial = (<floating*>(shared + p.partial_at)
                              + (chunk * p.kernels + kernel) * p.numbers)
    cdef Rows rows, residuals
    rows = input_rows(plan)
    rows.zeros = residuals.zeros = True
    residuals.size, residuals.width = plan.row.out, plan.column.out
    residuals.sample, residuals.channel = plan.y_strides[0], plan.y_strides[2]
    residuals.hop = plan.lanes.rows
    residuals.to_line = plan.column.out * plan.lanes.lanes
    residuals.to_channel = plan.lines * residuals.to_line
    if plan.across:
        sums = partial
    for unit in range(begin, (chunk + 1) * p.units // p.chunks):
        line = unit % plan.line_blocks * plan.lines
        g, block = kernel, unit // plan.line_blocks
        if plan.across:
            g, block = block, g
        rows.first = line * plan.row.stride - plan.row.before
        gather_rows(x + g * plan.x_strides[1], &plan.lanes, block, &rows, plan.inputs,
                    <const Py_ssize_t*>(shared + p.x_at), slab)
        residuals.first = line
        residuals.count = min(plan.lines, plan.lanes.rows - line)
        gather_rows(dy + g * plan.y_strides[1], &plan.lanes, block, &residuals, plan.outputs,
                    <const Py_ssize_t*>(shared + p.dy_at), residual)
        add_lines(<const floating*>slab, <const floating*>residual, at, p, residuals.count,
                  unit == begin, sums)
    if not plan.across:
        add_lanes(<const floating*>sums, p.numbers, partial)


cdef void chunk_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Context* c = <const Context*>context
    if c.itemsize == sizeof(float):
        add_up_chunk(<const float*>c.x, c, task, thread)
    else:
        add_up_chunk(<const double*>c.x, c, task, thread)


cdef void add_chunks(floating* dw, const Context* context, Py_ssize_t row) noexcept nogil:
    """Write the sum of the chunks, in order, into the gradient of an output channel of a kernel."""
    cdef const Correlation* p = context.correlation
    cdef const Plan* plan = &p.plan
    cdef Py_ssize_t numbers = p.numbers // plan.outputs, c, r, s, i, _, q
    cdef Py_ssize_t lanes = plan.lanes.lanes if plan.across else 1
    cdef Py_ssize_t g = row // plan.outputs * lanes
    cdef floating* total = <floating*>(context.shared + p.partial_at) + row * numbers
    cdef floating* to
    cdef const floating* source = total
    for _ in range(1, p.chunks):
        source += p.kernels * p.numbers
        for i in range(numbers):
            total[i] += source[i]
    dw += g * plan.w_strides[0] + row % plan.outputs * plan.w_strides[1]
    if plan.across:
        lanes = min(lanes, plan.lanes.batch - g)
    for c in range(plan.inputs):
        for r in range(plan.row.taps):
            for s in range(plan.column.taps):
                to = dw + c * plan.w_strides[2] + r * plan.w_strides[4] + s * plan.w_strides[5]
                for q in range(lanes):
                    to[q * plan.w_strides[0]] = total[q]
                total += plan.lanes.lanes if plan.across else 1


cdef void sum_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Context* c = <const Context*>context
    if c.itemsize == sizeof(float):
        add_chunks(<float*>c.dw, c, task)
    else:
        add_chunks(<double*>c.dw, c, task)


cdef class WeightGradient(Kernel):
    """The weight gradient, where the channels are few and the planes contiguous.

    `depth`, `row` and `column` are the axes of the forward pass. With `across` groups lie in the
    lanes, else samples: `samples` of them in each vector. The sums of a chunk run lane by lane,
    then the lanes are added, then the chunks, whose borders the shapes set.
    """

    cdef const Py_ssize_t[::1] depth, row, column
    cdef bint across
    cdef Py_ssize_t samples
    cdef Correlation correlation

    def __init__(self, depth, row, column, bint across,
                 Py_ssize_t samples):
        self.depth, self.row, self.column = depth, row, column
        self.across, self.samples = across, samples

    cdef int worth_threads(self, const Layout* layout) noexcept:
        cdef const Py_ssize_t* dw = layout.w.shape
        return threads_for(<double>layout.y.shape[0] * layout.y.shape[4] * layout.y.shape[5]
                           * dw[0] * dw[1] * dw[2] * dw[4] * dw[5])

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Correlation* p = &self.correlation
        cdef Plan* plan = &p.plan
        take_shapes(plan, layout.x.shape, layout.x.strides, layout.w.shape, layout.w.strides,
                    layout.y.shape, layout.y.strides, layout.itemsize, &self.row[0],
                    &self.column[0], self.across)
        make_plan(plan, self.samples, layout.itemsize)
        size_correlation(p, layout.itemsize)
        self.team = p.threads = min(<Py_ssize_t>threads, p.kernels * p.chunks)
        return p.threads_at + p.threads * p.thread_bytes

    cdef int compute(self, const Operands* o, size_t bytes) except -1:
        cdef Correlation p = self.correlation
        cdef const Plan* plan = &p.plan
        cdef char* shared = <char*>take(bytes)
        cdef Context context
        cdef Phase[3] phases
        record("groups in the lanes" if self.across else "samples in the lanes",
               self.largest[0], self.largest[1])
        fill_positions(plan.slab_rows, plan.column.size, plan.left, plan.width * plan.lanes.lanes,
                       plan.lanes.lanes, <Py_ssize_t*>(shared + p.x_at))
        fill_positions(plan.lines, plan.column.out, 0, plan.column.out * plan.lanes.lanes,
                       plan.lanes.lanes, <Py_ssize_t*>(shared + p.dy_at))
        fill_steps(&p, <Py_ssize_t*>(shared + p.steps_at))
        context.correlation, context.itemsize, context.shared = &p, o.layout.itemsize, shared
        context.x, context.dy, context.dw = o.x, o.y, o.w
        phases[0] = make_phase(clear_task, &context, p.threads, EVEN)
        phases[1] = make_phase(chunk_task, &context, p.kernels * p.chunks, EVEN)
        phases[2] = make_phase(sum_task, &context, p.kernels * plan.outputs, EVEN)
        with nogil:
            parallel_phases(p.threads, phases, 3)
        give(shared)
        return 0
