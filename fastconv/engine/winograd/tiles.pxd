# Maps cut into tiles for Winograd's convolution, and their transforms.

from cython cimport floating

from fastconv.engine.base.arrays cimport Axes, Ending
from fastconv.engine.base.axis cimport Axis
from fastconv.engine.base.kernel cimport Kernel
from fastconv.engine.winograd.terms cimport MOST_PHASES, Term, Window

# Maps of at most so many tiles are small, and may be cut off at the edge.
cdef enum:
    SMALL_MAP = 28

# Room for the pixels of one piece, in bytes.
cdef enum:
    STAGE_BYTES = 49152


# One of the two axes of maps. Kernels whose taps are `dilation` apart see every `dilation`-th pixel
# only: the outputs fall into that many phases (or fewer, if they are fewer), each a map of its own.
cdef struct TiledAxis:
    Axis axis                                   # of the windows that make up a tile
    Py_ssize_t hop                              # between neighbouring pixels, in elements
    Py_ssize_t outputs, pixels, tiles           # of a tile; tiles of a phase


cdef struct Tiles:
    Py_ssize_t form                             # of the tiles, as find_form has it
    bint seen                                   # input tiles, or output tiles
    Py_ssize_t rows, columns                    # of tiles in one phase of a map
    Py_ssize_t count                            # of tiles in all
    TiledAxis down, across
    # Outputs of the last row and of the last column of tiles, where they are cut off; otherwise 0.
    Py_ssize_t last_rows, last_columns
    Py_ssize_t at                               # of the maps (N, G, C, D, H, W), in elements
    Py_ssize_t sample_step, channel_step, plane_step
    # Outputs' planes; the planes of the maps: their number, what the first of the outputs sees, and
    # how far the next sees from there.
    Py_ssize_t planes, plane_size, first_plane, plane_stride
    Py_ssize_t lanes                            # channels of a vector
    Py_ssize_t room                             # pixels of a stage


# The tiles in their order from `first` on, before `end`.
cdef struct TileRange:
    Py_ssize_t first, end


cdef class TileKernel(Kernel):
    cdef Window window
    cdef bint rotates


cdef Tiles make_tiles(const Axes* maps, const Axes* outputs, const Window* window,
                      Py_ssize_t itemsize, Py_ssize_t form, bint seen) noexcept nogil
cdef void make_phases(const Axes* maps, const Axes* outputs, const Py_ssize_t* weights,
                      const Window* window, Py_ssize_t itemsize, Py_ssize_t form,
                      Tiles* tiles) noexcept nogil
cdef Tiles seen_by(const Tiles* phases, const Term* term, const Window* window) noexcept nogil
cdef Py_ssize_t same_work(Py_ssize_t tiles, Py_ssize_t form) noexcept nogil
cdef void cut_off(Tiles* tiles, const Axes* outputs) noexcept nogil
cdef bint is_cut(const Tiles* tiles) noexcept nogil
cdef TileRange wanted_tiles(const Tiles* tiles, Py_ssize_t maps, Py_ssize_t point) noexcept nogil
cdef double products_cost(const Tiles* tiles, Py_ssize_t count, Py_ssize_t most,
                          Py_ssize_t vectors, Py_ssize_t steps) noexcept nogil
cdef Py_ssize_t point_step(Py_ssize_t numbers, Py_ssize_t itemsize) noexcept nogil
cdef void transform_tiles(const floating* x, const Tiles* tiles, TileRange held,
                          Py_ssize_t first, Py_ssize_t count, Py_ssize_t channels,
                          floating* stage, floating* v, Py_ssize_t panel, Py_ssize_t steps,
                          Py_ssize_t point_step) noexcept nogil
cdef void write_outputs(const floating* m, const Tiles* tiles, Py_ssize_t first,
                        Py_ssize_t count, Py_ssize_t tile_step, Py_ssize_t point_step,
                        Py_ssize_t channels, const floating* bias, const Ending* ending,
                        floating* stage, floating* y) noexcept nogil
cdef void transform_kernels(const floating* w, const Py_ssize_t* strides, Py_ssize_t form,
                            const Term* term, Py_ssize_t outputs, Py_ssize_t channels,
                            floating* u, Py_ssize_t channel_step,
                            Py_ssize_t point_step) noexcept nogil
cdef void write_kernel_gradients(const floating* m, Py_ssize_t point_step, Py_ssize_t form,
                                 const Term* term, Py_ssize_t channels, floating* dw,
                                 const Py_ssize_t* strides) noexcept nogil
cdef void merge_terms(const floating* taps, const Axes* weights, Py_ssize_t channels,
                      floating* dw, const Py_ssize_t* strides) noexcept nogil
