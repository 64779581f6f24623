"""The command line: what it prints, what it leaves, and how it ends."""

import dataclasses
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import functional, plots, training
from fastconv.training import load_checkpoint
from tests._cases import PATIENCE

pytest.importorskip("click")
pytest.importorskip("matplotlib")

from fastconv.cli import main
from fastconv.cli._cases import SUBJECTS, UNCHECKED
from fastconv.cli.info import cpu_model


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """Run in an empty directory, and give the threads back."""
    monkeypatch.chdir(tmp_path)
    threads = fastconv.get_num_threads()
    yield
    fastconv.set_num_threads(threads)


def fails(capsys, arguments, text, code=2):
    """Expect one line on standard error, and nothing on standard output."""
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1, shown.err
    assert shown.err.startswith("fastconv: error: ")
    assert re.search(text, shown.err), shown.err
    return shown.out


# What a run leaves, but for its checkpoint.
LEFT = ["best.npz", "config.json", "features.png", "kernels.png", "metrics.csv", "metrics.jsonl"]
LEFT += ["training.png"]


def same_run(one, other):
    one, other = load_checkpoint(one), load_checkpoint(other)
    for state, twin in ((one.model, other.model), (one.optimizer, other.optimizer)):
        assert set(state) == set(twin)
        for key, value in state.items():
            np.testing.assert_array_equal(value, twin[key])
    assert [(r.train_loss, r.test_loss) for r in one.history] == [
        (r.train_loss, r.test_loss) for r in other.history
    ]


