# What every kernel module needs to find its row in a table of kernels.

cdef int isa_row() noexcept nogil
