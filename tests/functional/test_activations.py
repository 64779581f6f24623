"""Activations and their gradients: reference, layouts, out=, extremes, torch."""

import math

import numpy as np
import pytest

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

# Name, further arguments, and whether the gradient takes the output or the input.
PLAIN = [
    ("relu", (), "output"),
    ("leaky_relu", (), "input"),
    ("leaky_relu", (0.25,), "input"),
    ("leaky_relu", (-2,), "input"),
    ("relu6", (), "output"),
    ("hardtanh", (), "output"),
    ("hardtanh", (-0.5, 2.0), "output"),
    ("hardsigmoid", (), "input"),
    ("hardswish", (), "input"),
    ("sigmoid", (), "output"),
    ("tanh", (), "output"),
    ("elu", (), "input"),
    ("elu", (-0.5,), "input"),
    ("selu", (), "input"),
    ("celu", (2.0,), "input"),
    ("silu", (), "input"),
    ("mish", (), "input"),
    ("softsign", (), "input"),
    ("logsigmoid", (), "input"),
    ("softplus", (), "input"),
    ("softplus", (2.0, 1.0), "input"),
    ("softplus", (-1.0,), "input"),
    ("gelu", (), "input"),
    ("gelu", ("tanh",), "input"),
]
ALONG = [(name, (axis,), "output") for name in ("softmax", "log_softmax") for axis in (0, 1, -1)]
EVERY = PLAIN + ALONG
# A NaN of the residual may meet a slope of 0.
BENT = ("relu", "relu6", "hardtanh", "hardsigmoid", "hardswish")
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
    # A few roundings of numbers not above 1 + |x|; those that end so make one each, as here.
    # Along an axis, n of them are summed.
    terms = shape[arguments[0]] if name.endswith("softmax") else 1
    exact = name.endswith(("relu", "relu6")) and name not in ("elu", "selu", "celu")
    bound = 0 if exact else (terms + 8) * eps * (1 + np.abs(x).max())
    np.testing.assert_allclose(y, expected, rtol=0, atol=bound)
    assert_exact(y, y.astype(dtype))
    kept = saved(kind, x, expected)
    gradient = backward(residual, kept, *arguments)
    expected = getattr(reference, f"{name}_backward")(residual, kept, *arguments)
    bound = 0 if exact else (terms + 8) * eps * (1 + terms) * np.abs(residual).max()
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=bound)
    assert_exact(gradient, gradient.astype(dtype))


# What PyTorch lacks.
CONSTANTS = [
    ("selu", {"alpha": 2.0, "scale": 3.0}),
    ("selu", {"alpha": 0, "scale": 1}),
    ("selu", {"alpha": -0.5, "scale": 0.25}),
    ("hardsigmoid", {"alpha": 0.2, "beta": 0.5}),
    ("hardsigmoid", {"alpha": 0.5, "beta": 0.6}),
    ("hardsigmoid", {"alpha": 3, "beta": -2}),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), CONSTANTS, ids=str)
def test_other_constants(name, options, dtype):
    x, residual = normal((3, 4097), dtype, 1), normal((3, 4097), dtype, 2)
    forward, backward = both(name)
    eps = np.finfo(dtype).eps
    expected = getattr(reference, name)(x, **options)
    np.testing.assert_allclose(forward(x, **options), expected, rtol=4 * eps, atol=6 * eps)
    expected = getattr(reference, f"{name}_backward")(residual, x, **options)
    np.testing.assert_allclose(backward(residual, x, **options), expected, rtol=8 * eps)
    for option in options:
        with pytest.raises(TypeError, match=f"{option} must be a number, got str"):
            forward(x, **{option: "1"})


@pytest.mark.parametrize("alpha", [0, -1.0, np.inf, np.nan])
def test_a_hard_sigmoid_rises(alpha):
    x = np.ones(3)
    with pytest.raises(ValueError, match="alpha must be positive and finite"):
        F.hardsigmoid(x, alpha=alpha)
    with pytest.raises(ValueError, match="alpha must be positive and finite"):
        F.hardsigmoid_backward(x, x, alpha=alpha)


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
    # The threshold of softplus is a step.
    if arguments == (2.0, 1.0):
        x[np.abs(2 * x - 1) < 0.1] = 2
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


