"""The text of a run and of a comparison: aligned columns of plain characters."""

from collections.abc import Callable, Iterable
from math import exp, log
from typing import Any

from fastconv.benchmark.comparison import Change, Comparison
from fastconv.benchmark.results import Machine, Peak, Results, Row

_LAYER = 34
_UNIT_STRIDE = ("3x3", "5x5")


def heading(machine: Machine) -> str:
    """Return which machine and versions these are."""
    versions = ", ".join(f"{name} {v}" for name, v in machine.versions.items() if v)
    commit = f"; commit {machine.commit}" if machine.commit else ""
    return f"{machine.cpu}, {machine.isa}, {machine.cores} cores; {versions}{commit}"


def columns(peak: Peak, batch: int, rival: str | None) -> str:
    """Return the head of the table of one batch, dtype and number of threads."""
    title = (
        f"\nbatch {batch}, {peak.dtype}, {peak.threads} threads, peak {peak.gflops:.0f} GFLOP/s\n"
        f"{'layer':<{_LAYER}} {'direction':<9} {'GFLOP/s':>8} {'of peak':>7} "
    )
    if rival is None:
        return f"{title}{'error':>8}"
    return f"{title}{rival:>9} {'ratio':>7} {'medians':>7} {'error':>8} {rival:>9}"


def line(row: Row, peak: float | None) -> str:
    """Return one measured row; the last column is the rival's error."""
    share = f"{100 * row.gflops / peak:.0f} %" if peak else "-"
    text = (
        f"{row.table + ' ' + row.shape:<{_LAYER}} {row.direction:<9} {row.gflops:>8.1f} {share:>7} "
    )
    if row.theirs is None:
        return f"{text}{row.ours.error:>8.1e}"
    return (
        f"{text}{row.rival_gflops:>9.1f} {row.ratio:>7.2f} {row.median_ratio:>7.2f} "
        f"{row.ours.error:>8.1e} {row.theirs.error:>9.1e}"
    )


def summary(results: Results) -> str:
    """Return the geometric means over each table and direction, and the worst layer of each.

    Of the ratios; where there was no rival, of the GFLOP/s.
    """
    lines = []
    for (batch, dtype, threads), chosen in _grouped(
        results.rows, lambda row: (row.batch, row.dtype, row.threads)
    ):
        what = "ratio" if all(row.theirs for row in chosen) else "GFLOP/s"
        lines.append(f"\nbatch {batch}, {dtype}, {threads} threads: geometric mean of {what}")
        for (table, direction), rows in _grouped(chosen, lambda row: (row.table, row.direction)):
            lines.append(f"{table:<10} {direction:<9} {_means(rows, what)}")
        if len({row.table for row in chosen}) > 1:
            for (direction,), rows in _grouped(chosen, lambda row: (row.direction,)):
                lines.append(f"{'all':<10} {direction:<9} {_means(rows, what)}")
    return "\n".join(lines)


def comparison(pairs: Comparison, threshold: float) -> str:
    """Return every change, and the regressions by themselves."""
    lines = [f"{'new / old':>9}  of     layer"]
    lines += [_change(change) for change in pairs.changes]
    for name, rows in (("old", pairs.only_old), ("new", pairs.only_new)):
        lines += [f"only in the {name} file: {row}" for row in rows]
    lost = pairs.regressions(threshold)
    if not pairs.changes:
        lines.append("the files have no row in common")
    elif lost:
        lines.append(f"\n{len(lost)} of {len(pairs.changes)} lost more than {threshold:.0%}:")
        lines += [_change(change) for change in lost]
    else:
        mean = geometric_mean(change.speed for change in pairs.changes)
        lines.append(
            f"\nnone of {len(pairs.changes)} lost more than {threshold:.0%}; geometric mean "
            f"{mean:.2f}"
        )
    return "\n".join(lines)


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean of positive numbers."""
    logs = [log(value) for value in values]
    return exp(sum(logs) / len(logs))


def _grouped(
    rows: Iterable[Row], key: Callable[[Row], tuple[Any, ...]]
) -> Iterable[tuple[tuple[Any, ...], list[Row]]]:
    """Return rows by key, both in the order in which they came."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups.items()


def _change(change: Change) -> str:
    return f"{change.speed:>9.2f}  {'ratio' if change.normalised else 'speed'}  {change.new}"


def _value(row: Row, what: str) -> float:
    return row.ratio if what == "ratio" and row.ratio is not None else row.gflops


def _means(rows: list[Row], what: str) -> str:
    worst = min(rows, key=lambda row: _value(row, what))
    text = (
        f"{geometric_mean(_value(row, what) for row in rows):>7.2f}  of {len(rows):>2}, smallest "
        f"{_value(worst, what):.2f} ({worst.shape})"
    )
    # What Winograd's algorithm can serve stands by itself.
    unit = [row for row in rows if row.shape.split()[0] in _UNIT_STRIDE]
    others = [row for row in rows if row not in unit]
    if unit and others:
        text += (
            f"; 3x3/1 and 5x5/1 {geometric_mean(_value(row, what) for row in unit):.2f}, "
            f"others {geometric_mean(_value(row, what) for row in others):.2f}"
        )
    return text
