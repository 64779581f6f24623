# Channels in the lanes: how the channels of groups share the vectors, and maps laid out so.

from cython cimport floating

from fastconv.engine.base.axis cimport Axis

cdef extern from "blocked/channels_steps.h" nogil:
    ctypedef struct Loops "fastconv_channel_loops":
        Py_ssize_t channels, taps
        const Py_ssize_t* channel_at
        const Py_ssize_t* tap_at
        Py_ssize_t w_channel, w_tap, out_pixel, out_vector
        bint first
    ctypedef struct Lines "fastconv_channel_lines":
        Py_ssize_t lines, pixels, x_line, dy_line, dy_pixel, sums_row, sums_vector
        bint first


# Some channels of the maps of a block of groups, in vectors.
cdef struct Channels:
    Py_ssize_t count                # of a group
    Py_ssize_t vectors, each        # of a pixel; channels of a group in each
    Py_ssize_t sample, group, channel   # from one to the next in the map, in elements


# A tile of a row: some pixels of one phase.
cdef struct Tile:
    Py_ssize_t pixels, taps
    Py_ssize_t before               # taps of a row of the phases before
    Py_ssize_t x_at, out_at         # where it begins


# The taps of a row of the output that lie in the map.
cdef struct Line:
    Py_ssize_t tap, taps


cdef struct Plan:
    Axis row, column
    Py_ssize_t batch, groups, lanes
    Py_ssize_t turns, blocks        # groups of a block, whose channels take turns; all blocks
    Channels inputs, outputs
    Py_ssize_t w_strides[6]         # of the weights (G, K, C, T, R, S), in elements
    Py_ssize_t rows, columns        # of a kernel
    Py_ssize_t kernels              # numbers of the packed weights of a block of groups
    Py_ssize_t left                 # columns of zeros before the map
    Py_ssize_t width, hop           # columns of the slab, and of each phase of the stride
    Py_ssize_t samples, sample_blocks   # of a unit
    Py_ssize_t lines, line_blocks
    Py_ssize_t near_channels        # whose weights stay in the first-level cache
    Py_ssize_t slab_rows, slab_line, slab_vector, slab_sample
    Py_ssize_t out_vector, out_sample
    Py_ssize_t tiles                # of a row
    # The workspace: what all threads share, then one part for each.
    size_t at_at, lines_at, tiles_at, taps_at, channel_at, steps_at, bias_at, weights_at
    size_t threads_at, out_at, thread_bytes


cdef void take_shapes(Plan* p, const Py_ssize_t* x, const Py_ssize_t* x_strides,
                      const Py_ssize_t* w, const Py_ssize_t* w_strides, const Py_ssize_t* y,
                      const Py_ssize_t* y_strides, Py_ssize_t itemsize, Py_ssize_t turns,
                      const Py_ssize_t* row, const Py_ssize_t* column) noexcept nogil
cdef Py_ssize_t size_slab(Plan* p, Py_ssize_t lines) noexcept nogil
cdef Py_ssize_t column_place(const Plan* p, Py_ssize_t column) noexcept nogil
cdef void fill_positions(const Plan* p, Py_ssize_t* at) noexcept nogil
cdef void list_channels(const Plan* p, Py_ssize_t* at) noexcept nogil
cdef void clear_columns(const Plan* p, Py_ssize_t samples, floating* slab) noexcept nogil
cdef void lay_out(const floating* x, const Plan* p, const Channels* channels, Py_ssize_t block,
                  Py_ssize_t count, const Py_ssize_t* at, floating* to,
                  Py_ssize_t to_vector) noexcept nogil
cdef Py_ssize_t most_pixels(Py_ssize_t vectors, Py_ssize_t itemsize) noexcept nogil
cdef void run_sums(Py_ssize_t turns, Py_ssize_t vectors, Py_ssize_t rows, const floating* dy,
                   const floating* x, const Lines* lines, floating* sums) noexcept nogil
