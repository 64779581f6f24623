"""Winograd's convolution: its matrices in exact arithmetic, and the compiled loops against them."""

from fractions import Fraction
from math import prod

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from fastconv._check import C_TYPES
from fastconv._geometry import conv_geometry
from fastconv.engine.errors import WINOGRAD_GROWTH
from fastconv.engine.gemm.tile import tile_shape
from fastconv.engine.plan import OPERATIONS
from fastconv.engine.winograd import tiles as compiled
from fastconv.reference._convolution import conv_nd, conv_nd_input, conv_nd_weight
from tests._cases import (
    CONVS,
    DTYPES,
    ISAS,
    LAYOUTS,
    RESULTS,
    Conv,
    Problem,
    able,
    directions,
    inner_call,
    integers,
    isa_or_skip,
    layouts,
    normal,
    problem,
    run_tests_code,
)
from tests.engine.winograd._matrices import (
    both,
    free_inputs,
    matrices,
    sandwich,
    sizes,
    step,
    takes_rows,
)

KERNELS = list(WINOGRAD_GROWTH)


def fractions(shape, seed):
    return integers(shape, int, seed).astype(object) + Fraction(0)


@pytest.mark.parametrize(("outputs", "unwanted"), [(1, (3, 4, 5)), (2, (3, 5)), (3, (5,))])
def test_a_tile_that_is_cut_off_needs_fewer_points(outputs, unwanted):
    a, g, bt = matrices(3)
    d, kernel = fractions((6,), 1), fractions((3,), 2)
    if outputs <= 2:
        d = free_inputs(outputs) @ d
    products = (g @ kernel) * (bt @ d)
    assert not any(products[point] for point in unwanted if point < 5)
    products[list(unwanted)] = 0
    expected = [sum(d[i : i + 3] * kernel) for i in range(outputs)]
    assert (a.T @ products)[:outputs].tolist() == expected
    # In the gradient of the kernel the other residuals are zeros.
    residual = fractions((4,), 3)
    residual[outputs:] = 0
    products = (a @ residual) * (bt @ d)
    products[list(unwanted)] = 0
    expected = [sum(d[j : j + outputs] * residual[:outputs]) for j in range(3)]
    assert (g.T @ products).tolist() == expected


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_matrices_compute_a_correlation_exactly(kernel):
    a, g, bt = both(kernel)
    (height, width), (down, across) = map(step, kernel), kernel
    d, taps = fractions([len(matrix) for matrix in bt], 1), fractions(kernel, 2)
    y = sandwich([matrix.T for matrix in a], sandwich(g, taps) * sandwich(bt, d))
    for i, j in np.ndindex(height, width):
        assert y[i, j] == (d[i : i + down, j : j + across] * taps).sum()
    # And the gradient of the kernel, which is the transposed matrices'.
    residual = fractions((height, width), 3)
    dg = sandwich([matrix.T for matrix in g], sandwich(a, residual) * sandwich(bt, d))
    for r, s in np.ndindex(kernel):
        assert dg[r, s] == (d[r : r + height, s : s + width] * residual).sum()


