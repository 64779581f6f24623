"""Activations and their gradients: reference, layouts, out=, extremes, torch."""

import numpy as np
import pytest

from fastconv import functional as F
from fastconv import reference
from tests._cases import (
    DTYPES,
    LAYOUTS,
    assert_exact,
    assert_gradient,
    layouts,
    normal,
    run_python,
    torch_or_skip,
)

# Name, further arguments, and whether the gradient takes the output or the input.
PLAIN = [
    ("relu", (), "output"),
    ("leaky_relu", (), "input"),
    ("leaky_relu", (0.25,), "input"),
    ("leaky_relu", (-2,), "input"),
    ("sigmoid", (), "output"),
    ("tanh", (), "output"),
]
ALONG = [(name, (axis,), "output") for name in ("softmax", "log_softmax") for axis in (0, 1, -1)]
EVERY = PLAIN + ALONG
# 4096 elements are one task of the compiled gradients.
SHAPES = [(3, 4), (2, 3, 4, 5), (1, 1), (4097, 1), (3, 4096)]


def both(name):
    return getattr(F, name), getattr(F, f"{name}_backward")


def saved(kind, x, y):
    return y if kind == "output" else x


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "arguments", "kind"), EVERY)
def test_fast_is_near_the_reference(name, arguments, kind, shape, dtype):
    x, residual = normal(shape, dtype, 1) * dtype(3), normal(shape, dtype, 2)
    forward, backward = both(name)
    y = forward(x, *arguments)
    expected = getattr(reference, name)(x, *arguments)
    eps = np.finfo(dtype).eps
    # A few roundings of numbers not above 1 + |x|; relu and leaky_relu make one each, as here.
    # Along an axis, n of them are summed.
    terms = shape[arguments[0]] if name.endswith("softmax") else 1
    exact = name.endswith("relu")
    bound = 0 if exact else (terms + 8) * eps * (1 + np.abs(x).max())
    np.testing.assert_allclose(y, expected, rtol=0, atol=bound)
    assert_exact(y, y.astype(dtype))
    kept = saved(kind, x, expected)
    gradient = backward(residual, kept, *arguments)
    expected = getattr(reference, f"{name}_backward")(residual, kept, *arguments)
    bound = 0 if exact else (terms + 8) * eps * (1 + terms) * np.abs(residual).max()
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=bound)
    assert_exact(gradient, gradient.astype(dtype))


@pytest.mark.parametrize(("name", "arguments", "kind"), EVERY)
def test_any_number_of_axes(name, arguments, kind):
    forward, backward = both(name)
    for shape in [(5,), (2, 3, 4, 5)] if name.endswith("softmax") else [(), (5,)]:
        if arguments[:1] == (1,) and len(shape) == 1:
            continue
        x = normal(shape)
        y = forward(x, *arguments)
        expected = getattr(reference, name)(x, *arguments)
        np.testing.assert_allclose(y, expected, rtol=1e-14)
        kept = saved(kind, x, y)
        gradient = backward(x, kept, *arguments)
        expected = getattr(reference, f"{name}_backward")(x, kept, *arguments)
        np.testing.assert_allclose(gradient, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
@pytest.mark.parametrize(("name", "arguments", "kind"), EVERY)
def test_empty(name, arguments, kind, shape):
    # The maximum of nothing does not exist; there is nothing to subtract it from either.
    x = np.zeros(shape, np.float32)
    forward, backward = both(name)
    assert_exact(forward(x, *arguments), x)
    assert_exact(backward(x, x, *arguments), x)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("name", "arguments", "kind"), EVERY)
def test_memory_layouts(name, arguments, kind, layout):
    # Element by element, the layout changes no bit; along an axis, NumPy's order of summation may.
    x, residual = normal((3, 4, 5), np.float32, 1), normal((3, 4, 5), np.float32, 2)
    forward, backward = both(name)
    rtol = 0 if (name, arguments, kind) in PLAIN else 32 * np.finfo(np.float32).eps
    y = forward(x, *arguments)
    strange = forward(layouts(x)[layout], *arguments)
    np.testing.assert_allclose(strange, y, rtol=rtol)
    assert_exact(strange, strange.astype(np.float32))
    kept = saved(kind, x, y)
    gradient = backward(residual, kept, *arguments)
    for first in (residual, layouts(residual)[layout]):
        strange = backward(first, layouts(kept)[layout], *arguments)
        np.testing.assert_allclose(strange, gradient, rtol=rtol, atol=rtol)
        assert_exact(strange, strange.astype(np.float32))


