# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""Convolution as plain compiled loops (the algorithm "direct").

Arrays have six axes, with the channels split by group:

    input   x   (N, G, C, D, H, W)
    weight  w   (G, K, C, T, R, S)
    output  y   (N, G, K, OD, OH, OW)

Any strides will do, negative ones too: turned kernels, phases and transposed matrices are views.
Positions outside the input count as zeros, so that padding is only the place where the windows
begin (`before`); it may be negative, which crops.

Both kernels walk over *units*: a block of output rows and columns of one sample, group and depth.
The input that a unit needs is copied into a slab, with the zeros of the padding in place and the
columns and rows of a stride separated by phase, so that in the slab every tap of the kernel is one
constant shift:

    slab[c, t][row phase][column phase][rows][width]      shift(c, t, r, s)

The pixels of a unit then lie flat behind each other; the few positions between the end of one
output row and the start of the next are computed and dropped. The one inner loop is the register
tile of csrc/tile.h: MR x NV running sums, each the sum over a list of steps of one number times NV
neighbours. MR is the same everywhere; NV depends on the instruction set.
"""

import os

from cpython.pyport cimport PY_SSIZE_T_MAX
from cython cimport floating
from cython.parallel cimport parallel, prange, threadid
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from fastconv._threads cimport flush_denormals, restore_denormals, threads_for

cdef extern from "csrc/isa.h" nogil:
    enum:
        MR "FASTCONV_MR"
        ISAS "FASTCONV_ISAS"
    ctypedef void (*tile_f)(const float** a, const Py_ssize_t* a_steps, const float* b,
                            const Py_ssize_t* b_steps, Py_ssize_t steps, float* sums,
                            Py_ssize_t width) noexcept nogil
    ctypedef void (*tile_d)(const double** a, const Py_ssize_t* a_steps, const double* b,
                            const Py_ssize_t* b_steps, Py_ssize_t steps, double* sums,
                            Py_ssize_t width) noexcept nogil
    ctypedef struct Isa "fastconv_isa":
        const char* name
        bint (*runs)() noexcept nogil
        int wide_bytes, narrow_bytes
        tile_f wide_f, narrow_f
        tile_d wide_d, narrow_d
    const Isa[] isas "fastconv_isas"

# A slab of this many bytes shares a core's second-level cache (512 KB and more) with the weights.
cdef Py_ssize_t SLAB_BYTES = 196608
# Pixels of a unit in the weight gradient: the packed residual (NV numbers a pixel) fits in the
# first-level cache, and no running sum is longer.
cdef Py_ssize_t MAX_UNIT_PIXELS = 768
# Partial sums of the weight gradient: at most this many, in at most about this many bytes.
cdef Py_ssize_t MAX_CHUNKS = 16
cdef Py_ssize_t PARTIAL_BYTES = 1 << 25

# The row of the table of instruction sets that the kernels use.
cdef int _row = 0


def isa():
    """Return the name of the instruction set that the kernels use.

    The best that the CPU has, or the one that the environment variable FASTCONV_ISA named when
    fastconv was imported.

    Returns
    -------
    str
        "avx512", "avx2" (with FMA), or "portable", which is what every CPU of the architecture has.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.isa() in ("avx512", "avx2", "portable")
    True
    """
    return isas[_row].name.decode()


def _choose_isa():
    """Set the row that FASTCONV_ISA names, else the first that runs."""
    global _row
    cdef int row
    runs = {isas[row].name.decode(): row for row in range(ISAS) if isas[row].runs()}
    name = os.environ.get("FASTCONV_ISA") or next(iter(runs))
    if name not in runs:
        known = [isas[row].name.decode() for row in range(ISAS)]
        reason = "this CPU cannot run it" if name in known else "there is no such instruction set"
        raise ValueError(
            f"FASTCONV_ISA={name}: {reason}; this CPU runs {', '.join(map(repr, runs))}")
    _row = runs[name]


_choose_isa()


cdef struct Axis:
    Py_ssize_t size         # of the input
    Py_ssize_t out          # of the output
    Py_ssize_t taps
    Py_ssize_t stride
    Py_ssize_t before
    Py_ssize_t dilation
    Py_ssize_t phases       # different values of (tap * dilation) % stride


cdef struct Plan:
    Axis depth
    Axis row
    Axis column
    Py_ssize_t batch, groups, in_channels, out_channels
    Py_ssize_t steps                        # taps of all channels: C * T * R * S
    Py_ssize_t rows, columns                # output rows and columns of a unit
    Py_ssize_t row_blocks, column_blocks    # units of one sample, group and depth
    Py_ssize_t slab_rows, slab_width, slab_plane, slab_size
    Py_ssize_t nv                           # neighbours of a tile


cdef struct Unit:
    Py_ssize_t n, g, od, oh, ow             # where it begins
    Py_ssize_t rows, columns                # fewer at the end of the output


cdef Axis make_axis(Py_ssize_t size, Py_ssize_t out, Py_ssize_t taps, Py_ssize_t stride,
                    Py_ssize_t before, Py_ssize_t dilation) noexcept nogil:
    cdef Axis axis
    cdef Py_ssize_t tap = 1
    axis.size = size
    axis.out = out
    axis.taps = taps
    axis.stride = stride
    axis.before = before
    axis.dilation = dilation
    # The phases (tap * dilation) % stride repeat once one comes back to zero.
    while tap < taps and (tap * dilation) % stride:
        tap += 1
    axis.phases = tap
    return axis


cdef Plan make_plan(const Py_ssize_t* x, const Py_ssize_t* w, const Py_ssize_t* y, tuple stride,
                    tuple before, tuple dilation, Py_ssize_t nv):
    """Return the plan for arrays of these shapes; `size_units` completes it."""
    cdef Plan plan
    plan.batch, plan.groups, plan.in_channels = x[0], x[1], x[2]
    plan.out_channels = y[2]
    plan.depth = make_axis(x[3], y[3], w[3], stride[0], before[0], dilation[0])
    plan.row = make_axis(x[4], y[4], w[4], stride[1], before[1], dilation[1])
    plan.column = make_axis(x[5], y[5], w[5], stride[2], before[2], dilation[2])
    plan.steps = w[2] * w[3] * w[4] * w[5]
    plan.nv = nv
    return plan


cdef inline Py_ssize_t reach(const Axis* axis) noexcept nogil:
    """How many positions of one phase the last tap lies beyond the first."""
    return (axis.taps - 1) * axis.dilation // axis.stride


cdef int size_units(Plan* plan, Py_ssize_t wanted, Py_ssize_t max_pixels,
                    Py_ssize_t itemsize) noexcept nogil:
    """Cut the output plane into at least `wanted` units, if it has so many rows and tiles.

    Returns -1 where the slab would not fit in memory at all.
    """
    cdef Py_ssize_t planes = (plan.in_channels * plan.depth.taps
                              * plan.row.phases * plan.column.phases)
    cdef Py_ssize_t row_reach = reach(&plan.row), column_reach = reach(&plan.column)
    cdef Py_ssize_t rows, columns
    if <double>planes * itemsize * (1.0 + row_reach) * (plan.nv + <double>column_reach) > 1e15:
        return -1
    columns = SLAB_BYTES // (planes * itemsize * (1 + row_reach)) - column_reach
    columns = min(min(max(columns, 32), max_pixels), plan.column.out)
    rows = SLAB_BYTES // (planes * itemsize * (columns + column_reach)) - row_reach
    rows = min(rows, max_pixels // columns)
    rows = max(min(rows, (plan.row.out + wanted - 1) // wanted), 1)
    plan.row_blocks = (plan.row.out + rows - 1) // rows
    if plan.row_blocks < wanted:
        columns = min(columns, plan.column.out * plan.row_blocks // wanted // plan.nv * plan.nv)
        columns = max(columns, min(plan.nv, plan.column.out))
    plan.column_blocks = (plan.column.out + columns - 1) // columns
    # Blocks of even size, so that the last one is not much smaller than the others.
    plan.rows = (plan.row.out + plan.row_blocks - 1) // plan.row_blocks
    plan.row_blocks = (plan.row.out + plan.rows - 1) // plan.rows
    plan.columns = (plan.column.out + plan.column_blocks - 1) // plan.column_blocks
    plan.column_blocks = (plan.column.out + plan.columns - 1) // plan.columns
    plan.slab_rows = plan.rows + row_reach
    plan.slab_width = plan.columns + column_reach
    plan.slab_plane = plan.slab_rows * plan.slab_width
    plan.slab_size = planes * plan.slab_plane + plan.nv
    return 0


cdef Unit find_unit(const Plan* plan, Py_ssize_t g, Py_ssize_t number) noexcept nogil:
    """Return the unit of this number in group `g`, counted over samples, depth, rows, columns."""
    cdef Unit unit
    unit.g = g
    unit.ow = number % plan.column_blocks * plan.columns
    number //= plan.column_blocks
    unit.oh = number % plan.row_blocks * plan.rows
    number //= plan.row_blocks
    unit.od = number % plan.depth.out
    unit.n = number // plan.depth.out
    unit.rows = min(plan.rows, plan.row.out - unit.oh)
    unit.columns = min(plan.columns, plan.column.out - unit.ow)
    return unit


cdef void fill_shifts(const Plan* plan, Py_ssize_t* shifts) noexcept nogil:
    """Write the place in the slab where each step (c, t, r, s) begins."""
    cdef Py_ssize_t plane, r, s, r_at, s_at, step = 0
    cdef Py_ssize_t phases = plan.row.phases * plan.column.phases
    for plane in range(plan.in_channels * plan.depth.taps):
        for r in range(plan.row.taps):
            for s in range(plan.column.taps):
                r_at = r * plan.row.dilation // plan.row.stride
                s_at = s * plan.column.dilation // plan.column.stride
                shifts[step] = (
                    (plane * phases + (r % plan.row.phases) * plan.column.phases
                     + s % plan.column.phases) * plan.slab_plane
                    + r_at * plan.slab_width + s_at)
                step += 1


cdef void fill_row(const char* source, Py_ssize_t stride, const Axis* axis, Py_ssize_t first,
                   Py_ssize_t width, floating* target) noexcept nogil:
    """Copy every `axis.stride`-th position from `first` on, zeros outside the input."""
    cdef Py_ssize_t low = 0, high = 0, j
    cdef Py_ssize_t hop = axis.stride * stride
    if first < 0:
        low = min((-first + axis.stride - 1) // axis.stride, width)
    if axis.size > first:
        high = min((axis.size - first + axis.stride - 1) // axis.stride, width)
    high = max(high, low)
    for j in range(low):
        target[j] = 0
    source += (first + low * axis.stride) * stride
    if hop == sizeof(floating):
        for j in range(high - low):
            target[low + j] = (<const floating*>source)[j]
    else:
        for j in range(low, high):
            target[j] = (<const floating*>source)[0]
            source += hop
    for j in range(high, width):
        target[j] = 0


cdef void fill_slab(const floating[:, :, :, :, :, :] x, const Plan* plan, const Unit* unit,
                    floating* slab) noexcept nogil:
    """Copy what a unit needs of the input."""
    cdef Py_ssize_t c, t, r, s, i, ind, inh
    cdef const char* sample = (<const char*>&x[0, 0, 0, 0, 0, 0]
                               + unit.n * x.strides[0] + unit.g * x.strides[1])
    cdef const char* plane
    for c in range(plan.in_channels):
        for t in range(plan.depth.taps):
            ind = unit.od * plan.depth.stride + t * plan.depth.dilation - plan.depth.before
            plane = sample + c * x.strides[2] + ind * x.strides[3]
            for r in range(plan.row.phases):
                for s in range(plan.column.phases):
                    for i in range(plan.slab_rows):
                        inh = ((unit.oh + i) * plan.row.stride
                               + (r * plan.row.dilation) % plan.row.stride - plan.row.before)
                        if 0 <= ind < plan.depth.size and 0 <= inh < plan.row.size:
                            fill_row(plane + inh * x.strides[4], x.strides[5], &plan.column,
                                     unit.ow * plan.column.stride
                                     + (s * plan.column.dilation) % plan.column.stride
                                     - plan.column.before,
                                     plan.slab_width, slab)
                        else:
                            memset(slab, 0, plan.slab_width * sizeof(floating))
                        slab += plan.slab_width
    # A last tile reads on behind the slab; what it adds up there is dropped.
    memset(slab, 0, plan.nv * sizeof(floating))


cdef inline void wide_tile(const floating** a, const Py_ssize_t* a_steps, const floating* b,
                           const Py_ssize_t* b_steps, Py_ssize_t steps, floating* sums,
                           Py_ssize_t width) noexcept nogil:
    if floating is float:
        isas[_row].wide_f(a, a_steps, b, b_steps, steps, sums, width)
    else:
        isas[_row].wide_d(a, a_steps, b, b_steps, steps, sums, width)


cdef inline void narrow_tile(const floating** a, const Py_ssize_t* a_steps, const floating* b,
                             const Py_ssize_t* b_steps, Py_ssize_t steps, floating* sums,
                             Py_ssize_t width) noexcept nogil:
    if floating is float:
        isas[_row].narrow_f(a, a_steps, b, b_steps, steps, sums, width)
    else:
        isas[_row].narrow_d(a, a_steps, b, b_steps, steps, sums, width)


cdef void correlate_unit(const floating[:, :, :, :, :, :] x, const floating[:, :, :, :, :, :] w,
                         const floating[:, :] bias, floating[:, :, :, :, :, :] y,
                         const Plan* plan, const Py_ssize_t* w_steps, const Py_ssize_t* shifts,
                         Py_ssize_t parts, Py_ssize_t task, floating* workspace) noexcept nogil:
    """Compute one part of the output channels of one unit."""
    cdef Py_ssize_t part = task % parts
    cdef Py_ssize_t g = task // parts % plan.groups
    cdef Unit unit = find_unit(plan, g, task // parts // plan.groups)
    cdef Py_ssize_t pixels = (unit.rows - 1) * plan.slab_width + unit.columns
    cdef Py_ssize_t tiles = (pixels + plan.nv - 1) // plan.nv
    cdef Py_ssize_t panels = (plan.out_channels + MR - 1) // MR
    cdef Py_ssize_t panel, k, i, j, row
    cdef floating* slab = workspace
    cdef floating* sums = workspace + plan.slab_size
    cdef const floating* a[MR]
    cdef const floating* source
    cdef char* target
    cdef floating shift

    fill_slab(x, plan, &unit, slab)
    for panel in range(part * panels // parts, (part + 1) * panels // parts):
        k = panel * MR
        for i in range(MR):
            # Past the last channel the last one is computed again, and dropped.
            a[i] = &w[g, min(k + i, plan.out_channels - 1), 0, 0, 0, 0]
        for j in range(tiles):
            wide_tile(a, w_steps, slab + j * plan.nv, shifts, plan.steps, sums + j * plan.nv,
                      tiles * plan.nv)
        # The epilogue: the one place through which a finished sum leaves.
        for i in range(min(<Py_ssize_t>MR, plan.out_channels - k)):
            shift = bias[g, k + i] if bias is not None else 0
            for row in range(unit.rows):
                target = <char*>&y[unit.n, g, k + i, unit.od, unit.oh + row, unit.ow]
                source = sums + i * tiles * plan.nv + row * plan.slab_width
                for j in range(unit.columns):
                    (<floating*>target)[0] = source[j] + shift
                    target += y.strides[5]


def correlate(const floating[:, :, :, :, :, :] x, const floating[:, :, :, :, :, :] w,
              const floating[:, :] bias, floating[:, :, :, :, :, :] y,
              tuple stride, tuple before, tuple dilation):
    """Write into `y` the cross-correlation of `x` with `w`, plus `bias` (G, K) unless it is None.

    y[n,g,k,p] = bias[g,k] + sum over c, tap of w[g,k,c,tap] * x[n,g,c, p*stride + tap*dilation
    - before], added in the order of w's axes, for every batch, thread number and memory layout.
    The output and the weights may not be empty.
    """
    cdef Plan plan
    cdef Py_ssize_t i, c, t, r, s, tasks, wanted = 1, parts = 1, size, step = 0
    cdef int threads
    cdef unsigned long saved = 0
    cdef Py_ssize_t* tables
    cdef Py_ssize_t* shifts
    cdef floating* workspace

    plan = make_plan(&x.shape[0], &w.shape[0], &y.shape[0], stride, before, dilation,
                     isas[_row].wide_bytes // sizeof(floating))
    threads = threads_for(<double>plan.batch * plan.groups * plan.out_channels * plan.steps
                          * plan.depth.out * plan.row.out * plan.column.out)
    tasks = plan.batch * plan.groups * plan.depth.out
    if threads > 1:
        wanted = (4 * threads + tasks - 1) // tasks
    if size_units(&plan, wanted, PY_SSIZE_T_MAX, sizeof(floating)) < 0:
        raise MemoryError("the padded input of a few outputs does not fit in memory")
    tasks *= plan.row_blocks * plan.column_blocks
    # Too few units still: split the output channels, and copy the slab for each part.
    if threads > tasks:
        parts = min(threads // tasks, (plan.out_channels + MR - 1) // MR)
        tasks *= parts
    size = plan.slab_size + (plan.slab_plane + plan.nv) * MR
    tables = <Py_ssize_t*>malloc(2 * plan.steps * sizeof(Py_ssize_t))
    workspace = <floating*>malloc(threads * size * sizeof(floating))
    if tables is NULL or workspace is NULL:
        free(tables)
        free(workspace)
        raise MemoryError(f"no room for {threads * size * sizeof(floating)} bytes of workspace")
    shifts = tables + plan.steps
    fill_shifts(&plan, shifts)
    for c in range(w.shape[2]):
        for t in range(w.shape[3]):
            for r in range(w.shape[4]):
                for s in range(w.shape[5]):
                    tables[step] = (c * w.strides[2] + t * w.strides[3] + r * w.strides[4]
                                    + s * w.strides[5]) // <Py_ssize_t>sizeof(floating)
                    step += 1
    with nogil, parallel(num_threads=threads):
        saved = flush_denormals()
        for i in prange(tasks, schedule="dynamic"):
            correlate_unit(x, w, bias, y, &plan, tables, shifts, parts, i,
                           workspace + threadid() * size)
        restore_denormals(saved)
    free(tables)
    free(workspace)


cdef void pack_residual(const floating[:, :, :, :, :, :] dy, const Unit* unit, Py_ssize_t k,
                        Py_ssize_t nv, floating* packed) noexcept nogil:
    """Put the residual of `nv` output channels from `k` on side by side for each pixel.

    Past the last channel nothing is written: what the tile adds up there is never read.
    """
    cdef Py_ssize_t j, row, _
    cdef const char* source
    cdef floating* target
    for j in range(min(nv, dy.shape[2] - k)):
        target = packed + j
        for row in range(unit.rows):
            source = <const char*>&dy[unit.n, unit.g, k + j, unit.od, unit.oh + row, unit.ow]
            for _ in range(unit.columns):
                target[0] = (<const floating*>source)[0]
                source += dy.strides[5]
                target += nv


cdef void weight_chunk(const floating[:, :, :, :, :, :] x, const floating[:, :, :, :, :, :] dy,
                       const Plan* plan, const Py_ssize_t* shifts, const Py_ssize_t* packed_at,
                       Py_ssize_t chunks, Py_ssize_t parts, Py_ssize_t task, Py_ssize_t* pixels,
                       floating* workspace, floating* partial) noexcept nogil:
    """Add up one chunk of the units, for one group and one part of the output channels."""
    cdef Py_ssize_t part = task % parts
    cdef Py_ssize_t g = task // parts % plan.groups
    cdef Py_ssize_t chunk = task // parts // plan.groups
    cdef Py_ssize_t units = plan.batch * plan.depth.out * plan.row_blocks * plan.column_blocks
    cdef Py_ssize_t nv = plan.nv
    cdef Py_ssize_t panels = (plan.out_channels + nv - 1) // nv
    cdef Py_ssize_t number, count, panel, l, i, j
    cdef floating* slab = workspace
    cdef floating* packed = workspace + plan.slab_size
    cdef floating* sums = packed + plan.rows * plan.columns * nv
    cdef floating* into
    cdef const floating* a[MR]
    cdef Unit unit

    partial += (chunk * plan.groups + g) * panels * plan.steps * nv
    for number in range(chunk * units // chunks, (chunk + 1) * units // chunks):
        unit = find_unit(plan, g, number)
        fill_slab(x, plan, &unit, slab)
        count = 0
        for i in range(unit.rows):
            for j in range(unit.columns):
                pixels[count] = i * plan.slab_width + j
                count += 1
        for panel in range(part * panels // parts, (part + 1) * panels // parts):
            pack_residual(dy, &unit, panel * nv, nv, packed)
            into = partial + panel * plan.steps * nv
            for l in range((plan.steps + MR - 1) // MR):
                for i in range(MR):
                    a[i] = slab + shifts[min(l * MR + i, plan.steps - 1)]
                narrow_tile(a, pixels, packed, packed_at, count, sums, nv)
                for i in range(min(<Py_ssize_t>MR, plan.steps - l * MR)):
                    for j in range(nv):
                        into[j] += sums[i * nv + j]
                    into += nv


cdef void add_chunks(const floating* partial, Py_ssize_t chunks, Py_ssize_t size,
                     const Plan* plan, floating[:, :, :, :, :, :] dw) noexcept nogil:
    """Write the sum of the chunks, in order, into the gradient."""
    cdef Py_ssize_t nv = plan.nv
    cdef Py_ssize_t panels = (plan.out_channels + nv - 1) // nv
    cdef Py_ssize_t g, k, c, t, r, s, chunk, at
    cdef floating total
    for g in range(plan.groups):
        for k in range(plan.out_channels):
            at = (g * panels + k // nv) * plan.steps * nv + k % nv
            for c in range(plan.in_channels):
                for t in range(plan.depth.taps):
                    for r in range(plan.row.taps):
                        for s in range(plan.column.taps):
                            total = 0
                            for chunk in range(chunks):
                                total += partial[chunk * size + at]
                            dw[g, k, c, t, r, s] = total
                            at += nv


def correlate_weight(const floating[:, :, :, :, :, :] x, const floating[:, :, :, :, :, :] dy,
                     floating[:, :, :, :, :, :] dw, tuple stride, tuple before, tuple dilation):
    """Write into `dw` the correlation of the input `x` with the residual `dy`.

    dw[g,k,c,tap] = sum over n, p of dy[n,g,k,p] * x[n,g,c, p*stride + tap*dilation - before].
    The units are cut into chunks whose number and borders follow from the shapes alone, and the
    chunks' sums are added in order, so that the result is the same for any number of threads. The
    residual and the gradient may not be empty.
    """
    cdef Plan plan
    cdef Py_ssize_t i, tasks, parts = 1, chunks, units, panels, size, limit, partial_size
    cdef int threads
    cdef unsigned long saved = 0
    cdef Py_ssize_t* tables
    cdef Py_ssize_t* packed_at
    cdef floating* workspace
    cdef floating* partial

    plan = make_plan(&x.shape[0], &dw.shape[0], &dy.shape[0], stride, before, dilation,
                     isas[_row].narrow_bytes // sizeof(floating))
    if size_units(&plan, 1, MAX_UNIT_PIXELS, sizeof(floating)) < 0:
        raise MemoryError("the padded input of a few outputs does not fit in memory")
    units = plan.batch * plan.depth.out * plan.row_blocks * plan.column_blocks
    limit = plan.rows * plan.columns
    panels = (plan.out_channels + plan.nv - 1) // plan.nv
    partial_size = plan.groups * panels * plan.steps * plan.nv
    chunks = PARTIAL_BYTES // (partial_size * <Py_ssize_t>sizeof(floating))
    chunks = max(min(min(chunks, MAX_CHUNKS), units), 1)
    threads = threads_for(<double>units * limit * partial_size)
    tasks = chunks * plan.groups
    # Few chunks for many threads: split the output channels, and copy the slabs for each part.
    if threads > 1 and 4 * threads > tasks:
        parts = min((4 * threads + tasks - 1) // tasks, panels)
        tasks *= parts
    size = plan.slab_size + (limit + MR) * plan.nv
    tables = <Py_ssize_t*>malloc((plan.steps + (1 + threads) * limit) * sizeof(Py_ssize_t))
    workspace = <floating*>malloc(threads * size * sizeof(floating))
    partial = <floating*>calloc(chunks * partial_size, sizeof(floating))
    if tables is NULL or workspace is NULL or partial is NULL:
        free(tables)
        free(workspace)
        free(partial)
        size = (threads * size + chunks * partial_size) * sizeof(floating)
        raise MemoryError(f"no room for {size} bytes of workspace")
    fill_shifts(&plan, tables)
    packed_at = tables + plan.steps
    for i in range(limit):
        packed_at[i] = i * plan.nv
    with nogil, parallel(num_threads=threads):
        saved = flush_denormals()
        for i in prange(tasks, schedule="dynamic"):
            weight_chunk(x, dy, &plan, tables, packed_at, chunks, parts, i,
                         packed_at + (1 + threadid()) * limit, workspace + threadid() * size,
                         partial)
        restore_denormals(saved)
    with nogil:
        saved = flush_denormals()
        add_chunks(partial, chunks, partial_size, &plan, dw)
        restore_denormals(saved)
        free(tables)
        free(workspace)
        free(partial)
