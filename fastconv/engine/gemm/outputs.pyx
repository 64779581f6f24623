# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""The correlation with output channels in the lanes: a blocked product of matrices.

    A   the input, never packed: in a slab, or in place, the steps of neighbouring pixels are
        neighbours (slab.pyx), so that one address serves all the rows of a tile
    B   the weights, packed: for each step, the output channels of a panel side by side
    C   the output, transposed: it leaves block by block, transposed back in registers

Nothing is packed for a pixel, and none lies in a gap: this wins where rows are short or steps are
few, if the output channels fill the lanes; `plan_cycles` estimates. A tile is a piece
of a line:

                   output channels ->
    pixels of  |  s s s s s s s s  |       s += x[pixel + shift(step)] * w[step][channel]
    one line   |  s s s s s s s s  |
        v      |  s s s s s s s s  |

Every output adds its steps in order, cut at PC borders that the shape of the weights alone sets: it
has the same bits for each batch, number of threads and layout, and as with pixels in the lanes.
"""

from cython cimport floating

from fastconv.engine.base.arrays cimport Layout, Operands
from fastconv.engine.base.cache_sizes cimport first_cache, second_cache
from fastconv.engine.base.kernel cimport record
from fastconv.engine.base.axis cimport ceil_div
from fastconv.engine.base.costs cimport COPIED, TURNED, tile_cost
from fastconv.engine.base.threads cimport Phase, weighed_phase
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.gemm.correlation cimport (
    Context, Correlation, Estimate, Job, copy_bias, run_job)
from fastconv.engine.gemm.slab cimport (
    Run, Share, Slab, Split, Walk, Windows, add_run, block_channels, copied_numbers, even_share,
    fill_offsets, fill_shifts, fill_slab, find_share, imbalance, in_elements, line_up, make_block,
    make_slab, make_split, make_windows, next_pixels, pack_rows, slab_bytes, slab_planes,
    split_tasks, start_walk, steps_are_neighbours, store_pixels, transpose)
from fastconv.engine.gemm.tile cimport MAX_PIXEL_VECTORS, Pixels, lanes, max_pixels, run_pixels

# A slab with the sums of its pixels: as much of the second-level cache as leaves room for the
# weights that pass. They are read once for each block.
cdef Py_ssize_t BLOCK_BYTES = second_cache() * 5 // 8
# The weights that all tiles of a block read before the next ones come: half the first-level cache,
# and no more than 16 KB: of 48 KB, 24 were 4 to 8 % slower in 1x1 layers on maps of 7 x 7.
cdef Py_ssize_t NEAR_BYTES = min(first_cache() // 2, 1 << 14)
# A number of a slab that is copied one by one, for such strides on a row as `copy` has no loop for.
cdef double SINGLE = 1.2
# Channels that lie so far apart in place are not foreseen by the hardware.
cdef Py_ssize_t FAR_BYTES = 1 << 11


cdef struct Plan:
    Windows windows
    Py_ssize_t groups, outputs, steps
    Py_ssize_t w_strides[6]             # of the weights (G, K, C, T, R, S), in elements
    bint neighbours                     # the steps of an output channel are neighbours
    bint ready                          # the weights were packed before
    Py_ssize_t lanes, vectors, panels   # of all output channels of a group
    Py_ssize_t width                    # vectors of the widest panel
    Py_ssize_t pixels                   # of a tile
    Py_ssize_t span                     # steps that a tile takes at once
    Py_ssize_t channels                 # of a block
    Py_ssize_t near_channels            # whose weights, for a panel, stay in the first-level cache
    Py_ssize_t lines                    # of a block
    double slab_bytes                   # of the slab of one line
    Py_ssize_t line_bytes               # of all that a line of a block takes
    double line_cycles                  # of the tiles of one step of a line
    Split split                         # lines, and panels
    Slab slab
    # The workspace: what all threads share, then one part for each.
    size_t shifts_at, weights_at_at, bias_at, packed_at, threads_at
    size_t slab_at, sums_at, near_at, runs_at, tiles_at, thread_bytes


cdef double tile_cycles(Py_ssize_t pixels, Py_ssize_t vectors, Py_ssize_t span,
                        Py_ssize_t steps) noexcept nogil:
    """Estimate the cycles of one step of a tile: two products, two loads, four to wait for."""
    cdef double loads = (pixels + span * (1 + vectors)) / (2.0 * span)
    cdef double start = (40.0 + 2 * pixels * vectors) / steps
    return max(max(pixels * vectors / 2.0, loads), 4.0) + start


cdef void choose_panels(Plan* p, Py_ssize_t itemsize) noexcept nogil:
    """Choose the width of the panels: the fewest cycles for a line."""
    cdef const Windows* windows = &p.windows
    cdef Py_ssize_t out = windows.column.out, v, pieces, span
    cdef double cycles
    p.line_cycles = 1e300
    for v in range(1, min(MAX_PIXEL_VECTORS, p.vectors) + 1):
        pieces = ceil_div(out, max_pixels(itemsize, v))
        span = 1
        if v == 1 and windows.column.stride == 1 and windows.column.dilation == 1 and (
                windows.column.taps == 3 or windows.column.taps == 5):
            span = windows.column.taps
        # The pixels of each channel come from another cache line.
        cycles = pieces * ceil_div(p.vectors, v) * (2.0 / windows.taps + tile_cycles(
            ceil_div(out, pieces), v, span, p.channels * windows.taps))
        if cycles < p.line_cycles:
            p.line_cycles, p.width, p.span = cycles, v, span
    p.panels = ceil_div(p.vectors, p.width)
    p.width = ceil_div(p.vectors, p.panels)
    p.pixels = max_pixels(itemsize, p.width)


cdef int make_plan(Plan* p, const Layout* layout, tuple stride, tuple before, tuple dilation,
                   int threads) except -1:
    """Fill in the plan for arrays of this layout."""
    cdef Py_ssize_t itemsize = layout.itemsize
    cdef const Py_ssize_t* w = layout.w.shape
    cdef Windows* windows = &p.windows
    windows[0] = make_windows(layout, stride, before, dilation)
    p.groups, p.outputs, p.steps = w[0], w[1], w[2] * windows.taps
    in_elements(&layout.w, itemsize, p.w_strides)
    p.neighbours, p.ready = steps_are_neighbours(w, p.w_strides), layout.prepared
    p.lanes = lanes(itemsize)
    p.vectors = ceil_div(p.outputs, p.lanes)
    p.channels = block_channels(windows, itemsize)
    choose_panels(p, itemsize)
    p.slab_bytes = slab_bytes(windows, windows.column.out, itemsize * p.channels)
    p.line_bytes = itemsize * windows.column.out * p.lanes * (
        p.width if p.channels == windows.channels else p.vectors)
    if not windows.in_place:
        p.line_bytes += <Py_ssize_t>p.slab_bytes
    p.near_channels = max(NEAR_BYTES // (p.width * p.lanes * itemsize * windows.taps), 1)
    p.near_channels = ceil_div(p.channels, ceil_div(p.channels, p.near_channels))
    p.split = make_split(p.groups, windows.lines,
                         ceil_div(windows.lines, max(BLOCK_BYTES // p.line_bytes, 1)), p.panels,
                         threads)
    p.lines = ceil_div(windows.lines, p.split.blocks)
    size_workspace(p, itemsize)
    return 0


cdef double plan_cycles(const Plan* p, Py_ssize_t itemsize, int threads) noexcept nogil:
    """Estimate the cycles of all threads together."""
    cdef double cycles = p.line_cycles
    cdef Py_ssize_t out = p.windows.column.out, lines = p.windows.lines
    if p.windows.in_place:
        # The first reading, in no order that the hardware foresees.
        cycles += 0.2 * out
        if p.windows.strides[2] * itemsize >= FAR_BYTES:
            cycles += 10.0 * p.panels * ceil_div(out, p.pixels)
    elif p.windows.inside and p.windows.column.stride not in (2, 4):
        # With pixels in the lanes there would be no slab.
        cycles += SINGLE * p.windows.channels * slab_planes(&p.windows) * out / p.steps
    cycles *= imbalance(&p.split, threads)
    # Storing; packing the weights, whole vectors where output channels are neighbours; and fetching
    # them for each block.
    return p.groups * lines * p.steps * (
        cycles + 0.3 * out * p.vectors * p.lanes / p.steps
        + (0 if p.ready else 0.3 if p.w_strides[1] == 1 else 1.5) * p.outputs / lines
        + 0.4 * p.outputs / p.lines)


cdef inline Py_ssize_t packed_weights(const Plan* p) noexcept nogil:
    """Return how many numbers the packed weights are."""
    return p.groups * p.steps * p.vectors * p.lanes


cdef inline char* packed_of(const Context* context) noexcept nogil:
    """Return where the weights are packed: before, or in the workspace."""
    if context.o.prepared is not NULL:
        return context.o.prepared
    return context.shared + (<const Plan*>context.plan).packed_at


cdef void size_workspace(Plan* p, Py_ssize_t itemsize) noexcept nogil:
    """Lay out the workspace: fill in its offsets."""
    cdef Py_ssize_t kc = p.channels * p.windows.taps, slab = 0, out = p.windows.column.out
    cdef Py_ssize_t all_lanes = p.vectors * p.lanes
    p.slab = make_slab(&p.windows, p.lines, out)
    # Planes an odd number of cache lines apart fall into different sets of the cache.
    p.slab.plane = (p.slab.plane + 31) // 32 * 32 + 16
    if not p.windows.in_place:
        slab = p.channels * slab_planes(&p.windows) * p.slab.plane
    p.shifts_at = 0
    p.weights_at_at = p.shifts_at + line_up(kc * sizeof(Py_ssize_t))
    p.bias_at = p.weights_at_at + line_up(kc * sizeof(Py_ssize_t))
    p.packed_at = p.bias_at + line_up(p.groups * all_lanes * itemsize)
    p.threads_at = p.packed_at
    if not p.ready:
        p.threads_at += line_up(packed_weights(p) * itemsize)
    p.slab_at = 0
    p.sums_at = line_up(slab * itemsize)
    p.near_at = p.sums_at + line_up(
        p.lines * out * p.lanes * itemsize
        * (p.width if p.channels == p.windows.channels else p.vectors))
    p.runs_at = p.near_at + line_up(p.lines * out * p.lanes * p.width * itemsize)
    p.tiles_at = p.runs_at + 2 * line_up(p.lines * sizeof(Run))
    p.thread_bytes = p.tiles_at + line_up(
        p.lines * ceil_div(out, p.pixels) * sizeof(Pixels))


cdef inline Py_ssize_t packed_at(const Plan* p, Py_ssize_t g, Py_ssize_t channel,
                                 Py_ssize_t panel) noexcept nogil:
    """Return where the packed weights of a block of channels and a panel begin."""
    cdef Py_ssize_t channels = min(p.channels, p.windows.channels - channel)
    return p.lanes * ((g * p.steps + channel * p.windows.taps) * p.vectors
                      + channels * p.windows.taps * even_share(panel, p.vectors, p.panels))


cdef void pack_weights(const floating* w, const Context* context, Py_ssize_t task,
                       int thread) noexcept nogil:
    """Pack the weights of one panel and block of channels."""
    cdef const Plan* p = <const Plan*>context.plan
    cdef const Py_ssize_t* at = <const Py_ssize_t*>(context.shared + p.weights_at_at)
    cdef floating* packed = <floating*>packed_of(context)
    cdef Py_ssize_t blocks = ceil_div(p.windows.channels, p.channels)
    cdef Py_ssize_t panel = task % p.panels, c = task // p.panels % blocks * p.channels
    cdef Py_ssize_t g = task // p.panels // blocks
    cdef Py_ssize_t output = even_share(panel, p.vectors, p.panels) * p.lanes
    cdef Py_ssize_t width = even_share(panel + 1, p.vectors, p.panels) * p.lanes - output
    cdef Py_ssize_t outputs = min(width, p.outputs - output)
    cdef Py_ssize_t steps = min(p.channels, p.windows.channels - c) * p.windows.taps
    w += g * p.w_strides[0] + output * p.w_strides[1] + c * p.w_strides[2]
    packed += packed_at(p, g, c, panel)
    if p.neighbours:
        transpose(w, p.w_strides[1], outputs, steps, packed, width)
    else:
        pack_rows(w, p.w_strides[1], outputs, at, steps, width, packed)


cdef inline Py_ssize_t panel_width(const Plan* p, Py_ssize_t panel) noexcept nogil:
    """Return the vectors of a panel."""
    return even_share(panel + 1, p.vectors, p.panels) - even_share(panel, p.vectors, p.panels)


cdef double weights_cost(void* job, Py_ssize_t task) noexcept nogil:
    """Return what a call of pack_weights costs."""
    cdef const Plan* p = <const Plan*>(<const Job*>job).context.plan
    cdef Py_ssize_t blocks = ceil_div(p.windows.channels, p.channels)
    cdef Py_ssize_t c = task // p.panels % blocks * p.channels
    return (<double>TURNED * min(p.channels, p.windows.channels - c) * p.windows.taps
            * panel_width(p, task % p.panels) * p.lanes)


cdef Py_ssize_t list_tiles(const Plan* p, const Slab* slab, Run* pieces, Run* outs,
                           Py_ssize_t* n_outs, Pixels* tiles) noexcept nogil:
    """Cut a block of lines into tiles; return their number.

    Writes the runs of its pixels in the output, too.
    """
    cdef Walk walk = start_walk(&p.windows, slab)
    cdef Py_ssize_t n_pieces = 0, count = 0, done = 0, i, at, out, number
    cdef int left
    n_outs[0] = 0
    while walk.left:
        at, out = walk.at, walk.out
        number = next_pixels(&walk, walk.left)
        n_pieces = add_run(pieces, n_pieces, done, number, at, 1)
        n_outs[0] = add_run(outs, n_outs[0], done, number, out, p.windows.outs[5])
        done += number
    for i in range(n_pieces):
        done = 0
        left = <int>ceil_div(pieces[i].count, p.pixels)
        while left:
            # In 32 bits a division takes half as long.
            number = (<int>(pieces[i].count - done) + left - 1) // left
            tiles[count].first = pieces[i].first + done
            tiles[count].count = number
            tiles[count].at = pieces[i].at + done
            count += 1
            done += number
            left -= 1
    return count


cdef void multiply_lines(const floating* x, const Context* context, Py_ssize_t task,
                         int thread) noexcept nogil:
    """Compute a task: some panels of output channels for one block of lines."""
    cdef const Plan* p = <const Plan*>context.plan
    cdef floating* y = <floating*>context.o.y
    cdef char* shared = context.shared
    cdef char* own = shared + p.threads_at + thread * p.thread_bytes
    cdef Share share = find_share(&p.split, task)
    cdef Py_ssize_t g = share.copy, out = p.windows.column.out
    cdef const Py_ssize_t* shifts = <const Py_ssize_t*>(shared + p.shifts_at)
    cdef const floating* packed = <const floating*>packed_of(context)
    cdef const floating* bias = (<const floating*>(shared + p.bias_at)
                                 + g * p.vectors * p.lanes)
    cdef floating* slab_data = <floating*>(own + p.slab_at)
    cdef Run* pieces = <Run*>(own + p.runs_at)
    cdef Run* outs = pieces + p.lines
    cdef Pixels* tiles = <Pixels*>(own + p.tiles_at)
    cdef floating* near_sums = <floating*>(own + p.near_at)
    cdef Py_ssize_t count, n_outs, c, channels, panel, vectors, output, width, i
    cdef const floating* source
    cdef const floating* weights
    cdef floating* sums
    cdef Slab slab = p.slab

    slab.block = make_block(&p.windows, out, 0, share.unit * out, share.past_unit * out)
    count = list_tiles(p, &slab, pieces, outs, &n_outs, tiles)
    x += g * p.windows.strides[1]
    y += g * p.windows.outs[1]
    for c from 0 <= c < p.windows.channels by p.channels:
        channels = min(p.channels, p.windows.channels - c)
        source = x + c * p.windows.strides[2]
        if not p.windows.in_place:
            fill_slab(x, &p.windows, &slab, c, channels, slab_data)
            source = slab_data
        sums = <floating*>(own + p.sums_at)
        for panel in range(share.panel, share.past_panel):
            output = even_share(panel, p.vectors, p.panels) * p.lanes
            width = even_share(panel + 1, p.vectors, p.panels) * p.lanes - output
            vectors = width // p.lanes
            weights = packed + packed_at(p, g, c, panel)
            run_pixels(tiles, count, vectors, p.span, source, shifts, weights,
                       channels * p.windows.taps, p.near_channels * p.windows.taps, near_sums,
                       sums, c > 0)
            if c + channels == p.windows.channels:
                for i in range(n_outs):
                    store_pixels(<const floating*>sums + outs[i].first * width, width,
                                 outs[i].count, min(width, p.outputs - output),
                                 bias + output if context.o.bias is not NULL else NULL,
                                 y + output * p.windows.outs[2] + outs[i].at, p.windows.outs[2],
                                 outs[i].step, context.o.ending)
            if p.channels < p.windows.channels:
                # The sums of all panels wait for the next block of channels.
                sums += slab.block.lines * out * width


cdef double lines_cost(void* job, Py_ssize_t task) noexcept nogil:
    """Return what a call of multiply_lines costs; its lists are made in the first thread's part."""
    cdef const Context* context = (<const Job*>job).context
    cdef const Plan* p = <const Plan*>context.plan
    cdef char* own = context.shared + p.threads_at
    cdef Share share = find_share(&p.split, task)
    cdef Run* pieces = <Run*>(own + p.runs_at)
    cdef Pixels* tiles = <Pixels*>(own + p.tiles_at)
    cdef Py_ssize_t out = p.windows.column.out, count, n_outs, c, channels, panel, vectors, i
    cdef Slab slab = p.slab
    cdef double cost = 0
    slab.block = make_block(&p.windows, out, 0, share.unit * out, share.past_unit * out)
    count = list_tiles(p, &slab, pieces, pieces + p.lines, &n_outs, tiles)
    for c from 0 <= c < p.windows.channels by p.channels:
        channels = min(p.channels, p.windows.channels - c)
        if not p.windows.in_place:
            cost += COPIED * copied_numbers(&p.windows, &slab, channels)
        for panel in range(share.panel, share.past_panel):
            vectors = panel_width(p, panel)
            for i in range(count):
                cost += tile_cost(tiles[i].count, vectors, p.lanes, channels * p.windows.taps)
            cost += COPIED * slab.block.lines * out * vectors * p.lanes
    return cost


