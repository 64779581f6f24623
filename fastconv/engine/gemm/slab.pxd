# How the windows of a convolution lie in its input, and the slab that holds a part of the input.

from cython cimport floating

from fastconv.engine.base.axis cimport ceil_div

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
        bint accumulate
    void fetch "FASTCONV_FETCH"(const void* address) noexcept

cdef struct Axis:
    Py_ssize_t size         # of the input
    Py_ssize_t out          # of the output
    Py_ssize_t taps
    Py_ssize_t stride
    Py_ssize_t before
    Py_ssize_t dilation
    Py_ssize_t phases       # different values of (tap * dilation) % stride
    Py_ssize_t reach        # positions of one phase from the first tap to the last

cdef struct Windows:
    Axis depth
    Axis row
    Axis column
    Py_ssize_t strides[6]   # of the input (N, G, C, D, H, W), in elements
    Py_ssize_t channels
    Py_ssize_t taps         # of one channel
    Py_ssize_t lines        # rows of the output, of all samples and depths
    bint in_place           # no window needs zeros, and columns are neighbours: no slab

cdef struct Slab:
    Py_ssize_t line         # the first line of the output that it serves
    Py_ssize_t column       # and the first column
    Py_ssize_t lines
    Py_ssize_t width
    Py_ssize_t plane


cdef inline size_t line_up(size_t size) noexcept nogil:
    """Round up to whole cache lines."""
    return (size + 63) // 64 * 64


cdef Windows make_windows(const Py_ssize_t* shape, const Py_ssize_t* strides,
                          const Py_ssize_t* kernel, const Py_ssize_t* out, Py_ssize_t itemsize,
                          tuple stride, tuple before, tuple dilation)
cdef Slab make_slab(const Windows* windows, Py_ssize_t lines, Py_ssize_t columns) noexcept nogil
cdef Py_ssize_t slab_planes(const Windows* windows) noexcept nogil
cdef struct Cursor:
    # A line: its place in depth and row, where its first column lies in the slab or the input,
    # and where it stands in the output.
    Py_ssize_t od, oh, at, out

cdef Cursor first_line(const Windows* windows, const Slab* slab, const Py_ssize_t* strides,
                       Py_ssize_t line) noexcept nogil
cdef void next_line(const Windows* windows, const Slab* slab, const Py_ssize_t* strides,
                    Cursor* cursor) noexcept nogil
cdef Py_ssize_t add_run(Run* runs, Py_ssize_t count, Py_ssize_t first, Py_ssize_t number,
                        Py_ssize_t at, Py_ssize_t step) noexcept nogil
cdef void fill_shifts(const Windows* windows, const Slab* slab, Py_ssize_t channels,
                      Py_ssize_t* shifts) noexcept nogil
cdef void fill_slab(const floating* x, const Windows* windows, const Slab* slab,
                    Py_ssize_t channel, Py_ssize_t channels, floating* to) noexcept nogil
cdef void pack_columns(const floating* source, const Py_ssize_t* at, Py_ssize_t steps,
                       const Run* runs, Py_ssize_t n_runs, bint overrun, Py_ssize_t width,
                       floating* panels) noexcept nogil
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
cdef void copy_row(const floating* source, Py_ssize_t step, Py_ssize_t count,
                   floating* target) noexcept nogil
cdef void store_pixels(const floating* source, Py_ssize_t source_row, Py_ssize_t pixels,
                       Py_ssize_t channels, const floating* bias, floating* target,
                       Py_ssize_t target_row, Py_ssize_t step) noexcept nogil
cdef Py_ssize_t block_steps(Py_ssize_t itemsize) noexcept nogil
cdef Py_ssize_t block_channels(const Windows* windows, Py_ssize_t itemsize) noexcept nogil
cdef bint steps_are_neighbours(const Py_ssize_t* shape, const Py_ssize_t* strides) noexcept nogil
cdef void fill_offsets(const Windows* windows, const Py_ssize_t* strides, Py_ssize_t channels,
                       Py_ssize_t* at) noexcept nogil
cdef Py_ssize_t split_blocks(Py_ssize_t copies, Py_ssize_t units, Py_ssize_t blocks,
                             Py_ssize_t panels, int threads, Py_ssize_t* parts) noexcept nogil


cdef inline Py_ssize_t first_unit(Py_ssize_t block, Py_ssize_t units,
                                  Py_ssize_t blocks) noexcept nogil:
    """Return the first unit of a block: blocks are as even as can be."""
    return block * units // blocks


cdef inline double busiest(Py_ssize_t copies, Py_ssize_t units, Py_ssize_t blocks,
                           Py_ssize_t panels, Py_ssize_t parts, int threads) noexcept nogil:
    """Return the share of a copy's work, in units, of the thread that has most to do."""
    cdef Py_ssize_t rounds = ceil_div(copies * blocks * parts, threads)
    return <double>ceil_div(rounds * units, blocks) * ceil_div(panels, parts) / panels


cdef inline double imbalance(Py_ssize_t copies, Py_ssize_t units, Py_ssize_t blocks,
                             Py_ssize_t panels, Py_ssize_t parts, int threads) noexcept nogil:
    """Return how much longer all threads take than if they had even shares."""
    return busiest(copies, units, blocks, panels, parts, threads) * threads / (copies * units)
