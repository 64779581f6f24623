"""What data costs a training step: from memory, augmented, and decoded from a folder of images.

    python benches/bench_loading.py [--model resnet18] [--batch 8] [--size 224] [--steps 20]
                                    [--workers 1 2] [--rounds 3]

A folder of JPEG files is drawn and written first. The kinds of data take turns. Beside the time of
a step, from one batch to the next, stand what it waited for its batch, and the least by which it
must be longer where all cores compute already: what a batch takes on one thread, over the cores.
Needs Pillow.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import fastconv
from fastconv import layers, models, training

CROP = training.Augmentation(crop=16, flip=True)


def draw_images(folder, count, size):
    """Write photograph-like images: coarse colours with fine noise, some 10:1 as JPEG."""
    rng = np.random.default_rng(0)
    for index in range(count):
        coarse = rng.integers(0, 256, (12, 12, 3), np.uint8)
        image = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
        noise = rng.normal(0, 8, (size, size, 3))
        pixels = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
        path = folder / f"class{index % 2}" / f"{index:04}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path, quality=90)


class Trainer:
    """A network with its loss and optimizer."""

    def __init__(self, model):
        self.net = getattr(models, model)(num_classes=10, rng=0)
        self.loss = layers.CrossEntropyLoss()
        self.optimizer = training.SGD(self.net.parameters(), 1e-4, momentum=0.9)

    def step(self, x, y):
        self.optimizer.zero_grad()
        self.loss(self.net(x), y)
        self.net.backward(self.loss.backward(), input_grad=False)
        self.optimizer.step()


def run(trainer, images, batch, steps, workers, augmentation):
    """Return the seconds of each step from batch to batch, and of each wait for a batch."""
    labels = np.zeros(len(images), np.int64)
    more = {"augmentation": augmentation, "workers": workers, "mean": 128.0, "std": 64.0}
    order = np.arange((steps + 1) * batch) % len(images)
    whole, waits = [], []
    made = training.batches(images, labels, batch, order=order, **more)
    # The first batch fills what is made ahead.
    trainer.step(*next(made))
    begin = time.perf_counter()
    for x, y in made:
        came = time.perf_counter()
        trainer.step(x, y)
        end = time.perf_counter()
        whole.append(end - begin)
        waits.append(came - begin)
        begin = end
    return whole, waits


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--threads", type=int, default=fastconv.get_num_threads())
    arguments = parser.parse_args()
    fastconv.set_num_threads(arguments.threads)
    batch = arguments.batch
    with tempfile.TemporaryDirectory() as name:
        draw_images(Path(name), arguments.images, arguments.size)
        files = training.load_folder(name).train_images
        memory = np.asarray(files)
        kinds = {"memory": (memory, 0, None), "memory, augmented": (memory, 0, CROP)}
        for workers in (0, *arguments.workers):
            text = f"folder, augmented, {workers} workers"
            kinds[text] = (files, workers, CROP)
        trainer = Trainer(arguments.model)
        trainer.step(*next(training.batches(memory, np.zeros(len(memory), np.int64), batch)))
        times = {kind: ([], []) for kind in kinds}
        for _ in range(arguments.rounds):
            for kind, (images, workers, augmentation) in kinds.items():
                found = run(trainer, images, batch, arguments.steps, workers, augmentation)
                for own, more in zip(times[kind], found, strict=True):
                    own += more
    alone = 1e3 * np.median(times["memory"][0])
    decoded = 1e3 * np.median(times["folder, augmented, 0 workers"][1])
    print(
        f"{arguments.model}, batch {batch}, {arguments.size} x {arguments.size}, "
        f"{arguments.threads} threads, {fastconv.isa()}; a batch from files takes "
        f"{decoded:.1f} ms on one thread, {decoded / arguments.threads:.1f} shared by all"
    )
    for kind, (whole, waits) in times.items():
        step, wait = 1e3 * np.median(whole), 1e3 * np.mean(waits)
        print(
            f"{kind:30} {step:7.1f} ms (least {1e3 * min(whole):.1f}), waits {wait:5.1f} ms, "
            f"{step - alone:+6.1f} ms beside memory"
        )


if __name__ == "__main__":
    main()
