"""Winograd's convolution along rows: exact in fractions, error bounds, and the same bits."""

from fractions import Fraction

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from fastconv.engine.plan import OPERATIONS
from tests._cases import (
    DTYPES,
    ISAS,
    LAYOUTS,
    RESULTS,
    Conv,
    Problem,
    directions,
    integers,
    isa_or_skip,
    layouts,
    normal,
    run_tests_code,
    takes_rows,
    variant_of,
)
from tests.engine.winograd._matrices import ROW_POINTS, matrices, sizes

# LeNet-5's second layer; one off whole tiles and vectors; groups; padding that crops the gradient,
# or puts rows beside the map; one row; long rows; blocks of lines.
CASES = [
    Conv(33, 6, 14, 14, 16, 5, 5),
    Conv(17, 7, 13, 15, 9, 5, 5),
    Conv(9, 18, 5, 10, 32, 5, 5, 1, 2, 1, 2),
    Conv(5, 6, 9, 15, 6, 5, 5, 1, ((0, 5), (7, 1))),
    Conv(6, 4, 5, 11, 6, 5, 5, 1, ((6, 0), (1, 9))),
    Conv(8, 32, 1, 10, 31, 5, 5, 1, 2),
    Conv(3, 4, 3, 200, 5, 5, 5, 1, 2),
    Conv(2, 4, 61, 60, 5, 5, 5, 1, 2),
    Conv(16, 5, 40, 30, 7, 5, 5, 1, 2),
]
BATCHES = (1, 2, 3, 4, 5, 7, 8, 9, 16, 17)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_plan_takes_rows(case):
    for operation in OPERATIONS:
        assert takes_rows(case.geometry, operation, "float64"), operation
    assert takes_rows(case.geometry, "conv2d", "float32")
    assert takes_rows(case.geometry, "conv2d_input", "float32")


