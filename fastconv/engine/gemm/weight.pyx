# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""The engine's weight gradient: the correlation of the input with the residual.

The same product of matrices as in forward.pyx, summed over the pixels: C = A B, with a row of A for
each step (c, t, r, s), a column of B for each output channel, and

    A   the input, never packed: in a slab, or in place, the pixels of a step lie at the positions
        of the pixels plus the step's shift (slab.pyx), which is what a row of a tile needs
    B   the residual, transposed block by block: the output channels of a pixel side by side
    C   the gradient, transposed: the output channels of a step side by side

A *unit* is a run of pixels, of all samples in one row, whose part of B fits in the second-level
cache. The units are cut into *chunks* whose number and borders depend on the shapes alone; a task
adds up one chunk for one panel of output channels, and the chunks' sums are added in order: the
result has the same bits for each number of threads.

The role decides what lies in the lanes; the table chooses it from the shapes:

    output channels   as above
    input channels    kernels of one tap: the input is B, the residual A, and C is the gradient as
                      it stands in memory
    taps              few pixels: the same, but the lanes are all steps (c, t, r, s). What the taps
                      of some channels see is gathered from a slab, a row for each position; long
                      rows of taps that move are copied as they lie
    patches           kernels that move by their own size: the same, and a panel has the columns (s)
                      of a row of taps, each a vector of channels. Rows of the input are transposed
                      as they lie, and come apart by themselves:
                          row of c0: | a A b B |  ->  pixel 0: | a . . . | A . . . |
                              of c1: | . . . . |      pixel 1: | b . . . | B . . . |
    pixels            too few channels to fill a vector: both maps are in slabs of the same width,
                      with zeros in the gaps of the residual; every sum of C is a vector, whose
                      lanes are added at the end of the chunk
"""

from cython cimport floating

from libc.string cimport memset

from fastconv.engine.base.arrays cimport Layout, Operands
from fastconv.engine.base.axis cimport ceil_div
from fastconv.engine.base.costs cimport COPIED, PACKED, tile_cost, tiles_cost
from fastconv.engine.base.threads cimport Phase, weighed_phase
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.base.kernel cimport Kernel, record
from fastconv.engine.gemm.correlation cimport Context, Job, run_job
from fastconv.engine.gemm.slab cimport (
    Run, Slab, Target, Walk, Windows, add_run, copied_numbers, copy_row, even_share, fill_shifts,
    fill_slab, make_block, next_pixels, slab_planes, start_walk, transpose, transpose_rows)
from fastconv.engine.gemm.tile cimport (
    DOT_COLUMNS, DOT_ROWS, MAX_ROWS, MAX_VECTORS, dot_rows, max_rows, run_dots, run_tile)
from fastconv.engine.gemm.weight_plan cimport (
    BLOCK, INPUTS, OUTPUTS, PATCHES, PIXELS, TAPS, Part, Plan, Role, dot_pixels, find_part,
    lane_channels, make_plan)

ROLES = {"output channels": OUTPUTS, "input channels": INPUTS, "taps": TAPS, "patches": PATCHES,
         "pixels": PIXELS}


cdef struct Panel:
    Py_ssize_t lane, lanes              # its first lane, and how many of them count
    Py_ssize_t vectors, width


# A task of a thread.
cdef struct Work:
    const Plan* plan
    Py_ssize_t group, first, past       # its units
    Slab slab, lane_slab                # whose block is a unit
    Py_ssize_t pixels, n_runs           # of the unit
    char* shared
    char* own


cdef void pack_pixels(const floating* dy, const Plan* p, const Run* runs,
                      Py_ssize_t n_runs, Py_ssize_t outputs, Py_ssize_t width, floating* rows,
                      floating* panel) noexcept nogil:
    """Put the channels of each pixel side by side.

    Past the last channel nothing is written: what a tile adds up there is never read.
    """
    cdef Py_ssize_t i, j, r, count
    cdef const floating* source
    cdef floating* to
    for r in range(n_runs):
        to = panel + runs[r].first * width
        source = dy + runs[r].at
        if runs[r].step == 1:
            transpose(source, p.windows.outs[2], outputs, runs[r].count, to, width)
            continue
        for j from 0 <= j < runs[r].count by BLOCK:
            count = min(<Py_ssize_t>BLOCK, runs[r].count - j)
            for i in range(outputs):
                copy_row(source + i * p.windows.outs[2] + j * runs[r].step, runs[r].step, count,
                         rows + i * BLOCK)
            transpose(<const floating*>rows, BLOCK, outputs, count, to + j * width, width)


cdef void move_slab(const Plan* p, Py_ssize_t number, Slab* slab) noexcept nogil:
    """Move the slab to the unit of this number."""
    cdef Py_ssize_t column = number // p.blocks * p.columns, pixel = number % p.blocks * p.pixels
    # The last column block is narrower: it has fewer pixels.
    slab.block = make_block(&p.windows, min(p.columns, p.windows.column.out - column), column,
                            pixel, pixel + p.pixels)


cdef Py_ssize_t list_pixels(const Windows* windows, const Slab* slab, Py_ssize_t* positions,
                            Run* runs) noexcept nogil:
    """Write the position of each pixel, and the pixels' runs in the output; return their number."""
    cdef Walk walk = start_walk(windows, slab)
    cdef Py_ssize_t count = 0, n_runs = 0, at, out, number, i
    while walk.left:
        at, out = walk.at, walk.out
        number = next_pixels(&walk, walk.left)
        n_runs = add_run(runs, n_runs, count, number, out, windows.outs[5])
        for i in range(number):
            positions[count + i] = at + i * walk.hop
        count += number
    return n_runs


