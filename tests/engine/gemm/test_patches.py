"""Kernels that move by their own size, and strided windows without padding."""

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv._geometry import conv_geometry
from tests._cases import DTYPES, inner_call, integers, normal

# Batch, groups, channels, output channels, size of the output, and kernel: rows and columns that
# fill no tile, maps of one pixel, patches wider than a vector or a tile is high, several blocks of
# steps and of pixels, one and three axes.
CASES = [
    (8, 1, 64, 128, (28, 28), (2, 2)),
    (3, 2, 20, 1300, (5, 7), (2, 2)),
    (1, 1, 3, 9, (14,), (2,)),
    (2, 3, 6, 33, (3, 4, 5), (2, 2, 2)),
    (2, 1, 7, 20, (9, 11), (3, 3)),
    (1, 1, 5, 40, (6, 6), (16, 16)),
    (2, 1, 5, 40, (6, 33), (4, 4)),
    (2, 1, 5, 40, (6, 6), (1, 5)),
    (2, 1, 5, 40, (6, 6), (3, 1)),
    (4, 2, 10, 40, (2, 2), (7, 7)),
    (40, 1, 3, 700, (2, 3), (5, 4)),
    (2, 1, 1, 1, (50, 50), (2, 11)),
    (1, 1, 2, 3, (4, 5), (3, 70)),
    (5, 1, 40, 300, (60, 13), (2, 2)),
]


