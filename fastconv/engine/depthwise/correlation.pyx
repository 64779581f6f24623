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
from cython.parallel cimport parallel, prange, threadid
from libc.string cimport memset

from fastconv.engine.base.axis cimport LONGEST_SUM, Axis, Phase, divide_up
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport flush_denormals, restore_denormals, threads_for
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.depthwise.kernels cimport Border, Maps, Part, Row, table, view_maps
from fastconv.engine.depthwise.units cimport (
    Plan, Unit, find_phase, find_unit, free_plan, gather_weights, make_plan, next_unit,
    whole_lines)

# The sums of a task of the weight gradient, likewise.
cdef Py_ssize_t SUMS_BYTES = 8192
# Tasks of a thread: threads that are held up leave theirs to others.
cdef Py_ssize_t TASKS = 8
# Partial sums of the weight gradient: this many groups times chunks give every thread its part.
cdef Py_ssize_t MIN_SUMS = 64

cdef Row kernels = table[isa_row()]


cdef inline void copy_rows(floating* to, Py_ssize_t to_step, const char* source, Py_ssize_t hop,
                           Py_ssize_t row_hop, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """Copy rows of `n` numbers that are `hop` bytes apart."""
    cdef Py_ssize_t _, j
    if hop == sizeof(floating) and row_hop % <Py_ssize_t>sizeof(floating) == 0:
        if floating is float:
            kernels.copy_f(to, to_step, <const float*>source,
                           row_hop // <Py_ssize_t>sizeof(floating), rows, n)
        else:
            kernels.copy_d(to, to_step, <const double*>source,
                           row_hop // <Py_ssize_t>sizeof(floating), rows, n)
        return
    for _ in range(rows):
        for j in range(n):
            to[j] = (<const floating*>(source + j * hop))[0]
        source += row_hop
        to += to_step


cdef inline void split_rows(const Plan* plan, const Border* border, const floating* source,
                            Py_ssize_t source_step, Py_ssize_t rows, floating* even) noexcept nogil:
    """Copy rows of the input into two rows of the slab each, their even and their odd columns.

    Where both are there, they are copied in pairs; at either end one may be left over.
    """
    cdef floating* odd = even + plan.slab_width
    cdef Py_ssize_t low = max(border[0].low, border[1].low)
    cdef Py_ssize_t high = max(min(border[0].high, border[1].high), low)
    cdef bint first = border[1].low < min(low, border[1].high)
    cdef bint last = high < border[0].high
    source += border.first + 2 * low
    if floating is float:
        kernels.split_f(even + low, odd + low, plan.slab_row, source, source_step, rows,
                        high - low, first, last)
    else:
        kernels.split_d(even + low, odd + low, plan.slab_row, source, source_step, rows,
                        high - low, first, last)


cdef void fill_rows(const char* source, Py_ssize_t hop, Py_ssize_t row_hop, Py_ssize_t rows,
                    const Plan* plan, const Border* border, floating* to) noexcept nogil:
    """Copy rows of the input into rows of the slab, separated by phase."""
    cdef Py_ssize_t stride = plan.column.stride
    cdef Py_ssize_t _
    if (stride == 2 and plan.splits == 2 and hop == sizeof(floating)
            and row_hop % <Py_ssize_t>sizeof(floating) == 0):
        split_rows[floating](plan, border, <const floating*>source,
                             row_hop // <Py_ssize_t>sizeof(floating), rows, to)
        return
    for _ in range(plan.splits):
        if border.low < border.high:
            copy_rows[floating](to + border.low, plan.slab_row,
                                source + (border.first + border.low * stride) * hop, stride * hop,
                                row_hop, rows, border.high - border.low)
        to += plan.slab_width
        border += 1


cdef void fill_slab(const floating[:, :, :, :, :, :] x, const Plan* plan, const Unit* unit,
                    const Phase* depth, bint zeros, floating* slab) noexcept nogil:
    """Copy what a unit needs of the input. The slab has zeros between; `zeros`: not all of them.
    """
    cdef Py_ssize_t c, t, k, low, high, ind, inh
    # Rows of the input that follow each other, and how many times.
    cdef Py_ssize_t run = plan.pitch, runs = unit.rows
    cdef const Border* border = plan.borders + unit.column_block * plan.splits
    # On an axis of one position the stride has no meaning.
    cdef Py_ssize_t hop = x.strides[5] if plan.column.size > 1 else <Py_ssize_t>sizeof(floating)
    cdef Py_ssize_t row_hop = x.strides[4] if plan.row.size > 1 else <Py_ssize_t>sizeof(floating)
    cdef const char* sample = (<const char*>&x[0, 0, 0, 0, 0, 0]
                               + unit.n * x.strides[0] + unit.g * x.strides[1])
    cdef const char* plane
    cdef floating* to
    if plan.pitch == plan.row.stride:
        run, runs = (unit.rows - 1) * plan.pitch + plan.row.reach + 1, 1
    # Blocks of columns have their padding in different places, the others in whole rows alone.
    if plan.column_blocks > 1:
        memset(slab, 0, plan.slab_size * sizeof(floating))
    for c in range(plan.in_channels):
        for t in range(depth.taps):
            ind = unit.depth_m * plan.depth.stride + t * plan.depth.dilation - depth.before
            plane = sample + c * x.strides[2] + ind * x.strides[3]
            to = slab + (c * plan.depth.taps + t) * plan.slab_plane
            for k in range(runs):
                inh = (unit.oh + k) * plan.row.stride - plan.row.before
                low = min(max(-inh, 0), run)
                high = max(min(plan.row.size - inh, run), low)
                if not 0 <= ind < plan.depth.size:
                    high = low
                if zeros:
                    memset(to, 0, low * plan.slab_row * sizeof(floating))
                    memset(to + high * plan.slab_row, 0,
                           (run - high) * plan.slab_row * sizeof(floating))
                if low < high:
                    fill_rows[floating](plane + (inh + low) * row_hop, hop, row_hop, high - low,
                                        plan, border, to + low * plan.slab_row)
                to += run * plan.slab_row


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
            count = divide_up(rows - i, hop)
        if floating is float:
            kernels.correlate_f(
                slab, in_step, count, width, part.shifts, part.columns, part.shared, weights, bias,
                out, hop * out_step)
        else:
            kernels.correlate_d(
                slab, in_step, count, width, part.shifts, part.columns, part.shared, weights, bias,
                out, hop * out_step)
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
            copy_rows[floating](out, out_step, <const char*>buffer, sizeof(floating),
                                hop * sizeof(floating), rows, total)
            return
        if step == 2 and axis.phases == 2:
            piece = odd = buffer
            if axis.phase[0].first == 0:
                odd += plan.rows * hop
            else:
                piece += plan.rows * hop
            if floating is float:
                kernels.merge_f(out, out_step, piece, odd, hop, rows, total)
            else:
                kernels.merge_d(out, out_step, piece, odd, hop, rows, total)
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


cdef void correlate_unit(const floating[:, :, :, :, :, :] x, const floating[:, :] bias,
                         floating[:, :, :, :, :, :] y, const Plan* plan, const Unit* unit,
                         const floating* weights, bint zeros, floating* slab,
                         floating* buffer) noexcept nogil:
    cdef Py_ssize_t d = find_phase(&plan.depth, unit.depth_first)
    cdef Py_ssize_t k, a, f, rows, step = plan.row.step
    cdef const Part* parts
    cdef floating* plane
    if d >= 0:
        fill_slab(x, plan, unit, plan.depth.phase + d, zeros, slab)
    for k in range(plan.out_channels):
        plane = &y[unit.n, unit.g, k, unit.od, 0, 0]
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
                plan, unit, parts, bias[unit.g, k] if bias is not None else 0, slab,
                weights + k * plan.taps, rows, plane + (unit.oh * step + f) * plan.column.out,
                step * plan.column.out, buffer)


cdef void correlate_blocks(const floating[:, :, :, :, :, :] x,
                           const floating[:, :, :, :, :, :] w, const floating[:, :] bias,
                           floating[:, :, :, :, :, :] y, const Plan* plan, Py_ssize_t begin,
                           Py_ssize_t end, floating* workspace) noexcept nogil:
    """Compute blocks of small planes, counted over the groups and then the samples."""
    cdef Py_ssize_t step = plan.taps + 1, kernels_size = plan.out_channels * step
    cdef Py_ssize_t unit, n, g, k, first, planes = 0, gathered = -1
    cdef Maps inputs = view_maps(x), outputs = view_maps(y)
    cdef floating* slab = workspace
    cdef floating* buffers = slab + plan.block * plan.planes.slab_plane
    cdef floating* weights = buffers + plan.block * plan.planes.buffer_plane
    cdef floating* stage = weights + plan.block * kernels_size
    cdef const char* source
    cdef char* target
    memset(slab, 0, plan.block * plan.planes.slab_plane * sizeof(floating))
    for unit in range(begin, end):
        first = unit // plan.batch * plan.block
        n = unit % plan.batch
        if first != gathered:
            gathered = first
            planes = min(plan.block, plan.groups - first)
            for g in range(planes):
                gather_weights(w, plan, first + g, step, weights + g * kernels_size)
                for k in range(plan.out_channels):
                    weights[g * kernels_size + k * step + plan.taps] = (
                        bias[first + g, k] if bias is not None else 0)
        source = <const char*>&x[n, first, 0, 0, 0, 0]
        target = <char*>&y[n, first, 0, 0, 0, 0]
        if floating is float:
            kernels.correlate_planes_f(&plan.planes, &inputs, source, &outputs, target, planes,
                                       weights, slab, buffers, stage)
        else:
            kernels.correlate_planes_d(&plan.planes, &inputs, source, &outputs, target, planes,
                                       weights, slab, buffers, stage)


cdef void correlate_units(const floating[:, :, :, :, :, :] x,
                          const floating[:, :, :, :, :, :] w, const floating[:, :] bias,
                          floating[:, :, :, :, :, :] y, const Plan* plan, Py_ssize_t begin,
                          Py_ssize_t end, floating* workspace) noexcept nogil:
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
            gather_weights(w, plan, group, plan.taps, weights)
        correlate_unit(x, bias, y, plan, &unit, weights, not plan.steady, slab, buffer)
        next_unit(plan, &unit)


def correlate(const floating[:, :, :, :, :, :] x, const floating[:, :, :, :, :, :] w,
              const floating[:, :] bias, floating[:, :, :, :, :, :] y,
              const Py_ssize_t[::1] depth, const Py_ssize_t[::1] row,
              const Py_ssize_t[::1] column, bint dry=False):
    """Write into `y` the correlation of `x` with `w`, plus `bias` (G, K) unless it is None.

    `depth`, `row` and `column` say what is correlated on each axis (see above). Each output is one
    sum over c and its taps, column by column, whatever the batch, threads or memory layout. The
    output may not be empty. Returns the bytes of workspace; a dry call does nothing else.
    """
    cdef Plan plan
    cdef Py_ssize_t i, units, tasks, size
    cdef int threads
    cdef unsigned long saved = 0
    cdef size_t bytes_taken
    cdef floating* workspace

    make_plan(&plan, &x.shape[0], &w.shape[0], &w.strides[0], &y.shape[0], &depth[0], &row[0],
              &column[0], kernels.vector_bytes, sizeof(floating))
    units = plan.batch * plan.groups * plan.depth.out * plan.row_blocks * plan.column_blocks
    threads = threads_for(<double>units * plan.out_channels * plan.rows * plan.columns
                          * plan.taps)
    size = plan.slab_size + plan.buffer_size + plan.out_channels * plan.taps
    if plan.block:
        units = plan.batch * divide_up(plan.groups, plan.block)
        size = (plan.block * (plan.planes.slab_plane + plan.planes.buffer_plane
                              + plan.out_channels * (plan.taps + 1))
                + plan.row.size * plan.column.size)
    size = whole_lines(size, sizeof(floating))
    tasks = min(units, threads * TASKS)
    bytes_taken = threads * size * sizeof(floating)
    if dry:
        free_plan(&plan)
        return bytes_taken
    try:
        workspace = <floating*>take(bytes_taken)
    except MemoryError:
        free_plan(&plan)
        raise
    with nogil, parallel(num_threads=threads):
        saved = flush_denormals()
        for i in prange(tasks, schedule="dynamic"):
            if plan.block:
                correlate_blocks(x, w, bias, y, &plan, i * units // tasks,
                                 (i + 1) * units // tasks, workspace + threadid() * size)
            else:
                correlate_units(x, w, bias, y, &plan, i * units // tasks,
                                (i + 1) * units // tasks, workspace + threadid() * size)
        restore_denormals(saved)
    give(workspace)
    free_plan(&plan)
    return bytes_taken


cdef inline void accumulate_rows(const Plan* plan, const floating* slab, const floating* dy,
                                 Py_ssize_t dy_step, Py_ssize_t rows, Py_ssize_t vectors,
                                 floating* sums) noexcept nogil:
    """Add the products of a unit's residual and every tap to the sums."""
    cdef const Part* part = plan.parts
    cdef Py_ssize_t hop = plan.row.dilation if part.shared > 1 else 1
    cdef Py_ssize_t in_step = hop * plan.pitch * plan.slab_row, i, count = rows
    for i in range(min(hop, rows)):
        if hop > 1:
            count = divide_up(rows - i, hop)
        if floating is float:
            kernels.accumulate_f(slab, in_step, count, vectors, part.shifts, part.columns,
                                 part.shared, dy, hop * dy_step, sums)
        else:
            kernels.accumulate_d(slab, in_step, count, vectors, part.shifts, part.columns,
                                 part.shared, dy, hop * dy_step, sums)
        slab += plan.slab_row
        dy += dy_step


cdef void accumulate_unit(const floating[:, :, :, :, :, :] x,
                          const floating[:, :, :, :, :, :] dy, const Plan* plan,
                          const Unit* unit, bint zeros, floating* slab, floating* buffer,
                          floating* sums) noexcept nogil:
    """Add what one unit gives to the sums of its group."""
    cdef Py_ssize_t vectors = plan.vectors
    cdef Py_ssize_t hop = dy.strides[5] if plan.column.out > 1 else <Py_ssize_t>sizeof(floating)
    cdef bint in_place
    cdef Py_ssize_t k, i, j
    cdef const char* source
    while (vectors - 1) * plan.lanes >= unit.columns:
        vectors -= 1
    in_place = (vectors * plan.lanes == unit.columns and hop == sizeof(floating)
                and dy.strides[4] % <Py_ssize_t>sizeof(floating) == 0)
    fill_slab(x, plan, unit, plan.depth.phase, zeros, slab)
    for k in range(plan.out_channels):
        source = <const char*>&dy[unit.n, unit.g, k, unit.od, unit.oh, unit.ow]
        if in_place:
            accumulate_rows[floating](
                plan, slab, <const floating*>source,
                dy.strides[4] // <Py_ssize_t>sizeof(floating), unit.rows, vectors, sums)
        else:
            # The residual in whole vectors: behind its rows are zeros.
            copy_rows[floating](buffer, plan.buffer_width, source, hop, dy.strides[4], unit.rows,
                                unit.columns)
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


cdef void accumulate_units(const floating[:, :, :, :, :, :] x,
                           const floating[:, :, :, :, :, :] dy, const Plan* plan,
                           Py_ssize_t first_group, Py_ssize_t last_group, Py_ssize_t first,
                           Py_ssize_t last, floating* slab, floating* sums,
                           floating* totals) noexcept nogil:
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
                accumulate_unit(x, dy, plan, &unit, not plan.steady, slab, buffer,
                                sums + g * step)
                if length > LONGEST_SUM:
                    settle(sums + g * step, totals + g * step, step)
                    length = 0
                next_unit(plan, &unit)


cdef void accumulate_block(const floating[:, :, :, :, :, :] x,
                           const floating[:, :, :, :, :, :] dy, const Plan* plan,
                           Py_ssize_t first_group, Py_ssize_t last_group, Py_ssize_t first,
                           Py_ssize_t last, floating* slab, floating* sums, floating* totals,
                           floating* stage) noexcept nogil:
    """Add what a block of small planes gives to the sums, sample by sample."""
    cdef Maps inputs = view_maps(x), residuals = view_maps(dy)
    cdef Py_ssize_t n, planes = last_group - first_group, length = 0
    cdef floating* buffers = slab + plan.block * plan.planes.slab_plane
    cdef const char* source
    cdef const char* residual
    for n in range(first, last):
        source = <const char*>&x[n, first_group, 0, 0, 0, 0]
        residual = <const char*>&dy[n, first_group, 0, 0, 0, 0]
        if floating is float:
            kernels.accumulate_planes_f(&plan.planes, &inputs, source, &residuals, residual,
                                        planes, sums, slab, buffers, stage)
        else:
            kernels.accumulate_planes_d(&plan.planes, &inputs, source, &residuals, residual,
                                        planes, sums, slab, buffers, stage)
        length += plan.row.out * plan.column.out
        if length > LONGEST_SUM:
            settle(sums, totals, planes * plan.out_channels * plan.taps * plan.lanes)
            length = 0


cdef void accumulate_groups(const floating[:, :, :, :, :, :] x,
                            const floating[:, :, :, :, :, :] dy, const Plan* plan,
                            Py_ssize_t first_group, Py_ssize_t last_group, Py_ssize_t first,
                            Py_ssize_t last, Py_ssize_t size, floating* workspace,
                            floating* partial) noexcept nogil:
    """Write the sums (G, K, taps) of some groups over some samples.

    The workspace begins with `size` numbers of slabs and buffers; running sums and totals follow.
    """
    cdef Py_ssize_t width = plan.out_channels * plan.taps
    cdef Py_ssize_t numbers = (last_group - first_group) * width
    cdef Py_ssize_t i, j
    cdef floating* sums = workspace + size
    cdef floating* totals = sums + numbers * plan.lanes
    cdef floating total
    memset(workspace, 0, (size + 2 * numbers * plan.lanes) * sizeof(floating))
    if plan.block:
        accumulate_block(x, dy, plan, first_group, last_group, first, last, workspace, sums,
                         totals, sums + 2 * plan.block * width * plan.lanes)
    else:
        accumulate_units(x, dy, plan, first_group, last_group, first, last, workspace, sums,
                         totals)
    settle(sums, totals, numbers * plan.lanes)
    partial += first_group * width
    for i in range(numbers):
        total = 0
        for j in range(plan.lanes):
            total += totals[i * plan.lanes + j]
        partial[i] = total


cdef void add_chunks(const floating* partial, Py_ssize_t chunks, const Plan* plan,
                     floating[:, :, :, :, :, :] dw) noexcept nogil:
    """Write the sum of the chunks, in order, into the gradient."""
    cdef Py_ssize_t size = plan.groups * plan.out_channels * plan.taps
    cdef Py_ssize_t g, k, i, chunk
    cdef floating total
    cdef char* kernel
    for g in range(plan.groups):
        for k in range(plan.out_channels):
            kernel = <char*>&dw[g, k, 0, 0, 0, 0]
            for i in range(plan.taps):
                total = 0
                for chunk in range(chunks):
                    total += partial[chunk * size + i]
                (<floating*>(kernel + plan.tap_at[i]))[0] = total
            partial += plan.taps


def correlate_weight(const floating[:, :, :, :, :, :] x, const floating[:, :, :, :, :, :] dy,
                     floating[:, :, :, :, :, :] dw, const Py_ssize_t[::1] depth,
                     const Py_ssize_t[::1] row, const Py_ssize_t[::1] column, bint dry=False):
    """Write into `dw` the correlation of the input `x` with the residual `dy`.

    The axes are those of the forward pass. A group's sums run over the pixels and samples of a
    chunk lane by lane; then the lanes are added in order, then the chunks. All borders follow from
    the shapes, so that the result is the same for any number of threads. The residual may not be
    empty. Returns the bytes of workspace; a dry call does nothing else.
    """
    cdef Plan plan
    cdef Py_ssize_t i, blocks, chunks, width, block, chunk, slabs, stage, size, total
    cdef int threads
    cdef unsigned long saved = 0
    cdef size_t bytes_taken
    cdef floating* workspace
    cdef floating* partial

    make_plan(&plan, &x.shape[0], &dw.shape[0], &dw.strides[0], &dy.shape[0], &depth[0], &row[0],
              &column[0], kernels.vector_bytes, sizeof(floating))
    width = plan.out_channels * plan.taps
    chunks = min(plan.batch, divide_up(MIN_SUMS, plan.groups))
    threads = threads_for(<double>plan.batch * plan.groups * plan.depth.out * plan.row.out
                          * plan.column.out * width)
    # Groups of one task: as many as their sums let the cache hold, and the threads need.
    block = max(SUMS_BYTES // (width * kernels.vector_bytes), 1)
    block = max(min(block, plan.groups * chunks // (threads * TASKS)), 1)
    slabs = plan.slab_size + plan.buffer_size
    stage = 0
    if plan.block:
        block = plan.block = min(block, plan.block)
        slabs = block * (plan.planes.slab_plane + plan.planes.buffer_plane)
        stage = max(plan.row.size * plan.column.size, plan.row.out * plan.column.out)
    blocks = divide_up(plan.groups, block)
    size = whole_lines(slabs + 2 * block * width * plan.lanes + stage, sizeof(floating))
    total = chunks * plan.groups * width
    bytes_taken = (threads * size + total) * sizeof(floating)
    if dry:
        free_plan(&plan)
        return bytes_taken
    try:
        workspace = <floating*>take(bytes_taken)
    except MemoryError:
        free_plan(&plan)
        raise
    partial = workspace + threads * size
    with nogil, parallel(num_threads=threads):
        saved = flush_denormals()
        for i in prange(blocks * chunks, schedule="dynamic"):
            chunk = i // blocks
            accumulate_groups(
                x, dy, &plan, i % blocks * block, min((i % blocks + 1) * block, plan.groups),
                chunk * plan.batch // chunks, (chunk + 1) * plan.batch // chunks, slabs,
                workspace + threadid() * size, partial + chunk * plan.groups * width)
        restore_denormals(saved)
    with nogil:
        saved = flush_denormals()
        add_chunks(partial, chunks, &plan, dw)
        restore_denormals(saved)
        give(workspace)
        free_plan(&plan)
    return bytes_taken
