"""Arguments as users write them, made uniform or refused with a sentence that says what is wrong.

Nothing behind the public edge checks again: what passes here is a native, aligned array of float32
or float64, a tuple of integers with one entry for each axis, or a padding that `_geometry` knows.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv._geometry import MAX_EXTENT, PADDING_WORDS, Ints, Padding, Pairs, axis_name
from fastconv.engine.base.memory import empty

Array: TypeAlias = NDArray[np.floating[Any]]
PerAxis: TypeAlias = int | Ints
PaddingLike: TypeAlias = int | Ints | Pairs | str
Random: TypeAlias = int | np.random.Generator | None

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
INT64 = np.dtype(np.int64)
# The names of the compiled functions' variants.
C_TYPES: dict[np.dtype[Any], str] = {FLOAT32: "float", FLOAT64: "double"}

MAX_INT = MAX_EXTENT

_NDARRAY = np.ndarray


def array(name: str, value: object) -> Array:
    """Return `value` as a native, aligned array of float32 or float64; it is copied if need be.

    Raises
    ------
    TypeError
        If `value` is not a NumPy array, is masked, or holds anything else.
    """
    # Nearly every call ends here: the two dtypes are single objects in every NumPy array.
    if type(value) is _NDARRAY:
        dtype = value.dtype
        if (dtype is FLOAT32 or dtype is FLOAT64) and value.flags.aligned:
            return value
    plain = plain_array(name, value)
    native = plain.dtype.newbyteorder("=")
    if native != FLOAT32 and native != FLOAT64:
        raise TypeError(f"{name} must have dtype float32 or float64, got {plain.dtype}")
    dtype = FLOAT32 if native == FLOAT32 else FLOAT64
    if plain.dtype == dtype and plain.flags.aligned:
        return plain.view(dtype)
    return plain.astype(dtype)


def indices(name: str, value: object) -> NDArray[np.int64]:
    """Return `value` as a native, aligned array of int64; it is copied if need be.

    Raises
    ------
    TypeError
        If `value` is not a NumPy array, is masked, or holds anything else.
    """
    plain = plain_array(name, value)
    if plain.dtype.newbyteorder("=") != INT64:
        raise TypeError(f"{name} must have dtype int64, got {plain.dtype}")
    return np.require(plain, INT64, "A")


def plain_array(name: str, value: object) -> NDArray[Any]:
    """Return `value` as a plain ndarray without copying.

    Raises
    ------
    TypeError
        If `value` is not a NumPy array, or is masked.
    """
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a numpy.ndarray, got {type(value).__name__}")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain numpy.ndarray, got a masked array")
    return np.asarray(value)


def float_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return float32 or float64 as a dtype object.

    Raises
    ------
    TypeError
        If `dtype` is another.
    """
    # To NumPy, None is float64; to a reader of torch it is float32.
    found = None if dtype is None else np.dtype(dtype)
    if found is None or found not in (FLOAT32, FLOAT64):
        raise TypeError(f"dtype must be float32 or float64, got {found}")
    return found


def same_dtype(name: str, value: Array, other_name: str, other: Array) -> None:
    """Refuse two arrays of different dtypes.

    Raises
    ------
    TypeError
        If the dtypes differ.
    """
    if value.dtype is not other.dtype and value.dtype != other.dtype:
        raise TypeError(
            f"{name} must have the dtype of {other_name}, {other.dtype}, got {value.dtype}"
        )


