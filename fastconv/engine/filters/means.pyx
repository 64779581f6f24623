# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the places come from fastconv.functional, which makes them for the shapes.
"""Running means along one axis.

A sum follows from the one before it, so a line is computed from its begin to its end; the lanes
of the vectors are lines side by side. A task has some lines. It goes along them in steps, each from
a tile that holds the lines as columns.
"""

from libc.string cimport memset

from fastconv.engine.base.arrays cimport Flat, look_flat
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport Phase, make_phase, parallel_phases, threads_for
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.filters.images cimport (
    MOST_AXES, Loops, Run, bring_line, look_strides, loops_for, whole_lines)

cdef extern from "filters/slides.h" nogil:
    ctypedef struct Slides "fastconv_slides":
        void (*slide)(const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*,
                      double*) noexcept nogil
        void (*gather)(const double*, Py_ssize_t, Py_ssize_t, double*, Py_ssize_t) noexcept nogil
        void (*spread)(const double*, Py_ssize_t, Py_ssize_t, double*, Py_ssize_t) noexcept nogil
    const Slides** slides "fastconv_slide_rows"

cdef int isa = isa_row()

cdef enum:
    # Sums are doubles: their number in types.py.
    DOUBLES = 1
    # Lines of a task, and positions of a step.
    WIDTH = 32
    STEP = 128
    # Multiply-adds that take the time of a mean, with what brings a number and takes it away.
    COST = 24


cdef struct Means:
    int outer                           # axes before those of the lines and along them
    Py_ssize_t size[MOST_AXES]
    Py_ssize_t x_stride[MOST_AXES]      # in bytes
    Py_ssize_t y_stride[MOST_AXES]
    const Run* runs
    const Py_ssize_t* places
    Py_ssize_t window, step
    Py_ssize_t blocks                   # tasks of the lines of one axis
    const char* x
    char* y
    int x_type, y_type
    bint x_across, y_across             # whether neighbours are those of the next line
    const Loops* loops
    const Slides* slides
    const double* outside
    char* own
    Py_ssize_t own_bytes, line, results_at, lines_at


