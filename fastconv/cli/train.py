"""``fastconv train``: from a data set to a trained network, its curves and its kernels."""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click
import numpy as np

import fastconv
from fastconv import layers, models, plots, training
from fastconv.training import Checkpoint, Dataset, EpochRecord
from fastconv.training.checkpoint import check_path

_INTERRUPTED = 130
# A U-Net labels pixels, not images.
_CLASSIFIERS = set(models.__all__) - {"unet"}
_DEFAULT_MODELS = {
    (1, 8, 8): "lenet_digits",
    (1, 28, 28): "lenet5",
    (3, 32, 32): "resnet20",
}
_DEFAULT_LR = {"sgd": 0.05, "adam": 2e-3, "adamw": 2e-3, "rmsprop": 2e-3}
# What a resumed run takes from its checkpoint, so that it goes on as it began.
_FIXED: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "batch_size": int,
    "lr": (int, float),
    "momentum": (int, float),
    "weight_decay": (int, float),
    "optimizer": str,
    "schedule": str,
    "seed": int,
    "dtype": str,
}
_SAVED = {**_FIXED, "data": str, "epochs": int}


@click.command(short_help="Train a network and save its curves, kernels and weights.")
@click.option(
    "--data",
    metavar="NAME|PATH",
    help="'digits' (built in, the default), a directory with IDX files (MNIST, Fashion-MNIST) or "
    "CIFAR-10 binary files, or an .npz file with x_train, y_train, x_test, y_test.",
)
@click.option(
    "--model",
    type=click.Choice(sorted(_CLASSIFIERS)),
    metavar="NAME",
    help="A function of fastconv.models. Default: the one for the size of the images.",
)
@click.option("--epochs", type=click.IntRange(1), metavar="N", help="Default: 20.")
@click.option("--batch-size", type=click.IntRange(1), metavar="N", default=64, show_default=True)
@click.option(
    "--lr",
    type=click.FloatRange(0),
    metavar="X",
    help="Learning rate. Default: "
    + ", ".join(f"{rate:g} ({name})" for name, rate in _DEFAULT_LR.items())
    + ".",
)
@click.option(
    "--momentum",
    type=click.FloatRange(0),
    metavar="X",
    default=0.9,
    show_default=True,
    help="For sgd.",
)
@click.option(
    "--weight-decay", type=click.FloatRange(0), metavar="X", default=0.0, show_default=True
)
@click.option(
    "--optimizer", type=click.Choice(sorted(_DEFAULT_LR)), default="sgd", show_default=True
)
@click.option(
    "--schedule",
    metavar="TEXT",
    default="cosine",
    show_default=True,
    help="How the learning rate changes: constant, step:EPOCHS:FACTOR, exponential:FACTOR, "
    "cosine, cosine:FINAL; with warmup:EPOCHS, before it or not.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    metavar="N",
    default=0,
    show_default=True,
    help="For the first weights, the order of the images, and dropout.",
)
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True
)
@click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="Default: all that may be used."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where pictures and checkpoint go. Default: fastconv-run, or beside the checkpoint that "
    "is resumed.",
)
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Written after each epoch and on Ctrl-C; .npz or .safetensors. "
    "Default: checkpoint.npz in the output directory.",
)
@click.option(
    "--resume",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Go on from a checkpoint, with its model and settings.",
)
@click.option("--overwrite", is_flag=True, help="Replace the checkpoint of an unfinished run.")
@click.option("--plots/--no-plots", "draw", default=True, help="Save PNG pictures (the default).")
@click.option("--progress/--no-progress", default=None, help="Default: if a terminal watches.")
@click.pass_context
def train(context: click.Context, /, **given: Any) -> None:
    """Train a network, print loss and accuracy per epoch, save curves, kernels and weights.

    Ctrl-C ends the run after the current step and leaves a checkpoint; --resume goes on with the
    same bits as if nothing had happened. A second Ctrl-C aborts at once.
    """
    saved = _load_saved(context, given) if given["resume"] else None
    options = dict(saved.options) if saved else _new_options(given)
    if given["epochs"] is not None:
        options["epochs"] = given["epochs"]
    schedule = training.parse_schedule(options["schedule"])
    dataset = training.load(given["data"] or options["data"])
    if given["data"]:
        options["data"] = _absolute(given["data"])
    model = _build_model(options, dataset)
    optimizer = _build_optimizer(options, model)

    paths = _prepare_paths(given)
    if given["threads"] is not None:
        fastconv.set_num_threads(given["threads"])
    click.echo(_describe(options, dataset, model))
    progress = given["progress"]
    with _interrupts() as interrupted:
        history = training.fit(
            model,
            layers.CrossEntropyLoss(),
            optimizer,
            dataset,
            epochs=options["epochs"],
            batch_size=options["batch_size"],
            schedule=schedule,
            seed=options["seed"],
            checkpoint=paths["checkpoint"],
            resume=saved,
            options=options,
            progress=_watched() if progress is None else progress,
            should_stop=lambda: bool(interrupted),
            on_epoch=lambda record: click.echo(_line(record, options["epochs"])),
        )
    if given["draw"] and history:
        _draw(model, history, paths)
    if len(history) < options["epochs"]:
        click.echo(
            f"stopped in epoch {len(history) + 1} of {options['epochs']}; go on with: "
            f"fastconv train --resume {shlex.quote(str(paths['checkpoint']))}",
            err=True,
        )
        context.exit(_INTERRUPTED)
    click.echo(_summary(history, [str(path) for path in paths.values() if path.exists()]))


