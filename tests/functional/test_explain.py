"""fastconv.explain: what it says is what happens."""

import dataclasses

import numpy as np
import pytest

import fastconv
from fastconv import functional as F

SHAPES = ((2, 8, 9, 10), (16, 8, 3, 3))


@pytest.mark.parametrize("operation", ["conv2d", "conv2d_input", "conv2d_weight"])
@pytest.mark.parametrize("algorithm", ["auto", "gemm", "direct", "im2col"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_operation_and_algorithm(operation, algorithm, dtype):
    found = fastconv.explain(operation, *SHAPES, dtype=dtype, stride=2, algorithm=algorithm)
    assert found.algorithm == ("gemm" if algorithm == "auto" else algorithm)
    assert found.flops == 2 * 2 * 16 * 4 * 4 * 8 * 9
    assert found.isa == fastconv.isa()
    assert (found.tile is None) == (found.algorithm != "gemm")
    assert (found.workspace_bytes > 0) == (found.algorithm != "direct")
    assert found.algorithm not in found.refused
    terms = {"conv2d": 72, "conv2d_input": 144, "conv2d_weight": 32}[operation]
    assert found.error_bound == (terms + 1) * np.finfo(dtype).eps
    # No partial sum is larger than all products together, but for its roundings.
    largest = np.finfo(dtype).max / (1 + found.error_bound)
    assert found.magnitude_limits == (largest, largest, largest / terms)


def test_one_channel_in_each_group():
    options = {"groups": 8, "padding": 1}
    for operation in ("conv2d", "conv2d_input", "conv2d_weight"):
        found = fastconv.explain(operation, (1, 8, 9, 9), (8, 1, 3, 3), **options)
        assert found.algorithm == "depthwise"
        assert found.refused["gemm"] == "depthwise comes before it"
        assert found.workspace_bytes > 0


def test_it_is_frozen_and_prints_a_table():
    found = fastconv.explain("conv2d", *SHAPES, algorithm="gemm")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.algorithm = "fft"
    text = str(found)
    for part in (
        "gemm",
        "not depthwise",
        "bytes",
        "up to about |x| = 3.4e+38",
        "8 x" if found.isa == "avx512" else "4 x",
    ):
        assert part in text


def test_workspace_does_not_grow_with_the_batch():
    fastconv.set_num_threads(1)
    for operation in ("conv2d", "conv2d_input"):
        few, many = (
            fastconv.explain(operation, (n, 64, 28, 28), (64, 64, 3, 3)).workspace_bytes
            for n in (64, 4096)
        )
        assert many <= 1.1 * few
    # The weight gradient has a bounded number of partial sums.
    few, many = (
        fastconv.explain("conv2d_weight", (n, 64, 28, 28), (64, 64, 3, 3)).workspace_bytes
        for n in (64, 4096)
    )
    assert many <= 1.1 * few


def test_the_workspace_is_what_a_call_takes():
    fastconv.set_num_threads(1)
    x, weight = np.ones(SHAPES[0], np.float32), np.ones(SHAPES[1], np.float32)
    fastconv.release_workspace()
    F.conv2d(x, weight)
    size = fastconv.explain("conv2d", *SHAPES).workspace_bytes
    # Blocks are whole cache lines.
    assert size <= fastconv.release_workspace() < size + 64


def test_an_unbatched_shape_and_an_empty_batch():
    assert fastconv.explain("conv2d", (8, 9, 10), (16, 8, 3, 3)).flops > 0
    assert fastconv.explain("conv2d", (0, 8, 9, 10), (16, 8, 3, 3)).workspace_bytes == 0
    for algorithm in ("gemm", "winograd", "fft"):
        found = fastconv.explain("conv2d_weight", (0, 8, 9, 10), (16, 8, 3, 3), algorithm=algorithm)
        assert 1e38 < found.magnitude_limits[2] < 3.41e38


@pytest.mark.parametrize(
    ("error", "message", "arguments", "options"),
    [
        (ValueError, "operation must be one of 'conv1d', 'conv1d_input'", ("conv", *SHAPES), {}),
        (TypeError, "float32 or float64, got int64", ("conv2d", *SHAPES), {"dtype": int}),
        (ValueError, "algorithm 'fast' does not exist", ("conv2d", *SHAPES), {"algorithm": "fast"}),
        (ValueError, "one input channel", ("conv2d", *SHAPES), {"algorithm": "depthwise"}),
        (ValueError, "input must have", ("conv2d", (1, 7, 9, 9), SHAPES[1]), {}),
    ],
)  # fmt: skip
def test_a_bad_call(error, message, arguments, options):
    with pytest.raises(error, match=message):
        fastconv.explain(*arguments, **options)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same", "full", ((2, 1), (0, 3))])
@pytest.mark.parametrize("dilation", [1, (2, 3)])
def test_connections_are_products_with_cells_of_the_input(stride, padding, dilation):
    # Each of them adds 1 to a convolution of ones with ones.
    arguments = {"stride": stride, "padding": padding, "dilation": dilation, "groups": 2}
    x, weight = np.ones((2, 4, 7, 8)), np.ones((6, 2, 3, 2))
    found = fastconv.explain("conv2d", x.shape, weight.shape, **arguments)
    assert found.connections == F.conv2d(x, weight, None, **arguments).sum()
    for operation in ("conv2d_input", "conv2d_weight"):
        other = fastconv.explain(operation, x.shape, weight.shape, **arguments)
        assert other.connections == found.connections


def test_connections_of_a_transposed_convolution():
    x, weight = np.ones((2, 4, 7, 8)), np.ones((4, 3, 3, 2))
    for arguments in ({"stride": 2}, {"stride": 2, "padding": 1, "output_padding": 1}):
        found = fastconv.explain("conv_transpose2d", x.shape, weight.shape, **arguments)
        assert found.connections == F.conv_transpose2d(x, weight, **arguments).sum()
