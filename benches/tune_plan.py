"""From where on Winograd and Fourier transforms win: the thresholds of the plan.

    python benches/tune_plan.py [--time 0.2] [--table winograd_5] [--write]

Times them beside what the plan would take without them, for layers of growing gain (see
`fastconv.engine.plan`), and finds the threshold that loses the least time on all of them: the
sum over the layers of log(chosen time / best time). With --write it goes into
fastconv/engine/thresholds.py, among those of the instruction set that runs (FASTCONV_ISA).
"""

import argparse
import datetime
from copy import deepcopy
from itertools import pairwise, product
from math import log
from pathlib import Path

import numpy as np

import fastconv
from fastconv._files import replacing
from fastconv.benchmark.harness import interleaved
from fastconv.benchmark.machine import cpu_model
from fastconv.benchmark.rivals import make_case
from fastconv.benchmark.tables import Layer
from fastconv.engine import choice, plan, rules, thresholds
from fastconv.engine.fft import blocks
from fastconv.engine.winograd import counts

DTYPES = ("float32", "float64")
# The names of a direction in the benchmark, and of its operation in the plan.
OPERATIONS = {"forward": "conv2d", "input": "conv2d_input", "weight": "conv2d_weight"}
# The choice may not depend on the batch: the threshold is to be good for all. Tiles of rows save so
# much of many samples that the microseconds they lose of one do not count.
BATCHES = (1, 8)
ROWS_BATCHES = (8, 64)
# Variants of "winograd", in the plan's table.
SQUARES, LINES, ROWS = "winograd squares", "winograd lines", "winograd rows"
PHASES = "winograd phases"
# The tables of thresholds.py, and what the numbers mean.
TABLES = {
    "winograd_2": "Products saved for each number transformed, 3x3 and 4x4 kernels that move by 2.",
    "winograd_3": "Products saved for each number transformed, 3x3 kernels.",
    "winograd_groups": "Products saved for each number transformed, 3x3 kernels in groups.",
    "winograd_5": "Products saved for each number transformed, 5x5 kernels.",
    "winograd_line": "Products saved for each number transformed, kernels of one row or column.",
    "winograd_rows": "Products saved for each number transformed, tiles of rows.",
    "fft": "Products of the formula for each number that the Fourier transforms touch.",
}


