# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The callers in fastconv.functional have compared every shape with the geometry.
"""The engine's input gradient for small maps with large weights: products first, sums later.

As a correlation with rotated kernels, phase by phase, it would read all weights once for each
phase, in an order for which they must be packed as a whole: with few pixels that takes as long as
the products. Here the weights are read once, as they lie in memory, and used at once:

    products[pixel, tap, channel] = sum over k of residual[k, pixel] * w[k, channel, tap]
    gradient[position(pixel, tap), channel] += products[pixel, tap, channel]

A vector of input channels with all their taps is a task. Its weights are transposed in registers,
and packed in panels of two taps:

                  channels ->       channels ->
    pixels    |  s s s s (tap 0)   s s s s (tap 1)        s += residual[k, pixel] * w[k, tap, lane]
      v       |  s s s s           s s s s

The pixels of some samples lie in one row, packed into tiles of up to 14. The sums over k are cut at
borders that the shape of the weights sets, and each position adds its taps in the order of the
panels: the bits depend neither on the batch nor on the threads.
"""

from cython cimport floating

from libc.string cimport memset

from fastconv.engine.base.arrays cimport Layout, Operands
from fastconv.engine.base.axis cimport ceil_div
from fastconv.engine.base.cache_sizes cimport first_cache, second_cache
from fastconv.engine.base.costs cimport COPIED, PACKED, TURNED, tiles_cost
from fastconv.engine.base.threads cimport Phase, weighed_phase
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.base.kernel cimport Kernel, record
from fastconv.engine.gemm.correlation cimport Context, Job, copy_bias, run_job
from fastconv.engine.gemm.slab cimport (
    Run, add_run, add_vectors, block_steps, line_up, pack_columns, pack_taps, store_pixels)
from fastconv.engine.gemm.tile cimport Pixels, lanes, max_pixels, run_pixels

# Vectors of a panel: taps of the same channels.
cdef enum:
    WIDTH = 2
