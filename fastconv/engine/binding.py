"""How the kernel of each variant is made, for the case that it is to serve.

One function for each kernel of the rooms; `fastconv.engine.plan` says which one serves what. The
input gradient is a correlation, too: of the residual with the rotated kernels, phase by phase of
the stride.
"""

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any, TypeAlias

import numpy as np

from fastconv import _kernels
from fastconv._check import C_TYPES, Array
from fastconv._geometry import ConvGeometry, Ints, three_axes
from fastconv.engine.base.axes import forward_axes, gradient_axes
from fastconv.engine.base.kernel import Kernel
from fastconv.engine.base.operation import Axes, Case, correlated_weights, input_parts, moves
from fastconv.engine.blocked import fits
from fastconv.engine.blocked import forward as blocked
from fastconv.engine.blocked import weight as blocked_weight
from fastconv.engine.depthwise import correlation as depthwise
from fastconv.engine.depthwise import weight as depthwise_weight
from fastconv.engine.fft import transforms
from fastconv.engine.gemm import patches, products, weight
from fastconv.engine.gemm import phases as phases_of_gradient
from fastconv.engine.gemm.correlation import Correlation
from fastconv.engine.gemm.forward import PixelLanes
from fastconv.engine.gemm.outputs import OutputLanes
from fastconv.engine.gemm.weight_plan import gathered_positions
from fastconv.engine.winograd import forward as winograd_tiles
from fastconv.engine.winograd import rows as winograd_parts
from fastconv.engine.winograd import rows_weight as winograd_parts_weight
from fastconv.engine.winograd import weight as winograd_tiles_weight


def axes_of(case: Case) -> Axes:
    """Return in numbers what is correlated on each axis."""
    numbers = gradient_axes if case.operation == "conv2d_input" else forward_axes
    return numbers(case.geometry)


def zeros(case: Case) -> Kernel:
    """Return the kernel that writes zeros."""
    return phases_of_gradient.InputGradient([], (), False, "zeros")


def fourier(case: Case) -> Kernel:
    """Return the kernel of Fourier transforms."""
    return transforms.Fft(case.operation, case.geometry, case.itemsize)


def _blocked(case: Case, held: str, together: int, by_columns: bool = False) -> Kernel:
    """Return the kernel with `held` in the lanes; it adds the taps by columns or by rows."""
    _, row, column = axes_of(case)
    if case.operation == "conv2d_weight":
        return blocked_weight.WeightGradient(row, column, held, together)
    return blocked.Correlation(row, column, held, together, by_columns)


def sample_lanes(case: Case, by_columns: bool = False) -> Kernel:
    """Return the kernel with samples in the lanes."""
    size = fits.sizes(case.operation, case.geometry)
    together, _ = fits.share_lanes(size.batch, size.row, case.itemsize)
    return _blocked(case, "samples", together, by_columns)


def group_lanes(case: Case, by_columns: bool = False) -> Kernel:
    """Return the kernel with groups in the lanes."""
    return _blocked(case, "groups", fits.lanes(case.itemsize), by_columns)


def channel_lanes(case: Case) -> Kernel:
    """Return the kernel with the channels of groups in the lanes."""
    size = fits.sizes(case.operation, case.geometry)
    together, _ = fits.turns(size.outputs, size.groups, case.itemsize)
    return _blocked(case, "channels", together)


def depthwise_rows(case: Case) -> Kernel:
    """Return the kernel of rows of one channel, forward and input gradient."""
    return depthwise.Correlation(axes_of(case))


def depthwise_sums(case: Case) -> Kernel:
    """Return the kernel of the weight gradient of one channel in each group."""
    return depthwise_weight.WeightGradient(axes_of(case))


def winograd(case: Case, name: str, outputs_win: Callable[..., bool]) -> Kernel:
    """Return the kernel of Winograd's tiles that are squares, or lines, by this name.

    In an input gradient, phases of one tap on each axis of a plane are left to the engine, as
    `outputs_win` says (see `phase_lanes`).
    """
    if case.operation == "conv2d_weight":
        return winograd_tiles_weight.WeightGradient(*moves(case.geometry), name)
    if case.operation == "conv2d":
        return winograd_tiles.Correlation(*moves(case.geometry), name)
    phases, covers = _phases(case.geometry)
    kernels = []
    for number, phase in enumerate(phases):
        _, (_, (*_, rows), (*_, columns)), *_ = phase
        loops: Callable[..., Kernel] = winograd_tiles.Correlation
        if rows * columns == 1:
            loops = OutputLanes if outputs_win(*estimates(case)[number]) else PixelLanes
        kernels.append(_part(loops, phase, name))
    return phases_of_gradient.InputGradient(kernels, phases, covers, name)


def winograd_rows(case: Case) -> Kernel:
    """Return the kernel of Winograd's tiles that are parts of rows."""
    name = "winograd rows"
    if case.operation == "conv2d_weight":
        return winograd_parts_weight.WeightGradient(*moves(case.geometry), name)
    if case.operation == "conv2d":
        return winograd_parts.Correlation(*moves(case.geometry), name)
    # The residual with the rotated kernels: of stride 1.
    (part,), _ = input_parts(case.geometry)
    return winograd_parts.Correlation((1, 1, 1), part.before, part.dilation, name, rotates=True)


