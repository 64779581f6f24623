"""The convolutions of the reference against their own matrix, against torch and against SciPy."""

import importlib
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest

from fastconv import reference
from fastconv.reference._convolution import conv_nd, conv_nd_bias, conv_nd_input, conv_nd_weight
from fastconv.reference._windows import padding_pairs, positions
from fastconv.reference.matrix import conv_nd_matrix
from tests._cases import torch_or_skip

DTYPES = [np.float32, np.float64]


def scipy_signal_or_skip(what):
    return pytest.importorskip("scipy.signal", reason=f"SciPy is not installed, skipped: {what}")


def integers(rng, shape, dtype=np.float64):
    return rng.integers(-9, 10, shape).astype(dtype)


class Case(NamedTuple):
    """A convolution: two samples of `size` and two kernels in each group."""

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: object = 1
    padding: object = 0
    dilation: object = 1
    groups: int = 1

    @property
    def arrays(self):
        rng = np.random.default_rng(3)
        input = integers(rng, (2, 2 * self.groups, *self.size))
        weight = integers(rng, (2 * self.groups, 2, *self.kernel))
        # No zeros, so that the matrix shows every connection.
        weight[weight == 0] = 10
        return input, weight, integers(rng, 2 * self.groups)

    @property
    def geometry(self):
        return self.stride, self.padding, self.dilation, self.groups


CASES = [
    Case((5,), (2,)),
    Case((9,), (3,), 2),
    Case((10,), (3,), 3, ((2, 1),), 2),
    Case((7,), (3,), 2, "same", 1, 3),
    Case((8,), (4,), 3, "same_lower"),
    Case((4,), (3,), 1, "full", 2),
    Case((3, 3), (2, 2)),
    Case((5, 4), (1, 1)),
    Case((5, 4), (1, 1), 2),
    Case((6, 7), (3, 2), (2, 3)),
    Case((8, 8), (3, 3), 3),  # the last two rows and columns are reached by no window
    Case((9, 6), (2, 3), (4, 2)),  # stride beyond the kernel
    Case((5, 6), (3, 3), 1, 1),
    Case((5, 6), (3, 3), 2, (1, 2)),
    Case((5, 6), (3, 2), (2, 1), ((0, 2), (3, 1))),
    Case((7, 7), (2, 3), 1, 0, (3, 2)),
    Case((7, 8), (2, 3), (2, 3), (1, 2), (3, 2)),
    Case((5, 5), (3, 3), 2, 1, 1, 2),
    Case((4, 6), (3, 2), 2, ((1, 0), (0, 1)), (1, 2), 3),
    Case((5, 6), (4, 3), 1, "same"),
    Case((5, 6), (4, 3), 1, "same_lower", 2),
    Case((7, 6), (4, 3), (3, 2), "same", (2, 1)),
    Case((7, 6), (1, 2), (3, 4), "same"),
    Case((7, 6), (4, 2), (3, 2), "same_lower"),
    Case((2, 3), (4, 3), 1, "full"),
    Case((2, 3), (3, 2), 2, "full", (1, 3)),
    Case((4, 5), (4, 5), 1, "valid"),
    Case((1, 1), (3, 3), 1, 1),
    Case((1, 1), (3, 3), 5, 4),  # windows that see padding only
    Case((3, 4, 3), (2, 3, 2)),
    Case((4, 3, 5), (2, 1, 3), (2, 1, 3), (1, 0, 2), (1, 2, 2)),
    Case((3, 4, 3), (2, 2, 2), (1, 2, 2), ((1, 0), (0, 1), (2, 2)), 1, 2),
    Case((3, 4, 5), (2, 3, 4), 2, "same"),
]
WORDLESS = [case for case in CASES if not isinstance(case.padding, str)]


