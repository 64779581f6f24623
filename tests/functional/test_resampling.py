"""Interpolation, and channels exchanged for pixels: reference, torch, gradients, wrong calls."""

from itertools import product

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from tests._cases import (
    DTYPES,
    ISAS,
    assert_exact,
    assert_gradient,
    isa_or_skip,
    layouts,
    normal,
    run_tests_code,
    torch_or_skip,
)

SHAPES = {1: (2, 3, 7), 2: (2, 3, 5, 9), 3: (1, 2, 3, 4, 5)}
ANY_AXES = ("nearest", "nearest-exact", "area")
MODES = [(axes, mode) for axes in SHAPES for mode in ANY_AXES]
MODES += [(1, "linear"), (2, "bilinear"), (2, "bicubic"), (3, "trilinear")]
SIZES = [
    {"size": 1},
    {"size": 17},
    {"size": 33},
    {"scale_factor": 1},
    {"scale_factor": 2},
    {"scale_factor": 5},
    {"scale_factor": 1.7},
    {"scale_factor": 0.6},
    {"scale_factor": 2.3, "recompute_scale_factor": True},
]
CASES = [
    (axes, {**sizes, "mode": mode, **align})
    for (axes, mode), sizes in product(MODES, SIZES)
    for align in ([{}] if mode in ANY_AXES else [{}, {"align_corners": True}])
]
CASES += [(2, {"size": (11, 4)}), (3, {"scale_factor": (1.5, 2, 0.9), "mode": "trilinear"})]
# Beyond torch: ONNX's places, whose own cases are run by tests/test_onnx.py.
COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
)  # fmt: skip
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
PLACED = [
    (axes, {**sizes, "mode": mode, "coordinates": coordinates})
    for (axes, mode), sizes, coordinates in product(MODES, SIZES, COORDINATES)
    if mode not in ("nearest-exact", "area")
]
PLACED += [
    (1, {**sizes, "coordinates": coordinates, "rounding": rounding})
    for sizes, coordinates, rounding in product(SIZES, COORDINATES, ROUNDINGS)
]


# Sources longer than a vector, whose results find their places in one, or do not.
WIDE = [
    (shape, {"size": size, "mode": mode, **align})
    for shape, modes in (((2, 3, 50), ("linear", "nearest")), ((2, 3, 4, 37), ("bilinear",)))
    for mode in modes
    for align in ([{}] if mode in ANY_AXES else [{}, {"align_corners": True}])
    for size in (1, 16, 17, 33, 50, 51, 100, 333)
]


def both(axes, options, dtype=np.float64, shape=None):
    """Return an input, its interpolation, a residual, and the gradient."""
    x = normal(shape or SHAPES[axes], dtype, 1)
    y = F.interpolate(x, **options)
    residual = normal(y.shape, dtype, 2)
    return x, y, residual, F.interpolate_backward(residual, x.shape, **options)


def check_cases():
    """Compare every case with the reference."""
    cases = [(axes, options, SHAPES[axes]) for axes, options in CASES + PLACED]
    cases += [(None, options, shape) for shape, options in WIDE]
    for (axes, options, shape), dtype in product(cases, DTYPES):
        x, y, residual, gradient = both(axes, options, dtype, shape)
        # Positions are rounded, too: those of a long axis by more.
        bound = 32 * max(1, x.shape[-1] // 8) * np.finfo(dtype).eps
        expected = reference.interpolate(x, **options)
        assert y.dtype == gradient.dtype == dtype
        np.testing.assert_allclose(y, expected, rtol=0, atol=bound * np.abs(x).max())
        expected = reference.interpolate_backward(residual, x.shape, **options)
        scale = max(np.abs(expected).max(), np.abs(residual).max())
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=bound * scale)
    return "near"


def test_every_case_is_near_the_reference():
    assert check_cases() == "near"


