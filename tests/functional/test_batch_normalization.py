"""Batch norm, with a ReLU and a residual or without: reference, torch, layouts, out=, bits."""

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from tests._cases import (
    DTYPES,
    ISAS,
    LAYOUTS,
    assert_exact,
    assert_gradient,
    isa_or_skip,
    layouts,
    normal,
    run_tests_code,
    torch_or_skip,
)

# No plane, planes shorter than a vector, one off a vector, of several pieces; one sample; one
# channel; more samples than a piece has planes.
SHAPES = [
    (5, 3),
    (300, 17),
    (3, 5, 2),
    (4, 3, 3, 3),
    (8, 6, 7, 7),
    (2, 3, 15),
    (2, 3, 16),
    (2, 3, 17),
    (70, 2, 4, 5),
    (2, 2, 2, 3, 5),
    (1, 3, 9, 8),
    (3, 1, 70, 70),
    (2, 2, 300, 40),
]


def arguments(shape, dtype=np.float64):
    """Return input, weight, bias, residual and gradient, and running statistics."""
    x, residual, grad = (normal(shape, dtype, seed) for seed in (1, 2, 3))
    weight, bias = normal(shape[1:2], dtype, 4), normal(shape[1:2], dtype, 5)
    mean, var = normal(shape[1:2], dtype, 6), normal(shape[1:2], dtype, 7) ** 2 + dtype(0.5)
    return x * dtype(2) + dtype(1), weight, bias, residual, grad, mean, var


def upper(kind):
    """Return where the output is cut off."""
    return 1.5 if kind.endswith("bounded") else None


def forward(module, kind, x, mean, var, weight, bias, training, residual, saved, **options):
    if kind == "plain":
        return module.batch_norm(
            x, mean, var, weight, bias, training, 0.2, 1e-3, statistics=saved, **options
        )
    added = residual if kind in ADDED else None
    return module.batch_norm_relu(
        x, mean, var, weight, bias, training, 0.2, 1e-3, residual=added, statistics=saved,
        upper=upper(kind), **options,
    )  # fmt: skip


def backward(module, kind, grad, x, saved, weight, bias, training, y, **options):
    if kind == "plain":
        return module.batch_norm_backward(grad, x, saved, weight, training, **options)
    output = y if kind in ADDED else None
    return module.batch_norm_relu_backward(
        grad, x, saved, weight, bias, training, output=output, upper=upper(kind), **options
    )


KINDS = ["plain", "relu", "add+relu", "bounded", "add+bounded"]
ADDED = ("add+relu", "add+bounded")


def assert_near(actual, expected, eps, what):
    assert (actual is None) == (expected is None), what
    if actual is not None:
        assert actual.dtype == expected.dtype
        assert actual.shape == expected.shape
        scale = 1 + np.abs(expected).max(initial=0)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=eps * scale, err_msg=what)


