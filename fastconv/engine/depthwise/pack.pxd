# cython: cdivision=True
# How what a block needs of the input comes into its tile.

from cython cimport floating
from libc.string cimport memset

from fastconv.engine.base.axis cimport Phase
from fastconv.engine.depthwise.kernels cimport Span, pack_rows
from fastconv.engine.depthwise.plan cimport Block, Plan


cdef inline void copy_rows(const Plan* p, const floating* source, Py_ssize_t source_row,
                           Py_ssize_t column, Py_ssize_t rows, Py_ssize_t n, floating* to,
                           Py_ssize_t to_row) noexcept nogil:
    """Copy rows of `n` numbers that are `column` apart."""
    cdef Span span
    span.first, span.low, span.high = 0, 0, n
    pack_rows(p.isa, to, to_row, 0, source, source_row, column, 1, rows, &span, 1)


cdef inline void pack_tile(const Plan* p, const floating* x, const Block* b, const Phase* depth,
                           Py_ssize_t od, floating* tile) noexcept nogil:
    """Copy what a block needs of the input; `od` is its depth within the phase.

    Where a tile holds padding are zeros from the beginning, and stay unless it lies elsewhere in
    the tile before.
    """
    cdef const Py_ssize_t* strides = &p.x.strides[0]
    cdef const Span* spans = p.spans
    cdef const floating* plane
    cdef floating* to
    cdef Py_ssize_t c, t, k, low, high, ind, inh
    # Rows of the input that follow each other, and how many times.
    cdef Py_ssize_t run = p.pitch, runs = b.rows
    if p.pitch == p.row.stride:
        run, runs = (b.rows - 1) * p.pitch + p.row.reach + 1, 1
    # Blocks of columns have their padding in different places, the others in whole rows alone.
    if p.column_blocks > 1:
        memset(tile, 0, p.tile_size * sizeof(floating))
        spans += b.ow // p.columns * p.column.parts
    for c in range(p.in_channels):
        for t in range(depth.taps):
            ind = od * p.depth.stride + t * p.depth.dilation - depth.before
            plane = x + b.n * strides[0] + b.g * strides[1] + c * strides[2] + ind * strides[3]
            to = tile + (c * p.depth.taps + t) * p.tile_plane
            for k in range(runs):
                inh = (b.oh + k) * p.row.stride - p.row.before
                low = min(max(-inh, 0), run)
                high = max(min(p.row.size - inh, run), low) if 0 <= ind < p.depth.size else low
                if not p.fixed_padding:
                    memset(to, 0, low * p.tile_row * sizeof(floating))
                    memset(to + high * p.tile_row, 0,
                           (run - high) * p.tile_row * sizeof(floating))
                if low < high:
                    pack_rows(p.isa, to + low * p.tile_row, p.tile_row, p.tile_width,
                              plane + (inh + low) * strides[4], strides[4], strides[5],
                              p.column.stride, high - low, spans, p.column.parts)
                to += run * p.tile_row
