"""Convolution and its gradients: fast against reference, layouts, out=, NaN, torch, call cache."""

from functools import cache

import numpy as np
import pytest

from fastconv import functional as F
from fastconv import reference
from fastconv.functional import _calls
from tests._cases import (
    ALGORITHMS,
    CONVS,
    DTYPES,
    LAYOUTS,
    PICKED,
    RESULTS,
    Conv,
    Problem,
    assert_conv_exact,
    assert_exact,
    assert_gradient,
    convolve,
    integers,
    layouts,
    normal,
    problem,
    served,
    small,
    torch_or_skip,
)

SMALL = small()
# One case with several of everything, for tests of one call each.
PLAIN = Conv(3, 4, 9, 10, 6, 3, 2, (2, 1), ((1, 0), (2, 1)), (1, 2), 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("case", CONVS, ids=str)
def test_fast_equals_reference_exactly_on_integers(case, algorithm, dtype):
    assert_conv_exact(case, problem(case), dtype, algorithm)


@pytest.mark.parametrize("case", [PLAIN, PICKED[0], PICKED[2]], ids=str)
def test_auto_has_the_bits_of_gemm(case):
    # "auto" must not depend on anything that the promise of equal bits does not name.
    arrays = floats(case, np.float32)
    for auto, gemm in zip(convolve(case, arrays), convolve(case, arrays, "gemm"), strict=True):
        assert auto.tobytes() == gemm.tobytes()


@cache
def floats(case, dtype):
    """Return a problem of random numbers; its results are those of the reference, in float64."""
    shapes = [array.shape for array in problem(case)[:4]]
    arrays = [normal(shape, dtype, seed) for seed, shape in enumerate(shapes)]
    x, weight, bias, residual = (array.astype(np.float64) for array in arrays)
    return Problem(*arrays, *slow(case, x, weight, bias, residual))


def slow(case, x, weight, bias, residual):
    return (
        reference.conv2d(x, weight, bias, *case.options),
        reference.conv2d_input(x.shape, weight, residual, *case.options),
        reference.conv2d_weight(x, weight.shape, residual, *case.options),
        reference.conv2d_bias(residual),
    )


@cache
def error_bounds(case, dtype):
    """Return the largest rounding errors that any order of summation can make.

    With L products in a sum, |computed - exact| <= L u/(1 - L u) sum |products|, u = eps/2 (N.
    Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1). L + 2 for the
    bias and the last rounding, and eps in the place of u: the reference, in float64, errs, too.
    """
    arrays = floats(case, dtype)
    sizes = slow(case, *(np.abs(array.astype(np.float64)) for array in arrays[:4]))
    n, positions = len(arrays.residual), np.prod(arrays.residual.shape[2:], dtype=int)
    taps = case.r * case.s
    lengths = (
        case.c // case.groups * taps,
        case.k // case.groups * taps,
        n * positions,
        n * positions,
    )
    eps = np.finfo(dtype).eps
    return [(length + 2) * eps * size for length, size in zip(lengths, sizes, strict=True)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("case", PICKED, ids=str)
def test_random_numbers_stay_within_the_rounding_bound(case, algorithm, dtype):
    arrays = floats(case, dtype)
    for actual, expected, bound, what in zip(
        convolve(case, arrays, algorithm),
        arrays[4:],
        error_bounds(case, dtype),
        RESULTS,
        strict=True,
    ):
        assert (np.abs(actual - expected) <= bound).all(), what


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", [PLAIN, Conv(2, 6, 5, 33, 7, 1, 1)], ids=str)
def test_memory_layouts(case, layout, algorithm):
    expected = problem(case)
    plain = expected.astype(np.float32)
    every = [layouts(array).get(layout, array) for array in plain[:4]]
    # Each array alone, so that one wrong stride cannot hide behind another, then all at once.
    for chosen in (*({i} for i in range(4)), set(range(4))):
        arrays = [every[i] if i in chosen else plain[i] for i in range(4)]
        results = convolve(case, Problem(*arrays, *expected[4:]), algorithm)
        for actual, wanted, what in zip(results, plain[4:], RESULTS, strict=True):
            assert_exact(actual, wanted, what)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_broadcast_inputs(algorithm):
    # Strides of 0: one sample seen as many, one number seen as an array.
    for axes in ((0,), (1,), (2, 3), (0, 1, 2, 3)):
        arrays = []
        for array in problem(PLAIN)[:4]:
            if array.ndim == 4:
                one = array[
                    tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(4))
                ]
                array = np.broadcast_to(one, array.shape)
            arrays.append(array)
        copies = Problem(*(array.copy() for array in arrays), None, None, None, None)
        expected = slow(PLAIN, *copies[:4])
        results = convolve(PLAIN, Problem(*arrays, *copies[4:]), algorithm)
        for actual, wanted, what in zip(results, expected, RESULTS, strict=True):
            assert_exact(actual, wanted, what)


def test_memory_mapped_inputs(tmp_path):
    arrays = []
    for number, array in enumerate(problem(PLAIN)[:4]):
        shape = array.shape
        mapped = np.memmap(tmp_path / f"{number}", array.dtype, "w+", shape=shape)
        mapped[...] = array
        mapped.flush()
        arrays.append(np.memmap(tmp_path / f"{number}", array.dtype, "r", shape=shape))
    results = convolve(PLAIN, Problem(*arrays, None, None, None, None))
    for actual, wanted in zip(results, problem(PLAIN)[4:], strict=True):
        assert_exact(actual, wanted)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_one_sample_without_a_batch_axis(case, algorithm):
    x, weight, bias, residual, y, dx, *_ = problem(case)
    options = {"algorithm": algorithm}
    assert_exact(F.conv2d(x[0], weight, bias, *case.options, **options), y[0])
    actual = F.conv2d_input(x.shape[1:], weight, residual[0], *case.options, **options)
    assert_exact(actual, dx[0])
    assert_exact(
        F.conv2d_weight(x[0], weight.shape, residual[0], *case.options, **options),
        F.conv2d_weight(x[:1], weight.shape, residual[:1], *case.options, **options),
    )
    assert_exact(F.conv2d_bias(residual[0]), residual[0].sum(axis=(1, 2)))


def calls(case, algorithm):
    """Return the four functions of `out`, by the name of their result."""
    x, weight, bias, residual, *_ = problem(case)
    rest = {"algorithm": algorithm}
    return {
        "output": lambda out: F.conv2d(x, weight, bias, *case.options, **rest, out=out),
        "input gradient": lambda out: F.conv2d_input(
            x.shape, weight, residual, *case.options, **rest, out=out
        ),
        "weight gradient": lambda out: F.conv2d_weight(
            x, weight.shape, residual, *case.options, **rest, out=out
        ),
        "bias gradient": lambda out: F.conv2d_bias(residual, out=out),
    }


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("what", RESULTS)
@pytest.mark.parametrize(
    "case", [PLAIN, Conv(2, 3, 6, 7, 5, 3, 3, 2, 4), Conv(0, 3, 5, 6, 7, 3, 3, 2, 1)], ids=str
)
def test_out_in_a_larger_array(case, what, algorithm):
    expected = problem(case)[4 + RESULTS.index(what)]
    shape = expected.shape
    if len(shape) == 4:
        # Every second sample, and a slice of the channels; between and around them are guards.
        base = np.full((2 * shape[0] + 1, shape[1] + 5, *shape[2:]), np.nan)
        inside = (slice(1, None, 2), slice(2, 2 + shape[1]))
    else:
        base, inside = np.full(shape[0] + 4, np.nan), (slice(2, 2 + shape[0]),)
    out = base[inside]
    result = calls(case, algorithm)[what](out)
    assert result is out
    np.testing.assert_array_equal(out, expected)
    out[...] = np.nan
    assert np.isnan(base).all(), "the result was written outside out"


@pytest.mark.parametrize("what", RESULTS)
def test_out_with_reversed_samples_and_channels(what):
    expected = problem(PLAIN)[4 + RESULTS.index(what)]
    if expected.ndim == 4:
        out = np.empty(expected.shape)[::-1, ::-1]
        assert calls(PLAIN, "direct")[what](out) is out
        np.testing.assert_array_equal(out, expected)


def test_out_with_strides_that_do_not_matter():
    # On an axis of size 1 the stride has no meaning; a check of the strides alone refuses it.
    out = np.empty((1, 1, 2, 2))[..., ::2, ::2]
    F.conv2d(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2)), out=out)
    assert out == 4


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_out_that_overlaps_an_input_behaves_as_if_copied(algorithm):
    # Written in place, the first results would be read as inputs of the next.
    case = Conv(2, 4, 6, 7, 4, 3, 3, 1, 1)
    x, weight, bias, residual, y, dx, *_ = problem(case)
    for shift in (0, 1):
        memory = np.zeros(x.size + 1)
        same = memory[: x.size].reshape(x.shape)
        same[...] = x
        out = memory[shift : x.size + shift].reshape(x.shape)
        assert F.conv2d(same, weight, bias, *case.options, algorithm=algorithm, out=out) is out
        np.testing.assert_array_equal(out, y)
        same[...] = residual
        F.conv2d_input(x.shape, weight, same, *case.options, algorithm=algorithm, out=out)
        np.testing.assert_array_equal(out, dx)
    kernels = weight.copy()
    F.conv2d_weight(kernels, kernels.shape, kernels, 1, 1, algorithm=algorithm, out=kernels)
    np.testing.assert_array_equal(
        kernels, reference.conv2d_weight(weight, weight.shape, weight, 1, 1)
    )
    square = integers((4, 4))
    sums = square.sum(axis=1)
    F.conv2d_bias(square[:, None], out=square[1])
    np.testing.assert_array_equal(square[1], sums)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "case",
    [
        Conv(2, 2, 4, 5, 3, 3, 2, 1, 1),
        Conv(1, 4, 5, 6, 2, 2, 3, 2, ((0, 1), (2, 0)), 1, 2),
        Conv(1, 2, 6, 5, 2, 2, 2, 3, "same", 2),
        Conv(2, 3, 3, 3, 3, 1, 1, 2, 1, 1, 3),
    ],
    ids=str,
)
def test_gradients_are_the_numerical_ones(case, algorithm):
    arrays = floats(case, np.float64)
    x, weight, bias, residual, *_ = arrays
    _, dx, dweight, dbias = convolve(case, arrays, algorithm)

    def conv(x, weight, bias):
        return F.conv2d(x, weight, bias, *case.options, algorithm=algorithm)

    assert_gradient(lambda x: conv(x, weight, bias), dx, x, residual, linear=True)
    assert_gradient(lambda weight: conv(x, weight, bias), dweight, weight, residual, linear=True)
    assert_gradient(lambda bias: conv(x, weight, bias), dbias, bias, residual, linear=True)