def same_shape(name: str, value: NDArray[Any], expected: Ints, formula: str) -> None:
    """Refuse an array whose shape is not the expected one; `formula` says where that comes from.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if value.shape != expected:
        raise ValueError(f"{name} must have shape {formula} = {expected}, got {value.shape}")


def like(name: str, value: object, other: NDArray[Any], other_name: str) -> None:
    """Refuse what is no array of the shape and dtype of another.

    Raises
    ------
    TypeError
        If `value` is not a NumPy array, or is masked.
    ValueError
        If the shapes or the dtypes differ.
    """
    plain = value if type(value) is _NDARRAY else plain_array(name, value)
    same_type = plain.dtype is other.dtype or plain.dtype == other.dtype
    if not same_type or plain.shape != other.shape:
        raise ValueError(
            f"{name} has shape {plain.shape} and dtype {plain.dtype}, "
            f"expected {other.shape} and {other.dtype} as {other_name}"
        )


def integer(name: str, value: object, minimum: int) -> int:
    """Return `value` as a Python integer of at least `minimum`.

    Raises
    ------
    TypeError
        If `value` is not an integer (a bool is not).
    ValueError
        If it is too small, or larger than any array.
    """
    if type(value) is not int:
        if not isinstance(value, int | np.integer) or isinstance(value, bool):
            raise TypeError(f"{name} must be an integer, got {_described(value)}")
        value = int(value)
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")
    if value > MAX_INT:
        raise ValueError(f"{name} must be at most {MAX_INT}, got {value}")
    return value


def number(name: str, value: object) -> float:
    """Return `value` as a Python float.

    Raises
    ------
    TypeError
        If `value` is not a number (a bool is not).
    """
    if type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    return float(value)


def probability(name: str, value: object) -> float:
    """Return `value` as a Python float from 0 to 1.

    Raises
    ------
    TypeError
        If `value` is not a number.
    ValueError
        If it lies outside [0, 1].
    """
    p = number(name, value)
    if not 0 <= p <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {p}")
    return p


def integers(name: str, value: object, axes: int, minimum: int) -> Ints:
    """Return one integer for each axis from an integer, a 1-tuple, or a tuple with one each.

    Raises
    ------
    TypeError
        If `value` is neither an integer nor a sequence of integers.
    ValueError
        If there are too many or too few, or one is less than `minimum`.
    """
    # A tuple that is right already, as a layer hands it over in each step.
    if type(value) is tuple and len(value) == axes and _are_lengths(value, minimum):
        return value
    if isinstance(value, tuple | list):
        if len(value) not in (1, axes):
            raise ValueError(
                f"{name} must be an integer or have one for each of {_axis_list(axes)}, "
                f"got {value!r}"
            )
        entries = value if len(value) == axes else [value[0]] * axes
        return tuple(integer(f"{name}[{i}]", entry, minimum) for i, entry in enumerate(entries))
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer or a tuple of {axes}, got {_described(value)}")
    return (integer(name, value, minimum),) * axes


def spatial_size(name: str, value: object, axes: int, rank: int) -> Ints:
    """Return the last entries, one for each spatial axis, of a size with or without the others.

    Raises
    ------
    TypeError, ValueError
        If `value` is no such tuple for maps of so many axes in all.
    """
    if not isinstance(value, tuple | list):
        raise TypeError(f"{name} must be a tuple of integers, got {value!r}")
    if len(value) not in (axes, rank):
        raise ValueError(f"{name} must have {axes} or {rank} entries, got {value!r}")
    return integers(name, tuple(value[-axes:]), axes, 0)


def lengths(name: str, value: object) -> Ints:
    """Return the lengths of one or more axes from an integer, or a sequence of them.

    Raises
    ------
    TypeError, ValueError
        If `value` is neither, or one is negative.
    """
    entries = value if isinstance(value, tuple | list) else (value,)
    if not entries:
        raise ValueError(f"{name} must have a length at least, got {value!r}")
    return tuple(integer(name, entry, 0) for entry in entries)


def padding(name: str, value: object, axes: int, words: tuple[str, ...] = PADDING_WORDS) -> Padding:
    """Return a padding word, or one (before, after) pair for each axis.

    Raises
    ------
    TypeError
        If `value` has none of the forms that a padding can have.
    ValueError
        If a word is unknown, a number negative, or the number of entries wrong.
    """
    if isinstance(value, str):
        if value not in words:
            raise ValueError(
                f"{name} must be one of {', '.join(map(repr, words))}, or numbers, got {value!r}"
            )
        return value
    if type(value) is tuple and len(value) == axes and _are_pairs(value):
        return value
    if not isinstance(value, tuple | list) or not any(isinstance(e, tuple | list) for e in value):
        return tuple((pad, pad) for pad in integers(name, value, axes, 0))
    if len(value) not in (1, axes) or not all(
        isinstance(entry, tuple | list) and len(entry) == 2 for entry in value
    ):
        raise ValueError(
            f"{name} must have one (before, after) pair for each of {_axis_list(axes)}, "
            f"got {value!r}"
        )
    pairs = tuple(
        (integer(f"{name}[{i}][0]", before, 0), integer(f"{name}[{i}][1]", after, 0))
        for i, (before, after) in enumerate(value)
    )
    return pairs if len(pairs) == axes else pairs * axes


def _are_lengths(value: tuple[object, ...], minimum: int = 0) -> bool:
    """Tell whether all entries are plain integers that an array's axis could have."""
    for entry in value:
        if type(entry) is not int:
            return False
        if not minimum <= entry <= MAX_INT:
            return False
    return True


