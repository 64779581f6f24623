# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared the shapes.
"""Losses of scores or log-probabilities of classes, and their gradients.

Scores are (rows, classes, inner), contiguous, as are all arrays; those of floats are of one type. A
row of scores side by side is read once, while it lies in the cache; where the classes lie apart,
as in images, some places at a time go through a scratch that fits into the cache.
"""

from cython cimport floating

from libc.math cimport log
from libc.string cimport memset

from fastconv.engine.base.arrays cimport Flat, all_below, look_flat
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport parallel_for, threads_for
from fastconv.engine.base.workspace cimport give, take

cdef extern from "ops/class_losses.h" nogil:
    ctypedef struct Classes "fastconv_classes":
        const void* scores
        const Py_ssize_t* target
        const void* probabilities
        const void* weight
        Py_ssize_t classes, inner, ignored
        double smoothing
        void* gradient
        const void* scale
        Py_ssize_t step
    ctypedef struct Places "fastconv_places":
        double* total
        double* mass
        double* score
    ctypedef struct Loops "fastconv_class_loops":
        void (*row)(const Classes*, Py_ssize_t, const Places*) noexcept nogil
        void (*block)(const Classes*, Py_ssize_t, Py_ssize_t, Py_ssize_t, void*,
                      const Places*) noexcept nogil
        void (*logs)(void*, Py_ssize_t) noexcept nogil
    const Loops* loops_of "fastconv_class_loops_of"(int isa, Py_ssize_t itemsize)
    enum:
        MOST_LANES "FASTCONV_MOST_LANES"
        MOST_PLACES "FASTCONV_MOST_PLACES"

# Multiply-adds that one exponential is worth; and one loss of log-probabilities.
cdef double COST = 16
cdef double PICKED = 8
# Scores of a scratch, about; it holds at least one vector of places.
cdef Py_ssize_t SCRATCH = 8192
# Places of a task that picks log-probabilities.
cdef Py_ssize_t PLACES = 4096


cdef struct Job:
    Classes of
    const Loops* loops
    Py_ssize_t itemsize, rows
    Py_ssize_t places, blocks       # of a block, of a row
    char* scratch                   # one for each thread
    void* losses                    # or NULL: the gradient is wanted


cdef int look_at(Job* job, scores, target, weight, Py_ssize_t classes, Py_ssize_t inner,
                 Py_ssize_t ignored) except -1:
    """Fill in scores, classes or their probabilities, and weights."""
    cdef Flat flat
    look_flat(scores, False, &flat)
    job.of.scores, job.itemsize = flat.data, flat.itemsize
    job.of.classes, job.of.inner, job.of.ignored = classes, inner, ignored
    job.rows = flat.size // max(classes * inner, 1)
    job.loops = loops_of(isa_row(), job.itemsize)
    look_flat(target, False, &flat)
    job.of.probabilities = job.of.target = job.of.weight = NULL
    if target.dtype.kind == "f":
        job.of.probabilities = flat.data
    else:
        job.of.target = <const Py_ssize_t*>flat.data
    if weight is not None:
        look_flat(weight, False, &flat)
        job.of.weight = flat.data
    job.of.gradient = job.losses = NULL
    job.of.smoothing = 0
    return 0


cdef int look_at_gradient(Job* job, scale, dx) except -1:
    cdef Flat flat
    look_flat(scale, False, &flat)
    job.of.scale, job.of.step = flat.data, 1 if flat.size > 1 else 0
    look_flat(dx, True, &flat)
    job.of.gradient = flat.data
    return 0


cdef double weight_of(const Job* job, Py_ssize_t target) noexcept nogil:
    if job.of.weight is NULL:
        return 1
    if job.itemsize == sizeof(float):
        return (<const float*>job.of.weight)[target]
    return (<const double*>job.of.weight)[target]


def survey(target, weight, Py_ssize_t classes, Py_ssize_t ignored):
    """Return the sum of the weights of the classes, of which some may be ignored.

    Returns None if a class does not exist.
    """
    cdef Flat flat, weights
    cdef const Py_ssize_t* numbers
    cdef Py_ssize_t i, fits = 0
    cdef Job job
    cdef double total = 0
    look_flat(target, False, &flat)
    numbers = <const Py_ssize_t*>flat.data
    if weight is None and not 0 <= ignored < classes and all_below(numbers, flat.size, classes):
        return float(flat.size)
    job.of.weight = NULL
    if weight is not None:
        look_flat(weight, False, &weights)
        job.of.weight, job.itemsize = weights.data, weights.itemsize
    with nogil:
        for i in range(flat.size):
            if numbers[i] == ignored:
                fits += 1
            elif 0 <= numbers[i] < classes:
                fits += 1
                total += weight_of(&job, numbers[i])
    return total if fits == flat.size else None


cdef inline double loss_of(const Places* at, Py_ssize_t i, double logarithm) noexcept nogil:
    return at.mass[i] * logarithm - at.score[i]


cdef inline void put(const Job* job, Py_ssize_t place, double loss) noexcept nogil:
    if job.itemsize == sizeof(float):
        (<float*>job.losses)[place] = <float>loss
    else:
        (<double*>job.losses)[place] = loss


cdef void visit_row(void* context, Py_ssize_t n, int thread) noexcept nogil:
    cdef const Job* job = <const Job*>context
    cdef double total, mass, score
    cdef Places at
    at.total, at.mass, at.score = &total, &mass, &score
    job.loops.row(&job.of, n, &at)
    if job.losses is not NULL:
        put(job, n, loss_of(&at, 0, log(total)))


cdef inline Py_ssize_t scratch_size(const Job* job) noexcept nogil:
    """Return the bytes that a thread needs for a block: for its places, and their scores."""
    return job.places * (3 * sizeof(double) + job.of.classes * job.itemsize)


