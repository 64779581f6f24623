# cython: cdivision=True
# How a unit's part of the input comes into its slab; `correlation.pyx` says what they are.

from cython cimport floating
from libc.string cimport memset

from fastconv.engine.base.arrays cimport Axes
from fastconv.engine.base.axis cimport Phase
from fastconv.engine.depthwise.kernels cimport Border, copy_tile, split_tile
from fastconv.engine.depthwise.units cimport Plan, Unit


cdef inline char* plane_of(char* maps, const Axes* axes, Py_ssize_t n, Py_ssize_t g,
                           Py_ssize_t c) noexcept nogil:
    return maps + n * axes.strides[0] + g * axes.strides[1] + c * axes.strides[2]


cdef inline void copy_rows(int isa, floating* to, Py_ssize_t to_step, const char* source,
                           Py_ssize_t hop, Py_ssize_t row_hop, Py_ssize_t rows,
                           Py_ssize_t n) noexcept nogil:
    """Copy rows of `n` numbers that are `hop` bytes apart."""
    cdef Py_ssize_t _, j
    if hop == sizeof(floating) and row_hop % <Py_ssize_t>sizeof(floating) == 0:
        copy_tile(isa, to, to_step, <const floating*>source,
                  row_hop // <Py_ssize_t>sizeof(floating), rows, n)
        return
    for _ in range(rows):
        for j in range(n):
            to[j] = (<const floating*>(source + j * hop))[0]
        source += row_hop
        to += to_step


cdef inline void split_rows(const Plan* plan, const Border* border, const floating* source,
                            Py_ssize_t source_step, Py_ssize_t rows, floating* even) noexcept nogil:
    """Copy rows of the input into two rows of the slab each, their even and their odd columns.

    Where both are there, they are copied in pairs; at either end one may be left over.
    """
    cdef floating* odd = even + plan.slab_width
    cdef Py_ssize_t low = max(border[0].low, border[1].low)
    cdef Py_ssize_t high = max(min(border[0].high, border[1].high), low)
    cdef bint first = border[1].low < min(low, border[1].high)
    cdef bint last = high < border[0].high
    source += border.first + 2 * low
    split_tile(plan.isa, even + low, odd + low, plan.slab_row, source, source_step, rows,
               high - low, first, last)


cdef inline void fill_rows(const char* source, Py_ssize_t hop, Py_ssize_t row_hop, Py_ssize_t rows,
                           const Plan* plan, const Border* border, floating* to) noexcept nogil:
    """Copy rows of the input into rows of the slab, separated by phase."""
    cdef Py_ssize_t stride = plan.column.stride
    cdef Py_ssize_t _
    if (stride == 2 and plan.splits == 2 and hop == sizeof(floating)
            and row_hop % <Py_ssize_t>sizeof(floating) == 0):
        split_rows[floating](plan, border, <const floating*>source,
                             row_hop // <Py_ssize_t>sizeof(floating), rows, to)
        return
    for _ in range(plan.splits):
        if border.low < border.high:
            copy_rows[floating](plan.isa, to + border.low, plan.slab_row,
                                source + (border.first + border.low * stride) * hop, stride * hop,
                                row_hop, rows, border.high - border.low)
        to += plan.slab_width
        border += 1


cdef inline void fill_slab(char* x, const Plan* plan, const Unit* unit, const Phase* depth,
                           bint zeros, floating* slab) noexcept nogil:
    """Copy what a unit needs of the input. The slab has zeros between; `zeros`: not all of them.
    """
    cdef Py_ssize_t c, t, k, low, high, ind, inh
    # Rows of the input that follow each other, and how many times.
    cdef Py_ssize_t run = plan.pitch, runs = unit.rows
    cdef const Border* border = plan.borders + unit.column_block * plan.splits
    # On an axis of one position the stride has no meaning.
    cdef const Py_ssize_t* strides = &plan.layout.x.strides[0]
    cdef Py_ssize_t hop = strides[5] if plan.column.size > 1 else <Py_ssize_t>sizeof(floating)
    cdef Py_ssize_t row_hop = strides[4] if plan.row.size > 1 else <Py_ssize_t>sizeof(floating)
    cdef const char* plane
    cdef floating* to
    if plan.pitch == plan.row.stride:
        run, runs = (unit.rows - 1) * plan.pitch + plan.row.reach + 1, 1
    # Blocks of columns have their padding in different places, the others in whole rows alone.
    if plan.column_blocks > 1:
        memset(slab, 0, plan.slab_size * sizeof(floating))
    for c in range(plan.in_channels):
        for t in range(depth.taps):
            ind = unit.depth_m * plan.depth.stride + t * plan.depth.dilation - depth.before
            plane = plane_of(x, &plan.layout.x, unit.n, unit.g, c) + ind * strides[3]
            to = slab + (c * plan.depth.taps + t) * plan.slab_plane
            for k in range(runs):
                inh = (unit.oh + k) * plan.row.stride - plan.row.before
                low = min(max(-inh, 0), run)
                high = max(min(plan.row.size - inh, run), low)
                if not 0 <= ind < plan.depth.size:
                    high = low
                if zeros:
                    memset(to, 0, low * plan.slab_row * sizeof(floating))
                    memset(to + high * plan.slab_row, 0,
                           (run - high) * plan.slab_row * sizeof(floating))
                if low < high:
                    fill_rows[floating](plane + (inh + low) * row_hop, hop, row_hop, high - low,
                                        plan, border, to + low * plan.slab_row)
                to += run * plan.slab_row