@pytest.mark.parametrize(("name", "arguments", "kind"), EVERY)
def test_out(name, arguments, kind):
    x, residual = normal((2, 3, 4, 5)), normal((2, 3, 4, 5), seed=2)
    forward, backward = both(name)
    y = forward(x, *arguments)
    kept = saved(kind, x, y)
    gradient = backward(residual, kept, *arguments)
    calls = (
        (y, x, lambda first, out: forward(first, *arguments, out=out)),
        (gradient, residual, lambda first, out: backward(first, kept, *arguments, out=out)),
        (gradient, kept, lambda second, out: backward(residual, second, *arguments, out=out)),
    )
    for expected, array, call in calls:
        base = np.full((5, 8, 4, 5), np.nan)
        out = base[1::2, 2:5]
        assert call(array, out) is out
        np.testing.assert_array_equal(out, expected)
        out[...] = np.nan
        assert np.isnan(base).all(), "the result was written outside out"
        # In place, and one element further on.
        for shift in (0, 1):
            memory = np.zeros(array.size + 1)
            same = memory[: array.size].reshape(array.shape)
            same[...] = array
            out = memory[shift : shift + array.size].reshape(array.shape)
            assert call(same, out) is out
            np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(("name", "arguments", "kind"), EVERY)
def test_gradients_are_the_numerical_ones(name, arguments, kind):
    # Numbers away from the kink of relu at 0.
    x = normal((3, 4), seed=1)
    x += np.sign(x) * 0.1
    residual = normal((3, 4), seed=2)
    forward, backward = both(name)
    gradient = backward(residual, saved(kind, x, forward(x, *arguments)), *arguments)
    assert_gradient(lambda x: forward(x, *arguments), gradient, x, residual)


@pytest.mark.parametrize("dtype", DTYPES)
def test_extremes(dtype):
    big = np.finfo(dtype).max
    x = np.array([-np.inf, -big, -1000, -0.0, 0.0, 1000, big, np.inf], dtype)
    assert_exact(F.sigmoid(x), np.array([0, 0, 0, 0.5, 0.5, 1, 1, 1], dtype))
    assert_exact(F.tanh(x), np.array([-1, -1, -1, 0, 0, 1, 1, 1], dtype))
    assert_exact(F.relu(x), np.array([0, 0, 0, 0, 0, 1000, big, np.inf], dtype))
    half = np.array([-np.inf, -big / 2, -500, 0, 0, 1000, big, np.inf], dtype)
    assert_exact(F.leaky_relu(x, 0.5), half)
    # Rows of one huge difference, and a row with a class that is switched off.
    rows = np.array([[0, big / 2], [-1000, 1000], [-np.inf, 0]], dtype)
    assert_exact(F.softmax(rows), np.array([[0, 1]] * 3, dtype))
    logs = np.array([[-big / 2, 0], [-2000, 0], [-np.inf, 0]], dtype)
    assert_exact(F.log_softmax(rows), logs)
    assert_exact(F.softmax(np.full((1, 4), 1e30, dtype)), np.full((1, 4), 0.25, dtype))


ERRORS = """
    import numpy as np
    from fastconv import functional as F

    for dtype in (np.float32, np.float64):
        steps = np.concatenate([np.linspace(0, 45, 200_001), np.logspace(-36, 1.9, 200_000)])
        x = np.concatenate([-steps, steps]).astype(dtype)
        wide = x.astype(np.longdouble)
        for name, exact in (("tanh", np.tanh(wide)), ("sigmoid", 1 / (1 + np.exp(-wide)))):
            y = getattr(F, name)(x)
            error = np.abs(y - exact) / np.spacing(np.abs(exact).astype(dtype))
            assert error.max() < 3, (name, dtype, error.max())
            # A tail of any length goes through the same arithmetic.
            for size in range(1, 40):
                assert (getattr(F, name)(x[-size:]) == y[-size:]).all()
    print("near")
"""


@pytest.mark.parametrize("isa", ["avx512", "avx2", "portable"])
def test_the_error_is_below_three_units_in_the_last_place(isa):
    try:
        assert run_python(ERRORS, FASTCONV_ISA=isa) == "near"
    except AssertionError as error:
        if f"FASTCONV_ISA={isa}: this CPU" not in str(error):
            raise
        pytest.skip(f"skipped: instruction set {isa}: this CPU cannot run it")


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_denormals_are_zero(name):
    x = np.array([1e-310, -1e-310])
    expected = 0.5 if name == "sigmoid" else 0.0
    assert_exact(getattr(F, name)(x), np.full(2, expected))
    assert np.float64(1e-310) * 2 > 0, "the flag was not put back"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "arguments", "kind"), EVERY)
