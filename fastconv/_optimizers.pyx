# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: fastconv.training.optimizers gives arrays of one length.
"""The steps of optimizers, each parameter in one pass over memory.

Each element goes through the roundings of the formulas' operations, from left to right.
"""

from cython cimport floating
from cython.parallel cimport parallel, prange

from libc.math cimport sqrt, sqrtf

from fastconv._threads cimport flush_denormals, restore_denormals, threads_for

cdef Py_ssize_t BLOCK = 4096


cdef void sgd_block(floating* w, const floating* gradient, floating* v, bint begin, bint moves,
                    floating lr, floating momentum, floating fresh, floating decay, bint nesterov,
                    Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    cdef floating g
    if not moves:
        for i in range(count):
            g = decay * w[i] + gradient[i] if decay else gradient[i]
            w[i] -= lr * g
    elif begin:
        for i in range(count):
            g = decay * w[i] + gradient[i] if decay else gradient[i]
            v[i] = g
            w[i] -= lr * (momentum * g + g if nesterov else g)
    else:
        for i in range(count):
            g = decay * w[i] + gradient[i] if decay else gradient[i]
            v[i] = momentum * v[i] + fresh * g
            w[i] -= lr * (momentum * v[i] + g if nesterov else v[i])


cdef void sgd_step(floating[::1] w, const floating[::1] g, floating[::1] v, bint begin,
                   floating lr, floating momentum, floating fresh, floating decay,
                   bint nesterov) noexcept nogil:
    cdef Py_ssize_t i, at, count = w.shape[0]
    cdef bint moves = v is not None
    cdef unsigned long saved = 0
    with parallel(num_threads=threads_for(4.0 * count)):
        saved = flush_denormals()
        for i in prange((count + BLOCK - 1) // BLOCK, schedule="static"):
            at = i * BLOCK
            sgd_block(&w[at], &g[at], &v[at] if moves else NULL, begin, moves, lr, momentum,
                      fresh, decay, nesterov, min(BLOCK, count - at))
        restore_denormals(saved)


cdef int same_length(Py_ssize_t values, Py_ssize_t others) except -1:
    # Whoever sets Parameter.grad or .data may set anything.
    if values != others:
        raise ValueError(f"a parameter has {values} values, its gradient or state {others}")
    return 0


def sgd(list parameters, floating lr, floating momentum, floating fresh, floating decay,
        bint nesterov):
    """Update parameters, given as (w, gradient, direction or None, whether it begins).

    Without a direction there is no momentum; where it begins it becomes the gradient.
    """
    cdef floating[::1] w, v
    cdef const floating[::1] g
    cdef bint begin
    for w, g, v, begin in parameters:
        same_length(w.shape[0], g.shape[0])
        if v is not None:
            same_length(w.shape[0], v.shape[0])
        with nogil:
            sgd_step(w, g, v, begin, lr, momentum, fresh, decay, nesterov)


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


cdef void adam_step(floating[::1] w, const floating[::1] g, floating[::1] mean,
                    floating[::1] square, floating rate, floating fresh1, floating keep2,
                    floating fresh2, floating correction, floating eps,
                    floating decay) noexcept nogil:
    cdef Py_ssize_t i, at, count = w.shape[0]
    cdef unsigned long saved = 0
    with parallel(num_threads=threads_for(16.0 * count)):
        saved = flush_denormals()
        for i in prange((count + BLOCK - 1) // BLOCK, schedule="static"):
            at = i * BLOCK
            adam_block(&w[at], &g[at], &mean[at], &square[at], rate, fresh1, keep2, fresh2,
                       correction, eps, decay, min(BLOCK, count - at))
        restore_denormals(saved)


def adam(list parameters, floating fresh1, floating keep2, floating fresh2, floating eps,
         floating decay):
    """Update parameters, given as (w, gradient, its mean, its square's mean, rate, correction)."""
    cdef floating[::1] w, mean, square
    cdef const floating[::1] g
    cdef floating rate, correction
    for w, g, mean, square, rate, correction in parameters:
        same_length(w.shape[0], g.shape[0])
        same_length(w.shape[0], mean.shape[0])
        same_length(w.shape[0], square.shape[0])
        with nogil:
            adam_step(w, g, mean, square, rate, fresh1, keep2, fresh2, correction, eps, decay)
