"""Training: optimizers, learning-rate schedules, data sets, the loop, and checkpoints."""

from fastconv.training._steps import Optimizer
from fastconv.training.averaging import ExponentialMovingAverage
from fastconv.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_state,
    save_checkpoint,
    save_state,
)
from fastconv.training.clipping import clip_grad_norm_, clip_grad_value_, get_total_norm
from fastconv.training.data import Dataset, batches, epoch_order, load_digits
from fastconv.training.formats import load, load_cifar10, load_idx, load_npz, read_idx
from fastconv.training.history import EpochRecord
from fastconv.training.loop import evaluate, fit
from fastconv.training.optimizers import SGD, Adam, AdamW, RMSprop
from fastconv.training.schedules import (
    Schedule,
    constant,
    cosine,
    exponential,
    parse_schedule,
    step,
    warmup,
)

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Checkpoint",
    "Dataset",
    "EpochRecord",
    "ExponentialMovingAverage",
    "Optimizer",
    "RMSprop",
    "Schedule",
    "batches",
    "clip_grad_norm_",
    "clip_grad_value_",
    "constant",
    "cosine",
    "epoch_order",
    "evaluate",
    "exponential",
    "fit",
    "get_total_norm",
    "load",
    "load_checkpoint",
    "load_cifar10",
    "load_digits",
    "load_idx",
    "load_npz",
    "load_state",
    "parse_schedule",
    "read_idx",
    "save_checkpoint",
    "save_state",
    "step",
    "warmup",
]