cdef inline const void* columns_of(const Context* context) noexcept nogil:
    """Return the maps that are the columns of B."""
    return context.o.x if (<const Plan*>context.plan).swapped else context.o.y


cdef Work find_work(const Context* context, Py_ssize_t chunk, Py_ssize_t group,
                    int thread) noexcept nogil:
    cdef const Plan* p = <const Plan*>context.plan
    cdef Work work
    work.plan, work.group = p, group
    work.first, work.past = chunk * p.units // p.chunks, (chunk + 1) * p.units // p.chunks
    work.slab, work.lane_slab = p.slab, p.lane_slab
    work.shared = context.shared
    work.own = context.shared + p.threads_at + thread * p.thread_bytes
    return work


cdef Panel find_panel(const Plan* p, Py_ssize_t number) noexcept nogil:
    cdef Panel panel
    cdef Py_ssize_t first = even_share(number, p.vectors, p.panels)
    panel.lane = first * p.lanes
    panel.vectors = even_share(number + 1, p.vectors, p.panels) - first
    panel.width = panel.vectors * p.lanes
    panel.lanes = min(panel.width, p.outputs - panel.lane)
    return panel


cdef Py_ssize_t lay_residual(const floating* dy, const Work* work,
                             floating* residual) noexcept nogil:
    """Lay the residual out as the slab is, with zeros in the gaps; return where it ends."""
    cdef const Plan* p = work.plan
    cdef Py_ssize_t size = dot_pixels(p), end = 0, at, out, number, k
    cdef Walk walk = start_walk(&p.windows, &work.slab)
    memset(residual, 0, p.outputs * size * sizeof(floating))
    while walk.left:
        at, out = walk.at, walk.out
        number = next_pixels(&walk, walk.left)
        for k in range(p.outputs):
            copy_row(dy + k * p.windows.outs[2] + out, p.windows.outs[5], number,
                     residual + k * size + at)
        end = at + number
    return end


