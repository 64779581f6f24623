"""Padding and its gradient against the reference, against torch, and under hostile calls."""

from itertools import product

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from tests._cases import torch_or_skip

MODES = ["constant", "reflect", "replicate", "circular", "symmetric"]
# torch has no other.
TORCH_MODES = MODES[:4]
DTYPES = [np.float32, np.float64]

# Shapes and paddings that every mode allows.
CASES = [
    ((4,), (2, 3)),
    ((1,), (0, 0)),
    ((3, 5), (4, 1)),
    ((3, 5), (0, 2, 2, 0)),
    ((2, 3, 4), (1, 2, 2, 0)),
    ((2, 2, 4, 3), (2, 2, 3, 3)),
    ((2, 2, 4, 3), (0, 0, 1, 2)),
    ((2, 2, 4, 3), (0, 0, 1, 2, 1, 0)),
    ((2, 1, 3, 2, 3), (2, 1, 0, 1, 1, 2)),
    ((2, 2, 3), ()),
    ((), ()),
    ((0, 2, 3), (1, 2)),
]
CROPPING = [
    ((4,), (-1, 2)),
    ((4,), (-2, -2)),
    ((4,), (3, -4)),
    ((3, 5), (-1, 0, 1, -2)),
    ((2, 3, 4), (1, -3, -1, -1)),
    ((2, 0), (1, 1)),
]
ALL = [(*case, mode) for case, mode in product(CASES, MODES)]
ALL += [(*case, "constant") for case in CROPPING]
# Some cells are taken away, on one side even more than there are.
ALL += [
    (*case, mode)
    for case in (
        ((4,), (-1, 2)),
        ((4,), (1, -2)),
        ((4,), (-1, -2)),
        ((3, 5), (-1, 0, 1, -2)),
        ((2, 3, 5), (1, -2, -1, -1)),
        ((2, 3, 9, 4), (-1, 1, 2, -3, -1, 0)),
        ((2, 2, 3, 4, 5, 3), (1, -1, -2, 2, 0, -1, 1, -1, 1, -1, -1, 0)),
    )
    for mode in MODES[1:]
    if mode != "circular" or case[0] != (2, 2, 3, 4, 5, 3)
]
ALL += [
    (shape, pad, mode)
    for shape, pad in (((4,), (3, -6)), ((4,), (-6, 3)), ((2, 4, 4), (2, -5, -5, 2)))
    for mode in ("reflect", "replicate", "symmetric")
]


def integers(shape, dtype=np.float64, seed=1):
    return np.random.default_rng(seed).integers(1, 100, shape).astype(dtype)


def padded_shape(shape, pad):
    cells = [0] * (len(shape) - len(pad) // 2)
    cells += [pad[i] + pad[i + 1] for i in range(len(pad) - 2, -1, -2)]
    return tuple(n + more for n, more in zip(shape, cells, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "pad", "mode"), ALL)
def test_padding_equals_the_reference(shape, pad, mode, dtype):
    x = integers(shape, dtype)
    value = 7.0 if mode == "constant" else 0.0
    padded = F.pad(x, pad, mode, value)
    assert padded.dtype == dtype
    assert padded.shape == padded_shape(shape, pad)
    assert padded.flags.c_contiguous
    np.testing.assert_array_equal(padded, reference.pad(x, pad, mode, value))
    assert not np.shares_memory(padded, x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "pad", "mode"), ALL)
def test_the_gradient_equals_the_reference(shape, pad, mode, dtype):
    residual = integers(padded_shape(shape, pad), dtype)
    kept = residual.copy()
    gradient = F.pad_backward(residual, shape, pad, mode)
    assert gradient.dtype == dtype
    assert gradient.shape == shape
    assert not np.shares_memory(gradient, residual)
    np.testing.assert_array_equal(gradient, reference.pad_backward(kept, shape, pad, mode))
    np.testing.assert_array_equal(residual, kept)


