# What pooling_loops.h computes, and what it takes.
cdef extern from "ops/pooling_types.h" nogil:
    ctypedef struct Rows "fastconv_rows":
        Py_ssize_t step, plane_step, row_step, hop, count, pitch, plane_place, row_place
        double power
        int whole
    ctypedef struct Columns "fastconv_columns":
        Py_ssize_t stride, taps, dilation
        double factor
    ctypedef void (*ReduceRows "fastconv_reduce_rows")(
        const Rows*, const char* x, Py_ssize_t lines, Py_ssize_t depth, Py_ssize_t rows, void* to,
        void* places) noexcept nogil
    ctypedef void (*ReduceColumns "fastconv_reduce_columns")(
        const Columns*, const void* x, const void* places, void* to, void* to_places,
        Py_ssize_t count) noexcept nogil
    ctypedef void (*ReduceWindows "fastconv_reduce_windows")(
        const Columns*, const long long* windows, const void* x, const void* places, void* to,
        void* to_places, Py_ssize_t count) noexcept nogil
    ctypedef struct Reduction "fastconv_reduction":
        ReduceRows rows
        ReduceColumns columns
        ReduceWindows windows
    ctypedef void (*Join "fastconv_join")(
        void* out, const void* x, Py_ssize_t hop, Py_ssize_t count) noexcept nogil
    ctypedef void (*Loop)(...) noexcept nogil
    ctypedef struct Loops "fastconv_pooling":
        Reduction add, add_powers, larger, larger_at
        Reduction[2] larger_of_bytes, larger_of_bytes_at
        Loop fill, fill_places, name_places, narrow, count_cells, divide, root
        Join take, add_to
        Loop share, spread, interleave, twice, repeat_rows, times_slope


cdef const Loops* loops_of(Py_ssize_t itemsize) noexcept nogil
