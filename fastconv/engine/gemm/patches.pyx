# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The callers in fastconv.functional have compared every shape with the geometry.
"""The engine's input gradient for kernels that move by their own size: patches, side by side.

Each number of the gradient then belongs to one pixel of the residual and one tap, as in transposed
convolutions that enlarge a map. All taps of a pixel are one product of matrices:

    patches[(c, t, r, s), pixel] = sum over k of w[k, c, t, r, s] * residual[k, pixel]

Phase by phase (phases.pyx), the residual would be packed for each tap anew, and each cache line of
the gradient written once for each column of taps. Here the rows of A are the weights as they lie in
memory, and the columns of a *line*, (c, t, r), leave together:

    tile   s = 0 | a b c d |        gradient, row (t, r) of the patches of c
           s = 1 | A B C D |   ->   | a A b B c C d D |

Lines are taken in *bundles* whose rows fill whole tiles, as far as that is possible, and pixels in
*stretches*, so that what waits to leave stays in the first-level cache. Each number is the sum of
the same steps, cut at the same borders, as with pixels in the lanes.
"""

from cython cimport floating

from libc.string cimport memcpy

from fastconv.engine.base.arrays cimport Layout, Operands, in_elements
from fastconv.engine.base.axis cimport ceil_div
from fastconv.engine.base.cache_sizes cimport first_cache, second_cache
from fastconv.engine.base.costs cimport PACKED, TURNED, tiles_cost
from fastconv.engine.base.jobs cimport Context, Job, Jobs, add_job
from fastconv.engine.base.kernel cimport Kernel
from fastconv.engine.gemm.slab cimport (
    Run, Share, Split, Target, add_run, block_steps, even_share, find_share, join_columns, line_up,
    make_split, pack_columns, pack_rows, split_tasks)
from fastconv.engine.gemm.tile cimport MAX_ROWS, VECTORS, lanes, max_rows, run_tile

# The packed residual of a block of pixels, for all steps.
cdef Py_ssize_t BLOCK_BYTES = second_cache() * 5 // 8
# What waits to leave.
cdef Py_ssize_t STRETCH_BYTES = first_cache() // 4
# The most rows of a bundle that has several lines.
cdef Py_ssize_t BUNDLE_ROWS = 64


cdef struct Plan:
    Py_ssize_t batch, groups, steps                     # steps: output channels of a group
    Py_ssize_t channels, depths, rows, columns          # of a group; of a patch
    Py_ssize_t out_rows, out_columns                    # of the residual
    Py_ssize_t sample_pixels, pixels                    # of a sample, and of all
    Py_ssize_t y_strides[6]                             # of the gradient, in elements
    Py_ssize_t lanes, width, height                     # of a tile
    Py_ssize_t lines, bundle, bundles                   # all lines; those of a bundle; bundles
    Py_ssize_t bundle_panels                            # panels of the rows of a bundle
    Py_ssize_t block                                    # steps that are summed at once
    Py_ssize_t stretch                                  # panels of pixels in a stretch
    Py_ssize_t max_panels, panel_size, max_packs, max_outs
    Split split                                         # vectors of pixels, and bundles
    # The workspace: what all threads share, then one part for each.
    size_t a_at_at, b_at_at, weights_at_at, residual_at_at, bias_at, packed_a_at, threads_at
    size_t packed_b_at, sums_at, packs_at, outs_at, cuts_at, thread_bytes


cdef void size_bundles(Plan* p) noexcept nogil:
    """Choose the lines of a bundle: as few as fill whole tiles, or what comes near."""
    p.bundle = 1
    while p.bundle * p.columns % p.height and (p.bundle + 1) * p.columns <= BUNDLE_ROWS:
        p.bundle += 1
    p.bundle = min(p.bundle, p.lines)
    p.bundles = ceil_div(p.lines, p.bundle)
    p.bundle_panels = ceil_div(p.bundle * p.columns, p.height)


