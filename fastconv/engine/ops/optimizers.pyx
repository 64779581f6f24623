# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: shapes and types are compared here.
"""The steps of optimizers: all parameters in one parallel loop, each read and written once.

Each element goes through the roundings of the formulas' operations, from left to right. What can
fail, fails while `Blocks` are made: the loops over them do not.
"""

from cython cimport floating

from libc.math cimport sqrt, sqrtf
from libc.stdlib cimport free, realloc

from fastconv.engine.base.arrays cimport Flat, look_flat
from fastconv.engine.base.threads cimport parallel_for, threads_for
from fastconv.engine.base.workspace cimport give, take

# Elements of one task: three blocks of floats are as large as a first-level cache.
cdef Py_ssize_t BLOCK = 4096


# A part of a parameter, of its gradient, and of what the optimizer keeps for it.
cdef struct Block:
    void* w
    void* gradient
    void* first
    void* second
    void* third
    Py_ssize_t count
    bint begins
    double rate, correction


cdef inline char* element(const Flat* flat, Py_ssize_t i) noexcept:
    """Return where an element of an array is; without the array, NULL."""
    return NULL if flat.data is NULL else <char*>flat.data + i * flat.itemsize


cdef class Blocks:
    """The blocks of all parameters of one type.

    The parameters are given as (index, arrays, begins, rate, correction). The arrays, contiguous,
    are w, its gradient, and up to three that the optimizer keeps, or None; the index is for
    messages, and the rest is what the loops say.

    Raises
    ------
    ValueError
        If an array has not the shape and type of w, or one that is to be written is read-only.
    """

    cdef Block* blocks
    cdef Py_ssize_t count, room, itemsize
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
        cdef Flat flat[5]
        cdef Py_ssize_t first, i, blocks, size
        cdef Block* block
        w = arrays[0]
        shape, dtype = w.shape, w.dtype
        for i in range(5):
            flat[i].data = NULL
        for i, array in enumerate(arrays):
            if array is None:
                continue
            # Whoever sets Parameter.grad or .data may set anything.
            if i and (array.shape != shape
                      or (array.dtype is not dtype and array.dtype != dtype)):
                raise ValueError(
                    f"params[{index}]: its {'grad' if i == 1 else 'state'} has shape "
                    f"{array.shape} and dtype {array.dtype}, expected {shape} and {dtype} as its "
                    "data")
            look_flat(array, i != 1, &flat[i])
        size, self.itemsize = flat[0].size, flat[0].itemsize
        blocks = (size + BLOCK - 1) // BLOCK
        if self.count + blocks > self.room:
            self.room = 2 * (self.count + blocks)
            block = <Block*>realloc(self.blocks, self.room * sizeof(Block))
            if block is NULL:
                raise MemoryError(f"no room for {self.room} blocks")
            self.blocks = block
        for first from 0 <= first < size by BLOCK:
            block = self.blocks + self.count
            block.w, block.gradient = element(&flat[0], first), element(&flat[1], first)
            block.first, block.second = element(&flat[2], first), element(&flat[3], first)
            block.third = element(&flat[4], first)
            block.count = min(BLOCK, size - first)
            block.begins, block.rate, block.correction = begins, rate, correction
            self.count += 1
        self.numbers += size
        return 0


cdef enum Rule:
    SGD, ADAM, RMSPROP, AVERAGE


# The numbers of a step that all parameters share.
cdef struct Step:
    Rule rule
    double lr, momentum, fresh, decay
    bint nesterov
    double fresh1, keep2, fresh2, eps, shrink
    const Block* blocks
    Py_ssize_t itemsize


