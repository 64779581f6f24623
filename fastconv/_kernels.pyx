# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""The three convolutions of a CNN as plain loops: the page to read first.

    F.conv2d(x, w, b)  F.conv2d_input(size, w, dy)  F.conv2d_weight(x, size, dy)
              |
              v
    fastconv.functional    compares the shapes, allocates the result
              |
              v
    engine.plan            a table of algorithms: the first that serves this geometry, and is the
              |            fastest for it, computes it
              |
              +--> fft             large kernels
              +--> depthwise       one input channel in each group
              +--> winograd        3 x 3 and its like, of many channels: half of the products
              +--> gemm, blocked   all the others
              |
              +--> _kernels        only by algorithm="direct" or algorithm="im2col"

What all of them compute is written here as it is in textbooks, once as sums ("direct") and once as
products of matrices ("im2col"). The fast rooms are compared with these loops.

With one spatial axis, input x, kernels w, bias b, output y and a loss L:

    y[n,k,i]  = b[k] + sum over c, r of w[k,c,r] x[n,c, i*stride + r*dilation - before]

    dx[n,c,u] = dL/dx = sum over k, r of w[k,c,r] dy[n,k,i] where i*stride + r*dilation - before = u

    dw[k,c,r] = dL/dw = sum over n, i of dy[n,k,i] x[n,c, i*stride + r*dilation - before]

x is zero outside the input: that is the padding, and `before` is where it begins; a negative one
crops. The loops skip such zeros. The gradient of b, the sum of dy, is `fastconv.engine.ops.sums`.

Arrays have any strides. All have three spatial axes, fewer are axes of size 1 in front, and their
channels are split by group, since a group's outputs see that group's inputs alone:

    input   x   [n, g, c, d, u, v]      sample, group, channel; depth, row, column
    kernels w   [g, k, c, t, r, s]      group, kernel, channel; tap on each axis
    output  y   [n, g, k, o, i, j]      sample, group, kernel; depth, row, column
