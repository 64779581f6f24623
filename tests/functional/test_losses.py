"""Losses and their gradients: reference, layouts, extremes, torch."""

from functools import partial

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
    layouts,
    normal,
    numerical_gradient,
    run_python,
    torch_or_skip,
)

REDUCTIONS = ("mean", "sum", "none")
SHAPES = [(4, 5), (1, 1), (2, 3, 4), (3, 2, 4, 5), (6,), ()]
# Functions by what they are called here, with options.
LOSSES = {
    "cross_entropy": ("cross_entropy", {}),
    "nll": ("nll_loss", {}),
    "mse": ("mse_loss", {}),
    "l1": ("l1_loss", {}),
    "huber": ("huber_loss", {"delta": 0.75}),
    "smooth l1": ("smooth_l1_loss", {"beta": 0.5}),
    "straight l1": ("smooth_l1_loss", {"beta": 0}),
    "half": ("half_squared_error", {}),
    "bce": ("binary_cross_entropy", {}),
    "logits": ("binary_cross_entropy_with_logits", {}),
    "kl": ("kl_div", {}),
    "log kl": ("kl_div", {"log_target": True}),
}
NAMES = tuple(LOSSES)
OF_CLASSES = ("cross_entropy", "nll")
# Those of second degree, for which central differences are exact.
SQUARES = ("mse", "half")


# A loss per sample needs an axis of samples or classes; the others need none.
EACH = [
    (name, shape)
    for name in NAMES
    for shape in SHAPES
    if shape or name not in (*OF_CLASSES, "half")
]


def both(name, module=F):
    function, options = LOSSES[name]
    forward, backward = getattr(module, function), getattr(module, f"{function}_backward")
    return partial(forward, **options), partial(backward, **options)


def classes(shape):
    axis = min(len(shape) - 1, 1)
    rest = shape[:axis] + shape[axis + 1 :]
    return np.asarray(np.random.default_rng([7, *shape]).integers(0, shape[axis], rest))


def problem(name, shape, dtype=np.float64):
    x = normal(shape, dtype, 1)
    if name in OF_CLASSES:
        return x, classes(shape)
    if name not in ("bce", "logits", "kl", "log kl"):
        return x, normal(shape, dtype, 2)
    rng = np.random.default_rng([9, *shape])
    target = np.asarray(rng.random(shape, dtype))
    if name == "bce":
        x = np.asarray(rng.random(shape, dtype) * dtype(0.8) + dtype(0.1))
    elif name == "log kl":
        target = np.asarray(np.log(target))
    return x, target


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "shape"), EACH, ids=str)
def test_fast_is_near_the_reference(name, shape, reduction, dtype):
    x, target = problem(name, shape, dtype)
    forward, backward = both(name)
    loss = forward(x, target, reduction=reduction)
    expected = both(name, reference)[0](x, target, reduction=reduction)
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
        expected = both(name, reference)[1](x, target, **options)
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
    if name == "bce":  # which bends the most
        numbers = numerical_gradient(lambda x: (loss(x) * weight).sum(), x, 1e-5)
        np.testing.assert_allclose(gradient, numbers, rtol=1e-6, atol=1e-8)
    else:
        assert_gradient(loss, gradient, x, weight, linear=name in SQUARES)


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
    target = np.zeros(0, np.int64) if name in OF_CLASSES else x
    forward, backward = both(name)
    assert np.isnan(forward(x, target))
    assert forward(x, target, reduction="sum") == 0
    assert forward(x, target, reduction="none").size == 0
    for reduction in REDUCTIONS:
        assert_exact(backward(x, target, reduction=reduction), x)


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_in_its_own_sample(name):
    x, target = problem(name, (3, 4))
    place = (1, target[1] if name == "nll" else 2)
    x[place] = np.nan
    forward, backward = both(name)
    assert np.isnan(forward(x, target))
    reached = np.isnan(forward(x, target, reduction="none"))
    assert reached[1].any()
    assert not reached[[0, 2]].any()
    assert not np.isnan(backward(x, target)[[0, 2]]).any()
    # The slope of what is linear is what it is.
    assert np.isnan(backward(x, target)[place]) == (name not in ("nll", "kl", "log kl"))


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
    for position in range(1 if name in OF_CLASSES else 2):
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


