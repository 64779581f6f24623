# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""The forward pass and the input gradient of convolutions with one input channel in each group.

The room's docstring says how: block by block, each from an input tile.
"""

from cython cimport floating
from libc.string cimport memset

from fastconv.engine.base.arrays cimport Layout, Operands
from fastconv.engine.base.axis cimport Axis, ceil_div
from fastconv.engine.base.endings cimport end_rows
from fastconv.engine.base.jobs cimport Context, Job, Jobs, add_job
from fastconv.engine.depthwise.kernels cimport SubKernel, correlate, interleave
from fastconv.engine.depthwise.pack cimport copy_rows, pack_tile
from fastconv.engine.depthwise.plan cimport (
    TASKS, Block, Depthwise, Plan, block_cost, find_block, next_block, whole_lines)


cdef inline void correlate_rows(const Plan* p, const SubKernel* sub, const floating* tile,
                                const floating* weights, Py_ssize_t rows, Py_ssize_t width,
                                floating* out, Py_ssize_t out_row) noexcept nogil:
    """Compute rows with one sub-kernel. Those that share what they read are `apart` rows apart."""
    cdef Py_ssize_t apart = p.row.dilation if sub.shared > 1 else 1, i
    for i in range(min(apart, rows)):
        correlate(p.isa, tile + i * p.tile_row, apart * p.pitch * p.tile_row,
                  ceil_div(rows - i, apart) if apart > 1 else rows, width, sub,
                  weights + sub.first_tap, weights + p.taps, out + i * out_row, apart * out_row)


cdef void write_rows(const Plan* p, const Block* b, const SubKernel* subs, const floating* tile,
                     const floating* weights, Py_ssize_t rows, Py_ssize_t total, floating* out,
                     Py_ssize_t out_row, floating* buffer) noexcept nogil:
    """Compute the rows of one row phase, and put the column phases between each other.

    `out` is the first number of the block. `subs` are the sub-kernels of the column phases, or
    NULL for rows that no tap reaches: they are the bias.
    """
    cdef const Axis* axis = &p.column
    cdef Py_ssize_t step = axis.step, size = p.rows * p.buffer_row
    cdef Py_ssize_t i, j, s, odd
    if subs is not NULL and step == 1 and b.columns >= p.lanes:
        correlate_rows[floating](p, subs, tile, weights, rows, b.columns, out, out_row)
        return
    for s in range(axis.phases if subs is not NULL else 0):
        correlate_rows[floating](p, subs + s, tile, weights, rows, b.columns, buffer + s * size,
                                 p.buffer_row)
    if subs is not NULL and step == 1:
        copy_rows[floating](p, buffer, p.buffer_row, 1, rows, total, out, out_row)
    elif subs is not NULL and step == axis.phases == 2:
        odd = axis.phase[0].first == 0
        interleave(p.isa, out, out_row, buffer + (1 - odd) * size, buffer + odd * size,
                   p.buffer_row, rows, total)
    else:
        for i in range(rows):
            for j in range(total):
                out[j] = weights[p.taps]
            for s in range(axis.phases if subs is not NULL else 0):
                for j in range(min(b.columns, ceil_div(total - axis.phase[s].first, step))):
                    out[axis.phase[s].first + j * step] = buffer[s * size + i * p.buffer_row + j]
            out += out_row


cdef void correlate_block(const floating* x, const Plan* p, const Operands* o, const Block* b,
                          const floating* weights, floating* tile,
                          floating* buffer) noexcept nogil:
    cdef const Py_ssize_t* strides = &p.y.strides[0]
    cdef Py_ssize_t first = 0, od = b.od, step = p.row.step, k, f, d, a, rows
    cdef Py_ssize_t left = b.ow * p.column.step
    cdef Py_ssize_t columns = min(b.columns * p.column.step, p.column.out - left)
    cdef const SubKernel* subs
    cdef floating* plane = (<floating*>o.y + b.n * strides[0] + b.g * strides[1]
                            + b.od * strides[3] + b.oh * step * p.column.out + left)
    cdef floating* out
    if p.depth.step > 1:
        first, od = od % p.depth.step, od // p.depth.step
    d = find_phase(&p.depth, first)
    if d >= 0:
        pack_tile(p, x, b, p.depth.phase + d, od, tile)
    for k in range(p.out_channels):
        for f in range(min(step, p.row.out)):
            a = find_phase(&p.row, f)
            subs = NULL
            if d >= 0 and a >= 0 and p.column.phases:
                subs = p.subkernels + (d * p.row.phases + a) * p.column.phases
            # The rows are f + m*step of the output; a phase may have one less than the first.
            rows = min(b.rows, ceil_div(p.row.out - f, step) - b.oh)
            out = plane + k * strides[2] + f * p.column.out
            write_rows[floating](p, b, subs, tile, weights + k * (p.taps + 1), rows, columns, out,
                                 step * p.column.out, buffer)
            if o.ending is not NULL:
                end_rows[floating](out, rows, step * p.column.out, columns, 1, o.ending)


cdef inline Py_ssize_t find_phase(const Axis* axis, Py_ssize_t first) noexcept nogil:
    """Return the phase whose outputs begin at `first`, or -1."""
    cdef Py_ssize_t i
    for i in range(axis.phases):
        if axis.phase[i].first == first:
            return i
    return -1


cdef inline void gather_weights(const Plan* p, const Operands* o, Py_ssize_t g,
                                floating* weights) noexcept nogil:
    """Copy the kernels of a group, in the order of the plan's taps, and behind each its bias."""
    cdef const floating* kernel = <const floating*>o.w + g * p.w.strides[0]
    cdef const floating* bias = <const floating*>o.bias
    cdef Py_ssize_t k, i
    for k in range(p.out_channels):
        for i in range(p.taps):
            weights[i] = kernel[p.tap_at[i]]
        weights[p.taps] = 0 if bias is NULL else bias[g * o.bias_group + k * o.bias_row]
        weights += p.taps + 1
        kernel += p.w.strides[1]


