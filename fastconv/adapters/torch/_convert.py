"""Networks of torch as networks of fastconv, and weights the other way.

Layers of `torch.nn` become those of the same name in `fastconv.layers`, whose arguments are the
attributes of torch's. A module that has a `forward` of its own is traced by `torch.fx`: what it
calls become the nodes of a `Graph`.
"""

from collections.abc import Iterator
from inspect import signature
from typing import Any, TypeAlias

import torch
from torch import fx, nn

from fastconv import layers
from fastconv.layers import Graph, Layer, Sequential

Module: TypeAlias = nn.Module

# Functions and methods that become layers: the layer, and the arguments after the input, in order.
# Those with another name than the layer's are left out.
_FUNCTIONS = {
    "relu": ("ReLU", "inplace"),
    "relu_": ("ReLU", ""),
    "relu6": ("ReLU6", "inplace"),
    "leaky_relu": ("LeakyReLU", "negative_slope inplace"),
    "elu": ("ELU", "alpha inplace"),
    "selu": ("SELU", "inplace"),
    "celu": ("CELU", "alpha inplace"),
    "silu": ("SiLU", "inplace"),
    "mish": ("Mish", "inplace"),
    "gelu": ("GELU", ""),
    "hardtanh": ("Hardtanh", "min_val max_val inplace"),
    "hardswish": ("Hardswish", "inplace"),
    "hardsigmoid": ("Hardsigmoid", "inplace"),
    "sigmoid": ("Sigmoid", ""),
    "tanh": ("Tanh", ""),
    "softplus": ("Softplus", "beta threshold"),
    "softsign": ("Softsign", ""),
    "logsigmoid": ("LogSigmoid", ""),
    "softmax": ("Softmax", "dim"),
    "log_softmax": ("LogSoftmax", "dim"),
    "flatten": ("Flatten", "start_dim end_dim"),
    "dropout": ("Dropout", "p"),
    "dropout1d": ("Dropout1d", "p"),
    "dropout2d": ("Dropout2d", "p"),
    "dropout3d": ("Dropout3d", "p"),
    "alpha_dropout": ("AlphaDropout", "p"),
    "interpolate": ("Upsample", "size scale_factor mode align_corners"),
    "pixel_shuffle": ("PixelShuffle", "upscale_factor"),
    "pixel_unshuffle": ("PixelUnshuffle", "downscale_factor"),
    "local_response_norm": ("LocalResponseNorm", "size alpha beta k"),
}
_POOLS = {
    "max_pool": ("MaxPool", "kernel_size stride padding dilation ceil_mode return_indices"),
    "avg_pool": (
        "AvgPool",
        "kernel_size stride padding ceil_mode count_include_pad divisor_override",
    ),
    "lp_pool": ("LPPool", "norm_type kernel_size stride ceil_mode"),
    "adaptive_avg_pool": ("AdaptiveAvgPool", "output_size"),
    "adaptive_max_pool": ("AdaptiveMaxPool", "output_size return_indices"),
}
_FUNCTIONS |= {
    f"{name}{axes}d": (f"{layer}{axes}d", arguments)
    for name, (layer, arguments) in _POOLS.items()
    for axes in (1, 2, 3)
}
# Arguments of torch's functions that no layer has: they may be there if they ask for nothing.
_WITHOUT = ("dtype", "antialias", "recompute_scale_factor")

# A size that is read from a tensor: only that of the batch is known.
_BATCH = object()


