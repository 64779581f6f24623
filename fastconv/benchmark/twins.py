"""A network of ours as one of torch's modules, with the same names and values.

Layers have torch.nn's arguments, and keep them as attributes of the same names: so a module is made
of each, and containers, graphs and joints are built of the modules.
"""

import inspect
from importlib import import_module
from typing import Any

import numpy as np

from fastconv import layers
from fastconv.layers import Layer
from fastconv.layers.branches import Joining


def torch_twin(net: Layer) -> Any:
    """Return torch's module of the same layers, parameters and buffers.

    Parameters
    ----------
    net : Layer
        Layers that torch.nn has, in `Sequential`, `Graph`, `Add` and `Concat`.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    ValueError
        If torch has no such layer.
    ImportError
        If torch is not installed.

    Examples
    --------
    >>> from fastconv import models
    >>> torch_twin(models.lenet5())[0]  # doctest: +SKIP
    Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))
    """
    torch = import_module("torch")
    module = _module(torch.nn, net)
    state = {name: torch.from_numpy(np.array(v)) for name, v in net.state_dict().items()}
    # Before they are loaded, as loading keeps the module's own dtype.
    for tensor in state.values():
        if tensor.is_floating_point():
            module.to(tensor.dtype)
            break
    module.load_state_dict(state)
    return module.train(net.training)


def _module(nn: Any, layer: Layer) -> Any:
    """Return the module of a layer, with values of its own."""
    if isinstance(layer, layers.Sequential):
        module = nn.Sequential()
        for name, child in layer.children():
            module.add_module(name, _module(nn, child))
        return module
    if isinstance(layer, layers.Graph | Joining):
        return _composed(nn, layer)
    made = getattr(nn, type(layer).__name__, None)
    if made is None or type(layer).__module__.split(".")[0] != "fastconv":
        raise ValueError(f"torch.nn has no {type(layer).__name__}")
    parameters = inspect.signature(type(layer)).parameters.values()
    for extra in parameters:
        if extra.kind is extra.KEYWORD_ONLY and extra.name not in ("dtype", "rng", "init"):
            value = getattr(layer, extra.name)
            if value != extra.default:
                raise ValueError(f"torch.nn.{type(layer).__name__} has no {extra.name}={value!r}")
    named = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    return made(**{p.name: _argument(layer, p.name, p.default) for p in named})


def _argument(layer: Layer, name: str, default: Any) -> Any:
    """Return an argument of a layer's constructor as torch takes it."""
    # What can have one value only is not kept.
    value = getattr(layer, name, default)
    if name == "bias":
        return value is not None
    if name == "padding" and isinstance(value, tuple) and isinstance(value[0], tuple):
        if any(before != after for before, after in value):
            raise ValueError(f"torch pads both sides alike, {type(layer).__name__} has {value}")
        return tuple(before for before, _ in value)
    return value


def _composed(nn: Any, layer: layers.Graph | Joining) -> Any:
    """Return a module that computes a graph, or joins branches or inputs."""
    torch = import_module("torch")

    class Composed(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            for name, child in layer.children():
                self.add_module(name, _module(nn, child))

        def forward(self, *inputs: Any) -> Any:
            if isinstance(layer, layers.Graph):
                return self.graph(layer, *inputs)
            branches = [child(*inputs) for child in self.children()] or list(inputs)
            if isinstance(layer, layers.Concat):
                return torch.cat(branches, layer.dim)
            return sum(branches[1:], branches[0])

        def graph(self, graph: layers.Graph, *inputs: Any) -> Any:
            values = dict(zip(graph.inputs, inputs, strict=True))
            for name, node in graph.nodes.items():
                values[name] = getattr(self, name)(*[values[value] for value in node.inputs])
            names = graph.outputs + (graph.training_outputs if self.training else ())
            return tuple(values[n] for n in names) if len(names) > 1 else values[names[0]]

    return Composed()
