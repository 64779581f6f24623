"""The call path's memory of arguments."""

import numpy as np
import pytest

from fastconv import functional as F
from fastconv.engine.base.cache import Cache
from fastconv.functional import _calls, _pooling
from tests._cases import assert_exact, integers


def test_the_same_arguments_are_seen_once():
    seen = []
    cache = Cache(lambda *arguments: seen.append(arguments) or len(seen), 8)
    arguments = ((1, 2), (1, (2, 3)), "same", None, 1)
    assert cache(*arguments) == cache(*arguments) == 1
    assert cache((1, 2), (1, (2, 3)), "same", None, 2) == 2
    assert len(cache) == 2


@pytest.mark.parametrize("equal", [1.0, True, np.int64(1), np.float64(1), (1.0,), (True,)])
def test_what_equals_an_integer_is_none(equal):
    cache = Cache(lambda value: (type(value), value), 8)
    plain = (1,) if isinstance(equal, tuple) else 1
    assert cache(plain) == (type(plain), plain)
    assert cache(equal)[1] is equal
    assert len(cache) == 1


def test_unhashable_arguments_pass():
    assert Cache(len, 8)([1, 2]) == 2
    assert Cache(len, 8)(([1], 2)) == 2


def test_the_oldest_go_first():
    seen = []
    cache = Cache(lambda value: seen.append(value) or value, 3)
    for value in (1, 2, 3, 4, 4, 3, 1):
        assert cache(value) == value
    assert len(cache) == cache.limit == 3
    assert seen == [1, 2, 3, 4, 1]


def test_errors_are_not_kept():
    def fail(value):
        raise ValueError(value)

    cache = Cache(fail, 8)
    for _ in range(2):
        with pytest.raises(ValueError, match="7"):
            cache(7)
    assert len(cache) == 0


def test_calls_that_fail_leave_nothing_and_many_calls_are_bounded():
    x, weight = np.ones((1, 1, 5, 5)), np.ones((1, 1, 3, 3))
    F.conv2d(x, weight)
    F.avg_pool2d(x, 2)
    before = len(_calls.calls), len(_pooling._planned)
    for function in (
        lambda: F.conv2d(x, weight, padding="none"),
        lambda: F.conv2d(x, np.ones((1, 2, 3, 3))),
        lambda: F.conv2d(x, weight, algorithm="none"),
        lambda: F.conv2d_input((1, 1, 2, 2), weight, x),
        lambda: F.avg_pool2d(x, 6),
    ):
        with pytest.raises(ValueError, match=r"\S"):
            function()
    assert (len(_calls.calls), len(_pooling._planned)) == before
    for size in range(2, _pooling._planned.limit + 9):
        F.avg_pool2d(np.ones((1, 1, size), np.float32), (1, 2))
    assert len(_pooling._planned) == _pooling._planned.limit


def test_lists_and_tuples_mean_the_same():
    x, weight = integers((2, 4, 6, 7)), integers((2, 2, 3, 2))
    expected = F.conv2d(x, weight, None, (2, 1), ((1, 1), (0, 0)), (1, 2), 2)
    assert_exact(F.conv2d(x, weight, None, [2, 1], [[1, 1], [0, 0]], [1, 2], 2), expected)
    residual = integers(expected.shape)
    size = F.conv2d_input(x.shape, weight, residual, (2, 1), (1, 0), (1, 2), 2)
    for shape in (list(x.shape), tuple(np.array(x.shape))):
        assert_exact(F.conv2d_input(shape, weight, residual, (2, 1), (1, 0), (1, 2), 2), size)
