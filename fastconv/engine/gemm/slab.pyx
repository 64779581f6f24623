# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The kernels that call this have fixed all borders.
"""The input of a convolution as the engine reads it: windows, slabs and panels.

The output's rows, of all samples and depths, are *lines*, numbered in order: line = (n * OD + od)
* OH + oh. What a block of lines and columns needs of the input is copied into a slab, with the
zeros of the padding in place, and with the rows and columns of a stride separated by phase:

    slab[c, t][row phase][column phase][rows][width]

There, every tap of the kernel is one constant shift from the position of its pixel, for all the
pixels of the block, whatever the stride, the dilation and the padding:

    x at the window of pixel p, tap (c, t, r, s)  =  slab[position(p) + shift(c, t, r, s)]

The rows of one sample and depth follow each other with those that only the lower taps reach; then
come those of the next. Where no window needs a zero and the stride of the columns is 1, the same
holds for the input itself, in place, without a slab. With a stride there, pixels are no neighbours
in place: that is for those who copy them anyway.
"""

from fastconv.engine.base.axis cimport ceil_div, window_axis
from fastconv.engine.base.isa cimport isa_row

cdef extern from "gemm/copy.h" nogil:
    ctypedef struct Piece "fastconv_piece":
        Py_ssize_t at, rows, width, plane, hop, step, stride, size
        Py_ssize_t channel, target_channel
    ctypedef struct Plane "fastconv_plane":
        Py_ssize_t at, first, low, high
    # Macros that choose by the type of the source; copy_types.h says what the arguments are.
    void copy_row_loop "fastconv_copy_row"(int isa, ...) noexcept
    void copy_planes "fastconv_copy_planes"(int isa, ...) noexcept
    void pack_columns_loop "fastconv_pack_columns"(int isa, ...) noexcept
    void pack_panels_loop "fastconv_pack_panels"(int isa, ...) noexcept
    void pack_rows_loop "fastconv_pack_rows"(int isa, ...) noexcept
    void transpose_loop "fastconv_transpose"(int isa, ...) noexcept
    void transpose_rows_loop "fastconv_transpose_rows"(int isa, ...) noexcept
    void store_pixels_loop "fastconv_store_pixels"(int isa, ...) noexcept
    void pack_taps_loop "fastconv_pack_taps"(int isa, ...) noexcept
    void add_vectors_loop "fastconv_add_vectors"(int isa, ...) noexcept
    void join_columns_loop "fastconv_join_columns"(int isa, ...) noexcept

cdef int ISA = isa_row()

# Planes of a piece that are copied at once.
cdef enum:
    MAX_PLANES = 16

# Bytes of a row of A in one block of channels: with eight of them in the first-level cache, the
# longest sums for which B still streams past.
cdef Py_ssize_t ROW_BYTES = 2304


cdef void pack_columns(const floating* source, const Py_ssize_t* at, Py_ssize_t steps,
                       const Run* runs, Py_ssize_t n_runs, bint overrun, Py_ssize_t width,
                       floating* panels) noexcept nogil:
    """Write for each step, `width` apart, the runs of source + at[step] to their places."""
    pack_columns_loop(ISA, source, at, steps, runs, n_runs, overrun, width, panels)


cdef void pack_panels(const floating* source, const Py_ssize_t* at, Py_ssize_t steps,
                      Py_ssize_t panels, Py_ssize_t height, Py_ssize_t panel_step,
                      floating* packed) noexcept nogil:
    """Write for each panel and step the numbers source[panel * height + at[step] + i]; i < height.

    Panels are `panel_step` apart, their steps `height`.
    """
    pack_panels_loop(ISA, source, at, steps, panels, height, panel_step, packed)


cdef void pack_rows(const floating* source, Py_ssize_t row, Py_ssize_t rows,
                    const Py_ssize_t* at, Py_ssize_t steps, Py_ssize_t height,
                    floating* panel) noexcept nogil:
    """Write for each step, `height` apart, the numbers source[at[step] + i * row]; i < rows."""
    pack_rows_loop(ISA, source, row, rows, at, steps, height, panel)


cdef void transpose(const floating* source, Py_ssize_t source_row, Py_ssize_t rows,
                    Py_ssize_t columns, floating* target, Py_ssize_t target_row) noexcept nogil:
    """Write target[j * target_row + i] = source[i * source_row + j]; i < rows, j < columns."""
    transpose_loop(ISA, source, source_row, rows, columns, target, target_row)


