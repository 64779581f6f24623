# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The kernels that call this have fixed all borders.
"""The micro-kernel of the engine, for the modules that walk over tiles.

    C[i, j] (+)= sum over the steps l of A[i][a_at[l]] * B[b_at[l] + j]  (+ bias[i])

One number of each row of A is broadcast and multiplied with a few vectors of B. Both operands are
addressed through lists of offsets, so that a packed panel, a slab and an array in place are the
same to it. tile_loops.h says how a tile leaves the registers.
"""

from fastconv.engine.base.axis cimport ceil_div
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport parallel_for
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.gemm.slab cimport fetch

cdef extern from "gemm/tile.h" nogil:
    enum:
        APART "FASTCONV_APART"
        NEIGHBOURS "FASTCONV_NEIGHBOURS"
    ctypedef struct Sizes "fastconv_sizes":
        int lanes
        int[4] max_rows
        int output_vectors
        int dot_rows
        int[3] max_pixels
    const Sizes* sizes_of "fastconv_sizes_of"(int isa, Py_ssize_t itemsize) noexcept
    # Macros that choose by the type of an operand; tile_types.h says what the arguments are.
    void tile_loop "fastconv_run_tile"(int isa, ...) noexcept
    void dot_loop "fastconv_run_dots"(int isa, ...) noexcept
    void pixel_loop "fastconv_run_pixels"(int isa, ...) noexcept

cdef int ISA = isa_row()


cdef Py_ssize_t lanes(Py_ssize_t itemsize) noexcept nogil:
    """Return how many numbers of this size a vector holds."""
    return sizes_of(ISA, itemsize).lanes


cdef Py_ssize_t max_rows(Py_ssize_t itemsize, Py_ssize_t vectors) noexcept nogil:
    """Return the rows of the tallest tile that is so many vectors wide."""
    return sizes_of(ISA, itemsize).max_rows[vectors - 1]


cdef Py_ssize_t output_vectors(Py_ssize_t itemsize) noexcept nogil:
    """Return the most vectors of a tile's row where they are output channels."""
    return sizes_of(ISA, itemsize).output_vectors


cdef void run_tile(Py_ssize_t rows, Py_ssize_t vectors, const floating** a,
                   const Py_ssize_t* a_at, const floating* b, const Py_ssize_t* b_at,
                   Py_ssize_t steps, const Target* target) noexcept nogil:
    """Compute one tile, which goes where the target says."""
    tile_loop(ISA, rows, vectors, a, a_at, b, b_at, steps, target)


cdef Py_ssize_t dot_rows(Py_ssize_t itemsize) noexcept nogil:
    """Return the most rows of sums along the vectors."""
    return sizes_of(ISA, itemsize).dot_rows


cdef void run_dots(Py_ssize_t rows, const floating** a, const floating** b, Py_ssize_t vectors,
                   floating* sums, Py_ssize_t row) noexcept nogil:
    """Add the products of rows of A and of DOT_COLUMNS rows of B, lane by lane, to `sums`.

    The vector of row i and column j begins at (i * row + j) * lanes.
    """
    dot_loop(ISA, rows, a, b, vectors, sums, row)


cdef Py_ssize_t max_pixels(Py_ssize_t itemsize, Py_ssize_t vectors) noexcept nogil:
    """Return the most pixels of a tile whose rows are pixels, so many vectors wide."""
    return sizes_of(ISA, itemsize).max_pixels[vectors - 1]


cdef void run_pixels(const Pixels* tiles, Py_ssize_t count, Py_ssize_t vectors, Py_ssize_t span,
                     const floating* x, const Py_ssize_t* x_at, const floating* w,
                     Py_ssize_t steps, Py_ssize_t near_steps, floating* near_sums,
                     floating* sums, bint accumulate) noexcept nogil:
    """Compute tiles with pixels in the rows and output channels in the lanes.

    All of them read the weights, `near_steps` at a time: these stay in the first-level cache, and
    the sums wait in `near_sums` for the next. `span` steps in a row (1, or for one vector 3 or 5)
    read neighbours of `x`. A row of sums is as wide as one of the weights.
    """
    cdef Py_ssize_t width = vectors * lanes(sizeof(floating)), line = 64 // sizeof(floating)
    cdef Py_ssize_t near, number, share, i, _
    cdef const floating* start = NULL
    cdef const floating* ahead
    cdef floating* target
    cdef bint last
    for near from 0 <= near < steps by near_steps:
        number = min(near_steps, steps - near)
        last = near + number == steps
        target = sums if last else near_sums
        ahead = w + number * width
        share = ceil_div(number * width, count * line)
        for i in range(count):
            # The next part of the weights, meanwhile.
            for _ in range(share):
                fetch(ahead)
                ahead += line
            pixel_loop(ISA, tiles[i].count, vectors, span // 2, x + tiles[i].at, x_at + near, w,
                       number, start + tiles[i].first * width if start is not NULL else start,
                       target + tiles[i].first * width, last and accumulate, 0, 0)
        w += number * width
        start = near_sums


