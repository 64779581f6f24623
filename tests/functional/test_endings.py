"""A residual and an activation behind a convolution: the bits of the functions one by one.

And what is added to an input gradient.
"""

import contextlib

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from tests._cases import DTYPES, Conv, able, normal

# Each variant of each algorithm, with planes and channels that do not fill vectors.
CASES = (
    Conv(1, 40, 12, 13, 50, 1, 1),  # pixels in the lanes
    Conv(1, 300, 7, 7, 70, 1, 1),  # output channels in the lanes
    Conv(1, 600, 5, 6, 20, 3, 3, 2, 1),  # sums in several blocks
    Conv(2, 20, 9, 10, 34, 3, 3, 1, 1),  # Winograd's squares
    Conv(2, 20, 9, 10, 34, 1, 7, 1, (0, 3)),  # lines
    Conv(2, 6, 9, 14, 16, 5, 5),  # and parts of rows
    Conv(9, 6, 14, 14, 16, 3, 3, 1, 1),  # samples in the lanes
    Conv(3, 48, 7, 7, 48, 3, 3, 1, 1, 1, 48),  # groups
    Conv(2, 64, 9, 9, 64, 3, 3, 1, 1, 1, 8),  # channels of groups
    Conv(2, 12, 13, 21, 24, 3, 3, 2, 1, 1, 12),  # depthwise
    Conv(2, 3, 9, 10, 6, 3, 2, (2, 1), 1, (1, 2), 3),
)
ACTIVATIONS = {
    None: lambda z: z,
    "relu": F.relu,
    "relu6": F.relu6,
    "hardtanh": F.hardtanh,
    ("hardtanh", -0.3, 0.4): lambda z: F.hardtanh(z, -0.3, 0.4),
    "leaky_relu": F.leaky_relu,
    ("leaky_relu", 0.2): lambda z: F.leaky_relu(z, 0.2),
}


def operands(case, dtype):
    x, weight = normal(case.input_shape, dtype), normal(case.weight_shape, dtype)
    # So that every activation has something to cut off.
    return x, weight / np.sqrt(weight[0].size).astype(dtype) * 4, normal((case.k,), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_algorithm_has_the_bits_of_the_single_functions(case, dtype):
    x, weight, bias = operands(case, dtype)
    for algorithm in ("auto", *able(case.geometry)):
        arguments = (*case.options,)
        plain = F.conv2d(x, weight, bias, *arguments, algorithm=algorithm)
        without = F.conv2d(x, weight, None, *arguments, algorithm=algorithm)
        ready = F.prepare_weight(weight, x.shape, *arguments, algorithm=algorithm)
        residual = normal(plain.shape, dtype)
        for activation, function in ACTIVATIONS.items():
            for added in (None, residual):
                more = {"residual": added, "activation": activation, "algorithm": algorithm}
                for shift, sums in ((bias, plain), (None, without)):
                    expected = function(sums if added is None else F.add(sums, added))
                    for kernels in (weight, ready):
                        actual = F.conv2d(x, kernels, shift, *arguments, **more)
                        assert actual.tobytes() == expected.tobytes(), (algorithm, activation)


@pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv3d"])
def test_the_reference_says_the_same(name):
    axes = int(name[4])
    x, weight = normal((2, 3, *(6, 5, 7)[:axes])), normal((4, 3, *(2, 3, 2)[:axes]))
    bias = normal((4,))
    residual = normal(getattr(F, name)(x, weight).shape)
    for activation in ACTIVATIONS:
        for maps, added in ((x, residual), (x[0], residual[0]), (x, None)):
            more = {"residual": added, "activation": activation}
            expected = getattr(reference, name)(maps, weight, bias, **more)
            actual = getattr(F, name)(maps, weight, bias, **more)
            np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-13)


def test_any_number_of_threads_gives_the_same_bits():
    for case in CASES:
        x, weight, bias = operands(case, np.float32)
        residual = normal(F.conv2d(x, weight, None, *case.options).shape, np.float32)
        more = {"residual": residual, "activation": "relu"}
        found = set()
        for threads in (1, 2, 3, 8):
            with fastconv.num_threads(threads):
                found.add(F.conv2d(x, weight, bias, *case.options, **more).tobytes())
        assert len(found) == 1


@pytest.mark.parametrize("mode", ["reflect", "circular"])
def test_other_borders_have_endings_too(mode):
    x, weight, bias = normal((3, 4, 9, 8)), normal((5, 4, 3, 3)), normal((5,))
    plain = F.conv2d(x, weight, bias, padding=1, padding_mode=mode)
    residual = normal(plain.shape)
    more = {"residual": residual, "activation": "relu", "padding_mode": mode}
    actual = F.conv2d(x, weight, bias, padding=1, **more)
    assert actual.tobytes() == F.relu(F.add(plain, residual)).tobytes()