cdef void transpose_rows(const floating* source, const Py_ssize_t* at, Py_ssize_t rows,
                         Py_ssize_t columns, floating* target,
                         Py_ssize_t target_row) noexcept nogil:
    """Write target[j * target_row + i] = source[at[i] + j]; i < rows, j < columns.

    Rows are read, and columns and rows are written, in whole vectors.
    """
    transpose_rows_loop(ISA, source, at, rows, columns, target, target_row)


cdef void store_pixels(const floating* source, Py_ssize_t source_row, Py_ssize_t pixels,
                       Py_ssize_t channels, const floating* bias, floating* target,
                       Py_ssize_t target_row, Py_ssize_t step,
                       const Ending* ending) noexcept nogil:
    """Write target[j * target_row + i * step] = source[i * source_row + j] + bias[j].

    For i < pixels, j < channels; `bias` and what ends them may be NULL. Source and bias hold whole
    vectors.
    """
    store_pixels_loop(ISA, source, source_row, pixels, channels, bias, target, target_row, step,
                      ending)


cdef void pack_taps(const floating* source, Py_ssize_t row, Py_ssize_t steps,
                    Py_ssize_t channels, Py_ssize_t taps, floating* panels) noexcept nogil:
    """Write for each step, `row` apart, a vector of the channels for each tap, in pairs of taps."""
    pack_taps_loop(ISA, source, row, steps, channels, taps, panels)


cdef void add_vectors(const floating* source, const Py_ssize_t* at, Py_ssize_t count,
                      floating* target) noexcept nogil:
    """Add each vector of the source to target + at[i]; a place less than 0 is none."""
    add_vectors_loop(ISA, source, at, count, target)


cdef void join_columns(const floating* source, Py_ssize_t row, Py_ssize_t columns,
                       const Run* runs, Py_ssize_t n_runs, floating* target) noexcept nogil:
    """Write for each run target[at + (i * columns + s) * step] = source[s * row + first + i].

    For i < count, s < columns. Up to a vector is read past the runs' ends.
    """
    join_columns_loop(ISA, source, row, columns, runs, n_runs, target)


cdef void copy_row(const floating* source, Py_ssize_t step, Py_ssize_t count,
                   floating* target) noexcept nogil:
    """Write target[j] = source[j * step] for j < count."""
    copy_row_loop(ISA, source, step, count, target)


cdef Axis make_axis(const Layout* layout, int number, tuple stride, tuple before, tuple dilation):
    cdef int axis = 3 + number
    return window_axis(layout.x.shape[axis], layout.y.shape[axis], layout.w.shape[axis],
                       stride[number], before[number], dilation[number])


cdef bint inside(const Axis* axis) noexcept nogil:
    """Tell whether every window lies in the input."""
    return (axis.before <= 0
            and (axis.out - 1) * axis.stride + axis.reach - axis.before < axis.size)


cdef Windows make_windows(const Layout* layout, tuple stride, tuple before, tuple dilation):
    """Return the windows of the kernels in the input."""
    cdef Windows windows
    windows.depth = make_axis(layout, 0, stride, before, dilation)
    windows.row = make_axis(layout, 1, stride, before, dilation)
    windows.column = make_axis(layout, 2, stride, before, dilation)
    in_elements(&layout.x, layout.itemsize, windows.strides)
    in_elements(&layout.y, layout.itemsize, windows.outs)
    windows.channels = layout.x.shape[2]
    windows.taps = windows.depth.taps * windows.row.taps * windows.column.taps
    windows.lines = layout.y.shape[0] * windows.depth.out * windows.row.out
    windows.inside = (windows.strides[5] == 1 and inside(&windows.depth)
                      and inside(&windows.row) and inside(&windows.column))
    windows.in_place = windows.inside and windows.column.stride == 1
    return windows


cdef Py_ssize_t slab_planes(const Windows* windows) noexcept nogil:
    """Return the number of planes of one channel."""
    return windows.depth.taps * windows.row.parts * windows.column.parts


cdef double slab_bytes(const Windows* windows, Py_ssize_t columns, Py_ssize_t size) except -1:
    """Return the bytes of a slab of one line and so many columns, `size` for each position.

    Raises
    ------
    MemoryError
        If they are far too many: a window may span more cells than an integer can count.
    """
    cdef double number = <double>slab_planes(windows) * size * (1.0 + windows.row.part_reach) * (
        columns + <double>windows.column.part_reach)
    if number > 1e15:
        raise MemoryError("the padded input of a few outputs does not fit in memory")
    return number


