# cython: cdivision=True
# What a depthwise convolution computes from the shapes before it begins: the blocks of the output,
# the input tile of a block, and where the taps lie in it. The room's docstring draws them.

from cpython.bytearray cimport PyByteArray_AS_STRING

from fastconv.engine.base.arrays cimport Axes, Layout, Operands, View, look
from fastconv.engine.base.axis cimport Axis, Phase, ceil_div, make_axis
from fastconv.engine.base.costs cimport COPIED
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.split_k cimport SplitK
from fastconv.engine.depthwise.kernels cimport Registers, Span, SubKernel, registers_of, shared_taps

cdef enum:
    # An input tile of this many bytes leaves room in the first-level cache (32 KB) for what is
    # written.
    TILE_BYTES = 20480
    # Rows of a tile are never cut shorter than this many bytes.
    ROW_BYTES = 4096
    CACHE_LINE = 64
    # Tasks of a thread: threads that are held up leave theirs to others.
    TASKS = 8


cdef struct Plan:
    # Of the weight gradient: w is the gradient, y the residual. Strides are in elements.
    Axes x, w, y
    Axis depth, row, column
    Py_ssize_t batch, groups, in_channels, out_channels, itemsize
    int isa
    Registers registers
    Py_ssize_t lanes
    Py_ssize_t rows, columns                # outputs of a block, of one phase
    Py_ssize_t row_blocks, column_blocks
    Py_ssize_t blocks                       # of one sample and group
    Py_ssize_t pitch                        # rows of the tile from one output row to the next
    Py_ssize_t in_phases                    # of the tile's columns
    Py_ssize_t tile_width                   # of one phase of a row
    Py_ssize_t tile_row, tile_rows, tile_plane, tile_size
    bint fixed_padding                      # the same in the tiles of all blocks
    Py_ssize_t vectors                      # of a block's row
    Py_ssize_t buffer_row, buffer_size      # rows of a block that are not in place
    Py_ssize_t taps                         # of all sub-kernels
    Span* spans                             # by column block and phase of the tile
    SubKernel* subkernels                   # by phase of depth, row and column
    Py_ssize_t* offsets
    Py_ssize_t* tap_at                      # where a tap's weight lies in its kernel
    Py_ssize_t tasks
    Py_ssize_t own                          # numbers of a thread's part of the workspace
    # Of the weight gradient: groups of a task, blocks of so many groups, k-slices of samples.
    Py_ssize_t group_block, group_blocks
    SplitK split


cdef struct Call:
    const Plan* plan
    const Operands* o
    char* own                               # a part of the workspace for each thread
    char* partial                           # sums of the weight gradient by slice: (G, K, taps)


cdef struct Block:
    Py_ssize_t n, g, od, oh, ow             # where it begins; rows and columns within the phase
    Py_ssize_t rows, columns                # fewer at the end of the output


cdef inline Py_ssize_t whole_lines(Py_ssize_t size, Py_ssize_t itemsize) noexcept nogil:
    """Round up to cache lines, so that no two threads write into one."""
    cdef Py_ssize_t line = CACHE_LINE // itemsize
    return ceil_div(size, line) * line


cdef inline double multiply_adds(const Layout* layout, tuple numbers):
    """Return the products of a correlation or a weight gradient: outputs times their taps."""
    cdef double work = layout.y.shape[0]
    cdef int axis
    for axis in range(6):
        work *= layout.w.shape[axis]
    for axis in range(3):
        # Each phase of an axis has its own taps.
        work *= ceil_div(layout.y.shape[3 + axis], numbers[axis][1])
    return work


