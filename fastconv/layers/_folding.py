"""What inference joins: batch norm with weights, padding, sums, activations with convolutions.

Each function rewrites a `Flow`. What stands between two operations that become one is a value that
nobody else takes.
"""

import numpy as np

from fastconv._check import Array
from fastconv.layers import activations, padding
from fastconv.layers._convolution import Convolution
from fastconv.layers._dataflow import CONVOLUTION, LINEAR, NORM, SUM, Flow, Operation, ours
from fastconv.layers.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d


def simplify(flow: Flow, ranks: list[int]) -> None:
    """Join what can be joined; `ranks` are the numbers of axes of the values."""
    _fold_norms(flow, ranks)
    _merge_pads(flow)
    _fuse_sums(flow)
    _fuse_activations(flow)


def _alone(flow: Flow, kinds: tuple[str, ...]) -> dict[int, Operation]:
    """Return by value the operations of some kinds whose result is taken once, and is no output.

    A convolution with an activation is complete.
    """
    uses = flow.uses()
    return {
        value: operation
        for value, operation in flow.makers().items()
        if operation.kind in kinds and operation.activation is None and len(uses[value]) == 1
        and uses[value][0] is not None
    }  # fmt: skip


def _drop(flow: Flow, operation: Operation, value: int) -> None:
    """Take an operation out, and a value in place of its result."""
    flow.operations.remove(operation)
    flow.replace(operation.output, value)


def _fold_norms(flow: Flow, ranks: list[int]) -> None:
    """Fold each batch norm into the weights before it: w scale and (b - mean) scale + shift."""
    for norm in [operation for operation in flow.operations if operation.kind == NORM]:
        value = norm.inputs[0]
        before = _alone(flow, (CONVOLUTION, LINEAR)).get(value)
        # The features of a full connection are channels where there are no other axes.
        if before is None or (before.kind == LINEAR and ranks[value] != 2):
            continue
        if _fold(before, norm):
            _drop(flow, norm, value)


def _fold(before: Operation, norm: Operation) -> bool:
    """Fold a batch norm into a convolution or a full connection if their channels agree."""
    layer, weight = norm.layer, before.weight
    assert isinstance(layer, BatchNorm1d | BatchNorm2d | BatchNorm3d)
    assert weight is not None
    transposed = isinstance(before.layer, Convolution) and before.layer.transposed
    groups = before.arguments.get("groups", 1)
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    if layer.num_features != channels:
        return False
    scale, shift = _scale_and_shift(layer)
    if before.bias is not None:
        shift = shift + before.bias * scale
    if transposed:
        # (C, K/groups, ...): the outputs of a group belong to its inputs.
        factors = np.repeat(scale.reshape(groups, -1), weight.shape[0] // groups, 0)
    else:
        factors = scale
    spread = factors.reshape(*factors.shape, *(1,) * (weight.ndim - factors.ndim))
    before.weight = (weight * spread).astype(weight.dtype)
    before.bias = shift.astype(weight.dtype)
    return True


def _scale_and_shift(norm: BatchNorm1d | BatchNorm2d | BatchNorm3d) -> tuple[Array, Array]:
    """Return the factors of a batch norm and what it adds behind them, in double precision."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = 1 / np.sqrt(norm.running_var.astype(np.float64) + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.data
    shift = -norm.running_mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias.data
    return scale, shift


def _merge_pads(flow: Flow) -> None:
    """Merge zeros that a layer puts around maps with those of the convolution behind it."""
    uses = flow.uses()
    for pad in list(flow.operations):
        layer = pad.layer
        if not isinstance(layer, padding._Pad) or not ours(layer) or len(uses[pad.output]) != 1:
            continue
        conv = uses[pad.output][0]
        zeros = layer._mode == "constant" and layer.value == 0 and min(layer.padding) >= 0
        if conv is None or conv.kind != CONVOLUTION or not zeros:
            continue
        assert isinstance(conv.layer, Convolution)
        own = conv.arguments["padding"]
        if (
            conv.layer.transposed
            or conv.layer.axes != layer._axes
            or conv.arguments["padding_mode"] != "zeros"
            or not (isinstance(own, tuple) or own == "valid")
        ):
            continue
        pairs = ((0, 0),) * layer._axes if own == "valid" else own
        # The last axis comes first.
        sides = list(zip(layer.padding[::2], layer.padding[1::2], strict=True))[::-1]
        conv.arguments["padding"] = tuple(
            (before + more[0], after + more[1])
            for (before, after), more in zip(pairs, sides, strict=True)
        )
        _drop(flow, pad, pad.inputs[0])


def _fuse_sums(flow: Flow) -> None:
    """Give each sum to one of the convolutions before it: the last, as the other is there then."""
    for total in [operation for operation in flow.operations if operation.kind == SUM]:
        alone = _alone(flow, (CONVOLUTION,))
        hosts = [
            alone[value]
            for value in total.inputs
            if value in alone and len(alone[value].inputs) == 1
        ]
        if not hosts or len(set(total.inputs)) == 1:
            continue
        host = max(hosts, key=flow.operations.index)
        (other,) = (value for value in total.inputs if value != host.output)
        host.inputs.append(other)
        # The other may come later: the convolution is computed where the sum stands.
        flow.operations.remove(host)
        flow.operations[flow.operations.index(total)] = host
        flow.replace(total.output, host.output)


def _fuse_activations(flow: Flow) -> None:
    """Give each activation to the convolution before it, if its epilogue has it."""
    for operation in list(flow.operations):
        found = _activation(operation)
        before = _alone(flow, (CONVOLUTION,)).get(operation.inputs[0]) if found else None
        if before is not None:
            before.activation = found
            _drop(flow, operation, before.output)


def _activation(operation: Operation) -> tuple[object, ...] | None:
    """Return an activation as `functional.conv2d` takes it, or None."""
    layer = operation.layer
    if type(layer) is activations.ReLU:
        return ("relu",)
    if type(layer) is activations.ReLU6:
        return ("relu6",)
    if type(layer) is activations.Hardtanh:
        return ("hardtanh", layer.min_val, layer.max_val)
    if type(layer) is activations.LeakyReLU:
        return ("leaky_relu", layer.negative_slope)
    return None
