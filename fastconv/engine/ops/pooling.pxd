from fastconv.engine.ops.windows cimport Loops

cdef const Loops* loops_of(Py_ssize_t itemsize) noexcept
