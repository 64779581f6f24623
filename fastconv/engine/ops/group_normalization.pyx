# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared the shapes.
"""Group normalisation and its gradients, by the loops of group_normalization_loops.h.

A task is some groups, each of one sample: its channels lie behind each other in memory, and their
moments are taken as those of one run, in pieces that follow from its length. Backward, each
channel's sums are taken by themselves, piece by piece, and give the gradients of its weight and
bias, too: they are kept of each sample, as doubles, and added in a second phase.
"""

from libc.math cimport sqrt

from fastconv.engine.base.cache_sizes import cache_sizes

from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport Phase, brief, make_phase, parallel_phases, threads_for
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.ops.normalization cimport (
    Group, GroupLoops, Line, Maps, Planes, X, group_loops_of, look_at_maps)
from fastconv.engine.ops.statistics cimport (
    PIECE, Numbers, Sums, join_moments, look_at_numbers, number_at, set_number)

# Results of so many bytes are written past the caches, as those of batch norm.
cdef Py_ssize_t STREAM_BYTES = cache_sizes()[2] // 4

cdef enum:
    # Numbers of a task, about.
    TASK = 8192
    # Channels of a task that adds up the samples.
    COLUMNS = 64
    # Samples of one running sum.
    RUN = 64


cdef struct Groups:
    const GroupLoops* loops
    Group group                     # what all have
    Maps x, dy, result              # no data: not there
    Numbers weight
    Py_ssize_t groups, together     # of a sample, and of a task
    bint backward
    double eps
    double* statistics              # means, then inverse standard deviations, (N, G) each
    double* sums                    # (N, C) each, of dy, and of dy times the normalised x
    double* products
    Numbers dweight, dbias


cdef inline char* sample_of(const Maps* maps, Py_ssize_t n, Py_ssize_t first) noexcept nogil:
    """Return where a sample has the number `first`, or NULL."""
    if maps.data is NULL:
        return NULL
    return maps.data + n * maps.sample_step + first * maps.itemsize


cdef void normalize_group(const Groups* s, Group* g) noexcept nogil:
    cdef Py_ssize_t left = g.channels * g.size
    cdef Sums total = Sums(0, 0, 0), part
    cdef Planes p
    p.at[X], p.step[X], p.maps = <char*>g.x, 0, 1
    while left:
        p.count = min(PIECE, left)
        part.count = <double>p.count
        s.loops.moments(&p, &part.first, &part.second)
        join_moments(&total, &part)
        p.at[X] += p.count * s.x.itemsize
        left -= p.count
    g.mean, g.inverse = total.first, 1 / sqrt(total.second / total.count + s.eps)
    s.loops.apply(g)


cdef void grade_group(const Groups* s, const Group* g, Py_ssize_t channel, double* sums,
                      double* products) noexcept nogil:
    cdef Py_ssize_t c
    cdef double first = 0, second = 0, scale = -g.inverse / (<double>g.channels * g.size), weight
    cdef Line line
    s.loops.sums(g, sums, products)
    for c in range(g.channels):
        weight = number_at(&s.weight, channel + c, 1)
        first += sums[c] * weight
        second += products[c] * weight
        products[c] *= g.inverse
    if g.result is not NULL:
        line.level = scale * first
        line.slope = scale * second * (g.inverse * g.inverse)
        s.loops.gradients(g, &line)


