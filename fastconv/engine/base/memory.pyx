"""Memory for results, kept for the next result of the same size.

What an array held goes back to the operating system when it is large, and comes again page by page,
each of which the system fills with zeros: for a map of a few megabytes that takes longer than most
layers. So the memory of results of middling size is kept here once no array uses it any more. It
never is given out while an array, or a view of one, still looks at it.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdlib cimport free, malloc

import numpy as np

cdef extern from "base/pages.h" nogil:
    int get_pages "fastconv_get_pages"(void** data, size_t size)

# Smaller memory the C library keeps itself; larger comes in huge pages from NumPy.
cdef Py_ssize_t LEAST = 1 << 16
cdef Py_ssize_t MOST = 1 << 25
# All memory that waits for its next use.
cdef Py_ssize_t LIMIT = 1 << 27
# Sizes are rounded up to a multiple of this.
cdef Py_ssize_t GRAIN = 1 << 14

cdef struct Piece:
    Piece* next
    void* data
    Py_ssize_t size

cdef Piece* _waiting = NULL
cdef Py_ssize_t _waiting_bytes = 0


cdef Piece* take(Py_ssize_t size) noexcept:
    """Return a piece of exactly this size, or NULL without memory."""
    global _waiting, _waiting_bytes
    cdef Piece** link = &_waiting
    cdef Piece* piece
    while link[0] is not NULL:
        piece = link[0]
        if piece.size == size:
            link[0] = piece.next
            _waiting_bytes -= size
            return piece
        link = &piece.next
    piece = <Piece*>malloc(sizeof(Piece))
    if piece is not NULL:
        piece.size = size
        if get_pages(&piece.data, size):
            free(piece)
            return NULL
    return piece


cdef void give(Piece* piece) noexcept:
    """Keep a piece; where that would be too much, forget those that wait already."""
    global _waiting, _waiting_bytes
    if _waiting_bytes + piece.size > LIMIT:
        drop_all()
    # The last piece given is the first taken: it is the likeliest to lie in a cache.
    piece.next = _waiting
    _waiting = piece
    _waiting_bytes += piece.size


cdef void drop_all() noexcept:
    global _waiting, _waiting_bytes
    cdef Piece* piece
    while _waiting is not NULL:
        piece = _waiting
        _waiting = piece.next
        free(piece.data)
        free(piece)
    _waiting_bytes = 0


cdef class _Owner:
    """What an array on a piece has as its base; the piece goes back with it."""

    cdef Piece* piece

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.piece.data, self.piece.size, 0, flags)

    def __dealloc__(self):
        if self.piece is not NULL:
            give(self.piece)


def empty(tuple shape, dtype):
    """Return a new C-contiguous array as numpy.empty does.

    Raises
    ------
    ValueError
        If it is larger than any array.
    MemoryError
        If there is no room for it.
    """
    cdef double size = dtype.itemsize
    cdef _Owner owner
    for length in shape:
        size *= length
    if not LEAST <= size <= MOST:
        return np.empty(shape, dtype)
    owner = _Owner.__new__(_Owner)
    owner.piece = take((<Py_ssize_t>size + GRAIN - 1) // GRAIN * GRAIN)
    if owner.piece is NULL:
        raise MemoryError(f"no room for an array of shape {shape} and dtype {dtype}")
    return np.ndarray(shape, dtype, owner)


def release():
    """Give the memory that waits for its next use back to the operating system."""
    drop_all()


def waiting():
    """Return how many bytes wait for their next use."""
    return _waiting_bytes
