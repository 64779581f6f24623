"""The algorithm "fft": a correlation is a product of Fourier transforms.

With X, W the transforms of a block of the input and of the zero-padded kernel, the correlation's
is X conj(W), wherever no window reaches round the block's end (`fastconv.engine.fft.blocks`). The
channels are summed in the frequency domain, and so is the weight gradient, over all blocks and
samples. The transforms are `numpy.fft`'s, one sample at a time, so that the batch changes no bit. A
NaN or an infinity in a sample makes all its results of the blocks that see it NaN, silently.
"""

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Any

import numpy as np

from fastconv._check import Array
from fastconv._geometry import ConvGeometry, Ints
from fastconv.engine.base.kernel import ArrayKernel, note
from fastconv.engine.base.operation import (
    correlated_weights,
    input_parts,
    moves,
    view_shapes,
    views,
)
from fastconv.engine.fft.blocks import Blocks, conv_blocks, fft_blocks

# What the kernel is called in the table of variants.
NAME = "Fourier transforms"

# The spatial axes of all arrays here.
_AXES = (-3, -2, -1)


def _blocks(kernels: Ints, out: Ints, dilation: Ints) -> Blocks:
    """Return the blocks for weights (G, K, C, T, R, S)."""
    groups, outputs, inputs, *taps = kernels
    reach = tuple(d * (k - 1) for d, k in zip(dilation, taps, strict=True))
    return fft_blocks(out, reach, groups * outputs * inputs, groups * (outputs + inputs))


def _places(out: Ints, sizes: Ints) -> Iterator[tuple[Any, ...]]:
    """Yield the positions of each block of the output."""
    starts = (range(0, o, size) for o, size in zip(out, sizes, strict=True))
    for place in product(*starts):
        yield tuple(
            slice(start, min(start + size, o))
            for start, size, o in zip(place, sizes, out, strict=True)
        )


def _window(maps: Array, place: tuple[Any, ...], before: Ints, lengths: Ints) -> Array:
    """Copy what the windows at `place` see of (G, C, D, H, W), with the padding's zeros."""
    block = np.zeros((*maps.shape[:2], *lengths), maps.dtype)
    sources: list[Any] = []
    targets: list[Any] = []
    for at, shift, length, size in zip(place, before, lengths, maps.shape[2:], strict=True):
        first = at.start - shift
        low, high = max(first, 0), max(min(first + length, size), max(first, 0))
        sources.append(slice(low, high))
        targets.append(slice(low - first, high - first))
    if all(source.start < source.stop for source in sources):
        block[(..., *targets)] = maps[(..., *sources)]
    return block


def _transform(block: Array, lengths: Ints) -> Any:
    return np.fft.rfftn(block, lengths, _AXES)


def _spread(weight: Array, dilation: Ints) -> Array:
    """Put the zeros of the dilation between the taps of (G, K, C, T, R, S)."""
    taps = weight.shape[3:]
    size = (d * (k - 1) + 1 for d, k in zip(dilation, taps, strict=True))
    spread = np.zeros((*weight.shape[:3], *size), weight.dtype)
    every: tuple[Any, ...] = tuple(slice(None, None, d) for d in dilation)
    spread[(..., *every)] = weight
    return spread


def _transform_weight(weight: Array, dilation: Ints, blocks: Blocks) -> Any:
    return np.conj(_transform(_spread(weight, dilation), blocks.lengths))


