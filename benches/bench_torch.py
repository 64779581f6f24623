"""Training steps of PyTorch with and without `fastconv.adapters.torch`, in turns in one process.

    python benches/bench_torch.py [NETWORK ...] [--threads 2] [--steps 4] [--turns 3]
                                  [--ops convolution batch_norm pool linear]
                                  [--channels-last] [--compile]
    python benches/bench_torch.py --inference [NETWORK ...] [--batch 1]
    python benches/bench_torch.py --layers resnet50 alexnet [--batch 8] [--channels-last] [--all]

A step is forward, loss, backward and SGD on random numbers. Several ways take turns: PyTorch as it
is, and with the adapter; if asked for, both in channels_last, and both compiled by inductor. The
ratios are PyTorch's least times over the adapter's; a last step with `profile=True` says what part
of the operations' time was served.
With `--inference`, what `optimize` makes of a network takes turns with PyTorch as it is, and in
channels_last. With `--layers` the layers of tables are timed instead, each direction by itself;
`--all` has also those served at which PyTorch was measured to be faster.
"""

import argparse
import copy
import statistics
import time
from functools import partial

import torch
from torch_networks import NETWORKS

import fastconv
from fastconv.adapters import torch as adapter
from fastconv.adapters.torch import _routes
from fastconv.benchmark.tables import load_table

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def make_step(build, shape, channels_last=False, compiled=False):
    torch.manual_seed(0)
    model, images = build(), torch.randn(shape)
    if channels_last:
        model = model.to(memory_format=FORMATS[len(shape)])
        images = images.contiguous(memory_format=FORMATS[len(shape)])
    if compiled:
        model = torch.compile(model)
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


def take_turns(ways, steps, turns):
    """Return the times of each way: what it calls, and what the adapter serves meanwhile."""
    found = {way: [] for way in ways}
    for _ in range(turns):
        for way, (step, ops) in ways.items():
            if ops:
                adapter.enable(ops)
            # The first step of a turn meets cold caches, and memory in the other's sizes.
            found[way] += times(step, steps + 1)[1:]
            adapter.disable()
    return found


def measure(name, given):
    build, shape = NETWORKS[name]
    plain = make_step(build, shape)
    steps = {"plain": plain}
    if given.channels_last and len(shape) in FORMATS:
        steps["channels_last"] = make_step(build, shape, channels_last=True)
    if given.compile:
        steps["compiled"] = make_step(build, shape, compiled=True)
    ways = {}
    for way, step in steps.items():
        ways |= {way: (step, ()), f"{way}, adapter": (step, given.ops)}
    found = take_turns(ways, given.steps, given.turns)
    with adapter.enabled(given.ops, profile=True):
        times(plain, 2)
    share = adapter.stats().share
    least = {way: min(seconds) for way, seconds in found.items()}
    middle = {way: statistics.median(seconds) for way, seconds in found.items()}
    ours = "plain, adapter"
    cells = [
        f"{1e3 * least['plain']:8.0f} ms {1e3 * least[ours]:8.0f} ms  "
        f"ratio {least['plain'] / least[ours]:.2f} (medians {middle['plain'] / middle[ours]:.2f})"
    ]
    for way in list(steps)[1:]:
        with_it = least[way] / least[f"{way}, adapter"]
        cells.append(f"{way} {least[way] / least[ours]:.2f}, with the adapter {with_it:.2f}")
    return f"{name:<14}" + "  ".join([*cells, f"served {share:.0%}"])


def measure_inference(name, given):
    build, shape = NETWORKS[name]
    torch.manual_seed(0)
    images = torch.randn(given.batch, *shape[1:])
    model = build().eval()
    fast = adapter.optimize(model, images)
    ways = {"plain": (model, images), "optimized": (fast, images)}
    if len(shape) in FORMATS:
        format = FORMATS[len(shape)]
        last = copy.deepcopy(model).to(memory_format=format)
        ways["channels_last"] = last, images.contiguous(memory_format=format)
    with torch.no_grad():
        found = take_turns(
            {way: (partial(module, x), ()) for way, (module, x) in ways.items()},
            5 * given.steps,
            2 * given.turns,
        )
    least = {way: min(seconds) for way, seconds in found.items()}
    ours = least.pop("optimized")
    ratios = "  ".join(f"{way} {seconds / ours:.2f}" for way, seconds in least.items())
    return f"{name:<14} optimized {1e3 * ours:7.2f} ms  {ratios}"


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
    parser.add_argument("--compile", action="store_true", help="time torch.compile, too")
    parser.add_argument("--inference", action="store_true", help="time `optimize` instead")
    parser.add_argument("--ops", nargs="+", default=["convolution"], help="what the adapter serves")
    parser.add_argument("--layers", nargs="+", metavar="TABLE", help="in place of networks")
    parser.add_argument("--batch", type=int, help="of layers (8) or inference (1)")
    parser.add_argument("--all", action="store_true", help="serve all layers")
    given = parser.parse_args()
    given.batch = given.batch or (1 if given.inference else 8)
    torch.set_num_threads(given.threads)
    print(f"torch {torch.__version__}, {given.threads} threads, {fastconv.isa()}")
    if given.all:
        _routes.slower = lambda *case: ""
    for table in given.layers or ():
        for layer in load_table(table):
            found = measure_layer(layer, given.batch, given.channels_last, given.turns)
            print(f"{table:<10} {layer!s:<24} {found}", flush=True)
    for name in () if given.layers else given.networks:
        if given.inference:
            print(measure_inference(name, given), flush=True)
            continue
        print(measure(name, given), flush=True)
        print(adapter.stats())


if __name__ == "__main__":
    main()