def away_from_zero(x, grad, *, mean, var, weight, bias, training, residual, kind):
    """Return the gradient without what lies where a rounding may decide the ReLU's mask."""
    if kind == "plain":
        return grad
    before = reference.batch_norm(
        x.astype(np.float64),
        *(None if a is None else a.astype(np.float64) for a in (mean, var, weight, bias)),
        training, 0.2, 1e-3,
    )  # fmt: skip
    before = before + (residual if kind in ADDED else 0)
    near = np.abs(before) < 1e-4
    if upper(kind) is not None:
        near |= np.abs(before - upper(kind)) < 1e-4
    return np.where(near, 0, grad).astype(grad.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_fast_is_near_the_reference(shape, kind, training, dtype):
    x, weight, bias, residual, grad, mean, var = arguments(shape, dtype)
    grad = away_from_zero(
        x, grad, mean=mean, var=var, weight=weight, bias=bias, training=training,
        residual=residual, kind=kind,
    )  # fmt: skip
    eps = 64 * np.finfo(dtype).eps
    found = []
    for module in (F, reference):
        running = mean.copy(), var.copy()
        saved = np.full((2, shape[1]), np.nan)
        y = forward(module, kind, x, *running, weight, bias, training, residual, saved)
        gradients = backward(module, kind, grad, x, saved, weight, bias, training, y)
        found.append((y, saved, *running, *gradients))
    names = ("output", "statistics", "mean", "variance", "input", "weight", "bias", "residual")
    for actual, expected, what in zip(*found, names, strict=False):
        assert_near(actual, expected, eps, f"{what} of {kind}")
    if not training:
        assert_exact(found[0][2], mean)
        assert_exact(found[0][3], var)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_without_weight_bias_and_running_statistics(kind, training):
    x, _, _, residual, grad, mean, var = arguments((4, 3, 5, 5))
    running = (None, None) if training else (mean, var)
    found = []
    for module in (F, reference):
        saved = np.empty((2, 3))
        y = forward(module, kind, x, *running, None, None, training, residual, saved)
        found.append((y, *backward(module, kind, grad, x, saved, None, None, training, y)))
    for actual, expected in zip(*found, strict=True):
        assert_near(actual, expected, 1e-13, kind)


def test_statistics_are_exact_on_integers():
    """The sums are, and a power of two divides them exactly."""
    x = np.random.default_rng(1).integers(-8, 8, (8, 5, 16, 16)).astype(np.float32)
    mean, var = np.zeros(5, np.float32), np.zeros(5, np.float32)
    saved = np.empty((2, 5))
    F.batch_norm(x, mean, var, training=True, momentum=1, eps=0, statistics=saved)
    wide = x.astype(np.float64).transpose(1, 0, 2, 3).reshape(5, -1)
    assert_exact(mean, wide.mean(1).astype(np.float32))
    np.testing.assert_allclose(saved[0], wide.mean(1), rtol=1e-15)
    np.testing.assert_allclose(saved[1], 1 / wide.std(1), rtol=1e-6)


@pytest.mark.parametrize("shape", [(8, 4, 56, 56), (64, 4), (2, 3, 5)], ids=str)
def test_a_large_mean_with_a_small_variance(shape):
    # 1e4 + noise: in float32 the mean's square has no digit left for the variance.
    noise = np.random.default_rng(2).standard_normal(shape)
    x = (1e4 + noise).astype(np.float32)
    wide = x.astype(np.float64)
    weight, bias = np.full(shape[1], 3, np.float32), np.full(shape[1], -2, np.float32)
    saved, exact = np.empty((2, shape[1])), np.empty((2, shape[1]))
    y = F.batch_norm(x, None, None, weight, bias, True, statistics=saved)
    truth = reference.batch_norm(
        wide, None, None, weight * np.float64(1), bias * np.float64(1), True, statistics=exact
    )
    np.testing.assert_allclose(saved, exact, rtol=2e-7)
    np.testing.assert_allclose(y, truth, rtol=0, atol=4e-6)
    grad = noise[::-1].astype(np.float32)
    ours = F.batch_norm_backward(grad, x, saved, weight, True)
    theirs = reference.batch_norm_backward(
        grad * np.float64(1), wide, exact, weight * np.float64(1), True
    )
    for actual, expected in zip(ours, theirs, strict=True):
        scale = np.abs(expected).max() + 1
        np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-6 * scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0.0, 1.0, -1e4, 12345.678, 1e30])
@pytest.mark.parametrize("shape", [(8, 2, 30, 30), (4, 2, 3), (3, 2)], ids=str)
def test_constant_channels_become_the_bias(shape, value, dtype):
    x = np.full(shape, value, dtype)
    bias = np.array([0.25, -3], dtype)
    saved = np.empty((2, 2))
    y = F.batch_norm(x, None, None, None, bias, True, statistics=saved)
    assert_exact(y, np.zeros(shape, dtype) + bias.reshape(-1, *[1] * (x.ndim - 2)))
    np.testing.assert_allclose(saved[1], 1e-5**-0.5)


def test_numbers_whose_squares_overflow_float32():
    x = normal((4, 3, 9, 9), np.float32, 1) * np.float32(1e30)
    y = F.batch_norm(x, None, None, training=True)
    assert_near(y, reference.batch_norm(x, None, None, training=True), 1e-6, "output")
    big = np.full((4, 3, 50, 50), 5e37, np.float32)
    big[:, :, ::2] = -5e37
    assert_exact(F.batch_norm(big, None, None, training=True), np.sign(big))


