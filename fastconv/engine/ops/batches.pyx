# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the lengths are compared, and the numbers of the images are checked here.
"""A batch of images: taken from all, converted and normalised in one pass."""

from cython cimport floating
from cython.parallel cimport parallel, prange

from fastconv.engine.base.arrays cimport Flat, look_flat
from fastconv.engine.base.threads cimport flush_denormals, restore_denormals, threads_for

ctypedef fused number:
    unsigned char
    float
    double


cdef void normalise(const number* image, floating mean, floating scale, Py_ssize_t size,
                    floating* x) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(size):
        x[i] = (<floating>image[i] - mean) * scale


cdef void take_all(const number* images, const Py_ssize_t* chosen, Py_ssize_t count,
                   Py_ssize_t size, double mean, double scale, floating* x) noexcept nogil:
    cdef Py_ssize_t i
    cdef unsigned long saved = 0
    # A number costs as much as a few multiply-adds, for it comes from memory.
    with parallel(num_threads=threads_for(4.0 * count * size)):
        saved = flush_denormals()
        for i in prange(count, schedule="static"):
            normalise(images + chosen[i] * size, <floating>mean, <floating>scale, size,
                      x + i * size)
        restore_denormals(saved)


cdef bint exist(const Py_ssize_t* chosen, Py_ssize_t count, Py_ssize_t images) noexcept nogil:
    """Tell whether all numbers are from 0 to `images` - 1."""
    cdef Py_ssize_t i
    for i in range(count):
        if not 0 <= chosen[i] < images:
            return False
    return True


def take_images(images, chosen, double mean, double scale, x):
    """Write (image - mean) * scale of the chosen images into `x`.

    All arrays are contiguous: `images` of uint8, float or double, `chosen` of intp, `x` of float or
    double. Returns False, and writes nothing, if an image does not exist.
    """
    cdef Flat source, order, target
    cdef Py_ssize_t size
    look_flat(images, False, &source)
    look_flat(chosen, False, &order)
    look_flat(x, True, &target)
    size = target.size // order.size
    if not exist(<const Py_ssize_t*>order.data, order.size, source.size // size):
        return False
    if target.itemsize == sizeof(float):
        take_from(&source, <const Py_ssize_t*>order.data, order.size, size, mean, scale,
                  <float*>target.data)
    else:
        take_from(&source, <const Py_ssize_t*>order.data, order.size, size, mean, scale,
                  <double*>target.data)
    return True


cdef void take_from(const Flat* source, const Py_ssize_t* chosen, Py_ssize_t count,
                    Py_ssize_t size, double mean, double scale, floating* x) noexcept nogil:
    if source.itemsize == 1:
        take_all(<const unsigned char*>source.data, chosen, count, size, mean, scale, x)
    elif source.itemsize == sizeof(float):
        take_all(<const float*>source.data, chosen, count, size, mean, scale, x)
    else:
        take_all(<const double*>source.data, chosen, count, size, mean, scale, x)
