"""What a call costs that is shared among threads, and calls from several Python threads at once.

    python benches/bench_threads.py [--threads 2]

First loops of empty tasks: one after the other, so that the workers are awake, and with a pause
before each, so that they sleep. Then eight Python threads that call at once, over one thread after
the other: above 1 they gain. Nothing else may run on the machine.
"""

import argparse
import statistics
import threading
import time

import numpy as np

import fastconv
from fastconv import functional as F
from fastconv.engine.base.threads import run_empty

CALLERS = 8
# Batch, channels, size of the maps.
CONVS = {"8-8@14, batch 1": (1, 8, 14), "16-16@28, batch 4": (4, 16, 28), "64-64@28": (8, 64, 28)}


def bench_empty(threads):
    print("an empty call, us: awake (least), asleep (least, median of 300)")
    for tasks in (1, 2, 8, 64):
        awake = []
        for _ in range(7):
            start = time.perf_counter()
            run_empty(threads, tasks, 20_000)
            awake.append((time.perf_counter() - start) / 20_000)
        asleep = []
        for _ in range(300):
            time.sleep(0.002)
            start = time.perf_counter()
            run_empty(threads, tasks, 1)
            asleep.append(time.perf_counter() - start)
        print(
            f"{tasks:>4} tasks {1e6 * min(awake):6.2f} {1e6 * min(asleep):6.2f} "
            f"{1e6 * statistics.median(asleep):6.2f}"
        )


def make_call(n, c, size):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, c, size, size), np.float32)
    weight = rng.standard_normal((c, c, 3, 3), np.float32)
    return lambda: F.conv2d(x, weight, None, 1, 1)


def repeat(call, times):
    for _ in range(times):
        call()


def bench_callers(threads):
    print(f"\n{CALLERS} Python threads at once, over one after the other (three turns)")
    for name, shape in CONVS.items():
        for limit in sorted({1, threads}):
            fastconv.set_num_threads(limit)
            calls = [make_call(*shape) for _ in range(CALLERS)]
            repeat(calls[0], 200)
            start = time.perf_counter()
            repeat(calls[0], 200)
            one = (time.perf_counter() - start) / 200
            times = max(20, int(0.25 / one))
            gains = []
            for _ in range(3):
                start = time.perf_counter()
                for call in calls:
                    repeat(call, times)
                after = time.perf_counter() - start
                callers = [threading.Thread(target=repeat, args=(call, times)) for call in calls]
                start = time.perf_counter()
                for caller in callers:
                    caller.start()
                for caller in callers:
                    caller.join()
                gains.append(after / (time.perf_counter() - start))
            print(
                f"{name:<20} {limit} threads a call, {1e6 * one:6.1f} us: "
                + " ".join(f"{gain:.2f}" for gain in gains)
            )
    fastconv.set_num_threads(threads)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=fastconv.get_num_threads())
    given = parser.parse_args()
    fastconv.set_num_threads(given.threads)
    print(f"{given.threads} threads, {fastconv.isa()}")
    bench_empty(given.threads)
    bench_callers(given.threads)


if __name__ == "__main__":
    main()
