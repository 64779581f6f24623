"""Denormal numbers: every kernel takes them for zeros, and the caller's setting is restored."""

import platform
from contextlib import suppress

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from tests._cases import DTYPES, Conv, Problem, directions, served

FLUSHES = platform.machine() in ("x86_64", "AMD64", "aarch64", "arm64")
needs_a_flag = pytest.mark.skipif(
    not FLUSHES, reason="no flag for denormals here, skipped: flushing them"
)
# Large enough for several threads: dense, strided, of one tap, few input channels, depthwise.
CONVS = [
    Conv(4, 8, 40, 40, 8, 3, 3),
    Conv(3, 9, 41, 40, 10, 3, 3, 2, 1),
    Conv(4, 24, 30, 31, 17, 1, 1),
    Conv(2, 3, 56, 57, 16, 7, 7, 2, 3),
    Conv(4, 16, 40, 40, 16, 3, 3, 1, 1, 1, 16),
    Conv(4, 16, 40, 40, 32, 3, 3, 2, 1, 1, 16),
]
SERVED = served(CONVS)


def denormals_work():
    """Tell whether this thread computes with denormal numbers."""
    small = np.array([1e-40], np.float32) * np.array([0.5], np.float32)
    tiny = np.array([1e-310]) * np.array([0.5])
    return bool(small[0] > 0 and tiny[0] > 0)


def compiled_calls(dtype, value):
    """Return calls of every compiled kernel but convolution, over large arrays of one number."""
    x = np.full((4, 8, 40, 40), value, dtype)
    indices = F.max_pool2d(x, 2, return_indices=True)[1]
    flat = np.full((400, 400), value, dtype)
    ones = np.ones_like(x)
    return {
        "avg_pool2d": lambda: F.avg_pool2d(x, 2, divisor_override=1),
        "avg_pool2d_backward": lambda: F.avg_pool2d_backward(x[..., :20, :20], x.shape, 2),
        "max_pool2d_backward": lambda: F.max_pool2d_backward(x[..., :20, :20], indices, x.shape),
        "linear": lambda: F.linear(flat, np.ones_like(flat)),
        "tanh_backward": lambda: F.tanh_backward(x, 0 * ones),
        "sigmoid_backward": lambda: F.sigmoid_backward(x, ones / 2),
    }


def denormal(dtype):
    return 1e-40 if dtype == np.float32 else 1e-310


@needs_a_flag
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", compiled_calls(np.float32, 0))
def test_kernels_flush_denormals_on_every_thread(name, dtype, threads):
    # A decaying net is full of denormals, which cost a CPU ten times the time of other numbers.
    fastconv.set_num_threads(threads)
    result = compiled_calls(dtype, denormal(dtype))[name]()
    assert not result.any()
    assert denormals_work(), "the caller's setting is not restored"


@needs_a_flag
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("case", "algorithm"), SERVED)
def test_convolution_flushes_denormals_on_every_thread(case, algorithm, dtype, threads):
    fastconv.set_num_threads(threads)
    tiny = denormal(dtype)
    # For x, weight, bias and residual: one factor of every product is denormal.
    for values in ((tiny, 1, tiny, tiny), (1, tiny, -tiny, tiny), (tiny, 1, 0, -tiny)):
        arrays = uniform(case, dtype, values)
        for what, function in directions(case, arrays, algorithm).items():
            assert not function().any(), (what, values)
            assert denormals_work(), f"the caller's setting is not restored: {what}"


def uniform(case, dtype, values):
    shapes = case.input_shape, case.weight_shape, (case.k,), case.geometry.output_shape
    arrays = [np.full(shape, value, dtype) for shape, value in zip(shapes, values, strict=True)]
    return Problem(*arrays, *[None] * 4)


@pytest.mark.parametrize("threads", [1, 4])
def test_the_setting_is_restored_after_an_error(threads):
    fastconv.set_num_threads(threads)
    residual = np.ones((4, 8, 64, 64))
    with pytest.raises(ValueError, match="indices"):
        F.max_pool2d_backward(residual, np.full(residual.shape, -1), (4, 8, 128, 128))
    assert denormals_work()
    with pytest.raises(MemoryError, match="does not fit in memory"):
        F.conv2d(np.ones((1, 1, 1, 1)), np.ones((1, 1, 3, 3)), dilation=2**40, padding=2**40)
    assert denormals_work()


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(("case", "algorithm"), SERVED)
def test_the_setting_is_restored_after_an_error_of_every_direction(case, algorithm, threads):
    fastconv.set_num_threads(threads)
    good = uniform(case, np.float32, (1, 1, 1, 1))
    cut = good._replace(residual=good.residual[..., :-1], bias=good.bias[:-1])
    for what, function in directions(case, cut, algorithm).items():
        with pytest.raises(ValueError, match="must have shape"):
            function()
        assert denormals_work(), what
    # A window over more cells than there is memory for, which some algorithms need not copy.
    wide = case._replace(dilation=2**40, padding=2**39 * (max(case.r, case.s) - 1), stride=2**40)
    if case.r > 1:
        residual = np.ones(wide.geometry.output_shape, np.float32)
        for what, function in directions(wide, good._replace(residual=residual), algorithm).items():
            with suppress(ValueError, MemoryError):
                function()
            assert denormals_work(), what


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_of_denormal_inputs_are_small_and_finite(dtype):
    info = np.finfo(dtype)
    for value in (info.smallest_subnormal, -info.tiny / 2, info.tiny):
        for name, call in compiled_calls(dtype, value).items():
            result = call()
            assert np.isfinite(result).all(), name
            # At most 4*38*38 numbers are added up.
            assert np.abs(result).max() <= 6000 * info.tiny, name


@needs_a_flag
def test_the_sum_of_the_weight_gradients_chunks_flushes_denormals():
    # The chunks are added behind the parallel loop, where the flag used to be restored already.
    residual = np.array([1.5e-38, -1.4e-38], np.float32).reshape(2, 1, 1, 1)
    assert F.conv2d_weight(np.ones((2, 1, 1, 1), np.float32), (1, 1, 1, 1), residual) == 0
