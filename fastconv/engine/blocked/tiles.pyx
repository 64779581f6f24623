# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers have made the borders.
"""The register tile and the transpositions of few channels, for the instruction set in use."""

from cython cimport floating

from fastconv.engine.base.isa cimport isa_row

cdef extern from "blocked/tile.h" nogil:
    void choose "fastconv_choose_blocked"(int isa) noexcept
    Py_ssize_t lanes_of "fastconv_lanes"(Py_ssize_t itemsize) noexcept
    bint has_tile "fastconv_has_tile"(Py_ssize_t itemsize, int kind, Py_ssize_t rows,
                                      Py_ssize_t columns) noexcept
    # Macros that choose by the type of a pointer; tile_types.h says what they call.
    void tile_of "fastconv_run_tile"(int kind, Py_ssize_t rows, Py_ssize_t columns, ...) noexcept
    void gather_of "fastconv_gather"(...) noexcept
    void scatter_of "fastconv_scatter"(...) noexcept
    void add_lanes_of "fastconv_add_lanes"(...) noexcept

choose(isa_row())


cdef Py_ssize_t vector_lanes(Py_ssize_t itemsize) noexcept nogil:
    """Return how many numbers of this size a vector holds."""
    return lanes_of(itemsize)


cdef Py_ssize_t most_rows(int kind, Py_ssize_t columns, Py_ssize_t itemsize) noexcept nogil:
    """Return the rows of the tallest tile of so many columns."""
    cdef Py_ssize_t rows = 0
    while has_tile(itemsize, kind, rows + 1, columns):
        rows += 1
    return rows


cdef Py_ssize_t most_columns(int kind, Py_ssize_t rows, Py_ssize_t itemsize) noexcept nogil:
    """Return the columns of the widest tile of so many rows."""
    cdef Py_ssize_t columns = 0
    while has_tile(itemsize, kind, rows, columns + 1):
        columns += 1
    return columns


cdef void run_tile(int kind, Py_ssize_t rows, Py_ssize_t columns, const floating* a,
                   const floating* b, const Steps* steps, floating* out) noexcept nogil:
    """Compute a tile of one kind (tile_steps.h)."""
    tile_of(kind, rows, columns, a, b, steps, out)


cdef void gather(const floating** rows, Py_ssize_t count, const Py_ssize_t* at,
                 floating* target) noexcept nogil:
    """Write target[at[j] + lane] = rows[lane][j] for j < count; a row that is NULL is zeros."""
    gather_of(target, rows, count, at)


cdef void scatter(const floating* source, Py_ssize_t count, const floating* bias,
                  const Ending* ending, floating** rows) noexcept nogil:
    """Write rows[lane][j] = source[j * lanes + lane] + bias[lane] into rows that are not NULL.

    The bias and what ends them may be NULL.
    """
    scatter_of(source, count, bias, ending, rows)


cdef void add_lanes(const floating* sums, Py_ssize_t count, floating* target) noexcept nogil:
    """Write the sum of the lanes of each vector; their count is a multiple of the lanes."""
    add_lanes_of(sums, count, target)


def lanes(Py_ssize_t itemsize):
    """Return how many numbers of this size a vector holds."""
    return vector_lanes(itemsize)


def most_turns(Py_ssize_t itemsize):
    """Return the most groups whose channels can take turns in a vector."""
    return 2 if has_tile(itemsize, PAIRS, 1, 1) else 1
