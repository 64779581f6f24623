"""What a convolution needs beside its arrays: planned once for the same shapes and arguments."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from fastconv import _check
from fastconv._check import Array, PaddingLike, PerAxis
from fastconv._geometry import (
    ConvGeometry,
    Ints,
    conv_geometry,
    gradient_pieces,
    transposed_geometry,
)
from fastconv.engine.base.cache import Cache
from fastconv.engine.base.kernel import OPERATIONS as COMPUTED
from fastconv.engine.base.kernel import Choice
from fastconv.engine.choice import Plan, dispatch, only_exact, plan_conv
from fastconv.engine.errors import PIECE_TERMS
from fastconv.functional._boundary import (
    ZEROS,
    Boundary,
    check_mode,
    continued_forward,
    continued_input_gradient,
    continued_weight_gradient,
    make_boundary,
)
from fastconv.functional._pieces import in_pieces, weight_gradient_in_pieces

_FORWARD, _INPUT, _WEIGHT = COMPUTED

# What computes each operation of the engine, of what `dispatch` returns.
METHODS = {_FORWARD: "forward", _INPUT: "input_gradient", _WEIGHT: "weight_gradient"}
# And what computes it where the padding is not zeros, by the same.
CONTINUED = {
    _FORWARD: continued_forward,
    _INPUT: continued_input_gradient,
    _WEIGHT: continued_weight_gradient,
}


@dataclass(frozen=True, slots=True)
class Operation:
    """A convolution, transposed or not, or its gradient with respect to input or weight.

    Attributes
    ----------
    name : str
        That of the function.
    axes : int
        Spatial axes.
    transposed : bool
        Whether it is a transposed convolution, or a gradient of one.
    computed : str
        What the engine calls it. A transposed convolution is the input gradient of a convolution
        whose output is its input; its own input gradient is that convolution.
    """

    name: str
    axes: int
    transposed: bool
    computed: str

    @property
    def input_formula(self) -> str:
        """The shape of a batch of inputs in letters."""
        return f"(N, C, {', '.join('DHW'[-self.axes :])})"

    @property
    def weight_formula(self) -> str:
        """The shape of the weights in letters."""
        first = "C, K/groups" if self.transposed else "K, C/groups"
        return f"({first}, {', '.join('TRS'[-self.axes :])})"

    @property
    def output_formula(self) -> str:
        """The shape of a batch of outputs in letters."""
        return f"(N, K, {', '.join(f'O{axis}' for axis in 'DHW'[-self.axes :])})"


_PARTS = {"": (_FORWARD, _INPUT), "_input": (_INPUT, _FORWARD), "_weight": (_WEIGHT, _WEIGHT)}
OPERATIONS = {
    operation.name: operation
    for transposed, axes, (part, computed) in product((False, True), (1, 2, 3), _PARTS.items())
    for operation in (
        Operation(
            f"conv{'_transpose' if transposed else ''}{axes}d{part}",
            axes,
            transposed,
            computed[transposed],
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Call:
    """What is the same for all calls of these shapes and arguments."""

    operation: Operation
    plan: Plan
    # Computes the operation, called with its arrays, the one that it writes last.
    compute: Callable[..., None]
    # Without the batch where the input has none.
    output_shape: Ints
    bias_shape: Ints
    # Where the padding is not zeros; the plan is that of the continued maps.
    boundary: Boundary | None = None

    def choice(self, input: Array, weight: Array, output: Array) -> Choice:
        """Return what computes such arrays, or the first piece of them; they are not read.

        They have the shapes of the geometry.
        """
        computed, geometry = self.operation.computed, self.plan.geometry
        if self.boundary is not None:
            samples = self.boundary.samples
            geometry = self.boundary.part(samples)
            input, output = input[:samples], output[:samples]
        if computed == _WEIGHT and in_pieces(geometry):
            piece = next(iter(gradient_pieces(geometry, PIECE_TERMS)))
            geometry, input, output = piece.geometry, input[piece.input], output[piece.output]
        found = dispatch(computed, geometry, input.dtype.name, self.plan.algorithm)
        return found.explain(computed, input, weight, output)

    def check_residual(self, grad_output: Array) -> None:
        """Refuse a residual that does not have the output's shape."""
        formula = self.operation.output_formula
        if len(self.output_shape) < self.operation.axes + 2:
            formula = formula.replace("N, ", "")
        _check.same_shape("grad_output", grad_output, self.output_shape, formula)


