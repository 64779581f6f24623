"""Reading and writing .npz files as data only."""

import os
import zipfile
import zlib
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from fastconv.training.data import Array


def read_npz(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Read all arrays of an .npz file.

    Parameters
    ----------
    path : path-like
        A file as `numpy.savez` writes it.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ValueError
        If it is damaged, or holds something else than arrays of numbers; the text names it.
    OSError
        If it cannot be read.
    """
    # NumPy leaves a file that it opened itself, and that is no archive, to the garbage collector.
    with open(path, "rb") as raw:
        try:
            loaded = np.load(raw, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            with loaded:
                arrays = {key: loaded[key] for key in loaded.files}
            for key, array in arrays.items():
                if not isinstance(array, np.ndarray):
                    raise ValueError(f"entry {key!r} is no array")
        except (
            ValueError,
            EOFError,
            KeyError,
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise ValueError(f"{os.fspath(path)}: not a readable .npz file ({error})") from error
    return arrays


def write_npz(file: BinaryIO, arrays: Mapping[str, Array]) -> None:
    """Write what numpy.savez would, for any key: its own arguments exclude the key "file".

    Parameters
    ----------
    file : binary file
        Open for writing.
    arrays : mapping of str to ndarray
    """
    with zipfile.ZipFile(file, "w") as archive:
        for key, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
