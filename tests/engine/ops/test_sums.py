"""The gradient of the bias: compiled sums over maps."""

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from tests._cases import (
    DTYPES,
    ISAS,
    assert_exact,
    assert_guards_untouched,
    guarded,
    integers,
    isa_or_skip,
    layouts,
    normal,
    run_tests_code,
)

# Maps of one number, smaller than a vector, several to a piece, in several pieces; many chunks, of
# one channel, and of more channels than a task has.
SHAPES = (
    (1, 1, 1, 1),
    (70, 2, 1, 1),
    (7, 3, 1, 3),
    (40, 5, 10, 10),
    (65, 4, 28, 28),
    (3, 2, 33, 31),
    (2, 3, 45, 101),
    (1, 1, 300, 301),
    (1, 70, 13, 15),
    (20, 37, 30, 31),
)


def check_shapes():
    for shape in SHAPES:
        for dtype in DTYPES:
            residual = integers(shape, dtype)
            assert_exact(F.conv2d_bias(residual), reference.conv2d_bias(residual), str(shape))


@pytest.mark.parametrize("isa", ISAS)
def test_exact_on_integers(isa):
    isa_or_skip(isa)
    run_tests_code("engine.ops.test_sums", "check_shapes()", FASTCONV_ISA=isa)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_same_bits_for_all_threads_and_layouts_within_the_bound(shape, dtype):
    residual = normal(shape, dtype)
    fastconv.set_num_threads(1)
    expected = F.conv2d_bias(residual)
    eps = np.finfo(dtype).eps
    error = np.abs(expected - reference.conv2d_bias(residual.astype(np.float64)))
    bound = 1024 * eps * reference.conv2d_bias(np.abs(residual).astype(np.float64))
    assert (error <= bound).all()
    for threads in (2, 3, 8):
        fastconv.set_num_threads(threads)
        for name, strange in layouts(residual).items():
            assert F.conv2d_bias(strange).tobytes() == expected.tobytes(), (threads, name)


def test_every_residual_is_added_once_into_the_result_alone():
    residual = normal((2, 3, 5, 7), np.float32)
    inside, memory = guarded((3,), np.float32)
    assert F.conv2d_bias(residual, out=inside) is inside
    assert_guards_untouched(inside, memory, "bias gradient")
    residual[1, 1, 4, 6] = np.nan
    residual[0, 2, 0, 0] = np.inf
    result = F.conv2d_bias(residual)
    np.testing.assert_array_equal(np.isfinite(result), [True, False, False])
    np.testing.assert_array_equal(np.isnan(result), [False, True, False])


def test_nothing_sums_to_zero():
    for shape in ((0, 3, 4, 4), (2, 3, 0, 4), (2, 3, 4, 0)):
        assert_exact(F.conv2d_bias(np.zeros(shape)), np.zeros(3))
    assert F.conv2d_bias(np.zeros((2, 0, 4, 4))).shape == (0,)


def test_the_backward_pass_gives_the_same_bits():
    x, weight, residual = normal((3, 2, 9, 9)), normal((4, 2, 3, 3)), normal((3, 4, 7, 7))
    for batch in (x, residual), (x[0], residual[0]):
        *_, gradient = F.conv2d_backward(batch[0], weight, batch[1])
        assert gradient.tobytes() == F.conv2d_bias(batch[1]).tobytes()