def layer(inputs, outputs, size, kernel, groups=1, stride=1):
    """Return a layer whose output keeps the size, by the stride; `kernel` is a side, or both."""
    kernel = kernel if isinstance(kernel, tuple) else (kernel,) * 2
    pad, one, stride = tuple((taps - 1) // 2 for taps in kernel), (1, 1), (stride, stride)
    return Layer("tune", "", inputs, outputs, (size,) * 2, kernel, stride, pad, one, groups, 1)


def layers(table):
    """Return layers on both sides of the threshold."""
    if table == "winograd_2":
        pairs = ((4, 16), (8, 8), (16, 16), (16, 64), (32, 32), (64, 64), (128, 256), (512, 512))
        return [
            layer(*pair, size, kernel, stride=2)
            for pair, size, kernel in product(pairs, (8, 14, 28), (3, 4))
        ]
    if table == "winograd_3":
        pairs = ((2, 8), (3, 64), (4, 4), (8, 8), (8, 32), (16, 16), (16, 64), (32, 32), (64, 64))
        return [layer(*pair, size, 3) for pair, size in product(pairs, (5, 7, 14, 30, 56))]
    if table == "winograd_groups":
        channels = ((8, 32), (16, 32), (24, 16), (32, 16), (64, 8))
        return [
            layer(each * groups, each * groups, size, 3, groups)
            for (each, groups), size in product(channels, (7, 14, 28))
        ]
    if table == "winograd_5":
        pairs = ((2, 8), (3, 16), (3, 64), (4, 4), (6, 16), (8, 8), (8, 32), (16, 16))
        return [layer(*pair, size, 5) for pair, size in product(pairs, (5, 10, 14, 28, 56))]
    if table == "winograd_line":
        pairs = ((3, 64), (4, 4), (8, 8), (16, 16), (16, 64), (32, 32), (64, 64))
        kernels = ((1, 3), (5, 1), (1, 7))
        return [layer(*pair, *rest) for pair, *rest in product(pairs, (8, 17, 35), kernels)]
    if table == "winograd_rows":
        pairs = ((2, 8), (3, 16), (4, 4), (6, 16), (8, 8), (3, 32))
        return [layer(*pair, size, 5) for pair, size in product(pairs, (9, 10, 14, 28))]
    return [
        *(layer(1, 1, size, kernel) for size, kernel in product((128, 512), (17, 33, 65, 97))),
        *(layer(1, 8, size, kernel) for size, kernel in product((96, 200), (17, 33, 65))),
        *(layer(8, 8, size, kernel) for size, kernel in product((64, 96), (17, 33, 47))),
        *(layer(8, 8, size, kernel, 8) for size, kernel in product((96, 200), (17, 33, 65))),
    ]


def contender(table):
    """Return the algorithm that a table is about, its variant if it is one, and their gain."""
    if table == "fft":
        return ("fft", None), blocks.gain
    if table == "winograd_rows":
        return ("winograd", ROWS), counts.rows_gain
    return (
        "winograd",
        {"winograd_line": LINES, "winograd_2": PHASES}.get(table, SQUARES),
    ), counts.gain


def rival(table, geometry, operation, dtype):
    """Return the algorithm, and the variant if it is one, that would compute it instead."""
    if table == "winograd_5" and rules.rows_win(geometry, operation, dtype):
        return "winograd", ROWS
    names = [row.name for row in plan.ALGORITHMS]
    behind = plan.ALGORITHMS[names.index(table.partition("_")[0]) + 1 :]
    able = (row for row in behind if row.refuses(geometry) is None)
    return next(row.name for row in able if row.wins(geometry, operation, dtype)), None


def call_of(case, loops, geometry, operation):
    """Return a call of an algorithm and one of its variants, or that which it chooses."""
    algorithm, variant = loops
    found = choice.dispatch(operation, geometry, case.first.dtype.name, algorithm, variant)
    result = np.empty(case.result, case.first.dtype)
    if operation == "conv2d":
        return lambda: found.forward(case.first, case.second, None, result)
    if operation == "conv2d_input":
        return lambda: found.input_gradient(case.second, case.first, None, result)
    return lambda: found.weight_gradient(case.first, case.second, result)


def measure(table, direction, dtype, seconds):
    """Return (gain, time of the rival / time) of every layer and batch, in growing order."""
    found = []
    operation = OPERATIONS[direction]
    own, gain_of = contender(table)
    batches = ROWS_BATCHES if table == "winograd_rows" else BATCHES
    for each, batch in product(layers(table), batches):
        geometry = each.geometry(batch)
        case = make_case(each, direction, batch, np.dtype(dtype))
        other = rival(table, geometry, operation, dtype)
        calls = [call_of(case, loops, geometry, operation) for loops in (own, other)]
        # Nobody else's threads are to go to sleep.
        times = interleaved(calls, seconds, pause=0)
        ratio = min(times[1]) / min(times[0])
        gain = gain_of(geometry, operation)
        found.append((gain, ratio))
        print(
            f"  {each!s:24} x {batch} gain {gain:8.2f}  {ratio:5.2f} x {other[1] or other[0]}",
            flush=True,
        )
    return sorted(found)


def best_threshold(found):
    """Return the threshold of least regret, between two gains."""
    gains = [0.0, *(gain for gain, _ in found), 2 * found[-1][0]]
    borders = [(low + high) / 2 for low, high in pairwise(gains)]

    def regret(border):
        return sum(
            max(-log(ratio), 0) if gain > border else max(log(ratio), 0) for gain, ratio in found
        )

    return float(f"{min(borders, key=regret):.3g}")


def stamp():
    """Return where and when this is measured."""
    threads = fastconv.get_num_threads()
    return f"{cpu_model()}, {threads} thread{'s' * (threads > 1)}, {datetime.date.today()}"


def source(measured, tables):
    """Return the text of fastconv/engine/thresholds.py, for stamps and tables of all sets."""
    lines = [f'"""{thresholds.__doc__}"""', "", "# On which machine, and when.", "MEASURED = {"]
    for isa, stamps in measured.items():
        lines += [f'    "{isa}": {{']
        lines += [f'        "{table}": "{stamps[table]}",' for table in TABLES]
        lines += ["    },"]
    lines += ["}", "", "THRESHOLDS = {"]
    for isa, own in tables.items():
        lines += [f'    "{isa}": {{']
        for table, meaning in TABLES.items():
            lines += [f"        # {meaning}", f'        "{table}": {{']
            lines += [f'            ("{o}", "{d}"): {t},' for (o, d), t in own[table].items()]
            lines += ["        },"]
        lines += ["    },"]
    return "\n".join([*lines, "}"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--time", type=float, default=0.2, help="seconds for each layer")
    parser.add_argument("--table", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--write", action="store_true", help="write engine/thresholds.py")
    arguments = parser.parse_args()
    measured, tables = deepcopy(thresholds.MEASURED), deepcopy(thresholds.THRESHOLDS)
    own = tables[fastconv.isa()]
    for table in arguments.table:
        for (direction, operation), dtype in product(OPERATIONS.items(), DTYPES):
            print(f"{table}, {operation}, {dtype}")
            found = measure(table, direction, dtype, arguments.time)
            own[table][operation, dtype] = best_threshold(found)
            print(f"  threshold {own[table][operation, dtype]}", flush=True)
        measured[fastconv.isa()][table] = stamp()
    if arguments.write:
        with replacing(Path(thresholds.__file__)) as file:
            file.write(source(measured, tables).encode())


if __name__ == "__main__":
    main()