def _are_pairs(value: tuple[object, ...]) -> bool:
    """Tell whether a padding is right already, as a layer hands it over in each step."""
    for entry in value:
        if type(entry) is not tuple or len(entry) != 2:
            return False
        before, after = entry
        if type(before) is not int or type(after) is not int:
            return False
        if not (0 <= before <= MAX_INT and 0 <= after <= MAX_INT):
            return False
    return True


def size(name: str, value: object, axes: int) -> Ints:
    """Return a shape (N, C, *spatial) or (C, *spatial) as integers.

    Raises
    ------
    TypeError
        If `value` is not a sequence of integers.
    ValueError
        If it has the wrong length or a negative entry.
    """
    # A shape that is right already, as an array has it.
    if type(value) is tuple and axes + 1 <= len(value) <= axes + 2 and _are_lengths(value):
        return value
    if not isinstance(value, tuple | list):
        raise TypeError(f"{name} must be a tuple of integers, got {_described(value)}")
    if len(value) not in (axes + 1, axes + 2):
        raise ValueError(f"{name} must be {_batch_or_not(axes)}, got {value!r}")
    return tuple(integer(f"{name}[{i}]", entry, 0) for i, entry in enumerate(value))


_COUNTS = {3: "three", 4: "four"}


def output_mask(value: object, count: int = 3) -> tuple[bool, ...]:
    """Return which of the gradients, of input, weight, bias and so on, are wanted.

    Raises
    ------
    ValueError
        If there are not so many entries.
    """
    if not isinstance(value, tuple | list) or len(value) != count:
        raise ValueError(f"output_mask must hold {_COUNTS[count]} booleans, got {value!r}")
    return tuple(map(bool, value))


def outputs(out: object, mask: tuple[bool, ...]) -> tuple[Any, ...]:
    """Return where to write the gradients of a mask: an array each, or None.

    Raises
    ------
    ValueError
        If there is not one entry for each, or one is for a gradient that is not wanted.
    """
    if not isinstance(out, tuple | list) or len(out) != len(mask):
        raise ValueError(
            f"out must hold {_COUNTS[len(mask)]} arrays or None, got {_described(out)}"
        )
    for i, wanted in enumerate(mask):
        if out[i] is not None and not wanted:
            raise ValueError(f"out[{i}] must be None where output_mask[{i}] is False")
    return tuple(out)


def rank(name: str, shape: Ints, axes: int) -> None:
    """Refuse a shape that is neither a batch (N, C, *spatial) nor one sample (C, *spatial).

    Raises
    ------
    ValueError
        If the number of dimensions is another.
    """
    if len(shape) not in (axes + 1, axes + 2):
        raise ValueError(
            f"{name} must be {_batch_or_not(axes)}, got {len(shape)}-D with shape {shape}"
        )