def to_fastconv(module: Module) -> Layer:
    """Return a network of fastconv that computes what a network of torch does.

    Parameters
    ----------
    module : torch.nn.Module
        Made of layers that fastconv has, too. A `forward` that is not one of torch's own may call
        its layers, add up, concatenate, flatten, and use the functions of ``torch.nn.functional``
        that fastconv has layers for; it is traced once, in the mode in which the module is, and
        may branch on nothing but that.

    Returns
    -------
    Layer
        With copies of parameters and buffers, under the names that they have in
        ``module.state_dict()``; each layer in the mode of its original, and frozen parameters
        frozen.

    Raises
    ------
    TypeError
        If it is no module, or has a dtype other than float32 and float64.
    ValueError
        If it has a part that fastconv does not have, which is named, or hooks.

    Examples
    --------
    >>> import torch                                            # doctest: +SKIP
    >>> from fastconv.adapters.torch import to_fastconv
    >>> net = to_fastconv(torch.nn.Sequential(                  # doctest: +SKIP
    ...     torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU()))
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    return _Converter().convert(module, "")


def state_dict(layer: Layer) -> dict[str, torch.Tensor]:
    """Return copies of a layer's parameters and buffers as tensors of torch.

    Parameters
    ----------
    layer : Layer

    Returns
    -------
    dict of str to torch.Tensor
        What ``load_state_dict`` of the network takes in torch that has the same names.

    Examples
    --------
    >>> from fastconv import models
    >>> from fastconv.adapters.torch import state_dict
    >>> state = state_dict(models.resnet18())                   # doctest: +SKIP
    """
    return {name: torch.from_numpy(array.copy()) for name, array in layer.state_dict().items()}


class _Traced(Graph):
    """A `Graph` whose layers have the names that they had in torch, also where these have dots."""

    def __init__(
        self,
        nodes: dict[str, tuple[Any, ...]],
        output: str | tuple[str, ...],
        inputs: tuple[str, ...],
        paths: dict[str, str],
    ) -> None:
        # By the name of a node, what torch calls its layer. Functions have no such name.
        self._paths = paths
        super().__init__(nodes, output, inputs)

    def children(self) -> Iterator[tuple[str, Layer]]:
        """Yield the names and layers in order; one that stands at several places once."""
        known = set()
        for name, layer in super().children():
            path = self._paths.get(name, name)
            if path not in known:
                known.add(path)
                yield path, layer


class _Calls(fx.Tracer):  # type: ignore[misc]
    """Traces the `forward` of one module; its parts are called, not traced."""

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Tell that no part is looked into."""
        return True


class _Converter:
    """Converts each module, and each parameter, once, wherever it stands."""

    def __init__(self) -> None:
        self._layers: dict[int, Layer] = {}
        self._parameters: dict[int, layers.Parameter] = {}

    def convert(self, module: Module, path: str) -> Layer:
        """Return the layer for a module."""
        if id(module) not in self._layers:
            where = path or "the network"
            if module._forward_hooks or module._forward_pre_hooks:
                raise ValueError(f"{where}: it has hooks, which would be lost")
            kind = _kind(module)
            if kind is not None:
                layer = self._convert_layer(module, kind, where)
            elif type(module).forward is nn.Sequential.forward:
                layer = Sequential(
                    {name: self.convert(m, _join(path, name)) for name, m in _parts(module)}
                )
            else:
                layer = self._convert_forward(module, path)
            layer.training = module.training
            self._layers[id(module)] = layer
        return self._layers[id(module)]

    def _convert_layer(self, module: Module, kind: type[Layer], where: str) -> Layer:
        """Return a layer of the same arguments, parameters and buffers."""
        given = {}
        for name in signature(kind).parameters:
            if name == "bias":
                given[name] = getattr(module, name, None) is not None
            elif name == "dtype":
                given[name] = _dtype(module)
            elif hasattr(module, name):
                given[name] = getattr(module, name)
        try:
            layer = kind(**given)
            layer.load_state_dict(
                {name: value.numpy() for name, value in module.state_dict().items()}
            )
        except (TypeError, ValueError) as error:
            raise type(error)(f"{where}: {error}") from error
        for name, parameter in module.named_parameters(recurse=False):
            known = self._parameters.setdefault(id(parameter), getattr(layer, name))
            known.requires_grad = parameter.requires_grad
            setattr(layer, name, known)
        return layer

    def _convert_forward(self, module: Module, path: str) -> Layer:
        """Return the graph of what a `forward` calls."""
        where = path or "the network"
        if list(module.named_parameters(recurse=False)):
            raise ValueError(f"{where}: {type(module).__name__} has parameters of its own")
        try:
            traced = _Calls().trace(module)
        except Exception as error:
            raise ValueError(
                f"{where}: the forward of {type(module).__name__} cannot be traced: {error}"
            ) from error
        return _Reader(self, module, path).read(traced)


