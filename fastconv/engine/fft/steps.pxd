# The steps of transforms, correlations and inverse transforms of blocks.

cdef extern from "fft/line.h" nogil:
    enum:
        MOST_FACTORS "FASTCONV_MOST_FACTORS"
    ctypedef struct Line "fastconv_line":
        Py_ssize_t length, factors
        Py_ssize_t factor[MOST_FACTORS]
        Py_ssize_t first[MOST_FACTORS]
        const void* twiddles
    ctypedef struct Window "fastconv_window":
        char* data
        Py_ssize_t row, column
        Py_ssize_t top, bottom, left, right
        Py_ssize_t pitch, first, end
    ctypedef struct Loops "fastconv_line_loops":
        Py_ssize_t lanes
        void (*forward)(const Line*, void*) noexcept nogil
        void (*inverse)(const Line*, void*) noexcept nogil
        void (*read_columns)(const Window*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const void*,
                             void*) noexcept nogil
        void (*write_columns)(const void*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const void*, double,
                              const void*, const Window*) noexcept nogil
        void (*turn_in)(const void*, Py_ssize_t, Py_ssize_t, void*) noexcept nogil
        void (*turn_out)(const void*, Py_ssize_t, void*, Py_ssize_t) noexcept nogil
        void (*weigh)(const void*, Py_ssize_t, const void*, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                      void*) noexcept nogil
        void (*weigh_conjugate)(const void*, Py_ssize_t, const void*, Py_ssize_t, Py_ssize_t,
                                Py_ssize_t, void*) noexcept nogil
        void (*add_products)(const void*, const void*, Py_ssize_t, double*) noexcept nogil

# What the steps read: a number of planes of one layout.
cdef struct Sizes:
    const Loops* loops
    Py_ssize_t itemsize, lanes, cell    # `cell` in bytes
    Py_ssize_t rows, padded             # R, and a multiple of LANES
    Py_ssize_t planes, columns, strips
    Py_ssize_t column_bytes             # from one column of cells to the next plane's
    Py_ssize_t strip_bytes, work_bytes  # of all planes
    Py_ssize_t groups                   # LANES rows each
    Py_ssize_t group_bytes              # of rows that are transformed
    Py_ssize_t spectrum_bytes
    Line fold, depth, across
    const char* weights
    const char* twist                   # of a line that is cut into rows; or NULL
    double scale

# Images (N, G, C, D, H, W), in bytes.
cdef struct Images:
    char* data
    Py_ssize_t shape[6]
    Py_ssize_t strides[6]

cdef struct Job:
    const Sizes* sizes
    Images x, y
    const char* spectra                 # of weights (G, K, C)
    char* made                          # spectra to be written: of maps (units, channels)
    const char* bias                    # of the outputs (G, K), or NULL
    bint conjugate
    Py_ssize_t before[3]
    Py_ssize_t size[3]                  # of the output in a block
    Py_ssize_t counts[3]                # of blocks
    Py_ssize_t skip[3]                  # what stands before the output in a block
    # The memory of each thread, and where its scratch is: behind the work area, if it has one.
    char* own
    Py_ssize_t own_bytes, scratch_at

cdef enum:
    # What is to be done: maps to spectra, maps to maps, spectra to maps.
    TRANSFORM, CORRELATE, INVERSE


cdef inline Py_ssize_t scratch_bytes(const Sizes* s, Py_ssize_t channels) noexcept nogil:
    """Return the bytes of a thread for rows of so many channels and a sum, or lines of planes."""
    return max((channels + 1) * s.group_bytes, s.planes * s.cell)


cdef int run_blocks(Job* job, int what, bint denormals) except -1
