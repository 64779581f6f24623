"""LeNet-5 against the same network in torch: its convolutions, a training step, whole epochs.

    python benches/bench_lenet.py [--threads 2] [--parts | --step] [--data DIRECTORY [--epochs 5]]

The two networks begin with the same weights and see the same batches; results are compared before
anything is timed. Both sides are timed in interleaved blocks with a pause between, because the
thread pools of the two libraries spin against each other. --parts times each layer, the loss and
the optimizer by themselves, --step the step alone. DIRECTORY holds IDX files (MNIST,
Fashion-MNIST); without it there are no epochs.
"""

import argparse
import time

import numpy as np
import torch

import fastconv
from fastconv import functional as F
from fastconv import layers, models, training
from fastconv.benchmark.harness import wait_awake

BATCH = 64
PAUSE = 0.1  # seconds


def torch_lenet5(net):
    """Return the torch twin of a fastconv LeNet-5, with the same weights."""
    from torch import nn

    twin = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, 10),
    )
    twin.load_state_dict({key: torch.from_numpy(v.copy()) for key, v in net.state_dict().items()})
    return twin


def our_step(net, loss, optimizer, x, y):
    optimizer.zero_grad()
    value = loss(net(x), y)
    net.backward(loss.backward(), input_grad=False)
    optimizer.step()
    return float(value)


def torch_step(net, loss, optimizer, x, y):
    optimizer.zero_grad()
    value = loss(net(x), y)
    value.backward()
    optimizer.step()
    return value.item()


def rivals(lr=0.05):
    """Return the two networks with their losses and optimizers, in the same state."""
    net = models.lenet5(rng=0)
    twin = torch_lenet5(net)
    return (
        (net, layers.CrossEntropyLoss(), training.SGD(net.parameters(), lr, momentum=0.9)),
        (twin, torch.nn.CrossEntropyLoss(), torch.optim.SGD(twin.parameters(), lr, momentum=0.9)),
    )


def verify(x, y):
    """Compare ten losses of the two."""
    ours, theirs = rivals()
    for _ in range(10):
        mine = our_step(*ours, x, y)
        other = torch_step(*theirs, torch.from_numpy(x), torch.from_numpy(y))
        assert abs(mine - other) < 1e-4 * abs(other), (mine, other)