def test_nan_and_infinity_stay_in_their_channel():
    x, weight, bias, residual, grad, mean, var = arguments((4, 3, 5, 5), np.float32)
    for value in (np.nan, np.inf, -np.inf):
        x[1, 1, 2, 3] = value
        saved = np.empty((2, 3))
        y = F.batch_norm_relu(x, None, None, weight, bias, True, statistics=saved)
        gradients = F.batch_norm_relu_backward(grad, x, saved, weight, bias, True)
        assert np.isnan(y[:, 1]).all()
        assert np.isfinite(y[:, [0, 2]]).all()
        assert np.isnan(gradients[0][:, 1]).all()
        assert np.isnan(gradients[1][1])
        assert all(
            np.isfinite(g.take([0, 2], -1 if g.ndim == 1 else 1)).all() for g in gradients[:3]
        )
        # Outside of training it stays alone, and has no part in the gradient of the input.
        y = F.batch_norm(x, mean, var, weight, bias, statistics=saved)
        assert np.isfinite(y).sum() == y.size - 1
        assert np.isfinite(F.batch_norm_backward(grad, x, saved, weight)[0]).all()
    x[1, 1, 2, 3] = 0
    residual[0, 0, 0, 0] = np.nan
    y = F.batch_norm_relu(x, mean, var, weight, bias, residual=residual)
    assert np.isnan(y[0, 0, 0, 0])
    assert np.isnan(y).sum() == 1


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_numerical_ones(kind, training):
    x, weight, bias, residual, grad, mean, var = arguments((3, 2, 2, 3))
    weight += np.sign(weight)

    def run(x=x, weight=weight, bias=bias, residual=residual):
        saved = np.empty((2, 2))
        y = forward(F, kind, x, mean.copy(), var.copy(), weight, bias, training, residual, saved)
        return y, saved

    y, saved = run()
    gradients = backward(F, kind, grad, x, saved, weight, bias, training, y)
    values = (x, weight, bias, residual)
    for name, value, gradient in zip(
        ("x", "weight", "bias", "residual"), values, gradients, strict=False
    ):
        if gradient is not None:
            assert_gradient(lambda moved, name=name: run(**{name: moved})[0], gradient, value, grad)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_memory_layouts(kind, layout):
    x, weight, bias, residual, grad, *_ = arguments((3, 4, 5, 7), np.float32)
    saved, again = np.empty((2, 4)), np.empty((2, 4))
    y = forward(F, kind, x, None, None, weight, bias, True, residual, saved)
    gradients = backward(F, kind, grad, x, saved, weight, bias, True, y)
    arrays = (x, weight, bias, residual, grad, y, saved)
    # Rows have no channels last.
    a, w, b, r, g, z, s = (layouts(v).get(layout, v) for v in arrays)
    assert_exact(forward(F, kind, a, None, None, w, b, True, r, again), y)
    assert_exact(again, saved)
    for actual, expected in zip(backward(F, kind, g, a, s, w, b, True, z), gradients, strict=True):
        if expected is not None:
            assert_exact(actual, expected)


