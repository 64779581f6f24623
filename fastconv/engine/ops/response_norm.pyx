# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared the shapes.
"""Local response normalisation and its gradient, by the loops of response_norm.h.

A task is a block of neighbouring pixels of one sample with all channels: their squares lie in the
thread's buffer, channel by channel, and the windows are sums of its rows.
"""

from fastconv.engine.base.isa cimport isa_row
from fastconv.engine.base.threads cimport brief, parallel_for, threads_for
from fastconv.engine.base.workspace cimport give, take
from fastconv.engine.ops.normalization cimport Maps, look_at_maps

# response_norm_loops.h says what the loops do.
cdef extern from "ops/response_norm.h" nogil:
    ctypedef struct Response "fastconv_response":
        const char* x
        const char* dy
        char* result
        Py_ssize_t x_step, dy_step, result_step, channels, count, before, after
        double alpha, beta, k
        void* scratch
    ctypedef struct Loops "fastconv_response_norm":
        void (*forward)(const Response*) noexcept nogil
        void (*backward)(const Response*) noexcept nogil
    const Loops* loops_of "fastconv_response_norm_of"(int isa, Py_ssize_t itemsize)

# A block's rows have about so many bytes, and so many numbers, at least and at most.
cdef Py_ssize_t BLOCK_BYTES = 65536
cdef Py_ssize_t LEAST = 16, MOST = 512


cdef struct Blocks:
    const Loops* loops
    Maps x, dy, result
    bint backward
    Response response           # what all blocks share
    Py_ssize_t block, blocks    # pixels of a block, and blocks of a sample
    char* buffers
    Py_ssize_t buffer           # bytes of a thread's buffer


cdef inline char* pixels(const Maps* maps, Py_ssize_t n, Py_ssize_t first) noexcept nogil:
    return maps.data + n * maps.sample_step + first * maps.itemsize


cdef void run_block(void* context, Py_ssize_t task, int thread) noexcept nogil:
    cdef const Blocks* m = <const Blocks*>context
    cdef Py_ssize_t n = task // m.blocks, first = task % m.blocks * m.block
    cdef Response p = m.response
    p.count = min(m.block, m.x.size - first)
    p.x, p.result = pixels(&m.x, n, first), pixels(&m.result, n, first)
    p.scratch = m.buffers + thread * m.buffer
    if m.backward:
        p.dy = pixels(&m.dy, n, first)
        m.loops.backward(&p)
    else:
        m.loops.forward(&p)


def response_norm(dy, x, result, Py_ssize_t size, double alpha, double beta, double k):
    """Write x (k + alpha * sum of squares)^-beta, or the gradient where there is a residual `dy`.

    The window of channel c goes from c - size // 2 to c + (size - 1) // 2.
    """
    cdef Blocks m
    cdef Response* p = &m.response
    cdef double work
    cdef int threads
    look_at_maps(x, False, &m.x)
    look_at_maps(result, True, &m.result)
    m.backward = dy is not None
    if m.backward:
        look_at_maps(dy, False, &m.dy)
        p.dy_step = m.dy.channel_step
    p.x_step, p.result_step, p.channels = m.x.channel_step, m.result.channel_step, m.x.channels
    p.before, p.after = min(size // 2, p.channels), min((size - 1) // 2, p.channels)
    p.alpha, p.beta, p.k = alpha, beta, k
    m.loops = loops_of(isa_row(), m.x.itemsize)
    m.block = min(max(BLOCK_BYTES // (p.channels * m.x.itemsize), LEAST), MOST)
    m.blocks = (m.x.size + m.block - 1) // m.block
    m.buffer = ((3 if m.backward else 1) * p.channels + 3) * m.block * m.x.itemsize
    work = <double>m.x.samples * m.x.channels * m.x.size * (16 + p.before + p.after)
    threads = threads_for(work)
    m.buffers = <char*>take(threads * m.buffer)
    if brief(work):
        parallel_for(threads, m.x.samples * m.blocks, run_block, &m)
    else:
        with nogil:
            parallel_for(threads, m.x.samples * m.blocks, run_block, &m)
    give(m.buffers)
