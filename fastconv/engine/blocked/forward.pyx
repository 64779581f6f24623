# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""The correlation of maps with samples, groups or channels in the lanes.

A *unit* is a block of lines of the output: of one vector's samples; or of some samples, for the
groups of one vector. It lays out what it reads, computes row by row, and writes the lanes back:

    for each unit, on any thread:
        lay out its rows of the input                               layout.pyx
        for each phase of the rows, for each of its lines:
            for each tile of the row:                               tile_loops.h
                sums over input channels and taps
        write its rows of the output

Taps that meet only padding are left out. Weights are read in place where samples lie in the lanes;
else they are packed, the numbers of so many groups or channels side by side.

Axes are said in numbers, as in depthwise/correlation.pyx, so that the input gradient is one call
for all phases of a stride. Every output adds the same products in the same order as in
gemm/forward.pyx or depthwise/correlation.pyx: which of them computes it may follow the batch and
the threads.
"""

from cython cimport floating

from libc.string cimport memcpy, memset

from fastconv.engine.base.arrays cimport Layout
from fastconv.engine.base.axis cimport Phase, Taps, ceil_div, phase_count, taps_inside
from fastconv.engine.base.costs cimport COPIED, PACKED, TURNED, tile_cost, tiles_cost
from fastconv.engine.base.jobs cimport Context, Job, Jobs, add_job
from fastconv.engine.blocked.layout cimport (
    LaneKernel, Plan, Rows, Tile, channel_place, clear_columns, count_tiles, fill_bias,
    fill_positions, find_kernels, gather_rows, gathered, input_rows, list_lines, list_positions,
    list_taps, list_tiles, move_lanes, scatter_rows, size_lines, size_slab)
from fastconv.engine.blocked.tiles cimport (
    CHANNELS, GROUPS, MAX_LANES, SAMPLES, Steps, gather, most_columns, most_rows, run_tile)
from fastconv.engine.gemm.slab cimport line_up

# With channels in the lanes: what a unit reads and writes, a quarter of the second-level cache;
# and the weights that all tiles of a unit read before the next ones come.
cdef Py_ssize_t UNIT_BYTES = 1 << 18
cdef Py_ssize_t NEAR_BYTES = 5 << 12
# Vectors of output channels in a tile.
cdef Py_ssize_t MAX_VECTORS = 2

cdef struct Call:
    Plan plan
    bint by_columns                 # the taps are added column by column
    Py_ssize_t samples, sample_blocks   # of a unit, where lanes do not hold them
    Py_ssize_t near_channels        # whose weights stay in the first-level cache
    Py_ssize_t w_strides[6]         # of the weights as they are; the plan has those of packed ones
    Py_ssize_t weights, w_vector    # numbers of the packed weights of a block; of its vectors
    Py_ssize_t units
    int threads                     # that take part
    # The workspace: what all threads share, then one part for each.
    size_t at_at, lines_at, tiles_at, taps_at, channel_at, steps_at, bias_at, weights_at
    size_t threads_at, out_at, thread_bytes


# What a unit computes.
cdef struct Unit:
    Py_ssize_t g, block             # the group, or the first sample; and what the lanes hold
    Py_ssize_t samples
    Py_ssize_t line, first          # the first line, and where its rows begin in the map


cdef double row_cycles(const Plan* p, Py_ssize_t pixels) noexcept nogil:
    """Estimate the cycles of one row of all column phases, for tiles of so many pixels."""
    cdef double cycles = 0, rows = <double>p.outputs / p.panels, width
    cdef Py_ssize_t i, tile, tiles, first, past, count, place, taps
    cdef const Phase* phase
    for i in range(p.column.phases):
        phase = p.column.phase + i
        count = phase_count(&p.column, phase)
        tiles = ceil_div(count, pixels)
        for tile in range(tiles):
            first, past = tile * count // tiles, (tile + 1) * count // tiles
            width = past - first
            place = first * p.column.stride - phase.before
            taps = taps_inside(&p.column, phase.taps, place,
                               place + (past - first - 1) * p.column.stride).count
            # Two products and two loads in a cycle; four cycles to wait for each; the loops.
            cycles += (taps * max(max(rows * width / 2, (rows + width) / 2), 4.0) + 6
                       + (30 + rows * width) / (p.inputs * <double>p.row.taps))
    return cycles * p.panels


cdef void choose_tile(Plan* p, Py_ssize_t itemsize) noexcept nogil:
    """Choose the rows and columns of the tiles."""
    cdef Py_ssize_t pixels, vectors = min(p.out_vectors, MAX_VECTORS)
    cdef double cycles, least = 1e300
    if p.held == CHANNELS:
        p.pixels = most_rows(CHANNELS, vectors, itemsize)
        p.tile_rows, p.tile_columns = count_tiles(p), vectors * p.lanes.lanes
        return
    p.panels = ceil_div(p.outputs, most_rows(p.held, 1, itemsize))
    p.height = ceil_div(p.outputs, p.panels)
    for pixels in range(1, most_columns(p.held, p.height, itemsize) + 1):
        cycles = row_cycles(p, pixels)
        if cycles < least:
            least, p.pixels = cycles, pixels
    p.tile_rows, p.tile_columns = p.height, count_tiles(p) * p.lanes.lanes


cdef void size_units(Call* c, Py_ssize_t itemsize, int threads) noexcept nogil:
    """Choose the samples and lines of a unit with channels in the lanes: enough for the threads."""
    cdef Plan* p = &c.plan
    cdef Py_ssize_t most = UNIT_BYTES // itemsize, batch = p.groups, units, step
    p.line_blocks = 1
    while size_slab(p, ceil_div(p.row.count, p.line_blocks)) > most:
        p.line_blocks += 1
    c.sample_blocks = batch
    if p.line_blocks == 1:
        c.sample_blocks = ceil_div(batch, max(most // (p.slab_size + p.out_size), 1))
    while True:
        c.samples = ceil_div(batch, c.sample_blocks)
        c.sample_blocks = ceil_div(batch, c.samples)
        size_slab(p, ceil_div(p.row.count, p.line_blocks))
        p.line_blocks = ceil_div(p.row.count, p.lines)
        units = p.lanes.blocks * c.sample_blocks * p.line_blocks
        if units >= 8 * threads or units % threads == 0:
            break
        # One more block might be no smaller.
        if c.samples > 1:
            c.sample_blocks = ceil_div(batch, c.samples - 1)
        elif p.lines > 1:
            p.line_blocks = ceil_div(p.row.count, p.lines - 1)
        else:
            break
    step = min(p.out_vectors, MAX_VECTORS) * p.lanes.lanes * itemsize
    c.near_channels = ceil_div(p.inputs, ceil_div(
        p.inputs, max(NEAR_BYTES // (p.kernel * step), 1)))


cdef void complete(Call* c, Py_ssize_t itemsize, int threads) noexcept nogil:
    """Choose tiles and units, and lay out the workspace."""
    cdef Plan* p = &c.plan
    cdef Py_ssize_t kernels, taps
    choose_tile(p, itemsize)
    c.samples, c.sample_blocks = 1, p.groups
    if p.held == CHANNELS:
        size_units(c, itemsize, threads)
    else:
        size_lines(p, itemsize, threads)
    taps = p.inputs * p.kernel
    kernels, c.weights, c.w_vector = p.lanes.blocks, taps * p.out_vectors * p.lanes.lanes, 0
    memcpy(c.w_strides, p.w_strides, sizeof(c.w_strides))
    if p.held == SAMPLES:
        kernels, c.weights = p.groups, 0
    elif p.held == GROUPS:
        c.w_vector = p.w_strides[1] = taps * p.lanes.lanes
        p.w_strides[2] = p.kernel * p.lanes.lanes
        p.w_strides[4], p.w_strides[5] = p.columns * p.lanes.lanes, p.lanes.lanes
    else:
        # The last vectors are those of taps that no phase has.
        c.w_vector = p.lanes.lanes
        c.weights += p.out_vectors * p.lanes.lanes
    c.units = p.lanes.blocks * c.sample_blocks * p.line_blocks
    c.threads = min(<Py_ssize_t>threads, c.units)
    c.at_at = 0
    c.lines_at = c.at_at + line_up(p.slab_rows * p.column.size * sizeof(Py_ssize_t))
    c.tiles_at = c.lines_at + line_up(p.row.out * sizeof(Taps))
    c.taps_at = c.tiles_at + line_up((p.column.out + 1) * sizeof(Tile))
    c.channel_at = c.taps_at + line_up((p.kernel + 1) * sizeof(Py_ssize_t))
    c.steps_at = c.channel_at + line_up(p.inputs * sizeof(Py_ssize_t))
    c.bias_at = c.steps_at + line_up(taps * sizeof(Py_ssize_t))
    c.weights_at = c.bias_at + line_up(kernels * p.out_vectors * p.lanes.lanes * itemsize)
    c.threads_at = c.weights_at + line_up(kernels * c.weights * itemsize)
    c.out_at = line_up(c.samples * p.slab_size * itemsize)
    c.thread_bytes = c.out_at + line_up(c.samples * p.out_size * itemsize)


cdef void prepare(const floating* bias, const Context* context, Py_ssize_t task,
                  int thread) noexcept nogil:
    """Clear the columns beside the maps in a thread's part; the first writes the bias."""
    cdef const Call* c = <const Call*>context.plan
    clear_columns(&c.plan, c.samples,
                  <floating*>(context.shared + c.threads_at + task * c.thread_bytes))
    if task == 0:
        fill_bias(bias, context.o, &c.plan, <floating*>(context.shared + c.bias_at))


