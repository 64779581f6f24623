"""The moving parts of one call of `fit`: where it stands, its steps, what it saves."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from itertools import pairwise
from typing import Any

import numpy as np

from fastconv.training._steps import Optimizer
from fastconv.training.augmentation import Augmentation
from fastconv.training.averaging import ExponentialMovingAverage
from fastconv.training.batching import batches, epoch_order
from fastconv.training.checkpoint import (
    Checkpoint,
    check_generators,
    generator_states,
    restore_generators,
)
from fastconv.training.clipping import clip_grad_norm_, clip_grad_value_
from fastconv.training.data import Array
from fastconv.training.evaluation import TEST_BATCH, Evaluation, model_dtype
from fastconv.training.history import EpochRecord, Progress
from fastconv.training.sources import ImageSource

# What settings are that the checkpoints of earlier versions do not have.
_ABSENT = {"augmentation": "none", "accumulate": 1, "clip_norm": None, "clip_value": None}


class Run:
    """The moving parts of one call of fit.

    Parameters
    ----------
    test : Evaluation
        The model, the loss, the data set and its normalisation.
    optimizer, batch_size, seed, augmentation, accumulate, average
        As in `fit`.
    bounds : mapping
        ``clip_norm`` and ``clip_value`` of `fit`.
    """

    def __init__(
        self,
        test: Evaluation,
        optimizer: Optimizer,
        *,
        batch_size: int,
        seed: int,
        augmentation: Augmentation,
        accumulate: int,
        bounds: Mapping[str, float | None],
        average: ExponentialMovingAverage | None,
    ) -> None:
        self.test, self.model, self.loss, self.dataset = test, test.model, test.loss, test.dataset
        self.optimizer, self.batch_size, self.seed = optimizer, batch_size, seed
        self.augmentation, self.accumulate = augmentation, accumulate
        self.bounds, self.average = bounds, average
        self.dtype = model_dtype(self.model)
        # What the loss takes in place of class numbers.
        classes = len(self.dataset.class_names)
        self.rows = np.eye(classes, dtype=self.dtype) if test.one_hot else None
        self.steps = -(-len(self.dataset.train_labels) // batch_size)
        self.progress = Progress()
        self.history: list[EpochRecord] = []
        self.options: dict[str, Any] = {}
        self.settings: dict[str, Any] = {
            "seed": seed,
            "batch_size": batch_size,
            "lr": optimizer.lr,
            "dtype": str(self.dtype),
            "one_hot": test.one_hot,
            "train_images": list(self.dataset.train_images.shape),
            "test_images": list(self.dataset.test_images.shape),
            "mean": _one_or_all(test.means),
            "std": _one_or_all(test.stds),
            "augmentation": str(augmentation),
            "accumulate": accumulate,
            **bounds,
        }

    def checkpoint(self) -> Checkpoint:
        """Return the state between two steps."""
        return Checkpoint(
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            generators=generator_states(self.model.generators()),
            progress=self.progress,
            history=self.history,
            settings=self.settings,
            options=self.options,
            average={} if self.average is None else self.average.state_dict(),
        )

    def restore(self, saved: Checkpoint) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        ValueError
            If it belongs to another run; nothing has changed.
        """
        # The schedule may be a changed one, and the learning rate is part of the optimizer.
        for name in set(self.settings) - {"schedule", "lr"}:
            if saved.settings.get(name, _ABSENT.get(name)) != self.settings[name]:
                raise ValueError(
                    f"resume: the checkpoint was made with {name} = "
                    f"{saved.settings.get(name, _ABSENT.get(name))!r}, this run has "
                    f"{self.settings[name]!r}"
                )
        if bool(saved.average) != (self.average is not None):
            one, other = ("", "no ") if saved.average else ("no ", "")
            raise ValueError(
                f"resume: the checkpoint has {one}averaged weights, this run has {other}average"
            )
        try:
            self._check_progress(saved.progress)
            check_generators(self.model.generators(), saved.generators)
            # Loading replaces what an optimizer has, so that a copy shows whether it would.
            copy.copy(self.optimizer).load_state_dict(saved.optimizer)
            if self.average is not None:
                copy.copy(self.average).load_state_dict(saved.average)
            self.model.load_state_dict(saved.model)
        except (TypeError, ValueError) as error:
            raise ValueError(f"resume: the checkpoint does not fit this run: {error}") from error
        self.optimizer.load_state_dict(saved.optimizer)
        if self.average is not None:
            self.average.load_state_dict(saved.average)
        restore_generators(self.model.generators(), saved.generators)
        self.settings["lr"] = self.optimizer.lr
        self.progress = Progress(**vars(saved.progress))
        self.history = list(saved.history)

    def _check_progress(self, progress: Progress) -> None:
        most = min(progress.step * self.batch_size, len(self.dataset.train_labels))
        # Of images in files, some may have been left out.
        least = 0 if isinstance(self.dataset.train_images, ImageSource) else most
        inside = progress.epoch >= 0 and 0 <= progress.step <= self.steps
        if not (inside and least <= progress.seen <= most):
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
        """Finish the current epoch; return False if stopped before its end.

        Parameters
        ----------
        epochs : int
            Those of the whole run.
        rates_at : callable
            From the time in epochs to the learning rates.
        stop : callable
            Asked after each step.
        bar : callable or None
            Makes a progress bar.

        Returns
        -------
        bool
        """
        now = self.progress
        begin = time.perf_counter() - now.seconds
        with _progress_bar(bar, f"epoch {now.epoch + 1}/{epochs}", self.steps, now.step) as tick:
            finished = self._train(rates_at, stop, tick)
        result = None
        if finished:
            if not now.seen:
                raise ValueError("train_images: none can be read")
            with nullcontext() if self.average is None else self.average.applied():
                result = self.test.run("test", TEST_BATCH, stop)
        now.seconds = time.perf_counter() - begin
        if result is None:
            return False
        self.history.append(
            EpochRecord(
                epoch=now.epoch + 1,
                lr=rates_at(now.epoch)[0],
                train_loss=now.loss_sum / now.seen,
                train_accuracy=now.correct / now.seen,
                test_loss=result.loss,
                test_accuracy=result.accuracy,
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
        data, now = self.dataset, self.progress
        self.model.train()
        made = batches(
            data.train_images,
            data.train_labels,
            self.batch_size,
            dtype=self.dtype,
            mean=self.test.means,
            std=self.test.stds,
            order=epoch_order(len(data.train_labels), self.seed, now.epoch),
            start=now.step,
            augmentation=self.augmentation,
            seed=self.seed,
            epoch=now.epoch,
            workers=self.test.workers,
        )
        with closing(made):
            for x, labels in made:
                self.optimizer.set_learning_rates(rates_at(now.epoch + now.step / self.steps))
                if len(labels):
                    self._step(x, labels)
                now.step += 1
                if tick is not None:
                    tick()
                if stop():
                    return False
        return True

    def _step(self, x: Array, labels: Array) -> None:
        """Change the parameters by one batch, and count it."""
        now, optimizer, count = self.progress, self.optimizer, len(labels)
        parts = min(self.accumulate, count)
        borders = [count * part // parts for part in range(parts + 1)]
        loss_sum, correct = 0.0, 0
        for first, past in pairwise(borders):
            output = self.model.forward(x[first:past])
            targets = labels[first:past]
            value = float(self.loss(output, targets if self.rows is None else self.rows[targets]))
            if not math.isfinite(value):
                raise RuntimeError(
                    f"the loss became {value} in epoch {now.epoch + 1}, step {now.step + 1}; "
                    f"a smaller learning rate than {optimizer.lr:g} may help"
                )
            correct += int(np.count_nonzero(output.argmax(1) == targets))
            loss_sum += value * (past - first)
            if first == 0:
                optimizer.zero_grad()
            gradient = self.loss.backward()
            if parts > 1:
                # That of the mean over the part; what is wanted is that over the batch.
                gradient = gradient * gradient.dtype.type((past - first) / count)
            self.model.backward(gradient, input_grad=False)
        self._clip()
        optimizer.step()
        if self.average is not None:
            self.average.update()
        now.loss_sum += loss_sum
        now.correct += correct
        now.seen += count

    def _clip(self) -> None:
        value, norm = self.bounds["clip_value"], self.bounds["clip_norm"]
        if value is not None:
            clip_grad_value_(self.optimizer.params, value)
        if norm is not None:
            clip_grad_norm_(self.optimizer.params, norm, error_if_nonfinite=True)


def _one_or_all(numbers: Array) -> float | list[float]:
    """Return the number of all channels, or if they differ one for each."""
    each: list[float] = numbers.tolist()
    return each[0] if len(set(each)) == 1 else each


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
