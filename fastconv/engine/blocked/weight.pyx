# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""The weight gradient with samples, groups or channels in the lanes.

The input and the residual are laid out as for the correlation. With samples or groups in the lanes
each number of the gradient is a vector of sums, over the pixels of a lane:

    sums[k][c, r, s][lane] = sum over pixels of dy[k][pixel][lane] * x[c][pixel at tap r, s][lane]

Groups' sums are the gradient; those of samples and bands of rows are added, lane by lane. With
channels in the lanes a vector of sums belongs to an input channel and a tap, and holds output
channels: the gradient transposed. The vectors of a pixel of the residual then lie side by side:

    sums[output vector][c][r, s][lane] =
        sum over pixels of x[c][pixel at tap r, s] * dy[pixel][output vector][lane]

A *unit* is a block of lines, of one vector's samples or groups. The units of a group, or of a
block of groups, are cut into k-slices (base/split_k.pxd): each of these *kernels* has sums of its
own.
"""

from cython cimport floating

from libc.string cimport memset

from fastconv.engine.base.arrays cimport Layout
from fastconv.engine.base.axis cimport LONGEST_SUM, ceil_div, first_tap, past_tap
from fastconv.engine.base.costs cimport COPIED, PACKED, tiles_cost
from fastconv.engine.base.jobs cimport Context, Job, Jobs, add_job
from fastconv.engine.base.split_k cimport (
    SplitK, add_slices, first_unit, partial_at, partial_numbers, slice_tasks, split_k)
from fastconv.engine.blocked.layout cimport (
    LaneKernel, Plan, Rows, channel_place, clear_columns, column_place, fill_positions,
    find_kernels, gather_rows, gathered, input_rows, list_positions, move_lanes, output_rows,
    size_lines, size_slab)
from fastconv.engine.blocked.tiles cimport (
    CHANNELS, CHANNEL_SUMS, LANE_SUMS, MAX_LANES, SAMPLES, Steps, add_lanes, most_columns,
    most_rows, run_tile, scatter)
from fastconv.engine.gemm.slab cimport line_up

# What a unit lays out with channels in the lanes: a quarter of the second-level cache.
cdef Py_ssize_t UNIT_BYTES = 1 << 18
# The rows that stay in the first-level cache while all sums of their products are computed.
cdef Py_ssize_t NEAR_BYTES = 1 << 14
# Tasks that keep threads busy: kernels times slices; with channels in the lanes.
cdef Py_ssize_t TASKS = 8
cdef Py_ssize_t CHANNEL_TASKS = 16
# The sums of the slices that rounding asks for take at most so much, with channels in the lanes.
cdef Py_ssize_t PARTIAL_BYTES = 1 << 24
# Vectors of output channels that are computed at once.
cdef Py_ssize_t MAX_VECTORS = 2


cdef struct Call:
    Plan plan                       # of the input's slab; the outputs are the residual's channels
    Py_ssize_t numbers              # of the sums of a vector of output channels, for all steps
    Py_ssize_t steps, width         # of an output channel: (c, r, s); and whole vectors
    Py_ssize_t most_steps[2]        # of a tile as high as the highest, and of one row less
    Py_ssize_t near_lines, near_columns     # of the residual, in the first-level cache
    SplitK split                    # its groups are kernels: groups, or blocks of them
    int threads
    # The workspace: what all threads share, then one part for each.
    size_t x_at, dy_at, steps_at, partial_at, threads_at
    size_t residual_at, sums_at, thread_bytes


cdef void size_lane_sums(Call* c, Py_ssize_t kernels, Py_ssize_t itemsize) noexcept nogil:
    """Choose blocks and slices, with samples or groups in the lanes."""
    cdef Plan* p = &c.plan
    cdef Py_ssize_t out = p.column.out, pixels, units
    size_lines(p, itemsize, 1)
    c.width, c.numbers = c.steps, c.steps * p.lanes.lanes
    if p.held == SAMPLES:
        c.width = c.numbers = ceil_div(c.steps, p.lanes.lanes) * p.lanes.lanes
    p.panels = ceil_div(p.outputs, most_rows(LANE_SUMS, 1, itemsize))
    p.height = ceil_div(p.outputs, p.panels)
    c.most_steps[0] = most_columns(LANE_SUMS, p.height, itemsize)
    c.most_steps[1] = most_columns(LANE_SUMS, p.height - 1, itemsize)
    p.tile_rows, p.tile_columns = p.height, min(c.steps, c.most_steps[0]) * p.lanes.lanes
    pixels = max(NEAR_BYTES // (p.height * p.lanes.lanes * itemsize), 1)
    c.near_columns = ceil_div(out, ceil_div(out, pixels))
    c.near_lines = max(pixels // out, 1)
    c.near_lines = ceil_div(p.lines, ceil_div(p.lines, c.near_lines))
    units = (p.lanes.blocks if p.held == SAMPLES else p.groups) * p.line_blocks
    c.split = split_k(kernels, p.out_vectors * c.numbers, units,
                      ceil_div(units * p.lines * out, LONGEST_SUM), TASKS)


cdef void size_channel_sums(Call* c, Py_ssize_t kernels, Py_ssize_t itemsize) noexcept nogil:
    """Choose units and slices, with channels in the lanes."""
    cdef Plan* p = &c.plan
    cdef Py_ssize_t units, slices
    cdef Py_ssize_t rows = min(p.lanes.each, p.inputs), vectors = min(p.out_vectors, MAX_VECTORS)
    p.line_blocks = 1
    while (size_slab(p, ceil_div(p.row.count, p.line_blocks)) * itemsize > UNIT_BYTES
           and p.lines > 1):
        p.line_blocks += 1
    p.line_blocks = ceil_div(p.row.count, p.lines)
    c.near_lines = max(
        NEAR_BYTES // ((p.out_line * vectors + p.row.stride * p.slab_line) * itemsize), 1)
    c.near_lines = ceil_div(p.lines, ceil_div(p.lines, c.near_lines))
    p.height = ceil_div(rows, ceil_div(rows, most_rows(CHANNEL_SUMS, vectors, itemsize)))
    p.tile_rows, p.tile_columns = p.height, vectors * p.lanes.lanes
    c.numbers = c.steps * p.lanes.lanes
    units = p.groups * p.line_blocks
    slices = min(ceil_div(units * p.lines * p.column.out, LONGEST_SUM),
                 PARTIAL_BYTES // (kernels * p.out_vectors * c.numbers * itemsize))
    c.split = split_k(kernels, p.out_vectors * c.numbers, units, slices, CHANNEL_TASKS)


cdef void complete(Call* c, Py_ssize_t itemsize, int threads) noexcept nogil:
    """Choose blocks and slices, by the shapes alone, and lay out the workspace."""
    cdef Plan* p = &c.plan
    c.steps = p.inputs * p.kernel
    if p.held == CHANNELS:
        size_channel_sums(c, p.lanes.blocks, itemsize)
    else:
        size_lane_sums(c, p.groups if p.held == SAMPLES else p.lanes.blocks, itemsize)
    c.threads = min(<Py_ssize_t>threads, slice_tasks(&c.split))
    c.x_at = 0
    c.dy_at = c.x_at + line_up(p.slab_rows * p.column.size * sizeof(Py_ssize_t))
    c.steps_at = c.dy_at + line_up(p.lines * p.column.out * sizeof(Py_ssize_t))
    c.partial_at = c.steps_at + line_up(c.steps * sizeof(Py_ssize_t))
    c.threads_at = c.partial_at + line_up(partial_numbers(&c.split) * itemsize)
    c.residual_at = line_up(p.slab_size * itemsize)
    c.sums_at = c.thread_bytes = c.residual_at + line_up(p.out_size * itemsize)
    if p.held == SAMPLES:
        c.thread_bytes += line_up(p.outputs * c.width * p.lanes.lanes * itemsize)


cdef void list_steps(const Call* c, Py_ssize_t* at) noexcept nogil:
    """Write where the first pixel at each step lies in the slab."""
    cdef const Plan* p = &c.plan
    cdef Py_ssize_t channel, r, s
    for channel in range(p.inputs):
        for r in range(p.row.taps):
            for s in range(p.column.taps):
                at[0] = (channel_place(p, channel) + r * p.row.dilation * p.slab_line
                         + column_place(p, p.left - p.column.before + s * p.column.dilation))
                at += 1


cdef Rows residual_rows(const Plan* p) noexcept nogil:
    """Return the rows of a block of lines of the residual, but for the first and their number."""
    cdef Rows rows = output_rows(p)
    rows.zeros = True
    if p.held == CHANNELS:
        rows.to_line, rows.to_vector = p.out_vectors * p.out_line, p.lanes.lanes
    return rows


cdef void lane_products(const floating* dy, const floating* x, const Py_ssize_t* at,
                        const Call* c, Steps* steps, floating* sums) noexcept nogil:
    """Add the products of some pixels of the residual and every step to the sums."""
    cdef const Plan* p = &c.plan
    cdef Py_ssize_t panel, k, rows, part, parts, first, past
    for panel in range(p.panels):
        k = panel * p.outputs // p.panels
        rows = (panel + 1) * p.outputs // p.panels - k
        parts = ceil_div(c.steps, c.most_steps[p.height - rows])
        for part in range(parts):
            first, past = part * c.steps // parts, (part + 1) * c.steps // parts
            steps.b_at = at + first
            run_tile(LANE_SUMS, rows, past - first, dy + k * steps.a_row, x, steps,
                     sums + (k * c.width + first) * p.lanes.lanes)


cdef void add_lane_lines(const floating* slab, const floating* residual, const Py_ssize_t* at,
                         const Call* c, Py_ssize_t lines, bint begins,
                         floating* sums) noexcept nogil:
    """Add the products of some lines of the residual, as many at a time as stay near.

    `begins` tells that nothing was added to the sums yet.
    """
    cdef const Plan* p = &c.plan
    cdef Py_ssize_t lanes = p.lanes.lanes, line, column
    cdef Steps steps
    memset(&steps, 0, sizeof(Steps))
    steps.a_hop[1], steps.a_row = p.out_line, p.out_vector
    steps.b_hop[1], steps.b_hop[2] = p.row.stride * p.slab_line, p.column.stride * lanes
    steps.out_row = c.width * lanes
    for line from 0 <= line < lines by c.near_lines:
        steps.count[1] = min(c.near_lines, lines - line)
        for column from 0 <= column < p.column.out by c.near_columns:
            steps.count[2] = min(c.near_columns, p.column.out - column)
            steps.first = begins and line == column == 0
            lane_products(residual + line * steps.a_hop[1] + column * lanes,
                          slab + line * steps.b_hop[1] + column * steps.b_hop[2], at, c, &steps,
                          sums)


cdef void channel_products(const floating* dy, const floating* x, const Py_ssize_t* at,
                           const Call* c, Py_ssize_t vectors, const Steps* steps,
                           floating* sums) noexcept nogil:
    """Add the products of some pixels and all input channels, at one tap, to their sums."""
    cdef const Plan* p = &c.plan
    cdef Py_ssize_t v, channel, past
    for v in range(p.in_vectors):
        past = min((v + 1) * p.lanes.each, p.inputs)
        for channel from v * p.lanes.each <= channel < past by p.height:
            run_tile(CHANNEL_SUMS + <int>p.lanes.together - 1, min(p.height, past - channel),
                     vectors, x + at[channel * p.kernel], dy, steps, sums + channel * steps.out_row)


cdef void add_channel_lines(const floating* slab, const floating* residual, const Py_ssize_t* at,
                            const Call* c, Py_ssize_t line, Py_ssize_t lines, bint begins,
                            floating* sums) noexcept nogil:
    """Add the products of some lines of the residual likewise; `line` is the first of them."""
    cdef const Plan* p = &c.plan
    cdef Py_ssize_t near, past, v, r, s, tap, first, last, place, lanes = p.lanes.lanes
    cdef Steps steps
    memset(&steps, 0, sizeof(Steps))
    steps.count[2] = p.column.out
    steps.a_hop[1], steps.b_hop[2] = p.row.stride * p.slab_line, p.out_vectors * lanes
    steps.b_hop[1] = p.out_vectors * p.out_line
    steps.out_row, steps.out_column = p.kernel * lanes, c.numbers
    for near from 0 <= near < lines by c.near_lines:
        past = min(near + c.near_lines, lines)
        steps.first = begins and near == 0
        for v from 0 <= v < p.out_vectors by MAX_VECTORS:
            for r in range(p.row.taps):
                # Lines whose tap lies outside of the map are left out.
                place = (line + near) * p.row.stride - p.row.before + r * p.row.dilation
                first = near + first_tap(place, p.row.stride)
                last = near + past_tap(place, p.row.stride, p.row.size, past - near)
                first = min(first, past)
                steps.count[1] = max(last - first, 0)
                for s in range(p.columns):
                    tap = r * p.columns + s
                    channel_products(
                        residual + first * steps.b_hop[1] + v * lanes,
                        slab + first * steps.a_hop[1], at + tap, c,
                        min(p.out_vectors - v, MAX_VECTORS), &steps,
                        sums + v * c.numbers + tap * lanes)


cdef void clear(const floating* x, const Context* context, Py_ssize_t task,
                int thread) noexcept nogil:
    """Clear the columns beside the maps in a thread's part."""
    cdef const Call* c = <const Call*>context.plan
    clear_columns(&c.plan, 1, <floating*>(context.shared + c.threads_at + task * c.thread_bytes))