def products_first(case: Case) -> Kernel:
    """Return the kernel of the input gradient that computes each product once."""
    return products.InputGradient(*moves(case.geometry))


def whole_patches(case: Case) -> Kernel:
    """Return the kernel of the input gradient whose patches lie side by side."""
    return patches.InputGradient()


def weight_product(case: Case, role: str) -> Kernel:
    """Return the kernel of the weight gradient on the engine's tiles; the role is in the lanes."""
    return weight.WeightGradient(role, *moves(case.geometry))


# Of a kernel: the cycles of all threads; the share of the lanes that count; of what a block may
# take, what one line does.
Estimate: TypeAlias = tuple[float, float, float]


def pixel_lanes(case: Case) -> Kernel:
    """Return the kernel with pixels in the lanes."""
    return _correlation(case, lambda *_: PixelLanes, "pixels in the lanes")


def output_lanes(case: Case) -> Kernel:
    """Return the kernel with output channels in the lanes."""
    return _correlation(case, lambda *_: OutputLanes, "output channels in the lanes")


def phase_lanes(case: Case, outputs_win: Callable[[Estimate, Estimate], bool]) -> Kernel:
    """Return the kernel that has one or the other in the lanes, by phase of the input gradient.

    `outputs_win` is called with the estimates of output channels and of pixels.
    """
    return _correlation(
        case,
        lambda *weighed: OutputLanes if outputs_win(*weighed) else PixelLanes,
        "pixels or output channels in the lanes, by phase",
    )


# The table asks several times while it chooses.
@lru_cache(maxsize=16)
def estimates(case: Case) -> list[tuple[Estimate, Estimate]]:
    """Return those with output channels and with pixels in the lanes, for each phase."""
    arguments = case.shapes, (case.x, case.w, case.y), case.itemsize, case.threads
    both = OutputLanes, PixelLanes
    if case.operation == "conv2d":
        steps = moves(case.geometry)
        outputs, pixels = (lanes(*steps, "").estimate(*arguments, case.prepared) for lanes in both)
        return [(outputs, pixels)]
    phases, covers = _phases(case.geometry)
    of_outputs, of_pixels = (
        phases_of_gradient.InputGradient(
            [_part(lanes, phase, "") for phase in phases], phases, covers, ""
        ).estimates(*arguments)
        for lanes in both
    )
    return list(zip(of_outputs, of_pixels, strict=True))


def gathered(case: Case) -> int:
    """Return how many positions of windows the taps in the lanes would gather."""
    return gathered_positions(case.shapes, case.itemsize, *moves(case.geometry))


def _correlation(case: Case, lanes: Callable[..., type[Correlation]], name: str) -> Kernel:
    """Return the kernel of this name, of whose phases each is computed by what `lanes` says."""
    if case.operation == "conv2d":
        return lanes()(*moves(case.geometry), name)
    phases, covers = _phases(case.geometry)
    kernels = [
        _part(lanes(*weighed), phase, name)
        for weighed, phase in zip(estimates(case), phases, strict=True)
    ]
    return phases_of_gradient.InputGradient(kernels, phases, covers, name)


def _part(correlation: Callable[..., Kernel], phase: tuple[Any, ...], name: str) -> Kernel:
    """Return the correlation of a phase."""
    _, _, before, dilation = phase
    return correlation((1, 1, 1), before, dilation, name)


@lru_cache(maxsize=16)
def _phases(geometry: ConvGeometry) -> tuple[tuple[Any, ...], bool]:
    """Return the phases of an input gradient in numbers, and whether they cover the input."""
    parts, covers = input_parts(geometry)
    phases = tuple(
        (
            _places(part.positions, geometry.in_size),
            _places(part.taps, geometry.kernel),
            part.before,
            part.dilation,
        )
        for part in parts
    )
    return phases, covers


def _places(index: tuple[Any, ...], sizes: Ints) -> tuple[Ints, ...]:
    """Return the first, the step and the number of what an index selects on three axes."""
    slices = index[1:] or (slice(None),) * 3
    chosen = [range(size)[part] for size, part in zip(three_axes(sizes, 1), slices, strict=True)]
    return tuple((places.start, places.step, len(places)) for places in chosen)


def plain(case: Case) -> Kernel:
    """Return the kernel of plain loops."""
    return _kernels.Plain(case.operation, False, *moves(case.geometry))


def columns(case: Case) -> Kernel:
    """Return the kernel of columns."""
    return _kernels.Plain(case.operation, True, *moves(case.geometry))


def transformed_by_tiles(operation: str, geometry: ConvGeometry, weight: Array) -> Array | None:
    """Return the weights as the tiles want them, or None where each use transforms them anew."""
    stride, _, _ = moves(geometry)
    if operation == "conv2d_input" and prod(stride) > 1:
        # Phase by phase.
        return None
    prepare = winograd_tiles.prepare[C_TYPES[weight.dtype]]
    kernels = correlated_weights(operation, geometry, weight)
    size = prepare(kernels, stride)
    if not size:
        return None
    data = np.empty(size, weight.dtype)
    prepare(kernels, stride, data)
    return data


transformed_by_fourier = transforms.prepare
