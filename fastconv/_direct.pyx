# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the loops below run inside borders computed from those shapes.
"""Convolution as plain loops (the algorithm "direct"): to be read, and to convict the engine.

Arrays have six axes, with the channels split by group:

    input   x   (N, G, C, D, H, W)
    weight  w   (G, K, C, T, R, S)
    output  y   (N, G, K, OD, OH, OW)

Any strides will do, negative ones too: turned kernels, phases and transposed matrices are views.
Positions outside the input count as zeros, so that padding is only the place where the windows
begin (`before`); it may be negative, which crops.
"""

from cython cimport floating
from cython.parallel cimport parallel, prange

from fastconv.engine.base.threads cimport flush_denormals, restore_denormals, threads_for

# Products of a weight gradient in one running sum, at least; less than twice as many.
cdef Py_ssize_t PART = 256

cdef struct Columns:
    # The output columns low .. high whose windows hold a tap, and the input column of the first.
    Py_ssize_t low, high, at


cdef Columns find_columns(Py_ssize_t size, Py_ssize_t out, Py_ssize_t stride, Py_ssize_t before,
                          Py_ssize_t offset) noexcept nogil:
    """Return the columns o with 0 <= o*stride + offset - before < size."""
    cdef Columns columns
    cdef Py_ssize_t first = offset - before
    columns.low = (-first + stride - 1) // stride if first < 0 else 0
    columns.high = min((size - first + stride - 1) // stride if size > first else 0, out)
    columns.at = columns.low * stride + first
    return columns


cdef void correlate_map(const floating[:, :, :, :, :, :] x, const floating[:, :, :, :, :, :] w,
                        const floating[:, :] bias, floating[:, :, :, :, :, :] y,
                        const Py_ssize_t* stride, const Py_ssize_t* before,
                        const Py_ssize_t* dilation, Py_ssize_t n, Py_ssize_t g,
                        Py_ssize_t k) noexcept nogil:
    """Compute one map of the output."""
    cdef Py_ssize_t od, oh, ow, c, t, r, s, d, h, column
    cdef Columns columns
    cdef floating weight
    for od in range(y.shape[3]):
        for oh in range(y.shape[4]):
            for ow in range(y.shape[5]):
                y[n, g, k, od, oh, ow] = bias[g, k] if bias is not None else 0
            for c in range(w.shape[2]):
                for t in range(w.shape[3]):
                    d = od * stride[0] + t * dilation[0] - before[0]
                    if not 0 <= d < x.shape[3]:
                        continue
                    for r in range(w.shape[4]):
                        h = oh * stride[1] + r * dilation[1] - before[1]
                        if not 0 <= h < x.shape[4]:
                            continue
                        for s in range(w.shape[5]):
                            columns = find_columns(x.shape[5], y.shape[5], stride[2], before[2],
                                                   s * dilation[2])
                            weight = w[g, k, c, t, r, s]
                            column = columns.at
                            for ow in range(columns.low, columns.high):
                                y[n, g, k, od, oh, ow] += weight * x[n, g, c, d, h, column]
                                column += stride[2]


cdef void correlate_kernel(const floating[:, :, :, :, :, :] x,
                           const floating[:, :, :, :, :, :] dy,
                           floating[:, :, :, :, :, :] dw, const Py_ssize_t* stride,
                           const Py_ssize_t* before, const Py_ssize_t* dilation, Py_ssize_t g,
                           Py_ssize_t k) noexcept nogil:
    """Compute the gradient of one kernel."""
    cdef Py_ssize_t n, od, oh, ow, c, t, r, s, d, h, column
    cdef Columns columns
    # Rounding errors grow with the length of a running sum: parts are added in double precision.
    cdef floating of_part
    cdef double total
    cdef Py_ssize_t first, length
    for c in range(dw.shape[2]):
        for t in range(dw.shape[3]):
            for r in range(dw.shape[4]):
                for s in range(dw.shape[5]):
                    columns = find_columns(x.shape[5], dy.shape[5], stride[2], before[2],
                                           s * dilation[2])
                    total = of_part = length = 0
                    for n in range(dy.shape[0]):
                        for od in range(dy.shape[3]):
                            d = od * stride[0] + t * dilation[0] - before[0]
                            if not 0 <= d < x.shape[3]:
                                continue
                            for oh in range(dy.shape[4]):
                                h = oh * stride[1] + r * dilation[1] - before[1]
                                if not 0 <= h < x.shape[4]:
                                    continue
                                column = columns.at
                                for first from columns.low <= first < columns.high by PART:
                                    for ow in range(first, min(first + PART, columns.high)):
                                        of_part += (dy[n, g, k, od, oh, ow]
                                                    * x[n, g, c, d, h, column])
                                        column += stride[2]
                                        length += 1
                                    if length >= PART:
                                        total += of_part
                                        of_part = length = 0
                    dw[g, k, c, t, r, s] = <floating>(total + of_part)


def correlate(const floating[:, :, :, :, :, :] x, const floating[:, :, :, :, :, :] w,
              const floating[:, :] bias, floating[:, :, :, :, :, :] y,
              tuple stride, tuple before, tuple dilation, bint dry=False):
    """Write into `y` the cross-correlation of `x` with `w`, plus `bias` (G, K) unless it is None.

    y[n,g,k,p] = bias[g,k] + sum over c, tap of w[g,k,c,tap] * x[n,g,c, p*stride + tap*dilation
    - before], added in this order. Returns the bytes of workspace, none; a dry call does nothing
    else.
    """
    cdef Py_ssize_t[3] strides = stride
    cdef Py_ssize_t[3] befores = before
    cdef Py_ssize_t[3] dilations = dilation
    cdef Py_ssize_t maps = y.shape[0] * y.shape[1] * y.shape[2], i
    cdef unsigned long saved = 0
    cdef int threads = threads_for(
        <double>maps * w.shape[2] * w.shape[3] * w.shape[4] * w.shape[5] * y.shape[3] * y.shape[4]
        * y.shape[5])
    if dry:
        return 0
    with nogil, parallel(num_threads=threads):
        saved = flush_denormals()
        for i in prange(maps, schedule="dynamic"):
            correlate_map(x, w, bias, y, strides, befores, dilations,
                          i // y.shape[2] // y.shape[1], i // y.shape[2] % y.shape[1],
                          i % y.shape[2])
        restore_denormals(saved)
    return 0


def correlate_weight(const floating[:, :, :, :, :, :] x, const floating[:, :, :, :, :, :] dy,
                     floating[:, :, :, :, :, :] dw, tuple stride, tuple before, tuple dilation,
                     bint dry=False):
    """Write into `dw` the correlation of the input `x` with the residual `dy`.

    dw[g,k,c,tap] = sum over n, p of dy[n,g,k,p] * x[n,g,c, p*stride + tap*dilation - before].
    Returns the bytes of workspace, none; a dry call does nothing else.
    """
    cdef Py_ssize_t[3] strides = stride
    cdef Py_ssize_t[3] befores = before
    cdef Py_ssize_t[3] dilations = dilation
    cdef Py_ssize_t kernels = dw.shape[0] * dw.shape[1], i
    cdef unsigned long saved = 0
    cdef int threads = threads_for(
        <double>kernels * dw.shape[2] * dw.shape[3] * dw.shape[4] * dw.shape[5] * dy.shape[0]
        * dy.shape[3] * dy.shape[4] * dy.shape[5])
    if dry:
        return 0
    with nogil, parallel(num_threads=threads):
        saved = flush_denormals()
        for i in prange(kernels, schedule="dynamic"):
            correlate_kernel(x, dy, dw, strides, befores, dilations, i // dw.shape[1],
                             i % dw.shape[1])
        restore_denormals(saved)
    return 0
