"""Readers for the files in which image data sets come: IDX, CIFAR-10 binary, .npz.

Files are read as data only, and everything a file claims is checked against its length. Images are
not loaded: they stay in their files, which are mapped into memory, so that the system reads what is
used and drops what is not. Where they are compressed, and could only be read from the beginning,
they are unpacked once, piece by piece, into a temporary file without a name, and that is mapped.
"""

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fastconv.training._npz import read_npz
from fastconv.training._reading import (
    Stream,
    check_length,
    map_array,
    read_array,
    refusing,
    unpack_array,
)
from fastconv.training.data import Array, Dataset, load_digits
from fastconv.training.folders import has_images, load_folder
from fastconv.training.sources import MappedImages

IDX_STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
# Third byte of an IDX file (http://yann.lecun.com/exdb/mnist, "the IDX file format").
_IDX_DTYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_CIFAR10_FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
_CIFAR10_FOLDER = "cifar-10-batches-bin"
_CIFAR10_RECORD = 1 + 3 * 32 * 32
_CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


def load(source: str | os.PathLike[str], **options: Any) -> Dataset:
    """Load a data set by name or from files, whose format is recognised.

    Parameters
    ----------
    source : str or path-like
        ``"digits"``; or a directory with the four IDX files of MNIST or Fashion-MNIST, plain or
        gzipped; or a directory with the binary version of CIFAR-10; or an .npz file with the
        arrays ``x_train``, ``y_train``, ``x_test`` and ``y_test``; or a folder of images, one
        folder a class (`load_folder`).
    **options : optional
        Those of `load_folder`, for a folder of images.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If the source is none of these, or a file is damaged; the text names it. Also if options
        are given for one that takes none.

    Examples
    --------
    >>> load("digits").name
    'digits'
    """
    path = Path(source)
    reader = _reader(source, path)
    if reader is load_folder:
        return load_folder(path, **options)
    given = {name: value for name, value in options.items() if value}
    if given:
        raise ValueError(
            f"{', '.join(given)}: only for a folder of images, not {os.fspath(source)!r}"
        )
    return load_digits() if reader is None else reader(path)


def _reader(source: str | os.PathLike[str], path: Path) -> Callable[..., Dataset] | None:
    """Return what reads a source, or None for the digits."""
    if source == "digits":
        return None
    if path.is_dir():
        if is_idx(path):
            return load_idx
        if is_cifar10(path):
            return load_cifar10
        if has_images(path):
            return load_folder
        found = "is a directory without such files"
    elif path.is_file():
        if path.suffix == ".npz":
            return load_npz
        found = "is a file of another kind"
    else:
        found = "does not exist"
    raise ValueError(
        f"data: {os.fspath(source)!r} {found}; expected 'digits', a directory with IDX files "
        f"({IDX_STEMS[0]} and so on, .gz or not), a directory with the CIFAR-10 binary "
        "files (data_batch_1.bin and so on), an .npz file with x_train, y_train, x_test and "
        "y_test, or a directory of images with one folder a class"
    )


def read_idx(path: str | os.PathLike[str]) -> Array:
    """Read one array from an IDX file.

    Parameters
    ----------
    path : path-like
        The file; gzip compression is recognised by its first bytes.

    Returns
    -------
    ndarray
        In native byte order.

    Raises
    ------
    ValueError
        If it is no IDX file, or shorter or longer than its header says.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "labels-idx1-ubyte")
    ...     _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read_idx(file)
    array([7, 2, 1], dtype=uint8)
    """
    with _opened_idx(path) as (file, _):
        array = read_array(file, *_read_idx_header(file))
        return array.astype(array.dtype.newbyteorder("="), copy=False)


def _map_idx(path: Path) -> Array:
    """Return what `read_idx` does, mapped into memory, in the byte order of the file."""
    with _opened_idx(path) as (file, raw):
        shape, dtype = _read_idx_header(file)
        if file is not raw:
            return unpack_array(file, shape, dtype)
        offset = raw.tell()
        check_length(os.fstat(raw.fileno()).st_size - offset, shape, dtype)
        return map_array(raw, offset, shape, dtype)


