# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry.
"""Winograd's convolutions: few products for a tile of several outputs.

    V = B^T d B      of every tile d of the input (tiles.pyx)
    U = G g G^T      of every kernel g
    M[point] = V[point] U[point]      tiles x channels times channels x output channels
    Y = A^T M A + bias

Kernels with a depth, and those that move by 2, are cut into terms (terms.pyx), whose channels are
added up as those of one kernel are: M is the sum of V U over terms and channels, and transformed
back once.

The products run on the engine's micro-kernel: tiles are the rows of A, broadcast, and a panel of
output channels, at most two vectors, is B. V is v[point][vector of channels][tile][channel], so
that the tiles of a step lie a vector apart, and one address serves them all. A chunk of tiles is
multiplied with a panel for all points, and transformed back while its M is in the second-level
cache. Long sums are cut into blocks of channels, whose U fits there, too; the borders depend on
the number of channels alone.

What is kept between chunks depends on the size of U and the number of tiles:

    small U, many tiles     U is there as a whole, for all threads; a thread takes a chunk and
                            transforms its tiles, which stay in its cache for all the panels.
    large U, or few tiles   V is there for many chunks at once, for all threads; a thread takes a
                            panel, transforms its kernels block by block into its cache, and uses
                            them at once for a chunk. Ready U would have four times the bytes of
                            the weights.

The steps of each output are the same in either way, whatever the chunks, threads and batch.
"""

from cython cimport floating

from libc.string cimport memset

from fastconv.engine.base.arrays cimport Axes, Layout, Operands, in_elements
from fastconv.engine.base.axis cimport ceil_div
from fastconv.engine.base.costs cimport SHARED, TRANSFORMED
from fastconv.engine.base.jobs cimport Context, Job, Jobs, add_job, run_jobs
from fastconv.engine.base.threads cimport threads_for
from fastconv.engine.gemm.correlation cimport copy_bias
from fastconv.engine.gemm.slab cimport line_up
from fastconv.engine.gemm.tile cimport lanes, max_pixels, run_blocked
from fastconv.engine.winograd.terms cimport (
    MOST_PHASES, Term, Window, count_terms, find_form, find_term, has_product, make_window,
    tile_points)
from fastconv.engine.winograd.tiles cimport (
    SMALL_MAP, STAGE_BYTES, TileKernel, TileRange, Tiles, cut_off, is_cut, make_phases, make_tiles,
    point_step, products_cost, same_work, seen_by, transform_kernels, transform_tiles, wanted_tiles,
    write_outputs)

cdef enum:
    # The most vectors of output channels in a panel.
    PANEL = 2

# The most bytes of one tile's numbers in a block of channels, for all points, as if there were at
# least 36: sums stay short.
cdef Py_ssize_t TILE_BYTES = 9216
# U is kept as a whole where it has at most so many bytes, and there are more than so many tiles: it
# may stream from the third-level cache.
cdef Py_ssize_t KEPT_BYTES = 3 << 20
cdef Py_ssize_t KEPT_TILES = 64
# The channels that a task transforms of it.
cdef Py_ssize_t KEPT_CHANNELS = 32
# The most tiles of 36 points in a chunk: with U in the cache, and where kernels are transformed for
# each.
cdef Py_ssize_t FEW_TILES = 28
cdef Py_ssize_t MANY_TILES = 128
# Numbers of U that stay in the second-level cache until they are used.
cdef Py_ssize_t NEAR_NUMBERS = 1 << 18
# V of a chunk of the first kind, beside U and M in the second-level cache; a full tile of the
# products may have more.
cdef Py_ssize_t NEAR_BYTES = 9 << 15
# V of the chunks that are there at once.
cdef Py_ssize_t V_BYTES = 10 << 20
# Vectors of channels in one task that transforms tiles for all threads.
cdef Py_ssize_t V_VECTORS = 4


