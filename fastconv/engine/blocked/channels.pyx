# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""The engine's convolutions with channels in the lanes, for groups of few channels.

A pixel is a vector of one number of each channel of a group, or of two groups by turns, and so is
a pixel of the output:

    slab[vector][row][phase of the column][column][lane]        lane = channel * turns + group

Maps are laid out so, and results back, through transposition in registers. A tile is a vector or
two of output channels and up to 14 pixels of a row: single numbers of the input, repeated, times
vectors of packed weights (channels_loops.h). The columns of a stride are parted by phase as
they are laid out, so that a tile's pixels are neighbours, whatever the stride; rows of taps that
meet only padding are left out.

Axes are said in numbers, as in depthwise/correlation.pyx, so that the input gradient is one call
for all phases of a stride. Every output adds the same products in the same order as in
gemm/forward.pyx: which of them computes it may follow the batch and the threads. That one computes
what this module refuses.
"""

from cython cimport floating

from libc.string cimport memset

from fastconv.engine.base.arrays cimport Layout, Operands
from fastconv.engine.base.axis cimport Phase, ceil_div, first_tap, make_axis, past_tap, phase_count
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.kernel cimport Kernel, record
from fastconv.engine.base.threads cimport (
    EVEN, Phase as Loop, make_phase, parallel_phases, threads_for)
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.blocked.sample_tiles cimport MAX_LANES, gather, scatter
from fastconv.engine.blocked.samples cimport slab_width
from fastconv.engine.gemm.slab cimport line_up

cdef extern from "blocked/channels.h" nogil:
    ctypedef void (*tile_f)(const float* w, const float* x, const Loops* loops,
                            float* out) noexcept nogil
    ctypedef void (*tile_d)(const double* w, const double* x, const Loops* loops,
                            double* out) noexcept nogil
    ctypedef void (*sums_f)(const float* dy, const float* x, const Lines* lines,
                            float* sums) noexcept nogil
    ctypedef void (*sums_d)(const double* dy, const double* x, const Lines* lines,
                            double* sums) noexcept nogil
    ctypedef struct channels_f "fastconv_channels_f":
        int lanes, groups
        int[2] most
        tile_f[2][2][14] tiles
        sums_f[2][2][14] sums
    ctypedef struct channels_d "fastconv_channels_d":
        int lanes, groups
        int[2] most
        tile_d[2][2][14] tiles
        sums_d[2][2][14] sums
    enum:
        MAX_VECTORS "FASTCONV_CHANNEL_VECTORS"
    const channels_f** table_f "fastconv_channels_table_f"
    const channels_d** table_d "fastconv_channels_table_d"

# What a unit reads and writes: a quarter of the second-level cache.
cdef Py_ssize_t UNIT_BYTES = 1 << 18
# The weights that all tiles of a unit read before the next ones come.
cdef Py_ssize_t NEAR_BYTES = 5 << 12

# What the tasks share.
cdef struct Context:
    const Plan* plan
    Py_ssize_t itemsize
    const void* x
    const void* w
    void* y
    bint has_bias
    char* shared

cdef const channels_f* channels_float = table_f[isa_row()]
cdef const channels_d* channels_double = table_d[isa_row()]


cdef Py_ssize_t most_pixels(Py_ssize_t vectors, Py_ssize_t itemsize) noexcept nogil:
    """Return the pixels of the longest tile, or the rows of the most sums, of so many vectors."""
    if itemsize == 4:
        return channels_float.most[vectors - 1]
    return channels_double.most[vectors - 1]


cdef void run_tile(Py_ssize_t turns, Py_ssize_t vectors, Py_ssize_t pixels, const floating* w,
                   const floating* x, const Loops* loops, floating* out) noexcept nogil:
    """Compute a tile of so many pixels and vectors of output channels."""
    if floating is float:
        channels_float.tiles[turns - 1][vectors - 1][pixels - 1](w, x, loops, out)
    else:
        channels_double.tiles[turns - 1][vectors - 1][pixels - 1](w, x, loops, out)


cdef void run_sums(Py_ssize_t turns, Py_ssize_t vectors, Py_ssize_t rows, const floating* dy,
                   const floating* x, const Lines* lines, floating* sums) noexcept nogil:
    """Add the products of so many input channels and vectors of output channels to their sums."""
    if floating is float:
        channels_float.sums[turns - 1][vectors - 1][rows - 1](dy, x, lines, sums)
    else:
        channels_double.sums[turns - 1][vectors - 1][rows - 1](dy, x, lines, sums)


def most_turns(Py_ssize_t itemsize):
    """Return the most groups whose channels can take turns in a vector."""
    return channels_float.groups if itemsize == 4 else channels_double.groups


cdef void for_lanes(const Plan* p, Channels* channels) noexcept nogil:
    """Write how many vectors the channels take."""
    channels.each = p.lanes // p.turns
    channels.vectors = ceil_div(channels.count, channels.each)


cdef void take_shapes(Plan* p, const Py_ssize_t* x, const Py_ssize_t* x_strides,
                      const Py_ssize_t* w, const Py_ssize_t* w_strides, const Py_ssize_t* y,
                      const Py_ssize_t* y_strides, Py_ssize_t itemsize, Py_ssize_t turns,
                      const Py_ssize_t* row, const Py_ssize_t* column) noexcept nogil:
    """Write what arrays of these shapes are; `turns` groups share a vector."""
    cdef Py_ssize_t i
    p.row, p.column = make_axis(x[4], y[4], row), make_axis(x[5], y[5], column)
    p.batch, p.groups = x[0], x[1]
    p.inputs.count, p.outputs.count, p.rows, p.columns = w[2], w[1], w[4], w[5]
    p.inputs.sample, p.outputs.sample = x_strides[0] // itemsize, y_strides[0] // itemsize
    p.inputs.group, p.outputs.group = x_strides[1] // itemsize, y_strides[1] // itemsize
    p.inputs.channel, p.outputs.channel = x_strides[2] // itemsize, y_strides[2] // itemsize
    for i in range(6):
        p.w_strides[i] = w_strides[i] // itemsize
    p.lanes = channels_float.lanes if itemsize == 4 else channels_double.lanes
    p.turns, p.blocks = turns, ceil_div(p.groups, turns)
    for_lanes(p, &p.inputs)
    for_lanes(p, &p.outputs)
    p.left = max(p.column.before, 0)
    p.width = slab_width(&p.column)
    p.hop = ceil_div(p.width, p.column.stride)
    p.slab_line = p.hop * p.column.stride * p.lanes


cdef Py_ssize_t size_slab(Plan* p, Py_ssize_t lines) noexcept nogil:
    """Lay out a slab, and the output, of so many lines of a sample; return their numbers."""
    p.lines = lines
    p.slab_rows = (lines - 1) * p.row.stride + p.row.reach + 1
    p.slab_vector = p.slab_rows * p.slab_line
    p.slab_sample = p.inputs.vectors * p.slab_vector
    p.out_vector = lines * p.row.step * p.column.out * p.lanes
    p.out_sample = p.outputs.vectors * p.out_vector
    return p.slab_sample + p.out_sample


cdef void size_blocks(Plan* p, Py_ssize_t itemsize, int threads) noexcept nogil:
    """Choose the units, enough for the threads, and lay out the workspace."""
    cdef Py_ssize_t most = UNIT_BYTES // itemsize, units, size, step
    cdef Py_ssize_t width = p.outputs.vectors * p.lanes, taps = p.rows * p.columns
    p.line_blocks = 1
    while size_slab(p, ceil_div(p.row.count, p.line_blocks)) > most:
        p.line_blocks += 1
    p.sample_blocks = p.batch
    if p.line_blocks == 1:
        p.sample_blocks = ceil_div(p.batch, max(most // (p.slab_sample + p.out_sample), 1))
    while True:
        p.samples = ceil_div(p.batch, p.sample_blocks)
        p.sample_blocks = ceil_div(p.batch, p.samples)
        size_slab(p, ceil_div(p.row.count, p.line_blocks))
        p.line_blocks = ceil_div(p.row.count, p.lines)
        units = p.blocks * p.sample_blocks * p.line_blocks
        if units >= 8 * threads or units % threads == 0:
            break
        # One more block might be no smaller.
        if p.samples > 1:
            p.sample_blocks = ceil_div(p.batch, p.samples - 1)
        elif p.lines > 1:
            p.line_blocks = ceil_div(p.row.count, p.lines - 1)
        else:
            break
    step = min(p.outputs.vectors, <Py_ssize_t>MAX_VECTORS) * p.lanes * itemsize
    size = max(NEAR_BYTES // (taps * step), 1)
    p.near_channels = ceil_div(p.inputs.count, ceil_div(p.inputs.count, size))
    # The last vectors are those of taps that no phase has.
    p.kernels = (p.inputs.count * taps + 1) * width
    p.at_at = 0
    p.lines_at = p.at_at + line_up(p.slab_rows * p.column.size * sizeof(Py_ssize_t))
    p.tiles_at = p.lines_at + line_up(p.row.out * sizeof(Line))
    p.taps_at = p.tiles_at + line_up((p.column.out + 1) * sizeof(Tile))
    p.channel_at = p.taps_at + line_up((taps + 1) * sizeof(Py_ssize_t))
    p.steps_at = p.channel_at + line_up(p.inputs.count * sizeof(Py_ssize_t))
    p.bias_at = p.steps_at + line_up(p.inputs.count * taps * sizeof(Py_ssize_t))
    p.weights_at = p.bias_at + line_up(p.blocks * width * itemsize)
    p.threads_at = p.weights_at + line_up(p.blocks * p.kernels * itemsize)
    p.out_at = line_up(p.samples * p.slab_sample * itemsize)
    p.thread_bytes = p.out_at + line_up(p.samples * p.out_sample * itemsize)


cdef Py_ssize_t column_place(const Plan* p, Py_ssize_t column) noexcept nogil:
    """Return where a column of the slab begins in its row."""
    return (column % p.column.stride * p.hop + column // p.column.stride) * p.lanes


cdef void fill_positions(const Plan* p, Py_ssize_t* at) noexcept nogil:
    """Write where each number of neighbouring rows of the map goes."""
    cdef Py_ssize_t i, j
    for j in range(p.column.size):
        at[j] = column_place(p, p.left + j)
    for i in range(p.column.size, p.slab_rows * p.column.size):
        at[i] = at[i - p.column.size] + p.slab_line


cdef void list_channels(const Plan* p, Py_ssize_t* at) noexcept nogil:
    """Write where each input channel lies in a slab."""
    cdef Py_ssize_t c
    for c in range(p.inputs.count):
        at[c] = c // p.inputs.each * p.slab_vector + c % p.inputs.each * p.turns


cdef void clear_columns(const Plan* p, Py_ssize_t samples, floating* slab) noexcept nogil:
    """Write the zeros on either side of the map, which stay for all units."""
    cdef Py_ssize_t j, _
    cdef size_t size = p.lanes * sizeof(floating)
    for _ in range(samples * p.inputs.vectors * p.slab_rows):
        for j in range(p.left):
            memset(slab + column_place(p, j), 0, size)
        for j in range(p.left + p.column.size, p.width):
            memset(slab + column_place(p, j), 0, size)
        slab += p.slab_line


cdef void list_tiles(Plan* p, Py_ssize_t itemsize, Tile* tiles) noexcept nogil:
    """Cut a row of the output into tiles, phase by phase."""
    cdef Py_ssize_t i, j, first, past, number, count, before = 0
    cdef Py_ssize_t most = most_pixels(min(p.outputs.vectors, <Py_ssize_t>MAX_VECTORS), itemsize)
    cdef const Phase* column
    cdef Tile* tile
    p.tiles = 0
    for i in range(p.column.phases):
        column = p.column.phase + i
        count = phase_count(&p.column, column)
        number = ceil_div(count, most)
        for j in range(number):
            first, past = j * count // number, (j + 1) * count // number
            tile = tiles + p.tiles
            tile.pixels, tile.taps, tile.before = past - first, column.taps, before
            tile.x_at = first * p.lanes
            tile.out_at = (column.first + first * p.column.step) * p.lanes
            p.tiles += 1
        before += column.taps


cdef void list_taps(const Plan* p, Py_ssize_t* tap_at, Py_ssize_t* steps) noexcept nogil:
    """Write where each tap lies in a slab, and each step (c, r, s) in the packed weights.

    Phase by phase, of rows and of columns; those of a phase side by side, channel by channel.
    """
    cdef Py_ssize_t i, j, c, r, s, step, taps = p.rows * p.columns, listed = 0
    cdef Py_ssize_t width = p.outputs.vectors * p.lanes
    cdef const Phase* row
    cdef const Phase* column
    for step in range(p.inputs.count * taps):
        steps[step] = p.kernels - width
    for i in range(p.row.phases):
        row = p.row.phase + i
        for j in range(p.column.phases):
            column = p.column.phase + j
            for r in range(row.taps):
                for s in range(column.taps):
                    tap_at[listed + r * column.taps + s] = (
                        r * p.row.dilation * p.slab_line
                        + column_place(p, p.left - column.before + s * p.column.dilation))
                    step = ((row.tap_first + r * row.tap_step) * p.columns
                            + column.tap_first + s * column.tap_step)
                    for c in range(p.inputs.count):
                        steps[c * taps + step] = width * (
                            listed * p.inputs.count + c * row.taps * column.taps
                            + r * column.taps + s)
            listed += row.taps * column.taps
    # The tiles look at one more.
    tap_at[listed] = 0


cdef void list_lines(const Plan* p, Line* lines) noexcept nogil:
    """Write which taps each row of the output has: divisions cost more than a short row."""
    cdef Py_ssize_t i, m, place
    cdef const Phase* row
    cdef Line* line
    for i in range(p.row.phases):
        row = p.row.phase + i
        for m in range(phase_count(&p.row, row)):
            # Taps that lie outside of the map are left out.
            place = m * p.row.stride - row.before
            line = lines + row.first + m * p.row.step
            line.tap = first_tap(place, p.row.dilation)
            line.taps = max(
                past_tap(place, p.row.dilation, p.row.size, row.taps) - line.tap, 0)


cdef void lay_out(const floating* x, const Plan* p, const Channels* channels, Py_ssize_t block,
                  Py_ssize_t count, const Py_ssize_t* at, floating* to,
                  Py_ssize_t to_vector) noexcept nogil:
    """Lay out `count` neighbouring numbers of each channel of a block of groups.

    `at` says where each of them goes. Lanes without a channel hold zeros.
    """
    cdef Py_ssize_t v, q, c = 0, g = 0, groups = p.groups - block * p.turns
    cdef const floating* source[MAX_LANES]
    x += block * p.turns * channels.group
    for v in range(channels.vectors):
        # Two divisions for each lane would take as long as what the lanes hold.
        for q in range(p.lanes):
            source[q] = NULL
            if c < channels.count and g < groups:
                source[q] = x + g * channels.group + c * channels.channel
            g += 1
            if g == p.turns:
                c, g = c + 1, 0
        gather(source, count, at, to + v * to_vector)


cdef void clear_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    """Clear the columns beside the maps in a thread's part."""
    cdef const Context* c = <const Context*>context
    cdef char* own = c.shared + c.plan.threads_at + task * c.plan.thread_bytes
    if c.itemsize == sizeof(float):
        clear_columns(c.plan, c.plan.samples, <float*>own)
    else:
        clear_columns(c.plan, c.plan.samples, <double*>own)


