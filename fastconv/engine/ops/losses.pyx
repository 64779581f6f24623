# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional give arrays of one shape and type.
"""Losses of pairs of numbers, and their slopes, in one pass over memory, by the loops of losses.h.

All arrays are contiguous. A loss may have factors: arrays of fewer numbers that are repeated, each
of them for so many pairs side by side. The sum of losses is taken in pieces, in the numbers' own
type, and the pieces are added in double precision; their borders depend on the shapes alone, so
that a sum has the same bits for any number of threads.
"""

from cython cimport floating

from fastconv.engine.base.arrays cimport Flat, look_flat
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport parallel_for, threads_for
from fastconv.engine.base.workspace cimport give, take

cdef extern from "ops/losses.h" nogil:
    ctypedef struct Pairs "fastconv_pairs":
        const void* x
        const void* target
        const void* positive
        const void* factor
        double scale, border, curve, slope
    ctypedef struct Loss "fastconv_loss":
        void (*each)(const Pairs*, void*, Py_ssize_t) noexcept nogil
        double (*total)(const Pairs*, Py_ssize_t) noexcept nogil
        void (*slopes)(const Pairs*, void*, Py_ssize_t) noexcept nogil
    const Loss* loss_of "fastconv_loss_of"(int isa, Py_ssize_t itemsize, int kind)
    enum:
        _SQUARE "FASTCONV_SQUARE"
        _HUBER "FASTCONV_HUBER"
        _PROBABILITY "FASTCONV_PROBABILITY"
        _LOGIT "FASTCONV_LOGIT"
        _DIVERGENCE "FASTCONV_DIVERGENCE"
        _LOG_DIVERGENCE "FASTCONV_LOG_DIVERGENCE"

SQUARE, HUBER, PROBABILITY, LOGIT = _SQUARE, _HUBER, _PROBABILITY, _LOGIT
DIVERGENCE, LOG_DIVERGENCE = _DIVERGENCE, _LOG_DIVERGENCE

# Multiply-adds that one pair is worth.
cdef double COST = 8
cdef enum:
    # Pairs of a piece.
    PIECE = 512
# Pieces of a task that writes one number for each pair.
cdef Py_ssize_t BLOCK = 8
# Pairs of a chunk of a sum, about, and the most chunks of it.
cdef Py_ssize_t CHUNK = 16384
cdef Py_ssize_t MOST_CHUNKS = 64


# A factor on the losses: pair i has number (i / repeats) % size.
cdef struct Factor:
    Flat numbers
    Py_ssize_t repeats


cdef struct Job:
    const Loss* loss
    Pairs pairs                 # of all numbers
    Factor positive, weight, residual
    Flat x, target, y
    bint slopes                 # or the losses
    Py_ssize_t rows, length     # of a sum, and
    Py_ssize_t chunks           # of each
    double* partial             # sums of the chunks


cdef int look_at_factor(factor, Factor* found) except -1:
    """Fill in a factor: a pair of an array and how often each number is repeated, or None."""
    found.numbers.data = NULL
    if factor is not None:
        look_flat(factor[0], False, &found.numbers)
        found.repeats = factor[1]
    return 0


cdef void spread(const Factor* factor, Py_ssize_t first, Py_ssize_t count, bint begins,
                 floating* to) noexcept nogil:
    """Write the factors of some pairs, or multiply what is there by them."""
    cdef const floating* numbers = <const floating*>factor.numbers.data
    cdef Py_ssize_t place = first // factor.repeats % factor.numbers.size, i = 0, past
    cdef Py_ssize_t left = factor.repeats - first % factor.repeats
    cdef floating number
    while i < count:
        past = min(i + left, count)
        number = numbers[place]
        if begins:
            for i in range(i, past):
                to[i] = number
        else:
            for i in range(i, past):
                to[i] *= number
        i = past
        left = factor.repeats
        place = place + 1 if place + 1 < factor.numbers.size else 0


cdef void spread_any(const Job* job, const Factor* factor, Py_ssize_t first, Py_ssize_t count,
                     bint begins, void* to) noexcept nogil:
    if job.x.itemsize == sizeof(float):
        spread(factor, first, count, begins, <float*>to)
    else:
        spread(factor, first, count, begins, <double*>to)


cdef const void* factors_of(const Job* job, const Factor* factor, Py_ssize_t first,
                            Py_ssize_t count, void* buffer) noexcept nogil:
    """Return where the factors of some pairs are: in their array, or spread in the buffer."""
    if factor.numbers.data is NULL:
        return NULL
    if factor.repeats == 1 and factor.numbers.size == job.x.size:
        return <const char*>factor.numbers.data + first * job.x.itemsize
    spread_any(job, factor, first, count, True, buffer)
    return buffer


