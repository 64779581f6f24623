# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The kernels that call this have fixed all borders.
"""The plan of the engine's weight gradient, from shapes and strides alone.

weight.pyx says what the roles, units, chunks and parts are. What decides the order of the
sums (units and chunks) follows the shapes; parts follow the threads, too.
"""

from fastconv.engine.base.axis cimport Axis
from fastconv.engine.base.cache_sizes cimport second_cache
from fastconv.engine.base.costs cimport PACKED
from fastconv.engine.gemm.correlation cimport read_layout
from fastconv.engine.gemm.slab cimport (
    Run, in_elements, line_up, make_slab, make_windows, slab_bytes, slab_planes,
    steps_are_neighbours)
from fastconv.engine.gemm.tile cimport DOT_COLUMNS, lanes, output_vectors

# Bytes of one step's pixels in a unit: the rows of A in a tile stay in the first-level cache, and
# no running sum is longer.
cdef Py_ssize_t UNIT_BYTES = 2048
# The channels of a slab share the second-level cache with a panel of B.
cdef Py_ssize_t SLAB_BYTES = second_cache() * 3 // 8
# Panels of B up to this size are kept for all slabs of a unit.
cdef Py_ssize_t PACKED_BYTES = second_cache() // 2
# Tasks that keep many threads busy, where the sums of so many chunks take no more than so much.
cdef Py_ssize_t TASKS = 32
cdef Py_ssize_t PARTIAL_BYTES = 1 << 24
# Rows of C that are worth a task.
cdef Py_ssize_t PART_ROWS = 64


