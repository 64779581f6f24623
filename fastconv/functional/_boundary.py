"""Convolutions whose padding shows cells of the input: mirrored, repeated, or from its other end.

They are convolutions without padding of maps that are continued beyond their borders. The continued
maps of a few samples at a time lie in workspace: never those of the whole batch.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastconv._check import Array
from fastconv._geometry import ConvGeometry, axis_name, conv_geometry
from fastconv.engine.base.memory import empty
from fastconv.engine.ops import boundaries
from fastconv.functional._pieces import add_pieces
from fastconv.functional.padding import PADDING_MODES as FILLINGS
from fastconv.functional.padding import check_room, places

Compute: TypeAlias = Callable[..., None]

# torch.nn's name for what torch.nn.functional.pad calls "constant".
ZEROS = "zeros"
PADDING_MODES = (ZEROS, *(mode for mode in FILLINGS if mode != "constant"))

# The continued maps that lie in workspace at once, if there are several; a third-level cache keeps
# them. In pieces of so many bytes a weight gradient is summed, too: it follows from shapes alone.
_MOST_BYTES = 1 << 22


def check_mode(mode: object) -> str:
    """Return the name of a padding mode, or say which there are."""
    if not isinstance(mode, str):
        raise TypeError(f"padding_mode must be a str, got {type(mode).__name__}")
    if mode not in PADDING_MODES:
        raise ValueError(
            f"padding_mode must be one of {', '.join(map(repr, PADDING_MODES))}, got {mode!r}"
        )
    return mode


@dataclass(frozen=True, slots=True)
class Boundary:
    """How maps are continued, and how many samples at once.

    Attributes
    ----------
    geometry : ConvGeometry
        Of the continued maps: without padding.
    places : ndarray of int
        For each depth, row and column of the continued maps the one that it shows.
    before : int
        Columns in front of the maps' own.
    samples : int
        The most that are continued at once.
    dtype : dtype
        Of the maps.
    """

    geometry: ConvGeometry
    places: NDArray[np.intp]
    before: int
    samples: int
    dtype: np.dtype[Any]

    @property
    def maps_bytes(self) -> int:
        """Bytes of the continued maps that there are at once."""
        channels, size = self.geometry.in_channels, self.geometry.in_size
        return self.samples * channels * prod(size) * self.dtype.itemsize

    def part(self, count: int) -> ConvGeometry:
        """Return the geometry of so many samples."""
        return replace(self.geometry, batch=count)

    def new(self, count: int) -> Array:
        """Return room for the continued maps of so many samples."""
        found: Array = empty(self.part(count).input_shape, self.dtype)
        return found

    def fill(self, maps: Array) -> Array:
        """Return maps (N, C, *size) continued beyond their borders."""
        continued = self.new(len(maps))
        boundaries.fill(_volumes(maps), _volumes(continued), self.places, self.before)
        return continued

    def fold(self, continued: Array, maps: Array) -> None:
        """Write into each cell of the maps the sum of the places that show it."""
        boundaries.fold(_volumes(continued), _volumes(maps), self.places, self.before)

    def parts(self, batch: int) -> list[slice]:
        """Return the samples that are computed at once."""
        return [slice(i, min(i + self.samples, batch)) for i in range(0, batch, self.samples)]


def make_boundary(mode: str, geometry: ConvGeometry, dtype: np.dtype[Any]) -> Boundary:
    """Return how the input of a convolution is continued in place of its zeros.

    Raises
    ------
    ValueError
        If the input has too few cells on an axis.
    """
    size, pairs = geometry.in_size, geometry.padding
    axes = len(size)
    for axis, (n, pair) in enumerate(zip(size, pairs, strict=True)):
        check_room("padding", mode, n, pair, axis_name(axis, axes))
    continued = tuple(n + before + after for n, (before, after) in zip(size, pairs, strict=True))
    valid = conv_geometry(
        (geometry.batch, geometry.in_channels, *continued),
        geometry.weight_shape,
        geometry.stride,
        "valid",
        geometry.dilation,
        geometry.groups,
    )
    sample = geometry.in_channels * prod(continued) * dtype.itemsize
    samples = max(1, min(_MOST_BYTES // max(sample, 1), geometry.batch))
    spare = 3 - axes
    shown = places(mode, (1,) * spare + size, ((0, 0),) * spare + pairs)
    return Boundary(valid, shown, pairs[-1][0], samples, dtype)


def _volumes(maps: Array) -> Array:
    """View maps (N, C, *size) as (N, C, D, H, W)."""
    return maps[(slice(None), slice(None), *(None,) * (5 - maps.ndim))]


def continued_forward(boundary: Boundary, bind: Callable[[ConvGeometry], Compute]) -> Compute:
    """Return what convolves maps with their borders continued."""
    bound = cache(lambda count: bind(boundary.part(count)))

    def compute(
        input: Array,
        weight: Array,
        bias: Array | None,
        output: Array,
        prepared: Any = None,
        residual: Array | None = None,
        activation: Any = None,
    ) -> None:
        for part in boundary.parts(len(input)):
            maps = boundary.fill(input[part])
            added = None if residual is None else residual[part]
            bound(len(maps))(maps, weight, bias, output[part], prepared, added, activation)

    return compute


def continued_input_gradient(
    boundary: Boundary, bind: Callable[[ConvGeometry], Compute]
) -> Compute:
    """Return what computes the gradient with respect to such maps."""
    bound = cache(lambda count: bind(boundary.part(count)))

    def compute(
        grad_output: Array,
        weight: Array,
        bias: None,
        grad_input: Array,
        prepared: None = None,
        skip: Array | None = None,
    ) -> None:
        for part in boundary.parts(len(grad_input)):
            residual = grad_output[part]
            gradient = boundary.new(len(residual))
            bound(len(residual))(residual, weight, bias, gradient)
            boundary.fold(gradient, grad_input[part])
        if skip is not None:
            grad_input += skip

    return compute


def continued_weight_gradient(
    boundary: Boundary, bind: Callable[[ConvGeometry], Compute]
) -> Compute:
    """Return what computes the gradient with respect to the weights of such a convolution."""
    bound = cache(lambda count: bind(boundary.part(count)))

    def compute_part(input: Array, grad_output: Array, grad_weight: Array) -> None:
        bound(len(input))(boundary.fill(input), grad_output, grad_weight)

    def compute(input: Array, grad_output: Array, grad_weight: Array) -> None:
        parts = boundary.parts(len(input))
        if len(parts) == 1:
            compute_part(input, grad_output, grad_weight)
            return
        add_pieces(
            (partial(compute_part, input[part], grad_output[part]) for part in parts), grad_weight
        )

    return compute