def test_the_matrices_compute_a_correlation_exactly():
    a, g, bt = matrices(5, ROW_POINTS)
    d, kernel, residual = (integers((n,), int, n).astype(object) + Fraction(0) for n in (9, 5, 5))
    expected = [sum(d[i : i + 5] * kernel) for i in range(5)]
    assert (a.T @ ((g @ kernel) * (bt @ d))).tolist() == expected
    # And the gradient of the kernel, which is the transposed matrices'.
    expected = [sum(d[s : s + 5] * residual) for s in range(5)]
    assert (g.T @ ((a @ residual) * (bt @ d))).tolist() == expected


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_bound_of_the_plan_holds_for_rows(case, operation):
    """At most 5 roundings in each transform, 3 more, and those of the sum."""
    a, g, bt = sizes(5, ROW_POINTS)
    geometry = case.geometry
    if operation == "conv2d_weight":
        growth = (g.T * (a.max(axis=1) * bt.sum(axis=1))).sum(axis=1).max()
        length = case.n * geometry.out_size[0] * -(-geometry.out_size[1] // 5)
    else:
        growth = (a.T * (g.max(axis=1) * bt.sum(axis=1))).sum(axis=1).max()
        length = 5 * (case.k if operation == "conv2d_input" else case.c) // case.groups
    bounds = variant_of(operation, geometry, "float64", "winograd").bounds
    assert (18 + length) * growth <= bounds.error(geometry, operation)


def arrays_of(case, dtype):
    weight = normal(case.weight_shape, dtype, 2) / np.prod(case.weight_shape[1:]) ** 0.5
    return Problem(
        normal(case.input_shape, dtype, 1),
        weight.astype(dtype),
        normal((case.k,), dtype, 3),
        normal(case.geometry.output_shape, dtype, 4),
        *[np.zeros(0)] * 4,
    )


def results_of(case, arrays):
    return [function() for function in directions(case, arrays, "winograd").values()]


def check_cases():
    """Check errors, and the bits of each batch; return how many cases there are."""
    for case in CASES:
        for dtype, most in zip(DTYPES, (1e-5, 1e-12), strict=True):
            arrays = arrays_of(case, dtype)
            results = results_of(case, arrays)
            wide = arrays.astype(np.float64)
            expected = (
                reference.conv2d(*wide[:3], *case.options),
                reference.conv2d_input(case.input_shape, wide[1], wide[3], *case.options),
                reference.conv2d_weight(wide[0], case.weight_shape, wide[3], *case.options),
            )
            for result, other, what in zip(results, expected, RESULTS, strict=False):
                assert result.dtype == dtype
                error = np.abs(result - other).max() / np.abs(other).max()
                assert error <= (3 if what == RESULTS[2] else 1) * most, (what, case, dtype, error)
            for batch in BATCHES:
                if batch < case.n:
                    few = arrays._replace(x=arrays.x[-batch:], residual=arrays.residual[-batch:])
                    for one, all_samples in zip(
                        results_of(case._replace(n=batch), few)[:2], results, strict=False
                    ):
                        assert one.tobytes() == all_samples[-batch:].tobytes(), (case, batch)
    return len(CASES)


@pytest.mark.parametrize("isa", ISAS)
def test_errors_and_bits_with_every_instruction_set(isa):
    isa_or_skip(isa)
    environment = {"FASTCONV_ISA": isa, "FASTCONV_NUM_THREADS": "2"}
    assert run_tests_code("engine.winograd.test_rows", "check_cases()", **environment) == str(
        len(CASES)
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_bits_are_those_of_one_thread(case, dtype):
    arrays = arrays_of(case, dtype)
    fastconv.set_num_threads(1)
    expected = results_of(case, arrays)
    for threads in (2, 5):
        fastconv.set_num_threads(threads)
        for result, other in zip(results_of(case, arrays), expected, strict=True):
            assert result.tobytes() == other.tobytes()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layouts_give_the_same_bits(layout):
    case = CASES[1]
    arrays = arrays_of(case, np.float32)
    expected = results_of(case, arrays)
    laid = [layouts(array).get(layout, array) for array in arrays[:4]]
    for result, other in zip(results_of(case, Problem(*laid, *arrays[4:])), expected, strict=True):
        assert result.tobytes() == other.tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [2, 19])
def test_nan_and_infinity_stay_in_their_sample_and_tiles(n, value):
    case = Conv(n, 16, 5, 20, 12, 5, 5, 1, 2, 1, 2)
    assert takes_rows(case.geometry, "conv2d", "float32")
    arrays = arrays_of(case, np.float32)
    usual = results_of(case, arrays)[0]
    x = arrays.x.copy()
    x[1, 1, 4, 6] = value
    result = results_of(case, arrays._replace(x=x))[0]
    # Rows 2 to 4; columns 4 to 8 lie in the first two tiles of 5.
    assert not np.isfinite(result[1, :6, 2:, 4:9]).any()
    result[1, :6, 2:, :10] = usual[1, :6, 2:, :10]
    assert result.tobytes() == usual.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_out_may_be_a_slice_of_channels(dtype):
    case = CASES[1]
    arrays = arrays_of(case, dtype)
    for function in list(directions(case, arrays, "winograd").values())[:2]:
        expected = function()
        n, c, h, w = expected.shape
        room = np.full((n, c + 4, h, w), 0.5, dtype)
        function(room[:, 2:-2])
        assert room[:, 2:-2].tobytes() == expected.tobytes()
        assert (room[:, :2] == 0.5).all()
        assert (room[:, -2:] == 0.5).all()


@pytest.mark.parametrize(
    ("input_shape", "weight_shape", "options"),
    [
        ((1, 6, 14, 14), (16, 6, 3, 3), {}),
        ((1, 6, 14, 14), (16, 6, 5, 5), {"dilation": 2}),
        ((1, 6, 12, 12), (16, 6, 5, 5), {}),
        ((1, 6, 5, 14), (33, 6, 5, 5), {}),
        ((1, 6, 5, 300), (16, 6, 5, 5), {}),
        ((1, 1, 14, 14), (2, 1, 5, 5), {}),
        ((1, 32, 56, 56), (32, 32, 5, 5), {}),
    ],
)
def test_squares_serve_the_rest(input_shape, weight_shape, options):
    case = Conv(*input_shape, weight_shape[0], *weight_shape[2:], **options)
    assert not takes_rows(case.geometry, "conv2d", "float32")
    x, weight = normal(input_shape), normal(weight_shape)
    found = F.conv2d(x, weight, algorithm="winograd", **options)
    expected = F.conv2d(x, weight, algorithm="gemm", **options)
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_is_explained_is_what_a_call_takes(operation):
    fastconv.set_num_threads(1)
    case = CASES[0]
    arrays = arrays_of(case, np.float32)
    found = fastconv.explain(operation, case.input_shape, case.weight_shape)
    assert (found.algorithm, found.variant) == ("winograd", "winograd rows")
    fastconv.release_workspace()
    functions = dict(zip(OPERATIONS, directions(case, arrays).values(), strict=True))
    # The memory of a result that nobody holds would be kept, too.
    result = functions[operation]()
    # Blocks are whole cache lines.
    assert found.workspace_bytes <= fastconv.release_workspace() < found.workspace_bytes + 64
    assert result.size


def test_the_batch_and_the_algorithm_asked_for_change_no_bit():
    case = CASES[0]
    arrays = arrays_of(case, np.float32)
    for auto, forced in zip(
        directions(case, arrays).values(), results_of(case, arrays), strict=True
    ):
        assert auto().tobytes() == forced.tobytes()