cdef void sgd_block(floating* w, const Step* step, const Block* block) noexcept nogil:
    cdef const floating* gradient = <const floating*>block.gradient
    cdef floating* v = <floating*>block.first
    cdef floating lr = <floating>step.lr, momentum = <floating>step.momentum
    cdef floating fresh = <floating>step.fresh, decay = <floating>step.decay, g
    cdef bint nesterov = step.nesterov
    cdef Py_ssize_t i, count = block.count
    if v is NULL:
        for i in range(count):
            g = decay * w[i] + gradient[i] if decay else gradient[i]
            w[i] -= lr * g
    elif block.begins:
        for i in range(count):
            g = decay * w[i] + gradient[i] if decay else gradient[i]
            v[i] = g
            w[i] -= lr * (momentum * g + g if nesterov else g)
    else:
        for i in range(count):
            g = decay * w[i] + gradient[i] if decay else gradient[i]
            v[i] = momentum * v[i] + fresh * g
            w[i] -= lr * (momentum * v[i] + g if nesterov else v[i])


cdef inline floating root(floating x) noexcept nogil:
    if floating is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef void adam_block(floating* w, const Step* step, const Block* block) noexcept nogil:
    cdef const floating* gradient = <const floating*>block.gradient
    cdef floating* mean = <floating*>block.first
    cdef floating* square = <floating*>block.second
    cdef floating* top = <floating*>block.third
    cdef floating rate = <floating>block.rate, correction = <floating>block.correction
    cdef floating fresh1 = <floating>step.fresh1, keep2 = <floating>step.keep2
    cdef floating fresh2 = <floating>step.fresh2, eps = <floating>step.eps
    cdef floating decay = <floating>step.decay, shrink = <floating>step.shrink, g
    cdef Py_ssize_t i
    for i in range(block.count if shrink != 1 else 0):
        w[i] *= shrink
    if top is NULL:
        for i in range(block.count):
            g = decay * w[i] + gradient[i] if decay else gradient[i]
            mean[i] += (g - mean[i]) * fresh1
            square[i] = square[i] * keep2 + g * g * fresh2
            w[i] -= mean[i] / (root(square[i]) * correction + eps) * rate
    else:
        for i in range(block.count):
            g = decay * w[i] + gradient[i] if decay else gradient[i]
            mean[i] += (g - mean[i]) * fresh1
            square[i] = square[i] * keep2 + g * g * fresh2
            top[i] = top[i] if square[i] <= top[i] else square[i]
            w[i] -= mean[i] / (root(top[i]) * correction + eps) * rate


cdef void rmsprop_block(floating* w, const Step* step, const Block* block) noexcept nogil:
    cdef const floating* gradient = <const floating*>block.gradient
    cdef floating* square = <floating*>block.first
    cdef floating* buffer = <floating*>block.second
    cdef floating* mean = <floating*>block.third
    cdef floating lr = <floating>step.lr, momentum = <floating>step.momentum
    cdef floating keep = <floating>step.keep2, fresh = <floating>step.fresh2
    cdef floating eps = <floating>step.eps, decay = <floating>step.decay, g, spread
    cdef Py_ssize_t i
    for i in range(block.count):
        g = decay * w[i] + gradient[i] if decay else gradient[i]
        square[i] = square[i] * keep + g * g * fresh
        spread = square[i]
        if mean is not NULL:
            mean[i] += (g - mean[i]) * fresh
            spread -= mean[i] * mean[i]
        g /= root(spread) + eps
        if buffer is not NULL:
            g += momentum * buffer[i]
            buffer[i] = g
        w[i] -= lr * g


cdef void average_block(floating* mean, const Step* step, const Block* block) noexcept nogil:
    cdef const floating* w = <const floating*>block.gradient
    cdef floating fresh = <floating>step.fresh
    cdef Py_ssize_t i
    for i in range(block.count):
        mean[i] += (w[i] - mean[i]) * fresh


cdef inline void update(floating* w, const Step* step, const Block* block) noexcept nogil:
    if step.rule == Rule.SGD:
        sgd_block(w, step, block)
    elif step.rule == Rule.ADAM:
        adam_block(w, step, block)
    elif step.rule == Rule.RMSPROP:
        rmsprop_block(w, step, block)
    else:
        average_block(w, step, block)


