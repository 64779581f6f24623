"""Cross-entropy and negative log-likelihood with all their options: reference, torch, extremes."""

from itertools import product

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from tests._cases import DTYPES, assert_exact, normal, run_python, torch_or_skip

REDUCTIONS = ("mean", "sum", "none")
# Classes about a vector, about what is added one by one, and about a piece; places about a vector
# and a block.
SHAPES = [
    (4, 5), (3, 31), (3, 32), (2, 33), (3, 1000), (2, 1023), (2, 1025), (1, 2080), (7,), (40,),
    (2, 3, 4), (2, 5, 1, 1), (2, 21, 8, 9), (1, 3, 300), (2, 70, 17), (1, 1500, 3), (2, 4, 2, 3, 3),
    (2, 6, 17, 16),
]  # fmt: skip


def problem(shape, kind, dtype=np.float64):
    rng = np.random.default_rng([3, *shape])
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    axis = min(len(shape) - 1, 1)
    if kind == "classes":
        return x, np.asarray(rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :]))
    p = rng.random(shape)
    return x, (p / p.sum(axis, keepdims=True)).astype(dtype)


def options_of(shape, kind, dtype=np.float64):
    """Yield all combinations of options."""
    axis = min(len(shape) - 1, 1)
    weight = np.random.default_rng(5).random(shape[axis]).astype(dtype)
    ignored = (-100, 1) if kind == "classes" else (-100,)
    for w, index, smoothing in product((None, weight), ignored, (0.0, 0.1, 1.0)):
        yield {"weight": w, "ignore_index": index, "label_smoothing": smoothing}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["classes", "probabilities"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cross_entropy_is_near_the_reference(shape, kind, dtype):
    x, target = problem(shape, kind, dtype)
    eps = np.finfo(dtype).eps
    for options, reduction in product(options_of(shape, kind, dtype), REDUCTIONS):
        expected = reference.cross_entropy(x, target, **options, reduction=reduction)
        found = F.cross_entropy(x, target, **options, reduction=reduction)
        # Pieces of at most 256 numbers in a lane, of no more than 30 each.
        size = 1 if reduction != "sum" else x.size
        np.testing.assert_allclose(found, expected, rtol=64 * eps, atol=64 * eps * size)
        assert np.asarray(found).dtype == dtype
        residual = normal(np.shape(expected), dtype, 2)
        gradients = [
            module.cross_entropy_backward(
                x, target, **options, reduction=reduction, grad_output=np.asarray(residual)
            )
            for module in (F, reference)
        ]
        # The reference adds the exponentials one by one, in double precision.
        rounding = x.shape[min(x.ndim - 1, 1)] * np.finfo(np.float64).eps
        np.testing.assert_allclose(*gradients, rtol=64 * eps + rounding, atol=16 * eps)
        assert gradients[0].dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["classes", "probabilities"])
