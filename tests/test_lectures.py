"""The worked numbers of the lectures, sums written out as on the blackboard.

Every number is asked of the reference and of the fast functions; the convolutions also of each
algorithm that must be exact.
"""

import importlib
from functools import partial
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from fastconv import layers, reference, training

MAP = np.array([[1.0, 8, 4, 3], [7, 2, 1, 9], [6, 1, 2, 4], [8, 7, 6, 0]])
DTYPES = [np.float32, np.float64]


@pytest.fixture(params=["reference", "functional"])
def pool(request):
    return importlib.import_module(f"fastconv.{request.param}")


@pytest.fixture(params=["reference", "direct", "im2col"])
def conv(request):
    if request.param == "reference":
        return reference
    functional = importlib.import_module("fastconv.functional")
    names = ["conv2d", "conv2d_input", "conv2d_weight"]
    chosen = {name: partial(getattr(functional, name), algorithm=request.param) for name in names}
    return SimpleNamespace(**chosen, conv2d_bias=functional.conv2d_bias)


def one_map(values):
    return np.asarray(values, np.float64)[np.newaxis, np.newaxis]


def unit_maps(rows, columns):
    """Return every map that is 1 at one place and 0 elsewhere."""
    return np.eye(rows * columns).reshape(-1, rows, columns)


# A 3x3 input through a 2x2 kernel. Every sum is bilinear, so that agreement on all pairs of unit
# maps proves it for all numbers.


def z_written_out(a, w, b):
    (a11, a12, a13), (a21, a22, a23), (a31, a32, a33) = a
    (w11, w12), (w21, w22) = w
    return [
        [
            a11 * w11 + a12 * w12 + a21 * w21 + a22 * w22 + b,
            a12 * w11 + a13 * w12 + a22 * w21 + a23 * w22 + b,
        ],
        [
            a21 * w11 + a22 * w12 + a31 * w21 + a32 * w22 + b,
            a22 * w11 + a23 * w12 + a32 * w21 + a33 * w22 + b,
        ],
    ]


def delta_written_out(d, w):
    (d11, d12), (d21, d22) = d
    (w11, w12), (w21, w22) = w
    return [
        [
            d11 * w11,
            d11 * w12 + d12 * w11,
            d12 * w12,
        ],
        [
            d11 * w21 + d21 * w11,
            d11 * w22 + d12 * w21 + d21 * w12 + d22 * w11,
            d12 * w22 + d22 * w12,
        ],
        [
            d21 * w21,
            d21 * w22 + d22 * w21,
            d22 * w22,
        ],
    ]


def grad_weight_written_out(d, a):
    (d11, d12), (d21, d22) = d
    (a11, a12, a13), (a21, a22, a23), (a31, a32, a33) = a
    return [
        [
            d11 * a11 + d12 * a12 + d21 * a21 + d22 * a22,
            d11 * a12 + d12 * a13 + d21 * a22 + d22 * a23,
        ],
        [
            d11 * a21 + d12 * a22 + d21 * a31 + d22 * a32,
            d11 * a22 + d12 * a23 + d21 * a32 + d22 * a33,
        ],
    ]


A = np.array([[2.0, 3, 5], [7, 11, 13], [17, 19, 23]])
W = np.array([[29.0, 31], [37, 41]])
D = np.array([[43.0, 47], [53, 59]])
B = 61.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_z_with_primes(conv, dtype):
    z = conv.conv2d(one_map(A).astype(dtype), one_map(W).astype(dtype), np.array([B], dtype))
    assert z.dtype == dtype
    np.testing.assert_array_equal(z, one_map(z_written_out(A, W, B)))
    assert z[0, 0, 0, 0] == 2 * 29 + 3 * 31 + 7 * 37 + 11 * 41 + 61


