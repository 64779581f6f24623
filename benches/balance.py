"""How evenly the tasks of each layer can be shared among threads, on paper.

    python benches/balance.py [--table resnet50 ...] [--direction forward ...] [--batch 1 8 32]
                              [--threads 1 2 4 ...] [--dtype float32] [--layers] [--worst 10]
    python benches/balance.py --measure [--table ...] [--threads 16] [...]

Nothing is computed and no thread is started: every kernel makes its plan for so many threads, and
lists its phases with what each task costs (fastconv/engine/base/costs.pxd). Of each layer that
gives two shares of what so many threads could do at best,

    balance     cost of all tasks / (threads x busiest)
    speed       cost of all tasks, planned for one thread / (threads x busiest)

`busiest` being what the busiest thread does, phase after phase. Both are 1 where all threads are
busy all the time, and 1/threads where one does everything. They differ by what a finer cut costs in
itself: tiles that are smaller, numbers that are packed more than once. A layer that is too small
for so many threads uses fewer, and its numbers say so.

A phase begins when the one before is done. In it each thread first has an equal number of
neighbouring tasks; one that has no more takes single tasks of another.

With --measure the tasks run, one after the other on one thread, and are timed, so that costs can be
compared with times: the balance by costs and by times, what share of both each phase has, and how
far the tasks of the longest phase stray from its mean time for a unit of cost.
"""

import argparse
from dataclasses import replace
from heapq import heapify, heapreplace
from itertools import product

import numpy as np

import fastconv
from fastconv import benchmark
from fastconv.benchmark.report import geometric_mean
from fastconv.benchmark.rivals import fastconv_call, make_case
from fastconv.engine.base.threads import listed_phases

THREADS = (1, 2, 4, 8, 16, 32, 64, 128)


