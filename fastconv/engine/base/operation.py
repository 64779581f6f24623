"""An algorithm: what computes the three convolutions of a geometry.

Kernels have three spatial axes and an axis of groups; fewer axes are axes of size 1 in front. The
input gradient is a correlation, too: of the residual with the turned kernels, phase by phase where
the stride is more than 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod
from types import EllipsisType
from typing import Any, TypeAlias

from fastconv._check import Array
from fastconv._geometry import ConvGeometry, Ints, input_gradient_phases, three_axes


@lru_cache(maxsize=4096)
def moves(geometry: ConvGeometry) -> tuple[Ints, Ints, Ints]:
    """Return stride, padding before, and dilation for three axes."""
    befores = tuple(before for before, _ in geometry.padding)
    return (
        three_axes(geometry.stride, 1),
        three_axes(befores, 0),
        three_axes(geometry.dilation, 1),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A phase of the input on all axes: its positions, its taps, and their correlation."""

    positions: tuple[EllipsisType | slice, ...]
    taps: tuple[EllipsisType | slice, ...]
    before: Ints
    dilation: Ints


@lru_cache(maxsize=4096)
def input_parts(geometry: ConvGeometry) -> tuple[tuple[_Part, ...], bool]:
    """Return the phases of the input, and whether they cover it."""
    size, kernel = three_axes(geometry.in_size, 1), three_axes(geometry.kernel, 1)
    axes = list(map(input_gradient_phases, size, kernel, *moves(geometry)))
    parts = tuple(
        _Part(
            _index([phase.positions for phase in phases]),
            (..., *(_slice(phase.taps) for phase in phases)),
            tuple(phase.before for phase in phases),
            tuple(phase.dilation for phase in phases),
        )
        for phases in product(*axes)
    )
    return parts, prod(sum(phase.count for phase in phases) for phases in axes) == prod(size)


def _index(positions: list[slice]) -> tuple[EllipsisType | slice, ...]:
    """Return the index of these positions; all of them have the fastest."""
    return (...,) if positions == [slice(0, None, 1)] * 3 else (..., *positions)


def _slice(taps: Ints) -> slice:
    """Return the slice that selects the falling, evenly spaced `taps`."""
    step = taps[1] - taps[0] if len(taps) > 1 else -1
    end = taps[-1] + step
    return slice(taps[0], end if end >= 0 else None, step)


Axes: TypeAlias = tuple[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Shapes:
    """The shapes in which the kernels see the arrays."""

    input: Ints  # (N, G, C/G, D, H, W)
    weight: Ints  # (G, K/G, C/G, T, R, S)
    output: Ints  # (N, G, K/G, OD, OH, OW)


@lru_cache(maxsize=4096)
def view_shapes(geometry: ConvGeometry) -> Shapes:
    """Return the shapes in which the kernels see the arrays."""
    batch, groups = geometry.batch, geometry.groups
    inputs, outputs = geometry.in_channels // groups, geometry.out_channels // groups
    return Shapes(
        (batch, groups, inputs, *three_axes(geometry.in_size, 1)),
        (groups, outputs, inputs, *three_axes(geometry.kernel, 1)),
        (batch, groups, outputs, *three_axes(geometry.out_size, 1)),
    )


def views(
    geometry: ConvGeometry, input: Array, weight: Array, output: Array
) -> tuple[Array, Array, Array]:
    """View the arrays of a convolution as the kernels want them."""
    shapes = view_shapes(geometry)
    return (
        input.reshape(shapes.input),
        weight.reshape(shapes.weight),
        output.reshape(shapes.output),
    )


def in_order(
    operation: str, input: Array, weight: Array, output: Array
) -> tuple[Array | None, ...]:
    """Return the arrays as what computes an operation is called with them, without a bias."""
    if operation == "conv2d":
        return input, weight, None, output
    return (output, weight, input) if operation == "conv2d_input" else (input, output, weight)


class Algorithm:
    """What computes the three convolutions."""

    def bind(self, operation: str, geometry: ConvGeometry) -> Callable[..., Any]:
        """Return what computes an operation of one geometry, called with its arrays.

        With `dry` it returns the bytes of workspace and does nothing else.
        """
        raise NotImplementedError

    def prepare(self, geometry: ConvGeometry, weight: Array) -> Any:
        """Return what the forward pass takes besides the weights, or None if nothing helps."""
        return None

    def workspace(
        self, operation: str, geometry: ConvGeometry, input: Array, weight: Array, output: Array
    ) -> int:
        """Return the bytes of workspace that an operation takes, for arrays of this layout."""
        arrays = in_order(operation, input, weight, output)
        size: int = self.bind(operation, geometry)(*arrays, dry=True)
        return size