cdef void correlate_unit(const floating* x, const Context* context, Py_ssize_t unit,
                         int thread) noexcept nogil:
    """Compute a block of lines of some samples, for one block of groups."""
    cdef const Plan* p = context.plan
    cdef char* shared = context.shared
    cdef char* own = shared + p.threads_at + thread * p.thread_bytes
    cdef const floating* w = <const floating*>(shared + p.weights_at)
    cdef floating* y = <floating*>context.y
    cdef floating* slab = <floating*>own
    cdef floating* out = <floating*>(own + p.out_at)
    cdef const Line* lines = <const Line*>(shared + p.lines_at)
    cdef const Py_ssize_t* at = <const Py_ssize_t*>(shared + p.at_at)
    cdef Py_ssize_t line = unit % p.line_blocks * p.lines
    cdef Py_ssize_t past = min(line + p.lines, p.row.count)
    cdef Py_ssize_t first_sample = unit // p.line_blocks % p.sample_blocks * p.samples
    cdef Py_ssize_t samples = min(p.samples, p.batch - first_sample)
    cdef Py_ssize_t block = unit // p.line_blocks // p.sample_blocks
    cdef Py_ssize_t first = line * p.row.stride - p.row.before
    cdef Py_ssize_t begin = min(max(first, 0), p.row.size)
    cdef Py_ssize_t end = min(max(first + p.slab_rows, begin), p.row.size)
    cdef Py_ssize_t width = p.column.out * p.lanes, n, v, c, i, m, vectors, taps, listed
    cdef const Phase* row
    cdef Loops loops
    for n in range(samples):
        if end > begin:
            lay_out(x + (first_sample + n) * p.inputs.sample + begin * p.column.size, p,
                    &p.inputs, block, (end - begin) * p.column.size, at,
                    slab + n * p.slab_sample + (begin - first) * p.slab_line, p.slab_vector)
    loops.w_tap = p.outputs.vectors * p.lanes
    loops.out_pixel, loops.out_vector = p.column.step * p.lanes, p.out_vector
    taps = 0
    for i in range(p.column.phases):
        taps += p.column.phase[i].taps
    for v from 0 <= v < p.outputs.vectors by MAX_VECTORS:
        vectors = min(p.outputs.vectors - v, <Py_ssize_t>MAX_VECTORS)
        for c from 0 <= c < p.inputs.count by p.near_channels:
            loops.first = c == 0
            loops.channels = min(p.near_channels, p.inputs.count - c)
            loops.channel_at = <const Py_ssize_t*>(shared + p.channel_at) + c
            for n in range(samples):
                listed = 0
                for i in range(p.row.phases):
                    row = p.row.phase + i
                    for m in range(line, min(past, phase_count(&p.row, row))):
                        correlate_row(
                            w + block * p.kernels + v * p.lanes, p, shared, row, listed, c,
                            lines + row.first + m * p.row.step, vectors, &loops,
                            <const floating*>slab + n * p.slab_sample
                            + (m * p.row.stride - row.before - first) * p.slab_line,
                            out + n * p.out_sample + v * p.out_vector
                            + ((m - line) * p.row.step + row.first) * width)
                    listed += row.taps * taps
    for n in range(samples):
        write_back(<const floating*>out + n * p.out_sample, p, block, line, past,
                   <const floating*>(shared + p.bias_at) + block * p.outputs.vectors * p.lanes
                   if context.has_bias else NULL, y + (first_sample + n) * p.outputs.sample)


