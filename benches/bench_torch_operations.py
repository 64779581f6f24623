"""PyTorch's batch normalisation and pooling with and without `fastconv.adapters.torch`.

    python benches/bench_torch_operations.py [--threads 2] [--all]

The two ways take turns in one process; results are compared before. Times are the least of many, in
microseconds, of forward (without recording) and of the gradient; the ratios are PyTorch's time over
that with the adapter. `--all` serves also the calls at which PyTorch was measured to be faster.
"""

import argparse
import time
from dataclasses import replace

import torch

import fastconv
from fastconv.adapters import torch as adapter
from fastconv.adapters.torch import _operations

SHAPES = (
    (8, 64, 112, 112), (8, 256, 56, 56), (8, 512, 28, 28), (8, 2048, 7, 7), (1, 64, 56, 56),
    (8, 16, 32, 32), (8, 16, 16, 16), (2, 8, 16, 16),
)  # fmt: skip
LAYERS = {
    "batch norm": torch.nn.BatchNorm2d,
    "the same, eval": lambda channels: torch.nn.BatchNorm2d(channels).eval(),
    "max 3x3/2": lambda channels: torch.nn.MaxPool2d(3, 2, 1),
    "max 2x2/2": lambda channels: torch.nn.MaxPool2d(2),
    "mean 2x2/2": lambda channels: torch.nn.AvgPool2d(2),
    "mean 3x3/1": lambda channels: torch.nn.AvgPool2d(3, 1, 1),
    "adaptive, 7x7": lambda channels: torch.nn.AdaptiveAvgPool2d(7),
}
OPS = ("batch_norm", "pool")
# Seconds for each of the two ways of a line.
BUDGET = 0.15


def least(call):
    """Return the least time of a call in seconds."""
    call()
    found, end = [], time.perf_counter() + BUDGET
    while time.perf_counter() < end or len(found) < 5:
        begin = time.perf_counter()
        call()
        found.append(time.perf_counter() - begin)
    return min(found)


def measure(layer, shape):
    """Return the times of forward and gradient, without and with the adapter."""
    x = torch.randn(shape, requires_grad=True)
    residual = torch.randn(layer(x).shape)
    times, results = [], []
    for ops in ((), OPS):
        adapter.enable(ops)
        y = layer(x)
        results.append((y.detach(), *torch.autograd.grad(y, x, residual, retain_graph=True)))
        with torch.no_grad():
            times.append(least(lambda: layer(x)))
        y = layer(x)
        times.append(least(lambda y=y: torch.autograd.grad(y, x, residual, retain_graph=True)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--all", action="store_true", help="serve all calls")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"torch {torch.__version__}, {given.threads} threads, {fastconv.isa()}")
    if given.all:
        for ways in _operations.WAYS.values():
            for name, way in ways.items():
                ways[name] = replace(way, least=0, wins=lambda *call: "")
    for name, build in LAYERS.items():
        for shape in SHAPES:
            if name == "adaptive, 7x7" and min(shape[2:]) < 7:
                continue
            forward, backward, ours, ours_backward = measure(build(shape[1]), shape)
            print(
                f"{name:<15} {'x'.join(map(str, shape)):<15}"
                f" forward {1e6 * forward:8.0f} {1e6 * ours:8.0f} {forward / ours:6.2f}"
                f"   gradient {1e6 * backward:8.0f} {1e6 * ours_backward:8.0f}"
                f" {backward / ours_backward:6.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
