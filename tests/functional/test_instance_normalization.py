"""Instance norm: reference, torch, running statistics, layouts, out=, bits."""

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

SHAPES = [(3, 4, 5), (2, 3, 16), (2, 3, 17), (4, 5, 7, 7), (2, 2, 50, 49), (1, 3, 2, 3, 5)]


def arguments(shape, dtype=np.float64):
    """Return input, gradient, weight, bias, and running mean and variance."""
    x, grad = normal(shape, dtype, 1) * dtype(2) + dtype(1), normal(shape, dtype, 2)
    weight, bias, mean = (normal(shape[1:2], dtype, seed) for seed in (3, 4, 5))
    return x, grad, weight, bias, mean, normal(shape[1:2], dtype, 6) ** 2 + dtype(0.5)


def results(module, shape, dtype, by_input=True):
    x, grad, weight, bias, mean, var = arguments(shape, dtype)
    saved = np.empty((2, *shape[:2]) if by_input else (2, shape[1]))
    y = module.instance_norm(x, mean, var, weight, bias, by_input, 0.2, 1e-3, statistics=saved)
    return y, saved, mean, var, *module.instance_norm_backward(grad, x, saved, weight, by_input)


def assert_near(actual, expected, dtype):
    assert actual.dtype == expected.dtype
    bound = 64 * np.finfo(dtype).eps * (1 + np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("by_input", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_fast_is_near_the_reference(shape, by_input, dtype):
    ours, theirs = (results(module, shape, dtype, by_input) for module in (F, reference))
    for actual, expected in zip(ours, theirs, strict=True):
        assert_near(actual, expected, dtype)
    if not by_input:
        assert_exact(ours[2], arguments(shape, dtype)[4])
        assert_exact(ours[3], arguments(shape, dtype)[5])


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e18])
def test_running_statistics_of_any_scale(scale):
    x = normal((5, 3, 60), np.float32, 1) * np.float32(scale)
    mean, var = np.zeros(3, np.float32), np.zeros(3, np.float32)
    F.instance_norm(x, mean, var, momentum=1)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean((0, 2)), atol=1e-6 * scale)
    # The variance is taken from 1 / sqrt(var + eps).
    np.testing.assert_allclose(var, wide.var(2, ddof=1).mean(0), rtol=1e-6, atol=1e-20)


def test_gradients_are_the_numerical_ones():
    x, grad, weight, bias, mean, var = arguments((2, 3, 5))
    for by_input in (True, False):
        saved = np.empty((2, 2, 3) if by_input else (2, 3))
        running = (None, None) if by_input else (mean, var)

        def run(x=x, weight=weight, bias=bias, by_input=by_input, saved=saved, running=running):
            return F.instance_norm(x, *running, weight, bias, by_input, statistics=saved)

        run()
        gradients = F.instance_norm_backward(grad, x, saved.copy(), weight, by_input)
        for name, value, gradient in zip(
            ("x", "weight", "bias"), (x, weight, bias), gradients, strict=True
        ):
            assert_gradient(
                lambda moved, name=name, run=run: run(**{name: moved}), gradient, value, grad
            )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layouts(layout):
    x, grad, weight, bias, *_ = arguments((3, 4, 5, 7), np.float32)
    moved, strided = np.ones((2, 4), np.float32), np.ones((2, 8), np.float32)[:, ::-2]
    saved, again = np.empty((2, 3, 4)), np.empty((2, 3, 4))
    y = F.instance_norm(x, *moved, weight, bias, statistics=saved)
    gradients = F.instance_norm_backward(grad, x, saved, weight)
    a, g, w, b, s = (layouts(v).get(layout, v) for v in (x, grad, weight, bias, saved))
    assert_exact(F.instance_norm(a, *strided, w, b, statistics=again), y)
    assert_exact(again, saved)
    np.testing.assert_array_equal(strided, moved)
    for actual, expected in zip(F.instance_norm_backward(g, a, s, w), gradients, strict=True):
        assert_exact(actual, expected)


