# Maps cut into tiles for Winograd's convolution, and their transforms.

from cython cimport floating

# Of each tile's side: the points of its transform, and the distance to the next tile.
cdef enum:
    POINTS = 6
    TILE_STEP = 4
    TILE_POINTS = 36

# Room for the pixels of one piece, in bytes.
cdef enum:
    STAGE_BYTES = 49152

cdef struct Tiles:
    Py_ssize_t size                             # pixels of a tile's side: 6 or 4
    Py_ssize_t rows, columns                    # of tiles in one map
    Py_ssize_t height, width                    # of a map
    Py_ssize_t row_before, column_before        # zeros before a map
    # Of the maps (N, G, C, D, H, W), in elements: between samples, channels, rows and columns.
    Py_ssize_t sample_step, channel_step, row_step, column_step

cdef struct Piece:
    # Neighbouring tiles of one map that make up a rectangle.
    Py_ssize_t sample, row, column, rows, columns

cdef Tiles make_tiles(const Py_ssize_t* shape, const Py_ssize_t* strides, Py_ssize_t itemsize,
                      Py_ssize_t size, Py_ssize_t out_rows, Py_ssize_t out_columns,
                      Py_ssize_t row_before, Py_ssize_t column_before) noexcept nogil
cdef Piece find_piece(const Tiles* tiles, Py_ssize_t itemsize, Py_ssize_t first,
                      Py_ssize_t count) noexcept nogil
cdef Py_ssize_t point_step(Py_ssize_t numbers, Py_ssize_t itemsize) noexcept nogil
cdef void transform_tiles(const floating* x, const Tiles* tiles, Py_ssize_t first,
                          Py_ssize_t count, Py_ssize_t channels, floating* stage, floating* v,
                          Py_ssize_t tile_step, Py_ssize_t point_step) noexcept nogil
cdef void write_outputs(const floating* m, const Tiles* tiles, Py_ssize_t first,
                        Py_ssize_t count, Py_ssize_t tile_step, Py_ssize_t point_step,
                        Py_ssize_t channels, const floating* bias, floating* stage,
                        floating* y) noexcept nogil
cdef void transform_kernels(const floating* w, const Py_ssize_t* strides, Py_ssize_t outputs,
                            Py_ssize_t channels, floating* u, Py_ssize_t channel_step,
                            Py_ssize_t point_step) noexcept nogil
cdef void write_kernel_gradients(const floating* m, Py_ssize_t point_step, Py_ssize_t channels,
                                 floating* dw, const Py_ssize_t* strides) noexcept nogil
