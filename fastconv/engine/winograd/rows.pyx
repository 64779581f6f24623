# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""Winograd's convolution along rows, with samples in the lanes, for few channels.

A tile is 9 pixels of a row, from which kernels of 5 x 5 taps make 5 outputs. In the other direction
taps are taken one by one, so that a sum is over all input channels and rows of a kernel, and few
numbers are transformed:

    V[point] = B^T d      of every tile of every row of the input (rows_loops.h)
    U[point] = G g        of every row of every kernel
    M[point][k, row, tile] = sum over c, r of U[point][k, c, r] V[point][c, row + r, tile]
    y = A^T M + bias

The maps are laid out as in blocked/layout.pyx, so that the transforms need no shuffles, and a
point's sum is a convolution there with kernels of one column. Samples that are too few share their
lanes with bands of rows. Every lane takes the same steps: the bits of a sample depend neither on
the batch nor on the threads.
"""

from cython cimport floating

from libc.string cimport memset

from fastconv.engine.base.arrays cimport Axes, Layout, in_elements, rot180
from fastconv.engine.base.axis cimport Taps, ceil_div, taps_inside, window_axis
from fastconv.engine.base.costs cimport COPIED, PACKED, TRANSFORMED, tiles_cost
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.jobs cimport Context, Job, Jobs, add_job
from fastconv.engine.blocked.layout cimport (
    Plan, Rows, Tile, cut_lines, fill_bias, fill_positions, gather_rows, input_rows, scatter_rows,
    share_lanes)
from fastconv.engine.blocked.tiles cimport (
    MAX_LANES, SAMPLES, Steps, most_columns, most_rows, run_tile)
from fastconv.engine.gemm.slab cimport line_up
from fastconv.engine.winograd.terms cimport Window
from fastconv.engine.winograd.tiles cimport TileKernel

cdef extern from "winograd/rows.h" nogil:
    # Macros that choose by the type of the argument after `isa`; rows_loops.h says what the others
    # are.
    void input_tiles "fastconv_input_rows"(int isa, ...) noexcept
    void residual_tiles "fastconv_residual_rows"(int isa, ...) noexcept
    void output_tiles "fastconv_output_rows"(int isa, ...) noexcept
    void kernel_points "fastconv_kernel_rows"(int isa, ...) noexcept
    void kernel_gradients "fastconv_kernel_gradients"(int isa, ...) noexcept

cdef int isa = isa_row()

# V and M of a block of lines: about half the second-level cache.
cdef Py_ssize_t BLOCK_BYTES = 3 << 17


cdef struct Product:
    Tiling tiling
    Py_ssize_t u_point              # from one point to the next, in elements
    Py_ssize_t m_row                # from one output channel to the next
    # The workspace: what all threads share, then one part for each.
    size_t at_at, bias_at, u_at, threads_at
    size_t v_at, m_at, out_at, tiles_at, thread_bytes
    int threads
    Py_ssize_t units


cdef Tiling make_tiling(const Layout* layout, bint rotates, const Window* window,
                        Py_ssize_t beside, Py_ssize_t most_bytes, int threads) noexcept nogil:
    """Return the tiles for arrays of this layout; the kernels may be seen rotated by 180 degrees.

    A block has so many lines that `most_bytes` hold the points of their tiles: of the input's
    channels, and of the `beside` output channels that are there at the same time.
    """
    cdef Tiling t
    cdef Plan* plan = &t.plan
    cdef Py_ssize_t itemsize = layout.itemsize, vector, line, before = window.before[1]
    cdef const Axes* x = &layout.x
    cdef const Axes* y = &layout.y
    cdef Axes w = layout.w
    t.w_first = rot180(&w) if rotates else 0
    plan.held = SAMPLES
    plan.groups, plan.outputs, plan.inputs = w.shape[0], w.shape[1], w.shape[2]
    in_elements(x, itemsize, plan.x_strides)
    in_elements(&w, itemsize, plan.w_strides)
    in_elements(y, itemsize, plan.y_strides)
    plan.row = window_axis(x.shape[4], y.shape[4], TAPS, 1, window.before[0], 1)
    plan.column = window_axis(x.shape[5], y.shape[5], TAPS, 1, before, 1)
    plan.lanes = share_lanes(x.shape[0], y.shape[4], 0.3 * plan.row.reach, MAX_LANES, itemsize)
    t.tiles = ceil_div(y.shape[5], STEP)
    plan.left = max(before, 0)
    plan.width = max(plan.left + x.shape[5], plan.left - before + (t.tiles - 1) * STEP + POINTS)
    vector = plan.lanes.lanes * itemsize
    line = t.tiles * POINTS * vector
    plan.lines = ((most_bytes - plan.inputs * plan.row.reach * line)
                  // ((plan.inputs + beside) * line))
    plan.lines = max(plan.lines, 1)
    cut_lines(plan, threads)
    plan.slab_rows, plan.slab_line = plan.lines + plan.row.reach, plan.width * plan.lanes.lanes
    plan.out_line = plan.column.out * plan.lanes.lanes
    plan.slab_vector, plan.out_vector = 0, plan.lines * plan.out_line
    t.sums = ceil_div(plan.inputs * TAPS, plan.lanes.lanes) * plan.lanes.lanes
    # An odd number of vectors: the points of a tile fall into different sets of the cache.
    t.v_point = (plan.inputs * plan.slab_rows * t.tiles | 1) * plan.lanes.lanes
    t.at_bytes = line_up(plan.slab_rows * x.shape[5] * sizeof(Py_ssize_t))
    t.slab_bytes = line_up(plan.slab_rows * plan.width * vector)
    t.v_bytes = line_up(POINTS * t.v_point * itemsize)
    return t


cdef void list_positions(const Tiling* t, Py_ssize_t* at) noexcept nogil:
    """Write where each number of neighbouring rows of the input goes."""
    cdef const Plan* plan = &t.plan
    fill_positions(plan.slab_rows, plan.column.size, plan.left, plan.slab_line, plan.lanes.lanes,
                   at)


cdef void transform_lines(const floating* x, const Tiling* t, Py_ssize_t block, Py_ssize_t line,
                          Py_ssize_t lines, bint zeros, const Py_ssize_t* at, floating* slab,
                          floating* v) noexcept nogil:
    """Transform what a block of lines sees of a group's input, for a block of samples.

    Without `zeros`, rows outside of the map are left out. The slab has zeros beside the map.
    """
    cdef const Plan* plan = &t.plan
    cdef Py_ssize_t lanes = plan.lanes.lanes, c, first = 0, past = lines + plan.row.reach
    cdef const floating* source
    cdef floating* target
    cdef Rows rows = input_rows(plan)
    rows.first, rows.count, rows.zeros = line - plan.row.before, past, zeros
    if not zeros:
        first = min(max(-rows.first, 0), past)
        past = max(min(past, rows.size - rows.first), first)
    source = slab + first * rows.to_line + (plan.left - plan.column.before) * lanes
    for c in range(plan.inputs):
        gather_rows(x + c * rows.channel, &plan.lanes, block, &rows, 1, at, slab)
        target = v + (c * plan.slab_rows + first) * t.tiles * lanes
        input_tiles(isa, source, rows.to_line, past - first, t.tiles, target, t.v_point)


cdef double lines_cost(const Tiling* t, Py_ssize_t lines) noexcept nogil:
    """Return what a call of transform_lines costs."""
    return (<double>t.plan.inputs * (lines + t.plan.row.reach) * t.plan.lanes.lanes
            * (PACKED * t.plan.width + TRANSFORMED * POINTS * t.tiles))


cdef void residual_rows(const Tiling* t, const floating* slab, Py_ssize_t rows, floating* z,
                        Py_ssize_t point_step) noexcept nogil:
    """Transform rows of residuals, whole tiles, to z[point * point_step]."""
    residual_tiles(isa, slab, t.tiles * STEP * t.plan.lanes.lanes, rows, t.tiles, z, point_step)


cdef void write_kernel_gradients(const Tiling* t, const floating* sums, Py_ssize_t point_step,
                                 floating* dw) noexcept nogil:
    """Write the gradients of an output channel's kernels, from sums[point * point_step + step]."""
    cdef const Plan* plan = &t.plan
    kernel_gradients(isa, sums, point_step, plan.inputs, dw, plan.w_strides[2], plan.w_strides[4],
                     plan.w_strides[5])


