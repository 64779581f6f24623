# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: fastconv.functional gives one number for each map.
"""Sums over maps, and over the rows of a matrix: the gradients of a bias.

The numbers are added in pieces, in their own precision, and the pieces in double precision, so that
the error does not grow with the length. A piece of maps is a part of a large one or several small
ones, summed by the loop of sums.h; a piece of a matrix is some rows. No running sum of a piece
has more than 128 numbers.

The pieces lie in chunks: tasks of the parallel loop whose borders depend on the shape alone, so
that a sum has the same bits for any number of threads.
"""

from cython cimport floating

from fastconv.engine.base.arrays cimport View, look
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport parallel_for, threads_for
from fastconv.engine.base.workspace cimport give, take

cdef extern from "ops/sums.h" nogil:
    # A macro that chooses by the type of `x`: of x, step, maps, count, as sums_loops.h says.
    double sum_some "fastconv_sum"(int isa, ...) noexcept

cdef int isa = isa_row()

# Numbers of a piece. Those of small maps are added one below the other: at most so many maps.
cdef Py_ssize_t PIECE = 1024
cdef Py_ssize_t PIECE_MAPS = 32
# The piece of a matrix: its rows, and the columns that a task adds up.
cdef Py_ssize_t PIECE_ROWS = 64
cdef enum:
    COLUMNS = 1024
# Numbers of a task, about, where chunks are smaller.
cdef Py_ssize_t TASK = 8192
# Numbers of a chunk, about, and the most chunks of a sum.
cdef Py_ssize_t CHUNK = 16384
cdef Py_ssize_t MOST_CHUNKS = 64


cdef struct Maps:
    View x                          # (N, K, H, W)
    Py_ssize_t size                 # of a map
    Py_ssize_t pieces               # of a channel
    Py_ssize_t parts, maps          # pieces of a map, or maps of a piece: one of them is 1
    bint neighbours                 # whether the numbers of a map lie side by side
    Py_ssize_t chunks               # of a channel
    Py_ssize_t tasks, together      # chunks of all channels, and those of a task
    double* partial                 # the sums of the chunks, by channel
    char* buffers                   # a piece for each thread, unless the numbers are neighbours


cdef void copy_part(const View* x, const char* plane, Py_ssize_t first, Py_ssize_t count,
                    floating* to) noexcept nogil:
    """Copy a part of a map whose numbers are no neighbours."""
    cdef Py_ssize_t i, row = first // x.shape[3], column = first % x.shape[3]
    for i in range(count):
        to[i] = (<const floating*>(plane + row * x.strides[2] + column * x.strides[3]))[0]
        column += 1
        if column == x.shape[3]:
            column = 0
            row += 1


