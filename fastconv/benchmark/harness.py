"""One convolution, measured: verified against float64, then timed in turns with its rival."""

import time
from collections.abc import Sequence
from math import ceil
from statistics import median

import numpy as np

from fastconv._check import Array
from fastconv.benchmark.results import Row, Side
from fastconv.benchmark.rivals import (
    RIVALS,
    Call,
    Case,
    fastconv_call,
    make_case,
    threads_of_both,
)
from fastconv.benchmark.tables import Layer

DIRECTIONS = ("forward", "input", "weight")

# Largest error over largest result, for standard normal data of any layer of the tables.
_BOUNDS = {
    ("float32", "forward"): 1e-5,
    ("float32", "input"): 1e-5,
    ("float32", "weight"): 3e-5,
    ("float64", "forward"): 1e-12,
    ("float64", "input"): 1e-12,
    ("float64", "weight"): 1e-12,
}
# The thread pools of two libraries in one process spin against each other: each block of calls
# begins when the other side's threads have gone to sleep.
PAUSE = 0.05  # seconds
_TURNS = 4  # blocks of a side, if a call fits in
_LEAST_TURNS = 3
_SAMPLE = 5e-5  # seconds: shorter calls are timed several together
_TINY = 10**7  # FLOPs: below, fastconv.reference judges too


class WrongResult(RuntimeError):
    """A result is not what the formula says, so there is nothing to time.

    Examples
    --------
    >>> issubclass(WrongResult, RuntimeError)
    True
    """


def measure(
    layer: Layer,
    direction: str,
    *,
    batch: int = 8,
    dtype: str = "float32",
    threads: int = 1,
    algorithm: str = "auto",
    rival: str | None = None,
    seconds: float = 0.5,
) -> Row:
    """Verify and time one convolution.

    Parameters
    ----------
    layer : Layer
        A row of a table.
    direction : {"forward", "input", "weight"}
        The convolution, or its gradient with respect to the input or the weights.
    batch : int, optional
        Number of images.
    dtype : {"float32", "float64"}, optional
        Type of the numbers.
    threads : int, optional
        For fastconv and for torch.
    algorithm : str, optional
        As in `fastconv.functional.conv2d`.
    rival : str, optional
        One of `RIVALS`; none by default.
    seconds : float, optional
        How long to compute, both sides and all turns together. There are three turns at least.

    Returns
    -------
    Row

    Raises
    ------
    WrongResult
        If a result differs from float64 by more than the bound.
    ValueError
        If an argument is none of those, or the algorithm or rival cannot do this layer.
    ImportError
        If the rival is not installed.

    Examples
    --------
    >>> from fastconv.benchmark import load_table
    >>> row = measure(load_table("lenet5")[1], "forward", batch=2, seconds=0.01)
    >>> row.ours.error < 1e-5, row.gflops > 0
    (True, True)
    """
    _check_choice("direction", direction, DIRECTIONS)
    _check_choice("dtype", dtype, ("float32", "float64"))
    if rival is not None:
        _check_choice("rival", rival, tuple(RIVALS))
    case = make_case(layer, direction, batch, np.dtype(dtype))
    with threads_of_both(threads, rival):
        calls = {"fastconv": fastconv_call(case, algorithm)}
        if rival is not None:
            calls[f"the rival {rival}"] = RIVALS[rival](case)
        errors = _verify(case, calls, _BOUNDS[dtype, direction], algorithm)
        times = interleaved(list(calls.values()), seconds)
    sides = [Side(min(t), median(t), e) for t, e in zip(times, errors, strict=True)]
    return Row(
        layer.table,
        layer.name,
        str(layer),
        direction,
        batch,
        dtype,
        threads,
        algorithm,
        case.flops,
        sides[0],
        rival,
        sides[1] if rival is not None else None,
    )


def interleaved(
    calls: Sequence[Call], seconds: float, pause: float | None = None
) -> list[list[float]]:
    """Time calls in turns, and return the seconds of a call in each sample of each.

    A turn is a block of calls of every side, each after a pause, `PAUSE` seconds by default. Turns
    go on until the blocks have taken `seconds` together, and for three at least.
    """
    plans = [_plan_block(call, seconds / (_TURNS * len(calls))) for call in calls]
    times: list[list[float]] = [[] for _ in calls]
    spent, turns = 0.0, 0
    while turns < _LEAST_TURNS or spent < seconds:
        for call, (samples, together), mine in zip(calls, plans, times, strict=True):
            wait_awake(PAUSE if pause is None else pause)
            for _ in range(samples):
                mine.append(_sample(call, together))
                spent += mine[-1] * together
        turns += 1
    return times


def wait_awake(seconds: float) -> None:
    """Wait without giving the core away.

    Some systems keep what computes little on one core, to save power: after a pause asleep, both
    threads of the calls that follow may share that core for the whole of a block.
    """
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def _plan_block(call: Call, seconds: float) -> tuple[int, int]:
    """Return how many samples a block has, and how many calls are timed together in one."""
    once = max(min(_sample(call, 1) for _ in range(2)), 1e-7)
    together = ceil(_SAMPLE / once)
    return max(1, int(seconds / (once * together))), together


def _sample(call: Call, together: int) -> float:
    begin = time.perf_counter()
    for _ in range(together):
        call()
    return (time.perf_counter() - begin) / together


def _verify(case: Case, calls: dict[str, Call], bound: float, algorithm: str) -> list[float]:
    """Return the error of each call's result, if all are within the bound."""
    # No algorithm is its own judge.
    truth, largest = _truth(case, "im2col" if algorithm == "direct" else "direct")
    errors = []
    for name, call in calls.items():
        got = np.asarray(call())
        what = f"{case.layer.table} {case.layer.name} ({case.layer}), {case.direction}: {name}"
        if got.shape != case.result or got.dtype != case.first.dtype:
            raise WrongResult(
                f"{what} returned {got.dtype} {got.shape}, expected {case.first.dtype} "
                f"{case.result}"
            )
        error = _largest(got, truth) / largest
        # Written so that a NaN counts as wrong.
        if not error <= bound:
            raise WrongResult(
                f"{what} is wrong: max |error| / max |result| = {error:.2g}, expected at most "
                f"{bound:.2g}"
            )
        errors.append(error)
    return errors


def _truth(case: Case, algorithm: str) -> tuple[Array, float]:
    """Compute a case in float64; return the result and its largest magnitude."""
    first, second = case.first.astype(np.float64), case.second.astype(np.float64)
    exact = Case(case.layer, case.direction, case.batch, first, second, case.result)
    truth: Array = fastconv_call(exact, algorithm)()
    largest = float(np.abs(truth).max(initial=0)) or 1.0
    if case.flops <= _TINY:
        slow = RIVALS["reference"](exact)()
        if not _largest(truth, slow) / largest <= _BOUNDS["float64", case.direction]:
            raise WrongResult(
                f"{case.layer}, {case.direction}: algorithm {algorithm!r} in float64 differs from "
                "fastconv.reference"
            )
    return truth, largest


def _largest(got: Array, truth: Array) -> float:
    """Return the largest difference, or NaN if one is NaN."""
    # Image by image (or kernel by kernel), because the difference of whole batches can be large.
    # Python's max would lose a NaN.
    with np.errstate(invalid="ignore"):
        return float(np.max([np.abs(g - t).max() for g, t in zip(got, truth, strict=True)]))


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
