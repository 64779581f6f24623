# Products with few rows or few steps, for gemm.matmul.

from cython cimport floating

# How the large operand is read or written, once, as it lies.
cdef enum Kind:
    TURNED          # few rows; the columns of B are rows in memory
    LEVEL           # few rows; the rows of B are
    OUTER           # few steps; C is large

cdef struct Thin:
    # What is asked for: C (rows, columns) = A (rows, steps) B (steps, columns). Strides are in
    # elements; the columns of C are neighbours.
    Py_ssize_t rows, columns, steps
    Py_ssize_t depth                    # steps that are summed at once
    Py_ssize_t a_row, a_step, b_step, b_column, c_row
    # The plan.
    Kind kind
    Py_ssize_t unit, units              # of columns, or of rows, that the tasks share
    Py_ssize_t tasks
    size_t bytes                        # of the tasks' workspace

# Plan a product for so many threads; return whether it is thin.
cdef bint plan_thin(Thin* thin, Py_ssize_t itemsize, bint biased, int threads) noexcept nogil
# Compute a task.
cdef void run_thin(const floating* a, const floating* b, const floating* bias, floating* c,
                   const Thin* thin, Py_ssize_t task, char* workspace) noexcept nogil
# Write columns of B that are rows in memory side by side, for tiles.
cdef void pack_turned(const floating* b, Py_ssize_t stride, Py_ssize_t columns, Py_ssize_t steps,
                      floating* target, Py_ssize_t width) noexcept nogil
