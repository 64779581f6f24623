"""Shape formulas against counting."""

import itertools

import pytest

from fastconv import _geometry as geometry


def count_positions(size, kernel, stride, padding, dilation):
    """Count the windows that fit, one by one."""
    before, after = padding
    starts = range(-before, size + after, stride)
    return sum(start + dilation * (kernel - 1) < size + after for start in starts)


@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 0), (0, 3), (5, 4)])
def test_output_size_counts_the_windows_that_fit(padding):
    for size, kernel, stride, dilation in itertools.product(
        range(10), range(1, 5), range(1, 5), range(1, 4)
    ):
        expected = count_positions(size, kernel, stride, padding, dilation)
        assert geometry.output_size(size, kernel, stride, padding, dilation) == expected


@pytest.mark.parametrize("word", ["same", "same_lower"])
def test_same_gives_ceil_of_size_over_stride(word):
    for size, kernel, stride, dilation in itertools.product(
        range(1, 12), range(1, 6), range(1, 5), range(1, 4)
    ):
        (pair,) = geometry.resolve_padding(word, (size,), (kernel,), (stride,), (dilation,))
        out = geometry.output_size(size, kernel, stride, pair, dilation)
        assert out == -(-size // stride)
        less, more = pair if word == "same" else pair[::-1]
        assert more - less in (0, 1)
        # No less padding would do.
        if more:
            shorter = (pair[0], pair[1] - 1) if pair[1] else (pair[0] - 1, 0)
            assert geometry.output_size(size, kernel, stride, shorter, dilation) < out


def test_full_lets_every_overlap_count():
    (pair,) = geometry.resolve_padding("full", (5,), (3,), (1,), (2,))
    assert pair == (4, 4)
    assert geometry.output_size(5, 3, 1, pair, 2) == 9


@pytest.mark.parametrize(
    ("size", "kernel", "padding", "expected"),
    [(28, 5, 0, 24), (24, 2, 0, 23), (32, 5, 0, 28), (227, 11, 0, 217), (7, 3, 1, 7)],
)
def test_the_lectures_size_formula(size, kernel, padding, expected):
    # (w + 2p - k)/s + 1 with s = 1
    assert geometry.output_size(size, kernel, 1, (padding, padding), 1) == expected


def test_transposed_size_turns_output_size_round():
    for size, kernel, stride, dilation, before, after in itertools.product(
        range(1, 9), range(1, 4), range(1, 4), range(1, 3), range(3), range(3)
    ):
        out = geometry.output_size(size, kernel, stride, (before, after), dilation)
        if not out:
            continue
        # The rows that no window reaches are what output_padding puts back.
        extra = (size + before + after - dilation * (kernel - 1) - 1) % stride
        if extra >= max(stride, dilation):
            continue
        assert geometry.transposed_size(
            (out,), (kernel,), (stride,), ((before, after),), (extra,), (dilation,)
        ) == (size,)


def test_transposed_size_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"output_padding on axis W .* got 2"):
        geometry.transposed_size((4,), (3,), (2,), ((0, 0),), (2,), (1,))
    with pytest.raises(ValueError, match=r"output size on axis W would be 0: .*= \(1 - 1\)\*1"):
        geometry.transposed_size((1,), (1,), (1,), ((1, 0),), (0,), (1,))


def test_phases_hold_every_connection_once():
    """Each (input, tap, output) that a convolution connects is in exactly one phase."""
    for size, kernel, stride, before, dilation in itertools.product(
        range(1, 9), range(1, 5), range(1, 5), range(5), range(1, 5)
    ):
        outputs = 12
        expected = {
            (o * stride + r * dilation - before, r, o)
            for o in range(outputs)
            for r in range(kernel)
            if 0 <= o * stride + r * dilation - before < size
        }
        found = []
        covered = []
        for phase in geometry.input_gradient_phases(size, kernel, stride, before, dilation):
            places = range(size)[phase.positions]
            assert len(places) == phase.count
            covered += places
            for m, place in enumerate(places):
                for j, tap in enumerate(phase.taps):
                    output = m + j * phase.dilation - phase.before
                    if 0 <= output < outputs:
                        found.append((place, tap, output))
        assert len(covered) == len(set(covered))
        assert len(found) == len(set(found))
        assert set(found) == expected


def test_phases_of_a_huge_stride_are_no_more_than_the_kernel_has_taps():
    assert len(geometry.input_gradient_phases(10**9, 3, 10**8, 0, 1)) == 3
    assert len(geometry.input_gradient_phases(2, 3, 2**60, 0, 1)) == 2


def test_a_kernel_that_is_too_large_is_explained_with_its_numbers():
    numbers = r"axis H: .* 2\*\(3 - 1\) \+ 1 = 5, but .* 2 \+ 1 \+ 1 = 4"
    with pytest.raises(ValueError, match=numbers):
        geometry.conv_geometry((1, 1, 2, 9), (1, 1, 3, 3), (1, 1), ((1, 1), (1, 1)), (2, 2), 1)