cdef void add_up_dots(const floating* x, const Context* context, Py_ssize_t task,
                      int thread) noexcept nogil:
    """Add up one chunk of the units with the vectors along the pixels; `x` are the rows of A."""
    cdef const Plan* p = <const Plan*>context.plan
    cdef Py_ssize_t chunk = task // p.groups, g = task % p.groups
    cdef Work work = find_work(context, chunk, g, thread)
    cdef const floating* dy = <const floating*>columns_of(context) + g * p.windows.outs[1]
    cdef const Py_ssize_t* shifts = <const Py_ssize_t*>(context.shared + p.shifts_at)
    cdef floating* partial = (<floating*>(context.shared + p.partial_at)
                              + (chunk * p.groups + g) * p.steps * p.width)
    cdef floating* slab = <floating*>(work.own + p.slab_at)
    cdef floating* residual = <floating*>(work.own + p.panel_at)
    cdef floating* dots = <floating*>(work.own + p.dots_at)
    cdef Py_ssize_t size = dot_pixels(p), panels = ceil_div(p.outputs, dot_rows(sizeof(floating)))
    cdef Py_ssize_t number, vectors, i, j, k, row, rows, step
    cdef const floating* a[DOT_ROWS]
    cdef const floating* b[DOT_COLUMNS]
    cdef const floating* sums
    cdef floating total
    cdef Panel panel

    x += g * p.windows.strides[1]
    memset(dots, 0, p.outputs * p.dot_steps * p.lanes * sizeof(floating))
    # The last vector reads on past the rows of its plane, where the residual is zero: what stands
    # there may be old, but must be a number.
    memset(slab, 0, p.windows.channels * slab_planes(&p.windows) * p.slab.plane
           * sizeof(floating))
    for number in range(work.first, work.past):
        move_slab(p, number, &work.slab)
        if work.slab.block.pixel == work.slab.block.end:
            continue
        fill_slab(x, &p.windows, &work.slab, 0, p.windows.channels, slab)
        vectors = ceil_div(lay_residual(dy, &work, residual), p.lanes)
        for step from 0 <= step < p.steps by DOT_COLUMNS:
            for j in range(DOT_COLUMNS):
                # Past the last step the last one is computed again, and dropped.
                b[j] = slab + shifts[min(step + j, p.steps - 1)]
            for i in range(panels):
                row = i * p.outputs // panels
                rows = (i + 1) * p.outputs // panels - row
                for j in range(rows):
                    a[j] = residual + (row + j) * size
                run_dots(rows, a, b, vectors, dots + (row * p.dot_steps + step) * p.lanes,
                         p.dot_steps)
    for i in range(p.panels):
        panel = find_panel(p, i)
        for k in range(panel.lanes):
            for step in range(p.steps):
                sums = dots + ((panel.lane + k) * p.dot_steps + step) * p.lanes
                total = 0
                for j in range(p.lanes):
                    total += sums[j]
                partial[panel.lane * p.steps + step * panel.width + k] = total


cdef inline Py_ssize_t tap_at(const Plan* p, Py_ssize_t step) noexcept nogil:
    """Return where the step (c, t, r, s) lies in the gradient of an output channel."""
    cdef Py_ssize_t tap = step % p.kernel.taps
    return (step // p.kernel.taps * p.c_strides[2]
            + tap // p.kernel.column.taps // p.kernel.row.taps * p.c_strides[3]
            + tap // p.kernel.column.taps % p.kernel.row.taps * p.c_strides[4]
            + tap % p.kernel.column.taps * p.c_strides[5])


cdef void write_patches(const floating* sums, Py_ssize_t width, const Plan* p, Py_ssize_t rows,
                        Py_ssize_t column, floating* dw) noexcept nogil:
    """Write some rows of C, all columns of a row of taps, into the gradient."""
    cdef Py_ssize_t number = column // width, down = p.kernel.row.taps, i, c, s
    cdef Py_ssize_t first = number // down // p.kernel.depth.taps * p.lanes
    cdef Py_ssize_t channels = min(p.lanes, p.kernel.channels - first)
    dw += (first * p.c_strides[2] + number // down % p.kernel.depth.taps * p.c_strides[3]
           + number % down * p.c_strides[4])
    for i in range(rows):
        for c in range(channels):
            for s in range(p.kernel.column.taps):
                dw[i * p.c_strides[1] + c * p.c_strides[2] + s * p.c_strides[5]] = (
                    sums[i * width + s * p.lanes + c])


cdef void write_block(const floating* sums, Py_ssize_t width, const Plan* p, Py_ssize_t g,
                      Py_ssize_t row, Py_ssize_t rows, Py_ssize_t column, Py_ssize_t columns,
                      floating* dw) noexcept nogil:
    """Write some rows and columns of C into the gradient."""
    cdef Py_ssize_t i, j, at
    dw += g * p.c_strides[0] + (row if p.swapped else column) * p.c_strides[1]
    if p.role == PATCHES:
        write_patches(sums, width, p, rows, column, dw)
        return
    if p.neighbours and p.swapped:
        for i in range(rows):
            copy_row(sums + i * width, 1, columns, dw + i * p.c_strides[1] + column)
    elif p.neighbours:
        transpose(sums, width, rows, columns, dw + row, p.c_strides[1])
    elif p.swapped:
        for j in range(columns):
            at = tap_at(p, column + j)
            for i in range(rows):
                dw[at + i * p.c_strides[1]] = sums[i * width + j]
    else:
        for i in range(rows):
            at = tap_at(p, row + i)
            for j in range(columns):
                dw[at + j * p.c_strides[1]] = sums[i * width + j]


