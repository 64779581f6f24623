"""What a training run writes down: one record per finished epoch, and the sums of a current one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochRecord:
    """The result of one epoch.

    Parameters
    ----------
    epoch : int
        Number of the epoch, from 1.
    lr : float
        Learning rate of its first step.
    train_loss, train_accuracy : float
        Means over the training images, each taken when its batch was used.
    test_loss, test_accuracy : float
        Means over the test images at the end of the epoch.
    seconds : float
        Time for training and testing.

    Examples
    --------
    >>> EpochRecord(1, 0.05, 0.7, 0.8, 0.4, 0.9, 1.5).test_accuracy
    0.9
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float


@dataclass
class Progress:
    """Where a run stands: steps done in the current epoch, and what they summed up to.

    Parameters
    ----------
    epoch : int
        Finished epochs.
    step : int
        Steps done in the current one.
    loss_sum : float
        Sum over these steps of loss times images.
    correct, seen : int
        Images classified correctly, and images used.
    seconds : float
        Time spent in the current epoch.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0
