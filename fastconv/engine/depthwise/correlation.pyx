# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""Convolution with one input channel in each group (the algorithm "depthwise").

Arrays have six axes, with the channels split by group; C is 1 in the forward pass, K is 1 in the
input gradient:

    input   x   (N, G, C, D, H, W)
    weight  w   (G, K, C, T, R, S)
    output  y   (N, G, K, OD, OH, OW)

What is read may have any strides, negative ones too; planes that are written are contiguous.

Each call walks over *units*: a block of output rows and columns of one sample, group and depth.
What a unit needs of the input is copied into a slab that fits in the first-level cache, with the
zeros of the padding in place and the columns of a stride separated by phase, so that in the slab
every tap of the kernel is one constant shift:

    slab[c, t][rows][column phase][width]                 shift(c, t, r, s)

The inner loops (rows.h) run along the rows of a unit. Where the output's rows are as
far apart as the kernel's taps, which is so for stride 1, several rows of the output and the taps of
a kernel column share each vector that is loaded.

A plane whose rows fit in one vector is less work than the calls that lead to it. There the unit is
a *block* of planes of one sample, which take each step together (planes.h): all are
copied into slabs, then all are computed, then all are written. The slabs are as narrow as the
padding allows, and have the rows of a stride separated by phase, too. `has_small_planes` says which
plans these are; with rows of two vectors, blocks were slower.

An axis of a correlation is said in numbers, `axis`: the stride at which the input is read, the step
between the outputs of one phase, the taps' dilation, the number of phases, and for each phase

    first, before, tap_first, tap_step, taps

