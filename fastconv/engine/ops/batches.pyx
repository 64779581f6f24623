# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the lengths are compared, and the numbers of the images and their moves are
# checked here.
"""A batch of images: taken from all, moved, converted and normalised in one pass."""

from cython cimport floating

from fastconv.engine.base.arrays cimport Flat, View, all_below, look, look_flat
from fastconv.engine.base.threads cimport parallel_for, threads_for

ctypedef fused number:
    unsigned char
    float
    double

# How an image is moved: down and right (negative: up and left), whether it is turned over, and the
# rows and columns that are cut out, in the result.
cdef struct Move:
    int down, right, flip, top, bottom, left, end


cdef void normalise(const number* row, floating mean, floating scale, Py_ssize_t size,
                    floating* x) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(size):
        x[i] = (<floating>row[i] - mean) * scale


cdef void normalise_flipped(const number* row, floating mean, floating scale, Py_ssize_t size,
                            floating* x) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(size):
        x[-i] = (<floating>row[i] - mean) * scale


cdef void fill(floating* x, floating value, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(size):
        x[i] = value


cdef void move_plane(const number* plane, const Move* move, floating mean, floating scale,
                     Py_ssize_t height, Py_ssize_t width, floating* x) noexcept nogil:
    """Write one channel of a moved image; what comes in at the borders is a normalised 0."""
    cdef floating outside = (<floating>0 - mean) * scale
    cdef Py_ssize_t row, source
    # Of the columns, before the flip: where those of the image begin and end.
    cdef Py_ssize_t first = min(max(<Py_ssize_t>move.right, 0), width)
    cdef Py_ssize_t past = max(min(width + move.right, width), first)
    for row in range(height):
        source = row - move.down
        if source < 0 or source >= height:
            fill(x, outside, width)
        elif move.flip:
            fill(x + (width - first), outside, first)
            normalise_flipped(plane + (source * width + first - move.right), mean, scale,
                              past - first, x + (width - 1 - first))
            fill(x, outside, width - past)
        else:
            fill(x, outside, first)
            normalise(plane + (source * width + first - move.right), mean, scale, past - first,
                      x + first)
            fill(x + past, outside, width - past)
        if move.top <= row < move.bottom:
            fill(x + move.left, <floating>0, move.end - move.left)
        x += width


cdef struct Batch:
    Flat images
    View x
    const Py_ssize_t* chosen
    const Move* moves                   # or NULL
    # Of each channel.
    const double* mean
    const double* scale


cdef void take(const number* image, const Batch* batch, Py_ssize_t i, floating* x) noexcept nogil:
    cdef Py_ssize_t channel, channels = batch.x.shape[1]
    cdef Py_ssize_t size = batch.x.shape[2] * batch.x.shape[3]
    image += batch.chosen[i] * channels * size
    x += i * channels * size
    for channel in range(channels):
        if batch.moves is NULL:
            normalise(image, <floating>batch.mean[channel], <floating>batch.scale[channel], size, x)
        else:
            move_plane(image, batch.moves + i, <floating>batch.mean[channel],
                       <floating>batch.scale[channel], batch.x.shape[2], batch.x.shape[3], x)
        image += size
        x += size


cdef void take_from(const number* images, const Batch* batch, Py_ssize_t i) noexcept nogil:
    if batch.x.itemsize == sizeof(float):
        take(images, batch, i, <float*>batch.x.data)
    else:
        take(images, batch, i, <double*>batch.x.data)


cdef void take_image(void* context, Py_ssize_t i, int thread) noexcept nogil:
    cdef const Batch* batch = <const Batch*>context
    if batch.images.itemsize == 1:
        take_from(<const unsigned char*>batch.images.data, batch, i)
    elif batch.images.itemsize == sizeof(float):
        take_from(<const float*>batch.images.data, batch, i)
    else:
        take_from(<const double*>batch.images.data, batch, i)


cdef bint all_inside(const Move* moves, Py_ssize_t count, Py_ssize_t height,
                     Py_ssize_t width) noexcept nogil:
    """Whether what is cut out lies in the image."""
    cdef Py_ssize_t i
    for i in range(count):
        if not (0 <= moves[i].top and moves[i].bottom <= height
                and 0 <= moves[i].left <= moves[i].end <= width):
            return False
    return True


def take_images(images, chosen, mean, scale, x, moves=None):
    """Write (image - mean) * scale of the chosen images into `x`, of shape (N, C, H, W).

    All arrays are contiguous: `images` of uint8, float or double, `chosen` of intp, `mean` and
    `scale` of C doubles, `x` of float or double, `moves` of int32 with the seven numbers of `Move`
    for each image. Returns False, and writes nothing, if an image does not exist, or what is to be
    cut out of it.
    """
    cdef Batch batch
    cdef Flat order, means, scales, moved
    look_flat(images, False, &batch.images)
    look_flat(chosen, False, &order)
    look_flat(mean, False, &means)
    look_flat(scale, False, &scales)
    look(x, 4, True, &batch.x)
    cdef Py_ssize_t count = batch.x.shape[0], channels = batch.x.shape[1]
    cdef Py_ssize_t height = batch.x.shape[2], width = batch.x.shape[3]
    cdef Py_ssize_t size = channels * height * width
    if order.size != count or means.size != channels or scales.size != channels:
        raise ValueError(f"{order.size} images, {means.size} and {scales.size} channels for x")
    batch.chosen, batch.moves = <const Py_ssize_t*>order.data, NULL
    batch.mean, batch.scale = <const double*>means.data, <const double*>scales.data
    if not all_below(batch.chosen, count, batch.images.size // size):
        return False
    if moves is not None:
        look_flat(moves, False, &moved)
        batch.moves = <const Move*>moved.data
        if moved.size != 7 * count or not all_inside(batch.moves, count, height, width):
            return False
    with nogil:
        # A number costs as much as a few multiply-adds, for it comes from memory.
        parallel_for(threads_for(4.0 * count * size), count, take_image, &batch)
    return True