cdef double sum_piece(const Maps* p, Py_ssize_t k, Py_ssize_t piece,
                      floating* buffer) noexcept nogil:
    cdef Py_ssize_t n = piece // p.parts * p.maps, first = piece % p.parts * PIECE
    cdef Py_ssize_t maps = min(p.maps, p.x.shape[0] - n), m
    cdef Py_ssize_t count = min(PIECE, p.size - first)
    cdef const char* plane = <const char*>p.x.data + n * p.x.strides[0] + k * p.x.strides[1]
    if p.neighbours:
        return sum_some(isa, <const floating*>plane + first,
                        p.x.strides[0] // <Py_ssize_t>sizeof(floating), maps, count)
    for m in range(maps):
        copy_part(&p.x, plane + m * p.x.strides[0], first, count, buffer + m * count)
    return sum_some(isa, buffer, count, maps, count)


cdef void sum_chunks(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Maps* p = <const Maps*>context
    # By samples, as the loops before this one shared them: a thread finds its own in its cache.
    cdef Py_ssize_t first = task * p.together, end = min(first + p.together, p.tasks)
    cdef Py_ssize_t k = first % p.x.shape[1], chunk = first // p.x.shape[1], i
    cdef char* buffer = p.buffers + thread * PIECE * p.x.itemsize
    cdef double total
    while first < end:
        total = 0
        for i in range(chunk * p.pieces // p.chunks, (chunk + 1) * p.pieces // p.chunks):
            if p.x.itemsize == sizeof(float):
                total += sum_piece(p, k, i, <float*>buffer)
            else:
                total += sum_piece(p, k, i, <double*>buffer)
        p.partial[k * p.chunks + chunk] = total
        first, k = first + 1, k + 1
        if k == p.x.shape[1]:
            k, chunk = 0, chunk + 1


cdef void add_chunks(const double* partial, Py_ssize_t chunks, Py_ssize_t chunk_step,
                     Py_ssize_t column_step, double divisor, const View* sums) noexcept nogil:
    """Write the sum of its chunks, in order and divided, into each of the contiguous sums."""
    cdef Py_ssize_t i, chunk
    cdef double total
    for i in range(sums.shape[0]):
        total = 0
        for chunk in range(chunks):
            total += partial[i * column_step + chunk * chunk_step]
        total /= divisor
        if sums.itemsize == sizeof(float):
            (<float*>sums.data)[i] = <float>total
        else:
            (<double*>sums.data)[i] = total


def sum_maps(x, sums, double divisor=1):
    """Write into `sums` (K), contiguous, that of each channel of `x` (N, K, H, W), divided."""
    cdef Maps p
    cdef View result
    cdef Py_ssize_t batch, channels, rows, columns
    cdef int threads
    look(x, 4, False, &p.x)
    look(sums, 1, True, &result)
    batch, channels, rows, columns = p.x.shape[0], p.x.shape[1], p.x.shape[2], p.x.shape[3]
    p.size = rows * columns
    p.parts = max((p.size + PIECE - 1) // PIECE, 1)
    p.maps = max(min(PIECE // max(p.size, 1), PIECE_MAPS), 1)
    p.pieces = (batch + p.maps - 1) // p.maps * p.parts
    p.neighbours = ((columns == 1 or p.x.strides[3] == p.x.itemsize)
                    and (rows == 1 or p.x.strides[2] == columns * p.x.itemsize))
    p.chunks = max(1, min(min(batch * p.size // CHUNK, MOST_CHUNKS), p.pieces))
    p.tasks = channels * p.chunks
    p.together = max(1, TASK * p.chunks // max(batch * p.size, 1))
    # A number costs as much as a few multiply-adds, for it comes from memory.
    threads = threads_for(4.0 * batch * channels * p.size)
    p.partial = <double*>take(channels * p.chunks * sizeof(double)
                              + (0 if p.neighbours else threads * PIECE * p.x.itemsize))
    p.buffers = <char*>(p.partial + channels * p.chunks)
    with nogil:
        parallel_for(threads, (p.tasks + p.together - 1) // p.together, sum_chunks, &p)
        add_chunks(p.partial, p.chunks, 1, p.chunks, divisor, &result)
        give(p.partial)


# A matrix, of which a task sums some columns of some rows.
cdef struct Matrix:
    View x                          # (N, C)
    Py_ssize_t chunks, blocks       # of the rows, and of the columns
    double* partial                 # the sums of the chunks, by chunk


cdef void add_rows(const floating* x, const View* view, Py_ssize_t start, Py_ssize_t end,
                   Py_ssize_t first, Py_ssize_t past, double* totals) noexcept nogil:
    """Write the sums of some columns over some rows: piece by piece, in double precision."""
    cdef Py_ssize_t piece, row, column, step = view.strides[1] // <Py_ssize_t>sizeof(floating)
    cdef Py_ssize_t count = past - first
    cdef floating[COLUMNS] sums
    cdef const floating* source
    for column in range(count):
        totals[column] = 0
    for piece from start <= piece < end by PIECE_ROWS:
        for column in range(count):
            sums[column] = 0
        for row in range(piece, min(piece + PIECE_ROWS, end)):
            source = <const floating*>(<const char*>x + row * view.strides[0]) + first * step
            if step == 1:
                for column in range(count):
                    sums[column] += source[column]
            else:
                for column in range(count):
                    sums[column] += source[column * step]
        for column in range(count):
            totals[column] += sums[column]


cdef void sum_block(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Matrix* m = <const Matrix*>context
    cdef Py_ssize_t rows = m.x.shape[0], columns = m.x.shape[1]
    cdef Py_ssize_t chunk = i // m.blocks, column = i % m.blocks * COLUMNS
    cdef Py_ssize_t row = chunk * rows // m.chunks, end = (chunk + 1) * rows // m.chunks
    cdef Py_ssize_t past = min(column + COLUMNS, columns)
    cdef double* totals = m.partial + chunk * columns + column
    if m.x.itemsize == sizeof(float):
        add_rows(<const float*>m.x.data, &m.x, row, end, column, past, totals)
    else:
        add_rows(<const double*>m.x.data, &m.x, row, end, column, past, totals)


def sum_rows(x, sums):
    """Write into `sums` (C), contiguous, the sums of the columns of `x` (N, C), N at least 1."""
    cdef Matrix m
    cdef View result
    cdef Py_ssize_t rows, columns
    look(x, 2, False, &m.x)
    look(sums, 1, True, &result)
    rows, columns = m.x.shape[0], m.x.shape[1]
    m.blocks = (columns + COLUMNS - 1) // COLUMNS
    m.chunks = max(1, min(min(rows * columns // CHUNK, MOST_CHUNKS), rows // PIECE_ROWS))
    m.partial = <double*>take(m.chunks * columns * sizeof(double))
    with nogil:
        parallel_for(threads_for(4.0 * rows * columns), m.chunks * m.blocks, sum_block, &m)
        add_chunks(m.partial, m.chunks, columns, 1, 1, &result)
        give(m.partial)
