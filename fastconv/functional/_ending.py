"""What a convolution's sums meet after the bias: a residual, then an activation."""

from typing import Any, TypeAlias

import numpy as np

from fastconv import _check
from fastconv._check import Array
from fastconv._geometry import Ints

Activation: TypeAlias = str | tuple[Any, ...] | None

# The defaults of the numbers behind a name.
_NUMBERS: dict[str, tuple[float, ...]] = {
    "relu": (),
    "relu6": (),
    "hardtanh": (-1.0, 1.0),
    "leaky_relu": (0.01,),
}


def read_activation(activation: Activation) -> tuple[Any, ...] | None:
    """Return what kernels call an activation, its name and its numbers, or None.

    Raises
    ------
    TypeError
        If it is neither a name nor a tuple of a name and numbers.
    ValueError
        If there is no such activation, or it has other numbers.
    """
    if activation is None:
        return None
    name, *numbers = activation if isinstance(activation, tuple) and activation else (activation,)
    if not isinstance(name, str):
        raise TypeError(
            f"activation must be a str, or a tuple of one and its numbers, got {activation!r}"
        )
    if name not in _NUMBERS:
        known = ", ".join(map(repr, _NUMBERS))
        raise ValueError(f"activation must be one of {known}, got {name!r}")
    defaults = _NUMBERS[name]
    if len(numbers) not in (0, len(defaults)):
        raise ValueError(
            f"activation {name!r} has {len(defaults)} numbers behind it, got {activation!r}"
        )
    values = [_check.number("activation's numbers", number) for number in numbers] or defaults
    if name == "relu6":
        return "hardtanh", 0.0, 6.0
    if name == "hardtanh" and not values[0] <= values[1]:
        raise ValueError(f"activation 'hardtanh' needs limits in order, got {activation!r}")
    return name, *values


def check_residual(
    name: str,
    residual: object,
    shape: Ints,
    dtype: np.dtype[Any],
    formula: str = "the output's shape",
) -> Array:
    """Return a residual of this name, of the shape and dtype of what it is added to.

    Raises
    ------
    TypeError
        If it is no array of this dtype.
    ValueError
        If its shape is another.
    """
    array = _check.array(name, residual)
    if array.dtype is not dtype and array.dtype != dtype:
        raise TypeError(f"{name} must have the dtype of input, {dtype}, got {array.dtype}")
    _check.same_shape(name, array, shape, formula)
    return array
