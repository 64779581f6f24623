"""The command `fastconv bench` for functions and training steps."""

import re

import pytest

import fastconv
from fastconv import functional
from fastconv.benchmark import harness
from tests._cases import torch_or_skip

pytest.importorskip("click")
from fastconv.cli import _functions, main


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No pauses, small maps, the threads given back."""
    monkeypatch.setattr(harness, "PAUSE", 0)
    small = {1: (2, 6, 40), 2: (2, 6, 14, 14), 3: (1, 6, 8, 14, 14)}
    monkeypatch.setattr(_functions, "SIZES", small)
    threads = fastconv.get_num_threads()
    yield
    fastconv.set_num_threads(threads)


def bench(*arguments):
    return main(["bench", "--time", "0.001", "--threads", "1", *arguments])


def rows(text):
    """Return the ratio by function or network, None where torch has none."""
    found = re.findall(r"^([\w.]+) .* (?:us|ms) +(-|[\d.]+)(?:  |$)", text, re.MULTILINE)
    return {name: None if ratio == "-" else float(ratio) for name, ratio in found}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_function_is_measured(capsys, dtype):
    assert bench("--function", "*", "--rival", "none", "--dtype", dtype) == 0
    assert set(rows(capsys.readouterr().out)) == set(_functions.NAMES)


def test_functions_beside_torchs(capsys):
    torch_or_skip("functions of both")
    names = (
        "max_pool2d", "max_pool2d_backward", "conv1d_weight", "conv_transpose3d_backward",
        "relu_backward", "cross_entropy", "group_norm_backward", "linear_backward",
    )  # fmt: skip
    arguments = [word for name in names for word in ("--function", name)]
    assert bench(*arguments, "--function", "batch_norm_relu*") == 0
    out = capsys.readouterr().out
    found = rows(out)
    own = ["batch_norm_relu", "batch_norm_relu_backward", "batch_norm_relu_output"]
    assert list(found) == [*names, *own]
    assert all(found[name] > 0 for name in names)
    assert found["batch_norm_relu"] is None
    assert f"{len(names)} that torch has, too: geometric mean" in out


def test_filters_beside_scipys(capsys):
    pytest.importorskip("scipy", reason="SciPy is not installed")
    assert bench("--function", "ndimage.*", "--function", "signal.*") == 0
    out = capsys.readouterr().out
    found = rows(out)
    assert list(found) == [name for name in _functions.NAMES if "." in name]
    # SciPy has no banks.
    assert [name for name in found if found[name] is None] == ["ndimage.filter_bank"]
    assert f"{len(found) - 1} that SciPy has, too: geometric mean" in out
    assert bench("--function", "ndimage.sobel", "--rival", "none") == 0
    assert rows(capsys.readouterr().out) == {"ndimage.sobel": None}


def test_a_wrong_function_is_not_timed(capsys, monkeypatch):
    right = functional.relu
    monkeypatch.setattr(functional, "relu", lambda *a, **o: right(*a, **o) + 1)
    assert bench("--function", "relu*", "--rival", "none") == 1
    out = capsys.readouterr().out
    assert "1 results are wrong:\nrelu(array" in out
    assert list(rows(out)) == ["relu_backward", "relu6", "relu6_backward"]


def test_steps_beside_torchs(capsys):
    torch_or_skip("steps of both")
    assert bench("--step", "lenet5", "--step", "resnet20", "--batch", "3") == 0
    out = capsys.readouterr().out
    assert "batch 3, float32, 1 threads" in out
    assert re.search(r"^lenet5 +1x28x28 +[\d.]+ +[\d.]+ ms +[\d.]+ ms +[\d.]+$", out, re.M)
    assert re.search(r"^resnet20 .* ms  alone: torch.nn has no PaddedShortcut$", out, re.M)


def test_steps_alone(capsys):
    assert bench("--step", "lenet_digits", "--rival", "none", "--dtype", "float64") == 0
    assert re.search(r"^lenet_digits +1x8x8 +[\d.]+ +[\d.]+ ms$", capsys.readouterr().out, re.M)


def test_scores_that_differ_are_told(capsys, monkeypatch):
    torch_or_skip("steps of both")
    from fastconv.cli import _steps

    monkeypatch.setitem(_steps._SAME, "float32", -1.0)
    assert bench("--step", "lenet5", "--batch", "2") == 1
    assert "lenet5: the scores differ by" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--function", "conv4d"], "no function 'conv4d'"),
        (["--step", "lenet5", "--rival", "im2col"], "torch or none, got 'im2col'"),
        (["--step", "lenet5", "--plot", "x.png"], "--plot: cannot be given with --function"),
        (["--step", "resnet19"], "resnet19"),
    ],
)
def test_errors_are_one_line_before_anything_runs(capsys, arguments, message):
    assert bench(*arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