def test_nan_is_passed_on_and_stays_where_it_is(name, arguments, kind, dtype):
    forward, backward = both(name)
    x = np.array([[1, np.nan, -2], [3, -4, 0.5]], dtype)
    y = forward(x, *arguments)
    assert np.isnan(y[0, 1])
    reached = np.zeros((2, 3), bool)
    reached[0, 1] = True
    if name.endswith("softmax"):
        reached[(slice(None), 1) if arguments[0] == 0 else 0] = True
    np.testing.assert_array_equal(np.isnan(y), reached)
    kept = saved(kind, np.nan_to_num(x), forward(np.nan_to_num(x), *arguments))
    gradient = backward(x, kept, *arguments)
    if name != "relu":
        assert np.isnan(gradient[0, 1])
    assert not np.isnan(gradient[~reached]).any()


def test_residual_passes_relu_where_the_output_is_nan():
    # A comparison y > 0 would swallow the residual, and a broken net would look healthy.
    residual, y = np.array([2.0, 3.0, 4.0, 5.0]), np.array([np.nan, 0.0, -0.0, 1e-300])
    assert_exact(F.relu_backward(residual, y), np.array([2.0, 0, 0, 5.0]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_keeps_and_scales(dtype):
    x = normal((50, 60), dtype)
    for p in (0.0, 0.25, 0.5, 0.9, 1.0, 0, 1):
        output, mask = F.dropout(x, p, rng=3)
        assert mask.dtype == np.bool_
        # Four standard deviations of a binomial distribution.
        assert abs(mask.mean() - (1 - p)) <= 4 * np.sqrt(p * (1 - p) / x.size)
        scale = dtype(1 / (1 - p) if p < 1 else 0)
        assert_exact(output, np.where(mask, x * scale, dtype(0)))
        residual = normal((50, 60), dtype, 1)
        gradient = F.dropout_backward(residual, mask, p)
        assert_exact(gradient, np.where(mask, residual * scale, dtype(0)))
        np.testing.assert_allclose(
            gradient, reference.dropout_backward(residual, mask, p), rtol=np.finfo(dtype).eps
        )
        theirs, their_mask = reference.dropout(x, p, rng=3)
        assert_exact(mask, their_mask)
        np.testing.assert_allclose(output, theirs, rtol=np.finfo(dtype).eps)


def test_dropout_without_training_keeps_everything():
    x = normal((3, 4))
    output, mask = F.dropout(x, 0.5, False)
    assert_exact(output, x)
    assert output is not x
    assert mask.all()
    assert_exact(F.dropout(x, 0.5, False, rng=np.random.default_rng(1))[0], x)


def test_dropout_follows_its_generator():
    x = np.ones(1000)
    generator = np.random.default_rng(5)
    first, second = F.dropout(x, rng=generator)[1], F.dropout(x, rng=generator)[1]
    assert_exact(F.dropout(x, rng=5)[1], first)
    assert (first != second).any()
    assert (F.dropout(x)[1] != F.dropout(x)[1]).any()


def test_dropout_drops_infinity_and_nan():
    # 0 * inf is NaN: what is dropped must be chosen, not multiplied away.
    x = np.array([np.inf, np.nan, -np.inf] * 20)
    for p in (0.5, 1):
        output, mask = F.dropout(x, p, rng=1)
        assert (output[~mask] == 0).all()
        np.testing.assert_array_equal(output[mask], x[mask])
        gradient = F.dropout_backward(x, mask, p)
        np.testing.assert_array_equal(gradient, output)


def test_dropout_out():
    x = normal((3, 4))
    expected, mask = F.dropout(x, rng=1)
    for out in (np.empty((3, 4)), np.empty((4, 3)).T):
        output, again = F.dropout(x, rng=1, out=out)
        assert output is out
        np.testing.assert_array_equal(output, expected)
        assert_exact(again, mask)
        assert F.dropout_backward(x, mask, out=out) is out
    same = x.copy()
    F.dropout_backward(same, mask, out=same)
    np.testing.assert_array_equal(same, F.dropout_backward(x, mask))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "arguments", "kind"), EVERY)
def test_agrees_with_torch(name, arguments, kind, dtype):
    torch = torch_or_skip("activations against torch")
    x, residual = normal((5, 6, 7), dtype, 1), normal((5, 6, 7), dtype, 2)
    theirs = torch.from_numpy(x).requires_grad_()
    y = getattr(torch.nn.functional, name)(theirs, *arguments)
    y.backward(torch.from_numpy(residual))
    forward, backward = both(name)
    eps = np.finfo(dtype).eps
    ours = forward(x, *arguments)
    np.testing.assert_allclose(ours, y.detach().numpy(), rtol=0, atol=16 * eps * np.abs(x).max())
    gradient = backward(residual, saved(kind, x, ours), *arguments)
    bound = 64 * eps * np.abs(residual).max()
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=0, atol=bound)
