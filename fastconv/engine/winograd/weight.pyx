# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""Winograd's algorithm for the gradient of the weights: F(3 x 3, 4 x 4), F(5 x 5, 4 x 4), F(7, 4).

The gradient of a kernel is G^T [sum over the tiles of (A dY A^T) * (B^T d B)] G, of the input tiles
d and the residual's output tiles dY (points.h): for each point a product of matrices that contracts
over the tiles of all samples and planes,

    dU[point][k][c] = sum over tiles t of Z[point][t][k] * V[point][t][c]

The tiles are cut into *k-slices* (base/split_k.pxd). Of a slice, all threads transform the input
and the residual into V and Z, which they share; then each computes a part of the products, and adds
it to what earlier slices gave. A sum is one sequence of roundings, whichever thread computes it:
the result has the same bits for each number of threads.

Kernels with a depth, and those that move by 2, are cut into terms (terms.pyx): the channels of V
are then those of all terms, one term after the other, each in whole vectors. Panels are counted for
all terms of some channels before the next channels: when all their sums are there, the taps of all
terms are put together, and the gradient is written from end to end.

V and Z are cut into *panels* of a few vectors of channels, v[point][panel][tile][channel], so that
a register tile of the engine (gemm/tile.pyx) has the input channels of a panel in its lanes, output
channels of one in its rows, and neighbouring memory in its steps, the tiles. dU[point] has the
products of a panel of inputs with all outputs together. Of small maps the tiles that a point needs
not are left out (tiles.pyx).

Where there is one slice of few tiles, on deep layers, dU is larger than all else: each task then
computes all points of a panel of outputs and a few of inputs, and transforms them into the gradient
before they leave the second-level cache. Otherwise a task is a part of one point's product, which
reads V and Z once, and the gradient is written in the end.

