"""A call that raises has changed nothing: parameters, gradients, optimizers, modes, results."""

import copy
import inspect
import math
from itertools import product

import numpy as np
import pytest

from fastconv import functional as F
from fastconv import layers
from fastconv.layers import Parameter
from fastconv.layers.base import add_gradients
from fastconv.training import SGD, Adam
from fastconv.training.checkpoint import generator_states, restore_generators
from tests._cases import normal
from tests._state import state_of

REFUSALS = (TypeError, ValueError)


# Optimizers.

OPTIMIZERS = {
    "SGD": lambda params: SGD(params, 0.1, momentum=0.9),
    "Adam": lambda params: Adam(params, 0.1),
}


def parameters():
    """Return parameters of both dtypes, since each is updated by itself; one is strided."""
    shapes = (3, 4), (2, 6), (5,), (3, 4)
    params = [
        Parameter(np.arange(math.prod(shape), dtype=dtype).reshape(shape), "weight")
        for shape, dtype in zip(shapes, ("f4", "f8", "f4", "f8"), strict=True)
    ]
    params[3].data = np.asfortranarray(params[3].data)
    for param in params:
        param.add_grad(np.ones_like(param.data))
    return params


def read_only(array):
    array = array.copy("K")
    array.flags.writeable = False
    return array


SPOILED = {
    "gradient of another dtype": ("grad", lambda a: a.astype("f4" if a.dtype == "f8" else "f8")),
    "gradient of integers": ("grad", lambda a: a.astype("i4" if a.dtype == "f4" else "i8")),
    "gradient in another byte order": ("grad", lambda a: a.astype(a.dtype.newbyteorder())),
    "gradient of another length": ("grad", lambda a: a[1:]),
    "gradient of another shape": ("grad", lambda a: a.reshape(-1, 1)),
    "gradient that is a list": ("grad", lambda a: a.tolist()),
    "gradient that is masked": ("grad", np.ma.masked_array),
    "gradient that is a number": ("grad", lambda a: 1.0),
    "values that are read-only": ("data", read_only),
    "strided values that are read-only": ("data", lambda a: read_only(np.asfortranarray(a.T).T)),
    "values of another dtype": ("data", lambda a: a.astype(np.float16)),
    "values of integers": ("data", lambda a: a.astype("i4" if a.dtype == "f4" else "i8")),
    "values in another byte order": ("data", lambda a: a.astype(a.dtype.newbyteorder())),
    "values that are a list": ("data", lambda a: a.tolist()),
}


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("what", SPOILED)
@pytest.mark.parametrize("index", [1, 2, 3])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_that_raises_changes_nothing(name, index, what, steps):
    # SGD once left a momentum buffer behind that nobody had written, and Adam a step too many;
    # parameters of the other dtype had been updated.
    optimizer, twin = OPTIMIZERS[name](parameters()), OPTIMIZERS[name](parameters())
    for _ in range(steps):
        optimizer.step()
        twin.step()
    param = optimizer.params[index]
    attribute, spoil = SPOILED[what]
    good = getattr(param, attribute)
    setattr(param, attribute, spoil(good))
    before = state_of(optimizer)
    with pytest.raises(REFUSALS, match=rf"params\[{index}\]"):
        optimizer.step()
    assert state_of(optimizer) == before
    setattr(param, attribute, good)
    optimizer.step()
    twin.step()
    assert state_of(optimizer) == state_of(twin)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_values_replaced_by_those_of_another_shape_do_not_fit_the_state(name):
    params = parameters()
    optimizer = OPTIMIZERS[name](params)
    optimizer.step()
    params[2].data, params[2].grad = np.zeros(7, np.float32), np.ones(7, np.float32)
    before = state_of(optimizer)
    with pytest.raises(ValueError, match=r"params\[2\]: its state has shape \(5,\)"):
        optimizer.step()
    assert state_of(optimizer) == before


