# What kernels are cut into, so that each part has a form of Winograd's tiles.

from fastconv.engine.base.arrays cimport Axes

cdef extern from "winograd/forms.h" nogil:
    ctypedef struct Form "fastconv_form":
        int row_taps, column_taps
    const Form* forms "fastconv_forms"

# The residues of the taps of kernels that move by at most 2, on both axes of a plane.
cdef enum:
    MOST_PHASES = 4


# How kernels see maps, on the axes of rows and columns, and which planes.
cdef struct Window:
    Py_ssize_t stride[2]
    Py_ssize_t before[2]                        # zeros before a map
    Py_ssize_t dilation[2]
    Py_ssize_t plane_stride, plane_before, plane_dilation


# A part of kernels: the taps of one residue, at one tap of the depth.
cdef struct Term:
    Py_ssize_t phase, tap                       # of the maps, of the depth
    Py_ssize_t at, row_step, column_step        # of its taps in the weights, in elements
    Py_ssize_t rows, columns                    # of its taps
    bint whole                                  # they are as many as those of the form


cdef Window make_window(tuple stride, tuple before, tuple dilation)
cdef Py_ssize_t residues(const Py_ssize_t* weights, const Window* window,
                         int number) noexcept nogil
cdef Py_ssize_t count_terms(const Py_ssize_t* weights, const Window* window) noexcept nogil
cdef Term find_term(const Axes* weights, const Py_ssize_t* strides, const Window* window,
                    Py_ssize_t form, Py_ssize_t number) noexcept nogil
cdef bint has_product(const Term* term, Py_ssize_t form, Py_ssize_t point) noexcept nogil
cdef Py_ssize_t find_form(const Py_ssize_t* weights, const Window* window) noexcept nogil
cdef Py_ssize_t tile_outputs(Py_ssize_t taps) noexcept nogil
cdef Py_ssize_t tile_points(Py_ssize_t form) noexcept nogil
