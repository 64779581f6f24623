"""Layers that make maps larger or smaller."""

from typing import Any

import numpy as np

from fastconv import _check
from fastconv import functional as F
from fastconv._check import Array
from fastconv._geometry import Ints
from fastconv.layers.base import Layer


class Upsample(Layer):
    """Interpolation to another size: `functional.interpolate`.

    Parameters
    ----------
    size : int or tuple of int, optional
        The spatial shape of the output.
    scale_factor : float or tuple of float, optional
        Or by what the sizes are multiplied.
    mode : str
        "nearest", "nearest-exact", "area", "linear", "bilinear", "bicubic" or "trilinear".
    align_corners, recompute_scale_factor : bool, optional
        As in `functional.interpolate`.
    coordinates, rounding : str, optional
        As in `functional.interpolate`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Upsample(scale_factor=2)(np.array([[[1.0, 3.0]]]))
    array([[[1., 1., 3., 3.]]])
    """

    def __init__(
        self,
        size: int | Ints | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
        *,
        coordinates: str | None = None,
        rounding: str | None = None,
    ) -> None:
        self.size = size
        self.scale_factor = scale_factor
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor
        self.coordinates = coordinates
        self.rounding = rounding

    def _arguments(self) -> dict[str, Any]:
        names = (
            "size", "scale_factor", "mode", "align_corners", "recompute_scale_factor",
            "coordinates", "rounding",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def _forward(self, x: Array) -> tuple[Array, Any]:
        output = F.interpolate(x, **self._arguments())
        return output, (x.shape, output.shape, output.dtype)

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        shape, *output = saved
        return F.interpolate_backward(_checked(grad_output, *output), shape, **self._arguments())

    def _describe(self) -> str:
        which = "size" if self.scale_factor is None else "scale_factor"
        return f"{which}={getattr(self, which)}, mode={self.mode!r}"


class PixelShuffle(Layer):
    """Pixels made of channels: `functional.pixel_shuffle`.

    Parameters
    ----------
    upscale_factor : int
        By what rows and columns are multiplied; its square divides the channels.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.PixelShuffle(2)(np.zeros((1, 8, 3, 3))).shape
    (1, 2, 6, 6)
    """

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = _check.integer("upscale_factor", upscale_factor, 1)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        output = F.pixel_shuffle(x, self.upscale_factor)
        return output, (output.shape, output.dtype)

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        return F.pixel_unshuffle(_checked(grad_output, *saved), self.upscale_factor)

    def _describe(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Layer):
    """Channels made of pixels: `functional.pixel_unshuffle`.

    Parameters
    ----------
    downscale_factor : int
        By what rows and columns are divided.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.PixelUnshuffle(2)(np.zeros((1, 2, 6, 6))).shape
    (1, 8, 3, 3)
    """

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = _check.integer("downscale_factor", downscale_factor, 1)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        output = F.pixel_unshuffle(x, self.downscale_factor)
        return output, (output.shape, output.dtype)

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        return F.pixel_shuffle(_checked(grad_output, *saved), self.downscale_factor)

    def _describe(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


def _checked(grad_output: Array, shape: Ints, dtype: np.dtype[Any]) -> Array:
    """Check a residual against the shape and dtype of the output."""
    grad_output = _check.array("grad_output", grad_output)
    _check.same_shape("grad_output", grad_output, shape, "output.shape")
    if grad_output.dtype != dtype:
        raise TypeError(f"grad_output must have dtype {dtype}, got {grad_output.dtype}")
    return grad_output