# The packed residual of a pass, for all threads; and that of a block of samples, with its products,
# which stays in the second-level cache beside the weights of a task.
cdef Py_ssize_t PASS_BYTES = 1 << 21
cdef Py_ssize_t BLOCK_BYTES = second_cache() * 3 // 8
# The part of a panel that all tiles of a block read from the first-level cache; outputs.pyx says
# why it is no larger.
cdef Py_ssize_t NEAR_BYTES = min(first_cache() // 2, 1 << 14)


cdef struct Plan:
    Py_ssize_t batch, groups, steps, channels, taps     # steps: output channels of a group
    Py_ssize_t pixels, cells                            # of a sample's residual and gradient
    Py_ssize_t y_strides[3]                             # of the gradient (N, G, C), in elements
    Py_ssize_t lanes, height                            # of a tile
    Py_ssize_t vectors                                  # of input channels
    Py_ssize_t block, near_steps                        # steps that are summed at once; of a part
    Py_ssize_t samples, tiles                           # of a block of samples
    Py_ssize_t blocks                                   # of a pass
    Py_ssize_t group, sample                            # of the pass: its group, and first sample
    # The workspace: what all threads share, then one part for each.
    size_t places_at, residual_at_at, packed_at_at, bias_at, packed_at, threads_at
    size_t weights_at, near_at, products_at, sums_at, runs_at, tiles_at, thread_bytes


cdef Plan make_plan(const Py_ssize_t* residual, const Py_ssize_t* w, const Py_ssize_t* y,
                    const Py_ssize_t* y_strides, Py_ssize_t itemsize) noexcept nogil:
    """Return the plan for arrays of these shapes, weights (G, C, K), with its workspace."""
    cdef Plan p
    cdef Py_ssize_t i
    p.batch, p.groups, p.channels, p.steps = residual[0], w[0], w[1], w[2]
    p.taps = w[3] * w[4] * w[5]
    p.pixels = residual[3] * residual[4] * residual[5]
    p.cells = y[3] * y[4] * y[5]
    for i in range(3):
        p.y_strides[i] = y_strides[i] // itemsize
    p.lanes, p.height = lanes(itemsize), max_pixels(itemsize, WIDTH)
    p.vectors = ceil_div(p.channels, p.lanes)
    p.block = ceil_div(p.steps, ceil_div(p.steps, block_steps(itemsize)))
    p.near_steps = min(max(NEAR_BYTES // (WIDTH * p.lanes * itemsize), 1), p.block)
    p.samples = min(max(BLOCK_BYTES // (p.pixels * (p.steps + p.taps * p.lanes) * itemsize), 1),
                    p.batch)
    p.samples = ceil_div(p.batch, ceil_div(p.batch, p.samples))
    p.tiles = ceil_div(p.samples * p.pixels, p.height)
    p.blocks = min(max(PASS_BYTES // (p.tiles * p.height * p.steps * itemsize), 1),
                   ceil_div(p.batch, p.samples))
    p.places_at = 0
    p.residual_at_at = p.places_at + line_up(p.pixels * p.taps * sizeof(Py_ssize_t))
    p.packed_at_at = p.residual_at_at + line_up(p.steps * sizeof(Py_ssize_t))
    p.bias_at = p.packed_at_at + line_up(p.steps * sizeof(Py_ssize_t))
    p.packed_at = p.bias_at + line_up(p.groups * p.vectors * p.lanes * itemsize)
    p.threads_at = p.packed_at + line_up(p.blocks * p.tiles * p.height * p.steps * itemsize)
    p.weights_at = 0
    p.near_at = p.weights_at + line_up(p.taps * p.block * p.lanes * itemsize)
    p.products_at = p.near_at + line_up(p.samples * p.pixels * WIDTH * p.lanes * itemsize)
    p.sums_at = p.products_at + line_up(p.samples * p.pixels * p.taps * p.lanes * itemsize)
    p.runs_at = p.sums_at + line_up(p.cells * p.lanes * itemsize)
    p.tiles_at = p.runs_at + line_up(p.height * sizeof(Run))
    p.thread_bytes = p.tiles_at + line_up(p.tiles * sizeof(Pixels))
    return p


cdef void list_places(const Plan* p, const Py_ssize_t* out, const Py_ssize_t* kernel,
                      const Py_ssize_t* size, tuple stride, tuple before, tuple dilation,
                      Py_ssize_t* places):
    """Write where the products of a sample's panels belong in the sums of its gradient."""
    cdef Py_ssize_t s[3]
    cdef Py_ssize_t b[3]
    cdef Py_ssize_t d[3]
    cdef Py_ssize_t first, tap, pixel, axis, rest, left, position, cell, number, i = 0
    cdef bint inside
    for axis in range(3):
        s[axis], b[axis], d[axis] = stride[axis], before[axis], dilation[axis]
    for first from 0 <= first < p.taps by WIDTH:
        for pixel in range(p.pixels):
            for tap in range(first, min(first + WIDTH, p.taps)):
                cell, number, rest, left, inside = 0, 1, pixel, tap, True
                for axis in range(2, -1, -1):
                    position = (rest % out[axis] * s[axis] + left % kernel[axis] * d[axis]
                                - b[axis])
                    if 0 <= position < size[axis]:
                        cell += number * position
                    else:
                        inside = False
                    number *= size[axis]
                    rest //= out[axis]
                    left //= kernel[axis]
                places[i] = cell * p.lanes if inside else -1
                i += 1


cdef inline Py_ssize_t block_samples(const Plan* p, Py_ssize_t sample) noexcept nogil:
    """Return the samples of the block that begins with this one."""
    return min(p.samples, p.batch - sample)


cdef void pack_tile(const floating* residual, const Context* context, Py_ssize_t task,
                    int thread) noexcept nogil:
    """Pack the pixels of one tile of a block of samples: for each step side by side."""
    cdef const Plan* p = <const Plan*>context.plan
    cdef const Py_ssize_t* at = <const Py_ssize_t*>(context.shared + p.residual_at_at)
    cdef floating* packed = <floating*>(context.shared + p.packed_at) + task * p.height * p.steps
    cdef Run* runs = <Run*>(context.shared + p.threads_at + thread * p.thread_bytes + p.runs_at)
    cdef Py_ssize_t sample = p.sample + task // p.tiles * p.samples, tile = task % p.tiles
    cdef Py_ssize_t pixels = block_samples(p, sample) * p.pixels
    cdef Py_ssize_t count = ceil_div(pixels, p.height), n_runs = 0, first, end, pixel, n, number
    # The last pass may have fewer blocks, and the last block fewer tiles.
    if sample >= p.batch or tile >= count:
        return
    first, end = tile * pixels // count, (tile + 1) * pixels // count
    pixel = first
    while pixel < end:
        n = pixel // p.pixels
        number = min((n + 1) * p.pixels, end) - pixel
        n_runs = add_run(
            runs, n_runs, pixel - first, number,
            ((sample + n) * p.groups + p.group) * p.steps * p.pixels
            + pixel - n * p.pixels, 1)
        pixel += number
    pack_columns(residual, at, p.steps, runs, n_runs, False, p.height, packed)


cdef double tile_pixels_cost(void* job, Py_ssize_t task) noexcept nogil:
    """Return what a call of pack_tile costs."""
    cdef const Plan* p = <const Plan*>(<const Job*>job).context.plan
    cdef Py_ssize_t sample = p.sample + task // p.tiles * p.samples, tile = task % p.tiles
    cdef Py_ssize_t pixels = block_samples(p, sample) * p.pixels, count = ceil_div(pixels, p.height)
    if sample >= p.batch or tile >= count:
        return 0
    return <double>PACKED * p.steps * ((tile + 1) * pixels // count - tile * pixels // count)


cdef double channels_cost(void* job, Py_ssize_t vector) noexcept nogil:
    """Return what a call of compute_channels costs."""
    cdef const Plan* p = <const Plan*>(<const Job*>job).context.plan
    cdef Py_ssize_t block, sample, samples, step, steps, pixels
    cdef double cost = 0
    for block in range(p.blocks):
        sample = p.sample + block * p.samples
        if sample >= p.batch:
            break
        samples = block_samples(p, sample)
        pixels = samples * p.pixels
        for step from 0 <= step < p.steps by p.block:
            steps = min(p.block, p.steps - step)
            if block == 0 or steps < p.steps:
                cost += <double>TURNED * steps * p.taps * p.lanes
            cost += (p.taps // WIDTH) * tiles_cost(pixels, p.height, WIDTH, p.lanes, steps)
            if p.taps % WIDTH:
                cost += tiles_cost(pixels, p.height, p.taps % WIDTH, p.lanes, steps)
        cost += <double>COPIED * p.lanes * (pixels * p.taps + samples * p.cells)
    return cost


cdef void compute_channels(const floating* w, const Context* context, Py_ssize_t vector,
                           int thread) noexcept nogil:
    """Compute the gradient of a vector of channels for one pass."""
    cdef const Plan* p = <const Plan*>context.plan
    cdef Py_ssize_t g = p.group
    cdef floating* y = <floating*>context.o.y
    cdef char* shared = context.shared
    cdef char* own = shared + p.threads_at + thread * p.thread_bytes
    cdef const Py_ssize_t* places = <const Py_ssize_t*>(shared + p.places_at)
    cdef const Py_ssize_t* at = <const Py_ssize_t*>(shared + p.packed_at_at)
    cdef const floating* packed
    cdef const floating* bias = NULL
    cdef floating* weights = <floating*>(own + p.weights_at)
    cdef floating* near_sums = <floating*>(own + p.near_at)
    cdef floating* products = <floating*>(own + p.products_at)
    cdef floating* sums = <floating*>(own + p.sums_at)
    cdef Pixels* tiles = <Pixels*>(own + p.tiles_at)
    cdef Py_ssize_t channel = vector * p.lanes, channels = min(p.lanes, p.channels - channel)
    cdef Py_ssize_t row = p.channels * p.taps, step, steps, sample, samples, block, tap, width, n
    cdef Py_ssize_t count
    if context.o.bias is not NULL:
        bias = <const floating*>(shared + p.bias_at) + g * p.vectors * p.lanes + channel
    for block in range(p.blocks):
        sample = p.sample + block * p.samples
        if sample >= p.batch:
            return
        samples = block_samples(p, sample)
        packed = <const floating*>(shared + p.packed_at) + block * p.tiles * p.height * p.steps
        count = ceil_div(samples * p.pixels, p.height)
        for n in range(count):
            tiles[n].first = n * samples * p.pixels // count
            tiles[n].count = (n + 1) * samples * p.pixels // count - tiles[n].first
            tiles[n].at = n * p.height * p.steps
        for step from 0 <= step < p.steps by p.block:
            steps = min(p.block, p.steps - step)
            if block == 0 or steps < p.steps:
                pack_taps(w + (g * p.steps + step) * row + channel * p.taps, row, steps, channels,
                          p.taps, weights)
            for tap from 0 <= tap < p.taps by WIDTH:
                width = min(<Py_ssize_t>WIDTH, p.taps - tap)
                run_pixels(tiles, count, width, 1, packed + step * p.height, at,
                           <const floating*>weights + tap * steps * p.lanes, steps, p.near_steps,
                           near_sums, products + tap * samples * p.pixels * p.lanes, step > 0)
        for n in range(samples):
            memset(sums, 0, p.cells * p.lanes * sizeof(floating))
            for tap from 0 <= tap < p.taps by WIDTH:
                width = min(<Py_ssize_t>WIDTH, p.taps - tap)
                add_vectors(
                    <const floating*>products + (tap * samples + n * width) * p.pixels * p.lanes,
                    places + tap * p.pixels, p.pixels * width, sums)
            store_pixels(<const floating*>sums, p.lanes, p.cells, channels, bias,
                         y + (sample + n) * p.y_strides[0] + g * p.y_strides[1]
                         + channel * p.y_strides[2], p.y_strides[2], 1, NULL)


cdef class InputGradient(Kernel):
    """The input gradient of contiguous residuals and kernels; the gradient's maps are contiguous.

    y[n,g,c,i] = bias[g,c] + sum over k, tap, p of w[g,k,c,tap] * residual[n,g,k,p], where
    p*stride + tap*dilation - before = i. None may be empty. Stride, padding before and dilation are
    of three axes.
    """

    cdef tuple stride, before, dilation
    cdef Plan kept

    def __init__(self, tuple stride, tuple before, tuple dilation):
        self.stride, self.before, self.dilation = stride, before, dilation

    cdef size_t plan(self, const Layout* layout, int threads) except? 0:
        cdef Plan* p = &self.kept
        p[0] = make_plan(layout.x.shape, layout.w.shape, layout.y.shape, layout.y.strides,
                         layout.itemsize)
        self.team = min(<Py_ssize_t>threads, p.vectors)
        self.largest[0], self.largest[1] = p.height, WIDTH * p.lanes
        return p.threads_at + self.team * p.thread_bytes

    cdef int compute(self, const Operands* o, size_t bytes) except -1:
        cdef Plan p = self.kept
        cdef const Layout* layout = &o.layout
        cdef Py_ssize_t i, g, sample
        cdef char* shared = <char*>take(bytes)
        cdef Context context
        cdef Job[2] jobs
        cdef Phase[2] phases
        record("products first", self.largest[0], self.largest[1])
        list_places(&p, layout.x.shape + 3, layout.w.shape + 3, layout.y.shape + 3, self.stride,
                    self.before, self.dilation, <Py_ssize_t*>(shared + p.places_at))
        for i in range(p.steps):
            (<Py_ssize_t*>(shared + p.residual_at_at))[i] = i * p.pixels
            (<Py_ssize_t*>(shared + p.packed_at_at))[i] = i * p.height
        copy_bias(o, p.vectors * p.lanes, shared + p.bias_at)
        context.plan, context.o, context.shared = &p, o, shared
        jobs[0] = Job(pack_tile[float], pack_tile[double], o.x, &context)
        jobs[1] = Job(compute_channels[float], compute_channels[double], o.w, &context)
        phases[0] = weighed_phase(run_job, tile_pixels_cost, &jobs[0], p.blocks * p.tiles)
        phases[1] = weighed_phase(run_job, channels_cost, &jobs[1], p.vectors)
        for sample from 0 <= sample < p.batch by p.blocks * p.samples:
            for g in range(p.groups):
                p.group, p.sample = g, sample
                self.run_phases(phases, 2)
        give(shared)
        return 0