cdef void run_blocked(Py_ssize_t pixels, Py_ssize_t vectors, bint neighbours, const floating* x,
                      const Py_ssize_t* x_at, const floating* w, Py_ssize_t steps,
                      floating* sums, bint accumulate, Py_ssize_t x_ahead,
                      Py_ssize_t w_ahead) noexcept nogil:
    """Compute one tile as run_pixels does, of pixels that are neighbours or lie a vector apart.

    What lies `x_ahead` and `w_ahead` is fetched meanwhile; of neighbours, a cache line a step.
    """
    pixel_loop(ISA, pixels, vectors, NEIGHBOURS if neighbours else APART, x, x_at, w, steps,
               <const floating*>NULL, sums, accumulate, x_ahead, w_ahead)


def vector_lanes(Py_ssize_t itemsize):
    """Return how many numbers of this size a vector holds."""
    return lanes(itemsize)


def tile_shape(Py_ssize_t itemsize, bint weight_gradient):
    """Return the rows and columns of the engine's tile for numbers of this size."""
    vectors = output_vectors(itemsize) if weight_gradient else VECTORS
    return max_rows(itemsize, vectors), vectors * lanes(itemsize)


# What the threads of `run_peak` share.
cdef struct Peak:
    Py_ssize_t itemsize, steps
    const void* data
    const Py_ssize_t* at
    void* sums


cdef void peak_tile(const floating* data, const Peak* peak, int thread) noexcept nogil:
    """Compute a full tile."""
    cdef Py_ssize_t rows = max_rows(sizeof(floating), VECTORS), steps = peak.steps
    cdef Py_ssize_t width = VECTORS * lanes(sizeof(floating)), i
    cdef const floating* a[MAX_ROWS]
    cdef Run run
    cdef Target target
    for i in range(rows):
        a[i] = data + i * steps
    run.first, run.count, run.at, run.step = 0, width, 0, 1
    target.c, target.row = <floating*>peak.sums + thread * rows * width, width
    target.runs, target.n_runs, target.accumulate, target.a_ahead = &run, 1, False, 0
    target.row_bias = target.column_bias = target.ending = NULL
    run_tile(rows, VECTORS, a, peak.at, data + rows * steps, peak.at + steps, steps, &target)


cdef void peak_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Peak* peak = <const Peak*>context
    if peak.itemsize == sizeof(float):
        peak_tile(<const float*>peak.data, peak, thread)
    else:
        peak_tile(<const double*>peak.data, peak, thread)


def run_peak(floating one, Py_ssize_t steps, Py_ssize_t repeats, int threads):
    """Compute `repeats` full tiles of `steps` steps for each thread, from first-level cache.

    All operands hold the number `one`, which also fixes the type. The benchmarks time it: no
    convolution of this type can be faster. Returns the floating-point operations done.
    """
    cdef Py_ssize_t rows = max_rows(sizeof(floating), VECTORS)
    cdef Py_ssize_t width = VECTORS * lanes(sizeof(floating)), i
    cdef Peak peak
    cdef Py_ssize_t numbers = rows * steps + steps * width
    cdef Py_ssize_t* at = <Py_ssize_t*>take(2 * steps * sizeof(Py_ssize_t)
                                            + (numbers + threads * rows * width) * sizeof(floating))
    cdef floating* data = <floating*>(at + 2 * steps)
    for i in range(steps):
        at[i] = i
        at[steps + i] = i * width
    for i in range(numbers):
        data[i] = one
    peak.itemsize, peak.steps = sizeof(floating), steps
    peak.data, peak.at, peak.sums = data, at, data + numbers
    with nogil:
        parallel_for(threads, threads * repeats, peak_task, &peak)
    give(at)
    return 2 * rows * width * steps * repeats * threads
