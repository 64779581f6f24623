"""Loops with other numbers than pixels or output channels in the lanes, before an algorithm.

They have the bits of the algorithm (but for the weight gradient), which computes what they refuse.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from fastconv._check import C_TYPES, Array
from fastconv._geometry import ConvGeometry
from fastconv.engine.base.axes import forward_axes, gradient_axes
from fastconv.engine.base.kernel import Compiled, Kernel, views

# Called with the arrays of an operation, in the order of the methods of `Compiled`; returns the
# bytes of workspace, or 0 where it refuses them. With `dry` it does nothing else.
Bound: TypeAlias = Callable[..., int]


@dataclass
class Loops:
    """Compiled loops: whether they may be the fastest, and what computes one geometry."""

    may_pay: Callable[[ConvGeometry], bool]
    bind: Callable[[str, ConvGeometry], Bound]


def bind_views(kernel: Kernel, operation: str, geometry: ConvGeometry, *options: bool) -> Bound:
    """Return the call of a kernel with views of the arrays; it is told `options` after the axes."""
    correlate = {dtype: kernel[name] for dtype, name in C_TYPES.items()}
    axes = gradient_axes(geometry) if operation == "conv2d_input" else forward_axes(geometry)

    def forward(
        input: Array, weight: Array, bias: Array | None, output: Array, dry: bool = False
    ) -> int:
        maps, kernels, results = views(geometry, input, weight, output)
        shift = None if bias is None else bias.reshape(geometry.groups, -1)
        return correlate[input.dtype](maps, kernels, shift, results, *axes, *options, dry)

    def input_gradient(
        grad_output: Array, weight: Array, grad_input: Array, dry: bool = False
    ) -> int:
        maps, kernels, results = views(geometry, grad_input, weight, grad_output)
        turned = kernels.swapaxes(1, 2)
        return correlate[weight.dtype](results, turned, None, maps, *axes, *options, dry)

    def weight_gradient(
        input: Array, grad_output: Array, grad_weight: Array, dry: bool = False
    ) -> int:
        maps, kernels, results = views(geometry, input, grad_weight, grad_output)
        return correlate[input.dtype](maps, results, kernels, *axes, *options, dry)

    calls: dict[str, Bound] = {
        "conv2d": forward,
        "conv2d_input": input_gradient,
        "conv2d_weight": weight_gradient,
    }
    return calls[operation]


def in_order(
    operation: str, input: Array, weight: Array, output: Array
) -> tuple[Array | None, ...]:
    """Return the arrays in the order in which what computes an operation takes them."""
    if operation == "conv2d":
        return input, weight, None, output
    if operation == "conv2d_input":
        return output, weight, input
    return input, output, weight


class Lanes(Compiled):
    """An algorithm that leaves to such loops what they do not refuse."""

    loops: ClassVar[tuple[Loops, ...]]

    def _before(self, operation: str, geometry: ConvGeometry) -> list[Bound]:
        """Return the loops that are tried before, in order."""
        return [loops.bind(operation, geometry) for loops in self.loops if loops.may_pay(geometry)]

    def bind_rest(self, operation: str, geometry: ConvGeometry) -> Callable[..., None]:
        """Return what computes what the loops refuse."""
        return super().bind(operation, geometry)

    def bind(self, operation: str, geometry: ConvGeometry) -> Callable[..., None]:
        """Return what computes an operation of one geometry, called with its arrays."""
        before, rest = self._before(operation, geometry), self.bind_rest(operation, geometry)

        def compute(*arrays: Any) -> None:
            for loops in before:
                if loops(*arrays):
                    return
            rest(*arrays)

        return compute if before else rest

    def workspace(
        self, operation: str, geometry: ConvGeometry, input: Array, weight: Array, output: Array
    ) -> int:
        """Return the bytes of workspace that an operation takes, for arrays of this layout."""
        arrays = in_order(operation, input, weight, output)
        for loops in self._before(operation, geometry):
            size = loops(*arrays, dry=True)
            if size:
                return size
        return super().workspace(operation, geometry, input, weight, output)
