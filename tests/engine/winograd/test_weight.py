"""Winograd's weight gradient against its slow twin, exact in fractions, and its error bound."""

from fractions import Fraction
from math import prod

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from tests._cases import (
    DTYPES,
    ISAS,
    Conv,
    assert_guards_untouched,
    integers,
    isa_or_skip,
    layouts,
    normal,
    run_tests_code,
)
from tests.engine.winograd._matrices import both, matrices, sandwich, sizes, step, takes_rows

CASES = [
    # Maps smaller than a tile, of whole tiles, and one off; padding that is no number of tiles.
    Conv(1, 1, 3, 3, 1, 3, 3),
    Conv(2, 3, 1, 1, 2, 3, 3, 1, 1),
    Conv(1, 2, 6, 6, 3, 3, 3),
    Conv(3, 5, 7, 9, 4, 3, 3, 1, 1),
    Conv(2, 3, 10, 11, 5, 3, 3, 1, ((0, 3), (5, 1))),
    Conv(1, 4, 5, 90, 3, 3, 3, 1, "full"),
    # Channels one off a vector, several panels of them, and groups.
    Conv(1, 15, 5, 6, 17, 3, 3, 1, 1),
    Conv(1, 16, 5, 6, 64, 3, 3, 1, 1),
    Conv(2, 65, 7, 7, 63, 3, 3, 1, 1),
    Conv(1, 130, 7, 7, 140, 3, 3, 1, 1),
    Conv(2, 12, 9, 8, 18, 3, 3, 1, 1, 1, 3),
    # Several chunks of tiles, also where one piece of the stage is not a whole row of tiles.
    Conv(2, 3, 83, 80, 2, 3, 3, 1, 1),
    Conv(1, 2, 9, 2100, 3, 3, 3, 1, 1),
    Conv(3, 2, 3, 2100, 5, 3, 3, 1, 1),
    # Phases of dilated kernels, also of fewer tiles than the first, or without a pixel.
    Conv(2, 18, 13, 16, 33, 3, 3, 1, 2, 2),
    Conv(1, 3, 9, 10, 5, 3, 3, 1, ((0, 5), (7, 1)), (2, 3)),
    Conv(2, 20, 25, 17, 12, 3, 3, 1, "same", (3, 4), 2),
    Conv(1, 2, 3, 2, 3, 3, 3, 1, "full", 6),
    # The same for the other form of tiles.
    Conv(1, 2, 5, 5, 3, 5, 5),
    Conv(2, 3, 1, 2, 2, 5, 5, 1, "full"),
    Conv(2, 33, 7, 9, 4, 5, 5, 1, ((0, 5), (7, 1))),
    Conv(1, 16, 5, 6, 64, 5, 5, 1, 2),
    Conv(2, 65, 7, 8, 63, 5, 5, 1, 2),
    Conv(1, 130, 7, 7, 140, 5, 5, 1, 2),
    Conv(2, 12, 9, 8, 18, 5, 5, 1, 2, 1, 3),
    Conv(2, 3, 83, 80, 2, 5, 5, 1, 2),
    Conv(2, 7, 19, 16, 5, 5, 5, 1, ((0, 5), (7, 1)), (2, 3)),
    Conv(2, 18, 7, 9, 33, 2, 2, 1, ((0, 1), (1, 0))),
    Conv(1, 130, 7, 7, 140, 2, 2, 1, 1),
    Conv(2, 7, 19, 16, 5, 2, 2, 1, 1, (2, 3)),
    # And for one row or column.
    Conv(1, 2, 1, 5, 3, 1, 2),
    Conv(2, 18, 7, 9, 33, 2, 1, 1, ((1, 1), (0, 3))),
    Conv(1, 2, 1, 5, 3, 1, 3),
    Conv(2, 18, 7, 9, 33, 3, 1, 1, ((5, 1), (0, 3))),
    Conv(1, 34, 3, 17, 16, 1, 5, 1, "full"),
    Conv(2, 12, 9, 8, 18, 5, 1, 1, (2, 0), 1, 3),
    Conv(3, 33, 5, 17, 48, 1, 7, 1, (0, 3)),
    Conv(2, 130, 17, 3, 65, 7, 1, 1, (3, 0)),
    Conv(2, 3, 83, 80, 2, 7, 1, 1, (3, 0)),
    Conv(1, 2, 9, 4100, 3, 1, 3, 1, (0, 1)),
    Conv(2, 7, 9, 16, 5, 1, 7, 1, ((0, 2), (7, 1)), (2, 3)),
    # Several chunks of maps that are cut off.
    Conv(200, 2, 7, 6, 3, 3, 3, 1, 1),
]
# Large enough for threads; panel by panel with few threads, point by point with more.
THREADED = [
    Conv(1, 130, 7, 7, 140, 3, 3, 1, 1),
    Conv(2, 20, 83, 80, 33, 3, 3, 1, 1),
    Conv(2, 24, 30, 31, 36, 3, 3, 1, 1, 1, 3),
    Conv(1, 130, 7, 7, 140, 5, 5, 1, 2),
    Conv(2, 20, 83, 80, 33, 5, 5, 1, 2),
    Conv(2, 300, 7, 17, 290, 1, 7, 1, (0, 3)),
    Conv(2, 40, 83, 80, 65, 3, 1, 1, (1, 0)),
]


