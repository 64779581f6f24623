"""When a run has learned all that it will: early stopping."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from fastconv.training.data import check_count
from fastconv.training.history import EpochRecord


@dataclass(frozen=True)
class EarlyStopping:
    """Ends a run that has not become better for some epochs.

    It is a function of the finished epochs, so that a resumed run stops where it would have stopped
    otherwise.

    Parameters
    ----------
    patience : int
        How many epochs in a row may bring nothing better than the best one before them.
    monitor : str, optional
        What is to become better, a field of `EpochRecord`: the greater an accuracy, or the smaller
        a loss.
    min_delta : float, optional
        By how much more than this an epoch must be better to count, at least 0.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> stop = EarlyStopping(2)
    >>> losses = [0.5, 0.4, 0.41, 0.4]
    >>> history = [EpochRecord(n, 0.1, 0.0, 1.0, loss, 0.9, 1.0) for n, loss in enumerate(losses)]
    >>> [stop(history[:n]) for n in range(5)]
    [False, False, False, False, True]
    """

    patience: int
    monitor: str = "test_loss"
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        """Check the settings."""
        object.__setattr__(self, "patience", check_count("patience", self.patience, 1))
        names = [f.name for f in fields(EpochRecord) if f.name.endswith(("_loss", "_accuracy"))]
        if self.monitor not in names:
            raise ValueError(f"monitor: got {self.monitor!r}, expected one of {', '.join(names)}")
        if not 0 <= self.min_delta < float("inf"):
            raise ValueError(f"min_delta: got {self.min_delta!r}, expected a finite number >= 0")

    def __call__(self, history: Sequence[EpochRecord]) -> bool:
        """Say whether the last epochs are as many as may be without progress."""
        sign = 1.0 if self.monitor.endswith("_accuracy") else -1.0
        best, waited = -float("inf"), 0
        for record in history:
            value = sign * getattr(record, self.monitor)
            if value > best + self.min_delta:
                best, waited = value, 0
            else:
                waited += 1
        return waited >= self.patience


def best_epoch(history: Sequence[EpochRecord]) -> int:
    """Return which of the finished epochs was the best: where the test accuracy was greatest.

    Parameters
    ----------
    history : sequence of EpochRecord
        At least one.

    Returns
    -------
    int
        Its place in the history; of equal ones, where the test loss was smallest, and then the
        first.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> history = [EpochRecord(1, 0.1, 1.0, 0.5, 1.0, 0.5, 1.0)] * 2
    >>> best_epoch(history)
    0
    """
    if not history:
        raise ValueError("history: empty, expected at least one epoch")
    places = range(len(history))
    return min(places, key=lambda i: (-history[i].test_accuracy, history[i].test_loss))
