"""What reading any file of data needs: damage refused in one form, and memory by what arrives."""

import errno
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import numpy as np

from fastconv._check import Array

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
    order: Literal["C", "F"] = "C",
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
    # One byte more than expected is asked for: then the stream checks its own end, too.
    while len(data) <= expected and (piece := stream.read(min(expected + 1 - len(data), _PIECE))):
        data += piece
    if len(data) != expected:
        came = f"only {len(data)}" if len(data) < expected else "more"
        raise ValueError(
            f"{came} bytes of data, expected {expected} = shape {shape} x {dtype.itemsize}"
        )
    return np.frombuffer(data, dtype).reshape(shape, order=order)
