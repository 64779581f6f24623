# What every kernel module needs to run a parallel loop.

cdef extern from "base/denormals.h" nogil:
    unsigned long flush_denormals "fastconv_flush_denormals"() noexcept
    void restore_denormals "fastconv_restore_denormals"(unsigned long saved) noexcept

cdef int threads_for(double work) noexcept nogil