cdef void run_groups(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Groups* s = <const Groups*>context
    cdef Py_ssize_t all_groups = s.x.samples * s.groups, number = task * s.together
    cdef Py_ssize_t end = min(number + s.together, all_groups), step = s.group.channels
    cdef Py_ssize_t n = number // s.groups, channel = number % s.groups * step, place, first
    cdef Group g = s.group
    while number < end:
        first = channel * g.size
        g.x, g.dy = sample_of(&s.x, n, first), sample_of(&s.dy, n, first)
        g.result = sample_of(&s.result, n, first)
        if g.weight is not NULL:
            g.weight = <const char*>s.group.weight + channel * s.x.itemsize
        if g.bias is not NULL:
            g.bias = <const char*>s.group.bias + channel * s.x.itemsize
        if s.backward:
            g.mean, g.inverse = s.statistics[number], s.statistics[all_groups + number]
            place = n * s.x.channels + channel
            grade_group(s, &g, channel, s.sums + place, s.products + place)
        else:
            normalize_group(s, &g)
            s.statistics[number], s.statistics[all_groups + number] = g.mean, g.inverse
        number += 1
        channel += step
        if channel == s.x.channels:
            n, channel = n + 1, 0


cdef double add_samples(const double* at, Py_ssize_t count, Py_ssize_t step) noexcept nogil:
    """Return the sum of numbers: of runs, and of these again, with borders by the count alone."""
    cdef Py_ssize_t unit = 1, i
    cdef double total
    while count > RUN * unit:
        unit *= RUN
    i = unit
    total = at[0] if unit == 1 else add_samples(at, unit, step)
    while i < count:
        total += at[i * step] if unit == 1 else add_samples(at + i * step, min(unit, count - i),
                                                            step)
        i += unit
    return total


cdef void run_columns(void* context, Py_ssize_t task, int thread) noexcept nogil:
    """The gradients of weight and bias for some channels."""
    cdef const Groups* s = <const Groups*>context
    cdef Py_ssize_t c, channels = s.x.channels
    for c in range(task * COLUMNS, min((task + 1) * COLUMNS, channels)):
        set_number(&s.dweight, c, add_samples(s.products + c, s.x.samples, channels))
        set_number(&s.dbias, c, add_samples(s.sums + c, s.x.samples, channels))


cdef int run(Groups* s, x, Py_ssize_t groups, weight, statistics, result,
             bint sums) except -1:
    """Complete what both ways have, and give the groups to the threads."""
    cdef Numbers numbers
    cdef Phase phases[2]
    cdef Py_ssize_t all_groups
    cdef double work
    look_at_maps(x, False, &s.x)
    s.result.data = NULL
    if result is not None:
        look_at_maps(result, True, &s.result)
    look_at_numbers(statistics, not s.backward, &numbers)
    s.statistics = <double*>numbers.data
    look_at_numbers(weight, False, &s.weight)
    s.group.weight = s.weight.data
    s.loops = group_loops_of(isa_row(), s.x.itemsize)
    s.groups = groups
    s.group.channels, s.group.size = s.x.channels // groups, s.x.size
    work = 8.0 * s.x.samples * s.x.channels * s.x.size
    s.group.streams = work * s.x.itemsize >= 8.0 * STREAM_BYTES
    all_groups = s.x.samples * groups
    s.together = max(1, TASK // (s.group.channels * s.x.size))
    phases[0] = make_phase(run_groups, s, (all_groups + s.together - 1) // s.together)
    phases[1] = make_phase(run_columns, s, (s.x.channels + COLUMNS - 1) // COLUMNS)
    if brief(work):
        parallel_phases(threads_for(work), phases, 1 + sums)
    else:
        with nogil:
            parallel_phases(threads_for(work), phases, 1 + sums)
    return 0


def forward(x, Py_ssize_t groups, statistics, weight, bias, double eps, y):
    """Normalise the groups of `x` (N, C, ...), whose samples are contiguous, into `y`.

    Writes means and inverse standard deviations into `statistics` (2, N, G), of doubles; weight
    and bias are contiguous.
    """
    cdef Groups s
    cdef Numbers numbers
    s.backward, s.eps, s.dy.data = False, eps, NULL
    look_at_numbers(bias, False, &numbers)
    s.group.bias = numbers.data
    run(&s, x, groups, weight, statistics, y, False)


def backward(dy, x, Py_ssize_t groups, statistics, weight, dx, dweight, dbias):
    """Write the gradients that are not None; arrays are as in `forward`."""
    cdef Groups s
    cdef Py_ssize_t size
    s.backward, s.group.bias = True, NULL
    look_at_maps(dy, False, &s.dy)
    look_at_numbers(dweight, True, &s.dweight)
    look_at_numbers(dbias, True, &s.dbias)
    size = s.dy.samples * s.dy.channels
    s.sums = <double*>take(2 * size * sizeof(double))
    s.products = s.sums + size
    try:
        run(&s, x, groups, weight, statistics, dx, dweight is not None or dbias is not None)
    finally:
        give(s.sums)
