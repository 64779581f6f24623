"""The folder of a run: what was set, how it went, pictures, and the best checkpoint."""

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

import fastconv
from fastconv import plots
from fastconv._files import check_replaceable, replacing
from fastconv.training.batching import batches
from fastconv.training.checkpoint import Checkpoint, check_path, save_checkpoint
from fastconv.training.features import feature_maps
from fastconv.training.history import EpochRecord
from fastconv.training.stopping import best_epoch

if TYPE_CHECKING:
    from fastconv.training._run import Run


class RunFolder:
    """Where a run leaves its results, as `fit`'s ``folder``.

    Every file is written under a temporary name and renamed: it is complete, or the one before. All
    follow from the run's checkpoint alone, so that a run that was killed and resumed leaves the
    same ones, but for the times in them.

    ==================  =======================================================================
    checkpoint.npz      the state after the last epoch, to resume from (`load_checkpoint`)
    best.npz            the same after the best epoch (`best_epoch`)
    config.json         what was set, the network's layers, and the version of fastconv
    metrics.csv         a row for each epoch, with the names of the fields of `EpochRecord`
    metrics.jsonl       the same as JSON, an object a line
    training.png        loss and accuracy over the epochs
    kernels.png         the kernels of the first convolution
    features.png        what the first convolution makes of the first test image
    ==================  =======================================================================

    Parameters
    ----------
    path : path-like
        The folder; it is made if it is missing.
    pictures : bool, optional
        Whether to draw; needs matplotlib. They are drawn when the run ends.

    Examples
    --------
    >>> import tempfile
    >>> from fastconv import layers, training
    >>> model = layers.Sequential(layers.Flatten(), layers.Linear(64, 10, rng=0))
    >>> sgd = training.SGD(model.parameters(), lr=0.1)
    >>> with tempfile.TemporaryDirectory() as path:
    ...     folder = training.RunFolder(path, pictures=False)
    ...     history = training.fit(
    ...         model, layers.CrossEntropyLoss(), sgd, training.load_digits(), epochs=2,
    ...         folder=folder,
    ...     )
    ...     sorted(os.listdir(path))
    ['best.npz', 'checkpoint.npz', 'config.json', 'metrics.csv', 'metrics.jsonl']
    """

    def __init__(self, path: str | os.PathLike[str], *, pictures: bool = True) -> None:
        #: The folder.
        self.path = Path(path)
        #: Whether pictures are drawn.
        self.pictures = pictures

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, pictures={self.pictures})"

    @property
    def files(self) -> list[Path]:
        """The files that may be there, but for the checkpoint of the last epoch."""
        names = ["best.npz", "config.json", "metrics.csv", "metrics.jsonl"]
        names += ["training.png", "kernels.png", "features.png"] if self.pictures else []
        return [self.path / name for name in names]

    def prepare(self, checkpoint: str | os.PathLike[str] | None = None) -> Path:
        """Make the folder, and find out now whether everything can be written.

        Parameters
        ----------
        checkpoint : path-like, optional
            Where the last checkpoint shall go; by default into the folder.

        Returns
        -------
        Path
            Where it goes.

        Raises
        ------
        ImportError
            If pictures are asked for and matplotlib is not installed.
        OSError
            If something cannot be written.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        last = Path(checkpoint) if checkpoint is not None else self.path / "checkpoint.npz"
        check_path(last)
        if self.pictures:
            plots.check_available()
        for path in self.files:
            check_replaceable(path)
        return last

    def begin(self, run: "Run") -> None:
        """Write down what was set, and the metrics of the epochs that are done."""
        config = {
            "fastconv": fastconv.__version__,
            "options": run.options,
            "settings": run.settings,
            "model": repr(run.model).splitlines(),
        }
        self._write("config.json", json.dumps(config, indent=1, default=str) + "\n")
        if run.history:
            self.write_metrics(run.history)

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Write the best checkpoint, if it is that of the epoch that has just ended."""
        if best_epoch(checkpoint.history) == len(checkpoint.history) - 1:
            save_checkpoint(self.path / "best.npz", checkpoint)

    def write_metrics(self, history: Sequence[EpochRecord]) -> None:
        """Write the metrics of all epochs."""
        table = io.StringIO()
        names = [field.name for field in fields(EpochRecord)]
        writer = csv.DictWriter(table, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(record) for record in history)
        self._write("metrics.csv", table.getvalue())
        lines = [json.dumps(asdict(record)) + "\n" for record in history]
        self._write("metrics.jsonl", "".join(lines))

    def draw(self, run: "Run") -> None:
        """Draw what there is to see at the end of a run."""
        if not (self.pictures and run.history):
            return
        plots.training_curves(run.history, self.path / "training.png")
        kernels = [param.data for param in run.model.parameters() if param.data.ndim == 4]
        if not kernels:
            return
        plots.kernels_picture(kernels[0], self.path / "kernels.png")
        test = run.test
        ((x, _),) = batches(
            test.dataset.test_images[:1], np.zeros(1, np.int64), 1, dtype=run.dtype,
            mean=test.means, std=test.stds,
        )  # fmt: skip
        name, maps = next(iter(feature_maps(run.model, x[0]).items()), ("", None))
        if maps is not None:
            plots.features_picture(
                maps, self.path / "features.png", image=x[0],
                title=f"What the first convolution ({name}) makes of a test image",
            )  # fmt: skip

    def _write(self, name: str, text: str) -> None:
        with replacing(self.path / name) as file:
            file.write(text.encode())


class AddsScalars(Protocol):
    """What `ScalarWriter` needs: TensorBoard's SummaryWriter and others have it."""

    def add_scalar(self, tag: str, value: float, step: int, /) -> object:
        """Write down a number."""


class ScalarWriter:
    """Gives the numbers of each epoch to an object with ``add_scalar``, as `fit`'s ``on_epoch``.

    Such an object is the SummaryWriter of torch.utils.tensorboard or tensorboardX. What it gets is
    "loss/train", "loss/test", "accuracy/train", "accuracy/test", "lr" and "seconds", with the
    number of the epoch as the step.

    Parameters
    ----------
    writer : object
        Called as ``writer.add_scalar(tag, value, step)``.

    Raises
    ------
    TypeError
        If it has no ``add_scalar``.

    Examples
    --------
    >>> class Printer:
    ...     def add_scalar(self, tag, value, step):
    ...         print(step, tag, value)
    >>> ScalarWriter(Printer())(EpochRecord(1, 0.05, 0.7, 0.8, 0.4, 0.9, 1.5))
    1 lr 0.05
    1 loss/train 0.7
    1 accuracy/train 0.8
    1 loss/test 0.4
    1 accuracy/test 0.9
    1 seconds 1.5
    """

    def __init__(self, writer: AddsScalars) -> None:
        add = getattr(writer, "add_scalar", None)
        if not callable(add):
            raise TypeError(f"writer: got a {type(writer).__name__}, expected one with add_scalar")
        self._add: Callable[[str, float, int], object] = add

    def __repr__(self) -> str:
        return f"{type(self).__name__}({getattr(self._add, '__self__', self._add)!r})"

    def __call__(self, record: EpochRecord) -> None:
        """Give the numbers of an epoch to the writer."""
        values: dict[str, Any] = asdict(record)
        epoch = values.pop("epoch")
        for name, value in values.items():
            part, _, kind = name.partition("_")
            self._add(f"{kind}/{part}" if kind else part, value, epoch)