cdef inline int size_blocks(Plan* p) except -1:
    """Cut the planes of the output into blocks.

    The cut follows from the shapes alone: the weight gradient's order of summation depends on it.
    """
    cdef Py_ssize_t planes = max(p.in_channels * p.depth.taps, 1)
    cdef Py_ssize_t reach = p.column.reach // p.column.stride
    cdef Py_ssize_t columns, rows
    p.in_phases = 1
    while p.in_phases < p.column.taps and p.in_phases * p.column.dilation % p.column.stride:
        p.in_phases += 1
    if (<double>planes * p.in_phases * p.itemsize * (1.0 + p.row.reach)
            * (p.lanes + <double>reach) > 1e15):
        raise MemoryError("the padded input of a few outputs does not fit in memory")
    columns = TILE_BYTES // (planes * p.in_phases * p.itemsize * (1 + p.row.reach)) - reach
    columns = max(columns, ROW_BYTES // p.itemsize)
    p.columns = ceil_div(p.column.count, ceil_div(p.column.count, columns))
    p.column_blocks = ceil_div(p.column.count, p.columns)
    p.tile_width = ceil_div(p.columns + reach, p.lanes) * p.lanes
    p.tile_row = p.in_phases * p.tile_width
    # Rows that no tap reads are left out.
    p.pitch = min(p.row.stride, p.row.reach + 1)
    rows = TILE_BYTES // (planes * p.tile_row * p.itemsize)
    rows = max((rows - p.row.reach - 1) // p.pitch + 1, 1)
    p.rows = ceil_div(p.row.count, ceil_div(p.row.count, rows))
    p.row_blocks = ceil_div(p.row.count, p.rows)
    p.blocks = p.depth.out * p.row_blocks * p.column_blocks
    p.fixed_padding = p.blocks == 1
    p.tile_rows = (p.rows - 1) * p.pitch + p.row.reach + 1
    p.tile_plane = p.tile_rows * p.tile_row
    # The last rows of a narrow output are computed as whole vectors: they read on past its end.
    p.tile_size = planes * p.tile_plane + 2 * p.lanes
    p.vectors = ceil_div(p.columns, p.lanes)
    p.buffer_row = p.vectors * p.lanes
    p.buffer_size = p.rows * p.buffer_row * max(p.column.phases, 1) + p.lanes
    return 0


cdef inline void fill_spans(Plan* p) noexcept nogil:
    cdef const Axis* axis = &p.column
    cdef Py_ssize_t block, s, width, first
    cdef Span* span = p.spans
    for block in range(p.column_blocks):
        width = (min(p.columns, axis.count - block * p.columns)
                 + axis.reach // axis.stride)
        for s in range(p.in_phases):
            first = block * p.columns * axis.stride + s * axis.dilation % axis.stride - axis.before
            span.first = first
            span.low = min(max(ceil_div(-first, axis.stride), 0), width)
            span.high = max(min(ceil_div(axis.size - first, axis.stride), width), span.low)
            span += 1


cdef inline void fill_subkernels(Plan* p) noexcept nogil:
    """Write for each phase where its taps lie in the input tile, and where in the kernel."""
    cdef Py_ssize_t a, b, d, c, t, r, s, i, at, step = 0, tap = 0
    cdef const Py_ssize_t* w = &p.w.strides[0]
    cdef const Phase* depth
    cdef const Phase* row
    cdef const Phase* column
    cdef SubKernel* sub = p.subkernels
    for d in range(p.depth.phases):
        depth = p.depth.phase + d
        for a in range(p.row.phases):
            row = p.row.phase + a
            for b in range(p.column.phases):
                column = p.column.phase + b
                # Rows of the output lie `pitch` apart in the tile, taps `dilation`: with stride 1
                # every dilation-th row shares what it reads with the next.
                sub.shared = shared_taps(row.taps) if p.row.stride == 1 else 1
                sub.offsets, sub.first_tap = p.offsets + step, tap
                for c in range(p.in_channels):
                    for t in range(depth.taps):
                        for s in range(column.taps):
                            at = p.column.before - column.before + s * p.column.dilation
                            at = (at // p.column.stride + s % p.in_phases * p.tile_width
                                  + (c * p.depth.taps + t) * p.tile_plane)
                            for r in range(row.taps):
                                if r % sub.shared == 0:
                                    i = p.row.before - row.before + r * p.row.dilation
                                    p.offsets[step] = at + i * p.tile_row
                                    step += 1
                                p.tap_at[tap] = (
                                    c * w[2] + (depth.tap_first + t * depth.tap_step) * w[3]
                                    + (row.tap_first + r * row.tap_step) * w[4]
                                    + (column.tap_first + s * column.tap_step) * w[5])
                                tap += 1
                sub.runs = p.offsets + step - sub.offsets
                sub += 1
    # Taps that reach no output are in no phase.
    p.taps = tap


cdef inline void in_elements(Axes* axes, Py_ssize_t itemsize) noexcept nogil:
    cdef int axis
    for axis in range(6):
        axes.strides[axis] //= itemsize


cdef inline bytearray make_plan(Plan* p, const Layout* layout, tuple numbers):
    """Complete the plan for arrays of this layout; return its tables, which must outlive it."""
    cdef Py_ssize_t taps = 1, itemsize = layout.itemsize
    cdef Axis* axes[3]
    cdef View view
    cdef int i
    cdef bytearray tables
    p.x, p.w, p.y, p.itemsize = layout.x, layout.w, layout.y, itemsize
    in_elements(&p.x, itemsize)
    in_elements(&p.w, itemsize)
    in_elements(&p.y, itemsize)
    p.batch, p.groups, p.in_channels = p.x.shape[0], p.x.shape[1], p.x.shape[2]
    p.out_channels = p.y.shape[2]
    axes[0], axes[1], axes[2] = &p.depth, &p.row, &p.column
    for i in range(3):
        look(numbers[i], 1, False, &view)
        axes[i][0] = make_axis(
            p.x.shape[3 + i], p.y.shape[3 + i], <const Py_ssize_t*>view.data)
    p.isa = isa_row()
    p.registers = registers_of(p.isa)
    p.lanes = p.registers.vector_bytes // itemsize
    size_blocks(p)
    for i in range(2, 6):
        taps *= p.w.shape[i]
    tables = bytearray(
        2 * taps * sizeof(Py_ssize_t) + p.column_blocks * p.in_phases * sizeof(Span)
        + p.depth.phases * p.row.phases * p.column.phases * sizeof(SubKernel))
    p.offsets = <Py_ssize_t*>PyByteArray_AS_STRING(tables)
    p.tap_at = p.offsets + taps
    p.spans = <Span*>(p.tap_at + taps)
    p.subkernels = <SubKernel*>(p.spans + p.column_blocks * p.in_phases)
    fill_spans(p)
    fill_subkernels(p)
    return tables


cdef inline double block_cost(const Plan* p, const Block* b, Py_ssize_t tap) noexcept nogil:
    """Return what a block costs: its tile is copied, and each vector meets each tap.

    `tap` is what that costs in products of other tiles: there are loads, and sums that wait.
    """
    cdef Py_ssize_t rows = (b.rows - 1) * p.pitch + p.row.reach + 1
    return (<double>COPIED * p.in_channels * p.depth.taps * rows * p.tile_row
            + <double>p.out_channels * b.rows * ceil_div(b.columns, p.lanes) * p.lanes
            * (tap * p.taps + COPIED * p.row.step * p.column.step))


cdef inline Block find_block(const Plan* p, Py_ssize_t number) noexcept nogil:
    """Return the block of this number, counted over samples, groups, depth, rows, columns."""
    cdef Block b
    b.ow = number % p.column_blocks * p.columns
    number //= p.column_blocks
    b.oh = number % p.row_blocks * p.rows
    number //= p.row_blocks
    b.od = number % p.depth.out
    number //= p.depth.out
    b.g, b.n = number % p.groups, number // p.groups
    size_block(p, &b)
    return b


cdef inline void size_block(const Plan* p, Block* b) noexcept nogil:
    b.rows = min(p.rows, p.row.count - b.oh)
    b.columns = min(p.columns, p.column.count - b.ow)


cdef inline void next_block(const Plan* p, Block* b) noexcept nogil:
    """Go on to the next block, without `find_block`'s divisions: each costs as much as a row."""
    b.ow += p.columns
    if b.ow >= p.column.count:
        b.ow = 0
        b.oh += p.rows
    if b.oh >= p.row.count:
        b.oh = 0
        b.od += 1
    if b.od == p.depth.out:
        b.od = 0
        b.g += 1
    if b.g == p.groups:
        b.g = 0
        b.n += 1
    size_block(p, b)
