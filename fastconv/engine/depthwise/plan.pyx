# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The plan of a depthwise convolution: blocks, input tiles, and where the taps lie in these.

The room's docstring draws them.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING

from fastconv.engine.base.arrays cimport Layout, View, in_elements, look
from fastconv.engine.base.axis cimport Axis, Phase, ceil_div, make_axis
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.depthwise.kernels cimport Span, SubKernel, registers_of, shared_taps

# An input tile of this many bytes leaves room in the first-level cache (32 KB) for what is written.
cdef Py_ssize_t TILE_BYTES = 20480
# Rows of a tile are never cut shorter than this many bytes.
cdef Py_ssize_t ROW_BYTES = 4096
cdef Py_ssize_t CACHE_LINE = 64


cdef Py_ssize_t whole_lines(Py_ssize_t size, Py_ssize_t itemsize) noexcept nogil:
    """Round up to cache lines, so that no two threads write into one."""
    cdef Py_ssize_t line = CACHE_LINE // itemsize
    return ceil_div(size, line) * line


cdef int size_blocks(Plan* p) except -1:
    """Cut the planes of the output into blocks.

    The cut follows from the shapes alone: the weight gradient's order of summation depends on it.
    """
    cdef Py_ssize_t planes = max(p.in_channels * p.depth.taps, 1)
    cdef Py_ssize_t reach = p.column.part_reach
    cdef Py_ssize_t columns, rows
    if (<double>planes * p.column.parts * p.itemsize * (1.0 + p.row.reach)
            * (p.lanes + <double>reach) > 1e15):
        raise MemoryError("the padded input of a few outputs does not fit in memory")
    columns = TILE_BYTES // (planes * p.column.parts * p.itemsize * (1 + p.row.reach)) - reach
    columns = max(columns, ROW_BYTES // p.itemsize)
    p.columns = ceil_div(p.column.count, ceil_div(p.column.count, columns))
    p.column_blocks = ceil_div(p.column.count, p.columns)
    p.tile_width = ceil_div(p.columns + reach, p.lanes) * p.lanes
    p.tile_row = p.column.parts * p.tile_width
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


cdef void fill_spans(Plan* p) noexcept nogil:
    cdef const Axis* axis = &p.column
    cdef Py_ssize_t block, s, width, first
    cdef Span* span = p.spans
    for block in range(p.column_blocks):
        width = (min(p.columns, axis.count - block * p.columns)
                 + axis.part_reach)
        for s in range(p.column.parts):
            first = block * p.columns * axis.stride + s * axis.dilation % axis.stride - axis.before
            span.first = first
            span.low = min(max(ceil_div(-first, axis.stride), 0), width)
            span.high = max(min(ceil_div(axis.size - first, axis.stride), width), span.low)
            span += 1


cdef void fill_subkernels(Plan* p) noexcept nogil:
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
                            at = (at // p.column.stride + s % p.column.parts * p.tile_width
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


cdef class Depthwise(Kernel):
    """A kernel for one input channel in each group, or in the input gradient one output channel.

    `numbers` says what is correlated on each of three axes (base/axis.pxd).
    """

    def __init__(self, tuple numbers):
        self.numbers = numbers

    cdef int make_plan(self, const Layout* layout) except -1:
        """Complete what both kernels plan, for arrays of this layout."""
        cdef Plan* p = &self.p
        cdef Py_ssize_t taps, itemsize = layout.itemsize
        cdef Axis[3] axes
        cdef View view
        cdef int i
        p.x, p.w, p.y, p.itemsize = layout.x, layout.w, layout.y, itemsize
        in_elements(&layout.x, itemsize, p.x.strides)
        in_elements(&layout.w, itemsize, p.w.strides)
        in_elements(&layout.y, itemsize, p.y.strides)
        p.batch, p.groups, p.in_channels = p.x.shape[0], p.x.shape[1], p.x.shape[2]
        p.out_channels = p.y.shape[2]
        for i in range(3):
            look(self.numbers[i], 1, False, &view)
            axes[i] = make_axis(p.x.shape[3 + i], p.y.shape[3 + i], <const Py_ssize_t*>view.data)
        p.depth, p.row, p.column = axes[0], axes[1], axes[2]
        p.isa = isa_row()
        p.registers = registers_of[p.isa][0]
        p.lanes = p.registers.vector_bytes // itemsize
        size_blocks(p)
        taps = p.w.shape[2] * p.w.shape[3] * p.w.shape[4] * p.w.shape[5]
        self.tables = bytearray(
            2 * taps * sizeof(Py_ssize_t) + p.column_blocks * p.column.parts * sizeof(Span)
            + p.depth.phases * p.row.phases * p.column.phases * sizeof(SubKernel))
        p.offsets = <Py_ssize_t*>PyByteArray_AS_STRING(self.tables)
        p.tap_at = p.offsets + taps
        p.spans = <Span*>(p.tap_at + taps)
        p.subkernels = <SubKernel*>(p.spans + p.column_blocks * p.column.parts)
        fill_spans(p)
        fill_subkernels(p)
        return 0
