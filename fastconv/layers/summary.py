"""What a network consists of: a table of its layers with shapes, counts, memory and algorithms."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fastconv import _check
from fastconv._check import Array
from fastconv._geometry import Ints
from fastconv.layers._table import Table

if TYPE_CHECKING:
    from fastconv.layers.base import Layer


@dataclass(frozen=True)
class Cost:
    """What a layer with weights does for one sample, and how.

    Parameters
    ----------
    multiply_adds : int
        Products of inputs and weights; those with cells of the padding count.
    connections : int
        Pairs of an input and an output with a weight between them; cells of the padding are no
        inputs.
    algorithm, variant : str
        What computes it: see `fastconv.explain`.
    workspace_bytes : int
        Memory of a call beside its result.
    """

    multiply_adds: int = 0
    connections: int = 0
    algorithm: str = ""
    variant: str = ""
    workspace_bytes: int = 0


@dataclass(frozen=True)
class LayerSummary:
    """One call of a layer of a network.

    Attributes
    ----------
    name, kind : str
        Of the layer in its network, and of its class.
    output_shape : tuple of int, or None
        None of a layer that evaluation does not call, such as an auxiliary classifier.
    parameters : int
        Numbers in its own parameters, but for those of rows above this one.
    cost : Cost
        Of one sample.
    output_bytes : int
    """

    name: str
    kind: str
    output_shape: Ints | None
    parameters: int
    cost: Cost
    output_bytes: int


_HEADINGS = (
    "layer",
    "kind",
    "output",
    "parameters",
    "connections",
    "multiply-adds",
    "output bytes",
    "computed by",
)


@dataclass(frozen=True)
class Summary:
    """The layers of a network in the order in which they are called; str() gives a table.

    Attributes
    ----------
    input_shapes : tuple of tuple of int
        Of each input, with the batch.
    layers : tuple of LayerSummary
    parameters : int
        Numbers in all parameters.
    parameter_bytes : int
        Their memory; their gradients take as much.
    """

    input_shapes: tuple[Ints, ...]
    layers: tuple[LayerSummary, ...]
    parameters: int
    parameter_bytes: int

    @property
    def multiply_adds(self) -> int:
        """Those of all convolutions and full connections, for one sample."""
        return sum(layer.cost.multiply_adds for layer in self.layers)

    @property
    def connections(self) -> int:
        """Those of all convolutions and full connections, for one sample."""
        return sum(layer.cost.connections for layer in self.layers)

    @property
    def output_bytes(self) -> int:
        """The memory of all outputs, about what training keeps for backward."""
        return sum(layer.output_bytes for layer in self.layers)

    @property
    def workspace_bytes(self) -> int:
        """The most that one call needs beside its result."""
        return max((layer.cost.workspace_bytes for layer in self.layers), default=0)

    def _table(self) -> Table:
        rows = []
        for layer in self.layers:
            cost = layer.cost
            shape = layer.output_shape
            rows.append(
                (
                    layer.name,
                    layer.kind,
                    "not called" if shape is None else _times(shape),
                    _count(layer.parameters),
                    _count(cost.connections),
                    _count(cost.multiply_adds),
                    _count(layer.output_bytes),
                    f"{cost.algorithm}: {cost.variant}" if cost.variant else cost.algorithm,
                )
            )
        total = (
            "total",
            "",
            "",
            _count(self.parameters),
            _count(self.connections),
            _count(self.multiply_adds),
            _count(self.output_bytes),
            "",
        )
        note = (
            f"input {', '.join(map(_times, self.input_shapes))}; "
            f"parameters {_megabytes(self.parameter_bytes)}, "
            f"outputs {_megabytes(self.output_bytes)}, "
            f"workspace at most {_megabytes(self.workspace_bytes)}; "
            "connections and multiply-adds of one sample"
        )
        return Table(_HEADINGS, rows, total, note, range(3, 7))

    def __str__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        """Return the table for notebooks."""
        return self._table().html()


def _times(shape: Ints) -> str:
    return " x ".join(map(str, shape))


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def _megabytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"


class Summarized:
    """What can be summarized."""

    def _cost(self, inputs: tuple[Any, ...]) -> Cost:
        """Return what a call with these inputs costs."""
        return Cost()

    def _operations(self, inputs: tuple[Any, ...], direction: str) -> tuple[int, str] | None:
        """Return the floating-point operations of a call, and the algorithm, if it has any.

        The direction is "forward", "input gradient" or "weight gradient".
        """
        return None

    def summary(self, *input_shapes: Sequence[int], batch_size: int = 1) -> Summary:
        """Return a table of the layers: shapes, parameters, multiply-adds, memory, algorithms.

        The network computes a batch of zeros once, as in evaluation mode. Each row is a call of a
        layer that has no others within it.

        Parameters
        ----------
        *input_shapes : tuple of int
            The shape of one sample, (C, H, W); of each input, if there are several.
        batch_size : int, keyword-only
            The number of samples, for which the outputs are measured and algorithms chosen.

        Returns
        -------
        Summary
            str() gives the table, and a notebook shows it.

        Raises
        ------
        TypeError, ValueError
            If a shape is no tuple of sizes, or the network does not take it.

        Notes
        -----
        Other threads must not use the network meanwhile: its layers have hooks then.

        Examples
        --------
        >>> from fastconv import models
        >>> found = models.lenet5(rng=0).summary((1, 28, 28))
        >>> found.parameters, found.multiply_adds, found.layers[0].output_shape
        (61706, 416520, (1, 6, 28, 28))
        >>> found.layers[0].cost.connections
        107736
        """
        return _summarize(cast("Layer", self), input_shapes, batch_size)

    def _zeros(self, input_shapes: Sequence[Sequence[int]], batch_size: int) -> list[Array]:
        """Return inputs of zeros, of the network's dtype, for the shapes of a sample."""
        batch = _check.integer("batch_size", batch_size, 1)
        parameters = cast("Layer", self).parameters()
        dtype = parameters[0].data.dtype if parameters else np.dtype(np.float32)
        return [np.zeros((batch, *_sample(shape)), dtype) for shape in input_shapes]


