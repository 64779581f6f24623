"""Convolution and its three gradients, written as in the lectures.

Every function with `2d` in its name is a thin name for one that works on any number of spatial
axes. A residual is the gradient of the loss J with respect to the weighted input z of a layer.
"""

from collections.abc import Sequence

import numpy as np

from fastconv.reference._arguments import Array, PerAxis, expect_axes, expect_shape, float_dtype
from fastconv.reference._windows import Geometry, Padding, correlate, last, pad, zero_fill


def conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Convolve maps with kernels: the forward pass.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Input maps a, float32 or float64.
    weight : numpy.ndarray of shape (K, C / groups, R, S)
        Kernels w.
    bias : numpy.ndarray of shape (K,), optional
        One bias b for each kernel.
    stride : int or sequence of int, default 1
        Cells between two positions of the kernel.
    padding : int, str, sequence of int or sequence of pairs, default 0
        Zeros round the input: one int, one int or (before, after) pair for each axis, "valid",
        "same", "same_lower" or "full".
    dilation : int or sequence of int, default 1
        Distance of two neighbours of the kernel when laid on the input.
    groups : int, default 1
        Kernels of one group see the input channels of that group only.

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
    With a padded by zeros, stride s and dilation d::

        z[n, k, i, j] = b[k] + sum_c sum_r sum_q a[n, c, i s + r d, j s + q d] w[k, c, r, q]

    As in all of deep learning this is a cross-correlation: the kernel is not turned (LeCun et
    al., Proc. IEEE 86, 1998; Dumoulin and Visin, arXiv 1603.07285).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv2d
    >>> a = np.array([[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]])
    >>> w = np.array([[[[1.0, 0], [0, 10]]]])
    >>> conv2d(a, w)
    array([[[51., 62.],
            [84., 95.]]])
    """
    expect_axes("weight", weight.ndim, (4,))
    return conv_nd(input, weight, bias, stride, padding, dilation, groups)


def conv2d_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Compute the gradient with respect to the input: the residual of the previous layer.

    Parameters
    ----------
    input_size : sequence of int
        Shape of the input, (N, C, H, W) or (C, H, W).
    weight : numpy.ndarray of shape (K, C / groups, R, S)
        Kernels w.
    grad_output : numpy.ndarray of shape (N, K, OH, OW) or (K, OH, OW)
        Residual delta of this layer.
    stride, padding, dilation, groups
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray of shape `input_size`
        dJ/da.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    TypeError
        If the arrays are not all float32 or all float64.

    Notes
    -----
    The residual, its cells pulled `stride` apart with zeros between, is padded with zeros in
    full mode and correlated with each kernel turned by 180 degrees, summed over the kernels::

        dJ/da[n, c] = sum_k  full(zero_fill(delta[n, k])) * rot180(w[k, c])

    Cells of the padded input that no window reaches get zero, and the padding is cropped away
    (Dumoulin and Visin, arXiv 1603.07285, section 4).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv2d_input
    >>> w = np.array([[[[1.0, 2], [3, 4]]]])
    >>> residual = np.array([[[1.0, 0], [0, 10]]])
    >>> conv2d_input((1, 3, 3), w, residual)
    array([[[ 1.,  2.,  0.],
            [ 3., 14., 20.],
            [ 0., 30., 40.]]])
    """
    expect_axes("weight", weight.ndim, (4,))
    return conv_nd_input(input_size, weight, grad_output, stride, padding, dilation, groups)