cdef void bring(const Means* p, const char* x, Py_ssize_t width, Py_ssize_t begin, Py_ssize_t end,
                double* tile, double* lines) noexcept nogil:
    """Fill the tile with the positions from `begin` to `end` of some lines."""
    cdef Py_ssize_t along = p.x_stride[p.outer + 1], across = p.x_stride[p.outer], i, c, j
    cdef Py_ssize_t lanes = p.loops.lanes
    if p.x_across:
        for i in range(begin, end):
            if p.places[i] < 0:
                p.loops.fill(p.outside, width, tile)
            else:
                p.loops.read[p.x_type](x + p.places[i] * along, across, width, tile)
            tile += WIDTH
        return
    for i in range((width + lanes - 1) // lanes):
        c = i * lanes
        for j in range(c, min(c + lanes, width)):
            bring_line(p.loops, p.x_type, x + j * across, along, p.runs, begin, end, p.outside,
                       <char*>(lines + (j - c) * p.line))
        p.slides.gather(lines, p.line, end - begin, tile + c, WIDTH)


cdef void take_away(const Means* p, const double* results, Py_ssize_t width, Py_ssize_t begin,
                    Py_ssize_t count, double* lines, char* y) noexcept nogil:
    """Write so many means of some lines, from the position `begin` on."""
    cdef Py_ssize_t along = p.y_stride[p.outer + 1], across = p.y_stride[p.outer], i, c, j
    cdef Py_ssize_t lanes = p.loops.lanes
    y += begin * along
    if p.y_across:
        for i in range(count):
            p.loops.write[p.y_type](results + i * WIDTH, width, y + i * along, across)
        return
    for i in range((width + lanes - 1) // lanes):
        c = i * lanes
        p.slides.spread(results + c, WIDTH, count, lines, p.line)
        for j in range(c, min(c + lanes, width)):
            p.loops.write[p.y_type](lines + (j - c) * p.line, count, y + j * across, along)


cdef void first_means(const double* tile, Py_ssize_t window, double* sums,
                      double* means) noexcept nogil:
    cdef Py_ssize_t i, j
    for j in range(WIDTH):
        sums[j] = 0
    for i in range(window):
        for j in range(WIDTH):
            sums[j] += tile[i * WIDTH + j]
    for j in range(WIDTH):
        means[j] = sums[j] / window


cdef void slide_lines(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Means* p = <const Means*>context
    cdef double* tile = <double*>(p.own + thread * p.own_bytes)
    cdef double* results = <double*>(<char*>tile + p.results_at)
    cdef double* lines = <double*>(<char*>tile + p.lines_at)
    cdef double[WIDTH] sums
    cdef Py_ssize_t length = p.size[p.outer + 1], first = task % p.blocks * WIDTH
    cdef Py_ssize_t width = min(WIDTH, p.size[p.outer] - first), begin, count, place
    cdef const char* x = p.x + first * p.x_stride[p.outer]
    cdef char* y = p.y + first * p.y_stride[p.outer]
    cdef int axis
    task //= p.blocks
    for axis in range(p.outer - 1, -1, -1):
        place = task % p.size[axis]
        task //= p.size[axis]
        x += place * p.x_stride[axis]
        y += place * p.y_stride[axis]
    bring(p, x, width, 0, p.window, tile, lines)
    first_means(tile, p.window, sums, results)
    take_away(p, results, width, 0, 1, lines, y)
    begin = 1
    while begin < length:
        count = min(p.step, length - begin)
        bring(p, x, width, begin - 1, begin + count + p.window - 1, tile, lines)
        p.slides.slide(tile, WIDTH, width, p.window, count, sums, results)
        take_away(p, results, width, begin, count, lines, y)
        begin += count


def slide(x, y, types, frame, outside):
    """Write into `y` the means of windows along the last axis of `x`.

    Parameters
    ----------
    x, y : array
        The image and the result, of one shape and any strides: the last axis is filtered, the one
        before it has the lines that are computed side by side.
    types : tuple of int
        Of `x` and `y` (types.py).
    frame : Frame
        How the image is continued along the last axis.
    outside : array
        One double: what cells outside of the image hold.
    """
    cdef Means p
    cdef Flat flat
    cdef Phase phase
    cdef Py_ssize_t lines = 1
    cdef int axis, threads, axes = len(frame.size)
    if not 2 <= axes <= MOST_AXES:
        raise ValueError(f"a filter has 2 to {MOST_AXES} axes, got {axes}")
    p.outer = axes - 2
    p.loops, p.slides = loops_for(DOUBLES), slides[isa]
    p.x_type, p.y_type = types
    look_strides(x, axes, False, p.size, p.x_stride, <char**>&p.x)
    look_strides(y, axes, True, p.size, p.y_stride, &p.y)
    p.x_across = abs(p.x_stride[p.outer]) <= abs(p.x_stride[p.outer + 1])
    p.y_across = abs(p.y_stride[p.outer]) <= abs(p.y_stride[p.outer + 1])
    p.window = frame.window[axes - 1]
    look_flat(frame.places, False, &flat)
    p.places = <const Py_ssize_t*>flat.data + flat.size - (p.size[axes - 1] + p.window - 1)
    look_flat(frame.runs, False, &flat)
    p.runs = <const Run*>flat.data
    look_flat(outside, False, &flat)
    p.outside = <const double*>flat.data
    p.step = max(STEP, p.window)
    # Whole vectors of positions are turned into columns and back.
    p.line = (p.step + p.window + p.loops.lanes) // p.loops.lanes * p.loops.lanes | p.loops.lanes
    p.results_at = whole_lines(p.line * WIDTH * sizeof(double))
    p.lines_at = p.results_at + whole_lines(
        (p.step + p.loops.lanes) * WIDTH * sizeof(double))
    p.own_bytes = p.lines_at + whole_lines(p.line * p.loops.lanes * sizeof(double))
    p.blocks = (p.size[p.outer] + WIDTH - 1) // WIDTH
    for axis in range(p.outer):
        lines *= p.size[axis]
    phase = make_phase(slide_lines, &p, lines * p.blocks)
    # The results are those of plain loops in double precision.
    phase.denormals = True
    threads = threads_for(<double>COST * lines * p.size[p.outer] * p.size[p.outer + 1])
    threads = max(min(threads, phase.tasks), 1)
    p.own = <char*>take(threads * p.own_bytes)
    with nogil:
        # Columns without a line hold numbers, too.
        memset(p.own, 0, threads * p.own_bytes)
        parallel_phases(threads, &phase, 1)
        give(p.own)
