"""Reading and writing .safetensors files; the library is an optional one."""

import json
import os
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from fastconv._check import Array
from fastconv.training._reading import refusing

# The types of the format that NumPy has, too.
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
    "C64": "<c8",
}
_METADATA = "__metadata__"


def safetensors_library() -> Any:
    """Return the library.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "the .safetensors format needs safetensors: pip install 'fastconv[safetensors]'"
        ) from None
    return safetensors


def read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """Read all arrays of a .safetensors file.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    arrays : dict of str to ndarray
    metadata : dict of str to str

    Raises
    ------
    ValueError
        If its structure is damaged, or an entry is of a type that NumPy lacks, such as bfloat16;
        the text names the file and what is wrong. The format has no checksum for the values.
    ImportError
        If the library is not installed.
    OSError
        If it cannot be read.
    """
    library = safetensors_library()
    arrays: dict[str, Array] = {}
    with open(path, "rb") as file:
        data = file.read()
    with refusing(f"{os.fspath(path)}: not a readable .safetensors file"):
        # The library checks each claim of the header against the length before it allocates.
        for key, entry in library.deserialize(data):
            if entry["dtype"] not in _DTYPES:
                raise ValueError(
                    f"entry {key!r} is of type {entry['dtype']}, expected {', '.join(_DTYPES)}"
                )
            with refusing(f"entry {key!r}"):
                values = np.frombuffer(entry["data"], _DTYPES[entry["dtype"]])
                arrays[key] = values.reshape(entry["shape"])
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return arrays, header.get(_METADATA) or {}


def write_safetensors(
    file: BinaryIO, arrays: Mapping[str, Array], metadata: dict[str, str]
) -> None:
    """Write a .safetensors file.

    Parameters
    ----------
    file : binary file
        Open for writing.
    arrays : mapping of str to ndarray
    metadata : dict of str to str

    Raises
    ------
    ValueError
        If the format has no such type or key.
    ImportError
        If the library is not installed.
    """
    library = safetensors_library()
    for key, array in arrays.items():
        if array.dtype.newbyteorder("<").str not in _DTYPES.values():
            raise ValueError(
                f"entry {key!r} holds {array.dtype}, which .safetensors does not have; expected "
                f"{', '.join(np.dtype(name).name for name in _DTYPES.values())}"
            )
    if _METADATA in arrays:
        raise ValueError(f"entry {_METADATA!r}: .safetensors reserves this name")
    # The format keeps C order only; asarray, unlike ascontiguousarray, keeps 0-d.
    ordered = {key: np.asarray(array, order="C") for key, array in arrays.items()}
    file.write(library.numpy.save(ordered, metadata))
