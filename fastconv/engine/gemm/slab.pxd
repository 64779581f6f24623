# How the windows of a convolution lie in its input, and the slab that holds a part of the input.

from cython cimport floating

from fastconv.engine.base.arrays cimport Ending, Layout, in_elements
from fastconv.engine.base.axis cimport Axis

cdef extern from "gemm/run.h" nogil:
    ctypedef struct Run "fastconv_run":
        Py_ssize_t first, count, at, step
    ctypedef struct Target "fastconv_target":
        void* c
        Py_ssize_t row
        const Run* runs
        Py_ssize_t n_runs
        const void* row_bias
        const void* column_bias
        const void* ending
        bint accumulate
        Py_ssize_t a_ahead
    void fetch "FASTCONV_FETCH"(const void* address) noexcept

# What each of the outputs sees of the input.
cdef struct Windows:
    Axis depth, row, column
    Py_ssize_t strides[6]   # of the input (N, G, C, D, H, W), in elements
    Py_ssize_t outs[6]      # of the output (N, G, K, D, H, W)
    Py_ssize_t channels
    Py_ssize_t taps         # of one channel
    Py_ssize_t lines        # rows of the output, of all samples and depths
    bint inside             # no window needs zeros, and columns are neighbours
    bint in_place           # there is no slab; where kernels move by more, if pixels are packed

# Pixels of the output, counted in a block of some columns of all its lines.
cdef struct Block:
    Py_ssize_t column, columns
    Py_ssize_t pixel, end
    Py_ssize_t line, lines  # that they lie in

cdef struct Slab:
    Block block             # that it serves
    Py_ssize_t width
    Py_ssize_t plane

# A walk over the pixels of a block.
cdef struct Walk:
    const Windows* windows
    const Slab* slab
    Py_ssize_t left                     # pixels to come
    Py_ssize_t od, oh, column           # the next one's place
    Py_ssize_t at, out                  # where it lies in the slab or the input, and in the output
    Py_ssize_t hop                      # from pixel to pixel in the slab or the input

# Work that threads share. Each of its copies has units, cut into blocks as even as can be; each
# block is made for some panels, and a task is a block for a part of the panels.
cdef struct Split:
    Py_ssize_t copies, units, panels
    Py_ssize_t blocks, parts            # of a copy; of a block

# What a task computes.
cdef struct Share:
    Py_ssize_t copy, unit, past_unit, panel, past_panel


cdef inline size_t line_up(size_t size) noexcept nogil:
    """Round up to whole cache lines."""
    return (size + 63) // 64 * 64


cdef Windows make_windows(const Layout* layout, tuple stride, tuple before, tuple dilation)
cdef Block make_block(const Windows* windows, Py_ssize_t columns, Py_ssize_t column,
                      Py_ssize_t pixel, Py_ssize_t end) noexcept nogil
cdef Slab make_slab(const Windows* windows, Py_ssize_t lines, Py_ssize_t columns) noexcept nogil
cdef Py_ssize_t slab_planes(const Windows* windows) noexcept nogil
cdef double slab_bytes(const Windows* windows, Py_ssize_t columns, Py_ssize_t size) except -1
cdef Walk start_walk(const Windows* windows, const Slab* slab) noexcept nogil
cdef Py_ssize_t next_pixels(Walk* walk, Py_ssize_t most) noexcept nogil
cdef Py_ssize_t add_run(Run* runs, Py_ssize_t count, Py_ssize_t first, Py_ssize_t number,
                        Py_ssize_t at, Py_ssize_t step) noexcept nogil
cdef void fill_shifts(const Windows* windows, const Slab* slab, Py_ssize_t channels,
                      Py_ssize_t* shifts) noexcept nogil
cdef double copied_numbers(const Windows* windows, const Slab* slab,
                           Py_ssize_t channels) noexcept nogil
cdef void fill_slab(const floating* x, const Windows* windows, const Slab* slab,
                    Py_ssize_t channel, Py_ssize_t channels, floating* to) noexcept nogil
cdef void pack_columns(const floating* source, const Py_ssize_t* at, Py_ssize_t steps,
                       const Run* runs, Py_ssize_t n_runs, bint overrun, Py_ssize_t width,
                       floating* panels) noexcept nogil
cdef void pack_panels(const floating* source, const Py_ssize_t* at, Py_ssize_t steps,
                      Py_ssize_t panels, Py_ssize_t height, Py_ssize_t panel_step,
                      floating* packed) noexcept nogil
cdef void pack_rows(const floating* source, Py_ssize_t row, Py_ssize_t rows,
                    const Py_ssize_t* at, Py_ssize_t steps, Py_ssize_t height,
                    floating* panel) noexcept nogil
cdef void transpose(const floating* source, Py_ssize_t source_row, Py_ssize_t rows,
                    Py_ssize_t columns, floating* target, Py_ssize_t target_row) noexcept nogil
cdef void transpose_rows(const floating* source, const Py_ssize_t* at, Py_ssize_t rows,
                         Py_ssize_t columns, floating* target,
                         Py_ssize_t target_row) noexcept nogil
cdef void pack_taps(const floating* source, Py_ssize_t row, Py_ssize_t steps,
                    Py_ssize_t channels, Py_ssize_t taps, floating* panels) noexcept nogil
cdef void add_vectors(const floating* source, const Py_ssize_t* at, Py_ssize_t count,
                      floating* target) noexcept nogil
cdef void join_columns(const floating* source, Py_ssize_t row, Py_ssize_t columns,
                       const Run* runs, Py_ssize_t n_runs, floating* target) noexcept nogil
cdef void copy_row(const floating* source, Py_ssize_t step, Py_ssize_t count,
                   floating* target) noexcept nogil
cdef void store_pixels(const floating* source, Py_ssize_t source_row, Py_ssize_t pixels,
                       Py_ssize_t channels, const floating* bias, floating* target,
                       Py_ssize_t target_row, Py_ssize_t step,
                       const Ending* ending) noexcept nogil
cdef Py_ssize_t block_steps(Py_ssize_t itemsize) noexcept nogil
cdef Py_ssize_t block_channels(const Windows* windows, Py_ssize_t itemsize) noexcept nogil
cdef bint steps_are_neighbours(const Py_ssize_t* shape, const Py_ssize_t* strides) noexcept nogil
cdef void fill_offsets(const Windows* windows, const Py_ssize_t* strides, Py_ssize_t channels,
                       Py_ssize_t* at) noexcept nogil
cdef double imbalance(const Split* split, int threads) noexcept nogil
cdef Split make_split(Py_ssize_t copies, Py_ssize_t units, Py_ssize_t blocks, Py_ssize_t panels,
                      int threads, double parted=*, double part=*, double alone=*) noexcept nogil
cdef Share find_share(const Split* split, Py_ssize_t task) noexcept nogil


cdef inline Py_ssize_t split_tasks(const Split* split) noexcept nogil:
    """Return the number of tasks."""
    return split.copies * split.blocks * split.parts


cdef inline Py_ssize_t even_share(Py_ssize_t number, Py_ssize_t units,
                                  Py_ssize_t shares) noexcept nogil:
    """Return the first unit of a share of this number: shares are as even as can be."""
    return number * units // shares
