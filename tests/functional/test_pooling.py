"""Pooling and its gradients: reference, layouts, out=, ties, NaN, torch."""

from itertools import product

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import layers, reference
from fastconv._pool_geometry import pool_geometry, pool_windows
from tests._cases import (
    DTYPES,
    ISAS,
    LAYOUTS,
    assert_exact,
    assert_gradient,
    assert_guards_untouched,
    guarded,
    integers,
    isa_or_skip,
    layouts,
    normal,
    run_tests_code,
    torch_or_skip,
)

# size, kernel_size, stride, padding, dilation, ceil_mode
CASES = [
    ((4, 4), 2, None, 0, 1, False),
    ((1, 1), 1, None, 0, 1, False),
    ((1, 7), (1, 3), 2, 0, 1, False),
    ((7, 1), (3, 1), 1, 0, 1, True),
    ((5, 6), (5, 6), 1, 0, 1, False),
    # Windows that overlap, and windows that leave cells out.
    ((9, 10), 3, 2, 0, 1, False),
    ((9, 10), 3, 1, 0, 1, False),
    ((9, 11), (2, 3), (3, 5), 0, 1, False),
    ((8, 33), (3, 5), (2, 1), (1, 2), 1, False),
    # Padding of every form.
    ((6, 7), 3, 2, 1, 1, False),
    ((6, 7), (3, 2), 1, ((1, 0), (0, 1)), 1, False),
    ((6, 7), (4, 5), (3, 2), ((0, 2), (2, 1)), 1, True),
    ((6, 7), 3, 2, "same", 1, False),
    ((6, 7), 4, 3, "same_lower", 1, False),
    ((6, 7), 3, None, "valid", 1, True),
    ((2, 2), 3, 1, 1, 1, False),
    # Dilation, with stride that shares factors and not.
    ((9, 11), 2, 1, 0, 3, False),
    ((9, 11), (3, 2), 2, 0, 2, False),
    ((9, 12), (3, 2), (2, 3), (2, 1), (3, 2), False),
    ((9, 12), 3, 4, 3, 3, True),
    # Windows that hang over the end.
    ((5, 5), 2, None, 0, 1, True),
    ((7, 8), 3, 2, 1, 1, True),
    ((10, 9), (3, 2), (4, 5), (1, 1), 1, True),
    ((5, 4), 3, 3, ((1, 0), (0, 1)), 1, True),
    ((3, 3), (2, 3), 4, 0, 1, True),
    # Wide planes, so that most windows take the short way.
    ((3, 200), (2, 3), (1, 2), (1, 1), 1, True),
    ((33, 65), 3, 2, 1, 1, False),
    # One window with a stride beyond the input, and windows that the padding cuts, all of them.
    ((5, 6), (2, 3), (9, 11), 0, 1, False),
    ((4, 3), (3, 4), (1, 2), (0, 2), 1, False),
    ((4, 3), (2, 7), (2, 2), (1, 3), 1, True),
    ((5, 5), (1, 3), 1, (0, 1), 3, False),
]
ids = [str(case).replace(" ", "") for case in CASES]
MEANS = list(product([True, False], [None, 3]))


