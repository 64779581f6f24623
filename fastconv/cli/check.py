"""``fastconv check``: every fast function against its slow definition, on this machine."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

import fastconv
from fastconv.cli._cases import SUBJECTS
from fastconv.cli._cases.calls import (
    Call,
    Subject,
    call_geometry,
    expected,
    fast,
    norm_bound,
    slow,
)
from fastconv.engine.plan import ALGORITHMS, Algorithm

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass
class Tally:
    """What became of the cases of one function, algorithm and dtype."""

    cases: int = 0
    error: float = 0.0
    share: float = 0.0
    failure: str | None = None


@click.command(short_help="Check every fast function against its slow definition.")
@click.option("--cases", type=click.IntRange(1), default=25, show_default=True, metavar="N",
              help="Random geometries for each function.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N")
@click.option("--function", "only", type=click.Choice([subject.name for subject in SUBJECTS]),
              metavar="NAME", help="Check this one only.")  # fmt: skip
@click.option("--case", "index", type=click.IntRange(0), metavar="N",
              help="Check the geometry of this number only, to repeat a failure.")  # fmt: skip
@click.pass_context
def check(
    context: click.Context, cases: int, seed: int, only: str | None, index: int | None
) -> None:
    """Check every fast function against its slow definition in fastconv.reference.

    Each random geometry is computed twice: on small integers, where the results must be equal
    (but where a function rounds), and on normal numbers, where the error must stay within a bound
    that follows from the number of terms. The times are those of maps as large as in LeNet-5. Exit
    code 1 and the failing case tell of a difference.
    """
    indices = range(cases) if index is None else [index]
    subjects = [subject for subject in SUBJECTS if only in (None, subject.name)]
    click.echo(
        f"{len(indices)} geometries for each function, seed {seed}; instruction set "
        f"{fastconv.isa()}, {fastconv.get_num_threads()} threads\n"
    )
    click.echo(
        f"{'function':<41} {'algorithm':<9} {'dtype':<8} {'cases':>5} {'max error':>10} "
        f"{'of bound':>8} {'fast':>10} {'reference':>10} {'ratio':>8}"
    )
    failures = []
    for subject in subjects:
        for dtype in _DTYPES:
            timed = subject.timed(seed)
            slow_time = _time(slow(subject.name, timed, dtype), times=1)
            for algorithm in ALGORITHMS if timed.shapes else (None,):
                name = algorithm.name if algorithm else None
                tally = _check(subject, dtype, algorithm, seed, indices)
                fast_time = None
                if _serves(algorithm, timed) and not tally.failure:
                    fast_time = _time(fast(subject.name, timed, dtype, name))
                click.echo(_row(subject, dtype, name, tally, fast_time, slow_time))
                if tally.failure:
                    failures.append(tally.failure)
    if failures:
        click.echo("\n" + "\n\n".join(failures))
        click.echo(f"\n{len(failures)} of these lines differ from the reference")
        context.exit(1)
    click.echo("\neverything agrees with the reference")


def _check(
    subject: Subject,
    dtype: np.dtype[Any],
    algorithm: Algorithm | None,
    seed: int,
    indices: Iterable[int],
) -> Tally:
    """Compute the cases up to the first that differs."""
    tally = Tally()
    for number in indices:
        for integers in (True, False):
            call = subject.case(seed, number, integers)
            if not _serves(algorithm, call):
                continue
            _compare(tally, subject, call, dtype, algorithm, integers)
            if tally.failure:
                tally.failure += (
                    f"\n  repeat it: fastconv check --function {subject.name} "
                    f"--seed {seed} --case {number}"
                )
                return tally
    return tally


def check_plain(subject: Subject, dtype: np.dtype[Any]) -> str | None:
    """Compute the call that is timed; return in what it differs from the reference, if it does."""
    tally, call = Tally(), subject.timed(0)
    for algorithm in ALGORITHMS if call.shapes else (None,):
        if not tally.failure and _serves(algorithm, call):
            _compare(tally, subject, call, dtype, algorithm, integers=False)
    return tally.failure


def _serves(algorithm: Algorithm | None, call: Call) -> bool:
    """Say whether an algorithm can compute a case; every function without a choice can."""
    if algorithm is None or call.shapes is None:
        return True
    if algorithm.bounds.norms and "padding_mode" in call.options:
        # The bound is of the input's own norms.
        return False
    return algorithm.refuses(call_geometry(call)) is None


def _compare(
    tally: Tally,
    subject: Subject,
    call: Call,
    dtype: np.dtype[Any],
    algorithm: Algorithm | None,
    integers: bool,
) -> None:
    """Compute one case fast and slowly, and enter the difference."""
    tally.cases += 1
    name = algorithm.name if algorithm else None
    label = f"{subject.name}({call}), {name or 'the only algorithm'}, {dtype}"
    rounds = algorithm is not None and not algorithm.exact
    exact_case = call.terms == 0 or (integers and subject.exact and not rounds)
    wanted, sizes = expected(subject, call, dtype)
    try:
        got = fast(subject.name, call, dtype, name)()
    except Exception as raised:
        tally.failure = f"{label}\n  raised {type(raised).__name__}: {raised}"
        return
    for part, right, size in zip(got, wanted, sizes, strict=True):
        if part.shape != right.shape:
            tally.failure = f"{label}\n  has shape {part.shape}, expected {right.shape}"
            return
        if not part.size:
            continue
        error = np.abs(part.astype(np.float64) - right)
        bound = np.zeros(part.shape)
        # Places and masks are exact in any case.
        if not exact_case and part.dtype.kind == "f":
            bound += (call.terms + 2) * np.finfo(dtype).eps * size
        if algorithm is not None and algorithm.bounds.norms:
            bound += norm_bound(subject.name, call, dtype, algorithm)
        # Written so that a NaN counts as a difference.
        if not (error <= bound).all():
            place = np.unravel_index(int(np.argmax(~(error <= bound))), part.shape)
            tally.failure = (
                f"{label}\n  at {tuple(int(at) for at in place)}: {part[place]!r}, "
                f"expected {right[place]!r} within {bound[place]:.3g}"
            )
            return
        tally.error = max(tally.error, float(error.max()))
        shares = np.divide(error, bound, where=bound > 0, out=np.zeros(part.shape))
        tally.share = max(tally.share, float(shares.max()))


def _time(call: Callable[[], Any], times: int = 5) -> float:
    """Return the least time of some calls after a first one, in seconds."""
    call()
    durations = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        durations.append(time.perf_counter() - begin)
    return min(durations)


def _row(
    subject: Subject,
    dtype: np.dtype[Any],
    algorithm: str | None,
    tally: Tally,
    fast_time: float | None,
    slow_time: float,
) -> str:
    start = f"{subject.name:<41} {algorithm or '-':<9} {dtype!s:<8} {tally.cases:>5}"
    if tally.failure:
        return f"{start} differs, see below"
    error = f"{tally.error:>10.1e} {100 * tally.share:>6.0f} %" if tally.error else f"{'equal':>10}"
    times = f"{'-':>10} {1e3 * slow_time:>7.3f} ms {'-':>8}"
    if fast_time is not None:
        ratio = slow_time / max(fast_time, 1e-9)
        times = f"{1e3 * fast_time:>7.3f} ms {1e3 * slow_time:>7.3f} ms {ratio:>7.1f}x"
    return f"{start} {error:<19} {times}"
