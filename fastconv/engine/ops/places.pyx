# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# No bounds checks: the callers in fastconv.functional have compared every shape, and the places,
# which come from outside, are checked here.
"""Numbers to and from places in their plane: the gradients of maxima, and unpooling.

A plane is one task, and within it one number comes after the other.
"""

from cython cimport floating

from libc.string cimport memset

from fastconv.engine.base.arrays cimport View, look, plane_at
from fastconv.engine.base.threads cimport parallel_for, threads_for

cdef extern from *:
    void atomic_store "__atomic_store_n"(int* at, int value, int order) noexcept nogil
    int RELAXED "__ATOMIC_RELAXED"


cdef enum:
    # What happens to the number of a place.
    ADDED = 0
    WRITTEN = 1
    READ = 2


cdef struct Places:
    View numbers, indices, planes   # (N, C, P), (N, C, P) and, contiguous within a plane, cells
    int way
    int outside                     # whether a plane has an index that lies outside


cdef bint visit_plane(const Places* s, Py_ssize_t plane, floating* cells) noexcept nogil:
    cdef Py_ssize_t n = plane // s.planes.shape[1], c = plane % s.planes.shape[1], p
    cdef Py_ssize_t size = s.planes.shape[2]
    cdef Py_ssize_t hop = s.numbers.strides[2], index_hop = s.indices.strides[2]
    cdef char* number = plane_at(&s.numbers, n, c)
    cdef const char* index = plane_at(&s.indices, n, c)
    # The compiler makes a loop for each way of a number that nothing else can change.
    cdef int way = s.way
    cdef long long at
    cells = <floating*>plane_at(&s.planes, n, c)
    if way != READ:
        memset(cells, 0, size * sizeof(floating))
    for p in range(s.numbers.shape[2]):
        at = (<const long long*>(index + p * index_hop))[0]
        if at < 0 or at >= size:
            return False
        if way == ADDED:
            cells[at] += (<const floating*>(number + p * hop))[0]
        elif way == WRITTEN:
            cells[at] = (<const floating*>(number + p * hop))[0]
        else:
            (<floating*>(number + p * hop))[0] = cells[at]
    return True


cdef void visit(void* context, Py_ssize_t plane, int thread) noexcept nogil:
    cdef Places* s = <Places*>context
    cdef bint inside
    if s.planes.itemsize == sizeof(float):
        inside = visit_plane[float](s, plane, NULL)
    else:
        inside = visit_plane[double](s, plane, NULL)
    if not inside:
        atomic_store(&s.outside, 1, RELAXED)


cdef bint visit_places(numbers, indices, planes, int way) except -1:
    cdef Places s
    cdef Py_ssize_t count
    look(numbers, 3, way == READ, &s.numbers)
    look(indices, 3, False, &s.indices)
    look(planes, 3, way != READ, &s.planes)
    s.way, s.outside, count = way, 0, s.planes.shape[0] * s.planes.shape[1]
    with nogil:
        parallel_for(threads_for(<double>count * (s.numbers.shape[2] + s.planes.shape[2])), count,
                     visit, &s)
    return not s.outside


def add_places(numbers, indices, planes):
    """Add each number (N, C, P) to the place in `planes` (N, C, cells) that its index names.

    All other places are 0. Returns False, with `planes` unfinished, where an index lies outside.
    """
    return visit_places(numbers, indices, planes, ADDED)


def write_places(numbers, indices, planes):
    """Write the numbers to their places, the last of several, as `add_places` adds them."""
    return visit_places(numbers, indices, planes, WRITTEN)


def read_places(numbers, indices, planes):
    """Read the numbers from their places, as `add_places` adds them."""
    return visit_places(numbers, indices, planes, READ)
