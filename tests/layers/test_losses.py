"""The loss objects: against torch.nn, by central differences, and their rules."""

import inspect

import numpy as np
import pytest

from fastconv import functional as F
from fastconv import layers, reference
from tests._cases import torch_or_skip

REDUCTIONS = ["mean", "sum", "none"]
LOSSES = {
    "BCELoss": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "CrossEntropyLoss": "cross_entropy",
    "HalfSquaredError": "half_squared_error",
    "HuberLoss": "huber_loss",
    "KLDivLoss": "kl_div",
    "L1Loss": "l1_loss",
    "MSELoss": "mse_loss",
    "NLLLoss": "nll_loss",
    "SmoothL1Loss": "smooth_l1_loss",
}
# Options other than the defaults, for targets of `arguments`.
OPTIONS = {
    "BCELoss": {"weight": np.linspace(0, 2, 5)},
    "BCEWithLogitsLoss": {"weight": np.linspace(0, 2, 5), "pos_weight": np.linspace(1, 3, 5)},
    "CrossEntropyLoss": {
        "weight": np.linspace(0.5, 2, 5), "ignore_index": 1, "label_smoothing": 0.2
    },
    "HuberLoss": {"delta": 0.5},
    "KLDivLoss": {"reduction": "batchmean"},
    "NLLLoss": {"weight": np.linspace(0.5, 2, 5), "ignore_index": 1},
    "SmoothL1Loss": {"beta": 0.5},
}  # fmt: skip
SHAPES = [(6, 5), (3, 4, 7), (2, 3, 4, 5), (2, 3, 2, 2, 3), (5,), (1, 1)]
CASES = [(name, shape) for name in LOSSES for shape in SHAPES]


def arguments(name, shape, dtype=np.float64):
    """Return scores and what they should be."""
    rng = np.random.default_rng(1)
    x = 3 * rng.standard_normal(shape).astype(dtype)
    if name in ("CrossEntropyLoss", "NLLLoss"):
        axis = min(len(shape) - 1, 1)
        spatial = shape[:axis] + shape[axis + 1 :]
        return x, np.asarray(rng.integers(0, shape[axis], spatial))
    if name not in ("BCELoss", "BCEWithLogitsLoss", "KLDivLoss"):
        return x, rng.standard_normal(shape).astype(dtype)
    if name == "BCELoss":
        x = (0.2 + 0.6 * rng.random(shape)).astype(dtype)
    return x, rng.random(shape).astype(dtype)


# Of the mean of a divergence: it says that it may change its meaning.
@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("name", "shape"), [case for case in CASES if case[0] != "HalfSquaredError"]
)
def test_losses_agree_with_torch(name, shape, reduction):
    torch = torch_or_skip("losses and their gradients")
    x, target = arguments(name, shape)
    tensor = torch.tensor(x, requires_grad=True)
    expected = getattr(torch.nn, name)(reduction=reduction)(tensor, torch.tensor(target))
    loss = getattr(layers, name)(reduction=reduction)
    found = loss(x, target)
    np.testing.assert_allclose(found, expected.detach(), rtol=1e-12)
    assert np.shape(found) == tuple(expected.shape)
    scale = np.random.default_rng(2).standard_normal(np.shape(found))
    expected.backward(torch.tensor(scale))
    np.testing.assert_allclose(loss.backward(scale), tensor.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_half_squared_error_is_half_the_squared_distance(shape, reduction):
    x, target = arguments("HalfSquaredError", shape)
    loss = layers.HalfSquaredError(reduction=reduction)
    each = [0.5 * np.sum((y - d) ** 2) for y, d in zip(x, target, strict=True)]
    expected = {"mean": np.mean(each), "sum": np.sum(each), "none": each}[reduction]
    np.testing.assert_allclose(loss(x, target), expected, rtol=1e-12)
    share = len(x) if reduction == "mean" else 1
    np.testing.assert_allclose(loss.backward(), (x - target) / share, rtol=1e-12)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "shape"), [case for case in CASES if len(case[1]) > 1])
