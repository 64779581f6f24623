"""unfold and fold: reference, layouts, out=, torch, and each the transpose of the other."""

import numpy as np
import pytest

from fastconv import functional as F
from fastconv import reference
from tests._cases import (
    CONVS,
    DTYPES,
    LAYOUTS,
    assert_exact,
    assert_gradient,
    integers,
    layouts,
    normal,
    small,
    torch_or_skip,
)

# size, kernel_size, dilation, padding, stride; one to three axes, and the geometries of conv2d.
CASES = [
    ((7,), (3,), 2, 1, 2),
    ((9,), (2,), 1, ((0, 3),), 4),
    ((5,), (4,), 1, "same", 2),
    ((3, 4, 5), (2, 1, 3), 1, (1, 0, 2), (1, 2, 1)),
    ((4, 4, 3), (2, 3, 2), (2, 1, 1), "full", 2),
    *(
        ((case.h, case.w), (case.r, case.s), case.dilation, case.padding, case.stride)
        for case in small(CONVS[::2])
        if case.h
    ),
    ((5, 6), 2, 1, 0, 1),
]
ids = [str(case).replace(" ", "") for case in CASES]


def problem(size, kernel, *options, samples=2, channels=3):
    x = integers((samples, channels, *size), seed=1)
    return x, reference.unfold(x, kernel, *options)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=ids)
def test_fast_equals_reference_exactly(case, dtype):
    size, *options = case
    x, columns = problem(*case)
    assert_exact(F.unfold(x.astype(dtype), *options), columns.astype(dtype))
    assert_exact(F.unfold(x[0].astype(dtype), *options), columns[0].astype(dtype))
    values = integers(columns.shape, dtype, 2)
    expected = reference.fold(values, size, *options)
    assert_exact(F.fold(values, size, *options), expected)
    assert_exact(F.fold(values[1], size, *options), expected[1])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layouts(layout):
    case = ((5, 6), (3, 2), (1, 2), ((1, 0), (0, 2)), (2, 1))
    x, columns = problem(*case)
    size, *options = case
    if layout in layouts(x):
        assert_exact(F.unfold(layouts(x)[layout], *options), columns)
    assert_exact(F.fold(layouts(columns)[layout], size, *options), F.fold(columns, size, *options))


def test_out():
    case = ((5, 6), (3, 2), 1, 1, 2)
    size, *options = case
    x, columns = problem(*case)
    base = np.full((2 * len(x), *columns.shape[1:]), np.nan)
    out = base[::2]
    assert F.unfold(x, *options, out=out) is out
    np.testing.assert_array_equal(out, columns)
    assert np.isnan(base[1::2]).all()
    maps = np.full((len(x), x.shape[1] + 3, *size), np.nan)
    out = maps[:, 1:4]
    assert F.fold(columns, size, *options, out=out) is out
    np.testing.assert_array_equal(out, reference.fold(columns, size, *options))
    assert np.isnan(maps[:, [0, 4, 5]]).all()


def test_out_that_overlaps_the_input():
    x = integers((2, 3, 4, 5))
    same = x.copy()
    assert F.fold(same.reshape(2, 3, 20), (4, 5), 1, out=same) is same
    np.testing.assert_array_equal(same, x)
    flat = same.reshape(2, 3, 20)[::-1]
    F.unfold(same, 1, out=flat)
    np.testing.assert_array_equal(flat, x.reshape(2, 3, 20))


def test_empty_batch_and_no_channels():
    assert_exact(F.unfold(np.zeros((0, 3, 5, 6)), 2), np.zeros((0, 12, 20)))
    assert_exact(F.fold(np.zeros((0, 12, 20)), (5, 6), 2), np.zeros((0, 3, 5, 6)))
    assert_exact(F.unfold(np.zeros((2, 0, 5, 6)), 2), np.zeros((2, 0, 20)))
    assert_exact(F.fold(np.zeros((2, 0, 20)), (5, 6), 2), np.zeros((2, 0, 5, 6)))


def test_fold_is_the_gradient_of_unfold():
    size, *options = ((4, 5), (2, 3), (2, 1), ((1, 2), (0, 1)), (1, 2))
    x = normal((2, 2, *size))
    residual = normal(F.unfold(x, *options).shape)
    gradient = F.fold(residual, size, *options)
    assert_gradient(lambda x: F.unfold(x, *options), gradient, x, residual, linear=True)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if len(case[0]) == 2 and isinstance(case[3], int)],
    ids=lambda case: str(case).replace(" ", ""),
)
def test_agrees_with_torch(case):
    torch = torch_or_skip("unfold and fold against torch")
    size, *options = case
    x, columns = problem(*case)
    theirs = torch.nn.functional.unfold(torch.from_numpy(x), *options)
    assert_exact(F.unfold(x, *options), theirs.numpy())
    theirs = torch.nn.functional.fold(torch.from_numpy(columns), size, *options)
    assert_exact(F.fold(columns, size, *options), theirs.numpy())