The phase's outputs stand at first + m*step; output m sums the taps tap_first + q*tap_step,
q < taps, times the inputs at m*stride + q*dilation - before. A forward pass has one
phase of step 1; an input gradient has those of `_geometry.input_gradient_phases`, and stride 1.
Outputs that no phase reaches are 0.
"""

from cython cimport floating
from libc.string cimport memcmp, memset

from fastconv.engine.base.arrays cimport Layout, Operands, View, look, look_at, swap_channels
from fastconv.engine.base.axis cimport LONGEST_SUM, Axis, ceil_div
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport (
    EVEN, Phase, parallel_for, parallel_phases, threads_for)
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.depthwise.kernels cimport (
    Maps, Part, accumulate_planes, accumulate_tile, correlate_planes, correlate_tile, merge_tile,
    view_maps)
from fastconv.engine.depthwise.slab cimport copy_rows, fill_slab, plane_of
from fastconv.engine.depthwise.units cimport (
    Plan, Unit, find_phase, find_unit, free_plan, gather_weights, make_plan, next_unit,
    whole_lines)

# The sums of a task of the weight gradient, likewise.
cdef Py_ssize_t SUMS_BYTES = 8192
# Tasks of a thread: threads that are held up leave theirs to others.
cdef Py_ssize_t TASKS = 8
# Partial sums of the weight gradient: this many groups times chunks give every thread its part.
cdef Py_ssize_t MIN_SUMS = 64


# A call: its tasks, and the part of the workspace that each thread has.
cdef struct Work:
    const Plan* plan
    const Operands* arrays
    Py_ssize_t units, tasks
    Py_ssize_t own_numbers
    char* own


cdef inline void correlate_rows(const Plan* plan, const Part* part, const floating* slab,
                                const floating* weights, floating bias, Py_ssize_t rows,
                                Py_ssize_t width, floating* out,
                                Py_ssize_t out_step) noexcept nogil:
    """Compute rows of one part. Those that share what they read are `hop` apart."""
    cdef Py_ssize_t hop = plan.row.dilation if part.shared > 1 else 1
    cdef Py_ssize_t in_step = hop * plan.pitch * plan.slab_row, i, count = rows
    weights += part.first_tap
    for i in range(min(hop, rows)):
        if hop > 1:
            count = ceil_div(rows - i, hop)
        correlate_tile(plan.isa, slab, in_step, count, width, part.shifts, part.columns,
                       part.shared, weights, bias, out, hop * out_step)
        slab += plan.slab_row
        out += out_step


cdef void write_rows(const Plan* plan, const Unit* unit, const Part* parts, floating bias,
                     const floating* slab, const floating* weights, Py_ssize_t rows,
                     floating* out, Py_ssize_t out_step, floating* buffer) noexcept nogil:
    """Compute the rows of one row phase, and put the column phases between each other.

    `parts` are those of the column phases, or NULL for rows of zeros.
    """
    cdef const Axis* axis = &plan.column
    cdef Py_ssize_t step = axis.step, width = unit.columns, hop = plan.buffer_width
    cdef Py_ssize_t total = min(width * step, axis.out - unit.ow * step)
    cdef Py_ssize_t i, j, b, at
    cdef floating* piece
    cdef floating* odd
    out += unit.ow * step
    if parts is not NULL and step == 1 and width >= plan.lanes:
        correlate_rows[floating](plan, parts, slab, weights, bias, rows, width, out, out_step)
        return
    if parts is not NULL:
        for b in range(axis.phases):
            correlate_rows[floating](plan, parts + b, slab, weights, bias, rows, width,
                                     buffer + b * plan.rows * hop, hop)
        if step == 1:
            copy_rows[floating](plan.isa, out, out_step, <const char*>buffer, sizeof(floating),
                                hop * sizeof(floating), rows, total)
            return
        if step == 2 and axis.phases == 2:
            piece = odd = buffer
            if axis.phase[0].first == 0:
                odd += plan.rows * hop
            else:
                piece += plan.rows * hop
            merge_tile(plan.isa, out, out_step, piece, odd, hop, rows, total)
            return
    for i in range(rows):
        memset(out, 0, total * sizeof(floating))
        for b in range(axis.phases if parts is not NULL else 0):
            piece = buffer + (b * plan.rows + i) * hop
            at = axis.phase[b].first
            for j in range(width):
                if at < total:
                    out[at] = piece[j]
                at += step
        out += out_step


cdef void correlate_unit(const Operands* o, const Plan* plan, const Unit* unit,
                         const floating* weights, bint zeros, floating* slab,
                         floating* buffer) noexcept nogil:
    cdef Py_ssize_t d = find_phase(&plan.depth, unit.depth_first)
    cdef Py_ssize_t k, a, f, rows, step = plan.row.step
    cdef const Part* parts
    cdef floating* plane
    cdef floating bias = 0
    if d >= 0:
        fill_slab(o.x, plan, unit, plan.depth.phase + d, zeros, slab)
    for k in range(plan.out_channels):
        plane = <floating*>(plane_of(o.y, &plan.layout.y, unit.n, unit.g, k)
                            + unit.od * plan.layout.y.strides[3])
        if o.bias is not NULL:
            bias = (<const floating*>o.bias)[unit.g * o.bias_group + k * o.bias_row]
        for f in range(min(step, plan.row.out)):
            a = find_phase(&plan.row, f)
            parts = NULL
            if d >= 0 and a >= 0 and plan.column.phases:
                parts = plan.parts + (d * plan.row.phases + a) * plan.column.phases
            # The unit's rows are f + m*step of the output; the phase may have one row less.
            rows = unit.rows
            if f + (unit.oh + rows - 1) * step >= plan.row.out:
                rows -= 1
            write_rows[floating](
                plan, unit, parts, bias, slab, weights + k * plan.taps, rows,
                plane + (unit.oh * step + f) * plan.column.out, step * plan.column.out, buffer)


cdef void correlate_blocks(const Operands* o, const Plan* plan, Py_ssize_t begin, Py_ssize_t end,
                           floating* workspace) noexcept nogil:
    """Compute blocks of small planes, counted over the groups and then the samples."""
    cdef Py_ssize_t step = plan.taps + 1, kernels_size = plan.out_channels * step
    cdef Py_ssize_t unit, n, g, k, first, planes = 0, gathered = -1
    cdef Maps inputs = view_maps(&plan.layout.x, sizeof(floating))
    cdef Maps outputs = view_maps(&plan.layout.y, sizeof(floating))
    cdef const floating* bias = <const floating*>o.bias
    cdef floating* slab = workspace
    cdef floating* buffers = slab + plan.block * plan.planes.slab_plane
    cdef floating* weights = buffers + plan.block * plan.planes.buffer_plane
    cdef floating* stage = weights + plan.block * kernels_size
    memset(slab, 0, plan.block * plan.planes.slab_plane * sizeof(floating))
    for unit in range(begin, end):
        first = unit // plan.batch * plan.block
        n = unit % plan.batch
        if first != gathered:
            gathered = first
            planes = min(plan.block, plan.groups - first)
            for g in range(planes):
                gather_weights(o.w, plan, first + g, step, weights + g * kernels_size)
                for k in range(plan.out_channels):
                    weights[g * kernels_size + k * step + plan.taps] = (
                        bias[(first + g) * o.bias_group + k * o.bias_row]
                        if bias is not NULL else 0)
        correlate_planes(plan.isa, <const floating*>weights, &plan.planes, &inputs,
                         plane_of(o.x, &plan.layout.x, n, first, 0), &outputs,
                         plane_of(o.y, &plan.layout.y, n, first, 0), planes, slab, buffers, stage)


cdef void correlate_units(const Operands* o, const Plan* plan, Py_ssize_t begin, Py_ssize_t end,
                          floating* workspace) noexcept nogil:
    """Compute the units of one task."""
    cdef Py_ssize_t _, group = -1
    cdef floating* slab = workspace
    cdef floating* buffer = slab + plan.slab_size
    cdef floating* weights = buffer + plan.buffer_size
    cdef Unit unit = find_unit(plan, begin)
    memset(slab, 0, plan.slab_size * sizeof(floating))
    for _ in range(begin, end):
        if unit.g != group:
            group = unit.g
            gather_weights(o.w, plan, group, plan.taps, weights)
        correlate_unit(o, plan, &unit, weights, not plan.steady, slab, buffer)
        next_unit(plan, &unit)


cdef void correlate_some(const Work* work, Py_ssize_t task, floating* own) noexcept nogil:
    cdef Py_ssize_t begin = task * work.units // work.tasks
    cdef Py_ssize_t end = (task + 1) * work.units // work.tasks
    if work.plan.block:
        correlate_blocks(work.arrays, work.plan, begin, end, own)
    else:
        correlate_units(work.arrays, work.plan, begin, end, own)


cdef void correlate_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Work* work = <const Work*>context
    if work.plan.layout.itemsize == sizeof(float):
        correlate_some(work, task, <float*>work.own + thread * work.own_numbers)
    else:
        correlate_some(work, task, <double*>work.own + thread * work.own_numbers)


cdef class Planned:
    """A plan for arrays that lie in memory in one way; whoever computes by it holds it.

    Its axes point into the arrays of numbers.
    """

    cdef Plan plan
    cdef tuple numbers

    def __dealloc__(self):
        free_plan(&self.plan)


cdef class Correlation:
    """A convolution of one geometry, called with arrays as they are: x, w, bias or None, and y.

    Maps are (N, G C, *spatial), weights (G K, C, *spatial), with any strides but for the planes
    that are written; `numbers` says what is correlated on each of three axes (see above). Each
    output is one sum over c and its taps, column by column, whatever the batch, threads or memory
    layout. The output may not be empty. The plan is kept, for the next arrays that lie in memory as
    the last. A dry call computes nothing; all calls return the bytes of workspace.
    """

    cdef int axes
    cdef Py_ssize_t groups
    cdef tuple numbers
    cdef Planned planned

    def __init__(self, int axes, Py_ssize_t groups, tuple numbers):
        self.axes, self.groups, self.numbers = axes, groups, numbers

    cdef Planned find_plan(self, const Layout* layout):
        """Return the plan for this layout: the last one, or a new one."""
        cdef Planned planned = self.planned
        cdef View depth, row, column
        if planned is not None and not memcmp(layout, &planned.plan.layout, sizeof(Layout)):
            return planned
        planned = Planned()
        planned.numbers = self.numbers
        look(self.numbers[0], 1, False, &depth)
        look(self.numbers[1], 1, False, &row)
        look(self.numbers[2], 1, False, &column)
        make_plan(&planned.plan, layout, <const Py_ssize_t*>depth.data,
                  <const Py_ssize_t*>row.data, <const Py_ssize_t*>column.data, isa_row())
        self.planned = planned
        return planned

    def __call__(self, x, w, bias, y, bint dry=False):
        cdef Operands arrays
        look_at(x, w, bias, y, self.axes, self.groups, False, &arrays)
        return self.correlate(&arrays, dry)

    cdef object correlate(self, const Operands* arrays, bint dry):
        cdef Planned planned = self.find_plan(&arrays.layout)
        cdef const Plan* plan = &planned.plan
        cdef Work work
        cdef size_t bytes_taken
        cdef int threads
        work.plan, work.arrays = plan, arrays
        work.units = (plan.batch * plan.groups * plan.depth.out * plan.row_blocks
                      * plan.column_blocks)
        threads = threads_for(<double>work.units * plan.out_channels * plan.rows * plan.columns
                              * plan.taps)
        work.own_numbers = plan.slab_size + plan.buffer_size + plan.out_channels * plan.taps
        if plan.block:
            work.units = plan.batch * ceil_div(plan.groups, plan.block)
            work.own_numbers = (
                plan.block * (plan.planes.slab_plane + plan.planes.buffer_plane
                              + plan.out_channels * (plan.taps + 1))
                + plan.row.size * plan.column.size)
        work.own_numbers = whole_lines(work.own_numbers, plan.layout.itemsize)
        work.tasks = min(work.units, threads * TASKS)
        bytes_taken = threads * work.own_numbers * plan.layout.itemsize
        if not dry:
            work.own = <char*>take(bytes_taken)
            with nogil:
                parallel_for(threads, work.tasks, correlate_task, &work, 0)
                give(work.own)
        return bytes_taken


cdef class InputGradient(Correlation):
    """The correlation of a residual, called with it, the weights and what it writes."""

    def __call__(self, residual, w, grad_input, bint dry=False):
        cdef Operands arrays
        look_at(residual, w, None, grad_input, self.axes, self.groups, False, &arrays)
        swap_channels(&arrays)
        return self.correlate(&arrays, dry)


# A call of the weight gradient: a task is a block of groups and a chunk of samples.
cdef struct Sums:
    const Plan* plan
    const Operands* arrays
    Py_ssize_t block, blocks            # groups of a block, and their number
    Py_ssize_t chunks
    Py_ssize_t slabs                    # numbers of slabs and buffers in a thread's part
    Py_ssize_t own_numbers
    char* own
    char* partial                       # for each chunk (G, K, taps)


cdef inline void accumulate_rows(const Plan* plan, const floating* slab, const floating* dy,
                                 Py_ssize_t dy_step, Py_ssize_t rows, Py_ssize_t vectors,
                                 floating* sums) noexcept nogil:
    """Add the products of a unit's residual and every tap to the sums."""
    cdef const Part* part = plan.parts
    cdef Py_ssize_t hop = plan.row.dilation if part.shared > 1 else 1
    cdef Py_ssize_t in_step = hop * plan.pitch * plan.slab_row, i, count = rows
    for i in range(min(hop, rows)):
        if hop > 1:
            count = ceil_div(rows - i, hop)
        accumulate_tile(plan.isa, slab, in_step, count, vectors, part.shifts, part.columns,
                        part.shared, dy, hop * dy_step, sums)
        slab += plan.slab_row
        dy += dy_step


