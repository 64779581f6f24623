"""Writing a file so that it is either complete or not there at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the place of ``path`` when the block ends well.

    The temporary file lies in the same directory, so that the final rename is atomic: whoever
    opens ``path``, also after a crash or a kill, finds the old contents or the new ones, complete.

    Parameters
    ----------
    path : path-like
        The file to write. Its directory must exist.

    Yields
    ------
    binary file
        Where to write. When the block raises, it is removed and ``path`` stays as it was.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder, "numbers.txt")
    ...     with replacing(target) as file:
    ...         _ = file.write(b"1 2 3")
    ...     target.read_text()
    '1 2 3'
    """
    target, temporary = _names(path)
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush_directory(target.parent)


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Make sure that `replacing` could write a file, before the work on its contents begins.

    Parameters
    ----------
    path : path-like
        The file to write.

    Raises
    ------
    OSError
        If the directory is missing or cannot be written to, or the path is a directory.
    """
    target, temporary = _names(path)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    with open(temporary, "wb"):
        pass
    temporary.unlink()


def _names(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    target = Path(os.path.realpath(path))
    return target, target.with_name(f".{target.name}.{os.getpid()}.tmp")


def _flush_directory(directory: Path) -> None:
    """Make the rename itself survive a power cut, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
