# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""The engine's convolutions with samples in the lanes, for few channels and many samples.

A pixel is a vector, of one number of each of so many samples; where samples are too few, the lanes
hold bands of rows of each:

    lane = band * samples + sample           slab[channel][row][column][lane]

Maps are laid out so, and results back, through transposition in registers. In between nothing
depends on the width of a map or the number of channels: every lane counts, pixels have no gaps,
strides cost nothing, and taps that meet only padding are left out. A tile is some output channels
and some pixels (samples_loops.h): vectors of the input times single weights, read in place.

Where each group has few channels, but groups are many, they take the samples' place: a pixel is a
vector of one channel of so many groups, and the weights are vectors, too. Small planes of a
depthwise convolution fill all lanes so.

Axes are said in numbers, as in depthwise/correlation.pyx, so that the input gradient is one call
for all phases of a stride. Every output adds the same products in the same order as in
gemm/forward.pyx or depthwise/correlation.pyx: which of them computes it may follow the batch and
the threads. Those two compute what this module refuses.
"""

from cython cimport floating

from libc.string cimport memset

from fastconv.engine.base.arrays cimport Layout, Operands
from fastconv.engine.base.axis cimport (
    Axis, Phase, ceil_div, first_tap, make_axis, past_tap, phase_count)
from fastconv.engine.base.kernel cimport Kernel, record
from fastconv.engine.base.threads cimport (
    EVEN, Phase as Loop, make_phase, parallel_phases, threads_for)
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.blocked.sample_tiles cimport (
    LANE_PIXELS, MAX_LANES, Loops, gather, run_tile, sample_lanes, scatter, tile_pixels,
    tile_rows)
from fastconv.engine.gemm.slab cimport block_steps, line_up

# What a block of lines reads, and what it writes: together about half the second-level cache.
cdef Py_ssize_t SLAB_BYTES = 3 << 16
cdef Py_ssize_t OUT_BYTES = 1 << 17

cdef struct Call:
    Plan plan
    int threads                     # that take part
    Py_ssize_t units
    size_t size                     # of the workspace


# What the tasks share.
cdef struct Context:
    const Plan* plan
    Py_ssize_t itemsize
    const void* x
    const void* w
    const Py_ssize_t* w_strides
    const void* weights             # these, or how they are laid out
    void* y
    bint has_bias
    char* shared


cdef Lanes share_lanes(Py_ssize_t batch, Py_ssize_t rows, double reach, Py_ssize_t most_bands,
                       Py_ssize_t itemsize) noexcept nogil:
    """Choose how many samples and bands of rows share a vector: the fewest rows to compute.

    `reach` is what a band reads beyond its own rows, weighed against computing a row.
    """
    cdef Py_ssize_t all_lanes = sample_lanes(itemsize), samples = all_lanes
    cdef Lanes lanes, best = make_lanes(batch, rows, samples, all_lanes)
    cdef double cost, least = 1e300
    while samples and all_lanes // samples <= most_bands:
        lanes = make_lanes(batch, rows, samples, all_lanes)
        cost = lanes.blocks * (lanes.rows + reach)
        if cost < least:
            least, best = cost, lanes
        samples //= 2
    return best


cdef Lanes make_lanes(Py_ssize_t batch, Py_ssize_t rows, Py_ssize_t samples,
                      Py_ssize_t all_lanes) noexcept nogil:
    """Return what vectors hold, so many samples in each."""
    cdef Lanes lanes
    lanes.lanes, lanes.batch, lanes.samples = all_lanes, batch, samples
    lanes.bands = all_lanes // samples
    lanes.blocks = ceil_div(batch, samples)
    lanes.rows = ceil_div(rows, lanes.bands)
    return lanes


cdef void gather_rows(const floating* x, const Lanes* lanes, Py_ssize_t block, const Rows* rows,
                      Py_ssize_t channels, const Py_ssize_t* at, floating* to) noexcept nogil:
    """Lay out the rows of some channels for one block of samples.

    `at` says where each number of neighbouring rows goes. Lanes without a sample hold zeros.
    """
    cdef Py_ssize_t i = 0, q, n, row, run, c, inside, band, _
    cdef const floating* from_map[MAX_LANES]
    cdef const floating* source[MAX_LANES]
    while i < rows.count:
        # The run of rows that each lane has, or has not.
        run = rows.count - i
        inside = q = 0
        for band in range(lanes.bands):
            row = rows.first + band * rows.hop + i
            if row < 0:
                run = min(run, -row)
            elif row < rows.size:
                run = min(run, rows.size - row)
            n = block * lanes.samples
            for _ in range(lanes.samples):
                from_map[q] = NULL
                if 0 <= row < rows.size and n < lanes.batch:
                    from_map[q] = x + n * rows.sample + row * rows.width
                    inside += 1
                n += 1
                q += 1
        if inside or rows.zeros:
            for c in range(channels):
                for q in range(lanes.lanes):
                    source[q] = NULL
                    if from_map[q] is not NULL:
                        source[q] = from_map[q] + c * rows.channel
                gather(source, run * rows.width, at,
                       to + c * rows.to_channel + i * rows.to_line)
        i += run


cdef void fill_positions(Py_ssize_t rows, Py_ssize_t width, Py_ssize_t left, Py_ssize_t line,
                         Py_ssize_t lanes, Py_ssize_t* at) noexcept nogil:
    """Write where each number of neighbouring rows goes: `line` is a row, in elements."""
    cdef Py_ssize_t i, j
    for i in range(rows):
        for j in range(width):
            at[i * width + j] = i * line + (left + j) * lanes


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
            taps = past_tap(place, p.column.dilation, p.column.size, phase.taps) - first_tap(
                place + (past - first - 1) * p.column.stride, p.column.dilation)
            # Two products and two loads in a cycle; four cycles to wait for each; the loops.
            cycles += (max(taps, 0) * max(max(rows * width / 2, (rows + width) / 2), 4.0) + 6
                       + (30 + rows * width) / (p.inputs * <double>p.row.taps))
    return cycles * p.panels


cdef void take_shapes(Plan* p, const Py_ssize_t* x, const Py_ssize_t* x_strides,
                      const Py_ssize_t* w, const Py_ssize_t* w_strides, const Py_ssize_t* y,
                      const Py_ssize_t* y_strides, Py_ssize_t itemsize, const Py_ssize_t* row,
                      const Py_ssize_t* column, bint across) noexcept nogil:
    """Write what arrays of these shapes are."""
    cdef Py_ssize_t i
    p.row, p.column = make_axis(x[4], y[4], row), make_axis(x[5], y[5], column)
    p.across, p.groups, p.lanes.batch = across, x[1 - across], x[across]
    p.inputs, p.outputs, p.kernel, p.columns = w[2], w[1], w[4] * w[5], w[5]
    for i in range(6):
        p.x_strides[i] = x_strides[i ^ (across and i < 2)] // itemsize
        p.w_strides[i] = w_strides[i] // itemsize
        p.y_strides[i] = y_strides[i ^ (across and i < 2)] // itemsize


cdef void make_plan(Plan* p, Py_ssize_t samples, Py_ssize_t itemsize) noexcept nogil:
    """Complete the plan, for so many samples, or groups, in a vector."""
    cdef Py_ssize_t i, widest = LANE_PIXELS
    cdef double cycles, least = 1e300
    p.lanes = make_lanes(p.lanes.batch, p.row.count, samples, sample_lanes(itemsize))
    p.left = max(p.column.before, 0)
    p.width = slab_width(&p.column)
    p.height = 1 if p.across else tile_rows(itemsize)
    p.panels = ceil_div(p.outputs, p.height)
    p.height = ceil_div(p.outputs, p.panels)
    if not p.across:
        widest = tile_pixels(p.height, itemsize)
    for i in range(1, widest + 1):
        cycles = row_cycles(p, i)
        if cycles < least:
            least, p.pixels = cycles, i


cdef void cut_lines(Plan* p, int threads) noexcept nogil:
    """Cut the lines into blocks of `p.lines` at most: enough for the threads, and even ones."""
    cdef Py_ssize_t units
    p.line_blocks = ceil_div(p.lanes.rows, p.lines)
    while p.line_blocks < p.lanes.rows:
        units = p.groups * p.lanes.blocks * p.line_blocks
        if units >= 8 * threads or units % threads == 0:
            break
        p.line_blocks += 1
    p.lines = ceil_div(p.lanes.rows, p.line_blocks)
    p.line_blocks = ceil_div(p.lanes.rows, p.lines)


cdef void size_blocks(Plan* p, Py_ssize_t itemsize, int threads) noexcept nogil:
    """Choose the lines of a block, and lay out the workspace."""
    cdef Py_ssize_t vector = p.lanes.lanes * itemsize
    cdef Py_ssize_t kernels = p.lanes.blocks if p.across else p.groups
    cdef Py_ssize_t out_row = p.outputs * p.row.step * p.column.out * vector
    p.lines = SLAB_BYTES // (p.inputs * p.width * vector) - p.row.reach - 1
    p.lines = max(min(p.lines // p.row.stride + 1, OUT_BYTES // out_row), 1)
    cut_lines(p, threads)
    p.slab_rows = (p.lines - 1) * p.row.stride + p.row.reach + 1
    p.slab_size = p.inputs * p.slab_rows * p.width * p.lanes.lanes
    p.out_size = p.outputs * p.lines * p.row.step * p.column.out * p.lanes.lanes
    p.at_at = 0
    p.lines_at = p.at_at + line_up(p.slab_rows * p.column.size * sizeof(Py_ssize_t))
    p.tiles_at = p.lines_at + line_up(p.row.out * sizeof(Line))
    p.bias_at = p.tiles_at + line_up((p.column.out + 1) * sizeof(Tile))
    p.taps_at = p.bias_at + kernels * p.outputs * vector
    p.weights_at = p.threads_at = p.taps_at
    if p.across:
        p.weights_at += line_up(p.kernel * sizeof(Py_ssize_t))
        p.threads_at = p.weights_at + kernels * p.outputs * p.inputs * p.kernel * vector
    p.out_at = line_up(p.slab_size * itemsize)
    p.thread_bytes = p.out_at + line_up(p.out_size * itemsize)


cdef Rows input_rows(const Plan* p) noexcept nogil:
    """Return the rows of a slab, but for the first."""
    cdef Rows rows
    rows.size, rows.width = p.row.size, p.column.size
    rows.sample, rows.channel = p.x_strides[0], p.x_strides[2]
    rows.hop = p.lanes.rows * p.row.stride
    rows.count = p.slab_rows
    rows.to_line = p.width * p.lanes.lanes
    rows.to_channel = p.slab_rows * rows.to_line
    return rows


cdef void clear_columns(const Plan* p, floating* slab) noexcept nogil:
    """Write the zeros on either side of the map, which stay for all units."""
    cdef Py_ssize_t i, right = p.width - p.left - p.column.size, line = p.width * p.lanes.lanes
    for i in range(p.inputs * p.slab_rows):
        memset(slab + i * line, 0, p.left * p.lanes.lanes * sizeof(floating))
        memset(slab + (i + 1) * line - right * p.lanes.lanes, 0,
               right * p.lanes.lanes * sizeof(floating))


cdef Py_ssize_t list_tiles(const Plan* p, Tile* tiles) noexcept nogil:
    """Cut a row of the output into tiles, phase by phase; return their number."""
    cdef Py_ssize_t i, j, first, past, place, tap, number, total = 0
    cdef const Phase* column
    cdef Tile* tile
    for i in range(p.column.phases):
        column = p.column.phase + i
        number = ceil_div(phase_count(&p.column, column), p.pixels)
        for j in range(number):
            first = j * phase_count(&p.column, column) // number
            past = (j + 1) * phase_count(&p.column, column) // number
            # Taps that lie beside the map for every pixel are left out.
            place = first * p.column.stride - column.before
            tap = first_tap(place + (past - first - 1) * p.column.stride, p.column.dilation)
            tile = tiles + total
            tile.pixels = past - first
            tile.taps = past_tap(place, p.column.dilation, p.column.size, column.taps) - tap
            tile.tap_hop = column.tap_step * p.w_strides[5]
            tile.w_at = (column.tap_first + tap * column.tap_step) * p.w_strides[5]
            tile.x_at = (p.left + place + tap * p.column.dilation) * p.lanes.lanes
            tile.out_at = (column.first + first * p.column.step) * p.lanes.lanes
            total += 1
    return total


cdef void list_lines(const Plan* p, Line* lines) noexcept nogil:
    """Write which taps each row of the output has: divisions cost more than a short row."""
    cdef Py_ssize_t i, m, place, hop = (p.lanes.bands - 1) * p.lanes.rows * p.row.stride
    cdef const Phase* row
    cdef Line* line
    for i in range(p.row.phases):
        row = p.row.phase + i
        for m in range(phase_count(&p.row, row)):
            # Taps that lie outside of the map for every band are left out.
            place = m * p.row.stride - row.before
            line = lines + row.first + m * p.row.step
            line.tap = first_tap(place + hop, p.row.dilation)
            line.taps = past_tap(place, p.row.dilation, p.row.size, row.taps) - line.tap


cdef void correlate_row(const floating* w, const Plan* p, const Tile* tiles, Py_ssize_t tap_hop,
                        Py_ssize_t taps, const floating* slab, floating* out) noexcept nogil:
    """Compute a row of the output; weights and slab begin where its first tap of all lies."""
    cdef Py_ssize_t panel, k, past = 0, i, a = 2 if p.by_columns else 1
    cdef Py_ssize_t b = 3 - a
    cdef Loops loops
    loops.count[0], loops.count[a] = p.inputs, taps
    loops.x_hop[0] = p.slab_rows * p.width * p.lanes.lanes
    loops.x_hop[a] = p.row.dilation * p.width * p.lanes.lanes
    loops.x_hop[b] = p.column.dilation * p.lanes.lanes
    loops.x_pixel = p.column.stride * p.lanes.lanes
    loops.w_hop[0], loops.w_hop[a], loops.w_row = p.w_strides[2], tap_hop, p.w_strides[1]
    loops.out_row = p.lines * p.row.step * p.column.out * p.lanes.lanes
    loops.out_pixel = p.column.step * p.lanes.lanes
    for panel in range(p.panels):
        k, past = past, p.outputs
        if panel + 1 < p.panels:
            # A division takes as long as a short row.
            past = (panel + 1) * p.outputs // p.panels
        for i in range(p.tiles):
            loops.count[b], loops.w_hop[b] = tiles[i].taps, tiles[i].tap_hop
            run_tile(past - k, tiles[i].pixels, p.across, w + k * p.w_strides[1] + tiles[i].w_at,
                     slab + tiles[i].x_at, &loops, out + k * loops.out_row + tiles[i].out_at)


cdef void scatter_rows(const floating* out, const Plan* p, Py_ssize_t g, Py_ssize_t block,
                       Py_ssize_t line, const floating* bias, floating* y) noexcept nogil:
    """Write what the lanes hold of a block of lines, which begins with `line` of each band."""
    cdef Py_ssize_t i = 0, q = 0, n, k, row, run, band, _
    cdef Py_ssize_t rows[MAX_LANES]
    cdef Py_ssize_t size = p.column.out
    cdef Py_ssize_t past = min(line + p.lines, p.lanes.rows) * p.row.step
    cdef floating* to_map[MAX_LANES]
    cdef floating* target[MAX_LANES]
    y += g * p.y_strides[1]
    for band in range(p.lanes.bands):
        row = band * p.lanes.rows * p.row.step
        n = block * p.lanes.samples
        for _ in range(p.lanes.samples):
            rows[q] = min(past, p.row.out - row) - line * p.row.step
            to_map[q] = NULL
            if n < p.lanes.batch:
                to_map[q] = y + n * p.y_strides[0] + (row + line * p.row.step) * size
            n += 1
            q += 1
    while True:
        # The run of rows of the lanes that have more.
        run = 0
        for q in range(p.lanes.lanes):
            if rows[q] <= i:
                to_map[q] = NULL
            elif to_map[q] is not NULL:
                run = min(run, rows[q] - i) if run else rows[q] - i
        if run == 0:
            return
        for k in range(p.outputs):
            for q in range(p.lanes.lanes):
                target[q] = NULL
                if to_map[q] is not NULL:
                    target[q] = to_map[q] + k * p.y_strides[2] + i * size
            scatter(out + ((k * p.lines * p.row.step + i) * size) * p.lanes.lanes, run * size,
                    bias + k * p.lanes.lanes if bias is not NULL else NULL, target)
        i += run


cdef void clear_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Context* c = <const Context*>context
    cdef char* own = c.shared + c.plan.threads_at + task * c.plan.thread_bytes
    if c.itemsize == sizeof(float):
        clear_columns(c.plan, <float*>own)
    else:
        clear_columns(c.plan, <double*>own)


cdef void correlate_unit(const floating* x, const Context* context, Py_ssize_t unit,
                         int thread) noexcept nogil:
    """Compute a block of lines of a block of samples, for one group."""
    cdef const Plan* p = context.plan
    cdef const floating* w = <const floating*>context.weights
    cdef floating* y = <floating*>context.y
    cdef char* shared = context.shared
    cdef char* own = shared + p.threads_at + thread * p.thread_bytes
    cdef floating* slab = <floating*>own
    cdef floating* out = <floating*>(own + p.out_at)
    cdef Py_ssize_t line = unit % p.line_blocks * p.lines
    cdef Py_ssize_t block = unit // p.line_blocks % p.lanes.blocks
    cdef Py_ssize_t g = unit // p.line_blocks // p.lanes.blocks
    cdef Py_ssize_t kernels = block if p.across else g
    cdef const floating* bias = (<const floating*>(shared + p.bias_at)
                                 + kernels * p.outputs * p.lanes.lanes)
    cdef Py_ssize_t width = p.column.out * p.lanes.lanes, i, m, r, place
    cdef const Phase* row
    cdef const Line* lines = <const Line*>(shared + p.lines_at)
    cdef Rows rows = input_rows(p)
    rows.first = line * p.row.stride - p.row.before
    # With one band, taps outside of the map are left out; rows of several differ.
    rows.zeros = p.lanes.bands > 1
    gather_rows(x + g * p.x_strides[1], &p.lanes, block, &rows, p.inputs,
                <const Py_ssize_t*>(shared + p.at_at), slab)
    for i in range(p.row.phases):
        row = p.row.phase + i
        for m in range(line, min(line + p.lines, phase_count(&p.row, row))):
            place = m * p.row.stride - row.before
            r = lines[row.first + m * p.row.step].tap
            correlate_row(w + kernels * p.w_strides[0]
                          + (row.tap_first + r * row.tap_step) * p.w_strides[4],
                          p, <const Tile*>(shared + p.tiles_at), row.tap_step * p.w_strides[4],
                          lines[row.first + m * p.row.step].taps,
                          <const floating*>slab + (place - rows.first + r * p.row.dilation)
                          * rows.to_line,
                          out + ((m - line) * p.row.step + row.first) * width)
    scatter_rows(<const floating*>out, p, g, block, line, bias if context.has_bias else NULL, y)


cdef void unit_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Context* c = <const Context*>context
    if c.itemsize == sizeof(float):
        correlate_unit(<const float*>c.x, c, task, thread)
    else:
        correlate_unit(<const double*>c.x, c, task, thread)


cdef void fill_bias(const floating* bias, Py_ssize_t group, Py_ssize_t row, const Plan* p,
                    floating* to) noexcept nogil:
    """Write the vectors of the bias: a number for each lane, or the same for all.

    Biases lie `group` and `row` apart.
    """
    cdef Py_ssize_t i, k, q, lanes = p.lanes.lanes, last = p.lanes.batch - 1
    for i in range(p.lanes.blocks if p.across else p.groups):
        for k in range(p.outputs):
            for q in range(lanes):
                to[q] = bias[(min(i * lanes + q, last) if p.across else i) * group + k * row]
            to += lanes


cdef void lay_out_weights(const floating* w, const Context* context,
                          Py_ssize_t block) noexcept nogil:
    """Write the kernels of a block of groups as vectors of one number of each."""
    cdef const Plan* p = context.plan
    cdef const Py_ssize_t* strides = context.w_strides
    cdef const Py_ssize_t* at = <const Py_ssize_t*>(context.shared + p.taps_at)
    cdef floating* to = <floating*>(context.shared + p.weights_at)
    cdef Py_ssize_t k, c, tap, q, offset, run = 1, lanes = p.lanes.lanes
    cdef const floating* source[MAX_LANES]
    if strides[5] == 1 and (p.kernel == p.columns or strides[4] == p.columns):
        run = p.kernel
    w += block * lanes * strides[0]
    to += block * p.w_strides[0]
    for k in range(p.outputs):
        for c in range(p.inputs):
            for tap from 0 <= tap < p.kernel by run:
                offset = k * strides[1] + c * strides[2]
                if tap:
                    offset += tap // p.columns * strides[4] + tap % p.columns * strides[5]
                for q in range(lanes):
                    source[q] = NULL
                    if block * lanes + q < p.lanes.batch:
                        source[q] = w + q * strides[0] + offset
                gather(source, run, at,
                       to + k * p.w_strides[1] + c * p.w_strides[2] + tap * lanes)


cdef void weights_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Context* c = <const Context*>context
    if c.itemsize == sizeof(float):
        lay_out_weights(<const float*>c.w, c, task)
    else:
        lay_out_weights(<const double*>c.w, c, task)


cdef Call make_call(const Layout* layout, const Py_ssize_t* row,
                    const Py_ssize_t* column, bint by_columns, bint across, Py_ssize_t samples,
                    int threads) noexcept nogil:
    """Return the plan for arrays of this layout."""
    cdef Call call
    cdef Plan* p = &call.plan
    cdef Py_ssize_t itemsize = layout.itemsize
    take_shapes(p, layout.x.shape, layout.x.strides, layout.w.shape, layout.w.strides,
                layout.y.shape, layout.y.strides, itemsize, row, column, across)
    make_plan(p, samples, itemsize)
    p.by_columns = by_columns
    size_blocks(p, itemsize, threads)
    call.units = p.groups * p.lanes.blocks * p.line_blocks
    call.threads = min(<Py_ssize_t>threads, call.units)
    call.size = p.threads_at + call.threads * p.thread_bytes
    return call


cdef void compute(const floating* x, const floating* w, const floating* bias,
                  Py_ssize_t bias_group, Py_ssize_t bias_row, floating* y, const Call* call):
    """Compute by this plan, on the calling thread and others."""
    cdef Plan p = call.plan
    cdef char* shared = <char*>take(call.size)
    cdef Context context
    cdef Loop[3] loops
    context.plan, context.itemsize, context.shared = &p, sizeof(floating), shared
    context.x, context.w, context.y, context.has_bias = x, w, y, bias is not NULL
    context.weights, context.w_strides = w, <const Py_ssize_t*>call.plan.w_strides
    if p.across:
        context.weights = shared + p.weights_at
        p.w_strides[5] = p.lanes.lanes
        p.w_strides[4] = p.columns * p.w_strides[5]
        p.w_strides[2] = p.kernel * p.w_strides[5]
        p.w_strides[1] = p.inputs * p.w_strides[2]
        p.w_strides[0] = p.outputs * p.w_strides[1]
        fill_positions(1, p.kernel, 0, 0, p.lanes.lanes, <Py_ssize_t*>(shared + p.taps_at))
    fill_positions(p.slab_rows, p.column.size, p.left, p.width * p.lanes.lanes, p.lanes.lanes,
                   <Py_ssize_t*>(shared + p.at_at))
    list_lines(&p, <Line*>(shared + p.lines_at))
    p.tiles = list_tiles(&p, <Tile*>(shared + p.tiles_at))
    if bias is not NULL:
        fill_bias(bias, bias_group, bias_row, &p, <floating*>(shared + p.bias_at))
    loops[0] = make_phase(clear_task, &context, call.threads, EVEN)
    loops[1] = make_phase(weights_task, &context, p.lanes.blocks if p.across else 0, EVEN)
    loops[2] = make_phase(unit_task, &context, call.units, EVEN)
    with nogil:
        parallel_phases(call.threads, loops, 3)
    give(shared)


cdef class Correlation(Kernel):
    """The correlation of maps with few channels and contiguous planes; none may be empty.

    `depth`, `row` and `column` say what is correlated on each axis, as in
    depthwise/correlation.pyx; with `by_columns` the taps are added in its order, else in that of
    gemm/forward.pyx. With `across` groups lie in the lanes, else samples: `samples` of them in
    each vector.
    """

    cdef const Py_ssize_t[::1] depth, row, column
    cdef bint by_columns, across
    cdef Py_ssize_t samples
    cdef Call call

    def __init__(self, depth, row, column, bint by_columns,
                 bint across, Py_ssize_t samples):
        self.depth, self.row, self.column = depth, row, column
        self.by_columns, self.across, self.samples = by_columns, across, samples

    cdef int worth_threads(self, const Layout* layout) noexcept:
        cdef const Py_ssize_t* y = layout.y.shape
        cdef Py_ssize_t rows = make_axis(layout.x.shape[4], y[4], &self.row[0]).taps
        cdef Py_ssize_t columns = make_axis(layout.x.shape[5], y[5], &self.column[0]).taps
        return threads_for(<double>y[0] * y[1] * y[2] * y[4] * y[5] * layout.x.shape[2]
                           * rows * columns)

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        self.call = make_call(layout, &self.row[0], &self.column[0], self.by_columns, self.across,
                              self.samples, threads)
        self.team = self.call.threads
        return self.call.size

    cdef int compute(self, const Operands* o, size_t bytes) except -1:
        cdef Call call = self.call
        record("groups in the lanes" if self.across else "samples in the lanes",
               self.largest[0], self.largest[1])
        if o.layout.itemsize == sizeof(float):
            compute(<const float*>o.x, <const float*>o.w, <const float*>o.bias, o.bias_group,
                    o.bias_row, <float*>o.y, &call)
        else:
            compute(<const double*>o.x, <const double*>o.w, <const double*>o.bias, o.bias_group,
                    o.bias_row, <double*>o.y, &call)
        return 0


def shared_lanes(Py_ssize_t batch, Py_ssize_t rows, double reach, Py_ssize_t itemsize):
    """Return how many samples, and bands of rows, share a vector: see `share_lanes`."""
    cdef Lanes lanes = share_lanes(batch, rows, reach, MAX_LANES, itemsize)
    return lanes.samples, lanes.bands


def axis_extent(Py_ssize_t size, Py_ssize_t out, const Py_ssize_t[::1] numbers):
    """Return the outputs of the longest phase of an axis, its reach, and the width of a slab."""
    cdef Axis axis = make_axis(size, out, &numbers[0])
    return axis.count, axis.reach, slab_width(&axis)


def most_steps(Py_ssize_t itemsize):
    """Return the longest sum, input channels times taps, that the engine does not cut."""
    return block_steps(itemsize)