cdef void accumulate_unit(const Operands* o, const Plan* plan, const Unit* unit, bint zeros,
                          floating* slab, floating* buffer, floating* sums) noexcept nogil:
    """Add what one unit gives to the sums of its group."""
    cdef const Py_ssize_t* strides = &plan.layout.y.strides[0]
    cdef Py_ssize_t vectors = plan.vectors
    cdef Py_ssize_t hop = strides[5] if plan.column.out > 1 else <Py_ssize_t>sizeof(floating)
    cdef bint in_place
    cdef Py_ssize_t k, i, j
    cdef const char* source
    while (vectors - 1) * plan.lanes >= unit.columns:
        vectors -= 1
    in_place = (vectors * plan.lanes == unit.columns and hop == sizeof(floating)
                and strides[4] % <Py_ssize_t>sizeof(floating) == 0)
    fill_slab(o.x, plan, unit, plan.depth.phase, zeros, slab)
    for k in range(plan.out_channels):
        source = (plane_of(o.y, &plan.layout.y, unit.n, unit.g, k) + unit.od * strides[3]
                  + unit.oh * strides[4] + unit.ow * strides[5])
        if in_place:
            accumulate_rows[floating](
                plan, slab, <const floating*>source,
                strides[4] // <Py_ssize_t>sizeof(floating), unit.rows, vectors, sums)
        else:
            # The residual in whole vectors: behind its rows are zeros.
            copy_rows[floating](plan.isa, buffer, plan.buffer_width, source, hop, strides[4],
                                unit.rows, unit.columns)
            for i in range(unit.rows):
                for j in range(unit.columns, vectors * plan.lanes):
                    buffer[i * plan.buffer_width + j] = 0
            accumulate_rows[floating](plan, slab, buffer, plan.buffer_width, unit.rows, vectors,
                                      sums)
        sums += plan.taps * plan.lanes


cdef void settle(floating* sums, floating* totals, Py_ssize_t numbers) noexcept nogil:
    """Add the sums to the totals, and begin them anew."""
    cdef Py_ssize_t i
    for i in range(numbers):
        totals[i] += sums[i]
        sums[i] = 0


cdef void accumulate_units(const Operands* o, const Plan* plan, Py_ssize_t first_group,
                           Py_ssize_t last_group, Py_ssize_t first, Py_ssize_t last,
                           floating* slab, floating* sums, floating* totals) noexcept nogil:
    """Add what some groups and samples give to the sums, unit by unit."""
    cdef Py_ssize_t units = plan.depth.out * plan.row_blocks * plan.column_blocks
    cdef Py_ssize_t step = plan.out_channels * plan.taps * plan.lanes
    cdef Py_ssize_t n, g, _, before, length = 0
    cdef floating* buffer = slab + plan.slab_size
    cdef Unit unit
    for n in range(first, last):
        unit = find_unit(plan, (n * plan.groups + first_group) * units)
        # The sums of all groups are equally long.
        before = length
        for g in range(last_group - first_group):
            length = before
            for _ in range(units):
                length += unit.rows * plan.vectors
                accumulate_unit(o, plan, &unit, not plan.steady, slab, buffer, sums + g * step)
                if length > LONGEST_SUM:
                    settle(sums + g * step, totals + g * step, step)
                    length = 0
                next_unit(plan, &unit)


cdef void accumulate_block(const Sums* work, Py_ssize_t first_group, Py_ssize_t last_group,
                           Py_ssize_t first, Py_ssize_t last, floating* slab, floating* sums,
                           floating* totals, floating* stage) noexcept nogil:
    """Add what a block of small planes gives to the sums, sample by sample."""
    cdef const Plan* plan = work.plan
    cdef Maps inputs = view_maps(&plan.layout.x, sizeof(floating))
    cdef Maps residuals = view_maps(&plan.layout.y, sizeof(floating))
    cdef Py_ssize_t n, planes = last_group - first_group, length = 0
    cdef floating* buffers = slab + work.block * plan.planes.slab_plane
    for n in range(first, last):
        accumulate_planes(
            plan.isa, sums, &plan.planes, &inputs,
            plane_of(work.arrays.x, &plan.layout.x, n, first_group, 0), &residuals,
            plane_of(work.arrays.y, &plan.layout.y, n, first_group, 0), planes, slab, buffers,
            stage)
        length += plan.row.out * plan.column.out
        if length > LONGEST_SUM:
            settle(sums, totals, planes * plan.out_channels * plan.taps * plan.lanes)
            length = 0


cdef void accumulate_groups(const Sums* work, Py_ssize_t task, floating* own,
                            floating* partial) noexcept nogil:
    """Write the sums (G, K, taps) of some groups over some samples."""
    cdef const Plan* plan = work.plan
    cdef Py_ssize_t chunk = task // work.blocks, first_group = task % work.blocks * work.block
    cdef Py_ssize_t last_group = min(first_group + work.block, plan.groups)
    cdef Py_ssize_t first = chunk * plan.batch // work.chunks
    cdef Py_ssize_t last = (chunk + 1) * plan.batch // work.chunks
    cdef Py_ssize_t width = plan.out_channels * plan.taps
    cdef Py_ssize_t numbers = (last_group - first_group) * width
    cdef Py_ssize_t i, j
    cdef floating* sums = own + work.slabs
    cdef floating* totals = sums + numbers * plan.lanes
    cdef floating total
    memset(own, 0, (work.slabs + 2 * numbers * plan.lanes) * sizeof(floating))
    if plan.block:
        accumulate_block(work, first_group, last_group, first, last, own, sums, totals,
                         sums + 2 * work.block * width * plan.lanes)
    else:
        accumulate_units(work.arrays, plan, first_group, last_group, first, last, own, sums,
                         totals)
    settle(sums, totals, numbers * plan.lanes)
    partial += (chunk * plan.groups + first_group) * width
    for i in range(numbers):
        total = 0
        for j in range(plan.lanes):
            total += totals[i * plan.lanes + j]
        partial[i] = total


cdef void accumulate_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Sums* work = <const Sums*>context
    if work.plan.layout.itemsize == sizeof(float):
        accumulate_groups(work, task, <float*>work.own + thread * work.own_numbers,
                          <float*>work.partial)
    else:
        accumulate_groups(work, task, <double*>work.own + thread * work.own_numbers,
                          <double*>work.partial)


cdef void add_chunks(const Sums* work, Py_ssize_t g, const floating* partial) noexcept nogil:
    """Write the sum of the chunks, in order, into the gradient of a group."""
    cdef const Plan* plan = work.plan
    cdef const Py_ssize_t* strides = &plan.layout.w.strides[0]
    cdef Py_ssize_t width = plan.out_channels * plan.taps, k, i, chunk
    cdef floating total
    cdef char* kernel
    partial += g * width
    for k in range(plan.out_channels):
        kernel = work.arrays.w + g * strides[0] + k * strides[1]
        for i in range(plan.taps):
            total = 0
            for chunk in range(work.chunks):
                total += partial[chunk * plan.groups * width + i]
            (<floating*>(kernel + plan.tap_at[i]))[0] = total
        partial += plan.taps


cdef void add_task(void* context, Py_ssize_t group, int thread) noexcept nogil:
    cdef const Sums* work = <const Sums*>context
    if work.plan.layout.itemsize == sizeof(float):
        add_chunks(work, group, <const float*>work.partial)
    else:
        add_chunks(work, group, <const double*>work.partial)


cdef class WeightGradient(Correlation):
    """The correlation of an input with a residual, called with both and the gradient it writes.

    The axes are those of the forward pass. A group's sums run over the pixels and samples of a
    chunk lane by lane; then the lanes are added in order, then the chunks. All borders follow from
    the shapes, so that the result is the same for any number of threads. The residual may not be
    empty.
    """

    def __call__(self, x, dy, dw, bint dry=False):
        cdef Operands arrays
        cdef Planned planned
        cdef const Plan* plan
        cdef Sums work
        cdef Phase loops[2]
        cdef Py_ssize_t width, itemsize, stage = 0
        cdef size_t bytes_taken
        cdef int threads

        look_at(x, dw, None, dy, self.axes, self.groups, True, &arrays)
        planned = self.find_plan(&arrays.layout)
        plan, itemsize = &planned.plan, arrays.layout.itemsize
        work.plan, work.arrays = plan, &arrays
        width = plan.out_channels * plan.taps
        work.chunks = min(plan.batch, ceil_div(MIN_SUMS, plan.groups))
        threads = threads_for(<double>plan.batch * plan.groups * plan.depth.out * plan.row.out
                              * plan.column.out * width)
        # Groups of one task: as many as their sums let the cache hold, and the threads need.
        work.block = max(SUMS_BYTES // (width * plan.lanes * itemsize), 1)
        work.block = max(min(work.block, plan.groups * work.chunks // (threads * TASKS)), 1)
        work.slabs = plan.slab_size + plan.buffer_size
        if plan.block:
            work.block = min(work.block, plan.block)
            work.slabs = work.block * (plan.planes.slab_plane + plan.planes.buffer_plane)
            stage = max(plan.row.size * plan.column.size, plan.row.out * plan.column.out)
        work.blocks = ceil_div(plan.groups, work.block)
        work.own_numbers = whole_lines(work.slabs + 2 * work.block * width * plan.lanes + stage,
                                       itemsize)
        bytes_taken = (threads * work.own_numbers + work.chunks * plan.groups * width) * itemsize
        if dry:
            return bytes_taken
        work.own = <char*>take(bytes_taken)
        work.partial = work.own + threads * work.own_numbers * itemsize
        loops[0].run, loops[0].context, loops[0].how = accumulate_task, &work, 0
        loops[0].tasks = work.blocks * work.chunks
        loops[1].run, loops[1].context, loops[1].how = add_task, &work, EVEN
        loops[1].tasks = plan.groups
        with nogil:
            parallel_phases(threads, loops, 2)
            give(work.own)
        return bytes_taken
