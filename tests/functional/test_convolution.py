"""Convolutions over one to three axes, transposed or not: reference, layouts, out=, bits, torch."""

from math import prod

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from fastconv.engine.base.kernel import recorded
from fastconv.engine.base.operation import contiguous_case
from fastconv.engine.plan import ALGORITHMS
from tests._cases import (
    DTYPES,
    ISAS,
    LAYOUTS,
    able,
    assert_exact,
    assert_gradient,
    inner_call,
    integers,
    isa_or_skip,
    layouts,
    normal,
    run_tests_code,
    torch_or_skip,
)
from tests._convolutions import (
    CASES,
    CONVOLUTIONS,
    RESULTS,
    TRANSPOSED,
    Case,
    compute,
    draw_arrays,
    forward,
    gradients,
    problem,
)

# One with several of everything for each number of axes, for tests of one call each.
PLAIN = (
    Case(3, 4, (19,), 6, (3,), 2, ((1, 2),), 2, 2),
    Case(2, 4, (5, 6, 7), 6, (2, 3, 2), (2, 1, 1), ((1, 0), (2, 1), (0, 1)), (1, 1, 2), 2),
    Case(3, 4, (9,), 6, (3,), 2, ((1, 2),), 2, 2, 1),
    Case(3, 4, (5, 6), 6, (3, 2), (2, 1), ((1, 0), (2, 1)), (1, 2), 2, (1, 1)),
    Case(2, 4, (2, 3, 4), 6, (2, 3, 2), (2, 1, 3), ((1, 0), (2, 1), (0, 1)), 1, 2, (0, 0, 2)),
)
# Kernels of three taps that move by one: those of Winograd's.
SMOOTH = (
    Case(2, 20, (37,), 33, (3,), 1, 1),
    Case(2, 18, (30,), 20, (5,), 1, 2, 1, 2),
    Case(1, 5, (80,), 7, (31,), 1, 15),
    Case(1, 2, (5, 9, 8), 3, (4, 5, 6)),
    Case(2, 20, (31,), 18, (3,), 1, 1, output_padding=0),
    Case(2, 20, (9, 11), 34, (3, 3), 1, 1, output_padding=0),
    Case(2, 6, (14, 12), 5, (5, 5), 1, ((2, 1), (0, 3)), 1, output_padding=0),
    Case(1, 34, (9, 10), 20, (1, 7), 1, (0, 3), 1, 2, output_padding=0),
    Case(1, 3, (4, 6, 5), 2, (3, 3, 4), 1, 1, output_padding=0),
)


def served(cases, **which):
    return [
        pytest.param(case, name, id=f"{case}-{name}")
        for case in cases
        for name in able(case.geometry, **which)
    ]


def check_exact(case, algorithm, dtype):
    wanted = problem(case).astype(dtype)
    for result, expected, what in zip(
        compute(case, wanted.arrays, algorithm), wanted.results, RESULTS, strict=True
    ):
        assert_exact(result, expected, f"{what} of {case.name} {case}, {algorithm}, {dtype}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("case", "algorithm"), served(CASES, exact=True))
def test_fast_equals_reference_exactly_on_integers(case, algorithm, dtype):
    check_exact(case, algorithm, dtype)


def check_all():
    """Compare the whole table with the reference, by every exact algorithm."""
    for case in CASES:
        for algorithm in able(case.geometry, exact=True):
            for dtype in DTYPES:
                check_exact(case, algorithm, dtype)
    return len(CASES)


@pytest.mark.parametrize("isa", ISAS)
def test_every_instruction_set(isa):
    isa_or_skip(isa)
    printed = run_tests_code("functional.test_convolution", "check_all()", FASTCONV_ISA=isa)
    assert printed == str(len(CASES))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("case", "algorithm"), served(SMOOTH))
def test_random_numbers_are_within_the_bounds(case, algorithm, dtype):
    arrays = draw_arrays(case, lambda shape, seed: normal(shape, dtype, seed))
    x, weight, bias, residual = (array.astype(np.float64) for array in arrays)
    exact = (
        forward(reference, case, x, weight, bias),
        *gradients(reference, case, x, weight, residual),
    )
    x, weight, bias, residual = map(np.abs, (x, weight, bias, residual))
    sizes = (
        forward(reference, case, x, weight, bias),
        *gradients(reference, case, x, weight, residual),
    )
    eps = np.finfo(dtype).eps
    for part, result, expected, size in zip(
        ("", "_input", "_weight"), compute(case, arrays, algorithm), exact, sizes, strict=False
    ):
        found = fastconv.explain(
            case.name + part, case.input_shape, case.weight_shape, dtype=dtype,
            algorithm=algorithm, **case.keywords,
        )  # fmt: skip
        assert found.operation == case.name + part
        error = np.abs(result - expected)
        if found.error_measure == "sum |x||w|":
            assert (error <= (found.error_bound + 2 * eps) * size).all(), part
        else:
            # What transforms are measured by is no sum of these: far less is usual.
            assert error.max() <= 50 * eps * size.max(), part


