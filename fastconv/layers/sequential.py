"""Layers one after the other."""

from collections.abc import Iterator, Mapping
from typing import overload

from fastconv import functional as F
from fastconv._check import Array
from fastconv.layers import fusion
from fastconv.layers.base import Layer
from fastconv.layers.containers import Container, named
from fastconv.layers.recomputing import hand, hand_back, handed


class Sequential(Container):
    """Layers that pass their outputs on, and their gradients back.

    A batch norm with a ReLU or ReLU6 behind it may be computed with it: see
    ``fastconv/layers/fusion.py``. What they give to a convolution may be computed again in
    backward: see `recompute_`.

    Parameters
    ----------
    *layers : Layer, or one mapping of str to Layer
        The layers in order, each at as many places as it is given; with a mapping they have names
        instead of the numbers "0", "1", ...

    Raises
    ------
    TypeError
        If something else than a layer is given, or a name is no str.
    ValueError
        If a name is empty or has a dot in it, or a layer that works in place comes behind one whose
        backward needs its own output (`Tanh`, `Sigmoid`, `Softmax`, `LogSoftmax`).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> net = layers.Sequential(layers.Flatten(), layers.Linear(4, 2, rng=0), layers.Tanh())
    >>> net(np.ones((3, 1, 2, 2), np.float32)).shape
    (3, 2)
    >>> list(net.state_dict())
    ['1.weight', '1.bias']
    """

    _takes_recipes = True

    def __init__(self, *layers: Layer | Mapping[str, Layer]) -> None:
        super().__init__(named(layers))
        self._refuse_overwriting()
        own = list(self._layers.values())
        # Where a batch norm stands with its ReLU behind it.
        self._pairs = frozenset(
            place
            for place in range(len(own) - 1)
            if fusion.is_norm(own[place]) and fusion.is_relu(own[place + 1])
        )
        # What a network around this one has to know.
        parts = [part for _, part in self._flat()]
        self._passes_on = all(part._passes_on for part in parts)
        self._passes_on_evaluating = all(map(_may_pass_on, parts))
        last = next((part for part in reversed(parts) if not part._passes_on), None)
        self._keeps_output = last is not None and last._keeps_output

    def _writes_over(self) -> bool:
        for _, part in self._flat():
            if part._writes_over():
                return True
            if not _may_pass_on(part):
                break
        return False

    def _refuse_overwriting(self) -> None:
        """Refuse an in-place layer that would spoil what the layer before it saves."""
        keeper = None
        for name, layer in self._flat():
            if keeper is not None and layer._writes_over():
                raise ValueError(
                    f"layer {name!r}, {layer!r}, would write over the output of layer {keeper}, "
                    "which needs it in backward; use inplace=False"
                )
            # A flattened array is a view of the array before it.
            if not layer._passes_on:
                keeper = f"{name!r}, {layer!r}" if layer._keeps_output else None

    def _flat(self) -> Iterator[tuple[str, Layer]]:
        """Yield the layers and those of sequences within, in the order in which they are called."""
        for name, layer in self._layers.items():
            if isinstance(layer, Sequential):
                yield from ((f"{name}.{inner}", part) for inner, part in layer._flat())
            else:
                yield name, layer

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._layers.values())

    @overload
    def __getitem__(self, index: int) -> Layer: ...

    @overload
    def __getitem__(self, index: slice) -> "Sequential": ...

    def __getitem__(self, index: int | slice) -> Layer:
        """Return the layer at a position, or the same layers with their names for a slice."""
        if isinstance(index, slice):
            return Sequential(dict(list(self._layers.items())[index]))
        return list(self._layers.values())[index]

    def _forward(self, x: Array) -> tuple[Array, None]:
        layers, pairs = list(self._layers.values()), self._pairs
        recipe, asked = handed(x)
        place = 0
        while place < len(layers):
            layer = layers[place]
            if place in pairs and fusion.may_be_one(self.training, *layers[place : place + 2]):
                x, recipe = fusion.forward(layers[place : place + 2], x)
                place += 2
                continue
            # Others neither take a recipe nor hand one back.
            takes = layer._takes_recipes
            if takes:
                hand(x, recipe)
            x = layer.forward(x)
            recipe = handed(x)[0] if takes else None
            place += 1
        hand_back(x, recipe, asked)
        return x, None

    def _backward(self, saved: None, grad_output: Array, input_grad: bool) -> Array | None:
        return self._undo_all(grad_output, input_grad)

    def _backward_onto(self, saved: None, grad_output: Array, skip: Array) -> Array:
        gradient = self._undo_all(grad_output, True, skip)
        assert gradient is not None
        return gradient

    def _undo_all(
        self, grad_output: Array, input_grad: bool, skip: Array | None = None
    ) -> Array | None:
        """Undo the calls of all layers; return the gradient of the input, plus `skip`."""
        gradient: Array | None = grad_output
        layers, pairs = list(self._layers.values()), self._pairs
        first = 0 if input_grad else self._frozen()
        place = len(layers) - 1
        while place >= first:
            assert gradient is not None
            before = place - 1
            if before in pairs and fusion.was_one(layers[before]):
                further = input_grad or before > first
                gradient, _ = fusion.backward(layers[before], gradient, further)
                place -= 2
            elif place == 0 and skip is not None:
                return layers[0]._undo(gradient, True, skip)  # type: ignore[no-any-return]
            else:
                gradient = layers[place].backward(gradient, input_grad=input_grad or place > first)
                place -= 1
        return gradient if skip is None or gradient is None else F.add(skip, gradient)

    def _frozen(self) -> int:
        """Return how many of the first layers are frozen, so that backward need not reach them."""
        frozen = 0
        for place, layer in enumerate(self):
            parameters = layer.parameters()
            if any(parameter.requires_grad for parameter in parameters):
                break
            # Layers without parameters go with the frozen ones before them.
            if parameters or frozen:
                frozen = place + 1
        return frozen


def _may_pass_on(layer: Layer) -> bool:
    return layer._passes_on or layer._passes_on_evaluating