cdef void look_at_piece(const Job* job, Py_ssize_t first, Py_ssize_t count, void* positive,
                        void* factor, Pairs* piece) noexcept nogil:
    """Fill in a piece of the pairs; its factors may be written into the two buffers."""
    cdef Py_ssize_t start = first * job.x.itemsize
    piece[0] = job.pairs
    piece.x = <const char*>job.x.data + start
    piece.target = <const char*>job.target.data + start
    piece.positive = factors_of(job, &job.positive, first, count, positive)
    if job.weight.numbers.data is NULL:
        piece.factor = factors_of(job, &job.residual, first, count, factor)
    elif job.residual.numbers.data is NULL:
        piece.factor = factors_of(job, &job.weight, first, count, factor)
    else:
        spread_any(job, &job.weight, first, count, True, factor)
        spread_any(job, &job.residual, first, count, False, factor)
        piece.factor = factor


cdef void write_block(void* context, Py_ssize_t block, int thread) noexcept nogil:
    cdef const Job* job = <const Job*>context
    cdef double[PIECE] positive
    cdef double[PIECE] factor
    cdef Pairs piece
    cdef Py_ssize_t first = block * BLOCK * PIECE, count
    cdef Py_ssize_t past = min(first + BLOCK * PIECE, job.x.size)
    cdef void* y
    for first from first <= first < past by PIECE:
        count = min(PIECE, past - first)
        look_at_piece(job, first, count, positive, factor, &piece)
        y = <char*>job.y.data + first * job.y.itemsize
        if job.slopes:
            job.loss.slopes(&piece, y, count)
        else:
            job.loss.each(&piece, y, count)


cdef void sum_chunk(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Job* job = <const Job*>context
    cdef double[PIECE] positive
    cdef double[PIECE] factor
    cdef Pairs piece
    cdef Py_ssize_t row = task // job.chunks, chunk = task % job.chunks, count
    cdef Py_ssize_t first = row * job.length + chunk * job.length // job.chunks
    cdef Py_ssize_t past = row * job.length + (chunk + 1) * job.length // job.chunks
    cdef double total = 0
    for first from first <= first < past by PIECE:
        count = min(PIECE, past - first)
        look_at_piece(job, first, count, positive, factor, &piece)
        total += job.loss.total(&piece, count)
    job.partial[task] = total


cdef int look_at(Job* job, int kind, x, target, positive, weight, tuple numbers) except -1:
    """Fill in what the losses and the slopes are made of."""
    look_flat(x, False, &job.x)
    look_flat(target, False, &job.target)
    look_at_factor(positive, &job.positive)
    look_at_factor(weight, &job.weight)
    job.residual.numbers.data = NULL
    job.loss = loss_of(isa_row(), job.x.itemsize, kind)
    job.pairs.scale = 1
    job.pairs.border, job.pairs.curve, job.pairs.slope = numbers
    return 0


cdef int write_all(Job* job, y) except -1:
    look_flat(y, True, &job.y)
    cdef Py_ssize_t blocks = (job.x.size + BLOCK * PIECE - 1) // (BLOCK * PIECE)
    with nogil:
        parallel_for(threads_for(COST * job.x.size), blocks, write_block, job)
    return 0


def each(int kind, x, target, y, positive=None, weight=None, tuple numbers=(0.0, 0.0, 0.0)):
    """Write the losses into `y`; `numbers` are border, curve and slope of HUBER."""
    cdef Job job
    look_at(&job, kind, x, target, positive, weight, numbers)
    job.slopes = False
    write_all(&job, y)


def slopes(int kind, x, target, dx, double scale, residual=None, positive=None, weight=None,
           tuple numbers=(0.0, 0.0, 0.0)):
    """Write the losses' slopes along x into `dx`, times the scale and the residual, a factor."""
    cdef Job job
    look_at(&job, kind, x, target, positive, weight, numbers)
    look_at_factor(residual, &job.residual)
    job.slopes, job.pairs.scale = True, scale
    write_all(&job, dx)


cdef void add_chunks(const Job* job, double divisor, floating* sums) noexcept nogil:
    cdef Py_ssize_t row, chunk
    cdef double found
    for row in range(job.rows):
        found = 0
        for chunk in range(job.chunks):
            found += job.partial[row * job.chunks + chunk]
        sums[row] = <floating>(found / divisor)


def total(int kind, x, target, sums, double divisor, positive=None, weight=None,
          tuple numbers=(0.0, 0.0, 0.0)):
    """Write the sum of the losses of each row, over the divisor; there are as many rows as sums."""
    cdef Job job
    look_at(&job, kind, x, target, positive, weight, numbers)
    look_flat(sums, True, &job.y)
    job.rows, job.length = job.y.size, job.x.size // max(job.y.size, 1)
    job.chunks = max(1, min(job.length // CHUNK, MOST_CHUNKS))
    job.partial = <double*>take(job.rows * job.chunks * sizeof(double))
    with nogil:
        parallel_for(threads_for(COST * job.x.size), job.rows * job.chunks, sum_chunk, &job)
        if job.y.itemsize == sizeof(float):
            add_chunks(&job, divisor, <float*>job.y.data)
        else:
            add_chunks(&job, divisor, <double*>job.y.data)
        give(job.partial)