cdef double clear_cost(void* job, Py_ssize_t task) noexcept nogil:
    cdef const Plan* p = &(<const Call*>(<const Job*>job).context.plan).plan
    return (<double>COPIED * p.in_vectors * p.slab_rows * (p.width - p.column.size)
            * p.lanes.lanes)


cdef void add_up_slice(const floating* x, const Context* context, Py_ssize_t task,
                       int thread) noexcept nogil:
    """Add up one slice of the units of a kernel; then the lanes, where they hold samples."""
    cdef const Call* c = <const Call*>context.plan
    cdef const floating* dy = <const floating*>context.o.y
    cdef char* shared = context.shared
    cdef char* own = shared + c.threads_at + thread * c.thread_bytes
    cdef const Plan* p = &c.plan
    cdef const Py_ssize_t* at = <const Py_ssize_t*>(shared + c.steps_at)
    cdef floating* slab = <floating*>own
    cdef floating* residual = <floating*>(own + c.residual_at)
    cdef Py_ssize_t kernel = task // c.split.slices, slice = task % c.split.slices
    cdef Py_ssize_t begin = first_unit(&c.split, slice), line, block, g, unit
    cdef floating* partial = <floating*>(shared + c.partial_at) + partial_at(&c.split, task)
    cdef floating* sums = <floating*>(own + c.sums_at) if p.held == SAMPLES else partial
    cdef Rows rows = input_rows(p), residuals = residual_rows(p)
    rows.zeros = p.held != CHANNELS
    for unit in range(begin, first_unit(&c.split, slice + 1)):
        line = unit % p.line_blocks * p.lines
        g, block = kernel, unit // p.line_blocks
        if p.held != SAMPLES:
            g, block = block, g
        rows.first = line * p.row.stride - p.row.before
        residuals.first, residuals.count = line, min(p.lines, p.lanes.rows - line)
        gather_rows(x + g * p.x_strides[1], &p.lanes, block, &rows, p.inputs,
                    <const Py_ssize_t*>(shared + c.x_at), slab)
        gather_rows(dy + g * p.y_strides[1], &p.lanes, block, &residuals, p.outputs,
                    <const Py_ssize_t*>(shared + c.dy_at), residual)
        if p.held == CHANNELS:
            add_channel_lines(<const floating*>slab, <const floating*>residual, at, c, line,
                              residuals.count, unit == begin, sums)
        else:
            add_lane_lines(<const floating*>slab, <const floating*>residual, at, c,
                           residuals.count, unit == begin, sums)
    if p.held == SAMPLES:
        add_lanes(<const floating*>sums, p.outputs * c.numbers, partial)