def conv2d_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Compute the gradient with respect to the kernels.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Input maps a.
    weight_size : sequence of int
        Shape of the kernels, (K, C / groups, R, S).
    grad_output : numpy.ndarray of shape (N, K, OH, OW) or (K, OH, OW)
        Residual delta of this layer.
    stride, padding, dilation, groups
        As in `conv2d`.

    Returns
    -------
    numpy.ndarray of shape `weight_size`
        dJ/dw.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    TypeError
        If the arrays are not all float32 or all float64.

    Notes
    -----
    The padded input is correlated with the residual, whose cells lie `stride` apart; the result
    is taken at every `dilation`-th place and summed over the samples::

        dJ/dw[k, c, r, q] = sum_n sum_i sum_j a[n, c, i s + r d, j s + q d] delta[n, k, i, j]

    So stride and dilation change places: it is the forward sum with the residual as the kernel.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv2d_weight
    >>> a = np.array([[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]])
    >>> residual = np.array([[[1.0, 0], [0, 10]]])
    >>> conv2d_weight(a, (1, 1, 2, 2), residual)
    array([[[[51., 62.],
             [84., 95.]]]])
    """
    expect_axes("weight_size", len(weight_size), (4,))
    return conv_nd_weight(input, weight_size, grad_output, stride, padding, dilation, groups)


def conv2d_bias(grad_output: Array) -> Array:
    """Compute the gradient with respect to the biases.

    Parameters
    ----------
    grad_output : numpy.ndarray of shape (N, K, OH, OW) or (K, OH, OW)
        Residual delta of the layer.

    Returns
    -------
    numpy.ndarray of shape (K,)
        dJ/db.

    Raises
    ------
    ValueError
        If the residual has another number of axes.
    TypeError
        If it is not an array of float32 or float64.

    Notes
    -----
    The same bias is added at every place of a map, so its gradient is the residual's sum::

        dJ/db[k] = sum_n sum_i sum_j delta[n, k, i, j]

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv2d_bias
    >>> conv2d_bias(np.array([[[1.0, 2], [3, 4]]]))
    array([10.])
    """
    return conv_nd_bias(grad_output, 2)


def conv2d_backward(
    input: Array,
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Compute all three gradients of `conv2d`.

    Parameters
    ----------
    input : numpy.ndarray of shape (N, C, H, W) or (C, H, W)
        Input maps a.
    weight : numpy.ndarray of shape (K, C / groups, R, S)
        Kernels w.
    grad_output : numpy.ndarray of shape (N, K, OH, OW) or (K, OH, OW)
        Residual delta of this layer.
    stride, padding, dilation, groups
        As in `conv2d`.
    output_mask : tuple of three bool, default (True, True, True)
        Which of the gradients are wanted.

    Returns
    -------
    grad_input, grad_weight, grad_bias : numpy.ndarray or None
        The gradients; None where not wanted.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    TypeError
        If the arrays are not all float32 or all float64.

    See Also
    --------
    conv2d_input, conv2d_weight, conv2d_bias

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import conv2d_backward
    >>> a, w, residual = np.full((1, 2, 2), 3.0), np.full((1, 1, 2, 2), 5.0), np.ones((1, 1, 1))
    >>> conv2d_backward(a, w, residual, output_mask=(True, False, True))
    (array([[[5., 5.],
            [5., 5.]]]), None, array([1.]))
    """
    float_dtype(input=input, weight=weight, grad_output=grad_output)
    geometry = (stride, padding, dilation, groups)
    wants_input, wants_weight, wants_bias = output_mask
    return (
        conv2d_input(input.shape, weight, grad_output, *geometry) if wants_input else None,
        conv2d_weight(input, weight.shape, grad_output, *geometry) if wants_weight else None,
        conv2d_bias(grad_output) if wants_bias else None,
    )


def conv_nd(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
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
    stride, padding, dilation, groups
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
        return conv_nd(one, weight, bias, stride, padding, dilation, groups).squeeze(0)
    place = Geometry(input.shape, weight.shape, stride, padding, dilation, groups)
    padded = pad(input, place.pairs)
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


def conv_nd_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
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
    stride, padding, dilation, groups
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
        gradient = conv_nd_input(one, weight, residual, stride, padding, dilation, groups)
        return gradient.squeeze(0)
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
    return np.array(padded[last(place.inside)])


def conv_nd_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
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
    stride, padding, dilation, groups
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
        return conv_nd_weight(one, weight_size, residual, stride, padding, dilation, groups)
    place = Geometry(input.shape, weight_size, stride, padding, dilation, groups)
    expect_shape("grad_output", grad_output, (len(input), weight_size[0], *place.output))
    # The sum runs over the samples, so they take the place of the channels.
    samples = pad(input, place.pairs).swapaxes(0, 1)
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
