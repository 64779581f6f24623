"""The convolutional layer."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _check
from fastconv import functional as F
from fastconv._check import Array, PaddingLike, PerAxis, Random
from fastconv._geometry import Ints, Padding, resolve_padding
from fastconv.engine.choice import only_exact
from fastconv.functional import PreparedWeight
from fastconv.functional.padding import PADDING_MODES as PAD_MODES
from fastconv.layers.base import Layer, Parameter, add_gradients, gradient_mask
from fastconv.layers.init import weights_and_bias

# torch.nn's name for the mode that torch.nn.functional.pad calls "constant".
PADDING_MODES = ("zeros", *(mode for mode in PAD_MODES if mode != "constant"))

# The sizes of input for which a layer keeps prepared weights.
MOST_PREPARED = 4


class Conv2d(Layer):
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
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
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
        self.in_channels = _check.integer("in_channels", in_channels, 1)
        self.out_channels = _check.integer("out_channels", out_channels, 1)
        self.kernel_size = _check.integers("kernel_size", kernel_size, 2, 1)
        self.stride = _check.integers("stride", stride, 2, 1)
        self.padding = _check.padding("padding", padding, 2)
        self.dilation = _check.integers("dilation", dilation, 2, 1)
        self.groups = _check.integer("groups", groups, 1)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"groups must divide in_channels and out_channels, got groups = {groups}, "
                f"in_channels = {in_channels}, out_channels = {out_channels}"
            )
        if padding_mode not in PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {', '.join(map(repr, PADDING_MODES))}, "
                f"got {padding_mode!r}"
            )
        self.padding_mode = padding_mode
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        values, shift = weights_and_bias(init, shape, self.groups, bias, dtype, rng)
        self.weight = Parameter(values, "weight")
        self.bias = None if shift is None else Parameter(shift, "bias")

    def _forward(self, x: Array) -> tuple[Array, Any]:
        bias = None if self.bias is None else self.bias.data
        padding: Padding = self.padding
        pad = size = None
        if self.padding_mode != "zeros":
            x = _check.array("input", x)
            _check.rank("input", x.shape, 2)
            padding, pad, size = "valid", self._pad(x.shape[-2:]), x.shape
            x = F.pad(x, pad, self.padding_mode)
        geometry = (self.stride, padding, self.dilation, self.groups)
        weight = self.weight.data if self._prepared is None else self._ready(x, geometry)
        return F.conv2d(x, weight, bias, *geometry), (x, padding, pad, size)

    def _ready(self, x: Array, geometry: tuple[Any, ...]) -> PreparedWeight:
        """Return the weights prepared for inputs of this size, of which a few are kept."""
        assert self._prepared is not None
        key = (_check.array("input", x).shape[-3:], only_exact())
        ready = self._prepared.get(key)
        if ready is None:
            ready = F.prepare_weight(self.weight.data, x.shape, *geometry)
            if len(self._prepared) >= MOST_PREPARED:
                self._prepared.clear()
            self._prepared[key] = ready
        return ready

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        x, padding, pad, size = saved
        grad_input, grad_weight, grad_bias = F.conv2d_backward(
            x,
            self.weight.data,
            grad_output,
            self.stride,
            padding,
            self.dilation,
            self.groups,
            output_mask=gradient_mask(input_grad, self.weight, self.bias),
        )
        add_gradients((self.weight, self.bias), (grad_weight, grad_bias))
        if grad_input is None or pad is None:
            return grad_input
        return F.pad_backward(grad_input, size, pad, self.padding_mode)

    def _pad(self, size: Ints) -> Ints:
        """Return the padding of an input of this size as `functional.pad` takes it."""
        pairs = resolve_padding(self.padding, size, self.kernel_size, self.stride, self.dilation)
        return tuple(cells for pair in reversed(pairs) for cells in pair)

    def _describe(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding!r}"
        )
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode!r}"
        return text
