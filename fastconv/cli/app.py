"""The group of commands."""

import click

from fastconv.cli.bench import bench
from fastconv.cli.check import check
from fastconv.cli.evaluate import evaluate
from fastconv.cli.filter import filter_image
from fastconv.cli.info import info
from fastconv.cli.predict import predict
from fastconv.cli.show import show
from fastconv.cli.summary import summary
from fastconv.cli.train import train


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.version_option(package_name="fastconv", message="%(prog)s %(version)s")
@click.pass_context
def app(context: click.Context) -> None:
    """Convolutions that train a CNN, on the CPU, for NumPy arrays."""
    if context.invoked_subcommand is None:
        raise click.UsageError("no command given; see fastconv --help")


for command in (
    train, evaluate, predict, summary, show, check, bench, filter_image, info
):  # fmt: skip
    app.add_command(command)
