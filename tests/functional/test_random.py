"""Thousands of random geometries: every algorithm that serves one equals the reference exactly.

A failure prints a line of Python that repeats it.
"""

import os
from math import prod

import numpy as np
import pytest

from fastconv import functional as F
from fastconv._geometry import conv_geometry
from fastconv.engine import plan
from fastconv.reference._convolution import conv_nd, conv_nd_input, conv_nd_weight
from tests._cases import (
    DTYPES,
    ISAS,
    RESULTS,
    Conv,
    able,
    assert_exact,
    integers,
    isa_or_skip,
    layouts,
    run_tests_code,
)
from tests._convolutions import Case, problem
from tests._convolutions import compute as compute_all

# The sanitizers, which make everything slower, ask for fewer.
COUNT = int(os.environ.get("FASTCONV_RANDOM", "3000"))
PART = 100
# Round the rows and lanes of every tile, and of the panels that several tiles make.
CHANNELS = (*range(1, 10), 12, 13, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47, 48, 49, 63, 64, 65)
FLAT = (31, 32, 33, 47, 48, 49, 63, 64, 65, 95, 96, 97)
LAYOUTS = ("C", "Fortran", "reversed", "every second", "channels last", "inside a larger array")


def draw_sizes(rng, axes, large):
    """Return the sizes of an input: small ones, one row, a plane of some vectors, large ones."""
    if large:
        highest = (0, 3000, 50, 13)[axes]
        return tuple(int(n) for n in rng.integers(highest // 2, highest, axes))
    kind = rng.random()
    if kind < 0.15:
        size = [1] * axes
        size[rng.integers(axes)] = int(rng.choice(FLAT))
        return tuple(size)
    if kind < 0.25:
        # 7x7 and its neighbours: 42 to 56 pixels.
        return tuple(int(n) for n in (1, *rng.integers(6, 9, 2))[-axes:])
    highest = rng.choice((4, 9, (0, 40, 17, 7)[axes]))
    return tuple(int(n) for n in rng.integers(1, 1 + highest, axes))


def draw_channels(rng):
    """Return input channels, kernels and groups."""
    kind = rng.random()
    few = 9 if rng.random() < 0.5 else len(CHANNELS)
    c, k = (int(CHANNELS[i]) for i in rng.integers(0, few, 2))
    if kind < 0.15:
        return c, c, c
    if kind < 0.25:
        return c, 2 * c, c
    if kind < 0.45:
        groups = int(rng.integers(2, 5))
        c, k = min(c, 17), min(k, 17)
        return groups * c, groups * k, groups
    return c, k, 1


def draw_padding(rng, windows):
    """Return padding in one of its forms, of up to more than the window."""
    kind = rng.random()
    if kind < 0.25:
        return tuple((0, 0) for _ in windows)
    if kind < 0.45:
        return str(rng.choice(("valid", "same", "same_lower", "full")))
    if kind < 0.65:
        return tuple((window // 2,) * 2 for window in windows)
    return tuple(tuple(int(p) for p in rng.integers(0, window + 3, 2)) for window in windows)


def draw(rng, axes=2):
    """Return the shapes and options of one convolution that can be computed."""
    while True:
        c, k, groups = draw_channels(rng)
        batch = int(rng.choice((0, 1, 2, 3, 4, 5), p=(0.02, 0.38, 0.3, 0.1, 0.1, 0.1)))
        large = rng.random() < 0.03
        size = draw_sizes(rng, axes, large)
        kernel = tuple(int(n) for n in rng.integers(1, 1 + rng.choice((1, 3, 5, 7)), axes))
        if rng.random() < 0.2:
            kernel = (3,) * axes
        if rng.random() < 0.15:
            # 1xN and Nx1.
            kept = rng.integers(axes)
            kernel = tuple(n if axis == kept else 1 for axis, n in enumerate(kernel))
        most = rng.choice((1, 2, 4))
        stride = tuple(int(n) for n in rng.integers(1, 1 + most, axes))
        dilation = tuple(int(n) for n in rng.integers(1, 1 + rng.choice((1, 1, 3)), axes))
        windows = [d * (n - 1) + 1 for n, d in zip(kernel, dilation, strict=True)]
        padding = draw_padding(rng, windows)
        shape, weight_shape = (batch, c, *size), (k, c // groups, *kernel)
        try:
            geometry = conv_geometry(shape, weight_shape, stride, padding, dilation, groups)
        except ValueError:
            continue  # the kernel is larger than the padded input
        pads = [before + after for before, after in geometry.padding]
        # The reference is slow by the positions of a window, not by channels: a few are large.
        positions = prod(n + pad for n, pad in zip(size, pads, strict=True))
        most = 3000 if large else 500
        if positions <= most and prod(shape) * prod(weight_shape) // groups <= most * 40_000:
            return shape, weight_shape, stride, padding, dilation, groups


def conv(case):
    """Return a drawn case of two axes under its name in the public interface."""
    (n, c, h, w), (k, _, r, s), *options = case
    return Conv(n, c, h, w, k, r, s, *options)


def drawn(part, axes=2, count=PART):
    """Return the geometries of one part of the test, the same in every run."""
    rng = np.random.default_rng([part, axes])
    return [draw(rng, axes) for _ in range(count)]


def solve(shape, weight_shape, stride, padding, dilation, groups):
    """Return integers for a convolution, and the reference's output and two gradients.

    A grouped convolution is the one of all channels with zeros between the groups; so the
    reference, which takes the groups one after the other, computes all of them at once.
    """
    x, weight = integers(shape, seed=1), integers(weight_shape, seed=2)
    bias = integers(weight_shape[:1], seed=3)
    k, c, *taps = weight_shape
    each = np.arange(groups)
    full = np.zeros((groups, k // groups, groups, c, *taps))
    full[each, :, each] = weight.reshape(groups, k // groups, c, *taps)
    options = (stride, padding, dilation)
    dense = full.reshape(k, groups * c, *taps)
    y = conv_nd(x, dense, bias, *options)
    residual = integers(y.shape, seed=4)
    dx = conv_nd_input(shape, dense, residual, *options)
    dense = conv_nd_weight(x, dense.shape, residual, *options).reshape(full.shape)
    return x, weight, bias, residual, (y, dx, dense[each, :, each].reshape(weight_shape))


def compute(case, arrays, algorithm):
    """Return the fast output and two gradients."""
    shape, weight_shape, *options = case
    x, weight, bias, residual = arrays
    name = f"conv{len(shape) - 2}d"
    return (
        getattr(F, name)(x, weight, bias, *options, algorithm=algorithm),
        getattr(F, f"{name}_input")(shape, weight, residual, *options, algorithm=algorithm),
        getattr(F, f"{name}_weight")(x, weight_shape, residual, *options, algorithm=algorithm),
    )


def check(case, which=None, dtypes=DTYPES, layout="C"):
    """Compare the algorithms named, or all that serve the case, with the reference."""
    *arrays, expected = solve(*case)
    axes = len(case[0]) - 2
    names = able(conv(case).geometry if axes == 2 else conv_geometry(*case), exact=True)
    for dtype in dtypes:
        typed = [array.astype(dtype) for array in arrays]
        if layout != "C":
            typed = [layouts(array).get(layout, array) for array in typed]
        wanted = [array.astype(dtype) for array in expected]
        for name in which or names:
            again = f"check({case}, [{name!r}], [np.{dtype.__name__}], {layout!r})"
            again = f"from tests.functional.test_random import *; {again}"
            try:
                results = compute(case, typed, name)
            except Exception as error:
                raise AssertionError(f"{error!r}; to repeat it: {again}") from error
            for result, array, what in zip(results, wanted, RESULTS, strict=False):
                assert_exact(result, array, f"{what} by {name!r}; to repeat it: {again}")
    return names


@pytest.mark.parametrize("part", range(-(-COUNT // PART)))
def test_random_geometries_equal_the_reference_exactly(part):
    for number, case in enumerate(drawn(part)):
        check(case, layout=LAYOUTS[number % len(LAYOUTS)] if number % 2 else "C")


@pytest.mark.parametrize("axes", [1, 3])
def test_random_geometries_of_one_and_three_axes(axes):
    for number, case in enumerate(drawn(0, axes, min(COUNT // 10, 300))):
        check(case, layout=LAYOUTS[number % len(LAYOUTS)] if number % 2 else "C")


def draw_transposed(rng, axes):
    """Return a drawn convolution the other way round: from its output to its input."""
    while True:
        shape, weight_shape, stride, padding, dilation, groups = draw(rng, axes)
        if isinstance(padding, str):
            continue
        steps = zip(stride, dilation, strict=True)
        case = Case(
            shape[0],
            weight_shape[0],
            shape[2:],
            shape[1],
            weight_shape[2:],
            stride,
            padding,
            dilation,
            groups,
            tuple(int(rng.integers(max(pair))) for pair in steps),
        )
        try:
            size = case.geometry.in_size
        except ValueError:
            continue  # all of the result is cut off
        if prod(size) <= 3000:
            return case


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_random_transposed_convolutions(axes):
    rng = np.random.default_rng([axes, 5])
    for number in range(min(COUNT // 20, 150)):
        case = draw_transposed(rng, axes)
        solved, layout = problem(case), LAYOUTS[number % len(LAYOUTS)]
        for algorithm in able(case.geometry, exact=True):
            typed = solved.astype(DTYPES[number % 2])
            arrays = [layouts(array).get(layout, array) for array in typed.arrays]
            for result, expected, what in zip(
                compute_all(case, arrays, algorithm), typed.results, RESULTS, strict=False
            ):
                assert_exact(result, expected, f"{what} of {case!r} by {algorithm!r}")


def test_the_geometries_reach_every_algorithm():
    served = [able(conv(case).geometry, exact=True) for part in range(3) for case in drawn(part)]
    for row in plan.ALGORITHMS:
        assert not row.exact or sum(row.name in names for names in served) >= 30, row.name


def check_parts(parts):
    """Check some parts of the geometries; return how many they are."""
    cases = [case for part in parts for case in drawn(part)]
    for case in cases:
        check(case)
    return len(cases)


@pytest.mark.parametrize("isa", ISAS)
def test_random_geometries_with_every_instruction_set(isa):
    isa_or_skip(isa)
    parts = range(min(3, -(-COUNT // PART)))
    printed = run_tests_code("functional.test_random", f"check_parts({parts})", FASTCONV_ISA=isa)
    assert printed == str(PART * len(parts))
