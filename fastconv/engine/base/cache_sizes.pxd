# What the kernels size their blocks by.

cdef Py_ssize_t first_cache() noexcept nogil
cdef Py_ssize_t second_cache() noexcept nogil