@pytest.mark.parametrize("room", [F, reference], ids=["functional", "reference"])
@pytest.mark.parametrize(("shape", "pad", "mode"), ALL)
def test_the_gradient_is_the_transpose_of_padding(room, shape, pad, mode):
    # Padding is linear, so its matrix has the padded unit arrays as columns.
    count, padded = int(np.prod(shape)), padded_shape(shape, pad)
    matrix = np.zeros((int(np.prod(padded)), count))
    for i in range(count):
        unit = np.zeros(count)
        unit[i] = 1
        matrix[:, i] = room.pad(unit.reshape(shape), pad, mode).ravel()
    residual = integers(padded)
    expected = (residual.ravel() @ matrix).reshape(shape)
    np.testing.assert_array_equal(room.pad_backward(residual, shape, pad, mode), expected)


def test_modes_by_hand():
    line = np.array([[1.0, 2, 3, 4]])
    for mode, expected in {
        "constant": [9, 9, 9, 1, 2, 3, 4, 9, 9],
        "reflect": [4, 3, 2, 1, 2, 3, 4, 3, 2],
        "replicate": [1, 1, 1, 1, 2, 3, 4, 4, 4],
        "circular": [2, 3, 4, 1, 2, 3, 4, 1, 2],
        "symmetric": [3, 2, 1, 1, 2, 3, 4, 4, 3],
    }.items():
        value = 9.0 if mode == "constant" else 0.0
        np.testing.assert_array_equal(F.pad(line, (3, 2), mode, value), [expected])
        np.testing.assert_array_equal(F.pad(line.T, (0, 0, 3, 2), mode, value)[:, 0], expected)


@pytest.mark.parametrize("mode", TORCH_MODES)
def test_agrees_with_torch_on_every_small_axis(mode):
    torch = torch_or_skip("padding of every small axis")
    served = refused = 0
    for n, before, after in product(range(5), range(-6, 7), range(-6, 7)):
        left = n + min(before, 0) + min(after, 0)
        if mode == "circular" and max(before, after) > max(left, 0):
            # torch wraps what it has not written yet, if it does not refuse.
            for room in (F, reference):
                with pytest.raises(ValueError, match="pad"):
                    room.pad(integers((1, 2, n)), (before, after), mode)
            continue
        x = integers((1, 2, n))
        tensor = torch.tensor(x, requires_grad=True)
        try:
            expected = torch.nn.functional.pad(tensor, (before, after), mode)
        except RuntimeError:
            for room in (F, reference):
                with pytest.raises(ValueError, match="pad"):
                    room.pad(x, (before, after), mode)
                with pytest.raises(ValueError, match="pad"):
                    room.pad_backward(x, x.shape, (before, after), mode)
            refused += 1
            continue
        padded = F.pad(x, (before, after), mode)
        np.testing.assert_array_equal(padded, expected.detach())
        residual = integers(padded.shape, seed=2)
        expected.backward(torch.tensor(residual))
        gradient = F.pad_backward(residual, x.shape, (before, after), mode)
        np.testing.assert_array_equal(gradient, tensor.grad)
        served += 1
    assert min(served, refused) > 10


def test_symmetric_cells_are_numpys():
    for n, before, after in product(range(1, 6), range(6), range(6)):
        x = integers((2, n))
        if max(before, after) <= n:
            expected = np.pad(x, ((0, 0), (before, after)), "symmetric")
            np.testing.assert_array_equal(F.pad(x, (before, after), "symmetric"), expected)
            continue
        for room in (F, reference):
            with pytest.raises(ValueError, match="pad"):
                room.pad(x, (before, after), "symmetric")


@pytest.mark.parametrize(
    ("shape", "pad", "mode"),
    [
        *(((2, 3, 4, 5), (2, 1, 0, 3), mode) for mode in TORCH_MODES),
        *(((2, 2, 3, 4, 5), (1, 4, 3, 0, 2, 1), mode) for mode in TORCH_MODES if mode != "reflect"),
        ((2, 2, 3, 4, 5), (1, 4, 3, 0, 2, 1), "reflect"),
        ((2, 3, 4, 5), (1, -1, -2, 0, 3, 0, 0, 1), "constant"),
        *(
            (shape, pad, mode)
            for mode in TORCH_MODES[1:]
            for shape, pad in (
                ((2, 3, 4), (-1, 2)),
                ((2, 3, 4, 5), (1, -1, -2, 1)),
                ((2, 2, 4, 4, 5), (-1, 2, -1, -1, 2, -1)),
            )
        ),
    ],
)
def test_agrees_with_torch_on_several_axes(shape, pad, mode):
    torch = torch_or_skip("padding of several axes")
    x = integers(shape)
    tensor = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.pad(tensor, pad, mode)
    np.testing.assert_array_equal(F.pad(x, pad, mode), expected.detach())
    residual = integers(expected.shape, seed=2)
    expected.backward(torch.tensor(residual))
    np.testing.assert_array_equal(F.pad_backward(residual, shape, pad, mode), tensor.grad)