cdef class OutputLanes(Correlation):
    """The correlation with output channels in the lanes."""

    cdef Plan kept

    cdef int weigh(self, const Layout* layout, int threads, Estimate* estimate) except -1:
        cdef Plan p
        threads = min(threads, self.worth_threads(layout))
        make_plan(&p, layout, self.stride, self.before, self.dilation, threads)
        estimate.cycles = plan_cycles(&p, layout.itemsize, threads)
        estimate.filled = p.outputs / <double>(p.vectors * p.lanes)
        # The slab leaves as much again for the weights that pass.
        estimate.memory = max(2 * p.slab_bytes, <double>p.line_bytes) / BLOCK_BYTES
        return 0

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Plan* p = &self.kept
        make_plan(p, layout, self.stride, self.before, self.dilation, threads)
        self.team = min(<Py_ssize_t>threads, split_tasks(&p.split))
        self.largest[0], self.largest[1] = min(p.pixels, p.windows.column.out), p.width * p.lanes
        self.ends = True
        return p.threads_at + self.team * p.thread_bytes

    cdef Py_ssize_t packed_numbers(self) noexcept:
        return packed_weights(&self.kept)

    cdef int compute(self, const Operands* o, size_t bytes) except -1:
        record(self.name, self.largest[0], self.largest[1])
        return self.run(o, bytes, not self.kept.ready, True)

    cdef int run(self, const Operands* o, size_t bytes, bint packs, bint multiplies) except -1:
        cdef const Plan* p = &self.kept
        cdef char* shared = <char*>take(bytes)
        cdef Context context
        cdef Job[2] jobs
        cdef Phase[2] phases
        fill_shifts(&p.windows, &p.slab, p.channels, <Py_ssize_t*>(shared + p.shifts_at))
        fill_offsets(&p.windows, p.w_strides, p.channels, <Py_ssize_t*>(shared + p.weights_at_at))
        copy_bias(o, p.vectors * p.lanes, shared + p.bias_at)
        context.plan, context.o, context.shared = p, o, shared
        jobs[0] = Job(pack_weights[float], pack_weights[double], o.w, &context)
        jobs[1] = Job(multiply_lines[float], multiply_lines[double], o.x, &context)
        phases[0] = weighed_phase(
            run_job, weights_cost, &jobs[0],
            p.groups * p.panels * ceil_div(p.windows.channels, p.channels) if packs else 0)
        phases[1] = weighed_phase(run_job, lines_cost, &jobs[1],
                                  split_tasks(&p.split) if multiplies else 0)
        self.run_phases(phases, 2)
        give(shared)
        return 0
