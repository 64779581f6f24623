"""A run that is killed at many moments, with everything on, gives the bits of one that is not."""

import csv
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from fastconv.training import load_checkpoint
from tests._cases import PATIENCE
from tests.training.test_loop import environment, run_python

KILLS = 20

RUN = textwrap.dedent(
    """
    import os, sys, time
    import numpy as np
    import fastconv
    from fastconv import layers, training

    folder, hold, threads, workers = sys.argv[1:]
    fastconv.set_num_threads(int(threads))
    last = os.path.join(folder, "checkpoint.npz")

    def pause(record):
        # A run that is to be killed does not end before, however late that is.
        if hold == "hold":
            time.sleep(1800 if record.epoch == 199 else 0.004)

    model = layers.Sequential(
        layers.Conv2d(1, 4, 3, rng=1), layers.BatchNorm2d(4), layers.ReLU(), layers.MaxPool2d(2),
        layers.Flatten(), layers.Dropout(0.3, rng=2), layers.Linear(36, 10, rng=3),
    )
    whole = training.load_digits()
    digits = training.Dataset(
        "some", whole.train_images[:100], whole.train_labels[:100], whole.test_images[:50],
        whole.test_labels[:50],
    )
    training.fit(
        model, layers.CrossEntropyLoss(label_smoothing=0.1),
        training.SGD(training.decay_groups(model, 1e-3), 0.02, 0.9, nesterov=True), digits,
        epochs=200, batch_size=32, seed=6,
        schedule=training.parse_schedule("warmup:2,multistep:150:0.1"),
        augmentation=training.Augmentation(crop=1, flip=True, cutout=2), workers=int(workers),
        accumulate=2, clip_norm=1.0,
        average=training.ExponentialMovingAverage(model.parameters(), 0.9),
        folder=training.RunFolder(folder, pictures=False),
        resume=last if os.path.exists(last) else None, on_epoch=pause,
    )
    """
)


def results(folder):
    """All that a run leaves, but for the time that it took."""
    found = {}
    for name in ("checkpoint.npz", "best.npz"):
        saved = load_checkpoint(folder / name)
        for part in ("model", "optimizer", "average"):
            found |= {f"{name}/{part}/{key}": v for key, v in getattr(saved, part).items()}
        found[f"{name}/rest"] = [saved.generators, vars(saved.progress), saved.settings]
    with open(folder / "metrics.csv", newline="") as file:
        found["metrics"] = [{**row, "seconds": 0} for row in csv.DictReader(file)]
    return found


def kill(folder, delay):
    """Begin the run or go on with it, and kill it in the middle of its work."""
    before = modified(folder)
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, folder, "hold", "2", "2"], env=environment()
    )
    try:
        # When it has written something: it runs.
        while modified(folder) == before:
            assert process.poll() is None
            time.sleep(0.001)
        time.sleep(delay)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)


def modified(folder):
    path = folder / "metrics.jsonl"
    return path.stat().st_mtime_ns if path.exists() else None


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_run_killed_twenty_times_has_the_same_bits(tmp_path):
    run_python(RUN, tmp_path / "whole", "end", 1, 0)
    wanted = results(tmp_path / "whole")
    delays = [random.uniform(0, 0.06) for _ in range(KILLS)]
    for delay in delays:
        kill(tmp_path / "killed", delay)
    done = load_checkpoint(tmp_path / "killed" / "checkpoint.npz").progress.epoch
    assert done < 200
    run_python(RUN, tmp_path / "killed", "end", 3, 1)
    found = results(tmp_path / "killed")
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        note = f"{key}, after kills at {delays}, the last after {done} epochs"
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(found[key], value, err_msg=note)
        else:
            assert found[key] == value, note
    # What was being written when the signal came is a file of its own.
    left = [name for name in os.listdir(tmp_path / "killed") if not name.startswith(".")]
    assert sorted(left) == sorted(os.listdir(tmp_path / "whole"))