cdef double lane_products_cost(const Call* c, Py_ssize_t pixels) noexcept nogil:
    """Return what a call of lane_products for so many pixels costs."""
    cdef const Plan* p = &c.plan
    cdef Py_ssize_t panel, rows
    cdef double cost = 0
    for panel in range(p.panels):
        rows = (panel + 1) * p.outputs // p.panels - panel * p.outputs // p.panels
        cost += tiles_cost(c.steps, c.most_steps[p.height - rows], rows, p.lanes.lanes, pixels)
    return cost


cdef double slice_cost(void* job, Py_ssize_t task) noexcept nogil:
    """Return what a call of add_up_slice costs."""
    cdef const Call* c = <const Call*>(<const Job*>job).context.plan
    cdef const Plan* p = &c.plan
    cdef Rows rows = input_rows(p), residuals = residual_rows(p)
    cdef Py_ssize_t slice = task % c.split.slices, unit, line, near, channels, v
    cdef double cost = 0
    rows.zeros = p.held != CHANNELS
    for unit in range(first_unit(&c.split, slice), first_unit(&c.split, slice + 1)):
        line = unit % p.line_blocks * p.lines
        rows.first = line * p.row.stride - p.row.before
        residuals.first, residuals.count = line, min(p.lines, p.lanes.rows - line)
        cost += PACKED * (gathered(&p.lanes, &rows, p.inputs)
                          + gathered(&p.lanes, &residuals, p.outputs))
        for near from 0 <= near < residuals.count by c.near_lines:
            line = min(c.near_lines, residuals.count - near)
            if p.held != CHANNELS:
                cost += lane_products_cost(c, line * p.column.out)
                continue
            for v from 0 <= v < p.out_vectors by MAX_VECTORS:
                channels = min(p.lanes.each, p.inputs)
                cost += p.in_vectors * p.kernel * tiles_cost(
                    channels, p.height, min(p.out_vectors - v, MAX_VECTORS), p.lanes.lanes,
                    line * p.column.out)
    return cost + (COPIED * p.outputs * c.numbers if p.held == SAMPLES else 0)


