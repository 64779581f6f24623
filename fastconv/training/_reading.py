"""What reading any file of data needs: damage refused in one form, and memory by what arrives."""

import errno
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Literal, Protocol, TypeAlias

import numpy as np

from fastconv._check import Array

Order: TypeAlias = Literal["C", "F"]

_PIECE = 1 << 20


class Stream(Protocol):
    """What is read from: a file, or a decompressor over one."""

    def read(self, size: int, /) -> bytes:
        """Return up to so many bytes, none at the end."""


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn whatever a parser raises over damaged data into a ValueError.

    Parsers such as `zipfile` promise no list of exceptions: they also raise RuntimeError, EOFError,
    NotImplementedError, OverflowError and others. What the disk raises, or a lack of memory, passes
    through.

    Parameters
    ----------
    what : str
        The file, or the place in it: the beginning of the ValueError's text.

    Raises
    ------
    ValueError
        If the block raised; the text goes on with the parser's own.

    Examples
    --------
    >>> with refusing("weights.npz"):
    ...     raise EOFError("no more data")
    Traceback (most recent call last):
        ...
    ValueError: weights.npz: no more data
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        # The system calls a seek to before the file's begin, by a damaged offset, an invalid
        # argument; errors of gzip are OSErrors without a number.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError(f"{what}: {str(error) or type(error).__name__}") from error


def read_array(
    stream: Stream,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    order: Order = "C",
    begin: bytes = b"",
) -> Array:
    """Read an array of a claimed shape from a stream that must end with it.

    Memory grows as data arrives, so that a false claim allocates nothing.

    Parameters
    ----------
    stream : Stream
        Where the values come from.
    shape : tuple of int
        What a header claims.
    dtype : dtype
        Type of a value.
    order : {"C", "F"}, optional
        Whether the last axis or the first one varies fastest.
    begin : bytes, optional
        What has been read of the values before.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If the stream holds fewer bytes or more.

    Examples
    --------
    >>> import io
    >>> read_array(io.BytesIO(bytes(range(6))), (2, 3), np.dtype("u1"))
    array([[0, 1, 2],
           [3, 4, 5]], dtype=uint8)
    >>> read_array(io.BytesIO(bytes(range(6))), (2**42,), np.dtype("f4"))
    Traceback (most recent call last):
        ...
    ValueError: only 6 bytes of data, expected 17592186044416 = shape (4398046511104,) x 4
    """
    expected = math.prod(shape) * dtype.itemsize
    data = bytearray(begin)
    for piece in _pieces(stream, expected - len(data)):
        data += piece
    check_length(len(data), shape, dtype)
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def map_array(
    file: BinaryIO, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], order: Order = "C"
) -> Array:
    """Map an array into memory that lies in a file, which may be closed then.

    Its pages are read when they are used. The file must not become shorter while the array is
    there.

    Parameters
    ----------
    file : binary file
        Open for reading.
    offset : int
        Where the values begin; they must all be there.
    shape, dtype, order
        As of `read_array`.

    Returns
    -------
    ndarray
        Read-only.

    Raises
    ------
    ValueError
        If the file is too short.
    """
    length = math.prod(shape) * dtype.itemsize
    came = os.fstat(file.fileno()).st_size - offset
    if came < length:
        check_length(came, shape, dtype)
    if not length:
        return np.empty(shape, dtype, order)
    return np.asarray(np.memmap(file, dtype, "r", offset, shape, order))


def unpack_array(
    stream: Stream,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    order: Order = "C",
    begin: bytes = b"",
) -> Array:
    """Read an array from a stream as `read_array` does, into a temporary file that is mapped.

    The file has no name and is gone with the array. It lies where the module `tempfile` puts it,
    which the variable TMPDIR sets.

    Parameters
    ----------
    stream, shape, dtype, order, begin
        As of `read_array`.

    Returns
    -------
    ndarray
        Read-only.

    Raises
    ------
    ValueError
        If the stream holds fewer bytes or more.
    """
    came = len(begin)
    with tempfile.TemporaryFile() as file:
        file.write(begin)
        for piece in _pieces(stream, math.prod(shape) * dtype.itemsize - came):
            file.write(piece)
            came += len(piece)
        check_length(came, shape, dtype)
        file.flush()
        return map_array(file, 0, shape, dtype, order)


def skip_array(
    stream: Stream, shape: tuple[int, ...], dtype: np.dtype[Any], begin: bytes = b""
) -> None:
    """Read an array from a stream and forget it: whatever the stream checks at its end is checked.

    Parameters
    ----------
    stream, shape, dtype, begin
        As of `read_array`.

    Raises
    ------
    ValueError
        If the stream holds fewer bytes or more.
    """
    expected = math.prod(shape) * dtype.itemsize
    rest = sum(map(len, _pieces(stream, expected - len(begin))))
    check_length(len(begin) + rest, shape, dtype)


def check_length(came: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse a number of bytes that is not that of an array.

    Parameters
    ----------
    came : int
    shape : tuple of int
    dtype : dtype

    Raises
    ------
    ValueError
        If there are more or fewer.
    """
    expected = math.prod(shape) * dtype.itemsize
    if came != expected:
        raise ValueError(
            f"{f'only {came}' if came < expected else 'more'} bytes of data, expected {expected} "
            f"= shape {shape} x {dtype.itemsize}"
        )


def _pieces(stream: Stream, length: int) -> Iterator[bytes]:
    """Yield what a stream holds, and no more than one byte more than a length."""
    # That byte is asked for: then the stream checks its own end, too.
    while length >= 0 and (piece := stream.read(min(length + 1, _PIECE))):
        yield piece
        length -= len(piece)
