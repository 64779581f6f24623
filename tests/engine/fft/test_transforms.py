"""The algorithm "fft": its blocks, its error bound, and what its transforms must not mix."""

from math import prod

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from fastconv.engine.fft.blocks import conv_blocks, fast_length
from fastconv.engine.plan import ALGORITHMS
from tests._cases import DTYPES, PICKED, Conv, directions, layouts, normal, problem

ROW = next(row for row in ALGORITHMS if row.name == "fft")
# Several blocks on both axes, with a last one that is cut off; and kernels larger than the map.
CUT = (
    Conv(2, 1, 90, 141, 1, 3, 5, 1, (1, 2)),
    Conv(1, 2, 200, 9, 3, 2, 2, 1, 0, 3),
    Conv(2, 4, 5, 6, 6, 9, 9, 1, 4, 1, 2),
)
CASES = [
    *(c for c in PICKED if ROW.refuses(c.geometry) is None and prod(c.input_shape)),
    *CUT,
]


def norms(array):
    """Return the Euclidean norm of each plane, as a plane of one number."""
    return np.sqrt((array.astype(np.float64) ** 2).sum(axis=(2, 3), keepdims=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_error_is_within_its_bound(case, dtype):
    x, weight = normal(case.input_shape, dtype, 1), normal(case.weight_shape, dtype, 2)
    residual = normal(problem(case).y.shape, dtype, 3)
    wide = [array.astype(np.float64) for array in (x, weight, residual)]
    expected = (
        reference.conv2d(wide[0], wide[1], None, *case.options),
        reference.conv2d_input(x.shape, wide[1], wide[2], *case.options),
        reference.conv2d_weight(wide[0], weight.shape, wide[2], *case.options),
    )
    # The norms of all blocks together are at least those of each.
    sizes = norms(x), norms(weight), norms(residual)
    pixel = (1, 0, 1, case.groups)
    scales = (
        reference.conv2d(*sizes[:2], None, *pixel),
        reference.conv2d_input((*x.shape[:2], 1, 1), *sizes[1:], *pixel),
        reference.conv2d_weight(sizes[0], (*weight.shape[:2], 1, 1), sizes[2], *pixel),
    )
    arrays = problem(case)._replace(x=x, weight=weight, bias=None, residual=residual)
    operations = ("conv2d", "conv2d_input", "conv2d_weight")
    for operation, call, right, scale in zip(
        operations, directions(case, arrays, "fft").values(), expected, scales, strict=True
    ):
        bound = ROW.variants[0].bounds.error(case.geometry, operation) * np.finfo(dtype).eps * scale
        actual = call()
        assert actual.dtype == dtype
        assert (np.abs(actual - right) <= bound).all(), operation


def test_cut_cases_have_several_blocks():
    for case in CUT[:2]:
        blocks = conv_blocks(case.geometry, "conv2d")
        assert blocks.sizes[1:] != case.geometry.out_size


def test_the_lengths_have_small_factors_only():
    lengths = [fast_length(n) for n in range(1, 200)]
    assert all(length >= n for n, length in enumerate(lengths, 1))
    assert all(30**9 % length == 0 for length in lengths)
    assert lengths[120] == 125


@pytest.mark.parametrize("case", CUT, ids=str)
def test_a_sample_has_the_same_bits_in_every_batch(case):
    x, weight = normal((3, *case.input_shape[1:])), normal(case.weight_shape)
    whole = F.conv2d(x, weight, None, *case.options, algorithm="fft")
    residual = normal(whole.shape)
    back = F.conv2d_input(x.shape, weight, residual, *case.options, algorithm="fft")
    for n in range(3):
        one = F.conv2d(x[n : n + 1], weight, None, *case.options, algorithm="fft")
        assert one.tobytes() == whole[n : n + 1].tobytes()
        one = F.conv2d_input(x[:1].shape, weight, residual[n : n + 1], *case.options,
                             algorithm="fft")  # fmt: skip
        assert one.tobytes() == back[n : n + 1].tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bad_sample_spoils_its_own_results_alone(value):
    case = CUT[2]
    x, weight = normal((3, *case.input_shape[1:])), normal(case.weight_shape)
    clean = F.conv2d(x, weight, None, *case.options, algorithm="fft")
    x[1, 2, 3, 3] = value
    bad = F.conv2d(x, weight, None, *case.options, algorithm="fft")
    np.testing.assert_array_equal(bad[::2], clean[::2])
    touched = np.zeros_like(x)
    touched[1, 2, 3, 3] = 1
    reached = reference.conv2d(touched, np.ones_like(weight), None, *case.options) != 0
    assert not np.isfinite(bad[reached]).any()


def test_any_layout_and_a_slice_of_channels_as_out():
    case = CUT[2]
    x, weight = normal(case.input_shape), normal(case.weight_shape)
    expected = F.conv2d(x, weight, None, *case.options, algorithm="fft")
    for layout, array in layouts(x).items():
        actual = F.conv2d(array, weight, None, *case.options, algorithm="fft")
        np.testing.assert_array_equal(actual, expected, err_msg=layout)
    base = np.full((2, 10, *expected.shape[2:]), np.nan)
    F.conv2d(x, weight, None, *case.options, algorithm="fft", out=base[:, 2:8])
    np.testing.assert_array_equal(base[:, 2:8], expected)
    base[:, 2:8] = np.nan
    assert np.isnan(base).all()


def test_it_is_chosen_for_large_kernels_alone():
    large = fastconv.explain("conv2d", (1, 1, 512, 512), (1, 1, 129, 129))
    assert large.algorithm == "fft"
    assert large.workspace_bytes > 0
    assert "|x|_2 |w|_2" in str(large)
    small = fastconv.explain("conv2d", (1, 1, 512, 512), (1, 1, 9, 9))
    assert small.algorithm == "depthwise"
    assert small.refused["fft"] == "it would be slower here"
