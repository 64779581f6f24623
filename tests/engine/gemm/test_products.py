"""The input gradient of small maps with large weights: products first, sums later."""

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from tests._cases import DTYPES, Conv, inner_call, integers, normal, variant_of

# Channels and pixels that fill no vector and no tile, several blocks of samples and of steps, taps
# that are odd, or more than a vector holds, or reach no position, groups, and phases without taps.
CASES = [
    Conv(1, 64, 14, 14, 64, 3, 3, 2, 1),
    Conv(8, 48, 7, 7, 96, 3, 3, 1, 1),
    Conv(3, 40, 13, 14, 700, 3, 3, 2, 1),
    Conv(2, 33, 11, 12, 35, 5, 5, 2, 2),
    Conv(5, 20, 9, 10, 1200, 3, 2, 2, (1, 0)),
    Conv(2, 64, 12, 13, 64, 3, 3, 2, 1, 1, 2),
    Conv(2, 17, 8, 9, 40, 3, 3, 1, 2, 2),
    Conv(9, 34, 14, 15, 66, 2, 1, 3),
    Conv(2, 40, 3, 4, 40, 1, 9, 2, 3),
    Conv(70, 40, 3, 4, 300, 3, 3, 2, 1),
    # The last pass ends with the samples, and has fewer blocks than those before.
    Conv(30, 13, 27, 28, 29, 5, 5, 1, 2),
]


def gradient(case, weight, residual):
    """Return the gradient, whose maps lie in a guard band, and check the band."""
    n, c, h, w = case.input_shape
    whole = np.full((n + 2, c + 2, h, w), 7, weight.dtype)
    compute = inner_call("conv2d_input", case.geometry, weight.dtype, "gemm", "products first")
    compute(residual, weight, None, whole[1:-1, 1:-1])
    result = whole[1:-1, 1:-1].copy()
    whole[1:-1, 1:-1] = 7
    assert np.all(whole == 7)
    return result


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_exact_on_integers_and_the_same_bits(case, dtype):
    shape = F.conv2d(
        np.zeros(case.input_shape, dtype), np.zeros(case.weight_shape, dtype), None, *case.options
    ).shape
    weight, residual = integers(case.weight_shape, dtype, 1), integers(shape, dtype, 2)
    expected = F.conv2d_input(case.input_shape, weight, residual, *case.options, algorithm="direct")
    np.testing.assert_array_equal(gradient(case, weight, residual), expected)

    weight, residual = normal(case.weight_shape, dtype, 3), normal(shape, dtype, 4)
    before = fastconv.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            fastconv.set_num_threads(threads)
            results.append(gradient(case, weight, residual))
    finally:
        fastconv.set_num_threads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    alone = gradient(case._replace(n=1), weight, residual[-1:])
    np.testing.assert_array_equal(alone[0], results[0][-1])
    turned = np.ascontiguousarray(weight.swapaxes(2, 3)).swapaxes(2, 3)
    backwards = residual[:, ::-1].copy()[:, ::-1]
    np.testing.assert_array_equal(gradient(case, turned, backwards), results[0])


def test_it_computes_deep_layers_of_small_maps():
    for case, expected in (
        (Conv(1, 512, 14, 14, 512, 3, 3, 2, 1), True),
        (Conv(8, 128, 56, 56, 128, 3, 3, 2, 1), False),
        (Conv(8, 512, 7, 7, 2048, 1, 1), False),
    ):
        found = variant_of("conv2d_input", case.geometry, np.float32, "gemm").name
        assert (found == "products first") == expected
