"""``fastconv bench --function``: functions beside torch's, or SciPy's, of the same name.

Names, order and meaning of the arguments are torch's in fastconv.functional, and SciPy's in
fastconv.ndimage and fastconv.signal, so the calls that ``fastconv check`` draws serve both sides. A
gradient is taken by torch's autograd, of the forward call.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click
import numpy as np

from fastconv.benchmark.harness import interleaved
from fastconv.benchmark.report import geometric_mean
from fastconv.benchmark.rivals import threads_of_both
from fastconv.cli._cases import SUBJECTS
from fastconv.cli._cases.calls import Array, Call, Subject, Wide, cast, fast
from fastconv.cli.check import check_plain

# Maps as large as in the second stage of a ResNet, over one to three axes.
SIZES = {1: (8, 64, 3136), 2: (8, 64, 56, 56), 3: (2, 32, 16, 28, 28)}
NAMES = [subject.name for subject in SUBJECTS]
_BY_NAME = {subject.name: subject for subject in SUBJECTS}
# What torch may answer to arguments that are ours alone.
_REFUSALS = (AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError)


def bench_functions(
    names: list[str], dtype: str, threads: int, rival: str | None, seconds: float
) -> list[str]:
    """Verify, time and print functions; return what is wrong.

    Verified on the small maps of ``fastconv check``, since the reference is slow.
    """
    click.echo(f"{'function':<35} {'fastconv':>12} {rival or '':>12} {'ratio':>7}  call")
    ratios, wrong = [], []
    for name in names:
        subject = _BY_NAME[name]
        failure = check_plain(subject, np.dtype(dtype))
        if failure:
            wrong.append(failure)
            click.echo(f"{name:<35} WRONG, see below")
            continue
        call = subject.timed(0, SIZES)
        with threads_of_both(threads, "torch" if rival == "torch" else None):
            calls = [fast(name, call, np.dtype(dtype), None)]
            theirs = _rivals(subject, np.dtype(dtype), rival)
            if theirs is not None:
                calls.append(theirs)
            times = [min(samples) for samples in interleaved(calls, seconds)]
        line = f"{name:<35} {times[0] * 1e6:>9.1f} us"
        if len(times) > 1:
            ratios.append(times[1] / times[0])
            line += f" {times[1] * 1e6:>9.1f} us {ratios[-1]:>7.2f}"
        else:
            line += f" {'-':>12} {'-':>7}"
        click.echo(f"{line}  {call}")
    if ratios:
        click.echo(
            f"\n{len(ratios)} that {rival} has, too: geometric mean of ratio "
            f"{geometric_mean(ratios):.2f}, smallest {min(ratios):.2f}"
        )
    return wrong


def _rivals(subject: Subject, dtype: np.dtype[Any], rival: str | None) -> Callable[[], Any] | None:
    """Return the rival's call of the same; None where it has no such function or arguments."""
    if rival is None:
        return None
    return _torchs(subject, dtype) if rival == "torch" else _scipys(subject, dtype)


def _scipys(subject: Subject, dtype: np.dtype[Any]) -> Callable[[], Any] | None:
    package, _, name = subject.name.rpartition(".")
    function = getattr(import_module(f"scipy.{package}"), name, None)
    if function is None:
        return None
    call = subject.timed(0, SIZES)
    arguments = [cast(a, dtype) if isinstance(a, np.ndarray) else a for a in call.arguments]

    def run() -> Any:
        return function(*arguments, **call.options)

    return run if _agree(run(), fast(subject.name, call, dtype, None)()[0]) else None


def _torchs(subject: Subject, dtype: np.dtype[Any]) -> Callable[[], Any] | None:
    torch = import_module("torch")
    name, call = subject.name, subject.timed(0, SIZES)
    try:
        if name.endswith("_backward"):
            return _gradient(torch, name.removesuffix("_backward"), dtype)
        home = torch.nn.functional if hasattr(torch.nn.functional, name) else torch.nn.grad
        function = getattr(home, name)
        arguments, options = _converted(torch, call, dtype)

        def run() -> Any:
            with torch.no_grad():
                return function(*arguments, **options)

        result = run()
    except _REFUSALS:
        return None
    theirs = np.asarray(result[0] if isinstance(result, tuple) else result)
    return run if _agree(theirs, fast(name, call, dtype, None)()[0]) else None


def _agree(theirs: Array, ours: Array) -> bool:
    """Tell whether two results are of one computation, roundings aside."""
    bound = 1e-3 * np.abs(ours).max(initial=0)
    return theirs.shape == ours.shape and bool((np.abs(theirs - ours) <= bound).all())


def _gradient(torch: Any, name: str, dtype: np.dtype[Any]) -> Callable[[], Any]:
    """Return the call of autograd for the gradients of a function."""
    call = _BY_NAME[name].timed(0, SIZES)
    arguments, options = _converted(torch, call, dtype)
    written = {key for key in call.written if isinstance(key, int)}
    given = [
        value.requires_grad_()
        for place, value in enumerate(arguments)
        if isinstance(value, torch.Tensor) and value.is_floating_point() and place not in written
    ]
    output = getattr(torch.nn.functional, name)(*arguments, **options)
    output = output[0] if isinstance(output, tuple) else output
    residual = torch.ones_like(output)

    def run() -> Any:
        return torch.autograd.grad(output, given, residual, retain_graph=True, allow_unused=True)

    run()
    return run


def _converted(torch: Any, call: Call, dtype: np.dtype[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return a call's arguments with tensors in place of arrays."""

    def convert(value: Any) -> Any:
        if isinstance(value, Wide):
            value = value.array
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            value = cast(value, dtype)
        return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value

    options = {name: convert(value) for name, value in call.options.items()}
    return [convert(value) for value in call.arguments], options
