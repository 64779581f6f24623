"""Max pooling undone, over one, two and three axes, and its gradients."""

from fastconv import _check
from fastconv._check import Array, PerAxis
from fastconv._docs import described_like
from fastconv._geometry import Ints
from fastconv._pool_geometry import unpooled_size
from fastconv.engine.ops import places
from fastconv.functional._pooling import Indices, float_maps, from_places, to_places


def max_unpool2d(
    input: Array,
    indices: Indices,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    output_size: Ints | None = None,
    *,
    out: Array | None = None,
) -> Array:
    """Write each maximum back to the place where it was, and zeros everywhere else.

    Parameters
    ----------
    input : ndarray, shape (N, C, OH, OW) or (C, OH, OW)
        Maxima of float32 or float64; any strides.
    indices : ndarray of int64, same shape
        Their places, as `max_pool2d` returns them. The last of several maxima with one place
        counts.
    kernel_size, stride, padding : int or tuple of int
        Those of the pooling that is undone.
    output_size : tuple of int, optional
        Size of the result, with or without samples and channels; by default (size - 1)*stride -
        2*padding + kernel_size on each axis, from which it may differ by less than a stride.
    out : ndarray, optional
        As in `max_pool2d`.

    Returns
    -------
    ndarray, shape (N, C, H, W) or (C, H, W)
        The maxima in their places.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, the sizes do not fit together, or an index lies outside
        the map.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.max_unpool2d(np.array([[[7.0, 3]]]), np.array([[[1, 6]]]), 2)
    array([[[0., 7., 0., 0.],
            [0., 0., 3., 0.]]])
    """
    input = float_maps(input, 2)
    size = _size(input.shape, 2, kernel_size, stride, padding, output_size)
    return to_places(places.write_places, "input", input, indices, "output_size", size, 2, out)


@described_like(max_unpool2d, 1)
def max_unpool1d(
    input: Array,
    indices: Indices,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    output_size: Ints | None = None,
    *,
    out: Array | None = None,
) -> Array:
    """Write each maximum of a sequence back to the place where it was.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.max_unpool1d(np.array([[7.0, 3]]), np.array([[1, 2]]), 2, output_size=(5,))
    array([[0., 7., 3., 0., 0.]])
    """
    input = float_maps(input, 1)
    size = _size(input.shape, 1, kernel_size, stride, padding, output_size)
    return to_places(places.write_places, "input", input, indices, "output_size", size, 1, out)


@described_like(max_unpool2d, 3)
def max_unpool3d(
    input: Array,
    indices: Indices,
    kernel_size: PerAxis,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    output_size: Ints | None = None,
    *,
    out: Array | None = None,
) -> Array:
    """Write each maximum of a volume back to the place where it was.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.max_unpool3d(np.full((1, 1, 1, 1), 7.0), np.array([[[[2]]]]), (1, 2, 2))
    array([[[[0., 0.],
             [7., 0.]]]])
    """
    input = float_maps(input, 3)
    size = _size(input.shape, 3, kernel_size, stride, padding, output_size)
    return to_places(places.write_places, "input", input, indices, "output_size", size, 3, out)


def max_unpool2d_backward(
    grad_output: Array,
    indices: Indices,
    *,
    out: Array | None = None,
) -> Array:
    """Read the residual of each maximum from the place where it was written.

    Parameters
    ----------
    grad_output : ndarray, shape (N, C, H, W) or (C, H, W)
        Gradient with respect to the output of `max_unpool2d`.
    indices : ndarray of int64, shape (N, C, OH, OW) or (C, OH, OW)
        The places that `max_unpool2d` was given.
    out : ndarray, optional
        As in `max_pool2d`.

    Returns
    -------
    ndarray, shape of `indices`
        The residuals. Of several maxima with one place each gets that of the last.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, the shapes do not fit together, or an index lies outside
        the map.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.max_unpool2d_backward(np.arange(8.0).reshape(1, 2, 4), np.array([[[1, 6]]]))
    array([[[1., 6.]]])
    """
    return from_places(grad_output, indices, 2, out)


@described_like(max_unpool2d_backward, 1)
def max_unpool1d_backward(
    grad_output: Array,
    indices: Indices,
    *,
    out: Array | None = None,
) -> Array:
    """Read the residual of each maximum of a sequence from where it was written.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.max_unpool1d_backward(np.arange(4.0).reshape(1, 4), np.array([[1, 2]]))
    array([[1., 2.]])
    """
    return from_places(grad_output, indices, 1, out)


@described_like(max_unpool2d_backward, 3)
def max_unpool3d_backward(
    grad_output: Array,
    indices: Indices,
    *,
    out: Array | None = None,
) -> Array:
    """Read the residual of each maximum of a volume from where it was written.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.max_unpool3d_backward(np.arange(8.0).reshape(1, 2, 2, 2), np.array([[[[6]]]]))
    array([[[[6.]]]])
    """
    return from_places(grad_output, indices, 3, out)


def _size(
    shape: Ints,
    axes: int,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PerAxis,
    output_size: Ints | None,
) -> Ints:
    """Return the shape of the result."""
    kernel = _check.integers("kernel_size", kernel_size, axes, 1)
    steps = kernel if stride is None else _check.integers("stride", stride, axes, 1)
    pads = _check.integers("padding", padding, axes, 0)
    wanted = None
    if output_size is not None:
        wanted = _check.spatial_size("output_size", output_size, axes, len(shape))
    return shape[:-axes] + unpooled_size(shape[-axes:], kernel, steps, pads, wanted)