@pytest.mark.parametrize("shape", [(4, 5), (3, 40), (2, 3, 4, 5), (6,)], ids=str)
def test_options_agree_with_torch(shape, kind, dtype):
    torch = torch_or_skip("cross-entropy's options")
    x, target = problem(shape, kind, dtype)
    eps = np.finfo(dtype).eps
    for options, reduction in product(options_of(shape, kind, dtype), REDUCTIONS):
        weight = options["weight"]
        theirs = torch.from_numpy(x).requires_grad_()
        loss = torch.nn.functional.cross_entropy(
            theirs,
            torch.from_numpy(target),
            **{**options, "weight": None if weight is None else torch.from_numpy(weight)},
            reduction=reduction,
        )
        residual = np.asarray(normal(tuple(loss.shape), dtype, 2))
        loss.backward(torch.from_numpy(residual))
        ours = F.cross_entropy(x, target, **options, reduction=reduction)
        np.testing.assert_allclose(ours, loss.detach(), rtol=64 * eps, atol=64 * eps)
        gradient = F.cross_entropy_backward(
            x, target, **options, reduction=reduction, grad_output=residual
        )
        np.testing.assert_allclose(gradient, theirs.grad, rtol=64 * eps, atol=16 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_nll_equals_the_reference(shape, dtype):
    x, target = problem(shape, "classes", dtype)
    for each, reduction in product(options_of(shape, "classes", dtype), REDUCTIONS):
        options = {"weight": each["weight"], "ignore_index": each["ignore_index"]}
        options["reduction"] = reduction
        expected = reference.nll_loss(x, target, **options)
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(F.nll_loss(x, target, **options), expected, rtol=32 * eps)
        options["grad_output"] = normal(expected.shape, dtype, 2) if expected.shape else 1.5
        expected = reference.nll_loss_backward(x, target, **options)
        found = F.nll_loss_backward(x, target, **options)
        # The weights' sum, which divides a mean, is taken one by one.
        rounding = target.size * np.finfo(np.float64).eps
        np.testing.assert_allclose(found, expected, rtol=4 * eps + rounding)


def test_nll_of_log_softmax_is_cross_entropy():
    x, target = problem((5, 9), "classes")
    options = {"weight": np.arange(1.0, 10), "ignore_index": int(target[0])}
    expected = F.cross_entropy(x, target, **options)
    np.testing.assert_allclose(F.nll_loss(F.log_softmax(x, 1), target, **options), expected)


@pytest.mark.parametrize("shape", [(4, 6), (3, 6, 5)], ids=str)
@pytest.mark.parametrize("loss", ["cross_entropy", "nll_loss"])
def test_what_is_ignored_counts_for_nothing(loss, shape):
    """Not even where it holds a NaN; when all is ignored, the mean is NaN and the gradient 0."""
    x, target = problem(shape, "classes")
    forward, backward = getattr(F, loss), getattr(F, f"{loss}_backward")
    target[0] = 255
    kept = forward(x[1:], target[1:]), backward(x[1:], target[1:])
    x[0] = np.nan
    np.testing.assert_allclose(forward(x, target, ignore_index=255), kept[0], rtol=1e-14)
    found = backward(x, target, ignore_index=255)
    np.testing.assert_allclose(found[1:], kept[1], rtol=1e-14)
    if loss == "nll_loss" or len(shape) == 2:
        assert_exact(found[0], np.zeros(shape[1:]))
    target[...] = 255
    x[0] = 1
    assert np.isnan(forward(x, target, ignore_index=255))
    assert forward(x, target, ignore_index=255, reduction="sum") == 0
    assert_exact(backward(x, target, ignore_index=255) + 0.0, np.zeros(shape))


@pytest.mark.parametrize("index", [-1, 2, 255, -(2**63)])
def test_any_number_can_be_ignored(index):
    x, target = problem((6, 5), "classes")
    target[::2] = index
    kept = target != index
    loss = F.cross_entropy(x, target, ignore_index=index)
    assert loss == F.cross_entropy(x[kept], target[kept])
    with pytest.raises(ValueError, match="target must hold classes"):
        F.cross_entropy(x, np.array([7, *target[1:]]), ignore_index=index)


def test_a_class_beyond_all_integers_is_not_ignored():
    target = np.array([0, 2**64 - 1], np.uint64)
    with pytest.raises(ValueError, match="target must hold classes"):
        F.cross_entropy(normal((2, 3)), target, ignore_index=-1)


def test_a_class_is_the_certain_probability():
    x, target = problem((4, 6), "classes")
    certain = np.eye(6)[target]
    for options in ({}, {"label_smoothing": 0.3}, {"weight": np.arange(1.0, 7)}):
        each = {**options, "reduction": "none"}
        expected = F.cross_entropy(x, target, **each)
        np.testing.assert_allclose(F.cross_entropy(x, certain, **each), expected, rtol=1e-14)
        np.testing.assert_allclose(
            F.cross_entropy_backward(x, certain, **each),
            F.cross_entropy_backward(x, target, **each),
            rtol=1e-13,
            atol=1e-16,
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 5), (2, 1000)], ids=str)
def test_extreme_scores(shape, dtype):
    x = np.full(shape, -1e30, dtype)
    x[:, 1] = 1e30
    target = np.zeros(shape[:1] + shape[2:], np.intp)
    big = dtype(1e30) - dtype(-1e30)
    losses = F.cross_entropy(x, target, reduction="none")
    assert_exact(losses, np.full(target.shape, big))
    assert_exact(F.cross_entropy(x, target + 1, reduction="none"), np.zeros(target.shape, dtype))
    gradient = np.zeros(shape, dtype)
    gradient[:, 0], gradient[:, 1] = -1, 1
    assert_exact(F.cross_entropy_backward(x, target, reduction="sum"), gradient)
    # A class that is switched off.
    x[:, 2] = -np.inf
    assert_exact(F.cross_entropy(x, target, reduction="none"), losses)
    assert_exact(F.cross_entropy_backward(x, target, reduction="sum"), gradient)


