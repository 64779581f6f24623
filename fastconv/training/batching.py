"""From a data set to batches: order, augmentation, normalisation, and threads that work ahead."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fastconv import _check
from fastconv._check import C_TYPES
from fastconv.engine.base.memory import empty
from fastconv.engine.base.threads import num_threads
from fastconv.engine.ops.batches import take_images
from fastconv.training.augmentation import Augmentation, epoch_key
from fastconv.training.data import (
    Array,
    Dataset,
    check_count,
    check_labels,
    is_plain,
    wrong_array,
)
from fastconv.training.sources import ImageSource

Batch: TypeAlias = tuple[Array, Array]
Numbers: TypeAlias = float | Sequence[float]

# What the compiled loop reads.
_READ = (np.dtype(np.uint8), *C_TYPES)
# How many batches each thread may be ahead.
_AHEAD = 2


def epoch_order(count: int, seed: int, epoch: int) -> Array:
    """Return the order in which an epoch visits the training images.

    A pure function of its arguments, so that a resumed run needs no state of the shuffling.

    Parameters
    ----------
    count : int
        Number of images.
    seed : int
        Seed of the run, at least 0.
    epoch : int
        Number of the epoch, from 0.

    Returns
    -------
    ndarray, shape (count,)
        A permutation of ``range(count)``.

    Raises
    ------
    ValueError
        If a number is no integer of at least 0.

    Examples
    --------
    >>> order = epoch_order(10, seed=1, epoch=0)
    >>> sorted(order.tolist()) == list(range(10)), (order == epoch_order(10, 1, 0)).all()
    (True, np.True_)
    """
    seeds = [check_count("seed", seed, 0), check_count("epoch", epoch, 0)]
    return np.random.default_rng(seeds).permutation(check_count("count", count, 0))


def batches(
    images: Array | ImageSource,
    labels: Array,
    batch_size: int,
    *,
    dtype: np.dtype[Any] | type[np.floating[Any]] = np.float32,
    mean: Numbers = 0.0,
    std: Numbers = 1.0,
    order: Array | None = None,
    start: int = 0,
    augmentation: Augmentation | None = None,
    seed: int = 0,
    epoch: int = 0,
    workers: int = 0,
) -> Generator[Batch, None, None]:
    """Return an iterator over the images and labels, batch by batch, converted and normalised.

    All arguments are checked here, before the first batch is made.

    Parameters
    ----------
    images : ndarray or ImageSource, shape (N, C, H, W)
        Images of any real dtype.
    labels : ndarray of int, shape (N,)
        Their labels, as in `Dataset`.
    batch_size : int
        Images per batch; the last batch holds what is left.
    dtype : dtype, optional
        dtype of the batches, of floats.
    mean, std : float, or one for each channel, optional
        A batch is ``(images - mean) / std``; all finite, and std above 0.
    order : ndarray of int, optional
        Which images to take, in which order; all of them in array order by default. As in NumPy,
        negative numbers count from the end.
    start : int, optional
        Number of batches to skip.
    augmentation : Augmentation, optional
        What is done to the images at random.
    seed, epoch : int, optional
        What the random changes follow, with the image's number: at least 0.
    workers : int, optional
        Threads that make batches in the background, each of them up to two batches ahead. With 0 a
        batch is made when it is asked for. The batches are the same.

    Returns
    -------
    iterator of (x, y)
        x of shape (batch, C, H, W), y of shape (batch,). Images that a source leaves out are
        missing in both. Closing it ends the threads.

    Raises
    ------
    TypeError
        If an array is none or of a wrong dtype, or `mean` or `std` no number.
    ValueError
        If there is not one label per image, or a label or a number is out of range.
    IndexError
        If `order` names an image that does not exist.

    Examples
    --------
    >>> images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    >>> [(x.ravel().tolist(), y.tolist()) for x, y in batches(images, np.arange(5), 2, std=2.0)]
    [([0.0, 0.5], [0, 1]), ([1.0, 1.5], [2, 3]), ([2.0], [4])]
    """
    array = isinstance(images, ImageSource) or is_plain(images)
    if not array or images.dtype.kind not in "buif":
        raise wrong_array("images", images, "real numbers")
    if images.ndim != 4:
        raise ValueError(f"images: got shape {images.shape}, expected (N, C, H, W)")
    check_labels("labels", labels, len(images))
    batch_size, start = check_count("batch_size", batch_size, 1), check_count("start", start, 0)
    seed, epoch = check_count("seed", seed, 0), check_count("epoch", epoch, 0)
    workers = check_count("workers", workers, 0)
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"dtype: got {dtype}, expected one of floats")
    if not isinstance(augmentation, Augmentation | None):
        raise TypeError(f"augmentation: got {augmentation!r}, expected an Augmentation")
    channels = images.shape[1]
    means, stds = per_channel("mean", mean, channels), per_channel("std", std, channels)
    with np.errstate(divide="ignore", over="ignore"):
        scales = 1.0 / stds
    for wrong in means[~np.isfinite(means)]:
        raise ValueError(f"mean: got {wrong}, expected a finite number")
    for wrong in stds[~((stds > 0) & np.isfinite(stds) & np.isfinite(scales))]:
        raise ValueError(f"std: got {wrong}, expected a finite number above 0")
    if order is not None:
        _check_order(order, len(images))
    key = epoch_key(seed, epoch) if augmentation else None
    maker = _Maker(images, labels, dtype, means, scales, augmentation, key)
    count = len(images) if order is None else len(order)

    def chosen() -> Iterator[Array]:
        for first in range(start * batch_size, count, batch_size):
            past = min(first + batch_size, count)
            numbers = np.arange(first, past) if order is None else order[first:past]
            yield np.ascontiguousarray(numbers, np.intp) % max(1, len(images))

    if workers:
        return _ahead(maker.make, chosen, workers)
    return (maker.make(numbers) for numbers in chosen())


def per_channel(name: str, value: Numbers, channels: int) -> Array:
    """Return one number for each channel.

    Parameters
    ----------
    name : str
        The argument.
    value : float, or sequence of float
    channels : int

    Returns
    -------
    ndarray of float64, shape (channels,)

    Raises
    ------
    TypeError
        If there is something else than numbers.
    ValueError
        If there are more or fewer.
    """
    if not isinstance(value, list | tuple | np.ndarray):
        return np.full(channels, _check.number(name, value))
    numbers = [_check.number(f"{name}[{index}]", number) for index, number in enumerate(value)]
    if len(numbers) != channels:
        raise ValueError(
            f"{name}: got {len(numbers)} numbers, expected one for all, or for each of {channels} "
            f"channels"
        )
    return np.array(numbers, np.float64)


def normalization(dataset: Dataset, normalize: str | Sequence[Numbers]) -> tuple[Array, Array]:
    """Return mean and standard deviation for each channel of a data set.

    Parameters
    ----------
    dataset : Dataset
    normalize : {"dataset", "channels"} or pair of (mean, std)
        As in `fit`.

    Returns
    -------
    tuple of two ndarrays of float64, shape (C,)

    Raises
    ------
    TypeError, ValueError
        If it is neither a known word nor such a pair.
    """
    channels = dataset.train_images.shape[1]
    if isinstance(normalize, str):
        if normalize not in ("dataset", "channels"):
            raise ValueError(
                f"normalize: got {normalize!r}, expected 'dataset', 'channels' or (mean, std)"
            )
        pair: Sequence[Numbers] = (
            (dataset.mean, dataset.std)
            if normalize == "dataset"
            else (dataset.channel_means, dataset.channel_stds)
        )
    elif isinstance(normalize, list | tuple) and len(normalize) == 2:
        pair = normalize
    else:
        raise TypeError(f"normalize: got {normalize!r}, expected a word or a pair (mean, std)")
    mean, std = (
        per_channel(f"normalize: {name}", value, channels)
        for name, value in zip(("mean", "std"), pair, strict=True)
    )
    return mean, std


@dataclass(frozen=True)
class _Maker:
    """Makes batches, for threads at once."""

    images: Array | ImageSource
    labels: Array
    dtype: np.dtype[Any]
    means: Array
    scales: Array
    augmentation: Augmentation | None
    key: np.uint64 | None

    def make(self, numbers: Array) -> Batch:
        """Return the batch of the images with these numbers."""
        images, places = self.images, numbers
        if isinstance(images, ImageSource):
            images, kept = images.take(numbers)
            numbers = numbers if kept is None else numbers[kept]
            places = np.arange(len(numbers))
        dtype = self.dtype if self.dtype in C_TYPES else np.dtype(np.float64)
        x = empty((len(numbers), *self.images.shape[1:]), dtype)
        if x.size:
            flags = images.flags
            if images.dtype not in _READ or not (flags.c_contiguous and flags.aligned):
                images, places = images[places].astype(dtype, "C"), np.arange(len(numbers))
            moves = None
            if self.augmentation and self.key is not None:
                moves = self.augmentation.moves(numbers, x.shape[2:], self.key)
            if not take_images(images, places, self.means, self.scales, x, moves):
                raise IndexError("images: there are fewer than before")
        return x.astype(self.dtype, copy=False), self.labels[numbers]


def _ahead(
    make: Callable[[Array], Batch], parts: Callable[[], Iterator[Array]], workers: int
) -> Generator[Batch, None, None]:
    """Yield what is made of each part, by threads that work ahead by a bounded number of parts.

    Each thread makes every so many-th part. What it made goes through one queue, and through
    another the leave to make one more: None ends it.
    """
    lines = [_Line(SimpleQueue(), SimpleQueue()) for _ in range(workers)]

    def work(index: int) -> None:
        line = lines[index]
        # The other threads are those of the step.
        with num_threads(1):
            for part in islice(parts(), index, None, workers):
                if line.leave.get() is None:
                    return
                try:
                    line.made.put(make(part))
                except BaseException as error:
                    line.made.put(error)
                    return
            line.made.put(None)

    threads = [
        Thread(target=work, args=(index,), name=f"fastconv-batches-{index}", daemon=True)
        for index in range(workers)
    ]
    try:
        for thread, line in zip(threads, lines, strict=True):
            for _ in range(_AHEAD):
                line.leave.put(True)
            thread.start()
        for line in cycle(lines):
            batch = line.made.get()
            if isinstance(batch, BaseException):
                raise batch
            if batch is None:
                return
            line.leave.put(True)
            yield batch
    finally:
        for thread, line in zip(threads, lines, strict=True):
            line.leave.put(None)
            if thread.ident is not None:
                thread.join()


class _Line(NamedTuple):
    """What goes between a thread and the one that it works for."""

    made: "SimpleQueue[Batch | BaseException | None]"
    leave: "SimpleQueue[bool | None]"


def _check_order(order: Array, count: int) -> None:
    if not is_plain(order) or order.dtype.kind not in "iu":
        raise wrong_array("order", order, "integers")
    if order.ndim != 1:
        raise ValueError(f"order: got shape {order.shape}, expected one axis")
    for index in (int(order.min()), int(order.max())) if order.size else ():
        if not -count <= index < count:
            raise IndexError(f"order: index {index} is out of bounds for {count} images")