class TestTrain:
    def test_a_run_prints_and_saves_what_it_says(self, capsys):
        assert main(["train", "--epochs", "2", "--threads", "1"]) == 0
        out = capsys.readouterr().out
        assert "digits: 1,442 training and 355 test images of 1 x 8 x 8, 10 classes" in out
        assert "lenet_digits" in out
        lines = re.findall(
            r"^epoch (\d)/2  training: loss [\d.]+, +[\d.]+ %  test: loss [\d.]+, +[\d.]+ %", out,
            re.MULTILINE,
        )  # fmt: skip
        assert lines == ["1", "2"]
        assert sorted(os.listdir("fastconv-run")) == sorted([*LEFT, "checkpoint.npz"])
        for name in os.listdir("fastconv-run"):
            assert str(Path("fastconv-run", name)) in out
        accuracy = load_checkpoint("fastconv-run/checkpoint.npz").history[-1].test_accuracy
        assert f"test accuracy {100 * accuracy:.2f} % after 2 epochs" in out
        assert fastconv.get_num_threads() == 1

    def test_the_defaults_reach_97_percent(self, capsys):
        assert main(["train", "--no-plots"]) == 0
        saved = load_checkpoint("fastconv-run/checkpoint.npz")
        assert saved.history[-1].test_accuracy >= 0.97
        assert not Path("fastconv-run/training.png").exists()

    def test_the_options_reach_the_run(self, capsys):
        assert main(
            ["train", "--epochs", "1", "--optimizer", "adam", "--lr", "0.001", "--dtype", "float64",
             "--batch-size", "100", "--weight-decay", "0.01", "--schedule", "step:1:0.5",
             "--seed", "3", "--checkpoint", "weights.safetensors", "--output", "out"]
        ) == 0  # fmt: skip
        saved = load_checkpoint("weights.safetensors")
        assert saved.optimizer["kind"] == "Adam"
        assert saved.optimizer["lr"] == 0.001
        assert saved.optimizer["weight_decay"] == 0.01
        assert saved.settings["batch_size"] == 100
        assert saved.settings["schedule"] == "step:1:0.5"
        assert saved.settings["seed"] == 3
        assert {array.dtype for array in saved.model.values()} == {np.dtype(np.float64)}
        assert sorted(os.listdir("out")) == LEFT

    def test_resuming_a_finished_run_makes_it_longer(self, capsys):
        common = ["train", "--schedule", "constant", "--no-plots"]
        assert main([*common, "--epochs", "3", "--output", "a"]) == 0
        assert main([*common, "--epochs", "1", "--output", "b"]) == 0
        resume = ["train", "--no-plots", "--resume", "b/checkpoint.npz"]
        assert main([*resume, "--epochs", "3"]) == 0
        same_run("a/checkpoint.npz", "b/checkpoint.npz")
        assert main([*resume, "--epochs", "3", "--output", "c"]) == 0
        assert "after 3 epochs" in capsys.readouterr().out

    def test_the_data_of_a_resumed_run_are_found_from_elsewhere(self, capsys, monkeypatch):
        images = np.random.default_rng(0).integers(0, 255, (40, 8, 8), np.uint8)
        labels = np.arange(40) % 4
        np.savez("mine.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
        assert main(["train", "--data", "mine.npz", "--epochs", "1", "--no-plots"]) == 0
        assert "4 classes" in capsys.readouterr().out
        os.mkdir("elsewhere")
        monkeypatch.chdir("elsewhere")
        again = ["train", "--resume", "../fastconv-run/checkpoint.npz", "--epochs", "2"]
        assert main([*again, "--no-plots"]) == 0

    def test_images_of_the_size_of_cifar_have_a_model(self, capsys):
        images = np.random.default_rng(0).integers(0, 255, (16, 3, 32, 32), np.uint8)
        labels = np.arange(16) % 4
        np.savez("mine.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
        options = ["--batch-size", "8", "--epochs", "1"]
        assert main(["train", "--data", "mine.npz", *options]) == 0
        out = capsys.readouterr().out
        assert "model      resnet20: 269,332 parameters" in out
        assert sorted(os.listdir("fastconv-run")) == sorted([*LEFT, "checkpoint.npz"])

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["--data", "nowhere"], "'nowhere' does not exist; expected 'digits'"),
            (["--model", "lenet6"], "lenet6.*lenet5"),
            (["--model", "lenet5"], r"lenet5 does not take images of shape \(1, 8, 8\)"),
            (["--epochs", "0"], "epochs"),
            (["--lr", "fast"], "lr"),
            (["--lr", "nan"], "lr"),
            (["--schedule", "sine"], "schedule: got 'sine', expected one of constant"),
            (["--optimizer", "lbfgs"], "optimizer"),
            (["--threads", "0"], "threads"),
            (["--resume", "nowhere.npz"], "nowhere.npz"),
            (["--checkpoint", "weights.pt"], "expected .npz or .safetensors"),
            (["--checkpoint", "missing/run.npz"], "missing"),
            (["--colour", "red"], "--colour"),
            (["--lr", "1e30", "--epochs", "1", "--optimizer", "sgd"], "the loss became"),
        ],
    )
    def test_errors_are_one_line(self, capsys, arguments, text):
        out = fails(capsys, ["train", "--no-plots", *arguments], text)
        if "loss" not in text:
            assert out == "", "found after the run began"

    def test_a_message_of_several_lines_becomes_one(self, capsys, monkeypatch):
        def load(source, **options):
            raise ValueError("first\n  second")

        monkeypatch.setattr(training, "load", load)
        fails(capsys, ["train"], "error: first second$")

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
    def test_a_directory_without_write_permission(self, capsys):
        os.mkdir("locked", 0o500)
        assert fails(capsys, ["train", "--output", "locked"], "locked") == ""

    def test_paths_are_checked_before_training(self, capsys):
        Path("file").write_text("")
        assert fails(capsys, ["train", "--output", "file"], "file") == ""
        os.makedirs("out/kernels.png")
        assert fails(capsys, ["train", "--output", "out"], "kernels.png") == ""

    def test_a_missing_matplotlib_is_found_before_training(self, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        assert fails(capsys, ["train"], r"pip install 'fastconv\[cli\]'") == ""

    def test_an_unfinished_run_is_not_overwritten(self, capsys):
        model = fastconv.models.lenet_digits(rng=0)
        training.fit(
            model, fastconv.layers.CrossEntropyLoss(), training.SGD(model.parameters(), 0.1),
            training.load_digits(), epochs=2, checkpoint="checkpoint.npz",
            options={"epochs": 2}, should_stop=lambda: True,
        )  # fmt: skip
        arguments = ["train", "--epochs", "1", "--no-plots", "--checkpoint", "checkpoint.npz"]
        fails(capsys, arguments, "stopped after 0 of 2 epochs; go on with --resume")
        fails(capsys, ["train", "--resume", "checkpoint.npz"], "not made by fastconv train")
        assert main([*arguments, "--overwrite"]) == 0
        assert main(arguments) == 0

    @pytest.mark.parametrize(
        ("option", "value", "text"),
        [
            ("optimizer", "lbfgs", "its optimizer: 'lbfgs' is not one of"),
            ("model", "lenet6", "its model: 'lenet6' is not one of"),
            ("dtype", "int8", "its dtype: 'int8' is not one of"),
            ("epochs", 0, "its epochs: 0 is not in the range"),
            ("lr", -1.0, "its lr: -1.0 is not in the range"),
            ("lr", True, "not made by fastconv train, its lr is True"),
            ("schedule", "sine", "schedule: got 'sine'"),
        ],
    )
    def test_a_run_with_other_options_than_can_be_given_is_not_resumed(
        self, capsys, option, value, text
    ):
        # Some ended in a traceback, and an unknown optimizer was taken for SGD.
        path = Path("fastconv-run/checkpoint.npz")
        assert main(["train", "--epochs", "1", "--no-plots"]) == 0
        saved = load_checkpoint(path)
        training.save_checkpoint(
            path, dataclasses.replace(saved, options={**saved.options, option: value})
        )
        before, threads = path.read_bytes(), fastconv.get_num_threads()
        capsys.readouterr()
        arguments = ["train", "--resume", str(path), "--threads", str(threads + 1)]
        assert fails(capsys, [*arguments, "--output", "new"], text) == ""
        assert path.read_bytes() == before
        assert fastconv.get_num_threads() == threads
        assert not Path("new").exists()

    def test_a_file_that_is_no_checkpoint_is_not_overwritten(self, capsys):
        Path("thesis.npz").write_bytes(b"years of work")
        fails(capsys, ["train", "--checkpoint", "thesis.npz"], "thesis.npz: not a readable")
        assert Path("thesis.npz").read_bytes() == b"years of work"

    def test_what_the_checkpoint_sets_cannot_be_given_again(self, capsys):
        assert main(["train", "--epochs", "1", "--no-plots"]) == 0
        capsys.readouterr()
        arguments = ["train", "--resume", "fastconv-run/checkpoint.npz", "--lr", "1", "--seed", "2"]
        fails(capsys, arguments, "--lr, --seed: cannot be given with --resume")

    @pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
    def test_ctrl_c_leaves_a_checkpoint_that_goes_on_with_the_same_bits(self, capsys):
        assert main(["train", "--epochs", "12", "--no-plots", "--output", "whole"]) == 0
        process = run("-c", HELD, "train", "--epochs", "12", "--output", "cut out")
        for line in process.stdout:
            if line.startswith("epoch  2/12"):
                break
        time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130, out + err
        assert "stopping after this step; Ctrl-C again aborts at once" in err
        match = re.search(r"stopped in epoch \d+ of 12; go on with: (fastconv .*)", err)
        assert match, err
        assert match[1] == "fastconv train --resume 'cut out/checkpoint.npz'"
        assert "Traceback" not in err
        done = load_checkpoint("cut out/checkpoint.npz").progress.epoch
        assert 2 <= done < 12
        capsys.readouterr()
        assert main(["train", "--resume", "cut out/checkpoint.npz"]) == 0
        assert f"epoch {done:2}/12" not in capsys.readouterr().out
        same_run("whole/checkpoint.npz", "cut out/checkpoint.npz")

    def test_a_second_ctrl_c_aborts_at_once(self, capsys, monkeypatch):
        def fit(*args, should_stop, **kwargs):
            assert not should_stop()
            signal.raise_signal(signal.SIGINT)
            assert should_stop()
            signal.raise_signal(signal.SIGINT)
            pytest.fail("the second Ctrl-C was ignored")

        monkeypatch.setattr(training, "fit", fit)
        before = signal.getsignal(signal.SIGINT)
        assert main(["train", "--no-plots"]) == 130
        assert "fastconv: error: aborted" in capsys.readouterr().err
        assert signal.getsignal(signal.SIGINT) is before

    def test_the_picture_shows_the_first_layer(self, capsys, monkeypatch):
        shown = []
        monkeypatch.setattr(plots, "kernels_picture", lambda weight, path: shown.append(weight))
        assert main(["train", "--epochs", "1"]) == 0
        first = load_checkpoint("fastconv-run/checkpoint.npz").model["0.weight"]
        np.testing.assert_array_equal(shown[0], first)


# The command, but the last of its epochs begins when a signal has come, however late that is.
HELD = """
import signal, sys, time
from fastconv import training
from fastconv.cli import main

fit = training.fit

def held(*arguments, on_epoch, should_stop, **options):
    def wait(record):
        on_epoch(record)
        while record.epoch == 11 and not should_stop():
            time.sleep(0.001)

    return fit(*arguments, on_epoch=wait, should_stop=should_stop, **options)

training.fit = held
# Nobody may be left to send a signal.
signal.alarm(1800)
sys.exit(main(sys.argv[1:]))
"""


def run(*arguments):
    """Start Python with this fastconv."""
    root = str(Path(fastconv.__file__).parent.parent)
    paths = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-u", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


class TestCheck:
    def test_every_function_algorithm_and_dtype_agrees(self, capsys):
        assert main(["check", "--cases", "12", "--seed", "5"]) == 0
        out = capsys.readouterr().out
        assert out.endswith("everything agrees with the reference\n")
        rows = [line.split()[:3] for line in out.splitlines() if "float" in line]
        for subject in SUBJECTS:
            algorithms = ["-"]
            if re.fullmatch(r"conv\dd(_input|_weight)?", subject.name):
                algorithms = ["direct", "im2col"]
            for algorithm in algorithms:
                for dtype in ("float32", "float64"):
                    assert [subject.name, algorithm, dtype] in rows
        assert re.search(r"\d ms +[\d.]+ ms +[\d.]+x$", out, re.MULTILINE)

    @pytest.mark.parametrize("name", [subject.name for subject in SUBJECTS])
    def test_a_wrong_result_is_found_and_can_be_repeated(self, capsys, monkeypatch, name):
        package, _, function = name.rpartition(".")
        module = import_module(f"fastconv.{package or 'functional'}")
        right = getattr(module, function)

        def slightly_wrong(*args, **options):
            result = right(*args, **options)
            first, *others = result if isinstance(result, tuple) else (result,)
            # Of a loss, a number.
            array = np.array(first)
            if array.size:
                place = (np.abs(array).argmax(),)
                array.flat[place] *= array.dtype.type(1 + 200 * np.finfo(array.dtype).eps)
            return (array, *others) if others else array

        monkeypatch.setattr(module, function, slightly_wrong)
        assert main(["check", "--function", name, "--cases", "5"]) == 1
        out = capsys.readouterr().out
        assert f"{name}(" in out
        assert "differs, see below" in out
        (repeat, *_) = re.findall(r"repeat it: fastconv (.*)", out)
        assert main(repeat.split()) == 1
        monkeypatch.undo()
        assert main(repeat.split()) == 0

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda result: result * np.nan,
            lambda result: result[:, :, 1:],
            lambda result: 1 / 0,
        ],
        ids=["NaN", "shape", "exception"],
    )
    def test_other_kinds_of_wrong(self, capsys, monkeypatch, wrong):
        right = functional.conv2d
        monkeypatch.setattr(functional, "conv2d", lambda *a, **o: wrong(right(*a, **o)))
        assert main(["check", "--function", "conv2d", "--cases", "3"]) == 1
        assert "repeat it" in capsys.readouterr().out

    @pytest.mark.parametrize("name", ["conv2d", "fold", "linear"])
    def test_on_integers_the_last_bit_counts(self, capsys, monkeypatch, name):
        right = getattr(functional, name)

        def one_bit_off(*args, **options):
            result = right(*args, **options)
            if np.array_equal(args[0], np.rint(args[0])):
                result.flat[0] = np.nextafter(result.flat[0], np.inf, dtype=result.dtype)
            return result

        monkeypatch.setattr(functional, name, one_bit_off)
        assert main(["check", "--function", name, "--cases", "2"]) == 1

    def test_wrong_indices_are_found(self, capsys, monkeypatch):
        right = functional.max_pool2d

        def wrong(*args, **options):
            values, indices = right(*args, **options)
            return values, indices + 1

        monkeypatch.setattr(functional, "max_pool2d", wrong)
        assert main(["check", "--function", "max_pool2d", "--cases", "2"]) == 1

    def test_every_public_function_is_checked_or_the_reason_is_known(self):
        names = [subject.name for subject in SUBJECTS]
        assert sorted({*names, *UNCHECKED}) == sorted([*names, *UNCHECKED])
        others = {
            f"{package}.{name}"
            for package in ("ndimage", "signal")
            for name in import_module(f"fastconv.{package}").__all__
        }
        assert {*names, *UNCHECKED} == set(functional.__all__) | others
        assert all(UNCHECKED.values())

    def test_what_a_call_writes_into_is_a_result(self, capsys, monkeypatch):
        right = functional.batch_norm

        def wrong(input, mean, *args, **options):
            kept = mean.copy()
            result = right(input, mean, *args, **options)
            mean[...] = kept
            return result

        monkeypatch.setattr(functional, "batch_norm", wrong)
        assert main(["check", "--function", "batch_norm", "--cases", "4"]) == 1

    def test_a_case_is_a_pure_function_of_seed_and_number(self):
        for subject in SUBJECTS:
            one, other = (subject.case(3, 7, integers=False) for _ in range(2))
            assert str(one) == str(other)
            assert pickle.dumps(one) == pickle.dumps(other)
        assert len({str(SUBJECTS[0].case(0, n, integers=False)) for n in range(30)}) > 25

    def test_the_cases_cover_the_options(self):
        calls = [SUBJECTS[0].case(0, n, integers=False) for n in range(200)]
        options = set().union(*(call.options for call in calls))
        seen = {key: {str(call.options.get(key)) for call in calls} for key in options}
        assert {"valid", "same", "same_lower", "full"} < seen["padding"]
        assert seen["groups"] == {"1", "2", "3"}
        assert len(seen["stride"]) == 9
        assert len(seen["dilation"]) == 4
        assert {"reflect", "replicate", "circular", "symmetric"} < seen["padding_mode"]
        layouts = {
            (array.flags.c_contiguous, array.strides[1] == array.itemsize)
            for array in (call.arguments[0] for call in calls)
        }
        assert len(layouts) >= 3

    @pytest.mark.parametrize("arguments", [["--cases", "0"], ["--function", "conv9d"]])
    def test_errors_are_one_line(self, capsys, arguments):
        fails(capsys, ["check", *arguments], arguments[0])