cdef void move_to_unit(Work* work, Py_ssize_t number) noexcept nogil:
    """Move to a unit: list its pixels, where they lie in the slabs, and their runs."""
    cdef const Plan* p = work.plan
    cdef Run* runs = <Run*>(work.own + p.runs_at)
    move_slab(p, number, &work.slab)
    work.pixels = work.slab.block.end - work.slab.block.pixel
    work.n_runs = list_pixels(&p.windows, &work.slab,
                              <Py_ssize_t*>(work.own + p.positions_at), runs)
    if p.role == TAPS:
        work.lane_slab.block = work.slab.block
        list_pixels(&p.kernel, &work.lane_slab, <Py_ssize_t*>(work.own + p.lane_positions_at),
                    runs)


cdef void copy_taps(const floating* x, const Work* work, const Panel* panel,
                    floating* packed) noexcept nogil:
    """Put the numbers that some lanes see side by side, for each pixel: rows of taps, in place."""
    cdef const Plan* p = work.plan
    cdef const Py_ssize_t* positions = <const Py_ssize_t*>(work.own + p.lane_positions_at)
    cdef const Py_ssize_t* shifts = <const Py_ssize_t*>(work.shared + p.lane_shifts_at)
    cdef Py_ssize_t first = panel.lane % p.kernel.taps, columns = p.kernel.column.taps
    cdef Py_ssize_t lane = 0, count, i
    while lane < panel.lanes:
        count = min(columns - (first + lane) % columns, panel.lanes - lane)
        for i in range(work.pixels):
            copy_row(x + positions[i] + shifts[first + lane], 1, count,
                     packed + i * panel.width + lane)
        lane += count


cdef void gather_taps(const floating* x, const Work* work, const Panel* panel,
                      floating* packed) noexcept nogil:
    """Put the numbers that some lanes (c, t, r, s) see from each position side by side."""
    cdef const Plan* p = work.plan
    cdef const Py_ssize_t* positions = <const Py_ssize_t*>(work.own + p.lane_positions_at)
    cdef const Py_ssize_t* shifts = <const Py_ssize_t*>(work.shared + p.lane_shifts_at)
    cdef floating* slab = <floating*>(work.own + p.lane_slab_at)
    cdef Py_ssize_t c = panel.lane // p.kernel.taps
    if not p.turned:
        copy_taps(x + c * p.kernel.strides[2], work, panel, packed)
        return
    fill_slab(x, &p.kernel, &work.lane_slab, c,
              ceil_div(panel.lane + panel.lanes, p.kernel.taps) - c, slab)
    transpose_rows(<const floating*>slab, shifts + (panel.lane - c * p.kernel.taps), panel.lanes,
                   positions[work.pixels - 1] + 1, packed, panel.width)


cdef void pack_patches(const floating* x, const Work* work, const Panel* panel,
                       floating* packed) noexcept nogil:
    """Put the columns of a row of taps side by side, each with the channels of a vector."""
    cdef const Plan* p = work.plan
    cdef const Run* runs = <const Run*>(work.own + p.runs_at)
    cdef Py_ssize_t number = panel.lane // panel.width, rows = p.kernel.row.taps, i
    cdef Py_ssize_t c = number // rows // p.kernel.depth.taps * p.lanes
    x += (c * p.kernel.strides[2] + number // rows % p.kernel.depth.taps * p.kernel.strides[3]
          + number % rows * p.kernel.strides[4])
    for i in range(work.n_runs):
        transpose(x + runs[i].at, p.kernel.strides[2], min(p.lanes, p.kernel.channels - c),
                  runs[i].count * p.kernel.column.taps, packed + runs[i].first * panel.width,
                  p.lanes)