cdef double prepare_cost(void* job, Py_ssize_t task) noexcept nogil:
    cdef const Call* c = <const Call*>(<const Job*>job).context.plan
    cdef const Plan* p = &c.plan
    return (<double>COPIED * c.samples * p.in_vectors * p.slab_rows
            * (p.width - p.column.size) * p.lanes.lanes)


cdef void pack_weights(const floating* w, const Context* context, Py_ssize_t block,
                       int thread) noexcept nogil:
    """Write the kernels of a block of groups as vectors, of one number of each lane's kernel."""
    cdef const Call* c = <const Call*>context.plan
    cdef const Plan* p = &c.plan
    cdef const Py_ssize_t* at = <const Py_ssize_t*>(context.shared + c.steps_at)
    cdef floating* packed = <floating*>(context.shared + c.weights_at) + block * c.weights
    cdef Py_ssize_t v, channel, tap, offset, run = 1, channels = 1
    cdef const floating* kernels[MAX_LANES]
    cdef const floating* source[MAX_LANES]
    # Kernels are packed as a whole where they lie so.
    if c.w_strides[5] == 1 and (p.kernel == p.columns or c.w_strides[4] == p.columns):
        run = p.kernel
        if c.w_strides[2] == p.kernel:
            channels = p.inputs
    for v in range(p.out_vectors):
        find_kernels(w, p, c.w_strides, block, v, kernels)
        for channel from 0 <= channel < p.inputs by channels:
            for tap from 0 <= tap < p.kernel by run:
                offset = channel * c.w_strides[2]
                if tap:
                    offset += tap // p.columns * c.w_strides[4] + tap % p.columns * c.w_strides[5]
                move_lanes(kernels, p.lanes.lanes, offset, source)
                gather(source, channels * run, at + channel * p.kernel + tap, packed)
        packed += c.w_vector


