"""Images changed at random from epoch to epoch: shifted, turned over, with a square cut out.

What happens to an image is a pure function of the seed, the epoch and the image's number. So it is
the same whatever thread makes the batch, in whatever order, and after a run is resumed.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import _check

Array = np.ndarray[Any, np.dtype[Any]]

_FORMS = "none, or some of flip, crop:PADDING, cutout:SIZE, with commas between"
# The random numbers that an image has: for the two axes of the crop, the flip, and the two axes of
# the cutout.
_DRAWS = 5
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Augmentation:
    """What is done at random to each training image, in this order.

    Parameters
    ----------
    crop : int, optional
        Rows and columns of zeros that are put around an image, of which a part of the image's size
        is taken: each image is shifted by up to so many pixels along each axis.
    flip : bool, optional
        Turn every second image over, left to right.
    cutout : int, optional
        Side of a square, anywhere in the image and perhaps partly outside, that becomes the mean.

    Raises
    ------
    ValueError
        If a number is negative.
    TypeError
        If an argument is of another type.

    Notes
    -----
    Shift and flip are those of He et al., "Deep residual learning for image recognition" (2016),
    section 4.2, in the order of torchvision's RandomCrop and RandomHorizontalFlip: zeros are put
    around the image as it is in the file, before it is normalised. The square is that of DeVries
    and Taylor, "Improved regularization of convolutional neural networks with cutout" (2017): its
    centre is any pixel, and it is 0 after normalisation. An even one has the greater half before
    its centre.

    Examples
    --------
    >>> Augmentation(crop=4, flip=True)
    Augmentation(crop=4, flip=True, cutout=0)
    >>> print(Augmentation(crop=4, flip=True))
    crop:4,flip
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("crop", "cutout"):
            # What the compiled loop counts with.
            value = _check.integer(name, getattr(self, name), 0)
            if value >= 1 << 30:
                raise ValueError(f"{name}: got {value}, expected less than {1 << 30}")
            object.__setattr__(self, name, value)
        if not isinstance(self.flip, bool | np.bool_):
            raise TypeError(f"flip: got {self.flip!r}, expected a bool")
        object.__setattr__(self, "flip", bool(self.flip))

    def __bool__(self) -> bool:
        return self != Augmentation()

    def __str__(self) -> str:
        """Return the form that `parse_augmentation` reads."""
        words = {
            f"crop:{self.crop}": self.crop, "flip": self.flip, f"cutout:{self.cutout}": self.cutout
        }  # fmt: skip
        return ",".join(word for word, used in words.items() if used) or "none"

    def moves(self, numbers: Array, size: tuple[int, int], key: np.uint64) -> Array:
        """Return what is done to images, as the compiled loop takes it.

        Parameters
        ----------
        numbers : ndarray of int, shape (N,)
            Their numbers in the data set, at least 0.
        size : tuple of two ints
            Height and width.
        key : uint64
            What `epoch_key` returns.

        Returns
        -------
        ndarray of int32, shape (N, 7)
            By how many pixels each is shifted down and right, whether it is turned over, and the
            rows and columns, from and to, that are cut out.
        """
        draws = random_numbers(numbers, _DRAWS, key)
        moves = np.zeros((len(numbers), 7), np.int32)
        for axis in range(2):
            moves[:, axis] = self.crop - _below(2 * self.crop + 1, draws[:, axis]).astype(np.int64)
        if self.flip:
            moves[:, 2] = draws[:, 2] >> np.uint64(63)
        if self.cutout:
            for axis, length in enumerate(size):
                first = _below(length, draws[:, 3 + axis]).astype(np.int64) - self.cutout // 2
                moves[:, 3 + 2 * axis] = np.clip(first, 0, length)
                moves[:, 4 + 2 * axis] = np.clip(first + self.cutout, 0, length)
        return moves


def parse_augmentation(text: str) -> Augmentation:
    """Read an augmentation from text.

    Parameters
    ----------
    text : str
        ``none``, or some of ``crop:PADDING``, ``flip`` and ``cutout:SIZE`` with commas between.

    Returns
    -------
    Augmentation

    Raises
    ------
    ValueError
        If the text is none of these.

    Examples
    --------
    >>> parse_augmentation("flip,cutout:8")
    Augmentation(crop=0, flip=True, cutout=8)
    """
    settings: dict[str, Any] = {}
    words = [] if text == "none" else text.split(",")
    for word in words:
        name, _, number = word.partition(":")
        fits = word == "flip" or re.fullmatch(r"(crop|cutout):[1-9][0-9]{0,8}", word)
        if not fits or name in settings:
            raise ValueError(f"augmentation: got {text!r}, expected {_FORMS}")
        settings[name] = int(number) if number else True
    return Augmentation(**settings)


def epoch_key(seed: int, epoch: int) -> np.uint64:
    """Return where the random numbers of an epoch's images begin.

    Parameters
    ----------
    seed, epoch : int
        At least 0.

    Returns
    -------
    uint64
    """
    # The order of the images comes from [seed, epoch]: these are others.
    return np.uint64(np.random.SeedSequence([seed, epoch, 1]).generate_state(1, np.uint64)[0])


def random_numbers(numbers: Array, count: int, key: np.uint64) -> Array:
    """Return random numbers of images, each a function of the key and the image's number alone.

    They are those of the generator SplitMix64 that stand at ``number * count`` and after it in its
    sequence from the key: Steele, Lea and Flood, "Fast splittable pseudorandom number generators"
    (2014), figure 17.

    Parameters
    ----------
    numbers : ndarray of int, shape (N,)
    count : int
        How many each image has.
    key : uint64

    Returns
    -------
    ndarray of uint64, shape (N, count)
    """
    places = np.asarray(numbers, np.uint64)[:, np.newaxis] * np.uint64(count)
    state: Any = key + (places + np.arange(1, count + 1, dtype=np.uint64)) * _GOLDEN
    state = (state ^ state >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ state >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    mixed: Array = state ^ state >> np.uint64(31)
    return mixed


def _below(bound: int, draws: Any) -> Array:
    """Return numbers from 0 to bound - 1: the upper halves of the draws, scaled."""
    scaled: Array = ((draws >> np.uint64(32)) * np.uint64(bound)) // np.uint64(1 << 32)
    return scaled
