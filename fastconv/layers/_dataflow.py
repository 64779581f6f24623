"""A network in evaluation mode as a list of operations on numbered values.

Containers are taken apart: what stands in a `Sequential`, a `Graph`, an `Add` or a `Concat` becomes
operations in the order of their computation. A layer that is none of these is one operation, a
user's own class among them. What does nothing in evaluation mode is left out.
"""

from dataclasses import dataclass, field
from typing import Any

from fastconv._check import Array
from fastconv.layers import dropout
from fastconv.layers._convolution import Convolution
from fastconv.layers.base import Layer
from fastconv.layers.branches import Add, Concat
from fastconv.layers.graph import Graph
from fastconv.layers.linear import Linear
from fastconv.layers.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from fastconv.layers.reshaping import Identity, Reshaping
from fastconv.layers.sequential import Sequential

CONVOLUTION, LINEAR, NORM, RESHAPING, SUM, CONCATENATION, CALL = (
    "convolution", "linear", "norm", "reshaping", "sum", "concatenation", "call",
)  # fmt: skip

_NOTHING = (
    Identity,
    dropout.Dropout,
    dropout.Dropout1d,
    dropout.Dropout2d,
    dropout.Dropout3d,
    dropout.AlphaDropout,
)
_NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d)


@dataclass(slots=True, eq=False)
class Operation:
    """What makes one value of others.

    Attributes
    ----------
    kind : str
    layer : Layer
    inputs : list of int
        The values that it takes; of a convolution the second is a residual.
    output : int
        The value that it gives.
    weight, bias : ndarray or None
        Of a convolution or a full connection: copies, perhaps with a batch norm in them.
    arguments : dict
        Of a convolution: those of its function.
    activation : tuple or None
        Of a convolution: what `functional.conv2d` takes.
    """

    kind: str
    layer: Layer
    inputs: list[int]
    output: int
    weight: Array | None = None
    bias: Array | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    activation: tuple[Any, ...] | None = None


@dataclass(slots=True)
class Flow:
    """The operations in order; values below `inputs` are those of the network."""

    inputs: int
    count: int
    operations: list[Operation]
    outputs: list[int]
    # Whether the network gives a tuple.
    several: bool

    def uses(self) -> dict[int, list[Operation | None]]:
        """Return by value the operations that take it, each time; None stands for an output."""
        found: dict[int, list[Operation | None]] = {value: [] for value in range(self.count)}
        for operation in self.operations:
            for value in operation.inputs:
                found[value].append(operation)
        for value in self.outputs:
            found[value].append(None)
        return found

    def makers(self) -> dict[int, Operation]:
        """Return by value the operation that gives it."""
        return {operation.output: operation for operation in self.operations}

    def replace(self, value: int, other: int) -> None:
        """Have all who take a value take another one."""
        for operation in self.operations:
            operation.inputs = [other if v == value else v for v in operation.inputs]
        self.outputs = [other if v == value else v for v in self.outputs]


def ours(layer: Layer) -> bool:
    """Tell whether a layer is of a class of this package, and not of a user's own."""
    return type(layer).__module__.startswith("fastconv.")


def is_taken_apart(layer: Layer) -> bool:
    """Tell whether a container is seen as what is in it."""
    return ours(layer) and isinstance(layer, Sequential | Graph | Add | Concat)


def read(network: Layer, inputs: int) -> Flow:
    """Return the operations of a network with so many inputs."""
    flow = Flow(inputs, inputs, [], [], False)
    given = list(range(inputs))
    if isinstance(network, Graph) and ours(network):
        flow.outputs = _graph(flow, network, given)
        flow.several = network._several or len(network.outputs) > 1
    else:
        flow.outputs = [_value(flow, network, given)]
    return flow


def _value(flow: Flow, layer: Layer, inputs: list[int]) -> int:
    """Append what a layer makes of values, and return the number of the result."""
    if not ours(layer):
        return _append(flow, CALL, layer, inputs)
    if isinstance(layer, _NOTHING):
        return inputs[0]
    if isinstance(layer, Sequential):
        for child in layer:
            inputs = [_value(flow, child, inputs)]
        return inputs[0]
    if isinstance(layer, Graph) and not layer._several:
        if len(layer.outputs) == 1 and len(inputs) == len(layer.inputs):
            return _graph(flow, layer, inputs)[0]
    elif isinstance(layer, Add | Concat):
        if len(layer):
            inputs = [_value(flow, branch, inputs) for _, branch in layer.children()]
        if isinstance(layer, Concat):
            return _append(flow, CONCATENATION, layer, inputs)
        total = inputs[0]
        for value in inputs[1:]:
            total = _append(flow, SUM, layer, [total, value])
        return total
    return _append(flow, _kind(layer), layer, inputs)


def _graph(flow: Flow, graph: Graph, inputs: list[int]) -> list[int]:
    """Append the nodes of a graph, and return its outputs."""
    values = dict(zip(graph.inputs, inputs, strict=True))
    for name, node in graph._needed(graph.outputs).items():
        values[name] = _value(flow, node.layer, [values[value] for value in node.inputs])
    return [values[name] for name in graph.outputs]


def _kind(layer: Layer) -> str:
    if isinstance(layer, Convolution):
        return CONVOLUTION
    if isinstance(layer, Linear):
        return LINEAR
    if isinstance(layer, Reshaping):
        return RESHAPING
    # By the running statistics; without them, a batch is normalised by its own.
    if isinstance(layer, _NORMS) and layer.running_mean is not None:
        return NORM
    return CALL


def _append(flow: Flow, kind: str, layer: Layer, inputs: list[int]) -> int:
    operation = Operation(kind, layer, list(inputs), flow.count)
    if isinstance(layer, Convolution | Linear) and kind in (CONVOLUTION, LINEAR):
        operation.weight = layer.weight.data.copy()
        operation.bias = None if layer.bias is None else layer.bias.data.copy()
    if isinstance(layer, Convolution) and kind == CONVOLUTION:
        operation.arguments = layer._arguments()
    flow.operations.append(operation)
    flow.count += 1
    return operation.output
