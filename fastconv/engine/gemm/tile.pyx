# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The kernels that call this have fixed all borders.
"""The micro-kernel of the engine, for the modules that walk over tiles.

    C[i, j] (+)= sum over the steps l of A[i][a_at[l]] * B[b_at[l] + j]  (+ bias[i])

One number of each row of A is broadcast and multiplied with a few vectors of B. Both operands are
addressed through lists of offsets, so that a packed panel, a slab and an array in place are the
same to it. tile_loops.h says how a tile leaves the registers.
"""


from libc.stdlib cimport free, malloc

from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport EVEN, parallel_for

cdef extern from "gemm/tile.h" nogil:
    ctypedef struct target_f "fastconv_target_f":
        float* c
        Py_ssize_t row
        const Run* runs
        Py_ssize_t n_runs
        const float* bias
        bint accumulate
    ctypedef struct target_d "fastconv_target_d":
        double* c
        Py_ssize_t row
        const Run* runs
        Py_ssize_t n_runs
        const double* bias
        bint accumulate
    ctypedef void (*tile_f)(const float** a, const Py_ssize_t* a_at, const float* b,
                            const Py_ssize_t* b_at, Py_ssize_t steps,
                            const target_f* target) noexcept nogil
    ctypedef void (*tile_d)(const double** a, const Py_ssize_t* a_at, const double* b,
                            const Py_ssize_t* b_at, Py_ssize_t steps,
                            const target_d* target) noexcept nogil
    ctypedef void (*dot_f)(const float** a, const float** b, Py_ssize_t vectors, float* sums,
                           Py_ssize_t row) noexcept nogil
    ctypedef void (*pixels_f)(const float* x, const Py_ssize_t* x_at, const float* w,
                              Py_ssize_t steps, const float* start, float* sums,
                              bint accumulate) noexcept nogil
    ctypedef void (*blocked_f)(const float* x, const Py_ssize_t* x_at, const float* w,
                               Py_ssize_t steps, float* sums, bint accumulate,
                               Py_ssize_t x_ahead, Py_ssize_t w_ahead) noexcept nogil
    ctypedef struct tiles_f "fastconv_tiles_f":
        int lanes
        int[4] max_rows
        tile_f[4][12] tiles
        int dot_rows
        dot_f[6] dots
        int[3] max_pixels
        pixels_f[3][3][14] pixels
        blocked_f[2][2][14] blocked
    ctypedef void (*dot_d)(const double** a, const double** b, Py_ssize_t vectors, double* sums,
                           Py_ssize_t row) noexcept nogil
    ctypedef void (*pixels_d)(const double* x, const Py_ssize_t* x_at, const double* w,
                              Py_ssize_t steps, const double* start, double* sums,
                              bint accumulate) noexcept nogil
    ctypedef void (*blocked_d)(const double* x, const Py_ssize_t* x_at, const double* w,
                               Py_ssize_t steps, double* sums, bint accumulate,
                               Py_ssize_t x_ahead, Py_ssize_t w_ahead) noexcept nogil
    ctypedef struct tiles_d "fastconv_tiles_d":
        int lanes
        int[4] max_rows
        tile_d[4][12] tiles
        int dot_rows
        dot_d[6] dots
        int[3] max_pixels
        pixels_d[3][3][14] pixels
        blocked_d[2][2][14] blocked
    const tiles_f** table_f "fastconv_tile_table_f"
    const tiles_d** table_d "fastconv_tile_table_d"

cdef const tiles_f* tiles_float = table_f[isa_row()]
cdef const tiles_d* tiles_double = table_d[isa_row()]


cdef Py_ssize_t lanes(Py_ssize_t itemsize) noexcept nogil:
    """Return how many numbers of this size a vector holds."""
    return tiles_float.lanes if itemsize == 4 else tiles_double.lanes


cdef Py_ssize_t max_rows(Py_ssize_t itemsize, Py_ssize_t vectors) noexcept nogil:
    """Return the rows of the tallest tile that is so many vectors wide."""
    if itemsize == 4:
        return tiles_float.max_rows[vectors - 1]
    return tiles_double.max_rows[vectors - 1]


cdef Py_ssize_t output_vectors(Py_ssize_t itemsize) noexcept nogil:
    """Return the most vectors of a tile's row where they are output channels.

    The tile should be nearly square: the widest needs registers for as many rows as vectors.
    """
    return MAX_VECTORS if max_rows(itemsize, MAX_VECTORS) >= MAX_VECTORS else MAX_VECTORS - 1


cdef void run_tile(Py_ssize_t rows, Py_ssize_t vectors, const floating** a,
                   const Py_ssize_t* a_at, const floating* b, const Py_ssize_t* b_at,
                   Py_ssize_t steps, floating* c, Py_ssize_t c_row, const Run* runs,
                   Py_ssize_t n_runs, const floating* bias, bint accumulate) noexcept nogil:
    """Compute one tile; row i of it goes to c + i * c_row, its columns where the runs say."""
    cdef target_f to_f
    cdef target_d to_d
    if floating is float:
        to_f.c, to_f.row, to_f.runs, to_f.n_runs = c, c_row, runs, n_runs
        to_f.bias, to_f.accumulate = bias, accumulate
        tiles_float.tiles[vectors - 1][rows - 1](a, a_at, b, b_at, steps, &to_f)
    else:
        to_d.c, to_d.row, to_d.runs, to_d.n_runs = c, c_row, runs, n_runs
        to_d.bias, to_d.accumulate = bias, accumulate
        tiles_double.tiles[vectors - 1][rows - 1](a, a_at, b, b_at, steps, &to_d)