# Bounds of the error in units in the last place, against extended precision.
ULPS = {
    "tanh": 3, "sigmoid": 3, "elu": 2, "selu": 3, "silu": 4, "mish": 5, "softsign": 2,
    "hardsigmoid": 2, "hardswish": 3, "logsigmoid": 3, "softplus": 4,
}  # fmt: skip
# The largest error of a slope, over eps.
SLOPE = 4


def exact_values(x):
    """Return the activations and slopes in extended precision."""
    x = x.astype(np.longdouble)
    big, one = np.exp(-np.abs(x)), np.longdouble(1)
    sigmoid = np.where(x < 0, big, one) / (1 + big)
    other = np.where(x < 0, one, big) / (1 + big)
    softplus = np.maximum(x, 0) + np.log1p(big)
    alpha, scale = np.longdouble(1.6732632423543772), np.longdouble(1.0507009873554805)
    inside = np.clip(x + 3, 0, 6) / 6
    values = {
        "tanh": np.tanh(x),
        "sigmoid": sigmoid,
        "elu": np.where(x > 0, x, np.expm1(x)),
        "selu": scale * np.where(x > 0, x, alpha * np.expm1(x)),
        "silu": x * sigmoid,
        "mish": x * np.tanh(softplus),
        "softsign": x / (1 + np.abs(x)),
        "hardsigmoid": inside,
        "hardswish": x * inside,
        "logsigmoid": np.minimum(x, 0) - np.log1p(big),
        "softplus": softplus,
    }
    slopes = {
        "elu": np.where(x > 0, one, np.exp(x)),
        "silu": sigmoid * (1 + x * other),
        "mish": np.tanh(softplus) + x * sigmoid / np.cosh(softplus) ** 2,
        "softsign": 1 / (1 + np.abs(x)) ** 2,
        "logsigmoid": other,
        "softplus": sigmoid,
    }
    return values, slopes


def check_errors():
    """Compare many values and slopes of each activation with extended precision."""
    for dtype in DTYPES:
        tiny = 1e-34 if dtype == np.float32 else 1e-300
        steps = np.concatenate([np.linspace(0, 90, 200_001), np.logspace(-30, 1.9, 100_000)])
        x = np.concatenate([-steps, steps]).astype(dtype)
        values, slopes = exact_values(x)
        for name, exact in values.items():
            options = (1.0, 100.0) if name == "softplus" else ()
            y = getattr(F, name)(x, *options)
            error = np.abs(y - exact) / np.spacing(np.abs(exact).astype(dtype))
            assert error[np.abs(exact) > tiny].max() < ULPS[name], (name, dtype, error.max())
            assert np.abs(y - exact)[np.abs(exact) <= tiny].max(initial=0) <= tiny, (name, dtype)
            # A tail of any length goes through the same arithmetic.
            for size in range(1, 70):
                assert (getattr(F, name)(x[-size:], *options) == y[-size:]).all(), (name, size)
        for name, exact in slopes.items():
            options = (1.0, 100.0) if name == "softplus" else ()
            y = getattr(F, f"{name}_backward")(np.ones_like(x), x, *options)
            error = np.abs(y - exact) / np.finfo(dtype).eps
            assert error.max() < SLOPE, (name, dtype, error.max())
    return "near"


