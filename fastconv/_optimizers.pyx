# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the lengths are compared here.
"""The steps of optimizers: all parameters in one parallel loop, each read and written once.

Each element goes through the roundings of the formulas' operations, from left to right.
"""

from cpython.buffer cimport PyBUF_ND, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cython cimport floating
from cython.parallel cimport parallel, prange

from libc.math cimport sqrt, sqrtf
from libc.stdlib cimport free, realloc

from fastconv._threads cimport flush_denormals, restore_denormals, threads_for

# Elements of one task: three blocks of floats are as large as a first-level cache.
cdef Py_ssize_t BLOCK = 4096


cdef struct Block:
    # A part of a parameter, of its gradient, and of what the optimizer keeps for it.
    void* w
    void* gradient
    void* first
    void* second
    Py_ssize_t count
    bint begins
    double rate, correction


cdef class Blocks:
    """The blocks of all parameters of a step."""

    cdef Block* blocks
    cdef Py_ssize_t count, room
    cdef double numbers

    def __dealloc__(self):
        free(self.blocks)

    cdef int add(self, tuple arrays, Py_ssize_t itemsize, bint begins, double rate,
                 double correction) except -1:
        """Cut contiguous arrays of one length: w, gradient, and up to two more."""
        cdef void* data[4]
        cdef Py_ssize_t size = -1, at, i, blocks
        cdef Py_buffer buffer
        cdef Block* block
        data[2] = data[3] = NULL
        for i, array in enumerate(arrays):
            # Shapes and no strides: an array that is not contiguous is refused.
            PyObject_GetBuffer(array, &buffer, PyBUF_ND if i == 1 else PyBUF_ND | PyBUF_WRITABLE)
            data[i] = buffer.buf
            at = buffer.len // itemsize
            PyBuffer_Release(&buffer)
            if i and at != size:
                # Whoever sets Parameter.grad or .data may set anything.
                raise ValueError(f"a parameter has {size} values, its gradient or state {at}")
            size = at
        blocks = (size + BLOCK - 1) // BLOCK
        if self.count + blocks > self.room:
            self.room = 2 * (self.count + blocks)
            block = <Block*>realloc(self.blocks, self.room * sizeof(Block))
            if block is NULL:
                raise MemoryError(f"no room for {self.room} blocks")
            self.blocks = block
        for at from 0 <= at < size by BLOCK:
            block = self.blocks + self.count
            block.w = <char*>data[0] + at * itemsize
            block.gradient = <char*>data[1] + at * itemsize
            block.first = <char*>data[2] + at * itemsize if data[2] is not NULL else NULL
            block.second = <char*>data[3] + at * itemsize if data[3] is not NULL else NULL
            block.count = min(BLOCK, size - at)
            block.begins, block.rate, block.correction = begins, rate, correction
            self.count += 1
        self.numbers += size
        return 0


cdef void sgd_block(floating* w, const floating* gradient, floating* v, bint begins,
                    floating lr, floating momentum, floating fresh, floating decay, bint nesterov,
                    Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    cdef floating g
    if v is NULL:
        for i in range(count):
            g = decay * w[i] + gradient[i] if decay else gradient[i]
            w[i] -= lr * g
    elif begins:
        for i in range(count):
            g = decay * w[i] + gradient[i] if decay else gradient[i]
            v[i] = g
            w[i] -= lr * (momentum * g + g if nesterov else g)
    else:
        for i in range(count):
            g = decay * w[i] + gradient[i] if decay else gradient[i]
            v[i] = momentum * v[i] + fresh * g
            w[i] -= lr * (momentum * v[i] + g if nesterov else v[i])


def sgd(list parameters, floating lr, floating momentum, floating fresh, floating decay,
        bint nesterov):
    """Update parameters, given as (arrays, whether it begins).

    The arrays, contiguous and of one length: w, gradient, and with momentum the direction, which
    becomes the gradient where it begins.
    """
    cdef Blocks all_blocks = Blocks()
    cdef Block* block
    cdef Py_ssize_t i
    cdef unsigned long saved = 0
    for arrays, begins in parameters:
        all_blocks.add(arrays, sizeof(floating), begins, 0, 0)
    with nogil, parallel(num_threads=threads_for(4 * all_blocks.numbers)):
        saved = flush_denormals()
        for i in prange(all_blocks.count, schedule="static"):
            block = all_blocks.blocks + i
            sgd_block(<floating*>block.w, <const floating*>block.gradient, <floating*>block.first,
                      block.begins, lr, momentum, fresh, decay, nesterov, block.count)
        restore_denormals(saved)


cdef inline floating root(floating x) noexcept nogil:
    if floating is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef void adam_block(floating* w, const floating* gradient, floating* mean, floating* square,
                     floating rate, floating fresh1, floating keep2, floating fresh2,
                     floating correction, floating eps, floating decay,
                     Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    cdef floating g
    for i in range(count):
        g = decay * w[i] + gradient[i] if decay else gradient[i]
        mean[i] += (g - mean[i]) * fresh1
        square[i] = square[i] * keep2 + g * g * fresh2
        w[i] -= mean[i] / (root(square[i]) * correction + eps) * rate


def adam(list parameters, floating fresh1, floating keep2, floating fresh2, floating eps,
         floating decay):
    """Update parameters, given as (arrays, rate, correction).

    The arrays, contiguous and of one length: w, gradient, its mean, and its square's mean.
    """
    cdef Blocks all_blocks = Blocks()
    cdef Block* block
    cdef Py_ssize_t i
    cdef unsigned long saved = 0
    for arrays, rate, correction in parameters:
        all_blocks.add(arrays, sizeof(floating), False, rate, correction)
    with nogil, parallel(num_threads=threads_for(16 * all_blocks.numbers)):
        saved = flush_denormals()
        for i in prange(all_blocks.count, schedule="static"):
            block = all_blocks.blocks + i
            adam_block(<floating*>block.w, <const floating*>block.gradient,
                       <floating*>block.first, <floating*>block.second, <floating>block.rate,
                       fresh1, keep2, fresh2, <floating>block.correction, eps, decay,
                       block.count)
        restore_denormals(saved)