@pytest.mark.parametrize("shape", [(6, 4, 5, 7), (6, 4, 40, 40), (6, 4, 3)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_out(kind, shape):
    x, weight, bias, residual, grad, *_ = arguments(shape)
    saved = np.empty((2, 4))
    y = forward(F, kind, x, None, None, weight, bias, True, residual, saved)
    gradients = backward(F, kind, grad, x, saved, weight, bias, True, y)
    # A slice of channels and samples of a larger array, planes that are not contiguous, and in the
    # place of an input.
    base = np.full((12, 9, *shape[2:]), np.nan)
    slices = base[::2, 2:6], np.full((*shape[:-1], 2 * shape[-1]), np.nan)[..., ::2]
    for out in slices:
        assert forward(F, kind, x, None, None, weight, bias, True, residual, None, out=out) is out
        np.testing.assert_array_equal(out, y)
    slices[0][...] = np.nan
    assert np.isnan(base).all(), "the result was written outside out"
    for shift in (0, 1):
        for which in (0, 1) if kind in ADDED else (0,):
            memory = np.zeros(x.size + 1)
            same = memory[: x.size].reshape(shape)
            same[...] = (x, residual)[which]
            out = memory[shift : shift + x.size].reshape(shape)
            pair = (same, residual) if which == 0 else (x, same)
            forward(F, kind, pair[0], None, None, weight, bias, True, pair[1], None, out=out)
            np.testing.assert_array_equal(out, y)
    for place in range(4 if kind in ADDED else 1):
        if place in (1, 2):
            continue
        # 0: the residual, 1: the input, 2: the output.
        for which in (0, 1, 2):
            for shift in (0, 1):
                memory = np.zeros(x.size + 1)
                same = memory[: x.size].reshape(shape)
                same[...] = (grad, x, y)[which]
                out = memory[shift : shift + x.size].reshape(shape)
                given = [grad, x, y]
                given[which] = same
                outs = [None] * (3 if kind == "plain" else 4)
                outs[place] = out
                found = backward(
                    F, kind, given[0], given[1], saved, weight, bias, True, given[2], out=outs
                )
                assert found[place] is out
                for actual, expected in zip(found, gradients, strict=True):
                    if expected is not None:
                        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_output_again_has_the_same_bits(shape, kind, dtype):
    x, weight, bias, residual, *_ = arguments(shape, dtype)
    saved, more = np.empty((2, shape[1])), {"upper": upper(kind)}
    if kind in ADDED:
        more["residual"] = residual
    y = forward(F, kind, x, None, None, weight, bias, True, residual, saved)
    before = saved.copy()
    for threads in (1, 3):
        with fastconv.num_threads(threads):
            assert_exact(F.batch_norm_relu_output(x, saved, weight, bias, **more), y)
    assert_exact(saved, before)
    saved.flags.writeable = False
    slow = reference.batch_norm_relu_output(x, saved, weight, bias, **more)
    assert_near(y, slow, 64 * np.finfo(dtype).eps, "output")
    # Also in the place of the input, and where planes are not contiguous.
    out = np.full((*shape[:-1], 2 * shape[-1]), np.nan, dtype)[..., ::2]
    assert F.batch_norm_relu_output(x, saved, weight, bias, **more, out=out) is out
    np.testing.assert_array_equal(out, y)
    assert F.batch_norm_relu_output(x, saved, weight, bias, **more, out=x) is x
    assert_exact(x, y)


def test_a_bound_is_that_of_relu6():
    x, weight, bias, _, grad, *_ = arguments((4, 3, 6, 6), np.float32)
    x[0, 0, 0] = np.nan
    x, weight = x, weight * 9
    mean, var = np.zeros(3, np.float32), np.ones(3, np.float32)
    saved = np.empty((2, 3))
    y = F.batch_norm_relu(x, mean, var, weight, bias, upper=6, statistics=saved)
    expected = F.relu6(F.batch_norm(x, mean, var, weight, bias))
    assert_exact(y, expected)
    assert (y == 6).any()
    gradient = F.batch_norm_relu_backward(grad, x, saved, weight, bias, upper=6)[0]
    passed = F.relu6_backward(grad, expected)
    known = ~np.isnan(y)
    single = F.batch_norm_backward(passed, x, saved, weight)[0]
    assert_exact(gradient[known], single[known])
    for wrong in (0, -1.0, np.nan):
        with pytest.raises(ValueError, match="upper must be above 0"):
            F.batch_norm_relu(x, mean, var, upper=wrong)
    with pytest.raises(TypeError, match="upper"):
        F.batch_norm_relu(x, mean, var, upper="6")


def test_output_mask():
    x, weight, bias, residual, grad, *_ = arguments((3, 4, 5, 7), np.float32)
    saved = np.empty((2, 4))
    y = F.batch_norm_relu(x, None, None, weight, bias, True, residual=residual, statistics=saved)
    whole = F.batch_norm_relu_backward(grad, x, saved, weight, bias, True, output=y)
    for number in range(16):
        mask = tuple(bool(number >> i & 1) for i in range(4))
        part = F.batch_norm_relu_backward(
            grad, x, saved, weight, bias, True, output=y, output_mask=mask
        )
        for wanted, actual, expected in zip(mask, part, whole, strict=True):
            if wanted:
                assert_exact(actual, expected)
            else:
                assert actual is None
    assert F.batch_norm_relu_backward(grad, x, saved, weight, bias, True)[3] is None


BITS = ((2, 3, 130, 130), (8, 33, 14, 14), (40, 50), (9, 20, 3, 3), (3, 1, 200, 99))


def digests(threads):
    """Return the bits of all results with so many threads."""
    found = []
    with fastconv.num_threads(threads):
        for shape in BITS:
            for dtype in DTYPES:
                x, weight, bias, residual, grad, mean, var = arguments(shape, dtype)
                for kind in KINDS:
                    saved = np.empty((2, shape[1]))
                    y = forward(F, kind, x, mean, var, weight, bias, True, residual, saved)
                    results = backward(F, kind, grad, x, saved, weight, bias, True, y)
                    found += [a.tobytes() for a in (y, saved, mean, var, *results) if a is not None]
    return found


def bits_agree():
    """Tell whether 1 to 8 threads give the same bits."""
    one = digests(1)
    return all(digests(threads) == one for threads in range(2, 9))


@pytest.mark.parametrize("isa", ISAS)
def test_same_bits_for_any_number_of_threads(isa):
    isa_or_skip(isa)
    module = "functional.test_batch_normalization"
    assert run_tests_code(module, "bits_agree()", FASTCONV_ISA=isa) == "True"


def sizes_agree():
    """Compare with the reference on planes of every size around the vectors' and pieces'."""
    for dtype in DTYPES:
        for size in (*range(1, 70), 2047, 2048, 2049, 4100):
            for kind in KINDS:
                test_fast_is_near_the_reference((3, 2, size), kind, True, dtype)
    return True


@pytest.mark.parametrize("isa", ISAS)
def test_every_size_on_each_instruction_set(isa):
    isa_or_skip(isa)
    module = "functional.test_batch_normalization"
    assert run_tests_code(module, "sizes_agree()", FASTCONV_ISA=isa) == "True"


def streams_agree():
    """Compare large results, which are written past the caches, with the same in parts."""
    x, weight, bias, residual, *_ = arguments((3, 4, 61, 67), np.float32)
    base = np.full((3, 9, 61 * 67 + 3), np.nan, np.float32)
    for start in range(4):
        out = base[:, 2:6, start : start + 61 * 67].reshape(x.shape, copy=False)
        y = reference.batch_norm_relu(x, None, None, weight, bias, True, residual=residual)
        F.batch_norm_relu(x, None, None, weight, bias, True, residual=residual, out=out)
        np.testing.assert_allclose(out, y, rtol=0, atol=1e-5)
        out[...] = np.nan
        assert np.isnan(base).all()
    return True


@pytest.mark.parametrize("isa", ISAS)
def test_results_that_are_written_past_the_caches(isa):
    isa_or_skip(isa)
    module = "functional.test_batch_normalization"
    environment = {"FASTCONV_ISA": isa, "FASTCONV_CACHE": "4K,8K,16K"}
    assert run_tests_code(module, "streams_agree()", **environment) == "True"
    assert run_tests_code(module, "bits_agree()", **environment) == "True"


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 3)], ids=str)
def test_empty(shape):
    x = np.zeros(shape, np.float32)
    mean, var, saved = np.ones(shape[1]), np.ones(shape[1]), np.empty((2, shape[1]))
    y = F.batch_norm(x.astype(np.float64), mean, var, training=True, statistics=saved)
    assert y.shape == shape
    assert_exact(mean, np.ones(shape[1]))
    gradients = F.batch_norm_backward(x, x, saved, training=True)
    assert gradients[0].shape == shape
    for total in gradients[1:]:
        assert_exact(total, np.zeros(shape[1], np.float32))


