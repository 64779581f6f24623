# What kernels.h gives: the tables of a plan that its loops read, and the loops of each
# instruction set.

cdef extern from "depthwise/kernels.h" nogil:
    Py_ssize_t shared_taps "fastconv_shared_taps"(Py_ssize_t taps) noexcept
    Py_ssize_t held_runs "fastconv_held_runs"(Py_ssize_t registers, Py_ssize_t shared) noexcept
    ctypedef struct SubKernel "fastconv_subkernel":
        Py_ssize_t runs, shared, first_tap
        const Py_ssize_t* offsets
    ctypedef struct Span "fastconv_span":
        Py_ssize_t first, low, high
    ctypedef struct Registers "fastconv_registers":
        Py_ssize_t number, vector_bytes, rows, vectors
    const Registers** registers_of "fastconv_registers_of"
    # Macros that choose by the type of the argument after `isa`; rows.h says what the others are.
    void correlate "fastconv_correlate"(int isa, ...) noexcept
    void accumulate "fastconv_accumulate"(int isa, ...) noexcept
    void pack_rows "fastconv_pack_rows"(int isa, ...) noexcept
    void interleave "fastconv_interleave"(int isa, ...) noexcept
