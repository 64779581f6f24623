# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""The correlation with pixels in the lanes: a blocked product of matrices.

For each group the output is C = A B: A holds the weights (a row for each output channel, a column
for each step (c, t, r, s)), B what each step sees of the input (a column for each output pixel),
and C the output. The loops are those of BLIS (F. Van Zee, R. van de Geijn, "BLIS: A framework for
rapidly instantiating BLAS functionality", 2015), from the outside:

    JC  blocks of pixels                    a task: one block for some rows of A
    PC    blocks of whole channels          here the block's part of B is packed
    IC/IR   panels of rows of A             stays in the first-level cache
    JR        panels of pixels of B         streams from the second-level cache
    micro-kernel: one tile of C             tile.pyx

B is never there as a whole (implicit GEMM). A block of it is one of two things:

    a slab (slab.pyx): a tap is a shift,       packed panels: a row for each step, of a tile's
    pixels lie as in the rows of the input,     width, side by side only pixels that count
    the gap between rows is computed and
    dropped                                      <- pixels ->   <- pixels ->
                                             ^  | panel 0   |  | panel 1   |
      | row of the input |gap| next row |  steps| b b b b b |  | b b b b b |
         ^ pixel   ^ shifted by a tap        v  | b b b b b |  | b b b b b |

Panels waste nothing, slabs need no packing; `choose_packing` weighs the two. Both add the same
numbers in the same order. A is read in place where its steps are neighbours and few pixels, or few
weights, would not pay for packing; else it is packed once: a panel for each tile row, the numbers
of one step side by side.

The pixels of all samples lie in one row, cut anywhere, so that small maps fill the tiles too. Runs
say which columns of a tile go where, whatever rows, samples and strides of the output they meet.
The sum over the steps is cut at PC borders that depend on the shape of A alone, and a tile adds
its steps in order: every output has the same bits for each batch, number of threads and layout.
"""

from cython cimport floating

from fastconv.engine.base.arrays cimport Layout, Operands
from fastconv.engine.base.cache_sizes cimport first_cache, second_cache
from fastconv.engine.base.kernel cimport record
from fastconv.engine.base.axis cimport ceil_div
from fastconv.engine.base.costs cimport COPIED, PACKED, TURNED, tile_cost
from fastconv.engine.base.threads cimport Phase, weighed_phase
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.gemm.correlation cimport (
    Context, Correlation, Estimate, Job, copy_bias, run_job)
from fastconv.engine.gemm.slab cimport (
    Run, Share, Slab, Split, Target, Walk, Windows, add_run, block_channels, copied_numbers,
    even_share, fill_offsets, fill_shifts, fill_slab, find_share, imbalance, in_elements, line_up,
    make_block, make_slab, make_split, make_windows, next_pixels, pack_columns, pack_panels,
    pack_rows, slab_bytes, slab_planes, split_tasks, start_walk, steps_are_neighbours, transpose)
from fastconv.engine.gemm.tile cimport MAX_ROWS, VECTORS, lanes, max_rows, run_tile

# A block of B: at most much of the second-level cache of a core, since the weights are read once
# for each block. With few weights it is smaller: while it is packed in place, rows of the input
# pass through the same cache, and in one of 2 MB blocks of 1.25 MB cost a tenth of 256-64@56.
cdef Py_ssize_t BLOCK_BYTES = second_cache() * 5 // 8
cdef Py_ssize_t LEAST_BLOCK_BYTES = 1 << 18
cdef Py_ssize_t SLAB_BYTES = second_cache() * 3 // 16
# The slab that is packed into panels at once, in the first-level cache.
cdef Py_ssize_t PACKED_SLAB_BYTES = first_cache() * 3 // 4
# A is packed if its steps are not neighbours and it has more than so many bytes.
cdef Py_ssize_t SMALL_BYTES = 1 << 14
# Or if it has more than so many, and so many pixels pay for it: in place, the rows of a tile lie in
# different pages, often in the same set of the cache, and a tile waits for them.
cdef Py_ssize_t LARGE_BYTES = 1 << 17
cdef Py_ssize_t MANY_PIXELS = 1024
# Steps of a panel that are packed at once.
cdef Py_ssize_t PACKED_STEPS = 512


# What several parts of the rows cost beside packing: with two blocks in two parts, for two threads,
# 512-512 3x3/2@14 took 6 % longer although the shares were 4 % more even.
cdef double PARTED = 0.05


cdef struct Panel:
    Py_ssize_t vectors
    Py_ssize_t at                   # its first pixel's position, in a slab
    Py_ssize_t outs, n_outs         # its runs in the output


cdef struct Product:
    Windows windows
    Py_ssize_t groups, rows, steps          # of A
    Py_ssize_t row_panels, height           # panels of rows; rows of the tallest
    Py_ssize_t a_strides[6]                 # of the weights (G, K, C, T, R, S), in elements
    Py_ssize_t channels                     # of a block
    Py_ssize_t columns, column_blocks       # of the output, in one column block
    Py_ssize_t pixels                       # of the largest block
    Split split                             # units of pixels, and panels of rows
    Py_ssize_t width                        # numbers of a tile's row
    Py_ssize_t lanes
    bint packs_a, packs_b, ready            # `ready`: A was packed before
    bint turns                              # B is packed in place, by windows that move far
    bint neighbours                         # the steps of A are neighbours
    Py_ssize_t packed_channels              # channels of the slab that is packed at once
    Slab slab
    Py_ssize_t panel_size, max_panels, max_runs
    # The workspace: shared tables, then one part for each thread.
    size_t shifts_at, b_at_at, a_at_at, weights_at_at, bias_at, a_packed_at, threads_at
    size_t slab_at, panels_at, runs_at, panel_list_at, thread_bytes


cdef void choose_packing(Product* p) noexcept nogil:
    """Decide whether B is packed into panels, or read from a slab.

    Cycles for one step of a tile's pixels: with 8 rows of A a tile computes 12. In a slab, so many
    of them are lost as there are gaps between the rows, and about an eighth more, as its vectors
    lie across cache lines. Packing copies run after run, each 3.
    """
    cdef double computes = 1.5 * p.rows, columns = p.columns
    cdef Py_ssize_t gap = p.windows.column.part_reach
    p.packs_b = computes * (gap / columns + 0.125) > 3 * (p.width / columns + 1)
    if p.windows.inside:
        # Without gaps, packing is the only copy. With them, a slab must first be made.
        p.packs_b = p.packs_b or gap == 0
        p.windows.in_place = p.packs_b


cdef Py_ssize_t fit_columns(const Product* p, Py_ssize_t itemsize,
                            Py_ssize_t channels) noexcept nogil:
    """Return how many columns to take at once, so that a slab of one line is small enough."""
    cdef Py_ssize_t bytes_column = (slab_planes(&p.windows) * itemsize * channels
                                    * (1 + p.windows.row.part_reach))
    cdef Py_ssize_t columns = max(SLAB_BYTES // bytes_column - p.windows.column.part_reach,
                                  2 * p.width)
    columns = min(columns, p.windows.column.out)
    return ceil_div(p.windows.column.out, ceil_div(p.windows.column.out, columns))


cdef inline Py_ssize_t unit_pixels(const Product* p, Py_ssize_t columns) noexcept nogil:
    """Return the pixels that no block's border parts: with a slab, whole lines."""
    return p.lanes if p.packs_b else columns


cdef int size_blocks(Product* p, Py_ssize_t itemsize, int threads) except -1:
    """Choose the blocks of channels and pixels, and the tasks."""
    cdef Py_ssize_t planes = slab_planes(&p.windows), out = p.windows.column.out
    cdef Py_ssize_t pixels, total, lines, line_bytes, unit, step_bytes, block_bytes
    cdef Py_ssize_t height = ceil_div(p.rows, p.row_panels), steps
    cdef double part = <double>PACKED / p.rows, alone = 1
    p.channels = block_channels(&p.windows, itemsize)
    # Columns: all of them, unless a slab of one line is too large.
    slab_bytes(&p.windows, p.width, itemsize)
    p.columns = out
    choose_packing(p)
    if not p.windows.in_place:
        # The slab that is packed may hold a single channel; panels take whole rows.
        if p.packs_b:
            p.columns = fit_columns(p, itemsize, 1)
            p.packs_b = p.columns == out
        if not p.packs_b:
            p.columns = fit_columns(p, itemsize, p.channels)
    p.column_blocks = ceil_div(out, p.columns)
    # Pixels of a block: what the second-level cache holds.
    if p.packs_b:
        step_bytes = p.channels * p.windows.taps * itemsize
        block_bytes = BLOCK_BYTES
        if p.windows.in_place:
            block_bytes = min(BLOCK_BYTES, max(LEAST_BLOCK_BYTES, 2 * p.rows * step_bytes))
        pixels = block_bytes // (step_bytes * p.width) * p.width
        pixels = max(pixels, 2 * p.width)
    else:
        line_bytes = (planes * itemsize * p.channels
                      * (p.columns + p.windows.column.part_reach))
        # Lines that two blocks share are copied twice: as far as the cache holds them, they are at
        # most a fifth.
        lines = max(SLAB_BYTES // line_bytes,
                    min(BLOCK_BYTES // line_bytes, 5 * p.windows.row.part_reach))
        pixels = max(lines - p.windows.row.part_reach, 1) * p.columns
    total = p.windows.lines * p.columns
    unit = unit_pixels(p, p.columns)
    if p.packs_b:
        # The same rows in tiles of one vector.
        steps = p.channels * p.windows.taps
        alone = VECTORS * (tile_cost(height, 1, p.lanes, steps)
                           / tile_cost(height, VECTORS, p.lanes, steps))
    else:
        # A slab serves all taps.
        part *= <double>planes / p.windows.taps
    # Where kernels move by a vector or more, taps of a row are nearer to each other than pixels.
    p.turns = (p.windows.in_place and p.windows.column.stride >= p.lanes
               and p.windows.column.taps >= p.lanes and p.windows.column.dilation == 1)
    p.split = make_split(p.groups * p.column_blocks, ceil_div(total, unit),
                         ceil_div(total, pixels), p.row_panels, threads, PARTED, part, alone)
    p.pixels = min(ceil_div(p.split.units, p.split.blocks) * unit, total)
    return 0


cdef inline Py_ssize_t packed_a_numbers(const Product* p) noexcept nogil:
    """Return how many numbers the panels of A are."""
    return p.groups * p.row_panels * p.height * p.steps


cdef inline char* packed_a_of(const Context* context) noexcept nogil:
    """Return where A is packed: before, or in the workspace."""
    if context.o.prepared is not NULL:
        return context.o.prepared
    return context.shared + (<const Product*>context.plan).a_packed_at


cdef void size_workspace(Product* p, Py_ssize_t itemsize) noexcept nogil:
    """Lay out the workspace: fill in its offsets."""
    cdef Py_ssize_t lines = min(ceil_div(p.pixels, p.columns) + 1, p.windows.lines)
    cdef Py_ssize_t planes = slab_planes(&p.windows), kc = p.channels * p.windows.taps
    cdef Py_ssize_t slab_channels = p.channels, slab_numbers, row_numbers
    p.slab = make_slab(&p.windows, lines, p.columns)
    p.packed_channels = p.channels
    if p.packs_b and not p.windows.in_place:
        p.packed_channels = min(
            max(PACKED_SLAB_BYTES // (planes * p.slab.plane * itemsize), 1), p.channels)
        slab_channels = p.packed_channels
    # A tile, or a copy, reads past the end of the slab by less than a row; what it finds is
    # dropped.
    slab_numbers = 0 if p.windows.in_place else slab_channels * planes * p.slab.plane + p.width
    # The last row of a panel may be written past its end.
    p.panel_size = kc * p.width + p.lanes
    if p.packs_b:
        p.max_panels = ceil_div(p.pixels, p.width) + 1
        row_numbers = p.columns
    else:
        p.max_panels = ceil_div(p.slab.plane, p.width) + 1
        row_numbers = p.slab.width
    # A panel meets at most so many rows.
    p.max_runs = p.max_panels * min(p.width // row_numbers + 2, p.width)
    p.shifts_at = 0
    p.b_at_at = p.shifts_at + line_up(kc * sizeof(Py_ssize_t))
    p.a_at_at = p.b_at_at + line_up(kc * sizeof(Py_ssize_t))
    p.weights_at_at = p.a_at_at + line_up(kc * sizeof(Py_ssize_t))
    p.bias_at = p.weights_at_at + line_up(kc * sizeof(Py_ssize_t))
    p.a_packed_at = p.bias_at + line_up(p.groups * p.rows * itemsize)
    p.threads_at = p.a_packed_at
    if p.packs_a and not p.ready:
        p.threads_at += line_up(packed_a_numbers(p) * itemsize)
    p.slab_at = 0
    p.panels_at = line_up(slab_numbers * itemsize)
    p.panel_list_at = p.panels_at
    if p.packs_b:
        p.panel_list_at += line_up(p.max_panels * p.panel_size * itemsize)
    p.runs_at = p.panel_list_at + line_up(p.max_panels * sizeof(Panel))
    p.thread_bytes = p.runs_at + 2 * line_up(p.max_runs * sizeof(Run))


cdef Py_ssize_t list_panels(const Product* p, const Slab* slab, Panel* panels, Run* packs,
                            Py_ssize_t* packed_runs, Run* outs) noexcept nogil:
    """Cut the pixels of a block into panels; return their number.

    Writes the runs of all packed panels in the slab or the input, and each panel's runs in the
    output.
    """
    cdef Walk walk = start_walk(&p.windows, slab)
    cdef Py_ssize_t count = 0, n_packs = 0, n_outs = 0, at, out, first, number, used
    cdef Py_ssize_t vectors = ceil_div(walk.left, p.lanes), even = ceil_div(vectors, VECTORS)
    cdef Panel* panel
    while walk.left:
        panel = panels + count
        panel.outs, panel.n_outs = n_outs, 0
        # Packed panels share the vectors evenly; in a slab they are as wide as they can be.
        panel.vectors = VECTORS
        if p.packs_b:
            panel.vectors = even_share(count + 1, vectors, even) - even_share(count, vectors, even)
        panel.at = walk.at
        used = 0
        while walk.left:
            at, out = walk.at, walk.out
            first = used if p.packs_b else at - panel.at
            if first >= panel.vectors * p.lanes:
                break
            number = next_pixels(&walk, panel.vectors * p.lanes - first)
            if p.packs_b:
                n_packs = add_run(packs, n_packs, count * p.panel_size + first, number, at,
                                  walk.hop)
            panel.n_outs = add_run(outs + panel.outs, panel.n_outs, first, number, out,
                                   p.windows.outs[5])
            used = first + number
        panel.vectors = ceil_div(used, p.lanes)
        n_outs += panel.n_outs
        count += 1
    packed_runs[0] = n_packs
    return count


cdef inline bint rows_are_neighbours(const Product* p) noexcept nogil:
    """Tell whether the rows of A are neighbours, its steps are not, and all panels are full."""
    return p.a_strides[1] == 1 and not p.neighbours and p.rows % p.height == 0


cdef Py_ssize_t pack_a_channels(const Product* p) noexcept nogil:
    """Return the channels of one call of pack_a.

    Where steps are neighbours, long stretches of few rows. Else about as many steps as a tile has
    rows, for all rows: so the weights of rotated kernels are read from end to end. Of rows that are
    neighbours four times as many: panels lie pages apart, and each gets several cache lines.
    """
    cdef Py_ssize_t steps = 4 * p.height if rows_are_neighbours(p) else p.height
    if p.neighbours:
        return ceil_div(ceil_div(PACKED_STEPS, p.windows.taps), p.lanes) * p.lanes
    return ceil_div(steps, p.windows.taps)


cdef Py_ssize_t pack_a_tasks(const Product* p) noexcept nogil:
    """Return the number of calls of pack_a."""
    return (p.groups * (p.row_panels if p.neighbours else 1)
            * ceil_div(p.windows.channels, pack_a_channels(p)))


cdef void pack_a(const floating* w, const Context* context, Py_ssize_t task,
                 int thread) noexcept nogil:
    """Pack some channels of A, for one or all panels: for each step, its rows side by side."""
    cdef const Product* p = <const Product*>context.plan
    cdef const Py_ssize_t* at = <const Py_ssize_t*>(context.shared + p.weights_at_at)
    cdef floating* packed = <floating*>packed_a_of(context)
    cdef Py_ssize_t count = pack_a_channels(p), parts = ceil_div(p.windows.channels, count)
    cdef Py_ssize_t c = task % parts * count, g = task // parts, panel, row, rows
    cdef Py_ssize_t steps = min(count, p.windows.channels - c) * p.windows.taps
    cdef Py_ssize_t first = 0, past = p.row_panels
    if p.neighbours:
        first, g = g % p.row_panels, g // p.row_panels
        past = first + 1
    w += g * p.a_strides[0] + c * p.a_strides[2]
    packed += (g * p.row_panels * p.steps + c * p.windows.taps) * p.height
    if rows_are_neighbours(p):
        pack_panels(w, at, steps, p.row_panels, p.height, p.steps * p.height, packed)
        return
    for panel in range(first, past):
        row = even_share(panel, p.rows, p.row_panels)
        rows = even_share(panel + 1, p.rows, p.row_panels) - row
        if p.neighbours:
            transpose(w + row * p.a_strides[1], p.a_strides[1], rows, steps,
                      packed + panel * p.steps * p.height, p.height)
        else:
            pack_rows(w + row * p.a_strides[1], p.a_strides[1], rows, at, steps, p.height,
                      packed + panel * p.steps * p.height)


cdef double pack_a_cost(void* job, Py_ssize_t task) noexcept nogil:
    """Return what a call of pack_a costs."""
    cdef const Product* p = <const Product*>(<const Job*>job).context.plan
    cdef Py_ssize_t count = pack_a_channels(p)
    cdef Py_ssize_t c = task % ceil_div(p.windows.channels, count) * count
    return (<double>TURNED * min(count, p.windows.channels - c) * p.windows.taps
            * (<double>p.rows / p.row_panels if p.neighbours else p.rows))


cdef void turn_windows(const floating* x, const Py_ssize_t* shifts, Py_ssize_t steps,
                       Py_ssize_t columns, const Run* packs, Py_ssize_t n_packs, Py_ssize_t width,
                       floating* packed) noexcept nogil:
    """Pack what windows see whose columns are neighbours: the windows are rows to be transposed."""
    cdef Py_ssize_t step, i
    for step from 0 <= step < steps by columns:
        for i in range(n_packs):
            transpose(x + shifts[step] + packs[i].at, packs[i].step, packs[i].count, columns,
                      packed + packs[i].first + step * width, width)


cdef void pack_b(const floating* x, const Product* p, const Slab* slab, Py_ssize_t channel,
                 Py_ssize_t channels, const Py_ssize_t* shifts, const Run* packs,
                 Py_ssize_t n_packs, floating* slab_data, floating* packed) noexcept nogil:
    """Pack some channels of a block of B, from the input in place or through a small slab."""
    cdef Py_ssize_t c, count, taps = p.windows.taps
    if p.windows.in_place:
        x += channel * p.windows.strides[2]
        if p.turns:
            turn_windows(x, shifts, channels * taps, p.windows.column.taps, packs, n_packs, p.width,
                         packed)
        else:
            pack_columns(x, shifts, channels * taps, packs, n_packs, False, p.width, packed)
        return
    for c from 0 <= c < channels by p.packed_channels:
        count = min(p.packed_channels, channels - c)
        fill_slab(x, &p.windows, slab, channel + c, count, slab_data)
        pack_columns(<const floating*>slab_data, shifts, count * taps, packs, n_packs, True,
                     p.width, packed + c * taps * p.width)


cdef void move_slab(const Product* p, const Share* share, Slab* slab) noexcept nogil:
    """Move the slab to the block of a task."""
    cdef Py_ssize_t column = share.copy % p.column_blocks * p.columns
    cdef Py_ssize_t columns = min(p.columns, p.windows.column.out - column)
    cdef Py_ssize_t unit = unit_pixels(p, columns)
    slab.block = make_block(&p.windows, columns, column, share.unit * unit,
                            share.past_unit * unit)


cdef void multiply_block(const floating* x, const Context* context, Py_ssize_t task,
                         int thread) noexcept nogil:
    """Compute a task: some rows of A times one block of pixels."""
    cdef const Product* p = <const Product*>context.plan
    cdef const floating* w = <const floating*>context.o.w
    cdef floating* y = <floating*>context.o.y
    cdef char* shared = context.shared
    cdef char* own = shared + p.threads_at + thread * p.thread_bytes
    cdef Slab slab = p.slab
    cdef Share share = find_share(&p.split, task)
    cdef Py_ssize_t g = share.copy // p.column_blocks
    cdef const Py_ssize_t* shifts = <const Py_ssize_t*>(shared + p.shifts_at)
    cdef const Py_ssize_t* b_at = <const Py_ssize_t*>(shared + p.b_at_at)
    cdef const Py_ssize_t* a_at = <const Py_ssize_t*>(shared + p.a_at_at)
    cdef const floating* bias = <const floating*>(shared + p.bias_at) + g * p.rows
    cdef const floating* packed_a = <const floating*>packed_a_of(context)
    cdef floating* slab_data = <floating*>(own + p.slab_at)
    cdef floating* packed_b = <floating*>(own + p.panels_at)
    cdef Panel* panels = <Panel*>(own + p.panel_list_at)
    cdef Run* packs = <Run*>(own + p.runs_at)
    cdef Run* outs = packs + p.max_runs
    cdef Py_ssize_t taps = p.windows.taps, count, n_packs, c, channels, i, j, row, rows
    cdef const floating* a[MAX_ROWS]
    cdef const floating* b
    cdef Target target

    move_slab(p, &share, &slab)
    count = list_panels(p, &slab, panels, packs, &n_packs, outs)
    x += g * p.windows.strides[1]
    w += g * p.a_strides[0]
    y += g * p.windows.outs[1]
    packed_a += g * p.row_panels * p.steps * p.height
    target.row, target.column_bias, target.a_ahead = p.windows.outs[2], NULL, 0
    for c from 0 <= c < p.windows.channels by p.channels:
        channels = min(p.channels, p.windows.channels - c)
        target.accumulate = c > 0
        if not p.packs_b:
            fill_slab(x, &p.windows, &slab, c, channels, slab_data)
        else:
            pack_b(x, p, &slab, c, channels, shifts, packs, n_packs, slab_data, packed_b)
        for i in range(share.panel, share.past_panel):
            row = even_share(i, p.rows, p.row_panels)
            rows = even_share(i + 1, p.rows, p.row_panels) - row
            for j in range(rows):
                if p.packs_a:
                    a[j] = packed_a + (i * p.steps + c * taps) * p.height + j
                else:
                    a[j] = w + (row + j) * p.a_strides[1] + c * p.a_strides[2]
            target.c, target.row_bias = y + row * p.windows.outs[2], NULL
            target.ending = NULL
            if c + channels == p.windows.channels:
                target.ending = context.o.ending
                if context.o.bias is not NULL:
                    target.row_bias = bias + row
            for j in range(count):
                b = packed_b + j * p.panel_size if p.packs_b else slab_data + panels[j].at
                target.runs, target.n_runs = outs + panels[j].outs, panels[j].n_outs
                run_tile(rows, panels[j].vectors, a, a_at, b, b_at, channels * taps, &target)


cdef double block_cost(void* job, Py_ssize_t task) noexcept nogil:
    """Return what a call of multiply_block costs; its lists are made in the first thread's part."""
    cdef const Context* context = (<const Job*>job).context
    cdef const Product* p = <const Product*>context.plan
    cdef char* own = context.shared + p.threads_at
    cdef Panel* panels = <Panel*>(own + p.panel_list_at)
    cdef Run* packs = <Run*>(own + p.runs_at)
    cdef Slab slab = p.slab
    cdef Share share = find_share(&p.split, task)
    cdef Py_ssize_t c, channels, count, n_packs, i, j, rows, pixels
    cdef double cost = 0
    move_slab(p, &share, &slab)
    pixels = slab.block.end - slab.block.pixel
    count = list_panels(p, &slab, panels, packs, &n_packs, packs + p.max_runs)
    for c from 0 <= c < p.windows.channels by p.channels:
        channels = min(p.channels, p.windows.channels - c)
        if not p.windows.in_place:
            cost += COPIED * copied_numbers(&p.windows, &slab, channels)
        if p.packs_b:
            cost += <double>PACKED * channels * p.windows.taps * pixels
        for i in range(share.panel, share.past_panel):
            rows = even_share(i + 1, p.rows, p.row_panels) - even_share(i, p.rows, p.row_panels)
            for j in range(count):
                cost += tile_cost(rows, panels[j].vectors, p.lanes, channels * p.windows.taps)
            cost += COPIED * rows * pixels
    return cost


cdef double product_cycles(const Product* p, int threads) noexcept nogil:
    """Estimate the cycles of all threads together."""
    cdef double rows = <double>p.rows / p.row_panels, columns = p.columns
    cdef double pixels = <double>p.windows.lines * p.windows.column.out
    # Blocks of one unit have tiles of one vector.
    cdef double vectors = 1 if p.packs_b and p.split.blocks == p.split.units else VECTORS
    cdef double tile = max(max(vectors * rows, rows + vectors + 2) / 2, 4.0) * VECTORS / vectors
    # A tile's start and end.
    tile += (40 + 6 * rows) / (p.channels * p.windows.taps)
    tile *= p.row_panels * ceil_div(<Py_ssize_t>pixels, p.lanes) * p.lanes / pixels
    if p.packs_b:
        tile += 3 * (p.width / columns + 1) * p.split.parts
    else:
        tile *= 1.125 * (columns + p.windows.column.part_reach) / columns
    if not p.packs_a:
        tile *= 1.03
    elif not p.ready:
        tile += (1 if p.neighbours else 3) * p.rows / pixels * p.width
    if p.split.parts > 1:
        tile *= 1 + PARTED
    tile *= imbalance(&p.split, threads)
    # What is measured: B comes from the second-level cache.
    return (1.08 * tile * p.windows.column.out / p.width
            * p.groups * p.windows.lines * p.steps)


cdef int make_product(Product* p, const Layout* layout, tuple stride, tuple before,
                      tuple dilation, int threads) except -1:
    """Fill in the plan for arrays of this layout."""
    cdef Py_ssize_t itemsize = layout.itemsize
    cdef const Py_ssize_t* w = layout.w.shape
    p.windows = make_windows(layout, stride, before, dilation)
    p.groups, p.rows, p.steps = w[0], w[1], w[2] * p.windows.taps
    p.lanes = lanes(itemsize)
    p.width = VECTORS * p.lanes
    p.height = max_rows(itemsize, VECTORS)
    p.row_panels = ceil_div(p.rows, p.height)
    in_elements(&layout.w, itemsize, p.a_strides)
    p.neighbours = steps_are_neighbours(w, p.a_strides)
    p.packs_a = p.groups * p.rows * p.steps * itemsize > (LARGE_BYTES if p.neighbours
                                                          else SMALL_BYTES)
    if p.neighbours and p.windows.lines * p.windows.column.out < MANY_PIXELS:
        p.packs_a = False
    p.ready = layout.prepared
    p.packs_a = p.packs_a or p.ready
    size_blocks(p, itemsize, threads)
    size_workspace(p, itemsize)
    return 0


cdef class PixelLanes(Correlation):
    """The correlation with pixels in the lanes."""

    cdef Product product

    cdef int weigh(self, const Layout* layout, int threads, Estimate* estimate) except -1:
        cdef Product p
        threads = min(threads, self.worth_threads(layout))
        make_product(&p, layout, self.stride, self.before, self.dilation, threads)
        estimate.cycles = product_cycles(&p, threads)
        estimate.filled, estimate.memory = 1, 0
        return 0

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Product* p = &self.product
        make_product(p, layout, self.stride, self.before, self.dilation, threads)
        self.team = min(<Py_ssize_t>threads, split_tasks(&p.split))
        self.largest[0], self.largest[1] = ceil_div(p.rows, p.row_panels), p.width
        self.ends = True
        return p.threads_at + self.team * p.thread_bytes

    cdef Py_ssize_t packed_numbers(self) noexcept:
        return packed_a_numbers(&self.product)

    cdef int compute(self, const Operands* o, size_t bytes) except -1:
        record(self.name, self.largest[0], self.largest[1])
        return self.run(o, bytes, self.product.packs_a and not self.product.ready, True)

    cdef int run(self, const Operands* o, size_t bytes, bint packs, bint multiplies) except -1:
        cdef const Product* p = &self.product
        cdef char* shared = <char*>take(bytes)
        cdef Py_ssize_t step
        cdef Py_ssize_t* shifts = <Py_ssize_t*>(shared + p.shifts_at)
        cdef Py_ssize_t* weights_at = <Py_ssize_t*>(shared + p.weights_at_at)
        cdef Context context
        cdef Job[2] jobs
        cdef Phase[2] phases
        fill_shifts(&p.windows, &p.slab, p.channels, shifts)
        fill_offsets(&p.windows, p.a_strides, p.channels, weights_at)
        for step in range(p.channels * p.windows.taps):
            (<Py_ssize_t*>(shared + p.a_at_at))[step] = (
                step * p.height if p.packs_a else weights_at[step])
            (<Py_ssize_t*>(shared + p.b_at_at))[step] = (
                step * p.width if p.packs_b else shifts[step])
        copy_bias(o, p.rows, shared + p.bias_at)
        context.plan, context.o, context.shared = p, o, shared
        jobs[0] = Job(pack_a[float], pack_a[double], o.w, &context)
        jobs[1] = Job(multiply_block[float], multiply_block[double], o.x, &context)
        phases[0] = weighed_phase(run_job, pack_a_cost, &jobs[0], pack_a_tasks(p) if packs else 0)
        phases[1] = weighed_phase(run_job, block_cost, &jobs[1],
                                  split_tasks(&p.split) if multiplies else 0)
        self.run_phases(phases, 2)
        give(shared)
        return 0
