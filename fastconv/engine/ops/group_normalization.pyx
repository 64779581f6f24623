# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared the shapes.
"""Group normalisation and its gradients, by the loops of normalization.h.

A task is a group of one sample: its channels lie behind each other in memory, and their sums are
taken as those of one run, in pieces that follow from its length. Backward, each channel's sums are
taken by themselves, piece by piece, and give the gradients of its weight and bias, too: of each
sample, as doubles, which the caller adds.
"""

from libc.math cimport sqrt

from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport brief, parallel_for, threads_for
from fastconv.engine.ops.normalization cimport (
    ALL, ARRAYS, DX, DY, X, Y, Affine, Line, Loops, Maps, Planes, look_at_maps, loops_of)
from fastconv.engine.ops.statistics cimport (
    PIECE, Numbers, Sums, join_moments, join_sums, look_at_numbers, number_at)


cdef struct Groups:
    const Loops* loops
    Maps maps[ARRAYS]               # no data: not there
    Py_ssize_t groups, members      # of a sample, and the channels of a group
    Py_ssize_t size                 # numbers of a channel
    bint backward
    double eps
    Numbers weight, bias
    double* statistics              # means, then inverse standard deviations, (N, G) each
    double* sums                    # (N, C), of g h and of g; or NULL


cdef inline void find_run(const Groups* s, Py_ssize_t n, Py_ssize_t c, Py_ssize_t first,
                          Py_ssize_t count, Planes* p) noexcept nogil:
    """See `count` numbers, from the number `first` of channel c on."""
    cdef const Maps* maps
    cdef int array
    p.maps, p.count, p.streams = 1, count, False
    for array in range(ARRAYS):
        maps = &s.maps[array]
        p.at[array], p.step[array] = NULL, 0
        if maps.data is not NULL:
            p.at[array] = (maps.data + n * maps.sample_step
                           + (c * s.size + first) * maps.itemsize)


cdef void normalize_group(const Groups* s, Py_ssize_t n, Py_ssize_t group,
                          Affine* a) noexcept nogil:
    cdef Py_ssize_t length = s.members * s.size, first = 0, count, c
    cdef double* statistics = s.statistics + n * s.groups + group
    cdef Py_ssize_t all_groups = s.maps[X].samples * s.groups
    cdef Sums total = Sums(0, 0, 0), part
    cdef Planes p
    while first < length:
        count = min(PIECE, length - first)
        find_run(s, n, group * s.members, first, count, &p)
        part.count = <double>count
        s.loops.moments(&p, &part.first, &part.second)
        join_moments(&total, &part)
        first += count
    a.mean, a.inverse = total.first, 1 / sqrt(total.second / total.count + s.eps)
    statistics[0], statistics[all_groups] = a.mean, a.inverse
    for c in range(group * s.members, (group + 1) * s.members):
        a.weight, a.bias = number_at(&s.weight, c, 1), number_at(&s.bias, c, 0)
        find_run(s, n, c, 0, s.size, &p)
        s.loops.apply(&p, a)


cdef void grade_group(const Groups* s, Py_ssize_t n, Py_ssize_t group, Affine* a) noexcept nogil:
    cdef Py_ssize_t channels = s.groups * s.members, first, count, c
    cdef Py_ssize_t all_groups = s.maps[X].samples * s.groups
    cdef double* sums
    cdef double scale
    cdef Sums total = Sums(0, 0, 0), own, part
    cdef Planes p
    cdef Line line
    a.mean = s.statistics[n * s.groups + group]
    a.inverse = s.statistics[all_groups + n * s.groups + group]
    a.bias = 0
    for c in range(group * s.members, (group + 1) * s.members):
        a.weight = number_at(&s.weight, c, 1)
        own = Sums(0, 0, 0)
        first = 0
        while first < s.size:
            count = min(PIECE, s.size - first)
            find_run(s, n, c, first, count, &p)
            part.count = <double>count
            s.loops.sums[ALL](&p, a, &part.first, &part.second)
            join_sums(&own, &part)
            first += count
        if s.sums is not NULL:
            sums = s.sums + n * channels + c
            sums[0], sums[s.maps[X].samples * channels] = own.second * a.inverse, own.first
        own.first *= a.weight
        own.second *= a.weight
        join_sums(&total, &own)
    if s.maps[DX].data is NULL:
        return
    scale = -a.inverse / total.count
    line.level = scale * total.first
    line.slope = scale * total.second * (a.inverse * a.inverse)
    for c in range(group * s.members, (group + 1) * s.members):
        a.weight = number_at(&s.weight, c, 1)
        find_run(s, n, c, 0, s.size, &p)
        s.loops.gradient[ALL](&p, a, &line)


cdef void run_group(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Groups* s = <const Groups*>context
    cdef Affine a
    if s.backward:
        grade_group(s, task // s.groups, task % s.groups, &a)
    else:
        normalize_group(s, task // s.groups, task % s.groups, &a)


cdef int run(Groups* s, x, Py_ssize_t groups, weight, statistics) except -1:
    """Complete what both ways have, and give the groups to the threads."""
    cdef Maps* maps = &s.maps[X]
    cdef Numbers numbers
    cdef Py_ssize_t tasks
    cdef double work
    look_at_maps(x, False, maps)
    look_at_numbers(weight, False, &s.weight)
    look_at_numbers(statistics, not s.backward, &numbers)
    s.statistics = <double*>numbers.data
    s.groups, s.members, s.size = groups, maps.channels // groups, maps.size
    s.loops = loops_of(isa_row(), maps.itemsize)
    tasks, work = maps.samples * groups, 8.0 * maps.samples * maps.channels * maps.size
    if brief(work):
        parallel_for(threads_for(work), tasks, run_group, s)
    else:
        with nogil:
            parallel_for(threads_for(work), tasks, run_group, s)
    return 0


cdef void clear(Groups* s) noexcept:
    cdef int array
    for array in range(ARRAYS):
        s.maps[array].data = NULL


def forward(x, Py_ssize_t groups, statistics, weight, bias, double eps, y):
    """Normalise the groups of `x` (N, C, ...), whose samples are contiguous, into `y`.

    Writes means and inverse standard deviations into `statistics` (2, N, G), of doubles.
    """
    cdef Groups s
    clear(&s)
    look_at_maps(y, True, &s.maps[Y])
    look_at_numbers(bias, False, &s.bias)
    s.backward, s.eps, s.sums = False, eps, NULL
    run(&s, x, groups, weight, statistics)


def backward(dy, x, Py_ssize_t groups, statistics, weight, dx, sums):
    """Write the gradient of `x` into `dx`, and of weight and bias for each sample into `sums`.

    Either may be None; `sums` (2, N, C) are doubles.
    """
    cdef Groups s
    cdef Numbers numbers
    clear(&s)
    look_at_maps(dy, False, &s.maps[DY])
    if dx is not None:
        look_at_maps(dx, True, &s.maps[DX])
    look_at_numbers(sums, True, &numbers)
    s.backward, s.sums = True, <double*>numbers.data
    run(&s, x, groups, weight, statistics)
