"""The initial values: bounds, moments, fan-in with groups, reproducibility."""

from math import sqrt

import numpy as np
import pytest

from fastconv import layers
from tests._cases import torch_or_skip

# A layer, its fan-in and its fan-out (of one group).
BUILDERS = {
    "linear": (lambda **more: layers.Linear(200, 300, **more), 200, 300),
    "conv": (lambda **more: layers.Conv2d(40, 60, (3, 5), **more), 40 * 15, 60 * 15),
    "transposed": (
        lambda **more: layers.ConvTranspose2d(40, 60, (3, 5), **more),
        60 * 15,
        40 * 15,
    ),
    "groups": (lambda **more: layers.Conv2d(40, 80, 5, groups=4, **more), 10 * 25, 20 * 25),
    "depthwise": (lambda **more: layers.Conv2d(600, 1200, 5, groups=600, **more), 25, 2 * 25),
}
SCHEMES = ["torch", "he", "xavier"]


@pytest.mark.parametrize("name", BUILDERS)
def test_torchs_scheme_is_uniform_for_weights_and_bias(name):
    build, fan_in, _ = BUILDERS[name]
    layer = build(rng=0, dtype=np.float64)
    assert_uniform(layer.weight.data, 1 / sqrt(fan_in))
    assert_uniform(layer.bias.data, 1 / sqrt(fan_in))


@pytest.mark.parametrize("name", BUILDERS)
def test_xaviers_scheme_is_uniform_without_bias(name):
    build, fan_in, fan_out = BUILDERS[name]
    layer = build(rng=0, dtype=np.float64, init="xavier")
    assert_uniform(layer.weight.data, sqrt(6 / (fan_in + fan_out)))
    np.testing.assert_array_equal(layer.bias.data, 0)


@pytest.mark.parametrize("name", BUILDERS)
def test_hes_scheme_is_normal_without_bias(name):
    build, fan_in, _ = BUILDERS[name]
    layer = build(rng=0, dtype=np.float64, init="he")
    scaled = layer.weight.data.ravel() / sqrt(2 / fan_in)
    # Five standard deviations of the mean, the variance and the fourth moment of normal numbers.
    n = scaled.size
    assert abs(scaled.mean()) < 5 / sqrt(n)
    assert abs((scaled**2).mean() - 1) < 5 * sqrt(2 / n)
    assert abs((scaled**4).mean() - 3) < 5 * sqrt(96 / n)
    np.testing.assert_array_equal(layer.bias.data, 0)


def assert_uniform(values, bound):
    """Check bound, mean and variance of U(-bound, bound), to five standard deviations."""
    scaled = values.ravel() / bound
    n = scaled.size
    assert np.abs(scaled).max() <= 1
    # The largest of n is below 1 - 40/n with probability exp(-20).
    assert scaled.max() > 1 - 40 / n
    assert scaled.min() < -1 + 40 / n
    assert abs(scaled.mean()) < 5 / sqrt(3 * n)
    assert abs((scaled**2).mean() - 1 / 3) < 5 * sqrt(4 / 45 / n)


@pytest.mark.parametrize("name", BUILDERS)
def test_torchs_scheme_has_torchs_bounds(name):
    torch = torch_or_skip("bounds of the default initial values")
    build, fan_in, _ = BUILDERS[name]
    layer = build(rng=0)
    torch.manual_seed(0)
    if name == "linear":
        twin = torch.nn.Linear(200, 300)
    else:
        arguments = (layer.in_channels, layer.out_channels, layer.kernel_size)
        twin = getattr(torch.nn, type(layer).__name__)(*arguments, groups=layer.groups)
    for ours, theirs in ((layer.weight, twin.weight), (layer.bias, twin.bias)):
        assert ours.data.shape == tuple(theirs.shape)
        largest = np.abs(theirs.detach().numpy()).max() * sqrt(fan_in)
        assert 0.9 < largest < 1 + 1e-6
        assert 0.9 < np.abs(ours.data).max() * sqrt(fan_in) < 1 + 1e-6


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", BUILDERS)
def test_values_follow_from_the_seed(name, scheme):
    build, _, _ = BUILDERS[name]

    def weights(rng, **more):
        return build(rng=rng, init=scheme, **more).weight.data

    first = weights(7)
    np.testing.assert_array_equal(weights(7), first)
    np.testing.assert_array_equal(weights(np.random.default_rng(7)), first)
    np.testing.assert_array_equal(weights(7, bias=False), first)
    assert not np.array_equal(weights(8), first)
    assert not np.array_equal(weights(None), weights(None))
    generator = np.random.default_rng(7)
    assert not np.array_equal(weights(generator), weights(generator))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", BUILDERS)
def test_float32_holds_the_rounded_values_of_float64(name, scheme):
    build, _, _ = BUILDERS[name]
    single = build(rng=1, init=scheme)
    double = build(rng=1, init=scheme, dtype=np.float64)
    for one, other in zip(single.parameters(), double.parameters(), strict=True):
        assert one.data.dtype == np.float32
        assert other.data.dtype == np.float64
        np.testing.assert_array_equal(one.data, other.data.astype(np.float32))
        assert one.data.flags.c_contiguous
        assert one.data.flags.writeable


@pytest.mark.parametrize("name", ["linear", "conv"])
def test_weights_and_bias_are_different_numbers(name):
    build, _, _ = BUILDERS[name]
    layer = build(rng=0, dtype=np.float64)
    assert not np.isin(layer.bias.data, layer.weight.data).any()


@pytest.mark.parametrize("name", ["linear", "conv"])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"init": "kaiming"}, ValueError, "one of 'torch', 'he', 'xavier', got 'kaiming'"),
        ({"init": None}, ValueError, "one of 'torch', 'he', 'xavier', got None"),
        ({"dtype": np.int32}, TypeError, "float32 or float64, got int32"),
        ({"dtype": np.float16}, TypeError, "float32 or float64, got float16"),
        ({"dtype": np.complex64}, TypeError, "float32 or float64, got complex64"),
        ({"dtype": ">f8"}, TypeError, "float32 or float64, got >f8"),
        ({"dtype": None}, TypeError, "float32 or float64, got None"),
        ({"dtype": "number"}, TypeError, "number"),
        ({"rng": -1}, ValueError, "negative"),
    ],
)
def test_wrong_arguments_are_refused(name, arguments, error, message):
    with pytest.raises(error, match=message):
        BUILDERS[name][0](**arguments)


def test_dtypes_by_name():
    assert layers.Linear(2, 2, dtype="float64").weight.data.dtype == np.float64
    assert layers.Linear(2, 2, dtype=float).weight.data.dtype == np.float64
    assert layers.Linear(2, 2, dtype="f4").weight.data.dtype == np.float32