cdef double weights_cost(void* job, Py_ssize_t task) noexcept nogil:
    cdef const Plan* p = &(<const Call*>(<const Job*>job).context.plan).plan
    return <double>TURNED * p.inputs * p.kernel * p.out_vectors * p.lanes.lanes


cdef Unit find_unit(const Call* c, Py_ssize_t number) noexcept nogil:
    """Return the unit of this number."""
    cdef const Plan* p = &c.plan
    cdef Unit unit
    unit.line = number % p.line_blocks * p.lines
    unit.first = unit.line * p.row.stride - p.row.before
    unit.samples = 1
    number //= p.line_blocks
    if p.held == CHANNELS:
        # Weights stay in the cache as long as they can.
        unit.block, unit.g = number // c.sample_blocks, number % c.sample_blocks * c.samples
        unit.samples = min(c.samples, p.groups - unit.g)
    else:
        unit.g, unit.block = number // p.lanes.blocks, number % p.lanes.blocks
    return unit


cdef void sample_row(const floating* w, const Call* c, const Tile* tile, const Phase* row,
                     const Taps* line, Steps* steps, const floating* slab,
                     floating* out) noexcept nogil:
    """Compute a row of the output with samples or groups in the lanes.

    The slab begins where the row's first tap of all would lie.
    """
    cdef const Plan* p = &c.plan
    cdef Py_ssize_t panel, k, past = 0, i, a = 2 if c.by_columns else 1, b = 3 - a
    slab += line.first * p.row.dilation * p.slab_line
    w += (row.tap_first + line.first * row.tap_step) * p.w_strides[4]
    steps.count[a], steps.a_hop[a] = line.count, row.tap_step * p.w_strides[4]
    for panel in range(p.panels):
        k, past = past, p.outputs
        if panel + 1 < p.panels:
            # A division takes as long as a short row.
            past = (panel + 1) * p.outputs // p.panels
        for i in range(p.tiles):
            steps.count[b], steps.a_hop[b] = tile[i].taps, tile[i].tap_hop
            run_tile(p.held, past - k, tile[i].pixels, w + k * p.w_strides[1] + tile[i].w_at,
                     slab + tile[i].x_at, steps, out + k * p.out_vector + tile[i].out_at)