"""

from cython cimport floating
from libc.string cimport memcpy, memset

from fastconv.engine.base.arrays cimport (
    Axes, Layout, Operands, View, in_elements, look, split_maps)
from fastconv.engine.base.axis cimport ceil_div
from fastconv.engine.base.jobs cimport Context, DoubleTask, FloatTask, Jobs, add_job
from fastconv.engine.base.kernel cimport FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Kernel
from fastconv.engine.base.threads cimport Task, brief, parallel_for, threads_for
from fastconv.engine.gemm.matmul cimport Product, plan_product, run_product, write_steps
from fastconv.engine.gemm.slab cimport line_up

from fastconv.engine.base.kernel import OPERATIONS

# Rounding errors grow with the length of a running sum. A weight gradient adds up as many products
# as there are outputs: so many at a time, and the sums of these in double precision.
cdef Index PART = 256

cdef struct Map:
    Index n, g, channel


cdef inline Map find_map(Axes maps, Index number) noexcept nogil:
    """Return the map of this number, counted over samples, groups and channels."""
    cdef Map found
    found.channel, number = number % maps.shape[2], number // maps.shape[2]
    found.n, found.g = number // maps.shape[1], number % maps.shape[1]
    return found


cdef inline floating bias_of(const floating* b, const Operands* o, Index g,
                             Index channel) noexcept nogil:
    """Return the bias of a channel of what is written, or 0 where there is none."""
    return b[g * o.bias_group + channel * o.bias_row] if b is not NULL else 0


# ---- "direct": the sums ----------------------------------------------------------------------

cdef void forward_map(const floating* x, const Context* context, Index task,
                      int thread) noexcept nogil:
    """Compute one map of the output.

    y[n,k,o,i,j] = b[k] + sum over c, t, r, s of w[k,c,t,r,s] x[n,c,d,u,v], in this order.
    """
    cdef Conv conv = (<const Blocks*>context.plan).conv
    cdef Map map = find_map(conv.y, task)
    cdef const floating* w = <const floating*>context.o.w
    cdef const floating* b = <const floating*>context.o.bias
    cdef floating* y = <floating*>context.o.y
    cdef Index n = map.n, g = map.g, k = map.channel, o, i, j, c, t, r, s, d, u, v
    cdef Span span
    cdef floating weight
    for o in range(conv.y.shape[3]):
        for i in range(conv.y.shape[4]):
            for j in range(conv.y.shape[5]):
                y[at(conv.y, n, g, k, o, i, j)] = bias_of(b, context.o, g, k)
            for c in range(conv.w.shape[2]):
                for t in range(conv.w.shape[3]):
                    d = seen(conv, 0, o, t)
                    if not 0 <= d < conv.x.shape[3]:
                        continue
                    for r in range(conv.w.shape[4]):
                        u = seen(conv, 1, i, r)
                        if not 0 <= u < conv.x.shape[4]:
                            continue
                        for s in range(conv.w.shape[5]):
                            weight = w[at(conv.w, g, k, c, t, r, s)]
                            span = inside(conv, s)
                            for j in range(span.low, span.high):
                                v = seen(conv, 2, j, s)
                                y[at(conv.y, n, g, k, o, i, j)] += (
                                    weight * x[at(conv.x, n, g, c, d, u, v)])


cdef inline Index residual_at(Conv conv, int axis, Index input, Index tap) noexcept nogil:
    """Return the residual that meets a tap at an input, or -1: an inserted zero, or the border."""
    cdef Index place = input + conv.before[axis] - tap * conv.dilation[axis]
    if conv.stride[axis] > 1:
        if place % conv.stride[axis]:
            return -1
        place //= conv.stride[axis]
    return place if 0 <= place < conv.y.shape[3 + axis] else -1


cdef void input_gradient_map(const floating* dy, const Context* context, Index task,
                             int thread) noexcept nogil:
    """Compute one map of the input gradient: the full convolution of the residual.

    Put stride - 1 zeros between the residuals, z[i*stride] = dy[i], and a border of zeros round
    them; turn the kernel by 180 degrees, rot180(w)[r] = w[R-1-r]; and correlate, summed over the
    kernels. On one axis, with r' = R-1-r,

        dx[n,c,u] = sum over k, r' of rot180(w)[k,c,r'] z[n,k, u + r'*dilation - border]
                    where border = (R-1)*dilation - before
                  = sum over k, r of w[k,c,r] z[n,k, u + before - r*dilation], r from R-1 down to 0

    A place of z that is no multiple of the stride is an inserted zero, and is skipped; so is the
    border. On the last axis the loop goes from residual to residual, in steps of the stride.
    A transposed convolution is this, too: dy is its input, and it has a bias.
    """
    cdef Conv conv = (<const Blocks*>context.plan).conv
    cdef Map map = find_map(conv.x, task)
    cdef const floating* w = <const floating*>context.o.w
    cdef const floating* b = <const floating*>context.o.bias
    cdef floating* dx = <floating*>context.o.y
    cdef Index n = map.n, g = map.g, c = map.channel, d, u, v, k, t, r, s, o, i, j
    cdef Span span
    cdef floating weight
    for d in range(conv.x.shape[3]):
        for u in range(conv.x.shape[4]):
            for v in range(conv.x.shape[5]):
                dx[at(conv.x, n, g, c, d, u, v)] = bias_of(b, context.o, g, c)
            for k in range(conv.w.shape[1]):
                for t in range(conv.w.shape[3] - 1, -1, -1):
                    o = residual_at(conv, 0, d, t)
                    if o < 0:
                        continue
                    for r in range(conv.w.shape[4] - 1, -1, -1):
                        i = residual_at(conv, 1, u, r)
                        if i < 0:
                            continue
                        for s in range(conv.w.shape[5] - 1, -1, -1):
                            weight = w[at(conv.w, g, k, c, t, r, s)]
                            span = inside(conv, s)
                            for j in range(span.low, span.high):
                                v = seen(conv, 2, j, s)
                                dx[at(conv.x, n, g, c, d, u, v)] += (
                                    weight * dy[at(conv.y, n, g, k, o, i, j)])


cdef void weight_gradient_kernel(const floating* x, const Context* context, Index task,
                                 int thread) noexcept nogil:
    """Compute the gradient of one kernel: the correlation of the input with the residual.

    dw[k,c,t,r,s] = sum over n, o, i, j of dy[n,k,o,i,j] x[n,c,d,u,v], in this order.
    """
    cdef Conv conv = (<const Blocks*>context.plan).conv
    cdef const floating* dy = <const floating*>context.o.y
    cdef floating* dw = <floating*>context.o.w
    cdef Index g = task // conv.w.shape[1], k = task % conv.w.shape[1]
    cdef Index c, t, r, s, n, o, i, j, d, u, v, first, length
    cdef Span span
    cdef floating part
    cdef double total
    for c in range(conv.w.shape[2]):
        for t in range(conv.w.shape[3]):
            for r in range(conv.w.shape[4]):
                for s in range(conv.w.shape[5]):
                    span = inside(conv, s)
                    total = part = length = 0
                    for n in range(conv.y.shape[0]):
                        for o in range(conv.y.shape[3]):
                            d = seen(conv, 0, o, t)
                            if not 0 <= d < conv.x.shape[3]:
                                continue
                            for i in range(conv.y.shape[4]):
                                u = seen(conv, 1, i, r)
                                if not 0 <= u < conv.x.shape[4]:
                                    continue
                                for first from span.low <= first < span.high by PART:
                                    for j in range(first, min(first + PART, span.high)):
                                        v = seen(conv, 2, j, s)
                                        part += (dy[at(conv.y, n, g, k, o, i, j)]
                                                 * x[at(conv.x, n, g, c, d, u, v)])
                                    length += min(PART, span.high - first)
                                    if length >= PART:
                                        total += part
                                        part = length = 0
                    dw[at(conv.w, g, k, c, t, r, s)] = <floating>(total + part)


# ---- "im2col": the sums as products of matrices -----------------------------------------------

# The columns of a block and what they are multiplied with or give: a part of a second-level cache.
cdef Index BLOCK_BYTES = 1 << 19
# Columns of the smallest block, since a product of fewer is slow; they come in whole vectors.
cdef Index FEW_COLUMNS = 64, VECTOR = 16
# Tasks for a thread, so that all end at about the same time.
cdef Index TASKS = 4

cdef struct Blocks:
    # How a convolution is cut, the product of one block, and the workspace.
    Conv conv
    bint by_columns                     # or map by map
    # The output seen as input of kernels of one tap: its columns are the output itself.
    Conv pixels
    Index rows, kernels            # of the columns, and of the output, in a group
    Index positions                # output positions of the batch
    Index size                     # columns of a block
    Index parts, share             # parts of the rows, and rows of each
    Index samples                  # of a task of the input gradient
    Index tasks
    Product product
    # The workspace: what all threads share, then each thread's own, with its parts.
    size_t shared_bytes, thread_bytes, columns_at, pixels_at, products_at, totals_at


cdef void im2col(const floating* x, Conv conv, Index g, Index first_row, Index rows, Index first,
                 Index count, floating* columns, Index size) noexcept nogil:
    """Write what the windows of some positions see, one column for each; zeros up to the size.

    columns[(c,t,r,s), (n,o,i,j)] = x[n,c,d,u,v]
    """
    cdef Index row, j, step = conv.stride[2] * conv.x.strides[5]
    cdef Walk walk
    for row in range(first_row, first_row + rows):
        walk = begin_row(conv, row, first, count)
        while next_piece(conv, g, &walk):
            for j in range(walk.low):
                columns[j] = 0
            if step == 1:
                memcpy(columns + walk.low, x + walk.place,
                       (walk.high - walk.low) * sizeof(floating))
            else:
                for j in range(walk.high - walk.low):
                    columns[walk.low + j] = x[walk.place + j * step]
            for j in range(walk.high, walk.count):
                columns[j] = 0
            columns += walk.count
        memset(columns, 0, (size - count) * sizeof(floating))
        columns += size - count


cdef void col2im(Conv conv, Index g, Index first_row, Index rows, Index first, Index count,
                 const floating* columns, Index size, floating* x, bint adds) noexcept nogil:
    """Add columns to the places that the windows of these positions see, or write them there.

    x[n,c,d,u,v] += columns[(c,t,r,s), (n,o,i,j)], the taps falling: each place adds its columns in
    the order of their positions, so that it has the same bits however these are cut into blocks.
    """
    cdef const floating* column
    cdef Index row, j, step = conv.stride[2] * conv.x.strides[5]
    cdef Walk walk
    for row in range(first_row + rows - 1, first_row - 1, -1):
        column = columns + (row - first_row) * size
        walk = begin_row(conv, row, first, count)
        while next_piece(conv, g, &walk):
            if adds:
                for j in range(walk.high - walk.low):
                    x[walk.place + j * step] += column[walk.low + j]
            else:
                for j in range(walk.high - walk.low):
                    x[walk.place + j * step] = column[walk.low + j]
            column += walk.count


cdef void fill_map(floating* x, Axes maps, Index n, Index g, Index c,
                   floating value) noexcept nogil:
    """Write a number all over a map."""
    cdef Index d, u, v
    for d in range(maps.shape[3]):
        for u in range(maps.shape[4]):
            for v in range(maps.shape[5]):
                x[at(maps, n, g, c, d, u, v)] = value


cdef inline char* own_part(const Context* context, int thread) noexcept nogil:
    """Return a thread's part of the workspace."""
    cdef const Blocks* blocks = <const Blocks*>context.plan
    return context.shared + blocks.shared_bytes + thread * blocks.thread_bytes


cdef void forward_block(const floating* x, const Context* context, Index task,
                        int thread) noexcept nogil:
    """Compute a block of the output of a group: W columns + b."""
    cdef const Blocks* blocks = <const Blocks*>context.plan
    cdef Conv conv = blocks.conv
    cdef Index g = task % conv.w.shape[0], first = task // conv.w.shape[0] * blocks.size
    cdef Index count = min(blocks.size, blocks.positions - first), k, j
    cdef const floating* w = <const floating*>context.o.w
    cdef const floating* b = <const floating*>context.o.bias
    cdef char* own = own_part(context, thread)
    cdef floating* columns = <floating*>(own + blocks.columns_at)
    cdef floating* products = <floating*>(own + blocks.pixels_at)
    im2col(x, conv, g, 0, blocks.rows, first, count, columns, blocks.size)
    run_product(w + g * conv.w.strides[0], columns, products, &blocks.product, context.shared, own)
    if b is not NULL:
        for k in range(blocks.kernels):
            for j in range(count):
                products[k * blocks.size + j] += bias_of(b, context.o, g, k)
    col2im(blocks.pixels, g, 0, blocks.kernels, first, count, products, blocks.size,
           <floating*>context.o.y, False)


cdef void input_gradient_block(const floating* dy, const Context* context, Index task,
                               int thread) noexcept nogil:
    """Compute some channels of the input gradient, of some samples: W^T dy, and back to places."""
    cdef const Blocks* blocks = <const Blocks*>context.plan
    cdef Axes X = blocks.conv.x
    cdef Index part = task % blocks.parts, g = task // blocks.parts % X.shape[1]
    cdef Index sample = task // blocks.parts // X.shape[1] * blocks.samples
    cdef Index past = min(sample + blocks.samples, X.shape[0])
    cdef Index channels = X.shape[2] // blocks.parts, size = blocks.size
    cdef Index each = blocks.positions // X.shape[0], first, count, n, c
    cdef const floating* w = <const floating*>context.o.w
    cdef const floating* b = <const floating*>context.o.bias
    cdef floating* dx = <floating*>context.o.y
    cdef char* own = own_part(context, thread)
    cdef floating* columns = <floating*>(own + blocks.columns_at)
    cdef floating* residual = <floating*>(own + blocks.pixels_at)
    for n in range(sample, past):
        for c in range(part * channels, (part + 1) * channels):
            fill_map(dx, X, n, g, c, bias_of(b, context.o, g, c))
    w += g * blocks.conv.w.strides[0] + part * blocks.share
    for first from sample * each <= first < past * each by size:
        count = min(size, past * each - first)
        im2col(dy, blocks.pixels, g, 0, blocks.kernels, first, count, residual, size)
        run_product(w, residual, columns, &blocks.product, context.shared, own)
        col2im(blocks.conv, g, part * blocks.share, blocks.share, first, count, columns, size, dx,
               True)


cdef void weight_gradient_block(const floating* x, const Context* context, Index task,
                                int thread) noexcept nogil:
    """Compute some columns of the weight gradient, a matrix (K, C T R S): dy columns^T."""
    cdef const Blocks* blocks = <const Blocks*>context.plan
    cdef Axes W = blocks.conv.w
    cdef Index g = task % W.shape[0], row = task // W.shape[0] * blocks.share
    cdef Index rows = min(blocks.share, blocks.rows - row), size = blocks.size
    cdef Index numbers = blocks.kernels * blocks.share, first, count, i, k
    cdef const floating* dy = <const floating*>context.o.y
    cdef floating* dw = <floating*>context.o.w
    cdef char* own = own_part(context, thread)
    cdef floating* columns = <floating*>(own + blocks.columns_at)
    cdef floating* residual = <floating*>(own + blocks.pixels_at)
    cdef floating* products = <floating*>(own + blocks.products_at)
    cdef double* totals = <double*>(own + blocks.totals_at)
    cdef Tap tap
    memset(totals, 0, numbers * sizeof(double))
    for first from 0 <= first < blocks.positions by size:
        count = min(size, blocks.positions - first)
        im2col(x, blocks.conv, g, row, rows, first, count, columns, size)
        im2col(dy, blocks.pixels, g, 0, blocks.kernels, first, count, residual, size)
        run_product(residual, columns, products, &blocks.product, context.shared, own)
        for i in range(numbers):
            totals[i] += products[i]
    for k in range(blocks.kernels):
        for i in range(rows):
            tap = find_tap(blocks.conv, row + i)
            dw[at(W, g, k, tap.c, tap.t, tap.r, tap.s)] = <floating>totals[k * blocks.share + i]


cdef void ask(Product* p, Index rows, Index steps, Index columns, Index a_row, Index a_step,
              Index b_step, Index b_column) noexcept nogil:
    """Say which product is wanted: of matrices with these strides."""
    p.rows, p.steps, p.columns = rows, steps, columns
    p.a_row, p.a_step, p.b_step, p.b_column = a_row, a_step, b_step, b_column
    p.c_row, p.c_column = columns, 1


cdef inline Index evenly(Index count, Index most) noexcept nogil:
    """Return the size of even blocks, whole vectors, of which none is larger than the most."""
    cdef Index blocks = max(ceil_div(count, most), 1)
    return max(ceil_div(ceil_div(count, blocks), VECTOR), 1) * VECTOR


cdef void plan_blocks(Blocks* blocks, Index item, int threads) noexcept nogil:
    """Choose the blocks and lay out the workspace.

    What orders a sum is set by the shapes alone; the number of threads cuts between sums.
    """
    cdef const Axes* x = &blocks.conv.x
    cdef const Axes* w = &blocks.conv.w
    cdef const Axes* y = &blocks.conv.y
    cdef Index groups = w.shape[0], samples = y.shape[0], kernels = w.shape[1]
    cdef Index rows = w.shape[2] * w.shape[3] * w.shape[4] * w.shape[5]
    cdef Index each = y.shape[3] * y.shape[4] * y.shape[5], positions = samples * each
    cdef Index numbers = BLOCK_BYTES // item, most, size
    cdef Index wanted = ceil_div(TASKS * threads, groups), axis
    blocks.pixels = blocks.conv
    blocks.pixels.x = blocks.conv.y
    for axis in range(3):
        blocks.pixels.w.shape[3 + axis] = blocks.pixels.stride[axis] = 1
        blocks.pixels.before[axis] = 0
    blocks.rows, blocks.kernels, blocks.positions = rows, kernels, positions
    blocks.parts, blocks.samples, blocks.share = 1, 1, rows
    if blocks.conv.operation == FORWARD:
        most = min(numbers // (rows + kernels), ceil_div(positions, wanted))
        size = evenly(positions, max(most, FEW_COLUMNS))
        blocks.tasks = groups * ceil_div(positions, size)
        ask(&blocks.product, kernels, rows, size, rows, 1, size, 1)
    elif blocks.conv.operation == INPUT_GRADIENT:
        # Places of one channel belong to one task, which adds to them block by block.
        blocks.parts = min(ceil_div(wanted, max(samples, 1)), x.shape[2])
        while x.shape[2] % blocks.parts:
            blocks.parts += 1
        blocks.share = rows // blocks.parts
        most = max(numbers // (blocks.share + kernels), FEW_COLUMNS)
        blocks.samples = max(min(most // max(each, 1), samples * blocks.parts // wanted), 1)
        size = evenly(blocks.samples * each, most)
        blocks.tasks = ceil_div(samples, blocks.samples) * groups * blocks.parts
        ask(&blocks.product, blocks.share, kernels, size, 1, rows, size, 1)
    else:
        # A block is one running sum.
        size = evenly(min(PART, positions), PART)
        most = max(numbers // (PART + 3 * kernels), 1)
        blocks.parts = min(max(ceil_div(rows, most), ceil_div(threads, groups)), rows)
        blocks.share = ceil_div(rows, blocks.parts)
        blocks.tasks = groups * ceil_div(rows, blocks.share)
        ask(&blocks.product, kernels, size, blocks.share, size, 1, 1, size)
    plan_product(&blocks.product, item, 1)
    blocks.size = size
    blocks.shared_bytes = blocks.product.threads_at
    blocks.columns_at = line_up(blocks.product.thread_bytes)
    blocks.pixels_at = blocks.columns_at + line_up(blocks.share * size * item)
    blocks.products_at = blocks.pixels_at + line_up(kernels * size * item)
    numbers = kernels * blocks.share if blocks.conv.operation == WEIGHT_GRADIENT else 0
    blocks.totals_at = blocks.products_at + line_up(numbers * item)
    blocks.thread_bytes = blocks.totals_at + line_up(numbers * sizeof(double))


cdef void fill_conv(Conv* conv, const Layout* layout) noexcept nogil:
    """Fill in the arrays: of an input gradient, what comes is a correlation of the residual."""
    conv.x, conv.w, conv.y = layout.x, layout.w, layout.y
    in_elements(&layout.x, layout.itemsize, conv.x.strides)
    in_elements(&layout.w, layout.itemsize, conv.w.strides)
    in_elements(&layout.y, layout.itemsize, conv.y.strides)
    if conv.operation == INPUT_GRADIENT:
        conv.x, conv.y = conv.y, conv.x
        conv.w.shape[1], conv.w.shape[2] = conv.w.shape[2], conv.w.shape[1]
        conv.w.strides[1], conv.w.strides[2] = conv.w.strides[2], conv.w.strides[1]


# As sums, then by columns: the tasks of each operation.
cdef FloatTask[6] OF_FLOATS = [
    forward_map[float], input_gradient_map[float], weight_gradient_kernel[float],
    forward_block[float], input_gradient_block[float], weight_gradient_block[float]]
cdef DoubleTask[6] OF_DOUBLES = [
    forward_map[double], input_gradient_map[double], weight_gradient_kernel[double],
    forward_block[double], input_gradient_block[double], weight_gradient_block[double]]


cdef class Plain(Kernel):
    """An operation of one geometry, one of OPERATIONS, as sums or by columns.

    The tuples have a number for depth, row and column. By columns, the weights are C-contiguous.
    """

    cdef Blocks blocks

    def __init__(self, str operation, bint by_columns, tuple stride, tuple before, tuple dilation):
        cdef Conv* conv = &self.blocks.conv
        conv.operation, self.blocks.by_columns = OPERATIONS.index(operation), by_columns
        conv.stride, conv.before, conv.dilation = stride, before, dilation
        self.variant = "columns" if by_columns else "plain loops"

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Blocks* blocks = &self.blocks
        cdef Conv* conv = &blocks.conv
        cdef const Index* maps = layout.y.shape
        fill_conv(conv, layout)
        # Of sums, a task is a map, or the gradient of a kernel.
        blocks.tasks = maps[0] * maps[1] * maps[2]
        if conv.operation == WEIGHT_GRADIENT:
            blocks.tasks = conv.w.shape[0] * conv.w.shape[1]
        if blocks.by_columns:
            plan_blocks(blocks, layout.itemsize, threads)
        self.team = max(min(<Index>threads, blocks.tasks), 1)
        return blocks.shared_bytes + self.team * blocks.thread_bytes

    cdef void share(self, Context* context, Jobs* jobs) noexcept nogil:
        cdef int way = self.blocks.conv.operation
        context.plan = &self.blocks
        if self.blocks.by_columns:
            way += 3
            write_steps(&self.blocks.product, context.shared)
        add_job(jobs, context, OF_FLOATS[way], OF_DOUBLES[way], NULL, context.o.x,
                self.blocks.tasks)


# ---- the columns themselves: unfold and fold ---------------------------------------------------

cdef struct Columns:
    Conv conv                           # of one group; its output has a position for each column
    View maps, columns                  # (N, C, *spatial) and (N, C T R S, O I J)
    Index taps, each                    # rows of a channel, columns of a sample


cdef inline Index row_at(const Columns* p, Index n, Index row) noexcept nogil:
    """Return where a row of a sample's columns lies."""
    return n * (p.columns.strides[0] // p.columns.itemsize) + row * p.each


cdef void unfold_row(const floating* x, floating* columns, const Columns* p,
                     Index task) noexcept nogil:
    """Write what one tap sees of a channel, in all windows of a sample."""
    cdef Index n = task // p.columns.shape[1], row = task % p.columns.shape[1]
    im2col(x, p.conv, 0, row, 1, n * p.each, p.each, columns + row_at(p, n, row), p.each)


cdef void fold_map(floating* x, const floating* columns, const Columns* p,
                   Index task) noexcept nogil:
    """Add up the columns of a channel of a sample."""
    cdef Index n = task // p.maps.shape[1], c = task % p.maps.shape[1], row = c * p.taps
    fill_map(x, p.conv.x, n, 0, c, <floating>0)
    col2im(p.conv, 0, row, p.taps, n * p.each, p.each, columns + row_at(p, n, row), p.each, x, True)


cdef void run_unfold(void* context, Index task, int thread) noexcept nogil:
    cdef const Columns* p = <const Columns*>context
    if p.maps.itemsize == sizeof(float):
        unfold_row(<const float*>p.maps.data, <float*>p.columns.data, p, task)
    else:
        unfold_row(<const double*>p.maps.data, <double*>p.columns.data, p, task)


cdef void run_fold(void* context, Index task, int thread) noexcept nogil:
    cdef const Columns* p = <const Columns*>context
    if p.maps.itemsize == sizeof(float):
        fold_map(<float*>p.maps.data, <const float*>p.columns.data, p, task)
    else:
        fold_map(<double*>p.maps.data, <const double*>p.columns.data, p, task)


cdef int share_columns(Columns* p, int axes, tuple windows, Task run, Index tasks) except -1:
    """Complete the geometry, and run the tasks."""
    cdef Conv* conv = &p.conv
    cdef double work
    cdef int axis
    split_maps(&p.maps, axes, 1, &conv.x)
    in_elements(&conv.x, p.maps.itemsize, conv.x.strides)
    p.taps = p.each = 1
    for axis in range(3):
        conv.w.shape[3 + axis], conv.y.shape[3 + axis] = windows[0][axis], windows[4][axis]
        conv.stride[axis], conv.before[axis] = windows[1][axis], windows[2][axis]
        conv.dilation[axis] = windows[3][axis]
        p.taps *= conv.w.shape[3 + axis]
        p.each *= conv.y.shape[3 + axis]
    conv.y.shape[0] = p.maps.shape[0]
    work = 4.0 * p.columns.shape[0] * p.columns.shape[1] * p.each
    if brief(work):
        parallel_for(1, tasks, run, p)
    else:
        with nogil:
            parallel_for(threads_for(work), tasks, run, p)
    return 0


def unfold(maps, columns, tuple windows):
    """Write the columns (N, C T R S, O I J) of maps (N, C, *spatial).

    `windows` says the kernel's size, the stride, the padding before, the dilation and how many
    windows there are, each for depth, row and column. The columns of a sample are contiguous.
    """
    cdef Columns p
    look(maps, maps.ndim, False, &p.maps)
    look(columns, 3, True, &p.columns)
    share_columns(&p, maps.ndim, windows, run_unfold, p.columns.shape[0] * p.columns.shape[1])


def fold(columns, maps, tuple windows):
    """Write into the maps the sums of the columns that `unfold` takes from each place."""
    cdef Columns p
    look(maps, maps.ndim, True, &p.maps)
    look(columns, 3, False, &p.columns)
    share_columns(&p, maps.ndim, windows, run_fold, p.maps.shape[0] * p.maps.shape[1])
