"""The operations of an inference: `bind` gives what makes a value in its place, in one call."""

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fastconv import _check
from fastconv import functional as F
from fastconv._check import Array
from fastconv.engine.choice import prepare
from fastconv.engine.errors import PIECE_TERMS
from fastconv.engine.gemm.matmul import multiply
from fastconv.engine.ops.sums import sum_maps
from fastconv.functional._calls import Call, find_call
from fastconv.functional._ending import read_activation
from fastconv.layers import activations, padding, resampling
from fastconv.layers._convolution import Convolution
from fastconv.layers._dataflow import (
    CALL,
    CONCATENATION,
    CONVOLUTION,
    LINEAR,
    NORM,
    RESHAPING,
    SUM,
    Operation,
    ours,
)
from fastconv.layers._pooling import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, LPPool, MaxPool
from fastconv.layers.branches import Concat
from fastconv.layers.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d

# All values of a call, by their numbers.
Values: TypeAlias = list[Any]
Step: TypeAlias = Callable[[Values], None]


class Function(NamedTuple):
    """What computes an operation with one input: a function of `functional`, which takes `out`."""

    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    named: dict[str, Any]


def function_of(operation: Operation) -> Function | None:
    """Return what computes an operation, or None if that can only be asked of its layer."""
    layer = operation.layer
    if operation.kind == LINEAR:
        return Function(F.linear, (operation.weight, operation.bias), {})
    if operation.kind == NORM:
        assert isinstance(layer, BatchNorm1d | BatchNorm2d | BatchNorm3d)
        shift = None if layer.bias is None else layer.bias.data
        scale = None if layer.weight is None else layer.weight.data
        statistics = layer.running_mean, layer.running_var
        return Function(F.batch_norm, (*statistics, scale, shift), {"eps": layer.eps})
    if operation.kind != CALL or not ours(layer):
        return None
    if isinstance(layer, MaxPool | AdaptiveMaxPool) and layer.return_indices:
        return None
    if isinstance(layer, MaxPool | AdaptiveMaxPool | AvgPool | AdaptiveAvgPool | LPPool):
        return Function(layer._function(), layer._arguments(), {})
    if isinstance(layer, activations._Activation):
        return Function(getattr(F, layer._function), (), layer._arguments())
    if isinstance(layer, activations.Softmax):
        return Function(getattr(F, layer._function), (layer.dim,), {})
    if isinstance(layer, padding._Pad):
        return Function(F.pad, (layer.padding, layer._mode, layer.value), {})
    if isinstance(layer, resampling.Upsample):
        return Function(F.interpolate, (), layer._arguments())
    return None


def has_place(operation: Operation) -> bool:
    """Tell whether an operation can write its value to a given place."""
    return operation.kind != CALL or function_of(operation) is not None


def may_write_over(operation: Operation) -> bool:
    """Tell whether an operation can write its value where its input lies."""
    return (
        operation.kind == CALL
        and ours(operation.layer)
        and isinstance(operation.layer, activations._Activation)
    )


def shaped(operation: Operation, inputs: list[Any]) -> Any:
    """Return something like an operation's value, in memory of its own or as its layer returns it.

    A convolution is computed without its activation.
    """
    kind, layer = operation.kind, operation.layer
    if kind == SUM:
        return F.add(*inputs)
    if kind == CONCATENATION:
        assert isinstance(layer, Concat)
        return F.concatenate(inputs, layer.dim)
    if kind == CONVOLUTION:
        assert isinstance(layer, Convolution)
        convolve: Callable[..., Array] = getattr(F, layer.operation)
        result = convolve(inputs[0], operation.weight, operation.bias, **operation.arguments)
        # A residual of another shape is refused.
        return F.add(result, inputs[1]) if len(inputs) > 1 else result
    if kind == RESHAPING:
        return layer._forward(*inputs)[0]
    function = function_of(operation)
    if function is None:
        return layer.forward(*inputs)
    return function.call(inputs[0], *function.arguments, **function.named)


def bind(operation: Operation, values: Values, in_place: list[bool]) -> Step | None:
    """Return what makes the value of an operation from those that it takes, or None for nothing.

    Parameters
    ----------
    operation : Operation
    values : list
        Arrays that lie as those of each call will.
    in_place : list of bool
        Which inputs lie in the memory of the value already.
    """
    kind, output = operation.kind, operation.output
    if kind == CONVOLUTION:
        return _convolution(operation, values)
    if kind == SUM:
        first, second = operation.inputs

        def add(values: Values) -> None:
            F.add(values[first], values[second], out=values[output])

        return add
    if kind == CONCATENATION:
        return _concatenation(operation, in_place)
    source = operation.inputs[0]
    if kind == RESHAPING:
        if in_place[0]:
            return None

        def reshape(values: Values) -> None:
            np.copyto(values[output], values[source].reshape(values[output].shape))

        return reshape
    direct = _direct(operation, values)
    if direct is not None:
        return direct
    function = function_of(operation)
    if function is None:
        return _call(operation, values[output])
    run, arguments, named = function

    def write(values: Values) -> None:
        run(values[source], *arguments, **named, out=values[output])

    return write