cdef void channel_row(const floating* w, const Call* c, const Tile* tile, const Phase* row,
                      const Taps* line, const Py_ssize_t* tap_at, Py_ssize_t listed,
                      Py_ssize_t channel, Py_ssize_t vectors, Steps* steps, const floating* slab,
                      floating* out) noexcept nogil:
    """Compute some vectors of a row, from a channel on, with channels in the lanes.

    `listed` taps precede those of the row's phase. The slab begins where its first would lie.
    """
    cdef const Plan* p = &c.plan
    cdef Py_ssize_t at, _
    for _ in range(p.tiles):
        at = listed + row.taps * tile.before
        steps.count[2] = line.count * tile.taps
        steps.inner_at = tap_at + at + line.first * tile.taps
        steps.b_hop[0] = row.taps * tile.taps * steps.b_hop[2]
        run_tile(CHANNELS + <int>p.lanes.together - 1, tile.pixels, vectors, slab + tile.x_at,
                 w + (at * p.inputs + line.first * tile.taps) * steps.b_hop[2]
                 + channel * steps.b_hop[0], steps, out + tile.out_at)
        tile += 1


cdef void correlate_lines(const floating* w, const Context* context, const Unit* unit,
                          Py_ssize_t channel, Py_ssize_t vectors, Steps* steps,
                          const floating* slab, floating* out) noexcept nogil:
    """Compute the lines of a unit: for channels in the lanes some vectors, from a channel on."""
    cdef const Call* c = <const Call*>context.plan
    cdef const Plan* p = &c.plan
    cdef const Tile* tile = <const Tile*>(context.shared + c.tiles_at)
    cdef const Taps* lines = <const Taps*>(context.shared + c.lines_at)
    cdef const Py_ssize_t* tap_at = <const Py_ssize_t*>(context.shared + c.taps_at)
    cdef Py_ssize_t i, m, taps = 0, listed = 0
    cdef const Phase* row
    cdef const Taps* line
    cdef const floating* source
    cdef floating* target
    for i in range(p.column.phases):
        taps += p.column.phase[i].taps
    for i in range(p.row.phases):
        row = p.row.phase + i
        for m in range(unit.line, min(unit.line + p.lines, phase_count(&p.row, row))):
            line = lines + row.first + m * p.row.step
            source = slab + (m * p.row.stride - row.before - unit.first) * p.slab_line
            target = out + ((m - unit.line) * p.row.step + row.first) * p.out_line
            if p.held == CHANNELS:
                channel_row(w, c, tile, row, line, tap_at, listed, channel, vectors, steps, source,
                            target)
            else:
                sample_row(w, c, tile, row, line, steps, source, target)
        listed += row.taps * taps