def test_wrong_arguments():
    x, one = np.zeros((2, 3, 4)), np.ones(3)
    saved = np.empty((2, 3))
    read_only = one.copy()
    read_only.flags.writeable = False
    cases = [
        (ValueError, "input must be", lambda: F.batch_norm(one, None, None, training=True)),
        (TypeError, "input must be a numpy", lambda: F.batch_norm([[1.0]], None, None)),
        (ValueError, "where training is False", lambda: F.batch_norm(x, None, None)),
        (ValueError, "both be arrays", lambda: F.batch_norm(x, one, None, training=True)),
        (ValueError, "running_mean must have shape", lambda: F.batch_norm(x, one[:2], one[:2])),
        (ValueError, "running_var must be writeable",
         lambda: F.batch_norm(x, one, read_only, training=True)),
        (ValueError, "weight must have shape", lambda: F.batch_norm(x, one, one, one[:2])),
        (TypeError, "bias must have the dtype",
         lambda: F.batch_norm(x, one, one, None, one.astype(np.float32))),
        (TypeError, "momentum must be", lambda: F.batch_norm(x, one, one, momentum=None)),
        (TypeError, "eps must be", lambda: F.batch_norm(x, one, one, eps="small")),
        (ValueError, "more than one value a channel",
         lambda: F.batch_norm(np.zeros((1, 3)), None, None, training=True)),
        (ValueError, "residual must have shape",
         lambda: F.batch_norm_relu(x, one, one, residual=x[:1])),
        (ValueError, "statistics must have shape",
         lambda: F.batch_norm(x, one, one, statistics=saved[:1])),
        (TypeError, "statistics must be a numpy",
         lambda: F.batch_norm(x, one, one, statistics=[1])),
        (ValueError, "statistics must be writeable", lambda: F.batch_norm(
            x, one, one, statistics=np.broadcast_to(1.0, (2, 3)))),
        (ValueError, "out must have", lambda: F.batch_norm(x, one, one, out=x[:1])),
        (ValueError, "grad_output must have shape",
         lambda: F.batch_norm_backward(x[:1], x, saved)),
        (TypeError, "statistics must have dtype",
         lambda: F.batch_norm_backward(x, x, saved.astype(np.float32))),
        (ValueError, "three booleans",
         lambda: F.batch_norm_backward(x, x, saved, output_mask=(True,))),
        (ValueError, "four booleans",
         lambda: F.batch_norm_relu_backward(x, x, saved, output_mask=(True,) * 3)),
        (ValueError, r"out\[3\] must be None",
         lambda: F.batch_norm_relu_backward(x, x, saved, out=(None, None, None, x))),
        (ValueError, "output must have shape",
         lambda: F.batch_norm_relu_backward(x, x, saved, output=x[:1])),
    ]  # fmt: skip
    for error, text, call in cases:
        with pytest.raises(error, match=text):
            call()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(4, 3), (8, 5, 9), (4, 6, 7, 7), (2, 3, 2, 4, 5)], ids=str)