def timed(function, repeat):
    """Return the seconds of each of `repeat` calls."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return seconds


def interleaved(ours, theirs, rounds=10, repeat=50):
    """Return the seconds of each call of two rivals, timed in turns."""
    mine, other = [], []
    for _ in range(rounds):
        wait_awake(PAUSE)
        mine += timed(ours, repeat)
        wait_awake(PAUSE)
        other += timed(theirs, repeat)
    return mine, other


def bench_convolutions(batch):
    """Time the two convolutions of LeNet-5 and their gradients."""
    rng = np.random.default_rng(0)
    for inputs, outputs, size, padding in ((1, 6, 28, 2), (6, 16, 14, 0)):
        x = rng.standard_normal((batch, inputs, size, size)).astype(np.float32)
        w = rng.standard_normal((outputs, inputs, 5, 5)).astype(np.float32)
        dy = F.conv2d(x, w, padding=padding)
        tx, tw, tdy = map(torch.from_numpy, (x, w, dy))

        def backward(*mask, tx=tx, tw=tw, tdy=tdy, padding=padding):
            return torch.ops.aten.convolution_backward(
                tdy, tx, tw, None, [1, 1], [padding] * 2, [1, 1], False, [0, 0], 1, mask
            )

        def forward(tx=tx, tw=tw, padding=padding):
            return torch.nn.functional.conv2d(tx, tw, padding=padding)

        pairs = {
            "forward": (lambda: F.conv2d(x, w, padding=padding), forward),  # noqa: B023
            "input gradient": (
                lambda: F.conv2d_input(x.shape, w, dy, padding=padding),  # noqa: B023
                lambda: backward(True, False, False)[0],
            ),
            "weight gradient": (
                lambda: F.conv2d_weight(x, w.shape, dy, padding=padding),  # noqa: B023
                lambda: backward(False, True, False)[1],
            ),
        }
        for name, (ours, theirs) in pairs.items():
            error = np.abs(ours() - theirs().numpy()).max() / np.abs(ours()).max()
            assert error < 1e-4, (name, error)
            mine, other = map(min, interleaved(ours, theirs, rounds=5))
            flops = 2 * dy.size * w[0].size
            print(
                f"{inputs:2}-{outputs:<2} 5x5, batch {batch:2}, {name:15}: fastconv "
                f"{1e6 * mine:5.0f} us, {flops / mine / 1e9:5.1f} GFLOP/s; torch "
                f"{1e6 * other:5.0f} us; ratio {other / mine:.2f}"
            )


def bench_step(x, y):
    ours, theirs = rivals()
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    mine, other = interleaved(lambda: our_step(*ours, x, y), lambda: torch_step(*theirs, tx, ty))
    print(
        f"step, batch {len(x)}: fastconv {1e3 * min(mine):.2f} ms (median "
        f"{1e3 * np.median(mine):.2f}), torch {1e3 * min(other):.2f} ms (median "
        f"{1e3 * np.median(other):.2f}), ratio of minima {min(other) / min(mine):.2f}"
    )


def layer_pairs(net, twin, x):
    """Yield for each layer its name, and forward and forward with backward of both rivals."""
    for number, (layer, other) in enumerate(zip(net, twin, strict=True)):
        theirs = torch.from_numpy(x).requires_grad_(number > 0)
        output = layer.forward(x)
        residual = np.random.default_rng(1).standard_normal(output.shape).astype(output.dtype)
        their_residual = torch.from_numpy(residual)
        inputs = [theirs] * (number > 0) + list(other.parameters())

        def both(layer=layer, x=x, residual=residual, input_grad=number > 0):
            layer.zero_grad()
            layer.forward(x)
            layer.backward(residual, input_grad=input_grad)

        def their_both(other=other, x=theirs, residual=their_residual, inputs=inputs):
            torch.autograd.grad(other(x), inputs, residual)

        yield (
            f"{number} {type(layer).__name__}",
            (lambda layer=layer, x=x: layer.forward(x), lambda other=other, x=theirs: other(x)),
            (both, their_both),
        )
        x = output


def bench_parts(x, y):
    """Time what a step consists of; a backward pass is what it adds to the forward pass."""
    (net, loss, optimizer), (twin, other_loss, other_optimizer) = rivals()
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    our_step(net, loss, optimizer, x, y)
    torch_step(twin, other_loss, other_optimizer, tx, ty)
    scores = net(x)
    their_scores = torch.from_numpy(scores).requires_grad_()

    def losses():
        loss(scores, y)
        return loss.backward()

    def their_losses():
        return torch.autograd.grad(other_loss(their_scores, ty), their_scores)

    rest = {
        "loss, both ways": (losses, their_losses),
        "optimizer": (optimizer.step, other_optimizer.step),
    }
    sums = np.zeros(2)
    print(f"{'part of a step, us':22} fastconv  torch")
    for name, forward, both in layer_pairs(net, twin, x):
        first = 1e6 * np.array(list(map(min, interleaved(*forward, rounds=5))))
        second = 1e6 * np.array(list(map(min, interleaved(*both, rounds=5)))) - first
        for way, (mine, other) in (("forward", first), ("backward", second)):
            print(f"{name + ' ' + way:22} {mine:8.0f} {other:6.0f}")
        if not name.endswith(("Conv2d", "Linear")):
            sums += first + second
    for name, pair in rest.items():
        mine, other = (1e6 * min(seconds) for seconds in interleaved(*pair, rounds=5))
        print(f"{name:22} {mine:8.0f} {other:6.0f}")
        sums += mine, other
    print(f"{'all but products':22} {sums[0]:8.0f} {sums[1]:6.0f}, ratio {sums[1] / sums[0]:.2f}")


def bench_overhead():
    """Time a step that computes next to nothing, with all layers and parameters of LeNet-5."""
    rng = np.random.default_rng(0)
    net = layers.Sequential(
        layers.Conv2d(1, 1, 1, rng=rng),
        layers.Tanh(),
        layers.AvgPool2d(1),
        layers.Conv2d(1, 1, 1, rng=rng),
        layers.Tanh(),
        layers.AvgPool2d(1),
        layers.Flatten(),
        layers.Linear(1, 1, rng=rng),
        layers.Tanh(),
        layers.Linear(1, 1, rng=rng),
        layers.Tanh(),
        layers.Linear(1, 2, rng=rng),
    )
    loss = layers.CrossEntropyLoss()
    optimizer = training.SGD(net.parameters(), 0.05, momentum=0.9)
    x, y = np.ones((1, 1, 1, 1), np.float32), np.zeros(1, np.int64)
    seconds = timed(lambda: our_step(net, loss, optimizer, x, y), 2000)
    print(
        f"overhead of a step, LeNet-5's layers on one pixel: {1e6 * min(seconds):.0f} us "
        f"(median {1e6 * np.median(seconds):.0f})"
    )


def torch_epoch(net, loss, optimizer, dataset, epoch):
    """Train one epoch in torch, on the batches that `fit` takes."""
    net.train()
    images, labels = torch.from_numpy(dataset.train_images), torch.from_numpy(dataset.train_labels)
    order = torch.from_numpy(training.epoch_order(len(images), 0, epoch))
    for first in range(0, len(images), BATCH):
        chosen = order[first : first + BATCH]
        x = (images[chosen].float() - dataset.mean) / dataset.std
        torch_step(net, loss, optimizer, x, labels[chosen])


def torch_accuracy(net, dataset):
    """Return the share of the test images that torch gets right, in the batches of `fit`."""
    images, labels = torch.from_numpy(dataset.test_images), torch.from_numpy(dataset.test_labels)
    correct = 0
    net.eval()
    with torch.no_grad():
        for first in range(0, len(images), 256):
            x = (images[first : first + 256].float() - dataset.mean) / dataset.std
            correct += int((net(x).argmax(1) == labels[first : first + 256]).sum())
    return correct / len(images)


def bench_epochs(directory, epochs):
    """Time whole epochs in turns, each with its test."""
    dataset = training.load(directory)
    ours, theirs = rivals()
    mine, other = [], []

    def report(record):
        mine.append(record.seconds)
        wait_awake(PAUSE)
        begin = time.perf_counter()
        torch_epoch(*theirs, dataset, record.epoch - 1)
        accuracy = torch_accuracy(theirs[0], dataset)
        other.append(time.perf_counter() - begin)
        wait_awake(PAUSE)
        print(
            f"epoch {record.epoch}: fastconv {mine[-1]:.2f} s, accuracy "
            f"{record.test_accuracy:.4f}; torch {other[-1]:.2f} s, accuracy {accuracy:.4f}",
            flush=True,
        )

    training.fit(
        *ours,
        dataset,
        epochs=epochs,
        batch_size=BATCH,
        schedule=training.constant(),
        on_epoch=report,
    )
    print(
        f"{epochs} epochs, each with its test: fastconv {sum(mine):.1f} s, "
        f"torch {sum(other):.1f} s; fastest {min(mine):.2f} and {min(other):.2f} s, "
        f"ratio {min(other) / min(mine):.2f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=fastconv.get_num_threads())
    parser.add_argument("--parts", action="store_true", help="time each part of a step")
    parser.add_argument("--step", action="store_true", help="time the step alone")
    parser.add_argument("--data", help="directory of IDX files")
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    fastconv.set_num_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    print(f"{arguments.threads} threads, {fastconv.isa()}, torch {torch.__version__}")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, 1, 28, 28)).astype(np.float32)
    y = rng.integers(0, 10, BATCH)
    verify(x, y)
    if arguments.parts:
        bench_parts(x, y)
        return
    if arguments.step:
        bench_step(x, y)
        return
    bench_convolutions(BATCH)
    bench_convolutions(1)
    bench_overhead()
    bench_step(x, y)
    if arguments.data:
        bench_epochs(arguments.data, arguments.epochs)


if __name__ == "__main__":
    main()
