# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: fastconv.functional has compared the shapes.
"""The product of two matrices, C = A B, on the engine's tile: the full connection.

Where rows or steps are few the memory is the limit, and thin.pyx computes; else:

    JC  blocks of columns of B, and parts of the rows of A   a task for a thread
    PC    blocks of steps                                    a block of B is packed
    IR      panels of rows of A                              in the first-level cache
    JR        panels of columns of B                         stream from the second-level cache
    tile        rows x vectors of sums                       registers

A is read where it lies, if its steps are neighbours or few. B is packed, unless its rows are read
but once or twice. An element of C adds its products in the order of the steps, cut at borders that
their number sets: it has the same bits whatever the other rows, the columns and the threads.
"""

import numpy as np

from cython cimport floating

from libc.string cimport memcpy

from fastconv.engine.base.arrays cimport View, look
from fastconv.engine.base.axis cimport ceil_div
from fastconv.engine.base.threads cimport parallel_for, threads_for
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.gemm.slab cimport (
    Run, Share, Target, block_steps, even_share, find_share, line_up, make_split, pack_rows,
    split_tasks)
from fastconv.engine.gemm.thin cimport Thin, pack_turned, plan_thin, run_thin
from fastconv.engine.gemm.tile cimport MAX_ROWS, lanes, max_rows, output_vectors, run_tile

from fastconv.engine.base.memory import empty

cdef object FLOAT32 = np.dtype(np.float32)
cdef object FLOAT64 = np.dtype(np.float64)

# A block of B: most of a common second-level cache.
cdef Py_ssize_t BLOCK_BYTES = 5 << 17
# More steps that are no neighbours, each in a cache line of its own, leave the first-level cache.
cdef Py_ssize_t SCATTERED_STEPS = 256
# So far apart, all of them share one set of that cache.
cdef Py_ssize_t PAGE_BYTES = 4096
# Up to so many rows, a product of W^T may be transposed.
cdef Py_ssize_t FEW_ROWS = 16
# Multiply-adds in the time in which a number of the largest matrix comes from its cache, or goes
# there: of few rows, or few steps, that is what takes the time.
cdef double MOVED = 4


# What the tasks share.
cdef struct Context:
    const Product* product
    const Thin* thin
    Py_ssize_t itemsize
    const void* a
    const void* b
    const void* bias                    # or NULL
    void* c
    char* shared


cdef Py_ssize_t sum_depth(Py_ssize_t steps, Py_ssize_t itemsize) noexcept nogil:
    """Return the steps of a block, which are summed from zero on."""
    return ceil_div(steps, ceil_div(steps, block_steps(itemsize)))


