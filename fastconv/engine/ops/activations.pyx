# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional give arrays of one shape and type.
"""Activations and their gradients in one pass over memory, by the loops of activations.h.

All arrays are contiguous, of any shape. The result may be an input; they may not overlap otherwise.
"""

from cython cimport floating

from fastconv.engine.base.arrays cimport Flat, look_flat
from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport brief, parallel_for, threads_for
from fastconv.engine.base.workspace cimport give, take

cdef extern from "ops/activations.h" nogil:
    ctypedef void (*Loop "fastconv_activation")(
        const double* options, const void* dy, const void* x, void* y, Py_ssize_t) noexcept nogil
    ctypedef struct Loops "fastconv_activations":
        Loop* forward
        Loop* backward
        double (*slope_sum)(const void* dy, const void* x, Py_ssize_t) noexcept nogil
    const Loops* loops_of "fastconv_activations_of"(int isa, Py_ssize_t itemsize)
    const char** loop_names "fastconv_activation_names"
    const double* loop_costs "fastconv_activation_costs"
    enum:
        ACTIVATIONS "FASTCONV_ACTIVATIONS"
        LEAKY_RELU "fastconv_number_leaky_relu"

cdef const Loops* single = loops_of(isa_row(), sizeof(float))
cdef const Loops* double_ = loops_of(isa_row(), sizeof(double))

# The place of each activation among the loops.
cdef dict _numbers = {loop_names[i].decode(): i for i in range(ACTIVATIONS)}

# Elements of one task: three blocks of floats fill a first-level cache.
cdef Py_ssize_t BLOCK = 4096


# An activation of `x`, or with the residual `dy` its gradient, into `y`.
cdef struct Mapped:
    Loop run
    double options[3]
    Flat dy, x, y


