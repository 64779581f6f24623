# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: `Planes` counts all sizes from the lengths.
"""Correlations of planes as products of transforms: every step, for some number of threads.

A block of the input, with its zeros, is D planes of 2R rows and W columns, or a line cut into so
many rows. Its two halves are the real and the imaginary parts of R rows of complex numbers,
multiplied by powers of a root: the complex cycle is then a real one of twice the length, whose wrap
changes the sign (see `tables`). The steps of a block, each a loop over lines, a vector of them at
a time:

    columns_in   -> depths_in -> rows: forward, products, inverse -> depths_out -> columns_out
    x to work                                                                      work to y

The work area holds strips of LANES columns: (strip, plane, row) cells, so that columns lie behind
each other; LANES rows of a strip are one block to turn. The spectra of weights are (plane, LANES
rows, column) cells, as the rows come out of their transform.
"""

from libc.string cimport memcpy, memset

from fastconv.engine.base.threads cimport Phase, make_phase, parallel_phases, threads_for
from fastconv.engine.base.workspace cimport give, take

# No row or column is so far away.
cdef Py_ssize_t FAR = <Py_ssize_t>1 << 62
# About the multiply-adds that each number of a transform takes.
cdef double WORK = 8

# A sample of a group at one block.
cdef struct Unit:
    const Job* job
    char* work
    Py_ssize_t sample, group
    Py_ssize_t start[3]
    # The planes and the strips of the work area that are not zeros; and those that are wanted.
    Py_ssize_t planes_from, planes_to, strips_from, strips_to
    Py_ssize_t wanted_planes_from, wanted_planes_to, wanted_from, wanted_to

ctypedef void (*Step)(const Unit*, Py_ssize_t, char*) noexcept nogil