@contextmanager
def _opened_idx(path: str | os.PathLike[str]) -> Iterator[tuple[Stream, BinaryIO]]:
    """Yield a stream of the contents, and the file itself; the two are one if it is not packed."""
    name = os.fspath(path)
    with open(path, "rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with refusing(f"{name}: not a readable IDX file"):
            try:
                yield (gzip.GzipFile(fileobj=raw) if compressed else raw), raw
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise ValueError(f"damaged gzip file ({error})") from error


def _read_idx_header(file: Stream) -> tuple[tuple[int, ...], np.dtype[Any]]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_DTYPES or magic[3] == 0:
        raise ValueError(
            f"starts with {magic.hex(' ') or 'nothing'}, expected the IDX magic number: "
            f"00 00, a type code among {', '.join(f'{code:02x}' for code in _IDX_DTYPES)}, and "
            "the number of axes"
        )
    header = file.read(4 * magic[3])
    if len(header) != 4 * magic[3]:
        raise ValueError(f"ends within the header, expected {magic[3]} sizes")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4"))
    return shape, np.dtype(_IDX_DTYPES[magic[2]])


def _find_idx(directory: Path, stem: str) -> Path | None:
    dotted = stem.replace("-idx", ".idx")
    for name in (stem, f"{stem}.gz", dotted, f"{dotted}.gz"):
        if (directory / name).is_file():
            return directory / name
    return None


def is_idx(directory: Path) -> bool:
    """Say whether a directory holds at least one of the four IDX files."""
    return any(_find_idx(directory, stem) for stem in IDX_STEMS)


def load_idx(directory: str | os.PathLike[str]) -> Dataset:
    """Load MNIST, Fashion-MNIST or another data set in four IDX files.

    Parameters
    ----------
    directory : path-like
        Holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte``
        and ``t10k-labels-idx1-ubyte``, each with .gz or without.

    Returns
    -------
    Dataset
        Named as the directory. The images are mapped into memory; those of a .gz file from a
        temporary file that they are unpacked into once.

    Raises
    ------
    ValueError
        If a file is missing or damaged.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for stem, axes in ("train-", 3), ("t10k-", 3), ("train-", 1), ("t10k-", 1):
    ...         kind = "images-idx3-ubyte" if axes == 3 else "labels-idx1-ubyte"
    ...         header = bytes([0, 0, 8, axes]) + bytes([0, 0, 0, 2]) * axes
    ...         _ = Path(folder, stem + kind).write_bytes(header + bytes(2**axes))
    ...     load_idx(folder).train_images.shape
    (2, 1, 2, 2)
    """
    path = Path(directory)
    files = {stem: _find_idx(path, stem) for stem in IDX_STEMS}
    missing = [stem for stem, file in files.items() if file is None]
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(missing)} (.gz or not)")
    arrays = []
    for stem, file in files.items():
        assert file is not None
        axes = 3 if "images" in stem else 1
        array = _map_idx(file) if axes == 3 else read_idx(file)
        if array.dtype != np.uint8 or array.ndim != axes:
            raise ValueError(
                f"{file}: holds {array.dtype} of shape {array.shape}, "
                f"expected uint8 with {axes} axes"
            )
        arrays.append(array[:, np.newaxis] if axes == 3 else array)
    return _dataset(path, path.resolve().name, arrays)


def is_cifar10(directory: Path) -> bool:
    """Say whether a directory, or the folder of the archive in it, holds CIFAR-10 files."""
    return any(
        (folder / name).is_file()
        for folder in (directory, directory / _CIFAR10_FOLDER)
        for name in _CIFAR10_FILES
    )


