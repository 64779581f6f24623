"""``fastconv bench``: this machine, layer by layer, function by function, or whole steps."""

import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

import fastconv
from fastconv import benchmark, models, plots
from fastconv._files import check_replaceable
from fastconv.benchmark import Layer, report
from fastconv.cli import _functions, _steps
from fastconv.engine.plan import ALGORITHMS

_FILE = click.Path(dir_okay=False, path_type=Path)
_NETWORKS = sorted(models.__all__)


@click.command(short_help="Measure convolutions, functions, filters or training steps.")
@click.option("--table", "tables", multiple=True, metavar="NAME|FILE",
              help=f"{', '.join(benchmark.TABLES)}, or a .csv file with the same columns; may be "
              "repeated. Default: a few layers of several networks, about a minute.")  # fmt: skip
@click.option("--layer", "names", multiple=True, metavar="NAME",
              help="Only the layers of this name; may be repeated.")  # fmt: skip
@click.option("--function", "functions", multiple=True, metavar="NAME",
              help="Functions in place of convolutions: of fastconv.functional, or, as "
              "'ndimage.sobel' beside SciPy's, of fastconv.ndimage and .signal. A name, or a "
              "pattern such as 'max_pool*', 'ndimage.*' or '*'; may be repeated.")  # fmt: skip
@click.option("--step", "steps", multiple=True, type=click.Choice(_NETWORKS), metavar="MODEL",
              help="Training steps of a network of fastconv.models; may be repeated.")  # fmt: skip
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, metavar="N")
@click.option("--direction", "directions", multiple=True, type=click.Choice(benchmark.DIRECTIONS),
              help="The convolution, or its gradient with respect to the input or the weights; "
              "may be repeated. Default: all three.")  # fmt: skip
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32",
              show_default=True)  # fmt: skip
@click.option("--threads", type=click.IntRange(1), metavar="N",
              help="For both sides. Default: all that may be used.")  # fmt: skip
@click.option("--algorithm", type=click.Choice(["auto", *(row.name for row in ALGORITHMS)]),
              default="auto", show_default=True)  # fmt: skip
@click.option("--rival", type=click.Choice([*benchmark.RIVALS, "none"]),
              help="Default: torch; where it is not installed, im2col.")  # fmt: skip
@click.option("--time", "seconds", type=click.FloatRange(0.001, 3600), default=0.5,
              show_default=True, metavar="SECONDS", help="For one measurement.")  # fmt: skip
@click.option("--output", type=_FILE, metavar="FILE.json", help="Save the results.")
@click.option("--plot", type=_FILE, metavar="FILE.png", help="Draw the results as bars.")
@click.option("--compare", "files", nargs=2, type=_FILE, metavar="OLD NEW",
              help="Measure nothing; hold two saved results against each other. Exit code 1 if "
              "one became slower.")  # fmt: skip
@click.option("--threshold", type=click.FloatRange(0, 1, max_open=True), default=0.1,
              show_default=True, metavar="SHARE",
              help="For --compare: the loss of speed that counts.")  # fmt: skip
@click.pass_context
def bench(context: click.Context, /, **given: Any) -> None:
    """Measure convolutions on this machine, side by side with a rival in one process.

    Each result is verified against float64 before it is timed; the two sides take turns. The
    ratio is the rival's least time over fastconv's. Exit code 1 if a result is wrong.

    With --function or --step the same is done for other functions, or for whole training steps.
    The rival of filters is SciPy, which computes them on one core.
    """
    if given["files"]:
        context.exit(_compare(context, given))
    if given["functions"] or given["steps"]:
        context.exit(_others(context, given))
    layers = _layers(given["tables"], given["names"])
    if given["output"]:
        check_replaceable(given["output"])
    if given["plot"]:
        plots.check_available(given["plot"])
    results, wrong = benchmark.run(
        layers,
        directions=given["directions"] or benchmark.DIRECTIONS,
        batches=(given["batch"],),
        dtypes=(given["dtype"],),
        threads=(given["threads"] or fastconv.get_num_threads(),),
        algorithm=given["algorithm"],
        rival=_rival(given["rival"]),
        seconds=given["seconds"],
        echo=click.echo,
    )
    if not results.rows and not wrong:
        raise click.UsageError("none of these layers could be measured")
    if given["output"]:
        benchmark.save_results(results, given["output"])
        click.echo(f"\nsaved      {given['output']}")
    if given["plot"] and results.rows:
        plots.benchmark_bars(results, given["plot"])
        click.echo(f"{'' if given['output'] else chr(10)}saved      {given['plot']}")
    if wrong:
        click.echo(f"\n{len(wrong)} results are wrong:")
        click.echo("\n".join(wrong))
        context.exit(1)