cdef struct Product:
    Tiles[MOST_PHASES] inputs                   # of each phase that terms see
    Tiles outputs
    Window window
    Axes w                                      # the weights (G, K, C, T, R, S)
    Py_ssize_t groups, rows, channels           # of the weights: G, K, C
    Py_ssize_t terms                            # of the weights
    double filled                               # terms, less the points that have no products
    Py_ssize_t vectors                          # of the channels
    Py_ssize_t form, points                     # of the tiles
    Py_ssize_t w_strides[6]                     # of the weights, in elements
    Py_ssize_t x_group, y_group                 # distance of two groups
    Py_ssize_t lanes
    Py_ssize_t width, panels                    # numbers of a panel; panels of K
    Py_ssize_t depth                            # channels of a block
    Py_ssize_t tiles, chunk, chunks             # in all, of a chunk; chunks
    Py_ssize_t held                             # chunks whose V is there at once
    bint small, keeps_u                         # U is, and is there as a whole for all chunks
    bint ready                                  # U is there beforehand
    int threads
    Py_ssize_t v_vectors                        # vectors of channels in a task that transforms V
    # Distances in V between vectors of channels and between chunks; distances between points.
    Py_ssize_t v_vector, v_chunk, v_point, u_point, m_point
    # The workspace: what is shared, then one part for each thread.
    size_t steps_at, bias_at, u_at, v_at, threads_at
    size_t stage_at, own_at, m_at, thread_bytes