def plan_call(
    name: str,
    dtype: str,
    exactly: int,
    input_shape: Ints,
    weight_shape: Ints,
    stride: PerAxis,
    padding: PaddingLike,
    dilation: PerAxis,
    groups: int,
    algorithm: str,
    output_padding: PerAxis = 0,
    padding_mode: str = ZEROS,
) -> Call:
    operation = OPERATIONS[name]
    axes, computed = operation.axes, operation.computed
    # Here, and not in each call, since the shapes are among the arguments.
    _check.rank("input", input_shape, axes)
    if len(weight_shape) != axes + 2:
        raise ValueError(
            f"weight must be {operation.weight_formula}, got {len(weight_shape)}-D with shape "
            f"{weight_shape}"
        )
    batched = len(input_shape) == axes + 2
    if not isinstance(algorithm, str):
        raise TypeError(f"algorithm must be a str, got {type(algorithm).__name__}")
    shapes = input_shape if batched else (1, *input_shape), weight_shape
    steps = _check.integers("stride", stride, axes, 1)
    if operation.transposed:
        geometry = transposed_geometry(
            *shapes,
            steps,
            _check.padding("padding", padding, axes, ("valid",)),
            _check.integers("output_padding", output_padding, axes, 0),
            _check.integers("dilation", dilation, axes, 1),
            _check.integer("groups", groups, 1),
        )
        shape = geometry.input_shape
    else:
        geometry = conv_geometry(
            *shapes,
            steps,
            _check.padding("padding", padding, axes),
            _check.integers("dilation", dilation, axes, 1),
            _check.integer("groups", groups, 1),
        )
        shape = geometry.output_shape
    boundary = None
    if check_mode(padding_mode) != ZEROS and any(map(any, geometry.padding)):
        boundary = make_boundary(padding_mode, geometry, np.dtype(dtype))
        geometry = boundary.geometry
    plan = plan_conv(computed, dtype, bool(exactly), geometry, algorithm)

    def bind(geometry: ConvGeometry) -> Callable[..., None]:
        found = dispatch(computed, geometry, np.dtype(dtype).name, plan.algorithm)
        method: Callable[..., None] = getattr(found, METHODS[computed])
        return method

    def bind_all(geometry: ConvGeometry) -> Callable[..., None]:
        return weight_gradient_in_pieces(geometry, bind) if computed == _WEIGHT else bind(geometry)

    compute = bind_all(geometry) if boundary is None else CONTINUED[computed](boundary, bind_all)
    return Call(operation, plan, compute, shape if batched else shape[1:], shape[1:2], boundary)


# The arguments as users write them lead to the call, so that they are normalised once.
calls = Cache(plan_call, 4096)


def find_call(
    name: str,
    dtype: np.dtype[Any],
    input_shape: Ints,
    weight_shape: Ints,
    arguments: tuple[Any, ...],
) -> Call:
    """Return what is known of a call, by the arguments of `plan_call` behind the shapes."""
    call: Call = calls(name, dtype.char, only_exact(), input_shape, weight_shape, *arguments)
    return call


def plan_backward(name: str, *arguments: Any) -> tuple[Call, Call]:
    weight: Call = calls(f"{name}_weight", *arguments)
    input: Call = calls(f"{name}_input", *arguments)
    return input, weight


# Both gradients of a layer, found at once.
backward_calls = Cache(plan_backward, 4096)


def find_backward(
    name: str,
    dtype: np.dtype[Any],
    input_shape: Ints,
    weight_shape: Ints,
    arguments: tuple[Any, ...],
) -> tuple[Call, Call]:
    """Return what is known of the calls for the gradients of input and weights."""
    found: tuple[Call, Call] = backward_calls(
        name, dtype.char, only_exact(), input_shape, weight_shape, *arguments
    )
    return found