cdef void map_block(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Mapped* m = <const Mapped*>context
    cdef Py_ssize_t first = i * BLOCK * m.y.itemsize
    m.run(m.options, <char*>m.dy.data + first, <char*>m.x.data + first, <char*>m.y.data + first,
          min(BLOCK, m.y.size - i * BLOCK))


cdef int map_blocks(int number, dy, x, y, double a, double b, double c) except -1:
    """Give the blocks of the arrays to the threads."""
    cdef Mapped m
    cdef double work
    cdef const Loops* loops
    look_flat(x, False, &m.x)
    look_flat(y, True, &m.y)
    m.options[0], m.options[1], m.options[2] = a, b, c
    loops = single if m.y.itemsize == sizeof(float) else double_
    if dy is None:
        m.run, m.dy = loops.forward[number], m.x
    else:
        m.run = loops.backward[number]
        look_flat(dy, False, &m.dy)
    work = loop_costs[number] * m.y.size
    if brief(work):
        parallel_for(1, (m.y.size + BLOCK - 1) // BLOCK, map_block, &m)
        return 0
    with nogil:
        parallel_for(threads_for(work), (m.y.size + BLOCK - 1) // BLOCK, map_block, &m)
    return 0


def forward(str name, x, y, double a=0, double b=0, double c=0):
    """Write an activation of x into y; a, b and c are its options (activations_loops.h)."""
    map_blocks(_numbers[name], None, x, y, a, b, c)


def backward(str name, dy, x, dx, double a=0, double b=0, double c=0):
    """Write its gradient into dx; x is what forward saved, the input or the output."""
    map_blocks(_numbers[name], dy, x, dx, a, b, c)


# ---- a slope for each channel --------------------------------------------------------------------

# Blocks of a sum, about, that a task adds up, and the most tasks for a channel: their borders
# depend on the shape alone.
cdef Py_ssize_t CHUNK_BLOCKS = 4
cdef Py_ssize_t MOST_CHUNKS = 64


# Maps (N, C, size), and the slopes or their gradients (C).
cdef struct Slopes:
    Flat dy, x, y, slopes
    Py_ssize_t channels, size, blocks   # blocks of a map
    const Loops* loops
    Py_ssize_t batch, chunks            # of a channel
    double* partial                     # the sums of the chunks, by channel


cdef double slope_at(const Flat* slopes, Py_ssize_t c) noexcept nogil:
    if slopes.itemsize == sizeof(float):
        return (<const float*>slopes.data)[c]
    return (<const double*>slopes.data)[c]


cdef int look_at(dy, x, slopes, Slopes* p) except -1:
    look_flat(x, False, &p.x)
    look_flat(slopes, False, &p.slopes)
    if dy is not None:
        look_flat(dy, False, &p.dy)
    p.loops = single if p.x.itemsize == sizeof(float) else double_
    p.channels = p.slopes.size
    # Of one slope the whole array is one map.
    p.batch = 1 if p.channels == 1 else x.shape[0]
    p.size = p.x.size // (p.batch * p.channels) if p.x.size else 0
    p.blocks = (p.size + BLOCK - 1) // BLOCK
    return 0


cdef void slope_block(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Slopes* p = <const Slopes*>context
    cdef Py_ssize_t plane = i // p.blocks, block = i % p.blocks
    cdef Py_ssize_t first = (plane * p.size + block * BLOCK) * p.x.itemsize
    cdef double[3] options
    cdef Loop run = p.loops.forward[LEAKY_RELU]
    cdef const char* dy = NULL
    options[0], options[1], options[2] = slope_at(&p.slopes, plane % p.channels), 0, 0
    if p.dy.data is not NULL:
        run, dy = p.loops.backward[LEAKY_RELU], <const char*>p.dy.data + first
    run(options, dy, <const char*>p.x.data + first, <char*>p.y.data + first,
        min(BLOCK, p.size - block * BLOCK))


cdef int slope_blocks(Slopes* p) except -1:
    with nogil:
        parallel_for(threads_for(2.0 * p.x.size), p.batch * p.channels * p.blocks, slope_block, p)
    return 0


def prelu(x, slopes, y):
    """y = x where x > 0, else its channel's slope times x; the channels are the second axis."""
    cdef Slopes p
    look_at(None, x, slopes, &p)
    look_flat(y, True, &p.y)
    p.dy.data = NULL
    slope_blocks(&p)


def prelu_input(dy, x, slopes, dx):
    """dx = dy where x > 0, else its channel's slope times dy."""
    cdef Slopes p
    look_at(dy, x, slopes, &p)
    look_flat(dx, True, &p.y)
    slope_blocks(&p)


cdef void sum_chunk(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Slopes* p = <const Slopes*>context
    cdef Py_ssize_t c = task // p.chunks, chunk = task % p.chunks, blocks = p.batch * p.blocks
    cdef Py_ssize_t i, block, first
    cdef double total = 0
    for i in range(chunk * blocks // p.chunks, (chunk + 1) * blocks // p.chunks):
        block = i % p.blocks * BLOCK
        first = ((i // p.blocks * p.channels + c) * p.size + block) * p.x.itemsize
        total += p.loops.slope_sum(<const char*>p.dy.data + first, <const char*>p.x.data + first,
                                   min(BLOCK, p.size - block))
    p.partial[task] = total


def prelu_weight(dy, x, gradient):
    """Write into `gradient` (C) the sums of dy * x over each channel where x is not positive."""
    cdef Slopes p
    cdef Py_ssize_t c, chunk
    cdef double total
    look_flat(gradient, True, &p.slopes)
    look_at(dy, x, gradient, &p)
    p.chunks = max(1, min(p.batch * p.blocks // CHUNK_BLOCKS, MOST_CHUNKS))
    p.partial = <double*>take(p.channels * p.chunks * sizeof(double))
    with nogil:
        parallel_for(threads_for(4.0 * p.x.size), p.channels * p.chunks, sum_chunk, &p)
        for c in range(p.channels):
            total = 0
            for chunk in range(p.chunks):
                total += p.partial[c * p.chunks + chunk]
            if p.slopes.itemsize == sizeof(float):
                (<float*>p.slopes.data)[c] = <float>total
            else:
                (<double*>p.slopes.data)[c] = total
        give(p.partial)


# ---- a mask --------------------------------------------------------------------------------------

cdef struct Chosen:
    Flat x, mask, y
    Py_ssize_t size                     # elements of one number of the mask
    double scale, shift, other


cdef void choose_some(const Chosen* p, const floating* x, floating* y, Py_ssize_t first,
                      Py_ssize_t count) noexcept nogil:
    cdef const unsigned char* mask = <const unsigned char*>p.mask.data
    cdef floating scale = <floating>p.scale, shift = <floating>p.shift, other = <floating>p.other
    cdef Py_ssize_t i = 0, j, end
    cdef bint kept
    if p.size == 1:
        for i in range(first, first + count):
            y[i] = x[i] * scale + shift if mask[i] else other
        return
    i = first
    while i < first + count:
        kept = mask[i // p.size]
        end = min((i // p.size + 1) * p.size, first + count)
        for j in range(i, end):
            y[j] = x[j] * scale + shift if kept else other
        i = end


cdef void choose_block(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Chosen* p = <const Chosen*>context
    cdef Py_ssize_t first = i * BLOCK, count = min(BLOCK, p.y.size - first)
    if p.y.itemsize == sizeof(float):
        choose_some(p, <const float*>p.x.data, <float*>p.y.data, first, count)
    else:
        choose_some(p, <const double*>p.x.data, <double*>p.y.data, first, count)


def choose(x, mask, Py_ssize_t size, double scale, double shift, double other, y):
    """y = scale * x + shift where the mask is set, else `other`.

    Each number of the mask is for so many neighbouring elements.
    """
    cdef Chosen p
    cdef double work
    look_flat(x, False, &p.x)
    look_flat(mask, False, &p.mask)
    look_flat(y, True, &p.y)
    p.size, p.scale, p.shift, p.other = size, scale, shift, other
    work = 4.0 * p.y.size
    if brief(work):
        parallel_for(1, (p.y.size + BLOCK - 1) // BLOCK, choose_block, &p)
        return
    with nogil:
        parallel_for(threads_for(work), (p.y.size + BLOCK - 1) // BLOCK, choose_block, &p)