cdef void make_plan(Product* p, Py_ssize_t itemsize, int threads) noexcept nogil:
    """Choose blocks and panels, and lay out the workspace."""
    cdef Py_ssize_t most = output_vectors(itemsize), vectors = ceil_div(p.columns, lanes(itemsize))
    p.lanes = lanes(itemsize)
    p.depth = sum_depth(p.steps, itemsize)
    p.split = make_split(1, vectors, ceil_div(p.columns, BLOCK_BYTES // (p.depth * itemsize)),
                         ceil_div(p.rows, max_rows(itemsize, min(vectors, most))), threads)
    vectors = ceil_div(vectors, p.split.blocks)
    p.block = vectors * p.lanes
    vectors = ceil_div(vectors, ceil_div(vectors, most))
    p.width = vectors * p.lanes
    p.height = max_rows(itemsize, vectors)
    p.split.panels = ceil_div(p.rows, p.height)
    p.split.parts = min(p.split.parts, p.split.panels)
    p.packs_a = p.a_step != 1 and (
        p.depth > SCATTERED_STEPS
        or p.a_step * itemsize % PAGE_BYTES == 0 and p.block > 2 * p.width)
    p.packs_b = p.b_column != 1 or p.split.panels > 2 * p.split.parts
    p.a_at = 0
    p.packed_a_at = p.a_at + line_up(p.depth * sizeof(Py_ssize_t))
    p.b_at = p.packed_a_at + line_up(p.depth * sizeof(Py_ssize_t))
    p.packed_b_at = p.b_at + line_up(p.depth * sizeof(Py_ssize_t))
    p.threads_at = p.packed_b_at + line_up(p.depth * sizeof(Py_ssize_t))
    p.b_panels = line_up(p.depth * p.height * itemsize) if p.packs_a else 0
    p.thread_bytes = p.b_panels + line_up(
        ceil_div(p.block, p.width) * p.depth * p.width * itemsize)


cdef void transpose_product(Product* p) noexcept nogil:
    """Make it the product of the transposed matrices."""
    p.rows, p.columns = p.columns, p.rows
    p.a_row, p.b_column = p.b_column, p.a_row
    p.a_step, p.b_step = p.b_step, p.a_step
    p.c_row, p.c_column = p.c_column, p.c_row
    p.transposed = True


cdef void plan_product(Product* p, Py_ssize_t itemsize, int threads) noexcept nogil:
    p.transposed = False
    # Transposed, the smaller matrix is packed, but the tiles leave number by number, and those of
    # one vector have a load for each product: worse than packing a matrix that lies in a cache, or
    # that serves many rows.
    if (p.b_column != 1 and p.rows <= FEW_ROWS
            and (p.rows > lanes(itemsize) or p.steps * p.columns * itemsize > BLOCK_BYTES)
            and (p.columns - p.rows) * <double>p.steps > 3.0 * p.rows * p.columns):
        transpose_product(p)
    make_plan(p, itemsize, threads)


cdef void write_steps(const Product* p, char* shared) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(p.depth):
        (<Py_ssize_t*>(shared + p.a_at))[i] = i * p.a_step
        (<Py_ssize_t*>(shared + p.b_at))[i] = i * p.b_step
        (<Py_ssize_t*>(shared + p.packed_a_at))[i] = i * p.height
        (<Py_ssize_t*>(shared + p.packed_b_at))[i] = i * p.width


cdef void multiply_block(const floating* a, const floating* b, const floating* bias, floating* c,
                         const Product* p, Py_ssize_t task, char* shared,
                         char* own) noexcept nogil:
    """Compute a task: some rows of A times a block of columns of B."""
    cdef Share share = find_share(&p.split, task)
    cdef Py_ssize_t column = share.unit * p.lanes
    cdef Py_ssize_t count = min(share.past_unit * p.lanes, p.columns) - column
    cdef Py_ssize_t vectors = ceil_div(count, p.lanes), panels = ceil_div(count, p.width)
    cdef Py_ssize_t step, steps, i, j, row, rows, at
    cdef const Py_ssize_t* a_at = <const Py_ssize_t*>(shared + p.a_at)
    cdef const Py_ssize_t* b_at = <const Py_ssize_t*>(shared + p.b_at)
    cdef const Py_ssize_t* packed_a_at = <const Py_ssize_t*>(shared + p.packed_a_at)
    cdef const Py_ssize_t* packed_b_at = <const Py_ssize_t*>(shared + p.packed_b_at)
    cdef floating* a_panel = <floating*>own
    cdef floating* b_panels = <floating*>(own + p.b_panels)
    cdef floating* panel
    cdef const floating* a_rows[MAX_ROWS]
    cdef bint in_place
    cdef Run run
    cdef Target target
    run.first, run.at, run.step = 0, 0, p.c_column
    target.row, target.runs, target.n_runs, target.a_ahead = p.c_row, &run, 1, 0
    target.row_bias = target.column_bias = target.ending = NULL
    b += column * p.b_column
    c += column * p.c_column
    for step from 0 <= step < p.steps by p.depth:
        steps = min(p.depth, p.steps - step)
        target.accumulate = step > 0
        for j in range(panels):
            at = j * vectors // panels * p.lanes
            run.count = min((j + 1) * vectors // panels * p.lanes, count) - at
            panel = b_panels + j * p.depth * p.width
            if p.b_column != 1 and p.b_step == 1:
                pack_turned(b + step + at * p.b_column, p.b_column, run.count, steps, panel,
                            p.width)
            elif p.packs_b or run.count % p.lanes:
                pack_rows(b + step * p.b_step + at * p.b_column, p.b_column, run.count, b_at,
                          steps, p.width, panel)
        for i in range(share.panel, share.past_panel):
            row = even_share(i, p.rows, p.split.panels)
            rows = even_share(i + 1, p.rows, p.split.panels) - row
            for j in range(rows):
                a_rows[j] = a_panel + j if p.packs_a else (
                    a + (row + j) * p.a_row + step * p.a_step)
            if p.packs_a:
                pack_rows(a + row * p.a_row + step * p.a_step, p.a_row, rows, a_at, steps,
                          p.height, a_panel)
            for j in range(panels):
                at = j * vectors // panels * p.lanes
                run.count = min((j + 1) * vectors // panels * p.lanes, count) - at
                target.c = c + row * p.c_row + at * p.c_column
                if bias is not NULL and step + steps == p.steps:
                    if p.transposed:
                        target.row_bias = bias + row
                    else:
                        target.column_bias = bias + column + at
                # The last vector would read on past the row.
                in_place = not p.packs_b and run.count % p.lanes == 0
                panel = b_panels + j * p.depth * p.width
                run_tile(rows, ceil_div(run.count, p.lanes), a_rows,
                         packed_a_at if p.packs_a else a_at,
                         b + step * p.b_step + at if in_place else <const floating*>panel,
                         b_at if in_place else packed_b_at, steps, &target)


cdef void run_product(const floating* a, const floating* b, floating* c, const Product* p,
                      char* shared, char* own) noexcept nogil:
    cdef Py_ssize_t task
    if p.transposed:
        a, b = b, a
    for task in range(split_tasks(&p.split)):
        multiply_block(a, b, <const floating*>NULL, c, p, task, shared, own)


cdef void multiply_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Context* c = <const Context*>context
    cdef const Product* p = c.product
    cdef char* own = c.shared + p.threads_at + thread * p.thread_bytes
    if c.itemsize == sizeof(float):
        multiply_block(<const float*>c.a, <const float*>c.b, <const float*>c.bias, <float*>c.c, p,
                       task, c.shared, own)
    else:
        multiply_block(<const double*>c.a, <const double*>c.b, <const double*>c.bias,
                       <double*>c.c, p, task, c.shared, own)


cdef void thin_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Context* c = <const Context*>context
    if c.itemsize == sizeof(float):
        run_thin(<const float*>c.a, <const float*>c.b, <const float*>c.bias, <float*>c.c, c.thin,
                 task, c.shared)
    else:
        run_thin(<const double*>c.a, <const double*>c.b, <const double*>c.bias, <double*>c.c,
                 c.thin, task, c.shared)


cdef bint make_thin(const Product* p, Py_ssize_t itemsize, bint biased, int threads,
                    Thin* thin) noexcept nogil:
    """Plan a product as a thin one; return whether it is."""
    if p.c_column != 1:
        return False
    thin.rows, thin.columns, thin.steps = p.rows, p.columns, p.steps
    thin.depth = sum_depth(p.steps, itemsize)
    thin.a_row, thin.a_step, thin.b_step, thin.b_column = p.a_row, p.a_step, p.b_step, p.b_column
    thin.c_row = p.c_row
    return plan_thin(thin, itemsize, biased, threads)


cdef double work_of(const Product* p) noexcept nogil:
    """Return the multiply-adds of a product, or those that take as long as its largest matrix."""
    cdef double rows = p.rows, columns = p.columns, steps = p.steps
    return max(rows * columns * steps,
               MOVED * max(rows * columns, max(columns * steps, rows * steps)))


cdef int compute(const View* left, const View* right, const View* shift,
                 const View* result) except -1:
    """Write a product, plus the bias `shift` for each column unless it is NULL."""
    cdef Product p
    cdef Thin thin
    cdef bint thinly, biased = shift is not NULL
    cdef Context context
    cdef Py_ssize_t item = result.itemsize, tasks, i, biases = 0
    cdef size_t bytes
    cdef int threads
    if biased and shift.strides[0] != item:
        biases = line_up(result.shape[1] * item)
    p.rows, p.steps, p.columns = left.shape[0], left.shape[1], right.shape[1]
    p.a_row, p.a_step = left.strides[0] // item, left.strides[1] // item
    p.b_step, p.b_column = right.strides[0] // item, right.strides[1] // item
    p.c_row, p.c_column = result.strides[0] // item, result.strides[1] // item
    threads = threads_for(work_of(&p))
    thinly = make_thin(&p, item, biased, threads, &thin)
    if thinly:
        threads = tasks = thin.tasks
        bytes = thin.bytes
    else:
        plan_product(&p, item, threads)
        tasks = split_tasks(&p.split)
        threads = min(<Py_ssize_t>threads, tasks)
        bytes = p.threads_at + threads * p.thread_bytes
    context.product, context.thin, context.itemsize = &p, &thin, item
    context.a, context.b = left.data, right.data
    if not thinly and p.transposed:
        context.a, context.b = right.data, left.data
    context.bias, context.c = NULL, result.data
    context.shared = <char*>take(bytes + biases)
    if biased and not biases:
        context.bias = shift.data
    elif biases:
        # Side by side.
        context.bias = context.shared + bytes
        for i in range(result.shape[1]):
            memcpy(<char*>context.bias + i * item, <char*>shift.data + i * shift.strides[0], item)
    with nogil:
        if thinly:
            parallel_for(threads, tasks, thin_task, &context)
        else:
            write_steps(&p, context.shared)
            parallel_for(threads, tasks, multiply_task, &context)
    give(context.shared)
    return 0


def multiply(a, b, bias, c):
    """Write into `c` (M, N) the product of `a` (M, K) and `b` (K, N), plus `bias` (N) or None.

    All are of one type, with any strides; none of M, K and N is 0.
    """
    cdef View left, right, shift, result
    look(a, 2, False, &left)
    look(b, 2, False, &right)
    look(c, 2, True, &result)
    if bias is not None:
        look(bias, 1, False, &shift)
    compute(&left, &right, &shift if bias is not None else NULL, &result)


# ---- full connections as they nearly always come ------------------------------------------------

cdef bint look_plain(object array, object dtype, int axes, View* view) except -1:
    """Fill in the view of an array if it is plain, aligned, of this type, and not empty."""
    cdef size_t bits
    cdef int axis
    if type(array) is not np.ndarray or array.dtype is not dtype or array.ndim != axes:
        return False
    look(array, axes, False, view)
    bits = <size_t>view.data
    for axis in range(axes):
        if view.shape[axis] == 0:
            return False
        bits |= <size_t>view.strides[axis]
    return bits % view.itemsize == 0


cdef inline View transposed(const View* matrix) noexcept:
    cdef View turned = matrix[0]
    turned.shape[0], turned.shape[1] = matrix.shape[1], matrix.shape[0]
    turned.strides[0], turned.strides[1] = matrix.strides[1], matrix.strides[0]
    return turned


cdef object new_product(const View* left, const View* right, const View* shift, object dtype):
    """Return a product in a new array."""
    cdef View result
    array = empty((left.shape[0], right.shape[1]), dtype)
    look(array, 2, True, &result)
    compute(left, right, shift, &result)
    return array


def full_connection(input, weight, bias, Py_ssize_t most):
    """Return `input` (N, C) times `weight` (K, C) transposed, plus `bias` (K) unless it is None.

    Only what needs no more than a look is served: plain, aligned arrays of float32 or of float64
    that fit together, not empty, whose sums have at most so many products. For all else None is
    returned, and nothing done.
    """
    cdef View left, right, shift
    dtype = getattr(weight, "dtype", None)
    if dtype is not FLOAT32 and dtype is not FLOAT64:
        return None
    if not (look_plain(input, dtype, 2, &left) and look_plain(weight, dtype, 2, &right)
            and left.shape[1] == right.shape[1] <= most):
        return None
    if bias is not None and not (look_plain(bias, dtype, 1, &shift)
                                 and shift.shape[0] == right.shape[0]):
        return None
    right = transposed(&right)
    return new_product(&left, &right, &shift if bias is not None else NULL, dtype)


def full_gradients(grad_output, input, weight, bint for_input, bint for_weight, Py_ssize_t most):
    """Return the gradients of `full_connection` for input and weights, each None if not wanted.

    Or None, under the same conditions.
    """
    cdef View residual, left, right
    dtype = getattr(weight, "dtype", None)
    if dtype is not FLOAT32 and dtype is not FLOAT64:
        return None
    if not (look_plain(grad_output, dtype, 2, &residual) and look_plain(input, dtype, 2, &left)
            and look_plain(weight, dtype, 2, &right)):
        return None
    if not (residual.shape[0] == left.shape[0] <= most and left.shape[1] == right.shape[1]
            and residual.shape[1] == right.shape[0] <= most):
        return None
    grad_input = new_product(&residual, &right, NULL, dtype) if for_input else None
    residual = transposed(&residual)
    return grad_input, new_product(&residual, &left, NULL, dtype) if for_weight else None
