"""The training loop: what `fit` takes, checks, and does after each epoch."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastconv import _check
from fastconv.layers import Layer
from fastconv.training._run import Run
from fastconv.training._steps import Optimizer
from fastconv.training.augmentation import Augmentation
from fastconv.training.averaging import ExponentialMovingAverage
from fastconv.training.batching import Numbers, normalization
from fastconv.training.checkpoint import (
    Checkpoint,
    check_options,
    check_path,
    load_checkpoint,
    save_checkpoint,
)
from fastconv.training.data import Dataset, check_count
from fastconv.training.evaluation import Evaluation, Loss, check_data, mode
from fastconv.training.history import EpochRecord
from fastconv.training.run_folder import RunFolder
from fastconv.training.schedules import constant


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
    normalize: str | Sequence[Numbers] = "dataset",
    augmentation: Augmentation | None = None,
    workers: int = 0,
    accumulate: int = 1,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    average: ExponentialMovingAverage | None = None,
    stop_early: Callable[[Sequence[EpochRecord]], bool] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | Checkpoint | None = None,
    folder: RunFolder | None = None,
    options: Mapping[str, Any] | None = None,
    progress: bool = False,
    should_stop: Callable[[], bool] | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> list[EpochRecord]:
    """Train a model, with a test after each epoch.

    The batches are normalised and converted to the dtype of the model's parameters.

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
        Sets the order of the images and what augmentation does to them: pure functions of the seed
        and the epoch.
    one_hot : bool, optional
        Give the loss rows with a single 1 instead of class numbers, for squared errors.
    normalize : {"dataset", "channels"} or pair of (mean, std), optional
        Scale the images to mean 0 and variance 1 with two numbers, those of all values of the
        training images, or with two numbers for each channel, or with those that are given, each
        one number or one for each channel.
    augmentation : Augmentation, optional
        What is done to the training images at random.
    workers : int, optional
        Threads that make batches ahead of the steps, as of `batches`.
    accumulate : int, optional
        The number of parts of a batch that go through the model one after the other, for less
        memory. Their gradients are added up to that of the batch, but batch norm sees each part by
        itself.
    clip_norm, clip_value : float, optional
        Before a step the gradients are brought into bounds by `clip_grad_value_`, and then by
        `clip_grad_norm_`.
    average : ExponentialMovingAverage, optional
        Updated after each step; the tests are done with the averaged weights.
    stop_early : callable, optional
        Asked with the records of the finished epochs; when it returns True, the run has ended. See
        `EarlyStopping`.
    checkpoint : path-like, optional
        Written after every epoch and when the run is stopped; .npz or .safetensors. By default
        "checkpoint.npz" in the folder, if there is one.
    resume : path-like or Checkpoint, optional
        Go on from there. A run that was killed and resumed gives the same bits as one that was
        not, as long as model, data, schedule, batch size, seed, augmentation, and what is done to
        the gradients are the same. The optimizer takes its settings, the learning rate among them,
        from the checkpoint, and so do the averages.
    folder : RunFolder, optional
        Where metrics, pictures, and the best checkpoint go.
    options : mapping, optional
        JSON values kept in the checkpoint for the caller, such as the model's name.
    progress : bool, optional
        Show a progress bar on standard error; needs tqdm.
    should_stop : callable, optional
        Asked after every step; when it returns True, the checkpoint is written and the run ends.
    on_epoch : callable, optional
        Called with each `EpochRecord`, after the checkpoint has been written. See `ScalarWriter`.

    Returns
    -------
    list of EpochRecord
        One record per finished epoch; fewer than ``epochs`` when the run was stopped.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If an argument is out of range, a label has no output of the model, the checkpoint
        belongs to another run, or an image cannot be read.
    RuntimeError
        If the loss becomes NaN or infinite, or the norm of gradients that are to be clipped.
    ImportError
        If ``progress`` is asked for without tqdm, or pictures without matplotlib.

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
    seed, workers = check_count("seed", seed, 0), check_count("workers", workers, 0)
    accumulate = check_count("accumulate", accumulate, 1)
    functions = {
        "schedule": schedule, "stop_early": stop_early, "should_stop": should_stop,
        "on_epoch": on_epoch,
    }  # fmt: skip
    for name, function in functions.items():
        if not (function is None or callable(function)):
            raise TypeError(f"{name}: got {function!r}, expected a function")
    kinds: dict[str, tuple[object, type]] = {
        "augmentation": (augmentation, Augmentation),
        "average": (average, ExponentialMovingAverage),
        "folder": (folder, RunFolder),
    }
    for name, (value, kind) in kinds.items():
        if not (value is None or isinstance(value, kind)):
            raise TypeError(f"{name}: got {value!r}, expected one of {kind.__name__}")
    bounds = {"clip_norm": clip_norm, "clip_value": clip_value}
    for name, bound in bounds.items():
        if bound is not None and not _check.number(name, bound) > 0:
            raise ValueError(f"{name}: got {bound!r}, expected a number above 0")
    schedule = constant() if schedule is None else schedule
    _check.number("optimizer.lr", optimizer.lr)
    bar = _bar_maker() if progress else None
    means, stds = normalization(dataset, normalize) if isinstance(dataset, Dataset) else (0, 1)
    check_data(model, dataset, one_hot, ("train", "test"), means, stds)
    run = Run(
        Evaluation(model, loss, dataset, one_hot, means, stds, workers),
        optimizer,
        batch_size=batch_size,
        seed=seed,
        augmentation=augmentation or Augmentation(),
        accumulate=accumulate,
        bounds=bounds,
        average=average,
    )
    run.settings["schedule"] = str(schedule) if hasattr(schedule, "text") else "custom"
    run.options = dict(options or {})
    if folder is not None:
        checkpoint = folder.prepare(checkpoint)
    if checkpoint is not None:
        check_path(checkpoint)
        check_options(run.options)
    if resume is not None:
        run.restore(resume if isinstance(resume, Checkpoint) else load_checkpoint(resume))
    stop = should_stop or _never
    base = optimizer.learning_rates()
    if folder is not None:
        folder.begin(run)

    def rates_at(time: float) -> list[float]:
        factor = schedule(time, epochs)
        return [_scaled(rate, factor, time) for rate in base]

    def ended() -> bool:
        return run.progress.epoch >= epochs or bool(stop_early and stop_early(run.history))

    with mode(model, training=True):
        try:
            while not ended():
                stopped = not run.epoch(epochs, rates_at, stop, bar)
                optimizer.set_learning_rates(base)
                saved = run.checkpoint()
                if folder is not None and not stopped:
                    # Before the other: whoever goes on from that finds the best one complete.
                    folder.save_best(saved)
                if checkpoint is not None:
                    save_checkpoint(checkpoint, saved)
                if stopped:
                    break
                if folder is not None:
                    folder.write_metrics(run.history)
                if on_epoch is not None:
                    on_epoch(run.history[-1])
                if stop():
                    break
        finally:
            optimizer.set_learning_rates(base)
    if folder is not None:
        folder.draw(run)
    return run.history


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


def _never() -> bool:
    return False


def _bar_maker() -> Callable[..., Any]:
    try:
        from tqdm import tqdm
    except ImportError:
        raise ImportError("the progress bar needs tqdm: pip install 'fastconv[cli]'") from None
    return tqdm  # type: ignore[no-any-return]
