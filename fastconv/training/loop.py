"""The training loop: batches, forward, backward, step; evaluation, checkpoints, progress."""

import copy
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from fastconv import _check
from fastconv.layers import Layer
from fastconv.training._steps import Optimizer
from fastconv.training.checkpoint import (
    Checkpoint,
    check_generators,
    check_options,
    check_path,
    generator_states,
    load_checkpoint,
    restore_generators,
    save_checkpoint,
)
from fastconv.training.data import (
    Array,
    Dataset,
    batches,
    check_count,
    epoch_order,
    largest_label,
)
from fastconv.training.history import EpochRecord, Progress
from fastconv.training.schedules import constant


class Loss(Protocol):
    """What the loop asks of a loss: its value, and its gradient with respect to the input."""

    def __call__(self, input: Array, target: Array, /) -> float:
        """Return the mean loss over a batch."""

    def backward(self) -> Array:
        """Return the gradient with respect to the last input."""


def fit(
    model: Layer,
    loss: Loss,
    optimizer: Optimizer,
    dataset: Dataset,
    *,
    epochs: int,
    batch_size: int = 64,
    schedule: Callable[[float, float], float] | None = None,
    seed: int = 0,
    one_hot: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | Checkpoint | None = None,
    options: Mapping[str, Any] | None = None,
    progress: bool = False,
    should_stop: Callable[[], bool] | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> list[EpochRecord]:
    """Train a model, with a test after each epoch.

    The batches are scaled to mean 0 and variance 1 with two numbers, the mean and the standard
    deviation of all values of the training images (``dataset.mean`` and ``dataset.std``), and
    converted to the dtype of the model's parameters.

    Parameters
    ----------
    model : Layer
        Takes (N, C, H, W) and returns (N, classes).
    loss : Loss
        For example ``fastconv.layers.CrossEntropyLoss()``.
    optimizer : Optimizer
        Made for the model's parameters; the schedule scales its ``lr``, and those of its groups.
    dataset : Dataset
        Training and test images.
    epochs : int
        Length of the whole run, resumed part included.
    batch_size : int, optional
        Images per step; the last step of an epoch takes what is left.
    schedule : callable, optional
        ``schedule(time, epochs)``, the factor on the learning rate, finite and at least 0; see
        `fastconv.training.schedules`. Constant by default.
    seed : int, optional
        Sets the order of the images: it is a pure function of the seed and the epoch.
    one_hot : bool, optional
        Give the loss rows with a single 1 instead of class numbers, for squared errors.
    checkpoint : path-like, optional
        Written after every epoch and when the run is stopped; .npz or .safetensors.
    resume : path-like or Checkpoint, optional
        Go on from there. A run that was killed and resumed gives the same bits as one that was
        not, as long as model, data, schedule, batch size and seed are the same. The optimizer takes
        its settings, the learning rate among them, from the checkpoint.
    options : mapping, optional
        JSON values kept in the checkpoint for the caller, such as the model's name.
    progress : bool, optional
        Show a progress bar on standard error; needs tqdm.
    should_stop : callable, optional
        Asked after every step; when it returns True, the checkpoint is written and the run ends.
    on_epoch : callable, optional
        Called with each `EpochRecord`, after the checkpoint has been written.

    Returns
    -------
    list of EpochRecord
        One record per finished epoch; fewer than ``epochs`` when the run was stopped.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If an argument is out of range, a label has no output of the model, or the checkpoint
        belongs to another run.
    RuntimeError
        If the loss becomes NaN or infinite.
    ImportError
        If ``progress`` is asked for without tqdm.

    Notes
    -----
    Arguments, labels and the checkpoint are checked before anything changes. An error later on,
    whether in the model, the loss or a function that was given, leaves the parameters and the
    optimizer as they were after the last complete step, and the last checkpoint in its place. The
    modes of the layers and the learning rate are always put back.

    Examples
    --------
    >>> from fastconv import layers, training
    >>> digits = training.load_digits()
    >>> model = layers.Sequential(layers.Flatten(), layers.Linear(64, 10, rng=0))
    >>> sgd = training.SGD(model.parameters(), lr=0.1)
    >>> history = training.fit(model, layers.CrossEntropyLoss(), sgd, digits, epochs=2)
    >>> history[-1].test_accuracy > 0.9
    True
    """
    epochs, batch_size = check_count("epochs", epochs, 1), check_count("batch_size", batch_size, 1)
    seed = check_count("seed", seed, 0)
    functions = {"schedule": schedule, "should_stop": should_stop, "on_epoch": on_epoch}
    for name, function in functions.items():
        if not (function is None or callable(function)):
            raise TypeError(f"{name}: got {function!r}, expected a function")
    schedule = constant() if schedule is None else schedule
    _check.number("optimizer.lr", optimizer.lr)
    bar = _bar_maker() if progress else None
    _check_data(model, dataset, one_hot, ("train", "test"))
    run = _Run(model, loss, optimizer, dataset, batch_size, seed, one_hot)
    run.settings["schedule"] = str(schedule) if hasattr(schedule, "text") else "custom"
    run.options = dict(options or {})
    if checkpoint is not None:
        check_path(checkpoint)
        check_options(run.options)
    if resume is not None:
        run.restore(resume if isinstance(resume, Checkpoint) else load_checkpoint(resume))
    stop = should_stop or _never
    base = optimizer.learning_rates()

    def rates_at(time: float) -> list[float]:
        factor = schedule(time, epochs)
        return [_scaled(rate, factor, time) for rate in base]

    with _mode(model, training=True):
        try:
            while run.progress.epoch < epochs:
                stopped = not run.epoch(epochs, rates_at, stop, bar)
                optimizer.set_learning_rates(base)
                if checkpoint is not None:
                    save_checkpoint(checkpoint, run.checkpoint())
                if stopped:
                    break
                if on_epoch is not None:
                    on_epoch(run.history[-1])
                if stop():
                    break
        finally:
            optimizer.set_learning_rates(base)
    return run.history


def evaluate(
    model: Layer,
    loss: Loss,
    dataset: Dataset,
    *,
    part: str = "test",
    batch_size: int = 256,
    one_hot: bool = False,
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
    batch_size = check_count("batch_size", batch_size, 1)
    if part not in ("test", "train"):
        raise ValueError(f"part: got {part!r}, expected 'test' or 'train'")
    _check_data(model, dataset, one_hot, (part,))
    result = _evaluate(model, loss, dataset, part, batch_size, one_hot, _never)
    assert result is not None
    return result


class _Run:
    """The moving parts of one call of fit."""

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        optimizer: Optimizer,
        dataset: Dataset,
        batch_size: int,
        seed: int,
        one_hot: bool,
    ) -> None:
        self.model, self.loss, self.optimizer, self.dataset = model, loss, optimizer, dataset
        self.batch_size, self.seed, self.one_hot = batch_size, seed, one_hot
        self.steps = -(-len(dataset.train_labels) // batch_size)
        self.progress = Progress()
        self.history: list[EpochRecord] = []
        self.options: dict[str, Any] = {}
        self.settings: dict[str, Any] = {
            "seed": seed,
            "batch_size": batch_size,
            "lr": optimizer.lr,
            "dtype": str(_model_dtype(model)),
            "one_hot": one_hot,
            "train_images": list(dataset.train_images.shape),
            "test_images": list(dataset.test_images.shape),
            "mean": dataset.mean,
            "std": dataset.std,
        }

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            generators=generator_states(self.model.generators()),
            progress=self.progress,
            history=self.history,
            settings=self.settings,
            options=self.options,
        )

    def restore(self, saved: Checkpoint) -> None:
        # The schedule may be a changed one, and the learning rate is part of the optimizer.
        for name in set(self.settings) - {"schedule", "lr"}:
            if saved.settings.get(name) != self.settings[name]:
                raise ValueError(
                    f"resume: the checkpoint was made with {name} = "
                    f"{saved.settings.get(name)!r}, this run has {self.settings[name]!r}"
                )
        try:
            self._check_progress(saved.progress)
            check_generators(self.model.generators(), saved.generators)
            # Loading replaces what an optimizer has, so that a copy shows whether it would.
            copy.copy(self.optimizer).load_state_dict(saved.optimizer)
            self.model.load_state_dict(saved.model)
        except (TypeError, ValueError) as error:
            raise ValueError(f"resume: the checkpoint does not fit this run: {error}") from error
        self.optimizer.load_state_dict(saved.optimizer)
        restore_generators(self.model.generators(), saved.generators)
        self.settings["lr"] = self.optimizer.lr
        self.progress = Progress(**vars(saved.progress))
        self.history = list(saved.history)

    def _check_progress(self, progress: Progress) -> None:
        seen = min(progress.step * self.batch_size, len(self.dataset.train_labels))
        if progress.epoch < 0 or not 0 <= progress.step <= self.steps or progress.seen != seen:
            raise ValueError(
                f"progress: {progress.seen} images in {progress.step} steps of epoch "
                f"{progress.epoch}, expected {self.batch_size} each and at most {self.steps} steps"
            )

    def epoch(
        self,
        epochs: int,
        rates_at: Callable[[float], list[float]],
        stop: Callable[[], bool],
        bar: Callable[..., Any] | None,
    ) -> bool:
        """Finish the current epoch; return False if stopped before its end."""
        now = self.progress
        begin = time.perf_counter() - now.seconds
        with _progress_bar(bar, f"epoch {now.epoch + 1}/{epochs}", self.steps, now.step) as tick:
            finished = self._train(rates_at, stop, tick)
        result = None
        if finished:
            result = _evaluate(self.model, self.loss, self.dataset, "test", 256, self.one_hot, stop)
        now.seconds = time.perf_counter() - begin
        if result is None:
            return False
        self.history.append(
            EpochRecord(
                epoch=now.epoch + 1,
                lr=rates_at(now.epoch)[0],
                train_loss=now.loss_sum / now.seen,
                train_accuracy=now.correct / now.seen,
                test_loss=result[0],
                test_accuracy=result[1],
                seconds=now.seconds,
            )
        )
        self.progress = Progress(epoch=now.epoch + 1)
        return True

    def _train(
        self,
        rates_at: Callable[[float], list[float]],
        stop: Callable[[], bool],
        tick: Callable[[], object] | None,
    ) -> bool:
        model, loss, optimizer, data, now = (
            self.model, self.loss, self.optimizer, self.dataset, self.progress
        )  # fmt: skip
        dtype = _model_dtype(model)
        rows = np.eye(len(data.class_names), dtype=dtype) if self.one_hot else None
        order = epoch_order(len(data.train_labels), self.seed, now.epoch)
        model.train()
        for x, labels in batches(
            data.train_images,
            data.train_labels,
            self.batch_size,
            dtype=dtype,
            mean=data.mean,
            std=data.std,
            order=order,
            start=now.step,
        ):
            optimizer.set_learning_rates(rates_at(now.epoch + now.step / self.steps))
            output = model.forward(x)
            value = float(loss(output, labels if rows is None else rows[labels]))
            if not math.isfinite(value):
                raise RuntimeError(
                    f"the loss became {value} in epoch {now.epoch + 1}, step {now.step + 1}; "
                    f"a smaller learning rate than {optimizer.lr:g} may help"
                )
            correct = int(np.count_nonzero(output.argmax(1) == labels))
            optimizer.zero_grad()
            model.backward(loss.backward(), input_grad=False)
            optimizer.step()
            now.loss_sum += value * len(labels)
            now.correct += correct
            now.seen += len(labels)
            now.step += 1
            if tick is not None:
                tick()
            if stop():
                return False
        return True


def _evaluate(
    model: Layer,
    loss: Loss,
    dataset: Dataset,
    part: str,
    batch_size: int,
    one_hot: bool,
    stop: Callable[[], bool],
) -> tuple[float, float] | None:
    images: Array = getattr(dataset, f"{part}_images")
    all_labels: Array = getattr(dataset, f"{part}_labels")
    dtype = _model_dtype(model)
    rows = np.eye(len(dataset.class_names), dtype=dtype) if one_hot else None
    loss_sum, correct = 0.0, 0
    with _mode(model, training=False):
        for x, labels in batches(
            images, all_labels, batch_size, dtype=dtype, mean=dataset.mean, std=dataset.std
        ):
            if stop():
                return None
            output = model.forward(x)
            loss_sum += float(loss(output, labels if rows is None else rows[labels])) * len(labels)
            correct += int(np.count_nonzero(output.argmax(1) == labels))
    return loss_sum / len(all_labels), correct / len(all_labels)


def _model_dtype(model: Layer) -> np.dtype[Any]:
    params = model.parameters()
    return params[0].data.dtype if params else np.dtype(np.float32)


def _check_data(model: Layer, dataset: Dataset, one_hot: bool, parts: tuple[str, ...]) -> None:
    """Refuse labels that the model has no output for; it is shown one image."""
    if not isinstance(dataset, Dataset):
        raise TypeError(f"dataset: got a {type(dataset).__name__}, expected a Dataset")
    # The data set was checked when it was made, and whoever has its arrays may have changed them.
    largest, classes = largest_label(dataset, *parts), len(dataset.class_names)
    image, label = dataset.train_images[:1], np.zeros(1, np.int64)
    ((x, _),) = batches(
        image, label, 1, dtype=_model_dtype(model), mean=dataset.mean, std=dataset.std
    )
    with _mode(model, training=False):
        output = model.forward(x)
    expected = f"= {classes}, as one_hot has" if one_hot else f"> {largest}, the largest label"
    scores = output.shape[1] if isinstance(output, np.ndarray) and output.ndim == 2 else 0
    if scores <= largest or (one_hot and scores != classes):
        raise ValueError(
            f"model: returns {getattr(output, 'shape', type(output).__name__)} for one image, "
            f"expected (1, classes) with classes {expected}"
        )


def _scaled(lr: float, factor: object, time: float) -> float:
    """Return the learning rate times what the schedule returned."""
    number = np.asarray(factor)
    if number.ndim or number.dtype.kind not in "iuf":
        raise TypeError(f"schedule: returned {factor!r} at {time:g} epochs, expected a number")
    scaled = lr * float(number)
    if not 0 <= scaled < math.inf:
        raise ValueError(
            f"schedule: returned {factor!r} at {time:g} epochs for a learning rate of {lr:g}, "
            "expected a finite number >= 0"
        )
    return scaled


@contextmanager
def _mode(model: Layer, *, training: bool) -> Iterator[None]:
    """Put a model in one mode, and then all its layers back into their own."""
    own, modes = model.training, [(layer, layer.training) for layer in model.layers()]
    model.train(training)
    try:
        yield
    finally:
        model.train(own)
        for layer, mode in modes:
            layer.training = mode


def _never() -> bool:
    return False


def _bar_maker() -> Callable[..., Any]:
    try:
        from tqdm import tqdm
    except ImportError:
        raise ImportError("the progress bar needs tqdm: pip install 'fastconv[cli]'") from None
    return tqdm  # type: ignore[no-any-return]


@contextmanager
def _progress_bar(
    bar: Callable[..., Any] | None, title: str, total: int, done: int
) -> Iterator[Callable[[], object] | None]:
    """Yield what to call after each step, or None without a bar."""
    if bar is None:
        yield None
        return
    with bar(desc=title, total=total, initial=done, unit="step", leave=False) as shown:
        yield shown.update
