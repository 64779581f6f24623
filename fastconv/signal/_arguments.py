"""The arguments of convolutions, read as SciPy reads them."""

from typing import Any

import numpy as np

from fastconv._check import Array
from fastconv._geometry import Ints
from fastconv.engine.filters.types import TYPES

MODES = ("full", "same", "valid")
# What `fastconv.functional.pad` calls SciPy's boundaries.
_BOUNDARIES = {
    "fill": "constant",
    "pad": "constant",
    "wrap": "circular",
    "circular": "circular",
    "symm": "symmetric",
    "symmetric": "symmetric",
    "reflect": "symmetric",
}

# The parameters that the functions share.
SHARED = {
    "in1": """in1 : array_like
        Of integers, floating-point or complex numbers, and any number of axes.""",
    "in2": """in2 : array_like
        Likewise, with as many axes.""",
    "mode": """mode : {"full", "valid", "same"}
        Which part is returned: all of it; what no zeros beyond the borders are part of, for which
        one of the arrays must be at least as large as the other on each axis; or the centre, of the
        shape of `in1`.""",
    "axes": """axes : int or sequence of int, optional
        The axes to convolve over, by default all. Along the others the arrays have one size, or
        one of them has size 1.""",
    "boundary": """boundary : {"fill", "wrap", "symm"}
        How `in1` goes on beyond its borders: as `fillvalue`, from its other end, or mirrored with
        the cells at the border repeated.""",
    "fillvalue": """fillvalue : scalar
        What is beyond the borders with "fill".""",
    "method": """method : {"auto", "direct", "fft"}
        Whether products are added up one by one, or the arrays are transformed; "auto" takes what
        is faster. Integers are always added up, and exact.""",
    "result": """ndarray
        Of the type of both arrays together.""",
}


def check_mode(mode: object) -> str:
    """Return which part of a convolution is asked for."""
    if mode not in MODES:
        raise ValueError(f"Acceptable mode flags are 'valid', 'same', or 'full', not {mode!r}.")
    return str(mode)


def continuation(boundary: object) -> str:
    """Return how an image is continued, in the words of `fastconv.functional.pad`."""
    if boundary not in _BOUNDARIES:
        raise ValueError(
            "Acceptable boundary flags are 'fill', 'circular' (or 'wrap'), and 'symmetric' (or "
            f"'symm'), not {boundary!r}."
        )
    return _BOUNDARIES[str(boundary)]


def fill_number(fillvalue: Any, dtype: np.dtype[Any]) -> Any:
    """Return what is beyond the borders, as a number of the result."""
    value = np.asarray(fillvalue)
    if value.size != 1:
        raise ValueError("`fillvalue` must be scalar or an array with one element.")
    try:
        number = complex(value.item())
    except TypeError as error:
        raise ValueError(f"`fillvalue` must be a number, got {fillvalue!r}") from error
    if dtype.kind == "c":
        return number
    if value.dtype.kind == "c":
        raise ValueError(f"could not cast `fillvalue` directly to the output type {dtype}")
    return value.item() if value.dtype.kind in "biu" else number.real


def common_dtype(in1: Array, in2: Array) -> np.dtype[Any]:
    """Return the type of a convolution.

    Raises
    ------
    ValueError
        If it is no type that is served.
    """
    dtype = np.result_type(in1.dtype, in2.dtype).newbyteorder("=")
    if (dtype not in TYPES or dtype.kind == "b") and dtype.char not in "FD":
        raise ValueError(f"convolutions are not available for arrays of type {dtype}")
    return dtype


def as_floats(array: Array) -> Array:
    """Return integers as doubles, and other numbers as they are."""
    return array.astype(np.float64) if array.dtype.kind in "biu" else array


def swaps(mode: str, shape1: Ints, shape2: Ints, axes: Any = None) -> bool:
    """Tell whether "valid" means the second array, filtered with the first."""
    if mode != "valid" or not shape1:
        return False
    pairs = [
        (shape1[axis], shape2[axis]) for axis in (range(len(shape1)) if axes is None else axes)
    ]
    if all(one >= two for one, two in pairs):
        return False
    if all(two >= one for one, two in pairs):
        return True
    raise ValueError(
        "For 'valid' mode, one must be at least as large as the other in every dimension: "
        f"{shape1} and {shape2}"
    )
