# One element at a time: the loops of elementwise.h for an instruction set, and float or double.

cdef extern from "ops/elementwise.h" nogil:
    ctypedef void (*Map "fastconv_map")(
        const void* other, const void* x, void* y, Py_ssize_t) noexcept nogil
    ctypedef struct Loops "fastconv_elementwise":
        Map relu, tanh, sigmoid, exp_below
        Map relu_backward, tanh_backward, sigmoid_backward
    const Loops* loops_of "fastconv_elementwise_of"(int isa, Py_ssize_t itemsize)
