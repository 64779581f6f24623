"""Training with its tools, evaluating and predicting from the command line."""

import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import training
from fastconv.training import load_checkpoint

pytest.importorskip("click")

from fastconv.cli import main
from tests.cli.test_cli import fails, same_run, workplace

__all__ = ["workplace"]  # a fixture
TRAIN = ["train", "--no-plots", "--epochs", "2"]


def pillow():
    return pytest.importorskip("PIL.Image", reason="Pillow is not installed, skipped: images")


@pytest.fixture
def trained(capsys):
    """A short run on the digits, and its checkpoint."""
    assert main(TRAIN) == 0
    capsys.readouterr()
    return "fastconv-run/checkpoint.npz"


def save_images(folder, count=10, size=(8, 8), classes="ab"):
    """Write a folder of images that can be told apart: dark ones and light ones."""
    image = pillow()
    rng = np.random.default_rng(0)
    for number, name in enumerate(classes):
        Path(folder, name).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(0, 60, size, np.uint8) + np.uint8(150 * number)
            image.fromarray(pixels).save(Path(folder, name, f"{index}.png"))
    return folder


ALL = [
    "--optimizer", "sgd", "--lr", "0.02", "--nesterov", "--weight-decay", "0.001", "--schedule",
    "warmup:1,cosine", "--label-smoothing", "0.1", "--augment", "crop:1,flip,cutout:2",
    "--normalize", "channels", "--accumulate", "2", "--clip-norm", "1", "--clip-value", "0.5",
    "--ema", "0.9", "--workers", "2",
]  # fmt: skip


class TestTrain:
    def test_every_option_reaches_the_run(self, capsys):
        assert main([*TRAIN, *ALL]) == 0
        out = capsys.readouterr().out
        assert "images     normalised by channels, augmentation crop:1,flip,cutout:2" in out
        assert "momentum 0.9 (Nesterov), weight decay 0.001, schedule warmup:1,cosine" in out
        saved = load_checkpoint("fastconv-run/checkpoint.npz")
        assert saved.optimizer["nesterov"] is True
        decays = [saved.optimizer[f"groups.{index}.weight_decay"] for index in range(2)]
        assert decays == [0.001, 0.0]
        expected = {
            "augmentation": "crop:1,flip,cutout:2", "accumulate": 2, "clip_norm": 1.0,
            "clip_value": 0.5, "schedule": "warmup:1,cosine",
        }  # fmt: skip
        assert {name: saved.settings[name] for name in expected} == expected
        assert saved.average["decay"] == 0.9
        assert saved.average["updates"] == 2 * 23

    def test_a_resumed_run_has_the_bits_of_a_whole_one(self, capsys):
        options = [*ALL, "--schedule", "constant"]
        assert main([*TRAIN, *options, "--epochs", "3", "--output", "whole"]) == 0
        assert main([*TRAIN, *options, "--epochs", "1", "--output", "cut"]) == 0
        resume = ["train", "--no-plots", "--resume", "cut/checkpoint.npz", "--epochs", "3"]
        assert main([*resume, "--workers", "0"]) == 0
        same_run("whole/checkpoint.npz", "cut/checkpoint.npz")
        one, other = (
            load_checkpoint(f"{name}/checkpoint.npz").average for name in ("whole", "cut")
        )
        for name, value in one.items():
            np.testing.assert_array_equal(other[name], value)

    def test_all_parameters_decay_if_asked(self, capsys):
        assert main([*TRAIN, "--weight-decay", "0.1", "--decay-all", "--epochs", "1"]) == 0
        optimizer = load_checkpoint("fastconv-run/checkpoint.npz").optimizer
        assert optimizer["weight_decay"] == 0.1
        assert not any(name.startswith("groups") for name in optimizer)

    def test_it_stops_when_nothing_becomes_better(self, capsys):
        arguments = ["train", "--no-plots", "--epochs", "30", "--lr", "0", "--patience", "2"]
        assert main(arguments) == 0
        out = capsys.readouterr().out
        assert "after 3 epochs of 30, no better at last (best: " in out
        assert main(arguments) == 0, "a run that has ended may be replaced"
        assert main(["train", "--no-plots", "--resume", "fastconv-run/checkpoint.npz"]) == 0

    def test_checkpoints_of_an_earlier_version_are_resumed(self, capsys, trained):
        saved = load_checkpoint(trained)
        for name in ("augment", "decay_all", "normalize", "ema", "class_names", "skip_broken"):
            del saved.options[name]
        training.save_checkpoint(trained, saved)
        assert main(["train", "--no-plots", "--resume", trained, "--epochs", "3"]) == 0

    def test_metrics_stand_beside_the_checkpoint(self, capsys):
        assert main([*TRAIN, "--output", "out"]) == 0
        with open("out/metrics.csv", newline="") as file:
            assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]
        assert json.loads(Path("out/config.json").read_text())["options"]["model"] == "lenet_digits"
        assert load_checkpoint("out/best.npz").progress.epoch in (1, 2)

    def test_folders_of_images(self, capsys):
        save_images("data", 12)
        Path("data/b/3.png").write_bytes(b"broken")
        arguments = ["train", "--no-plots", "--data", "data", "--epochs", "1"]
        fails(capsys, arguments, r"data/b/3\.png: no image of a known format")
        assert main([*arguments, "--skip-broken", "--batch-size", "4", "--workers", "3"]) == 0
        shown = capsys.readouterr()
        assert "left out   1 images, such as data/b/3.png" in shown.err.replace(
            os.getcwd() + "/", ""
        )
        assert "20 training and 4 test images of 1 x 8 x 8, 2 classes" in shown.out
        assert main([*arguments, "--skip-broken", "--image-size", "28", "--output", "big"]) == 0
        assert "lenet5: " in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["--augment", "mirror"], "augmentation: got 'mirror', expected none, or some"),
            (["--normalize", "1:2:3"], "--normalize: got '1:2:3', expected dataset"),
            (["--normalize", "1,2:1"], "normalize: mean: got 2 numbers"),
            (["--normalize", "0:0"], "std: got 0.0"),
            (["--schedule", "cosine@2"], "schedule: got 'cosine@2'"),
            (["--ema", "2"], "ema"),
            (["--clip-norm", "0"], "clip-norm"),
            (["--clip-value", "-1"], "clip-value"),
            (["--label-smoothing", "1.5"], "label-smoothing"),
            (["--accumulate", "0"], "accumulate"),
            (["--patience", "0"], "patience"),
            (["--workers", "-1"], "workers"),
            (["--image-size", "8"], "size: only for a folder of images, not 'digits'"),
            (["--image-size", "8x8x8"], "--image-size: got '8x8x8'"),
            (["--image-size", "0"], "--image-size: got '0'"),
            (["--nesterov", "--momentum", "0"], "nesterov: needs momentum"),
        ],
    )
    def test_errors_are_one_line(self, capsys, arguments, text):
        fails(capsys, ["train", "--no-plots", *arguments], text)

    @pytest.mark.parametrize(
        ("option", "value", "text"),
        [("augment", "mirror", "augmentation: got 'mirror'"), ("ema", 7, "its ema: 7"),
         ("accumulate", True, "its accumulate is True"), ("nesterov", 1, "its nesterov is 1"),
         ("clip_norm", "x", "its clip_norm is 'x'")],
    )  # fmt: skip
    def test_options_that_could_not_be_given_are_not_resumed(
        self, capsys, trained, option, value, text
    ):
        saved = load_checkpoint(trained)
        saved.options[option] = value
        training.save_checkpoint(trained, saved)
        fails(capsys, ["train", "--no-plots", "--resume", trained, "--epochs", "3"], text)