def test_losses_equal_the_reference(name, shape, reduction):
    x, target = arguments(name, shape)
    loss = getattr(layers, name)(reduction=reduction)
    options = {"reduction": reduction}
    expected = getattr(reference, LOSSES[name])(x, target, **options)
    np.testing.assert_allclose(loss(x, target), expected, rtol=1e-12)
    expected = getattr(reference, LOSSES[name] + "_backward")(x, target, **options)
    np.testing.assert_allclose(loss.backward(), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_gradients_are_those_of_central_differences(name, shape, reduction):
    x, target = arguments(name, shape)
    loss = getattr(layers, name)(reduction=reduction)
    scale = np.random.default_rng(2).standard_normal(np.shape(loss(x, target)))
    gradient = loss.backward(scale)
    assert gradient.shape == x.shape
    for place in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[place] += 1e-5
        below[place] -= 1e-5
        slope = np.sum(scale * (loss(above, target) - loss(below, target))) / 2e-5
        assert gradient[place] == pytest.approx(slope, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LOSSES)
def test_the_dtype_is_kept(name, dtype):
    x, target = arguments(name, (6, 5), dtype)
    for reduction in REDUCTIONS:
        loss = getattr(layers, name)(reduction=reduction)
        assert loss(x, target).dtype == dtype
        assert loss.backward().dtype == dtype


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_a_number_that_json_and_print_know(name):
    x, target = arguments(name, (6, 5))
    found = getattr(layers, name)()(x, target)
    assert isinstance(found, float)
    assert found == getattr(layers, name)().forward(x, target)
    assert found == getattr(F, LOSSES[name])(x, target)


@pytest.mark.parametrize("name", LOSSES)
def test_one_backward_for_each_call(name):
    loss = getattr(layers, name)()
    message = f"{name}.backward needs a call"
    with pytest.raises(RuntimeError, match=message):
        loss.backward()
    x, target = arguments(name, (6, 5))
    loss(x, target)
    first = loss.backward()
    with pytest.raises(RuntimeError, match=message):
        loss.backward()
    loss(x, target)
    second = loss.backward(2.0)
    np.testing.assert_allclose(second, 2 * first, rtol=1e-15)
    assert not np.shares_memory(first, second)


@pytest.mark.parametrize("name", LOSSES)
def test_the_last_call_counts(name):
    loss = getattr(layers, name)()
    x, target = arguments(name, (6, 5))
    loss(x, target)
    expected = loss.backward()
    loss(x / 2, target)
    loss(x[::-1].copy(), target)
    loss(x, target)
    np.testing.assert_array_equal(loss.backward(), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_arguments_stay_as_they_are(name):
    x, target = arguments(name, (6, 5))
    kept = x.copy(), target.copy()
    loss = getattr(layers, name)()
    loss(x, target)
    gradient = loss.backward()
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(target, kept[1])
    assert not np.shares_memory(gradient, x)


@pytest.mark.parametrize("name", LOSSES)
def test_reductions_are_checked_and_shown(name):
    loss = getattr(layers, name)
    assert repr(loss()) == f"{name}(reduction='mean')"
    assert repr(loss(reduction="none")) == f"{name}(reduction='none')"
    with pytest.raises(ValueError, match=r"reduction must be one of 'mean', .*, got 'max'"):
        loss(reduction="max")
    # torch has other arguments before it.
    with pytest.raises(TypeError, match="positional"):
        loss("sum")


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"HalfSquaredError"}))
def test_torch_knows_the_arguments_by_the_same_names(name):
    nn = torch_or_skip("names of the losses' arguments").nn
    theirs = inspect.signature(getattr(nn, name)).parameters
    for parameter in inspect.signature(getattr(layers, name)).parameters.values():
        assert theirs[parameter.name].default == parameter.default


