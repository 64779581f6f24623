"""Sums whose length the user sets: of 2**24 terms, against exact values.

A running sum of float32 that rounds the same way in each step errs by up to half an eps for each of
its terms, and stops growing at 2**24 ones. All sums here are therefore made of short ones.
"""

import math
from itertools import product

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from fastconv._geometry import conv_geometry, gradient_pieces

N = 1 << 24
DTYPES = (np.float32, np.float64)
# Not exact in binary: its sums round in every step, the same way as long as the exponent stays.
TENTH = 0.1
# Of sums that are only added up; eps/2 for each term of a running sum of products, and for each of
# these sums, at most 65,536/1024 and its chunks.
PLAIN = {np.float32: 1e-6, np.float64: 1e-12}
PRODUCTS = {dtype: (1024 + 128) / 2 * float(np.finfo(dtype).eps) for dtype in DTYPES}

pytestmark = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])


def full(shape, value, dtype):
    return np.full(shape, value, dtype)


def relative(got, expected):
    return abs(float(got) - expected) / abs(expected)


# Maps as large as can be, and as small: each has its own loop.
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 4096, 4096), (N, 1, 1, 1), (N // 2, 1, 1, 2), (N // 16, 1, 3, 5), (N // 4, 4, 1, 1)],
)
def test_bias_of_maps(dtype, shape):
    residual = full(shape, TENTH, dtype)
    expected = float(dtype(TENTH)) * (residual.size // shape[1])
    assert relative(F.conv2d_bias(residual)[0], expected) < PLAIN[dtype]
    assert F.conv2d_bias(full(shape, 1, dtype))[0] == residual.size // shape[1]


# Rows side by side, columns side by side, and a stride.
@pytest.mark.parametrize("columns", [1, 4])
@pytest.mark.parametrize("layout", ["rows", "columns", "strided"])
def test_bias_of_a_full_connection(dtype, columns, layout):
    """In float32, ones used to stop growing at 2**24, and tenths erred by 15 %."""
    rows = N // columns
    input, weight = np.ones((rows, 1), dtype), np.ones((columns, 1), dtype)

    def bias_gradient(value):
        residual = full((rows, columns), value, dtype)
        if layout == "columns":
            residual = np.asfortranarray(residual)
        elif layout == "strided":
            residual = np.repeat(residual, 2, axis=0)[::2]
        return F.linear_backward(residual, input, weight, output_mask=(False, False, True))[2]

    assert (bias_gradient(1) == rows).all()
    expected = float(dtype(TENTH)) * rows
    assert max(relative(value, expected) for value in bias_gradient(TENTH)) < PLAIN[dtype]


def test_full_connection(dtype):
    """All three products, each with the long sum in its place."""
    expected = float(dtype(TENTH)) * N
    long, one = full((1, N), TENTH, dtype), np.ones((1, 1), dtype)
    ones = np.ones((1, N), dtype)
    bias = full((1,), 7, dtype)
    assert relative(F.linear(long, ones, bias)[0, 0] - 7, expected) < PRODUCTS[dtype]
    backward = F.linear_backward(long, one, ones.T)
    assert relative(backward[0][0, 0], expected) < PRODUCTS[dtype]
    backward = F.linear_backward(long.T, ones.T, one)
    assert relative(backward[1][0, 0], expected) < PRODUCTS[dtype]
    assert F.linear(ones, ones)[0, 0] == N


SQUARES = (N // 256, 1, 16, 16)


@pytest.mark.parametrize(
    ("algorithm", "shape"),
    [
        *product(
            ["auto", "gemm", "depthwise", "direct", "im2col"],
            [(1, 1, 4096, 4096), (1, 1, N, 1), (1, 1, 1, N), SQUARES],
        ),
    ],
)
def test_weight_gradient_of_one_channel(dtype, algorithm, shape):
    """By "depthwise", tenths in float32 used to err by 1 %."""
    ones = np.ones(shape, dtype)
    gradient = F.conv2d_weight(ones, (1, 1, 1, 1), full(shape, TENTH, dtype), algorithm=algorithm)
    assert relative(gradient[0, 0, 0, 0], float(dtype(TENTH)) * N) < PRODUCTS[dtype]
    assert F.conv2d_weight(ones, (1, 1, 1, 1), ones, algorithm=algorithm)[0, 0, 0, 0] == N


# Channels, groups, samples in the lanes; and Winograd's tiles, squares and rows.
@pytest.mark.parametrize(
    ("channels", "outputs", "kernel", "groups"),
    [(16, 24, 1, 1), (16, 24, 3, 1), (6, 4, 3, 1), (32, 32, 3, 4), (16, 16, 3, 16), (6, 16, 5, 1)],
)
def test_weight_gradient_of_channels(dtype, channels, outputs, kernel, groups):
    batch, side = 1 << 12, 16
    shape = (batch, channels, side, side)
    # One plane for all, since the sums are what is long here.
    x = np.broadcast_to(np.ones((1, 1, side, side), dtype), shape)
    residual = np.broadcast_to(dtype(TENTH), (batch, outputs, side, side))
    size = (outputs, channels // groups, kernel, kernel)
    gradient = F.conv2d_weight(x, size, residual, padding=kernel // 2, groups=groups)
    middle = gradient[:, :, kernel // 2, kernel // 2]
    expected = float(dtype(TENTH)) * batch * side * side
    # Winograd's transforms are within their own bound: a part of 1e-5 in float32.
    bound = 4 * PRODUCTS[dtype]
    assert max(relative(value, expected) for value in middle.ravel()) < bound


@pytest.mark.parametrize("threads", [2, 3])
def test_same_bits_for_any_number_of_threads(dtype, threads):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((300_000, 3)).astype(dtype)
    weight = np.ones((3, 3), dtype)
    x = rng.standard_normal((9, 4, 100, 100)).astype(dtype)
    residual = rng.standard_normal((9, 5, 100, 100)).astype(dtype)

    def compute():
        gradients = F.linear_backward(rows, rows, weight)
        return [*gradients, F.conv2d_weight(x, (5, 4, 3, 3), residual, padding=1)]

    before = fastconv.get_num_threads()
    try:
        fastconv.set_num_threads(1)
        alone = compute()
        fastconv.set_num_threads(threads)
        together = compute()
    finally:
        fastconv.set_num_threads(before)
    for one, many in zip(alone, together, strict=True):
        assert np.array_equal(one, many)


@pytest.mark.parametrize("longest", [1, 7, 30, 1000])
@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding", "dilation"),
    [
        ((3, 2, 6, 5), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
        ((2, 2, 9, 7), (3, 2), (2, 3), ((0, 2), (3, 0)), (2, 1)),
        # Windows that see nothing but padding.
        ((1, 1, 3, 3), (1, 1), (1, 1), ((4, 5), (0, 0)), (1, 1)),
    ],
)
def test_pieces_of_a_weight_gradient(dtype, longest, shape, kernel, stride, padding, dilation):
    """The pieces' gradients add up to the whole, and none is longer than asked for."""
    geometry = conv_geometry(shape, (4, shape[1], *kernel), stride, padding, dilation, 1)
    rng = np.random.default_rng(1)
    x = rng.integers(-9, 9, shape).astype(dtype)
    residual = rng.integers(-9, 9, geometry.output_shape).astype(dtype)
    total = np.zeros(geometry.weight_shape, dtype)
    for piece in gradient_pieces(geometry, longest):
        part = piece.geometry
        assert part.batch * math.prod(part.out_size) <= longest
        maps, gradient = x[piece.input], residual[piece.output]
        assert maps.shape == part.input_shape
        assert gradient.shape == part.output_shape
        total += reference.conv2d_weight(
            maps, part.weight_shape, gradient, stride, part.padding, dilation
        )
    whole = reference.conv2d_weight(x, geometry.weight_shape, residual, stride, padding, dilation)
    assert np.array_equal(total, whole)


@pytest.mark.parametrize("order", ["C", "F"])
def test_losses(dtype, order):
    """The half squared error of columns side by side used to err by 1 %."""
    shape = (2, N // 2)
    far, zero = full(shape, 1 + TENTH, dtype), np.zeros(shape, dtype)
    far, zero = np.asarray(far, order=order), np.asarray(zero, order=order)
    square = float(far[0, 0] * far[0, 0])
    assert relative(F.mse_loss(far, zero), square) < PLAIN[dtype]
    assert relative(F.mse_loss(far, zero, reduction="sum"), square * N) < PLAIN[dtype]
    assert relative(F.half_squared_error(far, zero), square * N / 4) < PLAIN[dtype]
    classes = np.zeros(N // 2, np.intp)
    scores = np.zeros((N // 2, 2), dtype, order=order)
    assert relative(F.cross_entropy(scores, classes), math.log(2)) < PLAIN[dtype]
    one = np.zeros((1, N), dtype, order=order)
    assert relative(F.cross_entropy(one, classes[:1]), math.log(N)) < PLAIN[dtype]


@pytest.mark.parametrize("axis", [0, 1])
def test_softmax(dtype, axis):
    """Along another axis than the last, the sum of 2**24 numbers used to be a running one."""
    shape = (N, 1) if axis == 0 else (1, N)
    scores = full(shape, -0.3, dtype)
    scores[0, 0] = 0
    rest = float(np.exp(scores[-1, -1]))
    expected = 1 / math.fsum([1, (N - 1) * rest])
    assert relative(F.softmax(scores, axis)[0, 0], expected) < PLAIN[dtype]
    assert relative(F.log_softmax(scores, axis)[0, 0], math.log(expected)) < PLAIN[dtype]
    # The gradients' sums, seen alone: with an output of 0 = log 1, less one residual that is 0.
    residual = full(shape, TENTH, dtype)
    residual[0, 0] = 0
    total = float(dtype(TENTH)) * (N - 1)
    gradient = F.log_softmax_backward(residual, np.zeros(shape, dtype), axis)
    assert relative(gradient[0, 0], -total) < PLAIN[dtype]
    gradient = F.softmax_backward(residual, np.ones(shape, dtype), axis)
    assert relative(gradient[0, 0], -total) < PLAIN[dtype]


@pytest.mark.parametrize(
    "shape", [(1, 1, 4096, 4096), (1, 1, N // 64, 1), (1, 1, 1, N // 64), (2, 3, 70, 50)]
)
def test_mean_of_a_large_window(dtype, shape):
    """A column of tenths used to err by 15 %; a row took time with the square of its length."""
    maps = full(shape, TENTH, dtype)
    means = F.avg_pool2d(maps, shape[2:])
    bound = max(PLAIN[dtype], max(shape[2:]) * float(np.finfo(np.float64).eps))
    assert max(relative(mean, float(dtype(TENTH))) for mean in means.ravel()) < bound
    ones = F.avg_pool2d_backward(full(means.shape, N, dtype), shape, shape[2:])
    assert (ones == dtype(N) / dtype(math.prod(shape[2:]))).all()
    assert (F.max_pool2d(maps, shape[2:]) == dtype(TENTH)).all()


def test_gradient_of_means_where_many_windows_meet(dtype):
    """All 4,096 windows of a row hold its middle."""
    size, kernel = 4097, 2048
    residual = full((1, 1, 1, size - kernel + 1), TENTH, dtype)
    gradient = F.avg_pool2d_backward(residual, (1, 1, 1, size), (1, kernel), stride=1)
    expected = float(dtype(TENTH))
    assert relative(gradient[0, 0, 0, size // 2], expected) < PLAIN[dtype]
