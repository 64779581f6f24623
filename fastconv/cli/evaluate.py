"""``fastconv evaluate``: how well a trained network does, class by class."""

import csv
import io
from pathlib import Path

import click

import fastconv
from fastconv import layers, training
from fastconv._files import replacing
from fastconv.cli._networks import (
    load_data,
    load_saved,
    report_broken,
    saved_normalization,
    trained_model,
)
from fastconv.cli.train import train


@click.command(short_help="Test a trained network: loss, top-1, top-5, each class, confusions.")
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--data", metavar="NAME|PATH", help="As of fastconv train. Default: what it was trained with."
)
@click.option("--part", type=click.Choice(["test", "train"]), default="test", show_default=True)
@click.option("--batch-size", type=click.IntRange(1), metavar="N", default=256, show_default=True)
@click.option(
    "--confusion",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the confusion matrix as CSV: a row for each class, a column for what it was taken "
    "for.",
)
@click.option(
    "--workers",
    type=click.IntRange(0),
    metavar="N",
    default=1,
    show_default=True,
    help="Threads that make batches ahead.",
)
@click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="Default: all that may be used."
)
@click.pass_context
def evaluate(
    context: click.Context,
    checkpoint: Path,
    data: str | None,
    part: str,
    batch_size: int,
    confusion: Path | None,
    workers: int,
    threads: int | None,
) -> None:
    """Test the network of CHECKPOINT, a file that fastconv train has left.

    Averaged weights are used where there are some. The images are normalised as in training.
    """
    saved = load_saved(context, train, checkpoint)
    model = trained_model(saved, checkpoint)
    normalize = saved_normalization(saved, checkpoint)
    dataset = load_data(data or saved.options["data"], saved.options)
    shape = tuple(saved.settings["train_images"][1:])
    if dataset.train_images.shape[1:] != shape:
        raise click.UsageError(
            f"--data: holds images of shape {dataset.train_images.shape[1:]} (channels, height, "
            f"width), {checkpoint} was trained with {shape}"
        )
    names = saved.options["class_names"]
    own = list(dataset.class_names)
    if own != names[: len(own)]:
        raise click.UsageError(
            f"--data: has the classes {_shown(own)}, {checkpoint} knows {_shown(names)}"
        )
    if threads is not None:
        fastconv.set_num_threads(threads)
    result = training.report(
        model,
        layers.CrossEntropyLoss(label_smoothing=saved.options["label_smoothing"]),
        dataset,
        part=part,
        batch_size=batch_size,
        normalize=normalize,
        workers=workers,
    )
    click.echo(str(result))
    report_broken(getattr(dataset, f"{part}_images"))
    if confusion is not None:
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["", *names])
        for name, row in zip(dataset.class_names, result.confusion.tolist(), strict=True):
            writer.writerow([name, *row])
        with replacing(confusion) as file:
            file.write(table.getvalue().encode())
        click.echo(f"saved      {confusion}")


def _shown(names: list[str]) -> str:
    """Return some names, and how many there are."""
    return f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''} ({len(names)})"
