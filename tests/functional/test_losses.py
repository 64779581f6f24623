"""Losses and their gradients: reference, layouts, extremes, torch."""

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from tests._cases import (
    DTYPES,
    LAYOUTS,
    assert_exact,
    assert_gradient,
    layouts,
    normal,
    torch_or_skip,
)

REDUCTIONS = ("mean", "sum", "none")
SHAPES = [(4, 5), (1, 1), (2, 3, 4), (3, 2, 4, 5), (6,), ()]
NAMES = ("cross_entropy", "mse_loss", "half_squared_error")


# A loss per sample needs an axis of samples or classes; mse_loss needs none.
EACH = [(name, shape) for name in NAMES for shape in SHAPES if shape or name == "mse_loss"]


def both(name):
    return getattr(F, name), getattr(F, f"{name}_backward")


def classes(shape):
    axis = min(len(shape) - 1, 1)
    rest = shape[:axis] + shape[axis + 1 :]
    return np.asarray(np.random.default_rng([7, *shape]).integers(0, shape[axis], rest))


def problem(name, shape, dtype=np.float64):
    x = normal(shape, dtype, 1)
    return x, classes(shape) if name == "cross_entropy" else normal(shape, dtype, 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "shape"), EACH, ids=str)
def test_fast_is_near_the_reference(name, shape, reduction, dtype):
    x, target = problem(name, shape, dtype)
    forward, backward = both(name)
    loss = forward(x, target, reduction=reduction)
    expected = getattr(reference, name)(x, target, reduction=reduction)
    # Every term is at most this size, with a few roundings, and x.size of them are summed.
    size = x.size * (4 + np.abs(x).max()) ** 2
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(loss, expected, rtol=0, atol=(x.size + 8) * eps * size)
    if reduction == "none":
        assert_exact(loss, loss.astype(dtype))
        assert loss.shape == expected.shape
    else:
        assert isinstance(loss, dtype)
    weights = [1.0, -2.5] if reduction != "none" else [1.0, normal(loss.shape, dtype, 3)]
    for weight in weights:
        options = {"reduction": reduction, "grad_output": weight}
        gradient = backward(x, target, **options)
        expected = getattr(reference, f"{name}_backward")(x, target, **options)
        bound = (x.size + 8) * eps * 4 * (4 + np.abs(x).max())
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=bound)
        assert_exact(gradient, gradient.astype(dtype))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 2)])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_the_numerical_ones(name, shape, reduction):
    x, target = problem(name, shape)
    forward, backward = both(name)

    def loss(x):
        return np.asarray(forward(x, target, reduction=reduction))

    weight = normal(loss(x).shape, seed=5)
    options = {"reduction": reduction, "grad_output": weight if weight.ndim else float(weight)}
    gradient = backward(x, target, **options)
    assert_gradient(loss, gradient, x, weight, linear=name != "cross_entropy")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_memory_layouts(name, layout):
    x, target = problem(name, (3, 4, 5), np.float32)
    forward, backward = both(name)
    strange = layouts(x)[layout], layouts(target).get(layout, target)
    rtol = 64 * np.finfo(np.float32).eps
    for reduction in REDUCTIONS:
        np.testing.assert_allclose(
            forward(*strange, reduction=reduction), forward(x, target, reduction=reduction), rtol
        )
        gradient = backward(*strange, reduction=reduction)
        expected = backward(x, target, reduction=reduction)
        np.testing.assert_allclose(gradient, expected, rtol=rtol, atol=rtol)
        assert_exact(gradient, gradient.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint32, np.int64, ">i4"])
def test_classes_of_every_integer_dtype(dtype):
    x = normal((4, 5))
    target = np.array([0, 4, 2, 2])
    assert F.cross_entropy(x, target.astype(dtype)) == F.cross_entropy(x, target)
    gradient = F.cross_entropy_backward(x, target)
    assert_exact(F.cross_entropy_backward(x, target.astype(dtype)), gradient)


def test_more_samples_than_the_classes_dtype_can_count():
    # Places are computed from the classes: in 8 bits they wrap round at 127.
    x = normal((300, 3, 2))
    target = classes((300, 3, 2))
    loss = F.cross_entropy(x, target, reduction="none")
    assert_exact(F.cross_entropy(x, target.astype(np.int8), reduction="none"), loss)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_of_extreme_scores(dtype):
    x = np.array([[1e4, -1e4], [1e4, -1e4], [0, -np.inf]], dtype)
    target = np.array([0, 1, 0])
    loss = F.cross_entropy(x, target, reduction="none")
    assert_exact(loss, np.array([0, 2e4, 0], dtype))
    gradient = F.cross_entropy_backward(x, target, reduction="sum")
    assert_exact(gradient, np.array([[0, 0], [1, -1], [0, 0]], dtype))


