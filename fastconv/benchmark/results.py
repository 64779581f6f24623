"""What a measurement leaves behind: rows, the machine, and the JSON file that holds both."""

import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

import fastconv
from fastconv._files import replacing
from fastconv.benchmark.machine import cpu_model, source_commit, usable_cores, versions

_FORMAT = "fastconv-benchmark-1"

T = TypeVar("T")
Key = tuple[str, str, str, int, str, int]


@dataclass(frozen=True)
class Side:
    """What one of the two did.

    Parameters
    ----------
    minimum, median : float
        Seconds of a call.
    error : float
        Largest difference from the float64 result, over that result's largest magnitude.

    Examples
    --------
    >>> Side(0.001, 0.0012, 3e-7).minimum
    0.001
    """

    minimum: float
    median: float
    error: float


@dataclass(frozen=True)
class Row:
    """One convolution, measured.

    Parameters
    ----------
    table, layer, shape : str
        The network, the layer's name, and the short form of its sizes.
    direction : {"forward", "input", "weight"}
        The convolution itself, or the gradient with respect to its input or weights.
    batch : int
        Number of images.
    dtype : {"float32", "float64"}
        Type of the numbers.
    threads : int
        Threads of either side.
    algorithm : str
        What was asked of fastconv.
    flops : int
        Multiplications and additions of the formula.
    ours : Side
        fastconv.
    rival : str or None
        Who else was measured.
    theirs : Side or None
        What the rival did.

    Examples
    --------
    >>> row = Row("lenet5", "C1", "5x5 1-6@28", "forward", 64, "float32", 2, "auto", 15_052_800,
    ...           Side(1e-4, 1.1e-4, 3e-7), "torch", Side(2e-4, 2.2e-4, 2e-7))
    >>> row.ratio, round(row.gflops, 1)
    (2.0, 150.5)
    """

    table: str
    layer: str
    shape: str
    direction: str
    batch: int
    dtype: str
    threads: int
    algorithm: str
    flops: int
    ours: Side
    rival: str | None = None
    theirs: Side | None = None

    @property
    def key(self) -> Key:
        """What was computed, by whatever algorithm: rows of two files with one key compare."""
        return self.table, self.layer, self.direction, self.batch, self.dtype, self.threads

    @property
    def gflops(self) -> float:
        """GFLOP/s of fastconv's fastest call."""
        return self.flops / self.ours.minimum / 1e9

    @property
    def rival_gflops(self) -> float | None:
        """GFLOP/s of the rival's fastest call."""
        return self.flops / self.theirs.minimum / 1e9 if self.theirs else None

    @property
    def ratio(self) -> float | None:
        """The rival's least time over ours."""
        return self.theirs.minimum / self.ours.minimum if self.theirs else None

    @property
    def median_ratio(self) -> float | None:
        """The rival's median over ours."""
        return self.theirs.median / self.ours.median if self.theirs else None

    def __str__(self) -> str:
        """Return what was computed, for a message."""
        return (
            f"{self.table} {self.layer} ({self.shape}), {self.direction}, batch {self.batch}, "
            f"{self.dtype}, {self.threads} threads"
        )


@dataclass(frozen=True)
class Peak:
    """The measured limit of the arithmetic: GFLOP/s of a dtype on so many threads.

    Parameters
    ----------
    dtype : str
        Type of the numbers.
    threads : int
        Threads that computed.
    gflops : float
        What they reached together.

    Examples
    --------
    >>> Peak("float32", 2, 232.0).gflops
    232.0
    """

    dtype: str
    threads: int
    gflops: float


