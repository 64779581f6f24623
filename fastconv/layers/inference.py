"""Inference prepared: a network as operations on planned memory.

    Layer.prepare  ->  Inference  ->  read (_dataflow)  ->  simplify (_folding)
    Layer.forward  ->  Inference.run  ->  a Plan for the shapes  ->  its steps (_steps)

A plan knows where each value lies (_buffers), and the kernels; calls at the same time have a block
of memory each. A layer of a user's own class is called as it is; what containers it has are
prepared as networks of their own.
"""

from threading import Lock
from typing import Any

import numpy as np

from fastconv import _check
from fastconv._check import Array
from fastconv.engine.choice import only_exact
from fastconv.layers._buffers import Block, Storage, place_values, view_of
from fastconv.layers._dataflow import CONVOLUTION, Flow, Operation, ours, read
from fastconv.layers._folding import simplify
from fastconv.layers._steps import Step, Values, bind, has_place, shaped
from fastconv.layers.base import Layer
from fastconv.layers.containers import ModuleDict, ModuleList
from fastconv.layers.graph import Graph

# The shapes of input for which plans are kept.
MOST_PLANS = 4


def prepare(network: Layer, inputs: list[Array]) -> None:
    """Have a network compute by plans, and make those for inputs like these.

    Raises
    ------
    TypeError, ValueError
        If the network does not take them; then it is as it was.
    """
    try:
        attach(network)
        network.forward(*inputs)
    except BaseException:
        for layer in network.layers():
            layer._forget_prepared()
        raise


def attach(layer: Layer) -> None:
    """Have a network, or what it consists of, compute by plans from now on."""
    if not ours(layer) or isinstance(layer, ModuleList | ModuleDict):
        for _, child in layer.children():
            attach(child)
        return
    inference = Inference(layer)
    called = [part.layer for part in inference.flow.operations if not has_place(part)]
    if layer in called:
        # It is no container, and nothing else computes it.
        return
    layer._inference = inference
    for part in called:
        attach(part)


class Inference:
    """What `Layer.prepare` makes of a network in evaluation mode.

    The weights are copies. A plan is made for the first call with inputs of some shapes; copies and
    pickles make their own.
    """

    def __init__(self, network: Layer) -> None:
        self.flow = read(network, len(network.inputs) if isinstance(network, Graph) else 1)
        self._watched = list(network.layers())
        self._ranks: list[int] | None = None
        self._dtype: np.dtype[Any] | None = None
        self._plans: dict[Any, Plan] = {}
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        own = ("_plans", "_lock")
        return {name: value for name, value in vars(self).items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _plans={}, _lock=Lock())

    def serves(self, inputs: tuple[Any, ...]) -> bool:
        """Tell whether a call may be computed so.

        Its inputs are like those of the first call, but for their sizes; and no layer has hooks or
        is in training mode, which is for the layers one by one.
        """
        for layer in self._watched:
            if layer.training or layer._hooks:
                return False
        if len(inputs) != self.flow.inputs:
            return False
        for value in inputs:
            if not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray):
                return False
            if not value.size:
                return False
        return self._ranks is None or all(
            value.ndim == rank and value.dtype.newbyteorder("=") == self._dtype
            for value, rank in zip(inputs, self._ranks, strict=True)
        )

    def run(self, inputs: tuple[Any, ...]) -> Any:
        """Return the outputs."""
        arrays = [_check.array("input", value) for value in inputs]
        key = (only_exact(), *[value.shape for value in arrays])
        plan = self._plans.get(key)
        if plan is None:
            with self._lock:
                plan = self._plan(key, arrays)
        outputs = plan.run(arrays)
        return tuple(outputs) if self.flow.several else outputs[0]

    def _plan(self, key: Any, inputs: list[Array]) -> "Plan":
        """Make and keep the plan for arrays of such shapes; the first joins operations, too."""
        if key in self._plans:
            return self._plans[key]
        if self._ranks is None:
            values = _run_singly(self.flow, inputs)
            simplify(self.flow, [np.ndim(value) for value in values])
            self._ranks, self._dtype = [value.ndim for value in inputs], inputs[0].dtype
        plan = Plan(self.flow, inputs)
        if len(self._plans) >= MOST_PLANS:
            self._plans.clear()
        self._plans[key] = plan
        return plan


