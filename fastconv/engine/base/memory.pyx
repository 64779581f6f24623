"""Memory for results, kept for the next.

What an array held goes back to the operating system when it is large, and comes again page by page,
each of which the system fills with zeros: for a map of a few megabytes that takes longer than most
layers. So the memory of results that are not small is kept once no array uses it any more, in the
arena of arena.h. It never is given out while an array, or a view of one, still looks at it.

A network that is being trained takes much the same memory in each step, most of which is free
between the steps. It holds a `Reserve`: then more may wait than `LIMIT`, by what is missing to what
was in use at once in its last step.
"""

from cpython.buffer cimport PyBuffer_FillInfo
import numpy as np

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    /* Other threads may be about to take one. */
    #define fastconv_references(object) PY_SSIZE_T_MAX
    #else
    #define fastconv_references(object) Py_REFCNT(object)
    #endif
    """
    Py_ssize_t references "fastconv_references"(object)
cdef extern from "base/arena.h" nogil:
    ctypedef struct Part "fastconv_part":
        char* data
        Py_ssize_t size
    ctypedef struct Arena "fastconv_arena":
        Py_ssize_t size, grain, used, waiting
    int open_arena "fastconv_open_arena"(Arena* arena)
    Part* take_part "fastconv_take_part"(Arena* arena, size_t size)
    void give_part "fastconv_give_part"(Arena* arena, Part* part)
    void trim_arena "fastconv_trim_arena"(Arena* arena, size_t most)

# Smaller memory the C library keeps itself.
cdef Py_ssize_t LEAST = 1 << 16
# All memory that waits for its next use, where nobody has a reserve.
cdef Py_ssize_t LIMIT = 1 << 27

cdef Arena _arena
cdef bint _is_open = open_arena(&_arena) == 0
# The most that was in use at once since a reserve was renewed.
cdef Py_ssize_t _most_used = 0
# The largest reserve, and all of them by number.
cdef Py_ssize_t _reserved = 0
cdef dict _reserves = {}


cdef void trim() noexcept:
    """Give back what waits beyond what may."""
    trim_arena(&_arena, LIMIT + max(_reserved - _arena.used, 0))


cdef class Reserve:
    """Lets as much memory wait as was in use at once, until it is given up."""

    def renew(self):
        """Reserve what was in use at once since a reserve was renewed last."""
        global _most_used
        _reserves[<size_t><void*>self] = _most_used
        _most_used = _arena.used
        find_reserved()

    def __dealloc__(self):
        _reserves.pop(<size_t><void*>self, None)
        find_reserved()


cdef int find_reserved() except -1:
    global _reserved
    _reserved = max(_reserves.values(), default=0)
    trim()
    return 0


cdef class _Owner:
    """What an array on a part of the arena has as its base; the part is given back with it."""

    cdef Part* part

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.part.data, self.part.size, 0, flags)

    def __dealloc__(self):
        if self.part is not NULL:
            give_part(&_arena, self.part)
            trim()


def empty(tuple shape, dtype):
    """Return a new C-contiguous array as numpy.empty does.

    Raises
    ------
    ValueError
        If it is larger than any array.
    MemoryError
        If there is no room for it.
    """
    global _most_used
    cdef double size = dtype.itemsize
    cdef _Owner owner
    for length in shape:
        size *= length
    if LEAST <= size <= _arena.size and _is_open:
        owner = _Owner.__new__(_Owner)
        owner.part = take_part(
            &_arena, (<Py_ssize_t>size + _arena.grain - 1) // _arena.grain * _arena.grain)
        if owner.part is not NULL:
            _most_used = max(_most_used, _arena.used)
            # What waits is less by now, or more is in use.
            trim()
            return np.ndarray(shape, dtype, owner)
    return np.empty(shape, dtype)


def is_sole(tuple values, Py_ssize_t place):
    """Tell whether only this tuple holds an array, and only the array its memory.

    Then what is written there nobody sees, but through the tuple. A view never is sole, nor is an
    array to which something else has lent its memory.
    """
    array = values[place]
    # The other one is ours.
    if type(array) is not np.ndarray or references(array) > 2:
        return False
    base = array.base
    return array.flags.writeable and (base is None or type(base) is _Owner)


def release():
    """Give the memory that waits for its next use back to the operating system.

    Returns how many bytes that were: parts of a huge page stay.
    """
    cdef Py_ssize_t before = _arena.waiting
    trim_arena(&_arena, 0)
    return before - _arena.waiting


def waiting():
    """Return how many bytes wait for their next use."""
    return _arena.waiting
