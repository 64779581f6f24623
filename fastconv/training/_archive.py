"""Named arrays and a text in one file, with a digest that shows any change of them.

The digest is a SHA-256 of all names, types, shapes and values and of the text. An .npz file keeps
it as the comment of the zip file, which `numpy.load` ignores, and the text as one more array of
bytes; a .safetensors file keeps both in its metadata. Files of others have none.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastconv._check import Array
from fastconv._files import replacing
from fastconv.training._npz import KINDS, read_npz, write_npz
from fastconv.training._reading import refusing
from fastconv.training._safetensors import (
    read_safetensors,
    safetensors_library,
    write_safetensors,
)

_TEXT = "fastconv.checkpoint.json"
_DIGEST = "fastconv.sha256"
_SUFFIXES = (".npz", ".safetensors")


class Archive(NamedTuple):
    """What a file holds.

    Parameters
    ----------
    arrays : dict of str to ndarray
    text : str or None
        None where there is none.
    verified : bool
        Whether there was a digest; it fits.
    """

    arrays: dict[str, Array]
    text: str | None
    verified: bool


def check_format(path: str | os.PathLike[str]) -> str:
    """Return the suffix of a name, if files of that format can be read and written.

    Parameters
    ----------
    path : path-like
        The file's name.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the suffix is neither .npz nor .safetensors.
    ImportError
        If it is .safetensors and the library is not installed.
    """
    suffix = Path(path).suffix
    if suffix not in _SUFFIXES:
        raise ValueError(f"{os.fspath(path)}: ends in {suffix!r}, expected .npz or .safetensors")
    if suffix == ".safetensors":
        safetensors_library()
    return suffix


def write_archive(
    path: str | os.PathLike[str], arrays: Mapping[str, Array], text: str | None = None
) -> None:
    """Write arrays and a text, with their digest; the file is complete or is not replaced.

    Parameters
    ----------
    path : path-like
        A name that ends in .npz or .safetensors.
    arrays : mapping of str to ndarray
    text : str, optional

    Raises
    ------
    ValueError
        If the suffix is another one, or the format cannot hold a key or an array.
    ImportError
        If .safetensors is asked for and the library is not installed.
    """
    suffix = check_format(path)
    for key, array in arrays.items():
        if key == _TEXT:
            raise ValueError(f"entry {key!r}: the name is reserved")
        if array.dtype.kind not in KINDS:
            raise ValueError(f"entry {key!r} holds {array.dtype}, expected numbers, texts or dates")
    digest = _digest(arrays, text)
    with replacing(path) as file:
        if suffix == ".safetensors":
            metadata = {} if text is None else {_TEXT: text}
            write_safetensors(file, arrays, {**metadata, _DIGEST: digest})
        else:
            entries = dict(arrays)
            if text is not None:
                entries[_TEXT] = np.frombuffer(text.encode(), np.uint8)
            write_npz(file, entries, f"{_DIGEST} {digest}".encode())


def read_archive(path: str | os.PathLike[str]) -> Archive:
    """Read a file of `write_archive`, or any .npz or .safetensors file.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    Archive

    Raises
    ------
    ValueError
        If it is damaged; the text names the file and what is wrong.
    ImportError
        If it is a .safetensors file and the library is not installed.
    OSError
        If it cannot be read.
    """
    name = os.fspath(path)
    if check_format(path) == ".safetensors":
        arrays, metadata = read_safetensors(path)
        text, claimed = metadata.get(_TEXT), metadata.get(_DIGEST)
    else:
        arrays, comment = read_npz(path)
        entry = arrays.pop(_TEXT, None)
        with refusing(f"{name}: entry {_TEXT!r}"):
            text = None if entry is None else entry.tobytes().decode()
        key, _, value = comment.decode("latin-1").partition(" ")
        claimed = value if key == _DIGEST else None
    if claimed is not None and claimed != (digest := _digest(arrays, text)):
        raise ValueError(
            f"{name}: damaged or changed: the SHA-256 of its contents is {digest}, "
            f"expected {claimed!r}"
        )
    return Archive(arrays, text, claimed is not None)


def _digest(arrays: Mapping[str, Array], text: str | None) -> str:
    """Return the SHA-256 of the contents, whatever their order and the format."""
    total = hashlib.sha256(json.dumps(text).encode())
    for key in sorted(arrays):
        array = np.asarray(arrays[key], order="C")
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        # A line tells where the next array begins: no two contents give the same bytes.
        total.update(f"\n{json.dumps([key, array.dtype.str, array.shape])}\n".encode())
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()