cdef void place_unit(const Job* job, Py_ssize_t number, char* work, Unit* unit) noexcept nogil:
    cdef const Sizes* s = job.sizes
    cdef Py_ssize_t axis, first, last
    unit.job, unit.work = job, work
    for axis in range(2, -1, -1):
        unit.start[axis] = number % job.counts[axis] * job.size[axis]
        number //= job.counts[axis]
    unit.group = number % job.x.shape[1]
    unit.sample = number // job.x.shape[1]
    first = unit.start[0] - job.before[0]
    unit.planes_from = min(max(-first, 0), s.planes)
    unit.planes_to = max(min(job.x.shape[3] - first, s.planes), unit.planes_from)
    unit.strips_from, unit.strips_to = 0, s.strips
    unit.wanted_from, unit.wanted_to = 0, s.strips
    if s.twist is NULL:
        first = unit.start[2] - job.before[2]
        unit.strips_from = min(max(-first, 0) // s.lanes, s.strips)
        last = max(min(job.x.shape[5] - first, s.columns), 0)
        unit.strips_to = max((last + s.lanes - 1) // s.lanes, unit.strips_from)
        last = job.skip[2] + min(job.size[2], job.y.shape[5] - unit.start[2])
        unit.wanted_from = job.skip[2] // s.lanes
        unit.wanted_to = (last + s.lanes - 1) // s.lanes
    unit.wanted_planes_from = job.skip[0]
    unit.wanted_planes_to = job.skip[0] + min(job.size[0], job.y.shape[3] - unit.start[0])


cdef inline char* line_at(const Unit* unit, Py_ssize_t channel, Py_ssize_t strip,
                          Py_ssize_t plane) noexcept nogil:
    cdef const Sizes* s = unit.job.sizes
    return (unit.work + channel * s.work_bytes + strip * s.strip_bytes + plane * s.column_bytes)


cdef void look_through(const Unit* unit, const Images* images, Py_ssize_t channel,
                       Py_ssize_t plane, const Py_ssize_t* offset, const Py_ssize_t* skip,
                       const Py_ssize_t* size, Window* window) noexcept nogil:
    """Find the cells `skip` .. `skip` + `size` of a block, whose cell 0 is the image's `offset`."""
    cdef const Sizes* s = unit.job.sizes
    cdef const Py_ssize_t* strides = &images.strides[0]
    window.data = (images.data + unit.sample * strides[0] + unit.group * strides[1]
                   + channel * strides[2] + (offset[0] + plane) * strides[3]
                   + offset[1] * strides[4] + offset[2] * strides[5])
    window.column = strides[5]
    if s.twist is NULL:
        window.row = strides[4]
        window.top, window.bottom = skip[1], skip[1] + size[1]
        window.left, window.right = skip[2], skip[2] + size[2]
        window.pitch, window.first, window.end = 0, -FAR, FAR
    else:
        window.row = s.columns * strides[5]
        window.top, window.bottom, window.left, window.right = 0, FAR, 0, s.columns
        window.pitch, window.first, window.end = s.columns, skip[2], skip[2] + size[2]


cdef inline char* strip_of(const Unit* unit, Py_ssize_t task, Py_ssize_t* channel,
                           Py_ssize_t* plane, Py_ssize_t* strip) noexcept nogil:
    """Say which strip of columns a task has, and return where its cells lie."""
    cdef const Sizes* s = unit.job.sizes
    strip[0], plane[0] = task % s.strips, task // s.strips % s.planes
    channel[0] = task // s.strips // s.planes
    return line_at(unit, channel[0], strip[0], plane[0])


# ---- the steps ----------------------------------------------------------------------------------

cdef void columns_in(const Unit* unit, Py_ssize_t task, char* scratch) noexcept nogil:
    """Transform the columns of a strip: task (channel, plane, strip)."""
    cdef const Job* job = unit.job
    cdef const Sizes* s = job.sizes
    cdef Py_ssize_t strip, plane, channel, axis
    cdef Py_ssize_t offset[3]
    cdef Py_ssize_t skip[3]
    cdef Window window
    cdef char* cells = strip_of(unit, task, &channel, &plane, &strip)
    if not (unit.planes_from <= plane < unit.planes_to
            and unit.strips_from <= strip < unit.strips_to):
        return
    for axis in range(3):
        offset[axis] = unit.start[axis] - job.before[axis]
        skip[axis] = -offset[axis]
    look_through(unit, &job.x, channel, plane, offset, skip, job.x.shape + 3, &window)
    s.loops.read_columns(&window, s.rows, strip * s.lanes,
                         min(s.lanes, s.columns - strip * s.lanes), s.weights, cells)
    s.loops.forward(&s.fold, cells)
    if s.twist is not NULL:
        s.loops.weigh(cells, 0, s.twist + strip * s.strip_bytes, 0, 1, s.rows, cells)
    memset(cells + s.rows * s.cell, 0, (s.padded - s.rows) * s.cell)


cdef void depth_lines(const Unit* unit, Py_ssize_t channel, Py_ssize_t strip, Py_ssize_t group,
                      bint back, char* scratch) noexcept nogil:
    """Transform LANES lines through the planes."""
    cdef const Sizes* s = unit.job.sizes
    cdef char* cells = line_at(unit, channel, strip, 0) + group * s.lanes * s.cell
    cdef Py_ssize_t _, plane
    cdef Py_ssize_t low = 0 if back else unit.planes_from
    cdef Py_ssize_t high = s.planes if back else unit.planes_to
    for _ in range(s.lanes):
        memset(scratch, 0, low * s.cell)
        for plane in range(low, high):
            memcpy(scratch + plane * s.cell, cells + plane * s.column_bytes, s.cell)
        memset(scratch + high * s.cell, 0, (s.planes - high) * s.cell)
        if back:
            s.loops.inverse(&s.depth, scratch)
        else:
            s.loops.forward(&s.depth, scratch)
        for plane in range(s.planes):
            memcpy(cells + plane * s.column_bytes, scratch + plane * s.cell, s.cell)
        cells += s.cell


cdef void depths_in(const Unit* unit, Py_ssize_t task, char* scratch) noexcept nogil:
    """Task (channel, strip, group of rows)."""
    cdef const Sizes* s = unit.job.sizes
    cdef Py_ssize_t strip = task // s.groups % s.strips
    if unit.strips_from <= strip < unit.strips_to:
        depth_lines(unit, task // s.groups // s.strips, strip, task % s.groups, False, scratch)


cdef void depths_out(const Unit* unit, Py_ssize_t task, char* scratch) noexcept nogil:
    """Task (output, strip, group of rows)."""
    cdef const Sizes* s = unit.job.sizes
    cdef Py_ssize_t strip = task // s.groups % s.strips
    if unit.wanted_from <= strip < unit.wanted_to:
        depth_lines(unit, task // s.groups // s.strips, strip, task % s.groups, True, scratch)


cdef void transform_rows(const Unit* unit, Py_ssize_t channel, Py_ssize_t plane, Py_ssize_t group,
                         char* to) noexcept nogil:
    """Transform LANES rows of a plane."""
    cdef const Sizes* s = unit.job.sizes
    cdef const char* cells = line_at(unit, channel, 0, plane) + group * s.lanes * s.cell
    cdef Py_ssize_t low = min(unit.strips_from * s.lanes, s.columns)
    cdef Py_ssize_t high = min(unit.strips_to * s.lanes, s.columns)
    if s.planes == 1 and unit.planes_from == unit.planes_to:
        high = low
    memset(to, 0, low * s.cell)
    if high > low:
        s.loops.turn_in(cells + unit.strips_from * s.strip_bytes, s.strip_bytes // s.itemsize,
                        high - low, to + low * s.cell)
    memset(to + high * s.cell, 0, (s.columns - high) * s.cell)
    s.loops.forward(&s.across, to)


cdef void rows_back(const Unit* unit, Py_ssize_t channel, Py_ssize_t plane, Py_ssize_t group,
                    char* sums) noexcept nogil:
    """Transform LANES rows of a plane back, in place and into the work area."""
    cdef const Sizes* s = unit.job.sizes
    cdef char* cells = line_at(unit, channel, unit.wanted_from, plane) + group * s.lanes * s.cell
    cdef Py_ssize_t first = unit.wanted_from * s.lanes
    s.loops.inverse(&s.across, sums)
    s.loops.turn_out(sums + first * s.cell, min(unit.wanted_to * s.lanes, s.columns) - first,
                     cells, s.strip_bytes // s.itemsize)


cdef void rows(const Unit* unit, Py_ssize_t task, char* scratch) noexcept nogil:
    """Transform rows, sum their products with the weights, and transform back: (plane, group)."""
    cdef const Job* job = unit.job
    cdef const Sizes* s = job.sizes
    cdef Py_ssize_t group = task % s.groups, plane = task // s.groups
    cdef Py_ssize_t channels = job.x.shape[2], outputs = job.y.shape[2], c, k
    cdef Py_ssize_t step = s.group_bytes // s.itemsize, spectrum = s.spectrum_bytes // s.itemsize
    cdef char* sums = scratch + channels * s.group_bytes
    cdef const char* weights = job.spectra + task * s.group_bytes
    weights += unit.group * outputs * channels * s.spectrum_bytes
    for c in range(channels):
        transform_rows(unit, c, plane, group, scratch + c * s.group_bytes)
    for k in range(outputs):
        if job.conjugate:
            s.loops.weigh_conjugate(scratch, step, weights, spectrum, channels, s.columns, sums)
        else:
            s.loops.weigh(scratch, step, weights, spectrum, channels, s.columns, sums)
        weights += channels * s.spectrum_bytes
        rows_back(unit, k, plane, group, sums)


cdef void keep_rows(const Unit* unit, Py_ssize_t task, char* scratch) noexcept nogil:
    """Write the spectra of rows: task (channel, plane, group)."""
    cdef const Job* job = unit.job
    cdef const Sizes* s = job.sizes
    cdef Py_ssize_t each = s.planes * s.groups, channel = task // each
    cdef Py_ssize_t number = (unit.sample * job.x.shape[1] + unit.group) * job.x.shape[2] + channel
    task %= each
    transform_rows(unit, channel, task // s.groups, task % s.groups,
                   job.made + number * s.spectrum_bytes + task * s.group_bytes)


cdef void bring_rows(const Unit* unit, Py_ssize_t task, char* scratch) noexcept nogil:
    """Transform spectra back: task (output, plane, group)."""
    cdef const Job* job = unit.job
    cdef const Sizes* s = job.sizes
    cdef Py_ssize_t each = s.planes * s.groups, channel = task // each
    cdef Py_ssize_t number = (unit.sample * job.y.shape[1] + unit.group) * job.y.shape[2] + channel
    task %= each
    memcpy(scratch, job.spectra + number * s.spectrum_bytes + task * s.group_bytes, s.group_bytes)
    rows_back(unit, channel, task // s.groups, task % s.groups, scratch)


cdef void columns_out(const Unit* unit, Py_ssize_t task, char* scratch) noexcept nogil:
    """Transform the columns of a strip back, and write them: (output, plane, strip)."""
    cdef const Job* job = unit.job
    cdef const Sizes* s = job.sizes
    cdef Py_ssize_t strip, plane, channel, axis
    cdef Py_ssize_t offset[3]
    cdef Py_ssize_t size[3]
    cdef Window window
    cdef const char* bias = job.bias
    cdef char* cells = strip_of(unit, task, &channel, &plane, &strip)
    if not (unit.wanted_planes_from <= plane < unit.wanted_planes_to
            and unit.wanted_from <= strip < unit.wanted_to):
        return
    for axis in range(3):
        offset[axis] = unit.start[axis] - job.skip[axis]
        size[axis] = min(job.size[axis], job.y.shape[axis + 3] - unit.start[axis])
    look_through(unit, &job.y, channel, plane, offset, job.skip, size, &window)
    if s.twist is not NULL:
        s.loops.weigh_conjugate(cells, 0, s.twist + strip * s.strip_bytes, 0, 1, s.rows, cells)
    s.loops.inverse(&s.fold, cells)
    if bias is not NULL:
        bias += (unit.group * job.y.shape[2] + channel) * s.itemsize
    s.loops.write_columns(cells, s.rows, strip * s.lanes,
                          min(s.lanes, s.columns - strip * s.lanes), s.weights, s.scale, bias,
                          &window)


# ---- the run ------------------------------------------------------------------------------------

cdef enum:
    MOST_STEPS = 5

cdef struct Steps:
    int count
    Step run[MOST_STEPS]
    Py_ssize_t tasks[MOST_STEPS]

# The steps of units that threads do whole, or share.
cdef struct Run:
    const Job* job
    const Steps* steps
    Unit unit
    Step step


cdef void add_step(Steps* steps, Step step, Py_ssize_t tasks) noexcept nogil:
    steps.run[steps.count], steps.tasks[steps.count] = step, tasks
    steps.count += 1


cdef void whole_unit(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Run* run = <const Run*>context
    cdef const Job* job = run.job
    cdef char* own = job.own + thread * job.own_bytes
    cdef Unit unit
    cdef Py_ssize_t i
    cdef int at
    place_unit(job, task, own, &unit)
    for at in range(run.steps.count):
        for i in range(run.steps.tasks[at]):
            run.steps.run[at](&unit, i, own + job.scratch_at)


cdef void shared_step(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Run* run = <const Run*>context
    run.step(&run.unit, task, run.job.own + thread * run.job.own_bytes)


cdef int find_steps(const Job* job, int what, Steps* steps) except -1:
    """List the steps of a unit, each with its tasks."""
    cdef const Sizes* s = job.sizes
    cdef Py_ssize_t channels = job.x.shape[2], outputs = job.y.shape[2]
    cdef Py_ssize_t columns = s.planes * s.strips, groups = s.planes * s.groups
    steps.count = 0
    if what != INVERSE:
        add_step(steps, columns_in, channels * columns)
        if s.planes > 1:
            add_step(steps, depths_in, channels * s.strips * s.groups)
    if what == TRANSFORM:
        add_step(steps, keep_rows, channels * groups)
        return 0
    if what == CORRELATE:
        add_step(steps, rows, groups)
    else:
        add_step(steps, bring_rows, outputs * groups)
    if s.planes > 1:
        add_step(steps, depths_out, outputs * s.strips * s.groups)
    add_step(steps, columns_out, outputs * columns)
    return 0


cdef int run_blocks(Job* job, int what, bint denormals) except -1:
    """Do all steps of all blocks; threads have blocks of their own, or share each."""
    cdef const Sizes* s = job.sizes
    cdef Py_ssize_t channels = job.x.shape[2], outputs = job.y.shape[2]
    cdef Py_ssize_t units = job.x.shape[0] * job.x.shape[1], work_bytes, scratch, i
    cdef Steps steps
    cdef Run runs[MOST_STEPS]
    cdef Phase phases[MOST_STEPS]
    cdef int threads, at
    cdef bint whole
    cdef char* block
    for at in range(3):
        units *= job.counts[at]
    if units == 0:
        return 0
    find_steps(job, what, &steps)
    threads = threads_for(<double>units * (channels + outputs) * WORK * s.work_bytes / s.itemsize)
    whole = threads == 1 or units >= 4 * threads or units == threads
    work_bytes = max(channels, outputs) * s.work_bytes
    scratch = scratch_bytes(s, channels if what == CORRELATE else 0)
    job.own_bytes = scratch + work_bytes if whole else scratch
    job.scratch_at = work_bytes
    block = <char*>take(threads * job.own_bytes + (0 if whole else work_bytes))
    job.own = block
    with nogil:
        for at in range(steps.count):
            runs[at].job, runs[at].steps, runs[at].step = job, &steps, steps.run[at]
            phases[at] = make_phase(shared_step, &runs[at], steps.tasks[at])
            phases[at].denormals = denormals
        if whole:
            phases[0] = make_phase(whole_unit, &runs[0], units)
            phases[0].denormals = denormals
            parallel_phases(threads, phases, 1)
        else:
            for i in range(units):
                for at in range(steps.count):
                    place_unit(job, i, block + threads * job.own_bytes, &runs[at].unit)
                parallel_phases(threads, phases, steps.count)
        give(block)
    return 0
