# What kernels.h gives: the tables of a plan that its loops read, and the loops of each
# instruction set.

from fastconv.engine.base.arrays cimport Axes

cdef extern from "depthwise/kernels.h" nogil:
    Py_ssize_t shared_taps "fastconv_shared_taps"(Py_ssize_t taps) noexcept
    ctypedef struct Part "fastconv_part":
        Py_ssize_t columns, shared, first_tap
        const Py_ssize_t* shifts
    ctypedef struct Border "fastconv_border":
        Py_ssize_t first, low, high
    ctypedef struct Planes "fastconv_planes":
        Py_ssize_t rows, columns, out_rows, out_columns
        Py_ssize_t read_first, read_rows, top
        Py_ssize_t row_splits, splits
        Py_ssize_t slab_row, slab_split, slab_phase, slab_plane
        Py_ssize_t row_step, column_step
        Py_ssize_t row_first[2]
        bint odd_first
        Py_ssize_t buffer_part, buffer_plane
        Py_ssize_t out_channels, taps
        const Border* borders
        const Part* parts
    ctypedef struct Maps "fastconv_maps":
        Py_ssize_t rows, columns, group_hop, channel_hop, row_hop, hop
    Py_ssize_t vector_bytes "fastconv_vector_bytes"(int isa) noexcept
    # Macros that choose by the type of the argument after `isa`; types.h says what the others are.
    void correlate_tile "fastconv_correlate"(int isa, ...) noexcept
    void accumulate_tile "fastconv_accumulate"(int isa, ...) noexcept
    void copy_tile "fastconv_copy_rows"(int isa, ...) noexcept
    void split_tile "fastconv_split"(int isa, ...) noexcept
    void merge_tile "fastconv_merge"(int isa, ...) noexcept
    void correlate_planes "fastconv_correlate_planes"(int isa, ...) noexcept
    void accumulate_planes "fastconv_accumulate_planes"(int isa, ...) noexcept


cdef inline Maps view_maps(const Axes* maps, Py_ssize_t itemsize) noexcept nogil:
    """Say how planes lie in memory; on an axis of one position the stride has no meaning."""
    cdef Maps view
    view.rows, view.columns = maps.shape[4], maps.shape[5]
    view.group_hop, view.channel_hop = maps.strides[1], maps.strides[2]
    view.row_hop = maps.strides[4] if view.rows > 1 else itemsize
    view.hop = maps.strides[5] if view.columns > 1 else itemsize
    return view
