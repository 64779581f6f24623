"""The pooling layers."""

from typing import Any

from fastconv import _check
from fastconv import functional as F
from fastconv._check import Array, PaddingLike, PerAxis
from fastconv._geometry import Ints, Padding
from fastconv.functional._pooling import POOL_PADDING_WORDS
from fastconv.layers.base import Layer


class MaxPool2d(Layer):
    """The maximum of each window: `functional.max_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation, return_indices, ceil_mode
        As in `functional.max_pool2d`, in torch.nn's order. With `return_indices` forward returns
        (output, indices).

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value; `forward`, as `functional.max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.MaxPool2d(3, stride=2)(np.zeros((1, 96, 55, 55))).shape
    (1, 96, 27, 27)
    """

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        padding: PaddingLike = 0,
        dilation: PerAxis = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = _check.integers("kernel_size", kernel_size, 2, 1)
        self.stride = (
            self.kernel_size if stride is None else _check.integers("stride", stride, 2, 1)
        )
        self.padding = _check.padding("padding", padding, 2, POOL_PADDING_WORDS)
        self.dilation = _check.integers("dilation", dilation, 2, 1)
        self.return_indices = bool(return_indices)
        self.ceil_mode = bool(ceil_mode)

    def _forward(self, x: Array) -> tuple[Any, Any]:
        wants_indices = self.training or self.return_indices
        arguments = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)
        pooled = F.max_pool2d(x, *arguments, return_indices=wants_indices)
        if not wants_indices:
            return pooled, None
        output, indices = pooled
        return pooled if self.return_indices else output, (x.shape, indices)

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        shape, indices = saved
        return F.max_pool2d_backward(grad_output, indices, shape) if input_grad else None

    def _describe(self) -> str:
        return f"{self.kernel_size}, stride={self.stride}, padding={self.padding!r}"


class AvgPool2d(Layer):
    """The mean of each window: `functional.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As in `functional.avg_pool2d`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.AvgPool2d(2)(np.zeros((8, 6, 28, 28))).shape
    (8, 6, 14, 14)
    """

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        padding: PaddingLike = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self.kernel_size = _check.integers("kernel_size", kernel_size, 2, 1)
        self.stride = (
            self.kernel_size if stride is None else _check.integers("stride", stride, 2, 1)
        )
        self.padding = _check.padding("padding", padding, 2, POOL_PADDING_WORDS)
        self.ceil_mode = bool(ceil_mode)
        self.count_include_pad = bool(count_include_pad)
        self.divisor_override = (
            None
            if divisor_override is None
            else _check.integer("divisor_override", divisor_override, 1)
        )

    def _arguments(self) -> tuple[Ints, Ints, Padding, bool, bool, int | None]:
        return (
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def _forward(self, x: Array) -> tuple[Array, Ints]:
        return F.avg_pool2d(x, *self._arguments()), x.shape

    def _backward(self, saved: Ints, grad_output: Array, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        return F.avg_pool2d_backward(grad_output, saved, *self._arguments())

    def _describe(self) -> str:
        return f"{self.kernel_size}, stride={self.stride}, padding={self.padding!r}"