class _Reader:
    """Reads what was traced of one module, node by node."""

    def __init__(self, converter: _Converter, module: Module, path: str) -> None:
        self.converter, self.module, self.path = converter, module, path
        self.nodes: dict[str, tuple[Any, ...]] = {}
        self.paths: dict[str, str] = {}
        # What each node of the trace stands for: the name of a value, _BATCH, or several of these.
        self.values: dict[fx.Node, Any] = {}

    def read(self, traced: fx.Graph) -> Layer:
        """Return the network."""
        inputs: list[str] = []
        output: Any = None
        used = [node for node in traced.nodes if node.users or node.op == "output"]
        for node in used:
            if node.op == "placeholder":
                inputs.append(node.name)
                self.values[node] = node.name
            elif node.op == "output":
                output = node.args[0]
            else:
                self.values[node] = self._read_call(node)
        if isinstance(output, fx.Node) and isinstance(self.values[output], list):
            output = self.values[output]
        several = isinstance(output, tuple | list)
        names = tuple(map(self._value, output if several else (output,)))
        where = self.path or "the network"
        if not self.nodes:
            raise ValueError(f"{where}: {type(self.module).__name__} computes nothing")
        try:
            return _Traced(self.nodes, names if several else names[0], tuple(inputs), self.paths)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error

    def _value(self, argument: Any) -> str:
        """Return the name of the value that an argument stands for."""
        name = self.values.get(argument) if isinstance(argument, fx.Node) else None
        if not isinstance(name, str):
            raise self._unknown(f"{argument!r} is no value of the network")
        return name

    def _unknown(self, what: str) -> ValueError:
        return ValueError(f"{self.path or 'the network'}: {what}")

    def _add(self, name: str, layer: Layer, *inputs: str) -> str:
        self.nodes[name] = (layer, *inputs)
        return name

    def _read_call(self, node: fx.Node) -> Any:
        if node.op == "call_module":
            target = str(node.target)
            layer = self.converter.convert(
                self.module.get_submodule(target), _join(self.path, target)
            )
            self.paths[node.name] = target
            return self._add(node.name, layer, *map(self._value, self._plain(node)))
        if node.op == "get_attr":
            raise self._unknown(f"it uses {node.target!r}, which is no layer")
        if isinstance(node.target, type) and issubclass(node.target, tuple):
            # A named tuple, which can only be what a network gives.
            return list(self._plain(node))
        name = str(getattr(node.target, "__name__", node.target))
        if name in ("add", "add_"):
            return self._read_sum(node, in_place=name != "add")
        if name in ("cat", "concat", "concatenate"):
            given = dict(enumerate(node.args)) | node.kwargs
            dim = given.get("dim", given.get(1, 0))
            values = given.get("tensors", given.get(0))
            if not isinstance(values, tuple | list):
                raise self._unknown(f"{node.name}: it joins what is no list of values")
            return self._add(node.name, layers.Concat(dim=dim), *map(self._value, values))
        if name in ("size", "getattr", "getitem"):
            return self._read_size(node, name)
        if name in ("view", "reshape"):
            return self._read_view(node)
        if name == "mean":
            return self._read_mean(node)
        return self._read_function(node, name)

    def _plain(self, node: fx.Node) -> tuple[Any, ...]:
        if node.kwargs:
            raise self._unknown(f"{node.target}: its inputs must not be named")
        return tuple(node.args)

    def _read_sum(self, node: fx.Node, in_place: bool) -> str:
        first, *others = self._plain(node)
        if len(others) != 1:
            raise self._unknown(f"{node.name}: a sum must have two values")
        if in_place:
            order = list(node.graph.nodes)
            if any(order.index(user) > order.index(node) for user in first.users):
                raise self._unknown(f"{node.name} writes over a value that is used after it")
        return self._add(node.name, layers.Add(), self._value(first), self._value(others[0]))

    def _read_size(self, node: fx.Node, name: str) -> Any:
        """Read `x.size(0)`, or `x.shape[0]`, whose parts are two nodes."""
        first, *others = node.args
        if name == "getattr" and others == ["shape"]:
            return (_BATCH, self._value(first))
        if name == "getitem" and others == [0] and isinstance(self.values.get(first), tuple):
            return _BATCH
        if name == "size":
            if others == [0]:
                return _BATCH
            if not others and not node.kwargs:
                return (_BATCH, self._value(first))
        raise self._unknown(f"{node.name}: of sizes, only that of the batch may be used")

    def _read_view(self, node: fx.Node) -> str:
        """Read `x.view(x.size(0), -1)`."""
        first, *sizes = self._plain(node)
        if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
            sizes = list(sizes[0])
        batch = len(sizes) == 2 and isinstance(sizes[0], fx.Node)
        if not batch or self.values[sizes[0]] is not _BATCH or sizes[1] != -1:
            raise self._unknown(f"{node.name}: only view(x.size(0), -1) is known")
        return self._add(node.name, layers.Flatten(), self._value(first))

    def _read_mean(self, node: fx.Node) -> str:
        """Read `x.mean((2, 3))`, the mean of each map."""
        given = dict(enumerate(node.args)) | node.kwargs
        axes = given.get("dim", given.get(1))
        if not isinstance(axes, tuple | list) or sorted(axes) not in ([2, 3], [-2, -1]):
            raise self._unknown(f"{node.name}: only mean((2, 3)) is known")
        pool = layers.AdaptiveAvgPool2d(1)
        if given.get("keepdim", given.get(2, False)):
            return self._add(node.name, pool, self._value(given[0]))
        self._add(f"{node.name}_pool", pool, self._value(given[0]))
        return self._add(node.name, layers.Flatten(), f"{node.name}_pool")

    def _read_function(self, node: fx.Node, name: str) -> str:
        if name not in _FUNCTIONS or not node.args:
            raise self._unknown(f"fastconv has no layer for {name!r}")
        kind, arguments = _FUNCTIONS[name]
        first, *others = node.args
        given = dict(node.kwargs)
        given.pop("_stacklevel", None)
        names = arguments.split()
        if "dropout" in name:
            # A layer has its mode, and drops into memory of its own.
            names += ["training", "inplace"]
        if len(others) > len(names):
            raise self._unknown(f"{node.name}: more arguments of {name!r} than a layer has")
        given |= dict(zip(names, others, strict=False))
        if "dropout" in name:
            given.pop("inplace", None)
            if given.pop("training", True) != self.module.training:
                raise self._unknown(f"{node.name}: it drops in another mode than the module's")
        for flag in _WITHOUT:
            if given.get(flag, False) in (None, False):
                given.pop(flag, None)
        try:
            layer = getattr(layers, kind)(**given)
        except (TypeError, ValueError) as error:
            raise self._unknown(f"{node.name}: {error}") from error
        return self._add(node.name, layer, self._value(first))


def _kind(module: Module) -> type[Layer] | None:
    """Return the layer that computes what a module of torch.nn does; None: it is no such module."""
    for base in type(module).__mro__:
        found = getattr(layers, base.__name__, None)
        if (
            base.__module__.startswith("torch.nn.modules")
            and base.__name__ not in ("Sequential", "ModuleList", "ModuleDict")
            and isinstance(found, type)
            and issubclass(found, Layer)
            and type(module).forward is vars(base).get("forward", type(module).forward)
        ):
            return found
    return None


def _parts(module: Module) -> Iterator[tuple[str, Module]]:
    # `named_children` leaves out a part that stands at two places.
    for name, part in module._modules.items():
        if part is not None:
            yield name, part


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _dtype(module: Module) -> Any:
    """Return the dtype of a layer's parameters as NumPy's."""
    for value in (*module.parameters(), *module.buffers()):
        if value.is_floating_point():
            return str(value.dtype).removeprefix("torch.")
    return "float32"