def new(shape: Ints, dtype: np.dtype[Any]) -> Array:
    """Return a new array for a result.

    Raises
    ------
    ValueError
        If it would be too large.
    """
    try:
        return empty(shape, dtype)
    except ValueError:
        raise ValueError(f"a result of shape {shape} is larger than any array") from None


def output(
    out: object, shape: Ints, dtype: np.dtype[Any], *inputs: NDArray[Any], axes: int = 2
) -> Array:
    """Return an array to write a result into: a new one, `out`, or a stand-in for `out`.

    The stand-in is for an `out` that shares memory with an input; `deliver` copies it over. The
    result's maps or kernels have so many `axes`, the last ones.

    Raises
    ------
    TypeError
        If `out` is not an array.
    ValueError
        If it has another shape or dtype, cannot be written to, is not native and aligned, or its
        maps or kernels are not contiguous; or if a new array would be too large.
    """
    if out is None:
        return new(shape, dtype)
    plain = writeable(out, shape, dtype)
    expected = dtype.itemsize
    for axis in range(plain.ndim - 1, max(plain.ndim - axes - 1, -1), -1):
        if plain.size and plain.shape[axis] > 1 and plain.strides[axis] != expected:
            what = ("rows, its last axis", "planes, its last two axes", "maps, its last three axes")
            raise ValueError(
                f"out must have contiguous {what[axes - 1]}; strides are {plain.strides}"
            )
        expected *= plain.shape[axis]
    if any(np.may_share_memory(plain, value) for value in inputs):
        return empty(shape, dtype)
    return plain


def elementwise(out: object, like: Array) -> Array:
    """Return an array for the result of NumPy's own loops: a new one, or `out` as it is.

    NumPy takes any strides and copies what overlaps.

    Raises
    ------
    TypeError
        If `out` is not an array.
    ValueError
        If it has another shape or dtype, cannot be written to, or is not native and aligned.
    """
    return empty(like.shape, like.dtype) if out is None else writeable(out, like.shape, like.dtype)


def writeable(out: object, shape: Ints, dtype: np.dtype[Any]) -> Array:
    """Return `out` if a result of this shape and dtype can be written into it."""
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"out must be a numpy.ndarray, got {type(out).__name__}")
    if out.shape != shape:
        raise ValueError(f"out must have the result's shape {shape}, got {out.shape}")
    if out.dtype != dtype:
        raise ValueError(f"out must have the result's dtype {dtype}, got {out.dtype}")
    if not (out.flags.writeable and out.flags.aligned):
        raise ValueError("out must be writeable and aligned")
    return out


def batch(maps: Array, axes: int) -> Array:
    """View one sample of so many axes as a batch; a batch is returned as it is."""
    return maps if maps.ndim == axes + 2 else maps[None]


def deliver(result: Array, out: object) -> Array:
    """Return `out` with the result in it, or the result where there is no `out`."""
    if out is None or result is out:
        return result
    assert isinstance(out, np.ndarray)
    out[...] = result
    return out


def deliver_all(
    results: tuple[Array | None, ...], outs: tuple[Any, ...]
) -> tuple[Array | None, Array | None, Array | None]:
    """Do the same for gradients, of which those that are not wanted are None."""
    first, second, third = (
        None if result is None else deliver(result, out)
        for result, out in zip(results, outs, strict=True)
    )
    return first, second, third


def _axis_list(axes: int) -> str:
    names = [axis_name(axis, axes) for axis in range(axes)]
    return f"the {axes} axes {', '.join(names)}" if axes > 1 else f"the axis {names[0]}"


def _batch_or_not(axes: int) -> str:
    names = ", ".join(axis_name(axis, axes) for axis in range(axes))
    return f"(N, C, {names}) or (C, {names})"


def _described(value: object) -> str:
    """Return the type, and for short values the value itself."""
    if isinstance(value, Sequence | int | float) and len(repr(value)) < 40:
        return f"{type(value).__name__} {value!r}"
    return type(value).__name__
