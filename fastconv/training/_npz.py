"""Reading and writing .npz files as data only."""

import io
import os
import struct
import zipfile
from collections.abc import Collection, Mapping
from typing import Any, BinaryIO

import numpy as np

from fastconv._check import Array
from fastconv.training._reading import (
    Order,
    map_array,
    read_array,
    refusing,
    skip_array,
    unpack_array,
)

# The kinds of dtype that hold numbers, texts or dates: no objects, which would need pickle, and no
# records.
KINDS = "biufcSUmM"
# Headers of such arrays are shorter; a longer one is refused before it is read.
_HEADER = 4096
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# The last record of a zip file: signature, number of entries, length of the comment behind it.
_END = struct.Struct("<4s6xH8xH")
_END_SIGNATURE = b"PK\5\6"
# What stands before the data of an entry: the last are the lengths of its name and of more.
_LOCAL = struct.Struct("<26xHH")


def read_npz(
    path: str | os.PathLike[str], mapped: Collection[str] = ()
) -> tuple[dict[str, Array], bytes]:
    """Read all arrays of an .npz file.

    Parameters
    ----------
    path : path-like
        A file as `numpy.savez` or `numpy.savez_compressed` writes it.
    mapped : collection of str, optional
        Names of arrays that are mapped into memory: read once to check them, and then again as
        they are used. A compressed one is unpacked into a temporary file.

    Returns
    -------
    arrays : dict of str to ndarray
    comment : bytes
        The comment of the zip file.

    Raises
    ------
    ValueError
        If it is damaged, or holds something else than arrays of numbers, texts or dates; the text
        names the file and what is wrong.
    OSError
        If it cannot be read.
    """
    arrays: dict[str, Array] = {}
    with (
        open(path, "rb") as file,
        refusing(f"{os.fspath(path)}: not a readable .npz file"),
        zipfile.ZipFile(file) as archive,
    ):
        _check_directory(file, archive)
        for info in archive.infolist():
            key = info.filename.removesuffix(".npy")
            if key == info.filename:
                raise ValueError(f"entry {key!r} is no array, its name does not end in .npy")
            if key in arrays:
                raise ValueError(f"entry {key!r} is there twice")
            with refusing(f"entry {key!r}"):
                arrays[key] = _read_entry(archive, info, file if key in mapped else None)
    return arrays, archive.comment


def write_npz(file: BinaryIO, arrays: Mapping[str, Array], comment: bytes = b"") -> None:
    """Write what numpy.savez would, for any key: its own arguments exclude the key "file".

    Parameters
    ----------
    file : binary file
        Open for writing.
    arrays : mapping of str to ndarray
    comment : bytes, optional
        The comment of the zip file, which `numpy.load` ignores.

    Raises
    ------
    ValueError
        If a key cannot be the name of an entry.
    """
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = comment
        for key, array in arrays.items():
            info = zipfile.ZipInfo(f"{key}.npy")
            if info.filename != f"{key}.npy":
                raise ValueError(f"entry {key!r}: a zip file would rename it {info.filename!r}")
            with archive.open(info, "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _check_directory(file: BinaryIO, archive: zipfile.ZipFile) -> None:
    """Refuse what zipfile accepts: a lost entry, a cut or continued file, entries that overlap."""
    infos = archive.infolist()
    size = file.seek(0, os.SEEK_END)
    file.seek(size - _END.size - len(archive.comment))
    signature, count, comment_length = _END.unpack(file.read(_END.size))
    if signature != _END_SIGNATURE or comment_length != len(archive.comment):
        raise ValueError("it does not end where its last record says")
    if count not in (len(infos), 0xFFFF):  # the latter stands for any larger number
        raise ValueError(f"its directory lists {len(infos)} entries, expected {count}")
    # Entries that share their data could make far more of it than deflate can.
    if (compressed := sum(info.compress_size for info in infos)) > size:
        raise ValueError(f"its entries claim {compressed} bytes of a file of {size}")


def _read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, mapped: BinaryIO | None) -> Array:
    # The decompressors of other methods return all they have at once.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"compressed by method {info.compress_type}, expected 0 or 8 (deflate)")
    with archive.open(info) as stream:
        head = io.BytesIO(stream.read(_HEADER))
        shape, fortran_order, dtype = _read_header(head)
        order: Order = "F" if fortran_order else "C"
        length = head.tell()
        begin = head.read()
        if mapped is None:
            return read_array(stream, shape, dtype, order=order, begin=begin)
        if info.compress_type == zipfile.ZIP_DEFLATED:
            return unpack_array(stream, shape, dtype, order=order, begin=begin)
        # So the checksum is looked at.
        skip_array(stream, shape, dtype, begin)
    return map_array(mapped, _data_offset(mapped, info) + length, shape, dtype, order)


def _data_offset(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Return where the data of an entry begin: behind its own header, which zipfile has checked."""
    file.seek(info.header_offset)
    name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
    return info.header_offset + _LOCAL.size + int(name) + int(extra)


def _read_header(head: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(head)
    if version not in _READ_HEADER:
        raise ValueError(f"of .npy version {version}, expected one of {list(_READ_HEADER)}")
    try:
        shape, fortran_order, dtype = _READ_HEADER[version](head)
    except MemoryError as error:  # so Python calls brackets that are nested too deeply
        raise ValueError("its header is nested too deeply") from error
    if dtype.kind not in KINDS:
        raise ValueError(f"holds {dtype}, expected numbers, texts or dates")
    if any(size < 0 for size in shape):
        raise ValueError(f"of shape {shape}, expected no negative size")
    return shape, fortran_order, dtype