def test_the_tiles_are_squares_and_lines():
    assert not any(takes_rows(case, ["conv2d_weight"]) for case in CASES + THREADED)


def tiles(maps, before, size, steps, rows, columns):
    """Return the tiles (N, C, rows, columns, *size), `steps` pixels apart, of padded maps."""
    height, width = steps[0] * rows, steps[1] * columns
    wide = np.zeros((*maps.shape[:2], height + size[0], width + size[1]), maps.dtype)
    top, left = before
    wide[:, :, top : top + maps.shape[2], left : left + maps.shape[3]] = maps
    windows = np.lib.stride_tricks.sliding_window_view(wide, size, (2, 3))
    return windows[:, :, : height : steps[0], : width : steps[1]]


def twin(case, x, residual, a, g, b):
    """Return the weight gradient: G^T [sum over tiles of (A dY A^T) * (B^T d B)] G.

    A dilated one is the sum of the dense ones of all phases.
    """
    before = [pair[0] for pair in case.geometry.padding]
    if case.geometry.dilation != (1, 1):
        x = np.pad(x, ((0, 0), (0, 0), *case.geometry.padding))
        dense = case._replace(padding=0, dilation=1)
        down, across = case.geometry.dilation
        return sum(
            twin(
                dense._replace(h=x[:, :, i::down].shape[2], w=x[:, :, :, j::across].shape[3]),
                x[:, :, i::down, j::across],
                residual[:, :, i::down, j::across],
                a,
                g,
                b,
            )
            for i, j in np.ndindex(*map(min, (down, across), residual.shape[2:]))
        )
    steps = [step(taps) for taps in case.weight_shape[2:]]
    count = [-(-size // m) for size, m in zip(residual.shape[2:], steps, strict=True)]
    v = sandwich(b, tiles(x, before, tuple(map(len, b)), steps, *count))
    z = sandwich(a, tiles(residual, (0, 0), tuple(steps), steps, *count))
    inputs, outputs = case.c // case.groups, case.k // case.groups
    sums = [
        np.einsum(
            "nkijrs,ncijrs->kcrs",
            z[:, n * outputs : (n + 1) * outputs],
            v[:, n * inputs : (n + 1) * inputs],
            optimize=v.dtype != object,
        )
        for n in range(case.groups)
    ]
    return sandwich([matrix.T for matrix in g], np.concatenate(sums))


def arrays(case, dtype, make=normal):
    return make(case.input_shape, dtype, 1), make(case.geometry.output_shape, dtype, 2)


def gradient(case, x, residual, out=None):
    return F.conv2d_weight(
        x, case.weight_shape, residual, *case.options, algorithm="winograd", out=out
    )


@pytest.mark.parametrize("case", CASES[:7] + CASES[10:11] + CASES[14:17] + CASES[27:30], ids=str)
def test_the_twin_is_the_weight_gradient_exactly(case):
    x, residual = arrays(case, np.float64, integers)
    fractions = (np.vectorize(Fraction, otypes=[object])(a) for a in (x, residual))
    found = twin(case, *fractions, *both(case.weight_shape[2:], matrices))
    expected = reference.conv2d_weight(x, case.weight_shape, residual, *case.options)
    assert (found == expected).all()


def assert_within_bound(case, dtype):
    """Compare the gradient with the reference: each rounding of each path counts once.

    A number meets at most 5 roundings on a side of B, 4 of A, and 6 of G, whose numbers are rounded
    themselves; and the additions of all tiles.
    """
    x, residual = arrays(case, dtype)
    wide = x.astype(np.float64), residual.astype(np.float64)
    expected = reference.conv2d_weight(wide[0], case.weight_shape, wide[1], *case.options)
    tall = case.n * prod(
        min(dilation, size) * -(-size // (step(taps) * dilation))
        for size, dilation, taps in zip(
            residual.shape[2:], case.geometry.dilation, case.weight_shape[2:], strict=True
        )
    )
    roundings = 2 * (5 + 4 + 6 + 1) + tall + 1
    spread = twin(case, *map(np.abs, wide), *both(case.weight_shape[2:], sizes))
    # The reference's own error in float64, too.
    terms = residual.size / residual.shape[1]
    bound = roundings * np.finfo(dtype).eps / 2 * spread + terms * np.finfo(np.float64).eps * spread
    error = np.abs(gradient(case, x, residual) - expected)
    assert (error <= bound).all(), f"{case}: {(error / bound).max()} of the bound"
    # The bound knows no luck of signs; this does.
    limit = 3e-5 if dtype == np.float32 else 1e-12
    assert error.max() <= limit * np.abs(expected).max(), str(case)


def check_cases():
    """Check every case in both types; return their number."""
    for case in CASES:
        for dtype in DTYPES:
            assert_within_bound(case, dtype)
    return len(CASES)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_error_stays_within_its_bound(case, dtype):
    assert_within_bound(case, dtype)


@pytest.mark.parametrize("isa", ISAS)
def test_every_instruction_set_stays_within_the_bound(isa):
    isa_or_skip(isa)
    printed = run_tests_code("engine.winograd.test_weight", "check_cases()", FASTCONV_ISA=isa)
    assert int(printed) == len(CASES)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", THREADED, ids=str)
def test_any_number_of_threads_gives_the_same_bits(case, dtype):
    x, residual = arrays(case, dtype)
    fastconv.set_num_threads(1)
    expected = gradient(case, x, residual)
    for threads in range(2, 9):
        fastconv.set_num_threads(threads)
        assert gradient(case, x, residual).tobytes() == expected.tobytes(), f"{threads} threads"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [CASES[7], CASES[9], CASES[17], CASES[29], CASES[31]], ids=str)
def test_whole_vectors_of_kernels_write_nothing_behind_the_last(case, dtype):
    # Of 16 kernels side by side, each is written over what the one before it has too much.
    x, residual = arrays(case, dtype)
    memory = np.full(np.prod(case.weight_shape) + 134, 0.5, dtype)
    out = memory[67:-67].reshape(case.weight_shape)
    assert np.array_equal(gradient(case, x, residual, out), gradient(case, x, residual))
    assert_guards_untouched(out, memory, case)


@pytest.mark.parametrize("case", [CASES[3], CASES[6], CASES[10]], ids=str)
def test_any_memory_layout_gives_the_same_bits(case):
    x, residual = arrays(case, np.float32)
    expected = gradient(case, x, residual)
    inputs, residuals = layouts(x), layouts(residual)
    for name in inputs:
        found = gradient(case, inputs[name], residuals[name])
        assert found.tobytes() == expected.tobytes(), name


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_with_its_channel(value):
    # It may reach all taps of a kernel, also those that never meet it: a tile sums its pixels.
    case = Conv(2, 20, 9, 9, 18, 3, 3, 1, 1, 1, 2)
    x, residual = arrays(case, np.float32)
    expected = gradient(case, x, residual)
    bad = x.copy()
    bad[1, 13, 4, 4] = value
    found = gradient(case, bad, residual)
    hit = np.zeros(case.weight_shape, bool)
    hit[9:, 3] = True
    assert np.array_equal(~np.isfinite(found), hit)
    assert np.array_equal(found[~hit], expected[~hit])
    bad = residual.copy()
    bad[0, 4, 8, 8] = value
    found = gradient(case, x, bad)
    hit[:] = False
    hit[4] = True
    assert np.array_equal(~np.isfinite(found), hit)
    assert np.array_equal(found[~hit], expected[~hit])
