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
    Py_ssize_t phases
    const Phase* phase


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline Axis make_axis(Py_ssize_t size, Py_ssize_t out,
                           const Py_ssize_t* numbers) noexcept nogil:
    cdef Axis axis
    cdef Py_ssize_t i
    cdef const Phase* phase
    axis.size = size
    axis.out = out
    axis.stride, axis.step = numbers[0], numbers[1]
    axis.dilation, axis.phases = numbers[2], numbers[3]
    axis.phase = <const Phase*>(numbers + 4)
    axis.count = ceil_div(out, axis.step)
    axis.before = axis.phase[0].before if axis.phases else 0
    axis.reach = axis.taps = 0
    for i in range(axis.phases):
        axis.before = max(axis.before, axis.phase[i].before)
        axis.taps = max(axis.taps, axis.phase[i].taps)
    for i in range(axis.phases):
        phase = axis.phase + i
        axis.reach = max(axis.reach,
                         axis.before - phase.before + (phase.taps - 1) * axis.dilation)
    return axis


cdef inline Py_ssize_t first_tap(Py_ssize_t place, Py_ssize_t dilation) noexcept nogil:
    """Return the first tap that is not before the map, the first tap's place being `place`."""
    return ceil_div(-place, dilation) if place < 0 else 0


cdef inline Py_ssize_t past_tap(Py_ssize_t place, Py_ssize_t dilation, Py_ssize_t size,
                                Py_ssize_t taps) noexcept nogil:
    """Return the tap after the last one that is not behind a map of this size."""
    return min((size - 1 - place) // dilation + 1, taps) if place < size else 0


cdef inline Py_ssize_t phase_count(const Axis* axis, const Phase* phase) noexcept nogil:
    """Return the number of outputs of a phase."""
    return ceil_div(axis.out - phase.first, axis.step)
