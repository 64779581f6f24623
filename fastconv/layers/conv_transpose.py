"""The layers of transposed convolution."""

from copy import copy
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _check
from fastconv._check import Array, PaddingLike, PerAxis, Random
from fastconv._docs import described_like
from fastconv._geometry import Ints, added_output, resolve_padding
from fastconv.layers._convolution import Convolution
from fastconv.layers.summary import Cost


class _ConvTranspose(Convolution):
    """A transposed convolution."""

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: PaddingLike = 0,
        output_padding: PerAxis = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: PerAxis = 1,
        padding_mode: str = "zeros",
        *,
        dtype: DTypeLike = np.float32,
        rng: Random = None,
        init: str = "torch",
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(
                f"padding_mode of a transposed convolution must be 'zeros', got {padding_mode!r}"
            )
        self.output_padding = _check.integers("output_padding", output_padding, self.axes, 0)
        channels = in_channels, out_channels
        steps = stride, padding, dilation, groups
        self._set_up(channels, kernel_size, *steps, bias, dtype, rng, init)

    def _arguments(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "padding": self.padding,
            "output_padding": self.output_padding,
            "groups": self.groups,
            "dilation": self.dilation,
        }

    def _forward(self, x: Array, output_size: Ints | None = None) -> tuple[Array, Any]:
        layer = self._of_size(x, output_size)
        output, saved = Convolution._forward(layer, x)
        return output, (layer, saved)

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        layer, saved = saved
        return Convolution._backward(layer, saved, grad_output, input_grad)

    def _cost(self, inputs: tuple[Any, ...]) -> Cost:
        return Convolution._cost(self._of_size(*inputs), inputs[:1])

    def _of_size(self, x: Array, output_size: Ints | None = None) -> Self:
        """Return this layer, or one with its parameters whose output has this size."""
        if output_size is None:
            return self
        shape = _check.array("input", x).shape
        _check.rank("input", shape, self.axes)
        wanted = _check.spatial_size("output_size", output_size, self.axes, len(shape))
        size, window = shape[-self.axes :], (self.kernel_size, self.stride)
        pairs = resolve_padding(self.padding, size, *window, self.dilation)
        layer = copy(self)
        layer.output_padding = added_output(size, *window, pairs, self.dilation, wanted)
        if self._prepared is not None:
            layer._prepared = self._prepared.setdefault(layer.output_padding, {})
        return layer

    def _describe(self) -> str:
        text = super()._describe()
        if max(self.output_padding):
            text += f", output_padding={self.output_padding}"
        return text


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution with weights and a bias: `functional.conv_transpose2d`.

    Forward takes the input and, if need be, `output_size`: the spatial size of the output, or its
    whole shape. It stands for the `output_padding` that leads there; a stride makes several sizes
    into one.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and output.
    kernel_size : int or tuple of int
        Size of the kernels.
    stride, padding, output_padding, groups, dilation
        As in `functional.conv_transpose2d`, every form of padding.
    bias : bool
        Add a bias to each output channel.
    padding_mode : {"zeros"}
        There is no other.
    dtype : dtype, keyword-only
        Float32 (default) or float64.
    rng : int or numpy.random.Generator, optional, keyword-only
        Where the initial values come from; an int is a seed.
    init : {"torch", "he", "xavier"}, keyword-only
        The scheme of the initial values, see `fastconv.layers.init`.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels/groups, R, S)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or they do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layer = layers.ConvTranspose2d(128, 64, 2, stride=2, rng=0)
    >>> layer(np.zeros((8, 128, 28, 28), np.float32)).shape
    (8, 64, 56, 56)
    >>> layer(np.zeros((8, 128, 28, 28), np.float32), output_size=(57, 56)).shape
    (8, 64, 57, 56)
    """

    axes = 2
    operation = "conv_transpose2d"


@described_like(ConvTranspose2d, 1)
class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution over one axis: `functional.conv_transpose1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layer = layers.ConvTranspose1d(64, 32, 16, stride=8, padding=4, rng=0)
    >>> layer(np.zeros((2, 64, 100), np.float32)).shape
    (2, 32, 800)
    """

    axes = 1
    operation = "conv_transpose1d"


@described_like(ConvTranspose2d, 3)
class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution over three axes: `functional.conv_transpose3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layer = layers.ConvTranspose3d(8, 4, 3, stride=2, padding=1, output_padding=1, rng=0)
    >>> layer(np.zeros((1, 8, 4, 7, 7), np.float32)).shape
    (1, 4, 8, 14, 14)
    """

    axes = 3
    operation = "conv_transpose3d"
