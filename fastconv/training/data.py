"""Labelled images for training: the data set, its normalisation and its batches."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fastconv import _check
from fastconv._check import C_TYPES
from fastconv.engine.base.memory import empty
from fastconv.engine.ops.batches import take_images
from fastconv.training._npz import read_npz

Array = np.ndarray[Any, np.dtype[Any]]

_IMAGE_DTYPES = (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float64))
# Each class gets a name: a label that is far off must not take all memory.
_MAX_CLASSES = 1 << 20


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images with labels, in a training and a test part.

    Parameters
    ----------
    name : str
        What to call it.
    train_images, test_images : ndarray, shape (N, C, H, W)
        uint8, float32 or float64, the same in both parts.
    train_labels, test_labels : ndarray, shape (N,)
        Integer class numbers from 0 to 2**20 - 1; kept as int64.
    class_names : tuple of str, optional
        One name per class. By default the numbers from 0 to the largest label.

    Raises
    ------
    ValueError
        If shapes or lengths do not fit, a part is empty, a label is outside the classes, or an
        image holds NaN or infinity.
    TypeError
        If an array is of another dtype, or a name no str.

    Examples
    --------
    >>> digits = load_digits()
    >>> digits.train_images.shape, digits.test_images.shape
    ((1442, 1, 8, 8), (355, 1, 8, 8))
    >>> digits
    Dataset('digits', 1442 training and 355 test images of (1, 8, 8) uint8, 10 classes)
    """

    name: str
    train_images: Array
    train_labels: Array
    test_images: Array
    test_labels: Array
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the arrays and bring them into the promised form."""
        for part in ("train", "test"):
            images, labels = getattr(self, f"{part}_images"), getattr(self, f"{part}_labels")
            images = _checked_images(f"{part}_images", images)
            check_labels(f"{part}_labels", labels, len(images))
            object.__setattr__(self, f"{part}_images", images)
            object.__setattr__(self, f"{part}_labels", np.ascontiguousarray(labels, np.int64))
        train, test = self.train_images, self.test_images
        if train.shape[1:] != test.shape[1:] or train.dtype != test.dtype:
            raise ValueError(
                f"test_images: of shape {test.shape[1:]} and dtype {test.dtype} each, expected "
                f"{train.shape[1:]} and {train.dtype} as train_images"
            )
        given: object = self.class_names
        names = tuple(self.class_names)
        if isinstance(given, str) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"class_names: got {given!r}, expected one str per class")
        if not names:
            largest = max(int(self.train_labels.max()), int(self.test_labels.max()))
            names = tuple(str(label) for label in range(largest + 1))
        object.__setattr__(self, "class_names", names)
        largest_label(self, "train", "test")

    def __repr__(self) -> str:
        train, test = self.train_images, self.test_images
        return (
            f"{type(self).__name__}({self.name!r}, {len(train)} training and {len(test)} test "
            f"images of {train.shape[1:]} {train.dtype}, {len(self.class_names)} classes)"
        )

    @cached_property
    def mean(self) -> float:
        """The mean of all values of the training images."""
        return self._moments[0]

    @cached_property
    def std(self) -> float:
        """The standard deviation of all values of the training images; 1 if they are constant."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[float, float]:
        images = self.train_images
        if images.dtype == np.uint8:
            # The sums of a histogram are exact, whatever the number of images.
            counts = [int(count) for count in np.bincount(images.reshape(-1), minlength=256)]
            total = sum(counts)
            first = sum(value * count for value, count in enumerate(counts))
            second = sum(value * value * count for value, count in enumerate(counts))
            mean, variance = first / total, (second * total - first * first) / total**2
        else:
            mean = float(images.mean(dtype=np.float64))
            variance = float(images.var(dtype=np.float64))
        return mean, math.sqrt(variance) or 1.0


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
    images: Array,
    labels: Array,
    batch_size: int,
    *,
    dtype: np.dtype[Any] | type[np.floating[Any]] = np.float32,
    mean: float = 0.0,
    std: float = 1.0,
    order: Array | None = None,
    start: int = 0,
) -> Iterator[tuple[Array, Array]]:
    """Return an iterator over the images and labels, batch by batch, converted and normalised.

    All arguments are checked here, before the first batch is made.

    Parameters
    ----------
    images : ndarray, shape (N, C, H, W)
        Images of any real dtype.
    labels : ndarray of int, shape (N,)
        Their labels, as in `Dataset`.
    batch_size : int
        Images per batch; the last batch holds what is left.
    dtype : dtype, optional
        dtype of the batches, of floats.
    mean, std : float, optional
        A batch is ``(images - mean) / std``; both finite, and std above 0.
    order : ndarray of int, optional
        Which images to take, in which order; all of them in array order by default. As in NumPy,
        negative numbers count from the end.
    start : int, optional
        Number of batches to skip.

    Returns
    -------
    iterator of (x, y)
        x of shape (batch, C, H, W), y of shape (batch,).

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
    if not _is_plain(images) or images.dtype.kind not in "buif":
        raise _wrong_array("images", images, "real numbers")
    if images.ndim != 4:
        raise ValueError(f"images: got shape {images.shape}, expected (N, C, H, W)")
    check_labels("labels", labels, len(images))
    batch_size, start = check_count("batch_size", batch_size, 1), check_count("start", start, 0)
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"dtype: got {dtype}, expected one of floats")
    mean, std = _check.number("mean", mean), _check.number("std", std)
    if not math.isfinite(mean):
        raise ValueError(f"mean: got {mean}, expected a finite number")
    if not (0 < std < math.inf and math.isfinite(1.0 / std)):
        raise ValueError(f"std: got {std}, expected a finite number above 0")
    if order is not None:
        _check_order(order, len(images))
    return _batches(images, labels, batch_size, dtype, mean, 1.0 / std, order, start)


def _batches(
    images: Array,
    labels: Array,
    batch_size: int,
    dtype: np.dtype[Any],
    mean: float,
    scale: float,
    order: Array | None,
    start: int,
) -> Iterator[tuple[Array, Array]]:
    count = len(images) if order is None else len(order)
    plain = (
        images.dtype in _IMAGE_DTYPES
        and dtype in C_TYPES
        and images.flags.aligned
        and images.flags.c_contiguous
        and images.size > 0
    )
    for first in range(start * batch_size, count, batch_size):
        past = min(first + batch_size, count)
        chosen = np.arange(first, past) if order is None else order[first:past]
        numbers = np.ascontiguousarray(chosen, np.intp)
        x = empty((len(chosen), *images.shape[1:]), dtype)
        if not (plain and take_images(images, numbers, mean, scale, x)):
            x[...] = images[chosen]
            np.subtract(x, mean, x)
            np.multiply(x, scale, x)
        yield x, labels[chosen]


def load_digits() -> Dataset:
    """Load the handwritten digits that come with the package: 1,797 images of 8 x 8 pixels.

    Returns
    -------
    Dataset
        1,442 training and 355 test images, values 0 to 16.

    Notes
    -----
    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository (1998), https://doi.org/10.24432/C50P49, CC BY 4.0; see ``digits/README.md`` beside
    this module. Of the images of each digit, in file order, every fifth is a test image.

    Examples
    --------
    >>> load_digits().class_names
    ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    """
    arrays, _ = read_npz(Path(__file__).parent / "digits" / "digits.npz")
    images, labels = arrays["images"][:, np.newaxis], arrays["labels"]
    test = np.zeros(len(labels), np.bool_)
    for digit in range(10):
        test[np.flatnonzero(labels == digit)[4::5]] = True
    return Dataset("digits", images[~test], labels[~test], images[test], labels[test])


def check_count(name: str, value: object, minimum: int) -> int:
    """Return a number of things as a Python integer.

    Raises
    ------
    ValueError
        If it is no integer, or less than the minimum.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(f"{name}: got {value!r}, expected an integer >= {minimum}")
    return int(value)