cdef void correlate_samples(const floating* w, const Context* context, const Unit* unit,
                            const floating* slab, floating* out) noexcept nogil:
    """Compute a unit with samples, or groups, in the lanes."""
    cdef const Call* c = <const Call*>context.plan
    cdef const Plan* p = &c.plan
    cdef Py_ssize_t a = 2 if c.by_columns else 1, b = 3 - a
    cdef Steps steps
    memset(&steps, 0, sizeof(Steps))
    steps.count[0], steps.a_hop[0], steps.a_row = p.inputs, p.w_strides[2], p.w_strides[1]
    steps.b_hop[0], steps.b_column = p.slab_vector, p.column.stride * p.lanes.lanes
    steps.b_hop[a] = p.row.dilation * p.slab_line
    steps.b_hop[b] = p.column.dilation * p.lanes.lanes
    steps.out_row, steps.out_column = p.out_vector, p.column.step * p.lanes.lanes
    steps.first = True
    correlate_lines(w, context, unit, 0, 1, &steps, slab, out)


cdef void correlate_channels(const floating* w, const Context* context, const Unit* unit,
                             const floating* slab, floating* out) noexcept nogil:
    """Compute a unit with channels in the lanes: all samples with the weights that are near."""
    cdef const Call* c = <const Call*>context.plan
    cdef const Plan* p = &c.plan
    cdef Py_ssize_t n, v, channel, lanes = p.lanes.lanes
    cdef Steps steps
    memset(&steps, 0, sizeof(Steps))
    steps.b_hop[2] = p.out_vectors * lanes
    steps.out_row, steps.out_column = p.column.step * lanes, p.out_vector
    for v from 0 <= v < p.out_vectors by MAX_VECTORS:
        for channel from 0 <= channel < p.inputs by c.near_channels:
            steps.first = channel == 0
            steps.count[0] = min(c.near_channels, p.inputs - channel)
            steps.outer_at = <const Py_ssize_t*>(context.shared + c.channel_at) + channel
            for n in range(unit.samples):
                correlate_lines(w + v * lanes, context, unit, channel,
                                min(p.out_vectors - v, MAX_VECTORS), &steps,
                                slab + n * p.slab_size, out + n * p.out_size + v * p.out_vector)


cdef void correlate_unit(const floating* x, const Context* context, Py_ssize_t number,
                         int thread) noexcept nogil:
    """Lay out what a unit reads, compute it, and write it back."""
    cdef const Call* c = <const Call*>context.plan
    cdef const Plan* p = &c.plan
    cdef char* shared = context.shared
    cdef char* own = shared + c.threads_at + thread * c.thread_bytes
    cdef floating* slab = <floating*>own
    cdef floating* out = <floating*>(own + c.out_at)
    cdef const floating* w = <const floating*>context.o.w
    cdef const floating* bias = NULL
    cdef Unit unit = find_unit(c, number)
    cdef Py_ssize_t n, kernels = unit.g if p.held == SAMPLES else unit.block
    cdef Rows rows = input_rows(p)
    rows.first = unit.first
    if context.o.bias is not NULL:
        bias = (<const floating*>(shared + c.bias_at)
                + kernels * p.out_vectors * p.lanes.lanes)
    for n in range(unit.samples):
        gather_rows(x + (unit.g + n) * p.x_strides[1], &p.lanes, unit.block, &rows, p.inputs,
                    <const Py_ssize_t*>(shared + c.at_at), slab + n * p.slab_size)
    if p.held == SAMPLES:
        w += kernels * p.w_strides[0]
    else:
        w = <const floating*>(shared + c.weights_at) + kernels * c.weights
    if p.held == CHANNELS:
        correlate_channels(w, context, &unit, <const floating*>slab, out)
    else:
        correlate_samples(w, context, &unit, <const floating*>slab, out)
    for n in range(unit.samples):
        scatter_rows(<const floating*>out + n * p.out_size, p, unit.g + n, unit.block, unit.line,
                     bias, context.o.ending, <floating*>context.o.y)