cdef Py_ssize_t held_chunks(const Product* p, Py_ssize_t chunk, Py_ssize_t itemsize,
                            Py_ssize_t chunks) noexcept nogil:
    """Return how many of the chunks have their V there at once, a chunk being so many tiles."""
    cdef Py_ssize_t size = p.points * p.terms * p.vectors * p.lanes * chunk * itemsize
    return ceil_div(chunks, ceil_div(chunks, max(V_BYTES // size, 1)))


cdef double fit_units(Product* p, Py_ssize_t unit, Py_ssize_t most, Py_ssize_t itemsize,
                      int threads) noexcept nogil:
    """Choose a chunk of whole units, at most so many tiles, and return its time, the shortest."""
    # In a panel's tiles, of the thread that has most to do. The kernels take as long as so many.
    cdef Py_ssize_t extra = 1 if p.keeps_u or p.ready else 7
    cdef Py_ssize_t units = p.tiles // unit, chunk = min(most // unit, units), chunks, held, passes
    cdef double cost, best = 1e300
    for chunk in range(chunk, 0, -1):
        chunks = ceil_div(units, chunk)
        cost = ceil_div(chunks * p.groups, threads)
        if not p.keeps_u:
            held = held_chunks(p, chunk * unit, itemsize, chunks)
            passes = ceil_div(chunks, held) - 1
            cost = (passes * ceil_div(held * p.panels, threads)
                    + ceil_div((chunks - passes * held) * p.panels, threads))
        cost *= chunk * unit + extra
        if cost < best * 0.98:
            best, p.chunk = cost, chunk * unit
    return best


cdef void fit_chunks(Product* p, Py_ssize_t itemsize, int threads) noexcept nogil:
    """Cut the tiles into chunks: whole maps or rows of tiles where they fit."""
    cdef Py_ssize_t most = same_work(FEW_TILES if p.keeps_u else MANY_TILES, p.form)
    cdef Py_ssize_t unit = p.outputs.rows * p.outputs.columns, chunk, panels = p.panels
    cdef double best
    if unit > SMALL_MAP:
        unit = p.outputs.columns
    if unit > most:
        unit = 1
    if p.keeps_u:
        most = min(most, max(NEAR_BYTES // (p.points * p.terms * p.channels * itemsize), unit,
                             max_pixels(itemsize, PANEL)))
    best = fit_units(p, unit, most, itemsize, threads)
    chunk = p.chunk
    # For many threads: parts of rows; or panels of one vector, which take more than half as long.
    if unit > 1 and not is_cut(&p.outputs) and (
            fit_units(p, 1, most, itemsize, threads) >= 0.9 * best):
        p.chunk = chunk
    if not p.keeps_u and not p.ready and p.chunk == chunk:
        p.panels = ceil_div(p.rows, p.lanes)
        if 0.65 * fit_units(p, unit, most, itemsize, threads) >= 0.9 * best:
            p.chunk, p.panels = chunk, panels
    p.chunks = ceil_div(p.tiles, p.chunk)


cdef void size_weights(Product* p, const Axes* w, const Window* window,
                       Py_ssize_t itemsize) noexcept nogil:
    """Choose the blocks of weights (G, K, C, T, R, S), whatever the maps."""
    cdef Py_ssize_t most
    p.window, p.w = window[0], w[0]
    p.groups, p.rows, p.channels = w.shape[0], w.shape[1], w.shape[2]
    p.terms = count_terms(w.shape, window)
    p.form = find_form(w.shape, window)
    p.points = tile_points(p.form)
    in_elements(&p.w, itemsize, p.w_strides)
    p.lanes = lanes(itemsize)
    p.width = PANEL * p.lanes
    p.panels = ceil_div(p.rows, p.width)
    p.vectors = ceil_div(p.channels, p.lanes)
    most = TILE_BYTES // (p.lanes * max(p.points, 36) * itemsize)
    p.depth = ceil_div(p.vectors, ceil_div(p.vectors, most)) * p.lanes
    p.u_point = point_step(p.terms * p.channels * p.width, itemsize)
    p.small = p.panels * p.points * p.u_point * itemsize <= KEPT_BYTES


cdef inline Py_ssize_t kept_numbers(const Product* p) noexcept nogil:
    """Return the size of U where it is kept."""
    return p.groups * p.panels * p.points * p.u_point if p.small else 0


cdef void size_blocks(Product* p, Py_ssize_t itemsize, bint prepared, int threads) noexcept nogil:
    """Choose the blocks of tiles, and lay out the workspace."""
    p.ready = prepared
    # With few tiles each panel is used but once: its kernels need not leave the cache.
    p.keeps_u = p.small and (p.tiles > KEPT_TILES or p.groups > 1)
    if not p.keeps_u and not p.ready:
        p.u_point = point_step(p.depth * p.width, itemsize)
    fit_chunks(p, itemsize, threads)
    p.v_vector = p.chunk * p.lanes
    p.v_chunk = p.terms * p.vectors * p.v_vector
    p.held = 1
    if not p.keeps_u:
        p.held = held_chunks(p, p.chunk, itemsize, p.chunks)
    p.v_vectors = max(min(V_VECTORS, p.vectors, p.terms * p.vectors * p.held // threads), 1)
    p.v_point = point_step(p.held * p.v_chunk, itemsize)
    p.m_point = point_step(p.chunk * p.width, itemsize)
    p.steps_at = 0
    p.bias_at = p.steps_at + line_up(p.depth * sizeof(Py_ssize_t))
    p.u_at = p.bias_at + line_up(p.groups * p.panels * p.width * itemsize)
    p.v_at = p.u_at
    p.threads_at = p.v_at
    p.stage_at = 0
    p.own_at = STAGE_BYTES
    # Either U or V is shared, and the other is each thread's own.
    p.m_at = p.own_at
    if p.keeps_u:
        p.threads_at += 0 if p.ready else kept_numbers(p) * itemsize
        p.m_at += p.points * p.v_point * itemsize
    else:
        p.threads_at += p.points * p.v_point * itemsize
        p.m_at += 0 if p.ready else p.points * p.u_point * itemsize
    p.thread_bytes = p.m_at + p.points * p.m_point * itemsize


cdef inline Py_ssize_t first_vector(const Product* p, Py_ssize_t panel) noexcept nogil:
    """Return the first vector of output channels of a panel: panels are as even as can be."""
    return panel * ceil_div(p.rows, p.lanes) // p.panels


cdef inline Py_ssize_t vectors_of(const Product* p, Py_ssize_t panel) noexcept nogil:
    """Return the vectors of a panel."""
    return first_vector(p, panel + 1) - first_vector(p, panel)


cdef inline Term term_of(const Product* p, Py_ssize_t number) noexcept nogil:
    return find_term(&p.w, p.w_strides, &p.window, p.form, number)


cdef void fill_u(const floating* w, const Product* p, const Term* term, Py_ssize_t g,
                 Py_ssize_t panel, Py_ssize_t first, Py_ssize_t channels,
                 floating* u) noexcept nogil:
    """Transform a term of the kernels of a panel and of some channels from `first` on."""
    cdef Py_ssize_t i, row, width = vectors_of(p, panel) * p.lanes
    w += g * p.w_strides[0] + first * p.w_strides[2]
    for i in range(first_vector(p, panel), first_vector(p, panel + 1)):
        row = i * p.lanes
        transform_kernels(w + row * p.w_strides[1], p.w_strides, p.form, term,
                          min(p.rows - row, p.lanes), channels, u, width, p.u_point)
        u += p.lanes


cdef inline char* whole_u(const Context* context) noexcept nogil:
    """Return where U is as a whole."""
    cdef const Product* p = <const Product*>context.plan
    return context.o.prepared if p.ready else context.shared + p.u_at


cdef void keep_u(const floating* w, const Context* context, Py_ssize_t task,
                 int thread) noexcept nogil:
    """Transform a term of one group's panel and some channels for all threads."""
    cdef const Product* p = <const Product*>context.plan
    cdef Py_ssize_t blocks = ceil_div(p.channels, KEPT_CHANNELS)
    cdef Py_ssize_t first = task % blocks * KEPT_CHANNELS, number = task // blocks % p.terms
    cdef Py_ssize_t place = task // blocks // p.terms, panel = place % p.panels
    cdef Term term = term_of(p, number)
    fill_u(w, p, &term, place // p.panels, panel, first, min(KEPT_CHANNELS, p.channels - first),
           <floating*>whole_u(context) + place * p.points * p.u_point
           + (number * p.channels + first) * vectors_of(p, panel) * p.lanes)


cdef inline Py_ssize_t kept_tasks(const Product* p) noexcept nogil:
    """Return how many tasks make U."""
    return p.groups * p.panels * p.terms * ceil_div(p.channels, KEPT_CHANNELS)


cdef void multiply(const Product* p, const char* shared, const Term* term, const floating* v,
                   Py_ssize_t count, const floating* u, Py_ssize_t vectors, bint accumulate,
                   Py_ssize_t steps, floating* m) noexcept nogil:
    """Multiply `count` tiles with a panel, for a block of channels of a term and all its points.

    `v` and `u` are those of the first channel of the block. The products are written, or added to
    what is there.
    """
    cdef const Py_ssize_t* at = <const Py_ssize_t*>(shared + p.steps_at)
    cdef Py_ssize_t most = max_pixels(sizeof(floating), vectors), width = vectors * p.lanes
    cdef Py_ssize_t maps = count // (p.outputs.rows * p.outputs.columns)
    cdef bint cut = is_cut(&p.outputs)
    cdef Py_ssize_t point, row, rows = 0, height = 0
    cdef TileRange wanted
    wanted.first, wanted.end = 0, count
    for point in range(p.points):
        if cut:
            wanted = wanted_tiles(&p.outputs, maps, point)
            if not accumulate:
                memset(m, 0, wanted.first * width * sizeof(floating))
                memset(m + wanted.end * width, 0, (count - wanted.end) * width * sizeof(floating))
        if rows != wanted.end - wanted.first:
            rows = wanted.end - wanted.first
            height = ceil_div(rows, max(ceil_div(rows, most), 1))
        if not has_product(term, p.form, point):
            if not accumulate:
                memset(m, 0, count * width * sizeof(floating))
        else:
            for row from wanted.first <= row < wanted.end by height:
                run_blocked(min(height, wanted.end - row), vectors, False, v + row * p.lanes, at,
                            u, steps, m + row * width, accumulate, p.v_point, p.u_point)
        v += p.v_point
        u += p.u_point
        m += p.m_point


cdef void finish(const Product* p, const Context* context, Py_ssize_t g, Py_ssize_t panel,
                 Py_ssize_t tile, Py_ssize_t count, const floating* m,
                 floating* stage) noexcept nogil:
    """Transform the products of a panel back, and write them into the output."""
    cdef const floating* bias = <const floating*>(context.shared + p.bias_at)
    cdef floating* y = <floating*>context.o.y
    cdef Py_ssize_t i, row, width = vectors_of(p, panel) * p.lanes
    bias += g * p.panels * p.width
    y += g * p.y_group
    for i in range(first_vector(p, panel), first_vector(p, panel + 1)):
        row = i * p.lanes
        write_outputs(m, &p.outputs, tile, count, width, p.m_point, min(p.rows - row, p.lanes),
                      bias + row, context.o.ending, stage, y + row * p.outputs.channel_step)
        m += p.lanes


cdef void fill_v(const floating* x, const Context* context, Py_ssize_t g, Py_ssize_t chunk,
                 Py_ssize_t number, Py_ssize_t c, Py_ssize_t channels, char* own,
                 floating* v) noexcept nogil:
    """Transform the input tiles of a chunk for a term, and some channels from `c` on."""
    cdef const Product* p = <const Product*>context.plan
    cdef Term term = term_of(p, number)
    cdef Tiles tiles = seen_by(p.inputs, &term, &p.window)
    cdef TileRange held
    held.first = chunk * p.chunk
    held.end = min(held.first + p.chunk, p.tiles)
    transform_tiles(x + g * p.x_group + c * tiles.channel_step, &tiles, held, held.first,
                    held.end - held.first, channels, <floating*>(own + p.stage_at),
                    v + number * p.vectors * p.v_vector + c * p.chunk, 1, p.chunk, p.v_point)


cdef void compute_panel(const floating* w, const Context* context, Py_ssize_t g, Py_ssize_t panel,
                        Py_ssize_t chunk, const floating* v, char* own) noexcept nogil:
    """Compute a panel of output channels for a chunk, whose V is there."""
    cdef const Product* p = <const Product*>context.plan
    cdef Py_ssize_t tile = chunk * p.chunk, count = min(p.chunk, p.tiles - tile)
    cdef Py_ssize_t vectors = vectors_of(p, panel), number, c, steps
    cdef const floating* u = <const floating*>(own + p.own_at)
    cdef floating* m = <floating*>(own + p.m_at)
    cdef Term term
    for c from 0 <= c < p.channels by p.depth:
        steps = min(p.depth, p.channels - c)
        # The taps of a kernel are neighbours: all its terms come before the next channels.
        for number in range(p.terms):
            term = term_of(p, number)
            if p.keeps_u or p.ready:
                u = (<const floating*>whole_u(context)
                     + (g * p.panels + panel) * p.points * p.u_point
                     + (number * p.channels + c) * vectors * p.lanes)
            else:
                fill_u(w, p, &term, g, panel, c, steps, <floating*>(own + p.own_at))
            multiply(p, context.shared, &term, v + number * p.vectors * p.v_vector + c * p.chunk,
                     count, u, vectors, c > 0 or number > 0, steps, m)
    finish(p, context, g, panel, tile, count, <const floating*>m, <floating*>(own + p.stage_at))


cdef inline char* part_of(const Context* context, int thread) noexcept nogil:
    """Return a thread's part of the workspace."""
    cdef const Product* p = <const Product*>context.plan
    return context.shared + p.threads_at + thread * p.thread_bytes


cdef void compute_chunk(const floating* x, const Context* context, Py_ssize_t task,
                        int thread) noexcept nogil:
    """Compute a task where U is kept: a chunk, all panels."""
    cdef const Product* p = <const Product*>context.plan
    cdef Py_ssize_t g = task // p.chunks, chunk = task % p.chunks, panel, number
    cdef char* own = part_of(context, thread)
    cdef floating* v = <floating*>(own + p.own_at)
    for number in range(p.terms):
        fill_v(x, context, g, chunk, number, 0, p.channels, own, v)
    for panel in range(p.panels):
        # Whose U is there: no weights are read.
        compute_panel(<const floating*>NULL, context, g, panel, chunk, <const floating*>v, own)


cdef void hold_v(const floating* x, const Context* context, Py_ssize_t task,
                 int thread) noexcept nogil:
    """Transform some channels of a term for one of the chunks of a pass, for all threads."""
    cdef const Product* p = <const Product*>context.plan
    cdef Py_ssize_t width = p.v_vectors * p.lanes, blocks = ceil_div(p.channels, width)
    cdef Py_ssize_t at = task // (blocks * p.terms), first = task % blocks * width
    fill_v(x, context, context.group, context.first + at, task // blocks % p.terms, first,
           min(width, p.channels - first), part_of(context, thread),
           <floating*>(context.shared + p.v_at) + at * p.v_chunk)


cdef inline Py_ssize_t pass_chunks(const Product* p, Py_ssize_t first) noexcept nogil:
    """Return the chunks of the pass that begins with this one."""
    return min(p.held, p.chunks - first)


cdef void use_v(const floating* w, const Context* context, Py_ssize_t task,
                int thread) noexcept nogil:
    """Compute a panel, for one of the chunks of a pass."""
    cdef const Product* p = <const Product*>context.plan
    cdef Py_ssize_t chunks = pass_chunks(p, context.first)
    cdef Py_ssize_t panel = task // chunks, at = task % chunks
    compute_panel(w, context, context.group, panel, context.first + at,
                  <const floating*>(context.shared + p.v_at) + at * p.v_chunk,
                  part_of(context, thread))


cdef double panel_cost(const Product* p, Py_ssize_t itemsize, Py_ssize_t panel,
                       Py_ssize_t chunk) noexcept nogil:
    """Return what a call of compute_panel costs."""
    cdef Py_ssize_t count = min(p.chunk, p.tiles - chunk * p.chunk), vectors = vectors_of(p, panel)
    cdef Py_ssize_t kernels = 0 if p.keeps_u or p.ready else p.terms * p.channels, c
    cdef double cost = <double>TRANSFORMED * p.points * (count + kernels) * vectors * p.lanes
    for c from 0 <= c < p.channels by p.depth:
        cost += p.filled * products_cost(&p.outputs, count, max_pixels(itemsize, vectors), vectors,
                                         min(p.depth, p.channels - c))
    return cost


cdef inline double fill_v_cost(const Product* p, Py_ssize_t chunk,
                               Py_ssize_t channels) noexcept nogil:
    return (<double>(TRANSFORMED + (0 if p.keeps_u else SHARED)) * p.points
            * min(p.chunk, p.tiles - chunk * p.chunk) * ceil_div(channels, p.lanes) * p.lanes)


cdef double keep_cost(void* job, Py_ssize_t task) noexcept nogil:
    cdef const Product* p = <const Product*>(<const Job*>job).context.plan
    cdef Py_ssize_t blocks = ceil_div(p.channels, KEPT_CHANNELS)
    cdef Py_ssize_t number = TRANSFORMED + (SHARED if kept_numbers(p) > NEAR_NUMBERS else 0)
    cdef Py_ssize_t panel = task // blocks // p.terms % p.panels
    return (<double>number * p.points * vectors_of(p, panel) * p.lanes
            * min(KEPT_CHANNELS, p.channels - task % blocks * KEPT_CHANNELS))


cdef double chunk_cost(void* job, Py_ssize_t task) noexcept nogil:
    cdef const Context* context = (<const Job*>job).context
    cdef const Product* p = <const Product*>context.plan
    cdef Py_ssize_t chunk = task % p.chunks, panel
    cdef double cost = p.terms * fill_v_cost(p, chunk, p.channels)
    for panel in range(p.panels):
        cost += panel_cost(p, context.o.layout.itemsize, panel, chunk)
    return cost


cdef double hold_cost(void* job, Py_ssize_t task) noexcept nogil:
    cdef const Context* context = (<const Job*>job).context
    cdef const Product* p = <const Product*>context.plan
    cdef Py_ssize_t width = p.v_vectors * p.lanes, blocks = ceil_div(p.channels, width)
    return fill_v_cost(p, context.first + task // (blocks * p.terms),
                       min(width, p.channels - task % blocks * width))


cdef double use_cost(void* job, Py_ssize_t task) noexcept nogil:
    cdef const Context* context = (<const Job*>job).context
    cdef const Product* p = <const Product*>context.plan
    cdef Py_ssize_t chunks = pass_chunks(p, context.first)
    return panel_cost(p, context.o.layout.itemsize, task // chunks, context.first + task % chunks)


cdef Product make_product(const Layout* layout, const Window* window, int threads) noexcept nogil:
    """Return the plan for arrays of this layout."""
    cdef Product p
    cdef Py_ssize_t itemsize = layout.itemsize, number, point
    cdef Term term
    size_weights(&p, &layout.w, window, itemsize)
    p.filled = 0
    for number in range(p.terms):
        term = term_of(&p, number)
        for point in range(p.points):
            p.filled += has_product(&term, p.form, point) / <double>p.points
    make_phases(&layout.x, &layout.y, layout.w.shape, window, itemsize, p.form, p.inputs)
    p.outputs = make_tiles(&layout.y, &layout.y, window, itemsize, p.form, False)
    cut_off(&p.outputs, &layout.y)
    p.tiles = p.outputs.count
    p.x_group = layout.x.strides[1] // itemsize
    p.y_group = layout.y.strides[1] // itemsize
    size_blocks(&p, itemsize, layout.prepared, threads)
    p.threads = min(<Py_ssize_t>threads,
                    p.groups * p.chunks if p.keeps_u else p.panels * p.held)
    return p


def prepare(const floating[:, :, :, :, :, :] w, tuple stride, floating[::1] u=None):
    """Write U of weights (G, K, C, T, R, S) into `u`, unless that is None; return its size.

    Where kernels are transformed only when they are used, it has no number.
    """
    cdef Product p
    cdef Operands o
    cdef Context context
    cdef Jobs jobs
    cdef int axis
    cdef Window window = make_window(stride, (0, 0, 0), (1, 1, 1))
    for axis in range(6):
        o.layout.w.shape[axis], o.layout.w.strides[axis] = w.shape[axis], w.strides[axis]
    size_weights(&p, &o.layout.w, &window, sizeof(floating))
    if u is not None:
        p.ready, o.layout.itemsize, o.prepared = True, sizeof(floating), <char*>&u[0]
        context.plan, context.o = &p, &o
        jobs.threads = threads_for(100.0 * w.shape[0] * w.shape[1] * w.shape[2])
        jobs.count = 0
        with nogil:
            add_job(&jobs, &context, keep_u[float], keep_u[double], keep_cost,
                    &w[0, 0, 0, 0, 0, 0], kept_tasks(&p))
            run_jobs(&jobs)
    return kept_numbers(&p)


cdef class Correlation(TileKernel):
    """The correlation with kernels whose terms there is a form of tiles for.

    `prepared` is what `prepare` made of the weights.
    """

    cdef Product product

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Product* p = &self.product
        p[0] = make_product(layout, &self.window, threads)
        self.ends = True
        self.team = p.threads
        self.largest[1] = ceil_div(ceil_div(p.rows, p.lanes), p.panels) * p.lanes
        self.largest[0] = min(max_pixels(layout.itemsize, self.largest[1] // p.lanes), p.chunk)
        return p.threads_at + p.threads * p.thread_bytes

    cdef void share(self, Context* context, Jobs* jobs) noexcept nogil:
        cdef const Product* p = &self.product
        cdef Py_ssize_t* at = <Py_ssize_t*>(context.shared + p.steps_at)
        cdef char* bias = context.shared + p.bias_at
        cdef const char* w = context.o.w
        cdef Py_ssize_t tasks = p.terms * ceil_div(p.channels, p.v_vectors * p.lanes), i, g, chunk
        context.plan = p
        # Where the channels of a tile lie in V; and the bias of whole panels.
        for i in range(p.depth):
            at[i] = i // p.lanes * p.v_vector + i % p.lanes
        memset(bias, 0, p.groups * p.panels * p.width * context.o.layout.itemsize)
        copy_bias(context.o, p.panels * p.width, bias)
        if p.keeps_u:
            if not p.ready:
                add_job(jobs, context, keep_u[float], keep_u[double], keep_cost, w, kept_tasks(p))
            add_job(jobs, context, compute_chunk[float], compute_chunk[double], chunk_cost,
                    context.o.x, p.groups * p.chunks)
            return
        for g in range(p.groups):
            for chunk from 0 <= chunk < p.chunks by p.held:
                context.group, context.first, i = g, chunk, pass_chunks(p, chunk)
                add_job(jobs, context, hold_v[float], hold_v[double], hold_cost, context.o.x,
                        i * tasks)
                add_job(jobs, context, use_v[float], use_v[double], use_cost, w, p.panels * i)
