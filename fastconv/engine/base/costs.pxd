# What a task costs: the unit in which kernels say it, for `Phase.cost` (threads.pxd).
#
# It is the time of a multiply-add in a full tile. A tile at an edge costs what the vectors cost
# that it computes, whether or not their lanes count; numbers that are moved or transformed are
# counted as the multiply-adds of the same time, as `python benches/balance.py --measure` measures
# them.
# Plans may weigh by this: it says who does what, and when, and never what is added to what.

from fastconv.engine.base.axis cimport ceil_div

cdef enum:
    # A number that is copied, in a row of its neighbours.
    COPIED = 4
    # A number whose neighbours come to lie elsewhere: what is packed, transposed or gathered.
    PACKED = 8
    # A weight that is packed: it comes from far, and its neighbours with it.
    TURNED = 20
    # A number of a tile that Winograd's matrices transform, with what brings it and takes it away.
    TRANSFORMED = 8
    # And where it goes to, or comes from, memory that all threads share.
    SHARED = 12


cdef inline double tile_cost(Py_ssize_t rows, Py_ssize_t vectors, Py_ssize_t lanes,
                             Py_ssize_t steps) noexcept nogil:
    """Return what a register tile of so many rows and vectors costs.

    In each half cycle it does a product of vectors or a load, and it waits four cycles for its own
    sums; it begins, and its sums leave.
    """
    return lanes * (<double>steps * max(max(rows * vectors, rows + vectors + 2), 8)
                    + 80 + 4 * rows * vectors)


cdef inline double tiles_cost(Py_ssize_t rows, Py_ssize_t most, Py_ssize_t vectors,
                              Py_ssize_t lanes, Py_ssize_t steps) noexcept nogil:
    """Return what tiles of at most so many rows cost, which share the rows evenly."""
    cdef Py_ssize_t tiles = ceil_div(max(rows, 0), most), taller
    if tiles == 0:
        return 0
    taller = rows % tiles
    return (taller * tile_cost(rows // tiles + 1, vectors, lanes, steps)
            + (tiles - taller) * tile_cost(rows // tiles, vectors, lanes, steps))