cdef Py_ssize_t block_steps(Py_ssize_t itemsize) noexcept nogil:
    """Return the most steps that are summed at once, where a channel has no more."""
    return ROW_BYTES // itemsize


cdef Py_ssize_t block_channels(const Windows* windows, Py_ssize_t itemsize) noexcept nogil:
    """Return the channels whose steps are summed at once: the PC borders of a correlation."""
    cdef Py_ssize_t channels = max(block_steps(itemsize) // windows.taps, 1)
    return ceil_div(windows.channels, ceil_div(windows.channels, channels))


cdef Slab make_slab(const Windows* windows, Py_ssize_t lines, Py_ssize_t columns) noexcept nogil:
    """Return a slab that is wide enough for any so many neighbouring lines and columns."""
    cdef Slab slab
    # Lines of one sample and depth share the rows below the last of them; the worst block begins
    # with a last line.
    cdef Py_ssize_t pieces = min((lines - 2 + windows.row.out) // windows.row.out + 1,
                                 windows.lines // windows.row.out)
    slab.block = make_block(windows, columns, 0, 0, lines * columns)
    slab.width = columns + windows.column.part_reach
    slab.plane = (lines + min(pieces, lines) * windows.row.part_reach) * slab.width
    return slab


cdef Block make_block(const Windows* windows, Py_ssize_t columns, Py_ssize_t column,
                      Py_ssize_t pixel, Py_ssize_t end) noexcept nogil:
    """Return the block of these pixels of a column block; past its last pixel there are none."""
    cdef Block block
    cdef Py_ssize_t pixels = windows.lines * columns
    block.column, block.columns = column, columns
    block.pixel, block.end = min(pixel, pixels), min(end, pixels)
    block.line = block.pixel // columns
    block.lines = ceil_div(block.end, columns) - block.line
    return block


cdef Walk start_walk(const Windows* windows, const Slab* slab) noexcept nogil:
    """Return a walk over the pixels of a slab's block."""
    cdef Walk walk
    cdef const Block* block = &slab.block
    cdef Py_ssize_t above = block.line // windows.row.out, n = above // windows.depth.out
    walk.windows, walk.slab = windows, slab
    walk.left = block.end - block.pixel
    walk.column = block.pixel - block.line * block.columns
    walk.oh = block.line - above * windows.row.out
    walk.od = above - n * windows.depth.out
    walk.out = (n * windows.outs[0] + walk.od * windows.outs[3] + walk.oh * windows.outs[4]
                + (block.column + walk.column) * windows.outs[5])
    walk.hop = windows.column.stride if windows.in_place else 1
    walk.at = walk.column * walk.hop
    if windows.in_place:
        walk.at += (n * windows.strides[0]
                    + (walk.od * windows.depth.stride - windows.depth.before) * windows.strides[3]
                    + (walk.oh * windows.row.stride - windows.row.before) * windows.strides[4]
                    + block.column * walk.hop - windows.column.before)
    return walk


cdef Py_ssize_t next_pixels(Walk* walk, Py_ssize_t most) noexcept nogil:
    """Pass the next pixels of a line, at most so many; return their number.

    No division, as this is done for each row of each block.
    """
    cdef const Windows* windows = walk.windows
    cdef Py_ssize_t columns = walk.slab.block.columns
    cdef Py_ssize_t number = min(min(columns - walk.column, walk.left), most)
    walk.left -= number
    walk.column += number
    walk.at += number * walk.hop
    walk.out += number * windows.outs[5]
    if walk.column < columns:
        return number
    walk.column = 0
    walk.oh += 1
    walk.at += (windows.row.stride * windows.strides[4] if windows.in_place
                else walk.slab.width) - columns * walk.hop
    walk.out += windows.outs[4] - columns * windows.outs[5]
    if walk.oh < windows.row.out:
        return number
    walk.oh = 0
    walk.od += 1
    walk.out += windows.outs[3] - windows.row.out * windows.outs[4]
    if windows.in_place:
        walk.at += (windows.depth.stride * windows.strides[3]
                    - windows.row.out * windows.row.stride * windows.strides[4])
    else:
        walk.at += windows.row.part_reach * walk.slab.width
    if walk.od < windows.depth.out:
        return number
    walk.od = 0
    walk.out += windows.outs[0] - windows.depth.out * windows.outs[3]
    if windows.in_place:
        walk.at += (windows.strides[0]
                    - windows.depth.out * windows.depth.stride * windows.strides[3])
    return number


cdef Py_ssize_t add_run(Run* runs, Py_ssize_t count, Py_ssize_t first, Py_ssize_t number,
                        Py_ssize_t at, Py_ssize_t step) noexcept nogil:
    """Append a run, or make the last one longer where it goes on; return the new count."""
    cdef Run* last = runs + count - 1
    if (count and last.first + last.count == first
            and last.at + last.count * step == at):
        last.count += number
        return count
    last += 1
    last.first, last.count, last.at, last.step = first, number, at, step
    return count + 1


cdef void fill_shifts(const Windows* windows, const Slab* slab, Py_ssize_t channels,
                      Py_ssize_t* shifts) noexcept nogil:
    """Write the shift of each step (c, t, r, s)."""
    cdef Py_ssize_t t, r, s, step = 0, hop
    cdef Py_ssize_t phases = windows.row.parts * windows.column.parts
    for t in range(windows.depth.taps):
        for r in range(windows.row.taps):
            for s in range(windows.column.taps):
                if windows.in_place:
                    shifts[step] = (t * windows.depth.dilation * windows.strides[3]
                                    + r * windows.row.dilation * windows.strides[4]
                                    + s * windows.column.dilation)
                else:
                    shifts[step] = (
                        (t * phases + (r % windows.row.parts) * windows.column.parts
                         + s % windows.column.parts) * slab.plane
                        + r * windows.row.dilation // windows.row.stride * slab.width
                        + s * windows.column.dilation // windows.column.stride)
                step += 1
    # The other channels are as the first: no more divisions, which took longer than small products.
    hop = windows.strides[2] if windows.in_place else windows.depth.taps * phases * slab.plane
    for step in range(windows.taps, channels * windows.taps):
        shifts[step] = shifts[step - windows.taps] + hop


cdef bint steps_are_neighbours(const Py_ssize_t* shape, const Py_ssize_t* strides) noexcept nogil:
    """Tell whether the axes (C, T, R, S) of weights are neighbours in memory."""
    cdef Py_ssize_t i, hop = 1
    for i in range(5, 1, -1):
        if shape[i] > 1 and strides[i] != hop:
            return False
        hop *= shape[i]
    return True


cdef void fill_offsets(const Windows* windows, const Py_ssize_t* strides, Py_ssize_t channels,
                       Py_ssize_t* at) noexcept nogil:
    """Write where each step of some channels lies in weights (G, K, C, T, R, S)."""
    cdef Py_ssize_t c, t, r, s, step = 0
    for c in range(channels):
        for t in range(windows.depth.taps):
            for r in range(windows.row.taps):
                for s in range(windows.column.taps):
                    at[step] = (c * strides[2] + t * strides[3] + r * strides[4]
                                + s * strides[5])
                    step += 1


cdef double busiest(const Split* split, int threads) noexcept nogil:
    """Return the share of a copy's work, in units, of the thread that has most to do."""
    cdef Py_ssize_t rounds = ceil_div(split_tasks(split), threads)
    return (<double>ceil_div(rounds * split.units, split.blocks)
            * ceil_div(split.panels, split.parts) / split.panels)


cdef double imbalance(const Split* split, int threads) noexcept nogil:
    """Return how much longer all threads take than if they had even shares."""
    return busiest(split, threads) * threads / (split.copies * split.units)


cdef Split make_split(Py_ssize_t copies, Py_ssize_t units, Py_ssize_t blocks, Py_ssize_t panels,
                      int threads, double parted=0, double part=0.1, double alone=1) noexcept nogil:
    """Cut the work into blocks, at least so many, and parts: the cheapest numbers.

    That is: the time of the thread that has most to do. Each further part makes its block once
    more, which takes `part` of the time of the block's products, and with several parts all takes
    `parted` of it more. A unit that is a block by itself takes `alone` times as long as beside
    others, whose tiles are wider.
    """
    cdef Split split, best
    cdef double cost, least = 1e300
    cdef Py_ssize_t most = min(<Py_ssize_t>threads, panels)
    split.copies, split.units, split.panels = copies, units, panels
    split.blocks, split.parts = min(blocks, units), 1
    best = split
    for _ in range(2 * threads if split.blocks < 16 * threads else 1):
        for split.parts in range(1, most + 1):
            cost = busiest(&split, threads) * (1 + part * (split.parts - 1))
            if split.parts > 1:
                cost *= 1 + parted
            if split.blocks == units:
                cost *= alone
            if cost < least * 0.999:
                least, best = cost, split
        if split.blocks == units:
            break
        split.blocks += 1
    return best


cdef Share find_share(const Split* split, Py_ssize_t task) noexcept nogil:
    """Return what a task computes."""
    cdef Share share
    # Neighbouring tasks are different blocks, so that what is left of a block is shared, too.
    cdef Py_ssize_t block = task % split.blocks, part = task // split.blocks % split.parts
    share.copy = task // split.blocks // split.parts
    share.unit = even_share(block, split.units, split.blocks)
    share.past_unit = even_share(block + 1, split.units, split.blocks)
    share.panel = even_share(part, split.panels, split.parts)
    share.past_panel = even_share(part + 1, split.panels, split.parts)
    return share


cdef Py_ssize_t list_planes(const Windows* windows, const Slab* slab, Py_ssize_t first,
                            Plane* planes) noexcept nogil:
    """List some planes of a slab, from the first on; return their number."""
    cdef const Axis* column = &windows.column
    cdef Py_ssize_t i, left, low, high
    cdef Py_ssize_t count = min(<Py_ssize_t>MAX_PLANES,
                                windows.row.parts * column.parts - first)
    for i in range(count):
        planes[i].at = ((first + i) // column.parts * windows.row.dilation) % windows.row.stride
        # Every column.stride-th column from `left` on; those from `low` to `high` are inside.
        left = (slab.block.column * column.stride
                + ((first + i) % column.parts * column.dilation) % column.stride - column.before)
        low = min(ceil_div(-left, column.stride), slab.width) if left < 0 else 0
        high = min(ceil_div(column.size - left, column.stride), slab.width) if (
            column.size > left) else 0
        planes[i].low, planes[i].high = low, max(high, low)
        planes[i].first = (planes[i].at * windows.strides[4]
                           + (left + low * column.stride) * windows.strides[5])
    return count


cdef double copied_numbers(const Windows* windows, const Slab* slab,
                           Py_ssize_t channels) noexcept nogil:
    """Return how many numbers `fill_slab` writes."""
    cdef Py_ssize_t lines = slab.block.lines, out = windows.row.out
    cdef Py_ssize_t pieces = ceil_div(slab.block.line % out + lines, out)
    return (<double>channels * slab_planes(windows) * slab.width
            * (lines + pieces * windows.row.reach))


cdef void fill_slab(const floating* x, const Windows* windows, const Slab* slab,
                    Py_ssize_t channel, Py_ssize_t channels, floating* to) noexcept nogil:
    """Copy what the slab's lines need of some channels; `x` is the first of the group."""
    cdef Py_ssize_t phases = windows.row.parts * windows.column.parts
    cdef Py_ssize_t above = slab.block.line // windows.row.out
    cdef Py_ssize_t t, n, od, oh, ind, first, count, left
    cdef floating* piece_to
    cdef Piece piece
    cdef Plane planes[MAX_PLANES]
    x += channel * windows.strides[2]
    piece.width, piece.plane = slab.width, slab.plane
    piece.hop = windows.row.stride * windows.strides[4]
    piece.step = windows.column.stride * windows.strides[5]
    piece.stride, piece.channel = windows.row.stride, windows.strides[2]
    piece.target_channel = windows.depth.taps * phases * slab.plane
    for first from 0 <= first < phases by MAX_PLANES:
        count = list_planes(windows, slab, first, planes)
        n = above // windows.depth.out
        od = above - n * windows.depth.out
        oh = slab.block.line - above * windows.row.out
        left = slab.block.lines
        piece_to = to + first * slab.plane
        while left > 0:
            # A piece: the lines of one sample and depth.
            piece.rows = min(windows.row.out - oh, left)
            left -= piece.rows
            piece.rows += windows.row.part_reach
            piece.at = oh * windows.row.stride - windows.row.before
            for t in range(windows.depth.taps):
                ind = od * windows.depth.stride + t * windows.depth.dilation - windows.depth.before
                # Of a depth outside, no row is inside.
                piece.size = windows.row.size if 0 <= ind < windows.depth.size else 0
                copy_planes(ISA, x + n * windows.strides[0] + ind * windows.strides[3]
                            + piece.at * windows.strides[4], &piece, planes, count, channels,
                            piece_to + t * phases * slab.plane)
            piece_to += piece.rows * slab.width
            oh = 0
            od += 1
            if od == windows.depth.out:
                od = 0
                n += 1