def _direct(operation: Operation, values: Values) -> Step | None:
    """Return the kernel of a last layer or the means of whole maps, with nothing around it.

    Between layers whose weights fill the caches, the code of checks comes from memory, too: 0.1 ms.
    """
    source, output = operation.inputs[0], operation.output
    x, y = values[source], values[output]
    if operation.kind == LINEAR:
        assert operation.weight is not None
        weight, bias = operation.weight.T, operation.bias
        if x.ndim != 2 or not x.size or len(weight) > PIECE_TERMS:
            return None

        def connect(values: Values) -> None:
            multiply(values[source], weight, bias, values[output])

        return connect
    layer = operation.layer
    if operation.kind != CALL or not ours(layer) or not y.size:
        return None
    if not isinstance(layer, AdaptiveAvgPool) or not (
        x.flags.c_contiguous and y.flags.c_contiguous
    ):
        return None
    maps, count = (1, y.size, 1, x.size // y.size), x.size // y.size
    if count != prod(x.shape[x.ndim - layer._axes :]):
        return None

    def average(values: Values) -> None:
        sum_maps(values[source].reshape(maps), values[output].reshape(-1), count)

    return average


def _call(operation: Operation, like: Any) -> Step:
    """Return the call of a layer, whose result must be like the one that it gave before."""
    layer, inputs, output = operation.layer, operation.inputs, operation.output

    def call(values: Values) -> None:
        result = layer.forward(*[values[value] for value in inputs])
        if isinstance(like, np.ndarray):
            result = _check.array("output", result)
            if result.shape != like.shape or result.dtype != like.dtype:
                raise ValueError(
                    f"{type(layer).__name__} gave {result.dtype} of shape {result.shape}, but for "
                    f"inputs of the same shapes {like.dtype} of shape {like.shape} before; such a "
                    "layer cannot be prepared"
                )
            result = np.ascontiguousarray(result)
        values[output] = result

    return call


def _concatenation(operation: Operation, in_place: list[bool]) -> Step | None:
    """Return what writes those inputs side by side that do not lie so already."""
    layer, output = operation.layer, operation.output
    assert isinstance(layer, Concat)
    left = [(i, v) for i, v in enumerate(operation.inputs) if not in_place[i]]
    if not left:
        return None
    inputs, axis = operation.inputs, layer.dim

    def join(values: Values) -> None:
        target = np.moveaxis(values[output], axis, 0)
        begin, others = 0, dict(left)
        for i, value in enumerate(inputs):
            part = np.moveaxis(values[value], axis, 0)
            if i in others:
                np.copyto(target[begin : begin + len(part)], part)
            begin += len(part)

    return join


def _convolution(operation: Operation, values: Values) -> Step:
    """Return a convolution whose checks are made and whose weights are prepared."""
    layer, weight, bias = operation.layer, operation.weight, operation.bias
    assert isinstance(layer, Convolution)
    assert weight is not None
    source, output = operation.inputs[0], operation.output
    x, y = values[source], values[output]
    options = operation.arguments
    arguments = (
        options["stride"], options["padding"], options["dilation"], options["groups"], "auto",
        options.get("output_padding", 0), options.get("padding_mode", "zeros"),
    )  # fmt: skip
    call: Call = find_call(layer.operation, weight.dtype, x.shape, weight.shape, arguments)
    plan, computed = call.plan, call.operation.computed
    data = prepare(computed, plan.geometry, weight.dtype.name, plan.algorithm, weight)
    compute, activation = call.compute, read_activation(operation.activation)
    added = operation.inputs[1] if len(operation.inputs) > 1 else None
    if x.ndim == layer.axes + 2 and (added is None or _lie_alike(values[added], y)):

        def convolve(values: Values) -> None:
            residual = None if added is None else values[added]
            compute(values[source], weight, bias, values[output], data, residual, activation)

        return convolve

    def convolve_apart(values: Values) -> None:
        target = values[output]
        maps, result = _batched(values[source], layer.axes), np.empty(target.shape, target.dtype)
        residual = None if added is None else _batched(values[added], layer.axes)
        sums = _batched(result, layer.axes)
        compute(maps, weight, bias, sums, data, residual, activation)
        np.copyto(target, result)

    return convolve_apart


def _lie_alike(first: Array, second: Array) -> bool:
    """Tell whether arrays of one shape lie in memory in the same way."""
    return all(
        length == 1 or one == other
        for length, one, other in zip(first.shape, first.strides, second.strides, strict=True)
    )


def _batched(maps: Array, axes: int) -> Array:
    """Return maps in order, one sample as a batch."""
    return np.ascontiguousarray(maps if maps.ndim == axes + 2 else maps[None])
