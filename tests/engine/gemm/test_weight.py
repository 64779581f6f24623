"""The engine's weight gradient with the windows of few pixels in the lanes, and cut into parts."""

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from tests._cases import DTYPES, ISAS, Conv, integers, isa_or_skip, run_tests_code

# Few pixels and many output channels: a tail of lanes and of rows, two samples, groups, no padding
# and a dilation, a kernel with more taps than lanes; two units of pixels; two chunks of them.
GATHERED = [
    Conv(1, 8, 5, 6, 41, 3, 3, 2, 1),
    Conv(2, 22, 5, 4, 166, 3, 3, 2, 1, 1, 2),
    Conv(1, 9, 7, 8, 71, 3, 3, 1, 0, 2),
    Conv(2, 3, 9, 8, 120, 7, 7, (3, 2), 2),
    Conv(1, 23, 20, 34, 801, 1, 3),
    Conv(1, 32, 1, 1100, 1150, 1, 2),
]
# Rows and panels in parts, a slab of some channels for all panels; several chunks, added up.
PARTED = [
    Conv(2, 40, 19, 41, 72, 3, 3, 2, 1),
    Conv(3, 20, 17, 30, 130, 1, 1, 2),
    Conv(9, 3, 40, 41, 66, 5, 5, 3, 2),
]


def gradients(case, dtype, x, residual):
    """Yield the gradient for several numbers of threads and layouts, with what it is."""
    turned = np.ascontiguousarray(residual.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for threads in (1, 2, 3, 5):
        fastconv.set_num_threads(threads)
        k, c, *taps = case.weight_shape
        arguments = case.weight_shape, residual, *case.options
        yield threads, F.conv2d_weight(x, *arguments, algorithm="gemm")
        out = np.full((k + 2, c + 3, *taps), 7, dtype)
        part = out[1:-1, 2:-1]
        arguments = case.weight_shape, turned, *case.options
        F.conv2d_weight(x, *arguments, algorithm="gemm", out=part)
        yield f"{threads} threads, strided", part.copy()
        part[...] = 7
        assert (out == 7).all(), "written beside the result"


def check(case, dtype):
    """Compare with the reference on integers, and bit by bit among threads and layouts."""
    shapes = case.input_shape, case.geometry.output_shape
    x, residual = (integers(shape, dtype, seed) for seed, shape in enumerate(shapes))
    expected = reference.conv2d_weight(x, case.weight_shape, residual, *case.options)
    for what, gradient in gradients(case, dtype, x, residual):
        np.testing.assert_array_equal(gradient, expected, err_msg=f"{case}, {what}")
    rng = np.random.default_rng(1)
    x, residual = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    bits = {gradient.tobytes() for _, gradient in gradients(case, dtype, x, residual)}
    assert len(bits) == 1, case


def check_all():
    """Check every case in both types; return their number."""
    for case in GATHERED + PARTED:
        for dtype in DTYPES:
            check(case, dtype)
    return len(GATHERED + PARTED)


@pytest.mark.parametrize("isa", ISAS)
def test_gradient_is_exact_and_the_same_for_every_layout_and_number_of_threads(isa):
    isa_or_skip(isa)
    printed = run_tests_code("engine.gemm.test_weight", "check_all()", FASTCONV_ISA=isa)
    assert int(printed) == len(GATHERED + PARTED)
