# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The kernels that call this have fixed all borders.
"""What kernels are cut into, so that each part has a form of Winograd's tiles.

Kernels with a depth, and those that move by 2, are sums of *terms*: one for each tap of the depth,
and for each residue of the taps on both axes of a plane. Even taps of a kernel that moves by 2 see
every second pixel, and the odd ones the others:

    x      0 1 2 3 4 5 6 7 8      w    a b c          y[0] = a x[0] + b x[1] + c x[2]
    even   0   2   4   6   8           a   c  . . .        + two taps of the even pixels
    odd      1   3   5   7               b    . . .        + one of the odd ones

So what a term sees of the maps is a map by itself, its kernel moves by 1, and the products of all
terms have one sum. Residues that have fewer taps than others are as if their last tap were zero:
then they have no product at infinity, the last point.
"""

from fastconv.engine.base.axis cimport ceil_div


cdef Window make_window(tuple stride, tuple before, tuple dilation):
    """Return the window of kernels; all tuples are of three axes."""
    cdef Window window
    window.stride, window.before, window.dilation = stride[1:], before[1:], dilation[1:]
    window.plane_stride, window.plane_before, window.plane_dilation = (
        stride[0], before[0], dilation[0])
    return window


cdef Py_ssize_t residues(const Py_ssize_t* weights, const Window* window,
                         int number) noexcept nogil:
    """Return how many residues the taps of an axis have: of rows, 0, or columns, 1."""
    return min(window.stride[number], weights[4 + number])


cdef Py_ssize_t count_terms(const Py_ssize_t* weights, const Window* window) noexcept nogil:
    """Return how many terms weights (G, K, C, T, R, S) are cut into."""
    return weights[3] * residues(weights, window, 0) * residues(weights, window, 1)


cdef Term find_term(const Axes* weights, const Py_ssize_t* strides, const Window* window,
                    Py_ssize_t form, Py_ssize_t number) noexcept nogil:
    """Return a term of weights (G, K, C, T, R, S) of these strides, in elements."""
    cdef Term term
    cdef Py_ssize_t across = residues(weights.shape, window, 1)
    cdef Py_ssize_t down = residues(weights.shape, window, 0)
    cdef Py_ssize_t row = number // across % down, column = number % across
    term.phase = number % (across * down)
    term.tap = number // (across * down)
    term.rows = ceil_div(weights.shape[4] - row, window.stride[0])
    term.columns = ceil_div(weights.shape[5] - column, window.stride[1])
    term.row_step = strides[4] * window.stride[0]
    term.column_step = strides[5] * window.stride[1]
    term.at = term.tap * strides[3] + row * strides[4] + column * strides[5]
    term.whole = (term.rows == forms[form].row_taps
                  and term.columns == forms[form].column_taps)
    return term


cdef bint has_product(const Term* term, Py_ssize_t form, Py_ssize_t point) noexcept nogil:
    """Tell whether a term has products at a point: not at infinity without its last tap."""
    cdef Py_ssize_t rows = forms[form].row_taps, columns = forms[form].column_taps
    cdef Py_ssize_t height = tile_outputs(rows) + rows - 1
    cdef Py_ssize_t width = tile_outputs(columns) + columns - 1
    return term.whole or not (term.rows < rows and point // width == height - 1
                              or term.columns < columns and point % width == width - 1)


cdef Py_ssize_t find_form(const Py_ssize_t* weights, const Window* window) noexcept nogil:
    """Return the form of tiles for weights (G, K, C, T, R, S), which there must be.

    Where there is none of just their taps it is a square: a phase of an input gradient may have
    one row or column of taps more than the other.
    """
    cdef Py_ssize_t rows = ceil_div(weights[4], window.stride[0])
    cdef Py_ssize_t columns = ceil_div(weights[5], window.stride[1])
    cdef Py_ssize_t form = 0
    if rows > 1 and columns > 1:
        rows = columns = max(rows, columns)
    while forms[form].row_taps != rows or forms[form].column_taps != columns:
        form += 1
    return form


cdef Py_ssize_t tile_outputs(Py_ssize_t taps) noexcept nogil:
    """Return the outputs of a tile on an axis of so many taps (points.h)."""
    return 4 if taps > 1 else 1


cdef Py_ssize_t tile_points(Py_ssize_t form) noexcept nogil:
    """Return the points of a tile."""
    cdef Py_ssize_t rows = forms[form].row_taps, columns = forms[form].column_taps
    return (tile_outputs(rows) + rows - 1) * (tile_outputs(columns) + columns - 1)
