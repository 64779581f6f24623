# cython: cdivision=True
# What the lanes of a vector hold, and maps laid out so.

from cython cimport floating

from fastconv.engine.base.arrays cimport Ending, Layout, Operands
from fastconv.engine.base.axis cimport Axis, Taps
from fastconv.engine.base.kernel cimport Kernel
from fastconv.engine.blocked.tiles cimport MAX_LANES


# lane = (band * each + channel) * together + sample, or group.
cdef struct Lanes:
    Py_ssize_t lanes
    Py_ssize_t together             # samples, or groups, that share a vector
    Py_ssize_t bands, each          # of rows, and channels, of each of them: one of both is 1
    Py_ssize_t number, blocks       # all samples, or groups; blocks of them
    Py_ssize_t rows                 # of a band


# Rows of the maps of some channels, as they are laid out.
cdef struct Rows:
    Py_ssize_t size, width          # of a map: planes are contiguous
    Py_ssize_t lane, channel        # from one sample, or group, and one channel to the next
    Py_ssize_t first, hop           # the first row of band 0, and from one band to the next
    Py_ssize_t count
    bint zeros                      # rows outside of the map are read, and are zeros
    Py_ssize_t to_line, to_vector   # from one to the next where they are laid out


# A tile of a row of the output: some pixels of one phase, and the taps that they have.
cdef struct Tile:
    Py_ssize_t pixels, taps
    Py_ssize_t tap_hop, w_at        # in weights that are read in place: from tap to tap, the first
    Py_ssize_t before               # in packed weights: taps of a row of the phases before
    Py_ssize_t x_at, out_at         # where it begins


cdef struct Plan:
    int held                        # in the lanes: SAMPLES, GROUPS or CHANNELS (tiles.pxd)
    Axis row, column
    Lanes lanes
    Py_ssize_t groups               # or samples, where groups lie in the lanes
    Py_ssize_t inputs, outputs      # channels of a group
    Py_ssize_t in_vectors, out_vectors      # of a pixel
    Py_ssize_t kernel, columns      # taps of a kernel, and of its row
    # In elements; of maps the first two are those of what lies in the lanes, and of the other.
    Py_ssize_t x_strides[6]
    Py_ssize_t w_strides[6]
    Py_ssize_t y_strides[6]
    # The slab: x[vector][row][phase of the column][column][lane]; and the output.
    Py_ssize_t left, width          # columns: of zeros before the map, and all
    Py_ssize_t parts, part          # phases of the columns, and columns of each
    Py_ssize_t lines, line_blocks   # of a band
    Py_ssize_t slab_rows, slab_line, slab_vector, slab_size
    Py_ssize_t out_line, out_vector, out_size
    Py_ssize_t panels, height       # of output channels; of the tallest
    Py_ssize_t pixels, tiles        # of a tile; of a row
    Py_ssize_t tile_rows, tile_columns      # of the largest tile, in numbers


cdef class LaneKernel(Kernel):
    cdef const Py_ssize_t[::1] row, column
    cdef int held
    cdef Py_ssize_t together
    cdef bint by_columns
    cdef void lay_out(self, const Layout* layout, Plan* p) noexcept


cdef inline Py_ssize_t slab_width(const Axis* column) noexcept nogil:
    """Return the columns of a slab: those of the map, and the zeros that taps reach."""
    cdef Py_ssize_t left = max(column.before, 0)
    return max(left + column.size,
               left - column.before + (column.count - 1) * column.stride + column.reach + 1)


cdef inline Py_ssize_t column_place(const Plan* p, Py_ssize_t column) noexcept nogil:
    """Return where a column of the slab begins in its row."""
    if p.parts == 1:
        return column * p.lanes.lanes
    return (column % p.parts * p.part + column // p.parts) * p.lanes.lanes


cdef inline void move_lanes(const floating** rows, Py_ssize_t filled, Py_ssize_t offset,
                            const floating** moved) noexcept nogil:
    """Write where the rows of the first lanes lie that are so far from some; others are NULL."""
    cdef Py_ssize_t q
    for q in range(MAX_LANES):
        if q < filled and rows[q] is not NULL:
            moved[q] = rows[q] + offset
        else:
            moved[q] = NULL


cdef inline Py_ssize_t channel_place(const Plan* p, Py_ssize_t channel) noexcept nogil:
    """Return where an input channel begins in the slab."""
    return (channel // p.lanes.each * p.slab_vector
            + channel % p.lanes.each * p.lanes.together)


cdef Lanes share_lanes(Py_ssize_t batch, Py_ssize_t rows, double reach, Py_ssize_t most_bands,
                       Py_ssize_t itemsize) noexcept nogil
cdef Py_ssize_t size_slab(Plan* p, Py_ssize_t lines) noexcept nogil
cdef void cut_lines(Plan* p, int threads) noexcept nogil
cdef void size_lines(Plan* p, Py_ssize_t itemsize, int threads) noexcept nogil
cdef Rows input_rows(const Plan* p) noexcept nogil
cdef Rows output_rows(const Plan* p) noexcept nogil
cdef void gather_rows(const floating* x, const Lanes* lanes, Py_ssize_t block, const Rows* rows,
                      Py_ssize_t channels, const Py_ssize_t* at, floating* to) noexcept nogil
cdef double gathered(const Lanes* lanes, const Rows* rows, Py_ssize_t channels) noexcept nogil
cdef void find_kernels(const floating* w, const Plan* p, const Py_ssize_t* strides,
                       Py_ssize_t block, Py_ssize_t vector,
                       const floating** kernels) noexcept nogil
cdef void scatter_rows(const floating* out, const Plan* p, Py_ssize_t g, Py_ssize_t block,
                       Py_ssize_t line, const floating* bias, const Ending* ending,
                       floating* y) noexcept nogil
cdef void clear_columns(const Plan* p, Py_ssize_t slabs, floating* slab) noexcept nogil
cdef void fill_positions(Py_ssize_t rows, Py_ssize_t width, Py_ssize_t left, Py_ssize_t line,
                         Py_ssize_t lanes, Py_ssize_t* at) noexcept nogil
cdef void list_positions(const Plan* p, Py_ssize_t* at) noexcept nogil
cdef void list_lines(const Plan* p, Taps* lines) noexcept nogil
cdef Py_ssize_t count_tiles(Plan* p) noexcept nogil
cdef void list_tiles(const Plan* p, Tile* tile) noexcept nogil
cdef void list_taps(const Plan* p, Py_ssize_t* tap_at, Py_ssize_t* steps) noexcept nogil
cdef void fill_bias(const floating* bias, const Operands* o, const Plan* p,
                    floating* to) noexcept nogil