@pytest.mark.parametrize("mode", MODES)
def test_any_memory_order_and_byte_order(mode):
    x = integers((2, 3, 4, 5))
    pad = (2, 1, 1, 2)
    expected = F.pad(x, pad, mode)
    read_only = x.copy()
    read_only.flags.writeable = False
    strided = np.empty((4, 3, 8, 10))[::-2, :, ::2, ::-2]
    strided[...] = x
    for same in (
        np.asfortranarray(x),
        np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1),
        strided,
        read_only,
        x.astype(">f8"),
    ):
        np.testing.assert_array_equal(F.pad(same, pad, mode), expected)
    gradient = F.pad_backward(expected, x.shape, pad, mode)
    for same in (np.asfortranarray(expected), expected.astype(">f8")):
        np.testing.assert_array_equal(F.pad_backward(same, x.shape, pad, mode), gradient)


@pytest.mark.parametrize("mode", MODES)
def test_out_is_written_and_returned(mode):
    x = integers((2, 3, 4))
    pad = (1, 2, 2, 0)
    expected = F.pad(x, pad, mode)
    buffer = np.full((4, 5, 7), np.nan)
    out = buffer[::2]
    assert F.pad(x, pad, mode, out=out) is out
    np.testing.assert_array_equal(out, expected)
    assert np.isnan(buffer[1::2]).all()
    gradient = F.pad_backward(expected, x.shape, pad, mode)
    target = np.full_like(x, np.nan)
    assert F.pad_backward(expected, x.shape, pad, mode, out=target) is target
    np.testing.assert_array_equal(target, gradient)


@pytest.mark.parametrize("mode", MODES)
def test_out_may_overlap_the_input(mode):
    memory = integers(60)
    x, out = memory[:12].reshape(3, 4), memory[5:47].reshape(6, 7)
    expected = F.pad(x.copy(), (1, 2, 2, 1), mode)
    np.testing.assert_array_equal(F.pad(x, (1, 2, 2, 1), mode, out=out), expected)
    residual = expected.copy()
    gradient = F.pad_backward(residual.copy(), (3, 4), (1, 2, 2, 1), mode)
    target = residual.reshape(-1)[9:21].reshape(3, 4)
    F.pad_backward(residual, (3, 4), (1, 2, 2, 1), mode, out=target)
    np.testing.assert_array_equal(target, gradient)


# Of several tasks, and with more padded axes, or axes in all, than the kernel has.
LARGE = [
    ((150, 211), (5, 3, 1, 4)),
    ((1, 1, 3, 90, 97), (2, 1, 0, 3, 1, 1)),
    ((40, 6, 33), (0, 0, 0, 0, 7, 2)),
    ((2, 3, 4, 5, 6), (2, 1, 1, 3, 0, 2, 1, 1, 1, 0)),
    ((3, 2, 4, 3, 2, 5), (1, 2, 0, 0, 2, 1)),
    ((3, 2, 4, 3, 2, 5), (0, 0, 0, 0, 0, 0, 1, 3, 0, 1, 2, 0)),
    ((2, 3, 2, 3, 2, 3, 4), (1, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1)),
]
NUMPY_MODES = {"replicate": "edge", "circular": "wrap"}


def shown(shape, pad, mode):
    """Return which cell of the input each cell of the padded array shows, by NumPy."""
    pairs = list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    pairs = [(0, 0)] * (len(shape) - len(pairs)) + pairs
    options = {"constant_values": -1} if mode == "constant" else {}
    cells = np.arange(np.prod(shape)).reshape(shape)
    return np.pad(cells, pairs, NUMPY_MODES.get(mode, mode), **options)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "pad"), LARGE, ids=str)
