"""The kernels of one channel by themselves, on any number of axes; F shows them to other tests."""

import numpy as np
import pytest

from fastconv import _kernels
from fastconv._geometry import conv_geometry
from fastconv.engine.base.axes import forward_axes, gradient_axes
from fastconv.engine.base.kernel import Dispatch, recorded
from fastconv.engine.base.operation import moves
from fastconv.engine.depthwise.correlation import Correlation
from fastconv.engine.depthwise.weight import WeightGradient
from tests._cases import DTYPES

OPERATIONS = ("conv2d", "conv2d_input", "conv2d_weight")


def kernel_of(operation, geometry):
    if operation == "conv2d_weight":
        return WeightGradient(forward_axes(geometry))
    axes = gradient_axes if operation == "conv2d_input" else forward_axes
    return Correlation(axes(geometry))


def compute(kernel, operation, geometry, *arrays):
    dispatch = Dispatch(2 + len(geometry.kernel), geometry.groups, lambda *_: (None, kernel))
    methods = dict(
        zip(
            OPERATIONS,
            (dispatch.forward, dispatch.input_gradient, dispatch.weight_gradient),
            strict=True,
        )
    )
    methods[operation](*arrays)


def laid_out(rng, shape, dtype):
    """Return integers in memory that lies in one of several ways."""
    array = rng.integers(-3, 4, shape).astype(dtype)
    kind = rng.integers(4)
    if kind == 0:
        return np.asfortranarray(array)
    if kind == 1:
        return np.ascontiguousarray(array[..., ::-1])[..., ::-1]
    if kind == 2:
        apart = np.empty((*shape[:-1], 2 * shape[-1]), dtype)
        apart[..., ::2] = array
        return apart[..., ::2]
    return array


def draw(rng):
    """Return a geometry of one to three axes, or None where the kernel does not fit."""
    axes = rng.integers(1, 4)
    groups, kernels, batch = rng.choice([1, 2, 5, 20]), rng.integers(1, 4), rng.integers(1, 4)
    size, taps = rng.choice([1, 2, 5, 9, 16, 18, 33], axes), rng.integers(1, 6, axes)
    stride, dilation = rng.choice([1, 1, 2, 3], axes), rng.integers(1, 4, axes)
    padding = [(int(before), int(after)) for before, after in rng.integers(0, 5, (axes, 2))]
    shape = (int(batch), int(groups), *size.tolist())
    weight = (int(groups * kernels), 1, *taps.tolist())
    try:
        return conv_geometry(
            shape,
            weight,
            tuple(stride.tolist()),
            tuple(padding),
            tuple(dilation.tolist()),
            shape[1],
        )
    except ValueError:
        return None


@pytest.mark.parametrize("seed", range(8))
def test_any_axes_and_layouts_against_plain_loops(seed):
    rng = np.random.default_rng(seed)
    drawn = [geometry for geometry in (draw(rng) for _ in range(80)) if geometry is not None]
    assert len(drawn) > 20
    for geometry in drawn:
        dtype = DTYPES[rng.integers(2)]
        x = laid_out(rng, (geometry.batch, geometry.in_channels, *geometry.in_size), dtype)
        weight = laid_out(rng, (geometry.out_channels, 1, *geometry.kernel), dtype)
        bias = laid_out(rng, (geometry.out_channels,), dtype) if rng.random() < 0.5 else None
        residual = laid_out(rng, geometry.output_shape, dtype)
        for operation, read, shape in (
            ("conv2d", (x, weight, bias), residual.shape),
            ("conv2d_input", (residual, weight, None), x.shape),
            ("conv2d_weight", (x, residual), weight.shape),
        ):
            found, expected = (np.full(shape, np.nan, dtype) for _ in range(2))
            compute(kernel_of(operation, geometry), operation, geometry, *read, found)
            plain = _kernels.Plain(operation, False, *moves(geometry))
            compute(plain, operation, geometry, *read, expected)
            np.testing.assert_array_equal(found, expected, f"{operation} of {geometry}")


def test_zeros_where_no_output_reads_the_input():
    # The stride jumps over the only column that is not padding.
    geometry = conv_geometry((1, 2, 1, 1), (2, 1, 1, 1), (3, 3), ((1, 2), (1, 2)), (1, 1), 2)
    gradient = np.full((1, 2, 1, 1), np.nan)
    arrays = np.ones(geometry.output_shape), np.ones((2, 1, 1, 1)), None
    compute(kernel_of("conv2d_input", geometry), "conv2d_input", geometry, *arrays, gradient)
    assert not gradient.any()


def test_what_ran_is_recorded_with_the_tile_of_the_plan():
    geometry = conv_geometry((1, 2, 40, 99), (2, 1, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 2)
    x, weight = np.ones((1, 2, 40, 99), np.float32), np.ones((2, 1, 3, 3), np.float32)
    kernel = kernel_of("conv2d", geometry)
    with recorded() as ran:
        compute(kernel, "conv2d", geometry, x, weight, None, np.empty_like(x))
    assert ran == [("depthwise rows", kernel.tile)]
    assert kernel.tile[0] == 4
    kernel = kernel_of("conv2d_weight", geometry)
    with recorded() as ran:
        compute(kernel, "conv2d_weight", geometry, x, x, weight)
    assert ran == [("depthwise sums", kernel.tile)]
    assert kernel.tile[0] == 9
