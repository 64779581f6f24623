# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The caller has fixed all borders.
"""Products of matrices with few rows or few steps: full connections of one sample or a few.

The memory is their limit, not the arithmetic: what is large is read or written once, as it lies,
and nothing is packed. The bits are those of the tiles (matmul.pyx). thin_loops.h has the loops.
"""

from cython cimport floating

from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.gemm.slab cimport even_share, line_up, transpose

cdef extern from "gemm/thin.h" nogil:
    enum:
        ROWS "FASTCONV_THIN_ROWS"
        SUMS "FASTCONV_THIN_SUMS"
    ctypedef struct Loop "fastconv_thin":
        Py_ssize_t columns, steps, depth, a_row, a_step, b_stride, c_row
    Py_ssize_t thin_lanes "fastconv_thin_lanes"(int isa, Py_ssize_t itemsize) noexcept
    Py_ssize_t thin_steps "fastconv_thin_steps"(int isa, Py_ssize_t itemsize) noexcept
    Py_ssize_t thin_columns "fastconv_thin_columns"(int isa, Py_ssize_t itemsize,
                                                    Py_ssize_t rows) noexcept
    # Macros that choose by the type of A; thin_types.h says what the arguments are.
    void pack_turned_loop "fastconv_thin_pack_turned"(int isa, ...) noexcept
    void turned_loop "fastconv_thin_turned"(int isa, ...) noexcept
    void level_loop "fastconv_thin_level"(int isa, ...) noexcept
    void outer_loop "fastconv_thin_outer"(int isa, ...) noexcept

cdef int ISA = isa_row()


cdef bint plan_thin(Thin* thin, Py_ssize_t itemsize, bint biased, int threads) noexcept nogil:
    """Plan a product for so many threads; return whether it is thin.

    One without a whole vector of columns is not.
    """
    cdef Py_ssize_t lanes = thin_lanes(ISA, itemsize)
    if thin.columns < lanes:
        return False
    thin.bytes = 0
    if thin.steps <= thin_steps(ISA, itemsize) and thin.b_column == 1 and not biased:
        thin.kind, thin.unit, thin.units = OUTER, 1, thin.rows
    elif thin.rows <= ROWS and thin.a_step == 1 and thin.b_column == 1:
        thin.kind, thin.unit = LEVEL, lanes
    elif thin.rows <= ROWS and thin.a_step == 1 and thin.b_step == 1:
        thin.kind, thin.unit = TURNED, thin_columns(ISA, itemsize, thin.rows)
    else:
        return False
    if thin.kind != OUTER:
        # What is left over goes with the last unit.
        thin.units = max(thin.columns // thin.unit, <Py_ssize_t>1)
    thin.tasks = min(<Py_ssize_t>threads, thin.units)
    if thin.kind == LEVEL:
        thin.bytes = thin.tasks * line_up(SUMS)
    return True


cdef void run_thin(const floating* a, const floating* b, const floating* bias, floating* c,
                   const Thin* thin, Py_ssize_t task, char* workspace) noexcept nogil:
    """Compute a task: some rows of an outer product, else some columns."""
    cdef Py_ssize_t first = even_share(task, thin.units, thin.tasks) * thin.unit
    cdef Py_ssize_t past = even_share(task + 1, thin.units, thin.tasks) * thin.unit
    cdef Loop loop
    loop.columns, loop.steps, loop.depth = thin.columns, thin.steps, thin.depth
    loop.a_row, loop.a_step, loop.c_row = thin.a_row, thin.a_step, thin.c_row
    if thin.kind == OUTER:
        loop.b_stride = thin.b_step
        outer_loop(ISA, thin.steps, a + first * thin.a_row, b, c + first * thin.c_row,
                   past - first, &loop)
        return
    if task == thin.tasks - 1:
        past = thin.columns
    loop.columns = past - first
    if bias is not NULL:
        bias += first
    if thin.kind == TURNED:
        loop.b_stride = thin.b_column
        turned_loop(ISA, thin.rows, a, b + first * thin.b_column, bias, c + first, &loop)
    else:
        loop.b_stride = thin.b_step
        level_loop(ISA, thin.rows, a, b + first, bias, c + first, &loop,
                   <floating*>(workspace + task * line_up(SUMS)))


cdef void pack_turned(const floating* b, Py_ssize_t stride, Py_ssize_t columns, Py_ssize_t steps,
                      floating* target, Py_ssize_t width) noexcept nogil:
    """Write target[k * width + j] = b[j * stride + k]; j < columns, k < steps."""
    cdef Py_ssize_t lanes = thin_lanes(ISA, sizeof(floating))
    if columns < lanes or steps < lanes:
        transpose(b, stride, columns, steps, target, width)
    else:
        pack_turned_loop(ISA, b, stride, columns, steps, target, width)
