"""Calls beside other processes that want the cores: how much slower, in the mean.

    python benches/bench_busy.py [--neighbours 1 2 4] [--runs 10] [--seconds 1] [--threads 2]

A neighbour is a process that computes and never sleeps. Each case is measured alone, then beside
the neighbours; the figure is the mean time beside them over the mean time alone. On two cores two
neighbours leave half of the time: 2 is a fair share. Nothing else may run on the machine.
"""

import argparse
import statistics
import subprocess
import sys
import time
from math import prod

import numpy as np

import fastconv
from fastconv import functional as F
from fastconv import layers, models, training

NEIGHBOUR = [sys.executable, "-c", "while True: pass"]


def conv(n, c, size, k, kernel, padding):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, c, size, size), np.float32)
    weight = rng.standard_normal((k, c, kernel, kernel), np.float32)
    return lambda: F.conv2d(x, weight, None, 1, padding)


def average():
    x = np.random.default_rng(0).standard_normal((8, 16, 32, 32), np.float32)
    return lambda: F.avg_pool2d(x, 2)


def lenet_step():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 1, 28, 28), np.float32), rng.integers(0, 10, 64)
    net, loss = models.lenet5(), layers.CrossEntropyLoss()
    optimizer = training.SGD(net.parameters(), lr=0.01, momentum=0.9)

    def step():
        optimizer.zero_grad()
        loss(net(x), y)
        net.backward(loss.backward(), input_grad=False)
        optimizer.step()

    return step


CASES = {
    "5x5 6-16@14, batch 64": lambda: conv(64, 6, 14, 16, 5, 0),
    "3x3 64-64@56, batch 8": lambda: conv(8, 64, 56, 64, 3, 1),
    "1x1 256-64@56, batch 1": lambda: conv(1, 256, 56, 64, 1, 0),
    "2x2 average 16@32, batch 8": average,
    "LeNet-5 step, batch 64": lenet_step,
}


def mean_time(call, seconds):
    """Return the mean time of a call over so many seconds."""
    count, start = 0, time.perf_counter()
    while (now := time.perf_counter()) < start + seconds:
        call()
        count += 1
    return (now - start) / count


def measure(call, neighbours, seconds):
    """Return the mean times alone and beside so many neighbours."""
    mean_time(call, 0.1)
    alone = mean_time(call, seconds / 2)
    others = [subprocess.Popen(NEIGHBOUR) for _ in range(neighbours)]
    try:
        time.sleep(0.3)
        return alone, mean_time(call, seconds)
    finally:
        for other in others:
            other.kill()
            other.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neighbours", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each case of a run")
    parser.add_argument("--threads", type=int, default=fastconv.get_num_threads())
    given = parser.parse_args()
    fastconv.set_num_threads(given.threads)
    print(f"{given.threads} threads, {fastconv.isa()}; mean time beside others / alone")
    calls = {name: make() for name, make in CASES.items()}
    for neighbours in given.neighbours:
        print(f"\nbeside {neighbours}: the runs in order of size, the median, and us alone")
        medians = []
        for name, call in calls.items():
            pairs = [measure(call, neighbours, given.seconds) for _ in range(given.runs)]
            ratios = sorted(beside / alone for alone, beside in pairs)
            medians.append(statistics.median(ratios))
            alone = statistics.median(alone for alone, _ in pairs)
            print(
                f"{name:<36}{' '.join(f'{ratio:.1f}' for ratio in ratios)}"
                f"  {medians[-1]:.2f}  {1e6 * alone:.0f}",
                flush=True,
            )
        print(f"{'geometric mean of the medians':<36}{prod(medians) ** (1 / len(medians)):.2f}")


if __name__ == "__main__":
    main()
