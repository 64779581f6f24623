"""Pooling, activations and losses of the reference against finite differences and torch."""

from functools import partial
from itertools import product

import numpy as np
import pytest

from fastconv import reference
from tests._cases import torch_or_skip

DTYPES = [np.float32, np.float64]


def integers(rng, shape):
    return rng.integers(-9, 10, shape).astype(np.float64)


# Pooling.


def pool_inputs(size, dtype=np.float64):
    """Return maps with many ties, one with no tie, one of -inf and one with NaN."""
    rng = np.random.default_rng(11)
    ties = rng.integers(0, 3, size).astype(dtype)
    special = rng.integers(0, 3, size).astype(dtype)
    special[rng.random(size) < 0.3] = np.nan
    untied = rng.permutation(int(np.prod(size))).reshape(size).astype(dtype)
    return np.stack([ties, untied, np.full(size, -np.inf, dtype), special])


def torch_pool_sweep():
    for size, kernel, stride in product(range(1, 10), range(1, 5), range(1, 6)):
        for padding in range(kernel // 2 + 1):
            yield size, kernel, stride, padding


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_max_pooling_agrees_with_torch_on_every_small_size(ceil_mode, dilation):
    torch = torch_or_skip("max pooling over a sweep of sizes")
    compared = 0
    for size, kernel, stride, padding in torch_pool_sweep():
        a = pool_inputs((size, 7))
        options = (kernel, 2), (stride, 1), (padding, 0), (dilation, 1), ceil_mode
        try:
            expected = torch.nn.functional.max_pool2d_with_indices(torch.tensor(a), *options)
        except RuntimeError:
            with pytest.raises(ValueError, match="does not fit"):
                reference.max_pool2d(a, *options)
            continue
        if torch_looks_at_padding_only(size, kernel, stride, padding, dilation, expected):
            with pytest.raises(ValueError, match="nothing but padding"):
                reference.max_pool2d(a, *options)
            continue
        output, indices = reference.max_pool2d(a, *options, return_indices=True)
        np.testing.assert_array_equal(output, expected[0].numpy())
        unnumbered = np.isnan(output)  # torch reports the last NaN, we the first
        np.testing.assert_array_equal(indices[~unnumbered], expected[1].numpy()[~unnumbered])
        compared += 1
    assert compared > 150


def torch_looks_at_padding_only(size, kernel, stride, padding, dilation, pooled):
    windows = [
        range(i * stride - padding, i * stride - padding + kernel * dilation, dilation)
        for i in range(pooled[0].shape[-2])
    ]
    return not all(any(0 <= cell < size for cell in window) for window in windows)


@pytest.mark.parametrize("divisor", [None, 3])
@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_mean_pooling_agrees_with_torch_on_every_small_size(ceil_mode, count_include_pad, divisor):
    torch = torch_or_skip("mean pooling over a sweep of sizes")
    compared = 0
    for size, kernel, stride, padding in torch_pool_sweep():
        a = pool_inputs((size, 7))[:2]
        options = (kernel, 2), (stride, 3), (padding, 1), ceil_mode, count_include_pad, divisor
        tensor = torch.tensor(a, requires_grad=True)
        try:
            expected = torch.nn.functional.avg_pool2d(tensor, *options)
        except RuntimeError:
            with pytest.raises(ValueError, match="does not fit"):
                reference.avg_pool2d(a, *options)
            continue
        output = reference.avg_pool2d(a, *options)
        np.testing.assert_allclose(output, expected.detach().numpy(), rtol=1e-14)
        residual = integers(np.random.default_rng(12), output.shape)
        expected.backward(torch.tensor(residual))
        grad = reference.avg_pool2d_backward(residual, a.shape, *options)
        np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-13, atol=1e-13)
        compared += 1
    assert compared > 150