def cut(maps, steps, size, out, before):
    """Return the tiles of maps (N, C, H, W): (N, rows, columns, C, *size), with zeros."""
    rows, columns = (-(-n // m) for n, m in zip(out, steps, strict=True))
    n, c, h, w = maps.shape
    tiles = np.zeros((n, rows, columns, c, *size), maps.dtype)
    for i, j, r, s in np.ndindex(rows, columns, *size):
        u, v = steps[0] * i + r - before[0], steps[1] * j + s - before[1]
        if 0 <= u < h and 0 <= v < w:
            tiles[:, i, j, :, r, s] = maps[:, :, u, v]
    return tiles


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "before"),
    [
        ((1, 1, 1, 1), (1, 1)),
        ((2, 3, 5, 7), (1, 0)),
        ((3, 17, 7, 7), (2, 3)),
        ((2, 33, 14, 13), (-1, -2)),
        ((1, 5, 3, 400), (7, 9)),
        ((1, 16, 90, 31), (0, 1)),
    ],
)
def test_transformed_tiles(shape, before, dtype, kernel, seen):
    # The points are exact in binary, and so are the transforms of small integers.
    maps = integers(shape, dtype)
    if not seen:
        # Residuals have no padding.
        before = (0, 0)
    out = tuple(
        max(n + 2 * b + 1 - taps, 1) for n, b, taps in zip(shape[2:], before, kernel, strict=True)
    )
    a, _, bt = both(kernel)
    used = [matrix.astype(np.float64) for matrix in (bt if seen else a)]
    size = [matrix.shape[1] for matrix in used]
    tiles = cut(maps.astype(np.float64), list(map(step, kernel)), size, out, before)
    points = prod(map(len, used))
    expected = np.moveaxis(sandwich(used, tiles), 3, 5).reshape(-1, points, shape[1])
    # A whole number of vectors: the engine's tile has three to a row.
    lanes = tile_shape(maps.itemsize, False)[1] // 3
    room = -(-shape[1] // lanes) * lanes
    for values in (maps, np.asfortranarray(maps), maps[:, :, ::-1, ::-1].copy()[:, :, ::-1, ::-1]):
        v = np.full((points, len(expected), room), 7, dtype)
        n, c, h, w = shape
        transformed = compiled.transformed[C_TYPES[maps.dtype]]
        transformed(values.reshape(n, 1, c, 1, h, w), kernel, seen, out, before, v)
        np.testing.assert_array_equal(v[..., :c], expected.swapaxes(0, 1))
        assert np.isin(v[..., c:], (0, 7)).all()


def bound(x, weight, shape, before, groups, dtype, others=0):
    """Return a bound of the error of each output, from the same formula on absolute values.

    Each number of Y is a sum of products of an entry of each matrix, x and weight. A product meets
    at most 5 roundings in each transform of V, U and M, twice, the rounding of the product, and one
    for each channel and each block of channels, and so many of `others`; the constants of G have
    two.
    """
    a, g, bt = both(weight.shape[2:], sizes)
    steps = list(map(step, weight.shape[2:]))
    n, k, oh, ow = shape
    channels, size = weight.shape[1], list(map(len, bt))
    roundings = 2 * (5 + 5 + 5 + 2) + 2 + channels + channels // 16 + others
    v = sandwich(bt, cut(np.abs(x), steps, size, (oh, ow), before))
    u = sandwich(g, np.abs(weight)).reshape(groups, k // groups, channels, *size)
    v = v.reshape(*v.shape[:3], groups, channels, *size)
    m = np.einsum("nijgcpq,gkcpq->ngkijpq", v, u, optimize=True)
    y = np.moveaxis(sandwich([matrix.T for matrix in a], m), 5, 4)
    y = y.reshape(n, k, steps[0] * v.shape[1], steps[1] * v.shape[2])
    return roundings * np.finfo(dtype).eps * y[:, :, :oh, :ow]


def turn(weight, groups):
    """Return the kernels of the input gradient: turned, with the roles of the channels changed."""
    k, c, *taps = weight.shape
    grouped = weight.reshape(groups, k // groups, c, *taps).swapaxes(1, 2)
    return grouped.reshape(groups * c, k // groups, *taps)[..., ::-1, ::-1]


def bounds(case, arrays, dtype):
    """Return the bounds of output and input gradient."""
    before = [pair[0] for pair in case.geometry.padding]
    turned = turn(arrays.weight, case.groups)
    shape = case.geometry.output_shape
    return (
        bound(arrays.x, arrays.weight, shape, before, case.groups, dtype)
        + np.finfo(dtype).eps * np.abs(arrays.bias)[:, None, None] * 2,
        bound(
            arrays.residual,
            turned,
            case.input_shape,
            [taps - 1 - b for taps, b in zip(case.weight_shape[2:], before, strict=True)],
            case.groups,
            dtype,
        ),
    )


def compute(case, arrays, dtype):
    """Return output and input gradient."""
    functions = directions(case, arrays.astype(dtype), "winograd")
    return [functions[name]() for name in RESULTS[:2]]


TABLE = [
    *(
        case
        for case in CONVS
        if "winograd" in able(case.geometry)
        and case.geometry.dilation == case.geometry.stride == (1, 1)
        and not takes_rows(case)
        and prod(case.input_shape)
    ),
    # One off the vectors, strips, blocks of channels and rows of tiles; one row; several pieces.
    Conv(2, 64, 6, 7, 65, 3, 3, 1, 1),
    Conv(1, 65, 13, 12, 33, 3, 3, 1, 1),
    Conv(1, 129, 5, 9, 31, 3, 3, 1, "full"),
    Conv(2, 34, 4, 21, 10, 3, 3, 1, ((0, 3), (5, 1)), 1, 2),
    Conv(5, 17, 7, 7, 15, 3, 3, 1, 1),
    Conv(1, 2, 3, 500, 3, 3, 3, 1, 1),
    Conv(1, 3, 131, 4, 2, 3, 3, 1, ((2, 1), (1, 0))),
    Conv(2, 37, 6, 9, 65, 5, 5, 1, 2),
    Conv(1, 64, 5, 8, 31, 5, 5),
    Conv(3, 17, 1, 2, 15, 5, 5, 1, "full"),
    Conv(2, 66, 4, 21, 10, 5, 5, 1, ((0, 5), (7, 1)), 1, 2),
    Conv(1, 2, 5, 500, 3, 5, 5, 1, 1),
    Conv(2, 37, 6, 9, 65, 2, 2, 1, 1),
    Conv(1, 2, 5, 500, 3, 2, 2, 1, ((0, 1), (3, 0))),
    # One row or column.
    Conv(2, 34, 7, 9, 33, 1, 2, 1, (0, 1)),
    Conv(1, 18, 9, 7, 5, 2, 1),
    Conv(2, 64, 6, 7, 65, 1, 3, 1, (0, 1)),
    Conv(1, 3, 131, 4, 2, 3, 1, 1, ((2, 1), (1, 0))),
    Conv(2, 34, 4, 21, 10, 1, 5, 1, ((0, 3), (5, 1)), 1, 2),
    Conv(1, 129, 9, 5, 31, 5, 1, 1, "full"),
    Conv(1, 2, 3, 500, 3, 1, 7, 1, (0, 3)),
    Conv(5, 17, 17, 9, 33, 7, 1, 1, (3, 0)),
]


def test_the_tiles_are_squares_and_lines():
    assert not any(map(takes_rows, (*TABLE, *LARGE, *DILATED)))


def check_table():
    """Compare the table with the reference; return how many cases there are."""
    for case in TABLE:
        arrays = problem(case)
        for dtype in DTYPES:
            limits = bounds(case, arrays, dtype)
            for result, expected, limit, what in zip(
                compute(case, arrays, dtype), (arrays.y, arrays.dx), limits, RESULTS, strict=False
            ):
                assert result.dtype == dtype
                assert (np.abs(result - expected) <= limit).all(), (what, case, dtype)
    return len(TABLE)


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("isa", ISAS)
def test_every_case_is_within_the_bound_with_every_instruction_set(isa, threads):
    isa_or_skip(isa)
    environment = {"FASTCONV_ISA": isa, "FASTCONV_NUM_THREADS": threads}
    assert run_tests_code("engine.winograd.test_forward", "check_table()", **environment) == str(
        len(TABLE)
    )


# U is kept, or transformed in blocks: several chunks, strips and blocks of channels; chunks whose
# V are not there at once; a few deep maps.
LARGE = [
    Conv(2, 40, 56, 41, 33, 3, 3, 1, 1),
    Conv(3, 130, 64, 61, 100, 3, 3, 1, 1),
    Conv(4, 280, 7, 7, 130, 3, 3, 1, 1, 1, 2),
    Conv(2, 64, 27, 28, 70, 5, 5, 1, 2),
    Conv(3, 290, 14, 15, 130, 5, 5, 1, 2, 1, 2),
    # Maps that are cut off by 1, 2 and 3 outputs, or in one direction.
    Conv(3, 18, 13, 14, 40, 3, 3, 1, 1),
    Conv(1, 40, 26, 27, 100, 3, 3, 1, 1),
    Conv(9, 100, 2, 16, 34, 3, 3, 1, 1),
    Conv(3, 40, 21, 22, 36, 3, 3, 1, 2, (2, 3)),
    # One row or column.
    Conv(3, 130, 17, 61, 100, 1, 3, 1, (0, 1)),
    Conv(4, 700, 8, 9, 650, 3, 1, 1, (1, 0)),
    Conv(3, 270, 27, 28, 70, 1, 5, 1, "full", 1, 2),
    Conv(3, 130, 17, 16, 192, 7, 1, 1, (3, 0)),
    Conv(2, 520, 5, 16, 700, 1, 7, 1, (0, 3)),
]


def random_problem(case, dtype=np.float64):
    """Return standard normal numbers, with weights that keep their scale."""
    x, bias = normal(case.input_shape, seed=1), normal((case.k,), seed=3)
    weight = normal(case.weight_shape, seed=2) / np.sqrt(prod(case.weight_shape[1:]))
    residual = normal(case.geometry.output_shape, seed=4)
    return Problem(x, weight, bias, residual, *[np.zeros(0)] * 4).astype(dtype)


@pytest.mark.parametrize("case", LARGE, ids=str)
def test_the_error_is_small_and_the_bits_are_those_of_one_thread_and_of_one_sample(case):
    arrays = random_problem(case)
    functions = directions(case, arrays, "gemm")
    expected = [functions[name]() for name in RESULTS[:2]]
    for dtype, limit in zip(DTYPES, (1e-5, 1e-12), strict=True):
        fastconv.set_num_threads(1)
        results = compute(case, arrays, dtype)
        for result, other in zip(results, expected, strict=True):
            assert np.abs(result - other).max() <= limit * np.abs(other).max()
        for threads in (2, 3, 5):
            fastconv.set_num_threads(threads)
            for result, other in zip(compute(case, arrays, dtype), results, strict=True):
                assert result.tobytes() == other.tobytes()
        alone = case._replace(n=1)
        first = arrays._replace(x=arrays.x[-1:], residual=arrays.residual[-1:])
        for result, other in zip(compute(alone, first, dtype), results, strict=True):
            assert result[0].tobytes() == other[-1].tobytes()


# Phases of several sizes, also of fewer tiles than the first, or of no pixel; more phases than
# outputs; zeros before that are no number of taps; U kept and not.
DILATED = [
    Conv(2, 18, 13, 16, 33, 3, 3, 1, 2, 2),
    Conv(1, 3, 9, 10, 5, 3, 3, 1, ((0, 5), (7, 1)), (2, 3)),
    Conv(2, 20, 25, 17, 12, 3, 3, 1, "same", (3, 4), 2),
    Conv(1, 2, 5, 6, 3, 3, 3, 1, ((4, 3), (0, 1)), (4, 1)),
    Conv(1, 2, 3, 2, 3, 3, 3, 1, "full", 6),
    Conv(1, 280, 15, 14, 130, 3, 3, 1, 2, 2),
    Conv(2, 7, 19, 16, 5, 5, 5, 1, ((0, 5), (7, 1)), (2, 3)),
    Conv(2, 20, 13, 19, 34, 1, 3, 1, ((0, 1), (5, 1)), (2, 3)),
    Conv(1, 18, 17, 6, 33, 5, 1, 1, "same", (3, 2)),
    Conv(1, 5, 6, 23, 3, 1, 7, 1, "full", 2),
]


def phases(array, dilation, phase):
    return array[..., phase[0] :: dilation[0], phase[1] :: dilation[1]]


def assert_dense(found, seen, weight, bias, groups):
    """Compare a phase of a dilated convolution with the dense one, cropped to its size."""
    shape = found.shape
    expected = reference.conv2d(seen, weight, bias, groups=groups)
    limit = bound(seen, weight, expected.shape, (0, 0), groups, found.dtype)
    limit += np.finfo(found.dtype).eps * np.abs(expected)
    crop = (..., slice(shape[2]), slice(shape[3]))
    assert (np.abs(found - expected[crop]) <= limit[crop]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", DILATED, ids=str)
def test_each_phase_of_a_dilated_convolution_is_a_dense_one(case, dtype):
    arrays = random_problem(case)
    rounded = arrays.astype(dtype)
    y, dx = compute(case, rounded, dtype)
    arrays = rounded.astype(np.float64)
    dilation, (rows, columns) = case.geometry.dilation, case.geometry.padding
    wide = np.pad(arrays.x, ((0, 0), (0, 0), rows, columns))
    for phase in np.ndindex(*map(min, dilation, y.shape[2:])):
        found, seen = phases(y, dilation, phase), phases(wide, dilation, phase)
        assert_dense(found, seen, arrays.weight, arrays.bias, case.groups)
    # The input gradient, cropped to the input, from the residual with zeros all round.
    zeros = [d * (taps - 1) for d, taps in zip(dilation, case.weight_shape[2:], strict=True)]
    wide = np.pad(arrays.residual, ((0, 0), (0, 0), *((zero, zero) for zero in zeros)))
    wide = wide[:, :, rows[0] :, columns[0] :]
    turned = turn(arrays.weight, case.groups)
    for phase in np.ndindex(*map(min, dilation, dx.shape[2:])):
        found, seen = phases(dx, dilation, phase), phases(wide, dilation, phase)
        assert_dense(found, seen, turned, None, case.groups)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layouts_give_the_same_bits(layout):
    case = Conv(2, 20, 9, 11, 36, 3, 3, 1, 1)
    arrays = random_problem(case)
    expected = compute(case, arrays, np.float32)
    laid = [layouts(array.astype(np.float32)).get(layout, array) for array in arrays[:4]]
    functions = directions(case, Problem(*laid, *arrays[4:]), "winograd")
    if layout != "channels last" or laid[2].ndim > 2:
        for name, other in zip(RESULTS[:2], expected, strict=True):
            assert functions[name]().tobytes() == other.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_out_may_be_a_slice_of_channels(dtype):
    case = Conv(2, 5, 9, 10, 7, 3, 3, 1, 1)
    arrays = random_problem(case, dtype)
    for function in list(directions(case, arrays, "winograd").values())[:2]:
        expected = function()
        n, c, h, w = expected.shape
        room = np.full((n, c + 4, h, w), 0.5, dtype)
        assert function(room[:, 2:-2]) is not None
        assert room[:, 2:-2].tobytes() == expected.tobytes()
        assert (room[:, :2] == 0.5).all()
        assert (room[:, -2:] == 0.5).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "case",
    [
        Conv(3, 18, 9, 10, 19, 3, 3, 1, 1),
        LARGE[2],
        LARGE[4],
        Conv(3, 18, 9, 17, 19, 1, 3, 1, (0, 1)),
        Conv(3, 18, 13, 10, 19, 7, 1, 1, (3, 0)),
    ],
    ids=str,
)
def test_nan_and_infinity_stay_in_their_sample_and_tile(case, value):
    arrays = random_problem(case, np.float32)
    place = (1, 1, 2, 5)
    kernel, before = case.weight_shape[2:], [pair[0] for pair in case.geometry.padding]
    turned = [taps - 1 - b for taps, b in zip(kernel, before, strict=True)]
    for what, source, pad in (
        (RESULTS[0], arrays.x, before),
        (RESULTS[1], arrays.residual, turned),
    ):
        usual = directions(case, arrays, "winograd")[what]()
        broken = source.copy()
        broken[place] = value
        field = "x" if what == RESULTS[0] else "residual"
        result = directions(case, arrays._replace(**{field: broken}), "winograd")[what]()
        # The outputs of its windows, and those that share a tile with them.
        near = np.zeros(usual.shape[2:], bool)
        tiles = near.copy()
        low = [max(place[2 + i] + pad[i] + 1 - kernel[i], 0) for i in (0, 1)]
        high = [place[2 + i] + pad[i] + 1 for i in (0, 1)]
        near[low[0] : high[0], low[1] : high[1]] = True
        steps = list(map(step, kernel))
        first = [n // m * m for n, m in zip(low, steps, strict=True)]
        last = [-(-n // m) * m for n, m in zip(high, steps, strict=True)]
        tiles[first[0] : last[0], first[1] : last[1]] = True
        group = slice(0, usual.shape[1] // case.groups)
        assert not np.isfinite(result[1, group][:, near]).any()
        assert result[1, group][:, ~tiles].tobytes() == usual[1, group][:, ~tiles].tobytes()
        result[1, group], usual[1, group] = 0, 0
        assert result.tobytes() == usual.tobytes()


def test_nan_in_one_kernel_reaches_its_own_map_only():
    x, weight = normal((1, 3, 9, 9), np.float32), normal((19, 3, 3, 3), np.float32)
    clean = F.conv2d(x, weight, algorithm="winograd")
    weight[17, 1, 1, 1] = np.nan
    result = F.conv2d(x, weight, algorithm="winograd")
    assert np.isnan(result[0, 17]).all()
    assert np.delete(result, 17, 1).tobytes() == np.delete(clean, 17, 1).tobytes()


@pytest.mark.parametrize(
    ("weight_shape", "options", "message"),
    [
        (
            (4, 2, 3, 2),
            {},
            r"a kernel of 2x2, 3x3 or 5x5, or .*, here it is \(3, 2\) with stride \(1, 1\)",
        ),
        ((4, 2, 5, 3), {}, r"one row or column of 2, 3, 5 or 7 .*, here it is \(5, 3\)"),
        ((4, 2, 5, 5), {"stride": (1, 2)}, r"here it is \(5, 5\) with stride \(1, 2\)"),
        ((4, 2, 7, 7), {"stride": 2}, r"here it is \(7, 7\) with stride \(2, 2\)"),
        ((4, 2, 3, 3), {"stride": (3, 1)}, r"stride 1 or 2 on .*, here it is \(3, 1\)"),
        ((4, 2, 3, 3), {"stride": 2, "dilation": 2}, r"dilation 1 .*, here it is \(2, 2\)"),
    ],
)
def test_what_it_cannot_serve(weight_shape, options, message):
    x = np.ones((1, 2, 9, 9))
    with pytest.raises(ValueError, match=message):
        F.conv2d(x, np.ones(weight_shape), algorithm="winograd", **options)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_plan_knows_how_much_the_matrices_let_errors_grow(kernel):
    forward = weight = 1.0
    for a, g, bt in map(sizes, kernel):
        forward *= (a.T * (g.max(axis=1) * bt.sum(axis=1))).sum(axis=1).max()
        weight *= (g.T * (a.max(axis=1) * bt.sum(axis=1))).sum(axis=1).max()
    for operation, growth in WINOGRAD_GROWTH[kernel].items():
        least = weight if operation == "conv2d_weight" else forward
        assert least <= growth < 1.001 * least


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_axis(dtype):
    shape, kernels, options = (2, 18, 37), (20, 5), ((1,), ((2, 2),), (1,), 2)
    weight_shape = (kernels[0], shape[1] // 2, kernels[1])
    geometry = conv_geometry(shape, weight_shape, *options)
    x, weight, bias = normal(shape, dtype, 1), normal(weight_shape, dtype, 2), normal((20,), dtype)
    forward, input_gradient, weight_gradient = (
        inner_call(operation, geometry, dtype, "winograd") for operation in OPERATIONS
    )
    y = np.empty(geometry.output_shape, dtype)
    forward(x, weight, bias, y)
    residual, dx, dweight = normal(y.shape, dtype, 4), np.empty_like(x), np.empty_like(weight)
    input_gradient(residual, weight, None, dx)
    weight_gradient(x, residual, dweight)
    assert "winograd" in able(geometry)
    for found, expected in (
        (y, conv_nd(x, weight, bias, *options)),
        (dx, conv_nd_input(x.shape, weight, residual, *options)),
        (dweight, conv_nd_weight(x, weight.shape, residual, *options)),
    ):
        limit = 100 * np.finfo(dtype).eps * np.abs(expected).max()
        assert np.abs(found - expected).max() <= limit
