"""What calls could change, as something that can be compared."""

import numpy as np

from fastconv import layers
from fastconv.layers import Parameter
from fastconv.training import Optimizer
from fastconv.training.checkpoint import generator_states


def state_of(*subjects):
    """Return all that calls could change, copied."""
    return [_state_of(subject) for subject in subjects]


def _state_of(subject):
    if isinstance(subject, np.ndarray):
        return subject.shape, subject.dtype, subject.tobytes()
    if isinstance(subject, Parameter):
        return state_of(subject.data, subject.grad)
    if isinstance(subject, Optimizer):
        kept = subject.state_dict()
        return list(kept), state_of(*kept.values(), *subject.params)
    if isinstance(subject, layers.Layer):
        modes = [part.training for part in subject.layers()]
        arrays = state_of(*subject.parameters(), *subject.buffers())
        return modes, arrays, repr(generator_states(subject.generators()))
    return repr(subject)
