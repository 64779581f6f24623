# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared the shapes.
"""Layer normalisation and its gradients, by the loops of layer_normalization.h.

A task is a chunk of rows. Backward it goes block by block, each small enough for the second-level
cache: first the sums of its columns, for the gradients of weight and bias, then the gradient of its
rows. Blocks are added to the chunk's sums, and those to each other, in doubles, with borders that
follow from the shape. Of long rows the sums of the columns are tasks of their own, some columns
each, so that no chunk needs as many sums as a row has numbers.
"""

from libc.string cimport memset

from fastconv.engine.base.cache_sizes import cache_sizes

from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport Phase, brief, make_phase, parallel_phases, threads_for
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.ops.statistics cimport (
    CHUNK, MOST_CHUNKS, Numbers, look_at_numbers, set_number)

# layer_normalization.h says what the loops do.
cdef extern from "ops/layer_normalization.h" nogil:
    enum:
        ROWS "FASTCONV_ROWS"
    ctypedef struct Rows "fastconv_rows":
        const void* x
        const void* dy
        void* result
        const void* weight
        const void* bias
        double* mean
        double* inverse
        Py_ssize_t rows, length
        double eps
        bint streams
    ctypedef struct Loops "fastconv_layer_normalization":
        void (*normalize)(const Rows*) noexcept nogil
        void (*gradient)(const Rows*) noexcept nogil
        void (*columns)(const Rows*, Py_ssize_t first, Py_ssize_t count, double* sums,
                        Py_ssize_t apart) noexcept nogil
    const Loops* loops_of "fastconv_layer_normalization_of"(int isa, Py_ssize_t itemsize)

# Results of so many bytes are written past the caches, as those of batch norm.
cdef Py_ssize_t STREAM_BYTES = cache_sizes()[2] // 4

cdef enum:
    # Rows of so many numbers are long.
    LONG = 4096
    # Columns of a task.
    COLUMNS = 256


cdef struct Layer:
    const Loops* loops
    Rows all                        # of all rows; no result: the gradient is not wanted
    Py_ssize_t itemsize
    Py_ssize_t chunks, block        # chunks of all, and rows of a block
    double* partial                 # of each chunk: sums of dy h, then of dy; or NULL
    Numbers dweight, dbias


cdef inline void find_rows(const Layer* s, Py_ssize_t first, Py_ssize_t end,
                           Rows* p) noexcept nogil:
    """See some rows."""
    cdef Py_ssize_t bytes = first * s.all.length * s.itemsize
    p[0] = s.all
    p.rows = end - first
    p.x = <const char*>p.x + bytes
    p.mean += first
    p.inverse += first
    if p.dy is not NULL:
        p.dy = <const char*>p.dy + bytes
    if p.result is not NULL:
        p.result = <char*>p.result + bytes