cdef void pack_panel(const floating* columns, const Work* work, const Panel* panel,
                     floating* packed) noexcept nogil:
    """Put the lanes of a panel side by side, for each pixel of the unit."""
    cdef const Plan* p = work.plan
    if p.role == PATCHES:
        pack_patches(columns, work, panel, packed)
    elif p.role != TAPS:
        pack_pixels(columns + panel.lane * p.windows.outs[2], p,
                    <const Run*>(work.own + p.runs_at), work.n_runs, panel.lanes, panel.width,
                    <floating*>(work.own + p.rows_at), packed)
    elif work.pixels:
        gather_taps(columns, work, panel, packed)


cdef void multiply_panel(const floating* source, const Work* work, Py_ssize_t steps,
                         const Panel* panel, const floating* packed, bint fetches,
                         Target* target) noexcept nogil:
    """Add up the products of some rows of A with a panel, for the pixels of the unit.

    Where it fetches, each tile brings the next one's rows from memory: they are read a number at
    a time, many rows by turns, which the hardware does not foresee.
    """
    cdef const Plan* p = work.plan
    cdef const Py_ssize_t* shifts = <const Py_ssize_t*>(work.shared + p.shifts_at)
    cdef const Py_ssize_t* positions = <const Py_ssize_t*>(work.own + p.positions_at)
    cdef const Py_ssize_t* rows_at = <const Py_ssize_t*>(work.own + p.lane_positions_at)
    cdef Py_ssize_t* b_at = <Py_ssize_t*>(work.own + p.b_at_at)
    cdef Py_ssize_t tiles = ceil_div(steps, max_rows(sizeof(floating), panel.vectors))
    cdef Py_ssize_t i, j, row, rows
    cdef const floating* a[MAX_ROWS]
    cdef floating* c = <floating*>target.c
    for i in range(work.pixels):
        b_at[i] = (rows_at[i] if p.turned else i) * panel.width
    for i in range(tiles):
        row = i * steps // tiles
        rows = (i + 1) * steps // tiles - row
        for j in range(rows):
            a[j] = source + shifts[row + j]
        target.a_ahead = shifts[row + rows] - shifts[row] if fetches and i + 1 < tiles else 0
        target.c = c + row * target.row
        run_tile(rows, panel.vectors, a, positions, packed, b_at, work.pixels, target)
    target.c = c


cdef void add_up_chunk(const floating* x, const Context* context, Py_ssize_t task,
                       int thread) noexcept nogil:
    """Add up one chunk of the units for some rows and panels; `x` are the rows of A."""
    cdef const Plan* p = <const Plan*>context.plan
    cdef Part part = find_part(p, task)
    cdef Py_ssize_t g = part.group, chunk = part.chunk
    cdef Py_ssize_t first_panel = part.first_panel, past_panel = part.past_panel
    cdef Py_ssize_t start = part.start, end = part.end
    cdef Work work = find_work(context, chunk, g, thread)
    cdef const floating* columns = <const floating*>columns_of(context) + g * p.windows.outs[1]
    cdef floating* dw = <floating*>context.o.w
    cdef floating* sums = (<floating*>(context.shared + p.partial_at)
                           + (chunk * p.groups + g) * p.steps * p.width)
    cdef floating* slab = <floating*>(work.own + p.slab_at)
    cdef floating* packed
    cdef const floating* source
    cdef Py_ssize_t unit, c, channels, steps, i
    cdef Panel panel
    cdef Run run
    cdef Target target

    x += g * p.windows.strides[1]
    run.first, run.at, run.step = 0, 0, 1
    target.runs, target.n_runs = &run, 1
    target.row_bias = target.column_bias = target.ending = NULL
    for unit in range(work.first, work.past):
        move_to_unit(&work, unit)
        target.accumulate = unit > work.first
        for c from start <= c < end by p.channels:
            channels = min(p.channels, end - c)
            steps = channels * p.windows.taps
            source = x + c * p.windows.strides[2]
            if not p.windows.in_place:
                fill_slab(x, &p.windows, &work.slab, c, channels, slab)
                source = slab
            for i in range(first_panel, past_panel):
                panel = find_panel(p, i)
                packed = <floating*>(work.own + p.panel_at)
                if p.kept:
                    packed += (i - first_panel) * p.packed * MAX_VECTORS * p.lanes
                if c == start or not p.kept:
                    pack_panel(columns, &work, &panel, packed)
                if p.in_place:
                    run.count, target.row = panel.lanes, p.c_strides[1]
                    target.c = dw + g * p.c_strides[0] + c * target.row + panel.lane
                else:
                    # The sums of a panel lie together.
                    run.count = target.row = panel.width
                    target.c = sums + panel.lane * p.steps + c * p.windows.taps * panel.width
                multiply_panel(source, &work, steps, &panel, <const floating*>packed,
                               p.windows.in_place and i == first_panel, &target)
                if p.chunks == 1 and unit == p.units - 1 and not p.in_place:
                    # All there is, and still in the cache.
                    write_block(<const floating*>target.c, panel.width, p, g,
                                c * p.windows.taps, steps, panel.lane, panel.lanes, dw)


