# cython: cdivision=True
# What pooling and its gradients share: the plan, the lines of a task, their memory, and what a mean
# divides by.

from libc.math cimport frexp

from fastconv.engine.base.arrays cimport Flat, View, look_flat, plane_at, planes_in_order
from fastconv.engine.base.workspace cimport take
from fastconv.engine.ops.window_loops cimport Loops, loops_of

cdef enum:
    DEPTH = 0
    ROW = 1
    COLUMN = 2
    # Multiply-adds that finding a line and its tail are worth.
    LINE_COST = 24
    # Numbers of windows.py before the windows.
    HEAD = 20
    # Two threads that write into one cache line would wait for each other.
    CACHE_LINE = 64


# A window on one axis.
cdef struct Window:
    long long first             # input position inside the window
    long long inside            # input positions that the window holds
    long long counted           # cells that a mean with `count_include_pad` divides by


# What does not change from call to call comes from windows.py.
cdef struct Plan:
    const Loops* loops
    Py_ssize_t size             # bytes of a number
    const Window* windows[3]    # depth, row, column
    Py_ssize_t plane_step[3]    # from the windows of one plane to the next's; 0 where all are alike
    Py_ssize_t outs[3]          # how many windows
    Py_ssize_t taps[3]          # the most positions that a window holds
    Py_ssize_t dilation[3]
    Py_ssize_t row_stride       # between the windows of rows if all are whole, and even; else 0
    double common[2]            # positions, or cells, of each window where all have as many, else 0
    Py_ssize_t stride, before   # of the columns
    Py_ssize_t pitch, width     # of a line: its windows, and its columns
    Py_ssize_t columns          # of the input that a line takes
    Py_ssize_t slack            # columns beyond the lines that are read, and dropped
    bint cut                    # whether the windows of columns are found in their table
    Py_ssize_t lines, block     # of all planes, and of a task


# What a mean divides by.
cdef struct Divisor:
    double cells                # of all windows, or 0 where each counts its own
    bint pads                   # whether padding counts
    # The inverse of the cells where all windows have as many and that is a power of two: to
    # multiply by it is exactly to divide, and faster. Else 0.
    double factor
    char* columns               # the cells of each column


cdef struct Line:
    Py_ssize_t n, c, d, h


# The lines of a task, among those of some maps.
cdef struct Lines:
    Line first
    Py_ssize_t count


# Memory for one call: a part that all threads read, and one for each.
cdef struct Memory:
    char* shared
    char* own
    Py_ssize_t own_bytes


