"""Prepared weights: the same bits, a copy, and one geometry only; and layers that keep them."""

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import layers
from tests._cases import DTYPES, Conv, able, normal

CASES = (
    Conv(2, 20, 9, 10, 34, 3, 3, 1, 1),  # winograd, with its U kept
    Conv(1, 400, 4, 4, 300, 3, 3, 1, 1),  # and where it is too large
    Conv(2, 20, 9, 10, 34, 5, 5, 1, 2),
    Conv(2, 6, 9, 14, 16, 5, 5),  # tiles of rows
    Conv(2, 20, 9, 10, 34, 1, 7, 1, (0, 3)),
    Conv(3, 6, 9, 8, 4, 3, 3, 1, ((0, 2), (1, 1)), 1, 2),
    Conv(2, 3, 9, 10, 6, 3, 2, (2, 1), 1, (1, 2), 3),
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_algorithm_gives_the_same_bits(case, dtype):
    x, weight = normal(case.input_shape, dtype), normal(case.weight_shape, dtype)
    bias = normal((case.k,), dtype)
    for algorithm in ("auto", *able(case.geometry)):
        options = {"algorithm": algorithm}
        ready = F.prepare_weight(weight, x.shape[1:], *case.options, **options)
        for batch in (x, x[:1], np.concatenate([x, x]), x[0]):
            expected = F.conv2d(batch, weight, bias, *case.options, **options)
            actual = F.conv2d(batch, ready, bias, *case.options, **options)
            assert actual.tobytes() == expected.tobytes(), algorithm


def test_it_is_a_copy():
    x, weight = normal((1, 64, 8, 8)), normal((64, 64, 3, 3))
    ready = F.prepare_weight(weight, x.shape, padding=1)
    assert ready.plan.algorithm == "winograd"
    before = F.conv2d(x, ready, padding=1)
    weight[...] = 0
    np.testing.assert_array_equal(F.conv2d(x, ready, padding=1), before)
    with pytest.raises(ValueError, match="read-only"):
        ready.weight[0] = 0


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        ((4, 9, 9), {}, r"padding \(\(1, 1\), \(1, 1\)\), got \(\(0, 0\), \(0, 0\)\)"),
        ((4, 8, 9), {"padding": 1}, r"prepared for in_size \(9, 9\), got \(8, 9\)$"),
        ((4, 9, 9), {"padding": 1, "stride": 2}, r"stride \(1, 1\), got \(2, 2\)"),
        ((4, 9, 9), {"padding": 1, "algorithm": "direct"}, "algorithm 'gemm', got 'direct'"),
    ],
)
def test_another_geometry_is_refused(size, options, message):
    ready = F.prepare_weight(np.ones((2, 4, 3, 3)), (4, 9, 9), padding=1, algorithm="gemm")
    options = {"algorithm": "gemm", **options}
    with pytest.raises(ValueError, match=message):
        F.conv2d(np.ones(size), ready, **options)


def test_other_misuse_is_refused():
    ready = F.prepare_weight(np.ones((2, 4, 3, 3)), (4, 9, 9))
    with pytest.raises(TypeError, match="weight must have the dtype of input"):
        F.conv2d(np.ones((4, 9, 9), np.float32), ready)
    with pytest.raises(TypeError, match="got PreparedWeight"):
        F.conv2d_input((4, 9, 9), ready, np.ones((2, 7, 7)))
    with pytest.raises(ValueError, match="input must have"):
        F.prepare_weight(np.ones((2, 4, 3, 3)), (5, 9, 9))


def network():
    return layers.Sequential(
        layers.Conv2d(3, 64, 3, padding=1, rng=0),
        layers.ReLU(),
        layers.Conv2d(64, 64, 3, padding=1, padding_mode="reflect", rng=1),
    ).eval()


def test_a_prepared_network_gives_the_same_bits():
    net, x = network(), normal((2, 3, 14, 14), np.float32)
    wide = normal((1, 3, 14, 15), np.float32)
    expected, others = net(x), net(wide)
    with fastconv.exact():
        exact = net(x)
    assert net.prepare() is net
    for _ in range(2):
        assert net(x).tobytes() == expected.tobytes()
        assert net(wide).tobytes() == others.tobytes()
        with fastconv.exact():
            assert net(x).tobytes() == exact.tobytes()


def test_what_is_prepared_is_dropped_when_the_weights_may_change():
    net, x = network(), normal((1, 3, 9, 9), np.float32)
    before = net.prepare()(x)
    state = {name: array * 2 for name, array in net.state_dict().items()}
    net.load_state_dict(state)
    assert not np.array_equal(net(x), before)
    twice = net.prepare()(x)
    net.state_dict()["0.weight"][...] = 0
    assert net(x).tobytes() == twice.tobytes()
    net.train().eval()
    assert net(x).tobytes() != twice.tobytes()
    net.train()
    with pytest.raises(RuntimeError, match="call eval"):
        net.prepare()


@pytest.mark.parametrize(
    ("build", "size"),
    [
        (lambda: layers.Conv1d(32, 64, 3, padding=1, rng=0), (2, 32, 90)),
        (lambda: layers.Conv3d(2, 3, 2, rng=0), (2, 2, 4, 5, 6)),
        (lambda: layers.ConvTranspose1d(32, 64, 3, padding=1, rng=0), (2, 32, 90)),
        (lambda: layers.ConvTranspose2d(64, 64, 3, padding=1, rng=0), (2, 64, 14, 14)),
        (lambda: layers.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, rng=0), (2, 4, 14, 14)),
        (lambda: layers.ConvTranspose3d(2, 3, 2, 2, rng=0), (2, 2, 4, 5, 6)),
    ],
)
def test_every_convolution_can_be_prepared(build, size):
    layer, x = build().eval(), normal(size, np.float32)
    expected = layer(x)
    layer.prepare()
    for _ in range(2):
        assert layer(x).tobytes() == expected.tobytes()
    (ready,) = layer._prepared.values()
    assert ready.operation.startswith("conv_transpose") == layer.transposed


def test_many_sizes_keep_a_few():
    layer = layers.Conv2d(2, 3, 3, rng=0).eval().prepare()
    for size in range(3, 30):
        layer(np.zeros((1, 2, size, size), np.float32))
    assert 0 < len(layer._prepared) <= 4
