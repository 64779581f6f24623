# One element at a time: the loops of elementwise.h for an instruction set, and float or double.

cdef extern from "ops/elementwise.h" nogil:
    ctypedef struct Loops "fastconv_elementwise":
        void (*exp_below)(
            const void* maximum, const void* x, void* y, Py_ssize_t) noexcept nogil
    const Loops* loops_of "fastconv_elementwise_of"(int isa, Py_ssize_t itemsize)
