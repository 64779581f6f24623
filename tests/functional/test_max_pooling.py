"""Max pooling over one to three axes: reference, bytes, padding, ONNX's rule, torch, places."""

from itertools import product

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from fastconv.functional import _pooling
from tests._cases import (
    DTYPES,
    ISAS,
    assert_exact,
    assert_gradient,
    integers,
    isa_or_skip,
    normal,
    run_tests_code,
    torch_or_skip,
)
from tests._pooling import (
    GEOMETRIES,
    IDS,
    assert_layouts,
    assert_out,
    maps,
    pool,
    residual_of,
    same_bits_for_threads,
    sizes_off_a_vector,
)

BYTES = (np.uint8, np.int8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", GEOMETRIES, ids=IDS)
def test_equals_reference_exactly(case, dtype):
    size, *options = case
    ours, theirs = pool("max_pool{}d", len(size))
    x = maps(size, dtype)
    expected, places = theirs(x, *options, True)
    output, indices = ours(x, *options, return_indices=True)
    assert_exact(output, expected)
    assert_exact(indices, places)
    assert_exact(ours(x, *options), expected)
    assert_exact(ours(x[1], *options, True)[1], places[1])
    back, slow = pool("max_pool{}d_backward", len(size))
    residual = integers(output.shape, dtype, 1)
    gradient = slow(residual, indices, x.shape)
    assert_exact(back(residual, indices, x.shape), gradient)
    assert_exact(back(residual[1], indices[1], x[1].shape), gradient[1])


def check_bytes():
    """Bytes give what their values give in float64, with places and without."""
    for dtype, case in product(BYTES, GEOMETRIES):
        size, *options = case
        ours, theirs = pool("max_pool{}d", len(size))
        limits = np.iinfo(dtype)
        rng = np.random.default_rng(3)
        x = rng.integers(limits.min, limits.max, (2, 3, *size), dtype, endpoint=True)
        # Ties, also at the smallest value, which padding must not beat.
        x[0, 0] = limits.min
        expected, places = theirs(x.astype(float), *options, True)
        output, indices = ours(x, *options, return_indices=True)
        assert_exact(output, expected.astype(dtype))
        assert_exact(indices, places)
        assert_exact(ours(x, *options), output)
        back = x[..., ::-1].copy()[..., ::-1]
        assert_exact(ours(back, *options), output)


@pytest.mark.parametrize("isa", ISAS)
def test_bytes(isa):
    isa_or_skip(isa)
    run_tests_code("functional.test_max_pooling", "check_bytes()", FASTCONV_ISA=isa)


def test_bytes_into_out_and_wide_rows():
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 131), np.uint8)
    expected = reference.max_pool2d(x, 3, 1, 1)
    out = np.empty(expected.shape, np.uint8)
    assert F.max_pool2d(x, 3, 1, 1, out=out) is out
    assert_exact(out, expected)
    # In place, as if the input had been copied.
    assert F.max_pool2d(x, 3, 1, 1, out=x) is x
    assert_exact(x, expected)


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.bool_, np.float16, np.complex64])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(TypeError, match="input must have dtype"):
        F.max_pool1d(np.zeros((1, 2, 4), dtype), 2)


@pytest.mark.parametrize("length", sizes_off_a_vector())
def test_rows_one_off_a_vector(length):
    x = integers((1, 2, 5, length), np.float32)
    for kernel, stride in ((2, 2), (3, 2), (3, 1), (5, 3), ((5, 2), (1, 2))):
        if np.max(kernel) > length:
            continue
        expected = reference.max_pool2d(x, kernel, stride, return_indices=True)
        for ours, theirs in zip(
            F.max_pool2d(x, kernel, stride, return_indices=True), expected, strict=True
        ):
            assert_exact(ours, theirs)
        assert_exact(F.max_pool2d(x, kernel, stride), expected[0])


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_layouts_and_out(axes):
    ours, _ = pool("max_pool{}d", axes)
    back, _ = pool("max_pool{}d_backward", axes)
    x = integers((2, 3, *(5, 7, 9)[-axes:]), np.float32)
    assert_layouts(lambda x: ours(x, 3, 2, 1), x)
    assert_layouts(lambda x: ours(x, 3, 2, 1, return_indices=True)[1], x)
    output, indices = ours(x, 3, 2, 1, return_indices=True)
    residual = residual_of(output)
    assert_layouts(lambda d: back(d, indices, x.shape), residual)
    assert_layouts(lambda i: back(residual, i, x.shape), indices)
    assert_out(lambda out=None: ours(x, 3, 2, 1, out=out))
    assert_out(lambda out=None: back(residual, indices, x.shape, out=out))


def test_out_must_be_contiguous_along_all_spatial_axes():
    x = integers((1, 1, 4, 4, 4))
    with pytest.raises(ValueError, match="out must have contiguous maps, its last three axes"):
        F.max_pool3d(x, 2, out=np.empty((1, 1, 4, 2, 2))[:, :, ::2])
    # Over one axis the channels' strides are free.
    line = integers((1, 3, 8))
    out = np.empty((1, 6, 4))[:, ::2]
    assert F.max_pool1d(line, 2, out=out) is out
    assert_exact(out.copy(), F.max_pool1d(line, 2))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axes", [1, 3])
def test_threads_do_not_change_bits(axes, dtype):
    ours, _ = pool("max_pool{}d", axes)
    back, _ = pool("max_pool{}d_backward", axes)
    x = normal((6, 7, *(9, 20, 33)[-axes:]), dtype)

    def call():
        output, indices = ours(x, 3, 2, 1, return_indices=True)
        return output, indices, back(output, indices, x.shape)

    same_bits_for_threads(fastconv, call)