def load_cifar10(directory: str | os.PathLike[str]) -> Dataset:
    """Load the binary version of CIFAR-10.

    Parameters
    ----------
    directory : path-like
        Holds ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``, or the folder
        ``cifar-10-batches-bin`` with them.

    Returns
    -------
    Dataset
        Images of shape (3, 32, 32), uint8, mapped into memory.

    Raises
    ------
    ValueError
        If a file is missing, or is no sequence of records of 3,073 bytes with labels below 10.

    Examples
    --------
    >>> import tempfile
    >>> names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in names:
    ...         _ = Path(folder, name).write_bytes(bytes([3]) + bytes(3072))
    ...     load_cifar10(folder).train_images.shape
    (5, 3, 32, 32)

    Notes
    -----
    Krizhevsky, "Learning multiple layers of features from tiny images" (2009). A record is one
    label and the red, green and blue planes in row order.
    """
    path = Path(directory)
    if (path / _CIFAR10_FOLDER).is_dir():
        path = path / _CIFAR10_FOLDER
    missing = [name for name in _CIFAR10_FILES if not (path / name).is_file()]
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(missing)}")
    parts = [_read_cifar10(path / name) for name in _CIFAR10_FILES]
    images = [records[:, 1:].reshape(-1, 3, 32, 32) for records in parts]
    labels = [records[:, 0] for records in parts]
    arrays = [MappedImages(images[:5]), np.concatenate(labels[:5]), images[5], labels[5].copy()]
    return _dataset(path, "cifar10", arrays, _CIFAR10_CLASSES)


def _read_cifar10(path: Path) -> Array:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0 or size % _CIFAR10_RECORD:
            raise ValueError(
                f"{path}: {size} bytes, expected a positive multiple of {_CIFAR10_RECORD} = "
                "1 label + 3 x 32 x 32 pixels"
            )
        shape = (size // _CIFAR10_RECORD, _CIFAR10_RECORD)
        records = map_array(file, 0, shape, np.dtype(np.uint8))
    if records[:, 0].max() >= 10:
        raise ValueError(f"{path}: a label is {records[:, 0].max()}, expected 0 to 9")
    return records


def load_npz(path: str | os.PathLike[str]) -> Dataset:
    """Load a data set from an .npz file with the names that Keras uses.

    Parameters
    ----------
    path : path-like
        Holds ``x_train``, ``y_train``, ``x_test`` and ``y_test``. Images are (N, H, W),
        (N, C, H, W) or (N, H, W, C), with 1, 3 or 4 channels in the last two cases.

    Returns
    -------
    Dataset
        Named as the file. The images are mapped into memory; compressed ones from a temporary file
        that they are unpacked into once.

    Raises
    ------
    ValueError
        If the file is damaged, an array is missing, or the axes cannot be told apart.

    Examples
    --------
    >>> import tempfile
    >>> x, y = np.zeros((2, 8, 8), np.uint8), np.arange(2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder, "tiny.npz"), x_train=x, y_train=y, x_test=x, y_test=y)
    ...     load_npz(Path(folder, "tiny.npz")).train_images.shape
    (2, 1, 8, 8)
    """
    keys = ("x_train", "y_train", "x_test", "y_test")
    name = os.fspath(path)
    found, _ = read_npz(path, mapped=("x_train", "x_test"))
    missing = [key for key in keys if key not in found]
    if missing:
        raise ValueError(f"{name}: lacks {', '.join(missing)}; holds {', '.join(found)}")
    arrays = [found[key] for key in keys]
    for index in (0, 2):
        arrays[index] = _channels_first(arrays[index], f"{name}: {keys[index]}")
    for index in (1, 3):
        if arrays[index].ndim == 2 and arrays[index].shape[1] == 1:
            arrays[index] = arrays[index][:, 0]
    return _dataset(Path(path), Path(path).stem, arrays)


def _channels_first(images: Array, name: str) -> Array:
    if images.ndim == 3:
        return images[:, np.newaxis]
    if images.ndim == 4:
        first, last = images.shape[1] in (1, 3, 4), images.shape[3] in (1, 3, 4)
        if first != last:
            return images if first else images.transpose(0, 3, 1, 2)
    raise ValueError(
        f"{name} has shape {images.shape}, expected (N, H, W), or (N, C, H, W) or (N, H, W, C) "
        "with 1, 3 or 4 channels"
    )


def _dataset(
    path: Path, name: str, arrays: list[Any], class_names: tuple[str, ...] = ()
) -> Dataset:
    """Build the data set, with the path in front of what is wrong with it."""
    try:
        train_images, train_labels, test_images, test_labels = arrays
        return Dataset(name, train_images, train_labels, test_images, test_labels, class_names)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
