# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The kernels that call this have fixed all borders.
"""The plan of the engine's weight gradient, from shapes and strides alone.

weight.pyx says what the roles, units, chunks and parts are. What decides the order of the
sums (units and chunks) follows the shapes; parts follow the threads, too.
"""

from fastconv.engine.gemm.slab cimport (
    Run, line_up, make_slab, make_windows, slab_planes, steps_are_neighbours)
from fastconv.engine.gemm.tile cimport DOT_COLUMNS, lanes, output_vectors

# Bytes of one step's pixels in a unit: the rows of A in a tile stay in the first-level cache, and
# no running sum is longer.
cdef Py_ssize_t UNIT_BYTES = 2048
# The channels of a slab share the second-level cache with a panel of B.
cdef Py_ssize_t SLAB_BYTES = 3 << 17
# Panels of B up to this size are kept for all slabs of a unit.
cdef Py_ssize_t PACKED_BYTES = 1 << 19
# Tasks that keep many threads busy, where the sums of so many chunks take no more than so much.
cdef Py_ssize_t TASKS = 32
cdef Py_ssize_t PARTIAL_BYTES = 1 << 24
# Rows of C that are worth a task.
cdef Py_ssize_t PART_ROWS = 64
# Sums along the vectors: at most so many steps, or the sums leave the second-level cache.
cdef Py_ssize_t DOT_STEPS = 1024


cdef void split_parts(Correlation* p, int threads) noexcept nogil:
    """Cut the sums of a chunk into parts: the least work for the thread that has most to do.

    Each part of the rows packs the panels, and each part of the panels fills the slab.
    """
    cdef Py_ssize_t rows, panels, tasks
    cdef double cost, best = 1e300
    for rows in range(1, min(<Py_ssize_t>threads, p.windows.channels) + 1):
        for panels in range(1, min(ceil_div(2 * threads, rows), p.panels) + 1):
            tasks = p.chunks * p.groups * rows * panels
            cost = (<double>ceil_div(tasks, threads) / tasks
                    * ceil_div(p.windows.channels, rows) * rows
                    * ceil_div(p.panels, panels) * panels
                    * (1 + (0.1 if p.gathered else 0.05) * (rows - 1)
                       + (0 if p.windows.in_place else 0.1) * (panels - 1)))
            if cost < best * 0.999:
                best, p.row_parts, p.panel_parts = cost, rows, panels


cdef void size_workspace(Correlation* p, Py_ssize_t itemsize) noexcept nogil:
    """Lay out the workspace: fill in its offsets."""
    cdef Py_ssize_t slab = 0, gathered = 0
    if not p.windows.in_place:
        slab = p.channels * slab_planes(&p.windows) * p.slab.plane
    if p.gathered:
        gathered = lane_channels(p)
    p.shifts_at = 0
    p.lane_shifts_at = p.shifts_at + line_up(p.channels * p.windows.taps * sizeof(Py_ssize_t))
    p.b_at_at = p.lane_shifts_at + line_up(gathered * p.kernel.taps * sizeof(Py_ssize_t))
    p.partial_at = p.b_at_at + line_up(MAX_VECTORS * p.pixels * sizeof(Py_ssize_t))
    p.threads_at = p.partial_at
    if not p.in_place:
        p.threads_at += line_up(p.chunks * p.groups * p.steps * p.width * itemsize)
    p.slab_at = 0
    p.lane_slab_at = p.slab_at + line_up(slab * itemsize)
    p.panel_at = p.lane_slab_at
    if p.gathered:
        # Whole vectors are read from the last plane.
        p.panel_at += line_up((gathered * slab_planes(&p.kernel) * p.lane_slab.plane + p.lanes)
                              * itemsize)
    p.rows_at = p.panel_at
    if p.dots:
        p.rows_at += line_up(p.outputs * dot_pixels(p) * itemsize)
    else:
        p.rows_at += line_up((ceil_div(p.panels, p.panel_parts) if p.kept else 1)
                             * p.packed * MAX_VECTORS * p.lanes * itemsize)
    p.positions_at = p.rows_at + line_up(BLOCK * BLOCK * itemsize)
    p.lane_positions_at = p.positions_at + line_up(p.pixels * sizeof(Py_ssize_t))
    p.runs_at = p.lane_positions_at + line_up(2 * p.pixels * sizeof(Py_ssize_t))
    p.dots_at = p.runs_at + line_up(p.pixels * sizeof(Run))
    p.thread_bytes = p.dots_at
    if p.dots:
        p.thread_bytes += line_up(p.outputs * p.dot_steps * p.lanes * itemsize)