@pytest.mark.parametrize("name", OPTIONS)
def test_options_are_those_of_torch(name):
    torch = torch_or_skip("options of the losses")
    x, target = arguments(name, (6, 5))
    options = OPTIONS[name]
    theirs = {
        key: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for key, value in options.items()
    }
    tensor = torch.tensor(x, requires_grad=True)
    expected = getattr(torch.nn, name)(**theirs)(tensor, torch.tensor(target))
    expected.backward()
    loss = getattr(layers, name)(**options)
    assert loss(x, target) == pytest.approx(expected.item(), rel=1e-12)
    # The options of the call count, not those of later.
    for key in options:
        setattr(loss, key, None)
    np.testing.assert_allclose(loss.backward(), tensor.grad, rtol=1e-12, atol=1e-14)


def test_options_are_shown():
    loss = layers.CrossEntropyLoss(weight=np.ones(3), label_smoothing=0.1)
    expected = "CrossEntropyLoss(weight=<(3,) float64>, label_smoothing=0.1, reduction='mean')"
    assert repr(loss) == expected
    assert repr(layers.HuberLoss(delta=2.0)) == "HuberLoss(delta=2.0, reduction='mean')"


@pytest.mark.parametrize(
    ("name", "x", "target", "error", "message"),
    [
        ("CrossEntropyLoss", np.zeros((2, 3)), np.array([0, 3]), ValueError, "0 to C - 1 = 2"),
        ("CrossEntropyLoss", np.zeros((2, 3)), np.array([-1, 0]), ValueError, "0 to C - 1"),
        ("CrossEntropyLoss", np.zeros((2, 3)), np.zeros((2, 3), bool), TypeError, "integer"),
        ("CrossEntropyLoss", np.zeros((2, 3)), np.zeros((2, 2)), ValueError, "shape"),
        ("NLLLoss", np.zeros((2, 3)), np.zeros((2, 3)), TypeError, "integer dtype"),
        ("CrossEntropyLoss", np.zeros((2, 3)), [0, 1], TypeError, "numpy.ndarray"),
        ("CrossEntropyLoss", np.zeros((2, 3, 4)), np.zeros((2, 3), int), ValueError, "shape"),
        ("MSELoss", np.zeros((2, 3)), np.zeros((2, 1)), ValueError, "shape"),
        ("MSELoss", np.zeros(2), np.zeros(2, np.float32), TypeError, "dtype"),
        ("HalfSquaredError", np.zeros((2, 3)), np.zeros(3), ValueError, "shape"),
        ("HalfSquaredError", np.zeros(()), np.zeros(()), ValueError, "0-D"),
    ],
)
def test_wrong_calls_are_refused_and_save_nothing(name, x, target, error, message):
    loss = getattr(layers, name)()
    with pytest.raises(error, match=message):
        loss(x, target)
    with pytest.raises(RuntimeError, match="needs a call"):
        loss.backward()


@pytest.mark.parametrize("name", LOSSES)
def test_a_residual_that_does_not_fit_is_refused(name):
    x, target = arguments(name, (6, 5))
    loss = getattr(layers, name)()
    loss(x, target)
    with pytest.raises(ValueError, match="reduction='mean'"):
        loss.backward(np.ones(6))
    loss = getattr(layers, name)(reduction="none")
    shape = np.shape(loss(x, target))
    with pytest.raises(ValueError, match="reduction='none'"):
        loss.backward(np.ones((*shape, 2)))


def test_the_gradient_goes_back_through_a_net():
    # softmax and cross-entropy by hand: the residual of the scores is softmax(x) - one-hot.
    net = layers.Sequential(layers.Flatten(), layers.Linear(8, 3, dtype=np.float64, rng=0))
    loss = layers.CrossEntropyLoss()
    x, target = np.random.default_rng(3).standard_normal((4, 2, 2, 2)), np.array([0, 2, 1, 1])
    scores = net(x)
    loss(scores, target)
    net.backward(loss.backward(), input_grad=False)
    residual = (F.softmax(scores) - np.eye(3)[target]) / 4
    weight, bias = net.parameters()
    np.testing.assert_allclose(weight.grad, residual.T @ x.reshape(4, 8), rtol=1e-12)
    np.testing.assert_allclose(bias.grad, residual.sum(axis=0), rtol=1e-12, atol=1e-16)
