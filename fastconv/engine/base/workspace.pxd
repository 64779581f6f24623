# Memory for one call of a kernel; whoever takes a block gives it back.

cdef void* take(size_t size) except NULL
cdef void give(void* block) noexcept nogil
