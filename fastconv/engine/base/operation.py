"""An operation of a geometry as kernels see it.

Kernels have three spatial axes and an axis of groups; fewer axes are axes of size 1 in front. The
input gradient is a correlation, too: of the residual with the rotated kernels, phase by phase where
the stride is more than 1.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np

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


def correlated_weights(operation: str, geometry: ConvGeometry, weight: Array) -> Array:
    """View the weights (G, K, C, T, R, S) of the correlation of stride 1 that an operation is."""
    kernels = weight.reshape(view_shapes(geometry).weight)
    if operation == "conv2d":
        return kernels
    # Without a stride the input is one phase.
    (part,), _ = input_parts(geometry)
    return kernels.swapaxes(1, 2)[part.taps]


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


@dataclass(frozen=True, slots=True)
class Case:
    """An operation of one geometry, on arrays that lie in memory in one way.

    Attributes
    ----------
    operation : str
        "conv2d", "conv2d_input" or "conv2d_weight".
    geometry : ConvGeometry
    dtype : str
        "float32" or "float64".
    x, w, y : tuple of int
        Strides, in bytes, of what is read as the input, of the weights (or their gradient), and of
        what has the output's shape, on the axes of `Shapes`. Of an input gradient x is the
        residual, y the gradient, and the weights are seen (G, C, K, T, R, S).
    threads : int
        The most that take part.
    prepared : bool
        Whether something was made of the weights before.
    """

    operation: str
    geometry: ConvGeometry
    dtype: str
    x: Ints
    w: Ints
    y: Ints
    threads: int
    prepared: bool = False

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return 4 if self.dtype == "float32" else 8

    @property
    def shapes(self) -> tuple[Ints, Ints, Ints]:
        """Shapes of x, w and y."""
        seen = view_shapes(self.geometry)
        w = seen.weight
        if self.operation == "conv2d_input":
            return seen.output, (w[0], w[2], w[1], *w[3:]), seen.input
        return seen.input, w, seen.output

    @property
    def channels(self) -> Ints:
        """Channels of a group that are read, and that are written or correlated with them."""
        geometry = self.geometry
        inputs = geometry.in_channels // geometry.groups
        outputs = geometry.out_channels // geometry.groups
        return (outputs, inputs) if self.operation == "conv2d_input" else (inputs, outputs)

    def has_planes(self, name: str) -> bool:
        """Tell whether each plane of the maps x or y is contiguous."""
        *_, rows, columns = self.shapes["xwy".index(name)]
        strides: Ints = getattr(self, name)
        return (columns == 1 or strides[5] == self.itemsize) and (
            rows == 1 or strides[4] == columns * self.itemsize
        )

    def in_order(self, name: str) -> bool:
        """Tell whether the array x, w or y is contiguous."""
        plain = contiguous_case(self.operation, self.geometry, self.dtype)
        shape = self.shapes["xwy".index(name)]
        return all(
            size == 1 or stride == expected
            for size, stride, expected in zip(
                shape, getattr(self, name), getattr(plain, name), strict=True
            )
        )


def contiguous_strides(shape: Ints, itemsize: int) -> Ints:
    """Return the strides of a contiguous array, in bytes."""
    strides = [itemsize]
    for length in reversed(shape[1:]):
        strides.insert(0, strides[0] * length)
    return tuple(strides)


def placeless(shape: Ints, dtype: np.dtype[Any]) -> Array:
    """Return an array of this shape that has strides but no memory: not to be read or written."""
    place: Array = np.empty(1, dtype)
    strides = contiguous_strides(shape, dtype.itemsize)
    return np.lib.stride_tricks.as_strided(place, shape, strides)


def contiguous_case(operation: str, geometry: ConvGeometry, dtype: str, threads: int = 1) -> Case:
    """Return the case of arrays that are contiguous."""
    shapes = view_shapes(geometry)
    itemsize = 4 if dtype == "float32" else 8
    x, w, y = (
        contiguous_strides(shape, itemsize)
        for shape in (shapes.input, shapes.weight, shapes.output)
    )
    if operation == "conv2d_input":
        x, w, y = y, (w[0], w[2], w[1], *w[3:]), x
    return Case(operation, geometry, dtype, x, w, y, threads)
