"""Training steps and passes of whole networks, beside PyTorch's, in turns in one process.

    python benches/bench_networks.py [NETWORK ...] [--threads 2] [--seconds 30] [--inference 1]
        [--channels-last] [--compile] [--single] [--kept] [--memory]

A step is forward, cross-entropy, backward and SGD with momentum on random numbers; `--inference N`
times forward passes of N images, in evaluation mode, instead. The ratios are PyTorch's least times
over ours, and so are those of `--single`: our network with batch norm, residual and ReLU each by
itself; and of `--kept`: our network that computes nothing again in backward.

`--memory` measures by how much a process that trains grows at most over what it was before the
network was built, each way in a process of its own, over five steps.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch_networks import NETWORKS

import fastconv
from fastconv import layers, models, training
from fastconv.benchmark.harness import wait_awake

# PyTorch's eager mode spins for some time after a step, on the cores that ours would need.
PAUSE = 0.05
# Short steps are repeated for so long.
TURN = 0.1


def their_way(build, shape, trains, channels_last=False, compiled=False):
    """Return what PyTorch does in a turn."""
    torch.manual_seed(0)
    model, images = build().train(trains), torch.randn(shape)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    if compiled:
        model = torch.compile(model)
    if not trains:
        return lambda: run_without_gradients(model, images)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    target = torch.arange(shape[0]) % 10

    def step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), target).backward()
        optimizer.step()

    return step


@torch.inference_mode()
def run_without_gradients(model, images):
    """Return PyTorch's output."""
    return model(images)


def our_way(name, shape, trains, single=False, kept=False):
    """Return what we do in a turn."""
    net = getattr(models, name)(rng=0).train(trains).recompute_(not kept)
    if single:
        # What has a hook is computed by itself.
        for layer in net.layers():
            if isinstance(layer, layers.ReLU):
                layer.register_forward_hook(lambda *_: None)
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    if not trains:
        net.prepare()
        return lambda: net(images)
    optimizer = training.SGD(net.parameters(), lr=1e-4, momentum=0.9)
    loss, target = layers.CrossEntropyLoss(), np.arange(shape[0]) % 10

    def step():
        net.zero_grad()
        loss(net(images), target)
        net.backward(loss.backward(), input_grad=False)
        optimizer.step()

    return step


def measure(name, options):
    """Print one line of the table."""
    build, shape = NETWORKS[name]
    trains = options.inference is None
    if not trains:
        shape = (options.inference, *shape[1:])
    ways = {"torch": their_way(build, shape, trains), "ours": our_way(name, shape, trains)}
    if options.channels_last:
        ways["channels_last"] = their_way(build, shape, trains, channels_last=True)
    if options.compile:
        ways["compile"] = their_way(build, shape, trains, channels_last=True, compiled=True)
    for way in ("single", "kept"):
        if getattr(options, way):
            ways[way] = our_way(name, shape, trains, **{way: True})
    for run in ways.values():
        run()
    found = {way: [] for way in ways}
    begin = time.perf_counter()
    while time.perf_counter() - begin < options.seconds or len(found["ours"]) < 3:
        for way, run in ways.items():
            wait_awake(PAUSE)
            turn = time.perf_counter()
            while not found[way] or time.perf_counter() - turn < TURN:
                start = time.perf_counter()
                run()
                found[way].append(time.perf_counter() - start)
    ours = min(found.pop("ours"))
    ratios = "  ".join(f"{way} {min(times) / ours:5.2f}" for way, times in found.items())
    print(f"{name:14} batch {shape[0]:2}  ours {1e3 * ours:8.1f} ms  {ratios}", flush=True)


def resident(what):
    """Return the memory of this process in MiB: now (VmRSS), or the most so far (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def growth(name, ours):
    """Return by how much this process grows at most in a few steps."""
    build, shape = NETWORKS[name]
    before = resident("VmRSS")
    step = our_way(name, shape, True) if ours else their_way(build, shape, True)
    for _ in range(5):
        step()
    return resident("VmHWM") - before


def measure_memory(name, options):
    """Print how much memory each way takes, in a process of its own."""
    found = []
    for side in ("torch", "ours"):
        command = [sys.executable, __file__, name, "--threads", str(options.threads)]
        run = subprocess.run([*command, "--grow", side], capture_output=True, check=True, text=True)
        found.append(float(run.stdout.split()[-1]))
    theirs, ours = found
    print(f"{name:14} PyTorch {theirs:6.0f} MiB  ours {ours:6.0f} MiB  {ours / theirs:.2f}")


def main():
    both = [name for name in NETWORKS if name in models.__all__]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=both)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=30, help="for each network")
    parser.add_argument("--inference", type=int, metavar="N", help="images, in place of training")
    parser.add_argument("--channels-last", action="store_true", help="time PyTorch's format, too")
    parser.add_argument("--compile", action="store_true", help="time torch.compile, too")
    parser.add_argument("--kept", action="store_true", help="time ours with everything kept, too")
    parser.add_argument("--memory", action="store_true", help="measure memory, not time")
    parser.add_argument("--grow", choices=("torch", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--single", action="store_true", help="time our single layers, too")
    options = parser.parse_args()
    for name in options.networks:
        if name not in both:
            parser.error(f"{name!r} is none of {', '.join(both)}")
    torch.set_num_threads(options.threads)
    fastconv.set_num_threads(options.threads)
    print(f"{fastconv.isa()}, {options.threads} threads, PyTorch {torch.__version__}")
    for name in options.networks:
        if options.grow:
            print(growth(name, options.grow == "ours"))
        elif options.memory:
            measure_memory(name, options)
        else:
            measure(name, options)


if __name__ == "__main__":
    main()
