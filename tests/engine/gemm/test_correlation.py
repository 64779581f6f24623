"""The kernels of forward and input gradient, each asked for by name, and the numbers they give."""

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv.engine.algorithms import _places
from fastconv.engine.base.operation import input_parts, moves, view_shapes
from fastconv.engine.gemm.forward import PixelLanes
from fastconv.engine.gemm.kernel import Bound
from fastconv.engine.gemm.outputs import OutputLanes
from fastconv.engine.gemm.phases import InputGradient
from fastconv.engine.gemm.tile import vector_lanes
from fastconv.engine.gemm.weight import WeightGradient
from tests._cases import DTYPES, Conv, integers, normal

# Few output channels, which leave most lanes empty, and many; short and long rows; strides,
# dilation and groups; taps and positions that do not meet; channels in several blocks.
CASES = [
    Conv(1, 3, 9, 10, 1, 3, 3, 1, 1),
    Conv(2, 5, 13, 70, 37, 3, 3, 2, 1),
    Conv(3, 34, 7, 8, 50, 5, 3, (2, 3), (2, 1), 1, 2),
    Conv(2, 8, 12, 11, 21, 2, 3, 1, 2, 2),
    Conv(2, 700, 5, 6, 9, 1, 1, 3),
]
VARIANTS = PixelLanes, OutputLanes


def gradient_of(variant, geometry):
    """Return the input gradient whose phases a variant computes."""
    parts, covered = input_parts(geometry)
    phases = tuple(
        (
            _places(part.positions, geometry.in_size),
            _places(part.taps, geometry.kernel),
            part.before,
            part.dilation,
        )
        for part in parts
    )
    return InputGradient([variant] * len(phases), phases, covered)


def layouts(geometry, itemsize):
    """Return the shapes and strides of contiguous arrays."""
    seen = view_shapes(geometry)
    shapes = seen.input, seen.weight, seen.output
    strides = tuple(np.empty(shape, f"f{itemsize}").strides for shape in shapes)
    return shapes, strides


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_pixels_and_outputs_in_the_lanes_give_the_same_bits(case, dtype):
    geometry, axes = case.geometry, (4, case.geometry.groups)
    for make in (integers, normal):
        x, weight = make(case.input_shape, dtype, 1), make(case.weight_shape, dtype, 2)
        bias, residual = make((case.k,), dtype, 3), make(geometry.output_shape, dtype, 4)
        outputs, gradients = [], []
        for variant in VARIANTS:
            output, gradient = np.full_like(residual, 7), np.full_like(x, 7)
            Bound(*axes, lambda *_, v=variant: v(*moves(geometry))).forward(x, weight, bias, output)
            bound = Bound(*axes, lambda *_, v=variant: gradient_of(v, geometry))
            bound.swapped_gradient(residual, weight, gradient)
            outputs.append(output)
            gradients.append(gradient)
        np.testing.assert_array_equal(*outputs)
        np.testing.assert_array_equal(*gradients)
        if make is integers:
            expected = F.conv2d(x, weight, bias, *case.options, algorithm="direct")
            np.testing.assert_array_equal(outputs[0], expected)
            arguments = case.input_shape, weight, residual, *case.options
            expected = F.conv2d_input(*arguments, algorithm="direct")
            np.testing.assert_array_equal(gradients[0], expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_estimates_are_numbers_for_the_table(dtype):
    itemsize = np.dtype(dtype).itemsize
    lanes = vector_lanes(itemsize)
    geometry = Conv(2, 16, 14, 14, lanes // 2, 3, 3, 2, 1).geometry
    arguments = *layouts(geometry, itemsize), itemsize, 1
    pixels = PixelLanes(*moves(geometry)).estimate(*arguments)
    outputs = OutputLanes(*moves(geometry)).estimate(*arguments)
    assert pixels[0] > 0 < outputs[0]
    assert pixels[1:] == (1, 0)
    assert outputs[1] == 0.5
    assert 0 < outputs[2] < 1
    # Twice the batch takes about twice as long; a long line of many channels leaves the cache.
    twice = Conv(4, 16, 14, 14, lanes // 2, 3, 3, 2, 1).geometry
    more = OutputLanes(*moves(twice)).estimate(*layouts(twice, itemsize), itemsize, 1)[0]
    assert 1.5 < more / outputs[0] < 2.5
    wide = Conv(1, 128, 3, 9000, 16, 3, 3, 1, 1).geometry
    assert OutputLanes(*moves(wide)).estimate(*layouts(wide, itemsize), itemsize, 1)[2] > 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_roles_of_the_weight_gradient_agree(dtype):
    for case, roles in [
        (Conv(3, 5, 9, 10, 7, 3, 3, 2, 1), ("output channels", "taps", "pixels")),
        (Conv(2, 6, 9, 10, 8, 1, 1, 2), ("output channels", "input channels", "taps", "pixels")),
    ]:
        x, residual = integers(case.input_shape, dtype), integers(case.geometry.output_shape, dtype)
        arguments = x, case.weight_shape, residual, *case.options
        expected = F.conv2d_weight(*arguments, algorithm="direct")
        for role in roles:
            result = np.full(case.weight_shape, 7, dtype)
            kernel = Bound(4, 1, lambda *_, r=role, c=case: WeightGradient(r, *moves(c.geometry)))
            kernel.weight_gradient(x, residual, result)
            np.testing.assert_array_equal(result, expected, err_msg=role)


def test_input_channels_in_the_lanes_want_taps_inside():
    case = Conv(1, 4, 5, 5, 4, 3, 3, 1, 1)
    kernel = Bound(4, 1, lambda *_: WeightGradient("input channels", *moves(case.geometry)))
    with pytest.raises(ValueError, match="inside the input"):
        kernel.weight_gradient(
            np.zeros(case.input_shape), np.zeros((1, 4, 5, 5)), np.zeros(case.weight_shape)
        )


def test_threads_share_the_phases():
    case = Conv(2, 20, 15, 16, 24, 3, 3, 2, 1)
    weight = normal(case.weight_shape, "f4", 1)
    residual = normal(case.geometry.output_shape, "f4", 2)
    before, results = fastconv.get_num_threads(), []
    try:
        for threads in (1, 3):
            fastconv.set_num_threads(threads)
            for variant in VARIANTS:
                results.append(np.empty(case.input_shape, "f4"))
                bound = Bound(4, 1, lambda *_, v=variant: gradient_of(v, case.geometry))
                bound.swapped_gradient(residual, weight, results[-1])
    finally:
        fastconv.set_num_threads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