cdef Correlation make_correlation(const Py_ssize_t* x, const Py_ssize_t* x_strides,
                                  const Py_ssize_t* dy, const Py_ssize_t* dy_strides,
                                  const Py_ssize_t* dw, const Py_ssize_t* dw_strides,
                                  Py_ssize_t itemsize, tuple stride, tuple before,
                                  tuple dilation, int threads):
    """Return the plan for arrays of these shapes and strides."""
    cdef Correlation p
    cdef Py_ssize_t[3] one_tap = [1, 1, 1]
    cdef Py_ssize_t i, total, size, lines, last
    p.kernel = make_windows(x, x_strides, dw + 3, dy + 3, itemsize, stride, before, dilation)
    p.groups, p.steps, p.outputs = dw[0], dw[2] * p.kernel.taps, dw[1]
    p.lanes = lanes(itemsize)
    p.columns = min(p.kernel.column.out, max(UNIT_BYTES // itemsize, 1))
    p.columns = ceil_div(p.kernel.column.out, ceil_div(p.kernel.column.out, p.columns))
    p.column_blocks = ceil_div(p.kernel.column.out, p.columns)
    total = p.kernel.lines * p.columns
    p.blocks = ceil_div(total, max(UNIT_BYTES // itemsize, 1))
    p.pixels = ceil_div(total, p.blocks)
    p.blocks = ceil_div(total, p.pixels)
    p.units = p.column_blocks * p.blocks
    if <double>slab_planes(&p.kernel) * itemsize * (2.0 + p.kernel.row.reach) * (
            p.columns + <double>p.kernel.column.reach) > 1e15:
        raise MemoryError("the padded input of a few outputs does not fit in memory")
    # The last column block may be narrower: there, the pixels of a unit lie in more lines.
    last = p.kernel.column.out - (p.column_blocks - 1) * p.columns
    lines = min(ceil_div(p.pixels, last) + 1, p.kernel.lines)
    p.lane_slab = make_slab(&p.kernel, lines, p.columns)
    p.packed = ceil_div(p.lane_slab.plane, p.lanes) * p.lanes
    # For few pixels, gathering their windows is less work than transposing the gradient.
    p.gathered = (p.kernel.taps > 1 and p.steps >= MAX_VECTORS * p.lanes
                  and p.units * p.packed <= p.outputs)
    # One tap inside the input: the pixels that it sees are a view.
    p.turned = p.gathered or (
        p.kernel.taps == 1 and dw[2] <= dw[1] and before == (0, 0, 0)
        and all([(dy[i] - 1) * stride[i - 3] < x[i] for i in range(3, 6)]))
    p.windows = p.kernel
    for i in range(6):
        p.b_strides[i] = dy_strides[i] // itemsize
        p.c_strides[i] = dw_strides[i] // itemsize
    if p.turned:
        p.steps, p.outputs = p.outputs, p.steps
        p.windows = make_windows(dy, dy_strides, one_tap, dy + 3, itemsize, (1, 1, 1), (0, 0, 0),
                                 (1, 1, 1))
        for i in range(6):
            p.b_strides[i] = x_strides[i] // itemsize * (<Py_ssize_t>stride[i - 3] if i > 2 else 1)
    p.dots = 2 * p.outputs <= p.lanes and p.steps <= DOT_STEPS
    p.dot_steps = ceil_div(p.steps, DOT_COLUMNS) * DOT_COLUMNS
    p.windows.in_place = p.windows.in_place and not p.dots
    p.vectors = ceil_div(p.outputs, p.lanes)
    p.panels = ceil_div(p.vectors, output_vectors(itemsize))
    p.slab = make_slab(&p.windows, lines, p.columns)
    if p.gathered:
        p.kernel.in_place = False
    else:
        p.packed = p.pixels
    if p.dots:
        p.slab.plane += p.lanes
    p.width = p.vectors * p.lanes
    size = p.groups * p.steps * p.width * itemsize
    p.chunks = 1
    last = p.groups * p.panels * min(p.windows.channels, ceil_div(p.steps, PART_ROWS))
    while p.chunks * last < TASKS:
        p.chunks *= 2
    p.chunks = max(min(min(p.chunks, PARTIAL_BYTES // size), p.units), 1)
    p.row_parts = p.panel_parts = 1
    if not p.dots:
        split_parts(&p, threads)
    p.channels = ceil_div(p.windows.channels, p.row_parts)
    if not p.windows.in_place and not p.dots:
        size = slab_planes(&p.windows) * p.slab.plane * itemsize
        last = ceil_div(p.channels, max(SLAB_BYTES // size, 1))
        p.channels = ceil_div(p.channels, last)
    last = ceil_div(p.panels, p.panel_parts)
    p.kept = (p.channels * p.row_parts < p.windows.channels
              and last * p.packed * MAX_VECTORS * p.lanes * itemsize <= PACKED_BYTES)
    p.neighbours = steps_are_neighbours(dw, p.c_strides)
    p.in_place = p.turned and not p.dots and p.chunks == 1 and p.neighbours
    size_workspace(&p, itemsize)
    return p
