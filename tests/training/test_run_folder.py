"""The folder of a run: complete files that follow from the checkpoint, and pictures."""

import csv
import itertools
import json
import os
import sys

import numpy as np
import pytest

from fastconv import layers
from fastconv.training import RunFolder, ScalarWriter, best_epoch, fit, load_checkpoint
from tests.training.test_loop import OPTIMIZERS, data, network, timeless, train

__all__ = ["data"]  # a fixture
FILES = ["best.npz", "checkpoint.npz", "config.json", "metrics.csv", "metrics.jsonl"]
PICTURES = ["features.png", "kernels.png", "training.png"]
PNG = b"\x89PNG\r\n\x1a\n"


def contents(path):
    return {name: (path / name).read_bytes() for name in sorted(os.listdir(path))}


def test_metrics_are_those_of_the_history(data, tmp_path):
    _, _, history = train(data, epochs=4, folder=RunFolder(tmp_path / "a" / "b", pictures=False))
    path = tmp_path / "a" / "b"
    assert sorted(os.listdir(path)) == FILES
    with open(path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == len(lines) == 4
    for record, row, line in zip(history, rows, lines, strict=True):
        assert vars(record) == line
        assert {name: float(value) for name, value in row.items()} == line
    assert load_checkpoint(path / "checkpoint.npz").history == history


def test_the_best_checkpoint_is_that_of_the_best_epoch(data, tmp_path):
    states = {}
    model = network()

    def keep(record):
        states[record.epoch] = {name: a.copy() for name, a in model.state_dict().items()}

    _, _, history = train(
        data, model=model, epochs=6, on_epoch=keep, folder=RunFolder(tmp_path, pictures=False)
    )
    best = best_epoch(history) + 1
    saved = load_checkpoint(tmp_path / "best.npz")
    assert saved.progress.epoch == best
    for name, value in states[best].items():
        np.testing.assert_array_equal(saved.model[name], value)
    assert load_checkpoint(tmp_path / "checkpoint.npz").progress.epoch == 6


def test_what_was_set_can_be_read(data, tmp_path):
    train(data, epochs=1, folder=RunFolder(tmp_path, pictures=False), options={"mine": [1, "x"]})
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["options"] == {"mine": [1, "x"]}
    assert config["settings"]["batch_size"] == 8
    assert config["settings"]["schedule"] == "cosine"
    assert any("Conv2d(1, 3" in line for line in config["model"])


def test_a_stopped_run_leaves_the_same_files_in_the_end(data, tmp_path):
    whole = train(data, folder=RunFolder(tmp_path / "whole", pictures=False))
    for calls in (3, 8, 11, 20):
        asked, path = itertools.count(1), tmp_path / str(calls)
        folder = RunFolder(path, pictures=False)
        train(data, folder=folder, should_stop=lambda: next(asked) >= calls)  # noqa: B023
        done = len((path / "metrics.csv").read_text().splitlines()) - 1 if calls >= 8 else 0
        assert done == calls // 8
        resumed = train(data, folder=folder, resume=path / "checkpoint.npz")
        assert timeless(resumed[2]) == timeless(whole[2])
        assert sorted(os.listdir(path)) == FILES
        for name in ("best.npz", "checkpoint.npz"):
            one, other = load_checkpoint(path / name), load_checkpoint(tmp_path / "whole" / name)
            assert one.progress == other.progress
            for key, value in one.model.items():
                np.testing.assert_array_equal(value, other.model[key])
        for key in ("metrics.csv", "metrics.jsonl"):
            assert len((path / key).read_text().splitlines()) == 3 + key.endswith("csv")


def test_metrics_that_were_lost_are_written_again(data, tmp_path):
    folder = RunFolder(tmp_path, pictures=False)
    train(data, folder=folder)
    before = contents(tmp_path)
    for name in ("metrics.csv", "metrics.jsonl"):
        (tmp_path / name).unlink()
    train(data, folder=folder, resume=tmp_path / "checkpoint.npz")
    after = contents(tmp_path)
    assert after["metrics.csv"] == before["metrics.csv"]
    assert after["metrics.jsonl"] == before["metrics.jsonl"]


def test_a_file_that_cannot_be_written_leaves_the_one_before(data, tmp_path, monkeypatch):
    folder = RunFolder(tmp_path, pictures=False)
    train(data, epochs=1, folder=folder)
    before = contents(tmp_path)
    real = os.replace

    def refuse(source, target):
        if "metrics" in str(target):
            raise OSError("no space left")
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no space"):
        train(data, folder=folder)
    after = contents(tmp_path)
    assert sorted(after) == FILES
    for name in ("metrics.csv", "metrics.jsonl"):
        assert after[name] == before[name]


def test_where_it_cannot_write_is_found_before_the_run(data, tmp_path):
    for name in ("metrics.csv", "best.npz"):
        (tmp_path / name / name).mkdir(parents=True)
        os.mkdir(tmp_path / name / "data")
        with pytest.raises(IsADirectoryError, match=name):
            train(data, folder=RunFolder(tmp_path / name, pictures=False))
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        train(data, folder=RunFolder(tmp_path / "file", pictures=False))


class TestPictures:
    def test_curves_kernels_and_feature_maps(self, data, tmp_path):
        pytest.importorskip("matplotlib")
        train(data, folder=RunFolder(tmp_path))
        assert sorted(os.listdir(tmp_path)) == sorted(FILES + PICTURES)
        for name in PICTURES:
            assert (tmp_path / name).read_bytes().startswith(PNG)

    def test_a_network_without_convolutions_has_curves_alone(self, data, tmp_path):
        pytest.importorskip("matplotlib")
        model = layers.Sequential(layers.Flatten(), layers.Linear(64, 10, rng=0))
        train(data, model=model, folder=RunFolder(tmp_path))
        assert sorted(os.listdir(tmp_path)) == sorted([*FILES, "training.png"])

    def test_a_missing_matplotlib_is_found_before_the_run(self, data, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        steps = []
        model = network()
        sgd = OPTIMIZERS["SGD"](model.parameters())
        sgd.step = lambda: steps.append(1)
        with pytest.raises(ImportError, match=r"pip install 'fastconv\[cli\]'"):
            fit(model, layers.CrossEntropyLoss(), sgd, data, epochs=1, folder=RunFolder(tmp_path))
        assert steps == []


class TestScalars:
    def test_any_object_with_add_scalar_gets_the_numbers(self, data):
        class Writer:
            def __init__(self):
                self.calls = []

            def add_scalar(self, tag, scalar_value, global_step=None, walltime=None):
                self.calls.append((tag, scalar_value, global_step))

        writer = Writer()
        _, _, history = train(data, on_epoch=ScalarWriter(writer))
        tags = ["lr", "loss/train", "accuracy/train", "loss/test", "accuracy/test", "seconds"]
        assert [call[0] for call in writer.calls] == tags * 3
        assert writer.calls[8] == ("accuracy/train", history[1].train_accuracy, 2)
        with pytest.raises(TypeError, match="writer: got a int, expected one with add_scalar"):
            ScalarWriter(3)

    def test_tensorboards_writer_takes_them(self, data, tmp_path):
        tensorboard = pytest.importorskip("torch.utils.tensorboard")
        with tensorboard.SummaryWriter(tmp_path) as writer:
            train(data, on_epoch=ScalarWriter(writer))
        assert os.listdir(tmp_path)
