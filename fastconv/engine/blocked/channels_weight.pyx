# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""The weight gradient with channels in the lanes, for groups of few channels.

The input and the residual are laid out as in channels.pyx, the vectors of a pixel of the residual
side by side. A vector of sums belongs to an input channel and a tap, and holds output channels:

    sums[output vector][c][r, s][lane] =
        sum over pixels of x[c][pixel at tap r, s] * dy[pixel][output vector][lane]

which is the gradient transposed. A *unit* is a block of lines of a sample. The units of a block of
groups are cut into *chunks* whose number and borders depend on the shapes alone, and the chunks'
sums are added in order: the result has the same bits for each number of threads.
"""

from cython cimport floating

from fastconv.engine.base.arrays cimport Layout, Operands
from fastconv.engine.base.axis cimport LONGEST_SUM, ceil_div, first_tap, past_tap
from fastconv.engine.base.kernel cimport Kernel, record
from fastconv.engine.base.threads cimport EVEN, Phase, make_phase, parallel_phases, threads_for
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.blocked.channels cimport (
    Lines, Plan, clear_columns, column_place, fill_positions, lay_out, list_channels, most_pixels,
    run_sums, size_slab, take_shapes)
from fastconv.engine.blocked.sample_tiles cimport MAX_LANES, scatter
from fastconv.engine.gemm.slab cimport line_up

# What a unit lays out, of the input and of the residual: a quarter of the second-level cache.
cdef Py_ssize_t UNIT_BYTES = 1 << 18
# A vector of their pixels that stays in the first-level cache meanwhile.
cdef Py_ssize_t NEAR_BYTES = 1 << 14
# Tasks that keep threads busy: blocks of groups times chunks.
cdef Py_ssize_t TASKS = 16
# The sums of the chunks that rounding asks for take at most so much.
cdef Py_ssize_t PARTIAL_BYTES = 1 << 24
# Vectors of output channels that are computed at once.
cdef Py_ssize_t VECTORS = 2


cdef struct Correlation:
    Plan plan                       # of the input's slab; the outputs are the residual's channels
    Py_ssize_t taps, numbers        # of a kernel; of the sums of a block of groups
    Py_ssize_t units, chunks        # of a block of groups
    int threads
    Py_ssize_t near_lines
    Py_ssize_t height               # input channels that are computed at once
    # The workspace: what all threads share, then one part for each.
    size_t x_at, dy_at, channel_at, column_at, partial_at, threads_at
    size_t residual_at, thread_bytes


# What the tasks share.
cdef struct Context:
    const Correlation* correlation
    Py_ssize_t itemsize
    const void* x
    const void* dy
    void* dw
    char* shared


cdef void size_correlation(Correlation* p, Py_ssize_t itemsize) noexcept nogil:
    """Choose units and chunks by the shapes alone, and lay out the workspace."""
    cdef Plan* plan = &p.plan
    cdef Py_ssize_t line = plan.column.out * plan.lanes * itemsize, rows
    plan.line_blocks = 1
    while (size_slab(plan, ceil_div(plan.row.count, plan.line_blocks)) * itemsize > UNIT_BYTES
           and plan.lines > 1):
        plan.line_blocks += 1
    plan.line_blocks = ceil_div(plan.row.count, plan.lines)
    p.near_lines = max(NEAR_BYTES // (
        line * min(plan.outputs.vectors, VECTORS)
        + plan.row.stride * plan.slab_line * itemsize), 1)
    p.near_lines = ceil_div(plan.lines, ceil_div(plan.lines, p.near_lines))
    rows = min(plan.inputs.each, plan.inputs.count)
    p.height = ceil_div(rows, ceil_div(
        rows, most_pixels(min(plan.outputs.vectors, VECTORS), itemsize)))
    p.taps = plan.rows * plan.columns
    p.numbers = plan.outputs.vectors * plan.inputs.count * p.taps * plan.lanes
    p.units = plan.batch * plan.line_blocks
    p.chunks = ceil_div(p.units * plan.lines * plan.column.out, LONGEST_SUM)
    p.chunks = min(p.chunks, PARTIAL_BYTES // (plan.blocks * p.numbers * itemsize))
    p.chunks = min(max(p.chunks, ceil_div(TASKS, plan.blocks)), p.units)
    p.x_at = 0
    p.dy_at = p.x_at + line_up(plan.slab_rows * plan.column.size * sizeof(Py_ssize_t))
    p.channel_at = p.dy_at + line_up(plan.lines * plan.column.out * sizeof(Py_ssize_t))
    p.column_at = p.channel_at + line_up(plan.inputs.count * sizeof(Py_ssize_t))
    p.partial_at = p.column_at + line_up(plan.columns * sizeof(Py_ssize_t))
    p.threads_at = p.partial_at + line_up(p.chunks * plan.blocks * p.numbers * itemsize)
    p.residual_at = line_up(plan.slab_sample * itemsize)
    p.thread_bytes = p.residual_at + line_up(plan.out_sample * itemsize)


cdef void add_tap(const floating* slab, const floating* residual, const Correlation* p,
                  const Py_ssize_t* channel_at, Py_ssize_t vector, Lines* loops,
                  floating* sums) noexcept nogil:
    """Add the products of some pixels and all input channels, at one tap, to their sums."""
    cdef const Plan* plan = &p.plan
    cdef Py_ssize_t vectors = min(plan.outputs.vectors - vector, VECTORS), v, c, past
    for v in range(plan.inputs.vectors):
        past = min((v + 1) * plan.inputs.each, plan.inputs.count)
        for c from v * plan.inputs.each <= c < past by p.height:
            run_sums(plan.turns, vectors, min(p.height, past - c), residual,
                     slab + channel_at[c], loops, sums + c * loops.sums_row)


cdef void add_lines(const floating* slab, const floating* residual, const Correlation* p,
                    const char* shared, Py_ssize_t line, Py_ssize_t lines, bint begins,
                    floating* sums) noexcept nogil:
    """Add the products of some lines of the residual, as many at a time as stay near.

    `line` is the first of them, `begins` tells that nothing was added to the sums yet.
    """
    cdef const Plan* plan = &p.plan
    cdef Py_ssize_t near, past, v, r, s, first, last, place, before = plan.row.before
    cdef const Py_ssize_t* channel_at = <const Py_ssize_t*>(shared + p.channel_at)
    cdef const Py_ssize_t* column_at = <const Py_ssize_t*>(shared + p.column_at)
    cdef Lines loops
    loops.pixels = plan.column.out
    loops.x_line = plan.row.stride * plan.slab_line
    loops.dy_pixel = plan.outputs.vectors * plan.lanes
    loops.dy_line = plan.column.out * loops.dy_pixel
    loops.sums_row = p.taps * plan.lanes
    loops.sums_vector = plan.inputs.count * loops.sums_row
    for near from 0 <= near < lines by p.near_lines:
        past = min(near + p.near_lines, lines)
        for v from 0 <= v < plan.outputs.vectors by VECTORS:
            for r in range(plan.rows):
                # Lines whose tap lies outside of the map are left out.
                place = (line + near) * plan.row.stride - before + r * plan.row.dilation
                first = near + first_tap(place, plan.row.stride)
                last = near + past_tap(place, plan.row.stride, plan.row.size, past - near)
                first = min(first, past)
                loops.lines = max(last - first, 0)
                loops.first = begins and near == 0
                for s in range(plan.columns):
                    add_tap(slab + (first * plan.row.stride + r * plan.row.dilation)
                            * plan.slab_line + column_at[s],
                            residual + first * loops.dy_line + v * plan.lanes, p, channel_at, v,
                            &loops,
                            sums + v * loops.sums_vector + (r * plan.columns + s) * plan.lanes)


cdef void clear_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    """Clear the columns beside the maps in a thread's part."""
    cdef const Context* c = <const Context*>context
    cdef char* own = c.shared + c.correlation.threads_at + task * c.correlation.thread_bytes
    if c.itemsize == sizeof(float):
        clear_columns(&c.correlation.plan, 1, <float*>own)
    else:
        clear_columns(&c.correlation.plan, 1, <double*>own)


