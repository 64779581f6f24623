"""Loops with other numbers than pixels or output channels in the lanes, before an algorithm.

They have the bits of the algorithm (but for the weight gradient), which computes what they refuse.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from fastconv._check import C_TYPES, Array
from fastconv._geometry import ConvGeometry
from fastconv.functional._axes import forward_axes, gradient_axes
from fastconv.functional._compiled import Compiled, Kernel, views


class Loops:
    """Two compiled loops, which return 0 where they refuse a call.

    `may_pay` tells whether they may be the fastest.
    """

    def __init__(
        self,
        correlate: Kernel,
        correlate_weight: Kernel,
        may_pay: Callable[[ConvGeometry], bool],
    ):
        self._correlate = {dtype: correlate[name] for dtype, name in C_TYPES.items()}
        self._correlate_weight = {dtype: correlate_weight[name] for dtype, name in C_TYPES.items()}
        self.may_pay = may_pay

    def options(self, operation: str, geometry: ConvGeometry) -> tuple[bool, ...]:
        """Return what a loop is told after the axes."""
        return ()

    def run(
        self,
        operation: str,
        geometry: ConvGeometry,
        input: Array,
        weight: Array,
        output: Array,
        bias: Array | None,
        dry: bool,
    ) -> int:
        """Compute an operation, or return the bytes of workspace that it takes."""
        maps, kernels, results = views(geometry, input, weight, output)
        options = self.options(operation, geometry)
        if operation == "conv2d_weight":
            correlate, axes = self._correlate_weight[weight.dtype], forward_axes(geometry)
            return correlate(maps, results, kernels, *axes, *options, dry)
        correlate = self._correlate[weight.dtype]
        if operation == "conv2d":
            shift = None if bias is None else bias.reshape(geometry.groups, -1)
            axes = forward_axes(geometry)
            return correlate(maps, kernels, shift, results, *axes, *options, dry)
        turned, axes = kernels.swapaxes(1, 2), gradient_axes(geometry)
        return correlate(results, turned, None, maps, *axes, *options, dry)


class Lanes(Compiled):
    """An algorithm that leaves to such loops what they do not refuse."""

    loops: ClassVar[tuple[Loops, ...]]

    def _run(
        self,
        operation: str,
        geometry: ConvGeometry,
        input: Array,
        weight: Array,
        output: Array,
        bias: Array | None = None,
        dry: bool = False,
    ) -> int:
        """Let the first loops that may pay, and do not refuse, run; return 0 if there are none."""
        for loops in self.loops:
            if loops.may_pay(geometry):
                done = loops.run(operation, geometry, input, weight, output, bias, dry)
                if done:
                    return done
        return 0

    def forward(
        self,
        geometry: ConvGeometry,
        input: Array,
        weight: Array,
        bias: Array | None,
        output: Array,
        prepared: Any = None,
    ) -> None:
        """Write the convolution into `output`."""
        if not self._run("conv2d", geometry, input, weight, output, bias):
            super().forward(geometry, input, weight, bias, output, prepared)

    def input_gradient(
        self, geometry: ConvGeometry, grad_output: Array, weight: Array, grad_input: Array
    ) -> None:
        """Write the gradient with respect to the input into `grad_input`."""
        if not self._run("conv2d_input", geometry, grad_input, weight, grad_output):
            super().input_gradient(geometry, grad_output, weight, grad_input)

    def weight_gradient(
        self, geometry: ConvGeometry, input: Array, grad_output: Array, grad_weight: Array
    ) -> None:
        """Write the gradient with respect to the weights into `grad_weight`."""
        if not self._run("conv2d_weight", geometry, input, grad_weight, grad_output):
            super().weight_gradient(geometry, input, grad_output, grad_weight)

    def workspace(
        self, operation: str, geometry: ConvGeometry, input: Array, weight: Array, output: Array
    ) -> int:
        """Return the bytes of workspace that an operation takes, for arrays of this layout."""
        size = self._run(operation, geometry, input, weight, output, dry=True)
        return size or super().workspace(operation, geometry, input, weight, output)
