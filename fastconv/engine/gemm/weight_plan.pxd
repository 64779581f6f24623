# The plan of the engine's weight gradient: roles, units, chunks and parts, and the workspace.

from fastconv.engine.base.arrays cimport Layout
from fastconv.engine.base.axis cimport ceil_div
from fastconv.engine.gemm.slab cimport Slab, Windows
from fastconv.engine.gemm.tile cimport MAX_VECTORS

# Rows and columns that are transposed at once, or added when there are several chunks.
cdef enum:
    BLOCK = 64

# What lies in the lanes.
cdef enum Role:
    OUTPUTS                             # output channels
    INPUTS                              # input channels: kernels of one tap
    TAPS                                # all taps of input channels
    PATCHES                             # the columns of a patch, of a vector of input channels each
    PIXELS

cdef struct Plan:
    Role role
    bint swapped                        # the residual in the rows, the input in the columns
    Windows kernel                      # of the kernel in the input
    bint turned                         # gathered taps come from a slab, as rows to be transposed
    # Of a row of A: these, or the residual's pixels. Their output is what is packed.
    Windows windows
    Py_ssize_t groups, steps, outputs   # of C: its rows and columns
    Py_ssize_t c_strides[6]             # of the gradient (G, K, C, T, R, S)
    Py_ssize_t lanes, vectors, panels   # of all columns of a group
    Py_ssize_t columns, column_blocks
    Py_ssize_t pixels, lines            # of a unit, at most
    Py_ssize_t blocks, units            # units of a column block; all units
    Py_ssize_t chunks                   # a task: a chunk, for a part of the rows and the panels
    Py_ssize_t row_parts, panel_parts
    Py_ssize_t channels                 # of a slab
    Slab slab, lane_slab                # of the rows, and of what is gathered
    Py_ssize_t packed                   # rows of a packed panel
    bint kept                           # all panels of a part are packed once for all channels
    Py_ssize_t dot_steps                # of a row of the sums along the vectors
    bint in_place                       # the gradient itself takes the sums
    bint neighbours                     # (c, t, r, s) of the gradient lie side by side
    Py_ssize_t width                    # of a row of the partial sums
    # The workspace: what all threads share, then one part for each.
    size_t shifts_at, lane_shifts_at, partial_at, threads_at
    size_t slab_at, lane_slab_at, panel_at, rows_at, positions_at, lane_positions_at, b_at_at
    size_t runs_at, dots_at, thread_bytes


# What a task adds up: some channels of the rows, and some panels.
cdef struct Part:
    Py_ssize_t chunk, group
    Py_ssize_t start, end
    Py_ssize_t first_panel, past_panel


cdef inline Py_ssize_t dot_pixels(const Plan* p) noexcept nogil:
    """Return the numbers of an output channel of the residual in a slab."""
    return ceil_div(p.slab.plane, p.lanes) * p.lanes


cdef inline Py_ssize_t lane_channels(const Plan* p) noexcept nogil:
    """Return the most channels that a panel of gathered lanes meets."""
    return min((MAX_VECTORS * p.lanes - 2) // p.kernel.taps + 2, p.kernel.channels)


cdef int make_plan(Plan* p, const Layout* layout, Role role, tuple stride, tuple before,
                   tuple dilation, int threads) except -1
cdef Part find_part(const Plan* p, Py_ssize_t task) noexcept nogil
