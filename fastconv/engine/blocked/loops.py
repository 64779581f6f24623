"""Loops with other numbers than pixels or output channels in the lanes, before an algorithm.

They have the bits of the algorithm (but for the weight gradient), which computes what they do not
serve.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, TypeAlias

from fastconv._check import Array
from fastconv._geometry import ConvGeometry, Ints, three_axes
from fastconv.engine.base.axes import forward_axes, gradient_axes
from fastconv.engine.base.operation import Algorithm
from fastconv.engine.blocked.fits import Extent, extent

# Called with the arrays of an operation, in the order of `base.operation.in_order`; returns the
# bytes of workspace. With `dry` it does nothing else.
Bound: TypeAlias = Callable[..., int]
# Layouts of arrays for which what computes them is kept.
_LAYOUTS = 16


@dataclass(frozen=True, slots=True)
class Sizes:
    """What an operation reads and writes, as a correlation.

    `inputs` and `outputs` are channels of a group. `flat` tells that maps have no depth.
    """

    batch: int
    groups: int
    inputs: int
    outputs: int
    taps: int
    row: Extent
    column: Extent
    flat: bool

    @property
    def whole(self) -> bool:
        """Whether every output has taps, and maps have no depth."""
        return (
            self.flat
            and self.row.phases == self.row.step
            and self.column.phases == self.column.step
        )


def sizes(operation: str, geometry: ConvGeometry) -> Sizes:
    """Return the sizes of an operation, seen as a correlation."""
    inputs, outputs = (
        channels // geometry.groups for channels in (geometry.in_channels, geometry.out_channels)
    )
    read, written = three_axes(geometry.in_size, 1), three_axes(geometry.out_size, 1)
    axes = forward_axes(geometry)
    if operation == "conv2d_input":
        inputs, outputs, read, written = outputs, inputs, written, read
        axes = gradient_axes(geometry)
    depth, row, column = map(extent, read, written, axes)
    flat = read[0] == written[0] == 1 == three_axes(geometry.kernel, 1)[0]
    return Sizes(
        geometry.batch,
        geometry.groups,
        inputs,
        outputs,
        prod(geometry.kernel),
        row,
        column,
        flat and depth.phases > 0 and depth.before == 0,
    )


@dataclass
class Loops:
    """Compiled loops: whether they serve an operation, and win; and what computes it.

    `serves` is called with operation, geometry, itemsize, and whether the planes of the maps and
    the kernels are contiguous; `bind` with the first three.
    """

    serves: Callable[[str, ConvGeometry, int, bool, bool], bool]
    bind: Callable[[str, ConvGeometry, int], Bound]


def _contiguous(shape: Ints, strides: Ints, itemsize: int) -> bool:
    """Tell whether the planes of maps, or the kernels of weights, are contiguous."""
    height, width = shape[2:][-2:] if len(shape) > 3 else (1, shape[-1])
    return (width == 1 or strides[-1] == itemsize) and (
        height == 1 or strides[-2] == width * itemsize
    )


class Lanes(Algorithm):
    """An algorithm that leaves to such loops what they serve."""

    loops: ClassVar[tuple[Loops, ...]]

    def bind_rest(self, operation: str, geometry: ConvGeometry) -> Callable[..., Any]:
        """Return what computes what the loops do not serve."""
        raise NotImplementedError

    def bind(self, operation: str, geometry: ConvGeometry) -> Callable[..., Any]:
        """Return what computes an operation of one geometry, called with its arrays."""
        rest = self.bind_rest(operation, geometry)
        # Where the maps stand among the arrays, and a gradient of weights.
        places = {"conv2d": (0, 3), "conv2d_input": (0, 2), "conv2d_weight": (0, 1, 2)}[operation]
        kept: dict[tuple[Ints, ...], Callable[..., Any]] = {}

        def choose(x: Array, y: Array, *kernels: Array) -> Callable[..., Any]:
            size = x.itemsize
            planes = all(_contiguous(maps.shape, maps.strides, size) for maps in (x, y))
            dense = all(_contiguous(w.shape, w.strides, size) for w in kernels)
            for loops in self.loops:
                if loops.serves(operation, geometry, size, planes, dense):
                    return loops.bind(operation, geometry, size)
            return rest

        def compute(*arrays: Any, **options: Any) -> Any:
            used = [arrays[place] for place in places]
            layout = *(array.strides for array in used), (used[0].itemsize,)
            run = kept.get(layout)
            if run is None:
                if len(kept) >= _LAYOUTS:
                    kept.clear()
                run = kept[layout] = choose(*used)
            return run(*arrays, **options)

        return compute
