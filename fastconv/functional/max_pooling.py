"""Max pooling over one, two and three axes, and its gradients.

Windows that overlap (A. Krizhevsky et al., 2012, section 3.4), padding, dilation and ceil_mode work
as in torch. Positions outside the input take no part in a maximum.
"""

from typing import Any, Literal, overload

from fastconv._check import Array, PaddingLike, PerAxis
from fastconv._docs import described_like
from fastconv._geometry import Ints
from fastconv.engine.ops import places
from fastconv.functional._pooling import Indices, any_maps, max_windows, pool_plan, to_places


@overload
def max_pool2d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool | str = False,
    return_indices: Literal[False] = False,
    *,
    out: Array | None = None,
) -> Array: ...


@overload
def max_pool2d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool | str = False,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any: ...


def max_pool2d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool | str = False,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any:
    """Return the maximum of each window.

    Parameters
    ----------
    input : ndarray, shape (N, C, H, W) or (C, H, W)
        Maps of float32, float64, uint8 or int8; any strides.
    kernel_size : int or tuple of int
        Size of the window.
    stride : int or tuple of int, optional
        Distance between windows; `kernel_size` by default. Less makes them overlap.
    padding : int, tuple, or str
        Positions around the input, as in `conv2d` ("full" apart), of any size with which each
        window still holds a position of the input; torch allows half a window. They never are the
        maximum.
    dilation : int or tuple of int
        Distance between the positions of a window.
    ceil_mode : bool or "onnx"
        True lets a last window hang over the end of the padded input, if it begins before that end
        and not in the padding after it. That is torch's rule, and ONNX's where the padding is given
        in numbers; "onnx" is ONNX's with a word, too, which alone says how many windows there are.
    return_indices : bool
        Return the places of the maxima, too.
    out : ndarray, optional
        Where to write the maxima. It is contiguous along the spatial axes; the strides of samples
        and channels are free.

    Returns
    -------
    output : ndarray, shape (N, C, OH, OW) or (C, OH, OW)
        The maxima, of the input's dtype.
    indices : ndarray of int64, same shape
        Only with `return_indices`: the place of each maximum in its map, flat in C order. The first
        of equal maxima counts; a NaN counts as larger than any number, and the first one wins.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or the sizes do not fit together; also if a window would
        hold no position of the input, by too much padding or a dilation larger than the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> z = np.array([[[1.0, 8, 4, 3], [7, 2, 1, 9], [6, 1, 2, 4], [8, 7, 6, 0]]])
    >>> maxima, indices = F.max_pool2d(z, 2, return_indices=True)
    >>> maxima
    array([[[8., 9.],
            [8., 6.]]])
    >>> indices
    array([[[ 1,  7],
            [12, 14]]])
    """
    input = any_maps(input, 2)
    plan = pool_plan(input.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode)
    return max_windows(plan, None, input, return_indices, out)


@overload
def max_pool1d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool | str = False,
    return_indices: Literal[False] = False,
    *,
    out: Array | None = None,
) -> Array: ...


@overload
def max_pool1d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool | str = False,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any: ...


@described_like(max_pool2d, 1)
def max_pool1d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool | str = False,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any:
    """Return the maximum of each window of a sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.max_pool1d(np.array([[1.0, 8, 4, 3, 7, 2]]), 3, 2)
    array([[8., 7.]])
    """
    input = any_maps(input, 1)
    plan = pool_plan(input.shape[-1:], kernel_size, stride, padding, dilation, ceil_mode)
    return max_windows(plan, None, input, return_indices, out)


@overload
def max_pool3d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool | str = False,
    return_indices: Literal[False] = False,
    *,
    out: Array | None = None,
) -> Array: ...


@overload
def max_pool3d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool | str = False,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any: ...


@described_like(max_pool2d, 3)
def max_pool3d(
    input: Array,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool | str = False,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any:
    """Return the maximum of each window of a volume.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.max_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 2, return_indices=True)
    (array([[[[7.]]]]), array([[[[7]]]]))
    """
    input = any_maps(input, 3)
    plan = pool_plan(input.shape[-3:], kernel_size, stride, padding, dilation, ceil_mode)
    return max_windows(plan, None, input, return_indices, out)


def max_pool2d_backward(
    grad_output: Array,
    indices: Indices,
    input_size: Ints,
    *,
    out: Array | None = None,
) -> Array:
    """Route each residual back to the place of its maximum.

    Where windows overlap, the residuals that meet in one place are added, one after the other: the
    error is at most their number times eps times the sum of their absolute values.

    Parameters
    ----------
    grad_output : ndarray, shape (N, C, OH, OW) or (C, OH, OW)
        Gradient with respect to the output of `max_pool2d`.
    indices : ndarray of int64, same shape
        The places of the maxima, as `max_pool2d` returns them.
    input_size : tuple of int, (N, C, H, W) or (C, H, W)
        Shape of the input.
    out : ndarray, optional
        As in `max_pool2d`.

    Returns
    -------
    ndarray, shape `input_size`
        Zero where no maximum was.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, the shapes do not fit together, or an index lies outside
        the map.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> residual = np.array([[[7.0, 3], [1, 4]]])
    >>> F.max_pool2d_backward(residual, np.array([[[1, 7], [12, 14]]]), (1, 4, 4))
    array([[[0., 7., 0., 0.],
            [0., 0., 0., 3.],
            [0., 0., 0., 0.],
            [1., 0., 4., 0.]]])
    """
    return to_places(
        places.add_places, "grad_output", grad_output, indices, "input_size", input_size, 2, out
    )


@described_like(max_pool2d_backward, 1)
def max_pool1d_backward(
    grad_output: Array,
    indices: Indices,
    input_size: Ints,
    *,
    out: Array | None = None,
) -> Array:
    """Route each residual of a sequence back to the place of its maximum.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.max_pool1d_backward(np.array([[7.0, 3]]), np.array([[1, 1]]), (1, 4))
    array([[ 0., 10.,  0.,  0.]])
    """
    return to_places(
        places.add_places, "grad_output", grad_output, indices, "input_size", input_size, 1, out
    )


@described_like(max_pool2d_backward, 3)
def max_pool3d_backward(
    grad_output: Array,
    indices: Indices,
    input_size: Ints,
    *,
    out: Array | None = None,
) -> Array:
    """Route each residual of a volume back to the place of its maximum.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.max_pool3d_backward(np.full((1, 1, 1, 1), 5.0), np.array([[[[3]]]]), (1, 2, 2, 1))
    array([[[[0.],
             [0.]],
            [[0.],
             [5.]]]])
    """
    return to_places(
        places.add_places, "grad_output", grad_output, indices, "input_size", input_size, 3, out
    )
