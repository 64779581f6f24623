"""Small checks of what a caller passes, so that a wrong call never broadcasts in silence."""

from collections.abc import Sequence
from operator import index
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
PerAxis: TypeAlias = int | Sequence[int]


def float_dtype(**arrays: Array | None) -> np.dtype[Any]:
    """Return the one dtype, float32 or float64, that all the given arrays have.

    Parameters
    ----------
    **arrays : numpy.ndarray or None
        The arrays by their argument names; None stands for one that was left out.

    Returns
    -------
    numpy.dtype
        The common dtype.

    Raises
    ------
    TypeError
        If something is not an array of float32 or float64, or two dtypes differ.
    """
    dtypes: dict[str, np.dtype[Any]] = {}
    for name, array in arrays.items():
        if array is None:
            continue
        if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
            came = type(array).__name__
            raise TypeError(f"{name} is a {came}, expected a NumPy array of float32 or float64")
        dtypes[name] = array.dtype.newbyteorder("=")
        if dtypes[name] not in (np.float32, np.float64):
            raise TypeError(f"{name} has dtype {array.dtype}, expected float32 or float64")
    if len(set(dtypes.values())) > 1:
        came = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        raise TypeError(f"all arrays need the same dtype, got {came}")
    return next(iter(dtypes.values()))


def expect_shape(name: str, array: Array, shape: Sequence[int]) -> None:
    """Raise a ValueError unless the array has exactly this shape.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    array : numpy.ndarray
        What came.
    shape : sequence of int
        What is expected.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if array.shape != tuple(shape):
        raise ValueError(f"{name} has shape {array.shape}, expected {tuple(shape)}")


def expect_axes(name: str, came: int, expected: Sequence[int]) -> None:
    """Raise a ValueError unless the number of axes is one of those expected.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    came : int
        Its number of axes.
    expected : sequence of int
        The numbers of axes that make sense.

    Raises
    ------
    ValueError
        If `came` is none of them.
    """
    if came not in expected:
        wanted = " or ".join(str(number) for number in expected)
        raise ValueError(f"{name} has {came} axes, expected {wanted}")


def per_axis(name: str, value: PerAxis, axes: int, least: int = 1) -> tuple[int, ...]:
    """Spread an int over the spatial axes, or check that a sequence holds one int for each.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : int or sequence of int
        One int for all axes, or one for each; a sequence of one int counts for all.
    axes : int
        The number of spatial axes.
    least : int, default 1
        The smallest value that makes sense.

    Returns
    -------
    tuple of int
        One int for each axis.

    Raises
    ------
    ValueError
        If the length is wrong or a value is too small.

    Examples
    --------
    >>> per_axis("stride", 2, 3)
    (2, 2, 2)
    """
    values = (
        tuple(index(item) for item in value) if isinstance(value, Sequence) else (index(value),)
    )
    if len(values) == 1:
        values *= axes
    if len(values) != axes or min(values) < least:
        raise ValueError(f"{name} is {value}, expected one int or {axes}, each at least {least}")
    return values
