"""Where the values of an inference lie: in one block of memory, planned by their lifetimes."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastconv._check import Array
from fastconv._geometry import Ints
from fastconv.engine.base.memory import empty
from fastconv.layers._dataflow import CONCATENATION, CONVOLUTION, RESHAPING, Flow, Operation
from fastconv.layers._steps import Values, has_place, may_write_over
from fastconv.layers.branches import Concat

# What begins at a multiple of this shares no cache line with what lies before it.
LINE = 64


@dataclass(slots=True, eq=False)
class Storage:
    """Memory of one or more values, from one operation to another, by their numbers."""

    shape: Ints
    dtype: np.dtype[Any]
    first: int
    last: int
    # Where it begins in a block, in bytes.
    at: int = 0

    @property
    def size(self) -> int:
        """Its bytes, in whole cache lines."""
        return -(-prod(self.shape) * self.dtype.itemsize // LINE) * LINE


@dataclass(slots=True, eq=False)
class Place:
    """Where a value lies: in all of a storage, or from some channel of it on."""

    storage: Storage
    shape: Ints
    channel: int | None = None

    def view(self, whole: Array) -> Array:
        """Return the value's array, of that of the storage."""
        if self.channel is None:
            return whole.reshape(self.shape)
        return whole[:, self.channel : self.channel + self.shape[1]]


class Block:
    """Storages side by side, or in each other's place where their lifetimes allow it.

    The largest first, each gets the lowest place where nothing else lies meanwhile (O. Sekiyama et
    al., arXiv 1804.10001, section 3: best-fit heuristics of this kind come close to the optimum).
    """

    def __init__(self, storages: Iterable[Storage]) -> None:
        self.size = 0
        placed: list[Storage] = []
        for storage in sorted(storages, key=lambda storage: -storage.size):
            meanwhile = [
                other
                for other in placed
                if other.first <= storage.last and storage.first <= other.last
            ]
            for other in sorted(meanwhile, key=lambda other: other.at):
                if other.at >= storage.at + storage.size:
                    break
                storage.at = max(storage.at, other.at + other.size)
            placed.append(storage)
            self.size = max(self.size, storage.at + storage.size)

    def allocate(self) -> Array:
        """Return the memory of a block."""
        memory = empty((self.size + LINE,), np.dtype(np.uint8))
        start = -memory.ctypes.data % LINE
        return memory[start : start + self.size]


def view_of(storage: Storage, block: Array) -> Array:
    """Return the array of a storage that lies in a block."""
    array: Array = np.ndarray(storage.shape, storage.dtype, block, storage.at)
    return array


def place_values(flow: Flow, values: Values) -> dict[int, Place]:
    """Return where values like these lie, by number.

    Inputs have no place, and what only its layer can compute has none.
    """
    places: dict[int, Place] = {}
    ends = _last_uses(flow)
    for number, operation in enumerate(flow.operations):
        value = values[operation.output]
        if not has_place(operation):
            continue
        taken = _taken_over(flow, places, ends, number, operation)
        if taken is None:
            taken = Storage(value.shape, value.dtype, number, number)
        places[operation.output] = Place(taken, value.shape)
        if operation.kind == CONCATENATION:
            _move_inputs(flow, places, operation, taken, values)
    for value, place in places.items():
        place.storage.last = max(place.storage.last, ends[value])
    return places


def _last_uses(flow: Flow) -> list[int]:
    """Return by value the number of the last operation that takes it, or their count for outputs.

    What a user's layer returns may be part of what it takes, which has to stay as long.
    """
    ends = [-1] * flow.count
    for value in flow.outputs:
        ends[value] = len(flow.operations)
    for number in range(len(flow.operations) - 1, -1, -1):
        operation = flow.operations[number]
        end = number if has_place(operation) else max(number, ends[operation.output])
        for value in operation.inputs:
            ends[value] = max(ends[value], end)
    return ends


def _taken_over(
    flow: Flow, places: dict[int, Place], ends: list[int], number: int, operation: Operation
) -> Storage | None:
    """Return the storage of an operation's input if its value may lie there, too."""
    source = places.get(operation.inputs[0])
    if source is None or source.channel is not None:
        return None
    if operation.kind == RESHAPING:
        return source.storage
    others = (value for value, place in places.items() if place.storage is source.storage)
    if may_write_over(operation) and all(ends[value] <= number for value in others):
        return source.storage
    return None


def _move_inputs(
    flow: Flow, places: dict[int, Place], operation: Operation, whole: Storage, values: Values
) -> None:
    """Have the inputs of a concatenation lie where they come together, if they can.

    Along the channels of a batch; those of several samples are not contiguous then, which suits
    convolutions only.
    """
    layer = operation.layer
    assert isinstance(layer, Concat)
    if layer.dim % len(whole.shape) != 1:
        return
    makers = flow.makers()
    channel = 0
    for value in operation.inputs:
        place = places.get(value)
        if place is not None and operation.inputs.count(value) == 1:
            storage = place.storage
            members = [pair for pair in places.items() if pair[1].storage is storage]
            if all(
                other.channel is None
                and other.shape == place.shape
                and member not in flow.outputs
                and (whole.shape[0] == 1 or makers[member].kind == CONVOLUTION)
                for member, other in members
            ):
                whole.first = min(whole.first, storage.first)
                for _, other in members:
                    other.storage, other.channel = whole, channel
        channel += values[value].shape[1]