def maps(size, dtype=np.float64):
    """Return integers with ties, unique numbers, -inf alone, and NaN here and there."""
    rng = np.random.default_rng([*size])
    ties = rng.integers(-2, 2, size).astype(dtype)
    holes = ties.copy()
    holes[rng.random(size) < 0.2] = np.nan
    unique = rng.permutation(np.prod(size)).reshape(size).astype(dtype)
    infinite = np.where(ties > 0, -np.inf, np.inf).astype(dtype)
    return np.array(
        [[ties, unique, np.full(size, -np.inf, dtype)], [holes, np.negative(unique), infinite]]
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=ids)
def test_max_pooling_equals_reference_exactly(case, dtype):
    size, *options = case
    x = maps(size, dtype)
    expected, places = reference.max_pool2d(x, *options, True)
    output, indices = F.max_pool2d(x, *options, return_indices=True)
    assert_exact(output, expected)
    assert_exact(indices, places)
    assert_exact(F.max_pool2d(x, *options), expected)
    assert_exact(F.max_pool2d(x[1], *options), expected[1])
    assert_exact(F.max_pool2d(x[1], *options, True)[1], places[1])
    residual = integers(output.shape, dtype)
    gradient = reference.max_pool2d_backward(residual, indices, x.shape)
    assert_exact(F.max_pool2d_backward(residual, indices, x.shape), gradient)
    assert_exact(F.max_pool2d_backward(residual[1], indices[1], x[1].shape), gradient[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=ids)
def test_mean_pooling_equals_reference(case, dtype):
    size, kernel, stride, padding, dilation, ceil_mode = case
    x = integers((2, 3, *size), dtype, 1)
    eps = np.finfo(dtype).eps
    for count_include_pad, divisor in MEANS:
        options = (kernel, stride, padding, ceil_mode, count_include_pad, divisor)
        expected = reference.avg_pool2d(x, *options, dilation=dilation)
        output = F.avg_pool2d(x, *options, dilation=dilation)
        # The sums are exact, and the division is rounded once; the reference once more, to float32.
        np.testing.assert_allclose(output, expected, rtol=eps, atol=0)
        assert_exact(output, output.astype(dtype))
        alone = F.avg_pool2d(x[1], *options, dilation=dilation)
        assert_exact(alone, output[1])
        residual = integers(output.shape, dtype, 2)
        gradient = F.avg_pool2d_backward(residual, x.shape, *options, dilation=dilation)
        expected = reference.avg_pool2d_backward(residual, x.shape, *options, dilation=dilation)
        # A cell adds up the rounded shares of at most so many windows.
        windows = np.prod(kernel) if isinstance(kernel, tuple) else kernel**2
        bound = reference.avg_pool2d_backward(
            np.abs(residual), x.shape, *options, dilation=dilation
        )
        assert (np.abs(gradient - expected) <= (windows + 1) * eps * bound).all()
        assert_exact(gradient, gradient.astype(dtype))
        alone = F.avg_pool2d_backward(residual[1], x[1].shape, *options, dilation=dilation)
        assert_exact(alone, gradient[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=ids)
def test_mean_pooling_by_a_power_of_two_is_exact(case, dtype):
    size, kernel, stride, padding, dilation, ceil_mode = case
    x = integers((2, 3, *size), dtype, 1)
    options = (kernel, stride, padding, ceil_mode, True, 8)
    expected = reference.avg_pool2d(x, *options, dilation=dilation)
    assert_exact(F.avg_pool2d(x, *options, dilation=dilation), expected)
    residual = integers(expected.shape, dtype, 2)
    assert_exact(
        F.avg_pool2d_backward(residual, x.shape, *options, dilation=dilation),
        reference.avg_pool2d_backward(residual, x.shape, *options, dilation=dilation),
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_many_lines_and_threads_give_the_same_bits(dtype):
    # More lines than a task has, in several tasks, and planes that are not behind each other.
    before = fastconv.get_num_threads()
    x = normal((5, 7, 34, 46), dtype)[:, ::2]
    results = []
    try:
        for threads in (1, 2, 3, 8):
            fastconv.set_num_threads(threads)
            found = []
            for kernel, stride, padding in ((2, 2, 0), (3, 2, 1), (3, 1, 1), (5, 3, 2), (2, 3, 1)):
                y = F.avg_pool2d(x, kernel, stride, padding)
                found += [y, F.avg_pool2d_backward(y, x.shape, kernel, stride, padding)]
                maxima, places = F.max_pool2d(x, kernel, stride, padding, return_indices=True)
                assert_exact(F.max_pool2d(x, kernel, stride, padding), maxima)
                expected = reference.max_pool2d(x, kernel, stride, padding, return_indices=True)
                assert_exact(maxima, expected[0])
                assert_exact(places, expected[1])
                found += [maxima, places, F.max_pool2d_backward(y, places, x.shape)]
            results.append(found)
    finally:
        fastconv.set_num_threads(before)
    for found in results[1:]:
        for first, other in zip(results[0], found, strict=True):
            assert_exact(other, first)


def test_the_first_maximum_wins_a_tie():
    indices = F.max_pool2d(np.zeros((1, 4, 6)), (2, 3), return_indices=True)[1]
    np.testing.assert_array_equal(indices, [[[0, 3], [12, 15]]])
    signed = np.array([[[-0.0, 0.0, 0.0, -0.0]]])
    np.testing.assert_array_equal(F.max_pool2d(signed, (1, 4), return_indices=True)[1], [[[0]]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_nan_wins(dtype):
    x = np.array([[[1, np.inf, np.nan, 9], [np.nan, 2, 3, np.nan]]], dtype)
    output, indices = F.max_pool2d(x, 2, return_indices=True)
    assert np.isnan(output).all()
    np.testing.assert_array_equal(indices, [[[4, 2]]])
    assert np.isnan(F.avg_pool2d(x, 2)).all()


def test_nan_stays_in_its_own_windows():
    x = integers((3, 2, 7, 8))
    clean = [F.max_pool2d(x, 3, 2), F.avg_pool2d(x, 3, 2)]
    x[1, 1, 2, 2] = np.nan
    reached = np.zeros(clean[0].shape, bool)
    reached[1, 1, :2, :2] = True
    for before, after in zip(clean, [F.max_pool2d(x, 3, 2), F.avg_pool2d(x, 3, 2)], strict=True):
        np.testing.assert_array_equal(np.isnan(after), reached)
        np.testing.assert_array_equal(after[~reached], before[~reached])


def test_residuals_that_meet_are_added():
    x = np.array([[[0.0, 0, 0], [0, 5, 0], [0, 0, 0]]])
    indices = F.max_pool2d(x, 2, 1, return_indices=True)[1]
    gradient = F.max_pool2d_backward(np.array([[[1.0, 10], [100, 1000]]]), indices, x.shape)
    np.testing.assert_array_equal(gradient, [[[0, 0, 0], [0, 1111, 0], [0, 0, 0]]])


OPTIONS = (3, 2, ((1, 0), (0, 1)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layouts(layout):
    x = integers((2, 3, 7, 9), np.float32)
    strange = layouts(x)[layout]
    expected, places = F.max_pool2d(x, *OPTIONS, return_indices=True)
    output, indices = F.max_pool2d(strange, *OPTIONS, return_indices=True)
    assert_exact(output, expected)
    assert_exact(indices, places)
    assert_exact(F.avg_pool2d(strange, *OPTIONS), F.avg_pool2d(x, *OPTIONS))
    residual = integers(expected.shape, np.float32, 2)
    gradient = F.max_pool2d_backward(residual, places, x.shape)
    assert_exact(F.max_pool2d_backward(layouts(residual)[layout], places, x.shape), gradient)
    assert_exact(F.max_pool2d_backward(residual, layouts(places)[layout], x.shape), gradient)
    gradient = F.avg_pool2d_backward(residual, x.shape, *OPTIONS)
    assert_exact(F.avg_pool2d_backward(layouts(residual)[layout], x.shape, *OPTIONS), gradient)


# Even and odd, narrower than a vector, one tall map or not, strips of one row and of many.
HALVED = ((2, 3, 28, 28), (3, 10, 10), (1, 2, 5, 7), (2, 1, 2, 2), (1, 1, 3, 4100), (4, 16, 10, 9))


def check_halves():
    """Whole windows of two by two go through loops over many lines; other layouts do not."""
    for shape in HALVED:
        for dtype in DTYPES:
            x = normal(shape, dtype)
            output = F.avg_pool2d(x, 2)
            assert_same_bits(output, F.avg_pool2d(x, 2, divisor_override=4))
            gradient = F.avg_pool2d_backward(output, shape, 2)
            general = F.avg_pool2d_backward(output, shape, 2, divisor_override=4)
            assert_same_bits(gradient, general)
            for threads in (2, 5):
                fastconv.set_num_threads(threads)
                assert_same_bits(F.avg_pool2d(x, 2), output)
                assert_same_bits(F.avg_pool2d_backward(output, shape, 2), gradient)
            for strange in layouts(x).values():
                assert_same_bits(F.avg_pool2d(strange, 2), output)
            for strange in layouts(output).values():
                assert_same_bits(F.avg_pool2d_backward(strange, shape, 2), gradient)


def assert_same_bits(actual, expected):
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    # The gradient of the general loops may have the other zero.
    assert (actual + 0).tobytes() == (expected + 0).tobytes()


@pytest.mark.parametrize("isa", ISAS)
def test_halves_have_the_bits_of_the_general_loops(isa):
    isa_or_skip(isa)
    run_tests_code("functional.test_pooling", "check_halves()", FASTCONV_ISA=isa)


def test_halves_into_a_slice_of_channels():
    x = normal((2, 3, 6, 8), np.float32)
    whole = np.full((2, 5, 3, 4), 7, np.float32)
    F.avg_pool2d(x, 2, out=whole[:, 1:4])
    assert_exact(whole[:, 1:4].copy(), F.avg_pool2d(x, 2))
    assert (whole[:, ::4] == 7).all()
    inside, memory = guarded(x.shape, np.float32)
    F.avg_pool2d_backward(whole[:, 1:4].copy(), x.shape, 2, out=inside)
    assert_guards_untouched(inside, memory, "gradient")


def test_broadcast_inputs():
    line = np.broadcast_to(integers((1, 1, 1, 9)), (2, 3, 7, 9))
    for pool in (F.max_pool2d, F.avg_pool2d):
        assert_exact(pool(line, 3, 2), pool(line.copy(), 3, 2))
    residual = np.broadcast_to(np.float64(2), (2, 3, 3, 4))
    places = F.max_pool2d(line, 3, 2, return_indices=True)[1]
    assert_exact(
        F.max_pool2d_backward(residual, places, line.shape),
        F.max_pool2d_backward(residual.copy(), places, line.shape),
    )
    assert_exact(
        F.avg_pool2d_backward(residual, line.shape, 3, 2),
        F.avg_pool2d_backward(residual.copy(), line.shape, 3, 2),
    )


def calls(x, residual):
    indices = F.max_pool2d(x, *OPTIONS, return_indices=True)[1]
    return {
        "max_pool2d": lambda out=None: F.max_pool2d(x, *OPTIONS, out=out),
        "avg_pool2d": lambda out=None: F.avg_pool2d(x, *OPTIONS, out=out),
        "max_pool2d_backward": lambda out=None: F.max_pool2d_backward(
            residual, indices, x.shape, out=out
        ),
        "avg_pool2d_backward": lambda out=None: F.avg_pool2d_backward(
            residual, x.shape, *OPTIONS, out=out
        ),
    }


@pytest.mark.parametrize("name", calls(np.zeros((1, 7, 9)), np.zeros((1, 3, 4))))
@pytest.mark.parametrize("lead", [(2, 3), (3,)])
def test_out_in_a_larger_array(name, lead):
    call = calls(integers((*lead, 7, 9)), integers((*lead, 3, 4)))[name]
    expected = call()
    base = np.full((*(2 * n + 1 for n in lead), *expected.shape[-2:]), np.nan)
    out = base[(slice(1, None, 2),) * len(lead)]
    assert call(out) is out
    np.testing.assert_array_equal(out, expected)
    out[...] = np.nan
    assert np.isnan(base).all(), "the result was written outside out"
    out = np.empty_like(expected)[::-1]
    assert call(out) is out
    np.testing.assert_array_equal(out, expected)


def test_out_and_indices_together():
    x = integers((2, 3, 7, 9))
    out = np.empty((2, 3, 3, 4))
    output, indices = F.max_pool2d(x, *OPTIONS, return_indices=True, out=out)
    assert output is out
    assert_exact(indices, reference.max_pool2d(x, *OPTIONS, return_indices=True)[1])


def test_out_that_overlaps_the_input_behaves_as_if_copied():
    x = integers((2, 3, 8, 8))
    for pool in (F.max_pool2d, F.avg_pool2d):
        same = x.copy()
        assert_exact(pool(same, 3, 1, 1, out=same), pool(x, 3, 1, 1))
    indices = F.max_pool2d(x, 3, 1, 1, return_indices=True)[1]
    same = x.copy()
    F.max_pool2d_backward(same, indices, x.shape, out=same)
    assert_exact(same, F.max_pool2d_backward(x, indices, x.shape))
    same = x.copy()
    F.avg_pool2d_backward(same, x.shape, 3, 1, 1, out=same)
    assert_exact(same, F.avg_pool2d_backward(x, x.shape, 3, 1, 1))


def test_out_with_strides_that_do_not_matter():
    # On an axis of size 1 the stride has no meaning; a typed view may refuse it all the same.
    x = integers((1, 1, 4, 4))
    for pool in (F.max_pool2d, F.avg_pool2d):
        out = np.empty((1, 1, 2, 2))[..., ::2, ::2]
        pool(x, 4, out=out)
        assert_exact(out.copy(), pool(x, 4))
    one, place = np.ones((1, 1, 1, 1)), np.zeros((1, 1, 1, 1), np.int64)
    out = np.empty((1, 1, 2, 2))[..., ::2, ::2]
    F.max_pool2d_backward(one, place, (1, 1, 1, 1), out=out)
    assert out == 1


def test_empty_batch_and_no_channels():
    for lead in ((0, 3), (2, 0), (0,)):
        x, residual = np.zeros((*lead, 5, 6), np.float32), np.zeros((*lead, 2, 3), np.float32)
        output, indices = F.max_pool2d(x, 2, return_indices=True)
        assert_exact(output, residual)
        assert_exact(indices, residual.astype(np.int64))
        assert_exact(F.avg_pool2d(x, 2), residual)
        assert_exact(F.max_pool2d_backward(residual, indices, x.shape), x)
        assert_exact(F.avg_pool2d_backward(residual, x.shape, 2), x)


@pytest.mark.parametrize("case", [CASES[i] for i in (5, 11, 18, 22)], ids=str)
def test_gradients_are_the_numerical_ones(case):
    size, kernel, stride, padding, dilation, ceil_mode = case
    options = (kernel, stride, padding, dilation, ceil_mode)
    # Distinct numbers, further apart than the step of the differences.
    x = np.random.default_rng(5).permutation(2 * np.prod(size)).reshape(1, 2, *size) * 3.0
    output, indices = F.max_pool2d(x, *options, return_indices=True)
    residual = normal(output.shape)
    gradient = F.max_pool2d_backward(residual, indices, x.shape)
    assert_gradient(lambda x: F.max_pool2d(x, *options), gradient, x, residual, linear=True)
    for count_include_pad, divisor in MEANS:
        options = (kernel, stride, padding, ceil_mode, count_include_pad, divisor)

        def pool(x, options=options):
            return F.avg_pool2d(x, *options, dilation=dilation)

        gradient = F.avg_pool2d_backward(residual, x.shape, *options, dilation=dilation)
        assert_gradient(pool, gradient, x, residual, linear=True)


def sweep():
    """Return sizes, kernels, strides and paddings of one axis, all that are small."""
    return [
        (size, kernel, stride, padding)
        for size, kernel, stride in product((1, 2, 3, 5, 8), (1, 2, 3, 4), (1, 2, 3, 5))
        for padding in range(kernel // 2 + 1)
    ]


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    ("size", "kernel", "padding", "dilation"),
    [(1, 2, 1, 2), (2, 2, "same", 3), (2, 2, ((1, 2), (0, 0)), 3), (3, 4, ((5, 6), (0, 0)), 4)],
)
def test_a_window_wholly_in_the_padding_is_refused(size, kernel, padding, dilation, ceil_mode):
    # torch gives -inf there, with an index outside the plane.
    x = integers((1, 2, size, 6))
    padding = (padding, 0) if isinstance(padding, int) else padding
    options, dilation = ((kernel, 1), 1, padding), (dilation, 1)
    means = *options, ceil_mode, False
    # With an empty batch no window is looked at.
    residual = F.avg_pool2d(x[:0], *means, dilation=dilation)
    assert F.max_pool2d(x[:0], *options, dilation, ceil_mode).shape == residual.shape
    residual = np.zeros((1, *residual.shape[1:]))
    for call in (
        lambda: F.max_pool2d(x, *options, dilation, ceil_mode),
        lambda: F.max_pool2d(x, *options, dilation, ceil_mode, return_indices=True),
        lambda: layers.MaxPool2d(*options, dilation, ceil_mode=ceil_mode)(x),
        lambda: F.avg_pool2d(x, *means, dilation=dilation),
        lambda: F.avg_pool2d_backward(residual, x.shape, *means, dilation=dilation),
    ):
        with pytest.raises(ValueError, match="a window on axis H holds no input position"):
            call()


def test_only_a_dilation_beyond_the_input_lets_windows_miss_it():
    missed = 0
    for case in product((1, 2, 3, 5), (1, 2, 3, 4), (1, 2, 4), (1, 2, 3, 4, 6), (False, True)):
        size, kernel, stride, dilation, ceil_mode = case
        pads = range((dilation * (kernel - 1) + 1) // 2 + 1)
        for pair in product(pads, pads):
            options = (size,), (kernel,), (stride,), (pair,), (dilation,), ceil_mode
            if size + sum(pair) <= dilation * (kernel - 1):
                continue
            geometry = pool_geometry(*options)
            starts = np.arange(geometry.out_size[0])[:, None] * stride - pair[0]
            places = starts + np.arange(kernel) * dilation
            if ((places >= 0) & (places < size)).any(axis=1).all():
                assert len(pool_windows(geometry)[0]) == len(places)
                continue
            assert dilation > size
            assert pair[0] > 0
            missed += 1
            with pytest.raises(ValueError, match="holds no input position"):
                pool_windows(geometry)
    assert missed > 100


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_max_pooling_agrees_with_torch(ceil_mode):
    torch = torch_or_skip("max pooling, ties and indices, against torch")
    compared = 0
    for (size, kernel, stride, padding), dilation in product(sweep(), (1, 2)):
        x = integers((2, 2, size, 6))
        options = (kernel, 2), (stride, 3), (padding, 1), (dilation, 1), ceil_mode
        theirs = torch.from_numpy(x).requires_grad_()
        try:
            expected = torch.nn.functional.max_pool2d_with_indices(theirs, *options)
        except RuntimeError:
            with pytest.raises(ValueError, match="kernel_size is larger than the padded input"):
                F.max_pool2d(x, *options)
            continue
        if not np.isfinite(expected[0].detach().numpy()).all():
            with pytest.raises(ValueError, match="holds no input position"):
                F.max_pool2d(x, *options)
            continue
        output, indices = F.max_pool2d(x, *options, return_indices=True)
        assert_exact(output, expected[0].detach().numpy())
        assert_exact(indices, expected[1].numpy())
        residual = integers(output.shape, seed=1)
        expected[0].backward(torch.from_numpy(residual))
        assert_exact(F.max_pool2d_backward(residual, indices, x.shape), theirs.grad.numpy())
        compared += 1
    assert compared > 150


@pytest.mark.parametrize(("count_include_pad", "divisor"), MEANS)
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_mean_pooling_agrees_with_torch(ceil_mode, count_include_pad, divisor):
    torch = torch_or_skip("mean pooling against torch")
    compared = 0
    for size, kernel, stride, padding in sweep():
        x = integers((2, 2, size, 6))
        options = (kernel, 2), (stride, 3), (padding, 1), ceil_mode, count_include_pad, divisor
        theirs = torch.from_numpy(x).requires_grad_()
        try:
            expected = torch.nn.functional.avg_pool2d(theirs, *options)
        except RuntimeError:
            with pytest.raises(ValueError, match="kernel_size is larger than the padded input"):
                F.avg_pool2d(x, *options)
            continue
        try:
            output = F.avg_pool2d(x, *options)
        except ValueError as error:
            # torch gives 0 or NaN for a window of padding alone.
            assert "holds no input position" in str(error)  # noqa: PT017
            last = (expected.shape[2] - 1) * stride - padding
            assert last >= size or last + kernel <= 0
            continue
        # Sums of integers are exact; each rounds its quotient, or its product with 1/n.
        eps = np.finfo(np.float64).eps
        np.testing.assert_allclose(output, expected.detach().numpy(), rtol=2 * eps, atol=0)
        residual = integers(output.shape, seed=1)
        expected.backward(torch.from_numpy(residual))
        gradient = F.avg_pool2d_backward(residual, x.shape, *options)
        bound = F.avg_pool2d_backward(np.abs(residual), x.shape, *options)
        assert (np.abs(gradient - theirs.grad.numpy()) <= (2 * kernel + 2) * 2 * eps * bound).all()
        compared += 1
    assert compared > 100