def test_many_axes_and_tasks_for_any_number_of_threads(shape, pad, mode, dtype):
    pad = tuple(min(n, 1) for n in pad) if mode == "reflect" else pad
    x = integers(shape, dtype)
    cells = shown(shape, pad, mode)
    value = 7.5 if mode == "constant" else 0.0
    expected = np.where(cells < 0, dtype(value), x.ravel()[cells])
    residual = integers(expected.shape, dtype, 2)
    gradient = np.zeros(x.size, dtype)
    np.add.at(gradient, cells[cells >= 0], residual[cells >= 0])
    # Not contiguous in any order, neither what is read nor what is written.
    wide = np.full((*shape[:-1], 2 * shape[-1]), np.nan, dtype)
    wide[..., ::2] = x
    apart = np.full((2 * expected.shape[0], *expected.shape[1:]), np.nan, dtype)[::2]
    for threads in (1, 2, 8):
        with fastconv.num_threads(threads):
            np.testing.assert_array_equal(F.pad(x, pad, mode, value), expected)
            for same in (np.asfortranarray(x), wide[..., ::2]):
                np.testing.assert_array_equal(F.pad(same, pad, mode, value), expected)
            if apart.ndim > 2:
                F.pad(x, pad, mode, value, out=apart)
                np.testing.assert_array_equal(apart, expected)
                assert np.isnan(apart.base[1::2]).all()
            for same in (residual, np.asfortranarray(residual)):
                found = F.pad_backward(same, shape, pad, mode)
                np.testing.assert_array_equal(found.ravel(), gradient)


@pytest.mark.parametrize("mode", MODES[1:])
def test_the_gradient_has_the_same_bits_for_any_number_of_threads(mode):
    residual = np.random.default_rng(0).standard_normal((2, 90, 100)).astype(np.float32)
    shape, pad = (2, 70, 84), (8, 8, 9, 11)
    with fastconv.num_threads(1):
        expected = F.pad_backward(residual, shape, pad, mode)
    for threads in range(2, 9):
        with fastconv.num_threads(threads):
            again = F.pad_backward(residual, shape, pad, mode)
        assert again.tobytes() == expected.tobytes()


def test_special_values_are_copied():
    x = np.array([[np.nan, np.inf, -np.inf]])
    expected = [[-np.inf, np.inf, np.nan, np.inf, -np.inf]]
    np.testing.assert_array_equal(F.pad(x, (2, 0), "reflect"), expected)
    np.testing.assert_array_equal(F.pad(np.ones(1), (1, 0), value=np.nan), [np.nan, 1])
    # Zero gradient where a cell was taken away, whatever its residual's neighbours are.
    gradient = F.pad_backward(np.array([np.nan, 5.0]), (3,), (1, -2))
    np.testing.assert_array_equal(gradient, [5, 0, 0])


X = np.ones((2, 3, 4))

HOSTILE = [
    (([1.0, 2.0], (1, 1)), TypeError, "input must be a numpy.ndarray, got list"),
    ((np.ones(3, int), (1, 1)), TypeError, "float32 or float64, got int64"),
    ((np.ones(3, object), (1, 1)), TypeError, "float32 or float64, got object"),
    ((np.ma.ones(3), (1, 1)), TypeError, "masked"),
    ((X, 1), TypeError, "pad must be a tuple of integers, got int"),
    ((X, np.array([1, 1])), TypeError, "pad must be a tuple of integers, got ndarray"),
    ((X, (1.0, 1)), TypeError, r"pad\[0\] must be an integer, got float 1.0"),
    ((X, (1, True)), TypeError, r"pad\[1\] must be an integer, got bool"),
    ((X, ((1, 1),)), ValueError, "two entries for each padded axis"),
    ((X, ((1, 1), (1, 1))), TypeError, r"pad\[0\] must be an integer"),
    ((X, (1,)), ValueError, "two entries for each padded axis"),
    ((X, (1,) * 8), ValueError, r"at most 2\*3 for an input of shape \(2, 3, 4\), got 8"),
    ((X, (2**63, 0)), ValueError, "at most"),
    ((X, (2**62, 2**62)), ValueError, "larger than any array"),
    ((X, (1, 1), "mirror"), ValueError, "mode must be one of .*, got 'mirror'"),
    ((X, (1, 1), "zeros"), ValueError, "mode must be one of"),
    ((X, (1, 1), 0), TypeError, "mode must be a str, got int"),
    ((X, (1, 1), "constant", "0"), TypeError, "value must be a number, got str"),
    ((X, (1, 1), "constant", True), TypeError, "value must be a number, got bool"),
    ((X, (1, 1), "reflect", 1.0), ValueError, "value must be 0 with mode='reflect'"),
    ((X, (-3, -2)), ValueError, r"at most the 4 cells of axis -1, got \(-3, -2\)"),
    ((X, (0, 0, 5, -4)), ValueError, r"at most the 3 cells of axis -2, got \(5, -4\)"),
    ((X, (0, 0, 1, 3), "reflect"), ValueError, r"less .* the 3 cells of axis -2, got \(1, 3\)"),
    ((X, (5, 0), "circular"), ValueError, r"at most, .* the 4 cells of axis -1, got \(5, 0\)"),
    ((X, (0, 5), "symmetric"), ValueError, r"at most, .* the 4 cells of axis -1, got \(0, 5\)"),
    ((X[..., :0], (1, 0), "replicate"), ValueError, "at least one of the 0 cells of axis -1"),
    ((X, (-2, -2), "reflect"), ValueError, r"at least one of the 4 cells of axis -1"),
    ((X, (-5, 4), "reflect"), ValueError, r"less on each side than the 4 cells of axis -1"),
    ((X, (1, -5), "replicate"), ValueError, r"at least one of the 4 cells of axis -1"),
    ((X, (2, -3), "circular"), ValueError, r"what is left of the 4 cells of axis -1"),
    ((X, (0, -5), "circular"), ValueError, r"what is left of the 4 cells of axis -1"),
    ((X, (1, -6), "symmetric"), ValueError, r"at most, .* the 4 cells of axis -1"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), HOSTILE)
