# Samples in the lanes: how samples and bands of rows share the vectors, and maps laid out so.

from cython cimport floating

from fastconv.engine.base.axis cimport Axis


cdef struct Lanes:
    Py_ssize_t lanes
    Py_ssize_t samples, bands       # in a vector; a lane's number is band * samples + sample
    Py_ssize_t batch, blocks        # all samples; blocks of them: or groups, where they are across
    Py_ssize_t rows                 # of a band


# Rows of the maps of some channels, as they are laid out.
cdef struct Rows:
    Py_ssize_t size, width          # of a map: planes are contiguous
    Py_ssize_t sample, channel      # from one to the next in the map
    Py_ssize_t first, hop           # the first row of band 0, and from one band to the next
    Py_ssize_t count
    bint zeros                      # rows outside of the map are read, and are zeros
    Py_ssize_t to_line, to_channel  # from one to the next where they are laid out


# A tile of a row: some pixels of one phase, and the taps that they have.
cdef struct Tile:
    Py_ssize_t pixels, taps
    Py_ssize_t tap_hop, w_at        # in the weights: from tap to tap, and the first
    Py_ssize_t x_at, out_at         # where they begin


# The taps of a row of the output that lie in the map.
cdef struct Line:
    Py_ssize_t tap, taps


cdef struct Plan:
    Axis row, column
    Lanes lanes
    bint across                     # groups lie in the lanes, instead of samples
    Py_ssize_t groups               # or samples, where groups lie in the lanes
    Py_ssize_t inputs, outputs
    Py_ssize_t kernel, columns      # taps of a kernel, and of its row
    Py_ssize_t x_strides[6]         # in elements; the first is that from lane to lane
    Py_ssize_t w_strides[6]
    Py_ssize_t y_strides[6]
    Py_ssize_t lines, line_blocks   # of a band
    Py_ssize_t left, width          # columns of the slab: of zeros before the map, and all
    Py_ssize_t slab_rows
    Py_ssize_t panels, height       # of output channels; of the tallest
    Py_ssize_t pixels, tiles        # of a tile; of a row
    bint by_columns                 # the taps are added column by column
    Py_ssize_t slab_size, out_size
    # The workspace: what all threads share, then one part for each.
    size_t at_at, lines_at, tiles_at, bias_at, taps_at, weights_at, threads_at
    size_t out_at, thread_bytes


cdef inline Py_ssize_t slab_width(const Axis* column) noexcept nogil:
    """Return the columns of a slab: those of the map, and the zeros that taps reach."""
    cdef Py_ssize_t left = max(column.before, 0)
    return max(left + column.size,
               left - column.before + (column.count - 1) * column.stride + column.reach + 1)


cdef Lanes share_lanes(Py_ssize_t batch, Py_ssize_t rows, double reach, Py_ssize_t most_bands,
                       Py_ssize_t itemsize) noexcept nogil
cdef void gather_rows(const floating* x, const Lanes* lanes, Py_ssize_t block, const Rows* rows,
                      Py_ssize_t channels, const Py_ssize_t* at, floating* to) noexcept nogil
cdef void fill_positions(Py_ssize_t rows, Py_ssize_t width, Py_ssize_t left, Py_ssize_t line,
                         Py_ssize_t lanes, Py_ssize_t* at) noexcept nogil
cdef void take_shapes(Plan* p, const Py_ssize_t* x, const Py_ssize_t* x_strides,
                      const Py_ssize_t* w, const Py_ssize_t* w_strides, const Py_ssize_t* y,
                      const Py_ssize_t* y_strides, Py_ssize_t itemsize, const Py_ssize_t* row,
                      const Py_ssize_t* column, bint across) noexcept nogil
cdef void make_plan(Plan* p, Py_ssize_t samples, Py_ssize_t itemsize) noexcept nogil
cdef void cut_lines(Plan* p, int threads) noexcept nogil
cdef void size_blocks(Plan* p, Py_ssize_t itemsize, int threads) noexcept nogil
cdef Rows input_rows(const Plan* p) noexcept nogil
cdef void clear_columns(const Plan* p, floating* slab) noexcept nogil
cdef void scatter_rows(const floating* out, const Plan* p, Py_ssize_t g, Py_ssize_t block,
                       Py_ssize_t line, const floating* bias, floating* y) noexcept nogil
cdef void fill_bias(const floating* bias, Py_ssize_t group, Py_ssize_t row, const Plan* p,
                    floating* to) noexcept nogil
