# The product of two matrices by pointers and strides, for kernels that share the threads out.

from cython cimport floating

from fastconv.engine.gemm.slab cimport Split

cdef struct Product:
    # What is asked for: C (rows, columns) = A (rows, steps) B (steps, columns); none is 0. Strides
    # are in elements.
    Py_ssize_t rows, columns, steps
    Py_ssize_t a_row, a_step, b_step, b_column, c_row, c_column
    # The plan.
    Py_ssize_t depth                    # steps of a block
    Split split                         # vectors of columns, and panels of rows
    Py_ssize_t block                    # columns of the largest block
    Py_ssize_t height                   # rows of the tallest panel
    Py_ssize_t lanes, width             # numbers in a vector, and in a row of a panel of B
    bint packs_a, packs_b
    bint transposed                     # the transposed product: one number of the bias a row
    # The workspace: where the steps lie, for all threads, then one part for each thread.
    size_t a_at, packed_a_at, b_at, packed_b_at, threads_at
    size_t b_panels, thread_bytes       # of a thread: a panel of A, and those of B

# Fill in the plan of a product whose tasks so many threads share.
cdef void plan_product(Product* p, Py_ssize_t itemsize, int threads) noexcept nogil
# Write where the steps lie into the threads' shared part of the workspace.
cdef void write_steps(const Product* p, char* shared) noexcept nogil
# Compute a product on the calling thread, which has a part of the workspace of its own.
cdef void run_product(const floating* a, const floating* b, floating* c, const Product* p,
                      char* shared, char* own) noexcept nogil
