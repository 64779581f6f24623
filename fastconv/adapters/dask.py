"""The filters of dask-image on NumPy's arrays, computed by fastconv, a block at a time.

    import fastconv.adapters.dask
    fastconv.adapters.dask.enable()

From then on ``dask_image.ndfilters.gaussian_filter`` and the others filter each block by fastconv,
with one thread: dask computes several blocks at a time by itself. What fastconv does not serve
SciPy computes as before; `stats` says which, and why, for the blocks of this process.

An image that is larger than memory is best given to `dask.array.from_array` as an object that reads
a part when it is indexed, such as a dataset of HDF5 or Zarr: of a NumPy array, memory-mapped or
not, dask makes a copy in memory.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

try:
    import scipy.ndimage
    from dask_image.dispatch import _dispatch_ndfilters as dispatch
except ImportError as error:
    raise ImportError("dask's filters need dask-image: pip install 'fastconv[dask]'") from error

import fastconv
from fastconv import ndimage
from fastconv.adapters import scipy as filters
from fastconv.adapters._switch import Connection, Stats, Switch

__all__ = ["disable", "enable", "enabled", "stats"]

_NAMES = tuple(name for name in ndimage.__all__ if hasattr(dispatch, f"dispatch_{name}"))


@dataclass(frozen=True)
class _Filter:
    """A function of `fastconv.ndimage`, with one thread; other processes get it by its name."""

    name: str

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        functions = getattr(ndimage, self.name), getattr(scipy.ndimage, self.name)
        with fastconv.num_threads(1):
            return filters.serve(
                _switch.count, f"ndimage.{self.name}", functions, arguments, options
            )


def _connection(name: str) -> Connection:
    dispatcher = getattr(dispatch, f"dispatch_{name}")
    theirs = dispatcher.dispatch(np.ndarray)

    def ours(*arguments: Any, **options: Any) -> _Filter:
        return _Filter(name)

    return Connection(
        lambda: dispatcher.register(np.ndarray, ours),
        lambda: dispatcher.register(np.ndarray, theirs),
    )


_switch = Switch({name: _connection(name) for name in _NAMES})


def enable(ops: Iterable[str] = _NAMES) -> None:
    """Have fastconv filter the blocks of dask's arrays, until `disable`.

    It holds for the graphs that are made from then on, in whatever process they are computed.

    Parameters
    ----------
    ops : iterable of str
        Names of filters, such as "sobel"; by default all that fastconv and dask-image both have.

    Raises
    ------
    ValueError
        If there is no such filter.

    Examples
    --------
    >>> import fastconv.adapters.dask                           # doctest: +SKIP
    >>> fastconv.adapters.dask.enable()                         # doctest: +SKIP
    """
    _switch.enable(ops)


def disable() -> None:
    """Have SciPy filter the blocks again, also where an `enabled` is still open."""
    _switch.disable()


def enabled(ops: Iterable[str] = _NAMES) -> AbstractContextManager[None]:
    """Enable inside a `with` statement, for the whole process.

    Parameters
    ----------
    ops
        As in `enable`.

    Returns
    -------
    context manager
    """
    return _switch.enabled(ops)


def stats() -> Stats:
    """Return how many blocks were served, and which were passed on to SciPy and why.

    Returns
    -------
    Stats
        Rows by operation and reason; str() of it is a table.
    """
    return _switch.stats()
