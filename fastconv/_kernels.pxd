# What the loops of _kernels.pyx stand on: the arrays of a convolution, which input a tap sees, and
# the way along a row of the columns.

from fastconv.engine.base.arrays cimport Axes

ctypedef Py_ssize_t Index

cdef struct Conv:
    int operation
    Axes x, w, y                        # or their gradients; strides are in elements
    Index[3] stride, before, dilation

cdef struct Span:
    Index low, high


cdef inline Index at(Axes a, Index e0, Index e1, Index e2, Index e3, Index e4,
                     Index e5) noexcept nogil:
    """Return where the element [e0, e1, e2, e3, e4, e5] lies."""
    return (e0 * a.strides[0] + e1 * a.strides[1] + e2 * a.strides[2] + e3 * a.strides[3]
            + e4 * a.strides[4] + e5 * a.strides[5])


cdef inline Index seen(Conv conv, int axis, Index output, Index tap) noexcept nogil:
    """Return the input that a tap of an output's window sees; it may lie outside, in a zero."""
    return output * conv.stride[axis] + tap * conv.dilation[axis] - conv.before[axis]


cdef inline Index windows_over(Index distance, Index stride) noexcept nogil:
    # How many windows begin within a distance; a division takes as long as many products.
    return distance if stride == 1 else (distance + stride - 1) // stride


cdef inline Span inside(Conv conv, Index tap) noexcept nogil:
    """Return the output columns low .. high whose tap sees a column inside the input."""
    cdef Index first = seen(conv, 2, 0, tap), columns = conv.x.shape[5]
    cdef Span span
    span.low = windows_over(-first, conv.stride[2]) if first < 0 else 0
    span.high = windows_over(columns - first, conv.stride[2]) if first < columns else 0
    span.high = min(span.high, conv.y.shape[5])
    return span


# ---- columns -----------------------------------------------------------------------------------

cdef struct Tap:
    # A row of the columns: a channel at a tap.
    Index c, t, r, s

cdef struct Walk:
    # The way along a row of the columns, from output row to output row.
    Tap tap
    Span inside                         # output columns whose tap sees a column of the input
    Index n, o, i, j, left         # the next position, and how many are left
    Index count                    # positions in this output row,
    Index low, high                # those of them whose tap sees the input,
    Index place                    # and where lies what the first of these sees


cdef inline Tap find_tap(Conv conv, Index row) noexcept nogil:
    cdef const Index* shape = conv.w.shape
    cdef Tap tap
    tap.s, row = row % shape[5], row // shape[5]
    tap.r, row = row % shape[4], row // shape[4]
    tap.t, tap.c = row % shape[3], row // shape[3]
    return tap


cdef inline Walk begin_row(Conv conv, Index row, Index first, Index count) noexcept nogil:
    """Return the way along a row: to so many positions of the batch, from the first on."""
    cdef const Index* shape = conv.y.shape
    cdef Walk walk
    walk.tap = find_tap(conv, row)
    walk.inside = inside(conv, walk.tap.s)
    walk.j, first = first % shape[5], first // shape[5]
    walk.i, first = first % shape[4], first // shape[4]
    walk.o, walk.n = first % shape[3], first // shape[3]
    walk.left = count
    return walk


cdef inline bint next_piece(Conv conv, Index g, Walk* walk) noexcept nogil:
    """Go on to the next output row; return whether there is one."""
    cdef Tap tap = walk.tap
    cdef Index d, u
    if not walk.left:
        return False
    if walk.j == conv.y.shape[5]:
        walk.i, walk.j = walk.i + 1, 0
    if walk.i == conv.y.shape[4]:
        walk.o, walk.i = walk.o + 1, 0
    if walk.o == conv.y.shape[3]:
        walk.n, walk.o = walk.n + 1, 0
    walk.count = walk.low = walk.high = min(conv.y.shape[5] - walk.j, walk.left)
    walk.place = 0
    d, u = seen(conv, 0, walk.o, tap.t), seen(conv, 1, walk.i, tap.r)
    if 0 <= d < conv.x.shape[3] and 0 <= u < conv.x.shape[4]:
        walk.low = min(max(walk.inside.low - walk.j, 0), walk.count)
        walk.high = min(max(walk.inside.high - walk.j, walk.low), walk.count)
    if walk.low < walk.high:
        walk.place = at(conv.x, walk.n, g, tap.c, d, u, seen(conv, 2, walk.j + walk.low, tap.s))
    walk.j += walk.count
    walk.left -= walk.count
    return True
