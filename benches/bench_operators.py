"""Operators beside torch's, in tables: pooling, normalisation, activations, filters and others.

    python benches/bench_operators.py [FAMILY ...] [--dtype float32 float64] [--threads 1 2]
                                      [--time 0.2] [--only TEXT] [--output operators.json]

A family is a module of benches/operators; all of them by default. Both sides get the same arrays,
in turns, in one process; each result is compared with float64 before it is timed. The ratio is
the rival's least time over ours, and beside it stand both least times. Ratios below 0.9 are marked.
"""

import argparse
import json
import pkgutil
from importlib import import_module
from pathlib import Path

import numpy as np
import operators

from fastconv import isa
from fastconv.benchmark.harness import interleaved
from fastconv.benchmark.report import geometric_mean
from fastconv.benchmark.rivals import threads_of_both

FAMILIES = sorted(module.name for module in pkgutil.iter_modules([Path(operators.__file__).parent]))


def parts(result):
    """Return the arrays of a result; None where there is none."""
    results = result if isinstance(result, tuple | list) else (result,)
    return [None if r is None else np.asarray(r) for r in results]


def verify(case):
    """Compare each side with the truth; refuse what is wrong."""
    truth = parts(case.truth())
    for side in ("ours", "rival"):
        call = getattr(case, side)
        if call is None:
            continue
        got = parts(call())
        if len(got) != len(truth):
            raise SystemExit(f"{case.name}, {side}: {len(got)} results, expected {len(truth)}")
        for i, (result, expected) in enumerate(zip(got, truth, strict=True)):
            if expected is None:
                continue
            largest = np.abs(expected).max(initial=0) or 1
            error = np.abs(result.reshape(expected.shape) - expected).max(initial=0) / largest
            # Written so that a NaN counts as wrong.
            if not error <= case.bound:
                raise SystemExit(f"{case.name}, {side}, result {i}: wrong by {error:.2g}")


def measure(family, dtype, threads, seconds, only):
    """Yield the rows of a family: name, ratio, and the least seconds of both sides."""
    module = import_module(f"operators.{family}")
    rival = getattr(module, "RIVAL", "torch")
    for case in module.cases(np.dtype(dtype)):
        if only and only not in case.name:
            continue
        with threads_of_both(threads, "torch" if case.rival and rival == "torch" else None):
            verify(case)
            calls = [call for call in (case.ours, case.rival) if call is not None]
            times = [min(samples) for samples in interleaved(calls, seconds)]
        ratio = times[1] / times[0] if len(times) > 1 else None
        row = {
            "family": family, "name": case.name, "dtype": dtype, "threads": threads,
            "isa": isa(), "seconds": times, "ratio": ratio,
        }  # fmt: skip
        print(line(row), flush=True)
        yield row


def line(row):
    seconds, ratio = row["seconds"], row["ratio"]
    text = f"{row['dtype']} {row['threads']}t {row['name']:48} {seconds[0] * 1e6:11.1f} us"
    if ratio is None:
        return text
    mark = " <" if ratio < 0.9 else ""
    return f"{text} {seconds[1] * 1e6:11.1f} us {ratio:6.2f}{mark}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("family", nargs="*", help=f"of {', '.join(FAMILIES)}")
    parser.add_argument("--dtype", nargs="+", default=["float32"])
    parser.add_argument("--threads", nargs="+", type=int, default=[2])
    parser.add_argument("--time", type=float, default=0.2, help="seconds for each row")
    parser.add_argument("--only", help="rows with this text in their names")
    parser.add_argument("--output", help="JSON file")
    arguments = parser.parse_args()
    if unknown := set(arguments.family) - set(FAMILIES):
        parser.error(f"unknown family {', '.join(unknown)}: there are {', '.join(FAMILIES)}")
    table = []
    for family in arguments.family or FAMILIES:
        for dtype in arguments.dtype:
            for threads in arguments.threads:
                rows = list(measure(family, dtype, threads, arguments.time, arguments.only))
                table += rows
                ratios = [row["ratio"] for row in rows if row["ratio"] is not None]
                if ratios:
                    aim = getattr(import_module(f"operators.{family}"), "AIM", None)
                    wanted = "" if aim is None else f" (wanted: {aim})"
                    print(
                        f"{family}, {dtype}, {threads} threads: geometric mean "
                        f"{geometric_mean(ratios):.2f}{wanted}, least {min(ratios):.2f}\n"
                    )
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(table, indent=0))


if __name__ == "__main__":
    main()
