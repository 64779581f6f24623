# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""The weight gradient of convolutions with one input channel in each group.

A task is a block of groups and a k-slice of samples. Each tap has a vector of sums, which run over
the pixels and samples of the slice lane by lane; then the lanes are added, then the slices, both in
order.
"""

from cython cimport floating
from libc.string cimport memset

from fastconv.engine.base.arrays cimport Layout, Operands
from fastconv.engine.base.axis cimport LONGEST_SUM, ceil_div
from fastconv.engine.base.costs cimport COPIED
from fastconv.engine.base.jobs cimport Context, Job, Jobs, add_job
from fastconv.engine.base.split_k cimport SplitK, add_slices, first_unit, partial_numbers, split_k
from fastconv.engine.depthwise.kernels cimport accumulate, held_runs
from fastconv.engine.depthwise.pack cimport copy_rows, pack_tile
from fastconv.engine.depthwise.plan cimport (
    TASKS, Block, Depthwise, Plan, block_cost, find_block, next_block, whole_lines)

# The sums of a task take so many bytes at most: they stay in the cache beside the input tile.
cdef Py_ssize_t SUMS_BYTES = 8192
# This many groups times slices give every thread its part.
cdef Py_ssize_t LEAST_TASKS = 64


cdef void accumulate_block(const floating* x, const Plan* p, const Operands* o, const Block* b,
                           floating* tile, floating* buffer, floating* sums) noexcept nogil:
    """Add what one block gives to the sums of its group."""
    cdef const Py_ssize_t* strides = &p.y.strides[0]
    cdef Py_ssize_t row = strides[4], vectors = p.vectors
    # Rows that share what they read are `apart` rows apart.
    cdef Py_ssize_t apart = p.row.dilation if p.subkernels.shared > 1 else 1, k, i
    cdef bint in_place
    cdef const floating* dy
    if b.columns < p.columns:
        vectors = ceil_div(b.columns, p.lanes)
    in_place = vectors * p.lanes == b.columns and strides[5] == 1
    pack_tile(p, x, b, p.depth.phase, b.od, tile)
    # The residual in whole vectors: past the end of its rows are zeros.
    if not in_place and p.column_blocks > 1:
        memset(buffer, 0, p.buffer_size * sizeof(floating))
    for k in range(p.out_channels):
        dy = (<const floating*>o.y + b.n * strides[0] + b.g * strides[1] + k * strides[2]
              + b.od * strides[3] + b.oh * strides[4] + b.ow * strides[5])
        if not in_place:
            copy_rows[floating](p, dy, strides[4], strides[5], b.rows, b.columns, buffer,
                                p.buffer_row)
            dy, row = buffer, p.buffer_row
        for i in range(min(apart, b.rows)):
            accumulate(p.isa, tile + i * p.tile_row, apart * p.pitch * p.tile_row,
                       ceil_div(b.rows - i, apart) if apart > 1 else b.rows, vectors, p.subkernels,
                       dy + i * row, apart * row, sums)
        sums += p.taps * p.lanes


cdef void flush(floating* sums, floating* totals, Py_ssize_t numbers) noexcept nogil:
    """Add the sums to the totals, and begin them anew."""
    cdef Py_ssize_t i
    for i in range(numbers):
        totals[i] += sums[i]
        sums[i] = 0


cdef void accumulate_groups(const floating* x, const Context* context, Py_ssize_t task,
                            int thread) noexcept nogil:
    """Write the sums (G, K, taps) of some groups over some samples."""
    cdef const Plan* p = <const Plan*>context.plan
    cdef const SplitK* split = &p.split
    cdef Py_ssize_t slice = task // p.group_blocks, first = task % p.group_blocks * p.group_block
    cdef Py_ssize_t groups = min(p.group_block, p.groups - first), numbers = split.numbers * p.lanes
    cdef Py_ssize_t length = 0, before, n, g, i, j, _
    cdef floating* tile = <floating*>context.shared + thread * p.own
    cdef floating* buffer = tile + p.tile_size
    cdef floating* sums = buffer + p.buffer_size
    cdef floating* totals = sums + groups * numbers
    cdef floating* partial = <floating*>(context.shared + p.partial_at)
    cdef floating total
    cdef Block b
    memset(tile, 0, p.own * sizeof(floating))
    for n in range(first_unit(split, slice), first_unit(split, slice + 1)):
        b = find_block(p, (n * p.groups + first) * p.blocks)
        # The sums of all groups are equally long.
        before = length
        for g in range(groups):
            length = before
            for _ in range(p.blocks):
                length += b.rows * p.vectors
                accumulate_block(x, p, context.o, &b, tile, buffer, sums + g * numbers)
                if length > LONGEST_SUM:
                    flush(sums + g * numbers, totals + g * numbers, numbers)
                    length = 0
                next_block(p, &b)
    flush(sums, totals, groups * numbers)
    partial += (slice * p.groups + first) * split.numbers
    for i in range(groups * split.numbers):
        total = 0
        for j in range(p.lanes):
            total += totals[i * p.lanes + j]
        partial[i] = total


cdef double accumulate_cost(void* job, Py_ssize_t task) noexcept nogil:
    """Return what a call of accumulate_groups costs."""
    cdef const Plan* p = <const Plan*>(<const Job*>job).context.plan
    cdef const SplitK* split = &p.split
    cdef Py_ssize_t slice = task // p.group_blocks, first = task % p.group_blocks * p.group_block
    cdef Py_ssize_t groups = min(p.group_block, p.groups - first), _
    cdef Py_ssize_t samples = first_unit(split, slice + 1) - first_unit(split, slice)
    cdef Block b = find_block(p, first * p.blocks)
    cdef double cost = 0
    for _ in range(p.blocks):
        cost += block_cost(p, &b, 3)
        next_block(p, &b)
    return groups * (samples * cost + <double>2 * COPIED * split.numbers * p.lanes)


cdef double add_cost(void* job, Py_ssize_t group) noexcept nogil:
    cdef const Plan* p = <const Plan*>(<const Job*>job).context.plan
    return <double>COPIED * p.split.numbers * (p.split.slices + 1)


cdef void add_group(const floating* x, const Context* context, Py_ssize_t g,
                    int thread) noexcept nogil:
    """Write the sum of the slices into the gradient of a group."""
    cdef const Plan* p = <const Plan*>context.plan
    cdef Py_ssize_t k, i
    cdef floating* partial = <floating*>(context.shared + p.partial_at) + g * p.split.numbers
    cdef floating* kernel
    add_slices(&p.split, partial, p.split.numbers)
    for k in range(p.out_channels):
        kernel = <floating*>context.o.w + g * p.w.strides[0] + k * p.w.strides[1]
        for i in range(p.taps):
            kernel[p.tap_at[i]] = partial[k * p.taps + i]


cdef class WeightGradient(Depthwise):
    """The correlation of an input with a residual; `numbers` are the axes of the forward pass.

    Maps and gradient may have any strides. All borders follow from the shapes, so that the result
    is the same for any number of threads.
    """

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Plan* p = &self.p
        cdef Py_ssize_t numbers, runs
        self.variant = "depthwise sums"
        self.make_plan(layout)
        p.split = split_k(p.groups, p.out_channels * p.taps, p.batch, 1, LEAST_TASKS)
        numbers = p.split.numbers * p.lanes
        # As many groups as their sums let the cache hold, and the threads need.
        p.group_block = max(min(SUMS_BYTES // (numbers * p.itemsize),
                                p.groups * p.split.slices // (threads * TASKS)), 1)
        p.group_blocks = ceil_div(p.groups, p.group_block)
        p.tasks = p.group_blocks * p.split.slices
        p.own = whole_lines(p.tile_size + p.buffer_size + 2 * p.group_block * numbers, p.itemsize)
        # The sums that registers hold: of so many taps, in so many lanes.
        runs = held_runs(p.registers.number, p.subkernels.shared)
        if p.subkernels.runs < runs:
            runs = 3 if p.subkernels.runs >= 3 else 1
        self.largest[0], self.largest[1] = runs * p.subkernels.shared, p.lanes
        self.team = max(min(threads, p.tasks), 1)
        p.partial_at = self.team * p.own * p.itemsize
        return p.partial_at + partial_numbers(&p.split) * p.itemsize

    cdef void share(self, Context* context, Jobs* jobs) noexcept nogil:
        context.plan = &self.p
        add_job(jobs, context, accumulate_groups[float], accumulate_groups[double],
                accumulate_cost, context.o.x, self.p.tasks)
        add_job(jobs, context, add_group[float], add_group[double], add_cost, NULL, self.p.groups)