@pytest.mark.parametrize("outputs", [2, 9])
def test_a_narrow_last_block_of_columns(outputs):
    # 43861 columns of float64 are 171 blocks of 256 and one of 85: in it, a unit of the weight
    # gradient meets three rows, where the slab once had room for two.
    x = np.resize(np.arange(-3.0, 4.0), (3, 2, 1, 43863))
    residual = np.resize(np.arange(-2.0, 3.0), (3, outputs, 1, 43861))
    fast, slow = (
        F.conv2d_weight(x, (outputs, 2, 1, 3), residual, algorithm=algorithm)
        for algorithm in ("gemm", "direct")
    )
    assert_exact(fast, slow)


@pytest.mark.parametrize("case", [PLAIN, Conv(2, 3, 17, 33, 7, 3, 3, 2, 1)], ids=str)
def test_backward_gives_the_bits_of_the_single_functions(case):
    arrays = floats(case, np.float32)
    x, weight, _, residual, *_ = arrays
    _, *single = convolve(case, arrays)
    for mask in np.ndindex(2, 2, 2):
        chosen = tuple(map(bool, mask))
        results = F.conv2d_backward(x, weight, residual, *case.options, output_mask=chosen)
        for wanted, result, alone in zip(chosen, results, single, strict=True):
            if wanted:
                assert result.tobytes() == alone.tobytes()
                assert_exact(result, alone)
            else:
                assert result is None


