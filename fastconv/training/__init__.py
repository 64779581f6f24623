"""Training: optimizers, learning-rate schedules, data sets, the loop, and checkpoints."""

from fastconv.training._steps import Optimizer
from fastconv.training.augmentation import Augmentation, parse_augmentation
from fastconv.training.averaging import ExponentialMovingAverage
from fastconv.training.batching import batches, epoch_order
from fastconv.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_state,
    save_checkpoint,
    save_state,
)
from fastconv.training.clipping import clip_grad_norm_, clip_grad_value_, get_total_norm
from fastconv.training.data import Dataset, load_digits
from fastconv.training.evaluation import Report, evaluate, report
from fastconv.training.features import feature_maps
from fastconv.training.folders import load_folder
from fastconv.training.formats import load, load_cifar10, load_idx, load_npz, read_idx
from fastconv.training.groups import decay_groups
from fastconv.training.history import EpochRecord
from fastconv.training.loop import fit
from fastconv.training.optimizers import SGD, Adam, AdamW, RMSprop
from fastconv.training.run_folder import RunFolder, ScalarWriter
from fastconv.training.schedules import (
    Schedule,
    constant,
    cosine,
    exponential,
    linear,
    multistep,
    parse_schedule,
    polynomial,
    product,
    restarts,
    sequence,
    step,
    warmup,
)
from fastconv.training.sources import ImageSource, MappedImages
from fastconv.training.stopping import EarlyStopping, best_epoch

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Augmentation",
    "Checkpoint",
    "Dataset",
    "EarlyStopping",
    "EpochRecord",
    "ExponentialMovingAverage",
    "ImageSource",
    "MappedImages",
    "Optimizer",
    "RMSprop",
    "Report",
    "RunFolder",
    "ScalarWriter",
    "Schedule",
    "batches",
    "best_epoch",
    "clip_grad_norm_",
    "clip_grad_value_",
    "constant",
    "cosine",
    "decay_groups",
    "epoch_order",
    "evaluate",
    "exponential",
    "feature_maps",
    "fit",
    "get_total_norm",
    "linear",
    "load",
    "load_checkpoint",
    "load_cifar10",
    "load_digits",
    "load_folder",
    "load_idx",
    "load_npz",
    "load_state",
    "multistep",
    "parse_augmentation",
    "parse_schedule",
    "polynomial",
    "product",
    "read_idx",
    "report",
    "restarts",
    "save_checkpoint",
    "save_state",
    "sequence",
    "step",
    "warmup",
]
