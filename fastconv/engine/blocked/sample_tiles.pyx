# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers have made the borders.
"""The micro-kernels with samples, or groups, in the lanes, for each instruction set."""

from cython cimport floating

from fastconv.engine.base.isa cimport isa_row

cdef extern from "blocked/samples.h" nogil:
    ctypedef void (*tile_f)(const float* w, const float* x, const Loops* loops,
                            float* out) noexcept nogil
    ctypedef void (*tile_d)(const double* w, const double* x, const Loops* loops,
                            double* out) noexcept nogil
    ctypedef void (*sums_f)(const float* dy, const float* x, const Py_ssize_t* at,
                            const Lines* lines, float* sums) noexcept nogil
    ctypedef void (*sums_d)(const double* dy, const double* x, const Py_ssize_t* at,
                            const Lines* lines, double* sums) noexcept nogil
    ctypedef struct samples_f "fastconv_samples_f":
        int lanes, rows
        int[8] pixels
        tile_f[4][8] tiles
        tile_f[8] lane_tiles
        int sum_rows
        int[4] sum_steps
        sums_f[4][9] sums
        void (*gather)(const float** rows, Py_ssize_t count, const Py_ssize_t* at,
                       float* target) noexcept nogil
        void (*scatter)(const float* source, Py_ssize_t count, const float* bias,
                        float** rows) noexcept nogil
        void (*add_lanes)(const float* sums, Py_ssize_t count, float* target) noexcept nogil
    ctypedef struct samples_d "fastconv_samples_d":
        int lanes, rows
        int[8] pixels
        tile_d[4][8] tiles
        tile_d[8] lane_tiles
        int sum_rows
        int[4] sum_steps
        sums_d[4][9] sums
        void (*gather)(const double** rows, Py_ssize_t count, const Py_ssize_t* at,
                       double* target) noexcept nogil
        void (*scatter)(const double* source, Py_ssize_t count, const double* bias,
                        double** rows) noexcept nogil
        void (*add_lanes)(const double* sums, Py_ssize_t count, double* target) noexcept nogil
    const samples_f** table_f "fastconv_samples_table_f"
    const samples_d** table_d "fastconv_samples_table_d"

cdef const samples_f* samples_float = table_f[isa_row()]
cdef const samples_d* samples_double = table_d[isa_row()]


cdef Py_ssize_t sample_lanes(Py_ssize_t itemsize) noexcept nogil:
    """Return how many numbers of this size a vector holds."""
    return samples_float.lanes if itemsize == 4 else samples_double.lanes


def lanes(Py_ssize_t itemsize):
    """Return how many numbers of this size a vector holds."""
    return sample_lanes(itemsize)


cdef void gather(const floating** rows, Py_ssize_t count, const Py_ssize_t* at,
                 floating* target) noexcept nogil:
    """Write target[at[j] + lane] = rows[lane][j] for j < count; a row that is NULL is zeros."""
    if floating is float:
        samples_float.gather(rows, count, at, target)
    else:
        samples_double.gather(rows, count, at, target)


cdef void scatter(const floating* source, Py_ssize_t count, const floating* bias,
                  floating** rows) noexcept nogil:
    """Write rows[lane][j] = source[j * lanes + lane] + bias[lane] into rows that are not NULL."""
    if floating is float:
        samples_float.scatter(source, count, bias, rows)
    else:
        samples_double.scatter(source, count, bias, rows)


cdef Py_ssize_t tile_rows(Py_ssize_t itemsize) noexcept nogil:
    """Return the output channels of the tallest tile."""
    return samples_float.rows if itemsize == 4 else samples_double.rows


cdef Py_ssize_t tile_pixels(Py_ssize_t rows, Py_ssize_t itemsize) noexcept nogil:
    """Return the pixels of the widest tile of so many output channels."""
    return samples_float.pixels[rows - 1] if itemsize == 4 else samples_double.pixels[rows - 1]


cdef void run_tile(Py_ssize_t rows, Py_ssize_t pixels, bint across, const floating* w,
                   const floating* x, const Loops* loops, floating* out) noexcept nogil:
    """Compute a tile of so many output channels and pixels; `across`: of one output channel."""
    if across:
        if floating is float:
            samples_float.lane_tiles[pixels - 1](w, x, loops, out)
        else:
            samples_double.lane_tiles[pixels - 1](w, x, loops, out)
    elif floating is float:
        samples_float.tiles[pixels - 1][rows - 1](w, x, loops, out)
    else:
        samples_double.tiles[pixels - 1][rows - 1](w, x, loops, out)


cdef Py_ssize_t sum_rows(Py_ssize_t itemsize) noexcept nogil:
    """Return the most output channels of sums of the weight gradient."""
    return samples_float.sum_rows if itemsize == 4 else samples_double.sum_rows


cdef Py_ssize_t sum_steps(Py_ssize_t rows, Py_ssize_t itemsize) noexcept nogil:
    """Return the most steps of sums of so many output channels."""
    if itemsize == 4:
        return samples_float.sum_steps[rows - 1]
    return samples_double.sum_steps[rows - 1]


cdef void run_sums(Py_ssize_t rows, Py_ssize_t steps, const floating* dy, const floating* x,
                   const Py_ssize_t* at, const Lines* lines, floating* sums) noexcept nogil:
    """Add the products of some output channels and steps to their sums."""
    if floating is float:
        samples_float.sums[rows - 1][steps - 1](dy, x, at, lines, sums)
    else:
        samples_double.sums[rows - 1][steps - 1](dy, x, at, lines, sums)


cdef void add_lanes(const floating* sums, Py_ssize_t count, floating* target) noexcept nogil:
    """Write the sum of the lanes of each vector; their count is a multiple of the lanes."""
    if floating is float:
        samples_float.add_lanes(sums, count, target)
    else:
        samples_double.add_lanes(sums, count, target)