def check_infinities():
    """An infinity reaches what takes a part of it, and nothing that has it with weight 0."""
    for shape, options in WIDE:
        for place in (0, 20, -1):
            x, there = normal(shape, np.float32, 1), np.zeros(shape)
            x[..., place], there[..., place] = np.inf, 1
            reached = reference.interpolate(there, **options) != 0
            found = np.isinf(F.interpolate(x, **options))
            np.testing.assert_array_equal(found, reached, str(options))
    return "kept"


@pytest.mark.parametrize("isa", ISAS)
def test_infinities_of_weight_zero_stay_away(isa):
    isa_or_skip(isa)
    code = "check_infinities()"
    assert run_tests_code("functional.test_resampling", code, FASTCONV_ISA=isa) == "kept"


@pytest.mark.parametrize("isa", ISAS)
def test_every_instruction_set_is_near_the_reference(isa):
    isa_or_skip(isa)
    code = "check_cases()"
    assert run_tests_code("functional.test_resampling", code, FASTCONV_ISA=isa) == "near"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("axes", "options"), CASES, ids=str)
def test_agrees_with_torch(axes, options, dtype):
    torch = torch_or_skip("interpolation against torch")
    x, y, residual, gradient = both(axes, options, dtype)
    theirs = torch.from_numpy(x).requires_grad_()
    expected = torch.nn.functional.interpolate(theirs, **options)
    expected.backward(torch.from_numpy(residual))
    # torch computes the weights in the arrays' precision, we in double.
    bound = 1e-4 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(y, expected.detach(), rtol=bound, atol=bound)
    np.testing.assert_allclose(gradient, theirs.grad, rtol=bound, atol=bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_the_nearest_cells_are_torchs(mode, dtype):
    torch = torch_or_skip("nearest cells of every small size")
    for n, m in product(range(1, 50), range(1, 50)):
        x = np.arange(n, dtype=dtype).reshape(1, 1, n)
        expected = torch.nn.functional.interpolate(torch.from_numpy(x), m, mode=mode).numpy()
        # The middle between two cells may fall to either.
        middle = (2 * np.arange(m) + 1) * n % (2 * m) == 0
        kept = ~middle if mode == "nearest-exact" else np.ones(m, bool)
        y = F.interpolate(x, m, mode=mode)
        np.testing.assert_array_equal(y[..., kept], expected[..., kept], err_msg=f"{n} to {m}")


@pytest.mark.parametrize(("axes", "options"), CASES[::7] + PLACED[::11], ids=str)
def test_gradients_are_the_numerical_ones(axes, options):
    x, _, residual, gradient = both(axes, options)
    assert_gradient(lambda x: F.interpolate(x, **options), gradient, x, residual)


@pytest.mark.parametrize(
    ("coordinates", "places"),
    [
        # By hand: the places of 3 cells on an axis of 4, and of 4 * 0.8 = 3.2 cells, of which 3 are
        # whole; beyond the borders lie copies of the outermost cells.
        ("half_pixel", ([1 / 6, 1.5, 17 / 6], [0.125, 1.375, 2.625])),
        ("half_pixel_symmetric", ([1 / 6, 1.5, 17 / 6], [0.25, 1.5, 2.75])),
        ("pytorch_half_pixel", ([1 / 6, 1.5, 17 / 6], [0.125, 1.375, 2.625])),
        ("align_corners", ([0, 1.5, 3], [0, 15 / 11, 30 / 11])),
        ("asymmetric", ([0, 4 / 3, 8 / 3], [0, 1.25, 2.5])),
    ],
)
def test_places_by_hand(coordinates, places):
    x = np.arange(4.0).reshape(1, 1, 4)
    for sizes, expected in zip(({"size": 3}, {"scale_factor": 0.8}), places, strict=True):
        y = F.interpolate(x, **sizes, mode="linear", coordinates=coordinates)
        np.testing.assert_allclose(y[0, 0], expected, rtol=1e-15)
    # One cell lies at the first, or in the middle.
    first = coordinates in ("pytorch_half_pixel", "align_corners", "asymmetric")
    y = F.interpolate(x, 1, mode="linear", coordinates=coordinates)
    np.testing.assert_array_equal(y, [[[0.0 if first else 1.5]]])


def test_roundings_by_hand():
    x = np.arange(4.0).reshape(1, 1, 4)
    for rounding, expected in {
        # Of the places 0, 0.5, 1, ... 3.5.
        "floor": [0, 0, 1, 1, 2, 2, 3, 3],
        "ceil": [0, 1, 1, 2, 2, 3, 3, 3],
        "round_prefer_floor": [0, 0, 1, 1, 2, 2, 3, 3],
        "round_prefer_ceil": [0, 1, 1, 2, 2, 3, 3, 3],
    }.items():
        for room in (F, reference):
            y = room.interpolate(x, 8, coordinates="asymmetric", rounding=rounding)
            np.testing.assert_array_equal(y[0, 0], expected, err_msg=rounding)


def test_the_middle_of_two_cells_is_met_for_every_small_size():
    for n, m in product(range(1, 40), range(1, 40)):
        x = np.arange(n, dtype=np.float64).reshape(1, 1, n)
        # In whole numbers: twice the place, in units of 1/m.
        twice = (2 * np.arange(m) + 1) * n - m
        below = np.clip(-((m - twice) // (2 * m)), 0, n - 1)
        above = np.clip((twice + m) // (2 * m), 0, n - 1)
        for rounding, cells in (("round_prefer_floor", below), ("round_prefer_ceil", above)):
            y = F.interpolate(x, m, coordinates="half_pixel", rounding=rounding)
            np.testing.assert_array_equal(y[0, 0], cells, err_msg=f"{n} to {m}, {rounding}")


@pytest.mark.parametrize(("axes", "options"), CASES[::5] + PLACED[::17], ids=str)
def test_layouts_out_and_threads(axes, options):
    x, y, residual, gradient = both(axes, options)
    for name, strange in layouts(x).items():
        assert_exact(F.interpolate(strange, **options), y, name)
    for name, strange in layouts(residual).items():
        assert_exact(F.interpolate_backward(strange, x.shape, **options), gradient, name)
    base = np.full((y.shape[0], y.shape[1] + 2, *y.shape[2:]), np.nan)
    out = base[:, 1:-1]
    assert F.interpolate(x, **options, out=out) is out
    np.testing.assert_array_equal(out, y)
    assert np.isnan(base[:, [0, -1]]).all()
    before = fastconv.get_num_threads()
    large = normal((3, 40, *SHAPES[axes][2:]), seed=5)
    try:
        results = []
        for threads in range(1, 9):
            fastconv.set_num_threads(threads)
            results.append(F.interpolate(large, **options))
    finally:
        fastconv.set_num_threads(before)
    for result in results[1:]:
        assert_exact(result, results[0])


def test_infinities_and_nan_stay_where_they_are_used():
    x = np.array([[[np.inf, 1.0, 2.0, np.nan]]])
    # Cells 0 and 3 are between 0 and 1, or 2 and 3; the middle of the result sees neither.
    y = F.interpolate(x, 7, mode="linear", align_corners=True)
    np.testing.assert_array_equal(np.isfinite(y[0, 0]), [0, 0, 1, 1, 1, 0, 0])
    assert np.isposinf(y[0, 0, :2]).all()
    residual = np.array([[[np.nan, 1.0, 1.0, 1.0]]])
    gradient = F.interpolate_backward(residual, (1, 1, 8), 4)
    np.testing.assert_array_equal(np.isnan(gradient[0, 0]), [1, 0, 0, 0, 0, 0, 0, 0])


def test_an_empty_batch():
    assert F.interpolate(np.ones((0, 3, 4)), 9).shape == (0, 3, 9)
    assert F.interpolate_backward(np.ones((2, 0, 9)), (2, 0, 4), 9).shape == (2, 0, 4)


PIXELS = [(2, 3, 5, 7), (1, 4, 6), (2, 1, 33, 40), (0, 2, 3, 4), (1, 0, 3)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", PIXELS)
def test_pixels_and_channels_equal_the_reference(shape, factor, dtype):
    *batch, channels, rows, columns = shape
    x = normal((*batch, channels * factor**2, rows, columns), dtype, 1)
    y = F.pixel_shuffle(x, factor)
    assert_exact(y, reference.pixel_shuffle(x, factor))
    assert_exact(F.pixel_unshuffle(y, factor), x)
    assert_exact(reference.pixel_unshuffle(y, factor), x)
    for name, strange in layouts(x).items():
        assert_exact(F.pixel_shuffle(strange, factor), y, name)
    if y.size:
        out = np.empty((y.shape[0], 2, *y.shape[1:]), dtype)[:, 0]
        assert F.pixel_shuffle(x, factor, out=out) is out
        np.testing.assert_array_equal(out, y)


@pytest.mark.parametrize("factor", [2, 3])
def test_pixel_shuffle_agrees_with_torch(factor):
    torch = torch_or_skip("pixel_shuffle against torch")
    x = normal((2, 2 * factor**2, 4, 5))
    expected = torch.nn.functional.pixel_shuffle(torch.from_numpy(x), factor)
    np.testing.assert_array_equal(F.pixel_shuffle(x, factor), expected)


X = np.ones((1, 2, 4, 6))


@pytest.mark.parametrize("room", [F, reference], ids=["functional", "reference"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "size"),
        ({"size": 3, "scale_factor": 2}, "size"),
        ({"size": 3, "mode": "linear"}, "axes"),
        ({"size": 3, "mode": "lanczos"}, "mode"),
        ({"size": 3, "mode": "area", "align_corners": True}, "align_corners"),
        ({"size": 3, "align_corners": True}, "align_corners"),
        ({"scale_factor": 0.1}, "at least one cell"),
        ({"size": 3, "coordinates": "corners"}, "coordinates"),
        ({"size": 3, "coordinates": "asymmetric", "mode": "area"}, "coordinates"),
        ({"size": 3, "coordinates": "asymmetric", "mode": "nearest-exact"}, "coordinates"),
        (
            {"size": 3, "coordinates": "asymmetric", "mode": "bilinear", "align_corners": True},
            "align_corners",
        ),
        ({"size": 3, "rounding": "floor"}, "rounding"),
        ({"size": 3, "coordinates": "asymmetric", "rounding": "round"}, "rounding"),
        (
            {"size": 3, "coordinates": "asymmetric", "mode": "bicubic", "rounding": "ceil"},
            "rounding",
        ),
    ],
)
def test_wrong_arguments_are_refused(room, arguments, message):
    with pytest.raises(ValueError, match=message):
        room.interpolate(X, **arguments)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, r"input must be \(N, C, W\)", lambda: F.interpolate(X[0, 0], 3)),
        (ValueError, "size must be an integer or have", lambda: F.interpolate(X, (3, 3, 3))),
        (ValueError, "size must be at least 1", lambda: F.interpolate(X, 0)),
        (ValueError, "scale_factor must have one", lambda: F.interpolate(X, None, (2, 2, 2))),
        (ValueError, "scale_factor must be positive", lambda: F.interpolate(X, None, -1)),
        (ValueError, "scale_factor must be positive", lambda: F.interpolate(X, None, np.nan)),
        (TypeError, "scale_factor must be a number", lambda: F.interpolate(X, None, "2")),
        (ValueError, "recompute", lambda: F.interpolate(X, 3, recompute_scale_factor=True)),
        (ValueError, "grad_output must have", lambda: F.interpolate_backward(X, X.shape, 3)),
        (TypeError, "input_size must be", lambda: F.interpolate_backward(X, 4, 3)),
        (ValueError, "upscale_factor", lambda: F.pixel_shuffle(X, 0)),
        (ValueError, "a multiple of upscale_factor", lambda: F.pixel_shuffle(X, 2)),
        (ValueError, "downscale_factor = 5 divides", lambda: F.pixel_unshuffle(X, 5)),
        (ValueError, r"\(N, C, H, W\)", lambda: F.pixel_unshuffle(X[0, 0], 2)),
    ],
)
def test_wrong_calls_are_refused(error, message, call):
    with pytest.raises(error, match=message):
        call()