cdef void prepare(const floating* bias, const Context* context, Py_ssize_t task,
                  int thread) noexcept nogil:
    """Write the zeros on either side of the maps into a thread's part, and the first the bias.

    They stay for all units.
    """
    cdef const Product* p = <const Product*>context.plan
    memset(context.shared + p.threads_at + task * p.thread_bytes, 0, p.v_at)
    if task == 0:
        fill_bias(bias, context.o, &p.tiling.plan, <floating*>(context.shared + p.bias_at))


cdef double prepare_cost(void* job, Py_ssize_t task) noexcept nogil:
    cdef const Context* context = (<const Job*>job).context
    return <double>COPIED * ((<const Product*>context.plan).v_at // context.o.layout.itemsize)


cdef double kernel_cost(void* job, Py_ssize_t task) noexcept nogil:
    cdef const Product* p = <const Product*>(<const Job*>job).context.plan
    return <double>TRANSFORMED * POINTS * TAPS * p.tiling.plan.inputs


cdef void transform_kernels(const floating* w, const Context* context, Py_ssize_t task,
                            int thread) noexcept nogil:
    """Transform the kernels of an output channel of a group."""
    cdef const Product* p = <const Product*>context.plan
    cdef const Plan* plan = &p.tiling.plan
    cdef floating* u = <floating*>(context.shared + p.u_at)
    cdef Py_ssize_t g = task // plan.outputs, k = task % plan.outputs
    w += g * plan.w_strides[0] + k * plan.w_strides[1]
    u += g * POINTS * p.u_point + k * p.tiling.sums
    kernel_points(isa, w, plan.inputs, plan.w_strides[2], plan.w_strides[4], plan.w_strides[5], u,
                  p.u_point)


cdef void size_product(Product* p, Py_ssize_t itemsize) noexcept nogil:
    """Lay out the workspace."""
    cdef const Tiling* t = &p.tiling
    cdef const Plan* plan = &t.plan
    p.u_point = plan.outputs * t.sums
    p.m_row = plan.lines * t.tiles * POINTS * plan.lanes.lanes
    p.at_at = 0
    p.bias_at = p.at_at + t.at_bytes
    p.u_at = p.bias_at + line_up(plan.groups * plan.outputs * plan.lanes.lanes * itemsize)
    p.threads_at = p.u_at + line_up(plan.groups * POINTS * p.u_point * itemsize)
    p.v_at = t.slab_bytes
    p.m_at = p.v_at + t.v_bytes
    p.out_at = p.m_at + line_up(plan.height * p.m_row * itemsize)
    # Past the last row there is room for what its last tile has too much.
    p.tiles_at = p.out_at + line_up(
        (plan.height * plan.out_vector + STEP * plan.lanes.lanes) * itemsize)
    p.thread_bytes = p.tiles_at + line_up(plan.lines * t.tiles * sizeof(Tile))


cdef Py_ssize_t list_tiles(const Tiling* t, Py_ssize_t line, Py_ssize_t lines,
                           Tile* tiles) noexcept nogil:
    """Cut the products of a block of lines into tiles of the same taps; return their number."""
    cdef const Plan* plan = &t.plan
    cdef Py_ssize_t row, end = 0, count, number, i, first, total = 0
    cdef Py_ssize_t lanes = plan.lanes.lanes, reach = (plan.lanes.bands - 1) * plan.lanes.rows
    cdef Taps taps, other
    cdef Tile* tile
    line -= plan.row.before
    while end < lines:
        row = end
        # Taps that lie outside of the map for every band are left out.
        taps = other = taps_inside(&plan.row, TAPS, line + row, line + row + reach)
        while end < lines and other.first == taps.first and other.count == taps.count:
            end += 1
            other = taps_inside(&plan.row, TAPS, line + end, line + end + reach)
        count = (end - row) * t.tiles
        number = ceil_div(count, plan.pixels)
        for i in range(number):
            first = i * count // number
            tile = tiles + total
            tile.pixels = (i + 1) * count // number - first
            tile.taps, tile.w_at = taps.count, taps.first
            first += row * t.tiles
            tile.x_at = (first + taps.first * t.tiles) * lanes
            tile.out_at = first * POINTS * lanes
            total += 1
    return total


cdef void multiply(const Product* p, const floating* u, const floating* v, Py_ssize_t rows,
                   const Tile* tiles, Py_ssize_t count, floating* m) noexcept nogil:
    """Add up the products of some output channels, for all points of a block of lines."""
    cdef const Tiling* t = &p.tiling
    cdef Py_ssize_t _, i, lanes = t.plan.lanes.lanes
    cdef Steps steps
    memset(&steps, 0, sizeof(Steps))
    steps.count[0], steps.count[1] = t.plan.inputs, 1
    steps.a_hop[0], steps.a_hop[1], steps.a_hop[2] = TAPS, 0, 1
    steps.b_hop[0], steps.b_hop[1] = t.plan.slab_rows * t.tiles * lanes, 0
    steps.b_hop[2] = t.tiles * lanes
    steps.a_row, steps.b_column = t.sums, lanes
    steps.out_row, steps.out_column = p.m_row, POINTS * lanes
    for _ in range(POINTS):
        for i in range(count):
            steps.count[2] = tiles[i].taps
            run_tile(SAMPLES, rows, tiles[i].pixels, u + tiles[i].w_at, v + tiles[i].x_at, &steps,
                     m + tiles[i].out_at)
        u += p.u_point
        v += t.v_point
        m += lanes


cdef void correlate_unit(const floating* x, const Context* context, Py_ssize_t unit,
                         int thread) noexcept nogil:
    """Compute a block of lines of a block of samples, for one group."""
    cdef const Product* p = <const Product*>context.plan
    cdef char* shared = context.shared
    cdef char* own = shared + p.threads_at + thread * p.thread_bytes
    cdef const floating* u = <const floating*>(shared + p.u_at)
    cdef floating* y = <floating*>context.o.y
    cdef const Tiling* t = &p.tiling
    cdef Plan plan = t.plan
    cdef floating* v = <floating*>(own + p.v_at)
    cdef floating* m = <floating*>(own + p.m_at)
    cdef floating* out = <floating*>(own + p.out_at)
    cdef Tile* tiles = <Tile*>(own + p.tiles_at)
    cdef Py_ssize_t line = unit % plan.line_blocks * plan.lines
    cdef Py_ssize_t block = unit // plan.line_blocks % plan.lanes.blocks
    cdef Py_ssize_t g = unit // plan.line_blocks // plan.lanes.blocks
    cdef Py_ssize_t lines = min(plan.lines, plan.lanes.rows - line), k, i, panel, count
    cdef const floating* bias = (<const floating*>(shared + p.bias_at)
                                 + g * plan.outputs * plan.lanes.lanes)
    # The rows of one band that lie outside of the map are never read; those of several differ.
    transform_lines(x + g * plan.x_strides[1], t, block, line, lines, plan.lanes.bands > 1,
                    <const Py_ssize_t*>(shared + p.at_at), <floating*>own, v)
    count = list_tiles(t, line, lines, tiles)
    u += g * POINTS * p.u_point
    y += g * plan.y_strides[1]
    for panel in range(plan.panels):
        k = panel * t.plan.outputs // plan.panels
        plan.outputs = (panel + 1) * t.plan.outputs // plan.panels - k
        multiply(p, u + k * t.sums, <const floating*>v, plan.outputs, tiles, count, m)
        for i in range(plan.outputs):
            output_tiles(isa, <const floating*>m + i * p.m_row, lines, t.tiles,
                         out + i * plan.out_vector, plan.column.out)
        scatter_rows(<const floating*>out, &plan, 0, block, line,
                     bias + k * plan.lanes.lanes if context.o.bias is not NULL else NULL,
                     context.o.ending, y + k * plan.y_strides[2])


cdef double unit_cost(void* job, Py_ssize_t unit) noexcept nogil:
    """Return what a call of correlate_unit costs; the first thread's part has its tiles."""
    cdef const Context* context = (<const Job*>job).context
    cdef const Product* p = <const Product*>context.plan
    cdef const Tiling* t = &p.tiling
    cdef const Plan* plan = &t.plan
    cdef Tile* tiles = <Tile*>(context.shared + p.threads_at + p.tiles_at)
    cdef Py_ssize_t line = unit % plan.line_blocks * plan.lines, lanes = plan.lanes.lanes, i
    cdef Py_ssize_t lines = min(plan.lines, plan.lanes.rows - line)
    cdef double cost = lines_cost(t, lines) + (
        <double>plan.outputs * lines * lanes
        * (TRANSFORMED * POINTS * t.tiles + PACKED * plan.column.out))
    for i in range(list_tiles(t, line, lines, tiles)):
        cost += POINTS * tiles_cost(plan.outputs, plan.height, tiles[i].pixels, lanes,
                                    plan.inputs * tiles[i].taps)
    return cost


cdef Product make_product(const Layout* layout, bint rotates, const Window* window,
                          int threads) noexcept nogil:
    """Return the plan for arrays of this layout, and for at most so many threads."""
    cdef Product p
    cdef Plan* plan = &p.tiling.plan
    cdef Py_ssize_t outputs = layout.w.shape[1], itemsize = layout.itemsize
    cdef Py_ssize_t panels = ceil_div(outputs, most_rows(SAMPLES, 1, itemsize))
    cdef Py_ssize_t height = ceil_div(outputs, panels)
    p.tiling = make_tiling(layout, rotates, window, height, BLOCK_BYTES, threads)
    plan.height = height
    plan.panels = ceil_div(outputs, height)
    plan.pixels = most_columns(SAMPLES, height, itemsize)
    size_product(&p, itemsize)
    p.units = plan.groups * plan.lanes.blocks * plan.line_blocks
    p.threads = min(<Py_ssize_t>threads, p.units)
    return p


cdef class Correlation(TileKernel):
    """The correlation without dilation, for maps whose planes are contiguous."""

    cdef Product product

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Product* p = &self.product
        cdef const Plan* plan = &p.tiling.plan
        p[0] = make_product(layout, self.rotates, &self.window, threads)
        self.variant, self.ends = "winograd rows", True
        self.team = p.threads
        self.largest[0] = plan.height
        self.largest[1] = min(plan.pixels, plan.lines * p.tiling.tiles) * plan.lanes.lanes
        return p.threads_at + p.threads * p.thread_bytes

    cdef void share(self, Context* context, Jobs* jobs) noexcept nogil:
        cdef const Product* p = &self.product
        cdef const Plan* plan = &p.tiling.plan
        cdef const char* w = context.o.w + p.tiling.w_first
        context.plan = p
        list_positions(&p.tiling, <Py_ssize_t*>(context.shared + p.at_at))
        add_job(jobs, context, prepare[float], prepare[double], prepare_cost, context.o.bias,
                p.threads)
        add_job(jobs, context, transform_kernels[float], transform_kernels[double], kernel_cost, w,
                plan.groups * plan.outputs)
        add_job(jobs, context, correlate_unit[float], correlate_unit[double], unit_cost,
                context.o.x, p.units)