cdef void visit_block(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Job* job = <const Job*>context
    cdef Py_ssize_t row = task // job.blocks, first = task % job.blocks * job.places, i
    cdef Py_ssize_t count = min(job.places, job.of.inner - first)
    cdef Places at
    at.total = <double*>(job.scratch + thread * scratch_size(job))
    at.mass, at.score = at.total + job.places, at.total + 2 * job.places
    job.loops.block(&job.of, row, first, count, at.total + 3 * job.places, &at)
    if job.losses is NULL:
        return
    loops_of(isa_row(), sizeof(double)).logs(at.total, count)
    for i in range(count):
        put(job, row * job.of.inner + first + i, loss_of(&at, i, at.total[i]))


cdef int visit_all(Job* job) except -1:
    cdef Py_ssize_t scores = job.rows * job.of.classes * job.of.inner, places
    cdef int threads = threads_for(COST * scores)
    if job.of.inner == 1:
        with nogil:
            parallel_for(threads, job.rows, visit_row, job)
        return 0
    places = SCRATCH // job.of.classes // MOST_LANES * MOST_LANES
    job.places = min(max(places, MOST_LANES), MOST_PLACES)
    job.blocks = (job.of.inner + job.places - 1) // job.places
    job.scratch = <char*>take(threads * scratch_size(job))
    with nogil:
        parallel_for(threads, job.rows * job.blocks, visit_block, job)
        give(job.scratch)
    return 0


def cross_entropy(scores, target, losses, weight, Py_ssize_t classes, Py_ssize_t inner,
                  Py_ssize_t ignored, double smoothing):
    """Write the loss of each place; the target are classes, all of which exist, or probabilities.

    With the targets t' = (1 - smoothing) t + smoothing / classes, which is of the class's own
    weight where the target is a class, it is the sum over c of weight[c] t'[c] (-log p[c]).
    """
    cdef Job job
    cdef Flat flat
    look_at(&job, scores, target, weight, classes, inner, ignored)
    job.of.smoothing = smoothing
    look_flat(losses, True, &flat)
    job.losses = flat.data
    visit_all(&job)


def cross_entropy_backward(scores, target, dx, weight, Py_ssize_t classes, Py_ssize_t inner,
                           Py_ssize_t ignored, double smoothing, scale):
    """Write scale times the gradient of the losses; `scale` has one number, or one for a place."""
    cdef Job job
    look_at(&job, scores, target, weight, classes, inner, ignored)
    job.of.smoothing = smoothing
    look_at_gradient(&job, scale, dx)
    visit_all(&job)


cdef void pick(const floating* x, const Job* job, Py_ssize_t row, Py_ssize_t first,
               Py_ssize_t past) noexcept nogil:
    cdef Py_ssize_t i, place, target, inner = job.of.inner, start = row * job.of.classes * inner
    cdef floating* losses = <floating*>job.losses
    for i in range(first, past):
        place = row * inner + i
        target = job.of.target[place]
        losses[place] = 0
        if target != job.of.ignored:
            losses[place] = -<floating>weight_of(job, target) * x[start + target * inner + i]


cdef void put_slopes(floating* y, const Job* job, Py_ssize_t row, Py_ssize_t first,
                     Py_ssize_t past) noexcept nogil:
    cdef Py_ssize_t i, place, target, inner = job.of.inner, start = row * job.of.classes * inner
    cdef const floating* scale = <const floating*>job.of.scale
    cdef Py_ssize_t count = past - first
    if count == inner:
        memset(y + start, 0, job.of.classes * inner * sizeof(floating))
    else:
        for i in range(job.of.classes):
            memset(y + start + i * inner + first, 0, count * sizeof(floating))
    for i in range(first, past):
        place = row * inner + i
        target = job.of.target[place]
        if target != job.of.ignored:
            y[start + target * inner + i] = (
                -<floating>weight_of(job, target) * scale[place * job.of.step])


cdef void visit_picked(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Job* job = <const Job*>context
    cdef Py_ssize_t row = task // job.blocks, first = task % job.blocks * job.places
    cdef Py_ssize_t past = min(first + job.places, job.of.inner)
    if job.losses is NULL:
        if job.itemsize == sizeof(float):
            put_slopes(<float*>job.of.gradient, job, row, first, past)
        else:
            put_slopes(<double*>job.of.gradient, job, row, first, past)
    elif job.itemsize == sizeof(float):
        pick(<const float*>job.of.scores, job, row, first, past)
    else:
        pick(<const double*>job.of.scores, job, row, first, past)


cdef int visit_all_picked(Job* job, double work) except -1:
    job.places = min(PLACES, job.of.inner)
    job.blocks = (job.of.inner + job.places - 1) // job.places
    with nogil:
        parallel_for(threads_for(PICKED * work), job.rows * job.blocks, visit_picked, job)
    return 0


def nll(scores, target, losses, weight, Py_ssize_t classes, Py_ssize_t inner, Py_ssize_t ignored):
    """Write -weight[t] x[t] of each place with class t, of which all exist."""
    cdef Job job
    cdef Flat flat
    look_at(&job, scores, target, weight, classes, inner, ignored)
    look_flat(losses, True, &flat)
    job.losses = flat.data
    visit_all_picked(&job, job.rows * inner)


def nll_backward(scores, target, dx, weight, Py_ssize_t classes, Py_ssize_t inner,
                 Py_ssize_t ignored, scale):
    """Write scale times the gradient of the losses."""
    cdef Job job
    look_at(&job, scores, target, weight, classes, inner, ignored)
    look_at_gradient(&job, scale, dx)
    visit_all_picked(&job, job.rows * inner * classes)
