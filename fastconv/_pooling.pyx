# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape with the geometry,
# and the windows come from it; `max_pool_backward` checks the indices, which come from outside.
"""Pooling as plain compiled loops over the planes of (N, C, D, H, W).

Planes that are written are contiguous; all other strides are free.

The windows of an axis are a table with a row for each output position: the first input position
inside the window, how many input positions the window holds, and how many cells a mean with
`count_include_pad` divides by. The positions of a window are `dilation` apart.

For means, nearly all windows of a row lie inside the input as a whole. They are equally far apart,
and for each of their taps one loop runs over all of them; the few at the borders go one by one.

One plane is one task of the parallel loop, so that a residual is added up by one thread, in order.
"""

from cython cimport floating
from cython.parallel cimport parallel, prange, threadid

from libc.stdlib cimport free, malloc

from fastconv._threads cimport flush_denormals, restore_denormals, threads_for

# The columns of a table of windows.
cdef enum:
    FIRST = 0
    INSIDE = 1
    COUNTED = 2

ctypedef const long long[:, ::1] windows_t

cdef Py_ssize_t CACHE_LINE = 64


cdef Py_ssize_t largest(windows_t windows) noexcept nogil:
    cdef Py_ssize_t i, most = 0
    for i in range(windows.shape[0]):
        most = max(most, windows[i, INSIDE])
    return most


cdef struct Inner:
    Py_ssize_t begin, end       # the windows that lie inside as a whole
    Py_ssize_t hop              # input positions from one to the next


cdef Inner inner_windows(windows_t windows) noexcept nogil:
    cdef Py_ssize_t taps = largest(windows), count = windows.shape[0]
    cdef Inner inner
    inner.begin = 0
    while windows[inner.begin, INSIDE] < taps:
        inner.begin += 1
    inner.end = inner.begin + 1
    while inner.end < count and windows[inner.end, INSIDE] == taps:
        inner.end += 1
    inner.hop = 0
    if inner.end - inner.begin > 1:
        inner.hop = windows[inner.begin + 1, FIRST] - windows[inner.begin, FIRST]
    return inner


cdef void max_plane(const floating[:, :, :, :, :] x, floating[:, :, :, :, :] y,
                    long long[:, :, :, :, :] indices, windows_t depth, windows_t rows,
                    windows_t columns, const Py_ssize_t* dilation, Py_ssize_t n,
                    Py_ssize_t c) noexcept nogil:
    cdef Py_ssize_t od, oh, ow, t, r, s, d, h, w, at, best_at, hop = dilation[2] * x.strides[4]
    cdef bint better
    cdef floating best, value
    cdef const char* source
    for od in range(y.shape[2]):
        for oh in range(y.shape[3]):
            for ow in range(y.shape[4]):
                w = columns[ow, FIRST]
                best = x[n, c, depth[od, FIRST], rows[oh, FIRST], w]
                best_at = (depth[od, FIRST] * x.shape[3] + rows[oh, FIRST]) * x.shape[4] + w
                for t in range(depth[od, INSIDE]):
                    d = depth[od, FIRST] + t * dilation[0]
                    for r in range(rows[oh, INSIDE]):
                        h = rows[oh, FIRST] + r * dilation[1]
                        at = (d * x.shape[3] + h) * x.shape[4] + w
                        source = <const char*>&x[n, c, d, h, w]
                        for s in range(columns[ow, INSIDE]):
                            value = (<const floating*>(source + s * hop))[0]
                            # The first maximum wins; a NaN wins over all but an earlier NaN.
                            better = (best == best) & (not value <= best)
                            best = value if better else best
                            best_at = at + s * dilation[2] if better else best_at
                y[n, c, od, oh, ow] = best
                if indices is not None:
                    indices[n, c, od, oh, ow] = best_at


