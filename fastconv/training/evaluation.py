"""How well a model does on a part of a data set: loss, accuracy, confusions."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fastconv.layers import Layer
from fastconv.training.batching import Numbers, batches, normalization
from fastconv.training.data import Array, Dataset, check_count, largest_label

# Images of a test batch.
TEST_BATCH = 256


class Loss(Protocol):
    """What the loop asks of a loss: its value, and its gradient with respect to the input."""

    def __call__(self, input: Array, target: Array, /) -> float:
        """Return the mean loss over a batch."""

    def backward(self) -> Array:
        """Return the gradient with respect to the last input."""


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What a model makes of each class: the result of `report`.

    Parameters
    ----------
    loss : float
        The mean over the images.
    confusion : ndarray of int64, shape (classes, outputs)
        How many images of the class of a row were taken for that of a column.
    ranks : ndarray of int64, shape (outputs,)
        For how many images so many classes had a greater score than the right one; of equal
        scores, the class of the smaller number counts as the greater.
    class_names : tuple of str

    Examples
    --------
    >>> result = Report(0.5, np.array([[3, 1], [0, 4]]), np.array([7, 1]), ("cat", "dog"))
    >>> result.accuracy, result.top(2), result.class_accuracy.tolist()
    (0.875, 1.0, [0.75, 1.0])
    >>> print(result)
    loss 0.5000, top-1 87.50 %, of 8 images
    <BLANKLINE>
    class  images  correct  most taken for
    cat         4   75.00 %  dog (1)
    dog         4  100.00 %
    """

    loss: float
    confusion: Array
    ranks: Array
    class_names: tuple[str, ...]

    @property
    def images(self) -> int:
        """The number of images."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """The share of the images whose class has the greatest score (top-1)."""
        return int(np.trace(self.confusion)) / self.images

    def top(self, count: int) -> float:
        """Return the share of the images whose class is among the greatest scores (top-5 for 5).

        Parameters
        ----------
        count : int
            Among how many, at least 1.

        Returns
        -------
        float
        """
        return int(self.ranks[: check_count("count", count, 1)].sum()) / self.images

    @property
    def class_accuracy(self) -> Array:
        """For each class, the share of its images that were recognised; NaN where there is none."""
        totals = self.confusion.sum(axis=1)
        right = np.diagonal(self.confusion)[: len(totals)]
        shares: Array = np.full(len(totals), np.nan)
        np.divide(right, totals, out=shares, where=totals > 0)
        return shares

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(loss={self.loss:.4f}, accuracy={self.accuracy:.4f}, "
            f"{self.images} images of {len(self.class_names)} classes)"
        )

    def __str__(self) -> str:
        """Return a table of the classes, as many as there are."""
        five = f", top-5 {100 * self.top(5):.2f} %" if len(self.ranks) > 5 else ""
        width = max(len("class"), *(len(name) for name in self.class_names))
        lines = [
            f"loss {self.loss:.4f}, top-1 {100 * self.accuracy:.2f} %{five}, "
            f"of {self.images:,} images",
            "",
            f"{'class':<{width}}  images  correct  most taken for",
        ]
        others = self.confusion.copy()
        np.fill_diagonal(others, 0)
        for index, name in enumerate(self.class_names):
            wrong = int(others[index].argmax())
            taken = f"{self._name(wrong)} ({others[index, wrong]})" if others[index, wrong] else ""
            share = self.class_accuracy[index]
            percent = "-" if np.isnan(share) else f"{100 * share:.2f} %"
            total = self.confusion[index].sum()
            lines.append(f"{name:<{width}}  {total:>6,}  {percent:>8}  {taken}".rstrip())
        return "\n".join(lines)

    def _name(self, output: int) -> str:
        return self.class_names[output] if output < len(self.class_names) else str(output)


def evaluate(
    model: Layer,
    loss: Loss,
    dataset: Dataset,
    *,
    part: str = "test",
    batch_size: int = TEST_BATCH,
    one_hot: bool = False,
    normalize: str | Sequence[Numbers] = "dataset",
    workers: int = 0,
) -> tuple[float, float]:
    """Return the mean loss and the accuracy over a part of a data set, in eval mode.

    Parameters
    ----------
    model : Layer
        Takes (N, C, H, W) and returns (N, classes); its layers are left in their modes.
    loss : Loss
        As in `fit`.
    dataset : Dataset
        The images are normalised as in `fit`.
    part : {"test", "train"}, optional
        Which images to use.
    batch_size : int, optional
        Images per call of the model.
    one_hot : bool, optional
        As in `fit`.
    normalize, workers : optional
        As in `fit`.

    Returns
    -------
    tuple of two floats
        Loss and accuracy.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If ``part`` or ``batch_size`` is none of the above, or a label has no output of the model.

    Examples
    --------
    >>> from fastconv import layers, models, training
    >>> net = models.lenet_digits(rng=0)
    >>> loss, accuracy = training.evaluate(net, layers.CrossEntropyLoss(), training.load_digits())
    >>> accuracy < 0.3  # before it has learned anything
    True
    """
    result = report(
        model, loss, dataset, part=part, batch_size=batch_size, one_hot=one_hot,
        normalize=normalize, workers=workers,
    )  # fmt: skip
    return result.loss, result.accuracy


def report(
    model: Layer,
    loss: Loss,
    dataset: Dataset,
    *,
    part: str = "test",
    batch_size: int = TEST_BATCH,
    one_hot: bool = False,
    normalize: str | Sequence[Numbers] = "dataset",
    workers: int = 0,
) -> Report:
    """Return what `evaluate` does, with the confusions of classes and the top-5 accuracy.

    Parameters
    ----------
    model, loss, dataset, part, batch_size, one_hot, normalize, workers
        As in `evaluate`.

    Returns
    -------
    Report

    Raises
    ------
    TypeError, ValueError
        As `evaluate`.

    Examples
    --------
    >>> from fastconv import layers, models, training
    >>> net = models.lenet_digits(rng=0)
    >>> result = training.report(net, layers.CrossEntropyLoss(), training.load_digits())
    >>> result.confusion.shape, result.top(10)
    ((10, 10), 1.0)
    """
    batch_size = check_count("batch_size", batch_size, 1)
    workers = check_count("workers", workers, 0)
    if part not in ("test", "train"):
        raise ValueError(f"part: got {part!r}, expected 'test' or 'train'")
    means, stds = normalization(dataset, normalize) if isinstance(dataset, Dataset) else (0, 1)
    check_data(model, dataset, one_hot, (part,), means, stds)
    evaluation = Evaluation(model, loss, dataset, one_hot, means, stds, workers)
    result = evaluation.run(part, batch_size, lambda: False)
    assert result is not None
    return result


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated, and how its images are normalised.

    Parameters
    ----------
    model, loss, dataset, one_hot, workers
        As in `evaluate`.
    means, stds : ndarray, shape (C,)
    """

    model: Layer
    loss: Loss
    dataset: Dataset
    one_hot: bool
    means: Any
    stds: Any
    workers: int

    def run(self, part: str, batch_size: int, stop: Callable[[], bool]) -> Report | None:
        """Return the report of a part of the data set, or None when stopped.

        Parameters
        ----------
        part : {"test", "train"}
        batch_size : int
        stop : callable
            Asked before each batch.

        Returns
        -------
        Report or None
        """
        images = getattr(self.dataset, f"{part}_images")
        labels: Array = getattr(self.dataset, f"{part}_labels")
        classes = len(self.dataset.class_names)
        dtype = model_dtype(self.model)
        rows = np.eye(classes, dtype=dtype) if self.one_hot else None
        loss_sum, confusion, ranks = 0.0, np.zeros((classes, 0), np.int64), np.zeros(0, np.int64)
        made = batches(
            images, labels, batch_size, dtype=dtype, mean=self.means, std=self.stds,
            workers=self.workers,
        )  # fmt: skip
        with mode(self.model, training=False), closing(made):
            for x, y in made:
                if stop():
                    return None
                if not len(y):
                    continue
                output = self.model.forward(x)
                loss_sum += float(self.loss(output, y if rows is None else rows[y])) * len(y)
                if not confusion.size:
                    confusion = np.zeros((classes, output.shape[1]), np.int64)
                    ranks = np.zeros(output.shape[1], np.int64)
                np.add.at(confusion, (y, output.argmax(1)), 1)
                ranks += np.bincount(_ranks(output, y), minlength=len(ranks))
        seen = int(ranks.sum())
        if not seen:
            raise ValueError(f"{part}_images: none can be read")
        return Report(loss_sum / seen, confusion, ranks, self.dataset.class_names)


