"""Layers that hold others, for networks that a user's own `_forward` walks through."""

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Self, overload

from fastconv.layers.base import Layer


def named(layers: tuple[Layer | Mapping[str, Layer], ...]) -> dict[str, Layer]:
    """Return layers by their names: their numbers, or the keys of the one mapping that is given.

    Raises
    ------
    TypeError
        If something else than a layer is given, or a name is no str.
    ValueError
        If a name is empty or has a dot in it.
    """
    if len(layers) != 1 or not isinstance(layers[0], Mapping):
        return _numbered(layers)
    for name, layer in layers[0].items():
        check_named(name, layer)
    return dict(layers[0])


def _numbered(layers: Iterable[object]) -> dict[str, Layer]:
    found: dict[str, Layer] = {}
    for number, layer in enumerate(layers):
        check_named(str(number), layer)
        assert isinstance(layer, Layer)
        found[str(number)] = layer
    return found


def check_named(name: object, layer: object) -> None:
    """Refuse what is no name of a layer, or no layer.

    Raises
    ------
    TypeError
        If the name is no str, or the layer no layer.
    ValueError
        If the name is empty or has a dot in it.
    """
    if not isinstance(name, str):
        raise TypeError(f"a layer's name must be a str, got {type(name).__name__}")
    if not name or "." in name:
        raise ValueError(f"a layer's name must not be empty or contain a dot, got {name!r}")
    if not isinstance(layer, Layer):
        raise TypeError(f"layer {name!r} must be a Layer, got {type(layer).__name__}")


class Container(Layer):
    """What has other layers by name."""

    def __init__(self, layers: dict[str, Layer]) -> None:
        self._layers = layers

    def children(self) -> Iterator[tuple[str, Layer]]:
        """Yield the names and layers in order."""
        yield from self._layers.items()

    def __len__(self) -> int:
        return len(self._layers)

    def _forward(self, *inputs: Any) -> tuple[Any, Any]:
        kind = type(self).__name__
        raise NotImplementedError(f"a {kind} is not called; call the layers in it")


class ModuleList(Container):
    """A list of layers, whose parameters are part of the layer that has it as an attribute.

    It is no layer to be called: the `_forward` of a user's own layer calls those in it.

    Parameters
    ----------
    modules : iterable of Layer
        The layers; their names are "0", "1", ...

    Raises
    ------
    TypeError
        If something else than a layer is given.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> class Chain(layers.Layer):
    ...     def __init__(self):
    ...         self.steps = layers.ModuleList(layers.Linear(2, 2, rng=i) for i in range(2))
    ...     def _forward(self, x):
    ...         for step in self.steps:
    ...             x = step(x)
    ...         return x, None
    ...     def _backward(self, saved, grad_output, input_grad):
    ...         for step in reversed(list(self.steps)):
    ...             grad_output = step.backward(grad_output)
    ...         return grad_output
    >>> list(Chain().state_dict())
    ['steps.0.weight', 'steps.0.bias', 'steps.1.weight', 'steps.1.bias']
    """

    def __init__(self, modules: Iterable[Layer] | None = None) -> None:
        super().__init__(_numbered(() if modules is None else modules))

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._layers.values())

    @overload
    def __getitem__(self, index: int) -> Layer: ...

    @overload
    def __getitem__(self, index: slice) -> "ModuleList": ...

    def __getitem__(self, index: int | slice) -> "Layer | ModuleList":
        found = list(self)[index]
        return ModuleList(found) if isinstance(found, list) else found

    def __setitem__(self, index: int, layer: Layer) -> None:
        layers = list(self)
        layers[index] = layer
        self._layers = _numbered(layers)

    def __delitem__(self, index: int | slice) -> None:
        layers = list(self)
        del layers[index]
        self._layers = _numbered(layers)

    def append(self, module: Layer) -> Self:
        """Put a layer at the end.

        Returns
        -------
        ModuleList
            This list.
        """
        return self.extend([module])

    def extend(self, modules: Iterable[Layer]) -> Self:
        """Put layers at the end.

        Returns
        -------
        ModuleList
            This list.
        """
        self._layers = _numbered((*self, *modules))
        return self

    def insert(self, index: int, module: Layer) -> None:
        """Put a layer before that at an index; those behind get new names."""
        layers = list(self)
        layers.insert(index, module)
        self._layers = _numbered(layers)

    def pop(self, index: int = -1) -> Layer:
        """Take the layer at an index out of the list and return it."""
        layer = self[index]
        del self[index]
        return layer


class ModuleDict(Container):
    """A dict of layers, whose parameters are part of the layer that has it as an attribute.

    It is no layer to be called: the `_forward` of a user's own layer calls those in it.

    Parameters
    ----------
    modules : mapping of str to Layer, or iterable of such pairs
        The layers by name.

    Raises
    ------
    TypeError
        If something else than a layer is given, or a name is no str.
    ValueError
        If a name is empty or has a dot in it.

    Examples
    --------
    >>> from fastconv import layers
    >>> heads = layers.ModuleDict({"classes": layers.Linear(8, 10), "boxes": layers.Linear(8, 4)})
    >>> heads["boxes"]
    Linear(8, 4, bias=True)
    >>> list(heads.state_dict())
    ['classes.weight', 'classes.bias', 'boxes.weight', 'boxes.bias']
    """

    def __init__(
        self, modules: Mapping[str, Layer] | Iterable[tuple[str, Layer]] | None = None
    ) -> None:
        super().__init__(named((dict(() if modules is None else modules),)))

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __contains__(self, name: object) -> bool:
        return name in self._layers

    def __getitem__(self, name: str) -> Layer:
        return self._layers[name]

    def __setitem__(self, name: str, layer: Layer) -> None:
        self.update({name: layer})

    def __delitem__(self, name: str) -> None:
        del self._layers[name]

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self._layers.keys()

    def values(self) -> ValuesView[Layer]:
        """Return the layers."""
        return self._layers.values()

    def items(self) -> ItemsView[str, Layer]:
        """Return pairs of names and layers."""
        return self._layers.items()

    def update(self, modules: Mapping[str, Layer] | Iterable[tuple[str, Layer]]) -> None:
        """Add layers, or put them in the place of those with the same names."""
        self._layers = named(({**self._layers, **dict(modules)},))

    def pop(self, name: str) -> Layer:
        """Take a layer out of the dict and return it."""
        return self._layers.pop(name)

    def clear(self) -> None:
        """Take all layers out."""
        self._layers.clear()
