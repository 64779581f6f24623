# cython: cdivision=True
# What a depthwise convolution computes from the shapes before it begins: the blocks of the output,
# the input tile of a block, and where the taps lie in it. The room's docstring draws them.

from fastconv.engine.base.arrays cimport Axes, Layout
from fastconv.engine.base.axis cimport Axis, ceil_div
from fastconv.engine.base.costs cimport COPIED
from fastconv.engine.base.kernel cimport Kernel
from fastconv.engine.base.split_k cimport SplitK
from fastconv.engine.depthwise.kernels cimport Registers, Span, SubKernel

cdef enum:
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
    size_t partial_at                       # of the weight gradient: sums by slice, (G, K, taps)
    # Of the weight gradient: groups of a task, blocks of so many groups, k-slices of samples.
    Py_ssize_t group_block, group_blocks
    SplitK split


cdef struct Block:
    Py_ssize_t n, g, od, oh, ow             # where it begins; rows and columns within the phase
    Py_ssize_t rows, columns                # fewer at the end of the output


cdef class Depthwise(Kernel):
    cdef Plan p
    cdef tuple numbers
    cdef bytearray tables
    cdef int make_plan(self, const Layout* layout) except -1


cdef Py_ssize_t whole_lines(Py_ssize_t size, Py_ssize_t itemsize) noexcept nogil


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
