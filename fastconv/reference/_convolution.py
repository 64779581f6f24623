"""Convolution and its gradients over any number of axes: what `conv2d` and the others are."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from fastconv.reference import padding as borders
from fastconv.reference import rectifiers
from fastconv.reference._arguments import Array, PerAxis, expect_axes, expect_shape, float_dtype
from fastconv.reference._windows import (
    Geometry,
    Padding,
    Pairs,
    correlate,
    last,
    pad,
    zero_fill,
)

Activation: TypeAlias = str | tuple[Any, ...] | None
ACTIVATIONS: dict[str, Callable[..., Array]] = {
    "relu": rectifiers.relu,
    "relu6": rectifiers.relu6,
    "hardtanh": rectifiers.hardtanh,
    "leaky_relu": rectifiers.leaky_relu,
}
Gradients: TypeAlias = tuple[Array | None, Array | None, Array | None]


def conv_nd(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Array:
    """Convolve over any number of spatial axes; see `conv2d`.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, *size) or (C, *size)
        Input maps.
    weight : numpy.ndarray of shape (K, C / groups, *kernel)
        Kernels.
    bias : numpy.ndarray of shape (K,), optional
        Biases.
    stride, padding, dilation, groups, padding_mode
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray of shape (N, K, *output) or (K, *output)
        The weighted input of the layer.
    """
    dtype = float_dtype(input=input, weight=weight, bias=bias)
    axes = weight.ndim - 2
    expect_axes("input", input.ndim, (axes + 1, axes + 2))
    if input.ndim == axes + 1:
        one = input[np.newaxis]
        steps = (stride, padding, dilation, groups, padding_mode)
        return conv_nd(one, weight, bias, *steps).squeeze(0)
    place = Geometry(input.shape, weight.shape, stride, padding, dilation, groups)
    padded = continued(input, place.pairs, padding_mode)
    z = np.concatenate(
        [
            correlate(padded[:, maps], weight[kernels], place.stride, place.dilation)
            for maps, kernels in place.groups
        ],
        axis=1,
    )
    if bias is not None:
        expect_shape("bias", bias, weight.shape[:1])
        z += bias.reshape(-1, *[1] * axes)
    return z.astype(dtype)


def ended(z: Array, residual: Array | None, activation: Activation) -> Array:
    """Add a residual to z, and return an activation of the sum.

    Parameters
    ----------
    z : numpy.ndarray
        Weighted input of a layer.
    residual : numpy.ndarray of z's shape, optional
        What is added.
    activation : str or tuple, optional
        The name of an activation, or a tuple of it and its numbers.

    Returns
    -------
    numpy.ndarray of z's shape
        The output of the layer.
    """
    if residual is not None:
        float_dtype(z=z, residual=residual)
        expect_shape("residual", residual, z.shape)
        z = z + residual
    if activation is None:
        return z
    name, *numbers = (activation,) if isinstance(activation, str) else activation
    return ACTIVATIONS[name](z, *numbers)


def conv_nd_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Array:
    """Compute the input gradient over any number of spatial axes; see `conv2d_input`.

    Parameters
    ----------
    input_size : sequence of int
        Shape of the input, (N, C, *size) or (C, *size).
    weight : numpy.ndarray of shape (K, C / groups, *kernel)
        Kernels.
    grad_output : numpy.ndarray of shape (N, K, *output) or (K, *output)
        Residual of this layer.
    stride, padding, dilation, groups, padding_mode
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray of shape `input_size`
        Residual of the previous layer.
    """
    dtype = float_dtype(weight=weight, grad_output=grad_output)
    axes = weight.ndim - 2
    expect_axes("input_size", len(input_size), (axes + 1, axes + 2))
    if len(input_size) == axes + 1:
        one = (1, *input_size)
        residual = grad_output[np.newaxis]
        steps = (stride, padding, dilation, groups, padding_mode)
        return conv_nd_input(one, weight, residual, *steps).squeeze(0)
    place = Geometry(input_size, weight.shape, stride, padding, dilation, groups)
    expect_shape("grad_output", grad_output, (input_size[0], weight.shape[0], *place.output))
    turned = np.flip(weight, axis=tuple(range(2, weight.ndim)))
    full = [(window - 1, window - 1) for window in place.windows]
    residual = pad(zero_fill(grad_output, place.stride), full)
    reached = np.concatenate(
        [
            correlate(
                residual[:, kernels], turned[kernels].swapaxes(0, 1), [1] * axes, place.dilation
            )
            for _, kernels in place.groups
        ],
        axis=1,
    )
    padded = np.zeros((*input_size[:2], *place.padded), dtype)
    padded[last(map(slice, reached.shape[2:]))] = reached
    if padding_mode == "zeros":
        return np.array(padded[last(place.inside)])
    return borders.pad_backward(padded, input_size, flat(place.pairs), padding_mode)


def conv_nd_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Array:
    """Compute the weight gradient over any number of spatial axes; see `conv2d_weight`.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, *size) or (C, *size)
        Input maps.
    weight_size : sequence of int
        Shape of the kernels, (K, C / groups, *kernel).
    grad_output : numpy.ndarray of shape (N, K, *output) or (K, *output)
        Residual of this layer.
    stride, padding, dilation, groups, padding_mode
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray of shape `weight_size`
        The gradient of the kernels.
    """
    dtype = float_dtype(input=input, grad_output=grad_output)
    axes = len(weight_size) - 2
    expect_axes("input", input.ndim, (axes + 1, axes + 2))
    if input.ndim == axes + 1:
        one, residual = input[np.newaxis], grad_output[np.newaxis]
        steps = (stride, padding, dilation, groups, padding_mode)
        return conv_nd_weight(one, weight_size, residual, *steps)
    place = Geometry(input.shape, weight_size, stride, padding, dilation, groups)
    expect_shape("grad_output", grad_output, (len(input), weight_size[0], *place.output))
    # The sum runs over the samples, so they take the place of the channels.
    samples = continued(input, place.pairs, padding_mode).swapaxes(0, 1)
    residual = grad_output.swapaxes(0, 1)
    by_map = [
        correlate(samples[maps], residual[kernels], stride=place.dilation, dilation=place.stride)
        for maps, kernels in place.groups
    ]
    grad_weight = np.concatenate([sums.swapaxes(0, 1) for sums in by_map])
    # Cells left over at the end, where the stride does not divide, would give further sums.
    return np.array(grad_weight[last(map(slice, weight_size[2:]))], dtype)


def conv_nd_bias(grad_output: Array, axes: int) -> Array:
    """Compute the bias gradient over any number of spatial axes; see `conv2d_bias`.

    Parameters
    ----------
    grad_output : numpy.ndarray of shape (N, K, *output) or (K, *output)
        Residual of the layer.
    axes : int
        The number of spatial axes.

    Returns
    -------
    numpy.ndarray of shape (K,)
        The gradient of the biases.
    """
    dtype = float_dtype(grad_output=grad_output)
    expect_axes("grad_output", grad_output.ndim, (axes + 1, axes + 2))
    kernels = grad_output.ndim - axes - 1
    others = tuple(axis for axis in range(grad_output.ndim) if axis != kernels)
    return np.asarray(grad_output.sum(axis=others, dtype=np.float64), dtype)


def conv_nd_backward(
    input: Array,
    weight: Array,
    grad_output: Array,
    stride: PerAxis,
    padding: Padding,
    dilation: PerAxis,
    groups: int,
    padding_mode: str,
    output_mask: tuple[bool, bool, bool],
    skip: Array | None,
) -> Gradients:
    """Compute all three gradients over any number of spatial axes; see `conv2d_backward`.

    Parameters
    ----------
    input, weight, grad_output
        Input maps, kernels and residual as in `conv_nd_input` and `conv_nd_weight`.
    stride, padding, dilation, groups, padding_mode, output_mask, skip
        As in `conv2d_backward`.

    Returns
    -------
    grad_input, grad_weight, grad_bias : numpy.ndarray or None
        The gradients; None where not wanted.
    """
    float_dtype(input=input, weight=weight, grad_output=grad_output)
    geometry = (stride, padding, dilation, groups, padding_mode)
    wants_input, wants_weight, wants_bias = output_mask
    grad_input = None
    if wants_input:
        grad_input = conv_nd_input(input.shape, weight, grad_output, *geometry)
        if skip is not None:
            grad_input = grad_input + skip
    return (
        grad_input,
        conv_nd_weight(input, weight.shape, grad_output, *geometry) if wants_weight else None,
        conv_nd_bias(grad_output, weight.ndim - 2) if wants_bias else None,
    )


def continued(maps: Array, pairs: Pairs, padding_mode: str) -> Array:
    """Put cells round maps: zeros, or what the mode says.

    Parameters
    ----------
    maps : numpy.ndarray of shape (N, C, *size)
        What is padded.
    pairs : list of (int, int)
        Cells before and after each spatial axis.
    padding_mode : str
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray
        The padded maps.
    """
    if padding_mode == "zeros":
        return pad(maps, pairs)
    return borders.pad(maps, flat(pairs), padding_mode)


def flat(pairs: Pairs) -> list[int]:
    """Return the pairs as `fastconv.reference.pad` takes them, those of the last axis first."""
    return [cells for pair in reversed(pairs) for cells in pair]
