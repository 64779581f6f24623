"""Limits of magnitude: up to them nothing overflows inside, and not far beyond them it does."""

from math import frexp, prod

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv.engine.errors import WINOGRAD_MAGNITUDE, WINOGRAD_ROWS_MAGNITUDE, terms
from fastconv.engine.plan import OPERATIONS
from tests._cases import DTYPES, Conv, takes_rows, variant_of
from tests.engine.winograd._matrices import ROW_POINTS, free_inputs, matrices, step

CASES = [
    # Maps that are cut off by 1 to 3 outputs, where the other inputs of a tile are free, and not.
    ("winograd", Conv(2, 5, 11, 12, 6, 3, 3, 1, 1)),
    ("winograd", Conv(2, 3, 5, 6, 4, 3, 3, 1, 1)),
    ("winograd", Conv(1, 4, 4, 4, 4, 3, 3)),
    ("winograd", Conv(1, 3, 26, 25, 4, 3, 3, 1, 1)),
    ("winograd", Conv(1, 34, 6, 7, 36, 5, 5, 1, 2)),
    ("winograd", Conv(1, 34, 6, 7, 36, 2, 2, 1, 1)),
    # One row or column.
    ("winograd", Conv(2, 3, 5, 13, 5, 1, 2, 1, (0, 1))),
    ("winograd", Conv(2, 3, 5, 13, 5, 1, 3, 1, (0, 1))),
    ("winograd", Conv(2, 3, 13, 5, 5, 5, 1, 1, (2, 0))),
    ("winograd", Conv(2, 3, 4, 13, 5, 1, 7, 1, (0, 3))),
    # Parts of rows.
    ("winograd", Conv(5, 6, 9, 15, 6, 5, 5, 1, 2)),
    # One block, and several.
    ("fft", Conv(2, 4, 5, 6, 6, 9, 9, 1, 4)),
    ("fft", Conv(1, 2, 90, 141, 1, 3, 5, 1, (1, 2))),
    ("fft", Conv(1, 2, 40, 40, 2, 15, 15)),
    ("gemm", Conv(2, 5, 11, 12, 6, 3, 3, 1, 1)),
    ("gemm", Conv(2, 5, 11, 12, 6, 3, 3, 2, 1)),
    ("direct", Conv(2, 5, 11, 12, 6, 3, 3, 1, 1)),
    ("im2col", Conv(2, 5, 11, 12, 6, 3, 3, 1, 1)),
    ("depthwise", Conv(2, 5, 11, 12, 10, 3, 3, 1, 1, 1, 5)),
]
every_case = pytest.mark.parametrize(
    ("algorithm", "case"), CASES, ids=lambda value: str(value).replace(" ", "")
)
every_operation = pytest.mark.parametrize("operation", OPERATIONS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def shapes(case, operation):
    """Return the shapes of x and w: what moves as the input does, and as the weights do."""
    output = case.geometry.output_shape
    x = output if operation == "conv2d_input" else case.input_shape
    return x, output if operation == "conv2d_weight" else case.weight_shape


def compute(case, operation, algorithm, x, w):
    function = getattr(F, operation)
    if operation == "conv2d":
        return function(x, w, None, *case.options, algorithm=algorithm)
    if operation == "conv2d_input":
        return function(case.input_shape, w, x, *case.options, algorithm=algorithm)
    return function(x, case.weight_shape, w, *case.options, algorithm=algorithm)


def limits_of(case, operation, algorithm, dtype):
    names = ("stride", "padding", "dilation", "groups")
    options = dict(zip(names, case.options, strict=True))
    return fastconv.explain(
        operation, case.input_shape, case.weight_shape, dtype=dtype, algorithm=algorithm, **options
    ).magnitude_limits


def signs(numbers, count, before=0, period=None):
    """Return the signs of some numbers, and ones behind them, over and over."""
    line = np.ones(period or len(numbers))
    line[: len(numbers)] = np.where(numbers < 0, -1.0, 1.0)
    return line[(np.arange(count) + before) % len(line)]


def matched(case, operation, dtype):
    """Yield signs that make the transforms of Winograd's tiles as large as can be, point by point.

    Tiles overlap: those that do not are matched.
    """
    x_shape, w_shape = shapes(case, operation)
    axes = []
    for axis, taps in enumerate(case.weight_shape[2:]):
        before, moved = case.geometry.padding[axis][0], step(taps)
        x_size, w_size = x_shape[2 + axis], w_shape[2 + axis]
        a, g, bt = matrices(taps)
        if takes_rows(case.geometry, operation, dtype):
            a, g, bt = matrices(*((1,) if axis == 0 else (5, ROW_POINTS)))
            moved = 5 if axis else 1
        elif taps == 3:
            # What the inputs that are free in a tile that is cut off do to its transform.
            a, g, bt = (np.vstack([m, m]) for m in (a, g, bt))
            bt[6:] = bt[6:] @ free_inputs(2)
        if operation == "conv2d_input":
            before, g = taps - 1 - before, g[:, ::-1]
        period = moved * -(-bt.shape[1] // moved)
        axes.append(
            [
                (signs(seen, x_size, before, period), signs(other, w_size))
                for seen, other in zip(bt, a if operation == "conv2d_weight" else g, strict=True)
            ]
        )
    for point in range(max(map(len, axes))):
        (down, w_down), (across, w_across) = (axis[point % len(axis)] for axis in axes)
        yield np.outer(down, across), np.outer(w_down, w_across)


def patterns(case, operation, algorithm, dtype):
    """Yield numbers of at most 1 for x and w."""
    both = shapes(case, operation)
    rng = np.random.default_rng(0)
    yield [np.ones(shape) for shape in both]
    yield [rng.choice([-1.0, 1.0], shape) for shape in both]
    yield [rng.uniform(-1, 1, shape) for shape in both]
    for down, across in ((1, 0), (0, 1), (1, 1)):
        places = (np.indices(shape)[2:] for shape in both)
        yield [(-1.0) ** (down * i + across * j) for i, j in places]
    # A single number, whose Fourier transform is as large everywhere.
    yield [np.eye(1, prod(shape[2:])).reshape(shape[2:]) for shape in both]
    if algorithm == "winograd":
        yield from matched(case, operation, dtype)


def filled(case, operation, algorithm, dtype, sizes):
    """Yield arrays x and w of these largest numbers."""
    for pattern in patterns(case, operation, algorithm, dtype):
        yield [
            np.broadcast_to(numbers * size, shape).astype(dtype)
            for numbers, size, shape in zip(pattern, sizes, shapes(case, operation), strict=True)
        ]


def at_the_limits(limits):
    """Yield the largest |x| and |w|: one at its limit, the other, neither; their product is."""
    x, w, both = limits
    yield x, min(both / x, w)
    yield min(both / w, x), w
    middle = min(max(both**0.5, both / w), x)
    yield middle, min(both / middle, w)


@every_case
@every_operation
@every_dtype
def test_nothing_overflows_at_the_limits(algorithm, case, operation, dtype):
    limits = limits_of(case, operation, algorithm, dtype)
    geometry = case.geometry
    bounds = variant_of(operation, geometry, dtype, algorithm).bounds
    products = terms(geometry, operation)
    if algorithm == "fft":
        cells, _, sums = bounds.magnitude(geometry, operation, np.dtype(dtype).name)
        products = sums / cells
    error = bounds.error(geometry, operation) * np.finfo(dtype).eps * products
    for sizes in at_the_limits(limits):
        x_power, w_power = (frexp(size)[1] for size in sizes)
        for x, w in filled(case, operation, algorithm, dtype, sizes):
            found = compute(case, operation, algorithm, x, w)
            # Far from the largest and the smallest numbers the same bits come out.
            small = np.ldexp(x, -x_power), np.ldexp(w, -w_power)
            usual = compute(case, operation, algorithm, *small)
            assert np.isfinite(found).all()
            assert np.ldexp(usual, x_power + w_power).tobytes() == found.tobytes()
            right = compute(case, operation, "gemm", *(a.astype(np.float64) for a in small))
            bound = error * np.prod([np.abs(array).max() for array in small])
            assert np.abs(usual - right).max() <= bound


def beyond(limits, times, largest):
    """Return for each limit the largest |x| and |w| so many times beyond it alone."""
    x, w, both = limits
    far_x, far_w = min(times * x, largest), min(times * w, largest)
    middle = max(times**0.5 * both**0.5, both / w * times)
    return (far_x, both / far_x / 2), (both / far_w / 2, far_w), (middle, both / middle * times)


@every_case
@every_operation
@every_dtype
def test_the_limits_are_not_far_from_an_overflow(algorithm, case, operation, dtype):
    limits = limits_of(case, operation, algorithm, dtype)
    largest = float(np.finfo(dtype).max)
    # Of the exact algorithms no array overflows by itself, and the sums do with the result.
    exact = variant_of(operation, case.geometry, dtype, algorithm).bounds.exact
    for place in (2,) if exact else range(3):
        overflows = False
        for times in (2, 8, 32):
            sizes = beyond(limits, times, largest)[place]
            for arrays in filled(case, operation, algorithm, dtype, sizes):
                found = compute(case, operation, algorithm, *arrays)
                right = compute(case, operation, "gemm", *arrays)
                if not np.isfinite(found).all():
                    overflows |= exact or bool(np.isfinite(right).all())
        assert overflows, ("|x|", "|w|", "max |x| max |w|")[place]


def test_large_numbers_overflow_in_winograd_alone():
    # It gave infinities and NaN, and nothing said from where on.
    shape, weight_shape = (1, 64, 12, 12), (64, 64, 3, 3)
    rng = np.random.default_rng(0)
    x = np.float32(5e37) * rng.choice([-1, 1], shape).astype(np.float32)
    weight = np.full(weight_shape, 1e-6, np.float32)
    auto = fastconv.explain("conv2d", shape, weight_shape, padding=1)
    assert auto.algorithm == "winograd"
    assert auto.magnitude_limits[0] < 5e37
    right = F.conv2d(x, weight, padding=1, algorithm="gemm")
    assert np.isfinite(right).all()
    for algorithm in ("auto", "winograd"):
        assert not np.isfinite(F.conv2d(x, weight, padding=1, algorithm=algorithm)).all()
    with fastconv.exact():
        assert fastconv.explain("conv2d", shape, weight_shape, padding=1).magnitude_limits[0] > 3e38
        assert F.conv2d(x, weight, padding=1).tobytes() == right.tobytes()


def largest_magnitudes(a, g, bt, cut=()):
    """Return for one axis how large intermediate results may be, by direction, as `errors` says.

    `cut` are transforms of inputs that may take the place of B^T, with zeros where a point is not
    wanted, and how many outputs are.
    """
    seen = [(np.abs(bt).sum(axis=1), a.shape[1]), *((np.abs(b).sum(axis=1), n) for b, n in cut)]
    kernel, x = np.abs(g).sum(axis=1), max(sums.max() for sums, _ in seen)
    forward = max((np.abs(a[:, :n]).T * (kernel * sums)).sum(axis=1).max() for sums, n in seen)
    backward = 0
    for sums, n in seen:
        products = np.abs(a[:, :n]).sum(axis=1) * sums
        # Points are pairs of both signs, added first; those that are not are 0, before, and
        # infinity, behind.
        pairs = products[len(products) % 2 == 0 : -1]
        added = pairs.reshape(-1, 2).sum(axis=1).tolist()
        backward = max(backward, *products, *added, *(np.abs(g).T @ products))
    return {
        "conv2d": (x, kernel.max(), forward),
        "conv2d_input": (x, kernel.max(), forward),
        "conv2d_weight": (x, np.abs(a).sum(axis=1).max(), backward),
    }


def assert_just_above(found, least):
    for limit, number in zip(found, map(float, least), strict=True):
        assert number <= limit < 1.001 * number


@pytest.mark.parametrize("taps", [1, 2, 3, 5, 7])
def test_the_plan_knows_how_large_the_matrices_make_numbers(taps):
    a, g, bt = matrices(taps)
    cut = []
    if taps == 3:
        # Not wanted are the points 3/2 and infinity, and -3/2 where one output is.
        cut = [(bt @ free_inputs(n), n) for n in (1, 2)]
        for b, n in cut:
            b[[3, 5] if n == 2 else [3, 4, 5]] = 0
    for operation, least in largest_magnitudes(a, g, bt, cut).items():
        x, w, sums = least
        if operation != "conv2d_weight" and taps > 1:
            # The odd taps are added before they are divided.
            powers = range(0, taps - 1, 2)
            w = max(w, *(sum(abs(p) ** i for i in powers) for p in a[:-1, 1]))
        assert_just_above(WINOGRAD_MAGNITUDE[operation][taps], (x, w, sums))


@every_operation
def test_the_plan_knows_how_large_the_matrices_of_rows_make_numbers(operation):
    least = largest_magnitudes(*matrices(5, ROW_POINTS))
    assert_just_above(WINOGRAD_ROWS_MAGNITUDE[operation], least[operation])