class TestInfo:
    def test_it_names_what_runs_here(self, capsys):
        assert main(["info"]) == 0
        out = capsys.readouterr().out
        for text in (fastconv.__version__, np.__version__, fastconv.isa()):
            assert text in out
        assert re.search(rf"^threads +{fastconv.get_num_threads()}$", out, re.MULTILINE)
        assert re.search(r"^CPU +\S", out, re.MULTILINE)
        assert re.search(r"^caches +[0-9]+K, [0-9]+K, [0-9]+K$", out, re.MULTILINE)

    def test_the_cpu_is_read_where_linux_tells_it(self, tmp_path):
        (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Some CPU @ 3 GHz\n")
        assert cpu_model(str(tmp_path / "cpuinfo")) == "Some CPU @ 3 GHz"
        assert cpu_model(str(tmp_path / "missing"))


class TestMain:
    def test_help_texts_are_plain(self, capsys):
        for command in ([], ["train"], ["check"], ["bench"], ["info"]):
            assert main([*command, "--help"]) == 0
            shown = capsys.readouterr()
            assert shown.out.startswith("Usage: fastconv")
            assert shown.err == ""
            assert max(map(len, shown.out.splitlines())) <= 100

    def test_version(self, capsys):
        assert main(["--version"]) == 0
        assert capsys.readouterr().out == f"fastconv {fastconv.__version__}\n"

    @pytest.mark.parametrize(
        ("arguments", "text"), [([], "no command given"), (["fly"], "No such command 'fly'")]
    )
    def test_errors_are_one_line(self, capsys, arguments, text):
        fails(capsys, arguments, text)

    def test_without_click_the_sentence_says_what_to_install(self, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "click", None)
        fails(capsys, ["info"], r"pip install 'fastconv\[cli\]'")

    def test_python_dash_m(self):
        process = run("-m", "fastconv", "nonsense")
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out) == (2, "")
        assert err == "fastconv: error: No such command 'nonsense'.\n"