def test_max_pooling_over_other_numbers_of_axes_agrees_with_torch():
    torch = torch_or_skip("pooling over 1 and 3 axes")
    for size, kernel in [((9,), (3,)), ((4, 5, 6), (2, 3, 2))]:
        axes = len(size)
        a = pool_inputs(size)[np.newaxis, :2]
        tensor = torch.tensor(a, requires_grad=True)
        pool = getattr(torch.nn.functional, f"max_pool{axes}d")
        expected, places = pool(tensor, kernel, 2, 1, 1, True, return_indices=True)
        twin = partial(getattr, reference)
        output, indices = twin(f"max_pool{axes}d")(a, kernel, 2, 1, 1, True, True)
        np.testing.assert_array_equal(output, expected.detach().numpy())
        np.testing.assert_array_equal(indices, places.numpy())
        residual = integers(np.random.default_rng(13), output.shape)
        expected.backward(torch.tensor(residual))
        grad = twin(f"max_pool{axes}d_backward")(residual, indices, a.shape)
        np.testing.assert_array_equal(grad, tensor.grad.numpy())
        tensor.grad = None
        expected = getattr(torch.nn.functional, f"avg_pool{axes}d")(tensor, kernel, 2, 1, True)
        np.testing.assert_allclose(
            twin(f"avg_pool{axes}d")(a, kernel, 2, 1, True),
            expected.detach().numpy(),
            rtol=1e-14,
        )
        expected.backward(torch.tensor(residual))
        grad = twin(f"avg_pool{axes}d_backward")(residual, a.shape, kernel, 2, 1, True)
        np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-13, atol=1e-13)


def test_overlapping_windows_add_up_where_one_cell_wins_twice():
    a = np.array([[[0.0, 0, 0], [0, 5, 0], [0, 0, 0]]])
    output, indices = reference.max_pool2d(a, 2, 1, return_indices=True)
    assert indices.tolist() == [[[4, 4], [4, 4]]]
    grad = reference.max_pool2d_backward(np.array([[[1.0, 2], [3, 4]]]), indices, a.shape)
    assert grad.tolist() == [[[0, 0, 0], [0, 10, 0], [0, 0, 0]]]
    assert (output == 5).all()


def pooled_pair(values, **options):
    output, indices = reference.max_pool2d(
        np.array([values]), (1, len(values[0])), return_indices=True, **options
    )
    return output.item(), indices.item()


def test_the_first_maximum_wins_a_tie():
    assert pooled_pair([[1.0, 3.0, 3.0]]) == (3, 1)
    assert pooled_pair([[-np.inf, -np.inf]]) == (-np.inf, 0)
    assert pooled_pair([[0.0, 0.0]]) == (0, 0)


def test_the_first_nan_wins():
    value, index = pooled_pair([[np.inf, np.nan, 5.0, np.nan]])
    assert np.isnan(value)
    assert index == 1


def test_padding_never_wins():
    output, indices = reference.max_pool2d(
        np.full((1, 2, 2), -np.inf), 2, 1, 1, return_indices=True
    )
    assert (output == -np.inf).all()
    assert indices.tolist() == [[[0, 0, 1], [0, 0, 1], [2, 2, 3]]]
    assert (reference.max_pool2d(np.full((1, 2, 2), -3.0), 2, 1, 1) == -3).all()


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ("valid", [2.0, 4]),
        ("same", [2.0, 4, 5]),
        ("same_lower", [1.0, 3, 5]),
        (((0, 0), (1, 0)), [1.0, 3, 5]),
        (((0, 0), (0, 1)), [2.0, 4, 5]),
    ],
)
def test_words_and_pairs_in_pooling(padding, expected):
    a = np.array([[[1.0, 2, 3, 4, 5]]])
    output = reference.max_pool2d(a, (1, 2), (1, 2), padding)
    np.testing.assert_array_equal(output, [[expected]])


def test_padding_may_reach_half_of_a_dilated_window():
    # torch allows half of the undilated window only, so "same" would be refused here.
    a = np.array([[[4.0, 3, 7, 1, 2]]])
    for padding in ["same", ((0, 0), (2, 2))]:
        output, indices = reference.max_pool2d(a, (1, 3), 1, padding, (1, 2), return_indices=True)
        assert output.tolist() == [[[7, 3, 7, 3, 7]]]
        assert indices.tolist() == [[[2, 1, 2, 1, 2]]]
    mean = reference.avg_pool2d(a, (1, 3), 1, "same", False, False, dilation=(1, 2))
    np.testing.assert_allclose(mean, [[[11 / 2, 2, 13 / 3, 2, 9 / 2]]])


def test_dilated_mean_pooling():
    a = np.array([[[1.0, 2, 4, 8, 16, 32]]])
    np.testing.assert_array_equal(
        reference.avg_pool2d(a, (1, 2), (1, 1), dilation=(1, 3)), [[[4.5, 9, 18]]]
    )
    residual = np.array([[[2.0, 4, 6]]])
    np.testing.assert_array_equal(
        reference.avg_pool2d_backward(residual, a.shape, (1, 2), (1, 1), dilation=(1, 3)),
        [[[1, 2, 3, 1, 2, 3]]],
    )