cdef Py_ssize_t dot_rows(Py_ssize_t itemsize) noexcept nogil:
    """Return the most rows of sums along the vectors."""
    return tiles_float.dot_rows if itemsize == 4 else tiles_double.dot_rows


cdef void run_dots(Py_ssize_t rows, const floating** a, const floating** b, Py_ssize_t vectors,
                   floating* sums, Py_ssize_t row) noexcept nogil:
    """Add the products of rows of A and of DOT_COLUMNS rows of B, lane by lane, to `sums`.

    The vector of row i and column j begins at (i * row + j) * lanes.
    """
    if floating is float:
        tiles_float.dots[rows - 1](a, b, vectors, sums, row)
    else:
        tiles_double.dots[rows - 1](a, b, vectors, sums, row)


cdef Py_ssize_t max_pixels(Py_ssize_t itemsize, Py_ssize_t vectors) noexcept nogil:
    """Return the most pixels of a tile whose rows are pixels, so many vectors wide."""
    if itemsize == 4:
        return tiles_float.max_pixels[vectors - 1]
    return tiles_double.max_pixels[vectors - 1]


cdef void run_pixels(Py_ssize_t pixels, Py_ssize_t vectors, Py_ssize_t span, const floating* x,
                     const Py_ssize_t* x_at, const floating* w, Py_ssize_t steps,
                     const floating* start, floating* sums, bint accumulate) noexcept nogil:
    """Compute one tile with pixels in the rows and output channels in the lanes.

    `span` steps in a row (1, or for one vector 3 or 5) read neighbours of `x`. The sums go on from
    `start`, or from zero where it is NULL.
    """
    if floating is float:
        tiles_float.pixels[span // 2][vectors - 1][pixels - 1](x, x_at, w, steps, start, sums,
                                                               accumulate)
    else:
        tiles_double.pixels[span // 2][vectors - 1][pixels - 1](x, x_at, w, steps, start, sums,
                                                                accumulate)


cdef void run_blocked(Py_ssize_t pixels, Py_ssize_t vectors, bint neighbours, const floating* x,
                      const Py_ssize_t* x_at, const floating* w, Py_ssize_t steps,
                      floating* sums, bint accumulate, Py_ssize_t x_ahead,
                      Py_ssize_t w_ahead) noexcept nogil:
    """Compute one tile as run_pixels does, of pixels that are neighbours or lie a vector apart.

    What lies `x_ahead` and `w_ahead` is fetched meanwhile; of neighbours, a cache line a step.
    """
    if floating is float:
        tiles_float.blocked[neighbours][vectors - 1][pixels - 1](
            x, x_at, w, steps, sums, accumulate, x_ahead, w_ahead)
    else:
        tiles_double.blocked[neighbours][vectors - 1][pixels - 1](
            x, x_at, w, steps, sums, accumulate, x_ahead, w_ahead)


def tile_shape(Py_ssize_t itemsize, bint weight_gradient):
    """Return the rows and columns of the engine's tile for numbers of this size."""
    vectors = output_vectors(itemsize) if weight_gradient else VECTORS
    return max_rows(itemsize, vectors), vectors * lanes(itemsize)


# What the threads of `run_peak` share.
cdef struct Peak:
    Py_ssize_t itemsize, steps, repeats
    const void* data
    const Py_ssize_t* at
    void* sums


cdef void repeat_tile(const floating* data, const Peak* peak, Py_ssize_t task) noexcept nogil:
    """Compute a full tile again and again."""
    cdef Py_ssize_t rows = max_rows(sizeof(floating), VECTORS), steps = peak.steps
    cdef Py_ssize_t width = VECTORS * lanes(sizeof(floating)), i, _
    cdef const floating* a[MAX_ROWS]
    cdef Run run
    for i in range(rows):
        a[i] = data + i * steps
    run.first, run.count, run.at, run.step = 0, width, 0, 1
    for _ in range(peak.repeats):
        run_tile(rows, VECTORS, a, peak.at, data + rows * steps, peak.at + steps, steps,
                 <floating*>peak.sums + task * rows * width, width, &run, 1,
                 <const floating*>NULL, False)


cdef void peak_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Peak* peak = <const Peak*>context
    if peak.itemsize == sizeof(float):
        repeat_tile(<const float*>peak.data, peak, task)
    else:
        repeat_tile(<const double*>peak.data, peak, task)


def run_peak(floating one, Py_ssize_t steps, Py_ssize_t repeats, int threads):
    """Compute `repeats` full tiles of `steps` steps on each thread, from first-level cache.

    All operands hold the number `one`, which also fixes the type. The benchmarks time it: no
    convolution of this type can be faster. Returns the floating-point operations done.
    """
    cdef Py_ssize_t rows = max_rows(sizeof(floating), VECTORS)
    cdef Py_ssize_t width = VECTORS * lanes(sizeof(floating)), i
    cdef Peak peak
    cdef Py_ssize_t* at = <Py_ssize_t*>malloc(2 * steps * sizeof(Py_ssize_t))
    cdef floating* data = <floating*>malloc((rows * steps + steps * width) * sizeof(floating))
    cdef floating* sums = <floating*>malloc(threads * rows * width * sizeof(floating))
    if at is NULL or data is NULL or sums is NULL:
        free(at)
        free(data)
        free(sums)
        raise MemoryError("no room for the operands")
    for i in range(steps):
        at[i] = i
        at[steps + i] = i * width
    for i in range(rows * steps + steps * width):
        data[i] = one
    peak.itemsize, peak.steps, peak.repeats = sizeof(floating), steps, repeats
    peak.data, peak.at, peak.sums = data, at, sums
    with nogil:
        parallel_for(threads, threads, peak_task, &peak, EVEN)
    free(at)
    free(data)
    free(sums)
    return 2 * rows * width * steps * repeats * threads
