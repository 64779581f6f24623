# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the lengths are compared, and the numbers of the images are checked here.
"""A batch of images: taken from all, converted and normalised in one pass."""

from cython cimport floating

from fastconv.engine.base.arrays cimport Flat, all_below, look_flat
from fastconv.engine.base.threads cimport parallel_for, threads_for

ctypedef fused number:
    unsigned char
    float
    double


cdef void normalise(const number* image, floating mean, floating scale, Py_ssize_t size,
                    floating* x) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(size):
        x[i] = (<floating>image[i] - mean) * scale


cdef struct Batch:
    Flat images, x
    const Py_ssize_t* chosen
    Py_ssize_t size                     # of an image
    double mean, scale


cdef void take_from(const number* images, const Batch* batch, Py_ssize_t i) noexcept nogil:
    cdef Py_ssize_t size = batch.size
    images += batch.chosen[i] * size
    if batch.x.itemsize == sizeof(float):
        normalise(images, <float>batch.mean, <float>batch.scale, size,
                  <float*>batch.x.data + i * size)
    else:
        normalise(images, batch.mean, batch.scale, size, <double*>batch.x.data + i * size)


cdef void take_image(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Batch* batch = <const Batch*>context
    if batch.images.itemsize == 1:
        take_from(<const unsigned char*>batch.images.data, batch, i)
    elif batch.images.itemsize == sizeof(float):
        take_from(<const float*>batch.images.data, batch, i)
    else:
        take_from(<const double*>batch.images.data, batch, i)


def take_images(images, chosen, double mean, double scale, x):
    """Write (image - mean) * scale of the chosen images into `x`.

    All arrays are contiguous: `images` of uint8, float or double, `chosen` of intp, `x` of float or
    double. Returns False, and writes nothing, if an image does not exist.
    """
    cdef Batch batch
    cdef Flat order
    look_flat(images, False, &batch.images)
    look_flat(chosen, False, &order)
    look_flat(x, True, &batch.x)
    batch.chosen, batch.size = <const Py_ssize_t*>order.data, batch.x.size // order.size
    batch.mean, batch.scale = mean, scale
    if not all_below(batch.chosen, order.size, batch.images.size // batch.size):
        return False
    with nogil:
        # A number costs as much as a few multiply-adds, for it comes from memory.
        parallel_for(threads_for(4.0 * batch.x.size), order.size, take_image, &batch)
    return True