def test_the_overhang_never_counts_but_the_padding_may():
    a = np.array([[[6.0, 6, 6, 6]]])
    options = (1, 3), (1, 2), ((0, 0), (1, 0)), True
    # Windows: padding and two cells; cells 1 to 3. ceil_mode adds none.
    np.testing.assert_array_equal(reference.avg_pool2d(a, *options), [[[4, 6]]])
    np.testing.assert_array_equal(reference.avg_pool2d(a, *options, False), [[[6, 6]]])
    # Windows: cells 0 to 2; cells 2 and 3 and one place beyond the border.
    np.testing.assert_array_equal(reference.avg_pool2d(a, (1, 3), (1, 2), 0, True), [[[6, 6]]])
    # The same with one cell of padding after: it counts.
    padded = (1, 3), (1, 2), ((0, 0), (0, 1)), True
    np.testing.assert_array_equal(reference.avg_pool2d(a, *padded), [[[6, 4]]])


# Numerical gradients in float64.


def numerical_gradient(function, x, step=1e-6):
    """Return the gradient of a scalar function by central differences."""
    gradient = np.empty_like(x)
    for place in np.ndindex(x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[place] += step
        behind[place] -= step
        gradient[place] = (function(ahead) - function(behind)) / (2 * step)
    return gradient


def assert_gradient(forward, backward, x):
    """Compare backward(residual) with central differences of sum(residual * forward(x))."""
    residual = np.random.default_rng(14).standard_normal(np.shape(forward(x)))
    expected = numerical_gradient(lambda moved: (residual * forward(moved)).sum(), x)
    np.testing.assert_allclose(backward(residual), expected, rtol=1e-7, atol=1e-8)


@pytest.fixture
def scores():
    return np.random.default_rng(15).standard_normal((3, 4, 2))


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_gradient_of_activations_from_the_output(scores, name):
    forward, backward = getattr(reference, name), getattr(reference, f"{name}_backward")
    assert_gradient(forward, lambda residual: backward(residual, forward(scores)), scores)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gradient_of_softmax(scores, name, axis):
    forward, backward = getattr(reference, name), getattr(reference, f"{name}_backward")
    output = forward(scores, axis)
    assert_gradient(
        lambda x: forward(x, axis), lambda residual: backward(residual, output, axis), scores
    )


def test_gradient_of_leaky_relu(scores):
    assert_gradient(
        lambda x: reference.leaky_relu(x, 0.3),
        lambda residual: reference.leaky_relu_backward(residual, scores, 0.3),
        scores,
    )


def test_gradient_of_dropout(scores):
    mask = reference.dropout(scores, 0.4, rng=1)[1]
    assert_gradient(
        lambda x: reference.dropout(x, 0.4, rng=1)[0],
        lambda residual: reference.dropout_backward(residual, mask, 0.4),
        scores,
    )


def test_gradients_of_linear(scores):
    rng = np.random.default_rng(16)
    weight, bias = rng.standard_normal((5, 2)), rng.standard_normal(5)

    def gradients(residual):
        return reference.linear_backward(residual, scores, weight)

    assert_gradient(lambda x: reference.linear(x, weight, bias), lambda r: gradients(r)[0], scores)
    assert_gradient(lambda w: reference.linear(scores, w, bias), lambda r: gradients(r)[1], weight)
    assert_gradient(lambda b: reference.linear(scores, weight, b), lambda r: gradients(r)[2], bias)
    masked = reference.linear_backward(
        np.ones((3, 4, 5)), scores, weight, output_mask=(False, False, True)
    )
    assert masked[:2] == (None, None)
    np.testing.assert_array_equal(masked[2], np.full(5, 12.0))


POOLS = [
    {"kernel_size": 2},
    {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 2, "padding": ((1, 0), (0, 1)), "dilation": (2, 1)},
    {"kernel_size": 3, "stride": 2, "padding": "same"},
]


@pytest.mark.parametrize("options", POOLS)
def test_gradient_of_max_pooling(options):
    x = np.random.default_rng(17).permutation(60).reshape(1, 2, 5, 6) / 7
    indices = reference.max_pool2d(x, **options, return_indices=True)[1]
    assert_gradient(
        lambda moved: reference.max_pool2d(moved, **options),
        lambda residual: reference.max_pool2d_backward(residual, indices, x.shape),
        x,
    )


@pytest.mark.parametrize("extra", [{}, {"count_include_pad": False}, {"divisor_override": 5}])
@pytest.mark.parametrize("options", POOLS)
def test_gradient_of_mean_pooling(options, extra):
    x = np.random.default_rng(18).standard_normal((2, 5, 6))
    assert_gradient(
        lambda moved: reference.avg_pool2d(moved, **options, **extra),
        lambda residual: reference.avg_pool2d_backward(residual, x.shape, **options, **extra),
        x,
    )


def loss_target(name, scores):
    if name == "cross_entropy":
        return np.random.default_rng(19).integers(0, 4, (3, 2))
    return np.random.default_rng(19).standard_normal(scores.shape)


LOSSES = ["cross_entropy", "mse_loss", "half_squared_error"]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_gradient_of_losses(scores, name, reduction):
    loss, backward = getattr(reference, name), getattr(reference, f"{name}_backward")
    target = loss_target(name, scores)
    assert_gradient(
        lambda x: loss(x, target, reduction=reduction),
        lambda residual: backward(scores, target, reduction=reduction, grad_output=residual),
        scores,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_reductions_of_losses(scores, name, dtype):
    loss, backward = getattr(reference, name), getattr(reference, f"{name}_backward")
    scores, target = scores.astype(dtype), loss_target(name, scores)
    target = target if name == "cross_entropy" else target.astype(dtype)
    each = loss(scores, target, reduction="none")
    total, mean = loss(scores, target, reduction="sum"), loss(scores, target)
    terms = {"cross_entropy": (3, 2), "mse_loss": scores.shape, "half_squared_error": (3,)}
    assert each.shape == terms[name]
    assert {each.dtype, total.dtype, mean.dtype, backward(scores, target).dtype} == {
        np.dtype(dtype)
    }
    assert isinstance(mean, np.generic)
    np.testing.assert_allclose(total, each.sum(), rtol=1e-6)
    np.testing.assert_allclose(mean, each.mean(), rtol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_agree_with_torch(scores, reduction):
    torch = torch_or_skip("losses")
    for name in ["cross_entropy", "mse_loss"]:
        target = loss_target(name, scores)
        tensor = torch.tensor(scores, requires_grad=True)
        loss = getattr(torch.nn.functional, name)
        expected = loss(tensor, torch.tensor(target), reduction=reduction)
        expected.sum().backward()
        np.testing.assert_allclose(
            getattr(reference, name)(scores, target, reduction=reduction),
            expected.detach().numpy(),
            rtol=1e-14,
        )
        ones = np.ones(expected.shape)
        grad = getattr(reference, f"{name}_backward")(
            scores, target, reduction=reduction, grad_output=ones
        )
        np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-13, atol=1e-16)


def test_loss_of_huge_scores_is_finite():
    huge = np.array([[1e4, -1e4, 0]], np.float32)
    assert reference.cross_entropy(huge, np.array([1])) == 2e4
    np.testing.assert_array_equal(
        reference.cross_entropy_backward(huge, np.array([1])), [[1, -1, 0]]
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_agree_with_torch(dtype):
    torch = torch_or_skip("activations")
    x = np.linspace(-30, 30, 97, dtype=dtype)
    close = {"rtol": 4 * np.finfo(dtype).eps, "atol": np.finfo(dtype).tiny}
    for name in ["relu", "leaky_relu", "sigmoid", "tanh", "softmax", "log_softmax"]:
        options = {"dim": 0} if "softmax" in name else {}
        expected = getattr(torch.nn.functional, name)(torch.tensor(x), **options)
        output = getattr(reference, name)(x)
        assert output.dtype == dtype
        np.testing.assert_allclose(output, expected.numpy(), **close, err_msg=name)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "sigmoid", "tanh"])
def test_activations_pass_nan_on(name):
    output = getattr(reference, name)(np.array([np.nan, 1.0]))
    assert np.isnan(output).tolist() == [True, False]


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout(dtype):
    x = np.arange(1, 1001, dtype=dtype).reshape(10, 100)
    output, mask = reference.dropout(x, 0.3, rng=np.random.default_rng(20))
    np.testing.assert_array_equal(mask, np.random.default_rng(20).random(x.shape) >= 0.3)
    scale = dtype(1 / (1 - 0.3))
    assert output.dtype == dtype
    np.testing.assert_array_equal(output, np.where(mask, x * scale, 0))
    for one, other in zip(reference.dropout(x, 0.3, rng=20), (output, mask), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(reference.dropout_backward(x, mask, 0.3), output)


def test_dropout_of_nothing_and_of_everything():
    x = np.array([1.0, 2])
    for untouched, mask in [reference.dropout(x, 0.5, False), reference.dropout(x, 0.0)]:
        assert untouched is not x
        assert untouched.tolist() == [1, 2]
        assert mask.all()
    output, mask = reference.dropout(x, 1.0)
    assert output.tolist() == [0, 0]
    assert not mask.any()
