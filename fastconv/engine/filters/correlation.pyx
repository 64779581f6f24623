# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the places and runs come from `frames`, which makes them for the shapes.
"""Filters with any taps, over any number of axes: block by block, each from a tile.

The room's docstring says how.
"""

from fastconv.engine.base.arrays cimport Flat, look_flat
from fastconv.engine.base.threads cimport Phase, make_phase, parallel_phases, threads_for
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.filters.images cimport (
    LINE, MOST_AXES, Loops, Run, Taps, bring_line, look_strides, loops_for, whole_lines)

# Multiply-adds that take the time of bringing a number into the tile, and a result out of it.
cdef double MOVED = 8


cdef struct Axis:
    Py_ssize_t size                     # of the result
    Py_ssize_t window                   # numbers that a result sees along the axis
    Py_ssize_t block, blocks            # results of a block, and how many blocks there are
    Py_ssize_t pitch                    # numbers of the tile from one position to the next
    Py_ssize_t x_stride, y_stride       # in bytes
    const Py_ssize_t* places            # what a position before the windows shows, or -1


cdef struct Filter:
    int axes
    Axis axis[MOST_AXES]
    const Run* runs
    const char* x
    char* y
    Py_ssize_t kernels, kernel_stride   # how many filters; from one's result to the next one's
    Py_ssize_t tasks
    int x_type, y_type
    bint direct                         # results need no buffer
    const Loops* loops
    Taps taps
    const char* weights                 # of all kernels, one behind the other
    const void* outside                 # what cells outside of the image hold
    char* own                           # the threads' tiles and buffers
    Py_ssize_t own_bytes, buffer_at


# ---- into the tile -------------------------------------------------------------------------------

cdef void bring(const Filter* p, const Py_ssize_t* begin, const Py_ssize_t* count, int axis,
                const char* x, char* to) noexcept nogil:
    """Fill the tile of a block; `x` is NULL outside of the image."""
    cdef const Axis* a = p.axis + axis
    cdef Py_ssize_t positions = count[axis] + a.window - 1, i, place
    if axis == p.axes - 1:
        if x is NULL:
            p.loops.fill(p.outside, positions, to)
        else:
            bring_line(p.loops, p.x_type, x, a.x_stride, p.runs, begin[axis],
                       begin[axis] + positions, p.outside, to)
        return
    for i in range(positions):
        place = a.places[begin[axis] + i]
        bring(p, begin, count, axis + 1, NULL if x is NULL or place < 0 else x + place * a.x_stride,
              to + i * a.pitch * p.loops.itemsize)


# ---- out of the tile -----------------------------------------------------------------------------