@pytest.mark.parametrize("name", NAMES)
def test_empty_batch(name):
    # The mean of nothing is NaN, as in torch, without a warning; its gradient is empty.
    x = np.zeros((0, 3), np.float32)
    target = np.zeros(0, np.int64) if name == "cross_entropy" else x
    forward, backward = both(name)
    assert np.isnan(forward(x, target))
    assert forward(x, target, reduction="sum") == 0
    assert forward(x, target, reduction="none").size == 0
    for reduction in REDUCTIONS:
        assert_exact(backward(x, target, reduction=reduction), x)


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_in_its_own_sample(name):
    x, target = problem(name, (3, 4))
    x[1, 2] = np.nan
    forward, backward = both(name)
    assert np.isnan(forward(x, target))
    reached = np.isnan(forward(x, target, reduction="none"))
    assert reached[1].any()
    assert not reached[[0, 2]].any()
    assert not np.isnan(backward(x, target)[[0, 2]]).any()
    assert np.isnan(backward(x, target)[1, 2])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_out(name, reduction):
    x, target = problem(name, (3, 4, 5))
    _, backward = both(name)
    expected = backward(x, target, reduction=reduction)
    base = np.full((7, 4, 10), np.nan)
    out = base[1::2, :, ::2]
    assert backward(x, target, reduction=reduction, out=out) is out
    np.testing.assert_array_equal(out, expected)
    out[...] = np.nan
    assert np.isnan(base).all(), "the result was written outside out"
    for position in range(1 if name == "cross_entropy" else 2):
        arrays = [x.copy(), target.copy()]
        backward(*arrays, reduction=reduction, out=arrays[position])
        np.testing.assert_array_equal(arrays[position], expected)


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_left_alone(name):
    x, target = problem(name, (3, 4))
    copies = x.copy(), target.copy()
    forward, backward = both(name)
    forward(x, target, reduction="none")[...] = 7
    backward(x, target)[...] = 7
    np.testing.assert_array_equal(x, copies[0])
    np.testing.assert_array_equal(target, copies[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("name", "shape"), [each for each in EACH if each[0] != "half_squared_error"], ids=str
)
def test_agrees_with_torch(name, shape, reduction, dtype):
    torch = torch_or_skip("losses against torch")
    x, target = problem(name, shape, dtype)
    theirs = torch.from_numpy(x).requires_grad_()
    wanted = torch.from_numpy(np.asarray(target))
    loss = getattr(torch.nn.functional, name)(theirs, wanted, reduction=reduction)
    weight = np.asarray(normal(tuple(loss.shape), dtype, 3))
    loss.backward(torch.from_numpy(weight))
    forward, backward = both(name)
    eps = np.finfo(dtype).eps
    ours = forward(x, target, reduction=reduction)
    size = x.size * (4 + np.abs(x).max()) ** 2
    np.testing.assert_allclose(ours, loss.detach().numpy(), rtol=0, atol=(x.size + 8) * eps * size)
    gradient = backward(x, target, reduction=reduction, grad_output=weight)
    bound = (x.size + 8) * eps * 4 * (4 + np.abs(x).max()) * np.abs(weight).max()
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=0, atol=bound)


@pytest.mark.parametrize("shape", [(5, 7), (300, 1000), (2, 5, 33, 35)])
def test_cross_entropy_gives_the_same_bits_on_any_threads(shape):
    x = normal(shape, np.float32)
    target = np.random.default_rng(1).integers(0, shape[1], (shape[0], *shape[2:]))
    before = fastconv.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3, 8):
            fastconv.set_num_threads(threads)
            losses = F.cross_entropy(x, target, reduction="none")
            found.append((losses, F.cross_entropy_backward(x, target)))
    finally:
        fastconv.set_num_threads(before)
    for losses, gradient in found:
        np.testing.assert_array_equal(losses, found[0][0])
        np.testing.assert_array_equal(gradient, found[0][1])


def test_cross_entropy_gradient_in_memory_of_the_scores():
    scores, target = normal((6, 9), np.float32), np.arange(6)
    expected = F.cross_entropy_backward(scores, target)
    for shift in (0, 3):
        memory = np.zeros(scores.size + shift, np.float32)
        x = memory[: scores.size].reshape(scores.shape)
        x[...] = scores
        out = memory[shift : shift + scores.size].reshape(scores.shape)
        assert F.cross_entropy_backward(x, target, out=out) is out
        np.testing.assert_array_equal(out, expected)