def makespan(costs, threads):
    """Return how long the last of the threads is busy with tasks of these costs.

    Each has a share of as many neighbouring tasks, as near as can be; one that is done with its own
    takes the next task of the share in which most are left.
    """
    count = len(costs)
    threads = min(threads, count)
    nexts = [thread * count // threads for thread in range(threads)]
    ends = [(thread + 1) * count // threads for thread in range(threads)]
    # When each thread is free, the first of them first.
    free = [(0.0, thread) for thread in range(threads)]
    heapify(free)
    for _ in range(count):
        now, thread = free[0]
        share = thread
        if nexts[share] == ends[share]:
            share = max(range(threads), key=lambda other: ends[other] - nexts[other])
        heapreplace(free, (now + costs[nexts[share]], thread))
        nexts[share] += 1
    return max(now for now, _ in free)


def total(phases):
    """Return the cost of all tasks of phases."""
    return sum(sum(costs) for _, costs in phases)


def busiest(phases):
    """Return what the busiest thread does; phases are pairs of their threads and their costs."""
    return sum(makespan(costs, team) for team, costs in phases)


def balance(phases, threads):
    """Return the balance of phases among so many threads."""
    return total(phases) / (threads * busiest(phases))


def empty_case(layer, direction, batch, dtype):
    """Return a case whose operands nobody has written: their memory is not touched."""
    small = replace(layer, size=(1, 1), kernel=(1, 1), padding=(0, 0))
    geometry = layer.geometry(batch)
    shapes = {
        "forward": (geometry.input_shape, geometry.weight_shape, geometry.output_shape),
        "input": (geometry.weight_shape, geometry.output_shape, geometry.input_shape),
        "weight": (geometry.input_shape, geometry.output_shape, geometry.weight_shape),
    }
    first, second, result = shapes[direction]
    return replace(
        make_case(small, direction, 1, dtype),
        layer=layer,
        batch=batch,
        first=np.empty(first, dtype),
        second=np.empty(second, dtype),
        result=result,
    )


def list_phases(case, threads, timed=False):
    """Return the phases of a case planned for so many threads, as `listed_phases` has them."""
    before = fastconv.get_num_threads()
    fastconv.set_num_threads(threads)
    try:
        call = fastconv_call(case)
        with listed_phases(timed) as phases:
            call()
    finally:
        fastconv.set_num_threads(before)
    return phases


def costs_of(case, threads):
    """Return the phases of a case as pairs: the threads that take part, and the costs."""
    return [(team, costs) for team, _, costs, _ in list_phases(case, threads)]


class Row:
    """What one layer, direction and batch gives for each number of threads."""

    def __init__(self, layer, direction, batch, threads, dtype):
        self.layer, self.direction, self.batch = layer, direction, batch
        case = empty_case(layer, direction, batch, dtype)
        alone = total(costs_of(case, 1))
        self.balance, self.speed, self.tasks = {}, {}, {}
        for number in threads:
            phases = costs_of(case, number)
            self.balance[number] = balance(phases, number)
            self.speed[number] = alone / (number * busiest(phases))
            # The phase that takes longest says best what is shared.
            self.tasks[number] = max((makespan(costs, team), len(costs)) for team, costs in phases)[
                1
            ]

    def __str__(self):
        return f"{self.layer!s:<22} {self.direction:<8} {self.batch:>3}"


def line(name, rows, threads):
    """Return the geometric means of balance and speed for each number of threads."""
    cells = (
        f"{geometric_mean(row.balance[number] for row in rows):>6.2f}"
        f"{geometric_mean(row.speed[number] for row in rows):>5.2f}"
        for number in threads
    )
    return f"{name:<36}" + "".join(cells)


def report(arguments):
    """Print the means of each table, batch and direction; each layer and the worst, if asked."""
    threads, rows = arguments.threads, []
    print(f"{'balance and speed, threads:':<36}" + "".join(f"{number:>9}  " for number in threads))
    for table, batch, direction in product(arguments.table, arguments.batch, arguments.direction):
        found = [
            Row(layer, direction, batch, threads, np.dtype(arguments.dtype))
            for layer in benchmark.load_table(table)
        ]
        if arguments.layers:
            for row in found:
                print(line(str(row), [row], threads))
        print(line(f"{table:<22} {direction:<8} {batch:>3}", found, threads), flush=True)
        rows += found
    if arguments.worst:
        print(f"\nthe worst {arguments.worst}:")
        every = ((row.balance[number], number, row) for row in rows for number in threads)
        for value, number, row in sorted(every, key=lambda item: item[0])[: arguments.worst]:
            print(
                f"{row.layer.table:<10} {row} on {number:>3} threads: balance {value:.2f}, speed "
                f"{row.speed[number]:.2f}, {row.tasks[number]} tasks in the longest phase"
            )


def measured(case, threads, rounds):
    """Return the phases with the least seconds of each task in some rounds."""
    best = list_phases(case, threads, timed=True)
    for _ in range(rounds - 1):
        again = list_phases(case, threads, timed=True)
        best = [
            (team, count, costs, list(map(min, seconds, more)))
            for (team, count, costs, seconds), (*_, more) in zip(best, again, strict=True)
        ]
    return best


def compare(arguments):
    """Print beside each other what tasks cost, and how long they take on one thread."""
    print("layer, direction, batch, threads: balance by costs and by times; G costs/s; shares of")
    print("the phases by costs and by times; spread of seconds/cost in the longest phase")
    apart = []
    for table, batch, direction, threads in product(
        arguments.table, arguments.batch, arguments.direction, arguments.threads
    ):
        for layer in benchmark.load_table(table):
            case = make_case(layer, direction, batch, np.dtype(arguments.dtype))
            phases = measured(case, threads, arguments.rounds)
            costs = [(team, costs) for team, _, costs, _ in phases]
            times = [(team, seconds) for team, _, _, seconds in phases]
            shares = [
                f"{sum(c) / total(costs):.0%} {sum(s) / total(times):.0%}"
                for (_, c), (_, s) in zip(costs, times, strict=True)
            ]
            _, _, longest, seconds = max(phases, key=lambda phase: sum(phase[3]))
            rates = np.array(seconds) / np.array(longest)
            apart.append(balance(costs, threads) - balance(times, threads))
            print(
                f"{layer!s:<22} {direction:<8} {batch:>3} {threads:>3}: "
                f"{balance(costs, threads):.2f} {balance(times, threads):.2f}; "
                f"{total(costs) / total(times) / 1e9:.0f}; {', '.join(shares[:4])}; "
                f"{rates.std() / rates.mean():.0%}",
                flush=True,
            )
    print(f"{len(apart)}: balance by costs less that by times, mean {np.mean(apart):.3f}, ", end="")
    print(f"from {min(apart):.2f} to {max(apart):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", nargs="+", default=benchmark.TABLES)
    directions = benchmark.DIRECTIONS
    parser.add_argument("--direction", nargs="+", default=directions, choices=directions)
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--threads", nargs="+", type=int, default=THREADS)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--layers", action="store_true", help="each layer, not the means alone")
    parser.add_argument("--worst", type=int, metavar="N", help="list the N lowest balances")
    parser.add_argument("--measure", action="store_true", help="run the tasks, and time them")
    parser.add_argument("--rounds", type=int, default=5, help="of --measure; the least time counts")
    arguments = parser.parse_args()
    if arguments.measure:
        compare(arguments)
    else:
        report(arguments)


if __name__ == "__main__":
    main()
