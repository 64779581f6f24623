"""Loading a state: what fits a layer's own arrays, all of it or nothing."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv._check import INT64


class Entry(NamedTuple):
    """One array of a layer's state.

    Parameters
    ----------
    array : ndarray
        The layer's own.
    kind : str
        What error texts call it: "parameter" or "buffer".
    required : bool
        Whether a state without it is refused.
    """

    array: NDArray[Any]
    kind: str
    required: bool = True


def load(own: Mapping[str, Entry], state: Mapping[str, Any]) -> None:
    """Copy the arrays of a state into a layer's own, or raise with none of them changed.

    Parameters
    ----------
    own : mapping of str to Entry
        What the layer has.
    state : mapping of str to ndarray
        What shall be in it.

    Raises
    ------
    TypeError
        If the state is no mapping, or a value is not an array of the kind of numbers of its own.
    ValueError
        If keys are missing or unexpected, a shape is wrong, an array of the layer is read-only, or
        the values under two names of one array differ.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be a mapping of str to arrays, got {type(state).__name__}")
    problems = [f"missing: {key}" for key in own if own[key].required and key not in state]
    problems += [f"unexpected: {key}" for key in state if key not in own]
    loaded = {key: entry.array for key, entry in own.items() if key in state}
    values = {key: _numbers(key, state[key], array) for key, array in loaded.items()}
    for key, array in loaded.items():
        if values[key].shape != array.shape:
            problems.append(f"{key}: expected shape {array.shape}, got {values[key].shape}")
        if not array.flags.writeable:
            problems.append(f"{key}: the layer's own array is read-only")
    if problems:
        raise ValueError(f"the state does not fit this layer: {'; '.join(problems)}")
    # The state may hold views of the layer's arrays, so none is written before all are copied.
    copies = {key: values[key].astype(array.dtype) for key, array in loaded.items()}
    names: dict[int, str] = {}
    for key, array in loaded.items():
        name = names.setdefault(id(array), key)
        if name != key and not np.array_equal(copies[name], copies[key], equal_nan=True):
            raise ValueError(
                f"{name} and {key} are names of one {own[key].kind}, but their values in the state "
                "differ"
            )
    for key, array in loaded.items():
        array[...] = copies[key]


def _numbers(key: str, value: object, own: NDArray[Any]) -> NDArray[Any]:
    """Return a value as an array that can be converted to the dtype of the layer's own."""
    counts = own.dtype == INT64
    # A count may come as a number, since arrays without axes decay to numbers on many ways.
    if counts and isinstance(value, int | np.integer) and not isinstance(value, bool):
        value = np.array(value)
    if not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{key} must be a numpy.ndarray, got {type(value).__name__}")
    if value.dtype.kind not in ("iu" if counts else "f"):
        wanted = "an integer" if counts else "a float"
        raise TypeError(f"{key} must have {wanted} dtype, got {value.dtype}")
    if value.dtype.kind == "u" and (value > np.iinfo(INT64).max).any():
        raise ValueError(f"{key}: {value.max()} is larger than any int64")
    return value