cdef void add_up_chunk(const floating* x, const Context* context, Py_ssize_t task,
                       int thread) noexcept nogil:
    """Add up one chunk of the units of a block of groups."""
    cdef const Correlation* p = context.correlation
    cdef const floating* dy = <const floating*>context.dy
    cdef char* shared = context.shared
    cdef char* own = shared + p.threads_at + thread * p.thread_bytes
    cdef const Plan* plan = &p.plan
    cdef floating* slab = <floating*>own
    cdef floating* residual = <floating*>(own + p.residual_at)
    cdef Py_ssize_t block = task // p.chunks, chunk = task % p.chunks, unit, line, n, lines
    cdef Py_ssize_t first, begin, end, start = chunk * p.units // p.chunks
    cdef floating* sums = (<floating*>(shared + p.partial_at)
                           + (chunk * plan.blocks + block) * p.numbers)
    for unit in range(start, (chunk + 1) * p.units // p.chunks):
        n, line = unit // plan.line_blocks, unit % plan.line_blocks * plan.lines
        lines = min(plan.lines, plan.row.count - line)
        first = line * plan.row.stride - plan.row.before
        begin = min(max(first, 0), plan.row.size)
        end = min(max(first + plan.slab_rows, begin), plan.row.size)
        if end > begin:
            lay_out(x + n * plan.inputs.sample + begin * plan.column.size, plan, &plan.inputs,
                    block, (end - begin) * plan.column.size,
                    <const Py_ssize_t*>(shared + p.x_at),
                    slab + (begin - first) * plan.slab_line, plan.slab_vector)
        lay_out(dy + n * plan.outputs.sample + line * plan.column.out, plan, &plan.outputs, block,
                lines * plan.column.out, <const Py_ssize_t*>(shared + p.dy_at), residual,
                plan.lanes)
        add_lines(<const floating*>slab, <const floating*>residual, p, shared, line, lines,
                  unit == start, sums)


cdef void chunk_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Context* c = <const Context*>context
    if c.itemsize == sizeof(float):
        add_up_chunk(<const float*>c.x, c, task, thread)
    else:
        add_up_chunk(<const double*>c.x, c, task, thread)


cdef void write_gradient(floating* dw, const Context* context, Py_ssize_t block) noexcept nogil:
    """Write the sum of the chunks, in order, into the gradient of a block of groups."""
    cdef const Correlation* p = context.correlation
    cdef const Plan* plan = &p.plan
    cdef Py_ssize_t v, q, k, g, c, i, _, calls = 1, steps = plan.inputs.count * p.taps
    cdef floating* total = <floating*>(context.shared + p.partial_at) + block * p.numbers
    cdef const floating* source = total
    cdef floating* target[MAX_LANES]
    for _ in range(1, p.chunks):
        source += plan.blocks * p.numbers
        for i in range(p.numbers):
            total[i] += source[i]
    if plan.w_strides[2] != p.taps:
        calls, steps = plan.inputs.count, p.taps
    dw += block * plan.turns * plan.w_strides[0]
    for v in range(plan.outputs.vectors):
        for c in range(calls):
            for q in range(plan.lanes):
                k, g = v * plan.outputs.each + q // plan.turns, q % plan.turns
                target[q] = NULL
                if k < plan.outputs.count and block * plan.turns + g < plan.groups:
                    target[q] = (dw + g * plan.w_strides[0] + k * plan.w_strides[1]
                                 + c * plan.w_strides[2])
            scatter(<const floating*>total, steps, <const floating*>NULL, target)
            total += steps * plan.lanes


cdef void sum_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Context* c = <const Context*>context
    if c.itemsize == sizeof(float):
        write_gradient(<float*>c.dw, c, task)
    else:
        write_gradient(<double*>c.dw, c, task)


cdef class WeightGradient(Kernel):
    """The weight gradient, where the channels of groups fill the lanes.

    `depth`, `row` and `column` are the axes of the forward pass; the gradient's kernels are
    contiguous. The channels of `turns` groups share a vector.
    """

    cdef const Py_ssize_t[::1] depth, row, column
    cdef Py_ssize_t turns
    cdef Correlation correlation

    def __init__(self, depth, row, column, Py_ssize_t turns):
        self.depth, self.row, self.column, self.turns = depth, row, column, turns

    cdef int worth_threads(self, const Layout* layout) noexcept:
        cdef const Py_ssize_t* dw = layout.w.shape
        return threads_for(<double>layout.y.shape[0] * layout.y.shape[4] * layout.y.shape[5]
                           * dw[0] * dw[1] * dw[2] * dw[4] * dw[5])

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Correlation* p = &self.correlation
        cdef Plan* plan = &p.plan
        take_shapes(plan, layout.x.shape, layout.x.strides, layout.w.shape, layout.w.strides,
                    layout.y.shape, layout.y.strides, layout.itemsize, self.turns, &self.row[0],
                    &self.column[0])
        size_correlation(p, layout.itemsize)
        self.team = p.threads = min(<Py_ssize_t>threads, plan.blocks * p.chunks)
        return p.threads_at + p.threads * p.thread_bytes

    cdef int compute(self, const Operands* o, size_t bytes) except -1:
        cdef Correlation p = self.correlation
        cdef const Plan* plan = &p.plan
        cdef Py_ssize_t i, width = plan.outputs.vectors * plan.lanes
        cdef char* shared = <char*>take(bytes)
        cdef Context context
        cdef Phase[3] phases
        record("channels in the lanes", self.largest[0], self.largest[1])
        fill_positions(plan, <Py_ssize_t*>(shared + p.x_at))
        for i in range(plan.lines * plan.column.out):
            (<Py_ssize_t*>(shared + p.dy_at))[i] = i * width
        list_channels(plan, <Py_ssize_t*>(shared + p.channel_at))
        for i in range(plan.columns):
            (<Py_ssize_t*>(shared + p.column_at))[i] = column_place(
                plan, plan.left - plan.column.before + i * plan.column.dilation)
        context.correlation, context.itemsize, context.shared = &p, o.layout.itemsize, shared
        context.x, context.dy, context.dw = o.x, o.y, o.w
        phases[0] = make_phase(clear_task, &context, p.threads, EVEN)
        phases[1] = make_phase(chunk_task, &context, plan.blocks * p.chunks, EVEN)
        phases[2] = make_phase(sum_task, &context, plan.blocks, EVEN)
        with nogil:
            parallel_phases(p.threads, phases, 3)
        give(shared)
        return 0