@pytest.mark.parametrize("case", [PLAIN, Conv(2, 3, 17, 33, 7, 3, 3, 2, 1)], ids=str)
def test_backward_writes_into_given_arrays(case):
    x, weight, _, residual, *_ = floats(case, np.float32)
    single = F.conv2d_backward(x, weight, residual, *case.options)
    # The first half of the second axis of larger arrays; the bias's gradient has one axis.
    bases = [np.full((g.shape[0], 2, *g.shape[1:]), np.nan, g.dtype) for g in single]
    bases[2] = bases[2].reshape(2, -1)
    outs = bases[0][:, 0], bases[1][:, 0], bases[2][0]
    for mask in np.ndindex(2, 2, 2):
        chosen = tuple(out if wanted else None for out, wanted in zip(outs, mask, strict=True))
        options = {"output_mask": tuple(map(bool, mask)), "out": chosen}
        results = F.conv2d_backward(x, weight, residual, *case.options, **options)
        for result, out, gradient in zip(results, chosen, single, strict=True):
            assert result is out
            if out is not None:
                np.testing.assert_array_equal(out, gradient)
                out[...] = 0
    assert all(np.isnan(rest).all() for rest in (bases[0][:, 1], bases[1][:, 1], bases[2][1]))


def test_backward_over_its_arguments_behaves_as_if_they_were_copied():
    x, residual = normal((2, 5, 9, 9), np.float64), normal((2, 5, 9, 9), np.float64, 1)
    weight = normal((5, 5, 3, 3), np.float64, 2)
    expected = F.conv2d_backward(x, weight, residual, padding=1)
    outs = x, weight, None
    with pytest.raises(ValueError, match=r"^out\[0\] must be None where output_mask\[0\] is False"):
        F.conv2d_backward(x, weight, residual, padding=1, output_mask=(0, 1, 1), out=outs)
    with pytest.raises(ValueError, match=r"^out must hold three arrays or None, got ndarray"):
        F.conv2d_backward(x, weight, residual, padding=1, out=x)
    with pytest.raises(ValueError, match=r"^out must have the result's shape"):
        F.conv2d_backward(x, weight, residual, padding=1, out=(weight, None, None))
    bias_out = residual.reshape(-1)[:5]
    outs = x, weight, bias_out
    for out, gradient in zip(
        F.conv2d_backward(x, weight, residual, padding=1, out=outs), expected, strict=True
    ):
        np.testing.assert_array_equal(out, gradient)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("case", "algorithm"),
    served(
        [
            PLAIN,
            Conv(3, 2, 6, 7, 5, 3, 3),
            Conv(3, 3, 9, 33, 2, 2, 3, 2, 1, 3),
            Conv(3, 5, 4, 4, 7, 1, 1),
            Conv(3, 20, 7, 7, 20, 3, 3, 1, 1, 1, 20),
            Conv(3, 20, 7, 7, 20, 3, 3, 2, 3, 1, 20),
        ],
        exact=True,
    ),
)
def test_nan_and_infinity_reach_what_depends_on_them_and_nothing_else(case, algorithm, value):
    # Tiles compute a few positions too many, and panels of channels that do not exist: what is
    # dropped must not leak. All weights are 1, so that no product of infinity and 0 occurs.
    clean = problem(case).astype(np.float32)
    weight = np.ones_like(clean.weight)
    place = (1, 1, 2, 3)
    x, residual = clean.x.copy(), clean.residual.copy()
    x[place] = residual[place] = value
    rest = {"algorithm": algorithm}

    def touched(function, like):
        mark = np.zeros(like.shape)
        mark[place] = 1
        return function(mark) != 0

    def forward(x):
        return F.conv2d(x, weight.astype(x.dtype), None, *case.options, **rest)

    def backward(residual):
        kernels = weight.astype(residual.dtype)
        return F.conv2d_input(x.shape, kernels, residual, *case.options, **rest)

    for function, values, before in ((forward, x, clean.x), (backward, residual, clean.residual)):
        reached = touched(function, before)
        assert reached.any()
        assert not reached[[0, 2]].any()
        result, usual = function(values), function(before)
        np.testing.assert_array_equal(result[reached], value)
        np.testing.assert_array_equal(result[~reached], usual[~reached])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nan_in_one_kernel_reaches_its_own_map_only(algorithm):
    # The last kernel is computed again for the missing rows of its tile.
    x, weight = integers((2, 3, 5, 6)), integers((7, 3, 2, 2))
    clean = F.conv2d(x, weight, algorithm=algorithm)
    for kernel in (0, 5, 6):
        broken = weight.copy()
        broken[kernel, 1, 1, 0] = np.nan
        result = F.conv2d(x, broken, algorithm=algorithm)
        assert np.isnan(result[:, kernel]).all()
        others = np.arange(7) != kernel
        np.testing.assert_array_equal(result[:, others], clean[:, others])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_algorithm_warns_of_infinity_minus_infinity(algorithm):
    # Warnings are errors here.
    x = np.full((1, 2, 5, 6), np.inf)
    x[:, 1] = -np.inf
    weight = np.ones((3, 2, 2, 2))
    maps = F.conv2d(x, weight, algorithm=algorithm)
    residual = np.stack((maps[:, 0], np.full_like(maps[:, 0], np.inf), -x[:, 0, 1:, 1:]), axis=1)
    assert np.isnan(maps).all()
    assert np.isnan(F.conv2d_input(x.shape, weight, residual, algorithm=algorithm)).all()
    assert np.isnan(F.conv2d_weight(x, weight.shape, residual, algorithm=algorithm)[0]).all()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nan_reaches_the_weight_gradient_of_its_own_channels_only(algorithm):
    x, residual = integers((2, 3, 5, 6)), integers((2, 7, 4, 5))
    clean = F.conv2d_weight(x, (7, 3, 2, 2), residual, algorithm=algorithm)
    x[1, 2, 2, 2] = np.nan
    result = F.conv2d_weight(x, (7, 3, 2, 2), residual, algorithm=algorithm)
    assert np.isnan(result[:, 2]).all()
    np.testing.assert_array_equal(result[:, :2], clean[:, :2])
    x[1, 2, 2, 2], residual[0, 6, 3, 4] = 0, np.nan
    result = F.conv2d_weight(x, (7, 3, 2, 2), residual, algorithm=algorithm)
    assert np.isnan(result[6]).all()
    assert not np.isnan(result[:6]).any()