def test_z_for_every_pair_of_unit_maps(conv):
    for a, w in product(unit_maps(3, 3), unit_maps(2, 2)):
        z = conv.conv2d(one_map(a), one_map(w))
        np.testing.assert_array_equal(z, one_map(z_written_out(a, w, 0)))
    z = conv.conv2d(one_map(np.zeros((3, 3))), one_map(np.zeros((2, 2))), np.array([B]))
    np.testing.assert_array_equal(z, one_map([[B, B], [B, B]]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_delta_of_the_previous_layer_with_primes(conv, dtype):
    delta = conv.conv2d_input((1, 1, 3, 3), one_map(W).astype(dtype), one_map(D).astype(dtype))
    assert delta.dtype == dtype
    np.testing.assert_array_equal(delta, one_map(delta_written_out(D, W)))
    assert delta[0, 0, 0, 1] == 43 * 31 + 47 * 29


def test_delta_of_the_previous_layer_for_every_pair_of_unit_maps(conv):
    for d, w in product(unit_maps(2, 2), unit_maps(2, 2)):
        delta = conv.conv2d_input((1, 1, 3, 3), one_map(w), one_map(d))
        np.testing.assert_array_equal(delta, one_map(delta_written_out(d, w)))


def test_delta_is_the_padded_residual_convolved_with_the_turned_kernel(conv):
    residual = one_map([[0, 0, 0, 0], [0, 43, 47, 0], [0, 53, 59, 0], [0, 0, 0, 0]])
    turned = one_map([[41, 37], [31, 29]])
    np.testing.assert_array_equal(
        conv.conv2d_input((1, 1, 3, 3), one_map(W), one_map(D)), conv.conv2d(residual, turned)
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_grad_weight_with_primes(conv, dtype):
    grad = conv.conv2d_weight(one_map(A).astype(dtype), (1, 1, 2, 2), one_map(D).astype(dtype))
    assert grad.dtype == dtype
    np.testing.assert_array_equal(grad, one_map(grad_weight_written_out(D, A)))
    assert grad[0, 0, 0, 1] == 43 * 3 + 47 * 5 + 53 * 11 + 59 * 13


def test_grad_weight_for_every_pair_of_unit_maps(conv):
    for d, a in product(unit_maps(2, 2), unit_maps(3, 3)):
        grad = conv.conv2d_weight(one_map(a), (1, 1, 2, 2), one_map(d))
        np.testing.assert_array_equal(grad, one_map(grad_weight_written_out(d, a)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_grad_bias(conv, dtype):
    grad = conv.conv2d_bias(one_map(D).astype(dtype))
    assert grad.dtype == dtype
    np.testing.assert_array_equal(grad, [43 + 47 + 53 + 59])


def test_all_gradients_in_one_call(pool):
    grads = pool.conv2d_backward(one_map(A), one_map(W), one_map(D))
    np.testing.assert_array_equal(grads[0], one_map(delta_written_out(D, W)))
    np.testing.assert_array_equal(grads[1], one_map(grad_weight_written_out(D, A)))
    np.testing.assert_array_equal(grads[2], [43 + 47 + 53 + 59])
    masked = pool.conv2d_backward(one_map(A), one_map(W), one_map(D), output_mask=(0, 1, 0))
    assert masked[0] is None
    assert masked[2] is None
    np.testing.assert_array_equal(masked[1], grads[1])


# Stride 2: a 5x5 input through a 3x3 kernel gives a 2x2 map. Its residual is filled with zeros
# to what stride 1 would have given, 3x3, and then treated as for stride 1.

ZERO_FILLED = [[43, 0, 47], [0, 0, 0], [53, 0, 59]]


def test_stride_two_forward(conv):
    rng = np.random.default_rng(5)
    a = rng.integers(-9, 10, (1, 1, 5, 5)).astype(np.float64)
    w = rng.integers(-9, 10, (1, 1, 3, 3)).astype(np.float64)
    dense = conv.conv2d(a, w)
    np.testing.assert_array_equal(conv.conv2d(a, w, stride=2), dense[:, :, ::2, ::2])
    np.testing.assert_array_equal(
        dense[0, 0, 2, 2], sum(a[0, 0, 2 + i, 2 + j] * w[0, 0, i, j] for i, j in np.ndindex(3, 3))
    )


def test_stride_two_delta_by_zero_filling(conv):
    w = one_map([[2, 3, 5], [7, 11, 13], [17, 19, 23]])
    delta = conv.conv2d_input((1, 1, 5, 5), w, one_map(D), stride=2)
    filled = conv.conv2d_input((1, 1, 5, 5), w, one_map(ZERO_FILLED))
    np.testing.assert_array_equal(delta, filled)
    # delta33 is the only cell that all four windows reach.
    assert delta[0, 0, 2, 2] == 43 * 23 + 47 * 17 + 53 * 5 + 59 * 2
    expected = [
        [43 * 2, 43 * 3, 43 * 5 + 47 * 2, 47 * 3, 47 * 5],
        [43 * 7, 43 * 11, 43 * 13 + 47 * 7, 47 * 11, 47 * 13],
        [
            43 * 17 + 53 * 2,
            43 * 19 + 53 * 3,
            43 * 23 + 47 * 17 + 53 * 5 + 59 * 2,
            47 * 19 + 59 * 3,
            47 * 23 + 59 * 5,
        ],
        [53 * 7, 53 * 11, 53 * 13 + 59 * 7, 59 * 11, 59 * 13],
        [53 * 17, 53 * 19, 53 * 23 + 59 * 17, 59 * 19, 59 * 23],
    ]
    np.testing.assert_array_equal(delta, one_map(expected))


def test_stride_two_grad_weight_by_zero_filling(conv):
    a = one_map(np.arange(1, 26).reshape(5, 5))
    grad = conv.conv2d_weight(a, (1, 1, 3, 3), one_map(D), stride=2)
    np.testing.assert_array_equal(grad, conv.conv2d(a, one_map(ZERO_FILLED)))
    assert grad[0, 0, 0, 1] == 43 * 2 + 47 * 4 + 53 * 12 + 59 * 14


# Several channels and kernels: a kernel has one 2x2 matrix for each channel, a map of z sums over
# the channels, and a channel's delta sums over the kernels.

A3 = np.array([A, A + 1, A[::-1]])
W23 = np.array([[W, 2 * W, -W], [W.T, W[::-1], W + 1]])
D2 = np.array([D, [[2.0, -3], [5, -7]]])
B2 = np.array([61.0, 67])


def test_several_channels_and_kernels_forward(conv):
    z = conv.conv2d(A3[np.newaxis], W23, B2)
    assert z.shape == (1, 2, 2, 2)
    for k in range(2):
        maps = [np.array(z_written_out(A3[c], W23[k, c], 0)) for c in range(3)]
        np.testing.assert_array_equal(z[0, k], maps[0] + maps[1] + maps[2] + B2[k])


def test_several_channels_and_kernels_delta_sums_over_kernels(conv):
    delta = conv.conv2d_input((1, 3, 3, 3), W23, D2[np.newaxis])
    for c in range(3):
        maps = [np.array(delta_written_out(D2[k], W23[k, c])) for k in range(2)]
        np.testing.assert_array_equal(delta[0, c], maps[0] + maps[1])


def test_several_channels_and_kernels_grad_weight(conv):
    grad = conv.conv2d_weight(A3[np.newaxis], (2, 3, 2, 2), D2[np.newaxis])
    for k, c in product(range(2), range(3)):
        np.testing.assert_array_equal(grad[k, c], grad_weight_written_out(D2[k], A3[c]))


def test_several_kernels_grad_bias(conv):
    np.testing.assert_array_equal(conv.conv2d_bias(D2), [43 + 47 + 53 + 59, 2 - 3 + 5 - 7])


def test_gradients_sum_over_the_samples(conv):
    a, d = np.stack([A3, A3[::-1]]), np.stack([D2, -2 * D2])
    grad = conv.conv2d_weight(a, (2, 3, 2, 2), d)
    for k, c in product(range(2), range(3)):
        samples = [np.array(grad_weight_written_out(d[n, k], a[n, c])) for n in range(2)]
        np.testing.assert_array_equal(grad[k, c], samples[0] + samples[1])
    np.testing.assert_array_equal(conv.conv2d_bias(d), [202 - 404, -3 + 6])


# Sizes.


@pytest.mark.parametrize(
    ("width", "kernel", "padding", "stride", "expected"),
    [
        (28, 5, 0, 1, 24),
        (28, 5, 2, 1, 28),
        (32, 5, 0, 1, 28),
        (7, 3, 0, 2, 3),
        (7, 3, 1, 2, 4),
        (7, 3, 0, 1, 5),
        (227, 11, 0, 4, 55),
        (5, 3, 1, 3, 2),
        (3, 2, 0, 1, 2),
    ],
)
def test_size_formula(conv, width, kernel, padding, stride, expected):
    assert (width + 2 * padding - kernel) // stride + 1 == expected
    a, w = np.ones((1, 1, width, kernel), np.float32), np.ones((1, 1, kernel, kernel), np.float32)
    z = conv.conv2d(a, w, stride=(stride, 1), padding=(padding, 0))
    assert z.shape == (1, 1, expected, 1)


def test_28_by_28_through_convolution_and_pooling(conv, pool):
    z = conv.conv2d(np.ones((1, 1, 28, 28)), np.ones((6, 1, 5, 5)))
    assert z.shape == (1, 6, 24, 24)
    assert (z == 25).all()
    assert pool.max_pool2d(z, 2).shape == (1, 6, 12, 12)
    assert pool.avg_pool2d(z, 2).shape == (1, 6, 12, 12)


def test_a_full_connection_of_3x3_to_2x2_has_36_connections_and_a_convolution_16():
    matrix = reference.conv2d_matrix(one_map(W), (1, 3, 3))
    assert matrix.shape == (4, 9)
    assert matrix.size == 36  # each connection with a parameter of its own
    assert np.count_nonzero(matrix) == 16
    assert set(matrix[matrix != 0]) == {29, 31, 37, 41}  # 4 shared parameters
    assert matrix.tolist() == [
        [29, 31, 0, 37, 41, 0, 0, 0, 0],
        [0, 29, 31, 0, 37, 41, 0, 0, 0],
        [0, 0, 0, 29, 31, 0, 37, 41, 0],
        [0, 0, 0, 0, 29, 31, 0, 37, 41],
    ]


def test_the_full_connection_computes_the_same(conv):
    linear = importlib.import_module("fastconv.functional").linear
    matrix = reference.conv2d_matrix(one_map(W), (1, 3, 3))
    z = conv.conv2d(one_map(A), one_map(W))
    np.testing.assert_array_equal(linear(A.reshape(1, 9), matrix), z.reshape(1, 4))
    delta = conv.conv2d_input((1, 1, 3, 3), one_map(W), one_map(D))
    np.testing.assert_array_equal(matrix.T @ D.ravel(), delta.ravel())


# Pooling.


@pytest.mark.parametrize("dtype", DTYPES)
def test_max_pooling(pool, dtype):
    output, indices = pool.max_pool2d(one_map(MAP).astype(dtype), 2, return_indices=True)
    assert output.dtype == dtype
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(output, one_map([[8, 9], [8, 6]]))
    np.testing.assert_array_equal(indices, [[[[1, 7], [12, 14]]]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_max_pooling_routes_the_residual_back(pool, dtype):
    _, indices = pool.max_pool2d(one_map(MAP).astype(dtype), 2, return_indices=True)
    residual = one_map([[7, 3], [1, 4]]).astype(dtype)
    grad = pool.max_pool2d_backward(residual, indices, (1, 1, 4, 4))
    assert grad.dtype == dtype
    np.testing.assert_array_equal(
        grad, one_map([[0, 7, 0, 0], [0, 0, 0, 3], [0, 0, 0, 0], [1, 0, 4, 0]])
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_mean_pooling(pool, dtype):
    output = pool.avg_pool2d(one_map(MAP).astype(dtype), 2)
    assert output.dtype == dtype
    np.testing.assert_array_equal(output, one_map([[4.5, 4.25], [5.5, 3]]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_mean_pooling_spreads_the_residual(pool, dtype):
    residual = one_map([[8, 4], [16, 4]]).astype(dtype)
    grad = pool.avg_pool2d_backward(residual, (1, 1, 4, 4), 2)
    assert grad.dtype == dtype
    np.testing.assert_array_equal(
        grad, one_map([[2, 2, 1, 1], [2, 2, 1, 1], [4, 4, 1, 1], [4, 4, 1, 1]])
    )


def test_half_squared_error(pool):
    y, d = np.array([[1.0, 5], [2, 2]]), np.array([[2.0, 2], [2, 4]])
    assert pool.half_squared_error(y, d, reduction="sum") == (1 + 9) / 2 + 4 / 2
    assert pool.half_squared_error(y, d) == ((1 + 9) / 2 + 4 / 2) / 2
    np.testing.assert_array_equal(
        pool.half_squared_error_backward(y, d, reduction="sum"), [[-1, 3], [0, -2]]
    )


# Connections and parameters.


def test_counts_are_those_of_the_matrix():
    matrix = reference.conv2d_matrix(one_map(W), (1, 3, 3))
    counts = reference.conv_counts((1, 3, 3), (1, 1, 2, 2))
    assert (counts.connections, counts.parameters) == (np.count_nonzero(matrix), 4) == (16, 4)
    full = reference.linear_counts(9, 4)
    assert (full.connections, full.parameters) == (36, 36)


def test_a_kernel_on_a_large_image_has_76_parameters():
    assert reference.linear_counts(300 * 300 * 3, 25).parameters == 300 * 300 * 3 * 25
    assert reference.conv_counts((3, 300, 300), (1, 3, 5, 5), bias=True).parameters == 76
    assert reference.conv_counts((1, 28, 28), (1, 1, 5, 5), bias=True).parameters == 26
    for channels, parameters in ((1, 26), (3, 76)):
        layer = layers.Conv2d(channels, 1, 5)
        assert sum(p.data.size for p in layer.parameters()) == parameters


# A border of zeros: no residual goes back to it.


def test_the_residuals_of_a_padded_border_are_redundant(conv):
    framed = np.pad(A, 1)
    z = conv.conv2d(one_map(A), one_map(W), padding=1)
    np.testing.assert_array_equal(z, conv.conv2d(one_map(framed), one_map(W)))
    residual = np.arange(1.0, 17).reshape(4, 4)
    whole = conv.conv2d_input((1, 1, 5, 5), one_map(W), one_map(residual))
    inner = conv.conv2d_input((1, 1, 3, 3), one_map(W), one_map(residual), padding=1)
    assert np.count_nonzero(whole) == 25  # the frame's 16 would get some, which nobody asks for
    np.testing.assert_array_equal(inner[0, 0], whole[0, 0, 1:-1, 1:-1])


# Three channels, padding 1 and stride 2, written out cell by cell.


def test_three_channels_with_padding_1_and_stride_2(conv):
    rng = np.random.default_rng(7)
    a, w = rng.integers(0, 3, (3, 5, 5)), rng.integers(-1, 2, (2, 3, 3, 3))
    b = np.array([1, 0])
    framed = np.pad(a, ((0, 0), (1, 1), (1, 1)))
    expected, grad_w = np.zeros((2, 3, 3), int), np.zeros(w.shape, int)
    delta, spread = rng.integers(-2, 3, (2, 3, 3)), np.zeros(framed.shape, int)
    for k, i, j in product(range(2), range(3), range(3)):
        rows, columns = slice(2 * i, 2 * i + 3), slice(2 * j, 2 * j + 3)
        expected[k, i, j] = (framed[:, rows, columns] * w[k]).sum() + b[k]
        grad_w[k] += delta[k, i, j] * framed[:, rows, columns]
        spread[:, rows, columns] += delta[k, i, j] * w[k]
    a, w, b, delta = (np.asarray(v, np.float64) for v in (a[None], w, b, delta[None]))
    geometry = {"stride": 2, "padding": 1}
    np.testing.assert_array_equal(conv.conv2d(a, w, b, **geometry)[0], expected)
    np.testing.assert_array_equal(conv.conv2d_weight(a, w.shape, delta, **geometry), grad_w)
    found = conv.conv2d_input(a.shape, w, delta, **geometry)[0]
    np.testing.assert_array_equal(found, spread[:, 1:-1, 1:-1])


# The five arrangements of convolution and pooling.


def stage(rng, inputs, outputs, convolutions, pools):
    """Return [convolution, ReLU] so many times, and a pooling or none."""
    parts = []
    for _ in range(convolutions):
        parts += [layers.Conv2d(inputs, outputs, 3, padding=1, rng=rng, init="he"), layers.ReLU()]
        inputs = outputs
    return [*parts, layers.MaxPool2d(2)] if pools else parts


# Stages as (channels, convolutions, pooling), and hidden full connections.
ARRANGEMENTS = {
    "in, full": ([], 0),
    "in, conv, relu, full": ([(4, 1, False)], 0),
    "in, (conv, relu, pool) x 2, full, relu, full": ([(4, 1, True), (8, 1, True)], 1),
    "in, ((conv, relu) x 2, pool) x 3, (full, relu) x 2, full": (
        [(4, 2, True), (6, 2, True), (8, 2, True)],
        2,
    ),
    "in, ((conv, relu) x 3, pool) x 2, full": ([(4, 3, True), (8, 3, True)], 0),
}


@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_the_arrangements_of_convolution_and_pooling_build_and_train(name):
    stages, hidden = ARRANGEMENTS[name]
    rng = np.random.default_rng(1)
    parts, channels, width = [], 1, 8
    for outputs, convolutions, pools in stages:
        parts += stage(rng, channels, outputs, convolutions, pools)
        channels, width = outputs, width // 2 if pools else width
    parts.append(layers.Flatten())
    features = channels * width * width
    for _ in range(hidden):
        parts += [layers.Linear(features, 16, rng=rng, init="he"), layers.ReLU()]
        features = 16
    net = layers.Sequential(*parts, layers.Linear(features, 10, rng=rng))
    adam = training.Adam(net.parameters(), 3e-3)
    data, loss = training.load_digits(), layers.CrossEntropyLoss()
    history = training.fit(net, loss, adam, data, epochs=8, batch_size=32)
    assert history[-1].test_accuracy > 0.8
    assert history[-1].train_loss < history[0].train_loss / 2
