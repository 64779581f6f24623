"""The work of the networks: multiply-adds as exact integers."""

import pytest

from fastconv import models

# Multiply-adds for an image of 224 x 224: of ResNets, torchvision's and (with the stride in the
# first convolution) those that table 1 of the paper gives as 1.8, 3.6, 3.8, 7.6 and 11.3 x 10^9.
FIRST = {"stride_in_first": True}
COUNTS = [
    ("resnet18", {}, 1_814_073_344),
    ("resnet34", {}, 3_663_761_408),
    ("resnet50", FIRST, 3_857_973_248),
    ("resnet101", FIRST, 7_570_194_432),
    ("resnet152", FIRST, 11_282_415_616),
    ("resnet50", {}, 4_089_184_256),
    ("resnet101", {}, 7_801_405_440),
    ("resnet152", {}, 11_513_626_624),
    ("googlenet", {}, 1_498_376_192),
    ("googlenet", {"paper": True}, 1_582_671_872),
    ("mobilenet_v2", {}, 300_774_272),
    ("alexnet", {}, 714_188_480),
]


@pytest.mark.parametrize(("name", "options", "count"), COUNTS)
def test_multiply_adds_of_networks(name, options, count):
    found = getattr(models, name)(**options, rng=0).summary((3, 224, 224))
    assert found.multiply_adds == count
    assert 0.9 * count < found.connections < count
    assert found.layers[-1].output_shape == (1, 1000)
