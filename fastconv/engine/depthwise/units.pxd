# cython: cdivision=True
# What a depthwise convolution computes from the shapes before it begins: units, slab, taps.
# `correlation.pyx` says what they are.

from cython cimport floating
from libc.stdlib cimport free, malloc

from fastconv.engine.base.arrays cimport Layout
from fastconv.engine.base.axis cimport Axis, Phase, ceil_div, make_axis
from fastconv.engine.depthwise.kernels cimport (
    Border, Part, Planes, shared_taps, vector_bytes)

cdef enum:
    # A slab of this many bytes leaves room in the first-level cache (32 KB) for what is written.
    SLAB_BYTES = 20480
    # Rows of a slab are never cut shorter than this many bytes.
    ROW_BYTES = 4096
    CACHE_LINE = 64


cdef struct Plan:
    # Of the weight gradient: w is the gradient, y the residual.
    Layout layout
    Axis depth
    Axis row
    Axis column
    Py_ssize_t batch, groups, in_channels, out_channels
    int isa
    Py_ssize_t lanes
    Py_ssize_t splits                       # phases of the slab's columns
    Py_ssize_t pitch                        # rows of the slab from one output row to the next
    Py_ssize_t rows, columns                # outputs of a unit, of one phase
    Py_ssize_t row_blocks, column_blocks    # units of one sample, group and depth
    Py_ssize_t slab_rows, slab_width, slab_row, slab_plane, slab_size
    Py_ssize_t slab_split                   # from one phase of the columns to the next
    Py_ssize_t row_splits, slab_phase       # phases of the rows, from one to the next
    Py_ssize_t vectors                      # of a unit's row
    Py_ssize_t buffer_width, buffer_size    # rows of a unit that go to the output in pieces
    Py_ssize_t taps                         # of all parts
    Py_ssize_t column_reach                 # from a row's last output to what it reads last
    bint steady                             # all units have their padding in the same places
    Py_ssize_t block                        # small planes of a unit; 0: the others
    Planes planes
    Border* borders                         # by column block and phase of the slab
    Part* parts                             # by phase of depth, row and column
    Py_ssize_t* shifts
    Py_ssize_t* tap_at                      # where a tap's weight lies in bytes from its kernel


cdef struct Unit:
    Py_ssize_t n, g, od, oh, ow             # where it begins; rows and columns within the phase
    Py_ssize_t column_block
    Py_ssize_t depth_first, depth_m         # od = depth_first + depth_m * step, of one phase
    Py_ssize_t rows, columns                # fewer at the end of the output


cdef inline Py_ssize_t whole_lines(Py_ssize_t size, Py_ssize_t itemsize) noexcept nogil:
    """Round up to cache lines, so that no two threads write into one."""
    cdef Py_ssize_t line = CACHE_LINE // itemsize
    return ceil_div(size, line) * line


cdef inline Py_ssize_t find_phase(const Axis* axis, Py_ssize_t first) noexcept nogil:
    """Return the phase whose outputs begin at `first`, or -1."""
    cdef Py_ssize_t i
    for i in range(axis.phases):
        if axis.phase[i].first == first:
            return i
    return -1


