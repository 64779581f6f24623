"""Counts of connections and parameters, against the matrices of convolutions over 1 to 3 axes."""

import numpy as np
import pytest

from fastconv import reference

MATRICES = {3: reference.conv1d_matrix, 4: reference.conv2d_matrix, 5: reference.conv3d_matrix}

CASES = [
    ((1, 3, 3), (1, 1, 2, 2), 1, 0, 1, 1),
    ((2, 5, 6), (4, 2, 3, 3), 1, 1, 1, 1),
    ((4, 5, 6), (4, 2, 3, 2), 2, ((0, 2), (1, 0)), (1, 2), 2),
    ((3, 5, 5), (2, 3, 3, 3), 2, 1, 1, 1),
    ((2, 4, 4), (2, 1, 3, 3), 1, "full", 1, 2),
    ((2, 4, 4), (2, 1, 4, 3), 3, "same", 1, 2),
    ((2, 9), (3, 2, 4), 2, 1, 2, 1),
    ((1, 4), (1, 1, 4), 1, "full", 1, 1),
    ((1, 3, 4, 3), (2, 1, 2, 3, 2), (1, 2, 1), 1, 1, 1),
    ((2, 3, 3, 2), (2, 1, 3, 2, 1), 1, "same", 1, 2),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_connections_are_the_entries_of_the_matrix(case):
    input_size, weight_size, *geometry = case
    weight = np.arange(1.0, 1 + np.prod(weight_size)).reshape(weight_size)
    matrix = MATRICES[len(weight_size)](weight, input_size, *geometry)
    counts = reference.conv_counts(input_size, weight_size, *geometry)
    assert counts.connections == np.count_nonzero(matrix)
    assert counts.parameters == weight.size
    assert counts == reference.conv_counts((7, *input_size), weight_size, *geometry)
    biased = reference.conv_counts(input_size, weight_size, *geometry, bias=True)
    assert biased == reference.Counts(counts.connections, weight.size + weight_size[0])
    full = reference.linear_counts(matrix.shape[1], matrix.shape[0])
    assert full.connections == full.parameters == matrix.size >= counts.connections
    # The matrix computes the convolution.
    axes = len(weight_size) - 2
    x = np.random.default_rng(0).integers(-4, 5, (1, *input_size)).astype(float)
    conv = (reference.conv1d, reference.conv2d, reference.conv3d)[axes - 1]
    np.testing.assert_array_equal(matrix @ x.ravel(), conv(x, weight, None, *geometry).ravel())


def test_one_axis_is_a_row_of_two():
    weight = np.arange(1.0, 13).reshape(2, 2, 3)
    found = reference.conv1d_matrix(weight, (2, 7), 2, 1)
    flat = reference.conv2d_matrix(weight[:, :, None], (2, 1, 7), (1, 2), ((0, 0), (1, 1)))
    np.testing.assert_array_equal(found, flat)
    deep = reference.conv3d_matrix(
        weight[:, :, None, None], (2, 1, 1, 7), (1, 1, 2), ((0, 0), (0, 0), (1, 1))
    )
    np.testing.assert_array_equal(found, deep)


def test_numbers_of_any_size_are_exact():
    counts = reference.conv_counts((3, 300, 300), (64, 3, 5, 5), bias=True)
    assert counts.connections == 64 * 3 * (296 * 5) ** 2
    assert counts.parameters == 64 * 76
    assert reference.linear_counts(10**12, 10**12).parameters == 10**24


@pytest.mark.parametrize(
    "call",
    [
        lambda: reference.conv_counts((1, 3, 3), (1, 2, 2, 2)),
        lambda: reference.conv_counts((3, 3), (1, 1, 2, 2, 2)),
        lambda: reference.conv_counts((1, 3), (1, 1)),
        lambda: reference.conv_counts((1, 3, 3), (1, 1, 4, 4)),
        lambda: reference.conv1d_matrix(np.ones((1, 1, 2, 2)), (1, 3, 3)),
        lambda: reference.conv3d_matrix(np.ones((1, 1, 2, 2)), (1, 3, 3)),
    ],
)
def test_sizes_that_do_not_fit(call):
    with pytest.raises(ValueError):  # noqa: PT011  (a reference says it in its own words)
        call()
