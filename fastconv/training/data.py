"""Labelled images for training: the data set, its normalisation and its batches."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fastconv._batches import take_images
from fastconv._check import C_TYPES
from fastconv._memory import empty

Array = np.ndarray[Any, np.dtype[Any]]

_IMAGE_DTYPES = (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float64))


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
        Integer class numbers; kept as int64.
    class_names : tuple of str, optional
        One name per class. By default the numbers from 0 to the largest label.

    Raises
    ------
    ValueError
        If shapes or lengths do not fit, a part is empty, a label is outside the classes, or an
        image holds NaN or infinity.
    TypeError
        If an array is of another dtype.

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
            images = _checked_images(f"{part}_images", getattr(self, f"{part}_images"))
            labels = _checked_labels(f"{part}_labels", getattr(self, f"{part}_labels"), len(images))
            object.__setattr__(self, f"{part}_images", images)
            object.__setattr__(self, f"{part}_labels", labels)
        train, test = self.train_images, self.test_images
        if train.shape[1:] != test.shape[1:] or train.dtype != test.dtype:
            raise ValueError(
                f"test_images: of shape {test.shape[1:]} and dtype {test.dtype} each, expected "
                f"{train.shape[1:]} and {train.dtype} as train_images"
            )
        largest = max(int(self.train_labels.max()), int(self.test_labels.max()))
        names = tuple(self.class_names) or tuple(str(label) for label in range(largest + 1))
        if largest >= len(names):
            raise ValueError(
                f"labels: the largest is {largest}, expected less than the number of classes, "
                f"{len(names)}"
            )
        object.__setattr__(self, "class_names", names)

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

    Examples
    --------
    >>> order = epoch_order(10, seed=1, epoch=0)
    >>> sorted(order.tolist()) == list(range(10)), (order == epoch_order(10, 1, 0)).all()
    (True, np.True_)
    """
    return np.random.default_rng([seed, epoch]).permutation(count)


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
    """Yield the images and labels batch by batch, converted and normalised.

    Parameters
    ----------
    images : ndarray, shape (N, C, H, W)
        Images of any numeric dtype.
    labels : ndarray, shape (N,)
        Their labels.
    batch_size : int
        Images per batch; the last batch holds what is left.
    dtype : dtype, optional
        dtype of the batches.
    mean, std : float, optional
        A batch is ``(images - mean) / std``.
    order : ndarray of int, optional
        Which images to take, in which order; all of them in array order by default.
    start : int, optional
        Number of batches to skip.

    Yields
    ------
    x : ndarray, shape (batch, C, H, W)
    y : ndarray, shape (batch,)

    Examples
    --------
    >>> images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    >>> [(x.ravel().tolist(), y.tolist()) for x, y in batches(images, np.arange(5), 2, std=2.0)]
    [([0.0, 0.5], [0, 1]), ([1.0, 1.5], [2, 3]), ([2.0], [4])]
    """
    scale = 1.0 / std
    count = len(images) if order is None else len(order)
    plain = (
        images.dtype in _IMAGE_DTYPES
        and np.dtype(dtype) in C_TYPES
        and images.flags.aligned
        and images.flags.c_contiguous
        and images.size > 0
    )
    for first in range(start * batch_size, count, batch_size):
        past = min(first + batch_size, count)
        chosen = np.arange(first, past) if order is None else order[first:past]
        numbers = np.ascontiguousarray(chosen, np.intp)
        x = empty((len(chosen), *images.shape[1:]), np.dtype(dtype))
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
    with np.load(Path(__file__).parent / "digits" / "digits.npz", allow_pickle=False) as file:
        images, labels = file["images"][:, np.newaxis], file["labels"]
    test = np.zeros(len(labels), np.bool_)
    for digit in range(10):
        test[np.flatnonzero(labels == digit)[4::5]] = True
    return Dataset("digits", images[~test], labels[~test], images[test], labels[test])


def _checked_images(name: str, images: Array) -> Array:
    if not isinstance(images, np.ndarray) or images.dtype.newbyteorder("=") not in _IMAGE_DTYPES:
        came = images.dtype if isinstance(images, np.ndarray) else type(images).__name__
        raise TypeError(f"{name}: got {came}, expected an array of uint8, float32 or float64")
    if images.ndim != 4 or images.size == 0:
        raise ValueError(f"{name}: got shape {images.shape}, expected (N, C, H, W), none of them 0")
    if images.dtype != np.uint8 and not np.isfinite(images).all():
        raise ValueError(f"{name}: holds NaN or infinity")
    return np.ascontiguousarray(images, images.dtype.newbyteorder("="))


def _checked_labels(name: str, labels: Array, count: int) -> Array:
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu":
        came = labels.dtype if isinstance(labels, np.ndarray) else type(labels).__name__
        raise TypeError(f"{name}: got {came}, expected an array of integers")
    if labels.shape != (count,):
        raise ValueError(f"{name}: got shape {labels.shape}, expected ({count},), one per image")
    if int(labels.min()) < 0:
        raise ValueError(f"{name}: the smallest is {labels.min()}, expected at least 0")
    return np.ascontiguousarray(labels, np.int64)
