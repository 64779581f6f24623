"""What a convolution needs beside its arrays: planned once for the same shapes and arguments."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import _check
from fastconv._check import Array, PaddingLike, PerAxis
from fastconv._geometry import ConvGeometry, Ints, gradient_pieces
from fastconv.engine.base.cache import Cache
from fastconv.engine.base.kernel import Choice
from fastconv.engine.choice import Plan, dispatch, only_exact, plan_conv
from fastconv.engine.errors import PIECE_TERMS
from fastconv.functional._pieces import in_pieces, weight_gradient_in_pieces

# What computes each operation, of what `dispatch` returns.
METHODS = {
    "conv2d": "forward",
    "conv2d_input": "input_gradient",
    "conv2d_weight": "weight_gradient",
}


@dataclass(frozen=True, slots=True)
class Call:
    """What is the same for all calls of these shapes and arguments."""

    operation: str
    plan: Plan
    # Computes the operation, called with its arrays, the one that it writes last.
    compute: Callable[..., None]
    # Without the batch where the input has none.
    output_shape: Ints
    bias_shape: Ints

    def choice(self, input: Array, weight: Array, output: Array) -> Choice:
        """Return what computes such arrays, or the first piece of them; they are not read."""
        operation, geometry = self.operation, self.plan.geometry
        if operation == "conv2d_weight" and in_pieces(geometry):
            piece = next(iter(gradient_pieces(geometry, PIECE_TERMS)))
            geometry, input, output = piece.geometry, input[piece.input], output[piece.output]
        found = dispatch(operation, geometry, input.dtype.name, self.plan.algorithm)
        return found.explain(operation, input, weight, output)

    def check_residual(self, grad_output: Array) -> None:
        """Refuse a residual that does not have the output's shape."""
        formula = "(N, K, OH, OW)" if len(self.output_shape) == 4 else "(K, OH, OW)"
        _check.same_shape("grad_output", grad_output, self.output_shape, formula)


def plan_call(
    operation: str,
    dtype: str,
    exactly: int,
    input_shape: Ints,
    weight_shape: Ints,
    stride: PerAxis,
    padding: PaddingLike,
    dilation: PerAxis,
    groups: int,
    algorithm: str,
) -> Call:
    # Here, and not in each call, since the shapes are among the arguments.
    _check.rank("input", input_shape, 2)
    if len(weight_shape) != 4:
        raise ValueError(
            f"weight must be (K, C/groups, R, S), got {len(weight_shape)}-D with shape "
            f"{weight_shape}"
        )
    batched = len(input_shape) == 4
    maps_shape = input_shape if batched else (1, *input_shape)
    if not isinstance(algorithm, str):
        raise TypeError(f"algorithm must be a str, got {type(algorithm).__name__}")
    plan = plan_conv(
        operation,
        dtype,
        bool(exactly),
        maps_shape,
        weight_shape,
        _check.integers("stride", stride, 2, 1),
        _check.padding("padding", padding, 2),
        _check.integers("dilation", dilation, 2, 1),
        _check.integer("groups", groups, 1),
        algorithm,
    )
    shape = plan.geometry.output_shape

    def bind(geometry: ConvGeometry) -> Callable[..., None]:
        found = dispatch(operation, geometry, np.dtype(dtype).name, plan.algorithm)
        method: Callable[..., None] = getattr(found, METHODS[operation])
        return method

    if operation == "conv2d_weight":
        compute = weight_gradient_in_pieces(plan.geometry, bind)
    else:
        compute = bind(plan.geometry)
    return Call(operation, plan, compute, shape if batched else shape[1:], weight_shape[:1])


# The arguments as users write them lead to the call, so that they are normalised once.
calls = Cache(plan_call, 4096)


def find_call(
    operation: str,
    dtype: np.dtype[Any],
    input_shape: Ints,
    weight_shape: Ints,
    stride: PerAxis,
    padding: PaddingLike,
    dilation: PerAxis,
    groups: int,
    algorithm: str,
) -> Call:
    """Return what is known of a call."""
    call: Call = calls(
        operation, dtype.char, only_exact(), input_shape, weight_shape, stride, padding, dilation,
        groups, algorithm,
    )  # fmt: skip
    return call


def plan_backward(*arguments: Any) -> tuple[Call, Call]:
    weight: Call = calls("conv2d_weight", *arguments)
    input: Call = calls("conv2d_input", *arguments)
    return input, weight


# Both gradients of a layer, found at once.
backward_calls = Cache(plan_backward, 4096)


def find_backward(
    dtype: np.dtype[Any],
    input_shape: Ints,
    weight_shape: Ints,
    stride: PerAxis,
    padding: PaddingLike,
    dilation: PerAxis,
    groups: int,
) -> tuple[Call, Call]:
    """Return what is known of the calls for the gradients of input and weights."""
    found: tuple[Call, Call] = backward_calls(
        dtype.char, only_exact(), input_shape, weight_shape, stride, padding, dilation, groups,
        "auto",
    )  # fmt: skip
    return found
