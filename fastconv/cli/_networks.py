"""What ``train``, ``evaluate`` and ``predict`` share: networks, their data, saved options."""

import inspect
import os
from pathlib import Path
from typing import Any

import click
import numpy as np

from fastconv import layers, models, training
from fastconv.training import Checkpoint, Dataset

# A U-Net labels pixels, not images.
CLASSIFIERS = set(models.__all__) - {"unet"}
# What a checkpoint of `fastconv train` holds for its user; those of earlier versions lack the last.
KINDS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "batch_size": int,
    "lr": (int, float),
    "momentum": (int, float),
    "weight_decay": (int, float),
    "optimizer": str,
    "schedule": str,
    "seed": int,
    "dtype": str,
    "nesterov": bool,
    "decay_all": bool,
    "label_smoothing": (int, float),
    "augment": str,
    "normalize": str,
    "accumulate": int,
    "clip_norm": (int, float, type(None)),
    "clip_value": (int, float, type(None)),
    "ema": (int, float, type(None)),
    "patience": (int, type(None)),
    "image_size": (str, type(None)),
    "skip_broken": bool,
}
SAVED = {**KINDS, "data": str, "epochs": int}
_ABSENT: dict[str, Any] = {
    "nesterov": False,
    "decay_all": True,
    "label_smoothing": 0.0,
    "augment": "none",
    "normalize": "dataset",
    "accumulate": 1,
    "clip_norm": None,
    "clip_value": None,
    "ema": None,
    "patience": None,
    "image_size": None,
    "skip_broken": False,
}


def absolute(data: str) -> str:
    """Make a path independent of the current directory, for a later command."""
    return data if data == "digits" else os.path.abspath(data)


def image_size(text: str | None) -> tuple[int, int] | None:
    """Return height and width from a text such as 32 or 24x32.

    Raises
    ------
    ValueError
        If it is none.
    """
    if text is None:
        return None
    sizes = text.split("x")
    if not all(size.isdecimal() and 0 < int(size) < 1 << 15 for size in sizes) or len(sizes) > 2:
        raise ValueError(f"--image-size: got {text!r}, expected a size such as 32 or 24x32")
    return int(sizes[0]), int(sizes[-1])


def load_data(source: str, options: dict[str, Any]) -> Dataset:
    """Load the data set of a run."""
    return training.load(
        source, size=image_size(options["image_size"]), skip_broken=options["skip_broken"]
    )


def parse_normalize(text: str) -> Any:
    """Return what `fit` takes from ``dataset``, ``channels`` or ``MEAN,...:STD,...``.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if text in ("dataset", "channels"):
        return text
    try:
        pair = [[float(number) for number in part.split(",")] for part in text.split(":")]
    except ValueError:
        pair = []
    if len(pair) != 2:
        raise ValueError(
            f"--normalize: got {text!r}, expected dataset, channels, or numbers as MEAN,...:STD,..."
        )
    mean, std = (part[0] if len(part) == 1 else part for part in pair)
    return mean, std


def load_saved(context: click.Context, train: click.Command, path: Path) -> Checkpoint:
    """Load a checkpoint of the command ``train``, whose options are those that it would take."""
    saved = training.load_checkpoint(path)
    saved.options = {**_ABSENT, **saved.options}
    forms = {param.name: param for param in train.params}
    for name, kind in SAVED.items():
        value = saved.options.get(name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise click.UsageError(
                f"{path}: was not made by fastconv train, its {name} is {value!r}"
            )
        if value is None:
            continue
        try:
            forms[name].type_cast_value(context, value)
        except click.BadParameter as error:
            raise click.UsageError(f"{path}: its {name}: {error.message}") from error
    return saved


def build_model(options: dict[str, Any], shape: tuple[int, ...], classes: int) -> layers.Layer:
    """Return a fresh model for images of a shape, or say that it takes none such."""
    dtype = np.dtype(options["dtype"])
    build = getattr(models, options["model"])
    takes_channels = "in_channels" in inspect.signature(build).parameters
    more = {"in_channels": shape[0]} if takes_channels else {}
    model: layers.Layer = build(classes, dtype=dtype, rng=options["seed"], **more)
    try:
        model.eval()
        model.forward(np.zeros((1, *shape), dtype))
    except ValueError as error:
        raise click.UsageError(
            f"--model: {options['model']} does not take images of shape {shape} "
            f"(channels, height, width): {error}"
        ) from error
    model.train()
    return model


def trained_model(saved: Checkpoint, path: Path) -> layers.Layer:
    """Return the network of a checkpoint, with the averaged weights if there are some."""
    shape: Any = saved.settings.get("train_images")
    names: Any = saved.options.get("class_names")
    if not (_are(shape, int) and len(shape) == 4 and _are(names, str) and names):
        raise click.UsageError(
            f"{path}: does not say what images and classes it was trained for; resume it once with "
            "fastconv train"
        )
    model = build_model(saved.options, tuple(shape[1:]), len(names))
    try:
        model.load_state_dict(saved.model)
        if saved.average:
            average = training.ExponentialMovingAverage(model.parameters())
            average.load_state_dict(saved.average)
            average.swap()
    except (TypeError, ValueError) as error:
        raise click.UsageError(f"{path}: does not fit its model: {error}") from error
    return model.eval()


def saved_normalization(saved: Checkpoint, path: Path) -> Any:
    """Return the mean and standard deviation of a checkpoint's training images."""
    pair = saved.settings.get("mean"), saved.settings.get("std")
    if not all(isinstance(value, float) or _are(value, float) for value in pair):
        raise click.UsageError(f"{path}: does not say how its images were normalised")
    return pair


def normalized(image: Any, normalization: Any, saved: Checkpoint) -> Any:
    """Return an image as a batch of one, as the network of a checkpoint was given it."""
    mean, std = normalization
    dtype, label = np.dtype(saved.options["dtype"]), np.zeros(1, np.int64)
    ((x, _),) = training.batches(image[np.newaxis], label, 1, dtype=dtype, mean=mean, std=std)
    return x


def report_broken(*sources: Any) -> None:
    """Say on standard error how many images were left out, and which was the first."""
    broken = [text for images in sources for text in getattr(images, "broken", {}).values()]
    if broken:
        click.echo(f"left out   {len(broken):,} images, such as {min(broken)}", err=True)


def _are(values: object, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)