cdef void add_chunks(const floating* partial, const Context* context, Py_ssize_t task,
                     int thread) noexcept nogil:
    """Write the sum of the chunks, in order, into a block of rows of a panel."""
    cdef const Plan* p = <const Plan*>context.plan
    cdef floating* sums = <floating*>(
        context.shared + p.threads_at + thread * p.thread_bytes + p.rows_at)
    cdef Py_ssize_t blocks = ceil_div(p.steps, BLOCK), size = p.groups * p.steps * p.width
    cdef Py_ssize_t step = task % blocks * BLOCK, panel = task // blocks % p.panels
    cdef Py_ssize_t g = task // blocks // p.panels
    cdef Py_ssize_t count = min(p.steps - step, <Py_ssize_t>BLOCK), i
    cdef Panel lanes = find_panel(p, panel)
    cdef const floating* source = (partial + (g * p.width + lanes.lane) * p.steps
                                   + step * lanes.width)
    copy_row(source, 1, count * lanes.width, sums)
    for _ in range(1, p.chunks):
        source += size
        for i in range(count * lanes.width):
            sums[i] += source[i]
    write_block(<const floating*>sums, lanes.width, p, g, step, count, lanes.lane, lanes.lanes,
                <floating*>context.o.w)


cdef double chunk_cost(void* job, Py_ssize_t task) noexcept nogil:
    """Return what a call of add_up_chunk costs."""
    cdef const Context* context = (<const Job*>job).context
    cdef const Plan* p = <const Plan*>context.plan
    cdef Py_ssize_t itemsize = context.o.layout.itemsize
    cdef Part part = find_part(p, task)
    cdef Py_ssize_t start = part.start, end = part.end
    cdef Work work = find_work(context, part.chunk, 0, 0)
    cdef Py_ssize_t unit, c, steps, pixels, i
    cdef double cost = 0
    cdef Panel panel
    for unit in range(work.first, work.past):
        move_slab(p, unit, &work.slab)
        work.lane_slab.block = work.slab.block
        pixels = work.slab.block.end - work.slab.block.pixel
        for c from start <= c < end by p.channels:
            steps = min(p.channels, end - c) * p.windows.taps
            if not p.windows.in_place:
                cost += COPIED * copied_numbers(&p.windows, &work.slab, min(p.channels, end - c))
            for i in range(part.first_panel, part.past_panel):
                panel = find_panel(p, i)
                if c == start or not p.kept:
                    cost += <double>PACKED * panel.lanes * (
                        p.packed if p.turned else pixels)
                    if p.turned:
                        cost += COPIED * copied_numbers(&p.kernel, &work.lane_slab, ceil_div(
                            panel.lanes, p.kernel.taps))
                cost += tiles_cost(steps, max_rows(itemsize, panel.vectors), panel.vectors,
                                   p.lanes, pixels)
                if p.chunks == 1 and unit == p.units - 1 and not p.in_place:
                    cost += PACKED * steps * panel.lanes
    return cost


cdef double dots_cost(void* job, Py_ssize_t task) noexcept nogil:
    """Return what a call of add_up_dots costs."""
    cdef const Context* context = (<const Job*>job).context
    cdef const Plan* p = <const Plan*>context.plan
    cdef Work work = find_work(context, task // p.groups, 0, 0)
    cdef Py_ssize_t size = dot_pixels(p), unit, rows
    cdef Py_ssize_t panels = ceil_div(p.outputs, dot_rows(context.o.layout.itemsize))
    cdef double cost = <double>COPIED * p.outputs * p.dot_steps * p.lanes
    for unit in range(work.first, work.past):
        move_slab(p, unit, &work.slab)
        cost += COPIED * (copied_numbers(&p.windows, &work.slab, p.windows.channels)
                          + p.outputs * size)
        rows = ceil_div(p.outputs, panels)
        cost += p.dot_steps // DOT_COLUMNS * panels * tile_cost(
            rows, DOT_COLUMNS, p.lanes, ceil_div(size, p.lanes))
    return cost