def _others(context: click.Context, given: dict[str, Any]) -> int:
    """Measure functions and training steps."""
    ours = ("functions", "steps", "dtype", "threads", "rival", "seconds", "batch")
    _refuse_others(context, ours, "--function and --step")
    rival = given["rival"] or ("torch" if benchmark.default_rival() == "torch" else "none")
    if rival not in ("torch", "none"):
        raise click.UsageError(f"--rival: with --function or --step torch or none, got {rival!r}")
    names = []
    for pattern in given["functions"]:
        found = fnmatch.filter(_functions.NAMES, pattern)
        if not found:
            raise click.UsageError(f"--function: no function {pattern!r}")
        names += [name for name in found if name not in names]
    threads = given["threads"] or fastconv.get_num_threads()
    how = (given["dtype"], threads, None if rival == "none" else rival, given["seconds"])
    click.echo(f"{report.heading(benchmark.Machine())}\n")
    wrong = []
    filters = [name for name in names if "." in name]
    functions = [name for name in names if name not in filters]
    if functions:
        wrong += _functions.bench_functions(functions, *how)
    if filters:
        click.echo("\n" * bool(functions), nl=False)
        scipy = "SciPy" if given["rival"] != "none" and find_spec("scipy") else None
        wrong += _functions.bench_functions(filters, *how[:2], scipy, how[3])
    if given["steps"]:
        click.echo("\n" * bool(names), nl=False)
        wrong += _steps.bench_steps(list(dict.fromkeys(given["steps"])), given["batch"], *how)
    if wrong:
        click.echo(f"\n{len(wrong)} results are wrong:")
        click.echo("\n".join(wrong))
    return 1 if wrong else 0


def _layers(tables: tuple[str, ...], names: tuple[str, ...]) -> tuple[Layer, ...]:
    layers = benchmark.short_table()
    if tables:
        # A table that is named twice is measured once.
        layers = tuple(
            layer for table in dict.fromkeys(tables) for layer in benchmark.load_table(table)
        )
    missing = [name for name in names if name not in {layer.name for layer in layers}]
    if missing:
        raise click.UsageError(
            f"--layer: no layer {missing[0]!r}; there are "
            f"{', '.join(dict.fromkeys(layer.name for layer in layers))}"
        )
    return tuple(layer for layer in layers if not names or layer.name in names)


def _rival(given: str | None) -> str | None:
    if given is not None:
        return None if given == "none" else given
    rival = benchmark.default_rival()
    if rival != "torch":
        click.echo(f"torch is not installed; the rival is {rival}, products of columns\n")
    return rival


def _compare(context: click.Context, given: dict[str, Any]) -> int:
    _refuse_others(context, ("files", "threshold"), "--compare")
    old, new = (benchmark.load_results(path) for path in given["files"])
    for name, results in (("old", old), ("new", new)):
        click.echo(f"{name}  {report.heading(results.machine)}")
    click.echo()
    pairs = benchmark.compare(old, new)
    click.echo(report.comparison(pairs, given["threshold"]))
    if not pairs.changes:
        raise click.UsageError("--compare: the files have no row in common")
    return 1 if pairs.regressions(given["threshold"]) else 0


def _refuse_others(context: click.Context, names: tuple[str, ...], option: str) -> None:
    """Refuse options that have no meaning beside another."""
    others = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in names
        and context.get_parameter_source(str(parameter.name))
        is click.core.ParameterSource.COMMANDLINE
    ]
    if others:
        raise click.UsageError(f"{', '.join(others)}: cannot be given with {option}")