cdef int cut_units(Plan* p, Py_ssize_t itemsize) except -1:
    """Cut the pixels into units, and choose the slab that a unit's windows take."""
    cdef Py_ssize_t most = max(UNIT_BYTES // itemsize, 1), out = p.kernel.column.out, total, last
    p.columns = ceil_div(out, ceil_div(out, min(out, most)))
    p.column_blocks = ceil_div(out, p.columns)
    total = p.kernel.lines * p.columns
    p.pixels = ceil_div(total, ceil_div(total, most))
    p.blocks = ceil_div(total, p.pixels)
    p.units = p.column_blocks * p.blocks
    slab_bytes(&p.kernel, p.columns, itemsize)
    # The last column block may be narrower: there, the pixels of a unit lie in more lines.
    last = out - (p.column_blocks - 1) * p.columns
    p.lines = min(ceil_div(p.pixels, last) + 1, p.kernel.lines)
    p.lane_slab = make_slab(&p.kernel, p.lines, p.columns)
    return 0


cdef Py_ssize_t gathered_rows(const Plan* p) noexcept nogil:
    """Return the positions in the slab of a unit, in whole vectors."""
    return ceil_div(p.lane_slab.plane, p.lanes) * p.lanes


cdef bint sees_a_view(const Layout* layout, tuple stride, tuple before):
    """Tell whether the one tap of each kernel sees cells of the input only, a view of it."""
    return (layout.w.shape[3] == layout.w.shape[4] == layout.w.shape[5] == 1
            and before == (0, 0, 0)
            and all([(layout.y.shape[i] - 1) * stride[i - 3] < layout.x.shape[i]
                     for i in range(3, 6)]))


cdef bint has_long_rows(const Axis* column, Py_ssize_t least) noexcept nogil:
    """Tell whether the taps of a row are at least so many neighbours, and move."""
    return column.dilation == 1 and column.stride > 1 and column.taps >= least


cdef int assign_roles(Plan* p, const Layout* layout, Role role, tuple stride,
                      tuple before) except -1:
    """Say which maps are the rows of A, and which the columns of B."""
    cdef Py_ssize_t i, itemsize = layout.itemsize
    cdef Layout seen
    cdef bint view = sees_a_view(layout, stride, before)
    if role == INPUTS and not view:
        raise ValueError("with input channels in the lanes, a tap has to lie inside the input")
    p.role = role
    p.swapped = role == TAPS or role == INPUTS or role == PATCHES or (
        role == PIXELS and view and layout.w.shape[2] <= layout.w.shape[1])
    p.groups = layout.w.shape[0]
    p.steps, p.outputs = layout.w.shape[2] * p.kernel.taps, layout.w.shape[1]
    p.windows = p.kernel
    in_elements(&layout.w, itemsize, p.c_strides)
    p.neighbours = steps_are_neighbours(layout.w.shape, p.c_strides)
    if p.swapped:
        p.steps, p.outputs = p.outputs, p.steps
        # One tap, at the residual's pixels; its output are the cells of the input below the first.
        seen = layout[0]
        seen.x = layout.y
        for i in range(3, 6):
            seen.w.shape[i] = 1
        for i in range(6):
            seen.y.strides[i] = layout.x.strides[i] * (<Py_ssize_t>stride[i - 3] if i > 2 else 1)
        p.windows = make_windows(&seen, (1, 1, 1), (0, 0, 0), (1, 1, 1))
    p.vectors = ceil_div(p.outputs, p.lanes)
    p.panels = ceil_div(p.vectors, output_vectors(itemsize))
    if role == PATCHES:
        # A panel: the columns of one row of taps, each a vector of channels.
        p.panels = ceil_div(p.kernel.channels, p.lanes) * p.kernel.depth.taps * p.kernel.row.taps
        p.vectors = p.panels * p.kernel.column.taps
        p.outputs = p.vectors * p.lanes
    p.width = p.vectors * p.lanes
    p.slab = make_slab(&p.windows, p.lines, p.columns)
    p.packed = p.pixels
    p.turned = False
    if role == TAPS:
        # Long rows of taps are copied as they lie.
        p.kernel.in_place = p.kernel.inside and has_long_rows(&p.kernel.column, p.lanes)
        p.turned = not p.kernel.in_place
        if p.turned:
            p.packed = gathered_rows(p)
    elif role == PIXELS:
        p.windows.in_place = False
        p.slab.plane += p.lanes
    return 0


cdef void cut_chunks(Plan* p, Py_ssize_t itemsize) noexcept nogil:
    """Choose the chunks: more than one where rows and panels are too few for many threads."""
    cdef Py_ssize_t tasks = p.groups * p.panels * min(p.windows.channels,
                                                      ceil_div(p.steps, PART_ROWS))
    cdef Py_ssize_t size = p.groups * p.steps * p.width * itemsize
    p.chunks = 1
    while p.chunks * tasks < TASKS:
        p.chunks *= 2
    p.chunks = max(min(min(p.chunks, PARTIAL_BYTES // size), p.units), 1)
    p.in_place = (p.swapped and p.role != PIXELS and p.role != PATCHES and p.chunks == 1
                  and p.neighbours)


cdef Py_ssize_t busiest(const Plan* p, Py_ssize_t parts, int threads) noexcept nogil:
    """Return the units of the thread that has most to do, if each chunk has so many tasks.

    Some chunks have a unit more than the others: these are taken first.
    """
    cdef Py_ssize_t less = p.units // p.chunks, more = p.units % p.chunks * parts
    cdef Py_ssize_t left = p.chunks * parts - more, rounds = more // threads
    cdef Py_ssize_t longer = more % threads, units
    if more == 0:
        return ceil_div(left, threads) * less
    units = (rounds + (longer > 0)) * (less + 1)
    while (longer * ((units - (rounds + 1) * (less + 1)) // less)
            + (threads - longer) * ((units - rounds * (less + 1)) // less)) < left:
        units += 1
    return units


cdef void split_parts(Plan* p, int threads) noexcept nogil:
    """Cut the sums of a chunk into parts: the least work for the thread that has most to do.

    Each part of the rows packs the panels, and each part of the panels fills the slab.
    """
    cdef Py_ssize_t rows, panels, tasks
    cdef double cost, best = 1e300
    cdef double again = max(0.1 if p.role == TAPS else 0.05, <double>PACKED / p.steps)
    for rows in range(1, min(<Py_ssize_t>threads, p.windows.channels) + 1):
        for panels in range(1, min(ceil_div(2 * threads, rows), p.panels) + 1):
            tasks = p.groups * rows * panels
            cost = (<double>busiest(p, tasks, threads) / (tasks * p.units)
                    * ceil_div(p.windows.channels, rows) * rows
                    * ceil_div(p.panels, panels) * panels
                    * (1 + again * (rows - 1) + (0 if p.windows.in_place else 0.1) * (panels - 1)))
            # Estimates are not as sharp as that.
            if cost < best * 0.975:
                best, p.row_parts, p.panel_parts = cost, rows, panels


cdef void size_workspace(Plan* p, Py_ssize_t itemsize) noexcept nogil:
    """Lay out the workspace: fill in its offsets."""
    cdef Py_ssize_t slab = 0, gathered = 0, panels = 1, dots = 0
    cdef Py_ssize_t panel = p.packed * MAX_VECTORS * p.lanes
    if not p.windows.in_place:
        slab = p.channels * slab_planes(&p.windows) * p.slab.plane
    if p.role == TAPS:
        gathered = lane_channels(p)
    if p.kept:
        panels = ceil_div(p.panels, p.panel_parts)
    if p.role == PIXELS:
        panel, dots = p.outputs * dot_pixels(p), p.outputs * p.dot_steps * p.lanes
    p.shifts_at = 0
    p.lane_shifts_at = p.shifts_at + line_up(p.channels * p.windows.taps * sizeof(Py_ssize_t))
    p.partial_at = p.lane_shifts_at + line_up(gathered * p.kernel.taps * sizeof(Py_ssize_t))
    p.threads_at = p.partial_at
    if not p.in_place:
        p.threads_at += line_up(p.chunks * p.groups * p.steps * p.width * itemsize)
    p.slab_at = 0
    p.lane_slab_at = p.slab_at + line_up(slab * itemsize)
    # Whole vectors are read from the last plane.
    p.panel_at = p.lane_slab_at + line_up(
        (gathered * slab_planes(&p.kernel) * p.lane_slab.plane + p.lanes) * itemsize)
    p.rows_at = p.panel_at + line_up(panels * panel * itemsize)
    p.positions_at = p.rows_at + line_up(BLOCK * BLOCK * itemsize)
    p.lane_positions_at = p.positions_at + line_up(p.pixels * sizeof(Py_ssize_t))
    p.b_at_at = p.lane_positions_at + line_up(p.pixels * sizeof(Py_ssize_t))
    p.runs_at = p.b_at_at + line_up(p.pixels * sizeof(Py_ssize_t))
    p.dots_at = p.runs_at + line_up(p.pixels * sizeof(Run))
    p.thread_bytes = p.dots_at + line_up(dots * itemsize)


cdef void cut_channels(Plan* p, Py_ssize_t itemsize) noexcept nogil:
    """Choose the channels of a slab, and whether the panels are packed once for all of them."""
    cdef Py_ssize_t panels = ceil_div(p.panels, p.panel_parts), size
    p.channels = ceil_div(p.windows.channels, p.row_parts)
    if not p.windows.in_place:
        size = slab_planes(&p.windows) * p.slab.plane * itemsize
        p.channels = ceil_div(p.channels, ceil_div(p.channels, max(SLAB_BYTES // size, 1)))
    p.kept = (p.channels * p.row_parts < p.windows.channels
              and panels * p.packed * MAX_VECTORS * p.lanes * itemsize <= PACKED_BYTES)


cdef int make_plan(Plan* p, const Layout* layout, Role role, tuple stride, tuple before,
                   tuple dilation, int threads) except -1:
    """Fill in the plan for arrays of this layout."""
    cdef Py_ssize_t itemsize = layout.itemsize
    p.kernel = make_windows(layout, stride, before, dilation)
    p.lanes = lanes(itemsize)
    cut_units(p, itemsize)
    assign_roles(p, layout, role, stride, before)
    cut_chunks(p, itemsize)
    p.row_parts = p.panel_parts = 1
    p.channels, p.kept = p.windows.channels, False
    p.dot_steps = ceil_div(p.steps, DOT_COLUMNS) * DOT_COLUMNS
    if role != PIXELS:
        split_parts(p, threads)
        cut_channels(p, itemsize)
    size_workspace(p, itemsize)
    return 0


cdef Part find_part(const Plan* p, Py_ssize_t task) noexcept nogil:
    """Return what a task adds up.

    The parts of a chunk follow each other. But where some chunks are much longer than others, two
    units beside one, say, a thread's tasks are to be of several chunks.
    """
    cdef Py_ssize_t number = task, parts = p.groups * p.row_parts * p.panel_parts, row, panel
    cdef Part part
    if p.units % p.chunks and p.units < 4 * p.chunks:
        number = task % p.chunks * parts + task // p.chunks
    panel = number % p.panel_parts
    row = number // p.panel_parts % p.row_parts
    part.group = number // p.panel_parts // p.row_parts % p.groups
    part.chunk = number // parts
    part.first_panel = panel * p.panels // p.panel_parts
    part.past_panel = (panel + 1) * p.panels // p.panel_parts
    part.start = row * p.windows.channels // p.row_parts
    part.end = (row + 1) * p.windows.channels // p.row_parts
    return part


def gathered_positions(tuple shapes, Py_ssize_t itemsize, tuple stride, tuple before,
                       tuple dilation):
    """Return how many positions of the input each lane gathers, with taps in the lanes.

    That is the work of packing then, for each tap; with output channels in the lanes it is the
    gradient that is transposed, for each tap as many numbers as there are output channels.
    """
    cdef Layout layout
    cdef Plan p
    read_layout(shapes, shapes, itemsize, False, &layout)
    p.kernel = make_windows(&layout, stride, before, dilation)
    p.lanes = lanes(itemsize)
    cut_units(&p, itemsize)
    return p.units * gathered_rows(&p)
