"""The convolution kernels over one, two and three axes; two of them are public."""

import numpy as np
import pytest

from fastconv._geometry import conv_geometry
from fastconv.engine.plan import OPERATIONS
from fastconv.reference.conv import conv_nd, conv_nd_input, conv_nd_weight
from tests._cases import DTYPES, able, assert_exact, inner_call, integers

# batch, channels, size; kernels, kernel size; stride, padding, dilation, groups.
CASES = [
    ((1, 1, 1), (1, 1), (1,), ((0, 0),), (1,), 1),
    ((2, 5, 33), (7, 3), (1,), ((1, 1),), (1,), 1),
    ((1, 3, 200), (13, 7), (3,), ((2, 4),), (2,), 1),
    ((2, 6, 31), (6, 4), (4,), ((6, 0),), (6,), 3),
    ((1, 2, 12), (4, 2), (5,), ((3, 3),), (1,), 2),
    ((1, 33, 700), (7, 5), (1,), ((2, 2),), (1,), 1),
    ((2, 3, 8, 9), (5, 3, 2), (2, 1), ((1, 0), (0, 2)), (1, 3), 1),
    ((1, 1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1), ((0, 0),) * 3, (1, 1, 1), 1),
    ((2, 3, 4, 5, 6), (7, 2, 3, 2), (1, 1, 1), ((0, 0),) * 3, (1, 1, 1), 1),
    ((1, 2, 7, 6, 5), (3, 3, 2, 3), (2, 3, 1), ((1, 1), (2, 0), (0, 3)), (1, 2, 1), 1),
    ((1, 2, 9, 5, 5), (3, 3, 1, 2), (2, 1, 2), ((2, 3), (0, 0), (1, 1)), (3, 1, 2), 1),
    ((2, 6, 5, 4, 7), (9, 3, 3, 3), (3, 2, 2), ((4, 4), (3, 0), (0, 5)), (2, 1, 1), 3),
    ((1, 4, 6, 3, 3), (4, 2, 2, 2), (4, 1, 1), ((0, 0),) * 3, (4, 1, 1), 4),
    ((1, 2, 3, 4, 5), (3, 2, 2, 2), (1, 2, 2), "full", (1, 1, 2), 1),
    ((1, 2, 5, 6, 7), (3, 2, 3, 4), (2, 2, 3), "same", (1, 1, 1), 1),
    ((0, 2, 3, 4, 5), (3, 2, 2, 2), (1, 1, 1), "valid", (1, 1, 1), 1),
    ((2, 16, 5, 21, 33), (9, 3, 3, 3), (1, 1, 1), ((1, 1),) * 3, (1, 1, 1), 1),
]


def weight_shape(kernels, channels, groups):
    return (kernels[0], channels // groups, *kernels[1:])


def geometry_of(case):
    shape, kernels, stride, padding, dilation, groups = case
    weight = weight_shape(kernels, shape[1], groups)
    return conv_geometry(shape, weight, stride, padding, dilation, groups)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("case", "algorithm"),
    [
        pytest.param(case, name, id=f"{case}-{name}")
        for case in CASES
        for name in able(geometry_of(case), exact=True)
    ],
)
def test_kernels_equal_the_reference_exactly_on_integers(case, algorithm, dtype):
    # On the axis of depth the kernels have code of their own: its phases, and rows of zeros.
    shape, kernels, stride, padding, dilation, groups = case
    x = integers(shape, dtype, 1)
    weight = integers(weight_shape(kernels, shape[1], groups), dtype, 2)
    bias = integers((kernels[0],), dtype, 3)
    options = (stride, padding, dilation, groups)
    geometry = geometry_of(case)
    expected = conv_nd(x, weight, bias, *options)
    assert geometry.output_shape == expected.shape
    residual = integers(expected.shape, dtype, 4)
    forward, input_gradient, weight_gradient = (
        inner_call(operation, geometry, dtype, algorithm) for operation in OPERATIONS
    )
    y, dx, dweight = np.empty_like(expected), np.empty_like(x), np.empty_like(weight)
    if expected.size:
        forward(x, weight, bias, y)
        input_gradient(residual, weight, dx)
        weight_gradient(x, residual, dweight)
        assert_exact(dweight, conv_nd_weight(x, weight.shape, residual, *options))
    assert_exact(y, expected)
    assert_exact(dx, conv_nd_input(x.shape, weight, residual, *options))


LAID = ((2, 3, 4, 5, 6), (5, 2, 3, 2), (2, 1, 2), ((1, 0),) * 3, (1,) * 3, 1)


@pytest.mark.parametrize("algorithm", able(geometry_of(LAID), exact=True))
def test_three_axes_in_any_memory_layout(algorithm):
    shape, kernels, *options = LAID
    x, weight = integers(shape, seed=1), integers((kernels[0], shape[1], *kernels[1:]), seed=2)
    expected = conv_nd(x, weight, None, *options)
    geometry = geometry_of(LAID)
    forward = inner_call("conv2d", geometry, x.dtype, algorithm)
    back = (slice(None, None, -1),) * 5
    for values in (np.asfortranarray(x), x[back].copy()[back]):
        for taps in (np.asfortranarray(weight), weight[back].copy()[back]):
            y = np.empty_like(expected)
            forward(values, taps, None, y)
            assert_exact(y, expected)