class TestEvaluate:
    def test_the_numbers_are_those_of_the_run(self, capsys, trained):
        assert main(["evaluate", trained, "--confusion", "confusion.csv"]) == 0
        out = capsys.readouterr().out
        last = load_checkpoint(trained).history[-1]
        assert re.match(
            rf"loss {last.test_loss:.4f}, top-1 {100 * last.test_accuracy:.2f} %, top-5 [\d.]+ %, "
            "of 355 images\n", out
        )  # fmt: skip
        assert "saved      confusion.csv" in out
        with open("confusion.csv", newline="") as file:
            header, *rows = csv.reader(file)
        counts = np.array([[int(number) for number in row[1:]] for row in rows])
        assert header[1:] == [row[0] for row in rows] == list("0123456789")
        assert np.trace(counts) / counts.sum() == last.test_accuracy

    def test_averaged_weights_and_channels_are_used(self, capsys):
        assert main([*TRAIN, *ALL]) == 0
        capsys.readouterr()
        assert main(["evaluate", "fastconv-run/best.npz"]) == 0
        history = load_checkpoint("fastconv-run/best.npz").history
        best = history[training.best_epoch(history)]
        assert f"loss {best.test_loss:.4f}, top-1 {100 * best.test_accuracy:.2f} %" in (
            capsys.readouterr().out
        )

    def test_the_training_images_of_another_set(self, capsys, trained):
        digits = training.load_digits()
        np.savez("mine.npz", x_train=digits.train_images[:40], y_train=digits.train_labels[:40],
                 x_test=digits.test_images[:7], y_test=digits.test_labels[:7])  # fmt: skip
        assert main(["evaluate", trained, "--data", "mine.npz", "--part", "train"]) == 0
        assert "of 40 images" in capsys.readouterr().out

    def test_errors_are_one_line(self, capsys, trained):
        fails(capsys, ["evaluate"], "Missing argument 'CHECKPOINT'")
        fails(capsys, ["evaluate", "nowhere.npz"], "nowhere.npz")
        fails(capsys, ["evaluate", trained, "--data", "nowhere"], "'nowhere' does not exist")
        images = np.zeros((6, 9, 8), np.uint8)
        arrays = {
            "x_train": images,
            "y_train": np.arange(6),
            "x_test": images,
            "y_test": np.arange(6),
        }
        np.savez("other.npz", **arrays)
        fails(capsys, ["evaluate", trained, "--data", "other.npz"],
              r"holds images of shape \(1, 9, 8\).*was trained with \(1, 8, 8\)")  # fmt: skip
        many = {
            **arrays,
            "y_train": np.arange(6) + 9,
            "x_train": images[:, :8],
            "x_test": images[:, :8],
        }
        np.savez("other.npz", **many)
        fails(
            capsys,
            ["evaluate", trained, "--data", "other.npz"],
            "has the classes 0, 1, .*\\(15\\), .* knows 0, 1, .* \\(10\\)",
        )
        saved = load_checkpoint(trained)
        del saved.options["class_names"]
        training.save_checkpoint("old.npz", saved)
        fails(
            capsys, ["evaluate", "old.npz"], "does not say what images and classes.*resume it once"
        )
        saved = load_checkpoint(trained)
        saved.model.popitem()
        training.save_checkpoint("cut.npz", saved)
        fails(capsys, ["evaluate", "cut.npz"], r"cut\.npz: does not fit its model: .*missing")
        training.fit(
            net := fastconv.models.lenet_digits(rng=0), fastconv.layers.CrossEntropyLoss(),
            training.SGD(net.parameters(), 0.1), training.load_digits(), epochs=1,
            checkpoint="mine2.npz",
        )  # fmt: skip
        fails(capsys, ["evaluate", "mine2.npz"], "was not made by fastconv train")


