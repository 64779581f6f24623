"""Channels in the lanes: where they compute, they have the bits of the engine."""

import numpy as np
import pytest

from fastconv import functional as F
from fastconv import get_num_threads, set_num_threads
from fastconv.engine.blocked import by_channels, by_samples
from tests._cases import DTYPES, Conv, convolve, normal
from tests.engine.blocked.test_samples import count, forbid, forget_plans, problem

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
def test_they_have_the_bits_of_the_engine(case, dtype, monkeypatch):
    arrays = problem(case, dtype)
    counts = []
    count(by_channels.channels, counts, monkeypatch)
    forget_plans(monkeypatch)
    threads = get_num_threads()
    results = []
    try:
        for number in (1, 4):
            set_num_threads(number)
            results.append(convolve(case, arrays, "gemm"))
    finally:
        set_num_threads(threads)
    if np.dtype(dtype) == np.float32:
        assert any(counts)
    forbid(by_channels.channels, monkeypatch)
    forbid(by_samples.samples, monkeypatch)
    forget_plans(monkeypatch)
    expected = convolve(case, arrays, "gemm")
    for one, other in zip(*results, strict=True):
        assert one.tobytes() == other.tobytes()
    y, dx, dw, _ = results[0]
    assert y.tobytes() == expected[0].tobytes()
    assert dx.tobytes() == expected[1].tobytes()
    error = np.abs(dw - expected[2]).max() / np.abs(expected[2]).max()
    assert error < 64 * np.finfo(dtype).eps


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
