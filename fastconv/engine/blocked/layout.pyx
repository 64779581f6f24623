# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""Maps laid out as vectors of samples, groups or channels, and results written back.

    slab[vector][row][phase of the column][column][lane]

The package's docstring draws the lanes. Maps come and go through transposition in registers; where
each number of neighbouring rows goes is a list of positions. Columns are parted by phase of the
stride only where channels lie in the lanes: there a tile's pixels must be neighbours.
"""

from cython cimport floating

from libc.string cimport memset

from fastconv.engine.base.axis cimport Phase, Taps, ceil_div, make_axis, phase_count, taps_inside
from fastconv.engine.blocked.tiles cimport (
    CHANNELS, GROUPS, MAX_LANES, SAMPLES, gather, scatter, vector_lanes)
from fastconv.engine.gemm.slab cimport block_steps

# What a block of lines reads, and what it writes, with samples or groups in the lanes: together
# about half the second-level cache.
cdef Py_ssize_t SLAB_BYTES = 3 << 16
cdef Py_ssize_t OUT_BYTES = 1 << 17


cdef Lanes make_lanes(Py_ssize_t number, Py_ssize_t rows, Py_ssize_t together,
                      Py_ssize_t all_lanes) noexcept nogil:
    """Return vectors of so many samples, or groups; bands of rows share the lanes with them."""
    cdef Lanes lanes
    lanes.lanes, lanes.number, lanes.together, lanes.each = all_lanes, number, together, 1
    lanes.bands = all_lanes // together
    lanes.blocks = ceil_div(number, together)
    lanes.rows = ceil_div(rows, lanes.bands)
    return lanes


cdef Lanes share_lanes(Py_ssize_t batch, Py_ssize_t rows, double reach, Py_ssize_t most_bands,
                       Py_ssize_t itemsize) noexcept nogil:
    """Choose how many samples and bands of rows share a vector: the fewest rows to compute.

    `reach` is what a band reads beyond its own rows, weighed against computing a row.
    """
    cdef Py_ssize_t all_lanes = vector_lanes(itemsize), together = all_lanes
    cdef Lanes lanes, best = make_lanes(batch, rows, together, all_lanes)
    cdef double cost, least = 1e300
    while together and all_lanes // together <= most_bands:
        lanes = make_lanes(batch, rows, together, all_lanes)
        cost = lanes.blocks * (lanes.rows + reach)
        if cost < least:
            least, best = cost, lanes
        together //= 2
    return best


cdef class LaneKernel(Kernel):
    """A kernel for maps with few channels, no depth and contiguous planes; none may be empty.

    `row` and `column` say what is correlated on each axis (base/axis.pxd). `held` says what lies in
    the lanes, "samples", "groups" or "channels", and `together` how many samples, or groups, share
    a vector. With `by_columns` a correlation adds the taps in the order of
    depthwise/correlation.pyx, else in that of gemm/forward.pyx.
    """

    def __init__(self, row, column, str held, Py_ssize_t together, bint by_columns=False):
        self.row, self.column = row, column
        self.variant = f"{held} in the lanes"
        self.held = {"samples": SAMPLES, "groups": GROUPS, "channels": CHANNELS}[held]
        self.together, self.by_columns = together, by_columns

    cdef void lay_out(self, const Layout* layout, Plan* p) noexcept:
        """Begin the plan for arrays of this layout."""
        cdef const Py_ssize_t* x = layout.x.shape
        cdef const Py_ssize_t* w = layout.w.shape
        cdef Py_ssize_t i, itemsize = layout.itemsize
        cdef bint across = self.held != SAMPLES
        p.held = self.held
        p.row = make_axis(x[4], layout.y.shape[4], &self.row[0])
        p.column = make_axis(x[5], layout.y.shape[5], &self.column[0])
        p.groups = x[1 - across]
        p.inputs, p.outputs, p.kernel, p.columns = w[2], w[1], w[4] * w[5], w[5]
        for i in range(6):
            p.x_strides[i] = layout.x.strides[i ^ (across and i < 2)] // itemsize
            p.w_strides[i] = layout.w.strides[i] // itemsize
            p.y_strides[i] = layout.y.strides[i ^ (across and i < 2)] // itemsize
        p.lanes = make_lanes(x[across], p.row.count, self.together, vector_lanes(itemsize))
        p.parts = 1
        if p.held == CHANNELS:
            # Channels take the place of bands.
            p.lanes.each, p.lanes.bands, p.lanes.rows = p.lanes.bands, 1, p.row.count
            p.parts = p.column.stride
        p.in_vectors = ceil_div(p.inputs, p.lanes.each)
        p.out_vectors = ceil_div(p.outputs, p.lanes.each)
        p.left, p.width = max(p.column.before, 0), slab_width(&p.column)
        p.part = ceil_div(p.width, p.parts)
        p.slab_line, p.out_line = p.parts * p.part * p.lanes.lanes, p.column.out * p.lanes.lanes


cdef Py_ssize_t size_slab(Plan* p, Py_ssize_t lines) noexcept nogil:
    """Lay out a slab, and the output, of so many lines; return how many numbers both hold."""
    p.lines = lines
    p.slab_rows = (lines - 1) * p.row.stride + p.row.reach + 1
    p.slab_vector = p.slab_rows * p.slab_line
    p.slab_size = p.in_vectors * p.slab_vector
    p.out_vector = lines * p.row.step * p.out_line
    p.out_size = p.out_vectors * p.out_vector
    return p.slab_size + p.out_size


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


cdef void size_lines(Plan* p, Py_ssize_t itemsize, int threads) noexcept nogil:
    """Choose the lines of a block, with samples or groups in the lanes."""
    cdef Py_ssize_t in_row = p.inputs * p.slab_line * itemsize
    cdef Py_ssize_t out_row = p.outputs * p.row.step * p.out_line * itemsize
    p.lines = SLAB_BYTES // in_row - p.row.reach - 1
    p.lines = max(min(p.lines // p.row.stride + 1, OUT_BYTES // out_row), 1)
    cut_lines(p, threads)
    size_slab(p, p.lines)


cdef Rows input_rows(const Plan* p) noexcept nogil:
    """Return the rows of a slab, but for the first."""
    cdef Rows rows
    rows.size, rows.width = p.row.size, p.column.size
    rows.lane, rows.channel = p.x_strides[0], p.x_strides[2]
    rows.first, rows.hop, rows.count = 0, p.lanes.rows * p.row.stride, p.slab_rows
    # With one band, rows outside of the map are left out; those of several differ.
    rows.zeros = p.lanes.bands > 1
    rows.to_line, rows.to_vector = p.slab_line, p.slab_vector
    return rows


cdef Rows output_rows(const Plan* p) noexcept nogil:
    """Return the rows of a block of lines of the output, but for the first and their number."""
    cdef Rows rows
    rows.size, rows.width = p.row.out, p.column.out
    rows.lane, rows.channel = p.y_strides[0], p.y_strides[2]
    rows.first, rows.hop, rows.count = 0, p.lanes.rows * p.row.step, 0
    rows.zeros = False
    rows.to_line, rows.to_vector = p.out_line, p.out_vector
    return rows


cdef inline Py_ssize_t find_run(const floating* maps, const Lanes* lanes, Py_ssize_t block,
                                const Rows* rows, Py_ssize_t i, bint* some,
                                const floating** places) noexcept nogil:
    """Write where row number `i` of each lane begins, or NULL where it lies outside of the map.

    Returns for how many rows the same lanes have one, and tells whether there are some.
    """
    cdef Py_ssize_t run = rows.count - i, q = 0, band, row, n, e, _
    some[0] = False
    for band in range(lanes.bands):
        row = rows.first + band * rows.hop + i
        if row < 0:
            run = min(run, -row)
        elif row < rows.size:
            run, some[0] = min(run, rows.size - row), True
        for e in range(lanes.each):
            n = block * lanes.together
            for _ in range(lanes.together):
                if 0 <= row < rows.size and n < lanes.number:
                    places[q] = maps + n * rows.lane + e * rows.channel + row * rows.width
                else:
                    places[q] = NULL
                n += 1
                q += 1
    return run


cdef void gather_rows(const floating* x, const Lanes* lanes, Py_ssize_t block, const Rows* rows,
                      Py_ssize_t channels, const Py_ssize_t* at, floating* to) noexcept nogil:
    """Lay out the rows of some channels, for one block of samples or groups.

    `at` says where each number of neighbouring rows goes. Lanes that have nothing hold zeros.
    """
    cdef Py_ssize_t i = 0, run, v
    cdef bint some
    cdef const floating* places[MAX_LANES]
    cdef const floating* source[MAX_LANES]
    while i < rows.count:
        run = find_run(x, lanes, block, rows, i, &some, places)
        for v in range(ceil_div(channels, lanes.each) if some or rows.zeros else 0):
            move_lanes(places, filled_lanes(lanes, channels, v), v * lanes.each * rows.channel,
                       source)
            gather(source, run * rows.width, at, to + v * rows.to_vector + i * rows.to_line)
        i += run


cdef double gathered(const Lanes* lanes, const Rows* rows, Py_ssize_t channels) noexcept nogil:
    """Return how many numbers `gather_rows` writes."""
    cdef Py_ssize_t count = rows.count
    if not rows.zeros:
        count = max(min(rows.first + count, rows.size) - max(rows.first, 0), 0)
    return <double>ceil_div(channels, lanes.each) * lanes.lanes * count * rows.width


cdef inline Py_ssize_t filled_lanes(const Lanes* lanes, Py_ssize_t channels,
                                    Py_ssize_t vector) noexcept nogil:
    """Return how many lanes of a vector have a channel, of so many in all."""
    return min(lanes.lanes, (channels - vector * lanes.each) * lanes.together * lanes.bands)


cdef void find_kernels(const floating* w, const Plan* p, const Py_ssize_t* strides,
                       Py_ssize_t block, Py_ssize_t vector,
                       const floating** kernels) noexcept nogil:
    """Write where the kernels of a vector's groups and output channels begin, or NULL."""
    cdef Py_ssize_t q = 0, k, n
    w += block * p.lanes.together * strides[0]
    for k in range(vector * p.lanes.each, (vector + 1) * p.lanes.each):
        for n in range(p.lanes.together):
            if k < p.outputs and block * p.lanes.together + n < p.lanes.number:
                kernels[q] = w + n * strides[0] + k * strides[1]
            else:
                kernels[q] = NULL
            q += 1


