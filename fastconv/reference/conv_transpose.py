"""Transposed convolution, written as in the lectures.

Each input lays a copy of the kernels, weighted by itself, on the output, `stride` apart from its
neighbour's, and what overlaps is added. Seen from a tap of the kernel, that is one product of
numbers for every place: `taps` says where it lays the inputs.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastconv._docs import described_like
from fastconv.reference._arguments import (
    Array,
    PerAxis,
    expect_axes,
    expect_shape,
    float_dtype,
    per_axis,
)
from fastconv.reference._windows import (
    Padding,
    extent,
    group_slices,
    inside,
    last,
    padding_pairs,
)


def conv_transpose2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
) -> Array:
    """Lay a copy of the kernels on the output for each input: the transpose of `conv2d`.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Input maps a, float32 or float64.
    weight : numpy.ndarray of shape (C, K / groups, R, S)
        Kernels w.
    bias : numpy.ndarray of shape (K,), optional
        One bias b for each output map.
    stride : int or sequence of int, default 1
        Cells between the copies of two neighbouring inputs.
    padding : int, "valid", sequence of int or sequence of pairs, default 0
        Cells cut off from the result: one int, one int or (before, after) pair for each axis, or
        "valid" for none.
    output_padding : int or sequence of int, default 0
        Cells added at the end of each axis, less than the stride or the dilation.
    groups : int, default 1
        Kernels of one group see the input channels of that group only.
    dilation : int or sequence of int, default 1
        Distance of two neighbours of the kernel when laid on the output.

    Returns
    -------
    numpy.ndarray of shape (N, K, OH, OW) or (K, OH, OW)
        The weighted input z of the layer.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    TypeError
        If the arrays are not all float32 or all float64.

    Notes
    -----
    With stride s and dilation d, before the padding is cut off::

        z[n, k, i s + r d, j s + q d] += a[n, c, i, j] w[c, k, r, q]   for all c, i, j, r, q

    (Dumoulin and Visin, arXiv 1603.07285, section 4).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv_transpose2d
    >>> conv_transpose2d(np.array([[[1.0, 2]]]), np.array([[[[1.0, 10], [3, 30]]]]))
    array([[[ 1., 12., 20.],
            [ 3., 36., 60.]]])
    """
    expect_axes("weight", weight.ndim, (4,))
    return conv_transpose_nd(input, weight, bias, stride, padding, output_padding, groups, dilation)


@described_like(conv_transpose2d, 1)
def conv_transpose1d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
) -> Array:
    """Lay a copy of the kernels on the output for each input of a sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv_transpose1d
    >>> conv_transpose1d(np.array([[1.0, 2]]), np.array([[[1.0, 10, 100]]]), stride=2)
    array([[  1.,  10., 102.,  20., 200.]])
    """
    expect_axes("weight", weight.ndim, (3,))
    return conv_transpose_nd(input, weight, bias, stride, padding, output_padding, groups, dilation)


@described_like(conv_transpose2d, 3)
def conv_transpose3d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
) -> Array:
    """Lay a copy of the kernels on the output for each input of a volume.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv_transpose3d
    >>> conv_transpose3d(np.full((1, 1, 1, 1), 3.0), np.ones((1, 1, 1, 2, 2)))
    array([[[[3., 3.],
             [3., 3.]]]])
    """
    expect_axes("weight", weight.ndim, (5,))
    return conv_transpose_nd(input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose_nd(
    input: Array,
    weight: Array,
    bias: Array | None,
    stride: PerAxis,
    padding: Padding,
    output_padding: PerAxis,
    groups: int,
    dilation: PerAxis,
) -> Array:
    """Compute the transposed convolution over any number of axes; see `conv_transpose2d`.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, *size) or (C, *size)
        Input maps.
    weight : numpy.ndarray of shape (C, K / groups, *kernel)
        Kernels.
    bias : numpy.ndarray of shape (K,), optional
        Biases.
    stride, padding, output_padding, groups, dilation
        As in `conv_transpose2d`.

    Returns
    -------
    numpy.ndarray of shape (N, K, *output) or (K, *output)
        The weighted input of the layer.
    """
    dtype = float_dtype(input=input, weight=weight, bias=bias)
    axes = weight.ndim - 2
    arguments = (stride, padding, output_padding, groups, dilation)
    expect_axes("input", input.ndim, (axes + 1, axes + 2))
    if input.ndim == axes + 1:
        return conv_transpose_nd(input[np.newaxis], weight, bias, *arguments).squeeze(0)
    place = TransposedGeometry(input.shape, weight.shape, *arguments)
    a, w = input.astype(np.float64), weight.astype(np.float64)
    whole = np.zeros((len(a), place.kernels, *place.whole))
    for maps, kernels in place.groups:
        for tap, places in place.taps():
            whole[:, kernels][places] += np.einsum("nc...,ck->nk...", a[:, maps], w[maps][tap])
    if bias is not None:
        expect_shape("bias", bias, (place.kernels,))
        whole += bias.reshape(-1, *[1] * axes)
    return np.array(whole[last(place.inside)], dtype)


class TransposedGeometry:
    """Where the kernels of one transposed convolution lie: its arguments spread over the axes.

    Parameters
    ----------
    input_size : sequence of int
        Shape of the input, (N, C, *size).
    weight_size : sequence of int
        Shape of the kernels, (C, K / groups, *kernel).
    stride, padding, output_padding, groups, dilation
        As in `conv_transpose2d`.

    Raises
    ------
    ValueError
        If they do not fit together.
    """

    def __init__(
        self,
        input_size: Sequence[int],
        weight_size: Sequence[int],
        stride: PerAxis,
        padding: Padding,
        output_padding: PerAxis,
        groups: int,
        dilation: PerAxis,
    ) -> None:
        size, axes = tuple(input_size[2:]), len(input_size) - 2
        self.kernel = per_axis("kernel size", tuple(weight_size[2:]), axes)
        self.stride = per_axis("stride", stride, axes)
        self.dilation = per_axis("dilation", dilation, axes)
        added = per_axis("output_padding", output_padding, axes, 0)
        if input_size[1] != weight_size[0]:
            raise ValueError(f"weight has {weight_size[0]} channels, the input {input_size[1]}")
        if min(size) < 1:
            raise ValueError(f"input has size {size}, expected at least 1 on each axis")
        for cells, step, apart in zip(added, self.stride, self.dilation, strict=True):
            if cells >= max(step, apart):
                raise ValueError(
                    f"output_padding is {cells}, expected less than the stride {step} or the "
                    f"dilation {apart}"
                )
        # The output channels of all groups.
        self.kernels = weight_size[1] * groups
        self.groups = group_slices(input_size[1], self.kernels, groups)
        self.size = size
        self.pairs = padding_pairs(
            padding, size, self.kernel, self.stride, self.dilation, ["valid"]
        )
        # Before the padding is cut off.
        self.whole = [
            extent(n, s) + extent(k, d) - 1 + cells
            for n, s, k, d, cells in zip(
                size, self.stride, self.kernel, self.dilation, added, strict=True
            )
        ]
        self.output = tuple(
            length - before - after
            for length, (before, after) in zip(self.whole, self.pairs, strict=True)
        )
        if min(self.output) < 1:
            raise ValueError(f"the output would have size {self.output}")
        self.inside = inside(self.pairs, self.output)

    def taps(self) -> Iterator[tuple[Any, Any]]:
        """Yield each tap of the kernels, and where it lays the inputs on the whole output.

        Yields
        ------
        tap, places
            Indices of the last axes of the kernels and of the output.
        """
        for tap in np.ndindex(self.kernel):
            yield (
                last(tap),
                last(
                    slice(r * d, r * d + extent(n, s), s)
                    for r, d, n, s in zip(tap, self.dilation, self.size, self.stride, strict=True)
                ),
            )