SETTINGS = [("lr", value) for value in ("0.1", None, math.nan, math.inf, -0.1, True, 10**400)]
WRONG_SETTINGS = [
    *((name, *setting) for name, setting in product(OPTIMIZERS, SETTINGS)),
    ("SGD", "momentum", math.nan),
    ("SGD", "momentum", np.array([0.9])),
    ("SGD", "dampening", -1),
    ("SGD", "weight_decay", "1e-4"),
    ("SGD", "nesterov", "yes"),
    ("Adam", "beta1", 1.0),
    ("Adam", "beta2", -0.5),
    ("Adam", "eps", None),
    ("Adam", "weight_decay", math.nan),
]


@pytest.mark.parametrize(("name", "setting", "value"), WRONG_SETTINGS)
def test_a_setting_that_is_wrong_is_refused_before_the_step(name, setting, value):
    # They are plain attributes: a NaN once went into all parameters.
    optimizer = OPTIMIZERS[name](parameters())
    optimizer.step()
    setattr(optimizer, setting, value)
    before = state_of(optimizer)
    with pytest.raises(REFUSALS, match=f"{setting}: got "):
        optimizer.step()
    assert state_of(optimizer) == before


def test_nesterov_without_momentum_is_refused_at_every_step():
    optimizer = SGD(parameters(), 0.1, momentum=0.9, nesterov=True)
    optimizer.step()
    optimizer.momentum = 0.0
    before = state_of(optimizer)
    with pytest.raises(ValueError, match="nesterov: needs momentum > 0"):
        optimizer.step()
    assert state_of(optimizer) == before


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("SGD", {"lr": "0.1"}, "lr: got '0.1'"),
        ("SGD", {"lr": np.array(0.1)}, "lr: got array"),
        ("SGD", {"momentum": math.nan}, "momentum: got nan"),
        ("SGD", {"weight_decay": -1.0}, "weight_decay: got -1.0"),
        ("SGD", {"nesterov": []}, r"nesterov: got \[\], expected a bool"),
        ("SGD", {"nesterov": True, "momentum": 0.0}, "nesterov: needs momentum > 0"),
        ("Adam", {"beta2": 1.0}, "beta2: got 1.0"),
        ("Adam", {"eps": None}, "eps: got None"),
        ("Adam", {"3.steps": -1}, "3.steps must be at least 0, got -1"),
        ("Adam", {"3.steps": True}, "3.steps must be an integer, got bool"),
        ("Adam", {"3.steps": 1.5}, "3.steps must be an integer, got float"),
        ("Adam", {"3.steps": np.array(2)}, "3.steps must be an integer, got ndarray"),
        ("Adam", {"3.steps": 10**400}, "3.steps must be at most"),
        ("Adam", {"3.steps": 0}, "parameter 3 has .* before its first step"),
        ("Adam", {"3.exp_avg": None, "3.exp_avg_sq": None}, r"parameter 3 has \[\] after 1 steps"),
        ("Adam", {"3.exp_avg": np.zeros((4, 3))}, r"3.exp_avg has shape \(4, 3\)"),
        ("Adam", {"3.exp_avg": [0.0]}, "3.exp_avg must be a numpy.ndarray, got list"),
        ("Adam", {"3.exp_avg": np.ma.zeros((3, 4))}, "3.exp_avg must be a plain numpy.ndarray"),
        ("Adam", {4: 0}, r"unexpected entries \[4\]"),
    ],
)
def test_a_state_with_one_wrong_value_changes_nothing(name, change, text):
    # What came before the wrong value was once taken over, and some values were believed.
    giver, taker = OPTIMIZERS[name](parameters()), OPTIMIZERS[name](parameters())
    giver.step()
    taker.lr = 0.5
    state = {**giver.state_dict(), **change}
    state = {key: value for key, value in state.items() if value is not None or key == "eps"}
    before = state_of(taker)
    with pytest.raises(REFUSALS, match=text):
        taker.load_state_dict(state)
    assert state_of(taker) == before


@pytest.mark.parametrize("subject", [SGD(parameters(), 0.1), layers.Linear(2, 1)])
@pytest.mark.parametrize("state", [None, [("kind", "SGD")], "SGD"])
def test_a_state_is_a_mapping(subject, state):
    with pytest.raises(TypeError, match="mapping"):
        subject.load_state_dict(state)


# Layers.