cdef void scatter_rows(const floating* out, const Plan* p, Py_ssize_t g, Py_ssize_t block,
                       Py_ssize_t line, const floating* bias, const Ending* ending,
                       floating* y) noexcept nogil:
    """Write what the lanes hold of a block of lines, which begins with `line` of each band."""
    cdef const Lanes* lanes = &p.lanes
    cdef Py_ssize_t i = 0, run, v
    cdef bint some
    cdef const floating* places[MAX_LANES]
    cdef const floating* target[MAX_LANES]
    cdef Rows rows = output_rows(p)
    rows.first = line * p.row.step
    rows.count = min(p.lines, lanes.rows - line) * p.row.step
    while i < rows.count:
        run = find_run(<const floating*>y + g * p.y_strides[1], lanes, block, &rows, i, &some,
                       places)
        for v in range(ceil_div(p.outputs, lanes.each) if some else 0):
            move_lanes(places, filled_lanes(lanes, p.outputs, v), v * lanes.each * rows.channel,
                       target)
            scatter(out + v * rows.to_vector + i * rows.to_line, run * rows.width,
                    bias + v * lanes.lanes if bias is not NULL else NULL, ending,
                    <floating**>target)
        i += run


cdef void clear_columns(const Plan* p, Py_ssize_t slabs, floating* slab) noexcept nogil:
    """Write the zeros on either side of the map, which stay for all units."""
    cdef Py_ssize_t part, first, past, right = p.left + p.column.size, _
    cdef size_t size = p.lanes.lanes * sizeof(floating)
    for _ in range(slabs * p.in_vectors * p.slab_rows):
        for part in range(p.parts):
            # Columns of this phase before the map, and up to its end.
            first, past = ceil_div(p.left - part, p.parts), ceil_div(right - part, p.parts)
            memset(slab, 0, first * size)
            memset(slab + past * p.lanes.lanes, 0, (p.part - past) * size)
            slab += p.part * p.lanes.lanes


