"""``fastconv predict``: what a trained network takes images for."""

from pathlib import Path

import click
import numpy as np

from fastconv import functional as F
from fastconv.cli._networks import load_saved, normalized, saved_normalization, trained_model
from fastconv.cli.train import train
from fastconv.training.folders import UnreadableImageError, read_image

_UNREAD = 1


@click.command(short_help="Say what a trained network takes images for.")
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="N",
    default=3,
    show_default=True,
    help="How many classes to show, the most probable first.",
)
@click.option(
    "--invert",
    is_flag=True,
    help="Dark on light: for networks that know light on dark, as MNIST's.",
)
@click.option("--skip-broken", is_flag=True, help="Go on after an image that cannot be read.")
@click.pass_context
def predict(
    context: click.Context,
    checkpoint: Path,
    images: tuple[str, ...],
    top: int,
    invert: bool,
    skip_broken: bool,
) -> None:
    """Show for each IMAGE the classes that the network of CHECKPOINT finds most probable.

    Images of any size are scaled to that of training, so that they cover it, cut around the centre,
    and normalised as in training. The exit code is 1 if one was left out by --skip-broken.
    """
    saved = load_saved(context, train, checkpoint)
    model = trained_model(saved, checkpoint)
    normalization = saved_normalization(saved, checkpoint)
    names: list[str] = saved.options["class_names"]
    _, channels, height, width = saved.settings["train_images"]
    if channels not in (1, 3):
        raise click.UsageError(f"{checkpoint}: was trained with images of {channels} channels")
    left_out = 0
    for path in images:
        try:
            image = read_image(path, (height, width), channels)
        except UnreadableImageError as error:
            if not skip_broken:
                raise
            click.echo(f"fastconv: left out: {error}", err=True)
            left_out += 1
            continue
        x = normalized(255 - image if invert else image, normalization, saved)
        scores = F.softmax(model.forward(x))[0]
        best = np.argsort(-scores, kind="stable")[:top]
        found = ", ".join(f"{names[index]} {100 * scores[index]:.1f} %" for index in best)
        click.echo(f"{path}: {found}")
    context.exit(_UNREAD if left_out else 0)