def geometry_of(case):
    batch, groups, channels, outputs, size, kernel = case
    shape = tuple(cells * taps for cells, taps in zip(size, kernel, strict=True))
    weight = (outputs, channels // groups, *kernel)
    return conv_geometry(
        (batch, channels, *shape), weight, kernel, ((0, 0),) * len(size), (1,) * len(size), groups
    )


def gradient(geometry, weight, residual, bias=None, variant="patches"):
    """Return the gradient, whose maps lie in a guard band, and check the band."""
    batch, channels, *size = geometry.input_shape
    whole = np.full((batch + 2, channels + 2, *size), 7, weight.dtype)
    compute = inner_call("conv2d_input", geometry, weight.dtype, "gemm", variant)
    compute(residual, weight, bias, whole[1:-1, 1:-1])
    result = whole[1:-1, 1:-1].copy()
    whole[1:-1, 1:-1] = 7
    assert np.all(whole == 7)
    return result


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_exact_on_integers(case, dtype):
    geometry = geometry_of(case)
    weight = integers(geometry.weight_shape, dtype, 1)
    residual = integers(geometry.output_shape, dtype, 2)
    bias = integers((geometry.in_channels,), dtype, 3)
    compute = inner_call("conv2d_input", geometry, dtype, "direct")
    for added in (None, bias):
        expected = np.empty(geometry.input_shape, dtype)
        compute(residual, weight, added, expected)
        np.testing.assert_array_equal(gradient(geometry, weight, residual, added), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_bits_are_those_of_the_phases(case, dtype):
    geometry = geometry_of(case)
    weight = normal(geometry.weight_shape, dtype, 3)
    residual = normal(geometry.output_shape, dtype, 4)
    bias = normal((geometry.in_channels,), dtype, 5)
    expected = gradient(geometry, weight, residual, bias, "pixels in the lanes")
    for threads in (1, 2, 3, 8):
        fastconv.set_num_threads(threads)
        np.testing.assert_array_equal(gradient(geometry, weight, residual, bias), expected)
    turned = np.asfortranarray(weight)
    backwards = residual[..., ::-1].copy()[..., ::-1]
    backwards.flags.writeable = False
    np.testing.assert_array_equal(
        gradient(geometry, turned, backwards, bias[::-1].copy()[::-1]), expected
    )


def test_it_computes_patches_and_nothing_else():
    for shape, weight, options, expected in (
        ((8, 64, 56, 56), (128, 64, 2, 2), {"stride": 2}, True),
        ((8, 3, 224, 224), (96, 3, 16, 16), {"stride": 16}, True),
        ((8, 64, 56, 56), (128, 64, 1, 2), {"stride": (1, 2)}, True),
        # Gaps, padding, overlaps, positions that no output sees, 1x1, and a single output, whose
        # kernel moves by nothing.
        ((8, 64, 56, 56), (128, 64, 2, 2), {"stride": 3}, False),
        ((8, 64, 56, 56), (128, 64, 2, 2), {"stride": 2, "padding": 1}, False),
        ((8, 64, 56, 56), (128, 64, 3, 3), {"stride": 2, "padding": 1}, False),
        ((8, 64, 57, 56), (128, 64, 2, 2), {"stride": 2}, False),
        ((8, 64, 56, 56), (128, 64, 2, 2), {"stride": 2, "dilation": 2}, False),
        ((8, 64, 56, 56), (128, 64, 1, 1), {}, False),
        ((8, 64, 4, 4), (100, 64, 4, 4), {"stride": 4}, False),
        # Taken by loops of other bits.
        ((8, 512, 28, 28), (1024, 512, 2, 2), {"stride": 2}, False),
    ):
        found = fastconv.explain("conv2d_input", shape, weight, algorithm="gemm", **options)
        assert (found.variant == "patches") == expected, (shape, weight, options)


def test_a_transposed_convolution_takes_it():
    x, weight = normal((2, 5, 3, 4), np.float32, 1), normal((5, 7, 2, 3), np.float32, 2)
    bias = normal((7,), np.float32, 3)
    expected = np.einsum("nkhw,kcrs->nchrws", x.astype(float), weight.astype(float))
    expected = expected.reshape(2, 7, 6, 12) + bias[:, None, None]
    found = F.conv_transpose2d(x, weight, bias, (2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [case for case in CASES if 1 < case[-1][-1] <= 4], ids=str)
def test_the_weight_gradient_of_patches(case, dtype):
    geometry = geometry_of(case)
    x, residual = (
        integers(geometry.input_shape, dtype, 1),
        integers(geometry.output_shape, dtype, 2),
    )
    compute = inner_call("conv2d_weight", geometry, dtype, "gemm", "patches in the lanes")
    expected = np.empty(geometry.weight_shape, dtype)
    inner_call("conv2d_weight", geometry, dtype, "direct")(x, residual, expected)
    layouts = (x, residual), (np.asfortranarray(x), residual[:, ::-1].copy()[:, ::-1])
    for arrays in layouts:
        found = np.full(geometry.weight_shape, np.nan, dtype)
        compute(*arrays, found)
        np.testing.assert_array_equal(found, expected)

    x, residual = normal(geometry.input_shape, dtype, 3), normal(geometry.output_shape, dtype, 4)
    results = []
    for threads in (1, 2, 3, 8):
        fastconv.set_num_threads(threads)
        found = np.full(geometry.weight_shape, np.nan, dtype)
        compute(x, residual, found)
        results.append(found)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


# Input, weights, stride and groups: kernels that see no padding and move by more than 1. Rows of
# taps that fill no vector, that are longer than a panel, several rows and channels, dilated ones,
# and 1x1.
STRIDED = [
    ((8, 1, 16000), (64, 1, 400), (160,), 1, 1),
    ((2, 6, 9, 999), (10, 3, 2, 70), (1, 33), 1, 2),
    ((2, 2, 9, 999), (10, 2, 1, 67), (2, 2), 1, 1),
    ((2, 3, 40, 41), (70, 3, 16, 17), (16, 16), 1, 1),
    ((2, 3, 40, 41), (70, 3, 16, 17), (2, 20), (2, 1), 1),
    ((2, 3, 29, 29), (9, 3, 1, 1), (2, 2), 1, 1),
    ((2, 3, 40, 41), (70, 3, 3, 3), (3, 3), 1, 1),
    ((2, 3, 40, 41), (40, 3, 2, 2), (4, 5), (1, 3), 1),
    ((2, 3, 5, 9, 41), (40, 3, 2, 2, 4), (2, 1, 4), 1, 1),
]


def strided_geometry(shape, weight_shape, stride, dilation, groups):
    axes = len(stride)
    dilation = dilation if isinstance(dilation, tuple) else (dilation,) * axes
    return conv_geometry(shape, weight_shape, stride, ((0, 0),) * axes, dilation, groups)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", STRIDED, ids=str)
def test_strided_windows_inside_the_input(case, dtype):
    geometry = strided_geometry(*case)
    shape, weight_shape = case[:2]
    x, weight = integers(shape, dtype, 1), integers(weight_shape, dtype, 2)
    residual = integers(geometry.output_shape, dtype, 3)
    # Columns that are no neighbours take a slab.
    apart = np.repeat(x, 2, -1)[..., ::2]
    forward, for_weight = np.empty(geometry.output_shape, dtype), np.empty(weight_shape, dtype)
    inner_call("conv2d", geometry, dtype, "direct")(x, weight, None, forward)
    inner_call("conv2d_weight", geometry, dtype, "direct")(x, residual, for_weight)
    for array in (x, apart):
        found = np.full_like(forward, np.nan)
        inner_call("conv2d", geometry, dtype, "gemm", "pixels in the lanes")(
            array, weight, None, found
        )
        np.testing.assert_array_equal(found, forward)
        if np.prod(geometry.kernel) > 1:
            found = np.full_like(for_weight, np.nan)
            inner_call("conv2d_weight", geometry, dtype, "gemm", "taps in the lanes")(
                array, residual, found
            )
            np.testing.assert_array_equal(found, for_weight)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", STRIDED, ids=str)
def test_strided_windows_have_the_same_bits(case, dtype):
    geometry = strided_geometry(*case)
    shape, weight_shape = case[:2]
    x, weight = normal(shape, dtype, 1), normal(weight_shape, dtype, 2)
    residual = normal(geometry.output_shape, dtype, 3)
    apart = np.repeat(x, 2, -1)[..., ::2]
    for operation, variants in (
        ("conv2d", ("pixels in the lanes", "output channels in the lanes")),
        ("conv2d_weight", ("taps in the lanes",) if np.prod(geometry.kernel) > 1 else ()),
    ):
        results = []
        for variant, array, threads in (
            (variant, array, threads)
            for variant in variants
            for array in (x, apart)
            for threads in (1, 2, 8)
        ):
            fastconv.set_num_threads(threads)
            compute = inner_call(operation, geometry, dtype, "gemm", variant)
            if operation == "conv2d":
                results.append(np.full(geometry.output_shape, np.nan, dtype))
                compute(array, weight, None, results[-1])
            else:
                results.append(np.full(weight_shape, np.nan, dtype))
                compute(array, residual, results[-1])
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])
