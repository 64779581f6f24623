"""Channels in the lanes: where they compute, they have the bits of the engine."""

import numpy as np
import pytest

from fastconv import functional as F
from fastconv import get_num_threads, set_num_threads
from fastconv.engine.plan import OPERATIONS
from tests._cases import DTYPES, Conv, forced, normal, variant_of
from tests.engine.blocked.test_samples import compare, problem

# A group and a lane too many, several vectors, phases, taps left out on every side, and cropping.
CASES = [
    Conv(2, 24, 9, 31, 24, 3, 3, 1, 1, 1, 3),
    Conv(3, 32, 15, 14, 64, 3, 3, 2, 1, 1, 2),
    Conv(2, 64, 7, 7, 64, 3, 3, 1, 1, 1, 2),
    Conv(5, 16, 9, 9, 16, 3, 3, 1, 1, 1, 2),
    Conv(1, 45, 11, 40, 45, 5, 2, (3, 2), (4, 1), 1, 3),
    Conv(2, 32, 20, 9, 32, 3, 3, (1, 2), ((0, 4), (2, 0)), (2, 3), 2),
    Conv(1, 16, 90, 70, 16, 3, 3, 2, 1, 1, 2),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_they_have_the_bits_of_the_engine(case, dtype):
    arrays = problem(case, dtype)
    compare(case, arrays, "gemm", "channels in the lanes")
    threads = get_num_threads()
    try:
        for operation in OPERATIONS:
            bits = set()
            for number in (1, 4):
                set_num_threads(number)
                found = forced(operation, case, arrays, "gemm", "channels in the lanes")
                bits.add(found.tobytes())
            assert len(bits) == 1, operation
    finally:
        set_num_threads(threads)


def test_the_plan_takes_them():
    names = [variant_of("conv2d", case.geometry, np.float32, "gemm").name for case in CASES]
    assert "channels in the lanes" in names


def test_maps_and_weights_of_any_strides():
    case = CASES[0]
    arrays = problem(case, np.float32)
    # Planes and kernels apart, and back to front.
    x = np.zeros((2, 48, 9, 31), np.float32)[:, ::-2]
    x[...] = arrays.x
    weight = np.asfortranarray(arrays.weight)
    expected = F.conv2d(arrays.x, arrays.weight, arrays.bias, *case.options)
    assert F.conv2d(x, weight, arrays.bias, *case.options).tobytes() == expected.tobytes()
    residual = normal(expected.shape, np.float32, 5)
    args = (case.input_shape, arrays.weight, residual, *case.options)
    turned = (case.input_shape, weight, residual, *case.options)
    assert F.conv2d_input(*args).tobytes() == F.conv2d_input(*turned).tobytes()
