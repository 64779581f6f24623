"""Networks of named layers, each of which says what it takes its inputs from."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from fastconv import _check
from fastconv import functional as F
from fastconv._check import Array
from fastconv.layers import _calls, fusion
from fastconv.layers.base import Layer
from fastconv.layers.containers import check_named
from fastconv.layers.recomputing import Recipe, hand, hand_back, handed


@dataclass(frozen=True)
class Node:
    """A layer at one place of a network.

    Parameters
    ----------
    layer : Layer
        What is computed there.
    inputs : tuple of str
        The places, or inputs of the network, that it takes its inputs from.

    Examples
    --------
    >>> from fastconv import layers
    >>> layers.Graph({"act": layers.ReLU()}).nodes["act"]
    Node(layer=ReLU(), inputs=('input',))
    """

    layer: Layer
    inputs: tuple[str, ...]


class _Step(NamedTuple):
    """What is computed together: one node, or a batch norm, perhaps a sum, and a ReLU.

    `inputs` are the values that come from other steps, in a sum that of the norm first; `done` are
    those that nobody takes after it.
    """

    nodes: tuple[tuple[str, Node], ...]
    inputs: tuple[str, ...]
    done: list[str]


class Graph(Layer):
    """A network of named layers with branches, shortcuts, several inputs or outputs.

    Layers are computed in the order in which they stand, and undone in reverse; where a value is
    used at several places, its gradients are added up. A value is freed as soon as all who take it
    are done. A batch norm whose output only a ReLU takes, or only the sum before a ReLU, may be
    computed with it: see ``fastconv/layers/fusion.py``.

    Parameters
    ----------
    nodes : mapping of str to Layer, or to (Layer, *names)
        The layers by name. The names behind a layer say where its inputs come from: the network's
        input or layers before it. A layer alone takes the output of the one before it. The same
        layer may stand at several places.
    output : str or tuple of str, optional
        Whose output is the network's, of the last layer by default. With a tuple forward returns
        a tuple, and backward takes one, with None for an output that has no gradient. Layers that
        do not lead to an output are not computed.
    inputs : str or tuple of str
        The names of the network's inputs, in the order of forward's arguments. With several
        backward returns a tuple.

    training_outputs : str or tuple of str, keyword-only
        Outputs that there are in training mode only, behind the others, such as those of auxiliary
        classifiers; what leads to no other output is not computed in evaluation mode. With any,
        forward returns a tuple in training mode.

    Attributes
    ----------
    nodes : mapping of str to Node
    inputs, outputs, training_outputs : tuple of str

    Raises
    ------
    TypeError
        If something else than a layer or a name is given.
    ValueError
        If there are no layers, a name is unknown, taken, empty or has a dot in it, an input is not
        used, or a layer that works in place would write over a value that is needed.

    Examples
    --------
    A residual block.

    >>> import numpy as np
    >>> from fastconv import layers
    >>> block = layers.Graph(
    ...     {
    ...         "conv1": layers.Conv2d(8, 8, 3, padding=1),
    ...         "relu1": layers.ReLU(),
    ...         "conv2": layers.Conv2d(8, 8, 3, padding=1),
    ...         "add": (layers.Add(), "conv2", "input"),
    ...         "relu2": layers.ReLU(),
    ...     }
    ... )
    >>> block(np.zeros((2, 8, 14, 14), np.float32)).shape
    (2, 8, 14, 14)
    >>> list(block.state_dict())
    ['conv1.weight', 'conv1.bias', 'conv2.weight', 'conv2.bias']
    >>> block.nodes["add"].inputs
    ('conv2', 'input')
    """

    _takes_recipes = True

    def __init__(
        self,
        nodes: Mapping[str, Layer | tuple[Any, ...]],
        output: str | tuple[str, ...] | None = None,
        inputs: str | tuple[str, ...] = "input",
        *,
        training_outputs: str | tuple[str, ...] = (),
    ) -> None:
        self.inputs = _names("inputs", inputs)
        self._nodes = _read(nodes, self.inputs)
        self._several = isinstance(output, tuple | list)
        self.outputs = _names("output", next(reversed(self._nodes)) if output is None else output)
        self.training_outputs = (
            () if training_outputs == () else _names("training_outputs", training_outputs)
        )
        outputs = {"output": self.outputs, "training_outputs": self.training_outputs}
        for argument, names in outputs.items():
            for name in names:
                if name not in self._nodes:
                    raise ValueError(f"{argument}: there is no layer {name!r}")
        if not set(self.outputs).isdisjoint(self.training_outputs):
            raise ValueError("training_outputs must not name what is an output anyway")
        self._all_outputs = self.outputs + self.training_outputs
        self._steps = self._plan(self._all_outputs)
        used = {value for step in self._steps for value in step.inputs}
        for name in self.inputs:
            if name not in used:
                raise ValueError(f"inputs: the output does not depend on {name!r}")
        self._steps_evaluating = self._plan(self.outputs)
        self._refuse_overwriting()

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The layers and their inputs by name, in order."""
        return MappingProxyType(self._nodes)

    def children(self) -> Iterator[tuple[str, Layer]]:
        """Yield the names and layers in order."""
        for name, node in self._nodes.items():
            yield name, node.layer

    def __len__(self) -> int:
        return len(self._nodes)

    def __getitem__(self, name: str) -> Layer:
        return self._nodes[name].layer

    def _needed(self, outputs: tuple[str, ...]) -> dict[str, Node]:
        """Return what has to be computed for outputs, in order."""
        needed = set(outputs)
        for name, node in reversed(self._nodes.items()):
            if name in needed:
                needed.update(node.inputs)
        return {name: node for name, node in self._nodes.items() if name in needed}

    def _plan(self, outputs: tuple[str, ...]) -> list[_Step]:
        """Return the steps that compute outputs."""
        nodes = self._needed(outputs)
        joined = _join(nodes, outputs)
        within = {name for names in joined.values() for name in names[:-1]}
        steps: list[_Step] = []
        kept = set(outputs)
        for name in reversed(nodes):
            if name in within:
                continue
            names = joined.get(name, (name,))
            taken = [value for part in names for value in nodes[part].inputs]
            inputs = tuple(value for value in taken if value not in names)
            done = [value for value in dict.fromkeys(inputs) if value not in kept]
            kept.update(done)
            steps.append(_Step(tuple((part, nodes[part]) for part in names), inputs, done))
        steps.reverse()
        return steps

    def _refuse_overwriting(self) -> None:
        """Refuse an in-place layer that would spoil a value that someone else takes or saves."""
        nodes = self._needed(self._all_outputs)
        # Where the memory of each value comes from, in training and in any mode.
        trained = {name: name for name in self.inputs}
        any_mode = dict(trained)
        users: dict[str, list[str]] = {}
        for name, node in nodes.items():
            source = node.inputs[0]
            layer, writes = node.layer, node.layer._writes_over()
            passes = layer._passes_on and not writes
            trained[name] = trained[source] if passes else name
            passes = passes or (layer._passes_on_evaluating and not writes)
            any_mode[name] = any_mode[source] if passes else name
            if not passes:
                for value in node.inputs:
                    users.setdefault(any_mode[value], []).append(f"layer {name!r}")
        for name in self._all_outputs:
            users.setdefault(any_mode[name], []).append("the output")
        for name, node in nodes.items():
            if not node.layer._writes_over():
                continue
            for value in node.inputs:
                source = trained[value]
                others = [user for user in users[any_mode[value]] if user != f"layer {name!r}"]
                if source in self._nodes and self[source]._keeps_output:
                    others.append(f"the backward pass of layer {source!r}")
                if others:
                    raise ValueError(
                        f"layer {name!r}, {node.layer!r}, would write over {value!r}, which "
                        f"{others[0]} needs; use inplace=False"
                    )
        # What a network around this one has to know.
        self._keeps_output = any(
            source in self._nodes and self[source]._keeps_output
            for source in (trained[name] for name in self._all_outputs)
        )
        self._overwrites = any(
            any_mode[value] in self.inputs
            for node in nodes.values()
            if node.layer._writes_over()
            for value in node.inputs
        )
        self._passes_on = any(trained[name] in self.inputs for name in self._all_outputs)
        self._passes_on_evaluating = any(any_mode[name] in self.inputs for name in self.outputs)

    def _writes_over(self) -> bool:
        return self._overwrites

    def _forward(self, *inputs: Array) -> tuple[Any, None]:
        if len(inputs) != len(self.inputs):
            raise TypeError(
                f"Graph takes {len(self.inputs)} inputs ({', '.join(self.inputs)}), "
                f"got {len(inputs)}"
            )
        values: dict[str, Any] = dict(zip(self.inputs, inputs, strict=True))
        recipe, asked = handed(inputs[0])
        recipes = {self.inputs[0]: recipe}
        for step in self._steps if self.training else self._steps_evaluating:
            self._compute(step, values, recipes)
            for value in step.done:
                del values[value]
        outputs = self._all_outputs if self.training else self.outputs
        if self._several or len(outputs) > 1:
            return tuple(values[name] for name in outputs), None
        output = values[self.outputs[0]]
        hand_back(output, recipes.get(self.outputs[0]), asked)
        return output, None

    def _compute(
        self, step: _Step, values: dict[str, Any], recipes: dict[str, Recipe | None]
    ) -> None:
        """Compute what a step gives from values, and add it to them."""
        *before, (last, _) = step.nodes
        layers = [node.layer for _, node in step.nodes]
        if before and fusion.may_be_one(self.training, *layers):
            taken = [values[value] for value in step.inputs]
            values[last], recipes[last] = fusion.forward(layers, *taken)
            return
        for name, node in step.nodes:
            taken = [values[value] for value in node.inputs]
            hand(taken[0], recipes.get(node.inputs[0]))
            values[name] = node.layer.forward(*taken)
            recipes[name], _ = handed(values[name])
        for name, _ in before:
            del values[name]

    def _backward(self, saved: None, grad_output: Any, input_grad: bool) -> Any:
        outputs = self._all_outputs
        if not self._several and len(outputs) == 1:
            grad_output = (_check.plain_array("grad_output", grad_output),)
        elif not isinstance(grad_output, tuple | list) or len(grad_output) != len(outputs):
            raise TypeError(
                f"grad_output must be a tuple of a gradient or None for each of the outputs "
                f"{', '.join(outputs)}"
            )
        gradients: dict[str, Array] = {}
        wanted = self._wanted(input_grad)
        for name, gradient in zip(outputs, grad_output, strict=True):
            if gradient is not None:
                gradients[name] = gradient
        for step in reversed(self._steps):
            last, norm = step.nodes[-1][0], step.nodes[0][1].layer
            if len(step.nodes) > 1 and fusion.was_one(norm):
                gradient = gradients.pop(last, None)
                if gradient is None or not wanted[last]:
                    _calls.drop(norm)
                    continue
                further = [wanted[value] for value in step.inputs]
                found = fusion.backward(norm, gradient, *further)
                _spread(gradients, step.inputs, found[: len(further)], wanted)
                continue
            for name, node in reversed(step.nodes):
                gradient = gradients.pop(name, None)
                if gradient is None or not wanted[name]:
                    _calls.drop(node.layer)
                    continue
                needed = any(wanted[value] for value in node.inputs)
                source = node.inputs[0]
                if needed and len(node.inputs) == 1 and source in gradients:
                    gradients[source] = node.layer._undo(gradient, True, gradients[source])
                    continue
                found = node.layer.backward(gradient, input_grad=needed)
                if needed:
                    parts = found if isinstance(found, tuple) else (found,)
                    _spread(gradients, node.inputs, parts, wanted)
        if not input_grad:
            return None
        results = tuple(gradients.get(name) for name in self.inputs)
        return results if len(results) > 1 else results[0]

    def _wanted(self, input_grad: bool) -> dict[str, bool]:
        """Tell of each value whether its gradient leads to something that learns."""
        wanted = dict.fromkeys(self.inputs, input_grad)
        for name, node in (pair for step in self._steps for pair in step.nodes):
            wanted[name] = any(wanted[value] for value in node.inputs) or any(
                parameter.requires_grad for parameter in node.layer.parameters()
            )
        return wanted

    def __repr__(self) -> str:
        before = self.inputs[-1]
        children = []
        for name, node in self._nodes.items():
            # Those that take the output of the layer before them, like those of a sequence.
            plain = node.inputs == (before,)
            children.append(
                f"({name}): {node.layer!r}" + f" <- {', '.join(node.inputs)}" * (not plain)
            )
            before = name
        return self._show(children)

    def _describe(self) -> str:
        told = [] if self.inputs == ("input",) else [f"inputs={self.inputs}"]
        if self._several or self.outputs != (next(reversed(self._nodes)),):
            told.append(f"output={self.outputs if self._several else self.outputs[0]!r}")
        if self.training_outputs:
            told.append(f"training_outputs={self.training_outputs}")
        return ", ".join(told)