def _summarize(
    network: "Layer", input_shapes: tuple[Sequence[int], ...], batch_size: int
) -> Summary:
    if not input_shapes:
        raise TypeError("summary needs the shape of a sample, such as (3, 224, 224)")
    zeros = network._zeros(input_shapes, batch_size)
    parameters = network.parameters()
    calls: list[tuple[Layer, tuple[Any, ...], Any]] = []
    modes = [(layer, layer.training) for layer in network.layers()]
    handles = [
        layer.register_forward_hook(lambda *call: calls.append(call))
        for layer, _ in modes
        if _has_row(layer)
    ]
    try:
        for layer, _ in modes:
            layer.training = False
        network.forward(*zeros)
    finally:
        for layer, mode in modes:
            layer.training = mode
        for handle in handles:
            handle.remove()
    return Summary(
        tuple(value.shape for value in zeros),
        tuple(_rows_of(network, calls)),
        sum(parameter.data.size for parameter in parameters),
        sum(parameter.data.nbytes for parameter in parameters),
    )


def _sample(shape: Sequence[int]) -> Ints:
    if not isinstance(shape, tuple | list):
        raise TypeError(f"input_shapes must be tuples of integers, got {shape!r}")
    return tuple(_check.integer("input_shapes", length, 1) for length in shape)


def _has_row(layer: "Layer") -> bool:
    return next(layer.children(), None) is None or _own_parameters(layer) != {}


def _own_parameters(layer: "Layer") -> dict[int, int]:
    """Return the sizes of a layer's own parameters, by their identity."""
    return {id(parameter): parameter.data.size for _, parameter in layer._own_parameters()}


def _rows_of(
    network: "Layer", calls: list[tuple["Layer", tuple[Any, ...], Any]]
) -> Iterator[LayerSummary]:
    names = {id(layer): name for name, layer in network.named_layers()}
    seen: set[int] = set()

    def row(layer: "Layer", shape: Ints | None, cost: Cost, memory: int) -> LayerSummary:
        own = _own_parameters(layer)
        new = sum(size for key, size in own.items() if key not in seen)
        seen.update(own)
        return LayerSummary(names[id(layer)], type(layer).__name__, shape, new, cost, memory)

    for layer, inputs, output in calls:
        first = output[0] if isinstance(output, tuple) else output
        passed = layer._passes_on or layer._passes_on_evaluating
        memory = 0 if passed or layer._writes_over() else first.nbytes
        yield row(layer, first.shape, layer._cost(inputs), memory)
    called = {id(layer) for layer, _, _ in calls}
    for layer in network.layers():
        if id(layer) not in called and _own_parameters(layer):
            yield row(layer, None, Cost(), 0)