cdef void unit_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Context* c = <const Context*>context
    if c.itemsize == sizeof(float):
        correlate_unit(<const float*>c.x, c, task, thread)
    else:
        correlate_unit(<const double*>c.x, c, task, thread)


cdef void correlate_row(const floating* w, const Plan* p, const char* shared, const Phase* row,
                        Py_ssize_t listed, Py_ssize_t channel, const Line* line,
                        Py_ssize_t vectors, Loops* loops, const floating* slab,
                        floating* out) noexcept nogil:
    """Compute some vectors of a row, from a channel on; `listed` taps precede those of its phase.

    The slab begins where the row's first tap of all would lie.
    """
    cdef const Tile* tile = <const Tile*>(shared + p.tiles_at)
    cdef Py_ssize_t at, _
    for _ in range(p.tiles):
        at = listed + row.taps * tile.before
        loops.taps = line.taps * tile.taps
        loops.tap_at = <const Py_ssize_t*>(shared + p.taps_at) + at + line.tap * tile.taps
        loops.w_channel = row.taps * tile.taps * loops.w_tap
        run_tile(p.turns, vectors, tile.pixels,
                 w + (at * p.inputs.count + line.tap * tile.taps) * loops.w_tap
                 + channel * loops.w_channel, slab + tile.x_at, loops, out + tile.out_at)
        tile += 1


