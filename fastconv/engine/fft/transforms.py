"""The algorithm "fft": a correlation is a product of Fourier transforms.

With X, W the transforms of a block of the input and of the zero-padded kernel, the correlation's
is X conj(W), wherever no window reaches round the block's end (`fastconv.engine.fft.blocks`). The
channels are summed in the frequency domain, and so is the weight gradient, over all blocks and
samples. The transforms are those of `planes`; no thread, and no other sample, changes a bit. A
NaN or an infinity in a sample makes all its results of the blocks that see it NaN, silently.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from fastconv._check import Array
from fastconv._geometry import ConvGeometry, Ints
from fastconv.engine.base.kernel import ArrayKernel, note
from fastconv.engine.base.memory import empty
from fastconv.engine.base.operation import (
    correlated_weights,
    input_parts,
    moves,
    view_shapes,
    views,
)
from fastconv.engine.fft.blocks import Blocks, conv_blocks, fft_blocks
from fastconv.engine.fft.planes import Planes
from fastconv.engine.fft.tables import planes_for

# What the kernel is called in the table of variants.
NAME = "Fourier transforms"


def _blocks(kernels: Ints, out: Ints, dilation: Ints) -> Blocks:
    """Return the blocks for weights (G, K, C, T, R, S)."""
    groups, outputs, inputs, *taps = kernels
    reach = tuple(d * (k - 1) for d, k in zip(dilation, taps, strict=True))
    return fft_blocks(out, reach, groups * outputs * inputs, groups * (outputs + inputs))


def _planes(blocks: Blocks, dtype: np.dtype[Any]) -> Planes:
    return planes_for(blocks.ordered(blocks.lengths), dtype)


def _ordered(array: Array, blocks: Blocks) -> Array:
    """See the last three axes in the order of the transforms."""
    return array.transpose(0, 1, 2, *blocks.ordered((3, 4, 5)))


def _places(out: Ints, sizes: Ints) -> Iterator[Ints]:
    """Yield where each block of the output begins."""
    return product(*(range(0, o, size) for o, size in zip(out, sizes, strict=True)))


def _spread(weight: Array, dilation: Ints) -> Array:
    """Put the zeros of the dilation between the taps of (G, K, C, T, R, S)."""
    taps = weight.shape[3:]
    size = (d * (k - 1) + 1 for d, k in zip(dilation, taps, strict=True))
    spread = np.zeros((*weight.shape[:3], *size), weight.dtype)
    every: tuple[Any, ...] = tuple(slice(None, None, d) for d in dilation)
    spread[(..., *every)] = weight
    return spread


def _transform_weight(weight: Array, dilation: Ints, blocks: Blocks, denormals: bool) -> Array:
    planes = _planes(blocks, weight.dtype)
    if any(d > 1 for d in dilation):
        weight = _spread(weight, dilation)
    weight = _ordered(weight, blocks)
    spectra = empty((*weight.shape[:3], planes.spectrum_size), weight.dtype)
    planes.transform(weight, spectra, (0, 0, 0), weight.shape[3:], denormals)
    return spectra


def correlate(
    input: Array,
    weight: Array,
    bias: Array | None,
    output: Array,
    before: Ints,
    dilation: Ints,
    prepared: Array | None = None,
    turned: bool = False,
    denormals: bool = False,
) -> None:
    """Write into `output` (N, G, K, *out) the correlation of (N, G, C, *size); stride 1.

    Parameters
    ----------
    input, weight, bias, output : ndarray
        The bias (G, K), or None.
    before : tuple of int
        The zeros before the input.
    dilation : tuple of int
    prepared : ndarray, optional
        The weights transformed.
    turned : bool
        The weights are turned around on all axes: it is a convolution with them as they are.
    denormals : bool
        They count; otherwise they are flushed to zero.
    """
    blocks = _blocks(weight.shape, output.shape[3:], dilation)
    if prepared is None:
        prepared = _transform_weight(weight, dilation, blocks, denormals)
    reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[3:], strict=True)]
    _planes(blocks, input.dtype).correlate(
        _ordered(input, blocks),
        prepared,
        None if bias is None else np.ascontiguousarray(bias),
        _ordered(output, blocks),
        blocks.ordered(before),
        blocks.ordered(blocks.sizes),
        # A convolution's results stand at the end of the block.
        blocks.ordered(reach) if turned else (0, 0, 0),
        not turned,
        denormals,
    )


@np.errstate(over="ignore")
def correlate_weight(
    input: Array,
    grad_output: Array,
    grad_weight: Array,
    before: Ints,
    dilation: Ints,
) -> None:
    """Write into (G, K, C, *taps) the correlation of (N, G, C, *size) with the residual."""
    out, dtype = grad_output.shape[3:], input.dtype
    blocks = _blocks(grad_weight.shape, out, dilation)
    planes = _planes(blocks, dtype)
    lengths, sizes = (blocks.ordered(numbers) for numbers in (blocks.lengths, blocks.sizes))
    input, grad_output = _ordered(input, blocks), _ordered(grad_output, blocks)
    of_input = empty((*input.shape[1:3], planes.spectrum_size), dtype)
    of_residual = empty((*grad_output.shape[1:3], planes.spectrum_size), dtype)
    # In double precision: the rounding errors of many blocks would add up.
    total = np.zeros((*grad_weight.shape[:3], planes.spectrum_size))
    for n in range(len(input)):
        for place in _places(blocks.ordered(out), sizes):
            start = tuple(at - b for at, b in zip(place, blocks.ordered(before), strict=True))
            planes.transform(input[n : n + 1], of_input, start, lengths)
            planes.transform(grad_output[n : n + 1], of_residual, place, sizes)
            planes.add_products(of_input, of_residual, total)
    spread = (d * (k - 1) + 1 for d, k in zip(dilation, grad_weight.shape[3:], strict=True))
    sums = empty((*grad_weight.shape[:3], *spread), dtype)
    planes.inverse(total.astype(dtype, copy=False), _ordered(sums, blocks))
    every: tuple[Any, ...] = tuple(slice(None, None, d) for d in dilation)
    grad_weight[...] = sums[(..., *every)]


class Fft(ArrayKernel):
    """The three convolutions of a geometry by the functions above."""

    def __init__(self, operation: str, geometry: ConvGeometry, itemsize: int):
        super().__init__()
        self._operation, self._geometry, self._itemsize = operation, geometry, itemsize
        self._moves = moves(geometry)

    def workspace(self) -> int:
        """Return the bytes of all transforms that are there at once."""
        groups, outputs, inputs, *_ = view_shapes(self._geometry).weight
        if self._operation == "conv2d_input":
            outputs, inputs = inputs, outputs
        blocks = conv_blocks(self._geometry, self._operation)
        planes = _planes(blocks, np.dtype(f"f{self._itemsize}"))
        spectra = groups * outputs * inputs
        held = spectra * planes.spectrum_size * self._itemsize
        if self._operation == "conv2d_weight":
            # The sums are in double precision, and of both arrays the transforms are kept.
            held = spectra * 8 + groups * (outputs + inputs) * self._itemsize
            held *= planes.spectrum_size
        return held + planes.workspace(inputs, outputs)

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
    blocks = _blocks(kernels.shape, out[3:], dilation)
    return _transform_weight(kernels, dilation, blocks, False)