def residual_of(case, z):
    return integers(np.random.default_rng(4), z.shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_forward_is_the_matrix_times_the_input(case, dtype):
    input, weight, bias = (array.astype(dtype) for array in case.arrays)
    z = conv_nd(input, weight, bias, *case.geometry)
    matrix = conv_nd_matrix(weight, input.shape[1:], *case.geometry)
    expected = input.reshape(len(input), -1) @ matrix.T
    assert z.dtype == matrix.dtype == dtype
    expected = expected.reshape(z.shape) + bias.reshape(-1, *[1] * len(case.size))
    np.testing.assert_array_equal(z, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_input_gradient_is_the_transposed_matrix_times_the_residual(case, dtype):
    input, weight, _ = (array.astype(dtype) for array in case.arrays)
    z = conv_nd(input, weight, None, *case.geometry)
    residual = residual_of(case, z).astype(dtype)
    gradient = conv_nd_input(input.shape, weight, residual, *case.geometry)
    matrix = conv_nd_matrix(weight, input.shape, *case.geometry)
    assert gradient.dtype == dtype
    expected = residual.reshape(len(z), -1) @ matrix
    np.testing.assert_array_equal(gradient, expected.reshape(input.shape))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_weight_gradient_sums_the_matrix_gradient_where_a_weight_appears(case, dtype):
    input, weight, _ = (array.astype(dtype) for array in case.arrays)
    z = conv_nd(input, weight, None, *case.geometry)
    residual = residual_of(case, z).astype(dtype)
    gradient = conv_nd_weight(input, weight.shape, residual, *case.geometry)
    assert gradient.dtype == dtype
    # Weights that are their own numbers mark in the matrix where each of them appears.
    numbers = np.arange(1.0, weight.size + 1).reshape(weight.shape)
    places = conv_nd_matrix(numbers, input.shape, *case.geometry).astype(int)
    of_matrix = residual.reshape(len(z), -1).T @ input.reshape(len(z), -1)
    sums = np.bincount(places.ravel(), of_matrix.ravel(), minlength=weight.size + 1)
    np.testing.assert_array_equal(gradient, sums[1:].reshape(weight.shape))


@pytest.mark.parametrize("case", CASES)
def test_bias_gradient_is_the_sum_of_the_residual(case):
    input, weight, _ = case.arrays
    residual = residual_of(case, conv_nd(input, weight, None, *case.geometry))
    sums = [residual[:, k].sum() for k in range(len(weight))]
    np.testing.assert_array_equal(conv_nd_bias(residual, len(case.size)), sums)


@pytest.mark.parametrize("case", CASES)
def test_unbatched_is_a_batch_of_one(case):
    input, weight, bias = case.arrays
    z = conv_nd(input[:1], weight, bias, *case.geometry)
    residual = residual_of(case, z)
    np.testing.assert_array_equal(conv_nd(input[0], weight, bias, *case.geometry), z[0])
    np.testing.assert_array_equal(
        conv_nd_input(input.shape[1:], weight, residual[0], *case.geometry),
        conv_nd_input(input[:1].shape, weight, residual, *case.geometry)[0],
    )
    np.testing.assert_array_equal(
        conv_nd_weight(input[0], weight.shape, residual[0], *case.geometry),
        conv_nd_weight(input[:1], weight.shape, residual, *case.geometry),
    )
    np.testing.assert_array_equal(
        conv_nd_bias(residual[0], len(case.size)), conv_nd_bias(residual, len(case.size))
    )


@pytest.mark.parametrize("case", [case for case in CASES if len(case.size) == 2])
def test_two_axes_have_names_of_their_own(case):
    input, weight, bias = case.arrays
    geometry = case.geometry
    z = reference.conv2d(input, weight, bias, *geometry)
    np.testing.assert_array_equal(z, conv_nd(input, weight, bias, *geometry))
    residual = residual_of(case, z)
    grad_input = reference.conv2d_input(input.shape, weight, residual, *geometry)
    grad_weight = reference.conv2d_weight(input, weight.shape, residual, *geometry)
    np.testing.assert_array_equal(
        grad_input, conv_nd_input(input.shape, weight, residual, *geometry)
    )
    np.testing.assert_array_equal(
        grad_weight, conv_nd_weight(input, weight.shape, residual, *geometry)
    )
    together = reference.conv2d_backward(input, weight, residual, *geometry)
    alone = grad_input, grad_weight, reference.conv2d_bias(residual)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("case", WORDLESS)
def test_convolution_agrees_with_torch(case):
    torch = torch_or_skip("convolution and its gradients")
    axes = len(case.size)
    padding = case.padding if isinstance(case.padding, tuple) else (case.padding,) * axes
    pairs = [(p, p) if isinstance(p, int) else p for p in padding]
    input, weight, bias = (torch.tensor(a, requires_grad=True) for a in case.arrays)
    padded = torch.nn.functional.pad(input, [n for pair in pairs[::-1] for n in pair])
    convolve = getattr(torch.nn.functional, f"conv{axes}d")
    z = convolve(padded, weight, bias, case.stride, 0, case.dilation, case.groups)
    residual = residual_of(case, z)
    z.backward(torch.tensor(residual))
    arrays = [tensor.detach().numpy() for tensor in (input, weight, bias)]
    np.testing.assert_array_equal(conv_nd(*arrays, *case.geometry), z.detach())
    np.testing.assert_array_equal(
        conv_nd_input(arrays[0].shape, arrays[1], residual, *case.geometry), input.grad
    )
    np.testing.assert_array_equal(
        conv_nd_weight(arrays[0], arrays[1].shape, residual, *case.geometry), weight.grad
    )
    np.testing.assert_array_equal(conv_nd_bias(residual, axes), bias.grad)


def test_same_agrees_with_torch():
    torch = torch_or_skip("padding='same'")
    rng = np.random.default_rng(6)
    # torch pads an even kernel's odd cell in a copy of its own, and says so.
    for kernel, dilation in product([1, 3, 5], [1, 2]):
        a, w = integers(rng, (1, 1, 7, 8)), integers(rng, (1, 1, kernel, 3))
        z = torch.nn.functional.conv2d(
            torch.tensor(a), torch.tensor(w), padding="same", dilation=dilation
        )
        np.testing.assert_array_equal(
            reference.conv2d(a, w, padding="same", dilation=dilation), z.numpy()
        )


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_same_puts_the_odd_cell_where_torch_does():
    torch = torch_or_skip("padding='same' with even kernels")
    a, w = np.arange(20.0).reshape(1, 4, 5), np.arange(1.0, 9).reshape(1, 1, 2, 4)
    z = torch.nn.functional.conv2d(torch.tensor(a), torch.tensor(w), padding="same")
    np.testing.assert_array_equal(reference.conv2d(a, w, padding="same"), z.numpy())


@pytest.mark.parametrize("mode", ["valid", "same", "full"])
def test_convolution_agrees_with_scipy(mode):
    signal = scipy_signal_or_skip("correlate and convolve2d")
    rng = np.random.default_rng(7)
    # SciPy's "same" puts the odd cell before the input; the word compares on odd kernels.
    a, w = integers(rng, (6, 9)), integers(rng, (3, 5))
    z = reference.conv2d(a[np.newaxis], w[np.newaxis, np.newaxis], padding=mode)[0]
    np.testing.assert_array_equal(z, signal.correlate2d(a, w, mode))
    np.testing.assert_array_equal(z, signal.convolve2d(a, w[::-1, ::-1], mode))
    np.testing.assert_array_equal(z, np.rint(signal.correlate(a, w, mode)))


def test_convolution_over_other_numbers_of_axes_agrees_with_scipy():
    signal = scipy_signal_or_skip("correlate over 1 and 3 axes")
    rng = np.random.default_rng(8)
    for size, kernel in [((9,), (4,)), ((4, 5, 6), (2, 3, 1))]:
        a, w = integers(rng, size), integers(rng, kernel)
        z = conv_nd(a[np.newaxis], w[np.newaxis, np.newaxis])[0]
        np.testing.assert_array_equal(z, signal.correlate(a, w, "valid", "direct"))


# Padding words: what they promise, tried on every small line.

LINES = [
    (size, kernel, stride, dilation)
    for size, kernel, stride, dilation in product(
        range(1, 9), range(1, 6), range(1, 5), range(1, 4)
    )
]


@pytest.mark.parametrize("word", ["same", "same_lower"])
def test_same_gives_one_window_for_each_stride(word):
    for size, kernel, stride, dilation in LINES:
        [(before, after)] = padding_pairs(word, (size,), (kernel,), (stride,), (dilation,))
        window = dilation * (kernel - 1) + 1
        assert len(positions(before + size + after, window, stride)) == -(-size // stride)
        assert (after - before if word == "same" else before - after) in (0, 1)
        if before + after:
            fewer = positions(before + size + after - 1, window, stride)
            assert len(fewer) < -(-size // stride)


def test_full_lets_the_window_overlap_by_one_cell():
    for size, kernel, stride, dilation in LINES:
        [(before, after)] = padding_pairs("full", (size,), (kernel,), (stride,), (dilation,))
        assert before == after == dilation * (kernel - 1)


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (1, [(1, 1), (1, 1)]),
        ((2,), [(2, 2), (2, 2)]),
        ([1, 2], [(1, 1), (2, 2)]),
        (((1, 2), (3, 4)), [(1, 2), (3, 4)]),
        ([[1, 2], 3], [(1, 2), (3, 3)]),
        (np.int64(2), [(2, 2), (2, 2)]),
        ("valid", [(0, 0), (0, 0)]),
        ("same", [(0, 1), (1, 1)]),
        ("same_lower", [(1, 0), (1, 1)]),
        ("full", [(1, 1), (2, 2)]),
    ],
)
def test_forms_of_padding(padding, expected):
    assert padding_pairs(padding, (5, 5), (2, 3), (1, 1), (1, 1)) == expected


# Wrong calls.

IMAGE = np.ones((1, 2, 4, 4))
KERNELS = np.ones((3, 2, 2, 2))


@pytest.mark.parametrize(
    ("error", "named", "call"),
    [
        (ValueError, "weight", lambda r: r.conv2d(IMAGE, KERNELS[0])),
        (ValueError, "input", lambda r: r.conv2d(IMAGE[0, 0], KERNELS)),
        (ValueError, "channels", lambda r: r.conv2d(IMAGE[:, :1], KERNELS)),
        (ValueError, "groups", lambda r: r.conv2d(IMAGE, KERNELS, groups=2)),
        (ValueError, "groups", lambda r: r.conv2d(IMAGE, KERNELS, groups=0)),
        (ValueError, "bias", lambda r: r.conv2d(IMAGE, KERNELS, np.ones(1))),
        (ValueError, "stride", lambda r: r.conv2d(IMAGE, KERNELS, stride=0)),
        (ValueError, "stride", lambda r: r.conv2d(IMAGE, KERNELS, stride=(1, 1, 1))),
        (TypeError, "integer", lambda r: r.conv2d(IMAGE, KERNELS, stride=1.5)),
        (ValueError, "dilation", lambda r: r.conv2d(IMAGE, KERNELS, dilation=-1)),
        (ValueError, "padding", lambda r: r.conv2d(IMAGE, KERNELS, padding=-1)),
        (ValueError, "padding", lambda r: r.conv2d(IMAGE, KERNELS, padding="half")),
        (ValueError, "fit", lambda r: r.conv2d(IMAGE, np.ones((1, 2, 5, 1)))),
        (TypeError, "weight", lambda r: r.conv2d(IMAGE, KERNELS.astype(np.float32))),
        (TypeError, "input", lambda r: r.conv2d(IMAGE.astype(int), KERNELS)),
        (TypeError, "input", lambda r: r.conv2d(np.ma.masked_array(IMAGE), KERNELS)),
        (ValueError, "grad_output", lambda r: r.conv2d_input(IMAGE.shape, KERNELS, IMAGE)),
        (ValueError, "grad_output", lambda r: r.conv2d_weight(IMAGE, KERNELS.shape, IMAGE)),
        (ValueError, "grad_output", lambda r: r.conv2d_bias(np.ones(3))),
        (ValueError, "input", lambda r: r.fold(np.ones((4, 5)), (3, 3), 2)),
        (ValueError, "input", lambda r: r.fold(np.ones((5, 4)), (3, 3), 2)),
        (ValueError, "nothing but", lambda r: r.max_pool2d(IMAGE, 3, padding=3)),
        (ValueError, "padding", lambda r: r.avg_pool2d(IMAGE, 2, padding="full")),
        (ValueError, "fit", lambda r: r.max_pool2d(IMAGE, 5)),
        (ValueError, "nothing but", lambda r: r.max_pool2d(IMAGE[..., :1], 2, 1, 1, 2)),
        (ValueError, "divisor_override", lambda r: r.avg_pool2d(IMAGE, 2, divisor_override=0)),
        (
            ValueError,
            "indices",
            lambda r: r.max_pool2d_backward(np.ones((1, 1, 1)), np.array([[[9]]]), (1, 3, 3)),
        ),
        (
            ValueError,
            "indices",
            lambda r: r.max_pool2d_backward(np.ones((1, 1, 1)), np.array([[[-1]]]), (1, 3, 3)),
        ),
        (ValueError, "input", lambda r: r.linear(np.ones((2, 3)), np.ones((4, 1)))),
        (ValueError, "bias", lambda r: r.linear(np.ones((2, 3)), np.ones((4, 3)), np.ones(1))),
        (ValueError, "grad_output", lambda r: r.relu_backward(np.ones(1), np.ones(3))),
        (ValueError, "target", lambda r: r.mse_loss(np.ones((3, 1)), np.ones(3))),
        (ValueError, "target", lambda r: r.half_squared_error(np.ones((3, 1)), np.ones(3))),
        (ValueError, "target", lambda r: r.cross_entropy(np.ones((2, 3)), np.array([0, 3]))),
        (ValueError, "target", lambda r: r.cross_entropy(np.ones((2, 3)), np.array([0, -1]))),
        (ValueError, "target", lambda r: r.cross_entropy(np.ones((2, 3)), np.array([0]))),
        (TypeError, "target", lambda r: r.nll_loss(np.ones((2, 3)), np.ones(2))),
        (ValueError, "target", lambda r: r.cross_entropy(np.ones((2, 3)), np.ones(2))),
        (ValueError, "reduction", lambda r: r.mse_loss(np.ones(2), np.ones(2), reduction="max")),
        (ValueError, "p is", lambda r: r.dropout(np.ones(2), 1.5)),
    ],
)
def test_a_wrong_call_does_not_broadcast(error, named, call):
    with pytest.raises(error, match=named):
        call(reference)


def test_an_empty_batch_works():
    none = np.zeros((0, 2, 4, 4))
    assert reference.conv2d(none, KERNELS).shape == (0, 3, 3, 3)
    residual = np.zeros((0, 3, 3, 3))
    grads = reference.conv2d_backward(none, KERNELS, residual)
    assert grads[0].shape == none.shape
    np.testing.assert_array_equal(grads[1], np.zeros_like(KERNELS))
    np.testing.assert_array_equal(grads[2], np.zeros(3))
    output, indices = reference.max_pool2d(none, 2, return_indices=True)
    assert output.shape == (0, 2, 2, 2)
    assert reference.max_pool2d_backward(output, indices, none.shape).shape == none.shape
    assert reference.avg_pool2d(none, 2).shape == (0, 2, 2, 2)
    assert reference.avg_pool2d_backward(output, none.shape, 2).shape == none.shape


def test_byte_order_and_strides_do_not_matter():
    rng = np.random.default_rng(9)
    a, w = integers(rng, (2, 4, 5, 3)), integers(rng, (2, 3, 2, 2))
    z = reference.conv2d(a.transpose(0, 3, 1, 2).astype(">f8"), w)
    assert z.dtype.isnative
    np.testing.assert_array_equal(
        z, reference.conv2d(np.ascontiguousarray(a.transpose(0, 3, 1, 2)), w)
    )


def test_nan_reaches_only_what_depends_on_it():
    a, w = np.ones((2, 1, 7, 7)), np.ones((1, 1, 2, 2))
    a[0, 0, 2, 1] = np.nan
    z = reference.conv2d(a, w, stride=1, dilation=2)
    assert np.argwhere(np.isnan(z)).tolist() == [[0, 0, 0, 1], [0, 0, 2, 1]]
    grad = reference.conv2d_weight(a, w.shape, np.ones((2, 1, 3, 3)), stride=2, dilation=2)
    assert not np.isnan(grad).any()  # no window looks at column 1


# unfold and fold.

UNFOLDS = [
    ((5, 6), 2, {}),
    ((5, 6), (2, 3), {"stride": 2, "padding": 1}),
    ((7, 6), 3, {"dilation": (2, 1), "stride": (1, 3)}),
    ((4, 4), (2, 1), {"padding": (1, 0), "stride": 3}),
]


@pytest.mark.parametrize(("size", "kernel", "options"), UNFOLDS)
def test_unfold_and_fold_agree_with_torch(size, kernel, options):
    torch = torch_or_skip("unfold and fold")
    rng = np.random.default_rng(10)
    a = integers(rng, (2, 3, *size))
    columns = reference.unfold(a, kernel, **options)
    expected = torch.nn.functional.unfold(torch.tensor(a), kernel, **options)
    np.testing.assert_array_equal(columns, expected.numpy())
    np.testing.assert_array_equal(reference.unfold(a[1], kernel, **options), columns[1])
    y = integers(rng, columns.shape)
    folded = reference.fold(y, size, kernel, **options)
    expected = torch.nn.functional.fold(torch.tensor(y), size, kernel, **options)
    np.testing.assert_array_equal(folded, expected.numpy())
    np.testing.assert_array_equal(reference.fold(y[1], size, kernel, **options), folded[1])


@pytest.mark.parametrize("case", [case for case in CASES if case.groups == 1])
def test_a_convolution_is_a_product_with_the_unfolded_input(case):
    input, weight, _ = case.arrays
    windows = case.kernel, case.dilation, case.padding, case.stride
    columns = reference.unfold(input, *windows)
    z = conv_nd(input, weight, None, *case.geometry)
    flat = weight.reshape(len(weight), -1)
    np.testing.assert_array_equal((flat @ columns).reshape(z.shape), z)
    residual = residual_of(case, z)
    grad_columns = flat.T @ residual.reshape(*z.shape[:2], -1)
    np.testing.assert_array_equal(
        reference.fold(grad_columns, case.size, *windows),
        conv_nd_input(input.shape, weight, residual, *case.geometry),
    )


def test_every_public_name_is_there():
    module = importlib.import_module("fastconv.reference")
    assert sorted(module.__all__) == module.__all__
    assert all(callable(getattr(module, name)) for name in module.__all__)