@pytest.mark.parametrize(("stride", "size"), [(1, 7), (2, 4)])
def test_nan_reaches_the_depthwise_weight_gradient_of_its_own_map_only(stride, size):
    # The vectors of short rows read on past their end.
    x, residual = integers((2, 20, 7, 7)), integers((2, 20, size, size))
    clean = F.conv2d_weight(x, (20, 1, 3, 3), residual, stride, 1, 1, 20)
    others = np.arange(20) != 9
    for maps in (x, residual):
        broken = maps.copy()
        broken[0, 9, -1, -1] = np.nan
        arrays = (broken, residual) if maps is x else (x, broken)
        result = F.conv2d_weight(arrays[0], (20, 1, 3, 3), arrays[1], stride, 1, 1, 20)
        assert np.isnan(result[9, 0, 1, 1])
        np.testing.assert_array_equal(result[others], clean[others])


def torch_padding(case):
    """Return the padding in torch's form, or None where torch has none."""
    if case.padding in ("valid", "same") and case.stride == 1 and case.r % 2 and case.s % 2:
        return case.padding
    if isinstance(case.padding, int) or (
        isinstance(case.padding, tuple) and all(isinstance(p, int) for p in case.padding)
    ):
        return case.padding
    return None


TORCH = [
    case for case in CONVS if torch_padding(case) is not None and case.n and 0 not in case[1:4]
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [TORCH[i] for i in range(0, len(TORCH), 3)], ids=str)
def test_agrees_with_torch(case, dtype):
    torch = torch_or_skip("convolution and its gradients against torch")
    arrays = floats(case, dtype)
    x, weight, bias = (torch.from_numpy(array.copy()).requires_grad_() for array in arrays[:3])
    options = (case.stride, torch_padding(case), case.dilation, case.groups)
    y = torch.nn.functional.conv2d(x, weight, bias, *options)
    y.backward(torch.from_numpy(arrays.residual))
    theirs = [value.numpy() for value in (y.detach(), x.grad, weight.grad, bias.grad)]
    for ours, other, bound, what in zip(
        convolve(case, arrays), theirs, error_bounds(case, dtype), RESULTS, strict=True
    ):
        assert ours.shape == other.shape, what
        assert (np.abs(ours - other) <= 2 * bound).all(), what


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (4, 2), (5, 4)])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_same_agrees_with_torch(kernel, dilation):
    torch = torch_or_skip("padding='same' against torch")
    x, weight = integers((2, 3, 8, 9)), integers((4, 3, *kernel))
    y = torch.nn.functional.conv2d(
        torch.from_numpy(x), torch.from_numpy(weight), padding="same", dilation=dilation
    )
    assert_exact(F.conv2d(x, weight, padding="same", dilation=dilation), y.numpy())


