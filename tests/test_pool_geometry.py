"""The windows of poolings, counted cell by cell."""

import itertools

import numpy as np
import pytest

from fastconv._pool_geometry import (
    adaptive_windows,
    fractional_windows,
    pool_geometry,
    pool_windows,
    unpooled_size,
)


def test_pool_windows_count_cells():
    for size, kernel, stride, dilation, ceil_mode in itertools.product(
        range(1, 9), range(1, 5), range(1, 4), range(1, 3), (False, True)
    ):
        for before, after in itertools.product(range(kernel + 1), repeat=2):
            try:
                pool = pool_geometry(
                    (size,), (kernel,), (stride,), ((before, after),), (dilation,), ceil_mode
                )
                (windows,) = pool_windows(pool)
            except ValueError:
                continue
            assert len(windows) == pool.out_size[0]
            for position, (first, held, counted) in enumerate(windows.tolist()):
                places = [position * stride - before + tap * dilation for tap in range(kernel)]
                inside = [place for place in places if 0 <= place < size]
                assert (first, held) == (inside[0], len(inside))
                assert counted == sum(place < size + after for place in places)


def test_adaptive_windows_cover_every_position():
    for size, out in itertools.product(range(1, 12), repeat=2):
        windows = adaptive_windows(size, out)
        assert len(windows) == out
        seen = [set(range(first, first + held)) for first, held, _ in windows.tolist()]
        assert set().union(*seen) == set(range(size))
        for i, (first, held, counted) in enumerate(windows.tolist()):
            assert held == counted
            assert first == int(np.floor(i * size / out))
            assert first + held == int(np.ceil((i + 1) * size / out))


def test_fractional_windows_stay_inside():
    for size, kernel, dtype in itertools.product((7, 100, 1001), (1, 3), (np.float32, np.float64)):
        for out in (1, 2, size // 2, size - kernel + 1):
            windows = fractional_windows(size, kernel, out, np.linspace(0, 1, 17, dtype=dtype))
            first = windows[:, 0].reshape(17, out)
            assert first.min() >= 0
            assert (first[:, -1] == size - kernel).all()
            assert (np.diff(first, axis=1) >= 0).all()


def test_unpooled_sizes_invert_pooled_ones():
    for size, kernel, stride, padding in itertools.product(range(3, 12), (2, 3), (1, 2, 3), (0, 1)):
        pooled = pool_geometry(
            (size,), (kernel,), (stride,), ((padding, padding),), (1,), False
        ).out_size
        assert unpooled_size(pooled, (kernel,), (stride,), (padding,), (size,)) == (size,)
    with pytest.raises(ValueError, match="output_size on axis W must be within a stride"):
        unpooled_size((2,), (2,), (2,), (0,), (6,))
