# The register tile and the transpositions of tile_loops.h, for the instruction set in use.

from cython cimport floating

from fastconv.engine.base.arrays cimport Ending

cdef extern from "blocked/tile_steps.h" nogil:
    ctypedef struct Steps "fastconv_steps":
        Py_ssize_t[3] count, a_hop, b_hop
        const Py_ssize_t* outer_at
        const Py_ssize_t* inner_at
        const Py_ssize_t* b_at
        Py_ssize_t a_row, b_column, out_row, out_column
        bint first
    enum:
        SAMPLES "FASTCONV_SAMPLES"
        GROUPS "FASTCONV_GROUPS"
        LANE_SUMS "FASTCONV_LANE_SUMS"
        CHANNELS "FASTCONV_CHANNELS"
        PAIRS "FASTCONV_PAIRS"
        CHANNEL_SUMS "FASTCONV_CHANNEL_SUMS"
        PAIR_SUMS "FASTCONV_PAIR_SUMS"

cdef enum:
    MAX_LANES = 16

cdef Py_ssize_t vector_lanes(Py_ssize_t itemsize) noexcept nogil
cdef Py_ssize_t most_rows(int kind, Py_ssize_t columns, Py_ssize_t itemsize) noexcept nogil
cdef Py_ssize_t most_columns(int kind, Py_ssize_t rows, Py_ssize_t itemsize) noexcept nogil
cdef void run_tile(int kind, Py_ssize_t rows, Py_ssize_t columns, const floating* a,
                   const floating* b, const Steps* steps, floating* out) noexcept nogil
cdef void gather(const floating** rows, Py_ssize_t count, const Py_ssize_t* at,
                 floating* target) noexcept nogil
cdef void scatter(const floating* source, Py_ssize_t count, const floating* bias,
                  const Ending* ending, floating** rows) noexcept nogil
cdef void add_lanes(const floating* sums, Py_ssize_t count, floating* target) noexcept nogil
