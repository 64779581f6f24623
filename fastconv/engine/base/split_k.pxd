# Split-K: the long sums of a weight gradient, cut into k-slices.
#
# A weight gradient has few sums, each over all pixels of all samples. What it runs over, its K, is
# cut into *units* (lines of a map, say), and the units into slices of neighbours. A task adds up
# one slice of the sums of one group (or of a block of groups) into numbers of its own:
#
#     partial[slice][group][number]
#
# Then the slices are added in order. Their number and borders follow from the shapes, never from
# the threads: the result has the same bits for each number of threads. And running sums are
# shorter, which keeps rounding errors small.

from cython cimport floating

from fastconv.engine.base.axis cimport ceil_div


cdef struct SplitK:
    Py_ssize_t units            # of a group
    Py_ssize_t slices           # of a group
    Py_ssize_t groups
    Py_ssize_t numbers          # sums of a group


cdef inline SplitK split_k(Py_ssize_t groups, Py_ssize_t numbers, Py_ssize_t units,
                           Py_ssize_t slices, Py_ssize_t tasks) noexcept nogil:
    """Cut the units into `slices`, or more where there would be fewer than so many tasks."""
    cdef SplitK split
    split.groups, split.numbers, split.units = groups, numbers, units
    split.slices = min(max(slices, ceil_div(tasks, groups)), units)
    return split


cdef inline Py_ssize_t first_unit(const SplitK* split, Py_ssize_t slice) noexcept nogil:
    """Return the first unit of a slice; the next slice begins past its end."""
    return slice * split.units // split.slices


cdef inline Py_ssize_t slice_tasks(const SplitK* split) noexcept nogil:
    """Return the number of tasks: group * slices + slice."""
    return split.groups * split.slices


cdef inline Py_ssize_t partial_numbers(const SplitK* split) noexcept nogil:
    """Return the size of all partial sums."""
    return split.slices * split.groups * split.numbers


cdef inline Py_ssize_t partial_at(const SplitK* split, Py_ssize_t task) noexcept nogil:
    """Return where a task's partial sums begin."""
    cdef Py_ssize_t group = task // split.slices, slice = task % split.slices
    return (slice * split.groups + group) * split.numbers


cdef inline void add_slices(const SplitK* split, floating* partial,
                            Py_ssize_t count) noexcept nogil:
    """Add the sums of the later slices, in order, to `count` of the first slice at `partial`."""
    cdef Py_ssize_t _, i
    cdef const floating* addend = partial
    for _ in range(1, split.slices):
        addend += split.groups * split.numbers
        for i in range(count):
            partial[i] += addend[i]
