"""Convolutions whose arrays come from memory, as in a training step, beside torch's.

    python benches/bench_cold.py [--direction weight ...] [--batch 8] [--threads 2] [--turns 5]

The 1x1 layers of ResNet-50. Inputs and residuals are one of several in turn, more than the caches
hold; "warm" is the same with a single one. Least times, in GFLOP/s, by turns in one process.
"""

import argparse
import time

import numpy as np
import torch

import fastconv
from fastconv import functional as F
from fastconv.benchmark.harness import wait_awake
from fastconv.engine.base.cache_sizes import cache_sizes

# Channels of input and output, and the size of the maps.
LAYERS = (
    (64, 256, 56), (256, 64, 56), (128, 512, 28), (512, 128, 28),
    (256, 1024, 14), (1024, 256, 14), (512, 2048, 7), (2048, 512, 7),
)  # fmt: skip
DIRECTIONS = ("forward", "input", "weight")
# torch's threads spin for some time after a call.
PAUSE = 0.05


def arrays(rng, shape):
    """Return arrays that do not fit the caches together, and as tensors."""
    one = rng.standard_normal(shape).astype(np.float32)
    count = max(2, 4 * cache_sizes()[2] // one.nbytes)
    found = [one + np.float32(i) for i in range(count)]
    return [(array, torch.from_numpy(array)) for array in found]


def ours(direction, x, weight, residual):
    """Compute a direction."""
    if direction == "forward":
        return F.conv2d(x, weight)
    if direction == "input":
        return F.conv2d_input(x.shape, weight, residual)
    return F.conv2d_weight(x, weight.shape, residual)


def theirs(direction, x, weight, residual):
    """Compute a direction by torch."""
    if direction == "forward":
        return torch.nn.functional.conv2d(x, weight)
    mask = [direction == "input", direction == "weight", False]
    found = torch.ops.aten.convolution_backward(
        residual, x, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, mask
    )
    return found[DIRECTIONS.index(direction) - 1]


def measure(direction, layer, options):
    """Print one line."""
    channels, kernels, size = layer
    rng = np.random.default_rng(0)
    inputs = arrays(rng, (options.batch, channels, size, size))
    residuals = arrays(rng, (options.batch, kernels, size, size))
    weight = rng.standard_normal((kernels, channels, 1, 1)).astype(np.float32)
    count = max(len(inputs), len(residuals))
    cases = [(inputs[i % len(inputs)], residuals[i % len(residuals)]) for i in range(count)]
    tensor = torch.from_numpy(weight)
    ways = {
        "warm": [lambda: ours(direction, inputs[0][0], weight, residuals[0][0])] * 8,
        "cold": [lambda x=x, d=d: ours(direction, x[0], weight, d[0]) for x, d in cases],
        "torch": [lambda x=x, d=d: theirs(direction, x[1], tensor, d[1]) for x, d in cases],
    }
    expected = ways["torch"][0]().numpy()
    error = np.abs(ways["cold"][0]() - expected).max() / np.abs(expected).max()
    if not error < 1e-4:
        raise SystemExit(f"{direction}: the results differ by {error:.1e}")
    least = dict.fromkeys(ways, np.inf)
    for _ in range(options.turns):
        for way, calls in ways.items():
            wait_awake(PAUSE)
            for call in calls:
                start = time.perf_counter()
                call()
                least[way] = min(least[way], time.perf_counter() - start)
    work = 2 * options.batch * channels * kernels * size**2 / 1e9
    rates = "  ".join(f"{way} {work / seconds:5.0f}" for way, seconds in least.items())
    ratio = least["torch"] / least["cold"]
    print(
        f"{direction:8} {channels:4}-{kernels:<4} @{size:<3} {rates}  ratio {ratio:.2f}", flush=True
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--direction", nargs="+", default=DIRECTIONS, choices=DIRECTIONS)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    fastconv.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    for direction in options.direction:
        for layer in LAYERS:
            measure(direction, layer, options)


if __name__ == "__main__":
    main()
