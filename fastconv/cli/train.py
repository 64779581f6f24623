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

import fastconv
from fastconv import layers, training
from fastconv.cli._networks import (
    CLASSIFIERS,
    KINDS,
    absolute,
    build_model,
    load_data,
    load_saved,
    parse_normalize,
    report_broken,
)
from fastconv.training import Checkpoint, Dataset, EpochRecord

_INTERRUPTED = 130
_DEFAULT_MODELS: dict[tuple[int, ...], str] = {
    (1, 8, 8): "lenet_digits",
    (1, 28, 28): "lenet5",
    (3, 32, 32): "resnet20",
}
_DEFAULT_LR = {"sgd": 0.05, "adam": 2e-3, "adamw": 2e-3, "rmsprop": 2e-3}


@click.command(short_help="Train a network and save its curves, kernels and weights.")
@click.option(
    "--data",
    metavar="NAME|PATH",
    help="'digits' (built in, the default), a directory with IDX files (MNIST, Fashion-MNIST), "
    "CIFAR-10 binary files or images (a folder for each class, in train and test or not), or an "
    ".npz file with x_train, y_train, x_test, y_test.",
)
@click.option(
    "--model",
    type=click.Choice(sorted(CLASSIFIERS)),
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
@click.option("--nesterov", is_flag=True, help="For sgd: look ahead along the direction.")
@click.option(
    "--weight-decay", type=click.FloatRange(0), metavar="X", default=0.0, show_default=True
)
@click.option(
    "--decay-all", is_flag=True, help="Let biases and normalisations decay, too, not weights alone."
)
@click.option(
    "--optimizer", type=click.Choice(sorted(_DEFAULT_LR)), default="sgd", show_default=True
)
@click.option(
    "--schedule",
    metavar="TEXT",
    default="cosine",
    show_default=True,
    help="How the learning rate changes: constant, step:EPOCHS:FACTOR, "
    "multistep:EPOCH:...:FACTOR, exponential:FACTOR, linear:FROM:TO:EPOCHS, polynomial:POWER, "
    "cosine, cosine:FINAL, restarts:EPOCHS; with warmup:EPOCHS, before it or not; A*B for a "
    "product, FIRST@EPOCHS,THEN for one after the other.",
)
@click.option(
    "--label-smoothing",
    type=click.FloatRange(0, 1),
    metavar="X",
    default=0.0,
    show_default=True,
    help="Share of the target that all classes have alike. The losses shown have it, too.",
)
@click.option(
    "--augment",
    metavar="TEXT",
    default="none",
    show_default=True,
    help="What is done to the training images at random: none, or some of flip, crop:PADDING, "
    "cutout:SIZE, with commas between.",
)
@click.option(
    "--normalize",
    metavar="TEXT",
    default="dataset",
    show_default=True,
    help="Scale images to mean 0 and variance 1: as a whole (dataset), each channel (channels), "
    "or by numbers, MEAN,...:STD,...",
)
@click.option(
    "--accumulate",
    type=click.IntRange(1),
    metavar="N",
    default=1,
    show_default=True,
    help="Parts of a batch that go through the network one after the other, for less memory.",
)
@click.option(
    "--clip-norm",
    type=click.FloatRange(0, min_open=True),
    metavar="X",
    help="Bound of the norm of all gradients.",
)
@click.option(
    "--clip-value",
    type=click.FloatRange(0, min_open=True),
    metavar="X",
    help="Bound of each number of the gradients.",
)
@click.option(
    "--ema",
    type=click.FloatRange(0, 1),
    metavar="DECAY",
    help="Test with weights averaged over the steps, such as 0.999.",
)
@click.option(
    "--patience",
    type=click.IntRange(1),
    metavar="N",
    help="Stop when the test loss has not become smaller for so many epochs.",
)
@click.option(
    "--image-size",
    metavar="N|HxW",
    help="Scale and cut the images of a folder to this. Default: all are of one size.",
)
@click.option(
    "--skip-broken", is_flag=True, help="Leave out images that cannot be read, and count them."
)
@click.option(
    "--workers",
    type=click.IntRange(0),
    metavar="N",
    default=1,
    show_default=True,
    help="Threads that make batches ahead of the steps; the results are the same for any number.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    metavar="N",
    default=0,
    show_default=True,
    help="For the first weights, the order of the images, augmentation, and dropout.",
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
    help="Where checkpoints, metrics and pictures go. Default: fastconv-run, or beside the "
    "checkpoint that is resumed.",
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
    """Train a network, print loss and accuracy per epoch, save metrics, curves and weights.

    The output directory then holds checkpoint.npz (the last epoch) and best.npz, config.json,
    metrics.csv, metrics.jsonl, and the pictures training.png, kernels.png and features.png.

    Ctrl-C ends the run after the current step and leaves a checkpoint; --resume goes on with the
    same bits as if nothing had happened. A second Ctrl-C aborts at once.
    """
    saved = _load_resumed(context, given) if given["resume"] else None
    options = dict(saved.options) if saved else _new_options(given)
    if given["epochs"] is not None:
        options["epochs"] = given["epochs"]
    schedule = training.parse_schedule(options["schedule"])
    augmentation = training.parse_augmentation(options["augment"])
    normalize = parse_normalize(options["normalize"])
    dataset = load_data(given["data"] or options["data"], options)
    if given["data"]:
        options["data"] = absolute(given["data"])
    shape = dataset.train_images.shape[1:]
    _choose_model(options, shape)
    options["class_names"] = list(dataset.class_names)
    model = build_model(options, shape, len(dataset.class_names))
    optimizer = _build_optimizer(options, model)
    average = None
    if options["ema"] is not None:
        average = training.ExponentialMovingAverage(model.parameters(), options["ema"])

    folder, checkpoint = _prepare_folder(given)
    if given["threads"] is not None:
        fastconv.set_num_threads(given["threads"])
    click.echo(_describe(options, dataset, model))
    progress = given["progress"]
    patience = options["patience"]
    with _interrupts() as interrupted:
        history = training.fit(
            model,
            layers.CrossEntropyLoss(label_smoothing=options["label_smoothing"]),
            optimizer,
            dataset,
            epochs=options["epochs"],
            batch_size=options["batch_size"],
            schedule=schedule,
            seed=options["seed"],
            normalize=normalize,
            augmentation=augmentation,
            workers=given["workers"],
            accumulate=options["accumulate"],
            clip_norm=options["clip_norm"],
            clip_value=options["clip_value"],
            average=average,
            stop_early=None if patience is None else training.EarlyStopping(patience),
            checkpoint=checkpoint,
            resume=saved,
            folder=folder,
            options=options,
            progress=_watched() if progress is None else progress,
            should_stop=lambda: bool(interrupted),
            on_epoch=lambda record: click.echo(_line(record, options["epochs"])),
        )
    report_broken(dataset.train_images, dataset.test_images)
    if interrupted and len(history) < options["epochs"]:
        click.echo(
            f"stopped in epoch {len(history) + 1} of {options['epochs']}; go on with: "
            f"fastconv train --resume {shlex.quote(str(checkpoint))}",
            err=True,
        )
        context.exit(_INTERRUPTED)
    files = [str(path) for path in (checkpoint, *folder.files) if path.exists()]
    click.echo(_summary(history, options["epochs"], files))


def _new_options(given: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a fresh run: what the checkpoint will remember."""
    options = {name: given[name] for name in KINDS}
    if options["lr"] is None:
        options["lr"] = _DEFAULT_LR[options["optimizer"]]
    return {
        "data": absolute(given["data"] or "digits"),
        "epochs": 20,
        **options,
    }


def _load_resumed(context: click.Context, given: dict[str, Any]) -> Checkpoint:
    explicit = [
        f"--{name.replace('_', '-')}"
        for name in KINDS
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if explicit:
        raise click.UsageError(
            f"{', '.join(explicit)}: cannot be given with --resume, the checkpoint sets it"
        )
    return load_saved(context, context.command, given["resume"])


def _choose_model(options: dict[str, Any], shape: tuple[int, ...]) -> None:
    if options["model"] is None:
        options["model"] = _DEFAULT_MODELS.get(shape)
    if options["model"] is None:
        raise click.UsageError(
            f"--model: none is made for images of shape {shape} (channels, height, width); "
            f"there are {', '.join(f'{name} for {s}' for s, name in _DEFAULT_MODELS.items())}"
        )


def _build_optimizer(options: dict[str, Any], model: layers.Layer) -> training.Optimizer:
    decay, rate = options["weight_decay"], options["lr"]
    params: Any = model.parameters()
    if decay and not options["decay_all"]:
        params = training.decay_groups(model, decay)
    if options["optimizer"] == "sgd":
        return training.SGD(
            params, rate, options["momentum"], weight_decay=decay, nesterov=options["nesterov"]
        )
    if options["optimizer"] == "rmsprop":
        return training.RMSprop(params, rate, weight_decay=decay)
    kind = training.AdamW if options["optimizer"] == "adamw" else training.Adam
    return kind(params, rate, weight_decay=decay)


def _prepare_folder(given: dict[str, Any]) -> tuple[training.RunFolder, Path]:
    """Say where everything goes, and find out now whether it can be written."""
    resume: Path | None = given["resume"]
    output: Path = given["output"] or (resume.parent if resume else Path("fastconv-run"))
    folder = training.RunFolder(output, pictures=given["draw"])
    checkpoint = folder.prepare(
        given["checkpoint"] or (resume if resume and not given["output"] else None)
    )
    continues = resume is not None and checkpoint.exists() and checkpoint.samefile(resume)
    if checkpoint.exists() and not continues and not given["overwrite"]:
        _protect_unfinished(checkpoint)
    return folder, checkpoint


def _protect_unfinished(checkpoint: Path) -> None:
    other = training.load_checkpoint(checkpoint)
    done, wanted = other.progress.epoch, other.options.get("epochs")
    patience = other.options.get("patience")
    ended = patience is not None and training.EarlyStopping(patience)(other.history)
    if isinstance(wanted, int) and done < wanted and not ended:
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
    momentum += " (Nesterov)" if options["nesterov"] else ""
    return (
        f"data       {dataset.name}: {len(dataset.train_labels):,} training and "
        f"{len(dataset.test_labels):,} test images of {shape}, {len(dataset.class_names)} classes\n"
        f"model      {options['model']}: {count:,} parameters, {options['dtype']}\n"
        f"optimizer  {options['optimizer']}: lr {options['lr']:g}{momentum}, weight decay "
        f"{options['weight_decay']:g}, schedule {options['schedule']}, batch size "
        f"{options['batch_size']}\n"
        f"images     normalised by {options['normalize']}, augmentation {options['augment']}\n"
        f"threads    {fastconv.get_num_threads()}, instruction set {fastconv.isa()}"
    )


def _line(record: EpochRecord, epochs: int) -> str:
    return (
        f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}  "
        f"training: loss {record.train_loss:.4f}, {100 * record.train_accuracy:6.2f} %  "
        f"test: loss {record.test_loss:.4f}, {100 * record.test_accuracy:6.2f} %  "
        f"{record.seconds:.2f} s"
    )


def _summary(history: list[EpochRecord], epochs: int, files: list[str]) -> str:
    seconds = sum(record.seconds for record in history)
    best = history[training.best_epoch(history)]
    early = f" of {epochs}, no better at last" if len(history) < epochs else ""
    return (
        f"test accuracy {100 * history[-1].test_accuracy:.2f} % after {len(history)} epochs{early} "
        f"(best: {100 * best.test_accuracy:.2f} % after {best.epoch}), "
        f"{seconds:.1f} s of training\n"
        f"saved      {', '.join(files)}"
    )