def largest_label(dataset: Dataset, *parts: str) -> int:
    """Return the largest label of parts of a data set, whose labels are checked.

    Raises
    ------
    TypeError, ValueError
        As `check_labels`; also if a label is none of the classes.
    """
    largest = 0
    for part in parts:
        labels: Array = getattr(dataset, f"{part}_labels")
        check_labels(f"{part}_labels", labels, len(getattr(dataset, f"{part}_images")))
        largest = max(largest, int(labels.max()))
    if largest >= len(dataset.class_names):
        raise ValueError(
            f"labels: the largest is {largest}, expected less than the number of classes, "
            f"{len(dataset.class_names)}"
        )
    return largest


def check_labels(name: str, labels: Array, count: int) -> None:
    """Refuse what is not one class number per image.

    Raises
    ------
    TypeError
        If the labels are no array of integers.
    ValueError
        If there are more or fewer than `count`, or one is out of range.
    """
    if not _is_plain(labels) or labels.dtype.kind not in "iu":
        raise _wrong_array(name, labels, "integers")
    if labels.shape != (count,):
        raise ValueError(f"{name}: got shape {labels.shape}, expected ({count},), one per image")
    if count and int(labels.min()) < 0:
        raise ValueError(f"{name}: the smallest is {labels.min()}, expected at least 0")
    if count and int(labels.max()) >= _MAX_CLASSES:
        raise ValueError(
            f"{name}: the largest is {labels.max()}, expected less than {_MAX_CLASSES}"
        )


def _checked_images(name: str, images: Array) -> Array:
    if not _is_plain(images) or images.dtype.newbyteorder("=") not in _IMAGE_DTYPES:
        raise _wrong_array(name, images, "uint8, float32 or float64")
    if images.ndim != 4 or images.size == 0:
        raise ValueError(f"{name}: got shape {images.shape}, expected (N, C, H, W), none of them 0")
    if images.dtype != np.uint8 and not np.isfinite(images).all():
        raise ValueError(f"{name}: holds NaN or infinity")
    return np.ascontiguousarray(images, images.dtype.newbyteorder("="))


def _check_order(order: Array, count: int) -> None:
    if not _is_plain(order) or order.dtype.kind not in "iu":
        raise _wrong_array("order", order, "integers")
    if order.ndim != 1:
        raise ValueError(f"order: got shape {order.shape}, expected one axis")
    for index in (int(order.min()), int(order.max())) if order.size else ():
        if not -count <= index < count:
            raise IndexError(f"order: index {index} is out of bounds for {count} images")


def _is_plain(value: object) -> bool:
    return isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray)


def _wrong_array(name: str, value: Any, expected: str) -> TypeError:
    came = value.dtype if _is_plain(value) else type(value).__name__
    return TypeError(f"{name}: got {came}, expected an array of {expected}")