def _ranks(output: Array, labels: Array) -> Array:
    """Return how many classes are before the right one, by their scores and then their numbers."""
    own = np.take_along_axis(output, labels[:, np.newaxis], 1)
    first = np.arange(output.shape[1]) < labels[:, np.newaxis]
    # As argmax has it, a NaN is greater than all numbers.
    nan, own_nan = np.isnan(output), np.isnan(own)
    greater = (output > own) | (nan & ~own_nan)
    equal = (output == own) | (nan & own_nan)
    ranks: Array = np.count_nonzero(greater | equal & first, axis=1)
    return ranks


def model_dtype(model: Layer) -> np.dtype[Any]:
    """Return the dtype of a model's parameters.

    Parameters
    ----------
    model : Layer

    Returns
    -------
    dtype
    """
    params = model.parameters()
    return params[0].data.dtype if params else np.dtype(np.float32)


def check_data(
    model: Layer, dataset: Dataset, one_hot: bool, parts: tuple[str, ...], means: Any, stds: Any
) -> None:
    """Refuse labels that the model has no output for; it is shown one image.

    Parameters
    ----------
    model, dataset, one_hot
        As in `fit`.
    parts : tuple of str
        Whose labels are looked at.
    means, stds : ndarray, shape (C,)

    Raises
    ------
    TypeError, ValueError
        If it is no data set, or has more classes than the model has outputs.
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(f"dataset: got a {type(dataset).__name__}, expected a Dataset")
    # The data set was checked when it was made, and whoever has its arrays may have changed them.
    largest, classes = largest_label(dataset, *parts), len(dataset.class_names)
    shape, dtype = dataset.train_images.shape, dataset.train_images.dtype
    image, label = np.zeros((1, *shape[1:]), dtype), np.zeros(1, np.int64)
    ((x, _),) = batches(image, label, 1, dtype=model_dtype(model), mean=means, std=stds)
    with mode(model, training=False):
        output = model.forward(x)
    expected = f"= {classes}, as one_hot has" if one_hot else f"> {largest}, the largest label"
    scores = output.shape[1] if isinstance(output, np.ndarray) and output.ndim == 2 else 0
    if scores <= largest or (one_hot and scores != classes):
        raise ValueError(
            f"model: returns {getattr(output, 'shape', type(output).__name__)} for one image, "
            f"expected (1, classes) with classes {expected}"
        )


@contextmanager
def mode(model: Layer, *, training: bool) -> Iterator[None]:
    """Put a model in one mode, and then all its layers back into their own.

    Parameters
    ----------
    model : Layer
    training : bool

    Yields
    ------
    None
    """
    own, modes = model.training, [(layer, layer.training) for layer in model.layers()]
    model.train(training)
    try:
        yield
    finally:
        model.train(own)
        for layer, before in modes:
            layer.training = before