cdef void normalize_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Layer* s = <const Layer*>context
    cdef Rows p
    find_rows(s, task * s.all.rows // s.chunks, (task + 1) * s.all.rows // s.chunks, &p)
    s.loops.normalize(&p)


cdef void gradient_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    """The gradient of a chunk's rows, and the sums of its columns."""
    cdef const Layer* s = <const Layer*>context
    cdef Py_ssize_t first = task * s.all.rows // s.chunks
    cdef Py_ssize_t end = (task + 1) * s.all.rows // s.chunks, length = s.all.length
    cdef double* sums = NULL
    cdef Rows p
    if s.partial is not NULL:
        sums = s.partial + task * 2 * length
        memset(sums, 0, 2 * length * sizeof(double))
    while first < end:
        find_rows(s, first, min(first + s.block, end), &p)
        if sums is not NULL:
            s.loops.columns(&p, 0, length, sums, length)
        if p.result is not NULL:
            s.loops.gradient(&p)
        first += s.block


cdef void columns_task(void* context, Py_ssize_t task, int thread) noexcept nogil:
    """The gradients of weight and bias for some columns: of all rows, or of the chunks' sums."""
    cdef const Layer* s = <const Layer*>context
    cdef Py_ssize_t length = s.all.length, first = task * COLUMNS, i, row = 0
    cdef Py_ssize_t count = min(COLUMNS, length - first)
    cdef double[2 * COLUMNS] sums
    cdef const double* part
    cdef Rows p
    memset(sums, 0, sizeof(sums))
    if s.partial is NULL:
        while row < s.all.rows:
            find_rows(s, row, min(row + ROWS, s.all.rows), &p)
            s.loops.columns(&p, first, count, sums, COLUMNS)
            row += ROWS
    else:
        for row in range(s.chunks):
            part = s.partial + row * 2 * length + first
            for i in range(count):
                sums[i] += part[i]
                sums[COLUMNS + i] += part[length + i]
    for i in range(count):
        set_number(&s.dweight, first + i, sums[i])
        set_number(&s.dbias, first + i, sums[COLUMNS + i])


cdef inline double* data_of(Numbers* numbers, array, bint writes) except? NULL:
    """Return where an array's numbers lie, or NULL for None."""
    look_at_numbers(array, writes, numbers)
    return <double*>numbers.data


cdef int begin(Layer* s, x, statistics, bint writes, weight, result) except -1:
    """Fill in what both ways have."""
    cdef Numbers numbers
    s.all.weight = data_of(&numbers, weight, False)
    s.all.result = data_of(&numbers, result, True)
    s.all.mean = data_of(&numbers, statistics, writes)
    s.all.x = data_of(&numbers, x, False)
    s.itemsize = numbers.itemsize
    s.all.rows = statistics.shape[0] // 2
    s.all.length = x.shape[0] // s.all.rows
    s.all.inverse = s.all.mean + s.all.rows
    s.all.dy, s.all.bias, s.all.eps = NULL, NULL, 0
    s.all.streams = s.all.rows * s.all.length * s.itemsize >= STREAM_BYTES
    s.loops = loops_of(isa_row(), s.itemsize)
    # By the shape alone: it orders the sums of the columns.
    s.chunks = max(1, min(min(s.all.rows * s.all.length // CHUNK, MOST_CHUNKS), s.all.rows))
    s.block = max(1, min(CHUNK // s.all.length, ROWS))
    s.partial = NULL
    return 0


cdef int run(Layer* s, const Phase* phases, Py_ssize_t count) except -1:
    cdef double work = 8.0 * s.all.rows * s.all.length
    if brief(work):
        parallel_phases(threads_for(work), phases, count)
    else:
        with nogil:
            parallel_phases(threads_for(work), phases, count)
    return 0


def forward(x, statistics, weight, bias, double eps, y):
    """Normalise the rows of `x` into `y`; all arrays have one axis and are contiguous.

    Writes each row's mean, and behind all of these the inverse standard deviations, into
    `statistics`, of doubles: by their number it is known how many rows there are.
    """
    cdef Layer s
    cdef Phase phase
    cdef Numbers numbers
    begin(&s, x, statistics, True, weight, y)
    s.all.bias, s.all.eps = data_of(&numbers, bias, False), eps
    phase = make_phase(normalize_task, &s, s.chunks)
    run(&s, &phase, 1)


def backward(dy, x, statistics, weight, dx, dweight, dbias):
    """Write the gradients that are not None; arrays are as in `forward`."""
    cdef Layer s
    cdef Phase phases[2]
    cdef Py_ssize_t count = 0, tasks
    cdef Numbers numbers
    cdef bint sums = dweight is not None or dbias is not None
    begin(&s, x, statistics, False, weight, dx)
    s.all.dy = data_of(&numbers, dy, False)
    look_at_numbers(dweight, True, &s.dweight)
    look_at_numbers(dbias, True, &s.dbias)
    tasks = (s.all.length + COLUMNS - 1) // COLUMNS
    if sums and s.all.length >= LONG:
        # Before the gradient of the rows, which may take the place of what is read.
        phases[count] = make_phase(columns_task, &s, tasks)
        count += 1
        sums = False
    elif sums:
        s.partial = <double*>take(s.chunks * 2 * s.all.length * sizeof(double))
    if sums or dx is not None:
        phases[count] = make_phase(gradient_task, &s, s.chunks)
        count += 1
    if sums:
        phases[count] = make_phase(columns_task, &s, tasks)
        count += 1
    try:
        run(&s, phases, count)
    finally:
        if s.partial is not NULL:
            give(<char*>s.partial)