A NaN or an infinity makes all taps of its channel's kernels NaN or infinite, and no others.
"""

from cython cimport floating

from fastconv.engine.base.arrays cimport Axes, Layout, in_elements
from fastconv.engine.base.axis cimport ceil_div
from fastconv.engine.base.costs cimport SHARED, TRANSFORMED, tiles_cost
from fastconv.engine.base.jobs cimport Context, Job, Jobs, add_job
from fastconv.engine.base.split_k cimport SplitK, first_unit, split_k
from fastconv.engine.gemm.slab cimport line_up
from fastconv.engine.gemm.tile cimport BLOCKED_VECTORS, lanes, max_pixels, run_blocked
from fastconv.engine.winograd.terms cimport (
    MOST_PHASES, Term, Window, count_terms, find_form, find_term, has_product, tile_points)
from fastconv.engine.winograd.tiles cimport (
    STAGE_BYTES, TileKernel, TileRange, Tiles, cut_off, is_cut, make_phases, make_tiles,
    merge_terms, point_step, same_work, seen_by, transform_tiles, wanted_tiles,
    write_kernel_gradients)

# V and Z of a slice stay in the last-level cache, as far as its tiles are enough to make up for
# reading and writing dU; running sums are shorter. All but these count as tiles of 36 points.
cdef Py_ssize_t SLICE_BYTES = 6 << 20
cdef Py_ssize_t LEAST_TILES = 128
cdef Py_ssize_t MOST_TILES = 512
cdef Py_ssize_t SUM_TILES = 128
# Vectors of output channels in a panel, of input channels in a block of panels, and of channels
# that one task transforms.
cdef Py_ssize_t OUTPUTS = 4
cdef Py_ssize_t INPUTS = 4
cdef Py_ssize_t TOGETHER = 4
# So few tiles are computed and transformed panel by panel.
cdef Py_ssize_t FEW_TILES = 192
# The part of the second-level cache that they may take.
cdef Py_ssize_t PANELS_BYTES = 800 << 10
# Parts for each thread: transforming inputs and residuals takes different times.
cdef Py_ssize_t PARTS = 4

cdef struct Side:
    Tiles[MOST_PHASES] tiles            # of each phase that terms see; of the residual one
    Py_ssize_t group_step               # of its maps, in elements
    Py_ssize_t channels                 # of a group
    Py_ssize_t terms
    # Of the channels of a term: their vectors, panels, and vectors of a panel, where the last may
    # have less.
    Py_ssize_t term_vectors, term_panels, panel
    Py_ssize_t vectors, panels          # of all terms
    Py_ssize_t point_step               # between the points' V or Z
    size_t at                           # in the workspace


cdef struct Correlation:
    Side input, residual
    Window window
    Py_ssize_t groups, lanes
    Py_ssize_t form, points             # of the tiles
    bint cut                            # maps are cut off
    Py_ssize_t unit                     # tiles that stay together: of a whole map, if it is cut off
    SplitK split                        # of these units
    Py_ssize_t steps                    # the tiles of the longest slice
    Axes w                              # the gradient (G, K, C, T, R, S)
    Py_ssize_t strides[6]               # and its strides, in elements
    Py_ssize_t tap_strides[6]           # of a vector of kernels, before the terms are put together
    bint fused                          # the gradient is written panel by panel
    Py_ssize_t block, blocks            # panels of inputs in a task, where it is
    Py_ssize_t rows, point_step         # of dU: output channels; the distance of its points
    int threads
    Py_ssize_t parts, point_parts       # of a slice's tiles, of the products of a point
    # The workspace: what all threads share, then one part for each.
    size_t terms_at, steps_at, sums_at, threads_at
    size_t stage_at, taps_at, own_sums_at, thread_bytes


cdef inline Py_ssize_t first_vector(const Side* side, Py_ssize_t panel) noexcept nogil:
    """Return how many vectors the panels before this one have."""
    cdef Py_ssize_t first = min(panel // side.terms * side.panel, side.term_vectors)
    return (side.terms * first
            + panel % side.terms * min(side.panel, side.term_vectors - first))


cdef inline Py_ssize_t vector_place(const Side* side, Py_ssize_t panel) noexcept nogil:
    """Return the vector with which a panel begins in V or Z."""
    return panel % side.terms * side.term_vectors + panel // side.terms * side.panel


cdef void cut_panels(Side* side, Py_ssize_t most) noexcept nogil:
    """Cut the vectors of each term into panels of at most so many, as even as can be."""
    side.panel = ceil_div(side.term_vectors, ceil_div(side.term_vectors, most))
    side.term_panels = ceil_div(side.term_vectors, side.panel)
    side.panels = side.terms * side.term_panels


cdef inline TileRange tiles_of(const Correlation* p, Py_ssize_t slice) noexcept nogil:
    """Return the tiles of a slice."""
    cdef TileRange tiles
    tiles.first = first_unit(&p.split, slice) * p.unit
    tiles.end = first_unit(&p.split, slice + 1) * p.unit
    return tiles


cdef void size_side(Side* side, const Axes* maps, Py_ssize_t itemsize, Py_ssize_t terms,
                    Py_ssize_t most) noexcept nogil:
    """Complete a side of the product, with panels of at most so many vectors."""
    side.group_step = maps.strides[1] // itemsize
    side.channels = maps.shape[2]
    side.terms = terms
    side.term_vectors = ceil_div(side.channels, lanes(itemsize))
    side.vectors = terms * side.term_vectors
    side.point_step = side.at = 0
    cut_panels(side, most)


cdef void split_tiles(Correlation* p, Py_ssize_t itemsize) noexcept nogil:
    """Cut the tiles into slices, by the shapes alone."""
    cdef const Tiles* cut = &p.residual.tiles[0]
    cdef Py_ssize_t most
    cdef Py_ssize_t size = p.points * (p.input.vectors + p.residual.vectors) * p.lanes * itemsize
    p.cut = is_cut(cut)
    p.unit = cut.rows * cut.columns if p.cut else 1
    most = min(max(SLICE_BYTES // size, same_work(LEAST_TILES, p.form)),
               same_work(MOST_TILES, p.form))
    # The sums of all slices are the same: none are partial.
    p.split = split_k(p.groups, 0, cut.count // p.unit, (cut.count + most // 2) // most, 1)
    p.steps = ceil_div(p.split.units, p.split.slices) * p.unit


cdef void fuse(Correlation* p, Py_ssize_t itemsize, int threads) noexcept nogil:
    """Choose whether the gradient is written panel by panel, and the size of dU."""
    cdef Py_ssize_t size, most, tiles = p.residual.tiles[0].count
    # All terms of some channels.
    p.block = ceil_div(ceil_div(INPUTS, BLOCKED_VECTORS), p.input.terms) * p.input.terms
    p.blocks = ceil_div(p.input.panels, p.block)
    p.fused = (p.split.slices == 1 and tiles <= same_work(FEW_TILES, p.form)
               and p.residual.panels * p.blocks >= 4 * threads)
    p.rows = p.residual.channels
    size = p.rows * p.input.vectors * p.lanes
    if p.fused:
        # Lower panels of outputs, where dU, V and Z of a task then fit in the cache.
        size = p.points * p.block * p.input.panel * p.lanes * itemsize
        most = (PANELS_BYTES - size * tiles) // (size * p.lanes
                                                 + p.points * tiles * p.lanes * itemsize)
        if 0 < most < p.residual.panel:
            cut_panels(&p.residual, most)
        p.rows = p.residual.panel * p.lanes
        size = p.rows * p.block * p.input.panel * p.lanes
    p.point_step = point_step(size, itemsize)


cdef void size_workspace(Correlation* p, Py_ssize_t itemsize) noexcept nogil:
    """Lay out the workspace: fill in its offsets."""
    cdef size_t sums = line_up(p.points * p.point_step * itemsize)
    p.input.point_step = point_step(p.steps * p.input.vectors * p.lanes, itemsize)
    p.residual.point_step = point_step(p.steps * p.residual.vectors * p.lanes, itemsize)
    p.terms_at = 0
    p.steps_at = line_up(p.input.terms * sizeof(Term))
    p.input.at = p.steps_at + line_up(OUTPUTS * p.steps * sizeof(Py_ssize_t))
    p.residual.at = p.input.at + line_up(p.points * p.input.point_step * itemsize)
    p.sums_at = p.residual.at + line_up(p.points * p.residual.point_step * itemsize)
    p.threads_at = p.sums_at + (0 if p.fused else sums)
    p.stage_at = 0
    p.taps_at = p.stage_at + line_up(STAGE_BYTES)
    p.own_sums_at = p.taps_at
    if p.input.terms > 1:
        p.own_sums_at += line_up(p.tap_strides[3] * p.w.shape[3] * itemsize)
    p.thread_bytes = p.own_sums_at + (sums if p.fused else 0)


cdef inline Py_ssize_t groups_of(const Side* side) noexcept nogil:
    """Return how many groups of a few panels a side has: they are transformed together."""
    return side.terms * ceil_div(side.term_panels, max(TOGETHER // side.panel, 1))


cdef Correlation make_correlation(const Layout* layout, const Window* window,
                                  int threads) noexcept nogil:
    """Return the plan for arrays of this layout."""
    cdef Correlation p
    cdef Py_ssize_t itemsize = layout.itemsize
    p.window, p.w = window[0], layout.w
    p.form = find_form(layout.w.shape, window)
    p.points, p.lanes = tile_points(p.form), lanes(itemsize)
    p.groups, p.threads = layout.y.shape[1], threads
    in_elements(&layout.w, itemsize, p.strides)
    p.tap_strides = [0, 0, 1, layout.w.shape[4] * layout.w.shape[5] * p.lanes,
                     layout.w.shape[5] * p.lanes, p.lanes]
    make_phases(&layout.x, &layout.y, layout.w.shape, window, itemsize, p.form, p.input.tiles)
    p.residual.tiles[0] = make_tiles(&layout.y, &layout.y, window, itemsize, p.form, False)
    cut_off(&p.residual.tiles[0], &layout.y)
    size_side(&p.input, &layout.x, itemsize, count_terms(layout.w.shape, window), BLOCKED_VECTORS)
    size_side(&p.residual, &layout.y, itemsize, 1, OUTPUTS)
    split_tiles(&p, itemsize)
    fuse(&p, itemsize, threads)
    p.parts = min(ceil_div(PARTS * threads, groups_of(&p.input) + groups_of(&p.residual)),
                  p.steps // p.unit)
    p.point_parts = min(ceil_div(9 * threads, p.points), p.input.panels * p.residual.panels)
    size_workspace(&p, itemsize)
    return p


cdef inline const Term* term_of(const Correlation* p, const char* shared,
                                Py_ssize_t panel) noexcept nogil:
    """Return the term that a panel of inputs is of."""
    return <const Term*>(shared + p.terms_at) + panel % p.input.terms


cdef void transform_part(const floating* maps, const Side* side, const Context* context,
                         Py_ssize_t task, int thread) noexcept nogil:
    """Transform a part of the slice's tiles for a group of panels of channels."""
    cdef const Correlation* p = <const Correlation*>context.plan
    cdef char* shared = context.shared
    cdef floating* stage = <floating*>(
        shared + p.threads_at + thread * p.thread_bytes + p.stage_at)
    cdef Py_ssize_t parts = p.parts, group = task // parts, part = task % parts
    cdef TileRange held = tiles_of(p, context.first)
    cdef Py_ssize_t units = (held.end - held.first) // p.unit
    cdef Py_ssize_t first = held.first + part * units // parts * p.unit
    cdef Py_ssize_t end = held.first + (part + 1) * units // parts * p.unit
    cdef Py_ssize_t width = max(TOGETHER // side.panel, 1) * side.panel * p.lanes
    cdef Py_ssize_t groups = groups_of(side) // side.terms, number = group // groups
    cdef Py_ssize_t channel = group % groups * width
    cdef Tiles tiles = side.tiles[0]
    if tiles.seen:
        tiles = seen_by(side.tiles, term_of(p, shared, number), &p.window)
    transform_tiles(maps + context.group * side.group_step + channel * tiles.channel_step,
                    &tiles, held, first, end - first, min(width, side.channels - channel), stage,
                    <floating*>(shared + side.at)
                    + (number * side.term_vectors * p.lanes + channel) * p.steps,
                    side.panel, p.steps, side.point_step)


cdef void transform(const floating* x, const Context* context, Py_ssize_t task,
                    int thread) noexcept nogil:
    """Transform a part of the input or, in the later tasks, of the residual."""
    cdef const Correlation* p = <const Correlation*>context.plan
    cdef Py_ssize_t inputs = p.parts * groups_of(&p.input)
    if task < inputs:
        transform_part(x, &p.input, context, task, thread)
    else:
        transform_part(<const floating*>context.o.y, &p.residual, context, task - inputs, thread)


cdef void multiply(const floating* v, const Correlation* p, TileRange wanted, Py_ssize_t point,
                   Py_ssize_t output, Py_ssize_t input, const char* shared, floating* sums,
                   bint accumulate, Py_ssize_t z_ahead, Py_ssize_t v_ahead) noexcept nogil:
    """Write the product of a panel of outputs and one of inputs for one point, or add it.

    `v` is all of V. The operands of the next product lie `z_ahead` and `v_ahead`: each tile fetches
    its share.
    """
    cdef Py_ssize_t z_first = first_vector(&p.residual, output)
    cdef Py_ssize_t z_vectors = first_vector(&p.residual, output + 1) - z_first
    cdef Py_ssize_t vectors = first_vector(&p.input, input + 1) - first_vector(&p.input, input)
    cdef Py_ssize_t k = z_first * p.lanes, c = vector_place(&p.input, input) * p.lanes
    cdef Py_ssize_t z_width = z_vectors * p.lanes, v_width = vectors * p.lanes
    cdef Py_ssize_t outputs = min(z_width, p.residual.channels - k)
    # Divisions of small numbers: those of 64 bits took longer than a product of few tiles.
    cdef unsigned int most = max_pixels(sizeof(floating), vectors), rows = outputs
    cdef unsigned int blocks = (rows + most - 1) // most, height = (rows + blocks - 1) // blocks
    cdef Py_ssize_t z_share = <unsigned int>z_width // blocks
    cdef Py_ssize_t v_share = <unsigned int>v_width // blocks
    cdef const floating* z = (<const floating*>(shared + p.residual.at)
                              + point * p.residual.point_step + k * p.steps)
    cdef const Py_ssize_t* at = <const Py_ssize_t*>(shared + p.steps_at)
    cdef Py_ssize_t tile = wanted.first, tiles, z_at, v_at, row
    # No tap needs the others.
    if not has_product(term_of(p, shared, input), p.form, point):
        return
    at += (z_vectors - 1) * p.steps
    v += point * p.input.point_step + c * p.steps
    while True:
        tiles = min(wanted.end - tile, SUM_TILES)
        z_at, v_at = z_ahead, v_ahead
        for row from 0 <= row < outputs by height:
            run_blocked(min(outputs - row, <Py_ssize_t>height), vectors, True,
                        z + tile * z_width + row, at, v + tile * v_width, tiles,
                        sums + row * v_width, accumulate, z_at - row, v_at)
            z_at += tiles * z_share
            v_at += tiles * v_share
        tile += tiles
        accumulate = True
        if tile >= wanted.end:
            break


cdef inline TileRange wanted_of(const Correlation* p, Py_ssize_t tiles,
                                Py_ssize_t point) noexcept nogil:
    """Return which of so many tiles have a product at the point."""
    cdef TileRange wanted
    wanted.first, wanted.end = 0, tiles
    if p.cut:
        wanted = wanted_tiles(&p.residual.tiles[0], tiles // p.unit, point)
    return wanted


cdef void write_kernels(const floating* sums, const Context* context, Py_ssize_t row, Py_ssize_t k,
                        Py_ssize_t first, Py_ssize_t end, int thread) noexcept nogil:
    """Write the gradients of the output channel `k`, a row of dU, for some panels of inputs.

    They are all terms of some channels.
    """
    cdef const Correlation* p = <const Correlation*>context.plan
    cdef Py_ssize_t panel, vector, width, number, channels, c, terms = p.input.terms
    cdef const Term* term = term_of(p, context.shared, 0)
    cdef floating* dw = (<floating*>context.o.w + context.group * p.strides[0]
                         + k * p.strides[1])
    cdef floating* taps = <floating*>(
        context.shared + p.threads_at + thread * p.thread_bytes + p.taps_at)
    for panel from first <= panel < end by terms:
        width = (first_vector(&p.input, panel + 1) - first_vector(&p.input, panel)) * p.lanes
        for vector from 0 <= vector < width by p.lanes:
            c = panel // terms * p.input.panel * p.lanes + vector
            channels = min(p.lanes, p.input.channels - c)
            if terms == 1:
                write_kernel_gradients(sums + row * width + vector, p.point_step, p.form, term,
                                       channels, dw + c * p.strides[2], p.strides)
                continue
            for number in range(terms):
                write_kernel_gradients(sums + (number * p.rows + row) * width + vector,
                                       p.point_step, p.form, term + number, p.lanes, taps,
                                       p.tap_strides)
            merge_terms(<const floating*>taps, &p.w, channels, dw + c * p.strides[2], p.strides)
        sums += terms * p.rows * width


cdef void write_channel(const floating* sums, const Context* context, Py_ssize_t k,
                        int thread) noexcept nogil:
    """Write the gradients of an output channel from the sums that all threads share."""
    cdef const Correlation* p = <const Correlation*>context.plan
    write_kernels(sums, context, k, k, 0, p.input.panels, thread)


cdef void multiply_panels(const floating* v, const Context* context, Py_ssize_t task,
                          int thread) noexcept nogil:
    """Compute the gradients of a panel of outputs and a block of inputs, from the only slice."""
    cdef const Correlation* p = <const Correlation*>context.plan
    cdef char* shared = context.shared
    cdef char* own = shared + p.threads_at + thread * p.thread_bytes
    cdef Py_ssize_t output = task % p.residual.panels
    cdef Py_ssize_t first = task // p.residual.panels * p.block
    cdef Py_ssize_t end = min(first + p.block, p.input.panels)
    cdef floating* sums = <floating*>(own + p.own_sums_at)
    cdef Py_ssize_t c = first_vector(&p.input, first), point, k, input
    cdef Py_ssize_t row = first_vector(&p.residual, output) * p.lanes
    cdef TileRange wanted
    for point in range(p.points):
        wanted = wanted_of(p, p.split.units * p.unit, point)
        for input in range(first, end):
            multiply(v, p, wanted, point, output, input, shared,
                     sums + point * p.point_step
                     + (first_vector(&p.input, input) - c) * p.lanes * p.rows, False,
                     p.residual.point_step, p.input.point_step)
    for k in range(row, min(first_vector(&p.residual, output + 1) * p.lanes,
                            p.residual.channels)):
        write_kernels(<const floating*>sums, context, k - row, k, first, end, thread)


cdef void multiply_point(const floating* v, const Context* context, Py_ssize_t task,
                         int thread) noexcept nogil:
    """Add a part of one point's product to the sums that all threads share."""
    cdef const Correlation* p = <const Correlation*>context.plan
    cdef char* shared = context.shared
    cdef Py_ssize_t parts = p.point_parts, point = task // parts, part = task % parts
    cdef Py_ssize_t panels = p.residual.panels * p.input.panels, i, output, input, c, k, width
    cdef TileRange tiles = tiles_of(p, context.first)
    tiles = wanted_of(p, tiles.end - tiles.first, point)
    cdef floating* sums = <floating*>(shared + p.sums_at) + point * p.point_step
    for i in range(part * panels // parts, (part + 1) * panels // parts):
        output, input = i % p.residual.panels, i // p.residual.panels
        c, k = first_vector(&p.input, input), first_vector(&p.residual, output)
        width = (first_vector(&p.input, input + 1) - c) * p.lanes
        multiply(v, p, tiles, point, output, input, shared,
                 sums + c * p.lanes * p.rows + k * p.lanes * width, context.first > 0,
                 p.steps * p.residual.panel * p.lanes, p.steps * width)


cdef double transform_cost(void* job, Py_ssize_t task) noexcept nogil:
    cdef const Context* context = (<const Job*>job).context
    cdef const Correlation* p = <const Correlation*>context.plan
    cdef const Side* side = &p.input
    cdef Py_ssize_t inputs = p.parts * groups_of(side), width, group, part, units
    cdef TileRange held = tiles_of(p, context.first)
    if task >= inputs:
        side, task = &p.residual, task - inputs
    width = max(TOGETHER // side.panel, 1) * side.panel
    group, part = task // p.parts % (groups_of(side) // side.terms), task % p.parts
    units = (held.end - held.first) // p.unit
    return (<double>(TRANSFORMED + SHARED) * p.points * p.lanes * p.unit
            * ((part + 1) * units // p.parts - part * units // p.parts)
            * min(width, side.term_vectors - group * width))


cdef double product_cost(const Correlation* p, Py_ssize_t itemsize, TileRange wanted,
                         Py_ssize_t output, Py_ssize_t input) noexcept nogil:
    """Return what a call of multiply costs."""
    cdef Py_ssize_t k = first_vector(&p.residual, output) * p.lanes
    cdef Py_ssize_t past = first_vector(&p.residual, output + 1) * p.lanes, tile = wanted.first
    cdef Py_ssize_t vectors = first_vector(&p.input, input + 1) - first_vector(&p.input, input)
    cdef double cost = 0
    while tile < wanted.end:
        cost += tiles_cost(min(past, p.residual.channels) - k, max_pixels(itemsize, vectors),
                           vectors, p.lanes, min(wanted.end - tile, SUM_TILES))
        tile += SUM_TILES
    return cost


cdef double panels_cost(void* job, Py_ssize_t task) noexcept nogil:
    cdef const Context* context = (<const Job*>job).context
    cdef const Correlation* p = <const Correlation*>context.plan
    cdef Py_ssize_t output = task % p.residual.panels
    cdef Py_ssize_t first = task // p.residual.panels * p.block
    cdef Py_ssize_t end = min(first + p.block, p.input.panels), point, input
    cdef double cost = (
        <double>TRANSFORMED * p.points * p.lanes * p.lanes
        * (first_vector(&p.residual, output + 1) - first_vector(&p.residual, output))
        * (first_vector(&p.input, end) - first_vector(&p.input, first)))
    for point in range(p.points):
        for input in range(first, end):
            cost += product_cost(p, context.o.layout.itemsize,
                                 wanted_of(p, p.split.units * p.unit, point), output, input)
    return cost


cdef double point_cost(void* job, Py_ssize_t task) noexcept nogil:
    cdef const Context* context = (<const Job*>job).context
    cdef const Correlation* p = <const Correlation*>context.plan
    cdef Py_ssize_t parts = p.point_parts, point = task // parts, part = task % parts, i
    cdef Py_ssize_t panels = p.residual.panels * p.input.panels
    cdef TileRange tiles = tiles_of(p, context.first)
    cdef double cost = 0
    tiles = wanted_of(p, tiles.end - tiles.first, point)
    for i in range(part * panels // parts, (part + 1) * panels // parts):
        cost += product_cost(p, context.o.layout.itemsize, tiles, i % p.residual.panels,
                             i // p.residual.panels)
    return cost


cdef double write_cost(void* job, Py_ssize_t task) noexcept nogil:
    cdef const Correlation* p = <const Correlation*>(<const Job*>job).context.plan
    # Which are read once, in order.
    return (TRANSFORMED + SHARED / 2.0) * p.points * p.input.vectors * p.lanes


cdef class WeightGradient(TileKernel):
    """The weight gradient for kernels whose terms there is a form of tiles for.

    dw[g,k,c,t,r,s] = sum over n, d, i, j of dy[n,g,k,d,i,j]
                      * x[n,g,c, d * stride + t * dilation - before, ...].
    """

    cdef Correlation correlation

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Correlation* p = &self.correlation
        p[0] = make_correlation(layout, &self.window, threads)
        self.team = threads
        self.largest[0] = min(p.residual.panel * p.lanes, p.residual.channels)
        self.largest[0] = min(self.largest[0], max_pixels(layout.itemsize, p.input.panel))
        self.largest[1] = p.input.panel * p.lanes
        return p.threads_at + threads * p.thread_bytes

    cdef void share(self, Context* context, Jobs* jobs) noexcept nogil:
        cdef const Correlation* p = &self.correlation
        cdef char* shared = context.shared
        cdef Py_ssize_t* at = <Py_ssize_t*>(shared + p.steps_at)
        cdef const Py_ssize_t* strides = p.strides
        cdef Py_ssize_t i, v, g, slice
        context.plan = p
        if p.input.terms > 1:
            strides = p.tap_strides
        for i in range(p.input.terms):
            (<Term*>(shared + p.terms_at))[i] = find_term(&p.w, strides, &p.window, p.form, i)
        for v in range(OUTPUTS):
            for i in range(p.steps):
                at[v * p.steps + i] = i * (v + 1) * p.lanes
        for g in range(p.groups):
            for slice in range(p.split.slices):
                context.group, context.first = g, slice
                add_job(jobs, context, transform[float], transform[double], transform_cost,
                        context.o.x, p.parts * (groups_of(&p.input) + groups_of(&p.residual)))
                if p.fused:
                    add_job(jobs, context, multiply_panels[float], multiply_panels[double],
                            panels_cost, shared + p.input.at, p.blocks * p.residual.panels)
                else:
                    # The same points for a thread each time: their sums stay in its cache.
                    add_job(jobs, context, multiply_point[float], multiply_point[double],
                            point_cost, shared + p.input.at, p.points * p.point_parts)
            if not p.fused:
                add_job(jobs, context, write_channel[float], write_channel[double], write_cost,
                        shared + p.sums_at, p.residual.channels)