def layouts(values):
    """Yield the values as arrays that lie in memory in other ways."""
    yield values.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    yield np.asfortranarray(values)
    yield np.repeat(values, 2, axis=3)[..., ::2]
    yield values[:, ::-1].copy()[:, ::-1]
    yield values.astype(values.dtype.newbyteorder())
    misaligned = np.frombuffer(b"0" + values.tobytes(), values.dtype, offset=1)
    yield misaligned.reshape(values.shape)
    wide = np.zeros((values.shape[0], 2 * values.shape[1], *values.shape[2:]), values.dtype)
    wide[:, ::2] = values
    yield wide[:, ::2]


@pytest.mark.parametrize("dtype", DTYPES)
def test_residuals_of_any_layout(dtype):
    x, weight, bias = normal((2, 20, 9, 10), dtype), normal((6, 20, 3, 3), dtype), None
    residual = normal((2, 6, 7, 8), dtype)
    expected = F.relu(F.add(F.conv2d(x, weight, bias), residual)).tobytes()
    wide = np.zeros((2, 12, 7, 8), dtype)
    for other in (residual, *layouts(residual)):
        more = {"residual": other, "activation": "relu"}
        before = other.tobytes()
        assert F.conv2d(x, weight, **more).tobytes() == expected
        for out in (np.empty_like(residual), wide[:, 1::2], wide[:, :6]):
            assert F.conv2d(x, weight, **more, out=out) is out
            assert out.tobytes() == expected
        assert other.tobytes() == before


def test_out_may_overlap_the_residual():
    x, weight, memory = normal((1, 4, 8, 8)), normal((4, 4, 3, 3)), normal((1, 6, 8, 8))
    for first in (0, 1):
        held = memory.copy()
        residual, out = held[:, :4], held[:, first : first + 4]
        expected = F.conv2d(x, weight, padding=1, residual=residual.copy())
        F.conv2d(x, weight, padding=1, residual=residual, out=out)
        np.testing.assert_array_equal(out, expected)


def test_special_numbers_are_those_of_the_activations():
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-310, -1e-310, 7, -7] * 3)
    for dtype in DTYPES:
        with np.errstate(over="ignore", under="ignore"):
            values = special.astype(dtype).reshape(1, 1, 1, 27)
        one, zeros = np.ones((1, 1, 1, 1), dtype), np.zeros_like(values)
        plain = F.conv2d(zeros, one)
        for activation, function in ACTIVATIONS.items():
            expected = function(F.add(plain, values))
            actual = F.conv2d(zeros, one, residual=values, activation=activation)
            np.testing.assert_array_equal(actual, expected)
            assert np.array_equal(np.signbit(actual), np.signbit(expected))


def test_no_sample_has_no_ending():
    x, residual = np.zeros((0, 2, 5, 5)), np.zeros((0, 3, 3, 3))
    found = F.conv2d(x, np.ones((3, 2, 3, 3)), residual=residual, activation="relu")
    assert found.shape == (0, 3, 3, 3)


def input_gradient(name, case_arguments, x, weight, dy, skip, **more):
    """Return the gradient of the input, with what is added to it."""
    backward, mask = getattr(F, f"{name}_backward"), (True, False, False)
    found = backward(x, weight, dy, *case_arguments, output_mask=mask, skip=skip, **more)
    assert found[1:] == (None, None)
    return found[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "case", [*CASES, Conv(2, 5, 9, 9, 4, 2, 2, 3), Conv(1, 3, 9, 9, 4, 1, 1, 2)]
)
def test_skips_have_the_bits_of_a_sum(case, dtype):
    x, weight, _ = operands(case, dtype)
    dy = normal(F.conv2d(x, weight, None, *case.options).shape, dtype)
    skip = normal(x.shape, dtype)
    for exactly in (False, True):
        with fastconv.exact() if exactly else contextlib.nullcontext():
            plain = F.conv2d_input(x.shape, weight, dy, *case.options)
            expected = F.add(plain, skip).tobytes()
            for threads in (1, 2, 3):
                with fastconv.num_threads(threads):
                    found = input_gradient("conv2d", case.options, x, weight, dy, skip)
                assert found.tobytes() == expected
            one = input_gradient("conv2d", case.options, x[0], weight, dy[0], skip[0])
            assert (
                one.tobytes()
                == F.add(
                    F.conv2d_input(x[0].shape, weight, dy[0], *case.options), skip[0]
                ).tobytes()
            )