cdef Plan make_plan(const Layout* layout, int threads) noexcept nogil:
    """Return the plan for arrays of this layout, weights (G, C, K), with its workspace."""
    cdef Plan p
    cdef const Py_ssize_t* x = layout.x.shape
    cdef const Py_ssize_t* w = layout.w.shape
    cdef Py_ssize_t itemsize = layout.itemsize, blocks
    p.batch, p.groups, p.channels, p.steps = x[0], w[0], w[1], w[2]
    p.depths, p.rows, p.columns = w[3], w[4], w[5]
    p.out_rows, p.out_columns = x[4], x[5]
    p.sample_pixels = x[3] * x[4] * x[5]
    p.pixels = p.batch * p.sample_pixels
    in_elements(&layout.y, itemsize, p.y_strides)
    p.lanes = lanes(itemsize)
    p.width, p.height = VECTORS * p.lanes, max_rows(itemsize, VECTORS)
    p.lines = p.channels * p.depths * p.rows
    size_bundles(&p)
    p.block = ceil_div(p.steps, ceil_div(p.steps, block_steps(itemsize)))
    blocks = max(BLOCK_BYTES // (p.steps * itemsize * p.width), 1) * p.width
    p.split = make_split(p.groups, ceil_div(p.pixels, p.lanes), ceil_div(p.pixels, blocks),
                         p.bundles, threads, 0, <double>PACKED / (p.lines * p.columns))
    p.stretch = max(STRETCH_BYTES // (p.bundle * p.columns * p.width * itemsize), 1)
    p.max_panels = ceil_div(ceil_div(p.split.units, p.split.blocks), VECTORS) + 1
    # The last row of a panel may be written past its end.
    p.panel_size = p.steps * p.width + p.lanes
    p.max_packs = p.max_panels * min(p.width // p.sample_pixels + 2, p.width)
    p.max_outs = p.max_panels * min(p.width // p.out_columns + 2, p.width)
    p.a_at_at = 0
    p.b_at_at = p.a_at_at + line_up(p.block * sizeof(Py_ssize_t))
    p.weights_at_at = p.b_at_at + line_up(p.block * sizeof(Py_ssize_t))
    p.residual_at_at = p.weights_at_at + line_up(p.steps * sizeof(Py_ssize_t))
    p.bias_at = p.residual_at_at + line_up(p.steps * sizeof(Py_ssize_t))
    p.packed_a_at = p.bias_at + line_up(p.groups * p.lines * p.columns * itemsize)
    p.threads_at = p.packed_a_at + line_up(
        p.groups * p.bundles * p.bundle_panels * p.height * p.steps * itemsize)
    p.packed_b_at = 0
    p.sums_at = line_up(p.max_panels * p.panel_size * itemsize)
    # Up to a vector is read past the sums.
    p.packs_at = p.sums_at + line_up(
        (p.bundle * p.columns * p.stretch * p.width + p.lanes) * itemsize)
    p.outs_at = p.packs_at + line_up(p.max_packs * sizeof(Run))
    p.cuts_at = p.outs_at + line_up(p.max_outs * sizeof(Run))
    p.thread_bytes = p.cuts_at + line_up((p.max_panels + 1) * sizeof(Py_ssize_t))
    return p


cdef inline Py_ssize_t bundle_lines(const Plan* p, Py_ssize_t bundle) noexcept nogil:
    """Return the lines of a bundle: the last one may have fewer."""
    return min(p.bundle, p.lines - bundle * p.bundle)


cdef void pack_bundle(const floating* w, const Context* context, Py_ssize_t task,
                      int thread) noexcept nogil:
    """Pack the weights of a bundle: for each panel and step, the rows of A side by side."""
    cdef const Plan* p = <const Plan*>context.plan
    cdef const Py_ssize_t* at = <const Py_ssize_t*>(context.shared + p.weights_at_at)
    cdef Py_ssize_t bundle = task % p.bundles, rows = bundle_lines(p, bundle) * p.columns
    cdef Py_ssize_t panels = ceil_div(rows, p.height), panel, row
    cdef floating* packed = (<floating*>(context.shared + p.packed_a_at)
                             + task * p.bundle_panels * p.height * p.steps)
    w += (task // p.bundles * p.steps * p.lines + bundle * p.bundle) * p.columns
    for panel in range(panels):
        row = even_share(panel, rows, panels)
        pack_rows(w + row, 1, even_share(panel + 1, rows, panels) - row, at, p.steps, p.height,
                  packed)
        packed += p.height * p.steps


cdef double pack_cost(void* job, Py_ssize_t task) noexcept nogil:
    """Return what a call of pack_bundle costs."""
    cdef const Plan* p = <const Plan*>(<const Job*>job).context.plan
    return <double>TURNED * bundle_lines(p, task % p.bundles) * p.columns * p.steps


cdef void list_packs(const Plan* p, Py_ssize_t g, Py_ssize_t pixel, Py_ssize_t vectors,
                     Py_ssize_t panels, Run* packs, Py_ssize_t* count) noexcept nogil:
    """List where the pixels of each panel of a block come from, and where they go."""
    cdef Py_ssize_t panel, first, at, number, end, n, position
    count[0] = 0
    for panel in range(panels):
        first = pixel + even_share(panel, vectors, panels) * p.lanes
        end = min(pixel + even_share(panel + 1, vectors, panels) * p.lanes, p.pixels)
        position = panel * p.panel_size
        while first < end:
            n = first // p.sample_pixels
            at = first - n * p.sample_pixels
            number = min(p.sample_pixels - at, end - first)
            count[0] = add_run(packs, count[0], position, number,
                               (n * p.groups + g) * p.steps * p.sample_pixels + at, 1)
            position += number
            first += number


cdef Py_ssize_t list_outs(const Plan* p, Py_ssize_t pixel, Py_ssize_t end,
                          Run* outs) noexcept nogil:
    """List where some pixels' patches of the first line lie; return the number of runs."""
    cdef Py_ssize_t first = 0, count = 0, column, row, depth, n, number
    while pixel < end:
        row = pixel // p.out_columns
        column = pixel - row * p.out_columns
        depth = row // p.out_rows
        row -= depth * p.out_rows
        n = depth // (p.sample_pixels // (p.out_rows * p.out_columns))
        depth -= n * (p.sample_pixels // (p.out_rows * p.out_columns))
        number = min(p.out_columns - column, end - pixel)
        outs[count].first, outs[count].count, outs[count].step = first, number, p.y_strides[5]
        outs[count].at = (n * p.y_strides[0] + depth * p.depths * p.y_strides[3]
                          + row * p.rows * p.y_strides[4]
                          + column * p.columns * p.y_strides[5])
        count += 1
        first += number
        pixel += number
    return count


cdef void multiply_bundle(const Plan* p, const Context* context, Py_ssize_t g, Py_ssize_t bundle,
                          Py_ssize_t vectors, Py_ssize_t panels, Py_ssize_t first,
                          Py_ssize_t past, const floating* packed_b,
                          floating* sums) noexcept nogil:
    """Compute the sums of a bundle for the panels of pixels from `first` on, before `past`."""
    cdef const char* shared = context.shared
    cdef const Py_ssize_t* a_at = <const Py_ssize_t*>(shared + p.a_at_at)
    cdef const Py_ssize_t* b_at = <const Py_ssize_t*>(shared + p.b_at_at)
    cdef const floating* packed_a = (
        <const floating*>(shared + p.packed_a_at)
        + (g * p.bundles + bundle) * p.bundle_panels * p.height * p.steps)
    cdef const floating* bias = (<const floating*>(shared + p.bias_at)
                                 + (g * p.lines + bundle * p.bundle) * p.columns)
    cdef Py_ssize_t rows = bundle_lines(p, bundle) * p.columns, heights = ceil_div(rows, p.height)
    cdef Py_ssize_t at = even_share(first, vectors, panels), step, i, j, row, count, vector
    cdef const floating* a[MAX_ROWS]
    cdef Run run
    cdef Target target
    run.first, run.at, run.step = 0, 0, 1
    target.runs, target.n_runs, target.row = &run, 1, p.stretch * p.width
    target.column_bias = target.ending = NULL
    target.a_ahead = 0
    for step from 0 <= step < p.steps by p.block:
        target.accumulate = step > 0
        for i in range(heights):
            row = even_share(i, rows, heights)
            count = even_share(i + 1, rows, heights) - row
            for j in range(count):
                a[j] = packed_a + (i * p.steps + step) * p.height + j
            target.row_bias = NULL
            if context.o.bias is not NULL and step + p.block >= p.steps:
                target.row_bias = bias + row
            for j in range(first, past):
                vector = even_share(j, vectors, panels)
                run.count = (even_share(j + 1, vectors, panels) - vector) * p.lanes
                target.c = sums + row * target.row + (vector - at) * p.lanes
                run_tile(count, run.count // p.lanes, a, a_at,
                         packed_b + j * p.panel_size + step * p.width, b_at,
                         min(p.block, p.steps - step), &target)


cdef void multiply_block(const floating* x, const Context* context, Py_ssize_t task,
                         int thread) noexcept nogil:
    """Compute a task: some bundles for a block of pixels."""
    cdef const Plan* p = <const Plan*>context.plan
    cdef char* own = context.shared + p.threads_at + thread * p.thread_bytes
    cdef Share share = find_share(&p.split, task)
    cdef Py_ssize_t g = share.copy, pixel = share.unit * p.lanes, end
    cdef Py_ssize_t vectors = share.past_unit - share.unit, panels = ceil_div(vectors, VECTORS)
    cdef Py_ssize_t bundle, first, past, n_packs, line, i, at
    cdef floating* y = <floating*>context.o.y + g * p.y_strides[1]
    cdef floating* packed_b = <floating*>(own + p.packed_b_at)
    cdef floating* sums = <floating*>(own + p.sums_at)
    cdef Run* packs = <Run*>(own + p.packs_at)
    cdef Run* outs = <Run*>(own + p.outs_at)
    cdef Py_ssize_t* cuts = <Py_ssize_t*>(own + p.cuts_at)
    list_packs(p, g, pixel, vectors, panels, packs, &n_packs)
    pack_columns(x, <const Py_ssize_t*>(context.shared + p.residual_at_at), p.steps, packs, n_packs,
                 False, p.width, packed_b)
    cuts[0] = 0
    for i in range(ceil_div(panels, p.stretch)):
        first = pixel + even_share(i * p.stretch, vectors, panels) * p.lanes
        end = min(pixel + even_share(min((i + 1) * p.stretch, panels), vectors, panels) * p.lanes,
                  p.pixels)
        cuts[i + 1] = cuts[i] + list_outs(p, first, end, outs + cuts[i])
    for bundle in range(share.panel, share.past_panel):
        for i in range(ceil_div(panels, p.stretch)):
            first = i * p.stretch
            past = min(first + p.stretch, panels)
            multiply_bundle(p, context, g, bundle, vectors, panels, first, past,
                            <const floating*>packed_b, sums)
            for line in range(bundle_lines(p, bundle)):
                at = bundle * p.bundle + line
                join_columns(
                    <const floating*>sums + line * p.columns * p.stretch * p.width,
                    p.stretch * p.width, p.columns, outs + cuts[i], cuts[i + 1] - cuts[i],
                    y + at % p.rows * p.y_strides[4] + at // p.rows % p.depths * p.y_strides[3]
                    + at // p.rows // p.depths * p.y_strides[2])


cdef double block_cost(void* job, Py_ssize_t task) noexcept nogil:
    """Return what a call of multiply_block costs."""
    cdef const Plan* p = <const Plan*>(<const Job*>job).context.plan
    cdef Share share = find_share(&p.split, task)
    cdef Py_ssize_t vectors = share.past_unit - share.unit, pixels = vectors * p.lanes
    cdef Py_ssize_t panels = ceil_div(vectors, VECTORS), rows, step, j
    cdef double cost = <double>PACKED * p.steps * pixels
    rows = (min(share.past_panel * p.bundle, p.lines) - share.panel * p.bundle) * p.columns
    for step from 0 <= step < p.steps by p.block:
        for j in range(panels):
            cost += tiles_cost(
                rows, p.height,
                even_share(j + 1, vectors, panels) - even_share(j, vectors, panels), p.lanes,
                min(p.block, p.steps - step))
    return cost + <double>PACKED * rows * pixels


cdef class InputGradient(Kernel):
    """The input gradient of contiguous residuals and kernels, in patches that cover the gradient.

    y[n,g,c,p*size + tap] = bias[g,c] + sum over k of w[g,k,c,tap] * residual[n,g,k,p], where `size`
    is that of the kernel, on three axes. None may be empty. The gradient may have any strides.
    """

    cdef Plan kept

    def __init__(self):
        self.variant = "patches"

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Plan* p = &self.kept
        p[0] = make_plan(layout, threads)
        self.team = min(<Py_ssize_t>threads, split_tasks(&p.split))
        self.largest[0] = min(p.height, p.bundle * p.columns)
        self.largest[1] = p.width
        return p.threads_at + self.team * p.thread_bytes

    cdef void share(self, Context* context, Jobs* jobs) noexcept nogil:
        cdef const Plan* p = &self.kept
        cdef const Operands* o = context.o
        cdef char* shared = context.shared
        cdef char* bias = shared + p.bias_at
        cdef Py_ssize_t i, itemsize = o.layout.itemsize, taps = p.depths * p.rows * p.columns
        for i in range(p.steps):
            (<Py_ssize_t*>(shared + p.weights_at_at))[i] = i * p.lines * p.columns
            (<Py_ssize_t*>(shared + p.residual_at_at))[i] = i * p.sample_pixels
        for i in range(p.block):
            (<Py_ssize_t*>(shared + p.a_at_at))[i] = i * p.height
            (<Py_ssize_t*>(shared + p.b_at_at))[i] = i * p.width
        for i in range(0 if o.bias is NULL else p.groups * p.lines * p.columns):
            memcpy(bias + i * itemsize,
                   o.bias + (i // taps // p.channels * o.bias_group
                             + i // taps % p.channels * o.bias_row) * itemsize, itemsize)
        context.plan = p
        add_job(jobs, context, pack_bundle[float], pack_bundle[double], pack_cost, o.w,
                p.groups * p.bundles)
        add_job(jobs, context, multiply_block[float], multiply_block[double], block_cost, o.x,
                split_tasks(&p.split))