cdef void write_back(const floating* out, const Plan* p, Py_ssize_t block, Py_ssize_t line,
                     Py_ssize_t past, const floating* bias, floating* y) noexcept nogil:
    """Write the lines that a unit has computed of one sample."""
    cdef Py_ssize_t v, q, k = 0, g = 0, groups = p.groups - block * p.turns
    cdef Py_ssize_t first = line * p.row.step * p.column.out
    cdef Py_ssize_t count = min(past * p.row.step, p.row.out) * p.column.out - first
    cdef floating* target[MAX_LANES]
    y += block * p.turns * p.outputs.group + first
    for v in range(p.outputs.vectors):
        for q in range(p.lanes):
            target[q] = NULL
            if k < p.outputs.count and g < groups:
                target[q] = y + g * p.outputs.group + k * p.outputs.channel
            g += 1
            if g == p.turns:
                k, g = k + 1, 0
        scatter(out + v * p.out_vector, count, bias + v * p.lanes if bias is not NULL else NULL,
                target)


cdef void fill_bias(const floating* bias, Py_ssize_t group, Py_ssize_t row, const Plan* p,
                    floating* to) noexcept nogil:
    """Write the bias of the lanes of each block of groups; it lies `group` and `row` apart."""
    cdef Py_ssize_t b, q, k, g
    for b in range(p.blocks):
        for q in range(p.outputs.vectors * p.lanes):
            k = q // p.lanes * p.outputs.each + q % p.lanes // p.turns
            g = b * p.turns + q % p.turns
            to[q] = bias[g * group + k * row] if k < p.outputs.count and g < p.groups else 0
        to += p.outputs.vectors * p.lanes


