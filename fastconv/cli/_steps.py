"""``fastconv bench --step``: whole training steps of networks beside torch's."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click
import numpy as np

from fastconv import layers, models, training
from fastconv._check import Array
from fastconv.benchmark import torch_twin
from fastconv.benchmark.harness import interleaved
from fastconv.benchmark.rivals import threads_of_both
from fastconv.layers import Layer

# Of the scores of a whole network: both sides add up, but in other orders.
_SAME = {"float32": 1e-3, "float64": 1e-10}
_LR, _MOMENTUM = 1e-3, 0.9
# The size of an image, of those networks that are not for 3 x 224 x 224.
_IMAGES = {
    "lenet5": (1, 28, 28), "lenet5_relu": (1, 28, 28), "lenet_digits": (1, 8, 8),
    "resnet20": (3, 32, 32), "resnet32": (3, 32, 32), "resnet56": (3, 32, 32),
    "unet": (3, 256, 256),
}  # fmt: skip


def bench_steps(
    names: list[str], batch: int, dtype: str, threads: int, rival: str | None, seconds: float
) -> list[str]:
    """Time training steps in turns and print them; return what differs."""
    click.echo(
        f"forward, cross-entropy, backward and SGD with momentum; batch {batch}, {dtype}, "
        f"{threads} threads\n\n{'network':<14} {'image':<12} {'images/s':>9} {'step':>11} "
        f"{rival or '':>11} {'ratio':>6}"
    )
    wrong = []
    for name in names:
        shape = (batch, *_IMAGES.get(name, (3, 224, 224)))
        net: Layer = getattr(models, name)(rng=0, dtype=np.dtype(dtype)).eval()
        images = np.random.default_rng(0).standard_normal(shape).astype(dtype)
        scores = net(images)
        places = (batch, *scores.shape[2:])
        target = np.random.default_rng(1).integers(scores.shape[1], size=places)
        with threads_of_both(threads, rival):
            calls, left_out = [], None
            if rival == "torch":
                try:
                    twin = torch_twin(net)
                except ValueError as error:
                    left_out = str(error)
                else:
                    difference = _difference(twin, images, scores)
                    if not difference <= _SAME[dtype]:
                        wrong.append(f"{name}: the scores differ by {difference:.2g} from torch's")
                    calls.append(_their_step(twin.train(), images, target))
            calls.insert(0, _our_step(net.train(), images, target))
            times = [min(samples) for samples in interleaved(calls, seconds)]
        size = "x".join(map(str, shape[1:]))
        line = f"{name:<14} {size:<12} {batch / times[0]:>9.1f} {times[0] * 1e3:>8.2f} ms"
        if len(times) > 1:
            line += f" {times[1] * 1e3:>8.2f} ms {times[1] / times[0]:>6.2f}"
        click.echo(line + (f"  alone: {left_out}" if left_out else ""))
    return wrong


def _difference(twin: Any, images: Array, scores: Array) -> float:
    """Return the largest difference between torch's scores and ours, over the largest score."""
    torch = import_module("torch")
    with torch.no_grad():
        theirs = twin(torch.from_numpy(images)).numpy()
    return float(np.abs(theirs - scores).max() / np.abs(scores).max())


def _our_step(net: Layer, images: Array, target: Any) -> Callable[[], Any]:
    optimizer = training.SGD(net.parameters(), lr=_LR, momentum=_MOMENTUM)
    loss = layers.CrossEntropyLoss()

    def step() -> None:
        loss(net(images), target)
        net.zero_grad()
        net.backward(loss.backward(), input_grad=False)
        optimizer.step()

    return step


def _their_step(net: Any, images: Array, target: Any) -> Callable[[], Any]:
    torch = import_module("torch")
    optimizer = torch.optim.SGD(net.parameters(), lr=_LR, momentum=_MOMENTUM)
    x, classes = torch.from_numpy(images), torch.from_numpy(target)

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), classes).backward()
        optimizer.step()

    return step
