"""What the tests share: a table of convolutions, memory layouts, checks against the reference."""

import os
import subprocess
import sys
import textwrap
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastconv
from fastconv import _check, reference
from fastconv import functional as F
from fastconv._geometry import conv_geometry
from fastconv.engine import choice, plan
from fastconv.engine.base.operation import contiguous_case
from fastconv.functional._calls import METHODS

DTYPES = (np.float32, np.float64)

# Seconds after which what hangs is ended: far more than anything takes on a busy machine, and less
# than pytest's own limit (pyproject.toml).
PATIENCE = 1700


def inner_call(operation, geometry, dtype, algorithm, variant=None):
    """Return what computes an operation of one geometry, of any number of axes.

    By a variant of the plan's table, which must serve the arrays, or by the one that it chooses.
    """
    found = choice.dispatch(operation, geometry, np.dtype(dtype).name, algorithm, variant)
    return getattr(found, METHODS[operation])


def forced(operation, case, arrays, algorithm, variant):
    """Return what a variant computes for the arrays of a problem."""
    call = inner_call(operation, case.geometry, arrays.x.dtype, algorithm, variant)
    shapes = {
        "conv2d": case.geometry.output_shape,
        "conv2d_input": case.input_shape,
        "conv2d_weight": case.weight_shape,
    }
    result = np.full(shapes[operation], np.nan, arrays.x.dtype)
    if operation == "conv2d":
        call(arrays.x, arrays.weight, arrays.bias, result)
    elif operation == "conv2d_input":
        call(arrays.residual, arrays.weight, None, result)
    else:
        call(arrays.x, arrays.residual, result)
    return result


def variant_of(operation, geometry, dtype, algorithm):
    """Return the row of the plan's table that computes contiguous arrays."""
    case = contiguous_case(operation, geometry, np.dtype(dtype).name)
    return next(choice.variants(case, algorithm))


def takes_rows(geometry, operation, dtype):
    """Tell whether Winograd's tiles are parts of rows."""
    return variant_of(operation, geometry, dtype, "winograd").name == "winograd rows"


class Conv(NamedTuple):
    """A convolution: batch, channels, size, kernels, kernel size, and its options."""

    n: int
    c: int
    h: int
    w: int
    k: int
    r: int
    s: int
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1

    def __str__(self):
        name = f"{self.n}x{self.c}x{self.h}x{self.w}-{self.k}x{self.r}x{self.s}"
        options = zip("spdg", self[7:], (1, 0, 1, 1), strict=True)
        words = [f"{letter}{value}" for letter, value, default in options if value != default]
        return "-".join([name, *words]).replace(" ", "")

    @property
    def input_shape(self):
        return self.n, self.c, self.h, self.w

    @property
    def weight_shape(self):
        return self.k, self.c // self.groups, self.r, self.s

    @property
    def options(self):
        """Stride, padding, dilation and groups, in the order of the arguments."""
        return self[7:]

    @property
    def geometry(self):
        """What the package makes of it."""
        numbers = _check.integers
        return conv_geometry(
            self.input_shape,
            self.weight_shape,
            numbers("stride", self.stride, 2, 1),
            _check.padding("padding", self.padding, 2),
            numbers("dilation", self.dilation, 2, 1),
            self.groups,
        )


