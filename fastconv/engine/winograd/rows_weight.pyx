# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""The weight gradient of Winograd's convolution along rows, with samples in the lanes.

Tiles and their points are those of rows.pyx; a tile of the residual is the outputs of a
tile of the input. The products of a point are summed over the tiles, in vectors, as in
blocked/weight.pyx, and the lanes are added at the end of a k-slice (base/split_k.pxd):

    Z[point] = A dy       of every tile of every row of the residual
    sums[point][k][c, r] = sum over rows and tiles of Z[point][k, row, tile]
                                                      * V[point][c, row + r, tile]
    dw[k, c, r] = G^T sums[k][c, r]
"""

from cython cimport floating

from libc.string cimport memset

from fastconv.engine.base.arrays cimport Layout
from fastconv.engine.base.axis cimport ceil_div
from fastconv.engine.base.costs cimport COPIED, PACKED, TRANSFORMED, tiles_cost
from fastconv.engine.base.jobs cimport Context, Job, Jobs, add_job
from fastconv.engine.base.split_k cimport (
    SplitK, add_slices, first_unit, partial_at, partial_numbers, slice_tasks, split_k)
from fastconv.engine.blocked.layout cimport (
    Plan, Rows, fill_positions, gather_rows, output_rows)
from fastconv.engine.blocked.tiles cimport (
    LANE_SUMS, Steps, add_lanes, most_columns, most_rows, run_tile)
from fastconv.engine.gemm.slab cimport line_up
from fastconv.engine.winograd.rows cimport (
    POINTS, STEP, TAPS, Tiling, lines_cost, list_positions, make_tiling, residual_rows,
    transform_lines, write_kernel_gradients)
from fastconv.engine.winograd.tiles cimport TileKernel

# V and Z of a block of lines: those of a point stay near the first-level cache.
cdef Py_ssize_t BLOCK_BYTES = 9 << 15
# Tasks that keep threads busy.
cdef Py_ssize_t TASKS = 8


cdef struct Correlation:
    Tiling tiling
    Py_ssize_t z_row, z_point       # from one output channel and point to the next, in elements
    Py_ssize_t numbers              # sums of a point: (k, c, r)
    Py_ssize_t panels               # of output channels
    SplitK split                    # of blocks of lines of blocks of samples
    int threads
    # The workspace: what all threads share, then one part for each.
    size_t x_at, dy_at, steps_at, partial_at, threads_at
    size_t residual_at, residual_bytes, v_at, z_at, sums_at, thread_bytes


cdef void size_correlation(Correlation* p, Py_ssize_t itemsize) noexcept nogil:
    """Choose blocks and slices by the shapes alone, and lay out the workspace."""
    cdef const Tiling* t = &p.tiling
    cdef const Plan* plan = &t.plan
    cdef Py_ssize_t lanes = plan.lanes.lanes
    p.z_row = plan.lines * t.tiles * lanes
    p.z_point = p.z_row * plan.outputs + (lanes if p.z_row // lanes * plan.outputs % 2 == 0 else 0)
    p.numbers = plan.outputs * t.sums
    p.panels = ceil_div(plan.outputs, most_rows(LANE_SUMS, 1, itemsize))
    p.split = split_k(plan.groups, POINTS * p.numbers, plan.lanes.blocks * plan.line_blocks, 1,
                      TASKS)
    p.x_at = 0
    p.dy_at = p.x_at + t.at_bytes
    p.steps_at = p.dy_at + line_up(plan.lines * plan.column.out * sizeof(Py_ssize_t))
    p.partial_at = p.steps_at + line_up(t.sums * sizeof(Py_ssize_t))
    p.threads_at = p.partial_at + line_up(partial_numbers(&p.split) * itemsize)
    p.residual_bytes = line_up(plan.lines * t.tiles * STEP * lanes * itemsize)
    p.residual_at = t.slab_bytes
    p.v_at = p.residual_at + p.residual_bytes
    p.z_at = p.v_at + t.v_bytes
    p.sums_at = p.z_at + line_up(POINTS * p.z_point * itemsize)
    p.thread_bytes = p.sums_at + line_up(POINTS * p.numbers * lanes * itemsize)


cdef void transform_residual(const floating* dy, const Correlation* p, Py_ssize_t block,
                             Py_ssize_t line, Py_ssize_t lines, const Py_ssize_t* at,
                             floating* residual, floating* z) noexcept nogil:
    """Transform a block of lines of a group's residual."""
    cdef const Plan* plan = &p.tiling.plan
    cdef Py_ssize_t k
    cdef Rows rows = output_rows(plan)
    rows.first, rows.count, rows.zeros = line, lines, True
    rows.to_line = p.tiling.tiles * STEP * plan.lanes.lanes
    for k in range(plan.outputs):
        gather_rows(dy + k * rows.channel, &plan.lanes, block, &rows, 1, at, residual)
        residual_rows(&p.tiling, <const floating*>residual, lines, z + k * p.z_row, p.z_point)


