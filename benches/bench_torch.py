"""Training steps of PyTorch with and without `fastconv.adapters.torch`, in turns in one process.

    python benches/bench_torch.py [NETWORK ...] [--threads 2] [--steps 4] [--turns 3]
                                  [--ops convolution batch_norm pool]
    python benches/bench_torch.py --layers resnet50 alexnet [--batch 8] [--channels-last] [--all]

A step is forward, loss, backward and SGD on random numbers. Three ways take turns: PyTorch as it
is, the same in channels_last, and with the adapter. The ratios are PyTorch's least times over the
adapter's; a last step with `profile=True` says what part of the convolutions' time was served.
With `--layers` the layers of tables are timed instead, each direction by itself; `--all` has also
those served at which PyTorch was measured to be faster.
"""

import argparse
import statistics
import time

import torch
from torch_networks import NETWORKS

import fastconv
from fastconv.adapters import torch as adapter
from fastconv.adapters.torch import _routes
from fastconv.benchmark.tables import load_table


def make_step(build, shape, channels_last):
    torch.manual_seed(0)
    model, images = build(), torch.randn(shape)
    if channels_last:
        formats = {4: torch.channels_last, 5: torch.channels_last_3d}
        if len(shape) not in formats:
            return None
        model = model.to(memory_format=formats[len(shape)])
        images = images.contiguous(memory_format=formats[len(shape)])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def step():
        optimizer.zero_grad()
        output = model(images)
        target = torch.zeros(output.shape[:1] + output.shape[2:], dtype=torch.int64)
        torch.nn.functional.cross_entropy(output, target).backward()
        optimizer.step()

    return step


def times(step, count):
    found = []
    for _ in range(count):
        begin = time.perf_counter()
        step()
        found.append(time.perf_counter() - begin)
    return found


def measure(name, steps, turns, channels_last, ops):
    build, shape = NETWORKS[name]
    plain = make_step(build, shape, False)
    ways = {"plain": (plain, False), "adapter": (plain, True)}
    last = make_step(build, shape, True) if channels_last else None
    if last:
        ways |= {"last": (last, False), "last and adapter": (last, True)}
    found = {way: [] for way in ways}
    for _ in range(turns):
        for way, (step, enabled) in ways.items():
            if enabled:
                adapter.enable(ops)
            # The first step of a turn meets cold caches, and memory in the other's sizes.
            found[way] += times(step, steps + 1)[1:]
            adapter.disable()
    with adapter.enabled(ops, profile=True):
        times(plain, 2)
    share = adapter.stats().share
    least = {way: min(seconds) for way, seconds in found.items()}
    middle = {way: statistics.median(seconds) for way, seconds in found.items()}
    ours = least["adapter"]
    cells = [
        f"{1e3 * least['plain']:8.0f} ms {1e3 * ours:8.0f} ms  "
        f"ratio {least['plain'] / ours:.2f} (medians {middle['plain'] / middle['adapter']:.2f})"
    ]
    if last:
        cells.append(
            f"channels_last {least['last'] / ours:.2f}, "
            f"with the adapter {least['last'] / least['last and adapter']:.2f}"
        )
    return f"{name:<14}" + "  ".join([*cells, f"served {share:.0%}"])


def measure_layer(layer, batch, channels_last, turns):
    sizes = layer.geometry(batch)
    shapes = sizes.input_shape, sizes.weight_shape, sizes.output_shape
    format = torch.channels_last if channels_last else torch.contiguous_format
    x, w, y = (torch.randn(shape).contiguous(memory_format=format) for shape in shapes)
    padding = [before for before, _ in sizes.padding]
    arguments = sizes.stride, padding, sizes.dilation, False, [0, 0], sizes.groups
    backward = torch.ops.aten.convolution_backward
    directions = {
        "forward": lambda: torch.convolution(x, w, None, *arguments),
        "input": lambda: backward(y, x, w, None, *arguments, [True, False, False]),
        "weight": lambda: backward(y, x, w, None, *arguments, [False, True, False]),
    }
    cells = []
    for name, call in directions.items():
        least = {False: 1e9, True: 1e9}
        for _ in range(turns):
            for enabled in least:
                if enabled:
                    adapter.enable()
                least[enabled] = min(least[enabled], *times(call, 8)[1:])
                adapter.disable()
        cells.append(f"{name} {least[False] / least[True]:5.2f} ({1e3 * least[True]:.2f} ms)")
    return "  ".join(cells)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=list(NETWORKS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4, help="of each way in a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--channels-last", action="store_true", help="time it in that format, too")
    parser.add_argument("--ops", nargs="+", default=["convolution"], help="what the adapter serves")
    parser.add_argument("--layers", nargs="+", metavar="TABLE", help="in place of networks")
    parser.add_argument("--batch", type=int, default=8, help="of layers")
    parser.add_argument("--all", action="store_true", help="serve all layers")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"torch {torch.__version__}, {given.threads} threads, {fastconv.isa()}")
    if given.all:
        _routes.slower = lambda *case: ""
    for table in given.layers or ():
        for layer in load_table(table):
            found = measure_layer(layer, given.batch, given.channels_last, given.turns)
            print(f"{table:<10} {layer!s:<24} {found}", flush=True)
    for name in () if given.layers else given.networks:
        print(measure(name, given.steps, given.turns, given.channels_last, given.ops), flush=True)
        print(adapter.stats())


if __name__ == "__main__":
    main()
