"""What the convolutional layers share: arguments, weights, their preparation and gradients."""

from collections.abc import Callable
from math import prod
from typing import Any, ClassVar

from numpy.typing import DTypeLike

from fastconv import _check
from fastconv import functional as F
from fastconv._check import Array, PaddingLike, PerAxis, Random
from fastconv._geometry import PADDING_WORDS, Ints
from fastconv.engine.choice import only_exact
from fastconv.functional import PreparedWeight
from fastconv.functional._convolution import Gradients
from fastconv.functional._explain import Explanation, explain
from fastconv.layers.base import Layer, Parameter, add_gradients, gradient_mask
from fastconv.layers.init import weights_and_bias
from fastconv.layers.profiling import in_parts
from fastconv.layers.recomputing import handed, restored
from fastconv.layers.summary import Cost

# The sizes of input for which a layer keeps prepared weights.
MOST_PREPARED = 4

# Products for each number of the input from which on it is computed again in backward where that is
# possible, rather than kept. ResNet-50, with 256 or more, takes as long either way; MobileNetV2,
# with 9 in depthwise convolutions and 16 to 160 behind them, took 5 % longer (batch 8, AVX-512).
LEAST_PRODUCTS = 128

# What the names of the functions that compute the directions end with.
_GRADIENTS = {"forward": "", "input gradient": "_input", "weight gradient": "_weight"}


class Convolution(Layer):
    """A convolution over some axes, transposed or not, with weights and a bias."""

    axes: ClassVar[int]
    transposed: ClassVar[bool] = False
    _takes_recipes = True
    # The name of the function that computes it.
    operation: ClassVar[str]

    def _set_up(
        self,
        channels: tuple[int, int],
        kernel_size: PerAxis,
        stride: PerAxis,
        padding: PaddingLike,
        dilation: PerAxis,
        groups: int,
        bias: bool,
        dtype: DTypeLike,
        rng: Random,
        init: str,
    ) -> None:
        """Check the arguments, and draw the weights."""
        axes = self.axes
        self.in_channels = _check.integer("in_channels", channels[0], 1)
        self.out_channels = _check.integer("out_channels", channels[1], 1)
        self.kernel_size = _check.integers("kernel_size", kernel_size, axes, 1)
        self.stride = _check.integers("stride", stride, axes, 1)
        words = ("valid",) if self.transposed else PADDING_WORDS
        self.padding = _check.padding("padding", padding, axes, words)
        self.dilation = _check.integers("dilation", dilation, axes, 1)
        self.groups = _check.integer("groups", groups, 1)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"groups must divide in_channels and out_channels, got groups = {groups}, "
                f"in_channels = {channels[0]}, out_channels = {channels[1]}"
            )
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        shape = (first, second // self.groups, *self.kernel_size)
        values, shift = weights_and_bias(
            init, shape, self.groups, bias, dtype, rng, self.out_channels
        )
        self.weight = Parameter(values, "weight")
        self.bias = None if shift is None else Parameter(shift, "bias")

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments of the function behind the bias."""
        raise NotImplementedError

    def _forward(self, x: Array) -> tuple[Array, Any]:
        bias = None if self.bias is None else self.bias.data
        weight: Array | PreparedWeight = self.weight.data
        arguments = self._arguments()
        if self._prepared is not None:
            weight = self._ready(x, {**arguments, "transposed": self.transposed})
        recipe, _ = handed(x)
        if recipe is not None and self._products() < LEAST_PRODUCTS:
            recipe = None
        convolve: Callable[..., Array] = getattr(F, self.operation)
        return convolve(x, weight, bias, **arguments), x if recipe is None else recipe

    def _products(self) -> float:
        """Return about how many products there are for each number of the input."""
        positions = 1 if self.transposed else prod(self.stride)
        return self.weight.data.size / self.in_channels / positions

    def _ready(self, x: Array, arguments: dict[str, Any]) -> PreparedWeight:
        """Return the weights prepared for inputs of this size, of which a few are kept."""
        assert self._prepared is not None
        key = (_check.array("input", x).shape[-self.axes - 1 :], only_exact())
        ready = self._prepared.get(key)
        if ready is None:
            ready = F.prepare_weight(self.weight.data, x.shape, **arguments)
            if len(self._prepared) >= MOST_PREPARED:
                self._prepared.clear()
            self._prepared[key] = ready
        return ready

    def _explain(self, size: Ints, gradient: str = "") -> Explanation:
        """Explain the convolution, or its gradient "_input" or "_weight", of inputs of a size."""
        weight, name = self.weight.data, self.operation + gradient
        return explain(name, size, weight.shape, dtype=weight.dtype, **self._arguments())

    def _operations(self, inputs: tuple[Any, ...], direction: str) -> tuple[int, str]:
        found = self._explain(inputs[0].shape, _GRADIENTS[direction])
        return found.flops, found.algorithm

    def _cost(self, inputs: tuple[Any, ...]) -> Cost:
        size = inputs[0].shape
        found = self._explain(size)
        # Of sizes with a batch.
        batch = size[0] if len(size) == self.axes + 2 else 1
        return Cost(
            found.flops // (2 * batch),
            found.connections // batch,
            found.algorithm,
            found.variant,
            found.workspace_bytes,
        )

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        return self._gradients(saved, grad_output, input_grad)

    def _backward_onto(self, saved: Any, grad_output: Array, skip: Array) -> Array:
        gradient = self._gradients(saved, grad_output, True, skip)
        assert gradient is not None
        return gradient

    def _gradients(
        self, saved: Any, grad_output: Array, input_grad: bool, skip: Array | None = None
    ) -> Array | None:
        """Add to the parameters' gradients; return that of the input, plus `skip`."""
        backward: Callable[..., Gradients] = getattr(F, f"{self.operation}_backward")
        x = restored(saved)
        arrays = x, self.weight.data, grad_output
        arguments = self._arguments()
        grad_input, *others = in_parts(
            self,
            x,
            gradient_mask(input_grad, self.weight, self.bias),
            lambda mask: backward(
                *arrays, **arguments, output_mask=mask, skip=skip if mask[0] else None
            ),
        )
        add_gradients((self.weight, self.bias), tuple(others))
        return grad_input

    def _describe(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding!r}"
        )
        if max(self.dilation) > 1:
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text