cdef double unit_cost(void* job, Py_ssize_t number) noexcept nogil:
    """Return what a call of correlate_unit costs."""
    cdef const Context* context = (<const Job*>job).context
    cdef const Call* c = <const Call*>context.plan
    cdef const Plan* p = &c.plan
    cdef const Tile* tiles = <const Tile*>(context.shared + c.tiles_at)
    cdef const Taps* lines = <const Taps*>(context.shared + c.lines_at)
    cdef Unit unit = find_unit(c, number)
    cdef Rows rows = input_rows(p)
    cdef Py_ssize_t i, j, m, v, outs = 0, steps
    cdef const Phase* row
    cdef double cost = 0
    rows.first = unit.first
    for i in range(p.row.phases):
        row = p.row.phase + i
        for m in range(unit.line, min(unit.line + p.lines, phase_count(&p.row, row))):
            outs += 1
            for j in range(p.tiles):
                steps = p.inputs * lines[row.first + m * p.row.step].count * tiles[j].taps
                if p.held == CHANNELS:
                    for v from 0 <= v < p.out_vectors by MAX_VECTORS:
                        cost += tile_cost(tiles[j].pixels, min(p.out_vectors - v, MAX_VECTORS),
                                          p.lanes.lanes, steps)
                else:
                    cost += tiles_cost(p.outputs, p.height, tiles[j].pixels, p.lanes.lanes, steps)
    return unit.samples * (
        cost + PACKED * gathered(&p.lanes, &rows, p.inputs)
        + <double>PACKED * outs * p.column.out * p.out_vectors * p.lanes.lanes)


cdef void list_all(const Call* c, char* shared) noexcept nogil:
    """Write the tables that all threads read."""
    cdef const Plan* p = &c.plan
    cdef Py_ssize_t* steps = <Py_ssize_t*>(shared + c.steps_at)
    cdef Py_ssize_t* channels = <Py_ssize_t*>(shared + c.channel_at)
    cdef Py_ssize_t channel
    list_positions(p, <Py_ssize_t*>(shared + c.at_at))
    list_lines(p, <Taps*>(shared + c.lines_at))
    list_tiles(p, <Tile*>(shared + c.tiles_at))
    if p.held == CHANNELS:
        list_taps(p, <Py_ssize_t*>(shared + c.taps_at), steps)
        for channel in range(p.inputs):
            channels[channel] = channel_place(p, channel)
    elif p.held == GROUPS:
        fill_positions(1, p.inputs * p.kernel, 0, 0, p.lanes.lanes, steps)


cdef class Correlation(LaneKernel):
    """The correlation of maps with few channels."""

    cdef Call call

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Call* c = &self.call
        c.by_columns = self.by_columns
        self.lay_out(layout, &c.plan)
        complete(c, layout.itemsize, threads)
        self.team, self.ends = c.threads, True
        self.largest[0], self.largest[1] = c.plan.tile_rows, c.plan.tile_columns
        return c.threads_at + c.threads * c.thread_bytes

    cdef void share(self, Context* context, Jobs* jobs) noexcept nogil:
        cdef const Call* c = &self.call
        cdef const Plan* p = &c.plan
        context.plan = c
        list_all(c, context.shared)
        add_job(jobs, context, prepare[float], prepare[double], prepare_cost, context.o.bias,
                c.threads)
        if p.held != SAMPLES:
            add_job(jobs, context, pack_weights[float], pack_weights[double], weights_cost,
                    context.o.w, p.lanes.blocks)
        add_job(jobs, context, correlate_unit[float], correlate_unit[double], unit_cost,
                context.o.x, c.units)