class TestPredict:
    def test_images_of_any_size_and_mode(self, capsys):
        save_images("data", 20)
        arguments = ["--lr", "0.01", "--epochs", "8", "--batch-size", "4"]
        assert main(["train", "--no-plots", "--data", "data", *arguments]) == 0
        capsys.readouterr()
        image = pillow()
        image.new("L", (8, 8), 20).save("dark.png")
        image.new("RGB", (50, 31), (200, 200, 200)).save("light.jpg")
        checkpoint = "fastconv-run/best.npz"
        assert main(["predict", checkpoint, "dark.png", "light.jpg"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert re.fullmatch(r"dark\.png: a [\d.]+ %, b [\d.]+ %", lines[0])
        assert re.fullmatch(r"light\.jpg: b [\d.]+ %, a [\d.]+ %", lines[1])
        assert main(["predict", "--top", "1", "--invert", checkpoint, "dark.png"]) == 0
        assert re.fullmatch(r"dark\.png: b [\d.]+ %\n", capsys.readouterr().out)

    def test_it_says_what_the_network_says(self, capsys, trained):
        digits = training.load_digits()
        pillow().fromarray(digits.test_images[4, 0]).save("digit.png")
        assert main(["predict", "--top", "10", trained, "digit.png"]) == 0
        shown = re.findall(r"(\d) ([\d.]+) %", capsys.readouterr().out)
        net = fastconv.models.lenet_digits()
        net.load_state_dict(training.load_state(trained))
        x = (digits.test_images[4:5].astype(np.float32) - digits.mean) / digits.std
        wanted = fastconv.functional.softmax(net.eval()(x.astype(np.float32)))[0]
        assert [int(name) for name, _ in shown] == np.argsort(-wanted).tolist()
        for name, percent in shown:
            assert float(percent) == pytest.approx(100 * wanted[int(name)], abs=0.06)

    def test_a_broken_image_names_its_file(self, capsys, trained):
        Path("broken.png").write_bytes(b"broken")
        pillow().new("L", (8, 8)).save("good.png")
        fails(
            capsys, ["predict", trained, "broken.png"], r"broken\.png: no image of a known format"
        )
        fails(capsys, ["predict", trained, "gone.png"], r"gone\.png: No such file")
        assert main(["predict", "--skip-broken", trained, "broken.png", "good.png"]) == 1
        shown = capsys.readouterr()
        assert shown.err == "fastconv: left out: broken.png: no image of a known format\n"
        assert shown.out.startswith("good.png: ")

    def test_errors_are_one_line(self, capsys, trained):
        fails(capsys, ["predict", trained], "Missing argument 'IMAGE...'")
        fails(capsys, ["predict", "nowhere.npz", "x.png"], "nowhere.npz")
