"""Kernels that move by 2, and those with a depth, as sums of smaller ones: Winograd's terms."""

from itertools import product
from math import prod

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from fastconv._geometry import conv_geometry, input_gradient_phases, three_axes
from fastconv.engine.base.kernel import recorded
from tests._cases import DTYPES, ISAS, isa_or_skip, layouts, normal, run_tests_code
from tests.engine.winograd._matrices import step
from tests.engine.winograd.test_forward import bound

# Shapes of input and weight; stride, padding, dilation and groups.
CASES = [
    # Both residues have as many taps, or one has a tap less; rows and columns differ.
    ((2, 5, 9, 10), (7, 5, 4, 4), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
    ((2, 3, 9, 10), (4, 3, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
    ((1, 18, 13, 12), (17, 18, 5, 5), (2, 2), ((2, 2), (2, 2)), (1, 1), 1),
    ((2, 17, 14, 9), (33, 17, 6, 6), (2, 2), ((0, 3), (2, 1)), (1, 1), 1),
    ((2, 4, 9, 11), (3, 4, 5, 3), (2, 1), ((1, 0), (1, 1)), (1, 1), 1),
    ((2, 4, 9, 11), (3, 4, 2, 3), (1, 2), ((0, 0), (1, 2)), (1, 1), 1),
    ((2, 4, 7, 11), (3, 4, 1, 4), (2, 2), ((0, 0), (1, 1)), (1, 1), 1),
    ((2, 4, 11, 7), (3, 4, 3, 1), (2, 1), ((1, 1), (0, 0)), (1, 1), 1),
    ((3, 24, 15, 15), (40, 12, 4, 4), (2, 2), ((1, 0), (2, 1)), (1, 1), 2),
    # Maps that have no pixel of a residue, or lie outside of it; more padding than kernel.
    ((2, 3, 1, 1), (2, 3, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
    ((1, 3, 2, 1), (2, 3, 4, 4), (2, 2), ((3, 6), (5, 4)), (1, 1), 1),
    ((1, 2, 3, 300), (3, 2, 3, 3), (2, 2), ((4, 5), (1, 1)), (1, 1), 1),
    # U in blocks, kept, and panel by panel; several chunks.
    ((8, 130, 12, 12), (200, 130, 4, 4), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
    ((2, 300, 14, 14), (270, 300, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
    ((2, 33, 50, 53), (65, 33, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
    # A depth: of one plane, two, and more; its own stride, padding and dilation.
    ((2, 5, 6, 9, 10), (7, 5, 3, 3, 3), (1, 1, 1), ((1, 1),) * 3, (1, 1, 1), 1),
    ((1, 34, 4, 7, 7), (33, 34, 2, 3, 3), (1, 1, 1), ((0, 2), (1, 1), (1, 1)), (1, 1, 1), 1),
    ((2, 4, 1, 9, 6), (6, 4, 3, 2, 2), (1, 1, 1), ((1, 1), (0, 1), (1, 0)), (1, 1, 1), 1),
    ((2, 4, 5, 9, 6), (6, 4, 1, 3, 3), (1, 1, 1), ((0, 0), (1, 1), (1, 1)), (1, 1, 1), 1),
    ((2, 4, 7, 9, 10), (6, 4, 3, 3, 3), (2, 1, 1), ((2, 1), (1, 1), (0, 2)), (1, 1, 1), 1),
    ((2, 4, 7, 9, 10), (6, 2, 3, 3, 3), (1, 1, 1), ((2, 2),) * 3, (2, 2, 2), 2),
    ((2, 5, 7, 9, 10), (7, 5, 3, 4, 4), (2, 2, 2), ((1, 1),) * 3, (1, 1, 1), 1),
    ((1, 20, 9, 8, 9), (40, 20, 5, 1, 3), (3, 1, 2), ((4, 0), (0, 0), (1, 1)), (1, 1, 1), 1),
    ((1, 40, 6, 30, 29), (70, 40, 3, 3, 3), (1, 1, 1), ((1, 1),) * 3, (1, 1, 1), 1),
    # One row.
    ((2, 5, 37), (7, 5, 4), (2,), ((1, 1),), (1,), 1),
    ((2, 18, 41), (34, 18, 3), (2,), ((1, 0),), (1,), 1),
]
OPERATIONS = ("", "_input", "_weight")


def arrays(case, dtype):
    shape, weight_shape, *options = case
    geometry = conv_geometry(shape, weight_shape, *options)
    weight = normal(weight_shape, dtype, 2) / np.sqrt(prod(weight_shape[1:])).astype(dtype)
    return normal(shape, dtype, 1), weight, normal(geometry.output_shape, dtype, 3)


def compute(case, operation, x, weight, residual, algorithm="winograd", bias=None):
    options = case[2:]
    function = getattr(F, f"conv{x.ndim - 2}d{operation}")
    if not operation:
        return function(x, weight, bias, *options, algorithm=algorithm)
    if operation == "_input":
        return function(x.shape, weight, residual, *options, algorithm=algorithm)
    return function(x, weight.shape, residual, *options, algorithm=algorithm)


def on_three_axes(case, x, weight, residual):
    """Return the arrays, and the options, of a case with as many axes as the kernels see."""
    seen = [a.reshape(*a.shape[:2], *three_axes(a.shape[2:], 1)) for a in (x, weight, residual)]
    stride, padding, dilation, groups = case[2:]
    missing = 3 - len(stride)
    pairs = (((0, 0),) * missing) + padding
    return (*seen, three_axes(stride, 1), pairs, three_axes(dilation, 1), groups)


def terms(case, x, weight, residual):
    """Yield what each term sees of the padded input, plane by plane, and its taps.

    Planes are samples; the taps are a slice of those of the weights.
    """
    x, weight, residual, stride, padding, dilation, _ = on_three_axes(case, x, weight, residual)
    wide = np.pad(x, ((0, 0), (0, 0), *padding))
    # A kernel of few taps does not see the last rows and columns.
    wide = np.pad(wide, ((0, 0), (0, 0), (0, 0), (0, 8), (0, 8)))
    depth, *kernel = weight.shape[2:]
    residues = product(*(range(min(s, taps)) for s, taps in zip(stride[1:], kernel, strict=True)))
    planes = residual.shape[2]
    for (i, j), tap in product(list(residues), range(depth)):
        first = tap * dilation[0]
        seen = wide[:, :, first : first + (planes - 1) * stride[0] + 1 : stride[0]]
        taps = (..., tap, slice(i, None, stride[1]), slice(j, None, stride[2]))
        seen = seen[..., i :: stride[1], j :: stride[2]].swapaxes(1, 2)
        yield seen.reshape(-1, x.shape[1], *seen.shape[3:]), taps


def as_planes(maps):
    """See maps (N, C, D, H, W) plane by plane, as (N D, C, H, W)."""
    return maps.swapaxes(1, 2).reshape(-1, maps.shape[1], *maps.shape[3:])


def in_form(taps):
    """Return taps with zeros for those that a square, or the other residues, have more."""
    rows, columns = taps.shape[2:]
    if rows > 1 and columns > 1:
        rows = columns = max(rows, columns)
    return np.pad(taps, ((0, 0), (0, 0), (0, rows - taps.shape[2]), (0, columns - taps.shape[3])))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_kernel_is_the_sum_of_its_terms(case):
    x, weight, residual = (np.rint(4 * a) for a in arrays(case, np.float64))
    _, seen_weight, seen, *_, dilation, groups = on_three_axes(case, x, weight, residual)
    rows, columns = seen.shape[3:]
    total = 0
    gradient = np.zeros(seen_weight.shape)
    for planes, taps in terms(case, x, weight, residual):
        kernel = seen_weight[taps]
        y = reference.conv2d(planes, kernel, dilation=dilation[1:], groups=groups)
        total = total + y[..., :rows, :columns]
        reach = [d * (n - 1) for d, n in zip(dilation[1:], kernel.shape[2:], strict=True)]
        gradient[taps] = reference.conv2d_weight(
            planes[..., : rows + reach[0], : columns + reach[1]],
            kernel.shape,
            as_planes(seen),
            dilation=dilation[1:],
            groups=groups,
        )
    assert np.array_equal(
        total, as_planes(compute(case, "", x, weight, residual, "direct").reshape(seen.shape))
    )
    assert np.array_equal(
        gradient.reshape(weight.shape), compute(case, "_weight", x, weight, residual, "direct")
    )


def forward_bound(case, x, weight, residual, dtype):
    """Return a bound of the error of each output."""
    _, seen_weight, seen, *_, groups = on_three_axes(case, x, weight, residual)
    found = list(terms(case, x, weight, residual))
    others = len(found) * (seen_weight.shape[1] + seen_weight.shape[1] // 16 + 1)
    most = np.array([seen_weight[taps].shape[2:] for _, taps in found]).max(axis=0)
    limit = 0
    for planes, taps in found:
        kernel = seen_weight[taps]
        short = most - kernel.shape[2:]
        kernel = np.pad(kernel, ((0, 0), (0, 0), (0, short[0]), (0, short[1])))
        shape = (len(planes), weight.shape[0], *seen.shape[3:])
        limit = limit + bound(planes, in_form(kernel), shape, (0, 0), groups, dtype, others)
    planes = len(seen), seen.shape[2], weight.shape[0], *seen.shape[3:]
    return limit.reshape(planes).swapaxes(1, 2).reshape(residual.shape)


def input_bound(case, x, weight, residual, dtype):
    """Return a bound of the error of each number of the input's gradient."""
    seen_x, w, dy, stride, padding, dilation, groups = on_three_axes(case, x, weight, residual)
    befores = [before for before, _ in padding]
    k, c = w.shape[0] // groups, w.shape[1]
    turned = w.reshape(groups, k, c, *w.shape[2:]).swapaxes(1, 2)
    turned = turned.reshape(groups * c, k, *w.shape[2:])
    limit = np.zeros(seen_x.shape)
    axes = [
        input_gradient_phases(*numbers)
        for numbers in zip(seen_x.shape[2:], w.shape[2:], stride, befores, dilation, strict=True)
    ]
    for deep, down, across in product(*axes):
        others = len(deep.taps) * (k + k // 16 + 1)
        for number, tap in enumerate(deep.taps):
            kernel = turned[:, :, tap][:, :, list(down.taps)][..., list(across.taps)]
            for m in range(deep.count):
                plane = m + number * deep.dilation - deep.before
                if not 0 <= plane < dy.shape[2]:
                    continue
                where = (deep.positions.start + m * stride[0], down.positions, across.positions)
                part = limit[(..., *where)]
                part += bound(
                    dy[:, :, plane], in_form(kernel), part.shape, (down.before, across.before),
                    groups, dtype, others,
                )  # fmt: skip
    return limit.reshape(x.shape)


def check_case(case):
    """Compare all three operations with the reference's sums in float64."""
    for dtype in DTYPES:
        given = arrays(case, dtype)
        wide = [a.astype(np.float64) for a in given]
        dilated = max(three_axes(case[4], 1)[1:]) > 1
        for operation in OPERATIONS:
            found = compute(case, operation, *given)
            expected = compute(case, operation, *wide, "direct")
            assert found.dtype == dtype
            error, scale = np.abs(found - expected), np.abs(expected).max(initial=0)
            limit = {np.float32: 3e-5, np.float64: 1e-12}[dtype] * max(scale, 1e-3)
            assert error.max(initial=0) <= limit, (case, operation, dtype)
            if operation == "_weight" or dilated:
                continue
            make = input_bound if operation else forward_bound
            assert (error <= make(case, *wide, dtype) + 1e-300).all(), (case, operation, dtype)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_error_is_within_the_bound(case):
    check_case(case)


def check_cases():
    """Check all; return their number."""
    for case in CASES:
        check_case(case)
    return len(CASES)


@pytest.mark.parametrize("isa", ISAS)
def test_every_instruction_set_is_within_the_bound(isa):
    isa_or_skip(isa)
    printed = run_tests_code("engine.winograd.test_terms", "check_cases()", FASTCONV_ISA=isa)
    assert int(printed) == len(CASES)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("case", [CASES[i] for i in (8, 12, 13, 14, 21, 23)], ids=str)
def test_the_bits_are_those_of_one_thread_and_of_one_sample(case, operation, dtype):
    x, weight, residual = arrays(case, dtype)
    fastconv.set_num_threads(1)
    expected = compute(case, operation, x, weight, residual)
    for threads in range(2, 9):
        fastconv.set_num_threads(threads)
        assert compute(case, operation, x, weight, residual).tobytes() == expected.tobytes()
    if operation != "_weight":
        alone = compute(case, operation, x[-1:], weight, residual[-1:])
        assert alone.tobytes() == expected[-1:].tobytes()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("case", [CASES[8], CASES[19]], ids=str)
def test_any_memory_layout_gives_the_same_bits(case, operation):
    given = arrays(case, np.float32)
    expected = compute(case, operation, *given)
    every = [layouts(a) for a in given]
    for name in set.intersection(*map(set, every)):
        found = compute(case, operation, *(laid[name] for laid in every))
        assert found.tobytes() == expected.tobytes(), name


@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[15]], ids=str)
def test_the_bias_is_added_once(case):
    x, weight, residual = arrays(case, np.float64)
    bias = normal((weight.shape[0],), np.float64, 5)
    plain = compute(case, "", x, weight, residual)
    shifted = compute(case, "", x, weight, residual, bias=bias)
    expected = plain + bias.reshape(-1, *(1,) * (x.ndim - 2))
    np.testing.assert_allclose(shifted, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("case", [CASES[1], CASES[0], CASES[15]], ids=str)
def test_what_is_not_finite_stays_in_its_sample_and_reaches_what_it_meets(case, value):
    x, weight, residual = arrays(case, np.float32)
    broken = x.copy()
    place = (1, 1, *(size // 2 for size in x.shape[2:]))
    broken[place] = value
    usual, found = (compute(case, "", a, weight, residual) for a in (x, broken))
    direct = compute(case, "", broken, weight, residual, "direct")
    assert found[0].tobytes() == usual[0].tobytes()
    assert not np.isfinite(found[~np.isfinite(direct)]).any()
    bad = compute(case, "_weight", broken, weight, residual)
    usual = compute(case, "_weight", x, weight, residual)
    others = np.arange(x.shape[1]) != 1
    assert not np.isfinite(bad[:, 1]).all()
    assert bad[:, others].tobytes() == usual[:, others].tobytes()


def test_one_residue_writes_what_no_tap_reaches():
    # Of a kernel of one row that moves by 2, every second row of the gradient is zero.
    case = CASES[6]
    x, weight, residual = arrays(case, np.float64)
    found = compute(case, "_input", x, weight, residual)
    assert not found[:, :, 1::2].any()


@pytest.mark.parametrize("case", [CASES[0], CASES[12], CASES[15]], ids=str)
def test_prepared_weights_give_the_same_bits(case):
    x, weight, residual = arrays(case, np.float32)
    ready = F.prepare_weight(weight, x.shape[1:], *case[2:], algorithm="winograd")
    expected = compute(case, "", x, weight, residual)
    assert (
        getattr(F, f"conv{x.ndim - 2}d")(x, ready, None, *case[2:], algorithm="winograd").tobytes()
        == expected.tobytes()
    )


def test_what_runs_is_named():
    for case, name in ((CASES[0], "winograd phases"), (CASES[15], "winograd planes")):
        for operation in OPERATIONS:
            with recorded() as ran:
                compute(case, operation, *arrays(case, np.float32))
            assert {variant for variant, _ in ran} == {name}


def test_tiles_have_four_outputs():
    assert [step(taps) for taps in (1, 2, 3)] == [1, 4, 4]
