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
holds for the input itself, in place, without a slab.
"""

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
    void pack_rows_loop "fastconv_pack_rows"(int isa, ...) noexcept
    void transpose_loop "fastconv_transpose"(int isa, ...) noexcept
    void transpose_rows_loop "fastconv_transpose_rows"(int isa, ...) noexcept
    void store_pixels_loop "fastconv_store_pixels"(int isa, ...) noexcept
    void pack_taps_loop "fastconv_pack_taps"(int isa, ...) noexcept
    void add_vectors_loop "fastconv_add_vectors"(int isa, ...) noexcept

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
                       Py_ssize_t target_row, Py_ssize_t step) noexcept nogil:
    """Write target[j * target_row + i * step] = source[i * source_row + j] + bias[j].

    For i < pixels, j < channels; `bias` may be NULL. Source and bias hold whole vectors.
    """
    store_pixels_loop(ISA, source, source_row, pixels, channels, bias, target, target_row, step)


cdef void pack_taps(const floating* source, Py_ssize_t row, Py_ssize_t steps,
                    Py_ssize_t channels, Py_ssize_t taps, floating* panels) noexcept nogil:
    """Write for each step, `row` apart, a vector of the channels for each tap, in pairs of taps."""
    pack_taps_loop(ISA, source, row, steps, channels, taps, panels)


cdef void add_vectors(const floating* source, const Py_ssize_t* at, Py_ssize_t count,
                      floating* target) noexcept nogil:
    """Add each vector of the source to target + at[i]; a place less than 0 is none."""
    add_vectors_loop(ISA, source, at, count, target)


cdef void copy_row(const floating* source, Py_ssize_t step, Py_ssize_t count,
                   floating* target) noexcept nogil:
    """Write target[j] = source[j * step] for j < count."""
    copy_row_loop(ISA, source, step, count, target)


cdef Axis make_axis(Py_ssize_t size, Py_ssize_t out, Py_ssize_t taps, Py_ssize_t stride,
                    Py_ssize_t before, Py_ssize_t dilation) noexcept nogil:
    cdef Axis axis
    cdef Py_ssize_t tap = 1
    axis.size = size
    axis.out = out
    axis.taps = taps
    axis.stride = stride
    axis.before = before
    axis.dilation = dilation
    # The phases (tap * dilation) % stride repeat once one comes back to zero.
    while tap < taps and (tap * dilation) % stride:
        tap += 1
    axis.phases = tap
    axis.reach = (taps - 1) * dilation // stride
    return axis


cdef bint inside(const Axis* axis) noexcept nogil:
    """Tell whether every window lies in the input."""
    return (axis.before <= 0
            and (axis.out - 1) * axis.stride + (axis.taps - 1) * axis.dilation - axis.before
            < axis.size)


cdef Windows make_windows(const Py_ssize_t* shape, const Py_ssize_t* strides,
                          const Py_ssize_t* kernel, const Py_ssize_t* out, Py_ssize_t itemsize,
                          tuple stride, tuple before, tuple dilation):
    """Return the windows of a kernel (T, R, S) in an input (N, G, C, D, H, W)."""
    cdef Windows windows
    cdef Py_ssize_t i
    windows.depth = make_axis(shape[3], out[0], kernel[0], stride[0], before[0], dilation[0])
    windows.row = make_axis(shape[4], out[1], kernel[1], stride[1], before[1], dilation[1])
    windows.column = make_axis(shape[5], out[2], kernel[2], stride[2], before[2], dilation[2])
    for i in range(6):
        windows.strides[i] = strides[i] // itemsize
    windows.channels = shape[2]
    windows.taps = kernel[0] * kernel[1] * kernel[2]
    windows.lines = shape[0] * out[0] * out[1]
    windows.in_place = (windows.column.stride == 1 and windows.strides[5] == 1
                        and inside(&windows.depth) and inside(&windows.row)
                        and inside(&windows.column))
    return windows


cdef Py_ssize_t slab_planes(const Windows* windows) noexcept nogil:
    """Return the number of planes of one channel."""
    return windows.depth.taps * windows.row.phases * windows.column.phases


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
    slab.line = slab.column = 0
    slab.lines = lines
    slab.width = columns + windows.column.reach
    slab.plane = (lines + min(pieces, lines) * windows.row.reach) * slab.width
    return slab


cdef Cursor first_line(const Windows* windows, const Slab* slab, const Py_ssize_t* strides,
                       Py_ssize_t line) noexcept nogil:
    """Return the cursor of a line, for an output (N, G, K, D, H, W) of these strides."""
    cdef Cursor cursor
    cdef Py_ssize_t above = line // windows.row.out, n = above // windows.depth.out
    cursor.oh = line - above * windows.row.out
    cursor.od = above - n * windows.depth.out
    cursor.out = (n * strides[0] + cursor.od * strides[3] + cursor.oh * strides[4]
                  + slab.column * strides[5])
    if windows.in_place:
        cursor.at = (n * windows.strides[0]
                     + (cursor.od * windows.depth.stride - windows.depth.before)
                     * windows.strides[3]
                     + (cursor.oh * windows.row.stride - windows.row.before) * windows.strides[4]
                     + slab.column - windows.column.before)
    else:
        cursor.at = (line - slab.line
                     + (above - slab.line // windows.row.out) * windows.row.reach) * slab.width
    return cursor


cdef void next_line(const Windows* windows, const Slab* slab, const Py_ssize_t* strides,
                    Cursor* cursor) noexcept nogil:
    """Move to the next line: no division, as this is done for each row of each block."""
    cursor.oh += 1
    cursor.out += strides[4]
    if windows.in_place:
        cursor.at += windows.row.stride * windows.strides[4]
    else:
        cursor.at += slab.width
    if cursor.oh < windows.row.out:
        return
    cursor.oh = 0
    cursor.od += 1
    cursor.out += strides[3] - windows.row.out * strides[4]
    if windows.in_place:
        cursor.at += (windows.depth.stride * windows.strides[3]
                      - windows.row.out * windows.row.stride * windows.strides[4])
    else:
        cursor.at += windows.row.reach * slab.width
    if cursor.od < windows.depth.out:
        return
    cursor.od = 0
    cursor.out += strides[0] - windows.depth.out * strides[3]
    if windows.in_place:
        cursor.at += (windows.strides[0]
                      - windows.depth.out * windows.depth.stride * windows.strides[3])


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
    cdef Py_ssize_t phases = windows.row.phases * windows.column.phases
    for t in range(windows.depth.taps):
        for r in range(windows.row.taps):
            for s in range(windows.column.taps):
                if windows.in_place:
                    shifts[step] = (t * windows.depth.dilation * windows.strides[3]
                                    + r * windows.row.dilation * windows.strides[4]
                                    + s * windows.column.dilation)
                else:
                    shifts[step] = (
                        (t * phases + (r % windows.row.phases) * windows.column.phases
                         + s % windows.column.phases) * slab.plane
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


cdef Py_ssize_t split_blocks(Py_ssize_t copies, Py_ssize_t units, Py_ssize_t blocks,
                             Py_ssize_t panels, int threads, Py_ssize_t* parts) noexcept nogil:
    """Return how many blocks, at least so many, to cut the units into, and the parts of each.

    Each of the `copies` of the work is cut so; a part is some of the panels for a block. The
    cheapest number: the time of the thread that has most to do, in units, a little more where a
    block is made once more for each part. Blocks are as even as can be (`first_unit`).
    """
    cdef Py_ssize_t best_blocks = 1, count
    cdef double cost, best = 1e300
    parts[0] = 1
    blocks = min(blocks, units)
    for _ in range(2 * threads if blocks < 16 * threads else 1):
        count = 1
        while count <= min(<Py_ssize_t>threads, panels):
            cost = (busiest(copies, units, blocks, panels, count, threads)
                    * (0.9 + 0.1 * count))
            if cost < best * 0.999:
                best, best_blocks, parts[0] = cost, blocks, count
            count += 1
        if blocks == units:
            break
        blocks += 1
    return best_blocks


cdef Py_ssize_t list_planes(const Windows* windows, const Slab* slab, Py_ssize_t first,
                            Plane* planes) noexcept nogil:
    """List some planes of a slab, from the first on; return their number."""
    cdef const Axis* column = &windows.column
    cdef Py_ssize_t i, left, low, high
    cdef Py_ssize_t count = min(<Py_ssize_t>MAX_PLANES,
                                windows.row.phases * column.phases - first)
    for i in range(count):
        planes[i].at = ((first + i) // column.phases * windows.row.dilation) % windows.row.stride
        # Every column.stride-th column from `left` on; those from `low` to `high` are inside.
        left = (slab.column * column.stride
                + ((first + i) % column.phases * column.dilation) % column.stride - column.before)
        low = min(ceil_div(-left, column.stride), slab.width) if left < 0 else 0
        high = min(ceil_div(column.size - left, column.stride), slab.width) if (
            column.size > left) else 0
        planes[i].low, planes[i].high = low, max(high, low)
        planes[i].first = (planes[i].at * windows.strides[4]
                           + (left + low * column.stride) * windows.strides[5])
    return count


cdef void fill_slab(const floating* x, const Windows* windows, const Slab* slab,
                    Py_ssize_t channel, Py_ssize_t channels, floating* to) noexcept nogil:
    """Copy what the slab's lines need of some channels; `x` is the first of the group."""
    cdef Py_ssize_t phases = windows.row.phases * windows.column.phases
    cdef Py_ssize_t above = slab.line // windows.row.out
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
        oh = slab.line - above * windows.row.out
        left = slab.lines
        piece_to = to + first * slab.plane
        while left > 0:
            # A piece: the lines of one sample and depth.
            piece.rows = min(windows.row.out - oh, left)
            left -= piece.rows
            piece.rows += windows.row.reach
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