cdef void weigh_rows(const Filter* p, const char* weights, Py_ssize_t rows, Py_ssize_t width,
                     const char* tile, char* buffer, char* y) noexcept nogil:
    """Compute results of the last two axes."""
    cdef const Axis* row = p.axis + p.axes - 2
    cdef const Axis* column = row + 1
    cdef Py_ssize_t size = p.loops.itemsize, pitch, i
    if p.direct and width >= p.loops.lanes:
        p.loops.weigh(tile, row.pitch, rows, width, &p.taps, weights, y, row.y_stride // size)
        return
    pitch = max(width, p.loops.lanes)
    p.loops.weigh(tile, row.pitch, rows, width, &p.taps, weights, buffer, pitch)
    for i in range(rows):
        p.loops.write[p.y_type](buffer + i * pitch * size, width, y + i * row.y_stride,
                                column.y_stride)


cdef void weigh(const Filter* p, const char* weights, const Py_ssize_t* count, int axis,
                const char* tile, char* buffer, char* y) noexcept nogil:
    cdef const Axis* a = p.axis + axis
    cdef Py_ssize_t i
    if axis == p.axes - 2:
        weigh_rows(p, weights, count[axis], count[axis + 1], tile, buffer, y)
        return
    for i in range(count[axis]):
        weigh(p, weights, count, axis + 1, tile + i * a.pitch * p.loops.itemsize, buffer,
              y + i * a.y_stride)


cdef void filter_block(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Filter* p = <const Filter*>context
    cdef char* tile = p.own + thread * p.own_bytes
    cdef char* y = p.y
    cdef Py_ssize_t begin[MOST_AXES]
    cdef Py_ssize_t count[MOST_AXES]
    cdef Py_ssize_t k
    cdef int axis
    cdef const Axis* a
    for axis in range(p.axes - 1, -1, -1):
        a = p.axis + axis
        begin[axis] = task % a.blocks * a.block
        task //= a.blocks
        count[axis] = min(a.block, a.size - begin[axis])
        y += begin[axis] * a.y_stride
    bring(p, begin, count, 0, p.x, tile)
    for k in range(p.kernels):
        weigh(p, p.weights + k * p.taps.count * p.loops.itemsize, count, 0, tile,
              tile + p.buffer_at, y + k * p.kernel_stride)


# ---- the plan ------------------------------------------------------------------------------------

cdef int place_taps(Filter* p, const Flat* taps, Py_ssize_t* offsets) noexcept nogil:
    """Write the offset of each tap, which is given as a position on each axis."""
    cdef Py_ssize_t k, offset
    cdef const Py_ssize_t* tap = <const Py_ssize_t*>taps.data
    cdef int axis
    for k in range(taps.size // p.axes):
        offset = 0
        for axis in range(p.axes):
            offset += tap[axis] * p.axis[axis].pitch
        offsets[k] = offset
        tap += p.axes
    return 0


def correlate(x, y, numbers, frame, taps, weights, outside, int fold, double start, planes):
    """Write into y[k] the sum of the taps of `x`, with the weights k.

    Parameters
    ----------
    x : array
        The image, of any strides: at least two axes.
    y : array
        The results, one for each kernel: an axis more than `x`.
    numbers : tuple of int
        The type of the sums, and those of `x` and `y` (types.py).
    frame : Frame
        How the image is continued, and cut into blocks (frames.py).
    taps : array of int
        The position of each tap in the window on each axis, in the order in which they are added;
        of folded taps first the middle and the first of each pair, then those of the second.
    weights : array
        Of the type of the sums, (kernels, taps).
    outside : array
        Of the type of the sums, one number: what cells outside of the image hold.
    fold : {0, 1, -1}
        Whether taps are added, or subtracted, in pairs before they are weighed.
    start : float
        What each sum begins with.
    planes : tuple of int, optional
        Rows and columns of the window on the last two axes, where the taps fill the window.
    """
    cdef Filter p
    cdef Flat flat
    cdef Phase phase
    cdef Py_ssize_t shape[MOST_AXES + 1]
    cdef Py_ssize_t strides[MOST_AXES + 1]
    cdef Py_ssize_t rows, width, size, results = 1, tile = 1, i, weights_count
    cdef Py_ssize_t* offsets
    cdef int axis, threads
    cdef Axis* a
    cdef char* workspace
    p.axes = len(frame.size)
    if not 2 <= p.axes <= MOST_AXES:
        raise ValueError(f"a filter has 2 to {MOST_AXES} axes, got {p.axes}")
    p.loops = loops_for(numbers[0])
    p.x_type, p.y_type = numbers[1], numbers[2]
    size = p.loops.itemsize
    look_strides(x, p.axes, False, shape, strides, <char**>&p.x)
    for axis in range(p.axes):
        p.axis[axis].x_stride = strides[axis]
    look_strides(y, p.axes + 1, True, shape, strides, &p.y)
    p.kernels, p.kernel_stride = shape[0], strides[0]
    look_flat(frame.places, False, &flat)
    i = 0
    for axis in range(p.axes):
        a = p.axis + axis
        a.size, a.window, a.block = shape[axis + 1], frame.window[axis], frame.block[axis]
        a.y_stride = strides[axis + 1]
        a.blocks = (a.size + a.block - 1) // a.block
        a.places = <const Py_ssize_t*>flat.data + i
        i += a.size + a.window - 1
    look_flat(frame.runs, False, &flat)
    p.runs = <const Run*>flat.data
    look_flat(outside, False, &flat)
    p.outside = flat.data
    # Rows of the tile are whole cache lines, of an odd number: else many would share a set.
    p.tasks = 1
    for axis in range(p.axes - 1, -1, -1):
        a = p.axis + axis
        a.pitch = tile
        tile *= a.block + a.window - 1
        if axis == p.axes - 1:
            tile = (whole_lines(tile * size) // LINE | 1) * LINE // size
        p.tasks *= a.blocks
        results *= a.size
    rows, width = p.axis[p.axes - 2].block, p.axis[p.axes - 1].block
    # Vectors read past the end of the last row.
    p.buffer_at = whole_lines((tile + 4 * p.loops.lanes) * size)
    p.own_bytes = p.buffer_at + whole_lines(rows * (width + p.loops.lanes) * size)
    p.direct = (p.axis[p.axes - 1].y_stride == size
                and (p.y_type == p.loops.plain[0] or p.y_type == p.loops.plain[1]))
    p.taps.fold, p.taps.start = fold, start
    look_flat(weights, False, &flat)
    p.weights, weights_count = <const char*>flat.data, flat.size // max(p.kernels, 1)
    p.taps.count = weights_count
    p.taps.tall = p.taps.wide = 0
    if planes is not None:
        p.taps.tall, p.taps.wide = planes
    if results * p.kernels == 0:
        return
    threads = threads_for(<double>results * (p.kernels * (weights_count + MOVED) + MOVED))
    threads = max(min(threads, p.tasks), 1)
    look_flat(taps, False, &flat)
    workspace = <char*>take(threads * p.own_bytes + flat.size * sizeof(Py_ssize_t))
    p.own = workspace
    offsets = <Py_ssize_t*>(workspace + threads * p.own_bytes)
    with nogil:
        place_taps(&p, &flat, offsets)
        p.taps.offsets = offsets
        p.taps.partners = offsets + p.taps.count
        phase = make_phase(filter_block, &p, p.tasks)
        # The results are those of plain loops in double precision.
        phase.denormals = True
        parallel_phases(threads, &phase, 1)
        give(workspace)
