# cython: cdivision=True
# What the two kinds of pooling share: the windows, the lines of a task, and their memory.

from libc.stdlib cimport calloc

from fastconv.engine.base.arrays cimport View, look, plane_at

cdef enum:
    DEPTH = 0
    ROW = 1
    COLUMN = 2
    # The lines of a task take about so many bytes: half of a first-level cache of 32 KB.
    BLOCK_BYTES = 16384
    # Multiply-adds that finding a line and its tail are worth.
    LINE_COST = 24
    # Two threads that write into one cache line would wait for each other.
    CACHE_LINE = 64


# What the tables of windows hold, on one axis.
cdef struct Window:
    long long first             # input position inside the window
    long long inside            # input positions that the window holds
    long long counted           # cells that a mean with `count_include_pad` divides by


cdef struct Plan:
    const Window* windows[3]    # depth, row, column
    Py_ssize_t outs[3]          # how many windows
    Py_ssize_t taps[3]          # of the kernel
    Py_ssize_t dilation[3]
    Py_ssize_t row_taps         # of all rows of the kernel
    Py_ssize_t stride, before   # of the columns
    Py_ssize_t pitch, width     # of a line: its windows, and its columns
    Py_ssize_t columns          # of the input that a line takes
    Py_ssize_t lines, block     # of all planes, and of a task
    Py_ssize_t slack            # columns beyond the lines that are read, and dropped
    bint cut                    # whether no window lies inside as a whole


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


cdef inline int make_plan(Plan* plan, tuple tables, tuple steps, const View* lines,
                          Py_ssize_t in_columns) except -1:
    """Plan the pooling of lines with so many columns of the input; `lines` are what is written."""
    cdef View table
    cdef Py_ssize_t axis, i
    taps, stride, before, dilation = steps
    for axis in range(3):
        look(tables[axis], 2, False, &table)
        plan.windows[axis], plan.outs[axis] = <const Window*>table.data, table.shape[0]
        plan.taps[axis] = 0
        for i in range(plan.outs[axis]):
            plan.taps[axis] = max(plan.taps[axis], plan.windows[axis][i].inside)
        plan.dilation[axis] = dilation[axis]
    plan.row_taps = plan.taps[DEPTH] * plan.taps[ROW]
    plan.cut = plan.taps[COLUMN] < taps[COLUMN]
    plan.slack = 0 if plan.cut else (plan.taps[COLUMN] - 1) * plan.dilation[COLUMN]
    # Padding may be larger than any memory where it cuts all windows, so that all differ. The
    # stride has no meaning there, nor where there is one window: as long as that, it leaves no
    # positions between windows to be computed.
    plan.stride = stride[COLUMN]
    if plan.cut or plan.outs[COLUMN] == 1:
        plan.stride = plan.slack + 1
    plan.before = 0 if plan.cut else before[COLUMN]
    plan.pitch = plan.outs[COLUMN] + plan.slack // plan.stride
    plan.width = in_columns if plan.cut else plan.pitch * plan.stride
    plan.columns = min(in_columns, plan.width - plan.before)
    plan.lines = lines.shape[0] * lines.shape[1] * lines.shape[2] * lines.shape[3]
    plan.block = min(max(BLOCK_BYTES // (plan.width * lines.itemsize), 1), plan.lines)
    return 0


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
    """Take zeros: `shared` bytes, and `own` for each thread, in cache lines of their own."""
    shared = (shared + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE
    memory.own_bytes = (own + 2 * CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE
    memory.shared = <char*>calloc(shared + threads * memory.own_bytes, 1)
    if memory.shared is NULL:
        raise MemoryError(
            f"no room for {threads} blocks of {memory.own_bytes} bytes, and {shared} bytes")
    memory.own = memory.shared + shared
    return 0


cdef inline Py_ssize_t tasks_of(const Plan* plan) noexcept nogil:
    return (plan.lines + plan.block - 1) // plan.block
