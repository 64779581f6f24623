"""Labelled images for training: the data set and its normalisation."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fastconv.training._npz import read_npz
from fastconv.training.sources import ImageSource, MappedImages, blocks_of, is_mapped

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
    train_images, test_images : ndarray or ImageSource, shape (N, C, H, W)
        uint8, float32 or float64, the same in both parts. An array that is mapped from a file stays
        there, whatever its strides and byte order; an `ImageSource` reads images as they are
        needed.
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
    train_images: Array | ImageSource
    train_labels: Array
    test_images: Array | ImageSource
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
    def channel_means(self) -> tuple[float, ...]:
        """The mean of each channel of the training images."""
        return tuple(mean for mean, _ in self._channels)

    @cached_property
    def channel_stds(self) -> tuple[float, ...]:
        """The standard deviation of each channel; 1 where it is constant."""
        return tuple(std for _, std in self._channels)

    @cached_property
    def _counts(self) -> list[list[int]]:
        """How often each value from 0 to 255 occurs in each channel."""
        counts = np.zeros((self.train_images.shape[1], 256), np.int64)
        for block in blocks_of(self.train_images):
            for channel, row in enumerate(counts):
                row += np.bincount(block[:, channel].reshape(-1), minlength=256)
        return [[int(count) for count in row] for row in counts]

    @cached_property
    def _moments(self) -> tuple[float, float]:
        images = self.train_images
        if images.dtype == np.uint8:
            return _of_counts([sum(column) for column in zip(*self._counts, strict=True)])
        if isinstance(images, np.ndarray) and not is_mapped(images):
            mean = float(images.mean(dtype=np.float64))
            return mean, math.sqrt(float(images.var(dtype=np.float64))) or 1.0
        return _of_blocks(images, slice(None))

    @cached_property
    def _channels(self) -> list[tuple[float, float]]:
        images = self.train_images
        if images.dtype == np.uint8:
            return [_of_counts(row) for row in self._counts]
        return [_of_blocks(images, channel) for channel in range(images.shape[1])]


def _of_counts(counts: list[int]) -> tuple[float, float]:
    """Return mean and standard deviation of a histogram, whose sums are exact."""
    total = sum(counts)
    first = sum(value * count for value, count in enumerate(counts))
    second = sum(value * value * count for value, count in enumerate(counts))
    mean, variance = first / total, (second * total - first * first) / total**2
    return mean, math.sqrt(variance) or 1.0


def _of_blocks(images: Array | ImageSource, channel: int | slice) -> tuple[float, float]:
    """Return mean and standard deviation of images that are read twice, some at a time."""
    total, sums = 0, []
    for block in blocks_of(images):
        total += block[:, channel].size
        sums.append(float(block[:, channel].sum(dtype=np.float64)))
    mean = math.fsum(sums) / total
    squares = [
        float(np.square(block[:, channel] - np.float64(mean)).sum()) for block in blocks_of(images)
    ]
    return mean, math.sqrt(math.fsum(squares) / total) or 1.0


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
    if not is_plain(labels) or labels.dtype.kind not in "iu":
        raise wrong_array(name, labels, "integers")
    if labels.shape != (count,):
        raise ValueError(f"{name}: got shape {labels.shape}, expected ({count},), one per image")
    if count and int(labels.min()) < 0:
        raise ValueError(f"{name}: the smallest is {labels.min()}, expected at least 0")
    if count and int(labels.max()) >= _MAX_CLASSES:
        raise ValueError(
            f"{name}: the largest is {labels.max()}, expected less than {_MAX_CLASSES}"
        )


def _checked_images(name: str, images: Array | ImageSource) -> Array | ImageSource:
    source = isinstance(images, ImageSource)
    if not (source or is_plain(images)) or images.dtype.newbyteorder("=") not in _IMAGE_DTYPES:
        raise wrong_array(name, images, "uint8, float32 or float64")
    if images.ndim != 4 or images.size == 0:
        raise ValueError(f"{name}: got shape {images.shape}, expected (N, C, H, W), none of them 0")
    if images.dtype != np.uint8 and not all(np.isfinite(b).all() for b in blocks_of(images)):
        raise ValueError(f"{name}: holds NaN or infinity")
    if isinstance(images, ImageSource):
        return images
    if is_mapped(images) and not (images.flags.c_contiguous and images.dtype.isnative):
        return MappedImages([images])
    return np.ascontiguousarray(images, images.dtype.newbyteorder("="))


def is_plain(value: object) -> bool:
    """Say whether something is an array, and no masked one.

    Parameters
    ----------
    value : object

    Returns
    -------
    bool
    """
    return isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray)


def wrong_array(name: str, value: Any, expected: str) -> TypeError:
    """Return the error for what is no such array.

    Parameters
    ----------
    name : str
        The argument.
    value : object
        What came.
    expected : str
        Of what an array is expected.

    Returns
    -------
    TypeError
    """
    came = value.dtype if is_plain(value) else type(value).__name__
    return TypeError(f"{name}: got {came}, expected an array of {expected}")
