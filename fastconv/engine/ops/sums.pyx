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
from cython.parallel cimport parallel, prange, threadid

from fastconv.engine.base.arrays cimport View, look
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport flush_denormals, restore_denormals, threads_for
from fastconv.engine.base.workspace cimport give, take

cdef extern from "ops/sums.h" nogil:
    ctypedef float (*sum_f "fastconv_sum_f")(
        const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
    ctypedef double (*sum_d "fastconv_sum_d")(
        const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
    const sum_f[] sums_f "fastconv_sums_f"
    const sum_d[] sums_d "fastconv_sums_d"

cdef sum_f single = sums_f[isa_row()]
cdef sum_d double_ = sums_d[isa_row()]

# Numbers of a piece. Those of small maps are added one below the other: at most so many maps.
cdef Py_ssize_t PIECE = 1024
cdef Py_ssize_t PIECE_MAPS = 32
# The piece of a matrix: its rows, and the columns that a task adds up.
cdef Py_ssize_t PIECE_ROWS = 64
cdef enum:
    COLUMNS = 1024
# Numbers of a chunk, about, and the most chunks of a sum.
cdef Py_ssize_t CHUNK = 16384
cdef Py_ssize_t MOST_CHUNKS = 64


cdef struct Pieces:
    Py_ssize_t size                 # of a map
    Py_ssize_t count                # of all pieces
    Py_ssize_t parts, maps          # pieces of a map, or maps of a piece: one of them is 1
    bint neighbours                 # whether the numbers of a map lie side by side


cdef void copy_part(const floating[:, :, :, :] x, Py_ssize_t n, Py_ssize_t k, Py_ssize_t first,
                    Py_ssize_t count, floating* to) noexcept nogil:
    """Copy a part of a map whose numbers are no neighbours."""
    cdef Py_ssize_t i, row = first // x.shape[3], column = first % x.shape[3]
    for i in range(count):
        to[i] = x[n, k, row, column]
        column += 1
        if column == x.shape[3]:
            column = 0
            row += 1


cdef double sum_piece(const floating[:, :, :, :] x, const Pieces* p, Py_ssize_t k,
                      Py_ssize_t piece, floating* buffer) noexcept nogil:
    cdef Py_ssize_t n = piece // p.parts * p.maps, first = piece % p.parts * PIECE
    cdef Py_ssize_t maps = min(p.maps, x.shape[0] - n), m
    cdef Py_ssize_t count = min(PIECE, p.size - first)
    cdef Py_ssize_t step = x.strides[0] // <Py_ssize_t>sizeof(floating)
    cdef const floating* source = buffer
    if p.neighbours:
        source = &x[n, k, 0, 0] + first
    else:
        step = count
        for m in range(maps):
            copy_part(x, n + m, k, first, count, buffer + m * count)
    if floating is float:
        return single(source, step, maps, count)
    else:
        return double_(source, step, maps, count)


def sum_maps(const floating[:, :, :, :] x, floating[::1] sums):
    """Write into `sums` (K) the sum of each channel of `x` (N, K, H, W), which has any strides."""
    cdef Pieces p
    cdef Py_ssize_t item = sizeof(floating), channels = x.shape[1]
    cdef Py_ssize_t task, k, chunk, chunks, i, buffer_size
    cdef int threads
    cdef unsigned long saved = 0
    cdef double total = 0
    cdef double* partial
    cdef char* buffers

    p.size = x.shape[2] * x.shape[3]
    p.parts = max((p.size + PIECE - 1) // PIECE, 1)
    p.maps = max(min(PIECE // max(p.size, 1), PIECE_MAPS), 1)
    p.count = (x.shape[0] + p.maps - 1) // p.maps * p.parts
    p.neighbours = ((x.shape[3] == 1 or x.strides[3] == item)
                    and (x.shape[2] == 1 or x.strides[2] == x.shape[3] * item))
    chunks = max(1, min(min(x.shape[0] * p.size // CHUNK, MOST_CHUNKS), p.count))
    # A number costs as much as a few multiply-adds, for it comes from memory.
    threads = threads_for(4.0 * x.shape[0] * channels * p.size)
    buffer_size = 0 if p.neighbours else PIECE * item
    partial = <double*>take(channels * chunks * sizeof(double) + threads * buffer_size)
    buffers = <char*>(partial + channels * chunks)
    with nogil, parallel(num_threads=threads):
        saved = flush_denormals()
        # By samples, as the loops before this one shared them: a thread finds its own in its cache.
        for task in prange(channels * chunks, schedule="static"):
            k, chunk = task % channels, task // channels
            total = 0
            for i in range(chunk * p.count // chunks, (chunk + 1) * p.count // chunks):
                total = total + sum_piece(x, &p, k, i,
                                          <floating*>(buffers + threadid() * buffer_size))
            partial[k * chunks + chunk] = total
        restore_denormals(saved)
    for k in range(channels):
        total = 0
        for chunk in range(chunks):
            total += partial[k * chunks + chunk]
        sums[k] = <floating>total
    give(partial)


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


def sum_rows(x, sums):
    """Write into `sums` (C), contiguous, the sums of the columns of `x` (N, C), N at least 1."""
    cdef View view, result
    cdef Py_ssize_t i, row, chunk, chunks, block, blocks, columns, column, past
    cdef unsigned long saved = 0
    cdef double total
    cdef double* partial
    look(x, 2, False, &view)
    look(sums, 1, True, &result)
    columns = view.shape[1]
    blocks = (columns + COLUMNS - 1) // COLUMNS
    chunks = max(1, min(min(view.shape[0] * columns // CHUNK, MOST_CHUNKS),
                        view.shape[0] // PIECE_ROWS))
    partial = <double*>take(chunks * columns * sizeof(double))
    with nogil, parallel(num_threads=threads_for(4.0 * view.shape[0] * columns)):
        saved = flush_denormals()
        for i in prange(chunks * blocks, schedule="static"):
            chunk, block = i // blocks, i % blocks
            row, past = chunk * view.shape[0] // chunks, (chunk + 1) * view.shape[0] // chunks
            column = block * COLUMNS
            if result.itemsize == sizeof(float):
                add_rows(<const float*>view.data, &view, row, past, column,
                         min(column + COLUMNS, columns), partial + chunk * columns + column)
            else:
                add_rows(<const double*>view.data, &view, row, past, column,
                         min(column + COLUMNS, columns), partial + chunk * columns + column)
        restore_denormals(saved)
    for column in range(columns):
        total = 0
        for chunk in range(chunks):
            total += partial[chunk * columns + column]
        if result.itemsize == sizeof(float):
            (<float*>result.data)[column] = <float>total
        else:
            (<double*>result.data)[column] = total
    give(partial)