def _new_options(given: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a fresh run: what the checkpoint will remember."""
    options = {name: given[name] for name in _FIXED}
    if options["lr"] is None:
        options["lr"] = _DEFAULT_LR[options["optimizer"]]
    return {"data": "digits", "epochs": 20, **options}


def _load_saved(context: click.Context, given: dict[str, Any]) -> Checkpoint:
    explicit = [
        f"--{name.replace('_', '-')}"
        for name in _FIXED
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if explicit:
        raise click.UsageError(
            f"{', '.join(explicit)}: cannot be given with --resume, the checkpoint sets it"
        )
    saved = training.load_checkpoint(given["resume"])
    forms = {param.name: param for param in context.command.params}
    for name, kind in _SAVED.items():
        value = saved.options.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise click.UsageError(
                f"{given['resume']}: was not made by fastconv train, its {name} is {value!r}"
            )
        try:
            forms[name].type_cast_value(context, value)
        except click.BadParameter as error:
            raise click.UsageError(f"{given['resume']}: its {name}: {error.message}") from error
    return saved


def _absolute(data: str) -> str:
    """Make a path independent of the current directory, for a later --resume."""
    return data if data == "digits" else os.path.abspath(data)


def _build_model(options: dict[str, Any], dataset: Dataset) -> layers.Layer:
    shape = dataset.train_images.shape[1:]
    if options["model"] is None:
        options["model"] = _DEFAULT_MODELS.get(shape)
    if options["model"] is None:
        raise click.UsageError(
            f"--model: none is made for images of shape {shape} (channels, height, width); "
            f"there are {', '.join(f'{name} for {s}' for s, name in _DEFAULT_MODELS.items())}"
        )
    dtype = np.dtype(options["dtype"])
    build = getattr(models, options["model"])
    model: layers.Layer = build(len(dataset.class_names), dtype=dtype, rng=options["seed"])
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


def _build_optimizer(options: dict[str, Any], model: layers.Layer) -> training.Optimizer:
    params, decay = model.parameters(), options["weight_decay"]
    if options["optimizer"] == "sgd":
        return training.SGD(params, options["lr"], options["momentum"], weight_decay=decay)
    if options["optimizer"] == "rmsprop":
        return training.RMSprop(params, options["lr"], weight_decay=decay)
    kind = training.AdamW if options["optimizer"] == "adamw" else training.Adam
    return kind(params, options["lr"], weight_decay=decay)


def _prepare_paths(given: dict[str, Any]) -> dict[str, Path]:
    """Say where everything goes, and find out now whether it can be written."""
    resume: Path | None = given["resume"]
    output: Path = given["output"] or (resume.parent if resume else Path("fastconv-run"))
    checkpoint = given["checkpoint"] or (
        resume if resume and not given["output"] else output / "checkpoint.npz"
    )
    output.mkdir(parents=True, exist_ok=True)
    check_path(checkpoint)
    continues = resume is not None and checkpoint.exists() and checkpoint.samefile(resume)
    if checkpoint.exists() and not continues and not given["overwrite"]:
        _protect_unfinished(checkpoint)
    paths = {"checkpoint": checkpoint}
    if given["draw"]:
        paths |= {"curves": output / "training.png", "kernels": output / "kernels.png"}
        plots.check_available(paths["curves"], paths["kernels"])
    return paths


def _protect_unfinished(checkpoint: Path) -> None:
    other = training.load_checkpoint(checkpoint)
    done, wanted = other.progress.epoch, other.options.get("epochs")
    if isinstance(wanted, int) and done < wanted:
        raise click.UsageError(
            f"{checkpoint}: holds a run that stopped after {done} of {wanted} epochs; go on with "
            "--resume, or give --overwrite or another --output"
        )


def _watched() -> bool:
    """Say whether a person watches, and the progress bar is there to be shown."""
    try:
        import tqdm  # noqa: F401
    except ImportError:
        return False
    return sys.stderr.isatty()


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Collect the first Ctrl-C in the list yielded; the next one raises KeyboardInterrupt."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # Not through sys.stderr: the signal may have come amidst a write of the progress bar.
        os.write(2, b"\nstopping after this step; Ctrl-C again aborts at once\n")

    before = signal.signal(signal.SIGINT, note)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


def _describe(options: dict[str, Any], dataset: Dataset, model: layers.Layer) -> str:
    shape = " x ".join(str(size) for size in dataset.train_images.shape[1:])
    count = sum(param.data.size for param in model.parameters())
    momentum = f", momentum {options['momentum']:g}" if options["optimizer"] == "sgd" else ""
    return (
        f"data       {dataset.name}: {len(dataset.train_labels):,} training and "
        f"{len(dataset.test_labels):,} test images of {shape}, {len(dataset.class_names)} classes\n"
        f"model      {options['model']}: {count:,} parameters, {options['dtype']}\n"
        f"optimizer  {options['optimizer']}: lr {options['lr']:g}{momentum}, weight decay "
        f"{options['weight_decay']:g}, schedule {options['schedule']}, batch size "
        f"{options['batch_size']}\n"
        f"threads    {fastconv.get_num_threads()}, instruction set {fastconv.isa()}"
    )


def _line(record: EpochRecord, epochs: int) -> str:
    return (
        f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}  "
        f"training: loss {record.train_loss:.4f}, {100 * record.train_accuracy:6.2f} %  "
        f"test: loss {record.test_loss:.4f}, {100 * record.test_accuracy:6.2f} %  "
        f"{record.seconds:.2f} s"
    )


def _draw(model: layers.Layer, history: list[EpochRecord], paths: dict[str, Path]) -> None:
    plots.training_curves(history, paths["curves"])
    kernels = [param.data for param in model.parameters() if param.data.ndim == 4]
    if kernels:
        plots.kernels_picture(kernels[0], paths["kernels"])


def _summary(history: list[EpochRecord], files: list[str]) -> str:
    seconds = sum(record.seconds for record in history)
    return (
        f"test accuracy {100 * history[-1].test_accuracy:.2f} % after {len(history)} epochs, "
        f"{seconds:.1f} s of training\nsaved      {', '.join(files)}"
    )
