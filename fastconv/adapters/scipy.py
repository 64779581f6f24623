"""The filters of scipy.ndimage, and the convolutions of scipy.signal, computed by fastconv.

    import fastconv.adapters.scipy
    fastconv.adapters.scipy.patch()

From then on ``scipy.ndimage.gaussian_filter`` and the others are fastconv's, for programs and
libraries that know nothing of it: scikit-image's filters, for one. What fastconv does not serve
SciPy computes as before, and wrong arguments get SciPy's own errors; `stats` says which, and why.
Names that were imported before, as by ``from scipy.ndimage import sobel``, stay SciPy's.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import wraps
from types import ModuleType
from typing import Any

import numpy as np

try:
    import scipy.ndimage
    import scipy.signal
except ImportError as error:
    raise ImportError("SciPy's functions need SciPy: pip install 'fastconv[scipy]'") from error

from fastconv import ndimage, signal
from fastconv.adapters._switch import Connection, Count, Stats, Switch
from fastconv.engine.filters.types import TYPES

__all__ = ["patch", "patched", "stats", "unpatch"]

Function = Callable[..., Any]

_ROOMS: tuple[tuple[str, ModuleType, ModuleType], ...] = (
    ("ndimage", scipy.ndimage, ndimage),
    ("signal", scipy.signal, signal),
)
# The arguments that are arrays: they come first, the second of these functions, too.
_ARRAYS = ("input", "weights", "in1", "in2")
_OF_TWO = ("convolve", "convolve1d", "correlate", "correlate1d")
# Of wrong arguments SciPy tells the user.
_WRONG = "the arguments are wrong"
_COMPLEX = (np.dtype(np.complex64), np.dtype(np.complex128))


def _refusal(value: Any) -> str:
    """Return why an array is not served, or ""."""
    if isinstance(value, np.ma.MaskedArray):
        return "a masked array"
    if not isinstance(value, np.ndarray | np.generic | list | tuple | int | float | complex):
        return f"an array of {type(value).__module__.split('.')[0]}"
    dtype = np.asarray(value).dtype.newbyteorder("=")
    return "" if dtype in TYPES or dtype in _COMPLEX else f"dtype {dtype}"


def _decide(operation: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> str:
    """Return why a call is not served, or ""."""
    arrays = [*arguments[:2], *(options[name] for name in _ARRAYS if name in options)]
    room, _, name = operation.partition(".")
    count = 2 if room == "signal" or name in _OF_TWO else 1
    return next(filter(None, map(_refusal, arrays[:count])), "")


def serve(
    count: Callable[[str, str], Count],
    operation: str,
    functions: tuple[Function, Function],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> Any:
    """Call our function if it serves the arguments, else theirs; count which, and why.

    Parameters
    ----------
    count : callable
        That of a `Switch`.
    operation : str
        Such as "ndimage.sobel".
    functions : tuple of callable
        Ours, and theirs.
    arguments, options
        Of the call.
    """
    ours, theirs = functions
    reason = _decide(operation, arguments, options)
    if reason:
        count(operation, reason).calls += 1
        return theirs(*arguments, **options)
    try:
        result = ours(*arguments, **options)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # Nothing was written: SciPy says it in its own words.
        refused = str(error)
    else:
        count(operation, "").calls += 1
        return result
    try:
        result = theirs(*arguments, **options)
    except Exception:
        count(operation, _WRONG).calls += 1
        raise
    count(operation, refused).calls += 1
    return result


def _connection(operation: str, module: ModuleType, name: str, ours: Function) -> Connection:
    theirs: Function = getattr(module, name)

    @wraps(theirs)
    def replacement(*arguments: Any, **options: Any) -> Any:
        return serve(_switch.count, operation, (ours, theirs), arguments, options)

    return Connection(
        lambda: setattr(module, name, replacement), lambda: setattr(module, name, theirs)
    )


_CONNECTIONS = {
    f"{room}.{name}": _connection(f"{room}.{name}", module, name, getattr(own, name))
    for room, module, own in _ROOMS
    for name in own.__all__
    if hasattr(module, name)
}
_ALL = tuple(_CONNECTIONS)
_switch = Switch(_CONNECTIONS)


def patch(ops: Iterable[str] = _ALL) -> None:
    """Have fastconv compute functions of SciPy's, until `unpatch`.

    It holds for the whole process. To patch what is patched changes nothing.

    Parameters
    ----------
    ops : iterable of str
        Names such as "ndimage.sobel" and "signal.convolve2d"; by default all that fastconv has.

    Raises
    ------
    ValueError
        If there is no such function.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.ndimage
    >>> import fastconv.adapters.scipy
    >>> fastconv.adapters.scipy.patch()
    >>> scipy.ndimage.sobel(np.tri(3))
    array([[-3., -4., -1.],
           [-1., -3., -2.],
           [ 0., -1., -1.]])
    >>> print(fastconv.adapters.scipy.stats())
    operation      calls  seconds  saved
    ndimage.sobel      1        -      -  served
    >>> fastconv.adapters.scipy.unpatch()
    """
    _switch.enable(ops)


def unpatch() -> None:
    """Have SciPy compute everything again, also where a `patched` is still open."""
    _switch.disable()


def patched(ops: Iterable[str] = _ALL) -> AbstractContextManager[None]:
    """Patch inside a `with` statement, for the whole process.

    Parameters
    ----------
    ops
        As in `patch`.

    Returns
    -------
    context manager
        Any number may be open at once, also in several threads: the patch ends with the last one,
        unless `patch` was called.

    Examples
    --------
    >>> import scipy.signal
    >>> import fastconv.adapters.scipy
    >>> with fastconv.adapters.scipy.patched():
    ...     scipy.signal.convolve([1, 2, 3], [0, 1, 5])
    array([ 0,  1,  7, 13, 15])
    """
    return _switch.enabled(ops)


def stats() -> Stats:
    """Return what was served, and what was passed on to SciPy and why, since it was patched.

    Returns
    -------
    Stats
        Rows by operation and reason; str() of it is a table.

    Examples
    --------
    >>> import fastconv.adapters.scipy
    >>> with fastconv.adapters.scipy.patched():
    ...     fastconv.adapters.scipy.stats().served
    0
    """
    return _switch.stats()
