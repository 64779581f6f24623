"""Images that stay where they are, in files, and are read when a batch needs them."""

import math
import mmap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

# What is looked at in one go, to find the mean or a NaN: memory does not grow with the data.
_BLOCK_BYTES = 1 << 22


class ImageSource:
    """Images that are read when they are needed: what a `Dataset` takes in place of an array.

    A subclass says what they are, sets `shape` and `dtype`, and has `take`. The rest looks like an
    array that can be read: ``len``, indices, slices, and `numpy.asarray`, which loads everything.

    Examples
    --------
    >>> class Ramps(ImageSource):
    ...     shape, dtype = (100, 1, 2, 2), np.dtype(np.uint8)
    ...     def take(self, numbers):
    ...         return np.broadcast_to(numbers[:, None, None, None], (len(numbers), 1, 2, 2)), None
    >>> Ramps()[[7, -1], 0, 0].tolist()
    [[7, 7], [99, 99]]
    """

    #: (N, C, H, W)
    shape: tuple[int, ...]
    #: uint8, float32 or float64, in native byte order
    dtype: np.dtype[Any]

    def take(self, numbers: Array) -> tuple[Array, Array | None]:
        """Read some images; called by several threads at once.

        Parameters
        ----------
        numbers : ndarray of intp, shape (n,)
            Which ones, from 0 to N - 1.

        Returns
        -------
        images : ndarray, shape (m, C, H, W)
        kept : ndarray of bool, shape (n,), or None
            Which of them these are, where some cannot be read and are left out; None for all.
        """
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of all values."""
        return math.prod(self.shape)

    def __repr__(self) -> str:
        what = getattr(self, "shape", None), getattr(self, "dtype", None)
        return f"{type(self).__name__}(shape={what[0]}, dtype={what[1]})"

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Array:
        first, *rest = key if isinstance(key, tuple) else (key,)
        numbers = np.arange(len(self))[first]
        images = self.take(np.ascontiguousarray(np.atleast_1d(numbers), np.intp))[0]
        image: Array = images[0] if np.ndim(numbers) == 0 else images
        return image[(slice(None),) * np.ndim(numbers) + tuple(rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("the images are in files: an array of them is a copy")
        return self.take(np.arange(len(self)))[0].astype(dtype or self.dtype, copy=False)

    def blocks(self) -> Iterator[Array]:
        """Yield all images, or as many as tell their mean, some at a time.

        Yields
        ------
        ndarray, shape (n, C, H, W)
        """
        for first, past in _spans(self.shape, self.dtype):
            yield self.take(np.arange(first, past))[0]


class MappedImages(ImageSource):
    """Arrays of images one after the other, mapped from files, of any strides and byte order.

    Parameters
    ----------
    arrays : sequence of ndarray, each of shape (n, C, H, W)
        They differ in n alone.

    Raises
    ------
    ValueError
        If there is none, or they are not of one shape and dtype.

    Examples
    --------
    >>> images = MappedImages([np.zeros((2, 1, 4, 4), np.uint8), np.ones((3, 1, 4, 4), np.uint8)])
    >>> images.shape, images[1:3].mean()
    ((5, 1, 4, 4), np.float64(0.5))
    """

    def __init__(self, arrays: Sequence[Array]) -> None:
        kinds = {(array.shape[1:], array.dtype) for array in arrays}
        if len(kinds) != 1 or arrays[0].ndim != 4:
            raise ValueError(
                f"arrays: of shapes {[array.shape for array in arrays]}, expected (n, C, H, W), "
                "which differ in n alone, of one dtype"
            )
        self._arrays = list(arrays)
        # Where each begins.
        self._starts = np.cumsum([0, *(len(array) for array in arrays)])
        self.shape = (int(self._starts[-1]), *arrays[0].shape[1:])
        self.dtype = arrays[0].dtype.newbyteorder("=")

    def take(self, numbers: Array) -> tuple[Array, None]:
        """Copy some images; as of `ImageSource`.

        Parameters
        ----------
        numbers : ndarray of intp, shape (n,)

        Returns
        -------
        images : ndarray, shape (n, C, H, W)
        kept : None
        """
        images = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        which = np.searchsorted(self._starts, numbers, "right") - 1
        for index in np.unique(which):
            here = np.flatnonzero(which == index)
            images[here] = self._arrays[index][numbers[here] - self._starts[index]]
        return images, None


def is_mapped(array: Array) -> bool:
    """Say whether an array looks at a file that is mapped into memory.

    Parameters
    ----------
    array : ndarray

    Returns
    -------
    bool
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)


def blocks_of(images: Array | ImageSource) -> Iterator[Array]:
    """Yield images some at a time, so that what is computed of them takes little memory.

    Parameters
    ----------
    images : ndarray or ImageSource, shape (N, C, H, W)

    Yields
    ------
    ndarray, shape (n, C, H, W)
    """
    if isinstance(images, ImageSource):
        yield from images.blocks()
    else:
        for first, past in _spans(images.shape, images.dtype):
            yield images[first:past]


def _spans(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterator[tuple[int, int]]:
    """Yield where blocks of images begin and end."""
    count, *sizes = shape
    step = max(1, _BLOCK_BYTES // max(1, math.prod(sizes) * dtype.itemsize))
    for first in range(0, count, step):
        yield first, min(first + step, count)