@pytest.mark.parametrize("algorithm", ["direct", "im2col", "gemm"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.name)
def test_memory_layouts(case, layout, algorithm):
    solved = problem(case).astype(np.float32)
    every = [layouts(array).get(layout, array) for array in solved.arrays]
    # Each array alone, so that one wrong stride cannot hide behind another, then all at once.
    for chosen in (*({i} for i in range(4)), set(range(4))):
        arrays = [every[i] if i in chosen else solved[i] for i in range(4)]
        results = compute(case, arrays, algorithm)
        for actual, wanted, what in zip(results, solved.results, RESULTS, strict=True):
            assert_exact(actual, wanted, what)


@pytest.mark.parametrize("case", [*PLAIN, *SMOOTH[4:8]], ids=str)
def test_one_sample_without_a_batch_axis(case):
    solved = problem(case)
    x, weight, bias, residual = solved.arrays
    for algorithm in able(case.geometry, exact=True):
        options = {"algorithm": algorithm}
        assert_exact(forward(F, case, x[0], weight, bias, **options), solved.y[0])
        dx, dweight, dbias = gradients(F, case, x[0], weight, residual[0], **options)
        _, expected, sums = gradients(F, case, x[:1], weight, residual[:1], **options)
        assert_exact(dx, solved.dx[0])
        assert_exact(dweight, expected)
        assert_exact(dbias, sums)


def calls(case, arrays, **options):
    """Return the functions of further keywords, by the name of their result."""
    x, weight, bias, residual = arrays
    name = case.name

    def bind(part, *arguments):
        function = getattr(F, name + part)
        return lambda **more: function(*arguments, *case.options, **options, **more)

    return {
        RESULTS[0]: bind("", x, weight, bias),
        RESULTS[1]: bind("_input", x.shape, weight, residual),
        RESULTS[2]: bind("_weight", x, weight.shape, residual),
        RESULTS[3]: lambda **more: getattr(F, f"{name}_bias")(residual, **more),
    }


@pytest.mark.parametrize("what", RESULTS)
@pytest.mark.parametrize("case", [*PLAIN, TRANSPOSED[13], TRANSPOSED[21]], ids=str)
def test_out_in_a_larger_array(case, what):
    expected = problem(case).results[RESULTS.index(what)]
    shape = expected.shape
    if len(shape) > 1:
        # Every second sample, and a slice of the channels; between and around them are guards.
        base = np.full((2 * shape[0] + 1, shape[1] + 5, *shape[2:]), np.nan)
        inside = (slice(1, None, 2), slice(2, 2 + shape[1]))
    else:
        base, inside = np.full(shape[0] + 4, np.nan), (slice(2, 2 + shape[0]),)
    out = base[inside]
    assert calls(case, problem(case).arrays)[what](out=out) is out
    np.testing.assert_array_equal(out, expected)
    out[...] = np.nan
    assert np.isnan(base).all(), "the result was written outside out"


@pytest.mark.parametrize("what", RESULTS[:3])
@pytest.mark.parametrize(
    ("case", "message"),
    list(zip(PLAIN, ("rows", "maps, its last three", "rows", "planes", "maps"), strict=True)),
    ids=str,
)
def test_out_with_gaps_in_its_maps_is_refused(case, message, what):
    shape = problem(case).results[RESULTS.index(what)].shape
    gaps = np.empty((*shape[:2], 2 * shape[2], *shape[3:]))[:, :, ::2]
    with pytest.raises(ValueError, match=f"^out must have contiguous {message}"):
        calls(case, problem(case).arrays)[what](out=gaps)


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.name)
def test_out_over_an_input_behaves_as_if_copied(case):
    # As many channels, of the same size: written in place, results would be read again.
    case = case._replace(k=case.c, kernel=(3,) * case.axes, stride=1, padding=1, dilation=1)
    case = case._replace(output_padding=0 if case.transposed else None)
    solved = problem(case)
    x, weight, bias, residual = solved.arrays
    same = x.copy()
    assert getattr(F, case.name)(same, weight, bias, *case.options, out=same) is same
    np.testing.assert_array_equal(same, solved.y)
    same, kernels, sums = residual.copy(), weight.copy(), bias.copy()
    outs = same, kernels, sums
    backward = getattr(F, f"{case.name}_backward")
    for out, expected in zip(
        backward(x, kernels, same, *case.options, out=outs), solved.results[1:], strict=True
    ):
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.name)
def test_gradients_are_the_numerical_ones(case):
    x, weight, bias, residual = draw_arrays(case, lambda shape, seed: normal(shape, seed=seed))
    dx, dweight, dbias = gradients(F, case, x, weight, residual)

    def by(position):
        def function(value):
            arrays = [x, weight, bias]
            arrays[position] = value
            return forward(F, case, *arrays)

        return function

    assert_gradient(by(0), dx, x, residual, linear=True)
    assert_gradient(by(1), dweight, weight, residual, linear=True)
    assert_gradient(by(2), dbias, bias, residual, linear=True)