def test_out():
    x, grad, weight, bias, mean, var = arguments((6, 4, 5, 7))
    saved, apart = np.empty((2, 6, 4)), np.empty((2, 4, 6)).transpose(0, 2, 1)
    y = F.instance_norm(x, None, None, weight, bias, statistics=saved)
    gradients = F.instance_norm_backward(grad, x, saved, weight)
    same = x.copy()
    assert F.instance_norm(same, mean, var, weight, bias, out=same, statistics=apart) is same
    assert_exact(same, y)
    np.testing.assert_array_equal(apart, saved)
    outs = grad.copy(), np.empty(8)[::2], np.empty(4)
    found = F.instance_norm_backward(outs[0], x, saved, weight, out=outs)
    for actual, expected, out in zip(found, gradients, outs, strict=True):
        assert actual is out
        np.testing.assert_array_equal(actual, expected)


def test_nan_stays_in_its_channel_and_sample():
    x, _, weight, bias, mean, var = arguments((3, 4, 30), np.float32)
    x[1, 2, 5] = np.nan
    lost = np.zeros(x.shape, bool)
    lost[1, 2] = True
    y = F.instance_norm(x, mean, var, weight, bias)
    np.testing.assert_array_equal(np.isnan(y), lost)
    for running in (mean, var):
        np.testing.assert_array_equal(np.isnan(running), [False, False, True, False])


def all_bits():
    """Tell whether 1 to 8 threads agree."""
    bits = []
    for threads in range(1, 9):
        with fastconv.num_threads(threads):
            bits.append(
                [
                    a.tobytes()
                    for shape in [*SHAPES, (4, 16, 60, 60)]
                    for dtype in DTYPES
                    for a in results(F, shape, dtype)
                ]
            )
    return all(found == bits[0] for found in bits)


@pytest.mark.parametrize("isa", ISAS)
def test_any_threads(isa):
    isa_or_skip(isa)
    module = "functional.test_instance_normalization"
    assert run_tests_code(module, "all_bits()", FASTCONV_ISA=isa) == "True"


@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 4, 0)], ids=str)
def test_empty(shape):
    x, saved, running = np.zeros(shape), np.empty((2, *shape[:2])), np.ones((2, 4))
    assert F.instance_norm(x, *running, statistics=saved).shape == shape
    assert_exact(running, np.ones((2, 4)))
    found = F.instance_norm_backward(x, x, saved)
    assert found[0].shape == shape
    assert_exact(found[1], np.zeros(4))


def test_wrong_arguments():
    x, channel, saved = np.zeros((2, 4, 3)), np.ones(4), np.empty((2, 2, 4))
    frozen = np.ones(4)
    frozen.flags.writeable = False
    for error, text, call in (
        (ValueError, "more than one value a channel", lambda: F.instance_norm(x[..., :1])),
        (ValueError, "more than one value a channel", lambda: F.instance_norm(x[..., 0])),
        (ValueError, "input must have a channel", lambda: F.instance_norm(x[:, :0])),
        (ValueError, "both be arrays, or both None", lambda: F.instance_norm(x, channel)),
        (ValueError, "must be arrays where use_input_stats is False",
         lambda: F.instance_norm(x, use_input_stats=False)),
        (ValueError, "running_var must have", lambda: F.instance_norm(x, channel, np.ones(3))),
        (ValueError, "running_mean must be writeable",
         lambda: F.instance_norm(x, frozen, channel)),
        (ValueError, "weight must have", lambda: F.instance_norm(x, weight=np.ones(3))),
        (ValueError, "statistics must have",
         lambda: F.instance_norm(x, statistics=saved[:, 0])),
        (ValueError, "statistics must have",
         lambda: F.instance_norm_backward(x, x, saved, None, False)),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            call()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("by_input", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_agrees_with_torch(shape, by_input, dtype):
    torch = torch_or_skip("instance norm against torch")
    x, grad, weight, bias, mean, var = (torch.from_numpy(a.copy()) for a in arguments(shape, dtype))
    leaves = [leaf.requires_grad_() for leaf in (x, weight, bias)]
    expected = torch.nn.functional.instance_norm(x, mean, var, weight, bias, by_input, 0.2, 1e-3)
    expected.backward(grad)
    y, _, *ours = results(F, shape, dtype, by_input)
    theirs = (expected.detach(), mean, var, *(leaf.grad for leaf in leaves))
    for actual, wanted in zip((y, *ours), theirs, strict=True):
        bound = 128 * np.finfo(dtype).eps * (1 + float(wanted.abs().max()))
        np.testing.assert_allclose(actual, wanted.numpy(), rtol=0, atol=bound)