cdef void run(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Step* step = <const Step*>context
    cdef const Block* block = step.blocks + i
    if step.itemsize == sizeof(float):
        update(<float*>block.w, step, block)
    else:
        update(<double*>block.w, step, block)


cdef void run_all(Blocks blocks, Step* step, double cost) noexcept:
    """Give the blocks to the threads; `cost` is the multiply-adds of an element."""
    step.blocks, step.itemsize = blocks.blocks, blocks.itemsize
    with nogil:
        parallel_for(threads_for(cost * blocks.numbers), blocks.count, run, step)


def sgd(Blocks blocks, double lr, double momentum, double fresh, double decay, bint nesterov):
    """Update parameters, with momentum along a direction, which begins as the gradient."""
    cdef Step step
    step.rule, step.nesterov = Rule.SGD, nesterov
    step.lr, step.momentum, step.fresh, step.decay = lr, momentum, fresh, decay
    run_all(blocks, &step, 4)


def adam(Blocks blocks, double fresh1, double keep2, double fresh2, double eps, double decay,
         double shrink):
    """Update parameters by the means of the gradient and of its square, by rate and correction.

    The third array is the largest mean of the square so far; w is first multiplied by `shrink`.
    """
    cdef Step step
    step.rule, step.decay, step.shrink = Rule.ADAM, decay, shrink
    step.fresh1, step.keep2, step.fresh2, step.eps = fresh1, keep2, fresh2, eps
    run_all(blocks, &step, 16)


def rmsprop(Blocks blocks, double lr, double momentum, double keep, double fresh, double eps,
            double decay):
    """Update parameters by the mean of the gradient's square, a direction, and the mean."""
    cdef Step step
    step.rule, step.lr, step.momentum, step.decay = Rule.RMSPROP, lr, momentum, decay
    step.keep2, step.fresh2, step.eps = keep, fresh, eps
    run_all(blocks, &step, 16)


def average(Blocks blocks, double fresh):
    """Move w, which here are averages, by a part `fresh` of the way to their "gradients"."""
    cdef Step step
    step.rule, step.fresh = Rule.AVERAGE, fresh
    run_all(blocks, &step, 4)


# Numbers to be squared and added up: blocks, each with its sum.
cdef struct Squares:
    const void* x
    Py_ssize_t size, itemsize
    double* sums


cdef double sum_squares(const floating* x, Py_ssize_t count) noexcept nogil:
    """Return the sum of squares in double precision, which none of floats can overflow."""
    cdef double[8] sums
    cdef double total = 0
    cdef Py_ssize_t i, lane
    for lane in range(8):
        sums[lane] = 0
    for i in range(count // 8):
        for lane in range(8):
            sums[lane] += <double>x[8 * i + lane] * <double>x[8 * i + lane]
    for i in range(count // 8 * 8, count):
        total += <double>x[i] * <double>x[i]
    for lane in range(8):
        total += sums[lane]
    return total


cdef void square_block(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Squares* p = <const Squares*>context
    cdef Py_ssize_t first = i * BLOCK, count = min(BLOCK, p.size - first)
    if p.itemsize == sizeof(float):
        p.sums[i] = sum_squares(<const float*>p.x + first, count)
    else:
        p.sums[i] = sum_squares(<const double*>p.x + first, count)


def squared_norm(x):
    """Return the sum of the squares of an array, with the same bits for any number of threads."""
    cdef Flat flat
    cdef Squares p
    cdef Py_ssize_t i, blocks
    cdef double total = 0
    look_flat(x, False, &flat)
    blocks = (flat.size + BLOCK - 1) // BLOCK
    p.x, p.size, p.itemsize = flat.data, flat.size, flat.itemsize
    p.sums = <double*>take(blocks * sizeof(double))
    with nogil:
        parallel_for(threads_for(4.0 * flat.size), blocks, square_block, &p)
        for i in range(blocks):
            total += p.sums[i]
        give(p.sums)
    return total