def max_pool(const floating[:, :, :, :, :] x, floating[:, :, :, :, :] y,
             long long[:, :, :, :, :] indices, tuple windows, tuple dilation):
    """Write the maxima of the windows into `y`.

    Their places, flat within a plane of `x`, go into `indices` unless it is None. `windows` holds
    the tables for depth, row and column.
    """
    cdef windows_t depth = windows[0], rows = windows[1], columns = windows[2]
    cdef Py_ssize_t hops[3]
    cdef Py_ssize_t i, channels = x.shape[1], planes = x.shape[0] * x.shape[1]
    cdef double work = (<double>planes * y.shape[2] * y.shape[3] * y.shape[4]
                        * largest(depth) * largest(rows) * largest(columns))
    hops[0], hops[1], hops[2] = dilation
    for i in prange(planes, schedule="dynamic", nogil=True, num_threads=threads_for(work)):
        max_plane(x, y, indices, depth, rows, columns, hops, i // channels, i % channels)


cdef bint scatter_plane(const floating[:, :, :] dy, const long long[:, :, :] indices,
                        floating[:, :, :] dx, Py_ssize_t n, Py_ssize_t c) noexcept nogil:
    cdef Py_ssize_t p, at
    for p in range(dx.shape[2]):
        dx[n, c, p] = 0
    for p in range(dy.shape[2]):
        at = indices[n, c, p]
        if at < 0 or at >= dx.shape[2]:
            return False
        dx[n, c, at] += dy[n, c, p]
    return True


def max_pool_backward(const floating[:, :, :] dy, const long long[:, :, :] indices,
                      floating[:, :, :] dx):
    """Add each residual (N, C, P) to the place in `dx` (N, C, cells) that its index names.

    Returns False, with `dx` unfinished, where an index lies outside the plane.
    """
    cdef Py_ssize_t i, channels = dy.shape[1], planes = dy.shape[0] * dy.shape[1]
    cdef int bad = 0
    cdef unsigned long saved = 0
    with nogil, parallel(num_threads=threads_for(<double>planes * (dy.shape[2] + dx.shape[2]))):
        saved = flush_denormals()
        for i in prange(planes, schedule="dynamic"):
            bad += not scatter_plane(dy, indices, dx, i // channels, i % channels)
        restore_denormals(saved)
    return bad == 0


cdef inline double cells_of(windows_t depth, windows_t rows, windows_t columns, double cells,
                            Py_ssize_t column, Py_ssize_t od, Py_ssize_t oh,
                            Py_ssize_t ow) noexcept nogil:
    """Return `cells` where it is given, else the cells of the window by the tables' column."""
    if cells:
        return cells
    return <double>depth[od, column] * rows[oh, column] * columns[ow, column]


cdef void mean_plane(const floating[:, :, :, :, :] x, floating[:, :, :, :, :] y,
                     windows_t depth, windows_t rows, windows_t columns,
                     const Py_ssize_t* dilation, Inner inner, double cells, Py_ssize_t column,
                     Py_ssize_t n, Py_ssize_t c) noexcept nogil:
    cdef Py_ssize_t od, oh, ow, t, r, s, hop = inner.hop * x.strides[4]
    cdef floating* line
    cdef const char* source
    cdef const char* at
    for od in range(y.shape[2]):
        for oh in range(y.shape[3]):
            line = &y[n, c, od, oh, 0]
            for ow in range(y.shape[4]):
                line[ow] = 0
            for t in range(depth[od, INSIDE]):
                for r in range(rows[oh, INSIDE]):
                    source = <const char*>&x[n, c, depth[od, FIRST] + t * dilation[0],
                                             rows[oh, FIRST] + r * dilation[1], 0]
                    for s in range(columns[inner.begin, INSIDE]):
                        at = source + ((columns[inner.begin, FIRST] + s * dilation[2])
                                       * x.strides[4])
                        for ow in range(inner.begin, inner.end):
                            line[ow] += (<const floating*>at)[0]
                            at += hop
                    for ow in range(y.shape[4]):
                        if inner.begin <= ow < inner.end:
                            continue
                        for s in range(columns[ow, INSIDE]):
                            at = source + (columns[ow, FIRST] + s * dilation[2]) * x.strides[4]
                            line[ow] += (<const floating*>at)[0]
            for ow in range(y.shape[4]):
                line[ow] /= <floating>cells_of(depth, rows, columns, cells, column, od, oh, ow)


def mean_pool(const floating[:, :, :, :, :] x, floating[:, :, :, :, :] y, tuple windows,
              tuple dilation, double cells, bint count_padding):
    """Write into `y` the sum of each window over its number of cells.

    The number is `cells` unless that is 0; else it includes the padding or not.
    """
    cdef windows_t depth = windows[0], rows = windows[1], columns = windows[2]
    cdef Inner inner = inner_windows(columns)
    cdef Py_ssize_t hops[3]
    cdef Py_ssize_t column = COUNTED if count_padding else INSIDE
    cdef Py_ssize_t i, channels = x.shape[1], planes = x.shape[0] * x.shape[1]
    cdef double work = (<double>planes * y.shape[2] * y.shape[3] * y.shape[4]
                        * largest(depth) * largest(rows) * largest(columns))
    cdef unsigned long saved = 0
    hops[0], hops[1], hops[2] = dilation
    with nogil, parallel(num_threads=threads_for(work)):
        saved = flush_denormals()
        for i in prange(planes, schedule="dynamic"):
            mean_plane(x, y, depth, rows, columns, hops, inner, cells, column,
                       i // channels, i % channels)
        restore_denormals(saved)


cdef void spread_plane(const floating[:, :, :, :, :] dy, floating[:, :, :, :, :] dx,
                       windows_t depth, windows_t rows, windows_t columns,
                       const Py_ssize_t* dilation, Inner inner, double cells, Py_ssize_t column,
                       Py_ssize_t n, Py_ssize_t c, floating* shares) noexcept nogil:
    cdef Py_ssize_t od, oh, ow, t, r, s
    cdef floating* line
    cdef floating* at
    for od in range(dx.shape[2]):
        for oh in range(dx.shape[3]):
            for ow in range(dx.shape[4]):
                dx[n, c, od, oh, ow] = 0
    for od in range(dy.shape[2]):
        for oh in range(dy.shape[3]):
            for ow in range(dy.shape[4]):
                shares[ow] = dy[n, c, od, oh, ow] / <floating>cells_of(
                    depth, rows, columns, cells, column, od, oh, ow)
            for t in range(depth[od, INSIDE]):
                for r in range(rows[oh, INSIDE]):
                    line = &dx[n, c, depth[od, FIRST] + t * dilation[0],
                               rows[oh, FIRST] + r * dilation[1], 0]
                    for s in range(columns[inner.begin, INSIDE]):
                        at = line + columns[inner.begin, FIRST] + s * dilation[2]
                        for ow in range(inner.begin, inner.end):
                            at[0] += shares[ow]
                            at += inner.hop
                    for ow in range(dy.shape[4]):
                        if inner.begin <= ow < inner.end:
                            continue
                        for s in range(columns[ow, INSIDE]):
                            line[columns[ow, FIRST] + s * dilation[2]] += shares[ow]


def mean_pool_backward(const floating[:, :, :, :, :] dy, floating[:, :, :, :, :] dx,
                       tuple windows, tuple dilation, double cells, bint count_padding):
    """Spread each residual evenly over the cells of its window; arguments as in `mean_pool`."""
    cdef windows_t depth = windows[0], rows = windows[1], columns = windows[2]
    cdef Inner inner = inner_windows(columns)
    cdef Py_ssize_t hops[3]
    cdef Py_ssize_t column = COUNTED if count_padding else INSIDE
    cdef Py_ssize_t i, channels = dx.shape[1], planes = dx.shape[0] * dx.shape[1]
    cdef int threads = threads_for(<double>planes * dy.shape[2] * dy.shape[3] * dy.shape[4]
                                   * largest(depth) * largest(rows) * largest(columns))
    cdef unsigned long saved = 0
    # Two threads that write into one cache line would wait for each other.
    cdef Py_ssize_t width = dy.shape[4] + CACHE_LINE
    cdef floating* shares = <floating*>malloc(threads * width * sizeof(floating))
    if shares is NULL:
        raise MemoryError(f"no room for {threads} rows of the residual")
    hops[0], hops[1], hops[2] = dilation
    with nogil, parallel(num_threads=threads):
        saved = flush_denormals()
        for i in prange(planes, schedule="dynamic"):
            spread_plane(dy, dx, depth, rows, columns, hops, inner, cells, column,
                         i // channels, i % channels, shares + threadid() * width)
        restore_denormals(saved)
    free(shares)
