# What kernels.h gives: the tables of a plan that its loops read, and the loops of each
# instruction set.

from cython cimport floating

cdef extern from "depthwise/kernels.h" nogil:
    Py_ssize_t shared_taps "fastconv_shared_taps"(Py_ssize_t taps) noexcept
    ctypedef struct Part "fastconv_part":
        Py_ssize_t columns, shared, first_tap
        const Py_ssize_t* shifts
    ctypedef struct Border "fastconv_border":
        Py_ssize_t first, low, high
    ctypedef struct Planes "fastconv_planes":
        Py_ssize_t rows, columns, out_rows, out_columns
        Py_ssize_t read_first, read_rows, top
        Py_ssize_t row_splits, splits
        Py_ssize_t slab_row, slab_split, slab_phase, slab_plane
        Py_ssize_t row_step, column_step
        Py_ssize_t row_first[2]
        bint odd_first
        Py_ssize_t buffer_part, buffer_plane
        Py_ssize_t out_channels, taps
        const Border* borders
        const Part* parts
    ctypedef struct Maps "fastconv_maps":
        Py_ssize_t rows, columns, group_hop, channel_hop, row_hop, hop
    ctypedef void (*correlate_f)(
        const float* slab, Py_ssize_t in_step, Py_ssize_t rows, Py_ssize_t width,
        const Py_ssize_t* shifts, Py_ssize_t columns, Py_ssize_t taps, const float* weights,
        float bias, float* out, Py_ssize_t out_step) noexcept nogil
    ctypedef void (*correlate_d)(
        const double* slab, Py_ssize_t in_step, Py_ssize_t rows, Py_ssize_t width,
        const Py_ssize_t* shifts, Py_ssize_t columns, Py_ssize_t taps, const double* weights,
        double bias, double* out, Py_ssize_t out_step) noexcept nogil
    ctypedef void (*accumulate_f)(
        const float* slab, Py_ssize_t in_step, Py_ssize_t rows, Py_ssize_t vectors,
        const Py_ssize_t* shifts, Py_ssize_t columns, Py_ssize_t taps, const float* dy,
        Py_ssize_t dy_step, float* sums) noexcept nogil
    ctypedef void (*accumulate_d)(
        const double* slab, Py_ssize_t in_step, Py_ssize_t rows, Py_ssize_t vectors,
        const Py_ssize_t* shifts, Py_ssize_t columns, Py_ssize_t taps, const double* dy,
        Py_ssize_t dy_step, double* sums) noexcept nogil
    ctypedef void (*copy_f)(
        float* to, Py_ssize_t to_step, const float* source, Py_ssize_t source_step, Py_ssize_t rows,
        Py_ssize_t n) noexcept nogil
    ctypedef void (*split_f)(
        float* even, float* odd, Py_ssize_t to_step, const float* source,
        Py_ssize_t source_step, Py_ssize_t rows, Py_ssize_t n, bint first, bint last) noexcept nogil
    ctypedef void (*merge_f)(
        float* to, Py_ssize_t to_step, const float* even, const float* odd,
        Py_ssize_t source_step, Py_ssize_t rows, Py_ssize_t n) noexcept nogil
    ctypedef void (*copy_d)(
        double* to, Py_ssize_t to_step, const double* source, Py_ssize_t source_step,
        Py_ssize_t rows, Py_ssize_t n) noexcept nogil
    ctypedef void (*split_d)(
        double* even, double* odd, Py_ssize_t to_step, const double* source,
        Py_ssize_t source_step, Py_ssize_t rows, Py_ssize_t n, bint first, bint last) noexcept nogil
    ctypedef void (*merge_d)(
        double* to, Py_ssize_t to_step, const double* even, const double* odd,
        Py_ssize_t source_step, Py_ssize_t rows, Py_ssize_t n) noexcept nogil
    ctypedef void (*correlate_planes_f)(
        const Planes* planes, const Maps* x, const char* first, const Maps* y, char* out,
        Py_ssize_t count, const float* weights, float* slab, float* buffers,
        float* stage) noexcept nogil
    ctypedef void (*correlate_planes_d)(
        const Planes* planes, const Maps* x, const char* first, const Maps* y, char* out,
        Py_ssize_t count, const double* weights, double* slab, double* buffers,
        double* stage) noexcept nogil
    ctypedef void (*accumulate_planes_f)(
        const Planes* planes, const Maps* x, const char* first, const Maps* dy,
        const char* residual, Py_ssize_t count, float* sums, float* slab, float* buffers,
        float* stage) noexcept nogil
    ctypedef void (*accumulate_planes_d)(
        const Planes* planes, const Maps* x, const char* first, const Maps* dy,
        const char* residual, Py_ssize_t count, double* sums, double* slab, double* buffers,
        double* stage) noexcept nogil
    ctypedef struct Row "fastconv_depthwise_row":
        int vector_bytes
        correlate_f correlate_f
        correlate_d correlate_d
        accumulate_f accumulate_f
        accumulate_d accumulate_d
        copy_f copy_f
        copy_d copy_d
        split_f split_f
        split_d split_d
        merge_f merge_f
        merge_d merge_d
        correlate_planes_f correlate_planes_f
        correlate_planes_d correlate_planes_d
        accumulate_planes_f accumulate_planes_f
        accumulate_planes_d accumulate_planes_d
    const Row[] table "fastconv_depthwise"


cdef inline Maps view_maps(const floating[:, :, :, :, :, :] maps) noexcept nogil:
    """Say how planes lie in memory; on an axis of one position the stride has no meaning."""
    cdef Maps view
    view.rows, view.columns = maps.shape[4], maps.shape[5]
    view.group_hop, view.channel_hop = maps.strides[1], maps.strides[2]
    view.row_hop = maps.strides[4] if view.rows > 1 else <Py_ssize_t>sizeof(floating)
    view.hop = maps.strides[5] if view.columns > 1 else <Py_ssize_t>sizeof(floating)
    return view