def test_a_read_only_parameter_is_found_before_others_are_loaded():
    model = layers.Sequential(layers.Linear(3, 3, rng=0), layers.Linear(3, 3, rng=1))
    model[1].weight.data.flags.writeable = False
    before = state_of(model)
    state = {key: array + 1 for key, array in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"1\.weight: the layer's own array is read-only"):
        model.load_state_dict(state)
    assert state_of(model) == before


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "gradient",
    [np.ones(4), np.ones((1, 4)), np.ones((3, 1)), np.ones((3, 4), "f4"), np.ones((3, 4), int),
     1.0, [[1.0] * 4] * 3, np.ma.ones((3, 4)), np.ones((2, 3, 4))],
)  # fmt: skip
def test_a_gradient_that_does_not_fit_is_not_added(gradient, first):
    # A row was once added to all rows.
    param = Parameter(np.zeros((3, 4)))
    if not first:
        param.add_grad(np.ones((3, 4)))
    before = state_of(param)
    with pytest.raises(REFUSALS, match="gradient "):
        param.add_grad(gradient)
    assert state_of(param) == before


@pytest.mark.parametrize("grad", [np.zeros(2), np.zeros(3, "f4"), [0.0] * 3, read_only(np.ones(3))])
def test_gradients_are_added_to_all_parameters_or_to_none(grad):
    weight, bias = Parameter(np.zeros((3, 4))), Parameter(np.zeros(3))
    weight.grad, bias.grad = np.ones((3, 4)), grad
    before = state_of(weight, bias)
    with pytest.raises(REFUSALS, match="grad "):
        add_gradients((weight, bias), (np.ones((3, 4)), np.ones(3)))
    assert state_of(weight, bias) == before