def _run_singly(flow: Flow, inputs: list[Array]) -> Values:
    """Return values like those of each operation, in memory of their own."""
    values: Values = [*inputs, *[None] * (flow.count - len(inputs))]
    for operation in flow.operations:
        values[operation.output] = shaped(operation, [values[v] for v in operation.inputs])
    return values


class Plan:
    """The memory and the steps for inputs of some shapes."""

    def __init__(self, flow: Flow, inputs: list[Array]) -> None:
        self._flow = flow
        singles = _run_singly(flow, inputs)
        self._places = place_values(flow, singles)
        fresh = {id(self._places[v].storage) for v in flow.outputs if v in self._places}
        storages = {id(place.storage): place.storage for place in self._places.values()}
        # Outputs are the caller's; the others share a block.
        self._fresh = [storage for key, storage in storages.items() if key in fresh]
        self._block = Block(storage for key, storage in storages.items() if key not in fresh)
        self._written = [
            (value, place, self._fresh.index(place.storage))
            for value, place in self._places.items()
            if id(place.storage) in fresh
        ]
        # What is the value of a user's layer may be part of another one: it is copied.
        self._loose = [v not in self._places for v in flow.outputs]
        written = {value for value, _, _ in self._written}
        self._passing = [v for v in range(flow.count) if v in written or v not in self._places]
        # Where an input is a residual, it lies as what it is added to.
        self._in_order = {
            value
            for operation in flow.operations
            for value in operation.inputs[1:]
            if operation.kind == CONVOLUTION and value < flow.inputs
        }
        # What a call that is done leaves to the next.
        self._idle: list[Values] = []
        values = self._new_values()
        self._begin(values, inputs)
        for value in range(flow.inputs, flow.count):
            if value not in self._places:
                values[value] = singles[value]
        self._steps: list[Step] = [
            step
            for operation in flow.operations
            if (step := bind(operation, values, self._in_place(operation))) is not None
        ]
        self._end(values)

    def _in_place(self, operation: Operation) -> list[bool]:
        """Tell which inputs of an operation lie where its value does."""
        storage = self._storage(operation.output)
        return [
            storage is not None and self._storage(value) is storage for value in operation.inputs
        ]

    def _storage(self, value: int) -> Storage | None:
        place = self._places.get(value)
        return None if place is None else place.storage

    def _new_values(self) -> Values:
        """Return a list of values in a block of its own; inputs and outputs are still missing."""
        values: Values = [None] * self._flow.count
        block = self._block.allocate()
        written = {value for value, _, _ in self._written}
        for value, place in self._places.items():
            if value not in written:
                values[value] = place.view(view_of(place.storage, block))
        return values

    def _begin(self, values: Values, inputs: list[Array]) -> None:
        """Fill in the inputs, and new arrays for the outputs."""
        for value, array in enumerate(inputs):
            values[value] = np.ascontiguousarray(array) if value in self._in_order else array
        wholes = [_check.new(storage.shape, storage.dtype) for storage in self._fresh]
        for value, place, number in self._written:
            values[value] = place.view(wholes[number])

    def _end(self, values: Values) -> None:
        """Keep a list for the next call, without what belongs to this one."""
        for value in self._passing:
            values[value] = None
        self._idle.append(values)

    def run(self, inputs: list[Array]) -> list[Any]:
        """Return the outputs, in arrays that nobody else has."""
        try:
            values = self._idle.pop()
        except IndexError:
            values = self._new_values()
        self._begin(values, inputs)
        for step in self._steps:
            step(values)
        outputs = [values[value] for value in self._flow.outputs]
        for i, loose in enumerate(self._loose):
            if loose and isinstance(outputs[i], np.ndarray):
                outputs[i] = outputs[i].copy()
        self._end(values)
        return outputs
