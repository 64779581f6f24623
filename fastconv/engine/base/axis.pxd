# cython: cdivision=True
# An axis of a correlation said in numbers: the stride at which the input is read, the step between
# the outputs of one phase, the taps' dilation, the number of phases, and for each phase
#
#     first, before, tap_first, tap_step, taps
#
# The phase's outputs stand at first + m*step; output m sums the taps tap_first + q*tap_step,
# q < taps, times the inputs at m*stride + q*dilation - before. A forward pass has one phase of step
# 1. An input gradient has stride 1, and a phase for each residue of the forward pass's stride that
# some tap reaches; outputs that no phase reaches are 0 (`input_gradient_phases` in _geometry.py).

cdef enum:
    # Products of a weight gradient in one running sum, about: rounding errors grow with it.
    LONGEST_SUM = 1024


cdef struct Phase:
    Py_ssize_t first, before, tap_first, tap_step, taps


cdef struct Axis:
    Py_ssize_t size         # of the input
    Py_ssize_t out          # of the output
    Py_ssize_t count        # outputs of the longest phase
    Py_ssize_t stride, step, dilation
    Py_ssize_t before       # the most of all phases: where an input tile begins
    Py_ssize_t reach        # how far the last tap of all phases lies from there
    Py_ssize_t taps         # the most of all phases
    # The input can be parted by its place in a stride: taps see so many parts, and the last lies so
    # far from the first within its part.
    Py_ssize_t parts, part_reach
    Py_ssize_t phases
    const Phase* phase      # NULL where there is but one, of all taps in their order


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline Axis window_axis(Py_ssize_t size, Py_ssize_t out, Py_ssize_t taps, Py_ssize_t stride,
                             Py_ssize_t before, Py_ssize_t dilation) noexcept nogil:
    """Return an axis of one phase, of all taps in their order."""
    cdef Axis axis
    axis.size, axis.out, axis.count, axis.step = size, out, out, 1
    axis.taps, axis.stride, axis.before, axis.dilation = taps, stride, before, dilation
    axis.phases, axis.phase = 1, NULL
    axis.reach = (taps - 1) * dilation
    axis.part_reach = axis.reach // stride
    # The parts repeat once a tap comes back to that of the first.
    axis.parts = 1
    while axis.parts < taps and axis.parts * dilation % stride:
        axis.parts += 1
    return axis


cdef inline Axis make_axis(Py_ssize_t size, Py_ssize_t out,
                           const Py_ssize_t* numbers) noexcept nogil:
    """Return the axis that these numbers say."""
    cdef Py_ssize_t stride = numbers[0], dilation = numbers[2], phases = numbers[3]
    cdef Py_ssize_t i, taps = 0, before = 0, reach = 0
    cdef const Phase* phase = <const Phase*>(numbers + 4)
    cdef Axis axis
    for i in range(phases):
        before = max(before, phase[i].before) if i else phase[i].before
        taps = max(taps, phase[i].taps)
    for i in range(phases):
        reach = max(reach, before - phase[i].before + (phase[i].taps - 1) * dilation)
    axis = window_axis(size, out, taps, stride, before, dilation)
    axis.step, axis.phases, axis.phase = numbers[1], phases, phase
    axis.count = ceil_div(out, axis.step)
    axis.reach, axis.part_reach = reach, reach // stride
    return axis


cdef inline Py_ssize_t first_tap(Py_ssize_t place, Py_ssize_t dilation) noexcept nogil:
    """Return the first tap that is not before the map, the first tap's place being `place`."""
    return ceil_div(-place, dilation) if place < 0 else 0


cdef inline Py_ssize_t past_tap(Py_ssize_t place, Py_ssize_t dilation, Py_ssize_t size,
                                Py_ssize_t taps) noexcept nogil:
    """Return the tap after the last one that is not past a map of this size."""
    return min((size - 1 - place) // dilation + 1, taps) if place < size else 0


cdef inline Py_ssize_t phase_count(const Axis* axis, const Phase* phase) noexcept nogil:
    """Return the number of outputs of a phase."""
    return ceil_div(axis.out - phase.first, axis.step)


# Some taps that follow each other.
cdef struct Taps:
    Py_ssize_t first, count


cdef inline Taps taps_inside(const Axis* axis, Py_ssize_t taps, Py_ssize_t place,
                             Py_ssize_t last) noexcept nogil:
    """Return which of so many taps lie in the map for some output.

    Their first tap has places from `place` to `last`.
    """
    cdef Taps inside
    inside.first = first_tap(last, axis.dilation)
    inside.count = max(past_tap(place, axis.dilation, axis.size, taps) - inside.first, 0)
    return inside
