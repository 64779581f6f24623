"""The command `fastconv show`."""

import numpy as np
import pytest

from fastconv import models, training

pytest.importorskip("click")
pytest.importorskip("matplotlib")
from fastconv.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    assert main(["train", "--epochs", "1", "--no-plots", "--output", str(folder)]) == 0
    return folder / "checkpoint.npz"


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG")


def test_arithmetic(capsys, tmp_path):
    options = ["--input", "4x5", "--stride", "2x1", "--padding", "same", "--direction", "input"]
    assert main(["show", "arithmetic", *options, "--output", "a.gif"]) == 0
    assert capsys.readouterr().out == "20 steps\nsaved      a.gif\n"
    assert (tmp_path / "a.gif").read_bytes().startswith(b"GIF89a")
    assert main(["show", "arithmetic", "--transposed", "--kernel", "2"]) == 0
    assert capsys.readouterr().out == "25 steps\nsaved      arithmetic.gif\n"


def test_kernels_of_a_checkpoint_and_of_a_state(run, capsys, tmp_path):
    assert main(["show", "kernels", str(run)]) == 0
    assert capsys.readouterr().out == "saved      kernels.png\n"
    assert is_png(tmp_path / "kernels.png")
    training.save_state("state.npz", models.lenet5(rng=0).state_dict())
    assert main(["show", "kernels", "state.npz", "--layer", "3", "--output", "k.png"]) == 0
    assert is_png(tmp_path / "k.png")


def test_features(run, capsys, tmp_path):
    options = ["--layer", "2", "--image", "7", "--output", "f.png"]
    assert main(["show", "features", str(run), *options]) == 0
    assert capsys.readouterr().out == "saved      f.png\n"
    assert is_png(tmp_path / "f.png")


def test_the_features_are_the_layers_output(run, monkeypatch):
    drawn = {}
    monkeypatch.setattr("fastconv.plots.features_picture",
                        lambda maps, path, **more: drawn.update(maps=maps, **more))  # fmt: skip
    assert main(["show", "features", str(run), "--image", "7"]) == 0
    digits, saved = training.load("digits"), training.load_checkpoint(run)
    net = models.lenet_digits(rng=0)
    net.load_state_dict(saved.model)
    scaled = (digits.test_images[7:8] - digits.mean) / digits.std
    expected = net[0](scaled.astype(np.float32))[0]
    np.testing.assert_allclose(drawn["maps"], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(drawn["image"], digits.test_images[7])
    assert drawn["title"].endswith(f"image 7, class {digits.test_labels[7]}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["arithmetic", "--input", "4y5"], "'4y5' is no size such as 5 or 5x4"),
        (["arithmetic", "--stride", "0"], "'0' is no size"),
        (["arithmetic", "--padding", "most"], "'most' is no size"),
        (["arithmetic", "--input", "2"], "larger than the padded input"),
        (["arithmetic", "--transposed", "--direction", "input"], "shown forward only"),
        (["arithmetic", "--output", "missing/a.gif"], "missing"),
        (["kernels", "missing.npz"], "missing.npz"),
        (["kernels", "RUN", "--layer", "1"], "no convolution '1'; there are 0, 2"),
        (["features", "RUN", "--layer", "1"], "no convolution '1'; there are 0, 2"),
        (["features", "RUN", "--image", "400"], "there are 355 test images, got 400"),
    ],
)
def test_errors_are_one_line(run, capsys, arguments, message):
    assert main(["show", *(str(run) if word == "RUN" else word for word in arguments)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert shown.err.count("\n") == 1


def test_a_state_without_convolutions(capsys):
    training.save_state("state.npz", {"weight": np.ones((2, 3), np.float32)})
    assert main(["show", "kernels", "state.npz"]) == 2
    assert "holds no kernels of a convolution" in capsys.readouterr().err
