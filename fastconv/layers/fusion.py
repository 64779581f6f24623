"""Batch norm, the sum with a residual, and ReLU or ReLU6, computed as one.

That is `functional.batch_norm_relu`. Containers know where these stand behind each other, and ask
in each pass whether they may be one. Each keeps its parameters, buffers and name. The results are
those of the single layers but for the rounding of the sum with the residual, which is not stored in
between.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastconv._check import Array
from fastconv.layers import _calls, profiling
from fastconv.layers.activations import ReLU, ReLU6
from fastconv.layers.base import Layer
from fastconv.layers.branches import Add
from fastconv.layers.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from fastconv.layers.recomputing import Recipe

_NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d)
Norm = BatchNorm1d | BatchNorm2d | BatchNorm3d

# Where the ReLUs cut off.
_UPPER = {ReLU: None, ReLU6: 6.0}


class _Saved(NamedTuple):
    """What a call of batch norm saved that was computed with the layers behind it."""

    values: Any
    kind: str


# Subclasses may compute something else.


def is_norm(layer: Layer) -> bool:
    """Tell whether a layer is batch norm."""
    return type(layer) in _NORMS


def is_relu(layer: Layer) -> bool:
    """Tell whether a layer is a ReLU."""
    return type(layer) in _UPPER


def is_sum(layer: Layer) -> bool:
    """Tell whether a layer adds up its inputs."""
    return type(layer) is Add and not len(layer)


def may_be_one(training: bool, *layers: Layer) -> bool:
    """Tell whether no layer has hooks, and all are in the mode of their container."""
    return all(layer.training == training and not layer._hooks for layer in layers)


def forward(
    layers: Sequence[Layer], x: Array, residual: Array | None = None
) -> tuple[Array, Recipe | None]:
    """Return what a norm, perhaps a sum with a residual, and a ReLU give.

    In training a call of the norm is left for backward. With the output comes how to compute it
    again from what the norm keeps, if that is enough.
    """
    norm, upper = layers[0], _UPPER[type(layers[-1])]  # type: ignore[index]
    assert isinstance(norm, _NORMS)
    profile = profiling.current()
    if profile is None and not norm.training:
        return norm._forward_relu(x, residual, upper)[0], None
    kind = " + ".join(type(layer).__name__ for layer in layers)
    if profile is None:
        output, values = norm._forward_relu(x, residual, upper)
    else:
        with profiling.measured(profile, norm, "forward", kind=kind):
            output, values = norm._forward_relu(x, residual, upper)
    if not norm.training:
        return output, None
    _calls.leave(norm, _Saved(values, kind))
    if residual is not None or not norm._recomputes:
        return output, None
    # As long as a recipe needs the input, the norm's gradient does not take its place.
    x, statistics, _, _ = values
    return output, Recipe(norm._relu_again, (x, statistics, upper))


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
        with profiling.measured(profile, norm, "backward", kind=saved.kind):
            gradients = norm._backward_relu(*arguments)
    _calls.drop(norm)
    return gradients
