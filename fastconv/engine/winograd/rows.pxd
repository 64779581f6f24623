# Tiles of rows for Winograd's convolution with samples in the lanes.

from cython cimport floating

from fastconv.engine.base.arrays cimport Layout
from fastconv.engine.blocked.layout cimport Plan
from fastconv.engine.winograd.tiles cimport Window

cdef extern from "winograd/rows_sizes.h" nogil:
    enum:
        TAPS "FASTCONV_ROW_TAPS"
        STEP "FASTCONV_ROW_STEP"
        POINTS "FASTCONV_ROW_POINTS"


# How maps are cut into tiles, and how these are laid out: v[point][channel][row][tile][lane].
cdef struct Tiling:
    Plan plan                       # of the maps: axes, lanes, strides, and blocks of lines
    Py_ssize_t tiles                # of a row
    Py_ssize_t sums                 # steps of a sum, channels by taps, filled up to whole vectors
    Py_ssize_t v_point              # from one point to the next, in elements
    Py_ssize_t w_first              # the first tap, from the first weight, in bytes
    size_t at_bytes, slab_bytes, v_bytes


cdef Tiling make_tiling(const Layout* layout, bint rotates, const Window* window,
                        Py_ssize_t beside, Py_ssize_t most_bytes, int threads) noexcept nogil
cdef double lines_cost(const Tiling* t, Py_ssize_t lines) noexcept nogil
cdef void list_positions(const Tiling* t, Py_ssize_t* at) noexcept nogil
cdef void transform_lines(const floating* x, const Tiling* t, Py_ssize_t block, Py_ssize_t line,
                          Py_ssize_t lines, bint zeros, const Py_ssize_t* at, floating* slab,
                          floating* v) noexcept nogil
cdef void residual_rows(const Tiling* t, const floating* slab, Py_ssize_t rows, floating* z,
                        Py_ssize_t point_step) noexcept nogil
cdef void write_kernel_gradients(const Tiling* t, const floating* sums, Py_ssize_t point_step,
                                 floating* dw) noexcept nogil
