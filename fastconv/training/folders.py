"""Folders of images, one folder a class, read by Pillow when a batch needs them."""

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv.training.data import Array, Dataset
from fastconv.training.sources import ImageSource

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_MODES = {1: "L", 3: "RGB"}
# What no format compresses better than: deflate makes 1,032 bytes of one. Smaller pictures of one
# colour are let through.
_MOST_TIMES = 1100
_ALWAYS = 1 << 20
# Of more images than this, as many tell their mean.
_SAMPLE = 4096
# Names of the part that is trained with, and of the one that is tested with.
_TRAIN, _TEST = ("train", "training"), ("test", "val", "validation")
# In a folder without parts, every fifth image of a class is a test image.
_FIFTH = 5


class UnreadableImageError(ValueError):
    """An image that cannot be read; the text names its file."""


class FolderImages(ImageSource):
    """Images in files.

    Parameters
    ----------
    paths : list of str
        The files.
    size : tuple of two ints, optional
        Height and width that all are brought to: scaled so that they cover it, by bilinear
        interpolation, and cut around the centre. By default they are not scaled, and all must be of
        the size of the first one.
    channels : {1, 3}, optional
        Grey or red, green and blue; by default those of the first image that can be read.
    skip_broken : bool, optional
        Leave out images that cannot be read, and note them in ``broken``.
    like : FolderImages, optional
        Others, whose size and channels these must have.

    Raises
    ------
    ImportError
        If Pillow is not installed.
    ValueError
        If there is no image, or none that can be read.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        paths: list[str],
        *,
        size: tuple[int, int] | None = None,
        channels: int | None = None,
        skip_broken: bool = False,
        like: "FolderImages | None" = None,
    ) -> None:
        self._paths, self._skip = paths, skip_broken
        self._size = size
        #: What was left out: the files, and what is wrong with them.
        self.broken: dict[str, str] = {}
        self._lock = threading.Lock()
        first = self._first().shape if like is None else like.shape[1:]
        self._channels = channels or first[0]
        self.shape = (len(paths), self._channels, *first[1:])

    def _first(self) -> Array:
        """Return the first image that can be read, whose size is that of all."""
        for path in self._paths:
            try:
                return read_image(path, self._size)
            except UnreadableImageError as error:
                self._note(path, error)
        raise ValueError("images: none can be read, expected at least one")

    def _note(self, path: str, error: UnreadableImageError) -> None:
        if not self._skip:
            raise error
        with self._lock:
            self.broken[path] = str(error)

    def take(self, numbers: Array) -> tuple[Array, Array | None]:
        """Read some images; as of `ImageSource`.

        Parameters
        ----------
        numbers : ndarray of intp, shape (n,)

        Returns
        -------
        images : ndarray, shape (m, C, H, W)
        kept : ndarray of bool, shape (n,), or None
        """
        images = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        kept = np.ones(len(numbers), np.bool_)
        for place, number in enumerate(numbers.tolist()):
            path = self._paths[number]
            try:
                image = read_image(path, self._size, self._channels)
                if image.shape != self.shape[1:]:
                    raise UnreadableImageError(
                        f"{path}: of {image.shape[2]} x {image.shape[1]} pixels, expected "
                        f"{self.shape[3]} x {self.shape[2]} as the first; a size scales all to it"
                    )
                images[place] = image
            except UnreadableImageError as error:
                self._note(path, error)
                kept[place] = False
        return (images, None) if kept.all() else (images[kept], kept)

    def blocks(self) -> Iterator[Array]:
        """Yield some thousand images, evenly from all of them, a few at a time.

        Yields
        ------
        ndarray, shape (n, C, H, W)
        """
        count = len(self)
        numbers = np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.intp))
        step = max(1, (1 << 22) // int(np.prod(self.shape[1:])))
        for first in range(0, len(numbers), step):
            yield self.take(numbers[first : first + step])[0]


def read_image(
    path: str, size: tuple[int, int] | None = None, channels: int | None = None
) -> Array:
    """Read one image.

    Parameters
    ----------
    path : str
        A BMP, GIF, JPEG, PNG, PPM, TIFF or WebP file, of eight bits a channel at most.
    size, channels : optional
        As of `FolderImages`; by default what the image has, where more than grey is three channels.

    Returns
    -------
    ndarray of uint8, shape (C, H, W)

    Raises
    ------
    UnreadableImageError
        If it cannot be read; the text names the file.
    ImportError
        If Pillow is not installed.
    """
    pillow = _pillow()
    try:
        # Never by name: a pipe would wait for ever.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("is no file")
            with pillow.open(file, formats=_FORMATS) as image:
                _check_claim(image, status.st_size)
                return _pixels(image, size, channels)
    except MemoryError:
        raise
    except Exception as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        text = text if "cannot identify" not in text else "no image of a known format"
        raise UnreadableImageError(f"{path}: {text or type(error).__name__}") from error


def _check_claim(image: "Image", length: int) -> None:
    """Refuse an image whose header promises more than a file of this length can hold."""
    width, height = image.size
    claimed = width * height * len(image.getbands())
    if claimed > max(_ALWAYS, _MOST_TIMES * length):
        raise ValueError(f"claims {width} x {height} pixels in a file of {length} bytes")
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"has pixels of mode {image.mode}, expected 8 bits a channel")


def _pixels(image: "Image", size: tuple[int, int] | None, channels: int | None) -> Array:
    from PIL import Image, ImageOps

    if channels is None:
        channels = 1 if image.mode in ("1", "L", "LA") else 3
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        # Pillow warns of transparent colours that are lost.
        image = image.convert("RGBA")
    found = image.convert(_MODES[channels])
    if size is not None and found.size != (size[1], size[0]):
        found = ImageOps.fit(found, (size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(found)
    return pixels[np.newaxis] if channels == 1 else pixels.transpose(2, 0, 1)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("images need Pillow: pip install 'fastconv[images]'") from None
    return Image


def load_folder(
    directory: str | os.PathLike[str],
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    skip_broken: bool = False,
) -> Dataset:
    """Load a folder of images, one folder a class: its files are read when a batch needs them.

    Parameters
    ----------
    directory : path-like
        Holds a folder "train" and a folder "test" or "val", and those a folder for each class; or
        the folders of the classes themselves, of whose images, in order of their names, every fifth
        is a test image. Folders in those of the classes are searched too; names that begin with a
        dot, and files that are no images by their suffix, are left out.
    size : int or tuple of two ints, optional
        Height and width that all images are brought to: scaled so that they cover it, and cut
        around the centre. By default all must be of one size.
    channels : {1, 3}, optional
        Grey or red, green and blue; by default what the first image has.
    skip_broken : bool, optional
        Leave out images that cannot be read: ``train_images.broken`` and ``test_images.broken``
        say which. By default the first one ends the run with its name.

    Returns
    -------
    Dataset
        Named as the directory; the classes are numbered in order of their names. Its mean is that
        of about 4,000 images, evenly from all, where there are more.

    Raises
    ------
    ValueError
        If there are no classes, a class has no image, two are the same folder, or an image cannot
        be read; the text names it.
    OSError
        If a folder cannot be read.
    ImportError
        If Pillow is not installed.

    Notes
    -----
    Links to folders are followed for a class itself, and nowhere below, so that loops of links end.
    An image whose header claims more pixels than its file can hold is refused before it takes
    memory.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("cat", "dog"):
    ...         Path(folder, name).mkdir()
    ...         for number in range(5):
    ...             Image.new("RGB", (8, 6)).save(Path(folder, name, f"{number}.png"))
    ...     data = load_folder(folder)
    ...     data.train_images.shape, data.test_labels.tolist(), data.class_names
    ((8, 3, 6, 8), [0, 1], ('cat', 'dog'))
    """
    path = Path(directory)
    sizes = _checked_size(size)
    if channels not in (None, *_MODES):
        raise ValueError(f"channels: got {channels!r}, expected 1 or 3")
    train = _part(path, _TRAIN)
    test = _part(path, _TEST)
    if (train is None) != (test is None):
        found, lacking = (train, _TEST) if test is None else (test, _TRAIN)
        raise ValueError(f"{path}: holds {found and found.name}, but none of {', '.join(lacking)}")
    if train is not None and test is not None:
        classes, other = find_images(train), find_images(test)
        if classes.keys() != other.keys():
            names = sorted(classes.keys() ^ other.keys())
            raise ValueError(f"{path}: classes in one part only: {', '.join(names)}")
        parts = [classes, other]
    else:
        every = find_images(path)
        small = [name for name, files in every.items() if len(files) < _FIFTH]
        if small:
            raise ValueError(
                f"{path}: fewer than {_FIFTH} images in {', '.join(small)}; every fifth is a test "
                "image, unless there are folders train and test"
            )
        parts = [
            {
                name: [file for at, file in enumerate(files) if (at % _FIFTH == _FIFTH - 1) is test]
                for name, files in every.items()
            }
            for test in (False, True)
        ]
    files = [[file for group in part.values() for file in group] for part in parts]
    labels = [
        np.repeat(np.arange(len(part)), [len(group) for group in part.values()]) for part in parts
    ]
    try:
        trained = FolderImages(files[0], size=sizes, channels=channels, skip_broken=skip_broken)
        tested = FolderImages(
            files[1], size=sizes, channels=channels, skip_broken=skip_broken, like=trained
        )
        return Dataset(path.resolve().name, trained, labels[0], tested, labels[1], tuple(parts[0]))
    except UnreadableImageError:
        raise
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def find_images(directory: Path) -> dict[str, list[str]]:
    """Return the files of each class of a folder, classes and files in order of their names.

    Parameters
    ----------
    directory : Path

    Returns
    -------
    dict of str to list of str

    Raises
    ------
    ValueError
        If there is no class, one has no image, or two are the same folder.
    OSError
        If a folder cannot be read.
    """
    known = {_identity(directory): directory}
    classes: dict[str, list[str]] = {}
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".") or not path.is_dir():
            continue
        identity = _identity(path)
        if identity in known:
            raise ValueError(f"{path}: is the same folder as {known[identity]}")
        known[identity] = path
        classes[path.name] = sorted(_images_in(path))
        if not classes[path.name]:
            raise ValueError(f"{path}: holds no image ({', '.join(SUFFIXES)})")
    if not classes:
        raise ValueError(f"{directory}: holds no folder, expected one for each class")
    return classes


def has_images(directory: Path) -> bool:
    """Say whether a folder holds the folders of the two parts, or such with images in them.

    Parameters
    ----------
    directory : Path

    Returns
    -------
    bool
    """
    if _part(directory, _TRAIN) or _part(directory, _TEST):
        return True
    # No deeper: the directory may be one with everything in it.
    return any(_is_image(path) for path in directory.glob("[!.]*/*"))


def _images_in(directory: Path) -> Iterator[str]:
    """Yield the names of the images in a folder and those in it, without following links."""

    def refuse(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(directory, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if _is_image(Path(name)):
                yield os.path.join(folder, name)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _part(directory: Path, names: tuple[str, ...]) -> Path | None:
    return next((directory / name for name in names if (directory / name).is_dir()), None)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _checked_size(size: object) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, int) else size
    if (
        not isinstance(pair, tuple | list)
        or len(pair) != 2
        or any(isinstance(n, bool) or not isinstance(n, int) or not 0 < n < 1 << 15 for n in pair)
    ):
        raise ValueError(
            f"size: got {size!r}, expected height and width, from 1 to {(1 << 15) - 1}"
        )
    return pair[0], pair[1]