cdef double add_cost(void* job, Py_ssize_t task) noexcept nogil:
    """Return what a call of add_chunks costs."""
    cdef const Plan* p = <const Plan*>(<const Job*>job).context.plan
    cdef Py_ssize_t blocks = ceil_div(p.steps, BLOCK)
    cdef Py_ssize_t count = min(p.steps - task % blocks * BLOCK, <Py_ssize_t>BLOCK)
    cdef Panel panel = find_panel(p, task // blocks % p.panels)
    return <double>count * (COPIED * p.chunks * panel.width + PACKED * panel.lanes)


cdef inline Py_ssize_t chunk_tasks(const Plan* p) noexcept nogil:
    """Return the number of tasks that add up chunks."""
    return p.chunks * p.groups * p.row_parts * p.panel_parts


cdef class WeightGradient(Kernel):
    """The correlation of the input `x` with the residual `dy`, which may not be empty.

    `role` says what lies in the lanes; input channels only where no tap leaves the input, and
    patches only where they cover it, with contiguous rows and at most MAX_VECTORS columns.

    dw[g,k,c,tap] = sum over n, p of dy[n,g,k,p] * x[n,g,c, p*stride + tap*dilation - before].
    Stride, padding before and dilation are of three axes.
    """

    cdef Role role
    cdef str name
    cdef tuple stride, before, dilation
    cdef Plan kept

    def __init__(self, str role, tuple stride, tuple before, tuple dilation):
        self.role, self.name = ROLES[role], f"{role} in the lanes"
        self.stride, self.before, self.dilation = stride, before, dilation

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Plan* p = &self.kept
        cdef Py_ssize_t vectors
        make_plan(p, layout, self.role, self.stride, self.before, self.dilation, threads)
        self.team = min(<Py_ssize_t>threads, chunk_tasks(p))
        self.largest[0], self.largest[1] = min(dot_rows(layout.itemsize), p.outputs), DOT_COLUMNS
        if self.role != PIXELS:
            vectors = ceil_div(p.vectors, p.panels)
            self.largest[0] = min(max_rows(layout.itemsize, vectors), p.steps)
            self.largest[1] = vectors * p.lanes
        return p.threads_at + self.team * p.thread_bytes

    cdef int compute(self, const Operands* o, size_t bytes) except -1:
        cdef const Plan* p = &self.kept
        cdef char* shared = <char*>take(bytes)
        cdef Py_ssize_t sums = 0
        cdef Context context
        cdef Job[2] jobs
        cdef const void* rows = o.y if p.swapped else o.x
        cdef Phase[2] phases
        record(self.name, self.largest[0], self.largest[1])
        fill_shifts(&p.windows, &p.slab, p.channels, <Py_ssize_t*>(shared + p.shifts_at))
        if p.role == TAPS:
            fill_shifts(&p.kernel, &p.lane_slab, lane_channels(p),
                        <Py_ssize_t*>(shared + p.lane_shifts_at))
        context.plan, context.o, context.shared = p, o, shared
        if p.chunks > 1 or p.role == PIXELS:
            sums = p.groups * p.panels * ceil_div(p.steps, BLOCK)
        jobs[0] = Job(add_up_chunk[float], add_up_chunk[double], rows, &context)
        if p.role == PIXELS:
            jobs[0] = Job(add_up_dots[float], add_up_dots[double], rows, &context)
        jobs[1] = Job(add_chunks[float], add_chunks[double], shared + p.partial_at, &context)
        phases[0] = weighed_phase(run_job, dots_cost if p.role == PIXELS else chunk_cost, &jobs[0],
                                  chunk_tasks(p))
        phases[1] = weighed_phase(run_job, add_cost, &jobs[1], sums)
        self.run_phases(phases, 2)
        give(shared)
        return 0
