"""``fastconv show``: pictures of the arithmetic, of learned kernels, and of feature maps."""

from pathlib import Path
from typing import Any

import click

from fastconv import animation, plots, training
from fastconv._check import Array
from fastconv._files import check_replaceable
from fastconv.cli._networks import load_saved, normalized, saved_normalization, trained_model
from fastconv.cli.train import train

_FILE = click.Path(dir_okay=False, path_type=Path)


class _Size(click.ParamType[Any]):
    """Two sizes, such as 5x4, or one for both."""

    name = "size"

    def __init__(self, least: int) -> None:
        self.least = least

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return rows and columns."""
        sizes = str(value).split("x")
        if len(sizes) > 2 or not all(
            size.isdecimal() and len(size) < 4 and int(size) >= self.least for size in sizes
        ):
            self.fail(f"{value!r} is no size such as 5 or 5x4, {self.least} at least", param, ctx)
        return int(sizes[0]), int(sizes[-1])


class _Padding(_Size):
    """Cells on each side, or a word."""

    name = "padding"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return rows and columns, or the word."""
        words = ("valid", "same", "same_lower", "full")
        return value if value in words else super().convert(value, param, ctx)


@click.group(short_help="Draw the arithmetic of convolutions, kernels and feature maps.")
def show() -> None:
    """Draw what convolutions do, and what a network has learned."""


@show.command(short_help="Animate the three convolutions with numbers in the cells.")
@click.option("--input", "input_size", type=_Size(1), metavar="HxW", default="4",
              show_default=True)  # fmt: skip
@click.option("--kernel", "kernel_size", type=_Size(1), metavar="HxW", default="3",
              show_default=True)  # fmt: skip
@click.option("--stride", type=_Size(1), metavar="N", default="1", show_default=True)
@click.option("--padding", type=_Padding(0), metavar="N|WORD", default="0", show_default=True,
              help="Cells on each side, or valid, same, same_lower, full.")  # fmt: skip
@click.option("--dilation", type=_Size(1), metavar="N", default="1", show_default=True)
@click.option("--transposed", is_flag=True, help="Show the transposed convolution instead.")
@click.option("--direction", "directions", multiple=True,
              type=click.Choice(animation.DIRECTIONS),
              help="The forward pass, the residual of the input, or the weight gradient; may be "
              "repeated. Default: all three.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N",
              help="Of the numbers.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(0.02, 60), default=0.9, show_default=True,
              metavar="S", help="For a step.")  # fmt: skip
@click.option("--output", type=_FILE, default="arithmetic.gif", show_default=True,
              metavar="FILE.gif")  # fmt: skip
def arithmetic(output: Path, seconds: float, directions: tuple[str, ...], **given: Any) -> None:
    """Animate a convolution of one channel: forward pass, residual, weight gradient.

    The residual of the input is the full-mode convolution of the residual with the kernel turned
    by 180 degrees, with zeros between for a stride above 1.
    """
    check_replaceable(output)
    if given["transposed"] and directions:
        raise click.UsageError("--direction: a transposed convolution is shown forward only")
    scenes = animation.scenes(**given, directions=directions or animation.DIRECTIONS)
    count = animation.arithmetic_animation(output, scenes, seconds=seconds)
    click.echo(f"{count} steps\nsaved      {output}")


@show.command(short_help="Draw the kernels of a convolution.")
@click.argument("file", type=_FILE)
@click.option("--layer", metavar="NAME", help="Its name. Default: the first convolution.")
@click.option("--output", type=_FILE, default="kernels.png", show_default=True,
              metavar="FILE.png")  # fmt: skip
def kernels(file: Path, layer: str | None, output: Path) -> None:
    """Draw the kernels of a layer of FILE, a checkpoint or a state (.npz, .safetensors)."""
    plots.check_available(output)
    state = _state(file)
    names = [name.removesuffix(".weight") for name, value in state.items() if value.ndim == 4]
    if not names:
        raise click.UsageError(f"{file}: holds no kernels of a convolution")
    chosen = _chosen(names, layer)
    plots.kernels_picture(state[f"{chosen}.weight"], output, title=f"Kernels of {chosen}")
    click.echo(f"saved      {output}")


@show.command(short_help="Draw what the convolutions make of an image.")
@click.argument("file", type=_FILE)
@click.option("--layer", metavar="NAME", help="Its name. Default: the first convolution.")
@click.option("--image", "number", type=click.IntRange(0), default=0, show_default=True,
              metavar="N", help="Of the test images of the checkpoint's data.")  # fmt: skip
@click.option("--output", type=_FILE, default="features.png", show_default=True,
              metavar="FILE.png")  # fmt: skip
@click.pass_context
def features(
    context: click.Context, file: Path, layer: str | None, number: int, output: Path
) -> None:
    """Draw the feature maps of a layer of FILE, a checkpoint of fastconv train."""
    plots.check_available(output)
    saved = load_saved(context, train, file)
    dataset = training.load(saved.options["data"])
    if number >= len(dataset.test_images):
        raise click.UsageError(
            f"--image: there are {len(dataset.test_images)} test images, got {number}"
        )
    net, image = trained_model(saved, file), dataset.test_images[number]
    x = normalized(image, saved_normalization(saved, file), saved)
    maps = training.feature_maps(net, x[0])
    chosen = _chosen(list(maps), layer)
    label = dataset.class_names[dataset.test_labels[number]]
    title = f"What {chosen} makes of test image {number}, class {label}"
    plots.features_picture(maps[chosen], output, image=image, title=title)
    click.echo(f"saved      {output}")


def _state(file: Path) -> dict[str, Array]:
    """Return the arrays of a checkpoint's model, or of a state."""
    try:
        return training.load_checkpoint(file).model
    except ValueError:
        return training.load_state(file)


def _chosen(names: list[str], layer: str | None) -> str:
    """Return the layer that was named, or the first."""
    if layer is None:
        return names[0]
    if layer not in names:
        raise click.UsageError(f"--layer: no convolution {layer!r}; there are {', '.join(names)}")
    return layer