@pytest.mark.parametrize("kind", ["conv", "conv_transpose"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_skips_of_every_convolution(kind, axes):
    name, size = f"{kind}{axes}d", (6, 5, 7)[:axes]
    x, weight = normal((2, 3, *size)), normal((4, 3, *(2, 3, 2)[:axes]))
    weight = weight if kind == "conv" else np.ascontiguousarray(weight.swapaxes(0, 1))
    dy, skip = normal(getattr(F, name)(x, weight, stride=2).shape), normal(x.shape)
    plain = getattr(F, f"{name}_input")(x.shape, weight, dy, stride=2)
    expected = F.add(plain, skip)
    out = np.empty((2, 6, *size))[:, ::2]
    backward = getattr(F, f"{name}_backward")
    found = backward(x, weight, dy, stride=2, skip=skip)
    slow = getattr(reference, f"{name}_backward")(x, weight, dy, stride=2, skip=skip)
    np.testing.assert_allclose(found[0], slow[0], rtol=0, atol=1e-13)
    for one, other in zip(found[1:], backward(x, weight, dy, stride=2)[1:], strict=True):
        np.testing.assert_array_equal(one, other)
    assert found[0].tobytes() == expected.tobytes()
    assert backward(x, weight, dy, stride=2, skip=skip, out=(out, None, None))[0] is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("mode", ["reflect", "circular"])
def test_skips_and_other_borders(mode):
    x, weight, dy = normal((3, 4, 9, 8)), normal((5, 4, 3, 3)), normal((3, 5, 9, 8))
    skip, more = normal(x.shape), {"padding": 1, "padding_mode": mode}
    plain = F.conv2d_input(x.shape, weight, dy, **more)
    found = input_gradient("conv2d", (), x, weight, dy, skip, **more)
    assert found.tobytes() == F.add(plain, skip).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_skips_of_any_layout(dtype):
    x, weight, dy = normal((2, 6, 9, 8), dtype), normal((5, 6, 3, 3), dtype), normal((2, 5, 7, 6))
    dy, skip = dy.astype(dtype), normal(x.shape, dtype)
    expected = F.add(F.conv2d_input(x.shape, weight, dy), skip).tobytes()
    for other in (skip, *layouts(skip)):
        before = other.tobytes()
        assert input_gradient("conv2d", (), x, weight, dy, other).tobytes() == expected
        assert other.tobytes() == before
    # In its own place.
    found = input_gradient("conv2d", (), x, weight, dy, skip, out=(skip, None, None))
    assert found is skip
    assert skip.tobytes() == expected


@pytest.mark.parametrize(
    ("skip", "error", "message"),
    [
        (np.zeros((1, 2, 5, 4)), ValueError, r"skip must have shape input.shape"),
        (np.zeros((1, 2, 5, 5), np.float32), TypeError, "skip must have the dtype of input"),
        ([[1.0]], TypeError, "skip must be a numpy.ndarray, got list"),
    ],
)
def test_wrong_skips_are_refused(skip, error, message):
    x, weight, dy = np.zeros((1, 2, 5, 5)), np.zeros((3, 2, 3, 3)), np.zeros((1, 3, 3, 3))
    with pytest.raises(error, match=message):
        F.conv2d_backward(x, weight, dy, skip=skip)


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"residual": np.zeros((1, 3, 3, 4))}, ValueError, r"residual must have shape"),
        ({"residual": np.zeros((3, 3, 3))}, ValueError, r"residual must have shape"),
        ({"residual": np.zeros((1, 3, 3, 3), np.float32)}, TypeError, "residual must have the dt"),
        ({"residual": [[1.0]]}, TypeError, "residual must be a numpy.ndarray, got list"),
        ({"activation": "tanh"}, ValueError, "one of 'relu', 'relu6', 'hardtanh', 'leaky_relu', g"),
        ({"activation": 3}, TypeError, "activation must be a str, or a tuple"),
        ({"activation": ()}, TypeError, "activation must be a str, or a tuple"),
        ({"activation": ("relu", 1)}, ValueError, "'relu' has 0 numbers behind it"),
        ({"activation": ("hardtanh", 1)}, ValueError, "'hardtanh' has 2 numbers behind it"),
        ({"activation": ("hardtanh", 1, -1)}, ValueError, "limits in order"),
        ({"activation": ("leaky_relu", "a")}, TypeError, "must be a number, got str"),
    ],
)
def test_misuse_is_refused(more, error, message):
    with pytest.raises(error, match=message):
        F.conv2d(np.zeros((1, 2, 5, 5)), np.zeros((3, 2, 3, 3)), **more)