cdef inline int size_units(Plan* plan, Py_ssize_t itemsize) noexcept nogil:
    """Cut the output plane into units; return -1 where a slab would not fit in memory at all.

    The cut follows from the shapes alone: the weight gradient's order of summation depends on it.
    """
    cdef Py_ssize_t planes = plan.in_channels * plan.depth.taps
    cdef Py_ssize_t reach = plan.column.reach // plan.column.stride
    cdef Py_ssize_t columns, rows, row_bytes
    plan.column_reach = reach
    plan.splits = 1
    while (plan.splits < plan.column.taps
           and plan.splits * plan.column.dilation % plan.column.stride):
        plan.splits += 1
    if (<double>planes * plan.splits * itemsize * (1.0 + plan.row.reach)
            * (plan.lanes + <double>reach) > 1e15):
        return -1
    columns = SLAB_BYTES // (planes * plan.splits * itemsize * (1 + plan.row.reach)) - reach
    columns = max(columns, ROW_BYTES // itemsize)
    plan.column_blocks = ceil_div(plan.column.count, columns)
    plan.columns = ceil_div(plan.column.count, plan.column_blocks)
    plan.column_blocks = ceil_div(plan.column.count, plan.columns)
    plan.slab_width = (plan.columns + reach + plan.lanes - 1) // plan.lanes * plan.lanes
    plan.slab_row = plan.splits * plan.slab_width
    plan.slab_split = plan.slab_width
    plan.row_splits = 1
    plan.slab_phase = 0
    # Rows that no tap reads are left out.
    plan.pitch = min(plan.row.stride, plan.row.reach + 1)
    row_bytes = planes * plan.slab_row * itemsize
    rows = max((SLAB_BYTES // row_bytes - plan.row.reach - 1) // plan.pitch + 1, 1)
    plan.row_blocks = ceil_div(plan.row.count, rows)
    plan.rows = ceil_div(plan.row.count, plan.row_blocks)
    plan.row_blocks = ceil_div(plan.row.count, plan.rows)
    plan.slab_rows = (plan.rows - 1) * plan.pitch + plan.row.reach + 1
    plan.slab_plane = plan.slab_rows * plan.slab_row
    # The last rows of a narrow output are computed as whole vectors: they read on behind the slab.
    plan.slab_size = planes * plan.slab_plane + 2 * plan.lanes
    plan.vectors = ceil_div(plan.columns, plan.lanes)
    plan.buffer_width = plan.vectors * plan.lanes
    plan.buffer_size = plan.rows * plan.buffer_width * max(plan.column.phases, 1)
    plan.steady = plan.row_blocks == 1 and plan.column_blocks == 1 and plan.depth.out == 1
    return 0


cdef inline void fill_borders(Plan* plan) noexcept nogil:
    cdef const Axis* axis = &plan.column
    cdef Py_ssize_t block, s, width, first, low, high
    cdef Border* border = plan.borders
    for block in range(plan.column_blocks):
        width = min(plan.columns, axis.count - block * plan.columns) + plan.column_reach
        for s in range(plan.splits):
            first = (block * plan.columns * axis.stride + s * axis.dilation % axis.stride
                     - axis.before)
            low = (axis.stride - 1 - first) // axis.stride if first < 0 else 0
            high = (axis.size - first + axis.stride - 1) // axis.stride if first < axis.size else 0
            border.first = first
            border.low = min(low, width)
            border.high = max(min(high, width), border.low)
            border += 1


cdef inline bint has_small_planes(const Plan* plan) noexcept nogil:
    """Tell whether the loops for small planes serve this plan."""
    cdef const Axis* depth = &plan.depth
    return (plan.in_channels == 1 and depth.size == depth.out == depth.taps == depth.phases == 1
            and depth.before == 0 and plan.row_blocks == 1 and plan.column_blocks == 1
            and plan.columns <= plan.lanes
            and plan.splits == plan.column.stride <= 2 and plan.pitch == plan.row.stride
            and (plan.row.dilation == 1 or plan.row.taps == 1 or plan.row.stride > 1)
            and plan.row.phases == plan.row.step <= 2
            and plan.column.phases == plan.column.step <= 2)


cdef inline void place_planes(Plan* plan, Py_ssize_t itemsize) noexcept nogil:
    """Lay small planes out: several in one slab, with one row's zeros before the next row."""
    cdef Planes* planes = &plan.planes
    cdef const Border* border
    cdef Py_ssize_t width = plan.columns + plan.column_reach, shared = width
    cdef Py_ssize_t i, end
    for i in range(plan.splits):
        border = plan.borders + i
        shared = min(shared, min(border.low, width - border.high))
    planes.rows, planes.columns = plan.rows, plan.columns
    planes.out_rows, planes.out_columns = plan.row.out, plan.column.out
    planes.read_first = max(-plan.row.before, 0)
    end = min(plan.row.size, plan.slab_rows - plan.row.before)
    planes.read_rows = max(end - planes.read_first, 0)
    planes.top = planes.read_first + plan.row.before
    planes.row_splits = plan.row_splits = plan.row.stride
    planes.splits = plan.splits
    planes.slab_row = plan.slab_row = width - shared
    planes.slab_split = plan.slab_split = (ceil_div(plan.slab_rows, plan.row_splits)
                                           * plan.slab_row)
    planes.slab_phase = plan.slab_phase = plan.splits * plan.slab_split
    # The last tile of rows and the last vector read on behind them.
    planes.slab_plane = (plan.row_splits * plan.slab_phase + 3 * plan.slab_row + plan.lanes
                         + plan.column_reach)
    planes.row_step, planes.column_step = plan.row.step, plan.column.step
    for i in range(plan.row.step):
        planes.row_first[i] = plan.row.phase[i].first
    planes.odd_first = plan.column.phase[0].first == 1
    planes.buffer_part = (plan.rows + 3) * max(plan.slab_row, plan.lanes) + plan.lanes
    planes.buffer_plane = plan.row.step * plan.column.step * planes.buffer_part
    planes.out_channels = plan.out_channels
    planes.borders, planes.parts = plan.borders, plan.parts
    plan.block = SLAB_BYTES // ((planes.slab_plane + planes.buffer_plane) * itemsize)
    plan.block = max(min(plan.block, plan.groups), 1)


cdef inline void fill_parts(Plan* plan) noexcept nogil:
    """Write for each part where its taps lie in the slab, and where in the kernel."""
    cdef Py_ssize_t a, b, d, c, t, r, s, i, q, u, at, step = 0, tap = 0
    cdef const Py_ssize_t* w_strides = &plan.layout.w.strides[0]
    cdef const Phase* depth
    cdef const Phase* row
    cdef const Phase* column
    cdef Part* part = plan.parts
    for d in range(plan.depth.phases):
        depth = plan.depth.phase + d
        for a in range(plan.row.phases):
            row = plan.row.phase + a
            for b in range(plan.column.phases):
                column = plan.column.phase + b
                # Rows of the output lie `pitch` apart in the slab, taps `dilation`: with stride 1
                # every dilation-th row shares what it reads with the next.
                part.shared = shared_taps(row.taps) if plan.row.stride == 1 else 1
                part.columns = (plan.in_channels * depth.taps * column.taps
                                * (row.taps // part.shared))
                part.shifts = plan.shifts + step
                part.first_tap = tap
                for c in range(plan.in_channels):
                    for t in range(depth.taps):
                        for s in range(column.taps):
                            at = plan.column.before - column.before + s * plan.column.dilation
                            at = (at // plan.column.stride
                                  + s % plan.splits * plan.slab_split
                                  + (c * plan.depth.taps + t) * plan.slab_plane)
                            for r in range(row.taps // part.shared):
                                u = (plan.row.before - row.before
                                     + r * part.shared * plan.row.dilation)
                                plan.shifts[step] = (at + u % plan.row_splits * plan.slab_phase
                                                     + u // plan.row_splits * plan.slab_row)
                                step += 1
                                for i in range(part.shared):
                                    q = row.tap_first + (r * part.shared + i) * row.tap_step
                                    plan.tap_at[tap] = (
                                        c * w_strides[2]
                                        + (depth.tap_first + t * depth.tap_step) * w_strides[3]
                                        + q * w_strides[4]
                                        + (column.tap_first + s * column.tap_step) * w_strides[5])
                                    tap += 1
                part += 1
    # Taps that reach no output are in no phase.
    plan.taps = plan.planes.taps = tap


cdef inline int make_plan(Plan* plan, const Layout* layout, const Py_ssize_t* depth,
                          const Py_ssize_t* row, const Py_ssize_t* column,
                          int isa) except -1:
    """Complete the plan for arrays of this layout; `free_plan` gives its tables back."""
    cdef const Py_ssize_t* x = &layout.x.shape[0]
    cdef const Py_ssize_t* w = &layout.w.shape[0]
    cdef const Py_ssize_t* y = &layout.y.shape[0]
    cdef Py_ssize_t parts, taps = w[2] * w[3] * w[4] * w[5], itemsize = layout.itemsize
    plan.layout = layout[0]
    plan.batch, plan.groups, plan.in_channels = x[0], x[1], x[2]
    plan.out_channels = y[2]
    plan.depth = make_axis(x[3], y[3], depth)
    plan.row = make_axis(x[4], y[4], row)
    plan.column = make_axis(x[5], y[5], column)
    plan.isa, plan.lanes = isa, vector_bytes(isa) // itemsize
    if size_units(plan, itemsize) < 0:
        raise MemoryError("the padded input of a few outputs does not fit in memory")
    parts = plan.depth.phases * plan.row.phases * plan.column.phases
    plan.borders = <Border*>malloc(plan.column_blocks * plan.splits * sizeof(Border))
    plan.parts = <Part*>malloc((parts + 1) * sizeof(Part))
    plan.shifts = <Py_ssize_t*>malloc(taps * sizeof(Py_ssize_t))
    plan.tap_at = <Py_ssize_t*>malloc(taps * sizeof(Py_ssize_t))
    if (plan.borders is NULL or plan.parts is NULL or plan.shifts is NULL
            or plan.tap_at is NULL):
        raise MemoryError("no room for the tables of a convolution's taps")
    fill_borders(plan)
    plan.block = 0
    if has_small_planes(plan):
        place_planes(plan, itemsize)
    fill_parts(plan)
    return 0


cdef inline void free_plan(Plan* plan) noexcept nogil:
    free(plan.borders)
    free(plan.parts)
    free(plan.shifts)
    free(plan.tap_at)


cdef inline Unit find_unit(const Plan* plan, Py_ssize_t number) noexcept nogil:
    """Return the unit of this number, counted over samples, groups, depth, rows, columns."""
    cdef Unit unit
    unit.column_block = number % plan.column_blocks
    number //= plan.column_blocks
    unit.oh = number % plan.row_blocks * plan.rows
    number //= plan.row_blocks
    unit.od = number % plan.depth.out
    number //= plan.depth.out
    unit.g = number % plan.groups
    unit.n = number // plan.groups
    unit.depth_first = unit.od % plan.depth.step
    unit.depth_m = unit.od // plan.depth.step
    size_unit(plan, &unit)
    return unit


cdef inline void size_unit(const Plan* plan, Unit* unit) noexcept nogil:
    unit.ow = unit.column_block * plan.columns
    unit.rows = min(plan.rows, plan.row.count - unit.oh)
    unit.columns = min(plan.columns, plan.column.count - unit.ow)


cdef inline void next_unit(const Plan* plan, Unit* unit) noexcept nogil:
    """Go on to the next unit, without `find_unit`'s divisions: each costs as much as a row."""
    unit.column_block += 1
    if unit.column_block == plan.column_blocks:
        unit.column_block = 0
        unit.oh += plan.rows
        if unit.oh >= plan.row.count:
            unit.oh = 0
            unit.od += 1
            unit.depth_first += 1
            if unit.depth_first == plan.depth.step:
                unit.depth_first = 0
                unit.depth_m += 1
            if unit.od == plan.depth.out:
                unit.od = unit.depth_first = unit.depth_m = 0
                unit.g += 1
                if unit.g == plan.groups:
                    unit.g = 0
                    unit.n += 1
    size_unit(plan, unit)


cdef inline void gather_weights(const char* w, const Plan* plan, Py_ssize_t group, Py_ssize_t step,
                                floating* weights) noexcept nogil:
    """Copy the kernels of a group, in the order of the plan's taps, `step` apart."""
    cdef Py_ssize_t k, i
    cdef const char* kernel = w + group * plan.layout.w.strides[0]
    for k in range(plan.out_channels):
        for i in range(plan.taps):
            weights[k * step + i] = (<const floating*>(kernel + plan.tap_at[i]))[0]
        kernel += plan.layout.w.strides[1]
