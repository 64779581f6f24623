"""What the pooling layers share: a class of torch.nn is one of these with a number of axes."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from fastconv import _check
from fastconv import functional as F
from fastconv._check import Array, PaddingLike, PerAxis, Random
from fastconv._geometry import Ints
from fastconv.functional._pooling import POOL_PADDING_WORDS, Indices, check_ceil_mode
from fastconv.functional.adaptive_pooling import OutputSize
from fastconv.functional.lp_pooling import check_norm
from fastconv.layers.base import Layer


class Pooling(Layer):
    """A layer over so many axes, for which `functional` has functions of its name."""

    _axes: ClassVar[int]
    # What its functions are called, but for the axes.
    _name: ClassVar[str]
    padding: Any

    def _function(self, suffix: str = "") -> Callable[..., Any]:
        # Looked up in each call: `functional` may be replaced, and layers may be pickled.
        return getattr(F, f"{self._name}{self._axes}d{suffix}")  # type: ignore[no-any-return]

    def _window(self, kernel_size: PerAxis, stride: PerAxis | None) -> None:
        self.kernel_size = _check.integers("kernel_size", kernel_size, self._axes, 1)
        self.stride = (
            self.kernel_size if stride is None else _check.integers("stride", stride, self._axes, 1)
        )

    def _pad(self, padding: PaddingLike) -> None:
        self.padding = _check.padding("padding", padding, self._axes, POOL_PADDING_WORDS)

    def _arguments(self) -> tuple[Any, ...]:
        """Return the arguments of the function behind the input."""
        raise NotImplementedError

    def _describe(self) -> str:
        text = f"{self.kernel_size}, stride={self.stride}"
        padding = vars(self).get("padding")
        return text if padding is None else f"{text}, padding={padding!r}"


class MaximumPooling(Pooling):
    """Maxima, of which training keeps the places."""

    return_indices: bool

    def _pool(self, x: Array, return_indices: bool) -> Any:
        raise NotImplementedError

    def _forward(self, x: Array) -> tuple[Any, Any]:
        wants_indices = self.training or self.return_indices
        pooled = self._pool(x, wants_indices)
        if not wants_indices:
            return pooled, None
        output, indices = pooled
        return pooled if self.return_indices else output, (x.shape, indices)

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        shape, indices = saved
        gradient: Array = self._function("_backward")(grad_output, indices, shape)
        return gradient


class MaxPool(MaximumPooling):
    """The layers MaxPool1d to MaxPool3d."""

    _name = "max_pool"

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        padding: PaddingLike = 0,
        dilation: PerAxis = 1,
        return_indices: bool = False,
        ceil_mode: bool | str = False,
    ) -> None:
        self._window(kernel_size, stride)
        self._pad(padding)
        self.dilation = _check.integers("dilation", dilation, self._axes, 1)
        self.return_indices = bool(return_indices)
        self.ceil_mode = check_ceil_mode(ceil_mode)

    def _pool(self, x: Array, return_indices: bool) -> Any:
        return self._function()(x, *self._arguments(), return_indices=return_indices)

    def _arguments(self) -> tuple[Any, ...]:
        return (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class AdaptiveMaxPool(MaximumPooling):
    """The layers AdaptiveMaxPool1d to AdaptiveMaxPool3d."""

    _name = "adaptive_max_pool"

    def __init__(self, output_size: OutputSize, return_indices: bool = False) -> None:
        self.output_size = checked_output_size(output_size, self._axes)
        self.return_indices = bool(return_indices)

    def _pool(self, x: Array, return_indices: bool) -> Any:
        return self._function()(x, *self._arguments(), return_indices=return_indices)

    def _arguments(self) -> tuple[Any, ...]:
        return (self.output_size,)

    def _describe(self) -> str:
        return f"{self.output_size}"


class FractionalMaxPool(MaximumPooling):
    """The layers FractionalMaxPool2d and FractionalMaxPool3d."""

    _name = "fractional_max_pool"

    def __init__(
        self,
        kernel_size: PerAxis,
        output_size: PerAxis | None = None,
        output_ratio: float | tuple[float, ...] | None = None,
        return_indices: bool = False,
        _random_samples: Array | None = None,
        *,
        rng: Random = None,
    ) -> None:
        self.kernel_size = _check.integers("kernel_size", kernel_size, self._axes, 1)
        if (output_size is None) == (output_ratio is None):
            raise ValueError("one of output_size and output_ratio must be given, and not both")
        self.output_size = (
            None
            if output_size is None
            else _check.integers("output_size", output_size, self._axes, 1)
        )
        self.output_ratio = output_ratio
        self.return_indices = bool(return_indices)
        self._random_samples = _random_samples
        self.rng = np.random.default_rng(rng)

    def _pool(self, x: Array, return_indices: bool) -> Any:
        sizes = (self.kernel_size, self.output_size, self.output_ratio)
        return self._function()(x, *sizes, return_indices, self._random_samples, rng=self.rng)

    def _describe(self) -> str:
        return (
            f"{self.kernel_size}, output_size={self.output_size}, output_ratio={self.output_ratio}"
        )


class AvgPool(Pooling):
    """The layers AvgPool1d to AvgPool3d."""

    _name = "avg_pool"
    divisor_override: int | None = None

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        padding: PaddingLike = 0,
        ceil_mode: bool | str = False,
        count_include_pad: bool = True,
    ) -> None:
        self._window(kernel_size, stride)
        self._pad(padding)
        self.ceil_mode = check_ceil_mode(ceil_mode)
        self.count_include_pad = bool(count_include_pad)

    def _arguments(self) -> tuple[Any, ...]:
        window = (self.kernel_size, self.stride, self.padding, self.ceil_mode)
        return (*window, self.count_include_pad, self.divisor_override)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        return self._function()(x, *self._arguments()), x.shape

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        gradient: Array = self._function("_backward")(grad_output, saved, *self._arguments())
        return gradient


class AvgPoolWithDivisor(AvgPool):
    """The layers AvgPool2d and AvgPool3d, which take a divisor in torch."""

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        padding: PaddingLike = 0,
        ceil_mode: bool | str = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        if divisor_override is not None:
            self.divisor_override = _check.integer("divisor_override", divisor_override, 1)


class AdaptiveAvgPool(Pooling):
    """The layers AdaptiveAvgPool1d to AdaptiveAvgPool3d."""

    _name = "adaptive_avg_pool"

    def __init__(self, output_size: OutputSize) -> None:
        self.output_size = checked_output_size(output_size, self._axes)

    def _arguments(self) -> tuple[Any, ...]:
        return (self.output_size,)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        output = self._function()(x, *self._arguments())
        return output, (x.shape, output.shape)

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        shape, output_shape = saved
        # Any other size would be that of an adaptive pooling, too.
        grad_output = _check.array("grad_output", grad_output)
        _check.same_shape("grad_output", grad_output, output_shape, "the output's shape")
        gradient: Array = self._function("_backward")(grad_output, shape)
        return gradient

    def _describe(self) -> str:
        return f"{self.output_size}"


class LPPool(Pooling):
    """The layers LPPool1d to LPPool3d."""

    _name = "lp_pool"
    _keeps_output = True

    def __init__(
        self,
        norm_type: float,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        ceil_mode: bool | str = False,
    ) -> None:
        self.norm_type = check_norm(norm_type)
        self._window(kernel_size, stride)
        self.ceil_mode = check_ceil_mode(ceil_mode)

    def _arguments(self) -> tuple[Any, ...]:
        return self.norm_type, self.kernel_size, self.stride, self.ceil_mode

    def _forward(self, x: Array) -> tuple[Array, Any]:
        output = self._function()(x, *self._arguments())
        return output, (x, output)

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        gradient: Array = self._function("_backward")(grad_output, *saved, *self._arguments())
        return gradient

    def _describe(self) -> str:
        return f"{self.norm_type}, {super()._describe()}"


class MaxUnpool(Pooling):
    """The layers MaxUnpool1d to MaxUnpool3d, which take the places of the maxima, too."""

    _name = "max_unpool"

    def __init__(
        self, kernel_size: PerAxis, stride: PerAxis | None = None, padding: PerAxis = 0
    ) -> None:
        self._window(kernel_size, stride)
        self.padding = _check.integers("padding", padding, self._axes, 0)

    def _forward(
        self, x: Array, indices: Indices, output_size: Ints | None = None
    ) -> tuple[Array, Any]:
        window = (self.kernel_size, self.stride, self.padding)
        return self._function()(x, indices, *window, output_size), indices

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Any:
        # Places have no gradient.
        return (self._function("_backward")(grad_output, saved), None) if input_grad else None


def checked_output_size(output_size: OutputSize, axes: int) -> OutputSize:
    """Return the output size of an adaptive pooling as it came, if it can be one."""
    entries = output_size if isinstance(output_size, tuple | list) else (output_size,) * axes
    _check.integers("output_size", tuple(1 if n is None else n for n in entries), axes, 1)
    return output_size