def test_agrees_with_torch(shape, kind, training, dtype):
    torch = torch_or_skip("batch norm against torch")
    x, weight, bias, residual, grad, mean, var = arguments(shape, dtype)
    grad = away_from_zero(
        x, grad, mean=mean, var=var, weight=weight, bias=bias, training=training,
        residual=residual, kind=kind,
    )  # fmt: skip
    leaves = [torch.from_numpy(a.copy()).requires_grad_() for a in (x, weight, bias, residual)]
    running = [torch.from_numpy(a.copy()) for a in (mean, var)]
    z = torch.nn.functional.batch_norm(leaves[0], *running, *leaves[1:3], training, 0.2, 1e-3)
    if kind in ADDED:
        z = z + leaves[3]
    if upper(kind) is not None:
        z = torch.nn.functional.hardtanh(z, 0.0, upper(kind))
    elif kind != "plain":
        z = torch.relu(z)
    z.backward(torch.from_numpy(grad))
    saved = np.empty((2, shape[1]))
    y = forward(F, kind, x, mean, var, weight, bias, training, residual, saved)
    eps = 64 * np.finfo(dtype).eps
    assert_near(y, z.detach().numpy(), eps, "output")
    assert_near(mean, running[0].numpy(), eps, "running mean")
    assert_near(var, running[1].numpy(), eps, "running variance")
    gradients = backward(F, kind, grad, x, saved, weight, bias, training, y)
    for leaf, gradient in zip(leaves, gradients, strict=False):
        if gradient is not None:
            assert_near(gradient, leaf.grad.numpy(), 4 * eps, "gradient")
