"""A run over many layers, row by row, with a line of text for each as soon as it is there."""

from collections.abc import Callable, Sequence
from itertools import product

from fastconv.benchmark import report
from fastconv.benchmark.harness import DIRECTIONS, WrongResult, measure
from fastconv.benchmark.peak import measured_peak
from fastconv.benchmark.results import Machine, Peak, Results, Row
from fastconv.benchmark.tables import Layer


def run(
    layers: Sequence[Layer],
    *,
    directions: Sequence[str] = DIRECTIONS,
    batches: Sequence[int] = (8,),
    dtypes: Sequence[str] = ("float32",),
    threads: Sequence[int] = (1,),
    algorithm: str = "auto",
    rival: str | None = None,
    seconds: float = 0.5,
    echo: Callable[[str], object] = print,
) -> tuple[Results, tuple[str, ...]]:
    """Measure every layer in every direction, batch, dtype and number of threads.

    A layer that the algorithm or the rival cannot do is left out, with a line that says so. A
    wrong result is not timed; the others are.

    Parameters
    ----------
    layers : sequence of Layer
        From `load_table`.
    directions, batches, dtypes, threads : sequence, optional
        What to combine.
    algorithm, rival, seconds : optional
        As in `measure`.
    echo : callable, optional
        Takes each line of the report as it comes.

    Returns
    -------
    results : Results
        All that could be measured.
    wrong : tuple of str
        What was found to be wrong.

    Raises
    ------
    ValueError
        If two layers have the same table and name.
    ImportError
        If the rival is not installed.

    Examples
    --------
    >>> from fastconv.benchmark import load_table
    >>> results, wrong = run(load_table("lenet5"), seconds=0.1)  # doctest: +SKIP
    """
    names = [(layer.table, layer.name) for layer in layers]
    for table, name in names:
        if names.count((table, name)) > 1:
            raise ValueError(f"layers: {table} has two that are called {name!r}")
    machine = Machine()
    peaks: list[Peak] = []
    rows: list[Row] = []
    wrong: list[str] = []
    echo(report.heading(machine))
    for dtype, count, batch in product(
        dict.fromkeys(dtypes), dict.fromkeys(threads), dict.fromkeys(batches)
    ):
        known = (p for p in peaks if (p.dtype, p.threads) == (dtype, count))
        peak = next(known, None)
        if peak is None:
            peak = Peak(dtype, count, measured_peak(dtype, count))
            peaks.append(peak)
        echo(report.columns(peak, batch, rival))
        for layer, direction in product(layers, dict.fromkeys(directions)):
            try:
                row = measure(
                    layer,
                    direction,
                    batch=batch,
                    dtype=dtype,
                    threads=count,
                    algorithm=algorithm,
                    rival=rival,
                    seconds=seconds,
                )
            except WrongResult as error:
                wrong.append(str(error))
                echo(f"WRONG: {error}")
            except ValueError as error:
                echo(f"left out: {layer.table} {layer.name} ({layer}), {direction}: {error}")
            else:
                rows.append(row)
                echo(report.line(row, peak.gflops))
    # The clock of a busy or shared machine changes while the layers are measured.
    peaks = [
        Peak(p.dtype, p.threads, max(p.gflops, measured_peak(p.dtype, p.threads))) for p in peaks
    ]
    results = Results(machine, tuple(peaks), tuple(rows))
    echo(report.summary(results))
    return results, tuple(wrong)
