"""Batch norm, the sum with a residual, and ReLU, computed as one: `functional.batch_norm_relu`.

Containers know where these stand behind each other, and ask in each pass whether they may be one.
Each keeps its parameters, buffers and name. The results are those of the single layers but for the
rounding of the sum with the residual, which is not stored in between.
"""

from typing import NamedTuple

from fastconv._check import Array
from fastconv.layers import _calls, profiling
from fastconv.layers.activations import ReLU
from fastconv.layers.base import Layer
from fastconv.layers.branches import Add
from fastconv.layers.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d

_NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d)
Norm = BatchNorm1d | BatchNorm2d | BatchNorm3d


class _Saved(NamedTuple):
    """What a call of batch norm saved that was computed with the ReLU behind it."""

    values: tuple[Array, Array, Array | None]


# Subclasses may compute something else.


def is_norm(layer: Layer) -> bool:
    """Tell whether a layer is batch norm."""
    return type(layer) in _NORMS


def is_relu(layer: Layer) -> bool:
    """Tell whether a layer is a ReLU."""
    return type(layer) is ReLU


def is_sum(layer: Layer) -> bool:
    """Tell whether a layer adds up its inputs."""
    return type(layer) is Add and not len(layer)


def may_be_one(training: bool, *layers: Layer) -> bool:
    """Tell whether no layer has hooks, and all are in the mode of their container."""
    return all(layer.training == training and not layer._hooks for layer in layers)


def forward(norm: Layer, x: Array, residual: Array | None = None) -> Array:
    """Return max(norm(x) + residual, 0), and in training leave a call of the norm for backward."""
    assert isinstance(norm, _NORMS)
    profile = profiling.current()
    if profile is None:
        output, values = norm._forward_relu(x, residual)
    else:
        with profiling.measured(profile, norm, "forward", kind=_kind(norm, residual is not None)):
            output, values = norm._forward_relu(x, residual)
    if norm.training:
        _calls.leave(norm, _Saved(values))
    return output


def _kind(norm: Layer, adds: bool) -> str:
    """Return what is computed as one, for a profile."""
    return f"{type(norm).__name__} + {'Add + ' * adds}ReLU"


def was_one(norm: Layer) -> bool:
    """Tell whether the norm's last call within this pass was one of `forward`."""
    return isinstance(_calls.last(norm), _Saved)


def backward(
    norm: Layer, grad_output: Array, input_grad: bool, residual_grad: bool = False
) -> tuple[Array | None, Array | None]:
    """Undo the last call of `forward`; return the gradients of input and residual."""
    assert isinstance(norm, _NORMS)
    saved: _Saved = _calls.last(norm)
    arguments = saved.values, grad_output, input_grad, residual_grad
    profile = profiling.current()
    if profile is None:
        gradients = norm._backward_relu(*arguments)
    else:
        adds = saved.values[2] is not None
        with profiling.measured(profile, norm, "backward", kind=_kind(norm, adds)):
            gradients = norm._backward_relu(*arguments)
    _calls.drop(norm)
    return gradients
