"""The engine's kernels, each asked for by its name in the table, and the numbers they give."""

import numpy as np
import pytest

import fastconv
from fastconv.engine import binding
from fastconv.engine.base.operation import contiguous_case
from fastconv.engine.blocked.fits import lanes
from tests._cases import DTYPES, Conv, forced, inner_call, integers, normal
from tests.engine.blocked.test_samples import problem

# Few output channels, which leave most lanes empty, and many; short and long rows; strides,
# dilation and groups; taps and positions that do not meet; channels in several blocks. The last
# two are of kernels that are packed for the input gradient, and fill all panels, or do not; their
# phases have rows of more than a vector.
CASES = [
    Conv(1, 3, 9, 10, 1, 3, 3, 1, 1),
    Conv(2, 5, 13, 70, 37, 3, 3, 2, 1),
    Conv(3, 34, 7, 8, 50, 5, 3, (2, 3), (2, 1), 1, 2),
    Conv(2, 8, 12, 11, 21, 2, 3, 1, 2, 2),
    Conv(2, 700, 5, 6, 9, 1, 1, 3),
    Conv(1, 104, 5, 41, 700, 1, 1, 2),
    Conv(2, 102, 4, 40, 90, 1, 1, (1, 2)),
]
VARIANTS = "pixels in the lanes", "output channels in the lanes"
BY_PHASE = "pixels or output channels in the lanes, by phase"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_pixels_and_outputs_in_the_lanes_give_the_same_bits(case, dtype):
    for make in (integers, normal):
        arrays = problem(case, dtype, make)
        for operation in ("conv2d", "conv2d_input"):
            one, other = (forced(operation, case, arrays, "gemm", name) for name in VARIANTS)
            np.testing.assert_array_equal(one, other)
            if make is integers:
                expected = forced(operation, case, arrays, "direct", "plain loops")
                np.testing.assert_array_equal(one, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_estimates_are_numbers_for_the_table(dtype):
    width = lanes(np.dtype(dtype).itemsize)

    def estimate(*numbers):
        case = contiguous_case("conv2d", Conv(*numbers).geometry, np.dtype(dtype).name)
        return binding.estimates(case)[0]

    layer = 16, 14, 14, width // 2, 3, 3, 2, 1
    outputs, pixels = estimate(2, *layer)
    assert pixels[0] > 0 < outputs[0]
    assert pixels[1:] == (1, 0)
    assert outputs[1] == 0.5
    assert 0 < outputs[2] < 1
    # Twice the batch takes about twice as long; a long line of many channels leaves the cache.
    assert 1.5 < estimate(4, *layer)[0][0] / outputs[0] < 2.5
    assert estimate(1, 128, 3, 9000, 16, 3, 3, 1, 1)[0][2] > 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_roles_of_the_weight_gradient_agree(dtype):
    for case, roles in [
        (Conv(3, 5, 9, 10, 7, 3, 3, 2, 1), ("output channels", "taps", "pixels")),
        (Conv(2, 6, 9, 10, 8, 1, 1, 2), ("output channels", "input channels", "pixels")),
    ]:
        arrays = problem(case, dtype, integers)
        expected = forced("conv2d_weight", case, arrays, "direct", "plain loops")
        for role in roles:
            found = forced("conv2d_weight", case, arrays, "gemm", f"{role} in the lanes")
            np.testing.assert_array_equal(found, expected, err_msg=role)


def test_threads_share_the_phases():
    case = Conv(2, 20, 15, 16, 24, 3, 3, 2, 1)
    arrays = problem(case, np.float32)
    before, results = fastconv.get_num_threads(), []
    try:
        for threads in (1, 3):
            fastconv.set_num_threads(threads)
            results += [forced("conv2d_input", case, arrays, "gemm", name) for name in VARIANTS]
    finally:
        fastconv.set_num_threads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_a_variant_that_does_not_serve_is_refused():
    case = Conv(1, 4, 5, 5, 4, 3, 3, 1, 1)
    with pytest.raises(ValueError, match="'input channels in the lanes' does not serve"):
        inner_call("conv2d_weight", case.geometry, "f4", "gemm", "input channels in the lanes")(
            *(np.zeros(shape, "f4") for shape in ((1, 4, 5, 5), (1, 4, 5, 5), (4, 4, 3, 3)))
        )