cdef void correlate_blocks(const floating* x, const Context* context, Py_ssize_t task,
                           int thread) noexcept nogil:
    """Compute the blocks of a task; a thread's part of the workspace begins with the tile."""
    cdef const Plan* p = <const Plan*>context.plan
    cdef floating* tile = <floating*>context.shared + thread * p.own
    cdef Py_ssize_t blocks = p.batch * p.groups * p.blocks, group = -1, _
    cdef Py_ssize_t begin = task * blocks // p.tasks, end = (task + 1) * blocks // p.tasks
    cdef floating* buffer = tile + p.tile_size
    cdef floating* weights = buffer + p.buffer_size
    cdef Block b = find_block(p, begin)
    memset(tile, 0, p.tile_size * sizeof(floating))
    for _ in range(begin, end):
        if b.g != group:
            group = b.g
            gather_weights(p, context.o, group, weights)
        correlate_block(x, p, context.o, &b, <const floating*>weights, tile, buffer)
        next_block(p, &b)


cdef double correlate_cost(void* job, Py_ssize_t task) noexcept nogil:
    """Return what a call of correlate_blocks costs."""
    cdef const Plan* p = <const Plan*>(<const Job*>job).context.plan
    cdef Py_ssize_t blocks = p.batch * p.groups * p.blocks, _
    cdef Py_ssize_t begin = task * blocks // p.tasks, end = (task + 1) * blocks // p.tasks
    cdef Block b = find_block(p, begin)
    cdef double cost = 0
    for _ in range(begin, end):
        cost += block_cost(p, &b, 2)
        next_block(p, &b)
    return cost


cdef class Correlation(Depthwise):
    """A forward pass or, with the axes of a gradient, an input gradient.

    Inputs and weights may have any strides, negative ones too; the planes of the output are
    contiguous. Each output is one sum over c and its taps, column by column, whatever the batch,
    threads or memory layout.
    """

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Plan* p = &self.p
        cdef Py_ssize_t rows, vectors
        self.variant, self.ends = "depthwise rows", True
        self.make_plan(layout)
        p.own = whole_lines(p.tile_size + p.buffer_size + p.out_channels * (p.taps + 1), p.itemsize)
        p.tasks = min(p.batch * p.groups * p.blocks, threads * TASKS)
        rows, vectors = p.rows, p.columns // p.lanes
        if p.taps and p.subkernels.shared > 1:
            rows = ceil_div(rows, p.row.dilation)
        self.largest[0] = p.registers.rows if rows >= p.registers.rows else 1
        self.largest[1] = p.lanes * (
            p.registers.vectors if vectors >= p.registers.vectors else 2 if vectors >= 2 else 1)
        self.team = max(min(threads, p.tasks), 1)
        return self.team * p.own * p.itemsize

    cdef void share(self, Context* context, Jobs* jobs) noexcept nogil:
        context.plan = &self.p
        add_job(jobs, context, correlate_blocks[float], correlate_blocks[double], correlate_cost,
                context.o.x, self.p.tasks)