cdef void fill_positions(Py_ssize_t rows, Py_ssize_t width, Py_ssize_t left, Py_ssize_t line,
                         Py_ssize_t lanes, Py_ssize_t* at) noexcept nogil:
    """Write where each number of neighbouring rows goes: `line` is a row, in elements."""
    cdef Py_ssize_t i, j
    for i in range(rows):
        for j in range(width):
            at[i * width + j] = i * line + (left + j) * lanes


cdef void list_positions(const Plan* p, Py_ssize_t* at) noexcept nogil:
    """Write where each number of neighbouring rows of the map goes in the slab."""
    cdef Py_ssize_t i, j
    for j in range(p.column.size):
        at[j] = column_place(p, p.left + j)
    for i in range(p.column.size, p.slab_rows * p.column.size):
        at[i] = at[i - p.column.size] + p.slab_line


cdef void list_lines(const Plan* p, Taps* lines) noexcept nogil:
    """Write which taps each row of the output has: divisions cost more than a short row."""
    cdef Py_ssize_t i, m, place, hop = (p.lanes.bands - 1) * p.lanes.rows * p.row.stride
    cdef const Phase* row
    for i in range(p.row.phases):
        row = p.row.phase + i
        for m in range(phase_count(&p.row, row)):
            # Taps that lie outside of the map for every band are left out.
            place = m * p.row.stride - row.before
            lines[row.first + m * p.row.step] = taps_inside(&p.row, row.taps, place, place + hop)