def _bytes(kernels: Ints, blocks: Blocks, itemsize: int) -> int:
    """Return the bytes of all transforms that are there at once."""
    groups, outputs, inputs, *_ = kernels
    planes = groups * (outputs * inputs + 2 * (outputs + inputs))
    return planes * 2 * itemsize * prod(blocks.lengths[:2]) * (blocks.lengths[2] // 2 + 1)


@np.errstate(invalid="ignore", over="ignore")
def correlate(
    input: Array,
    weight: Array,
    bias: Array | None,
    output: Array,
    before: Ints,
    dilation: Ints,
    prepared: Array | None = None,
) -> None:
    """Write into `output` (N, G, K, *out) the correlation of (N, G, C, *size); stride 1.

    `prepared` are the weights transformed.
    """
    out = output.shape[3:]
    blocks = _blocks(weight.shape, out, dilation)
    kernels = _transform_weight(weight, dilation, blocks) if prepared is None else prepared
    for maps, results in zip(input, output, strict=True):
        for place in _places(out, blocks.sizes):
            spectra = _transform(_window(maps, place, before, blocks.lengths), blocks.lengths)
            total = kernels[:, :, 0] * spectra[:, None, 0]
            for c in range(1, spectra.shape[1]):
                total += kernels[:, :, c] * spectra[:, None, c]
            block = np.fft.irfftn(total, blocks.lengths, _AXES)
            valid: tuple[Any, ...] = tuple(slice(at.stop - at.start) for at in place)
            results[(..., *place)] = block[(..., *valid)]
    if bias is not None:
        output += bias[..., None, None, None]


@np.errstate(invalid="ignore", over="ignore")
def correlate_weight(
    input: Array,
    grad_output: Array,
    grad_weight: Array,
    before: Ints,
    dilation: Ints,
) -> None:
    """Write into (G, K, C, *taps) the correlation of (N, G, C, *size) with the residual."""
    out = grad_output.shape[3:]
    blocks = _blocks(grad_weight.shape, out, dilation)
    # In double precision: the rounding errors of many blocks would add up.
    total: Array | complex = 0j
    for maps, residual in zip(input, grad_output, strict=True):
        for place in _places(out, blocks.sizes):
            spectra = _transform(_window(maps, place, before, blocks.lengths), blocks.lengths)
            factors = np.conj(_transform(residual[(..., *place)], blocks.lengths))
            total = total + (factors[:, :, None] * spectra[:, None, :]).astype(np.complex128)
    sums = np.fft.irfftn(total, blocks.lengths, _AXES)
    taps: tuple[Any, ...] = tuple(
        slice(0, d * (k - 1) + 1, d) for k, d in zip(grad_weight.shape[3:], dilation, strict=True)
    )
    grad_weight[...] = sums[(..., *taps)]


class Fft(ArrayKernel):
    """The three convolutions of a geometry by the functions above."""

    def __init__(self, operation: str, geometry: ConvGeometry, itemsize: int):
        super().__init__()
        self._operation, self._geometry, self._itemsize = operation, geometry, itemsize
        self._moves = moves(geometry)

    def workspace(self) -> int:
        """Return the bytes of all transforms that are there at once."""
        kernels = view_shapes(self._geometry).weight
        if self._operation == "conv2d_input":
            kernels = (kernels[0], kernels[2], kernels[1], *kernels[3:])
        blocks = conv_blocks(self._geometry, self._operation)
        return _bytes(kernels, blocks, self._itemsize)

    def run(self, x: Array, w: Array, bias: Array | None, y: Array, prepared: Any) -> None:
        """Compute; `prepared` are the weights transformed, or None."""
        note(NAME)
        _, before, dilation = self._moves
        geometry = self._geometry
        if self._operation == "conv2d_weight":
            x, w, y = views(geometry, x, w, y)
            correlate_weight(x, y, w, before, dilation)
            return
        shapes = view_shapes(geometry)
        read, written = shapes.input, shapes.output
        if self._operation == "conv2d_input":
            # Without a stride the input is one phase.
            (part,), _ = input_parts(geometry)
            before, dilation = part.before, part.dilation
            read, written = written, read
        taps = correlated_weights(self._operation, geometry, w)
        shift = None if bias is None else bias.reshape(geometry.groups, -1)
        correlate(x.reshape(read), taps, shift, y.reshape(written), before, dilation, prepared)


def prepare(operation: str, geometry: ConvGeometry, weight: Array) -> Any:
    """Return the transforms of the weights."""
    kernels = correlated_weights(operation, geometry, weight)
    shapes = view_shapes(geometry)
    out = shapes.input if operation == "conv2d_input" else shapes.output
    # The dilation of a stride of 1 is the same both ways.
    _, _, dilation = moves(geometry)
    return _transform_weight(kernels, dilation, _blocks(kernels.shape, out[3:], dilation))