# size, kernel, stride, dilation: cells before and after for "same", counted by hand. The last
# window of ceil(size/stride) begins at (ceil(size/stride) - 1)*stride and must end in the padding.
SAME = [
    (5, 3, 1, 1, 1, 1),
    (5, 2, 1, 1, 0, 1),
    (5, 4, 1, 1, 1, 2),
    (5, 3, 2, 1, 1, 1),
    (6, 3, 2, 1, 0, 1),
    (7, 4, 3, 1, 1, 2),
    (10, 2, 3, 1, 0, 1),
    (9, 2, 3, 1, 0, 0),
    (9, 3, 4, 2, 2, 2),
    (4, 1, 3, 1, 0, 0),
    (8, 1, 3, 1, 0, 0),
    (1, 5, 7, 1, 2, 2),
    (3, 4, 1, 2, 3, 3),
    (6, 2, 5, 3, 1, 2),
]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("size", "kernel", "stride", "dilation", "less", "more"), SAME)
def test_same_with_stride(size, kernel, stride, dilation, less, more, algorithm):
    rest = {"algorithm": algorithm, "dilation": dilation}
    for axis in (2, 3):
        shape, taps, steps = [1, 1, 1, 1], [1, 1, 1, 1], [1, 1]
        shape[axis], taps[axis], steps[axis - 2] = size, kernel, stride
        x, weight = integers(shape) + 7, integers(taps) + 11
        for word, pair in (("same", (less, more)), ("same_lower", (more, less))):
            pairs = [(0, 0)] * 4
            pairs[axis] = pair
            y = F.conv2d(x, weight, None, tuple(steps), word, **rest)
            assert y.shape[axis] == -(-size // stride)
            padded = F.conv2d(np.pad(x, pairs), weight, None, tuple(steps), **rest)
            assert_exact(y, padded)


@pytest.mark.parametrize(
    ("wrong", "options"),
    [
        ("stride", {"stride": 1.0}),
        ("stride", {"stride": True}),
        ("stride", {"stride": (1, 1.0)}),
        ("stride", {"stride": (True, 1)}),
        ("stride", {"stride": [1, np.float64(1)]}),
        ("padding", {"padding": 0.0}),
        ("padding", {"padding": False}),
        ("padding", {"padding": (0, 0.0)}),
        ("padding", {"padding": ((0, 0), (0, False))}),
        ("dilation", {"dilation": 1.0}),
        ("dilation", {"dilation": (1, True)}),
        ("groups", {"groups": 1.0}),
        ("groups", {"groups": True}),
    ],
    ids=repr,
)
def test_an_equal_number_of_another_type_is_refused_after_a_good_call(wrong, options):
    # 1, 1.0 and True are one key of a dictionary: a cache of what the user wrote lets them in.
    x, weight = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    residual = np.ones((1, 1, 2, 2))
    functions = (
        lambda **options: F.conv2d(x, weight, **options),
        lambda **options: F.conv2d_input(x.shape, weight, residual, **options),
        lambda **options: F.conv2d_weight(x, weight.shape, residual, **options),
        lambda **options: F.conv2d_backward(x, weight, residual, **options),
    )
    for function in functions:
        function(stride=1, padding=0, dilation=1, groups=1)
        function(stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1)
        with pytest.raises(TypeError, match=rf"^{wrong}\b.* must be an integer.*got (float|bool)"):
            function(**options)


def test_integers_of_numpy_are_integers():
    x, weight = integers((1, 4, 5, 5)), integers((2, 2, 2, 2))
    numbers = (np.int64(2), np.uint8(1), np.int32(1), np.int16(2))
    assert_exact(F.conv2d(x, weight, None, *numbers), F.conv2d(x, weight, None, 2, 1, 1, 2))


def test_errors_are_not_cached():
    weight = np.ones((1, 1, 5, 5))
    F.conv2d(np.ones((1, 1, 5, 5)), weight)
    before = len(_calls.calls)
    for _ in range(3):
        with pytest.raises(ValueError, match="weight is larger than the padded input"):
            F.conv2d(np.ones((1, 1, 4, 4)), weight)
    assert len(_calls.calls) == before <= _calls.calls.limit


def test_inputs_are_left_alone():
    arrays = problem(PLAIN).astype(np.float32)
    copies = [array.copy() for array in arrays[:4]]
    for algorithm in ALGORITHMS:
        convolve(PLAIN, arrays, algorithm)
    for array, copy in zip(arrays[:4], copies, strict=True):
        np.testing.assert_array_equal(array, copy)
