# The tiles with samples in the lanes, for the modules that lay maps out so.

from cython cimport floating

cdef extern from "blocked/samples_steps.h" nogil:
    ctypedef struct Loops "fastconv_sample_loops":
        Py_ssize_t[3] count, w_hop, x_hop
        Py_ssize_t w_row, x_pixel, out_row, out_pixel
    ctypedef struct Lines "fastconv_sample_lines":
        Py_ssize_t lines, pixels, dy_row, sums_row, dy_line, x_line, x_pixel
        bint first
    enum:
        LANE_PIXELS "FASTCONV_LANE_PIXELS"

cdef enum:
    MAX_LANES = 16

cdef Py_ssize_t sample_lanes(Py_ssize_t itemsize) noexcept nogil
cdef void gather(const floating** rows, Py_ssize_t count, const Py_ssize_t* at,
                 floating* target) noexcept nogil
cdef void scatter(const floating* source, Py_ssize_t count, const floating* bias,
                  floating** rows) noexcept nogil
cdef Py_ssize_t tile_rows(Py_ssize_t itemsize) noexcept nogil
cdef Py_ssize_t tile_pixels(Py_ssize_t rows, Py_ssize_t itemsize) noexcept nogil
cdef void run_tile(Py_ssize_t rows, Py_ssize_t pixels, bint across, const floating* w,
                   const floating* x, const Loops* loops, floating* out) noexcept nogil
cdef Py_ssize_t sum_rows(Py_ssize_t itemsize) noexcept nogil
cdef Py_ssize_t sum_steps(Py_ssize_t rows, Py_ssize_t itemsize) noexcept nogil
cdef void run_sums(Py_ssize_t rows, Py_ssize_t steps, const floating* dy, const floating* x,
                   const Py_ssize_t* at, const Lines* lines, floating* sums) noexcept nogil
cdef void add_lanes(const floating* sums, Py_ssize_t count, floating* target) noexcept nogil