LAYERS = {
    "Conv2d": lambda: layers.Conv2d(2, 3, 3, rng=0, dtype=np.float64),
    "Conv2d reflect": lambda: layers.Conv2d(
        2, 3, 3, padding=1, padding_mode="reflect", rng=0, dtype=np.float64
    ),
    "ConvTranspose2d": lambda: layers.ConvTranspose2d(2, 3, 3, rng=0, dtype=np.float64),
    "Linear": lambda: layers.Linear(6, 3, rng=0, dtype=np.float64),
    "Flatten": layers.Flatten,
    "Identity": layers.Identity,
    "Unflatten": lambda: layers.Unflatten(1, (2, 1)),
    "Add": lambda: layers.Add(layers.Tanh(), layers.Identity()),
    "Concat": lambda: layers.Concat(layers.Tanh(), layers.Identity()),
    "Graph": lambda: layers.Graph({"tanh": layers.Tanh(), "add": (layers.Add(), "tanh", "input")}),
    "MaxPool2d": lambda: layers.MaxPool2d(2),
    "AvgPool2d": lambda: layers.AvgPool2d(2),
    "ReLU": layers.ReLU,
    "LeakyReLU": layers.LeakyReLU,
    "Sigmoid": layers.Sigmoid,
    "Tanh": layers.Tanh,
    "Softmax": layers.Softmax,
    "LogSoftmax": layers.LogSoftmax,
    "Dropout": lambda: layers.Dropout(rng=0),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_refuses_a_residual_still_takes_the_right_one(name):
    # What forward had saved was once gone.
    layer, twin = LAYERS[name](), LAYERS[name]()
    x = np.random.default_rng(0).standard_normal((2, 2, 6, 6))
    residual = np.ones_like(layer(x))
    twin(x)
    before = state_of(layer)
    for wrong in (residual[1:], residual.astype(int), None, residual.tolist()):
        with pytest.raises(REFUSALS):
            layer.backward(wrong)
        assert state_of(layer) == before
    np.testing.assert_array_equal(layer.backward(residual), twin.backward(residual))
    assert state_of(layer) == state_of(twin)
    with pytest.raises(RuntimeError, match="needs a forward pass"):
        layer.backward(residual)


@pytest.mark.parametrize("kind", [layers.MSELoss, layers.HalfSquaredError, layers.CrossEntropyLoss])
def test_a_loss_that_refuses_a_gradient_still_takes_the_right_one(kind):
    loss = kind()
    target = np.array([1, 0]) if kind is layers.CrossEntropyLoss else np.ones((2, 3))
    loss(np.zeros((2, 3)), target)
    for wrong in ("1", None, np.ones(5)):
        with pytest.raises(REFUSALS, match="grad_output must be"):
            loss.backward(wrong)
    assert loss.backward().shape == (2, 3)
    with pytest.raises(RuntimeError, match="needs a call"):
        loss.backward()


def test_all_generators_are_restored_or_none():
    # The first was once put back when the second did not fit.
    model = layers.Sequential(layers.Dropout(rng=1), layers.Dropout(rng=2))
    states = generator_states(model.generators())
    model(np.ones(5))
    before = state_of(model)
    wrong = generator_states([np.random.Generator(np.random.MT19937(0))])[0]
    half = {"bit_generator": "PCG64", "state": {"state": 1}}
    huge = copy.deepcopy(states[1])
    huge["state"]["state"] = 2**200
    for second in (wrong, half, huge, {}, None, 3):
        with pytest.raises(ValueError, match="a saved state does not fit"):
            restore_generators(model.generators(), [states[0], second])
        assert state_of(model) == before
    restore_generators(model.generators(), states)
    assert generator_states(model.generators()) == states


class Failing(layers.Layer):
    """The identity, which draws a random number and fails in its n-th forward pass."""

    def __init__(self, fails_at):
        self.rng = np.random.default_rng(0)
        self.left = fails_at

    def _forward(self, x):
        self.rng.random()
        self.left -= 1
        if self.left == 0:
            raise ArithmeticError("failed")
        return x, None

    def _backward(self, saved, grad_output, input_grad):
        return grad_output


# The first pass is for the shapes, the second for the gradients; of 12 values of the input and 9
# parameters each needs two.
@pytest.mark.parametrize("fails_at", [1, 2, 3, 30, 44])
def test_a_failed_check_of_gradients_leaves_the_layer_as_it_was(fails_at):
    # A parameter once stayed off by eps, and all layers in training mode.
    model = layers.Sequential(
        layers.Linear(2, 3, dtype=np.float64, rng=0), layers.Tanh(), Failing(fails_at)
    )
    model.eval()
    model[1].train()
    before = state_of(model)
    with pytest.raises(ArithmeticError):
        layers.check_gradients(model, np.ones((6, 2)))
    assert state_of(model) == before


# Results.

X = np.random.default_rng(1).standard_normal((2, 4, 6, 6))
W, B = np.ones((6, 2, 3, 3)), np.ones(6)
POOLED, PLACES = F.max_pool2d(X, 2, return_indices=True)
ROWS, MATRIX, CLASSES = np.ones((3, 4)), np.ones((5, 4)), np.array([0, 3, 1])


def convolutions(name, weight, options):
    """Return a good call of a convolution and its gradients, over maps of size 4."""
    x = np.ones((2, 4, *(4 for _ in weight.shape[2:])))
    residual = getattr(F, name)(x, weight, B, *options)
    return {
        name: (x, weight, B, *options),
        f"{name}_input": (x.shape, weight, residual, *options),
        f"{name}_weight": (x, weight.shape, residual, *options),
        f"{name}_bias": (residual,),
        f"{name}_backward": (x, weight, residual, *options),
    }


def poolings():
    """Return a good call of each pooling."""
    calls = {}
    for axes in (1, 2, 3):
        x = normal((2, 4, *(4, 6, 6)[-axes:]))
        y, places = getattr(F, f"max_pool{axes}d")(x, 2, return_indices=True)
        samples = np.full((2, 4, axes), 0.5)
        forward = {
            "max_pool": (x, 2, 2, 0, 1, False, False),
            "avg_pool": (x, 2, 2, 0, False, True, None),
            "adaptive_avg_pool": (x, 2),
            "adaptive_max_pool": (x, 2),
            "lp_pool": (x, 2, 2, 2, False),
            "max_unpool": (y, places, 2, 2, 0, x.shape),
        }
        backward = {
            "max_pool": (y, places, x.shape),
            "avg_pool": (y, x.shape, 2, 2, 0, False, True, None),
            "adaptive_avg_pool": (y, x.shape),
            "adaptive_max_pool": (y, places, x.shape),
            "lp_pool": (y, x, y, 2, 2, 2, False),
            "max_unpool": (x, places),
        }
        if axes > 1:
            forward["fractional_max_pool"] = (x, 2, 2, None, False, samples)
            backward["fractional_max_pool"] = (y, places, x.shape)
        calls |= {f"{name}{axes}d": call for name, call in forward.items()}
        calls |= {f"{name}{axes}d_backward": call for name, call in backward.items()}
    return calls


POOLINGS = poolings()
CHANNEL, SAVED = np.ones(4), np.ones((2, 4))

# A good call of each function that takes `out`.
CALLS = {
    "batch_norm": (X, CHANNEL, CHANNEL, CHANNEL, CHANNEL, False, 0.1, 1e-5),
    "batch_norm_backward": (X, X, SAVED, CHANNEL, True),
    "batch_norm_relu": (X, CHANNEL, CHANNEL, CHANNEL, CHANNEL, False, 0.1, 1e-5),
    "batch_norm_relu_backward": (X, X, SAVED, CHANNEL, CHANNEL, True),
    "batch_norm_relu_output": (X, SAVED, CHANNEL, CHANNEL),
    "group_norm": (X, 2, CHANNEL, CHANNEL, 1e-5),
    "group_norm_backward": (X, X, 2, np.ones((2, 2, 2)), CHANNEL),
    "instance_norm": (X, CHANNEL, CHANNEL, CHANNEL, CHANNEL, True, 0.1, 1e-5),
    "instance_norm_backward": (X, X, np.ones((2, 2, 4)), CHANNEL, True),
    "layer_norm": (X, X.shape[3:], np.ones(X.shape[3]), np.ones(X.shape[3]), 1e-5),
    "layer_norm_backward": (X, X, X.shape[3:], np.ones((2, *X.shape[:3])), np.ones(X.shape[3])),
    "local_response_norm": (X, 3, 0.1, 0.75, 1.0),
    "local_response_norm_backward": (X, X, 3, 0.1, 0.75, 1.0),
    **convolutions("conv1d", W[..., 0], (1, 0, 1, 2)),
    **convolutions("conv2d", W, (1, 0, 1, 2)),
    **convolutions("conv3d", W[..., None], (1, 0, 1, 2)),
    **convolutions("conv_transpose1d", np.ones((4, 3, 3)), (2, 1, 1, 2, 1)),
    **convolutions("conv_transpose2d", np.ones((4, 3, 3, 2)), (2, 1, 1, 2, 1)),
    **convolutions("conv_transpose3d", np.ones((4, 3, 3, 2, 1)), (2, 0, 1, 2, 1)),
    "unfold": (X, 2, 1, 0, 1),
    "fold": (F.unfold(X, 2), (6, 6), 2, 1, 0, 1),
    "pad": (X, (1, 1), "reflect", 0.0),
    "pad_backward": (F.pad(X, (1, 1)), X.shape, (1, 1), "reflect"),
    "add": (X, X),
    "conv2": (ROWS, np.ones((2, 2)), "same"),
    "correlate2": (ROWS, np.ones((2, 2)), "valid"),
    "rot180": (X,),
    "concatenate": ((X, X), 1),
    "linear": (ROWS, MATRIX, np.ones(5)),
    "linear_backward": (np.ones((3, 5)), ROWS, MATRIX),
    "relu": (X,),
    "relu_backward": (X, X),
    "leaky_relu": (X, 0.1),
    "leaky_relu_backward": (X, X, 0.1),
    "sigmoid": (X,),
    "sigmoid_backward": (X, X),
    "tanh": (X,),
    "tanh_backward": (X, X),
    "relu6": (X,),
    "relu6_backward": (X, X),
    "hardtanh": (X, -1.0, 1.0),
    "hardtanh_backward": (X, X, -1.0, 1.0),
    "hardsigmoid": (X,),
    "hardsigmoid_backward": (X, X),
    "hardswish": (X,),
    "hardswish_backward": (X, X),
    "softsign": (X,),
    "softsign_backward": (X, X),
    "elu": (X, 1.0),
    "elu_backward": (X, X, 1.0),
    "selu": (X,),
    "selu_backward": (X, X),
    "celu": (X, 1.0),
    "celu_backward": (X, X, 1.0),
    "silu": (X,),
    "silu_backward": (X, X),
    "mish": (X,),
    "mish_backward": (X, X),
    "logsigmoid": (X,),
    "logsigmoid_backward": (X, X),
    "softplus": (X, 1.0, 20.0),
    "softplus_backward": (X, X, 1.0, 20.0),
    "gelu": (X, "none"),
    "gelu_backward": (X, X, "none"),
    "prelu": (X, np.ones(X.shape[1])),
    "prelu_backward": (X, X, np.ones(X.shape[1])),
    "dropout1d": (X[0], 0.5, True),
    "dropout1d_backward": (X[0], X[0, :, :, :1] > 0, 0.5),
    "dropout2d": (X, 0.5, True),
    "dropout2d_backward": (X, X[:, :, :1, :1] > 0, 0.5),
    "dropout3d": (X[None], 0.5, True),
    "dropout3d_backward": (X[None], X[None, :, :1, :1, :1] > 0, 0.5),
    "alpha_dropout": (X, 0.5, True),
    "alpha_dropout_backward": (X, X > 0, 0.5),
    "interpolate": (X, 5, None, "bilinear", False, None),
    "interpolate_backward": (F.interpolate(X, 5), X.shape, 5, None, "nearest", None, None),
    "pixel_shuffle": (np.ones((1, 4, 2, 2)), 2),
    "pixel_unshuffle": (X, 2),
    "softmax": (X, 1),
    "softmax_backward": (X, X, 1),
    "log_softmax": (X, 1),
    "log_softmax_backward": (X, X, 1),
    "dropout": (X, 0.5, True),
    "dropout_backward": (X, X > 0, 0.5),
    "cross_entropy_backward": (ROWS, CLASSES),
    "nll_loss_backward": (ROWS, CLASSES),
    "binary_cross_entropy_backward": (np.full((3, 4), 0.5), np.ones((3, 4))),
    "binary_cross_entropy_with_logits_backward": (ROWS, ROWS),
    "huber_loss_backward": (ROWS, ROWS),
    "kl_div_backward": (ROWS, ROWS),
    "l1_loss_backward": (ROWS, ROWS),
    "smooth_l1_loss_backward": (ROWS, ROWS),
    "mse_loss_backward": (ROWS, ROWS),
    "half_squared_error_backward": (ROWS, ROWS),
    **POOLINGS,
}


def test_every_function_with_out_has_a_call():
    functions = [getattr(F, name) for name in F.__all__ if inspect.isfunction(getattr(F, name))]
    takes = [f.__name__ for f in functions if "out" in inspect.signature(f).parameters]
    assert sorted(takes) == sorted(CALLS)


def variants(value):
    """Yield what may be wrong in place of a value; its last entry is wrong where it has entries."""
    yield from (None, "no", -1, 1000, math.nan, [1.0], np.zeros(3), X[:1], X.astype("f4"))
    if isinstance(value, np.ndarray):
        for wrong in (-1, 1000):
            changed = value.copy()
            changed.flat[-1] = wrong
            yield changed
        yield value.astype(np.float16)
        yield value[..., :-1]
        yield np.ma.masked_array(value)
    if isinstance(value, tuple):
        yield (*value[:-1], -1)
        yield (*value, 1)


@pytest.mark.parametrize("name", CALLS)
def test_a_refused_call_leaves_out_as_it_was(name):
    # The gradient of max pooling once wrote up to the first index that was wrong.
    function, good = getattr(F, name), CALLS[name]
    result = function(*good)
    # All gradients have arrays of their own; of maxima and their places, the first.
    several = isinstance(result, tuple) and name.endswith("_backward")
    results = result if several else result[:1] if isinstance(result, tuple) else (result,)
    refused = 0
    for position, value in enumerate(good):
        for wrong in variants(value):
            outs = tuple(None if r is None else np.full_like(r, 7) for r in results)
            try:
                with np.errstate(all="ignore"):
                    out = outs if several else outs[0]
                    function(*good[:position], wrong, *good[position + 1 :], out=out)
            except REFUSALS:
                refused += 1
                for out in outs:
                    assert out is None or (out == 7).all(), f"argument {position}: {wrong!r}"
    assert refused > 5