cdef double sum_cost(void* job, Py_ssize_t task) noexcept nogil:
    cdef const Call* c = <const Call*>(<const Job*>job).context.plan
    return <double>c.numbers * (COPIED * c.split.slices + PACKED)


cdef void write_channel(const floating* sums, const Plan* p, floating* dw) noexcept nogil:
    """Write the gradient of an output channel."""
    cdef Py_ssize_t c, r, s
    for c in range(p.inputs):
        for r in range(p.row.taps):
            for s in range(p.column.taps):
                dw[c * p.w_strides[2] + r * p.w_strides[4] + s * p.w_strides[5]] = sums[0]
                sums += 1


cdef void write_vector(const floating* sums, const Plan* p, Py_ssize_t block, Py_ssize_t vector,
                       floating* dw) noexcept nogil:
    """Write the gradient of the output channels of a vector; kernels are contiguous."""
    cdef Py_ssize_t channel, channels = p.inputs if p.w_strides[2] == p.kernel else 1
    cdef floating* kernels[MAX_LANES]
    cdef floating* target[MAX_LANES]
    find_kernels(<const floating*>dw, p, p.w_strides, block, vector, <const floating**>kernels)
    for channel from 0 <= channel < p.inputs by channels:
        move_lanes(<const floating**>kernels, p.lanes.lanes, channel * p.w_strides[2],
                   <const floating**>target)
        scatter(sums + channel * p.kernel * p.lanes.lanes, channels * p.kernel,
                <const floating*>NULL, NULL, target)


