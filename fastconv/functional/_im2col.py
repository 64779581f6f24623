"""The algorithm "im2col": windows as columns, and numpy.matmul.

The columns of the whole input are never there at once: a block of samples, or of one sample's
output rows, is unfolded and multiplied before the next. Within a block the columns are
(N, G, C/G*prod(kernel), positions), and

    output          = W @ columns
    grad_columns    = W^T @ grad_output, added back to the places they came from
    grad_weight     = grad_output @ columns^T, summed over the blocks
"""

from collections.abc import Iterator
from math import prod

import numpy as np

from fastconv._check import Array
from fastconv._geometry import ConvGeometry
from fastconv.functional.unfold import add_windows, inner, padded_size, window_view, zeros

# Columns of one block: more than the caches hold makes the product slower, much less leaves the
# matrices small.
COLUMN_BYTES = 1 << 22


def _blocks(geometry: ConvGeometry, itemsize: int) -> Iterator[tuple[slice, slice]]:
    """Cut the batch, and one sample's first spatial axis if need be, into bounded blocks."""
    rows = geometry.out_size[0]
    row_bytes = (
        geometry.in_channels * prod(geometry.kernel) * prod(geometry.out_size[1:]) * itemsize
    )
    samples = max(COLUMN_BYTES // (row_bytes * rows), 1)
    height = rows if samples > 1 else min(max(COLUMN_BYTES // row_bytes, 1), rows)
    for n in range(0, geometry.batch, samples):
        for row in range(0, rows, height):
            yield (
                slice(n, min(n + samples, geometry.batch)),
                slice(row, min(row + height, rows)),
            )


def _span(geometry: ConvGeometry, rows: slice) -> slice:
    """Return the rows of the padded input that a block of output rows sees."""
    stride, reach = geometry.stride[0], geometry.dilation[0] * (geometry.kernel[0] - 1)
    return slice(rows.start * stride, (rows.stop - 1) * stride + reach + 1)


def _columns(geometry: ConvGeometry, input: Array, samples: slice, rows: slice) -> Array:
    """Return the columns of one block."""
    span = _span(geometry, rows)
    height = geometry.in_size[0]
    before = geometry.padding[0][0]
    # The rows of the span that are not padding, in the input's own count.
    low = min(max(span.start - before, 0), height)
    high = min(max(span.stop - before, low), height)
    maps = input[samples, :, low:high]
    padded = zeros(
        (
            *maps.shape[:2],
            span.stop - span.start,
            *padded_size(geometry.in_size[1:], geometry.padding[1:]),
        ),
        input.dtype,
    )
    start = low + before - span.start
    body = padded[:, :, start : start + high - low]
    body[inner(geometry.in_size[1:], geometry.padding[1:])] = maps
    count = (rows.stop - rows.start, *geometry.out_size[1:])
    view = window_view(padded, geometry.kernel, geometry.stride, geometry.dilation, count)
    return view.reshape(maps.shape[0], geometry.groups, -1, prod(count))


def _matrix(geometry: ConvGeometry, weight: Array) -> Array:
    """View the weights as (G, K/G, C/G*prod(kernel))."""
    return weight.reshape(geometry.groups, geometry.out_channels // geometry.groups, -1)


def _residual(geometry: ConvGeometry, grad_output: Array, samples: slice, rows: slice) -> Array:
    """Return a block of the residual as (N, G, K/G, positions)."""
    block = grad_output[samples, :, rows]
    return block.reshape(
        block.shape[0],
        geometry.groups,
        geometry.out_channels // geometry.groups,
        prod(block.shape[2:]),
    )


# The other algorithms warn of nothing, either. And a BLAS may compute with whatever lies beyond the
# edges of its tiles, and raise the flag of an invalid operation where every result is finite.
_silently = np.errstate(all="ignore")


@_silently
def forward(
    geometry: ConvGeometry, input: Array, weight: Array, bias: Array | None, output: Array
) -> None:
    """Write the convolution into `output`."""
    matrix = _matrix(geometry, weight)
    for samples, rows in _blocks(geometry, input.itemsize):
        product = matrix @ _columns(geometry, input, samples, rows)
        target = output[samples, :, rows]
        target[...] = product.reshape(target.shape)
    if bias is not None:
        output += bias.reshape(-1, *(1,) * len(geometry.kernel))


@_silently
def input_gradient(
    geometry: ConvGeometry, grad_output: Array, weight: Array, grad_input: Array
) -> None:
    """Write the gradient with respect to the input into `grad_input`."""
    matrix = _matrix(geometry, weight).swapaxes(1, 2)
    size, padding = geometry.in_size, geometry.padding
    padded = np.empty(0, grad_output.dtype)
    for samples, rows in _blocks(geometry, grad_output.itemsize):
        if rows.start == 0:
            shape = (samples.stop - samples.start, geometry.in_channels)
            padded = zeros(shape + padded_size(size, padding), grad_output.dtype)
        count = (rows.stop - rows.start, *geometry.out_size[1:])
        columns = matrix @ _residual(geometry, grad_output, samples, rows)
        add_windows(
            columns.reshape(*padded.shape[:2], *geometry.kernel, *count),
            padded[:, :, _span(geometry, rows)],
            geometry.kernel,
            geometry.stride,
            geometry.dilation,
            count,
        )
        if rows.stop == geometry.out_size[0]:
            grad_input[samples] = padded[inner(size, padding)]


@_silently
def weight_gradient(
    geometry: ConvGeometry, input: Array, grad_output: Array, grad_weight: Array
) -> None:
    """Write the gradient with respect to the weights into `grad_weight`."""
    # In double precision: the rounding errors of many blocks would add up.
    total = np.zeros(_matrix(geometry, grad_weight).shape)
    for samples, rows in _blocks(geometry, input.itemsize):
        columns = _columns(geometry, input, samples, rows)
        residual = _residual(geometry, grad_output, samples, rows)
        total += (residual @ columns.swapaxes(2, 3)).sum(axis=0, dtype=np.float64)
    grad_weight[...] = total.reshape(grad_weight.shape)


def workspace(
    operation: str, geometry: ConvGeometry, input: Array, weight: Array, output: Array
) -> int:
    """Return the bytes of a block's columns, which is most of what an operation takes."""
    samples, rows = next(_blocks(geometry, input.itemsize))
    positions: int = (
        (samples.stop - samples.start) * (rows.stop - rows.start) * prod(geometry.out_size[1:])
    )
    columns: int = geometry.in_channels * prod(geometry.kernel) * positions
    return columns * input.itemsize
