"""The full connection."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _check
from fastconv import functional as F
from fastconv._check import Array, Random
from fastconv.layers.base import Layer, Parameter, add_gradients, gradient_mask
from fastconv.layers.init import weights_and_bias
from fastconv.layers.profiling import in_parts
from fastconv.layers.summary import Cost


class Linear(Layer):
    """Full connection, y = x W^T + b: `functional.linear`.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last axis of input and output.
    bias : bool
        Add a bias to each output.
    dtype : dtype, keyword-only
        Float32 (default) or float64.
    rng : int or numpy.random.Generator, optional, keyword-only
        Where the initial values come from; an int is a seed.
    init : {"torch", "he", "xavier"}, keyword-only
        The scheme of the initial values, see `fastconv.layers.init`.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
    bias : Parameter, shape (out_features,), or None

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Linear(120, 84, rng=0)(np.zeros((8, 120), np.float32)).shape
    (8, 84)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        rng: Random = None,
        init: str = "torch",
    ) -> None:
        self.in_features = _check.integer("in_features", in_features, 1)
        self.out_features = _check.integer("out_features", out_features, 1)
        shape = (self.out_features, self.in_features)
        values, shift = weights_and_bias(init, shape, 1, bias, dtype, rng)
        self.weight = Parameter(values, "weight")
        self.bias = None if shift is None else Parameter(shift, "bias")

    def _forward(self, x: Array) -> tuple[Array, Array]:
        return F.linear(x, self.weight.data, None if self.bias is None else self.bias.data), x

    def _backward(self, saved: Array, grad_output: Array, input_grad: bool) -> Array | None:
        arrays = grad_output, saved, self.weight.data
        grad_input, *others = in_parts(
            self,
            saved,
            gradient_mask(input_grad, self.weight, self.bias),
            lambda mask: F.linear_backward(*arrays, output_mask=mask),
        )
        add_gradients((self.weight, self.bias), tuple(others))
        return grad_input

    def _operations(self, inputs: tuple[Any, ...], direction: str) -> tuple[int, str]:
        return 2 * prod(inputs[0].shape[:-1]) * self.weight.data.size, "gemm"

    def _cost(self, inputs: tuple[Any, ...]) -> Cost:
        rows = prod(inputs[0].shape[1:-1])
        products = rows * self.weight.data.size
        return Cost(products, products, "gemm")

    def _describe(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"