@dataclass(frozen=True)
class Machine:
    """Where, when and with what was measured; the defaults describe here and now.

    Parameters
    ----------
    cpu, isa : str
        The processor, and the instruction set that fastconv uses.
    cores : int
        Cores that the process may use.
    versions : dict
        Of fastconv, python, numpy and torch (None if not installed).
    commit : str or None
        The source tree's commit if fastconv runs from a git checkout.
    date : str
        UTC, in ISO 8601.

    Examples
    --------
    >>> sorted(Machine().versions)
    ['fastconv', 'numpy', 'python', 'torch']
    """

    cpu: str = field(default_factory=cpu_model)
    isa: str = field(default_factory=lambda: str(fastconv.isa()))
    cores: int = field(default_factory=usable_cores)
    versions: dict[str, str | None] = field(default_factory=versions)
    commit: str | None = field(default_factory=source_commit)
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass(frozen=True)
class Results:
    """The rows of a run, with the machine and its peaks.

    Parameters
    ----------
    machine : Machine
        Where it ran.
    peaks : tuple of Peak
        One for each dtype and number of threads that was measured.
    rows : tuple of Row
        What was measured; no two of the same thing.

    Examples
    --------
    >>> Results(Machine(), (Peak("float32", 1, 116.0),), ()).peak("float32", 1)
    116.0
    """

    machine: Machine
    peaks: tuple[Peak, ...]
    rows: tuple[Row, ...]

    def peak(self, dtype: str, threads: int) -> float | None:
        """Return the GFLOP/s of the peak, or None if it was not measured."""
        found = (p.gflops for p in self.peaks if (p.dtype, p.threads) == (dtype, threads))
        return next(found, None)


def save_results(results: Results, path: str | os.PathLike[str]) -> None:
    """Write results into a JSON file, which is complete or not there at all.

    Parameters
    ----------
    results : Results
        What was measured.
    path : path-like
        The file; one that exists is replaced.

    Raises
    ------
    OSError
        If it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> results = Results(Machine(), (), ())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_results(results, f"{folder}/run.json")
    ...     load_results(f"{folder}/run.json") == results
    True
    """
    text = json.dumps({"format": _FORMAT, **asdict(results)}, indent=1, allow_nan=False)
    with replacing(path) as file:
        file.write(text.encode() + b"\n")


def load_results(path: str | os.PathLike[str]) -> Results:
    """Read a file of `save_results`, as data only.

    Parameters
    ----------
    path : path-like
        The JSON file.

    Returns
    -------
    Results

    Raises
    ------
    ValueError
        If it is damaged or something else; the text names the file and the place in it.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> load_results("missing.json")
    Traceback (most recent call last):
        ...
    FileNotFoundError: [Errno 2] No such file or directory: 'missing.json'
    """
    content = Path(path).read_bytes()
    try:
        data = json.loads(content)
        if not isinstance(data, dict) or data.pop("format", None) != _FORMAT:
            raise ValueError(f"its format is not {_FORMAT!r}")
        results = _read_fields(Results, data, "results")
        _check_rows(results.rows)
    except (ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)}: not a readable benchmark file ({error})") from error
    return results


def _read(kind: Any, value: Any, place: str) -> Any:
    """Return `value` as the type that a field says, or name the place that holds another."""
    arguments, origin = get_args(kind), get_origin(kind)
    if origin is UnionType:
        (other,) = (argument for argument in arguments if argument is not NoneType)
        return None if value is None else _read(other, value, place)
    if origin is tuple and isinstance(value, list):
        return tuple(_read(arguments[0], v, f"{place}[{i}]") for i, v in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: _read(arguments[1], v, f"{place}.{key}") for key, v in value.items()}
    if hasattr(kind, "__dataclass_fields__") and isinstance(value, dict):
        return _read_fields(kind, value, place)
    if kind is float and type(value) in (int, float):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{place} is {value}, expected a finite number that is not negative")
        return float(value)
    if kind is int and type(value) is int:
        if not 1 <= value < 2**63:
            raise ValueError(f"{place} is {value}, expected at least 1 and less than 2**63")
        return value
    if kind is str and isinstance(value, str):
        return value
    name = getattr(origin or kind, "__name__", str(kind))
    raise ValueError(f"{place} is {type(value).__name__}, expected {name}")


def _read_fields(kind: type[T], value: dict[str, Any], place: str) -> T:
    names = {f.name: f.type for f in fields(kind)}  # type: ignore[arg-type]
    if set(value) != set(names):
        wrong = ", ".join(sorted(set(value) ^ set(names)))
        raise ValueError(f"{place}: missing or unexpected: {wrong}")
    return kind(**{name: _read(names[name], value[name], f"{place}.{name}") for name in names})


def _check_rows(rows: Iterable[Row]) -> None:
    seen = set()
    for row in rows:
        if row.key in seen:
            raise ValueError(f"holds {row} twice")
        seen.add(row.key)
        for side in (row.ours, row.theirs):
            if side and not 0 < side.minimum <= side.median:
                raise ValueError(f"{row}: minimum {side.minimum}, median {side.median}")
        if (row.rival is None) != (row.theirs is None):
            raise ValueError(f"{row}: a rival without times, or times without a rival")
