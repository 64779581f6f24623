"""Two result files held against each other, to see what became slower."""

from dataclasses import dataclass

from fastconv.benchmark.results import Key, Results, Row


@dataclass(frozen=True)
class Change:
    """What became of one row.

    Parameters
    ----------
    old, new : Row
        The same convolution in both files.

    Examples
    --------
    >>> from fastconv.benchmark import Row, Side
    >>> def row(seconds, rival):
    ...     return Row("lenet5", "C1", "5x5 1-6@28", "forward", 64, "float32", 2, "auto",
    ...                15_052_800, Side(seconds, seconds, 0.0), "torch", Side(rival, rival, 0.0))
    >>> Change(row(1e-4, 2e-4), row(2e-4, 2e-4)).speed
    0.5
    """

    old: Row
    new: Row

    @property
    def normalised(self) -> bool:
        """Whether both runs had the same rival, so that the clock of the day cancels out."""
        return self.old.rival is not None and self.old.rival == self.new.rival

    @property
    def speed(self) -> float:
        """New over old: of the ratios to the rival if both have the same, else of GFLOP/s."""
        if self.normalised and self.old.ratio and self.new.ratio:
            return self.new.ratio / self.old.ratio
        return self.new.gflops / self.old.gflops


@dataclass(frozen=True)
class Comparison:
    """All rows of two files.

    Parameters
    ----------
    changes : tuple of Change
        What both have, in the order of the new one.
    only_old, only_new : tuple of Row
        What only one of them has.

    Examples
    --------
    >>> Comparison((), (), ()).regressions(0.1)
    ()
    """

    changes: tuple[Change, ...]
    only_old: tuple[Row, ...]
    only_new: tuple[Row, ...]

    def regressions(self, threshold: float) -> tuple[Change, ...]:
        """Return what lost more than this share of its speed, the worst first."""
        lost = [change for change in self.changes if change.speed < 1 - threshold]
        return tuple(sorted(lost, key=lambda change: change.speed))


def compare(old: Results, new: Results) -> Comparison:
    """Pair the rows of two runs by table, layer, direction, batch, dtype and threads.

    The algorithm is not among these, so that two algorithms can be compared too.

    Parameters
    ----------
    old, new : Results
        What `load_results` returns.

    Returns
    -------
    Comparison

    Examples
    --------
    >>> from fastconv.benchmark import Machine, Results
    >>> nothing = Results(Machine(), (), ())
    >>> compare(nothing, nothing)
    Comparison(changes=(), only_old=(), only_new=())
    """
    before: dict[Key, Row] = {row.key: row for row in old.rows}
    after = {row.key for row in new.rows}
    return Comparison(
        tuple(Change(before[row.key], row) for row in new.rows if row.key in before),
        tuple(row for row in old.rows if row.key not in after),
        tuple(row for row in new.rows if row.key not in before),
    )