def test_hostile_calls_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        F.pad(*arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0], (1,), (0, 0)), TypeError, "grad_output must be a numpy.ndarray, got list"),
        ((X, 3, (0, 0)), TypeError, "input_size must be a tuple of integers, got int"),
        ((X, (2, 3, 4.0), (0, 0)), TypeError, r"input_size\[2\] must be an integer"),
        ((X, (2, 3, -4), (0, 0)), ValueError, r"input_size\[2\] must be at least 0"),
        ((X, (2, 3, 4), (0, 1)), ValueError, r"after = \(2, 3, 5\), got \(2, 3, 4\)"),
        ((X, (3, 4), (0, 0)), ValueError, r"after = \(3, 4\), got \(2, 3, 4\)"),
        ((X, (2, 3, 2), (2, 0), "reflect"), ValueError, "less on each side than the 2 cells"),
        ((X, (2, 3, 3), (1, 0), "mirror"), ValueError, "mode must be one of"),
        ((X, (2, 3, 3), (1,)), ValueError, "two entries for each padded axis"),
    ],
)
def test_hostile_calls_of_the_gradient_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        F.pad_backward(*arguments)


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.empty((2, 3, 5)), ValueError),
        (np.empty((2, 3, 6), np.float32), ValueError),
        (np.empty((2, 3, 12))[..., ::2], ValueError),
        ([0.0], TypeError),
    ],
)
def test_wrong_out_is_refused(out, error):
    with pytest.raises(error, match="out must"):
        F.pad(X, (1, 1), out=out)
    with pytest.raises(error, match="out must"):
        F.pad_backward(np.ones((2, 3, 8)), (2, 3, 6), (1, 1), out=out)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((X.tolist(), (1, 1)), TypeError),
        ((X.astype(int), (1, 1)), TypeError),
        ((X, (1.0, 1)), TypeError),
        ((X, (1,)), ValueError),
        ((X, (1,) * 8), ValueError),
        ((X, (1, 1), "mirror"), ValueError),
        ((X, (1, 1), "reflect", 1.0), ValueError),
        ((X, (-2, -2), "reflect"), ValueError),
        ((X, (2, -3), "circular"), ValueError),
        ((X, (1, -6), "symmetric"), ValueError),
    ],
)
def test_the_reference_refuses_wrong_calls_too(arguments, error):
    with pytest.raises(error):
        reference.pad(*arguments)


def test_the_reference_refuses_a_residual_of_another_shape():
    with pytest.raises(ValueError, match=r"\(2, 3, 4\), expected \(2, 3, 5\)"):
        reference.pad_backward(X, (2, 3, 4), (0, 1))