@pytest.mark.parametrize("case", [*PLAIN, *SMOOTH], ids=str)
def test_backward_gives_the_bits_of_the_single_functions(case):
    x, weight, _, residual = draw_arrays(case, lambda shape, seed: normal(shape, np.float32, seed))
    single = gradients(F, case, x, weight, residual)
    backward = getattr(F, f"{case.name}_backward")
    for mask in np.ndindex(2, 2, 2):
        chosen = tuple(map(bool, mask))
        results = backward(x, weight, residual, *case.options, output_mask=chosen)
        for wanted, result, alone in zip(chosen, results, single, strict=True):
            assert (result is None) == (not wanted)
            if wanted:
                assert_exact(result, alone)
                assert result.tobytes() == alone.tobytes()


@pytest.mark.parametrize("case", [*PLAIN, *SMOOTH, CONVOLUTIONS[20], TRANSPOSED[20]], ids=str)
def test_the_same_bits_for_any_threads_and_each_sample_alone(case):
    arrays = draw_arrays(case, lambda shape, seed: normal(shape, np.float32, seed))
    x, weight, bias, residual = arrays
    for algorithm in able(case.geometry):
        expected = compute(case, arrays, algorithm)
        for threads in (1, 2, 3, 8):
            with fastconv.num_threads(threads):
                for result, other in zip(compute(case, arrays, algorithm), expected, strict=True):
                    assert result.tobytes() == other.tobytes(), (algorithm, threads)
        alone = forward(F, case, x[-1:], weight, bias, algorithm=algorithm)
        assert alone.tobytes() == expected[0][-1:].tobytes(), algorithm
        alone = gradients(F, case, x[-1:], weight, residual[-1:], algorithm=algorithm)[0]
        assert alone.tobytes() == expected[1][-1:].tobytes(), algorithm


@pytest.mark.parametrize("case", [*CASES, *SMOOTH], ids=str)
def test_what_is_explained_is_what_runs(case):
    arrays = draw_arrays(case, lambda shape, seed: normal(shape, np.float32, seed))
    places = case.size if case.transposed else case.geometry.out_size
    products = prod(case.weight_shape) * prod(places) * case.n
    for algorithm in ("auto", *able(case.geometry)):
        functions = calls(case, arrays, algorithm=algorithm).values()
        for part, function in zip(("", "_input", "_weight"), functions, strict=False):
            found = fastconv.explain(
                case.name + part, case.input_shape, case.weight_shape, algorithm=algorithm,
                **case.keywords,
            )  # fmt: skip
            assert found.flops == 2 * products
            with recorded() as ran:
                function()
            assert {name for name, _ in ran} == ({found.variant} if case.n else set()), part


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [*CASES, *SMOOTH], ids=str)
def test_variants_of_one_family_have_the_same_bits_with_a_bias(case, dtype):
    # An input gradient with a bias is what a transposed convolution is.
    geometry = case.geometry
    weight = normal(geometry.weight_shape, dtype, 1)
    for operation, read, written in (
        ("conv2d", geometry.input_shape, geometry.output_shape),
        ("conv2d_input", geometry.output_shape, geometry.input_shape),
    ):
        plain = contiguous_case(operation, geometry, np.dtype(dtype).name)
        x, bias = normal(read, dtype, 2), normal(written[1:2], dtype, 3)
        for row in ALGORITHMS:
            if row.name in ("fft", "direct", "im2col") or row.refuses(geometry) or not case.n:
                continue
            bits = {}
            for variant in row.variants:
                if operation not in variant.operations or not variant.serves(plain):
                    continue
                result = np.full(written, np.nan, dtype)
                inner_call(operation, geometry, dtype, row.name, variant.name)(
                    x, weight, bias, result
                )
                other = bits.setdefault(variant.family, result.tobytes())
                assert result.tobytes() == other, (operation, row.name, variant.name)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("case", "algorithm"), served(PLAIN, exact=True))