cdef Py_ssize_t count_tiles(Plan* p) noexcept nogil:
    """Count the tiles of at most `p.pixels` in a row; return the pixels of the widest."""
    cdef Py_ssize_t i, count, number, widest = 0
    p.tiles = 0
    for i in range(p.column.phases):
        count = phase_count(&p.column, p.column.phase + i)
        number = ceil_div(count, p.pixels)
        widest = max(widest, ceil_div(count, max(number, 1)))
        p.tiles += number
    return widest


cdef void list_tiles(const Plan* p, Tile* tile) noexcept nogil:
    """Cut a row of the output into tiles, phase by phase."""
    cdef Py_ssize_t i, j, first, past, place, number, count, before = 0
    cdef Taps taps
    cdef const Phase* column
    for i in range(p.column.phases):
        column = p.column.phase + i
        count = phase_count(&p.column, column)
        number = ceil_div(count, p.pixels)
        for j in range(number):
            first, past = j * count // number, (j + 1) * count // number
            tile.pixels = past - first
            tile.out_at = (column.first + first * p.column.step) * p.lanes.lanes
            if p.held == CHANNELS:
                tile.taps, tile.before, tile.x_at = column.taps, before, first * p.lanes.lanes
            else:
                # Taps that lie beside the map for every pixel are left out.
                place = first * p.column.stride - column.before
                taps = taps_inside(&p.column, column.taps, place,
                                   place + (past - first - 1) * p.column.stride)
                tile.taps, tile.tap_hop = taps.count, column.tap_step * p.w_strides[5]
                tile.w_at = (column.tap_first + taps.first * column.tap_step) * p.w_strides[5]
                tile.x_at = (p.left + place + taps.first * p.column.dilation) * p.lanes.lanes
            tile += 1
        before += column.taps


cdef void list_taps(const Plan* p, Py_ssize_t* tap_at, Py_ssize_t* steps) noexcept nogil:
    """Write where each tap lies in a slab, and each step (c, r, s) in the packed weights.

    Phase by phase, of rows and of columns; those of a phase side by side, channel by channel. What
    no phase has lies after all others.
    """
    cdef Py_ssize_t i, j, c, r, s, step, listed = 0
    cdef Py_ssize_t width = p.out_vectors * p.lanes.lanes
    cdef const Phase* row
    cdef const Phase* column
    for step in range(p.inputs * p.kernel):
        steps[step] = p.inputs * p.kernel * width
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
                    for c in range(p.inputs):
                        steps[c * p.kernel + step] = width * (
                            listed * p.inputs + c * row.taps * column.taps
                            + r * column.taps + s)
            listed += row.taps * column.taps
    # The tiles look at one more.
    tap_at[listed] = 0


cdef void fill_bias(const floating* bias, const Operands* o, const Plan* p,
                    floating* to) noexcept nogil:
    """Write the bias, if there is one, of the lanes of each group, or block of groups.

    Lanes that have no channel get that of another.
    """
    cdef Py_ssize_t i, k, n, g, _, last = p.lanes.number - 1
    if bias is NULL:
        return
    for i in range(p.groups if p.held == SAMPLES else p.lanes.blocks):
        # Whole vectors.
        for k in range(ceil_div(p.outputs, p.lanes.each) * p.lanes.each):
            for _ in range(p.lanes.bands):
                for n in range(p.lanes.together):
                    g = i if p.held == SAMPLES else min(i * p.lanes.together + n, last)
                    to[0] = bias[g * o.bias_group + min(k, p.outputs - 1) * o.bias_row]
                    to += 1


def shared_lanes(Py_ssize_t batch, Py_ssize_t rows, double reach, Py_ssize_t itemsize):
    """Return how many samples, and bands of rows, share a vector: see `share_lanes`."""
    cdef Lanes lanes = share_lanes(batch, rows, reach, MAX_LANES, itemsize)
    return lanes.together, lanes.bands


def axis_extent(Py_ssize_t size, Py_ssize_t out, const Py_ssize_t[::1] numbers):
    """Return the outputs of the longest phase of an axis, its reach, and the width of a slab."""
    cdef Axis axis = make_axis(size, out, &numbers[0])
    return axis.count, axis.reach, slab_width(&axis)


def most_steps(Py_ssize_t itemsize):
    """Return the longest sum, input channels times taps, that the engine does not cut."""
    return block_steps(itemsize)