cdef void list_steps(const Correlation* p, Py_ssize_t* at) noexcept nogil:
    """Write where the tiles of each step, a channel and a row of a kernel, begin in V."""
    cdef const Plan* plan = &p.tiling.plan
    cdef Py_ssize_t c, r
    for c in range(plan.inputs):
        for r in range(TAPS):
            at[c * TAPS + r] = (c * plan.slab_rows + r) * p.tiling.tiles * plan.lanes.lanes


cdef void add_products(const floating* v, const floating* z, const Correlation* p,
                       const Py_ssize_t* at, Py_ssize_t lines, bint begins,
                       floating* sums) noexcept nogil:
    """Add the products of some lines of tiles to the sums of all points, or begin them."""
    cdef const Tiling* t = &p.tiling
    cdef const Plan* plan = &t.plan
    cdef Py_ssize_t lanes = plan.lanes.lanes, steps = plan.inputs * TAPS
    cdef Py_ssize_t _, panel, k, rows, part, parts, first, past
    cdef Steps loops
    memset(&loops, 0, sizeof(Steps))
    # The tiles of all lines are one line.
    loops.count[1], loops.count[2] = 1, lines * t.tiles
    loops.a_hop[1] = loops.b_hop[1] = 0
    loops.a_row, loops.b_hop[2], loops.out_row = p.z_row, lanes, t.sums * lanes
    loops.first = begins
    for _ in range(POINTS):
        for panel in range(p.panels):
            k = panel * plan.outputs // p.panels
            rows = (panel + 1) * plan.outputs // p.panels - k
            parts = ceil_div(steps, most_columns(LANE_SUMS, rows, sizeof(floating)))
            for part in range(parts):
                first, past = part * steps // parts, (part + 1) * steps // parts
                loops.b_at = at + first
                run_tile(LANE_SUMS, rows, past - first, z + k * p.z_row, v, &loops,
                         sums + (k * t.sums + first) * lanes)
        v += t.v_point
        z += p.z_point
        sums += p.numbers * lanes


cdef void clear(const floating* x, const Context* context, Py_ssize_t task,
                int thread) noexcept nogil:
    """Write zeros into a thread's part, which stay for all units.

    They lie beside the maps, and past the ends of the residual's rows.
    """
    cdef const Correlation* p = <const Correlation*>context.plan
    memset(context.shared + p.threads_at + task * p.thread_bytes, 0, p.v_at)


cdef void add_up_slice(const floating* x, const Context* context, Py_ssize_t task,
                       int thread) noexcept nogil:
    """Add up one slice of a group's units, lane by lane, then the lanes."""
    cdef const Correlation* p = <const Correlation*>context.plan
    cdef const floating* dy = <const floating*>context.o.y
    cdef char* shared = context.shared
    cdef char* own = shared + p.threads_at + thread * p.thread_bytes
    cdef const Plan* plan = &p.tiling.plan
    cdef floating* v = <floating*>(own + p.v_at)
    cdef floating* z = <floating*>(own + p.z_at)
    cdef floating* sums = <floating*>(own + p.sums_at)
    cdef Py_ssize_t g = task // p.split.slices, slice = task % p.split.slices
    cdef Py_ssize_t begin = first_unit(&p.split, slice), unit, line, lines, block
    for unit in range(begin, first_unit(&p.split, slice + 1)):
        line = unit % plan.line_blocks * plan.lines
        lines = min(plan.lines, plan.lanes.rows - line)
        block = unit // plan.line_blocks
        transform_lines(x + g * plan.x_strides[1], &p.tiling, block, line, lines, True,
                        <const Py_ssize_t*>(shared + p.x_at), <floating*>own, v)
        transform_residual(dy + g * plan.y_strides[1], p, block, line, lines,
                           <const Py_ssize_t*>(shared + p.dy_at),
                           <floating*>(own + p.residual_at), z)
        add_products(<const floating*>v, <const floating*>z, p,
                     <const Py_ssize_t*>(shared + p.steps_at), lines, unit == begin, sums)
    add_lanes(<const floating*>sums, p.split.numbers,
              <floating*>(shared + p.partial_at) + partial_at(&p.split, task))