def test_nan_and_infinity_reach_what_depends_on_them_and_nothing_else(case, algorithm, value):
    # All weights are 1, so that no product of infinity and 0 occurs.
    x, weight = np.zeros(case.input_shape), np.ones(case.weight_shape)
    place = (-1, 1, *(n // 2 for n in case.size))
    x[place] = 1
    touched = forward(reference, case, x, weight, None) != 0
    assert 0 < touched.sum() < touched.size
    x[place] = value
    result = forward(F, case, x, weight, None, algorithm=algorithm)
    np.testing.assert_array_equal(~np.isfinite(result), touched)


@pytest.mark.parametrize("case", [*CASES, *SMOOTH], ids=str)
def test_agrees_with_torch(case):
    torch = torch_or_skip("convolutions against torch")
    pads = case.padding
    if isinstance(pads, tuple) and isinstance(pads[0], tuple):
        if any(before != after for before, after in pads):
            return
        pads = tuple(before for before, _ in pads)
    if isinstance(pads, str):
        return
    solved = problem(case)
    tensors = [torch.from_numpy(array.copy()).requires_grad_() for array in solved.arrays[:3]]
    options = (case.options[0], pads, *case.options[2:])
    try:
        y = getattr(torch.nn.functional, case.name)(*tensors, *options)
    except RuntimeError:
        assert case.n == 0
        return
    y.backward(torch.from_numpy(solved.residual.copy()))
    for ours, theirs in zip(solved.results, [y, *(t.grad for t in tensors)], strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", [*PLAIN, *SMOOTH], ids=str)
def test_prepared_weights_give_the_same_bits(case):
    x, weight, bias, _ = draw_arrays(case, lambda shape, seed: normal(shape, np.float32, seed))
    keywords = dict(case.keywords)
    if case.transposed:
        keywords["transposed"] = True
    for algorithm in ("auto", *able(case.geometry)):
        ready = F.prepare_weight(weight, x.shape[1:], algorithm=algorithm, **keywords)
        one = (1, *x.shape[1:])
        shapes = one, weight.shape
        found = fastconv.explain(case.name, *shapes, algorithm=algorithm, **case.keywords)
        helps = {"winograd lines", "winograd squares", "Fourier transforms"}
        if not case.transposed:
            # These read weights that are packed.
            helps |= {"pixels in the lanes", "output channels in the lanes"}
        assert (ready.operation, ready.data is not None) == (case.name, found.variant in helps)
        for batch in (x, x[:1], np.concatenate([x, x]), x[0]):
            expected = forward(F, case, batch, weight, bias, algorithm=algorithm)
            actual = forward(F, case, batch, ready, bias, algorithm=algorithm)
            assert actual.tobytes() == expected.tobytes(), algorithm


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.name)
def test_exact_leaves_the_exact_algorithms(case):
    shapes = (1, 64, *(14,) * case.axes), (64, 64, *(3,) * case.axes)
    with fastconv.exact():
        found = fastconv.explain(case.name, *shapes, padding=1)
        assert found.algorithm == "gemm"
        assert "exact()" in found.refused["fft"]


def test_long_sums_of_a_weight_gradient_are_taken_in_pieces():
    # 70,000 positions, of ones that a running sum in float32 counts up to 2**24 without an error.
    x, residual = np.ones((1, 1, 70_002), np.float32), np.ones((1, 1, 70_000), np.float32)
    assert_exact(F.conv1d_weight(x, (1, 1, 3), residual), np.full((1, 1, 3), 70_000, np.float32))
    grad = F.conv_transpose1d_weight(residual, (1, 1, 3), x)
    assert_exact(grad, np.full((1, 1, 3), 70_000, np.float32))
    volume = integers((1, 2, 6, 110, 111))
    residual = integers((1, 3, 6, 110, 111), seed=1)
    options = {"padding": 1}
    expected = F.conv3d_weight(volume, (3, 2, 3, 3, 3), residual, algorithm="direct", **options)
    assert_exact(F.conv3d_weight(volume, (3, 2, 3, 3, 3), residual, **options), expected)