PICKED = (
    # One of everything, and one off the tile's 6 rows and 4, 8, 16 or 32 lanes.
    Conv(1, 1, 1, 1, 1, 1, 1),
    Conv(2, 5, 1, 1, 7, 1, 1),
    Conv(1, 1, 1, 7, 1, 1, 2),
    Conv(1, 1, 7, 1, 1, 2, 1),
    Conv(2, 1, 3, 3, 1, 3, 3),
    Conv(1, 6, 1, 31, 5, 1, 1),
    Conv(2, 7, 2, 32, 6, 1, 1),
    Conv(1, 13, 1, 33, 13, 1, 7),
    Conv(1, 31, 7, 2, 33, 7, 1),
    Conv(1, 33, 2, 2, 31, 2, 2),
    Conv(2, 32, 3, 7, 32, 3, 3),
    Conv(1, 5, 4, 65, 7, 2, 2),
    Conv(3, 3, 9, 31, 6, 3, 3, 1, 1),
    Conv(2, 6, 6, 33, 5, 5, 5, 1, 2),
    Conv(1, 2, 12, 13, 7, 11, 11),
    Conv(1, 7, 3, 65, 1, 1, 7, 1, (0, 3)),
    # Stride: smaller, as large as and larger than the kernel, and with rows that no window reads.
    Conv(2, 5, 7, 7, 6, 3, 3, 2),
    Conv(2, 3, 8, 8, 7, 3, 3, 2),
    Conv(1, 6, 9, 31, 5, 3, 3, 2, 1),
    Conv(2, 2, 7, 32, 13, 1, 1, 2),
    Conv(1, 3, 8, 33, 6, 2, 2, 2),
    Conv(1, 3, 9, 10, 7, 2, 2, 3),
    Conv(2, 1, 11, 8, 6, 2, 3, (4, 5)),
    Conv(1, 4, 7, 65, 5, 1, 2, (5, 3), (0, 1)),
    Conv(1, 3, 23, 23, 7, 11, 11, 4, 2),
    Conv(1, 5, 7, 13, 1, 7, 1, (3, 2)),
    Conv(1, 2, 6, 7, 3, 3, 2, (2, 1), ((0, 2), (3, 1))),
    # Dilation that shares no factor, one, or all with the stride; phases that no tap reaches.
    Conv(2, 3, 9, 9, 5, 3, 3, 1, 0, 2),
    Conv(1, 6, 11, 12, 7, 3, 3, 2, 0, 2),
    Conv(1, 5, 12, 13, 6, 3, 2, 2, 1, 3),
    Conv(1, 5, 11, 12, 6, 3, 3, 3, 2, 2),
    Conv(1, 2, 17, 18, 7, 3, 3, 4, 1, 6),
    Conv(2, 2, 13, 11, 3, 2, 3, 6, 3, 4),
    Conv(1, 3, 9, 31, 5, 3, 3, (1, 2), (2, 3), (3, 4)),
    Conv(1, 1, 15, 16, 2, 5, 4, (2, 4), 0, (3, 2)),
    Conv(1, 2, 7, 32, 3, 2, 2, 4, 0, 4),
    # Padding: each form; beyond the kernel, where the gradients crop; windows of padding alone.
    Conv(2, 3, 4, 5, 6, 2, 2, 1, 3),
    Conv(1, 2, 3, 3, 5, 1, 1, 1, (2, 1)),
    Conv(1, 3, 4, 4, 7, 1, 1, 3, 4),
    Conv(1, 2, 3, 4, 3, 3, 3, 2, 7),
    Conv(1, 1, 1, 1, 6, 3, 3, 1, 1),
    Conv(2, 1, 1, 1, 1, 3, 3, 5, 4),
    Conv(1, 3, 5, 6, 2, 3, 3, 1, ((5, 0), (0, 4))),
    Conv(1, 2, 5, 6, 5, 3, 2, 2, ((0, 2), (3, 1)), 2),
    Conv(1, 3, 6, 7, 5, 4, 3, 1, (2,)),
    Conv(1, 3, 5, 6, 7, 4, 3, 1, "valid"),
    Conv(2, 3, 5, 7, 7, 3, 3, 1, "same"),
    Conv(1, 2, 7, 6, 5, 4, 3, (3, 2), "same", (2, 1)),
    Conv(1, 2, 7, 6, 3, 1, 2, (3, 4), "same"),
    Conv(1, 3, 7, 6, 5, 4, 2, (3, 2), "same_lower"),
    Conv(1, 2, 5, 6, 3, 4, 3, 1, "same_lower", 2),
    Conv(1, 3, 2, 3, 6, 4, 3, 1, "full"),
    Conv(2, 2, 2, 3, 3, 3, 2, 2, "full", (1, 3)),
    # Groups, depthwise, and depthwise with a multiplier.
    Conv(2, 6, 5, 7, 6, 3, 3, 1, 1, 1, 2),
    Conv(1, 9, 6, 5, 15, 2, 2, 2, 1, 1, 3),
    Conv(2, 7, 8, 9, 7, 3, 3, 1, 1, 1, 7),
    Conv(1, 5, 9, 9, 10, 3, 3, 2, "same", 1, 5),
    Conv(1, 26, 3, 4, 14, 2, 2, 1, 0, 1, 2),
    Conv(1, 6, 9, 10, 3, 3, 2, (3, 2), (2, 1), (2, 3), 3),
    # One channel a group: round the tile's 4 rows, its strips of 1, 2 and 4 vectors, and the 2, 3,
    # 5 and 7 taps that share a load; phases, crops, and windows larger than the map.
    Conv(2, 3, 3, 15, 3, 3, 3, 1, 1, 1, 3),
    Conv(1, 3, 4, 16, 6, 3, 3, 1, 1, 1, 3),
    Conv(1, 2, 5, 17, 2, 5, 5, 1, 2, 1, 2),
    Conv(1, 2, 9, 31, 2, 7, 7, 1, 3, 1, 2),
    Conv(1, 2, 8, 33, 4, 4, 6, 1, ((1, 2), (3, 2)), 1, 2),
    Conv(1, 2, 7, 63, 2, 9, 1, 1, (4, 0), 1, 2),
    Conv(1, 2, 6, 65, 2, 1, 11, 1, (0, 5), 1, 2),
    Conv(1, 1, 12, 129, 3, 3, 2, 1, 1, 1, 1),
    Conv(2, 3, 14, 14, 3, 3, 3, 2, ((0, 1), (1, 0)), 1, 3),
    Conv(1, 2, 15, 33, 2, 5, 5, 2, 2, 1, 2),
    Conv(1, 2, 13, 34, 4, 3, 4, (3, 2), (1, 2), 1, 2),
    Conv(1, 2, 11, 35, 2, 3, 3, (2, 3), 1, 2, 2),
    Conv(1, 2, 12, 40, 2, 3, 3, 1, 2, 2, 2),
    Conv(1, 2, 16, 18, 2, 5, 3, 1, (6, 3), 3, 2),
    Conv(1, 3, 3, 4, 3, 7, 7, 1, 3, 1, 3),
    Conv(1, 2, 4, 3, 2, 3, 3, 2, 7, 1, 2),
    Conv(1, 2, 9, 9, 2, 1, 1, 2, 0, 1, 2),
    Conv(1, 2, 5, 6, 2, 2, 2, 3, ((4, 0), (0, 5)), 2, 2),
    # Small planes: many of them, in rows of up to two vectors and one more; a row of the input tile
    # that holds padding alone; columns of one number; a phase of the columns that is padding alone.
    Conv(3, 40, 7, 7, 40, 3, 3, 1, 1, 1, 40),
    Conv(2, 33, 14, 14, 66, 3, 3, 2, 1, 1, 33),
    Conv(2, 3, 6, 16, 3, 3, 3, 1, 1, 1, 3),
    Conv(1, 3, 5, 32, 6, 5, 5, 2, 2, 1, 3),
    Conv(2, 3, 14, 1, 6, 3, 3, 2, (2, 3), 1, 3),
    Conv(2, 3, 7, 9, 3, 1, 3, (1, 2), ((0, 0), (0, 3)), 1, 3),
    # Several blocks of rows, of columns, and chunks.
    Conv(1, 2, 70, 130, 2, 3, 3, 1, 1, 1, 2),
    Conv(1, 2, 41, 150, 2, 5, 5, 2, 2, 1, 2),
    Conv(1, 1, 3, 2500, 2, 2, 3, 1, 1, 1, 1),
    Conv(1, 1, 2, 2500, 1, 3, 3, 2, 1, 1, 1),
    Conv(70, 2, 4, 5, 2, 3, 3, 1, 1, 1, 2),
    # The engine: several blocks of channels, of columns and of rows of weights; panels over several
    # samples; in place; few output channels in the weight gradient, alone and in groups.
    Conv(1, 70, 3, 300, 5, 3, 3, 1, 1),
    Conv(1, 70, 3, 300, 40, 3, 3, 1, 1),
    Conv(9, 24, 5, 7, 33, 3, 3, 2, 1),
    Conv(3, 700, 3, 3, 20, 1, 1),
    Conv(3, 20, 5, 9, 300, 1, 1, 2),
    Conv(2, 20, 5, 9, 30, 1, 1, 2, ((0, 1), (0, 1))),
    Conv(5, 30, 12, 13, 3, 3, 3, 2, 1),
    Conv(3, 8, 9, 9, 8, 3, 3, 1, 1, 1, 4),
    Conv(2, 300, 6, 6, 70, 3, 2, 2, 1),
    # Slabs: rows of stride 2 that are too many to be parted at once; more planes than are listed.
    Conv(1, 2, 47, 49, 17, 3, 3, 2, 1),
    Conv(1, 2, 13, 16, 7, 5, 5, 5, 2),
    # Output channels in the lanes: one off one, two and three vectors of 16, 8 or 4 lanes; rows one
    # off its 14, 8 or 4 pixels, and of two tiles; kernel rows of 3, 4 and 5 taps; in place; blocks
    # of channels and parts of them; strides, dilation and groups.
    Conv(2, 6, 14, 14, 16, 5, 5),
    Conv(3, 5, 6, 15, 17, 3, 3, 1, 1),
    Conv(2, 16, 9, 13, 15, 3, 3, 2, 1),
    Conv(1, 34, 5, 29, 33, 3, 5, 1, (1, 2)),
    Conv(1, 140, 6, 7, 50, 3, 4, 1, (1, 2)),
    Conv(2, 80, 7, 9, 47, 3, 3, 2, 1),
    Conv(2, 33, 9, 8, 32, 3, 3, 1, 2, 2),
    Conv(2, 66, 7, 7, 64, 3, 3, 1, 1, 1, 2),
    Conv(1, 40, 5, 5, 48, 1, 1),
    Conv(2, 18, 7, 33, 24, 3, 3, (2, 1), (2, 1), (1, 2), 2),
    # Samples in the lanes, for few channels: one off one and two vectors of them; bands of rows,
    # the last one shorter; one off the tile's 8 or 4 output channels and its pixels; windows of
    # padding alone on any side; phases, crops, dilation, groups; one input channel.
    Conv(16, 3, 5, 6, 7, 3, 3, 1, 1),
    Conv(15, 4, 9, 8, 8, 3, 3, 2, 1),
    Conv(33, 2, 4, 5, 9, 2, 3, 1, (3, 4)),
    Conv(8, 8, 7, 9, 8, 3, 3, 1, 1, 1, 2),
    Conv(9, 4, 30, 4, 5, 3, 1, (2, 1), (2, 0)),
    Conv(8, 5, 12, 17, 6, 3, 3, (3, 2), ((0, 2), (3, 1))),
    Conv(16, 8, 5, 20, 12, 3, 3, (1, 2), ((0, 1), (2, 0)), (2, 1), 2),
    Conv(8, 4, 9, 10, 4, 2, 2, 3, 0, 2),
    Conv(16, 1, 7, 9, 6, 5, 5, 1, 2),
    Conv(8, 2, 16, 7, 8, 3, 2, 1, ((1, 0), (0, 2)), 1, 2),
    # No sample, and no pixel but padding.
    Conv(0, 3, 5, 6, 7, 3, 3, 2, 1),
    Conv(0, 4, 4, 4, 4, 2, 2, 1, 0, 1, 2),
    Conv(2, 2, 0, 3, 5, 2, 2, 1, 1),
    # Several units of rows or columns of one plane, several chunks and parts; and threads.
    Conv(1, 33, 65, 33, 7, 3, 3, 1, 1),
    Conv(1, 32, 34, 65, 6, 3, 3, 2, 1),
    Conv(1, 31, 3, 200, 13, 3, 5, 1, (1, 2)),
    Conv(1, 33, 12, 150, 5, 11, 11, 1, 0),
    Conv(2, 16, 21, 33, 34, 3, 3, 1, 1),
    Conv(4, 12, 33, 31, 12, 3, 3, 1, 1, 2, 4),
    Conv(1, 64, 7, 7, 96, 3, 3, 1, 1),
    Conv(2, 8, 40, 41, 8, 5, 5, 2, 2, 1, 8),
    # More units than partial sums of the weight gradient, in pieces of unequal size, also where
    # the bound on their memory makes them fewer.
    Conv(19, 3, 5, 5, 7, 3, 3, 1, 1),
    Conv(37, 2, 4, 3, 5, 2, 2, 2, 1, 1),
    Conv(18, 128, 3, 4, 260, 3, 3),
)
SWEPT = (
    # Every width round the tile's lanes with every kernel.
    *(
        Conv(1, 2, 7, w, 5, r, s, 1, (r // 2, s // 2))
        for w in (1, 2, 7, 31, 32, 33, 65)
        for r, s in ((1, 1), (1, 7), (7, 1), (2, 2), (3, 3), (5, 5))
    ),
    # Every number of channels round the tile's rows and lanes.
    *(
        Conv(1, c, 3, 5, k, 2, 3, 1, (0, 1))
        for c in (1, 5, 6, 7, 13, 31, 32, 33)
        for k in (1, 5, 6, 7, 13, 31, 32, 33)
    ),
    # Every pair of small stride and dilation, and every padding with a phase of its own.
    *(
        Conv(1, 2, 17, 18, 3, 3, 2, stride, 1, dilation)
        for stride in (1, 2, 3, 4, 5)
        for dilation in (1, 2, 3, 4, 6)
    ),
    *(Conv(1, 2, 8, 9, 3, 3, 2, 3, ((before, 1), (2, before))) for before in range(7)),
)
CONVS = PICKED + SWEPT


def able(geometry, *, exact=False):
    """Return the names of the algorithms that can compute a geometry.

    `exact` leaves those that are exact on integers.
    """
    return [
        row.name
        for row in plan.ALGORITHMS
        if row.refuses(geometry) is None and (row.exact or not exact)
    ]


def served(cases, **which):
    """Return every case with every algorithm that can compute it."""
    return [
        pytest.param(case, name, id=f"{case}-{name}")
        for case in cases
        for name in able(case.geometry, **which)
    ]


# The exact algorithms that refuse no case.
ALGORITHMS = tuple(
    name
    for name in (row.name for row in plan.ALGORITHMS)
    if all(name in able(case.geometry, exact=True) for case in CONVS)
)


def small(convs=CONVS, work=20_000):
    """Return the cases with little work and a result, for checks that run a case many times."""
    return [
        case
        for case in convs
        if 0 < prod(case.input_shape) * prod(case.weight_shape) // case.groups <= work
    ]


def integers(shape, dtype=np.float64, seed=0):
    """Return small integers, of which every sum here is exact in float32."""
    return np.random.default_rng([seed, *shape]).integers(-5, 6, shape).astype(dtype)


def normal(shape, dtype=np.float64, seed=0):
    """Return standard normal numbers."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


class Problem(NamedTuple):
    """The arrays of a convolution, and what they give: output and three gradients."""

    x: Any
    weight: Any
    bias: Any
    residual: Any
    y: Any
    dx: Any
    dweight: Any
    dbias: Any

    def astype(self, dtype):
        return Problem(*(array.astype(dtype) for array in self))


def solve(case):
    """Return the arrays of a case, integers in float64, and the reference's results."""
    x = integers(case.input_shape, seed=1)
    weight = integers(case.weight_shape, seed=2)
    bias = integers((case.k,), seed=3)
    y = reference.conv2d(x, weight, bias, *case.options)
    residual = integers(y.shape, seed=4)
    arrays = Problem(
        x,
        weight,
        bias,
        residual,
        y,
        reference.conv2d_input(x.shape, weight, residual, *case.options),
        reference.conv2d_weight(x, weight.shape, residual, *case.options),
        reference.conv2d_bias(residual),
    )
    for array in arrays:
        array.flags.writeable = False
    return arrays


problem = cache(solve)


RESULTS = ("output", "input gradient", "weight gradient", "bias gradient")


def directions(case, arrays, algorithm="auto"):
    """Return the three convolutions of a case as functions of `out`, by their results' names."""
    x, weight, bias, residual, *_ = arrays
    options = case.options
    return {
        RESULTS[0]: lambda out=None: F.conv2d(
            x, weight, bias, *options, algorithm=algorithm, out=out
        ),
        RESULTS[1]: lambda out=None: F.conv2d_input(
            x.shape, weight, residual, *options, algorithm=algorithm, out=out
        ),
        RESULTS[2]: lambda out=None: F.conv2d_weight(
            x, weight.shape, residual, *options, algorithm=algorithm, out=out
        ),
    }


def convolve(case, arrays, algorithm="auto"):
    """Return the fast output and gradients, in the order of the last fields of `Problem`."""
    three = directions(case, arrays, algorithm).values()
    return *(function() for function in three), F.conv2d_bias(arrays.residual)


def assert_exact(actual, expected, what="result"):
    """Check every bit of the values, and that the array is a plain new one of the right kind."""
    assert type(actual) is np.ndarray, what
    assert actual.dtype == expected.dtype, what
    assert actual.shape == expected.shape, what
    assert actual.flags.c_contiguous, what
    assert actual.flags.writeable, what
    np.testing.assert_array_equal(actual, expected, err_msg=what)


def assert_conv_exact(case, arrays, dtype, algorithm):
    """Compare the four results of a case with expected ones, which are integers."""
    arrays = arrays.astype(dtype)
    for actual, expected, what in zip(
        convolve(case, arrays, algorithm), arrays[4:], RESULTS, strict=True
    ):
        assert_exact(actual, expected, f"{what} of {case}, {algorithm}, {np.dtype(dtype)}")


def save_expected(path):
    """Write the arrays of every case into a file, for a process that runs this script."""
    np.savez(path, **{f"{i}_{j}": a for i, c in enumerate(CONVS) for j, a in enumerate(problem(c))})


def check_expected(path):
    """Compare the whole table with the arrays of a file; return how many cases there were."""
    with np.load(path, allow_pickle=False) as file:
        for number, case in enumerate(CONVS):
            arrays = Problem(*(file[f"{number}_{j}"] for j in range(len(Problem._fields))))
            for algorithm in able(case.geometry, exact=True):
                for dtype in DTYPES:
                    assert_conv_exact(case, arrays, dtype, algorithm)
    return len(CONVS)


class Subclass(np.ndarray):
    """An array of another type, with the same meaning."""


def _fill(shape, dtype):
    """Return an array that shows where it is read outside the part that counts."""
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max, dtype)


# No result of integers, nor a zero of padding.
GUARD = 0.5


def guarded(shape, dtype, cells=67):
    """Return an array whose planes lie between guard cells, and the memory around it.

    The guards are more than a vector, and an odd number of them, so that no plane is aligned.
    """
    plane = prod(shape[-2:])
    memory = np.full((*shape[:-2], plane + 2 * cells), GUARD, dtype)
    inside = memory[..., cells : cells + plane].reshape(shape)
    assert np.may_share_memory(inside, memory) or not inside.size
    return inside, memory


def assert_guards_untouched(inside, memory, what):
    """Check that nothing but the array itself was written; the array is lost."""
    inside[...] = GUARD
    assert (memory == GUARD).all(), f"written outside: {what}"


def layouts(array):
    """Return arrays with these values, by the name of what is awkward about their memory."""
    array = np.ascontiguousarray(array)
    shape, dtype, axes = array.shape, array.dtype, array.ndim
    back = (slice(None, None, -1),) * axes
    spaced = _fill([2 * size for size in shape], dtype)[(slice(None, None, 2),) * axes]
    spaced[...] = array
    inside = _fill([size + 3 for size in shape], dtype)[tuple(slice(1, 1 + n) for n in shape)]
    inside[...] = array
    read_only = array.copy()
    read_only.flags.writeable = False
    buffer = np.empty(array.nbytes + 1, np.uint8)
    misaligned = buffer[1:].view(dtype).reshape(shape)
    misaligned[...] = array
    found = {
        "C": array.copy(),
        "Fortran": np.asfortranarray(array),
        "reversed": array[back].copy()[back],
        "every second": spaced,
        "inside a larger array": inside,
        "read-only": read_only,
        "misaligned": misaligned,
        "byte-swapped": array.astype(dtype.newbyteorder("S")),
        "subclass": array.copy().view(Subclass),
    }
    if axes >= 3:
        found["channels last"] = np.moveaxis(np.moveaxis(array, -3, -1).copy(), -1, -3)
    for name, value in found.items():
        assert np.array_equal(value, array), name
    return found


LAYOUTS = tuple(layouts(np.zeros((1, 1, 1), np.float32)))


def numerical_gradient(function, x, step):
    """Return the central differences of a function of an array that returns a number."""
    gradient = np.empty_like(x)
    for place in np.ndindex(x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[place] += step
        behind[place] -= step
        gradient[place] = (function(ahead) - function(behind)) / (2 * step)
    return gradient


def assert_gradient(function, gradient, x, residual, linear=False):
    """Compare a gradient with central differences of sum(function(x) * residual).

    For a function of degree two or less they are exact for every step, and only the sum's
    rounding counts. Otherwise the error of a step h is h^2/6 times the third derivative, here
    below 10 times the residual, plus that rounding over h.
    """
    step = 1.0 if linear else np.finfo(np.float64).eps ** (1 / 3)
    scale = np.abs(residual).max() * (1 + np.abs(function(x)).max())
    rounding = 4 * residual.size * np.finfo(np.float64).eps * scale / step
    truncation = 0 if linear else 2 * step**2 * np.abs(residual).max()
    numbers = numerical_gradient(lambda x: (function(x) * residual).sum(), x, step)
    np.testing.assert_allclose(gradient, numbers, rtol=0, atol=rounding + truncation)


def run_python(code, *arguments, **environment):
    """Run code in a new interpreter with this fastconv; return what it printed.

    The environment is this one without the variables that fastconv reads, and with those given.
    """
    own = ("FASTCONV_CACHE", "FASTCONV_ISA", "FASTCONV_NUM_THREADS", "OMP_NUM_THREADS")
    variables = {name: value for name, value in os.environ.items() if name not in own}
    package = str(Path(fastconv.__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [package, variables.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)],
        env={**variables, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, f"exit {done.returncode}: ...{done.stderr[-4000:]}"
    return done.stdout.strip()


def run_tests_code(module, call, **environment):
    """Print the value of an expression of a module of the tests, in a new interpreter."""
    # Behind the others, so that the fastconv under test is found first.
    root = str(Path(__file__).resolve().parent.parent)
    code = f"import sys; sys.path.append({root!r})\nfrom tests.{module} import *\nprint({call})"
    return run_python(code, **environment)


# Best first, as in base/isa.h.
ISAS = ("avx512", "avx2", "portable")

ISA = """
    try:
        import fastconv
    except ValueError as error:
        print(f"ValueError: {error}")
    else:
        print(fastconv.isa())
"""


def isa_or_skip(isa):
    """Return what isa() says when this instruction set is asked for."""
    name = run_python(ISA, FASTCONV_ISA=isa)
    if name.startswith("ValueError"):
        assert f"FASTCONV_ISA={isa}: " in name
        pytest.skip(f"skipped: instruction set {isa}: {name}")
    return name


def torch_or_skip(what):
    """Return torch, or skip the test and say what was not compared."""
    return pytest.importorskip("torch", reason=f"torch is not installed, skipped: {what}")
