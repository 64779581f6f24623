# The engine with pixels in the rows of a tile and output channels in its lanes.

from cython cimport floating

from fastconv.engine.gemm.slab cimport Slab, Windows

cdef struct Swapped:
    Windows windows
    Py_ssize_t groups, outputs, steps
    Py_ssize_t w_strides[6]             # of the weights (G, K, C, T, R, S), in elements
    Py_ssize_t y_strides[6]             # of the output (N, G, K, D, H, W)
    bint neighbours                     # the steps of an output channel are neighbours
    Py_ssize_t lanes, vectors, panels   # of all output channels of a group
    Py_ssize_t width                    # vectors of the widest panel
    Py_ssize_t pixels                   # of a tile
    Py_ssize_t span                     # steps that a tile takes at once
    Py_ssize_t channels                 # of a block
    Py_ssize_t near_channels            # whose weights, for a panel, stay in the first-level cache
    Py_ssize_t lines, blocks            # of a block; blocks
    Py_ssize_t parts                    # tasks that share a block's panels
    Slab slab
    # The workspace: what all threads share, then one part for each.
    size_t shifts_at, weights_at_at, bias_at, packed_at, threads_at
    size_t slab_at, sums_at, near_at, runs_at, tiles_at, thread_bytes

cdef double plan_swapped(Swapped* p, const Windows* windows, const Py_ssize_t* w,
                         const Py_ssize_t* w_strides, const Py_ssize_t* y_strides,
                         Py_ssize_t itemsize, int threads) noexcept nogil
cdef Py_ssize_t swapped_tasks(const Swapped* p) noexcept nogil
cdef void correlate_swapped(const floating* x, const floating* w, const floating* bias,
                            Py_ssize_t bias_group, Py_ssize_t bias_row, floating* y,
                            const Swapped* p, int threads, char* shared) noexcept