cdef void pack_weights(const floating* w, const Context* context,
                       Py_ssize_t block) noexcept nogil:
    """Pack the weights of a block of groups."""
    cdef const Plan* p = context.plan
    cdef const Py_ssize_t* at = <const Py_ssize_t*>(context.shared + p.steps_at)
    cdef floating* packed = <floating*>(context.shared + p.weights_at)
    cdef Py_ssize_t taps = p.rows * p.columns, c, k, q, g, r, s
    cdef Channels kernels = p.outputs
    cdef floating* to
    kernels.group, kernels.channel = p.w_strides[0], p.w_strides[1]
    packed += block * p.kernels
    if p.w_strides[5] == 1 and p.w_strides[4] == p.columns:
        if p.w_strides[2] == taps:
            lay_out(w, p, &kernels, block, p.inputs.count * taps, at, packed, p.lanes)
            return
        for c in range(p.inputs.count):
            lay_out(w + c * p.w_strides[2], p, &kernels, block, taps, at + c * taps, packed,
                    p.lanes)
        return
    w += block * p.turns * p.w_strides[0]
    for q in range(p.outputs.vectors * p.lanes):
        k = q // p.lanes * p.outputs.each + q % p.lanes // p.turns
        g = q % p.turns
        for c in range(p.inputs.count):
            for r in range(p.rows):
                for s in range(p.columns):
                    to = packed + at[c * taps + r * p.columns + s] + q
                    to[0] = 0
                    if k < p.outputs.count and block * p.turns + g < p.groups:
                        to[0] = w[g * p.w_strides[0] + k * p.w_strides[1] + c * p.w_strides[2]
                                  + r * p.w_strides[4] + s * p.w_strides[5]]


