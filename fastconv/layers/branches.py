"""Branches of a network that part from one array and meet again: residual and Inception blocks."""

from collections.abc import Mapping
from typing import Any

from fastconv import _check
from fastconv import functional as F
from fastconv._check import Array
from fastconv.layers.base import Layer
from fastconv.layers.containers import Container, named


class Joining(Container):
    """What joins the outputs of its branches, or without branches several inputs.

    A subclass defines `_join(outputs) -> (output, saved)` and `_part(saved, grad_output) ->
    residuals`, one for each output.
    """

    def __init__(self, *branches: Layer | Mapping[str, Layer]) -> None:
        super().__init__(named(branches))
        for name, branch in self._layers.items():
            if len(self._layers) > 1 and branch._writes_over():
                raise ValueError(
                    f"branch {name!r}, {branch!r}, would write over the input of the others; use "
                    "inplace=False"
                )

    def _join(self, outputs: list[Array]) -> tuple[Array, Any]:
        raise NotImplementedError

    def _part(self, saved: Any, grad_output: Array) -> list[Array]:
        raise NotImplementedError

    def _writes_over(self) -> bool:
        return any(branch._writes_over() for branch in self._layers.values())

    def _forward(self, *inputs: Array) -> tuple[Array, Any]:
        branches = list(self._layers.values())
        if not branches:
            if not inputs:
                raise TypeError(f"{type(self).__name__} without branches needs one or more inputs")
            return self._join(list(inputs))
        if len(inputs) != 1:
            raise TypeError(
                f"{type(self).__name__} with branches takes one input, got {len(inputs)}"
            )
        return self._join([branch.forward(inputs[0]) for branch in branches])

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Any:
        residuals = self._part(saved, grad_output)
        branches = list(self._layers.values())
        if not branches:
            return tuple(residuals) if len(residuals) > 1 else residuals[0]
        total: Array | None = None
        for branch, residual in zip(reversed(branches), reversed(residuals), strict=True):
            gradient = branch.backward(residual, input_grad=input_grad)
            if input_grad:
                total = gradient if total is None else F.add(total, gradient)
        return total


class Add(Joining):
    """The sum of what branches make of an input, as in a residual block: `functional.add`.

    Parameters
    ----------
    *branches : Layer, or one mapping of str to Layer
        Layers whose outputs have one shape; with a mapping they have names instead of the numbers
        "0", "1", ... Without any, the layer adds up its inputs: ``Add()(x, y)``, as in a `Graph`.

    Raises
    ------
    TypeError
        If something else than a layer is given, or a name is no str.
    ValueError
        If a name is empty or has a dot in it, a branch would write over the input of the others,
        or (in forward) outputs differ in shape.

    Examples
    --------
    A residual block.

    >>> import numpy as np
    >>> from fastconv import layers
    >>> body = layers.Sequential(
    ...     layers.Conv2d(8, 8, 3, padding=1), layers.ReLU(), layers.Conv2d(8, 8, 3, padding=1)
    ... )
    >>> block = layers.Sequential(layers.Add(body, layers.Identity()), layers.ReLU())
    >>> block(np.zeros((2, 8, 14, 14), np.float32)).shape
    (2, 8, 14, 14)
    """

    def _join(self, outputs: list[Array]) -> tuple[Array, Any]:
        first = _check.array("input", outputs[0])
        total = first.copy() if len(outputs) == 1 else F.add(first, outputs[1])
        for value in outputs[2:]:
            F.add(total, value, out=total)
        return total, (len(outputs), total.shape)

    def _part(self, saved: Any, grad_output: Array) -> list[Array]:
        count, shape = saved
        grad_output = _check.array("grad_output", grad_output)
        _check.same_shape("grad_output", grad_output, shape, "the output's shape")
        return [grad_output] * count


class Concat(Joining):
    """What branches make of an input, side by side, as in Inception: `functional.concatenate`.

    Parameters
    ----------
    *branches : Layer, or one mapping of str to Layer
        Layers whose outputs have one shape but for the axis `dim`; named as those of `Add`.
        Without any, the layer joins its inputs: ``Concat()(x, y)``, as in a `Graph`.
    dim : int, keyword-only
        The axis, by torch's name; that of the channels of a batch by default.

    Raises
    ------
    TypeError
        If something else than a layer is given, or a name is no str.
    ValueError
        If a name is empty or has a dot in it, a branch would write over the input of the others,
        or (in forward) outputs do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> block = layers.Concat(layers.Conv2d(8, 4, 1), layers.Conv2d(8, 6, 3, padding=1))
    >>> block(np.zeros((2, 8, 14, 14), np.float32)).shape
    (2, 10, 14, 14)
    """

    def __init__(self, *branches: Layer | Mapping[str, Layer], dim: int = 1) -> None:
        super().__init__(*branches)
        self.dim = _check.integer("dim", dim, -_check.MAX_INT)

    def _join(self, outputs: list[Array]) -> tuple[Array, Any]:
        output = F.concatenate(outputs, self.dim)
        return output, (output.shape, [value.shape[self.dim] for value in outputs])

    def _part(self, saved: Any, grad_output: Array) -> list[Array]:
        shape, lengths = saved
        grad_output = _check.array("grad_output", grad_output)
        _check.same_shape("grad_output", grad_output, shape, "the output's shape")
        parts, begin = [], 0
        before = (slice(None),) * (self.dim % len(shape))
        for length in lengths:
            parts.append(grad_output[(*before, slice(begin, begin + length))])
            begin += length
        return parts

    def _describe(self) -> str:
        return f"dim={self.dim}" if self.dim != 1 else ""
