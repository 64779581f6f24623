"""Samples in the lanes: where they compute, they have the bits of the algorithm they stand for."""

import numpy as np
import pytest

from fastconv import functional as F
from fastconv import get_num_threads, set_num_threads
from fastconv.engine.base.kernel import recorded
from fastconv.engine.plan import OPERATIONS
from tests._cases import DTYPES, Conv, Problem, able, forced, inner_call, normal

# What computes where lanes hold pixels or output channels.
OTHERS = {
    "gemm": ("pixels in the lanes", "pixels in the lanes", "output channels in the lanes"),
    "depthwise": ("depthwise rows", "depthwise rows", "depthwise sums"),
}

# One or two samples too many, bands of rows, phases, and taps left out on every side.
CASES = [
    Conv(64, 6, 14, 14, 10, 5, 5),
    Conv(32, 1, 12, 11, 6, 5, 5, 1, 2),
    Conv(31, 12, 9, 31, 16, 3, 2, (3, 2), 2, (2, 1), 2),
    Conv(8, 16, 14, 15, 16, 3, 3, 1, 1, 1, 4),
    Conv(8, 16, 15, 14, 16, 3, 3, 2, 1, 1, 2),
    Conv(16, 5, 5, 5, 7, 5, 5, 1, 4),
    Conv(8, 4, 40, 6, 9, 4, 3, (4, 1), ((0, 4), (2, 0))),
    Conv(16, 1, 9, 10, 8, 3, 3, 2, 1),
    # Groups in the lanes, with a block that is not full.
    Conv(2, 31, 7, 7, 31, 3, 3, 1, 1, 1, 31),
    Conv(1, 45, 15, 9, 90, 5, 3, (2, 3), (2, 0), (1, 2), 45),
    Conv(3, 32, 8, 13, 16, 3, 3, 2, 1, 1, 16),
]


def problem(case, dtype, make=normal):
    x, weight = make(case.input_shape, dtype, 1), make(case.weight_shape, dtype, 2)
    bias, residual = make((case.k,), dtype, 3), make(case.geometry.output_shape, dtype, 4)
    return Problem(x, weight, bias, residual, None, None, None, None)


def compare(case, arrays, algorithm, variant):
    """Compare a variant with the one that computes for all, which has the same bits."""
    for operation, other in zip(OPERATIONS, OTHERS[algorithm], strict=True):
        with recorded() as ran:
            found = forced(operation, case, arrays, algorithm, variant)
        assert {name for name, _ in ran} == {variant}
        expected = forced(operation, case, arrays, algorithm, other)
        if operation == "conv2d_weight":
            error = np.abs(found - expected).max() / np.abs(expected).max()
            assert error < 64 * np.finfo(found.dtype).eps
        else:
            assert found.tobytes() == expected.tobytes(), operation


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("case", "algorithm"),
    [
        pytest.param(case, name, id=f"{case}-{name}")
        for case in CASES
        for name in ("gemm", "depthwise")
        if name in able(case.geometry)
    ],
)
def test_they_have_the_bits_of_the_algorithm_they_stand_for(case, algorithm, dtype):
    arrays = problem(case, dtype)
    compare(case, arrays, algorithm, "samples in the lanes")
    if case.groups > 1:
        compare(case, arrays, algorithm, "groups in the lanes")


def test_a_kept_plan_serves_only_arrays_that_lie_so():
    # The same shapes, in turn in other layouts, of other batches, and on other threads.
    case = CASES[0]
    arrays = problem(case, np.float32)
    maps = arrays.x, arrays.weight, arrays.bias
    expected = F.conv2d(*maps, *case.options, algorithm="gemm")
    wide = np.zeros((64, 12, 14, 14), np.float32)[:, ::2]
    wide[...] = arrays.x
    apart = np.zeros((20, 6, 5, 5), np.float32)[::2]
    apart[...] = arrays.weight
    compute = inner_call("conv2d", case.geometry, np.float32, "gemm")
    threads = get_num_threads()
    try:
        for number in (2, 1, 3):
            set_num_threads(number)
            for x in (arrays.x, wide, np.asfortranarray(arrays.x)):
                for weight in (arrays.weight, apart):
                    for bias in (arrays.bias, arrays.bias.repeat(3)[::3]):
                        y = np.empty_like(expected)
                        with recorded() as ran:
                            compute(x, weight, bias, y)
                        assert y.tobytes() == expected.tobytes()
                        assert (ran[0][0] == "samples in the lanes") == (x.strides[3] == 4)
            few = np.empty_like(expected[:16])
            compute(arrays.x[:16], arrays.weight, arrays.bias, few)
            assert few.tobytes() == expected[:16].tobytes()
    finally:
        set_num_threads(threads)