cdef inline void cut_lines(Plan* plan, const View* maps, Py_ssize_t bytes) noexcept nogil:
    """Say how many lines the maps have, and how many of them are a task: about so many bytes."""
    plan.lines = maps.shape[0] * maps.shape[1] * maps.shape[2] * maps.shape[3]
    plan.block = min(max(bytes // (plan.width * plan.size), 1), plan.lines)


cdef inline int make_plan(Plan* plan, numbers, Py_ssize_t itemsize) except -1:
    """Read the numbers of windows.py."""
    cdef Flat flat
    cdef const long long* n
    cdef const Window* windows
    cdef int axis
    look_flat(numbers, False, &flat)
    n = <const long long*>flat.data
    windows = <const Window*>(n + HEAD)
    for axis in range(3):
        plan.outs[axis], plan.taps[axis], plan.dilation[axis] = n[axis], n[3 + axis], n[6 + axis]
        plan.plane_step[axis] = plan.outs[axis] if n[19] > 1 else 0
        plan.windows[axis] = windows
        windows += n[19] * plan.outs[axis]
    plan.row_stride, plan.common[0], plan.common[1] = n[9], n[10], n[11]
    plan.stride, plan.before, plan.pitch, plan.width = n[12], n[13], n[14], n[15]
    plan.columns, plan.slack, plan.cut = n[16], n[17], n[18]
    plan.loops, plan.size = loops_of(itemsize), itemsize
    return 0


cdef inline const Window* windows_of(const Plan* plan, int axis, const View* maps,
                                     const Line* line) noexcept nogil:
    """Return the windows of an axis of a line's plane."""
    return plan.windows[axis] + (line.n * maps.shape[1] + line.c) * plan.plane_step[axis]


cdef inline Py_ssize_t lines_together(const Plan* plan, const View* whole,
                                      const View* pooled) noexcept nogil:
    """Return up to which line of a plane windows lie as those before: the plane's last, or all
    where planes that lie behind each other are one tall plane; 0 where rows differ.
    """
    if not plan.row_stride:
        return 0
    if (pooled.shape[2] == 1 == whole.shape[2]
            and whole.shape[3] == plan.row_stride * pooled.shape[3]
            and whole.strides[3] == whole.shape[4] * whole.itemsize
            and planes_in_order(whole, 5) and planes_in_order(pooled, 5)):
        return plan.lines
    return pooled.shape[3]


cdef inline bint pairs_columns(const Plan* plan) noexcept nogil:
    """Whether the windows hold two columns each, one beside the other."""
    return plan.stride == 2 and plan.slack == 1


cdef inline long long cells_in(const Window* window, bint pads) noexcept nogil:
    return window.counted if pads else window.inside


cdef inline Divisor make_divisor(const Plan* plan, double cells, bint pads) noexcept nogil:
    """Make all but the columns."""
    cdef Divisor divisor
    cdef double common = cells if cells else plan.common[pads]
    cdef int exponent
    divisor.cells, divisor.pads, divisor.columns = cells, pads, NULL
    divisor.factor = 1 / common if frexp(common, &exponent) == 0.5 else 0
    return divisor


cdef inline void count_columns(const Plan* plan, Divisor* divisor, char* columns) noexcept nogil:
    """Write for each window of a line what its mean divides by, for one row."""
    cdef const Window* window = plan.windows[COLUMN]
    divisor.columns = columns
    plan.loops.count_cells(
        columns,
        NULL if divisor.cells else &window.counted if divisor.pads else &window.inside,
        plan.outs[COLUMN])


cdef inline double cells_of(const Plan* plan, const Divisor* divisor, Py_ssize_t d,
                            Py_ssize_t h) noexcept nogil:
    """Return the share of a line in what its means divide by; the columns have the other."""
    if divisor.cells:
        return divisor.cells
    return (<double>cells_in(plan.windows[DEPTH] + d, divisor.pads)
            * cells_in(plan.windows[ROW] + h, divisor.pads))


cdef inline Py_ssize_t tasks_of(const Plan* plan) noexcept nogil:
    return (plan.lines + plan.block - 1) // plan.block


cdef inline Lines find_lines(const Plan* plan, const View* maps, Py_ssize_t task) noexcept nogil:
    cdef Lines lines
    cdef Py_ssize_t number = task * plan.block
    lines.count = min(plan.block, plan.lines - number)
    lines.first.h = number % maps.shape[3]
    number //= maps.shape[3]
    lines.first.d = number % maps.shape[2]
    number //= maps.shape[2]
    lines.first.c = number % maps.shape[1]
    lines.first.n = number // maps.shape[1]
    return lines


cdef inline void next_line(Line* line, const View* maps) noexcept nogil:
    line.h += 1
    if line.h == maps.shape[3]:
        line.h = 0
        line.d += 1
        if line.d == maps.shape[2]:
            line.d = 0
            line.c += 1
            if line.c == maps.shape[1]:
                line.c = 0
                line.n += 1


cdef inline char* row_at(const View* maps, const Line* line, Py_ssize_t d,
                         Py_ssize_t h) noexcept nogil:
    """Return where a row of a line's map begins."""
    return plane_at(maps, line.n, line.c) + d * maps.strides[2] + h * maps.strides[3]


cdef inline int allocate(Memory* memory, Py_ssize_t shared, int threads, Py_ssize_t own) except -1:
    """Take workspace: `shared` bytes, and `own` for each thread, in cache lines of their own."""
    shared = (shared + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE
    memory.own_bytes = (own + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE
    memory.shared = <char*>take(shared + threads * memory.own_bytes)
    memory.own = memory.shared + shared
    return 0