@pytest.mark.parametrize("shape", [(2, 40), (2, 4, 40)], ids=str)
@pytest.mark.parametrize("kind", ["classes", "probabilities"])
def test_a_nan_spoils_its_own_place_alone(shape, kind):
    for place in range(shape[1]):
        x, target = problem(shape, kind)
        x[(1, place, *[3] * (len(shape) - 2))] = np.nan
        spoilt = np.isnan(F.cross_entropy(x, target, reduction="none"))
        assert spoilt.sum() == 1
        assert spoilt[(1, *[3] * (len(shape) - 2))]
        gradient = np.isnan(F.cross_entropy_backward(x, target))
        np.testing.assert_array_equal(gradient.sum(axis=1), shape[1] * spoilt)


@pytest.mark.parametrize("kind", ["classes", "probabilities"])
@pytest.mark.parametrize("shape", [(3, 40), (300, 10), (2, 21, 40, 40)], ids=str)
def test_any_number_of_threads_gives_the_same_bits(shape, kind):
    x, target = problem(shape, kind, np.float32)
    options = {"weight": np.linspace(0, 1, shape[1], dtype=np.float32), "label_smoothing": 0.1}
    found = []
    for threads in (1, 2, 3, 8):
        with fastconv.num_threads(threads):
            losses = F.cross_entropy(x, target, **options, reduction="none")
            found.append((losses, F.cross_entropy_backward(x, target, **options)))
    for losses, gradient in found:
        np.testing.assert_array_equal(losses, found[0][0])
        np.testing.assert_array_equal(gradient, found[0][1])


def test_out_may_overlap_every_argument():
    x, target = problem((4, 4), "probabilities")
    expected = F.cross_entropy_backward(x, target, weight=target[0])
    for place in range(2):
        arrays = [x.copy(), target.copy()]
        weight = arrays[1][0]
        found = F.cross_entropy_backward(*arrays, weight=weight, out=arrays[place])
        assert found is arrays[place]
        np.testing.assert_array_equal(found, expected)


ALIKE = """
    import sys, pathlib
    import numpy as np
    sys.path.insert(0, sys.argv[1])
    from tests.functional import test_class_losses as t
    for dtype in t.DTYPES:
        for shape in ((3, 40), (2, 21, 8, 9), (5, 7)):
            for kind in ("classes", "probabilities"):
                t.test_cross_entropy_is_near_the_reference(shape, kind, dtype)
            t.test_nll_equals_the_reference(shape, dtype)
            t.test_extreme_scores(shape, dtype)
    print("near")
"""


@pytest.mark.parametrize("isa", ["avx2", "portable"])
def test_other_instruction_sets(isa):
    root = __file__.rsplit("/tests/", 1)[0]
    try:
        assert run_python(ALIKE, root, FASTCONV_ISA=isa) == "near"
    except AssertionError as error:
        if f"FASTCONV_ISA={isa}: this CPU" not in str(error):
            raise
        pytest.skip(f"skipped: instruction set {isa}: this CPU cannot run it")