# It says that the mean may change its meaning.
@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "shape"), [each for each in EACH if each[0] != "half"], ids=str)
def test_agrees_with_torch(name, shape, reduction, dtype):
    torch = torch_or_skip("losses against torch")
    x, target = problem(name, shape, dtype)
    theirs = torch.from_numpy(x).requires_grad_()
    wanted = torch.from_numpy(np.asarray(target))
    function, options = LOSSES[name]
    loss = getattr(torch.nn.functional, function)(theirs, wanted, reduction=reduction, **options)
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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(5, 7), (300, 1000), (2, 5, 133, 35)])
def test_any_number_of_threads_gives_the_same_bits(name, shape):
    x, target = problem(name, shape, np.float32)
    forward, backward = both(name)
    found = []
    for threads in (1, 2, 3, 8):
        with fastconv.num_threads(threads):
            losses = [forward(x, target, reduction=reduction) for reduction in REDUCTIONS]
            found.append([*losses, backward(x, target)])
    for results in found:
        for result, first in zip(results, found[0], strict=True):
            np.testing.assert_array_equal(result, first)


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


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_values(dtype):
    big = dtype(1e30)
    huge = np.array([big, -big, big, -big], dtype)
    happened = np.array([1, 0, 0, 1], dtype)
    loss = F.binary_cross_entropy_with_logits(huge, happened, reduction="none")
    assert_exact(loss, np.array([0, 0, big, big], dtype))
    gradient = F.binary_cross_entropy_with_logits_backward(huge, happened, reduction="sum")
    assert_exact(gradient, np.array([0, 0, 1, -1], dtype))
    certain = np.array([0, 1, 0, 1], dtype)
    loss = F.binary_cross_entropy(certain, np.array([0, 1, 1, 0], dtype), reduction="none")
    assert_exact(loss, np.array([0, 0, 100, 100], dtype))
    gradient = F.binary_cross_entropy_backward(certain, happened, reduction="sum")
    np.testing.assert_allclose(gradient, [-1e12, 1e12, 0, 0], rtol=1e-6)
    for name in ("huber_loss", "smooth_l1_loss", "l1_loss"):
        loss = getattr(F, name)(huge, np.zeros_like(huge), reduction="none")
        np.testing.assert_allclose(loss, np.full(4, big), rtol=1e-6)
        gradient = getattr(F, f"{name}_backward")(huge, np.zeros_like(huge), reduction="sum")
        assert_exact(gradient, np.array([1, -1, 1, -1], dtype))
    # What cannot happen costs nothing, however improbable it was held.
    target = np.array([0, 1], dtype)
    loss = F.kl_div(np.array([-big, -2], dtype), target, reduction="none")
    assert_exact(loss, np.array([0, 2], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_small_probability_keeps_its_digits(dtype):
    """log(1 - p) of a tiny p is -p, of which 1 - p knows nothing."""
    p = np.array([1e-12, 1e-30], dtype)
    loss = F.binary_cross_entropy(p, np.zeros(2, dtype), reduction="none")
    np.testing.assert_allclose(loss, -np.log1p(-p), rtol=2 * np.finfo(dtype).eps)
    loss = F.binary_cross_entropy_with_logits(
        np.array([-40, 40], dtype), np.array([0, 1], dtype), reduction="none"
    )
    np.testing.assert_allclose(loss, np.full(2, np.exp(-40.0)), rtol=8 * np.finfo(dtype).eps)


LOGARITHMS = """
    import numpy as np
    from fastconv import functional as F

    for dtype in (np.float32, np.float64):
        eps, tiny = np.finfo(dtype).eps, np.finfo(dtype).tiny
        near = 1 + np.linspace(-0.3, 0.0, 100_001)
        p = np.concatenate([np.logspace(np.log10(float(tiny)) + 0.5, 0, 100_001), near])
        # Both logarithms stop at -100.
        p = p.astype(dtype)
        wide = p.astype(np.longdouble)
        yes = np.minimum(-np.log(wide), 100)
        ones = np.ones_like(p)
        found = F.binary_cross_entropy(p, ones, reduction="none")
        error = np.abs(found - yes) / np.maximum(yes, tiny) / eps
        assert error.max() < 2, (dtype, "log", error.max())
        no = np.minimum(-np.log1p(-wide[wide < 1]), 100)
        found = F.binary_cross_entropy(p[p < 1], 0 * ones[p < 1], reduction="none")
        error = np.abs(found - no) / np.maximum(no, tiny) / eps
        assert error.max() < 3, (dtype, "log1p", error.max())
        # A tail of any length goes through the same arithmetic.
        for size in range(1, 40):
            tail = F.binary_cross_entropy(p[:size], ones[:size], reduction="none")
            assert (tail == F.binary_cross_entropy(p, ones, reduction="none")[:size]).all()
    print("near")
"""


@pytest.mark.parametrize("isa", ISAS)
def test_logarithms_are_near(isa):
    try:
        assert run_python(LOGARITHMS, FASTCONV_ISA=isa) == "near"
    except AssertionError as error:
        if f"FASTCONV_ISA={isa}: this CPU" not in str(error):
            raise
        pytest.skip(f"skipped: instruction set {isa}: this CPU cannot run it")


# Sizes about a vector, a piece and a block; factors of every kind of shape.
SIZES = [(1,), (15,), (17,), (511,), (513,), (4097,), (3, 700), (40_000,)]
FACTORS = [(), (1,), (5,), (4, 1), (4, 5), (3, 1, 1), (3, 1, 5), (1, 4, 1), (3, 4, 5), (1, 1, 5)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("name", ["mse", "huber", "bce", "logits", "kl", "log kl"])
def test_sizes(name, shape, dtype):
    x, target = problem(name, shape, dtype)
    eps = np.finfo(dtype).eps
    (forward, backward), (slow, slow_backward) = both(name), both(name, reference)
    for reduction in REDUCTIONS:
        expected = slow(x, target, reduction=reduction)
        absolute = np.abs(slow(x, target, reduction="none")).sum(dtype=np.float64)
        share = {"mean": 1 / x.size, "sum": 1, "none": 1}[reduction]
        # Pieces of 512 in at least four lanes, and the rest in doubles.
        bound = 160 * eps * absolute * share if reduction != "none" else 0
        np.testing.assert_allclose(
            forward(x, target, reduction=reduction), expected, rtol=16 * eps, atol=bound + 16 * eps
        )
    np.testing.assert_allclose(
        backward(x, target, reduction="sum"),
        slow_backward(x, target, reduction="sum"),
        rtol=32 * eps,
        atol=32 * eps,
    )


@pytest.mark.parametrize("shape", FACTORS, ids=str)
@pytest.mark.parametrize("name", ["bce", "logits"])
def test_weights_are_broadcast(name, shape):
    x, target = problem(name, (3, 4, 5))
    rng = np.random.default_rng(4)
    weight, residual = np.asarray(rng.random(shape)), rng.standard_normal((3, 4, 5))
    (forward, backward), (slow, slow_backward) = both(name), both(name, reference)
    every = [{"weight": weight}]
    if name == "logits":
        every += [{"pos_weight": weight}, {"weight": weight, "pos_weight": np.asarray(1 + weight)}]
    for options in every:
        for reduction in REDUCTIONS:
            each = {"reduction": reduction, **options}
            np.testing.assert_allclose(
                forward(x, target, **each), slow(x, target, **each), rtol=1e-14
            )
            each["grad_output"] = residual if reduction == "none" else 1.5
            np.testing.assert_allclose(
                backward(x, target, **each), slow_backward(x, target, **each), rtol=1e-13
            )


@pytest.mark.parametrize("name", ["kl", "log kl"])
def test_divergence_of_a_batch(name):
    torch = torch_or_skip("batchmean against torch")
    x, target = problem(name, (4, 6))
    theirs = torch.from_numpy(x).requires_grad_()
    options = LOSSES[name][1]
    loss = torch.nn.functional.kl_div(
        theirs, torch.from_numpy(target), reduction="batchmean", **options
    )
    loss.backward()
    forward, backward = both(name)
    np.testing.assert_allclose(forward(x, target, reduction="batchmean"), loss.item(), rtol=1e-14)
    gradient = backward(x, target, reduction="batchmean")
    np.testing.assert_allclose(gradient, theirs.grad, rtol=1e-14)
    assert np.isnan(F.kl_div(x[:0], target[:0], reduction="batchmean"))


def test_a_step_without_a_difference_is_zero():
    x = normal((20,))
    for name in ("mse", "l1", "huber", "smooth l1", "straight l1"):
        forward, backward = both(name)
        assert forward(x, x) == 0
        assert_exact(backward(x, x), np.zeros(20))
