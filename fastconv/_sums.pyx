# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: fastconv.functional gives one number for each map.
"""Sums over maps, and over the rows of a matrix: the gradients of a bias.

The maps are added in pieces of at most PIECE numbers, several small maps or a part of a large one.
The loop of csrc/sums.h sums a piece in its own precision; the pieces are added in double precision,
in chunks: tasks of the parallel loop whose borders depend on the shape alone, so that the sum has
the same bits for any number of threads.
"""

from cython cimport floating
from cython.parallel cimport parallel, prange, threadid

from fastconv._isa cimport isa_row
from fastconv._threads cimport flush_denormals, restore_denormals, threads_for
from fastconv._views cimport View, look
from fastconv._workspace cimport give, take

cdef extern from "csrc/sums.h" nogil:
    ctypedef float (*sum_f "fastconv_sum_f")(
        const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
    ctypedef double (*sum_d "fastconv_sum_d")(
        const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
    const sum_f[] sums_f "fastconv_sums_f"
    const sum_d[] sums_d "fastconv_sums_d"

cdef sum_f single = sums_f[isa_row()]
cdef sum_d double_ = sums_d[isa_row()]

cdef Py_ssize_t PIECE = 1024
# Numbers of a chunk, about, and the most chunks of a map's sum.
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
    p.maps = max(PIECE // max(p.size, 1), 1)
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


cdef void add_rows(const floating* x, const View* view, Py_ssize_t first, Py_ssize_t past,
                   floating* sums) noexcept nogil:
    """Add up some columns, row by row, in their own precision."""
    cdef Py_ssize_t _, column, item = sizeof(floating)
    cdef Py_ssize_t step = view.strides[1] // item
    for column in range(first, past):
        sums[column] = x[column * step]
    for _ in range(view.shape[0] - 1):
        x = <const floating*>(<const char*>x + view.strides[0])
        if step == 1:
            for column in range(first, past):
                sums[column] += x[column]
        else:
            for column in range(first, past):
                sums[column] += x[column * step]


def sum_rows(x, sums):
    """Write into `sums` (C), contiguous, the sums of the columns of `x` (N, C), N at least 1."""
    cdef View view, result
    cdef Py_ssize_t i, columns
    cdef unsigned long saved = 0
    look(x, 2, False, &view)
    look(sums, 1, True, &result)
    columns = view.shape[1]
    with nogil, parallel(num_threads=threads_for(4.0 * view.shape[0] * columns)):
        saved = flush_denormals()
        for i in prange((columns + PIECE - 1) // PIECE, schedule="static"):
            if result.itemsize == sizeof(float):
                add_rows(<const float*>view.data, &view, i * PIECE, min((i + 1) * PIECE, columns),
                         <float*>result.data)
            else:
                add_rows(<const double*>view.data, &view, i * PIECE,
                         min((i + 1) * PIECE, columns), <double*>result.data)
        restore_denormals(saved)