cdef double clear_cost(void* job, Py_ssize_t task) noexcept nogil:
    cdef const Context* context = (<const Job*>job).context
    return <double>COPIED * ((<const Correlation*>context.plan).v_at // context.o.layout.itemsize)


cdef double slice_cost(void* job, Py_ssize_t task) noexcept nogil:
    """Return what a call of add_up_slice costs."""
    cdef const Context* context = (<const Job*>job).context
    cdef const Correlation* p = <const Correlation*>context.plan
    cdef const Tiling* t = &p.tiling
    cdef const Plan* plan = &t.plan
    cdef Py_ssize_t slice = task % p.split.slices, unit, lines, panel, rows
    cdef double cost = <double>COPIED * p.split.numbers * plan.lanes.lanes
    for unit in range(first_unit(&p.split, slice), first_unit(&p.split, slice + 1)):
        lines = min(plan.lines, plan.lanes.rows - unit % plan.line_blocks * plan.lines)
        cost += lines_cost(t, lines) + (
            <double>plan.outputs * lines * plan.lanes.lanes
            * (TRANSFORMED * POINTS * t.tiles + PACKED * plan.column.out))
        for panel in range(p.panels):
            rows = (panel + 1) * plan.outputs // p.panels - panel * plan.outputs // p.panels
            cost += POINTS * tiles_cost(
                plan.inputs * TAPS, most_columns(LANE_SUMS, rows, context.o.layout.itemsize), rows,
                plan.lanes.lanes, lines * t.tiles)
    return cost


cdef double sum_cost(void* job, Py_ssize_t task) noexcept nogil:
    cdef const Correlation* p = <const Correlation*>(<const Job*>job).context.plan
    return <double>p.tiling.sums * POINTS * (COPIED * p.split.slices + TRANSFORMED)


cdef void write_channel(const floating* x, const Context* context, Py_ssize_t task,
                        int thread) noexcept nogil:
    """Add up an output channel's sums of all slices, and write its gradients."""
    cdef const Correlation* p = <const Correlation*>context.plan
    cdef const Plan* plan = &p.tiling.plan
    cdef Py_ssize_t g = task // plan.outputs, k = task % plan.outputs, point
    cdef floating* sums = <floating*>(context.shared + p.partial_at)
    cdef floating* dw = <floating*>context.o.w
    sums += g * p.split.numbers + k * p.tiling.sums
    for point in range(POINTS):
        add_slices(&p.split, sums + point * p.numbers, p.tiling.sums)
    write_kernel_gradients(&p.tiling, <const floating*>sums, p.numbers,
                           dw + g * plan.w_strides[0] + k * plan.w_strides[1])


cdef class WeightGradient(TileKernel):
    """The weight gradient without dilation, for maps whose planes are contiguous."""

    cdef Correlation correlation

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Correlation* p = &self.correlation
        p.tiling = make_tiling(layout, False, &self.window, layout.w.shape[1], BLOCK_BYTES, 1)
        size_correlation(p, layout.itemsize)
        self.variant = "winograd rows"
        self.team = p.threads = min(<Py_ssize_t>threads, slice_tasks(&p.split))
        self.largest[0] = ceil_div(layout.w.shape[1], p.panels)
        self.largest[1] = min(most_columns(LANE_SUMS, self.largest[0], layout.itemsize),
                              layout.w.shape[2] * TAPS) * p.tiling.plan.lanes.lanes
        return p.threads_at + p.threads * p.thread_bytes

    cdef void share(self, Context* context, Jobs* jobs) noexcept nogil:
        cdef const Correlation* p = &self.correlation
        cdef const Plan* plan = &p.tiling.plan
        cdef char* shared = context.shared
        context.plan = p
        list_positions(&p.tiling, <Py_ssize_t*>(shared + p.x_at))
        fill_positions(plan.lines, plan.column.out, 0,
                       p.tiling.tiles * STEP * plan.lanes.lanes, plan.lanes.lanes,
                       <Py_ssize_t*>(shared + p.dy_at))
        list_steps(p, <Py_ssize_t*>(shared + p.steps_at))
        add_job(jobs, context, clear[float], clear[double], clear_cost, NULL, p.threads)
        add_job(jobs, context, add_up_slice[float], add_up_slice[double], slice_cost, context.o.x,
                slice_tasks(&p.split))
        add_job(jobs, context, write_channel[float], write_channel[double], sum_cost, NULL,
                plan.groups * plan.outputs)
