"""The kernels' workspace: memory that is kept from one call to the next."""

from fastconv.engine.base.memory import release

cdef extern from "base/workspace.h" nogil:
    void* fastconv_take(size_t size) noexcept
    void fastconv_give(void* block) noexcept
    size_t fastconv_release() noexcept


cdef void* take(size_t size) except NULL:
    """Return a block of at least `size` bytes, or raise MemoryError."""
    cdef void* block = fastconv_take(size)
    if block is NULL:
        raise MemoryError(f"no room for {size} bytes of workspace")
    return block


cdef void give(void* block) noexcept nogil:
    """Keep a block for the next call, or free it where there are enough."""
    fastconv_give(block)


def release_workspace():
    """Free the memory that is kept for the next call.

    A call takes a block of workspace, which does not grow with the batch, and leaves it for the
    next call; calls at the same time each have their own. At most 16 blocks of at most 64 MiB are
    kept; `fastconv.explain` says how large the block of a call is. Beside them, memory of results
    that no array uses any more waits to become other results: up to 128 MiB, and while a network
    is trained as much as its steps take.

    Returns
    -------
    int
        The bytes that were freed; the next call takes its memory anew.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.release_workspace() >= 0
    True
    >>> fastconv.release_workspace()
    0
    """
    return release() + fastconv_release()
