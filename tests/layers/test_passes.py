"""Forward and backward passes: gradients added up, modes, memory, in place, threads."""

import weakref
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastconv import functional as F
from fastconv import layers
from tests.layers._cases import CASES, normal


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_written_then_added(case):
    layer = case.build()
    assert all(p.grad is None for p in layer.parameters())

    def gradients(seed):
        residual = normal(layer(case.input).shape, seed)
        layer.backward(residual)
        return [p.grad.copy() for p in layer.parameters()]

    first = gradients(1)
    layer.zero_grad()
    assert all(p.grad is None for p in layer.parameters())
    second = gradients(2)
    both = gradients(1)
    for one, two, sum_ in zip(first, second, both, strict=True):
        assert np.abs(one).max() > 0
        np.testing.assert_array_equal(sum_, two + one)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_backward_for_each_forward(case):
    layer = case.build()
    message = f"{case.name}.backward needs a forward pass"
    residual = np.ones_like(layer(case.input))
    layer.backward(residual)
    with pytest.raises(RuntimeError, match=message):
        layer.backward(residual)
    layer(case.input)
    layer.eval()
    with pytest.raises(RuntimeError, match=message):
        layer.backward(residual)
    layer(case.input)
    layer.train()
    with pytest.raises(RuntimeError, match=message):
        layer.backward(residual)
    layer(case.input)
    assert layer.backward(residual) is not None


@pytest.mark.parametrize("case", CASES, ids=str)
def test_without_input_grad_only_parameters_get_gradients(case):
    layer = case.build()
    residual = normal(layer(case.input).shape, 2)
    layer.backward(residual)
    expected = [p.grad for p in layer.parameters()]
    layer.zero_grad()
    layer(case.input)
    assert layer.backward(residual, input_grad=False) is None
    for parameter, gradient in zip(layer.parameters(), expected, strict=True):
        np.testing.assert_array_equal(parameter.grad, gradient)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("input_grad", [True, False])
def test_gradients_that_nobody_wants_are_not_computed(monkeypatch, input_grad, bias):
    masks = []

    def spied(original):
        def spy(*args, output_mask, **more):
            masks.append(output_mask)
            return original(*args, output_mask=output_mask, **more)

        return spy

    for name in ("conv2d_backward", "linear_backward"):
        monkeypatch.setattr(F, name, spied(getattr(F, name)))
    for layer, shape in (
        (layers.Conv2d(1, 2, 3, bias=bias), (1, 1, 4, 4)),
        (layers.Linear(4, 2, bias=bias), (3, 4)),
    ):
        residual = np.ones_like(layer(np.zeros(shape, np.float32)))
        layer.backward(residual, input_grad=input_grad)
    assert masks == [(input_grad, True, bias)] * 2


def test_max_pooling_computes_indices_only_where_they_are_needed(monkeypatch):
    wanted, original = [], F.max_pool2d

    def spy(*args, return_indices):
        wanted.append(return_indices)
        return original(*args, return_indices=return_indices)

    monkeypatch.setattr(F, "max_pool2d", spy)
    layer = layers.MaxPool2d(2)
    for mode in (True, False):
        layer.train(mode)(np.zeros((1, 2, 2)))
    assert wanted == [True, False]


BY_MODE = ("Dropout", "BatchNorm")


@pytest.mark.parametrize(
    "case", [c for c in CASES if not any(word in c.name for word in BY_MODE)], ids=str
)
def test_the_output_is_the_same_in_both_modes(case):
    layer = case.build()
    trained = layer(case.input)
    np.testing.assert_array_equal(layer.eval()(case.input), trained)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_arrays_are_never_reused(case):
    layer = case.build()

    def step(seed):
        output = layer(normal(case.shape, seed))
        kept = output.copy()
        layer.zero_grad()
        gradient = layer.backward(normal(output.shape, seed))
        arrays = [output, gradient, *(p.grad for p in layer.parameters())]
        return arrays, [kept, *(array.copy() for array in arrays[1:])]

    first, copies = step(1)
    second, _ = step(2)
    for array, copy in zip(first, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
        assert not any(np.shares_memory(array, other) for other in second)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_evaluation_saves_nothing_and_backward_frees(case):
    layer = case.build()

    def forward():
        x = case.input
        output = layer(x)
        return weakref.ref(x), weakref.ref(output), output.shape

    input, output, shape = forward()
    layer.backward(np.ones(shape), input_grad=False)
    assert input() is None
    assert output() is None
    layer.eval()
    input, output, shape = forward()
    assert input() is None
    assert output() is None


IN_PLACE = ["ReLU", "LeakyReLU", "Dropout", "AlphaDropout", "ReLU6", "Hardtanh", "Hardsigmoid"]
IN_PLACE += ["Hardswish", "ELU", "SELU", "CELU", "SiLU", "Mish"]


@pytest.mark.parametrize("name", IN_PLACE)
def test_inplace_layers_write_over_their_input(name):
    more = {"rng": 5} if "Dropout" in name else {}
    plain, inplace = (getattr(layers, name)(inplace=choice, **more) for choice in (False, True))
    x, residual = normal((3, 4)), normal((3, 4), 1)
    kept = x.copy()
    expected = plain(kept)
    np.testing.assert_array_equal(x, kept)
    assert inplace(x) is x
    np.testing.assert_array_equal(x, expected)
    assert not np.array_equal(x, kept)
    np.testing.assert_array_equal(inplace.backward(residual), plain.backward(residual))
    read_only = kept.copy()
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        inplace(read_only)


def test_dropout_keeps_the_mean_and_is_the_identity_in_evaluation():
    layer = layers.Dropout(0.25, rng=1)
    x = np.ones((100, 1000))
    output = layer(x)
    assert set(np.unique(output)) == {0.0, 1 / 0.75}
    # The standard deviation of the fraction is sqrt(0.25 * 0.75 / 1e5) = 0.0014.
    assert abs((output == 0).mean() - 0.25) < 0.007
    np.testing.assert_array_equal(layer.backward(np.ones_like(x)), output)
    assert not np.array_equal(layer(x), output)
    np.testing.assert_array_equal(layers.Dropout(0.25, rng=1)(x), output)
    np.testing.assert_array_equal(layer.eval()(x), x)


def test_max_pooling_may_return_indices():
    x = normal((2, 3, 4, 4))
    layer = layers.MaxPool2d(2, return_indices=True)
    expected = F.max_pool2d(x, 2, return_indices=True)
    for mode in (False, True):
        for one, other in zip(layer.train(mode)(x), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    gradient = F.max_pool2d_backward(np.ones((2, 3, 2, 2)), expected[1], x.shape)
    np.testing.assert_array_equal(layer.backward(np.ones((2, 3, 2, 2))), gradient)


def small_net(**more):
    conv = layers.Conv2d(2, 4, 3, padding=1, padding_mode="reflect", rng=0, **more)
    return layers.Sequential(
        OrderedDict(
            features=layers.Sequential(conv, layers.ReLU(inplace=True), layers.MaxPool2d(2)),
            flat=layers.Flatten(),
            drop=layers.Dropout(0.5, rng=7),
            head=layers.Linear(16, 3, rng=1, **more),
        )
    )


def test_many_threads_may_call_in_evaluation():
    net = small_net(dtype=np.float64).eval()
    inputs = [normal((2, 2, 4, 4), seed) for seed in range(64)]
    expected = [net(x) for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(net, inputs * 4))
    for one, other in zip(found, expected * 4, strict=True):
        np.testing.assert_array_equal(one, other)