def check_gelu():
    """Compare gelu and its slope with the error function of Python, in float64."""
    x = np.concatenate([np.linspace(-12, 6, 20_001), -np.logspace(-30, 0, 1001)])
    for dtype in DTYPES:
        v = x.astype(dtype).astype(np.float64)
        # The argument's own rounding matters in the tail: what is lost is put back by the slope.
        exact = -v.astype(np.longdouble) / np.sqrt(np.longdouble(2))
        argument = exact.astype(np.float64)
        lost = (exact - argument).astype(np.float64)
        share = np.array([math.erfc(value) for value in argument.tolist()]) / 2
        share -= np.exp(-(argument**2)) * lost / math.sqrt(math.pi)
        y = F.gelu(v.astype(dtype))
        error = np.abs(y - v * share) / np.spacing(np.abs(v * share).astype(dtype))
        assert error.max() < 8, (dtype, error.max())
        slope = share + v * np.exp(-(v**2) / 2) / math.sqrt(2 * math.pi)
        found = F.gelu_backward(np.ones(v.size, dtype), v.astype(dtype))
        assert np.abs(found - slope).max() < SLOPE * np.finfo(dtype).eps
        tanh = np.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))
        error = np.abs(F.gelu(v.astype(dtype), "tanh") - v * (1 + tanh) / 2)
        assert (error < 3 * np.finfo(dtype).eps * np.maximum(1, np.abs(v))).all()
    return "near"


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("check", ["check_errors", "check_gelu"])
def test_errors_are_within_the_bounds_that_are_stated(check, isa):
    isa_or_skip(isa)
    printed = run_tests_code("functional.test_activations", f"{check}()", FASTCONV_ISA=isa)
    assert printed == "near"


@pytest.mark.parametrize("dtype", DTYPES)
def test_limits(dtype):
    big = dtype(1e30)
    x = np.array([-np.inf, -big, big, np.inf, np.nan], dtype)
    zeros, ones = [0, 0], [1, 1]
    limits = {
        ("relu6",): ([0, 0, 6, 6], None),
        ("hardtanh",): ([-1, -1, 1, 1], None),
        ("hardsigmoid",): ([0, 0, 1, 1], [0, 0, 0, 0]),
        ("softsign",): ([-1, -1, 1, 1], None),
        ("elu",): ([-1, -1, big, np.inf], zeros + ones),
        ("celu", 0.5): ([-0.5, -0.5, big, np.inf], zeros + ones),
        ("softplus",): ([0, 0, big, np.inf], zeros + ones),
        ("logsigmoid",): ([-np.inf, -big, 0, 0], ones + zeros),
        **{
            key: ([0, 0, big, np.inf], zeros + ones)
            for key in (("silu",), ("mish",), ("gelu",), ("gelu", "tanh"), ("hardswish",))
        },
    }
    for (name, *arguments), (values, slopes) in limits.items():
        y = getattr(F, name)(x, *arguments)
        np.testing.assert_array_equal(y, np.array([*values, np.nan], dtype), err_msg=name)
        if slopes is not None:
            gradient = getattr(F, f"{name}_backward")(np.ones(5, dtype), x, *arguments)
            np.testing.assert_array_equal(gradient[:4], slopes, err_msg=name)


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
    assert np.isnan(gradient[0, 1]) or name in BENT
    assert not np.isnan(gradient[~reached]).any()


def test_residual_passes_relu_where_the_output_is_nan():
    # A comparison y > 0 would swallow the residual, and a broken net would look healthy.
    residual, y = np.array([2.0, 3.0, 4.0, 5.0]), np.array([np.nan, 0.0, -0.0, 1e-300])
    assert_exact(F.relu_backward(residual, y), np.array([2.0, 0, 0, 5.0]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "arguments", "kind"), EVERY)
def test_agrees_with_torch(name, arguments, kind, dtype):
    torch = torch_or_skip("activations against torch")
    x, residual = normal((5, 6, 7), dtype, 1), normal((5, 6, 7), dtype, 2)
    theirs = torch.from_numpy(x).requires_grad_()
    options = {"approximate": arguments[0]} if name == "gelu" and arguments else {}
    y = getattr(torch.nn.functional, name)(theirs, *(() if options else arguments), **options)
    y.backward(torch.from_numpy(residual))
    forward, backward = both(name)
    # torch's hard sigmoid multiplies by a sixth of single precision.
    eps = np.finfo(np.float32 if name == "hardsigmoid" else dtype).eps
    ours = forward(x, *arguments)
    np.testing.assert_allclose(ours, y.detach().numpy(), rtol=0, atol=16 * eps * np.abs(x).max())
    gradient = backward(residual, saved(kind, x, ours), *arguments)
    bound = 64 * eps * np.abs(residual).max()
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=0, atol=bound)
