"""Layers that change the shape of an array, or not even that."""

from math import prod
from typing import Any

from fastconv import _check
from fastconv._check import Array
from fastconv._geometry import Ints
from fastconv.layers.base import Layer


class Identity(Layer):
    """Return the input itself: the shortcut of a residual block.

    Parameters
    ----------
    *args, **kwargs
        Anything, which is ignored, so that it can stand for any other layer.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Identity()(np.ones(2))
    array([1., 1.])
    """

    _passes_on = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def _forward(self, x: Array) -> tuple[Array, Ints]:
        x = _check.array("input", x)
        return x, x.shape

    def _backward(self, saved: Ints, grad_output: Array, input_grad: bool) -> Array:
        grad_output = _check.array("grad_output", grad_output)
        _check.same_shape("grad_output", grad_output, saved, "the output's shape")
        return grad_output


class Reshaping(Layer):
    """What gives an array another shape, of which `_reshaped` tells by the shape before."""

    _passes_on = True

    def _reshaped(self, shape: Ints) -> Ints:
        raise NotImplementedError

    def _forward(self, x: Array) -> tuple[Array, tuple[Ints, Ints]]:
        x = _check.array("input", x)
        shape = self._reshaped(x.shape)
        return x.reshape(shape), (x.shape, shape)

    def _backward(self, saved: tuple[Ints, Ints], grad_output: Array, input_grad: bool) -> Array:
        in_shape, out_shape = saved
        grad_output = _check.array("grad_output", grad_output)
        _check.same_shape("grad_output", grad_output, out_shape, "the output's shape")
        return grad_output.reshape(in_shape)


class Flatten(Reshaping):
    """Join the axes from `start_dim` to `end_dim` into one, (N, C, H, W) to (N, C*H*W).

    Parameters
    ----------
    start_dim, end_dim : int
        The first and last of the axes to join; negative ones count from the end.

    Raises
    ------
    TypeError, ValueError
        If an argument is not an integer, or (in forward) the input has no such axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Flatten()(np.zeros((8, 16, 5, 5))).shape
    (8, 400)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = _check.integer("start_dim", start_dim, -_check.MAX_INT)
        self.end_dim = _check.integer("end_dim", end_dim, -_check.MAX_INT)

    def _reshaped(self, shape: Ints) -> Ints:
        start = self.start_dim + (len(shape) if self.start_dim < 0 else 0)
        end = self.end_dim + (len(shape) if self.end_dim < 0 else 0)
        if not 0 <= start <= end < len(shape):
            raise ValueError(
                f"Flatten({self.start_dim}, {self.end_dim}) cannot join axes of an input of shape "
                f"{shape}"
            )
        return (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :])

    def _describe(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Reshaping):
    """Split one axis into several, (N, C*H*W) to (N, C, H, W).

    Parameters
    ----------
    dim : int
        The axis; a negative one counts from the end.
    unflattened_size : tuple of int
        The lengths of the new axes, of which one may be -1: what is left.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value, or (in forward) the axis cannot be split so.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Unflatten(1, (16, 5, -1))(np.zeros((8, 400))).shape
    (8, 16, 5, 5)
    """

    def __init__(self, dim: int, unflattened_size: Ints) -> None:
        self.dim = _check.integer("dim", dim, -_check.MAX_INT)
        if not isinstance(unflattened_size, tuple | list) or not unflattened_size:
            raise TypeError(
                f"unflattened_size must be a tuple of integers, got {unflattened_size!r}"
            )
        self.unflattened_size = tuple(
            _check.integer(f"unflattened_size[{i}]", length, -1)
            for i, length in enumerate(unflattened_size)
        )
        if self.unflattened_size.count(-1) > 1:
            raise ValueError(f"unflattened_size may have one -1, got {unflattened_size!r}")

    def _reshaped(self, shape: Ints) -> Ints:
        dim = self.dim + (len(shape) if self.dim < 0 else 0)
        if not 0 <= dim < len(shape):
            raise ValueError(f"{self!r} cannot split an axis of an input of shape {shape}")
        known = prod(length for length in self.unflattened_size if length != -1)
        left = shape[dim] // known if known else 0
        sizes = tuple(left if length == -1 else length for length in self.unflattened_size)
        if prod(sizes) != shape[dim]:
            raise ValueError(
                f"{self!r} cannot split axis {dim}, of length {shape[dim]}, of an input of shape "
                f"{shape}"
            )
        return (*shape[:dim], *sizes, *shape[dim + 1 :])

    def _describe(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
