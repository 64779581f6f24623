"""How evenly the tasks of each layer can be shared among threads, on paper.

    python benches/balance.py [--table resnet50 ...] [--direction forward ...] [--batch 1 8 32]
                              [--threads 1 2 4 ...] [--dtype float32] [--layers] [--worst 10]
    python benches/balance.py --measure [...]

Nothing is computed and no thread is started: every kernel makes its plan for so many threads, and
lists its phases with what each task costs (fastconv/engine/base/costs.pxd). The balance is

    cost of all tasks / (threads x what the busiest thread does, phase after phase)

which is 1 where all threads are busy all the time, and 1/threads where one does everything. A layer
that is too small for so many threads uses fewer, and its balance says so. A phase begins when the
one before is done. In it each thread first has an equal number of neighbouring tasks; one that has
no more takes single tasks of another.

With --measure the tasks run, one after the other on one thread, and are timed: what is said of the
costs is true as far as cost and time agree. That is the balance by times in place of costs, and the
time of a unit of cost in each phase, beside that of the whole layer.
"""

import argparse
from dataclasses import replace
from heapq import heapify, heapreplace
from itertools import product

import numpy as np

import fastconv
from fastconv import benchmark
from fastconv.benchmark.report import geometric_mean
from fastconv.benchmark.rivals import Case, fastconv_call, make_case
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


def balance(phases, threads):
    """Return the balance of phases, given as pairs: the threads that take part, and the costs."""
    total = sum(sum(costs) for _, costs in phases)
    busiest = sum(makespan(costs, team) for team, costs in phases)
    return total / (threads * busiest)


def empty_case(layer, direction, batch, dtype):
    """Return the case with operands that nobody has written, whose memory is not touched."""
    case = make_case(replace(layer, size=(1, 1), kernel=(1, 1), padding=(0, 0)), direction, 1, dtype)
    geometry = layer.geometry(batch)
    shapes = {
        "forward": (geometry.input_shape, geometry.weight_shape, geometry.output_shape),
        "input": (geometry.weight_shape, geometry.output_shape, geometry.input_shape),
        "weight": (geometry.input_shape, geometry.output_shape, geometry.weight_shape),
    }
    first, second, result = shapes[direction]
    return replace(
        case,
        layer=layer,
        batch=batch,
        first=np.empty(first, dtype),
        second=np.empty(second, dtype),
        result=result,
    )


def phases_of(case, threads, timed=False):
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
