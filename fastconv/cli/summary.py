"""``fastconv summary``: the layers of a network, their shapes, counts and algorithms."""

import re

import click
import numpy as np

from fastconv import layers, models


def _shape(context: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """Return the sizes in a text such as 3x224x224."""
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", value):
        raise click.BadParameter(f"{value!r} is no shape such as 3x224x224")
    return tuple(map(int, value.split("x")))


@click.command(short_help="Show a network's layers: shapes, counts, memory and algorithms.")
@click.argument("model", type=click.Choice(sorted(models.__all__)), metavar="MODEL")
@click.option(
    "--input",
    "shape",
    callback=_shape,
    metavar="CxHxW",
    default="3x224x224",
    show_default=True,
    help="The shape of one image.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    metavar="N",
    default=1,
    show_default=True,
    help="Images of which the outputs are measured and for which algorithms are chosen.",
)
@click.option(
    "--classes", type=click.IntRange(1), metavar="N", help="Outputs. Default: the model's own."
)
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True
)
def summary(
    model: str, shape: tuple[int, ...], batch_size: int, classes: int | None, dtype: str
) -> None:
    """Show for each layer of MODEL its output, parameters, connections, multiply-adds and memory.

    The last column says what computes it: algorithm and variant, as of fastconv.explain.
    """
    options = {} if classes is None else {"num_classes": classes}
    built: layers.Layer = getattr(models, model)(dtype=np.dtype(dtype), **options)
    click.echo(built.summary(shape, batch_size=batch_size))