def _names(argument: str, value: object) -> tuple[str, ...]:
    """Return one name or several as a tuple."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{argument} must be a str or a tuple of them, got {value!r}")
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{argument} must name one or more, each once, got {value!r}")
    return tuple(names)


def _read(nodes: object, inputs: tuple[str, ...]) -> dict[str, Node]:
    """Return the nodes with the names of all their inputs, if they have them."""
    if not isinstance(nodes, Mapping):
        raise TypeError(f"nodes must be a mapping of str to layers, got {type(nodes).__name__}")
    if not nodes:
        raise ValueError("nodes must hold one or more layers")
    found: dict[str, Node] = {}
    before = inputs[-1]
    for name, value in nodes.items():
        layer, *names = value if isinstance(value, tuple | list) and value else (value,)
        check_named(name, layer)
        if name in inputs:
            raise ValueError(f"{name!r} names both an input and a layer")
        for other in names:
            if not isinstance(other, str):
                raise TypeError(
                    f"layer {name!r}: its inputs must be names, got {type(other).__name__}"
                )
            if other not in found and other not in inputs:
                raise ValueError(
                    f"layer {name!r}: there is no {other!r} before it; there are "
                    f"{', '.join(map(repr, (*inputs, *found)))}"
                )
        found[name] = Node(layer, tuple(names) or (before,))
        before = name
    return found


def _join(nodes: Mapping[str, Node], outputs: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return, by the name of a ReLU, the names of what may be computed as one with it, and its own.

    Before a ReLU stands a batch norm, or a sum of two of which one is a batch norm; nobody else
    takes their outputs, and the norm stands nowhere else, since its calls may come later than it
    stands.
    """
    uses = Counter([*outputs, *(value for node in nodes.values() for value in node.inputs)])
    places = Counter(id(node.layer) for node in nodes.values())

    def norm_among(names: tuple[str, ...]) -> str | None:
        # The last of two: it waits the shortest.
        for name in sorted(names, key=list(nodes).index, reverse=True):
            layer = nodes[name].layer
            if uses[name] == 1 and places[id(layer)] == 1 and fusion.is_norm(layer):
                return name
        return None

    joined: dict[str, tuple[str, ...]] = {}
    for name, node in nodes.items():
        if not fusion.is_relu(node.layer) or len(node.inputs) != 1:
            continue
        before = node.inputs[0]
        total = nodes.get(before)
        if total is None:
            continue
        if fusion.is_sum(total.layer):
            if uses[before] == 1 and len(total.inputs) == 2:
                norm = norm_among(tuple(value for value in total.inputs if value in nodes))
                if norm is not None:
                    joined[name] = (norm, before, name)
        elif norm_among((before,)):
            joined[name] = (before, name)
    return joined


def _spread(
    gradients: dict[str, Array],
    names: tuple[str, ...],
    parts: tuple[Array | None, ...],
    wanted: Mapping[str, bool],
) -> None:
    """Add to the gradients of values that are wanted."""
    for name, part in zip(names, parts, strict=True):
        if wanted[name] and part is not None:
            _add(gradients, name, part)


def _add(gradients: dict[str, Array], name: str, gradient: Array) -> None:
    """Add to a value's gradient; the first may belong to others, too, and is not written over."""
    known = gradients.get(name)
    gradients[name] = gradient if known is None else F.add(known, gradient)
