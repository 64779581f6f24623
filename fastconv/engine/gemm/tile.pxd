# The micro-kernel of the engine, for the modules that walk over tiles.

from cython cimport floating

from fastconv.engine.gemm.slab cimport Run, Target

cdef extern from "gemm/tile.h" nogil:
    enum:
        MAX_ROWS "FASTCONV_ROWS"
        MAX_VECTORS "FASTCONV_VECTORS"
        DOT_ROWS "FASTCONV_DOT_ROWS"
        DOT_COLUMNS "FASTCONV_DOT_COLUMNS"
        MAX_PIXEL_VECTORS "FASTCONV_PIXEL_VECTORS"
        BLOCKED_VECTORS "FASTCONV_BLOCKED_VECTORS"

# Vectors of a tile's row where they are pixels. Three of them and eight rows reach the peak on
# every instruction set with 32 registers, and so do four rows with 16.
cdef enum:
    VECTORS = 3

# A tile of pixels among those that share packed weights.
cdef struct Pixels:
    Py_ssize_t first, count             # its pixels, among all of them
    Py_ssize_t at                       # where they lie

cdef Py_ssize_t lanes(Py_ssize_t itemsize) noexcept nogil
cdef Py_ssize_t max_rows(Py_ssize_t itemsize, Py_ssize_t vectors) noexcept nogil
cdef void run_tile(Py_ssize_t rows, Py_ssize_t vectors, const floating** a,
                   const Py_ssize_t* a_at, const floating* b, const Py_ssize_t* b_at,
                   Py_ssize_t steps, const Target* target) noexcept nogil
cdef Py_ssize_t output_vectors(Py_ssize_t itemsize) noexcept nogil
cdef Py_ssize_t dot_rows(Py_ssize_t itemsize) noexcept nogil
cdef void run_dots(Py_ssize_t rows, const floating** a, const floating** b, Py_ssize_t vectors,
                   floating* sums, Py_ssize_t row) noexcept nogil
cdef Py_ssize_t max_pixels(Py_ssize_t itemsize, Py_ssize_t vectors) noexcept nogil
cdef void run_pixels(const Pixels* tiles, Py_ssize_t count, Py_ssize_t vectors, Py_ssize_t span,
                     const floating* x, const Py_ssize_t* x_at, const floating* w,
                     Py_ssize_t steps, Py_ssize_t near_steps, floating* near_sums,
                     floating* sums, bint accumulate) noexcept nogil
cdef void run_blocked(Py_ssize_t pixels, Py_ssize_t vectors, bint neighbours, const floating* x,
                      const Py_ssize_t* x_at, const floating* w, Py_ssize_t steps,
                      floating* sums, bint accumulate, Py_ssize_t x_ahead,
                      Py_ssize_t w_ahead) noexcept nogil
