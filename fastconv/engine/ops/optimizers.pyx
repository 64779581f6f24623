# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: shapes and types are compared here.
"""The steps of optimizers: all parameters in one parallel loop, each read and written once.

Each element goes through the roundings of the formulas' operations, from left to right. What can
fail, fails while `Blocks` are made: the loops over them do not.
"""

from cpython.buffer cimport PyBUF_ND, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cython cimport floating
from cython.parallel cimport parallel, prange

from libc.math cimport sqrt, sqrtf
from libc.stdlib cimport free, realloc

from fastconv.engine.base.threads cimport flush_denormals, restore_denormals, threads_for

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
    """The blocks of all parameters of one type.

    The parameters are given as (index, arrays, begins, rate, correction). The arrays, contiguous,
    are w, its gradient, and up to two that the optimizer keeps; the index is for messages, and the
    rest is what the loops say.

    Raises
    ------
    ValueError
        If an array has not the shape and type of w, or one that is to be written is read-only.
    """

    cdef Block* blocks
    cdef Py_ssize_t count, room
    cdef double numbers
    # The blocks point into the arrays.
    cdef list parameters

    def __init__(self, list parameters):
        self.parameters = parameters
        for index, arrays, begins, rate, correction in parameters:
            self.add(index, arrays, begins, rate, correction)

    def __dealloc__(self):
        free(self.blocks)

    cdef int add(self, object index, tuple arrays, bint begins, double rate,
                 double correction) except -1:
        """Cut the arrays of one parameter."""
        cdef void* data[4]
        cdef Py_ssize_t size = 0, itemsize = 1, at, i, blocks
        cdef Py_buffer buffer
        cdef Block* block
        w = arrays[0]
        shape, dtype = w.shape, w.dtype
        data[2] = data[3] = NULL
        for i, array in enumerate(arrays):
            # Whoever sets Parameter.grad or .data may set anything.
            if i and (array.shape != shape
                      or (array.dtype is not dtype and array.dtype != dtype)):
                raise ValueError(
                    f"params[{index}]: its {'grad' if i == 1 else 'state'} has shape "
                    f"{array.shape} and dtype {array.dtype}, expected {shape} and {dtype} as its "
                    "data")
            # Shapes and no strides: an array that is not contiguous is refused.
            PyObject_GetBuffer(array, &buffer, PyBUF_ND if i == 1 else PyBUF_ND | PyBUF_WRITABLE)
            data[i], itemsize = buffer.buf, buffer.itemsize
            size = buffer.len // itemsize
            PyBuffer_Release(&buffer)
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


def sgd(Blocks all_blocks, floating lr, floating momentum, floating fresh, floating decay,
        bint nesterov):
    """Update parameters, with momentum along a direction, which begins as the gradient."""
    cdef Block* block
    cdef Py_ssize_t i
    cdef unsigned long saved = 0
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


def adam(Blocks all_blocks, floating fresh1, floating keep2, floating fresh2, floating eps,
         floating decay):
    """Update parameters by the means of the gradient and of its square, by rate and correction."""
    cdef Block* block
    cdef Py_ssize_t i
    cdef unsigned long saved = 0
    with nogil, parallel(num_threads=threads_for(16 * all_blocks.numbers)):
        saved = flush_denormals()
        for i in prange(all_blocks.count, schedule="static"):
            block = all_blocks.blocks + i
            adam_block(<floating*>block.w, <const floating*>block.gradient,
                       <floating*>block.first, <floating*>block.second, <floating>block.rate,
                       fresh1, keep2, fresh2, <floating>block.correction, eps, decay,
                       block.count)
        restore_denormals(saved)
