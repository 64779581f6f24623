"""Norms of gradients and their bounds: formulas, torch, extremes."""

import math

import numpy as np
import pytest

import fastconv
from fastconv.layers import Parameter
from fastconv.training import clip_grad_norm_, clip_grad_value_, get_total_norm
from tests._cases import DTYPES, layouts, torch_or_skip

SHAPES = ((3, 2, 2, 2), (5,), (), (4097,), (0, 3))
ORDERS = (1, 2, 2.0, 3.5, 0.5, math.inf)


def gradients(dtype=np.float64):
    rng = np.random.default_rng(7)
    return [np.asarray(rng.standard_normal(shape), dtype) for shape in SHAPES]


def parameters(dtype=np.float64):
    params = [Parameter(np.zeros(shape, dtype)) for shape in SHAPES]
    for param, gradient in zip(params, gradients(dtype), strict=True):
        param.grad = gradient
    return [*params, Parameter(np.zeros(3, dtype))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ORDERS)
def test_the_norm_is_that_of_one_vector(order, dtype):
    grads = gradients(dtype)
    vector = np.concatenate([np.ravel(g) for g in grads]).astype(np.float64)
    expected = np.linalg.norm(vector, order)
    assert get_total_norm(grads, order) == pytest.approx(expected, rel=1e-13)
    assert get_total_norm(iter(grads), order) == get_total_norm(grads, order)
    assert get_total_norm([], order) == 0
    assert get_total_norm(grads[0], order) == get_total_norm(grads[:1], order)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bound", [0.0, 0.5, 1e6])
@pytest.mark.parametrize("order", [1, 2, math.inf])
def test_clipping_by_norm_is_that_of_torch(order, bound, dtype):
    torch = torch_or_skip("clipping")
    # It knows no largest number of none.
    params = [param for param in parameters(dtype) if param.data.size]
    twins = [torch.nn.Parameter(torch.from_numpy(param.data)) for param in params]
    for twin, param in zip(twins, params, strict=True):
        twin.grad = None if param.grad is None else torch.from_numpy(param.grad.copy())
    arrays = [param.grad for param in params]
    kinds = torch.nn.utils
    expected = kinds.clip_grad_norm_(twins, bound, order).item()
    assert clip_grad_norm_(params, bound, order) == pytest.approx(expected, rel=1e-5)
    for param, array, twin in zip(params, arrays, twins, strict=True):
        assert param.grad is array
        if array is not None:
            assert array.dtype == dtype
            np.testing.assert_allclose(
                array, twin.grad, rtol=1e-5 if dtype == np.float32 else 1e-13
            )


@pytest.mark.parametrize("dtype", DTYPES)
def test_clipping_by_value_is_that_of_torch(dtype):
    torch = torch_or_skip("clipping")
    params = parameters(dtype)
    params[1].grad[0] = np.nan
    twins = [torch.nn.Parameter(torch.from_numpy(param.data)) for param in params]
    for twin, param in zip(twins, params, strict=True):
        twin.grad = None if param.grad is None else torch.from_numpy(param.grad.copy())
    torch.nn.utils.clip_grad_value_(twins, 0.75)
    assert clip_grad_value_(params, 0.75) is None
    for param, twin in zip(params, twins, strict=True):
        if param.grad is not None:
            np.testing.assert_array_equal(param.grad, twin.grad)


def test_a_gradient_within_the_bound_keeps_its_bits():
    params = parameters()
    before = [None if param.grad is None else param.grad.copy() for param in params]
    clip_grad_norm_(params, 1e6)
    for param, old in zip(params, before, strict=True):
        if old is not None:
            np.testing.assert_array_equal(param.grad, old)


def test_huge_numbers_do_not_overflow():
    huge = np.full(1000, 1e30, np.float32)
    assert get_total_norm(huge) == pytest.approx(1e30 * math.sqrt(1000), rel=1e-6)
    param = Parameter(np.zeros(1000, np.float32))
    param.grad = huge
    clip_grad_norm_(param, 1.0)
    assert get_total_norm(param.grad) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("order", [1, 2, math.inf])
def test_what_is_not_finite(order, bad):
    params = parameters()
    params[3].grad[4000] = bad
    grads = [param.grad for param in params if param.grad is not None]
    assert not math.isfinite(get_total_norm(grads, order))
    before = params[0].grad.copy()
    with pytest.raises(RuntimeError, match=f"is {bad}"):
        clip_grad_norm_(params, 1.0, order, error_if_nonfinite=True)
    np.testing.assert_array_equal(params[0].grad, before)


def test_any_number_of_threads_gives_the_same_bits():
    x = np.random.default_rng(1).standard_normal(300_001).astype(np.float32)
    found = set()
    for threads in (1, 2, 3, 8):
        with fastconv.num_threads(threads):
            found.add(get_total_norm(x))
    assert len(found) == 1


def test_gradients_of_any_layout():
    values = np.random.default_rng(2).standard_normal((3, 4, 5))
    expected = get_total_norm(values)
    for name, array in layouts(values).items():
        assert get_total_norm(array) == pytest.approx(expected, rel=1e-15), name
        param = Parameter(np.zeros((3, 4, 5)))
        param.grad = array
        if not array.flags.writeable:
            with pytest.raises(ValueError, match=r"parameters\[0\]\.grad is read-only"):
                clip_grad_value_(param, 1.0)
            continue
        clip_grad_norm_(param, 1.0)
        assert get_total_norm(array) == pytest.approx(1, rel=1e-5), name


def test_a_shared_gradient_is_scaled_once():
    first, second = Parameter(np.zeros(2)), Parameter(np.zeros(2))
    first.grad = second.grad = np.array([3.0, 4.0])
    clip_grad_norm_([first, second], 1.0)
    np.testing.assert_allclose(first.grad, [0.6, 0.8], rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda p: clip_grad_norm_(p, -1.0), ValueError, "max_norm must be at least 0, got -1"),
        (lambda p: clip_grad_norm_(p, math.nan), ValueError, "max_norm"),
        (lambda p: clip_grad_norm_(p, "1"), TypeError, "max_norm must be a number, got str"),
        (lambda p: clip_grad_norm_(p, 1.0, 0), ValueError, "norm_type must be above 0, got 0"),
        (lambda p: clip_grad_norm_([p[0].data], 1.0), TypeError, "item 0 is a ndarray"),
        (lambda p: clip_grad_value_(p, -1), ValueError, "clip_value must be at least 0"),
        (lambda p: get_total_norm([np.zeros(2, int)]), TypeError, r"tensors\[0\] .* got int64"),
        (lambda p: get_total_norm([[1.0]]), TypeError, r"tensors\[0\] must be a numpy.ndarray"),
    ],
)
def test_bad_arguments(call, error, text):
    with pytest.raises(error, match=text):
        call(parameters())
