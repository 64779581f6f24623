"""``fastconv summary``: the table, and arguments that are wrong."""

import pytest

pytest.importorskip("click")

from fastconv import models
from fastconv.cli import main


def test_the_table_is_that_of_the_model(capsys):
    assert main(["summary", "lenet5", "--input", "1x28x28"]) == 0
    assert capsys.readouterr().out == f"{models.lenet5().summary((1, 28, 28))}\n"
    arguments = ["--input", "3x32x48", "--batch-size", "4", "--classes", "7", "--dtype", "float64"]
    assert main(["summary", "resnet20", *arguments]) == 0
    out = capsys.readouterr().out
    assert "4 x 16 x 32 x 48" in out
    assert "4 x 7 " in out
    assert f"input 4 x 3 x 32 x 48; parameters {(269_722 - 3 * 65) * 8 / 2**20:.1f} MiB" in out


def test_the_default_is_an_image_of_imagenet(capsys):
    assert main(["summary", "mobilenet_v2"]) == 0
    total = next(line for line in capsys.readouterr().out.splitlines() if line[:5] == "total")
    assert total.split()[1:4:2] == ["3,504,872", "300,774,272"]


@pytest.mark.parametrize("shape", ["3", "3x-1", "0x8x8", "3x8x", "x", "3*8*8", ""])
def test_shapes_that_are_none_are_refused(capsys, shape):
    assert main(["summary", "resnet20", "--input", shape]) == 2
    assert capsys.readouterr().err.startswith("fastconv: error: ")


def test_an_unknown_model_is_refused(capsys):
    assert main(["summary", "resnet5"]) == 2
    assert "resnet20" in capsys.readouterr().err