cdef void weights_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Context* c = <const Context*>context
    if c.itemsize == sizeof(float):
        pack_weights(<const float*>c.w, c, task)
    else:
        pack_weights(<const double*>c.w, c, task)


cdef class Correlation(Kernel):
    """The correlation, where the channels of groups fill the lanes.

    `depth`, `row` and `column` say what is correlated on each axis, as in
    depthwise/correlation.pyx. The channels of `turns` groups share a vector.
    """

    cdef const Py_ssize_t[::1] depth, row, column
    cdef Py_ssize_t turns
    cdef Plan kept
    cdef Py_ssize_t units

    def __init__(self, depth, row, column, Py_ssize_t turns):
        self.depth, self.row, self.column, self.turns = depth, row, column, turns

    cdef int worth_threads(self, const Layout* layout) noexcept:
        cdef const Py_ssize_t* y = layout.y.shape
        cdef Py_ssize_t rows = make_axis(layout.x.shape[4], y[4], &self.row[0]).taps
        cdef Py_ssize_t columns = make_axis(layout.x.shape[5], y[5], &self.column[0]).taps
        return threads_for(<double>y[0] * y[1] * y[2] * y[4] * y[5] * layout.x.shape[2]
                           * rows * columns)

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Plan* p = &self.kept
        take_shapes(p, layout.x.shape, layout.x.strides, layout.w.shape, layout.w.strides,
                    layout.y.shape, layout.y.strides, layout.itemsize, self.turns, &self.row[0],
                    &self.column[0])
        size_blocks(p, layout.itemsize, threads)
        self.units = p.blocks * p.sample_blocks * p.line_blocks
        self.team = min(<Py_ssize_t>threads, self.units)
        return p.threads_at + self.team * p.thread_bytes

    cdef int compute(self, const Operands* o, size_t bytes) except -1:
        cdef Plan p = self.kept
        cdef Py_ssize_t units = self.units
        cdef int team = self.team
        cdef char* shared = <char*>take(bytes)
        cdef Context context
        cdef Loop[3] loops
        record("channels in the lanes", self.largest[0], self.largest[1])
        fill_positions(&p, <Py_ssize_t*>(shared + p.at_at))
        list_lines(&p, <Line*>(shared + p.lines_at))
        list_tiles(&p, o.layout.itemsize, <Tile*>(shared + p.tiles_at))
        list_taps(&p, <Py_ssize_t*>(shared + p.taps_at), <Py_ssize_t*>(shared + p.steps_at))
        list_channels(&p, <Py_ssize_t*>(shared + p.channel_at))
        context.plan, context.itemsize, context.shared = &p, o.layout.itemsize, shared
        context.x, context.w, context.y, context.has_bias = o.x, o.w, o.y, o.bias is not NULL
        if context.has_bias and context.itemsize == sizeof(float):
            fill_bias(<const float*>o.bias, o.bias_group, o.bias_row, &p,
                      <float*>(shared + p.bias_at))
        elif context.has_bias:
            fill_bias(<const double*>o.bias, o.bias_group, o.bias_row, &p,
                      <double*>(shared + p.bias_at))
        loops[0] = make_phase(clear_task, &context, team, EVEN)
        loops[1] = make_phase(weights_task, &context, p.blocks, EVEN)
        loops[2] = make_phase(unit_task, &context, units, 0)
        with nogil:
            parallel_phases(team, loops, 3)
        give(shared)
        return 0