cdef void write_gradient(const floating* x, const Context* context, Py_ssize_t task,
                         int thread) noexcept nogil:
    """Add up the slices for one vector of output channels, and write their gradient."""
    cdef const Call* c = <const Call*>context.plan
    cdef const Plan* p = &c.plan
    cdef Py_ssize_t kernel = task // p.out_vectors, vector = task % p.out_vectors
    cdef floating* total = <floating*>(context.shared + c.partial_at) + task * c.numbers
    cdef floating* dw = <floating*>context.o.w
    add_slices(&c.split, total, c.numbers)
    if p.held == SAMPLES:
        write_channel(<const floating*>total, p,
                      dw + kernel * p.w_strides[0] + vector * p.w_strides[1])
    else:
        write_vector(<const floating*>total, p, kernel, vector, dw)


cdef class WeightGradient(LaneKernel):
    """The weight gradient for maps with few channels; `row` and `column` are the forward pass's.

    The kernels of the gradient are contiguous, unless samples lie in the lanes.
    """

    cdef Call call

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Call* c = &self.call
        self.lay_out(layout, &c.plan)
        complete(c, layout.itemsize, threads)
        self.team = c.threads
        self.largest[0], self.largest[1] = c.plan.tile_rows, c.plan.tile_columns
        return c.threads_at + c.threads * c.thread_bytes

    cdef void share(self, Context* context, Jobs* jobs) noexcept nogil:
        cdef const Call* c = &self.call
        cdef const Plan* p = &c.plan
        cdef char* shared = context.shared
        # Where the vectors of a pixel of the residual lie side by side.
        cdef Py_ssize_t pixel = p.lanes.lanes * (p.out_vectors if p.held == CHANNELS else 1)
        context.plan = c
        list_positions(p, <Py_ssize_t*>(shared + c.x_at))
        fill_positions(1, p.lines * p.column.out, 0, 0, pixel, <Py_ssize_t*>(shared + c.dy_at))
        list_steps(c, <Py_ssize_t*>(shared + c.steps_at))
        add_job(jobs, context, clear[float], clear[double], clear_cost, NULL, c.threads)
        add_job(jobs, context, add_up_slice[float], add_up_slice[double], slice_cost, context.o.x,
                slice_tasks(&c.split))
        add_job(jobs, context, write_gradient[float], write_gradient[double], sum_cost, NULL,
                c.split.groups * p.out_vectors)
