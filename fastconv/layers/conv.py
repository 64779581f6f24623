"""The convolutional layers."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv._check import PaddingLike, PerAxis, Random
from fastconv._docs import described_like
from fastconv.functional._boundary import check_mode
from fastconv.layers._convolution import Convolution


class _Conv(Convolution):
    """A convolution that is not transposed."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: PaddingLike = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: DTypeLike = np.float32,
        rng: Random = None,
        init: str = "torch",
    ) -> None:
        self.padding_mode = check_mode(padding_mode)
        channels = in_channels, out_channels
        steps = stride, padding, dilation, groups
        self._set_up(channels, kernel_size, *steps, bias, dtype, rng, init)

    def _arguments(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
            "padding_mode": self.padding_mode,
        }

    def _describe(self) -> str:
        text = super()._describe()
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode!r}"
        return text


class Conv2d(_Conv):
    """Convolution with weights and a bias: `functional.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and output.
    kernel_size : int or tuple of int
        Size of the kernels.
    stride, padding, dilation, groups
        As in `functional.conv2d`, every form of padding.
    bias : bool
        Add a bias to each output channel.
    padding_mode : {"zeros", "reflect", "replicate", "circular", "symmetric"}
        What stands around the input: zeros, or cells of the input as in `functional.pad`.
    dtype : dtype, keyword-only
        Float32 (default) or float64.
    rng : int or numpy.random.Generator, optional, keyword-only
        Where the initial values come from; an int is a seed.
    init : {"torch", "he", "xavier"}, keyword-only
        The scheme of the initial values, see `fastconv.layers.init`.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels/groups, R, S)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or they do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layer = layers.Conv2d(1, 6, 5, padding=2, rng=0)
    >>> layer(np.zeros((8, 1, 28, 28), np.float32)).shape
    (8, 6, 28, 28)
    """

    axes = 2
    operation = "conv2d"


@described_like(Conv2d, 1)
class Conv1d(_Conv):
    """Convolution over one axis with weights and a bias: `functional.conv1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layer = layers.Conv1d(1, 64, 400, stride=160, rng=0)
    >>> layer(np.zeros((8, 1, 16_000), np.float32)).shape
    (8, 64, 98)
    """

    axes = 1
    operation = "conv1d"


@described_like(Conv2d, 3)
class Conv3d(_Conv):
    """Convolution over three axes with weights and a bias: `functional.conv3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layer = layers.Conv3d(3, 8, (1, 3, 3), padding=(0, 1, 1), rng=0)
    >>> layer(np.zeros((2, 3, 4, 14, 14), np.float32)).shape
    (2, 8, 4, 14, 14)
    """

    axes = 3
    operation = "conv3d"