def test_the_first_maximum_and_the_first_nan_win_in_a_volume():
    indices = F.max_pool3d(np.zeros((1, 4, 4, 6)), 2, return_indices=True)[1]
    assert indices[0, 1, 1].tolist() == [60, 62, 64]
    volume = np.zeros((1, 2, 2, 2))
    volume[0, 1, 0, 1] = volume[0, 1, 1, 0] = np.nan
    output, indices = F.max_pool3d(volume, 2, return_indices=True)
    assert np.isnan(output).all()
    assert indices.item() == 5


def test_planes_with_more_cells_than_float32_tells_apart(monkeypatch):
    x = maps((5, 6), np.float32)
    expected = reference.max_pool2d(x, 3, 2, 1, return_indices=True)
    signed = np.arange(-60, 60, dtype=np.int8).reshape(2, 2, 5, 6)
    monkeypatch.setattr(_pooling, "_PLACES", 30)
    for ours, theirs in zip(F.max_pool2d(x, 3, 2, 1, return_indices=True), expected, strict=True):
        assert_exact(ours, theirs)
    expected = reference.max_pool2d(signed, 3, 2, 1, return_indices=True)
    for ours, theirs in zip(
        F.max_pool2d(signed, 3, 2, 1, return_indices=True), expected, strict=True
    ):
        assert_exact(ours, theirs)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_padding_that_leaves_a_window_nothing_is_refused(axes):
    ours, _ = pool("max_pool{}d", axes)
    x = integers((1, 1, *(4,) * axes))
    for pair in ((3, 0), (0, 5)):
        with pytest.raises(ValueError, match="holds no input position: size 4, kernel_size 3"):
            ours(x, 3, 1, (pair,) * axes)
    assert ours(x, 3, 1, ((2, 2),) * axes).shape == (1, 1, *(6,) * axes)


def test_ceil_mode_is_a_bool_or_onnx():
    x = integers((1, 1, 5))
    for mode, count in ((False, 2), (True, 3), ("onnx", 2), (1, 3)):
        assert F.max_pool1d(x, 2, padding="valid", ceil_mode=mode).shape[-1] == count
    assert F.max_pool1d(x, 2, ceil_mode="onnx").shape[-1] == 3
    with pytest.raises(ValueError, match="ceil_mode must be a bool or 'onnx', got 'ONNX'"):
        F.max_pool1d(x, 2, ceil_mode="ONNX")


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_wrong_ranks_are_refused(axes):
    ours, _ = pool("max_pool{}d", axes)
    names = "D, H, W"[-3 * axes + 2 :]
    for ndim in (axes, axes + 3):
        with pytest.raises(ValueError, match=rf"input must be \(N, C, {names}\)"):
            ours(np.zeros((2,) * ndim), 1)
    back, _ = pool("max_pool{}d_backward", axes)
    with pytest.raises(ValueError, match="input_size must"):
        back(np.zeros((1,) * (axes + 1)), np.zeros((1,) * (axes + 1), np.int64), (1,) * axes)
    formula = r"\*".join("DHW"[-axes:])
    with pytest.raises(
        ValueError, match=rf"indices must be from 0 to {formula} - 1 = {2**axes - 1}"
    ):
        back(
            np.zeros((1,) * (axes + 1)),
            np.full((1,) * (axes + 1), 2**axes),
            (1, *(2,) * axes),
        )


@pytest.mark.parametrize("axes", [1, 3])
def test_gradient_is_the_numerical_one(axes):
    ours, _ = pool("max_pool{}d", axes)
    back, _ = pool("max_pool{}d_backward", axes)
    size = (3, 3, 5)[-axes:]
    # Distinct numbers, further apart than the step of the differences.
    x = np.random.default_rng(5).permutation(2 * np.prod(size)).reshape(1, 2, *size) * 3.0
    output, indices = ours(x, 2, 1, 1, return_indices=True)
    residual = normal(output.shape)
    gradient = back(residual, indices, x.shape)
    assert_gradient(lambda x: ours(x, 2, 1, 1), gradient, x, residual, linear=True)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_agrees_with_torch(axes):
    torch = torch_or_skip("max pooling over 1 to 3 axes")
    ours, _ = pool("max_pool{}d", axes)
    back, _ = pool("max_pool{}d_backward", axes)
    theirs = getattr(torch.nn.functional, f"max_pool{axes}d_with_indices")
    compared = 0
    # With ceil_mode, dilation and padding together torch may write outside its plane.
    for kernel, stride, padding, dilation, ceil in product(
        (2, 3), (1, 2, 3), (0, 1), (1, 2), (False, True)
    ):
        if ceil and padding and dilation > 1:
            continue
        x = integers((2, 2, *(6, 7, 9)[-axes:]), seed=kernel)
        tensor = torch.from_numpy(x).requires_grad_()
        expected, places = theirs(tensor, kernel, stride, padding, dilation, ceil)
        output, indices = ours(x, kernel, stride, padding, dilation, ceil, return_indices=True)
        assert_exact(output, expected.detach().numpy())
        assert_exact(indices, places.numpy())
        residual = residual_of(output)
        expected.backward(torch.from_numpy(residual))
        assert_exact(back(residual, indices, x.shape), tensor.grad.numpy())
        compared += 1
    assert compared > 30
